"""What a participant signs, and what it believes. No sockets, no files, no clock: both clients stand on this.

What comes from the exchange is a claim until a method of :class:`Session` has returned it as a :class:`Verified` or a
:class:`VerifiedCase`. An exchange may be late; it cannot invent, alter, misdeliver, reorder or leave out a statement
without one of the numbered steps here failing.

Not covered: that all participants see the same log. Two heads of one size are noticed here; a log that is shown to
different people in different versions is noticed by comparing heads (consistency proofs, witnesses).
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core import receipt as receipts
from panji.core.case import apply, open_case
from panji.core.checkpoint import open_checkpoint
from panji.core.envelope import PAYLOAD_TYPE
from panji.core.identifier import new_id
from panji.core.statements import Flag, Statement
from panji.errors import (
    DeliveryError,
    InputError,
    MalformedError,
    NoteError,
    ReceiptError,
    RefusedError,
    SignatureError,
    VerificationError,
)
from panji.wire.cases import case_to_message
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.receipts import receipt_from_message
from panji.wire.statements import encode_statement, parse_statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.checkpoint import Checkpoint
    from panji.core.directory import Directory
    from panji.core.envelope import Envelope
    from panji.core.keys import PublicKey, Signer
    from panji.core.note import NoteVerifier
    from panji.core.receipt import Receipt, VerifiedReceipt
    from panji.core.statements import Body
    from panji.v1 import case_pb2, receipt_pb2

_HEADS = 4096
"""Sizes of the log whose root is remembered, in order to notice a second head of one size."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement of ours, signed and ready to be sent."""

    statement: Statement
    envelope: bytes
    """The exact bytes that travel."""
    digest: bytes
    """Their SHA-256."""


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
class VerifiedCase:
    """A case whose state was computed here, from statements that were verified here."""

    case: Case
    statements: tuple[Verified, ...]
    """The flag and every reply, in the log's order."""

    @property
    def flag(self) -> Verified:
        """The statement that opened the case."""
        return self.statements[0]


