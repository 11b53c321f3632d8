"""The procedure: a file that is read at start, and what is on record. A case keeps the one that it was opened under."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from panji.core.procedure import Procedure, parse_procedure
from panji.core.vocabulary import Kind
from panji.errors import ConfigError, InputError, RefusedError
from panji_server.record import NEWEST, document_of
from panji_server.sequencing import Accepted
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from panji_server.exchange import Exchange
    from panji_server.herald import Herald
    from panji_server.storage.base import Storage


class Procedures:
    """Every procedure that is on record, by its place in the log.

    Args:
        storage: Where the log is.

    Raises:
        StorageError: A record cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        self._indexes: list[int] = []
        self._found: list[Procedure] = []
        before = NEWEST
        while (row := storage.record(Kind.PROCEDURE_RECORD, before)) is not None:
            try:
                found = parse_procedure(document_of(row) or "")
            except InputError as error:
                raise StorageError(f"the procedure on record at index {row.index} is none: {error}") from error
            self._indexes.insert(0, row.index)
            self._found.insert(0, found)
            before = row.index

    @property
    def current(self) -> Procedure | None:
        """What holds for flags that come now, or None."""
        return self._found[-1] if self._found else None

    def of_case(self, index: int) -> Procedure | None:
        """Returns what holds for the case that the flag at an index has opened, or None."""
        position = bisect_left(self._indexes, index)
        return self._found[position - 1] if position else None

    def add(self, index: int, procedure: Procedure) -> None:
        """Has what was just put on record hold from its place on."""
        self._indexes.append(index)
        self._found.append(procedure)


class ProcedureFile:
    """What an exchange was told to go by, if anything.

    Args:
        path: A TOML file, or None.

    Raises:
        ConfigError: It cannot be read, or is no procedure; every violation is named.
    """

    def __init__(self, path: Path | None) -> None:
        self._read: tuple[str, Procedure] | None = None
        if path is None:
            return
        try:
            text = path.read_text("utf-8")
            self._read = (text, parse_procedure(text))
        except (OSError, UnicodeDecodeError, InputError) as error:
            raise ConfigError("procedure", str(error)) from error

    def must_follow(self, storage: Storage) -> None:
        """Check that a log that has a procedure on record gets one.

        Raises:
            ConfigError: It does not: whoever reads the log would take the one on record for the one in force.
        """
        if self._read is None and storage.record(Kind.PROCEDURE_RECORD, NEWEST) is not None:
            raise ConfigError(
                "procedure", "is missing, and the log has one on record: name it, or the one that follows"
            )

    async def record(self, exchange: Exchange, herald: Herald, now: datetime) -> None:
        """Puts the procedure on record, unless it is the one that was recorded last; from then on it holds.

        Raises:
            RefusedError: The log takes no statements now.
        """
        if self._read is None:
            return
        text, procedure = self._read
        row = await exchange.read(exchange.storage.record, Kind.PROCEDURE_RECORD, NEWEST)
        if document_of(row) == text:
            return
        (outcome,) = await exchange.state([herald.procedure_record(text, now)])
        if isinstance(outcome, RefusedError):
            raise outcome
        if isinstance(outcome, Accepted):
            exchange.procedures.add(outcome.row.index, procedure)
