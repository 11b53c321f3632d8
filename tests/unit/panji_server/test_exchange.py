"""The pipeline and the feed: an outcome for each, retries for ever, and deliveries in order and without a gap."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import (
    LATER,
    LOG,
    LONG_AGO,
    OTHER_MINISTRY,
    SIGNERS,
    FixedDirectory,
    a_directory,
    an_accreditation,
    an_erasure_of,
    an_organisation,
    erasures_of,
    flags,
    put,
    reply,
    signed,
    told,
)
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    OPERATOR,
    PLATFORM,
    STRANGER,
    a_deadline_missed,
    a_statement,
    an_acknowledgement,
    an_id,
)
from support.witnesses import WITNESSES, policy_text, seconds

from panji.core import envelope as dsse
from panji.core.checkpoint import open_checkpoint
from panji.core.cosignature import read_answer
from panji.core.directory import KeyRecord
from panji.core.note import parse as parse_note
from panji.core.receipt import verify
from panji.core.tlog_policy import parse_policy
from panji.core.vocabulary import Kind
from panji.errors import RefusedError
from panji.v1 import statement_pb2
from panji.wire.envelopes import encode_envelope
from panji.wire.receipts import encode_receipt
from panji_server import exchange as exchanges
from panji_server import ledger as ledgers
from panji_server.admission import Rules
from panji_server.exchange import DELIVERIES_AT_ONCE, MAX_PART, Exchange
from panji_server.limits import RateLimit
from panji_server.quorum import Quorum
from panji_server.sequencing import Repeated
from panji_server.storage.base import UNBOUNDED, StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from panji_server.exchange import Delivered
    from panji_server.sequencing import Admitted
    from panji_server.storage.base import Row, Storage

PATIENCE = 10.0
"""Seconds until a test that hangs fails; nothing waits that long."""
EVERY_KIND = frozenset(Kind)


class Room:
    """An exchange with its surroundings."""

    def __init__(
        self,
        storage: Storage,
        *,
        rate: RateLimit | None = None,
        max_queue: int = 10_000,
        witnessed: bool = False,
        askable: bool = False,
        fail_closed: bool = True,
        rules: Rules | None = None,
    ) -> None:
        self.storage = storage
        self.directory = FixedDirectory()
        self.now = LATER
        self.failures: list[StorageError] = []
        self.quorum = Quorum(
            parse_policy(policy_text("alder", urls={"alder": "http://alder.example"} if askable else {}).encode()),
            overdue=timedelta(minutes=1),
            fail_closed=fail_closed,
            report=lambda *_, **__: None,
            clock=lambda: self.now,
            elapsed=lambda: self.now - LATER,
        )
        self.exchange = Exchange(
            storage,
            LOG,
            self.directory,
            rules or Rules(EXCHANGE),
            rate or RateLimit(1e6, 1_000_000),
            max_queue=max_queue,
            on_failure=self.failures.append,
            clock=lambda: self.now,
            quorum=self.quorum if witnessed else None,
        )

    def noticed(self) -> None:
        """The quorum is told of the log's head."""
        size = self.storage.extent()
        self.quorum.moved(size, self.storage.checkpoints([size])[size])

    def cosigned(self, size: int = 0) -> None:
        """The witness cosigns the log's head, or one before."""
        size, alder = size or self.storage.extent(), WITNESSES["alder"]
        text = parse_note(self.storage.checkpoints([size])[size]).text
        self.quorum.add(size, read_answer(alder.cosign(text, seconds(self.now)), text, alder.verifier))

    async def submit(self, *envelopes: bytes, caller: str = MINISTRY, **options: Any) -> list[Any]:
        who = self.directory.current.organisation(caller)
        assert who is not None
        kinds = options.pop("kinds", EVERY_KIND)
        return list(await asyncio.wait_for(self.exchange.submit(envelopes, kinds, who, **options), PATIENCE))

    async def erase(self, *erasures: Admitted, **options: Any) -> list[str]:
        """The operator submits erasures that belong together; the outcomes in words."""
        data = [one.envelope for one in erasures]
        return [told(one) for one in await self.submit(*data, caller=OPERATOR, together=True, **options)]

    def feed(self, after: int = 0, recipient: str = PLATFORM) -> Feed:
        return Feed(self.exchange.feed(recipient, after))


