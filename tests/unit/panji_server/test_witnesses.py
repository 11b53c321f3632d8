"""The asking of witnesses: every one of them, in step, whatever one of them does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from support.http_witness import HttpWitness, for_ever, http_witness
from support.memory import MemoryStorage
from support.rooms import LATER, LOG, flags, put
from support.witnesses import WITNESSES, policy_text, seconds

from panji.core import merkle
from panji.core.note import NoteVerifier
from panji.core.tlog_policy import open_witnessed, parse_policy
from panji.errors import ConfigError, PanjiError, Reason, RefusedError
from panji_server.quorum import Quorum
from panji_server.witness_call import WitnessError
from panji_server.witnesses import LONGEST_PAUSE, LONGEST_PAUSE_IN_NEED, Feeder, Pace, read_policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

PATIENCE = 10.0
"""Seconds until a test that hangs fails; nothing waits that long."""
NOON = LATER.replace(microsecond=0)
PACE = Pace(interval=timedelta(milliseconds=10), timeout=timedelta(seconds=PATIENCE))
ALL = "group trees all alder birch cedar"
TWO = "group trees 2 alder birch cedar"


async def until(there: Callable[[], object]) -> None:
    """Returns once something is so."""
    async with asyncio.timeout(PATIENCE):
        while not there():  # noqa: ASYNC110 - many things, and few have an event of their own
            await asyncio.sleep(0.005)


class Room:
    """An exchange's log, its witnesses, and what asks them."""

    def __init__(self, storage: MemoryStorage, witnesses: dict[str, HttpWitness], policy: str, pace: Pace) -> None:
        self.now = NOON
        self.storage = storage
        self.witnesses = witnesses
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.pace = pace
        self.refusal: RefusedError | None = None
        urls = {name: one.url for name, one in witnesses.items()}
        self.quorum = Quorum(
            parse_policy(policy_text(policy, urls=urls).encode()),
            overdue=timedelta(minutes=1),
            fail_closed=True,
            report=self.report,
            clock=lambda: self.now,
            elapsed=lambda: self.now - LATER,
        )
        self.feeder = Feeder(self.quorum, storage, read=self.read, write=self.write, pace=pace, report=self.report)
        self._first = 1

    def report(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return function(*arguments)

    async def write(self, work: Callable[[], Any]) -> Any:
        return await self.read(work)

    def grows(self, count: int = 1) -> int:
        """Appends; returns the log's size."""
        put(self.storage, *flags(count, first=self._first))
        self._first += count
        return self.storage.extent()

    async def witnessed(self, size: int) -> None:
        await until(lambda: self.quorum.size == size)

    async def told(self, event: str, **fields: Any) -> dict[str, Any]:
        """The fields of the first such event, once it is there."""

        def matching() -> Iterator[dict[str, Any]]:
            return (found for name, found in self.events if name == event and fields.items() <= found.items())

        await until(lambda: any(True for _ in matching()))
        return next(matching())

    def problems(self) -> list[tuple[str, Any, Any]]:
        return [(name, one["witness"], one.get("error")) for name, one in self.events if "error" in one]


@asynccontextmanager
async def a_room(
    policy: str = ALL,
    *,
    storage: MemoryStorage | None = None,
    pace: Pace = PACE,
    names: tuple[str, ...] = ("alder", "birch", "cedar"),
    log: int = 0,
) -> AsyncIterator[Room]:
    """A room whose witnesses are asked until the test ends."""
    async with AsyncExitStack() as stack:
        rooms: list[Room] = []
        witnesses = {
            name: await stack.enter_async_context(http_witness(WITNESSES[name], lambda: rooms[0].now)) for name in names
        }
        room = Room(storage or MemoryStorage(), witnesses, policy, pace)
        rooms.append(room)
        if log:
            room.grows(log)
        room.feeder.load()
        async with following(room.feeder):
            yield room


@asynccontextmanager
async def following(feeder: Feeder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feeder.follow())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE)


def saying(witness: HttpWitness, **response: Any) -> None:
    async def say(_: web.Request) -> web.StreamResponse:
        return web.Response(**response)

    witness.says = say


# All is well.


