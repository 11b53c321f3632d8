"""The listener's own certificate, read again when it changes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from panji.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Certificate:
    """A certificate chain and its key, as a TLS 1.3 server uses them. New connections get what the files say now.

    Args:
        certificate: PEM, the chain included.
        key: PEM.
        report: Told of every change that was picked up (None) or could not be (the error).

    Raises:
        ConfigError: A file cannot be read, or the two do not belong together.
    """

    def __init__(self, certificate: Path, key: Path, report: Callable[[ConfigError | None], None]) -> None:
        self._files = (certificate, key)
        self._told = report
        self._problem = ""
        self._seen = self._fingerprint()
        self.context = self._current = self._load()
        # Called at each connection, with or without a name in its hello.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: Any) -> None:
        found = self._fingerprint()
        if found != self._seen:
            try:
                self._current = self._load()
            except ConfigError as error:
                if str(error) != self._problem:  # once, not at every connection
                    self._told(error)
                self._problem = str(error)
            else:
                self._seen, self._problem = found, ""
                self._told(None)
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            message = "and log_http.key are no PEM certificate and its key without a password"
            raise ConfigError("log_http.certificate", message) from error
        return context

    def _fingerprint(self) -> list[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in self._files]


def _no_password() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("the key has a password")


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
