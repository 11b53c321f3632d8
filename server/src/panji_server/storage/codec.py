"""How values stand in columns, the same in every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from panji.core.merkle import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant of :func:`to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


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
