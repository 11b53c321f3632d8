"""What one organisation may do: so much in a time, and so many calls at once. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.errors import Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNIT_BYTES = 4096
"""Bytes of an envelope that cost as much as a statement does by itself: hashing, parsing, storing and delivering it."""

_RETRY = timedelta(seconds=1)


def units(envelopes: Iterable[bytes]) -> int:
    """Returns what these envelopes take of a rate: one each, and one for every full 4 KiB."""
    return sum([1 + len(envelope) // UNIT_BYTES for envelope in envelopes])


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Lets every organisation submit ``rate`` units a second on average, and ``burst`` at once.

    Args:
        rate: Units a second; see :func:`units`.
        burst: Most at once; a single call of more is refused unless the bucket is full.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, organisation: str, count: int, now: float) -> None:
        """Takes ``count`` units out of the organisation's allowance.

        Args:
            organisation: Who submits.
            count: How many units.
            now: A monotonic clock, in seconds.

        Raises:
            RefusedError: RATE_LIMITED, with the time after which there will be enough.
        """
        bucket = self._buckets.setdefault(organisation, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        # A batch may be larger than the burst: it passes when the bucket is full, and pays afterwards.
        if bucket.tokens < min(count, self._burst):
            wait = (min(count, self._burst) - bucket.tokens) / self._rate
            # In whole milliseconds and one more: whoever comes back just then must not fail by a rounding.
            raise RefusedError(
                Reason.RATE_LIMITED,
                "the organisation submits faster than its rate allows",
                retry_after=timedelta(milliseconds=math.ceil(wait * 1000) + 1),
            )
        bucket.tokens -= count


class OpenCalls:
    """Counts the calls of one sort that each organisation has open at once, and lets no more be opened than a limit.

    Args:
        sort: What they are called.
        most: Of one organisation.
    """

    def __init__(self, sort: str, most: int) -> None:
        self._sort = sort
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, organisation: str) -> Iterator[None]:
        """Counts one call while the block runs.

        Raises:
            RefusedError: TOO_MANY_CALLS.
        """
        if self._open[organisation] >= self._most:
            raise RefusedError(
                Reason.TOO_MANY_CALLS,
                f"the organisation has {self._most} {self._sort} open at once, and no more are allowed",
                retry_after=_RETRY,
                metadata={"max": str(self._most)},
            )
        self._open[organisation] += 1
        try:
            yield
        finally:
            self._open[organisation] -= 1
            if not self._open[organisation]:
                del self._open[organisation]
