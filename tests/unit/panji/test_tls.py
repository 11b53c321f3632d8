"""Mutual TLS: who may connect, who is calling, and certificates that change while the exchange runs."""

from __future__ import annotations

import json
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import UniformResourceIdentifier as Uri
from cryptography.x509.oid import NameOID
from support.lying_exchange import Authority, World, spiffe_id
from support.statements import MINISTRY

from panji.errors import ConfigError, Reason, RefusedError
from panji.tls import (
    CHANNEL_OPTIONS,
    Peer,
    _ServerFiles,
    channel_credentials,
    channel_options,
    peer,
    server_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from panji.profile import Profile

GOOD = {
    "ssl_tls_version": [b"TLSv1.3"],
    "peer_uri": [b"spiffe://a.example/b"],
    "peer_spiffe_id": [b"spiffe://a.example/b"],
}


# Who is calling?


def test_the_caller_is_the_one_uri_of_the_certificate() -> None:
    assert peer(GOOD) == Peer("spiffe://a.example/b", "TLSv1.3")


@pytest.mark.parametrize("version", [[b"TLSv1.2"], [], [b"TLSv1.3", b"TLSv1.2"]])
def test_less_than_tls_1_3_is_refused(version: list[bytes]) -> None:
    with pytest.raises(RefusedError) as caught:
        peer(GOOD | {"ssl_tls_version": version})
    assert caught.value.reason is Reason.TLS_VERSION


def test_a_connection_without_tls_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        peer({})
    assert caught.value.reason is Reason.TLS_VERSION


class Echo(NamedTuple):
    """A server that tells what it knows of the caller, and its files."""

    address: str
    seen: list[dict[str, Any]]
    home: Path
    authority: Authority
    reports: list[ConfigError | None]

    def call(self, profile: Profile) -> dict[str, Any]:
        """Calls once over a new connection, and gives what the server saw."""
        options = [*channel_options(profile), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        with grpc.secure_channel(self.address, channel_credentials(profile), options) as channel:
            say: Any = channel.unary_unary("/echo/Echo")
            say(b"", timeout=10)
        return self.seen[-1]

    def profile(self, names: Sequence[x509.GeneralName], *, days: float = 1) -> Profile:
        """A caller with such a certificate."""
        profile = World().profile(self.home / "caller", MINISTRY, self.address, self.authority)
        certificate, key = self.authority.issue(names, days=days)
        profile.certificate.write_bytes(certificate)
        profile.key.write_bytes(key)
        return profile


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    authority = Authority()
    seen: list[dict[str, Any]] = []
    reports: list[ConfigError | None] = []
    certificate, key = authority.issue_server()
    (tmp_path / "server.pem").write_bytes(certificate)
    (tmp_path / "server-key.pem").write_bytes(key)
    (tmp_path / "client-ca.pem").write_bytes(authority.pem)

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(dict(context.auth_context()))
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    credentials = server_credentials(
        tmp_path / "server.pem", tmp_path / "server-key.pem", tmp_path / "client-ca.pem", report=reports.append
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield Echo(f"127.0.0.1:{port}", seen, tmp_path, authority, reports)
    server.stop(None).wait()


def test_a_participants_certificate_says_who_it_is(echo: Echo) -> None:
    assert peer(echo.call(echo.profile([Uri(spiffe_id(MINISTRY))]))).spiffe_id == spiffe_id(MINISTRY)


def test_names_that_are_no_uri_do_not_disturb(echo: Echo) -> None:
    seen = echo.call(echo.profile([x509.DNSName("a.example"), Uri("spiffe://a.example/b"), x509.RFC822Name("a@b.c")]))
    assert peer(seen).spiffe_id == "spiffe://a.example/b"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([Uri("spiffe://a.example/b"), Uri("spiffe://a.example/c")], id="two SPIFFE ids"),
        pytest.param([Uri("spiffe://a.example/b"), Uri("https://a.example/")], id="a second URI of another scheme"),
        pytest.param([Uri("https://a.example/")], id="a URI that is no SPIFFE id"),
        pytest.param([x509.DNSName("spiffe://a.example/b")], id="a DNS name that reads like a SPIFFE id"),
        pytest.param([Uri("spiffe://a.example/b?c")], id="a query"),
        pytest.param([Uri("spiffe://a.example/b#c")], id="a fragment"),
        pytest.param([Uri("spiffe://a.example/../b")], id="a path that climbs"),
        pytest.param([Uri("spiffe://a.example")], id="no path"),
        pytest.param([Uri("spiffe://a.example/b\n")], id="a line break"),
        pytest.param([], id="a common name only"),
    ],
)
def test_any_other_identity_is_refused(echo: Echo, names: list[x509.GeneralName]) -> None:
    seen = echo.call(echo.profile(names))
    with pytest.raises(RefusedError) as caught:
        peer(seen)
    assert caught.value.reason is Reason.CERTIFICATE_IDENTITY


# Who may connect?


def test_a_caller_without_a_certificate_is_not_let_in(echo: Echo) -> None:
    credentials = grpc.ssl_channel_credentials(echo.authority.pem)
    with grpc.secure_channel(echo.address, credentials) as channel:
        say: Any = channel.unary_unary("/echo/Echo")
        with pytest.raises(grpc.RpcError):
            say(b"", timeout=10)
    assert not echo.seen


def test_a_certificate_of_a_foreign_authority_is_not_let_in(echo: Echo) -> None:
    profile = echo.profile([])
    certificate, key = Authority("foreign").issue([Uri(spiffe_id(MINISTRY))])
    profile.certificate.write_bytes(certificate)
    profile.key.write_bytes(key)
    with pytest.raises(grpc.RpcError):
        echo.call(profile)
    assert not echo.seen


def test_a_certificate_that_has_run_out_is_not_let_in(echo: Echo) -> None:
    with pytest.raises(grpc.RpcError):
        echo.call(echo.profile([Uri(spiffe_id(MINISTRY))], days=-1))
    assert not echo.seen


def test_a_false_exchange_is_not_spoken_to(echo: Echo) -> None:
    profile = echo.profile([Uri(spiffe_id(MINISTRY))])
    profile.ca.write_bytes(Authority("another").pem)
    with pytest.raises(grpc.RpcError):
        echo.call(profile)
    assert not echo.seen


def test_the_exchanges_certificate_must_have_the_name_that_the_profile_says(echo: Echo) -> None:
    profile = echo.profile([Uri(spiffe_id(MINISTRY))])
    echo.call(replace(profile, server_name="localhost"))
    with pytest.raises(grpc.RpcError):
        echo.call(replace(profile, server_name="other.example"))


# Certificates that change.


def test_a_renewed_authority_counts_from_the_next_connection_on(echo: Echo) -> None:
    profile = echo.profile([Uri(spiffe_id(MINISTRY))])
    echo.call(profile)
    (echo.home / "client-ca.pem").write_bytes(Authority("successor").pem)
    with pytest.raises(grpc.RpcError):
        echo.call(profile)
    assert echo.reports == [None]


def test_while_half_of_a_renewed_pair_is_there_the_old_one_stays(echo: Echo) -> None:
    profile = echo.profile([Uri(spiffe_id(MINISTRY))])
    certificate, key = echo.authority.issue_server()
    (echo.home / "server.pem").write_bytes(certificate)
    echo.call(profile)
    (problem,) = echo.reports
    assert isinstance(problem, ConfigError)
    (echo.home / "server-key.pem").write_bytes(key)
    echo.call(profile)
    assert echo.reports == [problem, None]


def test_a_file_that_is_gone_leaves_the_old_one_in_force(echo: Echo) -> None:
    (echo.home / "client-ca.pem").unlink()
    echo.call(echo.profile([Uri(spiffe_id(MINISTRY))]))
    assert [type(report) for report in echo.reports] == [ConfigError]


def test_files_are_read_again_only_when_one_has_changed(tmp_path: Path) -> None:
    """As above, without gRPC: its own thread asks, where coverage does not look."""
    authority, reports = Authority(), list[ConfigError | None]()
    certificate, key, client_ca = (tmp_path / name for name in ("server.pem", "key.pem", "ca.pem"))
    certificate.write_bytes(authority.issue_server()[0])
    client_ca.write_bytes(authority.pem)
    files = _ServerFiles(certificate, key, client_ca, reports.append)
    assert files.changed() is None
    assert reports == []
    renewed, renewed_key = authority.issue_server()
    certificate.write_bytes(renewed)
    assert files.changed() is None
    assert [type(report) for report in reports] == [ConfigError]
    key.write_bytes(renewed_key)
    assert files.changed() is not None
    assert files.changed() is None
    assert reports[1:] == [None]


# Files that are wrong at the start.


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_a_wrong_file_is_named_before_any_connection(tmp_path: Path, name: str, content: bytes | None) -> None:
    profile = World().profile(tmp_path, MINISTRY, "localhost:1", Authority())
    path: Path = getattr(profile, name)
    path.unlink()
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        channel_credentials(profile)
    assert caught.value.key == name


def a_pair(key: Any, *, begins: timedelta = -timedelta(days=1), ends: timedelta = timedelta(days=1)) -> list[bytes]:
    """A certificate that its own key has signed, and the key, PEM."""
    now, name = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, algorithm)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return [certificate.public_bytes(pem), private]


