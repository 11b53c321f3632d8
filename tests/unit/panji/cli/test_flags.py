from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from panji.errors import Reason

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {
    "instrument": "NOTICE",
    "good_faith": True,
    "category": "OTHER_LAW",
    "urgency": "ROUTINE",
    "reasons": "Seen today.",
    "requested_actions": ["NONE"],
    "language": "id",
    "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
    "targets": [{"kind": "POST", "url": "https://t.me/example/1"}],
}


def test_a_flag_made_of_options_is_signed_submitted_and_proven(panji: Any, exchange: Any) -> None:
    record = panji.submit("--action", "remove", "--action", "suspend-account", "--identifier", "-100123")
    assert record["kind"] == "flag"
    assert record["case_id"] == record["id"]
    assert record["receipt"]["index"] == 0
    assert record["body"]["requested_actions"] == ["REMOVE", "SUSPEND_ACCOUNT"]
    assert [target["url"] for target in record["body"]["targets"]] == ["https://t.me/example", ""]
    assert record["body"]["legal_basis"] == [{"jurisdiction": "ID", "law": "PM 36/2014", "article": "art. 4"}]
    assert exchange.size == 1


def test_people_read_one_sentence(panji: Any) -> None:
    result = panji(
        *("submit", "--to", "telegram", "--instrument", "referral", "--category", "defamation", "--reasons", "x"),
        *("--url", "https://t.me/e", "--authority", "K", "--authority-country", "ID", "--authority-kind", "judicial"),
    )
    assert result.exit_code == 0
    assert "accepted: case" in result.stdout


def test_a_flag_comes_from_a_file_or_from_standard_input_and_options_take_precedence(
    panji: Any, tmp_path: Path
) -> None:
    file = tmp_path / "flag.json"
    file.write_text(json.dumps(RECORD | {"id": "row 1"}))
    (from_file,) = panji.records("submit", file, "--to", "telegram", "--reference", "A-1", "--test")
    (from_stdin,) = panji.records(
        "submit", "-", "--to", "telegram", "--authority", "Polri", stdin=json.dumps(RECORD), by="kominfo"
    )
    assert (from_file["language"], from_file["test"], from_file["body"]["reference"]) == ("id", True, "A-1")
    assert from_stdin["body"]["issuing_authority"]["name"] == "Polri"
    assert from_stdin["body"]["issuing_authority"]["jurisdiction"] == "ID"


def test_all_faults_of_a_flag_are_named_at_once_and_nothing_is_sent(panji: Any, exchange: Any) -> None:
    error = panji.error("submit", "--to", "telegram", "--url", "no address", "--category", "gambling", exit_code=2)
    assert error["reason"] == "INPUT_INVALID"
    fields = {one["field"] for one in error["violations"]}
    assert {"flag.instrument", "flag.sub_category", "flag.reasons", "flag.targets[0].url"} <= fields
    assert {"flag.issuing_authority.name", "flag.issuing_authority.jurisdiction"} <= fields
    assert exchange.size == 0


