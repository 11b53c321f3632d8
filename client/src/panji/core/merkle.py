"""The Merkle tree of RFC 6962, section 2.1: growing it, proving with it, verifying proofs.

A tree is stored as its *complete* subtrees only: the node ``(level, index)`` covers the leaves from
``index << level`` up to ``(index + 1) << level`` and never changes once written. The rest of the tree, its right edge,
is computed from them. Sizes and indices count leaves; a hash is the raw 32 bytes of SHA-256.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from panji.errors import InputError, ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HASH_SIZE = 32
"""Bytes of a hash."""
EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves."""

Position: TypeAlias = tuple[int, int]
"""``(level, index)`` of a complete subtree; leaves are level 0."""
Node: TypeAlias = tuple[int, int, bytes]
"""``(level, index, hash)`` of a complete subtree. A bare tuple: a commit makes two of them a leaf."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry of the log. The prefix keeps an inner node from being passed off as an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that must be remembered of a tree in order to append to it: one hash per bit of its size.

    Raises:
        InputError: The hashes do not fit the size.
    """

    size: int
    """Leaves so far."""
    hashes: tuple[bytes, ...] = ()
    """Roots of the complete subtrees that make up the tree, left to right, so the largest first."""

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise InputError(f"a tree of {self.size} leaves has one frontier hash per bit, not {len(self.hashes)}")
        if not all(len(value) == HASH_SIZE for value in self.hashes):
            raise InputError(f"a frontier hash has {HASH_SIZE} bytes")

    def root(self) -> bytes:
        """Give the root of the tree. Costs one hash per bit of the size."""
        return _join(self.hashes) if self.hashes else EMPTY_ROOT

    def extend(self, leaf_hashes: Sequence[bytes]) -> Extension:
        """Append leaves, given by their hashes. Costs two hashes a leaf, whatever the size of the tree.

        Raises:
            InputError: A leaf hash has not 32 bytes.
        """
        # Level by level: a row is what the new leaves complete at that level, preceded by the old frontier's subtree
        # if it still waits there for its right sibling. So a row starts at an even index, and parents are its pairs.
        edges = list(self.hashes)
        rows: list[list[bytes]] = []
        nodes: list[Node] = []
        fresh = list(leaf_hashes)
        if not all(len(value) == HASH_SIZE for value in fresh):
            raise InputError(f"a leaf hash has {HASH_SIZE} bytes")
        size = self.size + len(fresh)
        for level in range(size.bit_length()):
            first = self.size >> level
            row = [edges.pop(), *fresh] if first & 1 else fresh
            rows.append(row)
            if fresh:
                nodes += [(level, first + offset, value) for offset, value in enumerate(fresh)]
                fresh = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        # A row of odd length ends in a subtree without a sibling: these are the new frontier.
        hashes = tuple([row[-1] for row in reversed(rows) if len(row) & 1])
        return Extension(self.size, Frontier(size, hashes), tuple(nodes), tuple(rows))