async def test_every_new_head_is_cosigned_with_a_proof_from_the_one_before() -> None:
    async with a_room() as room:
        for count in (3, 1, 5, 8):
            await room.witnessed(room.grows(count))
        assert room.witnesses["birch"].asked == [(0, 3), (3, 4), (4, 9), (9, 17)]
    found = open_witnessed(room.quorum.signed, room.quorum.policy, now=NOON, log=LOG.verifier)
    assert (found.checkpoint.size, len(found.cosignatures)) == (17, 3)
    assert found.checkpoint.root == room.storage.current_head().frontier.root()
    assert [(event, fields["size"]) for event, fields in room.events] == [("witness.cosigned", 3)] * 3


async def test_an_empty_log_is_shown_to_nobody() -> None:
    async with a_room() as room:
        looks = 0
        read = room.read

        async def counting(function: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            return await read(function, *arguments)

        room.feeder._read = counting
        await until(lambda: looks > 5)
        assert room.witnesses["alder"].asked == []


async def test_only_the_newest_head_is_shown() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        release = asyncio.Event()
        alder = room.witnesses["alder"]

        async def later(_: web.Request) -> web.StreamResponse:
            alder.says = None
            await release.wait()
            return web.Response(status=503)

        alder.says = later
        room.grows()
        await until(lambda: len(alder.asked) == 2)
        for _ in range(5):
            room.grows()
        release.set()
        await room.witnessed(9)
        assert {size for _, size in room.witnesses["birch"].asked} == {3, 4, 9}


async def test_cosignatures_are_kept_and_old_ones_forgotten() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        await room.witnessed(room.grows())
        await room.witnessed(room.grows())
        kept = room.storage.cosignatures()
        assert {row.size for row in kept if row.size >= 5} == {5}
        assert {row.witness for row in kept if row.size == 5} == {str(one.verifier) for one in WITNESSES.values()}
        assert min(row.size for row in kept) >= 4


async def test_after_a_restart_the_kept_head_is_there_and_is_shown_again_at_once() -> None:
    """So that a database that was set back is found out before it grows."""
    async with a_room(log=3) as room:
        await room.witnessed(3)
        again = Room(room.storage, room.witnesses, ALL, PACE)
        again.feeder.load()
        assert again.quorum.size == 3
        asked = len(room.witnesses["cedar"].asked)
        async with following(again.feeder):
            await until(lambda: len(room.witnesses["cedar"].asked) > asked)
        assert room.witnesses["cedar"].asked[asked] == (3, 3)


async def test_after_a_restart_the_time_runs_from_the_first_statement_that_nobody_saw() -> None:
    storage = MemoryStorage()
    put(storage, *flags(3))
    room = Room(storage, {}, ALL, PACE)
    room.now = LATER + timedelta(minutes=1)
    room.feeder.load()
    room.quorum.asked()
    assert room.quorum.refusal() is None
    room.now += timedelta(microseconds=1)
    refusal = room.quorum.refusal()
    assert refusal is not None
    assert refusal.reason is Reason.WITNESSES_OVERDUE


async def test_a_restart_gives_no_new_time_though_one_witness_has_cosigned_the_newest_head() -> None:
    """Attack: one of those that must cosign is kept away, and the exchange is restarted until statements are taken."""
    async with a_room(log=3, names=("alder", "birch")) as room:
        await until(lambda: {row.size for row in room.storage.cosignatures()} == {3})
        again = Room(room.storage, room.witnesses, ALL, PACE)
        again.now = LATER + timedelta(minutes=1, microseconds=1)
        again.feeder.load()
        again.quorum.asked()
        assert "too few witnesses" in str(again.quorum.refusal())


async def test_a_head_that_stays_the_newest_is_cosigned_anew() -> None:
    pace = Pace(PACE.interval, PACE.timeout, refresh=timedelta(milliseconds=30))
    async with a_room(log=3, pace=pace) as room:
        await room.witnessed(3)
        room.now += timedelta(minutes=2)

        def times() -> set[Any]:
            found = open_witnessed(room.quorum.signed, room.quorum.policy, now=room.now, log=LOG.verifier)
            return {one.at for _, one in found.cosignatures}

        await until(lambda: times() == {room.now})


async def test_a_head_that_was_cosigned_lately_is_not_asked_about_again() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        await room.witnessed(room.grows())
        assert room.witnesses["alder"].asked == [(0, 3), (3, 4)]


# One of them fails.


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503, 301, 204])
async def test_a_witness_that_refuses_is_reported_once_and_does_not_hold_up_the_others(status: int) -> None:
    async with a_room(TWO) as room:
        saying(room.witnesses["alder"], status=status)
        for _ in range(3):
            await room.witnessed(room.grows())
        await until(lambda: len(room.witnesses["alder"].asked) > 1)
        assert room.problems() == [("witness.failed", "alder.example/w1", f"answered {status}")]
        room.witnesses["alder"].says = None
        await room.told("witness.cosigned", witness="alder.example/w1")


