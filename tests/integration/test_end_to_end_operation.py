"""What whoever runs an exchange relies on: a wrong setting is named, a change is picked up, load does not matter."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import ssl
import subprocess
import sysconfig
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from support.exchange import (
    METHODS,
    PATIENCE,
    changed,
    directory_toml,
    methods,
    proven,
    raw_options,
    refused,
    running_exchange,
    without,
)
from support.statements import a_flag

from panji.core.directory import KeyRecord, Threshold
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.development import DevelopmentCA
from panji.errors import Reason
from panji.tls import channel_credentials
from panji_server import __version__
from panji_server.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.exchange import Running, World

SERVICES = {
    "FlagService", "ResponseService", "CaseService", "FeedService", "LogService", "DirectoryService",
    "AdministrationService",
}  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An exchange whose files these tests change, and put back."""
    with running_exchange(tmp_path_factory.mktemp("own") / "made", authorities=("kominfo", "bssn")) as running:
        yield running


# Configuration.


def refuses_to_start(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    """Has it looked at in this process; returns what is said to be wrong."""
    assert main(["--config", str(world.made.config), "--check"]) == 78
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("panji-server: configuration: ")
    assert said.err.count("\n") == 1, said.err
    return said.err.removeprefix("panji-server: configuration: ")


def rewrite(world: World, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the configuration's values."""
    document = tomllib.loads(world.made.config.read_text())
    change(document)
    lines = [f"{key} = {toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for name, table in document.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    world.made.config.write_text("\n".join(lines))


def toml(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, float) else repr(value)


def put(document: dict[str, Any], key: str, value: Any) -> None:
    *tables, name = key.split(".")
    for table in tables:
        document = document.setdefault(table, {})
    document[name] = value


def drop(document: dict[str, Any], key: str) -> None:
    *tables, name = key.split(".")
    for table in tables:
        document = document[table]
    del document[name]


REQUIRED = [
    "origin",
    "listen",
    "database",
    "directory",
    "log_key",
    "tls",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
]


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_key_is_named(small_world: World, capsys: pytest.CaptureFixture[str], key: str) -> None:
    rewrite(small_world, lambda it: drop(it, key))
    assert refuses_to_start(small_world, capsys).startswith(f"{key}: ")


@pytest.mark.parametrize("key", ["extra", "tls.extra", "limits.extra", "audit.extra", "Origin"])
def test_unknown_key_is_named(small_world: World, capsys: pytest.CaptureFixture[str], key: str) -> None:
    rewrite(small_world, lambda it: put(it, key, "rahasia"))
    said = refuses_to_start(small_world, capsys)
    assert said.startswith(f"{key}: ")
    assert "rahasia" not in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("origin", ""),
        ("origin", "exchange example"),
        ("origin", "exchange+example"),
        ("origin", "x" * 201),
        ("origin", "exchange\0example"),
        ("origin", 5),
        ("listen", ""),
        ("listen", "localhost"),
        ("listen", "localhost:"),
        ("listen", "localhost:65536"),
        ("listen", "localhost:0x1"),
        ("listen", ":443"),
        ("database", 5),
        ("directory", "missing.toml"),
        ("directory", "."),
        ("log_key", "missing.pem"),
        ("tls", 5),
        ("tls.certificate", "missing.pem"),
        ("tls.key", "missing.pem"),
        ("tls.client_ca", "missing.pem"),
        ("limits.statements_per_second", 0),
        ("limits.statements_per_second", -1.5),
        ("limits.statements_per_second", float("nan")),
        ("limits.burst", 0),
        ("limits.burst", 1.5),
        ("limits.envelope_bytes", 1023),
        ("limits.envelope_bytes", 16 * 1024 * 1024 + 1),
        ("limits.queue", 999),
        ("limits.issued_before", -1),
        ("limits.issued_before", "rahasia"),
        ("limits.issued_after", -1),
        ("limits.issued_after", 1e300),
        ("audit.path", "no/such/folder/audit.jsonl"),
        ("audit.path", "."),
        ("grace_seconds", -1),
        ("grace_seconds", float("inf")),
    ],
)
def test_wrong_value_is_named(small_world: World, capsys: pytest.CaptureFixture[str], key: str, value: object) -> None:
    rewrite(small_world, lambda it: put(it, key, value))
    assert refuses_to_start(small_world, capsys).startswith(f"{key}: ")


@pytest.mark.parametrize(
    "broken",
    [
        ("log_key", "keys/log.pem", b"rahasia"),
        ("log_key", "keys/log.pem", b"\xff\xfe"),
        ("log_key", "keys/log.pem", PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256).to_pem().encode()),
        ("tls.certificate", "tls/exchange.pem", b"rahasia"),
        ("tls.certificate", "tls/exchange.pem", b""),
        ("tls.key", "tls/exchange.key", b"rahasia"),
        ("tls.key", "tls/exchange.key", PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256).to_pem().encode()),
        ("tls.client_ca", "tls/ca.pem", b"rahasia"),
        ("directory", "directory.toml", b""),
        ("directory", "directory.toml", b"rahasia"),
        ("directory", "directory.toml", b"\xff"),
        ("directory", "directory.toml", b"organisation = 5"),
        ("directory", "directory.toml", b"[[organisation]]\nid = 'x'\n"),
        ("directory", "directory.toml", b"x = " + b"[" * 10_000),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
def test_file_that_cannot_be_used_is_named_by_its_key(
    small_world: World, capsys: pytest.CaptureFixture[str], broken: tuple[str, str, bytes], check: bool
) -> None:
    key, file, content = broken
    (small_world.made.config.parent / file).write_bytes(content)
    assert main(["--config", str(small_world.made.config), *(["--check"] if check else [])]) == 78
    said = capsys.readouterr().err
    assert said.startswith(f"panji-server: configuration: {key}: "), said
    assert b"PRIVATE KEY" not in content or content.decode() not in said


@pytest.mark.parametrize("content", [b"rahasia", b"\xff", b"x = " + b"[" * 10_000], ids=["no TOML", "no UTF-8", "deep"])
def test_configuration_that_is_none(small_world: World, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    small_world.made.config.write_bytes(content)
    assert refuses_to_start(small_world, capsys).startswith(f"{small_world.made.config}: ")


def test_configuration_that_is_not_there(small_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    small_world.made.config.unlink()
    assert refuses_to_start(small_world, capsys).startswith(f"{small_world.made.config}: ")


@pytest.mark.parametrize(
    "setting",
    [
        ("PANJI_LISTEN", "rahasia", "listen"),
        ("PANJI_TLS__KEY", "/no/such/key.pem", "tls.key"),
        ("PANJI_LIMITS__BURST", "many", "limits.burst"),
        ("PANJI_LIMITS__ISSUED_AFTER", "soon", "limits.issued_after"),
    ],
)
def test_wrong_environment_variable_is_named_by_its_key(
    small_world: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    setting: tuple[str, str, str],
) -> None:
    variable, value, key = setting
    monkeypatch.setenv(variable, value)
    assert refuses_to_start(small_world, capsys).startswith(f"{key}: ")


def test_environment_wins_over_the_file(
    small_world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(small_world, lambda it: put(it, "listen", "rahasia"))
    monkeypatch.setenv("PANJI_LISTEN", "127.0.0.1:0")
    assert main(["--config", str(small_world.made.config), "--check"]) == 0


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--unknown"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: panji-server" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{__version__}\n")


def test_check_looks_and_touches_nothing_that_runs(own: Running, capsys: pytest.CaptureFixture[str]) -> None:
    size = own["operator"].head().size
    assert main(["--config", str(own.world.made.config), "--check"]) == 0
    said = capsys.readouterr()
    made = own.world.made
    entries = f"{size} {'entry' if size == 1 else 'entries'}"
    assert said.out == f"panji-server: sound: {made.origin}, {entries}, verifier key {made.log_key}\n"
    assert said.err == ""
    own["kominfo"].says(a_flag(), "telegram")


def test_serve_says_in_one_line_what_it_serves_where_and_for_whom(small_world: World) -> None:
    made = small_world.made
    panji = str(Path(sysconfig.get_path("scripts"), "panji"))
    for entries in ("1 entry", "1 entry"):  # the directory goes on record at the first start, and only there
        with subprocess.Popen([panji, "serve", "--config", str(made.config)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = process.stdout.readline().decode()
            process.terminate()
            assert (process.wait(PATIENCE), process.stdout.read()) == (0, b"")
        profiles = f"{made.directory}/*/profile.toml"
        assert said == f"panji-server: {made.origin}, {entries}, at {made.listen}, profiles {profiles}\n"


def test_start_is_told_with_what_it_starts_from(own: Running) -> None:
    event = own.wait_for("exchange.started")
    assert (event["version"], event["origin"]) == (__version__, own.world.made.origin)
    assert (event["listen"], event["log_key"]) == (own.world.made.listen, own.world.made.log_key)
    # Of the log that it serves: the directory is on record by then, and its leaf is the root.
    root = base64.b64encode(own["operator"].call("GetInclusionProof", index=0, size=1).leaf_hash).decode()
    assert (event["size"], event["checked"], event["root"], event["organisations"]) == (1, 0, root, 4)


# The directory.


def test_new_participant_may_speak_as_soon_as_the_directory_says_so(own: Running) -> None:
    directory = own.world.directory
    own.use(changed(directory, "bssn", participants=()))
    assert refused(own["bssn"], "GetCheckpoint").reason is Reason.PARTICIPANT_UNKNOWN
    event = own.use(directory)
    assert event["organisations"] == len(directory.organisations)
    own["bssn"].says(a_flag(), "telegram")


def test_directory_that_takes_back_what_proofs_rest_on_is_rejected_and_nobody_starts_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack: what an organisation has said becomes unprovable, and it denies it."""
    with running_exchange(tmp_path / "made", authorities=("kominfo", "bssn")) as exchange:
        world = exchange.world
        directory = world.directory
        (record,) = directory.organisations["bssn"].keys
        long_since = replace(record, valid_from=record.valid_from - timedelta(days=9))
        second = KeyRecord(PrivateKeySigner.generate().public_key, record.valid_from)
        exchange.use(changed(directory, "bssn", keys=(long_since, second)))
        yesterday = replace(long_since, valid_until=datetime.now(UTC) - timedelta(days=1))
        for worse, what in (
            (without(directory, "bssn"), "organisation bssn: may not go"),
            (changed(directory, "bssn", keys=(long_since,)), "may not go: end it"),
            (changed(directory, "bssn", keys=(yesterday, second)), "valid_until: may not lie in the past"),
            (changed(directory, "bssn", keys=(long_since, second), threshold=2), "threshold: may rise from a time"),
        ):
            assert what in exchange.use(directory_toml(worse))["error"]
            exchange["bssn"].says(a_flag(), "telegram")
        exchange.kill()
        assert main(["--config", str(world.made.config), "--check"]) == 78
        assert "configuration: directory: takes back" in capsys.readouterr().err
        later = (Threshold(2, datetime.now(UTC) + timedelta(days=1)),)
        ends = changed(directory, "bssn", keys=(long_since, second), thresholds=later, suspended=True)
        world.write_directory(directory_toml(ends))
        assert main(["--config", str(world.made.config), "--check"]) == 0


def test_grant_that_is_taken_back_is_gone_for_calls_to_come(own: Running) -> None:
    directory = own.world.directory
    own.use(replace(directory, accreditations=()))
    letter = own.world.voices["kominfo"].says(a_flag(), "telegram")
    assert refused(own["kominfo"], "SubmitFlag", envelope=letter.envelope).reason is Reason.NOT_ACCREDITED
    own.use(directory)
    own["kominfo"].submit(letter)


@pytest.mark.parametrize(
    "text",
    ["rahasia", "", "[[organisation]]\nid = 'x'\n", "organisation = 5", "x = " + "[" * 10_000],
    ids=["no TOML", "empty", "incomplete", "no table", "too deep"],
)
def test_broken_directory_keeps_the_last_good_one_and_is_told(own: Running, text: str) -> None:
    directory = own.world.directory
    event = own.use(text)
    assert event["level"] == "error"
    assert event["error"]
    own["kominfo"].says(a_flag(), "telegram")
    own.use(changed(directory, "bssn", name="put back, and changed"))
    own.use(directory)


def test_directory_that_is_gone_keeps_the_last_good_one_and_is_told(own: Running) -> None:
    path = own.world.made.config.parent / "directory.toml"
    directory, since = own.world.directory, own.mark()
    path.unlink()
    own.wait_for("directory.rejected", since=since)
    own["kominfo"].says(a_flag(), "telegram")
    own.use(directory)
    assert path.read_text() == directory_toml(directory)


# Certificates.


def served_certificate(own: Running) -> x509.Certificate:
    """The certificate that a new connection sees."""
    profile = own.world.voices["kominfo"].profile
    context = ssl.create_default_context(cafile=str(profile.ca))
    context.load_cert_chain(profile.certificate, profile.key)
    host, port = profile.address.split(":")
    with (
        socket.create_connection((host, int(port)), 60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        der = secure.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)


def test_replaced_server_certificate_is_seen_by_new_connections(own: Running) -> None:
    tls, now = own.world.made.config.parent / "tls", datetime.now(UTC)
    before = served_certificate(own)
    issued = own.world.made.ca.issue(
        ["spiffe://exchange.example/exchange"],
        not_before=now - timedelta(minutes=1),
        not_after=now + timedelta(days=1),
        dns=["localhost"],
        client=False,
        server=True,
    )
    fresh = x509.load_pem_x509_certificate(issued.certificate)
    since = own.mark()
    swap(tls / "exchange.key", issued.key)
    # Halfway: the new key does not fit the old certificate. The old pair stays, and it is told once.
    assert served_certificate(own) == served_certificate(own) == before
    event = own.wait_for("certificate.rejected", since=since)
    assert "is not the key of" in event["error"]
    swap(tls / "exchange.pem", issued.certificate)
    assert served_certificate(own) == fresh
    own.wait_for("certificate.changed", since=since)
    assert len([one for one in own.audit() if one["event"] == "certificate.rejected"]) == 1
    own["kominfo"].says(a_flag(), "telegram")  # on the connection that was there before
    own.hang_up()
    own["kominfo"].says(a_flag(), "telegram")


def test_client_authority_that_is_no_longer_trusted_lets_nobody_in_again(tmp_path: Path) -> None:
    with running_exchange(tmp_path / "made") as own:
        own["kominfo"].says(a_flag(), "telegram")
        swap(own.world.made.config.parent / "tls/ca.pem", DevelopmentCA.create(datetime.now(UTC)).certificate)
        late = own.world.voices["kominfo"].connect()
        with pytest.raises(grpc.RpcError) as error:
            late.head()
        assert getattr(error.value, "code")() is grpc.StatusCode.UNAVAILABLE  # noqa: B009 - grpc's RpcError is untyped
        late.close()


def swap(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


# Beside the services: health and reflection.


def test_health_of_every_service(own: Running) -> None:
    stub = health_pb2_grpc.HealthStub(own["kominfo"].channel)
    for service in ("", *(f"panji.v1.{one}" for one in SERVICES)):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(service="panji.v1.Nothing"))
    assert getattr(error.value, "code")() is grpc.StatusCode.NOT_FOUND  # noqa: B009 - grpc's RpcError is untyped


def test_reflection_tells_the_whole_contract(own: Running) -> None:
    database = ProtoReflectionDescriptorDatabase(own["kominfo"].channel)
    services = set(database.get_services())
    assert {f"panji.v1.{one}" for one in SERVICES} | {"grpc.health.v1.Health"} <= services
    pool = DescriptorPool(database)
    found = {
        method.name: method.input_type.full_name
        for service in SERVICES
        for method in pool.FindServiceByName(f"panji.v1.{service}").methods
    }
    assert found == {name: request.DESCRIPTOR.full_name for name, request in METHODS.items()}


# Load.


async def test_five_hundred_submissions_at_once_get_distinct_indexes_without_gaps(own: Running) -> None:
    voice, size = own.world.voices["kominfo"], own["operator"].head().size
    letters = [voice.says(a_flag(), "telegram") for _ in range(500)]
    profile = voice.profile
    async with grpc.aio.secure_channel(profile.address, channel_credentials(profile), raw_options(profile)) as channel:
        submit = methods(channel)["SubmitFlag"]
        await channel.channel_ready()  # and knows how many calls a connection takes at once; the others wait for these
        answers = await asyncio.gather(*(submit(METHODS["SubmitFlag"](envelope=one.envelope)) for one in letters))
    receipts = [proven(one.receipt, letter, own.world.log) for one, letter in zip(answers, letters, strict=True)]
    assert sorted(one.index for one in receipts) == list(range(size, size + 500))
    sequences = sorted(one.sequence for one in receipts)
    assert sequences == list(range(sequences[0], sequences[0] + 500))
    assert own["operator"].head().size == size + 500
    # Group commit: those that wait together share one checkpoint.
    assert len({one.checkpoint for one in receipts}) < 500


def test_trees_of_a_copied_exchange_do_not_depend_on_where_it_lies(own: Running, tmp_path: Path) -> None:
    """All paths of a configuration are relative to it, so an exchange may be moved."""
    copy = tmp_path / "moved"
    shutil.copytree(own.world.made.config.parent, copy, ignore=shutil.ignore_patterns("*.db*"))
    assert main(["--config", str(copy / own.world.made.config.name), "--check"]) == 0
