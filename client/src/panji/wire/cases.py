"""Cases: the exchange's view of one as a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panji.v1 import case_pb2
from panji.wire.receipts import delivery_to_message
from panji.wire.times import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from panji.core.case import Case, TargetStatus
    from panji.core.receipt import Receipt
    from panji.core.vocabulary import Role


def case_to_message(case: Case, statements: Iterable[tuple[bytes, Receipt]] = ()) -> case_pb2.Case:
    """Returns a case as its parties read it, with its statements where they are wanted."""
    names: dict[str, Any] = {
        name: getattr(case, name) for name in ("instrument", "category", "sub_category", "urgency", "state")
    }
    return case_pb2.Case(
        id=case.id,
        authority=case.authority,
        platform=case.platform,
        test=case.test,
        targets=[_target(position, one) for position, one in enumerate(case.targets, 1)],
        opened_at=to_timestamp(case.opened_at),
        updated_at=to_timestamp(case.updated_at),
        statements=[delivery_to_message(envelope, receipt) for envelope, receipt in statements],
        asked_by=_organisation(case, case.asked_by),
        clock_stopped_at=_timestamp(case.clock.stopped_at),
        restore_since=_timestamp(case.restore_since),
        **names,
    )


def _organisation(case: Case, side: Role | None) -> str:
    return "" if side is None else case.side(side)


def _timestamp(time: datetime | None) -> Timestamp | None:
    return None if time is None else to_timestamp(time)


def _target(position: int, status: TargetStatus) -> case_pb2.CaseTarget:
    names: dict[str, Any] = {"state": status.state, "outcome": status.outcome, "refusal": status.refusal}
    return case_pb2.CaseTarget(target=position, pending=status.pending, **names)
