"""The newest head that was signed, remembered beside the database: what a database that was set back cannot know."""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from pathlib import Path

FLUSH_SECONDS = 1.0
"""How often the file is flushed to the disk at most."""


class RememberedHead:
    """A file that has the newest signed checkpoint: written after the commit, before anybody is answered.

    It covers a database or write-ahead log that was damaged, lost or set back while the operating system lived: a
    write reaches the operating system before a receipt leaves, and outlives the process. A power cut may take what was
    written since the last flush, a second's worth of commits, and with these it is only a little behind. It is never
    ahead of what was durable: the commit comes first. Whoever sets back the file together with the database is not
    noticed here, but by every client, and by witnesses.

    Args:
        path: The file; made with the first head, or at a start without it.

    Raises:
        StorageError: Of every method: the file system failed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._length = 0
        self._flushed = 0.0

    def read(self) -> str:
        """Returns the checkpoint, empty where there is no file."""
        try:
            return self.path.read_bytes().decode("utf-8", "replace")  # what is no checkpoint is found out by its reader
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise _failed(error) from error

    def write(self, checkpoint: str) -> bool:
        """Writes a checkpoint over the last one. Returns whether it is time for a :meth:`flush`."""
        data = checkpoint.encode()
        try:
            if self._file < 0:
                self._open()
            # In place, within one sector: a kill or a power cut leaves the old one or the new one.
            os.pwrite(self._file, data, 0)
            if len(data) < self._length:
                os.ftruncate(self._file, len(data))
        except OSError as error:
            raise _failed(error) from error
        self._length = len(data)
        return monotonic() - self._flushed > FLUSH_SECONDS

    def flush(self) -> None:
        """Waits until the disk has what was written. May be called beside :meth:`write`, from another thread."""
        self._flushed = monotonic()
        if self._file >= 0:
            try:
                os.fsync(self._file)
            except OSError as error:
                raise _failed(error) from error

    def close(self) -> None:
        """Flushes, and closes the file."""
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._length = os.fstat(self._file).st_size
        if not self._length:  # new: that there is such a file must outlive a power cut, too
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            with suppress(OSError):  # not every file system syncs folders
                os.fsync(folder)
            os.close(folder)


def _failed(error: OSError) -> StorageError:
    return StorageError(f"the remembered head failed: {error}")
