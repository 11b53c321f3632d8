"""A reading of the feed: how long it waits when it breaks off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from panji import feed as feeds
from panji.errors import Reason, RefusedError, TransportError
from panji.feed import Feed, Patience
from panji.inbox import Cursor


@pytest.fixture
def feed() -> Feed:
    return Feed(None, Cursor(), moves_cursor=False)  # type: ignore[arg-type]  # it only waits here


# Pauses.


def test_pauses_grow_and_stay_bounded(feed: Feed) -> None:
    pauses = [feed.pause(TransportError("gone")) for _ in range(40)]
    assert pauses[0] <= feeds._FIRST_PAUSE
    assert pauses[5] > 10 * pauses[0]
    assert max(pauses) <= feeds._LONGEST_PAUSE


def test_a_pause_is_never_shorter_than_the_exchange_asks_for(feed: Feed) -> None:
    refusal = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(minutes=5))
    assert feed.pause(refusal) == timedelta(minutes=5)


def test_an_exchange_sends_nobody_to_sleep_for_years(feed: Feed) -> None:
    """Attack: a time to come back at that no clock can count to."""
    refusal = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(days=3_200_000))
    assert feed.pause(refusal) == feeds._MOST_PATIENCE


def test_what_waiting_does_not_mend_is_raised(feed: Feed) -> None:
    with pytest.raises(RefusedError):
        feed.pause(RefusedError(Reason.PARTICIPANT_UNKNOWN, "who?"))


# Patience.


def test_only_a_statement_renews_the_patience_of_a_reading_that_is_to_end() -> None:
    now = 100.0
    patience = Patience(timedelta(seconds=30), clock=lambda: now)
    assert patience.left() == 30
    now = 120.0
    assert patience.left() == patience.left() == 10
    patience.renew()
    assert patience.left() == 30
    now = 150.0
    with pytest.raises(TransportError, match="within 0:00:30"):
        patience.left()


def test_a_reading_that_follows_waits_for_ever() -> None:
    assert Patience(None, clock=lambda: 1e9).left() is None
