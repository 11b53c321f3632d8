"""A clock that is not taken into the future by a jump of the machine's."""

from __future__ import annotations

from datetime import timedelta

from support.rooms import LATER

from panji_server.steady import SteadyClock, elapsed

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Machine:
    """What the machine's clock says, and what has passed."""

    def __init__(self) -> None:
        self.now = LATER
        self.passed = timedelta(hours=3)
        self.jumps: list[timedelta] = []
        self.clock = SteadyClock(lambda: self.now, lambda: self.passed, self.jumps.append)

    def go_on(self, by: timedelta, *, gain: timedelta = timedelta()) -> None:
        self.passed += by
        self.now += by + gain


def test_it_says_what_the_machine_says_whose_clock_goes_on_as_time_does() -> None:
    machine = Machine()
    machine.go_on(40 * DAY)
    assert machine.clock() == machine.now == LATER + 40 * DAY
    assert machine.jumps == []


def test_a_clock_that_is_set_ahead_is_not_followed_and_that_is_told_once_for_each_time() -> None:
    machine = Machine()
    machine.go_on(SECOND, gain=30 * DAY)
    assert machine.clock() == LATER + SECOND
    machine.go_on(SECOND)
    assert machine.clock() == LATER + 2 * SECOND
    machine.go_on(SECOND, gain=-30 * DAY)
    assert machine.clock() == machine.now == LATER + 3 * SECOND
    machine.go_on(SECOND, gain=2 * DAY)
    machine.clock()
    assert machine.jumps == [30 * DAY, 2 * DAY]


def test_a_clock_that_is_set_back_is_followed() -> None:
    machine = Machine()
    machine.go_on(SECOND, gain=-DAY)
    assert machine.clock() == machine.now
    machine.go_on(SECOND, gain=DAY)
    assert machine.clock() == LATER - DAY + 2 * SECOND


def test_a_clock_that_is_slewed_is_followed_however_far_it_gets() -> None:
    machine = Machine()
    for _ in range(100):
        machine.go_on(SECOND, gain=30 * SECOND)
        assert machine.clock() == machine.now
    assert machine.jumps == []


def test_time_passes() -> None:
    assert elapsed() <= elapsed()
