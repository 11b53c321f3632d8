"""Deadlines: says of every flag that nobody has answered in time that nobody has.

What is due stands in the database, so that nothing is forgotten in a restart; the statements' ids follow from what they
are about, so that nothing is said twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from panji.core.procedure import Presence, due_now
from panji.errors import InputError, Reason, RefusedError
from panji_server.sequencing import Accepted
from panji_server.storage.base import Terms, Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from panji.core.case import Case
    from panji_server.exchange import Exchange
    from panji_server.herald import Herald
    from panji_server.sequencing import Admitted
    from panji_server.storage.base import Due, Row

POLL_SECONDS = 1.0
"""How late a deadline may be stated. What it says of itself, ``due_at``, is exact."""
_AT_ONCE = 100
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)
_AGAIN = timedelta(hours=1)
"""How long a case is left alone of which the log does not take what is due."""


def settled(known: Sequence[Terms], acknowledged: timedelta, *, now: datetime, last: datetime | None) -> list[Terms]:
    """Returns the terms that have held and hold, where a time for an answer is to hold from now on.

    Terms meet flags by their times of receipt, which go on where the clock does not. So new ones begin after the last
    receipt, whatever the clock says now, and those that a clock which was ahead has put later than that are dropped:
    they held for nothing. The first ones are those that have always held.

    Args:
        known: What was kept, oldest first.
        acknowledged: What is to hold.
        now: The time.
        last: When the last statement was received; None where there is none.
    """
    moment = now if last is None else max(now, last)
    first = [replace(one, since=_BEFORE_ALL) for one in known[:1]]
    held = [*first, *(one for one in known[1:] if one.since <= moment)]
    if not held:
        return [Terms(_BEFORE_ALL, acknowledged)]
    if held[-1].acknowledged == acknowledged:
        return held
    # Of the moment of the last receipt there may be flags of before and of now on: they have the longer time.
    since = moment + _MOMENT if moment == last and acknowledged < held[-1].acknowledged else moment
    return [*(one for one in held if one.since < since), Terms(since, acknowledged)]


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at a case has found."""

    due: Due
    statements: list[Admitted]
    timer: Timer | None
    """When to look again, if nothing is stated now."""
    problem: RefusedError | None = None
    """Why nothing can be stated of it."""


