"""Group commit: who shares a commit, who is answered what when something breaks, and that nothing is answered early."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import LOG, flags, put, told
from support.statements import EXCHANGE, an_id

from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.receipt import verify
from panji.errors import InputError, Reason, RefusedError
from panji.wire.receipts import encode_receipt
from panji_server import ledger as ledgers
from panji_server import pace
from panji_server.ledger import Ledger, receipts
from panji_server.sequencing import Accepted, Repeated
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from panji_server.sequencing import Admitted
    from panji_server.storage.base import Append

PATIENCE = 10.0
"""Seconds until a test that hangs fails; nothing waits that long."""


class GatedStorage(MemoryStorage):
    """A database whose commits wait until the test lets them through."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []
        """Of the log, after each transaction."""
        self.fails_at = 0
        """Number of the transaction that fails, from 1."""
        self._number = 0

    @contextmanager
    def append(self) -> Iterator[Append]:
        with super().append() as transaction:
            yield transaction
            self.entered.release()
            assert self.gate.wait(PATIENCE)
            self._number += 1
            if self._number == self.fails_at:
                raise StorageError("the disk is gone")
        self.sizes.append(self.extent())

    async def is_committing(self) -> None:
        """Returns once a commit stands at the gate."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)


class Room:
    """A ledger with its surroundings."""

    def __init__(self, storage: MemoryStorage, **changes: Any) -> None:
        self.committed: list[int] = []
        self.failures: list[StorageError] = []
        options: dict[str, Any] = {
            "max_queue": 1000,
            "on_commit": self.take,
            "on_failure": self.failures.append,
        }
        self.ledger = Ledger(storage, LOG, **{**options, **changes})
        self.ledger.start()

    def take(self, accepted: Mapping[int, Accepted]) -> None:
        self.committed += accepted


@pytest.fixture
def storage() -> GatedStorage:
    return GatedStorage()


@asynccontextmanager
async def a_room(storage: MemoryStorage, **changes: Any) -> AsyncIterator[Room]:
    room = Room(storage, **changes)
    try:
        yield room
    finally:
        await asyncio.wait_for(room.ledger.stop(), PATIENCE)


async def waiting(room: Room, *submissions: list[Admitted]) -> list[asyncio.Task[list[Any]]]:
    """Submissions that stand in the queue, in this order."""
    tasks = [asyncio.create_task(room.ledger.append(items)) for items in submissions]
    await asyncio.sleep(0)  # every one of them runs up to its wait for the answer
    return tasks


async def words(*tasks: asyncio.Task[list[Any]]) -> list[str]:
    return [told(one) for task in tasks for one in await asyncio.wait_for(task, PATIENCE)]


def reasons(results: list[Any]) -> list[str]:
    return [told(one) if isinstance(one, RefusedError) else repr(one) for one in results]


# Groups.


async def test_submissions_that_arrive_during_a_commit_share_the_next(storage: GatedStorage) -> None:
    first, *rest = flags(5)
    async with a_room(storage) as room:
        storage.gate.clear()
        (alone,) = await waiting(room, [first])
        await storage.is_committing()
        company = await waiting(room, [rest[0]], [rest[1], rest[2]], [rest[3]])
        storage.gate.set()
        assert await words(alone, *company) == [f"accepted {index}" for index in range(5)]
        checkpoints = {one.receipt.checkpoint for task in company for one in task.result()}
    assert storage.sizes == [1, 5]
    assert len(checkpoints) == 1  # one signature for all of them
    for item, index in zip((first, *rest), range(5), strict=True):
        (made,) = receipts(storage, storage.rows([index]), LOG.verifier)
        verify(made, item.digest, LOG.verifier)


async def test_nothing_is_answered_before_the_commit_has_ended(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        storage.gate.clear()
        (task,) = await waiting(room, flags(1))
        await storage.is_committing()
        assert not task.done()
        assert room.committed == []
        storage.gate.set()
        assert await words(task) == ["accepted 0"]


async def test_watchers_are_told_of_every_index_once_before_the_sender_is_answered(storage: GatedStorage) -> None:
    flag, other = flags(2)
    async with a_room(storage) as room:
        seen_at_answer: list[list[int]] = []

        async def submit(*items: Admitted) -> list[Any]:
            outcomes = await room.ledger.append(items)
            seen_at_answer.append(list(room.committed))
            return outcomes

        first = (await submit(flag))[0]
        again, second = await submit(flag, other)
    assert seen_at_answer == [[0], [0, 1]]
    assert (again, told(second)) == (Repeated(first.row), "accepted 1")


async def test_the_commit_after_a_shared_one_waits_a_moment_for_company(
    storage: GatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes in that moment shares it. Alone, nobody waits."""
    slept: list[float] = []
    yield_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
        await yield_once(0)

    async with a_room(storage) as room:
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await room.ledger.append(flags(1))
        await room.ledger.append(flags(1, first=2))
        assert slept == []
        both = await waiting(room, flags(1, first=3), flags(1, first=4))
        await words(*both)
        assert await words(*await waiting(room, flags(1, first=5), flags(1, first=6))) == ["accepted 4", "accepted 5"]
        assert slept == []  # as many had come as shared the commit before: more were not to be expected
        await room.ledger.append(flags(1, first=7))
        assert slept == [ledgers.COMPANY_SECONDS]
        await room.ledger.append(flags(1, first=8))
        assert slept == [ledgers.COMPANY_SECONDS]
    assert storage.sizes == [1, 2, 4, 6, 7, 8]


