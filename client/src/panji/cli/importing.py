"""``panji import``: a file of flags, checked row by row and sent. Killed at any time, it goes on; nothing doubles."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from panji import importer
from panji.cli.boundary import Exit
from panji.cli.common import (
    JsonOption,
    LanguageOption,
    ProfileOption,
    TestOption,
    load_profile,
    require_authority,
    session,
)
from panji.cli.journal import Journal, key_of
from panji.cli.output import Output, table
from panji.cli.records import refusal_record
from panji.client import Client
from panji.core.display import safe
from panji.core.identifier import new_id
from panji.errors import InputError, PanjiError, Reason, RefusedError
from panji.importer import Format, Import, Row
from panji.profile import Profile
from panji.session import Signed, Verified

STATUSES = ("valid", "accepted", "already_sent", "refused", "incomplete")
"""What becomes of a row. ``valid`` is a dry run's word."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("import")(import_file)


def import_file(
    *,
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines, or the shape of gov-takedowns.jsonl.")],
    to: Annotated[str, typer.Option(help="Id of the platform.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row and send nothing.")] = False,
    again: Annotated[
        str, typer.Option(help="Send rows again that were sent before: a name for the new round, such as the date.")
    ] = "",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Rows in one call.")] = 100,
    format: Annotated[Format | None, typer.Option(help="[recognised from the content]")] = None,  # noqa: A002 - its name
    language: LanguageOption = "en",
    test: TestOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Send a file of flags. Rows that were sent before are recognised, so running it again is safe."""
    read = importer.read_file(file, format)
    report = _Report(Output(as_json=json), read)
    if dry_run:
        for row in read.rows:
            report.row(row, "incomplete" if row.violations else "valid")
    else:
        if not to:
            raise InputError("say who the flags go to: --to")
        with session(profile) as client:
            require_authority(client)
            with Journal(_journal_path(load_profile(profile), to, again, test=test)) as journal:
                _send(report, _Sending(client, journal, to, language, test=test).run(read.rows, batch))
    report.end()


def _send(report: "_Report", outcomes: Iterator["_Outcome"]) -> None:
    """Sends the rows.

    Raises:
        Abort: Somebody interrupted it; what was sent until then is told.
        PanjiError: It broke off; the same.
    """
    try:
        with report.progress():
            for outcome in outcomes:
                report.outcome(outcome)
    except KeyboardInterrupt:
        raise typer.Abort(report.cut_short("interrupted")) from None
    except PanjiError:
        report.broken_off()
        raise


def _journal_path(profile: Profile, to: str, again: str, *, test: bool) -> Path:
    parts = [to, *(["test"] if test else []), *([again] if again else [])]
    if any("/" in part or part.startswith(".") or "\x00" in part for part in parts):
        raise InputError("--to and --again are names, without a slash and no dot in front")
    return profile.state.with_name(f"{profile.state.name}.imports") / f"{'~'.join(parts)}.jsonl"


class _Outcome(NamedTuple):
    """What became of a row."""

    row: Row
    statement_id: str = ""
    result: Verified | RefusedError | None = None
    """None where the exchange had it already, or where the row is incomplete."""


class _Sending:
    """Sends rows in chunks: ids on the disk, then signed, then submitted, then noted."""

    def __init__(self, client: Client, journal: Journal, to: str, language: str, *, test: bool) -> None:
        self._client = client
        self._journal = journal
        self._to = to
        self._language = language
        self._test = test
        self._waiting = {signed.statement.id: signed for signed in client.pending()}

    def run(self, rows: Iterable[Row], batch: int) -> Iterator[_Outcome]:
        """Yields what became of each row."""
        iterator = iter(rows)
        while chunk := list(islice(iterator, batch)):
            to_send: dict[str, Row] = {}
            for row in chunk:
                key = key_of(row)
                if row.flag is None or self._journal.sent(key):
                    yield _Outcome(row, self._journal.id_of(key) or "")
                else:
                    to_send[key] = row
            yield from self._chunk(to_send, batch)

    def _chunk(self, rows: dict[str, Row], batch: int) -> Iterator[_Outcome]:
        self._assign(key for key in rows if self._journal.id_of(key) is None)
        signed: dict[str, tuple[str, Signed]] = {}
        for key, row in rows.items():
            one = self._sign(key, row)
            if one is None:
                self._journal.settle(key, accepted=True)
                yield _Outcome(row, self._journal.id_of(key) or "")
            else:
                signed[one.statement.id] = (key, one)
        refused: dict[str, str] = {}
        for one, result in self._client.submit_many([each for _, each in signed.values()], batch=batch):
            identifier = one.statement.id
            key = signed[identifier][0]
            if not isinstance(result, RefusedError):
                self._journal.settle(key, accepted=True)
                yield _Outcome(rows[key], identifier, result)
            elif result.reason is Reason.STATEMENT_ID_REUSED:
                # The id is ours and was made for this row: the exchange has it, and the outbox that knew was lost.
                self._journal.settle(key, accepted=True)
                yield _Outcome(rows[key], identifier)
            else:
                refused[identifier] = key
                yield _Outcome(rows[key], identifier, result)
        self._give_up(refused)

    def _give_up(self, refused: dict[str, str]) -> None:
        """Lets rows whose statements the outbox gave up have another one next time; what it keeps, it will send."""
        if refused:
            kept = {signed.statement.id for signed in self._client.pending()}
            for identifier, key in refused.items():
                if identifier not in kept:
                    self._journal.settle(key, accepted=False)

    def _sign(self, key: str, row: Row) -> Signed | None:
        """Returns the row's statement, or None where the exchange has it already."""
        identifier = self._journal.id_of(key) or ""
        if identifier in self._waiting:
            return self._waiting[identifier]
        try:
            return self._flag(row, identifier)
        except InputError:
            # Signed before, in another list (the file has changed since), and answered, but not noted here.
            if self._exists(identifier):
                return None
        self._assign([key])
        return self._flag(row, self._journal.id_of(key) or "")

    def _flag(self, row: Row, identifier: str) -> Signed:
        if row.flag is None:
            raise TypeError("an incomplete row makes no flag")
        language = row.language or self._language
        return self._client.flag(self._to, row.flag, language=language, test=self._test, id=identifier)

    def _assign(self, keys: Iterable[str]) -> None:
        now = datetime.now(UTC)
        self._journal.assign({key: new_id(now, secrets.token_bytes(8)) for key in keys})

    def _exists(self, case_id: str) -> bool:
        try:
            self._client.case(case_id)
        except RefusedError as refusal:
            if refusal.reason is Reason.CASE_NOT_FOUND:
                return False
            raise
        return True


class _Report:
    """Says what became of every row, and of all of them."""

    def __init__(self, out: Output, read: Import) -> None:
        self._out = out
        self._read = read
        self._counts = dict.fromkeys(STATUSES, 0)
        self._causes: Counter[str] = Counter()
        self._progress: Progress | None = None

    def progress(self) -> Progress:
        """A bar on standard error, where a person is looking."""
        columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = self._out.errors
        self._progress = Progress(*columns, console=console, disable=self._out.as_json or not console.is_terminal)
        self._progress.add_task("", total=len(self._read.rows))
        return self._progress

    def outcome(self, outcome: _Outcome) -> None:
        """Note what sending a row gave."""
        row, identifier, result = outcome
        if result is None:
            self.row(row, "incomplete" if row.violations else "already_sent", statement_id=identifier)
        elif isinstance(result, RefusedError):
            self._causes[result.reason] += 1
            self.row(row, "refused", statement_id=identifier, **refusal_record(result))
        else:
            self.row(row, "accepted", statement_id=identifier, index=result.receipt.index)

    def row(self, row: Row, status: str, **more: Any) -> None:
        """Note what became of a row."""
        self._counts[status] += 1
        self._causes.update(f"{one.field}: {one.description}" for one in row.violations)
        nothing = {"statement_id": "", "index": None, "reason": "", "message": "", "retryable": False}
        record: dict[str, Any] = {"type": "row", "row": row.number, "source_id": row.source_id, "status": status}
        record |= {"targets": row.targets, "violations": row.violations} | nothing
        record |= {"metadata": {}, "request_id": ""} | more
        missing = "; ".join(f"{one.field} {one.description}" for one in record["violations"])
        name = f" ({row.source_id})" if row.source_id else ""
        told = status in {"refused", "incomplete"}
        why = f"{record['reason']} {record['message']} {missing}".strip()
        self._out.record(record, safe(f"line {row.number}{name}: {status}: {why}") if told else "")
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])

    @property
    def done(self) -> int:
        """Rows of which it is known what became of them."""
        return sum(self._counts.values())

    def sum_up(self) -> None:
        """Print the sum."""
        counts, read = self._counts, self._read
        record = {"type": "summary", "format": read.format, "sha256": read.sha256, "rows": len(read.rows)}
        shown = [(status, count) for status, count in counts.items() if count]
        title = f"{len(read.rows)} rows, {read.targets} targets ({read.format})"
        self._out.record(record | {"targets": read.targets} | counts, table("rows", "number", rows=shown, title=title))
        if self._causes:
            self._out.show(table("cause", "rows", rows=self._causes.most_common()))

    def cut_short(self, how: str) -> str:
        """Print the sum so far, and return how far it got and what to do."""
        self.sum_up()
        done = f"{self.done} of {len(self._read.rows)} rows"
        return f"{how} after {done}; the same command goes on, and sends nothing twice"

    def broken_off(self) -> None:
        """Warn that an error ends it, before that error is told."""
        self._out.warn(self.cut_short("broken off"))

    def end(self) -> None:
        """Print the sum, and end with the exit code that it deserves."""
        self.sum_up()
        if self._counts["refused"] or self._counts["incomplete"]:
            raise typer.Exit(Exit.PARTLY_REFUSED)
