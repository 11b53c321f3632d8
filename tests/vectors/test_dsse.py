"""The one published DSSE vector: PAE, envelope and an ECDSA signature in r‖s form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from panji.core import envelope
from panji.core.keys import PublicKey, p1363_to_der
from panji.errors import SignatureError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_published_envelope_verifies_once_its_signature_is_in_der(vectors: Path) -> None:
    published = json.loads((vectors / "dsse" / "vectors.json").read_text())["vectors"]
    assert len(published) == 1
    vector = published[0]
    point = ec.EllipticCurvePublicNumbers(int(vector["key"]["x"]), int(vector["key"]["y"]), ec.SECP256R1())
    key = PublicKey.from_spki(
        point.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    read = envelope.from_json(json.dumps(vector["envelope"]))
    assert read.payload == vector["payload_utf8"].encode()
    assert envelope.pae(read.payload_type, read.payload) == vector["pae_utf8"].encode()

    # As published the signature is r‖s, which our ECDSA keys do not take.
    with pytest.raises(SignatureError):
        envelope.verify(read, [key])
    in_der = envelope.Signature(p1363_to_der(read.signatures[0].sig))
    assert envelope.verify(envelope.Envelope(read.payload_type, read.payload, (in_der,)), [key]) == (key,)
