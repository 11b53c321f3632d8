"""The exchange, the client and a witness that none of us wrote: cosigned heads, silence, a log that was set back."""

from __future__ import annotations

import asyncio
import shutil
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.aics import AicsWitness, python
from support.exchange import METHOD_OF, PATIENCE, Running, World, refused, serving
from support.statements import a_flag

from panji.client import Client
from panji.core.checkpoint import open_checkpoint
from panji.core.tlog_policy import open_witnessed, parse_policy
from panji.errors import Reason
from panji_server.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("witnesses")  # installed once, not once a worker

EVERY_FLIP = """
import sys, time
from aics_tlog import cosignature_vkey, parse_note, parse_vkey, verify_checkpoint

note, log, witness = sys.stdin.buffer.read(), sys.argv[1], sys.argv[2]


def accepts(data):
    try:
        return verify_checkpoint(parse_note(data), parse_vkey(log), [parse_vkey(witness)], quorum=1).ok
    except ValueError:
        return False


assert accepts(note), "the note as it is"
assert not accepts(note.replace(b"\\n\\n", b"\\n\\n\\n", 1)), "another text"
believed = [n for n in range(len(note)) if accepts(note[:n] + bytes([note[n] ^ 1]) + note[n + 1 :])]
print(len(note), believed)
"""
"""Has aics-tlog judge a cosigned note, and the note with each of its bytes changed."""


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[AicsWitness]:
    made = AicsWitness(tmp_path / "witness", "witness.example/w1")
    with made:
        yield made


@pytest.fixture
def world(tmp_path: Path, witness: AicsWitness) -> World:
    """An exchange's files; it is to ask the witness often, and fails closed after a minute."""
    world = World.create(
        tmp_path / "made",
        settings=(
            '[witnesses]\npolicy = "policy.txt"\ninterval = 0.02\ntimeout = 20\noverdue = 60\nfail_closed = true\n'
        ),
    )
    witness.trust(world.log)
    witness.kill()  # it reads its logs when it starts
    witness.start()
    policy = world.made.config.parent / "policy.txt"
    policy.write_text(f"log {world.log}\nwitness aics {witness.vkey} {witness.url}\nquorum aics\n")
    for voice in world.voices.values():
        voice.profile = replace(voice.profile, policy=policy, witnessed_within=600)
    return world


@pytest.fixture
def exchange(world: World) -> Iterator[Running]:
    running = Running(world)
    try:
        running.start()
        running.wait_for("witness.cosigned")  # before, nothing is taken
        yield running
    finally:
        running.close()


def submit(exchange: Running, count: int) -> int:
    """Flags so often; returns the log's size."""
    kominfo = exchange.world.voices["kominfo"]
    return max(exchange["kominfo"].submit(kominfo.says(a_flag(), "telegram")).index for _ in range(count)) + 1


def cosigned(exchange: Running, size: int) -> str:
    """The cosigned head, once it is of a size: a stream of calls, each of which ends, until it is."""
    deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE)
    while datetime.now(UTC) < deadline:
        note: str = exchange["telegram"].call("GetCheckpoint").cosigned
        if note and open_checkpoint(note, exchange.world.log).size == size:
            return note
    raise AssertionError(f"the witness did not cosign {size}: {exchange.audit()[-5:]}")


def test_a_witness_of_others_cosigns_every_head_and_the_client_believes_it(
    exchange: Running, witness: AicsWitness
) -> None:
    sizes = [submit(exchange, count) for count in (1, 3, 7)]
    assert sizes == sorted(set(sizes))
    note = cosigned(exchange, sizes[-1])
    assert exchange.wait_for("witness.cosigned")["witness"] == "witness.example/w1"
    with Client.connect(exchange.world.voices["kominfo"].profile) as client:
        found = client.witnessed()
        assert client.checkpoint() == found.checkpoint == open_checkpoint(note, exchange.world.log)
        assert [(name, one.witness) for name, one in found.cosignatures] == [("aics", witness.verifier)]


