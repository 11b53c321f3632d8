# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""What a durable, signed submission costs, against a bare echo of the same bytes over mutual TLS.

Three processes on one machine: the server that is measured (the echo, or a real exchange on this disk with every
fsync), this load generator, and for delivery a watcher. Flags are signed before the measured time, receipts verified
after it; one that fails ends the bench. Echo and exchange take turns; every figure is the median over the rounds.

The server's processor time per statement is the figure to compare: rates and latencies also depend on how heavy the
load generator is and on who else uses the machine, which the last line of the table says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # this process has channels open while it starts others

import grpc
import uvloop

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from load.measuring import Figures, Others, drive, percentiles, sync_seconds
from support.load import UNLIMITED, ExchangeProcess, Party, Receipts, Signed, free_port

from panji.development import init
from panji.v1 import flag_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from panji.development import Development

IN_FLIGHT = (1, 16, 64)
ECHOES = {1: 1500, 16: 4000, 64: 9000}
"""Calls a round. At 64 the server spends about a second on them."""
FLAGS = {1: 500, 16: 2000, 64: 3500}
"""Statements a round, one by one."""
BATCH = 100
BATCHES = 90
BATCHES_IN_FLIGHT = 4
WARM_UP = 5000
"""Statements that are in the log before anything is measured."""
DELIVERIES = 600
DELIVERIES_PER_SECOND = 200
SYNCS = 150
"""Appends of 4 KiB with fdatasync, a round."""
BARS = {
    "cpu_ratio_one_by_one_64": 3.5,
    "cpu_ratio_batch_100": 1.4,
    "p99_ratio_1": 4.0,
    "p99_ratio_16": 4.0,
    "p99_ratio_64": 4.0,
}
"""The most that each may be."""
LIMIT_SECONDS = 240.0

