"""How values stand in columns, the same in every backend."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from panji.core.case import Stop
from panji.core.merkle import HASH_SIZE
from panji.core.vocabulary import StopCause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from panji.core.case import Case
    from panji_server.storage.base import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant of :func:`to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def _micros_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else to_micros(instant)


def write_stops(stops: Iterable[Stop]) -> str:
    """The times in which a clock stood still, as text: ``[["question", 1, null]]``, empty where there was none."""
    told = [[stop.cause, to_micros(stop.begins), _micros_or_none(stop.ends)] for stop in stops]
    return json.dumps(told, separators=(",", ":")) if told else ""


def read_stops(text: str) -> tuple[Stop, ...]:
    """The stops of :func:`write_stops`."""
    return tuple(
        Stop(StopCause(cause), from_micros(begins), None if ends is None else from_micros(ends))
        for cause, begins, ends in (json.loads(text) if text else ())
    )


def join_hashes(hashes: Iterable[bytes]) -> bytes:
    """Hashes one after the other."""
    return b"".join(hashes)


def split_hashes(data: bytes) -> tuple[bytes, ...]:
    """The hashes of :func:`join_hashes`."""
    return tuple(data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE))


def node_key(level: int, index: int) -> int:
    """The place of a node of the Merkle tree in the order in which nodes become complete.

    A leaf is followed by every subtree that it completes. Of the leaves before leaf ``n`` come ``2n - popcount(n)``
    nodes, so the keys of an append are consecutive and the largest yet (the order of golang.org/x/mod/sumdb/tlog).
    """
    last_leaf = ((index + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def statement_record(row: Row) -> tuple[Any, ...]:
    """A statement as a record."""
    return (
        row.index, bytes.fromhex(row.id.replace("-", "")), row.kind, row.sender, row.recipient, row.sequence,
        row.case_index, to_micros(row.received_at), row.salt, row.digest, row.commitment, row.tree_size,
        row.envelope,
    )  # fmt: skip


def case_record(index: int, case: Case) -> tuple[Any, ...]:
    """A case, without its targets, as a record."""
    return (
        index, case.authority, case.platform, int(case.test), int(case.instrument), int(case.category),
        int(case.sub_category), int(case.urgency), int(case.state), int(case.level), case.open_question,
        case.asked_by or "", case.decision, case.obstacle, to_micros(case.clock.since),
        write_stops(case.clock.stops), _micros_or_none(case.restore_since),
        to_micros(case.opened_at), to_micros(case.updated_at), _micros_or_none(case.overdue_since),
    )  # fmt: skip


def target_records(index: int, case: Case) -> list[tuple[Any, ...]]:
    """The targets of a case as records."""
    return [
        (index, position, int(one.state), int(one.outcome), int(one.refusal), int(one.pending))
        for position, one in enumerate(case.targets, 1)
    ]
