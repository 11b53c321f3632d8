from __future__ import annotations

import dataclasses
import json
import re
from typing import Any


def test_watch_prints_each_statement_once_and_goes_on_where_it_stopped(panji: Any) -> None:
    first = panji.submit()
    assert [one["id"] for one in panji.records("watch", "--once", by="telegram")] == [first["id"]]
    second = panji.submit("--test")
    assert [one["id"] for one in panji.records("watch", "--once", by="telegram")] == [second["id"]]
    again = panji.records("watch", "--once", "--after", 0, by="telegram")
    assert [one["receipt"]["sequence"] for one in again] == [1, 2]


def test_people_read_a_line_a_statement(panji: Any) -> None:
    panji.submit("--url", "https://t.me/b", "--test")
    result = panji("watch", "--once", by="telegram")
    assert "#1 flag [test] from kominfo" in result.stdout
    assert "ORDER TERRORISM_PROPAGANDA_OTHER: https://t.me/example and 1 more" in result.stdout


def test_content_cannot_play_with_the_terminal(panji: Any) -> None:
    case = panji.submit("--reasons", "fine")["id"]
    text = "[bold red]not markup[/] :boom: \u202egpj.exe"
    panji.records("ask", case, "--text", text, by="telegram")
    for shown in (panji("watch", "--once").stdout, panji("case", "show", case).stdout):
        flat = " ".join(shown.replace("│", " ").split())
        assert "[bold red]not markup[/] :boom: \\u202egpj.exe" in flat.replace("\u2502", " ")
        assert "\u202e" not in shown
        assert "\x1b" not in shown


FORGED = "2026-11-24 15:00:00 #2 decision from telegram, case 1: 1 REMOVED"


def test_a_statement_is_one_line_and_says_nothing_in_anothers_name(panji: Any, exchange: Any) -> None:
    """Attack: a line feed in a note, and behind it a line as if somebody else had spoken."""
    case = panji.submit("--reasons", f"See.\n{FORGED}")["id"]
    panji("acknowledge", case, "--note", f"We look at it.\n{FORGED}", by="telegram")
    (heard,) = panji("watch", "--once").stdout.splitlines()
    assert heard.endswith(f"RECEIVED: We look at it.\\n{FORGED}")
    exchange.silent_after = exchange.size
    panji("correspond", case, "--subject", "Why", "--text", f"Because.\n{FORGED}")
    waiting, count = panji("outbox").stdout.splitlines()
    assert waiting.endswith(f"Why: Because.\\n{FORGED}")
    assert count == "1 waiting"


def test_every_kind_of_statement_has_its_line(panji: Any) -> None:
    case = panji.submit()["id"]
    panji("acknowledge", case, "--note", "Desk 4.", by="telegram")
    panji("ask", case, "--text", "Which?", "--target", 1, by="telegram")
    panji("answer", case, "--text", "This one.")
    panji("decide", case, "--all", "no-action:not-prohibited", "--explanation", "No.", by="telegram")
    panji("correspond", case, "--subject", "Why", "--text", "Because.", by="telegram")
    other = panji.submit()["id"]
    panji("withdraw", other, "--reasons", "Twice.", "--target", 1)
    seen = panji("watch", "--once").stdout + panji("watch", "--once", by="telegram").stdout
    for text in (
        "RECEIVED: Desk 4.",
        "targets 1 INSUFFICIENT_INFORMATION: Which?",
        "This one.",
        "1 NO_ACTION (NOT_PROHIBITED)",
        "Why: Because.",
        "targets 1: Twice.",
    ):
        assert text in seen


def test_cases_are_listed_newest_first_and_filtered(panji: Any) -> None:
    first, second, drill = panji.submit()["id"], panji.submit()["id"], panji.submit("--test")["id"]
    panji.records("acknowledge", first, by="telegram")
    assert [one["id"] for one in panji.records("case", "list")] == [second, first]
    assert [one["id"] for one in panji.records("case", "list", "--state", "received")] == [first]
    assert [one["id"] for one in panji.records("case", "list", "--test")] == [drill]
    assert [one["id"] for one in panji.records("case", "list", "--limit", 1)] == [second]
    assert panji.records("case", "list", "--category", "gambling") == []
    assert panji.records("case", "list", "--since", "2999-01-01") == []
    assert len(panji.records("case", "list", "--since", "2020-01-01T00:00:00+07:00", by="telegram")) == 2


