"""Heads of one log: which proofs link those that were seen to the one that is held, and what it means when one fails.

Whoever holds one head of a log can be shown nothing but that log from then on: every other head must be proven to be a
prefix of it, or it a prefix of the other (RFC 6962, section 2.1.2). Fetching the proofs is left to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from panji.core.merkle import verify_consistency
from panji.errors import ForkKind, LogForkError, ProofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from panji.core.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Head:
    """A head of the log whose signature has been verified, and the note that carried it."""

    checkpoint: Checkpoint
    note: str
    """The signed note, verbatim: the evidence, should it turn out to be of another log."""

    @property
    def size(self) -> int:
        """Leaves of its tree."""
        return self.checkpoint.size


@dataclass(frozen=True, slots=True)
class Link:
    """What is to be proven before heads that were seen may be believed."""

    held: Head | None
    """The newest head so far; None before the first, which is taken on trust."""
    tip: Head
    """The newest head once all is proven: the one that is held, or a larger one that was seen."""
    older: tuple[Head, ...]
    """Heads to be proven prefixes of the tip, the one that is held first."""

    def verify(self, older: Sequence[Head], proofs: Sequence[Sequence[bytes]]) -> None:
        """Check the proofs of some of :attr:`older`, in their order.

        Raises:
            LogForkError: FORK: one is missing or does not prove it.
        """
        if len(proofs) != len(older):
            proofs = [()] * len(older)  # which proves none of them
        for head, proof in zip(older, proofs, strict=True):
            try:
                verify_consistency(head.size, self.tip.size, proof, head.checkpoint.root, self.tip.checkpoint.root)
            except ProofError as error:
                kept, seen = (head, self.tip) if head is self.held else (self.tip, head)
                raise LogForkError(ForkKind.FORK, kept.note, seen.note) from error


def link(held: Head | None, known: Mapping[int, Head], seen: Iterable[Head]) -> Link | None:
    """Say what links the heads of an answer to those before.

    Args:
        held: The newest head so far.
        known: Heads that are proven to be prefixes of it, by size; as many as the caller remembers.
        seen: What came, in any order.

    Returns:
        What is to be proven; None where nothing new was seen.

    Raises:
        LogForkError: SPLIT: the log has signed two roots for one size.
    """
    # 1. One size, one root: what is held counts as kept, what came as seen. No proof could explain two.
    fresh: dict[int, Head] = {}
    for head in seen:
        other = held if held is not None and held.size == head.size else known.get(head.size)
        if other is None:
            other = fresh.setdefault(head.size, head)
        if other.checkpoint.root != head.checkpoint.root:
            raise LogForkError(ForkKind.SPLIT, other.note, head.note)
    if not fresh:
        return None
    # 2. The largest is the tip, and all others are to be its prefixes. Those that are known already are prefixes of the
    #    one that is held: proving that one proves them. The empty tree is a prefix of every log.
    newest = fresh[max(fresh)]
    tip = newest if held is None or held.size < newest.size else held
    older = [] if held is None else [held]
    older += [fresh[size] for size in sorted(fresh)]
    return Link(held, tip, tuple(head for head in older if head is not tip and head.size))


def require_size(held: Head, admitted: Head | None) -> None:
    """Check that a log which denies to be as large as a head of its own is as large after all.

    Args:
        held: The head.
        admitted: The newest head that the log shows; None where it says that it is empty.

    Raises:
        LogForkError: ROLLBACK: it is smaller. A log never shrinks.
    """
    if admitted is None or admitted.size < held.size:
        raise LogForkError(ForkKind.ROLLBACK, held.note, "" if admitted is None else admitted.note)
