"""Both clients against a log that forks, is rolled back, splits, or shows stale heads; and what proving them costs."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support.lying_exchange import Authority, LyingExchange, World
from support.stage import TIMEOUT, Crash
from support.statements import MINISTRY, NOON, PLATFORM, a_flag, an_acknowledgement

from panji import heads
from panji.client import AsyncClient, Client
from panji.core import heads as cores
from panji.core.checkpoint import open_checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.errors import (
    ConfigError,
    DeliveryError,
    ForkKind,
    LogForkError,
    NoteError,
    ProofError,
    Reason,
    ReceiptError,
    RefusedError,
    TransportError,
)
from panji.heads import Heads
from panji.outbox import Outbox
from panji.steps import Rpc, Turn
from panji.store import Store
from panji.v1 import log_service_pb2
from panji.wire.receipts import delivery_to_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.stage import Stage

    from panji.session import Verified
    from panji.steps import Step


def stored(stage: Stage, who: str = MINISTRY) -> str | None:
    """The head in the state file of an organisation."""
    exchange = stage.world.exchange.log.signer.verifier.name
    with (
        Store(stage.home / who / "state.sqlite", organisation=who, exchange=exchange) as store,
        store.transaction() as connection,
    ):
        row = connection.execute("SELECT checkpoint FROM head").fetchone()
    return row[0] if row else None


def asked(stage: Stage) -> list[tuple[list[int], int]]:
    """Every question for proofs: older sizes, newer size."""
    return [(list(one.old_sizes), one.new_size) for one in stage.exchange.called("GetConsistencyProofs")]


def rewrite(stage: Stage, keep: int, more: int) -> None:
    """The exchange goes back to a copy of an earlier size, and from there another way."""
    stage.world.exchange = stage.world.exchange.as_of(keep)
    stage.flags(more)


def submit(client: Any) -> Verified:
    verified: Verified = client.submit(client.flag(PLATFORM, a_flag()))
    return verified


# What is proven, and what it costs.


def test_the_first_head_is_held_and_every_later_one_is_proven_to_extend_it(stage: Stage, ministry: Any) -> None:
    log = stage.world.exchange.log
    submit(ministry)
    assert stored(stage) == log.checkpoint(1)
    assert asked(stage) == []
    submit(ministry)
    stage.flags(3)
    submit(ministry)
    assert stored(stage) == log.checkpoint(6)
    assert asked(stage) == [([1], 2), ([2], 6)]


def test_the_head_is_held_over_a_restart(stage: Stage) -> None:
    before = stage.connect(MINISTRY)
    submit(before)
    before.close()
    submit(stage.connect(MINISTRY))
    assert asked(stage) == [([1], 2)]


def test_the_receipt_of_an_old_statement_is_proven_in_the_head_that_is_held(stage: Stage) -> None:
    before = stage.connect(MINISTRY)
    first = submit(before)
    submit(before)
    again = stage.connect(MINISTRY)  # remembers nothing but the file
    signed = again.session.restore(first.envelope)
    assert again.submit(signed) == first
    assert asked(stage)[1:] == [([1], 2)]
    assert stored(stage) == stage.world.exchange.log.checkpoint(2)
    again.submit(signed)
    assert len(asked(stage)) == 2  # what was proven once needs no further proof


def test_a_run_of_the_feed_costs_one_question_for_all_of_its_heads(stage: Stage, platform: Any) -> None:
    stage.flags(5)
    assert len(list(platform.watch(follow=False))) == 5
    assert asked(stage) == [([1, 2, 3, 4], 5)]
    assert stored(stage, PLATFORM) == stage.world.exchange.log.checkpoint(5)
    assert len(list(platform.watch(after=0, follow=False))) == 5
    stage.flags(1)
    assert len(list(platform.watch(follow=False))) == 1
    assert asked(stage)[1:] == [([5], 6)]


def test_a_batch_costs_one_question(stage: Stage, ministry: Any) -> None:
    submit(ministry)
    assert len(list(ministry.submit_many([ministry.flag(PLATFORM, a_flag()) for _ in range(4)]))) == 4
    assert asked(stage) == [([1, 2, 3, 4], 5)]


def test_a_case_and_a_list_of_cases_cost_one_question_each_and_nothing_the_second_time(
    stage: Stage, ministry: Any
) -> None:
    (first, *_) = stage.flags(2)
    for _ in range(2):
        ministry.case(first.statement.id)
        assert len(list(ministry.cases())) == 2
    assert asked(stage) == [([1], 2)]


def test_no_question_asks_for_more_than_an_exchange_answers(
    stage: Stage, platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_PROOFS_AT_ONCE", 2)
    stage.flags(6)
    assert len(list(platform.watch(follow=False))) == 6
    assert asked(stage) == [([1, 2], 6), ([3, 4], 6), ([5], 6)]


def test_the_memory_for_proven_heads_is_bounded_and_forgetting_costs_no_more_than_a_question(
    stage: Stage, platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_REMEMBERED", 2)
    stage.flags(6)
    for _ in range(2):
        assert len(list(platform.watch(after=0, follow=False))) == 6
    assert asked(stage) == [([1, 2, 3, 4, 5], 6), ([1, 2, 3, 4], 6)]


def test_the_log_is_followed_from_head_to_head(stage: Stage, ministry: Any) -> None:
    assert ministry.checkpoint().size == 0
    for count in (3, 7):
        stage.flags(count)
        assert ministry.checkpoint() == stage.world.exchange.log.heads[stage.world.exchange.log.size]
    assert asked(stage) == [([3], 10)]


class Waiting(dict[Any, Any]):
    """Those who wait for a proof, and a word to the test when so many do."""

    def __init__(self, count: int, all_there: threading.Event) -> None:
        super().__init__()
        self.count = count
        self.all_there = all_there

    def __setitem__(self, operation: object, wanted: Any) -> None:
        super().__setitem__(operation, wanted)
        if len(self) == self.count:
            self.all_there.set()


def test_those_who_submit_at_once_share_the_question(tmp_path: Any, authority: Authority) -> None:
    """Whoever comes first holds up the others; the second asks for all of them."""
    world, all_there, count = World(), threading.Event(), 8
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        profile = world.profile(tmp_path, MINISTRY, exchange.address, authority)

        def hold(response: Any) -> Any:
            all_there.wait(10)
            return response

        async def at_once() -> None:
            async with AsyncClient.connect(profile) as client:
                await client.submit(await client.flag(PLATFORM, a_flag()))
                exchange.lies["GetConsistencyProofs"] = hold
                client._operations._heads._waiting = Waiting(count, all_there)
                signed = [await client.flag(PLATFORM, a_flag()) for _ in range(count)]
                submitting = [asyncio.create_task(client.submit(one)) for one in signed]
                await asyncio.gather(*submitting)

        asyncio.run(at_once())
        questions = exchange.called("GetConsistencyProofs")
    assert len(questions) == 2
    assert {size for one in questions for size in (*one.old_sizes, one.new_size)} == set(range(1, count + 2))


def test_threads_that_submit_at_once_hold_one_head_in_the_end(tmp_path: Any, authority: Authority) -> None:
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        profile = world.profile(tmp_path, MINISTRY, exchange.address, authority)
        with Client.connect(profile, timeout=TIMEOUT) as client, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: submit(client), range(24)))
            assert client._operations._heads.newest() == client._operations._heads._head(
                world.exchange.log.checkpoint()
            )
            assert len(exchange.called("GetConsistencyProofs")) < 24


def test_another_process_that_moves_the_head_meanwhile_is_proven_to_hold_the_same_log(stage: Stage) -> None:
    """Two clients share a state file. The one that was overtaken proves its heads once more, from the other's."""
    first, second = stage.connect(MINISTRY), stage.connect(MINISTRY)
    submit(first)

    def overtake(response: Any) -> Any:
        del stage.exchange.lies["GetConsistencyProofs"]
        submit(second)
        return response

    stage.exchange.lies["GetConsistencyProofs"] = overtake
    submit(first)
    assert stored(stage) == stage.world.exchange.log.checkpoint(3)
    assert asked(stage) == [([1], 2), ([1], 3), ([2], 3)]


