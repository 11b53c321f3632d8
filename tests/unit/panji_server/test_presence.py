"""Who fetched what, and who was here: noted as it happens, kept from time to time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.rooms import LATER, an_organisation
from support.statements import MINISTRY, PLATFORM

from panji_server import presence as presences
from panji_server.presence import Presence
from panji_server.storage.base import Fetched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

GATEWAY = "spiffe://test.example/telegram"


class Clock:
    def __init__(self) -> None:
        self.now = LATER

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def presence(clock: Clock) -> Presence:
    return Presence(clock)


def fetched(through: int, at: datetime = LATER) -> Fetched:
    return Fetched(PLATFORM, through, GATEWAY, at)


def test_a_feed_that_gets_further_is_noted_and_one_that_is_read_again_is_not(presence: Presence, clock: Clock) -> None:
    presence.handed_over(PLATFORM, GATEWAY, 3)
    clock.now += timedelta(seconds=1)
    for through in (0, 2, 3, 5, 4):
        presence.handed_over(PLATFORM, GATEWAY, through)
    assert presence.take()[0] == [fetched(3), fetched(5, clock.now)]
    assert presence.take() == ((), {})


def test_who_has_called_was_here_then(presence: Presence, clock: Clock) -> None:
    assert presence.last_seen(PLATFORM) is None
    presence.called(an_organisation(PLATFORM))
    clock.now += timedelta(hours=1)
    assert presence.last_seen(PLATFORM) == LATER
    assert presence.last_seen(MINISTRY) is None


def test_who_listens_is_here_now_and_was_here_until_the_stream_ended(presence: Presence, clock: Clock) -> None:
    platform = an_organisation(PLATFORM)
    with presence.watching(platform), presence.watching(platform):
        clock.now += timedelta(hours=1)
        assert presence.last_seen(PLATFORM) == clock.now
    clock.now += timedelta(hours=1)
    assert presence.last_seen(PLATFORM) == LATER + timedelta(hours=1)


def test_who_was_here_is_kept_with_what_was_fetched_or_once_in_a_while(presence: Presence) -> None:
    presence.called(an_organisation(MINISTRY))
    assert presence.take() == ((), {})
    presence.handed_over(PLATFORM, GATEWAY, 1)
    with presence.watching(an_organisation(PLATFORM)):
        assert presence.take() == ([fetched(1)], {MINISTRY: LATER, PLATFORM: LATER})
    quiet = [presence.take() for _ in range(presences._SEEN_EVERY)]
    assert [seen for _, seen in quiet if seen] == [{PLATFORM: LATER}]


async def test_what_is_new_is_kept_and_nothing_is_not(presence: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presences, "FLUSH_SECONDS", 0.0)
    kept: asyncio.Queue[tuple[Sequence[Fetched], dict[str, datetime]]] = asyncio.Queue()

    async def keep(new: Sequence[Fetched], seen: dict[str, datetime]) -> None:
        kept.put_nowait((new, seen))

    following = asyncio.create_task(presence.follow(keep))
    for through in (1, 2):
        presence.handed_over(PLATFORM, GATEWAY, through)
        assert await asyncio.wait_for(kept.get(), 10) == ([fetched(through)], {})
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert kept.empty()
