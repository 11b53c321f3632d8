"""A real exchange whose database is set back to an older copy while it is down: clients that know better say so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.exchange import running_exchange
from support.statements import a_flag

from panji.client import Client
from panji.core.checkpoint import open_checkpoint
from panji.errors import ForkKind, LogForkError
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.exchange import Running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange to be set back."""
    with running_exchange(tmp_path / "made") as running:
        yield running


def connect(own: Running, organisation: str) -> Client:
    return Client.connect(Profile.load(own.world.made.profiles[organisation]))


def submit(client: Client) -> int:
    """Submits a flag; returns the size of the log."""
    return client.submit(client.flag("telegram", a_flag())).receipt.index + 1


def copy(own: Running) -> bytes:
    """The database as it is, as `sqlite3 .backup` would copy it."""
    with (
        closing(sqlite3.connect(own.world.made.config.parent / "exchange.db")) as running,
        closing(sqlite3.connect(":memory:")) as taken,
    ):
        running.backup(taken)
        return taken.serialize()


def restore(own: Running, database: bytes) -> None:
    """Ends the exchange, puts another database in the place of its own, and starts it again."""
    own.hang_up()
    assert own.terminate() == 0
    place = own.world.made.config.parent / "exchange.db"
    for left in place.parent.glob(f"{place.name}-*"):
        left.unlink()
    place.write_bytes(database)
    own.restart()


def caught_by(own: Running, operation: Callable[[], Any]) -> LogForkError:
    """The contradiction that an operation must find; both of its heads are saved, and are by the log's key."""
    with pytest.raises(LogForkError) as caught:
        operation()
    found = caught.value
    assert found.saved is not None
    page = found.saved.read_text()
    for note in (found.kept, found.seen):
        open_checkpoint(note, own.world.log)
        assert note in page
    return found


def sizes(own: Running, found: LogForkError) -> tuple[int, int]:
    return open_checkpoint(found.kept, own.world.log).size, open_checkpoint(found.seen, own.world.log).size


def test_exchange_that_was_set_back_and_grew_another_way_is_caught_by_whoever_knew_the_first(own: Running) -> None:
    with connect(own, "kominfo") as ministry, connect(own, "telegram") as platform:
        first = submit(ministry)
        older = copy(own)
        last = [submit(ministry) for _ in range(4)][-1]
        assert len(list(platform.watch(follow=False))) == 5
        newer = copy(own)
        restore(own, older)
        for _ in range(6):
            own["kominfo"].says(a_flag(), "telegram")  # by a client that remembers nothing
        for client in (ministry, platform):
            found = caught_by(own, client.checkpoint)
            assert (found.kind, sizes(own, found)) == (ForkKind.FORK, (last, first + 6))
        assert (caught_by(own, lambda: submit(ministry))).kind is ForkKind.FORK
        assert caught_by(own, lambda: next(platform.watch())).kind is ForkKind.FORK
        # The operator brings the right copy back; a person has looked; and what was held goes on.
        restore(own, newer)
        ministry.resolve_fork()
        assert ministry.checkpoint().size == last
        assert [one for one, _ in ministry.submit_many(ministry.pending())]
        platform.resolve_fork()
        assert [one.receipt.sequence for one in platform.watch(follow=False)] == [6]


def test_exchange_that_was_set_back_and_did_not_grow_is_caught_as_rolled_back(own: Running) -> None:
    with connect(own, "kominfo") as ministry, connect(own, "telegram") as platform:
        first = submit(ministry)
        older = copy(own)
        last = [submit(ministry) for _ in range(4)][-1]
        assert len(list(platform.watch(follow=False))) == 5
        restore(own, older)
        found = caught_by(own, lambda: next(platform.watch()))  # its feed is shorter than its cursor
        assert (found.kind, sizes(own, found)) == (ForkKind.ROLLBACK, (last, first))
        found = caught_by(own, ministry.checkpoint)
        assert (found.kind, sizes(own, found)) == (ForkKind.ROLLBACK, (last, first))


def test_exchange_that_was_set_back_is_caught_by_the_next_receipt_over_a_restart_of_the_client(own: Running) -> None:
    with connect(own, "kominfo") as ministry:
        submit(ministry)
        older = copy(own)
        last = submit(ministry)
    restore(own, older)
    with connect(own, "kominfo") as ministry:
        found = caught_by(own, lambda: submit(ministry))
        assert (found.kind, sizes(own, found)) == (ForkKind.SPLIT, (last, last))
