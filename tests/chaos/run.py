# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""SIGKILL under load, again and again, against one database; then every receipt is called in.

In each round authorities and a platform submit at once, one by one and in batches, and write down every receipt that
they have verified. After a random number of receipts and a random moment more, the exchange is killed; now and then it
is killed once more while it starts. When it is back, what was left unanswered is sent again, the same bytes, and:

1. every receipt held is of an entry that proves to be in the newest tree (lost),
2. no index has two statements, no statement two receipts or two deliveries, and sending it again returns the very
   receipt (doubled),
3. all that was ever sent fills the log's indexes and every recipient's sequences without a hole (gaps),
4. every head ever seen is a prefix of the next, no size has two roots, and the log never shrank (forks).

The books are kept here, with bare stubs and :mod:`panji.core`, not by the client library. A SIGKILL leaves what the
kernel was given; that a power cut loses nothing either rests on the fsync before every answer.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # this process has channels open while it starts exchanges

import grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chaos.books import CALL_SECONDS, PLATFORM, Books, Clients, Sent
from chaos.reckoning import Reckoning, each
from support.load import UNLIMITED, ExchangeProcess, Party, Receipts
from support.statements import a_decision, an_acknowledgement

from panji.core.vocabulary import Kind
from panji.development import init

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from panji.core.statements import Body
    from panji.development import Development

AUTHORITIES = ("kominfo", "polri")
FEWEST, MOST = 20, 400
"""Receipts after which a round's kill comes."""
OFFSET_SECONDS = 0.012
"""The kill comes up to so much later: the time of several commits."""
KILLED_AT_START = 0.2
"""How often a start is killed as well."""
START_SECONDS = 1.2
LIMIT_SECONDS = 600.0
_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""Codes with which calls end when the process behind the connection is gone."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did."""

    receipts: int
    offset_ms: float
    unanswered: int
    committed: int
    """Of the unanswered: those that were in the log all the same."""
    size: int
    heads: int
    restart_ms: float
    starts_killed: int


