"""What the exchange asks of a database, as values and two interfaces.

A backend keeps rows and says what was committed. It decides nothing: what is appended is computed by
:mod:`panji_server.sequencing` from what :class:`Append` loads, and written back in bulk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from panji.core.merkle import Frontier
from panji.core.statements import ErasedStatement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from panji.core.case import Case
    from panji.core.entry import Entry
    from panji.core.merkle import Node, Position
    from panji.core.vocabulary import CaseState, Category, Kind, Role


COLUMNS: Mapping[str, Sequence[str]] = {
    "statement": ("idx", "id", "kind", "sender", "recipient", "sequence", "case_idx", "received_at", "salt", "digest",
                  "commitment", "tree_size", "envelope"),
    "cases": ("idx", "authority", "platform", "test", "instrument", "category", "sub_category", "urgency", "state",
              "level", "open_question", "asked_by", "decision", "obstacle", "clock_since", "clock_stops",
              "restore_since", "opened_at", "updated_at", "overdue_since", "stated"),
    "target": ("case_idx", "position", "state", "outcome", "refusal", "pending"),
    "node": ("key", "hash"),
    "checkpoint": ("size", "note"),
    "head": ("size", "frontier", "received_at"),
}  # fmt: skip
"""All that the log says, as records: what every backend has, and what can be made anew from the log."""
KEY_COLUMNS = {"target": 2}
"""How many of the first columns make a record's key, where it is not one."""


AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""When a case is looked at that is to be looked at now, whatever the clock says."""
UNTIL_FETCHED = datetime(9999, 12, 31, tzinfo=UTC)
"""When a case is looked at of which nothing is due before its platform has fetched the flag."""
UNBOUNDED = 2**62
"""More than there can be."""


class StorageError(Exception):
    """The database failed. Nothing may be answered that depends on it: the process ends and audits itself at start."""


class SchemaError(StorageError):
    """The database's schema is not the one that this version works with."""


class InUseError(StorageError):
    """Another exchange works on the database, or a rebuild."""


@dataclass(frozen=True, slots=True)
class Row:
    """One statement as it is stored: the envelope, and what makes its receipt."""

    index: int
    id: str
    kind: str
    sender: str
    recipient: str
    sequence: int
    case_index: int
    """Index of the flag that opened the case; its own for a flag."""
    received_at: datetime
    salt: bytes
    """Empty once the content is erased."""
    digest: bytes
    commitment: bytes
    """Of the log entry. Stored, since it cannot be computed any more once the salt is erased."""
    tree_size: int
    """Size of the tree whose checkpoint the receipt carries: that of the commit which appended this statement."""
    envelope: bytes
    """Empty once the content is erased."""

    @property
    def erased(self) -> bool:
        """Whether what the statement said is gone."""
        return not self.envelope

    @property
    def place(self) -> ErasedStatement:
        """What an erasure names it by."""
        return ErasedStatement(digest=self.digest, index=self.index, recipient=self.recipient, sequence=self.sequence)


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far an organisation has fetched its feed, and since when."""

    recipient: str
    through: int
    """Sequence of the last statement that was handed over."""
    participant: str
    """SPIFFE id of the participant that fetched it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a platform has for its first answer to a flag that is received while this holds."""

    since: datetime
    acknowledged: timedelta


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends."""

    frontier: Frontier
    received_at: datetime | None = None
    """When the last statement was received."""

    @classmethod
    def empty(cls) -> Head:
        """The head of a log without entries."""
        return cls(Frontier(0))


@dataclass(frozen=True, slots=True)
class Known:
    """What the database holds of the statements and cases that a group of submissions names."""

    by_id: Mapping[str, Row]
    """Statements of the ids asked for."""
    cases: Mapping[str, tuple[int, Case]]
    """Index of the flag, and the case, by case id."""
    answered: Collection[tuple[int, bytes]]
    """Those of the (case index, digest) pairs asked for that are in the log."""
    sequences: Mapping[str, int]
    """Last sequence of each recipient asked for; 0 where it has none."""
    erasable: Mapping[int, Sequence[ErasedStatement]]
    """What the sides have said in the cases that are to be erased, in the log's order, by case index."""
    said: Mapping[tuple[int, str], tuple[int, int]]
    """How many statements each sender has in the cases asked for, and how many bytes, by case index and sender."""


