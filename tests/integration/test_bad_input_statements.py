"""The signature is good; what was signed is not. Every violation is named, without its value; nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.exchange import METHOD_OF, changed, directory_toml, serving, without
from support.statements import a_body, a_flag, a_target, an_acknowledgement

from panji.core.statements import LegalBasis
from panji.core.vocabulary import OPENING, Category, Instrument, Kind, RequestedAction, SubCategory, TargetKind
from panji.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.exchange import Letter, Running, Untouched, World

    from panji.core.statements import Flag
    from panji.v1 import statement_pb2

    Alter = Callable[[statement_pb2.Statement], object]


def altered(exchange: Running, alter: Alter, flag: Flag | None = None, **changes: Any) -> Letter:
    """A flag that was changed into something bad before it was signed."""
    return exchange.world.voices["kominfo"].says(flag or a_flag(), "telegram", alter=alter, **changes)


# To whom?


def test_recipient_that_nobody_knows(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "myspace")
    refusal = untouched.refuses("kominfo", letter, Reason.RECIPIENT_UNKNOWN)
    assert dict(refusal.info.metadata) == {"recipient": "myspace"}


def test_recipient_of_the_senders_own_role(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "bssn")
    untouched.refuses("kominfo", letter, Reason.RECIPIENT_UNKNOWN)


def test_recipient_that_is_the_operator(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "operator")
    untouched.refuses("kominfo", letter, Reason.RECIPIENT_UNKNOWN)


def test_recipient_that_is_the_sender_itself(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: setattr(it, "recipient", "kominfo"))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert list(refusal.violations) == ["recipient"]


def test_statement_addressed_to_another_exchange(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram", exchange="other.example/log")
    refusal = untouched.refuses("kominfo", letter, Reason.WRONG_EXCHANGE)
    assert dict(refusal.info.metadata) == {"origin": exchange.world.made.origin}


# When?


@pytest.mark.parametrize("days", [-36500, -2, 1, 36500])
def test_time_of_issue_far_off(exchange: Running, untouched: Untouched, days: int) -> None:
    issued_at = datetime.now(UTC) + timedelta(days=days)
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram", issued_at=issued_at)
    refusal = untouched.refuses("kominfo", letter, Reason.ISSUE_TIME_OUT_OF_RANGE)
    assert datetime.fromisoformat(refusal.info.metadata["issued_at"]) == issued_at


@pytest.mark.parametrize("year", [1, 9999])
def test_time_of_issue_at_the_ends_of_the_calendar(exchange: Running, untouched: Untouched, year: int) -> None:
    issued_at = datetime(year, 1, 1, tzinfo=UTC)
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram", issued_at=issued_at)
    untouched.refuses("kominfo", letter, Reason.ISSUE_TIME_OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(2**62, 0), (-(2**62), 0), (0, -1), (0, 2**31 - 1), (253402300800, 0)],
    ids=["beyond counting", "before counting", "negative nanos", "too many nanos", "year 10000"],
)
def test_time_of_issue_that_is_no_time(exchange: Running, untouched: Untouched, seconds: int, nanos: int) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.issued_at.seconds, it.issued_at.nanos = seconds, nanos

    untouched.refuses("kominfo", altered(exchange, alter), Reason.PAYLOAD_MALFORMED)


def test_no_time_of_issue(exchange: Running, untouched: Untouched) -> None:
    refusal = untouched.refuses(
        "kominfo", altered(exchange, lambda it: it.ClearField("issued_at")), Reason.STATEMENT_INVALID
    )
    assert list(refusal.violations) == ["issued_at"]


async def test_time_of_issue_is_good_up_to_its_bounds_and_not_a_microsecond_beyond(small_world: World) -> None:
    now = datetime.now(UTC)
    kominfo, tick = small_world.voices["kominfo"], timedelta(microseconds=1)
    async with serving(small_world, clock=lambda: now) as exchange:
        for good in (now - timedelta(hours=24), now + timedelta(minutes=5)):
            await exchange.submit("kominfo", kominfo.says(a_flag(), "telegram", issued_at=good))
        for bad in (now - timedelta(hours=24) - tick, now + timedelta(minutes=5) + tick):
            refusal = await exchange.refused("kominfo", kominfo.says(a_flag(), "telegram", issued_at=bad))
            assert refusal.reason is Reason.ISSUE_TIME_OUT_OF_RANGE
        assert exchange.size() == 2


# Which statement?


def test_same_id_with_other_bytes(exchange: Running, untouched: Untouched) -> None:
    kominfo = exchange["kominfo"]
    first = kominfo.says(a_flag(), "telegram")
    second = kominfo.voice.says(a_flag(reference="rahasia"), "telegram", id=first.id)
    refusal = untouched.refuses("kominfo", second, Reason.STATEMENT_ID_REUSED, case=first)
    assert dict(refusal.info.metadata) == {"statement_id": first.id}


def test_same_id_by_another_organisation_says_no_more_than_that_it_is_taken(
    exchange: Running, untouched: Untouched
) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    second = exchange.world.voices["bssn"].says(a_flag(), "telegram", id=first.id)
    untouched.refuses("bssn", second, Reason.STATEMENT_ID_REUSED, case=first)


def test_same_id_same_content_signed_anew_is_another_statement(exchange: Running, untouched: Untouched) -> None:
    """ECDSA signs anew each time; whoever retries must send the bytes that were kept."""
    kominfo, now = exchange["kominfo"], datetime.now(UTC)
    first = kominfo.says(a_flag(), "telegram", issued_at=now)
    second = kominfo.voice.says(
        a_flag(), "telegram", id=first.id, issued_at=now, signers=[*kominfo.voice.signers, *kominfo.voice.signers]
    )
    untouched.refuses("kominfo", second, Reason.STATEMENT_ID_REUSED, case=first)


def test_same_id_same_bytes_get_the_same_receipt(exchange: Running) -> None:
    kominfo = exchange["kominfo"]
    letter = kominfo.voice.says(a_flag(), "telegram")
    receipts = [kominfo.submit(letter) for _ in range(3)]
    assert receipts[0] == receipts[1] == receipts[2]
    exchange.wait_for("statement.repeated", statement_id=letter.id, index=receipts[0].index)
    assert exchange["operator"].head().size == receipts[0].index + 1


def test_another_organisation_does_not_get_the_receipt_of_bytes_that_it_has_got_hold_of(
    exchange: Running, untouched: Untouched
) -> None:
    letter = exchange["kominfo"].says(a_flag(), "telegram")
    untouched.refuses("bssn", letter, Reason.SIGNATURE_INVALID, case=letter)


async def test_same_bytes_get_the_same_receipt_when_all_that_they_rested_on_is_gone(small_world: World) -> None:
    """Key revoked, grant withdrawn, recipient gone, time of issue out of range: a retry is safe for ever."""
    now = datetime.now(UTC)
    kominfo, directory = small_world.voices["kominfo"], small_world.directory
    letter = kominfo.says(a_flag(), "telegram")
    async with serving(small_world, clock=lambda: now) as exchange:
        receipt = await exchange.submit("kominfo", letter)
        now += timedelta(days=3650)
        assert await exchange.submit("kominfo", letter) == receipt
        small_world.write_directory(_with_one_key_revoked(small_world, now))
        await exchange.directory.reload()
        await exchange.directory.reload()
        assert exchange.directory.current != directory
        assert await exchange.submit("kominfo", letter) == receipt
        fresh = kominfo.says(a_flag(), "telegram", issued_at=now)
        assert (await exchange.refused("kominfo", fresh)).reason is Reason.SIGNATURE_INVALID
        forged = replace(letter, envelope=letter.envelope + b"\x1a\x00")
        assert (await exchange.refused("kominfo", forged)).reason is Reason.SIGNATURE_INVALID
        assert exchange.size() == 1


def _with_one_key_revoked(world: World, now: datetime) -> str:
    (record,) = world.directory.organisations["kominfo"].keys
    revoked = replace(record, valid_until=now - timedelta(days=1))
    return directory_toml(without(changed(world.directory, "kominfo", keys=(revoked,)), "telegram"))


# Of what form?


def test_unknown_enum_value(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: setattr(it.flag, "instrument", 4711))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert refusal.violations == {"flag.instrument": "is no value of Instrument"}


@pytest.mark.parametrize("value", [-1, 2**31 - 1])
def test_unknown_enum_value_in_a_list(exchange: Running, untouched: Untouched, value: int) -> None:
    letter = altered(exchange, lambda it: it.flag.requested_actions.append(value))  # type: ignore[arg-type]
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert "flag.requested_actions[1]" in refusal.violations


def test_unknown_field_in_the_statement(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: it.MergeFromString(b"\xaa\x06\x07rahasia"))
    untouched.refuses("kominfo", letter, Reason.PAYLOAD_MALFORMED)


def test_unknown_field_deep_inside(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: it.flag.targets[0].MergeFromString(b"\xaa\x06\x07rahasia"))
    untouched.refuses("kominfo", letter, Reason.PAYLOAD_MALFORMED)


def test_statement_that_says_nothing(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: it.ClearField("flag"))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert list(refusal.violations) == ["body"]


@pytest.mark.parametrize(
    "url",
    [
        "rahasia",
        "t.example/x",
        "https://",
        "https:///x",
        "javascript:alert(1)",
        "ftp://t.example/x",
        "https://t.example/a b",
        "https://t.example\\x",
        "https://t.example:99999/",
        "https://999.1.1.1/",
        "https://t.exa\u202emple/",
        "http\u017f://t.example/",
        "https://t.example/" + "x" * 4096,
    ],
)
def test_url_that_is_no_url(exchange: Running, untouched: Untouched, url: str) -> None:
    letter = altered(exchange, lambda it: setattr(it.flag.targets[0], "url", url))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert list(refusal.violations) == ["flag.targets[0].url"]
    assert url not in str(refusal.status)


CONTROL = {
    "NUL": "\0",
    "carriage return": "\r",
    "bell": "\a",
    "ANSI escape": "\x1b[2J\x1b[31m",
    "C1 control": "\x9b31m",
    "delete": "\x7f",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "next line": "\x85",
    "forged log line": '\r{"event":"statement.accepted"}',
}


@pytest.mark.parametrize("what", CONTROL)
def test_control_characters_in_running_text_break_no_line_of_the_log(
    exchange: Running, untouched: Untouched, what: str
) -> None:
    letter = altered(exchange, lambda it: setattr(it.flag, "reasons", f"rahasia{CONTROL[what]}rahasia"))
    before = exchange.mark()
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert refusal.violations == {"flag.reasons": "has a control character other than line feed and tab"}
    assert not any(text in "".join(exchange.lines()[before:]) for text in (CONTROL[what], "rahasia"))


@pytest.mark.parametrize("what", [*CONTROL, "line feed", "tab"])
def test_control_characters_and_line_breaks_in_a_line_of_text(
    exchange: Running, untouched: Untouched, what: str
) -> None:
    piece = {**CONTROL, "line feed": "\n", "tab": "\t"}[what]
    letter = altered(exchange, lambda it: setattr(it.flag, "reference", f"1{piece}2"))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert refusal.violations == {"flag.reference": "has a control character or a line break"}


@pytest.mark.parametrize("name", ["id", "exchange", "sender", "recipient", "case_id", "language"])
def test_control_characters_in_the_frame_break_no_line_of_the_log(
    exchange: Running, untouched: Untouched, name: str
) -> None:
    letter = altered(exchange, lambda it: setattr(it, name, 'x\n{"event":"exchange.stopped"}\u2028'))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert name in refusal.violations


def test_line_feeds_and_tabs_may_stand_in_reasons(exchange: Running) -> None:
    exchange["kominfo"].says(a_flag(reasons="rahasia:\n\tone\n\ttwo \U0001f6a9 \u0627\u0644\u0646\u0635"), "telegram")


def test_flag_with_too_many_targets(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: it.flag.targets.extend([it.flag.targets[0]] * 1000))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert refusal.violations == {"flag.targets": "are more than 1000"}


def test_flag_with_a_thousand_targets_is_accepted(exchange: Running) -> None:
    letter = exchange["kominfo"].says(a_flag(count=1000), "telegram")
    assert len(exchange["telegram"].case(letter).targets) == 1000


def test_order_without_a_legal_basis(exchange: Running, untouched: Untouched) -> None:
    letter = altered(exchange, lambda it: it.flag.ClearField("legal_basis"))
    refusal = untouched.refuses("kominfo", letter, Reason.STATEMENT_INVALID)
    assert list(refusal.violations) == ["flag.legal_basis"]


def test_flag_that_claims_to_be_a_reply(exchange: Running, untouched: Untouched) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")

    def alter(it: statement_pb2.Statement) -> None:
        it.case_id, it.in_reply_to = first.id, first.digest

    refusal = untouched.refuses("kominfo", altered(exchange, alter), Reason.STATEMENT_INVALID, case=first)
    assert set(refusal.violations) == {"case_id", "in_reply_to"}


def test_many_violations_are_named_at_once(exchange: Running, untouched: Untouched) -> None:
    def alter(it: statement_pb2.Statement) -> None:
        it.language, it.id = "??", it.id.upper()
        it.flag.reasons, it.flag.category, it.flag.urgency = " ", 4711, 0  # type: ignore[assignment]
        it.flag.targets[1].url = "rahasia"
        it.flag.targets[2].kind = 0  # type: ignore[assignment]
        it.flag.legal_basis[0].jurisdiction = "id"
        it.flag.issuing_authority.ClearField("name")

    refusal = untouched.refuses("kominfo", altered(exchange, alter, a_flag(count=3)), Reason.STATEMENT_INVALID)
    assert set(refusal.violations) == {
        "id",
        "language",
        "flag.reasons",
        "flag.category",
        "flag.sub_category",
        "flag.urgency",
        "flag.targets[1].url",
        "flag.targets[2].kind",
        "flag.legal_basis[0].jurisdiction",
        "flag.issuing_authority.name",
    }
    assert all(refusal.violations.values())


def empty_targets(it: statement_pb2.Statement) -> None:
    del it.flag.targets[:]
    for _ in range(1000):
        it.flag.targets.add()


def test_a_thousand_violations_do_not_overflow_the_metadata(exchange: Running, untouched: Untouched) -> None:
    """More than once: between its soft and its hard limit, gRPC drops answers at random."""
    for _ in range(5):
        refusal = untouched.refuses("kominfo", altered(exchange, empty_targets), Reason.STATEMENT_INVALID)
        assert len(refusal.violations) > 20
        assert "more violations" in refusal.violations[""]


def test_a_batch_of_flags_with_a_thousand_violations_each_is_answered(exchange: Running) -> None:
    """Small requests must not buy answers that are larger than an answer may be: the good one would sink with them."""
    kominfo, head = exchange["kominfo"], exchange["operator"].head()
    bad = altered(exchange, empty_targets).envelope
    good = kominfo.voice.says(a_flag(), "telegram")
    results = kominfo.call("SubmitFlags", envelopes=[bad] * 300 + [good.envelope]).results
    assert [one.WhichOneof("result") for one in results] == ["error"] * 300 + ["receipt"]
    assert exchange["operator"].head().size == head.size + 1
    assert max(map(len, exchange.lines())) < 10_000


# Allowed to?


def test_flag_by_a_platform(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["telegram"].says(a_flag(), "kominfo")
    refusal = untouched.refuses("telegram", letter, Reason.ROLE_NOT_ALLOWED)
    assert dict(refusal.info.metadata) == {"role": "platform", "kind": "flag"}


@pytest.mark.parametrize("kind", [Kind.DECISION, Kind.ACKNOWLEDGEMENT, Kind.CLARIFICATION_REQUEST])
def test_platforms_answer_by_an_authority(exchange: Running, untouched: Untouched, kind: Kind) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices["kominfo"].says(a_body(kind), first)
    untouched.refuses("kominfo", letter, Reason.ROLE_NOT_ALLOWED, case=first)


@pytest.mark.parametrize("kind", [Kind.WITHDRAWAL, Kind.CLARIFICATION_ANSWER])
def test_authoritys_statement_by_a_platform(exchange: Running, untouched: Untouched, kind: Kind) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices["telegram"].says(a_body(kind), first)
    untouched.refuses("telegram", letter, Reason.ROLE_NOT_ALLOWED, case=first)


def test_flag_by_the_operator(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["operator"].says(a_flag(), "telegram")
    untouched.refuses("operator", letter, Reason.ROLE_NOT_ALLOWED)


@pytest.mark.parametrize("method", sorted(set(METHOD_OF.values()) - {"SubmitFlag"}))
def test_flag_sent_to_the_wrong_method(exchange: Running, untouched: Untouched, method: str) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram")
    refusal = untouched.refuses("kominfo", letter, Reason.KIND_MISMATCH, method=method)
    assert refusal.info.metadata["kind"] == "flag"
    assert METHOD_OF[Kind(refusal.info.metadata["takes"])] == method


@pytest.mark.parametrize("kind", sorted(set(Kind) - OPENING))
def test_reply_sent_as_a_flag(exchange: Running, untouched: Untouched, kind: Kind) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices["telegram"].says(a_body(kind), first)
    untouched.refuses("telegram", letter, Reason.KIND_MISMATCH, method="SubmitFlag", case=first)


def narrow(exchange: Running, flag: Flag, to: str = "telegram") -> Letter:
    return exchange.world.voices["ojk"].says(flag, to)


def test_flag_within_a_narrow_accreditation_is_accepted(exchange: Running) -> None:
    exchange["ojk"].submit(narrow(exchange, a_flag()))


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"category": Category.FRAUD_SCAM, "sub_category": SubCategory.FRAUD_SCAM_OTHER}, "category FRAUD_SCAM"),
        ({"targets": (a_target(), a_target(kind=TargetKind.ACCOUNT))}, "target kind ACCOUNT"),
        (
            {
                "instrument": Instrument.PRESERVATION,
                "requested_actions": (RequestedAction.PRESERVE,),
                "legal_basis": (LegalBasis(jurisdiction="ID", law="Permenkominfo 5/2020"),),
            },
            "instrument PRESERVATION",
        ),
    ],
    ids=["category", "target kind", "instrument"],
)
def test_not_accredited_for(exchange: Running, untouched: Untouched, changes: dict[str, Any], lacking: str) -> None:
    letter = narrow(exchange, a_flag(**changes))
    refusal = untouched.refuses("ojk", letter, Reason.NOT_ACCREDITED)
    assert dict(refusal.info.metadata) == {"not_covered": lacking}


def test_not_accredited_with_this_platform(exchange: Running, untouched: Untouched) -> None:
    untouched.refuses("ojk", narrow(exchange, a_flag(), "whatsapp"), Reason.NOT_ACCREDITED)


def test_not_accredited_any_more_since_a_second_ago(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["bpom"].says(a_flag(), "telegram")
    refusal = untouched.refuses("bpom", letter, Reason.NOT_ACCREDITED)
    assert dict(refusal.info.metadata) == {"not_covered": "any flag to this platform at this time"}


async def test_accreditation_ends_at_its_very_instant(small_world: World) -> None:
    now = end = datetime.now(UTC) + timedelta(minutes=1)
    (grant,) = small_world.directory.accreditations
    ending = replace(small_world.directory, accreditations=(replace(grant, valid_until=end),))
    small_world.write_directory(directory_toml(ending))
    kominfo = small_world.voices["kominfo"]
    async with serving(small_world, clock=lambda: now) as exchange:
        now = end - timedelta(microseconds=1)
        await exchange.submit("kominfo", kominfo.says(a_flag(), "telegram"))
        now = end
        refusal = await exchange.refused("kominfo", kominfo.says(a_flag(), "telegram"))
        assert refusal.reason is Reason.NOT_ACCREDITED


# Replies have a form, too.


@pytest.mark.parametrize("digest", [b"", b"\1" * 31, b"\1" * 33])
def test_reply_to_what_is_no_digest(exchange: Running, untouched: Untouched, digest: bytes) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices["telegram"].says(
        an_acknowledgement(), first, alter=lambda it: setattr(it, "in_reply_to", digest)
    )
    refusal = untouched.refuses("telegram", letter, Reason.STATEMENT_INVALID, case=first)
    assert list(refusal.violations) == ["in_reply_to"]


def test_reply_to_no_case(exchange: Running, untouched: Untouched) -> None:
    first = exchange["kominfo"].says(a_flag(), "telegram")
    letter = exchange.world.voices["telegram"].says(
        an_acknowledgement(), first, alter=lambda it: it.ClearField("case_id")
    )
    refusal = untouched.refuses("telegram", letter, Reason.STATEMENT_INVALID, case=first)
    assert list(refusal.violations) == ["case_id"]
