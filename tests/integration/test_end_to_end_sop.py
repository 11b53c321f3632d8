"""A procedure in force: on record, and flags are as it says or are refused with what they lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.exchange import Running, changed, running_exchange
from support.programs import panji
from support.statements import a_flag

from panji import procedures
from panji.client import Client
from panji.core.directory import KeyRecord
from panji.core.keys import PrivateKeySigner
from panji.core.procedure import parse_procedure
from panji.core.statements import ProcedureRecord
from panji.core.vocabulary import Category, Instrument, SubCategory
from panji.errors import Reason, RefusedError
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUNDING = procedures.text_of("id-2017")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange under the founding case's procedure, which asks for two persons."""
    procedure = tmp_path / "procedure.toml"
    procedure.write_text(FOUNDING)
    # Before the first table of the configuration, as its keys are.
    with running_exchange(tmp_path / "made", environment={"PANJI_PROCEDURE": str(procedure)}) as running:
        yield running


def two_persons(own: Running) -> Profile:
    """The ministry's profile, with a second person's key that the exchange's directory knows."""
    profile = Path(own.world.made.profiles["kominfo"])
    colleague = PrivateKeySigner.generate()
    (profile.parent / "keys" / "colleague.pem").write_text(colleague.to_pem())
    directory = own.world.directory
    organisation = directory.organisations["kominfo"]
    record = KeyRecord(colleague.public_key, organisation.keys[0].valid_from)
    event = own.use(changed(directory, "kominfo", keys=(*organisation.keys, record)))
    assert event["event"] == "directory.changed"
    (profile.parent / "directory.toml").write_text(own.world.file.read_text())
    text = profile.read_text().replace('["keys/statements.pem"]', '["keys/statements.pem", "keys/colleague.pem"]')
    both = profile.with_name("both.toml")
    both.write_text(text.replace("state.db", "both.db"))
    return Profile.load(both)


def test_a_flag_is_as_both_sides_have_agreed_or_is_refused_with_what_it_lacks(own: Running) -> None:
    with Client.connect(Profile.load(own.world.made.profiles["kominfo"])) as ministry:
        record = ministry.procedure_record(ministry.checkpoint().size)
        assert record is not None
        assert record.statement.body == ProcedureRecord(document=FOUNDING)
        assert parse_procedure(FOUNDING).id == "id-2017"
        with pytest.raises(RefusedError) as refusal:
            ministry.submit(ministry.flag("telegram", a_flag()))
        assert refusal.value.reason is Reason.APPROVALS_MISSING
        assert refusal.value.metadata["needed"] == "2"
    with Client.connect(two_persons(own)) as ministry:
        accepted = ministry.submit(ministry.flag("telegram", a_flag()))
        vague = a_flag(category=Category.PUBLIC_ORDER, sub_category=SubCategory.PUBLIC_ORDER_UNREST)
        with pytest.raises(RefusedError) as refusal:
            ministry.submit(ministry.flag("telegram", vague))
        assert refusal.value.reason is Reason.PROCEDURE_NOT_MET
        assert [one.field for one in refusal.value.violations] == ["flag.expires_at"]
        of_the_case = ministry.procedure_record(accepted.receipt.index)
        assert of_the_case is not None
        assert of_the_case.receipt.index < accepted.receipt.index


def test_a_case_keeps_the_procedure_that_it_was_opened_under(own: Running, tmp_path: Path) -> None:
    profile = two_persons(own)
    with Client.connect(profile) as ministry:
        before = ministry.submit(ministry.flag("telegram", a_flag()))
    assert own.terminate() == 0
    later = FOUNDING.replace("version = 1", "version = 2")
    (tmp_path / "procedure.toml").write_text(later)
    own.restart()
    with Client.connect(profile) as ministry:
        after = ministry.submit(ministry.flag("telegram", a_flag()))
        found = [ministry.procedure_record(one.receipt.index) for one in (before, after)]
        assert [one.statement.body for one in found if one is not None] == [
            ProcedureRecord(document=FOUNDING),
            ProcedureRecord(document=later),
        ]


def test_a_flag_that_no_rule_covers_names_what_is_not_covered(own: Running, tmp_path: Path) -> None:
    profile = two_persons(own)
    assert own.terminate() == 0
    (tmp_path / "procedure.toml").write_text(procedures.text_of("eu-tco"))
    own.restart()
    with Client.connect(profile) as ministry:
        with pytest.raises(RefusedError) as refusal:
            ministry.submit(ministry.flag("telegram", a_flag(instrument=Instrument.ORDER)))
        assert refusal.value.reason is Reason.NOT_IN_PROCEDURE
        assert "not_covered" in refusal.value.metadata


def test_a_log_under_a_procedure_is_not_served_without_one(own: Running) -> None:
    assert own.terminate() == 0
    config = str(own.world.made.config)
    with_none = panji("serve", "--config", config)
    assert with_none.returncode != 0
    assert "the log has one on record" in with_none.stderr
