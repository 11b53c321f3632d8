"""The log as tiles, out of the database: what the rpcs and the HTTP listener serve alike (C2SP tlog-tiles)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core import tiles
from panji.core.tiles import ENTRIES
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from panji.core.tiles import Tile
    from panji_server.storage.base import Storage


def newest_checkpoint(storage: Storage) -> str:
    """Returns the newest signed checkpoint, empty while the log is."""
    size = storage.current_head().frontier.size
    return storage.checkpoints([size]).get(size, "")


def read(storage: Storage, tile: Tile) -> bytes | None:
    """Returns the content of a tile or bundle, None where the log has no such yet.

    A partial one is given at any width that a tree of the log had, though its tile may be full meanwhile.

    Raises:
        StorageError: The database lacks a part of it.
    """
    if not tile.is_in(storage.current_head().frontier.size):
        return None
    if tile.level == ENTRIES:
        entries = storage.entries(tile.first_entry, tile.width)
        if len(entries) != tile.width:
            raise StorageError(f"statements are missing from index {tile.first_entry} on")
        return tiles.join_entries(entry.encode() for entry in entries)
    positions = tile.nodes()
    nodes = storage.nodes(positions)
    if len(nodes) != tile.width:
        raise StorageError(f"nodes of {tile.path} are missing")
    return b"".join(nodes[position] for position in positions)
