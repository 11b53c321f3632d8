from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from panji import importer
from panji.cli.journal import Journal, key_of
from panji.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "imports" / "telegram.jsonl"


def test_what_was_noted_is_there_after_opening_it_again(path: Path) -> None:
    with Journal(path) as journal:
        journal.assign({"a": "1", "b": "2", "c": "3"})
        journal.settle("a", accepted=True)
        journal.settle("b", accepted=False)
    with Journal(path) as journal:
        assert journal.sent("a")
        assert [journal.id_of(key) for key in "abc"] == ["1", None, "3"]


def test_a_line_that_a_crash_cut_off_is_dropped(path: Path) -> None:
    with Journal(path) as journal:
        journal.assign({"a": "1"})
    with path.open("ab") as file:
        file.write(b'{"row": "b", "is"')
    with Journal(path) as journal:
        assert journal.id_of("a") == "1"
        journal.assign({"b": "2"})
    with Journal(path) as journal:
        assert journal.id_of("b") == "2"


def test_a_damaged_journal_is_refused_rather_than_guessed_at(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\x00\n")
    with pytest.raises(ConfigError, match="damaged"):
        Journal(path)


def test_two_imports_to_one_recipient_do_not_run_at_once(path: Path) -> None:
    with Journal(path), pytest.raises(ConfigError, match="another import"):
        Journal(path)


def test_a_place_that_cannot_be_written_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Journal(tmp_path / "file" / "telegram.jsonl")


def test_a_row_is_known_by_what_it_says_and_not_by_the_list_it_came_in() -> None:
    def keys(*rows: dict[str, object]) -> list[str]:
        text = "".join(json.dumps(one) + "\n" for one in rows)
        return [key_of(row) for row in importer.read(text.encode()).rows]

    one = {
        "instrument": "NOTICE",
        "good_faith": True,
        "category": "OTHER_LAW",
        "urgency": "ROUTINE",
        "reasons": "x",
        "requested_actions": ["NONE"],
        "issuing_authority": {"name": "K", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
        "targets": [{"kind": "POST", "url": "https://t.me/a"}],
    }
    other = one | {"reasons": "y"}
    assert keys(one, other) == list(reversed(keys(other, one)))
    assert len(set(keys(one, other, one | {"id": "1"}))) == 3
    assert keys(one)[0] == keys(one | {"reference": ""})[0]
    listed = [one | {"batch": {"id": "list", "position": position, "count": 2}} for position in (1, 2)]
    assert len({*keys(*listed), *keys(one)}) == 3
