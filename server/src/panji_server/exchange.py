"""The exchange: one pipeline for statements of every kind, and the feed that delivers them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from panji.core import envelope as dsse
from panji.core import form
from panji.core.vocabulary import Kind
from panji.errors import PanjiError, Reason, RefusedError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import peek
from panji_server.admission import Rules, admit
from panji_server.ledger import Ledger, receipts
from panji_server.limits import units
from panji_server.on_record import Procedures
from panji_server.pace import Pace
from panji_server.presence import Presence
from panji_server.sequencing import Accepted, Admitted, CaseRoom, Repeated, Together, content_erased
from panji_server.storage.base import StorageError
from panji_server.tiles import newest_checkpoint

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from panji.core.directory import Organisation
    from panji.core.note import NoteSigner
    from panji.core.receipt import Receipt
    from panji_server.directory import DirectorySource
    from panji_server.limits import RateLimit
    from panji_server.quorum import Quorum
    from panji_server.storage.base import Fetched, Row, Storage
from panji_server.timetable import Timetable

T = TypeVar("T")

DELIVERIES_AT_ONCE = 64
"""Statements that the feed reads and sends at once."""
RUN_BYTES = 1024 * 1024
"""Bytes of envelopes after which the feed sends what it has read: so much, several times over, a stream that nobody
reads holds in memory."""
_RECENT = 4096
"""Latest statements whose receipts are kept in memory, so that watchers who keep up cost no disk."""
MAX_PART = 100
"""Statements of one call that are queued together; a longer call's are queued in parts."""
MAX_PART_BYTES = 512 * 1024
"""Bytes of such a part, unless one statement has more: others have a turn after each."""
_READERS = 2
"""Threads that read from the database."""
_WRITERS = 2
"""Threads that write to it: the ledger's, and the one that tidies up."""

# Refusals that may only mean that time has passed since these very bytes were accepted: keys expire, grants end, limits
# are lowered, a later version knows more rules, and witnesses fall silent.
_MAY_BE_OLD = frozenset(
    {
        Reason.PAYLOAD_TOO_LARGE,
        Reason.PAYLOAD_MALFORMED,
        Reason.STATEMENT_INVALID,
        Reason.SIGNATURE_INVALID,
        Reason.ISSUE_TIME_OUT_OF_RANGE,
        Reason.NOT_ACCREDITED,
        Reason.RECIPIENT_UNKNOWN,
        Reason.RECIPIENT_UNREACHABLE,
        Reason.ROLE_NOT_ALLOWED,
        Reason.WITNESSES_OVERDUE,
    }
)

Delivered = tuple["Row", "Receipt"]
"""A stored statement and its receipt."""


def _parts(envelopes: Sequence[bytes]) -> list[Sequence[bytes]]:
    parts: list[Sequence[bytes]] = []
    start = size = 0
    for number, envelope in enumerate(envelopes):
        if number > start and (number == start + MAX_PART or size + len(envelope) > MAX_PART_BYTES):
            parts.append(envelopes[start:number])
            start, size = number, 0
        size += len(envelope)
    return [*parts, envelopes[start:]]


