"""What the exchange and its operator say, end to end: the directory on record, silence, and erasure by two persons."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.exchange import Running, running_exchange
from support.programs import panji
from support.statements import a_flag, an_acknowledgement

from panji.client import Client
from panji.core.directory import parse_directory
from panji.core.statements import DeadlineMissed, DirectoryRecord, Erasure
from panji.core.vocabulary import AcknowledgementLevel, CaseState
from panji.errors import Reason, RefusedError
from panji.profile import Profile

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
    text = first.read_text().replace('"keys/statements.pem"', '"keys/second.pem"').replace("state.db", "second.db")
    second.write_text(text)
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