@pytest.mark.parametrize(("needed", "longest"), [(True, LONGEST_PAUSE_IN_NEED), (False, LONGEST_PAUSE)])
async def test_a_witness_that_was_away_for_long_is_asked_again_soon_after_it_comes_back(
    needed: bool, longest: float
) -> None:
    """Seconds, whatever the interval, and fewer of them while the quorum is not met without it."""
    async with a_room(ALL, log=3) as room, aiohttp.ClientSession() as session:
        await room.witnessed(3)
        storage = copy_of(MemoryStorage() if needed else room.storage, 3)
        again = Room(storage, room.witnesses, ALL if needed else TWO, PACE)
        again.feeder.load()
        asked, now = len(room.witnesses["alder"].asked), asyncio.get_running_loop().time()
        (peer,) = (one for one in again.feeder._peers if one.name == "alder.example/w1")
        peer.pause, peer.left_at = 3600.0, now - longest + PATIENCE / 2
        await again.feeder._round(session)
        assert len(room.witnesses["alder"].asked) == asked
        peer.left_at = now - longest
        await again.feeder._round(session)
        await again.told("witness.cosigned", witness="alder.example/w1")


async def test_a_witness_that_hangs_holds_up_neither_the_others_nor_the_end() -> None:
    async with a_room(TWO) as room:
        room.witnesses["cedar"].says = for_ever
        for _ in range(3):
            await room.witnessed(room.grows())
        assert len(room.witnesses["cedar"].asked) == 1


async def test_a_witness_that_hangs_and_is_needed_is_given_up_after_its_time_and_asked_again() -> None:
    pace = Pace(PACE.interval, timedelta(milliseconds=50))
    async with a_room(pace=pace) as room:
        room.witnesses["cedar"].says = for_ever
        size = room.grows()
        await room.told("witness.failed", error="did not answer in time")
        room.witnesses["cedar"].says = None
        await room.witnessed(size)


GARBAGE = {
    "nothing": "",
    "a page": "<html><body>It works!</body></html>",
    "too much": "x" * 100_000,
    "another witness's word": "birch",
    "another head's": "other",
    "control characters": "\x00\x1b[2J\n",
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_a_witness_that_answers_garbage_is_not_believed(kind: str) -> None:
    async with a_room(TWO) as room:
        text = GARBAGE[kind]
        if kind == "another witness's word":
            text = WITNESSES["birch"].cosign("exchange.example/log\n1\n\n", seconds(NOON))
        if kind == "another head's":
            text = WITNESSES["alder"].cosign("exchange.example/log\n1\n\n", seconds(NOON))
        saying(room.witnesses["alder"], text=text)
        await room.witnessed(room.grows())
        event = await room.told("witness.failed", witness="alder.example/w1")
        assert "answered 200" in event["error"]
        assert room.quorum.signed.count("alder") == 0
        assert str(WITNESSES["alder"].verifier) not in {row.witness for row in room.storage.cosignatures()}


@pytest.mark.parametrize("off", [timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=-20_000), None])
async def test_a_witness_whose_clock_is_off_is_not_counted(off: timedelta | None) -> None:
    async with a_room(TWO) as room:
        alder = room.witnesses["alder"]
        alder.clock = lambda: NOON + off if off is not None else NOON
        if off is None:  # as late as a cosignature may be
            text = room.storage.checkpoints([room.grows()])[1].partition("\n\n")[0] + "\n"
            saying(alder, text=WITNESSES["alder"].cosign(text, 2**63 - 1))
        else:
            room.grows()
        await room.witnessed(1)
        event = await room.told("witness.failed", witness="alder.example/w1")
        assert "clock" in event["error"]


