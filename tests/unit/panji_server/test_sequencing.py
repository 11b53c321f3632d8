"""What a group of statements makes of the log: places, feeds, cases and receipts, and nothing for what is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory import MemoryStorage
from support.rooms import LATER, LOG, admitted, an_erasure_of, counting_salts, erasures_of, flags, put, reply, told
from support.statements import (
    MINISTRY,
    OPERATOR,
    PLATFORM,
    STRANGER,
    a_body,
    a_clarification_answer,
    a_clarification_request,
    a_correspondence,
    a_decision,
    a_flag,
    a_statement,
    a_target_decision,
    a_withdrawal,
    an_acknowledgement,
    an_id,
)

from panji.core import receipt as receipts
from panji.core.checkpoint import open_checkpoint
from panji.core.vocabulary import CaseState, Kind, Outcome
from panji.errors import ProofError, RefusedError
from panji.wire.receipts import encode_receipt
from panji_server import sequencing
from panji_server.sequencing import Accepted, CaseRoom, Repeated, Together, sequence
from panji_server.storage.base import Head, Known
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from pathlib import Path

    from panji_server.sequencing import Admitted

FLAG, SECOND_FLAG = flags(2)
ACKNOWLEDGED = reply(FLAG, an_acknowledgement(), 3)
DECIDED = reply(FLAG, a_decision(1), 4)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def words(outcomes: list[Any]) -> list[str]:
    return [told(one) for one in outcomes]


# Places.


def test_every_accepted_statement_has_the_next_index_and_the_next_place_in_its_recipients_feed(
    storage: MemoryStorage,
) -> None:
    to_two = [*flags(2), *flags(2, first=3, recipient=STRANGER), *flags(1, first=5)]
    put(storage, *to_two[:3])
    put(storage, *to_two[3:], reply(to_two[0], an_acknowledgement(), 6))
    rows = storage.rows(range(9))
    assert [row.index for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [(row.recipient, row.sequence) for row in rows] == [
        (PLATFORM, 1), (PLATFORM, 2), (STRANGER, 1), (STRANGER, 2), (PLATFORM, 3), (MINISTRY, 1),
    ]  # fmt: skip
    assert [row.case_index for row in rows] == [0, 1, 2, 3, 4, 0]
    assert [row.tree_size for row in rows] == [3, 3, 3, 6, 6, 6]


def test_a_group_has_one_checkpoint_and_every_receipt_verifies_in_it(storage: MemoryStorage) -> None:
    put(storage, *flags(3))
    items = flags(5, first=4)
    outcomes = put(storage, *items)
    (note,) = {one.receipt.checkpoint for one in outcomes}
    checkpoint = open_checkpoint(note, LOG.verifier)
    assert (checkpoint.size, checkpoint.root) == (8, storage.current_head().frontier.root())
    for item, one in zip(items, outcomes, strict=True):
        assert receipts.verify(one.receipt, item.digest, LOG.verifier).checkpoint == checkpoint
        assert one.case_id == item.statement.id
        assert not one.test


def test_a_statement_takes_the_salt_that_was_drawn_for_it() -> None:
    outcomes = put(MemoryStorage(), FLAG, FLAG, SECOND_FLAG, salt=counting_salts())
    assert [int.from_bytes(one.row.salt, "big") for one in outcomes] == [0, 0, 2]


def test_a_group_of_which_nothing_is_accepted_writes_nothing(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    before = storage.current_head()
    with storage.append() as transaction:
        known = transaction.load({FLAG.statement.id, DECIDED.statement.id}, set(), set(), {PLATFORM, MINISTRY})
        result = sequence([FLAG, DECIDED], before, known, LOG, counting_salts())
    assert (words(result.outcomes), result.commit) == (["repeated 0", "CASE_NOT_FOUND"], None)


# Time.


def test_time_of_receipt_never_goes_back_within_a_group_or_after_a_commit(storage: MemoryStorage) -> None:
    hours = [3, 1, 2, 5]
    late = [replace(one, received_at=LATER + timedelta(hours=h)) for one, h in zip(flags(4), hours, strict=True)]
    put(storage, *late)
    put(storage, *flags(1, first=5))  # another server's clock is five hours behind
    assert [(row.received_at - LATER) // timedelta(hours=1) for row in storage.rows(range(5))] == [3, 3, 3, 5, 5]
    assert [case.opened_at for _, case in (storage.case(an_id(n)) or pytest.fail("no case") for n in (2, 5))] == [
        LATER + timedelta(hours=3),
        LATER + timedelta(hours=5),
    ]
    assert storage.current_head().received_at == LATER + timedelta(hours=5)


# The same id again.


def test_the_same_bytes_again_in_one_group_are_one_statement(storage: MemoryStorage) -> None:
    first, second, third = put(storage, FLAG, FLAG, FLAG)
    assert words([first, second, third]) == ["accepted 0", "repeated 0", "repeated 0"]
    assert second.row == first.row  # with the size of the tree that the receipt is made from
    assert storage.extent() == 1


def test_the_same_bytes_again_later_are_the_statement_of_then(storage: MemoryStorage) -> None:
    (first,) = put(storage, FLAG)
    put(storage, SECOND_FLAG)
    assert put(storage, FLAG) == [Repeated(first.row)]


@pytest.mark.parametrize("together", [True, False], ids=["in one group", "later"])
def test_other_bytes_under_a_used_id_are_refused_and_change_nothing(storage: MemoryStorage, together: bool) -> None:
    """Attack: to replace what was said by saying something else under its id."""
    forged = admitted(a_statement(a_flag(reasons="Something else entirely.")))
    outcomes = put(storage, FLAG, forged) if together else put(storage, FLAG) + put(storage, forged)
    assert words(outcomes) == ["accepted 0", "STATEMENT_ID_REUSED"]
    assert outcomes[1].metadata == {"statement_id": FLAG.statement.id}
    assert [row.digest for row in storage.rows(range(9))] == [FLAG.digest]


def test_an_id_is_taken_whoever_took_it(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    answer = reply(SECOND_FLAG, an_acknowledgement(), 1)
    assert words(put(storage, SECOND_FLAG, answer)) == ["accepted 1", "STATEMENT_ID_REUSED"]


# Cases.


def test_a_reply_may_come_in_the_same_group_as_its_flag_and_as_other_replies(storage: MemoryStorage) -> None:
    question = reply(FLAG, a_clarification_request(), 5)
    answer = reply(FLAG, a_clarification_answer(), 6, in_reply_to=question.digest)
    group = [FLAG, ACKNOWLEDGED, question, answer, DECIDED]
    assert words(put(storage, *group)) == [f"accepted {index}" for index in range(5)]
    _, case = storage.case(FLAG.statement.id) or pytest.fail("no case")
    assert case.state is CaseState.DECIDED
    assert [row.case_index for row in storage.rows(range(9))] == [0] * 5


def test_a_reply_to_a_reply_of_an_earlier_commit_is_found(storage: MemoryStorage) -> None:
    question = reply(FLAG, a_clarification_request(), 5)
    put(storage, FLAG, question)
    answer = reply(FLAG, a_clarification_answer(), 6, in_reply_to=question.digest)
    assert words(put(storage, answer)) == ["accepted 2"]


def test_a_reply_before_its_flag_is_refused_though_the_flag_follows(storage: MemoryStorage) -> None:
    assert words(put(storage, ACKNOWLEDGED, FLAG)) == ["CASE_NOT_FOUND", "accepted 0"]


def test_a_refused_statement_in_the_middle_leaves_no_gap(storage: MemoryStorage) -> None:
    twice = reply(FLAG, a_decision(1), 5)
    group = [FLAG, DECIDED, twice, SECOND_FLAG, reply(SECOND_FLAG, an_acknowledgement(), 6)]
    outcomes = put(storage, *group)
    assert words(outcomes) == ["accepted 0", "accepted 1", "MOVE_NOT_ALLOWED", "accepted 2", "accepted 3"]
    rows = storage.rows(range(9))
    assert [(row.index, row.sequence) for row in rows] == [(0, 1), (1, 1), (2, 2), (3, 2)]
    assert storage.find(twice.statement.id) is None
    _, case = storage.case(FLAG.statement.id) or pytest.fail("no case")
    assert case.updated_at == rows[1].received_at


def test_what_the_state_machine_refuses_leaves_the_case_as_it_was(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    before = storage.case(FLAG.statement.id)
    unknown_target = reply(FLAG, a_decision(1, a_target_decision(2, Outcome.REMOVED)), 7)
    assert words(put(storage, unknown_target, reply(FLAG, a_clarification_answer(), 8))) == [
        "TARGETS_MISMATCH",
        "MOVE_NOT_ALLOWED",
    ]
    assert storage.case(FLAG.statement.id) == before


@pytest.mark.parametrize("together", [True, False], ids=["in one group", "later"])
def test_an_answer_to_a_digest_that_is_not_in_the_case_is_refused(storage: MemoryStorage, together: bool) -> None:
    """Attack: to acknowledge other bytes than those that were flagged. Another case's digest is no better."""
    wrong = [
        reply(FLAG, a_correspondence(), 5, in_reply_to=bytes(32)),
        reply(FLAG, a_correspondence(), 6, in_reply_to=SECOND_FLAG.digest),
    ]
    groups = [[FLAG, SECOND_FLAG, *wrong]] if together else [[FLAG, SECOND_FLAG], wrong]
    outcomes = [one for group in groups for one in put(storage, *group)]
    assert words(outcomes[2:]) == ["REPLY_TARGET_UNKNOWN", "REPLY_TARGET_UNKNOWN"]


