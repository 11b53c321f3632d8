"""The audit of a database: every damage that a hand or a disk can do to the log is named."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support.rooms import LOG, a_record, erasures_of, flags, put

from panji import development
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.errors import AuditError, NoteError, TransportError, VerificationError
from panji_server.storage.codec import node_key
from panji_server.storage.sqlite import SQLiteStorage
from panji_server.verify import main, verify

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.audit import Audited

SIZES = (3, 200, 260)


class Database:
    """A log of 260 statements in three commits, and a way to damage it by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heads: dict[int, Checkpoint] = {}
        with closing(SQLiteStorage(path)) as storage:
            first = 1
            for size in SIZES:
                put(storage, *flags(size - first + 1, first=first))
                self.heads[size] = open_checkpoint(storage.checkpoints([size])[size], LOG.verifier)
                first = size + 1

    def damage(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)

    def verify(self, *older: Checkpoint, log: NoteVerifier = LOG.verifier) -> Audited:
        with closing(SQLiteStorage(self.path)) as storage:
            return verify(storage, log, older=older)

    def caught(self) -> str:
        with pytest.raises(VerificationError) as error:
            self.verify()
        return str(error.value)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "exchange.db")


def test_an_honest_database_is_proven(database: Database) -> None:
    told: list[tuple[int, int]] = []
    with closing(SQLiteStorage(database.path)) as storage:
        found = verify(storage, LOG.verifier, older=[database.heads[3]], report=lambda *progress: told.append(progress))
    assert (found.entries, found.older) == (260, (3,))
    assert told == [(256, 260), (260, 260)]


def test_an_empty_database_proves_nothing(tmp_path: Path) -> None:
    with closing(SQLiteStorage(tmp_path / "empty.db")) as storage, pytest.raises(TransportError, match="is empty"):
        verify(storage, LOG.verifier)


def test_a_database_of_another_key_is_refused(database: Database) -> None:
    stranger = NoteVerifier.for_key(LOG.verifier.name, PrivateKeySigner.generate().public_key)
    with pytest.raises(NoteError):
        database.verify(log=stranger)


@pytest.mark.parametrize(
    ("column", "value", "where"),
    [
        ("kind", "decision", "entry 77 in tile/entries/000"),
        ("received_at", 1, "entry 77 in tile/entries/000"),
        ("commitment", bytes(32), "entry 77 does not commit"),
        ("salt", bytes(16), "entry 77 does not commit"),
        ("salt", bytes(3), "entry 77 has no commitment"),
        ("recipient", "other", "entry 77 does not commit"),
        ("sequence", 9999, "entry 77 does not commit"),
        ("digest", bytes(32), "entry 77 has another envelope"),
        ("envelope", b"other", "entry 77 has another envelope"),
        ("tree_size", 77, "entry 77 has no checkpoint"),
        ("tree_size", 100, "entry 77 has no checkpoint"),
    ],
)
def test_a_statement_that_was_changed_is_named(database: Database, column: str, value: object, where: str) -> None:
    database.damage(f"UPDATE statement SET {column} = ? WHERE idx = 77", value)  # noqa: S608 - names of this table
    assert database.caught().startswith(where)


def test_what_was_erased_leaves_the_proof_whole(database: Database) -> None:
    flag = flags(1, first=78)[0]
    with closing(SQLiteStorage(database.path)) as storage:
        (row,) = storage.rows([77])
        put(storage, a_record(number=800))
        put(storage, *erasures_of(replace(flag, digest=row.digest), number=900, at=storage))
    assert database.verify().entries == 263
    database.damage("UPDATE statement SET commitment = ? WHERE idx = 77", bytes(32))
    assert database.caught().startswith("entry 77 in tile/entries/000")


def test_content_that_is_gone_without_an_erasure_is_named(database: Database) -> None:
    database.damage("UPDATE statement SET envelope = x'', salt = x'' WHERE idx = 77")
    assert database.caught() == "entry 77 has no content, and no erasure of its case is in the log after it"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP INDEX statement_id", "index statement_id is not the schema's"),
        (
            "CREATE TRIGGER quiet BEFORE INSERT ON statement BEGIN SELECT RAISE(IGNORE); END",
            "trigger quiet is not the schema's",
        ),
        ("CREATE TABLE notes (text TEXT)", "table notes is not the schema's"),
    ],
)
def test_a_schema_that_is_not_ours_is_named(database: Database, change: str, told: str) -> None:
    database.damage(change)
    assert database.caught() == f"the database is damaged: {told}"


def test_an_index_that_misses_a_record_is_named(database: Database) -> None:
    """A statement that its id does not find: a retry of it would be taken a second time."""
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE idx > 9' WHERE name = 'statement_id'")
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("REINDEX statement_id")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' WHERE idx > 9', '')")
    assert "missing from index statement_id" in database.caught()


