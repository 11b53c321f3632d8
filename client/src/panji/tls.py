"""Mutual TLS at both ends: credentials, the caller's identity, and how a channel behaves.

TLS 1.3 only, client certificates required. grpcio has no setting for the least version, so :func:`peer` checks what was
negotiated, for every call. TLS keys are ECDSA P-256: BoringSSL offers no Ed25519 for certificates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from panji import __version__
from panji.core.directory import SPIFFE_ID
from panji.errors import ConfigError, Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Largest request and largest response."""
_LEAST_RSA = 2048

_RETRY = {
    "methodConfig": [
        {
            # Every method: submissions are idempotent by statement id, the others only read.
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # RESOURCE_EXHAUSTED is not here: it says in RetryInfo when to come back, and the client waits so long.
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.primary_user_agent", f"panji/{__version__}"),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_RETRY)),
    # A request larger than this buffer is not retried; the default is 256 KiB, less than most batches.
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    # A connection that died silently is noticed within 40 s, even on a quiet feed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # After an exchange's restart: back within moments, but never a storm. The defaults are 1 s and 2 min.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
"""How every channel of a participant behaves. An exchange must allow pings every 30 s."""


class Identity(Protocol):
    """What a channel needs of a profile."""

    @property
    def ca(self) -> Path:
        """PEM certificates of the authorities that may vouch for the exchange."""

    @property
    def certificate(self) -> Path:
        """Our certificate, PEM."""

    @property
    def key(self) -> Path:
        """Its key, PEM."""

    @property
    def server_name(self) -> str:
        """The name in the exchange's certificate, where it is not the host that is called."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is calling, as the certificate says."""

    spiffe_id: str
    """The one URI SAN of the client's certificate."""
    tls_version: str
    """As in ``TLSv1.3``."""


def channel_credentials(profile: Identity) -> grpc.ChannelCredentials:
    """Returns a participant's side of mutual TLS.

    Raises:
        ConfigError: A file cannot be read, or the certificate and the key do not belong together.
    """
    certificate, key = _pair(profile.certificate, profile.key)
    return grpc.ssl_channel_credentials(_certificates("ca", profile.ca), key, certificate)


def channel_options(profile: Identity) -> list[tuple[str, str | int]]:
    """Returns the options of a participant's channel."""
    options = list(CHANNEL_OPTIONS)
    if profile.server_name:
        options.append(("grpc.ssl_target_name_override", profile.server_name))
    return options


def server_credentials(
    certificate: Path,
    key: Path,
    client_ca: Path,
    *,
    report: Callable[[ConfigError | None], None] = lambda _: None,
) -> grpc.ServerCredentials:
    """Returns an exchange's side of mutual TLS, with client certificates required.

    Changed files are picked up at the next new connection. While they do not fit together (one replaced, the other not
    yet) the previous ones stay.

    Args:
        certificate: The exchange's certificate chain, PEM.
        key: Its key, PEM.
        client_ca: Certificates of the authorities that may vouch for participants, PEM.
        report: Told of every change that was picked up (None) or could not be (the error).

    Raises:
        ConfigError: A file cannot be read, the certificate and the key do not belong together, or nobody could connect:
            a key that TLS 1.3 takes from no server here, or a certificate outside of its time.
    """
    files = _ServerFiles(certificate, key, client_ca, report)
    # None means "as before"; types-grpcio does not know.
    fetcher: Any = files.changed
    return grpc.dynamic_ssl_server_credentials(files.read(), fetcher, require_client_authentication=True)


def peer(auth_context: Mapping[str, Iterable[bytes]]) -> Peer:
    """Returns who is calling, from a call's ``auth_context()``.

    Raises:
        RefusedError: TLS_VERSION, or CERTIFICATE_IDENTITY.
    """
    # 1 The version that was negotiated. Stops a downgrade, which grpcio would allow.
    versions = list(auth_context.get("ssl_tls_version", ()))
    if versions != [b"TLSv1.3"]:
        raise RefusedError(Reason.TLS_VERSION, "the connection is not TLS 1.3")
    # 2 Exactly one URI SAN, of whatever scheme. Stops a certificate that could pass for two participants. gRPC puts
    #   every URI SAN into peer_uri and sets peer_spiffe_id only where the single one is a SPIFFE id; a DNS SAN that
    #   merely reads like one is in neither.
    uris = list(auth_context.get("peer_uri", ()))
    if len(uris) != 1 or list(auth_context.get("peer_spiffe_id", ())) != uris:
        raise RefusedError(Reason.CERTIFICATE_IDENTITY, "the certificate has not exactly one URI SAN, a SPIFFE id")
    # 3 Spelt as the directory spells it. Stops queries, fragments and control characters, which gRPC lets through.
    spiffe_id = uris[0].decode("ascii", "replace")
    if not SPIFFE_ID.fullmatch(spiffe_id):
        raise RefusedError(Reason.CERTIFICATE_IDENTITY, "the URI SAN is no plain SPIFFE id (spiffe://domain/path)")
    return Peer(spiffe_id, "TLSv1.3")


class _ServerFiles:
    """An exchange's TLS files, read again when one has changed. gRPC asks at every new connection."""

    def __init__(
        self, certificate: Path, key: Path, client_ca: Path, report: Callable[[ConfigError | None], None]
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._report = report
        self._seen = self._fingerprint()

    def read(self) -> grpc.ServerCertificateConfiguration:
        chain, private = _pair(self._certificate, self._key)
        _check_servable(self._certificate, x509.load_pem_x509_certificates(chain)[0])
        authorities = _certificates("client_ca", self._client_ca)
        return grpc.ssl_server_certificate_configuration([(private, chain)], authorities)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns what the files say now, or None: as before."""
        found = self._fingerprint()
        if found == self._seen:
            return None
        try:
            configuration = self.read()
        except ConfigError as error:
            self._report(error)
            return None
        self._seen = found
        self._report(None)
        return configuration

    def _fingerprint(self) -> list[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in (self._certificate, self._key, self._client_ca)]


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(key, f"{path} cannot be read: {error.strerror}") from error


def _certificates(key: str, path: Path) -> bytes:
    pem = _read(key, path)
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(key, f"{path} holds no PEM certificate") from error
    return pem


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Reads a certificate and its key, and sees that they are: gRPC would only say that a handshake failed."""
    chain, private = _certificates("certificate", certificate), _read("key", key)
    try:
        public = serialization.load_pem_private_key(private, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause is chained: a parser's message may quote what it failed on, and that is a secret.
        raise ConfigError("key", f"{key} holds no PEM private key without a password") from None
    if public != x509.load_pem_x509_certificates(chain)[0].public_key():
        raise ConfigError("key", f"{key} is not the key of {certificate}")
    return chain, private


def _check_servable(path: Path, certificate: x509.Certificate) -> None:
    """Sees that somebody can connect to whoever shows this: gRPC would take it, and every handshake fail."""
    key = certificate.public_key()
    curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1))
    if not curve and not (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA):
        raise ConfigError("certificate", f"{path} has a key that is neither ECDSA P-256 or P-384 nor RSA of 2048 bits")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise ConfigError("certificate", f"{path} is valid from {begins.isoformat()} to {ends.isoformat()}, not now")


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does, without reading it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
