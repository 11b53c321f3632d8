"""A mirror: nothing unproven in it, always whole, and it goes on where it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.logs import LOG, MemoryLog, a_log, an_entry, bundle, entries, head

from panji.core.audit import Audited, audit
from panji.errors import AuditError, ConfigError, NoteError, TransportError
from panji.logs.files import DirectoryReader
from panji.logs.mirror import mirror

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.tiles import Tile


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "public" / "log"


def mirrored(log: MemoryLog, directory: Path) -> Audited:
    return mirror(log, directory, LOG.verifier)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Breaking(MemoryLog):
    """Breaks off after so many tiles."""

    tiles_left = 5

    def tile(self, tile: Tile) -> bytes:
        self.tiles_left -= 1
        if self.tiles_left < 0:
            raise TransportError("the line broke")
        return super().tile(tile)


def test_a_mirror_holds_the_very_files_and_passes_the_audit(directory: Path) -> None:
    told: list[int] = []
    proven = mirror(a_log(600), directory, LOG.verifier, report=lambda read, _: told.append(read))
    assert proven.entries == 600
    assert told == [256, 512, 600]
    assert files(directory) == a_log(600).files
    assert audit(DirectoryReader(directory), LOG.verifier).entries == 600
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in directory.rglob("*") if path.is_file())


def test_a_mirror_goes_on_from_its_own_head_and_reads_only_what_is_new(directory: Path) -> None:
    mirrored(a_log(300), directory)
    log = a_log(600)
    proven = mirrored(log, directory)
    assert (proven.start, proven.older) == (256, (300,))
    assert bundle(0) not in log.asked
    assert files(directory).keys() == a_log(600).files.keys() | {"tile/1/000.p/1"}
    assert audit(DirectoryReader(directory), LOG.verifier, older=[head(entries(600), 300)]).older == (300,)


def test_partial_tiles_of_earlier_heads_stay_until_the_full_one_is_there(directory: Path) -> None:
    for size in (3, 5):
        mirrored(a_log(size), directory)
    assert {bundle(0, 3), bundle(0, 5)} <= files(directory).keys()
    mirrored(a_log(257), directory)
    assert files(directory) == a_log(257).files


def test_a_mirror_that_is_up_to_date_stays_as_it_is(directory: Path) -> None:
    for size in (512, 600):
        mirrored(a_log(size), directory)
        before = files(directory)
        assert mirrored(a_log(size), directory).older == (size,)
        assert files(directory) == before


def test_an_interrupted_mirror_has_no_head_and_goes_on_without_reading_again(directory: Path) -> None:
    with pytest.raises(TransportError, match="the line broke"):
        mirrored(Breaking(a_log(1024).files), directory)
    there = files(directory)
    assert there
    assert "checkpoint" not in there
    assert there.items() <= a_log(1024).files.items()
    log = a_log(1024)
    assert mirrored(log, directory).entries == 1024
    full = {path for path in there if ".p/" not in path}
    assert not full & set(log.asked)
    assert files(directory) == log.files


def test_an_interrupted_update_leaves_the_older_head_and_all_that_it_commits_to(directory: Path) -> None:
    mirrored(a_log(300), directory)
    breaking = Breaking(a_log(1024).files)
    with pytest.raises(TransportError, match="the line broke"):
        mirrored(breaking, directory)
    assert audit(DirectoryReader(directory), LOG.verifier).entries == 300
    assert mirrored(a_log(1024), directory).older == (300,)
    assert audit(DirectoryReader(directory), LOG.verifier).entries == 1024


@pytest.mark.parametrize("content", [b"torn", bytes(100_000)], ids=["cut short", "too long"])
def test_a_file_that_a_crash_spoilt_is_fetched_again(directory: Path, content: bytes) -> None:
    with pytest.raises(TransportError):
        mirrored(Breaking(a_log(1024).files), directory)
    for path in files(directory):
        (directory / path).write_bytes(content)
    assert mirrored(a_log(1024), directory).entries == 1024
    assert files(directory) == a_log(1024).files


@pytest.mark.parametrize("path", sorted(set(a_log(600).files) - {"checkpoint"}))
def test_what_is_not_proven_is_never_written(directory: Path, path: str) -> None:
    log = a_log(600)
    log.flip(path, 9)
    with pytest.raises(AuditError):
        mirrored(log, directory)
    written = files(directory)
    assert path not in written
    assert "checkpoint" not in written
    assert written.items() <= a_log(600).files.items()


def test_a_log_that_was_rewritten_does_not_replace_the_copy(directory: Path) -> None:
    mirrored(a_log(300), directory)
    before = files(directory)
    rewritten = MemoryLog.of([*entries(299), an_entry(9998), an_entry(9999)])
    with pytest.raises(AuditError, match="another history"):
        mirrored(rewritten, directory)
    assert files(directory)["checkpoint"] == before["checkpoint"]
    assert audit(DirectoryReader(directory), LOG.verifier).checkpoint == head(entries(300))


def test_a_log_that_was_rolled_back_does_not_replace_the_copy(directory: Path) -> None:
    mirrored(a_log(300), directory)
    with pytest.raises(AuditError, match="had signed 300 before"):
        mirrored(a_log(257), directory)
    assert files(directory) == a_log(300).files


def test_a_directory_with_a_strangers_head_is_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "checkpoint").write_text("another log's")
    with pytest.raises(NoteError):
        mirrored(a_log(3), directory)
    assert files(directory) == {"checkpoint": b"another log's"}


@pytest.mark.parametrize("content", [b"", b"\xff", b"torn"])
def test_a_head_that_is_none_is_named_with_its_file(directory: Path, content: bytes) -> None:
    """The error is of the copy, not of the source; and nothing is copied before somebody has looked."""
    mirrored(a_log(300), directory)
    (directory / "checkpoint").write_bytes(content)
    with pytest.raises(NoteError) as caught:
        mirrored(a_log(600), directory)
    assert str(directory / "checkpoint") in str(caught.value)
    (directory / "checkpoint").unlink()
    assert mirrored(a_log(600), directory).entries == 600


def test_the_head_is_on_the_disk_before_it_takes_the_place_of_the_older_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut would leave an empty file, which stops the mirror until somebody comes."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        done.append(f"{os.fstat(descriptor).st_size} bytes on disk")

    def replaced(old: str, new: str, **where: int) -> None:
        replace(old, new, **where)
        done.append(new)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", replaced)
    mirrored(a_log(3), directory)
    assert done[-2:] == [f"{len(a_log(3).files['checkpoint'])} bytes on disk", "checkpoint"]


def test_a_place_that_cannot_be_written_is_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        mirrored(a_log(3), tmp_path / "file" / "log")


def test_a_disk_that_fails_leaves_no_half_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        mirrored(a_log(3), directory)
    assert files(directory) == {}


# What somebody else who may write there has put into the directory.


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("keep")
    return folder


@pytest.mark.parametrize("inside", ["tile", "tile/entries", "tile/0", "tile/1"])
def test_a_link_to_a_folder_elsewhere_is_not_followed(directory: Path, outside: Path, inside: str) -> None:
    (directory / inside).parent.mkdir(parents=True)
    (directory / inside).symlink_to(outside)
    with pytest.raises(ConfigError, match="no file or folder of the directory's own"):
        mirrored(a_log(600), directory)
    assert files(outside) == {"precious": b"keep"}


@pytest.mark.parametrize("inside", ["checkpoint", "tile/entries/000", "tile/0/002.p/88"])
@pytest.mark.parametrize("target", ["precious", "not there"])
def test_a_link_to_a_file_elsewhere_is_not_followed(directory: Path, outside: Path, inside: str, target: str) -> None:
    (directory / inside).parent.mkdir(parents=True)
    (directory / inside).symlink_to(outside / target)
    with pytest.raises(ConfigError, match="no file or folder of the directory's own"):
        mirrored(a_log(600), directory)
    assert files(outside) == {"precious": b"keep"}


def test_a_link_to_the_true_tile_is_no_copy_of_it(directory: Path, outside: Path) -> None:
    (outside / "true").write_bytes(a_log(600).files[bundle(0)])
    (directory / bundle(0)).parent.mkdir(parents=True)
    (directory / bundle(0)).symlink_to(outside / "true")
    with pytest.raises(ConfigError, match="000 is no file"):
        mirrored(a_log(600), directory)


@pytest.mark.parametrize("inside", ["checkpoint", "tile", "tile/entries/000", "tile/0/002.p/88"])
def test_a_pipe_in_the_place_of_a_file_or_folder_does_not_hang_it(directory: Path, inside: str) -> None:
    (directory / inside).parent.mkdir(parents=True)
    os.mkfifo(directory / inside)
    with pytest.raises(ConfigError, match="no file or folder of the directory's own"):
        mirrored(a_log(600), directory)


def test_tidying_up_removes_nothing_elsewhere(directory: Path, outside: Path) -> None:
    mirrored(a_log(5), directory)
    for path in (directory / "tile/0/000.p").iterdir():
        path.unlink()
    (directory / "tile/0/000.p").rmdir()
    (directory / "tile/0/000.p").symlink_to(outside)
    mirrored(a_log(257), directory)
    assert files(outside) == {"precious": b"keep"}


def test_the_directory_itself_may_be_a_link(directory: Path, outside: Path) -> None:
    directory.parent.mkdir()
    directory.symlink_to(outside)
    mirrored(a_log(3), directory)
    assert audit(DirectoryReader(directory), LOG.verifier).entries == 3


def test_a_file_that_cannot_be_read_is_fetched_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransportError):
        mirrored(Breaking(a_log(1024).files), directory)
    opened = os.open

    def failing(path: str | Path, flags: int, *arguments: int, **options: int) -> int:
        if path == "000" and not flags & os.O_DIRECTORY:
            raise OSError(5, "Input/output error")
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr("os.open", failing)
    assert mirrored(a_log(1024), directory).entries == 1024
    monkeypatch.undo()
    assert files(directory) == a_log(1024).files
