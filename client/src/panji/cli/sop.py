"""The procedure: ``panji sop check``, ``list``, ``show`` and ``simulate``. None of them asks the exchange."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from panji import procedures
from panji.cli.boundary import Exit
from panji.cli.common import JsonOption, instant
from panji.cli.output import Output, plain, table
from panji.core.display import safe
from panji.core.procedure import Approvals, Conditions, Procedure, Source, Terms, parse_procedure
from panji.core.procedure.deadlines import say
from panji.core.procedure.document import LIMITS
from panji.core.procedure.simulation import What, simulate
from panji.errors import InputError
from panji.procedures.plays import read_day

ProcedureArgument = Annotated[str, typer.Argument(metavar="PROCEDURE", help="A TOML file, or the name of a preset.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The standard operating procedure: deadlines, approvals and ladders, as data.")
    group.command("check")(check)
    group.command("list")(list_presets)
    group.command("show")(show)
    group.command("simulate")(play)
    app.add_typer(group, name="sop")


def load(name: str) -> Procedure:
    """Returns a preset, or the procedure of a file.

    Raises:
        InputError: There is no such file, or it is wrong; all violations are listed.
    """
    if name in procedures.presets():
        return parse_procedure(procedures.text_of(name))
    try:
        return parse_procedure(Path(name).read_text("utf-8-sig"))
    except OSError as error:
        known = ", ".join(procedures.presets())
        raise InputError(f"{name} cannot be read: {error.strerror}; presets are {known}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8: byte {error.start} cannot be read") from None


def check(*, procedure: ProcedureArgument, json: JsonOption = False) -> None:
    """Check a procedure: all that is wrong with it or contradicts itself, at once. Values without a source are told."""
    one = load(procedure)
    out, unsourced = Output(as_json=json), list(one.unsourced())
    record = {"type": "procedure", "id": one.id, "version": one.version, "title": one.title, "rules": len(one.rules)}
    out.record(record | {"unsourced": unsourced}, f"{one.id}, version {one.version}: {len(one.rules)} rules. It holds.")
    for path in unsourced:
        out.warn(f"{path} says no source")


def list_presets(*, json: JsonOption = False) -> None:
    """List the procedures to start from."""
    out = Output(as_json=json)
    rows = []
    for name in procedures.presets():
        one = load(name)
        out.record(
            {"type": "preset", "name": name, "version": one.version, "title": one.title, "rules": len(one.rules)}
        )
        rows.append((name, one.version, one.title, len(one.rules)))
    out.show(table("preset", "version", "title", "rules", rows=rows))


def show(*, procedure: ProcedureArgument, json: JsonOption = False) -> None:
    """Show a procedure: each rule, whom it is for, and each value with its source."""
    one = load(procedure)
    out = Output(as_json=json)
    record: dict[str, Any] = {"type": "procedure"} | plain(one)
    for rule in record["rules"]:
        del rule["conditions"]["subjects"]
    title = f"{one.id}, version {one.version}: {one.title}"
    columns = ("rule", "for", "what", "value", "source")
    out.record(record, table(*columns, rows=_rules(one), title=title))
    out.show(table("ladder", "step", "value", "source", rows=_ladders(one)))


def play(
    *,
    file: Annotated[Path, typer.Argument(help="Flags as JSON lines, with times: see docs/procedure.md.")],
    procedure: Annotated[str, typer.Option("--procedure", help="A TOML file, or the name of a preset.")],
    until: Annotated[
        datetime | None,
        typer.Option(parser=instant, metavar="TIME", show_default=False, help="Nothing after this time. [all]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Play a day of flags against a procedure: what would be warned of, missed and escalated, and when."""
    one, day, out = load(procedure), read_day(file), Output(as_json=json)
    for row, violations in day.incomplete:
        record = {"type": "row", "row": row.number, "source_id": row.source_id, "status": "incomplete"}
        missing = "; ".join(f"{wrong.field} {wrong.description}" for wrong in violations)
        name = f" ({row.source_id})" if row.source_id else ""
        out.record(record | {"violations": violations}, safe(f"line {row.number}{name}: incomplete: {missing}"))
    happened = [each for each in simulate(one, day.plays) if until is None or each.at <= until]
    for each in happened:
        out.record({"type": "happening"} | each._asdict())
    columns = ("at", "flag", "what", "rule", "answer", "detail")
    out.show(table(*columns, rows=[(plain(each.at), *each[1:]) for each in happened]))
    counts = {what.value: count for what, count in _counted(each.what for each in happened)}
    record = {"type": "summary", "procedure": one.id, "version": one.version}
    sums = {"flags": len(day.plays), "incomplete": len(day.incomplete)} | counts
    out.record(record | sums, table("of the day", "number", rows=[(name, count) for name, count in sums.items()]))
    if day.incomplete:
        raise typer.Exit(Exit.PARTLY_REFUSED)


