"""Signed notes, verifier keys and tree heads, from golang.org/x/mod and the C2SP specifications."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panji.core import merkle, note
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.errors import NoteError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def published(vectors: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((vectors / "signed-note" / "vectors.json").read_text())
    return loaded


def test_both_published_notes_open_with_their_keys(published: dict[str, Any]) -> None:
    assert len(published["notes"]) == 2
    for vector in published["notes"]:
        verifier = NoteVerifier.parse(vector["vkey"])
        assert str(verifier) == vector["vkey"]
        opened = note.open_note(vector["note"], [verifier])
        assert opened.text == vector["text"]
        assert [line.name for line in opened.signatures] == [verifier.name]


def test_the_published_private_key_signs_to_the_published_note(published: dict[str, Any]) -> None:
    vector = published["notes"][0]
    encoded = vector["skey_published_test_only"].split("+", 4)[4]
    seed = base64.b64decode(encoded)[1:]
    signer = NoteSigner("PeterNeumann", PrivateKeySigner(Ed25519PrivateKey.from_private_bytes(seed)))
    assert str(signer.verifier) == vector["vkey"]
    assert signer.sign(vector["text"]) == vector["note"]


def test_every_proper_substring_of_a_verifier_key_is_refused(published: dict[str, Any]) -> None:
    vkey = published["notes"][0]["vkey"]
    for start in range(len(vkey)):
        for end in range(start, len(vkey) + 1):
            if end - start < len(vkey):
                with pytest.raises(NoteError):
                    NoteVerifier.parse(vkey[start:end])


def test_a_verifier_key_with_any_one_byte_incremented_is_refused(published: dict[str, Any]) -> None:
    vkey = published["notes"][0]["vkey"]
    for position, character in enumerate(vkey):
        with pytest.raises(NoteError):
            NoteVerifier.parse(vkey[:position] + chr(ord(character) + 1) + vkey[position + 1 :])


def test_the_published_bad_verifier_keys_are_refused(published: dict[str, Any]) -> None:
    assert len(published["bad_vkeys"]) == 2
    for vkey in published["bad_vkeys"]:
        with pytest.raises(NoteError):
            NoteVerifier.parse(vkey)


def test_tree_heads_that_end_with_a_newline_are_read(published: dict[str, Any]) -> None:
    """Two of golang's three good heads: without and with an extension line."""
    heads = published["tree_heads"]
    assert len(heads["good"]) == 3
    plain, _, extended = (heads["good"][0], None, heads["good"][2])
    root = merkle.leaf_hash(heads["root_is_leaf_hash_of"].encode())
    origin, size = "go.sum database tree", heads["size"]
    assert Checkpoint.parse(plain) == Checkpoint(origin, size, root)
    assert Checkpoint.parse(extended) == Checkpoint(origin, size, root, ("JOE",))
    assert [Checkpoint.parse(text).text for text in (plain, extended)] == [plain, extended]


def test_a_tree_head_whose_last_line_is_not_ended_is_refused(published: dict[str, Any]) -> None:
    """Golang's ParseTree takes it and drops the broken line; C2SP asks every line to end, as every note's text does."""
    unended = published["tree_heads"]["good"][1]
    assert unended.endswith("JOE")
    with pytest.raises(NoteError, match="ended by a newline"):
        Checkpoint.parse(unended)


def test_the_bad_tree_heads_are_refused(published: dict[str, Any]) -> None:
    """The first is a well-formed checkpoint of another log, so it is the origin that refuses it, once it is signed."""
    other_log, hexadecimal, long_root = published["tree_heads"]["bad"]
    signer = NoteSigner("go.sum", PrivateKeySigner.generate())
    signed = sign_checkpoint(Checkpoint.parse(other_log), signer)
    with pytest.raises(NoteError, match="another log"):
        open_checkpoint(signed, signer.verifier, origin="go.sum database tree")
    with pytest.raises(NoteError, match="decimal"):
        Checkpoint.parse(hexadecimal)
    with pytest.raises(NoteError, match="canonical base64"):
        Checkpoint.parse(long_root)


def test_the_published_cosigned_checkpoint_is_taken_apart(published: dict[str, Any]) -> None:
    """No key is published for its two lines: what is read is their form, and the time in the witness's."""
    vector = published["parse_only"]
    parsed = note.parse(vector["checkpoint"])
    log_line, witness_line = parsed.signatures
    checkpoint = Checkpoint.parse(parsed.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert (log_line.name, len(log_line.signature)) == ("example.com/behind-the-sofa", 64)
    assert (witness_line.name, len(witness_line.signature)) == ("witness.example.com/w1", 8 + 64)
    assert int.from_bytes(witness_line.signature[:8]) == vector["cosignature_timestamp_unix"]
