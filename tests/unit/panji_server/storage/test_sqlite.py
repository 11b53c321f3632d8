"""What is SQLite's own: durability, the schema's version, and every way in which a file can be damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.rooms import LATER, admitted, an_erasure_of, flags, put, put_into, reply, told
from support.statements import MINISTRY, PLATFORM, a_decision, a_flag, a_statement, an_acknowledgement, an_id

from panji.core.vocabulary import CaseState, Role, TargetState
from panji_server.storage import remembered, sqlite
from panji_server.storage.base import CaseFilter, SchemaError, StorageError
from panji_server.storage.sqlite import SCHEMA_VERSION, SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from panji_server.sequencing import Admitted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exchange.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SQLiteStorage]:
    with closing(SQLiteStorage(path)) as made:
        yield made


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, as somebody with an SQLite shell has it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    with ThreadPoolExecutor(1) as other:
        return other.submit(function, *arguments).result()


# Durability.


def test_every_connection_writes_ahead_and_syncs_at_every_commit(storage: SQLiteStorage) -> None:
    def settings() -> tuple[Any, ...]:
        connection = storage._connection()
        return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))

    assert settings() == elsewhere(settings) == ("wal", 2)  # 2 is FULL


def test_where_there_can_be_no_write_ahead_log_the_exchange_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="write-ahead"):
        SQLiteStorage(Path(":memory:"))


def test_what_was_committed_survives_a_kill_and_what_was_not_leaves_no_trace(
    storage: SQLiteStorage, path: Path, tmp_path: Path
) -> None:
    """A copy of the files is what the disk has when the process is killed at that instant."""

    def after_a_kill(name: str) -> Path:
        (tmp_path / name).mkdir()
        for file in tmp_path.glob("exchange.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, tmp_path / name / file.name)
        return tmp_path / name / path.name

    put(storage, *flags(2))
    with storage.append() as transaction:
        put_into(transaction, *flags(1, first=3))
        before = after_a_kill("before")
    after = after_a_kill("after")

    for copy, size in ((before, 2), (after, 3)):
        with closing(SQLiteStorage(copy)) as restarted:
            assert restarted.current_head().frontier.size == restarted.feed_length(PLATFORM) == size
            assert restarted.extent() == size


def test_a_database_that_is_opened_again_goes_on_where_it_was(path: Path) -> None:
    with closing(SQLiteStorage(path)) as first:
        (before,) = put(first, *flags(1))
    with closing(SQLiteStorage(path)) as again:
        assert again.rows([0]) == [before.row]
        assert [told(one) for one in put(again, *flags(1, first=2))] == ["accepted 1"]


def test_a_full_disk_fails_the_commit_leaves_nothing_and_is_got_over(storage: SQLiteStorage) -> None:
    put(storage, *flags(1))
    connection = storage._connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        put(storage, *flags(100, first=2))
    assert not connection.in_transaction
    assert storage.extent() == 1
    connection.execute("PRAGMA max_page_count = 1000000")
    assert [told(one) for one in put(storage, *flags(1, first=2))] == ["accepted 1"]


def test_a_commit_that_fails_at_its_end_is_rolled_back(storage: SQLiteStorage) -> None:
    """A deferred constraint is what SQLite can fail a COMMIT on and keep the transaction open."""
    connection = storage._connection()
    connection.execute("CREATE TABLE child (parent INTEGER REFERENCES head (one) DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("PRAGMA foreign_keys = ON")
    transaction = storage.append()
    transaction.__enter__()
    connection.execute("INSERT INTO child VALUES (7)")
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        transaction.__exit__(None, None, None)
    assert not connection.in_transaction
    assert put(storage, *flags(1))


# The schema.


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1, -1])
def test_a_schema_of_another_version_is_refused_and_left_as_it_is(path: Path, version: int) -> None:
    with closing(SQLiteStorage(path)) as storage:
        put(storage, *flags(1))
    with by_hand(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(SchemaError, match=rf"version {version}, this exchange needs {SCHEMA_VERSION}"):
        SQLiteStorage(path)
    with by_hand(path) as connection:  # nobody holds a lock any more
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    with closing(SQLiteStorage(path)) as storage:
        assert storage.extent() == 1


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(SchemaError):
        SQLiteStorage(path)


def test_of_several_that_start_on_a_new_file_at_once_one_makes_the_schema(path: Path) -> None:
    with by_hand(path) as connection:  # the switch to a write-ahead log is SQLite's own race, and not this one
        connection.execute("PRAGMA journal_mode = WAL")
    together = threading.Barrier(4)

    def start() -> int:
        together.wait(10)
        with closing(SQLiteStorage(path)) as storage:
            return storage.extent()

    with ThreadPoolExecutor(4) as starters:
        assert [one.result() for one in [starters.submit(start) for _ in range(4)]] == [0, 0, 0, 0]


# Locks.


def test_a_locked_database_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.0)
    with closing(SQLiteStorage(path)) as storage, by_hand(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            put(storage, *flags(1))
        with pytest.raises(StorageError, match="locked"):
            SQLiteStorage(path)
        assert storage.extent() == 0  # readers do not wait
        other.execute("ROLLBACK")
        assert put(storage, *flags(1))


def test_a_case_is_never_read_with_the_targets_of_a_later_state(storage: SQLiteStorage) -> None:
    """A decision is committed between the two queries that read a case."""
    flag = flags(1)[0]
    put(storage, flag)
    decisions = [reply(flag, a_decision(1), 2)]

    def decide(query: str) -> None:
        if "FROM target" in query and decisions:
            elsewhere(put, storage, decisions.pop())

    connection = storage._connection()
    connection.set_trace_callback(decide)
    _, one = storage.case(flag.statement.id) or pytest.fail("no case")
    connection.set_trace_callback(None)
    assert decisions == []
    assert (one.state, one.targets[0].state) == (CaseState.SUBMITTED, TargetState.OPEN)
    _, one = storage.case(flag.statement.id) or pytest.fail("no case")
    assert (one.state, one.targets[0].state) == (CaseState.DECIDED, TargetState.ACTIONED)


def test_one_exchange_at_a_time_appends_and_others_may_look(path: Path) -> None:
    with closing(SQLiteStorage(path, exclusive=True)):
        with pytest.raises(StorageError, match="another exchange works on this database"):
            SQLiteStorage(path, exclusive=True)
        SQLiteStorage(path).close()
    SQLiteStorage(path, exclusive=True).close()


def test_whoever_does_not_start_leaves_no_lock_behind(path: Path) -> None:
    SQLiteStorage(path).close()
    with by_hand(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(SchemaError):
            SQLiteStorage(path, exclusive=True)
    path.with_name(f"{path.name}-wal").write_bytes(b"\xff" * 5000)
    for _ in range(2):
        with pytest.raises(StorageError, match="its header is damaged"):
            SQLiteStorage(path, exclusive=True)


def test_a_lock_that_cannot_be_made_is_a_storage_error(path: Path) -> None:
    path.with_name(f"{path.name}-lock").mkdir()
    with pytest.raises(StorageError, match="the lock of the database cannot be made"):
        SQLiteStorage(path, exclusive=True)


# Files.


def test_every_file_is_nobody_elses_to_read_and_an_old_database_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "old.db").touch(0o640)
    (tmp_path / "old.db").chmod(0o640)
    for name, mode in (("new.db", 0o600), ("old.db", 0o640)):
        with closing(SQLiteStorage(tmp_path / name)) as storage:
            put(storage, *flags(1))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob(f"{name}*")}
        assert modes == {
            name: mode, f"{name}-wal": mode, f"{name}-shm": mode, f"{name}-head": 0o600, f"{name}-lock": 0o600,
        }  # fmt: skip


def test_a_thread_that_was_prepared_for_opens_nothing(storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: strangers' connections take the file descriptors, and a thread's first read fails for want of one."""
    put(storage, *flags(1))
    storage.prepare(2)
    monkeypatch.setattr(sqlite3, "connect", None)
    assert [elsewhere(storage.feed_length, PLATFORM), elsewhere(storage.extent)] == [1, 1]