class Feed:
    """A watcher."""

    def __init__(self, feed: AsyncGenerator[tuple[list[Delivered], bool]]) -> None:
        self._feed = feed

    async def run(self) -> tuple[list[Delivered], bool]:
        """The next run, with whether it reached the end."""
        return await asyncio.wait_for(anext(self._feed), PATIENCE)

    async def until(self, sequence: int) -> list[Delivered]:
        """Everything up to a place in the feed."""
        found: list[Delivered] = []
        while not found or found[-1][0].sequence < sequence:
            found += (await self.run())[0]
        return found

    async def aclose(self) -> None:
        await self._feed.aclose()


@asynccontextmanager
async def a_room(storage: Storage | None = None, **changes: Any) -> AsyncIterator[Room]:
    room = Room(storage or MemoryStorage(), **changes)
    try:
        yield room
    finally:
        await asyncio.wait_for(room.exchange.stop(), PATIENCE)


def sequences(run: list[Delivered]) -> list[int]:
    return [row.sequence for row, _ in run]


# Witnesses.


async def test_while_the_witnesses_are_overdue_new_statements_are_refused_and_told_when_to_come_back() -> None:
    one, two, three = (signed(a_statement(id=an_id(number))) for number in (1, 2, 3))
    async with a_room(witnessed=True) as room:
        await room.submit(one)
        room.noticed()
        room.now += timedelta(minutes=2)
        refused, again, wrong = await room.submit(
            two, one, signed(a_statement(id=an_id(4), exchange="elsewhere.example"))
        )
        assert (told(refused), refused.retryable) == ("WITNESSES_OVERDUE", True)
        assert refused.retry_after
        assert told(again) == "repeated 0"  # what was accepted has its receipt, whatever the witnesses do
        assert told(wrong) == "WRONG_EXCHANGE"  # and what never will be is not told to come back
        assert room.storage.extent() == 1
        room.cosigned()
        assert [told(outcome) for outcome in await room.submit(two, three)] == ["accepted 1", "accepted 2"]


async def test_the_same_id_with_other_bytes_gets_nobodys_receipt_while_the_witnesses_are_overdue() -> None:
    async with a_room(witnessed=True) as room:
        await room.submit(signed(a_statement(id=an_id(1))))
        room.noticed()
        room.now += timedelta(minutes=2)
        (outcome,) = await room.submit(signed(a_statement(id=an_id(1), language="id")))
        assert told(outcome) == "WITNESSES_OVERDUE"


async def test_the_exchange_states_nothing_itself_on_a_log_that_its_witness_contradicts() -> None:
    async with a_room(witnessed=True, askable=True) as room:
        await room.submit(signed(a_statement(id=an_id(1))))
        room.noticed()
        room.now += timedelta(minutes=2)
        assert await room.exchange.state([]) == []  # overdue witnesses do not keep it from that
        room.quorum.contradicted(WITNESSES["alder"].verifier)
        with pytest.raises(RefusedError, match="another log"):
            await room.exchange.state([])


async def test_an_exchange_that_does_not_fail_closed_goes_on_without_witnesses() -> None:
    async with a_room(witnessed=True, fail_closed=False) as room:
        await room.submit(signed(a_statement(id=an_id(1))))
        room.noticed()
        room.now += timedelta(minutes=2)
        assert [told(one) for one in await room.submit(signed(a_statement(id=an_id(2))))] == ["accepted 1"]


async def test_the_head_has_its_cosigned_companion_and_what_is_published_is_that() -> None:
    async with a_room(witnessed=True) as room:
        assert await room.exchange.head() == ("", "")
        assert await room.exchange.published() == ""
        await room.submit(signed(a_statement(id=an_id(1))))
        room.noticed()
        assert await room.exchange.head() == (room.storage.checkpoints([1])[1], "")
        assert await room.exchange.published() == ""
        room.cosigned()
        await room.submit(signed(a_statement(id=an_id(2))))
        newest, cosigned = await room.exchange.head()
        assert newest == room.storage.checkpoints([2])[2]
        assert cosigned.startswith(room.storage.checkpoints([1])[1])
        assert await room.exchange.published() == cosigned


async def test_what_is_published_never_goes_back_when_witnesses_come_later() -> None:
    """A reader saw the newest head, and then an older one, cosigned: it had to call an honest exchange a liar."""
    one, two, three, four = (signed(a_statement(id=an_id(number))) for number in (1, 2, 3, 4))
    async with a_room() as room:
        await room.submit(one)
        await room.submit(two)
        storage = room.storage
        own = await room.exchange.published()
    assert open_checkpoint(own, LOG.verifier).size == 2
    async with a_room(storage, witnessed=True) as later:
        assert await later.exchange.published() == own
        later.quorum.moved(1, storage.checkpoints([1])[1])  # cosigned before the witnesses were turned off
        later.cosigned(1)
        assert later.quorum.size == 1
        assert await later.exchange.published() == own
        await later.submit(three)
        assert await later.exchange.published() == own  # the newest may never be cosigned, and a later one be
        later.noticed()
        later.cosigned()
        await later.submit(four)
        published = await later.exchange.published()
        assert published.startswith(storage.checkpoints([3])[3])
        assert published == later.quorum.signed != storage.checkpoints([3])[3]


