"""A directory that holds a log in files of its own: no link in it leads to elsewhere, and nothing in it waits."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from panji.errors import AuditError, ConfigError, TransportError
from panji.logs.files import FileReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MODE = 0o644
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: a pipe has nobody at its other end
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder(FileReader):
    """Reads a log from a directory and writes it there. The directory may be a link; nothing below it may.

    Whoever else may write into it could otherwise have files elsewhere written, in the name of who keeps the copy. Each
    path is walked folder by folder, each opened within the one before, so nothing changes between look and use.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, path: str, content: bytes, *, durable: bool = False) -> None:
        """Write a file in one step, unless it is there already.

        Args:
            path: Of the file.
            content: All of it.
            durable: On the disk before it takes the place of the older one: a power cut leaves one of the two, whole.

        Raises:
            ConfigError: Something on the way, or in its place, is no folder or file of the directory's own.
            OSError: It cannot be written.
        """
        with suppress(AuditError, TransportError):
            if self._get(path, len(content)) == content:
                return
        name = Path(path).name
        with self._parent(path, make=True) as parent:
            new = f".{secrets.token_hex(8)}"
            descriptor = os.open(new, _WRITE, dir_fd=parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, _MODE)
                    file.write(content)
                    if durable:
                        file.flush()
                        os.fsync(descriptor)
                os.replace(new, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(new, dir_fd=parent)
                raise

    def remove(self, path: str) -> None:
        """Remove a folder and what is in it, as far as it is there and can be removed.

        Raises:
            ConfigError: There is something on the way that is no folder of the directory's own.
        """
        with suppress(FileNotFoundError), self._parent(path) as parent:
            shutil.rmtree(Path(path).name, ignore_errors=True, dir_fd=parent)

    def _get(self, path: str, limit: int) -> bytes | None:
        try:
            with self._parent(path) as parent:
                self._check(path, Path(path).name, parent, stat.S_ISREG)
                descriptor = os.open(Path(path).name, _READ, dir_fd=parent)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TransportError(f"{self._directory / path} cannot be read: {error.strerror}") from error
        if len(data) > limit:
            raise AuditError(path, f"has more than {limit} bytes")
        return data

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[int]:
        """The folder that a file of this path is in."""
        descriptor = os.open(self._directory, _FOLDER)
        try:
            for part in Path(path).parent.parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                self._check(path, part, descriptor, stat.S_ISDIR)
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _check(self, path: str, name: str, parent: int, kind: Callable[[int], bool]) -> None:
        """Says what is wrong; that nothing else is opened after all is up to the flags of the opening."""
        if not kind(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            what = f"{self._directory / path}: {name} is no file or folder of the directory's own, and is left alone"
            raise ConfigError("the mirror", what)
