"""What every submitting method has in common: envelopes in, receipts out, one audit event for each statement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from panji.core import envelope as dsse
from panji.errors import Reason, RefusedError
from panji.wire.receipts import fill_receipt, receipt_to_message
from panji.wire.status import refusal_to_status
from panji_server.rpc.call import CALL
from panji_server.sequencing import Accepted, Repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji.core.receipt import Receipt
    from panji.core.vocabulary import Kind
    from panji.v1 import flag_service_pb2, receipt_pb2
    from panji_server.audit import AuditLog
    from panji_server.exchange import Exchange
    from panji_server.rpc.call import Call

MAX_BATCH = 1000
"""Envelopes in one call."""
MAX_VIOLATIONS = 100
"""Violations that an event names: a flag may have thousands, a batch a thousand such flags, and a log is no dump."""


class Results(Protocol):
    """The results of a batch's response."""

    def add(self) -> flag_service_pb2.SubmitResult:
        """Adds an empty result at the end and returns it."""


class Submission:
    """Takes envelopes of a call to the exchange and its outcomes back."""

    def __init__(self, exchange: Exchange, audit: AuditLog) -> None:
        self._exchange = exchange
        self._audit = audit

    async def one(self, envelope: bytes, kind: Kind) -> receipt_pb2.Receipt:
        """Submits one statement of one kind.

        Raises:
            RefusedError: It was refused.
        """
        (answer,) = await self._answers([envelope], frozenset({kind}))
        if isinstance(answer, RefusedError):
            raise answer
        return receipt_to_message(answer)

    async def together(self, envelopes: Sequence[bytes], kind: Kind) -> list[receipt_pb2.Receipt]:
        """Submits a few statements of one kind that belong together: all are accepted, in one commit, or none.

        Raises:
            RefusedError: The first refusal.
        """
        answers = await self._answers(envelopes, frozenset({kind}), together=True)
        for answer in answers:
            if isinstance(answer, RefusedError):
                raise answer
        return [receipt_to_message(answer) for answer in answers if not isinstance(answer, RefusedError)]

    async def many(self, envelopes: Sequence[bytes], kinds: frozenset[Kind], results: Results) -> None:
        """Submits 1 to 1,000 statements and adds a result for each; a refused one does not sink the rest.

        Raises:
            RefusedError: BATCH_TOO_LARGE, or what refuses the call as a whole.
        """
        if not 1 <= len(envelopes) <= MAX_BATCH:
            raise RefusedError(
                Reason.BATCH_TOO_LARGE,
                f"a batch holds 1 to {MAX_BATCH} envelopes, this one {len(envelopes)}",
                metadata={"max": str(MAX_BATCH), "items": str(len(envelopes))},
            )
        request_id = CALL.get().request_id
        for answer in await self._answers(envelopes, kinds):
            if isinstance(answer, RefusedError):
                results.add().error.CopyFrom(refusal_to_status(answer, request_id))
            else:
                fill_receipt(results.add().receipt, answer)

    async def _answers(
        self, envelopes: Sequence[bytes], kinds: frozenset[Kind], *, together: bool = False
    ) -> list[Receipt | RefusedError]:
        """Goes through with it even when the caller hangs up: what gets into the log gets into the events, too."""
        call = CALL.get()
        call.items = len(envelopes)
        taking = asyncio.create_task(self._take(call, envelopes, kinds, together=together))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._left_alone)
            raise

    def _left_alone(self, taking: asyncio.Task[list[Receipt | RefusedError]]) -> None:
        if not taking.cancelled():
            taking.exception()  # nobody is there to be told
        self._audit.flush()

    async def _take(
        self, call: Call, envelopes: Sequence[bytes], kinds: frozenset[Kind], *, together: bool
    ) -> list[Receipt | RefusedError]:
        outcomes = await self._exchange.submit(envelopes, kinds, call.caller, together=together)
        call.accepted = sum(isinstance(one, Accepted) for one in outcomes)
        call.repeated = sum(isinstance(one, Repeated) for one in outcomes)
        call.refused = sum(isinstance(one, RefusedError) for one in outcomes)
        repeated = [one.row for one in outcomes if isinstance(one, Repeated)]
        receipts = iter(await self._exchange.receipts(repeated) if repeated else ())
        fields = call.fields
        answers: list[Receipt | RefusedError] = []
        for item, (outcome, data) in enumerate(zip(outcomes, envelopes, strict=True)):
            if isinstance(outcome, Accepted):
                self._accepted(fields, item, outcome)
                answers.append(outcome.receipt)
            elif isinstance(outcome, Repeated):
                self._audit.write(
                    "statement.repeated",
                    **fields,
                    item=item,
                    statement_id=outcome.row.id,
                    index=outcome.row.index,
                )
                answers.append(next(receipts))
            else:
                self._refused(fields, item, outcome, data)
                answers.append(outcome)
        return answers

    def _accepted(self, fields: dict[str, object], item: int, outcome: Accepted) -> None:
        row = outcome.row
        self._audit.write(
            "statement.accepted",
            **fields,
            item=item,
            statement_id=row.id,
            kind=row.kind,
            case_id=outcome.case_id,
            sender=row.sender,
            recipient=row.recipient,
            test=outcome.test,
            index=row.index,
            sequence=row.sequence,
            received_at=row.received_at.isoformat(timespec="microseconds"),
            digest=row.digest.hex(),
            bytes=len(row.envelope),
        )

    def _refused(self, fields: dict[str, object], item: int, refusal: RefusedError, data: bytes) -> None:
        self._audit.write(
            "statement.refused",
            **fields,
            item=item,
            reason=refusal.reason.value,
            code=refusal.code.name,
            retryable=refusal.retryable,
            violations=[violation.field for violation in refusal.violations[:MAX_VIOLATIONS]],
            digest=dsse.digest(data).hex(),
            bytes=len(data),
        )
