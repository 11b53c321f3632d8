"""RFC 6962 proofs and hashes, from transparency-dev/merkle."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from panji.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from panji.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read_cases(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def proof_of(case: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(value) for value in case["proof"] or []]


def check_inclusion(case: dict[str, Any]) -> None:
    leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"])
    verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof_of(case), root)


def check_consistency(case: dict[str, Any]) -> None:
    root1, root2 = base64.b64decode(case["root1"]), base64.b64decode(case["root2"])
    verify_consistency(case["size1"], case["size2"], proof_of(case), root1, root2)


def judged_wrongly(cases: list[dict[str, Any]], check: Callable[[dict[str, Any]], None]) -> list[str]:
    wrong = []
    for case in cases:
        try:
            check(case)
        except ProofError:
            refused = True
        else:
            refused = False
        if refused != case["wantErr"]:
            wrong.append(case["file"])
    return wrong


def test_every_published_inclusion_proof_is_judged_rightly(vectors: Path) -> None:
    cases = read_cases(vectors / "rfc6962" / "inclusion.jsonl")
    assert (len(cases), sum(not case["wantErr"] for case in cases)) == (98, 6)
    assert judged_wrongly(cases, check_inclusion) == []


def test_every_published_consistency_proof_is_judged_rightly(vectors: Path) -> None:
    """Among the six valid ones is "size 1 = size 1" with equal roots of 12 bytes: same claim, nothing to hash."""
    cases = read_cases(vectors / "rfc6962" / "consistency.jsonl")
    assert (len(cases), sum(not case["wantErr"] for case in cases)) == (98, 6)
    assert judged_wrongly(cases, check_consistency) == []


def test_the_published_tree_of_eight_leaves_has_our_roots_and_nodes(vectors: Path) -> None:
    tree = json.loads((vectors / "rfc6962" / "tree.json").read_text())
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in tree["leaf_inputs_hex"]]
    roots = [bytes.fromhex(value) for value in tree["root_hashes_hex_by_size"]]
    assert (len(leaves), len(roots)) == (8, 9)
    assert [Frontier(0).extend(leaves[:size]).frontier.root() for size in range(9)] == roots

    nodes = {
        (level, index): bytes.fromhex(value)
        for level, row in enumerate(tree["node_hashes_hex_levels"])
        for index, value in enumerate(row)
    }
    assert len(nodes) == 15
    assert {(level, index): value for level, index, value in Frontier(0).extend(leaves).nodes} == nodes


def test_the_published_hashes_are_ours(vectors: Path) -> None:
    empty, empty_leaf, leaf, node = json.loads((vectors / "rfc6962" / "tree.json").read_text())["hasher"]
    assert bytes.fromhex(empty["hash"]) == EMPTY_ROOT
    assert leaf_hash(bytes.fromhex(empty_leaf["leaf_hex"])).hex() == empty_leaf["hash"]
    assert leaf_hash(leaf["leaf_text"].encode()).hex() == leaf["hash"]
    assert node_hash(node["left_text"].encode(), node["right_text"].encode()).hex() == node["hash"]