def test_whoever_is_no_party_cannot_tell_a_case_from_none(storage: MemoryStorage) -> None:
    """Attack: to find out, by answering, who flags what to whom."""
    put(storage, FLAG)
    of_a_case = reply(FLAG, an_acknowledgement(), 5, sender=STRANGER)
    of_none = reply(SECOND_FLAG, an_acknowledgement(), 6, sender=STRANGER)
    one, other = put(storage, of_a_case, of_none)
    assert isinstance(one, RefusedError)
    assert (one.reason, one.message, one.metadata) == (other.reason, other.message, other.metadata)
    assert told(one) == "CASE_NOT_FOUND"


def test_a_drill_is_said_to_be_one() -> None:
    drill = admitted(a_statement(test=True))
    assert [one.test for one in put(MemoryStorage(), drill, reply(drill, an_acknowledgement(), 2))] == [True, True]


# The exchange checks itself.


def test_a_receipt_that_does_not_verify_is_a_defect_and_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sequencing.receipt_of
    monkeypatch.setattr(sequencing, "receipt_of", lambda row, proof, note: real(row, (*proof, bytes(32)), note))
    known = Known({}, {}, set(), {PLATFORM: 0}, {}, {})
    with pytest.raises(ProofError):
        sequence([FLAG], Head.empty(), known, LOG, counting_salts())


