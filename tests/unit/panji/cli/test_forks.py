from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from panji.core import merkle
from panji.core.note import NoteVerifier

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def split(panji: Any, exchange: Any) -> Callable[[], dict[str, Any]]:
    """Lets the exchange begin its log anew, with the same key, so that the next statement makes two heads of size 1."""
    panji.submit()

    def begin_anew() -> dict[str, Any]:
        exchange._frontier, exchange._nodes = merkle.Frontier(0), {}
        exchange.feeds.clear()
        panji("submit", *FLAG)
        error: dict[str, Any] = panji.error("checkpoint", exit_code=4)
        return error

    return begin_anew


FLAG = (
    *("--to", "telegram", "--instrument", "order", "--category", "terrorism", "--kind", "channel"),
    *("--sub-category", "terrorism-propaganda-other", "--reasons", "Calls for attacks.", "--url", "https://t.me/b"),
    *("--legal-basis", "ID: PM 36/2014, art. 4", "--authority", "Kominfo", "--authority-country", "ID"),
)


def test_a_log_that_never_contradicted_itself_is_said_to_be_so(panji: Any) -> None:
    panji.submit()
    assert panji("fork").stdout == "The log has not contradicted itself.\n"
    assert panji.records("fork") == []


def test_a_contradiction_ends_every_command_with_4_and_names_the_evidence(panji: Any, split: Any) -> None:
    error = split()
    assert (error["reason"], error["kind"], error["retryable"]) == ("LOG_FORKED", "SPLIT", False)
    assert "signed two roots for size 1" in error["message"]
    assert error["evidence"] in error["message"]
    assert Path(error["evidence"]).exists()
    for command in (("submit", *FLAG), ("case", "list"), ("watch", "--once"), ("outbox", "--send")):
        assert panji.error(*command, exit_code=4)["evidence"] == error["evidence"]


def test_both_heads_are_shown_until_a_person_has_looked(panji: Any, made: Any, split: Any) -> None:
    error = split()
    (record,) = panji.records("fork", exit_code=4)
    assert (record["kind"], record["evidence"], record["resolved"]) == ("SPLIT", error["evidence"], False)
    assert record["kept"] != record["seen"]
    for note in (record["kept"], record["seen"]):
        assert f"— {NoteVerifier.parse(made.log_key).name} " in note
    shown = panji("fork")
    assert shown.exit_code == 4
    assert error["evidence"] in shown.stdout


def test_after_a_person_has_looked_the_other_history_is_no_more_believed_than_before(panji: Any, split: Any) -> None:
    error = split()
    (record,) = panji.records("fork", "--resolve")
    assert record["resolved"]
    assert panji("fork").exit_code == 0
    assert panji.error("checkpoint", exit_code=4)["evidence"] == error["evidence"]
