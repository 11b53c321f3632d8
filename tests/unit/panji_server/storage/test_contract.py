"""What every database must do, whichever it is. A new backend adds one factory to ``BACKENDS`` and passes.

The database in memory that other tests use is held to it too, so that they test against the truth.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.memory import MemoryStorage
from support.rooms import LATER, OTHER_MINISTRY, admitted, an_erasure_of, flags, put, put_into, reply, told
from support.statements import (
    MINISTRY,
    OPERATOR,
    PLATFORM,
    STRANGER,
    a_body,
    a_clarification_request,
    a_deadline_missed,
    a_decision,
    a_flag,
    a_statement,
    a_target_decision,
    an_acknowledgement,
    an_escalation,
    an_id,
)

from panji.core import case as cases
from panji.core import merkle
from panji.core.entry import Entry
from panji.core.vocabulary import CaseState, Category, Kind, Outcome, Role, SubCategory, TargetState
from panji_server.storage.base import COLUMNS, CaseFilter, CosignatureRow, Fetched, Head, Terms, Timer
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from panji_server.storage.base import Storage

BACKENDS: dict[str, Callable[[Path], Storage]] = {
    "sqlite": lambda home: SQLiteStorage(home / "exchange.db"),
    "memory": lambda _: MemoryStorage(),
}
"""Makes an empty database of each kind."""

EVERYTHING = CaseFilter(MINISTRY, Role.AUTHORITY)
END = 2**62

LONG_AGO = LATER - timedelta(days=1_000)


@pytest.fixture(params=BACKENDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty database."""
    with contextlib.closing(BACKENDS[request.param](tmp_path)) as made:
        yield made


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in another thread."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(function, *arguments).result()


def everything(storage: Storage) -> tuple[Any, ...]:
    """All that can be read."""
    return (
        storage.current_head(),
        storage.rows(range(100)),
        storage.cases(EVERYTHING, END, 100),
        storage.feed(PLATFORM, 0, 100),
        dict(storage.checkpoints(range(100))),
        dict(storage.nodes([(level, index) for level in range(4) for index in range(100)])),
        storage.extent(),
    )


# Empty.


def test_a_new_database_holds_nothing(storage: Storage) -> None:
    assert everything(storage) == (Head.empty(), [], [], [], {}, {}, 0)
    assert storage.feed_length(PLATFORM) == 0
    assert storage.find(an_id()) is None
    assert storage.case(an_id()) is None
    assert storage.case_rows([0]) == {0: []}


def test_asking_for_nothing_gives_nothing(storage: Storage) -> None:
    put(storage, *flags(1))
    assert (storage.rows([]), storage.case_rows([]), dict(storage.nodes([])), dict(storage.checkpoints([]))) == (
        [], {}, {}, {},
    )  # fmt: skip


# Appending.


def test_the_entries_of_a_range_are_those_that_the_tree_is_made_of(storage: Storage) -> None:
    outcomes = put(storage, *flags(5))
    entries = [Entry(one.row.kind, one.row.received_at, one.row.commitment) for one in outcomes]
    assert storage.entries(0, 5) == storage.entries(0, 100) == entries
    assert storage.entries(1, 3) == entries[1:4]
    assert (storage.entries(5, 3), storage.entries(2, 0)) == ([], [])
    leaves = {(0, index): merkle.leaf_hash(one.encode()) for index, one in enumerate(entries)}
    assert storage.nodes(list(leaves)) == leaves


def test_what_was_committed_is_read_as_it_was_written(storage: Storage) -> None:
    items = flags(3)
    outcomes = put(storage, *items)

    rows = [one.row for one in outcomes]
    assert storage.rows([0, 1, 2]) == rows
    assert [storage.find(row.id) for row in rows] == rows
    assert [row.envelope for row in rows] == [item.envelope for item in items]
    assert storage.current_head().received_at == LATER
    assert storage.current_head().frontier.size == storage.extent() == 3
    assert storage.checkpoints([3]) == {3: outcomes[0].receipt.checkpoint}


