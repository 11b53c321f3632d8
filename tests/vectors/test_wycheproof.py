"""Project Wycheproof's signature cases: what implementations of Ed25519 and ECDSA got wrong before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from panji.core.keys import PublicKey, p1363_to_der
from panji.errors import SignatureError

if TYPE_CHECKING:
    from pathlib import Path


def accepts(key: PublicKey, signature: bytes, message: bytes, *, p1363: bool) -> bool:
    try:
        key.verify(p1363_to_der(signature) if p1363 else signature, message)
    except SignatureError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "valid", "invalid"),
    [
        ("ed25519_test", 88, 63),
        ("ecdsa_secp256r1_sha256_test", 174, 310),
        ("ecdsa_secp256r1_sha256_p1363_test", 173, 89),
    ],
)
def test_every_wycheproof_signature_is_judged_rightly(vectors: Path, name: str, valid: int, invalid: int) -> None:
    """No case is "acceptable": each is valid or invalid, and their numbers add up to both."""
    groups = json.loads((vectors / "wycheproof" / f"{name}.json").read_text())["testGroups"]
    results = [test["result"] for group in groups for test in group["tests"]]
    assert (results.count("valid"), results.count("invalid"), len(results)) == (valid, invalid, valid + invalid)
    wrong = []
    for group in groups:
        key = PublicKey.from_pem(group["publicKeyPem"])
        assert key == PublicKey.from_spki(bytes.fromhex(group["publicKeyDer"]))
        for test in group["tests"]:
            signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
            if accepts(key, signature, message, p1363="p1363" in name) != (test["result"] == "valid"):
                wrong.append((test["tcId"], test["comment"]))
    assert wrong == []
