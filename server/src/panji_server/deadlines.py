"""Deadlines: says of every flag that nobody has answered in time that nobody has.

What is due stands in the database, so that nothing is forgotten in a restart; the statements' ids follow from what they
are about, so that nothing is said twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from panji.core.vocabulary import Deadline
from panji.errors import Reason, RefusedError
from panji_server.sequencing import Accepted
from panji_server.storage.base import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from panji.core.case import Case
    from panji_server.exchange import Exchange
    from panji_server.herald import Herald

POLL_SECONDS = 1.0
"""How late a deadline may be stated. What it says of itself, ``due_at``, is exact."""
_AT_ONCE = 100
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


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


class Deadlines:
    """States missed deadlines.

    Args:
        exchange: Where they are stated, and whose database has them.
        herald: Signs them.
        acknowledged: Time from the receipt of a flag to the platform's first answer. A flag keeps the time that held
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

        Raises:
            RefusedError: SHUTTING_DOWN, STORAGE_FAILED.
        """
        await self._settle()

    async def _settle(self) -> list[Terms]:
        storage = self._exchange.storage
        known = await self._exchange.read(storage.terms)
        head = await self._exchange.read(storage.current_head)
        terms = settled(known, self._acknowledged, now=self._clock(), last=head.received_at)
        if terms != known:
            await self._exchange.chore(partial(storage.keep_terms, terms))
        return terms

    async def follow(self) -> None:
        """States what falls due, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(RefusedError):  # the exchange takes nothing at the moment, and what is due stays due
                await self.state()

    async def state(self) -> int:
        """States every deadline that has passed by now, and returns how many.

        Raises:
            RefusedError: The exchange takes no statements now.
        """
        now, stated = self._clock(), 0
        known = await self._settle()  # not at the start alone: a clock that was ahead there may have been set back
        times = [*(terms.since for terms in known), now + _MOMENT]
        for (opened_from, until), terms in zip(pairwise(times), known, strict=True):
            opened_until = min(now - terms.acknowledged, until - _MOMENT)
            stated += await self._state(opened_from, opened_until, terms.acknowledged)
        return stated

    async def _state(self, opened_from: datetime, opened_until: datetime, acknowledged: timedelta) -> int:
        stated, after = 0, -1
        overdue = self._exchange.storage.overdue
        while True:
            due = await self._exchange.read(overdue, opened_from, opened_until, after, _AT_ONCE)
            if due:  # what was fetched just now is known to the database before it is asked who has fetched
                await self._exchange.keep_presence(*self._exchange.presence.take())
            for after, case in due:
                stated += await self._missed(after, case, acknowledged)
            if len(due) < _AT_ONCE:
                return stated

    async def _missed(self, index: int, case: Case, acknowledged: timedelta) -> bool:
        storage = self._exchange.storage
        (flag,) = await self._exchange.read(storage.rows, [index])
        fetched = await self._exchange.read(storage.fetched, case.platform, flag.sequence)
        last_seen = self._exchange.presence.last_seen(case.platform) or await self._exchange.read(
            storage.last_seen, case.platform
        )
        statements = self._herald.deadline_missed(
            case,
            Deadline.ACKNOWLEDGED,
            due_at=case.opened_at + acknowledged,
            fetched=fetched,
            last_seen_at=last_seen,
            now=self._clock(),
        )
        outcomes = await self._exchange.state(statements)
        for statement, outcome in zip(statements, outcomes, strict=True):
            if isinstance(outcome, RefusedError) and not await self._is_needless(statement.statement.id, outcome):
                if outcome.retryable:
                    raise outcome
                if case.id not in self._unstated:
                    self._unstated.add(case.id)
                    self._on_unstated(case, outcome)
        return any(isinstance(outcome, Accepted) for outcome in outcomes)

    async def _is_needless(self, identifier: str, refusal: RefusedError) -> bool:
        """Whether an answer came just now, or another server has said it."""
        if refusal.reason is Reason.STATEMENT_ID_REUSED:
            earlier = await self._exchange.read(self._exchange.storage.find, identifier)
            return earlier is not None and earlier.sender == self._herald.operator
        return refusal.reason is Reason.MOVE_NOT_ALLOWED