# Contradictions: both heads are saved, and nothing is handed over.


def caught_by(stage: Stage, operation: Callable[[], Any]) -> LogForkError:
    """The contradiction that an operation must find, its evidence held to be whole and genuine."""
    with pytest.raises(LogForkError) as caught:
        operation()
    found = caught.value
    assert found.saved is not None
    page = found.saved.read_text()
    assert found.finding in page
    assert str(found.saved) in str(found)
    log = stage.world.exchange.log.signer.verifier
    for note in filter(None, (found.kept, found.seen)):
        assert note in page
        open_checkpoint(note, log)
    return found


OPERATIONS: dict[str, Callable[[Stage, Any], Any]] = {
    "submit": lambda _, client: submit(client),
    "submit_many": lambda _, client: list(client.submit_many([client.flag(PLATFORM, a_flag())])),
    "case": lambda stage, client: client.case(next(iter(stage.world.exchange.cases))),
    "cases": lambda _, client: list(client.cases()),
    "checkpoint": lambda _, client: client.checkpoint(),
}
"""What a ministry does that shows it heads."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_fork_is_caught_by_whatever_is_done_first(stage: Stage, name: str) -> None:
    before = stage.connect(MINISTRY)
    stage.flags(5)
    kept = before.checkpoint()
    before.close()
    rewrite(stage, 3, 6)
    found = caught_by(stage, lambda: OPERATIONS[name](stage, stage.connect(MINISTRY)))
    assert found.kind is ForkKind.FORK
    assert open_checkpoint(found.kept, stage.world.exchange.log.signer.verifier) == kept
    assert stored(stage) == found.kept


def test_a_fork_is_caught_in_the_feed_and_what_it_brought_is_neither_handed_over_nor_kept(stage: Stage) -> None:
    before = stage.connect(PLATFORM)
    stage.flags(5)
    assert len(list(before.watch(follow=False))) == 5
    before.close()
    rewrite(stage, 3, 6)
    platform = stage.connect(PLATFORM)
    found = caught_by(stage, lambda: next(platform.watch()))
    assert found.kind is ForkKind.FORK
    assert platform._operations._inbox.cursor(6).index == -1


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_rollback_is_caught_by_whatever_is_done_first(stage: Stage, name: str) -> None:
    before = stage.connect(MINISTRY)
    stage.flags(5)
    before.checkpoint()
    before.close()
    stage.world.exchange = stage.world.exchange.as_of(3)
    found = caught_by(stage, lambda: OPERATIONS[name](stage, stage.connect(MINISTRY)))
    assert found.kind is ForkKind.ROLLBACK
    assert found.seen == stage.world.exchange.log.checkpoint()
    assert stored(stage) == found.kept


def test_a_feed_that_is_shorter_than_what_it_delivered_is_a_rollback(stage: Stage, platform: Any) -> None:
    stage.flags(5)
    assert len(list(platform.watch(follow=False))) == 5
    stage.world.exchange = stage.world.exchange.as_of(3)
    assert caught_by(stage, lambda: next(platform.watch())).kind is ForkKind.ROLLBACK


def test_a_feed_that_is_shorter_in_a_log_that_went_another_way_is_a_fork(stage: Stage, platform: Any) -> None:
    stage.flags(5)
    assert len(list(platform.watch(follow=False))) == 5
    stage.world.exchange = stage.world.exchange.as_of(0)
    elsewhere = stage.world.session(MINISTRY)
    for _ in range(7):
        stage.exchange.announce(elsewhere.sign("meta", a_flag(), language="en", now=NOON).envelope)
    assert caught_by(stage, lambda: next(platform.watch())).kind is ForkKind.FORK


@pytest.mark.parametrize("batch", [False, True])
def test_a_case_that_a_rolled_back_exchange_knows_nothing_of_is_no_reason_to_give_a_reply_up(
    stage: Stage, *, batch: bool
) -> None:
    platform = stage.connect(PLATFORM)
    stage.flags(2)
    *_, flag = platform.watch(follow=False)
    stage.world.exchange = stage.world.exchange.as_of(1)
    reply = platform.reply(flag, an_acknowledgement())
    found = caught_by(stage, lambda: list(platform.submit_many([reply])) if batch else platform.submit(reply))
    assert found.kind is ForkKind.ROLLBACK
    assert platform.pending() == [reply]


def test_a_denial_by_a_log_that_is_whole_is_a_refusal_like_any_other(stage: Stage, ministry: Any) -> None:
    submit(ministry)
    for reason in (Reason.CASE_NOT_FOUND, Reason.REPLY_TARGET_UNKNOWN):
        stage.exchange.errors["GetCase"].append(RefusedError(reason, "no"))
        with pytest.raises(RefusedError) as caught:
            ministry.case("of somebody else")
        assert caught.value.reason is reason
    assert ministry.fork() is None


def test_a_log_that_was_emptied_is_noticed_though_nobody_signs_nothing(stage: Stage, ministry: Any) -> None:
    stage.flags(1)
    ministry.checkpoint()
    stage.world.exchange = stage.world.exchange.as_of(0)
    found = caught_by(stage, ministry.checkpoint)
    assert (found.kind, found.seen) == (ForkKind.ROLLBACK, "")
    assert "(nothing: the log said that it is empty)" in (found.saved.read_text() if found.saved else "")


def test_an_old_receipt_of_a_rolled_back_log_is_answered_by_what_the_log_admits_to_now(stage: Stage) -> None:
    """The old receipt's head is of the same log as the one held, and would be no evidence of anything."""
    before = stage.connect(MINISTRY)
    first = submit(before)
    stage.flags(5)
    before.checkpoint()
    stage.world.exchange = stage.world.exchange.as_of(3)
    again = stage.connect(MINISTRY)
    found = caught_by(stage, lambda: again.submit(again.session.restore(first.envelope)))
    assert (found.kind, found.seen) == (ForkKind.ROLLBACK, stage.world.exchange.log.checkpoint(3))


