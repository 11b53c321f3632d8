"""Receipts and deliveries: messages to values and back."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from panji.core.checkpoint import MAX_SIZE
from panji.core.receipt import Receipt
from panji.errors import MalformedError
from panji.v1 import receipt_pb2
from panji.wire.times import fill_timestamp, to_datetime


def fill_receipt(message: receipt_pb2.Receipt, receipt: Receipt) -> None:
    """Writes a receipt into a message that is there already: a thousand of them in an answer are not copied."""
    message.digest = receipt.digest
    message.kind = receipt.kind
    message.recipient = receipt.recipient
    message.sequence = receipt.sequence
    fill_timestamp(message.received_at, receipt.received_at)
    message.salt = receipt.salt
    message.index = receipt.index
    message.proof.extend(receipt.proof)
    message.checkpoint = receipt.checkpoint


def receipt_to_message(receipt: Receipt) -> receipt_pb2.Receipt:
    """Returns the message of a receipt."""
    message = receipt_pb2.Receipt()
    fill_receipt(message, receipt)
    return message


def receipt_from_message(message: receipt_pb2.Receipt) -> Receipt:
    """Returns the receipt that a message says. Nothing is verified by this.

    Raises:
        MalformedError: The time of receipt is out of range, or finer than the log's entries have it; or the sequence or
            the index is one that no log can have.
    """
    if max(message.sequence, message.index) > MAX_SIZE:
        raise MalformedError(f"a sequence and an index are at most {MAX_SIZE}")
    received_at = to_datetime(message.received_at)
    if message.received_at.nanos % 1000:
        raise MalformedError("a time of receipt is in whole microseconds")
    return Receipt(
        digest=message.digest,
        kind=message.kind,
        recipient=message.recipient,
        sequence=message.sequence,
        received_at=received_at,
        salt=message.salt,
        index=message.index,
        proof=tuple(message.proof),
        checkpoint=message.checkpoint,
    )


def encode_receipt(receipt: Receipt) -> bytes:
    """Returns a receipt as bytes, for a file or a database."""
    data: bytes = receipt_to_message(receipt).SerializeToString(deterministic=True)
    return data


def parse_receipt(data: bytes) -> Receipt:
    """Returns the receipt that the bytes are. Nothing is verified by this.

    Raises:
        MalformedError: They are no ``panji.v1.Receipt``.
    """
    message = receipt_pb2.Receipt()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedError("the bytes are no panji.v1.Receipt") from error
    return receipt_from_message(message)


def delivery_to_message(envelope: bytes, receipt: Receipt) -> receipt_pb2.Delivery:
    """Returns a statement as it is delivered: the sender's bytes and the exchange's proof."""
    delivery = receipt_pb2.Delivery(envelope=envelope)
    fill_receipt(delivery.receipt, receipt)
    return delivery
