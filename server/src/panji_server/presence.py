"""Presence: how far each organisation has fetched its feed, and when it was last here.

It is what the exchange can say of a delivery: that it handed a statement over on an authenticated connection. That
somebody read it is for the recipient to say, in a signed acknowledgement.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from panji_server.storage.base import Fetched

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime

    from panji.core.directory import Organisation

FLUSH_SECONDS = 1.0
"""How often what is new is written down. A crash forgets at most this much: who is there again is seen again."""
_SEEN_EVERY = 60
"""Of so many looks, one writes down who was here though nobody fetched anything."""


class Presence:
    """Remembers who fetched what and who was here, and hands it over to be kept.

    Args:
        clock: Gives the time; aware.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._through: dict[str, int] = {}
        self._fetched: list[Fetched] = []
        self._seen: dict[str, datetime] = {}
        self._watching: Counter[str] = Counter()
        self._looks = 0

    def called(self, organisation: Organisation) -> None:
        """Notes that a participant of the organisation has called."""
        self._seen[organisation.id] = self._clock()

    @contextmanager
    def watching(self, organisation: Organisation) -> Iterator[None]:
        """Notes that a participant of the organisation listens, for as long as this is open."""
        self._watching[organisation.id] += 1
        try:
            yield
        finally:
            self._watching[organisation.id] -= 1
            self.called(organisation)

    def handed_over(self, recipient: str, participant: str, through: int) -> None:
        """Notes that a recipient's feed was handed over up to a sequence."""
        if through > self._through.get(recipient, 0):
            self._through[recipient] = through
            self._fetched.append(Fetched(recipient, through, participant, self._clock()))

    def last_seen(self, organisation: str) -> datetime | None:
        """When a participant was last here, as far as this process has seen; now, where one is listening."""
        return self._clock() if self._watching[organisation] else self._seen.get(organisation)

    def take(self) -> tuple[Sequence[Fetched], dict[str, datetime]]:
        """Returns what is to be kept by now, and forgets that it is new. Both empty: nothing."""
        self._looks += 1
        if not self._fetched and self._looks % _SEEN_EVERY:
            return (), {}
        fetched, self._fetched = self._fetched, []
        here = {one: self._clock() for one, count in self._watching.items() if count}
        seen, self._seen = self._seen | here, {}
        return fetched, seen

    async def follow(self, keep: Callable[[Sequence[Fetched], dict[str, datetime]], Awaitable[None]]) -> None:
        """Has what is new kept, again and again, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            fetched, seen = self.take()
            if fetched or seen:
                await keep(fetched, seen)
