"""What the bench and the chaos runs share: an exchange in its own process, signed statements, receipts checked.

The parties speak the contract with bare stubs and verify with :mod:`panji.core` alone, so that a defect of the client
library's bookkeeping can neither cause nor hide what these runs look for.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import grpc

from panji import tls
from panji.core import envelope as dsse
from panji.core import receipt as receipts
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.statements import Statement
from panji.profile import Profile
from panji.wire.envelopes import encode_envelope
from panji.wire.receipts import receipt_from_message
from panji.wire.statements import encode_statement
from support.statements import a_flag, a_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from panji.core.note import NoteVerifier
    from panji.core.receipt import VerifiedReceipt
    from panji.core.statements import Body
    from panji.v1 import receipt_pb2

UNLIMITED = {"PANJI_LIMITS__STATEMENTS_PER_SECOND": "1e9", "PANJI_LIMITS__BURST": "1000000000"}
"""Settings of an exchange that takes as much of one organisation as it can: its limits are not what is looked at."""

REASONS = (
    "The channel promotes an online gambling site to the public, with links that lead to the site, prices and a "
    "telephone number. It was seen on the day named below, from an address in Jakarta, without signing in. "
    "The operator of the site has no licence, and none can be had: the law prohibits the offer as such."
)
"""Of the usual length in notices that were published."""


def uuid7() -> str:
    """A fresh UUIDv7 (RFC 9562, section 5.7)."""
    data = bytearray(int(time.time() * 1000).to_bytes(6) + secrets.token_bytes(10))
    data[6], data[8] = data[6] & 0x0F | 0x70, data[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(data)))


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement as it travels."""

    id: str
    envelope: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation with its keys: it signs, and it opens channels."""

    profile: Profile
    signer: PrivateKeySigner

    @classmethod
    def load(cls, path: Path) -> Self:
        profile = Profile.load(path)
        return cls(profile, PrivateKeySigner.from_pem(profile.signing_keys[0].read_bytes()))

    def channel(self) -> grpc.aio.Channel:
        """A new channel to the exchange, without the library's retries: these runs count every answer themselves."""
        options = [*tls.channel_options(self.profile), ("grpc.enable_retries", 0)]
        return grpc.aio.secure_channel(self.profile.address, tls.channel_credentials(self.profile), options)

    def sign(self, body: Body, recipient: str, *, case_id: str = "", in_reply_to: bytes = b"") -> Signed:
        """One statement of now, signed."""
        statement = Statement(
            id=uuid7(),
            exchange=self.profile.log.name,
            sender=self.profile.organisation,
            recipient=recipient,
            issued_at=datetime.now(UTC),
            language="en",
            case_id=case_id,
            in_reply_to=in_reply_to,
            body=body,
        )
        envelope = encode_envelope(dsse.sign(encode_statement(statement), [self.signer]))
        return Signed(statement.id, envelope, dsse.digest(envelope))

    def flag(self, recipient: str, number: int = 0) -> Signed:
        """One flag about one channel."""
        target = a_target(url=f"https://t.example/gambling_news_{number}", handle=f"@gambling_news_{number}")
        return self.sign(a_flag(reasons=REASONS, targets=(target,), reference=f"K-{number}"), recipient)

    def flags(self, recipient: str, count: int) -> list[Signed]:
        """So many flags, signed ahead of time."""
        return [self.flag(recipient, number) for number in range(count)]


class Receipts:
    """Verifies receipts with the log's key alone, and notices two heads of one size.

    Heads are shared by all receipts of a commit, so each is opened once.
    """

    def __init__(self, log: NoteVerifier) -> None:
        self._log = log
        self._heads: dict[str, Checkpoint] = {}
        self.roots: dict[int, bytes] = {}
        """Root by size, of every head seen."""
        self.forks = 0
        """Heads whose size had another root before."""

    def verify(self, digest: bytes, message: receipt_pb2.Receipt) -> VerifiedReceipt:
        """The receipt, verified.

        Raises:
            PanjiError: It proves nothing.
        """
        receipt = receipt_from_message(message)
        return receipts.verify_in(receipt, digest, self.head(receipt.checkpoint))

    def head(self, signed: str) -> Checkpoint:
        """The checkpoint, verified.

        Raises:
            NoteError: It is not this log's.
        """
        found = self._heads.get(signed)
        if found is None:
            found = self._heads[signed] = open_checkpoint(signed, self._log)
            self.forks += self.roots.setdefault(found.size, found.root) != found.root
        return found


class ExchangeProcess:
    """A real exchange, ``python -m panji_server``, in a process of its own.

    Args:
        config: Its settings file.
        listen: Where it listens.
        command: What Python runs; it takes ``--config`` as the exchange does.
        settings: Environment variables over the file, as in ``PANJI_LIMITS__BURST``.
    """

    def __init__(
        self,
        config: Path,
        listen: str,
        *,
        command: tuple[str, ...] = ("-m", "panji_server"),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        environment = {**os.environ, **(settings or {})}
        self._process = subprocess.Popen([sys.executable, *command, "--config", str(config)], env=environment)
        self._listen = listen

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Returns once the process takes connections.

        Raises:
            RuntimeError: It ended, or did not get that far in time.
        """
        host, _, port = self._listen.rpartition(":")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.exit_code is not None:
                raise RuntimeError(f"the process ended with {self.exit_code}")
            try:
                socket.create_connection((host, int(port)), 1.0).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise RuntimeError(f"the process did not listen within {seconds} s")

    def kill(self) -> None:
        """SIGKILL: the process gets no say."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ends the process in order, and returns its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode

    def cpu_seconds(self) -> float:
        """Processor time of all threads since the start, to the nanosecond.

        The same as ``utime + stime`` of ``/proc/<pid>/stat``, which has 10 ms: the kernel's clock of another process
        (Linux, clock_getcpuclockid(3)).
        """
        return time.clock_gettime(~self.pid << 3 | 2)
