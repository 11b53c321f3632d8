"""A log in a directory: the same files, whatever is wrong with them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.logs import LOG, a_log, bundle

from panji.core.audit import audit
from panji.core.tiles import ENTRIES, Tile
from panji.errors import AuditError, InputError, TransportError
from panji.logs.files import DirectoryReader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return a_log(600).write(tmp_path / "log")


def test_a_directory_of_tiles_is_audited(directory: Path) -> None:
    assert audit(DirectoryReader(directory), LOG.verifier).entries == 600


def test_a_partial_tile_that_has_gone_is_cut_from_the_full_one(directory: Path) -> None:
    reader = DirectoryReader(directory)
    assert reader.tile(Tile(0, 0, 3)) == reader.tile(Tile(0, 0))[:96]
    assert len(reader.tile(Tile(ENTRIES, 1, 7)).split(b"panji.entry.v1")) == 8


def test_a_file_that_is_missing_is_named(directory: Path) -> None:
    reader = DirectoryReader(directory)
    (directory / bundle(1)).unlink()
    with pytest.raises(AuditError, match="tile/entries/001 is missing"):
        reader.tile(Tile(ENTRIES, 1))
    (directory / "tile" / "0" / "000").unlink()
    with pytest.raises(AuditError, match=r"tile/0/000\.p/9 is missing"):
        reader.tile(Tile(0, 0, 9))
    (directory / "checkpoint").unlink()
    with pytest.raises(TransportError, match="there is no checkpoint"):
        reader.checkpoint()


def test_a_checkpoint_that_is_no_text_is_refused(directory: Path) -> None:
    (directory / "checkpoint").write_bytes(b"\xff")
    with pytest.raises(AuditError, match="is no text"):
        DirectoryReader(directory).checkpoint()


def test_a_file_that_is_too_large_is_not_read_to_its_end(directory: Path) -> None:
    (directory / "tile/0/000").write_bytes(bytes(8193))
    with pytest.raises(AuditError, match="has more than 8192 bytes"):
        DirectoryReader(directory).tile(Tile(0, 0))


def test_a_directory_where_a_file_should_be_is_no_answer(directory: Path) -> None:
    (directory / "checkpoint").unlink()
    (directory / "checkpoint").mkdir()
    with pytest.raises(TransportError, match="cannot be read"):
        DirectoryReader(directory).checkpoint()


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000"])
def test_a_pipe_in_the_place_of_a_file_is_no_answer_and_does_not_hang(directory: Path, path: str) -> None:
    (directory / path).unlink()
    os.mkfifo(directory / path)
    with pytest.raises(TransportError, match="cannot be read: it is no file"):
        audit(DirectoryReader(directory), LOG.verifier)


def test_a_file_where_a_directory_should_be_is_a_missing_tile(directory: Path) -> None:
    with pytest.raises(AuditError, match="is missing"):
        DirectoryReader(directory).tile(Tile(7, 0, 3))
    (directory / "tile/3").write_bytes(b"")
    with pytest.raises(AuditError, match="is missing"):
        DirectoryReader(directory).tile(Tile(3, 0, 3))


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no directory"):
        DirectoryReader(tmp_path / "nowhere")
