"""CaseService and FeedService: how participants read."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from panji.core import form
from panji.core.vocabulary import CaseState, Category, Kind
from panji.errors import InputError, Reason, RefusedError, Violation
from panji.v1 import case_pb2, case_pb2_grpc, feed_service_pb2, feed_service_pb2_grpc, receipt_pb2
from panji.wire.cases import case_to_message
from panji.wire.receipts import delivery_to_message, receipt_to_message
from panji.wire.times import to_datetime
from panji_server.rpc.call import CALL
from panji_server.sequencing import content_erased
from panji_server.storage.base import CaseFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from panji.core.case import Case
    from panji.core.directory import Organisation
    from panji.core.receipt import Receipt
    from panji_server.audit import AuditLog
    from panji_server.exchange import Exchange
    from panji_server.rpc.submission import Submission
    from panji_server.storage.base import Row

_PAGE = 50
_MAX_PAGE = 500
BYTES_AT_ONCE = 16 * 1024 * 1024
"""Bytes of statements and receipts after which no further case goes into an answer. The first one always goes."""
TARGETS_AT_ONCE = 5000
"""Targets after which no further case goes into an answer: each is a value and a message."""
_RECEIPT_BYTES = 2048
"""What a receipt has at most: a salt, a checkpoint, and a proof of a hash for each doubling of the log."""
_NEWEST = 2**62
"""Above every index."""
_NOT_ERASED = frozenset(CaseState) - {CaseState.UNSPECIFIED, CaseState.ERASED}


class CaseService(case_pb2_grpc.CaseServiceServicer):
    """Reads cases, and takes what has no form of its own."""

    def __init__(self, exchange: Exchange, submission: Submission) -> None:
        self._exchange = exchange
        self._submission = submission

    async def GetCase(self, request: Any, context: Any) -> case_pb2.GetCaseResponse:
        """Returns one case with every statement in it."""
        wrong = form.uuid7(request.case_id)
        if wrong:
            violations = [Violation("case_id", wrong)]
            raise RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=violations)
        found = await self._exchange.read(self._exchange.storage.case, request.case_id)
        if found is None or CALL.get().caller.id not in {found[1].authority, found[1].platform}:
            raise RefusedError(Reason.CASE_NOT_FOUND, "there is no such case, or you are no party to it")
        if found[1].state is CaseState.ERASED:
            raise content_erased()
        cases, _ = await self._with_statements([found])
        if not cases:
            raise content_erased()  # by now
        return case_pb2.GetCaseResponse(case=cases[0])

    async def ListCases(self, request: Any, context: Any) -> case_pb2.ListCasesResponse:
        """Returns a page of the caller's cases, newest first."""
        caller = CALL.get().caller
        wanted = _filter(request, caller)
        scope = _scope(request, caller)
        size = request.page_size or _PAGE
        before = _open_token(request.page_token, scope) if request.page_token else _NEWEST
        if request.with_statements:  # of erased cases none are left
            wanted = replace(wanted, states=(wanted.states or _NOT_ERASED) - {CaseState.ERASED})
            if not wanted.states:
                return case_pb2.ListCasesResponse()
        found = await self._exchange.read(self._exchange.storage.cases, wanted, before, size + 1, TARGETS_AT_ONCE)
        filled = sum(len(case.targets) for _, case in found) >= TARGETS_AT_ONCE  # there may be more
        page = found[:size]
        cases, looked_at = (
            await self._with_statements(page)
            if request.with_statements
            else ([case_to_message(case) for _, case in page], len(page))
        )
        token = _token(page[looked_at - 1][0], scope) if filled or len(found) > looked_at else ""
        return case_pb2.ListCasesResponse(cases=cases, next_page_token=token)

    async def SendCorrespondence(self, request: Any, context: Any) -> case_pb2.SendCorrespondenceResponse:
        """Puts a Correspondence on the record."""
        receipt = await self._submission.one(request.envelope, Kind.CORRESPONDENCE)
        return case_pb2.SendCorrespondenceResponse(receipt=receipt)

    async def Object(self, request: Any, context: Any) -> case_pb2.ObjectResponse:
        """Contests the flag, or what was decided."""
        receipt = await self._submission.one(request.envelope, Kind.OBJECTION)
        return case_pb2.ObjectResponse(receipt=receipt)

    async def Review(self, request: Any, context: Any) -> case_pb2.ReviewResponse:
        """Answers an objection or a counter-notice."""
        receipt = await self._submission.one(request.envelope, Kind.REVIEW)
        return case_pb2.ReviewResponse(receipt=receipt)

    async def _with_statements(self, found: Sequence[tuple[int, Case]]) -> tuple[list[case_pb2.Case], int]:
        """Returns as many of the cases as go into one answer, and how many were looked at for it.

        What has been erased since the cases were found is left out: no case is shown without what was said in it.
        """
        sizes = await self._exchange.read(self._exchange.storage.case_sizes, [index for index, _ in found])
        weights = [size + count * _RECEIPT_BYTES for count, size in (sizes[index] for index, _ in found)]
        page = found[: _fitting(weights)]
        rows = await self._exchange.read(self._exchange.storage.case_rows, [index for index, _ in page])
        messages = []
        for index, case in page:
            if any(row.erased for row in rows[index]):
                continue
            receipts = await self._exchange.receipts(rows[index])
            envelopes = [row.envelope for row in rows[index]]
            messages.append(case_to_message(case, zip(envelopes, receipts, strict=True)))
        return messages, len(page)


