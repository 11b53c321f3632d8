"""A lying exchange on a stage, with clients of either make before it: one specification for threads and asyncio."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from panji.client import Client
from support.blocking import BlockingAsyncClient
from support.statements import MINISTRY, NOON, PLATFORM, a_flag

if TYPE_CHECKING:
    from pathlib import Path

    from panji.profile import Profile
    from panji.session import Signed
    from support.lying_exchange import Authority, LyingExchange, World

TIMEOUT = timedelta(seconds=20)


class Crash(BaseException):
    """The process dies here."""


class Stage:
    """A world, its exchange, and clients of one of the two makes."""

    def __init__(self, world: World, exchange: LyingExchange, home: Path, authority: Authority, make: str) -> None:
        self.world = world
        self.exchange = exchange
        self.home = home
        self.authority = authority
        self.make = make
        self.opened = ExitStack()

    def profile(self, organisation: str) -> Profile:
        return self.world.profile(self.home / organisation, organisation, self.exchange.address, self.authority)

    def connect(self, who: str | Profile, timeout: timedelta = TIMEOUT) -> Any:
        """Connects. An organisation's state stays where it was the last time."""
        profile = self.profile(who) if isinstance(who, str) else who
        if self.make == "threads":
            client: Any = Client.connect(profile, timeout=timeout)
        else:
            client = BlockingAsyncClient(profile, timeout)
        self.opened.callback(client.close)
        return client

    def flags(self, count: int, *, language: str = "en") -> list[Signed]:
        """Flags that have arrived at the exchange by other ways."""
        ministry = self.world.session(MINISTRY)
        signed = [ministry.sign(PLATFORM, a_flag(), language=language, now=NOON) for _ in range(count)]
        for one in signed:
            self.exchange.announce(one.envelope)
        return signed
