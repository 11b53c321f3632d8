"""The log over HTTP: exactly the paths of C2SP tlog-tiles, exactly their headers, and nothing else for anybody."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.memory import MemoryStorage
from support.rooms import LOG, flags, put

from panji.core.checkpoint import open_checkpoint
from panji.core.tiles import ENTRIES, Tile
from panji.development import DevelopmentCA
from panji.errors import ConfigError, Reason, RefusedError
from panji_server import tiles
from panji_server.config import LogHTTP
from panji_server.http import door
from panji_server.http import log as module
from panji_server.http.log import LogListener
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from panji_server.exchange import Exchange

SIZE = 260
PATIENCE = 10.0
"""Seconds until a test that hangs fails; nothing waits that long."""
FOR_EVER = "public, max-age=31536000, immutable"
BUNDLE = Tile(ENTRIES, 0)


class Reading:
    """The part of an exchange that the listener uses."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Reads in another thread, as an exchange does."""
        try:
            return await asyncio.to_thread(function, *arguments)
        except StorageError as error:
            raise RefusedError(Reason.STORAGE_FAILED, "the database failed") from error

    async def published(self) -> str:
        """The newest checkpoint, as of an exchange without witnesses."""
        signed: str = await self.read(tiles.newest_checkpoint, self.storage)
        return signed


@pytest.fixture(scope="module")
def whole() -> MemoryStorage:
    """A log with a full tile, never changed."""
    storage = MemoryStorage()
    put(storage, *flags(SIZE))
    return storage


@asynccontextmanager
async def listening(
    storage: MemoryStorage, certificate: Path | None = None, key: Path | None = None, **options: Any
) -> AsyncIterator[str]:
    """A listener of a log; gives its address."""
    config = LogHTTP(listen="127.0.0.1:0", certificate=certificate, key=key)
    listener = LogListener(config, cast("Exchange", Reading(storage)), **options)
    await listener.start()
    try:
        yield listener.address
    finally:
        await listener.stop()


