"""What would have happened: a day of flags, with what was said when, against a procedure.

It is the arithmetic of the exchange's timers, without an exchange: nothing here fires. An answer at the very instant
at which it was due is in time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from panji.core.procedure import clock
from panji.core.procedure.deadlines import Answer, Since, percent
from panji.core.procedure.terms import Cause
from panji.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from panji.core.procedure.document import Procedure
    from panji.core.procedure.ladders import Escalation
    from panji.core.procedure.terms import Rule, Terms
    from panji.core.statements import Flag


class What(StrEnum):
    """What would happen."""

    NOT_COVERED = "not_covered"
    """The flag would be refused: no rule is for it."""
    NOT_MET = "not_met"
    """The flag would be refused: it lacks what its rule asks for."""
    WARNING = "warning"
    """A part of the time has passed."""
    ESCALATION = "escalation"
    """Somebody is reached."""
    MISSED = "missed"
    LAPSED = "lapsed"
    """The authority did not answer a question in time."""
    EXPIRES = "expires"


class Happening(NamedTuple):
    """One thing that would happen."""

    at: datetime
    flag: str
    what: What
    rule: str = ""
    answer: str = ""
    detail: str = ""


class Stop(NamedTuple):
    """A time in which the platform asked, or could not act. Without an end, it lasts."""

    cause: Cause
    begins: datetime
    ends: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A flag and what is known of its course."""

    name: str
    flag: Flag
    received: datetime
    delivered: datetime | None = None
    """None: not known, and the clock runs from ``received``."""
    ordered: datetime | None = None
    """None: nothing was ordered, and no such clock runs."""
    answered: Mapping[Answer, datetime] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()
    last_seen: datetime | None = None
    """When the platform's client was last seen; None: it is always there."""

    def start(self, since: Since) -> datetime | None:
        """When a deadline begins to run that runs from an event."""
        return {Since.RECEIVED: self.received, Since.DELIVERED: self.delivered or self.received}.get(
            since, self.ordered
        )

    def answered_at(self, answer: Answer) -> datetime | None:
        """When an answer was there: whoever has decided has received the flag, and looked at it."""
        said_by = [answer] if answer is Answer.RESTORED else list(Answer)[list(Answer).index(answer) : 3]
        return min((self.answered[one] for one in said_by if one in self.answered), default=None)


def simulate(procedure: Procedure, plays: Iterable[Play]) -> list[Happening]:
    """Returns what would happen, in the order of time; at one instant, in the order of the flags."""
    happened = [one for play in plays for one in _of(procedure, play)]
    return sorted(happened, key=lambda one: one.at)


def _of(procedure: Procedure, play: Play) -> Iterator[Happening]:
    try:
        rule = procedure.rule(play.flag)
    except RefusedError as refusal:
        yield Happening(play.received, play.name, What.NOT_COVERED, detail=refusal.metadata["not_covered"])
        return
    if violations := procedure.violations(play.flag, play.received):
        detail = "; ".join(f"{one.field} {one.description}" for one in violations)
        yield Happening(play.received, play.name, What.NOT_MET, rule.id, detail=detail)
        return
    lapsed = _lapsed(rule.terms, play)
    happened = [
        one for answer in rule.terms.answers for one in _timed(play, answer, rule.terms, procedure.escalation(answer))
    ]
    yield from (one._replace(rule=rule.id) for one in happened if lapsed is None or one.at < lapsed)
    yield from _ends(rule, play, lapsed)


def _ends(rule: Rule, play: Play, lapsed: datetime | None) -> Iterator[Happening]:
    if lapsed is not None:
        yield Happening(lapsed, play.name, What.LAPSED, rule.id, detail="a question was not answered in time")
    elif play.flag.expires_at is not None:
        yield Happening(play.flag.expires_at, play.name, What.EXPIRES, rule.id)


def _lapsed(terms: Terms, play: Play) -> datetime | None:
    """When the first question went unanswered for too long."""
    rules = terms.clarification
    if rules is None or rules.answer_within is None or not rules.lapses:
        return None
    asked = [(stop.begins + rules.answer_within, stop.ends) for stop in play.stops if stop.cause is Cause.CLARIFICATION]
    return min((at for at, ends in asked if ends is None or ends > at), default=None)


def _timed(play: Play, answer: Answer, terms: Terms, escalation: Escalation | None) -> Iterator[Happening]:
    """What the clock of one answer brings about until it is given."""
    start = play.start(terms.answers[answer].since)
    answered = play.answered_at(answer)
    if start is not None:
        for happened in _run(play, answer, terms, escalation, start):
            if answered is None or happened.at < answered:
                yield happened


def _run(
    play: Play, answer: Answer, terms: Terms, escalation: Escalation | None, start: datetime
) -> Iterator[Happening]:
    """What the clock of one answer would bring about if the answer never came."""
    within = terms.answers[answer]
    pauses = terms.pauses(answer, play.stops)
    for part, at in zip(terms.warn_at, clock.warnings(within, start, terms.warn_at, pauses), strict=True):
        if at is not None:
            yield Happening(at, play.name, What.WARNING, answer=answer.value, detail=f"{percent(part)}% of {within}")
    due_at = clock.due(within, start, pauses)
    if due_at is None:
        return
    yield Happening(due_at, play.name, What.MISSED, answer=answer.value, detail=str(within))
    if escalation is not None:
        for at, _, step, unseen in escalation.taken(play.received, start, due_at, play.last_seen):
            since = f": nobody there since {play.last_seen.isoformat()}" if unseen and play.last_seen else ""
            yield Happening(at, play.name, What.ESCALATION, answer=answer.value, detail=", ".join(step.to) + since)