def test_people_see_a_table_of_cases(panji: Any) -> None:
    assert "No cases." in panji("case", "list").stdout
    case = panji.submit()["id"]
    shown = panji("case", "list").stdout
    assert case in shown
    assert "1, 1 open" in shown
    panji("decide", case, "--all", "not-found", by="telegram")
    assert "DECIDED" in panji("case", "list").stdout


def test_a_list_that_is_cut_short_says_so_and_how_to_see_the_rest(panji: Any) -> None:
    first, second = (panji.submit()["id"] for _ in range(2))
    cut = panji("case", "list", "--limit", 1)
    assert second in cut.stdout
    assert first not in cut.stdout
    assert "there are more cases than these 1, the newest: --limit N lists more" in cut.stderr
    for limit in (2, 3):
        assert "more cases" not in panji("case", "list", "--limit", limit).stderr
    told = panji("case", "list", "--limit", 1, "--json")
    assert "more cases" in json.loads(told.stderr)["warning"]["message"]


def test_erased_cases_are_listed_as_the_exchanges_word_and_only_when_asked_for(panji: Any, exchange: Any) -> None:
    kept, gone, older = (panji.submit()["id"] for _ in range(3))
    exchange.erase(gone)
    exchange.erase(older)
    assert [one["id"] for one in panji.records("case", "list")] == [kept]
    claimed = panji.records("case", "list", "--state", "erased")
    assert [(one["type"], one["id"], one["state"], one["verified"]) for one in claimed] == [
        ("erased_case", older, "ERASED", False),
        ("erased_case", gone, "ERASED", False),
    ]
    shown = panji("case", "list", "--state", "erased").stdout
    assert gone in shown
    assert "No cases." not in shown
    assert "the exchange's word" in shown
    assert "panji watch --once --after 0" in shown
    both = panji.records("case", "list", "--state", "erased", "--state", "submitted")
    assert [one["id"] for one in both] == [kept, older, gone]
    assert "more cases" in panji("case", "list", "--state", "erased", "--limit", 1).stderr
    assert panji.records("case", "list", "--state", "erased", "--test") == []


def test_an_erased_case_whose_sides_are_no_names_is_not_shown(panji: Any, exchange: Any) -> None:
    """Attack: what cannot be verified, with a line break in it."""
    case = panji.submit()["id"]
    exchange.erase(case)
    exchange._cases[case] = dataclasses.replace(exchange._cases[case], platform="telegram\nall is well")
    assert panji.error("case", "list", "--state", "erased", exit_code=4)["reason"] == "VERIFICATION_FAILED"


def test_a_case_shows_its_targets_and_its_timeline(panji: Any) -> None:
    case = panji.submit("--test")["id"]
    shown = panji("case", "show", case).stdout
    assert f"Case {case} (test): SUBMITTED" in shown
    assert "https://t.me/example" in shown
    assert "UNSPECIFIED" not in shown


def heads(shown: str) -> list[str]:
    """The first line of each statement in a timeline, without its time and place."""
    lines = [line.partition("Z  ")[2] for line in shown.splitlines() if "(log index" in line]
    return [re.sub(r" \(log index \d+\)", "", line) for line in lines]


