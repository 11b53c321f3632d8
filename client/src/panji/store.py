"""The one file in which a participant keeps what it must not lose: SQLite, WAL, ``synchronous=FULL``."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from panji.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_SCHEMA = (
    """
CREATE TABLE owner (
    organisation TEXT NOT NULL,
    exchange TEXT NOT NULL
);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    case_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    envelope BLOB NOT NULL,
    created_at TEXT NOT NULL,
    receipt BLOB,
    refusal TEXT
);
CREATE INDEX outbox_pending ON outbox (position) WHERE receipt IS NULL AND refusal IS NULL;
CREATE INDEX outbox_case ON outbox (case_id);
CREATE TABLE inbox (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    case_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    envelope BLOB NOT NULL,
    receipt BLOB NOT NULL,
    log_index INTEGER NOT NULL
);
CREATE INDEX inbox_case ON inbox (case_id);
CREATE TABLE cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL
);
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    checkpoint TEXT NOT NULL
);
""",
    """
ALTER TABLE outbox ADD COLUMN sequence INTEGER;
ALTER TABLE outbox ADD COLUMN unlinked BLOB;
CREATE INDEX outbox_sequence ON outbox (recipient, sequence) WHERE sequence IS NOT NULL;
CREATE TABLE fork (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    kept TEXT NOT NULL,
    seen TEXT NOT NULL,
    found_at TEXT NOT NULL,
    resolved_at TEXT
);
""",
    """
CREATE TABLE quarantine (
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    delivery BLOB NOT NULL,
    error TEXT NOT NULL,
    found_at TEXT NOT NULL,
    skipped_at TEXT,
    PRIMARY KEY (sequence, digest)
);
""",
    """
CREATE INDEX inbox_id ON inbox (id) WHERE id != '';
""",
)
"""What each version adds to the one before."""
_BUSY_SECONDS = 30
_PAUSE_SECONDS = 0.02
_KIND_OF_ERROR = 0xFF  # the rest of SQLite's codes says more closely which of the kind it is
_PRIVATE = 0o600


class Store:
    """A participant's state file. Safe to use from several threads and, through SQLite's locks, several processes.

    Raises:
        ConfigError: The file cannot be opened, is of a later version or no state file, or belongs to another
            organisation or exchange. Every method raises it too when the disk fails.
    """

    def __init__(self, path: Path, *, organisation: str, exchange: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            _make_private(path)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise ConfigError("state", f"{path} cannot be opened: {error}") from error
        try:
            with self.transaction(begin=False) as connection:
                _write_ahead(connection)
            with self.transaction() as connection:
                _prepare(connection, organisation, exchange)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self, *, begin: bool = True, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Opens a transaction. When the block ends it is committed; when it raises, nothing of it has happened.

        Args:
            begin: Begin one at all; without, every statement is its own.
            durable: On disk before the block is left. Otherwise a power cut (not a crash of the process) may undo it,
                together with nothing that was committed before it.

        Raises:
            ConfigError: The disk or the file failed.
        """
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                if begin:
                    self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    if begin:
                        self._connection.execute("COMMIT")
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise ConfigError("state", f"the state file failed: {error}") from error

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def close(self) -> None:
        """Closes the file. What was committed stays."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _make_private(path: Path) -> None:
    """Makes the file where there is none, for its owner's eyes only; SQLite gives its companions the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        one = path.with_name(name)
        # What an earlier version made. A file that somebody else owns, and shares with us, is theirs to close.
        with suppress(FileNotFoundError, PermissionError):
            if one.stat().st_mode & 0o077:
                one.chmod(_PRIVATE)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Has the file keep a write-ahead log. SQLite by itself does not wait for others who open a new file just now."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _KIND_OF_ERROR != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _prepare(connection: sqlite3.Connection, organisation: str, exchange: str) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    if version > len(_SCHEMA) or (version == 0) != empty:
        raise ConfigError("state", f"is no state file of this version: it says {version}, not {len(_SCHEMA)}")
    if version < len(_SCHEMA):
        # Not executescript(), which would commit what is open.
        for statement in ";".join(_SCHEMA[version:]).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_SCHEMA)}")
    if empty:
        connection.execute("INSERT INTO owner VALUES (?, ?)", (organisation, exchange))
        connection.execute("INSERT INTO cursor VALUES (1, 0)")
    # A cursor counts in one organisation's feed at one exchange; used elsewhere it would skip statements in silence.
    owner = connection.execute("SELECT organisation, exchange FROM owner").fetchone()
    if owner is None:
        raise damaged("it does not say whose it is")
    if owner != (organisation, exchange):
        raise ConfigError("state", f"belongs to {owner[0]} at {owner[1]}")


def damaged(what: str) -> ConfigError:
    """Returns the error of a state file that holds what we never wrote. Guessing would skip or send."""
    return ConfigError(
        "state", f"is damaged: {what}; put a whole copy back, or keep this one and begin with a new file"
    )
