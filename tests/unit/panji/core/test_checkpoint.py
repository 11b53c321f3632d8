"""Checkpoints: one reading of one text, of one log."""

from __future__ import annotations

import base64

import pytest

from panji.core.checkpoint import MAX_SIZE, Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.merkle import EMPTY_ROOT, leaf_hash
from panji.core.note import NoteSigner
from panji.errors import NoteError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
ROOT = leaf_hash(b"entry")
ROOT64 = base64.b64encode(ROOT).decode()
HEAD = Checkpoint("exchange.example/log", 1, ROOT)


def test_a_checkpoint_is_written_as_three_lines() -> None:
    assert HEAD.text == f"exchange.example/log\n1\n{ROOT64}\n"
    assert Checkpoint("o", 0, EMPTY_ROOT, ("more",)).text.endswith("=\nmore\n")


@pytest.mark.parametrize("checkpoint", [HEAD, Checkpoint("o", 0, EMPTY_ROOT), Checkpoint("o", MAX_SIZE, ROOT, ("x",))])
def test_a_checkpoint_is_read_back_as_written(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.text) == checkpoint


def test_a_signed_checkpoint_opens_with_the_logs_key() -> None:
    assert open_checkpoint(sign_checkpoint(HEAD, LOG), LOG.verifier) == HEAD
    assert open_checkpoint(sign_checkpoint(HEAD, LOG), LOG.verifier, origin=HEAD.origin) == HEAD


def test_a_checkpoint_signed_by_another_key_is_refused() -> None:
    impostor = NoteSigner(LOG.verifier.name, PrivateKeySigner.generate())
    with pytest.raises(NoteError, match="none of the known keys"):
        open_checkpoint(sign_checkpoint(HEAD, impostor), LOG.verifier)


def test_the_head_of_another_log_under_the_same_key_is_refused() -> None:
    other = sign_checkpoint(Checkpoint("exchange.example/other", 1, ROOT), LOG)
    assert open_checkpoint(other, LOG.verifier, origin="exchange.example/other").size == 1
    with pytest.raises(NoteError, match="another log"):
        open_checkpoint(other, LOG.verifier)
    with pytest.raises(NoteError, match="another log"):
        open_checkpoint(sign_checkpoint(HEAD, LOG), LOG.verifier, origin="exchange.example/other")


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(NoteError, match="at least an origin"):
        open_checkpoint(LOG.sign("hello\n"), LOG.verifier)


def test_a_witnesss_line_or_an_unknown_one_is_no_harm_to_a_checkpoint() -> None:
    signed = sign_checkpoint(HEAD, LOG)
    for name in ("witness.example", LOG.verifier.name):
        stranger = sign_checkpoint(HEAD, NoteSigner(name, PrivateKeySigner.generate())).rpartition("\n\n")[2]
        assert open_checkpoint(signed + stranger, LOG.verifier) == HEAD


def test_a_bad_line_of_the_logs_own_key_makes_a_checkpoint_none_even_beside_a_good_one() -> None:
    other = sign_checkpoint(Checkpoint(HEAD.origin, 2, ROOT), LOG).rpartition("\n\n")[2]
    with pytest.raises(NoteError, match="not over this text"):
        open_checkpoint(sign_checkpoint(HEAD, LOG) + other, LOG.verifier)


@pytest.mark.parametrize("bits", [0x01, 0x20, 0x80])
def test_every_flipped_byte_of_a_stored_checkpoint_is_refused(bits: int) -> None:
    stored = sign_checkpoint(HEAD, LOG).encode()
    for position in range(len(stored)):
        flipped = stored[:position] + bytes([stored[position] ^ bits]) + stored[position + 1 :]
        # latin-1 gives every byte a character, so that the forgery reaches the parser whatever it is
        with pytest.raises(NoteError):
            open_checkpoint(flipped.decode("latin-1"), LOG.verifier)


@pytest.mark.parametrize(
    "size",
    ["", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "1_0", "1.0", "\u0661", "²", str(MAX_SIZE + 1), "9" * 5000],
)
def test_a_size_that_two_readers_could_read_differently_is_refused(size: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(f"o\n{size}\n{ROOT64}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"o\n1\n{ROOT64}",
        f"\n1\n{ROOT64}\n",
        f"o\n1\n{ROOT64}\n\n",
        f"o\n1\n{ROOT64}\n\nx\n",
        f"o\n1\n{ROOT64[:-1]}\n",
        f"o\n1\n{ROOT64}=\n",
        f"o\n1\n{ROOT.hex()}\n",
        f"o\n0\n{ROOT64}\n",
    ],
)
def test_a_text_that_is_not_a_checkpoint_to_the_letter_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("o", -1, ROOT, ()),
        ("o", MAX_SIZE + 1, ROOT, ()),
        ("o", 1, ROOT[1:], ()),
        ("o", 0, ROOT, ()),
        ("o", 1, ROOT, ("",)),
        ("o", 1, ROOT, ("x\ny",)),
    ],
)
def test_a_checkpoint_that_would_not_be_read_back_cannot_be_made(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(NoteError):
        Checkpoint(origin, size, root, extensions)
