"""The whole life of a case between two organisations, over mutual TLS, as both sides and third parties can check it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support.exchange import (
    World,
    changed,
    directory_toml,
    proven,
    read_status,
    refused,
    running_exchange,
    serving,
)
from support.statements import (
    a_clarification_answer,
    a_clarification_request,
    a_correspondence,
    a_decision,
    a_flag,
    a_question,
    a_target_decision,
    a_withdrawal,
    an_acknowledgement,
)

from panji.core import merkle
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.vocabulary import (
    AcknowledgementLevel,
    CaseState,
    Category,
    Kind,
    Outcome,
    RefusalReason,
    SubCategory,
    TargetState,
)
from panji.errors import Reason
from panji.session import Session
from panji.wire.times import to_datetime, to_timestamp
from panji_server.rpc import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.exchange import Caller, Letter, Running

    from panji.v1 import case_pb2


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An exchange whose log and feeds hold what these tests put there, and nothing else."""
    with running_exchange(
        tmp_path_factory.mktemp("own") / "made", authorities=("kominfo", "bssn"), platforms=("telegram", "whatsapp")
    ) as running:
        yield running


def told(case: case_pb2.Case) -> tuple[CaseState, list[TargetState]]:
    return CaseState(case.state), [TargetState(target.state) for target in case.targets]


def test_flag_is_received_reviewed_asked_about_answered_and_decided(own: Running) -> None:
    kominfo, telegram = own["kominfo"], own["telegram"]
    first = own["operator"].head().size
    cursors = {one: len(own[one].feed()) for one in ("kominfo", "telegram")}
    open_, actioned, refused = TargetState.OPEN, TargetState.ACTIONED, TargetState.REFUSED

    flag = kominfo.says(a_flag(count=3), "telegram")
    assert told(telegram.case(flag)) == (CaseState.SUBMITTED, [open_] * 3)
    received = telegram.says(an_acknowledgement(), flag)
    assert told(kominfo.case(flag)) == (CaseState.RECEIVED, [open_] * 3)
    review = telegram.says(an_acknowledgement(AcknowledgementLevel.UNDER_REVIEW), flag)
    assert told(kominfo.case(flag)) == (CaseState.UNDER_REVIEW, [open_] * 3)
    question = telegram.says(a_clarification_request(a_question(2), a_question()), flag)
    assert told(kominfo.case(flag)) == (CaseState.CLARIFICATION_REQUESTED, [open_] * 3)
    answer = kominfo.says(a_clarification_answer(), question)
    assert told(telegram.case(flag)) == (CaseState.UNDER_REVIEW, [open_] * 3)
    withdrawal = kominfo.says(a_withdrawal(3), flag)
    decision = telegram.says(a_decision(1, a_target_decision(2, Outcome.NO_ACTION)), flag)
    letter = kominfo.says(a_correspondence(), decision)
    case = kominfo.case(flag)
    assert told(case) == (CaseState.DECIDED, [actioned, refused, TargetState.WITHDRAWN])
    assert [Outcome(one.outcome) for one in case.targets] == [
        Outcome.REMOVED,
        Outcome.NO_ACTION,
        Outcome.UNSPECIFIED,
    ]
    assert RefusalReason(case.targets[1].refusal) is RefusalReason.NOT_PROHIBITED
    assert case == telegram.case(flag)

    said = [flag, received, review, question, answer, withdrawal, decision, letter]
    assert [one.envelope for one in case.statements] == [one.envelope for one in said]
    assert [one.receipt.index for one in case.statements] == list(range(first, first + len(said)))
    assert [Kind(one.receipt.kind) for one in case.statements] == [one.kind for one in said]
    assert to_datetime(case.opened_at) == to_datetime(case.statements[0].receipt.received_at)
    assert to_datetime(case.updated_at) == to_datetime(case.statements[-1].receipt.received_at)
    # Each side's feed holds what was said to it, with the very receipts that the senders got.
    for one in ("kominfo", "telegram"):
        expected = [delivery for delivery in case.statements if delivery.receipt.recipient == one]
        feed = own[one].feed(cursors[one])
        assert feed == expected
        assert [delivery.receipt.sequence for delivery in feed] == list(
            range(cursors[one] + 1, cursors[one] + 1 + len(feed))
        )
        for delivery, statement in zip(feed, [it for it in said if it.recipient == one], strict=True):
            proven(delivery.receipt, statement, own.world.log)
    # And a participant who trusts nothing but the directory and the log's key comes to the same state.
    for one in ("kominfo", "telegram"):
        session = Session(one, own.world.log, own.world.directory)
        assert session.verify_case(case, known=[it.digest for it in said]).case.state is CaseState.DECIDED


