"""Reading: ``panji watch``, ``panji case list`` and ``panji case show``."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from panji.cli.boundary import Exit, describe
from panji.cli.common import CaseArgument, JsonOption, ProfileOption, instant, name_of, session
from panji.cli.output import Output, plain, table
from panji.cli.records import case_record, line, statement_record, subject, summary
from panji.core.checkpoint import MAX_SIZE
from panji.core.display import safe
from panji.core.vocabulary import CaseState, Category, TargetState
from panji.errors import VerificationError

if TYPE_CHECKING:
    from panji.session import VerifiedCase


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("watch")(watch)
    group = typer.Typer(help="Cases: what was flagged, and what was said of it.", no_args_is_help=False)
    group.command("list")(list_cases)
    group.command("show")(show_case)
    app.add_typer(group, name="case")


def watch(
    *,
    follow: Annotated[bool, typer.Option("--follow/--once", help="Wait for more, or end when all is read.")] = True,
    after: Annotated[
        int | None, typer.Option(min=0, max=MAX_SIZE, help="Sequence to go on after. [the stored cursor]")
    ] = None,
    skip: Annotated[
        int | None,
        typer.Option(min=1, help="First go on without this statement, which does not verify; its bytes are kept."),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Print what is addressed to you, each statement once, verified."""
    out = Output(as_json=json)
    with session(profile) as client:
        for kept in client.skip(skip) if skip is not None else ():
            out.record({"type": "skipped"} | plain(kept), f"#{kept.sequence} skipped: {safe(kept.error)}")
        for one in client.watch(after=after, follow=follow):
            out.record(statement_record(one), line(one))


def list_cases(
    *,
    state: Annotated[list[CaseState] | None, name_of(CaseState, "Only in this state; repeat:")] = None,
    category: Annotated[Category | None, name_of(Category, "Only of this category:")] = None,
    counterpart: Annotated[str, typer.Option(help="Only with this other side.")] = "",
    since: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="Only opened at or after this time.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="Only opened before this time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 100,
    test: Annotated[bool, typer.Option("--test", help="Drills instead of real cases.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your cases, newest first. Their states are computed here, from statements verified here."""
    out = Output(as_json=json)
    found: list[VerifiedCase] = []
    problems: list[VerificationError] = []

    def unverified(case_id: str, problem: VerificationError) -> None:
        problems.append(problem)
        out.error(describe(VerificationError(f"case {case_id}: {problem}"))[1])

    with session(profile) as client:
        cases = client.cases(
            states=tuple(state or ()),
            category=category,
            counterpart=counterpart,
            opened_from=since,
            opened_until=until,
            test=test,
            on_unverified=unverified,
        )
        for one in islice(cases, limit):
            out.record(case_record(one))
            found.append(one)
    columns = ("case", "opened", "authority", "platform", "about", "state", "targets")
    out.show(table(*columns, rows=map(_row, found)) if found else "No cases.")
    if problems:
        raise typer.Exit(Exit.VERIFICATION)


def _row(one: "VerifiedCase") -> tuple[str, ...]:
    case = one.case
    open_ = sum(target.state is TargetState.OPEN for target in case.targets)
    counts = f"{len(case.targets)}, {open_} open" if open_ else str(len(case.targets))
    opened = case.opened_at.strftime("%Y-%m-%d %H:%M")
    return (case.id, opened, case.authority, case.platform, subject(case), case.state.name, counts)


def show_case(
    *,
    case: CaseArgument,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show a case: where each target stands, and all that was said, in order."""
    out = Output(as_json=json)
    with session(profile) as client:
        one = client.case(case)
    record = case_record(one, statements=True)
    out.record(record)
    it = one.case
    drill = " (test)" if it.test else ""
    out.show(
        f"Case {it.id}{drill}: {it.state.name}\n"
        f"{it.authority} to {it.platform}, {it.instrument.name}, {subject(it)}, {it.urgency.name}"
    )
    names = ("target", "kind", "locator", "state", "outcome", "refusal")
    out.show(table(*names, rows=[[_blank(each[name]) for name in names] for each in record["targets"]]))
    rows = [
        (plain(each.receipt.received_at), each.receipt.index, each.statement.sender, each.statement.kind, summary(each))
        for each in one.statements
    ]
    out.show(table("received", "log index", "by", "what", "says", rows=rows))


def _blank(value: object) -> object:
    return "" if value == "UNSPECIFIED" else value
