"""Timestamps to instants and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from panji.errors import MalformedError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NANOS = 1_000_000_000


def to_datetime(message: Timestamp) -> datetime:
    """Returns the instant in UTC, in whole microseconds (a finer part is cut off).

    Raises:
        MalformedError: The timestamp is outside the years 1 to 9999, or its nanos outside a second.
    """
    if not 0 <= message.nanos < _NANOS:
        raise MalformedError("a timestamp's nanos are outside of a second")
    try:
        return _EPOCH + timedelta(0, message.seconds, message.nanos // 1000)
    except OverflowError:
        raise MalformedError("a timestamp is outside the years 1 to 9999") from None


def fill_timestamp(message: Timestamp, instant: datetime) -> None:
    """Writes an aware instant into a timestamp."""
    micros = (instant - _EPOCH) // _MICROSECOND
    message.seconds = micros // 1_000_000
    message.nanos = micros % 1_000_000 * 1000


def to_timestamp(instant: datetime) -> Timestamp:
    """Returns the timestamp of an aware instant."""
    message = Timestamp()
    fill_timestamp(message, instant)
    return message
