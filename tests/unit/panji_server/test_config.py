"""The configuration: every key missing, unknown or wrong is refused by its name; environment over file."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panji.errors import ConfigError
from panji_server.config import TLS, Audit, Config, Limits, LogHTTP, Witnesses, load

FILES = (
    "directory.toml",
    "procedure.toml",
    "log.pem",
    "statements.pem",
    "exchange.pem",
    "exchange.key",
    "ca.pem",
    "policy.txt",
)
WHOLE: dict[str, Any] = {
    "origin": "exchange.example/log",
    "listen": "127.0.0.1:7443",
    "database": "data/exchange.db",
    "directory": "directory.toml",
    "log_key": "log.pem",
    "statement_key": "statements.pem",
    "grace_seconds": 1.5,
    "tls.certificate": "exchange.pem",
    "tls.key": "exchange.key",
    "tls.client_ca": "ca.pem",
    "limits.statements_per_second": 10.5,
    "limits.burst": 7,
    "limits.envelope_bytes": 2048,
    "limits.queue": 1000,
    "limits.case_statements": 20,
    "limits.case_bytes": 20_000,
    "limits.streams": 3,
    "limits.reads": 4,
    "limits.issued_before": 60,
    "limits.issued_after": "PT30S",
    "procedure": "procedure.toml",
    "deadlines.acknowledged": "PT4H",
    "log_http.listen": "127.0.0.1:8080",
    "log_http.certificate": "exchange.pem",
    "log_http.key": "exchange.key",
    "audit.path": "audit.jsonl",
    "witnesses.policy": "policy.txt",
    "witnesses.timeout": 3,
    "witnesses.interval": "PT0.5S",
    "witnesses.refresh": 600,
    "witnesses.overdue": "PT2M",
    "witnesses.fail_closed": True,
}
"""Every key there is."""
REQUIRED = {
    "origin", "listen", "database", "directory", "log_key", "statement_key", "tls.certificate", "tls.key",
    "tls.client_ca",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that a configuration names, and no other environment."""
    for name in FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "data").mkdir()
    for name in ("PANJI_PROFILE", "PANJI_LISTEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def written(home: Path, keys: dict[str, Any]) -> Path:
    """A file with these keys; a dot is a table."""
    tables: dict[str, list[str]] = {"": []}
    for key, value in keys.items():
        table, _, name = key.rpartition(".")
        literal = f'"{value}"' if isinstance(value, str) else str(value).lower()
        tables.setdefault(table, []).append(f"{name} = {literal}")
    path = home / "exchange.toml"
    path.write_text("\n".join(f"[{table}]\n" * bool(table) + "\n".join(lines) for table, lines in tables.items()))
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value


def test_every_key_is_read_and_relative_paths_are_the_files(home: Path) -> None:
    config = load(written(home, WHOLE))
    assert config.origin == "exchange.example/log"
    assert config.listen == "127.0.0.1:7443"
    assert (config.database, config.directory, config.log_key) == (
        home / "data/exchange.db", home / "directory.toml", home / "log.pem",
    )  # fmt: skip
    assert (config.tls.certificate, config.tls.key, config.tls.client_ca) == (
        home / "exchange.pem", home / "exchange.key", home / "ca.pem",
    )  # fmt: skip
    assert (config.limits.statements_per_second, config.limits.burst) == (10.5, 7)
    assert (config.limits.envelope_bytes, config.limits.queue) == (2048, 1000)
    assert (config.limits.streams, config.limits.reads) == (3, 4)
    assert (config.limits.case_statements, config.limits.case_bytes) == (20, 20_000)
    assert (config.limits.issued_before, config.limits.issued_after) == (timedelta(minutes=1), timedelta(seconds=30))
    assert config.statement_key == home / "statements.pem"
    assert config.deadlines.acknowledged == timedelta(hours=4)
    assert config.log_http == LogHTTP(
        listen="127.0.0.1:8080", certificate=home / "exchange.pem", key=home / "exchange.key"
    )
    assert config.audit.path == str(home / "audit.jsonl")
    assert config.grace_seconds == 1.5
    assert config.witnesses.policy == home / "policy.txt"
    assert (config.witnesses.timeout, config.witnesses.interval) == (timedelta(seconds=3), timedelta(seconds=0.5))
    assert (config.witnesses.refresh, config.witnesses.overdue) == (timedelta(minutes=10), timedelta(minutes=2))
    assert config.witnesses.fail_closed


def test_the_list_above_has_every_key_there_is() -> None:
    def keys(model: Any, at: str = "") -> set[str]:
        found: set[str] = set()
        for name, field in model.model_fields.items():
            inner = field.annotation if hasattr(field.annotation, "model_fields") else None
            found |= keys(inner, f"{at}{name}.") if inner else {at + name}
        return found

    assert keys(Config) == set(WHOLE)


def test_the_required_keys_suffice(home: Path) -> None:
    config = load(written(home, {key: WHOLE[key] for key in WHOLE if key in REQUIRED}))
    assert config.audit.path == "-"
    assert config.limits.envelope_bytes == 260 * 1024
    assert config.limits.issued_before == timedelta(hours=24)
    assert config.deadlines.acknowledged == timedelta(hours=24)


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_certificate_and_its_key_go_together(home: Path, missing: str) -> None:
    error = refused(written(home, {key: WHOLE[key] for key in WHOLE if key != f"log_http.{missing}"}))
    assert (error.key, "go together" in str(error)) == ("log_http", True)


def test_an_absolute_path_stays_and_a_dash_is_standard_output(home: Path) -> None:
    elsewhere = home.parent / "exchange.db"
    config = load(written(home, {**WHOLE, "database": str(elsewhere), "audit.path": "-"}))
    assert config.database == elsewhere
    assert config.audit.path == "-"


def test_a_configuration_is_found_by_a_relative_path_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(home, WHOLE)
    monkeypatch.chdir(home.parent)
    assert load(Path(home.name) / "exchange.toml").database == home / "data/exchange.db"


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_a_missing_key_is_named(home: Path, key: str) -> None:
    assert refused(written(home, {other: WHOLE[other] for other in WHOLE if other != key})).key == key


def test_a_missing_table_is_named(home: Path) -> None:
    assert refused(written(home, {key: WHOLE[key] for key in WHOLE if not key.startswith("tls.")})).key == "tls"


@pytest.mark.parametrize("key", ["lisen", "tls.ca", "limits.rate", "audit.file", "metrics.port"])
def test_an_unknown_key_is_named(home: Path, key: str) -> None:
    assert refused(written(home, {**WHOLE, key: 1})).key == key.removesuffix(".port")


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "origin": ["", "two words", "a+b", "line\\nbreak", "bell\\u0007", "x" * 201, 7],
        "log_http.listen": ["localhost", ":8080", 7],
        "log_http.certificate": ["nowhere.pem"],
        "log_http.key": ["."],
        "listen": ["", "localhost", "localhost:", ":7443", "localhost:65536", "localhost:seven", "[::1:7443", 7443,
                   "localhost:٧٤٤٣"],
        "database": [7, "data", "nowhere/exchange.db", "a\\u0000b"],
        "directory": ["nowhere.toml", ".", 7],
        "log_key": ["nowhere.pem", "."],
        "tls.certificate": ["nowhere.pem", "", "."],
        "tls.key": ["nowhere.pem"],
        "tls.client_ca": ["nowhere.pem"],
        "tls": [7],
        "limits": ["many"],
        "limits.statements_per_second": [0, -1, 1e-300, 1e300, "inf", "nan", "fast"],
        "limits.burst": [0, 1.5, 10**400, "many"],
        "limits.envelope_bytes": [1023, 16 * 1024 * 1024 + 1, "big"],
        "limits.queue": [999, 10**400, "long"],
        "limits.case_statements": [9, 2001, "many"],
        "limits.case_bytes": [1000, 11 * 1024 * 1024, "much"],
        "limits.streams": [0, 10_001, "many"],
        "limits.reads": [0, 10_001, "many"],
        "limits.issued_before": [-1, "yesterday", 10**9],
        "limits.issued_after": [-1, "tomorrow", 10**9],
        "audit": [7],
        "witnesses": [7],
        "witnesses.policy": ["nowhere.txt", ".", 7],
        "witnesses.timeout": [0, -1, "soon", 10**9],
        "witnesses.interval": [0, -1, "often"],
        "witnesses.refresh": [0, "daily"],
        "witnesses.overdue": [0, -1, "late"],
        "witnesses.fail_closed": ["perhaps"],
        "audit.path": [7, "a\\u0000b"],
        "grace_seconds": [-0.1, 1e300, "inf", "nan", "soon"],
    }.items(),
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_a_wrong_value_is_refused_by_the_name_of_its_key(home: Path, key: str, values: list[Any]) -> None:
    others = {name: WHOLE[name] for name in WHOLE if not name.startswith(f"{key}.")}
    for value in values:
        assert refused(written(home, {**others, key: value})).key == key, value


