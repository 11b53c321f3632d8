"""The ledger: group commit. Submissions that arrive while a commit is under way share the next one.

One transaction, one fsync and one checkpoint signature serve all of a group. A submission is answered only after its
commit is durable; ``kill -9`` at any instant loses nothing that was answered, since nothing is answered earlier, and
what was committed but not answered is found again by the statement's id when the sender retries.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import count as counter
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from panji.core import merkle
from panji.core.checkpoint import open_checkpoint
from panji.core.entry import SALT_SIZE
from panji.core.vocabulary import OPENING, Kind
from panji.errors import InputError, ProofError, Reason, RefusedError, VerificationError
from panji_server.pace import Pace
from panji_server.sequencing import (
    Accepted,
    Admitted,
    CaseRoom,
    Repeated,
    Together,
    leaf_of,
    one_by_one,
    receipt_of,
    sequence,
)
from panji_server.storage.base import Row, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from panji.core.merkle import Position
    from panji.core.note import NoteSigner, NoteVerifier
    from panji.core.receipt import Receipt
    from panji_server.sequencing import FirstLook
    from panji_server.storage.base import Append, Storage

MAX_GROUP = 200
"""Statements that one commit takes at most; the event loop does nothing else while they are written."""
MAX_GROUP_BYTES = 2 * 1024 * 1024
"""Bytes of envelopes that one commit takes at most, unless one submission has more."""
COMPANY_SECONDS = 0.002
"""When the commit before was shared, the next one waits so long for company, again as long as somebody comes, until as
many are there as shared that one: callers come back once they are answered. Alone, nobody waits."""
LONGEST_COMPANY_SECONDS = 0.016
"""How long a commit waits for company at most."""
_RETRY = timedelta(seconds=1)

T = TypeVar("T")
Outcome = Accepted | Repeated | RefusedError
Drafts = Sequence[Admitted | RefusedError] | Together
"""What admission makes of a submission: each statement or why it is refused, or all that are taken together."""


@dataclass(slots=True, order=True)
class _Submission:
    """Statements that wait for a commit, in the order of their turns."""

    turn: int
    number: int
    """Among those of one turn, in the order in which they came."""
    admit: Callable[[], Drafts] = field(compare=False)
    count: int = field(compare=False)
    size: int = field(compare=False)
    answer: asyncio.Future[list[Outcome]] = field(compare=False)


@dataclass(slots=True)
class _Chore:
    work: Callable[[], Any]
    answer: asyncio.Future[Any]


class Ledger:
    """Appends to one log. One instance a process; several processes may share a database.

    Args:
        storage: Where the log is.
        signer: The log's key.
        max_queue: Statements that may wait for a commit; more are refused as OVERLOADED.
        room: How much a side may say in a case.
        first_look: When the exchange has to look at a case again.
        on_commit: Called in the event loop with what was accepted, by index, before it is answered.
        on_failure: Called in the event loop when the storage failed: the process must end.
    """

    def __init__(
        self,
        storage: Storage,
        signer: NoteSigner,
        *,
        max_queue: int,
        room: CaseRoom = CaseRoom(),  # noqa: B008 - frozen
        first_look: FirstLook | None = None,
        on_commit: Callable[[Mapping[int, Accepted]], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._max_queue = max_queue
        self._room = room
        self._first_look = first_look
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._queue: list[_Submission] = []  # a heap
        self._queued = 0
        self._turn = 0
        self._numbers = counter()
        self._chores: deque[_Chore] = deque()
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
        self.require_room(len(items))
        return await self.submit(lambda: items, len(items), sum([len(item.envelope) for item in items]))

    def submit(
        self, admit: Callable[[], Drafts], count: int, size: int, *, turns: int = 0
    ) -> asyncio.Future[list[Outcome]]:
        """Queues statements that are admitted when their turn comes.

        A whole group is admitted in one go, right before it is written: one at a time, between a call and the next,
        the same work takes nearly twice as long, since the processor's caches are cold each time.

        Args:
            admit: Gives the statements, and in the place of each that is refused the refusal. Those that it gives as
                belonging together are written in one commit, all of them or none.
            count: How many there will be; at most :data:`MAX_GROUP` share a commit.
            size: How many bytes they have; at most :data:`MAX_GROUP_BYTES` share a commit.
            turns: Commits that whoever comes later may still go before. A long call's parts say 0, 1, 2 and so on: then
                nobody waits for all of them, and they for nobody longer than that.

        Returns:
            What :meth:`append` returns or raises, refusals in their places.
        """
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        if self._closed is not None:
            answer.set_exception(self._closed())
            return answer
        heapq.heappush(self._queue, _Submission(self._turn + turns, next(self._numbers), admit, count, size, answer))
        self._queued += count
        self._wake.set()
        return answer

    async def chore(self, work: Callable[[], T]) -> T:
        """Runs other work that writes to the database, in the writer's thread and between two commits.

        Args:
            work: What to do. A StorageError that it raises ends the ledger, as one of a commit does.

        Raises:
            RefusedError: SHUTTING_DOWN, STORAGE_FAILED.
            Exception: What the work raised.
        """
        if self._closed is not None:
            raise self._closed()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._chores.append(_Chore(work, answer))
        self._wake.set()
        return await answer

    def require_room(self, count: int) -> None:
        """Checks that the queue has room.

        Raises:
            RefusedError: OVERLOADED, or why the ledger takes nothing any more.
        """
        if self._closed is not None:
            raise self._closed()
        if self._queued + count > self._max_queue and self._queued:
            raise RefusedError(Reason.OVERLOADED, "too many statements wait for a commit", retry_after=_RETRY)

    async def stop(self) -> None:
        """Commits what waits, refuses what comes, and ends."""
        self._closed = self._closed or _shutting_down
        self._wake.set()
        if self._task is not None:
            await self._task
        self._writer.shutdown()

    async def _run(self) -> None:
        company = 0
        while await self._work():
            if company > 1:
                await self._company(company)
            group = self._take()
            company = len(group)
            try:
                answers = await self._commit(group)
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

    async def _work(self) -> bool:
        """Does the chores, and waits for submissions. False: none are left, and none will come."""
        while True:
            while self._chores:
                if not await self._do(self._chores.popleft()):
                    return False
            if self._queue:
                return True
            if self._closed is not None:
                return False
            self._wake.clear()
            await self._wake.wait()

    async def _do(self, chore: _Chore) -> bool:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._writer, chore.work)
        except StorageError as error:
            self._chores.appendleft(chore)
            self._fail([], error)
            return False
        except Exception as error:  # noqa: BLE001 - whoever asked for it is told
            if not chore.answer.done():
                chore.answer.set_exception(error)
        else:
            if not chore.answer.done():
                chore.answer.set_result(result)
        return True

    async def _company(self, expected: int) -> None:
        """Waits until as many have come as shared the commit before, or nobody comes any more."""
        latest = asyncio.get_running_loop().time() + LONGEST_COMPANY_SECONDS
        before = 0
        while before < self._queued < MAX_GROUP and len(self._queue) < expected and self._closed is None:
            if asyncio.get_running_loop().time() > latest:
                return
            before = self._queued
            await asyncio.sleep(COMPANY_SECONDS)

    def _take(self) -> list[_Submission]:
        group: list[_Submission] = []
        count = size = 0
        while self._queue and (not group or self._fits(self._queue[0], count, size)):
            submission = heapq.heappop(self._queue)
            count += submission.count
            size += submission.size
            group.append(submission)
        self._queued -= count
        self._turn += 1
        return group

    @staticmethod
    def _fits(one: _Submission, count: int, size: int) -> bool:
        return count + one.count <= MAX_GROUP and size + one.size <= MAX_GROUP_BYTES

    def _fail(self, group: Iterable[_Submission], error: StorageError) -> None:
        self._closed = _storage_failed
        answers: list[asyncio.Future[Any]] = [one.answer for one in (*group, *self._queue)]
        for answer in (*answers, *(one.answer for one in self._chores)):
            if not answer.done():
                answer.set_exception(_storage_failed())
        self._queue.clear()
        self._chores.clear()
        self._on_failure(error)

    async def _commit(self, group: list[_Submission]) -> list[list[Outcome] | Exception]:
        """Commits a group. A defect that one submission meets must not sink those beside it."""
        try:
            return list(await self._commit_together(group))
        except StorageError:
            raise
        except Exception as defect:  # noqa: BLE001 - reported as such by the caller, with its traceback
            # Nothing of this transaction was kept. Alone, each gets its answer, and only the guilty one none.
            if len(group) == 1:
                return [defect]
            return [outcomes for submission in group for outcomes in await self._commit([submission])]

    async def _commit_together(self, group: list[_Submission]) -> list[list[Outcome]]:
        pace, drafts = Pace(), []
        for submission in group:
            drafts.append(submission.admit())
            await pace.breathe()
        items: list[Admitted | Together] = []
        for draft in drafts:
            if isinstance(draft, Together):
                items.append(draft)
            else:
                items += [one for one in draft if not isinstance(one, RefusedError)]
        outcomes = iter(await self._append(items) if items else ())
        return [_outcomes(draft, outcomes) for draft in drafts]

    async def _append(self, items: Sequence[Admitted | Together]) -> list[Outcome]:
        with ExitStack() as undo:
            transaction = undo.enter_context(self._storage.append())
            outcomes = self._write(items, transaction)
            commit = undo.pop_all().close
        # Only the commit, which waits for the disk, goes to a thread. All before it is work, for which a thread would
        # have to wrestle with the event loop for the interpreter: that cost more than the work.
        await asyncio.get_running_loop().run_in_executor(self._writer, commit)
        # From here on everything accepted is durable. A crash before the answer is a retry for the sender.
        return outcomes

    def _write(self, items: Sequence[Admitted | Together], transaction: Append) -> list[Outcome]:
        statements = [item.statement for item in one_by_one(items)]
        replies = [statement for statement in statements if statement.kind not in OPENING]
        known = transaction.load(
            {statement.id for statement in statements},
            {reply.case_id for reply in replies},
            {(reply.case_id, reply.in_reply_to) for reply in replies},
            {statement.recipient for statement in statements},
            {reply.case_id for reply in replies if reply.kind is Kind.ERASURE},
        )
        head, salts = transaction.head(), _salts(len(statements))
        result = sequence(items, head, known, self._signer, salts, room=self._room, first_look=self._first_look)
        if result.commit is not None:
            transaction.store(result.commit)
        return result.outcomes


def _outcomes(draft: Drafts, outcomes: Iterator[Outcome]) -> list[Outcome]:
    """Those of one submission, its refusals in their places."""
    if isinstance(draft, Together):
        return list(islice(outcomes, len(draft.items)))
    return [one if isinstance(one, RefusedError) else next(outcomes) for one in draft]


def _salts(count: int) -> Callable[[], bytes]:
    """Draws for a whole group at once: a system call for each would cost more than the hashing."""
    drawn = secrets.token_bytes(SALT_SIZE * count)
    return iter([drawn[start : start + SALT_SIZE] for start in range(0, len(drawn), SALT_SIZE)]).__next__


def _shutting_down() -> RefusedError:
    return RefusedError(Reason.SHUTTING_DOWN, "the exchange is stopping", retry_after=_RETRY)


def _storage_failed() -> RefusedError:
    return RefusedError(Reason.STORAGE_FAILED, "the statement could not be made durable; try again", retry_after=_RETRY)


def receipts(storage: Storage, rows: Sequence[Row], log: NoteVerifier) -> list[Receipt]:
    """Returns the receipts of stored statements: the very ones that their senders got, made again from the tree.

    The exchange verifies each before anyone sees it, as it did the first time: damage ends it, and is not given to
    somebody as a proof.

    Raises:
        StorageError: The database failed, a node or checkpoint that a receipt needs is missing, or it would prove
            nothing.
    """
    try:
        wanted = {position for row in rows for position in merkle.inclusion_nodes(row.index, row.tree_size)}
        nodes = storage.nodes(list(wanted))
        checkpoints = storage.checkpoints({row.tree_size for row in rows})
        return [_receipt(row, nodes, checkpoints[row.tree_size], log) for row in rows]
    except (KeyError, InputError) as error:  # the latter: a statement that stands behind the end of its tree
        raise StorageError(f"a node or checkpoint is missing from the database: {error}") from error
    except VerificationError as error:
        raise StorageError(f"a node or checkpoint in the database is damaged: {error}") from error


def _receipt(row: Row, nodes: Mapping[Position, bytes], signed: str, log: NoteVerifier) -> Receipt:
    head = _opened(signed, log)
    proof = merkle.inclusion_proof(row.index, row.tree_size, lambda _: nodes)
    merkle.verify_inclusion(leaf_of(row), row.index, row.tree_size, proof, head.root)
    if head.size != row.tree_size:
        raise ProofError(f"the checkpoint of {row.tree_size} entries says {head.size}")
    return receipt_of(row, proof, signed)


_opened = lru_cache(1024)(open_checkpoint)
"""Statements of one commit share its checkpoint, and its signature costs more than all the rest."""
