"""Who may be connected: connections are counted when they are accepted, before they have said a word, even of TLS."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

MAX_CONNECTIONS = 1000
"""Further ones are cut off: the log's readers must not take the file descriptors that participants need."""
MAX_PER_ADDRESS = 100
"""Of one IPv4 address or one IPv6 network of 64 bits: nobody shuts the others out alone."""
_HANDSHAKE_SECONDS = 5.0  # and as long for its counterpart at the end
READING_SECONDS = 30.0
"""How long a reader may take until all of an answer is on its way to it: as long as our own reader waits for one."""
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
        tls = self.tls
        meet = (lambda: _Connection(self)) if tls is None else (lambda: _Arrival(self, tls))
        self._listening = await loop.create_server(meet, sock=listening, backlog=_BACKLOG)

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


class _Arrival(asyncio.Protocol):
    """A connection that has been accepted, and may shake hands.

    Its socket is taken out of the transport, whose reading cannot be held back until ``start_tls`` has its turn: on a
    busy loop uvloop would have read by then what the other side says first.
    """

    def __init__(self, door: Door, tls: ssl.SSLContext) -> None:
        self._door = door
        self._tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        address = _who(accepted)
        if self._door.enter(address):
            try:
                own = socket.socket(fileno=os.dup(accepted.get_extra_info("socket").fileno()))
            except OSError:  # no file descriptor is left
                self._door.leave(address)
            else:
                self._begin(own, address)
        accepted.abort()

    def _begin(self, own: socket.socket, address: str) -> None:
        own.setblocking(False)
        handshake = asyncio.create_task(self._shake_hands(own, address))
        self._door.handshakes.add(handshake)
        handshake.add_done_callback(self._door.handshakes.discard)

    async def _shake_hands(self, own: socket.socket, address: str) -> None:
        connection = _Connection(self._door, address)
        try:
            with suppress(OSError):  # no TLS, or not in time: ssl.SSLError and ConnectionAbortedError are of these
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection,
                    own,
                    ssl=self._tls,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=_HANDSHAKE_SECONDS,
                )
        finally:
            if not connection.begun:
                own.close()
                self._door.leave(address)


class _Connection(asyncio.Protocol):
    """One connection that may be served. Counted, where an address is given, or else when it is made.

    Whoever asks and does not read is cut off: the server waits for each answer to be on its way before it makes the
    next, and that has a time, however little is taken how often.
    """

    def __init__(self, door: Door, address: str | None = None) -> None:
        self._door = door
        self._address = address
        self._handler: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def begun(self) -> bool:
        """Whether the server has seen it."""
        return self._handler is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        if self._address is None:
            address = _who(accepted)
            if not self._door.enter(address):
                accepted.abort()
                return
            self._address = address
        self._transport = accepted
        self._handler = self._door.server()
        self._handler.connection_made(accepted)
        # Paused from the first byte that has to wait to the last, so that the pause is what the reader takes for it.
        # Said last, since it may pause at once: the handshake's own last words may be waiting.
        accepted.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.data_received(data)

    def pause_writing(self) -> None:
        if self._handler is not None and self._transport is not None:
            self._unread = asyncio.get_running_loop().call_later(READING_SECONDS, self._transport.abort)
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._no_longer_unread()
        if self._handler is not None:
            self._handler.resume_writing()

    def _no_longer_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_unread()
        if self._handler is not None:
            self._handler.connection_lost(exc)
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
