"""Envelopes: the exact bytes that travel to values and back."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from panji.core.envelope import Envelope, Signature
from panji.errors import MalformedError
from panji.v1 import envelope_pb2


def parse_envelope(data: bytes) -> Envelope:
    """Returns the envelope that the bytes are.

    Raises:
        MalformedError: They are no ``panji.v1.Envelope``, or it has no signature.
    """
    message = envelope_pb2.Envelope()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedError("the bytes are no panji.v1.Envelope") from error
    if not message.signatures:
        raise MalformedError("the envelope has no signature")
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