# However they are grouped.

STORY = [
    *flags(4),
    ACKNOWLEDGED_1 := reply(FLAG, an_acknowledgement(), 10),
    reply(FLAG, an_acknowledgement(), 11),  # a second time: not allowed
    FLAG,  # again
    admitted(a_statement(a_flag(reasons="Other bytes."))),  # under a used id
    *flags(2, first=20, recipient=STRANGER),
    reply(FLAG, a_correspondence(), 12, in_reply_to=ACKNOWLEDGED_1.digest),
    reply(SECOND_FLAG, a_withdrawal(), 13),
    reply(SECOND_FLAG, a_decision(1), 14),  # too late
    reply(FLAG, a_decision(1), 15),
    ACKNOWLEDGED_1,  # again
    reply(flags(1, first=99)[0], an_acknowledgement(), 16),  # of no case
    *flags(1, first=30),
]
"""Accepted, repeated and refused ones, some of which depend on those before."""


def play(groups: list[list[Admitted]]) -> tuple[list[str], MemoryStorage]:
    storage, salt, outcomes = MemoryStorage(), counting_salts(), []
    for group in groups:
        outcomes += put(storage, *group, salt=salt)
    return words(outcomes), storage


@given(st.sets(st.integers(1, len(STORY) - 1)))
def test_any_grouping_of_the_same_statements_makes_the_same_log(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(STORY)]
    outcomes, storage = play([STORY[start:end] for start, end in pairwise(edges)])
    expected_outcomes, expected = play([STORY])

    assert outcomes == expected_outcomes
    assert storage.current_head() == expected.current_head()
    everything = range(len(STORY))
    assert [replace(row, tree_size=0) for row in storage.rows(everything)] == [
        replace(row, tree_size=0) for row in expected.rows(everything)
    ]
    identifiers = {item.statement.case for item in STORY}
    assert {one: storage.case(one) for one in identifiers} == {one: expected.case(one) for one in identifiers}
    nodes = [(level, index) for level in range(5) for index in everything]
    assert storage.nodes(nodes) == expected.nodes(nodes)


def test_that_story_has_outcomes_of_every_kind() -> None:
    outcomes, _ = play([STORY])
    assert {one.split()[0] for one in outcomes} >= {
        "accepted", "repeated", "MOVE_NOT_ALLOWED", "STATEMENT_ID_REUSED", "CASE_NOT_FOUND",
    }  # fmt: skip


