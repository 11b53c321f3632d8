"""Erasing: what two persons sign, the file between them, and the places that are left."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.evidence import OPERATOR, Stage
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    PLATFORM,
    STRANGER,
    a_deadline_missed,
    a_statement,
    an_acknowledgement,
    an_id,
)

from panji import erasing
from panji.core import envelope as dsse
from panji.core.checkpoint import open_checkpoint
from panji.core.statements import ErasedStatement, Erasure, LegalBasis
from panji.core.vocabulary import CaseState
from panji.erasing import CaseOutline, StatementOutline
from panji.errors import DeliveryError, InputError, ProofError, ReceiptError, VerificationError
from panji.session import Session
from panji.trust import Erased, Trust
from panji.v1 import administration_service_pb2 as administration
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.statements import encode_statement

if TYPE_CHECKING:
    from panji.session import Signed
    from panji.trust import Verified

BASIS = LegalBasis(jurisdiction="ID", law="UU 27/2022", article="43")
CASE = an_id(1)
FIRST, SECOND = bytes(range(32)), bytes(range(1, 33))


def outline(**changes: Any) -> CaseOutline:
    statements = (
        StatementOutline(FIRST, "flag", MINISTRY, 1, PLATFORM, 4),
        StatementOutline(SECOND, "acknowledgement", PLATFORM, 2, MINISTRY, 7),
        StatementOutline(bytes(32), "deadline_missed", OPERATOR, 3, PLATFORM, 5),
    )
    fields = (CASE, MINISTRY, PLATFORM, False, CaseState.SUBMITTED, NOON, statements)
    return replace(CaseOutline(*fields), **changes)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def person(stage: Stage, *numbers: int) -> Session:
    """A person of the operator, with one key of its own."""
    while len(stage.signers[OPERATOR]) <= max(numbers):
        stage.signers[OPERATOR].append(type(stage.signers[OPERATOR][0]).generate())
    return Session(OPERATOR, stage.key, stage.directory, [stage.signers[OPERATOR][number] for number in numbers])


def prepared(session: Session, **changes: Any) -> list[Signed]:
    return erasing.erasures(session, outline(**changes), BASIS, "A court has ordered it.", reference="17", now=NOON)


# What is signed.


def test_each_side_is_told_what_the_sides_have_said_and_nothing_of_the_exchanges(stage: Stage) -> None:
    to_authority, to_platform = (one.statement for one in prepared(person(stage, 0)))
    assert (to_authority.recipient, to_platform.recipient) == (MINISTRY, PLATFORM)
    assert to_authority.body == to_platform.body
    assert isinstance(to_authority.body, Erasure)
    assert to_authority.body.statements == (
        ErasedStatement(digest=FIRST, index=1, recipient=PLATFORM, sequence=4),
        ErasedStatement(digest=SECOND, index=2, recipient=MINISTRY, sequence=7),
    )
    assert (to_authority.case_id, to_authority.in_reply_to, to_authority.test) == (CASE, FIRST, False)


def test_a_drill_is_erased_by_a_drill(stage: Stage) -> None:
    assert all(one.statement.test for one in prepared(person(stage, 0), test=True))


def test_the_second_person_signs_the_very_bytes_that_the_first_has_signed(stage: Stage) -> None:
    one, two = person(stage, 0), person(stage, 1)
    for first in prepared(one):
        both = two.cosign(first.envelope)
        before, after = parse_envelope(first.envelope), parse_envelope(both.envelope)
        assert after.payload == before.payload
        assert after.signatures[:1] == before.signatures
        assert len(after.signatures) == 2
        assert both.statement == first.statement
        assert both.signers == tuple(signature.keyid for signature in after.signatures)


def test_nobody_signs_twice_and_nobody_signs_for_others(stage: Stage) -> None:
    one = person(stage, 0)
    first = prepared(one)[0].envelope
    with pytest.raises(InputError, match="another person's is needed"):
        one.cosign(first)
    stranger = Session(PLATFORM, stage.key, stage.directory, stage.signers[PLATFORM])
    with pytest.raises(InputError, match="not those that we have signed"):
        stranger.cosign(first)
    claimed = replace(prepared(one)[0].statement, sender=PLATFORM, recipient=MINISTRY)
    with pytest.raises(InputError, match="not one of our organisation"):
        person(stage, 1).cosign(encode_envelope(dsse.sign(encode_statement(claimed), stage.signers[OPERATOR][:1])))


# The file.


def test_the_file_is_read_as_it_was_written_and_says_what_it_is_about(stage: Stage) -> None:
    session = person(stage, 0)
    statements = prepared(session)
    text = erasing.to_file(statements)
    assert erasing.from_file(text, session) == statements
    document = json.loads(text)
    assert (document["law"], document["statements_erased"]) == ("ID UU 27/2022 43", 2)


def test_what_the_file_says_in_plain_text_counts_for_nothing(stage: Stage) -> None:
    """Attack: another case, or milder words, shown to the second person than what is signed."""
    session = person(stage, 0)
    document = json.loads(erasing.to_file(prepared(session))) | {"case_id": an_id(9), "reasons": "Harmless."}
    (read, _) = erasing.from_file(json.dumps(document), session)
    assert read.statement.case_id == CASE


def _with(stage: Stage, name: str) -> dict[str, Any]:
    session = person(stage, 0)
    document: dict[str, Any] = json.loads(erasing.to_file(prepared(session)))
    one, two = document["envelopes"]
    letter = stage.flag()
    other = erasing.erasures(session, outline(id=an_id(5)), BASIS, "Another.", now=NOON)
    envelopes = {
        "one side twice": [one, one],
        "one side only": [one],
        "two cases": [one, base64.b64encode(other[1].envelope).decode()],
        "no erasure": [base64.b64encode(letter.envelope).decode()] * 2,
        "no statement": [one, base64.b64encode(b"\xff").decode()],
        "no base64": [one, "?"],
        "no list": 7,
        "whole": [one, two],
    }
    return document | {"envelopes": envelopes[name]}


@pytest.mark.parametrize(
    "name", ["one side twice", "one side only", "two cases", "no erasure", "no statement", "no base64", "no list"]
)
def test_a_file_that_is_no_erasure_to_both_sides_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(InputError):
        erasing.from_file(json.dumps(_with(stage, name)), person(stage, 0))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "another"}', "[" * 100_000])
def test_a_file_that_is_something_else_is_refused(stage: Stage, text: str) -> None:
    with pytest.raises(InputError):
        erasing.from_file(text, person(stage, 0))


# The outline.


def test_an_outline_is_read_and_one_that_is_none_is_refused() -> None:
    response: Any = administration.DescribeCaseResponse
    message = response(
        authority=MINISTRY,
        platform=PLATFORM,
        state=1,
        opened_at={"seconds": int(NOON.timestamp()), "nanos": NOON.microsecond * 1000},
        statements=[
            {"digest": FIRST, "kind": "flag", "sender": MINISTRY, "index": 1, "recipient": PLATFORM, "sequence": 4}
        ],
    )
    assert CaseOutline.of(CASE, message) == outline(statements=outline().statements[:1])
    changes: list[dict[str, Any]] = [{"state": 99}, {"opened_at": {"seconds": 2**60}}]
    for change in changes:
        wrong = response()
        wrong.CopyFrom(message)
        wrong.MergeFrom(response(**change))
        with pytest.raises(VerificationError, match="no outline"):
            CaseOutline.of(CASE, wrong)
    message.ClearField("statements")
    with pytest.raises(VerificationError, match="no statements"):
        CaseOutline.of(CASE, message)


def told(*statements: tuple[str, str, int, str, int], **changes: Any) -> CaseOutline:
    """The outline that an exchange tells: kind, sender, index, recipient and sequence of each statement."""
    names = ("kind", "sender", "index", "recipient", "sequence")
    response: Any = administration.DescribeCaseResponse
    fields = {"authority": MINISTRY, "platform": PLATFORM, "state": 1, "opened_at": {"seconds": 1777900000}, **changes}
    return CaseOutline.of(
        CASE,
        response(**fields, statements=[{"digest": FIRST, **dict(zip(names, one, strict=True))} for one in statements]),
    )


OPENED = ("flag", MINISTRY, 1, PLATFORM, 4)
ANSWERED = ("acknowledgement", PLATFORM, 5, MINISTRY, 7)
MISSED = [("deadline_missed", OPERATOR, 6, MINISTRY, 8), ("deadline_missed", OPERATOR, 7, PLATFORM, 9)]


def test_an_outline_with_everything_that_a_case_may_have_is_believed() -> None:
    letter = ("correspondence", MINISTRY, 8, PLATFORM, 10)
    assert [one.index for one in told(OPENED, ANSWERED, *MISSED, letter).said] == [1, 5, 8]


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        pytest.param(
            [OPENED, ("correspondence", STRANGER, 5, MINISTRY, 7)], "entry 5 is not between", id="a stranger's"
        ),
        pytest.param([OPENED, ("flag", MINISTRY, 5, STRANGER, 7)], "entry 5 is not between", id="to a stranger"),
        pytest.param([OPENED, ("flag", "other", 5, STRANGER, 7)], "entry 5 is not between", id="between strangers"),
        pytest.param([OPENED, ("correspondence", MINISTRY, 5, MINISTRY, 7)], "entry 5 is not", id="to oneself"),
        pytest.param(
            [OPENED, ("deadline_missed", OPERATOR, 5, STRANGER, 7)], "entry 5 is not", id="a stranger is told"
        ),
        pytest.param(
            [OPENED, ("deadline_missed", PLATFORM, 5, PLATFORM, 7)], "entry 5 is not", id="a side as operator"
        ),
        pytest.param([ANSWERED], "begin with something else than a flag", id="no flag first"),
        pytest.param([ANSWERED, OPENED], "begin with something else than a flag", id="the flag later"),
        pytest.param([("flag", STRANGER, 1, PLATFORM, 4)], "begin with something else", id="a stranger's flag"),
        pytest.param([("flag", PLATFORM, 1, MINISTRY, 4)], "begin with something else", id="the sides swapped"),
        pytest.param([OPENED, OPENED], "entry 1 of the case is not in the log's order", id="twice"),
        pytest.param(
            [OPENED, ("correspondence", MINISTRY, 0, PLATFORM, 5)], "entry 0 of the case", id="before the flag"
        ),
        pytest.param(
            [OPENED, ANSWERED, ("decision", PLATFORM, 4, MINISTRY, 8)], "entry 4 of the case", id="out of order"
        ),
        pytest.param(
            [OPENED, ("correspondence", MINISTRY, 5, PLATFORM, 4)], "entry 5 of the case", id="one number twice"
        ),
    ],
)
def test_two_persons_are_not_made_to_sign_what_is_no_case(statements: list[Any], why: str) -> None:
    """Attack: places of others' feeds mixed in, where the exchange would then hide what it likes as erased."""
    with pytest.raises(VerificationError, match=why):
        told(*statements)


