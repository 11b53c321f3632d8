"""Rate limits: how much at once, how much in the long run, and that a refusal says truly when to come back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.statements import MINISTRY, PLATFORM

from panji.errors import Reason, RefusedError
from panji_server.limits import OpenCalls, RateLimit, units


def refused(limit: RateLimit, count: int, now: float, who: str = MINISTRY) -> float:
    """Seconds after which the refusal says to come back."""
    with pytest.raises(RefusedError) as caught:
        limit.take(who, count, now)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after is not None
    return caught.value.retry_after.total_seconds()


def test_the_burst_passes_at_once_and_one_more_does_not() -> None:
    limit = RateLimit(rate=10, burst=3)
    for _ in range(3):
        limit.take(MINISTRY, 1, 100.0)
    assert refused(limit, 1, 100.0) == pytest.approx(0.1, abs=0.002)


def test_the_allowance_grows_with_time_and_no_further_than_the_burst() -> None:
    limit = RateLimit(rate=10, burst=3)
    limit.take(MINISTRY, 3, 0.0)
    limit.take(MINISTRY, 2, 0.2)
    limit.take(MINISTRY, 3, 1000.0)
    assert refused(limit, 1, 1000.0)


def test_one_organisations_haste_is_not_anothers() -> None:
    limit = RateLimit(rate=1, burst=1)
    limit.take(MINISTRY, 1, 0.0)
    limit.take(PLATFORM, 1, 0.0)
    assert refused(limit, 1, 0.0)


def test_a_refused_call_costs_nothing() -> None:
    limit = RateLimit(rate=1, burst=2)
    limit.take(MINISTRY, 1, 0.0)
    for _ in range(100):
        refused(limit, 2, 0.0)
    limit.take(MINISTRY, 1, 0.0)


def test_a_batch_larger_than_the_burst_passes_when_the_bucket_is_full_and_pays_afterwards() -> None:
    limit = RateLimit(rate=10, burst=10)
    limit.take(MINISTRY, 1000, 0.0)
    assert refused(limit, 1, 0.0) == pytest.approx(99.1, abs=0.01)
    refused(limit, 1000, 99.0)
    limit.take(MINISTRY, 1, 99.2)


def test_a_large_envelope_counts_as_many() -> None:
    """Attack: 120 envelopes of 260 KiB count as little as 120 flags, and cost seconds."""
    assert units([]) == 0
    assert units([b"", b"x" * 4095]) == 2
    assert units([b"x" * 4096]) == 2
    assert units([bytes(260 * 1024)] * 120) == 120 * 66


@given(
    rate=st.floats(0.01, 1e6),
    burst=st.integers(1, 100_000),
    start=st.floats(0, 1e7),
    calls=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 1000)), min_size=1, max_size=20),
)
def test_whoever_comes_back_when_told_is_let_in(
    rate: float, burst: int, start: float, calls: list[tuple[float, int]]
) -> None:
    limit, now = RateLimit(rate, burst), start
    for pause, count in calls:
        now += pause
        try:
            limit.take(MINISTRY, count, now)
        except RefusedError as refusal:
            now += (refusal.retry_after or timedelta(0)).total_seconds()
            limit.take(MINISTRY, count, now)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20)), max_size=50))
def test_nobody_gets_more_than_the_burst_and_what_has_flowed_in_since(calls: list[tuple[float, int]]) -> None:
    limit, now, taken = RateLimit(rate=10, burst=20), 0.0, 0
    for pause, count in calls:
        now += pause
        try:
            limit.take(MINISTRY, count, now)
        except RefusedError:
            continue
        taken += count
        assert taken <= 20 + 10 * now + 1e-6


def test_an_organisation_has_so_many_calls_open_at_once_and_no_more() -> None:
    """Attack: streams that nobody reads, each of which holds what was last sent to it."""
    calls = OpenCalls("streams", 2)
    with calls.one_more(MINISTRY), calls.one_more(PLATFORM), calls.one_more(MINISTRY):
        for _ in range(3):
            with pytest.raises(RefusedError) as caught, calls.one_more(MINISTRY):
                pytest.fail("opened")
            assert (caught.value.reason, caught.value.retry_after) == (Reason.TOO_MANY_CALLS, timedelta(seconds=1))
            assert caught.value.metadata == {"max": "2"}
        with calls.one_more(PLATFORM):
            pass
    with calls.one_more(MINISTRY), calls.one_more(MINISTRY):
        pass


def test_a_call_that_fails_is_not_open_any_more() -> None:
    calls = OpenCalls("reads", 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="a defect"), calls.one_more(MINISTRY):
            raise ValueError("a defect")
