"""Rebuilding from the log: the same to the last record, or the first difference by name."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import LOG, a_record, admitted, an_erasure_of, counting_salts, flags, put, reply
from support.statements import (
    MINISTRY,
    NOON,
    PLATFORM,
    a_clarification_request,
    a_deadline_missed,
    a_decision,
    a_flag,
    a_statement,
    an_acknowledgement,
    an_id,
)

from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.development import init
from panji_server.rebuild import DifferenceError, compare, main, rebuild
from panji_server.sequencing import sequence
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from pathlib import Path

    from panji_server.storage.base import Storage

QUIET: Any = lambda _done, _size: None  # noqa: E731 - a progress that nobody looks at


def fill(storage: Storage) -> None:
    """A log in which everything has happened: 14 statements in 9 commits."""
    one, two, three, four = flags(4)
    put(storage, a_record())
    put(storage, one, two, three)
    put(storage, reply(one, an_acknowledgement(), 50), four)
    put(storage, reply(two, a_clarification_request(), 51), reply(one, a_decision(1), 52))
    put(storage, reply(three, a_deadline_missed(), 70), reply(three, a_deadline_missed(), 71, recipient=MINISTRY))
    answer = reply(three, an_acknowledgement(), 53)
    put(storage, answer)
    put(storage, an_erasure_of(three, answer, at=storage))
    put(storage, an_erasure_of(three, answer, number=91, recipient=MINISTRY, at=storage))
    put(storage, *flags(1, first=6))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with that log."""
    with contextlib.closing(SQLiteStorage(tmp_path / "exchange.db")) as storage:
        fill(storage)
    return tmp_path / "exchange.db"


def check(path: Path) -> None:
    with (
        contextlib.closing(SQLiteStorage(path)) as storage,
        contextlib.closing(SQLiteStorage(path.with_name("fresh.db"))) as fresh,
    ):
        rebuild(storage, fresh, LOG.verifier, progress=QUIET)
        compare(storage, fresh)


def harm(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1
        connection.commit()


def test_everything_follows_from_the_log_in_every_backend() -> None:
    storage, fresh = MemoryStorage(), MemoryStorage()
    fill(storage)
    told: list[tuple[int, int]] = []
    assert rebuild(storage, fresh, LOG.verifier, progress=lambda *done: told.append(done)) == 14
    assert told[-1] == (14, 14)
    compare(storage, fresh)


def test_everything_follows_from_the_log_in_a_file(path: Path) -> None:
    check(path)


def test_a_log_without_entries_makes_nothing() -> None:
    storage, fresh = MemoryStorage(), MemoryStorage()
    assert rebuild(storage, fresh, LOG.verifier, progress=QUIET) == 0
    compare(storage, fresh)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE cases SET state = 6 WHERE idx = 1", "cases, idx 1: state is 6, and by the log 5"),
        ("UPDATE cases SET overdue_since = 1 WHERE idx = 2", "cases, idx 2: overdue_since is 1, and by the log None"),
        (
            "UPDATE target SET outcome = 2 WHERE case_idx = 1",
            "target, case_idx 1, position 1: outcome is 2, and by the",
        ),
        ("UPDATE cases SET overdue_since = 77 WHERE idx = 3", "cases, idx 3: overdue_since is 77, and by the log 1777"),
        (
            "UPDATE cases SET overdue_since = NULL WHERE idx = 3",
            "cases, idx 3: overdue_since is None, and by the log 1",
        ),
        ("UPDATE cases SET updated_at = 5 WHERE idx = 3", "cases, idx 3: updated_at is 5, and by the log 17"),
        ("UPDATE cases SET open_question = zeroblob(32) WHERE idx = 3", "cases, idx 3: open_question is 0000"),
        ("UPDATE cases SET test = 1 WHERE idx = 3", "statement 8 does not fit its case: TEST_MARKER_MISMATCH"),
        ("DELETE FROM target WHERE case_idx = 2", "target: the record with case_idx 2, position 1 is missing"),
        ("INSERT INTO target VALUES (1, 2, 1, 0, 0, 0)", "target: the record with case_idx 1, position 2 is surplus"),
        (
            "UPDATE statement SET sender = 'another' WHERE idx = 4",
            "statement, idx 4: sender is another, and by",
        ),
        ("UPDATE statement SET sequence = 99 WHERE idx = 4", "statement, idx 4: sequence is 99, and by the log 1"),
        ("UPDATE statement SET case_idx = 2 WHERE idx = 4", "statement, idx 4: case_idx is 2, and by the log 1"),
        ("UPDATE statement SET digest = x'00' WHERE idx = 1", "statement, idx 1: digest is 00, and by the log"),
        ("UPDATE statement SET commitment = x'00' WHERE idx = 1", "commitment is 00, and by the log"),
        ("UPDATE node SET hash = x'' WHERE key = 0", "node, key 0: hash is empty, and by the log"),
        ("DELETE FROM node WHERE key = 3", "node: the record with key 3 is missing"),
        ("UPDATE head SET received_at = 1", "head, size 14: received_at is 1, and by the log"),
        ("INSERT INTO checkpoint VALUES (2, 'x')", "checkpoint: the record with size 2 is surplus"),
    ],
)
def test_a_record_that_was_changed_by_hand_is_named(path: Path, change: str, told: str) -> None:
    harm(path, change)
    with pytest.raises(DifferenceError) as difference:
        check(path)
    assert told in str(difference.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE statement SET received_at = received_at + 1 WHERE idx = 4", "entries 4 to 5 do not lead to the check"),
        ("UPDATE statement SET salt = randomblob(16) WHERE idx = 4", "entries 4 to 5 do not lead to the checkpoint"),
        ("UPDATE statement SET salt = x'' WHERE idx = 4", "statement 4 makes no log entry"),
        ("UPDATE statement SET envelope = x'00' WHERE idx = 4", "statement 4 is none"),
        (
            "UPDATE statement SET envelope = x'' WHERE idx = 1",
            "statement 1 has no content, and its salt is still there",
        ),
        (
            "UPDATE statement SET commitment = zeroblob(32) WHERE idx = 3",
            "entries 1 to 3 do not lead to",
        ),
        ("UPDATE statement SET tree_size = 7 WHERE idx = 5", "the statements end at 5, where the checkpoint of 6"),
        ("DELETE FROM checkpoint WHERE size = 6", "there is no checkpoint of 6 entries"),
        ("UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 4) WHERE size = 6", "4 to 5 do not"),
        ("DELETE FROM statement WHERE idx = 13", "the log has 13 statements, and its head says 14"),
        ("DELETE FROM statement WHERE idx = 5", "the statements end at 5, where the checkpoint of 6"),
    ],
)
def test_a_log_that_is_not_what_was_signed_is_told_from_where_on(path: Path, change: str, told: str) -> None:
    harm(path, change)
    with pytest.raises(DifferenceError) as difference:
        check(path)
    assert told in str(difference.value)