def test_every_entry_is_proven_in_every_tree_and_every_tree_in_the_next(own: Running) -> None:
    for _ in range(9):
        own["kominfo"].says(a_flag(), "telegram")
    operator = own["operator"]
    head = operator.head()
    for index in range(head.size):
        response = operator.call("GetInclusionProof", index=index, size=head.size)
        merkle.verify_inclusion(response.leaf_hash, index, head.size, response.proof, head.root)
    older = own["kominfo"].head()
    own["kominfo"].says(a_flag(), "telegram")
    newer = operator.head()
    response = operator.call("GetConsistencyProof", old_size=older.size)
    assert response.new_size == newer.size == older.size + 1
    merkle.verify_consistency(older.size, newer.size, response.proof, older.root, newer.root)
    assert not operator.call("GetConsistencyProof", old_size=0).proof


def test_many_trees_are_proven_prefixes_of_one_in_one_call_in_the_order_asked_for(own: Running) -> None:
    heads = []
    for _ in range(9):
        own["kominfo"].says(a_flag(), "telegram")
        heads.append(own["kominfo"].head())
    newest = heads[-1]
    asked = [heads[at] for at in (4, 0, 8, 6, 4)] * 200  # as many as one call takes
    response = own["telegram"].call("GetConsistencyProofs", old_sizes=[one.size for one in asked])
    assert (response.new_size, len(response.proofs)) == (newest.size, 1000)
    for older, proof in zip(asked, response.proofs, strict=True):
        merkle.verify_consistency(older.size, newest.size, proof.hashes, older.root, newest.root)
    older, newer = heads[2], heads[4]
    (proof,) = own["telegram"].call("GetConsistencyProofs", old_sizes=[older.size], new_size=newer.size).proofs
    merkle.verify_consistency(older.size, newer.size, proof.hashes, older.root, newer.root)


def test_withdrawn_flag_closes_the_case_for_both_sides(own: Running) -> None:
    flag = own["kominfo"].says(a_flag(count=2), "telegram")
    own["telegram"].says(a_clarification_request(), flag)
    own["kominfo"].says(a_withdrawal(), flag)
    for one in ("kominfo", "telegram"):
        assert told(own[one].case(flag)) == (CaseState.WITHDRAWN, [TargetState.WITHDRAWN] * 2)


def pages(caller: Caller, size: int, **filters: Any) -> list[list[case_pb2.Case]]:
    """All pages of a listing."""
    found: list[list[case_pb2.Case]] = []
    token = ""
    while not found or token:
        response = caller.call("ListCases", page_size=size, page_token=token, **filters)
        found.append(list(response.cases))
        token = response.next_page_token
    return found


