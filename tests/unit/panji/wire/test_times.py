"""Timestamps to instants and back: exact to the microsecond, and nothing outside the calendar gets in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from panji.errors import MalformedError
from panji.wire.times import to_datetime, to_timestamp

FIRST, LAST = -62_135_596_800, 253_402_300_799


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_as_it_was(instant: datetime) -> None:
    timestamp = to_timestamp(instant)
    assert to_datetime(timestamp) == instant
    assert timestamp.ToJsonString()  # protobuf's own check of the range


def test_an_instant_keeps_its_place_in_time_and_comes_back_in_utc() -> None:
    east = datetime(2026, 5, 4, 7, 0, tzinfo=timezone(timedelta(hours=7)))
    back = to_datetime(to_timestamp(east))
    assert back == east
    assert back.tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "nanos", "instant"),
    [
        (0, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, 500_000_000, datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        (0, 1_999, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),  # what is finer than a microsecond is cut off
        (FIRST, 0, datetime(1, 1, 1, tzinfo=UTC)),
        (LAST, 999_999_999, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_its_instant_in_utc(seconds: int, nanos: int, instant: datetime) -> None:
    assert to_datetime(Timestamp(seconds=seconds, nanos=nanos)) == instant


@pytest.mark.parametrize(
    ("seconds", "nanos", "complaint"),
    [
        (FIRST - 1, 0, "outside the years 1 to 9999"),
        (LAST + 1, 0, "outside the years 1 to 9999"),
        (2**63 - 1, 0, "outside the years 1 to 9999"),
        (-(2**63), 0, "outside the years 1 to 9999"),
        (0, -1, "nanos are outside of a second"),
        (0, 1_000_000_000, "nanos are outside of a second"),
        (0, 2**31 - 1, "nanos are outside of a second"),
    ],
)
def test_a_timestamp_that_is_no_time_is_malformed(seconds: int, nanos: int, complaint: str) -> None:
    with pytest.raises(MalformedError, match=complaint):
        to_datetime(Timestamp(seconds=seconds, nanos=nanos))
