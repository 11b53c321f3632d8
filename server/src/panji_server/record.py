"""What is on record: no version of the directory or of the procedure is in force before the log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.directory import parse_directory
from panji.core.succession import taken_back
from panji.core.vocabulary import Kind
from panji.errors import ConfigError, InputError, RefusedError
from panji_server.herald import Herald, operator_of
from panji_server.on_record import NEWEST, document_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from panji.core.directory import Directory
    from panji.core.keys import PublicKey
    from panji_server.exchange import Exchange
    from panji_server.storage.base import Storage


class DirectoryOnRecord:
    """Puts versions of the directory into the log.

    Args:
        exchange: Whose log.
        herald: Signs them.
        operator: The organisation that the herald speaks for.
        key: The herald's.
        clock: Gives the time; aware.
    """

    def __init__(
        self, exchange: Exchange, herald: Herald, operator: str, key: PublicKey, clock: Callable[[], datetime]
    ) -> None:
        self._exchange = exchange
        self._herald = herald
        self._operator = operator
        self._key = key
        self._clock = clock

    async def record(self, text: str, directory: Directory) -> None:
        """Puts a version on record, unless it is the one that was recorded last.

        Raises:
            ConfigError: The exchange could not speak under this directory: its key is gone, or another operator's.
                Or it takes back what the version on record says of the past.
            RefusedError: The log takes no statements now.
        """
        now = self._clock()
        if operator_of(directory, self._key, now) != self._operator:
            raise ConfigError("statement_key", f"is no longer a key of {self._operator}; restart for another operator")
        before = await self._exchange.read(recorded, self._exchange.storage)
        if before == text:
            return
        must_follow(before, directory, now)
        (outcome,) = await self._exchange.state([self._herald.directory_record(text, now)])
        if isinstance(outcome, RefusedError):
            raise outcome


def recorded(storage: Storage) -> str | None:
    """Returns the directory's text as it was recorded last, or None where it never was."""
    return document_of(storage.record(Kind.DIRECTORY_RECORD, NEWEST))


def must_follow(before: str | None, directory: Directory, now: datetime) -> None:
    """Check that a version of the directory leaves provable what was said under the one on record.

    Raises:
        ConfigError: It takes back what statements in the log are proven by; every such place is named.
    """
    if before is None:
        return
    try:
        known = parse_directory(before)
    except InputError:
        return  # an older release took what this one does not read
    if lost := taken_back(known, directory, now):
        raise ConfigError("directory", str(InputError("takes back what statements in the log are proven by", lost)))