async def test_nothing_that_a_witness_says_gets_into_the_events() -> None:
    async with a_room(TWO) as room:
        for status in (200, 404, 409, 500):
            saying(room.witnesses["alder"], status=status, text="rahasia", headers={"X-Rahasia": "rahasia"})
            room.grows()
            await room.told("witness.failed", witness="alder.example/w1")
            room.witnesses["alder"].says = None
            await room.told("witness.cosigned", witness="alder.example/w1")
            assert "rahasia" not in str(room.events)
            room.events.clear()


# Sizes.


async def test_a_witness_that_has_seen_more_than_we_knew_is_proved_from_there() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        (row,) = (one for one in room.storage.cosignatures() if "alder" in one.witness)
        room.storage._cosignatures.clear()  # as if the answer had never come
        again = Room(room.storage, room.witnesses, ALL, PACE)
        again.feeder.load()
        async with following(again.feeder):
            await again.witnessed(3)
        assert room.witnesses["alder"].asked[-2:] == [(0, 3), (3, 3)]
        assert row.witness in {one.witness for one in room.storage.cosignatures()}
        assert again.problems() == []


async def test_a_log_that_was_set_back_is_told_so_by_its_witnesses() -> None:
    """A restored backup: the witness has cosigned more than there is."""
    async with a_room(log=7) as room:
        await room.witnessed(7)
        back = MemoryStorage()
        put(back, *flags(4))
        again = Room(back, room.witnesses, ALL, PACE)
        again.feeder.load()
        async with following(again.feeder):
            event = await again.told("witness.contradicted", witness="alder.example/w1")
            assert "a larger log than we have" in event["error"]
            assert (event["size"], event["witness_size"]) == (4, 7)
            assert again.quorum.size == 0
            assert again.quorum.signed == ""


# What that means for statements.


def copy_of(storage: MemoryStorage, size: int) -> MemoryStorage:
    """The log as it was at a size, with what witnesses had said of it by then."""
    copy = MemoryStorage()
    put(copy, *flags(size))
    copy.keep_cosignatures([row for row in storage.cosignatures() if row.size <= size], forget_below=0)
    return copy


async def test_an_older_copy_that_has_cosignatures_of_its_head_takes_nothing_new_at_any_time() -> None:
    """Attack: a new machine, an old database, no remembered head; all that it knows of witnesses fits."""
    async with a_room(TWO, log=4) as room:
        await room.witnessed(4)
        back = copy_of(room.storage, 4)
        await room.witnessed(room.grows(3))
        again = Room(back, room.witnesses, TWO, PACE)
        again.feeder.load()
        assert again.quorum.size == 4
        assert "being asked" in str(again.quorum.refusal())
        objection = asyncio.create_task(again.quorum.objection())
        async with following(again.feeder):
            assert "another log" in str(await asyncio.wait_for(objection, PATIENCE))
            assert "another log" in str(again.quorum.refusal())
            event = await again.told("witnesses.overdue")
            assert (event["size"], event["witnessed_size"]) == (4, 4)


async def test_nothing_new_is_taken_after_a_start_before_enough_witnesses_have_cosigned_anew() -> None:
    async with a_room(TWO, log=3) as room:
        await room.witnessed(3)
        again = Room(room.storage, room.witnesses, TWO, PACE)
        again.feeder.load()
        refusal = again.quorum.refusal()
        assert refusal is not None
        assert (refusal.reason, bool(refusal.retry_after)) == (Reason.WITNESSES_OVERDUE, True)
        room.witnesses["alder"].says = for_ever
        async with following(again.feeder):
            assert await asyncio.wait_for(again.quorum.objection(), PATIENCE) is None
            assert again.quorum.refusal() is None


async def test_witnesses_that_are_silent_at_a_start_have_the_time_that_they_always_have() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        for one in ("alder", "birch"):
            saying(room.witnesses[one], status=503)
        again = Room(room.storage, room.witnesses, ALL, PACE)
        again.feeder.load()
        async with following(again.feeder):
            assert await asyncio.wait_for(again.quorum.objection(), PATIENCE) is None
            assert again.quorum.refusal() is None
            again._first = room._first
            again.grows()
            await until(lambda: again.quorum.oldest == 3 and len(again.quorum._heads) == 2)
            again.now += timedelta(minutes=1, microseconds=1)
            assert "too few witnesses" in str(again.quorum.refusal())