def test_a_receipt_whose_own_head_the_log_denies_is_a_rollback(stage: Stage, ministry: Any) -> None:
    submit(ministry)
    whole = stage.world.exchange

    def forget(response: Any) -> Any:
        stage.world.exchange = whole.as_of(1)
        return response

    stage.exchange.lies["SubmitFlag"] = forget
    found = caught_by(stage, lambda: submit(ministry))
    assert (found.kind, found.kept, found.seen) == (ForkKind.ROLLBACK, whole.log.checkpoint(2), whole.log.checkpoint(1))


def test_a_log_that_denies_a_size_and_then_shows_it_is_asked_again(stage: Stage, ministry: Any) -> None:
    submit(ministry)
    refusal = RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "not yet")
    stage.exchange.errors["GetConsistencyProofs"].append(refusal)
    signed = ministry.flag(PLATFORM, a_flag())
    with pytest.raises(RefusedError) as caught:
        ministry.submit(signed)
    assert caught.value.reason is Reason.TREE_SIZE_OUT_OF_RANGE
    assert ministry.submit(signed).receipt.index == 1


def test_two_roots_for_one_size_are_caught_at_once(stage: Stage, ministry: Any) -> None:
    stage.flags(3)
    ministry.checkpoint()
    log = stage.world.exchange.log
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=log.split(3))
    found = caught_by(stage, ministry.checkpoint)
    assert (found.kind, found.kept, found.seen) == (ForkKind.SPLIT, log.checkpoint(3), log.split(3))
    assert len(asked(stage)) == 0