async def test_a_restart_goes_on_publishing_what_was_cosigned() -> None:
    async with a_room(witnessed=True) as room:
        await room.submit(signed(a_statement(id=an_id(1))))
        room.noticed()
        room.cosigned()
        cosigned = await room.exchange.published()
        again = Room(room.storage, witnessed=True)
        again.noticed()
        again.cosigned()  # as the database has it
        assert await again.exchange.published() == cosigned
        await again.exchange.stop()


async def test_without_witnesses_the_newest_head_is_published() -> None:
    async with a_room() as room:
        await room.submit(signed(a_statement(id=an_id(1))))
        assert await room.exchange.head() == (room.storage.checkpoints([1])[1], "")
        assert await room.exchange.published() == room.storage.checkpoints([1])[1]


async def test_a_chore_is_done_between_the_commits() -> None:
    async with a_room() as room:
        assert await asyncio.wait_for(room.exchange.chore(lambda: threading.current_thread().name), PATIENCE)


# Statements in.


async def test_a_batch_has_an_outcome_for_each_in_order_and_a_bad_one_does_not_sink_the_rest() -> None:
    one, two = (signed(a_statement(id=an_id(number))) for number in (1, 2))
    async with a_room() as room:
        outcomes = await room.submit(one, b"rubbish", two, one, signed(a_statement(exchange="elsewhere.example/log")))
    assert [told(outcome) for outcome in outcomes] == [
        "accepted 0", "ENVELOPE_MALFORMED", "accepted 1", "repeated 0", "WRONG_EXCHANGE",
    ]  # fmt: skip
    assert room.storage.extent() == 2


async def test_a_batch_of_nothing_but_bad_ones_touches_nothing() -> None:
    async with a_room() as room:
        room.storage.broken = StorageError("not to be touched")  # type: ignore[attr-defined]
        assert [told(one) for one in await room.submit(b"rubbish", b"")] == ["ENVELOPE_MALFORMED"] * 2
    assert room.failures == []


async def test_other_callers_get_in_between_a_long_batch() -> None:
    """Admission of a batch costs a millisecond a dozen; nobody waits for a thousand."""
    long = [signed(a_statement(id=an_id(number))) for number in range(1, 3 * MAX_PART + 2)]
    theirs = signed(a_statement(sender=OTHER_MINISTRY, id=an_id(len(long) + 1)))
    async with a_room() as room:
        grants = [an_accreditation(), an_accreditation(authority=OTHER_MINISTRY)]
        room.directory.directory = a_directory(accreditations=grants)
        batch, (other,) = await asyncio.gather(room.submit(*long), room.submit(theirs, caller=OTHER_MINISTRY))
    indexes = [one.row.index for one in batch]
    assert indexes == sorted(indexes)
    assert indexes[0] < other.row.index < indexes[-1]


