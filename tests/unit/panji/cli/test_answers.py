from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from panji.cli import app
from panji.core.vocabulary import Ground, Outcome, RefusalReason

if TYPE_CHECKING:
    from pathlib import Path


def test_a_case_goes_from_receipt_over_a_question_to_a_decision(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second", "--url", "https://t.me/third")["id"]
    (received,) = panji.records("acknowledge", case, "--reference", "T-1", by="telegram")
    assert received["body"]["level"] == "RECEIVED"
    panji.records("acknowledge", case, "--level", "under-review", "--note", "Desk 4.", by="telegram")
    (asked,) = panji.records("ask", case, "--text", "Which of them?", "--target", 1, by="telegram")
    assert asked["body"]["questions"][0]["reason"] == "INSUFFICIENT_INFORMATION"
    (answered,) = panji.records("answer", case, "--text", "All of them.", "--language", "id")
    assert answered["in_reply_to"] == asked["digest"]
    assert answered["language"] == "id"
    (decided,) = panji.records(
        *("decide", case, "--target", "2=no-action:not-prohibited", "--all", "removed:terms"),
        *("--explanation", "See our terms.", "--terms-clause", "4.2", "--note", "Done."),
        by="telegram",
    )
    found = [(one["target"], one["outcome"], one["ground"], one["refusal"]) for one in decided["body"]["targets"]]
    assert found == [
        (1, "REMOVED", "TERMS", "UNSPECIFIED"),
        (2, "NO_ACTION", "UNSPECIFIED", "NOT_PROHIBITED"),
        (3, "REMOVED", "TERMS", "UNSPECIFIED"),
    ]
    panji.records("correspond", case, "--subject", "Thanks", "--text", "Received.", by="kominfo")
    panji.records("correspond", case, "--subject", "Likewise", "--text", "Until then.", by="telegram")
    (shown,) = panji.records("case", "show", case, by="kominfo")
    assert shown["state"] == "DECIDED"
    assert [one["state"] for one in shown["targets"]] == ["ACTIONED", "REFUSED", "ACTIONED"]
    assert len(shown["statements"]) == 8


def test_a_decision_comes_from_a_file(panji: Any, tmp_path: Path) -> None:
    case = panji.submit()["id"]
    file = tmp_path / "decision.json"
    decision = {"note": "From our desk.", "targets": [{"target": 1, "outcome": "NOT_FOUND"}]}
    file.write_text(json.dumps(decision))
    (record,) = panji.records("decide", case, "--file", file, "--reference", "T-9", by="telegram")
    assert (record["body"]["note"], record["body"]["platform_reference"]) == ("From our desk.", "T-9")


def test_a_decision_file_of_the_wrong_shape_names_its_fields(panji: Any, tmp_path: Path) -> None:
    case = panji.submit()["id"]
    file = tmp_path / "decision.json"
    file.write_text(json.dumps({"targets": [{"target": "one", "outcome": "EXPLODED"}]}))
    error = panji.error("decide", case, "--file", file, by="telegram", exit_code=2)
    assert {one["field"] for one in error["violations"]} == {
        "decision.targets[0].target",
        "decision.targets[0].outcome",
    }


def test_a_decision_that_says_something_twice_is_not_sent(panji: Any, tmp_path: Path) -> None:
    case = panji.submit()["id"]
    file = tmp_path / "decision.json"
    file.write_text('{"targets": [], "note": "One.", "note": "Two."}')
    message = panji.error("decide", case, "--file", file, by="telegram", exit_code=2)["message"]
    assert message.endswith("decision.json has 'note' twice in one object")


def test_a_decision_that_is_not_clear_is_not_sent(panji: Any, exchange: Any) -> None:
    case = panji.submit()["id"]
    for options in (
        (),
        ("--all", "removed", "--file", "x.json"),
        ("--target", "first=removed"),
        ("--target", "1=removed:terms", "--target", "1=not-found"),
        ("--target", "1=vanished"),
        ("--target", "1=no-action"),
        ("--target", "1=removed:because"),
    ):
        panji.error("decide", case, *options, by="telegram", exit_code=2)
    assert exchange.size == 1


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--all", "no-action"), "--all no-action lacks its reason: NO_ACTION:REASON, with one of NOT_PROHIBITED, "),
        (("--target", "1=NO_ACTION"), "--target 1=NO_ACTION lacks its reason: NO_ACTION:REASON, with one of NOT_"),
        (("--all", "no-action:because"), "--all no-action:because: because is none of NOT_PROHIBITED, "),
        (("--all", "removed:because"), "--all removed:because: because is none of ILLEGAL, "),
        (("--target", "1=vanished"), "--target 1=vanished: vanished is none of REMOVED, "),
    ],
)
def test_a_word_that_is_none_is_told_with_its_option_and_what_is_wanted_before_anything_is_asked(
    panji: Any, exchange: Any, option: tuple[str, str], said: str
) -> None:
    exchange.call = None  # not even the case
    case = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert panji.error("decide", case, *option, by="telegram", exit_code=2)["message"].startswith(said)


def test_the_help_of_decide_has_every_word_that_it_takes() -> None:
    shown = CliRunner().invoke(app, ["decide", "--help"]).stdout
    for kind in (Outcome, Ground, RefusalReason):
        assert [one.name for one in kind if one and one.name not in shown] == []


@pytest.mark.parametrize("options", [("--all", "removed:terms"), ("--target", "1=not-found"), ("--file", "-")])
def test_where_no_target_is_open_the_state_of_the_case_is_told(panji: Any, exchange: Any, options: Any) -> None:
    decided, withdrawn = (panji.submit()["id"] for _ in range(2))
    panji.records("decide", decided, "--all", "not-found", by="telegram")
    panji.records("withdraw", withdrawn, "--reasons", "A mistake.")
    for case, state in ((decided, "DECIDED"), (withdrawn, "WITHDRAWN")):
        stdin = json.dumps({"targets": [{"target": 1, "outcome": "NOT_FOUND"}]})
        error = panji.error("decide", case, *options, by="telegram", stdin=stdin, exit_code=2)
        assert error["message"] == f"no target of this case is open: it is {state}"
    assert exchange.size == 4


def test_leaving_an_open_target_out_is_refused_and_the_target_named(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second")["id"]
    error = panji.error("decide", case, "--target", "1=not-found", by="telegram", exit_code=3)
    assert error["reason"] == "TARGETS_MISMATCH"
    assert "2 is open and not decided here" in error["violations"][0]["description"]


def test_answering_where_nothing_was_asked_is_an_error_here_that_tells_what_may_be_said(panji: Any) -> None:
    case = panji.submit()["id"]
    assert panji.error("answer", case, "--text", "x", exit_code=2)["message"] == (
        "no clarification_answer by the authority while the case is SUBMITTED; "
        "the authority may say: withdrawal, correspondence"
    )


def test_a_position_of_thousands_of_digits_is_no_position(panji: Any) -> None:
    """Python itself refuses to read more than 4,300 digits: that is no defect to report."""
    case = panji.submit()["id"]
    error = panji.error("decide", case, "--target", f"{'1' * 5000}=not-found", by="telegram", exit_code=2)
    assert error["message"] == "--target is POSITION=OUTCOME[:WHY], with a position from 1"
