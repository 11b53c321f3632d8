"""The steps of both clients, where they need no exchange: batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.lying_exchange import World
from support.statements import MINISTRY, NOON, PLATFORM, a_flag

from panji.errors import InputError
from panji.operations import batches

if TYPE_CHECKING:
    from panji.session import Signed


@pytest.fixture(scope="module")
def signed() -> Signed:
    return World().session(MINISTRY).sign(PLATFORM, a_flag(), language="en", now=NOON)


# Batches.


def test_a_batch_has_at_most_so_many(signed: Signed) -> None:
    assert [len(batch) for batch in batches([signed] * 7, 3)] == [3, 3, 1]


def test_nothing_makes_no_batch() -> None:
    assert list(batches([], 3)) == []


def test_a_batch_fits_into_one_request(signed: Signed) -> None:
    large = replace(signed, envelope=bytes(256 * 1024))
    sizes = [len(batch) for batch in batches([large] * 300, 1000)]
    assert sum(sizes) == 300
    assert max(sizes) * len(large.envelope) < 32 * 1024 * 1024
    assert min(sizes[:-1]) > 100


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_a_batch_that_no_exchange_takes_is_refused_at_once(signed: Signed, count: int) -> None:
    with pytest.raises(InputError, match="1 to 1000"):
        list(batches([signed], count))