BLANK = "UPDATE statement SET envelope = x'', salt = x'' WHERE idx = {}"
NO_ERASURE = "has no content, and no erasure of its case is in the log after it"
ANOTHER_ERASURE = "has no content, and the erasure of its case is not of exactly what is gone from it"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            [BLANK.format(7), "UPDATE cases SET state = 2 WHERE idx = 1"],
            f"7 {NO_ERASURE}",
            id="a decision, and its case set back",
        ),
        pytest.param([BLANK.format(2), BLANK.format(6)], f"2 {NO_ERASURE}", id="a case as a whole"),
        pytest.param([BLANK.format(0)], "(directory_record) is never erased", id="a directory"),
        pytest.param([BLANK.format(8)], "(deadline_missed) is never erased", id="a missed deadline"),
        pytest.param([BLANK.format(12)], "3 was erased, and no erasure tells kominfo so", id="one of two erasures"),
        pytest.param([BLANK.format(11), BLANK.format(12)], f"3 {NO_ERASURE}", id="both erasures"),
        pytest.param(
            ["UPDATE statement SET digest = zeroblob(32) WHERE idx = 10"],
            f"3 {ANOTHER_ERASURE}",
            id="the digest of what is gone",
        ),
        pytest.param(
            ["UPDATE statement SET sender = 'another' WHERE idx = 10"],
            f"3 {ANOTHER_ERASURE}",
            id="the sender of what is gone",
        ),
        pytest.param(
            ["UPDATE statement SET id = randomblob(16) WHERE idx = 3"], f"3 {ANOTHER_ERASURE}", id="the case's id"
        ),
        pytest.param(
            ["UPDATE statement SET envelope = (SELECT envelope FROM statement WHERE idx = 1) WHERE idx = 11",
             "UPDATE statement SET envelope = x'00' WHERE idx = 12"],
            "3 has no content, and the erasure of its case is not proven: an operator does not say it",
            id="erasures that are none",
        ),
        pytest.param(
            ["UPDATE statement SET case_idx = 2 WHERE idx = 3"], f"3 {NO_ERASURE}", id="what is gone in another case"
        ),
        pytest.param(
            ["UPDATE statement SET sequence = 77 WHERE idx = 3"], "not of exactly what is gone from it", id="its place"
        ),
        pytest.param(["UPDATE cases SET category = 77 WHERE idx = 3"], "cases, idx 3: SQLite: a stored", id="category"),
        pytest.param(["UPDATE cases SET authority = 'x' WHERE idx = 3"], "cases, idx 3: the parties", id="authority"),
        pytest.param(["UPDATE cases SET opened_at = 5 WHERE idx = 3"], "cases, idx 3: the parties or the", id="time"),
        pytest.param(["UPDATE cases SET state = 1 WHERE idx = 3"], "3 has no content, and its case is", id="state"),
    ],
)  # fmt: skip
def test_content_that_is_gone_is_what_an_erasure_says_and_nothing_else(
    path: Path, changes: list[str], told: str
) -> None:
    harm(path, *changes)
    with pytest.raises(DifferenceError) as difference:
        check(path)
    assert told in str(difference.value)


