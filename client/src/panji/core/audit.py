"""The audit of a whole log, tile by tile, in memory that hardly grows with the log.

What a log serves is checked from the top down, so that everything is proven when it comes, and the first thing that is
wrong is named:

1. The partial tiles of the right edge make up the root of the signed checkpoint.
2. Every full tile makes up the hash that stands for it in the tile above.
3. Every entry has the hash that stands for it in the tile of level 0, and is spelt the one way that entries are.
4. The time of receipt never goes back.
5. Every older checkpoint that the auditor holds has the root of the tree of its size: the log only ever appended.

It proves that all of the log is there and in the one order that the checkpoint commits to. Whose statements the entries
stand for is not in the log; receipts tell their holders.
"""

from __future__ import annotations

import heapq
import hmac
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from panji.core import merkle, tiles
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.entry import Entry
from panji.core.merkle import Frontier, leaf_hash
from panji.core.tiles import ENTRIES, WIDTH, Tile
from panji.errors import AuditError, InputError, ReceiptError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime

    from panji.core.note import NoteVerifier


class LogReader(ABC):
    """Where a log is read from. Nothing that it gives has been verified. Safe to use from several threads."""

    @abstractmethod
    def checkpoint(self) -> str:
        """Return the newest signed checkpoint, a note.

        Raises:
            TransportError: No answer came, or there is none yet.
            AuditError: What came is too large to be one, or no text.
        """

    @abstractmethod
    def tile(self, tile: Tile) -> bytes:
        """Return the content of a tile or bundle, at most :attr:`Tile.max_bytes`.

        Raises:
            TransportError: No answer came.
            AuditError: The log says that it has no such tile, or what came is too large.
        """


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit has proven."""

    checkpoint: Checkpoint
    """The head that everything leads to."""
    start: int
    """Index of the first entry that was read."""
    first: datetime | None
    """When that one was received; None where none was read."""
    last: datetime | None
    """When the last one was received."""
    older: tuple[int, ...] = ()
    """Sizes of the older checkpoints that are prefixes of this log, in order."""

    @property
    def entries(self) -> int:
        """How many entries were read."""
        return self.checkpoint.size - self.start

    def record(self) -> dict[str, Any]:
        """Give what is proven as JSON has it: the root in base64, times as RFC 3339."""
        return {
            "verified": True,
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root_text,
            "entries": self.entries,
            "first_received_at": None if self.first is None else _utc(self.first),
            "last_received_at": None if self.last is None else _utc(self.last),
            "older": list(self.older),
        }

    def __str__(self) -> str:
        head = self.checkpoint
        span = "" if self.first is None or self.last is None else f", received {_utc(self.first)} to {_utc(self.last)}"
        appended = f", and extend the older heads of {', '.join(map(str, self.older))}" if self.older else ""
        return (
            f"{head.origin}: {self.entries} of {head.size} entries lead to the signed root {head.root_text}"
            f"{span}{appended}"
        )


def _utc(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class Auditor:
    """Takes a log's tiles in the order of :func:`panji.core.tiles.top_down` and checks each.

    Raises:
        InputError: The log has no entry to start at.
    """

    checkpoint: Checkpoint
    """The head to check against, opened with the log's key."""
    start: int = 0
    """Entries before this one are not read; what commits to them is. At most the head's size."""
    anchored: bool = field(default=False, init=False)
    """Whether the right edge is proven. Until then a tile that was taken may still turn out to be false."""
    read: int = field(default=0, init=False)
    """Index of the next entry."""
    _edge: dict[int, list[bytes]] = field(default_factory=dict, init=False)
    """Hashes of the partial tile of each level that has one."""
    _full: dict[int, tuple[int, list[bytes]]] = field(default_factory=dict, init=False)
    """Index and hashes of the full tile of each level that the next bundle lies in."""
    _older: list[tuple[int, bytes]] = field(default_factory=list, init=False)
    _pieces: dict[Tile, tuple[bytes, ...]] = field(default_factory=dict, init=False)
    """What the last older checkpoint took of the tiles above level 0; the next one mostly takes the same."""
    _first: datetime | None = field(default=None, init=False)
    _last: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.checkpoint.size:
            raise InputError(f"a log of {self.checkpoint.size} entries cannot be read from {self.start} on")
        self.start = self.read = self.start // WIDTH * WIDTH
        self.anchored = self.checkpoint.size == 0

    def expect(self, older: Checkpoint) -> None:
        """Hold the log to a head that it signed before; one of size 0 says nothing.

        Raises:
            AuditError: That one is of a larger log, so this one was rolled back.
            InputError: Entries below it were passed over or read already.
        """
        if older.size > self.checkpoint.size:
            raise AuditError(
                "the checkpoint", f"is of {self.checkpoint.size} entries, but the log had signed {older.size} before"
            )
        if 0 < older.size <= self.read and not (older.size == self.read == self.start):
            raise InputError(f"the entries below {older.size} were passed already")
        heapq.heappush(self._older, (older.size, older.root))

    def expect_all(self, older: Iterable[Checkpoint]) -> tuple[int, ...]:
        """Hold the log to several such heads; returns their sizes, in order, for :attr:`Audited.older`."""
        sizes = set()
        for one in older:
            self.expect(one)
            sizes.add(one.size)
        return tuple(sorted(sizes - {0}))

    def wanted(self) -> Iterator[Tile]:
        """Name the tiles and bundles to take, in order."""
        return tiles.top_down(self.checkpoint.size, self.start)

    def take(self, tile: Tile, data: bytes) -> None:
        """Check the next tile. When this raises, nothing has changed, and the tile may be taken from elsewhere.

        Raises:
            AuditError: It is not what the checkpoint commits to.
        """
        if tile.level == ENTRIES:
            self._take_bundle(tile, data)
        elif tile.partial:
            self._take_edge(tile, tiles.split_hashes(tile, data))
        else:
            self._take_full(tile, tiles.split_hashes(tile, data))

    def result(self) -> Audited:
        """Say what is proven, once everything has been taken.

        Raises:
            InputError: Something has not.
        """
        if not self.anchored or self.read < self.checkpoint.size:
            raise InputError(f"the audit ended at entry {self.read} of {self.checkpoint.size}")
        self._check_older(self.read)
        return Audited(self.checkpoint, self.start, self._first, self._last)

    def _take_edge(self, tile: Tile, hashes: list[bytes]) -> None:
        edge = self._edge | {tile.level: hashes}
        if len(edge) == len(tiles.edge(self.checkpoint.size)):
            # 1. The root follows from the edge alone: after this, no tile can be made up.
            roots = [one for level in sorted(edge, reverse=True) for one in tiles.frontier_of(edge[level])]
            if not hmac.compare_digest(Frontier(self.checkpoint.size, tuple(roots)).root(), self.checkpoint.root):
                raise AuditError("the right edge of the tree", "does not lead to the root that the log signed")
            self.anchored = True
        self._edge = edge

    def _take_full(self, tile: Tile, hashes: list[bytes]) -> None:
        # 2. The tile above vouches for it, and has been vouched for itself.
        index, offset = divmod(tile.index, WIDTH)
        if not hmac.compare_digest(tiles.root_of(hashes), self._hashes(tile.level + 1, index)[offset]):
            raise AuditError(tile.path, "is not the tile that the one above it commits to")
        self._full[tile.level] = tile.index, hashes

    def _take_bundle(self, tile: Tile, data: bytes) -> None:
        hashes, last = self._hashes(0, tile.index), self._last
        received = []
        for offset, raw in enumerate(tiles.split_entries(tile, data)):
            where = f"entry {tile.first_entry + offset}"
            # 3. These very bytes are the leaf, and they are an entry, to the letter: nothing else hides in the log.
            if leaf_hash(raw) != hashes[offset]:
                raise AuditError(where, f"in {tile.path} is not the one that tile/0 commits to")
            try:
                entry = Entry.decode(raw)
            except ReceiptError as error:
                raise AuditError(where, f"in {tile.path} is malformed: {error}") from error
            # 4. One order: whoever was first in the log was first in time.
            if last is not None and entry.received_at < last:
                raise AuditError(where, "was received before the entry that it follows")
            received.append(last := entry.received_at)
        end = tile.first_entry + tile.width
        self._check_older(end)
        self._first = self._first or received[0]
        self._last, self.read = last, end

    def _check_older(self, end: int) -> None:
        while self._older and self._older[0][0] <= end:
            size, root = self._older[0]
            # 5. The tree of that size has the root that was signed then: nothing was rewritten.
            if not hmac.compare_digest(self._root(size), root):
                raise AuditError(f"the checkpoint of {size} entries", "is of another history: the log was rewritten")
            heapq.heappop(self._older)

    def _root(self, size: int) -> bytes:
        """The root of the tree of a size whose last entry lies below the tiles in hand."""
        edge = tiles.edge(size)
        self._pieces = {tile: self._pieces.get(tile) or self._piece(tile) for tile in edge if tile.level}
        leaves = self._piece(edge[-1]) if edge and not edge[-1].level else ()
        return Frontier(size, tuple(one for piece in self._pieces.values() for one in piece) + leaves).root()

    def _piece(self, tile: Tile) -> tuple[bytes, ...]:
        return tiles.frontier_of(self._hashes(tile.level, tile.index)[: tile.width])

    def _hashes(self, level: int, index: int) -> list[bytes]:
        number, hashes = self._full.get(level, (-1, []))
        return hashes if number == index else self._edge[level]


