"""The ledger: group commit. Submissions that arrive while a commit is under way share the next one.

One transaction, one fsync and one checkpoint signature serve all of a group. A submission is answered only after its
commit is durable; ``kill -9`` at any instant loses nothing that was answered, since nothing is answered earlier, and
what was committed but not answered is found again by the statement's id when the sender retries.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core import merkle
from panji.core.entry import SALT_SIZE
from panji.core.vocabulary import Kind
from panji.errors import InputError, Reason, RefusedError
from panji_server.sequencing import Accepted, Repeated, receipt_of, sequence
from panji_server.storage.base import Row, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from panji.core.note import NoteSigner
    from panji.core.receipt import Receipt
    from panji_server.sequencing import Admitted
    from panji_server.storage.base import Storage

MAX_GROUP = 2000
"""Statements that one commit takes at most; a larger submission is committed whole all the same."""
COMPANY_SECONDS = 0.002
"""How long a commit waits for company when the one before was shared. Alone, nobody waits."""
_RETRY = timedelta(seconds=1)

Outcome = Accepted | Repeated | RefusedError


@dataclass(slots=True)
class _Submission:
    items: Sequence[Admitted]
    answer: asyncio.Future[list[Outcome]]


class Ledger:
    """Appends to one log. One instance a process; several processes may share a database.

    Args:
        storage: Where the log is.
        signer: The log's key.
        max_queue: Statements that may wait for a commit; more are refused as OVERLOADED.
        on_commit: Called in the event loop with what was accepted, by index, before it is answered.
        on_failure: Called in the event loop when the storage failed: the process must end.
    """

    def __init__(
        self,
        storage: Storage,
        signer: NoteSigner,
        *,
        max_queue: int,
        on_commit: Callable[[Mapping[int, Accepted]], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._max_queue = max_queue
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._queue: deque[_Submission] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "panji-ledger")
        self._task: asyncio.Task[None] | None = None
        self._closed: Callable[[], RefusedError] | None = None
        """Once set, makes what refuses every submission: a fresh error each, since each gathers a traceback."""

    def start(self) -> None:
        """Starts taking submissions."""
        self._task = asyncio.create_task(self._run(), name="ledger")

    async def append(self, items: Sequence[Admitted]) -> list[Outcome]:
        """Returns the outcome of each statement once all that were accepted are durable.

        Raises:
            RefusedError: OVERLOADED, SHUTTING_DOWN or STORAGE_FAILED, for all of them; none was accepted. After
                STORAGE_FAILED some may be in the log all the same, and a retry finds them.
            Exception: A defect in the exchange, met while these statements were sequenced; none was accepted.
        """
        if self._closed is not None:
            raise self._closed()
        if self._queued + len(items) > self._max_queue and self._queued:
            raise RefusedError(Reason.OVERLOADED, "too many statements wait for a commit", retry_after=_RETRY)
        submission = _Submission(items, asyncio.get_running_loop().create_future())
        self._queue.append(submission)
        self._queued += len(items)
        self._wake.set()
        return await submission.answer

    async def stop(self) -> None:
        """Commits what waits, refuses what comes, and ends."""
        self._closed = self._closed or _shutting_down
        self._wake.set()
        if self._task is not None:
            await self._task
        self._writer.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        shared = False
        while self._closed is None or self._queue:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            if shared and self._closed is None:
                await asyncio.sleep(COMPANY_SECONDS)
            group = self._take()
            shared = len(group) > 1
            try:
                answers = await loop.run_in_executor(self._writer, self._commit, group)
                self._on_commit(
                    {
                        one.row.index: one
                        for outcomes in answers
                        if isinstance(outcomes, list)
                        for one in outcomes
                        if isinstance(one, Accepted)
                    }
                )
            except StorageError as error:
                self._fail(group, error)
                return
            except Exception as defect:  # noqa: BLE001 - or this task would be gone, and everyone wait for ever
                self._fail(group, StorageError(f"a defect in the ledger: {defect!r}"))
                return
            for submission, outcomes in zip(group, answers, strict=True):
                if submission.answer.done():
                    continue  # the caller hung up; what it sent is in the log, and a retry gets its receipt
                if isinstance(outcomes, Exception):
                    submission.answer.set_exception(outcomes)
                else:
                    submission.answer.set_result(outcomes)

    def _take(self) -> list[_Submission]:
        group: list[_Submission] = []
        count = 0
        while self._queue and (not group or count + len(self._queue[0].items) <= MAX_GROUP):
            submission = self._queue.popleft()
            count += len(submission.items)
            group.append(submission)
        self._queued -= count
        return group

    def _fail(self, group: Iterable[_Submission], error: StorageError) -> None:
        self._closed = _storage_failed
        for submission in (*group, *self._queue):
            if not submission.answer.done():
                submission.answer.set_exception(_storage_failed())
        self._queue.clear()
        self._on_failure(error)

    def _commit(self, group: list[_Submission]) -> list[list[Outcome] | Exception]:
        """Runs in the writer's thread. A defect that one submission meets must not sink those beside it."""
        try:
            return list(self._commit_together(group))
        except StorageError:
            raise
        except Exception as defect:  # noqa: BLE001 - reported as such by the caller, with its traceback
            # Nothing of this transaction was kept. Alone, each gets its answer, and only the guilty one none.
            if len(group) == 1:
                return [defect]
            return [outcomes for submission in group for outcomes in self._commit([submission])]

    def _commit_together(self, group: list[_Submission]) -> list[list[Outcome]]:
        items = [item for submission in group for item in submission.items]
        replies = [item.statement for item in items if item.statement.kind is not Kind.FLAG]
        with self._storage.append() as transaction:
            known = transaction.load(
                {item.statement.id for item in items},
                {reply.case_id for reply in replies},
                {(reply.case_id, reply.in_reply_to) for reply in replies},
                {item.statement.recipient for item in items},
            )
            result = sequence(items, transaction.head(), known, self._signer, _salts(len(items)))
            if result.commit is not None:
                transaction.store(result.commit)
        # From here on everything accepted is durable. A crash before the answer is a retry for the sender.
        outcomes = iter(result.outcomes)
        return [[next(outcomes) for _ in submission.items] for submission in group]


