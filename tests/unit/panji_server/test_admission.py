"""Admission: each step's refusal, in the steps' order, and that nothing is parsed before it is verified."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.procedures import a_procedure, rule
from support.rooms import LATER, LONG_AGO, SIGNERS, a_directory, an_accreditation, an_organisation, signed
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    OPERATOR,
    PLATFORM,
    a_body,
    a_flag,
    a_statement,
    a_target,
    an_acknowledgement,
)

from panji.core import envelope as dsse
from panji.core.directory import KeyRecord, Threshold
from panji.core.envelope import Envelope, Signature
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.vocabulary import Kind
from panji.errors import RefusedError
from panji.v1 import statement_pb2
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.statements import encode_statement
from panji_server import admission
from panji_server.admission import Rules, admit

if TYPE_CHECKING:
    from panji.core.directory import Directory, Organisation
    from panji.core.procedure import Procedure
    from panji_server.sequencing import Admitted

RULES = Rules(EXCHANGE)
EVERY_KIND = frozenset(Kind)
FLAG = a_statement()
DATA = signed(FLAG)


def take(
    data: bytes,
    *,
    caller: Organisation | None = None,
    allowed: frozenset[Kind] = EVERY_KIND,
    directory: Directory | None = None,
    now: datetime = LATER,
    rules: Rules = RULES,
    procedure: Procedure | None = None,
) -> Admitted:
    who = caller or an_organisation()
    known = directory or a_directory(who)
    return admit(data, allowed, who, directory=known, now=now, rules=rules, procedure=procedure)


def refused(data: bytes, **changes: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        take(data, **changes)
    return caught.value


def sealed(payload: bytes, payload_type: str = dsse.PAYLOAD_TYPE) -> bytes:
    """Any payload, truly signed by the ministry."""
    return encode_envelope(dsse.sign(payload, [SIGNERS[MINISTRY]], payload_type))


def altered(**changes: Any) -> bytes:
    """The flag's message with fields that no value could have, truly signed."""
    message = statement_pb2.Statement.FromString(encode_statement(FLAG))
    for name, value in changes.items():
        setattr(message, name, value)
    return sealed(message.SerializeToString())


def test_what_passes_is_the_statement_its_very_bytes_and_their_digest() -> None:
    one = take(DATA)
    assert (one.statement, one.envelope, one.digest, one.received_at) == (FLAG, DATA, dsse.digest(DATA), LATER)


# 2 Size.


def test_an_envelope_of_the_largest_size_passes_and_one_byte_more_is_refused_unread() -> None:
    take(DATA, rules=replace(RULES, max_envelope_bytes=len(DATA)))
    refusal = refused(b"\xff" * 1000, rules=replace(RULES, max_envelope_bytes=999))
    assert refusal.reason == "PAYLOAD_TOO_LARGE"
    assert refusal.metadata == {"max_bytes": "999", "bytes": "1000"}


