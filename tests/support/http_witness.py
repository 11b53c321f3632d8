"""A witness of our own making, over HTTP on the loopback: honest, until a test gives it something else to say."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from panji.core import merkle, note
from panji.core.checkpoint import Checkpoint
from panji.errors import ProofError
from support.witnesses import seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from panji.core.cosignature import Cosigner


class HttpWitness:
    """Follows add-checkpoint (C2SP tlog-witness) to the letter, with one log."""

    def __init__(self, cosigner: Cosigner, clock: Callable[[], datetime]) -> None:
        self.cosigner = cosigner
        self.clock = clock
        self.size, self.root = 0, merkle.EMPTY_ROOT
        self.asked: list[tuple[int, int]] = []
        """Old size and checkpoint's size of each request."""
        self.bodies: list[bytes] = []
        self.says: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        """What it says instead, once a test sets it."""
        self.url = ""

    async def add_checkpoint(self, request: web.Request) -> web.StreamResponse:
        """Answers a request."""
        body = await request.read()
        self.bodies.append(body)
        head, _, signed = body.decode().partition("\n\n")
        old, *lines = head.split("\n")
        checkpoint = Checkpoint.parse(note.parse(signed).text)
        self.asked.append((int(old.removeprefix("old ")), checkpoint.size))
        if self.says is not None:
            return await self.says(request)
        return self.honest(int(old.removeprefix("old ")), [base64.b64decode(line) for line in lines], checkpoint)

    def honest(self, old: int, proof: list[bytes], checkpoint: Checkpoint) -> web.Response:
        """The answer that the specification asks for."""
        if old != self.size:
            return self.conflict(self.size)
        try:
            merkle.verify_consistency(self.size, checkpoint.size, proof, self.root, checkpoint.root)
        except ProofError:
            return web.Response(status=422)
        self.size, self.root = checkpoint.size, checkpoint.root
        return web.Response(text=self.cosigner.cosign(checkpoint.text, seconds(self.clock())))

    @staticmethod
    def conflict(size: int | str) -> web.Response:
        """409, with the size that it has."""
        return web.Response(status=409, body=f"{size}\n".encode(), headers={"Content-Type": "text/x.tlog.size"})


@asynccontextmanager
async def http_witness(cosigner: Cosigner, clock: Callable[[], datetime]) -> AsyncIterator[HttpWitness]:
    """A witness that listens on a free port."""
    made = HttpWitness(cosigner, clock)
    application = web.Application()
    application.router.add_post("/w/add-checkpoint", made.add_checkpoint)
    # Tests end while a request hangs.
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/w"
    try:
        yield made
    finally:
        await runner.cleanup()


async def for_ever(_: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")
