"""What a participant signs, and what it believes. No sockets, no files, no clock: both clients stand on this.

What comes from the exchange is a claim until a method of :class:`Session` has returned it as a :class:`Verified` or a
:class:`VerifiedCase`. An exchange may be late; it cannot invent, alter, misdeliver, reorder or leave out a statement
without one of the numbered steps here failing.

Not covered: that all heads are of one log. Two roots for one size are noticed here; that every head extends the one
before takes consistency proofs (:mod:`panji.heads`), and that all participants see the same log takes witnesses.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core import receipt as receipts
from panji.core.checkpoint import open_checkpoint
from panji.core.identifier import new_id
from panji.core.statements import Statement
from panji.core.vocabulary import Kind
from panji.errors import (
    DeliveryError,
    ForkKind,
    InputError,
    LogForkError,
    MalformedError,
    ReceiptError,
    SignatureError,
    VerificationError,
)
from panji.trust import Erased, Trust, Verified, VerifiedCase, follow, must_fit
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
    from panji.core.keys import PublicKey, Signer
    from panji.core.note import NoteVerifier
    from panji.core.receipt import Receipt, VerifiedReceipt
    from panji.core.statements import Body
    from panji.v1 import case_pb2, receipt_pb2

__all__ = ["Erased", "Session", "Signed", "Verified", "VerifiedCase", "read_receipt"]

_HEADS = 4096
"""Sizes of the log whose head is remembered, in order to notice a second root of one size."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement of ours, signed and ready to be sent."""

    statement: Statement
    envelope: bytes
    """The exact bytes that travel."""
    digest: bytes
    """Their SHA-256."""
    signers: tuple[str, ...]
    """Key ids of the keys that signed."""


