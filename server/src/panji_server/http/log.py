"""The log over HTTP or HTTPS, read-only, for anyone: checkpoint, tiles and entry bundles (C2SP tlog-tiles).

There is no other path, no parameter and no state. Nothing of a statement but its log entry is to be had here.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from contextlib import suppress
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from panji.core.tiles import ENTRIES, MAX_PATH, Tile
from panji.errors import ConfigError, InputError, RefusedError
from panji_server import tiles
from panji_server.http.certificate import Certificate
from panji_server.http.door import READING_SECONDS, Door

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from panji_server.config import LogHTTP
    from panji_server.exchange import Exchange

_KEEPALIVE_SECONDS = 15.0
_LINGER_SECONDS = 1.0  # for the body of a request, which none of ours has
_MAX_LINE = 1024
_MAX_HEADERS = 64
_MAX_FIELD = 4096
_GRACE_SECONDS = 2.0
_SEND_BYTES = 64 * 1024
"""Of answers that the system holds for one connection (Linux: twice as many). By itself it would hold megabytes for
each that asks and does not read, and for minutes after it was cut off."""

_FOR_EVER = "public, max-age=31536000, immutable"
_NEVER = "no-store"
_COMMON = {
    "Access-Control-Allow-Origin": "*",  # auditors in a browser; there is nothing here but what is public
    "Server": "panji",
    "X-Content-Type-Options": "nosniff",
}
_ALLOWED = (HTTPMethod.GET, HTTPMethod.HEAD)


def tls_context(
    config: LogHTTP, report: Callable[[ConfigError | None], None] = lambda _: None
) -> ssl.SSLContext | None:
    """Returns the listener's side of TLS, None where it is plain HTTP.

    Raises:
        ConfigError: The certificate cannot be used.
    """
    if not (config.listen and config.certificate and config.key):
        return None
    return Certificate(config.certificate, config.key, report).context


class LogListener:
    """Serves the log of an exchange.

    Args:
        config: Where to listen, if anywhere, and with which certificate.
        exchange: Whose log.
        report: Told of every change of the certificate that was picked up (None) or could not be (the error).

    Raises:
        ConfigError: The address cannot be listened on, or the certificate cannot be used.
    """

    def __init__(
        self, config: LogHTTP, exchange: Exchange, report: Callable[[ConfigError | None], None] = lambda _: None
    ) -> None:
        self._exchange = exchange
        # One of the readers' threads at most: participants' reads always have another.
        self._turn = asyncio.Semaphore(1)
        self._runner: web.ServerRunner | None = None
        self.address = ""
        """``host:port``; empty where nothing is listened on."""
        if not config.listen:
            return
        tls = tls_context(config, report)
        self._socket = _bound(config.listen)
        self.address = f"{config.listen.rpartition(':')[0]}:{self._socket.getsockname()[1]}"
        server = web.Server(
            self._answer,
            logger=_quiet(logging.getLogger(__name__)),
            access_log=None,  # the events say what the exchange does; who reads a public log is nobody's business
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
            max_field_size=_MAX_FIELD,
        )
        self._door = Door(server, tls)
        self._runner = web.ServerRunner(server, shutdown_timeout=_GRACE_SECONDS)

    async def start(self) -> None:
        """Answers from here on, where there is an address."""
        if self._runner is not None:
            await self._runner.setup()
            await self._door.open(self._socket)

    async def stop(self) -> None:
        """Takes no new requests, and ends those that are running."""
        if self._runner is not None:
            await self._door.close()
            await self._runner.cleanup()
            self._socket.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in _ALLOWED:
            refused = _plain(HTTPStatus.METHOD_NOT_ALLOWED)
            refused.headers["Allow"] = ", ".join(_ALLOWED)
            refused.force_close()  # its body is not read
            return refused
        path = request.raw_path.removeprefix("/")  # as it was sent: what is spelt in another way is another path
        try:
            if path == "checkpoint":
                return await self._checkpoint()
            if path.startswith("tile/") and len(path) <= MAX_PATH:
                return await self._tile(Tile.parse(path), compressed=_takes_gzip(request))
        except InputError:
            pass
        except RefusedError:  # the exchange is stopping, or its storage failed
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE)
        return _plain(HTTPStatus.NOT_FOUND)

    async def _checkpoint(self) -> web.Response:
        async with self._turn:
            signed = await self._exchange.published()
        if not signed:
            return _plain(HTTPStatus.NOT_FOUND)
        headers = _COMMON | {"Cache-Control": _NEVER, "Content-Type": "text/plain; charset=utf-8"}
        return web.Response(body=signed.encode(), headers=headers)

    async def _tile(self, tile: Tile, *, compressed: bool) -> web.Response:
        async with self._turn:
            data = await self._exchange.read(self._load, tile, compressed)
        if data is None:
            return _plain(HTTPStatus.NOT_FOUND)
        headers = _COMMON | {"Cache-Control": _FOR_EVER, "Content-Type": "application/octet-stream"}
        if tile.level == ENTRIES:
            headers["Vary"] = "Accept-Encoding"
            if compressed:
                headers["Content-Encoding"] = "gzip"
        return web.Response(body=data, headers=headers)

    def _load(self, tile: Tile, compressed: bool) -> bytes | None:
        data = tiles.read(self._exchange.storage, tile)
        if data is not None and compressed and tile.level == ENTRIES:  # hashes do not become shorter
            return gzip.compress(data, compresslevel=1, mtime=0)
        return data


def _quiet(logger: logging.Logger) -> logging.Logger:
    """A logger that tells of our defects, and not of what anyone on the internet may send."""
    logger.addFilter(_is_a_defect)
    return logger


def _is_a_defect(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _plain(status: HTTPStatus) -> web.Response:
    headers = _COMMON | {"Cache-Control": _NEVER}
    return web.Response(status=status, text=f"{status} {status.phrase}\n", headers=headers)


def _takes_gzip(request: web.BaseRequest) -> bool:
    """Whether the client says that it reads gzip (RFC 9110, section 12.5.3)."""
    for value in request.headers.getall("Accept-Encoding", ()):
        for one in value.lower().split(","):
            coding, _, weight = one.replace(" ", "").partition(";q=")
            if coding in {"gzip", "*"}:
                with suppress(ValueError):
                    return float(weight or 1) > 0
    return False


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError("log_http.listen", f"cannot listen on {listen}: {error}") from error
    # Accepted connections have these from here.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READING_SECONDS * 1000))
    return listening
