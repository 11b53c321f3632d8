"""Cases as their parties read them."""

from __future__ import annotations

from datetime import timedelta

from support.statements import (
    DIGEST,
    FLAG_ID,
    MINISTRY,
    NOON,
    PLATFORM,
    REQUEST_DIGEST,
    a_case,
    a_decision,
    a_restore_order,
    a_statement,
    a_target_decision,
    a_withdrawal,
    an_objection,
)

from panji.core.case import apply
from panji.core.receipt import Receipt
from panji.core.vocabulary import Outcome
from panji.v1 import case_pb2, vocabulary_pb2
from panji.wire.cases import case_to_message
from panji.wire.receipts import receipt_from_message
from panji.wire.times import to_datetime

LATER = NOON + timedelta(hours=3)
REFUSAL = a_target_decision(3, Outcome.NO_ACTION)


def test_a_case_is_told_with_every_target_in_the_order_of_the_flag() -> None:
    case = apply(a_case(targets=3, test=True), a_statement(a_withdrawal(1), test=True), bytes(32), NOON)
    case = apply(case, a_statement(a_decision(a_target_decision(2), REFUSAL), test=True), bytes(32), LATER)
    message = case_to_message(case)
    assert (message.id, message.authority, message.platform, message.test) == (FLAG_ID, MINISTRY, PLATFORM, True)
    assert message.instrument == vocabulary_pb2.INSTRUMENT_ORDER
    assert message.category == vocabulary_pb2.CATEGORY_GAMBLING
    assert message.sub_category == vocabulary_pb2.SUB_CATEGORY_GAMBLING_PROMOTION
    assert message.urgency == vocabulary_pb2.URGENCY_ROUTINE
    assert message.state == vocabulary_pb2.CASE_STATE_DECIDED
    assert to_datetime(message.opened_at) == case.opened_at
    assert to_datetime(message.updated_at) == LATER
    assert list(message.targets) == [
        case_pb2.CaseTarget(target=1, state=vocabulary_pb2.TARGET_STATE_WITHDRAWN),
        case_pb2.CaseTarget(
            target=2, state=vocabulary_pb2.TARGET_STATE_ACTIONED, outcome=vocabulary_pb2.OUTCOME_REMOVED
        ),
        case_pb2.CaseTarget(
            target=3,
            state=vocabulary_pb2.TARGET_STATE_REFUSED,
            outcome=vocabulary_pb2.OUTCOME_NO_ACTION,
            refusal=vocabulary_pb2.REFUSAL_REASON_NOT_PROHIBITED,
        ),
    ]
    assert not message.statements


def test_it_is_told_who_waits_for_whom_and_since_when_what_stands_and_what_is_to_be_restored() -> None:
    message = case_to_message(a_case())
    assert message.asked_by == ""
    assert not message.HasField("clock_stopped_at")
    assert not message.HasField("restore_since")
    objected = apply(a_case(), a_statement(an_objection()), REQUEST_DIGEST, LATER)
    message = case_to_message(objected)
    assert (message.asked_by, message.targets[0].pending) == (PLATFORM, True)
    assert to_datetime(message.clock_stopped_at) == LATER
    decided = apply(a_case(), a_statement(a_decision()), REQUEST_DIGEST, NOON)
    due = case_to_message(apply(decided, a_statement(a_restore_order()), bytes(32), LATER))
    assert (to_datetime(due.restore_since), due.asked_by) == (LATER, "")
    contested = a_statement(an_objection(), sender=MINISTRY, recipient=PLATFORM, in_reply_to=REQUEST_DIGEST)
    message = case_to_message(apply(decided, contested, bytes(32), LATER))
    assert message.asked_by == MINISTRY
    assert not message.HasField("clock_stopped_at")


def test_a_case_comes_with_its_statements_where_they_are_wanted_in_the_order_given() -> None:
    receipts = [Receipt(DIGEST, "flag", PLATFORM, n, NOON, bytes(16), n, (), "note") for n in (1, 2)]
    message = case_to_message(a_case(), zip([b"flag", b"decision"], receipts, strict=True))
    assert [one.envelope for one in message.statements] == [b"flag", b"decision"]
    assert [receipt_from_message(one.receipt) for one in message.statements] == receipts