def test_a_schema_that_is_not_ours_is_a_difference(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX statement_feed")
    with pytest.raises(DifferenceError, match="damaged: index statement_feed is not the schema's"):
        check(path)


def test_an_envelope_put_in_the_place_of_another_does_not_fit(path: Path) -> None:
    """The acknowledgement of one case in place of another statement: it says nothing that the case allows."""
    harm(path, "UPDATE statement SET envelope = (SELECT envelope FROM statement WHERE idx = 4) WHERE idx = 7")
    with pytest.raises(DifferenceError, match="statement 7 does not fit its case: MOVE_NOT_ALLOWED"):
        check(path)


def test_a_reply_whose_case_is_gone_is_told(path: Path) -> None:
    flag = admitted(a_statement(a_flag(), id=an_id(77)))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE statement SET envelope = ? WHERE idx = 4", (reply(flag, a_decision(1), 78).envelope,)
        )
        connection.commit()
    with pytest.raises(DifferenceError, match="statement 4 belongs to a case that is not in the log before it"):
        check(path)


def test_the_log_of_another_key_is_not_this_one(path: Path) -> None:
    other = NoteSigner(LOG.verifier.name, PrivateKeySigner.generate())
    with (
        contextlib.closing(SQLiteStorage(path)) as storage,
        pytest.raises(DifferenceError, match="a checkpoint is not of this log"),
    ):
        rebuild(storage, MemoryStorage(), other.verifier, progress=QUIET)


# The program.


def run(*arguments: object) -> int:
    return main([str(one) for one in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A development exchange with a log of three statements."""
    made = init(tmp_path / "made", now=NOON)
    key = PrivateKeySigner.from_pem((made.config.parent / "keys/log.pem").read_bytes())
    signer = NoteSigner(made.origin, key)
    with contextlib.closing(SQLiteStorage(made.config.parent / "exchange.db")) as storage, storage.append() as append:
        items = flags(3)
        known = append.load({one.statement.id for one in items}, set(), set(), {PLATFORM})
        written = sequence(items, append.head(), known, signer, counting_salts()).commit
        assert written is not None
        append.store(written)
    return made.config


def test_the_program_says_that_everything_is_the_same_and_leaves_nothing_behind(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in config.parent.iterdir())
    assert run("--config", config) == 0
    assert capsys.readouterr().out == "Rebuilt: every record of 3 statements follows from the log.\n"
    assert run("--config", config, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"type": "rebuild", "entries": 3, "same": True, "out": None}
    assert {path.name for path in config.parent.iterdir()} - set(before) <= {"exchange.db-wal", "exchange.db-shm"}


def test_a_database_that_was_changed_is_named_and_the_one_that_was_made_can_be_kept(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(config.parent / "exchange.db", "UPDATE cases SET state = 5 WHERE idx = 1")
    out = tmp_path / "mended.db"
    assert run("--config", config, "--out", out) == 4
    assert "cases, idx 1: state is 5, and by the log 1 [VERIFICATION_FAILED]" in capsys.readouterr().err
    out.replace(config.parent / "exchange.db")
    assert run("--config", config) == 0


def test_nothing_is_overwritten(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("mine")
    assert run("--config", config, "--out", tmp_path / "there", "--json") == 2
    assert "nothing is overwritten" in json.loads(capsys.readouterr().err)["error"]["message"]
    assert (tmp_path / "there").read_text() == "mine"


def test_a_running_exchange_is_not_compared_with(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it wrote meanwhile would be a difference that is none."""
    with contextlib.closing(SQLiteStorage(config.parent / "exchange.db", exclusive=True)):
        assert run("--config", config) == 2
    assert "another exchange works on this database: stop the exchange first" in capsys.readouterr().err
    assert run("--config", config) == 0


def test_what_a_killed_rebuild_has_left_is_removed(config: Path) -> None:
    left = config.parent / ".rebuild-exchange.db-x1y2"
    of_another = config.parent / ".rebuild-other.db-x1y2"
    for folder in (left, of_another):
        folder.mkdir()
        (folder / "rebuilt.db-wal").write_text("content")
    assert run("--config", config) == 0
    assert not left.exists()
    assert of_another.exists()


def test_what_a_killed_rebuild_has_left_and_cannot_be_removed_is_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / ".rebuild-exchange.db-x").write_text("no folder")
    assert run("--config", config) == 4
    assert "what a rebuild has left cannot be removed" in capsys.readouterr().err
