"""Cosignatures: a witness's word that a log only grew, up to a checkpoint (C2SP tlog-cosignature). Ed25519, type 0x04.

A cosignature is a signature line of the checkpoint's note. What is signed is the line ``cosignature/v1``, a line with
the time, and the checkpoint's text; the signature line holds the time (seconds since 1970, 8 bytes, big-endian) and the
64 bytes of Ed25519.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from panji.core import note
from panji.core.note import NoteSignature, NoteVerifier
from panji.errors import NoteError, SignatureError

if TYPE_CHECKING:
    from panji.core.keys import Signer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_LATEST = 2**63 - 1
_CALENDAR_END = datetime.max.replace(microsecond=0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WitnessVerifier(NoteVerifier):
    """A witness's key, and the name under which it cosigns. Its verifier key is of type 0x04.

    Raises:
        NoteError: As for :class:`~panji.core.note.NoteVerifier`.
    """

    TYPE: ClassVar[bytes] = b"\x04"

    def verify(self, signature: bytes, text: str) -> None:
        """Check that the witness cosigned a checkpoint.

        Raises:
            SignatureError: It did not, or at a time that no cosignature may have (beyond 2^63 - 1).
        """
        seconds, ed25519 = _taken_apart(signature)
        self.public_key.verify(ed25519, _message(seconds, text))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: at this time the witness knew of no later head of the log that contradicts this one."""

    witness: WitnessVerifier
    at: datetime
    """UTC, to the second, by the witness's own clock. Times that no calendar has read as its last second."""
    line: str
    """The signature line, without its newline."""


def time_of(signature: bytes) -> datetime:
    """Give the time that a cosignature claims, UTC. Times that no calendar has read as its last second.

    Raises:
        SignatureError: The bytes are no cosignature.
    """
    seconds, _ = _taken_apart(signature)
    latest = (_CALENDAR_END - _EPOCH) // timedelta(seconds=1)
    return _EPOCH + timedelta(seconds=min(seconds, latest))


def cosignature_of(line: NoteSignature, witness: WitnessVerifier) -> Cosignature:
    """Give the cosignature of a signature line that :func:`panji.core.note.open_note` has verified."""
    return Cosignature(witness, time_of(line.signature), str(line))


def read_answer(answer: str | bytes, text: str, witness: WitnessVerifier) -> Cosignature:
    """Verify what a witness answers to a checkpoint (C2SP tlog-witness): signature lines, its own among them.

    Args:
        answer: The body of the answer. Lines of unknown keys are ignored.
        text: The checkpoint's text, with its last newline.
        witness: Who was asked.

    Raises:
        NoteError: The answer is malformed, has no cosignature of this witness, or one that is not over this text.
    """
    data = answer.encode() if isinstance(answer, str) else answer
    # As one note with the checkpoint, so that no second parser can read it otherwise.
    opened = note.open_note(f"{text}\n".encode() + data, (witness,))
    # An answer with an empty line in it would move the end of the text.
    if opened.text != text:
        raise NoteError("the witness answered with more than signature lines")
    return cosignature_of(opened.signatures[0], witness)


class Cosigner:
    """Cosigns checkpoints under a name, as a witness does. It remembers nothing: what it signs is its caller's word.

    Raises:
        NoteError: As for :class:`WitnessVerifier`.
    """

    def __init__(self, name: str, signer: Signer) -> None:
        self._signer = signer
        self._verifier = WitnessVerifier.for_key(name, signer.public_key)

    @property
    def verifier(self) -> WitnessVerifier:
        """What verifies the cosignatures; its ``str()`` is what others configure."""
        return self._verifier

    def cosign(self, text: str, seconds: int) -> str:
        """Give the signature line, with its newline, for a checkpoint's text at a time in seconds since 1970."""
        signature = seconds.to_bytes(_TIME_BYTES) + self._signer.sign(_message(seconds, text))
        return f"{NoteSignature(self._verifier.name, self._verifier.key_hash, signature)}\n"


def _taken_apart(signature: bytes) -> tuple[int, bytes]:
    if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
        raise SignatureError(f"a cosignature has {_TIME_BYTES + _SIGNATURE_BYTES} bytes")
    seconds = int.from_bytes(signature[:_TIME_BYTES])
    if seconds > _LATEST:
        raise SignatureError("a cosignature's time is at most 2^63 - 1 seconds after 1970")
    return seconds, signature[_TIME_BYTES:]


def _message(seconds: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