async def test_a_batch_of_large_statements_is_taken_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a hundred envelopes of 260 KiB each, admitted in one go."""
    envelopes = [signed(a_statement(id=an_id(number))) for number in range(1, 8)]
    monkeypatch.setattr(exchanges, "MAX_PART_BYTES", len(envelopes[0]) * 2)
    monkeypatch.setattr(ledgers, "MAX_GROUP_BYTES", 1)  # so that each part is a commit
    async with a_room() as room:
        outcomes = await room.submit(*envelopes[:3], b"x" * 5000, *envelopes[3:])
        sizes = sorted(room.storage.checkpoints(range(10)))
    assert [told(one) for one in outcomes] == [
        "accepted 0", "accepted 1", "accepted 2", "ENVELOPE_MALFORMED", *(f"accepted {n}" for n in range(3, 7)),
    ]  # fmt: skip
    assert sizes == [2, 3, 5, 7]


async def test_a_refusal_does_not_hold_on_to_what_was_parsed() -> None:
    """Attack: of a batch, each refused statement was kept in memory, parsed, until the last one: a gigabyte."""
    bad = signed(a_statement()) + b"\x1a\x00" * 20
    async with a_room() as room:
        for data in (b"rubbish", bad):
            (refusal,) = await room.submit(data)
            assert (refusal.__cause__, refusal.__context__, refusal.__traceback__) == (None, None, None)


async def test_a_rate_refuses_the_call_as_a_whole() -> None:
    async with a_room(rate=RateLimit(0.001, 2)) as room:
        one, two, three = (signed(a_statement(id=an_id(number))) for number in (1, 2, 3))
        await room.submit(one)
        with pytest.raises(RefusedError, match="RATE_LIMITED"):
            await room.submit(two, three)
        assert [told(one) for one in await room.submit(two)] == ["accepted 1"]


async def test_receipts_verify_and_time_is_the_exchanges() -> None:
    data = signed(a_statement())
    async with a_room() as room:
        (one,) = await room.submit(data)
    verify(one.receipt, dsse.digest(data), LOG.verifier)
    assert one.row.received_at == LATER


# Retries.


def key_has_ended(room: Room) -> None:
    record = KeyRecord(SIGNERS[MINISTRY].public_key, LONG_AGO, LATER)
    room.directory.directory = a_directory(an_organisation(keys=(record,)))


def grant_has_ended(room: Room) -> None:
    room.directory.directory = a_directory(accreditations=[an_accreditation(valid_until=LATER)])


def recipient_has_left(room: Room) -> None:
    everyone = dict(a_directory().organisations)
    del everyone[PLATFORM]
    room.directory.directory = replace(a_directory(), organisations=everyone)


def recipient_is_suspended(room: Room) -> None:
    room.directory.directory = a_directory(an_organisation(PLATFORM, suspended=True))


def a_month_has_passed(room: Room) -> None:
    room.now = NOON + timedelta(days=30)


def another_signature_is_needed_now(room: Room) -> None:
    room.directory.directory = a_directory(an_organisation(threshold=2))


@pytest.mark.parametrize(
    "happens",
    [
        key_has_ended,
        grant_has_ended,
        recipient_has_left,
        recipient_is_suspended,
        a_month_has_passed,
        another_signature_is_needed_now,
    ],
    ids=lambda one: one.__name__,
)
async def test_what_was_accepted_once_gets_its_receipt_for_ever(happens: Any) -> None:
    accepted, new = (signed(a_statement(id=an_id(number))) for number in (1, 2))
    async with a_room() as room:
        (first,) = await room.submit(accepted)
        happens(room)
        again, refused = await room.submit(accepted, new)
        assert again == Repeated(first.row)
        assert isinstance(refused, RefusedError)  # what is new has to meet today's rules
        assert await room.exchange.receipts([again.row]) == [first.receipt]


async def test_the_receipt_is_for_the_very_bytes_and_the_very_sender_only() -> None:
    """Attack: to ask for another's receipt, or for one over other bytes, by naming an id that was accepted."""
    accepted = signed(a_statement())
    resealed = signed(a_statement(), SIGNERS[PLATFORM])
    async with a_room() as room:
        await room.submit(accepted)
        a_month_has_passed(room)
        outcomes = [*await room.submit(resealed), *await room.submit(accepted, caller=PLATFORM)]
    assert [told(one) for one in outcomes] == ["SIGNATURE_INVALID", "SIGNATURE_INVALID"]


async def test_an_unsigned_payload_that_is_no_statement_is_refused_for_its_signature() -> None:
    unreadable = encode_envelope(dsse.sign(b"\xff\xff", [SIGNERS[PLATFORM]]))
    async with a_room() as room:
        assert [told(one) for one in await room.submit(unreadable)] == ["SIGNATURE_INVALID"]


# The feed.


async def test_an_empty_feed_says_at_once_that_this_is_the_end_and_then_waits() -> None:
    async with a_room() as room, aclosing(room.feed()) as feed:
        assert await feed.run() == ([], True)
        waiting = asyncio.create_task(feed.run())
        (one,) = await room.submit(signed(a_statement()))
        assert (await waiting) == ([(one.row, one.receipt)], True)


async def test_a_feed_wakes_for_its_own_recipient_only() -> None:
    async with a_room() as room, aclosing(room.feed()) as feed:
        await feed.run()
        waiting = asyncio.create_task(feed.run())
        await asyncio.sleep(0)
        await room.submit(signed(a_statement(recipient=STRANGER)))
        assert not waiting.done()
        await room.submit(signed(a_statement(id=an_id(2))))
        run, _ = await waiting
        assert [(row.recipient, row.sequence) for row, _ in run] == [(PLATFORM, 1)]


