"""Plays a case from end to end: an exchange, a ministry and a platform, each a process of its own.

In the middle the exchange is killed with SIGKILL and started again. At the end every receipt that either side holds is
looked up in the log. Without --input it plays the founding case, Indonesia 2016 and 2017; with it, any file of flags.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from panji.client import Client
from panji.core.note import NoteVerifier
from panji.development import Development, init
from panji.errors import InputError, TransportError
from panji.evidence import verdict
from panji.evidence.verify import verify
from panji.importer import read_file
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from panji.importer import Row

HERE = Path(__file__).resolve().parent
FOUNDING_CASE = HERE / "founding-case.jsonl"
FOUNDING_PAUSE = 0.25
"""Seconds between two flags of the founding case, so that its timeline can be read along."""
TIMEOUT = 150.0
RECORDED = 1
"""Entries of the log that the exchange itself has made: its directory, on record."""
MINISTRY, PLATFORM = "kominfo", "telegram"


class Exchange:
    """The exchange's process, which may be killed and started again."""

    def __init__(self, development: Development) -> None:
        self._development = development
        self.restarts = -1
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        command = [sys.executable, "-m", "panji_server", "--config", str(self._development.config)]
        self._process = subprocess.Popen(command)
        self.restarts += 1
        profile = Profile.load(self._development.profiles[MINISTRY])
        deadline = time.monotonic() + TIMEOUT
        with Client.connect(profile, timeout=timedelta(seconds=5)) as client:
            while True:
                try:
                    client.checkpoint()
                except TransportError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit("the exchange does not start") from None
                else:
                    return

    def kill(self) -> None:
        """SIGKILL: no warning, no clean-up."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and the end in order."""
        self._process.terminate()
        self._process.wait(30)


