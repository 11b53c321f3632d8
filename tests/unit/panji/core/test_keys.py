"""Keys: what is taken, what is refused, and that one key has one name."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panji.core.keys import Algorithm, PrivateKeySigner, PublicKey, p1363_to_der
from panji.errors import InputError, SignatureError

if TYPE_CHECKING:
    from pathlib import Path

# RFC 8032, section 7.1, TEST 2
RFC8032_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC8032_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC8032_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def spki_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed448.Ed448PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def compressed(key: PublicKey) -> bytes:
    """The same P-256 key with its point compressed: valid DER, one byte string more for one key."""
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    x, y = key.spki[-64:-32], key.spki[-32:]
    return header + bytes([2 + (y[-1] & 1)]) + x


@pytest.fixture(params=list(Algorithm))
def signer(request: pytest.FixtureRequest) -> PrivateKeySigner:
    return PrivateKeySigner.generate(request.param)


def test_a_signature_verifies_over_its_message_only(signer: PrivateKeySigner) -> None:
    signature = signer.sign(b"message")
    signer.public_key.verify(signature, b"message")
    with pytest.raises(SignatureError, match="not a signature of these bytes"):
        signer.public_key.verify(signature, b"another message")


def test_another_keys_signature_is_refused(signer: PrivateKeySigner) -> None:
    other = PrivateKeySigner.generate(signer.public_key.algorithm)
    with pytest.raises(SignatureError):
        signer.public_key.verify(other.sign(b"message"), b"message")


def test_every_flipped_bit_of_a_signature_is_refused(signer: PrivateKeySigner) -> None:
    signature = signer.sign(b"message")
    for bit in range(len(signature) * 8):
        forged = bytearray(signature)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError):
            signer.public_key.verify(bytes(forged), b"message")


def test_bytes_after_a_signature_are_refused(signer: PrivateKeySigner) -> None:
    with pytest.raises(SignatureError):
        signer.public_key.verify(signer.sign(b"message") + b"\x00", b"message")


def test_ed25519_signs_as_in_rfc_8032() -> None:
    signer = PrivateKeySigner(Ed25519PrivateKey.from_private_bytes(RFC8032_SECRET))
    assert signer.public_key.raw == RFC8032_PUBLIC
    assert signer.sign(b"\x72") == RFC8032_SIGNATURE
    PublicKey.from_ed25519_raw(RFC8032_PUBLIC).verify(RFC8032_SIGNATURE, b"\x72")


def test_a_key_survives_every_form_it_is_written_in(signer: PrivateKeySigner) -> None:
    key = signer.public_key
    assert PublicKey.from_spki(key.spki) == key
    assert PublicKey.from_pem(key.pem) == key
    assert PublicKey.from_pem(key.pem.encode()) == key
    assert PublicKey(key.algorithm, key.spki) == key
    assert PrivateKeySigner.from_pem(signer.to_pem()).public_key == key
    assert PrivateKeySigner.from_pem(signer.to_pem().encode()).public_key == key


def test_a_keyid_is_what_openssl_and_sha256_say(signer: PrivateKeySigner, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(signer.public_key.pem)
    command = ["openssl", "pkey", "-pubin", "-in", str(path), "-outform", "DER"]
    der = subprocess.run(command, capture_output=True, check=True).stdout
    assert signer.public_key.keyid == hashlib.sha256(der).hexdigest()


def test_only_ed25519_has_raw_bytes() -> None:
    key = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256).public_key
    with pytest.raises(InputError, match="only an Ed25519 key"):
        _ = key.raw


def test_the_algorithm_of_a_key_cannot_be_claimed_to_be_another() -> None:
    key = PrivateKeySigner.generate().public_key
    with pytest.raises(InputError, match="the key is ed25519, not ecdsa"):
        PublicKey(Algorithm.ECDSA_P256_SHA256, key.spki)


def test_one_key_in_a_second_encoding_is_refused_so_that_it_cannot_count_as_two() -> None:
    key = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256).public_key
    with pytest.raises(InputError, match="one DER form"):
        PublicKey.from_spki(compressed(key))


@pytest.mark.parametrize(
    "spki",
    [
        spki_of(ec.generate_private_key(ec.SECP384R1()).public_key()),
        spki_of(rsa.generate_private_key(65537, 2048).public_key()),
        spki_of(ed448.Ed448PrivateKey.generate().public_key()),
    ],
    ids=["P-384", "RSA", "Ed448"],
)
def test_keys_of_other_kinds_are_refused(spki: bytes) -> None:
    with pytest.raises(InputError, match="Ed25519 or ECDSA on P-256"):
        PublicKey.from_spki(spki)


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x00", bytes(44)])
def test_bytes_that_are_no_key_are_refused(der: bytes) -> None:
    with pytest.raises(InputError, match="SubjectPublicKeyInfo"):
        PublicKey.from_spki(der)


@pytest.mark.parametrize("pem", ["", "no key", b"\xff", "\ud800"])
def test_text_that_is_no_key_is_refused(pem: str | bytes) -> None:
    with pytest.raises(InputError, match="not a PEM public key"):
        PublicKey.from_pem(pem)
    with pytest.raises(InputError, match="not a PEM private key"):
        PrivateKeySigner.from_pem(pem)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_raw_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InputError, match="32 bytes"):
        PublicKey.from_ed25519_raw(bytes(size))


def small_order_points() -> list[bytes]:
    """The y of the points whose eightfold is neutral, from the curve's equation: 0, ±1 and 2y² = 1 - dy⁴."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    order_eight = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    assert (2 * order_eight**2 - 1 + d * order_eight**4) % p == 0
    values = [0, 1, p - 1, order_eight, p - order_eight]
    return [(y | sign << 255).to_bytes(32, "little") for y in values for sign in (0, 1)]


@pytest.mark.parametrize("raw", small_order_points(), ids=bytes.hex)
def test_a_key_of_small_order_is_refused_because_its_owner_could_deny_every_signature(raw: bytes) -> None:
    with pytest.raises(InputError, match="small order"):
        PublicKey.from_ed25519_raw(raw)


def test_a_second_encoding_of_an_ed25519_point_is_refused() -> None:
    with pytest.raises(InputError, match="not canonically encoded"):
        PublicKey.from_ed25519_raw((2**255 - 19 + 3).to_bytes(32, "little"))


def test_p1363_signatures_become_der() -> None:
    signer = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)
    assert p1363_to_der(bytes(31) + b"\x01" + bytes(31) + b"\x80") == bytes.fromhex("3007020101020200 80")
    with pytest.raises(SignatureError):
        signer.public_key.verify(p1363_to_der(bytes(64)), b"message")


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_p1363_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(SignatureError, match="64 bytes"):
        p1363_to_der(bytes(size))


def test_an_encrypted_private_key_opens_with_its_password_only() -> None:
    key = Ed25519PrivateKey.generate()
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    assert PrivateKeySigner.from_pem(pem, b"open sesame").public_key.raw == key.public_key().public_bytes_raw()
    for password in (b"wrong", None):
        with pytest.raises(InputError, match="this password"):
            PrivateKeySigner.from_pem(pem, password)


def test_private_keys_of_other_kinds_are_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(InputError, match="Ed25519 or ECDSA on P-256"):
        PrivateKeySigner.from_pem(pem)


def test_a_signer_printed_shows_its_key_id_and_no_secret() -> None:
    signer = PrivateKeySigner(Ed25519PrivateKey.from_private_bytes(RFC8032_SECRET))
    assert repr(signer) == f"PrivateKeySigner(ed25519, keyid={signer.public_key.keyid})"
