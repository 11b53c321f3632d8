"""The audit at start: an exchange that was killed, or whose disk lied, finds out before it signs anything new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core import merkle
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.merkle import Frontier
from panji.core.vocabulary import OPENING, Kind
from panji.errors import InputError, NoteError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server.erasures import Erasures
from panji_server.sequencing import leaf_of
from panji_server.storage.base import Storage, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from panji.core.note import NoteVerifier
    from panji_server.storage.base import Row

LATEST = 1000
"""Statements, counted from the end, that are looked at one by one."""
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
    cases = _named(storage, rows)
    erasures = Erasures(storage, log.name, to_both=False)
    for row in rows:
        if leaf_of(row) != leaves.get((0, row.index)):
            raise StorageError(f"the statement at index {row.index} is not the one that was logged")
        # 5 What they are found and answered by is what they say. Stops taking the same bytes twice under an id that was
        #   changed, and showing them to others.
        _check_columns(row, cases)
        # 6 What is gone was erased by two persons, and what they erased is gone (the steps of panji_server.erasures).
        #   Stops erasure by one, and delivering again what was put back.
        _check_erasures(row, erasures)
    return checkpoint, len(rows)


def remember(storage: Storage) -> None:
    """Has the newest head of a log that passed :func:`audit` remembered outside of the database.

    Most often it is already. Where the file is not there, or is a little behind after a power cut, an older copy of the
    database would otherwise not be noticed before the next commit.

    Raises:
        StorageError: The storage failed.
    """
    size = storage.current_head().frontier.size
    for signed in storage.checkpoints([size]).values():
        storage.remember(signed)


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


def _named(storage: Storage, rows: Sequence[Row]) -> Mapping[int, str]:
    """Returns the ids of the cases that these statements are said to belong to."""
    openings = storage.rows({row.case_index for row in rows})
    return {row.index: row.id for row in openings}


def _check_erasures(row: Row, erasures: Erasures) -> None:
    flaw = ""
    if row.erased:
        flaw = erasures.flaw(row)
    elif row.kind == Kind.ERASURE:
        flaw = erasures.undone(row)
    if flaw:
        raise StorageError(f"the statement at index {row.index} {flaw}")


def _check_columns(row: Row, cases: Mapping[int, str]) -> None:
    if row.erased:
        return  # what it is kept under, no more than its erasure says
    try:
        said = parse_statement(parse_envelope(row.envelope).payload, strict=False)
    except InputError as error:
        raise StorageError(f"the statement at index {row.index} is none: {error}") from error
    opens = said.kind in OPENING
    if (row.id, row.kind, row.sender, row.recipient, cases.get(row.case_index), row.case_index == row.index) != (
        said.id, said.kind, said.sender, said.recipient, said.id if opens else said.case_id, opens,
    ):  # fmt: skip
        raise StorageError(f"the statement at index {row.index} is kept under another's id, parties or case")
