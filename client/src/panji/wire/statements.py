"""Statements: signed payload bytes to values and back.

The values of :mod:`panji.core.statements` have the field names of the messages, so one converter serves them all: it is
made once for each message from its descriptor and the dataclass's fields, and a mismatch fails at import.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from panji.core import statements, vocabulary
from panji.core.rules import MAX_ERASED, MAX_TARGETS
from panji.core.statements import KIND_OF, Statement
from panji.errors import InputError, MalformedError, Violation
from panji.v1 import statement_pb2
from panji.wire.times import to_datetime, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import IntEnum

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    Convert: TypeAlias = Callable[[Any], Any]

# No list of messages may be so long: the rules refuse it without the rest being read.
_ENOUGH = {"panji.v1.Erasure.statements": MAX_ERASED + 1}
_ENOUGH_ELSEWHERE = MAX_TARGETS + 1
_FRAME: dict[str, Any] = {"id": "", "exchange": "", "sender": "", "recipient": "", "language": "", "issued_at": None}


def peek(payload: bytes) -> tuple[str, str, str]:
    """Returns the id, the recipient and the case id that a payload names. Nothing is checked, so nothing is believed.

    Raises:
        MalformedError: The bytes are no Statement.
    """
    message = statement_pb2.Statement()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise MalformedError("the payload is no panji.v1.Statement") from error
    return message.id, message.recipient, message.case_id


def parse_statement(payload: bytes, *, strict: bool = True) -> Statement:
    """Returns the statement that a payload says. Verify its envelope first.

    Args:
        payload: The exact bytes that were signed.
        strict: Refuse fields that this version does not know. An exchange is strict, so that nobody is held to what it
            could not check; a recipient is not, so that a newer exchange's statements still reach it.

    Raises:
        MalformedError: The bytes are no Statement.
        InputError: The statement breaks its form; all violations are listed.
    """
    message = statement_pb2.Statement()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise MalformedError("the payload is no panji.v1.Statement") from error
    if strict:
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size:
            raise MalformedError("the payload has fields that this exchange does not know")
    kind = message.WhichOneof("body")
    if kind is None:
        raise InputError("The statement breaks its form", [Violation("body", "is required")])
    values = _FRAME.copy()
    for field, content in message.ListFields():
        name, read = _STATEMENT_READERS[field]
        values[name] = content if read is None else read(content)
    values["body"] = values.pop(kind)
    return Statement(**values)


def encode_statement(statement: Statement) -> bytes:
    """Returns the payload bytes of a statement: what is signed and travels."""
    arguments = _write(statement, _STATEMENT_WRITERS)
    arguments[statement.kind.value] = _TO_MESSAGE[type(statement.body)](statement.body)
    payload: bytes = statement_pb2.Statement(**arguments).SerializeToString(deterministic=True)
    return payload


# From messages to values: what reads each field, made once from the descriptors. No reader: the content is the value.


class _Known(dict[int, "IntEnum"]):
    """The members of a vocabulary by number. An unknown number stays an int, and the rules refuse it."""

    def __missing__(self, number: int) -> int:
        return number


def _readers(descriptor: Descriptor) -> dict[FieldDescriptor, tuple[str, Convert | None]]:
    return {field: (field.name, _reader(field)) for field in descriptor.fields}


def _reader(field: FieldDescriptor) -> Convert | None:
    read = _reader_of_one(field)
    if not field.is_repeated:
        return read
    enough = _ENOUGH.get(field.full_name, _ENOUGH_ELSEWHERE)
    return tuple if read is None else lambda contents: tuple(map(read, contents[:enough]))


def _reader_of_one(field: FieldDescriptor) -> Convert | None:
    if field.enum_type is not None:
        return _Known({int(member): member for member in getattr(vocabulary, field.enum_type.name)}).__getitem__
    if field.message_type is None:
        return None
    if field.message_type is Timestamp.DESCRIPTOR:
        return to_datetime
    return _TO_VALUE[getattr(statements, field.message_type.name)]


def _absent(field: FieldDescriptor) -> Any:
    """What an absent field of the message becomes, where the dataclass has no default of its own."""
    if field.is_repeated:
        return ()
    read = _reader_of_one(field)
    if field.message_type is None:
        return field.default_value if read is None else read(field.default_value)
    if field.message_type is Timestamp.DESCRIPTOR or read is None:
        return None
    return read(getattr(statement_pb2, field.message_type.name)())


def _to_value(body: type) -> Convert:
    descriptor = statement_pb2.DESCRIPTOR.message_types_by_name[body.__name__]
    fields = dataclasses.fields(body)
    if difference := {field.name for field in fields} ^ set(descriptor.fields_by_name):
        raise TypeError(f"{body.__name__} and its message differ in {difference}")
    readers = _readers(descriptor)
    absent = {
        field.name: _absent(descriptor.fields_by_name[field.name])
        for field in fields
        if field.default is dataclasses.MISSING
    }

    def convert(message: Message) -> Any:
        values = absent.copy()
        for field, content in message.ListFields():
            name, read = readers[field]
            values[name] = content if read is None else read(content)
        return body(**values)

    return convert


# From values to messages: what writes each field. No writer: the value is the content.


def _write(value: Any, writers: list[tuple[str, Convert | None]]) -> dict[str, Any]:
    arguments = {}
    for name, write in writers:
        content = getattr(value, name)
        if content:
            arguments[name] = content if write is None else write(content)
    return arguments


def _writers(descriptor: Descriptor) -> list[tuple[str, Convert | None]]:
    return [(field.name, _writer(field)) for field in descriptor.fields if field.containing_oneof is None]


def _writer(field: FieldDescriptor) -> Convert | None:
    if field.message_type is None:
        return None
    if field.message_type is Timestamp.DESCRIPTOR:
        return to_timestamp
    write = _TO_MESSAGE[getattr(statements, field.message_type.name)]
    return (lambda values: [write(value) for value in values]) if field.is_repeated else write


def _to_message(body: type) -> Convert:
    message: Callable[..., Message] = getattr(statement_pb2, body.__name__)
    writers = _writers(statement_pb2.DESCRIPTOR.message_types_by_name[body.__name__])
    return lambda value: message(**_write(value, writers))


_TO_VALUE: dict[type, Convert] = {}
_TO_MESSAGE: dict[type, Convert] = {}
for _type in (
    statements.LegalBasis,
    statements.ContentHash,
    statements.Target,
    statements.IssuingAuthority,
    statements.DecidingBody,
    statements.Evidence,
    statements.NonDisclosure,
    statements.BatchReference,
    statements.Question,
    statements.TargetDecision,
    statements.TargetVerification,
    statements.TargetReview,
    statements.TargetRestoration,
    statements.ErasedStatement,
    *KIND_OF,
):  # parts before the wholes that hold them
    _TO_VALUE[_type] = _to_value(_type)
    _TO_MESSAGE[_type] = _to_message(_type)
_STATEMENT_READERS = _readers(statement_pb2.Statement.DESCRIPTOR)
_STATEMENT_WRITERS = _writers(statement_pb2.Statement.DESCRIPTOR)