def test_two_roots_for_one_size_are_caught_over_a_restart_and_told_apart(stage: Stage) -> None:
    before = stage.connect(MINISTRY)
    stage.flags(3)
    before.checkpoint()
    before.close()
    stage.world.exchange = stage.world.exchange.as_of(2)
    stage.flags(1)
    found = caught_by(stage, lambda: list(stage.connect(MINISTRY).cases()))
    assert (found.kind, found.seen) == (ForkKind.SPLIT, stage.world.exchange.log.checkpoint(3))
    assert found.kept == stored(stage)


def test_a_stale_head_sets_nothing_back(stage: Stage, ministry: Any) -> None:
    stage.flags(5)
    newest = ministry.checkpoint()
    log = stage.world.exchange.log
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=log.checkpoint(2))
    assert ministry.checkpoint() == newest
    assert stored(stage) == log.checkpoint(5)
    del stage.exchange.lies["GetCheckpoint"]
    stage.flags(2)
    assert ministry.checkpoint().size == 7
    assert asked(stage) == [([2], 5), ([5], 7)]


def test_an_answer_from_before_the_first_statement_that_another_call_overtook_is_no_rollback(
    stage: Stage, ministry: Any
) -> None:
    def overtaken(response: Any) -> Any:
        del stage.exchange.lies["GetCheckpoint"]
        submit(stage.connect(MINISTRY))
        return response

    stage.exchange.lies["GetCheckpoint"] = overtaken
    assert ministry.checkpoint().size == 1
    assert ministry.fork() is None


