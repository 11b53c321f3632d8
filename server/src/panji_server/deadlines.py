"""Deadlines: says of every flag that nobody has answered in time that nobody has.

What is due stands in the database, so that nothing is forgotten in a restart; the statements' ids follow from what they
are about, so that nothing is said twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from panji.core.vocabulary import Deadline
from panji.errors import Reason, RefusedError
from panji_server.sequencing import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from panji.core.case import Case
    from panji_server.exchange import Exchange
    from panji_server.herald import Herald

POLL_SECONDS = 1.0
"""How late a deadline may be stated. What it says of itself, ``due_at``, is exact."""
_AT_ONCE = 100
_NOTHING_TO_SAY = frozenset({Reason.MOVE_NOT_ALLOWED, Reason.STATEMENT_ID_REUSED})
"""An answer came just now, or another server has said it."""


class Deadlines:
    """States missed deadlines.

    Args:
        exchange: Where they are stated, and whose database has them.
        herald: Signs them.
        acknowledged: Time from the receipt of a flag to the platform's first answer.
        clock: Gives the time; aware.
    """

    def __init__(
        self, exchange: Exchange, herald: Herald, *, acknowledged: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._exchange = exchange
        self._herald = herald
        self._acknowledged = acknowledged
        self._clock = clock

    async def follow(self) -> None:
        """States what falls due, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.state()
            except RefusedError as refusal:
                if not refusal.retryable:
                    raise
                # The exchange takes nothing at the moment. What is due stays due.

    async def state(self) -> int:
        """States every deadline that has passed by now, and returns how many.

        Raises:
            RefusedError: The exchange takes no statements now.
        """
        stated = 0
        while True:
            due = await self._exchange.read(
                self._exchange.storage.overdue, self._clock() - self._acknowledged, _AT_ONCE
            )
            for index, case in due:
                stated += await self._missed(index, case)
            if len(due) < _AT_ONCE:
                return stated

    async def _missed(self, index: int, case: Case) -> bool:
        storage = self._exchange.storage
        (flag,) = await self._exchange.read(storage.rows, [index])
        fetched = await self._exchange.read(storage.fetched, case.platform, flag.sequence)
        last_seen = self._exchange.presence.last_seen(case.platform) or await self._exchange.read(
            storage.last_seen, case.platform
        )
        statements = self._herald.deadline_missed(
            case,
            Deadline.ACKNOWLEDGED,
            due_at=case.opened_at + self._acknowledged,
            fetched=fetched,
            last_seen_at=last_seen,
            now=self._clock(),
        )
        outcomes = await self._exchange.state(statements)
        for outcome in outcomes:
            if isinstance(outcome, RefusedError) and outcome.reason not in _NOTHING_TO_SAY:
                raise outcome
        return any(isinstance(outcome, Accepted) for outcome in outcomes)
