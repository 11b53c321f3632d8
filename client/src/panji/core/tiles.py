"""Tiles: the log as a set of files that never change (C2SP tlog-tiles).

A tile of level L holds up to 256 consecutive nodes of the Merkle tree at height 8 L; hash *i* of tile *N* is the node
``(8 L, 256 N + i)`` of :mod:`panji.core.merkle`. A bundle holds the entries whose hashes are the tile of level 0 with
the same index. Nothing in here believes what it reads: :mod:`panji.core.audit` does the checking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from panji.core import entry
from panji.core.merkle import HASH_SIZE, node_hash
from panji.errors import AuditError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from panji.core.merkle import Position

WIDTH = 256
"""Hashes of a full tile, and entries of a full bundle."""
ENTRIES = -1
"""The level of entry bundles, as in golang.org/x/mod/sumdb/tlog."""
MAX_LEVEL = 63
"""Of a path. A log of 2**63 leaves has tiles up to level 7."""
MAX_PATH = 64
"""Characters of the longest path of a tile that a log can have."""

_BITS = 8
_STEM = 1000
_LENGTH_BYTES = 2
_MAX_INDEX = 2**63
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Where a tile or bundle is, and how much of it there is.

    Raises:
        InputError: A number is out of its range.
    """

    level: int
    """0 to 63, or :data:`ENTRIES`."""
    index: int
    """Within the level, from 0."""
    width: int = WIDTH
    """1 to 255 for a partial tile, 256 for a full one."""

    def __post_init__(self) -> None:
        if not ENTRIES <= self.level <= MAX_LEVEL:
            raise InputError(f"a tile's level is 0 to {MAX_LEVEL}")
        if not 0 <= self.index < _MAX_INDEX or not 1 <= self.width <= WIDTH:
            raise InputError(f"a tile's index is not negative, and its width is 1 to {WIDTH}")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path, which has one spelling only: no leading zeroes, no empty or dotted elements, no ``x000`` ahead.

        Raises:
            InputError: It names no tile.
        """
        found = _PATH.fullmatch(path) if len(path) <= MAX_PATH else None
        if found is None:
            raise InputError("the path names no tile")
        level, stems, last, width = found.groups()
        index = int(stems.replace("x", "").replace("/", "") + last)
        tile = cls(ENTRIES if level == "entries" else int(level), index, int(width or WIDTH))
        if tile.path != path:
            raise InputError("the path names no tile in the one spelling that it has")
        return tile

    @property
    def path(self) -> str:
        """Below the log's URL prefix: ``tile/<level>/<index>[.p/<width>]``."""
        rest, last = divmod(self.index, _STEM)
        elements = [f"{last:03d}"]
        while rest:
            rest, stem = divmod(rest, _STEM)
            elements.insert(0, f"x{stem:03d}")
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = f".p/{self.width}" if self.partial else ""
        return f"tile/{level}/{'/'.join(elements)}{partial}"

    @property
    def partial(self) -> bool:
        """Whether it is at the right edge of a tree."""
        return self.width < WIDTH

    @property
    def full(self) -> Tile:
        """What it becomes once the tree has grown."""
        return Tile(self.level, self.index)

    @property
    def height(self) -> int:
        """Of its hashes' subtrees: their level in :mod:`panji.core.merkle`. That of a bundle is its leaves'."""
        return _BITS * max(self.level, 0)

    @property
    def first_entry(self) -> int:
        """Index of the first entry below it."""
        return self.index * WIDTH << self.height

    @property
    def max_bytes(self) -> int:
        """The most that its content can be."""
        return self.width * (_LENGTH_BYTES + entry.MAX_SIZE if self.level == ENTRIES else HASH_SIZE)

    def is_in(self, size: int) -> bool:
        """Whether a tree of this size, or an earlier and smaller one, has it."""
        return self.index * WIDTH + self.width <= size >> self.height

    def nodes(self) -> list[Position]:
        """Say which stored nodes are its hashes, in order."""
        first = self.index * WIDTH
        return [(self.height, first + offset) for offset in range(self.width)]


