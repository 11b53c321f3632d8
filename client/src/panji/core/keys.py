"""Keys that sign statements: Ed25519 by default, ECDSA P-256 because that is what hardware and national PKI issue.

Sources: RFC 8032 (Ed25519), FIPS 186-5 (ECDSA), RFC 5480 and RFC 8410 (SubjectPublicKeyInfo), RFC 5958 (PKCS #8).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from panji.errors import InputError, SignatureError

_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
_P1363_SIZE = 64

_FIELD = 2**255 - 19
_ORDER_EIGHT_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD - 1, _ORDER_EIGHT_Y, _FIELD - _ORDER_EIGHT_Y})
"""The y coordinates of the eight points of small order on edwards25519 (each pair ±x shares one)."""


class Algorithm(StrEnum):
    """How a key signs. It stands in the key's record in the directory, never in a message."""

    ED25519 = "ed25519"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"


@lru_cache(maxsize=4096)
def _load(spki: bytes) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """Decode and check a key once: loading costs as much as verifying with it, and every statement verifies."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("not a DER SubjectPublicKeyInfo of a supported key") from error
    if isinstance(key, Ed25519PublicKey):
        _refuse_weak_point(key.public_bytes_raw())
    elif not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise InputError("a signing key is Ed25519 or ECDSA on P-256, nothing else")
    if _spki(key) != spki:
        # One key in two encodings would have two key ids, and so reach a threshold of two on its own.
        raise InputError("the SubjectPublicKeyInfo is not in its one DER form (named curve, uncompressed point)")
    return key


@lru_cache(maxsize=4096)
def _keyid(spki: bytes) -> str:
    return hashlib.sha256(spki).hexdigest()


def _spki(key: Ed25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _refuse_weak_point(raw: bytes) -> None:
    """Refuse Ed25519 keys that OpenSSL takes and that prove nothing.

    With a key of small order one signature fits many messages, so its owner could deny every one of them; and an
    unreduced y is a second encoding of the same key.
    """
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _FIELD:
        raise InputError("the Ed25519 key is not canonically encoded (RFC 8032, section 5.1.3)")
    if y in _SMALL_ORDER_Y:
        raise InputError("the Ed25519 key is a point of small order: its signatures bind nobody to a message")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that statements are verified with. Two keys are equal when their algorithm and bytes are.

    Raises:
        InputError: The bytes are no such key, not in their one DER form, or a point that proves nothing.
    """

    algorithm: Algorithm
    """How it signs; must be what ``spki`` holds."""
    spki: bytes
    """DER SubjectPublicKeyInfo."""

    def __post_init__(self) -> None:
        key = _load(self.spki)
        actual = Algorithm.ED25519 if isinstance(key, Ed25519PublicKey) else Algorithm.ECDSA_P256_SHA256
        if self.algorithm is not actual:
            raise InputError(f"the key is {actual}, not {self.algorithm}")

    @classmethod
    def from_spki(cls, der: bytes) -> Self:
        """Take a DER SubjectPublicKeyInfo and find the algorithm in it.

        Raises:
            InputError: As for the class.
        """
        ed25519 = isinstance(_load(der), Ed25519PublicKey)
        return cls(Algorithm.ED25519 if ed25519 else Algorithm.ECDSA_P256_SHA256, der)

    @classmethod
    def from_pem(cls, pem: str | bytes) -> Self:
        """Take a ``BEGIN PUBLIC KEY`` block, as ``openssl pkey -pubout`` prints it.

        Raises:
            InputError: No such block, or as for the class.
        """
        try:
            key = serialization.load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError("not a PEM public key of a supported kind") from error
        return cls.from_spki(
            key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    @classmethod
    def from_ed25519_raw(cls, raw: bytes) -> Self:
        """Take the 32 bytes of RFC 8032.

        Raises:
            InputError: Not 32 bytes, or as for the class.
        """
        try:
            return cls.from_spki(_spki(Ed25519PublicKey.from_public_bytes(raw)))
        except ValueError as error:
            raise InputError("a raw Ed25519 public key has 32 bytes") from error

    @property
    def keyid(self) -> str:
        """Lowercase hex of the SHA-256 of ``spki``. A hint in envelopes, the key's name in the directory."""
        return _keyid(self.spki)

    @property
    def pem(self) -> str:
        """The key as a ``BEGIN PUBLIC KEY`` block."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return _load(self.spki).public_bytes(encoding, form).decode("ascii")

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key (RFC 8032).

        Raises:
            InputError: The key is not Ed25519.
        """
        key = _load(self.spki)
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("only an Ed25519 key has a raw form here")
        return key.public_bytes_raw()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check that this key signed ``message``.

        Args:
            signature: 64 bytes for Ed25519; strict ASN.1 DER for ECDSA.
            message: The bytes that were signed, unhashed.

        Raises:
            SignatureError: It did not.
        """
        key = _load(self.spki)
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, _ECDSA_SHA256)
        except InvalidSignature:
            raise SignatureError(f"not a signature of these bytes by key {self.keyid[:16]}…") from None


def p1363_to_der(signature: bytes) -> bytes:
    """Turn the r‖s form of an ECDSA P-256 signature (IEEE P1363, PKCS #11, JWS) into the DER that we use.

    Raises:
        SignatureError: Not exactly 64 bytes. Whether it is a signature is for :meth:`PublicKey.verify` to say.
    """
    if len(signature) != _P1363_SIZE:
        raise SignatureError(f"an r‖s signature on P-256 has {_P1363_SIZE} bytes, not {len(signature)}")
    half = _P1363_SIZE // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


class Signer(ABC):
    """What signs. A file, a hardware module and a remote service all stand behind these two members.

    Implementations are safe to call from several threads. They raise their own ``PanjiError`` when the key cannot be
    used, and never return a signature that ``public_key`` does not verify.
    """

    @property
    @abstractmethod
    def public_key(self) -> PublicKey:
        """The key that verifies what :meth:`sign` returns. Constant for the life of the signer, and cheap."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """Sign ``message`` itself, not a hash of it.

        Returns:
            64 bytes for Ed25519; ASN.1 DER for ECDSA (a PKCS #11 module gives r‖s: :func:`p1363_to_der`).
        """


class PrivateKeySigner(Signer):
    """Signs with a private key held in this process's memory."""

    def __init__(self, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._public_key = PublicKey.from_spki(_spki(key.public_key()))

    @classmethod
    def generate(cls, algorithm: Algorithm = Algorithm.ED25519) -> Self:
        """Make a new key from the operating system's randomness."""
        if algorithm is Algorithm.ED25519:
            return cls(Ed25519PrivateKey.generate())
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: str | bytes, password: bytes | None = None) -> Self:
        """Take a PEM private key, encrypted when ``password`` is given.

        Raises:
            InputError: No such key, the password is wrong, missing or not needed, or the kind is not supported.
        """
        try:
            key = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # No cause is chained: a parser's message may quote what it failed on, and that is a secret.
            raise InputError("not a PEM private key that this password opens") from None
        if not isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
            raise InputError("a signing key is Ed25519 or ECDSA on P-256, nothing else")
        return cls(key)

    def to_pem(self) -> str:
        """The private key as unencrypted PKCS #8: for a file that only its owner reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Sign as the key's algorithm does."""
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, _ECDSA_SHA256)

    def __repr__(self) -> str:
        return f"PrivateKeySigner({self._public_key.algorithm}, keyid={self._public_key.keyid})"
