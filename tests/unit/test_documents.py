"""The documentation speaks of what is there."""

from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from panji import development, importer
from panji.core.statements import (
    BatchReference,
    ContentHash,
    DecidingBody,
    Evidence,
    Flag,
    IssuingAuthority,
    LegalBasis,
    NonDisclosure,
    Target,
)
from panji.importer import table, takedowns
from panji_server.config import Config

ROOT = Path(__file__).resolve().parents[2]


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of the configuration, with its table."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += keys(field.annotation, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def test_every_key_of_the_configuration_is_in_the_operators_table() -> None:
    table = (ROOT / "docs/operations.md").read_text("utf-8")
    assert [key for key in keys(Config) if f"`{key}`" not in table] == []


def test_the_profile_in_the_guide_is_the_one_that_is_made(tmp_path: Path) -> None:
    shown = re.search(r"```toml\n(organisation = .*?)```", (ROOT / "docs/integration.md").read_text("utf-8"), re.DOTALL)
    assert shown
    made = development.init(tmp_path / "made", now=datetime.now(UTC)).profiles["telegram"].read_text("utf-8")
    profile, page = tomllib.loads(made), tomllib.loads(shown[1])
    of_this_exchange = {"address", "log_key"}
    assert list(page) == list(profile)
    assert {key: page[key] for key in page if key not in of_this_exchange} == {
        key: profile[key] for key in profile if key not in of_this_exchange
    }


def first_column(page: str, title: str) -> list[str]:
    """Every name in the first column of a table of a page, in the order of the page."""
    rows = re.search(rf"<!-- columns: {title} -->\n\|.*\n\|.*\n((?:\|.*\n)+)", (ROOT / page).read_text("utf-8"))
    assert rows, title
    return [name for row in rows[1].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_every_column_of_an_import_is_on_its_page_and_no_other() -> None:
    shown = first_column("docs/importing.md", "csv")
    assert sorted(shown) == sorted(table.COLUMNS)


def test_every_key_of_an_imported_object_is_on_its_page_and_no_other() -> None:
    shown = re.sub(r" \([^)]*\)|; or .*", "", (ROOT / "docs/importing.md").read_text("utf-8"))
    for kind, at in (
        (Flag, "the flag"), (Target, "each of `targets`"), (ContentHash, "each of `hashes`"),
        (LegalBasis, "each of `legal_basis`"), (IssuingAuthority, "`issuing_authority`"),
        (DecidingBody, "`deciding_body`"), (Evidence, "each of `evidence`"), (NonDisclosure, "`non_disclosure`"),
        (BatchReference, "`batch`"),
    ):  # fmt: skip
        row = re.search(rf"^\| {re.escape(at)} \| (.*?)\s*\|?$", shown, re.MULTILINE)
        assert row, at
        assert sorted(re.findall(r"`(\w+)`", row[1])) == sorted(field.name for field in dataclasses.fields(kind))


def test_every_key_of_a_takedown_notice_is_on_its_page_and_no_other() -> None:
    source = inspect.getsource(takedowns)
    read = set(re.findall(r"\b(?:row|entry|one)(?:\.get\(|\[)\"(\w+)\"", source)) | takedowns.FIELDS
    page = (ROOT / "docs/importing.md").read_text("utf-8").partition("<!-- columns: gov-takedowns -->")[2]
    assert read > takedowns.FIELDS
    assert sorted(read - set(re.findall(r"`(\w+)`", page))) == []
    assert sorted(set(first_column("docs/importing.md", "gov-takedowns")) - read) == []
    assert set(re.findall(r"`(\w+)` \*", page)) == takedowns.FIELDS


def test_the_example_of_a_list_is_complete_and_groups_its_rows() -> None:
    read = importer.read_file(ROOT / "examples/flags.csv")
    assert read.format is importer.Format.CSV
    assert [(row.source_id, row.targets, row.violations) for row in read.rows] == [
        ("2026/118", 2, ()), ("2026/119", 1, ()), ("2026/120", 1, ()),
    ]  # fmt: skip


def test_every_test_that_the_threat_model_names_exists() -> None:
    page = (ROOT / "docs/threat-model.md").read_text("utf-8")
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert named
    assert [name for name in named if f"def {name}(" not in tests] == []
    assert [path for path in re.findall(r"`(tests/[\w/.]+)`", page) if not (ROOT / path).exists()] == []


def test_every_link_between_the_pages_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