async def test_a_feed_comes_in_runs_from_the_cursor_and_says_when_it_has_reached_the_end() -> None:
    storage = MemoryStorage()
    put(storage, *flags(DELIVERIES_AT_ONCE * 2 + 2))
    async with a_room(storage) as room:
        async with aclosing(room.feed(after=1)) as feed:
            runs = [await feed.run() for _ in range(3)]
        assert [at_end for _, at_end in runs] == [False, False, True]
        assert [one for run, _ in runs for one in sequences(run)] == list(range(2, DELIVERIES_AT_ONCE * 2 + 3))
        async with aclosing(room.feed(after=2)) as feed:  # the end of a full run is not yet known to be the end
            assert [(len(run), at_end) for run, at_end in [await feed.run() for _ in range(3)]] == [
                (DELIVERIES_AT_ONCE, False), (DELIVERIES_AT_ONCE, False), (0, True),
            ]  # fmt: skip


async def test_a_run_of_large_statements_is_short_and_the_feed_goes_on_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attack: a stream that nobody reads held 64 statements of 260 KiB, several times over."""
    items = flags(5)
    monkeypatch.setattr(exchanges, "RUN_BYTES", len(items[0].envelope) * 2)
    storage = MemoryStorage()
    put(storage, *items)
    async with a_room(storage) as room, aclosing(room.feed()) as feed:
        runs = [await feed.run() for _ in range(3)]
    assert [(sequences(run), at_end) for run, at_end in runs] == [([1, 2], False), ([3, 4], False), ([5], True)]


async def test_what_is_committed_while_a_run_is_read_is_not_missed() -> None:
    """The wake-up comes before the watcher waits: it must not be lost."""

    class Slow(MemoryStorage):
        def __init__(self) -> None:
            super().__init__()
            self.reading, self.go_on = threading.Event(), threading.Event()

        def feed(self, recipient: str, after: int, limit: int, room: int = UNBOUNDED) -> list[Row]:
            found = super().feed(recipient, after, limit, room)
            self.reading.set()
            assert self.go_on.wait(PATIENCE)
            return found

    storage = Slow()
    async with a_room(storage) as room, aclosing(room.feed()) as feed:
        first = asyncio.create_task(feed.run())
        assert await asyncio.to_thread(storage.reading.wait, PATIENCE)
        await room.submit(signed(a_statement()))
        storage.go_on.set()
        assert await first == ([], True)
        run, _ = await feed.run()
        assert sequences(run) == [1]


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
async def test_feeds_have_no_gap_and_no_double_while_many_submit_at_once(tmp_path: Path, backend: str) -> None:
    each, senders = 15, 8
    with closing(MemoryStorage() if backend == "memory" else SQLiteStorage(tmp_path / "exchange.db")) as storage:
        async with a_room(storage) as room:

            async def send(number: int) -> list[Any]:
                outcomes = []
                for n in range(each):
                    outcomes += await room.submit(signed(a_statement(id=an_id(1 + number * each + n))))
                return outcomes

            watchers = [room.feed() for _ in range(3)]
            watching = [asyncio.create_task(one.until(each * senders)) for one in watchers]
            sent = await asyncio.gather(*(send(number) for number in range(senders)))
            seen = await asyncio.gather(*watching)
            for one in watchers:
                await one.aclose()
    given = {one.row.sequence: encode_receipt(one.receipt) for outcomes in sent for one in outcomes}
    for deliveries in seen:
        assert sequences(deliveries) == list(range(1, each * senders + 1))
        assert {row.sequence: encode_receipt(receipt) for row, receipt in deliveries} == given


async def test_catching_up_from_disk_and_following_live_give_the_same_receipts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From memory, from the tree, and from both where memory has forgotten the older ones."""
    storage = MemoryStorage()
    async with a_room(storage) as room:
        given: list[Any] = []
        for start in (1, 2, 5, 6, 13):
            numbers = range(start, {1: 2, 2: 5, 5: 6, 6: 13, 13: 14}[start])
            given += await room.submit(*(signed(a_statement(id=an_id(number))) for number in numbers))
        async with aclosing(room.feed()) as feed:
            live = await feed.until(13)
    expected = [(one.row, one.receipt) for one in given]
    assert live == expected

    async with a_room(storage) as room, aclosing(room.feed()) as feed:  # a restart: nothing is in memory
        assert await feed.until(13) == expected

    monkeypatch.setattr(exchanges, "_RECENT", 2)
    async with a_room(storage) as room:
        await room.submit(*(signed(a_statement(id=an_id(number))) for number in (20, 21, 22)))
        async with aclosing(room.feed()) as feed:
            mixed = await feed.until(16)
    assert mixed[:13] == expected
    for row, receipt in mixed[13:]:
        verify(receipt, row.digest, LOG.verifier)


