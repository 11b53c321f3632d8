"""Deadlines that pass in silence: stated once, to both sides, with what is known of the delivery."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import LATER, LOG, FixedDirectory, admitted, flags, put, reply
from support.statements import (
    EXCHANGE,
    MINISTRY,
    OPERATOR,
    PLATFORM,
    a_correspondence,
    a_flag,
    a_statement,
    an_acknowledgement,
    an_id,
)

from panji.core.keys import PrivateKeySigner
from panji.core.statements import DeadlineMissed
from panji.core.vocabulary import CaseState, Deadline
from panji.errors import Reason, RefusedError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server import deadlines as rooms
from panji_server.admission import Rules
from panji_server.deadlines import Deadlines, settled
from panji_server.exchange import Exchange
from panji_server.herald import Herald
from panji_server.limits import RateLimit
from panji_server.storage.base import Fetched, StorageError, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
SECRET = b"of this exchange's servers"
MOMENT = timedelta(microseconds=1)
BEFORE_ALL = rooms._BEFORE_ALL


class Room:
    """An exchange over a log, its clock, and its deadlines."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.now = LATER
        self.failures: list[StorageError] = []
        self.made: list[Any] = []
        self.unstated: list[tuple[str, Reason]] = []
        self.exchange = Exchange(
            self.storage,
            LOG,
            FixedDirectory(),
            Rules(EXCHANGE),
            RateLimit(1e6, 1_000_000),
            max_queue=10_000,
            on_failure=self.failures.append,
            on_statement=self.made.append,
            clock=lambda: self.now,
        )
        self.deadlines = self.of_a_server()

    def of_a_server(self, acknowledged: timedelta = DAY) -> Deadlines:
        herald = Herald(EXCHANGE, OPERATOR, PrivateKeySigner.generate(), SECRET)
        return Deadlines(
            self.exchange,
            herald,
            acknowledged=acknowledged,
            clock=lambda: self.now,
            on_unstated=lambda case, refusal: self.unstated.append((case.id, refusal.reason)),
        )

    def said(self) -> list[tuple[str, DeadlineMissed]]:
        """To whom, and what."""
        found = []
        for row in self.storage.rows(range(10_000)):
            body = parse_statement(parse_envelope(row.envelope).payload).body
            if isinstance(body, DeadlineMissed):
                found.append((row.recipient, body))
        return found


@asynccontextmanager
async def a_room() -> AsyncIterator[Room]:
    room = Room()
    await room.deadlines.begin()
    try:
        yield room
    finally:
        await asyncio.wait_for(room.exchange.stop(), 10)


async def test_nothing_is_late_before_its_time_and_everything_is_from_then_on() -> None:
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + DAY - MOMENT
        assert await room.deadlines.state() == 0
        room.now += MOMENT
        assert await room.deadlines.state() == 1
        assert [(to, body.due_at) for to, body in room.said()] == [(MINISTRY, LATER + DAY), (PLATFORM, LATER + DAY)]
        assert [one.row.recipient for one in room.made] == [MINISTRY, PLATFORM]


async def test_a_deadline_is_stated_once_however_often_and_by_however_many_servers_it_is_looked_at() -> None:
    async with a_room() as room:
        put(room.storage, *flags(3))
        room.now = LATER + DAY
        other = room.of_a_server()
        assert sum(await asyncio.gather(room.deadlines.state(), other.state())) == 3
        assert (await room.deadlines.state(), await other.state()) == (0, 0)
        assert len(room.said()) == 6


async def test_a_clock_that_jumps_neither_skips_a_deadline_nor_states_it_twice() -> None:
    async with a_room() as room:
        put(room.storage, *flags(2))
        room.now = LATER + 400 * DAY
        assert await room.deadlines.state() == 2
        room.now = LATER
        assert await room.deadlines.state() == 0
        room.now = LATER + DAY
        assert await room.deadlines.state() == 0
        assert {body.due_at for _, body in room.said()} == {LATER + DAY}


async def test_a_shorter_time_makes_nobody_late_who_was_flagged_before_it_held() -> None:
    """Attack: an operator sets the time for an answer to an hour, and all that is a few hours old is overdue."""
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + 6 * HOUR
        stricter = room.of_a_server(HOUR)
        await stricter.begin()
        put(room.storage, admitted(a_statement(a_flag(), id=an_id(2)), room.now))
        assert await stricter.state() == 0
        room.now = LATER + 7 * HOUR
        assert await stricter.state() == 1
        room.now = LATER + DAY
        assert await stricter.state() == 1
        assert [body.due_at for to, body in room.said() if to == PLATFORM] == [LATER + 7 * HOUR, LATER + DAY]


