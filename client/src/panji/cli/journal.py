"""Which row of which file became which statement, so that an import that was killed goes on and doubles nothing.

A file of JSON lines that only grows. A row is known by a digest of what it says, not by its place: a file in which one
row was mended, or that lost its last rows, sends only what is new. The id of a row's statement is on the disk before
the statement is signed; from then on the row has that id until the exchange refuses it for good. After a crash:

* no id yet: nothing was signed; the row is sent as if for the first time;
* an id, and the outbox has the statement: the same bytes are sent, and the exchange gives the receipt that it gave, or
  would have given, before;
* an id, and the outbox was lost: the exchange has the statement under this id, or nobody has.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Self

from panji.cli.output import plain
from panji.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from panji.importer import Row


def key_of(row: Row) -> str:
    """Returns what a row is known by: a digest of its id and its flag, whatever file it came in."""
    flag = row.flag
    if flag is not None and not row.names_list:
        flag = dataclasses.replace(flag, batch=None)
    said = _without_defaults({"id": row.source_id, "language": row.language, "flag": plain(flag)})
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _without_defaults(value: Any) -> Any:
    """Returns the value without what is empty, so that a field that a later version adds changes no key."""
    if isinstance(value, dict):
        return {name: kept for name, one in value.items() if (kept := _without_defaults(one))}
    return [_without_defaults(one) for one in value] if isinstance(value, list) else value


class Journal:
    """The journal of all imports to one recipient, locked for one process at a time.

    Raises:
        ConfigError: Another import holds it, it is damaged, or the disk fails.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            _sync_folder(path.parent)
        except OSError as error:
            raise ConfigError("state", f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._ids: dict[str, str] = {}
            self._sent: set[str] = set()
            self._load()
        except BlockingIOError:
            self._file.close()
            raise ConfigError("state", "another import to this recipient is running") from None
        except (ValueError, TypeError, KeyError) as error:
            self._file.close()
            raise ConfigError("state", f"{path} is damaged") from error

    def _load(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        self._file.truncate(whole)  # a line that was cut off by a crash was never relied on
        for line in data[:whole].splitlines():
            self._apply(json.loads(line))

    def _apply(self, entry: dict[str, Any]) -> None:
        match entry["is"]:
            case "signed":
                self._ids[entry["row"]] = entry["id"]
            case "sent":
                self._sent.add(entry["row"])
            case _:  # refused for good: the next attempt is another statement
                self._ids.pop(entry["row"], None)

    def sent(self, key: str) -> bool:
        """Whether the exchange has accepted the row."""
        return key in self._sent

    def id_of(self, key: str) -> str | None:
        """The id of the row's statement, where it has one."""
        return self._ids.get(key)

    def assign(self, ids: Mapping[str, str]) -> None:
        """Gives rows their statements' ids; on the disk when this returns."""
        self._append([{"row": key, "is": "signed", "id": one} for key, one in ids.items()])
        os.fsync(self._file.fileno())

    def settle(self, key: str, *, accepted: bool) -> None:
        """Notes how a row ended. Losing this note in a crash costs one repeated question, nothing else."""
        self._append([{"row": key, "is": "sent" if accepted else "refused"}])

    def _append(self, entries: list[dict[str, Any]]) -> None:
        self._file.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
        self._file.flush()
        for entry in entries:
            self._apply(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
