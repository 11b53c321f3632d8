"""What an exchange has to state about a case as time passes, by the procedure that the case was opened under.

Everything follows from the case, from when the platform fetched the flag and when it was last there: any server of an
exchange, and anybody else who knows these, comes to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from panji.core.procedure import clock
from panji.core.procedure.deadlines import Answer, Since, percent
from panji.core.procedure.terms import Cause
from panji.core.vocabulary import Contact, Deadline, Kind, StopCause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.procedure.document import Procedure
    from panji.core.procedure.ladders import Escalation
    from panji.core.procedure.terms import Terms

_DEADLINES = {
    Answer.RECEIVED: Deadline.ACKNOWLEDGED,
    Answer.UNDER_REVIEW: Deadline.UNDER_REVIEW,
    Answer.DECIDED: Deadline.DECIDED,
    Answer.RESTORED: Deadline.RESTORED,
}
_CAUSES = {StopCause.QUESTION: Cause.CLARIFICATION, StopCause.OBSTACLE: Cause.FORCE_MAJEURE}


@dataclass(frozen=True, slots=True)
class Occasion:
    """One thing to be stated, once, at a time."""

    at: datetime
    kind: Kind
    """DEADLINE_NEAR, DEADLINE_MISSED or ESCALATION."""
    deadline: Deadline
    number: int
    """The part of the time in per cent, or the step of the ladder from 1; 0 where it is missed."""
    due_at: datetime
    to: tuple[Contact, ...] = ()
    unseen_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """What an exchange knows of the recipient of a flag."""

    delivered_at: datetime | None
    """When it fetched the flag."""
    last_seen_at: datetime | None
    """When it was last there at all."""


def agenda(case: Case, procedure: Procedure, presence: Presence) -> list[Occasion]:
    """Returns what is still to be stated about a case if nothing is said in it any more, in the order of time.

    Args:
        case: As it stands.
        procedure: The one that it was opened under.
        presence: Of its platform.
    """
    terms = procedure.rule(case).terms
    said = {one.occasion for one in case.stated}
    occasions = [
        one
        for answer in terms.answers
        if case.owes(_DEADLINES[answer])
        for one in _of(answer, case, terms, procedure.escalation(answer), presence)
        if (one.kind, one.deadline, one.number) not in said
    ]
    return sorted(occasions, key=lambda one: one.at)


def due_now(occasions: list[Occasion], now: datetime) -> list[Occasion]:
    """Returns those to be stated now. That a deadline is near is not said when it has passed."""
    return [one for one in occasions if one.at <= now and not (one.kind is Kind.DEADLINE_NEAR and one.due_at <= now)]


def _of(
    answer: Answer, case: Case, terms: Terms, escalation: Escalation | None, presence: Presence
) -> Iterator[Occasion]:
    within, deadline = terms.answers[answer], _DEADLINES[answer]
    start = _start(answer, within.since, case, presence)
    if start is None:
        return
    pauses = terms.pauses(answer, ((_CAUSES[one.cause], one.begins, one.ends) for one in case.clock.stops))
    due_at = clock.due(within, start, pauses)
    if due_at is None:  # the clock stands still
        return
    # Where the whole of the time is reached, so is each part of it.
    for part, at in zip(terms.warn_at, clock.warnings(within, start, terms.warn_at, pauses), strict=True):
        yield Occasion(at or due_at, Kind.DEADLINE_NEAR, deadline, percent(part), due_at)
    yield Occasion(due_at, Kind.DEADLINE_MISSED, deadline, 0, due_at)
    if escalation is not None:
        unseen_since = presence.last_seen_at or start
        for at, number, step, unseen in escalation.taken(case.opened_at, start, due_at, unseen_since):
            to = tuple(Contact[one.name] for one in step.to)
            since = presence.last_seen_at if unseen else None
            yield Occasion(at, Kind.ESCALATION, deadline, number, due_at, to, since)


def _start(answer: Answer, since: Since, case: Case, presence: Presence) -> datetime | None:
    """When a deadline began to run, or None where it does not run yet."""
    if answer is Answer.RESTORED:
        return case.restore_since
    if case.clock.since != case.opened_at:  # targets that a review has opened again
        return case.clock.since
    return {Since.RECEIVED: case.opened_at, Since.DELIVERED: presence.delivered_at}.get(since)