def test_a_stale_head_of_another_past_is_a_fork(stage: Stage, ministry: Any) -> None:
    stage.flags(5)
    ministry.checkpoint()
    log = stage.world.exchange.log
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=log.split(2))
    found = caught_by(stage, ministry.checkpoint)
    assert (found.kind, found.kept, found.seen) == (ForkKind.FORK, log.checkpoint(5), log.split(2))


PROOFS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "truncated": lambda hashes: hashes[:-1],
    "extended": lambda hashes: [*hashes, bytes(32)],
    "reordered": lambda hashes: hashes[::-1],
    "altered": lambda hashes: [bytes(32), *hashes[1:]],
    "too short in a hash": lambda hashes: [hashes[0][1:], *hashes[1:]],
    "empty": lambda _: [],
}


@pytest.mark.parametrize("lie", PROOFS)
def test_a_consistency_proof_that_is_no_proof_is_a_fork(stage: Stage, ministry: Any, lie: str) -> None:
    def change(response: Any) -> Any:
        told = [list(one.hashes) for one in response.proofs]
        return type(response)(proofs=[{"hashes": PROOFS[lie](hashes)} for hashes in told])

    stage.flags(3)
    ministry.checkpoint()
    stage.flags(4)
    stage.exchange.lies["GetConsistencyProofs"] = change
    assert caught_by(stage, ministry.checkpoint).kind is ForkKind.FORK


@pytest.mark.parametrize("lie", PROOFS)
def test_an_inclusion_proof_that_is_no_proof_is_refused(stage: Stage, ministry: Any, lie: str) -> None:
    def change(response: Any) -> Any:
        response.proof[:] = PROOFS[lie](list(response.proof))
        return response

    stage.flags(5)
    stage.exchange.lies["GetInclusionProof"] = change
    with pytest.raises(ProofError):
        ministry.inclusion_proof(1)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_leaf_hash_of_the_wrong_length_is_refused(stage: Stage, ministry: Any, length: int) -> None:
    def change(response: Any) -> Any:
        response.leaf_hash = bytes(length)
        return response

    stage.flags(2)
    stage.exchange.lies["GetInclusionProof"] = change
    with pytest.raises(ProofError, match="32 bytes"):
        ministry.inclusion_proof(0)


def test_a_damaged_head_in_the_state_file_accuses_nobody(stage: Stage, ministry: Any) -> None:
    stage.flags(1)
    ministry.checkpoint()
    state = sqlite3.connect(stage.profile(MINISTRY).state)
    state.execute("UPDATE head SET checkpoint = 'x'")
    state.commit()
    state.close()
    with pytest.raises(ConfigError, match="is damaged: its head of the log"):
        ministry.checkpoint()


def test_the_head_of_another_origin_is_refused(stage: Stage, ministry: Any) -> None:
    """By the log's own key: one key may sign for several logs."""
    stage.flags(1)
    log = stage.world.exchange.log
    foreign = sign_checkpoint(replace(log.heads[1], origin="other.example/log"), log.signer)
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=foreign)
    with pytest.raises(NoteError, match="another log"):
        ministry.checkpoint()
    assert stored(stage) is None


def test_a_head_with_a_line_of_an_unknown_key_is_a_head_and_one_with_a_bad_line_of_the_logs_is_none(
    stage: Stage, ministry: Any
) -> None:
    stage.flags(1)
    log = stage.world.exchange.log
    stranger = type(log.signer)(log.signer.verifier.name, PrivateKeySigner.generate())
    line = sign_checkpoint(log.heads[1], stranger).rpartition("\n\n")[2]
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=response.checkpoint + line)
    assert ministry.checkpoint() == log.heads[1]
    bad = log.split(1).rpartition("\n\n")[2]
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=response.checkpoint + bad)
    with pytest.raises(NoteError, match="not over this text"):
        ministry.checkpoint()


# Several who are shown the same head at once: what one was refused, no other may take for proven.