def width_of(level: int, index: int, size: int) -> int:
    """Say how wide a tile is in the tree of a size, 0 where that tree has none."""
    return min(max((size >> _BITS * max(level, 0)) - index * WIDTH, 0), WIDTH)


def edge(size: int) -> list[Tile]:
    """Name the partial tiles of hashes of a tree, topmost first. The root follows from them alone."""
    tiles = []
    for level in reversed(range(-(-size.bit_length() // _BITS))):
        index, width = divmod(size >> _BITS * level, WIDTH)
        if width:
            tiles.append(Tile(level, index, width))
    return tiles


def top_down(size: int, start: int = 0) -> Iterator[Tile]:
    """Name every tile and bundle of a tree, each after the tile that vouches for it, and bundles in the log's order.

    Args:
        size: Of the tree.
        start: Leave out what only concerns entries before this index. At most ``size``.
    """
    yield from edge(size)
    first = start // WIDTH
    for index in range(first, -(-size // WIDTH)):
        # The full tiles that begin here, or that the first bundle lies in; partial ones are the edge.
        for level in reversed(range(-(-size.bit_length() // _BITS))):
            number, offset = divmod(index, 1 << _BITS * level)
            if (not offset or index == first) and width_of(level, number, size) == WIDTH:
                yield Tile(level, number)
        yield Tile(ENTRIES, index, width_of(ENTRIES, index, size))


def tile_of(position: Position, size: int) -> Tile:
    """Name the tile, as wide as the tree of a size has it, from which a stored node can be computed.

    Raises:
        InputError: The tree has no such complete subtree.
    """
    height, index = position
    if (index + 1) << height > size:
        raise InputError(f"a tree of {size} leaves has no complete subtree {index} of height {height}")
    level, inner = divmod(height, _BITS)
    number = (index << inner) // WIDTH
    return Tile(level, number, width_of(level, number, size))


def node_of(position: Position, hashes: Sequence[bytes]) -> bytes:
    """Compute a stored node from the hashes of the tile that :func:`tile_of` names."""
    height, index = position
    inner = height % _BITS
    first = (index << inner) % WIDTH
    return root_of(hashes[first : first + (1 << inner)])


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Hash the nodes of a full tile, or of a power of two of them, into the subtree's root."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[offset], row[offset + 1]) for offset in range(0, len(row), 2)]
    return row[0]


def frontier_of(hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Hash the nodes of a partial tile into its complete subtrees, the largest first: its part of the frontier."""
    roots, start = [], 0
    for bit in reversed(range(len(hashes).bit_length())):
        if len(hashes) >> bit & 1:
            roots.append(root_of(hashes[start : start + (1 << bit)]))
            start += 1 << bit
    return tuple(roots)


def split_hashes(tile: Tile, data: bytes) -> list[bytes]:
    """Read a tile of hashes.

    Raises:
        AuditError: It is not as long as a tile of its width is.
    """
    if len(data) != tile.width * HASH_SIZE:
        raise AuditError(tile.path, f"has {len(data)} bytes instead of {tile.width * HASH_SIZE}")
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


def join_entries(entries: Iterable[bytes]) -> bytes:
    """Write a bundle: each entry behind its length, a big-endian 16-bit number."""
    return b"".join(len(one).to_bytes(_LENGTH_BYTES) + one for one in entries)


def split_entries(tile: Tile, data: bytes) -> list[bytes]:
    """Read a bundle.

    Raises:
        AuditError: It ends within an entry, or does not hold as many as its width says.
    """
    entries: list[bytes] = []
    start = 0
    while start < len(data) and len(entries) < tile.width:
        end = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES])
        entries.append(data[start + _LENGTH_BYTES : end])
        start = end
    if start != len(data) or len(entries) != tile.width:
        raise AuditError(tile.path, f"is no bundle of {tile.width} entries")
    return entries


def narrow(tile: Tile, full: bytes) -> bytes:
    """Cut a full tile or bundle down to a partial one: where the log has grown since, only the full one may be left.

    Raises:
        AuditError: It is no full tile.
    """
    if tile.level == ENTRIES:
        return join_entries(split_entries(tile.full, full)[: tile.width])
    return b"".join(split_hashes(tile.full, full)[: tile.width])
