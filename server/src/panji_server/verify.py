"""Audits the whole log in a database: ``panji log verify --config FILE``, which runs ``python -m panji_server.verify``.

Beyond what :mod:`panji.core.audit` checks of any log, a database must hold

* every node of the tree, those inside of tiles too: proofs are made of them;
* of every statement the envelope and the salt that its log entry commits to, or an erasure that accounts for it, by two
  persons and to each side; and nothing of what an erasure names;
* for every statement the checkpoint that its receipt carries, signed, and of this history;
* the tables and indexes of its schema and nothing else, and no index that misses a record.

A running exchange may go on meanwhile: what is audited is the log up to the head that it had at the beginning.
"""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panji.core import envelope as dsse
from panji.core import tiles as parts
from panji.core.audit import Audited, Auditor, LogReader
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.entry import commit
from panji.core.merkle import Frontier
from panji.core.tiles import ENTRIES
from panji.core.vocabulary import Kind
from panji.errors import AuditError, InputError, TransportError
from panji_server import offline, tiles
from panji_server.erasures import Erasures
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from panji.core.note import NoteVerifier
    from panji.core.tiles import Tile
    from panji_server.storage.base import Row, Storage


class DatabaseReader(LogReader):
    """Reads a log out of a database, and checks on the way what is not in the log itself."""

    def __init__(self, storage: Storage, log: NoteVerifier) -> None:
        self._storage = storage
        self._log = log
        self._erasures = Erasures(storage, log.name)

    def checkpoint(self) -> str:
        """Return the newest signed checkpoint."""
        signed = tiles.newest_checkpoint(self._storage)
        if not signed:
            raise TransportError("there is no checkpoint: the log is empty")
        return signed

    def tile(self, tile: Tile) -> bytes:
        """Return a tile or bundle."""
        data = tiles.read(self._storage, tile)
        if data is None:
            raise AuditError(tile.path, "is missing, and the checkpoint commits to it")
        if tile.level != ENTRIES:
            self._check_inner(tile, parts.split_hashes(tile, data))
        return data

    def heads(self, bundle: Tile) -> list[Checkpoint]:
        """Return the checkpoints that the receipts of a bundle's statements carry, and check those statements.

        Raises:
            AuditError: One is missing, or a statement is not the one that was logged.
            NoteError: One is not the log's.
        """
        rows = self._storage.rows(range(bundle.first_entry, bundle.first_entry + bundle.width))
        for row in rows:
            if row.erased:
                _require(row, self._erasures.flaw(row))
                continue
            _check_statement(row)
            if row.kind == Kind.ERASURE:
                _require(row, self._erasures.undone(row))
        sizes = sorted({row.tree_size for row in rows})
        notes = self._storage.checkpoints(sizes)
        for row in rows:
            if row.tree_size <= row.index or row.tree_size not in notes:
                raise AuditError(f"entry {row.index}", "has no checkpoint for its receipt")
        return [self._head(size, notes[size]) for size in sizes]

    def _head(self, size: int, note: str) -> Checkpoint:
        head = open_checkpoint(note, self._log)
        if head.size != size:
            raise AuditError(f"the checkpoint of {size} entries", f"says {head.size}")
        return head

    def _check_inner(self, tile: Tile, hashes: list[bytes]) -> None:
        first = tile.index * parts.WIDTH
        inner = {
            (tile.height + level, (first >> level) + index): value
            for level, index, value in Frontier(0).extend(hashes).nodes
        }
        stored = self._storage.nodes(list(inner))
        for (height, index), value in inner.items():
            if stored.get((height, index)) != value:
                raise AuditError(f"node {index} of height {height}", "is not what the nodes below it make")


def _require(row: Row, flaw: str) -> None:
    if flaw:
        raise AuditError(f"entry {row.index}", flaw)


def _check_statement(row: Row) -> None:
    where = f"entry {row.index}"
    if dsse.digest(row.envelope) != row.digest:
        raise AuditError(where, "has another envelope than the one that was logged")
    try:
        commitment = commit(row.salt, row.digest, row.recipient, row.sequence)
    except InputError as error:
        raise AuditError(where, f"has no commitment: {error}") from error
    if commitment != row.commitment:
        raise AuditError(where, "does not commit to its statement, recipient and sequence")


def verify(
    storage: Storage,
    log: NoteVerifier,
    *,
    older: Iterable[Checkpoint] = (),
    report: Callable[[int, int], None] = lambda _read, _size: None,
) -> Audited:
    """Audits a database.

    Raises:
        VerificationError: The log is not what its head says.
        StorageError: The database is damaged.
        TransportError: The log is empty.
    """
    reader = DatabaseReader(storage, log)
    if flaws := storage.flaws():
        raise AuditError("the database", f"is damaged: {flaws[0]}")
    auditor = Auditor(open_checkpoint(reader.checkpoint(), log))
    sizes = auditor.expect_all(older)
    for tile in auditor.wanted():
        if tile.level == ENTRIES:
            for head in reader.heads(tile):
                auditor.expect(head)
        auditor.take(tile, reader.tile(tile))
        if tile.level == ENTRIES:
            report(auditor.read, auditor.checkpoint.size)
    return replace(auditor.result(), older=sizes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audits a database and says what is proven. Returns the exit code."""
    parser = offline.parser("verify", "Audits the log in a database.")
    parser.add_argument("--since", type=Path, action="append", default=[], help="an older signed checkpoint; repeat")
    options = parser.parse_args(arguments)

    def work() -> tuple[dict[str, Any], str]:
        config, log = offline.settings(options)
        try:
            older = [open_checkpoint(path.read_text("utf-8"), log) for path in options.since]
        except (OSError, UnicodeError) as error:
            raise InputError(f"an older checkpoint cannot be read: {error}") from error
        with closing(SQLiteStorage(config.database)) as storage:
            audited = verify(storage, log, older=older, report=offline.progress(options, "auditing"))
        return {"type": "audit"} | audited.record(), f"Verified: {audited}."

    return offline.run(options, work)


if __name__ == "__main__":
    sys.exit(main())