def refuse_the_first(stage: Stage, client: Any, waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange refuses a proof once, and no sooner than so many operations of the client wait for it."""
    all_there, refused = threading.Event(), threading.Event()
    client._operations._heads._waiting = Waiting(waiting, all_there)
    fail = stage.exchange._fail

    def refuse(method: str, context: grpc.ServicerContext) -> None:
        if method == "GetConsistencyProofs" and not refused.is_set():
            refused.set()
            assert all_there.wait(10)
            stage.exchange.errors[method].append(RefusedError(Reason.REQUEST_INVALID, "no"))
        fail(method, context)

    monkeypatch.setattr(stage.exchange, "_fail", refuse)


def at_once(count: int, operation: Callable[[], Any]) -> list[BaseException | None]:
    """How each of several operations at once ends."""
    with ThreadPoolExecutor(count) as pool:
        return [one.exception() for one in [pool.submit(operation) for _ in range(count)]]


@pytest.mark.parametrize("name", ["case", "cases", "checkpoint"])
def test_a_fork_whose_proof_was_refused_to_one_is_not_believed_by_those_who_waited_with_it(
    stage: Stage, ministry: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: the exchange forks, shows the fork to several operations of a client, and denies the first its proof."""
    stage.flags(5)
    ministry.checkpoint()
    rewrite(stage, 0, 6)
    refuse_the_first(stage, ministry, 3, monkeypatch)
    ended = at_once(3, lambda: OPERATIONS[name](stage, ministry))
    assert {type(one) for one in ended} <= {LogForkError, RefusedError}  # the first may see what the others found
    assert [type(one) for one in ended].count(LogForkError) >= 2


def test_an_honest_head_whose_proof_was_refused_to_one_is_proven_to_the_other(
    stage: Stage, ministry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.flags(5)
    ministry.checkpoint()
    stage.flags(2)
    refuse_the_first(stage, ministry, 2, monkeypatch)
    ended = at_once(2, ministry.checkpoint)
    assert sorted(type(one).__name__ for one in ended) == ["NoneType", "RefusedError"]
    assert asked(stage) == [([5], 7), ([5], 7)]
    assert stored(stage) == stage.world.exchange.log.checkpoint(7)


@pytest.fixture
def alone(stage: Stage, ministry: Any) -> Heads:
    """What a client holds of a log of three entries, to be carried out step by step."""
    stage.flags(3)
    ministry.checkpoint()
    held: Heads = ministry._operations._heads
    return held


def until(steps: Any, kind: type[Step]) -> None:
    """Carries steps out until one of a kind, which is left to do."""
    step = next(steps)
    while not isinstance(step, kind):
        step = steps.send((lambda: None) if isinstance(step, Turn) else None)


@pytest.mark.parametrize("end", [TransportError("gone"), RefusedError(Reason.OVERLOADED, "later"), None])
def test_whoever_is_given_the_turn_asks_for_its_own_heads_however_those_before_it_ended(
    stage: Stage, alone: Heads, end: Exception | None
) -> None:
    """Attack: the first is refused its proof, gets no answer, or is cancelled by its caller."""
    rewrite(stage, 0, 5)
    note = stage.world.exchange.log.checkpoint(5)
    first, second = alone.link([note]), alone.link([note])
    until(second, Turn)
    until(first, Rpc)
    if end is None:
        first.close()
    else:
        with pytest.raises(type(end)):
            first.throw(end)
    question = second.send(lambda: None)
    assert isinstance(question, Rpc)
    assert (list(question.request.old_sizes), question.request.new_size) == ([3], 5)  # type: ignore[attr-defined]
    with pytest.raises(LogForkError):
        second.send(log_service_pb2.GetConsistencyProofsResponse(proofs=[log_service_pb2.ConsistencyProof()]))
    assert not alone._waiting


def test_what_nobody_proves_is_never_returned_as_if_it_were_proven(
    stage: Stage, alone: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(stage, 0, 5)
    monkeypatch.setattr(cores, "link", lambda *_: None)
    steps = alone.link([stage.world.exchange.log.checkpoint(5)])
    until(steps, Turn)
    with pytest.raises(ProofError, match="was not proven"):
        steps.send(lambda: None)


# A statement that is left out.


def test_a_statement_that_the_feed_left_out_is_caught_when_its_case_is_looked_at(stage: Stage, platform: Any) -> None:
    """The exchange logs two statements for one place in a feed, and delivers the second: the first sender's proof."""
    hidden, shown = stage.flags(2)
    log = stage.world.exchange.log
    receipt = log.append(shown.digest, "flag", PLATFORM, 1, NOON + timedelta(seconds=5))
    stage.exchange.lies["Watch"] = lambda _: [delivery_to_message(shown.envelope, receipt)]
    (delivered,) = platform.watch(follow=False)
    assert delivered.digest == shown.digest
    with pytest.raises(DeliveryError, match="at sequence 1 of our feed"):
        platform.case(hidden.statement.id)


def test_a_sender_whose_statements_share_a_place_in_the_feed_knows_that_one_is_kept_from_it(
    stage: Stage, ministry: Any
) -> None:
    submit(ministry)
    stage.world.exchange.feeds[PLATFORM].clear()
    signed = ministry.flag(PLATFORM, a_flag())
    with pytest.raises(ReceiptError, match="kept from its recipient"):
        ministry.submit(signed)
    assert ministry.pending() == [signed]


# After a contradiction.


def test_nothing_goes_on_until_a_person_has_looked(stage: Stage) -> None:
    client = stage.connect(MINISTRY)
    (flag,) = stage.flags(1)
    stage.flags(2)
    client.checkpoint()
    head = client.checkpoint()
    honest = stage.world.exchange
    rewrite(stage, 1, 4)
    found = caught_by(stage, client.checkpoint)
    stage.world.exchange = honest
    calls = len(stage.exchange.calls)
    for again in (client, stage.connect(MINISTRY)):  # over a restart too
        operations: list[Callable[[], Any]] = [
            lambda: submit(again),  # noqa: B023 - called in this turn of the loop
            lambda: list(again.submit_many([again.flag(PLATFORM, a_flag())])),  # noqa: B023 - likewise
            lambda: again.case(flag.statement.id),  # noqa: B023 - likewise
            lambda: list(again.cases()),  # noqa: B023 - likewise
            lambda: next(again.watch()),  # noqa: B023 - likewise
            lambda: again.checkpoint(),  # noqa: B023, PLW0108 - likewise
            lambda: again.inclusion_proof(0, head),  # noqa: B023 - likewise
            lambda: again.consistency_proof(head, head),  # noqa: B023 - likewise
        ]
        for operation in operations:
            same = caught_by(stage, operation)
            assert (same.kind, same.kept, same.seen, same.saved) == (found.kind, found.kept, found.seen, found.saved)
        assert str(again.fork()) == str(found)
        assert again.pending()  # what is only ours can be looked at
    assert len(stage.exchange.calls) == calls
    assert len(list(stage.home.rglob("*.fork-*"))) == 1


def test_a_person_who_has_looked_goes_on_from_the_head_that_was_held(stage: Stage, ministry: Any) -> None:
    stage.flags(3)
    ministry.checkpoint()
    honest = stage.world.exchange
    rewrite(stage, 1, 4)
    found = caught_by(stage, ministry.checkpoint)
    ministry.resolve_fork()
    assert ministry.fork() is None
    again = caught_by(stage, ministry.checkpoint)  # the other history is no more believed than before
    assert (again.kept, again.saved) == (found.kept, found.saved)
    ministry.resolve_fork()
    stage.world.exchange = honest
    assert ministry.checkpoint() == honest.log.heads[3]
    assert found.saved is not None
    assert found.saved.exists()


def test_another_process_that_found_a_contradiction_stops_this_one_too(stage: Stage) -> None:
    here, there = stage.connect(MINISTRY), stage.connect(MINISTRY)
    stage.flags(3)
    here.checkpoint()
    honest = stage.world.exchange
    rewrite(stage, 1, 4)
    caught_by(stage, there.checkpoint)
    stage.world.exchange = honest
    caught_by(stage, here.checkpoint)


# Nothing is lost, and nothing is believed too early.


ERRORS: dict[str, Any] = {
    "the network is gone": grpc.StatusCode.ABORTED,
    "the exchange has a defect": RefusedError(Reason.INTERNAL, "oh"),
    "the exchange refuses": RefusedError(Reason.REQUEST_INVALID, "no"),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("batch", [False, True])
def test_a_statement_whose_head_is_not_proven_is_pending_with_its_receipt_set_aside(
    stage: Stage, error: str, *, batch: bool
) -> None:
    client = stage.connect(MINISTRY)
    submit(client)
    signed = client.flag(PLATFORM, a_flag())
    stage.exchange.errors["GetConsistencyProofs"].append(ERRORS[error])
    with pytest.raises((TransportError, RefusedError)):
        list(client.submit_many([signed])) if batch else client.submit(signed)
    assert client.pending() == [signed]
    ((envelope, _),) = client._operations._outbox.unlinked()
    assert envelope == signed.envelope
    assert stored(stage) == stage.world.exchange.log.checkpoint(1)
    client.close()
    again = stage.connect(MINISTRY)
    (waiting,) = again.pending()
    assert again.submit(waiting).receipt.index == 1
    assert stage.world.exchange.log.size == 2
    assert again.pending() == again._operations._outbox.unlinked() == []


def test_a_fork_keeps_the_receipt_that_it_was_found_by(stage: Stage, ministry: Any) -> None:
    stage.flags(3)
    ministry.checkpoint()
    rewrite(stage, 1, 4)
    signed = ministry.flag(PLATFORM, a_flag())
    caught_by(stage, lambda: ministry.submit(signed))
    ((envelope, _),) = ministry._operations._outbox.unlinked()
    assert envelope == signed.envelope
    assert ministry.pending() == [signed]


def test_a_run_whose_heads_are_not_proven_is_delivered_again(stage: Stage, platform: Any) -> None:
    signed = stage.flags(3)
    stage.exchange.errors["GetConsistencyProofs"].append(grpc.StatusCode.ABORTED)
    with pytest.raises(TransportError):
        list(platform.watch(follow=False))
    assert [one.digest for one in platform.watch(follow=False)] == [one.digest for one in signed]


def test_a_watch_that_follows_goes_on_by_itself_when_the_proof_was_late(stage: Stage, platform: Any) -> None:
    signed, _ = stage.flags(2)
    stage.exchange.errors["GetConsistencyProofs"].append(grpc.StatusCode.ABORTED)
    watched = platform.watch()
    assert next(watched).digest == signed.digest
    watched.close()
    assert len(stage.exchange.called("Watch")) == 2


def test_a_case_whose_heads_are_not_proven_is_not_handed_over(stage: Stage, ministry: Any) -> None:
    first, _ = stage.flags(2)
    ministry.checkpoint()
    stage.exchange.errors["GetConsistencyProofs"].append(grpc.StatusCode.ABORTED)
    with pytest.raises(TransportError):
        ministry.case(first.statement.id)
    assert ministry.case(first.statement.id).flag.digest == first.digest


@pytest.mark.parametrize("step", ["_move", "settle"])
def test_a_crash_on_either_side_of_moving_the_head_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    before = stage.connect(MINISTRY)
    submit(before)
    signed = before.flag(PLATFORM, a_flag())
    monkeypatch.setattr(Heads if step == "_move" else Outbox, step, crash)
    with pytest.raises(Crash):
        before.submit(signed)
    monkeypatch.undo()
    assert stored(stage) == stage.world.exchange.log.checkpoint(1 if step == "_move" else 2)
    after = stage.connect(MINISTRY)
    (waiting,) = after.pending()
    assert after.submit(waiting).receipt.index == 1
    assert after.pending() == []


def test_a_crash_does_not_keep_the_turn_from_the_others(
    stage: Stage, ministry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    submit(ministry)
    monkeypatch.setattr(Heads, "_move", crash)
    with pytest.raises(Crash):
        submit(ministry)
    monkeypatch.undo()
    assert submit(ministry).receipt.index == 2


class _Taken:
    """The turn of a client, when somebody else keeps it beyond the timeout."""

    def acquire(self, **timeout: float) -> Any:
        return False if timeout else self._never()

    async def _never(self) -> None:
        raise TimeoutError


def test_a_turn_that_does_not_come_is_a_transport_error(stage: Stage, ministry: Any) -> None:
    (ministry if stage.make == "threads" else ministry._client)._turn = _Taken()
    signed = ministry.flag(PLATFORM, a_flag())
    with pytest.raises(TransportError, match="waiting for the log's proof"):
        ministry.submit(signed)
    assert ministry.pending() == [signed]
