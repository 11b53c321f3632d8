"""Days of flags to play against a procedure: JSON lines as they are imported, with a key ``times`` beside the flag.

::

    {"id": "17", "times": {"received": "2026-08-01T08:00:00+07:00", "delivered": "2026-08-01T08:05:00+07:00",
                           "answered": {"received": "2026-08-01T08:20:00+07:00"},
                           "stops": [{"cause": "clarification", "begins": "2026-08-01T09:00:00+07:00", "ends": null}]},
     "instrument": "ORDER", …}

``received`` must be there; ``delivered``, ``ordered`` and ``last_seen`` may, and ``answered`` has any of ``received``,
``under_review``, ``decided`` and ``restored``. Of published takedown notices only the day is known: they come at its
beginning in UTC, unless they have ``times``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from panji import importer
from panji.core.procedure import Answer, Cause
from panji.core.procedure.simulation import Play, Stop
from panji.core.tables import Reader
from panji.errors import InputError, Violation
from panji.importer import Format, records

if TYPE_CHECKING:
    from pathlib import Path

    from panji.importer import Row


class Day(NamedTuple):
    """A file as it was read."""

    plays: list[Play]
    incomplete: list[tuple[Row, tuple[Violation, ...]]]
    """Rows that make no flag, or of which it is not known when they came, with all that is wrong."""


def read_day(path: Path) -> Day:
    """Reads a file from the disk.

    Raises:
        InputError: It can't be read, or is no JSON lines.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8: byte {error.start} cannot be read") from None
    kind = importer.recognise(text)
    if kind is Format.CSV:
        raise InputError("a day of flags is JSON lines: CSV has no column for what happened when")
    lines, times = text.split("\n"), {}
    for number, entry in records.lines(text):
        if isinstance(entry, dict):
            times[number] = _times_of(entry, kind)
            lines[number - 1] = json.dumps(entry)
    day = Day([], [])
    for row in importer.read("\n".join(lines).encode(), kind).rows:
        reader = _Reader("row")
        made = reader.play(row, times.get(row.number))
        violations = (*row.violations, *reader.violations)
        if violations or made is None:
            day.incomplete.append((row, violations))
        else:
            day.plays.append(made)
    return day


def _times_of(entry: dict[str, Any], kind: Format) -> Any:
    times = entry.pop("times", None)
    if times is None and kind is Format.TAKEDOWNS and isinstance(entry.get("received"), str):
        return {"received": f"{entry['received']}T00:00:00+00:00"}
    return times


class _Reader(Reader):
    """Reads the times of a row."""

    def play(self, row: Row, value: Any) -> Play | None:
        times = self.table("times", value)
        self.no_more("times", times, {"received", "delivered", "ordered", "last_seen", "answered", "stops"})
        received = self.instant("times.received", times.get("received"), required=True)
        instants = {
            name: self.instant(f"times.{name}", times.get(name)) for name in ("delivered", "ordered", "last_seen")
        }
        answers = self.table("times.answered", times.get("answered"))
        self.no_more("times.answered", answers, set(Answer))
        answered = {one: self.instant(f"times.answered.{one}", answers.get(one)) for one in Answer}
        stops = [self.stop(f"times.stops[{n}]", one) for n, one in enumerate(self.tables(times, "stops", "times"))]
        if row.flag is None or received is None:
            return None
        return Play(
            name=row.source_id or f"line {row.number}",
            flag=row.flag,
            received=received,
            answered={one: at for one, at in answered.items() if at is not None},
            stops=tuple(one for one in stops if one is not None),
            **instants,
        )

    def stop(self, at: str, entry: dict[str, Any]) -> Stop | None:
        self.no_more(at, entry, {"cause", "begins", "ends"})
        cause = self.word(f"{at}.cause", entry.get("cause"), Cause)
        begins = self.instant(f"{at}.begins", entry.get("begins"), required=True)
        ends = self.instant(f"{at}.ends", entry.get("ends"))
        return Stop(cause, begins, ends) if cause and begins else None

    def instant(self, at: str, value: Any, *, required: bool = False) -> datetime | None:
        if value is None and not required:
            return None
        try:
            read = datetime.fromisoformat(self.text(at, value) or "1970-01-01T00:00:00Z")
            if read.tzinfo is not None:
                return read.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.refuse(at, "is no time in ISO 8601 with an offset")
        return None
