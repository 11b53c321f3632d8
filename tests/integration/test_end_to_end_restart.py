"""Killed, stopped, out of disk, or started on what is no log of its own: nothing that was answered is ever lost."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import socket
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.exchange import (
    METHOD_OF,
    METHODS,
    RECORDED,
    Held,
    Running,
    World,
    proven,
    read_refusal,
    running_exchange,
    serving,
)
from support.statements import a_decision, a_flag, an_acknowledgement

from panji.core import merkle
from panji.errors import Reason
from panji_server.__main__ import main
from panji_server.storage import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.exchange import Letter

    from panji.core.checkpoint import Checkpoint
    from panji.core.receipt import Receipt


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange to kill."""
    grace = {"PANJI_GRACE_SECONDS": "0.5"}  # whoever watches the health service watches to the end
    with running_exchange(tmp_path / "made", platforms=("telegram", "whatsapp"), environment=grace) as running:
        yield running


def assert_one_log(exchange: Running, older: Checkpoint) -> Checkpoint:
    """The log of now begins with the log of then."""
    head = exchange["operator"].head()
    proof = exchange["operator"].call("GetConsistencyProof", old_size=older.size).proof
    merkle.verify_consistency(older.size, head.size, proof, older.root, head.root)
    return head


def assert_in_the_log(exchange: Running, held: list[tuple[Letter, Receipt]]) -> None:
    """Every receipt's entry stands in the log of now, where the receipt says."""
    head = exchange["operator"].head()
    assert len({receipt.index for _, receipt in held}) == len(held)
    for _, receipt in held:
        found = exchange["operator"].call("GetInclusionProof", index=receipt.index, size=head.size)
        assert found.leaf_hash == merkle.leaf_hash(receipt.entry.encode())
        merkle.verify_inclusion(found.leaf_hash, receipt.index, head.size, found.proof, head.root)


def test_resubmission_returns_the_identical_receipt_after_a_restart(own: Running) -> None:
    flag = own.world.voices["kominfo"].says(a_flag(), "telegram")
    reply = own.world.voices["telegram"].says(an_acknowledgement(), flag)
    by = {"kominfo": flag, "telegram": reply}
    first = {one: own[one].call(METHOD_OF[it.kind], envelope=it.envelope) for one, it in by.items()}
    own["kominfo"].says(a_flag(), "telegram")
    own.kill()
    own.restart()
    for one, it in by.items():
        assert own[one].call(METHOD_OF[it.kind], envelope=it.envelope) == first[one]
    assert own["operator"].head().size == RECORDED + 3
    assert own["telegram"].feed()[0].receipt == first["kominfo"].receipt


def test_sigkill_under_load_loses_nothing_that_was_answered(own: Running) -> None:
    """Receipts held are in the log; unanswered statements are found, or accepted, when they are sent again."""
    voice, news = own.world.voices["kominfo"], threading.Condition()
    held: list[tuple[Letter, Receipt]] = []
    unanswered: list[Letter] = []

    def submit(platform: str) -> None:
        caller = voice.connect()
        while True:
            letters = [voice.says(a_flag(), platform) for _ in range(3)]
            try:
                results = caller.call("SubmitFlags", envelopes=[one.envelope for one in letters]).results
            except grpc.RpcError:
                unanswered.extend(letters)
                caller.close()
                return
            with news:
                for letter, result in zip(letters, results, strict=True):
                    held.append((letter, proven(result.receipt, letter, own.world.log)))
                news.notify()

    threads = [threading.Thread(target=submit, args=(("telegram", "whatsapp")[n % 2],)) for n in range(6)]
    for thread in threads:
        thread.start()
    with news:
        assert news.wait_for(lambda: len(held) >= 150, 60)
    older = own["operator"].head()
    own.kill()
    for thread in threads:
        thread.join()
    own.restart()
    head = assert_one_log(own, older)
    assert RECORDED + len(held) <= head.size <= RECORDED + len(held) + len(unanswered)
    started = own.wait_for("exchange.started", size=head.size)
    assert started["checked"] == min(head.size, 1000)
    assert_in_the_log(own, held)
    for letter, receipt in held:
        assert own["kominfo"].submit(letter) == receipt
    late = [(letter, own["kominfo"].submit(letter)) for letter in unanswered]
    assert_in_the_log(own, held + late)
    assert own["operator"].head().size == RECORDED + len(held) + len(late)
    for platform in ("telegram", "whatsapp"):
        feed = own[platform].feed()
        mine = [(letter, receipt) for letter, receipt in held + late if letter.recipient == platform]
        assert [one.receipt.sequence for one in feed] == list(range(1, len(mine) + 1))
        assert [one.envelope for one in feed] == [
            letter.envelope for letter, receipt in sorted(mine, key=lambda one: one[1].sequence)
        ]


