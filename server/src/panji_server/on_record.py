"""What an exchange has put on record about itself: documents in the log, each in force from its place on."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from panji.core.procedure import Procedure, parse_procedure
from panji.core.statements import DirectoryRecord, ProcedureRecord
from panji.core.vocabulary import Kind
from panji.errors import InputError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from panji_server.storage.base import Row, Storage

NEWEST = 2**62
"""Above every index of the log."""


def document_of(row: Row | None) -> str | None:
    """Returns the document that a record has, or None where there is no record."""
    if row is None:
        return None
    body = parse_statement(parse_envelope(row.envelope).payload).body
    return body.document if isinstance(body, DirectoryRecord | ProcedureRecord) else None


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