def test_people_see_what_each_statement_made_of_the_case_who_is_waited_for_and_what_may_come_next(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second")["id"]
    panji("acknowledge", case, "--note", "Desk 4.", by="telegram")
    panji("say", "verification-request", case, "--target", 2, "--reasons", "A news report?", by="telegram")
    shown = panji("case", "show", case).stdout
    assert heads(shown) == [
        "kominfo: flag -> SUBMITTED",
        "telegram: acknowledgement -> RECEIVED",
        "telegram: verification_request -> VERIFICATION_REQUESTED",
    ]
    assert "\n    RECEIVED: Desk 4.\n" in shown
    assert "\n    targets 2: A news report?\n" in shown
    assert re.search(r"\nkominfo is to answer the verification_request of \S+Z about target 2\.\n", shown)
    assert re.search(r"\nThe clock of the decision runs since \S+Z, and stands still since \S+Z: question\.\n", shown)
    assert "is to decide" not in shown
    assert "\nkominfo may say: verification, withdrawal, correspondence\n" in shown
    assert "\ntelegram may say: obstacle, decision, correspondence\n" in shown
    assert re.search(r"\nthe operator may say: .*erasure", shown)


def test_people_see_an_obstacle_and_what_is_to_be_decided_and_restored(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second")["id"]
    panji("say", "obstacle", case, "--kind", "force-majeure", "--reasons", "A cable is cut.", by="telegram")
    shown = panji("case", "show", case).stdout
    assert re.search(
        r"\nAn obstacle keeps telegram from acting, since \S+Z\.\nThe clock .* still since \S+Z: obstacle\.\n", shown
    )
    assert "\ntelegram is to decide targets 1, 2.\n" in shown
    panji("say", "obstacle-ended", case, by="telegram")
    shown = panji("case", "show", case).stdout
    assert re.search(r"\nThe clock of .* runs since \S+Z\.\n    stopped \S+Z to \S+Z: obstacle\n", shown)
    panji("decide", case, "--all", "removed:terms", by="telegram")
    shown = panji("case", "show", case).stdout
    assert "\nNobody is waited for.\n" in shown
    assert "The clock" not in shown
    panji("say", "restore-order", case, "--reasons", "Lifted.", "--target", 1)
    shown = panji("case", "show", case).stdout
    assert re.search(r"\ntelegram is to restore target 1, since \S+Z\.\n", shown)
    panji("say", "objection", case, "--reasons", "Too little.", "--target", 2)
    shown = panji("case", "show", case).stdout
    assert re.search(r"\ntelegram is to answer the objection of \S+Z about target 2\.\ntelegram is to restore", shown)
    assert "yes" in next(line for line in shown.splitlines() if "https://t.me/second" in line or "│ 2" in line)


def test_people_see_why_a_flag_was_sent_and_why_it_was_decided_so(panji: Any) -> None:
    case = panji.submit("--url", "https://t.me/second", "--url", "https://t.me/third")["id"]
    panji(
        *("decide", case, "--target", "1=removed:terms", "--target", "2=removed:terms", "--target", "3=not-found"),
        *("--terms-clause", "4.2", "--explanation", "It calls for attacks."),
        by="telegram",
    )
    shown = panji("case", "show", case).stdout
    assert "\n      why: Calls for attacks.\n" in shown
    assert "\n      why targets 1, 2: TERMS, 4.2: It calls for attacks.\n" in shown
    panji("say", "objection", case, "--reasons", "Not all.", "--target", 3)
    panji("say", "review", case, "--target", "3=upheld", "--reasons", "It is gone indeed.", by="telegram")
    shown = panji("case", "show", case).stdout
    assert "\n      why target 3: It is gone indeed.\n" in shown


def test_reasons_of_many_pages_are_cut_and_the_cut_is_told(panji: Any) -> None:
    case = panji.submit("--reasons", "a" * 1000)["id"]
    shown = panji("case", "show", case).stdout
    assert f"why: {'a' * 400}… (and 600 more characters; --json has them all)" in shown
    (record,) = panji.records("case", "show", case)
    assert record["statements"][0]["body"]["reasons"] == "a" * 1000


def test_a_reason_makes_no_line_of_its_own_and_does_not_turn_the_writing(panji: Any) -> None:
    """Attack: the reasons of a flag as if somebody else had spoken."""
    forged = "2026-11-24T15:00:00Z  telegram: decision (log index 9) -> DECIDED"
    case = panji.submit("--reasons", f"See.\n{forged}\u202e")["id"]
    assert f"\n      why: See.\\n{forged}\\u202e\n" in panji("case", "show", case).stdout


def test_programs_see_what_waits_and_the_state_after_each_statement(panji: Any) -> None:
    case = panji.submit()["id"]
    panji("say", "objection", case, "--reasons", "No law covers this.", by="telegram")
    (record,) = panji.records("case", "show", case)
    assert [one["state_after"] for one in record["statements"]] == ["SUBMITTED", "OBJECTED"]
    flag, objection = record["statements"]
    assert (record["asked_by"], record["open_question"]) == ("telegram", objection["digest"])
    assert record["targets"][0]["pending"] is True
    assert record["clock"] == {
        "since": flag["receipt"]["received_at"],
        "stopped_at": objection["receipt"]["received_at"],
        "stops": [{"cause": "question", "begins": objection["receipt"]["received_at"], "ends": None}],
    }
    assert (record["decision"], record["obstacle"], record["restore_since"], record["overdue_since"]) == (
        *("", ""),
        *(None, None),
    )
    assert "review by authority" in record["legal"]
    (listed,) = panji.records("case", "list")
    assert listed == {name: value for name, value in record.items() if name != "statements"}


def test_what_is_said_makes_no_lines_of_its_own_in_a_timeline(panji: Any) -> None:
    """Attack: a line feed in a reason, and behind it a line as if somebody else had spoken."""
    forged = "2026-11-24T15:00:00Z  telegram: decision (log index 9) -> DECIDED"
    case = panji.submit("--reasons", "See.")["id"]
    panji("say", "objection", case, "--reasons", f"Why.\n{forged}", by="telegram")
    shown = panji("case", "show", case).stdout
    assert f"\n    all targets concerned: Why.\\n{forged}\n" in shown


def test_a_case_that_is_not_there_is_refused(panji: Any) -> None:
    error = panji.error("case", "show", "01890a5d-ac96-774b-bcce-b302099a8057", exit_code=3)
    assert error["reason"] == "CASE_NOT_FOUND"


def test_a_time_that_is_none_is_wrong_usage(panji: Any) -> None:
    assert panji.error("case", "list", "--since", "yesterday", exit_code=2)["reason"] == "USAGE"


def test_an_exchange_that_lies_is_told_apart_from_one_that_refuses(panji: Any, exchange: Any) -> None:
    case, other = panji.submit()["id"], panji.submit()
    exchange.lie = exchange.feeds["telegram"][other["receipt"]["index"]][0]
    assert panji.error("case", "show", case, exit_code=4)["reason"] == "VERIFICATION_FAILED"


def test_a_case_that_does_not_verify_is_told_and_the_others_are_listed(panji: Any, exchange: Any) -> None:
    bad, good = (panji.submit()["id"] for _ in range(2))
    ((envelope, receipt),) = exchange._said[bad]
    exchange._said[bad] = [(envelope + b"\0", receipt)]
    result = panji("case", "list")
    assert result.exit_code == 4
    assert good in result.stdout.replace("\n", "")
    assert f"error: case {bad}: the receipt is of another statement" in result.stderr
    (record,) = panji.records("case", "list", exit_code=4)
    assert record["id"] == good


def test_a_statement_that_does_not_verify_is_named_with_the_way_past_it_which_is_recorded(
    panji: Any, exchange: Any
) -> None:
    good, bad, behind = (panji.submit()["id"] for _ in range(3))
    envelope, receipt = exchange.feeds["telegram"][1]
    exchange.feeds["telegram"][1] = (envelope[:-1] + b"\0", receipt)
    result = panji("watch", "--once", by="telegram")
    assert result.exit_code == 4
    assert good in result.stdout
    assert "statement 2 of the feed does not verify" in result.stderr
    assert "'panji watch --skip 2' goes on without it [VERIFICATION_FAILED]" in result.stderr
    assert panji.error("watch", "--once", "--skip", 3, by="telegram", exit_code=2)["reason"] == "INPUT_INVALID"
    skipped, heard = panji.records("watch", "--once", "--skip", 2, by="telegram")
    assert (skipped["type"], skipped["sequence"], heard["id"]) == ("skipped", 2, behind)
    assert bad.encode().hex() in skipped["delivery"]
    assert skipped["skipped_at"]


def test_people_read_what_they_have_skipped(panji: Any, exchange: Any) -> None:
    panji.submit()
    exchange.feeds["telegram"][0] = (b"\x1b[31m", exchange.feeds["telegram"][0][1])
    panji("watch", "--once", by="telegram")
    shown = panji("watch", "--once", "--skip", 1, by="telegram").stdout
    assert shown.startswith("#1 skipped: the receipt is of another statement")


def test_a_sequence_that_no_feed_can_have_is_a_wrong_option(panji: Any) -> None:
    told = panji.error("watch", "--once", "--after", 2**63, by="telegram", exit_code=2)
    assert "not in the range" in told["message"]