def test_case_goes_on_after_a_sigkill(own: Running) -> None:
    flag = own["kominfo"].says(a_flag(count=2), "telegram")
    own["telegram"].says(an_acknowledgement(), flag)
    before = own["kominfo"].case(flag)
    own.kill()
    own.restart()
    assert own["kominfo"].case(flag) == before
    own["telegram"].says(a_decision(1, 2), flag)
    assert len(own["kominfo"].case(flag).statements) == 3


def test_sigkill_between_two_starts_without_a_statement(own: Running) -> None:
    own.kill()
    own.restart()
    assert own["operator"].head().size == RECORDED
    own["kominfo"].says(a_flag(), "telegram")
    own.kill()
    own.restart()
    assert own["operator"].head().size == RECORDED + 1


def test_sigterm_ends_everything_in_order(own: Running) -> None:
    """Health says so first, streams end with a reason, calls that run are answered, and the exit code is 0."""
    health = health_pb2_grpc.HealthStub(own["operator"].channel).Watch(health_pb2.HealthCheckRequest())
    assert next(health).status == health_pb2.HealthCheckResponse.SERVING
    feed = own["telegram"].call("Watch", after_sequence=0)
    next(feed)
    voice = own.world.voices["kominfo"]
    submit: Any = own["kominfo"].channel.unary_unary(
        "/panji.v1.FlagService/SubmitFlags", request_serializer=METHODS["SubmitFlags"].SerializeToString
    )
    batches = [[voice.says(a_flag(), "telegram").envelope for _ in range(200)] for _ in range(3)]
    calls = [submit.future(METHODS["SubmitFlags"](envelopes=one)) for one in batches]
    code = own.terminate()
    assert code == 0
    with suppress(grpc.RpcError):
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as error:
        list(feed)
    assert read_refusal(error.value).reason is Reason.SHUTTING_DOWN
    answered = 0
    for call in calls:
        if call.exception() is None:
            answered += 200
        else:
            # Refused, or at the end of its grace: a retry finds out.
            assert call.exception().code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    names = [one["event"] for one in own.audit()]
    assert names.index("exchange.stopping") < names.index("watch.ended") < names.index("exchange.stopped")
    stopped = own.audit()[-1]
    assert (stopped["event"], stopped["size"] >= answered) == ("exchange.stopped", True)
    own.restart()
    assert own["operator"].head().size == stopped["size"]


async def test_call_that_waits_for_its_commit_is_answered_though_the_exchange_stops(small_world: World) -> None:
    held = Held()
    async with serving(small_world, wrap=held.wrap) as exchange, held:
        voice = small_world.voices["kominfo"]
        letter, late = (voice.says(a_flag(), "telegram") for _ in range(2))
        running = asyncio.ensure_future(exchange.submit("kominfo", letter))
        await asyncio.to_thread(held.reached.wait)
        stopping = [asyncio.ensure_future(exchange.server.stop(60)), asyncio.ensure_future(exchange.exchange.stop())]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await exchange.call("kominfo", "SubmitFlag", envelope=late.envelope)
        # gRPC itself cancels a call that comes in just as it stops; a retry finds another exchange.
        assert error.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert not running.done()
        held.release.set()
        assert (await running).index == 0
        await asyncio.gather(*stopping)


def test_health_says_that_it_is_not_serving_before_it_is_gone(own: Running) -> None:
    """A load balancer that watches is told while the exchange can still answer."""
    stream = health_pb2_grpc.HealthStub(own["operator"].channel).Watch(
        health_pb2.HealthCheckRequest(service="panji.v1.FlagService")
    )
    assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
    seen: list[Any] = []
    told = threading.Thread(target=lambda: seen.append(next(stream).status))
    told.start()
    assert own.terminate() == 0
    told.join()
    assert seen == [health_pb2.HealthCheckResponse.NOT_SERVING]


