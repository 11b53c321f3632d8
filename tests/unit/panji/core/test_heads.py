"""Heads of one log: what is to be proven of those that were seen, and what each failure is called."""

from __future__ import annotations

from typing import Any

import pytest
from support.lying_exchange import Log
from support.statements import NOON, PLATFORM

from panji.core import heads
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.heads import Head, Link
from panji.core.merkle import EMPTY_ROOT
from panji.errors import ForkKind, LogForkError


def a_log(count: int, name: bytes = b"honest", signer: Any = None) -> Log:
    log = Log(signer)
    for number in range(count):
        digest = (name + b"%d" % number).ljust(32, b".")
        log.append(digest, "flag", PLATFORM, number + 1, NOON)
    return log


LOG = a_log(20)
OTHER = a_log(20, b"another past", LOG.signer)
"""By the same key."""


def head(size: int, log: Log = LOG) -> Head:
    return Head(log.heads[size], log.checkpoint(size))


def known(*sizes: int) -> dict[int, Head]:
    return {size: head(size) for size in sizes}


def proofs(link: Link, log: Log = LOG) -> list[tuple[bytes, ...]]:
    return [log.consistency_proof(one.size, link.tip.size) for one in link.older]


def linked(held: Head | None, *seen: Head, sizes: tuple[int, ...] = ()) -> Link:
    link = heads.link(held, known(*sizes), seen)
    assert link is not None
    return link


# What is to be proven.


def test_the_first_head_is_taken_on_trust_and_those_below_it_are_proven() -> None:
    assert linked(None, head(9)) == Link(None, head(9), ())
    assert linked(None, head(3), head(9), head(5)) == Link(None, head(9), (head(3), head(5)))


def test_a_newer_head_is_proven_to_extend_the_one_that_is_held_and_the_rest_to_be_prefixes_of_it() -> None:
    link = linked(head(5), head(9), head(7), head(3))
    assert link == Link(head(5), head(9), (head(5), head(3), head(7)))
    link.verify(link.older, proofs(link))


def test_older_heads_are_proven_prefixes_of_the_one_that_is_held() -> None:
    link = linked(head(9), head(3), head(4))
    assert link == Link(head(9), head(9), (head(3), head(4)))
    link.verify(link.older, proofs(link))


def test_what_is_known_needs_no_proof() -> None:
    assert heads.link(head(9), known(3, 4), [head(3), head(9), head(4), head(4)]) is None
    assert heads.link(None, {}, []) is None
    assert linked(head(9), head(3), head(4), head(4), sizes=(3,)).older == (head(4),)


def test_the_empty_tree_is_a_prefix_of_every_log_and_needs_no_proof() -> None:
    empty = Checkpoint(LOG.signer.verifier.name, 0, EMPTY_ROOT)
    nothing = Head(empty, sign_checkpoint(empty, LOG.signer))
    assert linked(nothing, head(4)) == Link(nothing, head(4), ())
    assert linked(head(4), nothing) == Link(head(4), head(4), ())


# What it means when it fails.


def test_a_fork_is_a_newer_head_that_does_not_extend_the_one_that_is_held() -> None:
    link = linked(head(5), head(9, OTHER))
    with pytest.raises(LogForkError, match="of size 9 extends that of 5") as caught:
        link.verify(link.older, proofs(link, OTHER))
    found = caught.value
    assert (found.kind, found.kept, found.seen) == (ForkKind.FORK, head(5).note, head(9, OTHER).note)


def test_a_fork_is_an_older_head_that_is_no_prefix_of_the_one_that_is_held() -> None:
    link = linked(head(9), head(5, OTHER))
    with pytest.raises(LogForkError, match="of size 9 extends that of 5") as caught:
        link.verify(link.older, proofs(link))
    found = caught.value
    assert (found.kind, found.kept, found.seen) == (ForkKind.FORK, head(9).note, head(5, OTHER).note)


def test_a_fork_among_what_was_seen_is_told_apart_from_what_was_held() -> None:
    link = linked(head(3), head(9), head(5, OTHER))
    with pytest.raises(LogForkError) as caught:
        link.verify(link.older, proofs(link))
    assert (caught.value.kept, caught.value.seen) == (head(9).note, head(5, OTHER).note)


def _reordered(told: list[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    return [told[0][::-1], *told[1:]]


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda told: told[:-1], id="one left out"),
        pytest.param(lambda told: [*told, ()], id="one too many"),
        pytest.param(lambda _: [], id="none"),
        pytest.param(lambda told: told[::-1], id="in another order"),
        pytest.param(_reordered, id="hashes in another order"),
        pytest.param(lambda told: [told[0][:-1], *told[1:]], id="truncated"),
        pytest.param(lambda told: [(*told[0], bytes(32)), *told[1:]], id="extended"),
        pytest.param(lambda told: [(bytes(31), *told[0][1:]), *told[1:]], id="a hash of the wrong length"),
        pytest.param(lambda told: [(), *told[1:]], id="empty"),
    ],
)
def test_proofs_that_do_not_prove_are_a_fork(lie: Any) -> None:
    link = linked(head(5), head(9), head(7))
    with pytest.raises(LogForkError) as caught:
        link.verify(link.older, lie(proofs(link)))
    assert caught.value.kind is ForkKind.FORK


@pytest.mark.parametrize(
    ("held", "sizes"), [(head(7), ()), (head(9), (7,)), (None, ())], ids=["held", "known", "seen beside it"]
)
def test_two_roots_for_one_size_are_a_split_that_no_proof_explains(held: Head | None, sizes: tuple[int, ...]) -> None:
    seen = [head(7, OTHER)] if held else [head(7), head(7, OTHER)]
    with pytest.raises(LogForkError, match="two roots for size 7") as caught:
        heads.link(held, known(*sizes), seen)
    found = caught.value
    assert (found.kind, found.kept, found.seen) == (ForkKind.SPLIT, head(7).note, head(7, OTHER).note)


def test_a_log_that_denies_a_head_of_its_own_was_rolled_back() -> None:
    with pytest.raises(LogForkError, match="has 5 entries, and has signed a head of 9") as caught:
        heads.require_size(head(9), head(5))
    found = caught.value
    assert (found.kind, found.kept, found.seen) == (ForkKind.ROLLBACK, head(9).note, head(5).note)
    with pytest.raises(LogForkError, match="has 0 entries") as caught:
        heads.require_size(head(9), None)
    assert caught.value.seen == ""


def test_a_log_that_is_as_large_as_it_should_be_was_not_rolled_back() -> None:
    heads.require_size(head(9), head(9))
    heads.require_size(head(9), head(11))
