"""Statements over the wire: what was signed is what is read, and no bytes can do more than be refused."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from support import strategies
from support.statements import (
    DIGEST,
    FLAG_ID,
    MINISTRY,
    NOON,
    a_body,
    a_correspondence,
    a_flag,
    a_full_body,
    a_full_flag,
    a_statement,
    a_withdrawal,
    an_id,
)

from panji.core.rules import MAX_ERASED, MAX_TARGETS
from panji.core.vocabulary import Kind
from panji.errors import InputError, MalformedError, Violation
from panji.v1 import statement_pb2
from panji.wire import statements as wire
from panji.wire.statements import encode_statement, parse_statement, peek

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from panji.core.statements import Statement

FUTURE_FIELD = b"\xfa\x3e\x06future"  # number 1007, length-delimited
FUTURE_NUMBER = b"\xf8\x3e\x07"  # number 1007, varint


def message_of(statement: Statement) -> statement_pb2.Statement:
    return statement_pb2.Statement.FromString(encode_statement(statement))


def violations_in(message: Message) -> tuple[Violation, ...]:
    with pytest.raises(InputError) as caught:
        parse_statement(message.SerializeToString())
    return caught.value.violations


# There and back


@settings(max_examples=200)
@given(strategies.statements())
def test_any_statement_comes_back_as_it_was_signed(statement: Statement) -> None:
    payload = encode_statement(statement)
    assert parse_statement(payload) == statement
    assert encode_statement(parse_statement(payload)) == payload


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("make", [a_body, a_full_body])
def test_each_kind_comes_back_bare_and_full(kind: Kind, make: Any) -> None:
    statement = a_statement(make(kind), test=True)
    assert parse_statement(encode_statement(statement)) == statement


def test_no_field_of_the_contract_is_forgotten() -> None:
    """The full statements, written and read by the generated code, set every field of every message there is."""
    written: set[tuple[str, str]] = set()

    def note(message: Any) -> None:
        for field, content in message.ListFields():
            written.add((message.DESCRIPTOR.name, field.name))
            if field.message_type is not None:
                for one in content if field.is_repeated else [content]:
                    note(one)

    for kind in Kind:
        note(message_of(a_statement(a_full_body(kind), test=True)))
    contract = {
        (message.name, field.name)
        for message in statement_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }
    assert {pair for pair in written if pair[0] != "Timestamp"} == contract


def test_a_time_is_sent_in_utc_wherever_it_was_written() -> None:
    jakarta = timezone(timedelta(hours=7))
    statement = a_statement(issued_at=NOON.astimezone(jakarta))
    assert encode_statement(statement) == encode_statement(a_statement())
    assert parse_statement(encode_statement(statement)).issued_at.utcoffset() == timedelta(0)


def test_a_value_that_differs_from_its_message_fails_at_import() -> None:
    @dataclasses.dataclass
    class Withdrawal:
        reasons: str
        positions: tuple[int, ...] = ()

    with pytest.raises(TypeError, match="Withdrawal and its message differ in"):
        wire._to_value(Withdrawal)


# What is missing or wrong


def test_a_statement_that_says_nothing_is_refused() -> None:
    message = message_of(a_statement())
    message.ClearField("body")
    assert violations_in(message) == (Violation("body", "is required"),)
    assert violations_in(statement_pb2.Statement()) == (Violation("body", "is required"),)


@pytest.mark.parametrize("kind", Kind)
def test_an_empty_body_in_an_empty_frame_is_told_all_that_it_lacks(kind: Kind) -> None:
    message = statement_pb2.Statement()
    getattr(message, kind.value).SetInParent()
    found = violations_in(message)
    assert {"id", "exchange", "sender", "recipient", "issued_at", "language"} <= {one.field for one in found}
    if kind is not Kind.OBSTACLE_ENDED:  # which needs no words
        assert any(one.field.startswith(kind.value) for one in found)
    assert all("required" in one.description or "good_faith" in one.field for one in found)


def test_empty_parts_of_a_flag_are_told_all_that_they_lack() -> None:
    message = message_of(a_statement())
    for part in ("issuing_authority", "deciding_body", "non_disclosure", "batch"):
        message.flag.ClearField(part)
        getattr(message.flag, part).SetInParent()
    for parts in ("legal_basis", "targets", "evidence"):
        getattr(message.flag, parts).add()
    message.flag.targets[0].hashes.add()
    assert {one.field for one in violations_in(message)} == {
        "flag.issuing_authority.name",
        "flag.issuing_authority.kind",
        "flag.issuing_authority.jurisdiction",
        "flag.deciding_body.name",
        "flag.deciding_body.kind",
        "flag.non_disclosure.until",
        "flag.non_disclosure.reason",
        "flag.batch.id",
        "flag.batch.count",
        "flag.batch.position",
        "flag.legal_basis[1].jurisdiction",
        "flag.legal_basis[1].law",
        "flag.targets[0].hashes[0].algorithm",
        "flag.targets[0].hashes[0].value",
        "flag.targets[1].kind",
        "flag.targets[1]",
        "flag.evidence[0].sha256",
        "flag.evidence[0].description",
    }


@pytest.mark.parametrize("number", [999, -1, 2**31 - 1])
def test_a_number_that_a_vocabulary_does_not_have_is_refused_by_name(number: int) -> None:
    message: Any = message_of(a_statement())
    message.flag.instrument = number
    message.flag.targets[0].kind = number
    message.flag.requested_actions.append(number)
    message.flag.issuing_authority.kind = number
    assert violations_in(message) == (
        Violation("flag.instrument", "is no value of Instrument"),
        Violation("flag.requested_actions[1]", "is no value of RequestedAction"),
        Violation("flag.targets[0].kind", "is no value of TargetKind"),
        Violation("flag.issuing_authority.kind", "is no value of AuthorityKind"),
    )


@pytest.mark.parametrize(
    "instant", [Timestamp(seconds=2**60), Timestamp(nanos=-1), Timestamp(seconds=-62_135_596_801)], ids=str
)
@pytest.mark.parametrize("field", ["issued_at", "respond_by", "observed_at"])
def test_a_time_that_is_none_is_malformed_wherever_it_stands(field: str, instant: Timestamp) -> None:
    message = message_of(a_statement(a_full_flag()))
    place = {"issued_at": message, "respond_by": message.flag, "observed_at": message.flag.targets[0]}[field]
    getattr(place, field).CopyFrom(instant)
    with pytest.raises(MalformedError, match="timestamp"):
        parse_statement(message.SerializeToString())


def test_a_list_of_a_hundred_thousand_targets_is_refused_without_being_read() -> None:
    message = message_of(a_statement())
    for _ in range(100_000):
        message.flag.targets.add()
    payload = message.SerializeToString()
    before = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_statement(payload)
    assert caught.value.violations == (Violation("flag.targets", "are more than 1000"),)
    assert time.process_time() - before < 0.25


# What this version does not know


def nest(payload: bytes, path: str) -> bytes:
    """The payload with a field of the future in the message at a path."""
    message: Any = statement_pb2.Statement.FromString(payload)
    part = message
    for name in path.split():
        part = part[int(name)] if name.isdigit() else getattr(part, name)
    part.MergeFromString(FUTURE_FIELD)
    data: bytes = message.SerializeToString()
    return data


@pytest.mark.parametrize(
    "path",
    ["", "issued_at", "flag", "flag targets 0", "flag targets 1", "flag targets 0 hashes 0", "flag batch"],
)
def test_nobody_is_held_to_a_field_that_the_exchange_could_not_check(path: str) -> None:
    statement = a_statement(a_full_flag())
    payload = nest(encode_statement(statement), path)
    with pytest.raises(MalformedError, match="has fields that this exchange does not know"):
        parse_statement(payload)
    assert parse_statement(payload, strict=False) == statement


@pytest.mark.parametrize("extra", [FUTURE_FIELD, FUTURE_NUMBER, FUTURE_FIELD * 1000])
def test_an_unknown_field_is_found_whatever_its_type_and_place(extra: bytes) -> None:
    payload = encode_statement(a_statement())
    for data in (payload + extra, extra + payload):
        with pytest.raises(MalformedError):
            parse_statement(data)
        assert parse_statement(data, strict=False) == a_statement()


def test_an_unknown_field_does_not_hide_in_the_bytes_that_another_spelling_saves() -> None:
    """A list of numbers written one by one takes a byte less than packed: sizes alone would not tell."""
    payload = encode_statement(a_statement(a_withdrawal()))
    unpacked = b"\x8a\x01\x02\x08\x01"  # withdrawal { targets: 1 }, not packed
    assert parse_statement(payload + unpacked).body == a_withdrawal(1)
    with pytest.raises(MalformedError):
        parse_statement(payload + unpacked + b"\xf8\x3e\x00")


def test_of_two_bodies_the_last_counts_as_in_every_reader_of_protobuf() -> None:
    flag, letter = (encode_statement(a_statement(body)) for body in (a_flag(), a_correspondence()))
    both = statement_pb2.Statement.FromString(flag + letter)
    assert both.WhichOneof("body") == "correspondence"
    assert parse_statement(flag + letter).kind is Kind.CORRESPONDENCE


# No statement at all


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\x00\x01",  # field number zero
        b"\x0a\x24short",  # 36 bytes promised
        b"\x0a\x02\xc3\x28",  # an id that is no UTF-8
        b"\x0b" * 200,  # groups in groups
        b'{"id": "017..."}',
        b"-----BEGIN PUBLIC KEY-----",
    ],
    ids=ascii,
)
def test_bytes_that_are_no_statement_are_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError, match=r"is no panji\.v1\.Statement"):
        parse_statement(payload)


def test_an_empty_payload_is_a_statement_that_says_nothing() -> None:
    with pytest.raises(InputError, match="body: is required"):
        parse_statement(b"")


@given(st.binary())
def test_any_bytes_at_all_are_a_statement_or_refused(payload: bytes) -> None:
    for strict in (True, False):
        try:
            parse_statement(payload, strict=strict)
        except InputError:
            continue


@given(st.sampled_from(Kind), st.data())
def test_a_damaged_statement_is_another_statement_or_refused(kind: Kind, data: st.DataObject) -> None:
    payload = bytearray(encode_statement(a_statement(a_full_body(kind))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_statement(bytes(payload))
    except InputError:
        return


@pytest.mark.parametrize("kind", Kind)
def test_a_cut_statement_never_passes_for_the_whole(kind: Kind) -> None:
    payload = encode_statement(a_statement(a_full_body(kind), test=True))
    whole = parse_statement(payload)
    for length in range(len(payload)):
        try:
            assert parse_statement(payload[:length]) != whole
        except InputError:
            continue


def test_a_reply_that_answers_nothing_of_the_right_length_is_refused() -> None:
    message = message_of(a_statement(a_body(Kind.DECISION)))
    message.in_reply_to = DIGEST[:-1]
    assert violations_in(message) == (Violation("in_reply_to", "is no SHA-256 (32 bytes)"),)


# A look at what has not been verified.


def test_a_peek_sees_what_the_payload_names_whatever_else_is_wrong_with_it() -> None:
    assert peek(encode_statement(a_statement(a_body(Kind.DECISION)))) == (an_id(2), MINISTRY, FLAG_ID)
    assert peek(statement_pb2.Statement(id="x", recipient="y").SerializeToString()) == ("x", "y", "")
    with pytest.raises(MalformedError):
        peek(b"\xff")


@pytest.mark.parametrize(("kind", "most"), [(Kind.FLAG, MAX_TARGETS), (Kind.ERASURE, MAX_ERASED)])
def test_of_a_list_that_is_too_long_no_more_is_read_than_shows_it(kind: Kind, most: int) -> None:
    """Attack: a list of a million messages, each of which costs more to read than to send."""
    message = statement_pb2.Statement.FromString(encode_statement(a_statement(a_body(kind))))
    parts: Any = message.flag.targets if kind is Kind.FLAG else message.erasure.statements
    parts.extend([parts[0]] * (most + 10))
    with pytest.raises(InputError, match=f"are more than {most}"):
        parse_statement(message.SerializeToString())
    descriptor = type(message.flag if kind is Kind.FLAG else message.erasure).DESCRIPTOR
    name = "targets" if kind is Kind.FLAG else "statements"
    read = wire._reader(descriptor.fields_by_name[name])
    assert read is not None
    assert len(read(parts)) == most + 1
