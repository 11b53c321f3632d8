"""One request to a witness: add-checkpoint (C2SP tlog-witness), and nothing believed of what comes back."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from panji.core.checkpoint import MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ANSWER_BYTES = 64 * 1024
"""Of an answer's body: many times what a witness's signature lines take."""

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_SIZE_TYPE = "text/x.tlog.size"


class WitnessError(Exception):
    """A witness did not answer, or not as the protocol says. The text holds nothing that it sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered."""

    status: int
    body: bytes
    size: int | None
    """With 409 Conflict, the size that the witness has last cosigned, where it says so."""


def is_prefix(url: str) -> bool:
    """Whether a text can be a witness's submission prefix."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and plain and port_is_right and url.isascii()


def request_body(old: int, proof: Sequence[bytes], checkpoint: str) -> bytes:
    """Returns the body of an add-checkpoint request."""
    hashes = "".join(f"{base64.b64encode(one).decode('ascii')}\n" for one in proof)
    return f"old {old}\n{hashes}\n{checkpoint}".encode()


async def add_checkpoint(
    session: aiohttp.ClientSession, prefix: str, old: int, proof: Sequence[bytes], checkpoint: str
) -> Answer:
    """Submits a checkpoint to a witness.

    Args:
        session: Sends it.
        prefix: The witness's submission prefix.
        old: Size of the tree that the witness is thought to have cosigned last.
        proof: Consistency proof from there.
        checkpoint: The signed note.

    Raises:
        WitnessError: No answer, a redirect, a body that is too long, or a 409 that is malformed.
    """
    url = f"{prefix.rstrip('/')}/add-checkpoint"
    try:
        # Redirects are not followed: an answer counts only from where the operator said that the witness is.
        async with session.post(url, data=request_body(old, proof, checkpoint), allow_redirects=False) as response:
            body = await _read(response)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            status = response.status
    except TimeoutError as error:
        raise WitnessError("did not answer in time") from error
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise WitnessError(f"could not be asked: {type(error).__name__}") from error
    size = _size(body) if status == HTTPStatus.CONFLICT and kind == _SIZE_TYPE else None
    return Answer(status, body, size)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise WitnessError(f"answered {response.status} with more than {MAX_ANSWER_BYTES} bytes")
    return body


def _size(body: bytes) -> int:
    found = _SIZE.fullmatch(body)
    if found is None or int(found[1]) > MAX_SIZE:
        raise WitnessError("answered 409 with something else than a size")
    return int(found[1])
