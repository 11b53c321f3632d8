"""The reference pages are what the code says: each is printed by a script, and committed as it was printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from panji.errors import REASONS, Reason
from panji_server.audit import EVENTS, FIELDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "page"), [("event", "events"), ("error", "errors"), ("case", "case")])
def test_the_page_is_what_its_script_prints(name: str, page: str) -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / f".ci/{name}_docs.py"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    committed = (ROOT / f"docs/{page}.md").read_text()
    assert committed == printed, f"run `python .ci/{name}_docs.py > docs/{page}.md`"


def test_every_event_and_field_is_on_its_page() -> None:
    page = (ROOT / "docs/events.md").read_text()
    assert [name for name in EVENTS if f"### `{name}`\n" not in page] == []
    assert [name for name in FIELDS if f"| `{name}` | " not in page] == []


def test_every_reason_is_on_its_page() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    assert REASONS.keys() == set(Reason)
    assert [reason for reason in Reason if f"| `{reason}` | {REASONS[reason].code.name} | " not in page] == []
