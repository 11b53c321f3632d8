"""Rebuilding: every table is made anew from the log, and compared with what is there, record by record.

The log is the envelopes with their salts and times of receipt, in their order, and the signed checkpoints. All else
in the database follows from these: who spoke to whom, the places in feeds, the cases with their targets, the tree. Of
erased statements the log has only the entries, for which the tree still vouches; what else the database says is kept.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import closing
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panji.core import case as cases
from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.entry import Entry, commit
from panji.core.merkle import leaf_hash
from panji.core.vocabulary import RECORDS, CaseState, Kind
from panji.errors import InputError, NoteError, RefusedError, VerificationError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server import offline
from panji_server.erasures import Erasures
from panji_server.storage.base import COLUMNS, KEY_COLUMNS, Commit, Head, InUseError, Row, StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from panji.core.case import Case
    from panji.core.note import NoteVerifier
    from panji.core.statements import Statement
    from panji_server.storage.base import Known, Storage

_READ = 500
"""Statements read at once."""


class DifferenceError(VerificationError):
    """The database says something else than its log. The message names the first difference."""


def rebuild(storage: Storage, fresh: Storage, log: NoteVerifier, *, progress: Callable[[int, int], None]) -> int:
    """Makes everything anew from the log of one database in another, empty one.

    Args:
        storage: Where the log is.
        fresh: Where to.
        log: The log's key.
        progress: Told how many statements are done, and of how many.

    Returns:
        How many statements there are.

    Raises:
        DifferenceError: The log contradicts itself: an envelope, a time or a checkpoint is not what was signed.
        StorageError: A database failed.
    """
    if flaws := storage.flaws():
        raise DifferenceError(f"the database is damaged: {flaws[0]}")
    size = storage.current_head().frontier.size
    erasures = Erasures(storage)
    rows = (row for start in range(0, size, _READ) for row in storage.rows(range(start, min(start + _READ, size))))
    done = 0
    for tree_size, group in groupby(rows, key=lambda row: row.tree_size):
        found = list(group)
        done += len(found)
        if done != tree_size:
            raise DifferenceError(f"the statements end at {done}, where the checkpoint of {tree_size} was signed")
        signed = storage.checkpoints([tree_size]).get(tree_size)
        if signed is None:
            raise DifferenceError(f"there is no checkpoint of {tree_size} entries")
        with fresh.append() as transaction:
            replay = _Replay(transaction.head(), storage, erasures)
            replay.load(found, transaction.load)
            transaction.store(replay.commit(found, signed, _opened(signed, log)))
        progress(done, size)
    if done != size:
        raise DifferenceError(f"the log has {done} statements, and its head says {size}")
    return size


def compare(storage: Storage, fresh: Storage) -> None:
    """Compares all that follows from the log, record by record.

    Raises:
        DifferenceError: Of the first record that differs, is missing or surplus.
        StorageError: A database failed.
    """
    for table, columns in COLUMNS.items():
        for stored, rebuilt in zip_longest(storage.records(table), fresh.records(table)):
            if stored != rebuilt:
                raise DifferenceError(_told(table, columns, stored, rebuilt))


def _told(
    table: str, columns: Sequence[str], stored: tuple[object, ...] | None, rebuilt: tuple[object, ...] | None
) -> str:
    width = KEY_COLUMNS.get(table, 1)
    if stored is None or (rebuilt is not None and rebuilt[:width] < stored[:width]):
        return f"{table}: the record with {_key(columns, rebuilt, width)} is missing"
    if rebuilt is None or stored[:width] < rebuilt[:width]:
        return f"{table}: the record with {_key(columns, stored, width)} is surplus"
    name, was, is_ = next(
        (name, was, is_) for name, was, is_ in zip(columns, stored, rebuilt, strict=True) if was != is_
    )
    return f"{table}, {_key(columns, stored, width)}: {name} is {_shown(was)}, and by the log {_shown(is_)}"


def _key(columns: Sequence[str], record: tuple[object, ...] | None, width: int) -> str:
    assert record is not None  # noqa: S101 - of two records that differ, one is there
    return ", ".join(f"{name} {_shown(value)}" for name, value in zip(columns[:width], record, strict=False))


def _shown(value: object) -> str:
    return value.hex() or "empty" if isinstance(value, bytes) else str(value)


def _opened(signed: str, log: NoteVerifier) -> Checkpoint:
    try:
        return open_checkpoint(signed, log)
    except NoteError as error:
        raise DifferenceError(f"a checkpoint is not of this log: {error}") from error


class _Replay:
    """The statements of one commit, taken again."""

    def __init__(self, head: Head, storage: Storage, erasures: Erasures) -> None:
        self._head = head
        self._erasures = erasures
        self._storage = storage
        self._statements: dict[int, Statement | None] = {}
        self._cases: dict[str, tuple[int, Case]] = {}
        self._sequences: dict[str, int] = {}
        self._changed: dict[int, Case] = {}

    def load(self, rows: Sequence[Row], load: Callable[..., Known]) -> None:
        """Fetches what these statements build upon."""
        self._statements = {row.index: None if row.erased else _statement(row) for row in rows}
        named = {one.case_id for one in self._statements.values() if one is not None and one.case_id}
        known = load((), named, (), {row.recipient for row in rows})
        self._cases = dict(known.cases)
        self._sequences = dict(known.sequences)

    def commit(self, rows: Sequence[Row], signed: str, checkpoint: Checkpoint) -> Commit:
        """Returns what the commit wrote, as it follows from the log."""
        made = [self._take(row) for row in rows]
        leaves = [leaf_hash(Entry(row.kind, row.received_at, row.commitment).encode()) for row in made]
        extension = self._head.frontier.extend(leaves)
        if (extension.frontier.size, extension.root()) != (checkpoint.size, checkpoint.root):
            raise DifferenceError(
                f"entries {rows[0].index} to {rows[-1].index} do not lead to the checkpoint of {checkpoint.size} that"
                " was signed: one of them is not what was logged"
            )
        return Commit(made, self._changed, extension.nodes, Head(extension.frontier, made[-1].received_at), signed)

    def _take(self, row: Row) -> Row:
        statement = self._statements[row.index]
        if statement is None:
            self._erased(row)
            return row
        sequence = self._sequences.get(statement.recipient, 0) + 1
        self._sequences[statement.recipient] = sequence
        digest = dsse.digest(row.envelope)
        return Row(
            index=row.index,
            id=statement.id,
            kind=statement.kind.value,
            sender=statement.sender,
            recipient=statement.recipient,
            sequence=sequence,
            case_index=self._case_index(row, statement, digest),
            received_at=row.received_at,
            salt=row.salt,
            digest=digest,
            commitment=_commitment(row, digest, statement.recipient, sequence),
            tree_size=row.tree_size,
            envelope=row.envelope,
        )

    def _erased(self, row: Row) -> None:
        """Keeps what the database says of a statement that is gone; its entry is vouched for by the tree."""
        if flaw := self._erasures.flaw(row):
            raise DifferenceError(f"statement {row.index} {flaw}")
        expected = self._sequences.get(row.recipient, 0) + 1
        if row.sequence != expected:
            raise DifferenceError(f"statement, idx {row.index}: sequence is {row.sequence}, and by the log {expected}")
        self._sequences[row.recipient] = row.sequence
        if row.index == row.case_index:
            self._put(row.index, self._erased_case(row))

    def _erased_case(self, row: Row) -> Case:
        where = f"cases, idx {row.index}"
        try:
            found = self._storage.case(row.id)
        except StorageError as error:
            raise DifferenceError(f"{where}: {error}") from error
        if found is None or found[1].state is not CaseState.ERASED:
            raise DifferenceError(f"statement {row.index} has no content, and its case is not erased")
        case = found[1]
        if (case.authority, case.platform, case.opened_at) != (row.sender, row.recipient, row.received_at):
            raise DifferenceError(f"{where}: the parties or the time of opening are not those of the flag")
        return case

    def _case_index(self, row: Row, statement: Statement, digest: bytes) -> int:
        if statement.kind in RECORDS:
            return row.index
        if statement.kind is Kind.FLAG:
            return self._put(row.index, cases.open_case(statement, digest, row.received_at))
        found = self._cases.get(statement.case_id)
        if found is None:
            raise DifferenceError(f"statement {row.index} belongs to a case that is not in the log before it")
        index, case = found
        if case.state is CaseState.ERASED:
            return index  # as it has been kept: what led to it is gone
        try:
            return self._put(index, cases.apply(case, statement, digest, row.received_at))
        except RefusedError as refusal:
            raise DifferenceError(f"statement {row.index} does not fit its case: {refusal}") from refusal

    def _put(self, index: int, case: Case) -> int:
        self._cases[case.id] = (index, case)
        self._changed[index] = case
        return index


def _statement(row: Row) -> Statement:
    try:
        return parse_statement(parse_envelope(row.envelope).payload)
    except InputError as error:
        raise DifferenceError(f"statement {row.index} is none: {error}") from error


def _commitment(row: Row, digest: bytes, recipient: str, sequence: int) -> bytes:
    try:
        return commit(row.salt, digest, recipient, sequence)
    except InputError as error:
        raise DifferenceError(f"statement {row.index} makes no log entry: {error}") from error


def _prefix(database: Path) -> str:
    return f".rebuild-{database.name}-"


def remove_left(database: Path) -> None:
    """Removes what a rebuild that was killed has left beside a database: content that may since have been erased.

    Only for whoever holds the database's lock, which a rebuild that goes on would hold.

    Raises:
        StorageError: It cannot be removed.
    """
    for left in database.parent.iterdir():
        if left.name.startswith(_prefix(database)):
            try:
                shutil.rmtree(left)
            except OSError as error:
                raise StorageError(f"what a rebuild has left cannot be removed: {error}") from error


def _alone(database: Path) -> SQLiteStorage:
    """Opens the database for nobody else: what an exchange wrote meanwhile would be a difference."""
    try:
        return SQLiteStorage(database, exclusive=True)
    except InUseError as error:
        raise InputError(f"{error}: stop the exchange first, or rebuild a copy") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes a database anew from its log and compares the two. Returns the exit code."""
    parser = offline.parser("rebuild", "Makes every table anew from the log of a database, and compares.")
    parser.add_argument("--out", type=Path, help="keep the database that was made, even where the other differs")
    options = parser.parse_args(arguments)

    def work() -> tuple[dict[str, Any], str]:
        config, log = offline.settings(options)
        if options.out is not None and options.out.exists():
            raise InputError(f"{options.out} exists, and nothing is overwritten")
        with closing(_alone(config.database)) as storage:
            remove_left(config.database)
            # Beside the database: there is room for one, and nobody reads there who may not read the other.
            with tempfile.TemporaryDirectory(prefix=_prefix(config.database), dir=config.database.parent) as folder:
                made = Path(folder) / "rebuilt.db"
                with closing(SQLiteStorage(made)) as fresh:
                    size = rebuild(storage, fresh, log, progress=offline.progress(options, "rebuilding"))
                if options.out is not None:
                    made.replace(options.out)
                    made = options.out
                with closing(SQLiteStorage(made)) as fresh:
                    compare(storage, fresh)
        record = {"type": "rebuild", "entries": size, "same": True, "out": str(options.out) if options.out else None}
        kept = f" Kept in {options.out}." if options.out else ""
        return record, f"Rebuilt: every record of {size:,} statements follows from the log.{kept}"

    return offline.run(options, work)


if __name__ == "__main__":
    sys.exit(main())