def test_cases_are_listed_by_filters_and_pages_newest_first(own: Running) -> None:
    bssn, hate = own["bssn"], {"category": Category.HATE, "sub_category": SubCategory.HATE_RACE}
    began = datetime.now(UTC)
    made: list[Letter] = []
    for number in range(7):
        body = a_flag(**(hate if number % 2 else {}))
        made.append(bssn.says(body, "whatsapp" if number % 3 else "telegram"))
    own["telegram"].says(a_decision(), made[0])
    own["whatsapp"].says(an_acknowledgement(), made[1])
    newest = [one.id for one in reversed(made)]
    since = {"opened_from": to_timestamp(began)}

    def ids(caller: Caller, size: int = 500, **filters: Any) -> list[str]:
        return [case.id for page in pages(caller, size, **since, **filters) for case in page]

    assert ids(bssn) == newest
    assert [len(page) for page in pages(bssn, 3, **since)] == [3, 3, 1]
    assert [len(page) for page in pages(bssn, 7, **since)] == [7]
    assert ids(bssn, 3) == ids(bssn, 1) == newest
    assert ids(bssn, category=Category.HATE) == [newest[at] for at in (1, 3, 5)]
    assert ids(bssn, counterpart="telegram") == ids(own["telegram"], counterpart="bssn") == newest[::3]
    assert ids(bssn, counterpart="bssn") == ids(bssn, counterpart="kominfo") == ids(bssn, counterpart="nobody") == []
    assert ids(bssn, states=[CaseState.DECIDED]) == [made[0].id]
    assert ids(bssn, states=[CaseState.DECIDED, CaseState.RECEIVED]) == [made[1].id, made[0].id]
    assert ids(bssn, 2, states=[CaseState.SUBMITTED], category=Category.HATE) == [made[5].id, made[3].id]
    third = to_timestamp(to_datetime(bssn.case(made[3]).opened_at))
    assert ids(bssn, opened_until=third) == newest[-3:]  # before it, it not included
    after = [case.id for page in pages(bssn, 2, opened_from=third) for case in page]
    assert after == newest[:4]  # from it on, it included
    assert ids(own["whatsapp"]) == [one.id for one in reversed(made) if one.recipient == "whatsapp"]
    assert ids(own["kominfo"]) == ids(own["operator"]) == []
    listed = bssn.call("ListCases", page_size=1, with_statements=True, **since).cases
    assert listed[0] == bssn.case(made[-1])
    assert not bssn.call("ListCases", page_size=1, **since).cases[0].statements


def test_pages_hold_still_while_new_cases_come(own: Running) -> None:
    made = [own["bssn"].says(a_flag(), "telegram").id for _ in range(4)]
    first = own["bssn"].call("ListCases", page_size=2)
    own["bssn"].says(a_flag(), "telegram")
    second = own["bssn"].call("ListCases", page_size=2, page_token=first.next_page_token)
    assert [case.id for case in (*first.cases, *second.cases)] == made[::-1]


