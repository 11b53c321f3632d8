"""Receipts: the exchange's proof, checkable offline, that a statement is in its log since a given time."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.entry import Entry, commit
from panji.core.merkle import leaf_hash, verify_inclusion
from panji.errors import InputError, ReceiptError

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.note import NoteVerifier


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the exchange answers to a statement. Claims, until :func:`verify` has returned."""

    digest: bytes
    """Of the envelope, as the exchange computed it: SHA-256, 32 bytes."""
    kind: str
    """Of the statement, such as ``flag``."""
    recipient: str
    """The organisation that it is delivered to."""
    sequence: int
    """Its position in that recipient's feed, from 1, without gaps."""
    received_at: datetime
    """When the exchange took it; UTC, to the microsecond."""
    salt: bytes
    """Opens the entry's commitment, 16 bytes. Whoever has it can connect the public entry to the statement."""
    index: int
    """Of the entry in the log, from 0."""
    proof: tuple[bytes, ...]
    """Inclusion proof in the checkpoint's tree: siblings from the leaf upwards."""
    checkpoint: str
    """The signed note."""

    @property
    def entry(self) -> Entry:
        """The log entry that the receipt speaks of, made from its own fields.

        Raises:
            InputError: A field does not fit an entry.
        """
        return Entry(self.kind, self.received_at, commit(self.salt, self.digest, self.recipient, self.sequence))


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that proves what it says, and the head of the log that it leads to."""

    receipt: Receipt
    checkpoint: Checkpoint


def verify(receipt: Receipt, envelope_digest: bytes, log: NoteVerifier) -> VerifiedReceipt:
    """Check that a receipt proves the statement in hand to be in the log.

    It does not check the statement's own signatures, nor that this checkpoint and those seen earlier are one log: that
    takes a consistency proof.

    Args:
        receipt: What the exchange sent.
        envelope_digest: Of the statement in hand, computed by the caller from the bytes that it sent or received.
        log: The key of the exchange's log, known beforehand.

    Raises:
        ReceiptError: It speaks of another statement, or its fields make no entry.
        NoteError: The checkpoint is not this log's.
        ProofError: The entry is not in the checkpoint's tree at that index.
    """
    # 1. The log's key signed the head: otherwise anyone could build a tree of their own and prove things in it.
    return verify_in(receipt, envelope_digest, open_checkpoint(receipt.checkpoint, log))


def verify_in(receipt: Receipt, envelope_digest: bytes, checkpoint: Checkpoint) -> VerifiedReceipt:
    """Check a receipt against a checkpoint that has been opened already, such as one shared by a whole batch.

    The caller answers for it that ``checkpoint`` is what ``receipt.checkpoint`` opens to.

    Raises:
        ReceiptError: It speaks of another statement, or its fields make no entry.
        ProofError: The entry is not in the checkpoint's tree at that index.
    """
    # 2. It speaks of these very bytes: a valid receipt of another statement must not pass for this one's.
    if not hmac.compare_digest(receipt.digest, envelope_digest):
        raise ReceiptError("the receipt is of another statement: its digest is not that of the envelope in hand")
    # 3. The entry is made from the fields shown, never taken as given: kind, time, recipient and sequence cannot be
    #    changed without leaving the tree.
    try:
        leaf = leaf_hash(receipt.entry.encode())
    except InputError as error:
        raise ReceiptError(f"the receipt's fields make no entry: {error}") from error
    # 4. The entry is in the signed tree at this index: no receipt without a place in the one order.
    verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    return VerifiedReceipt(receipt, checkpoint)
