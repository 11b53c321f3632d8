from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from panji.cli import journal as journals
from panji.errors import Reason

if TYPE_CHECKING:
    from pathlib import Path


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"row-{number}",
        "instrument": "ORDER",
        "category": "DEFAMATION",
        "urgency": "ROUTINE",
        "reasons": "See the order.",
        "requested_actions": ["REMOVE"],
        "legal_basis": ["ID: KUHP, art. 310"],
        "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
        "targets": [{"kind": "POST", "url": f"https://t.me/example/{number}"}],
    } | changes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "flags.jsonl", [row(number) for number in range(1, 8)])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def statuses(records: list[dict[str, Any]]) -> list[str]:
    return [one["status"] for one in records if one["type"] == "row"]


def urls(exchange: Any) -> list[str]:
    from panji.wire.envelopes import parse_envelope  # noqa: PLC0415 - one use
    from panji.wire.statements import parse_statement  # noqa: PLC0415 - one use

    return [
        parse_statement(parse_envelope(data).payload).body.targets[0].url  # type: ignore[union-attr]
        for data, _ in exchange.feeds["telegram"]
    ]


def test_rows_that_differ_only_in_their_place_in_a_list_are_all_sent(panji: Any, exchange: Any, tmp_path: Path) -> None:
    rows = [row(1, id="", batch={"id": "list", "position": position, "count": 2}) for position in (1, 2)]
    file = write(tmp_path / "two.jsonl", rows)
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["accepted"] * 2
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["already_sent"] * 2
    assert exchange.size == 2


def test_the_name_of_a_row_is_in_its_line_and_makes_no_other(panji: Any, tmp_path: Path) -> None:
    """Attack: a file whose rows report on other rows."""
    file = write(tmp_path / "flags.jsonl", [row(1, id="x\nline 7: refused: \x1b[31m", urgency="?")])
    (line, *_) = panji("import", file, "--to", "telegram").stdout.splitlines()
    assert line.startswith("line 1 (x\\nline 7: refused: \\x1b[31m): incomplete: flag.urgency")


def test_every_row_is_sent_and_accounted_for(panji: Any, exchange: Any, file: Path) -> None:
    records = panji.records("import", file, "--to", "telegram", "--batch", 3)
    assert statuses(records) == ["accepted"] * 7
    assert records[-1] | {"sha256": ""} == {
        "type": "summary",
        "format": "jsonl",
        "sha256": "",
        "rows": 7,
        "targets": 7,
        "valid": 0,
        "accepted": 7,
        "already_sent": 0,
        "refused": 0,
        "incomplete": 0,
    }
    assert exchange.size == 7


def test_running_it_again_sends_nothing(panji: Any, exchange: Any, file: Path) -> None:
    first = panji.records("import", file, "--to", "telegram")
    second = panji.records("import", file, "--to", "telegram")
    assert statuses(second) == ["already_sent"] * 7
    assert [one["statement_id"] for one in second[:-1]] == [one["statement_id"] for one in first[:-1]]
    assert exchange.size == 7


@pytest.mark.parametrize("dies_after", range(1, 8))
def test_killed_at_any_statement_it_goes_on_and_doubles_nothing(
    panji: Any, exchange: Any, file: Path, dies_after: int
) -> None:
    exchange.dies_after = dies_after
    with pytest.raises(BaseException, match=r"^$") as caught:
        panji("import", file, "--to", "telegram", "--batch", 3)
    assert type(caught.value).__name__ == "Killed"
    exchange.dies_after = None
    records = panji.records("import", file, "--to", "telegram", "--batch", 3)
    assert set(statuses(records)) <= {"accepted", "already_sent"}
    assert sorted(urls(exchange)) == [f"https://t.me/example/{number}" for number in range(1, 8)]