class Deadlines:
    """States what time brings about: deadlines that are near, missed deadlines, escalations.

    Args:
        exchange: Where they are stated, and whose database has them.
        herald: Signs them.
        acknowledged: Time from the receipt of a flag to the platform's first answer, where no procedure is on record.
            A flag keeps the time that held
            when it was received, whatever is set later: nobody is late by a rule that came after.
        clock: Gives the time; aware. What it says when all is due cannot be taken back: see SteadyClock.
        on_unstated: Told, once for each, of cases whose statement the log does not take: a defect, but of one case.
    """

    def __init__(
        self,
        exchange: Exchange,
        herald: Herald,
        *,
        acknowledged: timedelta,
        clock: Callable[[], datetime],
        on_unstated: Callable[[Case, RefusedError], None],
    ) -> None:
        self._exchange = exchange
        self._herald = herald
        self._acknowledged = acknowledged
        self._clock = clock
        self._on_unstated = on_unstated
        self._unstated: set[str] = set()

    async def begin(self) -> None:
        """Keeps that the time for an answer holds from now on, where it is not the one that has held.

        And sees to it that every case is looked at which is not over: an older release may have left some without.

        Raises:
            RefusedError: SHUTTING_DOWN, STORAGE_FAILED.
        """
        await self._settle()
        await self._exchange.chore(partial(self._exchange.storage.set_missing_timers, self._clock()))

    async def _settle(self) -> None:
        storage = self._exchange.storage
        known = await self._exchange.read(storage.terms)
        head = await self._exchange.read(storage.current_head)
        terms = settled(known, self._acknowledged, now=self._clock(), last=head.received_at)
        if terms != known:
            await self._exchange.chore(partial(storage.keep_terms, terms))
            await self._exchange.chore(partial(storage.advance_timers, self._clock()))
        self._exchange.timetable.terms = terms

    async def follow(self) -> None:
        """States what falls due, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(RefusedError):  # the exchange takes nothing at the moment, and what is due stays due
                await self.state()

    async def state(self) -> int:
        """States all that is due by now, and returns of how many occasions.

        Raises:
            RefusedError: The exchange takes no statements now.
        """
        await self._settle()  # not at the start alone: a clock that was ahead there may have been set back
        stated, tried = 0, set[int]()
        while found := await self._exchange.read(self._exchange.storage.due, self._clock(), _AT_ONCE):
            # What was fetched just now is known to the database before it is asked who has fetched.
            fetched, seen = self._exchange.presence.take()
            if fetched or seen:
                await self._exchange.keep_presence(fetched, seen)
            looks = await self._exchange.read(self._look_at, found)
            stated += await self._act(looks, tried)
        return stated

    def _look_at(self, found: Sequence[Due]) -> list[_Look]:
        """Finds out what is due of some cases. Runs in a reader's thread."""
        flags = {row.index: row for row in self._exchange.storage.rows([one.index for one in found])}
        return [self._look(one, flags[one.index]) for one in found]

    def _look(self, one: Due, flag: Row) -> _Look:
        storage, timetable, now = self._exchange.storage, self._exchange.timetable, self._clock()
        index, case = one.index, one.case
        fetched = storage.fetched(case.platform, flag.sequence)
        last_seen = self._exchange.presence.last_seen(case.platform) or storage.last_seen(case.platform)
        delivered_at = self._answered_first(one) if fetched is None else fetched.at
        presence = Presence(delivered_at, last_seen)
        try:
            due = due_now(timetable.occasions(index, case, presence), now)
            said = [each for occasion in due for each in self._herald.timed(case, occasion, fetched, last_seen, now)]
        except InputError as error:  # a procedure that an older release took says what no statement can
            return _Look(one, [], Timer(now + _AGAIN), RefusedError(Reason.STATEMENT_INVALID, str(error)))
        return _Look(one, said, timetable.next_look(index, case, presence, now))

    def _answered_first(self, one: Due) -> datetime | None:
        """When the platform first said anything in the case: whoever answers a flag has it, however it got there."""
        if not one.case.level and not one.case.decision:
            return None
        rows = self._exchange.storage.case_rows([one.index])[one.index]
        return next((row.received_at for row in rows if row.sender == one.case.platform), None)

    async def _act(self, looks: Sequence[_Look], tried: set[int]) -> int:
        """States what is due, and sets the timers of cases of which nothing is.

        Where an answer came just now, or another server was faster, their commit has set the timer anew. So that a
        defect makes no endless loop of this, nothing is tried a third time.
        """
        stated = 0
        statements = [one for look in looks for one in look.statements]
        outcomes = iter(await self._exchange.state(statements) if statements else ())
        timers: dict[int, Timer | None] = {}
        for look in looks:
            index, case = look.due.index, look.due.case
            pairs = [(one, next(outcomes)) for one in look.statements]
            taken = sum(isinstance(outcome, Accepted) for _, outcome in pairs)
            stated += (taken + 1) // 2  # one to each side
            refused = [(one, outcome) for one, outcome in pairs if isinstance(outcome, RefusedError)]
            unstated = [
                refusal
                for one, refusal in refused
                if index in tried or not await self._is_needless(one.statement.id, refusal)
            ]
            if look.problem is not None:
                unstated.append(look.problem)
            if unstated:
                self._unstated_of(case, unstated[0])
                timers[index] = Timer(self._clock() + _AGAIN)
            elif not look.statements:
                timers[index] = look.timer
            elif refused and not taken:
                tried.add(index)
        if timers:
            turns = {look.due.index: look.due.turn for look in looks}
            await self._exchange.chore(partial(self._exchange.storage.set_timers, timers, turns))
        return stated

    def _unstated_of(self, case: Case, refusal: RefusedError) -> None:
        if refusal.retryable:
            raise refusal
        if case.id not in self._unstated:
            self._unstated.add(case.id)
            self._on_unstated(case, refusal)

    async def _is_needless(self, identifier: str, refusal: RefusedError) -> bool:
        """Whether an answer came just now, or another server has said it."""
        if refusal.reason is Reason.STATEMENT_ID_REUSED:
            earlier = await self._exchange.read(self._exchange.storage.find, identifier)
            return earlier is not None and earlier.sender == self._herald.operator
        return refusal.reason is Reason.MOVE_NOT_ALLOWED
