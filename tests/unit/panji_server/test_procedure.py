"""The procedure on record: what is in force is in the log first, and once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from support.memory import MemoryStorage
from support.procedures import HEAD, OTHER, VAGUE
from support.rooms import LATER, LOG, FixedDirectory
from support.statements import EXCHANGE, OPERATOR

from panji.core.keys import PrivateKeySigner
from panji.core.rules import MAX_PROCEDURE
from panji.core.vocabulary import Kind
from panji.errors import ConfigError, Reason, RefusedError
from panji_server.admission import Rules
from panji_server.exchange import Exchange
from panji_server.herald import Herald
from panji_server.limits import RateLimit
from panji_server.on_record import NEWEST, document_of
from panji_server.procedure import ProcedureFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

VOICE = PrivateKeySigner.generate()
HERALD = Herald(EXCHANGE, OPERATOR, VOICE, b"of this exchange's servers")
TEXT = HEAD + VAGUE + OTHER
NEXT = TEXT.replace("version = 1", "version = 2")


@asynccontextmanager
async def an_exchange(storage: MemoryStorage) -> AsyncIterator[Exchange]:
    exchange = Exchange(
        storage, LOG, FixedDirectory(), Rules(EXCHANGE), RateLimit(1e6, 1000), max_queue=100, on_failure=lambda _: None
    )
    try:
        yield exchange
    finally:
        await asyncio.wait_for(exchange.stop(), 10)


def a_file(folder: Path, text: str) -> ProcedureFile:
    path = folder / "procedure.toml"
    path.write_text(text)
    return ProcedureFile(path)


def on_record(storage: MemoryStorage) -> list[str | None]:
    """The documents of all records, oldest first."""
    found, before = [], NEWEST
    while (row := storage.record(Kind.PROCEDURE_RECORD, before)) is not None:
        found.append(document_of(row))
        before = row.index
    return found[::-1]


async def test_every_version_is_recorded_once_and_in_force_from_then_on(tmp_path: Path) -> None:
    storage = MemoryStorage()
    for text, version in ((TEXT, 1), (TEXT, 1), (NEXT, 2)):
        async with an_exchange(storage) as exchange:  # as over a restart
            await a_file(tmp_path, text).record(exchange, HERALD, LATER)
            assert exchange.procedures.current is not None
            assert exchange.procedures.current.version == version
    assert on_record(storage) == [TEXT, NEXT]


async def test_an_exchange_without_a_procedure_has_none_in_force_and_none_on_record() -> None:
    storage = MemoryStorage()
    none = ProcedureFile(None)
    none.must_follow(storage)
    async with an_exchange(storage) as exchange:
        await none.record(exchange, HERALD, LATER)
        assert exchange.procedures.current is None
    assert on_record(storage) == []


async def test_a_log_that_has_one_on_record_is_not_served_without_one(tmp_path: Path) -> None:
    storage = MemoryStorage()
    async with an_exchange(storage) as exchange:
        await a_file(tmp_path, TEXT).record(exchange, HERALD, LATER)
    with pytest.raises(ConfigError, match="the log has one on record"):
        ProcedureFile(None).must_follow(storage)
    a_file(tmp_path, NEXT).must_follow(storage)


async def test_what_the_log_does_not_take_is_not_in_force(tmp_path: Path) -> None:
    async with an_exchange(MemoryStorage()) as exchange:
        await exchange.stop()
        with pytest.raises(RefusedError) as refusal:
            await a_file(tmp_path, TEXT).record(exchange, HERALD, LATER)
        assert refusal.value.reason is Reason.SHUTTING_DOWN
        assert exchange.procedures.current is None


def test_a_procedure_that_contradicts_itself_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"procedure: .*rule\[0\]\.decided"):
        a_file(tmp_path, HEAD + '[[rule]]\nid = "one"\n')
    with pytest.raises(ConfigError, match="procedure: "):
        ProcedureFile(tmp_path / "missing.toml")


@pytest.mark.parametrize("more", ["# \x85\n", "#" * MAX_PROCEDURE])
def test_a_procedure_that_no_record_can_hold_is_refused_as_a_wrong_setting(tmp_path: Path, more: str) -> None:
    with pytest.raises(ConfigError, match=r"procedure: .*could not be put on record"):
        a_file(tmp_path, TEXT + more)
