"""Where the exchange's directory comes from: a file, read again when it changes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from panji.core.directory import Directory, parse_directory
from panji.errors import ConfigError, InputError, PanjiError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

POLL_SECONDS = 0.25
"""How often the file is looked at. A change must be seen twice and is in force within a second."""


class DirectorySource(ABC):
    """Gives the directory that is in force."""

    @property
    @abstractmethod
    def current(self) -> Directory:
        """The directory as of now. Cheap: it is asked for with every statement."""

    @abstractmethod
    async def follow(self) -> None:
        """Keeps :attr:`current` up to date until cancelled."""


class DirectoryFile(DirectorySource):
    """A TOML file. A change that cannot be read leaves the last good directory in force, and is reported.

    A new text counts once it was the same at two looks: half of a file that is still being written may well be TOML,
    and everyone in its other half would be cut off. For the same reason a directory without organisations is none.

    Args:
        path: The file.
        record: Puts a text, and the directory that it says, on record before it is in force. A PanjiError rejects the
            version; a refusal that may pass by itself has it tried again.
        on_change: Called with the directory after each change.
        on_error: Called with what is wrong, once for each bad version of the file.

    Raises:
        ConfigError: The file cannot be read at start.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_change: Callable[[Directory], None],
        on_error: Callable[[PanjiError], None],
        record: Callable[[str, Directory], Awaitable[None]] | None = None,
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._on_error = on_error
        self._record = record
        try:
            text = path.read_text("utf-8")
            self._current = _parse(text)
        except (OSError, UnicodeDecodeError, PanjiError) as error:
            raise ConfigError("directory", str(error)) from error
        self.text = text
        """What the directory in force was read from."""
        self._seen: str | None = text
        self._taken: str | None = text

    @property
    def current(self) -> Directory:
        """The last good directory."""
        return self._current

    async def follow(self) -> None:
        """Looks at the file until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.reload()

    async def reload(self) -> None:
        """Looks at the file, and takes its content if that is new and was the same at the last look."""
        text, problem = None, ""
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = str(error)
        settled = text == self._seen
        self._seen = text
        if not settled or text == self._taken:
            return
        self._taken = text
        try:
            if text is None:
                raise ConfigError("directory", problem)
            directory = _parse(text)
            if self._record is not None:
                await self._record(text, directory)
        except PanjiError as error:
            if isinstance(error, RefusedError) and error.retryable:
                self._taken = self.text
            self._on_error(error)
        else:
            self._current, self.text = directory, text
            self._on_change(directory)


def _parse(text: str) -> Directory:
    directory = parse_directory(text)
    if not directory.organisations:
        raise InputError("The directory has no organisation")
    return directory
