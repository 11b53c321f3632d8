"""Tiles out of a database: those that the log has, at any width that it had, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.memory import MemoryStorage
from support.rooms import LOG, flags, put

from panji.core import tiles as parts
from panji.core.checkpoint import open_checkpoint
from panji.core.entry import Entry
from panji.core.merkle import leaf_hash
from panji.core.tiles import ENTRIES, Tile
from panji_server import tiles
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from panji.core.tiles import Tile as Coordinates

SIZE = 260


@pytest.fixture(scope="module")
def full() -> MemoryStorage:
    """A log with a full tile, never changed."""
    storage = MemoryStorage()
    put(storage, *flags(SIZE))
    return storage


def content(storage: MemoryStorage, tile: Coordinates) -> bytes:
    data = tiles.read(storage, tile)
    assert data is not None
    return data


def test_a_bundle_holds_the_entries_and_its_tile_their_hashes(full: MemoryStorage) -> None:
    for tile in (Tile(ENTRIES, 0), Tile(ENTRIES, 1, 4), Tile(ENTRIES, 0, 7)):
        raw = parts.split_entries(tile, content(full, tile))
        assert [Entry.decode(one) for one in raw] == full.entries(tile.first_entry, tile.width)
        hashes = content(full, Tile(0, tile.index, tile.width))
        assert hashes == b"".join(leaf_hash(one) for one in raw)


def test_a_tile_above_holds_the_roots_of_those_below(full: MemoryStorage) -> None:
    below = parts.split_hashes(Tile(0, 0), content(full, Tile(0, 0)))
    assert content(full, Tile(1, 0, 1)) == parts.root_of(below)


@pytest.mark.parametrize(
    "tile",
    [
        Tile(0, 1, 5), Tile(0, 1), Tile(0, 2, 1), Tile(1, 0, 2), Tile(2, 0, 1), Tile(63, 0, 1), Tile(ENTRIES, 1, 5),
        Tile(ENTRIES, 1), Tile(ENTRIES, 2**63 - 1, 1), Tile(0, 2**63 - 1),
    ],
    ids=lambda tile: tile.path,
)  # fmt: skip
def test_a_tile_beyond_the_log_is_none(full: MemoryStorage, tile: Coordinates) -> None:
    assert tiles.read(full, tile) is None


def test_the_newest_checkpoint_is_the_heads(full: MemoryStorage) -> None:
    assert open_checkpoint(tiles.newest_checkpoint(full), LOG.verifier).size == SIZE
    assert tiles.newest_checkpoint(MemoryStorage()) == ""


def test_a_database_that_lacks_a_part_of_a_tile_is_damaged() -> None:
    storage = MemoryStorage()
    put(storage, *flags(3))
    storage.forget("nodes")
    with pytest.raises(StorageError, match=r"nodes of tile/0/000\.p/3"):
        tiles.read(storage, Tile(0, 0, 3))
    storage.forget("rows")
    with pytest.raises(StorageError, match="statements are missing"):
        tiles.read(storage, Tile(ENTRIES, 0, 3))
