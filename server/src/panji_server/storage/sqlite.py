"""SQLite: one machine, no set-up. WAL, ``synchronous=FULL``: a commit is on the disk when it returns."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from panji.core.case import Case, Clock, TargetStatus
from panji.core.entry import Entry
from panji.core.merkle import Frontier
from panji.core.vocabulary import (
    BY_THE_OPERATOR,
    RECORDS,
    AcknowledgementLevel,
    CaseState,
    Category,
    Instrument,
    Outcome,
    RefusalReason,
    Role,
    SubCategory,
    TargetState,
    Urgency,
)
from panji.errors import InputError
from panji_server.storage import wal
from panji_server.storage.base import (
    COLUMNS,
    KEY_COLUMNS,
    UNBOUNDED,
    Append,
    CaseFilter,
    Commit,
    CosignatureRow,
    Due,
    Fetched,
    Head,
    InUseError,
    Known,
    Row,
    SchemaError,
    Storage,
    StorageError,
    Terms,
    Timer,
)
from panji_server.storage.codec import (
    case_record,
    from_micros,
    join_hashes,
    node_key,
    read_stated,
    read_stops,
    split_hashes,
    statement_record,
    target_records,
    to_micros,
)
from panji_server.storage.lock import Lock
from panji_server.storage.remembered import RememberedHead

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from panji.core.merkle import Position
    from panji.core.statements import ErasedStatement
    from panji.core.vocabulary import Kind

SCHEMA_VERSION = 4
"""Of ``PRAGMA user_version``. A database of another version is refused."""

_SCHEMA = """
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL, received_at INTEGER
) STRICT;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
-- Keyed by a node's place in the order in which nodes are made, so that every insert is an append.
CREATE TABLE node (key INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE statement (
    idx INTEGER PRIMARY KEY, id BLOB NOT NULL, kind TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    sequence INTEGER NOT NULL, case_idx INTEGER NOT NULL, received_at INTEGER NOT NULL, salt BLOB NOT NULL,
    digest BLOB NOT NULL, commitment BLOB NOT NULL, tree_size INTEGER NOT NULL, envelope BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX statement_id ON statement (id);
CREATE UNIQUE INDEX statement_feed ON statement (recipient, sequence);
CREATE INDEX statement_case ON statement (case_idx);
CREATE INDEX statement_record ON statement (kind, idx) WHERE kind IN ('directory_record', 'procedure_record');
CREATE TABLE cases (
    idx INTEGER PRIMARY KEY, authority TEXT NOT NULL, platform TEXT NOT NULL, test INTEGER NOT NULL,
    instrument INTEGER NOT NULL, category INTEGER NOT NULL, sub_category INTEGER NOT NULL, urgency INTEGER NOT NULL,
    state INTEGER NOT NULL, level INTEGER NOT NULL, open_question BLOB NOT NULL, asked_by TEXT NOT NULL,
    decision BLOB NOT NULL, obstacle BLOB NOT NULL, clock_since INTEGER NOT NULL, clock_stops TEXT NOT NULL,
    restore_since INTEGER, opened_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, overdue_since INTEGER, stated TEXT NOT NULL
) STRICT;
CREATE INDEX cases_authority ON cases (authority, idx);
CREATE INDEX cases_platform ON cases (platform, idx);
-- When the exchange has to look at a case again: until then nothing is to be stated of it. The turn is a random number,
-- another one each time that a timer is set, so that nobody overwrites what was set meanwhile.
CREATE TABLE timer (case_idx INTEGER PRIMARY KEY, at INTEGER NOT NULL, waits INTEGER NOT NULL, turn INTEGER NOT NULL
) STRICT;
CREATE INDEX timer_at ON timer (at);
CREATE TABLE target (
    case_idx INTEGER NOT NULL, position INTEGER NOT NULL, state INTEGER NOT NULL, outcome INTEGER NOT NULL,
    refusal INTEGER NOT NULL, pending INTEGER NOT NULL, PRIMARY KEY (case_idx, position)
) STRICT, WITHOUT ROWID;
-- A row each time a recipient got further. What was fetched first when is the first row that goes so far.
CREATE TABLE fetched (
    recipient TEXT NOT NULL, through INTEGER NOT NULL, participant TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (recipient, through)
) STRICT, WITHOUT ROWID;
-- From when on which time for a first answer holds, in microseconds.
CREATE TABLE terms (since INTEGER PRIMARY KEY, acknowledged INTEGER NOT NULL) STRICT;
CREATE TABLE seen (organisation TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cosignature (
    size INTEGER NOT NULL, witness TEXT NOT NULL, line TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;
INSERT INTO head VALUES (1, 0, x'', NULL);
"""

_ROW = (
    "idx, id, kind, sender, recipient, sequence, case_idx, received_at, salt, digest, commitment, tree_size, envelope"
)
_CASE = (
    "c.idx, s.id, s.digest, c.authority, c.platform, c.test, c.instrument, c.category, c.sub_category, c.urgency, "
    "c.state, c.level, c.open_question, c.asked_by, c.decision, c.obstacle, c.clock_since, c.clock_stops, "
    "c.restore_since, c.opened_at, c.updated_at, c.overdue_since, c.stated"
)
_CHANGING = (
    "state", "level", "open_question", "asked_by", "decision", "obstacle", "clock_since", "clock_stops",
    "restore_since", "updated_at", "overdue_since", "stated",
)  # fmt: skip
"""Columns of a case that its statements change."""
_FROM_CASE = "FROM cases c JOIN statement s ON s.idx = c.idx"
_CHUNK = 512
"""Values of one IN list."""
_ROWS_AT_ONCE = 64
"""Rows of one INSERT; the widest has 21 columns, and SQLite binds 32,766 values."""
_CASES_AT_ONCE = 8
"""Cases whose targets are read at once: each may have a thousand."""
_BUSY_SECONDS = 30.0
_FORGETTING_SECONDS = 1.0
"""How long an erasure, or a start, waits for readers before the write-ahead log is emptied; nothing else is written
meanwhile. Later commits try again, and do not wait."""
_BY_A_SIDE = f"kind NOT IN ({', '.join(repr(str(kind)) for kind in sorted(BY_THE_OPERATOR))})"
_RECORDS = f"({', '.join(repr(str(kind)) for kind in sorted(RECORDS))})"
_FLAWS = 10
"""That SQLite names at most."""
_COMMITS_A_CHECKPOINT = 512
_ROWS_A_CHECKPOINT = 8192
"""What comes first. Two or three commits feel each move of the write-ahead log, so they are rare, and what waits to be
moved stays in the tens of megabytes."""


class SQLiteStorage(Storage):
    """An exchange in one SQLite file, and beside it a lock and the remembered head.

    Args:
        path: The file; made where there is none, for nobody else to read.
        exclusive: For whoever appends: nobody else may meanwhile.

    Raises:
        SchemaError: The file is of another schema version.
        StorageError: It cannot be opened, its write-ahead log is damaged, it is gone though a head is remembered, or
            another exchange works on it.
    """

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._spare: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._head = RememberedHead(_beside(path, "head"))
        self._flush: Future[None] | None = None
        self._exclusive = _opened(path, exclusive=exclusive)
        self._checkpointer = ThreadPoolExecutor(1, "panji-checkpoint")
        self._checkpoint: Future[None] | None = None
        self._commits = self._rows = 0
        self._to_forget = False
        try:
            with _translated():
                self._migrate(self._connection())
        except StorageError:
            self.close()
            raise

    @contextmanager
    def append(self) -> Iterator[Append]:
        connection = self._connection()
        with _translated():
            connection.execute("BEGIN IMMEDIATE")
            try:
                append = _SQLiteAppend(connection)
                yield append
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()  # nothing where SQLite has done so by itself, after a full disk, say
                raise
        self._remember(append.checkpoint)
        if append.erased:
            self.purge()
        else:
            self._forget()
        self._tidy(append.stored)

    def _remember(self, checkpoint: str) -> None:
        """Writes down what was just signed where a database that was set back does not set it back."""
        if checkpoint and self._head.write(checkpoint) and (self._flush is None or self._flush.done()):
            if self._flush:
                self._flush.result()  # a disk that failed there must not be trusted with the next commit
            self._flush = self._checkpointer.submit(self._head.flush)

    def flaws(self) -> list[str]:
        with closing(sqlite3.connect(":memory:")) as new:
            new.executescript(_SCHEMA)
            expected = _objects(new)
        with self._snapshot() as connection:
            found = _objects(connection)
            changed = sorted({name for name, _ in expected.items() ^ found.items()})
            damage = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_FLAWS})") if text != "ok"]
        return [f"{kind} {name} is not the schema's" for kind, name in changed] + damage

    def purge(self) -> bool:
        self._to_forget = not self._emptied(_FORGETTING_SECONDS)
        return not self._to_forget

    def _forget(self) -> None:
        """Tries again what a reader was in the way of: it is no reason for the exchange to end."""
        if self._to_forget:
            self._to_forget = not self._emptied(0.0)

    def _emptied(self, patience: float) -> bool:
        """Empties the write-ahead log, which still has the pages as they were before an erasure.

        Returns:
            Whether it is empty. It is not while somebody reads what was there before, another program too.
        """
        connection = self._connection()
        with _translated():
            connection.execute(f"PRAGMA busy_timeout = {_millis(patience)}")  # writers wait as long as this does
            try:
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {_millis(_BUSY_SECONDS)}")
        return not busy

    def _tidy(self, rows: int) -> None:
        """Moves the write-ahead log into the database now and then, beside the commits.

        SQLite would do it within a commit, whose sender would wait for it.
        """
        self._commits += 1
        self._rows += rows
        if self._commits < _COMMITS_A_CHECKPOINT and self._rows < _ROWS_A_CHECKPOINT:
            return
        if self._checkpoint and not self._checkpoint.done():
            return
        if self._checkpoint:
            self._checkpoint.result()  # a disk that failed there must not be trusted with the next commit
        self._commits = self._rows = 0
        self._checkpoint = self._checkpointer.submit(self._move_log)

    def _move_log(self) -> None:
        with _translated():
            self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def feed(self, recipient: str, after: int, limit: int, room: int = UNBOUNDED) -> list[Row]:
        query = f"SELECT {_ROW} FROM statement WHERE recipient = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        found: list[Row] = []
        with _reading(), closing(self._connection().execute(query, (recipient, after, limit))) as records:
            for record in records:  # one after the other: what there is no room for is not read
                found.append(row := _row(record))
                room -= len(row.envelope)
                if room <= 0:
                    break
        return found

    def feed_length(self, recipient: str) -> int:
        query = "SELECT coalesce(max(sequence), 0) FROM statement WHERE recipient = ?"
        with _reading():
            return int(self._connection().execute(query, (recipient,)).fetchone()[0])

    def rows(self, indexes: Collection[int]) -> list[Row]:
        query = f"SELECT {_ROW} FROM statement WHERE idx IN (%s) ORDER BY idx"
        with _reading():
            return [_row(record) for record in _select_in(self._connection(), query, sorted(indexes))]

    def entries(self, first: int, count: int) -> list[Entry]:
        query = "SELECT kind, received_at, commitment FROM statement WHERE idx >= ? AND idx < ? ORDER BY idx"
        with _reading():
            records = self._connection().execute(query, (first, first + count))
            return [Entry(kind, from_micros(received_at), commitment) for kind, received_at, commitment in records]

    def find(self, identifier: str) -> Row | None:
        return self._one("id = ?", _key(identifier))

    def case(self, identifier: str) -> tuple[int, Case] | None:
        key = _key(identifier)
        with self._snapshot() as connection:
            return _cases(connection, [key]).get(identifier)

    def cases(self, wanted: CaseFilter, before: int, limit: int, room: int = UNBOUNDED) -> list[tuple[int, Case]]:
        sides = ("c.authority = ?", "c.platform = ?")
        party, counterpart = sides if wanted.role is Role.AUTHORITY else sides[::-1]
        conditions = [party, "c.idx < ?", "c.test = ?"]
        values: list[Any] = [wanted.party, before, int(wanted.test)]
        if wanted.counterpart:
            conditions.append(counterpart)
            values.append(wanted.counterpart)
        if wanted.states:
            conditions.append(f"c.state IN ({', '.join(str(int(state)) for state in wanted.states)})")
        if wanted.category is not None:
            conditions.append("c.category = ?")
            values.append(int(wanted.category))
        for bound, operator in ((wanted.opened_from, ">="), (wanted.opened_until, "<")):
            if bound is not None:
                conditions.append(f"c.opened_at {operator} ?")
                values.append(to_micros(bound))
        query = f"SELECT {_CASE} {_FROM_CASE} WHERE {' AND '.join(conditions)} ORDER BY c.idx DESC LIMIT ?"
        with self._snapshot() as connection:
            records = connection.execute(query, [*values, limit]).fetchall()
            return _within(room, _with_targets(connection, records))

    def case_rows(self, case_indexes: Collection[int]) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {index: [] for index in case_indexes}
        query = f"SELECT {_ROW} FROM statement WHERE case_idx IN (%s) ORDER BY idx"
        with _reading():
            for record in _select_in(self._connection(), query, sorted(case_indexes)):
                row = _row(record)
                found[row.case_index].append(row)
        return found

    def case_sizes(self, case_indexes: Collection[int]) -> dict[int, tuple[int, int]]:
        query = (
            "SELECT case_idx, count(*), coalesce(sum(length(envelope)), 0) FROM statement WHERE case_idx IN (%s) "
            "GROUP BY case_idx"
        )
        with _reading():
            records = _select_in(self._connection(), query, sorted(case_indexes))
            return dict.fromkeys(case_indexes, (0, 0)) | {index: (count, size) for index, count, size in records}

    def keep_terms(self, terms: Sequence[Terms]) -> None:
        records = [(to_micros(one.since), one.acknowledged // timedelta(microseconds=1)) for one in terms]
        with self._writing() as connection:
            connection.execute("DELETE FROM terms")
            connection.executemany("INSERT INTO terms VALUES (?, ?)", records)

    def terms(self) -> list[Terms]:
        with _reading():
            records = self._connection().execute("SELECT since, acknowledged FROM terms ORDER BY since").fetchall()
            return [Terms(from_micros(since), timedelta(microseconds=span)) for since, span in records]

    def due(self, now: datetime, limit: int) -> list[Due]:
        query = (
            f"SELECT {_CASE}, t.turn FROM timer t JOIN cases c ON c.idx = t.case_idx JOIN statement s ON s.idx = c.idx "
            "WHERE t.at <= ? ORDER BY t.at, t.case_idx LIMIT ?"
        )
        with self._snapshot() as connection:
            records = connection.execute(query, (to_micros(now), limit)).fetchall()
            cases = _with_targets(connection, [record[:-1] for record in records])
            return [Due(index, case, record[-1]) for (index, case), record in zip(cases, records, strict=True)]

    def set_timers(self, timers: Mapping[int, Timer | None], turns: Mapping[int, int] | None = None) -> None:
        with self._writing() as connection:
            if turns is None:
                connection.executemany(
                    "INSERT OR REPLACE INTO timer VALUES (?, ?, ?, random())", _timer_records(timers)
                )
                _stop_timers(connection, timers)
                return
            connection.executemany(
                "UPDATE timer SET at = ?, waits = ?, turn = random() WHERE case_idx = ? AND turn = ?",
                [(at, waits, index, turns[index]) for index, at, waits in _timer_records(timers)],
            )
            connection.executemany(
                "DELETE FROM timer WHERE case_idx = ? AND turn = ?",
                [(index, turns[index]) for index, one in timers.items() if one is None],
            )

    def set_missing_timers(self, now: datetime) -> None:
        with self._writing() as connection:
            over = ", ".join(str(int(state)) for state in (CaseState.WITHDRAWN, CaseState.DECIDED, CaseState.ERASED))
            connection.execute(
                f"INSERT INTO timer SELECT idx, ?, 0, random() FROM cases WHERE state NOT IN ({over}) "
                "AND idx NOT IN (SELECT case_idx FROM timer)",
                (to_micros(now),),
            )

    def advance_timers(self, now: datetime) -> None:
        with self._writing() as connection:
            connection.execute("UPDATE timer SET at = :now, turn = random() WHERE at > :now", {"now": to_micros(now)})

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        with _translated():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
        self._forget()

    def erasure(self, case_index: int) -> Row | None:
        return self._one("case_idx = ? AND kind = 'erasure' ORDER BY idx", case_index)

    def record(self, kind: Kind, before: int) -> Row | None:
        # The literal, not a parameter: the planner takes the partial index only where it can see that it fits.
        return self._one(f"kind = {str(kind)!r} AND kind IN {_RECORDS} AND idx < ? ORDER BY idx DESC", before)

    def keep_presence(self, fetched: Collection[Fetched], seen: Mapping[str, datetime]) -> None:
        # Before the row that says how far it is by now: what was fetched is what lies between the two.
        further = (
            "UPDATE timer SET at = :at, waits = 0, turn = random() WHERE waits AND case_idx IN ("
            "SELECT idx FROM statement WHERE recipient = :recipient AND sequence <= :through AND kind = 'flag' AND "
            "sequence > (SELECT coalesce(max(through), 0) FROM fetched WHERE recipient = :recipient))"
        )
        records = [
            {
                "recipient": one.recipient,
                "through": one.through,
                "participant": one.participant,
                "at": to_micros(one.at),
            }
            for one in sorted(fetched, key=lambda one: one.through)
        ]
        with self._writing() as connection:
            for record in records:
                connection.execute(further, {name: record[name] for name in ("at", "recipient", "through")})
                connection.execute(
                    "INSERT INTO fetched SELECT :recipient, :through, :participant, :at "
                    "WHERE NOT EXISTS (SELECT 1 FROM fetched WHERE recipient = :recipient AND through >= :through)",
                    {name: record[name] for name in ("recipient", "through", "participant", "at")},
                )
            connection.executemany(
                "INSERT INTO seen VALUES (?, ?) ON CONFLICT (organisation) DO UPDATE SET at = max(at, excluded.at)",
                [(organisation, to_micros(at)) for organisation, at in seen.items()],
            )

    def fetched(self, recipient: str, sequence: int) -> Fetched | None:
        query = (
            "SELECT through, participant, at FROM fetched WHERE recipient = ? AND through >= ? ORDER BY through LIMIT 1"
        )
        with _reading():
            record = self._connection().execute(query, (recipient, sequence)).fetchone()
            return None if record is None else Fetched(recipient, record[0], record[1], from_micros(record[2]))

    def last_seen(self, organisation: str) -> datetime | None:
        with _reading():
            query = "SELECT at FROM seen WHERE organisation = ?"
            record = self._connection().execute(query, (organisation,)).fetchone()
            return None if record is None else from_micros(record[0])

    def nodes(self, positions: Sequence[Position]) -> Mapping[Position, bytes]:
        keys = {node_key(level, index): (level, index) for level, index in positions}
        with _translated():
            records = _select_in(self._connection(), "SELECT key, hash FROM node WHERE key IN (%s)", list(keys))
            return {keys[key]: value for key, value in records}

    def checkpoints(self, sizes: Collection[int]) -> Mapping[int, str]:
        with _translated():
            query = "SELECT size, note FROM checkpoint WHERE size IN (%s)"
            return dict(_select_in(self._connection(), query, sorted(set(sizes))))

    def cosignatures(self) -> list[CosignatureRow]:
        query = "SELECT size, witness, line, at FROM cosignature ORDER BY size DESC, witness"
        with _reading():
            return [
                CosignatureRow(size, witness, line, from_micros(at))
                for size, witness, line, at in self._connection().execute(query)
            ]

    def keep_cosignatures(self, rows: Sequence[CosignatureRow], *, forget_below: int) -> None:
        records = [(row.size, row.witness, row.line, to_micros(row.at)) for row in rows]
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO cosignature VALUES (?, ?, ?, ?)", records)
            connection.execute("DELETE FROM cosignature WHERE size < ?", (forget_below,))

    def current_head(self) -> Head:
        with _reading():
            return _head(self._connection())

    def remembered_head(self) -> str:
        return self._head.read()

    def remember(self, checkpoint: str) -> None:
        self._head.write(checkpoint)
        self._head.flush()

    def prepare(self, threads: int) -> None:
        with _translated():
            opened = [self._open() for _ in range(threads)]
        with self._lock:
            self._spare += opened

    def extent(self) -> int:
        query = (
            "SELECT max((SELECT coalesce(max(size), 0) FROM checkpoint), "
            "(SELECT coalesce(max(idx) + 1, 0) FROM statement))"
        )
        with _reading():
            return int(self._connection().execute(query).fetchone()[0])

    def records(self, table: str) -> Iterator[tuple[Any, ...]]:
        columns = COLUMNS[table]
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns[: KEY_COLUMNS.get(table, 1)])}"
        with self._snapshot() as connection:
            yield from connection.execute(query)

    def close(self) -> None:
        self._checkpointer.shutdown()
        with self._lock, _translated():
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._spare.clear()
            self._local = threading.local()
        self._head.close()
        if self._exclusive is not None:
            self._exclusive.release()
            self._exclusive = None

    def _one(self, condition: str, value: Any) -> Row | None:
        with _reading():
            query = f"SELECT {_ROW} FROM statement WHERE {condition} LIMIT 1"
            record = self._connection().execute(query, (value,)).fetchone()
            return None if record is None else _row(record)

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """For more than one query: a commit in between must not show a case with the targets of a later state."""
        with _reading():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    def _connection(self) -> sqlite3.Connection:
        """One connection a thread: readers see a snapshot and never wait for the writer (WAL)."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._lock:
                connection = self._spare.pop() if self._spare else None
            self._local.connection = connection = connection or self._open()
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        with self._lock:
            self._connections.append(connection)
        # With this, every file is open that the connection will ever need.
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StorageError("SQLite: no write-ahead log is to be had where the database is")
        connection.execute("PRAGMA synchronous = FULL")  # the commit's fsync is what "durable before answered" is
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # see _tidy
        # What is erased is overwritten, and so are the copies that pages leave behind when they are split or freed:
        # from the first statement on, not only once something is erased.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    @staticmethod
    def _migrate(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")  # of two that start on a new file at once, one makes the schema
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise SchemaError(f"the database has schema version {version}, this exchange needs {SCHEMA_VERSION}")
        connection.execute("COMMIT")


class _SQLiteAppend(Append):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.stored = 0
        self.checkpoint = ""
        self.erased = False

    def head(self) -> Head:
        with _reading():
            return _head(self._connection)

    def load(
        self,
        ids: Collection[str],
        cases: Collection[str],
        answers: Collection[tuple[str, bytes]],
        recipients: Collection[str],
        erasures: Collection[str] = (),
    ) -> Known:
        query = f"SELECT {_ROW} FROM statement WHERE id IN (%s)"
        keys, flags = [_key(one) for one in ids], [_key(one) for one in cases]
        with _reading():
            stored = (_row(one) for one in _select_in(self._connection, query, keys))
            by_id = {row.id: row for row in stored}
            found = _cases(self._connection, flags)
        answered = {
            (index, digest)
            for identifier, digest in answers
            if identifier in found and self._has(index := found[identifier][0], digest)
        }
        sequences = {
            one: self._connection.execute(
                "SELECT coalesce(max(sequence), 0) FROM statement WHERE recipient = ?", (one,)
            ).fetchone()[0]
            for one in recipients
        }
        erasable = {found[one][0]: self._said(found[one][0]) for one in erasures if one in found}
        return Known(by_id, found, answered, sequences, erasable, self._amounts([index for index, _ in found.values()]))

    def _amounts(self, case_indexes: Sequence[int]) -> dict[tuple[int, str], tuple[int, int]]:
        query = (
            "SELECT case_idx, sender, count(*), sum(length(envelope)) FROM statement WHERE case_idx IN (%s) "
            "GROUP BY case_idx, sender"
        )
        records = _select_in(self._connection, query, case_indexes)
        return {(index, sender): (count, size) for index, sender, count, size in records}

    def _said(self, case_index: int) -> list[ErasedStatement]:
        query = f"SELECT {_ROW} FROM statement WHERE case_idx = ? AND {_BY_A_SIDE} ORDER BY idx"
        return [_row(record).place for record in self._connection.execute(query, (case_index,))]

    def _has(self, case_index: int, digest: bytes) -> bool:
        query = "SELECT 1 FROM statement WHERE case_idx = ? AND digest = ?"
        return self._connection.execute(query, (case_index, digest)).fetchone() is not None

    def store(self, commit: Commit) -> None:
        self.stored += len(commit.rows)
        self.checkpoint = commit.checkpoint
        received_at = None if commit.head.received_at is None else to_micros(commit.head.received_at)
        self._insert(f"INSERT INTO statement ({_ROW}) VALUES", [statement_record(row) for row in commit.rows])
        self._insert(
            "INSERT INTO cases VALUES",
            [case_record(index, case) for index, case in commit.cases.items()],
            f"ON CONFLICT (idx) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CHANGING)}",
        )
        self._insert(
            "INSERT INTO target VALUES",
            [record for index, case in commit.cases.items() for record in target_records(index, case)],
            "ON CONFLICT (case_idx, position) DO UPDATE SET state = excluded.state, outcome = excluded.outcome, "
            "refusal = excluded.refusal, pending = excluded.pending",
        )
        self._insert(
            "INSERT INTO node VALUES", [(node_key(level, index), value) for level, index, value in commit.nodes]
        )
        turn = secrets.randbits(62)
        self._insert("INSERT OR REPLACE INTO timer VALUES", [(*one, turn) for one in _timer_records(commit.timers)])
        _stop_timers(self._connection, commit.timers)
        if commit.erased:
            self._erase(commit.erased)
        self._insert("INSERT INTO checkpoint VALUES", [(commit.head.frontier.size, commit.checkpoint)])
        self._connection.execute(
            "UPDATE head SET size = ?, frontier = ?, received_at = ?",
            (commit.head.frontier.size, join_hashes(commit.head.frontier.hashes), received_at),
        )

    def _erase(self, case_indexes: Collection[int]) -> None:
        self.erased = True
        query = f"UPDATE statement SET envelope = x'', salt = x'' WHERE case_idx = ? AND {_BY_A_SIDE}"
        self._connection.executemany(query, [(index,) for index in case_indexes])

    def _insert(self, into: str, rows: Sequence[tuple[Any, ...]], conflict: str = "") -> None:
        """Inserts many rows with few steps.

        The interpreter's lock is let go and taken again around each step, so ``executemany``, with a step a row, would
        hand it to and fro with the event loop thousands of times a second. Runs of a power of two keep the number of
        different statements small, so that all of them stay prepared.
        """
        start = 0
        while start < len(rows):
            count = 1 << min(len(rows) - start, _ROWS_AT_ONCE).bit_length() - 1
            run = rows[start : start + count]
            values = ", ".join([f"({', '.join('?' * len(run[0]))})"] * count)
            self._connection.execute(f"{into} {values} {conflict}", list(chain.from_iterable(run)))
            start += count


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """What there is besides records: tables, indexes, triggers and views, and how each was made."""
    query = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT GLOB 'sqlite_stat[0-9]'"
    return {(kind, name): " ".join(sql.split()) for kind, name, sql in connection.execute(query)}


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}-{what}")


def _opened(path: Path, *, exclusive: bool) -> Lock | None:
    """Looks at the files before SQLite does, which would mend them by dropping what was answered.

    Returns:
        The lock, where it is to be held.
    """
    lock = Lock.take(_beside(path, "lock"))
    if lock is None:
        if exclusive:
            raise InUseError("another exchange works on this database")
        return None  # whoever holds it has looked, and is writing
    try:
        wal.check(_beside(path, "wal"))
        _made(path)
    except StorageError:
        lock.release()
        raise
    if exclusive:
        return lock
    lock.release()
    return None


def _made(path: Path) -> None:
    """Makes a new database, but never in the place of one that is gone."""
    if path.exists():
        return
    for what in ("head", "wal"):
        if _beside(path, what).exists():
            raise StorageError(
                f"there is no {path.name}, and there was one: {_beside(path, what).name} is still there. Bring the"
                " database back; see docs/operations.md, A database that is refused"
            )
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"the database cannot be made: {error}") from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:  # the latter: a damaged schema, quoted in SQLite's own message
        raise StorageError(f"SQLite: {error}") from error


@contextmanager
def _reading() -> Iterator[None]:
    """As above, and a stored value that is none of its kind is damage too, not a defect of whoever reads it."""
    with _translated():
        try:
            yield
        except (ValueError, TypeError, KeyError, OverflowError, InputError) as error:
            raise StorageError(f"SQLite: a stored value is damaged: {error!r}") from error


def _select_in(connection: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(values), _CHUNK):
        chunk = list(values[start : start + _CHUNK])
        # Filled up to a power of two with what stands there already: few different statements, all of them prepared.
        chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
        found += connection.execute(query % ", ".join("?" * len(chunk)), chunk).fetchall()
    return found


def _timer_records(timers: Mapping[int, Timer | None]) -> list[tuple[int, int, int]]:
    return [(index, to_micros(one.at), int(one.waits)) for index, one in timers.items() if one is not None]


def _stop_timers(connection: sqlite3.Connection, timers: Mapping[int, Timer | None]) -> None:
    over = [(index,) for index, one in timers.items() if one is None]
    if over:
        connection.executemany("DELETE FROM timer WHERE case_idx = ?", over)


def _head(connection: sqlite3.Connection) -> Head:
    size, frontier, received_at = connection.execute("SELECT size, frontier, received_at FROM head").fetchone()
    return Head(Frontier(size, split_hashes(frontier)), None if received_at is None else from_micros(received_at))


def _key(identifier: str) -> bytes:
    return uuid.UUID(identifier).bytes


def _cases(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[str, tuple[int, Case]]:
    query = f"SELECT {_CASE} {_FROM_CASE} WHERE s.id IN (%s)"
    records = _select_in(connection, query, keys)
    return {case.id: (index, case) for index, case in _with_targets(connection, records)}


def _with_targets(connection: sqlite3.Connection, records: Sequence[Any]) -> Iterator[tuple[int, Case]]:
    query = (
        "SELECT case_idx, state, outcome, refusal, pending FROM target WHERE case_idx IN (%s) "
        "ORDER BY case_idx, position"
    )
    for start in range(0, len(records), _CASES_AT_ONCE):
        some = records[start : start + _CASES_AT_ONCE]
        targets: dict[int, list[TargetStatus]] = {}
        for index, state, outcome, refusal, pending in _select_in(connection, query, [record[0] for record in some]):
            status = TargetStatus(TargetState(state), Outcome(outcome), RefusalReason(refusal), bool(pending))
            targets.setdefault(index, []).append(status)
        for record in some:
            yield record[0], _case(record, targets[record[0]])


def _within(room: int, cases: Iterable[tuple[int, Case]]) -> list[tuple[int, Case]]:
    found: list[tuple[int, Case]] = []
    for one in cases:
        found.append(one)
        room -= len(one[1].targets)
        if room <= 0:
            break
    return found


def _case(record: Any, targets: list[TargetStatus]) -> Case:
    (
        _, identifier, digest, authority, platform, test, instrument, category, sub_category, urgency, state, level,
        open_question, asked_by, decision, obstacle, since, stops, restore_since, opened_at, updated_at,
         overdue_since, stated,
    ) = record  # fmt: skip
    return Case(
        id=str(uuid.UUID(bytes=identifier)),
        flag_digest=digest,
        authority=authority,
        platform=platform,
        test=bool(test),
        instrument=Instrument(instrument),
        category=Category(category),
        sub_category=SubCategory(sub_category),
        urgency=Urgency(urgency),
        state=CaseState(state),
        targets=tuple(targets),
        opened_at=from_micros(opened_at),
        updated_at=from_micros(updated_at),
        level=AcknowledgementLevel(level),
        open_question=open_question,
        asked_by=Role(asked_by) if asked_by else None,
        decision=decision,
        obstacle=obstacle,
        clock=Clock(from_micros(since), read_stops(stops)),
        restore_since=_instant_or_none(restore_since),
        overdue_since=_instant_or_none(overdue_since),
        stated=read_stated(stated),
    )


def _instant_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _row(record: Any) -> Row:
    (
        index, identifier, kind, sender, recipient, sequence, case_index, received_at, salt, digest, commitment, size,
        envelope,
    ) = record  # fmt: skip
    return Row(
        index=index,
        id=str(uuid.UUID(bytes=identifier)),
        kind=kind,
        sender=sender,
        recipient=recipient,
        sequence=sequence,
        case_index=case_index,
        received_at=from_micros(received_at),
        salt=salt,
        digest=digest,
        commitment=commitment,
        tree_size=size,
        envelope=envelope,
    )
