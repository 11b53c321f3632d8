"""Audit events: what happened, for machines first. One JSON object a line, a stable name and schema per event.

:data:`EVENTS` is the schema; the documentation is made from it and a test holds every event emitted to it. No event
carries content of a statement, or a secret.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import SEEK_END
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_CALL = ("request_id", "trace_id", "method", "participant", "organisation")

COMMON: Mapping[str, str] = {
    "time": "When the event was written: RFC 3339, UTC, microseconds.",
    "level": "info, warning or error.",
    "event": "The event's name.",
}
"""Fields of every event."""

FIELDS: Mapping[str, str] = {
    "request_id": "UUID of the call; refusals carry it to the caller as google.rpc.RequestInfo.",
    "trace_id": "The W3C trace id that the caller sent (`traceparent`), or empty.",
    "method": "Full name of the gRPC method.",
    "participant": "SPIFFE id of the caller's certificate, or empty where it had none.",
    "organisation": "Organisation of the caller, or empty where the directory knows none.",
    "peer": "Network address of the caller.",
    "code": "gRPC status code of the answer, by name.",
    "reason": "ErrorInfo.reason of the refusal; empty where there was none.",
    "retryable": "Whether the same bytes may be sent again.",
    "violations": "Paths of the first 100 fields that broke a rule, without their values.",
    "ahead_seconds": "How far the clock has jumped, in seconds.",
    "duration_ms": "From the call's arrival to its answer, in milliseconds.",
    "items": "Statements in the call.",
    "accepted": "Statements of the call that were accepted.",
    "repeated": "Statements of the call that were in the log already.",
    "refused": "Statements of the call that were refused.",
    "item": "Position of the statement in its batch, from 0.",
    "statement_id": "Id of the statement.",
    "kind": "Kind of the statement.",
    "case_id": "Id of the case.",
    "sender": "Organisation that spoke.",
    "recipient": "Organisation that is spoken to.",
    "test": "Whether it is a drill.",
    "index": "Index in the log.",
    "sequence": "Position in the recipient's feed.",
    "received_at": "Time of receipt: RFC 3339, UTC, microseconds.",
    "digest": "SHA-256 of the envelope, hex.",
    "bytes": "Size of the envelope.",
    "deliveries": "Statements sent on the stream.",
    "last_sequence": "Sequence of the last statement sent on the stream, or the cursor that it began from.",
    "version": "Version of panji-server.",
    "listen": "Address that the exchange, or its HTTP listener, listens on.",
    "log_http": "Address on which anyone may read the log over HTTP, or empty.",
    "origin": "Origin of the log.",
    "log_key": "Verifier key of the log.",
    "size": "Size of the log.",
    "root": "Root hash of the log, base64.",
    "checked": "Statements that the audit at start looked at.",
    "signal": "Name of the signal.",
    "organisations": "Organisations in the directory.",
    "accreditations": "Accreditations in the directory.",
    "witness": "Name of the witness's key.",
    "witness_size": "Size of the log that the witness says it has cosigned.",
    "witnessed_size": "Size of the newest head that enough witnesses have cosigned.",
    "error": "What went wrong, for people.",
    "traceback": "Where a defect showed itself, for developers.",
}
"""What each field means. Never content of a statement."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event."""

    level: str
    meaning: str
    fields: tuple[str, ...]
    """Exactly these, beside those of every event."""
    names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(self.fields))