def test_a_verifier_of_others_accepts_the_cosigned_head_and_rejects_it_after_one_flipped_byte(
    exchange: Running, witness: AicsWitness
) -> None:
    note = cosigned(exchange, submit(exchange, 2))
    judged = python("-c", EVERY_FLIP, str(exchange.world.log), witness.vkey, stdin=note)
    assert (judged.returncode, judged.stdout) == (0, f"{len(note.encode())} []\n"), judged.stderr
    policy = parse_policy((exchange.world.made.config.parent / "policy.txt").read_bytes())
    assert open_witnessed(note, policy, now=datetime.now(UTC), log=exchange.world.log).cosignatures


def test_a_restart_goes_on_where_the_witness_is(exchange: Running) -> None:
    size = submit(exchange, 3)
    before = cosigned(exchange, size)
    exchange.kill()
    since = len(exchange.audit())
    exchange.restart()
    exchange.wait_for("witness.cosigned", since=since)
    assert cosigned(exchange, size).startswith(before.partition("\n\n")[0])
    cosigned(exchange, submit(exchange, 1))
    assert not [one for one in exchange.audit() if one["event"] in {"witness.failed", "witness.contradicted"}]


def test_a_directory_that_changed_meanwhile_is_put_on_record_once_the_witness_has_cosigned(exchange: Running) -> None:
    size = submit(exchange, 2)
    cosigned(exchange, size)
    assert exchange.terminate() == 0
    directory = exchange.world.made.config.parent / "directory.toml"
    directory.write_text(directory.read_text() + "\n# another version\n")
    since = len(exchange.audit())
    exchange.restart()
    events = [one["event"] for one in exchange.audit()[since:]]
    assert events.index("witness.cosigned") < events.index("exchange.started")
    cosigned(exchange, size + 1)


def set_back(exchange: Running) -> tuple[int, str]:
    """Stops it, with an older copy of its database in place, and no remembered head: that it cannot see by itself.

    Returns the size that the log has had, and its cosigned head.
    """
    database = exchange.world.made.config.parent / "exchange.db"
    cosigned(exchange, submit(exchange, 2))
    assert exchange.terminate() == 0
    shutil.copy(database, database.with_suffix(".backup"))
    since = len(exchange.audit())
    exchange.restart()
    exchange.wait_for("witness.cosigned", since=since)
    honest = submit(exchange, 5)
    note = cosigned(exchange, honest)
    assert exchange.terminate() == 0
    shutil.copy(database.with_suffix(".backup"), database)
    database.with_name("exchange.db-head").unlink()
    return honest, note


def test_a_log_that_was_set_back_takes_nothing_new_and_says_nothing_itself(world: World, exchange: Running) -> None:
    """A restored backup on a new machine, say; what it has can be read."""
    honest, _ = set_back(exchange)
    since = len(exchange.audit())
    exchange.restart()
    letter = world.voices["kominfo"].says(a_flag(), "telegram")
    first = refused(exchange["kominfo"], METHOD_OF[letter.kind], envelope=letter.envelope)
    assert first.reason is Reason.WITNESSES_OVERDUE
    told = exchange.wait_for("witness.contradicted", since=since)
    assert (told["size"], told["witness_size"]) == (honest - 5, honest)
    assert exchange.wait_for("witnesses.overdue", since=since)["witnessed_size"] == honest - 5
    again = refused(exchange["kominfo"], METHOD_OF[letter.kind], envelope=letter.envelope)
    assert again.reason is Reason.WITNESSES_OVERDUE
    seen = exchange["telegram"].call("GetCheckpoint").checkpoint
    assert open_checkpoint(seen, world.log).size == honest - 5
    # Nothing was committed, and yet a still older copy would be noticed without a witness from now on.
    assert (world.made.config.parent / "exchange.db-head").read_text() == seen
    assert exchange.terminate() == 0

    directory = world.made.config.parent / "directory.toml"
    directory.write_text(directory.read_text() + "\n# another version, which would have to be put on record\n")
    exchange.spawn()
    assert exchange.ended() == 74
    assert "the directory could not be put on record: WITNESSES_OVERDUE" in exchange.stderr.read_text()