def test_every_node_of_the_tree_is_kept_and_a_missing_one_is_left_out(storage: Storage) -> None:
    put(storage, *flags(3))
    put(storage, *flags(2, first=4))
    complete = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (2, 0)]
    found = storage.nodes([*complete, (0, 5), (1, 2), (3, 0)])
    assert sorted(found) == complete
    assert tuple(found[position] for position in merkle.frontier_nodes(5)) == storage.current_head().frontier.hashes


def test_the_head_that_a_transaction_sees_is_the_last_commits(storage: Storage) -> None:
    put(storage, *flags(2))
    with storage.append() as transaction:
        assert transaction.head() == storage.current_head()


def test_nothing_is_seen_of_a_commit_before_it_ends(storage: Storage) -> None:
    put(storage, *flags(1))
    before = everything(storage)
    with storage.append() as transaction:
        put_into(transaction, *flags(1, first=2))
        during = elsewhere(everything, storage)
    assert during == before
    assert storage.extent() == 2


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(storage: Storage) -> None:
    put(storage, *flags(1))
    before = everything(storage)
    with contextlib.suppress(ZeroDivisionError), storage.append() as transaction:
        put_into(transaction, *flags(1, first=2))
        raise ZeroDivisionError
    assert everything(storage) == before
    put(storage, *flags(1, first=2))
    assert storage.extent() == 2


def test_of_two_that_append_at_once_the_second_sees_what_the_first_wrote(storage: Storage) -> None:
    at_the_door = threading.Event()

    def second() -> list[Any]:
        at_the_door.set()
        return put(storage, *flags(1, first=2))

    with ThreadPoolExecutor(1) as other, storage.append() as transaction:
        waiting = other.submit(second)
        assert at_the_door.wait(10)
        put_into(transaction, *flags(1))
    assert [told(one) for one in waiting.result()] == ["accepted 1"]


# What a group needs to know.


def test_a_group_learns_what_it_names_and_nothing_else(storage: Storage) -> None:
    first, second = items = flags(2)
    rows = [one.row for one in put(storage, *items)]
    unknown = an_id(9)
    with storage.append() as transaction:
        known = transaction.load(
            {first.statement.id, unknown},
            {second.statement.id, unknown},
            {(second.statement.id, second.digest), (second.statement.id, first.digest), (unknown, first.digest)},
            {PLATFORM, STRANGER},
        )
    assert known.by_id == {first.statement.id: rows[0]}
    assert known.cases == {second.statement.id: storage.case(second.statement.id)}
    assert known.answered == {(1, second.digest)}
    assert known.sequences == {PLATFORM: 2, STRANGER: 0}


def test_a_group_may_name_more_than_a_query_takes(storage: Storage) -> None:
    put(storage, *flags(2))
    many = {an_id(number) for number in range(1, 1300)}
    with storage.append() as transaction:
        known = transaction.load(many, many, set(), set())
    assert set(known.by_id) == set(known.cases) == {an_id(1), an_id(2)}
    assert [row.index for row in storage.rows(range(1300))] == [0, 1]
    assert sorted(storage.nodes([(0, index) for index in range(1300)])) == [(0, 0), (0, 1)]


# Feeds.


def test_a_feed_is_one_recipients_statements_in_order_from_a_cursor_on(storage: Storage) -> None:
    put(storage, *flags(2))
    put(storage, *flags(3, first=3, recipient=STRANGER))
    put(storage, *flags(2, first=6))
    assert [(row.sequence, row.index) for row in storage.feed(PLATFORM, 0, 100)] == [(1, 0), (2, 1), (3, 5), (4, 6)]
    assert [row.sequence for row in storage.feed(PLATFORM, 1, 2)] == [2, 3]
    assert storage.feed(PLATFORM, 4, 100) == storage.feed(MINISTRY, 0, 100) == []
    assert [storage.feed_length(one) for one in (PLATFORM, STRANGER, MINISTRY)] == [4, 3, 0]


