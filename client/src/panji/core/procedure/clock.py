"""The clock of an answer, which stands while the platform waits for somebody else, or cannot act.

It stands while a clarification is asked for (TCO art. 3(8), SAMAN's *klarifikasi*) and in force majeure (art. 3(7)).
How it goes on is the procedure's: with the time that was left, or from the beginning. A deadline that had passed before
the clock was stopped has passed.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from panji.core.procedure import deadlines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from panji.core.procedure.deadlines import Within


class ClockMode(StrEnum):
    """How a clock goes on that stood."""

    PAUSE = "pause"
    """With the time that was left."""
    RESTART = "restart"
    """With the whole time again."""


class Pause(NamedTuple):
    """A time in which the clock stands. Pauses may overlap."""

    begins: datetime
    ends: datetime | None
    """None: it lasts."""
    mode: ClockMode = ClockMode.PAUSE


def due(within: Within, since: datetime, pauses: Iterable[Pause] = ()) -> datetime | None:
    """Returns the first instant at which the answer is late, or None while the clock stands.

    Never earlier than without the pauses. Of a deadline at the end of the day, the time that is left runs on after a
    pause, and a restart gives the day on which the clock goes on.
    """
    return _reached(partial(deadlines.due, within), since, pauses)


def warnings(
    within: Within, since: datetime, fractions: Iterable[float], pauses: Iterable[Pause] = ()
) -> tuple[datetime | None, ...]:
    """Returns the instants at which these fractions of the time have passed on the clock; None: not while it stands."""
    stops = tuple(pauses)
    return tuple(_reached(partial(_part, within, part), since, stops) for part in fractions)


def _part(within: Within, fraction: float, start: datetime) -> datetime:
    return deadlines.warnings(start, deadlines.due(within, start), (fraction,))[0]


def _reached(end: Callable[[datetime], datetime], since: datetime, pauses: Iterable[Pause]) -> datetime | None:
    """Returns when a clock gets where it would at ``end(start)`` if it ran from a start without a stop."""
    target, counted = end(since), since
    for begins, ends, mode in sorted(pauses, key=lambda one: one.begins):
        if begins >= target:
            break
        if ends is None:
            return None
        stands = max(begins, counted)
        counted = max(ends, stands)
        target = end(counted) if mode is ClockMode.RESTART else target + (counted - stands)
    return target
