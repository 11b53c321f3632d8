"""What a statement and a case prove to whoever trusts a log's key and a directory: participant, auditor or court.

No sockets, no files, no clock. :class:`Trust` says of every step what it stops; what it returns as a :class:`Verified`
or a :class:`VerifiedCase` is no longer anybody's claim.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core import merkle
from panji.core import receipt as receipts
from panji.core.case import ANSWERING_ANY, answered, apply, legal_kinds, open_case
from panji.core.entry import Entry
from panji.core.envelope import PAYLOAD_TYPE
from panji.core.statements import ErasedStatement, Erasure, Flag
from panji.core.vocabulary import BY_THE_OPERATOR, FOUR_EYES, Kind, Role
from panji.errors import (
    DeliveryError,
    InputError,
    ReceiptError,
    RefusedError,
    SignatureError,
    VerificationError,
)
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.checkpoint import Checkpoint
    from panji.core.directory import Directory
    from panji.core.envelope import Envelope
    from panji.core.keys import PublicKey
    from panji.core.receipt import Receipt
    from panji.core.statements import Statement

_PERSONS = 2
_SIDES = 2


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement, by anyone, of which everything has been verified: signatures, form, addresses, place in the log."""

    statement: Statement
    envelope: bytes
    """The exact bytes that travelled."""
    digest: bytes
    """Their SHA-256, which a reply names."""
    receipt: Receipt
    signers: tuple[str, ...]
    """Key ids of the sender's keys that signed."""


@dataclass(frozen=True, slots=True)
class Erased:
    """The place of a statement whose content a law had erased: proven to be in the log, and its end to be on record."""

    receipt: Receipt
    """Without its salt."""
    erasure: Verified
    """The operator's statement, by two persons, that names its digest."""


@dataclass(frozen=True, slots=True)
class VerifiedCase:
    """A case whose state was computed here, from statements that were verified here."""

    case: Case
    statements: tuple[Verified, ...]
    """The flag and every reply, in the log's order."""

    @property
    def flag(self) -> Verified:
        """The statement that opened the case."""
        return self.statements[0]

    @property
    def open_targets(self) -> tuple[int, ...]:
        """Positions of the targets that wait for a decision; none once all are decided or withdrawn."""
        return self.case.open_targets

    @property
    def history(self) -> tuple[Case, ...]:
        """The case as it stood after each of the statements."""
        flag, *replies = self.statements
        states = [open_case(flag.statement, flag.digest, flag.receipt.received_at)]
        for one in replies:
            states.append(apply(states[-1], one.statement, one.digest, one.receipt.received_at))
        return tuple(states)

    def find(self, digest: bytes) -> Verified | None:
        """Returns the statement of this case with a digest."""
        return next((one for one in self.statements if one.digest == digest), None)

    def answered_by(self, kind: Kind, organisation: str) -> Verified:
        """Returns the statement that one of this kind by this side must answer as the case stands.

        Raises:
            InputError: It may not be said as the case stands, or the organisation is no side of the case.
        """
        sides = {self.case.authority: Role.AUTHORITY, self.case.platform: Role.PLATFORM}
        if organisation not in sides:
            raise InputError(f"{organisation} is no side of the case")
        role = sides[organisation]
        may = legal_kinds(self.case, role)
        if kind not in may:
            legal = f"the {role} may say: {', '.join(may)}" if may else f"nothing may be said by the {role}"
            raise InputError(f"no {kind} by the {role} while the case is {self.case.state.name}; {legal}")
        digest = answered(self.case, kind, role)
        said = [one for one in self.statements if one.statement.kind not in BY_THE_OPERATOR]
        return [one for one in said if one.digest == digest or kind in ANSWERING_ANY][-1]