def test_receipts_of_one_log_are_the_same_bytes_on_every_server() -> None:
    one, other = (put(MemoryStorage(), *flags(3), salt=counting_salts()) for _ in range(2))
    assert all(isinstance(outcome, Accepted) for outcome in one)
    assert [encode_receipt(outcome.receipt) for outcome in one] == [
        encode_receipt(outcome.receipt) for outcome in other
    ]


# Erasing.


def test_what_two_persons_signed_is_what_is_erased_and_nothing_that_came_in_between(storage: MemoryStorage) -> None:
    """Attack: an erasure signed for a bare flag, kept back until the answer is there that should disappear with it."""
    put(storage, FLAG)
    put(storage, ACKNOWLEDGED)
    assert words(put(storage, an_erasure_of(FLAG))) == ["TARGETS_MISMATCH"]
    assert words(put(storage, an_erasure_of(FLAG, DECIDED))) == ["TARGETS_MISMATCH"]
    assert words(put(storage, an_erasure_of(FLAG, ACKNOWLEDGED))) == ["accepted 2"]


def test_an_erasure_to_each_side_in_one_group(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    both = [an_erasure_of(FLAG, number=90), an_erasure_of(FLAG, number=91, recipient=MINISTRY)]
    assert words(put(storage, *both)) == ["accepted 1", "accepted 2"]
    assert [row.erased for row in storage.rows(range(3))] == [True, False, False]


@pytest.mark.parametrize("wrong", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(an_erasure_of(FLAG, number=92, recipient=STRANGER), id="to nobody of the case"),
        pytest.param(an_erasure_of(FLAG, ACKNOWLEDGED, number=92), id="of something else"),
    ],
)
def test_of_two_that_belong_together_both_are_taken_or_none(
    storage: MemoryStorage, refused: Admitted, wrong: int
) -> None:
    """Attack, or a mistake: one half erases the content, the other is refused, and one side is never told."""
    put(storage, FLAG)
    good = an_erasure_of(FLAG, number=90, recipient=MINISTRY)
    pair = Together((refused, good) if wrong == 0 else (good, refused))
    (reason, same, *others) = words(put(storage, pair, ACKNOWLEDGED, SECOND_FLAG))
    assert reason == same in {"WRONG_RECIPIENT", "TARGETS_MISMATCH"}
    # And nothing of it is left in the group: what comes after finds log, feeds and case as they were before.
    assert others == ["accepted 1", "accepted 2"]
    assert [(row.kind, row.recipient, row.sequence, row.erased) for row in storage.rows(range(9))] == [
        ("flag", PLATFORM, 1, False), ("acknowledgement", MINISTRY, 1, False), ("flag", PLATFORM, 2, False),
    ]  # fmt: skip