async def test_a_longer_time_does_not_excuse_those_whose_time_had_begun() -> None:
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + HOUR
        laxer = room.of_a_server(7 * DAY)
        await laxer.begin()
        await laxer.begin()
        assert len(room.storage.terms()) == 2
        room.now = LATER + DAY
        assert await laxer.state() == 1


@pytest.mark.parametrize(
    ("known", "acknowledged", "now", "last", "expected"),
    [
        pytest.param([], HOUR, 3, None, [(0, HOUR)], id="the first have always held"),
        pytest.param([(0, HOUR)], HOUR, 3, 1, [(0, HOUR)], id="what holds goes on"),
        pytest.param([(0, DAY)], HOUR, 3, 1, [(0, DAY), (3, HOUR)], id="others hold from now on"),
        pytest.param([(0, DAY)], HOUR, 3, 5, [(0, DAY), (5.1, HOUR)], id="shorter: after all that was received"),
        pytest.param([(0, HOUR)], DAY, 3, 5, [(0, HOUR), (5, DAY)], id="longer: for all that is received"),
        pytest.param([(10, HOUR)], DAY, 3, None, [(0, HOUR), (3, DAY)], id="the first, and the clock was ahead"),
        pytest.param([(0, HOUR), (10, DAY)], DAY, 3, 1, [(0, HOUR), (3, DAY)], id="they hold now, not in days"),
        pytest.param([(0, DAY), (10, HOUR)], DAY, 3, 1, [(0, DAY)], id="what never held does not come back"),
        pytest.param([(0, DAY), (9, HOUR), (10, DAY)], DAY, 3, 9.5, [(0, DAY), (9, HOUR), (9.5, DAY)], id="had begun"),
        pytest.param([(0, DAY), (5.1, HOUR)], HOUR, 3, 5, [(0, DAY), (5.1, HOUR)], id="and so again at the next start"),
        pytest.param([(0, DAY), (5.1, HOUR)], DAY, 3, 5, [(0, DAY)], id="thought better of it"),
        pytest.param([(0, HOUR), (5, DAY)], 2 * DAY, 3, 5, [(0, HOUR), (5, 2 * DAY)], id="longer, twice"),
    ],
)
def test_terms_meet_flags_by_their_times_of_receipt_whatever_the_clock_said(
    known: list[tuple[float, timedelta]],
    acknowledged: timedelta,
    now: float,
    last: float | None,
    expected: list[tuple[float, timedelta]],
) -> None:
    """Times are days; 0 is before all, and 5.1 the moment after day 5."""

    def at(days: float) -> datetime:
        return BEFORE_ALL if days == 0 else LATER + 5 * DAY + MOMENT if days == 5.1 else LATER + days * DAY

    terms = settled(
        [Terms(at(since), span) for since, span in known],
        acknowledged,
        now=at(now),
        last=None if last is None else at(last),
    )
    assert [(one.since, one.acknowledged) for one in terms] == [(at(since), span) for since, span in expected]
    assert settled(terms, acknowledged, now=at(now), last=None if last is None else at(last)) == terms


async def test_a_flag_keeps_its_time_though_the_clock_was_ahead_at_its_receipt_and_is_right_again() -> None:
    """Attack: a shorter time is set then, and is applied to what was received before it."""
    async with a_room() as room:
        put(room.storage, admitted(a_statement(a_flag()), LATER + 2 * HOUR))
        room.now = LATER + timedelta(minutes=10)
        stricter = room.of_a_server(HOUR)
        await stricter.begin()
        room.now = LATER + 3 * HOUR
        assert await stricter.state() == 0
        room.now = LATER + 2 * HOUR + DAY
        assert await stricter.state() == 1


async def test_a_rule_of_a_clock_that_was_ahead_does_not_come_back_when_its_day_comes() -> None:
    """Attack: silence is stated after an hour, eleven days after somebody set the clock wrong, though a day is set."""
    async with a_room() as room:
        room.now = LATER + 10 * DAY
        await room.of_a_server(HOUR).begin()
        room.now = LATER
        server = room.of_a_server(DAY)
        await server.begin()
        room.now = LATER + 11 * DAY
        put(room.storage, admitted(a_statement(a_flag()), room.now))
        room.now += 2 * HOUR
        assert await server.state() == 0
        room.now += DAY
        assert await server.state() == 1


async def test_a_longer_time_holds_at_once_though_the_clock_was_ahead_at_the_start_that_set_it() -> None:
    async with a_room() as room:
        await room.of_a_server(HOUR).begin()
        room.now = LATER + 10 * DAY
        server = room.of_a_server(DAY)
        await server.begin()
        room.now = LATER + HOUR  # corrected while the exchange runs
        assert await server.state() == 0
        put(room.storage, admitted(a_statement(a_flag()), room.now))
        room.now += 2 * HOUR
        assert await server.state() == 0
        room.now += DAY
        assert await server.state() == 1


