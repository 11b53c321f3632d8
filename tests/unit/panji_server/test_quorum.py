"""The quorum: which head enough witnesses have cosigned, and since when the log has gone on without them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.rooms import LATER, LOG
from support.witnesses import WITNESSES, policy_text, seconds

from panji.core import merkle
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.cosignature import read_answer
from panji.core.tlog_policy import open_witnessed, parse_policy
from panji.errors import QuorumError, Reason
from panji_server.quorum import MAX_HEADS, Quorum
from panji_server.storage.base import CosignatureRow

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.cosignature import Cosignature

NOON = LATER.replace(microsecond=0)
MINUTE = timedelta(minutes=1)
TWO_OF_THREE = "group trees 2 alder birch cedar"


def head(size: int) -> Checkpoint:
    return Checkpoint(LOG.verifier.name, size, merkle.leaf_hash(b"%d" % size))


def signed(size: int) -> str:
    return sign_checkpoint(head(size), LOG)


def cosignature(name: str, size: int, at: datetime = NOON) -> Cosignature:
    witness = WITNESSES[name]
    return read_answer(witness.cosign(head(size).text, seconds(at)), head(size).text, witness.verifier)


def row(name: str, size: int) -> CosignatureRow:
    one = cosignature(name, size)
    return CosignatureRow(size, str(one.witness), one.line, one.at)


class Room:
    """A quorum with its clock and its events."""

    def __init__(self, policy: str = TWO_OF_THREE, *, fail_closed: bool = True, askable: str = "") -> None:
        urls = {name: f"http://{name}.example" for name in askable.split()}
        self.now = NOON
        self.passed = timedelta(days=3)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.quorum = Quorum(
            parse_policy(policy_text(policy, urls=urls).encode()),
            overdue=MINUTE,
            fail_closed=fail_closed,
            report=lambda event, **fields: self.events.append((event, fields)),
            clock=lambda: self.now,
            elapsed=lambda: self.passed,
        )

    def moves(self, size: int) -> None:
        self.quorum.moved(size, signed(size))

    def hears(self, name: str, size: int) -> None:
        self.quorum.add(size, cosignature(name, size))

    def contradicts(self, name: str) -> None:
        self.quorum.contradicted(WITNESSES[name].verifier)

    def after(self, time: timedelta) -> str:
        """The reason for refusing what comes so much later, or the empty string."""
        self.now += time
        self.passed += time
        refusal = self.quorum.refusal()
        assert refusal is None or refusal.retry_after
        return refusal.reason if refusal else ""


@pytest.fixture
def room() -> Room:
    return Room()


# Heads.


def test_a_head_is_witnessed_once_enough_have_cosigned_it(room: Room) -> None:
    room.moves(3)
    room.hears("cedar", 3)
    assert (room.quorum.size, room.quorum.signed) == (0, "")
    room.hears("alder", 3)
    assert room.quorum.size == 3
    found = open_witnessed(room.quorum.signed, room.quorum.policy, now=NOON, log=LOG.verifier)
    assert found.checkpoint == head(3)
    assert [name for name, _ in found.cosignatures] == ["alder", "cedar"]


def test_the_witnessed_note_is_the_logs_own_with_lines_behind_it(room: Room) -> None:
    room.moves(3)
    for name in WITNESSES:
        room.hears(name, 3)
    assert room.quorum.signed.startswith(signed(3))
    assert room.quorum.signed.count("\n— ") == 4


def test_cosignatures_of_different_heads_do_not_add_up(room: Room) -> None:
    for size, name in ((3, "alder"), (4, "birch"), (5, "cedar")):
        room.moves(size)
        room.hears(name, size)
    assert room.quorum.size == 0
    room.hears("cedar", 4)
    assert room.quorum.size == 4
    with pytest.raises(QuorumError):
        open_witnessed(signed(5), room.quorum.policy, now=NOON, log=LOG.verifier)


def test_an_older_head_that_is_cosigned_late_takes_nothing_back(room: Room) -> None:
    room.moves(3)
    room.hears("alder", 3)
    room.moves(4)
    room.hears("alder", 4)
    room.hears("birch", 4)
    room.hears("birch", 3)
    assert room.quorum.size == 4
    assert room.quorum.oldest == 4


def test_a_head_nobody_knows_of_is_not_witnessed(room: Room) -> None:
    room.hears("alder", 3)
    room.hears("birch", 3)
    assert (room.quorum.size, room.quorum.oldest) == (0, 0)


def test_the_same_head_is_cosigned_anew_and_the_later_line_stays(room: Room) -> None:
    room.moves(3)
    room.hears("alder", 3)
    room.hears("birch", 3)
    room.quorum.add(3, cosignature("alder", 3, NOON + MINUTE))
    found = open_witnessed(room.quorum.signed, room.quorum.policy, now=NOON, log=LOG.verifier)
    assert [one.at for _, one in found.cosignatures] == [NOON + MINUTE, NOON]


def test_heads_that_are_never_cosigned_do_not_pile_up(room: Room) -> None:
    room.moves(1)
    room.hears("alder", 1)
    room.hears("birch", 1)
    for size in range(2, 3 * MAX_HEADS):
        room.moves(size)
    assert len(room.quorum._heads) == MAX_HEADS
    assert room.quorum.size == 1
    assert room.quorum.signed
    newest = 3 * MAX_HEADS - 1
    room.hears("alder", newest)
    room.hears("birch", newest)
    assert room.quorum.size == newest


def test_a_policy_that_needs_no_witness_has_every_head_at_once() -> None:
    room = Room("none")
    room.moves(3)
    assert (room.quorum.size, room.quorum.signed) == (3, signed(3))
    assert room.after(2 * MINUTE) == ""


# Time.


def test_nothing_is_overdue_while_the_log_stands_still(room: Room) -> None:
    assert room.after(timedelta(days=9)) == ""
    room.moves(3)
    room.hears("alder", 3)
    room.hears("birch", 3)
    room.moves(3)
    assert room.after(timedelta(days=9)) == ""
    assert room.events == []


def test_silent_witnesses_are_overdue_after_the_time_they_have_and_it_is_said_once(room: Room) -> None:
    room.moves(3)
    room.hears("alder", 3)
    assert room.after(MINUTE) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE
    room.moves(4)
    assert room.after(MINUTE) == Reason.WITNESSES_OVERDUE
    assert room.events == [("witnesses.overdue", {"size": 3, "witnessed_size": 0})]


def test_a_quorum_that_comes_back_is_said_once_and_statements_are_taken_again(room: Room) -> None:
    room.moves(3)
    room.after(2 * MINUTE)
    room.hears("alder", 3)
    room.hears("birch", 3)
    assert room.after(MINUTE * 0) == ""
    assert room.events[1:] == [("witnesses.recovered", {"size": 3, "witnessed_size": 3})]


def test_the_time_runs_from_the_first_head_that_is_not_covered(room: Room) -> None:
    room.moves(3)
    room.after(timedelta(seconds=40))
    room.moves(4)
    room.after(timedelta(seconds=15))
    room.moves(5)
    room.hears("alder", 3)
    room.hears("birch", 3)  # 3 is covered; 4 has waited for 15 seconds
    assert room.after(timedelta(seconds=45)) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_a_log_that_goes_on_resting_on_old_witnesses_only_is_overdue_however_often_it_moves(room: Room) -> None:
    for size in range(3, 63):
        room.moves(size)
        assert room.after(timedelta(seconds=1)) == ""
    room.moves(63)
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_an_exchange_that_does_not_fail_closed_reports_and_goes_on() -> None:
    room = Room(fail_closed=False)
    room.moves(3)
    assert room.after(2 * MINUTE) == ""
    assert [event for event, _ in room.events] == ["witnesses.overdue"]


def test_a_clock_that_is_set_back_gives_the_witnesses_no_new_time(room: Room) -> None:
    """Attack: whoever can set the clock back by a day keeps the witnesses away for a day."""
    room.moves(3)
    assert room.after(timedelta(seconds=30)) == ""
    room.now -= timedelta(days=1)
    assert room.after(timedelta(seconds=30)) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_a_clock_that_was_ahead_while_the_log_moved_gives_the_witnesses_no_new_time(room: Room) -> None:
    room.now += timedelta(days=30)
    room.moves(3)
    room.now -= timedelta(days=30)
    assert room.after(MINUTE) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_a_clock_that_is_set_ahead_makes_nobody_overdue(room: Room) -> None:
    room.moves(3)
    room.now += timedelta(days=30)
    assert room.after(MINUTE) == ""


# Witnesses that have seen another log.


def test_contradictions_that_leave_too_few_witnesses_close_the_exchange_at_once_and_say_so() -> None:
    room = Room(askable="alder birch cedar")
    room.moves(3)
    room.contradicts("alder")
    assert room.after(timedelta()) == ""
    room.contradicts("cedar")
    assert room.after(timedelta()) == Reason.WITNESSES_OVERDUE
    assert "another log" in str(room.quorum.refusal())
    assert room.events == [("witnesses.overdue", {"size": 3, "witnessed_size": 0})]


def test_a_witness_that_cannot_be_asked_does_not_make_up_for_one_that_contradicts() -> None:
    room = Room(askable="alder birch")
    room.moves(3)
    room.contradicts("alder")
    assert room.after(timedelta()) == Reason.WITNESSES_OVERDUE


def test_a_head_that_is_cosigned_does_not_outweigh_contradictions_heard_since() -> None:
    room = Room(askable="alder birch cedar")
    room.moves(3)
    room.hears("alder", 3)
    room.hears("birch", 3)
    room.contradicts("alder")
    room.contradicts("birch")
    assert room.after(timedelta()) == Reason.WITNESSES_OVERDUE


def test_a_witness_that_cosigns_after_all_no_longer_contradicts() -> None:
    room = Room(askable="alder birch cedar")
    room.moves(3)
    room.contradicts("alder")
    room.contradicts("birch")
    room.hears("cedar", 3)
    assert room.after(timedelta()) == Reason.WITNESSES_OVERDUE
    room.hears("birch", 3)
    assert room.after(timedelta()) == ""
    assert room.events[-1] == ("witnesses.recovered", {"size": 3, "witnessed_size": 3})


async def test_an_exchange_that_does_not_fail_closed_reports_contradictions_and_goes_on() -> None:
    room = Room("alder", fail_closed=False, askable="alder")
    room.quorum.wait()
    room.moves(3)
    room.contradicts("alder")
    assert room.after(timedelta()) == ""
    assert await room.quorum.objection() is None
    assert [event for event, _ in room.events] == ["witnesses.overdue"]


# Restarts.


def test_what_was_kept_before_a_restart_counts_after_it(room: Room) -> None:
    rows = [row("alder", 4), row("alder", 3), row("birch", 3)]
    room.quorum.restore(rows, {3: signed(3), 4: signed(4)})
    assert room.quorum.size == 3
    room.hears("birch", 4)
    assert room.quorum.size == 4


def test_a_restart_gives_the_witnesses_no_new_time(room: Room) -> None:
    room.quorum.restore([row("alder", 3), row("birch", 3)], {3: signed(3)})
    room.quorum.moved(5, signed(5), NOON - 2 * MINUTE)
    assert room.after(MINUTE * 0) == Reason.WITNESSES_OVERDUE


@pytest.mark.parametrize("kept", [["alder"], ["alder", "cedar"]])
def test_a_newest_head_that_only_some_have_cosigned_gives_no_new_time_after_a_restart(kept: list[str]) -> None:
    """Attack: the exchange is restarted again and again while one witness is kept away."""
    room = Room("group trees all alder birch cedar")
    room.quorum.restore([row(name, 5) for name in kept], {5: signed(5)})
    room.quorum.moved(5, signed(5), NOON - 2 * MINUTE)
    assert room.after(MINUTE * 0) == Reason.WITNESSES_OVERDUE


def test_a_restored_head_that_is_cosigned_after_a_restart_does_not_cover_those_after_it(room: Room) -> None:
    room.quorum.restore([row("alder", 3), row("alder", 5)], {3: signed(3), 5: signed(5)})
    room.quorum.moved(5, signed(5), NOON - timedelta(seconds=30))
    room.hears("birch", 3)
    assert room.quorum.size == 3
    assert room.after(timedelta(seconds=30)) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_a_restored_head_that_enough_have_cosigned_is_not_late(room: Room) -> None:
    room.quorum.restore([row("alder", 5), row("birch", 5)], {5: signed(5)})
    room.quorum.moved(5, signed(5), NOON - 2 * MINUTE)
    assert room.after(timedelta(days=9)) == ""


def test_a_first_statement_from_the_future_counts_from_now(room: Room) -> None:
    """It was received while the clock was ahead."""
    room.quorum.moved(5, signed(5), NOON + timedelta(days=1))
    assert room.after(MINUTE) == ""
    assert room.after(timedelta(seconds=1)) == Reason.WITNESSES_OVERDUE


def test_kept_rows_that_prove_nothing_are_left_out(room: Room) -> None:
    good = row("birch", 3)
    rows = [
        CosignatureRow(3, good.witness, row("birch", 4).line, NOON),  # of another head
        CosignatureRow(3, "stranger.example+00000000+AAAA", good.line, NOON),  # of a witness that the policy dropped
        CosignatureRow(3, good.witness, "rubbish", NOON),
        row("alder", 9),  # of a head that is gone
        row("alder", 3),
    ]
    room.quorum.restore(rows, {3: signed(3)})
    assert room.quorum.size == 0
    room.hears("birch", 3)
    assert room.quorum.size == 3
