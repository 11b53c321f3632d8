"""A clock that no jump of the machine's clock takes into the future.

What the exchange says of others' silence it says by time alone, and cannot take back: a machine whose clock is set
30 days ahead for a moment must not state that everybody is overdue.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_JUMP = timedelta(minutes=1)
"""More than a clock that is slewed gains between two looks, however long apart they are by seconds."""


def elapsed() -> timedelta:
    """Returns time that passes evenly, sleep of the machine included where it can tell (``CLOCK_BOOTTIME``)."""
    return timedelta(seconds=time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))


class SteadyClock:
    """The machine's clock, as long as it goes on as time does; where it was, going on evenly, once it jumps ahead.

    A clock that is set back is followed. One that stays ahead is believed from the next start on.

    Args:
        clock: The machine's; aware.
        elapsed: Gives time that passes evenly, from any beginning.
        on_jump: Told how far the clock has jumped, once for each jump.
    """

    def __init__(
        self, clock: Callable[[], datetime], elapsed: Callable[[], timedelta], on_jump: Callable[[timedelta], None]
    ) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._on_jump = on_jump
        self._beginning = clock() - elapsed()
        self._jumped = False

    def __call__(self) -> datetime:
        """Returns the time. Call it often: a minute that the clock gains between two calls is taken for a slew."""
        passed = self._elapsed()
        beginning = self._clock() - passed
        ahead = beginning - self._beginning
        if ahead > _JUMP:
            if not self._jumped:
                self._on_jump(ahead)
            self._jumped = True
        else:
            self._beginning = beginning
            self._jumped = False
        return self._beginning + passed
