"""What the exchange and its operator say, end to end: the directory on record, silence, and erasure by two persons."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.exchange import Running, running_exchange
from support.programs import panji
from support.statements import a_flag, an_acknowledgement

from panji import erasing
from panji.client import Client
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.statements import DeadlineMissed, DirectoryRecord, Erasure, LegalBasis
from panji.core.vocabulary import AcknowledgementLevel, CaseState, Kind
from panji.errors import Reason, RefusedError
from panji.profile import Profile
from panji_server.sequencing import Admitted, sequence
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "rahasia: only this flag says so"  # noqa: S105 - content


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange of which nobody else makes use."""
    with running_exchange(tmp_path / "made", authorities=("kominfo",)) as running:
        yield running


def profile(own: Running, name: str) -> Path:
    return Path(own.world.made.profiles[name])


def connect(own: Running, name: str) -> Client:
    return Client.connect(Profile.load(profile(own, name)))


def erase(own: Running, case: str, folder: Path) -> list[dict[str, Any]]:
    """Two persons of the operator erase a case, each with a profile of their own, by the command line."""
    first = profile(own, "operator")
    second = first.with_name("second.toml")
    file = folder / "erasure.json"
    why = ("--law", "UU 27/2022", "--jurisdiction", "ID", "--reasons", "A court has ordered it.")
    prepared = panji("erase", "prepare", case, "--out", str(file), *why, "--profile", str(first))
    assert prepared.returncode == 0, prepared.stderr
    alone = panji("erase", "submit", str(file), "--profile", str(first), "--json")
    assert json.loads(alone.stderr)["error"]["reason"] == "SIGNATURE_INVALID"
    twice = panji("erase", "sign", str(file), "--profile", str(first), "--json")
    assert twice.returncode == 2
    signed = panji("erase", "sign", str(file), "--profile", str(second))
    assert "1 statements" in signed.stdout or "2 statements" in signed.stdout
    done = panji("erase", "submit", str(file), "--profile", str(second), "--json")
    assert done.returncode == 0, done.stderr
    again = panji("erase", "submit", str(file), "--profile", str(second), "--json")
    assert again.stdout == done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_content_is_erased_by_two_persons_and_the_record_stays(own: Running, tmp_path: Path) -> None:
    with connect(own, "kominfo") as ministry, connect(own, "telegram") as platform:
        kept = ministry.submit(ministry.flag("telegram", a_flag()))
        flag = ministry.submit(ministry.flag("telegram", a_flag(reasons=SECRET)))
        (_, heard) = platform.watch(follow=False)
        answer = platform.acknowledge(heard, AcknowledgementLevel.RECEIVED)
        before = ministry.checkpoint()
        done = erase(own, flag.statement.id, tmp_path)
        assert [one["receipt"]["recipient"] for one in done] == ["kominfo", "telegram"]

        # Both sides are told, by a statement that they verify.
        (told,) = platform.watch(follow=False)
        assert isinstance(told.statement.body, Erasure)
        assert [(one.digest, one.recipient, one.sequence) for one in told.statement.body.statements] == [
            (flag.digest, "telegram", 2),
            (answer.digest, "kominfo", 1),
        ]
        # What was said is given to nobody any more, and nothing more is said in the case.
        for call in (lambda: platform.case(flag.statement.id), lambda: ministry.submit(flag_again(ministry, flag))):
            with pytest.raises(RefusedError) as refusal:
                call()
            assert refusal.value.reason is Reason.CONTENT_ERASED
        with pytest.raises(RefusedError) as refusal:
            platform.acknowledge(heard, AcknowledgementLevel.UNDER_REVIEW)
        assert refusal.value.reason is Reason.MOVE_NOT_ALLOWED
        assert [one.case.id for one in ministry.cases()] == [kept.statement.id]
        assert list(ministry.cases(states=[CaseState.ERASED])) == []
        assert [one.id for one in ministry.erased_cases()] == [flag.statement.id]
        # The log only grew.
        ministry.consistency_proof(before, ministry.checkpoint())
    # Whoever reads the feed from its beginning finds the places, proven, and nothing missing.
    fresh = profile(own, "telegram").with_name("fresh.toml")
    fresh.write_text(profile(own, "telegram").read_text().replace("state.db", "fresh.db"))
    with Client.connect(Profile.load(fresh)) as platform:
        assert [one.receipt.sequence for one in platform.watch(follow=False)] == [1, 3]
        assert list(platform.watch(follow=False)) == []
    # The same for whoever had it: what was delivered is not contradicted by what is left.
    with connect(own, "telegram") as platform:
        assert [one.receipt.sequence for one in platform.watch(after=0, follow=False)] == [1, 3]
    assert own.terminate() == 0
    folder = own.world.made.config.parent
    assert not any(SECRET.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())
    config = str(own.world.made.config)
    for program in (("verify",), ("rebuild", "--check")):
        audited = panji("log", *program, "--config", config)
        assert audited.returncode == 0, audited.stderr


