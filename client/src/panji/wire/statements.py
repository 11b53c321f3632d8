"""Statements: signed payload bytes to values and back.

The values of :mod:`panji.core.statements` have the field names of the messages, so one converter serves them all: it is
made once for each message from its descriptor and the dataclass's fields, and a mismatch fails at import.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from panji.core import statements, vocabulary
from panji.core.statements import KIND_OF, Statement
from panji.errors import InputError, MalformedError, Violation
from panji.v1 import statement_pb2
from panji.wire.times import to_datetime, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import IntEnum

    from google.protobuf.descriptor import FieldDescriptor

_BODY_TYPES = {kind.value: body for body, kind in KIND_OF.items()}


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
    values: dict[str, Any] = {
        name: read(value) for name, read, value in _set_fields(message, _FRAME) if name not in _BODY_TYPES
    }
    frame = {"id": "", "exchange": "", "sender": "", "recipient": "", "language": "", "issued_at": None}
    return Statement(**(frame | values), body=_TO_VALUE[_BODY_TYPES[kind]](getattr(message, kind)))


def encode_statement(statement: Statement) -> bytes:
    """Returns the payload bytes of a statement: what is signed and travels."""
    message = statement_pb2.Statement(**_arguments(statement, skip="body"))
    getattr(message, statement.kind.value).CopyFrom(_to_message(statement.body))
    payload: bytes = message.SerializeToString(deterministic=True)
    return payload


# From messages to values: a table of readers for each message, made once from descriptors.


def _set_fields(message: Message, readers: dict[str, Callable[[Any], Any]]) -> Any:
    for descriptor, value in message.ListFields():
        name = descriptor.name
        yield name, readers[name], value


def _reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    one = _reader_of_one(field)
    if field.is_repeated:
        return (tuple) if one is _same else lambda values: tuple([one(value) for value in values])
    return one


def _reader_of_one(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.enum_type is not None:
        known: dict[int, IntEnum] = getattr(vocabulary, field.enum_type.name)._value2member_map_
        return lambda value: known.get(value, value)  # an unknown number stays an int, and the rules refuse it
    if field.message_type is None:
        return _same
    if field.message_type is Timestamp.DESCRIPTOR:
        return to_datetime
    return _TO_VALUE[getattr(statements, field.message_type.name)]


def _same(value: Any) -> Any:
    return value


def _zero(field: FieldDescriptor) -> Any:
    """What an absent field of the message becomes, where the dataclass has no default of its own."""
    if field.is_repeated:
        return ()
    if field.message_type is None:
        return _reader_of_one(field)(field.default_value)
    if field.message_type is Timestamp.DESCRIPTOR:
        return None
    name = field.message_type.name
    return _TO_VALUE[getattr(statements, name)](getattr(statement_pb2, name)())


def _converter(body: type) -> Callable[[Message], Any]:
    descriptor = statement_pb2.DESCRIPTOR.message_types_by_name[body.__name__]
    fields = {field.name for field in dataclasses.fields(body)}
    if fields != set(descriptor.fields_by_name):
        raise TypeError(f"{body.__name__} and its message differ in {fields ^ set(descriptor.fields_by_name)}")
    readers = {name: _reader(field) for name, field in descriptor.fields_by_name.items()}
    required = {
        field.name: _zero(descriptor.fields_by_name[field.name])
        for field in dataclasses.fields(body)
        if field.default is dataclasses.MISSING
    }

    def convert(message: Message) -> Any:
        values = required.copy()
        for field, value in message.ListFields():
            name = field.name
            values[name] = readers[name](value)
        return body(**values)

    return convert


_TO_VALUE: dict[type, Callable[[Message], Any]] = {}
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
    *KIND_OF,
):
    _TO_VALUE[_type] = _converter(_type)
_FRAME = {field.name: _reader(field) for field in statement_pb2.Statement.DESCRIPTOR.fields}


# From values to messages.


def _arguments(value: Any, skip: str = "") -> dict[str, Any]:
    return {
        field.name: _argument(item)
        for field in dataclasses.fields(value)
        if field.name != skip and (item := getattr(value, field.name)) is not None
    }


def _argument(item: Any) -> Any:
    if isinstance(item, tuple):
        return [_argument(one) for one in item]
    if dataclasses.is_dataclass(item):
        return _to_message(item)
    if hasattr(item, "tzinfo"):
        return to_timestamp(item)
    return item


def _to_message(value: Any) -> Message:
    message_type = getattr(statement_pb2, type(value).__name__)
    message: Message = message_type(**_arguments(value))
    return message