async def test_one_witness_that_contradicts_does_not_stop_an_exchange_that_has_enough_without_it() -> None:
    async with a_room(TWO, log=3) as room:
        alder = room.witnesses["alder"]
        alder.size, alder.root = 99, merkle.leaf_hash(b"another log")
        await room.told("witness.contradicted", witness="alder.example/w1")
        await room.witnessed(3)
        await room.witnessed(room.grows())
        assert room.quorum.refusal() is None
        assert "witnesses.overdue" not in dict(room.events)


async def test_a_witness_that_has_lost_what_it_knew_says_nothing_against_the_log() -> None:
    async with a_room(log=7) as room:
        await room.witnessed(7)
        alder = room.witnesses["alder"]
        alder.size, alder.root = 0, merkle.EMPTY_ROOT
        room.grows()
        await room.told("witness.contradicted", witness="alder.example/w1")
        await room.witnessed(8)
        assert "witnesses.overdue" not in dict(room.events)


async def test_an_exchange_that_begins_its_log_need_not_wait_for_witnesses() -> None:
    async with a_room() as room:
        assert await asyncio.wait_for(room.quorum.objection(), PATIENCE) is None
        await until(lambda: room.quorum.refusal() is None)


async def test_whoever_waits_for_witnesses_that_will_not_be_asked_is_refused() -> None:
    async with a_room(log=3) as room:
        other = Room(room.storage, room.witnesses, ALL, PACE)
        other.feeder.load()
        other.refusal = RefusedError(Reason.STORAGE_FAILED, "gone")
        async with following(other.feeder):
            assert "being asked" in str(await asyncio.wait_for(other.quorum.objection(), PATIENCE))
            assert "being asked" in str(other.quorum.refusal())


async def test_a_log_that_was_set_back_and_has_grown_differently_is_a_fork() -> None:
    async with a_room(log=7) as room:
        await room.witnessed(7)
        fork = MemoryStorage()
        put(fork, *flags(9, first=100))
        again = Room(fork, room.witnesses, ALL, PACE)
        again.feeder.load()
        async with following(again.feeder):
            event = await again.told("witness.contradicted", witness="birch.example/w1")
            assert "another one" in event["error"]
            assert (event["size"], event["witness_size"]) == (9, 7)
        assert again.quorum.size == 0


@pytest.mark.parametrize("status", [422, 409])
@pytest.mark.parametrize("with_size", [True, False])
async def test_another_head_of_the_same_size_is_a_fork(status: int, with_size: bool) -> None:
    """The specification answered 409 here at first, and 422 later."""
    async with a_room(log=7) as room:
        await room.witnessed(7)
        for one in room.witnesses.values():
            one.root = merkle.leaf_hash(b"another seven")

            async def say(_: web.Request, witness: HttpWitness = one) -> web.StreamResponse:
                if witness.asked[-1][0] != witness.size:
                    return witness.conflict(witness.size)
                if status == 409 and with_size:
                    return witness.conflict(witness.size)
                return web.Response(status=status)

            one.says = say
        again = Room(room.storage, room.witnesses, ALL, PACE)
        again.feeder.load()
        async with following(again.feeder):
            event = await again.told("witness.contradicted", witness="cedar.example/w1")
        assert (event["size"], event["witness_size"]) == (7, 7)


async def test_a_witness_that_lost_what_it_knew_is_reported_and_goes_on() -> None:
    async with a_room(log=7) as room:
        await room.witnessed(7)
        alder = room.witnesses["alder"]
        alder.size, alder.root = 0, merkle.EMPTY_ROOT
        room.grows()
        event = await room.told("witness.contradicted", witness="alder.example/w1")
        assert "7 entries before, and now says fewer" in event["error"]
        assert event["witness_size"] == 0
        await room.witnessed(8)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": 409}, "409 without a size that helps"),
        ({"status": 409, "body": b"0\n", "headers": {"Content-Type": "text/x.tlog.size"}}, "without a size that helps"),
        (
            {"status": 409, "body": b"-1\n", "headers": {"Content-Type": "text/x.tlog.size"}},
            "something else than a size",
        ),
    ],
)
async def test_a_conflict_with_nonsense_is_a_failure(answer: dict[str, Any], problem: str) -> None:
    async with a_room(TWO) as room:
        saying(room.witnesses["alder"], **answer)
        await room.witnessed(room.grows())
        event = await room.told("witness.failed", witness="alder.example/w1")
        assert problem in event["error"]


