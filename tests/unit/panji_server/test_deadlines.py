"""Deadlines that pass in silence: stated once, to both sides, with what is known of the delivery."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.procedures import HEAD, rule
from support.rooms import LATER, LOG, FixedDirectory, admitted, flags, put, reply, signed
from support.statements import (
    EXCHANGE,
    MINISTRY,
    OPERATOR,
    PLATFORM,
    a_clarification_answer,
    a_clarification_request,
    a_correspondence,
    a_decision,
    a_flag,
    a_review,
    a_statement,
    an_acknowledgement,
    an_id,
    an_objection,
)

from panji.core.keys import PrivateKeySigner
from panji.core.procedure import Occasion
from panji.core.statements import DeadlineMissed, DeadlineNear, Escalation, ProcedureRecord
from panji.core.vocabulary import CaseState, Deadline, Kind, ReviewResult
from panji.errors import Reason, RefusedError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server import deadlines as rooms
from panji_server.admission import Rules
from panji_server.deadlines import Deadlines, settled
from panji_server.exchange import Exchange
from panji_server.herald import Herald
from panji_server.limits import RateLimit
from panji_server.sequencing import Accepted
from panji_server.storage.base import Fetched, StorageError, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
SECRET = b"of this exchange's servers"
MOMENT = timedelta(microseconds=1)
BEFORE_ALL = rooms._BEFORE_ALL


class Room:
    """An exchange over a log, its clock, and its deadlines."""

    def __init__(self, procedure: str = "") -> None:
        self.storage = MemoryStorage()
        if procedure:
            put(self.storage, admitted(a_statement(ProcedureRecord(document=procedure), id=an_id(900))))
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

    def occasions(self) -> list[tuple[str, str, Deadline, int]]:
        """What was said to the platform of all deadlines, how long after the flag, and in which order."""
        found = []
        for row in self.storage.rows(range(10_000)):
            body = parse_statement(parse_envelope(row.envelope).payload).body
            if row.recipient == PLATFORM and isinstance(body, DeadlineNear | DeadlineMissed | Escalation):
                number = {DeadlineNear: "percent", Escalation: "step"}.get(type(body), "")
                found.append(
                    (str(row.received_at - LATER), row.kind, body.deadline, getattr(body, number) if number else 0)
                )
        return found


@asynccontextmanager
async def a_room(procedure: str = "") -> AsyncIterator[Room]:
    room = Room(procedure)
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
        missed = Occasion(due_at, Kind.DEADLINE_MISSED, Deadline.ACKNOWLEDGED, 0, due_at)
        (taken, _) = herald.timed(found[1], missed, None, None, due_at)
        put(room.storage, reply(flag, a_correspondence(), 50, id=taken.statement.id))
        room.now = due_at
        for _ in range(2):
            await room.deadlines.state()
        assert room.unstated == [(an_id(1), Reason.STATEMENT_ID_REUSED)]
        assert [to for to, _ in room.said()] == [PLATFORM, MINISTRY, PLATFORM]


# By a procedure.

PROCEDURE = (
    HEAD
    + rule(
        "gambling",
        'received = { since = "received", within = "PT4H" }',
        "warn_at = [0.5]",
        'clarification = { clock = "pause" }',
    )
    + """
[[escalation]]
answer = "decided"