def test_a_case_of_one_with_oneself_is_none() -> None:
    with pytest.raises(VerificationError, match="begin with something else"):
        told(("flag", MINISTRY, 1, MINISTRY, 4), platform=MINISTRY)


# The places that are left.


def erased(stage: Stage) -> tuple[Verified, Verified]:
    """A flag that was erased, and the erasure."""
    flag = stage.flag()
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=(place_of(flag),))
    person(stage, 1)
    return flag, stage.reply(body, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=PLATFORM)


def place_of(said: Verified, **changes: Any) -> ErasedStatement:
    it = said.receipt
    place = ErasedStatement(digest=it.digest, index=it.index, recipient=it.recipient, sequence=it.sequence)
    return replace(place, **changes)


def believed(stage: Stage, flag: Verified, erasure: Verified, **changes: Any) -> Erased:
    fields = {"salt": b"", **{name: value for name, value in changes.items() if name != "commitment"}}
    receipt = replace(flag.receipt, **fields)
    commitment = changes.get("commitment", flag.receipt.entry.commitment)
    checkpoint = open_checkpoint(receipt.checkpoint, stage.key)
    return Trust(EXCHANGE, stage.directory).erased(receipt, commitment, checkpoint, erasure)


def test_a_place_without_content_is_believed_with_an_erasure_that_names_it_only(stage: Stage) -> None:
    flag, erasure = erased(stage)
    found = believed(stage, flag, erasure)
    assert (found.receipt.index, found.erasure) == (flag.receipt.index, erasure)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"commitment": bytes(32)}, ProofError, "does not lead to the root"),
        ({"kind": "decision"}, ProofError, "does not lead to the root"),
        ({"received_at": NOON + timedelta(days=9)}, ProofError, "does not lead to the root"),
        ({"index": 7}, ProofError, "has no leaf 7"),
        ({"commitment": b"short"}, ReceiptError, "makes no entry"),
        ({"kind": "No Kind"}, ReceiptError, "makes no entry"),
        ({"digest": bytes(32)}, DeliveryError, "no erasure names it at this place"),
    ],
)
def test_a_place_that_is_not_in_the_log_or_not_the_one_that_was_erased_is_refused(
    stage: Stage, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    flag, erasure = erased(stage)
    with pytest.raises(error, match=message):
        believed(stage, flag, erasure, **changes)


def test_a_live_statement_is_not_hidden_under_the_digest_of_one_that_was_erased(stage: Stage) -> None:
    """Attack: a genuine erasure, and what it names shown in place of an answer that should not be seen."""
    flag, answer = stage.flag(), stage.reply(an_acknowledgement(), sender=PLATFORM, recipient=MINISTRY)
    person(stage, 1)
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=(place_of(flag),))
    erasure = stage.reply(body, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=PLATFORM)
    for lie in ({"digest": flag.digest}, {"digest": flag.digest, "recipient": PLATFORM, "sequence": 1}):
        with pytest.raises(DeliveryError, match="no erasure names it at this place"):
            believed(stage, answer, erasure, **lie)


