"""What the exchange itself says: signed by its own key, verifiable as everybody's, and never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.rooms import LATER, LONG_AGO, SIGNERS, a_directory, an_organisation
from support.statements import DIGEST, EXCHANGE, MINISTRY, OPERATOR, PLATFORM, a_case

from panji.core import envelope as dsse
from panji.core.directory import KeyRecord, Threshold
from panji.core.keys import PrivateKeySigner
from panji.core.procedure import Occasion
from panji.core.statements import DeadlineMissed, DeadlineNear, DirectoryRecord, Escalation
from panji.core.vocabulary import Contact, Deadline, Kind
from panji.errors import ConfigError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server.herald import Herald, operator_of
from panji_server.storage.base import Fetched

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.directory import Directory
    from panji_server.sequencing import Admitted

VOICE = PrivateKeySigner.generate()
SECRET = b"of this exchange's servers"
HERALD = Herald(EXCHANGE, OPERATOR, VOICE, SECRET)
DUE = LATER + timedelta(hours=24)
MISSED = Occasion(DUE, Kind.DEADLINE_MISSED, Deadline.ACKNOWLEDGED, 0, DUE)
NEAR = Occasion(LATER, Kind.DEADLINE_NEAR, Deadline.DECIDED, 50, DUE)
STEP = Occasion(DUE, Kind.ESCALATION, Deadline.DECIDED, 2, DUE, (Contact.REPRESENTATIVE,), LATER)
FETCHED = Fetched(PLATFORM, 3, "spiffe://test.example/telegram", LATER)


def missed(now: datetime = DUE, *, fetched: Fetched | None = None, test: bool = False) -> list[Admitted]:
    case = a_case(test=test)
    return HERALD.timed(case, MISSED, fetched, LATER, now)


def with_voice(**changes: object) -> Directory:
    keys = (KeyRecord(SIGNERS[OPERATOR].public_key, LONG_AGO), KeyRecord(VOICE.public_key, LONG_AGO, automatic=True))
    return a_directory(replace(an_organisation(OPERATOR, keys=keys), **changes))  # type: ignore[arg-type]


def test_both_sides_are_told_in_the_same_words() -> None:
    to_authority, to_platform = (one.statement for one in missed(fetched=FETCHED))
    assert (to_authority.recipient, to_platform.recipient) == (MINISTRY, PLATFORM)
    assert to_authority.body == to_platform.body
    assert to_authority.body == DeadlineMissed(
        deadline=Deadline.ACKNOWLEDGED,
        due_at=DUE,
        delivered_at=LATER,
        delivered_to="spiffe://test.example/telegram",
        last_seen_at=LATER,
    )
    assert {one.in_reply_to for one in (to_authority, to_platform)} == {DIGEST}


def test_a_flag_that_was_never_fetched_is_said_to_be_that() -> None:
    body = missed()[0].statement.body
    assert isinstance(body, DeadlineMissed)
    assert (body.delivered_at, body.delivered_to) == (None, "")


def test_what_is_near_and_whom_silence_reaches_is_said_to_both_sides_too() -> None:
    near, step = (HERALD.timed(a_case(), one, None, None, LATER) for one in (NEAR, STEP))
    assert {one.statement.body for one in near} == {DeadlineNear(deadline=Deadline.DECIDED, due_at=DUE, percent=50)}
    reached = Escalation(
        deadline=Deadline.DECIDED, due_at=DUE, step=2, to=(Contact.REPRESENTATIVE,), unseen_since=LATER
    )
    assert {one.statement.body for one in step} == {reached}
    assert len({one.statement.id for one in (*near, *step, *missed())}) == 6


def test_a_drills_deadline_is_a_drill() -> None:
    assert all(one.statement.test for one in missed(test=True))


def test_a_second_attempt_has_the_same_ids_so_that_one_is_taken() -> None:
    first, again = missed(), missed(DUE + timedelta(minutes=5))
    assert [one.statement.id for one in first] == [one.statement.id for one in again]
    assert first[0].statement.id != first[1].statement.id


def test_nobody_outside_knows_the_id_of_a_statement_to_come() -> None:
    """Attack: a platform says something else under the id, and that of its silence is refused."""
    other = Herald(EXCHANGE, OPERATOR, VOICE, b"of another exchange")
    theirs = other.timed(a_case(), MISSED, None, LATER, DUE)
    assert not {one.statement.id for one in theirs} & {one.statement.id for one in missed()}


def test_what_is_signed_is_what_is_said() -> None:
    for one in (*missed(), HERALD.directory_record("[[organisation]]\n", DUE)):
        envelope = parse_envelope(one.envelope)
        assert dsse.verify(envelope, [VOICE.public_key]) == (VOICE.public_key,)
        assert parse_statement(envelope.payload) == one.statement
        assert one.digest == dsse.digest(one.envelope)
        assert (one.statement.sender, one.statement.exchange) == (OPERATOR, EXCHANGE)


def test_the_directory_is_recorded_to_the_letter() -> None:
    one = HERALD.directory_record("# a remark\n[[organisation]]\n", LATER)
    assert one.statement.body == DirectoryRecord(document="# a remark\n[[organisation]]\n")
    assert (one.statement.kind, one.statement.recipient) == (Kind.DIRECTORY_RECORD, OPERATOR)


# Whose key it is.


def test_the_key_is_an_automatic_one_of_the_operator() -> None:
    assert operator_of(with_voice(), VOICE.public_key, LATER) == OPERATOR


def test_a_persons_key_is_no_machines() -> None:
    with pytest.raises(ConfigError, match="statement_key: is no valid key of an operator"):
        operator_of(with_voice(), SIGNERS[OPERATOR].public_key, LATER)


def test_a_platform_is_no_operator_whatever_its_key_is_marked() -> None:
    key = KeyRecord(VOICE.public_key, LONG_AGO, automatic=True)
    with pytest.raises(ConfigError, match="statement_key"):
        operator_of(a_directory(an_organisation(PLATFORM, keys=(key,))), VOICE.public_key, LATER)


def test_a_key_that_has_ended_speaks_no_more() -> None:
    key = KeyRecord(VOICE.public_key, LONG_AGO, LATER, automatic=True)
    with pytest.raises(ConfigError, match="statement_key"):
        operator_of(with_voice(keys=(key,)), VOICE.public_key, LATER)


@pytest.mark.parametrize(
    "changes",
    [{"threshold": 2}, {"suspended": True}, {"thresholds": (Threshold(2, LATER + timedelta(days=1)),)}],
    ids=["four eyes", "suspended", "four eyes from tomorrow on"],
)
def test_an_operator_whose_machine_is_not_enough_cannot_run_an_exchange(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="suspended, or asks for more signatures"):
        operator_of(with_voice(**changes), VOICE.public_key, LATER)
