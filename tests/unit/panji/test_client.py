"""Both clients against an exchange that lies, over real mutual TLS. One specification, run for threads and asyncio."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from support.lying_exchange import Authority, Log, LyingExchange, World
from support.stage import TIMEOUT, Crash
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    PLATFORM,
    STRANGER,
    a_flag,
    a_question,
    a_target_decision,
    an_acknowledgement,
    an_id,
)

from panji import client as clients
from panji import operations
from panji.client import AsyncClient, Client
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.vocabulary import AcknowledgementLevel, CaseState, Category, Kind
from panji.errors import (
    ConfigError,
    DeliveryError,
    InputError,
    NoteError,
    ProofError,
    QuarantinedError,
    Reason,
    ReceiptError,
    RefusedError,
    SignatureError,
    TransportError,
    VerificationError,
    Violation,
)
from panji.feed import Patience
from panji.outbox import Outbox
from panji.session import Verified
from panji.v1 import flag_service_pb2, receipt_pb2
from panji.wire.receipts import delivery_to_message, receipt_to_message
from panji.wire.statements import encode_statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.stage import Stage

    from panji.session import Signed


# Connecting.


def test_nothing_is_asked_of_the_network_before_the_first_call(stage: Stage) -> None:
    profile = replace(stage.profile(MINISTRY), address="localhost:1")
    stage.connect(profile).flag(PLATFORM, a_flag())


def test_an_organisation_that_its_own_directory_does_not_know_is_told(stage: Stage) -> None:
    with pytest.raises(ConfigError) as caught:
        stage.connect(replace(stage.profile(MINISTRY), organisation="nobody"))
    assert caught.value.key == "organisation"


@pytest.mark.parametrize("name", ["directory", "signing_keys", "certificate", "state"])
def test_a_wrong_file_is_named(stage: Stage, name: str) -> None:
    profile = stage.profile(MINISTRY)
    path: Path = profile.signing_keys[0] if name == "signing_keys" else getattr(profile, name)
    path.write_bytes(b"\xff\xff is none of it" * 100)
    with pytest.raises(ConfigError) as caught:
        stage.connect(profile)
    assert caught.value.key == name


def test_a_client_is_closed_by_its_context_and_closing_twice_is_fine(stage: Stage) -> None:
    client = stage.connect(MINISTRY)
    client.close()
    client.close()


# Flags out.


def test_a_flag_is_signed_into_the_outbox_and_stays_there_until_it_has_a_receipt(stage: Stage, ministry: Any) -> None:
    signed = ministry.flag(PLATFORM, a_flag(), language="id", test=True)
    assert ministry.pending() == [signed]
    assert not stage.exchange.calls
    verified = ministry.submit(signed)
    assert ministry.pending() == []
    assert (verified.statement, verified.digest) == (signed.statement, signed.digest)
    assert (verified.statement.language, verified.statement.test) == ("id", True)
    assert verified.receipt.index == 0


def test_submitting_again_gives_the_same_receipt(stage: Stage, ministry: Any) -> None:
    signed = ministry.flag(PLATFORM, a_flag())
    assert ministry.submit(signed) == ministry.submit(signed)
    assert stage.world.exchange.log.size == 1


def test_a_statement_that_was_signed_by_the_session_is_kept_before_it_is_sent(stage: Stage, ministry: Any) -> None:
    stage.exchange.errors["SubmitFlag"].append(grpc.StatusCode.ABORTED)
    signed = ministry.session.sign(PLATFORM, a_flag(), language="en", now=datetime.now(UTC))
    with pytest.raises(TransportError):
        ministry.submit(signed)
    assert ministry.pending() == [signed]


def test_a_flag_that_breaks_its_form_is_refused_before_it_is_signed(ministry: Any) -> None:
    with pytest.raises(InputError):
        ministry.flag(PLATFORM, a_flag(reasons=""))
    assert ministry.pending() == []


def test_a_chosen_id_names_one_flag_however_often_it_is_made(ministry: Any) -> None:
    """An import that begins anew after a crash signs nothing twice."""
    first = ministry.flag(PLATFORM, a_flag(), id=an_id(1))
    assert ministry.flag(PLATFORM, a_flag(), id=an_id(1)) == first
    with pytest.raises(InputError, match="something else"):
        ministry.flag(PLATFORM, a_flag(reasons="others"), id=an_id(1))
    assert ministry.pending() == [first]


def test_a_crash_between_signing_and_sending_loses_nothing(stage: Stage) -> None:
    before = stage.connect(MINISTRY)
    signed = before.flag(PLATFORM, a_flag())
    after = stage.connect(MINISTRY)
    (waiting,) = after.pending()
    assert waiting == signed
    assert after.submit(waiting).receipt.index == 0


def test_a_crash_between_sending_and_storing_the_receipt_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    before = stage.connect(MINISTRY)
    signed = before.flag(PLATFORM, a_flag())
    monkeypatch.setattr(Outbox, "settle", crash)
    with pytest.raises(Crash):
        before.submit(signed)
    monkeypatch.undo()
    assert stage.world.exchange.log.size == 1
    after = stage.connect(MINISTRY)
    (waiting,) = after.pending()
    assert after.submit(waiting).receipt.index == 0
    assert after.pending() == []
    assert stage.world.exchange.log.size == 1


# Lies about what was submitted.


def test_a_receipt_of_another_statement_is_noticed_and_the_flag_stays_pending(stage: Stage, ministry: Any) -> None:
    (other,) = stage.flags(1)
    receipt = receipt_to_message(stage.world.exchange.receipts[other.statement.id])
    stage.exchange.lies["SubmitFlag"] = lambda _: flag_service_pb2.SubmitFlagResponse(receipt=receipt)
    signed = ministry.flag(PLATFORM, a_flag())
    with pytest.raises(ReceiptError):
        ministry.submit(signed)
    assert ministry.pending() == [signed]


def test_a_receipt_under_another_logs_key_is_noticed(stage: Stage, ministry: Any) -> None:
    stage.world.exchange.log = Log()
    with pytest.raises(NoteError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))


def test_an_answer_without_a_receipt_is_noticed(stage: Stage, ministry: Any) -> None:
    stage.exchange.lies["SubmitFlag"] = lambda _: flag_service_pb2.SubmitFlagResponse()
    with pytest.raises(VerificationError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))


# Refusals, and what may be tried again.


def test_a_refusal_arrives_with_everything_that_it_teaches(stage: Stage, ministry: Any) -> None:
    violation = Violation("flag.reasons", "is too short")
    refusal = RefusedError(Reason.STATEMENT_INVALID, "no", violations=[violation], metadata={"limit": "20"})
    stage.exchange.errors["SubmitFlag"].append(refusal)
    with pytest.raises(RefusedError) as caught:
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert (caught.value.reason, caught.value.message) == (Reason.STATEMENT_INVALID, "no")
    assert caught.value.violations == (violation,)
    assert caught.value.metadata == {"limit": "20", "request_id": "request-1"}
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_a_refused_statement_waits_no_longer(stage: Stage, ministry: Any) -> None:
    stage.exchange.errors["SubmitFlag"].append(RefusedError(Reason.NOT_ACCREDITED, "no"))
    with pytest.raises(RefusedError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert ministry.pending() == []


@pytest.mark.parametrize("reason", [Reason.PARTICIPANT_UNKNOWN, Reason.INTERNAL])
def test_a_refusal_that_is_not_the_statements_fault_leaves_it_pending(
    stage: Stage, ministry: Any, reason: Reason
) -> None:
    stage.exchange.errors["SubmitFlag"].append(RefusedError(reason, "not now"))
    with pytest.raises(RefusedError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert len(ministry.pending()) == 1
    assert len(stage.exchange.called("SubmitFlag")) == 1


def test_a_refusal_that_says_when_to_come_back_is_obeyed(stage: Stage, ministry: Any) -> None:
    refusal = RefusedError(Reason.RATE_LIMITED, "later", retry_after=timedelta(milliseconds=1))
    stage.exchange.errors["SubmitFlag"].extend([refusal] * 3)
    assert ministry.submit(ministry.flag(PLATFORM, a_flag())).receipt.index == 0
    assert len(stage.exchange.called("SubmitFlag")) == 4


def test_patience_has_an_end(stage: Stage, ministry: Any) -> None:
    refusal = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(milliseconds=1))
    stage.exchange.errors["SubmitFlag"].extend([refusal] * 9)
    with pytest.raises(RefusedError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert len(stage.exchange.called("SubmitFlag")) == operations.ATTEMPTS
    assert len(ministry.pending()) == 1


def test_a_wait_beyond_the_timeout_is_left_to_the_caller(stage: Stage, ministry: Any) -> None:
    refusal = RefusedError(Reason.RATE_LIMITED, "tomorrow", retry_after=timedelta(days=1))
    stage.exchange.errors["SubmitFlag"].append(refusal)
    with pytest.raises(RefusedError) as caught:
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert caught.value.retry_after == timedelta(days=1)
    assert len(stage.exchange.called("SubmitFlag")) == 1


def test_an_exchange_that_is_unavailable_for_a_moment_is_tried_again(stage: Stage, ministry: Any) -> None:
    stage.exchange.errors["SubmitFlag"].append(grpc.StatusCode.UNAVAILABLE)
    assert ministry.submit(ministry.flag(PLATFORM, a_flag())).receipt.index == 0


def test_a_large_batch_too_is_tried_again(stage: Stage, ministry: Any) -> None:
    """By default gRPC keeps 256 KiB of a call for retries; most batches are larger."""
    stage.exchange.errors["SubmitFlags"].append(grpc.StatusCode.UNAVAILABLE)
    signed = [ministry.flag(PLATFORM, a_flag(reasons="x" * 20_000)) for _ in range(40)]
    assert sum(len(one.envelope) for one in signed) > 3 * 256 * 1024
    assert all(isinstance(result, Verified) for _, result in ministry.submit_many(signed))


def test_nobody_at_the_other_end_is_a_transport_error(stage: Stage) -> None:
    client = stage.connect(replace(stage.profile(MINISTRY), address="127.0.0.1:1"), timedelta(seconds=2))
    with pytest.raises(TransportError) as caught:
        client.submit(client.flag(PLATFORM, a_flag()))
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert len(client.pending()) == 1


def _foreign() -> status_pb2.Status:
    status = status_pb2.Status(code=9, message="of another service")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="NOT_ACCREDITED", domain="other.example"))
    return status


def _malformed() -> status_pb2.Status:
    status = status_pb2.Status(code=9, message="malformed")
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    return status


@pytest.mark.parametrize("error", [grpc.StatusCode.UNIMPLEMENTED, _foreign(), _malformed()])
def test_an_error_that_is_no_refusal_of_an_exchange_is_a_transport_error(
    stage: Stage, ministry: Any, error: Any
) -> None:
    stage.exchange.errors["SubmitFlag"].append(error)
    with pytest.raises(TransportError):
        ministry.submit(ministry.flag(PLATFORM, a_flag()))
    assert len(ministry.pending()) == 1


def test_a_closed_client_says_so(stage: Stage) -> None:
    client = stage.connect(MINISTRY)
    client.flag(PLATFORM, a_flag())
    client.close() if stage.make == "threads" else client.close_alone()
    with pytest.raises(TransportError, match="closed"):
        client.checkpoint()
    with pytest.raises(TransportError, match="closed"):
        client.pending()


def _damage(profile: Any, identifier: str, change: Callable[[bytes], bytes]) -> None:
    state = sqlite3.connect(profile.state)
    (data,) = state.execute("SELECT envelope FROM outbox WHERE id = ?", (identifier,)).fetchone()
    state.execute("UPDATE outbox SET envelope = ? WHERE id = ?", (change(data), identifier))
    state.commit()
    state.close()


@pytest.mark.parametrize(
    "change",
    [lambda _: b"\xff", lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:], lambda data: data[:-1]],
    ids=["no envelope", "a flipped bit", "torn off"],
)
def test_a_damaged_statement_in_the_outbox_is_named_and_holds_nobody_up(
    stage: Stage, caplog: pytest.LogCaptureFixture, change: Callable[[bytes], bytes]
) -> None:
    """Attack, or a bad disk: one pending statement is damaged, and none is ever sent again, or a false one is."""
    profile = stage.profile(MINISTRY)
    ministry = stage.connect(profile)
    first, bad, last = (ministry.flag(PLATFORM, a_flag(), id=an_id(number)) for number in (1, 2, 3))
    _damage(profile, bad.statement.id, change)
    told: list[tuple[str, ConfigError]] = []
    assert ministry.pending(on_damaged=lambda *each: told.append(each)) == [first, last]
    ((identifier, error),) = told
    assert identifier == bad.statement.id
    assert f"statement {bad.statement.id} in the outbox is not as it was signed" in str(error)
    assert [one for one, _ in ministry.submit_many(ministry.pending())] == [first, last]
    assert bad.statement.id in caplog.text
    with pytest.raises(ConfigError, match="is damaged"):
        ministry.flag(PLATFORM, a_flag(), id=bad.statement.id)


def test_a_statement_in_the_place_of_another_is_not_sent(stage: Stage) -> None:
    profile = stage.profile(MINISTRY)
    ministry = stage.connect(profile)
    first, second = (ministry.flag(PLATFORM, a_flag(), id=an_id(number)) for number in (1, 2))
    _damage(profile, first.statement.id, lambda _: second.envelope)
    told: list[str] = []
    assert ministry.pending(on_damaged=lambda _, error: told.append(str(error))) == [second]
    assert f"has as statement {first.statement.id} is {second.statement.id}" in told[0]


# Many at once.


def test_many_are_answered_in_order_and_one_bad_one_does_not_sink_the_rest(stage: Stage, ministry: Any) -> None:
    signed = [ministry.flag(PLATFORM, a_flag(), id=an_id(number)) for number in (3, 1, 2)]
    other = ministry.session.sign(PLATFORM, a_flag(reasons="others"), language="en", now=NOON, id=an_id(1))
    stage.exchange.announce(other.envelope)
    results = list(ministry.submit_many(signed))
    assert [one for one, _ in results] == signed
    first, second, third = (result for _, result in results)
    assert isinstance(second, RefusedError)
    assert second.reason is Reason.STATEMENT_ID_REUSED
    assert (first.digest, third.digest) == (signed[0].digest, signed[2].digest)
    assert ministry.pending() == []


def test_many_go_in_batches_and_each_batch_is_stored_in_one_commit(
    stage: Stage, ministry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling = Mock(side_effect=Outbox.settle, autospec=True)
    monkeypatch.setattr(Outbox, "settle", lambda *given: settling(*given))  # noqa: PLW0108 - binds the outbox
    now = datetime.now(UTC)
    signed = [ministry.session.sign(PLATFORM, a_flag(), language="en", now=now) for _ in range(5)]
    assert len(list(ministry.submit_many(iter(signed), batch=2))) == 5
    assert [len(request.envelopes) for request in stage.exchange.called("SubmitFlags")] == [2, 2, 1]
    assert [len(call.args[1]) for call in settling.call_args_list] == [2, 2, 1]


def test_a_platforms_answers_go_to_the_platforms_method(stage: Stage, platform: Any) -> None:
    stage.flags(3)
    replies = [platform.reply(flag, an_acknowledgement()) for flag in platform.watch(follow=False)]
    assert platform.pending() == replies
    assert all(isinstance(result, Verified) for _, result in platform.submit_many(replies))
    assert len(stage.exchange.called("SubmitResponses")) == 1


def test_half_of_a_batch_answered_is_noticed_and_everything_stays_pending(stage: Stage, ministry: Any) -> None:
    def halve(response: Any) -> Any:
        del response.results[1:]
        return response

    stage.exchange.lies["SubmitFlags"] = halve
    signed = [ministry.flag(PLATFORM, a_flag()) for _ in range(2)]
    with pytest.raises(VerificationError, match="1 answers came for 2"):
        list(ministry.submit_many(signed))
    assert ministry.pending() == signed


def test_receipts_in_another_order_are_noticed(stage: Stage, ministry: Any) -> None:
    def swap(response: Any) -> Any:
        return flag_service_pb2.SubmitFlagsResponse(results=reversed(response.results))

    stage.exchange.lies["SubmitFlags"] = swap
    with pytest.raises(ReceiptError):
        list(ministry.submit_many([ministry.flag(PLATFORM, a_flag()) for _ in range(2)]))
    assert len(ministry.pending()) == 2


def test_an_answer_of_a_batch_that_is_neither_receipt_nor_refusal_is_noticed(stage: Stage, ministry: Any) -> None:
    stage.exchange.lies["SubmitFlags"] = lambda _: flag_service_pb2.SubmitFlagsResponse(
        results=[flag_service_pb2.SubmitResult()]
    )
    with pytest.raises(VerificationError):
        list(ministry.submit_many([ministry.flag(PLATFORM, a_flag())]))


@pytest.mark.parametrize(("status", "expected"), [(_foreign(), TransportError), (_malformed(), VerificationError)])
def test_an_error_within_a_batch_that_is_no_refusal_leaves_it_pending(
    stage: Stage, ministry: Any, status: Any, expected: type[Exception]
) -> None:
    stage.exchange.lies["SubmitFlags"] = lambda _: flag_service_pb2.SubmitFlagsResponse(
        results=[flag_service_pb2.SubmitResult(error=status)]
    )
    with pytest.raises(expected):
        list(ministry.submit_many([ministry.flag(PLATFORM, a_flag())]))
    assert len(ministry.pending()) == 1


def test_those_of_a_batch_that_may_come_back_do_so_alone(stage: Stage, ministry: Any) -> None:
    later = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(milliseconds=1))
    stage.exchange.errors["item"].append(later)
    results = list(ministry.submit_many([ministry.flag(PLATFORM, a_flag()) for _ in range(3)]))
    assert all(isinstance(result, Verified) for _, result in results)
    assert [len(request.envelopes) for request in stage.exchange.called("SubmitFlags")] == [3, 1]


def test_those_that_are_put_off_too_often_are_yielded_and_stay_pending(stage: Stage, ministry: Any) -> None:
    later = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(milliseconds=1))
    stage.exchange.errors["item"].extend([later] * operations.ATTEMPTS)
    ((signed, result),) = ministry.submit_many([ministry.flag(PLATFORM, a_flag())])
    assert isinstance(result, RefusedError)
    assert ministry.pending() == [signed]


def test_a_batch_that_is_refused_as_a_whole_stays_pending(stage: Stage, ministry: Any) -> None:
    stage.exchange.errors["SubmitFlags"].append(RefusedError(Reason.PARTICIPANT_UNKNOWN, "who?"))
    with pytest.raises(RefusedError):
        list(ministry.submit_many([ministry.flag(PLATFORM, a_flag())]))
    assert len(ministry.pending()) == 1


# The feed.


def test_the_feed_yields_everything_in_order_and_verified(stage: Stage, platform: Any) -> None:
    signed = stage.flags(5)
    watched = list(platform.watch(follow=False))
    assert [one.digest for one in watched] == [one.digest for one in signed]
    assert list(platform.watch(follow=False)) == []


def test_a_crash_while_a_statement_is_handled_delivers_it_again(stage: Stage) -> None:
    first, second = stage.flags(2)
    before = stage.connect(PLATFORM)
    watched = before.watch(follow=False)
    assert next(watched).digest == first.digest
    assert next(watched).digest == second.digest  # asked for: the first one is done
    watched.close()
    before.close()
    again = list(stage.connect(PLATFORM).watch(follow=False))
    assert [one.digest for one in again] == [second.digest]


def test_a_consumer_that_raises_gets_the_same_statement_again(stage: Stage, platform: Any) -> None:
    (signed,) = stage.flags(1)
    watched = platform.watch(follow=False)
    next(watched)
    watched.close()
    assert [one.digest for one in platform.watch(follow=False)] == [signed.digest]


def test_reading_from_a_given_place_leaves_the_stored_cursor_alone(stage: Stage, platform: Any) -> None:
    signed = stage.flags(3)
    assert [one.digest for one in platform.watch(after=1, follow=False)] == [one.digest for one in signed[1:]]
    assert len(list(platform.watch(follow=False))) == 3
    assert len(list(platform.watch(after=0, follow=False))) == 3


def test_what_arrives_later_is_delivered_as_it_arrives(stage: Stage, platform: Any) -> None:
    watched = platform.watch()
    for _ in range(3):
        (signed,) = stage.flags(1)
        assert next(watched).digest == signed.digest
    watched.close()
    assert len(stage.exchange.called("Watch")) == 1


def test_a_stream_that_breaks_off_is_taken_up_where_it_broke(stage: Stage, platform: Any) -> None:
    signed = stage.flags(6)
    stage.exchange.breaks.extend([2, 0, 3])
    watched = platform.watch()
    assert [one.digest for one in islice(watched, 6)] == [one.digest for one in signed]
    watched.close()
    assert [request.after_sequence for request in stage.exchange.called("Watch")] == [0, 2, 2, 5]


def test_without_following_a_stream_that_breaks_off_is_an_error(stage: Stage, platform: Any) -> None:
    stage.flags(2)
    stage.exchange.breaks.append(1)
    watched = platform.watch(follow=False)
    next(watched)
    with pytest.raises(TransportError):
        next(watched)
    assert len(list(platform.watch(follow=False))) == 1


@pytest.mark.parametrize("chatters", [False, True])
def test_without_following_a_feed_that_never_ends_is_an_error(stage: Stage, *, chatters: bool) -> None:
    """Attack: the exchange keeps the stream open, silent or with empty frames without end."""
    stage.exchange.stops_at_end, stage.exchange.chatters = False, chatters
    platform = stage.connect(PLATFORM, timeout=timedelta(milliseconds=300))
    with pytest.raises(TransportError):
        list(platform.watch(follow=False))


class Impatient(Patience):
    """Has time until the first statement, and hardly any after it."""

    def renew(self) -> None:
        if hasattr(self, "_since"):
            self._timeout = timedelta(milliseconds=100)
        super().renew()


@pytest.mark.parametrize("chatters", [False, True])
def test_without_following_a_feed_that_never_ends_is_an_error_after_what_it_did_bring(
    stage: Stage, platform: Any, monkeypatch: pytest.MonkeyPatch, *, chatters: bool
) -> None:
    monkeypatch.setattr(clients, "Patience", Impatient)
    (signed,) = stage.flags(1)
    stage.exchange.stops_at_end, stage.exchange.chatters = False, chatters
    watched = platform.watch(follow=False)
    assert next(watched).digest == signed.digest
    with pytest.raises(TransportError, match=r"neither brought a statement nor ended within 0:00:00\.1"):
        next(watched)
    stage.exchange.stops_at_end = True
    assert list(platform.watch(follow=False)) == []


def test_a_feed_that_is_refused_for_good_is_an_error(stage: Stage, platform: Any) -> None:
    stage.exchange.errors["Watch"].append(RefusedError(Reason.CURSOR_OUT_OF_RANGE, "ahead"))
    with pytest.raises(RefusedError):
        next(platform.watch(after=9))


def test_an_exchange_that_shuts_down_is_come_back_to(stage: Stage, platform: Any) -> None:
    (signed,) = stage.flags(1)
    soon = RefusedError(Reason.RATE_LIMITED, "later", retry_after=timedelta(milliseconds=1))
    stage.exchange.errors["Watch"].extend([soon, RefusedError(Reason.INTERNAL, "oh"), grpc.StatusCode.ABORTED])
    watched = platform.watch()
    assert next(watched).digest == signed.digest
    watched.close()


def test_closing_the_client_ends_its_watches(stage: Stage, platform: Any) -> None:
    (signed,) = stage.flags(1)
    watched: list[Verified] = []
    arrived = threading.Event()

    def watch() -> None:
        for one in platform.watch():
            watched.append(one)
            arrived.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert arrived.wait(10)
    platform.close() if stage.make == "threads" else platform.close_alone()
    watcher.join(10)
    assert not watcher.is_alive()
    assert [one.digest for one in watched] == [signed.digest]


def _forge(delivery: Any, stage: Stage) -> Any:
    """The same flag, signed by a thief and put into the log by a stolen exchange."""
    from panji.core import envelope as dsse  # noqa: PLC0415 - the one place that forges
    from panji.wire.envelopes import encode_envelope, parse_envelope  # noqa: PLC0415 - likewise

    forged = dsse.sign(parse_envelope(delivery.envelope).payload, [PrivateKeySigner.generate()])
    data = encode_envelope(forged)
    return delivery_to_message(data, stage.world.exchange.log.append(dsse.digest(data), "flag", PLATFORM, 2, NOON))


def _logged_again(delivery: Any, stage: Stage) -> Any:
    """The same statement with a genuine receipt of the second place in the feed."""
    receipt = stage.world.exchange.log.append(delivery.receipt.digest, "flag", PLATFORM, 2, NOON)
    return delivery_to_message(delivery.envelope, receipt)


LIES: dict[str, tuple[type[Exception], Callable[[list[Any], Stage], list[Any]]]] = {
    "leaves a statement out": (DeliveryError, lambda told, _: [told[0], *told[2:]]),
    "delivers in another order": (DeliveryError, lambda told, _: [told[0], told[2], told[1]]),
    "delivers one twice": (DeliveryError, lambda told, _: [told[0], told[0], *told[1:]]),
    "logs one twice": (DeliveryError, lambda told, stage: [told[0], _logged_again(told[0], stage), *told[2:]]),
    "gives one the receipt of another": (
        ReceiptError,
        lambda told, _: [told[0], type(told[1])(envelope=told[1].envelope, receipt=told[2].receipt)],
    ),
    "flips a bit": (
        ReceiptError,
        lambda told, _: [told[0], type(told[1])(envelope=told[1].envelope[:-1] + b"\0", receipt=told[1].receipt)],
    ),
    "forges a signature": (SignatureError, lambda told, stage: [told[0], _forge(told[1], stage)]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_feed_that_lies_stops_after_what_came_before_and_nothing_is_skipped(
    stage: Stage, platform: Any, lie: str
) -> None:
    expected, change = LIES[lie]
    signed = stage.flags(3)
    stage.exchange.lies["Watch"] = lambda told: change(told, stage) if len(told) == 3 else told
    feed = platform.watch()
    assert next(feed).digest == signed[0].digest
    with pytest.raises(QuarantinedError, match="'panji watch --skip 2'") as caught:
        next(feed)
    assert caught.value.sequence == 2
    assert type(caught.value.__cause__) is expected
    assert [one.sequence for one in platform.quarantined()] == [2]
    del stage.exchange.lies["Watch"]
    assert [one.digest for one in platform.watch(follow=False)] == [one.digest for one in signed[1:]]


def test_a_statement_that_was_logged_twice_is_handed_over_once_and_goes_past_a_person(
    stage: Stage, platform: Any
) -> None:
    """Attack: one deletion order is logged again weeks later, with a genuine receipt, and is carried out once more."""
    (signed,) = stage.flags(1)
    assert [one.digest for one in platform.watch(follow=False)] == [signed.digest]
    feed = stage.world.exchange.feeds[PLATFORM]
    feed.append((signed.envelope, stage.world.exchange.log.append(signed.digest, "flag", PLATFORM, 2, NOON)))
    (later,) = stage.flags(1)
    with pytest.raises(QuarantinedError, match="at sequence 1 before"):
        list(platform.watch(follow=False))
    platform.skip(2)
    assert [one.digest for one in platform.watch(follow=False)] == [later.digest]
    with pytest.raises(QuarantinedError):  # nor when all is read again
        list(platform.watch(after=0, follow=False))


def test_a_feed_that_was_rewritten_is_noticed_when_it_is_read_again(stage: Stage, platform: Any) -> None:
    stage.flags(1)
    assert len(list(platform.watch(follow=False))) == 1
    other = stage.world.session(MINISTRY).sign(PLATFORM, a_flag(), language="en", now=NOON)
    receipt = stage.world.exchange.log.append(other.digest, "flag", PLATFORM, 1, NOON)
    stage.exchange.lies["Watch"] = lambda _: [delivery_to_message(other.envelope, receipt)]
    with pytest.raises(DeliveryError, match="before"):
        list(platform.watch(after=0, follow=False))


# What does not verify, and the way past it.


def _forge_second(stage: Stage) -> tuple[list[Signed], Any]:
    """Three flags, of which a thief has signed the second."""
    signed = stage.flags(3)
    feed = stage.world.exchange.feeds[PLATFORM]
    forged = _forge(delivery_to_message(*feed[1]), stage)
    stage.exchange.lies["Watch"] = lambda told: [forged if one.receipt.sequence == 2 else one for one in told]
    return signed, forged


def test_a_statement_that_does_not_verify_blocks_nobody_for_ever_and_leaves_its_traces(
    stage: Stage, platform: Any
) -> None:
    """Attack: one bad statement, and a recipient never sees again what comes behind it."""
    signed, forged = _forge_second(stage)
    for _ in range(2):
        with pytest.raises(QuarantinedError):
            list(platform.watch(follow=False))
    (kept,) = platform.quarantined()
    assert (kept.sequence, kept.skipped_at) == (2, None)
    assert platform.skip(2) == platform.quarantined()
    (skipped,) = platform.quarantined()
    assert receipt_pb2.Delivery.FromString(skipped.delivery) == forged
    assert "0 of 1 needed signatures" in skipped.error
    assert skipped.skipped_at >= skipped.found_at == kept.found_at
    again = stage.connect(PLATFORM)
    assert [one.digest for one in again.watch(follow=False)] == [signed[2].digest]


def test_nothing_is_skipped_that_has_not_failed_to_verify(stage: Stage, platform: Any) -> None:
    """Attack: to have a person skip what is good, or what has not come yet."""
    stage.flags(1)
    with pytest.raises(InputError, match="nothing has come at 1"):
        platform.skip(1)
    feed = platform.watch(follow=False)
    next(feed)  # verified and stored, not handled
    with pytest.raises(InputError, match="has verified"):
        platform.skip(1)
    assert list(feed) == []
    for place in (0, 1, 3):
        with pytest.raises(InputError, match="the feed goes on at 2"):
            platform.skip(place)


def _instead(delivery: Any, _: list[Any]) -> list[Any]:
    return [delivery]


def test_an_exchange_does_not_fill_the_disk_with_what_does_not_verify(stage: Stage, platform: Any) -> None:
    stage.flags(1)
    for number in range(12):
        garbage = receipt_pb2.Delivery(envelope=b"%d" % number)
        stage.exchange.lies["Watch"] = partial(_instead, garbage)
        with pytest.raises(QuarantinedError):
            list(platform.watch(follow=False))
    assert [one.delivery[-1:] for one in platform.quarantined()] == [b"%d" % number for number in range(8)]


@pytest.mark.parametrize("after", [-1, 2**63, 10**30])
def test_a_feed_is_read_after_a_sequence_that_a_feed_can_have(platform: Any, after: int) -> None:
    with pytest.raises(InputError, match=f"from 0 to 9223372036854775807, not {after}"):
        list(platform.watch(after=after, follow=False))


# Keys that change.


def test_a_new_key_counts_as_soon_as_the_directory_has_it(stage: Stage) -> None:
    profile = stage.profile(PLATFORM)
    platform = stage.connect(profile)
    list(platform.watch(follow=False))
    stage.world.signers[MINISTRY] = [PrivateKeySigner.generate()]
    stage.flags(1)
    with pytest.raises(QuarantinedError) as caught:
        list(platform.watch(follow=False))
    assert type(caught.value.__cause__) is SignatureError
    profile.directory.write_text(stage.world.directory_text)
    assert len(list(platform.watch(follow=False))) == 1


def test_a_revoked_key_stops_counting_without_a_restart(stage: Stage) -> None:
    profile = stage.profile(PLATFORM)
    platform = stage.connect(profile)
    stage.flags(1)
    assert len(list(platform.watch(follow=False))) == 1
    stage.world.periods[MINISTRY] = "valid_until = 2021-01-01T00:00:00Z"
    profile.directory.write_text(stage.world.directory_text)
    stage.flags(1)
    with pytest.raises(QuarantinedError) as caught:
        list(platform.watch(follow=False))
    assert type(caught.value.__cause__) is SignatureError


@pytest.mark.parametrize("content", [None, "[[organisation"])
def test_a_directory_that_cannot_be_read_any_more_stops_the_feed(stage: Stage, content: str | None) -> None:
    profile = stage.profile(PLATFORM)
    platform = stage.connect(profile)
    stage.flags(1)
    profile.directory.unlink()
    if content:
        profile.directory.write_text(content)
    with pytest.raises(ConfigError) as caught:
        list(platform.watch(follow=False))
    assert caught.value.key == "directory"


# Answers and cases.


def _a_flag_at(platform: Any) -> Verified:
    return next(iter(platform.watch(follow=False)))  # type: ignore[no-any-return]


def test_a_case_runs_its_whole_course(stage: Stage, ministry: Any, platform: Any) -> None:
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag(count=3), language="id"))
    flag = _a_flag_at(platform)
    received = platform.acknowledge(flag, AcknowledgementLevel.RECEIVED, platform_reference="T-1")
    asked = platform.ask(flag, [a_question(1)], language="en")
    kinds = [one.statement.kind for one in ministry.watch(follow=False)]
    assert kinds == [Kind.ACKNOWLEDGEMENT, Kind.CLARIFICATION_REQUEST]
    ministry.answer(asked, "The second one.")
    ministry.withdraw(sent, "A mistake.", targets=[3])
    ministry.correspond(received, "Thanks", "For the quick answer.")
    platform.acknowledge(flag, AcknowledgementLevel.UNDER_REVIEW)
    platform.decide(flag, [a_target_decision(1), a_target_decision(2)], note="done")
    for client in (ministry, platform):
        case = client.case(sent.statement.id)
        assert case.case.state is CaseState.DECIDED
        assert len(case.statements) == 8
    assert received.statement.language == "id"
    assert asked.statement.language == "en"


def test_taking_a_flag_up_says_so_once_and_says_what_is_left_to_do(stage: Stage, ministry: Any, platform: Any) -> None:
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag(count=3)))
    flag = _a_flag_at(platform)
    taken = platform.take_up(flag, platform_reference="T-1")
    assert (taken.case.state, taken.open_targets) == (CaseState.RECEIVED, (1, 2, 3))
    assert platform.take_up(flag) == taken  # as after a crash
    ministry.withdraw(sent, "A mistake.", targets=[2])
    assert platform.take_up(flag).open_targets == (1, 3)
    reviewed = platform.take_up(flag, AcknowledgementLevel.UNDER_REVIEW, note="Desk 4.", language="id")
    assert reviewed.case.state is CaseState.UNDER_REVIEW
    assert len(stage.exchange.called("Acknowledge")) == 2
    platform.decide(flag, [a_target_decision(position) for position in reviewed.open_targets])
    assert platform.take_up(flag).open_targets == ()


def test_a_flag_that_was_withdrawn_is_passed_over(stage: Stage, ministry: Any, platform: Any) -> None:
    ministry.withdraw(ministry.submit(ministry.flag(PLATFORM, a_flag())), "A mistake.")
    taken = platform.take_up(_a_flag_at(platform))
    assert (taken.case.state, taken.open_targets) == (CaseState.WITHDRAWN, ())
    assert stage.exchange.called("Acknowledge") == []


def test_a_flag_that_is_withdrawn_at_the_same_moment_is_passed_over(stage: Stage, ministry: Any, platform: Any) -> None:
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag()))
    flag = _a_flag_at(platform)

    def overtaken(told: Any) -> Any:
        del stage.exchange.lies["GetCase"]
        ministry.withdraw(sent, "A mistake.")
        return told

    stage.exchange.lies["GetCase"] = overtaken
    assert platform.take_up(flag).case.state is CaseState.WITHDRAWN
    assert len(stage.exchange.called("Acknowledge")) == 1


def test_taking_a_flag_up_hides_no_other_refusal(stage: Stage, ministry: Any, platform: Any) -> None:
    ministry.submit(ministry.flag(PLATFORM, a_flag()))
    stage.exchange.errors["Acknowledge"].append(RefusedError(Reason.PARTICIPANT_UNKNOWN, "suspended"))
    with pytest.raises(RefusedError, match="PARTICIPANT_UNKNOWN"):
        platform.take_up(_a_flag_at(platform))


def test_a_case_is_withdrawn_by_what_was_fetched_of_it(ministry: Any) -> None:
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag()))
    ministry.withdraw(ministry.case(sent.statement.id), "A mistake.")
    assert ministry.case(sent.statement.id).case.state is CaseState.WITHDRAWN


def test_a_refused_answer_says_what_would_be_legal(ministry: Any) -> None:
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag()))
    ministry.withdraw(sent, "A mistake.")
    with pytest.raises(RefusedError) as caught:
        ministry.withdraw(sent, "Once more.")
    assert caught.value.reason is Reason.MOVE_NOT_ALLOWED
    assert caught.value.metadata["state"] == "WITHDRAWN"


def test_a_case_that_is_claimed_to_be_elsewhere_is_noticed(stage: Stage, ministry: Any) -> None:
    def decided(response: Any) -> Any:
        response.case.state = CaseState.DECIDED
        return response

    sent = ministry.submit(ministry.flag(PLATFORM, a_flag()))
    stage.exchange.lies["GetCase"] = decided
    with pytest.raises(VerificationError, match="claims another state"):
        ministry.case(sent.statement.id)


def test_another_case_than_the_one_asked_for_is_noticed(stage: Stage, ministry: Any) -> None:
    mine = stage.flags(2)[0]
    other = stage.world.exchange.case(stage.flags(1)[0].statement.id)
    stage.exchange.lies["GetCase"] = lambda response: type(response)(case=other)
    with pytest.raises(VerificationError, match="another case"):
        ministry.case(mine.statement.id)


@pytest.mark.parametrize("side", [MINISTRY, PLATFORM])
def test_an_exchange_that_forgets_an_answer_which_both_sides_hold_is_caught(stage: Stage, side: str) -> None:
    ministry, platform = stage.connect(MINISTRY), stage.connect(PLATFORM)
    sent = ministry.submit(ministry.flag(PLATFORM, a_flag()))
    platform.acknowledge(_a_flag_at(platform), AcknowledgementLevel.RECEIVED)
    list(ministry.watch(follow=False))
    before = stage.world.exchange.case(sent.statement.id)
    del before.statements[1:]
    before.state = CaseState.SUBMITTED  # type: ignore[assignment]
    before.updated_at.CopyFrom(before.opened_at)
    stage.exchange.lies["GetCase"] = lambda response: type(response)(case=before)
    with pytest.raises(VerificationError, match="hold a receipt"):
        (ministry if side == MINISTRY else platform).case(sent.statement.id)


def test_cases_are_listed_over_all_pages_and_verified(stage: Stage, ministry: Any) -> None:
    signed = stage.flags(5)
    ministry.withdraw(ministry.case(signed[0].statement.id), "A mistake.")
    assert [one.case.id for one in ministry.cases()] == [one.statement.id for one in reversed(signed)]
    (withdrawn,) = ministry.cases(states=[CaseState.WITHDRAWN])
    assert withdrawn.case.id == signed[0].statement.id
    assert list(ministry.cases(test=True)) == []


def test_every_filter_is_sent(stage: Stage, ministry: Any) -> None:
    stage.flags(1)
    (case,) = ministry.cases(
        category=Category.GAMBLING,
        counterpart=PLATFORM,
        opened_from=NOON - timedelta(days=1),
        opened_until=NOON + timedelta(days=1),
    )
    (request,) = stage.exchange.called("ListCases")
    assert (request.category, request.counterpart, request.with_statements) == (Category.GAMBLING, PLATFORM, True)
    assert request.opened_from.ToDatetime(UTC) == NOON - timedelta(days=1)
    assert case.case.category is Category.GAMBLING


@pytest.mark.parametrize(
    "wanted",
    [
        {"category": Category.TERRORISM},
        {"counterpart": STRANGER},
        {"opened_from": NOON + timedelta(days=1)},
        {"opened_until": NOON - timedelta(days=1)},
    ],
)
def test_a_case_that_was_not_asked_for_is_noticed(stage: Stage, ministry: Any, wanted: dict[str, Any]) -> None:
    stage.flags(1)
    with pytest.raises(VerificationError, match="not asked for"):
        list(ministry.cases(**wanted))


def test_a_drill_among_real_cases_is_noticed(stage: Stage, ministry: Any) -> None:
    drill = stage.world.session(MINISTRY).sign(PLATFORM, a_flag(), language="en", now=NOON, test=True)
    stage.exchange.announce(drill.envelope)
    case = stage.world.exchange.case(drill.statement.id)
    stage.exchange.lies["ListCases"] = lambda response: type(response)(cases=[case])
    with pytest.raises(VerificationError, match="not asked for"):
        list(ministry.cases())


def test_a_list_that_announces_a_page_twice_comes_to_an_end(stage: Stage, ministry: Any) -> None:
    """Attack: the exchange repeats a page token, and whoever lists cases goes round for ever."""

    def empty(response: Any) -> Any:
        return type(response)(next_page_token=str(2))

    stage.exchange.lies["ListCases"] = empty
    with pytest.raises(VerificationError, match="in a circle"):
        list(ministry.cases())
    assert len(stage.exchange.called("ListCases")) == 2


@pytest.mark.parametrize("lie", ["one twice", "in another order", "one again on another page"])
def test_a_case_that_is_listed_twice_or_out_of_order_is_noticed(stage: Stage, ministry: Any, lie: str) -> None:
    stage.flags(2)
    pages = count(1)

    def change(response: Any) -> Any:
        first, second = response.cases
        if lie == "one again on another page":
            return type(response)(cases=[second], next_page_token="0" * next(pages))
        return type(response)(cases=[first, first] if lie == "one twice" else [second, first])

    stage.exchange.lies["ListCases"] = change
    with pytest.raises(VerificationError, match="not in order"):
        list(ministry.cases())


def test_a_case_that_does_not_verify_hides_no_other(stage: Stage, ministry: Any) -> None:
    """Attack: one bad case, and the list of all ends there."""
    signed = stage.flags(3)

    def change(response: Any) -> Any:
        for case in response.cases:
            if case.id == signed[1].statement.id:
                case.statements[0].envelope += b"\0"
        return response

    stage.exchange.lies["ListCases"] = change
    told: list[tuple[str, VerificationError]] = []
    found = [one.case.id for one in ministry.cases(on_unverified=lambda *each: told.append(each))]
    assert found == [signed[2].statement.id, signed[0].statement.id]
    ((case_id, problem),) = told
    assert (case_id, type(problem)) == (signed[1].statement.id, ReceiptError)
    with pytest.raises(ReceiptError):
        list(ministry.cases())


def test_what_cannot_be_asked_is_told_before_it_is_asked(ministry: Any) -> None:
    for wrong, ask in (
        ("the case's id has a character without UTF-8", lambda: ministry.case("x\ud800")),
        ("counterpart has a character without UTF-8", lambda: list(ministry.cases(counterpart="\udfff"))),
        ("opened_from has no time zone", lambda: list(ministry.cases(opened_from=NOON.replace(tzinfo=None)))),
        ("opened_until has no time zone", lambda: list(ministry.cases(opened_until=NOON.replace(tzinfo=None)))),
        ("an index of the log is 0 or more, not -1", lambda: ministry.inclusion_proof(-1)),
    ):
        with pytest.raises(InputError, match=wrong):
            ask()


# The log.


def test_an_entry_is_proven_at_its_index(stage: Stage, ministry: Any) -> None:
    stage.flags(4)
    proof = ministry.inclusion_proof(2)
    assert (proof.index, proof.leaf_hash) == (2, stage.world.exchange.log.leaf(2))
    older = stage.world.exchange.log.heads[3]
    assert ministry.inclusion_proof(2, older).checkpoint == older


def test_an_entry_that_is_not_there_is_not_proven(stage: Stage, ministry: Any) -> None:
    def elsewhere(response: Any) -> Any:
        response.leaf_hash = stage.world.exchange.log.leaf(0)
        return response

    stage.flags(4)
    stage.exchange.lies["GetInclusionProof"] = elsewhere
    with pytest.raises(ProofError):
        ministry.inclusion_proof(2)


def test_two_heads_of_one_log_are_proven_to_be_so(stage: Stage, ministry: Any) -> None:
    stage.flags(6)
    heads = stage.world.exchange.log.heads
    assert ministry.consistency_proof(heads[2], heads[6])
    assert ministry.consistency_proof(heads[6], heads[6]) == ()
    assert len(stage.exchange.called("GetConsistencyProof")) == 1
    with pytest.raises(ProofError):
        ministry.consistency_proof(Checkpoint(EXCHANGE, 2, bytes(32)), heads[6])


def test_a_checkpoint_by_another_key_is_no_checkpoint(stage: Stage, ministry: Any) -> None:
    thief = Log()
    thief.append(bytes(32), "flag", PLATFORM, 1, NOON)
    forged = sign_checkpoint(thief.heads[1], thief.signer)
    stage.exchange.lies["GetCheckpoint"] = lambda response: type(response)(checkpoint=forged)
    with pytest.raises(NoteError):
        ministry.checkpoint()


# What only one of the two makes has.


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_call_that_ends_with_the_client_is_no_cancelled_task(
    tmp_path: Path, authority: Authority, *, cancelled: bool
) -> None:
    asked, answer = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(response: Any) -> Any:
        loop.call_soon_threadsafe(asked.set)
        answer.wait(10)
        return response

    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        exchange.lies["GetCheckpoint"] = hold
        async with AsyncClient.connect(world.profile(tmp_path, MINISTRY, exchange.address, authority)) as client:
            calling = asyncio.create_task(client.checkpoint())
            await asked.wait()
            if cancelled:
                calling.cancel()
            else:
                await client.close()
            with pytest.raises(asyncio.CancelledError if cancelled else TransportError):
                await calling
        answer.set()


class _Bell(threading.Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.somebody_waits = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.somebody_waits.set()
        return super().wait(timeout)


@pytest.mark.parametrize("method", ["GetCheckpoint", "Watch"])
def test_a_wait_ends_when_the_client_is_closed(tmp_path: Path, authority: Authority, method: str) -> None:
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        client = Client.connect(world.profile(tmp_path, MINISTRY, exchange.address, authority), timeout=TIMEOUT)
        client._closing = bell = _Bell()
        refusal = RefusedError(Reason.RATE_LIMITED, "later", retry_after=timedelta(seconds=15))
        exchange.errors[method].append(refusal)
        outcome: list[Any] = []

        def wait() -> None:
            try:
                outcome.append(client.checkpoint() if method == "GetCheckpoint" else list(client.watch()))
            except TransportError as error:
                outcome.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert bell.somebody_waits.wait(10)
        client.close()
        waiting.join(10)
        assert not waiting.is_alive()
        (result,) = outcome
        assert result == [] if method == "Watch" else isinstance(result, TransportError)


def test_a_watch_whose_client_was_closed_under_it_ends_without_an_error(stage: Stage, platform: Any) -> None:
    stage.flags(2)
    watched = platform.watch()
    next(watched)
    platform.close() if stage.make == "threads" else platform.close_alone()
    assert list(watched) == []


async def test_the_asyncio_client_is_an_async_context_manager(tmp_path: Path, authority: Authority) -> None:
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        profile = world.profile(tmp_path, MINISTRY, exchange.address, authority)
        async with AsyncClient.connect(profile) as client:
            verified = await client.submit(await client.flag(PLATFORM, a_flag()))
            assert encode_statement(verified.statement) in verified.envelope
            await client.close()


def test_the_thread_client_is_a_context_manager(tmp_path: Path, authority: Authority) -> None:
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        profile = world.profile(tmp_path, MINISTRY, exchange.address, authority)
        with Client.connect(profile) as client:
            assert client.submit(client.flag(PLATFORM, a_flag())).receipt.sequence == 1
