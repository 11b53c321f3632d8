"""Receipts and deliveries: bytes to values and back. Parsing proves nothing; that is the core's work."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.statements import DIGEST, NOON

from panji.core.checkpoint import MAX_SIZE
from panji.core.receipt import Receipt
from panji.errors import MalformedError
from panji.v1 import receipt_pb2
from panji.wire.receipts import (
    delivery_to_message,
    encode_receipt,
    parse_receipt,
    receipt_from_message,
    receipt_to_message,
)

RECEIPT = Receipt(
    digest=DIGEST,
    kind="flag",
    recipient="telegram",
    sequence=7,
    received_at=NOON,
    salt=bytes(16),
    index=12,
    proof=(DIGEST, bytes(32)),
    checkpoint="exchange.example/log\n13\n…\n",
)
words = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(0, MAX_SIZE)
receipts = st.builds(
    Receipt,
    digest=st.binary(),
    kind=words,
    recipient=words,
    sequence=numbers,
    received_at=st.datetimes(timezones=st.just(UTC)),
    salt=st.binary(),
    index=numbers,
    proof=st.lists(st.binary()).map(tuple),
    checkpoint=words,
)


@given(receipts)
def test_a_receipt_comes_back_as_it_was(receipt: Receipt) -> None:
    assert parse_receipt(encode_receipt(receipt)) == receipt
    assert receipt_from_message(receipt_to_message(receipt)) == receipt


def test_no_field_of_the_contract_is_forgotten() -> None:
    message = receipt_to_message(RECEIPT)
    assert {field.name for field, _ in message.ListFields()} == set(receipt_pb2.Receipt.DESCRIPTOR.fields_by_name)
    assert {field.name for field in fields(Receipt)} == set(receipt_pb2.Receipt.DESCRIPTOR.fields_by_name)


def test_a_delivery_is_the_senders_bytes_and_the_receipt() -> None:
    message = delivery_to_message(b"the very bytes", RECEIPT)
    assert message.envelope == b"the very bytes"
    assert receipt_from_message(message.receipt) == RECEIPT


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x20short", b"\x12\x01\xff"], ids=["tag", "truncated", "no UTF-8"])
def test_bytes_that_are_no_receipt_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"are no panji\.v1\.Receipt"):
        parse_receipt(data)


def test_a_receipt_of_no_time_is_malformed() -> None:
    message = receipt_to_message(RECEIPT)
    message.received_at.nanos = -1
    with pytest.raises(MalformedError, match="nanos"):
        parse_receipt(message.SerializeToString())


def test_a_time_of_receipt_finer_than_the_logs_is_malformed() -> None:
    """Cut off in silence, it would be a part of a receipt that anyone may change."""
    message = receipt_to_message(RECEIPT)
    message.received_at.nanos += 1
    with pytest.raises(MalformedError, match="whole microseconds"):
        parse_receipt(message.SerializeToString())


@pytest.mark.parametrize("field", ["sequence", "index"])
@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_place_that_no_log_can_have_is_malformed(field: str, number: int) -> None:
    message = receipt_to_message(RECEIPT)
    setattr(message, field, number)
    with pytest.raises(MalformedError, match="at most 9223372036854775807"):
        parse_receipt(message.SerializeToString())


@given(st.binary())
def test_any_bytes_at_all_are_a_receipt_or_malformed(data: bytes) -> None:
    try:
        parse_receipt(data)
    except MalformedError:
        return


@given(receipts, st.data())
def test_a_damaged_receipt_is_another_receipt_or_malformed(receipt: Receipt, data: st.DataObject) -> None:
    whole = bytearray(encode_receipt(receipt))
    if whole:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parse_receipt(bytes(whole))
    except MalformedError:
        return
