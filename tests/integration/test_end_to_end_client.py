"""The reference client against the real exchange, for threads and for asyncio: the same story, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.exchange import RECORDED, running_exchange
from support.statements import a_flag, a_question, a_target_decision

from panji.client import AsyncClient, Client
from panji.core.vocabulary import AcknowledgementLevel, CaseState
from panji.errors import Reason, RefusedError, TransportError
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.exchange import Running

    from panji.session import VerifiedCase


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange of one authority and one platform, each with a client's profile."""
    with running_exchange(tmp_path / "made") as running:
        yield running


def profile(own: Running, organisation: str) -> Profile:
    return Profile.load(own.world.made.profiles[organisation])


STORY = [
    (RECORDED, "flag", 1),
    (RECORDED + 1, "acknowledgement", 1),
    (RECORDED + 2, "clarification_request", 2),
    (RECORDED + 3, "clarification_answer", 2),
    (RECORDED + 4, "decision", 3),
    (RECORDED + 5, "correspondence", 4),
]
"""Index, kind and sequence of every statement of the story below."""


def assert_story(case: VerifiedCase) -> None:
    receipts = [one.receipt for one in case.statements]
    assert [(one.index, one.kind, one.sequence) for one in receipts] == STORY
    assert case.case.state is CaseState.DECIDED


def test_client_takes_a_case_through_its_whole_life_and_a_restart(own: Running) -> None:
    with (
        Client.connect(profile(own, "kominfo")) as ministry,
        Client.connect(profile(own, "telegram")) as platform,
    ):
        signed = ministry.flag("telegram", a_flag(count=2))
        assert ministry.pending() == [signed]
        flag = ministry.submit(signed)
        assert ministry.submit(signed) == flag
        assert ministry.pending() == []
        (delivered,) = platform.watch(follow=False)
        assert (delivered.envelope, delivered.receipt) == (flag.envelope, flag.receipt)
        platform.acknowledge(delivered, AcknowledgementLevel.UNDER_REVIEW)
        platform.ask(delivered, [a_question(1)])
        _, question = ministry.watch(follow=False)
        head = ministry.checkpoint()
        own.kill()
        own.restart()
        answer = ministry.answer(question, "The second one.")
        assert [one.digest for one in platform.watch(follow=False)] == [answer.digest]
        decision = platform.decide(delivered, [a_target_decision(1), a_target_decision(2)])
        platform.correspond(decision, "Office hours", "The desk is closed on Friday.")
        assert_story(ministry.case(flag.statement.id))
        assert [one.case for one in platform.cases()] == [ministry.case(flag.statement.id).case]
        newer = ministry.checkpoint()
        assert (head.size, newer.size) == (RECORDED + 3, RECORDED + 6)
        ministry.inclusion_proof(0)
        with pytest.raises(RefusedError) as refusal:
            ministry.withdraw(flag, "By mistake.")
        assert refusal.value.reason is Reason.MOVE_NOT_ALLOWED
        results = list(ministry.submit_many([ministry.flag("telegram", a_flag()) for _ in range(5)], batch=2))
        assert [one.receipt.index for _, one in results if not isinstance(one, RefusedError)] == list(
            range(RECORDED + 6, RECORDED + 11)
        )


async def test_async_client_takes_a_case_through_its_whole_life_and_a_restart(own: Running) -> None:
    async with (
        AsyncClient.connect(profile(own, "kominfo")) as ministry,
        AsyncClient.connect(profile(own, "telegram")) as platform,
    ):
        signed = await ministry.flag("telegram", a_flag(count=2))
        assert await ministry.pending() == [signed]
        flag = await ministry.submit(signed)
        assert await ministry.submit(signed) == flag
        assert await ministry.pending() == []
        (delivered,) = await all_of(platform.watch(follow=False))
        assert (delivered.envelope, delivered.receipt) == (flag.envelope, flag.receipt)
        await platform.acknowledge(delivered, AcknowledgementLevel.UNDER_REVIEW)
        await platform.ask(delivered, [a_question(1)])
        _, question = await all_of(ministry.watch(follow=False))
        head = await ministry.checkpoint()
        own.kill()
        own.restart()
        answer = await ministry.answer(question, "The second one.")
        assert [one.digest for one in await all_of(platform.watch(follow=False))] == [answer.digest]
        decision = await platform.decide(delivered, [a_target_decision(1), a_target_decision(2)])
        await platform.correspond(decision, "Office hours", "The desk is closed on Friday.")
        assert_story(await ministry.case(flag.statement.id))
        assert [one.case for one in await all_of(platform.cases())] == [(await ministry.case(flag.statement.id)).case]
        newer = await ministry.checkpoint()
        assert (head.size, newer.size) == (RECORDED + 3, RECORDED + 6)
        await ministry.inclusion_proof(0)
        with pytest.raises(RefusedError) as refusal:
            await ministry.withdraw(flag, "By mistake.")
        assert refusal.value.reason is Reason.MOVE_NOT_ALLOWED
        more = [await ministry.flag("telegram", a_flag()) for _ in range(5)]
        results = await all_of(ministry.submit_many(more, batch=2))
        assert [one.receipt.index for _, one in results if not isinstance(one, RefusedError)] == list(
            range(RECORDED + 6, RECORDED + 11)
        )


async def all_of(stream: Any) -> list[Any]:
    return [one async for one in stream]


def test_client_keeps_what_nobody_answered_and_sends_it_later(own: Running) -> None:
    with Client.connect(profile(own, "kominfo")) as ministry:
        signed = ministry.flag("telegram", a_flag())
        own.kill()
        with pytest.raises(TransportError):
            ministry.submit(signed)
        assert ministry.pending() == [signed]
    own.restart()
    with Client.connect(profile(own, "kominfo")) as ministry:
        assert [one for one, _ in ministry.submit_many(ministry.pending())] == [signed]
        assert ministry.pending() == []
