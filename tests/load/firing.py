# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""How fast an exchange states what falls due at once: 1,000 deadlines of one second among 100,000 that are open.

The database, the sequencer, the signatures and the commits are the real ones, and submissions go on meanwhile; only the
network is left out, and the clock is ours: nobody waits a day for a deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from load.fill import fill
from support.load import Party

from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.vocabulary import Kind, Role
from panji_server.admission import Rules
from panji_server.deadlines import Deadlines
from panji_server.directory import DirectoryFile
from panji_server.exchange import Exchange
from panji_server.herald import Herald
from panji_server.limits import RateLimit
from panji_server.sequencing import Accepted
from panji_server.storage.base import Timer
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji.core.directory import Organisation

OPEN, DUE = 100_000, 1_000
DAY = timedelta(days=1)
FLAGS = 20_000
BATCH = 10
"""Flags of one submission."""
PAUSE_SECONDS = 0.02
"""Between two submissions: at most 500 flags a second, sixty times what a ministry sends on average."""
BAR_SECONDS = 5.0
"""The longest that it may take."""


class Clock:
    """Stands where it is put."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


async def _go_on(exchange: Exchange, caller: Organisation, flags: Sequence[bytes], accepted: list[int]) -> None:
    """Submits until there is nothing left, or it is cancelled."""
    for start in range(0, len(flags), BATCH):
        outcomes = await exchange.submit(flags[start : start + BATCH], frozenset({Kind.FLAG}), caller)
        accepted.append(sum(isinstance(one, Accepted) for one in outcomes))
        await asyncio.sleep(PAUSE_SECONDS)


async def _measure(storage: SQLiteStorage, folder: Path, clock: Clock, opened: Sequence[datetime]) -> dict[str, Any]:
    party = Party.load(folder / "kominfo" / "profile.toml")
    keys = folder / "exchange" / "keys"
    log = NoteSigner(party.profile.log.name, PrivateKeySigner.from_pem((keys / "log.pem").read_bytes()))
    directory = DirectoryFile(folder / "exchange" / "directory.toml", on_change=lambda _: None, on_error=lambda _: None)
    exchange = Exchange(
        storage,
        log,
        directory,
        Rules(origin=party.profile.log.name, issued_before=10 * DAY),
        RateLimit(1e9, 10**9),
        max_queue=10_000,
        on_failure=lambda error: print(error, file=sys.stderr),
        clock=clock,
    )
    found = parse_directory((folder / "exchange" / "directory.toml").read_text())
    operator = next(one.id for one in found.organisations.values() if one.role is Role.OPERATOR)
    herald = Herald(
        party.profile.log.name, operator, PrivateKeySigner.from_pem((keys / "statements.pem").read_bytes()), b"bench"
    )
    deadlines = Deadlines(
        exchange, herald, acknowledged=DAY, clock=clock, on_unstated=lambda _case, refusal: print(refusal)
    )
    await deadlines.begin()
    storage.set_timers({index: Timer(at + DAY) for index, at in enumerate(opened)})
    caller = found.organisations[party.profile.organisation]
    flags, accepted = [flag.envelope for flag in party.flags("telegram", FLAGS)], list[int]()
    clock.now = opened[DUE - 1] + DAY
    submitting = asyncio.create_task(_go_on(exchange, caller, flags, accepted))
    began, cpu = time.perf_counter(), time.process_time()
    fired = await deadlines.state()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)
    await exchange.stop()
    return {
        "deadlines_open": OPEN,
        "deadlines_fired": fired,
        "deadlines_seconds": seconds,
        "deadlines_cpu_seconds": cpu,
        "deadlines_submissions_meanwhile": sum(accepted),
    }


def measure(home: Path) -> dict[str, Any]:
    """Returns the figures."""
    folder = home / "exchange"
    fill(folder, OPEN)
    with closing(SQLiteStorage(folder / "exchange" / "exchange.db", exclusive=True)) as storage:
        opened = [row.received_at for row in storage.rows(range(OPEN))]
        return asyncio.run(_measure(storage, folder, Clock(datetime.now(UTC)), opened))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; writes the figures into the JSON of the bench, where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="add every figure to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when the bar is missed")
    options = parser.parse_args(arguments)
    (ROOT / ".make").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="firing-", dir=ROOT / ".make") as home:
        found = measure(Path(home))
    met = found["deadlines_seconds"] <= BAR_SECONDS and found["deadlines_fired"] == DUE
    print(
        f"{'pass' if met else 'FAIL'}  {found['deadlines_fired']:,} deadlines of one second stated, of "
        f"{found['deadlines_open']:,} that are open, in {found['deadlines_seconds']:.2f} s (at most {BAR_SECONDS:.0f}; "
        f"CPU {found['deadlines_cpu_seconds']:.2f} s), with "
        f"{found['deadlines_submissions_meanwhile']:,} flags taken meanwhile"
    )
    if options.json:
        before = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
        options.json.write_text(json.dumps(before | found, indent=2) + "\n", "utf-8")
    return 1 if options.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
