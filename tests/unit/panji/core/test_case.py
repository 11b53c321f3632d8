"""The state machine of a case: the table of its moves, checked over every combination, and what each move changes."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.statements import (
    DIGEST,
    FLAG_ID,
    MINISTRY,
    NOON,
    OPERATOR,
    PLATFORM,
    REQUEST_DIGEST,
    STRANGER,
    a_body,
    a_case,
    a_clarification_answer,
    a_clarification_request,
    a_correction,
    a_correspondence,
    a_counter_notice,
    a_deadline_missed,
    a_deadline_near,
    a_decision,
    a_flag,
    a_question,
    a_restoration,
    a_restore_order,
    a_review,
    a_statement,
    a_target_decision,
    a_verification,
    a_verification_request,
    a_withdrawal,
    an_acknowledgement,
    an_erasure,
    an_escalation,
    an_objection,
    an_obstacle,
)

from panji.core import case as cases
from panji.core.case import Case, Clock, Stop, TargetStatus, legal_kinds, legal_moves, open_case
from panji.core.moves import MOVES
from panji.core.statements import (
    Body,
    ClarificationAnswer,
    Correction,
    CounterNotice,
    Objection,
    ObstacleEnded,
    Review,
    TargetRestoration,
    TargetReview,
    TargetVerification,
    Verification,
)
from panji.core.vocabulary import (
    BY_THE_OPERATOR,
    OPENING,
    TIMED,
    AcknowledgementLevel,
    CaseState,
    Category,
    Deadline,
    Instrument,
    Kind,
    Outcome,
    RefusalReason,
    RestorationResult,
    ReviewResult,
    Role,
    StopCause,
    SubCategory,
    TargetState,
    Urgency,
    VerificationResult,
)
from panji.errors import Reason, RefusedError

LATER = NOON + timedelta(hours=1)
OTHER_DIGEST = bytes(32)
STATES = [state for state in CaseState if state]
REPLIES = [kind for kind in Kind if kind not in OPENING]
BY_A_SIDE = [kind for kind in REPLIES if kind not in BY_THE_OPERATOR]
SIDES = {Role.AUTHORITY: (MINISTRY, PLATFORM), Role.PLATFORM: (PLATFORM, MINISTRY), Role.OPERATOR: (OPERATOR, MINISTRY)}
RECEIVED, UNDER_REVIEW = AcknowledgementLevel.RECEIVED, AcknowledgementLevel.UNDER_REVIEW


def apply(case: Case, body: Body, digest: bytes = REQUEST_DIGEST, **frame: Any) -> Case:
    """The case after a reply with this body, which names what such a reply answers: mostly the flag."""
    at = frame.pop("at", LATER)
    answered = b""
    if isinstance(body, ClarificationAnswer | Verification | Review):
        answered = case.open_question
    elif isinstance(body, ObstacleEnded):
        answered = case.obstacle
    elif isinstance(body, Correction | CounterNotice) or (
        isinstance(body, Objection) and frame.get("sender") == MINISTRY
    ):
        answered = case.decision
    names = {"in_reply_to": answered} if answered else {}
    return cases.apply(case, a_statement(body, **{**names, **frame}), digest, at)


BY_MINISTRY: dict[str, Any] = {"sender": MINISTRY, "recipient": PLATFORM}
BY_PLATFORM: dict[str, Any] = {"sender": PLATFORM, "recipient": MINISTRY}


def refused(case: Case, body: Body, **frame: Any) -> RefusedError:
    """The refusal of a reply; the case must be as it was."""
    before = copy.deepcopy(case)
    with pytest.raises(RefusedError) as caught:
        apply(case, body, **frame)
    assert case == before
    return caught.value


def a_case_in(state: CaseState, targets: int = 2) -> Case:
    """A case that has come to a state by legal moves."""
    case = a_case(targets=targets)
    steps: dict[CaseState, list[Body]] = {
        CaseState.SUBMITTED: [],
        CaseState.RECEIVED: [an_acknowledgement()],
        CaseState.UNDER_REVIEW: [an_acknowledgement(UNDER_REVIEW)],
        CaseState.CLARIFICATION_REQUESTED: [a_clarification_request()],
        CaseState.DECIDED: [a_decision(*range(1, targets + 1))],
        CaseState.WITHDRAWN: [a_withdrawal()],
        CaseState.ERASED: [an_erasure()],
        CaseState.VERIFICATION_REQUESTED: [a_verification_request()],
        CaseState.OBJECTED: [a_decision(*range(1, targets + 1)), an_objection(1)],
        CaseState.RESTORING: [a_decision(*range(1, targets + 1)), a_restore_order(1)],
    }
    for body in steps[state]:
        case = apply(case, body, **(BY_MINISTRY if isinstance(body, Objection) else {}))
    assert case.state is state
    return case


# Opening


def test_a_flag_opens_a_case_that_is_submitted_with_every_target_open() -> None:
    case = open_case(a_statement(a_flag(count=3), test=True), DIGEST, LATER)
    assert case == Case(
        id=FLAG_ID,
        flag_digest=DIGEST,
        authority=MINISTRY,
        platform=PLATFORM,
        test=True,
        instrument=Instrument.ORDER,
        category=Category.GAMBLING,
        sub_category=SubCategory.GAMBLING_PROMOTION,
        urgency=Urgency.ROUTINE,
        state=CaseState.SUBMITTED,
        targets=(TargetStatus(TargetState.OPEN),) * 3,
        opened_at=LATER,
        updated_at=LATER,
        clock=Clock(LATER),
    )


def test_only_a_flag_opens_a_case_and_no_flag_is_a_reply() -> None:
    with pytest.raises(TypeError, match="only a flag opens a case"):
        open_case(a_statement(a_decision()), DIGEST, LATER)
    with pytest.raises(TypeError, match="a flag is no reply"):
        apply(a_case(), a_flag())
    with pytest.raises(TypeError, match="a directory_record is no reply"):
        apply(a_case(), a_body(Kind.DIRECTORY_RECORD))


# The table of moves

_ANSWERABLE = {"SUBMITTED", "RECEIVED", "UNDER_REVIEW", "CLARIFICATION_REQUESTED", "VERIFICATION_REQUESTED"}
_UNASKED = {"SUBMITTED", "RECEIVED", "UNDER_REVIEW"}
_DECIDED = {"DECIDED", "RESTORING"}
LEGAL: set[tuple[str, str, str]] = {
    # (statement, by, while a case is as a_case_in makes it), written out apart from the code
    *product(["acknowledgement"], ["platform"], ["SUBMITTED", "RECEIVED"]),
    *product(["clarification_request", "verification_request"], ["platform"], _UNASKED),
    ("clarification_answer", "authority", "CLARIFICATION_REQUESTED"),
    ("verification", "authority", "VERIFICATION_REQUESTED"),
    *product(["obstacle"], ["platform"], _ANSWERABLE | _DECIDED | {"OBJECTED"}),
    *product(["decision"], ["platform"], _ANSWERABLE),
    *product(["withdrawal"], ["authority"], _ANSWERABLE),
    *product(["correction"], ["platform"], _DECIDED | {"OBJECTED"}),
    *product(["objection"], ["platform"], _UNASKED | _DECIDED),
    *product(["objection"], ["authority"], _DECIDED),
    *product(["counter_notice"], ["platform"], _DECIDED),
    ("review", "platform", "OBJECTED"),  # the authority has objected, so the platform reviews
    *product(["restore_order"], ["authority"], _DECIDED | {"OBJECTED"}),
    ("restoration", "platform", "RESTORING"),
    *product(["correspondence"], ["authority", "platform"], {state.name for state in STATES} - {"ERASED"}),
    *product(["deadline_near", "deadline_missed", "escalation"], ["operator"], _ANSWERABLE | {"RESTORING"}),
    *product(["erasure"], ["operator"], {state.name for state in STATES}),
}
NOW_AND_THEN = {("obstacle_ended", "platform"), ("review", "authority")}
"""Moves that no case as a_case_in makes it allows."""


@pytest.mark.parametrize(("kind", "by", "state"), list(product(REPLIES, Role, STATES)))
def test_who_may_say_what_when(kind: Kind, by: Role, state: CaseState) -> None:
    case = a_case_in(state)
    bodies: dict[Kind, Body] = {
        Kind.ACKNOWLEDGEMENT: an_acknowledgement(UNDER_REVIEW),
        Kind.DECISION: a_decision(1, 2),
        Kind.VERIFICATION: a_verification(1, 2),
        Kind.CORRECTION: a_correction(2),
        Kind.RESTORE_ORDER: a_restore_order(2),
    }
    body: Any = bodies.get(kind, a_body(kind))
    if kind in TIMED:
        owed = Deadline.RESTORED if state is CaseState.RESTORING else Deadline.DECIDED
        body = replace(body, deadline=owed)
    sender, recipient = SIDES[by]
    if (kind.value, by.value, state.name) in LEGAL:
        assert apply(case, body, sender=sender, recipient=recipient).updated_at == LATER
        assert f"{kind} by {by}" in legal_moves(case)
    else:
        ever = any((kind.value, by.value, other.name) in LEGAL for other in STATES)
        ever |= (kind.value, by.value) in NOW_AND_THEN
        refusal = refused(case, body, sender=sender, recipient=recipient)
        assert refusal.reason == (Reason.MOVE_NOT_ALLOWED if ever else Reason.NOT_A_PARTY)
        assert f"{kind} by {by}" not in legal_moves(case)


def test_the_table_has_every_move_and_none_that_is_never_legal() -> None:
    code = {(kind.value, role.value) for kind, move in MOVES.items() for role in move.by}
    assert code == {(kind, by) for kind, by, _ in LEGAL} | NOW_AND_THEN


def test_a_move_at_the_wrong_time_says_what_would_be_legal() -> None:
    refusal = refused(a_case_in(CaseState.WITHDRAWN), a_withdrawal())
    assert refusal.metadata == {
        "state": "WITHDRAWN",
        "move": "withdrawal",
        "legal": "correspondence by authority, correspondence by platform, erasure by operator",
    }


# Who speaks to whom


@pytest.mark.parametrize("kind", BY_A_SIDE)
def test_a_stranger_to_the_case_says_nothing_in_it(kind: Kind) -> None:
    refusal = refused(a_case(), a_body(kind), sender=STRANGER, recipient=MINISTRY)
    assert refusal.reason is Reason.NOT_A_PARTY


@pytest.mark.parametrize("kind", REPLIES)
def test_a_reply_that_the_other_side_would_never_see_is_refused(kind: Kind) -> None:
    refusal = refused(a_case_in(CaseState.SUBMITTED), a_body(kind), recipient=STRANGER)
    assert refusal.reason is Reason.WRONG_RECIPIENT


# The operator's statements


def test_a_deadline_is_stated_missed_to_each_side_and_once() -> None:
    late = apply(a_case(), a_deadline_missed(), recipient=PLATFORM)
    assert late.overdue_since == a_deadline_missed().due_at
    assert late.state is CaseState.SUBMITTED
    assert apply(late, a_deadline_missed(), recipient=MINISTRY) == late
    refusal = refused(late, a_deadline_missed(due_at=LATER))
    assert refusal.reason is Reason.MOVE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("state", "owed"),
    [
        (CaseState.SUBMITTED, {Deadline.ACKNOWLEDGED, Deadline.UNDER_REVIEW, Deadline.DECIDED}),
        (CaseState.RECEIVED, {Deadline.UNDER_REVIEW, Deadline.DECIDED}),
        (CaseState.UNDER_REVIEW, {Deadline.DECIDED}),
        (CaseState.CLARIFICATION_REQUESTED, {Deadline.UNDER_REVIEW, Deadline.DECIDED}),
        (CaseState.DECIDED, set()),
        (CaseState.RESTORING, {Deadline.RESTORED}),
        (CaseState.WITHDRAWN, set()),
        (CaseState.ERASED, set()),
    ],
)
def test_nothing_is_said_of_a_deadline_whose_answer_is_not_owed(state: CaseState, owed: set[Deadline]) -> None:
    case = a_case_in(state)
    for deadline in Deadline:
        if deadline:
            assert case.owes(deadline) == (deadline in owed)
            if deadline not in owed:
                assert refused(case, a_deadline_missed(deadline=deadline)).reason is Reason.MOVE_NOT_ALLOWED


def test_each_thing_is_said_once_of_a_deadline_and_to_each_side() -> None:
    near, later, step = a_deadline_near(), a_deadline_near(percent=80), an_escalation()
    case = a_case()
    for body in (near, later, step):
        for recipient in (PLATFORM, MINISTRY):
            case = apply(case, body, recipient=recipient)
    assert [(one.kind, one.number) for one in case.stated] == [
        (Kind.DEADLINE_NEAR, 50),
        (Kind.DEADLINE_NEAR, 80),
        (Kind.ESCALATION, 1),
    ]
    assert refused(case, replace(step, due_at=LATER)).reason is Reason.MOVE_NOT_ALLOWED


def test_a_clock_that_begins_anew_has_its_deadlines_before_it_again() -> None:
    missed = a_deadline_missed(deadline=Deadline.DECIDED)
    decided = apply(apply(a_case(), missed), a_decision(1))
    again = apply(objected(decided), a_review(1, result=ReviewResult.OVERTURNED), **BY_PLATFORM)
    assert [one.deadline for one in decided.stated] == [Deadline.DECIDED]
    assert again.stated == ()
    restoring = apply(a_case_in(CaseState.RESTORING), a_deadline_missed(deadline=Deadline.RESTORED))
    done = apply(restoring, a_restoration(1))
    assert apply(done, a_restore_order(2)).stated == ()


def test_what_is_left_of_an_erased_case_is_who_and_when_and_what_became_of_each_target() -> None:
    case = apply(apply(a_case(targets=2), a_verification_request(1)), a_deadline_missed(deadline=Deadline.DECIDED))
    erased = apply(case, an_erasure())
    assert erased.targets == a_case(targets=2).targets
    assert (erased.clock, erased.stated, erased.asked_by, erased.decision) == (Clock(case.opened_at), (), None, b"")


def test_a_late_answer_is_taken_and_the_case_stays_late() -> None:
    late = apply(a_case(), a_deadline_missed())
    assert apply(late, a_decision()).overdue_since == a_deadline_missed().due_at


def test_an_erased_case_is_over_for_both_sides() -> None:
    erased = apply(a_case_in(CaseState.CLARIFICATION_REQUESTED), an_erasure(), recipient=MINISTRY)
    assert (erased.state, erased.open_question) == (CaseState.ERASED, b"")
    assert apply(erased, an_erasure(), recipient=PLATFORM).state is CaseState.ERASED
    assert legal_moves(erased) == ["erasure by operator"]


def test_nobody_waits_for_anything_in_an_erased_case() -> None:
    """A list would else show for ever what is to be answered or restored in a case that has no content any more."""
    restoring = apply(a_case_in(CaseState.RESTORING), an_objection(2))
    stopped = apply(restoring, an_obstacle())
    assert (stopped.pending_targets, stopped.restore_since is None) == ((2,), False)
    erased = apply(stopped, an_erasure())
    assert (erased.pending_targets, erased.restore_since, erased.asked_by, erased.obstacle) == ((), None, None, b"")
    assert erased.clock.stopped_at is None
    assert [one.state for one in erased.targets] == [one.state for one in stopped.targets]
    assert apply(erased, an_erasure(), recipient=MINISTRY) == erased


def test_what_each_may_say_makes_up_the_legal_moves() -> None:
    for state in STATES:
        case = a_case_in(state)
        by_role = {f"{kind} by {role}" for role in Role for kind in legal_kinds(case, role)}
        assert by_role == set(legal_moves(case))


def test_each_side_of_a_case_has_its_name() -> None:
    assert (a_case().side(Role.AUTHORITY), a_case().side(Role.PLATFORM)) == (MINISTRY, PLATFORM)


@pytest.mark.parametrize("drill", [True, False])
def test_a_drill_is_answered_with_drills_and_a_real_case_never(drill: bool) -> None:
    case = a_case(test=drill)
    assert refused(case, a_decision(), test=not drill).reason is Reason.TEST_MARKER_MISMATCH
    assert apply(case, a_decision(), test=drill).state is CaseState.DECIDED


@pytest.mark.parametrize(
    "kind", [Kind.ACKNOWLEDGEMENT, Kind.DECISION, Kind.WITHDRAWAL, *sorted(BY_THE_OPERATOR & set(REPLIES))]
)
def test_an_answer_to_another_flag_does_not_pass_for_one_to_this(kind: Kind) -> None:
    assert refused(a_case(), a_body(kind), in_reply_to=OTHER_DIGEST).reason is Reason.REPLY_TARGET_UNKNOWN


def test_an_answer_to_an_earlier_question_does_not_pass_for_one_to_the_open_one() -> None:
    earlier, open_ = bytes([1]) * 32, bytes([2]) * 32
    case = apply(a_case(), a_clarification_request(), earlier)
    case = apply(apply(case, a_clarification_answer()), a_clarification_request(), open_)
    for digest in (earlier, DIGEST, OTHER_DIGEST):
        assert refused(case, a_clarification_answer(), in_reply_to=digest).reason is Reason.REPLY_TARGET_UNKNOWN
    assert apply(case, a_clarification_answer(), in_reply_to=open_).open_question == b""


# Acknowledging and asking


def test_a_platform_goes_up_a_level_but_never_back_and_never_says_one_twice() -> None:
    received = apply(a_case(), an_acknowledgement(RECEIVED))
    assert (received.state, received.level) == (CaseState.RECEIVED, RECEIVED)
    reviewed = apply(received, an_acknowledgement(UNDER_REVIEW))
    assert (reviewed.state, reviewed.level) == (CaseState.UNDER_REVIEW, UNDER_REVIEW)
    assert refused(received, an_acknowledgement(RECEIVED)).reason is Reason.MOVE_NOT_ALLOWED
    assert refused(reviewed, an_acknowledgement(RECEIVED)).reason is Reason.MOVE_NOT_ALLOWED
    assert refused(reviewed, an_acknowledgement(UNDER_REVIEW)).reason is Reason.MOVE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CaseState.SUBMITTED, CaseState.RECEIVED),  # whoever asks has received the flag
        (CaseState.RECEIVED, CaseState.RECEIVED),
        (CaseState.UNDER_REVIEW, CaseState.UNDER_REVIEW),
    ],
)
def test_an_answered_question_leads_back_to_where_the_case_was(before: CaseState, after: CaseState) -> None:
    asked = apply(a_case_in(before), a_clarification_request())
    assert (asked.state, asked.open_question) == (CaseState.CLARIFICATION_REQUESTED, REQUEST_DIGEST)
    answered = apply(asked, a_clarification_answer())
    assert (answered.state, answered.open_question) == (after, b"")


@pytest.mark.parametrize("level", [RECEIVED, UNDER_REVIEW])
def test_what_may_be_acknowledged_is_what_is_taken(level: AcknowledgementLevel) -> None:
    for state in set(STATES):
        case = a_case_in(state)
        try:
            apply(case, an_acknowledgement(level))
        except RefusedError:
            assert not case.may_acknowledge(level)
        else:
            assert case.may_acknowledge(level)


def test_open_targets_are_those_that_nobody_decided_or_took_back() -> None:
    case = apply(a_case(targets=3), a_withdrawal(2))
    assert case.open_targets == (1, 3)
    assert apply(case, a_decision(1, 3)).open_targets == ()


def test_a_platform_that_asked_does_not_acknowledge_receipt_afterwards() -> None:
    answered = apply(apply(a_case(), a_clarification_request()), a_clarification_answer())
    assert refused(answered, an_acknowledgement(RECEIVED)).reason is Reason.MOVE_NOT_ALLOWED
    assert apply(answered, an_acknowledgement(UNDER_REVIEW)).state is CaseState.UNDER_REVIEW


def test_a_question_is_about_targets_that_the_flag_has() -> None:
    case = apply(a_case(targets=3), a_withdrawal(3))
    assert apply(case, a_clarification_request(a_question(1, 2), a_question(3), a_question())).open_question
    refusal = refused(case, a_clarification_request(a_question(1), a_question(2, 4)))
    assert refusal.reason is Reason.TARGETS_MISMATCH
    assert [(one.field, one.description) for one in refusal.violations] == [
        ("clarification_request.questions", "4 is no target of this case")
    ]


# Deciding


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome])
def test_a_decided_target_is_actioned_unless_the_platform_refused_or_could_not_find_it(outcome: Outcome) -> None:
    decided = a_target_decision(1, outcome, territories=("ID",))
    target = apply(a_case(), a_decision(decided)).targets[0]
    refusal = outcome in {Outcome.NO_ACTION, Outcome.NOT_FOUND}
    done = TargetState.RESTORED if outcome is Outcome.RESTORED else TargetState.ACTIONED
    assert target.state is (TargetState.REFUSED if refusal else done)
    assert (target.outcome, target.refusal) == (outcome, decided.refusal)


def test_a_decision_closes_the_open_question_too() -> None:
    decided = apply(a_case_in(CaseState.CLARIFICATION_REQUESTED), a_decision(1, 2))
    assert (decided.state, decided.open_question) == (CaseState.DECIDED, b"")


def test_each_target_keeps_its_own_outcome_in_the_order_of_the_flag() -> None:
    refusal = a_target_decision(1, Outcome.NO_ACTION, refusal=RefusalReason.PROTECTED_EXPRESSION)
    case = apply(apply(a_case(targets=3), a_withdrawal(2)), a_decision(a_target_decision(3, Outcome.LABELLED), refusal))
    assert case.state is CaseState.DECIDED
    assert case.targets == (
        TargetStatus(TargetState.REFUSED, Outcome.NO_ACTION, RefusalReason.PROTECTED_EXPRESSION),
        TargetStatus(TargetState.WITHDRAWN),
        TargetStatus(TargetState.ACTIONED, Outcome.LABELLED),
    )


@pytest.mark.parametrize(
    ("named", "complaints"),
    [
        ([1], ["3 is open and not decided here"]),
        ([1, 2, 3], ["2 is no open target of this case"]),
        ([1, 3, 4], ["4 is no open target of this case"]),
        ([2, 4], ["1, 3 are open and not decided here", "2, 4 are no open target of this case"]),
    ],
    ids=["leaves one out", "names a withdrawn one", "names one that is not there", "all of it"],
)
def test_a_decision_is_on_all_open_targets_and_on_nothing_else(named: list[int], complaints: list[str]) -> None:
    refusal = refused(apply(a_case(targets=3), a_withdrawal(2)), a_decision(*named))
    assert refusal.reason is Reason.TARGETS_MISMATCH
    assert [one.description for one in refusal.violations] == complaints
    assert {one.field for one in refusal.violations} == {"decision.targets"}


def test_of_many_targets_left_out_a_refusal_names_the_first_twenty() -> None:
    refusal = refused(a_case(targets=1000), a_decision(1))
    (violation,) = refusal.violations
    assert violation.description.endswith("20, 21 and 979 more are open and not decided here")
    (violation,) = refused(a_case(targets=21), a_decision(1)).violations
    assert violation.description.endswith("20, 21 are open and not decided here")


# Withdrawing


def test_a_withdrawal_without_targets_takes_back_all_that_are_open() -> None:
    case = apply(apply(a_case(targets=3), a_withdrawal(2)), a_withdrawal())
    assert case.state is CaseState.WITHDRAWN
    assert {target.state for target in case.targets} == {TargetState.WITHDRAWN}


def test_withdrawing_some_targets_leaves_the_case_where_it_was() -> None:
    for state in (CaseState.SUBMITTED, CaseState.UNDER_REVIEW, CaseState.CLARIFICATION_REQUESTED):
        before = a_case_in(state)
        after = apply(before, a_withdrawal(2))
        assert after == replace(
            before, targets=(TargetStatus(), TargetStatus(TargetState.WITHDRAWN)), updated_at=after.updated_at
        )


def test_the_last_target_withdrawn_ends_the_case_and_its_question() -> None:
    case = apply(a_case_in(CaseState.CLARIFICATION_REQUESTED), a_withdrawal(2, 1))
    assert (case.state, case.open_question) == (CaseState.WITHDRAWN, b"")


@pytest.mark.parametrize("positions", [(2,), (1, 2), (4,)])
def test_only_open_targets_can_be_withdrawn(positions: tuple[int, ...]) -> None:
    refusal = refused(apply(a_case(targets=3), a_withdrawal(2)), a_withdrawal(*positions))
    assert refusal.reason is Reason.TARGETS_MISMATCH
    (violation,) = refusal.violations  # that others are left out is no fault of a withdrawal
    assert violation.field == "withdrawal.targets"
    assert violation.description.endswith("no open target of this case")


def test_correspondence_changes_nothing_but_the_time() -> None:
    for state in set(STATES) - {CaseState.ERASED}:
        case = a_case_in(state)
        assert apply(case, a_correspondence()) == replace(case, updated_at=LATER)


# Verifying its own flag


def test_an_authority_that_does_not_confirm_its_flag_has_withdrawn_the_target() -> None:
    asked = apply(a_case(targets=3), a_verification_request(1, 3))
    assert (asked.state, asked.pending_targets) == (CaseState.VERIFICATION_REQUESTED, (1, 3))
    doubtful = TargetVerification(target=3, result=VerificationResult.NOT_CONFIRMED, reasons="A news report.")
    confirmed = TargetVerification(target=1, result=VerificationResult.CONFIRMED)
    case = apply(asked, a_verification(doubtful, confirmed))
    assert (case.state, case.open_question, case.pending_targets) == (CaseState.RECEIVED, b"", ())
    assert case.open_targets == (1, 2)
    assert case.targets[2] == TargetStatus(TargetState.WITHDRAWN)


def test_a_flag_that_nobody_confirms_is_withdrawn() -> None:
    asked = apply(a_case(targets=2), a_verification_request())
    case = apply(asked, a_verification(1, 2, result=VerificationResult.NOT_CONFIRMED))
    assert case.state is CaseState.WITHDRAWN


@pytest.mark.parametrize(
    ("named", "complaint"), [((1,), "3 is doubted and not answered here"), ((1, 2, 3), "2 is no doubted target")]
)
def test_a_verification_answers_for_every_target_that_was_doubted_and_for_no_other(
    named: tuple[int, ...], complaint: str
) -> None:
    refusal = refused(apply(a_case(targets=3), a_verification_request(1, 3)), a_verification(*named))
    assert refusal.reason is Reason.TARGETS_MISMATCH
    assert complaint in refusal.violations[0].description


def test_what_was_doubted_and_then_withdrawn_needs_no_verification() -> None:
    asked = apply(a_case(targets=3), a_verification_request(1, 3))
    assert apply(asked, a_withdrawal(3)).pending_targets == (1,)
    ended = apply(asked, a_withdrawal(1, 3))
    assert (ended.state, ended.open_question, ended.asked_by) == (CaseState.RECEIVED, b"", None)


# Contesting


def objected(case: Case, *targets: int) -> Case:
    """The case after the authority contested what was decided."""
    return apply(case, an_objection(*targets), **BY_MINISTRY)


def test_a_platform_may_contest_the_flag_before_it_decides() -> None:
    case = apply(a_case(targets=2), an_objection(2))
    assert (case.state, case.asked_by, case.pending_targets) == (CaseState.OBJECTED, Role.PLATFORM, (2,))
    assert case.level is RECEIVED  # whoever contests a flag has received it
    fallen = apply(case, a_review(2, result=ReviewResult.OVERTURNED))
    assert (fallen.state, fallen.open_targets) == (CaseState.RECEIVED, (1,))
    assert fallen.targets[1].state is TargetState.WITHDRAWN
    stands = apply(case, a_review(2))
    assert (stands.state, stands.open_targets, stands.pending_targets) == (CaseState.RECEIVED, (1, 2), ())


def test_a_platform_that_decides_what_it_has_contested_has_given_in() -> None:
    case = apply(apply(a_case(targets=2), an_objection(2)), a_decision(1, 2))
    assert (case.state, case.open_question, case.asked_by) == (CaseState.DECIDED, b"", None)


@pytest.mark.parametrize("contest", [an_objection(1), a_counter_notice(1)], ids=["objection", "counter-notice"])
def test_a_flag_that_is_overturned_after_the_platform_acted_has_the_target_restored(contest: Body) -> None:
    case = apply(a_case_in(CaseState.DECIDED), contest)
    assert (case.state, case.pending_targets) == (CaseState.OBJECTED, (1,))
    overturned = apply(case, a_review(1, result=ReviewResult.OVERTURNED))
    assert (overturned.state, overturned.restore_since) == (CaseState.RESTORING, LATER)
    assert [one.state for one in overturned.targets] == [TargetState.RESTORE_DUE, TargetState.ACTIONED]
    upheld = apply(case, a_review(1))
    assert (upheld.state, upheld.restore_since) == (CaseState.DECIDED, None)
    assert upheld.targets == a_case_in(CaseState.DECIDED).targets


def test_a_decision_that_is_overturned_opens_the_target_again_with_all_of_its_time() -> None:
    refusal = a_target_decision(2, Outcome.NO_ACTION)
    decided = apply(a_case(targets=2), a_decision(a_target_decision(1), refusal))
    case = objected(decided, 2)
    assert (case.state, case.asked_by) == (CaseState.OBJECTED, Role.AUTHORITY)
    again = apply(case, a_review(2, result=ReviewResult.OVERTURNED), **BY_PLATFORM)
    assert (again.state, again.open_targets, again.clock) == (CaseState.UNDER_REVIEW, (2,), Clock(LATER))
    assert apply(again, a_decision(2)).state is CaseState.DECIDED
    assert apply(case, a_review(2), **BY_PLATFORM).targets == decided.targets


def test_nobody_reviews_his_own_objection() -> None:
    refusal = refused(objected(a_case_in(CaseState.DECIDED), 1), a_review(1), **BY_MINISTRY)
    assert refusal.reason is Reason.MOVE_NOT_ALLOWED
    assert "review by platform" in refusal.metadata["legal"]
    assert "review by authority" not in refusal.metadata["legal"]


def test_a_review_finds_something_of_every_target_that_was_contested() -> None:
    case = apply(a_case_in(CaseState.DECIDED), an_objection())
    refusal = refused(case, a_review(TargetReview(target=3, result=ReviewResult.UPHELD, reasons="Looked at again.")))
    assert [one.description for one in refusal.violations] == [
        "1, 2 are contested and not answered here",
        "3 is no contested target of this case",
    ]


def test_one_thing_is_contested_at_a_time() -> None:
    case = apply(a_case_in(CaseState.DECIDED), a_counter_notice(1))
    assert refused(case, an_objection(2)).reason is Reason.MOVE_NOT_ALLOWED


def test_what_is_contested_is_the_newest_decision() -> None:
    corrected = apply(a_case_in(CaseState.DECIDED), a_correction(1), bytes([9]) * 32)
    assert corrected.decision == bytes([9]) * 32
    stale = refused(corrected, an_objection(1), in_reply_to=REQUEST_DIGEST, **BY_MINISTRY)
    assert stale.reason is Reason.REPLY_TARGET_UNKNOWN


def test_a_refused_target_gives_the_user_nothing_to_object_to() -> None:
    case = apply(a_case(), a_decision(a_target_decision(1, Outcome.NO_ACTION)))
    assert refused(case, a_counter_notice()).reason is Reason.MOVE_NOT_ALLOWED


# Correcting and restoring


def test_a_correction_changes_what_it_names_and_nothing_else() -> None:
    mistaken = a_target_decision(2, Outcome.NO_ACTION)
    case = apply(a_case_in(CaseState.DECIDED), a_correction(mistaken))
    assert [one.state for one in case.targets] == [TargetState.ACTIONED, TargetState.REFUSED]
    taken_back = apply(case, a_correction(a_target_decision(1, Outcome.RESTORED)))
    assert [one.state for one in taken_back.targets] == [TargetState.RESTORED, TargetState.REFUSED]
    assert taken_back.state is CaseState.DECIDED


def test_a_correction_of_what_was_contested_ends_the_objection() -> None:
    case = apply(objected(a_case_in(CaseState.DECIDED), 1), a_correction(a_target_decision(1, Outcome.LABELLED)))
    assert (case.state, case.open_question) == (CaseState.DECIDED, b"")


def test_a_correction_that_changes_nothing_ends_no_objection() -> None:
    """Attack: a platform says the same again, and is spared the review."""
    before = objected(a_case_in(CaseState.DECIDED), 1)
    after = apply(before, a_correction(1))
    assert (after.state, after.open_question, after.pending_targets) == (CaseState.OBJECTED, before.open_question, (1,))


def test_only_what_is_decided_can_be_corrected() -> None:
    refusal = refused(a_case_in(CaseState.RESTORING), a_correction(1, 2))
    (violation,) = refusal.violations
    assert violation.field == "correction.targets"
    assert violation.description == "1 is no actioned or refused or restored or not restored target of this case"


def test_restoring_is_confirmed_per_target_and_may_take_several_statements() -> None:
    ordered = apply(a_case_in(CaseState.DECIDED, targets=3), a_restore_order())
    assert (ordered.state, ordered.restore_since) == (CaseState.RESTORING, LATER)
    later = LATER + timedelta(hours=1)
    some = apply(ordered, a_restoration(1, 3), at=later)
    assert (some.state, some.restore_since) == (CaseState.RESTORING, LATER)
    failed = TargetRestoration(target=2, result=RestorationResult.NOT_RESTORED, explanation="The account is gone.")
    done = apply(some, a_restoration(failed), at=later)
    assert (done.state, done.restore_since) == (CaseState.DECIDED, None)
    states = [one.state for one in done.targets]
    assert states == [TargetState.RESTORED, TargetState.NOT_RESTORED, TargetState.RESTORED]
    again = apply(done, a_restore_order(2), at=later)
    assert (again.state, again.restore_since) == (CaseState.RESTORING, later)


def test_what_is_not_to_be_restored_is_not_confirmed() -> None:
    refusal = refused(a_case_in(CaseState.RESTORING), a_restoration(1, 2))
    assert refusal.violations[0].description == "2 is no restore due target of this case"


# The clock


def test_the_clock_stands_still_while_the_platform_waits() -> None:
    case = apply(a_case(), a_clarification_request(), at=NOON + timedelta(hours=1))
    assert case.clock.stopped_at == NOON + timedelta(hours=1)
    waiting = apply(case, a_correspondence(), at=NOON + timedelta(hours=2))
    assert waiting.clock == case.clock
    answered = apply(waiting, a_clarification_answer(), at=NOON + timedelta(hours=3))
    stop = Stop(StopCause.QUESTION, NOON + timedelta(hours=1), NOON + timedelta(hours=3))
    assert answered.clock == Clock(a_case().opened_at, (stop,))


def test_the_clock_stands_still_until_the_last_reason_for_it_is_gone() -> None:
    hour = timedelta(hours=1)
    cut = apply(a_case(), an_obstacle(), bytes([7]) * 32, at=NOON + hour)
    assert (cut.state, cut.obstacle) == (CaseState.SUBMITTED, bytes([7]) * 32)
    asked = apply(cut, a_clarification_request(), at=NOON + 2 * hour)
    mended = apply(asked, ObstacleEnded(), at=NOON + 3 * hour)
    assert (mended.obstacle, mended.clock.stopped_at) == (b"", NOON + hour)
    answered = apply(mended, a_clarification_answer(), at=NOON + 4 * hour)
    assert answered.clock.stopped_at is None
    assert answered.clock.stops == (
        Stop(StopCause.OBSTACLE, NOON + hour, NOON + 3 * hour),
        Stop(StopCause.QUESTION, NOON + 2 * hour, NOON + 4 * hour),
    )


def test_since_when_the_clock_stands_still_is_told_across_causes_that_follow_one_another_without_a_gap() -> None:
    """The question stops it, an obstacle comes, the answer comes, another question: it has not gone in between."""
    hours = [NOON + timedelta(hours=number) for number in range(9)]
    question, obstacle = StopCause.QUESTION, StopCause.OBSTACLE
    stops = (
        Stop(question, hours[1], hours[2]),  # then it went on for an hour
        Stop(question, hours[3], hours[5]),
        Stop(obstacle, hours[4], hours[7]),
        Stop(question, hours[7]),
    )
    assert Clock(NOON, stops).stopped_at == hours[3]
    assert Clock(NOON, stops[:3]).stopped_at is None
    assert Clock(NOON, (*stops[:3], Stop(question, hours[8]))).stopped_at == hours[8]


def test_an_obstacle_ends_once_and_by_its_name() -> None:
    cut = apply(a_case(), an_obstacle(), bytes([7]) * 32)
    assert refused(cut, an_obstacle()).reason is Reason.MOVE_NOT_ALLOWED
    assert refused(cut, ObstacleEnded(), in_reply_to=DIGEST).reason is Reason.REPLY_TARGET_UNKNOWN
    assert refused(apply(cut, ObstacleEnded()), ObstacleEnded()).reason is Reason.MOVE_NOT_ALLOWED


def test_an_authority_that_objects_does_not_stop_the_clock() -> None:
    assert objected(a_case_in(CaseState.DECIDED)).clock.stopped_at is None


# Any history


@st.composite
def replies(draw: st.DrawFn) -> list[tuple[Body, str, str]]:
    """A history of up to twenty replies, legal and illegal, to a flag with three targets."""
    positions = st.lists(st.integers(1, 4), unique=True, max_size=4)
    decided = st.tuples(st.integers(1, 4), st.sampled_from([Outcome.REMOVED, Outcome.NO_ACTION, Outcome.NOT_FOUND]))
    body = st.one_of(
        st.sampled_from([RECEIVED, UNDER_REVIEW]).map(an_acknowledgement),
        st.just(a_clarification_request()),
        st.just(a_clarification_answer()),
        st.just(a_correspondence()),
        st.just(a_decision(1, 2, 3)),
        st.lists(decided, min_size=1, max_size=4, unique_by=lambda one: one[0]).map(
            lambda several: a_decision(*(a_target_decision(*one) for one in several))
        ),
        positions.map(lambda several: a_withdrawal(*several)),
        positions.map(lambda several: a_verification_request(*several)),
        positions.map(lambda several: a_verification(*several)),
        positions.map(lambda several: a_verification(*several, result=VerificationResult.NOT_CONFIRMED)),
        positions.map(lambda several: an_objection(*several)),
        positions.map(lambda several: a_counter_notice(*several)),
        positions.map(lambda several: a_review(*several)),
        positions.map(lambda several: a_review(*several, result=ReviewResult.OVERTURNED)),
        positions.map(lambda several: a_restore_order(*several)),
        positions.map(lambda several: a_restoration(*several)),
        positions.map(lambda several: a_correction(*several)),
        st.just(an_obstacle()),
        st.just(ObstacleEnded()),
    )
    sides = st.sampled_from([(MINISTRY, PLATFORM), (PLATFORM, MINISTRY)])
    return [(said, *draw(sides)) for said in draw(st.lists(body, max_size=20))]


STEPS = {
    # From and to where a target can go in one statement, written out apart from the code.
    TargetState.OPEN: {"WITHDRAWN", "ACTIONED", "REFUSED", "RESTORED"},
    TargetState.ACTIONED: {"RESTORE_DUE", "OPEN", "REFUSED", "RESTORED"},
    TargetState.REFUSED: {"OPEN", "ACTIONED", "RESTORED"},
    TargetState.RESTORED: {"OPEN", "ACTIONED", "REFUSED"},
    TargetState.NOT_RESTORED: {"OPEN", "ACTIONED", "REFUSED", "RESTORED", "RESTORE_DUE"},
    TargetState.RESTORE_DUE: {"RESTORED", "NOT_RESTORED"},
    TargetState.WITHDRAWN: set[str](),
}
ASKED = {CaseState.CLARIFICATION_REQUESTED, CaseState.VERIFICATION_REQUESTED, CaseState.OBJECTED}


@settings(max_examples=500)
@given(replies())
def test_no_history_loses_a_target_or_leaves_the_case_between_states(history: list[tuple[Body, str, str]]) -> None:
    case = a_case(targets=3)
    for number, (said, sender, recipient) in enumerate(history, 2):
        before = copy.deepcopy(case)
        at = LATER + timedelta(minutes=number)
        try:
            after = apply(case, said, bytes([number]) * 32, sender=sender, recipient=recipient, at=at)
        except RefusedError:
            assert case == before
            continue
        assert case == before
        assert len(after.targets) == 3
        for old, new in zip(before.targets, after.targets, strict=True):
            assert new.state is old.state or new.state.name in STEPS[old.state]
        states = {target.state for target in after.targets}
        asked = after.state in ASKED
        assert asked == bool(after.open_question) == (after.asked_by is not None)
        if not asked:
            open_, due = TargetState.OPEN in states, TargetState.RESTORE_DUE in states
            assert open_ == (after.state in {CaseState.SUBMITTED, CaseState.RECEIVED, CaseState.UNDER_REVIEW})
            assert (due and not open_) == (after.state is CaseState.RESTORING)
            assert (states == {TargetState.WITHDRAWN}) == (after.state is CaseState.WITHDRAWN)
            assert not after.pending_targets
        assert bool(after.pending_targets) <= asked
        assert (after.restore_since is not None) == (TargetState.RESTORE_DUE in states)
        waits = asked and after.asked_by is Role.PLATFORM
        assert (after.clock.stopped_at is not None) == (waits or bool(after.obstacle))
        assert all(stop.begins <= (stop.ends or at) <= at for stop in after.clock.stops)
        assert after.level >= before.level
        identity = ("id", "flag_digest", "authority", "platform", "test", "instrument", "category", "opened_at")
        assert all(getattr(after, name) == getattr(before, name) for name in identity)
        case = after