def test_a_feed_is_read_no_further_than_there_is_room(storage: Storage) -> None:
    items = flags(5)
    put(storage, *items)
    one = len(items[0].envelope)
    sizes = {1: 1, one: 1, one + 1: 2, 3 * one: 3, 9 * one: 5}
    assert {room: len(storage.feed(PLATFORM, 0, 100, room)) for room in sizes} == sizes
    assert [row.sequence for row in storage.feed(PLATFORM, 2, 2, 9 * one)] == [3, 4]


def test_statements_are_given_in_the_logs_order_however_they_were_asked_for(storage: Storage) -> None:
    put(storage, *flags(4))
    assert [row.index for row in storage.rows([3, 0, 7, 2])] == [0, 2, 3]


# Cases.


def test_a_case_keeps_every_change_of_every_target(storage: Storage) -> None:
    flag = admitted(a_statement(a_flag(count=3)))
    question = reply(flag, a_clarification_request(), 2)
    put(storage, flag)
    put(storage, question)
    index, asked = storage.case(flag.statement.id) or pytest.fail("no case")
    assert (index, asked.state, asked.open_question) == (0, CaseState.CLARIFICATION_REQUESTED, question.digest)
    assert [one.state for one in asked.targets] == [TargetState.OPEN] * 3

    refused = a_target_decision(2, Outcome.NO_ACTION)
    (decided,) = put(storage, reply(flag, a_decision(1, refused, 3), 3))
    index, case = storage.case(flag.statement.id) or pytest.fail("no case")
    assert (index, case.state, case.open_question) == (0, CaseState.DECIDED, b"")
    assert [one.state for one in case.targets] == [TargetState.ACTIONED, TargetState.REFUSED, TargetState.ACTIONED]
    assert (case.targets[1].outcome, case.targets[1].refusal) == (Outcome.NO_ACTION, refused.refusal)
    assert case.level == asked.level
    assert decided.row.case_index == 0


def test_a_case_is_read_as_the_state_machine_left_it(storage: Storage) -> None:
    flag = admitted(a_statement(a_flag(count=2), test=True), LATER + timedelta(microseconds=1))
    put(storage, flag)
    expected = cases.open_case(flag.statement, flag.digest, flag.received_at)
    assert storage.case(flag.statement.id) == (0, expected)

    later = replace(reply(flag, an_acknowledgement(), 2), received_at=LATER + timedelta(hours=1))
    put(storage, later)
    expected = cases.apply(expected, later.statement, later.digest, later.received_at)
    assert storage.case(flag.statement.id) == (0, expected)


def test_only_a_flags_id_names_a_case(storage: Storage) -> None:
    flag = flags(1)[0]
    put(storage, flag, reply(flag, an_acknowledgement(), 2))
    assert storage.case(an_id(2)) is None


def test_the_statements_of_cases_come_by_case_in_the_logs_order(storage: Storage) -> None:
    one, two = flags(2)
    put(storage, one, two)
    put(storage, reply(two, an_acknowledgement(), 3), reply(one, an_acknowledgement(), 4))
    found = {index: [row.index for row in rows] for index, rows in storage.case_rows([1, 0, 5]).items()}
    assert found == {0: [0, 3], 1: [1, 2], 5: []}


def test_the_sizes_of_cases_are_known_without_their_statements(storage: Storage) -> None:
    one, two = flags(2)
    answer = reply(two, an_acknowledgement(), 3)
    put(storage, one, two, answer)
    assert storage.case_sizes([1, 0, 5]) == {
        0: (1, len(one.envelope)),
        1: (2, len(two.envelope) + len(answer.envelope)),
        5: (0, 0),
    }
    put(storage, an_erasure_of(one))
    count, size = storage.case_sizes([0])[0]
    assert (count, size) == (2, len(storage.rows([3])[0].envelope))


