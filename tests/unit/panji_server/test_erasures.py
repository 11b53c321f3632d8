"""Erased content, accounted for: what two persons have signed is gone, all of it, and both sides are told.

The attacker here is one person who has the log's key and the database: what they log is in the log, and leads to its
head. Whoever audits the log must not take it for an erasure.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import (
    LATER,
    LOG,
    SECOND_PERSON,
    SIGNERS,
    a_directory,
    a_record,
    admitted,
    an_erasure_of,
    an_organisation,
    erasures_of,
    flags,
    put,
    reply,
    told,
)
from support.statements import MINISTRY, NOON, OPERATOR, PLATFORM, STRANGER, a_statement, an_acknowledgement, an_id

from panji.core import envelope as dsse
from panji.core.keys import PrivateKeySigner
from panji.core.statements import DirectoryRecord
from panji.errors import AuditError
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.statements import encode_statement
from panji_server import startup
from panji_server.erasures import Erasures
from panji_server.rebuild import DifferenceError, compare, rebuild
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage
from panji_server.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from panji.core.directory import KeyRecord
    from panji_server.sequencing import Admitted
    from panji_server.storage.base import Storage

FLAG, OTHER = flags(2)
ANSWER = reply(FLAG, an_acknowledgement(), 53)
FIRST_PERSON = SIGNERS[OPERATOR]


def rebuilt(storage: Storage) -> None:
    fresh = MemoryStorage()
    rebuild(storage, fresh, LOG.verifier, progress=lambda _done, _size: None)
    compare(storage, fresh)


AUDITS: dict[str, tuple[Callable[[Storage], object], type[Exception]]] = {
    "the audit of the whole log": (lambda storage: verify(storage, LOG.verifier), AuditError),
    "the audit at start": (lambda storage: startup.audit(storage, LOG.verifier), StorageError),
    "a rebuild": (rebuilt, DifferenceError),
}
EVERY_AUDIT = pytest.mark.parametrize("audit", AUDITS)


class Database:
    """A log in which a directory is on record, and two flags and an answer to the first are said."""

    def __init__(self, path: Path, record: Admitted | None) -> None:
        self.path = path
        self.put(*([record] if record is not None else []))
        self.put(FLAG, OTHER, ANSWER)

    def put(self, *items: Admitted) -> list[str]:
        with closing(SQLiteStorage(self.path)) as storage:
            return [told(one) for one in put(storage, *items)]

    def erase(self, *, sides: Sequence[int] = (0, 1), change: Any = None, **options: Any) -> None:
        """Logs an erasure of the first case to these sides."""
        with closing(SQLiteStorage(self.path)) as storage:
            both = erasures_of(FLAG, ANSWER, at=storage, **options)
            chosen = [both[side] for side in sides]
            for outcome in put(storage, *(map(change, chosen) if change is not None else chosen)):
                assert told(outcome).startswith("accepted")

    def hand(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1

    def passes(self, audit: str) -> None:
        with closing(SQLiteStorage(self.path)) as storage:
            AUDITS[audit][0](storage)

    def refused_by(self, audit: str) -> str:
        check, error = AUDITS[audit]
        with closing(SQLiteStorage(self.path)) as storage, pytest.raises(error) as refusal:
            check(storage)
        return str(refusal.value)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "exchange.db", a_record())


@EVERY_AUDIT
def test_what_two_persons_have_erased_passes_with_both_sides_told(database: Database, audit: str) -> None:
    database.erase()
    database.passes(audit)


# By two persons.


def with_garbage(erasure: Admitted) -> Admitted:
    """As if the second person had signed: a signature of the right length, which proves nothing."""
    envelope = parse_envelope(erasure.envelope)
    one, two = envelope.signatures
    data = encode_envelope(replace(envelope, signatures=(one, replace(two, sig=bytes(64)))))
    return replace(erasure, envelope=data, digest=dsse.digest(data))


def as_something_else(erasure: Admitted) -> Admitted:
    """The bytes of an erasure, by two persons who signed them under another type."""
    signers = [SIGNERS[OPERATOR], SECOND_PERSON]
    data = encode_envelope(dsse.sign(encode_statement(erasure.statement), signers, "text/plain"))
    return replace(erasure, envelope=data, digest=dsse.digest(data))


@EVERY_AUDIT
@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param({"by": [FIRST_PERSON]}, "of 2 needed signatures", id="one person"),
        pytest.param({"by": [FIRST_PERSON] * 2}, "of 2 needed signatures", id="one person, twice"),
        pytest.param({"change": with_garbage}, "of 2 needed signatures", id="zeros as a signature"),
        pytest.param({"by": [PrivateKeySigner.generate()]}, "needed signatures", id="nobody's key"),
        pytest.param({"by": [FIRST_PERSON, SIGNERS[PLATFORM]]}, "of 2 needed signatures", id="somebody else's key"),
        pytest.param(
            {"by": [SIGNERS[STRANGER]], "sender": STRANGER},
            "an operator does not say it",
            id="a platform of another case",
        ),
        pytest.param({"change": as_something_else}, "it was signed as something else", id="another type"),
        pytest.param({"exchange": "other.example/log"}, "said on another exchange", id="said on another exchange"),
    ],
)
def test_one_person_with_the_logs_key_and_the_database_erases_nothing_unseen(
    database: Database, audit: str, options: dict[str, Any], why: str
) -> None:
    """Attack: an erasure that the exchange would never have taken, logged and signed for by hand."""
    database.erase(**options)
    said = database.refused_by(audit)
    assert "has no content, and the erasure of its case is not proven" in said
    assert why in said


def keys_of_two(**second: Any) -> tuple[KeyRecord, KeyRecord]:
    first, other = an_organisation(OPERATOR).keys
    return first, replace(other, **second)


def nobody_s_record() -> Admitted:
    """A directory with a second key for the operator, by somebody whom it does not know."""
    return admitted(a_record(number=81).statement, by=[PrivateKeySigner.generate()])


RECORDS: dict[str, tuple[Callable[[], Admitted] | None, str]] = {
    "no directory at all": (None, "no directory is on record before it"),
    "a machine for the second person": (
        lambda: a_record(a_directory(an_organisation(OPERATOR, keys=keys_of_two(automatic=True)))),
        "of 2 needed signatures",
    ),
    "a key that had ended": (
        lambda: a_record(a_directory(an_organisation(OPERATOR, keys=keys_of_two(valid_until=NOON)))),
        "of 2 needed signatures",
    ),
    "a key that was yet to count": (
        lambda: a_record(a_directory(an_organisation(OPERATOR, keys=keys_of_two(valid_from=LATER.replace(year=2030))))),
        "of 2 needed signatures",
    ),
    "a directory that nobody can read": (
        lambda: admitted(a_statement(DirectoryRecord(document="[[organisation]]\n"), id=an_id(80))),
        "the directory on record before it cannot be read",
    ),
    "a directory that the operator has not signed": (nobody_s_record, "needed signatures"),
}


@EVERY_AUDIT
@pytest.mark.parametrize("record", RECORDS)
def test_who_the_two_are_is_for_the_directory_on_record_before_to_say(tmp_path: Path, audit: str, record: str) -> None:
    make, why = RECORDS[record]
    database = Database(tmp_path / "exchange.db", make() if make is not None else None)
    database.erase()
    database.put(a_record(number=85))  # what is on record afterwards changes nothing
    said = database.refused_by(audit)
    assert "the erasure of its case is not proven" in said
    assert why in said


@EVERY_AUDIT
def test_keys_count_by_the_newest_record_before_the_erasure(tmp_path: Path, audit: str) -> None:
    alone = a_directory(an_organisation(OPERATOR, keys=an_organisation(OPERATOR).keys[:1]))
    database = Database(tmp_path / "exchange.db", a_record(alone))
    database.put(a_record(number=81))
    database.erase()
    database.passes(audit)


def test_a_directory_whose_content_is_gone_proves_nothing(database: Database) -> None:
    """The audit at start looks at the latest entries only, so the record may be one that it does not look at."""
    database.erase()
    database.hand("UPDATE statement SET envelope = ? WHERE idx = 0", FLAG.envelope)
    with closing(SQLiteStorage(database.path)) as storage, pytest.raises(AuditError, match="entry 0 has another env"):
        verify(storage, LOG.verifier)
    with closing(SQLiteStorage(database.path)) as storage:
        (flag,) = storage.rows([1])
        assert Erasures(storage, LOG.verifier.name).flaw(flag).endswith("the directory on record before it is none")


# To each side.


@pytest.mark.parametrize(("side", "untold"), [(0, MINISTRY), (1, PLATFORM)])
@pytest.mark.parametrize("audit", ["the audit of the whole log", "a rebuild"])
def test_an_erasure_of_which_one_side_was_never_told_is_reported(
    database: Database, audit: str, side: int, untold: str
) -> None:
    """What an older release could leave behind: content gone, the call refused, and one side in the dark."""
    database.erase(sides=[side])
    assert f"1 was erased, and no erasure tells {untold} so" in database.refused_by(audit)


@EVERY_AUDIT
def test_an_exchange_starts_on_half_an_erasure_so_that_the_other_half_can_follow(
    database: Database, audit: str
) -> None:
    database.erase(sides=[0])
    database.passes("the audit at start")
    database.erase(sides=[1])
    database.passes(audit)


@EVERY_AUDIT
def test_half_an_erasure_is_completed_by_a_new_one_of_both(database: Database, audit: str) -> None:
    database.erase(sides=[0])
    database.erase(number=300)
    database.passes(audit)


# And gone.


def backup(database: Database) -> list[tuple[bytes, bytes, int]]:
    with closing(SQLiteStorage(database.path)) as storage:
        return [(row.envelope, row.salt, row.index) for row in storage.rows([1, 3])]


@EVERY_AUDIT
@pytest.mark.parametrize(
    ("back", "told"),
    [([1, 3], "4 erases entry 1, and its content is there"), ([3], "1 has no content, and the erasure of")],
)
def test_content_that_is_put_back_from_a_backup_is_found(
    database: Database, audit: str, back: list[int], told: str
) -> None:
    """Attack, or a clumsy restore: all fits the log to the last byte, and would be delivered again."""
    saved = backup(database)
    database.erase()
    for row in saved:
        if row[2] in back:
            database.hand("UPDATE statement SET envelope = ?, salt = ? WHERE idx = ?", *row)
    assert told in database.refused_by(audit)


@EVERY_AUDIT
def test_content_that_is_put_back_is_found_though_the_erasure_is_hidden_in_another_case(
    database: Database, audit: str
) -> None:
    saved = backup(database)
    database.erase()
    for row in saved:
        database.hand("UPDATE statement SET envelope = ?, salt = ? WHERE idx = ?", *row)
    for index in (4, 5):
        database.hand("UPDATE statement SET case_idx = 2 WHERE idx = ?", index)
    database.refused_by(audit)


def test_what_is_kept_as_an_erasure_and_is_none_is_told(database: Database) -> None:
    """The audit at start, where the envelope of an erasure is another statement's."""
    database.erase()
    with closing(SQLiteStorage(database.path)) as storage:
        (row,) = storage.rows([4])
        erasures = Erasures(storage, LOG.verifier.name)
        for envelope in (b"\xff", FLAG.envelope):
            assert erasures.undone(replace(row, envelope=envelope)) == "is said to be an erasure, and is none"
        assert erasures.undone(row) == ""


def test_an_erasure_says_of_itself_whom_it_tells(database: Database) -> None:
    """Attack: one erasure, and the same bytes kept under the other side's name."""
    database.erase(sides=[0])
    with closing(SQLiteStorage(database.path)) as storage:
        (platform_s,) = storage.rows([4])
        again = an_erasure_of(FLAG, ANSWER, number=91, recipient=PLATFORM, at=storage)
        put(storage, again)
    assert platform_s.recipient == PLATFORM
    database.hand("UPDATE statement SET recipient = ?, sequence = 2 WHERE idx = 5", MINISTRY)
    with closing(SQLiteStorage(database.path)) as storage:
        (flag,) = storage.rows([1])
        assert f"no erasure tells {MINISTRY} so" in Erasures(storage, LOG.verifier.name).flaw(flag)
