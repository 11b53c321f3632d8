"""A reply that does not fit its case: to nothing, by nobody's right, about the wrong targets, or too late."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.exchange import METHOD_OF, METHODS, Letter, changed, directory_toml, serving
from support.statements import (
    a_body,
    a_clarification_answer,
    a_clarification_request,
    a_correction,
    a_correspondence,
    a_counter_notice,
    a_decision,
    a_flag,
    a_question,
    a_restoration,
    a_restore_order,
    a_review,
    a_target_decision,
    a_verification,
    a_verification_request,
    a_withdrawal,
    an_acknowledgement,
    an_id,
    an_objection,
    an_obstacle,
)

from panji.core.statements import ObstacleEnded
from panji.core.vocabulary import (
    BY_THE_OPERATOR,
    OPENING,
    AcknowledgementLevel,
    CaseState,
    Kind,
    Outcome,
    ReviewResult,
    Role,
    VerificationResult,
)
from panji.errors import Reason
from panji.v1 import case_pb2

if TYPE_CHECKING:
    from support.exchange import Running, Untouched, World

    from panji.core.statements import Body
    from panji.v1 import statement_pb2

REPLIES = sorted(set(Kind) - OPENING - BY_THE_OPERATOR)
BY_PLATFORM = [
    Kind.ACKNOWLEDGEMENT,
    Kind.CLARIFICATION_REQUEST,
    Kind.CORRECTION,
    Kind.CORRESPONDENCE,
    Kind.COUNTER_NOTICE,
    Kind.DECISION,
    Kind.OBJECTION,
    Kind.OBSTACLE,
    Kind.OBSTACLE_ENDED,
    Kind.RESTORATION,
    Kind.VERIFICATION_REQUEST,
]
BY_AUTHORITY = [
    Kind.CLARIFICATION_ANSWER,
    Kind.CORRESPONDENCE,
    Kind.RESTORE_ORDER,
    Kind.REVIEW,
    Kind.VERIFICATION,
    Kind.WITHDRAWAL,
]
LEVELS = (AcknowledgementLevel.RECEIVED, AcknowledgementLevel.UNDER_REVIEW)


@pytest.fixture
def flag(exchange: Running) -> Letter:
    """A flag of two targets, accepted."""
    return exchange["kominfo"].says(a_flag(count=2), "telegram")


def speaker(kind: Kind) -> str:
    return "telegram" if kind in BY_PLATFORM else "kominfo"


def state(exchange: Running, flag: Letter) -> CaseState:
    return CaseState(exchange["telegram"].case(flag).state)


# To nothing.


@pytest.mark.parametrize("kind", REPLIES)
def test_answer_to_a_digest_that_does_not_exist(
    exchange: Running, untouched: Untouched, flag: Letter, kind: Kind
) -> None:
    if kind is Kind.CLARIFICATION_ANSWER:
        exchange["telegram"].says(a_clarification_request(), flag)
    letter = exchange.world.voices[speaker(kind)].says(a_body(kind), flag, in_reply_to=b"\7" * 32)
    untouched.refuses(speaker(kind), letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)


@pytest.mark.parametrize("kind", REPLIES)
def test_answer_to_a_digest_of_another_case(exchange: Running, untouched: Untouched, flag: Letter, kind: Kind) -> None:
    other = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices[speaker(kind)].says(a_body(kind), flag, in_reply_to=other.digest)
    untouched.refuses(speaker(kind), letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)


def test_decision_that_answers_a_reply_instead_of_the_flag(
    exchange: Running, untouched: Untouched, flag: Letter
) -> None:
    reply = exchange["telegram"].says(an_acknowledgement(), flag)
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag, in_reply_to=reply.digest)
    untouched.refuses("telegram", letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)


def test_answer_to_the_flag_instead_of_the_question(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["telegram"].says(a_clarification_request(), flag)
    letter = exchange.world.voices["kominfo"].says(a_clarification_answer(), flag)
    untouched.refuses("kominfo", letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)


@pytest.mark.parametrize("kind", REPLIES)
def test_reply_in_a_case_that_does_not_exist(exchange: Running, untouched: Untouched, flag: Letter, kind: Kind) -> None:
    letter = exchange.world.voices[speaker(kind)].says(a_body(kind), flag, case_id=an_id(4711))
    untouched.refuses(speaker(kind), letter, Reason.CASE_NOT_FOUND)


def test_reply_in_a_case_that_is_named_by_a_replys_id(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    reply = exchange["telegram"].says(an_acknowledgement(), flag)
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag, case_id=reply.id)
    untouched.refuses("telegram", letter, Reason.CASE_NOT_FOUND, case=flag)


# By no right.


@pytest.mark.parametrize("kind", BY_PLATFORM)
def test_answer_by_a_platform_that_is_not_the_recipient(
    exchange: Running, untouched: Untouched, flag: Letter, kind: Kind
) -> None:
    letter = exchange.world.voices["whatsapp"].says(a_body(kind), flag, recipient="kominfo")
    untouched.refuses("whatsapp", letter, Reason.CASE_NOT_FOUND, case=flag)


@pytest.mark.parametrize("kind", BY_AUTHORITY)
def test_reply_by_an_authority_that_did_not_flag(
    exchange: Running, untouched: Untouched, flag: Letter, kind: Kind
) -> None:
    letter = exchange.world.voices["bssn"].says(a_body(kind), flag, recipient="telegram")
    untouched.refuses("bssn", letter, Reason.CASE_NOT_FOUND, case=flag)


def test_stranger_learns_nothing_from_how_it_is_refused(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    """A case that is there and one that is not: the same answer to the letter, in every way of asking."""
    voice, answers = exchange.world.voices["whatsapp"], []
    for case_id in (flag.id, an_id(4711)):
        letter = voice.says(an_acknowledgement(), flag, recipient="kominfo", case_id=case_id)
        by_reply = untouched.refuses("whatsapp", letter, Reason.CASE_NOT_FOUND)
        request = case_pb2.GetCaseRequest(case_id=case_id)
        by_asking = untouched.refuses_call("whatsapp", "GetCase", request, Reason.CASE_NOT_FOUND)
        answers.append([(one.code, one.status.message, dict(one.info.metadata)) for one in (by_reply, by_asking)])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("organisation", ["bssn", "whatsapp", "operator"])
def test_case_of_others_cannot_be_read(
    exchange: Running, untouched: Untouched, flag: Letter, organisation: str
) -> None:
    request = case_pb2.GetCaseRequest(case_id=flag.id)
    untouched.refuses_call(organisation, "GetCase", request, Reason.CASE_NOT_FOUND, case=flag)
    listed = exchange[organisation].call("ListCases", page_size=500, with_statements=True)
    assert flag.id not in [case.id for case in listed.cases]


@pytest.mark.parametrize("kind", BY_PLATFORM)
def test_reply_to_an_authority_that_did_not_flag(
    exchange: Running, untouched: Untouched, flag: Letter, kind: Kind
) -> None:
    letter = exchange.world.voices["telegram"].says(a_body(kind), flag, recipient="bssn")
    untouched.refuses("telegram", letter, Reason.WRONG_RECIPIENT, case=flag)


@pytest.mark.parametrize("kind", BY_AUTHORITY)
def test_authoritys_reply_to_another_platform(
    exchange: Running, untouched: Untouched, flag: Letter, kind: Kind
) -> None:
    letter = exchange.world.voices["kominfo"].says(a_body(kind), flag, recipient="whatsapp")
    untouched.refuses("kominfo", letter, Reason.WRONG_RECIPIENT, case=flag)


async def test_authority_that_has_become_a_platform_does_not_decide_its_own_flag(small_world: World) -> None:
    """The two sides of a case are what they were when it was opened."""
    directory = small_world.directory
    flag = small_world.voices["kominfo"].says(a_flag(), "telegram")
    async with serving(small_world) as exchange:
        await exchange.submit("kominfo", flag)
        swapped = changed(changed(directory, "kominfo", role=Role.PLATFORM), "telegram", role=Role.AUTHORITY)
        small_world.write_directory(directory_toml(replace(swapped, accreditations=())))
        await exchange.directory.reload()
        await exchange.directory.reload()
        decision = small_world.voices["kominfo"].says(a_decision(), flag)
        assert (await exchange.refused("kominfo", decision)).reason is Reason.NOT_A_PARTY
        assert exchange.size() == 1


# About the wrong targets.


def test_decision_that_leaves_a_target_out(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["telegram"].says(a_decision(1), flag)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"decision.targets": "2 is open and not decided here"}


def test_decision_that_names_a_target_twice(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.decision.targets[1].target = 1

    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag, alter=alter)
    refusal = untouched.refuses("telegram", letter, Reason.STATEMENT_INVALID, case=flag)
    assert refusal.violations == {"decision.targets": "name one target twice"}


def test_decision_that_names_a_target_that_is_not_there(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2, 3), flag)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"decision.targets": "3 is no open target of this case"}


@pytest.mark.parametrize("target", [0, 1001, 2**32 - 1])
def test_decision_that_names_a_target_that_no_flag_can_have(
    exchange: Running, untouched: Untouched, flag: Letter, target: int
) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.decision.targets[1].target = target

    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag, alter=alter)
    refusal = untouched.refuses("telegram", letter, Reason.STATEMENT_INVALID, case=flag)
    assert list(refusal.violations) == ["decision.targets[1].target"]


def test_decision_on_a_target_that_was_withdrawn(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["kominfo"].says(a_withdrawal(2), flag)
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag)
    untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    exchange["telegram"].says(a_decision(1), flag)


def test_question_about_a_target_that_is_not_there(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["telegram"].says(a_clarification_request(a_question(1), a_question(3)), flag)
    untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)


def test_withdrawal_of_a_target_that_is_not_there(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["kominfo"].says(a_withdrawal(1, 3), flag)
    untouched.refuses("kominfo", letter, Reason.TARGETS_MISMATCH, case=flag)


def test_withdrawal_of_one_target_twice(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["kominfo"].says(a_withdrawal(1), flag)
    letter = exchange.world.voices["kominfo"].says(a_withdrawal(1), flag)
    untouched.refuses("kominfo", letter, Reason.TARGETS_MISMATCH, case=flag)


def test_refusal_of_a_target_without_a_reason(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.decision.targets[1].ClearField("refusal")
        it.decision.targets[1].ClearField("explanation")

    body = a_decision(1, a_target_decision(2, Outcome.NO_ACTION))
    letter = exchange.world.voices["telegram"].says(body, flag, alter=alter)
    refusal = untouched.refuses("telegram", letter, Reason.STATEMENT_INVALID, case=flag)
    assert set(refusal.violations) == {"decision.targets[1].refusal", "decision.targets[1].explanation"}


# Too late, or out of turn.


def test_second_decision(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["telegram"].says(a_decision(1, 2), flag)
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag)
    refusal = untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    assert dict(refusal.info.metadata) == {
        "state": "DECIDED",
        "move": "decision",
        "legal": (
            "obstacle by platform, correction by platform, objection by authority, objection by platform, "
            "counter_notice by platform, restore_order by authority, "
            "correspondence by authority, correspondence by platform, erasure by operator"
        ),
    }


def test_two_decisions_at_once_of_which_one_is_refused(exchange: Running, flag: Letter) -> None:
    voice = exchange.world.voices["telegram"]
    envelopes = [voice.says(a_decision(1, 2), flag).envelope for _ in range(2)]
    results = exchange["telegram"].call("SubmitResponses", envelopes=envelopes).results
    assert [one.WhichOneof("result") for one in results] == ["receipt", "error"]
    assert len(exchange["telegram"].case(flag).statements) == 2


def test_decision_after_withdrawal(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["kominfo"].says(a_withdrawal(), flag)
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag)
    refusal = untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    assert refusal.info.metadata["state"] == "WITHDRAWN"


@pytest.mark.parametrize("targets", [(), (1,), (1, 2)], ids=["all", "one", "each"])
def test_withdrawal_of_decided_targets(
    exchange: Running, untouched: Untouched, flag: Letter, targets: tuple[int, ...]
) -> None:
    exchange["telegram"].says(a_decision(1, 2), flag)
    letter = exchange.world.voices["kominfo"].says(a_withdrawal(*targets), flag)
    untouched.refuses("kominfo", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


@pytest.mark.parametrize("first", LEVELS)
@pytest.mark.parametrize("second", LEVELS)
def test_acknowledgement_that_goes_back_a_level_or_stays(
    exchange: Running, untouched: Untouched, flag: Letter, first: AcknowledgementLevel, second: AcknowledgementLevel
) -> None:
    exchange["telegram"].says(an_acknowledgement(first), flag)
    letter = exchange.world.voices["telegram"].says(an_acknowledgement(second), flag)
    if second > first:
        exchange["telegram"].submit(letter)
        assert state(exchange, flag) is CaseState.UNDER_REVIEW
    else:
        untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_second_question_while_one_is_open(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    exchange["telegram"].says(a_clarification_request(), flag)
    letter = exchange.world.voices["telegram"].says(a_clarification_request(), flag)
    untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_answer_that_nobody_asked_for(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["kominfo"].says(a_clarification_answer(), flag)
    untouched.refuses("kominfo", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_second_answer_to_one_question(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    question = exchange["telegram"].says(a_clarification_request(), flag)
    exchange["kominfo"].says(a_clarification_answer(), question)
    letter = exchange.world.voices["kominfo"].says(a_clarification_answer(), question)
    untouched.refuses("kominfo", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_correspondence_is_welcome_even_after_the_decision(exchange: Running, flag: Letter) -> None:
    decision = exchange["telegram"].says(a_decision(1, 2), flag)
    exchange["kominfo"].says(a_correspondence(), decision)
    assert state(exchange, flag) is CaseState.DECIDED


@pytest.mark.parametrize("end", [(Kind.DECISION, a_decision(1, 2)), (Kind.WITHDRAWAL, a_withdrawal())])
def test_answer_after_the_case_was_closed(
    exchange: Running, untouched: Untouched, flag: Letter, end: tuple[Kind, Body]
) -> None:
    question = exchange["telegram"].says(a_clarification_request(), flag)
    kind, body = end
    exchange[speaker(kind)].says(body, flag)
    letter = exchange.world.voices["kominfo"].says(a_clarification_answer(), question)
    refusal = untouched.refuses("kominfo", letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    assert refusal.info.metadata["move"] == "clarification_answer"
    assert "correspondence by authority" in refusal.info.metadata["legal"]


# Out of turn in the procedure, about targets in another state, or in answer to something else.


@pytest.fixture
def decided(exchange: Running, flag: Letter) -> Letter:
    """The decision on a flag of two targets: the first removed, the second left."""
    return exchange["telegram"].says(a_decision(1, a_target_decision(2, Outcome.NO_ACTION)), flag)


@pytest.mark.parametrize("by", ["kominfo", "telegram"])
def test_review_by_the_side_that_objected(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter, by: str
) -> None:
    objection = exchange[by].says(an_objection(1), decided if by == "kominfo" else flag)
    letter = exchange.world.voices[by].says(a_review(1, result=ReviewResult.OVERTURNED), objection)
    refusal = untouched.refuses(by, letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    assert refusal.info.metadata["state"] == "OBJECTED"
    reviews = [one for one in refusal.info.metadata["legal"].split(", ") if one.startswith("review")]
    assert reviews == ["review by platform" if by == "kominfo" else "review by authority"]


def test_review_of_an_earlier_objection(exchange: Running, untouched: Untouched, decided: Letter, flag: Letter) -> None:
    first = exchange["kominfo"].says(an_objection(2), decided)
    exchange["telegram"].says(a_review(2), first)
    exchange["kominfo"].says(an_objection(1), decided)
    letter = exchange.world.voices["telegram"].says(a_review(1), first)
    untouched.refuses("telegram", letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)


def test_review_that_leaves_a_contested_target_out(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    objection = exchange["kominfo"].says(an_objection(), decided)
    letter = exchange.world.voices["telegram"].says(a_review(2), objection)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"review.targets": "1 is contested and not answered here"}


def test_second_objection_while_one_is_open(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    exchange["kominfo"].says(an_objection(2), decided)
    for body, to in ((a_counter_notice(1), decided), (an_objection(1), flag)):
        letter = exchange.world.voices["telegram"].says(body, to)
        untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_objection_to_an_older_decision(exchange: Running, untouched: Untouched, decided: Letter, flag: Letter) -> None:
    """The authority contests what it has read; meanwhile the platform has corrected that."""
    correction = exchange["telegram"].says(a_correction(2), decided)
    letter = exchange.world.voices["kominfo"].says(an_objection(2), decided)
    untouched.refuses("kominfo", letter, Reason.REPLY_TARGET_UNKNOWN, case=flag)
    exchange["kominfo"].says(an_objection(2), correction)


def test_objection_of_an_authority_to_a_target_that_is_not_decided(
    exchange: Running, untouched: Untouched, flag: Letter
) -> None:
    letter = exchange.world.voices["kominfo"].says(an_objection(), flag)
    refusal = untouched.refuses("kominfo", letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    assert "objection by platform" in refusal.info.metadata["legal"]


def test_counter_notice_on_a_refused_target(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    letter = exchange.world.voices["telegram"].says(a_counter_notice(2), decided)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"counter_notice.targets": "2 is no actioned target of this case"}


def test_verification_that_leaves_a_target_out(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    question = exchange["telegram"].says(a_verification_request(), flag)
    letter = exchange.world.voices["kominfo"].says(a_verification(1), question)
    refusal = untouched.refuses("kominfo", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"verification.targets": "2 is doubted and not answered here"}


def test_verification_that_does_not_confirm_and_does_not_say_why(
    exchange: Running, untouched: Untouched, flag: Letter
) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.verification.targets[0].ClearField("reasons")

    question = exchange["telegram"].says(a_verification_request(1), flag)
    body = a_verification(1, result=VerificationResult.NOT_CONFIRMED)
    letter = exchange.world.voices["kominfo"].says(body, question, alter=alter)
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID, case=flag)
    assert refusal.violations == {"verification.targets[0].reasons": "are required with NOT_CONFIRMED"}


def test_correction_of_an_undecided_target(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    objection = exchange["kominfo"].says(an_objection(2), decided)
    exchange["telegram"].says(a_review(2, result=ReviewResult.OVERTURNED), objection)
    letter = exchange.world.voices["telegram"].says(a_correction(1, 2), decided)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {
        "correction.targets": "2 is no actioned or refused or restored or not restored target of this case"
    }


def test_correction_before_any_decision(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    letter = exchange.world.voices["telegram"].says(a_correction(1), flag)
    untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)


def test_restoration_of_a_target_that_is_not_due(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    letter = exchange.world.voices["telegram"].says(a_restoration(1), flag)
    untouched.refuses("telegram", letter, Reason.MOVE_NOT_ALLOWED, case=flag)
    exchange["kominfo"].says(a_restore_order(1), flag)
    letter = exchange.world.voices["telegram"].says(a_restoration(1, 2), flag)
    refusal = untouched.refuses("telegram", letter, Reason.TARGETS_MISMATCH, case=flag)
    assert refusal.violations == {"restoration.targets": "2 is no restore due target of this case"}


def test_restore_order_for_a_target_that_was_refused(
    exchange: Running, untouched: Untouched, decided: Letter, flag: Letter
) -> None:
    letter = exchange.world.voices["kominfo"].says(a_restore_order(2), flag)
    untouched.refuses("kominfo", letter, Reason.TARGETS_MISMATCH, case=flag)


def test_obstacle_that_ends_and_was_none_or_another(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    voice = exchange.world.voices["telegram"]
    untouched.refuses("telegram", voice.says(ObstacleEnded(), flag), Reason.MOVE_NOT_ALLOWED, case=flag)
    cut = exchange["telegram"].says(an_obstacle(), flag)
    untouched.refuses("telegram", voice.says(an_obstacle(), flag), Reason.MOVE_NOT_ALLOWED, case=flag)
    untouched.refuses("telegram", voice.says(ObstacleEnded(), flag), Reason.REPLY_TARGET_UNKNOWN, case=flag)
    exchange["telegram"].says(ObstacleEnded(), cut)


@pytest.mark.parametrize(("kind", "by"), [(Kind.OBSTACLE, "kominfo"), (Kind.RESTORE_ORDER, "telegram")])
def test_move_of_the_other_side(exchange: Running, untouched: Untouched, flag: Letter, kind: Kind, by: str) -> None:
    letter = exchange.world.voices[by].says(a_body(kind), flag)
    untouched.refuses(by, letter, Reason.ROLE_NOT_ALLOWED, case=flag)


# Drills.


@pytest.mark.parametrize("kind", BY_PLATFORM)
def test_drill_answered_with_a_real_statement(exchange: Running, untouched: Untouched, kind: Kind) -> None:
    drill = exchange["kominfo"].says(a_flag(), "telegram", test=True)
    letter = exchange.world.voices["telegram"].says(a_body(kind), drill)
    untouched.refuses("telegram", letter, Reason.TEST_MARKER_MISMATCH, case=drill)


@pytest.mark.parametrize("kind", BY_PLATFORM)
def test_real_flag_answered_with_a_drill(exchange: Running, untouched: Untouched, flag: Letter, kind: Kind) -> None:
    letter = exchange.world.voices["telegram"].says(a_body(kind), flag, test=True)
    untouched.refuses("telegram", letter, Reason.TEST_MARKER_MISMATCH, case=flag)


def test_drill_is_never_listed_among_real_cases(exchange: Running) -> None:
    drill = exchange["kominfo"].says(a_flag(), "telegram", test=True)
    for organisation in ("kominfo", "telegram"):
        real = exchange[organisation].call("ListCases", page_size=500).cases
        drills = exchange[organisation].call("ListCases", page_size=500, test=True).cases
        assert drill.id not in [case.id for case in real]
        assert drill.id in [case.id for case in drills]
        assert all(case.test for case in drills)
        assert not any(case.test for case in real)


# Wrong doors.


@pytest.mark.parametrize("method", sorted(set(METHOD_OF.values()) - {"Decide"}))
def test_decision_sent_to_the_wrong_method(exchange: Running, untouched: Untouched, flag: Letter, method: str) -> None:
    letter = exchange.world.voices["telegram"].says(a_decision(1, 2), flag)
    untouched.refuses("telegram", letter, Reason.KIND_MISMATCH, method=method, case=flag)


@pytest.mark.parametrize(("method", "kind"), [("SubmitFlags", Kind.DECISION), ("SubmitResponses", Kind.WITHDRAWAL)])
def test_statement_sent_in_the_other_sides_batch(
    exchange: Running, untouched: Untouched, flag: Letter, method: str, kind: Kind
) -> None:
    letter = exchange.world.voices[speaker(kind)].says(a_body(kind), flag)
    head = exchange["operator"].head()
    (result,) = exchange[speaker(kind)].call(method, METHODS[method](envelopes=[letter.envelope])).results
    assert Reason.KIND_MISMATCH in str(result.error)
    assert exchange["operator"].head() == head
