"""The outbox and the file beneath it: what was signed is never lost, and never confused."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.lying_exchange import World
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM, a_flag, an_id

from panji.errors import ConfigError, InputError, Reason, ReceiptError, RefusedError
from panji.forks import Forks
from panji.inbox import Cursor, Inbox
from panji.outbox import Outbox
from panji.store import _SCHEMA, Store
from panji.wire.receipts import encode_receipt, receipt_to_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from panji.session import Signed, Verified

REFUSED = RefusedError(Reason.NOT_ACCREDITED, "no")


class Desk:
    """A ministry that signs, and an exchange that takes."""

    def __init__(self) -> None:
        self.world = World()
        self.session = self.world.session(MINISTRY)

    def signed(self, number: int, reasons: str = "as stated") -> Signed:
        return self.session.sign(PLATFORM, a_flag(reasons=reasons), language="en", now=NOON, id=an_id(number))

    def verified(self, signed: Signed) -> Verified:
        return self.session.accept(signed, self.world.exchange.delivery(signed.envelope).receipt)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def opened(path: Path) -> Store:
    return Store(path, organisation=MINISTRY, exchange=EXCHANGE)


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with opened(path) as store:
        yield store


def test_what_was_put_is_pending_in_order_until_it_is_answered(desk: Desk, store: Store) -> None:
    outbox = Outbox(store)
    first, second, third = (desk.signed(number) for number in (3, 1, 2))
    outbox.put([first, second, third])
    assert list(outbox.pending().values()) == [first.envelope, second.envelope, third.envelope]
    outbox.settle([(second, desk.verified(second)), (first, REFUSED)])
    assert list(outbox.pending().values()) == [third.envelope]


def test_what_was_put_survives_a_crash(desk: Desk, path: Path) -> None:
    """The connection is not closed in order: what counts is what another process finds on the disk."""
    crashed, signed = opened(path), desk.signed(1)
    Outbox(crashed).put([signed])
    with opened(path) as survivor:
        assert list(Outbox(survivor).pending().values()) == [signed.envelope]
    crashed.close()


def test_putting_the_same_bytes_again_changes_nothing(desk: Desk, store: Store) -> None:
    outbox, signed = Outbox(store), desk.signed(1)
    outbox.put([signed])
    outbox.settle([(signed, desk.verified(signed))])
    outbox.put([signed, signed])
    assert list(outbox.pending().values()) == []
    assert outbox.envelope(signed.statement.id) == signed.envelope


def test_an_id_names_one_statement_for_ever_and_a_bad_batch_leaves_nothing(desk: Desk, store: Store) -> None:
    outbox, signed = Outbox(store), desk.signed(1)
    outbox.put([signed])
    with pytest.raises(InputError, match="signed before"):
        outbox.put([desk.signed(2), desk.signed(1, "other reasons")])
    assert list(outbox.pending().values()) == [signed.envelope]


def test_nothing_is_known_of_an_id_that_was_never_signed(store: Store) -> None:
    assert Outbox(store).envelope(an_id(1)) is None


def test_two_of_our_statements_in_one_place_of_a_feed_are_noticed(desk: Desk, store: Store) -> None:
    """The recipient is shown one of them. Both receipts are signed: which is more than the recipient can know."""
    outbox, first, second = Outbox(store), desk.signed(1), desk.signed(2)
    outbox.put([first, second])
    shown = desk.verified(first)
    hidden = desk.world.exchange.log.append(second.digest, "flag", PLATFORM, shown.receipt.sequence, NOON)
    outbox.settle([(first, shown)])
    with pytest.raises(ReceiptError, match="kept from its recipient"):
        outbox.settle([(second, desk.session.accept(second, receipt_to_message(hidden)))])
    assert list(outbox.pending().values()) == [second.envelope]
    outbox.settle([(first, shown)])


def test_a_receipt_of_a_place_that_no_feed_can_have_is_none_and_spoils_no_other(desk: Desk, store: Store) -> None:
    """Attack: a genuine receipt with sequence 2⁶³. The state file could hold neither it nor its honest neighbour."""
    outbox, honest, other = Outbox(store), desk.signed(1), desk.signed(2)
    outbox.put([honest, other])
    far = desk.world.exchange.log.append(other.digest, "flag", PLATFORM, 2**63, NOON)
    with pytest.raises(ReceiptError, match="at most 9223372036854775807"):
        desk.session.accept(other, receipt_to_message(far))
    outbox.settle([(honest, desk.verified(honest))])
    assert list(outbox.pending().values()) == [other.envelope]


def test_a_receipt_that_is_set_aside_leaves_its_statement_pending(desk: Desk, store: Store) -> None:
    outbox, signed = Outbox(store), desk.signed(1)
    outbox.put([signed])
    verified = desk.verified(signed)
    outbox.set_aside([verified])
    assert list(outbox.pending().values()) == [signed.envelope]
    assert outbox.unlinked() == [(signed.envelope, encode_receipt(verified.receipt))]
    outbox.settle([(signed, verified)])
    assert outbox.unlinked() == []


def test_a_receipt_outweighs_an_earlier_refusal(desk: Desk, store: Store) -> None:
    outbox, signed = Outbox(store), desk.signed(1)
    outbox.put([signed])
    outbox.settle([(signed, REFUSED)])
    assert outbox.accepted(signed.statement.id) == []
    outbox.settle([(signed, desk.verified(signed))])
    assert outbox.accepted(signed.statement.id) == [signed.envelope]


# The file.


def test_a_state_file_serves_again_after_it_was_closed(desk: Desk, path: Path) -> None:
    signed = desk.signed(1)
    with opened(path) as store:
        Outbox(store).put([signed])
    with opened(path) as store:
        assert list(Outbox(store).pending().values()) == [signed.envelope]


def test_commits_are_on_disk_before_they_return(store: Store) -> None:
    with store.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_transaction_that_fails_leaves_nothing(desk: Desk, store: Store) -> None:
    class Interruption(Exception):  # noqa: N818 - it is none of ours
        pass

    def interrupted() -> None:
        with store.transaction() as connection:
            connection.execute("UPDATE cursor SET sequence = 7")
            raise Interruption

    with pytest.raises(Interruption):
        interrupted()
    with store.transaction() as connection:
        assert connection.execute("SELECT sequence FROM cursor").fetchone() == (0,)


@pytest.mark.parametrize(("organisation", "exchange"), [(PLATFORM, EXCHANGE), (MINISTRY, "other.example/log")])
def test_the_state_of_another_organisation_or_exchange_is_refused(path: Path, organisation: str, exchange: str) -> None:
    """Its cursor counts in another feed, and would skip statements in silence."""
    opened(path).close()
    with pytest.raises(ConfigError, match="belongs to kominfo"):
        Store(path, organisation=organisation, exchange=exchange)


def test_a_state_file_of_a_later_version_is_refused(path: Path) -> None:
    opened(path).close()
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version = {len(_SCHEMA) + 1}")
    later.close()
    with pytest.raises(ConfigError, match=f"says {len(_SCHEMA) + 1}, not {len(_SCHEMA)}"):
        opened(path)


def test_a_state_file_of_the_first_version_is_taken_over_with_all_that_it_holds(desk: Desk, path: Path) -> None:
    signed, answered = desk.signed(1), desk.signed(2)
    first = sqlite3.connect(path)
    first.executescript(_SCHEMA[0])
    first.execute("INSERT INTO owner VALUES (?, ?)", (MINISTRY, EXCHANGE))
    heard = desk.verified(desk.signed(4711)).receipt
    place = (heard.sequence, encode_receipt(heard), heard.index)
    first.execute("INSERT INTO cursor VALUES (1, ?)", place[:1])
    first.execute("INSERT INTO inbox VALUES (?, '', '', 'flag', x'', ?, ?)", place)
    columns = "id, case_id, kind, recipient, envelope, created_at, receipt"
    for one, receipt in ((signed, None), (answered, b"its receipt")):
        row = (one.statement.id, one.statement.case, "flag", PLATFORM, one.envelope, "", receipt)
        first.execute(f"INSERT INTO outbox ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608 - no input
    first.execute("PRAGMA user_version = 1")
    first.commit()
    first.close()
    for _ in range(2):
        with opened(path) as store:
            assert list(Outbox(store).pending().values()) == [signed.envelope]
            assert Outbox(store).accepted(answered.statement.case) == [answered.envelope]
            assert Inbox(store).cursor() == Cursor(heard.sequence, heard.index)
            assert Forks(store, desk.session._log).unresolved() is None


class Others:
    """Another process that makes the same new file, and has its lock until it is waited for."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")
        self.waits = 0

    def is_waited_for(self, _: float) -> None:
        """In the place of a pause: at the third, they are done."""
        self.waits += 1
        if self.waits == 3:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def test_several_that_open_a_new_state_file_at_once_wait_for_each_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Others(path)) as others:
        monkeypatch.setattr("panji.store.time.sleep", others.is_waited_for)
        with opened(path) as store, store.transaction() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert others.waits == 3