def test_what_each_side_has_said_is_known_when_more_is_to_be_appended(storage: Storage) -> None:
    one, two = flags(2)
    answers = [reply(two, a_body(Kind.CORRESPONDENCE), n, sender=PLATFORM, recipient=MINISTRY) for n in (3, 4)]
    put(storage, one, two, *answers)
    with storage.append() as transaction:
        known = transaction.load((), {two.statement.id}, (), ())
    assert known.said == {
        (1, MINISTRY): (1, len(two.envelope)),
        (1, PLATFORM): (2, sum(len(answer.envelope) for answer in answers)),
    }


@pytest.fixture
def filed(storage: Storage) -> Storage:
    """Five cases: index, sides, category, state and time differ."""
    defamation: dict[str, Any] = {"category": Category.DEFAMATION, "sub_category": SubCategory.UNSPECIFIED}
    acknowledged, *rest = [
        admitted(a_statement(a_flag(), id=an_id(1))),
        admitted(a_statement(a_flag(), id=an_id(2), recipient=STRANGER), LATER + timedelta(hours=1)),
        admitted(a_statement(a_flag(**defamation), id=an_id(3)), LATER + timedelta(hours=2)),
        admitted(a_statement(a_flag(), id=an_id(4), test=True), LATER + timedelta(hours=3)),
        admitted(a_statement(a_flag(), id=an_id(5), sender=OTHER_MINISTRY), LATER + timedelta(hours=4)),
    ]
    put(storage, acknowledged, *rest, reply(acknowledged, an_acknowledgement(), 6))
    return storage


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [2, 1, 0]),
        ({"party": OTHER_MINISTRY}, [4]),
        ({"party": PLATFORM, "role": Role.PLATFORM}, [4, 2, 0]),
        ({"party": STRANGER, "role": Role.PLATFORM}, [1]),
        ({"party": MINISTRY, "role": Role.PLATFORM}, []),
        ({"party": MINISTRY, "role": Role.OPERATOR}, []),
        ({"counterpart": STRANGER}, [1]),
        ({"counterpart": MINISTRY}, []),
        ({"party": PLATFORM, "role": Role.PLATFORM, "counterpart": OTHER_MINISTRY}, [4]),
        ({"states": frozenset({CaseState.RECEIVED})}, [0]),
        ({"states": frozenset({CaseState.RECEIVED, CaseState.SUBMITTED})}, [2, 1, 0]),
        ({"states": frozenset({CaseState.DECIDED})}, []),
        ({"category": Category.DEFAMATION}, [2]),
        ({"opened_from": LATER + timedelta(hours=1)}, [2, 1]),
        ({"opened_until": LATER + timedelta(hours=1)}, [0]),
        ({"opened_from": LATER, "opened_until": LATER + timedelta(hours=2)}, [1, 0]),
        ({"test": True}, [3]),
        ({"counterpart": PLATFORM, "category": Category.GAMBLING, "states": frozenset({CaseState.RECEIVED})}, [0]),
    ],
)
def test_cases_are_found_by_what_is_asked_and_newest_first(
    filed: Storage, changes: dict[str, Any], expected: list[int]
) -> None:
    wanted = replace(EVERYTHING, **changes)
    found = filed.cases(wanted, END, 100)
    assert [index for index, _ in found] == expected
    assert found == [filed.case(case.id) for _, case in found]


def test_cases_are_found_in_pages(filed: Storage) -> None:
    assert [index for index, _ in filed.cases(EVERYTHING, END, 2)] == [2, 1]
    assert [index for index, _ in filed.cases(EVERYTHING, 1, 2)] == [0]
    assert filed.cases(EVERYTHING, 0, 2) == []