_SUBMIT = "/panji.v1.FlagService/SubmitFlag"
_SUBMIT_MANY = "/panji.v1.FlagService/SubmitFlags"


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs, and a channel to it."""

    process: ExchangeProcess
    channel: grpc.aio.Channel

    def method(self, name: str) -> Any:
        """Bytes to bytes: the generator neither writes nor reads messages in the measured time."""
        return self.channel.unary_unary(name)


@asynccontextmanager
async def _serving(process: ExchangeProcess, caller: Party) -> AsyncIterator[Serving]:
    try:
        process.wait_ready()
        async with caller.channel() as channel:
            yield Serving(process, channel)
    finally:
        process.stop()


class Bench:
    """The bench: a development exchange and an echo, both running, taking turns.

    Args:
        home: A folder on the disk that is measured.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._development: Development = init(
            home / "development", now=datetime.now(UTC), platforms=("telegram", "watcher")
        )
        self._ministry = Party.load(self._development.profiles["kominfo"])
        self._receipts = Receipts(self._ministry.profile.log)
        self._verified = 0
        self._rounds: dict[str, list[Figures]] = {}
        self._syncs: list[float] = []
        self._others = Others()

    async def run(self, rounds: int) -> dict[str, Any]:
        """Measures, and returns every figure."""
        async with self._exchange() as exchange:
            sample = await self._warm_up(exchange)
            async with self._echo(sample) as echo:
                await drive(echo.method(_SUBMIT), self._requests(100) * 20, 64)
                for number in range(rounds):
                    await self._round(number, exchange, echo)
            latencies = await self._delivery(exchange)
        if self._receipts.forks:
            raise RuntimeError(f"{self._receipts.forks} checkpoints contradict others of their size")
        return {"rounds": rounds, "answer_bytes": len(sample), **self._figures(latencies)}

    # The parts that are measured.

    async def _round(self, number: int, exchange: Serving, echo: Serving) -> None:
        for in_flight in IN_FLIGHT:
            turns = [self._echo_turn(echo, in_flight), self._flag_turn(exchange, in_flight)]
            for turn in reversed(turns) if number % 2 else turns:
                await turn
        await self._batch_turn(exchange, BATCHES)
        self._syncs += sync_seconds(self._home / "sync", SYNCS)

    async def _echo_turn(self, echo: Serving, in_flight: int) -> None:
        requests = self._requests(100) * (ECHOES[in_flight] // 100)
        await self._measure(f"echo_{in_flight}", echo, requests, in_flight)

    async def _flag_turn(self, exchange: Serving, in_flight: int) -> None:
        flags = self._ministry.flags("telegram", FLAGS[in_flight])
        requests = [_request(flag) for flag in flags]
        self._verify(flags, await self._measure(f"one_by_one_{in_flight}", exchange, requests, in_flight))

    async def _batch_turn(self, exchange: Serving, count: int, name: str = "batch_100") -> None:
        flags = self._ministry.flags("telegram", count * BATCH)
        requests = [
            flag_service_pb2.SubmitFlagsRequest(
                envelopes=[flag.envelope for flag in flags[start : start + BATCH]]
            ).SerializeToString()
            for start in range(0, len(flags), BATCH)
        ]
        answers = await self._measure(name, exchange, requests, BATCHES_IN_FLIGHT, statements=BATCH)
        results = [one for data in answers for one in flag_service_pb2.SubmitFlagsResponse.FromString(data).results]
        for flag, result in zip(flags, results, strict=True):
            self._receipts.verify(flag.digest, result.receipt)
        self._verified += len(flags)

    async def _measure(
        self, name: str, server: Serving, requests: Sequence[bytes], in_flight: int, *, statements: int = 1
    ) -> list[bytes]:
        call = server.method(_SUBMIT if statements == 1 else _SUBMIT_MANY)
        gc.collect()
        gc.freeze()  # the generator's own collector has no part in the latencies
        with self._others.watched(server.process):
            cpu = server.process.cpu_seconds()
            answers, latencies, seconds = await drive(call, requests, in_flight)
            cpu = server.process.cpu_seconds() - cpu
        total = len(requests) * statements
        self._rounds.setdefault(name, []).append(
            Figures(total / seconds, *percentiles(latencies), cpu_us=cpu / total * 1e6)
        )
        return answers

    async def _delivery(self, exchange: Serving) -> list[float]:
        """From before the submission to after the watcher's verification, at a steady, moderate rate."""
        flags = self._ministry.flags("watcher", DELIVERIES)
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, ROOT / "tests/load/watcher.py", "--profile", self._development.profiles["watcher"],
            "--count", str(len(flags)), stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert watcher.stdout is not None
            assert await asyncio.wait_for(watcher.stdout.readline(), 30) == b"ready\n"
            call, began, answers = exchange.method(_SUBMIT), time.monotonic(), []
            sent: dict[str, float] = {}
            async with asyncio.TaskGroup() as group:
                for number, flag in enumerate(flags):
                    await asyncio.sleep(max(0.0, began + number / DELIVERIES_PER_SECOND - time.monotonic()))
                    sent[flag.digest.hex()] = time.monotonic()
                    answers.append(group.create_task(_awaited(call(_request(flag)))))
            output, _ = await asyncio.wait_for(watcher.communicate(), 60)
        finally:
            if watcher.returncode is None:
                watcher.kill()
                await watcher.wait()
        self._verify(flags, [one.result() for one in answers])
        seen = dict(line.split() for line in output.decode().splitlines())
        if seen.keys() != sent.keys():
            raise RuntimeError(f"{len(sent.keys() - seen.keys())} statements were not delivered")
        return [float(seen[digest]) - at for digest, at in sent.items()]

    # What is around them.

    async def _warm_up(self, exchange: Serving) -> bytes:
        """Fills the log a little, and returns an answer of the usual size."""
        await self._batch_turn(exchange, WARM_UP // BATCH, "warm_up")
        flag = self._ministry.flag("telegram")
        answers, _, _ = await drive(exchange.method(_SUBMIT), [_request(flag)], 1)
        self._verify([flag], answers)
        return answers[0]

    def _requests(self, count: int) -> list[bytes]:
        return [_request(flag) for flag in self._ministry.flags("telegram", count)]

    def _verify(self, flags: Sequence[Signed], answers: Sequence[bytes]) -> None:
        for flag, answer in zip(flags, answers, strict=True):
            self._receipts.verify(flag.digest, flag_service_pb2.SubmitFlagResponse.FromString(answer).receipt)
        self._verified += len(flags)

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[Serving]:
        development = self._development
        process = ExchangeProcess(development.config, development.listen, settings=UNLIMITED)
        async with _serving(process, self._ministry) as serving:
            yield serving

    @asynccontextmanager
    async def _echo(self, answer: bytes) -> AsyncIterator[Serving]:
        path, address = self._home / "answer.bin", f"127.0.0.1:{free_port()}"
        path.write_bytes(answer)
        command = (str(ROOT / "tests/load/echo.py"), "--answer", str(path))
        process = ExchangeProcess(
            self._development.config, address, command=command, settings={"PANJI_LISTEN": address}
        )
        caller = replace(self._ministry, profile=replace(self._ministry.profile, address=address))
        async with _serving(process, caller) as serving:
            yield serving

    def _figures(self, latencies: Sequence[float]) -> dict[str, Any]:
        figures = {name: Figures.median(measured) for name, measured in self._rounds.items()}
        echo, one_by_one, batch = figures["echo_64"], figures["one_by_one_64"], figures["batch_100"]
        sync, sync_p99 = percentiles(self._syncs)
        delivery, delivery_p99 = percentiles(latencies)
        return {
            "cpu_ratio_one_by_one_64": one_by_one.cpu_us / echo.cpu_us,
            "cpu_ratio_batch_100": batch.cpu_us / echo.cpu_us,
            "rate_ratio_one_by_one_64": one_by_one.rate / echo.rate,
            "rate_ratio_batch_100": batch.rate / echo.rate,
            **{
                f"p99_ratio_{n}": figures[f"one_by_one_{n}"].p99_ms / (figures[f"echo_{n}"].p99_ms + sync)
                for n in IN_FLIGHT
            },
            "fsync_ms": sync,
            "fsync_p99_ms": sync_p99,
            "delivery_p50_ms": delivery,
            "delivery_p99_ms": delivery_p99,
            "delivery_per_second": DELIVERIES_PER_SECOND,
            "receipts_verified": self._verified,
            "batches_in_flight": BATCHES_IN_FLIGHT,
            "others_cores": self._others.busy / self._others.seconds,
            "stolen_cores": self._others.stolen / self._others.seconds,
            "python": platform.python_version(),
            "grpc": grpc.__version__,
            "uvloop": version("uvloop"),
            "cores": os.cpu_count(),
            "measurements": {name: asdict(one) for name, one in figures.items()},
            "each_round": {name: [asdict(one) for one in measured] for name, measured in self._rounds.items()},
        }


async def _awaited(call: Awaitable[bytes]) -> bytes:
    return await call


def _request(flag: Signed) -> bytes:
    data: bytes = flag_service_pb2.SubmitFlagRequest(envelope=flag.envelope).SerializeToString()
    return data


def print_table(found: dict[str, Any]) -> None:
    measurements = found["measurements"]
    echo = measurements["echo_64"]
    print(f"{'':<26}{'rate/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}{'CPU/echo':>12}{'rate/echo':>13}")
    names = [f"{kind}_{n}" for kind in ("echo", "one_by_one") for n in IN_FLIGHT] + ["batch_100"]
    for name in names:
        one = measurements[name]
        base = echo if name == "batch_100" else measurements[f"echo_{name.rpartition('_')[2]}"]
        print(
            f"{name:<26}{one['rate']:>9.0f}{one['p50_ms']:>9.2f}{one['p99_ms']:>9.2f}{one['cpu_us']:>9.0f}"
            f"{one['cpu_us'] / base['cpu_us']:>12.2f}{one['rate'] / base['rate']:>13.2f}"
        )
    print(f"{'delivery':<26}{found['delivery_per_second']:>9}{found['delivery_p50_ms']:>9.2f}", end="")
    print(f"{found['delivery_p99_ms']:>9.2f}   submit → verified by the watcher")
    print(f"{'fdatasync of 4 KiB':<26}{'':>9}{found['fsync_ms']:>9.2f}{found['fsync_p99_ms']:>9.2f}")
    print(
        f"CPU: the server process's, a statement. Batches: {found['batches_in_flight']} in flight, "
        "against the echo at 64. "
        f"Medians of {found['rounds']} rounds; {found['receipts_verified']} receipts verified."
    )
    print(
        f"{found['cores']} cores; others used {found['others_cores']:.2f} of them, "
        f"the host {found['stolen_cores']:.2f}. "
        f"Python {found['python']}, grpcio {found['grpc']}, uvloop {found['uvloop']}"
    )
    for name, most in BARS.items():
        print(f"{'pass' if found[name] <= most else 'FAIL'}  {name} {found[name]:.2f} (at most {most})")


async def _bounded(rounds: int) -> dict[str, Any]:
    scratch = ROOT / ".make"
    scratch.mkdir(exist_ok=True)
    # On the disk that the repository is on: /tmp may be memory, where an fsync is free.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as home:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await Bench(Path(home)).run(rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=os.environ.get("BENCH") or None, help="write every figure here")
    parser.add_argument("--rounds", type=int, default=5, help="at least 3")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_bounded(max(3, options.rounds)))
    print_table(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    missed = any(found[name] > most for name, most in BARS.items())
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
