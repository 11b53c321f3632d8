"""What is said in reply: ``panji acknowledge``, ``ask``, ``decide``, ``answer`` and ``correspond``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panji import importer
from panji.cli.common import JsonOption, ProfileOption, load_object, member, name_of, session
from panji.cli.output import Output
from panji.cli.records import accepted, statement_record
from panji.core.statements import Decision, Question, TargetDecision
from panji.core.vocabulary import AcknowledgementLevel, Ground, Outcome, RefusalReason, TargetState
from panji.errors import InputError, Violation

if TYPE_CHECKING:
    from panji.session import Verified, VerifiedCase

CaseArgument = Annotated[str, typer.Argument(help="Id of the case.")]
ReferenceOption = Annotated[str, typer.Option("--reference", help="Your file number.")]
LanguageOption = Annotated[str | None, typer.Option("--language", help="Of the texts: BCP 47. [the case's]")]
NoteOption = Annotated[str, typer.Option("--note", help="A remark.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (acknowledge, ask, decide, answer, correspond):
        app.command(command.__name__)(command)


def _said(verified: "Verified", *, json: bool) -> None:
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
        _said(client.acknowledge(flag, level, platform_reference=reference, note=note, language=language), json=json)


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
        _said(client.ask(flag, (question,), language=language), json=json)


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
        it = client.case(case)
        asked = [one for one in it.statements if one.digest == it.case.open_question]
        if not asked:
            raise InputError("the case has no open question")
        _said(client.answer(asked[0], text, language=language), json=json)


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
        latest = client.case(case).statements[-1]
        _said(client.correspond(latest, subject, text, language=language), json=json)


def decide(
    *,
    case: CaseArgument,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="POSITION=OUTCOME[:GROUND or REFUSAL]; repeat until every open target is named.",
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
    common: dict[str, Any] = {"explanation": explanation, "legal_ground": legal_ground, "terms_clause": terms_clause}
    common["territories"] = tuple(territory or ())
    with session(profile) as client:
        it = client.case(case)
        if file is not None:
            decision = _from_file(file)
        else:
            decision = Decision(targets=_decisions(it, target or [], all_, common))
        verified = client.decide(
            it.flag,
            decision.targets,
            platform_reference=reference or decision.platform_reference,
            note=note or decision.note,
            language=language,
        )
    _said(verified, json=json)


def _from_file(file: Path) -> Decision:
    violations: list[Violation] = []
    decision = importer.value_of(Decision, load_object(file), "decision", violations)
    if violations:
        raise InputError("The decision breaks its form", violations)
    return decision


def _decisions(it: "VerifiedCase", named: list[str], rest: str, common: dict[str, Any]) -> tuple[TargetDecision, ...]:
    chosen: dict[int, str] = {}
    for text in named:
        position, _, outcome = text.partition("=")
        if not position.strip().isascii() or not position.strip().isdigit():
            raise InputError("--target is POSITION=OUTCOME[:WHY], with a position from 1")
        if int(position) in chosen:
            raise InputError(f"target {int(position)} is named twice")
        chosen[int(position)] = outcome
    if rest:
        open_ = [n for n, one in enumerate(it.case.targets, 1) if one.state is TargetState.OPEN]
        chosen = dict.fromkeys(open_, rest) | chosen
    return tuple(_decision(n, text, common) for n, text in sorted(chosen.items()))


def _decision(position: int, text: str, common: dict[str, Any]) -> TargetDecision:
    name, _, why = text.partition(":")
    outcome = member(Outcome)(name)
    ground, refusal = Ground.UNSPECIFIED, RefusalReason.UNSPECIFIED
    if outcome is Outcome.NO_ACTION:
        refusal = member(RefusalReason)(why)
    elif why:
        ground = member(Ground)(why)
    return TargetDecision(target=position, outcome=outcome, ground=ground, refusal=refusal, **common)
