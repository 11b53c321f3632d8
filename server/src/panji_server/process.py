"""One exchange's process: its parts, put together, from start to stop."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.note import NoteSigner
from panji.errors import ConfigError, PanjiError, RefusedError
from panji_server import __version__, startup
from panji_server.admission import Rules
from panji_server.deadlines import Deadlines
from panji_server.directory import DirectoryFile
from panji_server.exchange import Exchange
from panji_server.herald import Herald, operator_of
from panji_server.http.log import LogListener, tls_context
from panji_server.limits import RateLimit
from panji_server.procedure import ProcedureFile
from panji_server.quorum import Quorum
from panji_server.rebuild import remove_left
from panji_server.record import DirectoryOnRecord, must_follow, recorded
from panji_server.rpc.server import Server, tls_credentials
from panji_server.sequencing import CaseRoom
from panji_server.steady import SteadyClock, elapsed
from panji_server.storage.base import StorageError
from panji_server.witnesses import Feeder, Pace, read_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta
    from pathlib import Path

    from panji.core.case import Case
    from panji.core.directory import Directory
    from panji_server.audit import AuditLog
    from panji_server.config import Config, Witnesses
    from panji_server.sequencing import Accepted
    from panji_server.storage.base import Storage

_GC_THRESHOLD = 20_000
_LAST_WORDS_SECONDS = 0.2
"""How long calls may take to end when the storage has failed."""


class Process:
    """An exchange that is ready to start: configured, and audited.

    Args:
        config: What it was told.
        audit: Where events go.
        storage: Where its log is.
        on_start: Told the address once it listens there.

    Raises:
        ConfigError: A key, the directory or the address cannot be used; the setting is named.
        StorageError: The database is damaged, incomplete, or of another exchange.
    """

    def __init__(
        self, config: Config, audit: AuditLog, storage: Storage, *, on_start: Callable[[str], None] = lambda _: None
    ) -> None:
        self._config = config
        self._audit = audit
        self._storage = storage
        self._on_start = on_start
        self._signer, voice = _log_signer(config), _signer("statement_key", config.statement_key)
        self._directory = DirectoryFile(
            config.directory,
            on_change=self._directory_changed,
            on_error=lambda error: self._report("directory.rejected", error=str(error)),
            record=self._directory_read,
        )
        operator = operator_of(self._directory.current, voice.public_key, _now())
        _, self._checked = startup.audit(storage, self._signer.verifier)
        self._head = storage.current_head()
        must_follow(recorded(storage), self._directory.current, _now())
        self._procedure = ProcedureFile(config.procedure)
        self._procedure.must_follow(storage)
        self._failed: list[StorageError] = []
        self._signals: list[str] = []
        self._stop = asyncio.Event()
        self._quorum = self._quorum_of(config.witnesses)
        self._exchange = Exchange(
            storage,
            self._signer,
            self._directory,
            Rules(
                origin=config.origin,
                max_envelope_bytes=config.limits.envelope_bytes,
                issued_before=config.limits.issued_before,
                issued_after=config.limits.issued_after,
            ),
            RateLimit(config.limits.statements_per_second, config.limits.burst),
            max_queue=config.limits.queue,
            room=CaseRoom(config.limits.case_statements, config.limits.case_bytes),
            on_failure=self._fail,
            on_statement=self._statement_made,
            clock=_now,
            quorum=self._quorum,
        )
        self._feeder = self._feeder_of(config.witnesses)
        # Ed25519 signs the same text the same way each time: a secret that all servers with the log's key share.
        secret = hashlib.sha256(self._signer.sign("panji.herald.ids.v1\n").encode()).digest()
        herald = self._herald = Herald(config.origin, operator, voice, secret)
        self._on_record = DirectoryOnRecord(self._exchange, herald, operator, voice.public_key, _now)
        self._deadlines = Deadlines(
            self._exchange,
            herald,
            acknowledged=config.deadlines.acknowledged,
            clock=SteadyClock(_now, elapsed, self._clock_jumped),
            on_unstated=self._deadline_unstated,
        )
        tls_credentials(config)
        tls_context(config.log_http)

    def __str__(self) -> str:
        size = self._head.frontier.size
        return f"{self._config.origin}, {size} {'entry' if size == 1 else 'entries'}"

    @property
    def log_key(self) -> str:
        """The log's verifier key, as profiles have it."""
        return str(self._signer.verifier)

    async def run(self) -> None:
        """Answers calls until a SIGTERM or SIGINT, and ends in order.

        Raises:
            ConfigError: An address is taken, or the listener's certificate cannot be used.
            StorageError: The storage failed: nothing more is promised, and the process must end.
        """
        # Only now that the audit has found the database whole: nothing of a damaged one is moved.
        self._storage.purge()
        remove_left(self._config.database)
        server = self._bind()
        listener = LogListener(self._config.log_http, self._exchange, self._certificate_looked_at)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told, number)
        # What there is by now stays, and a statement's values go as they come, without cycles. Python by itself would
        # look for cycles after every few hundred new objects, through all of it, several times a second.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 20)
        startup.remember(self._storage)
        following: list[asyncio.Task[None]] = []
        # A new log's first statement is there before witnesses are asked, so that they are asked about something. A
        # version of the directory that an older log does not have yet gets there after they were.
        if not self._head.frontier.size:
            await self._put_on_record()
        if self._feeder is not None:
            following.append(self._follow(self._feeder.follow()))
        await self._put_on_record()
        await self._deadlines.begin()
        self._head = await self._exchange.read(self._storage.current_head)  # with what was put on record just now
        await server.start()
        await listener.start()
        self._started(server.port, listener.address)
        following += [
            self._follow(self._directory.follow()),
            self._follow(self._deadlines.follow()),
            self._follow(self._exchange.presence.follow(self._exchange.keep_presence)),
        ]
        await self._stop.wait()
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        if not self._failed:
            await self._end(server, listener)
        if self._failed:
            # Fail closed: whoever waits was told to retry, and nothing more is promised. The audit at start finds out
            # what of the last commit the disk has.
            self._report("exchange.failed", error=str(self._failed[0]))
            await server.stop(_LAST_WORDS_SECONDS)
            raise self._failed[0]
        self._report("exchange.stopped", size=self._storage.current_head().frontier.size)

    async def _put_on_record(self) -> None:
        try:
            await self._on_record.record(self._directory.text, self._directory.current)
        except RefusedError as refusal:
            raise StorageError(f"the directory could not be put on record: {refusal}") from refusal
        try:
            await self._procedure.record(self._exchange, self._herald, _now())
        except RefusedError as refusal:
            raise StorageError(f"the procedure could not be put on record: {refusal}") from refusal

    def _quorum_of(self, settings: Witnesses) -> Quorum | None:
        if settings.policy is None:
            return None
        policy = read_policy(settings.policy, self._signer.verifier)
        return Quorum(
            policy,
            overdue=settings.overdue,
            fail_closed=settings.fail_closed,
            report=self._report,
            clock=_now,
            elapsed=elapsed,
        )

    def _feeder_of(self, settings: Witnesses) -> Feeder | None:
        if self._quorum is None:
            return None
        exchange, pace = self._exchange, Pace(settings.interval, settings.timeout, settings.refresh)
        feeder = Feeder(
            self._quorum, self._storage, read=exchange.read, write=exchange.chore, pace=pace, report=self._report
        )
        feeder.load()
        return feeder

    def _bind(self) -> Server:
        try:
            return Server(self._config, self._exchange, self._audit)
        except RuntimeError as error:
            raise ConfigError("listen", f"cannot listen on {self._config.listen}: {error}") from error

    async def _end(self, server: Server, listener: LogListener) -> None:
        self._report("exchange.stopping", signal=self._signals[0])
        await server.drain()
        await listener.stop()
        ending = asyncio.create_task(server.stop(self._config.grace_seconds))
        await self._exchange.stop()
        await ending

    # What it is told.

    def _told(self, number: signal.Signals) -> None:
        self._signals.append(number.name)
        self._stop.set()

    def _fail(self, error: StorageError) -> None:
        self._failed.append(error)
        self._stop.set()

    def _follow(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Has something done all the time. An exchange in which it no longer is done must not look like a whole one."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._followed)
        return task

    def _followed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._failed and not self._stop.is_set():
            self._fail(StorageError(f"a defect in the exchange: {task.exception()!r}"))

    async def _directory_read(self, text: str, directory: Directory) -> None:
        await self._on_record.record(text, directory)

    def _directory_changed(self, directory: Directory) -> None:
        self._report(
            "directory.changed",
            organisations=len(directory.organisations),
            accreditations=len(directory.accreditations),
        )
        self._exchange.nudge()

    def _certificate_looked_at(self, problem: ConfigError | None) -> None:
        if problem is None:
            self._report("certificate.changed", listen=self._config.log_http.listen)
        else:
            self._report("certificate.rejected", error=str(problem))

    # What it tells.

    def _started(self, port: int, log_http: str) -> None:
        config, frontier = self._config, self._head.frontier
        listen = f"{config.listen.rpartition(':')[0]}:{port}"
        self._report(
            "exchange.started",
            version=__version__,
            listen=listen,
            log_http=log_http,
            origin=config.origin,
            log_key=self.log_key,
            size=frontier.size,
            root=base64.b64encode(frontier.root()).decode("ascii"),
            checked=self._checked,
            organisations=len(self._directory.current.organisations),
        )
        self._on_start(listen)

    def _statement_made(self, accepted: Accepted) -> None:
        row = accepted.row
        self._report(
            "statement.made",
            statement_id=row.id,
            kind=row.kind,
            case_id=accepted.case_id,
            sender=row.sender,
            recipient=row.recipient,
            test=accepted.test,
            index=row.index,
            sequence=row.sequence,
            received_at=row.received_at.isoformat(timespec="microseconds"),
            digest=row.digest.hex(),
            bytes=len(row.envelope),
        )

    def _deadline_unstated(self, case: Case, refusal: RefusedError) -> None:
        self._report("deadline.unstated", case_id=case.id, reason=refusal.reason.value)

    def _clock_jumped(self, ahead: timedelta) -> None:
        self._report("clock.jumped", ahead_seconds=round(ahead.total_seconds()))

    def _report(self, event: str, **fields: object) -> None:
        self._audit.write(event, **fields)
        self._audit.flush()


def _log_signer(config: Config) -> NoteSigner:
    key = _signer("log_key", config.log_key)
    if key.public_key.algorithm is not Algorithm.ED25519:
        raise ConfigError("log_key", "is no Ed25519 key")
    try:
        return NoteSigner(config.origin, key)
    except PanjiError as error:
        raise ConfigError("origin", str(error)) from error


def _signer(setting: str, path: Path) -> PrivateKeySigner:
    try:
        return PrivateKeySigner.from_pem(path.read_bytes())
    except (OSError, PanjiError) as error:
        raise ConfigError(setting, str(error)) from error


def _now() -> datetime:
    return datetime.now(UTC)
