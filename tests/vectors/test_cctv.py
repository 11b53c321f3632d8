"""CCTV's Ed25519 edge cases: where implementations differ, what ours takes is written down here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from panji.core.keys import PublicKey
from panji.errors import InputError, SignatureError

if TYPE_CHECKING:
    from pathlib import Path


def read_cases(vectors: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((vectors / "cctv" / "ed25519vectors.json").read_text())
    assert len(cases) == 914
    return cases


def flags_of(case: dict[str, Any]) -> set[str]:
    return set(case["flags"] or ())


def panji_accepts(case: dict[str, Any]) -> bool:
    try:
        PublicKey.from_ed25519_raw(bytes.fromhex(case["key"])).verify(bytes.fromhex(case["sig"]), case["msg"].encode())
    except (InputError, SignatureError):
        return False
    return True


def openssl_accepts(case: dict[str, Any]) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["key"])).verify(
            bytes.fromhex(case["sig"]), case["msg"].encode()
        )
    except InvalidSignature:
        return False
    return True


def test_openssl_checks_the_unbatched_equation_and_the_form_of_r_but_not_the_key(vectors: Path) -> None:
    """This is what we build on. A change here means that another OpenSSL judges old statements differently."""
    cases = read_cases(vectors)
    accepted = [case for case in cases if openssl_accepts(case)]
    assert accepted == [case for case in cases if not flags_of(case) & {"low_order_residue", "non_canonical_R"}]
    assert len(accepted) == 208


def test_weak_and_doubly_encoded_keys_are_refused_so_that_a_signature_binds_to_one_message(vectors: Path) -> None:
    """On top of OpenSSL's rules we refuse the key itself; what stays has R in its one form and no residue."""
    cases = read_cases(vectors)
    accepted = [case for case in cases if panji_accepts(case)]
    refused_for = {"low_order_A", "non_canonical_A", "low_order_residue", "non_canonical_R"}
    assert accepted == [case for case in cases if not flags_of(case) & refused_for]
    assert len(accepted) == 86


def test_no_key_of_small_order_can_enter_the_directory(vectors: Path) -> None:
    entered = set()
    weak = {case["key"] for case in read_cases(vectors) if flags_of(case) & {"low_order_A", "non_canonical_A"}}
    for key in weak:
        try:
            PublicKey.from_ed25519_raw(bytes.fromhex(key))
        except InputError:
            continue
        entered.add(key)
    assert entered == set()
    assert len(weak) == 14
