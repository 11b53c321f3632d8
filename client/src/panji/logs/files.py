"""Logs as a set of files, wherever they lie (C2SP tlog-tiles): one way to read them, and those in a directory."""

from __future__ import annotations

import os
import stat
from abc import abstractmethod
from typing import TYPE_CHECKING

from panji.core import tiles
from panji.core.audit import LogReader
from panji.core.note import MAX_BYTES
from panji.errors import AuditError, InputError, TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.tiles import Tile

CHECKPOINT = "checkpoint"
"""The path of the signed checkpoint."""


class FileReader(LogReader):
    """Reads a log from files of the paths that the specification gives them."""

    def checkpoint(self) -> str:
        """Return the newest signed checkpoint."""
        data = self._get(CHECKPOINT, MAX_BYTES)
        if data is None:
            raise TransportError("there is no checkpoint: the log is empty, or this is no log")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise AuditError(CHECKPOINT, "is no text") from error

    def tile(self, tile: Tile) -> bytes:
        """Return a tile or bundle; cut from the full one where the partial one has gone since it was complete."""
        data = self._get(tile.path, tile.max_bytes)
        if data is None and tile.partial:
            full = self._get(tile.full.path, tile.full.max_bytes)
            data = None if full is None else tiles.narrow(tile, full)
        if data is None:
            raise AuditError(tile.path, "is missing, and the checkpoint commits to it")
        return data

    @abstractmethod
    def _get(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, None where there is no such file.

        Raises:
            TransportError: No answer came.
            AuditError: It has more than ``limit`` bytes.
        """


class DirectoryReader(FileReader):
    """Reads a log from a directory, such as ``panji log mirror`` makes.

    Raises:
        InputError: There is no such directory.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise InputError(f"{directory} is no directory")
        self._directory = directory

    def _get(self, path: str, limit: int) -> bytes | None:
        try:
            with open(self._directory / path, "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise TransportError(f"{self._directory / path} cannot be read: it is no file")
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TransportError(f"{self._directory / path} cannot be read: {error.strerror}") from error
        if len(data) > limit:
            raise AuditError(path, f"has more than {limit} bytes")
        return data


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe, too, without anybody at its other end."""
    return os.open(path, flags | os.O_NONBLOCK)