[[escalation.step]]
after = "PT1H"
to = ["representative"]
"""
)


async def passing(room: Room, *hours: float) -> int:
    """Lets time pass, with a look at each of these hours after the flag."""
    stated = 0
    for one in hours:
        room.now = LATER + one * HOUR
        stated += await room.deadlines.state()
    return stated


def fetch(room: Room, at: datetime, through: int = 1) -> None:
    room.storage.keep_presence([Fetched(PLATFORM, through, "spiffe://test.example/telegram", at)], {PLATFORM: at})


async def test_all_that_a_procedure_says_of_a_silent_case_is_stated_in_its_time_and_once() -> None:
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(1))
        fetch(room, LATER + HOUR)
        await passing(room, 1, 1.9, 2, 3, 3.9, 4, 12, 13, 13, 24, 25, 25.5, 26, 26, 100)
        assert room.occasions() == [
            ("2:00:00", "deadline_near", Deadline.ACKNOWLEDGED, 50),
            ("4:00:00", "deadline_missed", Deadline.ACKNOWLEDGED, 0),
            ("13:00:00", "deadline_near", Deadline.DECIDED, 50),
            ("1 day, 1:00:00", "deadline_missed", Deadline.DECIDED, 0),
            ("1 day, 2:00:00", "escalation", Deadline.DECIDED, 1),
        ]


async def test_what_passed_while_the_exchange_was_away_is_stated_in_order_when_it_is_back() -> None:
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(1))
        fetch(room, LATER)
        assert await passing(room, 1000) == 3
        assert [(kind, deadline) for _, kind, deadline, _ in room.occasions()] == [
            ("deadline_missed", Deadline.ACKNOWLEDGED),
            ("deadline_missed", Deadline.DECIDED),
            ("escalation", Deadline.DECIDED),
        ]


async def test_a_flag_that_nobody_fetches_is_late_for_its_receipt_and_the_decision_runs_from_when_somebody_does() -> (
    None
):
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(1))
        await passing(room, 2, 4, 100)
        assert {deadline for _, _, deadline, _ in room.occasions()} == {Deadline.ACKNOWLEDGED}
        assert room.storage.due(room.now, 10) == []
        fetch(room, LATER + 101 * HOUR)
        await passing(room, 101, 113, 125, 126)
        assert [one[1:3] for one in room.occasions()[2:]] == [
            ("deadline_near", Deadline.DECIDED),
            ("deadline_missed", Deadline.DECIDED),
            ("escalation", Deadline.DECIDED),
        ]


async def test_a_question_stops_the_clock_and_the_answer_lets_it_go_on() -> None:
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        fetch(room, LATER)
        question = reply(flag, a_clarification_request(), 50)
        put(room.storage, replace(question, received_at=LATER + 2 * HOUR))
        await passing(room, 2, 12, 24, 1000)
        assert room.occasions() == []
        answer = reply(flag, a_clarification_answer(), 51, in_reply_to=question.digest)
        put(room.storage, replace(answer, received_at=LATER + 1000 * HOUR))
        await passing(room, 1000, 1009, 1010, 1021, 1022, 1023)
        assert [one[:3] for one in room.occasions()] == [
            ("42 days, 2:00:00", "deadline_near", Deadline.DECIDED),
            ("42 days, 14:00:00", "deadline_missed", Deadline.DECIDED),
            ("42 days, 15:00:00", "escalation", Deadline.DECIDED),
        ]


async def test_a_decided_case_is_looked_at_no_more() -> None:
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        put(room.storage, reply(flag, a_decision(), 50))
        assert await passing(room, 0, 1, 4, 24, 1000) == 0
        assert room.storage.due(room.now, 10) == []


async def test_what_the_exchange_itself_takes_in_has_its_timer_from_the_start() -> None:
    async with a_room(PROCEDURE) as room:
        ministry = room.exchange.directory.current.organisation(MINISTRY)
        assert ministry is not None
        (outcome,) = await room.exchange.submit([signed(a_statement())], frozenset({Kind.FLAG}), ministry)
        assert isinstance(outcome, Accepted)
        assert room.storage.due(LATER + 2 * HOUR - MOMENT, 10) == []
        assert len(room.storage.due(LATER + 2 * HOUR, 10)) == 1


async def test_a_server_that_starts_looks_at_every_case_that_is_not_over_and_has_no_timer() -> None:
    """A database that an older release, or a rebuild, has left without timers."""
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(2), first_look=lambda _index, _case, _untouched: None)
        fetch(room, LATER, through=2)
        assert await passing(room, 4) == 0
        await room.deadlines.begin()
        assert await passing(room, 4) == 2


async def test_a_statement_that_the_log_never_takes_makes_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect: the case as it stands does not allow what is due of it."""
    async with a_room() as room:
        put(room.storage, *flags(1))
        room.now = LATER + DAY
        refusal = RefusedError(Reason.MOVE_NOT_ALLOWED, "not now")

        async def never(statements: Any) -> Any:
            return [refusal for _ in statements]

        monkeypatch.setattr(room.exchange, "state", never)
        assert await room.deadlines.state() == 0
        assert room.unstated == [(an_id(1), Reason.MOVE_NOT_ALLOWED)]


@asynccontextmanager
async def in_between(room: Room, happens: Callable[[], None]) -> AsyncIterator[None]:
    """Something happens once, between a look and what comes of it."""
    real, left = room.exchange.chore, [happens]

    async def chore(work: Any) -> Any:
        if left:
            left.pop()()
        return await real(work)

    room.exchange.chore = chore  # type: ignore[method-assign]
    try:
        yield
    finally:
        room.exchange.chore = real  # type: ignore[method-assign]


async def test_a_flag_that_is_fetched_while_it_is_looked_at_is_looked_at_again() -> None:
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(1))
        await passing(room, 4)
        room.storage.advance_timers(room.now)
        async with in_between(room, lambda: fetch(room, LATER + 5 * HOUR)):
            await passing(room, 5)
        await passing(room, 17, 29, 30)
        assert [one[1:3] for one in room.occasions()][-3:] == [
            ("deadline_near", Deadline.DECIDED),
            ("deadline_missed", Deadline.DECIDED),
            ("escalation", Deadline.DECIDED),
        ]


