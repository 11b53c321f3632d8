"""Development exchanges: keys, certificates, a directory and settings. For development and tests only.

Everything is made in one place by one program, the private keys of all sides among it, so it proves nothing about
anybody. A real exchange gets its certificates from an authority of its own, and each organisation makes its own keys.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panji.core import form
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteVerifier
from panji.core.vocabulary import Role
from panji.errors import InputError, NoteError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from panji.core.keys import PublicKey

LIFETIME = timedelta(days=397)
"""How long certificates of a development exchange hold."""

_SKEW = timedelta(minutes=5)  # clocks of two machines on one desk differ
_RESERVED = frozenset({"exchange", "ca"})  # folders of a development exchange that belong to no organisation
_LOOPBACK = "127.0.0.1"
_LISTEN = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate and its private key, both PEM. For development and tests only."""

    certificate: bytes
    key: bytes = field(repr=False)


class DevelopmentCA:
    """A certificate authority that signs whatever it is asked to, odd things included. For development and tests only.

    Keys are ECDSA P-256: gRPC's TLS does not work with Ed25519 certificates.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, now: datetime, name: str = "Panji development CA") -> Self:
        """Make a new authority, good for ten lifetimes of its certificates from ``now``."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = _key_usage(signs_certificates=True)
        builder = (
            _builder(name, key.public_key(), now - _SKEW, now + 10 * LIFETIME)
            .issuer_name(_name(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM: what both sides of a connection trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key(self) -> bytes:
        """The authority's private key, PEM."""
        return _key_pem(self._key)

    def issue(
        self,
        spiffe_ids: Iterable[str] = (),
        *,
        not_before: datetime,
        not_after: datetime,
        dns: Iterable[str] = (),
        ips: Iterable[str] = (),
        client: bool = True,
        server: bool = False,
        name: str = "Panji development",
    ) -> IssuedCertificate:
        """Make a key and sign a certificate for it.

        Nothing is checked: expired ones, two URI SANs, or none at all are what tests ask for.

        Args:
            spiffe_ids: URI SANs; the exchange wants exactly one of a client.
            not_before: First instant at which it holds.
            not_after: Last instant at which it holds.
            dns: DNS SANs.
            ips: IP address SANs.
            client: For clients (extended key usage).
            server: For servers (extended key usage).
            name: Common name; nobody reads it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        sans: list[x509.GeneralName] = [x509.UniformResourceIdentifier(one) for one in spiffe_ids]
        sans += [x509.DNSName(one) for one in dns]
        sans += [x509.IPAddress(ipaddress.ip_address(one)) for one in ips]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] * client + [ExtendedKeyUsageOID.SERVER_AUTH] * server
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(name, key.public_key(), not_before, not_after)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(issuer, critical=False)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return IssuedCertificate(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


@dataclass(frozen=True, slots=True)
class Development:
    """Where the parts of a development exchange lie. For development and tests only."""

    directory: Path
    """The folder of it all."""
    config: Path
    """The exchange's settings, ``exchange.toml``."""
    profiles: Mapping[str, Path]
    """Every organisation's client profile, the operator's among them, by the organisation's id."""
    origin: str
    """The log's origin."""
    listen: str
    """Host and port of the exchange."""
    log_key: str
    """The log's verifier key (C2SP signed-note), as profiles hold it."""
    ca: DevelopmentCA = field(repr=False)
    """The authority of both sides' certificates; its files lie in ``ca/``."""


def init(
    directory: Path,
    *,
    now: datetime,
    authorities: Sequence[str] = ("kominfo",),
    platforms: Sequence[str] = ("telegram",),
    operator: str = "operator",
    origin: str = "exchange.example/log",
    listen: str = "",
) -> Development:
    """Write a development exchange. For development and tests only.

    Every organisation's folder holds all that it needs and nothing of another's, so it can be handed over alone; so
    does ``exchange/``. The operator's has ``second.toml`` too, the profile of the other person that an erasure takes.
    Private keys are readable by their owner only.

    Args:
        directory: Where to; it must be empty or not exist.
        now: From when on keys, certificates and accreditations hold.
        authorities: Ids of the authorities. Each is accredited with every platform, for everything.
        platforms: Ids of the platforms.
        operator: Id of the operator.
        origin: The log's origin; the part before the first slash is the SPIFFE trust domain.
        listen: Host and port; a free port of this machine's loopback unless given.

    Raises:
        InputError: The directory is not empty, or an id, the origin or the address is malformed.
    """
    roles = [(one, Role.AUTHORITY) for one in authorities]
    roles += [(one, Role.PLATFORM) for one in platforms]
    roles += [(operator, Role.OPERATOR)]
    _check(roles, origin, listen)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} exists and is not empty; a development exchange overwrites nothing")
    listen = listen or f"{_LOOPBACK}:{_free_port()}"
    ca = DevelopmentCA.create(now)
    log = PrivateKeySigner.generate()
    log_key = str(NoteVerifier.for_key(origin, log.public_key))
    signers = {one: PrivateKeySigner.generate() for one, _ in roles}
    second, voice = PrivateKeySigner.generate(), PrivateKeySigner.generate()
    ids = {one: f"spiffe://{_domain(origin)}/{one}/gateway" for one, _ in roles}
    keys = [[signers[one].public_key] for one, _ in roles]
    keys[-1].append(second.public_key)  # the operator is the last
    text = _directory_toml(roles, ids, keys, voice.public_key, now - _SKEW)
    parse_directory(text)  # what both ends will read; it also checks every id, before anything is written

    _write_public(directory / "ca" / "ca.pem", ca.certificate)
    _write_private(directory / "ca" / "ca.key", ca.key)
    config = _write_exchange(directory / "exchange", ca, log, voice, text, origin=origin, listen=listen, now=now)
    _write_private(directory / operator / "keys" / "second.pem", second.to_pem().encode())
    _write_public(directory / operator / "second.toml", _profile_toml(operator, listen, log_key, "second").encode())
    profiles = {}
    for one, signer in signers.items():
        folder = directory / one
        certificate = ca.issue([ids[one]], not_before=now - _SKEW, not_after=now + LIFETIME, name=one)
        _write_public(folder / "tls" / "ca.pem", ca.certificate)
        _write_public(folder / "tls" / "client.pem", certificate.certificate)
        _write_private(folder / "tls" / "client.key", certificate.key)
        _write_private(folder / "keys" / "statements.pem", signer.to_pem().encode())
        _write_public(folder / "directory.toml", text.encode())
        _write_public(folder / "profile.toml", _profile_toml(one, listen, log_key).encode())
        profiles[one] = folder / "profile.toml"
    return Development(directory, config, profiles, origin, listen, log_key, ca)


def _check(roles: list[tuple[str, Role]], origin: str, listen: str) -> None:
    violations = [Violation(one, "is the name of a folder of the exchange") for one, _ in roles if one in _RESERVED]
    if wrong := form.line(200)(origin):  # as in statements, which name it
        raise InputError("The development exchange cannot be made", [*violations, Violation("origin", wrong)])
    try:
        NoteVerifier.for_key(origin, PrivateKeySigner.generate().public_key)
    except NoteError as error:
        violations.append(Violation("origin", str(error)))
    if listen and not (_LISTEN.fullmatch(listen) and 0 < int(listen.rpartition(":")[2]) <= _MAX_PORT):
        violations.append(Violation("listen", "is not host:port"))
    if violations:
        raise InputError("The development exchange cannot be made", violations)


def _domain(origin: str) -> str:
    return origin.partition("/")[0].lower()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _write_exchange(
    folder: Path,
    ca: DevelopmentCA,
    log: PrivateKeySigner,
    voice: PrivateKeySigner,
    text: str,
    *,
    origin: str,
    listen: str,
    now: datetime,
) -> Path:
    certificate = ca.issue(
        [f"spiffe://{_domain(origin)}/exchange"],
        not_before=now - _SKEW,
        not_after=now + LIFETIME,
        dns=["localhost"],
        ips=[_LOOPBACK, "::1"],
        client=False,
        server=True,
        name="exchange",
    )
    _write_public(folder / "tls" / "ca.pem", ca.certificate)
    _write_public(folder / "tls" / "exchange.pem", certificate.certificate)
    _write_private(folder / "tls" / "exchange.key", certificate.key)
    _write_private(folder / "keys" / "log.pem", log.to_pem().encode())
    _write_private(folder / "keys" / "statements.pem", voice.to_pem().encode())
    _write_public(folder / "directory.toml", text.encode())
    config = folder / "exchange.toml"
    _write_public(config, _exchange_toml(origin, listen).encode())
    return config


# Texts of files.

_HEAD = "# Made by `panji init`, for development and tests only. Paths are relative to this file.\n"


def _directory_toml(
    roles: list[tuple[str, Role]],
    ids: Mapping[str, str],
    keys: Sequence[Sequence[PublicKey]],
    voice: PublicKey,
    valid_from: datetime,
) -> str:
    instant = valid_from.replace(microsecond=0).isoformat()
    lines = [_HEAD.partition(" Paths")[0]]
    for (one, role), its in zip(roles, keys, strict=True):
        lines += [
            "",
            "[[organisation]]",
            f"id = {_quoted(one)}",
            f"name = {_quoted(one)}",
            f"role = {_quoted(role)}",
            f"participants = [{_quoted(ids[one])}]",
        ]
        lines += [line for key in its for line in _key_toml(key, instant)]
        if role is Role.OPERATOR:
            lines += [*_key_toml(voice, instant), "automatic = true  # the exchange's own"]
    pairs = [(a, p) for a, is_ in roles if is_ is Role.AUTHORITY for p, of in roles if of is Role.PLATFORM]
    for authority, platform in pairs:
        lines += [
            "",
            "# Every category, kind of target and instrument.",
            "[[accreditation]]",
            f"authority = {_quoted(authority)}",
            f"platform = {_quoted(platform)}",
            f"valid_from = {instant}",
        ]
    return "\n".join(lines) + "\n"


def _key_toml(key: PublicKey, instant: str) -> list[str]:
    spki = base64.b64encode(key.spki).decode()
    return ["", "[[organisation.key]]", f"spki = {_quoted(spki)}", f"valid_from = {instant}"]


def _profile_toml(organisation: str, address: str, log_key: str, person: str = "") -> str:
    """A profile; of another person, one with a key and a state of their own."""
    return f"""{_HEAD}organisation = {_quoted(organisation)}
address = {_quoted(address)}
server_name = "localhost"
log_key = {_quoted(log_key)}
directory = "directory.toml"
ca = "tls/ca.pem"
certificate = "tls/client.pem"
key = "tls/client.key"
signing_keys = ["keys/{person or "statements"}.pem"]
state = "{person or "state"}.db"
"""


def _exchange_toml(origin: str, listen: str) -> str:
    return f"""{_HEAD}origin = {_quoted(origin)}
listen = {_quoted(listen)}
database = "exchange.db"
directory = "directory.toml"
log_key = "keys/log.pem"
statement_key = "keys/statements.pem"

[tls]
certificate = "tls/exchange.pem"
key = "tls/exchange.key"
client_ca = "tls/ca.pem"

[audit]
path = "audit.jsonl"  # "-" is standard output
"""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML basic string, unless it escapes surrogates


def _write_public(path: Path, content: bytes) -> None:
    _write(path, content, 0o644)


def _write_private(path: Path, content: bytes) -> None:
    _write(path, content, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode is given at creation: a private key is never readable by others, not even for an instant.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


# Parts of certificates.


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
