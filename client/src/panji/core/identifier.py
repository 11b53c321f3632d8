"""Ids of statements: UUIDv7 (RFC 9562, section 5.7; method 3 of section 6.2: ids sort by microsecond)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def new_id(now: datetime, random: bytes) -> str:
    """Returns a UUIDv7.

    Args:
        now: The time, aware.
        random: 8 bytes, fresh; or, where the same occasion must always give the same id, a digest of the occasion.
    """
    micros = (now - _EPOCH) // _MICROSECOND
    fraction = micros % 1000 * 4096 // 1000
    tail = int.from_bytes(random) & (2**62 - 1)
    digits = f"{micros // 1000 << 80 | 7 << 76 | fraction << 64 | 2 << 62 | tail:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