async def test_an_answer_that_lets_the_clock_go_on_while_the_case_is_looked_at_is_not_overlooked() -> None:
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        fetch(room, LATER)
        question = reply(flag, a_clarification_request(), 50)
        put(room.storage, replace(question, received_at=LATER + HOUR))
        answer = reply(flag, a_clarification_answer(), 51, in_reply_to=question.digest)

        def answered() -> None:
            put(room.storage, replace(answer, received_at=LATER + 2 * HOUR))

        async with in_between(room, answered):
            await passing(room, 1)
        await passing(room, 2, 25)
        assert ("deadline_missed", Deadline.DECIDED) in [one[1:3] for one in room.occasions()]


async def test_a_reply_with_the_flags_own_time_of_receipt_is_a_reply_all_the_same() -> None:
    """The exchange's clock is behind the log, and every receipt is of the same instant."""
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag, first_look=room.exchange.timetable.first_look)
        fetch(room, LATER)
        put(room.storage, reply(flag, an_acknowledgement(), 50), first_look=room.exchange.timetable.first_look)
        await passing(room, 12, 24, 25)
        assert [one[1:3] for one in room.occasions()] == [
            ("deadline_near", Deadline.DECIDED),
            ("deadline_missed", Deadline.DECIDED),
            ("escalation", Deadline.DECIDED),
        ]


async def test_a_clock_that_was_ahead_for_a_moment_makes_nothing_late() -> None:
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag, first_look=room.exchange.timetable.first_look)
        fetch(room, LATER)
        ahead = replace(reply(flag, a_correspondence(), 50), received_at=LATER + 400 * HOUR)
        put(room.storage, ahead, first_look=room.exchange.timetable.first_look)
        await passing(room, 2, 4)
        assert [one[1] for one in room.occasions()] == ["deadline_near", "deadline_missed"]


async def test_a_platform_that_answers_has_the_flag_however_it_got_there() -> None:
    """Attack: it reads by GetCase only, works every case, and no time for a decision ever runs."""
    async with a_room(PROCEDURE) as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        put(room.storage, replace(reply(flag, an_acknowledgement(), 50), received_at=LATER + HOUR))
        await passing(room, 1, 13, 25)
        assert [one[:3] for one in room.occasions()] == [
            ("13:00:00", "deadline_near", Deadline.DECIDED),
            ("1 day, 1:00:00", "deadline_missed", Deadline.DECIDED),
        ]


async def test_a_clock_that_begins_anew_is_stated_anew_though_it_ends_at_the_same_instant() -> None:
    """Targets that a review has opened again, with the end of the same day before them."""
    day = HEAD + rule(
        "today", "warn_at = [0.5]", decided='decided = { since = "delivered", end_of_day = "Asia/Jakarta" }'
    )
    async with a_room(day) as room:
        (flag,) = flags(1)
        put(room.storage, flag)
        fetch(room, LATER)
        end = datetime(2026, 5, 4, 17, tzinfo=UTC)
        room.now = LATER + (end - LATER) / 2
        assert await room.deadlines.state() == 1
        decision = reply(flag, a_decision(), 50)
        put(room.storage, replace(decision, received_at=room.now))
        objection = reply(flag, an_objection(), 51, in_reply_to=decision.digest, sender=MINISTRY, recipient=PLATFORM)
        put(room.storage, replace(objection, received_at=room.now))
        review = reply(
            flag, a_review(1, result=ReviewResult.OVERTURNED), 52, in_reply_to=objection.digest, sender=PLATFORM,
            recipient=MINISTRY,
        )  # fmt: skip
        put(room.storage, replace(review, received_at=room.now))
        room.now = end
        room.now -= timedelta(minutes=1)
        assert await room.deadlines.state() == 1
        room.now = end
        assert await room.deadlines.state() == 1
        assert room.unstated == []
        assert [one[1] for one in room.occasions()] == ["deadline_near", "deadline_near", "deadline_missed"]


async def test_what_no_statement_can_say_is_told_once_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A procedure on record that an older release took: its warning comes at no whole per cent."""
    async with a_room(PROCEDURE) as room:
        put(room.storage, *flags(2))
        real = room.exchange.timetable.occasions

        def odd(index: int, case: Any, presence: Any) -> Any:
            found = real(index, case, presence)
            return [replace(one, number=0) if one.number == 50 and case.id == an_id(1) else one for one in found]

        monkeypatch.setattr(room.exchange.timetable, "occasions", odd)
        assert await passing(room, 2) == 1
        assert room.unstated == [(an_id(1), Reason.STATEMENT_INVALID)]