def _salts(count: int) -> Callable[[], bytes]:
    """Draws for a whole group at once: a system call for each would cost more than the hashing."""
    drawn = secrets.token_bytes(SALT_SIZE * count)
    return iter([drawn[start : start + SALT_SIZE] for start in range(0, len(drawn), SALT_SIZE)]).__next__


def _shutting_down() -> RefusedError:
    return RefusedError(Reason.SHUTTING_DOWN, "the exchange is stopping", retry_after=_RETRY)


def _storage_failed() -> RefusedError:
    return RefusedError(Reason.STORAGE_FAILED, "the statement could not be made durable; try again", retry_after=_RETRY)


def receipts(storage: Storage, rows: Sequence[Row]) -> list[Receipt]:
    """Returns the receipts of stored statements: the very ones that their senders got, made again from the tree.

    Raises:
        StorageError: The database failed, or a node or checkpoint that a receipt needs is missing.
    """
    try:
        wanted = {position for row in rows for position in merkle.inclusion_nodes(row.index, row.tree_size)}
        nodes = storage.nodes(list(wanted))
        checkpoints = storage.checkpoints({row.tree_size for row in rows})
        return [
            receipt_of(
                row, merkle.inclusion_proof(row.index, row.tree_size, lambda _: nodes), checkpoints[row.tree_size]
            )
            for row in rows
        ]
    except (KeyError, InputError) as error:  # the latter: a statement that stands behind the end of its tree
        raise StorageError(f"a node or checkpoint is missing from the database: {error}") from error