async def raw(address: str, request: bytes) -> bytes:
    """What the listener says to these very bytes, until it hangs up."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def get(address: str, path: str, method: str = "GET", *, extra: str = "") -> tuple[int, dict[str, str], bytes]:
    """The answer to a path exactly as it is spelt."""
    request = f"{method} {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\n{extra}\r\n"
    head, _, body = (await raw(address, request.encode())).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_the_checkpoint_is_signed_text_that_nobody_keeps(whole: MemoryStorage) -> None:
    async with listening(whole) as address:
        status, headers, body = await get(address, "/checkpoint")
    assert status == 200
    assert open_checkpoint(body.decode(), LOG.verifier).size == SIZE
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "aiohttp" not in str(headers)


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(0, 1, 4), Tile(0, 0, 9), Tile(1, 0, 1), BUNDLE, Tile(ENTRIES, 1, 4)])
async def test_a_tile_is_bytes_that_are_kept_for_ever(whole: MemoryStorage, tile: Tile) -> None:
    async with listening(whole) as address:
        status, headers, body = await get(address, f"/{tile.path}")
    assert (status, body) == (200, tiles.read(whole, tile))
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Cache-Control"] == FOR_EVER
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize(
    ("accepts", "compressed"),
    [
        ("gzip", True), ("gzip, identity", True), ("br;q=1.0, GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False),
        ("identity", False), ("gzip;q=x", False), ("", False), ("x-gzip-like", False),
    ],
)  # fmt: skip
async def test_a_bundle_is_compressed_for_whoever_reads_that(
    whole: MemoryStorage, accepts: str, compressed: bool
) -> None:
    async with listening(whole) as address:
        status, headers, body = await get(address, f"/{BUNDLE.path}", extra=f"Accept-Encoding: {accepts}\r\n")
    assert status == 200
    assert headers["Vary"] == "Accept-Encoding"
    assert (headers.get("Content-Encoding") == "gzip") is compressed
    assert (gzip.decompress(body) if compressed else body) == tiles.read(whole, BUNDLE)


async def test_a_tile_of_hashes_is_not_compressed(whole: MemoryStorage) -> None:
    async with listening(whole) as address:
        _, headers, body = await get(address, "/tile/0/000", extra="Accept-Encoding: gzip\r\n")
    assert "Content-Encoding" not in headers
    assert len(body) == 8192


async def test_head_is_get_without_a_body(whole: MemoryStorage) -> None:
    async with listening(whole) as address:
        for path in ("/checkpoint", "/tile/0/000", "/nowhere"):
            status, headers, body = await get(address, path, "HEAD")
            told, same, content = await get(address, path)
            assert (status, body) == (told, b"")
            assert headers["Content-Length"] == same["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/", id="the root"),
        pytest.param("/checkpoint/", id="checkpoint with a slash"),
        pytest.param("//checkpoint", id="two slashes"),
        pytest.param("/checkpoint?a=b", id="a query"),
        pytest.param("/Checkpoint", id="another case"),
        pytest.param("/tile/0/001", id="a full tile that is partial yet"),
        pytest.param("/tile/0/001.p/5", id="a width beyond the log"),
        pytest.param("/tile/0/001.p/0", id="width 0"),
        pytest.param("/tile/0/000.p/256", id="the width of a full tile"),
        pytest.param("/tile/0/000.p/01", id="a width with a leading zero"),
        pytest.param("/tile/00/000", id="a level with a leading zero"),
        pytest.param("/tile/64/000", id="level 64"),
        pytest.param("/tile/63/000.p/1", id="level 63"),
        pytest.param("/tile/0/x000/000", id="x000 ahead"),
        pytest.param("/tile/0/001/000", id="missing x"),
        pytest.param("/tile/0/002.p/1", id="a tile beyond the log"),
        pytest.param("/tile/entries/001.p/5", id="a bundle beyond the log"),
        pytest.param("/tile/entries/../0/000", id="dots"),
        pytest.param("/../etc/passwd", id="dots ahead"),
        pytest.param("/tile/0/%30%30%30", id="per cent encoding"),
        pytest.param("/tile/-1/000", id="the level of bundles"),
        pytest.param("/tile/" + "x" * 900, id="a long path"),
        pytest.param("http://log/checkpoint", id="an absolute URL"),
    ],
)
async def test_every_other_path_is_not_found_and_not_kept(whole: MemoryStorage, path: str) -> None:
    async with listening(whole) as address:
        status, headers, _ = await get(address, path)
    assert (status, headers["Cache-Control"]) == (404, "no-store")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_nothing_but_reading_is_allowed(whole: MemoryStorage, method: str) -> None:
    async with listening(whole) as address:
        status, headers, _ = await get(address, "/checkpoint", method)
    assert (status, headers["Allow"], headers["Connection"]) == (405, "GET, HEAD", "close")


async def test_a_body_that_never_comes_is_not_waited_for(whole: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINGER_SECONDS", 0.01)
    async with listening(whole) as address:
        assert (await get(address, "/checkpoint", "POST", extra="Content-Length: 1000000\r\n"))[0] == 405


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GARBAGE\r\n\r\n", id="garbage"),
        pytest.param(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", id="an endless path"),
        pytest.param(b"GET /checkpoint HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", id="an endless header"),
        pytest.param(b"GET /checkpoint HTTP/1.1\r\n" + b"A: a\r\n" * 200 + b"\r\n", id="many headers"),
    ],
)
async def test_what_is_no_request_is_answered_as_such_and_told_to_nobody(
    whole: MemoryStorage, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(whole) as address:
        assert (await raw(address, request_bytes)).startswith(b"HTTP/1.0 400 ")
        assert (await get(address, "/checkpoint"))[0] == 200
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_an_empty_log_has_no_checkpoint_and_no_tile() -> None:
    async with listening(MemoryStorage()) as address:
        for path in ("/checkpoint", "/tile/0/000.p/1", "/tile/0/000.p/0", "/tile/entries/000"):
            assert (await get(address, path))[0] == 404


async def test_a_tile_appears_as_soon_as_it_is_committed() -> None:
    storage = MemoryStorage()
    put(storage, *flags(1))
    async with listening(storage) as address:
        assert (await get(address, "/tile/0/000.p/2"))[0] == 404
        put(storage, *flags(1, first=2))
        assert (await get(address, "/tile/0/000.p/2"))[0] == 200
        assert (await get(address, "/tile/0/000.p/1"))[0] == 200


async def test_a_database_that_fails_is_told_as_unavailable() -> None:
    storage = MemoryStorage()
    put(storage, *flags(3))
    storage.forget("nodes")
    async with listening(storage) as address:
        status, headers, _ = await get(address, "/tile/0/000.p/3")
    assert (status, headers["Cache-Control"]) == (503, "no-store")


async def test_a_defect_is_told_on_standard_error_and_not_to_the_caller(
    whole: MemoryStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_: object) -> str:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(tiles, "newest_checkpoint", defect)
    async with listening(whole) as address:
        status, _, body = await get(address, "/checkpoint")
    assert status == 500
    assert b"secret" not in body
    assert "ZeroDivisionError" in caplog.text


# Connections that are not for reading.


@asynccontextmanager
async def silent(address: str, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that say nothing, accepted one after the other."""
    host, _, port = address.rpartition(":")
    pairs = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.close()