@pytest.mark.parametrize("moment", ["assign", "settle"])
def test_killed_around_the_journal_it_goes_on_and_doubles_nothing(
    panji: Any, exchange: Any, file: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journals.Journal, moment, killed)
        assert panji("import", file, "--to", "telegram", "--batch", 3).exit_code == 130
    panji.records("import", file, "--to", "telegram", "--batch", 3)
    assert exchange.size == 7


def test_interrupted_it_says_how_far_it_got_and_goes_on_later(panji: Any, exchange: Any, file: Path) -> None:
    accept = exchange.accept

    def interrupted(data: bytes) -> Any:
        if exchange.size == 5:
            raise KeyboardInterrupt
        return accept(data)

    exchange.accept = interrupted
    result = panji("import", file, "--to", "telegram", "--batch", 2)
    assert result.exit_code == 130
    assert "interrupted after 4 of 7 rows; the same command goes on, and sends nothing twice" in result.stderr
    assert "accepted" in result.stdout
    exchange.accept = accept
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["already_sent"] * 4 + ["accepted"] * 3
    assert exchange.size == 7


def test_without_an_answer_it_stops_and_goes_on_later(panji: Any, exchange: Any, file: Path) -> None:
    exchange.silent_after = 3
    assert panji("import", file, "--to", "telegram", "--batch", 3, "--json").exit_code == 5
    exchange.silent_after = None
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["already_sent"] * 3 + ["accepted"] * 4


def test_broken_off_it_gives_account_of_what_was_accepted_and_says_the_way_on(
    panji: Any, exchange: Any, file: Path
) -> None:
    exchange.silent_after = 3
    people = panji("import", file, "--to", "telegram", "--batch", 3)
    assert people.exit_code == 5
    assert "broken off after 3 of 7 rows; the same command goes on, and sends nothing twice" in people.stderr
    assert re.search(r"accepted\W+3\b", people.stdout)
    again = panji("import", file, "--to", "telegram", "--batch", 3, "--json")
    assert again.exit_code == 5
    summary = json.loads(again.stdout.splitlines()[-1])
    assert (summary["type"], summary["already_sent"], summary["accepted"]) == ("summary", 3, 0)
    warning, error = map(json.loads, again.stderr.splitlines())
    assert "nothing twice" in warning["warning"]["message"]
    assert error["error"]["retryable"] is True


def test_a_lost_outbox_doubles_nothing(panji: Any, exchange: Any, file: Path, made: Any) -> None:
    exchange.dies_after = 2
    with pytest.raises(BaseException, match=r"^$"):
        panji("import", file, "--to", "telegram")
    exchange.dies_after = None
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (made.directory / "kominfo" / name).unlink(missing_ok=True)
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["already_sent"] * 2 + ["accepted"] * 5
    assert exchange.size == 7


def test_mending_a_row_of_a_file_sends_that_row_alone(panji: Any, exchange: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "flags.jsonl", [row(1), row(2, legal_basis=[]), row(3)])
    records = panji.records("import", file, "--to", "telegram", exit_code=7)
    assert sorted(statuses(records)) == ["accepted", "accepted", "incomplete"]
    (incomplete,) = [one for one in records if one.get("status") == "incomplete"]
    assert [one["field"] for one in incomplete["violations"]] == ["flag.legal_basis"]
    write(file, [row(1), row(2), row(3)])
    assert sorted(statuses(panji.records("import", file, "--to", "telegram"))) == [
        "accepted",
        "already_sent",
        "already_sent",
    ]
    assert exchange.size == 3


def test_a_row_accepted_before_a_crash_is_recognised_in_a_changed_file(
    panji: Any, exchange: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "flags.jsonl", [row(1), row(2)])
    with monkeypatch.context() as patch:
        patch.setattr(journals.Journal, "settle", lambda *_, **__: None)  # the notes were lost
        panji.records("import", file, "--to", "telegram")
    write(file, [row(0), row(1), row(2)])
    records = panji.records("import", file, "--to", "telegram")
    assert sorted(statuses(records)) == ["accepted", "already_sent", "already_sent"]
    assert exchange.size == 3