def test_a_file_that_is_no_flag_is_said_to_be_none(panji: Any, tmp_path: Path) -> None:
    file = tmp_path / "flag.json"
    lines = "\n".join([json.dumps(RECORD)] * 2)
    for content, said in (
        ("{", "no JSON at line 1"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON"),
        (lines, "takes one object; a file of flags, one a line, is for 'panji import'"),
    ):
        file.write_text(content)
        assert said in panji.error("submit", file, "--to", "telegram", exit_code=2)["message"]
    assert "cannot be read" in panji.error("submit", tmp_path / "none", "--to", "telegram", exit_code=2)["message"]
    file.write_text(json.dumps(RECORD | {"targets": "all", "colour": "red"}))
    fields = {one["field"] for one in panji.error("submit", file, "--to", "telegram", exit_code=2)["violations"]}
    assert fields == {"flag.targets", "flag.colour"}


def test_the_same_command_with_the_same_id_sends_one_flag(panji: Any, exchange: Any) -> None:
    chosen = ("--id", "01890a5d-ac96-774b-bcce-b302099a8057")
    assert panji.submit(*chosen)["digest"] == panji.submit(*chosen)["digest"]
    assert exchange.size == 1
    assert panji.submit("--id", "new")["id"] != panji.submit("--id", "new")["id"]
    assert "no UUIDv7" in panji.error(*_flag(), "--id", "7", exit_code=2)["message"]


def test_who_is_no_authority_is_told_so_and_sends_nothing(panji: Any, exchange: Any, tmp_path: Path) -> None:
    file = tmp_path / "flags.jsonl"
    file.write_text(json.dumps(RECORD))
    for command in (_flag(), ("import", file, "--to", "telegram")):
        error = panji.error(*command, by="telegram", exit_code=2)
        assert error["message"] == "only authorities submit flags; this profile is of a platform, telegram"
        error = panji.error(*command, by="operator", exit_code=2)
        assert error["message"] == "only authorities submit flags; this profile is of the operator, operator"
    assert exchange.size == 0
    assert panji.records("outbox", by="telegram") == []


def test_a_sub_category_that_is_none_is_told_those_of_its_category(panji: Any) -> None:
    named = ("--category", "terrorism", "--sub-category", "terrorism-plain")
    (violation,) = panji.error(*_flag(), *named, exit_code=2)["violations"]
    assert violation["field"] == "flag.sub_category"
    assert violation["description"].startswith("is no sub-category of TERRORISM, which has TERRORISM_INCITES, ")


def test_an_id_of_no_case_is_refused_here(panji: Any, exchange: Any) -> None:
    exchange.call = None  # nothing is asked
    for command in (("case", "show"), ("withdraw", "--reasons", "x"), ("acknowledge",), ("decide", "--all", "removed")):
        assert "no UUIDv7" in panji.error(*command, "CASE-7", exit_code=2)["message"]


def test_what_got_no_answer_waits_in_the_outbox_and_is_sent_from_there(panji: Any, exchange: Any) -> None:
    exchange.silent_after = 0
    error = panji.error(*_flag(), exit_code=5)
    assert error["retryable"]
    assert "panji outbox --send" in error["message"]
    (waiting,) = panji.records("outbox")
    assert waiting["receipt"] is None
    assert "1 waiting" in panji("outbox").stdout
    assert exchange.size == 0
    exchange.silent_after = None
    (sent,) = panji.records("outbox", "--send")
    assert sent["digest"] == waiting["digest"]
    assert panji.records("outbox") == []


def test_a_refusal_out_of_the_outbox_is_told_apart(panji: Any, exchange: Any) -> None:
    exchange.silent_after = 0
    panji.error(*_flag(), exit_code=5)
    exchange.silent_after = None
    exchange.refuse["https://t.me/example"] = Reason.NOT_ACCREDITED
    (record,) = panji.records("outbox", "--send", exit_code=7)
    assert (record["type"], record["reason"]) == ("refused", "NOT_ACCREDITED")


def test_a_flag_is_taken_back_in_part_and_then_in_whole(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second")["id"]
    (part,) = panji.records("withdraw", case, "--reasons", "A mistake.", "--target", 2)
    assert part["body"]["targets"] == [2]
    panji.records("withdraw", case, "--reasons", "All of it.", "--language", "id")
    (shown,) = panji.records("case", "show", case)
    assert shown["state"] == "WITHDRAWN"


def _flag() -> tuple[str, ...]:
    return (
        *("submit", "--to", "telegram", "--instrument", "order", "--category", "defamation", "--reasons", "x"),
        *("--url", "https://t.me/example", "--legal-basis", "ID: KUHP, art. 1"),
        *("--authority", "K", "--authority-country", "ID"),
    )


def test_a_damaged_statement_in_the_outbox_is_named_and_the_others_are_sent(
    panji: Any, exchange: Any, made: Any
) -> None:
    exchange.silent_after = 0
    for _ in range(2):
        panji("submit", "-", "--to", "telegram", stdin=json.dumps(RECORD))
    bad, good = (one["id"] for one in panji.records("outbox"))
    state = sqlite3.connect(made.directory / "kominfo/state.db")
    state.execute("UPDATE outbox SET envelope = x'ff' WHERE id = ?", (bad,))
    state.commit()
    state.close()
    assert bad in panji.error("outbox", exit_code=6)["message"]
    exchange.silent_after = None
    result = panji("outbox", "--send")
    assert result.exit_code == 6
    assert f"error: state: is damaged: statement {bad} in the outbox" in result.stderr
    assert f"flag {good} accepted" in result.stdout