async def test_a_commit_takes_no_more_than_its_measure_and_a_larger_submission_whole(
    storage: GatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MAX_GROUP", 3)
    items = flags(10)
    async with a_room(storage) as room:
        tasks = await waiting(room, items[:2], items[2:3], items[3:4], items[4:9], items[9:])
        await words(*tasks)
    assert storage.sizes == [3, 4, 9, 10]


async def test_what_waits_for_a_later_turn_lets_others_go_before_it_that_long_and_no_longer(
    storage: GatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: to keep a long call from its end by short ones that go before it, one after the other."""
    monkeypatch.setattr(ledgers, "MAX_GROUP", 1)
    patient, *others = flags(5)
    short = iter(others)
    answers: list[asyncio.Future[list[Any]]] = []

    def again(_: object) -> None:
        if (item := next(short, None)) is not None:
            answers.append(room.ledger.submit(lambda: [item], 1, 1))

    async with a_room(storage, on_commit=again) as room:
        answers.append(room.ledger.submit(lambda: [patient], 1, 1, turns=2))
        again(None)
        await asyncio.wait_for(asyncio.shield(answers[0]), PATIENCE)
    assert [told(one) for answer in answers for one in await answer] == [
        "accepted 2", "accepted 0", "accepted 1", "accepted 3", "accepted 4",
    ]  # fmt: skip


async def test_a_commit_takes_no_more_bytes_than_its_measure_and_a_larger_submission_whole(
    storage: GatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: 200 statements of 260 KiB in one commit, for which all others wait."""
    items = flags(6)
    monkeypatch.setattr(ledgers, "MAX_GROUP_BYTES", sum(len(item.envelope) for item in items[:2]))
    async with a_room(storage) as room:
        await words(*await waiting(room, items[:1], items[1:2], items[2:5], items[5:]))
    assert storage.sizes == [2, 5, 6]


async def test_others_have_a_turn_between_submissions_that_took_long_to_admit(
    storage: GatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LONGEST_SECONDS", -1.0)  # whatever it took was long
    turns: list[str] = []

    def admit(item: Admitted) -> list[Admitted]:
        asyncio.get_running_loop().call_soon(turns.append, "others")
        turns.append("admit")
        return [item]

    async with a_room(storage) as room:
        both = [room.ledger.submit(lambda item=item: admit(item), 1, 1) for item in flags(2)]  # type: ignore[misc]
        await asyncio.wait_for(asyncio.gather(*both), PATIENCE)
    assert turns == ["admit", "others"] * 2
    assert storage.sizes == [2]


async def test_what_repeats_or_is_refused_alone_writes_nothing(storage: GatedStorage) -> None:
    (flag,) = flags(1)
    async with a_room(storage) as room:
        await room.ledger.append([flag])
        head = storage.current_head()
        assert await room.ledger.append([flag]) == [Repeated(storage.rows([0])[0])]
    assert storage.current_head() == head
    assert room.committed == [0]


# Defects.


def broken(item: Admitted) -> Admitted:
    """What no admission lets through: its digest is none, and the entry cannot be made."""
    return replace(item, digest=b"")


async def test_a_defect_in_one_submission_does_not_sink_those_beside_it(storage: GatedStorage) -> None:
    one, two, three, four = flags(4)
    async with a_room(storage) as room:
        storage.gate.clear()
        blocked = await waiting(room, [one])
        await storage.is_committing()
        tasks = await waiting(room, [two], [three, broken(four)], [four])
        storage.gate.set()
        results = await asyncio.gather(*blocked, *tasks, return_exceptions=True)
        assert [told(one) for result in results if isinstance(result, list) for one in result] == [
            "accepted 0", "accepted 1", "accepted 2",
        ]  # fmt: skip
        assert isinstance(results[2], InputError)
        assert await room.ledger.append([three])
    assert room.committed == [0, 1, 2, 3]
    assert room.failures == []


async def test_a_defect_that_a_submission_meets_alone_is_told_to_its_caller_only(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        with pytest.raises(InputError):
            await room.ledger.append([broken(flags(1)[0])])
        assert [told(one) for one in await room.ledger.append(flags(1))] == ["accepted 0"]


# Failures.


async def test_when_the_storage_fails_all_are_refused_and_later_ones_too(storage: GatedStorage) -> None:
    error = StorageError("the disk is gone")
    async with a_room(storage) as room:
        storage.gate.clear()
        tasks = await waiting(room, flags(1))
        await storage.is_committing()
        tasks += await waiting(room, flags(1, first=2), flags(2, first=3))
        storage.broken = error
        storage.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert reasons(results) == ["STORAGE_FAILED"] * 3
        assert len({id(one) for one in results}) == 3  # an error gathers a traceback, so each has its own
        storage.broken = None
        for _ in range(2):
            with pytest.raises(RefusedError) as refused:
                await room.ledger.append(flags(1))
            assert refused.value.reason is Reason.STORAGE_FAILED
            assert refused.value.retry_after
    assert room.failures == [error]
    assert storage.extent() == 0


async def test_when_the_storage_fails_after_a_defect_nobody_beside_it_is_told_yes(storage: GatedStorage) -> None:
    """The group met the defect together, then each alone; the disk went in between."""
    one, two, three, four = flags(4)
    storage.fails_at = 3
    async with a_room(storage) as room:
        await room.ledger.append([one])
        results = await asyncio.gather(*await waiting(room, [two], [broken(three)], [four]), return_exceptions=True)
        assert reasons(results) == ["STORAGE_FAILED"] * 3
    assert len(room.failures) == 1
    assert [row.id for row in storage.rows(range(9))] == [one.statement.id, two.statement.id]  # a retry finds it


async def test_a_caller_who_hung_up_is_no_trouble_when_the_storage_fails(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        storage.gate.clear()
        tasks = await waiting(room, flags(1), flags(1, first=2))
        await storage.is_committing()
        tasks[0].cancel()
        storage.broken = StorageError("the disk is gone")
        storage.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert reasons(results[1:]) == ["STORAGE_FAILED"]


async def test_a_defect_in_waking_watchers_leaves_nobody_waiting(storage: GatedStorage) -> None:
    """Else the ledger's task would be gone, and every later submission hang."""

    def stumble(_: Mapping[int, Accepted]) -> None:
        raise ZeroDivisionError

    async with a_room(storage, on_commit=stumble) as room:
        for number in (1, 2):
            with pytest.raises(RefusedError, match="STORAGE_FAILED"):
                await asyncio.wait_for(room.ledger.append(flags(1, first=number)), PATIENCE)
    assert [str(error) for error in room.failures] == ["a defect in the ledger: ZeroDivisionError()"]
    assert put(storage, *flags(1)) == [Repeated(storage.rows([0])[0])]  # a retry finds it


# Overload.


async def test_a_full_queue_pushes_back_and_takes_again_once_it_is_empty(storage: GatedStorage) -> None:
    async with a_room(storage, max_queue=3) as room:
        storage.gate.clear()
        tasks = await waiting(room, flags(1))
        await storage.is_committing()  # no longer in the queue
        tasks += await waiting(room, flags(2, first=2))
        with pytest.raises(RefusedError) as refused:
            await room.ledger.append(flags(2, first=4))
        tasks += await waiting(room, flags(1, first=6))  # there is room for one
        storage.gate.set()
        assert refused.value.reason is Reason.OVERLOADED
        assert refused.value.retry_after
        assert len(await words(*tasks)) == 4
        assert await room.ledger.append(flags(2, first=4))


async def test_a_submission_larger_than_the_queue_passes_when_nobody_waits(storage: GatedStorage) -> None:
    async with a_room(storage, max_queue=3) as room:
        assert len(await room.ledger.append(flags(5))) == 5


# Chores.


async def asking(room: Room, *works: Callable[[], Any]) -> list[asyncio.Task[Any]]:
    """Chores that wait their turn, in this order."""
    tasks = [asyncio.create_task(room.ledger.chore(work)) for work in works]
    await asyncio.sleep(0)
    return tasks


async def test_a_chore_is_done_in_the_writers_thread_and_gives_what_it_returns(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        name = await asyncio.wait_for(room.ledger.chore(lambda: threading.current_thread().name), PATIENCE)
    assert name.startswith("panji-ledger")


async def test_a_chore_waits_for_the_commit_under_way_and_goes_before_the_next(storage: GatedStorage) -> None:
    """Never beside a transaction: the database's lock would hold the writer's thread, which the commit waits for."""
    async with a_room(storage) as room:
        storage.gate.clear()
        tasks = await waiting(room, flags(1))
        await storage.is_committing()
        (chore,) = await asking(room, storage.extent)
        tasks += await waiting(room, flags(2, first=2))
        storage.gate.set()
        assert await asyncio.wait_for(chore, PATIENCE) == 1
        assert await words(*tasks) == ["accepted 0", "accepted 1", "accepted 2"]


async def test_a_chore_that_fails_by_a_defect_is_its_callers_affair(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(room.ledger.chore(lambda: 1 // 0), PATIENCE)
        assert await words(*await waiting(room, flags(1))) == ["accepted 0"]
        assert room.failures == []


async def test_a_chore_that_the_storage_fails_ends_the_ledger_for_everyone(storage: GatedStorage) -> None:
    def broken() -> None:
        raise StorageError("the disk is gone")

    async with a_room(storage) as room:
        chores = await asking(room, broken, lambda: None)
        (task,) = await waiting(room, flags(1))
        results = await asyncio.wait_for(asyncio.gather(*chores, task, return_exceptions=True), PATIENCE)
        assert reasons(list(results)) == ["STORAGE_FAILED"] * 3
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.ledger.chore(lambda: None)
    assert [str(error) for error in room.failures] == ["the disk is gone"]
    assert storage.extent() == 0


async def test_a_chore_whose_asker_left_is_done_all_the_same(storage: GatedStorage) -> None:
    begun, release, done = threading.Event(), threading.Event(), []

    def work(fails: bool) -> None:
        begun.set()
        assert release.wait(PATIENCE)
        done.append(fails)
        if fails:
            raise ZeroDivisionError

    async with a_room(storage) as room:
        for fails in (False, True):
            begun.clear()
            release.clear()
            (chore,) = await asking(room, partial(work, fails))
            await asyncio.to_thread(begun.wait, PATIENCE)
            chore.cancel()
            release.set()
    assert done == [False, True]


async def test_stopping_does_the_chores_that_wait_and_refuses_new_ones(storage: GatedStorage) -> None:
    room = Room(storage)
    chores = await asking(room, *(partial(int, number) for number in range(3)))
    await asyncio.wait_for(room.ledger.stop(), PATIENCE)
    assert [chore.result() for chore in chores] == [0, 1, 2]
    with pytest.raises(RefusedError, match="SHUTTING_DOWN"):
        await room.ledger.chore(lambda: None)


async def test_stopping_during_the_last_chore_ends(storage: GatedStorage) -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert release.wait(PATIENCE)

    room = Room(storage)
    (chore,) = await asking(room, work)
    await asyncio.to_thread(begun.wait, PATIENCE)
    stopping = asyncio.create_task(room.ledger.stop())
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait_for(asyncio.gather(chore, stopping), PATIENCE)


# Ending.


async def test_stopping_commits_what_waits_and_refuses_what_comes(storage: GatedStorage) -> None:
    room = Room(storage)
    storage.gate.clear()
    tasks = await waiting(room, flags(1))
    await storage.is_committing()
    tasks += await waiting(room, flags(1, first=2), flags(1, first=3))
    stopping = asyncio.create_task(room.ledger.stop())
    await asyncio.sleep(0)
    with pytest.raises(RefusedError) as refused:
        await room.ledger.append(flags(1, first=4))
    assert refused.value.reason is Reason.SHUTTING_DOWN
    assert not stopping.done()
    storage.gate.set()
    assert await words(*tasks) == ["accepted 0", "accepted 1", "accepted 2"]
    await asyncio.wait_for(stopping, PATIENCE)
    assert storage.extent() == 3


async def test_stopping_an_idle_or_a_never_started_ledger_ends(storage: GatedStorage) -> None:
    async with a_room(storage):
        await asyncio.sleep(0)
    never_started = Ledger(storage, LOG, max_queue=1, on_commit=lambda _: None, on_failure=lambda _: None)
    await never_started.stop()


async def test_stopping_after_a_failure_still_says_that_the_storage_failed(storage: GatedStorage) -> None:
    async with a_room(storage) as room:
        storage.broken = StorageError("gone")
        with pytest.raises(RefusedError):
            await room.ledger.append(flags(1))
        await room.ledger.stop()
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.ledger.append(flags(1))


@pytest.mark.parametrize("when", ["while it waits", "while it is committed"])
async def test_the_statement_of_a_caller_who_hung_up_is_committed_and_its_retry_gets_its_receipt(
    storage: GatedStorage, when: str
) -> None:
    first, *mine = flags(2)
    async with a_room(storage) as room:
        storage.gate.clear()
        tasks = await waiting(room, [first], mine) if when == "while it is committed" else await waiting(room, [first])
        await storage.is_committing()
        if when == "while it waits":
            tasks += await waiting(room, mine)
        tasks[1].cancel()
        storage.gate.set()
        assert await words(tasks[0]) == ["accepted 0"]
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        (again,) = await room.ledger.append(mine)
    assert isinstance(again, Repeated)
    assert again.row.index == 1
    assert room.committed == [0, 1]


# Receipts made again.


BACKENDS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStorage(),
    "sqlite": lambda home: SQLiteStorage(home / "exchange.db"),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_receipts_made_again_are_the_very_bytes_that_were_given(tmp_path: Path, backend: str) -> None:
    """However the tree has grown since: a receipt stands in the tree of its own commit."""
    storage = BACKENDS[backend](tmp_path)
    given: list[Any] = []
    first = 1
    for count in (1, 1, 3, 2, 7, 1, 16):
        given += put(storage, *flags(count, first=first))
        first += count
    again = receipts(storage, storage.rows(range(len(given))), LOG.verifier)
    storage.close()
    assert [encode_receipt(one) for one in again] == [encode_receipt(one.receipt) for one in given]


def test_no_rows_have_no_receipts() -> None:
    assert receipts(MemoryStorage(), [], LOG.verifier) == []


@pytest.mark.parametrize("what", ["nodes", "checkpoints"])
def test_a_receipt_that_can_no_longer_be_made_is_a_storage_error(what: str) -> None:
    storage = MemoryStorage()
    put(storage, *flags(3))
    storage.forget(what)
    with pytest.raises(StorageError, match="missing"):
        receipts(storage, storage.rows([0]), LOG.verifier)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE node SET hash = zeroblob(32) WHERE key = 0",
        "UPDATE checkpoint SET note = replace(note, '3', '2')",
        "UPDATE checkpoint SET note = replace(note, '— ', '')",
        "UPDATE checkpoint SET note = cast(x'fffe' AS TEXT)",
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 4) WHERE size = 3",
        "UPDATE statement SET salt = zeroblob(16)",
        "UPDATE statement SET envelope = x'00'",
        "UPDATE statement SET kind = 'Order!'",
    ],
)
def test_a_receipt_that_would_prove_nothing_is_a_storage_error_and_no_answer(tmp_path: Path, damage: str) -> None:
    with closing(SQLiteStorage(tmp_path / "exchange.db")) as storage:
        put(storage, *flags(3))
        put(storage, *flags(1, first=4))
        storage._connection().execute(damage)
        with pytest.raises(StorageError):
            receipts(storage, storage.rows([1]), LOG.verifier)


def test_a_checkpoint_of_another_size_and_the_same_root_makes_no_receipt() -> None:
    """By a defect: the log's own key has signed it."""

    class Defective(MemoryStorage):
        def checkpoints(self, sizes: Collection[int]) -> Mapping[int, str]:
            wrong = Checkpoint(EXCHANGE, 7, self.current_head().frontier.root())
            return dict.fromkeys(sizes, sign_checkpoint(wrong, LOG))

    storage = Defective()
    (one,) = put(storage, *flags(1))
    with pytest.raises(StorageError, match="checkpoint of 1 entries says 7"):
        receipts(storage, [one.row], LOG.verifier)


def test_a_statement_behind_the_end_of_its_tree_is_a_storage_error() -> None:
    storage = MemoryStorage()
    (one,) = put(storage, *flags(1))
    with pytest.raises(StorageError, match=r"missing.*no leaf 0"):
        receipts(storage, [replace(one.row, tree_size=0)], LOG.verifier)
    assert storage.find(an_id(1)) == one.row


# Chores.


async def test_a_chore_waits_for_the_commit_and_the_next_commit_for_the_chore(storage: GatedStorage) -> None:
    order: list[str] = []
    async with a_room(storage) as room:
        storage.gate.clear()
        (first,) = await waiting(room, flags(1))
        await storage.is_committing()
        chore = asyncio.create_task(room.ledger.chore(lambda: order.append(f"chore at {storage.extent()}")))
        (second,) = await waiting(room, flags(1, first=2))
        storage.gate.set()
        await words(first, second)
        await chore
    assert order == ["chore at 1"]


async def test_a_chore_that_fails_is_told_and_harms_nobody(storage: GatedStorage) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    async with a_room(storage) as room:
        with pytest.raises(LookupError, match="nothing there"):
            await room.ledger.chore(fail)
        assert [told(one) for one in await room.ledger.append(flags(1))] == ["accepted 0"]
    assert room.failures == []


async def test_a_chore_that_meets_a_broken_disk_ends_the_ledger(storage: GatedStorage) -> None:
    def fail() -> None:
        raise StorageError("no disk")

    async with a_room(storage) as room:
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.ledger.chore(fail)
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.ledger.chore(lambda: None)
    assert [str(one) for one in room.failures] == ["no disk"]


async def test_chores_whose_askers_have_gone_are_done_all_the_same(storage: GatedStorage) -> None:
    done: list[int] = []

    def work() -> None:
        done.append(1)

    def fail() -> None:
        raise LookupError("nobody hears")

    async with a_room(storage) as room:
        chores = [asyncio.create_task(room.ledger.chore(one)) for one in (work, fail)]
        await asyncio.sleep(0)
        for chore in chores:
            chore.cancel()
        await room.ledger.chore(work)
    assert done == [1, 1]
