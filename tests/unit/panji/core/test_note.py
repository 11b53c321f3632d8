"""Signed notes: whose text it is, and what nobody may slip in."""

from __future__ import annotations

import base64

import pytest

from panji.core import note
from panji.core.keys import Algorithm, PrivateKeySigner, PublicKey
from panji.core.note import NoteSigner, NoteVerifier
from panji.errors import NoteError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
WITNESS = NoteSigner("witness.example", PrivateKeySigner.generate())
TEXT = "A text.\n\nIn two parts.\n"
SIGNED = LOG.sign(TEXT)


def lines_of(signed: str) -> str:
    return signed.rpartition("\n\n")[2]


def test_a_note_opens_with_the_key_that_signed_it() -> None:
    opened = note.open_note(SIGNED, [LOG.verifier])
    assert opened.text == TEXT
    assert [(line.name, line.key_hash) for line in opened.signatures] == [(LOG.verifier.name, LOG.verifier.key_hash)]
    assert note.open_note(SIGNED.encode(), [LOG.verifier]) == opened


def test_a_changed_text_is_refused() -> None:
    with pytest.raises(NoteError, match="not over this text"):
        note.open_note(SIGNED.replace("two", "ten"), [LOG.verifier])


def test_a_note_without_a_known_signature_is_refused() -> None:
    with pytest.raises(NoteError, match="none of the known keys"):
        note.open_note(SIGNED, [WITNESS.verifier])
    with pytest.raises(NoteError, match="none of the known keys"):
        note.open_note(SIGNED, [])


def test_a_key_of_the_same_name_but_another_hash_is_unknown() -> None:
    impostor = NoteSigner(LOG.verifier.name, PrivateKeySigner.generate())
    with pytest.raises(NoteError, match="none of the known keys"):
        note.open_note(impostor.sign(TEXT), [LOG.verifier])


def test_a_forged_line_that_claims_the_known_key_is_refused_even_beside_a_good_one() -> None:
    forged = LOG.verifier.key_hash.to_bytes(4) + bytes(64)
    line = f"— {LOG.verifier.name} {base64.b64encode(forged).decode()}\n"
    for signed in (f"{TEXT}\n{line}", SIGNED + line, f"{TEXT}\n{line}{lines_of(SIGNED)}"):
        with pytest.raises(NoteError, match="not over this text"):
            note.open_note(signed, [LOG.verifier])


def test_unknown_lines_are_ignored_and_not_returned_as_verified() -> None:
    both = SIGNED + lines_of(WITNESS.sign(TEXT))
    assert [line.name for line in note.parse(both).signatures] == [LOG.verifier.name, WITNESS.verifier.name]
    assert [line.name for line in note.open_note(both, [WITNESS.verifier]).signatures] == [WITNESS.verifier.name]
    opened = note.open_note(both, [WITNESS.verifier, LOG.verifier])
    assert [line.name for line in opened.signatures] == [LOG.verifier.name, WITNESS.verifier.name]


def test_a_repeated_signature_counts_once() -> None:
    repeated = SIGNED + lines_of(SIGNED)
    assert len(note.parse(repeated).signatures) == 2
    assert len(note.open_note(repeated, [LOG.verifier, LOG.verifier]).signatures) == 1


def test_signature_lines_inside_the_text_are_text() -> None:
    """What stands before the last empty line is signed, whatever it looks like."""
    nested = WITNESS.sign(SIGNED)
    assert note.open_note(nested, [WITNESS.verifier]).text == SIGNED
    with pytest.raises(NoteError, match="none of the known keys"):
        note.open_note(nested, [LOG.verifier])


