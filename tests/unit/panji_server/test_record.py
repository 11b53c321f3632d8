"""The directory on record: what is in force is in the log first, once, and by a herald that stays."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from support.exchange import directory_toml
from support.memory import MemoryStorage
from support.rooms import LATER, LOG, LONG_AGO, FixedDirectory, a_directory, an_organisation, flags, put
from support.statements import EXCHANGE, MINISTRY, OPERATOR

from panji.core.directory import Directory, KeyRecord
from panji.core.keys import PrivateKeySigner
from panji.errors import ConfigError, RefusedError
from panji_server.admission import Rules
from panji_server.exchange import Exchange
from panji_server.herald import Herald
from panji_server.limits import RateLimit
from panji_server.record import DirectoryOnRecord, recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

VOICE = PrivateKeySigner.generate()
SECRET = b"of this exchange's servers"
KEY = KeyRecord(VOICE.public_key, LONG_AGO, automatic=True)


def directory(*keys: KeyRecord, operator: str = OPERATOR) -> Directory:
    return a_directory(replace(an_organisation(OPERATOR, keys=keys), id=operator))


@asynccontextmanager
async def a_record(
    storage: MemoryStorage, operator: str = OPERATOR, *, clock: Callable[[], datetime] = lambda: LATER
) -> AsyncIterator[DirectoryOnRecord]:
    exchange = Exchange(
        storage, LOG, FixedDirectory(), Rules(EXCHANGE), RateLimit(1e6, 1000), max_queue=100, on_failure=lambda _: None
    )
    herald = Herald(EXCHANGE, operator, VOICE, SECRET)
    try:
        yield DirectoryOnRecord(exchange, herald, operator, VOICE.public_key, clock)
    finally:
        await asyncio.wait_for(exchange.stop(), 10)


async def test_every_version_is_recorded_once_and_the_newest_is_found() -> None:
    storage = MemoryStorage()
    assert recorded(storage) is None
    times = (LATER + timedelta(hours=n) for n in count())
    async with a_record(storage, clock=times.__next__) as record:
        for text in ("one = 1\n", "one = 1\n", "two = 2\n", "one = 1\n"):
            await record.record(text, directory(KEY))
            assert recorded(storage) == text
    assert storage.extent() == 3


async def test_a_restart_without_a_change_records_nothing() -> None:
    storage = MemoryStorage()
    for _ in range(2):
        async with a_record(storage) as record:
            await record.record("one = 1\n", directory(KEY))
    assert storage.extent() == 1


async def test_a_directory_under_which_the_exchange_could_not_speak_is_not_recorded() -> None:
    storage = MemoryStorage()
    async with a_record(storage) as record:
        with pytest.raises(ConfigError, match="statement_key"):
            await record.record("one = 1\n", directory())
        with pytest.raises(ConfigError, match="no longer a key of operator"):
            await record.record("one = 1\n", directory(KEY, operator="another"))
    assert storage.extent() == 0


async def test_a_directory_that_takes_back_what_proofs_rest_on_is_not_recorded_not_even_after_a_restart() -> None:
    """Attack: an organisation leaves the directory, and with it the keys that its statements are proven by."""
    storage = MemoryStorage()
    whole = directory(KEY)
    left = {key: one for key, one in whole.organisations.items() if key != MINISTRY}
    async with a_record(storage) as record:
        await record.record(directory_toml(whole), whole)
    async with a_record(storage) as record:
        with pytest.raises(ConfigError, match=r"directory: takes back .*: organisation kominfo: may not go"):
            await record.record("without = 1\n", Directory(left))
        assert recorded(storage) == directory_toml(whole)
        await record.record("with = 1\n", whole)
        await record.record("after one that cannot be read = 1\n", Directory({OPERATOR: whole.organisations[OPERATOR]}))
    assert storage.extent() == 3


async def test_a_record_that_the_log_does_not_take_is_told() -> None:
    """Its id is taken: another statement of the same microsecond and text has it, and says something else."""
    storage = MemoryStorage()
    async with a_record(storage) as record:
        await record.record("one = 1\n", directory(KEY))
        await record.record("two = 2\n", directory(KEY))
        other = Herald(EXCHANGE, OPERATOR, PrivateKeySigner.generate(), SECRET).directory_record("three = 3\n", LATER)
        put(storage, other, *flags(1))
        await record.record("four = 4\n", directory(KEY))
        with pytest.raises(RefusedError, match="STATEMENT_ID_REUSED"):
            await record.record("three = 3\n", directory(KEY))