def test_no_further_case_is_read_once_there_are_enough_targets(storage: Storage) -> None:
    put(storage, *(admitted(a_statement(a_flag(count=2), id=an_id(n))) for n in range(1, 41)))
    lengths = {1: 1, 2: 1, 3: 2, 50: 25, 80: 40, 1000: 40}
    assert {room: len(storage.cases(EVERYTHING, END, 100, room)) for room in lengths} == lengths
    found = storage.cases(EVERYTHING, END, 100, 50)
    assert found == storage.cases(EVERYTHING, END, 25)
    assert {len(case.targets) for _, case in found} == {2}


# Cosignatures.


def a_cosignature(size: int, witness: str = "alder.example+1", line: str = "a line") -> CosignatureRow:
    return CosignatureRow(size, witness, line, LATER)


def test_cosignatures_are_kept_the_largest_tree_first(storage: Storage) -> None:
    assert storage.cosignatures() == []
    rows = [a_cosignature(3), a_cosignature(7), a_cosignature(7, "birch.example+2")]
    storage.keep_cosignatures(rows[:1], forget_below=0)
    storage.keep_cosignatures(rows[1:], forget_below=3)
    assert storage.cosignatures() == [rows[1], rows[2], rows[0]]


def test_a_newer_cosignature_of_the_same_tree_takes_the_older_ones_place(storage: Storage) -> None:
    storage.keep_cosignatures([a_cosignature(3), a_cosignature(3, "birch.example+2")], forget_below=0)
    storage.keep_cosignatures([a_cosignature(3, line="another")], forget_below=0)
    assert storage.cosignatures() == [a_cosignature(3, line="another"), a_cosignature(3, "birch.example+2")]


def test_cosignatures_of_smaller_trees_are_forgotten_when_told_so(storage: Storage) -> None:
    storage.keep_cosignatures([a_cosignature(size) for size in (1, 2, 3)], forget_below=0)
    storage.keep_cosignatures([a_cosignature(4)], forget_below=3)
    assert [row.size for row in storage.cosignatures()] == [4, 3]
    storage.keep_cosignatures([], forget_below=5)
    assert storage.cosignatures() == []


def test_cosignatures_leave_the_log_alone(storage: Storage) -> None:
    put(storage, *flags(2))
    before = everything(storage)
    storage.keep_cosignatures([a_cosignature(2)], forget_below=0)
    assert everything(storage) == before


# Many at once.


def test_readers_see_whole_commits_only_while_others_append(storage: Storage) -> None:
    """A reader at any instant: as many statements as the head says, each with its case, and no gap in the feed."""
    done = threading.Event()

    def watch() -> int:
        looks = 0
        while not done.is_set():
            size = storage.current_head().frontier.size
            feed = storage.feed(PLATFORM, 0, 1000)
            assert [row.sequence for row in feed] == list(range(1, len(feed) + 1))
            assert len(feed) >= size
            assert len(feed) % 3 == 0
            assert all(storage.case(row.id) for row in feed[-3:])
            looks += 1
        return looks

    groups = [flags(3, first=first) for first in range(1, 40, 3)]
    with ThreadPoolExecutor(2) as readers:
        watching = [readers.submit(watch) for _ in range(2)]
        try:
            for group in groups:
                put(storage, *group)
        finally:
            done.set()
    assert all(one.result() for one in watching)
    assert storage.feed_length(PLATFORM) == 39


# What the exchange itself must know.


def missed(flag: Any, number: int = 70, **changes: Any) -> Any:
    """The exchange's statement that a flag was not acknowledged in time."""
    return reply(flag, a_deadline_missed(**changes), number)


