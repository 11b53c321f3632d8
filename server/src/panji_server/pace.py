"""Pace: whoever works long in the event loop lets others have it now and then."""

from __future__ import annotations

import asyncio
from time import perf_counter

LONGEST_SECONDS = 0.005
"""How long one piece of work after the other is done before everybody else has a turn."""


class Pace:
    """Measures how long somebody has worked since others last had a turn."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def breathe(self) -> None:
        """Between two pieces of work: gives others a turn when it is time."""
        if perf_counter() - self._since > LONGEST_SECONDS:
            await asyncio.sleep(0)
            self._since = perf_counter()