def test_statistics_of_sqlites_own_are_no_damage(database: Database) -> None:
    database.damage("ANALYZE")
    assert database.verify().entries == 260


@pytest.mark.parametrize(
    ("level", "index", "where"),
    [
        (0, 5, "node 2 of height 1"),
        (0, 258, "node 129 of height 1"),
        (1, 40, "node 40 of height 1"),
        (7, 1, "node 1 of height 7"),
        (1, 129, "node 129 of height 1"),
        (8, 0, "the right edge of the tree"),
    ],
)
def test_a_node_that_was_changed_is_named(database: Database, level: int, index: int, where: str) -> None:
    database.damage("UPDATE node SET hash = ? WHERE key = ?", bytes(32), node_key(level, index))
    assert database.caught().startswith(where)


def test_a_checkpoint_of_another_history_is_named(database: Database) -> None:
    forged = sign_checkpoint(Checkpoint(LOG.verifier.name, 200, bytes(32)), LOG)
    database.damage("UPDATE checkpoint SET note = ? WHERE size = 200", forged)
    assert database.caught() == "the checkpoint of 200 entries is of another history: the log was rewritten"


def test_a_checkpoint_in_anothers_place_is_named(database: Database) -> None:
    database.damage("UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 3) WHERE size = 200")
    assert database.caught() == "the checkpoint of 200 entries says 3"


def test_a_head_that_is_ahead_of_its_entries_is_caught(database: Database) -> None:
    forged = sign_checkpoint(Checkpoint(LOG.verifier.name, 300, bytes(32)), LOG)
    database.damage("UPDATE checkpoint SET note = ? WHERE size = 260", forged)
    assert database.caught() == "tile/0/001.p/44 is missing, and the checkpoint commits to it"


def test_a_checkpoint_of_another_key_is_refused(database: Database) -> None:
    other = NoteSigner(LOG.verifier.name, PrivateKeySigner.generate())
    database.damage("UPDATE checkpoint SET note = ? WHERE size = 3", sign_checkpoint(database.heads[3], other))
    assert "none of the known keys" in database.caught()


def test_a_database_that_was_rolled_back_is_caught(database: Database) -> None:
    with pytest.raises(AuditError, match="had signed 261 before"):
        database.verify(Checkpoint(LOG.verifier.name, 261, bytes(32)))


# The program.


@pytest.fixture
def made(tmp_path: Path) -> development.Development:
    """A development exchange with a log."""
    made = development.init(tmp_path / "made", now=datetime.now(UTC))
    Database(made.config.parent / "exchange.db")
    return made


def run(made: development.Development, *more: object, key: str = str(LOG.verifier)) -> int:
    return main(["--config", str(made.config), *(["--log-key", key] if key else []), *map(str, more)])


def test_the_program_says_what_is_proven(made: development.Development, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made) == 0
    assert capsys.readouterr().out.startswith(f"Verified: {LOG.verifier.name}: 260 of 260 entries lead to")
    assert run(made, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["type"], record["verified"], record["size"]) == ("audit", True, 260)


def test_the_program_shows_its_progress_to_a_person(
    made: development.Development, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run(made) == 0
    assert "\rauditing 256 of 260\rauditing 260 of 260\n" in capsys.readouterr().err


def test_the_program_holds_the_log_to_older_heads(made: development.Development, tmp_path: Path) -> None:
    path = tmp_path / "head"
    path.write_text(sign_checkpoint(Checkpoint(LOG.verifier.name, 261, bytes(32)), LOG))
    assert run(made, "--since", path) == 4
    assert run(made, "--since", tmp_path / "nowhere") == 2


def test_the_program_takes_the_key_of_the_settings(
    made: development.Development, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(made, "--json", key="") == 4  # the log is signed with a key of the test's
    assert json.loads(capsys.readouterr().err)["error"]["reason"] == "VERIFICATION_FAILED"
    (made.config.parent / "keys" / "log.pem").write_text("no key")
    assert run(made, key="") == 6
    assert run(made, key="no key") == 6


def test_the_program_makes_no_database_where_there_is_none(made: development.Development) -> None:
    path = made.config.parent / "exchange.db"
    path.unlink()
    assert run(made) == 6
    assert not path.exists()


def test_a_damaged_file_and_an_empty_log_have_exit_codes_of_their_own(made: development.Development) -> None:
    path = made.config.parent / "exchange.db"
    path.write_bytes(b"no database" * 1000)
    assert run(made) == 4
    for left in path.parent.glob("exchange.db*"):
        left.unlink()
    SQLiteStorage(path).close()
    assert run(made) == 5
