"""When the exchange has to look at a case again, and by which procedure. Pure, but for what is on record."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from panji.core.procedure import Answer, Conditions, Presence, Procedure, Rule, Since, Terms, Within, agenda
from panji.core.vocabulary import Deadline
from panji_server.storage.base import AT_ONCE, UNTIL_FETCHED, Timer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.procedure import Occasion
    from panji_server.on_record import Procedures
    from panji_server.storage import base

_UNKNOWN = Presence(None, None)
_MOMENT = timedelta(microseconds=1)


class Timetable:
    """Says when what is due.

    Args:
        procedures: What is on record.
    """

    def __init__(self, procedures: Procedures) -> None:
        self._procedures = procedures
        self.terms: Sequence[base.Terms] = ()
        """How long platforms have for a first answer where no procedure is on record, oldest first."""

    def first_look(self, index: int, case: Case, untouched: bool) -> Timer | None:
        """Returns when a case that a statement has just opened or changed is to be looked at; None: not any more.

        Args:
            index: Of its flag.
            case: As it stands.
            untouched: Nothing was said in it but its flag.
        """
        procedure = self._procedures.of_case(index)
        if procedure is None:
            return self._first_answer(case)
        if not untouched or any(one.unseen_for is not None for one in procedure.escalations):
            # What it has to wait for depends on whether the flag was fetched, or on whether anybody is there: at once,
            # whatever the clock says now, somebody who knows looks at it.
            return Timer(AT_ONCE) if _may_owe(case, procedure) else None
        return _timer(agenda(case, procedure, _UNKNOWN), case, procedure, _UNKNOWN, case.opened_at)

    def occasions(self, index: int, case: Case, presence: Presence) -> list[Occasion]:
        """Returns what is still to be stated of a case if nothing is said in it any more, in the order of time."""
        procedure = self._procedure_of(index, case)
        return agenda(case, procedure, presence) if procedure is not None else []

    def next_look(self, index: int, case: Case, presence: Presence, now: datetime) -> Timer | None:
        """Returns when a case of which nothing is due now is to be looked at again; None: not any more."""
        procedure = self._procedures.of_case(index)
        if procedure is None:
            return self._first_answer(case)
        return _timer(agenda(case, procedure, presence), case, procedure, presence, now + _MOMENT)

    def _procedure_of(self, index: int, case: Case) -> Procedure | None:
        found = self._procedures.of_case(index)
        if found is None and (span := self._acknowledged(case)) is not None:
            return _first_answer_within(span)
        return found

    def _first_answer(self, case: Case) -> Timer | None:
        """As an agenda would have it in which there is nothing else: this runs once for each flag."""
        span = self._acknowledged(case)
        owed = span is not None and not case.stated and case.owes(Deadline.ACKNOWLEDGED)
        return Timer(case.opened_at + span) if span is not None and owed else None

    def _acknowledged(self, case: Case) -> timedelta | None:
        for one in reversed(self.terms):
            if one.since <= case.opened_at:
                return one.acknowledged
        return None


def _timer(
    occasions: Sequence[Occasion], case: Case, procedure: Procedure, presence: Presence, earliest: datetime
) -> Timer | None:
    waits = presence.delivered_at is None and _runs_from_delivery(case, procedure)
    at = min((one.at for one in occasions if one.at >= earliest), default=UNTIL_FETCHED if waits else None)
    return None if at is None else Timer(at, waits=waits)


def _may_owe(case: Case, procedure: Procedure) -> bool:
    return any(case.owes(deadline) for deadline in Deadline if deadline) and bool(procedure.rule(case).terms.answers)


def _runs_from_delivery(case: Case, procedure: Procedure) -> bool:
    within = procedure.rule(case).terms.answers.values()
    return case.clock.since == case.opened_at and any(one.since is Since.DELIVERED for one in within)


@lru_cache(64)
def _first_answer_within(span: timedelta) -> Procedure:
    """What holds where the sides have agreed on nothing: that an answer comes at all."""
    terms = Terms(answers={Answer.RECEIVED: Within(Since.RECEIVED, span)})
    return Procedure(id="none", version=0, title="No procedure", rules=(Rule("any", Conditions(), terms),))
