"""A log over HTTP: servers that redirect, fail, hang, send too much, too little, or something else."""

from __future__ import annotations

import gzip
import socket
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import LOG, MemoryLog, a_log
from support.web import Answer, Site, serving_site

from panji.core.audit import audit
from panji.core.tiles import ENTRIES, Tile
from panji.development import DevelopmentCA
from panji.errors import AuditError, ConfigError, InputError, TransportError
from panji.logs import web
from panji.logs.reading import read_ahead
from panji.logs.web import WebReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

TILE = Tile(0, 0, 3)
PATH = f"/{TILE.path}"
OK: Answer = (200, {}, bytes(96))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(web, "_BACKOFF", 0)


def answers(log: MemoryLog) -> dict[str, Any]:
    return {f"/{path}": (200, {}, data) for path, data in log.files.items()}


@contextmanager
def reading(answer: Any, attempts: int = 1, **options: Any) -> Iterator[tuple[WebReader, Site]]:
    """A reader of a server that answers this for one tile."""
    site = Site({PATH: answer})
    with serving_site(site), WebReader(site.url, attempts=attempts, **options) as reader:
        yield reader, site


def caught(answer: Any, error: type[Exception], match: str, **options: Any) -> None:
    with reading(answer, **options) as (reader, _), pytest.raises(error, match=match):
        reader.tile(TILE)


