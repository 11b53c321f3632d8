"""What is said in reply: ``panji acknowledge``, ``ask``, ``decide``, ``answer`` and ``correspond``."""

import textwrap
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panji import importer
from panji.cli.common import CaseArgument, JsonOption, ProfileOption, load_object, name_of, session
from panji.cli.output import Output
from panji.cli.records import accepted, statement_record
from panji.cli.targets import Answer, named, with_rest
from panji.core.statements import Decision, Question
from panji.core.vocabulary import BY_THE_OPERATOR, AcknowledgementLevel, Ground, Kind, Outcome, RefusalReason, names
from panji.errors import InputError, Violation

if TYPE_CHECKING:
    from panji.session import Verified

ReferenceOption = Annotated[str, typer.Option("--reference", help="Your file number.")]
LanguageOption = Annotated[str | None, typer.Option("--language", help="Of the texts: BCP 47. [the case's]")]
NoteOption = Annotated[str, typer.Option("--note", help="A remark.")]


def _names(title: str, kind: type[IntEnum]) -> str:
    return f"\b\n{title}:\n{textwrap.indent(textwrap.fill(names(kind), 76), '  ')}"


DECIDE_HELP = "\n\n".join(
    (
        "Decide every open target of a case. For platforms.",
        "Each as OUTCOME, or OUTCOME:GROUND; NO_ACTION needs its reason, as in NO_ACTION:NOT_OUR_SERVICE.",
        _names("Outcomes", Outcome),
        _names("Grounds of an action", Ground),
        _names("Reasons of NO_ACTION", RefusalReason),
    )
)
"""The help of ``panji decide``, with every word that it takes."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (acknowledge, ask, answer, correspond):
        app.command(command.__name__)(command)
    app.command("decide", help=DECIDE_HELP)(decide)


def said(verified: "Verified", *, json: bool) -> None:
    """Print what the exchange has accepted."""
    Output(as_json=json).record(statement_record(verified), accepted(verified))


def acknowledge(
    *,
    case: CaseArgument,
    level: Annotated[
        AcknowledgementLevel, name_of(AcknowledgementLevel, "[RECEIVED]:")
    ] = AcknowledgementLevel.RECEIVED,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Say that a flag was received, or is under review. For platforms."""
    with session(profile) as client:
        flag = client.case(case).flag
        said(client.acknowledge(flag, level, platform_reference=reference, note=note, language=language), json=json)


def ask(
    *,
    case: CaseArgument,
    text: Annotated[str, typer.Option(help="The question.")],
    reason: Annotated[
        RefusalReason, name_of(RefusalReason, "[INSUFFICIENT_INFORMATION]:")
    ] = RefusalReason.INSUFFICIENT_INFORMATION,
    target: Annotated[list[int] | None, typer.Option(help="Position; repeat. [the whole flag]")] = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the authority before deciding. For platforms."""
    question = Question(reason=reason, text=text, targets=tuple(target or ()))
    with session(profile) as client:
        flag = client.case(case).flag
        said(client.ask(flag, (question,), language=language), json=json)


def answer(
    *,
    case: CaseArgument,
    text: Annotated[str, typer.Option(help="The answer.")],
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Answer the platform's open question. For authorities."""
    with session(profile) as client:
        asked = client.case(case).answered_by(Kind.CLARIFICATION_ANSWER, client.session.organisation)
        said(client.answer(asked, text, language=language), json=json)


def correspond(
    *,
    case: CaseArgument,
    subject: Annotated[str, typer.Option(help="What it is about.")],
    text: Annotated[str, typer.Option(help="The text.")],
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Put anything else on the record of a case. For both sides."""
    with session(profile) as client:
        statements = client.case(case).statements
        latest = next(one for one in reversed(statements) if one.statement.kind not in BY_THE_OPERATOR)
        said(client.correspond(latest, subject, text, language=language), json=json)


def decide(
    *,
    case: CaseArgument,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="POSITION=OUTCOME[:GROUND or REASON]; repeat until every open target is named.",
            metavar="N=OUTCOME[:WHY]",
        ),
    ] = None,
    all_: Annotated[
        str, typer.Option("--all", help="The same for every open target not named.", metavar="OUTCOME[:WHY]")
    ] = "",
    explanation: Annotated[str, typer.Option(help="Facts and reasons; needed with NO_ACTION.")] = "",
    legal_ground: Annotated[str, typer.Option(help="The law, where the ground is the law.")] = "",
    terms_clause: Annotated[str, typer.Option(help="The clause, where the ground is the terms.")] = "",
    territory: Annotated[list[str] | None, typer.Option(help="Where it applies: ISO 3166; repeat.")] = None,
    file: Annotated[Path | None, typer.Option(help="A Decision as JSON instead, - for standard input.")] = None,
    reference: ReferenceOption = "",
    note: NoteOption = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Decide every open target of a case. For platforms."""
    if (file is None) == (not target and not all_):
        raise InputError("say what is decided: --target or --all, or else --file")
    answers = named(target or [], Answer.parse)
    rest = Answer.parse(all_, f"--all {all_}") if all_ else None
    decision = _from_file(file) if file is not None else Decision(targets=())
    common: dict[str, Any] = {"explanation": explanation, "legal_ground": legal_ground, "terms_clause": terms_clause}
    common["territories"] = tuple(territory or ())
    with session(profile) as client:
        it = client.case(case)
        if not it.open_targets:
            raise InputError(f"no target of this case is open: it is {it.case.state.name}")
        answers = with_rest(answers, rest, it.open_targets)
        targets = decision.targets or [one.on(position, common) for position, one in answers.items()]
        verified = client.decide(
            it.flag,
            targets,
            platform_reference=reference or decision.platform_reference,
            note=note or decision.note,
            language=language,
        )
    said(verified, json=json)


def _from_file(file: Path) -> Decision:
    violations: list[Violation] = []
    decision = importer.value_of(Decision, load_object(file), "decision", violations)
    if violations:
        raise InputError("The decision breaks its form", violations)
    return decision
