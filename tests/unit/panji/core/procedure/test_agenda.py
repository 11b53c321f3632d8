"""What is to be stated of a case as time passes: each from its own event, once, and not while the clock stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from support.procedures import a_procedure, rule
from support.statements import (
    MINISTRY,
    NOON,
    PLATFORM,
    a_case,
    a_clarification_answer,
    a_clarification_request,
    a_counter_notice,
    a_deadline_missed,
    a_decision,
    a_restore_order,
    a_review,
    a_statement,
    an_acknowledgement,
    an_objection,
    an_obstacle,
)

from panji.core import case as cases
from panji.core.procedure import Presence, agenda, due_now
from panji.core.vocabulary import AcknowledgementLevel, Contact, Deadline, Kind, ReviewResult

if TYPE_CHECKING:
    from panji.core.case import Case
    from panji.core.procedure import Occasion
    from panji.core.statements import Body

OPENED = NOON + timedelta(seconds=1)
HOUR = timedelta(hours=1)
FETCHED = OPENED + HOUR
NEVER = Presence(None, None)
THERE = Presence(FETCHED, FETCHED + timedelta(days=9))

LADDER = """
[[escalation]]
answer = "decided"
unseen_for = "PT2H"

[[escalation.step]]
after = "PT0S"
to = ["deputy", "representative"]

[[escalation.step]]
after = "PT6H"
to = ["authority_head"]
"""
FULL = a_procedure(
    rule(
        "full",
        'received = { since = "received", within = "PT4H" }',
        'under_review = { since = "delivered", within = "PT8H" }',
        'restored = { since = "ordered", within = "PT24H" }',
        "warn_at = [0.5, 0.8]",
        'clarification = { clock = "pause" }',
        'force_majeure = "restart"',
    ),
    LADDER,
)


def said(occasions: list[Occasion]) -> list[tuple[str, Kind, Deadline, int]]:
    """How long after the flag's receipt each is stated, and what."""
    return [(str(one.at - OPENED), one.kind, one.deadline, one.number) for one in occasions]


def only(deadline: Deadline, occasions: list[Occasion]) -> list[Occasion]:
    return [one for one in occasions if one.deadline is deadline]


def after(case: Case, body: Body, at: datetime, **frame: Any) -> Case:
    """The case after a reply."""
    return cases.apply(case, a_statement(body, **frame), bytes([7]) * 32, at)


def test_a_flag_that_nobody_has_fetched_is_late_for_its_receipt_and_for_nothing_else() -> None:
    assert said(agenda(a_case(), FULL, NEVER)) == [
        ("2:00:00", Kind.DEADLINE_NEAR, Deadline.ACKNOWLEDGED, 50),
        ("3:12:00", Kind.DEADLINE_NEAR, Deadline.ACKNOWLEDGED, 80),
        ("4:00:00", Kind.DEADLINE_MISSED, Deadline.ACKNOWLEDGED, 0),
    ]


def test_what_runs_from_delivery_runs_from_when_the_platform_fetched_the_flag() -> None:
    found = agenda(a_case(), FULL, THERE)
    assert said(only(Deadline.UNDER_REVIEW, found)) == [
        ("5:00:00", Kind.DEADLINE_NEAR, Deadline.UNDER_REVIEW, 50),
        ("7:24:00", Kind.DEADLINE_NEAR, Deadline.UNDER_REVIEW, 80),
        ("9:00:00", Kind.DEADLINE_MISSED, Deadline.UNDER_REVIEW, 0),
    ]
    assert said(only(Deadline.DECIDED, found))[-3:] == [
        ("1 day, 1:00:00", Kind.DEADLINE_MISSED, Deadline.DECIDED, 0),
        ("1 day, 1:00:00", Kind.ESCALATION, Deadline.DECIDED, 1),
        ("1 day, 7:00:00", Kind.ESCALATION, Deadline.DECIDED, 2),
    ]
    assert [one.to for one in found if one.kind is Kind.ESCALATION] == [
        (Contact.DEPUTY, Contact.REPRESENTATIVE),
        (Contact.AUTHORITY_HEAD,),
    ]


def test_an_answer_that_was_given_is_no_longer_waited_for() -> None:
    received = after(a_case(), an_acknowledgement(), OPENED)
    assert {one.deadline for one in agenda(received, FULL, THERE)} == {Deadline.UNDER_REVIEW, Deadline.DECIDED}
    reviewed = after(received, an_acknowledgement(AcknowledgementLevel.UNDER_REVIEW), OPENED)
    assert {one.deadline for one in agenda(reviewed, FULL, THERE)} == {Deadline.DECIDED}
    assert agenda(after(reviewed, a_decision(), OPENED), FULL, THERE) == []


def test_what_was_stated_is_not_stated_again() -> None:
    late = after(a_case(), a_deadline_missed(due_at=OPENED + 4 * HOUR), OPENED + 4 * HOUR)
    assert (Kind.DEADLINE_MISSED, Deadline.ACKNOWLEDGED) not in {
        (one.kind, one.deadline) for one in agenda(late, FULL, NEVER)
    }


def test_a_recipient_that_is_not_there_is_escalated_before_the_deadline_and_not_after() -> None:
    gone = Presence(FETCHED, FETCHED + HOUR)
    first = next(one for one in agenda(a_case(), FULL, gone) if one.kind is Kind.ESCALATION)
    assert (first.at, first.number, first.unseen_since) == (FETCHED + 3 * HOUR, 1, FETCHED + HOUR)
    assert first.due_at == FETCHED + timedelta(days=1)
    there = next(one for one in agenda(a_case(), FULL, THERE) if one.kind is Kind.ESCALATION)
    assert (there.at, there.unseen_since) == (there.due_at, None)