def _counted(happened: Iterator[What]) -> list[tuple[What, int]]:
    counts = Counter(happened)
    return [(what, counts[what]) for what in What]


def _rules(procedure: Procedure) -> Iterator[tuple[str, ...]]:
    for rule in procedure.rules:
        heading = (rule.id, _for(rule.conditions))
        for name, value in _values(rule.terms):
            yield (*heading, name, value, _source(rule.terms.sources.get(name)))
            heading = ("", "")


def _for(conditions: Conditions) -> str:
    """Whom a rule is for, in words."""
    dimensions = (conditions.instruments, conditions.categories, conditions.sub_categories, conditions.urgencies)
    said = [", ".join(one.name for one in sorted(dimension)) for dimension in dimensions if dimension]
    return "; ".join(said) or "any flag"


def _values(terms: Terms) -> Iterator[tuple[str, str]]:
    """The values of a rule, by the names of their fields."""
    for answer, within in terms.answers.items():
        yield answer.value, f"{within}, since {within.since}"
    if terms.approvals != Approvals():
        decided = ", and the body that decided" if terms.approvals.deciding_body else ""
        yield "approvals", f"signatures: {terms.approvals.signatures}{decided}"
    if terms.warn_at:
        yield "warn_at", ", ".join(f"{part:.0%}" for part in terms.warn_at)
    if asked := terms.clarification:
        answered = f", answered within {say(asked.answer_within)}" if asked.answer_within else ""
        yield "clarification", f"{asked.clock}{answered}{', or it lapses' if asked.lapses else ''}"
    for name in ("shortest", "expires_within", "warning_interval"):
        if (span := getattr(terms, name)) is not None:
            yield name, say(span)
    for name in ("force_majeure", "allowed_actions", "requires", "counted_apart", "broad_targets", "trusted_first"):
        if value := plain(getattr(terms, name)):
            yield name, ", ".join(value) if isinstance(value, list) else "yes" if value is True else value


def _ladders(procedure: Procedure) -> Iterator[tuple[str, ...]]:
    for one in procedure.escalations:
        heading = f"escalation of {one.answer}"
        if one.unseen_for is not None:
            yield heading, "", f"at once when not seen for {say(one.unseen_for)}", _source(one.source)
        for step in one.steps:
            yield heading, f"{say(step.after)} after {one.counted_from}", ", ".join(step.to), _source(step.source)
    for stage in procedure.warnings:
        within = f", {say(stage.within)}" if stage.within else ""
        value = f"signatures: {stage.signatures}{within}; needs {', '.join(stage.needs) or 'nothing more'}"
        yield "warnings", stage.stage.value, value, _source(stage.source)
    if emergency := procedure.emergency:
        stages = ", ".join(sorted(emergency.stages))
        yield "emergency", stages, f"signatures: {emergency.signatures}, with a reason", _source(emergency.source)
    for name in LIMITS:
        if (value := plain(getattr(procedure.limits, name))) is not None:
            yield "limits", name, str(value), _source(procedure.limits.sources.get(name))


def _source(source: Source | None) -> str:
    return f"{source.confidence}: {source.source}" if source else "none"
