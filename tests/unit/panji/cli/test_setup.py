from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from panji import __version__
from panji.cli import app

if TYPE_CHECKING:
    from pathlib import Path


def test_init_makes_an_exchange_and_says_where_everything_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "dev"), "--platform", "a", "--platform", "b", "--json"])
    record = json.loads(result.stdout)
    assert set(record["profiles"]) == {"kominfo", "a", "b", "operator"}
    assert record["log_key"].startswith("exchange.example/log+")
    assert "PRIVATE KEY" not in result.output


def test_init_for_people_names_the_next_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path), "--listen", "127.0.0.1:7443"])
    assert result.exit_code == 0
    assert "panji serve --config" in result.stdout
    assert "development and tests only" in result.stdout


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 2


@pytest.mark.parametrize("listen", ["nonsense", "localhost:", ":7443", "localhost:0", "localhost:65536", "a b:1"])
def test_init_refuses_what_is_no_address(tmp_path: Path, listen: str) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "made"), "--listen", listen, "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["violations"] == [{"field": "listen", "description": "is not host:port"}]
    assert not (tmp_path / "made").exists()


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"panji {__version__}\n")


def test_serve_becomes_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "exchange.toml"
    config.write_text("")
    ran: list[list[str]] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr("os.execv", lambda path, arguments: ran.append([path, *arguments]))
    assert CliRunner().invoke(app, ["serve", "--config", str(config)]).exit_code == 0
    assert ran == [[sys.executable, sys.executable, "-m", "panji_server", "--config", str(config), "--announce"]]


@pytest.mark.parametrize(("installed", "said"), [(None, "pip install ./client ./server"), (object(), "is no file")])
def test_serve_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: object, said: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: installed)
    result = CliRunner().invoke(app, ["serve", "--config", str(tmp_path / "none.toml"), "--json"])
    assert result.exit_code == 6
    assert said in json.loads(result.stderr)["error"]["message"]
