from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.procedures import HEAD, OTHER, VAGUE, rule
from typer.testing import CliRunner

from panji.cli import app
from panji.procedures import presets

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def sop(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sop", *(str(one) for one in arguments)])


def records(*arguments: object, exit_code: int = 0) -> list[dict[str, Any]]:
    result = sop(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def error(*arguments: object) -> dict[str, Any]:
    result = sop(*arguments, "--json")
    assert result.exit_code == 2
    found: dict[str, Any] = json.loads(result.stderr.splitlines()[-1])["error"]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "procedure.toml"
    path.write_text(HEAD + VAGUE + OTHER)
    return path


@pytest.fixture
def day(tmp_path: Path) -> Path:
    flag = {
        "id": "17",
        "times": {"received": "2026-08-01T08:00:00Z", "answered": {"received": "2026-08-01T09:00:00Z"}},
        "instrument": "ORDER",
        "category": "DEFAMATION",
        "urgency": "ROUTINE",
        "reasons": "See the order.",
        "requested_actions": ["REMOVE"],
        "legal_basis": ["ID: KUHP, art. 310"],
        "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
        "targets": [{"kind": "POST", "url": "https://t.me/example/1"}],
    }
    path = tmp_path / "day.jsonl"
    path.write_text(json.dumps(flag) + "\n")
    return path


# check


@pytest.mark.parametrize("name", presets())
def test_a_preset_holds_and_nothing_of_it_lacks_a_source(name: str) -> None:
    result = sop("check", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{name}, version 1: ")
    (record,) = records("check", name)
    assert (record["type"], record["id"], record["unsourced"]) == ("procedure", name, [])


def test_values_without_a_source_are_warned_of_and_wrong_nothing(file: Path) -> None:
    result = sop("check", file)
    assert result.exit_code == 0
    assert "warning: rule[1].received says no source" in result.stderr
    (record,) = records("check", file)
    assert record["unsourced"] == [
        *("rule[0].decided", "rule[0].expires_within", "rule[0].counted_apart", "rule[0].approvals"),
        *("rule[1].received", "rule[1].decided"),
    ]


def test_everything_that_is_wrong_is_told_at_once_and_the_exit_code_is_2(file: Path) -> None:
    file.write_text(HEAD + rule("one", "warn_at = [2.0]", "colour = 1") + rule("one"))
    found = error("check", file)
    assert found["reason"] == "INPUT_INVALID"
    assert [one["field"] for one in found["violations"]] == [
        *("rule[0].colour", "rule[0].warn_at"),
        *("rule[1].id", "rule[1]"),
    ]
    told = sop("check", file)
    assert told.stderr.startswith("error: The procedure breaks its format [INPUT_INVALID]\n  rule[0].colour: ")


def test_a_file_that_no_record_can_hold_is_told_before_an_exchange_is_started_with_it(file: Path) -> None:
    file.write_text(file.read_text("utf-8") + "# \x85\n", "utf-8")
    (violation,) = error("check", file)["violations"]
    assert violation["field"] == "document"
    assert "control character" in violation["description"]


def test_a_file_that_is_not_there_names_the_presets(tmp_path: Path) -> None:
    assert error("check", tmp_path / "absent")["message"].endswith("presets are eu-dsa, eu-tco, id-2017, id-pm5-saman")
    (tmp_path / "latin").write_bytes(b"title = '\xe9'")
    assert error("check", tmp_path / "latin")["message"].endswith("is not UTF-8: byte 9 cannot be read")


# list and show


def test_the_presets_are_listed() -> None:
    assert [(one["type"], one["name"]) for one in records("list")] == [("preset", name) for name in presets()]
    assert all(name in sop("list").stdout for name in presets())


@pytest.mark.parametrize("name", presets())
def test_a_procedure_is_shown_with_its_deadlines_and_their_sources(name: str) -> None:
    result = sop("show", name)
    assert result.exit_code == 0
    for word in ("rule", "for", "decided", "source", "escalation of decided", "ours: proposal"):
        assert word in result.stdout


def test_a_shown_procedure_names_whom_a_rule_is_for_and_what_holds() -> None:
    shown = " ".join(sop("show", "id-2017").stdout.split())
    assert "any flag" in shown
    assert "end of the day, Asia/Jakarta, since delivered" in shown
    assert "report: Antara 645932; antarariau 92594 (10 Aug 2017)" in shown


def test_whatever_a_procedure_may_say_can_be_shown(file: Path) -> None:
    full = rule(
        *("one", 'shortest = "PT1H"', 'clarification = { clock = "pause" }', 'force_majeure = "restart"'),
        *('allowed_actions = ["LABEL", "REMOVE"]', "approvals = { signatures = 1, deciding_body = true }"),
        *('requires = ["redress"]', "trusted_first = true"),
    )
    file.write_text(HEAD + full)
    shown = sop("show", file).stdout
    for word in (
        "PT1H",
        "restart",
        "REMOVE, LABEL",
        "signatures: 1, and the body that decided",
        "redress",
        "yes",
        "none",
    ):
        assert word in shown


def test_a_procedure_is_one_record_with_durations_in_iso_8601() -> None:
    (record,) = records("show", "id-2017")
    (terrorism,) = (one for one in record["rules"] if one["id"] == "terrorism")
    assert terrorism["conditions"] == {
        "instruments": [],
        "categories": ["TERRORISM"],
        "sub_categories": [],
        "urgencies": [],
    }
    assert terrorism["terms"]["answers"]["received"] == {"since": "received", "span": "PT30M", "zone": ""}
    assert terrorism["terms"]["answers"]["decided"] == {"since": "delivered", "span": None, "zone": "Asia/Jakarta"}
    assert terrorism["terms"]["sources"]["decided"]["confidence"] == "report"
    assert record["emergency"]["stages"] == ["RESTRICTION_NOTICE"]


def test_what_a_procedure_says_does_nothing_to_a_terminal(file: Path) -> None:
    """Attack: a title with an escape sequence, written as TOML can."""
    file.write_text(HEAD.replace("A procedure", "\\u202E[red]x[/red]") + rule("one"))
    shown = sop("show", file).stdout
    assert "\u202e" not in shown
    assert "[red]x[/red]" in shown


# simulate


def test_a_day_is_played_and_summed_up(file: Path, day: Path) -> None:
    *happened, summary = records("simulate", day, "--procedure", file)
    assert happened == [
        {
            "type": "happening",
            "at": "2026-08-02T08:00:00Z",
            "flag": "17",
            "what": "missed",
            "rule": "other",
            "answer": "decided",
            "detail": "PT24H",
        }
    ]
    counts = {
        what: summary.pop(what) for what in ("not_covered", "not_met", "warning", "escalation", "lapsed", "expires")
    }
    assert set(counts.values()) == {0}
    assert summary == {
        "type": "summary",
        "procedure": "test",
        "version": 1,
        "flags": 1,
        "incomplete": 0,
        "missed": 1,
    }
    shown = sop("simulate", day, "--procedure", file).stdout
    assert "2026-08-02T08:00:00Z" in shown
    assert "missed" in shown


def test_nothing_is_shown_after_the_time_that_was_asked_for(file: Path, day: Path) -> None:
    until = ("simulate", day, "--procedure", file, "--until")
    assert [one["type"] for one in records(*until, "2026-08-02T07:59:59Z")] == ["summary"]
    assert [one["type"] for one in records(*until, "2026-08-02T08:00:00Z")] == ["happening", "summary"]
    assert sop(*until, "tomorrow").exit_code == 2


def test_a_preset_warns_and_escalates(day: Path) -> None:
    told = [(one["at"], one["what"], one["detail"]) for one in records("simulate", day, "--procedure", "id-2017")[:-1]]
    assert told[:4] == [
        ("2026-08-02T08:00:00Z", "warning", "50% of PT48H"),
        ("2026-08-02T22:24:00Z", "warning", "80% of PT48H"),
        ("2026-08-03T08:00:00Z", "missed", "PT48H"),
        ("2026-08-03T08:00:00Z", "escalation", "deputy, representative"),
    ]


def test_a_row_that_is_incomplete_is_told_and_the_others_are_played(file: Path, day: Path) -> None:
    day.write_text(day.read_text() + '{"id": "18\\u001b[31m"}\n')
    first, *_, summary = records("simulate", day, "--procedure", file, exit_code=7)
    assert (first["type"], first["row"], first["status"]) == ("row", 2, "incomplete")
    assert (summary["flags"], summary["incomplete"]) == (1, 1)
    told = sop("simulate", day, "--procedure", file)
    assert told.exit_code == 7
    assert told.stdout.startswith("line 2 (18\\x1b[31m): incomplete: flag.instrument is required")


def test_sop_alone_tells_its_commands() -> None:
    assert {"check", "list", "show", "simulate"} <= set(sop("--help").stdout.split())
