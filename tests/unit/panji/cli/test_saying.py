from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from panji.cli import app
from panji.core.vocabulary import ObstacleKind

CASE = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def case(panji: Any) -> str:
    """A flag of two targets."""
    return str(panji.submit("--url", "https://t.me/second")["id"])


@pytest.fixture
def decided(panji: Any, case: str) -> str:
    """The case, decided: the first target removed, the second left."""
    panji.records(
        *("decide", case, "--target", "1=removed:terms", "--target", "2=no-action:not-prohibited"),
        *("--explanation", "See our terms."),
        by="telegram",
    )
    return case


def shown(panji: Any, case: str) -> dict[str, Any]:
    (record,) = panji.records("case", "show", case)
    return dict(record)


def states(panji: Any, case: str) -> list[str]:
    record = shown(panji, case)
    return [record["state"], *(one["state"] for one in record["targets"])]


def said(panji: Any, kind: str, case: str, *options: object, by: str = "telegram") -> dict[str, Any]:
    """Says something and returns its record."""
    (record,) = panji.records("say", kind, case, *options, by=by)
    assert record["kind"] == kind.replace("-", "_")
    return dict(record)


# Before the decision.


def test_a_flag_is_verified_per_target_on_request(panji: Any, case: str) -> None:
    asked = said(panji, "verification-request", case, "--reasons", "A news report?", "--language", "id")
    assert (asked["body"]["targets"], asked["language"]) == ([], "id")
    assert states(panji, case) == ["VERIFICATION_REQUESTED", "OPEN", "OPEN"]
    options = ("--target", "2=not-confirmed", "--all", "confirmed", "--reasons", "Looked at again.")
    found = said(panji, "verification", case, *options, by="kominfo")
    assert found["in_reply_to"] == asked["digest"]
    assert [(one["target"], one["result"], one["reasons"]) for one in found["body"]["targets"]] == [
        (1, "CONFIRMED", "Looked at again."),
        (2, "NOT_CONFIRMED", "Looked at again."),
    ]
    assert states(panji, case) == ["RECEIVED", "OPEN", "WITHDRAWN"]


def test_only_the_targets_asked_about_are_verified_by_all(panji: Any, case: str) -> None:
    said(panji, "verification-request", case, "--target", 2, "--reasons", "A news report?")
    found = said(panji, "verification", case, "--all", "confirmed", by="kominfo")
    assert [one["target"] for one in found["body"]["targets"]] == [2]


def test_a_verification_that_leaves_a_target_out_is_refused_and_the_target_named(panji: Any, case: str) -> None:
    said(panji, "verification-request", case, "--reasons", "A news report?")
    error = panji.error("say", "verification", case, "--target", "1=confirmed", exit_code=3)
    assert error["reason"] == "TARGETS_MISMATCH"
    assert error["violations"][0]["description"] == "2 is doubted and not answered here"


def test_an_obstacle_stops_the_clock_until_it_is_gone(panji: Any, case: str) -> None:
    options = ("--kind", "force-majeure", "--reasons", "A cable is cut.", "--expected-until", "2026-12-01T12:00+07:00")
    cut = said(panji, "obstacle", case, *options)
    assert (cut["body"]["kind"], cut["body"]["expected_until"]) == ("FORCE_MAJEURE", "2026-12-01T05:00:00Z")
    record = shown(panji, case)
    assert (record["obstacle"], record["clock"]["stopped_at"]) == (cut["digest"], cut["receipt"]["received_at"])
    mended = said(panji, "obstacle-ended", case, "--note", "Mended.")
    assert mended["in_reply_to"] == cut["digest"]
    record = shown(panji, case)
    assert (record["obstacle"], record["clock"]["stopped_at"]) == ("", None)
    assert record["clock"]["stops"] == [
        {"cause": "obstacle", "begins": cut["receipt"]["received_at"], "ends": mended["receipt"]["received_at"]}
    ]


# After it.


