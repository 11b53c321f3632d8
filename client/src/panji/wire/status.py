"""Refusals: ``google.rpc.Status`` with its details to :class:`~panji.errors.RefusedError` and back (AIP-193)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from panji.errors import ERROR_DOMAIN, REASONS, MalformedError, Reason, RefusedError, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_ID = "request_id"
"""Where the metadata of a refusal that came over the wire have the id under which the exchange's audit log knows it."""

_KNOWN_REASONS = frozenset(Reason)
_ROOM = 6000
"""Bytes that violations may take: all metadata of an answer must fit a peer's 8 KiB, and a batch has a thousand."""
_CODES_TO_RETRY = frozenset(int(info.code) for info in REASONS.values() if info.retryable)


def refusal_to_status(refusal: RefusedError, request_id: str = "") -> status_pb2.Status:
    """Returns the status of a refusal: one ErrorInfo always; BadRequest, RetryInfo and RequestInfo where they apply.

    Violations that there is no room for are counted in a last one, whose field is empty.
    """
    status = status_pb2.Status(code=int(refusal.code), message=refusal.message)
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason.value, domain=ERROR_DOMAIN, metadata=dict(refusal.metadata)
    )
    status.details.add().Pack(info)
    if refusal.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.description)
            for one in _fitting(refusal.violations)
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if refusal.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(refusal.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if request_id:
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status


def _fitting(violations: Sequence[Violation]) -> list[Violation]:
    room = _ROOM
    fitting: list[Violation] = []
    for violation in violations:
        room -= len(violation.field) + len(violation.description) + 16
        if room < 0:
            return [*fitting, Violation("", f"and {len(violations) - len(fitting)} more violations")]
        fitting.append(violation)
    return fitting


def refusal_from_status(status: status_pb2.Status) -> RefusedError | None:
    """Returns the refusal that a status carries, or None where it is not one of an exchange.

    A reason that this version does not know comes back as INTERNAL where the status's code says that the same bytes may
    be sent again, else as UNRECOGNISED; its name is in the metadata under ``reason``.

    Raises:
        MalformedError: A detail is no message of its type, or the delay until a retry is out of range.
    """
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    try:
        for detail in status.details:
            for message in (info, request, bad, retry):
                detail.Unpack(message)
        retry_after = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    except (DecodeError, OverflowError) as error:
        raise MalformedError("a detail of the status is malformed") from error
    if info.domain != ERROR_DOMAIN:
        return None
    metadata = dict(info.metadata)
    if request.request_id:
        metadata[REQUEST_ID] = request.request_id
    if info.reason in _KNOWN_REASONS:
        reason = Reason(info.reason)
    else:
        reason = Reason.INTERNAL if status.code in _CODES_TO_RETRY else Reason.UNRECOGNISED
        metadata["reason"] = info.reason
    return RefusedError(
        reason,
        status.message,
        violations=[Violation(one.field, one.description) for one in bad.field_violations],
        retry_after=retry_after,
        metadata=metadata,
    )