async def closed(reader: asyncio.StreamReader) -> None:
    """Returns when the other side has ended it."""
    with suppress(ConnectionError):
        assert await reader.read() == b""


@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS", "MAX_PER_ADDRESS"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https before the handshake"])
async def test_a_flood_of_silent_connections_is_cut_off_when_they_are_accepted_and_told_to_nobody(
    whole: MemoryStorage,
    files: Files,
    *,
    limit: str,
    tls: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(door, limit, 2)
    pair = (files.certificate, files.key) if tls else ()
    async with listening(whole, *pair) as address:
        async with silent(address, 5) as readers:
            for reader in readers[2:]:
                await closed(reader)
            assert not any(reader.at_eof() for reader in readers[:2])
        await seen_or_read(address, files, tls=tls)  # those that left have made room
    assert not caplog.records
    assert capsys.readouterr().err == ""


async def seen_or_read(address: str, files: Files, *, tls: bool) -> None:
    """Connects until there is room; the test's own time limit ends it where there never is."""
    while True:
        with suppress(ConnectionError, IndexError):  # IndexError: it ended without an answer
            if await (files.seen(address) if tls else get(address, "/checkpoint")):
                return


async def test_one_address_does_not_shut_the_others_out(whole: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_PER_ADDRESS", 2)
    async with listening(whole) as address, silent(address, 3) as readers:
        await closed(readers[2])
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        writer.write(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_addresses_of_one_ipv6_network_count_as_one(first: str, second: str, same: bool) -> None:
    assert (door._who(Peer((first, 1))) == door._who(Peer((second, 1)))) is same


class Peer(asyncio.Transport):
    """A connection from there."""

    def __init__(self, name: tuple[str, int] | None) -> None:
        super().__init__({"peername": name})


def test_a_connection_that_is_gone_already_is_no_ones() -> None:
    assert door._who(Peer(None)) == ""


async def test_a_connection_that_never_shakes_hands_is_ended(
    whole: MemoryStorage, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "_HANDSHAKE_SECONDS", 0.05)
    async with listening(whole, files.certificate, files.key) as address, silent(address, 1) as readers:
        await closed(readers[0])
    assert not caplog.records


async def test_what_is_no_handshake_is_ended_and_makes_room(
    whole: MemoryStorage, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 1)
    async with listening(whole, files.certificate, files.key) as address:
        for request in (b"GET / HTTP/1.1\r\n\r\n", b""):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request or b"\x16")
            if not request:
                writer.write_eof()  # in the middle of the handshake
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            await seen_or_read(address, files, tls=True)
    assert not caplog.records


async def test_a_stop_does_not_wait_for_those_who_never_shake_hands(whole: MemoryStorage, files: Files) -> None:
    async with (
        silent_later() as later,
        listening(whole, files.certificate, files.key) as address,
    ):
        reader = await later(address)
        assert await files.seen(address)  # so the silent one was accepted
    await closed(reader)


@asynccontextmanager
async def silent_later() -> AsyncIterator[Callable[[str], Awaitable[asyncio.StreamReader]]]:
    """A connection that outlives the listener."""
    writers = []

    async def connect(address: str) -> asyncio.StreamReader:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        return reader

    yield connect
    for writer in writers:
        writer.close()


async def test_a_request_that_comes_with_the_last_of_the_handshake_is_answered(
    whole: MemoryStorage, files: Files
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = files.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with listening(whole, files.certificate, files.key) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        tls.write(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n")
        writer.write(outgoing.read())  # both in one
        answer = b""
        while not answer:
            try:
                answer = tls.read(12)
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65_536))
        writer.close()
    assert answer == b"HTTP/1.1 200"


async def test_a_reader_that_does_not_read_is_waited_for() -> None:
    size = 20_000_000

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(size))

    server = web.Server(answer)
    opened = door.Door(server, None)
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        await opened.open(listening_socket)
        reader, writer = await asyncio.open_connection(*listening_socket.getsockname())
        writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket's transport
        writer.write(b"GET / HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n")
        while not any(one.writing_paused for one in server.connections):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await reader.read()).partition(b"\r\n\r\n")[2]) == size
        writer.close()
        await opened.close()
        await server.shutdown()


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
ASK = b"GET /tile/entries/000 HTTP/1.1\r\nHost: log\r\n\r\n"