EVENTS: Mapping[str, Event] = {
    "exchange.started": Event(
        "info",
        "The exchange answers calls.",
        ("version", "listen", "log_http", "origin", "log_key", "size", "root", "checked", "organisations"),
    ),
    "exchange.stopping": Event("info", "The exchange was told to stop and takes no new calls.", ("signal",)),
    "exchange.stopped": Event("info", "The exchange has ended in order.", ("size",)),
    "exchange.failed": Event("error", "The exchange ends because it cannot keep what it would accept.", ("error",)),
    "directory.changed": Event("info", "A new directory is in force.", ("organisations", "accreditations")),
    "directory.rejected": Event(
        "error", "The directory's new version cannot be used; the last good one stays in force.", ("error",)
    ),
    "certificate.changed": Event(
        "info", "Another certificate, key or list of client authorities is in force for new connections.", ("listen",)
    ),
    "certificate.rejected": Event(
        "error", "The new files of TLS cannot be used; the last good ones stay in force.", ("error",)
    ),
    "witness.cosigned": Event(
        "info", "A witness cosigns, for the first time since the start or a failure.", ("witness", "size")
    ),
    "witness.failed": Event(
        "warning", "A witness gave no cosignature; reported when it begins, or changes.", ("witness", "error")
    ),
    "witness.contradicted": Event(
        "error",
        "A witness has seen another log under our name: this database was set back or is a fork, somebody else signs "
        "with the log's key, or the witness has lost what it knew.",
        ("witness", "error", "size", "witness_size"),
    ),
    "witnesses.overdue": Event(
        "error",
        "The log has gone on for longer than is allowed without enough cosignatures, or so many witnesses have seen "
        "another log that the others are too few; with fail_closed nothing new is taken.",
        ("size", "witnessed_size"),
    ),
    "witnesses.recovered": Event(
        "info", "Enough witnesses have cosigned again.", ("size", "witnessed_size")
    ),
    "statement.accepted": Event(
        "info",
        "A statement is in the log, durably, and its receipt was given, unless the caller had hung up.",
        (*_CALL, "item", "statement_id", "kind", "case_id", "sender", "recipient", "test", "index", "sequence",
         "received_at", "digest", "bytes"),
    ),
    "statement.repeated": Event(
        "info",
        "A statement came again and got the receipt that it has.",
        (*_CALL, "item", "statement_id", "index"),
    ),
    "statement.made": Event(
        "info",
        "The exchange itself has put a statement into the log.",
        ("statement_id", "kind", "case_id", "sender", "recipient", "test", "index", "sequence", "received_at", "digest",
         "bytes"),
    ),
    "deadline.unstated": Event(
        "error",
        "A deadline has passed, and the log does not take the statement of it: a defect, told once a case.",
        ("case_id", "reason"),
    ),
    "clock.jumped": Event(
        "error",
        "The machine's clock was set ahead. Deadlines go on by the time before, until it is back or the next start.",
        ("ahead_seconds",),
    ),
    "statement.refused": Event(
        "warning",
        "A statement was refused; log and case are untouched. Of an erasure's two, neither is taken where one is "
        "refused, and the other has its reason.",
        (*_CALL, "item", "reason", "code", "retryable", "violations", "digest", "bytes"),
    ),
    "call.finished": Event(
        "info",
        "A call was answered.",
        (*_CALL, "peer", "code", "duration_ms", "items", "accepted", "repeated", "refused"),
    ),
    "call.refused": Event(
        "warning", "A call as a whole was refused.", (*_CALL, "peer", "code", "reason", "retryable", "duration_ms")
    ),
    "call.failed": Event(
        "error", "A defect in the exchange met a call.", (*_CALL, "peer", "code", "duration_ms", "error", "traceback")
    ),
    "watch.started": Event("info", "A participant follows its feed.", (*_CALL, "peer", "last_sequence")),
    "watch.ended": Event(
        "info", "A stream ended.", (*_CALL, "peer", "code", "reason", "duration_ms", "deliveries", "last_sequence")
    ),
}  # fmt: skip
"""Every event that an exchange writes. Names and fields are stable; fields may be added."""


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _in_one_line(event: dict[str, Any], **_: Any) -> str:
    """As ``json.dumps`` with these separators, which would make an encoder anew for every line."""
    return _ENCODER.encode(event)


class AuditLog:
    """Writes audit events.

    Args:
        stream: Where lines go.
        on_failure: Called when they do not go there. It must not return: what cannot be told must not happen.
    """

    def __init__(self, stream: TextIO, on_failure: Callable[[OSError], NoReturn] | None = None) -> None:
        self._stream = stream
        self._on_failure = on_failure
        self._logger = structlog.wrap_logger(
            # In one write with its line break: a line that is there is whole, whenever the process dies.
            structlog.WriteLogger(_Unflushed(stream)),  # type: ignore[arg-type]  # it needs write and flush only
            processors=[structlog.processors.JSONRenderer(_in_one_line)],
            wrapper_class=structlog.BoundLogger,
        ).bind()  # once: unbound, structlog makes a logger anew for every line

    @classmethod
    def open(cls, path: str, on_failure: Callable[[OSError], NoReturn] | None = None) -> AuditLog:
        """Appends to a file, or writes to standard output for ``-``.

        Raises:
            OSError: The file cannot be opened.
        """
        return cls(sys.stdout if path == "-" else _append(path), on_failure)

    def write(self, event: str, **fields: Any) -> None:
        """Writes one event. It reaches the operating system with the next :meth:`flush`.

        Raises:
            ValueError: No such event, or not exactly its fields: whoever reads the log counts on the schema.
        """
        declared = EVENTS.get(event)
        if declared is None or fields.keys() != declared.names:
            raise ValueError(f"{event} with {sorted(fields)} is no event of the schema")
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        try:
            self._logger.msg(event, time=time, level=declared.level, **fields)
        except OSError as error:
            self._failed(error)

    def flush(self) -> None:
        """Hands what was written to the operating system: once a call, before its answer leaves."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        """Flushes, and closes what :meth:`open` opened."""
        self.flush()
        if self._stream is not sys.stdout:
            self._stream.close()

    def _failed(self, error: OSError) -> NoReturn:
        if self._on_failure is None:
            raise error
        self._on_failure(error)


def _append(path: str | Path) -> TextIO:
    stream = open(  # noqa: SIM115 - open as long as the process
        path, "a+", encoding="utf-8", buffering=1 << 16, opener=_private
    )
    try:
        if _is_torn(cast("BinaryIO", stream.buffer)):
            stream.write("\n")
    except OSError:
        pass  # a pipe, or a device: it has no end to look at
    return stream


def _private(path: str, flags: int) -> int:
    """Opens a file that, where it is new, nobody else can read: who spoke to whom is in it."""
    return os.open(path, flags, 0o600)


def _is_torn(file: BinaryIO) -> bool:
    """Whether the last line has no end: a process was killed while it wrote, and the next line must not suffer."""
    if not file.seek(0, SEEK_END):
        return False
    file.seek(-1, SEEK_END)
    return file.read(1) != b"\n"


class _Unflushed:
    """A stream whose flush waits: structlog flushes after every line, and a batch has a thousand."""

    def __init__(self, stream: TextIO) -> None:
        self.write = stream.write

    def flush(self) -> None:
        """Left to :meth:`AuditLog.flush`."""