def vouched_for(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS; its authority is in ``ca.pem``."""
    now = datetime.now(UTC)
    ca = DevelopmentCA.create(now - timedelta(minutes=1))
    issued = ca.issue(
        ["spiffe://test.example/log"],
        not_before=now - timedelta(minutes=1),
        not_after=now + timedelta(hours=1),
        ips=["127.0.0.1"],
        client=False,
        server=True,
        name="log",
    )
    for name, data in (("ca.pem", ca.certificate), ("log.pem", issued.certificate), ("log.key", issued.key)):
        (folder / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "log.pem", folder / "log.key")
    return context


def test_a_log_is_audited_over_http_with_a_few_connections() -> None:
    with serving_site(Site(answers(a_log(600)))) as site, WebReader(f"{site.url}/") as reader:
        assert audit(reader, LOG.verifier, fetch=read_ahead).entries == 600
        path, headers = site.asked[0]
        assert path == "/checkpoint"
        assert headers["Accept-Encoding"] == "gzip, identity"


def test_a_log_may_lie_under_a_path() -> None:
    site = Site({"/a/log/checkpoint": (200, {}, b"text")})
    with serving_site(site), WebReader(f"{site.url}/a/log/") as reader:
        assert reader.checkpoint() == "text"


def test_what_is_compressed_is_unpacked() -> None:
    with reading((200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(range(96))))) as (reader, _):
        assert reader.tile(TILE) == bytes(range(96))


def test_a_lie_over_http_is_found_as_anywhere() -> None:
    log = a_log(600)
    log.flip("tile/0/001", 5)
    named = pytest.raises(AuditError, match="tile/0/001 is not the tile")
    with serving_site(Site(answers(log))) as site, WebReader(site.url) as reader, named:
        audit(reader, LOG.verifier, fetch=read_ahead)


# Servers.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    site = Site({PATH: (status, {"Location": "/elsewhere"}, b""), "/elsewhere": OK})
    with serving_site(site), WebReader(site.url) as reader:
        with pytest.raises(TransportError, match=str(status)):
            reader.tile(TILE)
        assert [path for path, _ in site.asked] == [PATH]


def test_a_server_that_fails_once_is_asked_again() -> None:
    with reading([(500, {}, b"oh"), (503, {}, b"oh"), OK], attempts=3) as (reader, site):
        assert reader.tile(TILE) == bytes(96)
        assert len(site.asked) == 3


def test_a_server_that_goes_on_failing_is_no_answer() -> None:
    with reading((500, {}, b"oh"), attempts=3) as (reader, site):
        with pytest.raises(TransportError, match="the answer is 500"):
            reader.tile(TILE)
        assert len(site.asked) == 3


def test_an_answer_that_will_not_change_is_not_asked_for_again() -> None:
    with reading((403, {}, b"no"), attempts=3) as (reader, site):
        with pytest.raises(TransportError, match="403"):
            reader.tile(TILE)
        assert len(site.asked) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_tile_that_the_server_does_not_have_is_missing_from_the_log(status: int) -> None:
    caught((status, {}, b"no"), AuditError, "is missing")


def test_a_server_that_hangs_is_no_answer() -> None:
    site = Site({})
    site.answers[PATH] = site.hang
    with serving_site(site), WebReader(site.url, timeout=timedelta(milliseconds=50), attempts=2) as reader:
        with pytest.raises(TransportError, match=r"did not end within 0\.05 s"):
            reader.tile(TILE)
        assert len(site.asked) == 2


BOUND = timedelta(milliseconds=150)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "on"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: ", b"a", id="a header that drips"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nA: ", b"a", id="a header that drips before there is no such file"),
        pytest.param(CHUNKED + b"1;", b"a", id="the line of a chunk's length that drips"),
        pytest.param(CHUNKED + b"60\r\n" + bytes(96) + b"\r\n0\r\n", b"A: b\r\n", id="trailers without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 96\r\n\r\n", b"a", id="a body that drips"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(90), b"a", id="a body that drips to the end of the stream"),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_never_falls_silent_is_given_up_at_the_bound(
    begin: bytes, on: bytes, tls: bool, tmp_path: Path
) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begin)
        while not site.hanging.wait(0.04):  # often enough that no single wait is too long
            handler.wfile.write(on)

    site = Site({PATH: endless})
    given_up = pytest.raises(TransportError, match=r"did not end within 0\.15 s")
    context = vouched_for(tmp_path) if tls else None
    ca = tmp_path / "ca.pem" if tls else None
    with serving_site(site, context), WebReader(site.url, ca=ca, timeout=BOUND, attempts=2) as reader:
        with given_up:
            reader.tile(TILE)
        assert len(site.asked) == 2
        site.answers[PATH] = OK
        assert reader.tile(TILE) == bytes(96)  # over a connection that nobody has shut


def over(*connections: socket.socket) -> web._Bound:
    """A bound that is reached; it watched these."""
    bound = web._Bound("http://log", 0)
    for connection in connections:
        bound.watch(connection)
    with pytest.raises(TransportError, match="did not end within 0 s"), bound:
        bound._timer.join()
    return bound


def test_a_connection_that_took_all_the_time_is_shut_before_its_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        over().watch(ours)
        assert ours.recv(1) == b""


def test_a_bound_that_comes_late_leaves_the_next_requests_connection_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        late = web._Bound("http://log", 0)
        late.watch(ours)
        web._Bound("http://log", 1).watch(ours)
        late._end()
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_a_connection_that_is_closed_already_need_not_be_shut() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    over(ours)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened on
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with WebReader(url, attempts=2) as reader, pytest.raises(TransportError, match="refused"):
            reader.checkpoint()


# Bodies.


def test_an_oversized_tile_is_refused() -> None:
    caught((200, {}, bytes(97)), AuditError, "has more than 96 bytes")


def test_an_endless_tile_is_refused_long_before_its_end() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(65_536))

    caught(endless, AuditError, "has more than 96 bytes")


def test_an_endless_checkpoint_is_refused() -> None:
    site = Site({"/checkpoint": (200, {}, bytes(1_000_001))})
    refused = pytest.raises(AuditError, match="checkpoint has more than 1000000 bytes")
    with serving_site(site), WebReader(site.url) as reader, refused:
        reader.checkpoint()


def test_a_bomb_does_not_go_off() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    caught((200, {"Content-Encoding": "gzip"}, bomb), AuditError, "has more than 96 bytes")


def truncated(body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(truncated(bytes(50), Content_Length="96"), id="shorter than its length"),
        pytest.param(truncated(b"20\r\n" + bytes(20), Transfer_Encoding="chunked"), id="within a chunk"),
    ],
)
def test_a_body_that_breaks_off_is_asked_for_again(answer: Any) -> None:
    with reading(answer, attempts=2) as (reader, site):
        with pytest.raises(TransportError):
            reader.tile(TILE)
        assert len(site.asked) == 2


def test_a_truncated_tile_is_no_tile_of_its_width() -> None:
    log = a_log(3)
    log.files[TILE.path] = log.files[TILE.path][:-1]
    refused = pytest.raises(AuditError, match="has 95 bytes instead of 96")
    with serving_site(Site(answers(log))) as site, WebReader(site.url) as reader, refused:
        audit(reader, LOG.verifier)


def test_gzip_that_breaks_off_or_is_none_is_no_answer() -> None:
    packed = gzip.compress(bytes(96))
    caught((200, {"Content-Encoding": "gzip"}, packed[:-9]), TransportError, "is cut off")
    caught((200, {"Content-Encoding": "gzip"}, b"no gzip"), TransportError, "is no gzip")


def test_an_encoding_that_was_not_asked_for_is_no_answer() -> None:
    caught((200, {"Content-Encoding": "br"}, b"x"), TransportError, "encoded as br")


# Where to.


@pytest.mark.parametrize(
    "url", ["", "exchange.example", "ftp://exchange.example", "http://", "http://[::1", "http://a/?b", "http://a/#b"]
)
def test_what_is_no_url_of_a_log_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="URL"):
        WebReader(url)


def test_a_server_is_vouched_for_by_the_authorities_that_are_given(tmp_path: Path) -> None:
    context = vouched_for(tmp_path)
    with serving_site(Site({"/checkpoint": (200, {}, b"text")}), context) as site:
        with WebReader(site.url, ca=tmp_path / "ca.pem") as reader:
            assert reader.checkpoint() == "text"
        with WebReader(site.url, attempts=1) as stranger, pytest.raises(TransportError, match="certificate"):
            stranger.checkpoint()


def test_authorities_that_cannot_be_read_are_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for name in ("ca.pem", "nowhere.pem"):
        with pytest.raises(ConfigError, match="no PEM certificate"):
            WebReader("https://exchange.example", ca=tmp_path / name)


def test_a_bundle_may_be_as_long_as_its_entries_can_be() -> None:
    tile = Tile(ENTRIES, 0)
    site = Site({f"/{tile.path}": (200, {}, bytes(tile.max_bytes))})
    with serving_site(site), WebReader(site.url) as reader:
        assert len(reader.tile(tile)) == 256 * 155
