r"""Proofs that stand alone, in the format that other people's tools read (C2SP tlog-proof).

A proof is a text: its header, opaque extra data where there is any, the entry's index, the inclusion proof, an empty
line and the signed checkpoint. What is hashed is the entry, which the reader brings.

A receipt is such a proof whose extra data are an :class:`Opening`, so that the one file says which entry it is of and
connects that to a statement. The extra data are not authenticated: what they say is computed again.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from panji.core import merkle, note
from panji.core.checkpoint import MAX_SIZE, Checkpoint, open_checkpoint
from panji.core.entry import SALT_SIZE, Entry, commit
from panji.core.receipt import Receipt
from panji.errors import InputError, NoteError, ProofError, ReceiptError

if TYPE_CHECKING:
    from panji.core.note import NoteVerifier

HEADER = "c2sp.org/tlog-proof@v1"
"""The first line."""
MAX_BYTES = 2 * note.MAX_BYTES
"""Bytes of a proof: a note's own bound, and as much again for what stands before it."""

_MAX_HASHES = 63  # the height of the largest tree
_OPENING = "panji.opening.v1"
_OPENING_LINES = 9
_ENTRY_LINES = 4
_DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof for some entry. Claims, until :meth:`verify` has returned.

    Raises:
        ProofError: A field is out of its range.
    """

    index: int
    """Of the entry in the log, from 0."""
    proof: tuple[bytes, ...]
    """The inclusion proof: siblings from the leaf upwards, 32 bytes each."""
    checkpoint: str
    """The signed note, verbatim."""
    extra: bytes = b""
    """Opaque; empty where there is none."""

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise ProofError(f"an index is from 0 to {MAX_SIZE - 1}")
        if len(self.proof) > _MAX_HASHES or any(len(one) != merkle.HASH_SIZE for one in self.proof):
            raise ProofError(f"a proof has at most {_MAX_HASHES} hashes of {merkle.HASH_SIZE} bytes")

    def encode(self) -> str:
        """Give the text, for a file that ends in ``.tlog-proof``."""
        extra = [f"extra {_base64(self.extra)}"] if self.extra else []
        return "\n".join((HEADER, *extra, f"index {self.index}", *map(_base64, self.proof), "", self.checkpoint))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a proof, verifying nothing.

        Raises:
            ProofError: Not a proof, to the letter: decimal without leading zeros, canonical base64, one spelling each.
        """
        if len(text) > MAX_BYTES:
            raise ProofError(f"a proof has at most {MAX_BYTES} bytes")
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or lines.pop(0) != HEADER:
            raise ProofError(f"a proof begins with {HEADER} and ends with a checkpoint")
        try:
            extra = b""
            if lines and lines[0].startswith("extra "):
                extra = note.decode_base64(lines.pop(0).removeprefix("extra "))
            if not lines or not lines[0].startswith("index "):
                raise ProofError("the line with the index is missing")
            index = _decimal(lines.pop(0).removeprefix("index "))
            found = cls(index, tuple(note.decode_base64(line) for line in lines), checkpoint, extra)
        except NoteError as error:
            raise ProofError(f"a line of the proof is {error}") from error
        # Reading is lenient, comparing is not: an empty extra line, for one, is no second spelling of none.
        if found.encode() != text:
            raise ProofError("not the one encoding of this proof")
        return found

    def verify(self, entry: bytes, log: NoteVerifier) -> Checkpoint:
        """Check that the log holds an entry at this index, and give the head that it was proven in.

        Args:
            entry: Its exact bytes.
            log: The log's key, known beforehand.

        Raises:
            NoteError: The checkpoint is not this log's.
            ProofError: The entry is not in the checkpoint's tree at this index.
        """
        # 1. The log's key signed the head: otherwise anyone could build a tree of their own and prove things in it.
        checkpoint = open_checkpoint(self.checkpoint, log)
        self.verify_in(entry, checkpoint)
        return checkpoint

    def verify_in(self, entry: bytes, checkpoint: Checkpoint) -> None:
        """Check the proof against a checkpoint that has been opened already, such as one that many proofs share.

        The caller answers for it that ``checkpoint`` is what the proof's own opens to.

        Raises:
            ProofError: The entry is not in the checkpoint's tree at this index.
        """
        # 2. The entry is in that tree at this index.
        merkle.verify_inclusion(merkle.leaf_hash(entry), self.index, checkpoint.size, self.proof, checkpoint.root)