def test_a_log_that_was_set_back_and_grown_differently_is_refused_by_the_witness_and_told(
    world: World, exchange: Running, witness: AicsWitness
) -> None:
    """By an exchange that does not fail closed."""
    honest, note = set_back(exchange)
    config = world.made.config
    config.write_text(config.read_text().replace("fail_closed = true", "fail_closed = false"))
    since = len(exchange.audit())
    exchange.restart()
    told = exchange.wait_for("witness.contradicted", since=since)
    assert (told["size"], told["witness_size"]) == (honest - 5, honest)
    assert "a larger log than we have" in told["error"]

    fork = submit(exchange, 9)
    refused = "refuses the proof: the log that it has seen is another one"
    told = exchange.wait_for("witness.contradicted", since=since, error=refused)
    assert told["witness_size"] == honest
    kept = witness.evidence()[0]
    assert (kept["origin"], kept["witness_size"]) == (world.log.name, honest)
    seen = exchange["telegram"].call("GetCheckpoint")
    assert open_checkpoint(seen.checkpoint, world.log).size == fork
    assert not seen.cosigned or open_checkpoint(seen.cosigned, world.log).size < honest
    assert open_checkpoint(note, world.log).size == honest  # whoever holds this one can prove it all


def test_the_log_is_published_under_its_cosigned_head(world: World) -> None:
    with world.made.config.open("a") as config:
        config.write('[log_http]\nlisten = "127.0.0.1:0"\n')
    running = Running(world)
    try:
        running.start()
        running.wait_for("witness.cosigned")
        note = cosigned(running, submit(running, 2))
        address = running.wait_for("exchange.started")["log_http"]
        with urllib.request.urlopen(f"http://{address}/checkpoint", timeout=PATIENCE) as answer:
            assert answer.read().decode() == note
    finally:
        running.close()


# Silence.


async def until(there: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not there():  # noqa: ASYNC110 - a witness has no event of ours
            await asyncio.sleep(0.01)


async def test_a_silent_witness_closes_the_exchange_and_opens_it_again(world: World, witness: AicsWitness) -> None:
    ahead = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + ahead

    async with serving(world, clock=clock) as exchange:
        quorum, kominfo = exchange.quorum, world.voices["kominfo"]
        assert quorum is not None
        assert quorum.policy.witnesses
        kept = kominfo.says(a_flag(), "telegram")
        receipt = await exchange.submit("kominfo", kept)
        await until(lambda: quorum.size == exchange.size())

        await asyncio.to_thread(witness.kill)
        await exchange.submit("kominfo", kominfo.says(a_flag(), "telegram"))  # nothing is overdue yet
        await exchange.told("witness.failed")
        size = exchange.size()

        ahead += timedelta(seconds=61)
        refused = kominfo.says(a_flag(), "telegram")
        refusal = await exchange.refused("kominfo", refused)
        assert refusal.reason is Reason.WITNESSES_OVERDUE
        assert refusal.retry_after
        assert exchange.size() == size
        assert await exchange.submit("kominfo", kept) == receipt  # what is in the log keeps its receipt
        head = await exchange.call("telegram", "GetCheckpoint")  # and reading goes on
        assert open_checkpoint(head.checkpoint, world.log).size == size
        assert open_checkpoint(head.cosigned, world.log).size == size - 1
        event = await exchange.told("witnesses.overdue")
        assert (event["size"], event["witnessed_size"]) == (size, size - 1)

        await asyncio.to_thread(witness.start)
        await exchange.told("witnesses.recovered")
        await exchange.submit("kominfo", refused)
        await until(lambda: quorum.size == exchange.size())
        await until(lambda: [one["event"] for one in exchange.audit()].count("witness.cosigned") == 2)


# The policy.


@pytest.mark.parametrize("check", [True, False])
def test_a_policy_that_cannot_be_kept_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], check: bool
) -> None:
    world = World.create(tmp_path / "made", settings='[witnesses]\npolicy = "policy.txt"\n')
    policy = world.made.config.parent / "policy.txt"
    policy.write_text("quorum nobody\n")
    assert main(["--config", str(world.made.config), *(["--check"] if check else [])]) == 78
    assert "witnesses.policy: line 1 of the policy: 'nobody' is not defined" in capsys.readouterr().err


def test_an_exchange_without_witnesses_shows_no_cosigned_head(tmp_path: Path) -> None:
    running = Running(World.create(tmp_path / "made"))
    try:
        running.start()
        submit(running, 1)
        seen: Any = running["telegram"].call("GetCheckpoint")
        assert (bool(seen.checkpoint), seen.cosigned) == (True, "")
    finally:
        running.close()