class Story:
    """Everything that the two sides reported, and when."""

    def __init__(self, console: Console, rows: Sequence[Row], *, aloud: bool) -> None:
        self._console = console
        self._reasons = {row.source_id: row.flag.reasons for row in rows if row.flag}
        self._aloud = aloud
        self._lock = threading.Lock()
        self._half = max(1, len(self._reasons) // 2)
        self._held: list[dict[str, Any]] | None = None
        self.events: list[dict[str, Any]] = []
        self.half = threading.Event()
        """Set once half of the flags are accepted."""

    def listen(self, side: str, stream: IO[str]) -> threading.Thread:
        """Reads a side's reports until it ends."""
        thread = threading.Thread(target=self._read, args=(side, stream), daemon=True)
        thread.start()
        return thread

    def _read(self, side: str, stream: IO[str]) -> None:
        for line in stream:
            event = json.loads(line) | {"side": side, "at": time.monotonic()}
            with self._lock:
                self.events.append(event)
                if self._held is not None:
                    self._held.append(event)
                elif self._aloud:
                    self._tell(event)
            if len(self.of("said", kind="flag")) >= self._half:
                self.half.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps what is reported meanwhile to itself, and tells it afterwards: nothing is said by a dead exchange."""
        with self._lock:
            self._held = []
        yield
        with self._lock:
            held, self._held = self._held, None
            for event in held if self._aloud else ():
                self._tell(event)

    def _tell(self, event: dict[str, Any]) -> None:
        if event["event"] == "said" and event["kind"] == "flag":
            reasons = self._reasons[event["flag"]].partition(". ")[0].rstrip(".")
            self._console.print(Text(f"\n{event['flag']}  {reasons}.", style="bold"))
            self._console.print(
                Text(f"  {event['side']:<9} flag, {_count(event['targets'], 'target')}, receipt at {event['index']}")
            )
        elif event["event"] == "said":
            said = _words(event["kind"], event.get("level", ""))
            self._console.print(Text(f"  {event['side']:<9} {said}", style="cyan"))

    def of(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        """The reports of an event with these facts."""
        with self._lock:
            return [
                one for one in self.events if one["event"] == event and all(one.get(k) == v for k, v in facts.items())
            ]

    def waits(self, event: str, **facts: Any) -> list[float]:
        """Milliseconds from each flag's acceptance to the first report of an event on its case."""
        accepted = {one["case"]: one["at"] for one in self.of("said", kind="flag")}
        first: dict[str, float] = {}
        for one in self.of(event, **facts):
            first.setdefault(one["case"], max(0.0, one["at"] - accepted[one["case"]]) * 1000)
        return sorted(first.values())


def play(source: Path, rows: Sequence[Row], folder: Path, console: Console, *, founding: bool) -> dict[str, Any]:
    """Plays the flags of a file and returns the summary."""
    development = init(folder / "exchange", now=datetime.now(UTC), authorities=[MINISTRY], platforms=[PLATFORM])
    targets = sum(row.targets for row in rows)
    console.print(f"[bold]{_count(len(rows), 'flag')}, {_count(targets, 'target')}[/] from {source.name}.")
    console.print("The platform's answers are [bold]simulated[/]: nobody looks at any content.\n")
    exchange, summary = Exchange(development), None
    story = Story(console, rows, aloud=founding)
    sides = {
        MINISTRY: _process(
            "ministry.py", development, MINISTRY, "--input", str(source), "--to", PLATFORM,
            "--pause", str(FOUNDING_PAUSE if founding else 0.0),
        ),
        PLATFORM: _process("platform.py", development, PLATFORM),
    }  # fmt: skip
    listeners = [story.listen(side, process.stdout) for side, process in sides.items() if process.stdout]
    try:
        if any(row.flag for row in rows) and story.half.wait(TIMEOUT):
            with story.held():
                exchange.kill()
                console.print("[bold red]  exchange  killed with SIGKILL[/]")
                exchange.start()
                console.print("[bold green]  exchange  started again[/]")
        if sides[MINISTRY].wait(TIMEOUT):
            raise SystemExit("the ministry's process failed")
        sides[PLATFORM].terminate()
        for listener in listeners:
            listener.join(TIMEOUT)
        summary = account(development, story, rows=len(rows), targets=targets)
        summary["restarts"] = exchange.restarts
        export_evidence(development, folder / "evidence")
    finally:
        for process in sides.values():
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        exchange.stop()
    summary["evidence_verified"] = verify_evidence(development, folder / "evidence", console)
    summary["rebuilt"] = from_the_log(development, console)
    show(summary, story, rows, console, founding=founding)
    return summary


def export_evidence(development: Development, folder: Path) -> None:
    """Writes every case as one file that proves itself."""
    folder.mkdir()
    with Client.connect(Profile.load(development.profiles[MINISTRY])) as client:
        for case in client.cases():
            (folder / f"{case.case.id}.evidence.zip").write_bytes(client.evidence(case.case.id))


def verify_evidence(development: Development, folder: Path, console: Console) -> int:
    """Verifies the files when the exchange is gone, as a court would, by the log's key alone. Returns their number."""
    log = NoteVerifier.parse(development.log_key)
    verdicts = [verdict.line(verify(path.read_bytes(), log)) for path in sorted(folder.iterdir())]
    if verdicts:
        console.print(Text(f"\nEvidence of {len(verdicts)} cases, verified offline. The last says:\n{verdicts[-1]}"))
    return len(verdicts)


def from_the_log(development: Development, console: Console) -> bool:
    """Audits the whole log, and makes every table of the exchange anew from it: the same to the last record?"""
    whole = True
    for program in (["verify"], ["rebuild", "--check"]):
        command = [sys.executable, "-m", "panji", "log", *program, "--config", str(development.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        console.print((done.stdout or done.stderr).strip())
        whole = whole and done.returncode == 0
    return whole


def _process(script: str, development: Development, side: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), "--profile", str(development.profiles[side]), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def account(development: Development, story: Story, *, rows: int, targets: int) -> dict[str, Any]:
    """Looks up every receipt that either side holds in the log as it is now."""
    held = {event["digest"] for event in story.of("said")}
    with Client.connect(Profile.load(development.profiles[MINISTRY])) as client:
        # Each statement of each case is verified here once more: signature, receipt, inclusion, state.
        found = {statement.digest.hex() for case in client.cases() for statement in case.statements}
        checkpoint = client.checkpoint()
    return {
        "flags": rows,
        "targets": targets,
        "accepted": len(story.of("said", kind="flag")),
        "refused": len(story.of("refused")),
        "acknowledged": len({event["case"] for event in story.of("heard", kind="acknowledgement")}),
        "decided": len(story.of("decided")),
        "receipts_verified": len(held & found),
        "lost": len(held - found),
        "log_size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode("ascii"),
    }


def show(summary: dict[str, Any], story: Story, rows: Sequence[Row], console: Console, *, founding: bool) -> None:
    """Prints what became of every flag and target."""
    console.print()
    if founding:
        console.print(_hostnames(story, rows))
    answers = Counter(_words(*one[:2]) for event in story.of("decided") for one in event["targets"])
    table = Table("answer", "targets", title="Answers per target (simulated)", title_justify="left")
    for answer, count in answers.most_common():
        table.add_row(answer, str(count))
    console.print(table)
    for event in story.of("refused"):
        missing = "; ".join(event["missing"])
        named = f"{event['flag']} ({_count(event['targets'], 'target')})"
        console.print(Text(f"refused: {named}: {missing}", style="yellow"))
    table = Table("from the flag's signature or acceptance", "median", "worst", title="Latencies", title_justify="left")
    for name, waits in (
        (
            "signed → durable, receipt verified",
            sorted(event["seconds"] * 1000 for event in story.of("said", kind="flag")),
        ),
        ("accepted → received by the platform", story.waits("heard", kind="acknowledgement")),
        ("accepted → decided", story.waits("decided")),
    ):
        if waits:
            table.add_row(name, f"{statistics.median(waits):.1f} ms", f"{waits[-1]:.0f} ms")
    console.print(table)
    table = Table(show_header=False, title="Accounts", title_justify="left")
    for key, value in summary.items():
        table.add_row(key.replace("_", " "), str(value))
    console.print(table)
    console.print(f"lost {summary['lost']}", style="bold red" if summary["lost"] else "bold green")


def _hostnames(story: Story, rows: Sequence[Row]) -> Table:
    """The eleven hostnames: what became of the order to cut them, and of the order to restore them."""
    case_of = {event["flag"]: event["case"] for event in story.of("said", kind="flag")}
    answers = {event["case"]: event["targets"] for event in story.of("decided")}
    dated = {row.source_id: row.flag for row in rows if row.flag and len(row.flag.targets) > 1}
    table = Table(title="The eleven hostnames (answers simulated)", title_justify="left")
    for name in ("hostname", *dated):
        table.add_column(name, overflow="fold", no_wrap=name == "hostname")
    for position, target in enumerate(next(iter(dated.values())).targets):
        table.add_row(target.identifier, *(_in_full(*answers[case_of[date]][position]) for date in dated))
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _words(name: str, detail: str) -> str:
    names = [one for one in (name, detail) if one not in {"", "UNSPECIFIED"}]
    return ": ".join(names).lower().replace("_", " ")


def _in_full(outcome: str, refusal: str, explanation: str) -> str:
    return _words(outcome, explanation if refusal == "OTHER" else refusal)


def main() -> int:
    """Reads the command line, plays, and returns the exit code: 0 when all is accounted for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, help="a file of flags: CSV, JSON lines, or government takedown notices")
    parser.add_argument("--summary", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    console = Console()
    source = options.input or FOUNDING_CASE
    try:
        rows = read_file(source).rows
    except InputError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"{source} has no flags")
    if options.summary:
        try:
            options.summary.touch()
        except OSError as error:
            parser.error(f"{options.summary} cannot be written: {error.strerror}")
    with tempfile.TemporaryDirectory(prefix="panji-demo-") as folder:
        summary = play(source, rows, Path(folder), console, founding=options.input is None)
    if options.summary:
        options.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    complete = (
        summary["lost"] == 0
        and summary["accepted"] + summary["refused"] == summary["flags"]
        and summary["decided"] == summary["acknowledged"] == summary["accepted"]
        and summary["receipts_verified"] + RECORDED == summary["log_size"]
        and summary["evidence_verified"] == summary["accepted"]
        and summary["rebuilt"]
    )
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
