"""A case for people: what was said and what it made of the case, who is waited for, and what may be said next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.cli.output import plain
from panji.cli.records import summary
from panji.core.case import legal_kinds
from panji.core.display import safe
from panji.core.statements import Correction, Decision, Flag, Restoration, Review, Verification
from panji.core.vocabulary import Role, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from panji.core.statements import Body, TargetDecision
    from panji.session import VerifiedCase

_LENGTH = 400
"""Characters of a text that are shown."""
_MOST = 20
"""Reasons of one statement that are shown."""
_OTHER = {Role.AUTHORITY: Role.PLATFORM, Role.PLATFORM: Role.AUTHORITY}


def timeline(one: VerifiedCase) -> list[str]:
    """Returns what was said, in order: when, by whom, the state of the case after it; below what, and why."""
    lines = []
    for said, after in zip(one.statements, one.history, strict=True):
        head = f"{_time(said.receipt.received_at)}  {said.statement.sender}: {said.statement.kind}"
        lines.append(f"{head} (log index {said.receipt.index}) -> {after.state.name}")
        lines.append(f"    {safe(_short(summary(said)))}")
        lines += [f"      {safe(one)}" for one in _why(said.statement.body)]
    return lines


def waiting(one: VerifiedCase) -> list[str]:
    """Returns who is waited for, for what and since when, and how the clock of the decision stands."""
    case = one.case
    lines = []
    asked = one.find(case.open_question)
    if asked is not None and case.asked_by is not None:
        about = f" about {_targets(case.pending_targets)}" if case.pending_targets else ""
        what = f"the {asked.statement.kind} of {_time(asked.receipt.received_at)}{about}"
        lines.append(f"{case.side(_OTHER[case.asked_by])} is to answer {what}.")
    if case.open_targets and case.asked_by is not Role.PLATFORM:
        lines.append(f"{case.platform} is to decide {_targets(case.open_targets)}.")
    if case.restore_since is not None:
        due = _targets(case.targets_in(frozenset({TargetState.RESTORE_DUE})))
        lines.append(f"{case.platform} is to restore {due}, since {_time(case.restore_since)}.")
    return [*(lines or ["Nobody is waited for."]), *_obstacle(one), *_clock(one)]


def next_moves(one: VerifiedCase) -> list[str]:
    """Returns what may be said next, a line for each who may say anything."""
    sides = {Role.AUTHORITY: one.case.authority, Role.PLATFORM: one.case.platform, Role.OPERATOR: "the operator"}
    may = [(who, ", ".join(legal_kinds(one.case, role))) for role, who in sides.items()]
    return [f"{who} may say: {kinds}" for who, kinds in may if kinds]


def _why(body: Body) -> list[str]:
    """Returns the grounds and reasons for which the line that sums a statement up has no place."""
    match body:
        case Flag(reasons=reasons):
            return [f"why: {_short(reasons)}"]
        case Decision(targets=decided, note=note):
            return [*_of_targets((one.target, _grounds(one)) for one in decided), *_noted(note)]
        case Correction(targets=decided, reasons=reasons):
            return [f"why: {_short(reasons)}", *_of_targets((one.target, _grounds(one)) for one in decided)]
        case Review(targets=results) | Verification(targets=results):
            return _of_targets((one.target, _short(one.reasons)) for one in results)
        case Restoration(targets=results, note=note):
            return [*_of_targets((one.target, _short(one.explanation)) for one in results), *_noted(note)]
        case _:
            return []


def _grounds(one: TargetDecision) -> str:
    clauses = [_short(clause) for clause in (one.legal_ground, one.terms_clause) if clause]
    ground = ", ".join([*([one.ground.name] if one.ground else []), *clauses])
    return ": ".join(part for part in (ground, _short(one.explanation)) if part)


def _of_targets(told: Iterable[tuple[int, str]]) -> list[str]:
    """Returns a line for each reason, with the targets that have it: a decision may have thousands, and one reason."""
    having: dict[str, list[int]] = {}
    for position, reason in told:
        if reason:
            having.setdefault(reason, []).append(position)
    lines = [f"why {_short(_targets(positions))}: {reason}" for reason, positions in having.items()]
    left = len(lines) - _MOST
    return [*lines[:_MOST], *([f"and {left} more reasons; --json has them all"] if left > 0 else [])]


def _noted(note: str) -> list[str]:
    return [f"note: {_short(note)}"] if note else []


def _short(text: str) -> str:
    cut = len(text) - _LENGTH
    return f"{text[:_LENGTH]}… (and {cut} more characters; --json has them all)" if cut > 0 else text


def _obstacle(one: VerifiedCase) -> list[str]:
    reported = one.find(one.case.obstacle)
    if reported is None:
        return []
    return [f"An obstacle keeps {one.case.platform} from acting, since {_time(reported.receipt.received_at)}."]


def _clock(one: VerifiedCase) -> list[str]:
    case, clock = one.case, one.case.clock
    if clock.stopped_at is None and not case.open_targets:
        return []
    stops = [f"    stopped {_time(one.begins)} to {_time(one.ends)}: {one.cause}" for one in clock.stops if one.ends]
    causes = ", ".join(one.cause for one in clock.stops if one.ends is None)
    lasts = f", and stands still since {_time(clock.stopped_at)}: {causes}" if clock.stopped_at else ""
    return [f"The clock of the decision runs since {_time(clock.since)}{lasts}.", *stops]


def _targets(positions: Iterable[int]) -> str:
    named = [str(one) for one in positions]
    return f"{'target' if len(named) == 1 else 'targets'} {', '.join(named)}"


def _time(time: datetime) -> str:
    return str(plain(time.replace(microsecond=0)))
