"""The inbox: what was delivered, and how far we have got."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.lying_exchange import World
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM, a_flag

from panji.errors import ConfigError, DeliveryError
from panji.inbox import Cursor, Inbox
from panji.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from panji.session import Verified


def deliveries(world: World, count: int) -> list[Verified]:
    ministry, platform = world.session(MINISTRY), world.session(PLATFORM)
    signed = [ministry.sign(PLATFORM, a_flag(), language="en", now=NOON) for _ in range(count)]
    return [platform.verify_delivery(world.exchange.delivery(one.envelope)) for one in signed]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.sqlite", organisation=PLATFORM, exchange=EXCHANGE) as store:
        yield store


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store)


def test_at_first_nothing_was_handled(inbox: Inbox) -> None:
    assert inbox.cursor() == Cursor(0, -1)


def test_keeping_a_statement_does_not_mean_that_it_was_handled(inbox: Inbox) -> None:
    inbox.keep(deliveries(World(), 2))
    assert inbox.cursor().sequence == 0


def test_the_cursor_knows_the_place_in_the_log(inbox: Inbox) -> None:
    inbox.keep(deliveries(World(), 2))
    inbox.advance(2)
    assert inbox.cursor() == Cursor(2, 1)
    assert inbox.cursor(1) == Cursor(1, 0)
    assert inbox.cursor(9) == Cursor(9, -1)


def test_the_cursor_never_goes_back(inbox: Inbox) -> None:
    inbox.keep(deliveries(World(), 3))
    inbox.advance(3)
    inbox.advance(2)
    assert inbox.cursor().sequence == 3


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cursor SET sequence = 10",
        "UPDATE cursor SET sequence = -1",
        "UPDATE cursor SET sequence = 'x'",
        "DELETE FROM cursor",
        "DELETE FROM inbox WHERE sequence = 2",
        "UPDATE inbox SET receipt = x'ff' WHERE sequence = 2",
        "UPDATE inbox SET receipt = (SELECT receipt FROM inbox WHERE sequence = 1) WHERE sequence = 2",
    ],
)
def test_a_damaged_cursor_passes_nothing_over_in_silence(store: Store, inbox: Inbox, damage: str) -> None:
    inbox.keep(deliveries(World(), 2))
    inbox.advance(2)
    with store.transaction() as connection:
        connection.execute(damage)
    with pytest.raises(ConfigError, match="is damaged"):
        inbox.cursor()


def test_a_statement_that_is_delivered_once_more_is_the_same(inbox: Inbox) -> None:
    delivered = deliveries(World(), 2)
    inbox.keep(delivered)
    inbox.keep(delivered)
    assert inbox.received(delivered[0].statement.case) == [delivered[0].envelope]


def test_a_feed_that_was_rewritten_after_delivery_is_noticed_and_keeps_the_evidence(inbox: Inbox) -> None:
    first, other = deliveries(World(), 1), deliveries(World(), 1)
    inbox.keep(first)
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep(other)
    assert inbox.received(first[0].statement.case) == [first[0].envelope]


def test_a_statement_that_stands_at_another_place_of_the_feed_is_not_kept_twice(inbox: Inbox) -> None:
    """Attack: one envelope is logged at sequences 1 and 2, with two genuine receipts, and is handed over twice."""
    world = World()
    first, second = deliveries(world, 2)
    again = replace(first, receipt=replace(second.receipt, sequence=3))
    inbox.keep([first, second])
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep([again])
    assert inbox.received(first.statement.case) == [first.envelope]
    assert inbox.repeated([first, second]) is None
    found = inbox.repeated([second, again])
    assert found is not None
    assert found[0] == 1


def test_a_statement_that_is_twice_in_one_delivery_is_noticed(inbox: Inbox) -> None:
    (first,) = deliveries(World(), 1)
    again = replace(first, receipt=replace(first.receipt, sequence=2))
    found = inbox.repeated([first, again])
    assert found is not None
    assert found[0] == 1
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep([first, again])


def test_a_statement_that_came_by_another_way_is_the_one_that_the_feed_had_in_its_place(inbox: Inbox) -> None:
    first, second = deliveries(World(), 2)
    inbox.keep([first])
    inbox.require_same([first, second])  # the second was not delivered yet
    other = deliveries(World(), 1)
    with pytest.raises(DeliveryError, match="another one there"):
        inbox.require_same(other)
