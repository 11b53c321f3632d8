"""What commands print: one JSON object a line for programs, or text and tables for people.

What others wrote reaches a terminal only through :func:`panji.core.display.safe`, and no markup is interpreted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from panji.core.display import safe
from panji.core.procedure.deadlines import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

_PIPE_WIDTH = 160  # of tables that go to no terminal


def plain(value: Any) -> Any:  # noqa: PLR0911 - a table
    """Returns a value as JSON has it: names, hex digests, UTC times, ISO durations, objects with all their fields."""
    match value:
        case Enum():
            return value.value if isinstance(value, str) else value.name
        case bytes():
            return value.hex()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Path():
            return str(value)
        case timedelta():
            return say(value)
        case frozenset():
            return [plain(one) for one in sorted(value)]
        case tuple() | list():
            return [plain(one) for one in value]
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case _ if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value


def table(*columns: str, rows: Iterable[Sequence[object]] = (), title: str = "") -> Table:
    """Returns a table; every cell is made safe."""
    made = Table(title=Text(safe(title)) if title else None, title_justify="left")
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    return made


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        width = None if sys.stdout.isatty() else _PIPE_WIDTH
        self._console = Console(width=width, markup=False, highlight=False, emoji=False)
        self.errors = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def record(self, record: Mapping[str, Any], human: str | RenderableType = "") -> None:
        """Print one record: as a line of JSON, or what people read instead, where there is anything."""
        if self.as_json:
            # ASCII only, so that nothing in it means anything to a terminal; DEL is the one that JSON leaves.
            print(json.dumps(plain(dict(record))).replace("\x7f", "\\u007f"), flush=True)  # noqa: T201 - its purpose
        elif human:
            self.show(human)

    def show(self, human: str | RenderableType) -> None:
        """Print what only people read; with ``--json``, nothing."""
        if not self.as_json:
            self._console.print(Text(safe(human, lines=True)) if isinstance(human, str) else human, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Print a warning, on standard error: something went wrong, and the command goes on."""
        if self.as_json:
            self._json_error({"warning": {"message": message}})
        else:
            self.errors.print(Text(f"warning: {safe(message)}"))

    def error(self, record: Mapping[str, Any]) -> None:
        """Print an error, on standard error."""
        if self.as_json:
            self._json_error(record)
            return
        error = record["error"]
        reason = error["reason"] + (", retryable" if error["retryable"] else "")
        self.errors.print(Text(f"error: {safe(error['message'])} [{reason}]"))
        details = [(one["field"], one["description"]) for one in error["violations"]]
        details += error.get("metadata", {}).items()
        if error.get("request_id"):
            details.append(("request", error["request_id"]))
        for name, detail in details:
            self.errors.print(Text(f"  {safe(name)}: {safe(detail)}"))

    def _json_error(self, record: Mapping[str, Any]) -> None:
        print(json.dumps(plain(dict(record))).replace("\x7f", "\\u007f"), file=sys.stderr, flush=True)  # noqa: T201


class Warnings(logging.Handler):
    """What libraries log, for people: without a handler, Python itself would write it to the terminal as it is."""

    def __init__(self, out: Output) -> None:
        super().__init__(logging.WARNING)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        self._out.warn(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
