"""The procedure that an exchange was told to go by: a file that is read at start, put on record, and then in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.procedure import parse_procedure
from panji.core.vocabulary import Kind
from panji.errors import ConfigError, InputError, RefusedError
from panji_server.on_record import NEWEST, document_of
from panji_server.sequencing import Accepted

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from panji.core.procedure import Procedure
    from panji_server.exchange import Exchange
    from panji_server.herald import Herald
    from panji_server.storage.base import Storage


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
