"""The audit at start: an exchange that was killed, or whose disk lied, finds out before it signs anything new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core import merkle
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.entry import Entry, commit
from panji.core.merkle import Frontier
from panji.errors import InputError, NoteError
from panji_server.storage.base import Storage, StorageError

if TYPE_CHECKING:
    from panji.core.note import NoteVerifier
    from panji_server.storage.base import Row

LATEST = 1000
"""Statements, counted from the end, whose envelopes are hashed again."""
_SEE = "; see docs/operations.md, A database that is refused"


def audit(storage: Storage, log: NoteVerifier) -> tuple[Checkpoint | None, int]:
    """Checks that the stored log ends as its last checkpoint says.

    Args:
        storage: The database.
        log: The key that the log's checkpoints must be signed with.

    Returns:
        The newest checkpoint, None for an empty log; and how many statements were looked at one by one.

    Raises:
        StorageError: It does not: the database is damaged, incomplete, or of another exchange.
    """
    # 1 The head is the one that was signed. Stops signing a second history over a database that was set back in part,
    #   and starting with another exchange's database or key.
    remembered = storage.remembered_head()  # both before the head, which another process may move on meanwhile
    extent = storage.extent()
    frontier = storage.current_head().frontier
    if extent > frontier.size:
        raise StorageError(f"the log's head says {frontier.size} entries, but the database goes on to {extent}")
    if frontier.size == 0:
        _require_remembered(storage, remembered, log, frontier)
        return None, 0
    signed = storage.checkpoints([frontier.size]).get(frontier.size)
    if signed is None:
        raise StorageError(f"the log has {frontier.size} entries and no checkpoint of that size")
    try:
        checkpoint = open_checkpoint(signed, log)
    except NoteError as error:
        raise StorageError(f"the newest checkpoint is not of this log key and origin: {error}") from error
    if checkpoint.size != frontier.size or checkpoint.root != frontier.root():
        raise StorageError("the log's head is not the one that its newest checkpoint says")
    # 2 The tree has the nodes that the head is made of.
    positions = merkle.frontier_nodes(frontier.size)
    nodes = storage.nodes(positions)
    if tuple(nodes.get(position, b"") for position in positions) != frontier.hashes:
        raise StorageError("nodes of the tree are missing, or not those of the head")
    # 3 It goes on from the head that is remembered outside of the database. Stops signing a second history over a
    #   database that was set back as a whole: an old copy, or one whose write-ahead log is gone.
    _require_remembered(storage, remembered, log, frontier)
    # 4 The latest statements are there, without a gap, and are the ones that were logged. Older ones are for
    #   an audit of the whole log.
    first = max(0, frontier.size - LATEST)
    rows = storage.rows(range(first, frontier.size))
    if [row.index for row in rows] != list(range(first, frontier.size)):
        raise StorageError("statements are missing from the end of the log")
    leaves = storage.nodes([(0, row.index) for row in rows])
    for row in rows:
        if dsse.digest(row.envelope) != row.digest or _leaf(row) != leaves.get((0, row.index)):
            raise StorageError(f"the statement at index {row.index} is not the one that was logged")
    return checkpoint, len(rows)


def _require_remembered(storage: Storage, signed: str, log: NoteVerifier, frontier: Frontier) -> None:
    if not signed:
        return
    try:
        remembered = open_checkpoint(signed, log)
    except NoteError as error:
        raise StorageError(f"the remembered head is damaged, or of another log key or origin: {error}{_SEE}") from error
    if remembered.size > frontier.size:
        raise StorageError(
            f"the database ends at {frontier.size} entries, and the exchange has signed {remembered.size}: it was set"
            f" back, and would sign a second history{_SEE}"
        )
    positions = merkle.frontier_nodes(remembered.size)
    nodes = storage.nodes(positions)
    try:
        same = Frontier(remembered.size, tuple(nodes[position] for position in positions)).root() == remembered.root
    except (KeyError, InputError):  # a node is gone, or cut short
        same = False
    if not same:
        raise StorageError(f"the first {remembered.size} entries are not those that the exchange has signed{_SEE}")


def _leaf(row: Row) -> bytes:
    try:
        entry = Entry(row.kind, row.received_at, commit(row.salt, row.digest, row.recipient, row.sequence))
    except InputError:
        return b""  # what makes no entry was never logged
    return merkle.leaf_hash(entry.encode())