def test_cases_are_looked_at_in_the_order_of_their_times(storage: Storage) -> None:
    put(storage, *flags(4))
    times = [LATER + timedelta(minutes=n) for n in range(4)]
    storage.set_timers({0: Timer(times[2]), 1: Timer(times[0]), 2: Timer(times[3]), 3: None})
    assert [one.index for one in storage.due(times[2], 10)] == [1, 0]
    assert [one.case.id for one in storage.due(times[2], 1)] == [an_id(2)]
    assert storage.due(LONG_AGO, 10) == []
    storage.set_timers({1: None, 0: Timer(times[3])})
    assert [one.index for one in storage.due(times[3], 10)] == [0, 2]
    storage.advance_timers(times[1])
    assert [one.index for one in storage.due(times[1], 10)] == [0, 2]


def test_a_commit_sets_and_ends_the_timers_of_its_cases(storage: Storage) -> None:
    first, second = flags(2)
    put(storage, first, second)
    assert [one.index for one in storage.due(LATER, 10)] == [0, 1]
    put(storage, reply(first, an_acknowledgement(), 50), first_look=lambda _index, _case, _untouched: None)
    assert [one.index for one in storage.due(LATER, 10)] == [1]


def test_a_flag_that_is_fetched_for_the_first_time_is_looked_at_then_where_that_is_waited_for(storage: Storage) -> None:
    put(storage, *flags(3))
    never, fetched = LATER + timedelta(days=99), LATER + timedelta(minutes=1)
    storage.set_timers({0: Timer(never, waits=True), 1: Timer(never), 2: Timer(never, waits=True)})
    storage.keep_presence([Fetched(PLATFORM, 2, "spiffe://test.example/telegram", fetched)], {})
    assert [one.index for one in storage.due(fetched, 10)] == [0]
    storage.set_timers({0: Timer(never)})
    later = LATER + timedelta(minutes=2)
    storage.keep_presence([Fetched(PLATFORM, 3, "spiffe://test.example/telegram", later)], {})
    assert [one.index for one in storage.due(later, 10)] == [2]


def test_a_case_that_is_not_over_and_has_no_timer_gets_one(storage: Storage) -> None:
    first, second, third = flags(3)
    put(storage, first, second, third)
    put(storage, reply(second, a_decision(), 50))
    storage.set_timers({0: None, 1: None, 2: Timer(LATER + timedelta(days=1))})
    storage.set_missing_timers(LATER)
    assert [one.index for one in storage.due(LATER, 10)] == [0]


def test_the_terms_that_held_are_kept_oldest_first(storage: Storage) -> None:
    assert storage.terms() == []
    day, hour = Terms(LATER, timedelta(hours=24)), Terms(LATER + timedelta(days=1), timedelta(hours=1))
    for kept in ([day], [day, hour], [replace(day, since=LONG_AGO), hour], [day], []):
        storage.keep_terms(kept)
        assert storage.terms() == kept


def test_what_was_stated_of_a_deadline_is_kept_with_the_case(storage: Storage) -> None:
    flag, other = flags(2)
    put(storage, flag, other)
    put(storage, missed(flag))
    put(storage, reply(flag, an_escalation(), 71))
    found = storage.case(an_id(1))
    assert found is not None
    assert found[1].overdue_since == a_deadline_missed().due_at
    assert [(one.kind, one.number) for one in found[1].stated] == [(Kind.DEADLINE_MISSED, 0), (Kind.ESCALATION, 1)]


def test_the_directory_on_record_is_found_as_of_any_place(storage: Storage) -> None:
    first, second = (admitted(a_statement(a_body(Kind.DIRECTORY_RECORD), id=an_id(80 + n))) for n in range(2))
    assert storage.record(Kind.DIRECTORY_RECORD, END) is None
    put(storage, first)
    put(storage, *flags(2))
    put(storage, second)
    found = [storage.record(Kind.DIRECTORY_RECORD, before) for before in (0, 1, 3, 4, END)]
    assert [row.index if row else None for row in found] == [None, 0, 0, 3, 3]
    assert storage.feed_length(OPERATOR) == 2