def test_nothing_of_a_decision_falls_due_while_the_platform_waits_and_then_it_has_the_time_that_was_left() -> None:
    case = after(a_case(), an_acknowledgement(AcknowledgementLevel.UNDER_REVIEW), OPENED)
    asked = after(case, a_clarification_request(), FETCHED + 2 * HOUR)
    assert only(Deadline.DECIDED, agenda(asked, FULL, THERE)) == []
    answered = after(asked, a_clarification_answer(), FETCHED + 5 * HOUR, in_reply_to=bytes([7]) * 32)
    (missed,) = (one for one in agenda(answered, FULL, THERE) if one.kind is Kind.DEADLINE_MISSED)
    assert missed.due_at == FETCHED + timedelta(days=1) + 3 * HOUR


def test_after_force_majeure_the_time_begins_anew_where_the_procedure_says_so() -> None:
    case = after(a_case(), an_acknowledgement(AcknowledgementLevel.UNDER_REVIEW), OPENED)
    cut = after(case, an_obstacle(), FETCHED + 2 * HOUR)
    mended = replace(cut, obstacle=b"", clock=cut.clock.at(FETCHED + 30 * HOUR, frozenset()))
    (missed,) = (one for one in agenda(mended, FULL, THERE) if one.kind is Kind.DEADLINE_MISSED)
    assert missed.due_at == FETCHED + 30 * HOUR + timedelta(days=1)


def test_what_is_to_be_restored_is_due_from_the_order_on() -> None:
    decided = after(a_case(), a_decision(), OPENED)
    ordered = after(decided, a_restore_order(), OPENED + timedelta(days=30))
    assert said(agenda(ordered, FULL, THERE))[-1] == (
        "31 days, 0:00:00",
        Kind.DEADLINE_MISSED,
        Deadline.RESTORED,
        0,
    )


def test_what_keeps_a_platform_from_acting_keeps_it_from_restoring_and_a_question_does_not() -> None:
    ordered = after(after(a_case(), a_decision(), OPENED), a_restore_order(), OPENED + HOUR)
    cut = after(ordered, an_obstacle(), OPENED + 2 * HOUR)
    assert only(Deadline.RESTORED, agenda(cut, FULL, THERE)) == []
    two = after(after(a_case(targets=2), a_decision(1, 2), OPENED), a_restore_order(1), OPENED + HOUR)
    asked = after(two, a_counter_notice(2), OPENED + 2 * HOUR, in_reply_to=two.decision)
    assert asked.clock.stopped_at is not None
    assert only(Deadline.RESTORED, agenda(asked, FULL, THERE)) != []


def test_targets_that_a_review_has_opened_again_are_due_from_then_on() -> None:
    decided = after(a_case(), a_decision(), OPENED)
    objected = after(decided, an_objection(), OPENED, sender=MINISTRY, recipient=PLATFORM, in_reply_to=decided.decision)
    again = after(
        objected,
        a_review(1, result=ReviewResult.OVERTURNED),
        OPENED + timedelta(days=3),
        sender=PLATFORM,
        recipient=MINISTRY,
        in_reply_to=objected.open_question,
    )
    (missed,) = (one for one in agenda(again, FULL, THERE) if one.kind is Kind.DEADLINE_MISSED)
    assert (missed.deadline, missed.due_at) == (Deadline.DECIDED, OPENED + timedelta(days=4))


def test_a_deadline_that_has_passed_is_not_said_to_be_near() -> None:
    found = agenda(a_case(), FULL, NEVER)
    assert [one.kind for one in due_now(found, OPENED + 3 * HOUR)] == [Kind.DEADLINE_NEAR]
    assert [one.kind for one in due_now(found, OPENED + 4 * HOUR)] == [Kind.DEADLINE_MISSED]
    assert due_now(found, OPENED) == []


@given(st.integers(0, 100), st.integers(0, 100), st.booleans())
def test_all_is_in_the_order_of_time_each_thing_once_and_nothing_before_it_can_be(
    delivered: int, seen: int, fetched: bool
) -> None:
    presence = Presence(OPENED + delivered * HOUR if fetched else None, OPENED + seen * HOUR)
    found = agenda(a_case(), FULL, presence)
    assert [one.at for one in found] == sorted(one.at for one in found)
    keys = [(one.kind, one.deadline, one.number) for one in found]
    assert len(set(keys)) == len(keys)
    assert all(one.at > OPENED for one in found)


def test_a_ladder_counted_from_the_receipt_waits_for_a_deadline_that_was_put_off() -> None:
    """It never reaches anybody before the deadline: not either when force majeure has stopped the clock."""
    procedure = a_procedure(
        rule("one", 'force_majeure = "pause"', decided='decided = { since = "received", within = "PT4H" }'),
        LADDER.replace('unseen_for = "PT2H"', 'from = "received"').replace("PT6H", "PT8H").replace("PT0S", "PT4H"),
    )
    cut = after(a_case(), an_obstacle(), OPENED + HOUR)
    mended = replace(cut, obstacle=b"", clock=cut.clock.at(OPENED + 3 * HOUR, frozenset()))
    for case, hours in ((a_case(), [4, 4, 8]), (mended, [6, 6, 8])):
        assert [one.at - OPENED for one in agenda(case, procedure, THERE)] == [n * HOUR for n in hours]