def test_the_newest_head_is_remembered_beside_the_database(storage: SQLiteStorage, path: Path) -> None:
    assert storage.remembered_head() == ""
    heads = []
    for number in range(1, 13):  # the size gets another digit meanwhile
        (one,) = put(storage, *flags(1, first=number))
        heads.append(one.receipt.checkpoint)
        assert storage.remembered_head() == heads[-1]
    with closing(SQLiteStorage(path)) as another:
        assert another.remembered_head() == heads[-1]
        (last,) = put(another, *flags(1, first=13))
    assert path.with_name("exchange.db-head").read_text() == last.receipt.checkpoint


@pytest.mark.parametrize("left", ["head", "wal"])
def test_no_database_is_made_in_the_place_of_one_that_is_gone(path: Path, left: str) -> None:
    path.with_name(f"{path.name}-{left}").touch()
    with pytest.raises(StorageError, match=f"no exchange.db, and there was one: exchange.db-{left} is still there"):
        SQLiteStorage(path)
    assert not path.exists()


def test_no_database_is_made_at_the_end_of_a_link_that_leads_nowhere(path: Path) -> None:
    """A disk that is not mounted, say."""
    path.symlink_to(path.parent / "nowhere.db")
    with pytest.raises(StorageError, match="the database cannot be made"):
        SQLiteStorage(path)


