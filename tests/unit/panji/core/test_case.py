"""The state machine of a case: the table of its moves, checked over every combination, and what each move changes."""

from __future__ import annotations

import copy
import re
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
    a_correspondence,
    a_deadline_missed,
    a_decision,
    a_flag,
    a_question,
    a_statement,
    a_target_decision,
    a_withdrawal,
    an_acknowledgement,
    an_erasure,
    an_id,
)

from panji.core import case as cases
from panji.core.case import MOVES, Case, TargetStatus, legal_moves, open_case
from panji.core.statements import Body, ClarificationAnswer, Statement
from panji.core.vocabulary import (
    BY_THE_OPERATOR,
    OPENING,
    AcknowledgementLevel,
    CaseState,
    Category,
    Instrument,
    Kind,
    Outcome,
    RefusalReason,
    Role,
    SubCategory,
    TargetState,
    Urgency,
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
    """The case after a reply with this body; an answer to a question names it, all else names the flag."""
    names = {"in_reply_to": case.open_question} if isinstance(body, ClarificationAnswer) and case.open_question else {}
    return cases.apply(case, a_statement(body, **{**names, **frame}), digest, LATER)


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
    }
    for body in steps[state]:
        case = apply(case, body)
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
    )


def test_only_a_flag_opens_a_case_and_no_flag_is_a_reply() -> None:
    with pytest.raises(TypeError, match="only a flag opens a case"):
        open_case(a_statement(a_decision()), DIGEST, LATER)
    with pytest.raises(TypeError, match="a flag is no reply"):
        apply(a_case(), a_flag())
    with pytest.raises(TypeError, match="a directory_record is no reply"):
        apply(a_case(), a_body(Kind.DIRECTORY_RECORD))


# The table of moves

_ANSWERABLE = {"SUBMITTED", "RECEIVED", "UNDER_REVIEW", "CLARIFICATION_REQUESTED"}
LEGAL: set[tuple[str, str, str]] = {
    # (statement, by, while the case is), written out apart from the code
    *product(["acknowledgement"], ["platform"], ["SUBMITTED", "RECEIVED"]),
    *product(["clarification_request"], ["platform"], ["SUBMITTED", "RECEIVED", "UNDER_REVIEW"]),
    *product(["clarification_answer"], ["authority"], ["CLARIFICATION_REQUESTED"]),
    *product(["decision"], ["platform"], _ANSWERABLE),
    *product(["withdrawal"], ["authority"], _ANSWERABLE),
    *product(["correspondence"], ["authority", "platform"], _ANSWERABLE | {"DECIDED", "WITHDRAWN"}),
    *product(["deadline_missed"], ["operator"], ["SUBMITTED"]),
    *product(["erasure"], ["operator"], _ANSWERABLE | {"DECIDED", "WITHDRAWN", "ERASED"}),
}


@pytest.mark.parametrize(("kind", "by", "state"), list(product(REPLIES, Role, STATES)))
def test_who_may_say_what_when(kind: Kind, by: Role, state: CaseState) -> None:
    case = a_case_in(state)
    bodies: dict[Kind, Body] = {
        Kind.ACKNOWLEDGEMENT: an_acknowledgement(UNDER_REVIEW),
        Kind.DECISION: a_decision(1, 2),
    }
    body = bodies.get(kind, a_body(kind))
    sender, recipient = SIDES[by]
    if (kind.value, by.value, state.name) in LEGAL:
        assert apply(case, body, sender=sender, recipient=recipient).updated_at == LATER
        assert f"{kind} by {by}" in legal_moves(case)
    else:
        ever = any((kind.value, by.value, other.name) in LEGAL for other in STATES)
        refusal = refused(case, body, sender=sender, recipient=recipient)
        assert refusal.reason == (Reason.MOVE_NOT_ALLOWED if ever else Reason.NOT_A_PARTY)
        assert f"{kind} by {by}" not in legal_moves(case)


def test_the_table_in_words_says_the_same() -> None:
    """Reads the table of the module's documentation, so that nobody changes one and leaves the other."""
    order = [state.name for state in STATES]
    told: set[tuple[str, str, str]] = set()
    for statement, by, during, _ in re.findall(r"^(\w+) +(\w+) +(.+?)  +(.+)$", cases.__doc__ or "", re.MULTILINE):
        if statement not in REPLIES:
            continue
        roles = ["authority", "platform"] if by == "either" else [by]
        states = [state for state in order if not during.endswith(f"but {state}")]
        states = states if during.startswith("any") else during.split(", ")
        if "…" in during:
            first, last = during.split(" … ")
            states = order[order.index(first) : order.index(last) + 1]
        told |= set(product([statement], roles, states))
    assert told == LEGAL


def test_the_table_in_the_code_says_the_same() -> None:
    code = {
        (kind.value, role.value, state.name)
        for kind, (roles, states) in MOVES.items()
        for role, state in product(roles, states)
    }
    assert code == LEGAL


def test_a_move_at_the_wrong_time_says_what_would_be_legal() -> None:
    refusal = refused(a_case_in(CaseState.DECIDED), a_withdrawal())
    assert refusal.metadata == {
        "state": "DECIDED",
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


def test_a_late_answer_is_taken_and_the_case_stays_late() -> None:
    late = apply(a_case(), a_deadline_missed())
    assert apply(late, a_decision()).overdue_since == a_deadline_missed().due_at


def test_an_erased_case_is_over_for_both_sides() -> None:
    erased = apply(a_case_in(CaseState.CLARIFICATION_REQUESTED), an_erasure(), recipient=MINISTRY)
    assert (erased.state, erased.open_question) == (CaseState.ERASED, b"")
    assert apply(erased, an_erasure(), recipient=PLATFORM).state is CaseState.ERASED
    assert legal_moves(erased) == ["erasure by operator"]


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
    assert target.state is (TargetState.REFUSED if refusal else TargetState.ACTIONED)
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


# Any history


@st.composite
def replies(draw: st.DrawFn) -> list[tuple[Statement, bytes]]:
    """A history of up to twelve replies, legal and illegal, to a flag with three targets."""
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
    )
    history = []
    for number, said in enumerate(draw(st.lists(body, max_size=12)), 2):
        digest = bytes([number]) * 32
        answers = draw(st.sampled_from([DIGEST, bytes([number - 1]) * 32]))
        history.append((a_statement(said, id=an_id(number), in_reply_to=answers), digest))
    return history


@settings(max_examples=300)
@given(replies())
def test_no_history_loses_a_target_reopens_one_or_leaves_the_case_between_states(
    history: list[tuple[Statement, bytes]],
) -> None:
    case = a_case(targets=3)
    for statement, digest in history:
        before = copy.deepcopy(case)
        try:
            after = cases.apply(case, statement, digest, LATER)
        except RefusedError:
            assert case == before
            continue
        assert case == before
        assert len(after.targets) == 3
        for old, new in zip(before.targets, after.targets, strict=True):
            assert new == old or old.state is TargetState.OPEN
        open_ = [target for target in after.targets if target.state is TargetState.OPEN]
        assert bool(open_) == (after.state not in {CaseState.DECIDED, CaseState.WITHDRAWN})
        withdrawn = {target.state for target in after.targets} == {TargetState.WITHDRAWN}
        assert withdrawn == (after.state is CaseState.WITHDRAWN)
        assert bool(after.open_question) == (after.state is CaseState.CLARIFICATION_REQUESTED)
        assert after.level >= before.level
        identity = ("id", "flag_digest", "authority", "platform", "test", "instrument", "category", "opened_at")
        assert all(getattr(after, name) == getattr(before, name) for name in identity)
        case = after
