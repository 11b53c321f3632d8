"""The Merkle tree against the definition in RFC 6962, and its proofs against forgers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core import merkle
from panji.core.merkle import EMPTY_ROOT, Extension, Frontier, leaf_hash, node_hash
from panji.errors import InputError, ProofError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST = 70
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(LARGEST)]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962, section 2.1, writes it."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


ROOTS = [naive_root(LEAVES[:size]) for size in range(LARGEST + 1)]


class Store:
    """Complete subtrees in memory, and how often they were asked for."""

    def __init__(self, size: int = LARGEST) -> None:
        self.nodes = {(level, index): value for level, index, value in tree(size).nodes}
        self.calls = 0

    def get(self, positions: Sequence[merkle.Position]) -> Mapping[merkle.Position, bytes]:
        self.calls += 1
        return {position: self.nodes[position] for position in positions}


def tree(size: int) -> Extension:
    return Frontier(0).extend(LEAVES[:size])


STORE = Store()


def two_sizes() -> st.SearchStrategy[tuple[int, int]]:
    sizes = st.integers(0, LARGEST)
    return st.tuples(sizes, sizes).map(lambda pair: (min(pair), max(pair)))


def leaf_in_tree() -> st.SearchStrategy[tuple[int, int]]:
    return st.integers(1, LARGEST).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))


def test_hashes_of_leaves_and_nodes_are_prefixed_apart() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()
    assert node_hash(b"x", b"y") == hashlib.sha256(b"\x01xy").digest()


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_the_root_is_that_of_the_definition(size: int) -> None:
    extension = tree(size)
    assert extension.root() == extension.frontier.root() == ROOTS[size]


@given(two_sizes())
def test_appending_in_two_steps_makes_the_same_tree_as_in_one(sizes: tuple[int, int]) -> None:
    first, second = sizes
    before, at_once = tree(first), tree(second)
    after = before.frontier.extend(LEAVES[first:second])
    assert after.base == first
    assert after.frontier == at_once.frontier
    assert after.root() == ROOTS[second]
    assert sorted(before.nodes + after.nodes) == sorted(at_once.nodes)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_every_new_leaf_is_proved_from_the_old_frontier_alone(batches: list[int]) -> None:
    frontier = Frontier(0)
    for batch in batches:
        start = frontier.size
        leaves = [leaf_hash(b"%d" % number) for number in range(start, start + batch)]
        extension = frontier.extend(leaves)
        frontier, proofs = extension.frontier, extension.inclusion_proofs()
        for index, (leaf, proof) in enumerate(zip(leaves, proofs, strict=True), start):
            merkle.verify_inclusion(leaf, index, frontier.size, proof, frontier.root())
        merkle.verify_inclusions(leaves, start, frontier.size, proofs, frontier.root())


def test_appending_to_a_large_tree_touches_only_its_frontier() -> None:
    size = 2**40 - 1
    frontier = Frontier(size, tuple(hashlib.sha256(b"%d" % level).digest() for level in range(40)))
    extension = frontier.extend([LEAVES[0]])
    assert len(extension.nodes) == 41
    assert extension.frontier == Frontier(2**40, (extension.root(),))
    (proof,) = extension.inclusion_proofs()
    merkle.verify_inclusion(LEAVES[0], size, 2**40, proof, extension.root())
    assert proof == frontier.hashes[::-1]  # the old frontier is the whole proof of the new last leaf


def test_appending_nothing_changes_nothing() -> None:
    for size in (0, 1, 6):
        frontier = tree(size).frontier
        extension = frontier.extend([])
        assert (extension.frontier, extension.nodes, extension.root()) == (frontier, (), ROOTS[size])
        assert extension.inclusion_proofs() == []
    assert Frontier(0).root() == EMPTY_ROOT == ROOTS[0]


@pytest.mark.parametrize("base", range(9))
@pytest.mark.parametrize("count", range(1, 9))
def test_no_byte_of_proofs_that_are_verified_together_can_be_another(base: int, count: int) -> None:
    leaves, size = LEAVES[base : base + count], base + count
    proofs = tree(base).frontier.extend(leaves).inclusion_proofs()
    merkle.verify_inclusions(leaves, base, size, proofs, ROOTS[size])
    for at, proof in enumerate(proofs):
        for level, value in enumerate(proof):
            wrong = [*proofs]
            wrong[at] = (*proof[:level], _flipped((value,), 0)[0], *proof[level + 1 :])
            with pytest.raises(ProofError, match=f"leaf {base + at} does not lead"):
                merkle.verify_inclusions(leaves, base, size, wrong, ROOTS[size])
        wrong_leaves = [*leaves[:at], leaf_hash(b"another"), *leaves[at + 1 :]]
        with pytest.raises(ProofError, match=f"leaf {base + at} does not lead"):
            merkle.verify_inclusions(wrong_leaves, base, size, proofs, ROOTS[size])
        for other in ((*proof, ROOTS[1]), *(proof[:end] for end in range(len(proof)))):
            with pytest.raises(ProofError, match="not the length of a proof"):
                merkle.verify_inclusions(leaves, base, size, [*proofs[:at], other, *proofs[at + 1 :]], ROOTS[size])


def test_leaves_and_proofs_that_are_verified_together_are_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        merkle.verify_inclusions(LEAVES[:2], 0, 2, [[LEAVES[1]]], ROOTS[2])


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(-1, ()), (0, (EMPTY_ROOT,)), (1, ()), (3, (EMPTY_ROOT,)), (4, (EMPTY_ROOT, EMPTY_ROOT)), (1, (b"short",))],
)
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(InputError, match="frontier hash"):
        Frontier(size, hashes)


def test_a_leaf_hash_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="32 bytes"):
        Frontier(0).extend([b"not a hash"])


@given(st.integers(0, LARGEST))
def test_a_frontier_is_found_again_in_storage(size: int) -> None:
    positions = merkle.frontier_nodes(size)
    assert Frontier(size, tuple(STORE.nodes[position] for position in positions)) == tree(size).frontier


@given(leaf_in_tree())
def test_a_stored_leaf_is_proved_in_every_tree_that_holds_it(leaf: tuple[int, int]) -> None:
    index, size = leaf
    store = Store()
    proof = merkle.inclusion_proof(index, size, store.get)
    assert store.calls == 1
    assert proof == tree(size).inclusion_proofs()[index]
    merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


@given(leaf_in_tree())
def test_the_nodes_named_beforehand_suffice_for_a_proof(leaf: tuple[int, int]) -> None:
    index, size = leaf
    named = {position: STORE.nodes[position] for position in merkle.inclusion_nodes(index, size)}
    assert merkle.inclusion_proof(index, size, lambda _: named) == tree(size).inclusion_proofs()[index]


@given(two_sizes())
def test_every_tree_is_proved_to_extend_every_smaller_one(sizes: tuple[int, int]) -> None:
    first, second = sizes
    store = Store()
    proof = merkle.consistency_proof(first, second, store.get)
    assert store.calls == 1
    merkle.verify_consistency(first, second, proof, ROOTS[first], ROOTS[second])


def test_damaged_storage_is_noticed_not_proved_over() -> None:
    with pytest.raises(KeyError):
        merkle.inclusion_proof(0, 8, lambda _: {})


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(InputError, match="no leaf"):
        merkle.inclusion_proof(index, size, STORE.get)
    with pytest.raises(ProofError, match="no leaf"):
        merkle.verify_inclusion(LEAVES[0], index, size, [], ROOTS[1])


@pytest.mark.parametrize(("size1", "size2"), [(-1, 3), (4, 3)])
def test_a_log_that_shrinks_is_refused(size1: int, size2: int) -> None:
    with pytest.raises(InputError, match="does not go"):
        merkle.consistency_proof(size1, size2, STORE.get)
    with pytest.raises(ProofError, match="does not go"):
        merkle.verify_consistency(size1, size2, [], ROOTS[3], ROOTS[3])


@given(leaf_in_tree(), st.data())
def test_every_changed_byte_of_an_inclusion_proof_is_refused(leaf: tuple[int, int], data: st.DataObject) -> None:
    index, size = leaf
    parts = [LEAVES[index], ROOTS[size], *tree(size).inclusion_proofs()[index]]
    chosen = data.draw(st.integers(0, len(parts) - 1))
    position, change = data.draw(st.integers(0, 31)), data.draw(st.integers(1, 255))
    changed = bytearray(parts[chosen])
    changed[position] ^= change
    parts[chosen] = bytes(changed)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(parts[0], index, size, parts[2:], parts[1])


@given(leaf_in_tree(), st.integers(-2, LARGEST + 2))
def test_a_proof_holds_for_one_index_only(leaf: tuple[int, int], other: int) -> None:
    index, size = leaf
    proof = tree(size).inclusion_proofs()[index]
    if other != index:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])


@given(leaf_in_tree())
def test_an_inclusion_proof_too_long_or_too_short_is_refused(leaf: tuple[int, int]) -> None:
    index, size = leaf
    proof = tree(size).inclusion_proofs()[index]
    for wrong in ((*proof, EMPTY_ROOT), (EMPTY_ROOT, *proof), proof[1:], proof[:-1]):
        if wrong != proof:
            with pytest.raises(ProofError, match="length"):
                merkle.verify_inclusion(LEAVES[index], index, size, wrong, ROOTS[size])


def test_an_inner_node_cannot_be_passed_off_as_an_entry() -> None:
    children = LEAVES[0] + LEAVES[1]
    with pytest.raises(ProofError):
        merkle.verify_inclusion(leaf_hash(children), 0, 1, [], ROOTS[2])
    with pytest.raises(ProofError, match="32 bytes"):
        merkle.verify_inclusion(children, 0, 1, [], children)


@given(two_sizes().filter(lambda sizes: 0 < sizes[0] < sizes[1]), st.data())
def test_every_changed_byte_of_a_consistency_proof_is_refused(sizes: tuple[int, int], data: st.DataObject) -> None:
    first, second = sizes
    parts = [ROOTS[first], ROOTS[second], *merkle.consistency_proof(first, second, STORE.get)]
    chosen = data.draw(st.integers(0, len(parts) - 1))
    position, change = data.draw(st.integers(0, 31)), data.draw(st.integers(1, 255))
    changed = bytearray(parts[chosen])
    changed[position] ^= change
    parts[chosen] = bytes(changed)
    with pytest.raises(ProofError, match="roots"):
        merkle.verify_consistency(first, second, parts[2:], parts[0], parts[1])


@given(two_sizes().filter(lambda sizes: 0 < sizes[0] < sizes[1]))
def test_a_consistency_proof_too_long_or_too_short_is_refused(sizes: tuple[int, int]) -> None:
    first, second = sizes
    proof = merkle.consistency_proof(first, second, STORE.get)
    for wrong in ((*proof, EMPTY_ROOT), (EMPTY_ROOT, *proof), proof[1:], proof[:-1], ()):
        with pytest.raises(ProofError):
            merkle.verify_consistency(first, second, wrong, ROOTS[first], ROOTS[second])


def _orders(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """The proof with any two neighbours swapped, and backwards."""
    swapped = [(*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]) for at in range(len(proof) - 1)]
    return [one for one in (*swapped, proof[::-1]) if one != proof]


def test_reordered_proofs_are_refused() -> None:
    reordered = _orders(tree(13).inclusion_proofs()[5])
    assert len(reordered) >= 3
    for wrong in reordered:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[5], 5, 13, wrong, ROOTS[13])
    reordered = _orders(merkle.consistency_proof(7, 13, STORE.get))
    assert len(reordered) >= 3
    for wrong in reordered:
        with pytest.raises(ProofError):
            merkle.verify_consistency(7, 13, wrong, ROOTS[7], ROOTS[13])


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_leaf_hash_of_the_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ProofError, match="32 bytes"):
        merkle.verify_inclusion(bytes(length), 5, 13, tree(13).inclusion_proofs()[5], ROOTS[13])


def test_the_empty_tree_holds_no_leaf() -> None:
    with pytest.raises(ProofError, match="no leaf 0"):
        merkle.verify_inclusion(LEAVES[0], 0, 0, [], EMPTY_ROOT)


def test_every_flipped_byte_of_a_stored_proof_is_refused() -> None:
    inclusion, consistency = tree(13).inclusion_proofs()[5], merkle.consistency_proof(7, 13, STORE.get)
    for at in range(len(inclusion) * 32):
        with pytest.raises(ProofError):
            merkle.verify_inclusion(LEAVES[5], 5, 13, _flipped(inclusion, at), ROOTS[13])
    for at in range(len(consistency) * 32):
        with pytest.raises(ProofError):
            merkle.verify_consistency(7, 13, _flipped(consistency, at), ROOTS[7], ROOTS[13])


def _flipped(proof: tuple[bytes, ...], at: int) -> list[bytes]:
    data = bytearray(b"".join(proof))
    data[at] ^= 1
    return [bytes(data[start : start + 32]) for start in range(0, len(data), 32)]


def test_several_trees_are_proved_prefixes_of_one_with_one_look_into_storage() -> None:
    store = Store()
    proofs = merkle.consistency_proofs([13, 1, 7, 0, 7], 13, store.get)
    assert store.calls == 1
    assert proofs == [merkle.consistency_proof(size, 13, STORE.get) for size in (13, 1, 7, 0, 7)]
    with pytest.raises(InputError, match="does not go"):
        merkle.consistency_proofs([7, 14], 13, store.get)


def test_a_consistency_proof_holds_between_its_own_sizes_only() -> None:
    """The roots are right both times; what is claimed wrongly is the second size."""
    to_four = merkle.consistency_proof(3, 4, STORE.get)
    to_eight = merkle.consistency_proof(3, 8, STORE.get)
    with pytest.raises(ProofError, match="too short"):
        merkle.verify_consistency(3, 8, to_four, ROOTS[3], ROOTS[4])
    with pytest.raises(ProofError, match="too long"):
        merkle.verify_consistency(3, 4, to_eight, ROOTS[3], ROOTS[8])


def test_a_rewritten_past_is_refused() -> None:
    forged = [*LEAVES[:2], leaf_hash(b"another past"), *LEAVES[3:8]]
    nodes = {(level, index): value for level, index, value in Frontier(0).extend(forged).nodes}
    proof = merkle.consistency_proof(5, 8, lambda _: nodes)
    with pytest.raises(ProofError):
        merkle.verify_consistency(5, 8, proof, ROOTS[5], naive_root(forged))


def test_two_roots_for_one_size_are_a_split_view() -> None:
    with pytest.raises(ProofError, match="same size 4"):
        merkle.verify_consistency(4, 4, [], ROOTS[4], ROOTS[5])
    with pytest.raises(ProofError, match="same size 4"):
        merkle.verify_consistency(4, 4, [EMPTY_ROOT], ROOTS[4], ROOTS[4])
    merkle.verify_consistency(4, 4, [], ROOTS[4], ROOTS[4])


def test_the_empty_tree_has_one_root_and_needs_no_proof() -> None:
    merkle.verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    merkle.verify_consistency(0, 5, [], EMPTY_ROOT, ROOTS[5])
    for size2, proof, root1 in ((0, [], ROOTS[5]), (5, [], ROOTS[5]), (5, [EMPTY_ROOT], EMPTY_ROOT)):
        with pytest.raises(ProofError):
            merkle.verify_consistency(0, size2, proof, root1, ROOTS[5])


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(ProofError, match="32 bytes"):
        merkle.verify_consistency(1, 2, [b"short"], ROOTS[1], ROOTS[2])
    with pytest.raises(ProofError, match="32 bytes"):
        merkle.verify_inclusion(LEAVES[0], 0, 2, [b"short"], ROOTS[2])
