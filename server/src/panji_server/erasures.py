"""Erased content, accounted for: what is gone from a database is what an erasure in its log says, and nothing more.

Of what is gone only the kind, time and commitment of its entry can be proven. Digests and places are pinned by the
erasure, whose own content is in the log:

1. Only what the sides of a case said is ever erased. Stops blanking an erasure, a missed deadline, a directory.
2. With the content goes the salt. Stops an erasure that leaves what a guess at the content can be tried with.
3. The case has an erasure with its content, newer than what is gone, and the case's id. Stops blanking by hand.
4. It is between the case and somebody else: the sides speak to each other, and the erasure is no side's. Stops other
   parties in the place of those that are gone.
5. It names all that the sides had said in the case, each at its place. Stops blanking more than was erased, leaving
   content that was, and others in the place of those that were erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.statements import Erasure
from panji.core.vocabulary import BY_THE_OPERATOR, Kind
from panji.errors import InputError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji.core.statements import Statement
    from panji_server.storage.base import Row, Storage


class Erasures:
    """The erasures of a database. A case is looked at once, however many of its statements are gone."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._accounted: set[int] = set()
        """Indexes of statements that an erasure accounts for."""

    def flaw(self, row: Row) -> str:
        """Returns what is wrong with a statement that has no content, empty where an erasure accounts for it.

        Raises:
            StorageError: The database failed.
        """
        if row.index in self._accounted:
            return ""
        if row.kind in BY_THE_OPERATOR:
            return f"has no content, and what the operator said ({row.kind}) is never erased"
        if row.salt:
            return "has no content, and its salt is still there"
        rows = self._storage.case_rows([row.case_index])[row.case_index]
        size = self._storage.current_head().frontier.size
        erasures = [one for one in rows if one.kind == Kind.ERASURE and not one.erased and row.index < one.index < size]
        if not erasures or rows[0].index != row.case_index:
            return "has no content, and no erasure of its case is in the log after it"
        for erasure in erasures:
            said = [one for one in rows if one.index < erasure.index and one.kind not in BY_THE_OPERATOR]
            if _accounts(erasure, said):
                self._accounted.update(one.index for one in said if not one.salt)
                return ""
        return "has no content, and the erasure of its case is not of exactly what is gone from it"


def _accounts(erasure: Row, said: Sequence[Row]) -> bool:
    statement, parties = _statement(erasure), {said[0].sender, said[0].recipient}
    return (
        statement is not None
        and isinstance(statement.body, Erasure)
        and statement.case_id == said[0].id
        and erasure.sender not in parties
        and erasure.recipient in parties
        and all(one.erased and {one.sender, one.recipient} == parties for one in said)
        and statement.body.statements == tuple(one.place for one in said)
    )


def _statement(row: Row) -> Statement | None:
    try:
        return parse_statement(parse_envelope(row.envelope).payload, strict=False)
    except InputError:
        return None
