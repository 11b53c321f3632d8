"""Deadlines: exact instants, whatever clocks on walls do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core.procedure.deadlines import (
    LONGEST,
    LONGEST_DAY,
    Since,
    Within,
    due,
    parse_duration,
    say,
    warnings,
    zone_exists,
)

MOMENT = timedelta(microseconds=1)
AWARE = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone follows


def span(**parts: int) -> Within:
    return Within(Since.DELIVERED, timedelta(**parts))


def day(zone: str) -> Within:
    return Within(Since.DELIVERED, None, zone)


# Durations


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("PT24H", timedelta(hours=24)),
        ("P2D", timedelta(days=2)),
        ("P6W", timedelta(weeks=6)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT0S", timedelta(0)),
        ("PT0.000001S", MOMENT),
        ("PT1.5S", timedelta(seconds=1.5)),
        ("PT90M", timedelta(minutes=90)),
        ("P3660D", LONGEST),
    ],
)
def test_a_duration_is_what_iso_8601_says(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1DT", "24H", "PT24", "-PT1H", "PT-1H", "P1M", "P1Y", "P6M", "P1W2D", "PT1H ", "pt1h"),
        *("PT1.H", "PT1,5S", "PT1.0000001S", "P9999999D", "PT\u0661H", "PT1H\n"),
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no ISO 8601 duration"):
        parse_duration(text)


def test_a_duration_of_more_than_ten_years_is_refused() -> None:
    """Attack: a deadline that no calendar has."""
    with pytest.raises(ValueError, match="is longer than 3660 days"):
        parse_duration("PT999999H")


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(hours=24), "PT24H"),
        (timedelta(days=3), "PT72H"),
        (timedelta(days=30), "P30D"),
        (timedelta(days=30, seconds=1), "PT720H1S"),
        (timedelta(minutes=90), "PT1H30M"),
        (timedelta(seconds=1, microseconds=500_000), "PT1.5S"),
    ],
)
def test_a_duration_is_said_in_hours_and_beyond_three_days_in_days(duration: timedelta, text: str) -> None:
    assert say(duration) == text


@given(st.timedeltas(timedelta(0), LONGEST))
def test_what_is_said_is_read_again(duration: timedelta) -> None:
    assert parse_duration(say(duration)) == duration


# Spans


def test_a_span_is_exact_to_the_microsecond() -> None:
    start = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
    assert due(span(hours=4), start) == datetime(2026, 5, 4, 16, 0, 0, 123456, tzinfo=UTC)


def test_a_change_of_clocks_makes_no_span_longer() -> None:
    """On 29 March 2026, Paris has no hour from 2 to 3; an hour after 1:30 its clocks show 3:30."""
    start = datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Paris"))
    assert due(span(hours=1), start) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert due(span(hours=1), start).astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=1)


# The end of the day


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2017-08-10T00:00:00+07:00", "2017-08-11T00:00:00+07:00"),
        ("2017-08-10T23:59:59.999999+07:00", "2017-08-11T00:00:00+07:00"),
        ("2017-08-10T17:00:00+00:00", "2017-08-12T00:00:00+07:00"),  # already the 11th in Jakarta
    ],
)
def test_the_same_day_is_that_of_the_place(start: str, end: str) -> None:
    assert due(day("Asia/Jakarta"), datetime.fromisoformat(start)) == datetime.fromisoformat(end)


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Paris", "2026-03-29T00:00:00+01:00", "2026-03-29T22:00:00+00:00"),  # a day of 23 hours
        ("Europe/Paris", "2026-10-25T00:00:00+02:00", "2026-10-25T23:00:00+00:00"),  # of 25
        ("America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "2018-11-04T03:00:00+00:00"),  # the 4th begins at one
        ("Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-30T10:00:00+00:00"),  # there was no 30th
    ],
)
def test_a_day_ends_when_the_next_begins_whatever_clocks_do(zone: str, start: str, end: str) -> None:
    assert due(day(zone), datetime.fromisoformat(start)) == datetime.fromisoformat(end)


@given(AWARE, st.sampled_from(sorted(one for one in available_timezones() if zone_exists(one))))
def test_no_day_ends_before_its_last_microsecond_or_after_it(start: datetime, zone: str) -> None:
    end, there = due(day(zone), start), ZoneInfo(zone)
    assert (end - MOMENT).astimezone(there).date() == start.astimezone(there).date() < end.astimezone(there).date()
    assert timedelta(0) < end - start <= LONGEST_DAY == day(zone).longest


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "UTC", "Etc/GMT+7", "America/Argentina/Buenos_Aires"])
def test_a_zone_that_there_is(zone: str) -> None:
    assert zone_exists(zone)


@pytest.mark.parametrize(
    "zone",
    ["", "Asia/Bandung", "asia/jakarta", "Asia", "../Asia/Jakarta", "/etc/passwd", "Asia/../UTC", "Asia/Jakarta\0"],
)
def test_a_zone_that_there_is_not(zone: str) -> None:
    """Attack: a path in the place of a name."""
    assert not zone_exists(zone)


# Warnings, and what people read


def test_warnings_come_at_the_parts_of_the_time() -> None:
    start = datetime(2026, 5, 4, tzinfo=UTC)
    assert warnings(start, start + timedelta(hours=10), (0.5, 0.8)) == (
        start + timedelta(hours=5),
        start + timedelta(hours=8),
    )
    assert warnings(start, start + timedelta(hours=10), ()) == ()


def test_a_deadline_is_read_as_its_span_or_as_the_end_of_the_day() -> None:
    assert str(span(hours=4)) == "PT4H"
    assert str(day("Asia/Jakarta")) == "end of the day, Asia/Jakarta"
    assert span(hours=4).longest == timedelta(hours=4)
