"""One reading of our feed: where it stands, how long it waits, and what to do when it breaks off."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from panji.errors import Reason, RefusedError, TransportError
from panji.inbox import Cursor
from panji.v1 import feed_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji.errors import PanjiError, QuarantinedError
    from panji.operations import Operations
    from panji.session import Erased, Verified
    from panji.steps import Steps

_FIRST_PAUSE = timedelta(milliseconds=200)
_LONGEST_PAUSE = timedelta(seconds=30)
_MOST_PATIENCE = timedelta(minutes=10)  # with a feed: an exchange does not send us to sleep for years

_DENIALS = frozenset({Reason.CURSOR_OUT_OF_RANGE, Reason.CASE_NOT_FOUND, Reason.REPLY_TARGET_UNKNOWN})
"""Refusals that deny what we may hold proof of. Before one is believed, the log shows that it is the one we know."""


class Run(NamedTuple):
    """Statements that were delivered together."""

    verified: list[Verified | Erased]
    """As many as verify, from the first on."""
    problem: QuarantinedError | None
    """What is wrong with the next one."""


class Feed:
    """One reading of our feed: where it stands, and what to do when it breaks off."""

    def __init__(self, operations: Operations, cursor: Cursor, *, moves_cursor: bool) -> None:
        self._operations = operations
        self._cursor = cursor
        self._moves_cursor = moves_cursor
        self._problem: QuarantinedError | None = None
        self._failures = 0

    def request(self, *, follow: bool) -> feed_service_pb2.WatchRequest:
        """Returns the request that goes on where we stand."""
        return feed_service_pb2.WatchRequest(after_sequence=self._cursor.sequence, stop_at_end=not follow)

    def receive(self, frame: feed_service_pb2.WatchResponse) -> Steps[list[Verified | Erased]]:
        """Verifies and stores what came.

        Raises:
            QuarantinedError: The first of it does not verify.
        """
        verified, problem = yield from self._operations.received(self._cursor, frame)
        if problem is not None and not verified:
            raise problem
        self._problem = problem
        self._failures = 0
        return verified

    def handled(self, verified: Verified | Erased) -> Steps[None]:
        """Moves past a statement: whoever reads the feed has asked for the next one.

        Raises:
            QuarantinedError: The next one does not verify.
        """
        self._cursor = Cursor(verified.receipt.sequence, verified.receipt.index)
        if self._moves_cursor:
            yield from self._operations.advance(verified.receipt.sequence)
        if self._problem is not None and self._problem.sequence == verified.receipt.sequence + 1:
            raise self._problem

    def examine(self, problem: PanjiError | None) -> Steps[None]:
        """Asks the log for its head where a refusal denies what it has signed.

        Raises:
            LogForkError: The log has contradicted itself.
        """
        if is_denial(problem):
            yield from self._operations.checkpoint()

    def pause(self, problem: PanjiError | None) -> timedelta:
        """Returns how long to wait before reading on.

        Raises:
            PanjiError: The problem, where reading on would not help.
        """
        least = timedelta()
        if isinstance(problem, RefusedError):
            if not problem.retryable:
                raise problem
            least = min(problem.retry_after or least, _MOST_PATIENCE)
        longest: timedelta = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 16)
        # Spread out: the exchange's other participants lost their streams at the same moment.
        return max(least, longest * random.uniform(0.5, 1))  # noqa: S311 - not a secret


class Patience:
    """How long a reading of the feed that is to end waits for the next statement.

    Only a statement that verifies renews it: an exchange may send empty frames, or nothing, for ever.

    Args:
        timeout: The longest wait; None: there is no limit.
        clock: Seconds that only go forwards.
    """

    def __init__(self, timeout: timedelta | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Begins to wait anew: a statement came, and was handled."""
        self._since = self._clock()

    def left(self) -> float | None:
        """Returns for how many seconds the next frame may be waited for; None: for ever.

        Raises:
            TransportError: For none.
        """
        if self._timeout is None:
            return None
        left = self._timeout.total_seconds() - (self._clock() - self._since)
        if left <= 0:
            raise self.ended()
        return left

    def ended(self) -> TransportError:
        """Returns the error of a wait that was in vain."""
        return TransportError(f"the feed neither brought a statement nor ended within {self._timeout}")


def is_denial(result: object) -> bool:
    """Whether a refusal denies what we may hold proof of."""
    return isinstance(result, RefusedError) and result.reason in _DENIALS