def test_a_head_that_cannot_be_remembered_ends_the_exchange(storage: SQLiteStorage, path: Path) -> None:
    path.with_name("exchange.db-head").mkdir()
    with pytest.raises(StorageError, match="the remembered head failed"):
        put(storage, *flags(1))
    with pytest.raises(StorageError, match="the remembered head failed"):
        storage.remembered_head()


def test_a_disk_that_does_not_keep_the_head_is_not_trusted_with_the_next(
    storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError("the disk is gone")

    def go_on() -> None:
        for number in range(2, 1000):  # until the flush, in a thread of its own, has been tried
            put(storage, *flags(1, first=number))

    monkeypatch.setattr(remembered, "FLUSH_SECONDS", -1.0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        put(storage, *flags(1))
        with pytest.raises(StorageError, match="the disk is gone"):
            go_on()


# Damage.


def test_a_folder_that_does_not_exist_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        SQLiteStorage(tmp_path / "nowhere" / "exchange.db", exclusive=True)
    with pytest.raises(StorageError, match="No such file or directory"):
        SQLiteStorage(tmp_path / "nowhere" / "exchange.db")


def test_a_file_that_is_no_database_is_a_storage_error(path: Path) -> None:
    path.write_bytes(b"Dear Sir or Madam, we have written to you six times since March 2016. " * 100)
    with pytest.raises(StorageError, match="not a database"):
        SQLiteStorage(path)


def test_a_page_that_was_overwritten_is_a_storage_error(path: Path) -> None:
    with closing(SQLiteStorage(path)) as storage:
        put(storage, *flags(40))
    with path.open("r+b") as file:  # every page but the first, which holds the schema
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StorageError), closing(SQLiteStorage(path)) as storage:
        storage.rows(range(40))


def test_a_schema_whose_text_is_damaged_is_a_storage_error(path: Path) -> None:
    with closing(SQLiteStorage(path)) as storage:
        put(storage, *flags(1))
    data = bytearray(path.read_bytes())
    data[data.index(b"statement_feed")] ^= 0x80
    path.write_bytes(data)
    with pytest.raises(StorageError, match="SQLite"):
        SQLiteStorage(path)


DAMAGE: dict[str, tuple[str, Callable[[SQLiteStorage], object]]] = {
    "no head": ("DELETE FROM head", SQLiteStorage.current_head),
    "a size that its hashes do not fit": ("UPDATE head SET size = 3", SQLiteStorage.current_head),
    "a hash cut short": ("UPDATE head SET frontier = x'00ff'", SQLiteStorage.current_head),
    "a time beyond the calendar": ("UPDATE head SET received_at = 9e18", SQLiteStorage.current_head),
    "an id cut short": ("UPDATE statement SET id = x'00'", lambda storage: storage.rows([0])),
    "an id cut short in a feed": ("UPDATE statement SET id = x'00'", lambda storage: storage.feed(PLATFORM, 0, 9)),
    "a time of receipt beyond the calendar": (
        "UPDATE statement SET received_at = 9e18",
        lambda storage: storage.find(an_id(1)),
    ),
    "a state that there is not": ("UPDATE cases SET state = 99", lambda storage: storage.case(an_id(1))),
    "a case without targets": (
        "DELETE FROM target",
        lambda storage: storage.cases(CaseFilter(MINISTRY, Role.AUTHORITY), 9, 9),
    ),
    "a statement of a case by hand": ("UPDATE statement SET salt = id, id = x''", lambda s: s.case_rows([0])),
    "no feed": ("DROP TABLE statement", lambda storage: storage.feed_length(PLATFORM)),
    "no nodes": ("DROP TABLE node", lambda storage: storage.nodes([(0, 0)])),
    "no checkpoints": ("DROP TABLE checkpoint", lambda storage: storage.checkpoints([1])),
    "no extent": ("DROP TABLE checkpoint", SQLiteStorage.extent),
    "an unreadable head in a transaction": ("DELETE FROM head", lambda storage: put(storage, *flags(1, first=2))),
    "an unreadable case in a transaction": (
        "UPDATE cases SET level = 99",
        lambda storage: put(storage, reply(flags(1)[0], an_acknowledgement(), 2)),
    ),
    "statements behind a head that was set back": (
        "UPDATE head SET size = 0, frontier = x''",
        lambda storage: put(storage, *flags(1, first=2)),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_a_storage_error_and_never_a_defect(storage: SQLiteStorage, path: Path, damage: str) -> None:
    statement, read = DAMAGE[damage]
    put(storage, *flags(1))
    with by_hand(path) as connection:
        connection.execute(statement)
    with pytest.raises(StorageError, match="SQLite"):
        read(storage)


def test_a_callers_malformed_id_is_no_damage(storage: SQLiteStorage) -> None:
    with pytest.raises(ValueError, match="UUID"):
        storage.find("1; DROP TABLE statement")
    with pytest.raises(ValueError, match="UUID"):
        storage.case("x")


def test_closing_closes_the_connections_of_every_thread(path: Path) -> None:
    with closing(SQLiteStorage(path)) as storage:
        connections = [storage._connection(), elsewhere(storage._connection)]
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == [path.name, f"{path.name}-lock"]  # the last one tidied up


def test_statements_of_any_text_are_values_and_never_part_of_a_query(storage: SQLiteStorage) -> None:
    flag = a_flag(reasons="'); DROP TABLE statement; --", reference='"; DELETE FROM head; --')
    put(storage, admitted(a_statement(flag)))
    assert storage.extent() == 1


# Erasing.

SECRET = "only this flag says so"  # noqa: S105 - content


def left(folder: Path) -> list[str]:
    """The files that still have what was erased."""
    return sorted(file.name for file in folder.iterdir() if SECRET.encode() in file.read_bytes())


def a_secret() -> Admitted:
    return admitted(a_statement(a_flag(reasons=SECRET * 40), id=an_id(70)))


def test_every_connection_overwrites_what_it_deletes(storage: SQLiteStorage) -> None:
    def setting() -> int:
        return int(storage._connection().execute("PRAGMA secure_delete").fetchone()[0])

    storage._connection()
    storage.prepare(1)
    assert setting() == elsewhere(setting) == 1


def test_a_kill_between_an_erasure_and_the_emptying_of_the_log_leaves_nothing_after_the_next_start(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the files is what the disk has when the process is killed at that instant."""
    secret = a_secret()
    after = tmp_path / "after"

    def killed(_: SQLiteStorage) -> bool:
        shutil.copytree(path.parent, after, ignore=lambda *_: ["after"])
        return True

    with closing(SQLiteStorage(path)) as storage:
        put(storage, secret, *flags(3))
        with monkeypatch.context() as patched:
            patched.setattr(SQLiteStorage, "purge", killed)
            put(storage, an_erasure_of(secret, at=storage))
    assert left(after) == ["exchange.db-wal"]
    with closing(SQLiteStorage(after / "exchange.db", exclusive=True)) as storage:
        assert left(after) == ["exchange.db-wal"]  # nothing is moved before the audit
        assert storage.purge()
        assert left(after) == []
        assert storage.rows([0])[0].erased


def a_commit(storage: SQLiteStorage) -> None:
    put(storage, *flags(1, first=100 + storage.extent()))


@pytest.mark.parametrize(
    "write",
    [
        a_commit,
        lambda storage: storage.keep_presence([], {PLATFORM: LATER}),
        lambda storage: storage.keep_cosignatures([], forget_below=0),
    ],
    ids=["an append", "presence", "cosignatures"],
)
def test_a_reader_in_the_way_of_an_erasure_ends_nothing_and_a_later_commit_overwrites(
    storage: SQLiteStorage, path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[SQLiteStorage], None]
) -> None:
    monkeypatch.setattr(sqlite, "_FORGETTING_SECONDS", 0.0)
    secret = a_secret()
    put(storage, secret)
    with by_hand(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM statement").fetchone()
        (outcome,) = put(storage, an_erasure_of(secret, at=storage))
        assert told(outcome) == "accepted 1"
        write(storage)
        assert "exchange.db-wal" in left(path.parent)
        assert not storage.purge()
        reader.execute("ROLLBACK")
    write(storage)
    assert left(path.parent) == []
    assert storage._connection().execute("PRAGMA busy_timeout").fetchone() == (30_000,)
