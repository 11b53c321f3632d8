"""Refusals over the wire: what the exchange said comes back whole, and a strange status harms nobody (AIP-193)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from panji.errors import REASONS, MalformedError, Reason, RefusedError, Violation
from panji.wire.status import refusal_from_status, refusal_to_status

FULL = RefusedError(
    Reason.STATEMENT_INVALID,
    "the statement breaks its form",
    violations=[Violation("flag.reasons", "is required"), Violation("flag.targets[3].url", "is no URL")],
    retry_after=timedelta(seconds=1, microseconds=500_000),
    metadata={"statement_id": "01970000-0000-7000-8000-000000000001"},
)


def back(status: status_pb2.Status) -> RefusedError:
    refusal = refusal_from_status(status_pb2.Status.FromString(status.SerializeToString()))
    assert refusal is not None
    return refusal


def test_a_refusal_comes_back_with_all_its_details() -> None:
    refusal = back(refusal_to_status(FULL, "request-7"))
    assert (refusal.reason, refusal.message) == (FULL.reason, FULL.message)
    assert refusal.violations == FULL.violations
    assert refusal.retry_after == FULL.retry_after
    assert refusal.metadata == {**FULL.metadata, "request_id": "request-7"}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_travels_with_its_code_and_needs_no_other_detail(reason: Reason) -> None:
    status = refusal_to_status(RefusedError(reason, "no"))
    assert status.code == REASONS[reason].code
    assert len(status.details) == 1
    refusal = back(status)
    assert (refusal.reason, refusal.violations, refusal.retry_after, refusal.metadata) == (reason, (), None, {})


def test_the_details_are_those_of_google_rpc_each_once() -> None:
    status = refusal_to_status(FULL, "request-7")
    assert [detail.TypeName() for detail in status.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
        "google.rpc.RequestInfo",
    ]
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("STATEMENT_INVALID", "panji.v1")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (3, Reason.UNRECOGNISED),  # the statement is wrong in a new way: sending it again will not mend it
        (7, Reason.UNRECOGNISED),
        (9, Reason.UNRECOGNISED),
        (8, Reason.INTERNAL),
        (14, Reason.INTERNAL),
    ],
)
def test_a_reason_of_a_later_version_keeps_its_name_and_is_retried_only_where_the_code_says_so(
    code: int, reason: Reason
) -> None:
    status = refusal_to_status(FULL)
    info = error_details_pb2.ErrorInfo(reason="QUOTA_OF_THE_FUTURE", domain="panji.v1", metadata={"quota": "7"})
    status.code = code
    status.details[0].Pack(info)
    refusal = back(status)
    assert (refusal.reason, refusal.retryable) == (reason, reason is Reason.INTERNAL)
    assert refusal.metadata == {"quota": "7", "reason": "QUOTA_OF_THE_FUTURE"}
    assert refusal.violations == FULL.violations


def test_a_status_that_is_not_an_exchanges_is_no_refusal() -> None:
    assert refusal_from_status(status_pb2.Status(code=14, message="connection reset")) is None
    proxy = status_pb2.Status(code=7)
    proxy.details.add().Pack(error_details_pb2.ErrorInfo(reason="SIGNATURE_INVALID", domain="proxy.example"))
    assert refusal_from_status(proxy) is None


def test_details_of_other_kinds_are_passed_over() -> None:
    status = refusal_to_status(FULL)
    status.details.add().Pack(error_details_pb2.LocalizedMessage(locale="id", message="tidak"))
    assert back(status).violations == FULL.violations


@pytest.mark.parametrize("kind", ["ErrorInfo", "BadRequest", "RetryInfo", "RequestInfo"])
def test_a_detail_that_is_no_message_of_its_type_is_malformed(kind: str) -> None:
    status = refusal_to_status(FULL)
    status.details.append(Any(type_url=f"type.googleapis.com/google.rpc.{kind}", value=b"\xff"))
    with pytest.raises(MalformedError, match="a detail of the status is malformed"):
        refusal_from_status(status)


def test_a_delay_that_no_clock_can_count_is_malformed_and_not_a_crash() -> None:
    status = refusal_to_status(RefusedError(Reason.OVERLOADED, "later"))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2**62)))
    with pytest.raises(MalformedError, match="a detail of the status is malformed"):
        refusal_from_status(status)


@given(st.sampled_from(["ErrorInfo", "BadRequest", "RetryInfo", "RequestInfo"]), st.binary())
def test_any_bytes_at_all_in_a_detail_are_read_or_malformed(kind: str, value: bytes) -> None:
    status = status_pb2.Status(code=3, details=[Any(type_url=f"type.googleapis.com/google.rpc.{kind}", value=value)])
    try:
        refusal_from_status(status)
    except MalformedError:
        return