async def test_a_witness_that_names_one_size_after_the_other_is_left_alone() -> None:
    async with a_room(TWO, log=9) as room:
        await room.witnessed(9)
        alder = room.witnesses["alder"]

        async def say(_: web.Request) -> web.StreamResponse:
            return HttpWitness.conflict(min(alder.asked[-1][0] + 1, 14))

        alder.says = say
        await room.witnessed(room.grows(6))
        event = await room.told("witness.failed", witness="alder.example/w1")
        assert "another size 3 times" in event["error"]


async def test_a_head_that_another_process_has_shown_meanwhile_is_waited_for() -> None:
    """Two exchanges over one database: the witness knows a head that is ours, and newer than the one in hand."""
    async with a_room(TWO, log=3) as room:
        await room.witnessed(3)
        alder = room.witnesses["alder"]

        async def say(_: web.Request) -> web.StreamResponse:
            alder.says = None
            size = room.grows(2)
            alder.size, alder.root = size, room.storage.current_head().frontier.root()
            return HttpWitness.conflict(size)

        alder.says = say
        room.grows()
        await room.witnessed(6)
        await until(lambda: room.quorum.signed.count("alder") == 1)
        assert ("witness.failed", "alder.example/w1", "has been asked about a newer head meanwhile") in room.problems()


# Ours.


async def test_a_storage_that_fails_ends_the_asking() -> None:
    async with a_room(log=3) as room:
        await room.witnessed(3)
        other = Room(room.storage, room.witnesses, ALL, PACE)
        other.feeder.load()
        async with following(other.feeder) as task:
            await other.witnessed(3)
            other.refusal = RefusedError(Reason.STORAGE_FAILED, "gone")
            await asyncio.wait_for(task, PATIENCE)
        assert other.problems() == []


async def test_a_database_that_fails_while_a_cosignature_is_kept_is_not_the_witnesss_fault() -> None:
    async with a_room("alder", log=3, names=("alder",)) as room:

        async def fails(_: Callable[[], Any]) -> Any:
            room.refusal = RefusedError(Reason.STORAGE_FAILED, "gone")
            raise room.refusal

        room.feeder._write = fails  # type: ignore[assignment]
        await until(lambda: room.refusal is not None)
        assert room.quorum.size == 0
        assert room.events == []


async def test_a_defect_met_with_one_witness_does_not_end_the_asking_of_the_others() -> None:
    async with a_room(TWO) as room:
        cosignature = room.feeder._cosignature

        def broken(answer: Any, witness: Any, signed: str) -> Any:
            if witness.name == "alder":
                raise ZeroDivisionError("rahasia")
            return cosignature(answer, witness, signed)

        room.feeder._cosignature = broken  # type: ignore[method-assign]
        await room.witnessed(room.grows())
        assert room.problems() == [
            ("witness.failed", "alder.example/w1", "a defect in the exchange: ZeroDivisionError")
        ]


# Policies.


def test_a_policy_whose_quorum_can_be_asked_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.txt"
    for text in (
        policy_text(TWO, urls={"alder": "http://a", "cedar": "https://c/w"}),
        policy_text("none", logs=[LOG.verifier]),
    ):
        path.write_text(text)
        assert read_policy(path, LOG.verifier) == parse_policy(text.encode())


OTHER_LOG = NoteVerifier.for_key("other.example", WITNESSES["alder"].verifier.public_key)
WRONG_URL = {"alder": "ftp://a.example", "birch": "http://b", "cedar": "http://c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (policy_text(TWO, urls={"alder": "http://a.example"}), "cannot make the quorum"),
        (policy_text(TWO), "cannot make the quorum"),
        (policy_text(TWO, urls=WRONG_URL), "URL of witness alder"),
        (policy_text("none", logs=[OTHER_LOG]), "names logs, and this exchange's is not among them"),
        ("quorum alder\n", "line 1"),
        (None, "No such file"),
    ],
)
def test_a_policy_that_the_exchange_cannot_keep_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "policy.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_policy(path, LOG.verifier)
    assert caught.value.key == "witnesses.policy"


def test_what_a_witness_does_is_no_error_of_the_exchange() -> None:
    assert not issubclass(WitnessError, PanjiError)