async def test_a_cursor_ahead_of_the_feed_is_refused_and_the_last_place_passes() -> None:
    """Attack on oneself: a cursor of another exchange would skip what comes, silently."""
    storage = MemoryStorage()
    put(storage, *flags(2))
    async with a_room(storage) as room:
        with pytest.raises(RefusedError) as refused:
            await room.feed(after=3).run()
        assert refused.value.reason == "CURSOR_OUT_OF_RANGE"
        assert refused.value.metadata == {"after_sequence": "3", "last_sequence": "2"}
        with pytest.raises(RefusedError, match="CURSOR_OUT_OF_RANGE"):
            await room.feed(after=2**64 - 1).run()
        async with aclosing(room.feed(after=2)) as feed:
            assert await feed.run() == ([], True)


async def test_replies_are_delivered_to_the_other_side() -> None:
    async with a_room() as room:
        flag = a_statement()
        (one,) = await room.submit(signed(flag))
        answer = a_statement(an_acknowledgement(), in_reply_to=one.row.digest)
        await room.submit(signed(answer), caller=PLATFORM)
        async with aclosing(room.feed(recipient=MINISTRY)) as feed:
            run, _ = await feed.run()
    assert [(row.kind, row.case_index, row.sequence) for row, _ in run] == [("acknowledgement", 0, 1)]


async def test_a_nudge_gives_a_waiting_feed_an_empty_run() -> None:
    async with a_room() as room, aclosing(room.feed()) as feed:
        await feed.run()
        waiting = asyncio.create_task(feed.run())
        await asyncio.sleep(0)
        room.exchange.nudge()
        assert await waiting == ([], True)


async def test_a_watcher_that_left_is_forgotten() -> None:
    async with a_room() as room:
        feed = room.feed()
        await feed.run()
        assert [len(one) for one in room.exchange._watchers.values()] == [1]
        await feed.aclose()
        assert [len(one) for one in room.exchange._watchers.values()] == [0]


# The end.


async def test_stopping_ends_feeds_commits_what_waits_and_refuses_what_comes() -> None:
    room = Room(MemoryStorage())
    feed = room.feed()
    await feed.run()
    waiting = asyncio.create_task(feed.run())
    data = signed(a_statement(recipient=STRANGER))
    submitted = asyncio.create_task(room.exchange.submit([data], EVERY_KIND, an_organisation()))
    await asyncio.sleep(0)  # it stands in the queue
    await asyncio.wait_for(room.exchange.stop(), PATIENCE)
    with pytest.raises(RefusedError, match="SHUTTING_DOWN"):
        await waiting
    assert [told(one) for one in await submitted] == ["accepted 0"]
    with pytest.raises(RefusedError, match="SHUTTING_DOWN"):
        await room.submit(signed(a_statement(id=an_id(2))))
    assert room.failures == []


async def test_a_read_after_the_stop_is_refused_and_no_defect() -> None:
    """Calls go on in their time of grace, while the readers are gone."""
    room = Room(MemoryStorage())
    await room.exchange.stop()
    for attempt in (room.feed().run(), room.exchange.read(room.storage.current_head)):
        with pytest.raises(RefusedError, match="SHUTTING_DOWN"):
            await attempt


async def test_a_database_that_fails_a_read_ends_the_process_and_says_so_once() -> None:
    storage = MemoryStorage()
    async with a_room(storage) as room:
        error = storage.broken = StorageError("the disk is gone")
        for _ in range(2):
            with pytest.raises(RefusedError, match="STORAGE_FAILED"):
                await room.feed().run()
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.submit(signed(a_statement()))
    assert room.failures == [error]


async def test_a_receipt_that_can_no_longer_be_made_ends_the_process() -> None:
    storage = MemoryStorage()
    put(storage, *flags(2))
    storage.forget("nodes")
    async with a_room(storage) as room:
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.feed().run()
    assert len(room.failures) == 1


# Erasing.


