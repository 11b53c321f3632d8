"""Who may be connected: connections are counted when they are accepted, before they have said a word, even of TLS."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import socket
    import ssl

    from aiohttp import web

MAX_CONNECTIONS = 1000
"""Further ones are cut off: the log's readers must not take the file descriptors that participants need."""
MAX_PER_ADDRESS = 100
"""Of one IPv4 address or one IPv6 network of 64 bits: nobody shuts the others out alone."""
_HANDSHAKE_SECONDS = 5.0  # and as long for its counterpart at the end
_BACKLOG = 128
_IPV6_HOST_BITS = 64


class Door:
    """Lets connections in to a web server.

    Args:
        server: Serves those that are let in.
        tls: What they have to shake hands by, within 5 s; plain HTTP where there is none.
    """

    def __init__(self, server: web.Server, tls: ssl.SSLContext | None) -> None:
        self.server = server
        self.tls = tls
        self.handshakes: set[asyncio.Task[None]] = set()
        self._inside: Counter[str] = Counter()
        self._listening: asyncio.Server | None = None

    async def open(self, listening: socket.socket) -> None:
        """Lets in whoever connects here."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Connection(self), sock=listening, backlog=_BACKLOG)

    async def close(self) -> None:
        """Lets nobody in any more, nor those who have not shaken hands yet."""
        if self._listening is not None:
            self._listening.close()
        for handshake in self.handshakes:
            handshake.cancel()
        await asyncio.gather(*self.handshakes, return_exceptions=True)

    def enter(self, address: str) -> bool:
        """Counts one more, unless there are too many."""
        if self._inside.total() >= MAX_CONNECTIONS or self._inside[address] >= MAX_PER_ADDRESS:
            return False
        self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Counts one less."""
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]


class _Connection(asyncio.Protocol):
    """One connection, from its acceptance to its end. The server sees it once it may be served."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._address: str | None = None  # while it is counted
        self._early = bytearray()  # may come with the last of the handshake
        self._handler: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        address = _who(accepted)
        if not self._door.enter(address):
            accepted.abort()
            return
        self._address = address
        if self._door.tls is None:
            self._begin(accepted)
            return
        handshake = asyncio.create_task(self._shake_hands(accepted, self._door.tls))
        self._door.handshakes.add(handshake)
        handshake.add_done_callback(self._door.handshakes.discard)

    def data_received(self, data: bytes) -> None:
        if self._handler is None:
            self._early += data
        else:
            self._handler.data_received(data)

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handler is not None:
            self._handler.connection_lost(exc)
        self._leave()

    async def _shake_hands(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        secured = None
        try:
            with suppress(OSError):  # no TLS, or not in time: ssl.SSLError and ConnectionAbortedError are of these
                secured = await asyncio.get_running_loop().start_tls(
                    transport,
                    self,
                    tls,
                    server_side=True,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=_HANDSHAKE_SECONDS,
                )
        finally:
            if secured is None or secured.is_closing():
                transport.abort()
                self._leave()
        if self._address is not None and secured is not None:
            self._begin(secured)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._handler = self._door.server()
        self._handler.connection_made(transport)
        if self._early:
            self._handler.data_received(bytes(self._early))
            self._early.clear()

    def _leave(self) -> None:
        if self._address is not None:
            self._door.leave(self._address)
            self._address = None


def _who(transport: asyncio.Transport) -> str:
    """Whose connection it counts as; of no one in particular when it is gone already."""
    try:
        address = ip_address(transport.get_extra_info("peername")[0].partition("%")[0])
    except (TypeError, IndexError, ValueError):
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS))
    return str(address)