def test_a_line_separator_other_than_newline_ends_no_line() -> None:
    text = "one\u2028two\x85three\n"
    assert note.open_note(LOG.sign(text), [LOG.verifier]).text == text


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "\n",
        TEXT,
        SIGNED[:-1],
        f"{TEXT}\n",
        f"{TEXT}\n\n",
        lines_of(SIGNED),
        f"A tab\t.\n\n{lines_of(SIGNED)}",
        f"A return.\r\n\n{lines_of(SIGNED)}",
        f"A surrogate \ud800.\n\n{lines_of(SIGNED)}",
        b"\xff\n\n" + lines_of(SIGNED).encode(),
        SIGNED.replace("— ", "- "),
        SIGNED.replace("— ", "—"),
        f"{TEXT}\n— name\n",
        f"{TEXT}\n— name \n",
        f"{TEXT}\n— name AAAA\n",
        f"{TEXT}\n— name AAAAAA==\n",
        f"{TEXT}\n— name AAAAAAB=\n",
        f"{TEXT}\n— name AAAAAAA=  \n",
        f"{TEXT}\n— name A-AA_AA=\n",
        f"{TEXT}\n— name é\n",
        f"{TEXT}\n— na+me AAAAAAA=\n",
        f"{TEXT}\n— na\xa0me AAAAAAA=\n",
        f"{TEXT}\n—  AAAAAAA=\n",
    ],
)
def test_a_malformed_note_is_refused(malformed: str | bytes) -> None:
    with pytest.raises(NoteError):
        note.parse(malformed)


def test_a_flood_of_signatures_or_bytes_is_refused_before_any_is_verified() -> None:
    line = "— unknown.example AAAAAAA=\n"
    assert len(note.parse(f"{TEXT}\n" + line * note.MAX_SIGNATURES).signatures) == note.MAX_SIGNATURES
    with pytest.raises(NoteError, match="at most 100 signatures"):
        note.parse(f"{TEXT}\n" + line * (note.MAX_SIGNATURES + 1))
    with pytest.raises(NoteError, match="at most 1000000 bytes"):
        note.parse("é" * (note.MAX_BYTES // 2) + SIGNED)


@pytest.mark.parametrize("text", ["", "no newline", "a tab\t\n", "nul\x00\n", "surrogate \ud800\n"])
def test_a_text_that_is_no_notes_text_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError, match="text ends with a newline"):
        LOG.sign(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x00b", "a\ud800b"])
def test_a_name_that_breaks_the_line_is_refused(name: str) -> None:
    with pytest.raises(NoteError, match="name"):
        NoteSigner(name, PrivateKeySigner.generate())


def test_only_ed25519_signs_notes() -> None:
    key = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)
    with pytest.raises(NoteError, match="Ed25519"):
        NoteSigner("name", key)
    with pytest.raises(NoteError, match="Ed25519"):
        NoteVerifier("name", 0, key.public_key)


def test_a_verifier_whose_hash_is_not_its_keys_is_refused() -> None:
    with pytest.raises(NoteError, match="key hash"):
        NoteVerifier(LOG.verifier.name, LOG.verifier.key_hash ^ 1, LOG.verifier.public_key)


def test_a_verifier_key_is_read_back_as_written() -> None:
    assert NoteVerifier.parse(str(LOG.verifier)) == LOG.verifier
    assert NoteVerifier.for_key(LOG.verifier.name, LOG.verifier.public_key) == LOG.verifier


def test_a_verifier_key_has_one_spelling_of_its_own_hash() -> None:
    key = PublicKey.from_ed25519_raw(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
    name, key_hash, encoded = str(NoteVerifier.for_key("exchange.example", key)).split("+", 2)
    assert key_hash != key_hash.upper()
    for wrong in (key_hash.upper(), f"0{key_hash}", key_hash[1:], "00000000", ""):
        with pytest.raises(NoteError, match="key hash"):
            NoteVerifier.parse(f"{name}+{wrong}+{encoded}")


@pytest.mark.parametrize("key", [b"", b"\x01", b"\x02" + bytes(32), b"\x01" + bytes(31), b"\x01" + bytes(32)])
def test_a_verifier_key_of_another_type_length_or_a_weak_key_is_refused(key: bytes) -> None:
    with pytest.raises(NoteError):
        NoteVerifier.parse(f"name+00000000+{base64.b64encode(key).decode()}")