class Session:
    """One organisation's view of one exchange: signs for the one, verifies what comes from the other."""

    def __init__(
        self, organisation: str, log: NoteVerifier, directory: Directory, signers: Sequence[Signer] = ()
    ) -> None:
        self.organisation = organisation
        self.exchange = log.name
        self._log = log
        self._signers = tuple(signers)
        self._roots: OrderedDict[int, tuple[bytes, str]] = OrderedDict()
        self._open = lru_cache(maxsize=256)(self._open_new)
        self.trust(directory)

    @property
    def log(self) -> NoteVerifier:
        """The log's key."""
        return self._log

    @property
    def signers(self) -> tuple[Signer, ...]:
        """What signs for us."""
        return self._signers

    @property
    def directory(self) -> Directory:
        """Whom we trust."""
        return self._trust.directory

    def trust(self, directory: Directory) -> None:
        """Trusts another version of the directory from now on."""
        self._trust = Trust(self.exchange, directory)

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
        return Signed(statement, data, dsse.digest(data), tuple(key.keyid for key in self._ours()))

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

    def cosign(self, envelope: bytes) -> Signed:
        """Adds our signatures to a statement of our organisation that others of it have signed.

        Raises:
            InputError: The bytes are no statement of ours for this exchange, or our keys have signed it already.
        """
        signed = self.restore(envelope)
        if (signed.statement.sender, signed.statement.exchange) != (self.organisation, self.exchange):
            raise InputError("the statement is not one of our organisation for this exchange")
        earlier = parse_envelope(envelope)
        there = {signature.keyid for signature in earlier.signatures}
        signers = [signer for signer in self._signers if signer.public_key.keyid not in there]
        if not signers:
            raise InputError("our keys have signed this already: another person's is needed")
        added = dsse.sign(earlier.payload, signers).signatures
        data = encode_envelope(replace(earlier, signatures=(*earlier.signatures, *added)))
        ours = tuple(signer.public_key.keyid for signer in signers)
        return Signed(signed.statement, data, dsse.digest(data), (*signed.signers, *ours))

    def restore(self, envelope: bytes) -> Signed:
        """Returns a statement of ours from the bytes that we have kept.

        Raises:
            InputError: They are none: not whole, or not as any key has signed them that is or was ours.
        """
        parsed = parse_envelope(envelope)
        organisation = self.directory.organisation(self.organisation)
        keys = [*self._ours(), *(record.key for record in (organisation.keys if organisation else ()))]
        try:
            signers = tuple(key.keyid for key in dsse.verify(parsed, keys, max(len(parsed.signatures), 1)))
        except SignatureError as error:
            raise InputError(f"the bytes are not those that we have signed: {error}") from error
        # What no signature covers, too: the digest is of all bytes, and the exchange may know the statement by it.
        if tuple(one.keyid for one in parsed.signatures) != signers or encode_envelope(parsed) != envelope:
            raise InputError("the bytes around the signatures are not those that we have written")
        return Signed(parse_statement(parsed.payload), envelope, dsse.digest(envelope), signers)

    def _ours(self) -> list[PublicKey]:
        return [signer.public_key for signer in self._signers]

    # Believing.

    def open_checkpoint(self, note: str) -> Checkpoint:
        """Verifies a head of the log. Receipts of one commit share theirs, so each is verified once.

        Raises:
            NoteError: It is not this log's.
            LogForkError: The log has signed another root for the same size.
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
        must_fit(receipt, signed.statement)
        return verified

    def accept(self, signed: Signed, receipt: receipt_pb2.Receipt) -> Verified:
        """Returns a statement of ours as verified by the receipt that came for it.

        Raises:
            VerificationError: As :meth:`verify_receipt`.
        """
        proven = read_receipt(receipt)
        self.verify_receipt(signed, proven)
        return Verified(signed.statement, signed.envelope, signed.digest, proven, signed.signers)

    def verify_delivery(self, delivery: receipt_pb2.Delivery, *, addressed_to_us: bool = True) -> Verified:
        """Verifies a statement by anyone.

        Args:
            delivery: What came.
            addressed_to_us: It must be; otherwise we only have to be one of its two sides.

        Raises:
            VerificationError: DeliveryError, SignatureError, ReceiptError, NoteError or ProofError.
        """
        # 1 to 6 are those of Trust.statement.
        verified = self._proven(delivery)
        # 7 For us. Stops misdelivery: a genuine statement to somebody else.
        said = verified.statement
        parties = {said.recipient} if addressed_to_us else {said.recipient, said.sender}
        if self.organisation not in parties:
            raise DeliveryError("the statement is between others")
        return verified

    def verify_erased(self, delivery: receipt_pb2.Delivery) -> Erased:
        """Verifies the place of a statement whose content was erased.

        Raises:
            VerificationError: As :meth:`verify_delivery`.
        """
        receipt = read_receipt(delivery.receipt)
        checkpoint = self.open_checkpoint(receipt.checkpoint)
        erasure = self._proven(delivery.erasure)
        erased = self._trust.erased(receipt, delivery.commitment, checkpoint, erasure)
        if self.organisation != receipt.recipient:
            raise DeliveryError("the statement is between others")
        return erased

    def verify_next(self, after: int, delivery: receipt_pb2.Delivery, *, above: int = -1) -> Verified | Erased:
        """Verifies the next statement of our feed, or its place where the content was erased.

        Args:
            after: The sequence of the statement before.
            delivery: What came.
            above: The index in the log of the statement before, where it is known.

        Raises:
            VerificationError: As :meth:`verify_delivery`.
        """
        verified = self.verify_delivery(delivery) if delivery.envelope else self.verify_erased(delivery)
        # 8 Without a gap: the sequence is part of the log entry. Stops leaving one out, and sending an entry twice.
        #   That a statement has no second entry is seen from all that came before (Inbox.repeated).
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
        # 1 Every statement by itself. Stops invented and altered replies.
        statements = tuple(self._proven(one) for one in claimed.statements)
        # 2 They make this case, and this state (the steps of panji.trust.follow). Stops grafting, reordering and every
        #   false state.
        verified = follow(claimed.id, statements)
        # 3 Ours, and nothing left out that we know of. Stops misdelivery, and hiding an answer that was given.
        if self.organisation not in {verified.case.authority, verified.case.platform}:
            raise DeliveryError("the case is between others")
        if not set(known).issubset(one.digest for one in statements):
            raise VerificationError("the case lacks a statement that we hold a receipt for")
        # 4 And that state is the one claimed. Stops an exchange that tells its users something else than the record.
        if not _is_told_so(claimed, verified.case):
            raise VerificationError("the exchange claims another state than the statements make")
        return verified

    def verify_record(self, delivery: receipt_pb2.Delivery, *, before: int) -> Verified:
        """Verifies a directory that is on record in the log.

        Args:
            delivery: What came.
            before: The index that it must stand below.

        Raises:
            VerificationError: DeliveryError, SignatureError, ReceiptError, NoteError or ProofError.
        """
        verified = self._proven(delivery)
        if verified.statement.kind is not Kind.DIRECTORY_RECORD or verified.receipt.index >= before:
            raise DeliveryError("what came is not the directory that was on record there")
        return verified

    def _proven(self, delivery: receipt_pb2.Delivery) -> Verified:
        receipt = read_receipt(delivery.receipt)
        return self._trust.statement(delivery.envelope, receipt, self.open_checkpoint(receipt.checkpoint))

    def _open_new(self, note: str) -> Checkpoint:
        checkpoint = open_checkpoint(note, self._log)
        root, first = self._roots.setdefault(checkpoint.size, (checkpoint.root, note))
        if root != checkpoint.root:
            raise LogForkError(ForkKind.SPLIT, first, note)
        if len(self._roots) > _HEADS:
            self._roots.popitem(last=False)
        return checkpoint


def read_receipt(message: receipt_pb2.Receipt) -> Receipt:
    """Returns the receipt that a message says. Nothing is verified by this.

    Raises:
        ReceiptError: It says none.
    """
    try:
        return receipt_from_message(message)
    except MalformedError as error:
        raise ReceiptError(f"the receipt is malformed: {error}") from error


def _is_told_so(claimed: case_pb2.Case, case: Case) -> bool:
    told = type(claimed)()
    told.CopyFrom(claimed)
    told.ClearField("statements")
    told.DiscardUnknownFields()  # a newer exchange may tell more
    return told == case_to_message(case)