def test_a_correction_takes_the_words_of_a_decision(panji: Any, decided: str) -> None:
    options = ("--target", "1=NO_ACTION:NOT_PROHIBITED", "--explanation", "Satire.", "--reasons", "The wrong post.")
    corrected = said(panji, "correction", decided, *options)
    (target,) = corrected["body"]["targets"]
    assert (target["outcome"], target["refusal"], target["explanation"]) == ("NO_ACTION", "NOT_PROHIBITED", "Satire.")
    assert states(panji, decided) == ["DECIDED", "REFUSED", "REFUSED"]
    options = ("--target", "2=disabled-in-territory:illegal", "--territory", "ID", "--legal-ground", "PM 5/2020")
    again = said(panji, "correction", decided, *options, "--terms-clause", "4.2", "--reasons", "On reflection.")
    assert again["in_reply_to"] == corrected["digest"]
    assert again["body"]["targets"][0]["territories"] == ["ID"]
    assert states(panji, decided) == ["DECIDED", "REFUSED", "ACTIONED"]


def test_an_authority_contests_a_decision_and_the_platform_reviews_it(panji: Any, decided: str) -> None:
    objection = said(panji, "objection", decided, "--target", 2, "--reasons", "It is prohibited.", by="kominfo")
    record = shown(panji, decided)
    assert (record["asked_by"], record["open_question"]) == ("kominfo", objection["digest"])
    assert [one["pending"] for one in record["targets"]] == [False, True]
    review = said(panji, "review", decided, "--all", "overturned", "--reasons", "Indeed.")
    assert review["in_reply_to"] == objection["digest"]
    assert states(panji, decided) == ["UNDER_REVIEW", "ACTIONED", "OPEN"]
    panji.records("decide", decided, "--all", "removed:illegal", by="telegram")
    assert states(panji, decided) == ["DECIDED", "ACTIONED", "ACTIONED"]


def test_a_platform_contests_a_flag_before_it_decides(panji: Any, case: str) -> None:
    flag = shown(panji, case)["statements"][0]
    objection = said(panji, "objection", case, "--reasons", "No law covers this.")
    assert objection["in_reply_to"] == flag["digest"]
    options = ("--target", "1=overturned", "--all", "upheld", "--reasons", "Looked at again.")
    review = said(panji, "review", case, *options, by="kominfo")
    assert [(one["target"], one["result"]) for one in review["body"]["targets"]] == [(1, "OVERTURNED"), (2, "UPHELD")]
    assert states(panji, case) == ["RECEIVED", "WITHDRAWN", "OPEN"]


def test_what_the_user_says_leads_to_a_restoration_by_the_minute(panji: Any, decided: str) -> None:
    options = ("--text", "It was satire.", "--submitted-at", "2026-11-24T10:00Z", "--target", 1)
    notice = said(panji, "counter-notice", decided, *options)
    assert notice["body"]["submitted_at"] == "2026-11-24T10:00:00Z"
    said(panji, "review", decided, "--target", "1=overturned", "--reasons", "It was.", by="kominfo")
    assert states(panji, decided) == ["RESTORING", "RESTORE_DUE", "REFUSED"]
    assert shown(panji, decided)["restore_since"]
    done = said(panji, "restoration", decided, "--target", "1=RESTORED@2026-11-24T12:00:00+07:00", "--note", "Sorry.")
    (target,) = done["body"]["targets"]
    assert (target["result"], target["effective_at"]) == ("RESTORED", "2026-11-24T05:00:00Z")
    assert states(panji, decided) == ["DECIDED", "RESTORED", "REFUSED"]