class FeedService(feed_service_pb2_grpc.FeedServiceServicer):
    """Delivers statements."""

    def __init__(self, exchange: Exchange, audit: AuditLog) -> None:
        self._exchange = exchange
        self._audit = audit

    async def Watch(self, request: Any, context: Any) -> AsyncGenerator[feed_service_pb2.WatchResponse]:
        """Streams the caller's feed. The library suspends this at each message until the caller's window has room."""
        call = CALL.get()
        last, count = request.after_sequence, 0
        self._audit.write("watch.started", **call.fields, peer=call.peer, last_sequence=last)
        self._audit.flush()
        feed, presence = self._exchange.feed(call.caller.id, last), self._exchange.presence
        code, reason = "CANCELLED", ""
        try:
            with presence.watching(call.caller):
                async for run, at_end in feed:
                    presence.handed_over(call.caller.id, call.participant, last)  # so far the caller has it, it says
                    yield feed_service_pb2.WatchResponse(
                        deliveries=[await self._delivery(row, receipt) for row, receipt in run]
                    )
                    if run:
                        last, count = run[-1][0].sequence, count + len(run)
                        presence.handed_over(call.caller.id, call.participant, last)
                    if at_end and request.stop_at_end:
                        break
            code = "OK"
        except RefusedError as refusal:
            code, reason = refusal.code.name, refusal.reason.value
            raise
        finally:
            await feed.aclose()
            self._audit.write(
                "watch.ended",
                **call.fields,
                peer=call.peer,
                code=code,
                reason=reason,
                duration_ms=call.duration_ms,
                deliveries=count,
                last_sequence=last,
            )
            self._audit.flush()

    async def _delivery(self, row: Row, receipt: Receipt) -> receipt_pb2.Delivery:
        if not row.erased:
            return delivery_to_message(row.envelope, receipt)
        erasure = await self._exchange.read(self._exchange.storage.erasure, row.case_index)
        assert erasure is not None  # noqa: S101 - one commit wrote it and erased the content
        (of_erasure,) = await self._exchange.receipts([erasure])
        return receipt_pb2.Delivery(
            receipt=receipt_to_message(receipt),
            commitment=row.commitment,
            erasure=delivery_to_message(erasure.envelope, of_erasure),
        )


def _fitting(sizes: Sequence[int]) -> int:
    """Returns how many cases, from the first on and at least that, go into one answer together."""
    room = BYTES_AT_ONCE
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return max(count, 1)
    return len(sizes)


def _filter(request: Any, caller: Organisation) -> CaseFilter:
    violations: list[Violation] = []
    if request.page_size > _MAX_PAGE:
        violations.append(Violation("page_size", f"is at most {_MAX_PAGE}"))
    known_states = {int(state) for state in CaseState if state}
    if not known_states.issuperset(request.states):
        violations.append(Violation("states", "have a value that is no CaseState"))
    if request.category not in {int(category) for category in Category}:
        violations.append(Violation("category", "is no value of Category"))
    if request.counterpart and (wrong := form.organisation(request.counterpart)):
        violations.append(Violation("counterpart", wrong))
    instants = {}
    for name in ("opened_from", "opened_until"):
        try:
            instants[name] = to_datetime(getattr(request, name)) if request.HasField(name) else None
        except InputError as error:
            violations.append(Violation(name, str(error)))
    if violations:
        raise RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=violations)
    return CaseFilter(
        party=caller.id,
        role=caller.role,
        counterpart=request.counterpart,
        states=frozenset(CaseState(state) for state in request.states),
        category=Category(request.category) if request.category else None,
        opened_from=instants["opened_from"],
        opened_until=instants["opened_until"],
        test=request.test,
    )


def _scope(request: Any, caller: Organisation) -> bytes:
    """What a page token belongs to: the caller and the filters, so that it cannot be used for another query."""
    query = case_pb2.ListCasesRequest()
    query.CopyFrom(request)
    query.page_token, query.page_size, query.with_statements = "", 0, False
    return hashlib.sha256(caller.id.encode() + b"\0" + query.SerializeToString(deterministic=True)).digest()[:8]


def _token(index: int, scope: bytes) -> str:
    return base64.urlsafe_b64encode(scope + index.to_bytes(8)).decode("ascii").rstrip("=")


def _open_token(token: str, scope: bytes) -> int:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != len(scope) + 8 or data[: len(scope)] != scope:
        raise RefusedError(Reason.PAGE_TOKEN_INVALID, "the page token is not one of this query")
    return min(int.from_bytes(data[len(scope) :]), _NEWEST)
