# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""What an append costs in a log of a million entries, against one of a thousand: both on this disk, by turns.

The whole of an append is measured, as the ledger does it: looking up what is known, sequencing, hashing, signing the
checkpoint, writing, and the commit with its fsync; and the moves of the write-ahead log that fall into that time. The
processor time of the process is the figure to compare; the clock's is told beside it.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from load.fill import Flags, fill
from support.load import Party

from panji.core.entry import SALT_SIZE
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji_server.sequencing import sequence
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL, LARGE = 1_000, 1_000_000
GROUPS = (1, 16, 100)
"""Statements of one commit."""
TURNS = 12
A_TURN = 400
"""Statements of one turn."""
BAR = 1.2
"""The most that an append to the large log may cost, in appends to the small one."""


@dataclass(slots=True)
class Log:
    """A log that is appended to, and what that cost."""

    storage: SQLiteStorage
    signer: NoteSigner
    flags: Flags
    cpu: dict[int, list[float]] = field(default_factory=lambda: {group: [] for group in GROUPS})
    clock: dict[int, list[float]] = field(default_factory=lambda: {group: [] for group in GROUPS})

    @classmethod
    def filled(cls, folder: Path, entries: int) -> Log:
        """Makes one with so many entries."""
        fill(folder, entries)
        party = Party.load(folder / "kominfo" / "profile.toml")
        key = PrivateKeySigner.from_pem((folder / "exchange/keys/log.pem").read_bytes())
        storage = SQLiteStorage(folder / "exchange" / "exchange.db")
        flags = Flags(party)
        head = storage.current_head().received_at
        assert head is not None
        flags.not_before(head)
        return cls(storage, NoteSigner(party.profile.log.name, key), flags)

    def turn(self, group: int) -> None:
        """Appends some, and notes what one cost."""
        items = [self.flags.next() for _ in range(A_TURN)]
        cpu, clock = time.process_time(), time.perf_counter()
        for start in range(0, A_TURN, group):
            some = items[start : start + group]
            with self.storage.append() as transaction:
                known = transaction.load({one.statement.id for one in some}, set(), set(), {self.flags.recipient})
                result = sequence(some, transaction.head(), known, self.signer, lambda: secrets.token_bytes(SALT_SIZE))
                assert result.commit is not None
                transaction.store(result.commit)
        self.cpu[group].append((time.process_time() - cpu) / A_TURN * 1e6)
        self.clock[group].append((time.perf_counter() - clock) / A_TURN * 1e6)


def measure(home: Path, large: int = LARGE) -> dict[str, Any]:
    """Returns the figures, in microseconds a statement, and their ratios."""
    with ExitStack() as opened:
        logs = {}
        for name, entries in (("small", SMALL), ("large", large)):
            logs[name] = Log.filled(home / name, entries)
            opened.enter_context(closing(logs[name].storage))
        for group in GROUPS:
            for number in range(TURNS):
                for name in sorted(logs, reverse=bool(number % 2)):
                    logs[name].turn(group)
    found: dict[str, Any] = {"append_small": SMALL, "append_large": large}
    for group in GROUPS:
        for what in ("cpu", "clock"):
            small, big = (statistics.median(getattr(logs[name], what)[group]) for name in ("small", "large"))
            found |= {f"append_{what}_us_small_{group}": small, f"append_{what}_us_large_{group}": big}
            found[f"append_{what}_ratio_{group}"] = big / small
    return found


def show(found: dict[str, Any]) -> bool:
    """Prints the figures; returns whether the bar is met."""
    print(f"append at {found['append_small']:,} and at {found['append_large']:,} entries, µs a statement, medians")
    met = True
    for group in GROUPS:
        ratio = found[f"append_cpu_ratio_{group}"]
        met = met and ratio <= BAR
        cpu, clock = (
            [found[f"append_{what}_us_{size}_{group}"] for size in ("small", "large")] for what in ("cpu", "clock")
        )
        print(
            f"{'pass' if ratio <= BAR else 'FAIL'}  append_cpu_ratio_{group} {ratio:.2f} (at most {BAR}): "
            f"CPU {cpu[0]:.0f} → {cpu[1]:.0f}, clock {clock[0]:.0f} → {clock[1]:.0f}"
        )
    return met


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder on the repository's disk: /tmp may be memory, where an fsync is free."""
    (ROOT / ".make").mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="growth-", dir=ROOT / ".make")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; writes the figures into the JSON of the bench, where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=LARGE, help=f"of the large log [{LARGE}]")
    parser.add_argument("--json", type=Path, help="add every figure to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when the bar is missed")
    options = parser.parse_args(arguments)
    with scratch() as home:
        found = measure(Path(home), options.entries)
    met = show(found)
    if options.json:
        before = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
        options.json.write_text(json.dumps(before | found, indent=2) + "\n", "utf-8")
    return 1 if options.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
