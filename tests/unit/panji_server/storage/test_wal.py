"""The write-ahead log: damage is told from what a power cut leaves, and no flipped bit loses an answered commit."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.rooms import LOG, flags, put

from panji_server.startup import audit
from panji_server.storage import wal
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from pathlib import Path

HEADER, FRAME = 32, 24 + 4096


class Disk:
    """What a kill leaves of a database with four commits, of which the write-ahead log alone has any."""

    def __init__(self, home: Path) -> None:
        self.home = home
        made = home / "made"
        made.mkdir()
        self.ends: list[int] = []
        """Where each commit ends in the write-ahead log."""
        self.heads: list[bytes] = []
        with closing(SQLiteStorage(made / "exchange.db")) as storage:
            for number in range(1, 5):
                put(storage, *flags(1, first=number))
                self.ends.append((made / "exchange.db-wal").stat().st_size)
                self.heads.append((made / "exchange.db-head").read_bytes())
            self.database, self.log = ((made / f"exchange.db{what}").read_bytes() for what in ("", "-wal"))

    def start(self, log: bytes, head: bytes = b"") -> int:
        """Starts on such a log; returns how many statements there are."""
        path = self.home / "exchange.db"
        for left in self.home.glob("exchange.db*"):
            left.unlink()
        path.write_bytes(self.database)
        path.with_name("exchange.db-wal").write_bytes(log)
        path.with_name("exchange.db-head").write_bytes(head or self.heads[-1])
        with closing(SQLiteStorage(path, exclusive=True)) as storage:
            checkpoint, _ = audit(storage, LOG.verifier)
        return checkpoint.size if checkpoint else 0

    def flipped(self, place: int, bit: int = 0) -> bytes:
        log = bytearray(self.log)
        log[place] ^= 1 << bit
        return bytes(log)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return Disk(tmp_path_factory.mktemp("disk"))


def test_a_log_that_is_whole_is_taken(disk: Disk) -> None:
    assert disk.start(disk.log) == 4


def test_no_flipped_bit_anywhere_drops_an_answered_commit_unseen(disk: Disk) -> None:
    """Headers, pages, checksums, whichever commit: either the frames behind tell, or the head that is remembered."""
    for place in [*range(HEADER + 24), *range(HEADER + 24, len(disk.log), len(disk.log) // 150)]:
        with pytest.raises(StorageError, match=r"docs/operations\.md"):
            disk.start(disk.flipped(place, place % 8))


def test_a_bit_that_was_flipped_before_the_last_commit_is_found_without_a_head_that_is_remembered(disk: Disk) -> None:
    for place in range(HEADER, disk.ends[2], FRAME // 3):
        with pytest.raises(StorageError, match="write-ahead log is damaged"):
            disk.start(disk.flipped(place), disk.heads[0])


def test_a_lost_log_is_found_out(disk: Disk) -> None:
    with pytest.raises(StorageError, match="ends at 0 entries, and the exchange has signed 4"):
        disk.start(b"")


@pytest.mark.parametrize("commit", range(1, 4))
def test_a_log_that_was_cut_short_is_found_out(disk: Disk, commit: int) -> None:
    with pytest.raises(StorageError, match=f"ends at {commit} entries, and the exchange has signed 4"):
        disk.start(disk.log[: disk.ends[commit - 1]])


def test_what_a_power_cut_leaves_of_the_last_commit_is_no_damage(disk: Disk) -> None:
    """It was not synced, so nobody was answered, and no head of it was written."""
    for end in range(disk.ends[2], disk.ends[3], FRAME // 2):
        assert disk.start(disk.log[:end], disk.heads[2]) == 3


def test_a_power_cut_may_leave_the_end_of_the_last_commit_and_not_its_middle(disk: Disk) -> None:
    """Before a sync, a disk may write in any order."""
    for frame in range(disk.ends[2], disk.ends[3], FRAME):
        torn = disk.log[: frame + 24] + bytes(4096) + disk.log[frame + FRAME :]
        assert disk.start(torn, disk.heads[2]) == 3
        with pytest.raises(StorageError, match="ends at 3 entries, and the exchange has signed 4"):
            disk.start(torn)


def test_frames_of_an_earlier_round_are_no_damage(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    with closing(SQLiteStorage(path)) as storage:
        for number in range(1, 5):
            put(storage, *flags(1, first=number))
        storage._connection().execute("PRAGMA wal_checkpoint(RESTART)")
        put(storage, *flags(1, first=5))
        shutil.copy(path.with_name("exchange.db-wal"), tmp_path / "log")
    assert (tmp_path / "log").stat().st_size == len(disk.log)
    wal.check(tmp_path / "log")


def test_a_log_from_a_machine_of_the_other_byte_order_is_taken_and_checked(disk: Disk) -> None:
    """SQLite is the judge of how it is made here."""
    log = bytearray(disk.log)

    def put_sums(at: int, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
        sums = wal._checksum(data, sums, "big")
        log[at : at + 8] = sums[0].to_bytes(4, "big") + sums[1].to_bytes(4, "big")
        return sums

    log[3] ^= 1
    sums = put_sums(24, bytes(log[:24]), (0, 0))
    for frame in range(HEADER, len(log), FRAME):
        sums = put_sums(frame + 16, bytes(log[frame : frame + 8] + log[frame + 24 : frame + FRAME]), sums)
    assert disk.start(bytes(log)) == 4
    log[HEADER + FRAME // 2] ^= 1
    with pytest.raises(StorageError, match="write-ahead log is damaged"):
        disk.start(bytes(log))


@pytest.mark.parametrize("content", [None, b"", b"\0" * HEADER], ids=["no log", "empty", "a header alone"])
def test_where_there_is_no_frame_nothing_can_be_lost(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "log").write_bytes(content)
    wal.check(tmp_path / "log")


def test_a_log_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        wal.check(tmp_path)
