"""A whole log as another implementation wrote it: 17 signed checkpoints, hash tiles, entry bundles (Tessera)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from panji.core import merkle
from panji.core.audit import Nodes
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.note import NoteVerifier
from panji.core.tiles import ENTRIES, Tile, join_entries, split_entries, split_hashes, top_down
from panji.errors import NoteError
from panji.logs.files import DirectoryReader

if TYPE_CHECKING:
    from pathlib import Path

SIZES = range(16)


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
    reader = DirectoryReader(folder / "log")
    assert len(list((folder / "log").glob("tile/*/000.p/*"))) == 30
    for size in SIZES[1:]:
        tile, bundle = Tile(0, 0, size), Tile(ENTRIES, 0, size)
        assert list(top_down(size)) == [tile, bundle]
        entries = split_entries(bundle, reader.tile(bundle))
        leaves = split_hashes(tile, reader.tile(tile))
        assert entries == [text.encode() for text in texts[:size]]
        assert join_entries(entries) == reader.tile(bundle)
        assert leaves == [merkle.leaf_hash(entry) for entry in entries]
        assert merkle.Frontier(0).extend(leaves).root() == checkpoints[size].root


def test_our_proofs_connect_all_of_another_implementations_checkpoints(
    vectors: Path, checkpoints: list[Checkpoint]
) -> None:
    reader = DirectoryReader(vectors / "tlog-tiles" / "log")
    leaves = split_hashes(Tile(0, 0, 15), reader.tile(Tile(0, 0, 15)))
    get = Nodes(reader, 15)
    for new in checkpoints:
        for old in checkpoints[: new.size + 1]:
            proof = merkle.consistency_proof(old.size, new.size, get)
            merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)
        for index in range(new.size):
            inclusion = merkle.inclusion_proof(index, new.size, get)
            merkle.verify_inclusion(leaves[index], index, new.size, inclusion, new.root)
