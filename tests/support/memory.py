"""A database in memory: the storage contract without a disk, for tests of what stands above it."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from panji.core.entry import Entry
from panji.core.vocabulary import BY_THE_OPERATOR, CaseState, Kind, Role
from panji_server.storage import codec
from panji_server.storage.base import (
    UNBOUNDED,
    Append,
    CaseFilter,
    Commit,
    CosignatureRow,
    Due,
    Fetched,
    Head,
    Known,
    Row,
    Storage,
    StorageError,
    Terms,
    Timer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.merkle import Position


T = TypeVar("T")


@dataclass(frozen=True)
class _State:
    head: Head = field(default_factory=Head.empty)
    rows: tuple[Row, ...] = ()
    cases: Mapping[int, Case] = field(default_factory=dict)
    nodes: Mapping[Position, bytes] = field(default_factory=dict)
    checkpoints: Mapping[int, str] = field(default_factory=dict)
    fetched: tuple[Fetched, ...] = ()
    seen: Mapping[str, datetime] = field(default_factory=dict)
    terms: tuple[Terms, ...] = ()
    timers: Mapping[int, Timer | None] = field(default_factory=dict)

    def after(self, commit: Commit) -> _State:
        return _State(
            commit.head,
            tuple(_erased(row) if row.case_index in commit.erased else row for row in (*self.rows, *commit.rows)),
            {**self.cases, **commit.cases},
            {**self.nodes, **{(level, index): value for level, index, value in commit.nodes}},
            {**self.checkpoints, commit.head.frontier.size: commit.checkpoint},
            self.fetched,
            self.seen,
            self.terms,
            {**self.timers, **commit.timers},
        )


class MemoryStorage(Storage):
    """One value that is replaced when a transaction ends, so that a reader sees whole commits only."""

    def __init__(self) -> None:
        self._state = _State()
        self._exclusive = threading.Lock()
        self._cosignatures: dict[tuple[int, str], CosignatureRow] = {}
        self.broken: StorageError | None = None
        """Once set, the database fails."""
        self.purged = 0
        """How often what is left of former contents was overwritten."""
        self.remembered = ""
        """What is remembered outside of the database."""

    @contextmanager
    def append(self) -> Iterator[Append]:
        with self._exclusive:
            self._check()
            transaction = _MemoryAppend(self)
            yield transaction
            self._check()
            for commit in transaction.stored:
                self._state = self._state.after(commit)

    def feed(self, recipient: str, after: int, limit: int, room: int = UNBOUNDED) -> list[Row]:
        self._check()
        rows = [row for row in self._state.rows if row.recipient == recipient and row.sequence > after]
        return _filling(room, rows[:limit], lambda row: len(row.envelope))

    def feed_length(self, recipient: str) -> int:
        self._check()
        return sum(row.recipient == recipient for row in self._state.rows)

    def rows(self, indexes: Collection[int]) -> list[Row]:
        wanted = set(indexes)
        return [row for row in self._state.rows if row.index in wanted]

    def entries(self, first: int, count: int) -> list[Entry]:
        self._check()
        rows = [row for row in self._state.rows if first <= row.index < first + count]
        return [Entry(row.kind, row.received_at, row.commitment) for row in rows]

    def find(self, identifier: str) -> Row | None:
        return next((row for row in self._state.rows if row.id == identifier), None)

    def case(self, identifier: str) -> tuple[int, Case] | None:
        return next((found for found in self._state.cases.items() if found[1].id == identifier), None)

    def cases(self, wanted: CaseFilter, before: int, limit: int, room: int = UNBOUNDED) -> list[tuple[int, Case]]:
        newest_first = sorted(self._state.cases.items(), reverse=True)
        found = [(index, case) for index, case in newest_first if index < before and _fits(case, wanted)]
        return _filling(room, found[:limit], lambda one: len(one[1].targets))

    def case_rows(self, case_indexes: Collection[int]) -> dict[int, list[Row]]:
        return {index: [row for row in self._state.rows if row.case_index == index] for index in case_indexes}

    def case_sizes(self, case_indexes: Collection[int]) -> dict[int, tuple[int, int]]:
        found = self.case_rows(case_indexes)
        return {index: (len(rows), sum(len(row.envelope) for row in rows)) for index, rows in found.items()}

    def keep_terms(self, terms: Sequence[Terms]) -> None:
        self._state = replace(self._state, terms=tuple(terms))

    def terms(self) -> list[Terms]:
        return list(self._state.terms)

    def due(self, now: datetime, limit: int) -> list[Due]:
        self._check()
        found = sorted(
            (one.at, index) for index, one in self._state.timers.items() if one is not None and one.at <= now
        )
        return [Due(index, self._state.cases[index], id(self._state.timers[index])) for _, index in found[:limit]]

    def set_timers(self, timers: Mapping[int, Timer | None], turns: Mapping[int, int] | None = None) -> None:
        self._check()
        now = self._state.timers
        kept = {index: one for index, one in timers.items() if turns is None or turns[index] == id(now.get(index))}
        self._state = replace(self._state, timers={**now, **kept})

    def set_missing_timers(self, now: datetime) -> None:
        over = {CaseState.WITHDRAWN, CaseState.DECIDED, CaseState.ERASED}
        running = {index for index, timer in self._state.timers.items() if timer is not None}
        without = {index for index, case in self._state.cases.items() if case.state not in over}
        self.set_timers(dict.fromkeys(without - running, Timer(now)))

    def advance_timers(self, now: datetime) -> None:
        self.set_timers(
            {
                index: one._replace(at=now)
                for index, one in self._state.timers.items()
                if one is not None and one.at > now
            }
        )

    def erasure(self, case_index: int) -> Row | None:
        return next((row for row in self._state.rows if row.case_index == case_index and row.kind == "erasure"), None)

    def record(self, kind: Kind, before: int) -> Row | None:
        records = [row for row in self._state.rows if row.kind == kind and row.index < before]
        return records[-1] if records else None

    def keep_presence(self, fetched: Collection[Fetched], seen: Mapping[str, datetime]) -> None:
        self._check()
        further = [one for one in fetched if self.fetched(one.recipient, one.through) is None]
        now = {
            row.index: Timer(one.at)
            for one in further
            for row in self._state.rows
            if row.recipient == one.recipient
            and row.sequence <= one.through
            and (timer := self._state.timers.get(row.index)) is not None
            and timer.waits
        }
        self.set_timers(now)
        latest = {one: max(at, self._state.seen.get(one, at)) for one, at in seen.items()}
        self._state = replace(
            self._state, fetched=(*self._state.fetched, *further), seen={**self._state.seen, **latest}
        )

    def last_seen(self, organisation: str) -> datetime | None:
        return self._state.seen.get(organisation)

    def fetched(self, recipient: str, sequence: int) -> Fetched | None:
        found = [one for one in self._state.fetched if one.recipient == recipient and one.through >= sequence]
        return min(found, key=lambda one: one.through, default=None)

    def nodes(self, positions: Sequence[Position]) -> Mapping[Position, bytes]:
        return {position: self._state.nodes[position] for position in positions if position in self._state.nodes}

    def checkpoints(self, sizes: Collection[int]) -> Mapping[int, str]:
        return {size: self._state.checkpoints[size] for size in sizes if size in self._state.checkpoints}

    def cosignatures(self) -> list[CosignatureRow]:
        self._check()
        return sorted(self._cosignatures.values(), key=lambda row: (-row.size, row.witness))

    def keep_cosignatures(self, rows: Sequence[CosignatureRow], *, forget_below: int) -> None:
        self._check()
        kept = self._cosignatures | {(row.size, row.witness): row for row in rows}
        self._cosignatures = {key: row for key, row in kept.items() if row.size >= forget_below}

    def current_head(self) -> Head:
        return self._state.head

    def remembered_head(self) -> str:
        return self.remembered

    def remember(self, checkpoint: str) -> None:
        self.remembered = checkpoint

    def prepare(self, threads: int) -> None:
        pass

    def extent(self) -> int:
        return max([0, *self._state.checkpoints, *(row.index + 1 for row in self._state.rows)])

    def records(self, table: str) -> Iterator[tuple[Any, ...]]:
        state, cases = self._state, sorted(self._state.cases.items())
        received_at = state.head.received_at
        tables: dict[str, list[tuple[Any, ...]]] = {
            "statement": [codec.statement_record(row) for row in state.rows],
            "cases": [codec.case_record(index, case) for index, case in cases],
            "target": [record for index, case in cases for record in codec.target_records(index, case)],
            "node": sorted((codec.node_key(*position), value) for position, value in state.nodes.items()),
            "checkpoint": sorted(state.checkpoints.items()),
            "head": [
                (
                    state.head.frontier.size,
                    codec.join_hashes(state.head.frontier.hashes),
                    None if received_at is None else codec.to_micros(received_at),
                )
            ],
        }
        yield from tables[table]

    def flaws(self) -> list[str]:
        return []

    def purge(self) -> bool:
        self.purged += 1
        return True

    def close(self) -> None:
        pass

    def forget(self, what: str) -> None:
        """Loses the ``nodes`` of the tree, the ``checkpoints`` or the ``rows``: damage."""
        nothing: dict[str, Any] = {what: () if what == "rows" else {}}
        self._state = replace(self._state, **nothing)

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


class _MemoryAppend(Append):
    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.stored: list[Commit] = []

    def head(self) -> Head:
        return self._storage.current_head()

    def load(
        self,
        ids: Collection[str],
        cases: Collection[str],
        answers: Collection[tuple[str, bytes]],
        recipients: Collection[str],
        erasures: Collection[str] = (),
    ) -> Known:
        storage = self._storage
        rows = {one: row for one in ids if (row := storage.find(one))}
        found = {one: case for one in cases if (case := storage.case(one))}
        answered = {
            (found[one][0], digest)
            for one, digest in answers
            if one in found and digest in {row.digest for row in storage.case_rows([found[one][0]])[found[one][0]]}
        }
        erasable = {
            index: [row.place for row in storage.case_rows([index])[index] if row.kind not in BY_THE_OPERATOR]
            for one in erasures
            if one in found
            for index in [found[one][0]]
        }
        said: dict[tuple[int, str], tuple[int, int]] = {}
        for row in itertools.chain.from_iterable(storage.case_rows([index for index, _ in found.values()]).values()):
            count, size = said.get((row.case_index, row.sender), (0, 0))
            said[row.case_index, row.sender] = (count + 1, size + len(row.envelope))
        return Known(rows, found, answered, {one: storage.feed_length(one) for one in recipients}, erasable, said)

    def store(self, commit: Commit) -> None:
        self.stored.append(commit)


def _filling(room: int, values: Sequence[T], size: Callable[[T], int]) -> list[T]:
    """The values up to the one that fills the room."""
    sums = itertools.accumulate(size(one) for one in values)
    return list(values[: 1 + sum(one < room for one in sums)])


def _erased(row: Row) -> Row:
    return row if row.kind in BY_THE_OPERATOR else replace(row, envelope=b"", salt=b"")


def _fits(case: Case, wanted: CaseFilter) -> bool:
    sides = (case.authority, case.platform)
    party, counterpart = sides if wanted.role is Role.AUTHORITY else sides[::-1]
    return (
        party == wanted.party
        and case.test == wanted.test
        and (not wanted.counterpart or wanted.counterpart == counterpart)
        and (not wanted.states or case.state in wanted.states)
        and (wanted.category is None or wanted.category is case.category)
        and (wanted.opened_from is None or wanted.opened_from <= case.opened_at)
        and (wanted.opened_until is None or case.opened_at < wanted.opened_until)
    )
