"""AdministrationService and DirectoryService: what the operator does, and what is on record of who there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panji.core import form
from panji.core.vocabulary import Kind, Role
from panji.errors import InputError, Reason, RefusedError, Violation
from panji.v1 import (
    administration_service_pb2,
    administration_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
)
from panji.wire.envelopes import parse_envelope
from panji.wire.receipts import delivery_to_message
from panji.wire.statements import peek
from panji.wire.times import to_timestamp
from panji_server.on_record import NEWEST
from panji_server.rpc.call import CALL

if TYPE_CHECKING:
    from panji.v1 import receipt_pb2
    from panji_server.exchange import Exchange
    from panji_server.rpc.submission import Submission

_SIDES = 2


class AdministrationService(administration_service_pb2_grpc.AdministrationServiceServicer):
    """What the operator does."""

    def __init__(self, exchange: Exchange, submission: Submission) -> None:
        self._exchange = exchange
        self._submission = submission

    async def DescribeCase(self, request: Any, context: Any) -> administration_service_pb2.DescribeCaseResponse:
        """Returns what the operator must know of a case to erase it."""
        caller = CALL.get().caller
        if caller.role is not Role.OPERATOR:
            raise RefusedError(
                Reason.ROLE_NOT_ALLOWED, "only the operator may ask this", metadata={"role": caller.role.value}
            )
        if wrong := form.uuid7(request.case_id):
            raise _wrong("case_id", wrong)
        found = await self._exchange.read(self._exchange.storage.case, request.case_id)
        if found is None:
            raise RefusedError(Reason.CASE_NOT_FOUND, "there is no such case")
        index, case = found
        rows = (await self._exchange.read(self._exchange.storage.case_rows, [index]))[index]
        state: Any = case.state
        return administration_service_pb2.DescribeCaseResponse(
            authority=case.authority,
            platform=case.platform,
            test=case.test,
            state=state,
            opened_at=to_timestamp(case.opened_at),
            statements=[
                administration_service_pb2.StatementOutline(
                    digest=row.digest,
                    kind=row.kind,
                    sender=row.sender,
                    index=row.index,
                    recipient=row.recipient,
                    sequence=row.sequence,
                )
                for row in rows
            ],
        )

    async def EraseCase(self, request: Any, context: Any) -> administration_service_pb2.EraseCaseResponse:
        """Erases what the statements of a case say."""
        if len(request.envelopes) != _SIDES:
            raise _wrong("envelopes", "are two: one to each side of the case")
        # That both are sides of the case is for the case to say; here, that nobody is left out. Both are taken or none:
        # with the first alone the content would be gone, and one side never told.
        (_, one, case), (_, other, same) = (_peek(envelope) for envelope in request.envelopes)
        if one == other or case != same:
            raise _wrong("envelopes", "are of one case, and to different recipients: each side is told")
        receipts = await self._submission.together(request.envelopes, Kind.ERASURE)
        return administration_service_pb2.EraseCaseResponse(receipts=receipts)


class DirectoryService(directory_service_pb2_grpc.DirectoryServiceServicer):
    """What is on record of who there is."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def GetDirectory(self, request: Any, context: Any) -> directory_service_pb2.GetDirectoryResponse:
        """Returns the directory that was in force at a place of the log."""
        record = await self._record(Kind.DIRECTORY_RECORD, request.before_index, Reason.DIRECTORY_NOT_RECORDED)
        return directory_service_pb2.GetDirectoryResponse(record=record)

    async def GetProcedure(self, request: Any, context: Any) -> directory_service_pb2.GetProcedureResponse:
        """Returns the procedure that was in force at a place of the log."""
        record = await self._record(Kind.PROCEDURE_RECORD, request.before_index, Reason.PROCEDURE_NOT_RECORDED)
        return directory_service_pb2.GetProcedureResponse(record=record)

    async def _record(self, kind: Kind, before: int, missing: Reason) -> receipt_pb2.Delivery:
        size = (await self._exchange.read(self._exchange.storage.current_head)).frontier.size
        if before > size:
            raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "the log is not that large", metadata={"size": str(size)})
        row = await self._exchange.read(self._exchange.storage.record, kind, before or NEWEST)
        if row is None:
            raise RefusedError(missing, f"no {kind} stands before this index")
        (receipt,) = await self._exchange.receipts([row])
        return delivery_to_message(row.envelope, receipt)


def _peek(envelope: bytes) -> tuple[str, str, str]:
    try:
        return peek(parse_envelope(envelope).payload)
    except InputError as error:
        raise RefusedError(Reason.ENVELOPE_MALFORMED, str(error)) from error


def _wrong(field: str, description: str) -> RefusedError:
    return RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=[Violation(field, description)])
