"""Where the exchange's directory comes from: a file, read again when it changes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from panji.core.directory import Directory, parse_directory
from panji.errors import ConfigError, PanjiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_SECONDS = 0.5
"""How often the file is looked at; a change is in force within a second."""


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

    Args:
        path: The file.
        on_change: Called with the directory after each change.
        on_error: Called with what is wrong, once for each bad version of the file.

    Raises:
        ConfigError: The file cannot be read at start.
    """

    def __init__(
        self, path: Path, *, on_change: Callable[[Directory], None], on_error: Callable[[PanjiError], None]
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._on_error = on_error
        try:
            self._text = path.read_text("utf-8")
            self._current = parse_directory(self._text)
        except (OSError, UnicodeDecodeError, PanjiError) as error:
            raise ConfigError("directory", str(error)) from error

    @property
    def current(self) -> Directory:
        """The last good directory."""
        return self._current

    async def follow(self) -> None:
        """Looks at the file until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.reload()

    def reload(self) -> None:
        """Reads the file again if its content changed."""
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            # An editor may be about to replace the file; if it stays away, the last good directory stays in force.
            if self._text:
                self._text = ""
                self._on_error(ConfigError("directory", str(error)))
            return
        if text == self._text:
            return
        self._text = text
        try:
            self._current = parse_directory(text)
        except PanjiError as error:
            self._on_error(error)
        else:
            self._on_change(self._current)
