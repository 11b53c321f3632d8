"""The files that a profile names: the directory that we trust, and the keys that we sign with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.directory import Directory


class DirectoryFile:
    """The directory's file, read again when it has changed: rotating a key, or revoking one, needs no restart."""

    def __init__(self, path: Path, current: Directory) -> None:
        self._path = path
        self._current = current
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> Directory | None:
        """Returns the directory if it is another than when it was last asked for.

        Raises:
            ConfigError: The file cannot be read or is no directory. Trusting the old one would keep a revoked key.
        """
        try:
            status = self._path.stat()
        except OSError as error:
            raise ConfigError("directory", f"{self._path} cannot be read: {error.strerror}") from error
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen == self._seen:
            return None
        found = read_directory(self._path)
        self._seen = seen
        if found == self._current:
            return None
        self._current = found
        return found


def read_directory(path: Path) -> Directory:
    """Returns the directory of a file.

    Raises:
        ConfigError: The file cannot be read or is no directory.
    """
    try:
        return parse_directory(path.read_text("utf-8"))
    except (OSError, UnicodeError, InputError) as error:
        raise ConfigError("directory", f"{path}: {error}") from error


def read_signer(path: Path) -> PrivateKeySigner:
    """Returns the key of a file.

    Raises:
        ConfigError: The file cannot be read or is no key.
    """
    try:
        return PrivateKeySigner.from_pem(path.read_bytes())
    except (OSError, InputError) as error:
        raise ConfigError("signing_keys", f"{path}: {error}") from error
