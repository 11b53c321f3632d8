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