def test_an_exchange_does_not_fail_closed_without_a_policy_to_wait_for(home: Path) -> None:
    wrong = refused(written(home, {key: WHOLE[key] for key in WHOLE if key != "witnesses.policy"}))
    assert wrong.key == "witnesses"
    assert "needs a policy" in str(wrong)


@pytest.mark.parametrize("literal", ["inf", "nan", "-inf"])
@pytest.mark.parametrize("key", ["limits.statements_per_second", "limits.issued_before", "grace_seconds"])
def test_a_number_that_is_none_is_refused(home: Path, key: str, literal: str) -> None:
    assert refused(written(home, {**WHOLE, key: float(literal)})).key == key


@pytest.mark.parametrize("value", ["[::1]:0", "0.0.0.0:65535", "exchange.example:443", "localhost:0"])
def test_addresses_of_every_form_are_taken(home: Path, value: str) -> None:
    assert load(written(home, {**WHOLE, "listen": value})).listen == value


@pytest.mark.parametrize(
    "content",
    [b"[tls", b"\xff\xfe", b"x = " + b"9" * 5000, b"x = " + b"[" * 5000, None],
    ids=["no TOML", "no text", "a number beyond all measure", "depth beyond all measure", "no file"],
)
def test_a_file_that_cannot_be_read_is_named(home: Path, content: bytes | None) -> None:
    path = home / "exchange.toml"
    if content is not None:
        path.write_bytes(content)
    assert refused(path).key == str(path)


