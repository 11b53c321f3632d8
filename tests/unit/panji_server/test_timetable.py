"""When a case is looked at: never later than anything is due of it, and not at all once nothing can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from support.memory import MemoryStorage
from support.procedures import HEAD, rule
from support.statements import (
    NOON,
    a_case,
    a_clarification_request,
    a_deadline_missed,
    a_decision,
    a_statement,
    an_acknowledgement,
)

from panji.core import case as cases
from panji.core.procedure import Presence, agenda, due_now, parse_procedure
from panji_server.on_record import Procedures
from panji_server.storage.base import AT_ONCE, UNTIL_FETCHED, Terms, Timer
from panji_server.timetable import Timetable

if TYPE_CHECKING:
    from panji.core.case import Case
    from panji.core.statements import Body

OPENED = NOON + timedelta(seconds=1)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = Presence(None, None)
PROCEDURE = parse_procedure(
    HEAD + rule("both", 'received = { since = "received", within = "PT4H" }', "warn_at = [0.5]")
)


def timetable(*terms: Terms, procedure: bool = False) -> Timetable:
    """Under the procedure, or under nothing but a time for the first answer."""
    procedures = Procedures(MemoryStorage())
    if procedure:
        procedures.add(0, PROCEDURE)
    made = Timetable(procedures)
    made.terms = terms
    return made


def after(case: Case, body: Body, **frame: Any) -> Case:
    """The case after a reply, an hour later."""
    return cases.apply(case, a_statement(body, **frame), bytes([7]) * 32, OPENED + HOUR)


A_DAY = timetable(Terms(LONG_AGO, timedelta(days=1)))
BY_PROCEDURE = timetable(procedure=True)


def test_where_nothing_is_agreed_on_a_flag_is_looked_at_when_its_first_answer_is_due() -> None:
    assert A_DAY.first_look(5, a_case(), True) == Timer(OPENED + timedelta(days=1))
    assert A_DAY.next_look(5, a_case(), NEVER, OPENED) == Timer(OPENED + timedelta(days=1))


def test_the_quick_look_at_a_flag_is_what_its_agenda_says() -> None:
    (missed,) = A_DAY.occasions(5, a_case(), NEVER)
    assert A_DAY.first_look(5, a_case(), True) == Timer(missed.at)


def test_the_time_that_held_when_the_flag_was_received_holds_for_it() -> None:
    two = timetable(Terms(LONG_AGO, timedelta(days=1)), Terms(OPENED + HOUR, HOUR))
    assert two.first_look(5, a_case(), True) == Timer(OPENED + timedelta(days=1))


def test_a_case_that_was_answered_or_stated_late_is_looked_at_no_more() -> None:
    answered = after(a_case(), an_acknowledgement())
    late = after(a_case(), a_deadline_missed())
    for case in (answered, late):
        assert A_DAY.first_look(5, case, False) is None
        assert A_DAY.next_look(5, case, NEVER, OPENED + HOUR) is None


def test_without_a_procedure_and_without_a_time_nothing_is_due() -> None:
    nothing = timetable()
    assert nothing.first_look(5, a_case(), True) is None
    assert nothing.occasions(5, a_case(), NEVER) == []


def test_by_a_procedure_a_flag_is_looked_at_first_for_its_receipt_and_when_it_is_fetched() -> None:
    assert BY_PROCEDURE.first_look(5, a_case(), True) == Timer(OPENED + 2 * HOUR, waits=True)


def test_a_flag_of_which_nothing_is_due_before_it_is_fetched_waits_for_that() -> None:
    received = after(a_case(), a_deadline_missed(due_at=OPENED + 4 * HOUR))
    assert BY_PROCEDURE.next_look(5, received, NEVER, OPENED + 5 * HOUR) == Timer(UNTIL_FETCHED, waits=True)


def test_a_case_in_which_something_was_said_is_looked_at_at_once_while_an_answer_is_owed() -> None:
    asked = after(a_case(), a_clarification_request())
    assert BY_PROCEDURE.first_look(5, asked, False) == Timer(AT_ONCE)
    assert BY_PROCEDURE.first_look(5, after(a_case(), a_decision()), False) is None


def test_a_case_keeps_the_procedure_below_its_flag() -> None:
    procedures = Procedures(MemoryStorage())
    procedures.add(3, PROCEDURE)
    procedures.add(8, parse_procedure(HEAD.replace("version = 1", "version = 2") + rule("later")))
    found = [procedures.of_case(index) for index in (2, 3, 4, 8, 9)]
    assert [one.version if one else None for one in found] == [None, None, 1, 1, 2]
    assert procedures.current is not None
    assert procedures.current.version == 2


@given(st.integers(0, 200), st.integers(0, 100), st.booleans())
def test_nothing_is_due_before_the_next_look(now: int, delivered: int, fetched: bool) -> None:
    """Or it would be stated late."""
    at = OPENED + now * HOUR / 2
    presence = Presence(OPENED + delivered * HOUR if fetched else None, None)
    case = a_case()
    timer = BY_PROCEDURE.next_look(5, case, presence, at)
    occasions = agenda(case, PROCEDURE, presence)
    later = [one for one in occasions if one.at > at]
    assert timer is not None or not later
    if timer is not None:
        assert all(timer.at <= one.at for one in later)
        assert not due_now(later, timer.at - MOMENT)
