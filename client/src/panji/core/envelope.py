"""The DSSE envelope around a statement's exact bytes (DSSE 1.0.2).

What is signed is ``PAE(payload type, payload)``, and both travel unchanged: verify first, parse after. Nobody
re-serialises a message to check its signature. Source: secure-systems-lab/dsse, protocol.md and envelope.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from panji.errors import InputError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from panji.core.keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.panji.statement.v1+protobuf"
"""The payload type of every statement."""

MAX_SIGNATURES = 16
"""Signatures that an envelope may carry. Each costs a verification, so the number is bounded before the first one."""

_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature over the pre-authentication encoding."""

    sig: bytes
    """As the key's algorithm gives it: 64 bytes for Ed25519, ASN.1 DER for ECDSA."""
    keyid: str = ""
    """Unauthenticated hint at the key; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, what it is, and who signed it. Holds nothing verified: :func:`verify` says what is."""

    payload_type: str
    """How to read the payload; signed with it."""
    payload: bytes
    """The exact bytes that were signed."""
    signatures: tuple[Signature, ...]
    """In any order."""


def digest(envelope_bytes: bytes) -> bytes:
    """Name an envelope: the SHA-256 of its exact bytes as they travelled; ``sha256sum`` computes it.

    Receipts and replies name a statement by it. An envelope that was parsed and serialised again may have another.
    """
    return hashlib.sha256(envelope_bytes).digest()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Give the pre-authentication encoding: the bytes that are signed.

    The lengths count bytes of UTF-8, not characters: otherwise a type outside ASCII could borrow bytes of the payload.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, signers: Sequence[Signer], payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """Sign ``payload`` with every signer (four eyes: two of them).

    Raises:
        InputError: No signer, or more than :data:`MAX_SIGNATURES`.
    """
    if not 1 <= len(signers) <= MAX_SIGNATURES:
        raise InputError(f"an envelope takes 1 to {MAX_SIGNATURES} signatures, not {len(signers)}")
    message = pae(payload_type, payload)
    signatures = tuple(Signature(signer.sign(message), signer.public_key.keyid) for signer in signers)
    return Envelope(payload_type, payload, signatures)


def verify(envelope: Envelope, keys: Iterable[PublicKey], threshold: int = 1) -> tuple[PublicKey, ...]:
    """Find out which of the trusted keys signed the payload.

    Whether the payload's type is one the caller can read is for the caller to check, after this and before parsing.

    Args:
        envelope: What arrived.
        keys: The keys trusted for this sender, each with its algorithm, as the directory has them.
        threshold: Distinct keys that must have signed, at least 1.

    Returns:
        The distinct trusted keys that signed, at least ``threshold`` of them, in the order of their signatures.
        Signatures by other keys are ignored.

    Raises:
        InputError: ``threshold`` is below 1.
        SignatureError: Too many signatures to look at, or too few valid ones by distinct trusted keys.
    """
    # 1. A threshold of zero would accept an envelope that nobody signed.
    if threshold < 1:
        raise InputError("a threshold is at least 1")
    # 2. Bounded work: thousands of signatures would keep a processor busy for one cheap message.
    if len(envelope.signatures) > MAX_SIGNATURES:
        raise SignatureError(f"an envelope takes {MAX_SIGNATURES} signatures, not {len(envelope.signatures)}")
    # 3. Distinct keys: the same key listed twice among the trusted ones is still one signer.
    waiting = list(dict.fromkeys(keys))
    message = pae(envelope.payload_type, envelope.payload)
    accepted: list[PublicKey] = []
    for signature in envelope.signatures:
        # 4. The hint only orders the attempts: a wrong or forged keyid neither helps nor harms, and no field of the
        #    message chooses the algorithm.
        # 5. A key that has signed leaves the list: repeating its signature does not raise the count.
        signed_by = _find_signer(signature, message, waiting)
        if signed_by is not None:
            accepted.append(signed_by)
            waiting.remove(signed_by)
    # 6. Four eyes means four: fewer distinct keys than the threshold is no statement.
    if len(accepted) < threshold:
        raise SignatureError(f"{len(accepted)} of {threshold} needed signatures by distinct trusted keys are valid")
    return tuple(accepted)


def _find_signer(signature: Signature, message: bytes, keys: Sequence[PublicKey]) -> PublicKey | None:
    candidates = keys
    if signature.keyid and len(keys) > 1:
        candidates = sorted(keys, key=lambda key: key.keyid != signature.keyid)
    for key in candidates:
        try:
            key.verify(signature.sig, message)
        except SignatureError:
            continue
        return key
    return None


def to_json(envelope: Envelope) -> str:
    """Give the DSSE JSON form, for other people's tools. Ours travels as protobuf."""
    return json.dumps(
        {
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode("ascii")} for s in envelope.signatures
            ],
        }
    )


def from_json(text: str) -> Envelope:
    """Read the DSSE JSON form. Base64 may be standard or URL-safe, as DSSE demands; empty fields may be missing.

    Raises:
        SignatureError: Not an envelope in that form.
    """
    try:
        fields = json.loads(text, object_pairs_hook=_refuse_duplicates)
        payload_type = _text(fields, "payloadType")
        payload_type.encode()  # JSON can spell lone surrogates, which have no UTF-8 and so no encoding to sign
        signatures = tuple(Signature(_bytes(item, "sig"), _text(item, "keyid")) for item in fields["signatures"])
        return Envelope(payload_type, _bytes(fields, "payload"), signatures)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SignatureError("not a DSSE envelope in JSON") from error


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated name: parsers disagree on which one counts, so two readers could see two payloads."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name is repeated")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise TypeError(f"{name} is no string")
    return value


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(_text(fields, name).translate(_URL_SAFE), validate=True)
