"""One request to a witness, and every way in which it may answer."""

from __future__ import annotations

import asyncio
import gzip
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from support.http_witness import HttpWitness, for_ever, http_witness
from support.rooms import LATER, LOG
from support.witnesses import WITNESSES

from panji.core import merkle
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji_server.witness_call import MAX_ANSWER_BYTES, Answer, WitnessError, add_checkpoint, is_prefix, request_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEAD = Checkpoint(LOG.verifier.name, 1, merkle.leaf_hash(b"one"))
SIGNED = sign_checkpoint(HEAD, LOG)
PATIENCE = 10.0


@asynccontextmanager
async def a_witness() -> AsyncIterator[HttpWitness]:
    async with http_witness(WITNESSES["alder"], lambda: LATER) as witness:
        yield witness


async def asked(url: str, *, patience: float = PATIENCE) -> Answer:
    settings = aiohttp.ClientTimeout(total=patience)
    async with aiohttp.ClientSession(timeout=settings, auto_decompress=False) as session:
        return await add_checkpoint(session, url, 0, (), SIGNED)


def saying(witness: HttpWitness, response: web.Response) -> None:
    async def say(_: web.Request) -> web.StreamResponse:
        return response

    witness.says = say


def test_the_request_is_the_specifications() -> None:
    assert request_body(20852014, [bytes(32), b"\xff" * 32], SIGNED).decode() == (
        "old 20852014\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        f"//////////////////////////////////////////8=\n\n{SIGNED}"
    )
    assert request_body(0, [], SIGNED).decode() == f"old 0\n\n{SIGNED}"


@pytest.mark.parametrize("suffix", ["", "/"])
async def test_an_answer_comes_back_as_it_is(suffix: str) -> None:
    async with a_witness() as witness:
        answer = await asked(witness.url + suffix)
        assert (answer.status, answer.size) == (200, None)
        assert answer.body.startswith("— alder.example/w1 ".encode())
        assert witness.bodies == [request_body(0, [], SIGNED)]


async def test_a_conflict_names_the_size_that_the_witness_has() -> None:
    async with a_witness() as witness:
        witness.size = 12
        assert await asked(witness.url) == Answer(409, b"12\n", 12)


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503])
async def test_a_refusal_is_an_answer(status: int) -> None:
    async with a_witness() as witness:
        saying(witness, web.Response(status=status, text="no"))
        assert await asked(witness.url) == Answer(status, b"no", None)


@pytest.mark.parametrize(
    "body",
    ["", "12", "012\n", "-1\n", "+1\n", "1e3\n", "12\n13\n", "twelve\n", "9223372036854775808\n", "9" * 9999 + "\n"],
)
async def test_a_conflict_with_nonsense_for_a_size_is_refused(body: str) -> None:
    async with a_witness() as witness:
        saying(witness, HttpWitness.conflict(body.removesuffix("\n")) if body.endswith("\n") else typed(body))
        with pytest.raises(WitnessError, match="something else than a size"):
            await asked(witness.url)


def typed(body: str) -> web.Response:
    return web.Response(status=409, body=body.encode(), headers={"Content-Type": "text/x.tlog.size; charset=utf-8"})


async def test_a_conflict_of_another_type_names_no_size() -> None:
    async with a_witness() as witness:
        saying(witness, web.Response(status=409, text="12\n"))
        assert (await asked(witness.url)).size is None


async def test_a_witness_that_says_too_much_is_cut_short() -> None:
    async with a_witness() as witness:
        saying(witness, web.Response(body=b"x" * (MAX_ANSWER_BYTES + 1)))
        with pytest.raises(WitnessError, match="more than 65536 bytes"):
            await asked(witness.url)
        saying(witness, web.Response(body=b"x" * MAX_ANSWER_BYTES))
        assert len((await asked(witness.url)).body) == MAX_ANSWER_BYTES


async def test_a_small_answer_that_would_unpack_to_a_large_one_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(50_000_000))
    async with a_witness() as witness:
        saying(witness, web.Response(body=packed, headers={"Content-Encoding": "gzip"}))
        assert (await asked(witness.url)).body == packed


async def test_a_witness_that_never_ends_its_answer_is_cut_short() -> None:
    async def babble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)

    async with a_witness() as witness:
        witness.says = babble
        with pytest.raises(WitnessError, match="more than"):
            await asked(witness.url)


async def test_a_witness_that_hangs_is_given_up() -> None:
    async with a_witness() as witness:
        witness.says = for_ever
        with pytest.raises(WitnessError, match="did not answer in time"):
            await asked(witness.url, patience=0.05)


async def test_a_redirect_is_not_followed() -> None:
    async with a_witness() as witness, a_witness() as elsewhere:
        saying(witness, web.Response(status=307, headers={"Location": f"{elsewhere.url}/add-checkpoint"}))
        assert (await asked(witness.url)).status == 307
        assert elsewhere.asked == []


async def test_nobody_there_is_an_error_of_the_witness() -> None:
    with socket.socket() as taken:  # bound and not listening, so that nobody else can
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(WitnessError, match="could not be asked"):
            await asked(f"http://127.0.0.1:{taken.getsockname()[1]}")


async def test_what_is_no_http_is_an_error_of_the_witness() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        with pytest.raises(WitnessError, match="could not be asked"):
            await asked(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(
    "url", ["http://w.example", "https://w.example:8443/w1/", "http://[::1]:80/x", "http://127.0.0.1:1"]
)
def test_prefixes_are_taken(url: str) -> None:
    assert is_prefix(url)


@pytest.mark.parametrize(
    "url",
    [
        "w.example", "ftp://w.example", "http://", "http:///w", "http://w.example/?q", "http://w.example/#f",
        "http://u:p@w.example", "http://w.example:99999", "http://w.example:0", "http://w.example:x", "http://[::1",
        "http://\udcff.example",
    ],
)  # fmt: skip
def test_what_is_no_prefix_is_told(url: str) -> None:
    assert not is_prefix(url)
