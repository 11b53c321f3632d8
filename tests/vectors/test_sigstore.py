"""Real bundles of sigstore's conformance suite: DSSE envelopes, inclusion proofs and checkpoints of production logs.

A name in ``_fail`` must be refused by a whole sigstore client. Which of our parts has to refuse it is said per test.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from panji.core import envelope, merkle, note
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.keys import PublicKey
from panji.core.note import NoteVerifier
from panji.errors import InputError, NoteError, ProofError, SignatureError

if TYPE_CHECKING:
    from pathlib import Path

Bundles = dict[str, dict[str, Any]]


@pytest.fixture
def bundles(vectors: Path) -> Bundles:
    paths = sorted((vectors / "sigstore").glob("*/bundle.sigstore.json"))
    assert len(paths) == 29
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def entry_of(bundle: dict[str, Any]) -> dict[str, Any]:
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    assert isinstance(entry, dict)
    return entry


def key_of(bundle: dict[str, Any]) -> PublicKey:
    certificate = x509.load_der_x509_certificate(
        base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])
    )
    return PublicKey.from_spki(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def is_signed(bundle: dict[str, Any]) -> bool:
    try:
        envelope.verify(envelope.from_json(json.dumps(bundle["dsseEnvelope"])), [key_of(bundle)])
    except SignatureError:
        return False
    return True


def is_what_was_logged(bundle: dict[str, Any]) -> bool:
    """Whether the log's entry speaks of this very envelope: of its signed bytes and of its signature."""
    signed = envelope.from_json(json.dumps(bundle["dsseEnvelope"]))
    spec = json.loads(base64.b64decode(entry_of(bundle)["canonicalizedBody"]))["spec"]
    if "hashedRekordV002" in spec:
        record = spec["hashedRekordV002"]
        logged_digest = base64.b64decode(record["data"]["digest"])
        logged_signatures = [base64.b64decode(record["signature"]["content"])]
        actual_digest = hashlib.sha256(envelope.pae(signed.payload_type, signed.payload)).digest()
    else:
        logged_digest = bytes.fromhex(spec["payloadHash"]["value"])
        logged_signatures = [base64.b64decode(item["signature"]) for item in spec["signatures"]]
        actual_digest = hashlib.sha256(signed.payload).digest()
    return (actual_digest, [item.sig for item in signed.signatures]) == (logged_digest, logged_signatures)


def test_dsse_envelopes_are_refused_for_their_signature_or_for_their_log_entry(bundles: Bundles) -> None:
    """A mismatch carries a *valid* signature: only comparing envelope and log entry refuses it."""
    judged = {
        name: (is_signed(bundle), is_what_was_logged(bundle))
        for name, bundle in bundles.items()
        if "dsseEnvelope" in bundle
    }
    assert judged == {
        "happy-path-intoto-in-dsse-v3": (True, True),
        "dsse-invalid-sig_fail": (False, False),
        "dsse-mismatch-envelope_fail": (True, False),
        "dsse-mismatch-sig_fail": (True, False),
        "rekor2-dsse-happy-path": (True, True),
        "rekor2-dsse-invalid-sig_fail": (False, False),
        "rekor2-dsse-mismatch-envelope_fail": (True, False),
        "rekor2-dsse-mismatch-sig_fail": (True, False),
    }


def test_inclusion_proofs_of_production_logs_verify_and_the_corrupted_ones_do_not(bundles: Bundles) -> None:
    refused, verified = set(), 0
    for name, bundle in bundles.items():
        entry = entry_of(bundle)
        proof = entry.get("inclusionProof")
        if proof is None:
            continue
        try:
            merkle.verify_inclusion(
                merkle.leaf_hash(base64.b64decode(entry["canonicalizedBody"])),
                int(proof["logIndex"]),
                int(proof["treeSize"]),
                [base64.b64decode(value) for value in proof["hashes"]],
                base64.b64decode(proof["rootHash"]),
            )
        except ProofError:
            refused.add(name)
        else:
            verified += 1
    assert refused == {"inclusion-proof-corrupted-hash_fail", "invalid-inclusion-proof_fail"}
    assert verified == 26


def log_key(vectors: Path, name: str) -> NoteVerifier:
    """The Ed25519 log key of the bundle's trusted root; the log's key name is its host."""
    reference = (vectors / "sigstore" / name / "trusted_root.ref").read_text().strip()
    root = json.loads((vectors / "sigstore" / "trusted_roots" / f"{reference}.json").read_text())
    host = "log2025-alpha3.rekor.sigstage.dev" if "dsse" in name else "log2025-alpha1.rekor.sigstage.dev"
    (key,) = [log["publicKey"]["rawBytes"] for log in root["tlogs"] if log["baseUrl"] == f"https://{host}"]
    return NoteVerifier.for_key(host, PublicKey.from_spki(base64.b64decode(key)))


def test_checkpoints_of_rekor_2_are_opened_or_refused_as_the_suite_says(vectors: Path, bundles: Bundles) -> None:
    """Cosignatures, unknown lines and the order of lines change nothing; a missing line or name does."""
    refused, opened = set(), 0
    for name, bundle in bundles.items():
        proof = entry_of(bundle).get("inclusionProof")
        if not name.startswith("rekor2-") or proof is None:
            continue
        try:
            checkpoint = open_checkpoint(proof["checkpoint"]["envelope"], log_key(vectors, name))
        except NoteError:
            refused.add(name)
        else:
            opened += 1
            assert (checkpoint.size, checkpoint.root) == (
                int(proof["treeSize"]),
                base64.b64decode(proof["rootHash"]),
            )
    assert refused == {
        "rekor2-checkpoint-missing-log-signature_fail",
        "rekor2-checkpoint-missing-origin_fail",
        "rekor2-checkpoint-missing-root-hash_fail",
        "rekor2-checkpoint-missing-size_fail",
        "rekor2-checkpoint-no-matching-signature_fail",
    }
    assert opened == 10


def test_a_checkpoint_of_another_tree_does_not_have_the_proofs_root(bundles: Bundles) -> None:
    """Self-consistent, but of another root: receipts avoid the case by taking the root from the checkpoint alone."""
    proof = entry_of(bundles["checkpoint-wrong-roothash_fail"])["inclusionProof"]
    checkpoint = Checkpoint.parse(note.parse(proof["checkpoint"]["envelope"]).text)
    assert checkpoint.root != base64.b64decode(proof["rootHash"])


def test_managed_keys_verify_the_artefact_and_a_damaged_key_file_is_refused(vectors: Path, bundles: Bundles) -> None:
    artefact = (vectors / "sigstore" / "a.txt").read_bytes()
    verified, refused = set(), set()
    for path in (vectors / "sigstore").glob("*/key.pub"):
        name = path.parent.name
        try:
            key = PublicKey.from_pem(path.read_text())
        except InputError:
            refused.add(name)
            continue
        key.verify(base64.b64decode(bundles[name]["messageSignature"]["signature"]), artefact)
        verified.add(name)
    assert verified == {"managed-key-happy-path", "managed-key-and-trusted-root"}
    assert refused == {"managed-key-wrong-key_fail"}
