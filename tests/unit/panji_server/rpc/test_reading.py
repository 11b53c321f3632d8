"""Reading cases while they are erased: no case is shown without what was said in it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import LOG, FixedDirectory, an_erasure_of, an_organisation, flags, put
from support.statements import EXCHANGE, an_id

from panji.errors import Reason, RefusedError
from panji.v1 import case_pb2
from panji_server.admission import Rules
from panji_server.exchange import Exchange
from panji_server.limits import RateLimit
from panji_server.rpc.call import CALL, Call
from panji_server.rpc.reading import CaseService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from panji_server.sequencing import Admitted

PATIENCE = 10.0
"""Seconds until a test that hangs fails; nothing waits that long."""
SUBMISSION: Any = None
"""No statement is sent here."""


class ErasedMeanwhile(MemoryStorage):
    """A database in which a case is erased after it was found, and before its statements are read."""

    def __init__(self, *erased: Admitted) -> None:
        super().__init__()
        self._erased = list(erased)

    def case_sizes(self, case_indexes: Collection[int]) -> dict[int, tuple[int, int]]:
        for number, flag in enumerate(self._erased):
            put(self, an_erasure_of(flag, number=900 + number, at=self))
        self._erased.clear()
        return super().case_sizes(case_indexes)


@asynccontextmanager
async def a_service(storage: MemoryStorage) -> AsyncIterator[CaseService]:
    """The service, called by the ministry."""
    exchange = Exchange(
        storage,
        LOG,
        FixedDirectory(),
        Rules(EXCHANGE),
        RateLimit(1e6, 1_000_000),
        max_queue=100,
        on_failure=lambda error: pytest.fail(str(error)),
    )
    CALL.set(Call("", "", "", "", 0.0, organisation=an_organisation()))
    try:
        yield CaseService(exchange, SUBMISSION)
    finally:
        await asyncio.wait_for(exchange.stop(), PATIENCE)


async def test_a_case_that_is_erased_while_it_is_read_is_told_as_erased() -> None:
    flag, other = flags(2)
    storage = ErasedMeanwhile(flag)
    put(storage, flag, other)
    async with a_service(storage) as service:
        with pytest.raises(RefusedError) as refusal:
            await service.GetCase(case_pb2.GetCaseRequest(case_id=flag.statement.id), None)
        assert refusal.value.reason is Reason.CONTENT_ERASED
        whole = await service.GetCase(case_pb2.GetCaseRequest(case_id=other.statement.id), None)
        assert [one.envelope for one in whole.case.statements] == [other.envelope]


async def test_cases_that_are_erased_while_a_page_is_read_are_left_out_and_the_next_page_goes_on() -> None:
    said = flags(4)
    storage = ErasedMeanwhile(said[2], said[3])
    put(storage, *said)
    async with a_service(storage) as service:
        pages, token = [], ""
        while True:
            request = case_pb2.ListCasesRequest(page_size=2, page_token=token, with_statements=True)
            page = await service.ListCases(request, None)
            pages.append([case.id for case in page.cases])
            token = page.next_page_token
            if not token:
                break
    assert pages == [[], [an_id(2), an_id(1)]]
