"""Evidence that the log contradicted itself: both signed heads, in the state file and in a file that a person can read.

While a piece of evidence is unresolved, nothing is believed of the exchange. Resolving it changes nothing of what we
hold: the head that we believed stays, so an exchange that still shows the other history is caught again at once.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from panji.errors import ConfigError, ForkKind, LogForkError

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime
    from pathlib import Path

    from panji.core.note import NoteVerifier
    from panji.store import Store

_ID_LENGTH = 16  # hex digits


class Forks:
    """Every contradiction of the log that was found, and whether a person has looked at it."""

    def __init__(self, store: Store, log: NoteVerifier) -> None:
        self._store = store
        self._log = log

    def save(self, found: LogForkError, now: datetime) -> LogForkError:
        """Saves both heads, on the disk when this returns. The same two again are unresolved again.

        Returns:
            The error with the file in it.

        Raises:
            ConfigError: They cannot be saved; the message holds what was found.
        """
        identifier = sha256(f"{found.kept}\0{found.seen}".encode()).hexdigest()[:_ID_LENGTH]
        path = self._path(identifier)
        try:
            _write(path, self._page(found, now))
        except OSError as error:
            raise ConfigError(
                "state", f"{found}; the evidence cannot be written to {path}: {error.strerror}"
            ) from found
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO fork VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (id) DO UPDATE SET resolved_at = NULL",
                (identifier, found.kind.value, found.kept, found.seen, now.isoformat()),
            )
        return LogForkError(found.kind, found.kept, found.seen, saved=path)

    def unresolved(self) -> LogForkError | None:
        """Returns the oldest contradiction that nobody has looked at, as it was raised."""
        with self._store.transaction(begin=False) as connection:
            return self.unresolved_in(connection)

    def unresolved_in(self, connection: sqlite3.Connection) -> LogForkError | None:
        """The same, within a transaction."""
        row = connection.execute(
            "SELECT id, kind, kept, seen FROM fork WHERE resolved_at IS NULL ORDER BY found_at"
        ).fetchone()
        return LogForkError(ForkKind(row[1]), row[2], row[3], saved=self._path(row[0])) if row else None

    def resolve(self, now: datetime) -> None:
        """Notes that a person has looked at all of them. The evidence stays."""
        with self._store.transaction() as connection:
            connection.execute("UPDATE fork SET resolved_at = ? WHERE resolved_at IS NULL", (now.isoformat(),))

    def _path(self, identifier: str) -> Path:
        state = self._store.path
        return state.with_name(f"{state.name}.fork-{identifier}.txt")

    def _page(self, found: LogForkError, now: datetime) -> str:
        seen = found.seen or "(nothing: the log said that it is empty)\n"
        return (
            f"{found.kind}: {found.finding}.\n"
            f"Found on {now.isoformat(timespec='seconds')}. Both heads are C2SP signed notes, verbatim.\n"
            f"The log's key: {self._log}\n"
            f"\n----- kept -----\n{found.kept}\n----- seen -----\n{seen}"
        )


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all; on the disk when this returns."""
    # Several threads or processes may find the same contradiction at once: each writes a file of its own.
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    with new.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