def test_second_exchange_on_the_same_address_refuses_to_start(
    own: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PANJI_DATABASE", str(tmp_path / "other.db"))
    code = main(["--config", str(own.world.made.config)])
    assert code == 78
    assert "listen: cannot listen on" in capsys.readouterr().err
    own["kominfo"].says(a_flag(), "telegram")


def test_second_exchange_over_the_same_database_refuses_to_start_until_the_first_is_killed(
    own: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is woken on one by what the other accepts. The lock is the operating system's, and outlives no process."""
    assert main(["--config", str(own.world.made.config)]) == 74
    assert "another exchange works on this database" in capsys.readouterr().err
    own["kominfo"].says(a_flag(), "telegram")
    assert main(["--config", str(own.world.made.config), "--check"]) == 0
    own.kill()
    own.restart()


# What was answered must be there.


def flip_a_bit_of_the_log(path: Path) -> None:
    data = bytearray(path.with_name(f"{path.name}-wal").read_bytes())
    data[len(data) // 2] ^= 1
    path.with_name(f"{path.name}-wal").write_bytes(data)


def lose_the_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def lose_the_database(path: Path) -> None:
    for what in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{what}").unlink()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (flip_a_bit_of_the_log, "the write-ahead log is damaged"),
        (lose_the_log, "the database ends at 0 entries, and the exchange has signed 6"),
        (lose_the_database, "there is no exchange.db, and there was one"),
    ],
    ids=["one bit of the write-ahead log", "no write-ahead log", "no database"],
)
def test_no_second_history_is_signed_where_answered_commits_are_gone(own: Running, harm: Any, complaint: str) -> None:
    """SQLite drops what stands behind a damaged frame without a word, and what is left is an older log, consistent."""
    for _ in range(5):
        own["kominfo"].says(a_flag(), "telegram")
    own.kill()
    harm(database(own.world))
    own.spawn()
    assert own.ended() == 74
    assert complaint in own.stderr.read_text()
    assert "docs/operations.md" in own.stderr.read_text()


def test_files_of_an_exchange_are_nobody_elses_to_read(own: Running) -> None:
    files = sorted(database(own.world).parent.glob("exchange.db*"))
    assert [one.name.removeprefix("exchange.db") for one in files] == ["", "-head", "-lock", "-shm", "-wal"]
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}


def test_strangers_who_take_every_connection_do_not_end_the_exchange(small_world: World) -> None:
    """Attack, without a certificate: idle connections take the file descriptors, and the database cannot be opened."""
    running = Running(small_world)
    running.start()
    assert running.process is not None
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (128, 128))
    flag = running["kominfo"].says(a_flag(), "telegram")  # is connected already
    host, port = small_world.voices["kominfo"].profile.address.rsplit(":", 1)
    descriptors = Path(f"/proc/{running.process.pid}/fd")
    strangers: list[socket.socket] = []
    try:
        while len(list(descriptors.iterdir())) < 127:
            strangers.append(socket.create_connection((host, int(port)), 5))
        with ThreadPoolExecutor(8) as several:  # each reader's thread has its first turn now
            reads = [several.submit(running["kominfo"].call, "GetCase", case_id=flag.id) for _ in range(8)]
        assert [one.result().case.id for one in reads] == [flag.id] * 8
        for _ in range(sqlite._COMMITS_A_CHECKPOINT + 8):  # and the one that moves the write-ahead log
            running["kominfo"].says(a_flag(), "telegram")
    finally:
        for stranger in strangers:
            stranger.close()
    running.hang_up()
    assert running.terminate() == 0
    running.close()


# The disk.


def test_disk_that_is_full_ends_the_process_and_loses_nothing_that_was_answered(own: Running) -> None:
    """The limit on the size of files strikes where a full disk would: in the middle of a commit."""
    voice = own.world.voices["kominfo"]
    held = [(letter := voice.says(a_flag(), "telegram"), own["kominfo"].submit(letter)) for _ in range(20)]
    older = own["operator"].head()
    assert own.process is not None
    log = own.world.made.config.parent / "exchange.db-wal"
    limit = log.stat().st_size + 64 * 1024
    resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    refusal, last = None, held[0][0]
    while refusal is None:
        last = voice.says(a_flag(), "telegram")
        try:
            held.append((last, own["kominfo"].submit(last)))
        except grpc.RpcError as error:
            refusal = read_refusal(error)
    assert refusal.reason is Reason.STORAGE_FAILED
    assert own.ended() == 74
    assert "panji-server: storage: SQLite: " in own.stderr.read_text()
    failed = [one for one in own.audit() if one["event"] == "exchange.failed"]
    assert len(failed) == 1
    assert not [one for one in own.audit() if one["event"] in {"exchange.stopped", "call.failed"}]
    own.restart()
    assert_one_log(own, older)
    assert_in_the_log(own, held)
    for letter, receipt in held:
        assert own["kominfo"].submit(letter) == receipt
    own["kominfo"].submit(last)
    assert own["operator"].head().size == RECORDED + len(held) + 1


