"""A copy of a log in a directory that any static web server can publish, with nothing in it that was not verified."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from panji.core.audit import Audited, Auditor, LogReader
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.tiles import ENTRIES, top_down
from panji.errors import AuditError, ConfigError, NoteError, TransportError
from panji.logs.files import CHECKPOINT
from panji.logs.folder import Folder
from panji.logs.reading import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from panji.core.note import NoteVerifier
    from panji.core.tiles import Tile


def mirror(
    source: LogReader,
    directory: Path,
    log: NoteVerifier,
    *,
    report: Callable[[int, int], None] = lambda _read, _size: None,
) -> Audited:
    """Bring a copy up to the newest checkpoint of a log. Interrupted at any time, it goes on where it was.

    A tile is written when it is proven, in one step, and the checkpoint last: what the directory's checkpoint commits
    to is always there. What an earlier run's checkpoint commits to is not read again; that is what ``panji log verify
    --tiles`` does. What is there beyond it is used where it proves to be true.

    Args:
        source: Where the log is.
        directory: The copy; made when there is none.
        log: The log's key, known beforehand.
        report: Told after each bundle how many entries were read, and of how many.

    Raises:
        VerificationError: The source lies, or is not the log that the copy is of; nothing of it was written.
        TransportError: No answer came.
        ConfigError: The directory cannot be written, or has a link, a pipe or the like in the place of a file.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _Mirror(source, directory, log).run(report)
    except OSError as error:
        raise ConfigError("the mirror", f"{directory} cannot be written: {error.strerror}") from error


class _Mirror(LogReader):
    """Reads from the directory what is there already, and from the source what is not."""

    def __init__(self, source: LogReader, directory: Path, log: NoteVerifier) -> None:
        self._source = source
        self._directory = directory
        self._copy = Folder(directory)
        self._log = log
        self._unproven: list[tuple[Tile, bytes]] = []

    def run(self, report: Callable[[int, int], None]) -> Audited:
        signed = self.checkpoint()
        checkpoint = open_checkpoint(signed, self._log)
        earlier = self._earlier()
        auditor = Auditor(checkpoint, min(earlier.size, checkpoint.size) if earlier else 0)
        sizes = auditor.expect_all([earlier] if earlier else [])
        with closing(read_ahead(self, auditor.wanted())) as found:
            for tile, data in found:
                self._write(auditor, tile, self._take(auditor, tile, data))
                if tile.level == ENTRIES:
                    report(auditor.read, checkpoint.size)
        audited = auditor.result()
        os.sync()  # the tiles before the checkpoint: a power cut must not leave one without the others
        self._copy.put(CHECKPOINT, signed.encode(), durable=True)
        self._tidy(checkpoint.size, auditor.start)
        return replace(audited, older=sizes)

    def _tidy(self, size: int, start: int) -> None:
        """Removes narrower tiles that became full. Whoever still asks for one cuts it from the full one."""
        for tile in top_down(size, start):
            if not tile.partial:
                self._copy.remove(f"{tile.path}.p")

    def checkpoint(self) -> str:
        return self._source.checkpoint()

    def tile(self, tile: Tile) -> bytes:
        if not tile.partial:  # partial ones are few, and prove each other only together
            with suppress(AuditError, TransportError):
                return self._copy.tile(tile)
        return self._source.tile(tile)

    def _earlier(self) -> Checkpoint | None:
        """The head that the directory was last brought up to."""
        try:
            return open_checkpoint(self._copy.checkpoint(), self._log)
        except TransportError:
            return None
        except (NoteError, AuditError) as error:
            raise NoteError(
                f"{self._directory / CHECKPOINT} is no head of this log: {error}. Remove it only if you know why: what"
                " else is there is then proven anew, and nothing holds the log to what it had signed before"
            ) from error

    def _take(self, auditor: Auditor, tile: Tile, data: bytes) -> bytes:
        try:
            auditor.take(tile, data)
        except AuditError:
            # A file of ours that a crash cut short is no lie of the source's.
            again = self._source.tile(tile)
            if again == data:
                raise
            auditor.take(tile, again)
            return again
        return data

    def _write(self, auditor: Auditor, tile: Tile, data: bytes) -> None:
        self._unproven.append((tile, data))
        if auditor.anchored:
            for proven, content in self._unproven:
                self._copy.put(proven.path, content)
            self._unproven.clear()
