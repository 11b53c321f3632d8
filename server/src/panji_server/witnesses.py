"""Shows every new head of the log to the witnesses, and keeps what they cosign (C2SP tlog-witness, the log's side).

In rounds: the newest head goes to all witnesses that are free, at once, so that they cosign the same one. A round is
over when the quorum is met, or nobody is left to wait for. What goes wrong with one witness is reported when it begins,
and the witness is left alone for longer and longer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiohttp

from panji.core import merkle, note
from panji.core.cosignature import read_answer
from panji.core.tlog_policy import parse_policy
from panji.errors import ConfigError, InputError, NoteError, RefusedError
from panji_server.storage.base import CosignatureRow
from panji_server.witness_call import Answer, WitnessError, add_checkpoint, is_prefix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from panji.core.cosignature import Cosignature
    from panji.core.note import NoteVerifier
    from panji.core.tlog_policy import Policy, Witness
    from panji_server.quorum import Quorum
    from panji_server.storage.base import Storage

T = TypeVar("T")

CLOCKS = timedelta(minutes=5)
"""How far a witness's clock may be from ours: a cosignature from further away does its readers no good."""
_ATTEMPTS = 3
"""How often a witness may name another size before the round goes on without it."""
LONGEST_PAUSE = 60.0
"""Seconds that a witness is left alone for at most where enough others cosign."""
LONGEST_PAUSE_IN_NEED = 10.0
"""The same where they do not: one that comes back must not keep the exchange waiting."""
_MOST_DOUBLINGS = 32
"""Of a pause; by then it is longer than any that counts."""


class Reading(Protocol):
    """How the database is read, beside the event loop."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Runs a function there."""


class Writing(Protocol):
    """How something is written to the database, between two commits."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """Does the work there."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often witnesses are asked, and how long they are waited for."""

    interval: timedelta = timedelta(seconds=1)
    """Least time between two rounds; also the first pause after a failure."""
    timeout: timedelta = timedelta(seconds=10)
    """How long a witness may take to answer."""
    refresh: timedelta = timedelta(hours=1)
    """After which a head that stays the newest is cosigned anew, so that its cosignatures do not look old."""


class ContradictionError(Exception):
    """A witness knows another log than the one we have, or no longer the one that it knew."""

    def __init__(self, message: str, witness_size: int, *, against_us: bool = True) -> None:
        self.witness_size = witness_size
        self.against_us = against_us
        """Whether it speaks against our log; otherwise it speaks against the witness."""
        super().__init__(message)


