"""The demo: what it is given is looked at before anything starts, and what it tells is in order."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from readme_examples import ROOT
from rich.console import Console

from panji.importer import read_file

if TYPE_CHECKING:
    from pathlib import Path

DEMO = ROOT / "examples/demo.py"


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--input", b"", "the file is empty"),
        ("--input", b"kind\n", "has no flags"),
        ("--input", b"\xff", "is not UTF-8"),
        ("--input", None, "cannot be read: No such file or directory"),
        ("--summary", None, "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line_before_anything_starts(
    tmp_path: Path, option: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / ("given" if content is not None else "no/such/folder")
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run([sys.executable, DEMO, option, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    *_, told = done.stderr.splitlines()
    assert told.startswith("demo.py: error: ")
    assert said in told


def test_what_is_reported_while_the_exchange_is_down_is_told_when_it_is_up_again() -> None:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec
    assert spec.loader
    demo: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    told = io.StringIO()
    console = Console(file=told, width=80)
    story = demo.Story(console, read_file(demo.FOUNDING_CASE).rows, aloud=True)
    flag = {"event": "said", "kind": "flag", "flag": "2017-07-11", "case": "x", "targets": 1, "index": 7, "digest": ""}
    with story.held():
        story._read("kominfo", io.StringIO(json.dumps(flag) + "\n"))
        console.print("started again")
    assert [line.strip() for line in told.getvalue().splitlines() if "started" in line or "receipt" in line] == [
        "started again",
        "kominfo   flag, 1 target, receipt at 7",
    ]
    assert len(story.of("said", kind="flag")) == 1