def persons(own: Running) -> tuple[Client, Client]:
    """Two persons of the operator, each with a key of their own."""
    first = profile(own, "operator")
    second = first.with_name("second.toml")
    return Client.connect(Profile.load(first)), Client.connect(Profile.load(second))


def test_an_erasure_of_which_one_half_is_refused_erases_nothing_and_the_right_one_follows(own: Running) -> None:
    """Attack: the second statement signed by one person, or to nobody of the case: refused, with the content gone."""
    one, two = persons(own)
    with connect(own, "kominfo") as ministry, connect(own, "telegram") as platform, one, two:
        flag = ministry.submit(ministry.flag("telegram", a_flag(reasons=SECRET)))
        outline = one.describe_case(flag.statement.id)
        basis = LegalBasis(jurisdiction="ID", law="UU 27/2022")
        alone, stray = (
            erasing.erasures(one.session, about, basis, "A court has ordered it.", now=datetime.now(UTC))
            for about in (outline, replace(outline, platform="operator2"))
        )
        both = [two.session.cosign(half.envelope) for half in alone]
        for halves in (
            [both[0], alone[1]],
            [alone[0], both[1]],
            [both[0], two.session.cosign(stray[1].envelope)],
        ):
            with pytest.raises(RefusedError):
                one.erase(halves)
            assert with_the_secret(own)
            assert platform.case(flag.statement.id).flag.envelope == flag.envelope
        done = two.erase(both)
        assert [half.receipt.index for half in two.erase(both)] == [half.receipt.index for half in done]
        assert {said.statement.kind for said in platform.watch(follow=False)} == {Kind.ERASURE}
        assert {said.statement.kind for said in ministry.watch(follow=False)} == {Kind.ERASURE}
    assert own.terminate() == 0
    for program in (("verify",), ("rebuild", "--check")):
        audited = panji("log", *program, "--config", str(own.world.made.config))
        assert audited.returncode == 0, audited.stderr


@pytest.mark.parametrize("side", ["kominfo", "telegram"])
def test_half_an_erasure_of_an_older_release_is_told_by_the_audits_and_completed_by_a_retry(
    own: Running, side: str
) -> None:
    """What is left of a call that an older release refused: content gone, and one side in the dark."""
    one, two = persons(own)
    config = str(own.world.made.config)
    with connect(own, "kominfo") as ministry, one, two:
        flag = ministry.submit(ministry.flag("telegram", a_flag(reasons=SECRET)))
        basis = LegalBasis(jurisdiction="ID", law="UU 27/2022")
        outline = one.describe_case(flag.statement.id)
        prepared = erasing.erasures(one.session, outline, basis, "So.", now=datetime.now(UTC))
        both = [two.session.cosign(half.envelope) for half in prepared]
        assert own.terminate() == 0
        (half,) = (signed for signed in both if signed.statement.recipient == side)
        log_by_hand(own, Admitted(half.statement, half.envelope, half.digest, datetime.now(UTC)))
        for program in (("verify",), ("rebuild", "--check")):
            audited = panji("log", *program, "--config", config)
            assert audited.returncode == 4
            assert "was erased, and no erasure tells" in audited.stderr
        own.start()
    one, two = persons(own)
    with one, two:
        done = one.erase(both)
        assert {told.receipt.recipient for told in done} == {"kominfo", "telegram"}
        assert [told.receipt.index for told in two.erase(both)] == [told.receipt.index for told in done]
    assert own.terminate() == 0
    for program in (("verify",), ("rebuild", "--check")):
        audited = panji("log", *program, "--config", config)
        assert audited.returncode == 0, audited.stderr


def log_by_hand(own: Running, item: Admitted) -> None:
    """Appends a statement to the log as the exchange would, without asking whether it may."""
    folder = own.world.made.config.parent
    key = PrivateKeySigner.from_pem((folder / "keys" / "log.pem").read_bytes())
    said = item.statement
    with closing(SQLiteStorage(folder / "exchange.db")) as storage, storage.append() as append:
        known = append.load(
            {said.id}, {said.case_id}, {(said.case_id, said.in_reply_to)}, {said.recipient}, {said.case_id}
        )
        written = sequence([item], append.head(), known, NoteSigner(own.world.made.origin, key), lambda: bytes(16))
        assert written.commit is not None
        append.store(written.commit)