def test_log_of_events_that_cannot_be_written_ends_the_process(own: Running) -> None:
    """What the log of events does not know of is not answered. The statement may be there; a retry finds it."""
    voice, sent = own.world.voices["kominfo"], [own["kominfo"].says(a_flag(), "telegram")]
    own.close_events()
    code = None
    while code is None:  # the last reader may still be about to go
        sent.append(voice.says(a_flag(), "telegram"))
        try:
            own["kominfo"].submit(sent[-1])
        except grpc.RpcError as error:
            code = error.code()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert own.ended() == 74
    assert "panji-server: audit: " in own.stderr.read_text()
    own.restart()
    for index, letter in enumerate(sent, RECORDED):
        assert own["kominfo"].submit(letter).index == index
    assert own["operator"].head().size == RECORDED + len(sent)


def test_log_of_events_that_is_full_at_the_start(small_world: World) -> None:
    running = Running(small_world, {"PANJI_AUDIT__PATH": "/dev/full"})
    running.spawn()
    assert running.ended() == 74
    assert "No space left on device" in running.stderr.read_text()
    running.close()


def test_event_log_in_a_file_stays_whole_after_a_torn_line(small_world: World) -> None:
    path = small_world.made.config.parent / "audit.jsonl"
    path.write_text('{"event":"exchange.started","ti')
    running = Running(small_world, {"PANJI_AUDIT__PATH": str(path)})
    running.spawn()
    operator = small_world.voices["operator"].connect()
    grpc.channel_ready_future(operator.channel).result(60)
    operator.call("GetCheckpoint")
    assert running.terminate() == 0
    torn, *lines = path.read_text().splitlines()
    assert torn == '{"event":"exchange.started","ti'
    assert [json.loads(line)["event"] for line in lines] == [
        "statement.made",
        "exchange.started",
        "call.finished",
        "exchange.stopping",
        "exchange.stopped",
    ]
    operator.close()
    running.close()


@pytest.fixture
def stopped(own: Running) -> World:
    """An exchange with five statements in its log, stopped."""
    for _ in range(5):
        own["kominfo"].says(a_flag(), "telegram")
    own.hang_up()
    assert own.terminate() == 0
    return own.world


def database(world: World) -> Path:
    return world.made.config.parent / "exchange.db"


def start(world: World, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["--config", str(world.made.config), "--check"])
    return code, capsys.readouterr().err


def test_log_that_is_whole_passes_the_audit_at_start(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(stopped, capsys) == (0, "")


@pytest.mark.parametrize("content", [b"rahasia" * 1000, b"SQLite format 3\0" + b"\xff" * 4096, bytes(8192)])
def test_database_that_is_garbage(stopped: World, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    database(stopped).write_bytes(content)
    code, error = start(stopped, capsys)
    assert code == 74
    assert error.startswith("panji-server: storage: ")
    assert "Traceback" not in error


def test_database_that_is_cut_short(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    content = database(stopped).read_bytes()
    database(stopped).write_bytes(content[: len(content) // 2])
    assert start(stopped, capsys)[0] == 74


def test_database_of_another_exchange(stopped: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = World.create(tmp_path / "other")
    shutil.copy(database(stopped), database(other))
    code, error = start(other, capsys)
    assert code == 74
    assert "not of this log key and origin" in error


def test_another_log_key_over_the_same_database(
    stopped: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = World.create(tmp_path / "other")
    shutil.copy(other.made.config.parent / "keys/log.pem", stopped.made.config.parent / "keys/log.pem")
    assert start(stopped, capsys)[0] == 74


def test_database_that_is_a_folder(small_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    database(small_world).mkdir()
    code, error = start(small_world, capsys)
    assert code == 78
    assert "database: Value error, is a folder" in error


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        ("UPDATE statement SET envelope = x'00' WHERE idx = 3", "index 3 is not the one that was logged"),
        ("UPDATE statement SET received_at = received_at + 1 WHERE idx = 4", "index 4 is not the one"),
        ("DELETE FROM statement WHERE idx = 2", "missing from the end of the log"),
        ("DELETE FROM node WHERE key = (SELECT max(key) FROM node)", "nodes of the tree are missing"),
        ("DELETE FROM checkpoint WHERE size = 6", "6 entries and no checkpoint"),
        ("UPDATE head SET size = 4", ""),
        ("PRAGMA user_version = 99", "schema version 99"),
    ],
)
def test_database_that_was_touched(
    stopped: World, capsys: pytest.CaptureFixture[str], harm: str, complaint: str
) -> None:
    connection = sqlite3.connect(database(stopped))
    connection.execute(harm)
    connection.commit()
    connection.close()
    code, error = start(stopped, capsys)
    assert code == 74
    assert complaint in error
