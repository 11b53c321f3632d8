"""A web server on the loopback that answers whatever a test wants, wrong things too."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Site:
    """What is served: by path, the answers in turn, of which the last one stays."""

    def __init__(self, answers: Mapping[str, Answer | list[Answer] | Callable[[Any], None]]) -> None:
        self.answers: dict[str, Any] = dict(answers)
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.hanging = threading.Event()
        """Once set, whoever hangs goes on."""
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        self.asked.append((handler.path, dict(handler.headers)))
        answer = self.answers.get(handler.path, (404, {}, b"nothing here"))
        if callable(answer):
            answer(handler)
            return
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status, headers, body = answer
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Says nothing until the test is over."""
        self.hanging.wait()
        handler.close_connection = True


@contextmanager
def serving_site(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serves a site while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                site.answer(self)
            except OSError:  # the client has had enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()
