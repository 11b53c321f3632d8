"""What a statement proves to anybody; the attacks on participants are in test_session.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.evidence import OPERATOR, Stage
from support.statements import (
    EXCHANGE,
    MINISTRY,
    PLATFORM,
    a_correspondence,
    a_counter_notice,
    a_decision,
    a_flag,
    a_statement,
    a_verification,
    a_verification_request,
    an_erased_statement,
)

from panji.core import envelope as dsse
from panji.core.checkpoint import open_checkpoint
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.statements import Erasure, LegalBasis
from panji.core.vocabulary import CaseState, Kind, VerificationResult
from panji.errors import DeliveryError, InputError, ReceiptError, SignatureError
from panji.trust import Trust, VerifiedCase, follow
from panji.wire.envelopes import encode_envelope
from panji.wire.statements import encode_statement

if TYPE_CHECKING:
    from panji.trust import Verified


def believed(stage: Stage, said: Verified, directory: Any = None) -> Verified:
    trust = Trust(EXCHANGE, directory or stage.directory)
    return trust.statement(said.envelope, said.receipt, open_checkpoint(said.receipt.checkpoint, stage.key))


def an_erasure() -> Erasure:
    return Erasure(
        legal_basis=LegalBasis(jurisdiction="ID", law="UU 27/2022"), reasons="So.", statements=(an_erased_statement(),)
    )


def test_what_the_operator_says_is_believed_of_the_operator_alone() -> None:
    stage = Stage()
    stage.flag()
    missed, _ = stage.missed()
    assert believed(stage, missed).statement == missed.statement
    record = stage.record()
    assert believed(stage, record).signers == record.signers


def test_a_platform_does_not_say_what_only_the_operator_says() -> None:
    stage = Stage()
    stage.flag()
    forgery = stage.reply(an_erasure(), sender=PLATFORM, recipient=MINISTRY)
    with pytest.raises(SignatureError, match="telegram is not the operator"):
        believed(stage, forgery)


def test_an_erasure_takes_two_persons_and_a_machine_is_none() -> None:
    stage = Stage()
    stage.flag()
    machine, first, second = (PrivateKeySigner.generate() for _ in range(3))
    stage.signers[OPERATOR] = [first, second, machine]
    directory = parse_directory(_automatic(stage, machine))
    two = stage.reply(an_erasure(), signers=[first, second], sender=OPERATOR, recipient=MINISTRY)
    assert len(believed(stage, two, directory).signers) == 2
    alone = stage.reply(an_erasure(), signers=[first, machine], sender=OPERATOR, recipient=MINISTRY)
    with pytest.raises(SignatureError, match="two persons"):
        believed(stage, alone, directory)


def _automatic(stage: Stage, machine: PrivateKeySigner) -> str:
    """The directory, with one key marked as a machine's: it is the last of the operator, who is the last of all."""
    assert stage.signers[OPERATOR][-1] is machine
    return stage.directory_text.rstrip() + "\nautomatic = true\n"


def test_a_case_is_followed_from_statements_that_anybody_verified() -> None:
    stage = Stage()
    flag = stage.flag()
    stage.missed()
    case = follow(flag.statement.id, [believed(stage, one) for one in stage.said])
    assert isinstance(case, VerifiedCase)
    assert case.flag.digest == flag.digest
    assert case.case.overdue_since is not None


def _followed(stage: Stage) -> VerifiedCase:
    return follow(stage.said[0].statement.id, stage.said)


def test_a_case_tells_how_it_stood_after_each_of_its_statements() -> None:
    stage = Stage()
    stage.flag(targets=tuple(a_flag(count=2).targets))
    question = stage.reply(a_verification_request(2))
    stage.reply(a_verification(2, result=VerificationResult.NOT_CONFIRMED), to=question)
    stage.reply(a_decision(1))
    case = _followed(stage)
    assert [one.state for one in case.history] == [
        CaseState.SUBMITTED,
        CaseState.VERIFICATION_REQUESTED,
        CaseState.RECEIVED,
        CaseState.DECIDED,
    ]
    assert case.history[-1] == case.case
    assert [one.updated_at for one in case.history] == [one.receipt.received_at for one in case.statements]
    assert case.find(question.digest) == question
    assert case.find(b"") is None


def test_what_a_statement_answers_follows_from_the_case() -> None:
    stage = Stage()
    flag = stage.flag()
    assert _followed(stage).answered_by(Kind.DECISION, PLATFORM) == flag
    letter = stage.reply(a_correspondence(), to=flag)
    assert _followed(stage).answered_by(Kind.DECISION, PLATFORM) == flag
    assert _followed(stage).answered_by(Kind.CORRESPONDENCE, MINISTRY) == letter
    stage.missed()  # the operator is answered by nobody
    assert _followed(stage).answered_by(Kind.CORRESPONDENCE, PLATFORM) == letter
    decision = stage.reply(a_decision())
    case = _followed(stage)
    assert case.answered_by(Kind.OBJECTION, MINISTRY) == case.answered_by(Kind.CORRECTION, PLATFORM) == decision
    assert case.answered_by(Kind.OBJECTION, PLATFORM) == case.answered_by(Kind.RESTORE_ORDER, MINISTRY) == flag
    notice = stage.reply(a_counter_notice(), to=decision)
    assert _followed(stage).answered_by(Kind.REVIEW, MINISTRY) == notice


def test_what_may_not_be_said_answers_nothing_and_what_may_is_told() -> None:
    stage = Stage()
    stage.flag()
    case = _followed(stage)
    with pytest.raises(InputError, match="no review by the authority while the case is SUBMITTED; the authority may"):
        case.answered_by(Kind.REVIEW, MINISTRY)
    with pytest.raises(InputError, match=r"no withdrawal by the platform .*; the platform may say: acknowledgement, "):
        case.answered_by(Kind.WITHDRAWAL, PLATFORM)
    with pytest.raises(InputError, match="operator is no side of the case"):
        case.answered_by(Kind.CORRESPONDENCE, OPERATOR)
    stage.reply(an_erasure(), sender=OPERATOR, recipient=MINISTRY)
    with pytest.raises(InputError, match="while the case is ERASED; nothing may be said by the platform"):
        _followed(stage).answered_by(Kind.CORRESPONDENCE, PLATFORM)


def test_a_receipt_for_another_kind_or_another_feed_is_refused() -> None:
    stage = Stage()
    stage.flag()
    letter = a_statement(a_correspondence(), sender=MINISTRY, recipient=PLATFORM)
    data = encode_envelope(dsse.sign(encode_statement(letter), stage.signers[MINISTRY]))
    for kind, recipient in (("flag", PLATFORM), ("correspondence", MINISTRY)):
        receipt = stage.log.append(dsse.digest(data), kind, recipient, 9, stage.now)
        with pytest.raises(ReceiptError):
            Trust(EXCHANGE, stage.directory).statement(data, receipt, open_checkpoint(receipt.checkpoint, stage.key))


@pytest.mark.parametrize("data", [b"\xff", encode_envelope(dsse.sign(b"\xff", [PrivateKeySigner.generate()]))])
def test_rubbish_in_the_log_is_told_as_that(data: bytes) -> None:
    stage = Stage()
    receipt = stage.log.append(dsse.digest(data), "flag", PLATFORM, 1, stage.now)
    with pytest.raises((DeliveryError, SignatureError)):
        Trust(EXCHANGE, stage.directory).statement(data, receipt, open_checkpoint(receipt.checkpoint, stage.key))
