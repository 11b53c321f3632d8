"""Reading: ``panji watch``, ``panji case list`` and ``panji case show``."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panji.cli.boundary import Exit, describe
from panji.cli.common import CaseArgument, JsonOption, ProfileOption, instant, name_of, session
from panji.cli.output import Output, plain, table
from panji.cli.records import case_record, erased_record, line, statement_record, subject
from panji.cli.timeline import next_moves, timeline, waiting
from panji.core.checkpoint import MAX_SIZE
from panji.core.display import safe
from panji.core.vocabulary import CaseState, Category, TargetState
from panji.errors import VerificationError

if TYPE_CHECKING:
    from panji.case_list import ErasedCase
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
    """List your cases, newest first. Their states are computed here, from statements verified here.

    Of cases whose content was erased by law nothing is left to verify: --state erased lists them, as the exchange says.
    """
    out = Output(as_json=json)
    wanted: dict[str, Any] = {
        "category": category,
        "counterpart": counterpart,
        "opened_from": since,
        "opened_until": until,
    }
    found: list[VerifiedCase] = []
    erased: list[ErasedCase] = []
    problems: list[VerificationError] = []

    def unverified(case_id: str, problem: VerificationError) -> None:
        problems.append(problem)
        out.error(describe(VerificationError(f"case {case_id}: {problem}"))[1])

    with session(profile) as client:
        cases = client.cases(states=tuple(state or ()), test=test, on_unverified=unverified, **wanted)
        for one in islice(cases, limit):
            out.record(case_record(one))
            found.append(one)
        more = next(cases, None) is not None
        if state and CaseState.ERASED in state:
            gone = client.erased_cases(test=test, **wanted)
            erased = list(islice(gone, limit - len(found)))
            more = more or next(gone, None) is not None
    for each in erased:
        out.record(erased_record(each))
    columns = ("case", "opened", "authority", "platform", "about", "state", "targets")
    rows = [*map(_row, found), *map(_erased_row, erased)]
    out.show(table(*columns, rows=rows) if rows else "No cases.")
    if erased:
        out.show(_ERASED)
    if more:
        out.warn(f"there are more cases than these {limit}, the newest: --limit N lists more, --until TIME older ones")
    if problems:
        raise typer.Exit(Exit.VERIFICATION)


def _row(one: "VerifiedCase") -> tuple[str, ...]:
    case = one.case
    open_ = sum(target.state is TargetState.OPEN for target in case.targets)
    counts = f"{len(case.targets)}, {open_} open" if open_ else str(len(case.targets))
    opened = case.opened_at.strftime("%Y-%m-%d %H:%M")
    return (case.id, opened, case.authority, case.platform, subject(case), case.state.name, counts)


def _erased_row(one: "ErasedCase") -> tuple[str, ...]:
    opened = one.opened_at.strftime("%Y-%m-%d %H:%M")
    return (one.id, opened, one.authority, one.platform, one.category.name, CaseState.ERASED.name, "")


_ERASED = (
    "ERASED is the exchange's word: the content was erased by law, and nothing is left here to verify. The log keeps"
    " the proof: 'panji watch --once --after 0' shows the signed erasures, 'panji log prove' their entries."
)


def show_case(
    *,
    case: CaseArgument,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show a case: where each target stands, all that was said, in order, and what may be said next."""
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
    names = ("target", "kind", "locator", "state", "outcome", "refusal", "pending")
    out.show(table(*names, rows=[[_cell(each[name]) for name in names] for each in record["targets"]]))
    for lines in (timeline(one), waiting(one), next_moves(one)):
        out.show("\n".join(("", *lines)))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value == "UNSPECIFIED" else value