# The environment.


def test_the_environment_overrides_the_file_key_by_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "other.key").write_text("")
    monkeypatch.setenv("PANJI_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("PANJI_TLS__KEY", str(home / "other.key"))
    monkeypatch.setenv("PANJI_LIMITS__BURST", "8")
    monkeypatch.setenv("PANJI_AUDIT__PATH", "-")
    config = load(written(home, WHOLE))
    assert (config.listen, config.tls.key, config.limits.burst) == ("0.0.0.0:1", home / "other.key", 8)
    assert config.audit.path == "-"
    assert (config.tls.certificate, config.limits.queue) == (home / "exchange.pem", 1000)


def test_the_environment_may_give_what_the_file_leaves_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANJI_ORIGIN", "other.example/log")
    assert load(written(home, {key: WHOLE[key] for key in WHOLE if key != "origin"})).origin == "other.example/log"


def test_relative_paths_of_the_environment_are_the_files_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "other.key").write_text("")
    for variable, value in (("TLS__KEY", "other.key"), ("DATABASE", "elsewhere.db"), ("AUDIT", '{"path": "a.jsonl"}')):
        monkeypatch.setenv(f"PANJI_{variable}", value)
    monkeypatch.chdir("/")
    config = load(written(home, WHOLE))
    assert (config.tls.key, config.database) == (home / "other.key", home / "elsewhere.db")
    assert config.audit.path == str(home / "a.jsonl")


@pytest.mark.parametrize("variable", ["PANJI_LISTENS", "panji_limit__burst", "PANJI_TLS_KEY", "PANJI_"])
def test_a_variable_that_is_no_setting_is_refused_by_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    wrong = refused(written(home, WHOLE))
    assert wrong.key == variable
    assert "no setting" in str(wrong)


@pytest.mark.parametrize("variable", ["PANJI_PROFILE", "PANJI_VERIFIER_KEY", "PANJI_DEBUG", "PANJI_SHARED", "PANJIX"])
def test_what_the_command_line_reads_is_no_concern_of_the_exchange(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert load(written(home, WHOLE)).origin == WHOLE["origin"]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("PANJI_LISTEN", "here", "listen"),
        ("PANJI_LIMITS__QUEUE", "long", "limits.queue"),
        ("PANJI_TLS__KEY", "nowhere.pem", "tls.key"),
        ("PANJI_TLS__KYE", "x", "tls.kye"),
        ("PANJI_TLS", "no JSON", "environment"),
    ],
)
def test_a_wrong_value_in_the_environment_is_refused_by_the_name_of_its_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    monkeypatch.setenv(variable, value)
    wrong = refused(written(home, WHOLE))
    assert wrong.key == key
    assert re.search("tls|listen|queue", str(wrong))


def test_a_configuration_does_not_change_once_it_is_loaded(home: Path) -> None:
    config = load(written(home, WHOLE))
    with pytest.raises(ValueError, match="frozen"):
        config.listen = "elsewhere:1"
    with pytest.raises(ValueError, match="frozen"):
        config.limits.burst = 1


def test_every_key_says_what_it_is_for() -> None:
    for model in (Config, TLS, Limits, Audit, Witnesses):
        assert all(field.description for field in model.model_fields.values())