class Session:
    """One organisation's view of one exchange: signs for the one, verifies what comes from the other."""

    def __init__(
        self, organisation: str, log: NoteVerifier, directory: Directory, signers: Sequence[Signer] = ()
    ) -> None:
        self.organisation = organisation
        self.exchange = log.name
        self._log = log
        self._signers = tuple(signers)
        self._roots: OrderedDict[int, bytes] = OrderedDict()
        self._open = lru_cache(maxsize=256)(self._open_new)
        self.trust(directory)

    @property
    def directory(self) -> Directory:
        """Whom we trust."""
        return self._directory

    def trust(self, directory: Directory) -> None:
        """Trusts another version of the directory from now on."""
        self._directory = directory
        self._keys = {record.key.keyid: record for one in directory.organisations.values() for record in one.keys}

    # Signing.

    def sign(
        self,
        recipient: str,
        body: Body,
        *,
        language: str,
        now: datetime,
        case_id: str = "",
        in_reply_to: bytes = b"",
        test: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """Makes a statement, signed with all of our keys.

        Raises:
            InputError: The statement breaks its form, or there is no key to sign with.
        """
        statement = Statement(
            id=new_id(now, secrets.token_bytes(8)) if id is None else id,
            exchange=self.exchange,
            sender=self.organisation,
            recipient=recipient,
            issued_at=now,
            language=language,
            body=body,
            case_id=case_id,
            in_reply_to=in_reply_to,
            test=test,
        )
        data = encode_envelope(dsse.sign(encode_statement(statement), self._signers))
        return Signed(statement, data, dsse.digest(data))

    def reply(
        self,
        to: Verified,
        body: Body,
        *,
        now: datetime,
        language: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """Makes a statement that answers another: case, digest, test marker, addressee and language follow from it.

        Args:
            to: What is answered: for acknowledgements, decisions and withdrawals the flag, for a clarification's answer
                the request.
            body: What is said.
            now: The time of issue.
            language: Of the texts in ``body``; that of ``to`` unless given.
            id: A UUIDv7; a new one unless given.

        Raises:
            InputError: The statement breaks its form.
        """
        said = to.statement
        return self.sign(
            said.recipient if said.sender == self.organisation else said.sender,
            body,
            language=language or said.language,
            now=now,
            case_id=said.case,
            in_reply_to=to.digest,
            test=said.test,
            id=id,
        )

    def restore(self, envelope: bytes) -> Signed:
        """Returns a statement of ours from the bytes that we have kept.

        Raises:
            InputError: They are none.
        """
        return Signed(parse_statement(parse_envelope(envelope).payload), envelope, dsse.digest(envelope))

    # Believing.

    def open_checkpoint(self, note: str) -> Checkpoint:
        """Verifies a head of the log. Receipts of one commit share theirs, so each is verified once.

        Raises:
            NoteError: It is not this log's, or the log has signed another root for the same size.
        """
        return self._open(note)

    def verify_receipt(self, signed: Signed, receipt: Receipt) -> VerifiedReceipt:
        """Verifies that a statement of ours is in the log.

        Raises:
            VerificationError: ReceiptError, NoteError or ProofError.
        """
        # 1 These bytes, in this log (the steps of panji.core.receipt). Stops a receipt of another statement, a log of
        #   the attacker's own, and a receipt for what was never logged.
        verified = receipts.verify_in(receipt, signed.digest, self.open_checkpoint(receipt.checkpoint))
        # 2 Logged as what it is, for whom it is. Stops "yes, we have it" while it goes into another's feed.
        _must_fit(receipt, signed.statement)
        return verified

    def accept(self, signed: Signed, receipt: receipt_pb2.Receipt) -> Verified:
        """Returns a statement of ours as verified by the receipt that came for it.

        Raises:
            VerificationError: As :meth:`verify_receipt`.
        """
        proven = read_receipt(receipt)
        self.verify_receipt(signed, proven)
        signers = tuple(signer.public_key.keyid for signer in self._signers)
        return Verified(signed.statement, signed.envelope, signed.digest, proven, signers)

    def verify_delivery(self, delivery: receipt_pb2.Delivery, *, addressed_to_us: bool = True) -> Verified:
        """Verifies a statement by anyone.

        Args:
            delivery: What came.
            addressed_to_us: It must be; otherwise we only have to be one of its two sides.

        Raises:
            VerificationError: DeliveryError, SignatureError, ReceiptError, NoteError or ProofError.
        """
        data, receipt = delivery.envelope, read_receipt(delivery.receipt)
        digest = dsse.digest(data)
        # 1 These bytes, in this log (the steps of panji.core.receipt). Stops swapped envelopes, and statements that
        #   the exchange shows to us and keeps from the log.
        receipts.verify_in(receipt, digest, self.open_checkpoint(receipt.checkpoint))
        # 2 Signed by keys that the directory trusted when the statement was received, before anything is parsed. Stops
        #   a stolen exchange from inventing statements, and a revoked key from making new ones.
        envelope = _parsed(data)
        signed_by = self._signed_by(envelope, receipt.received_at)
        # 3 A statement by its signed type, and whole. Stops bytes that were signed as something else.
        if envelope.payload_type != PAYLOAD_TYPE:
            raise DeliveryError("the payload is no statement by its type")
        statement = _parsed_statement(envelope.payload)
        # 4 By as many keys of the very sender as its organisation must use. Stops one participant, or one pair of eyes
        #   where four are needed, from speaking as another.
        trusted = self._directory.keys(statement.sender, receipt.received_at)
        signers = tuple(key.keyid for key in signed_by if key in trusted)
        sender = self._directory.organisation(statement.sender)
        if sender is None or len(signers) < sender.threshold:
            raise SignatureError(f"too few keys of {statement.sender}, the sender, have signed")
        # 5 For this exchange. Stops a replay of what was said elsewhere.
        if statement.exchange != self.exchange:
            raise DeliveryError("the statement was made for another exchange")
        # 6 Logged as what it is, for whom it is. Stops a flag delivered as correspondence, or out of another's feed.
        _must_fit(receipt, statement)
        # 7 For us. Stops misdelivery: a genuine statement to somebody else.
        parties = {statement.recipient} if addressed_to_us else {statement.recipient, statement.sender}
        if self.organisation not in parties:
            raise DeliveryError("the statement is between others")
        return Verified(statement, data, digest, receipt, signers)

    def verify_next(self, after: int, delivery: receipt_pb2.Delivery, *, above: int = -1) -> Verified:
        """Verifies the next statement of our feed.

        Args:
            after: The sequence of the statement before.
            delivery: What came.
            above: The index in the log of the statement before, where it is known.

        Raises:
            VerificationError: As :meth:`verify_delivery`.
        """
        verified = self.verify_delivery(delivery)
        # 8 Without a gap: the sequence is part of the log entry. Stops leaving a statement out, and sending one twice.
        if verified.receipt.sequence != after + 1:
            raise DeliveryError(
                f"after sequence {after} the feed brought {verified.receipt.sequence}: a statement was left out,"
                " repeated or reordered"
            )
        # 9 In the log's order. Stops a feed that is rearranged after the fact.
        if verified.receipt.index <= above:
            raise DeliveryError(f"sequence {after + 1} stands before sequence {after} in the log")
        return verified

    def verify_case(self, claimed: case_pb2.Case, *, known: Iterable[bytes] = ()) -> VerifiedCase:
        """Verifies a case with all of its statements, and computes its state anew.

        Args:
            claimed: The case as the exchange tells it, with its statements.
            known: Digests of statements that must be among them, since we hold proof that they were accepted.

        Raises:
            VerificationError: A statement does not verify, or they do not make this case.
        """
        # 1 Every statement by itself, as a delivery. Stops invented and altered replies.
        statements = tuple(self.verify_delivery(one, addressed_to_us=False) for one in claimed.statements)
        # 2 A flag first, everything else said in reply. Stops grafting one case's replies onto another's flag.
        if not statements or not isinstance(statements[0].statement.body, Flag):
            raise VerificationError("the case does not begin with a flag")
        if {one.statement.case for one in statements} != {claimed.id}:
            raise VerificationError("a statement of another case is among those of this one")
        # 3 In the log's order, each once. Stops telling an answer as if it had come before the question.
        indices = [one.receipt.index for one in statements]
        if indices != sorted(set(indices)):
            raise VerificationError("the statements are not in the log's order")
        # 4 Nothing left out that we know of. Stops hiding an answer that was given.
        digests = [one.digest for one in statements]
        if not set(known).issubset(digests):
            raise VerificationError("the case lacks a statement that we hold a receipt for")
        # 5 The state that follows by the same rules, step by step, each answering something said earlier. Stops every
        #   false state.
        first = statements[0]
        case = open_case(first.statement, first.digest, first.receipt.received_at)
        for position, one in enumerate(statements[1:], 1):
            if one.statement.in_reply_to not in digests[:position]:
                raise VerificationError("a reply answers nothing that was said before it in this case")
            try:
                case = apply(case, one.statement, one.digest, one.receipt.received_at)
            except (RefusedError, TypeError) as error:
                raise VerificationError(f"the statements do not follow from one another: {error}") from error
        # 6 And that state is the one claimed. Stops an exchange that tells its users something else than the record.
        if not _is_told_so(claimed, case):
            raise VerificationError("the exchange claims another state than the statements make")
        return VerifiedCase(case, statements)

    def _open_new(self, note: str) -> Checkpoint:
        checkpoint = open_checkpoint(note, self._log)
        if self._roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            raise NoteError(f"the log has signed two roots for size {checkpoint.size}: keep both checkpoints")
        if len(self._roots) > _HEADS:
            self._roots.popitem(last=False)
        return checkpoint

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


def read_receipt(message: receipt_pb2.Receipt) -> Receipt:
    """Returns the receipt that a message says. Nothing is verified by this.

    Raises:
        ReceiptError: It says none.
    """
    try:
        return receipt_from_message(message)
    except MalformedError as error:
        raise ReceiptError(f"the receipt is malformed: {error}") from error


def _parsed(data: bytes) -> Envelope:
    try:
        return parse_envelope(data)
    except InputError as error:
        raise DeliveryError(f"what was delivered is no envelope: {error}") from error


def _parsed_statement(payload: bytes) -> Statement:
    try:
        return parse_statement(payload, strict=False)
    except InputError as error:
        raise DeliveryError(f"what was delivered is no statement: {error}") from error


def _must_fit(receipt: Receipt, statement: Statement) -> None:
    if receipt.kind != statement.kind.value:
        raise ReceiptError(f"the receipt is for a {receipt.kind}, not for a {statement.kind}")
    if receipt.recipient != statement.recipient:
        raise ReceiptError("the receipt is for another recipient's feed")


def _is_told_so(claimed: case_pb2.Case, case: Case) -> bool:
    told = type(claimed)()
    told.CopyFrom(claimed)
    told.ClearField("statements")
    told.DiscardUnknownFields()  # a newer exchange may tell more
    return told == case_to_message(case)
