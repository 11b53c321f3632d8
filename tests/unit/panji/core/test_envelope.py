"""Envelopes: what a signature covers, and who counts as a signer."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core import envelope
from panji.core.envelope import MAX_SIGNATURES, PAYLOAD_TYPE, Envelope, Signature
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.errors import InputError, SignatureError

ALICE = PrivateKeySigner.generate()
BUDI = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)
MALLORY = PrivateKeySigner.generate()
TRUSTED = (ALICE.public_key, BUDI.public_key)


def test_the_lengths_in_the_encoding_count_bytes_not_characters() -> None:
    assert envelope.pae("päyload", "é".encode()) == "DSSEv1 8 päyload 2 é".encode()


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_envelopes_have_the_same_encoding(type1: str, payload1: bytes, type2: str, payload2: bytes) -> None:
    same = (type1, payload1) == (type2, payload2)
    assert (envelope.pae(type1, payload1) == envelope.pae(type2, payload2)) == same


def test_a_type_that_swallows_the_payload_does_not_encode_the_same() -> None:
    assert envelope.pae("a 1 b", b"c") != envelope.pae("a", b"b 1 c")


def test_one_signer_verifies_with_its_key() -> None:
    signed = envelope.sign(b"payload", [ALICE])
    assert signed.payload_type == PAYLOAD_TYPE
    assert signed.signatures[0].keyid == ALICE.public_key.keyid
    assert envelope.verify(signed, [ALICE.public_key]) == (ALICE.public_key,)


def test_two_signers_reach_a_threshold_of_two_in_the_order_of_their_signatures() -> None:
    signed = envelope.sign(b"payload", [BUDI, ALICE])
    assert envelope.verify(signed, TRUSTED, threshold=2) == (BUDI.public_key, ALICE.public_key)


def test_all_trusted_signers_are_returned_even_beyond_the_threshold() -> None:
    signed = envelope.sign(b"payload", [ALICE, MALLORY, BUDI])
    assert envelope.verify(signed, TRUSTED) == (ALICE.public_key, BUDI.public_key)


def test_a_changed_payload_is_refused() -> None:
    signed = replace(envelope.sign(b"payload", [ALICE]), payload=b"Payload")
    with pytest.raises(SignatureError, match="0 of 1"):
        envelope.verify(signed, TRUSTED)


def test_a_payload_cannot_be_passed_off_as_another_type() -> None:
    signed = replace(envelope.sign(b"payload", [ALICE]), payload_type="text/plain")
    with pytest.raises(SignatureError):
        envelope.verify(signed, TRUSTED)


def test_a_signature_over_the_bare_payload_is_refused() -> None:
    with pytest.raises(SignatureError):
        envelope.verify(Envelope(PAYLOAD_TYPE, b"payload", (Signature(ALICE.sign(b"payload")),)), TRUSTED)


def test_an_unknown_key_that_claims_a_trusted_keyid_is_refused() -> None:
    signed = envelope.sign(b"payload", [MALLORY])
    forged = replace(signed, signatures=(Signature(signed.signatures[0].sig, ALICE.public_key.keyid),))
    with pytest.raises(SignatureError):
        envelope.verify(forged, TRUSTED)


@pytest.mark.parametrize("keyid", ["", "nonsense", BUDI.public_key.keyid], ids=["none", "nonsense", "another"])
def test_a_wrong_or_missing_keyid_does_not_hide_a_valid_signature(keyid: str) -> None:
    signed = envelope.sign(b"payload", [ALICE])
    hinted = replace(signed, signatures=(Signature(signed.signatures[0].sig, keyid),))
    assert envelope.verify(hinted, TRUSTED) == (ALICE.public_key,)


def test_two_signatures_by_one_key_do_not_reach_a_threshold_of_two() -> None:
    """ECDSA signs differently each time, so the two are not even equal."""
    signed = envelope.sign(b"payload", [BUDI, BUDI])
    assert signed.signatures[0].sig != signed.signatures[1].sig
    with pytest.raises(SignatureError, match="1 of 2"):
        envelope.verify(signed, TRUSTED, threshold=2)


def test_one_key_listed_twice_as_trusted_does_not_reach_a_threshold_of_two() -> None:
    signed = envelope.sign(b"payload", [ALICE, ALICE])
    with pytest.raises(SignatureError, match="1 of 2"):
        envelope.verify(signed, [ALICE.public_key, ALICE.public_key], threshold=2)


def test_an_invalid_signature_beside_a_valid_one_does_no_harm() -> None:
    signed = envelope.sign(b"payload", [ALICE])
    noisy = replace(signed, signatures=(Signature(b"noise"), *signed.signatures, Signature(b"", "noise")))
    assert envelope.verify(noisy, TRUSTED) == (ALICE.public_key,)


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_that_nobody_need_reach_is_refused(threshold: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        envelope.verify(Envelope(PAYLOAD_TYPE, b"payload", ()), TRUSTED, threshold)


def test_an_envelope_without_signatures_or_without_trusted_keys_is_refused() -> None:
    with pytest.raises(SignatureError):
        envelope.verify(Envelope(PAYLOAD_TYPE, b"payload", ()), TRUSTED)
    with pytest.raises(SignatureError):
        envelope.verify(envelope.sign(b"payload", [ALICE]), [])


def test_a_flood_of_signatures_is_refused_before_any_is_verified() -> None:
    signed = envelope.sign(b"payload", [ALICE])
    most = replace(signed, signatures=signed.signatures * MAX_SIGNATURES)
    assert envelope.verify(most, TRUSTED) == (ALICE.public_key,)
    with pytest.raises(SignatureError, match="not 17"):
        envelope.verify(replace(signed, signatures=signed.signatures * (MAX_SIGNATURES + 1)), TRUSTED)


@pytest.mark.parametrize("count", [0, MAX_SIGNATURES + 1])
def test_nobody_or_too_many_cannot_sign(count: int) -> None:
    with pytest.raises(InputError, match="1 to 16"):
        envelope.sign(b"payload", [ALICE] * count)


def test_the_digest_is_the_sha256_of_the_bytes_that_travelled() -> None:
    assert envelope.digest(b"bytes on the wire") == hashlib.sha256(b"bytes on the wire").digest()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), st.lists(st.tuples(st.binary(), st.text())))
def test_json_gives_back_the_envelope(payload_type: str, payload: bytes, signatures: list[tuple[bytes, str]]) -> None:
    written = Envelope(payload_type, payload, tuple(Signature(sig, keyid) for sig, keyid in signatures))
    assert envelope.from_json(envelope.to_json(written)) == written


def test_url_safe_base64_is_read_too() -> None:
    data = b"\xfb\xff\xfe"
    for encoded in ("+//+", "-__-"):
        text = json.dumps({"payload": encoded, "payloadType": "t", "signatures": [{"sig": encoded}]})
        assert envelope.from_json(text) == Envelope("t", data, (Signature(data),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        '{"payload": "YQ==", "payloadType": "t", "signatures": null}',
        '{"payload": "YQ==", "payloadType": "t", "signatures": ["sig"]}',
        '{"payload": "YQ==", "payloadType": "t", "signatures": [{"sig": 1}]}',
        '{"payload": "YQ", "payloadType": "t", "signatures": []}',
        '{"payload": "Y Q==", "payloadType": "t", "signatures": []}',
        '{"payload": "YQ==", "payloadType": 1, "signatures": []}',
        '{"payload": "YQ==", "payloadType": "\\ud800", "signatures": []}',
        '{"payload": "YQ==", "payload": "Yg==", "payloadType": "t", "signatures": []}',
    ],
)
def test_json_that_is_no_envelope_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match="not a DSSE envelope"):
        envelope.from_json(text)


def test_an_envelope_from_json_verifies() -> None:
    text = envelope.to_json(envelope.sign(b"payload", [ALICE, BUDI]))
    assert base64.b64decode(json.loads(text)["payload"]) == b"payload"
    assert envelope.verify(envelope.from_json(text), TRUSTED, threshold=2) == TRUSTED