async def test_a_page_has_no_more_targets_than_fit_and_another_one_follows(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a request of 20 bytes for 500 cases of a thousand targets each, again and again."""
    monkeypatch.setattr(reading, "TARGETS_AT_ONCE", 4)
    async with serving(small_world) as exchange:
        letters = [small_world.voices["kominfo"].says(a_flag(count=count), "telegram") for count in (1, 1, 9, 2, 2, 1)]
        for letter in letters:
            await exchange.submit("kominfo", letter)
        listed: list[str] = []
        lengths: list[int] = []
        token = ""
        while not lengths or token:
            page = await exchange.call("kominfo", "ListCases", page_size=500, page_token=token)
            listed += [case.id for case in page.cases]
            lengths.append(len(page.cases))
            token = page.next_page_token
        assert listed == [letter.id for letter in reversed(letters)]
        assert lengths == [3, 1, 2]


async def test_a_page_with_statements_has_no_more_than_fit_in_an_answer_receipts_counted(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small statements with their receipts are three times as large: 500 cases of them would be no answer at all."""
    monkeypatch.setattr(reading, "BYTES_AT_ONCE", 6000)
    async with serving(small_world) as exchange:
        letters = [small_world.voices["kominfo"].says(a_flag(), "telegram") for _ in range(5)]
        assert len(letters[0].envelope) < 2048
        for letter in letters:
            await exchange.submit("kominfo", letter)
        page = await exchange.call("kominfo", "ListCases", with_statements=True)
        assert len(page.cases) == 2
        assert page.next_page_token
        monkeypatch.setattr(reading, "BYTES_AT_ONCE", 1)
        page = await exchange.call("kominfo", "ListCases", with_statements=True)
        assert [case.id for case in page.cases] == [letters[-1].id]


def test_a_case_that_one_side_talks_full_can_still_be_read_answered_and_ended(tmp_path: Path) -> None:
    """Attack: letters of the largest size, until nobody could read the case any more, or list the older ones."""
    letter = a_correspondence(text="x" * 20_000)
    with running_exchange(tmp_path / "made", settings="\n[limits]\ncase_bytes = 2000000\n") as exchange:
        kominfo, telegram = exchange["kominfo"], exchange["telegram"]
        older, flag = (kominfo.says(a_flag(), "telegram") for _ in range(2))
        batch = [kominfo.voice.says(letter, flag).envelope for _ in range(120)]
        results = kominfo.call("SubmitFlags", envelopes=batch).results
        accepted = [one.WhichOneof("result") == "receipt" for one in results]
        assert accepted == [True] * sum(accepted) + [False] * (120 - sum(accepted))
        assert 1_700_000 < sum(map(len, batch[: sum(accepted)])) < 1_800_000
        for result in results[sum(accepted) :]:
            assert read_status(result.error, grpc.StatusCode.FAILED_PRECONDITION).reason is Reason.CASE_FULL
        assert len(telegram.case(flag).statements) == sum(accepted) + 1
        assert [case.id for case in telegram.call("ListCases", with_statements=True).cases] == [flag.id, older.id]
        telegram.says(letter, flag)
        telegram.says(a_decision(), flag)
        assert refused(kominfo, "SendCorrespondence", envelope=kominfo.voice.says(letter, flag).envelope).reason is (
            Reason.CASE_FULL
        )


def test_default_page_has_fifty_cases(own: Running) -> None:
    voice = own.world.voices["kominfo"]
    batch = [voice.says(a_flag(), "whatsapp", test=True).envelope for _ in range(51)]
    own["kominfo"].call("SubmitFlags", envelopes=batch)
    response = own["kominfo"].call("ListCases", test=True)
    assert len(response.cases) == 50
    assert response.next_page_token


def test_drill_takes_the_same_way(own: Running) -> None:
    drill = own["kominfo"].says(a_flag(), "telegram", test=True)
    own["telegram"].says(an_acknowledgement(), drill, test=True)
    own["telegram"].says(a_decision(), drill, test=True)
    case = own["kominfo"].case(drill)
    assert (case.test, CaseState(case.state)) == (True, CaseState.DECIDED)


def test_keys_of_hardware_modules_sign_as_well(tmp_path: Any) -> None:
    """ECDSA P-256, beside Ed25519, as the directory says which."""
    with running_exchange(tmp_path / "made") as exchange:
        world: World = exchange.world
        signer = PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)
        (record,) = world.directory.organisations["kominfo"].keys
        more = (record, replace(record, key=signer.public_key))
        event = exchange.use(changed(world.directory, "kominfo", keys=more))
        assert event["organisations"] == len(world.directory.organisations)
        assert directory_toml(world.directory).count("spki") == 6
        exchange["kominfo"].says(a_flag(), "telegram", signers=[signer])
        exchange["kominfo"].says(a_flag(), "telegram", signers=[*world.voices["kominfo"].signers, signer])


def test_time_of_receipt_never_goes_back(own: Running) -> None:
    letters = [own["kominfo"].voice.says(a_flag(), "telegram") for _ in range(50)]
    before = datetime.now(UTC) - timedelta(seconds=1)
    results = own["kominfo"].call("SubmitFlags", envelopes=[one.envelope for one in letters]).results
    times = [to_datetime(one.receipt.received_at) for one in results]
    assert before < times[0]
    assert times == sorted(times)
