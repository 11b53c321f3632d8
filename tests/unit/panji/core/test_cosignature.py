"""Cosignatures: whose word it is, over which checkpoint, from when."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from support.statements import NOON
from support.witnesses import WITNESSES, cosigned, seconds

from panji.core import cosignature, merkle, note
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.cosignature import Cosigner, WitnessVerifier, read_answer
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.errors import NoteError, SignatureError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
HEAD = Checkpoint(LOG.verifier.name, 7, merkle.leaf_hash(b"seven"))
OTHER = Checkpoint(LOG.verifier.name, 8, merkle.leaf_hash(b"eight"))
SIGNED = sign_checkpoint(HEAD, LOG)
ALDER, BIRCH, _ = WITNESSES.values()
ANSWER = ALDER.cosign(HEAD.text, seconds(NOON))


def line_with(claimed: int, signed: int | None = None, text: str = HEAD.text) -> str:
    """A line of the alder that claims a time, and was signed for it or another."""
    own = note.parse(SIGNED + ALDER.cosign(text, claimed if signed is None else signed)).signatures[-1]
    signature = claimed.to_bytes(8) + own.signature[8:]
    return f"{note.NoteSignature(own.name, own.key_hash, signature)}\n"


def test_a_witness_answers_with_a_cosignature_and_its_time() -> None:
    found = read_answer(ANSWER, HEAD.text, ALDER.verifier)
    assert (found.witness, found.at, f"{found.line}\n") == (ALDER.verifier, NOON.replace(microsecond=0), ANSWER)
    assert read_answer(ANSWER.encode(), HEAD.text, ALDER.verifier) == found


def test_the_signed_bytes_are_the_specifications() -> None:
    (line,) = note.parse(f"{HEAD.text}\n{ANSWER}").signatures
    message = f"cosignature/v1\ntime {seconds(NOON)}\n{HEAD.text}".encode()
    ALDER.verifier.public_key.verify(line.signature[8:], message)
    assert line.signature[:8] == seconds(NOON).to_bytes(8, "big")


def test_a_log_and_its_witnesses_are_opened_in_one_place() -> None:
    both = cosigned(SIGNED, ALDER, BIRCH, at=NOON)
    opened = note.open_note(both, [LOG.verifier, ALDER.verifier])
    assert [line.name for line in opened.signatures] == [LOG.verifier.name, ALDER.verifier.name]
    assert open_checkpoint(both, LOG.verifier) == HEAD  # for whom the witnesses are unknown lines


def test_a_bad_line_of_a_known_witness_rejects_the_note() -> None:
    forged = SIGNED + line_with(seconds(NOON), signed=seconds(NOON) - 1)
    with pytest.raises(NoteError, match="not over this text"):
        note.open_note(forged, [LOG.verifier, ALDER.verifier])
    assert note.open_note(forged, [LOG.verifier, BIRCH.verifier]).text == HEAD.text


def test_no_flipped_bit_of_a_cosignature_passes() -> None:
    own = note.parse(SIGNED + ANSWER).signatures[-1]
    for position in range(len(own.signature) * 8):
        flipped = bytearray(own.signature)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(SignatureError):
            ALDER.verifier.verify(bytes(flipped), HEAD.text)


def test_a_cosignature_of_another_checkpoint_is_refused() -> None:
    with pytest.raises(NoteError, match="not over this text"):
        read_answer(ALDER.cosign(OTHER.text, seconds(NOON)), HEAD.text, ALDER.verifier)


def test_a_signature_of_the_witness_that_is_no_cosignature_is_refused() -> None:
    """The same key, as a log: without the header the message is another."""
    (line,) = note.parse(NoteSigner(ALDER.verifier.name, ALDER._signer).sign(HEAD.text)).signatures
    with pytest.raises(SignatureError, match="72 bytes"):
        ALDER.verifier.verify(line.signature, HEAD.text)
    with pytest.raises(SignatureError):
        ALDER.verifier.verify(bytes(8) + line.signature, HEAD.text)


def test_a_log_that_signs_as_a_log_is_no_witness_of_itself() -> None:
    own = WitnessVerifier.for_key(LOG.verifier.name, LOG.verifier.public_key)
    assert own.key_hash != LOG.verifier.key_hash
    with pytest.raises(NoteError, match="none of the known keys"):
        note.open_note(SIGNED, [own])


def test_time_0_is_1970_and_times_beyond_the_calendar_are_its_end() -> None:
    assert read_answer(line_with(0), HEAD.text, ALDER.verifier).at == datetime(1970, 1, 1, tzinfo=UTC)
    for late in (253402300799, 253402300800, 2**63 - 1):
        found = read_answer(line_with(late), HEAD.text, ALDER.verifier)
        assert found.at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_time_beyond_63_bits_is_no_cosignature() -> None:
    with pytest.raises(NoteError, match="not over this text"):
        read_answer(line_with(2**63), HEAD.text, ALDER.verifier)
    with pytest.raises(SignatureError, match="63"):
        cosignature.time_of((2**64 - 1).to_bytes(8) + bytes(64))


# What a witness answers.


def test_lines_of_unknown_keys_in_an_answer_are_ignored() -> None:
    answer = BIRCH.cosign(OTHER.text, 5) + ANSWER + "— stranger.example AAAAAAA=\n"
    assert read_answer(answer, HEAD.text, ALDER.verifier) == read_answer(ANSWER, HEAD.text, ALDER.verifier)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "\n",
        "ok\n",
        ANSWER[:-1],
        ANSWER.replace("— ", "- "),
        ANSWER.replace("\n", "\r\n"),
        "<html>\n",
        b"\xff\xfe",
        "— stranger.example AAAAAAA=\n",
        BIRCH.cosign(HEAD.text, 5),
        ANSWER * 200,
        ANSWER + "x" * 2_000_000,
    ],
)
def test_garbage_for_an_answer_is_refused(answer: str | bytes) -> None:
    with pytest.raises(NoteError):
        read_answer(answer, HEAD.text, ALDER.verifier)


def test_an_answer_that_moves_the_end_of_the_text_is_refused() -> None:
    """A witness that signs a text of its own, ours in front, must not have signed ours."""
    longer = f"{HEAD.text}\nMore.\n"
    answer = f"More.\n\n{ALDER.cosign(longer, seconds(NOON))}"
    with pytest.raises(NoteError, match="more than signature lines"):
        read_answer(answer, HEAD.text, ALDER.verifier)


# Keys.


def test_a_witness_key_is_read_back_as_written() -> None:
    assert WitnessVerifier.parse(str(ALDER.verifier)) == ALDER.verifier
    assert base64.b64decode(str(ALDER.verifier).split("+", 2)[2])[0] == 4


def test_log_and_witness_keys_are_not_taken_for_one_another() -> None:
    with pytest.raises(NoteError, match=r"0x04.*its type is 0x01"):
        WitnessVerifier.parse(str(LOG.verifier))
    with pytest.raises(NoteError, match=r"0x01.*its type is 0x04"):
        NoteVerifier.parse(str(ALDER.verifier))
    assert WitnessVerifier.for_key("name", LOG.verifier.public_key) != NoteVerifier.for_key(
        "name", LOG.verifier.public_key
    )


def test_a_post_quantum_witness_key_is_named_as_what_cannot_be_verified() -> None:
    key = base64.b64encode(b"\x06" + bytes(1312)).decode()
    with pytest.raises(NoteError, match="ML-DSA-44 cosignatures, which cannot be verified here"):
        WitnessVerifier.parse(f"witness.example+00000000+{key}")


@pytest.mark.parametrize(("key", "found"), [(b"\x05\x01", "0x05"), (b"", "none")])
def test_a_key_of_any_other_type_is_named(key: bytes, found: str) -> None:
    with pytest.raises(NoteError, match=f"its type is {found}"):
        WitnessVerifier.parse(f"witness.example+00000000+{base64.b64encode(key).decode()}")


def test_a_weak_key_is_no_witness() -> None:
    key = base64.b64encode(b"\x04\x01" + bytes(31)).decode()
    with pytest.raises(NoteError, match="no Ed25519 key"):
        WitnessVerifier.parse(f"witness.example+00000000+{key}")


def test_a_name_that_breaks_the_line_is_no_witness() -> None:
    with pytest.raises(NoteError, match="name"):
        Cosigner("a witness", PrivateKeySigner.generate())
