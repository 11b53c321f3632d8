"""Calls that are wrong as a whole: batches, limits, cursors, page tokens, sizes, and bytes that are no request."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support.exchange import (
    METHOD_OF,
    METHODS,
    RECORDED,
    Broken,
    Held,
    World,
    read_refusal,
    read_status,
    refused,
    running_exchange,
    serving,
)
from support.statements import a_body, a_decision, a_flag, an_acknowledgement

from panji.core.vocabulary import Category
from panji.errors import REASONS, Code, Reason
from panji.v1 import (
    administration_service_pb2,
    case_pb2,
    directory_service_pb2,
    feed_service_pb2,
    flag_service_pb2,
    log_service_pb2,
    response_service_pb2,
)
from panji_server.audit import EVENTS
from panji_server.limits import RateLimit
from panji_server.rpc.call import SUBMITTING

if TYPE_CHECKING:
    from pathlib import Path

    from support.exchange import Letter, Running, Untouched

    from panji_server.storage.sqlite import SQLiteStorage


# Batches.


@pytest.mark.parametrize("count", [0, 1001])
@pytest.mark.parametrize(("organisation", "method"), [("kominfo", "SubmitFlags"), ("telegram", "SubmitResponses")])
def test_batch_of_none_or_too_many(
    exchange: Running, untouched: Untouched, organisation: str, method: str, count: int
) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram")
    request = METHODS[method](envelopes=[letter.envelope] * count)
    refusal = untouched.refuses_call(organisation, method, request, Reason.BATCH_TOO_LARGE)
    assert dict(refusal.info.metadata) == {"max": "1000", "items": str(count)}


def test_batch_of_a_thousand_is_accepted_in_order(exchange: Running) -> None:
    voice, size = exchange.world.voices["kominfo"], exchange["operator"].head().size
    letters = [voice.says(a_flag(), "telegram") for _ in range(1000)]
    results = exchange["kominfo"].call("SubmitFlags", envelopes=[one.envelope for one in letters]).results
    assert [one.receipt.index for one in results] == list(range(size, size + 1000))
    assert [one.receipt.digest for one in results] == [one.digest for one in letters]


def test_bad_items_do_not_sink_the_rest_of_a_batch(exchange: Running) -> None:
    kominfo, head, since = exchange["kominfo"], exchange["operator"].head(), exchange.mark()
    first, second = (kominfo.voice.says(a_flag(), "telegram") for _ in range(2))
    unfit = kominfo.voice.says(a_flag(), "telegram", alter=lambda it: it.flag.ClearField("targets"))
    forged = kominfo.voice.says(a_flag(), "telegram", signers=exchange.world.voices["bssn"].signers)
    reused = kominfo.voice.says(a_flag(reference="2"), "telegram", id=first.id)
    strange = kominfo.voice.says(a_body(kind_of("Withdraw")), first, case_id=unfit.id)
    withdrawal = kominfo.voice.says(a_body(kind_of("Withdraw")), first)
    items: list[tuple[bytes, Reason | None]] = [
        (b"\xff", Reason.ENVELOPE_MALFORMED),
        (first.envelope, None),
        (unfit.envelope, Reason.STATEMENT_INVALID),
        (first.envelope, None),
        (reused.envelope, Reason.STATEMENT_ID_REUSED),
        (forged.envelope, Reason.SIGNATURE_INVALID),
        (bytes(300_000), Reason.PAYLOAD_TOO_LARGE),
        (withdrawal.envelope, None),
        (b"", Reason.ENVELOPE_MALFORMED),
        (strange.envelope, Reason.CASE_NOT_FOUND),
        (second.envelope, None),
    ]
    results = kominfo.call("SubmitFlags", envelopes=[data for data, _ in items]).results
    assert len(results) == len(items)
    for result, (_, reason) in zip(results, items, strict=True):
        if reason is None:
            assert result.WhichOneof("result") == "receipt"
        else:
            refusal = read_status(result.error, grpc.StatusCode[REASONS[reason].code.name])
            assert refusal.reason is reason
    assert results[2].error.message
    assert results[1].receipt == results[3].receipt
    indexes = [results[position].receipt.index for position in (1, 7, 10)]
    assert indexes == [head.size, head.size + 1, head.size + 2]
    assert exchange["operator"].head().size == head.size + 3
    # What the log of events says is what was answered, item by item.
    finished = exchange.wait_for("call.finished", since=since, items=len(items))
    assert {name: finished[name] for name in ("accepted", "repeated", "refused")} == {
        "accepted": 3,
        "repeated": 1,
        "refused": 7,
    }
    told = {
        event["item"]: event.get("reason")
        for event in exchange.audit()[since:]
        if event["event"] in {"statement.accepted", "statement.refused", "statement.repeated"}
    }
    assert told == {item: reason for item, (_, reason) in enumerate(items)}


def kind_of(method: str) -> Any:
    return next(kind for kind, name in METHOD_OF.items() if name.startswith(method))


# Limits.


def test_rate_limit_exceeded_says_when_to_come_back(tmp_path: Any) -> None:
    settings = "\n[limits]\nstatements_per_second = 0.001\nburst = 3\n"
    with running_exchange(tmp_path / "made", authorities=("kominfo", "bssn"), settings=settings) as exchange:
        kominfo = exchange["kominfo"]
        for _ in range(2):
            kominfo.says(a_flag(), "telegram")
        letters = [kominfo.voice.says(a_flag(), "telegram") for _ in range(2)]
        refusal = refused(kominfo, "SubmitFlags", envelopes=[one.envelope for one in letters])
        assert refusal.reason is Reason.RATE_LIMITED
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.retry_after is not None
        assert timedelta(minutes=15) < refusal.retry_after <= timedelta(minutes=17)
        assert exchange["operator"].head().size == RECORDED + 2  # and reading is not limited
        kominfo.submit(letters[0])
        refusal = refused(kominfo, "SubmitFlag", envelope=letters[1].envelope)
        assert refusal.reason is Reason.RATE_LIMITED
        event = exchange.wait_for("call.refused", request_id=refusal.request_id)
        assert (event["reason"], event["retryable"], event["organisation"]) == ("RATE_LIMITED", True, "kominfo")
        exchange["bssn"].says(a_flag(), "telegram")  # one organisation's greed is not another's want


async def test_rate_limit_is_over_when_the_exchange_said_so(small_world: World) -> None:
    limit = RateLimit(1, 1)
    limit.take("kominfo", 1, 100.0)
    async with serving(small_world, limit=limit) as exchange:
        letter = small_world.voices["kominfo"].says(a_flag(), "telegram")
        await exchange.submit("kominfo", letter)  # the exchange's clock is far beyond 101 s


async def test_more_streams_than_an_organisation_may_have_are_refused_until_one_ends(tmp_path: Path) -> None:
    """Attack: streams that are opened and never read, each of which holds in memory what was last sent to it."""
    world = World.create(tmp_path / "made", settings="\n[limits]\nstreams = 2\n")
    async with serving(world) as exchange:
        watch, request = exchange.methods("telegram")["Watch"], METHODS["Watch"]()
        streams = [watch(request) for _ in range(2)]
        for stream in streams:
            await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch(request).read()
        refusal = read_refusal(caught.value)
        assert (refusal.reason, refusal.retry_after) == (Reason.TOO_MANY_CALLS, timedelta(seconds=1))
        assert dict(refusal.info.metadata) == {"max": "2"}
        await exchange.methods("kominfo")["Watch"](request).read()  # one organisation's greed is not another's want
        streams[0].cancel()
        ended = False
        while not ended:
            await asyncio.sleep(0)
            ended = any(one["event"] == "watch.ended" for one in exchange.audit())
        assert await watch(request).read() is not grpc.aio.EOF


async def test_more_reads_at_once_than_an_organisation_may_have_are_refused(tmp_path: Path) -> None:
    """Attack: as many large answers as one can ask for, all of them built at once."""
    world = World.create(tmp_path / "made", settings="\n[limits]\nreads = 1\n")
    reached, release = threading.Event(), threading.Event()

    def held(storage: SQLiteStorage) -> SQLiteStorage:
        read = storage.case

        def case(identifier: str) -> Any:
            reached.set()
            release.wait()
            return read(identifier)

        storage.case = case  # type: ignore[method-assign]
        return storage

    async with serving(world, wrap=held) as exchange:
        flag = world.voices["kominfo"].says(a_flag(), "telegram")
        await exchange.submit("kominfo", flag)
        first = asyncio.ensure_future(exchange.call("kominfo", "GetCase", case_id=flag.case_id))
        try:
            await asyncio.to_thread(reached.wait)
            for method in ("GetCase", "ListCases", "GetCheckpoint"):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await exchange.call("kominfo", method)
                assert read_refusal(caught.value).reason is Reason.TOO_MANY_CALLS
            await exchange.submit("kominfo", world.voices["kominfo"].says(a_flag(), "telegram"))  # that is no read
            await exchange.call("telegram", "GetCheckpoint")
        finally:
            release.set()
        assert (await first).case.id == flag.case_id
        await exchange.call("kominfo", "GetCheckpoint")


def test_every_method_is_known_to_submit_or_to_read() -> None:
    """One that submits would else be bounded by the reads at once, and one that reads by nothing."""
    reads = {name for name in METHODS if name.startswith(("Get", "List", "Describe"))}
    assert METHODS.keys() == SUBMITTING | reads | {"Watch"}


async def test_full_queue_pushes_back(small_world: World) -> None:
    """One commit is under way, one statement may wait: of three more, two are told to come back."""
    held = Held()
    async with serving(small_world, wrap=held.wrap, max_queue=1) as exchange, held:
        letters = [small_world.voices["kominfo"].says(a_flag(), "telegram") for _ in range(4)]
        submit, request = exchange.methods("kominfo")["SubmitFlag"], METHODS["SubmitFlag"]
        first = asyncio.ensure_future(submit(request(envelope=letters[0].envelope)))
        await asyncio.to_thread(held.reached.wait)
        more = [asyncio.ensure_future(submit(request(envelope=one.envelope))) for one in letters[1:]]
        for _ in range(2):
            done, _ = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
            for call in done:
                more.remove(call)
                refusal = read_refusal(call.exception())
                assert refusal.reason is Reason.OVERLOADED
                assert refusal.retry_after == timedelta(seconds=1)
            if len(more) == 1:
                break
        held.release.set()
        (second,) = more
        assert [(await one).receipt.index for one in (first, second)] == [0, 1]
        assert exchange.size() == 2


# Reading.


@pytest.fixture
def flags(exchange: Running) -> list[Letter]:
    """Three flags of one authority to one platform."""
    return [exchange["bssn"].says(a_flag(), "whatsapp") for _ in range(3)]


@pytest.mark.parametrize("ahead", [1, 2**40, 2**64 - 1])
def test_watch_with_a_cursor_ahead_of_the_feed(exchange: Running, ahead: int) -> None:
    length = len(exchange["whatsapp"].feed())
    after, since = min(length + ahead, 2**64 - 1), exchange.mark()
    refusal = refused(exchange["whatsapp"], "Watch", after_sequence=after)
    assert refusal.reason is Reason.CURSOR_OUT_OF_RANGE
    assert dict(refusal.info.metadata) == {"after_sequence": str(after), "last_sequence": str(length)}
    ended = exchange.wait_for("watch.ended", since=since, request_id=refusal.request_id)
    assert (ended["code"], ended["reason"]) == ("OUT_OF_RANGE", "CURSOR_OUT_OF_RANGE")
    assert ended["deliveries"] == 0


@pytest.mark.parametrize(
    "token",
    ["x", "rahasia rahasia rahasia", "\0" * 22, "A" * 22, "A" * 1000, "é" * 22, base64.b64encode(bytes(16)).decode()],
)
def test_bad_page_token(exchange: Running, untouched: Untouched, flags: list[Letter], token: str) -> None:
    request = case_pb2.ListCasesRequest(page_token=token)
    untouched.refuses_call("bssn", "ListCases", request, Reason.PAGE_TOKEN_INVALID)


def test_page_token_of_another_caller(exchange: Running, untouched: Untouched, flags: list[Letter]) -> None:
    token = exchange["bssn"].call("ListCases", page_size=1).next_page_token
    assert token
    request = case_pb2.ListCasesRequest(page_size=1, page_token=token)
    untouched.refuses_call("whatsapp", "ListCases", request, Reason.PAGE_TOKEN_INVALID)


def test_page_token_of_another_query(exchange: Running, untouched: Untouched, flags: list[Letter]) -> None:
    token = exchange["bssn"].call("ListCases", page_size=1).next_page_token
    for other in ({"test": True}, {"counterpart": "whatsapp"}, {"category": Category.HATE}, {"states": [1]}):
        request = case_pb2.ListCasesRequest(page_size=1, page_token=token, **other)
        untouched.refuses_call("bssn", "ListCases", request, Reason.PAGE_TOKEN_INVALID)


def test_page_token_that_was_touched_gives_nobody_elses_cases(exchange: Running, flags: list[Letter]) -> None:
    token = exchange["bssn"].call("ListCases", page_size=1).next_page_token
    reasons = []
    for at in range(len(token)):
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        try:
            cases = exchange["bssn"].call("ListCases", page_size=500, page_token=forged).cases
        except grpc.RpcError as error:
            reasons.append(read_refusal(error).reason)
        else:
            assert {case.authority for case in cases} <= {"bssn"}
    assert set(reasons) == {Reason.PAGE_TOKEN_INVALID}


@pytest.mark.parametrize("size", [501, 2**32 - 1])
def test_page_size_too_big(exchange: Running, untouched: Untouched, size: int) -> None:
    request = case_pb2.ListCasesRequest(page_size=size)
    refusal = untouched.refuses_call("kominfo", "ListCases", request, Reason.REQUEST_INVALID)
    assert refusal.violations == {"page_size": "is at most 500"}


def test_every_wrong_filter_is_named_at_once(exchange: Running, untouched: Untouched) -> None:
    request = case_pb2.ListCasesRequest(page_size=501, counterpart="rahasia\n")
    request.states.extend([0, 4711])  # type: ignore[list-item]
    request.category = 4711  # type: ignore[assignment]
    request.opened_from.seconds = 2**62
    request.opened_until.nanos = -1
    refusal = untouched.refuses_call("kominfo", "ListCases", request, Reason.REQUEST_INVALID)
    assert set(refusal.violations) == {
        "page_size",
        "counterpart",
        "states",
        "category",
        "opened_from",
        "opened_until",
    }
    assert "rahasia" not in str(refusal.status)


@pytest.mark.parametrize("case_id", ["", "rahasia", "01970000-0000-7000-8000-00000000000G", "0" * 36, "\0" * 36])
def test_case_id_that_is_none(exchange: Running, untouched: Untouched, case_id: str) -> None:
    request = case_pb2.GetCaseRequest(case_id=case_id)
    refusal = untouched.refuses_call("kominfo", "GetCase", request, Reason.REQUEST_INVALID)
    assert list(refusal.violations) == ["case_id"]


@pytest.mark.parametrize("beyond", [0, 1, 2**63, 2**64 - 1])
def test_entry_and_tree_beyond_the_log(
    exchange: Running, untouched: Untouched, flags: list[Letter], beyond: int
) -> None:
    size = exchange["operator"].head().size
    wanted = min(size + beyond, 2**64 - 1)
    entry = log_service_pb2.GetInclusionProofRequest(index=wanted)
    untouched.refuses_call("kominfo", "GetInclusionProof", entry, Reason.TREE_SIZE_OUT_OF_RANGE)
    if beyond:
        tree = log_service_pb2.GetInclusionProofRequest(index=0, size=wanted)
        untouched.refuses_call("kominfo", "GetInclusionProof", tree, Reason.TREE_SIZE_OUT_OF_RANGE)
        for request in (
            log_service_pb2.GetConsistencyProofRequest(old_size=1, new_size=wanted),
            log_service_pb2.GetConsistencyProofRequest(old_size=wanted, new_size=0),
            log_service_pb2.GetConsistencyProofsRequest(old_sizes=[1], new_size=wanted),
            log_service_pb2.GetConsistencyProofsRequest(old_sizes=[1, wanted], new_size=0),
        ):
            method = request.DESCRIPTOR.name.removesuffix("Request")
            untouched.refuses_call("kominfo", method, request, Reason.TREE_SIZE_OUT_OF_RANGE)


def test_entry_beyond_the_smaller_tree(exchange: Running, untouched: Untouched, flags: list[Letter]) -> None:
    request = log_service_pb2.GetInclusionProofRequest(index=2, size=2)
    untouched.refuses_call("kominfo", "GetInclusionProof", request, Reason.TREE_SIZE_OUT_OF_RANGE)


def test_consistency_from_a_larger_tree(exchange: Running, untouched: Untouched, flags: list[Letter]) -> None:
    request = log_service_pb2.GetConsistencyProofRequest(old_size=3, new_size=2)
    untouched.refuses_call("kominfo", "GetConsistencyProof", request, Reason.TREE_SIZE_OUT_OF_RANGE)
    several = log_service_pb2.GetConsistencyProofsRequest(old_sizes=[1, 3], new_size=2)
    untouched.refuses_call("kominfo", "GetConsistencyProofs", several, Reason.TREE_SIZE_OUT_OF_RANGE)


@pytest.mark.parametrize("count", [0, 1001])
def test_consistency_proofs_none_or_too_many_at_once(
    exchange: Running, untouched: Untouched, flags: list[Letter], count: int
) -> None:
    request = log_service_pb2.GetConsistencyProofsRequest(old_sizes=[1] * count, new_size=2)
    refusal = untouched.refuses_call("kominfo", "GetConsistencyProofs", request, Reason.REQUEST_INVALID)
    assert refusal.violations == {"old_sizes": "has 1 to 1000 sizes"}


@pytest.mark.parametrize(
    ("method", "fields", "reason", "field"),
    [
        pytest.param("GetTile", {"level": 64}, Reason.REQUEST_INVALID, "level", id="level 64"),
        pytest.param("GetTile", {"width": 256}, Reason.REQUEST_INVALID, "width", id="the width of a full tile"),
        pytest.param("GetEntryBundle", {"width": 257}, Reason.REQUEST_INVALID, "width", id="a width beyond"),
        pytest.param("GetTile", {"level": 63}, Reason.TREE_SIZE_OUT_OF_RANGE, "", id="a level beyond the log"),
        pytest.param("GetTile", {"index": 999}, Reason.TREE_SIZE_OUT_OF_RANGE, "", id="a tile beyond the log"),
        pytest.param("GetTile", {"index": 2**64 - 1}, Reason.TREE_SIZE_OUT_OF_RANGE, "", id="beyond any log"),
        pytest.param("GetEntryBundle", {"index": 2**63}, Reason.TREE_SIZE_OUT_OF_RANGE, "", id="beyond 63 bits"),
        pytest.param("GetEntryBundle", {"index": 999}, Reason.TREE_SIZE_OUT_OF_RANGE, "", id="a bundle beyond the log"),
    ],
)
def test_tile_that_the_log_does_not_have(
    untouched: Untouched, method: str, fields: dict[str, int], reason: Reason, field: str
) -> None:
    refusal = untouched.refuses_call("kominfo", method, METHODS[method](**fields), reason)
    assert set(refusal.violations) == ({field} if field else set())


async def test_empty_log_has_no_checkpoint_and_no_entries(small_world: World) -> None:
    async with serving(small_world) as exchange:
        assert (await exchange.call("kominfo", "GetCheckpoint")).checkpoint == ""
        assert (await exchange.call("kominfo", "GetConsistencyProof")).new_size == 0
        assert len((await exchange.call("kominfo", "GetConsistencyProofs", old_sizes=[0])).proofs) == 1
        wrong: dict[str, dict[str, Any]] = {
            "GetInclusionProof": {"index": 0},
            "GetConsistencyProof": {"new_size": 1},
            "GetConsistencyProofs": {"old_sizes": [1]},
        }
        for method, fields in wrong.items():
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await exchange.call("kominfo", method, **fields)
            assert read_refusal(error.value).reason is Reason.TREE_SIZE_OUT_OF_RANGE


# Bytes that are no request at all.


def path_of(method: str) -> str:
    modules = (
        administration_service_pb2,
        case_pb2,
        directory_service_pb2,
        feed_service_pb2,
        flag_service_pb2,
        log_service_pb2,
        response_service_pb2,
    )
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    return next(f"/{one.full_name}/{method}" for one in services if method in one.methods_by_name)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_malformed_request_is_refused_like_every_other(exchange: Running, method: str) -> None:
    head, since = exchange["operator"].head(), exchange.mark()
    with pytest.raises(grpc.RpcError) as error:
        exchange["kominfo"].raw(path_of(method), b"\x0a\xff\xff\xff\xff\x0frahasia", stream=method == "Watch")
    refusal = read_refusal(error.value)
    assert refusal.reason is Reason.REQUEST_INVALID
    exchange.wait_for("call.refused", since=since, request_id=refusal.request_id)
    assert exchange["operator"].head() == head


@pytest.mark.parametrize("method", ["/panji.v1.FlagService/Nothing", "/panji.v1.Nothing/SubmitFlag", "/x/y", "/"])
def test_method_that_does_not_exist(exchange: Running, method: str) -> None:
    with pytest.raises(grpc.RpcError) as error:
        exchange["kominfo"].raw(method, b"")
    assert getattr(error.value, "code")() is grpc.StatusCode.UNIMPLEMENTED  # noqa: B009 - grpc's RpcError is untyped


def test_trace_id_is_taken_from_a_good_traceparent_and_from_no_other(exchange: Running) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        f"00-{trace}-00f067aa0ba902b7-01": trace,
        f"00-{trace}-00f067aa0ba902b7-01-{trace}": "",
        'x","event":"forged': "",
        f"00-{trace.upper()}-00f067aa0ba902b7-01": "",
    }
    for header, expected in headers.items():
        since = exchange.mark()
        with pytest.raises(grpc.RpcError) as error:
            exchange["kominfo"].raw(path_of("GetCase"), b"", metadata=(("traceparent", header),))
        event = exchange.wait_for("call.refused", since=since, request_id=read_refusal(error.value).request_id)
        assert event["trace_id"] == expected


# The exchange's own failures are refusals like others.


async def test_storage_that_fails_while_it_commits(small_world: World) -> None:
    broken = Broken("append")
    async with serving(small_world, wrap=broken.wrap) as exchange:
        voice = small_world.voices["kominfo"]
        await exchange.submit("kominfo", voice.says(a_flag(), "telegram"))
        broken.works = False
        pending = [exchange.refused("kominfo", voice.says(a_flag(), "telegram")) for _ in range(20)]
        refusals = await asyncio.gather(*pending)
        assert {one.reason for one in refusals} == {Reason.STORAGE_FAILED}
        assert {one.code for one in refusals} == {grpc.StatusCode.UNAVAILABLE}
        assert len(exchange.failures) == 1
        assert exchange.size() == 1
        broken.works = True
        late = await exchange.refused("kominfo", voice.says(a_flag(), "telegram"))
        assert late.reason is Reason.STORAGE_FAILED  # it does not try again: the process must end
        assert "rahasia" not in late.status.message


async def test_storage_that_fails_while_it_is_read(small_world: World) -> None:
    broken = Broken("case", "feed_length", works=False)
    async with serving(small_world, wrap=broken.wrap) as exchange:
        letter = small_world.voices["kominfo"].says(a_flag(), "telegram")
        await exchange.submit("kominfo", letter)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await exchange.call("kominfo", "GetCase", case_id=letter.id)
        assert read_refusal(error.value).reason is Reason.STORAGE_FAILED
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await exchange.methods("telegram")["Watch"](METHODS["Watch"]()).read()
        assert read_refusal(error.value).reason is Reason.STORAGE_FAILED
        assert exchange.failures


async def test_defect_in_the_exchange_is_answered_and_told_without_content(small_world: World) -> None:
    broken = Broken("case", works=False, error=ZeroDivisionError)
    async with serving(small_world, wrap=broken.wrap) as exchange:
        letter = small_world.voices["kominfo"].says(a_flag(), "telegram")
        await exchange.submit("kominfo", letter)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await exchange.call("kominfo", "GetCase", case_id=letter.id)
        refusal = read_refusal(error.value)
        assert refusal.reason is Reason.INTERNAL
        (event,) = [one for one in exchange.audit() if one["event"] == "call.failed"]
        assert event["request_id"] == refusal.request_id
        assert event["error"] == "ZeroDivisionError"


# Every refusal of these tests was held to the table; here the table is held to itself.


def test_every_reason_has_a_code_that_grpc_knows_and_a_meaning() -> None:
    assert set(REASONS) == set(Reason)
    for reason, info in REASONS.items():
        assert re.fullmatch(r"[A-Z][A-Z_]{1,62}", reason)  # AIP-193
        assert grpc.StatusCode[info.code.name].value[0] == int(info.code)
        assert info.meaning.endswith(".")
    retryable = {info.code for info in REASONS.values() if info.retryable}
    assert retryable == {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.INTERNAL}


def test_accepted_statement_leaves_its_events_behind(exchange: Running) -> None:
    since, before = exchange.mark(), datetime.now(UTC)
    letter = exchange["kominfo"].says(a_flag(), "telegram")
    event = exchange.wait_for("statement.accepted", since=since, statement_id=letter.id)
    assert event.keys() == {"time", "level", "event", *EVENTS["statement.accepted"].fields}
    assert (event["sender"], event["recipient"], event["case_id"]) == ("kominfo", "telegram", letter.id)
    assert event["digest"] == letter.digest.hex()
    assert before <= datetime.fromisoformat(event["received_at"]) <= datetime.now(UTC)
    finished = exchange.wait_for("call.finished", since=since, request_id=event["request_id"])
    assert (finished["accepted"], finished["repeated"], finished["refused"]) == (1, 0, 0)


def test_answers_of_reading_leave_their_events_behind(exchange: Running) -> None:
    since = exchange.mark()
    exchange["whatsapp"].call("GetCheckpoint")
    exchange["whatsapp"].call("ListCases")
    for method in ("/panji.v1.LogService/GetCheckpoint", "/panji.v1.CaseService/ListCases"):
        event = exchange.wait_for("call.finished", since=since, method=method, organisation="whatsapp")
        assert (event["code"], event["items"]) == ("OK", 0)


async def test_statement_whose_sender_hung_up_is_in_the_log_and_in_the_events(small_world: World) -> None:
    held = Held()
    async with serving(small_world, wrap=held.wrap) as exchange, held:
        letter = small_world.voices["kominfo"].says(a_flag(), "telegram")
        call = exchange.methods("kominfo")["SubmitFlag"](METHODS["SubmitFlag"](envelope=letter.envelope))
        await asyncio.to_thread(held.reached.wait)
        call.cancel()
        held.release.set()
        receipt = await exchange.submit("kominfo", letter)
        assert (receipt.index, exchange.size()) == (0, 1)
        events = [one["event"] for one in exchange.audit()]
        assert events.count("statement.accepted") == 1
        assert events.count("statement.repeated") == 1


def test_reply_in_the_same_batch_as_what_it_answers(exchange: Running) -> None:
    flag = exchange["kominfo"].says(a_flag(), "telegram")
    voice = exchange.world.voices["telegram"]
    letters = [voice.says(an_acknowledgement(), flag), voice.says(a_decision(), flag)]
    results = exchange["telegram"].call("SubmitResponses", envelopes=[one.envelope for one in letters]).results
    assert [one.WhichOneof("result") for one in results] == ["receipt", "receipt"]
