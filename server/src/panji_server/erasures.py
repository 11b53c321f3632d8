"""Erased content, accounted for: what is gone from a database is what an erasure in its log says, and nothing more.

Of what is gone only the kind, time and commitment of its entry can be proven. Digests and places are pinned by the
erasure, whose own content is in the log:

1. Only what the sides of a case said is ever erased. Stops blanking an erasure, a missed deadline, a directory.
2. With the content goes the salt. Stops an erasure that leaves what a guess at the content can be tried with.
3. The case has an erasure with its content, newer than what is gone. Stops blanking by hand.
4. Two persons of the operator have signed it, with keys that the directory on record before it has for them. Stops one
   person who has the log's key and the database from erasing alone.
5. It is of this case, and between the case and somebody else: it answers the flag, the sides speak to each other, and
   the erasure is no side's. Stops other cases and parties in the place of those that are gone.
6. It names all that the sides had said in the case, each at its place. Stops blanking more than was erased, leaving
   content that was, and others in the place of those that were erased.
7. Each side is told by one of its own. Stops an erasure of which one side never hears.
8. What it names is gone. Stops content that is put back, from a backup say, and would be delivered again.

That the log has the erasure and the directory as they are is for whoever audits the log to find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.directory import parse_directory
from panji.core.statements import DirectoryRecord, Erasure
from panji.core.vocabulary import BY_THE_OPERATOR, FOUR_EYES, Kind, Role
from panji.errors import InputError, SignatureError, VerificationError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji.core.directory import Directory
    from panji.core.statements import Statement
    from panji_server.storage.base import Row, Storage


class Erasures:
    """The erasures of a database. A case is looked at once, however many of its statements are gone.

    Args:
        storage: The database.
        origin: Of its log.
        to_both: Whether each side must have been told. A release before this one could erase and tell one side alone;
            an exchange must start on such a log, or the other could never be told.
    """

    def __init__(self, storage: Storage, origin: str, *, to_both: bool = True) -> None:
        self._storage = storage
        self._origin = origin
        self._to_both = to_both
        self._accounted: set[int] = set()
        """Indexes of statements that an erasure accounts for."""
        self._directories: dict[int, Directory] = {}
        """By the index of their record."""

    def flaw(self, row: Row) -> str:
        """Returns what is wrong with a statement that has no content, empty where an erasure accounts for it.

        Raises:
            StorageError: The database failed.
        """
        if row.index in self._accounted:
            return ""
        # 1
        if row.kind in BY_THE_OPERATOR:
            return f"has no content, and what the operator said ({row.kind}) is never erased"
        # 2
        if row.salt:
            return "has no content, and its salt is still there"
        return self._unaccounted(row)

    def undone(self, row: Row) -> str:
        """Returns what is wrong with an erasure that is in the log, empty where all that it names is gone.

        Raises:
            StorageError: The database failed.
        """
        statement = _said(row)
        if statement is None or not isinstance(statement.body, Erasure):
            return "is said to be an erasure, and is none"
        # 8
        for one in self._storage.rows([place.index for place in statement.body.statements]):
            if not one.erased:
                return f"erases entry {one.index}, and its content is there"
        return ""

    def _unaccounted(self, row: Row) -> str:
        # 3
        rows = self._storage.case_rows([row.case_index])[row.case_index]
        size = self._storage.current_head().frontier.size
        erasures = [one for one in rows if one.kind == Kind.ERASURE and not one.erased and row.index < one.index < size]
        if not erasures or rows[0].index != row.case_index:
            return "has no content, and no erasure of its case is in the log after it"
        said = [one for one in rows if one.index < erasures[0].index and one.kind not in BY_THE_OPERATOR]
        flaws = [self._why_not(one, said) for one in erasures]
        told = {one.recipient for one, flaw in zip(erasures, flaws, strict=True) if not flaw}
        if not told:
            return f"has no content, and the erasure of its case {flaws[0]}"
        # 7
        untold = {said[0].sender, said[0].recipient} - told
        if untold and self._to_both:
            return f"was erased, and no erasure tells {untold.pop()} so: erase the case once more, and both are told"
        self._accounted.update(one.index for one in said if not one.salt)
        return ""

    def _why_not(self, erasure: Row, said: Sequence[Row]) -> str:
        """What keeps an erasure from accounting for all that was said in its case."""
        # 4
        try:
            statement = self._signed(erasure, self._directory(erasure.index))
        except VerificationError as error:
            return f"is not proven: {error}"
        # 5 and 6
        body, flag, parties = statement.body, said[0], {said[0].sender, said[0].recipient}
        accounts = (
            isinstance(body, Erasure)
            and (statement.case_id, statement.in_reply_to) == (flag.id, flag.digest)
            and statement.recipient == erasure.recipient
            and statement.recipient in parties
            and statement.sender not in parties
            and all(one.erased and {one.sender, one.recipient} == parties for one in said)
            and body.statements == tuple(one.place for one in said)
        )
        return "" if accounts else "is not of exactly what is gone from it"

    def _directory(self, index: int) -> Directory:
        """The directory that was on record before an entry.

        Raises:
            VerificationError: There is none, or the operator that it names has not signed it.
        """
        record = self._storage.record(Kind.DIRECTORY_RECORD, index)
        if record is None:
            raise VerificationError("no directory is on record before it")
        if record.index not in self._directories:
            said = _said(record)
            if said is None or not isinstance(said.body, DirectoryRecord):
                raise VerificationError("the directory on record before it is none")
            try:
                directory = parse_directory(said.body.document)
            except InputError as error:
                raise VerificationError(f"the directory on record before it cannot be read: {error}") from error
            self._signed(record, directory)
            self._directories[record.index] = directory
        return self._directories[record.index]

    def _signed(self, row: Row, directory: Directory) -> Statement:
        """What the operator says, by the keys that admission asks for (:mod:`panji_server.admission`, step 3 and on).

        Raises:
            VerificationError: The operator does not say it.
        """
        statement, at = _said(row), row.received_at
        sender = directory.organisation(statement.sender) if statement is not None else None
        if statement is None or sender is None or sender.role is not Role.OPERATOR:
            raise SignatureError("an operator does not say it")
        if statement.exchange != self._origin:
            raise SignatureError("it was said on another exchange")
        envelope, needed = parse_envelope(row.envelope), sender.threshold_at(at)
        if envelope.payload_type != dsse.PAYLOAD_TYPE:
            raise SignatureError("it was signed as something else")
        if statement.kind in FOUR_EYES:
            dsse.verify(envelope, directory.persons(sender.id, at), max(2, needed))
        dsse.verify(envelope, directory.keys(sender.id, at), needed)
        return statement


def _said(row: Row) -> Statement | None:
    try:
        return parse_statement(parse_envelope(row.envelope).payload, strict=False)
    except InputError:
        return None