def test_restoring_is_ordered_and_answered_per_target(panji: Any, case: str) -> None:
    panji.records("decide", case, "--all", "removed:terms", by="telegram")
    law = ("--law", "PM 5/2020", "--article", "20", "--jurisdiction", "ID")
    order = said(panji, "restore-order", case, "--reasons", "The court lifted it.", *law, by="kominfo")
    assert order["body"]["legal_basis"] == [{"jurisdiction": "ID", "law": "PM 5/2020", "article": "20"}]
    before = datetime.now(UTC) - timedelta(minutes=1)
    options = ("--target", "2=not-restored", "--all", "restored", "--explanation", "The account is gone.")
    first, second = said(panji, "restoration", case, *options)["body"]["targets"]
    assert before < datetime.fromisoformat(first["effective_at"]) < datetime.now(UTC)
    assert (first["result"], first["explanation"]) == ("RESTORED", "")
    assert (second["result"], second["explanation"]) == ("NOT_RESTORED", "The account is gone.")
    again = said(panji, "restore-order", case, "--reasons", "Try again.", "--target", 2, by="kominfo")
    assert (again["body"]["targets"], again["body"]["legal_basis"]) == ([2], [])
    assert states(panji, case) == ["RESTORING", "RESTORED", "RESTORE_DUE"]


def test_people_read_what_was_accepted(panji: Any, case: str) -> None:
    result = panji("say", "objection", case, "--reasons", "No law covers this.", by="telegram")
    assert result.exit_code == 0
    assert f"accepted: case {case}" in result.stdout


# What may not be said.


@pytest.mark.parametrize(
    ("by", "command", "told"),
    [
        ("kominfo", ("objection", "--reasons", "x"), "withdrawal, correspondence"),
        ("kominfo", ("review", "--all", "upheld", "--reasons", "x"), "withdrawal, correspondence"),
        ("kominfo", ("verification", "--all", "confirmed"), "withdrawal, correspondence"),
        ("kominfo", ("restore-order", "--reasons", "x"), "withdrawal, correspondence"),
        ("kominfo", ("obstacle-ended",), "withdrawal, correspondence"),
        ("telegram", ("restoration", "--all", "restored"), "decision, objection, correspondence"),
        ("telegram", ("obstacle-ended",), "obstacle, decision, objection, correspondence"),
        ("telegram", ("counter-notice", "--text", "x", "--submitted-at", "2026-11-24"), "decision, objection"),
        ("telegram", ("correction", "--target", "1=not-found", "--reasons", "x"), "decision, objection"),
    ],
)
def test_what_may_not_be_said_now_is_told_with_what_may_and_nothing_is_sent(
    panji: Any, case: str, by: str, command: tuple[str, ...], told: str
) -> None:
    kind, *options = command
    error = panji.error("say", kind, case, *options, by=by, exit_code=2)
    side = "authority" if by == "kominfo" else "platform"
    assert error["reason"] == "INPUT_INVALID"
    assert error["message"].startswith(f"no {kind.replace('-', '_')} by the {side} while the case is SUBMITTED; ")
    assert told in error["message"]
    assert len(shown(panji, case)["statements"]) == 1


def test_nobody_reviews_his_own_objection(panji: Any, decided: str) -> None:
    said(panji, "objection", decided, "--reasons", "It is prohibited.", by="kominfo")
    options = ("--all", "overturned", "--reasons", "I am right.")
    message = panji.error("say", "review", decided, *options, exit_code=2)["message"]
    assert message == (
        "no review by the authority while the case is OBJECTED; the authority may say: restore_order, correspondence"
    )


def test_a_case_that_changes_meanwhile_is_refused_by_the_exchange_with_what_is_legal(
    panji: Any, exchange: Any, case: str
) -> None:
    call = exchange.call

    def overtaken(caller: str, method: str, request: Any) -> Any:
        answer = call(caller, method, request)
        if method == "GetCase" and exchange.size == 1:
            panji("withdraw", case, "--reasons", "A mistake.")
        return answer

    exchange.call = overtaken
    error = panji.error("say", "objection", case, "--reasons", "x", by="telegram", exit_code=3)
    assert (error["reason"], error["metadata"]["state"], error["metadata"]["move"]) == (
        "MOVE_NOT_ALLOWED",
        "WITHDRAWN",
        "objection",
    )
    assert "correspondence by platform" in error["metadata"]["legal"]


def test_a_refused_target_gives_the_user_nothing_to_object_to(panji: Any, decided: str) -> None:
    options = ("--text", "x", "--submitted-at", "2026-11-24", "--target", 2)
    error = panji.error("say", "counter-notice", decided, *options, by="telegram", exit_code=3)
    assert error["violations"][0]["description"] == "2 is no actioned target of this case"