def test_two_that_belong_together_and_are_refused_write_nothing(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    pair = Together((an_erasure_of(FLAG), an_erasure_of(FLAG, number=91, recipient=STRANGER)))
    assert words(put(storage, pair)) == ["WRONG_RECIPIENT"] * 2
    assert storage.current_head().frontier.size == 1


def test_two_that_belong_together_see_what_came_before_them_and_each_other(storage: MemoryStorage) -> None:
    both = erasures_of(FLAG, ACKNOWLEDGED)
    assert words(put(storage, FLAG, ACKNOWLEDGED, Together(both))) == [f"accepted {n}" for n in range(4)]
    assert [row.erased for row in storage.rows(range(4))] == [True, True, False, False]
    assert words(put(storage, Together(both), Together(both[::-1]))) == [
        "repeated 2", "repeated 3", "repeated 3", "repeated 2",
    ]  # fmt: skip


def test_of_two_that_belong_together_one_may_be_in_the_log_already(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    both = erasures_of(FLAG)
    put(storage, both[0])
    assert words(put(storage, Together(both))) == ["repeated 1", "accepted 2"]


def test_an_answer_in_the_group_of_the_erasure_is_either_named_or_refuses_it(storage: MemoryStorage) -> None:
    put(storage, FLAG)
    assert words(put(storage, ACKNOWLEDGED, an_erasure_of(FLAG))) == ["accepted 1", "TARGETS_MISMATCH"]
    assert words(put(storage, DECIDED, an_erasure_of(FLAG, ACKNOWLEDGED, DECIDED))) == ["accepted 2", "accepted 3"]


def test_nothing_is_said_any_more_in_an_erased_case_and_a_retry_of_what_was_said_gets_no_receipt(
    storage: MemoryStorage,
) -> None:
    put(storage, FLAG)
    put(storage, an_erasure_of(FLAG))
    assert words(put(storage, ACKNOWLEDGED, FLAG)) == ["MOVE_NOT_ALLOWED", "CONTENT_ERASED"]
    assert words(put(storage, an_erasure_of(FLAG))) == ["repeated 1"]


def test_the_directory_on_record_belongs_to_no_case(storage: MemoryStorage) -> None:
    record = admitted(a_statement(a_body(Kind.DIRECTORY_RECORD), id=an_id(80)))
    assert words(put(storage, FLAG, record)) == ["accepted 0", "accepted 1"]
    (row,) = storage.rows([1])
    assert (row.case_index, row.recipient, row.sequence) == (1, OPERATOR, 1)
    assert storage.case(an_id(80)) is None


# Time.


def test_a_key_that_ends_before_the_time_that_is_logged_signs_nothing_for_it(storage: MemoryStorage) -> None:
    """Another server's clock is ahead: by the log's time the key has ended, though by ours it had not."""
    ahead = LATER + timedelta(minutes=5)
    put(storage, *flags(1, first=9))
    put(storage, admitted(a_statement(a_flag(), id=an_id(8)), ahead))
    ends = replace(FLAG, valid_until=LATER + timedelta(minutes=2))
    assert words(put(storage, ends, replace(SECOND_FLAG, valid_until=ahead + timedelta(microseconds=1)))) == [
        "CLOCK_BEHIND", "accepted 2",
    ]  # fmt: skip


# How much a side may say in a case.

TEN = CaseRoom(statements=10, size=10**6)


FORTH = {"sender": MINISTRY, "recipient": PLATFORM}
BACK = {"sender": PLATFORM, "recipient": MINISTRY}


def letters(count: int, first: int, sides: dict[str, str] = FORTH) -> list[Admitted]:
    return [reply(FLAG, a_correspondence(), number, **sides) for number in range(first, first + count)]


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one commit", "one by one"])
def test_one_side_cannot_talk_a_case_full(tmp_path: Path, backend: str, *, at_once: bool) -> None:
    """Attack: 135 letters of 260 KiB, and nobody could read the case, or list the older ones, any more."""
    with closing(MemoryStorage() if backend == "memory" else SQLiteStorage(tmp_path / "exchange.db")) as storage:
        items = [FLAG, *letters(9, 10)]
        groups = [items] if at_once else [[one] for one in items]
        outcomes = [one for group in groups for one in put(storage, *group, room=TEN)]
        assert words(outcomes) == [*(f"accepted {n}" for n in range(9)), "CASE_FULL"]  # the flag is one of the nine
        assert outcomes[-1].metadata == {
            "statements": "9",
            "bytes": str(sum(len(one.envelope) for one in items[:9])),
            "max_statements": "10",
            "max_bytes": "1000000",
        }
        # The other side has room of its own, and so has who ends the case, and the operator. What was said is found.
        more = [*letters(1, 30, BACK), reply(FLAG, a_withdrawal(), 31), *letters(1, 32)]
        assert words(put(storage, *more, room=TEN)) == ["accepted 9", "accepted 10", "CASE_FULL"]
        assert words(put(storage, items[8], room=TEN)) == ["repeated 8"]
        said = [FLAG, *items[1:9], *more[:2]]
        assert words(put(storage, an_erasure_of(said[0], *said[1:]), room=TEN)) == ["accepted 11"]


def test_the_bytes_of_a_side_are_bounded_too(storage: MemoryStorage) -> None:
    some = letters(4, 10)
    used = sum(len(one.envelope) for one in [FLAG, *some[:2]])
    room = CaseRoom(statements=1000, size=used * 10 // 9 + 1)
    put(storage, FLAG)
    assert words(put(storage, *some[:3], room=room)) == ["accepted 1", "accepted 2", "CASE_FULL"]
    assert words(put(storage, *letters(1, 20, BACK), room=room)) == ["accepted 3"]
    assert words(put(storage, some[3], room=replace(room, size=used * 2))) == ["accepted 4"]


def test_a_platform_whose_room_is_used_up_can_still_decide(storage: MemoryStorage) -> None:
    put(storage, FLAG, *letters(9, 10, BACK), room=TEN)
    assert words(put(storage, *letters(1, 30, BACK), reply(FLAG, a_decision(1), 31), room=TEN)) == [
        "CASE_FULL", "accepted 10",
    ]  # fmt: skip
