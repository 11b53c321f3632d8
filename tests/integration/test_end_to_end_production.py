"""An exchange made as docs/operations.md says: keys and certificates by openssl, a configuration, and a first flag."""

from __future__ import annotations

import configparser
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from readme_examples import ROOT, blocks
from support.exchange import PATIENCE
from support.statements import a_flag

from panji.client import Client
from panji.profile import Profile
from panji_server.__main__ import EX_CONFIG, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLES = {"kominfo": "authority", "telegram": "platform"}


def shown(check: str) -> list[str]:
    """The blocks of the page that are checked here."""
    return [block.text for block in blocks(ROOT / "docs/operations.md") if block.check == check]


def shell(folder: Path, commands: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def for_telegram(commands: str) -> str:
    return commands.replace("kominfo", "telegram")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folders of an exchange and of two organisations, made by the page's commands, each in a shell of its own."""
    exchange, organisation, authority = shown("keys")
    for_both = [line for line in authority.splitlines() if "kominfo/" in line]
    for commands in (exchange, organisation, for_telegram(organisation)):
        shell(tmp_path, commands)
    shell(tmp_path, "\n".join([authority, *map(for_telegram, for_both)]))
    (tmp_path / "exchange/directory.toml").write_text(directory(tmp_path))
    return tmp_path


def directory(made: Path) -> str:
    own = shell(made, "openssl pkey -in exchange/statements.pem -pubout -outform DER | openssl base64 -A")
    entry = "valid_from = 2026-01-01T00:00:00Z\n"
    text = '[[organisation]]\nid = "operator"\nname = "Operator"\nrole = "operator"\nparticipants = []\n'
    text += f'[[organisation.key]]\nspki = "{own}"\nautomatic = true\n{entry}'
    for one, role in ROLES.items():
        text += f'[[organisation]]\nid = "{one}"\nname = "{one}"\nrole = "{role}"\n'
        text += f'participants = ["spiffe://exchange.example/{one}/gateway"]\n'
        text += f'[[organisation.key]]\nspki = "{(made / one / "spki").read_text()}"\n{entry}'
    return text + f'[[accreditation]]\nauthority = "kominfo"\nplatform = "telegram"\n{entry}'


@contextmanager
def serving(config: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "panji_server", "--config", str(config), "--announce"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"exchange.example/log" in process.stdout.readline()
            yield
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def profile(made: Path, organisation: str, address: str, log_key: str) -> Profile:
    folder = made / organisation
    (folder / "directory.toml").write_text(directory(made))
    (folder / "profile.toml").write_text(
        f'organisation = "{organisation}"\naddress = "{address}"\nserver_name = "exchange.example"\n'
        f'log_key = "{log_key}"\ndirectory = "directory.toml"\nca = "ca.pem"\ncertificate = "tls.pem"\n'
        'key = "tls.key"\nsigning_keys = ["statements.pem"]\nstate = "state.db"\n'
    )
    return Profile.load(folder / "profile.toml")


def test_an_exchange_made_as_the_page_says_takes_a_flag_and_delivers_it(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (text,) = shown("configuration")
    text = text.replace("0.0.0.0:443", address)
    for folder in ("/var/lib/panji", "/var/log/panji"):
        assert folder in text
        text = text.replace(folder, ".")
    config = made / "exchange/exchange.toml"
    config.write_text(text)
    assert main(["--config", str(config), "--check"]) == 0
    log_key = capsys.readouterr().out.split()[-1]
    kominfo, telegram = (profile(made, one, address, log_key) for one in ROLES)
    with serving(config), Client.connect(kominfo) as ministry, Client.connect(telegram) as platform:
        sent = ministry.submit(ministry.flag("telegram", a_flag()))
        assert [one.digest for one in platform.watch(follow=False)] == [sent.digest]


def test_private_keys_that_the_page_makes_are_readable_by_their_owner_only(made: Path) -> None:
    keys = [path for path in made.rglob("*") if path.suffix in {".pem", ".key"} and b"PRIVATE" in path.read_bytes()]
    assert len(keys) == 8
    assert [path for path in keys if path.stat().st_mode & 0o077] == []


def test_the_unit_does_not_start_a_wrong_configuration_again() -> None:
    (text,) = shown("unit")
    assert not re.search(r"^[^#\n]*=.*\s#", text, re.MULTILINE)  # systemd has no comments behind a value
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation of configparser says
    unit.read_string(text)
    service = unit["Service"]
    assert service["RestartPreventExitStatus"] == str(EX_CONFIG)
    assert service["ExecStart"].endswith("/panji-server --config /etc/panji/exchange.toml")
    (configuration,) = shown("configuration")
    for setting, folder in (("StateDirectory", "/var/lib/"), ("LogsDirectory", "/var/log/")):
        assert folder + service[setting] in configuration