def test_what_breaks_its_form_is_not_sent(panji: Any, exchange: Any, decided: str) -> None:
    size = exchange.size
    for by, options in (
        ("telegram", ("correction", decided, "--target", "1=no-action:not-prohibited", "--reasons", "x")),
        ("kominfo", ("objection", decided, "--reasons", "")),
        ("kominfo", ("objection", decided, "--reasons", "x", "--target", 1, "--target", 1)),
        ("kominfo", ("restore-order", decided, "--reasons", "x", "--law", "PM 5/2020")),
    ):
        error = panji.error("say", *options, by=by, exit_code=2)
        assert len(error["violations"]) == 1
    assert exchange.size == size


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("verification",), "say of which targets: --target POSITION=RESULT or --all RESULT, with one of CONFIRMED, "),
        (
            ("review", "--reasons", "x"),
            "say of which targets: --target POSITION=RESULT or --all RESULT, with one of UP",
        ),
        (
            ("restoration",),
            "say of which targets: --target POSITION=RESULT or --all RESULT, with one of RESTORED[@TIME]",
        ),
        (("verification", "--target", "1"), "--target 1: nothing is none of CONFIRMED, NOT_CONFIRMED"),
        (("verification", "--target", "first=confirmed"), "--target is POSITION=RESULT, with a position from 1"),
        (("review", "--reasons", "x", "--all", "maybe"), "--all maybe: maybe is none of UPHELD, OVERTURNED"),
        (("review", "--reasons", "x", "--target", "1=upheld", "--target", "1=upheld"), "target 1 is named twice"),
        (("restoration", "--target", "1=done"), "--target 1=done: done is none of RESTORED, NOT_RESTORED"),
        (("restoration", "--target", "1=restored@noon"), "--target 1=restored@noon: noon is no date or time"),
        (("restoration", "--all", "not-restored@2026-11-24"), "--all not-restored@2026-11-24: a time stands with REST"),
        (("correction", "--reasons", "x", "--target", "1=no-action"), "--target 1=no-action lacks its reason"),
        (("correction", "--reasons", "x", "--target", "0x1=removed"), "--target is POSITION=OUTCOME[:WHY], with a"),
    ],
)
def test_a_word_that_is_none_is_told_before_anything_is_asked(
    panji: Any, exchange: Any, command: tuple[str, ...], message: str
) -> None:
    exchange.call = None  # not even the case
    kind, *options = command
    assert panji.error("say", kind, CASE, *options, by="telegram", exit_code=2)["message"].startswith(message)


@pytest.mark.parametrize(
    "command",
    [
        ("obstacle", "--reasons", "x"),
        ("obstacle", "--kind", "weather", "--reasons", "x"),
        ("obstacle", "--kind", "force-majeure", "--reasons", "x", "--expected-until", "soon"),
        ("counter-notice", "--text", "x"),
        ("correction", "--reasons", "x"),
        ("objection", "--reasons", "x", "--target", "first"),
        ("nothing",),
    ],
)
def test_an_option_that_is_wrong_or_missing_is_wrong_usage(panji: Any, command: tuple[str, ...]) -> None:
    kind, *options = command
    assert panji.error("say", kind, CASE, *options, by="telegram", exit_code=2)["reason"] == "USAGE"


def test_the_help_has_a_command_for_each_kind_and_the_words_that_they_take() -> None:
    for command, words in {
        (): ("verification-request", "obstacle-ended", "correction", "counter-notice", "restore-order", "docs/case.md"),
        ("verification",): ("NOT_CONFIRMED",),
        ("review",): ("UPHELD", "OVERTURNED"),
        ("restoration",): ("RESTORED[@TIME", "NOT_RESTORED"),
        ("obstacle",): tuple(one.name for one in ObstacleKind if one),
    }.items():
        text = CliRunner().invoke(app, ["say", *command, "--help"]).stdout
        assert [one for one in words if one not in text] == []
