"""The audit at start finds every kind of damage before anything new is signed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.memory import MemoryStorage
from support.rooms import LOG, SIGNERS, a_record, erasures_of, flags, put, reply
from support.statements import EXCHANGE, MINISTRY, an_acknowledgement

from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.wire.envelopes import encode_envelope
from panji_server import startup
from panji_server.startup import audit, remember
from panji_server.storage.base import StorageError
from panji_server.storage.codec import join_hashes
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.merkle import Frontier


class Log:
    """A log of nine statements in three commits, and a way to damage it by hand."""

    def __init__(self, path: Path, *, empty: bool = False) -> None:
        self.path = path
        self.frontiers: dict[int, Frontier] = {}
        if empty:
            return
        with closing(SQLiteStorage(path)) as storage:
            for first, count in ((1, 3), (4, 2), (6, 4)):
                put(storage, *flags(count, first=first))
                frontier = storage.current_head().frontier
                self.frontiers[frontier.size] = frontier

    def damage(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def set_head(self, size: int) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            hashes = join_hashes(self.frontiers[size].hashes)
            connection.execute("UPDATE head SET size = ?, frontier = ?", (size, hashes))

    def audit(self, verifier: NoteVerifier = LOG.verifier) -> tuple[int, int]:
        with closing(SQLiteStorage(self.path)) as storage:
            checkpoint, checked = audit(storage, verifier)
        return checkpoint.size if checkpoint else 0, checked


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "exchange.db")


def test_a_log_that_is_whole_passes(log: Log) -> None:
    assert log.audit() == (9, 9)


def test_an_empty_log_passes(tmp_path: Path) -> None:
    with closing(SQLiteStorage(tmp_path / "new.db")) as storage:
        assert audit(storage, LOG.verifier) == (None, 0)


def test_only_the_latest_statements_are_looked_at_one_by_one(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "LATEST", 4)
    log.damage("UPDATE statement SET envelope = x'00' WHERE idx = 4")
    assert log.audit() == (9, 4)
    log.damage("UPDATE statement SET envelope = x'00' WHERE idx = 5")
    with pytest.raises(StorageError, match="index 5"):
        log.audit()


# Nodes are numbered as leaves complete them (test_codec.py): leaf 4 is node 7, the subtree of leaves 0 to 7 node 14,
# and leaf 8 node 15; the last two are the right edge.
STATEMENT = "at index 4 is not the one that was logged"
KEPT = "at index 4 is kept under another's id, parties or case"
DAMAGE = {
    "the last statement truncated": ("DELETE FROM statement WHERE idx = 8", "missing from the end"),
    "a statement in the middle gone": ("DELETE FROM statement WHERE idx = 4", "missing from the end"),
    "an envelope replaced": ("UPDATE statement SET envelope = x'00' WHERE idx = 4", STATEMENT),
    "an envelope replaced together with its digest": (
        (
            "UPDATE statement SET envelope = x'78', "
            "digest = x'2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' WHERE idx = 4"
        ),
        STATEMENT,
    ),
    "a digest replaced": ("UPDATE statement SET digest = zeroblob(32) WHERE idx = 4", STATEMENT),
    "a digest cut short": ("UPDATE statement SET digest = x'00' WHERE idx = 4", STATEMENT),
    "a kind replaced": ("UPDATE statement SET kind = 'decision' WHERE idx = 4", STATEMENT),
    "a kind that is none": ("UPDATE statement SET kind = 'Order!' WHERE idx = 4", STATEMENT),
    "a recipient replaced": ("UPDATE statement SET recipient = 'mallory' WHERE idx = 4", STATEMENT),
    "a place in the feed replaced": ("UPDATE statement SET sequence = 50 WHERE idx = 4", STATEMENT),
    "a time replaced": ("UPDATE statement SET received_at = received_at - 1 WHERE idx = 4", STATEMENT),
    "a salt erased": ("UPDATE statement SET salt = x'' WHERE idx = 4", STATEMENT),
    "a salt taken from another statement": (
        "UPDATE statement SET salt = (SELECT salt FROM statement WHERE idx = 3) WHERE idx = 4",
        STATEMENT,
    ),
    "the commitment replaced": ("UPDATE statement SET commitment = zeroblob(32) WHERE idx = 4", STATEMENT),
    "an id replaced": ("UPDATE statement SET id = zeroblob(16) WHERE idx = 4", KEPT),
    "a sender replaced": ("UPDATE statement SET sender = 'mallory' WHERE idx = 4", KEPT),
    "a flag put into another case": ("UPDATE statement SET case_idx = 3 WHERE idx = 4", KEPT),
    "the newest checkpoint gone": ("DELETE FROM checkpoint WHERE size = 9", "no checkpoint of that size"),
    "an older checkpoint in the newest's place": (
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 5) WHERE size = 9",
        "not the one that its newest checkpoint says",
    ),
    "a checkpoint that nobody signed": (
        "UPDATE checkpoint SET note = replace(note, '9', '8') WHERE size = 9",
        "not of this log key",
    ),
    "a node of the right edge gone": ("DELETE FROM node WHERE key = 14", "nodes of the tree"),
    "a node of the right edge replaced": (
        "UPDATE node SET hash = zeroblob(32) WHERE key = 15",
        "nodes of the tree",
    ),
    "a leaf gone": ("DELETE FROM node WHERE key = 7", STATEMENT),
    "a leaf replaced": ("UPDATE node SET hash = zeroblob(32) WHERE key = 7", STATEMENT),
    "a head of other hashes": ("UPDATE head SET frontier = zeroblob(64)", "not the one that its newest checkpoint"),
    "a head whose hashes do not fit its size": ("UPDATE head SET size = 8 + 3", "damaged"),
    "no head": ("DELETE FROM head", "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(log: Log, damage: str) -> None:
    statement, complaint = DAMAGE[damage]
    log.damage(statement)
    with pytest.raises(StorageError, match=complaint):
        log.audit()


def test_a_head_that_was_set_back_alone_is_found(log: Log) -> None:
    """Attack, or a bad restore: the next commit would sign a second tree for a size that was given out."""
    log.set_head(5)
    with pytest.raises(StorageError, match="says 5 entries, but the database goes on to 9"):
        log.audit()


def test_a_head_that_was_set_back_together_with_its_checkpoints_is_found(log: Log) -> None:
    log.set_head(5)
    log.damage("DELETE FROM checkpoint WHERE size > 5")
    with pytest.raises(StorageError, match="goes on to 9"):
        log.audit()


def test_a_head_that_was_set_back_together_with_its_statements_is_found(log: Log) -> None:
    log.set_head(5)
    log.damage("DELETE FROM statement WHERE idx >= 5")
    with pytest.raises(StorageError, match="goes on to 9"):
        log.audit()


def test_a_head_that_was_emptied_over_a_full_log_is_found(log: Log) -> None:
    log.damage("UPDATE head SET size = 0, frontier = x'', received_at = NULL")
    with pytest.raises(StorageError, match="says 0 entries"):
        log.audit()


def test_a_head_that_ran_ahead_of_the_log_is_found(log: Log) -> None:
    log.damage("UPDATE head SET size = 10")  # as many bits as 9, so its hashes fit
    with pytest.raises(StorageError, match="10 entries and no checkpoint"):
        log.audit()


@pytest.mark.parametrize(
    "verifier",
    [
        NoteSigner(EXCHANGE, PrivateKeySigner.generate()).verifier,
        NoteVerifier.for_key("another.example/log", LOG.verifier.public_key),
    ],
    ids=["another key", "another name"],
)
def test_a_log_of_another_key_or_name_is_not_gone_on_with(log: Log, verifier: NoteVerifier) -> None:
    with pytest.raises(StorageError, match="not of this log key and origin"):
        log.audit(verifier)


def test_another_server_that_appends_during_the_audit_is_no_damage() -> None:
    class Shared(MemoryStorage):
        def extent(self) -> int:
            before = super().extent()
            put(self, *flags(2, first=before + 1))
            return before

    storage = Shared()
    put(storage, *flags(3))
    checkpoint, checked = audit(storage, LOG.verifier)
    assert checkpoint is not None
    assert (checkpoint.size, checked) == (5, 5)


def test_an_audit_changes_nothing(log: Log) -> None:
    with closing(SQLiteStorage(log.path)) as storage:
        before = storage.rows(range(9)), storage.current_head()
        audit(storage, LOG.verifier)
        assert (storage.rows(range(9)), storage.current_head()) == before
        (again,) = put(storage, *flags(1, first=10))
        assert again.row.index == 9


# The head that is remembered outside of the database.


def remembering(size: int, root: bytes | None = None, signer: NoteSigner = LOG) -> MemoryStorage:
    """A log of five statements, and a remembered head: that of so many of them, unless another root is given."""
    storage, roots = MemoryStorage(), {}
    for number in range(1, 6):
        put(storage, *flags(1, first=number))
        roots[number] = storage.current_head().frontier.root()
    checkpoint = Checkpoint(signer.verifier.name, size, root or roots.get(size, bytes(32)))
    storage.remembered = sign_checkpoint(checkpoint, signer)
    return storage


@pytest.mark.parametrize("size", range(1, 6))
def test_a_log_that_goes_on_from_the_remembered_head_passes(size: int) -> None:
    checkpoint, _ = audit(remembering(size), LOG.verifier)
    assert checkpoint is not None
    assert checkpoint.size == 5


def test_a_log_that_ends_before_the_remembered_head_is_not_gone_on_with() -> None:
    """Attack, or an old copy: all of it is consistent, and it would sign a second history."""
    with pytest.raises(StorageError, match="ends at 5 entries, and the exchange has signed 6"):
        audit(remembering(6), LOG.verifier)


@pytest.mark.parametrize("size", [3, 5])
def test_a_log_that_differs_from_the_remembered_head_is_not_gone_on_with(size: int) -> None:
    with pytest.raises(StorageError, match=f"first {size} entries are not those that the exchange has signed"):
        audit(remembering(size, bytes(32)), LOG.verifier)


def test_a_log_whose_nodes_of_then_are_gone_is_not_gone_on_with(log: Log) -> None:
    log.damage("DELETE FROM node WHERE key = 2")  # the first two leaves' parent, of which a head of three was made
    head = Checkpoint(LOG.verifier.name, 3, log.frontiers[3].root())
    log.path.with_name("exchange.db-head").write_text(sign_checkpoint(head, LOG))
    with pytest.raises(StorageError, match="first 3 entries are not those"):
        log.audit()


@pytest.mark.parametrize("signer", [NoteSigner(EXCHANGE, PrivateKeySigner.generate()), None], ids=["others", "garbage"])
def test_a_remembered_head_that_is_not_the_logs_is_a_reason_to_stop(signer: NoteSigner | None) -> None:
    storage = remembering(5, signer=signer or LOG)
    if signer is None:
        storage.remembered = storage.remembered.replace("5", "6", 1)
    with pytest.raises(StorageError, match="the remembered head is damaged, or of another log key or origin"):
        audit(storage, LOG.verifier)


def test_a_log_without_a_remembered_head_has_one_after_its_start(log: Log) -> None:
    """An older copy that takes the place of this database before its next commit is noticed, too."""
    file = log.path.with_name("exchange.db-head")
    file.unlink()
    with closing(SQLiteStorage(log.path)) as storage:
        checkpoint, _ = audit(storage, LOG.verifier)
        assert not file.exists()
        remember(storage)
    assert open_checkpoint(file.read_text(), LOG.verifier) == checkpoint


def test_an_empty_log_has_no_head_to_remember() -> None:
    storage = MemoryStorage()
    remember(storage)
    assert storage.remembered_head() == ""


def test_an_empty_log_with_a_remembered_head_is_not_begun_again() -> None:
    storage = MemoryStorage()
    storage.remembered = remembering(2).remembered
    with pytest.raises(StorageError, match="ends at 0 entries, and the exchange has signed 2"):
        audit(storage, LOG.verifier)


# What statements are found by, and what was erased.


@pytest.fixture
def cases_log(tmp_path: Path) -> Log:
    """Three flags; an answer to the first; the second erased, of which both sides are told."""
    log = Log(tmp_path / "cases.db", empty=True)
    with closing(SQLiteStorage(log.path)) as storage:
        first, second, third = flags(3)
        put(storage, first, second, third)
        put(storage, reply(first, an_acknowledgement(), 4))
        put(storage, a_record())
        put(storage, *erasures_of(second, at=storage))
    return log


def test_a_log_from_which_something_was_erased_by_law_passes(cases_log: Log) -> None:
    assert cases_log.audit() == (7, 7)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    {
        "a reply put into another case": ("SET case_idx = 2 WHERE idx = 3", "index 3 is kept under another's"),
        "a reply made a case of its own": ("SET case_idx = 3 WHERE idx = 3", "index 3 is kept under another's"),
        "a reply put into no case": ("SET case_idx = 77 WHERE idx = 3", "index 3 is kept under another's"),
        "a flag gone as if erased": ("SET envelope = x'', salt = x'' WHERE idx = 0", "index 0 has no content"),
        "an erasure gone itself": ("SET envelope = x'', salt = x'' WHERE idx = 5", "index 5 has no content"),
        "another commitment in the place of an erased one": (
            "SET commitment = zeroblob(32) WHERE idx = 1",
            "index 1 is not the one that was logged",
        ),
        "an erased statement of another kind": ("SET kind = 'Order!' WHERE idx = 1", "index 1 is not the one"),
    }.values(),
)
def test_statements_that_are_kept_as_what_they_are_not_are_found(cases_log: Log, damage: str, complaint: str) -> None:
    """Attack, or a flipped bit: the same bytes would be taken twice, an answer shown to others, a flag be forgotten."""
    cases_log.damage(f"UPDATE statement {damage}")
    with pytest.raises(StorageError, match=complaint):
        cases_log.audit()


def test_a_statement_that_was_logged_and_is_none_is_found() -> None:
    """By a defect: nothing that is no statement is admitted."""
    storage = MemoryStorage()
    (flag,) = flags(1)
    data = encode_envelope(dsse.sign(b"no statement", [SIGNERS[MINISTRY]]))
    put(storage, replace(flag, envelope=data, digest=dsse.digest(data)))
    with pytest.raises(StorageError, match="statement at index 0 is none"):
        audit(storage, LOG.verifier)