def test_a_new_state_file_that_somebody_keeps_locked_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panji.store._BUSY_SECONDS", 0)
    with closing(Others(path)), pytest.raises(ConfigError, match="database is locked"):
        opened(path)


def modes(path: Path) -> dict[str, int]:
    return {one.name.removeprefix(path.name): one.stat().st_mode & 0o777 for one in path.parent.iterdir()}


def test_what_was_said_is_for_the_owners_eyes_only(desk: Desk, path: Path) -> None:
    """Attack: another user of the machine reads flags in the state file, or in what SQLite keeps beside it."""
    before = os.umask(0)
    try:
        with opened(path) as store:
            Outbox(store).put([desk.signed(1)])
            assert modes(path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
            for one in path.parent.iterdir():
                one.chmod(0o644)  # as an earlier version left them
            with opened(path):
                assert modes(path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    finally:
        os.umask(before)


def test_a_state_file_that_does_not_say_whose_it_is_is_damaged(path: Path) -> None:
    opened(path).close()
    torn = sqlite3.connect(path)
    torn.execute("DELETE FROM owner")
    torn.commit()
    torn.close()
    with pytest.raises(ConfigError, match="does not say whose"):
        opened(path)


def test_somebody_elses_database_is_refused_and_left_alone(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE notes (text)")
    with pytest.raises(ConfigError, match="no state file"):
        opened(path)
    assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    foreign.close()


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigError) as caught:
        opened(path)
    assert caught.value.key == "state"


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        opened(tmp_path / "nowhere" / "state.sqlite")