@dataclass(frozen=True, slots=True)
class Extension:
    """What appending leaves made: the new frontier, the nodes to store, and proofs for the new leaves."""

    base: int
    """Leaves before."""
    frontier: Frontier
    """The frontier after."""
    nodes: tuple[Node, ...]
    """Every subtree that became complete, leaves included: what must be stored, with the frontier, in one commit."""
    _rows: tuple[list[bytes], ...] = field(repr=False, compare=False)
    _suffixes: list[bytes | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # By level, the root of what lies right of the last complete subtree there; the last one is the tree's root.
        suffix: bytes | None = None
        suffixes = [suffix]
        for row in self._rows:
            if len(row) & 1:
                suffix = row[-1] if suffix is None else node_hash(row[-1], suffix)
            suffixes.append(suffix)
        object.__setattr__(self, "_suffixes", suffixes)

    def root(self) -> bytes:
        """Give the new tree's root, without the hashing that :meth:`Frontier.root` does."""
        return self._suffixes[-1] or EMPTY_ROOT

    def inclusion_proofs(self) -> list[tuple[bytes, ...]]:
        """Prove the new leaves in the new tree, in order, without a look into storage (RFC 6962, section 2.1.1).

        The old frontier suffices. A sibling left of a path either ends within the old tree, and since its parent covers
        a new leaf it is the largest complete subtree there, hence on the frontier; or it was just completed. A sibling
        to the right holds new leaves only. From the root downwards, each path is its parent's and one sibling more.
        """
        if self.frontier.size == self.base:
            return []
        above: list[tuple[bytes, ...]] = [()]
        for level in range(len(self._rows) - 1, -1, -1):
            row, suffix = self._rows[level], self._suffixes[level]
            first, start = self.base >> level, self.base >> level & ~1
            siblings = row if suffix is None else [*row, suffix]
            last, upper = self.frontier.size - 1 >> level, first >> 1
            paths = []
            for index in range(first, last + 1):
                offset, path = (index ^ 1) - start, above[(index >> 1) - upper]
                paths.append((siblings[offset], *path) if offset < len(siblings) else path)
            above = paths
        return above


def frontier_nodes(size: int) -> list[Position]:
    """Say which stored nodes make up the frontier of a tree, in the order of :attr:`Frontier.hashes`."""
    return _cover(0, size)


def inclusion_nodes(index: int, size: int) -> list[Position]:
    """Say which stored nodes :func:`inclusion_proof` needs.

    Raises:
        InputError: The tree has no such leaf.
    """
    return [position for start, end in _inclusion_ranges(index, size) for position in _cover(start, end)]


def inclusion_proof(
    index: int, size: int, get: Callable[[Sequence[Position]], Mapping[Position, bytes]]
) -> tuple[bytes, ...]:
    """Prove that leaf ``index`` is in the tree of ``size`` leaves (RFC 6962, section 2.1.1).

    Args:
        index: From 0.
        size: Of the tree that is proved in; the stored tree may have grown since.
        get: Fetches stored nodes, all in one call. A node that it leaves out is a ``KeyError``: storage is damaged.

    Raises:
        InputError: The tree has no such leaf.
    """
    return _hash_ranges([_inclusion_ranges(index, size)], get)[0]


def consistency_proof(
    size1: int, size2: int, get: Callable[[Sequence[Position]], Mapping[Position, bytes]]
) -> tuple[bytes, ...]:
    """Prove that the tree of ``size1`` leaves is a prefix of that of ``size2`` (RFC 6962, section 2.1.2).

    The proof is empty from size 0, which is a prefix of every tree, and between equal sizes.

    Args:
        size1: The smaller size.
        size2: The larger size; the stored tree may have grown since.
        get: As for :func:`inclusion_proof`.

    Raises:
        InputError: Not ``0 <= size1 <= size2``.
    """
    return consistency_proofs([size1], size2, get)[0]


def consistency_proofs(
    sizes1: Sequence[int], size2: int, get: Callable[[Sequence[Position]], Mapping[Position, bytes]]
) -> list[tuple[bytes, ...]]:
    """Prove of several trees that they are prefixes of one, as :func:`consistency_proof`, with one look into storage.

    Args:
        sizes1: The smaller sizes, in any order.
        size2: The larger size.
        get: As for :func:`inclusion_proof`.

    Raises:
        InputError: Not all are ``0 <= size1 <= size2``.
    """
    return _hash_ranges([_consistency_ranges(size1, size2) for size1 in sizes1], get)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the tree with this root holds a leaf at this index (RFC 6962, section 2.1.1; RFC 9162, 2.1.3.2).

    Args:
        leaf: Leaf hash, as :func:`leaf_hash` gives it.
        index: From 0.
        size: Of the tree.
        proof: Siblings from the leaf upwards.
        root: Of the tree, from a verified checkpoint.

    Raises:
        ProofError: The proof does not lead from the leaf to the root.
    """
    verify_inclusions([leaf], index, size, [proof], root)


def verify_inclusions(
    leaves: Sequence[bytes], first: int, size: int, proofs: Sequence[Sequence[bytes]], root: bytes
) -> None:
    """Check neighbouring leaves as :func:`verify_inclusion` does each. What their proofs share is hashed only once.

    Args:
        leaves: Leaf hashes, of the indices from ``first`` on.
        first: From 0.
        size: Of the tree.
        proofs: One for each leaf.
        root: Of the tree, from a verified checkpoint.

    Raises:
        ProofError: One of the proofs does not lead from its leaf to the root.
    """
    _require_hashes(root)
    nodes: list[bytes] = []
    before: Sequence[bytes] = ()
    inner_before = -1
    for index, (leaf, proof) in enumerate(zip(leaves, proofs, strict=True), first):
        # 1. The index lies in the tree: otherwise one leaf could be shown at several indices.
        if not 0 <= index < size:
            raise ProofError(f"a tree of {size} leaves has no leaf {index}")
        # 2. The proof's length follows from index and size: nothing is left over to hide a subtree in. Up to where the
        #    path meets the right edge of the tree every level has a sibling; above, only left ones.
        inner = (index ^ (size - 1)).bit_length()
        if len(proof) != inner + (index >> inner).bit_count():
            raise ProofError(f"{len(proof)} hashes are not the length of a proof of leaf {index} in {size}")
        # 3. From where this path has joined the one before, it is that one, if its siblings are the same from there on;
        #    that one has led to the root.
        joined = (index ^ (index - 1)).bit_length()
        if inner != inner_before or proof[joined:] != before[joined:]:
            joined = len(proof)
        end = nodes[joined] if joined < len(proof) else root
        # 4. All are hashes: a "leaf" of 64 bytes could be an inner node's two children, passed off as an entry.
        _require_hashes(leaf, *proof[:joined])
        # 5. Hashing up gives the root: a forged entry or sibling ends elsewhere.
        current, path = leaf, [leaf]
        for level, sibling in enumerate(proof[:joined]):
            if level >= inner or index >> level & 1:
                current = sha256(b"\x01" + sibling + current).digest()
            else:
                current = sha256(b"\x01" + current + sibling).digest()
            path.append(current)
        if not hmac.compare_digest(current, end):
            raise ProofError(f"the inclusion proof of leaf {index} does not lead to the root of {size}")
        nodes[: len(path)] = path
        before, inner_before = proof, inner


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Check that the second tree only appends to the first (RFC 6962, section 2.1.2; RFC 9162, 2.1.4.2).

    Every tree appends to the empty one, so from size 0 the proof is empty and says nothing about ``root2``.

    Raises:
        ProofError: It does not: the log rewrote what it had said.
    """
    # 1. A log never shrinks: a smaller second tree is a rollback.
    if not 0 <= size1 <= size2:
        raise ProofError(f"a log does not go from {size1} leaves to {size2}")
    # 2. Only SHA-256("") is the root of nothing: otherwise two logs would agree on any root "of size 0".
    if size1 == 0 and root1 != EMPTY_ROOT:
        raise ProofError("the root of the empty tree is SHA-256 of nothing")
    # 3. Two roots for one size are a split view, which no proof explains.
    if size1 == size2:
        if proof or not hmac.compare_digest(root1, root2):
            raise ProofError(f"two different roots, or a needless proof, for the same size {size1}")
        return
    # 4. All are hashes, as in the inclusion proof.
    _require_hashes(root1, root2, *proof)
    if size1 == 0:
        if proof:
            raise ProofError("there is nothing to prove from the empty tree")
        return
    _verify_growth(size1, size2, proof, root1, root2)


def _verify_growth(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Check the proof between two sizes, ``0 < size1 < size2``, by the algorithm of RFC 9162, section 2.1.4.2."""
    # 5. Start from the largest complete subtree at the first tree's right edge. If that is the whole first tree, its
    #    root is known, and the proof must not give another.
    complete = (size1 & -size1).bit_length() - 1
    path = [root1, *proof] if size1.bit_count() == 1 else list(proof)
    node, last = (size1 - 1) >> complete, (size2 - 1) >> complete
    if not path:
        raise ProofError(f"the consistency proof from {size1} to {size2} is empty")
    # 6. The same hashes must lead to both roots: left siblings belong to both trees, right ones to the second only.
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError(f"the consistency proof from {size1} to {size2} is too long")
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError(f"the consistency proof from {size1} to {size2} is too short")
    if not (hmac.compare_digest(first, root1) and hmac.compare_digest(second, root2)):
        raise ProofError(f"the consistency proof does not lead to the roots of {size1} and {size2}")


def _require_hashes(*values: bytes) -> None:
    if not all(len(value) == HASH_SIZE for value in values):
        raise ProofError(f"a hash has {HASH_SIZE} bytes")


def _join(hashes: Sequence[bytes]) -> bytes:
    """Join neighbouring subtrees, largest first, into the root of all of them."""
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))


def _cover(start: int, end: int) -> list[Position]:
    """Cut the leaves from ``start`` to ``end`` into complete subtrees; ``start`` is aligned to the largest of them."""
    cover = []
    while start < end:
        level = (end - start).bit_length() - 1
        cover.append((level, start >> level))
        start += 1 << level
    return cover


def _split(start: int, end: int) -> int:
    """Where RFC 6962 splits a tree: after the largest power of two that is smaller than its size."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """``PATH`` of RFC 6962: the leaves under each sibling, from the leaf upwards."""
    if not 0 <= index < size:
        raise InputError(f"a tree of {size} leaves has no leaf {index}")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def _consistency_ranges(size1: int, size2: int) -> list[tuple[int, int]]:
    """``SUBPROOF`` of RFC 6962: the leaves under each hash of the proof, in its order."""
    if not 0 <= size1 <= size2:
        raise InputError(f"a log does not go from {size1} leaves to {size2}")
    if size1 == 0:
        return []
    ranges = []
    start, end = 0, size2
    while end != size1:
        middle = _split(start, end)
        if size1 <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the subtree that is left is not the whole first tree, so the verifier does not know its root
        ranges.append((start, end))
    return ranges[::-1]


def _hash_ranges(
    proofs: Sequence[Sequence[tuple[int, int]]], get: Callable[[Sequence[Position]], Mapping[Position, bytes]]
) -> list[tuple[bytes, ...]]:
    """Give for each proof the root of each of its ranges of leaves. Proofs in one tree share most of them."""
    covers = {(start, end): _cover(start, end) for ranges in proofs for start, end in ranges}
    stored = get(list({position for cover in covers.values() for position in cover}))
    roots = {wanted: _join([stored[position] for position in cover]) for wanted, cover in covers.items()}
    return [tuple(roots[wanted] for wanted in ranges) for ranges in proofs]