class _Peer:
    """A witness, and how things stand with it."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.name = witness.verifier.name
        self.known = 0
        """Size that it has last cosigned, as far as we know."""
        self.cosigned = -1
        """Size that we have its cosignature of since this process started."""
        self.cosigned_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.failures = 0
        self.left_at = 0.0
        self.pause = 0.0
        """Seconds that it is left alone for from then on, unless it is needed sooner."""
        self.problem: str | None = ""
        """What was last reported of it: a failure, None for a success, nothing yet."""

    def is_due(self, size: int, now: float, *, refresh: float, longest_pause: float) -> bool:
        """Whether it is to be asked about the head of a size."""
        busy = self.task is not None and not self.task.done()
        left_alone = now - self.left_at < min(self.pause, longest_pause)
        return not busy and not left_alone and (self.cosigned != size or now - self.cosigned_at >= refresh)


class Feeder:
    """Asks witnesses.

    Args:
        quorum: Told of heads and cosignatures. Of its policy's witnesses, those with a URL are asked.
        storage: Where the log is.
        read: Reads it.
        write: Writes to it.
        pace: How often.
        report: Told of events, by name and fields.
    """

    def __init__(
        self,
        quorum: Quorum,
        storage: Storage,
        *,
        read: Reading,
        write: Writing,
        pace: Pace,
        report: Callable[..., None],
    ) -> None:
        self._quorum = quorum
        self._storage = storage
        self._read = read
        self._write = write
        self._pace = pace
        self._report = report
        self._in_need = False
        """Whether the last round ended without a quorum."""
        self._peers = [_Peer(one) for one in quorum.policy.witnesses if one.url]

    def load(self) -> None:
        """Takes up what was kept before a restart, and has the quorum wait. Call it once, before statements are taken.

        Raises:
            StorageError: The database failed.
        """
        rows = self._storage.cosignatures()
        self._quorum.restore(rows, self._storage.checkpoints({row.size for row in rows}))
        for peer in self._peers:
            own = str(peer.witness.verifier)
            peer.known = max([row.size for row in rows if row.witness == own], default=0)
        size = self._storage.current_head().frontier.size
        witnessed = self._quorum.size
        if size > witnessed:
            # A restart gives the witnesses no new time: the first statement that they have not seen says since when.
            (first,) = self._storage.rows([witnessed])
            self._quorum.moved(size, self._storage.checkpoints([size])[size], first.received_at)
        self._quorum.wait()

    async def follow(self) -> None:
        """Asks until it is cancelled, or the storage fails."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._pace.timeout.total_seconds()),
            # A small answer could be a large body: nothing is unpacked.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "panji-server"},
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            try:
                while True:
                    await self._round(session)
                    await asyncio.sleep(self._pace.interval.total_seconds())
            except RefusedError:
                return  # the exchange stops, or has been told that the storage failed
            finally:
                self._quorum.give_up()
                tasks = [peer.task for peer in self._peers if peer.task is not None]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        size, signed = await self._notice()
        if size == 0:
            self._quorum.asked()  # nothing was signed that could contradict what they have seen
            return
        now = asyncio.get_running_loop().time()
        longest = LONGEST_PAUSE_IN_NEED if self._in_need or self._quorum.is_overdue else LONGEST_PAUSE
        asked: set[asyncio.Task[None]] = set()
        for peer in self._peers:
            if peer.is_due(size, now, refresh=self._pace.refresh.total_seconds(), longest_pause=longest):
                peer.task = asyncio.create_task(self._ask(session, peer, size, signed))
                asked.add(peer.task)
        while asked and (self._quorum.is_waiting or self._quorum.size < size):
            # All were asked about one head, so all are waited for: witnesses out of step would never make a quorum.
            _, asked = await asyncio.wait(
                asked, timeout=self._pace.interval.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            await self._notice()
        self._in_need = self._quorum.size < size
        self._quorum.asked()

    async def _notice(self) -> tuple[int, str]:
        size, signed = await self._head()
        if size:
            self._quorum.moved(size, signed)
        return size, signed

    async def _head(self) -> tuple[int, str]:
        size = (await self._read(self._storage.current_head)).frontier.size
        return size, (await self._read(self._storage.checkpoints, [size])).get(size, "")

    async def _ask(self, session: aiohttp.ClientSession, peer: _Peer, size: int, signed: str) -> None:
        try:
            cosignature = await self._submit(session, peer, size, signed)
            await self._keep(size, cosignature)
        except ContradictionError as found:
            if self._is_news(peer, problem := str(found)):
                self._report(
                    "witness.contradicted", witness=peer.name, error=problem, size=size, witness_size=found.witness_size
                )
            if found.against_us:
                self._quorum.contradicted(peer.witness.verifier)
        except WitnessError as error:
            self._failed(peer, str(error))
        except RefusedError:
            return  # ours, not the witness's
        except Exception as defect:  # noqa: BLE001 - one witness's answer must not end the asking of all
            self._failed(peer, f"a defect in the exchange: {type(defect).__name__}")
        else:
            self._succeeded(peer, size)

    async def _keep(self, size: int, cosignature: Cosignature) -> None:
        row = CosignatureRow(size, str(cosignature.witness), cosignature.line, cosignature.at)
        await self._write(partial(self._storage.keep_cosignatures, [row], forget_below=self._quorum.oldest))
        self._quorum.add(size, cosignature)

    def _succeeded(self, peer: _Peer, size: int) -> None:
        peer.cosigned, peer.cosigned_at = size, asyncio.get_running_loop().time()
        peer.known = max(peer.known, size)
        peer.failures, peer.pause = 0, 0.0
        if peer.problem is not None:
            peer.problem = None
            self._report("witness.cosigned", witness=peer.name, size=size)

    def _failed(self, peer: _Peer, problem: str) -> None:
        if self._is_news(peer, problem):
            self._report("witness.failed", witness=peer.name, error=problem)

    def _is_news(self, peer: _Peer, problem: str) -> bool:
        """Leaves a witness alone for a while; returns whether its problem is another one than before."""
        peer.pause = self._pace.interval.total_seconds() * 2**peer.failures
        peer.failures = min(peer.failures + 1, _MOST_DOUBLINGS)
        peer.left_at = asyncio.get_running_loop().time()
        before, peer.problem = peer.problem, problem
        return before != problem

    async def _submit(self, session: aiohttp.ClientSession, peer: _Peer, size: int, signed: str) -> Cosignature:
        """Gets a witness's cosignature of a head.

        Raises:
            WitnessError: It gave none, or none that helps.
            ContradictionError: It says that it has seen another log of ours.
        """
        old = min(peer.known, size)
        for _ in range(_ATTEMPTS):
            proof = await self._read(merkle.consistency_proof, old, size, self._storage.nodes)
            answer = await add_checkpoint(session, peer.witness.url, old, proof, signed)
            if answer.status == HTTPStatus.OK:
                return self._cosignature(answer, peer.witness, signed)
            if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and old:
                raise ContradictionError("refuses the proof: the log that it has seen is another one", old)
            if answer.status != HTTPStatus.CONFLICT:
                raise WitnessError(f"answered {answer.status}")
            if answer.size is None or answer.size == old:
                # The protocol's first version answers so where sizes agree and roots do not.
                if old == size:
                    raise ContradictionError("has seen another head of this very size", size)
                raise WitnessError("answered 409 without a size that helps")
            old = await self._other_size(peer, answer.size, size)
        raise WitnessError(f"named another size {_ATTEMPTS} times")

    async def _other_size(self, peer: _Peer, named: int, size: int) -> int:
        """Judges the size that a witness says it has cosigned; returns it where we can prove from there."""
        if named > size:
            newest, _ = await self._head()
            if named > newest:
                # Somebody signs with our key, or this database was set back to an earlier day.
                raise ContradictionError("has cosigned a larger log than we have", named)
            peer.known = named
            raise WitnessError("has been asked about a newer head meanwhile")
        if named < peer.known:
            known, peer.known = peer.known, named
            problem = f"has cosigned {known} entries before, and now says fewer"
            raise ContradictionError(problem, named, against_us=False)
        return named

    def _cosignature(self, answer: Answer, witness: Witness, signed: str) -> Cosignature:
        try:
            cosignature = read_answer(answer.body, note.parse(signed).text, witness.verifier)
        except NoteError as error:
            raise WitnessError("answered 200 without a cosignature of its own over this head") from error
        if abs(cosignature.at - self._quorum.clock()) > CLOCKS:
            raise WitnessError(f"cosigns as of {cosignature.at.isoformat()}: its clock or ours is wrong")
        return cosignature


def read_policy(path: Path, log: NoteVerifier) -> Policy:
    """Returns the policy of a file.

    Raises:
        ConfigError: It cannot be read, is none, does not accept the log, or its quorum cannot be met by witnesses that
            have a URL to ask at.
    """
    try:
        policy = parse_policy(path.read_bytes())
    except (OSError, InputError) as error:
        raise ConfigError("witnesses.policy", str(error)) from error
    if policy.logs and log not in [one.verifier for one in policy.logs]:
        raise ConfigError("witnesses.policy", "names logs, and this exchange's is not among them")
    for one in policy.witnesses:
        if one.url and not is_prefix(one.url):
            raise ConfigError("witnesses.policy", f"the URL of witness {one.name} is no http or https URL")
    if policy.missing([one.name for one in policy.witnesses if one.url]):
        raise ConfigError("witnesses.policy", "the witnesses that have a URL cannot make the quorum")
    return policy
