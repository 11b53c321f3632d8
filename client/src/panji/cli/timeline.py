"""A case for people: what was said and what it made of the case, who is waited for, and what may be said next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.cli.output import plain
from panji.cli.records import summary
from panji.core.case import legal_kinds
from panji.core.display import safe
from panji.core.vocabulary import Role, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from panji.session import VerifiedCase

_OTHER = {Role.AUTHORITY: Role.PLATFORM, Role.PLATFORM: Role.AUTHORITY}


def timeline(one: VerifiedCase) -> list[str]:
    """Returns what was said, in order: when, by whom, the state of the case after it, and in a second line what."""
    lines = []
    for said, after in zip(one.statements, one.history, strict=True):
        head = f"{_time(said.receipt.received_at)}  {said.statement.sender}: {said.statement.kind}"
        lines.append(f"{head} (log index {said.receipt.index}) -> {after.state.name}")
        lines.append(f"    {safe(summary(said))}")
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
