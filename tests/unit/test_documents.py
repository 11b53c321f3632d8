"""The documentation speaks of what is there."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from panji import development
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
