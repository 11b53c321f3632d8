"""Deadlines: how long an answer may take, from which event on, and the instants that follow.

A deadline is a span of time, or the end of the calendar day in a place (the founding case's "same-day service level").
All instants are exact to the microsecond. Spans are counted in UTC, so that a change of clocks makes none longer. The
rules of time zones are the machine's, or those of the package ``tzdata``: :mod:`zoneinfo` finds either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_DAY = timedelta(hours=26)
"""No calendar day anywhere is longer, whatever its clocks do."""
LONGEST = timedelta(days=3660)
"""The longest duration that a procedure may set."""

_DURATION = re.compile(
    r"P(?=[0-9T])(?:(?P<weeks>[0-9]{1,4})W|(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,6})M)?"
    r"(?:(?P<seconds>[0-9]{1,9})(?:\.(?P<fraction>[0-9]{1,6}))?S)?)?)"
)
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")


class Answer(StrEnum):
    """What a platform owes, in this order; ``restored`` is owed where something was taken down."""

    RECEIVED = "received"
    UNDER_REVIEW = "under_review"
    DECIDED = "decided"
    RESTORED = "restored"


class Since(StrEnum):
    """The event from which a deadline runs."""

    RECEIVED = "received"
    """The exchange received the flag."""
    DELIVERED = "delivered"
    """The platform fetched it: PM 5/2020 arts. 15(6) and 16(7), TCO art. 3(3). Until then, as the exchange has it."""
    ORDERED = "ordered"
    """That something is restored was ordered: what ``restored`` runs from, and nothing else."""


@dataclass(frozen=True, slots=True)
class Within:
    """How long an answer may take: a span, or until the end of the day."""

    since: Since
    span: timedelta | None
    """None: until the calendar day has ended in ``zone``."""
    zone: str = ""
    """An IANA time zone."""

    @property
    def longest(self) -> timedelta:
        """The most time that there ever is."""
        return LONGEST_DAY if self.span is None else self.span

    def __str__(self) -> str:
        return f"end of the day, {self.zone}" if self.span is None else say(self.span)


def due(within: Within, since: datetime) -> datetime:
    """Returns the first instant at which the answer is late, in UTC.

    Args:
        within: The deadline.
        since: The event from which it runs, aware of its zone.
    """
    if within.span is not None:
        return since.astimezone(UTC) + within.span
    # Where clocks go forward at midnight, the day that begins has none. Python then reads midnight by the clock of
    # before, which is the very instant of the change: the first one of the new day all the same.
    zone = ZoneInfo(within.zone)
    tomorrow = since.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, zone).astimezone(UTC)


def warnings(since: datetime, due_at: datetime, fractions: Iterable[float]) -> tuple[datetime, ...]:
    """Returns the instants at which these fractions of the time have passed, to the nearest microsecond."""
    return tuple(since + (due_at - since) * fraction for fraction in fractions)


def percent(fraction: float) -> int:
    """Returns a part of the time as statements say it."""
    return round(fraction * 100)


def parse_duration(text: str) -> timedelta:
    """Returns an ISO 8601 duration of weeks, or of days, hours, minutes and seconds. A day is 24 hours.

    Raises:
        ValueError: It is none, or longer than :data:`LONGEST`. Months and years are none: they differ in length.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("is no ISO 8601 duration of weeks, days, hours, minutes or seconds (PT24H, P2D)")
    fraction = (found["fraction"] or "").ljust(6, "0")
    named = {name: int(found[name] or 0) for name in ("weeks", "days", "hours", "minutes", "seconds")}
    duration = timedelta(**named, microseconds=int(fraction))
    if duration > LONGEST:
        raise ValueError(f"is longer than {LONGEST.days} days")
    return duration


def say(duration: timedelta) -> str:
    """Returns a duration in ISO 8601: in hours up to three days, as procedures write it, and in days beyond."""
    if duration > timedelta(days=3) and not duration.seconds and not duration.microseconds:
        return f"P{duration.days}D"
    minutes, seconds = divmod(duration.days * 86_400 + duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    parts = (f"{hours}H" if hours else "", f"{minutes}M" if minutes else "")
    last = f"{seconds}{fraction}S" if seconds or fraction or not any(parts) else ""
    return f"PT{''.join(parts)}{last}"


def zone_exists(name: str) -> bool:
    """Whether there is a time zone of this name, by the rules that this machine has."""
    if not _ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no zone's file, a folder of zones, no such name
        return False
    return True
