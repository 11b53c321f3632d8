"""A look at SQLite's write-ahead log before SQLite reads it: where it is damaged, SQLite goes on without a word.

Recovery takes the frames up to the first whose checksum does not fit and drops all behind it: that is right after a
power cut, which leaves the last commit half written, and a loss of answered commits where a byte was changed later.
Source: sqlite.org/fileformat2.html, section 4 (the write-ahead log).
"""

from __future__ import annotations

import sys
from array import array
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO

from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = Struct(">8I")  # magic, version, page size, checkpoint's number, salts, checksums
_FRAME = Struct(">6I")  # page, pages of the database after a commit or 0, salts, checksums
_MAGIC = {0x377F0682: "little", 0x377F0683: "big"}
"""The byte order of the words that checksums are made of."""


def check(path: Path) -> None:
    """Checks a write-ahead log that nobody works on. One that is not there, or has no frame, is whole.

    Raises:
        StorageError: It is damaged: commits that were on the disk would be dropped.
    """
    try:
        with path.open("rb") as file:
            _check(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"the write-ahead log cannot be read: {error}") from error


def _check(file: BinaryIO) -> None:
    header = file.read(_HEADER.size)
    if not file.read(1):
        return
    # 1 The header. SQLite syncs it before it writes a frame, so with frames behind it, it was whole.
    magic, _, page, _, *salts, sum1, sum2 = _HEADER.unpack(header)
    order = _MAGIC.get(magic, "")
    sums = _checksum(header[:-8], (0, 0), order)
    if not order or sums != (sum1, sum2):
        raise _damaged("its header is damaged")
    # 2 Frames, one after the other, as far as they are whole.
    file.seek(_HEADER.size)
    intact = 0
    while len(frame := file.read(_FRAME.size + page)) == _FRAME.size + page:
        sums = _checksum(frame[_FRAME.size :], _checksum(frame[:8], sums, order), order)
        if _FRAME.unpack_from(frame)[2:] != (*salts, *sums):
            break
        intact += 1
    # 3 What stands behind the first that is not. Frames of older salts are left from before the log was last emptied.
    #   Frames of these salts may be of the one commit that a power cut met before it was synced; but where another
    #   commit was begun behind it, it was synced, and was whole then.
    committed = False
    file.seek(_HEADER.size + intact * (_FRAME.size + page))
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        _, commits, *own, _, _ = _FRAME.unpack(head)
        if own == salts:
            if committed:
                raise _damaged(f"frame {intact + 1} is damaged, and commits stand behind it")
            committed = commits != 0
        file.seek(page, 1)


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    words = array("I", data)
    if order != sys.byteorder:
        words.byteswap()
    sum1, sum2 = sums
    for one, two in zip(words[::2], words[1::2], strict=True):
        sum1 = sum1 + one + sum2 & 0xFFFFFFFF
        sum2 = sum2 + two + sum1 & 0xFFFFFFFF
    return sum1, sum2


def _damaged(what: str) -> StorageError:
    return StorageError(
        f"the write-ahead log is damaged, and SQLite would drop commits that were answered: {what}. Bring back the"
        " database with its write-ahead log from a copy that is newer than all that was answered; see"
        " docs/operations.md, A database that is refused"
    )
