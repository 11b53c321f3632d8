"""Rate limits: a token bucket for each organisation. Pure: the clock is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from panji.errors import Reason, RefusedError


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Lets every organisation submit ``rate`` statements a second on average, and ``burst`` at once.

    Args:
        rate: Statements a second.
        burst: Most at once; a single call of more is refused unless the bucket is full.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, organisation: str, count: int, now: float) -> None:
        """Takes ``count`` statements out of the organisation's allowance.

        Args:
            organisation: Who submits.
            count: How many.
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
