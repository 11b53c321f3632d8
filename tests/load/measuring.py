"""Measuring: requests kept in flight, what a server's process used for them, and what the disk takes."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.load import ExchangeProcess


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement: calls or statements a second, milliseconds a call, the server's microseconds a statement."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    @classmethod
    def median(cls, rounds: Sequence[Self]) -> Self:
        """Each figure's own median."""
        return cls(*(statistics.median(values) for values in zip(*(astuple(one) for one in rounds), strict=True)))


@dataclass(slots=True)
class Others:
    """How much of the machine somebody else used during the measured time, in cores; and what a hypervisor took."""

    seconds: float = 0.0
    busy: float = 0.0
    stolen: float = 0.0

    @contextmanager
    def watched(self, server: ExchangeProcess) -> Iterator[None]:
        """Counts what is neither the server's nor ours."""
        began, busy, stolen = time.perf_counter(), *_machine()
        ours = server.cpu_seconds() + time.process_time()
        yield
        ours = server.cpu_seconds() + time.process_time() - ours
        busy_then, stolen_then = _machine()
        self.seconds += time.perf_counter() - began
        self.busy += max(0.0, busy_then - busy - ours)
        self.stolen += stolen_then - stolen


def _machine() -> tuple[float, float]:
    """Seconds of all processors, busy and stolen, since boot (proc_stat(5))."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / ticks, steal / ticks


async def drive(call: Any, requests: Sequence[bytes], in_flight: int) -> tuple[list[bytes], list[float], float]:
    """Sends every request, always so many at once. Returns answers, seconds for each, and seconds for all."""
    answers: list[bytes] = [b""] * len(requests)
    latencies = [0.0] * len(requests)
    waiting = iter(enumerate(requests))
    clock = time.perf_counter

    async def work() -> None:
        for number, request in waiting:
            began = clock()
            answers[number] = await call(request)
            latencies[number] = clock() - began

    began = clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return answers, latencies, clock() - began


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def sync_seconds(path: Path, count: int) -> list[float]:
    """What the disk takes to make 4 KiB durable."""
    taken = []
    block = os.urandom(4096)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            began = time.perf_counter()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return taken
