"""The profile: every wrong one is refused at once, and the key that is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.lying_exchange import Authority, World
from support.statements import MINISTRY

from panji.errors import ConfigError
from panji.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path

_ORIGIN_KEY = "exchange.example/log+"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    profile = World().profile(tmp_path, MINISTRY, "exchange.example:8443", Authority())
    path = tmp_path / "profile.toml"
    path.write_text(
        f"""
        organisation = "{MINISTRY}"
        address = "exchange.example:8443"
        log_key = "{profile.log_key}"
        directory = "directory.toml"
        ca = "ca.pem"
        certificate = "tls.pem"
        key = "tls-key.pem"
        signing_keys = ["signing-0.pem", "/elsewhere/second.pem"]
        state = "state.sqlite"
        """
    )
    return path


def test_a_profile_is_read_and_its_paths_are_relative_to_it(written: Path) -> None:
    profile = Profile.load(str(written))
    home = written.parent
    assert (profile.organisation, profile.address) == (MINISTRY, "exchange.example:8443")
    assert (profile.directory, profile.ca, profile.state) == (
        home / "directory.toml",
        home / "ca.pem",
        home / "state.sqlite",
    )
    assert [str(path) for path in profile.signing_keys] == [str(home / "signing-0.pem"), "/elsewhere/second.pem"]
    assert profile.server_name == ""
    assert (profile.policy, profile.witnessed_within) == (None, 86_400)


def test_a_policy_is_relative_to_the_profile_too(written: Path) -> None:
    written.write_text(f'{written.read_text()}\npolicy = "policy.txt"\nwitnessed_within = 600')
    profile = Profile.load(written)
    assert (profile.policy, profile.witnessed_within) == (written.parent / "policy.txt", 600)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000, '"'])
def test_a_profile_that_is_too_much_for_a_parser_is_no_toml(written: Path, value: str) -> None:
    written.write_text(f"organisation = {value}")
    with pytest.raises(ConfigError, match="is no TOML"):
        Profile.load(written)


def test_a_relative_profile_path_gives_absolute_paths(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written.parent)
    assert Profile.load("profile.toml").state == written.parent / "state.sqlite"


def test_the_name_of_the_log_key_is_the_exchange(written: Path) -> None:
    profile = Profile.load(written)
    assert profile.log_key.startswith(_ORIGIN_KEY)
    assert profile.log.name + "+" == _ORIGIN_KEY


@pytest.mark.parametrize(
    "key",
    ["organisation", "address", "log_key", "directory", "ca", "certificate", "key", "signing_keys", "state"],
)
def test_a_missing_key_is_named(written: Path, key: str) -> None:
    lines = [line for line in written.read_text().splitlines() if line.split("=")[0].strip() != key]
    written.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="is missing") as caught:
        Profile.load(written)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("organisation", '"Not an id"'),
        ("organisation", "7"),
        ("address", '"exchange.example"'),
        ("address", '":8443"'),
        ("address", '"exchange.example:0"'),
        ("address", '"exchange.example:65536"'),
        ("address", '"exchange.example:٣"'),
        ("log_key", '"exchange.example/log+00000000+AAAA"'),
        ("log_key", '""'),
        ("directory", '""'),
        ("ca", "true"),
        ("signing_keys", "[]"),
        ("signing_keys", '"signing-0.pem"'),
        ("signing_keys", '[""]'),
        ("server_name", "1"),
        ("policy", '""'),
        ("policy", "7"),
        ("witnessed_within", '"PT1H"'),
        ("witnessed_within", "true"),
        ("witnessed_within", "1.5"),
        ("witnessed_within", "0"),
        ("witnessed_within", "-1"),
        ("pasword", '"swordfish"'),
    ],
)
def test_a_wrong_or_unknown_key_is_named(written: Path, key: str, value: str) -> None:
    lines = [line for line in written.read_text().splitlines() if line.split("=")[0].strip() != key]
    written.write_text("\n".join([*lines, f"{key} = {value}"]))
    with pytest.raises(ConfigError) as caught:
        Profile.load(written)
    assert caught.value.key == key
    assert "swordfish" not in str(caught.value)


def test_a_mistyped_log_key_is_found_by_its_hash(written: Path) -> None:
    profile = Profile.load(written)
    name, _, rest = profile.log_key.partition("+")
    with pytest.raises(ConfigError, match="log_key"):
        replace(profile, log_key=f"{name}x+{rest}")


@pytest.mark.parametrize("content", [b"organisation = ", b"\xff"])
def test_a_file_that_is_no_toml_is_named(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Profile.load(written)
    assert caught.value.key == str(written)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Profile.load(tmp_path / "nowhere.toml")
