"""The boundary of every call: who is calling, what the audit log says of it, and how errors travel.

Handlers take values and raise :class:`~panji.errors.RefusedError`; none builds a status. The table from reason to code
is :data:`panji.errors.REASONS`.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import traceback
import uuid
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from panji.errors import Code, Reason, RefusedError
from panji.tls import peer
from panji.wire.status import refusal_to_status
from panji_server.limits import OpenCalls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from panji.core.directory import Organisation
    from panji_server.audit import AuditLog
    from panji_server.directory import DirectorySource
    from panji_server.presence import Presence

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
_OURS = "/panji.v1."
_STATUS_KEY = "grpc-status-details-bin"

SUBMITTING = frozenset(
    {
        "SubmitFlag", "SubmitFlags", "WithdrawFlag", "AnswerClarification", "Acknowledge", "RequestClarification",
        "Decide", "SubmitResponses", "VerifyFlag", "OrderRestoration", "RequestVerification", "ReportObstacle",
        "EndObstacle", "CorrectDecision", "SubmitCounterNotice", "ConfirmRestoration", "Object", "Review",
        "SendCorrespondence", "EraseCase",
    }
)  # fmt: skip
"""Methods that take statements. All others read."""

CALL: ContextVar[Call] = ContextVar("call")
"""The call that is being answered."""


@dataclass(slots=True)
class Call:
    """One call: who makes it, and what the audit log will say of it."""

    method: str
    request_id: str
    trace_id: str
    peer: str
    started: float
    participant: str = ""
    organisation: Organisation | None = None
    items: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that every event of this call has."""
        return {
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "method": self.method,
            "participant": self.participant,
            "organisation": self.organisation.id if self.organisation else "",
        }

    @property
    def caller(self) -> Organisation:
        """The organisation that calls; known once the call has been identified."""
        assert self.organisation is not None  # noqa: S101 - no handler runs before identification
        return self.organisation

    @property
    def duration_ms(self) -> float:
        """Milliseconds since the call arrived."""
        return round((time.perf_counter() - self.started) * 1000, 3)


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps every handler of ``panji.v1``. Health and reflection are left as they are: TLS guards them.

    Args:
        directory: Who is on the channel.
        presence: Is told who called.
        audit: Where events go.
        streams: How many streams an organisation may have open.
        reads: How many other calls that submit nothing; those that do are bounded by rate and queue.
    """

    def __init__(
        self, directory: DirectorySource, presence: Presence, audit: AuditLog, *, streams: int, reads: int
    ) -> None:
        self._directory = directory
        self._presence = presence
        self._audit = audit
        self._streams = OpenCalls("streams", streams)
        self._reads = OpenCalls("reads", reads)
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Returns the handler, wrapped once for each method."""
        method: str = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            wrapped = await continuation(handler_call_details)
            if wrapped is None or not method.startswith(_OURS):
                return wrapped
            if wrapped.response_streaming:
                wrapped = grpc.unary_stream_rpc_method_handler(
                    self._stream(method, wrapped.unary_stream, wrapped.request_deserializer),
                    response_serializer=wrapped.response_serializer,
                )
            else:
                behaviour = wrapped.unary_unary
                if method.rpartition("/")[2] not in SUBMITTING:
                    behaviour = self._bounded(behaviour)
                wrapped = grpc.unary_unary_rpc_method_handler(
                    self._unary(method, behaviour, wrapped.request_deserializer),
                    response_serializer=wrapped.response_serializer,
                )
            self._wrapped[method] = wrapped
        return wrapped

    def identify(self, call: Call, context: Any) -> None:
        """Finds out who is calling: step 1 of every statement's way.

        Raises:
            RefusedError: TLS_VERSION, CERTIFICATE_IDENTITY or PARTICIPANT_UNKNOWN.
        """
        call.participant = peer(context.auth_context()).spiffe_id
        organisation = self._directory.current.organisation_of(call.participant)
        # A participant that has changed sides meanwhile must not go on reading what is meant for the old one.
        moved = call.organisation is not None and organisation is not None and organisation.id != call.organisation.id
        if organisation is None or organisation.suspended or moved:
            raise RefusedError(
                Reason.PARTICIPANT_UNKNOWN,
                "the directory knows no active participant of this SPIFFE id",
                metadata={"participant": call.participant},
            )
        call.organisation = organisation
        self._presence.called(organisation)

    # Requests are parsed here, not by the library, which would answer what is malformed without a word of ours.

    def _unary(
        self, method: str, behaviour: Callable[[Any, Any], Awaitable[Any]], parse: Callable[[bytes], Any]
    ) -> Callable[[bytes, Any], Any]:
        async def answer(data: bytes, context: Any) -> Any:
            call = _begin(method, context)
            try:
                self.identify(call, context)
                response = await behaviour(_parsed(parse, data), context)
            except RefusedError as refusal:
                self._refused(call, refusal)
                await _abort(context, refusal, call)
            except Exception as defect:  # noqa: BLE001 - the last line of defence: reported, audited, answered
                await _abort(context, self._failed(call, defect), call)
            except asyncio.CancelledError:
                self._finished(call, "CANCELLED")  # the caller hung up, or its time was up
                raise
            else:
                self._finished(call, "OK")  # what the log of events says of an answer is written before it leaves
                return response

        return answer

    def _bounded(self, behaviour: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            with self._reads.one_more(CALL.get().caller.id):
                return await behaviour(request, context)

        return answer

    def _stream(
        self, method: str, behaviour: Callable[[Any, Any], AsyncGenerator[Any]], parse: Callable[[bytes], Any]
    ) -> Callable[[bytes, Any], Any]:
        async def answer(data: bytes, context: Any) -> AsyncIterator[Any]:
            call = _begin(method, context)
            try:
                self.identify(call, context)
                with self._streams.one_more(call.caller.id):
                    async with aclosing(behaviour(_parsed(parse, data), context)) as responses:
                        async for response in responses:
                            # Streams live long: whoever has been suspended since hears nothing more.
                            try:
                                self.identify(call, context)
                            except RefusedError as refusal:
                                await responses.athrow(refusal)
                            yield response
            except RefusedError as refusal:
                self._refused(call, refusal)
                await _abort(context, refusal, call)
            except Exception as defect:  # noqa: BLE001 - as above
                await _abort(context, self._failed(call, defect), call)

        return answer

    def _finished(self, call: Call, code: str) -> None:
        self._audit.write(
            "call.finished",
            **call.fields,
            peer=call.peer,
            code=code,
            duration_ms=call.duration_ms,
            items=call.items,
            accepted=call.accepted,
            repeated=call.repeated,
            refused=call.refused,
        )
        self._audit.flush()

    def _refused(self, call: Call, refusal: RefusedError) -> None:
        self._audit.write(
            "call.refused",
            **call.fields,
            peer=call.peer,
            code=refusal.code.name,
            reason=refusal.reason.value,
            retryable=refusal.retryable,
            duration_ms=call.duration_ms,
        )
        self._audit.flush()

    def _failed(self, call: Call, defect: Exception) -> RefusedError:
        self._audit.write(
            "call.failed",
            **call.fields,
            peer=call.peer,
            code=Code.INTERNAL.name,
            duration_ms=call.duration_ms,
            error=type(defect).__name__,
            # Frames only: an exception's message may quote content.
            traceback="".join(traceback.format_tb(defect.__traceback__)),
        )
        self._audit.flush()
        return RefusedError(Reason.INTERNAL, "a defect in the exchange; its audit log has the request id")


def _begin(method: str, context: Any) -> Call:
    trace_id = ""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str) and (found := _TRACEPARENT.fullmatch(value)):
            trace_id = found[1]
    request_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
    call = Call(method, request_id, trace_id, context.peer(), time.perf_counter())
    CALL.set(call)
    return call


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        raise RefusedError(Reason.REQUEST_INVALID, "the bytes are no request of this method") from error


async def _abort(context: Any, refusal: RefusedError, call: Call) -> None:
    if isinstance(asyncio.current_task(), asyncio.Task) and context.cancelled():
        return  # nobody is there to be told
    status = refusal_to_status(refusal, call.request_id)
    await context.abort(grpc_code(refusal.code), refusal.message, ((_STATUS_KEY, status.SerializeToString()),))


def grpc_code(code: Code) -> grpc.StatusCode:
    """The code as gRPC's Python library names it."""
    return grpc.StatusCode[code.name]