class Chaos:
    """The run.

    Args:
        home: A folder for everything.
        seed: Decides sizes and moments; what the machine makes of them is its own.
    """

    def __init__(self, home: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._development: Development = init(
            home / "development", now=datetime.now(UTC), authorities=AUTHORITIES, platforms=(PLATFORM,)
        )
        names = (*AUTHORITIES, PLATFORM)
        self._parties = {name: Party.load(self._development.profiles[name]) for name in names}
        self.books = Books(Receipts(self._parties[PLATFORM].profile.log))
        self._numbers = itertools.count(1)
        self._reckoning = Reckoning(self.books, names, self._development.origin)
        self._process: ExchangeProcess | None = None

    async def run(self, rounds: int) -> list[Round]:
        """Plays the rounds, and the last reckoning. Returns what each did; the books say what was wrong."""
        done: list[Round] = []
        self._start()
        try:
            for number in range(1, rounds + 1):
                done.append(await self._round())
                _print_round(number, done[-1])
            async with Clients(self._parties, self.books) as clients:
                await self._reckoning.check_all(clients)
        finally:
            if self._process is not None:
                self._process.stop()
        self._inspect_database()
        return done

    # One round.

    async def _round(self) -> Round:
        before, heads = len(self.books.held), len(self.books.receipts.roots)
        offset = await self._load_and_kill()
        killed = 0
        while self._random.random() < KILLED_AT_START:
            self._launch()
            time.sleep(self._random.uniform(0.0, START_SECONDS))  # noqa: ASYNC251 - nobody else has anything to do
            self._kill()
            killed += 1
        restart = self._start()
        unanswered = list(self.books.unanswered)
        async with Clients(self._parties, self.books) as clients:
            committed = (await self._reckoning.newest(clients)).size
            await self._send_again(clients)
            await self._reckoning.check(clients)
        return Round(
            receipts=len(self.books.held) - before,
            offset_ms=offset * 1000,
            unanswered=len(unanswered),
            committed=sum(
                digest in self.books.held and self.books.held[digest].receipt.index < committed for digest in unanswered
            ),
            size=self._reckoning.head.size,
            heads=len(self.books.receipts.roots) - heads,
            restart_ms=restart * 1000,
            starts_killed=killed,
        )

    async def _load_and_kill(self) -> float:
        """Submits from all sides until the process is gone. Returns how long after enough receipts."""
        enough = len(self.books.held) + self._random.randint(FEWEST, MOST)
        offset = self._random.uniform(0.0, OFFSET_SECONDS)
        reached, gone = threading.Event(), threading.Event()

        def kill() -> None:
            # In a thread of its own: the moment must not depend on what the clients' event loop is at.
            reached.wait(CALL_SECONDS)
            time.sleep(offset)
            self._kill()
            gone.set()

        killer = threading.Thread(target=kill)
        killer.start()

        async def until_gone(submit: Callable[[], Awaitable[None]]) -> None:
            while not gone.is_set():
                try:
                    await submit()
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _GONE:
                        self.books.blame("refused", f"{error.code().name}: {error.details()}")
                        reached.set()
                    return
                if len(self.books.held) >= enough:
                    reached.set()

        async with Clients(self._parties, self.books) as clients:
            submitters: list[Callable[[], Awaitable[None]]] = [partial(self._answer, clients)] * 3
            submitters += [partial(self._answers, clients)]
            for authority in AUTHORITIES:
                submitters += [partial(self._one_flag, clients, authority)] * 3
                submitters += [partial(self._flags, clients, authority)]
            await asyncio.gather(*(until_gone(one) for one in submitters))
        await asyncio.to_thread(killer.join)
        return offset

    def _flag(self, authority: str) -> Sent:
        signed = self._parties[authority].flag(PLATFORM, next(self._numbers))
        return self.books.send(Sent(signed, Kind.FLAG, authority, PLATFORM))

    async def _one_flag(self, clients: Clients, authority: str) -> None:
        await clients.one(self._flag(authority))

    async def _flags(self, clients: Clients, authority: str) -> None:
        await clients.many([self._flag(authority) for _ in range(self._random.randint(2, 25))])

    async def _answer(self, clients: Clients) -> None:
        answers = self._next_answers(1)
        if answers:
            await clients.one(answers[0])
        else:
            await asyncio.sleep(0.002)

    async def _answers(self, clients: Clients) -> None:
        answers = self._next_answers(self._random.randint(2, 15))
        if answers:
            await clients.many(answers)
        else:
            await asyncio.sleep(0.002)

    def _next_answers(self, count: int) -> list[Sent]:
        """Decisions of what was acknowledged, and acknowledgements. Never two answers of a case at once."""
        books, answers = self.books, []
        body: Body
        for _ in range(count):
            if books.to_decide and self._random.random() < 0.5:
                flag, body, kind = books.to_decide.popleft(), a_decision(), Kind.DECISION
            elif books.to_acknowledge:
                flag, body, kind = books.to_acknowledge.popleft(), an_acknowledgement(), Kind.ACKNOWLEDGEMENT
            else:
                break
            signed = self._parties[PLATFORM].sign(
                body, flag.sender, case_id=flag.signed.id, in_reply_to=flag.signed.digest
            )
            answers.append(books.send(Sent(signed, kind, PLATFORM, flag.sender, flag)))
        return answers

    # After the kill.

    async def _send_again(self, clients: Clients) -> None:
        """What was left unanswered: the same bytes, one by one or in batches, whatever they came in."""
        left = list(self.books.unanswered.values())
        self._random.shuffle(left)
        single, rest = left[: len(left) // 2], left[len(left) // 2 :]
        await each(single, clients.one)
        for party in self._parties:
            batch = [sent for sent in rest if sent.sender == party]
            if batch:
                await clients.many(batch)
        for digest, sent in self.books.unanswered.items():
            self.books.blame("lost", f"{sent.kind} {sent.signed.id} ({digest.hex()[:16]}) stays unanswered")

    # The process.

    def _launch(self) -> ExchangeProcess:
        self._process = ExchangeProcess(self._development.config, self._development.listen, settings=UNLIMITED)
        return self._process

    def _start(self) -> float:
        """Starts the exchange, and returns how long that took."""
        began = time.monotonic()
        self._launch().wait_ready()
        return time.monotonic() - began

    def _kill(self) -> None:
        assert self._process is not None
        if self._process.exit_code is not None:
            self.books.blame("ended", f"the exchange ended by itself, with {self._process.exit_code}")
        self._process.kill()

    def _inspect_database(self) -> None:
        """What SQLite itself says of a file that was killed so often, and the checkpoints that nobody was shown."""
        path = self._development.config.parent / "exchange.db"
        connection = sqlite3.connect(path)
        try:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
            notes = [note for (note,) in connection.execute("SELECT note FROM checkpoint")]
        finally:
            connection.close()
        if verdict != "ok":
            self.books.blame("lost", f"SQLite: {verdict}")
        for note in notes:
            self.books.receipts.head(note)
        command = [sys.executable, "-m", "panji_server.rebuild", "--config", str(self._development.config)]
        rebuilt = subprocess.run(command, capture_output=True, text=True, check=False)
        print((rebuilt.stdout or rebuilt.stderr).strip())
        if rebuilt.returncode:
            self.books.blame("differing", rebuilt.stderr.strip())
        self.books.wrong["forks"] += self.books.receipts.forks


_COLUMNS = ("round", "receipts", "offset ms", "unanswered", "committed", "log", "heads", "starts killed", "restart ms")


def _print_round(number: int, one: Round) -> None:
    if number == 1:
        print("  ".join(f"{name:>9}" for name in _COLUMNS))
    values = (
        number, one.receipts, f"{one.offset_ms:.1f}", one.unanswered, one.committed, one.size, one.heads,
        one.starts_killed, f"{one.restart_ms:.0f}",
    )  # fmt: skip
    print("  ".join(f"{value:>{max(9, len(name))}}" for name, value in zip(_COLUMNS, values, strict=True)), flush=True)


async def _bounded(home: Path, seed: int, rounds: int) -> tuple[Books, list[Round]]:
    async with asyncio.timeout(LIMIT_SECONDS):
        chaos = Chaos(home, seed)
        done = await chaos.run(rounds)
        return chaos.books, done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 50))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or time.time()))
    parser.add_argument("--json", type=Path, help="write what happened here")
    options = parser.parse_args()
    print(f"{options.rounds} rounds, SEED={options.seed}")
    scratch = ROOT / ".make"
    scratch.mkdir(exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=scratch) as home:
        books, rounds = asyncio.run(_bounded(Path(home), options.seed, options.rounds))
    found: dict[str, Any] = {
        name: books.wrong[name]
        for name in ("lost", "doubled", "gaps", "forks", "unproved", "refused", "ended", "differing")
    }
    for detail in books.details[:20]:
        print(f"  {detail}", file=sys.stderr)
    committed, unanswered = sum(one.committed for one in rounds), sum(one.unanswered for one in rounds)
    print(
        f"{len(books.held)} receipts under {len(books.receipts.roots)} heads, {len(rounds)} kills under load and "
        f"{sum(one.starts_killed for one in rounds)} at the start, in {time.monotonic() - began:.0f} s; of "
        f"{unanswered} statements left unanswered, {committed} were in the log all the same"
    )
    print("\n".join(f"{name} {count}" for name, count in found.items()))
    if options.json:
        each = [asdict(one) for one in rounds]
        summary = {**found, "receipts": len(books.held), "seed": options.seed, "rounds": each, "details": books.details}
        options.json.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
