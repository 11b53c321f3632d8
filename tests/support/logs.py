"""Whole logs in memory, as files of tiles: honest when they are made, for a test to lie with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Self

from panji.core import tiles
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.entry import Entry
from panji.core.keys import PrivateKeySigner
from panji.core.merkle import Frontier, leaf_hash
from panji.core.note import NoteSigner
from panji.core.tiles import ENTRIES, Tile
from panji.errors import AuditError
from panji.logs.files import CHECKPOINT, FileReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from panji.core.audit import LogReader

ORIGIN = "exchange.example/log"
LOG = NoteSigner(ORIGIN, PrivateKeySigner.generate())
"""The key of every log here."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def an_entry(number: int = 0, received_at: datetime | None = None) -> bytes:
    """Entry so many of a log: one a second."""
    return Entry("flag", received_at or BEGAN + number * SECOND, number.to_bytes(32)).encode()


@cache
def entries(size: int) -> tuple[bytes, ...]:
    """The entries of a log of this size."""
    return tuple(an_entry(number) for number in range(size))


def head(raw: Sequence[bytes], size: int | None = None) -> Checkpoint:
    """The head of the log of these entries, or of so many of them."""
    some = raw if size is None else raw[:size]
    return Checkpoint(ORIGIN, len(some), Frontier(0).extend([leaf_hash(one) for one in some]).root())


def signed(raw: Sequence[bytes], size: int | None = None) -> str:
    """The same, signed."""
    return sign_checkpoint(head(raw, size), LOG)


class MemoryLog(FileReader):
    """A log whose files are in a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    @classmethod
    def of(cls, raw: Sequence[bytes]) -> Self:
        """The log of these entries, whatever they are: signed, and every tile of it true."""
        extension = Frontier(0).extend([leaf_hash(one) for one in raw])
        nodes = {(level, index): value for level, index, value in extension.nodes}
        files = {CHECKPOINT: signed(raw).encode()}
        for tile in tiles.top_down(len(raw)):
            if tile.level == ENTRIES:
                files[tile.path] = tiles.join_entries(raw[tile.first_entry : tile.first_entry + tile.width])
            else:
                files[tile.path] = b"".join(nodes[position] for position in tile.nodes())
        return cls(files)

    def copy(self) -> MemoryLog:
        """Another of the same files."""
        return MemoryLog(dict(self.files))

    def flip(self, path: str, at: int = 0) -> None:
        """Changes one bit of a file."""
        data = bytearray(self.files[path])
        data[at] ^= 1
        self.files[path] = bytes(data)

    def write(self, directory: Path) -> Path:
        """Puts the files into a directory."""
        for path, data in self.files.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return directory

    def _get(self, path: str, limit: int) -> bytes | None:
        self.asked.append(path)
        data = self.files.get(path)
        if data is not None and len(data) > limit:
            raise AuditError(path, f"has more than {limit} bytes")
        return data


@cache
def _whole(size: int) -> MemoryLog:
    return MemoryLog.of(entries(size))


def a_log(size: int) -> MemoryLog:
    """A log of this size."""
    return _whole(size).copy()


def newest(reader: LogReader) -> Checkpoint:
    """The head of a log, opened."""
    return open_checkpoint(reader.checkpoint(), LOG.verifier)


def bundle(number: int, width: int = tiles.WIDTH) -> str:
    """The path of a bundle."""
    return Tile(ENTRIES, number, width).path
