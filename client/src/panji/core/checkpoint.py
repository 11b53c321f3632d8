"""Checkpoints: the signed head of a log, its size and root (C2SP tlog-checkpoint)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from panji.core import merkle, note
from panji.errors import NoteError

if TYPE_CHECKING:
    from panji.core.note import NoteSigner, NoteVerifier

MAX_SIZE = 2**63 - 1
"""Leaves of a log, so that a size fits every language's and database's signed 64 bits."""

_MIN_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log claims to be at one size.

    Raises:
        NoteError: A line would be empty or broken, the size out of range, or the root no root of that size.
    """

    origin: str
    """The log's identity; ours is the name of its key."""
    size: int
    """Leaves, 0 to :data:`MAX_SIZE`."""
    root: bytes
    """Root hash of the tree of that size, 32 bytes."""
    extensions: tuple[str, ...] = ()
    """Further lines, opaque. We write none: monitors cannot audit them."""

    def __post_init__(self) -> None:
        if not all(line and "\n" not in line for line in (self.origin, *self.extensions)):
            raise NoteError("a checkpoint's lines are not empty")
        if not 0 <= self.size <= MAX_SIZE:
            raise NoteError(f"a log has 0 to {MAX_SIZE} leaves")
        if len(self.root) != merkle.HASH_SIZE or (self.size == 0 and self.root != merkle.EMPTY_ROOT):
            raise NoteError("the root hash is not that of a tree of this size")

    @property
    def root_text(self) -> str:
        """The root hash as a checkpoint has it, which is how people and records are shown it too: base64."""
        return base64.b64encode(self.root).decode("ascii")

    @property
    def text(self) -> str:
        """The text that is signed, with its last newline."""
        return "\n".join((self.origin, str(self.size), self.root_text, *self.extensions, ""))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note as a checkpoint. It proves nothing: :func:`open_checkpoint` does.

        Raises:
            NoteError: Not a checkpoint, to the letter: sizes in decimal without leading zeros, canonical base64.
        """
        lines = text.split("\n")
        if lines.pop() or len(lines) < _MIN_LINES:
            raise NoteError("a checkpoint is at least an origin, a size and a root hash, each ended by a newline")
        origin, size, root, *extensions = lines
        if not (size.isascii() and size.isdigit()) or len(size) > len(str(MAX_SIZE)) or str(int(size)) != size:
            raise NoteError("a checkpoint's size is a decimal number without leading zeros")
        return cls(origin, int(size), note.decode_base64(root), tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """Give the signed note of a checkpoint.

    The caller answers for it that no other checkpoint was ever signed for this size, or one that this does not extend.

    Raises:
        NoteError: A line holds a control character.
    """
    return signer.sign(checkpoint.text)


def open_checkpoint(signed: str, log: NoteVerifier, origin: str | None = None) -> Checkpoint:
    """Verify a log's checkpoint.

    Args:
        signed: The signed note.
        log: The log's key.
        origin: The log's origin line; the name of its key unless given.

    Raises:
        NoteError: The log did not sign it, or it is no checkpoint of this log.
    """
    # 1. The log's own key signed: a head made up by anyone else, a witness included, is no head.
    text = note.open_note(signed, (log,)).text
    # 2. It is a checkpoint, to the letter: two readers must not see two sizes in one signed text.
    checkpoint = Checkpoint.parse(text)
    # 3. It is this log's: one key may sign for several logs, and the head of one says nothing about another.
    if checkpoint.origin != (log.name if origin is None else origin):
        raise NoteError("the checkpoint is of another log: its origin line is not the one expected")
    return checkpoint