async def test_more_than_fit_in_one_look_are_all_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_AT_ONCE", 2)
    async with a_room() as room:
        put(room.storage, *flags(5))
        room.now = LATER + DAY
        assert await room.deadlines.state() == 5


async def test_a_flag_that_was_answered_in_any_way_is_not_late() -> None:
    async with a_room() as room:
        first, second = flags(2)
        put(room.storage, first, second)
        put(room.storage, reply(first, an_acknowledgement(), 50))
        room.now = LATER + DAY
        assert await room.deadlines.state() == 1
        assert {one.case_id for one in room.made} == {an_id(2)}


async def test_an_answer_in_the_last_moment_wins_over_the_statement_that_there_is_none() -> None:
    """It came between the look at the database and the log."""
    async with a_room() as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        room.now = LATER + DAY
        state, real = room.exchange.state, room.exchange.state

        async def late(statements: Any) -> Any:
            put(room.storage, reply(flag, an_acknowledgement(), 50))
            return await real(statements)

        room.exchange.state = late  # type: ignore[method-assign]
        assert await room.deadlines.state() == 0
        room.exchange.state = state  # type: ignore[method-assign]
        assert room.said() == []
        found = room.storage.case(an_id(1))
        assert found is not None
        assert found[1].state is CaseState.RECEIVED


async def test_the_statement_says_whether_the_flag_was_ever_fetched() -> None:
    async with a_room() as room:
        put(room.storage, *flags(2))
        at = LATER + timedelta(minutes=3)
        room.storage.keep_presence([Fetched(PLATFORM, 1, "spiffe://test.example/telegram", at)], {PLATFORM: at})
        room.now = LATER + DAY
        await room.deadlines.state()
        fetched, never = (body for to, body in room.said() if to == PLATFORM)
        assert (fetched.delivered_at, fetched.delivered_to) == (at, "spiffe://test.example/telegram")
        assert (never.delivered_at, never.delivered_to) == (None, "")
        assert {body.last_seen_at for _, body in room.said()} == {at}


async def test_what_was_handed_over_just_now_is_not_said_never_to_have_been() -> None:
    """It was fetched in time, and had not been written down yet."""
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + DAY
        room.exchange.presence.handed_over(PLATFORM, "spiffe://test.example/telegram", 1)
        await room.deadlines.state()
        assert {body.delivered_at for _, body in room.said()} == {LATER + DAY}


async def test_whoever_listens_right_now_was_seen_right_now() -> None:
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.storage.keep_presence([], {PLATFORM: LATER})
        room.now = LATER + DAY
        platform = room.exchange.directory.current.organisation(PLATFORM)
        assert platform is not None
        with room.exchange.presence.watching(platform):
            await room.deadlines.state()
        assert {body.last_seen_at for _, body in room.said()} == {LATER + DAY}


async def test_drills_have_deadlines_too_and_they_are_drills() -> None:
    async with a_room() as room:
        put(room.storage, admitted(a_statement(a_flag(), test=True)))
        room.now = LATER + DAY
        await room.deadlines.state()
        assert all(one.test for one in room.made)


async def test_an_exchange_that_takes_nothing_now_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "POLL_SECONDS", 0.0)
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + DAY
        real, refusals = room.exchange.state, [Reason.OVERLOADED, Reason.OVERLOADED]
        done = asyncio.Event()

        async def busy(statements: Any) -> Any:
            if refusals:
                raise RefusedError(refusals.pop(), "too many wait")
            outcomes = await real(statements)
            done.set()
            return outcomes

        room.exchange.state = busy  # type: ignore[method-assign]
        following = asyncio.create_task(room.deadlines.follow())
        await asyncio.wait_for(done.wait(), 10)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert len(room.said()) == 2


async def test_cases_whose_statement_is_kept_out_hold_up_neither_themselves_nor_those_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attack: the ids were guessed, and something else was said under one. That is told, once."""
    monkeypatch.setattr(rooms, "_AT_ONCE", 1)
    async with a_room() as room:
        flag, other = flags(2)
        put(room.storage, flag, other)
        herald = Herald(EXCHANGE, OPERATOR, PrivateKeySigner.generate(), SECRET)
        found = room.storage.case(an_id(1))
        assert found is not None
        due_at = LATER + DAY
        (taken, _) = herald.deadline_missed(
            found[1], Deadline.ACKNOWLEDGED, due_at=due_at, fetched=None, last_seen_at=None, now=due_at
        )
        put(room.storage, reply(flag, a_correspondence(), 50, id=taken.statement.id))
        room.now = due_at
        for _ in range(2):
            await room.deadlines.state()
        assert room.unstated == [(an_id(1), Reason.STATEMENT_ID_REUSED)]
        assert [to for to, _ in room.said()] == [PLATFORM, MINISTRY, PLATFORM]
