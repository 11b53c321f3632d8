"""Logs over HTTP and HTTPS (C2SP tlog-tiles)."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import zlib
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from panji import __version__
from panji.errors import AuditError, ConfigError, InputError, TransportError
from panji.logs.files import FileReader

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from urllib3.connectionpool import HTTPConnectionPool

TIMEOUT = timedelta(seconds=30)
"""How long one request may take, from connecting to the last byte of the answer."""
ATTEMPTS = 5
"""How often a request is made before it counts as unanswered."""
CONNECTIONS = 8
"""Connections that are kept open."""

_OK = 200
_NOT_FOUND = frozenset({404, 410})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_BACKOFF = 0.2  # seconds after the first attempt, then twice as long each time
_CHUNK = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_HEADERS = {"Accept-Encoding": "gzip, identity", "User-Agent": f"panji/{__version__}"}


class _AgainError(TransportError):
    """Trying again may help."""


class _Bound:
    """Ends a request at its deadline. A server that never falls silent would outlive every limit on silence.

    A thread of its own shuts the socket down, so whatever reads from it (an interim answer, a header, the length of a
    chunk, a trailer) finds the end of the stream. What was read of the answer until then counts for nothing.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._over = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._seconds
        self._token = _BOUND.set(self)
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        _BOUND.reset(self._token)
        late = self._over or time.monotonic() >= self._deadline
        if late and (error is None or isinstance(error, Exception)):
            raise _AgainError(f"{self._url}: the answer did not end within {self._seconds:g} s") from error

    def watch(self, connection: socket.socket) -> None:
        """The answer comes from here, and any earlier one of this connection's has come."""
        with _LOCK:
            self._socket = connection
            _WATCHED[connection] = self
            if self._over:
                _shut(connection)

    def _end(self) -> None:
        with _LOCK:
            self._over = True
            # Once its answer was read, a connection may be another request's already.
            if self._socket is not None and _WATCHED.get(self._socket) is self:
                _shut(self._socket)


_LOCK = threading.Lock()
_WATCHED: WeakKeyDictionary[socket.socket, _Bound] = WeakKeyDictionary()
_BOUND: ContextVar[_Bound] = ContextVar("_BOUND")


class _Connection(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as in urllib3
        _BOUND.get().watch(self.sock)
        return super().getresponse()


class _TLSConnection(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as in urllib3
        _BOUND.get().watch(self.sock)
        return super().getresponse()


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TLSPool}


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # closed already
        # Not the method of an SSLSocket, which takes its session away from whoever is reading.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class WebReader(FileReader):
    """Reads a log from a URL prefix. Redirects are not followed: who is asked is what the auditor chose.

    Args:
        url: The log's prefix; ``http`` or ``https``.
        ca: PEM certificates of the authorities that may vouch for an ``https`` server; the system's unless given.
        timeout: For one answer.
        attempts: For one request.

    Raises:
        InputError: The URL is none of HTTP.
        ConfigError: The certificates cannot be read.
    """

    def __init__(
        self, url: str, *, ca: Path | None = None, timeout: timedelta = TIMEOUT, attempts: int = ATTEMPTS
    ) -> None:
        try:
            parsed = urllib3.util.parse_url(url)
        except HTTPError as error:
            raise InputError("the log's URL is none") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
            raise InputError("the log's URL is http:// or https://, a host and perhaps a path")
        self._prefix = url.rstrip("/")
        self._seconds = timeout.total_seconds()
        self._attempts = attempts
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            headers=_HEADERS,
            retries=False,  # done here: a body that breaks off is worth another attempt, too
            timeout=urllib3.Timeout(self._seconds),
            ssl_context=_tls(ca),
        )
        self._pool.pool_classes_by_scheme = _POOLS

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _get(self, path: str, limit: int) -> bytes | None:
        for attempt in range(1, self._attempts):
            try:
                return self._once(path, limit)
            except _AgainError:
                time.sleep(_BACKOFF * 2 ** (attempt - 1))
        return self._once(path, limit)

    def _once(self, path: str, limit: int) -> bytes | None:
        url = f"{self._prefix}/{path}"
        try:
            with _Bound(url, self._seconds):
                return self._answer(url, path, limit)
        except HTTPError as error:
            raise _AgainError(f"{url}: {error}") from error

    def _answer(self, url: str, path: str, limit: int) -> bytes | None:
        response = self._pool.request("GET", url, preload_content=False, redirect=False)
        try:
            if response.status in _NOT_FOUND:
                return None
            if response.status != _OK:
                kind = _AgainError if response.status in _LATER else TransportError
                raise kind(f"{url}: the answer is {response.status}, and no file of a log")
            raw = _body(response, path, limit)
            return _decoded(raw, response.headers.get("Content-Encoding", ""), path, limit)
        finally:
            response.close()  # what was read to its end has given its connection back already


def _body(response: urllib3.BaseHTTPResponse, path: str, limit: int) -> bytes:
    """Reads what comes over the wire. Compressed it may be a little longer than it is worth, and no more."""
    body = bytearray()
    while chunk := response.read1(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > limit + _CHUNK:
            raise AuditError(path, f"has more than {limit} bytes")
    return bytes(body)


def _decoded(raw: bytes, encoding: str, path: str, limit: int) -> bytes:
    if encoding.lower() == "gzip":
        unpacking = zlib.decompressobj(_GZIP)
        try:
            data = unpacking.decompress(raw, limit + 1)
        except zlib.error as error:
            raise TransportError(f"{path}: what came is no gzip") from error
        if len(data) <= limit and not unpacking.eof:
            raise _AgainError(f"{path}: what came is cut off")
    elif encoding.lower() in {"", "identity"}:
        data = raw
    else:
        raise TransportError(f"{path}: what came is encoded as {encoding}, which was not asked for")
    if len(data) > limit:
        raise AuditError(path, f"has more than {limit} bytes")
    return data


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # no file; or no certificate, which ssl.SSLError says
        raise ConfigError("ca", f"{ca} holds no PEM certificate that can be read") from error