@asynccontextmanager
async def a_door(
    storage: MemoryStorage, certificate: Path | None = None, key: Path | None = None
) -> AsyncIterator[tuple[tuple[str, int], door.Door]]:
    """A listener's address and its door, which knows who is inside."""
    config = LogHTTP(listen="127.0.0.1:0", certificate=certificate, key=key)
    listener = LogListener(config, cast("Exchange", Reading(storage)))
    await listener.start()
    host, _, port = listener.address.rpartition(":")
    try:
        yield (host, int(port)), listener._door
    finally:
        await listener.stop()


async def emptied(of: door.Door) -> None:
    """Returns once nobody is inside any more."""
    async with asyncio.timeout(PATIENCE):
        while of._inside:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


@LOOPS
@pytest.mark.parametrize("asked", [1, 250])
def test_a_reader_that_asks_and_never_reads_is_cut_off(
    whole: MemoryStorage,
    loop: Callable[[], Any],
    *,
    asked: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Attack: a hundred connections of each of ten addresses ask, read nothing, and nobody else ever gets in."""
    monkeypatch.setattr(door, "READING_SECONDS", 0.05)
    monkeypatch.setattr(module, "_SEND_BYTES", 1)  # so that an answer is not in the system's hands at once
    monkeypatch.setattr(module, "_KEEPALIVE_SECONDS", 0.01)  # and one that is closed has it still to send

    async def ask() -> None:
        async with a_door(whole) as (address, opened):
            with socket.socket() as reader:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                reader.setblocking(False)
                running = asyncio.get_running_loop()
                await running.sock_connect(reader, address)
                while not opened._inside:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0)
                asking = asyncio.create_task(running.sock_sendall(reader, ASK * asked))
                try:
                    await emptied(opened)
                finally:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())
    assert not caplog.records


@LOOPS
def test_a_reader_over_tls_that_asks_and_never_reads_is_cut_off(
    whole: MemoryStorage, files: Files, loop: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "READING_SECONDS", 0.05)

    async def ask() -> None:
        async with a_door(whole, files.certificate, files.key) as (address, opened):
            _, writer = await asyncio.open_connection(*address, ssl=files.context())
            writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket's transport
            writer.write(ASK * 250)
            try:
                await emptied(opened)
            finally:
                writer.transport.abort()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())


async def test_a_reader_that_takes_a_little_again_and_again_has_no_longer_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "READING_SECONDS", 0.01)
    size = 20_000_000

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(size))

    opened = door.Door(web.Server(answer), None)
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        await opened.open(listening_socket)
        with socket.create_connection(listening_socket.getsockname()) as reader:
            reader.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(reader, b"GET / HTTP/1.1\r\nHost: log\r\n\r\n")
            taken = len(await asyncio.get_running_loop().sock_recv(reader, 100))
            while opened._inside and taken < size:
                taken += len(await asyncio.get_running_loop().sock_recv(reader, 100))
        assert taken < size
        await opened.close()
        await opened.server.shutdown()


async def test_the_system_holds_little_for_one_that_does_not_read(whole: MemoryStorage) -> None:
    """By itself it held 3.7 MB for each."""
    async with a_door(whole) as (address, opened):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK)
        await reader.readline()
        (inside,) = opened.server.connections
        assert inside.transport is not None
        accepted = inside.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * module._SEND_BYTES
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * door.READING_SECONDS
        writer.close()


async def test_a_connection_for_which_no_file_descriptor_is_left_gives_its_place_back(
    whole: MemoryStorage, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Attack: all descriptors are taken for a moment, and the address is shut out from then on."""
    monkeypatch.setattr(door, "MAX_PER_ADDRESS", 1)

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async with a_door(whole, files.certificate, files.key) as (address, opened):
        with monkeypatch.context() as patched:
            patched.setattr("os.dup", none_left)
            async with silent(f"{address[0]}:{address[1]}", 1) as readers:
                await closed(readers[0])
        await emptied(opened)
        assert await files.seen(f"{address[0]}:{address[1]}")
    assert not caplog.records


@LOOPS
def test_what_came_before_the_handshake_could_begin_is_not_lost(tmp_path: Path, loop: Callable[[], Any]) -> None:
    """The exchange was busy, and the first words lay there when it came to accept the connection."""
    files = Files(tmp_path)

    async def shake_hands() -> bytes:
        settings = LogHTTP(listen="127.0.0.1:0", certificate=files.certificate, key=files.key)
        opened = door.Door(web.Server(_nothing), module.tls_context(settings))
        with socket.create_server(("127.0.0.1", 0)) as listening_socket:
            address = listening_socket.getsockname()
            tls = files.context()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = tls.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            with socket.create_connection(address) as early:
                early.sendall(outgoing.read())
                early.setblocking(False)
                await opened.open(listening_socket)
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(early, 65_536), 20)
            await opened.close()
            return answer

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(shake_hands())[:1] == b"\x16"  # a record of the handshake, RFC 8446, section 5.1


