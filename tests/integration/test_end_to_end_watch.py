"""The feed: in order, without gaps, from any cursor on, to any number of watchers, at each one's own pace."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support.exchange import RECORDED, running_exchange
from support.statements import a_flag, a_target, an_acknowledgement

from panji.tls import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.exchange import Running

    from panji.v1 import receipt_pb2


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An exchange with empty feeds."""
    with running_exchange(
        tmp_path_factory.mktemp("own") / "made", authorities=("kominfo",), platforms=("telegram", "whatsapp")
    ) as running:
        yield running


def flags(exchange: Running, count: int, to: str = "telegram", **changes: Any) -> None:
    voice = exchange.world.voices["kominfo"]
    batch = [voice.says(a_flag(**changes), to).envelope for _ in range(count)]
    results = exchange["kominfo"].call("SubmitFlags", envelopes=batch).results
    assert all(one.WhichOneof("result") == "receipt" for one in results)


class Reading:
    """A stream, read one statement at a time."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._run: list[receipt_pb2.Delivery] = []

    def next(self) -> receipt_pb2.Delivery:
        """The next statement, however long it takes."""
        while not self._run:
            self._run = list(next(self.stream).deliveries)
        return self._run.pop(0)

    def sequences(self, count: int) -> list[int]:
        """Those of the next statements."""
        return [self.next().receipt.sequence for _ in range(count)]


def watch(exchange: Running, organisation: str = "telegram", after: int = 0, **options: Any) -> Reading:
    return Reading(exchange[organisation].call("Watch", after_sequence=after, **options))


def test_watcher_gets_what_is_there_and_then_what_comes(own: Running) -> None:
    flags(own, 130)  # more than two runs
    reading = watch(own)
    assert reading.sequences(130) == list(range(1, 131))
    flags(own, 3)
    assert reading.sequences(3) == [131, 132, 133]
    flags(own, 1, to="whatsapp")  # somebody else's feed is somebody else's
    flags(own, 1)
    assert reading.sequences(1) == [134]


def test_watcher_on_an_empty_feed_hears_that_the_stream_is_alive_and_is_woken_by_the_commit(own: Running) -> None:
    reading = watch(own)
    assert not next(reading.stream).deliveries
    letter = own["kominfo"].says(a_flag(), "telegram")
    assert reading.next().envelope == letter.envelope


@pytest.mark.parametrize("after", [0, 1, 63, 64, 65, 129, 130])
def test_feed_is_resumed_from_any_cursor(own: Running, after: int) -> None:
    flags(own, 130)
    assert [one.receipt.sequence for one in own["telegram"].feed(after)] == list(range(after + 1, 131))
    reading = watch(own, after=after)
    flags(own, 1)
    assert reading.sequences(131 - after) == list(range(after + 1, 132))


def test_stop_at_end_ends_even_where_the_feed_is_a_whole_number_of_runs(own: Running) -> None:
    assert own["telegram"].feed() == []
    flags(own, 128)
    assert len(own["telegram"].feed()) == 128
    own.wait_for("watch.ended", organisation="telegram", deliveries=128, last_sequence=128, code="OK")


def test_two_watchers_of_one_organisation_get_the_same(own: Running) -> None:
    first, second = watch(own), watch(own)
    flags(own, 5)
    third = watch(own, after=2)
    one, two = [first.next() for _ in range(5)], [second.next() for _ in range(5)]
    assert one == two
    assert [third.next() for _ in range(3)] == one[2:]
    flags(own, 1)
    assert first.next() == second.next() == third.next()


def test_order_of_the_feed_is_the_order_of_the_log(own: Running) -> None:
    """From many senders at once, unary and in batches."""
    voice = own.world.voices["kominfo"]
    threads = [threading.Thread(target=flags, args=(own, 7)) for _ in range(4)]
    reading = watch(own)
    for thread in threads:
        thread.start()
    calls = [own["kominfo"].channel for _ in range(3)]
    assert len(calls) == 3
    for _ in range(20):
        own["kominfo"].submit(voice.says(a_flag(), "telegram"))
    for thread in threads:
        thread.join()
    found = [reading.next().receipt for _ in range(48)]
    assert [one.sequence for one in found] == list(range(1, 49))
    indexes = [one.index for one in found]
    assert indexes == sorted(indexes) == list(range(RECORDED, RECORDED + 48))


def test_answers_come_back_on_the_authoritys_feed(own: Running) -> None:
    reading = watch(own, "kominfo")
    flag = own["kominfo"].says(a_flag(), "telegram")
    reply = own["telegram"].says(an_acknowledgement(), flag)
    delivery = reading.next()
    assert (delivery.envelope, delivery.receipt.sequence) == (reply.envelope, 1)


def test_slow_reader_holds_up_nobody_and_buys_no_memory(own: Running) -> None:
    """Backpressure: the exchange reads no further ahead for a watcher than its window has room for."""
    count, batch = 900, 300
    # A window that does not grow: how far the exchange may get ahead does not depend on how fast the machine is.
    caller = own.world.voices["telegram"].connect(options={"grpc.http2.bdp_probe": 0})
    slow = Reading(caller.call("Watch", after_sequence=0))
    assert not next(slow.stream).deliveries
    for _ in range(count // batch):
        flags(own, batch, reasons="rahasia " * 2500)
    fast = own["telegram"].feed()
    assert [one.receipt.sequence for one in fast] == list(range(1, count + 1))
    own["kominfo"].says(a_flag(), "telegram")
    since = own.mark()
    slow.stream.cancel()
    ended = own.wait_for("watch.ended", since=since)
    assert ended["code"] == "CANCELLED"
    assert ended["deliveries"] < count // 2
    caller.close()
    # It goes on where it was, and misses nothing.
    assert watch(own, after=ended["last_sequence"]).sequences(3)[0] == ended["last_sequence"] + 1


def test_cancelled_watcher_leaves_nothing_behind(own: Running) -> None:
    for number in range(20):
        reading = watch(own, after=number)
        flags(own, 1)
        assert reading.sequences(1) == [number + 1]
        since = own.mark()
        reading.stream.cancel()
        ended = own.wait_for("watch.ended", since=since)
        assert (ended["code"], ended["deliveries"], ended["last_sequence"]) == ("CANCELLED", 1, number + 1)
    started = [one for one in own.audit() if one["event"] == "watch.started"]
    ended_all = [one for one in own.audit() if one["event"] == "watch.ended"]
    assert [one["request_id"] for one in started] == [one["request_id"] for one in ended_all]


def test_watcher_whose_connection_breaks_leaves_nothing_behind(own: Running) -> None:
    reading = watch(own, "whatsapp")
    assert not next(reading.stream).deliveries
    since = own.mark()
    own["whatsapp"].close()
    with pytest.raises(grpc.RpcError):
        reading.next()
    assert own.wait_for("watch.ended", since=since, organisation="whatsapp")["code"] == "CANCELLED"


def test_statements_of_the_largest_size_are_delivered(tmp_path: Any) -> None:
    """A run of 64 of them would be more than a message may hold: runs are cut by bytes, too."""
    settings = "\n[limits]\nenvelope_bytes = 2097152\n"
    target = a_target(url="https://t.example/" + "x" * 4000, locator_note="\U0001f6a9" * 1000)
    with running_exchange(tmp_path / "made", settings=settings) as exchange:
        for _ in range(2):
            flags(exchange, 12, targets=(target,) * 200)
        feed = exchange["telegram"].feed()
        assert [one.receipt.sequence for one in feed] == list(range(1, 25))
        assert sum(len(one.envelope) for one in feed) > MAX_MESSAGE_BYTES
        assert watch(exchange).sequences(24) == list(range(1, 25))
        # Nor does a page of cases hold more than fits: it is shorter than what was asked for, and another follows.
        found, token = 0, ""
        while not found or token:
            page = exchange["kominfo"].call("ListCases", page_size=50, page_token=token, with_statements=True)
            found, token = found + len(page.cases), page.next_page_token
            assert 0 < len(page.cases) < 24
        assert found == 24