def _one_by_one(reader: LogReader, wanted: Iterable[Tile]) -> Generator[tuple[Tile, bytes]]:
    return ((tile, reader.tile(tile)) for tile in wanted)


def audit(
    reader: LogReader,
    log: NoteVerifier,
    *,
    older: Iterable[Checkpoint] = (),
    fetch: Callable[[LogReader, Iterable[Tile]], Generator[tuple[Tile, bytes]]] = _one_by_one,
    report: Callable[[int, int], None] = lambda _read, _size: None,
) -> Audited:
    """Audit the whole of a log.

    Args:
        reader: Where it is.
        log: Its key, known beforehand.
        older: Heads that it signed before, opened with its key.
        fetch: Reads tiles; it may read ahead.
        report: Told after each bundle how many entries were read, and of how many.

    Raises:
        VerificationError: AuditError where the log is not what its head says; NoteError where the head is not this
            log's.
        TransportError: No answer came.
    """
    auditor = Auditor(open_checkpoint(reader.checkpoint(), log))
    sizes = auditor.expect_all(older)
    with closing(fetch(reader, auditor.wanted())) as found:
        for tile, data in found:
            auditor.take(tile, data)
            if tile.level == ENTRIES:
                report(auditor.read, auditor.checkpoint.size)
    return replace(auditor.result(), older=sizes)


class Nodes:
    """Stored nodes of a tree, computed from its tiles: what the proofs of :mod:`panji.core.merkle` are made of.

    Nothing is verified: a proof that is made of them is, against a signed root.

    Args:
        reader: Where the log is.
        size: Of a tree that the log has a checkpoint of.
    """

    def __init__(self, reader: LogReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._tiles: dict[Tile, list[bytes]] = {}

    def __call__(self, positions: Iterable[merkle.Position]) -> dict[merkle.Position, bytes]:
        """Return the nodes.

        Raises:
            AuditError: A tile is missing or no tile.
            TransportError: No answer came.
        """
        return {position: self._node(position) for position in positions}

    def root(self, size: int) -> bytes:
        """Return the root of the tree of a size, at most that of the whole."""
        positions = merkle.frontier_nodes(size)
        nodes = self(positions)
        return Frontier(size, tuple(nodes[position] for position in positions)).root()

    def _node(self, position: merkle.Position) -> bytes:
        tile = tiles.tile_of(position, self._size)
        if tile not in self._tiles:
            self._tiles[tile] = tiles.split_hashes(tile, self._reader.tile(tile))
        return tiles.node_of(position, self._tiles[tile])
