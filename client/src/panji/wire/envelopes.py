"""Envelopes: the exact bytes that travel to values and back."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from panji.core.envelope import MAX_SIGNATURES, Envelope, Signature
from panji.errors import MalformedError
from panji.v1 import envelope_pb2


def parse_envelope(data: bytes, *, strict: bool = False) -> Envelope:
    """Returns the envelope that the bytes are.

    Args:
        data: The exact bytes that travel.
        strict: Refuse fields that an envelope does not have. Nobody has signed them: an exchange is strict when it
            takes a statement in, so that nobody fills its log with what means nothing. Whoever reads is not.

    Raises:
        MalformedError: They are no ``panji.v1.Envelope``, or it has no signature, or more than
            :data:`~panji.core.envelope.MAX_SIGNATURES`.
    """
    message = envelope_pb2.Envelope()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedError("the bytes are no panji.v1.Envelope") from error
    if not message.signatures:
        raise MalformedError("the envelope has no signature")
    # Before any is made a value: 260 KiB hold 130,000 empty ones.
    if len(message.signatures) > MAX_SIGNATURES:
        raise MalformedError(f"an envelope takes {MAX_SIGNATURES} signatures, not {len(message.signatures)}")
    if strict:
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size:
            raise MalformedError("the envelope has fields that no envelope has")
    signatures = tuple([Signature(sig=one.sig, keyid=one.keyid) for one in message.signatures])
    return Envelope(payload_type=message.payload_type, payload=message.payload, signatures=signatures)


def encode_envelope(envelope: Envelope) -> bytes:
    """Returns the bytes of an envelope. Made once, by the sender; from then on the bytes themselves travel."""
    message = envelope_pb2.Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=[envelope_pb2.Signature(sig=one.sig, keyid=one.keyid) for one in envelope.signatures],
    )
    data: bytes = message.SerializeToString(deterministic=True)
    return data