def with_the_secret(own: Running) -> list[str]:
    folder = own.world.made.config.parent
    return [file.name for file in folder.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_an_erasure_that_was_interrupted_is_completed_by_the_next_start(own: Running, tmp_path: Path) -> None:
    """Somebody reads the database during the erasure, and the exchange is killed before they have done."""
    with connect(own, "kominfo") as ministry:
        flag = ministry.submit(ministry.flag("telegram", a_flag(reasons=SECRET)))
    folder = own.world.made.config.parent
    with closing(sqlite3.connect(folder / "exchange.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM statement").fetchone()
        erase(own, flag.statement.id, tmp_path)
        running = panji("log", "rebuild", "--check", "--config", str(own.world.made.config))
        assert running.returncode == 2
        assert "stop the exchange first" in running.stderr
        own.kill()
        assert "exchange.db-wal" in with_the_secret(own)
        reader.execute("ROLLBACK")
        left = folder / ".rebuild-exchange.db-killed"
        left.mkdir()
        (left / "rebuilt.db").write_text(SECRET)
        own.start()
        assert with_the_secret(own) == []
        assert not left.exists()


def flag_again(ministry: Client, flag: Any) -> Any:
    return ministry.session.restore(flag.envelope)


def test_only_the_operator_looks_at_cases_of_others(own: Running) -> None:
    with connect(own, "kominfo") as ministry:
        flag = ministry.submit(ministry.flag("telegram", a_flag()))
        with pytest.raises(RefusedError) as refusal:
            ministry.describe_case(flag.statement.id)
        assert refusal.value.reason is Reason.ROLE_NOT_ALLOWED
    with connect(own, "operator") as operator:
        outline = operator.describe_case(flag.statement.id)
        assert [one.digest for one in outline.said] == [flag.digest]
        assert (outline.authority, outline.platform, outline.state) == ("kominfo", "telegram", CaseState.SUBMITTED)


def test_silence_is_stated_to_both_sides_with_what_is_known_of_the_delivery(tmp_path: Path) -> None:
    settings = "\n[deadlines]\nacknowledged = 0.5\n"
    with running_exchange(tmp_path / "made", authorities=("kominfo",), settings=settings) as own:
        answered = own["kominfo"].says(a_flag(), "telegram")
        own["telegram"].says(an_acknowledgement(), answered)
        with connect(own, "telegram") as platform, connect(own, "kominfo") as ministry:
            flag = ministry.submit(ministry.flag("telegram", a_flag()))
            feeds = (platform.watch(), ministry.watch())
            due_at = flag.receipt.received_at + timedelta(seconds=0.5)
            for one in (
                next(said for said in feed if isinstance(said.statement.body, DeadlineMissed)) for feed in feeds
            ):
                body = one.statement.body
                assert isinstance(body, DeadlineMissed)
                assert (one.statement.case_id, one.statement.in_reply_to) == (flag.statement.id, flag.digest)
                assert body.due_at == due_at <= one.receipt.received_at
            case = ministry.case(flag.statement.id)
            assert case.case.overdue_since == due_at
            assert len(case.statements) == 3
            # A late answer is taken all the same.
            late = platform.acknowledge(flag, AcknowledgementLevel.RECEIVED)
            assert late.receipt.received_at > due_at
        assert own.terminate() == 0


def test_every_version_of_the_directory_is_on_record_before_it_is_in_force(own: Running) -> None:
    text = (own.world.made.config.parent / "directory.toml").read_text()
    with connect(own, "kominfo") as ministry:
        first = ministry.submit(ministry.flag("telegram", a_flag()))
        own.use(parse_directory(f"{text}\n# a remark\n"))
        second = ministry.submit(ministry.flag("telegram", a_flag()))
        before, after = (ministry.directory_record(one.receipt.index) for one in (first, second))
        assert before is not None
        assert after is not None
        assert isinstance(before.statement.body, DirectoryRecord)
        assert before.statement.body.document == text
        assert before.receipt.index < first.receipt.index < after.receipt.index < second.receipt.index
        assert before.statement.issued_at < datetime.now(UTC)
        assert ministry.directory_record(0) is None