@dataclass(frozen=True, slots=True)
class Due:
    """A case that is to be looked at."""

    index: int
    """Of its flag."""
    case: Case
    turn: int
    """Of its timer: another one each time that it is set."""


class Timer(NamedTuple):
    """When the exchange has to look at a case again."""

    at: datetime
    waits: bool = False
    """Also when the flag is fetched for the first time."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one commit writes."""

    rows: Sequence[Row]
    cases: Mapping[int, Case]
    """Cases that are new or changed, by the index of their flag."""
    nodes: Sequence[Node]
    head: Head
    checkpoint: str
    timers: Mapping[int, Timer | None] = field(default_factory=dict)
    """When the exchange has to look at a case again, by the index of its flag; None: not any more."""
    erased: Collection[int] = ()
    """Case indexes: what the sides have said in these cases is erased, for good, with this commit."""


@dataclass(frozen=True, slots=True)
class CosignatureRow:
    """A witness's cosignature of one of the log's checkpoints."""

    size: int
    """Of the checkpoint's tree."""
    witness: str
    """Verifier key of the witness."""
    line: str
    """The signature line, without its newline."""
    at: datetime
    """When the witness says that it cosigned."""


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases of an organisation are asked for; an unset field does not filter."""

    party: str
    role: Role
    """Of the party, which says on which side of a case it stands."""
    counterpart: str = ""
    states: frozenset[CaseState] = frozenset()
    category: Category | None = None
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    test: bool = False


class Append(ABC):
    """One exclusive transaction at the end of the log: nobody else appends until it ends."""

    @abstractmethod
    def head(self) -> Head:
        """Returns where the log ends, as of now and until this transaction ends."""

    @abstractmethod
    def load(
        self,
        ids: Collection[str],
        cases: Collection[str],
        answers: Collection[tuple[str, bytes]],
        recipients: Collection[str],
        erasures: Collection[str] = (),
    ) -> Known:
        """Returns what there is of these statements, cases, (case id, digest) answers, feeds and cases to erase."""

    @abstractmethod
    def store(self, commit: Commit) -> None:
        """Writes a commit. It is durable once the transaction's context has been left without an error.

        What it erases is overwritten: no copy stays in the database or its log, unless somebody still reads what was
        there before; then later commits see to it, and :meth:`Storage.purge`.
        """


class Storage(ABC):
    """A database that holds one exchange. Every method may raise :class:`StorageError` and nothing else of its own.

    Methods may be called from any thread; those that write, :meth:`append` and :meth:`keep_cosignatures`, from one at a
    time.
    """

    @abstractmethod
    def append(self) -> AbstractContextManager[Append]:
        """Opens the one transaction that may append; it commits durably on leaving, or rolls back on an error."""

    @abstractmethod
    def feed(self, recipient: str, after: int, limit: int, room: int = UNBOUNDED) -> list[Row]:
        """Returns statements to a recipient with sequences after a cursor, in order.

        Args:
            recipient: Whose feed.
            after: The cursor.
            limit: At most so many.
            room: No further one is read once their envelopes have so many bytes.
        """

    @abstractmethod
    def feed_length(self, recipient: str) -> int:
        """Returns the last sequence of a recipient's feed, 0 where it is empty."""

    @abstractmethod
    def rows(self, indexes: Collection[int]) -> list[Row]:
        """Returns the statements of these indexes, in the log's order."""

    @abstractmethod
    def entries(self, first: int, count: int) -> list[Entry]:
        """Returns the log entries from an index on, at most ``count``, in order, without a look at their envelopes."""

    @abstractmethod
    def find(self, identifier: str) -> Row | None:
        """Returns the statement of an id."""

    @abstractmethod
    def case(self, identifier: str) -> tuple[int, Case] | None:
        """Returns the index of the flag, and the case, of a case id."""

    @abstractmethod
    def cases(self, wanted: CaseFilter, before: int, limit: int, room: int = UNBOUNDED) -> list[tuple[int, Case]]:
        """Returns cases, newest first.

        Args:
            wanted: Which.
            before: Only cases whose flags' indexes are below this one.
            limit: At most so many.
            room: No further one is returned once they have so many targets.
        """

    @abstractmethod
    def case_rows(self, case_indexes: Collection[int]) -> dict[int, list[Row]]:
        """Returns every statement of these cases, by case, in the log's order."""

    @abstractmethod
    def case_sizes(self, case_indexes: Collection[int]) -> dict[int, tuple[int, int]]:
        """Returns how many statements each of these cases has, and bytes of envelopes, without reading them."""

    @abstractmethod
    def keep_terms(self, terms: Sequence[Terms]) -> None:
        """Keeps, durably, these terms in the place of those that were kept. Called as :meth:`keep_presence` is."""

    @abstractmethod
    def terms(self) -> list[Terms]:
        """Returns the terms that have held, oldest first."""

    @abstractmethod
    def due(self, now: datetime, limit: int) -> list[Due]:
        """Returns the cases that are to be looked at by now, those first whose time came first; at most ``limit``."""

    @abstractmethod
    def set_timers(self, timers: Mapping[int, Timer | None], turns: Mapping[int, int] | None = None) -> None:
        """Sets, durably, when cases are looked at again; None: not any more. Called as :meth:`keep_presence` is.

        Args:
            timers: By the index of the flag.
            turns: Of the timers that they come in the place of, where they must: what was set meanwhile, by a commit or
                when the flag was fetched, stays.
        """

    @abstractmethod
    def set_missing_timers(self, now: datetime) -> None:
        """Has every case looked at that is not over and has no timer. Called as :meth:`keep_presence` is."""

    @abstractmethod
    def advance_timers(self, now: datetime) -> None:
        """Has every case looked at that has a timer. Called as :meth:`keep_presence` is."""

    @abstractmethod
    def erasure(self, case_index: int) -> Row | None:
        """Returns the statement by which the content of a case was erased."""

    @abstractmethod
    def record(self, kind: Kind, before: int) -> Row | None:
        """Returns the newest record of a kind (:data:`~panji.core.vocabulary.RECORDS`) below an index of the log."""

    @abstractmethod
    def keep_presence(self, fetched: Collection[Fetched], seen: Mapping[str, datetime]) -> None:
        """Keeps, durably, how far recipients have got, and when organisations were last here.

        Cases whose timers wait for their flags to be fetched, and were with that, are to be looked at then.

        What goes no further than what is kept already, or is earlier, changes nothing. Called from one thread at a
        time, and never during an append.
        """

    @abstractmethod
    def fetched(self, recipient: str, sequence: int) -> Fetched | None:
        """Returns when a recipient first fetched its feed up to a sequence or further."""

    @abstractmethod
    def last_seen(self, organisation: str) -> datetime | None:
        """Returns when an organisation was last here."""

    @abstractmethod
    def nodes(self, positions: Sequence[Position]) -> Mapping[Position, bytes]:
        """Returns stored nodes of the Merkle tree. One that is missing is left out: the database is damaged."""

    @abstractmethod
    def checkpoints(self, sizes: Collection[int]) -> Mapping[int, str]:
        """Returns the signed checkpoints of these tree sizes."""

    @abstractmethod
    def cosignatures(self) -> list[CosignatureRow]:
        """Returns every cosignature that is kept, the largest tree first."""

    @abstractmethod
    def keep_cosignatures(self, rows: Sequence[CosignatureRow], *, forget_below: int) -> None:
        """Writes cosignatures durably, in the place of older ones by the same witness of the same tree.

        Those of trees that are smaller than ``forget_below`` are deleted.
        """

    @abstractmethod
    def current_head(self) -> Head:
        """Returns where the log ends."""

    @abstractmethod
    def remembered_head(self) -> str:
        """Returns the newest checkpoint that is remembered outside of the database, empty where none is.

        It is never newer than what was durable, and not much older.
        """

    @abstractmethod
    def remember(self, checkpoint: str) -> None:
        """Has the newest checkpoint remembered outside of the database, durably. Every commit does so by itself."""

    @abstractmethod
    def prepare(self, threads: int) -> None:
        """Makes ready for so many threads, so that none of them has to open anything later."""

    @abstractmethod
    def extent(self) -> int:
        """Returns the largest size of the log that any checkpoint or statement speaks of, 0 where there is none."""

    @abstractmethod
    def records(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Returns the records of one of :data:`COLUMNS`, in the order of their keys, values as in SQLite."""

    @abstractmethod
    def flaws(self) -> list[str]:
        """Returns what is wrong with the database as such: a schema that is not ours, an index that misses records."""

    @abstractmethod
    def purge(self) -> bool:
        """Overwrites what is left of former contents, after a process that was killed before it could.

        Called by whoever appends, before the first append. Returns whether nothing is left; otherwise somebody still
        reads what was there before, and later commits try again.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes every connection."""
