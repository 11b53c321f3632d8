"""The inbox: what was delivered, and how far we have got."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.evidence import OPERATOR, Stage
from support.lying_exchange import World
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM, a_flag, an_erased_statement, an_erasure

from panji.core.keys import PrivateKeySigner
from panji.errors import ConfigError, DeliveryError
from panji.inbox import Cursor, Inbox
from panji.store import Store
from panji.trust import Erased

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


# Places of what was erased.


class Feed:
    """A feed in which a flag was erased, and another flag with a good receipt for the very same number in it."""

    def __init__(self) -> None:
        stage = Stage()
        stage.signers[OPERATOR] = [PrivateKeySigner.generate() for _ in range(2)]
        stage.record()
        self.flag = stage.flag()
        it = self.flag.receipt
        place = an_erased_statement(digest=it.digest, index=it.index, recipient=it.recipient, sequence=it.sequence)
        erasure = stage.reply(an_erasure(statements=(place,)), sender=OPERATOR, recipient=PLATFORM)
        self.place = Erased(replace(it, salt=b""), erasure)
        self.live = stage.flag()
        self.live = replace(self.live, receipt=replace(self.live.receipt, sequence=it.sequence))


def test_a_live_statement_is_not_hidden_behind_the_place_of_one_that_was_erased(inbox: Inbox) -> None:
    """Attack: a flag is kept from its platform, which is shown an erased place; its sender has a good receipt."""
    feed = Feed()
    inbox.keep([feed.place])
    with pytest.raises(DeliveryError, match="another one there"):
        inbox.require_same([feed.live])
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep([feed.live])


def test_the_place_of_another_statement_is_not_shown_for_one_that_was_delivered(inbox: Inbox) -> None:
    """Attack: what we have is said to have been something else, which is erased."""
    feed = Feed()
    inbox.keep([feed.live])
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep([feed.place])
    assert inbox.received(feed.live.statement.case) == [feed.live.envelope]


def test_the_same_bytes_at_another_place_of_the_log_are_another_statement(inbox: Inbox) -> None:
    feed = Feed()
    inbox.keep([feed.flag])
    moved = replace(feed.flag, receipt=replace(feed.flag.receipt, index=9))
    with pytest.raises(DeliveryError, match="at sequence 1 before"):
        inbox.keep([moved])
    with pytest.raises(DeliveryError, match="another one there"):
        inbox.require_same([moved])


def test_what_was_delivered_and_then_erased_is_the_same(inbox: Inbox) -> None:
    feed = Feed()
    inbox.keep([feed.flag])
    inbox.keep([feed.place])
    assert inbox.received(feed.flag.statement.case) == [feed.flag.envelope]  # what we had stays ours to delete


def test_a_place_that_was_kept_and_the_statement_that_it_was_are_the_same(inbox: Inbox) -> None:
    feed = Feed()
    inbox.keep([feed.place])
    inbox.keep([feed.flag])
    inbox.require_same([feed.flag])


def test_a_damaged_receipt_is_told_and_lets_nothing_pass_as_the_same(store: Store, inbox: Inbox) -> None:
    feed = Feed()
    inbox.keep([feed.place])
    with store.transaction() as connection:
        connection.execute("UPDATE inbox SET receipt = x'ff'")
    for check in (inbox.keep, inbox.require_same):
        with pytest.raises(ConfigError, match="is damaged"):
            check([feed.flag])
