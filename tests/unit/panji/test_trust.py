"""What a statement proves to anybody; the attacks on participants are in test_session.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.evidence import OPERATOR, Stage
from support.statements import EXCHANGE, MINISTRY, PLATFORM, a_correspondence, a_statement, an_erased_statement

from panji.core import envelope as dsse
from panji.core.checkpoint import open_checkpoint
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.statements import Erasure, LegalBasis
from panji.errors import DeliveryError, ReceiptError, SignatureError
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
