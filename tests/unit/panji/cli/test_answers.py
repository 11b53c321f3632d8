from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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


def test_leaving_an_open_target_out_is_refused_and_the_target_named(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second")["id"]
    error = panji.error("decide", case, "--target", "1=not-found", by="telegram", exit_code=3)
    assert error["reason"] == "TARGETS_MISMATCH"
    assert "2 is open and not decided here" in error["violations"][0]["description"]


def test_answering_where_nothing_was_asked_is_an_error_here(panji: Any) -> None:
    case = panji.submit()["id"]
    assert "no open question" in panji.error("answer", case, "--text", "x", exit_code=2)["message"]
