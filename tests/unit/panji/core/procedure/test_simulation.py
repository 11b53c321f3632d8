"""A day of flags: what the timers of an exchange would have done, by the procedure's numbers alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from support.procedures import OTHER, VAGUE, a_procedure
from support.statements import a_flag

from panji.core.procedure import Answer, Cause
from panji.core.procedure.simulation import Happening, Play, Stop, What, simulate
from panji.core.vocabulary import Category, Instrument, SubCategory

if TYPE_CHECKING:
    from panji.core.statements import Flag

START = datetime(2026, 5, 4, 8, tzinfo=UTC)
TERMS = """
[defaults]
warn_at = [0.5]
clarification = { clock = "restart", answer_within = "PT6H", lapses = true }
"""
LADDER = """
[[escalation]]
answer = "received"
unseen_for = "PT1H"

[[escalation.step]]
after = "PT0S"
to = ["deputy"]

[[escalation.step]]
after = "PT2H"
to = ["representative", "out_of_hours"]
"""
PROCEDURE = a_procedure(TERMS, VAGUE, OTHER, LADDER)
"""Received within 4 hours of the receipt, decided within 24 of the delivery."""


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def a_play(flag: Flag | None = None, **changes: Any) -> Play:
    return Play(**{"name": "one", "flag": flag or a_flag(), "received": START, **changes})


def told(*plays: Play, procedure: Any = PROCEDURE) -> list[tuple[float, What, str]]:
    """Hours since the start, what, and of which answer."""
    happened = simulate(procedure, plays)
    return [((one.at - START) / timedelta(hours=1), one.what, one.answer) for one in happened]


RECEIVED = [
    (2, What.WARNING, "received"),
    (4, What.MISSED, "received"),
    (4, What.ESCALATION, "received"),
    (6, What.ESCALATION, "received"),
]
DECIDED = [(12, What.WARNING, "decided"), (24, What.MISSED, "decided")]


def test_silence_is_warned_of_missed_and_escalated_in_the_order_of_time() -> None:
    assert told(a_play()) == [*RECEIVED, *DECIDED]
    assert simulate(PROCEDURE, [a_play()])[2] == Happening(at(4), "one", What.ESCALATION, "other", "received", "deputy")


def test_an_answer_in_time_ends_its_clock_and_one_at_the_last_instant_is_in_time() -> None:
    assert told(a_play(answered={Answer.RECEIVED: at(1)})) == DECIDED
    assert told(a_play(answered={Answer.RECEIVED: at(4)})) == [RECEIVED[0], *DECIDED]
    late = told(a_play(answered={Answer.RECEIVED: at(5), Answer.DECIDED: at(13)}))
    assert late == [*RECEIVED[:3], DECIDED[0]]


def test_whoever_has_decided_has_received() -> None:
    assert told(a_play(answered={Answer.DECIDED: at(1)})) == []
    assert told(a_play(answered={Answer.RESTORED: at(1)})) == [*RECEIVED, *DECIDED]


def test_the_clock_of_the_decision_runs_from_the_delivery() -> None:
    assert told(a_play(delivered=at(3), answered={Answer.RECEIVED: at(3)})) == [
        *RECEIVED[:1],
        (15, What.WARNING, "decided"),
        (27, What.MISSED, "decided"),
    ]


def test_a_deadline_from_an_order_runs_only_once_something_is_ordered() -> None:
    restoring = OTHER + 'restored = { since = "ordered", within = "PT24H" }\n'
    procedure = a_procedure(VAGUE, restoring)
    answered = {Answer.DECIDED: at(1)}
    assert told(a_play(answered=answered), procedure=procedure) == []
    ordered = a_play(answered=answered, ordered=at(30))
    assert told(ordered, procedure=procedure) == [(54, What.MISSED, "restored")]


def test_a_question_stops_the_clock_and_while_it_lasts_nothing_is_due() -> None:
    asked = Stop(Cause.CLARIFICATION, at(1), at(3))
    assert told(a_play(stops=(asked,), answered={Answer.RECEIVED: at(1)})) == [
        (15, What.WARNING, "decided"),
        (27, What.MISSED, "decided"),
    ]
    patient = a_procedure(TERMS.replace("lapses = true", "lapses = false"), VAGUE, OTHER)
    lasting = a_play(stops=(Stop(Cause.CLARIFICATION, at(13), None),))
    assert told(lasting, procedure=patient) == [*(one for one in RECEIVED if one[1] is not What.ESCALATION), DECIDED[0]]


def test_a_question_does_not_stop_the_clock_of_restoring_and_force_majeure_does() -> None:
    """As in an exchange: the question is about the decision."""
    terms = TERMS.replace("lapses = true", "lapses = false") + 'force_majeure = "pause"\n'
    procedure = a_procedure(
        terms.replace("[0.5]", "[]"), VAGUE, OTHER + 'restored = { since = "ordered", within = "PT24H" }\n'
    )
    for cause, hours in ((Cause.CLARIFICATION, 25), (Cause.FORCE_MAJEURE, 27)):
        play = a_play(answered={Answer.DECIDED: at(0)}, ordered=at(1), stops=(Stop(cause, at(2), at(4)),))
        assert told(play, procedure=procedure) == [(hours, What.MISSED, "restored")]


def test_force_majeure_stops_no_clock_where_the_procedure_says_nothing_of_it() -> None:
    assert told(a_play(stops=(Stop(Cause.FORCE_MAJEURE, at(1), None),))) == [*RECEIVED, *DECIDED]


def test_a_question_that_nobody_answers_in_time_ends_it() -> None:
    unanswered = told(a_play(stops=(Stop(Cause.CLARIFICATION, at(3), None),)))
    assert unanswered == [RECEIVED[0], (9, What.LAPSED, "")]
    too_late = told(a_play(stops=(Stop(Cause.CLARIFICATION, at(3), at(10)),)))
    assert too_late == [RECEIVED[0], (9, What.LAPSED, "")]


def test_a_client_that_is_not_seen_is_escalated_before_the_deadline() -> None:
    unseen = told(a_play(last_seen=START))
    assert unseen[0] == (1, What.ESCALATION, "received")
    (first, *_) = simulate(PROCEDURE, [a_play(last_seen=START)])
    assert first.detail == "deputy: nobody there since 2026-05-04T08:00:00+00:00"
    assert told(a_play(last_seen=at(-5)))[0] == (0, What.ESCALATION, "received")
    assert told(a_play(last_seen=at(3.5))) == [*RECEIVED, *DECIDED]


def test_a_step_that_was_taken_early_is_not_taken_again() -> None:
    """As in an exchange, which states each step once."""
    escalated = [one for one in told(a_play(last_seen=START)) if one[1] is What.ESCALATION]
    assert escalated == [(1, What.ESCALATION, "received"), (6, What.ESCALATION, "received")]


def test_steps_from_the_receipt_come_when_they_say_and_never_before_the_deadline() -> None:
    counted = LADDER.replace('unseen_for = "PT1H"', 'from = "received"').replace("PT0S", "PT5H").replace("PT2H", "PT8H")
    happened = told(a_play(), procedure=a_procedure(VAGUE, OTHER, counted))
    assert [one for one in happened if one[1] is What.ESCALATION] == [
        (5, What.ESCALATION, "received"),
        (8, What.ESCALATION, "received"),
    ]
    cut = a_play(stops=(Stop(Cause.FORCE_MAJEURE, at(1), at(4)),))
    pausing = a_procedure('[defaults]\nforce_majeure = "pause"\n', VAGUE, OTHER, counted)
    assert told(cut, procedure=pausing)[:3] == [
        (7, What.MISSED, "received"),
        (7, What.ESCALATION, "received"),
        (8, What.ESCALATION, "received"),
    ]


def test_a_flag_that_would_be_refused_starts_no_clock() -> None:
    procedure = a_procedure(VAGUE)
    (refused,) = simulate(procedure, [a_play()])
    assert refused == Happening(START, "one", What.NOT_COVERED, detail="sub_category GAMBLING_PROMOTION")
    vague = a_flag(category=Category.PUBLIC_ORDER, sub_category=SubCategory.PUBLIC_ORDER_UNREST)
    (refused,) = simulate(procedure, [a_play(vague)])
    assert (refused.what, refused.rule) == (What.NOT_MET, "vague")
    assert refused.detail == "flag.expires_at is required by the procedure, within P30D"


def test_what_expires_says_when() -> None:
    flag = a_flag(instrument=Instrument.NOTICE, good_faith=True, expires_at=at(48))
    assert told(a_play(flag, answered={Answer.DECIDED: START})) == [(48, What.EXPIRES, "")]


def test_several_flags_make_one_day() -> None:
    happened = simulate(PROCEDURE, [a_play(received=at(1), name="later"), a_play(name="first")])
    assert [one.at for one in happened] == sorted(one.at for one in happened)
    assert [one.flag for one in happened[:2]] == ["first", "later"]