async def test_a_receipt_that_opens_what_was_erased_is_given_to_nobody_any_more() -> None:
    """Neither from memory, where the latest are kept, nor to a sender who still has the bytes, however late."""
    async with a_room() as room:
        (flag,) = flags(1)
        await room.submit(flag.envelope)
        assert (await room.feed().run())[0][0][1].salt
        await room.exchange.state([an_erasure_of(flag)])
        ((row, receipt), *_), _ = await room.feed().run()
        assert (row.envelope, row.salt, receipt.salt) == (b"", b"", b"")
        assert [told(one) for one in await room.submit(flag.envelope)] == ["CONTENT_ERASED"]
        room.now = LATER + timedelta(days=3650)  # the flag is old now, and that would be the refusal
        assert [told(one) for one in await room.submit(flag.envelope)] == ["CONTENT_ERASED"]


async def test_a_salt_that_was_erased_is_not_in_a_receipt_before_the_exchange_hears_of_the_commit() -> None:
    """The erasure is durable, and its commit goes on, while somebody fetches: a row without content, its receipt."""
    async with a_room() as room:
        (flag,) = flags(1)
        await room.submit(flag.envelope)
        assert (await room.feed().run())[0][0][1].salt  # and remembered
        put(room.storage, an_erasure_of(flag))  # as the writer's thread does
        ((row, receipt), *_), _ = await room.feed().run()
        assert row.erased
        assert receipt.salt == b""
        (again,) = await room.exchange.receipts([row])
        assert again.salt == b""


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"by": [SIGNERS[OPERATOR]]}, "SIGNATURE_INVALID"),
        ({"recipient": STRANGER}, "WRONG_RECIPIENT"),
        ({"recipient": "nobody"}, "RECIPIENT_UNKNOWN"),
        ({"test": True}, "TEST_MARKER_MISMATCH"),
        ({"issued_at": LATER - timedelta(days=2)}, "ISSUE_TIME_OUT_OF_RANGE"),
        ({"exchange": "other.example/log"}, "WRONG_EXCHANGE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("order", [1, -1], ids=["the second", "the first"])
async def test_an_erasure_of_which_one_half_is_refused_erases_nothing(
    second: dict[str, Any], reason: str, order: int
) -> None:
    """Attack: the call is refused, the content gone all the same, and one side never told."""
    async with a_room() as room:
        (flag,) = flags(1)
        await room.submit(flag.envelope)
        pair = [an_erasure_of(flag), an_erasure_of(flag, number=91, **{"recipient": MINISTRY, **second})]
        assert await room.erase(*pair[::order]) == [reason] * 2
        assert room.storage.extent() == 1
        ((row, receipt), *_), _ = await room.feed().run()
        assert (row.envelope, receipt.salt) == (flag.envelope, row.salt)
        assert row.salt
        # The right pair is taken as if nothing had been.
        assert await room.erase(*erasures_of(flag, number=95)) == ["accepted 1", "accepted 2"]


async def test_an_erasure_to_both_sides_is_one_commit_whatever_comes_beside_it() -> None:
    """A kill at any instant leaves both, or none."""
    async with a_room() as room:
        (flag,) = flags(1)
        await room.submit(flag.envelope)
        beside = [room.submit(one.envelope) for one in flags(3, first=10)]
        erased, *_ = await asyncio.gather(room.erase(*erasures_of(flag)), *beside)
        assert [one.split()[0] for one in erased] == ["accepted"] * 2
        one, two = (row for row in room.storage.rows(range(9)) if row.kind == Kind.ERASURE)
        assert one.tree_size == two.tree_size


async def test_a_commit_that_fails_takes_neither_half() -> None:
    storage = MemoryStorage()
    (flag,) = flags(1)
    put(storage, flag)
    async with a_room(storage) as room:
        storage.broken = StorageError("disk full")
        with pytest.raises(RefusedError, match="STORAGE_FAILED"):
            await room.erase(*erasures_of(flag))
        storage.broken = None
    assert [row.erased for row in storage.rows(range(9))] == [False]


@pytest.mark.parametrize("order", [1, -1])
async def test_the_same_two_again_get_the_same_receipts_for_ever(order: int) -> None:
    async with a_room() as room:
        (flag,) = flags(1)
        await room.submit(flag.envelope)
        pair = erasures_of(flag)
        assert await room.erase(*pair) == ["accepted 1", "accepted 2"]
        again = ["repeated 1", "repeated 2"][::order]
        assert await room.erase(*pair[::order]) == again
        room.now = LATER + timedelta(days=3650)
        assert await room.erase(*pair[::order]) == again
        assert room.storage.extent() == 3


@pytest.mark.parametrize("half", [0, 1])
async def test_half_an_erasure_that_an_older_release_has_left_is_completed_by_the_retry(half: int) -> None:
    (flag,) = flags(1)
    pair = erasures_of(flag)
    storage = MemoryStorage()
    put(storage, flag)
    put(storage, pair[half])
    async with a_room(storage) as room:
        expected = ["repeated 1", "accepted 2"][:: 1 if half == 0 else -1]
        assert await room.erase(*pair) == expected
        assert await room.erase(*pair) == [one.replace("accepted", "repeated") for one in expected]
        assert {row.recipient for row in storage.rows([1, 2])} == {MINISTRY, PLATFORM}


async def test_half_an_erasure_is_completed_though_that_half_is_too_old_to_be_admitted() -> None:
    (flag,) = flags(1)
    there = an_erasure_of(flag, issued_at=NOON - timedelta(days=9))
    storage = MemoryStorage()
    put(storage, flag)
    put(storage, there)
    async with a_room(storage) as room:
        other = an_erasure_of(flag, number=91, recipient=MINISTRY)
        assert await room.erase(there, other) == ["repeated 1", "accepted 2"]


async def test_half_an_erasure_is_not_completed_by_what_is_refused() -> None:
    (flag,) = flags(1)
    pair = erasures_of(flag)
    storage = MemoryStorage()
    put(storage, flag)
    put(storage, pair[0])
    async with a_room(storage) as room:
        alone = an_erasure_of(flag, number=91, recipient=MINISTRY, by=[SIGNERS[OPERATOR]])
        assert await room.erase(pair[0], alone) == ["repeated 1", "SIGNATURE_INVALID"]
        assert storage.extent() == 2


async def test_what_is_in_the_log_as_another_kind_is_no_half_of_an_erasure() -> None:
    (flag,) = flags(1)
    late = reply(flag, a_deadline_missed(), 70)
    storage = MemoryStorage()
    put(storage, flag, late)
    async with a_room(storage) as room:
        pair = [late, an_erasure_of(flag, number=91, recipient=MINISTRY)]
        assert await room.erase(*pair, kinds=frozenset({Kind.ERASURE})) == ["KIND_MISMATCH"] * 2
        assert storage.extent() == 2


async def test_a_chore_runs_between_commits_and_tells_what_it_found() -> None:
    async with a_room() as room:
        await room.submit(signed(a_statement()))
        assert await room.exchange.chore(room.storage.extent) == 1
        await room.exchange.keep_presence([], {MINISTRY: LATER})
        assert room.storage.last_seen(MINISTRY) == LATER


async def test_what_was_fetched_is_kept_when_the_exchange_stops() -> None:
    async with a_room() as room:
        room.exchange.presence.handed_over(PLATFORM, "spiffe://test.example/telegram", 3)
    kept = room.storage.fetched(PLATFORM, 3)
    assert kept is not None
    assert kept.at == LATER


# Clocks and limits that change.


async def test_a_clock_that_is_set_back_lets_no_key_speak_after_its_end() -> None:
    """Attack, or bad luck: what is accepted by the old time and logged under the new one no recipient would believe."""
    until = LATER + timedelta(hours=1)
    ending = an_organisation(keys=(KeyRecord(SIGNERS[MINISTRY].public_key, LONG_AGO, until),))
    async with a_room() as room:
        room.directory.directory = a_directory(ending)
        room.now = until - timedelta(minutes=1)
        assert [told(one) for one in await room.submit(signed(a_statement(id=an_id(1))))] == ["accepted 0"]
        put(room.storage, *flags(1, first=2, recipient=STRANGER))
        room.exchange._latest = until  # another statement came at that time
        room.now = LATER
        assert [told(one) for one in await room.submit(signed(a_statement(id=an_id(3))))] == ["SIGNATURE_INVALID"]


async def test_same_bytes_get_the_same_receipt_when_they_would_be_too_large_today() -> None:
    storage, data = MemoryStorage(), signed(a_statement())
    async with a_room(storage) as room:
        (first,) = await room.submit(data)
    async with a_room(storage, rules=Rules(EXCHANGE, max_envelope_bytes=100)) as room:
        (again, fresh) = await room.submit(data, signed(a_statement(id=an_id(2))))
        assert (told(again), told(fresh)) == ("repeated 0", "PAYLOAD_TOO_LARGE")
        assert again.row == first.row


async def test_an_id_that_is_none_is_looked_up_nowhere() -> None:
    async with a_room() as room:
        rubbish = statement_pb2.Statement(id="no id").SerializeToString()
        data = encode_envelope(dsse.sign(rubbish, [SIGNERS[MINISTRY]]))
        assert [told(one) for one in await room.submit(data)] == ["STATEMENT_INVALID"]
