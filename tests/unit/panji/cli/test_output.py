from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from panji.cli.output import Output, plain, table
from panji.core.statements import LegalBasis
from panji.core.vocabulary import Category, Kind

if TYPE_CHECKING:
    import pytest


def test_values_become_plain_json() -> None:
    when = datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=7)))
    basis = LegalBasis(jurisdiction="ID", law="KUHP")
    assert plain({"a": (Category.HATE, Kind.FLAG), "b": b"\x01", "c": when, "d": basis, "e": Path("x"), "f": None}) == {
        "a": ["HATE", "flag"],
        "b": "01",
        "c": "2026-01-01T20:04:00Z",
        "d": {"jurisdiction": "ID", "law": "KUHP", "article": ""},
        "e": "x",
        "f": None,
    }


def test_a_record_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).record({"text": "é\n\x7f\x1b"}, "for people")
    printed = capsys.readouterr().out
    assert printed == '{"text": "\\u00e9\\n\\u007f\\u001b"}\n'
    assert json.loads(printed) == {"text": "é\n\x7f\x1b"}


def test_markup_in_cells_and_titles_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.show(table("a", rows=[["[red]x[/red] :fire:\x1b"]], title="[b]t"))
    out.record({"never": "shown"}, "[i]line[/i]")
    printed = capsys.readouterr().out
    for text in ("[red]x[/red] :fire:\\x1b", "[b]t", "[i]line[/i]"):
        assert text in printed
    assert "never" not in printed


def test_errors_for_people_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = {
        "reason": "RATE_LIMITED",
        "message": "slower\x1b",
        "violations": [{"field": "a", "description": "b"}],
        "retryable": True,
    }
    Output().error({"error": error})
    printed = capsys.readouterr()
    assert printed.err == "error: slower\\x1b [RATE_LIMITED, retryable]\n  a: b\n"
    assert printed.out == ""