class Trust:
    """One log's origin and one directory, and what they prove."""

    def __init__(self, exchange: str, directory: Directory) -> None:
        self.exchange = exchange
        self.directory = directory
        self._keys = {record.key.keyid: record for one in directory.organisations.values() for record in one.keys}

    def statement(self, data: bytes, receipt: Receipt, checkpoint: Checkpoint) -> Verified:
        """Verifies a statement by anyone.

        Args:
            data: The exact bytes of its envelope.
            receipt: Its receipt.
            checkpoint: What the receipt's checkpoint opens to, by the log's key.

        Raises:
            VerificationError: DeliveryError, SignatureError, ReceiptError or ProofError.
        """
        digest = dsse.digest(data)
        # 1 These bytes, in this log (the steps of panji.core.receipt). Stops swapped envelopes, and statements that
        #   the exchange shows and keeps from the log.
        receipts.verify_in(receipt, digest, checkpoint)
        # 2 Signed by keys that the directory trusted when the statement was received, before anything is parsed. Stops
        #   a stolen exchange from inventing statements, and a revoked key from making new ones.
        envelope = _parsed(data)
        signed_by = self._signed_by(envelope, receipt.received_at)
        # 3 A statement by its signed type, and whole. Stops bytes that were signed as something else.
        statement = _parsed_statement(envelope)
        # 4 By as many keys of the very sender as its organisation had to use then, and by persons where two must agree.
        #   Stops one participant, or one pair of eyes where four are needed, from speaking as another.
        signers = self._signers(statement, signed_by, receipt.received_at)
        # 5 For this exchange. Stops a replay of what was said elsewhere.
        _must_be_for(self.exchange, statement)
        # 6 Logged as what it is, for whom it is. Stops a flag delivered as correspondence, or out of another's feed.
        must_fit(receipt, statement)
        return Verified(statement, data, digest, receipt, signers)

    def erased(self, receipt: Receipt, commitment: bytes, checkpoint: Checkpoint, erasure: Verified) -> Erased:
        """Verifies the place of a statement whose content was erased.

        That the entry at this place was of this very digest, recipient and sequence could be shown with the salt only,
        which is gone: for that the two persons are trusted who signed the erasure, which names all four.

        Args:
            receipt: What is left of it, without its salt.
            commitment: Of its log entry.
            checkpoint: What the receipt's checkpoint opens to, by the log's key.
            erasure: A verified statement.

        Raises:
            VerificationError: ReceiptError, ProofError or DeliveryError.
        """
        # 1 An entry of this kind and time stands in the log at this index. Stops erasures of what never was.
        try:
            leaf = merkle.leaf_hash(Entry(receipt.kind, receipt.received_at, commitment).encode())
        except InputError as error:
            raise ReceiptError(f"what is left of the receipt makes no entry: {error}") from error
        merkle.verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
        # 2 Without its salt. Stops an exchange from showing as gone what it gives away to guess at.
        if receipt.salt:
            raise ReceiptError("the content is missing, and the receipt still has the salt, which goes with it")
        # 3 Nothing that is never erased. Stops an exchange from hiding what it has said itself.
        if receipt.kind in BY_THE_OPERATOR:
            raise DeliveryError(f"the content of a {receipt.kind} is missing, which is never erased")
        # 4 Two persons have signed that this statement is erased, at this very place, and the log has it. Stops an
        #   exchange from leaving out what it would rather not deliver, be it under the name of what was erased.
        body = erasure.statement.body
        place = ErasedStatement(
            digest=receipt.digest, index=receipt.index, recipient=receipt.recipient, sequence=receipt.sequence
        )
        if not isinstance(body, Erasure) or place not in body.statements:
            raise DeliveryError("the content is missing, and no erasure names it at this place")
        # 5 As a statement of the one case that the erasure is of: it answers the flag, which it names first, and all is
        #   between two sides, of which one is told. Stops places of others' feeds that two persons signed unseen.
        parties = {erasure.statement.recipient, *(one.recipient for one in body.statements)}
        if erasure.statement.in_reply_to != body.statements[0].digest or len(parties) > _SIDES:
            raise DeliveryError("the content is missing, and the erasure that names it is not of one case")
        # 6 After it was said. Stops an old erasure from standing for what came later.
        if erasure.receipt.index <= receipt.index:
            raise DeliveryError("the content is missing, and the erasure is older than it")
        return Erased(receipt, erasure)

    def _signers(self, statement: Statement, signed_by: Sequence[PublicKey], at: datetime) -> tuple[str, ...]:
        sender = self.directory.organisation(statement.sender)
        trusted = self.directory.keys(statement.sender, at)
        signers = tuple(key.keyid for key in signed_by if key in trusted)
        if sender is None or len(signers) < sender.threshold_at(at):
            raise SignatureError(f"too few keys of {statement.sender}, the sender, have signed")
        if statement.kind in BY_THE_OPERATOR and sender.role is not Role.OPERATOR:
            raise SignatureError(f"{statement.sender} is not the operator, who alone makes a {statement.kind}")
        persons = self.directory.persons(statement.sender, at)
        if statement.kind in FOUR_EYES and sum(key in persons for key in signed_by) < _PERSONS:
            raise SignatureError(f"a {statement.kind} takes the signatures of two persons")
        return signers

    def _signed_by(self, envelope: Envelope, at: datetime) -> tuple[PublicKey, ...]:
        """Finds who signed, among everybody: the sender stands in the payload, which is not to be parsed yet.

        The key ids are hints. If they do not account for every signature, all keys are tried: an exchange need not look
        at the hints, and a statement that it took must not get stuck here because one was wrong.
        """
        hinted = [self._keys.get(signature.keyid) for signature in envelope.signatures]
        keys = [record.key for record in hinted if record and record.valid_at(at)]
        with suppress(SignatureError):
            return dsse.verify(envelope, keys, threshold=len(envelope.signatures))
        return dsse.verify(envelope, [record.key for record in self._keys.values() if record.valid_at(at)])