# 3 Signatures.


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ENVELOPE_MALFORMED"),
        (b"\xff\xff\xff", "ENVELOPE_MALFORMED"),
        (encode_envelope(Envelope(dsse.PAYLOAD_TYPE, b"x", ())), "ENVELOPE_MALFORMED"),
        (sealed(b"{}", "application/json"), "PAYLOAD_TYPE_UNKNOWN"),
        (sealed(b"{}", ""), "PAYLOAD_TYPE_UNKNOWN"),
        (sealed(b""), "PAYLOAD_EMPTY"),
        (encode_envelope(Envelope(dsse.PAYLOAD_TYPE, b"x", (Signature(b""),))), "SIGNATURE_INVALID"),
        (encode_envelope(Envelope(dsse.PAYLOAD_TYPE, b"x", (Signature(b"x" * 64),) * 17)), "ENVELOPE_MALFORMED"),
        (signed(FLAG, SIGNERS[PLATFORM]), "SIGNATURE_INVALID"),
        (signed(FLAG, PrivateKeySigner.generate()), "SIGNATURE_INVALID"),
    ],
    ids=[
        "no bytes", "no envelope", "no signature", "another type", "no type", "no payload", "an empty signature",
        "too many signatures", "another organisation's key", "nobody's key",
    ],
)  # fmt: skip
def test_an_envelope_that_is_none_or_is_not_the_callers_is_refused(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


@given(st.data())
def test_every_flipped_bit_of_payload_and_signature_is_refused(data: st.DataObject) -> None:
    """Attack: to change what was said on its way."""
    envelope = parse_envelope(DATA)
    in_payload = data.draw(st.booleans())
    part = bytearray(envelope.payload if in_payload else envelope.signatures[0].sig)
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    forged = (
        replace(envelope, payload=bytes(part))
        if in_payload
        else replace(envelope, signatures=(replace(envelope.signatures[0], sig=bytes(part)),))
    )
    assert refused(encode_envelope(forged)).reason == "SIGNATURE_INVALID"


def test_nothing_is_parsed_before_it_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: to reach a parser with bytes that nobody answers for."""

    def parse(_: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr(admission, "parse_statement", parse)
    assert refused(signed(FLAG, SIGNERS[PLATFORM])).reason == "SIGNATURE_INVALID"
    with pytest.raises(AssertionError):
        take(DATA)


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "passes"),
    [
        (LATER, None, True),
        (LATER + timedelta(microseconds=1), None, False),
        (LONG_AGO, LATER + timedelta(microseconds=1), True),
        (LONG_AGO, LATER, False),
    ],
    ids=["from now on", "not yet", "until now", "revoked now"],
)
def test_a_key_counts_at_the_time_of_receipt_only(
    valid_from: datetime, valid_until: datetime | None, passes: bool
) -> None:
    record = KeyRecord(SIGNERS[MINISTRY].public_key, valid_from, valid_until)
    caller = an_organisation(keys=(record,))
    if passes:
        take(DATA, caller=caller)
    else:
        assert refused(DATA, caller=caller).reason == "SIGNATURE_INVALID"


def test_four_eyes_are_two_distinct_keys_of_any_algorithm() -> None:
    second = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)
    keys = tuple(KeyRecord(one.public_key, LONG_AGO) for one in (SIGNERS[MINISTRY], second))
    caller = an_organisation(keys=keys, threshold=2)
    take(signed(FLAG, SIGNERS[MINISTRY], second), caller=caller)
    for too_few in (DATA, signed(FLAG, SIGNERS[MINISTRY], SIGNERS[MINISTRY])):
        refusal = refused(too_few, caller=caller)
        assert refusal.reason == "SIGNATURE_INVALID"
        assert refusal.metadata == {"organisation": MINISTRY, "threshold": "2"}


def test_four_eyes_are_asked_for_from_their_time_on() -> None:
    keys = tuple(KeyRecord(one.public_key, LONG_AGO) for one in (SIGNERS[MINISTRY], SIGNERS[PLATFORM]))
    for begins, passes in ((LATER + timedelta(microseconds=1), True), (LATER, False)):
        caller = an_organisation(keys=keys, thresholds=(Threshold(2, begins),))
        if passes:
            take(DATA, caller=caller)
        else:
            assert refused(DATA, caller=caller).reason == "SIGNATURE_INVALID"


def test_a_caller_whom_the_directory_has_lost_meanwhile_has_no_keys() -> None:
    assert refused(DATA, caller=an_organisation(id="gone"), directory=a_directory()).reason == "SIGNATURE_INVALID"


# 4 Form.


def test_a_signed_payload_that_is_no_statement_is_refused() -> None:
    assert refused(sealed(b"\xff\xff")).reason == "PAYLOAD_MALFORMED"
    unknown_field = encode_statement(FLAG) + b"\xfa\x3f\x01x"
    assert refused(sealed(unknown_field)).reason == "PAYLOAD_MALFORMED"


def test_all_violations_of_the_form_are_told_at_once_without_what_stood_there() -> None:
    refusal = refused(altered(id="not an id", language="not a language\n", recipient="NOBODY"))
    assert refusal.reason == "STATEMENT_INVALID"
    assert {one.field for one in refusal.violations} == {"id", "language", "recipient"}
    assert "NOBODY" not in repr(refusal.violations)


def test_a_statement_without_a_body_is_refused() -> None:
    message = statement_pb2.Statement.FromString(encode_statement(FLAG))
    message.ClearField("flag")
    assert [one.field for one in refused(sealed(message.SerializeToString())).violations] == ["body"]


def test_a_method_takes_its_own_kinds_only() -> None:
    refusal = refused(DATA, allowed=frozenset({Kind.WITHDRAWAL, Kind.CORRESPONDENCE}))
    assert refusal.reason == "KIND_MISMATCH"
    assert refusal.metadata == {"kind": "flag", "takes": "correspondence, withdrawal"}


def test_a_statement_for_another_exchange_is_refused() -> None:
    """Attack: to replay here what was signed for there."""
    refusal = refused(signed(a_statement(exchange="elsewhere.example/log")))
    assert refusal.reason == "WRONG_EXCHANGE"
    assert refusal.metadata == {"origin": EXCHANGE}


# 5 May they, and is it of today?


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (a_statement(sender="kemenkes"), "SENDER_MISMATCH"),
        (a_statement(an_acknowledgement(), sender=MINISTRY, recipient=PLATFORM), "ROLE_NOT_ALLOWED"),
        (a_statement(recipient="nobody"), "RECIPIENT_UNKNOWN"),
    ],
)
def test_what_the_caller_may_not_say_is_refused_though_truly_signed(statement: Any, reason: str) -> None:
    assert refused(signed(statement, SIGNERS[MINISTRY])).reason == reason


def test_a_flag_without_accreditation_is_refused() -> None:
    directory = a_directory(accreditations=[an_accreditation(valid_until=LATER)])
    assert refused(DATA, directory=directory).reason == "NOT_ACCREDITED"


@pytest.mark.parametrize(
    ("now", "passes"),
    [
        (NOON + RULES.issued_before, True),
        (NOON + RULES.issued_before + timedelta(microseconds=1), False),
        (NOON - RULES.issued_after, True),
        (NOON - RULES.issued_after - timedelta(microseconds=1), False),
    ],
    ids=["as old as may be", "too old", "as far ahead as may be", "too far ahead"],
)
def test_a_time_of_issue_far_off_is_refused(now: datetime, passes: bool) -> None:
    """Attack: to keep a statement back and submit it when it suits."""
    if passes:
        assert take(DATA, now=now).received_at == now
        return
    refusal = refused(DATA, now=now)
    assert refusal.reason == "ISSUE_TIME_OUT_OF_RANGE"
    assert refusal.metadata == {"received_at": now.isoformat(), "issued_at": NOON.isoformat()}


def test_of_several_faults_the_first_steps_is_told() -> None:
    """So that a stranger learns about signatures only, and never what the form or the directory say."""
    wrong_in_everything = a_statement(
        a_flag(targets=(a_target(),)), exchange="elsewhere.example/log", recipient="nobody"
    )
    forged = signed(wrong_in_everything, SIGNERS[PLATFORM])
    rules = replace(RULES, max_envelope_bytes=10)
    acknowledgements = frozenset({Kind.ACKNOWLEDGEMENT})
    late = NOON + timedelta(days=30)
    assert [
        refused(forged, rules=rules, allowed=acknowledgements, now=late).reason,
        refused(forged, allowed=acknowledgements, now=late).reason,
        refused(signed(wrong_in_everything), allowed=acknowledgements, now=late).reason,
        refused(signed(wrong_in_everything), now=late).reason,
        refused(signed(replace(wrong_in_everything, exchange=EXCHANGE)), now=late).reason,
        refused(DATA, now=late).reason,
    ] == [
        "PAYLOAD_TOO_LARGE", "SIGNATURE_INVALID", "KIND_MISMATCH", "WRONG_EXCHANGE", "RECIPIENT_UNKNOWN",
        "ISSUE_TIME_OUT_OF_RANGE",
    ]  # fmt: skip


# Four eyes.

SECOND = PrivateKeySigner.generate()
VOICE = PrivateKeySigner.generate()


def the_operator(*, threshold: int = 1) -> Organisation:
    """With two persons and a machine."""
    persons = (KeyRecord(one.public_key, LONG_AGO) for one in (SIGNERS[OPERATOR], SECOND))
    keys = (*persons, KeyRecord(VOICE.public_key, LONG_AGO, automatic=True))
    return an_organisation(OPERATOR, keys=keys, threshold=threshold)


@pytest.mark.parametrize(
    ("signers", "threshold", "passes"),
    [
        ((SIGNERS[OPERATOR], SECOND), 1, True),
        ((SIGNERS[OPERATOR], SECOND, VOICE), 3, False),
        ((SIGNERS[OPERATOR],), 1, False),
        ((SIGNERS[OPERATOR], SIGNERS[OPERATOR]), 1, False),
        ((SIGNERS[OPERATOR], VOICE), 1, False),
        ((VOICE,), 1, False),
        ((SIGNERS[OPERATOR], PrivateKeySigner.generate()), 1, False),
    ],
    ids=[
        "two persons", "fewer persons than the operator's own rule", "one person", "one person twice",
        "a person and the exchange", "the exchange alone", "a person and nobody",
    ],
)  # fmt: skip
def test_an_erasure_takes_two_persons(signers: tuple[PrivateKeySigner, ...], threshold: int, passes: bool) -> None:
    data = signed(a_statement(a_body(Kind.ERASURE)), *signers)
    caller = the_operator(threshold=threshold)
    if passes:
        assert take(data, caller=caller).statement.kind is Kind.ERASURE
    else:
        assert refused(data, caller=caller).reason == "SIGNATURE_INVALID"


def test_what_the_exchange_states_takes_its_own_key_only() -> None:
    data = signed(a_statement(a_body(Kind.DEADLINE_MISSED)), VOICE)
    assert take(data, caller=the_operator()).statement.kind is Kind.DEADLINE_MISSED


# 5 As the sides have agreed.

FOUR_EYES = a_procedure(rule("four-eyes", "approvals = { signatures = 2 }"))
COLLEAGUE = PrivateKeySigner.generate()


def ministry_with(*others: KeyRecord) -> Organisation:
    """The ministry, with further keys."""
    it = an_organisation()
    return replace(it, keys=(*it.keys, *others))


def both_sign(*signers: PrivateKeySigner) -> bytes:
    return encode_envelope(dsse.sign(encode_statement(FLAG), signers))


def test_a_flag_that_two_persons_have_signed_passes_where_the_procedure_asks_for_two() -> None:
    caller = ministry_with(KeyRecord(COLLEAGUE.public_key, LONG_AGO))
    take(both_sign(SIGNERS[MINISTRY], COLLEAGUE), caller=caller, procedure=FOUR_EYES)


def test_one_person_does_not_count_for_two() -> None:
    """Attack: to sign twice with one key, or with the key of a machine."""
    one = SIGNERS[MINISTRY]
    twice = both_sign(one, one)
    machine = ministry_with(KeyRecord(COLLEAGUE.public_key, LONG_AGO, automatic=True))
    assert refused(DATA, procedure=FOUR_EYES).reason == "APPROVALS_MISSING"
    assert refused(twice, procedure=FOUR_EYES).reason == "APPROVALS_MISSING"
    assert refused(both_sign(one, COLLEAGUE), caller=machine, procedure=FOUR_EYES).reason == "APPROVALS_MISSING"


def test_a_stranger_who_signs_as_well_approves_of_nothing() -> None:
    stranger = both_sign(SIGNERS[MINISTRY], PrivateKeySigner.generate())
    assert refused(stranger, procedure=FOUR_EYES).reason == "APPROVALS_MISSING"


def test_the_procedure_is_for_flags() -> None:
    reply = a_statement(an_acknowledgement())
    take(signed(reply), caller=an_organisation(PLATFORM), procedure=FOUR_EYES)
