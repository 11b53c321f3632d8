"""A whole log as another implementation wrote it: 17 signed checkpoints, hash tiles, entry bundles (Tessera)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from panji.core import merkle
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.note import NoteVerifier
from panji.errors import NoteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SIZES = range(16)


def read_bundle(data: bytes) -> list[bytes]:
    """Entries of a C2SP tlog-tiles bundle: each after its length, two bytes big-endian."""
    entries = []
    while data:
        size = int.from_bytes(data[:2])
        entries.append(data[2 : 2 + size])
        data = data[2 + size :]
    return entries


def read_tile(data: bytes) -> list[bytes]:
    return [data[start : start + merkle.HASH_SIZE] for start in range(0, len(data), merkle.HASH_SIZE)]


@pytest.fixture
def log_key(vectors: Path) -> NoteVerifier:
    return NoteVerifier.parse(json.loads((vectors / "tlog-tiles" / "keys.json").read_text())["verifier_key"])


@pytest.fixture
def checkpoints(vectors: Path, log_key: NoteVerifier) -> list[Checkpoint]:
    folder = vectors / "tlog-tiles" / "log"
    return [open_checkpoint((folder / f"checkpoint.{size}").read_text(), log_key) for size in SIZES]


def test_every_checkpoint_opens_with_the_logs_key(
    vectors: Path, log_key: NoteVerifier, checkpoints: list[Checkpoint]
) -> None:
    folder = vectors / "tlog-tiles" / "log"
    assert len(list(folder.glob("checkpoint*"))) == 17
    assert [checkpoint.size for checkpoint in checkpoints] == list(SIZES)
    assert open_checkpoint((folder / "checkpoint").read_text(), log_key) == checkpoints[15]


def test_a_checkpoint_with_another_size_is_no_longer_signed(vectors: Path, log_key: NoteVerifier) -> None:
    signed = (vectors / "tlog-tiles" / "log" / "checkpoint.5").read_text()
    with pytest.raises(NoteError, match="not over this text"):
        open_checkpoint(signed.replace("\n5\n", "\n6\n"), log_key)


def test_roots_recomputed_from_entry_bundles_and_hash_tiles_are_the_signed_ones(
    vectors: Path, checkpoints: list[Checkpoint]
) -> None:
    folder = vectors / "tlog-tiles"
    texts = json.loads((folder / "keys.json").read_text())["leaves"]
    tiles = sorted((folder / "log" / "tile" / "0" / "000.p").iterdir())
    bundles = sorted((folder / "log" / "tile" / "entries" / "000.p").iterdir())
    assert (len(tiles), len(bundles)) == (15, 15)
    for tile, bundle in zip(tiles, bundles, strict=True):
        size = int(tile.name)
        entries = read_bundle(bundle.read_bytes())
        leaves = read_tile(tile.read_bytes())
        assert entries == [text.encode() for text in texts[:size]]
        assert leaves == [merkle.leaf_hash(entry) for entry in entries]
        assert merkle.Frontier(0).extend(leaves).root() == checkpoints[size].root


def test_our_proofs_connect_all_of_another_implementations_checkpoints(
    vectors: Path, checkpoints: list[Checkpoint]
) -> None:
    leaves = read_tile((vectors / "tlog-tiles" / "log" / "tile" / "0" / "000.p" / "15").read_bytes())
    stored = {(level, index): value for level, index, value in merkle.Frontier(0).extend(leaves).nodes}

    def get(positions: Sequence[merkle.Position]) -> Mapping[merkle.Position, bytes]:
        return {position: stored[position] for position in positions}

    for new in checkpoints:
        for old in checkpoints[: new.size + 1]:
            proof = merkle.consistency_proof(old.size, new.size, get)
            merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)
        for index in range(new.size):
            inclusion = merkle.inclusion_proof(index, new.size, get)
            merkle.verify_inclusion(leaves[index], index, new.size, inclusion, new.root)