@dataclass(frozen=True, slots=True)
class Opening:
    r"""What connects an entry of the log to a statement.

    As extra data, lines of text, each ended by ``\n``: ``panji.opening.v1``, the four lines of the entry, the digest in
    hex, the recipient, the sequence in decimal and the salt in hex. Where the salt was erased its line is empty: then
    the connection is for ever somebody's word.

    Raises:
        ReceiptError: The fields do not open the entry, or are out of their range.
    """

    entry: Entry
    digest: bytes
    """Of the envelope: SHA-256, 32 bytes."""
    recipient: str
    sequence: int
    """The statement's position in the recipient's feed, from 1."""
    salt: bytes
    """16 bytes, or empty where it was erased."""

    def __post_init__(self) -> None:
        try:
            commitment = commit(self.salt or bytes(SALT_SIZE), self.digest, self.recipient, self.sequence)
        except InputError as error:
            raise ReceiptError(f"what should open the entry is out of range: {error}") from error
        if self.salt and not hmac.compare_digest(commitment, self.entry.commitment):
            raise ReceiptError("the salt, digest, recipient and sequence do not open the entry")

    @classmethod
    def of(cls, receipt: Receipt, commitment: bytes = b"") -> Self:
        """Give what a receipt says of its entry.

        Args:
            receipt: The receipt.
            commitment: In the entry, where the receipt has no salt to compute it.

        Raises:
            ReceiptError: Its fields make no entry.
        """
        try:
            entry = receipt.entry if receipt.salt else Entry(receipt.kind, receipt.received_at, commitment)
        except InputError as error:
            raise ReceiptError(f"the receipt's fields make no entry: {error}") from error
        return cls(entry, receipt.digest, receipt.recipient, receipt.sequence, receipt.salt)

    @property
    def message(self) -> bytes:
        """What the commitment is the HMAC of, keyed with the salt."""
        return f"panji.commitment.v1\n{self.digest.hex()}\n{self.recipient}\n{self.sequence}\n".encode()

    def encode(self) -> bytes:
        """Give the extra data."""
        lines = (self.digest.hex(), self.recipient, str(self.sequence), self.salt.hex(), "")
        return f"{_OPENING}\n".encode() + self.entry.encode() + "\n".join(lines).encode()

    @classmethod
    def decode(cls, extra: bytes) -> Self:
        """Read extra data.

        Raises:
            ReceiptError: They are not exactly what :meth:`encode` gives for some opening.
        """
        try:
            lines = extra.decode().split("\n")
            if len(lines) != _OPENING_LINES + 1:
                raise ReceiptError("an opening has nine lines")
            entry = Entry.decode("".join(f"{line}\n" for line in lines[1 : 1 + _ENTRY_LINES]).encode())
            digest, recipient, sequence, salt, _ = lines[1 + _ENTRY_LINES :]
            found = cls(entry, bytes.fromhex(digest), recipient, _decimal(sequence), bytes.fromhex(salt))
        except (ValueError, ProofError) as error:
            raise ReceiptError("not what opens an entry") from error
        if found.encode() != extra:
            raise ReceiptError("not the one encoding of this opening")
        return found


def from_receipt(receipt: Receipt, commitment: bytes = b"") -> TlogProof:
    """Give a receipt as a tlog-proof. Nothing of it is lost.

    Args:
        receipt: The receipt.
        commitment: In its entry, where its salt was erased.

    Raises:
        ReceiptError: Its fields make no entry.
        ProofError: Its index or its proof is out of range.
    """
    return TlogProof(receipt.index, receipt.proof, receipt.checkpoint, Opening.of(receipt, commitment).encode())


def to_receipt(proof: TlogProof) -> Receipt:
    """Give the receipt that a tlog-proof is. Nothing is verified by this but that it opens its own entry.

    Raises:
        ReceiptError: Its extra data are no opening.
    """
    opening = Opening.decode(proof.extra)
    return Receipt(
        digest=opening.digest,
        kind=opening.entry.kind,
        recipient=opening.recipient,
        sequence=opening.sequence,
        received_at=opening.entry.received_at,
        salt=opening.salt,
        index=proof.index,
        proof=proof.proof,
        checkpoint=proof.checkpoint,
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_SIZE)):
        raise ProofError("a number is decimal without leading zeros")
    return int(text)