def test_how_far_a_feed_was_fetched_is_kept_from_the_first_time_on(storage: Storage) -> None:
    def fetched(through: int, minutes: int, recipient: str = PLATFORM) -> Fetched:
        return Fetched(recipient, through, f"spiffe://test.example/{minutes}", LATER + timedelta(minutes=minutes))

    storage.keep_presence([fetched(3, 1), fetched(5, 2), fetched(9, 0, MINISTRY)], {})
    storage.keep_presence([fetched(4, 3), fetched(5, 4), fetched(8, 5)], {})  # a feed that is read again
    assert [storage.fetched(PLATFORM, sequence) for sequence in (1, 3, 4, 5, 6, 9)] == [
        fetched(3, 1), fetched(3, 1), fetched(5, 2), fetched(5, 2), fetched(8, 5), None,
    ]  # fmt: skip


def test_when_somebody_was_last_here_is_kept_and_never_goes_back(storage: Storage) -> None:
    assert storage.last_seen(PLATFORM) is None
    storage.keep_presence([], {PLATFORM: LATER})
    storage.keep_presence([], {PLATFORM: LATER - timedelta(hours=1), MINISTRY: LATER})
    assert storage.last_seen(PLATFORM) == storage.last_seen(MINISTRY) == LATER


# Erasing.


def test_what_the_sides_said_is_erased_and_its_places_stay(storage: Storage) -> None:
    flag, other = flags(2)
    answer = reply(flag, an_acknowledgement(), 50)
    (first, kept), (second,) = put(storage, flag, other), put(storage, answer)
    erasure = an_erasure_of(flag, answer, at=storage)
    (third,) = put(storage, erasure)
    gone = [replace(one.row, envelope=b"", salt=b"") for one in (first, second)]
    assert storage.rows([0, 1, 2, 3]) == [gone[0], kept.row, gone[1], third.row]
    assert all(row.erased for row in gone)
    assert storage.erasure(0) == third.row
    assert storage.erasure(1) is None
    found = storage.case(an_id(1))
    assert found is not None
    assert found[1].state is CaseState.ERASED


def test_what_the_exchange_said_of_an_erased_case_stays(storage: Storage) -> None:
    (flag,) = flags(1)
    put(storage, flag)
    (late,) = put(storage, missed(flag))
    put(storage, an_erasure_of(flag))
    assert storage.rows([1]) == [late.row]


def test_nothing_is_left_of_what_was_erased_in_any_file(tmp_path: Path) -> None:
    """Neither in the database nor in its write-ahead log, where every page has stood once more."""
    secret = "the only place where this is said"  # noqa: S105 - content
    flag = admitted(a_statement(a_flag(reasons=secret * 300)))
    with contextlib.closing(SQLiteStorage(tmp_path / "exchange.db")) as storage:
        put(storage, *flags(3, first=10), flag)
        files = [tmp_path / "exchange.db", tmp_path / "exchange.db-wal"]
        assert any(secret.encode() in file.read_bytes() for file in files)
        put(storage, an_erasure_of(flag, at=storage))
        assert not any(secret.encode() in file.read_bytes() for file in files)
        put(storage, *flags(3, first=20))
        assert not any(secret.encode() in file.read_bytes() for file in files)


# Everything, as records.


def test_every_backend_gives_the_same_records(tmp_path: Path) -> None:
    made = []
    for name, make in BACKENDS.items():
        (tmp_path / name).mkdir()
        with contextlib.closing(make(tmp_path / name)) as storage:
            flag, other = flags(2)
            put(storage, flag, other)
            put(storage, reply(flag, an_acknowledgement(), 50), missed(other, due_at=LATER))
            put(storage, an_erasure_of(other, at=storage))
            made.append({table: list(storage.records(table)) for table in COLUMNS})
    assert [len(records) for records in made[0].values()] == [5, 2, 2, 8, 3, 1]
    assert all(len(record) == len(COLUMNS[table]) for table, records in made[0].items() for record in records)
    for other_made in made[1:]:
        assert other_made == made[0]