@pytest.mark.parametrize("lie", [{"recipient": MINISTRY}, {"sequence": 2}])
def test_a_place_is_not_moved_into_another_feed_or_to_another_number(stage: Stage, lie: dict[str, Any]) -> None:
    """Attack: what was erased for one, shown to another where a live statement stands."""
    flag, erasure = erased(stage)
    with pytest.raises(DeliveryError, match="no erasure names it at this place"):
        believed(stage, flag, erasure, **lie)


def test_what_the_exchange_has_said_is_never_erased(stage: Stage) -> None:
    stage.flag()
    late = stage.reply(a_deadline_missed(), sender=OPERATOR, recipient=PLATFORM)
    person(stage, 1)
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=(place_of(late),))
    erasure = stage.reply(body, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=PLATFORM)
    with pytest.raises(DeliveryError, match="never erased"):
        believed(stage, late, erasure)


def test_another_statement_is_no_erasure(stage: Stage) -> None:
    flag, _ = erased(stage)
    with pytest.raises(DeliveryError, match="no erasure"):
        believed(stage, flag, stage.reply(an_acknowledgement(), sender=PLATFORM, recipient=MINISTRY))


def test_an_erasure_from_before_does_not_stand_for_what_came_later(stage: Stage) -> None:
    """Attack: to leave a statement out by an erasure that was logged before it. The digest would have to be known."""
    flag, erasure = erased(stage)
    early = replace(erasure, receipt=replace(erasure.receipt, index=0))
    with pytest.raises(DeliveryError, match="older"):
        believed(stage, flag, early)


