"""One exchange a database: a lock that the operating system lets go of, whatever ends the process."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from pathlib import Path


class Lock:
    """A file's lock (flock), held until it is released or the process has ended, by ``kill -9`` too."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """Takes the lock of a file, without waiting; None where somebody else holds it.

        The file is made where it is not there, and never removed: somebody may have it open, and lock what is gone.

        Raises:
            StorageError: The file cannot be made.
        """
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"the lock of the database cannot be made: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return cls(file)

    def release(self) -> None:
        """Lets others have it."""
        os.close(self._file)