def test_a_row_refused_before_a_crash_is_sent_anew_from_a_changed_file(
    panji: Any, exchange: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "flags.jsonl", [row(1)])
    exchange.refuse["https://t.me/example/1"] = Reason.NOT_ACCREDITED
    with monkeypatch.context() as patch:
        patch.setattr(journals.Journal, "settle", lambda *_, **__: None)
        panji.records("import", file, "--to", "telegram", exit_code=7)
    exchange.refuse.clear()
    write(file, [row(1), row(2)])
    assert statuses(panji.records("import", file, "--to", "telegram")) == ["accepted"] * 2


def test_a_refused_row_is_told_and_tried_again_next_time(panji: Any, exchange: Any, file: Path) -> None:
    exchange.refuse = {
        "https://t.me/example/2": Reason.NOT_ACCREDITED,
        "https://t.me/example/3": Reason.RATE_LIMITED,
    }
    records = panji.records("import", file, "--to", "telegram", exit_code=7)
    refused = {one["source_id"]: (one["reason"], one["retryable"]) for one in records if one.get("status") == "refused"}
    assert refused == {"row-2": ("NOT_ACCREDITED", False), "row-3": ("RATE_LIMITED", True)}
    exchange.refuse.clear()
    assert statuses(panji.records("import", file, "--to", "telegram")).count("accepted") == 2
    assert exchange.size == 7


def test_what_the_outbox_still_holds_is_not_signed_a_second_time(panji: Any, exchange: Any, file: Path) -> None:
    exchange.refuse["https://t.me/example/2"] = Reason.RATE_LIMITED
    panji.records("import", file, "--to", "telegram", exit_code=7)
    exchange.refuse.clear()
    assert len(panji.records("outbox", "--send")) == 1
    panji.records("import", file, "--to", "telegram")
    assert exchange.size == 7


def test_people_see_what_was_refused_and_why(panji: Any, exchange: Any, file: Path) -> None:
    exchange.refuse["https://t.me/example/2"] = Reason.NOT_ACCREDITED
    result = panji("import", file, "--to", "telegram")
    assert result.exit_code == 7
    assert "line 2 (row-2): refused: NOT_ACCREDITED not this one" in result.stdout
    assert "7 rows, 7 targets (jsonl)" in result.stdout


def test_a_dry_run_needs_no_profile_and_sends_nothing(panji: Any, exchange: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "flags.jsonl", [row(1), row(2, targets=[])])
    records = panji.records("import", file, "--dry-run", by="", exit_code=7)
    assert statuses(records) == ["valid", "incomplete"]
    assert panji("import", file, "--dry-run", by="").stdout.count("flag.targets") >= 1
    assert exchange.size == 0


def test_a_drill_another_platform_and_a_new_round_are_imports_of_their_own(
    panji: Any, exchange: Any, file: Path
) -> None:
    for more in ((), ("--test",), ("--again", "2026-11")):
        assert statuses(panji.records("import", file, "--to", "telegram", *more)) == ["accepted"] * 7
        assert statuses(panji.records("import", file, "--to", "telegram", *more)) == ["already_sent"] * 7
    assert exchange.size == 21


def test_wrong_use_sends_nothing(panji: Any, exchange: Any, file: Path, tmp_path: Path) -> None:
    assert "--to" in panji.error("import", file, exit_code=2)["message"]
    panji.error("import", file, "--to", "../telegram", exit_code=2)
    panji.error("import", file, "--to", "telegram", "--again", "a/b", exit_code=2)
    panji.error("import", tmp_path / "none.csv", "--to", "telegram", exit_code=2)
    panji.error("import", file, "--to", "telegram", "--batch", 1001, exit_code=2)
    assert exchange.size == 0


def test_a_progress_bar_is_for_people_at_a_terminal(panji: Any, file: Path) -> None:
    result = panji("import", file, "--to", "telegram", env={"FORCE_COLOR": "1"})
    assert "importing" in result.stderr