def test_a_place_that_comes_with_its_salt_is_refused(stage: Stage) -> None:
    """Attack: the content is called gone, and what a guess at it can be tried with is given away."""
    flag, erasure = erased(stage)
    with pytest.raises(ReceiptError, match="still has the salt"):
        believed(stage, flag, erasure, salt=flag.receipt.salt)


@pytest.mark.parametrize("told", [PLATFORM, STRANGER, MINISTRY])
def test_a_place_of_a_third_ones_feed_is_not_believed_of_anothers_case(stage: Stage, told: str) -> None:
    """Attack: two persons have signed an outline into which the exchange had mixed a stranger's flag."""
    flag = stage.flag()
    strange = stage.put(a_statement(id=stage.an_id(), sender=MINISTRY, recipient=STRANGER))
    answer = stage.reply(an_acknowledgement(), sender=PLATFORM, recipient=MINISTRY)
    person(stage, 1)
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=tuple(map(place_of, (flag, strange, answer))))
    erasure = stage.reply(body, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=told)
    for said in (flag, strange, answer):
        with pytest.raises(DeliveryError, match="is not of one case"):
            believed(stage, said, erasure)


def test_an_erasure_that_tells_somebody_else_is_not_of_the_case(stage: Stage) -> None:
    flag, answer = stage.flag(), stage.reply(an_acknowledgement(), sender=PLATFORM, recipient=MINISTRY)
    person(stage, 1)
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=(place_of(flag), place_of(answer)))
    erasure = stage.reply(body, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=STRANGER)
    with pytest.raises(DeliveryError, match="is not of one case"):
        believed(stage, flag, erasure)


def test_an_erasure_answers_the_flag_that_it_names_first(stage: Stage) -> None:
    """Attack: the erasure of one case names a flag of another between the same two."""
    mine, other = stage.flag(), stage.flag()
    person(stage, 1)
    body = Erasure(legal_basis=BASIS, reasons="So.", statements=(place_of(other),))
    erasure = stage.reply(body, to=mine, signers=stage.signers[OPERATOR], sender=OPERATOR, recipient=PLATFORM)
    with pytest.raises(DeliveryError, match="is not of one case"):
        believed(stage, other, erasure)