def logged(data: bytes, receipt: Receipt, checkpoint: Checkpoint) -> Statement:
    """Verifies what a receipt proves by itself: that a statement is in a log as what it is. Not who made it.

    The steps are those of :meth:`Trust.statement` without the second and the fourth, which take a directory: until then
    whom the statement names as its sender is a claim.

    Args:
        data: The exact bytes of its envelope.
        receipt: Its receipt.
        checkpoint: What the receipt's checkpoint opens to, by the log's key.

    Raises:
        VerificationError: DeliveryError, ReceiptError or ProofError.
    """
    receipts.verify_in(receipt, dsse.digest(data), checkpoint)
    statement = _parsed_statement(_parsed(data))
    _must_be_for(checkpoint.origin, statement)
    must_fit(receipt, statement)
    return statement


def follow(case_id: str, statements: Sequence[Verified]) -> VerifiedCase:
    """Computes a case from its verified statements.

    That none was left out is not for this to know: the statements that remain make a case of their own.

    Args:
        case_id: Of the case that they are said to make.
        statements: In the log's order.

    Raises:
        VerificationError: They do not make this case.
    """
    # 1 A flag first, everything else said in reply. Stops grafting one case's replies onto another's flag.
    if not statements or not isinstance(statements[0].statement.body, Flag):
        raise VerificationError("the case does not begin with a flag")
    if {one.statement.case for one in statements} != {case_id}:
        raise VerificationError("a statement of another case is among those of this one")
    # 2 In the log's order, each once. Stops telling an answer as if it had come before the question.
    indices = [one.receipt.index for one in statements]
    if indices != sorted(set(indices)):
        raise VerificationError("the statements are not in the log's order")
    # 3 The state that follows by the same rules, step by step, each answering something said earlier. Stops every
    #   false state.
    digests = [one.digest for one in statements]
    first = statements[0]
    case = open_case(first.statement, first.digest, first.receipt.received_at)
    for position, one in enumerate(statements[1:], 1):
        if one.statement.in_reply_to not in digests[:position]:
            raise VerificationError("a reply answers nothing that was said before it in this case")
        try:
            case = apply(case, one.statement, one.digest, one.receipt.received_at)
        except (RefusedError, TypeError) as error:
            raise VerificationError(f"the statements do not follow from one another: {error}") from error
    return VerifiedCase(case, tuple(statements))


def must_fit(receipt: Receipt, statement: Statement) -> None:
    """Check that a statement was logged as what it is, for whom it is.

    Raises:
        ReceiptError: As another kind, or into another's feed.
    """
    if receipt.kind != statement.kind.value:
        raise ReceiptError(f"the receipt is for a {receipt.kind}, not for a {statement.kind}")
    if receipt.recipient != statement.recipient:
        raise ReceiptError("the receipt is for another recipient's feed")


def _parsed(data: bytes) -> Envelope:
    try:
        return parse_envelope(data)
    except InputError as error:
        raise DeliveryError(f"what was delivered is no envelope: {error}") from error


def _must_be_for(exchange: str, statement: Statement) -> None:
    if statement.exchange != exchange:
        raise DeliveryError("the statement was made for another exchange")


def _parsed_statement(envelope: Envelope) -> Statement:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise DeliveryError("the payload is no statement by its type")
    try:
        return parse_statement(envelope.payload, strict=False)
    except InputError as error:
        raise DeliveryError(f"what was delivered is no statement: {error}") from error
