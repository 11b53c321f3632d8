"""Signed notes: a text and the keys that signed it (C2SP signed-note). Ed25519 only, signature type 0x01.

A verifier key is written ``<name>+<key hash, 8 hex digits>+<base64 of 0x01 ‖ public key>``, as golang.org/x/mod does.
Witnesses sign notes in a way of their own, type 0x04: :mod:`panji.core.cosignature`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from panji.core.keys import Algorithm, PublicKey
from panji.errors import InputError, NoteError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from panji.core.keys import Signer

MAX_SIGNATURES = 100
"""Signature lines in a note; the specification asks for at least 16, golang.org/x/mod takes 100."""
MAX_BYTES = 1_000_000
"""Bytes of a note, as in golang.org/x/mod."""

_TYPES = {
    b"\x01": "0x01, Ed25519",
    b"\x04": "0x04, a witness's Ed25519 cosignatures",
    b"\x06": "0x06, ML-DSA-44 cosignatures, which cannot be verified here",
}
"""Signature types that are told apart in errors."""
_DASH = "\u2014 "
_HASH_BYTES = 4
# Control characters, and what UTF-8 cannot hold.
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\ud800-\udfff]")
# Python's \s is Unicode's white space.
_NAME = re.compile(r"[^\s+]+")


def decode_base64(text: str) -> bytes:
    """Decode standard base64 in its one canonical form: no stray characters, no loose bits, padded.

    Raises:
        NoteError: It is not.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise NoteError("not standard base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise NoteError("not canonical base64")
    return data


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A key, and the name under which it signs notes.

    Raises:
        NoteError: The name is empty or has white space or ``+``; the key is not Ed25519; the hash is not theirs.
    """

    TYPE: ClassVar[bytes] = b"\x01"
    """The signature type, one byte."""

    name: str
    """Usually a schema-less URL, such as ``example.com/log``."""
    key_hash: int
    """The first 32 bits of ``SHA-256(name ‖ "\\n" ‖ type ‖ public key)``: an identifier, no security in it."""
    public_key: PublicKey

    def __post_init__(self) -> None:
        if self.public_key.algorithm is not Algorithm.ED25519:
            raise NoteError("notes are signed with Ed25519 here")
        if self.key_hash != self._hash(self.name, self.public_key):
            raise NoteError(f"the key hash is not that of {self.name} and its key")

    @classmethod
    def for_key(cls, name: str, public_key: PublicKey) -> Self:
        """Give the verifier of a key under a name.

        Raises:
            NoteError: As for the class.
        """
        if public_key.algorithm is not Algorithm.ED25519:
            raise NoteError("notes are signed with Ed25519 here")
        return cls(name, cls._hash(name, public_key), public_key)

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a verifier key. ``str()`` gives it back.

        Raises:
            NoteError: Malformed, not of this type, or the hash does not fit (a mistyped name or key).
        """
        name, _, rest = vkey.partition("+")
        encoded = rest.partition("+")[2]
        data = decode_base64(encoded)
        if data[:1] != cls.TYPE:
            found = _TYPES.get(data[:1], f"0x{data[:1].hex()}" if data else "none")
            raise NoteError(f"the verifier key is not of type {_TYPES[cls.TYPE]}; its type is {found}")
        try:
            verifier = cls.for_key(name, PublicKey.from_ed25519_raw(data[1:]))
        except InputError as error:
            raise NoteError("the verifier key holds no Ed25519 key") from error
        if str(verifier) != vkey:
            raise NoteError(f"the key hash is not that of {name} and its key")
        return verifier

    def verify(self, signature: bytes, text: str) -> None:
        """Check that the key made a note's signature.

        Args:
            signature: As a signature line has it, behind the key hash.
            text: Of the note, with its last newline.

        Raises:
            SignatureError: It did not.
        """
        self.public_key.verify(signature, text.encode())

    def __str__(self) -> str:
        key = base64.b64encode(self.TYPE + self.public_key.raw).decode("ascii")
        return f"{self.name}+{self.key_hash:08x}+{key}"

    @classmethod
    def _hash(cls, name: str, public_key: PublicKey) -> int:
        _require_name(name)
        return int.from_bytes(hashlib.sha256(name.encode() + b"\n" + cls.TYPE + public_key.raw).digest()[:_HASH_BYTES])


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or _FORBIDDEN.search(name):
        raise NoteError("a key's name is not empty and has no white space, control character or plus sign")


def _require_text(text: str) -> None:
    if not text.endswith("\n") or _FORBIDDEN.search(text):
        raise NoteError("a note's text ends with a newline and has no other control character")


class NoteSigner:
    """Signs notes under a name.

    Raises:
        NoteError: As for :class:`NoteVerifier`.
    """

    def __init__(self, name: str, signer: Signer) -> None:
        self._signer = signer
        self._verifier = NoteVerifier.for_key(name, signer.public_key)

    @property
    def verifier(self) -> NoteVerifier:
        """What verifies the notes; its ``str()`` is what others configure."""
        return self._verifier

    def sign(self, text: str) -> str:
        """Give the whole note: the text, an empty line and one signature line.

        Raises:
            NoteError: The text does not end with a newline, or holds another control character.
        """
        _require_text(text)
        line = NoteSignature(self._verifier.name, self._verifier.key_hash, self._signer.sign(text.encode()))
        return f"{text}\n{line}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_hash: int
    """Of the key that the line claims."""
    signature: bytes
    """As the key's type gives it: 64 bytes for Ed25519."""

    def __str__(self) -> str:
        data = self.key_hash.to_bytes(_HASH_BYTES) + self.signature
        return f"{_DASH}{self.name} {base64.b64encode(data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and signature lines. From :func:`parse` they are claims, from :func:`open_note` they are verified."""

    text: str
    """With its last newline."""
    signatures: tuple[NoteSignature, ...]


def parse(note: str | bytes) -> Note:
    """Take a note apart, verifying nothing.

    Raises:
        NoteError: Malformed, or beyond :data:`MAX_BYTES` or :data:`MAX_SIGNATURES`.
    """
    try:
        data = note if isinstance(note, bytes) else note.encode()
        decoded = data.decode()
    except UnicodeError as error:
        raise NoteError("a note is UTF-8") from error
    if len(data) > MAX_BYTES:
        raise NoteError(f"a note has at most {MAX_BYTES} bytes")
    # The last empty line separates: the text may hold empty lines, and even what looks like signatures.
    text, separator, lines = decoded.rpartition("\n\n")
    text += "\n"
    _require_text(text)
    if not separator or not lines.endswith("\n"):
        raise NoteError("a note is a text, an empty line and signature lines, each ended by a newline")
    if lines.count("\n") > MAX_SIGNATURES:
        raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures")
    # Only the newline ends a line; splitlines() would also split at U+2028 and its like.
    return Note(text, tuple(_parse_line(line) for line in lines[:-1].split("\n")))


def _parse_line(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH):
        raise NoteError("a signature line starts with an em dash and a space")
    _require_name(name)
    data = decode_base64(encoded)
    if len(data) <= _HASH_BYTES:
        raise NoteError("a signature line holds a key hash and a signature")
    return NoteSignature(name, int.from_bytes(data[:_HASH_BYTES]), data[_HASH_BYTES:])


def open_note(note: str | bytes, verifiers: Iterable[NoteVerifier]) -> Note:
    """Verify a note by the keys that are known.

    Returns:
        The note with the verified signatures only, one per key.

    Raises:
        NoteError: Malformed, signed by none of the known keys, or a known key's signature is wrong.
    """
    known = {(verifier.name, verifier.key_hash): verifier for verifier in verifiers}
    # 1. Bounded and well-formed, before any cryptography.
    parsed = parse(note)
    verified: dict[tuple[str, int], NoteSignature] = {}
    for line in parsed.signatures:
        # 2. Name and hash must both be known: an unknown line (a rotated key, a witness) is neither harm nor proof.
        verifier = known.get((line.name, line.key_hash))
        if verifier is None:
            continue
        # 3. A known key's line must verify, every one of them: a note that carries a forgery is refused whole.
        try:
            verifier.verify(line.signature, parsed.text)
        except SignatureError as error:
            raise NoteError(f"the signature of {line.name} is not over this text") from error
        # 4. A key counts once, however often its line is repeated.
        verified.setdefault((line.name, line.key_hash), line)
    # 5. A text without a known signature is anybody's text.
    if not verified:
        raise NoteError("none of the known keys signed the note")
    return Note(parsed.text, tuple(verified.values()))
