"""The clock that stands: a pause never makes a deadline earlier, and a restart gives the whole time again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from panji.core.procedure import clock, deadlines
from panji.core.procedure.clock import ClockMode, Pause
from panji.core.procedure.deadlines import Since, Within

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
FOUR_HOURS = Within(Since.DELIVERED, timedelta(hours=4))
SAME_DAY = Within(Since.DELIVERED, None, "Asia/Jakarta")
MOMENT = timedelta(microseconds=1)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def paused(begins: float, ends: float | None, mode: ClockMode = ClockMode.PAUSE) -> Pause:
    return Pause(at(begins), None if ends is None else at(ends), mode)


def test_a_clock_that_never_stood_ends_when_the_deadline_says() -> None:
    assert clock.due(FOUR_HOURS, START) == at(4)


def test_after_a_pause_the_time_that_was_left_runs_on() -> None:
    assert clock.due(FOUR_HOURS, START, [paused(1, 3)]) == at(6)


def test_after_a_restart_the_whole_time_runs_again() -> None:
    """TCO art. 3(8): the hour starts when the clarification is received."""
    assert clock.due(FOUR_HOURS, START, [paused(3, 10, ClockMode.RESTART)]) == at(14)


def test_while_it_stands_nothing_is_due() -> None:
    assert clock.due(FOUR_HOURS, START, [paused(1, None)]) is None
    assert clock.due(FOUR_HOURS, START, [paused(1, 2), paused(3, None, ClockMode.RESTART)]) is None


def test_a_deadline_that_had_passed_is_not_brought_back_by_a_question() -> None:
    """Attack: a platform that asks in the moment after."""
    for late in (paused(4, 9), paused(4, None), paused(5, 6, ClockMode.RESTART)):
        assert clock.due(FOUR_HOURS, START, [late]) == at(4)
    just_in_time = Pause(at(4) - MOMENT, at(9))
    assert clock.due(FOUR_HOURS, START, [just_in_time]) == at(9) + MOMENT


def test_pauses_that_overlap_count_once() -> None:
    """Force majeure in the middle of a question."""
    assert clock.due(FOUR_HOURS, START, [paused(1, 5), paused(2, 6), paused(3, 4)]) == at(9)
    assert clock.due(FOUR_HOURS, START, [paused(2, 6), paused(1, 5)]) == at(9)


def test_a_restart_within_a_longer_pause_counts_from_its_end() -> None:
    assert clock.due(FOUR_HOURS, START, [paused(1, 6), paused(2, 3, ClockMode.RESTART)]) == at(10)


def test_what_stood_before_it_began_has_taken_nothing() -> None:
    assert clock.due(FOUR_HOURS, START, [paused(-3, -1)]) == at(4)
    assert clock.due(FOUR_HOURS, START, [paused(-3, 2)]) == at(6)


def test_a_restart_of_a_same_day_deadline_gives_that_day() -> None:
    """From 19:00 in Jakarta on 4 May to 8:00 on the 6th."""
    assert clock.due(SAME_DAY, START, [paused(1, 37, ClockMode.RESTART)]) == datetime(2026, 5, 6, 17, tzinfo=UTC)


def test_warnings_wait_with_the_clock_and_those_that_came_do_not_come_again() -> None:
    assert clock.warnings(FOUR_HOURS, START, (0.5, 0.75)) == (at(2), at(3))
    assert clock.warnings(FOUR_HOURS, START, (0.5, 0.75), [paused(2.5, 5)]) == (at(2), at(5.5))
    assert clock.warnings(FOUR_HOURS, START, (0.5, 0.75), [paused(2.5, None)]) == (at(2), None)


spans = st.timedeltas(MOMENT, timedelta(days=40))
withins = st.builds(Within, st.just(Since.DELIVERED), spans) | st.just(SAME_DAY)
offsets = st.timedeltas(timedelta(days=-2), timedelta(days=50))
closed = st.builds(
    lambda one, other, mode: Pause(START + min(one, other), START + max(one, other), mode),
    offsets,
    offsets,
    st.sampled_from(ClockMode),
)


@given(withins, st.lists(closed, max_size=6))
def test_pausing_never_makes_a_deadline_earlier(within: Within, pauses: list[Pause]) -> None:
    found = clock.due(within, START, pauses)
    assert found is not None
    assert found >= deadlines.due(within, START)


@given(withins, st.lists(closed, max_size=4), closed)
def test_one_pause_more_never_makes_a_deadline_earlier(within: Within, pauses: list[Pause], more: Pause) -> None:
    only = [one._replace(mode=ClockMode.PAUSE) for one in pauses]
    before, after = (
        clock.due(within, START, only),
        clock.due(within, START, [*only, more._replace(mode=ClockMode.PAUSE)]),
    )
    assert before is not None
    assert after is not None
    assert after >= before


@given(withins, closed)
def test_a_restart_gives_the_full_span_again(within: Within, pause: Pause) -> None:
    found = clock.due(within, START, [pause._replace(mode=ClockMode.RESTART)])
    resumed = max(pause.ends or START, START)
    passed = pause.begins >= deadlines.due(within, START)
    assert found == deadlines.due(within, START if passed else resumed)


@given(spans, st.lists(closed, max_size=6), st.randoms())
def test_the_order_in_which_pauses_are_told_changes_nothing(
    span: timedelta, pauses: list[Pause], random: object
) -> None:
    within = Within(Since.DELIVERED, span)
    only = [one._replace(mode=ClockMode.PAUSE) for one in pauses]
    shuffled = sorted(only, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert clock.due(within, START, shuffled) == clock.due(within, START, only)