async def _nothing(_: web.BaseRequest) -> web.Response:
    return web.Response()


async def test_a_listener_that_was_never_started_can_be_stopped(whole: MemoryStorage) -> None:
    listener = LogListener(LogHTTP(listen="127.0.0.1:0"), cast("Exchange", Reading(whole)))
    await listener.stop()
    with pytest.raises(ConnectionError):
        await get(listener.address, "/checkpoint")


# Where, and with which certificate.


async def test_nothing_listens_where_no_address_is_given() -> None:
    listener = LogListener(LogHTTP(), cast("Exchange", Reading(MemoryStorage())))
    await listener.start()
    assert listener.address == ""
    await listener.stop()


async def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"log_http.listen: cannot listen on {listen}"):
            LogListener(LogHTTP(listen=listen), cast("Exchange", Reading(MemoryStorage())))


async def test_ipv6_is_an_address_too(whole: MemoryStorage) -> None:
    listener = LogListener(LogHTTP(listen="[::1]:0"), cast("Exchange", Reading(whole)))
    await listener.start()
    assert listener.address.startswith("[::1]:")
    assert (await get(listener.address.replace("[::1]", "::1"), "/checkpoint"))[0] == 200
    await listener.stop()


class Files:
    """A certificate and its key, by an authority of their own."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "log.pem", folder / "log.key"
        self._now = datetime.now(UTC)
        self._ca = DevelopmentCA.create(self._now - timedelta(minutes=1))
        self.replace()

    def replace(self) -> bytes:
        """Writes another pair; returns the certificate's serial number."""
        issued = self._ca.issue(
            ["spiffe://test.example/log"],
            not_before=self._now - timedelta(minutes=1),
            not_after=self._now + timedelta(hours=1),
            ips=["127.0.0.1"],
            client=False,
            server=True,
            name="log",
        )
        self.certificate.write_bytes(issued.certificate)
        self.key.write_bytes(issued.key)
        return issued.certificate

    def context(self) -> ssl.SSLContext:
        """What a client trusts."""
        return ssl.create_default_context(cadata=self._ca.certificate.decode())

    async def seen(self, address: str) -> str:
        """The certificate that a new connection is shown."""
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=self.context())
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return ssl.DER_cert_to_PEM_cert(der)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_with_a_certificate_it_is_https(whole: MemoryStorage, files: Files) -> None:
    async with (
        listening(whole, files.certificate, files.key) as address,
        aiohttp.ClientSession() as session,
        session.get(f"https://{address}/checkpoint", ssl=files.context()) as answer,
    ):
        assert open_checkpoint(await answer.text(), LOG.verifier).size == SIZE


async def test_a_replaced_certificate_is_in_force_for_the_next_connection(whole: MemoryStorage, files: Files) -> None:
    told: list[ConfigError | None] = []
    async with listening(whole, files.certificate, files.key, report=told.append) as address:
        first = await files.seen(address)
        assert first == files.certificate.read_text()
        files.replace()
        assert await files.seen(address) == files.certificate.read_text() != first
        assert told == [None]


async def test_while_the_files_do_not_fit_together_the_last_good_ones_stay(whole: MemoryStorage, files: Files) -> None:
    told: list[ConfigError | None] = []
    async with listening(whole, files.certificate, files.key, report=told.append) as address:
        first, key = await files.seen(address), files.key.read_bytes()
        files.replace()
        other = files.key.read_bytes()
        files.key.write_bytes(key)
        for _ in range(2):
            assert await files.seen(address) == first
        assert [type(one) for one in told] == [ConfigError]  # once, not at every connection
        files.key.unlink()
        assert await files.seen(address) == first
        files.key.write_bytes(other)
        assert await files.seen(address) == files.certificate.read_text()
        assert told[-1] is None


async def test_files_that_are_no_certificate_stop_the_start(files: Files) -> None:
    exchange = cast("Exchange", Reading(MemoryStorage()))
    config = LogHTTP(listen="127.0.0.1:0", certificate=files.certificate, key=files.key)
    key = load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for wrong in (b"no key", locked):
        files.key.write_bytes(wrong)
        with pytest.raises(ConfigError, match=r"log_http\.certificate"):
            LogListener(config, exchange)
