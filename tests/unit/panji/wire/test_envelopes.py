"""Envelopes: bytes to values and back; whatever the bytes are, the only error is that they are no envelope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core.envelope import MAX_SIGNATURES, PAYLOAD_TYPE, Envelope, Signature
from panji.errors import MalformedError
from panji.v1 import envelope_pb2
from panji.wire import envelopes
from panji.wire.envelopes import encode_envelope, parse_envelope

ENVELOPE = Envelope(PAYLOAD_TYPE, b"payload", (Signature(b"s" * 64, "k" * 64), Signature(b"t")))
words = st.text(st.characters(exclude_categories=["Cs"]))
signatures = st.builds(Signature, st.binary(), words)


@given(st.builds(Envelope, words, st.binary(), st.lists(signatures, min_size=1, max_size=MAX_SIGNATURES).map(tuple)))
def test_an_envelope_comes_back_as_it_was(envelope: Envelope) -> None:
    assert parse_envelope(encode_envelope(envelope)) == envelope


def test_the_bytes_are_those_of_the_contract_and_always_the_same() -> None:
    message = envelope_pb2.Envelope(
        payload=b"payload",
        payload_type=PAYLOAD_TYPE,
        signatures=[
            envelope_pb2.Signature(sig=b"s" * 64, keyid="k" * 64),
            envelope_pb2.Signature(sig=b"t"),
        ],
    )
    assert encode_envelope(ENVELOPE) == encode_envelope(ENVELOPE) == message.SerializeToString()


def test_an_envelope_that_nobody_signed_is_none() -> None:
    with pytest.raises(MalformedError, match="has no signature"):
        parse_envelope(encode_envelope(Envelope(PAYLOAD_TYPE, b"payload", ())))
    with pytest.raises(MalformedError, match="has no signature"):
        parse_envelope(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\x0a\x05abc",  # five bytes promised, three given
        b"\x12\x02\xff\xfe",  # a payload type that is no UTF-8
        b"\x1a\x02\x08\x01garbage",
        b"\x00\x00",  # field number zero
    ],
)
def test_bytes_that_are_no_envelope_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"are no panji\.v1\.Envelope"):
        parse_envelope(data)


def test_an_envelope_stuffed_with_signatures_is_refused_before_one_of_them_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attack: 260 KiB hold 130,000 empty signatures, which cost a tenth of a second to make."""
    most = Envelope(PAYLOAD_TYPE, b"payload", (Signature(b"s"),) * MAX_SIGNATURES)
    assert parse_envelope(encode_envelope(most)) == most
    monkeypatch.setattr(envelopes, "Signature", None)
    with pytest.raises(MalformedError, match=f"takes {MAX_SIGNATURES} signatures, not {MAX_SIGNATURES + 1}"):
        parse_envelope(encode_envelope(most) + b"\x1a\x00")


@pytest.mark.parametrize(
    "padded",
    [
        encode_envelope(ENVELOPE) + b"\x7a\x04junk",
        encode_envelope(ENVELOPE) + b"\x1a\x0a\x0a\x02ss\x7a\x04junk",
    ],
    ids=["the envelope", "a signature"],
)
def test_an_envelope_padded_with_what_nobody_signed_is_not_taken_in_but_can_be_read(padded: bytes) -> None:
    """Attack: a small statement in a large envelope fills the log, the case and everyone's answers."""
    with pytest.raises(MalformedError, match="fields that no envelope has"):
        parse_envelope(padded, strict=True)
    assert parse_envelope(padded).payload == ENVELOPE.payload
    assert parse_envelope(encode_envelope(ENVELOPE), strict=True) == ENVELOPE


def test_a_cut_envelope_never_passes_for_the_whole() -> None:
    data = encode_envelope(ENVELOPE)
    for length in range(len(data)):
        try:
            assert parse_envelope(data[:length]) != ENVELOPE
        except MalformedError:
            continue


@given(st.binary())
def test_any_bytes_at_all_are_an_envelope_or_malformed(data: bytes) -> None:
    try:
        parse_envelope(data)
    except MalformedError:
        return