class Exchange:
    """Takes statements in, and gives them out again. One instance a process.

    Args:
        storage: Where the log is.
        signer: The log's key; its name is the exchange's origin.
        directory: Who is on the channel.
        rules: What every statement must meet.
        limit: How much each organisation may submit.
        max_queue: Statements that may wait for a commit.
        room: How much a side may say in a case.
        on_failure: Called once when the storage failed and the process must end.
        on_statement: Told of every statement of the exchange's own that was accepted.
        clock: Gives the time; aware.
        quorum: What witnesses have cosigned, where there are any.
    """

    def __init__(
        self,
        storage: Storage,
        signer: NoteSigner,
        directory: DirectorySource,
        rules: Rules,
        limit: RateLimit,
        *,
        max_queue: int,
        room: CaseRoom = CaseRoom(),  # noqa: B008 - frozen
        on_failure: Callable[[StorageError], None],
        on_statement: Callable[[Accepted], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        quorum: Quorum | None = None,
    ) -> None:
        self.storage = storage
        self.directory = directory
        self.presence = Presence(clock)
        self.procedures = Procedures(storage)
        self.timetable = Timetable(self.procedures)
        self._rules = rules
        self._limit = limit
        self._clock = clock
        self._quorum = quorum
        self._log = signer.verifier
        self._on_failure = on_failure
        self._on_statement = on_statement
        self._failed = False
        self._closed = False
        storage.prepare(_READERS + _WRITERS)  # before anybody can connect, and take the file descriptors
        self._readers = ThreadPoolExecutor(_READERS, "panji-reader")
        self._recent: OrderedDict[int, Receipt] = OrderedDict()
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._stopping = asyncio.Event()
        head = storage.current_head()
        self._latest = head.received_at or datetime.min.replace(tzinfo=UTC)
        self._began_with = head.frontier.size
        self._submitting = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._ledger = Ledger(
            storage,
            signer,
            max_queue=max_queue,
            room=room,
            first_look=self.timetable.first_look,
            on_commit=self._committed,
            on_failure=self._fail,
        )
        self._ledger.start()

    async def submit(
        self, envelopes: Sequence[bytes], allowed: frozenset[Kind], caller: Organisation, *, together: bool = False
    ) -> list[Accepted | Repeated | RefusedError]:
        """Takes statements through all steps; returns an outcome for each, in order, once what was accepted is durable.

        Args:
            envelopes: The exact bytes that arrived.
            allowed: Kinds that the called method takes.
            caller: The organisation that calls.
            together: All are taken, in one commit, or none. Where one is refused, so are the others.

        Raises:
            RefusedError: For the call as a whole: RATE_LIMITED, OVERLOADED, SHUTTING_DOWN, STORAGE_FAILED.
        """
        if self._stopping.is_set():
            raise RefusedError(Reason.SHUTTING_DOWN, "the exchange is stopping")
        self._limit.take(caller.id, units(envelopes), time.monotonic())
        self._submitting += 1
        self._quiet.clear()
        try:
            return await (self._submit_together if together else self._submit)(envelopes, allowed, caller)
        finally:
            self._submitting -= 1
            if not self._submitting:
                self._quiet.set()

    async def _submit(
        self, envelopes: Sequence[bytes], allowed: frozenset[Kind], caller: Organisation
    ) -> list[Accepted | Repeated | RefusedError]:
        now = self._now()
        self._ledger.require_room(len(envelopes))
        # In parts, each a turn behind the one before, so that other calls get in between those of a long batch.
        answers = [
            self._ledger.submit(
                partial(self._admit, part, allowed, caller, now), len(part), sum(map(len, part)), turns=turns
            )
            for turns, part in enumerate(_parts(envelopes))
        ]
        outcomes = [outcome for answer in await asyncio.gather(*answers) for outcome in answer]
        pace = Pace()
        for number, (outcome, data) in enumerate(zip(outcomes, envelopes, strict=True)):
            if isinstance(outcome, RefusedError) and outcome.reason in _MAY_BE_OLD:
                if (row := await self._accepted_before(data, caller)) is not None:
                    outcomes[number] = content_erased() if row.erased else Repeated(row)
                await pace.breathe()
        return outcomes

    async def _submit_together(
        self, envelopes: Sequence[bytes], allowed: frozenset[Kind], caller: Organisation
    ) -> list[Accepted | Repeated | RefusedError]:
        # What is in the log is asked for first, not last: it stays there whatever becomes of the others, so that all
        # or none is a question about these. An older release may have taken one of them alone, and today it may be too
        # old to be admitted.
        known = [await self._accepted_before(data, caller) for data in envelopes]
        there = [row if row is not None and row.kind in allowed and not row.erased else None for row in known]
        missing = [data for data, row in zip(envelopes, there, strict=True) if row is None]
        self._ledger.require_room(len(missing))
        admit = partial(self._admit_together, missing, allowed, caller, self._now())
        taken = iter(await self._ledger.submit(admit, len(missing), sum(map(len, missing))) if missing else ())
        return [next(taken) if row is None else Repeated(row) for row in there]

    def _now(self) -> datetime:
        # Never before the last receipt, whatever the clock does: keys and grants must hold at the time that is logged.
        return max(self._clock(), self._latest)

    async def state(self, statements: Sequence[Admitted]) -> list[Accepted | Repeated | RefusedError]:
        """Puts the exchange's own statements into the log; returns an outcome for each once all are durable.

        Overdue witnesses do not keep it from that, but those do that have seen another log; so this waits until they
        were asked after a start.

        Raises:
            RefusedError: OVERLOADED, SHUTTING_DOWN, STORAGE_FAILED, WITNESSES_OVERDUE: nothing is taken now.
        """
        if self._quorum is not None and (objection := await self._quorum.objection()):
            raise objection
        outcomes = await self._ledger.append(statements)
        for outcome in outcomes:
            if isinstance(outcome, Accepted):
                self._on_statement(outcome)
        return outcomes

    async def chore(self, work: Callable[[], T]) -> T:
        """Runs other work that writes to the database between two commits.

        Raises:
            RefusedError: SHUTTING_DOWN, STORAGE_FAILED.
        """
        return await self._ledger.chore(work)

    async def keep_presence(self, fetched: Sequence[Fetched], seen: Mapping[str, datetime]) -> None:
        """Keeps how far recipients have got, and when organisations were last here.

        Raises:
            RefusedError: SHUTTING_DOWN, STORAGE_FAILED.
        """
        await self.chore(partial(self.storage.keep_presence, fetched, seen))

    def _admit(
        self, envelopes: Sequence[bytes], allowed: frozenset[Kind], caller: Organisation, now: datetime
    ) -> list[Admitted | RefusedError]:
        directory = self.directory.current
        drafts: list[Admitted | RefusedError] = []
        for data in envelopes:
            try:
                draft = admit(
                    data,
                    allowed,
                    caller,
                    directory=directory,
                    now=now,
                    rules=self._rules,
                    procedure=self.procedures.current,
                )
            except RefusedError as refusal:
                # Without the frames that it comes from: they hold all that was parsed, of a thousand until the last.
                refusal.__cause__ = refusal.__context__ = refusal.__traceback__ = None
                drafts.append(refusal)
                continue
            # Last, so that what could never be accepted is not told to come back.
            drafts.append((self._quorum.refusal() if self._quorum is not None else None) or draft)
        return drafts

    def _admit_together(
        self, envelopes: Sequence[bytes], allowed: frozenset[Kind], caller: Organisation, now: datetime
    ) -> Together | list[Admitted | RefusedError]:
        drafts = self._admit(envelopes, allowed, caller, now)
        refusal = next((one for one in drafts if isinstance(one, RefusedError)), None)
        if refusal is None:
            return Together(tuple(one for one in drafts if not isinstance(one, RefusedError)))
        return [one if isinstance(one, RefusedError) else refusal for one in drafts]

    async def _accepted_before(self, data: bytes, caller: Organisation) -> Row | None:
        """Retrying is safe for ever: what was accepted once gets its receipt, though today it would be refused.

        The payload is parsed here without a verified signature, to look up its id and for nothing else: the receipt is
        given only for the very bytes that were verified when they were accepted.
        """
        try:
            identifier, _, _ = peek(parse_envelope(data).payload)
        except PanjiError:
            return None
        if form.uuid7(identifier):
            return None
        row = await self.read(self.storage.find, identifier)
        if row is not None and row.sender == caller.id and row.digest == dsse.digest(data):
            return row
        return None

    async def receipts(self, rows: Sequence[Row]) -> list[Receipt]:
        """Returns the receipts of stored statements."""
        # A receipt that is remembered has its salt. An erasure is durable before this loop hears of it and forgets
        # them, up to a second where somebody reads the database; a row that is read then has no content any more.
        recent = [None if row.erased else self._recent.get(row.index) for row in rows]
        missing = [row for row, receipt in zip(rows, recent, strict=True) if receipt is None]
        made = iter(await self.read(receipts, self.storage, missing, self._log) if missing else ())
        return [receipt if receipt is not None else next(made) for receipt in recent]

    async def feed(self, recipient: str, after: int) -> AsyncGenerator[tuple[list[Delivered], bool]]:
        """Yields an organisation's feed from a cursor on, in runs, and with each run whether it reached the end.

        After the end it waits for the next statement, or a :meth:`nudge`.

        Raises:
            RefusedError: CURSOR_OUT_OF_RANGE; SHUTTING_DOWN once the exchange stops.
        """
        length = await self.read(self.storage.feed_length, recipient)
        if after > length:
            raise RefusedError(
                Reason.CURSOR_OUT_OF_RANGE,
                "the cursor is ahead of this feed",
                metadata={"after_sequence": str(after), "last_sequence": str(length)},
            )
        wake = asyncio.Event()
        self._watchers.setdefault(recipient, set()).add(wake)
        try:
            while True:
                if self._stopping.is_set():
                    raise RefusedError(Reason.SHUTTING_DOWN, "the exchange is stopping")
                wake.clear()  # before reading: what is committed from here on wakes us again
                run = await self.read(self.storage.feed, recipient, after, DELIVERIES_AT_ONCE, RUN_BYTES)
                at_end = len(run) < DELIVERIES_AT_ONCE and sum([len(row.envelope) for row in run]) < RUN_BYTES
                yield list(zip(run, await self.receipts(run), strict=True)), at_end
                if run:
                    after = run[-1].sequence
                if at_end:
                    await wake.wait()
        finally:
            self._watchers[recipient].discard(wake)

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a read of the database in a reader's thread; when the storage fails, the process is told to end.

        Raises:
            RefusedError: STORAGE_FAILED; SHUTTING_DOWN once the exchange has stopped.
        """
        if self._closed:
            raise RefusedError(Reason.SHUTTING_DOWN, "the exchange is stopping")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)
        except StorageError as error:
            self._fail(error)
            raise RefusedError(Reason.STORAGE_FAILED, "the database failed; try again") from error

    async def head(self) -> tuple[str, str]:
        """Returns the newest checkpoint, and the newest one that enough witnesses have cosigned; empty where none is.

        Raises:
            RefusedError: As :meth:`read`.
        """
        newest = await self.read(newest_checkpoint, self.storage)
        return newest, self._quorum.signed if self._quorum is not None else ""

    async def published(self) -> str:
        """Returns the checkpoint for anyone to follow the log by; empty where there is none yet.

        It never goes back to a smaller log, over restarts too: who follows the log would have to call that a rollback.
        Where there are witnesses it is the newest that enough of them have cosigned. Until that is as large as the log
        was when this process began, it is the log's own of then, since before there may have been no witnesses, or
        others, and nothing larger can have been published.

        Raises:
            RefusedError: As :meth:`read`.
        """
        if self._quorum is None:
            return await self.read(newest_checkpoint, self.storage)
        if self._quorum.size >= self._began_with:
            return self._quorum.signed
        return (await self.read(self.storage.checkpoints, [self._began_with]))[self._began_with]

    def nudge(self) -> None:
        """Lets every feed yield, if only an empty run: when the directory changes, readers are looked at anew."""
        for wakes in self._watchers.values():
            for wake in wakes:
                wake.set()

    async def stop(self) -> None:
        """Commits what waits, ends the feeds and refuses what comes."""
        self._stopping.set()
        self.nudge()
        await self._quiet.wait()
        fetched, seen = self.presence.take()
        if fetched or seen:
            with suppress(RefusedError):  # the storage has failed, and with it what was still to be kept
                await self.keep_presence(fetched, seen)
        await self._ledger.stop()
        self._closed = True  # calls may still be running, in their time of grace
        self._readers.shutdown()

    def _fail(self, error: StorageError) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def _committed(self, accepted: Mapping[int, Accepted]) -> None:
        if any(one.row.kind == Kind.ERASURE for one in accepted.values()):
            self._recent.clear()  # receipts have the salts that were just erased
        for index, one in accepted.items():
            self._recent[index] = one.receipt
            self._latest = one.row.received_at
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        for recipient in {one.row.recipient for one in accepted.values()}:
            for wake in self._watchers.get(recipient, ()):
                wake.set()
