"""Refusals: ``google.rpc.Status`` with its details to :class:`~panji.errors.RefusedError` and back (AIP-193)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from panji.errors import ERROR_DOMAIN, MalformedError, Reason, RefusedError, Violation

if TYPE_CHECKING:
    from datetime import timedelta

_KNOWN_REASONS = frozenset(Reason)


def refusal_to_status(refusal: RefusedError, request_id: str = "") -> status_pb2.Status:
    """Returns the status of a refusal: one ErrorInfo always; BadRequest, RetryInfo and RequestInfo where they apply."""
    status = status_pb2.Status(code=int(refusal.code), message=refusal.message)
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason.value, domain=ERROR_DOMAIN, metadata=dict(refusal.metadata)
    )
    status.details.add().Pack(info)
    if refusal.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.description)
            for one in refusal.violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if refusal.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(refusal.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if request_id:
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status


def refusal_from_status(status: status_pb2.Status) -> RefusedError | None:
    """Returns the refusal that a status carries, or None where it is not one of an exchange.

    A reason that this version does not know comes back as INTERNAL, with its name in the metadata under ``reason``.

    Raises:
        MalformedError: A detail is no message of its type.
    """
    info, request, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RequestInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    retry_after: timedelta | None = None
    try:
        for detail in status.details:
            for message in (info, request, bad, retry):
                detail.Unpack(message)
            if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry_after = retry.retry_delay.ToTimedelta()
    except DecodeError as error:
        raise MalformedError("a detail of the status is malformed") from error
    if info.domain != ERROR_DOMAIN:
        return None
    metadata = dict(info.metadata)
    if request.request_id:
        metadata["request_id"] = request.request_id
    if info.reason in _KNOWN_REASONS:
        reason = Reason(info.reason)
    else:
        reason = Reason.INTERNAL
        metadata["reason"] = info.reason
    return RefusedError(
        reason,
        status.message,
        violations=[Violation(one.field, one.description) for one in bad.field_violations],
        retry_after=retry_after,
        metadata=metadata,
    )