def files_of(home: Path, pair: list[bytes]) -> _ServerFiles:
    certificate, key, client_ca = (home / name for name in ("server.pem", "key.pem", "ca.pem"))
    for path, content in zip((certificate, key, client_ca), (*pair, Authority().pem), strict=True):
        path.write_bytes(content)
    return _ServerFiles(certificate, key, client_ca, lambda _: None)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_an_exchange_may_have_a_key_on_the_curves_of_tls(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    assert files_of(tmp_path, a_pair(ec.generate_private_key(curve))).read() is not None


def test_an_exchange_may_have_an_rsa_key(tmp_path: Path) -> None:
    assert files_of(tmp_path, a_pair(rsa.generate_private_key(65537, 2048))).read() is not None


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), id="P-521"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(lambda: ec.generate_private_key(ec.BrainpoolP256R1()), id="brainpoolP256r1"),
        pytest.param(lambda: rsa.generate_private_key(65537, 1024), id="RSA of 1,024 bits"),  # noqa: S505 - so it is
    ],
)
def test_a_pair_that_nobody_could_connect_to_is_named_and_not_in_force(tmp_path: Path, make: Any) -> None:
    with pytest.raises(ConfigError, match="neither ECDSA P-256 or P-384 nor RSA") as caught:
        files_of(tmp_path, a_pair(make())).read()
    assert caught.value.key == "certificate"


@pytest.mark.parametrize(
    "period",
    [
        pytest.param({"begins": -timedelta(days=9), "ends": -timedelta(seconds=1)}, id="run out"),
        pytest.param({"begins": timedelta(hours=1)}, id="not valid yet"),
    ],
)
def test_an_exchanges_certificate_outside_of_its_time_is_named(tmp_path: Path, period: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"is valid from .*, not now") as caught:
        files_of(tmp_path, a_pair(ec.generate_private_key(ec.SECP256R1()), **period)).read()
    assert caught.value.key == "certificate"


def test_a_key_that_is_not_the_certificates_is_named(tmp_path: Path) -> None:
    profile = World().profile(tmp_path, MINISTRY, "localhost:1", Authority())
    profile.key.write_bytes(Authority().issue([])[1])
    with pytest.raises(ConfigError, match="is not the key of"):
        channel_credentials(profile)


# How a channel behaves.


def test_only_what_is_safe_to_repeat_is_repeated() -> None:
    (policy,) = json.loads(str(dict(CHANNEL_OPTIONS)["grpc.service_config"]))["methodConfig"]
    assert policy["name"] == [{}]
    assert policy["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert policy["retryPolicy"]["maxAttempts"] == 5
