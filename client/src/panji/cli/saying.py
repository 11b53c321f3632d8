"""What is said in the course of a case: ``panji say``, with a command for each kind that has none of its own.

``docs/case.md`` tells who may say what when. A command that may not be said as the case stands says what may.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panji.cli.answers import LanguageOption, NoteOption, said
from panji.cli.common import CaseArgument, JsonOption, ProfileOption, instant, name_of, session
from panji.cli.targets import Answer, RestOption, ResultOption, named, restored, results_of, word
from panji.core.statements import (
    Body,
    Correction,
    CounterNotice,
    LegalBasis,
    Objection,
    Obstacle,
    ObstacleEnded,
    Restoration,
    RestoreOrder,
    Review,
    TargetRestoration,
    TargetReview,
    TargetVerification,
    Verification,
    VerificationRequest,
)
from panji.core.vocabulary import ObstacleKind, ReviewResult, TargetState, VerificationResult, names

if TYPE_CHECKING:
    from panji.session import VerifiedCase

_VERIFIED, _REVIEWED, _RESTORED = names(VerificationResult), names(ReviewResult), "RESTORED[@TIME], NOT_RESTORED"

ReasonsOption = Annotated[str, typer.Option(help="Why.")]
TargetOption = Annotated[list[int] | None, typer.Option(help="Position; repeat. [all that it can be about]")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Say in a case what may be said; who may say what when: docs/case.md.")
    for command in (
        verification_request,
        verification,
        obstacle,
        obstacle_ended,
        correction,
        objection,
        counter_notice,
        review,
        restore_order,
        restoration,
    ):
        group.command(command.__name__.replace("_", "-"))(command)
    app.add_typer(group, name="say")


def _say(
    case: str, make: Callable[["VerifiedCase"], Body], *, language: str | None, profile: Path | None, json: bool
) -> None:
    with session(profile) as client:
        it = client.case(case)
        said(client.say(it, make(it), language=language), json=json)


def verification_request(
    *,
    case: CaseArgument,
    reasons: ReasonsOption,
    target: TargetOption = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the authority to look again at its own flag. For platforms."""
    body = VerificationRequest(reasons=reasons, targets=tuple(target or ()))
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def verification(
    *,
    case: CaseArgument,
    target: ResultOption = None,
    all_: RestOption = "",
    reasons: Annotated[str, typer.Option(help="Why; needed with NOT_CONFIRMED.")] = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a verification request. For authorities: CONFIRMED or NOT_CONFIRMED for each target asked about."""
    results = results_of(target, all_, word(VerificationResult), _VERIFIED)

    def make(it: "VerifiedCase") -> Body:
        found = results(it.case.pending_targets)
        return Verification(
            targets=tuple(TargetVerification(target=at, result=one, reasons=reasons) for at, one in found)
        )

    _say(case, make, language=language, profile=profile, json=json)


def obstacle(
    *,
    case: CaseArgument,
    kind: Annotated[ObstacleKind, name_of(ObstacleKind)],
    reasons: ReasonsOption,
    expected_until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="When it may end; binds nobody.")
    ] = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Say what keeps you from acting. For platforms; the clock stops."""
    body = Obstacle(kind=kind, reasons=reasons, expected_until=expected_until)
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def obstacle_ended(
    *,
    case: CaseArgument,
    note: NoteOption = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Say that the obstacle is gone. For platforms; the clock goes on."""
    _say(case, lambda _: ObstacleEnded(note=note), language=language, profile=profile, json=json)


def correction(
    *,
    case: CaseArgument,
    target: Annotated[
        list[str], typer.Option(help="POSITION=OUTCOME[:GROUND or REASON]; repeat.", metavar="N=OUTCOME[:WHY]")
    ],
    reasons: Annotated[str, typer.Option(help="What was wrong.")],
    explanation: Annotated[str, typer.Option(help="Facts and reasons; needed with NO_ACTION.")] = "",
    legal_ground: Annotated[str, typer.Option(help="The law, where the ground is the law.")] = "",
    terms_clause: Annotated[str, typer.Option(help="The clause, where the ground is the terms.")] = "",
    territory: Annotated[list[str] | None, typer.Option(help="Where it applies: ISO 3166; repeat.")] = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Replace what was decided on some targets. For platforms; the words are those of decide."""
    common = {"explanation": explanation, "legal_ground": legal_ground, "terms_clause": terms_clause}
    answers = sorted(named(target, Answer.parse).items())
    decided = tuple(one.on(at, common | {"territories": tuple(territory or ())}) for at, one in answers)
    body = Correction(targets=decided, reasons=reasons)
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def objection(
    *,
    case: CaseArgument,
    reasons: ReasonsOption,
    target: TargetOption = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Contest the flag or the decision. For platforms the one, for authorities the other; the other side reviews it."""
    body = Objection(reasons=reasons, targets=tuple(target or ()))
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def counter_notice(
    *,
    case: CaseArgument,
    text: Annotated[str, typer.Option(help="What the user says.")],
    submitted_at: Annotated[datetime, typer.Option(parser=instant, metavar="TIME", help="When you got it.")],
    target: TargetOption = None,
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Pass on what the user says against an action. For platforms; the authority reviews it."""
    body = CounterNotice(text=text, submitted_at=submitted_at, targets=tuple(target or ()))
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def review(
    *,
    case: CaseArgument,
    reasons: ReasonsOption,
    target: ResultOption = None,
    all_: RestOption = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Answer an objection or a counter-notice. For the other side: UPHELD or OVERTURNED for each target contested."""
    results = results_of(target, all_, word(ReviewResult), _REVIEWED)

    def make(it: "VerifiedCase") -> Body:
        found = results(it.case.pending_targets)
        return Review(targets=tuple(TargetReview(target=at, result=one, reasons=reasons) for at, one in found))

    _say(case, make, language=language, profile=profile, json=json)


def restore_order(
    *,
    case: CaseArgument,
    reasons: ReasonsOption,
    target: TargetOption = None,
    law: Annotated[str, typer.Option(help="The law relied on, as in 'PM 5/2020'.")] = "",
    article: Annotated[str, typer.Option(help="The provision.")] = "",
    jurisdiction: Annotated[str, typer.Option(help="Its country: ISO 3166-1 alpha-2, or EU.")] = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Demand that targets be restored. For authorities."""
    basis = (LegalBasis(jurisdiction=jurisdiction, law=law, article=article),) if law or article or jurisdiction else ()
    body = RestoreOrder(reasons=reasons, targets=tuple(target or ()), legal_basis=basis)
    _say(case, lambda _: body, language=language, profile=profile, json=json)


def restoration(
    *,
    case: CaseArgument,
    target: ResultOption = None,
    all_: RestOption = "",
    explanation: Annotated[str, typer.Option(help="Why not; needed with NOT_RESTORED.")] = "",
    note: NoteOption = "",
    language: LanguageOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Say what became of targets to be restored. For platforms: RESTORED[@TIME; now] or NOT_RESTORED."""
    now = datetime.now(UTC)
    results = results_of(target, all_, lambda text, said: restored(text, said, now), _RESTORED)

    def make(it: "VerifiedCase") -> Body:
        found = results(it.case.targets_in(frozenset({TargetState.RESTORE_DUE})))
        return Restoration(
            targets=tuple(
                TargetRestoration(target=at, result=one, effective_at=when, explanation="" if when else explanation)
                for at, (one, when) in found
            ),
            note=note,
        )

    _say(case, make, language=language, profile=profile, json=json)
