"""The reference client: :class:`Client` for threads, :class:`AsyncClient` for asyncio, with the same methods.

Both carry out :mod:`panji.operations`; what they return has been verified (:mod:`panji.session` says against what).
Every method raises

* :class:`~panji.errors.InputError` for what breaks a rule before anything is sent,
* :class:`~panji.errors.RefusedError` when the exchange says no, with a reason,
* :class:`~panji.errors.TransportError` when nobody answered: what was submitted stays in the outbox, and sending it
  again is safe,
* :class:`~panji.errors.VerificationError` when the exchange's answer does not prove what it claims,
* :class:`~panji.errors.LogForkError`, one of those, when the log contradicts itself: from then on, until a person has
  looked and :meth:`Client.resolve_fork` was called,
* :class:`~panji.errors.ConfigError` when a file of the profile is missing, wrong or cannot be written.

UNAVAILABLE is retried underneath, up to five times (:data:`panji.tls.CHANNEL_OPTIONS`); a refusal that says when to
come back is obeyed as long as the timeout allows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from panji import operations as ops
from panji.case_list import CaseFilter, CaseList, ErasedList
from panji.core.statements import (
    Acknowledgement,
    ClarificationAnswer,
    ClarificationRequest,
    Correspondence,
    Decision,
    Withdrawal,
)
from panji.core.vocabulary import AcknowledgementLevel
from panji.errors import ConfigError, MalformedError, PanjiError, RefusedError, TransportError
from panji.feed import Patience
from panji.operations import InclusionProof, Operations
from panji.session import Session, Signed, Verified, VerifiedCase
from panji.steps import Disk, Rpc, Step, Steps, Turn
from panji.tls import channel_credentials, channel_options
from panji.v1 import (
    administration_service_pb2_grpc,
    case_pb2_grpc,
    directory_service_pb2_grpc,
    feed_service_pb2_grpc,
    flag_service_pb2_grpc,
    log_service_pb2_grpc,
    response_service_pb2_grpc,
)
from panji.wire.status import refusal_from_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from panji.case_list import ErasedCase, OnUnverified
    from panji.core.checkpoint import Checkpoint
    from panji.core.statements import Body, Evidence, Flag, Question, TargetDecision
    from panji.core.tiles import Tile
    from panji.core.vocabulary import CaseState, Category
    from panji.erasing import CaseOutline
    from panji.errors import LogForkError
    from panji.operations import OnDamaged
    from panji.profile import Profile
    from panji.quarantine import Quarantined
    from panji.witnesses import Witnessed

__all__ = ["AsyncClient", "CaseFilter", "Client", "InclusionProof"]

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=30)
"""How long a call may take, with everything that is retried in it."""

_STATUS = "grpc-status-details-bin"
_CLOSED = "the client was closed"
_NO_TURN = "another call is still waiting for the log's proof"


class Client:
    """A participant's connection to its exchange, for threads. Close it, or use it as a context manager.

    Safe to use from several threads.
    """

    def __init__(self, operations: Operations, channel: grpc.Channel, timeout: timedelta) -> None:
        self._operations = operations
        self._channel = channel
        self._methods = _methods(channel)
        self._timeout = timeout
        self._closing = threading.Event()
        self._turn = threading.Lock()

    @classmethod
    def connect(cls, profile: Profile, *, timeout: timedelta = TIMEOUT) -> Self:
        """Opens the state file and a channel. The network is used at the first call.

        Raises:
            ConfigError: A file of the profile is missing or wrong.
        """
        credentials = channel_credentials(profile)
        operations = Operations.open(profile, timeout=timeout)
        return cls(operations, grpc.secure_channel(profile.address, credentials, channel_options(profile)), timeout)

    def close(self) -> None:
        """Ends running watches and calls, and closes the state file."""
        self._closing.set()
        self._channel.close()
        self._operations.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def session(self) -> Session:
        """Signs and verifies, without network or disk."""
        return self._operations.session

    # Signing and sending.

    def flag(
        self,
        recipient: str,
        flag: Flag,
        *,
        language: str = "en",
        test: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """Signs a flag and puts it into the durable outbox. Nothing is sent.

        Args:
            recipient: The platform.
            flag: What is flagged and why.
            language: Of its texts (BCP 47).
            test: It is a drill.
            id: A UUIDv7 of the caller's choice. The same id again returns the statement that was signed the first
                time; saying something else under it is an error.

        Raises:
            InputError: The flag breaks its form, or the id was used for something else.
        """
        return self._run(self._operations.flag(recipient, flag, language=language, test=test, identifier=id))

    def reply(
        self,
        to: Verified,
        body: Body,
        *,
        language: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """Signs a reply and puts it into the durable outbox. Nothing is sent: for :meth:`submit_many`.

        Args:
            to: What is answered; recipient, case and test marker follow from it.
            body: What is said.
            language: Of its texts; that of ``to`` unless given.
            id: As in :meth:`flag`.

        Raises:
            InputError: The reply breaks its form, or the id was used for something else.
        """
        return self._run(self._operations.reply(to, body, language=language, identifier=id))

    def submit(self, signed: Signed) -> Verified:
        """Sends a statement, verifies its receipt and stores it. Safe to repeat, for ever."""
        return self._run(self._operations.submit(signed))

    def submit_many(
        self, signed: Iterable[Signed], *, batch: int = 100
    ) -> Iterator[tuple[Signed, Verified | RefusedError]]:
        """Sends many statements, ``batch`` (1 to 1,000) a call, and yields what became of each, in order.

        One refused statement does not sink the rest: its refusal is yielded. What concerns the whole call is raised,
        and everything that has no answer stays in the outbox.
        """
        for group in ops.batches(signed, batch):
            yield from self._run(self._operations.submit_batch(group))

    def pending(self, *, on_damaged: OnDamaged | None = None) -> list[Signed]:
        """Returns what was signed and has neither receipt nor refusal: send it (again), as after a crash.

        Args:
            on_damaged: Told of a statement whose bytes in the state file are no longer those that were signed, by its
                id. It is not among the others, and nothing sends it. Without, a warning is logged.
        """
        return self._run(self._operations.pending(on_damaged or _warn))

    # Replies.

    def withdraw(
        self, case: VerifiedCase | Verified, reasons: str, *, targets: Sequence[int] = (), language: str | None = None
    ) -> Verified:
        """Takes back a flag of ours, or the targets named by position, and submits that."""
        body = Withdrawal(reasons=reasons, targets=tuple(targets))
        return self._run(self._operations.send(_flag_of(case), body, language))

    def acknowledge(
        self,
        flag: Verified,
        level: AcknowledgementLevel,
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> Verified:
        """Says that a flag was received or is under review."""
        body = Acknowledgement(level=level, platform_reference=platform_reference, note=note)
        return self._run(self._operations.send(flag, body, language))

    def take_up(
        self,
        flag: Verified,
        level: AcknowledgementLevel = AcknowledgementLevel.RECEIVED,
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> VerifiedCase:
        """Acknowledges a flag, unless that is said already or was withdrawn, and returns its case as it now stands.

        What is left to do is ``open_targets`` of the case: none if the flag was withdrawn, or decided. So a program may
        call this whenever a flag is delivered, be it for the first time or again after a crash.
        """
        body = Acknowledgement(level=level, platform_reference=platform_reference, note=note)
        return self._run(self._operations.take_up(flag, body, language))

    def ask(self, flag: Verified, questions: Sequence[Question], *, language: str | None = None) -> Verified:
        """Asks the authority before deciding."""
        return self._run(self._operations.send(flag, ClarificationRequest(questions=tuple(questions)), language))

    def answer(
        self, request: Verified, text: str, *, evidence: Sequence[Evidence] = (), language: str | None = None
    ) -> Verified:
        """Answers the platform's open clarification request."""
        body = ClarificationAnswer(text=text, evidence=tuple(evidence))
        return self._run(self._operations.send(request, body, language))

    def decide(
        self,
        flag: Verified,
        targets: Sequence[TargetDecision],
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> Verified:
        """Decides every open target of a flag, each exactly once."""
        body = Decision(targets=tuple(targets), platform_reference=platform_reference, note=note)
        return self._run(self._operations.send(flag, body, language))

    def say(self, case: VerifiedCase, body: Body, *, language: str | None = None) -> Verified:
        """Says in a case what has no method of its own, in answer to what that must answer, and submits it.

        Verifying a flag, obstacles, corrections, objections, counter-notices, reviews, restore orders and restorations:
        bodies of :mod:`panji.core.statements`. Who may say what when: ``docs/case.md``.

        Args:
            case: As it stands now.
            body: What is said.
            language: Of the texts; that of what is answered unless given.

        Raises:
            InputError: It may not be said as the case stands; the message tells what may.
        """
        return self._run(self._operations.say(case, body, language))

    def correspond(self, statement: Verified, subject: str, text: str, *, language: str | None = None) -> Verified:
        """Puts a letter on the record of a case, to the other side."""
        return self._run(self._operations.send(statement, Correspondence(subject=subject, text=text), language))

    # Receiving.

    def watch(self, *, after: int | None = None, follow: bool = True) -> Iterator[Verified]:
        """Yields the statements addressed to us, in order, without gaps, each at least once.

        The stored cursor moves past a statement when the next one is asked for: a crash while one is handled delivers
        it again. What does not verify is kept and raised as a QuarantinedError, after all that stands before it; the
        feed goes on behind it when it does verify, or after :meth:`skip`. Statements whose content was erased by law
        are verified as such and passed over: there is nothing left to hand over but their places.

        Args:
            after: Begin after this sequence and leave the stored cursor alone; None: begin at the stored cursor.
            follow: Wait for more at the end, and reconnect when the connection breaks. Otherwise end, or raise
                TransportError, also when no statement that verifies came within the client's timeout.
        """
        feed = self._run(self._operations.feed(after))
        while True:
            with _translated():
                call = self._methods["Watch"](feed.request(follow=follow))
            problem: PanjiError | None = None
            patience = Patience(None if follow else self._timeout)
            try:
                while (frame := _next_frame(call, patience)) is not None:
                    for verified in self._run(feed.receive(frame)):
                        if isinstance(verified, Verified):
                            yield verified
                        self._run(feed.handled(verified))
                        patience.renew()
            except (TransportError, RefusedError) as error:
                problem = error
            finally:
                call.cancel()
            if self._closing.is_set():
                return
            self._run(feed.examine(problem))
            if not follow:
                if problem is not None:
                    raise problem
                return
            if self._closing.wait(_told(problem, feed.pause(problem)).total_seconds()):
                return

    def skip(self, sequence: int) -> list[Quarantined]:
        """Goes on without a statement that does not verify: moves the stored cursor past its place in the feed.

        For a person to decide, who has looked at the error and has the newest directory. What came there stays in the
        state file, with the error and the time of this.

        Args:
            sequence: As the QuarantinedError has it.

        Returns:
            What came there.

        Raises:
            InputError: The feed does not wait there.
        """
        return self._run(self._operations.skip(sequence))

    def quarantined(self) -> list[Quarantined]:
        """Returns every delivery of our feed that ever did not verify, skipped or not."""
        return self._run(self._operations.quarantined())

    # Reading.

    def case(self, case_id: str) -> VerifiedCase:
        """Returns a case of ours, its state computed here from its verified statements."""
        return self._run(self._operations.case(case_id))

    def cases(
        self,
        *,
        states: Sequence[CaseState] = (),
        category: Category | None = None,
        counterpart: str = "",
        opened_from: datetime | None = None,
        opened_until: datetime | None = None,
        test: bool = False,
        on_unverified: OnUnverified | None = None,
    ) -> Iterator[VerifiedCase]:
        """Yields our cases, newest first. Filters join with "and"; an empty one does not filter.

        Each case is verified; that none was left out of the list is not. Cases whose content was erased are in
        :meth:`erased_cases`.

        Args:
            states: Only in these.
            category: Only of this.
            counterpart: Only with this other side.
            opened_from: Only opened at or after this time.
            opened_until: Only opened before this time.
            test: Drills instead of real cases.
            on_unverified: Told of a case that does not verify, by the id that it is said to have, and the list goes on;
                without, the error is raised.
        """
        wanted = CaseFilter(
            states=tuple(states),
            category=category,
            counterpart=counterpart,
            opened_from=opened_from,
            opened_until=opened_until,
            test=test,
        )
        cases = CaseList(self._operations, wanted, on_unverified)
        while not cases.ended:
            yield from self._run(cases.page())

    def erased_cases(
        self,
        *,
        category: Category | None = None,
        counterpart: str = "",
        opened_from: datetime | None = None,
        opened_until: datetime | None = None,
        test: bool = False,
    ) -> Iterator[ErasedCase]:
        """Yields those of our cases whose content was erased, newest first, as the exchange says: claims, not proven.

        Nothing is left of them that could be verified, so :meth:`cases` has none. Filters are as there.
        """
        wanted = CaseFilter(
            category=category,
            counterpart=counterpart,
            opened_from=opened_from,
            opened_until=opened_until,
            test=test,
        )
        cases = ErasedList(self._operations, wanted)
        while not cases.ended:
            yield from self._run(cases.page())

    def checkpoint(self) -> Checkpoint:
        """Returns the newest head of the log, proven to extend every one that was seen before."""
        return self._run(self._operations.checkpoint())

    def witnessed(self) -> Witnessed:
        """Returns the newest head of the log that enough of the policy's witnesses have cosigned, with their words.

        Raises:
            ConfigError: The profile has no policy.
            QuorumError: Too few cosigned it.
            StaleHeadError: Too long ago.
        """
        return self._run(self._operations.witnessed())

    def inclusion_proof(self, index: int, checkpoint: Checkpoint | None = None) -> InclusionProof:
        """Returns a verified proof of the entry at an index, in the tree of a checkpoint (the newest unless given)."""
        return self._run(self._operations.inclusion_proof(index, checkpoint))

    def consistency_proof(self, old: Checkpoint, new: Checkpoint) -> tuple[bytes, ...]:
        """Returns a verified proof that the tree of one checkpoint is a prefix of that of another."""
        return self._run(self._operations.consistency_proof(old, new))

    def fork(self) -> LogForkError | None:
        """Returns the contradiction of the log that was found and that nobody has looked at yet, if there is one."""
        return self._run(self._operations.fork())

    def resolve_fork(self) -> None:
        """Goes on after a person has looked at the evidence, from the head that we held before.

        Nothing that we believed is given up: if the exchange still shows another history, the next call raises again.
        """
        self._run(self._operations.resolve_fork())

    def signed_checkpoint(self) -> str:
        """Returns the newest signed head as the exchange gives it, **not verified**; empty while the log is."""
        return self._run(self._operations.signed_checkpoint())

    def tile(self, tile: Tile) -> bytes:
        """Returns a tile of the log, or a bundle of entries, **not verified**: :mod:`panji.core.audit` does that."""
        return self._run(self._operations.tile(tile))

    def directory_record(self, before: int) -> Verified | None:
        """Returns the directory that was on record below an index of the log, or None where there was none."""
        return self._run(self._operations.directory_record(before))

    def procedure_record(self, before: int) -> Verified | None:
        """Fetches the standard operating procedure that was on record below an index of the log, verified.

        A case is handled by the one that stands below its flag, whatever came later. Its text is in the statement's
        body, for :func:`panji.core.procedure.parse_procedure`.

        Args:
            before: An index of the log; that of a flag, for the procedure of its case.

        Returns:
            The record, or None where there was none.

        Raises:
            RefusedError: TREE_SIZE_OUT_OF_RANGE: the log is not that large.
            VerificationError: What came is not what the log has there.
        """
        return self._run(self._operations.procedure_record(before))

    def evidence(self, case_id: str, *, with_content: bool = True) -> bytes:
        """Returns a bundle that proves a case of ours to people without Panji: a ZIP file (``docs/evidence.md``).

        Args:
            case_id: The case.
            with_content: Otherwise what both sides said is left out, and only its proof is in the bundle.
        """
        return self._run(self._operations.evidence(case_id, with_content=with_content))

    # The operator's.

    def describe_case(self, case_id: str) -> CaseOutline:
        """Returns what the operator may know of a case: who, when, how many statements. Not verified."""
        return self._run(self._operations.describe_case(case_id))

    def erase(self, statements: Sequence[Signed]) -> list[Verified]:
        """Erases the content of a case, for good.

        Args:
            statements: What :func:`panji.erasing.erasures` made and two persons have signed. Safe to repeat.
        """
        return self._run(self._operations.erase(statements))

    # Carrying out.

    def _run(self, steps: Steps[_T]) -> _T:
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except PanjiError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: _T = end.value
            return value
        finally:
            steps.close()  # it gives its turn back, even when this is interrupted

    def _do(self, step: Step) -> Any:
        if isinstance(step, Disk):
            try:
                return step.work()
            except ConfigError as error:
                if self._closing.is_set():
                    raise TransportError(_CLOSED) from error
                raise
        if isinstance(step, Rpc):
            with _translated():
                return self._methods[step.method](step.request, timeout=self._timeout.total_seconds())
        if isinstance(step, Turn):
            if not self._turn.acquire(timeout=self._timeout.total_seconds()):
                raise TransportError(_NO_TURN)
            return self._turn.release
        if self._closing.wait(step.duration.total_seconds()):
            raise TransportError(_CLOSED)
        return None


class AsyncClient:
    """A participant's connection to its exchange, for asyncio: ``async with AsyncClient.connect(profile) as client``.

    The methods are those of :class:`Client`, where they are described. Disk work is done in one thread of its own.
    """

    _operations: Operations
    _channel: grpc.aio.Channel
    _methods: dict[str, Any]

    def __init__(self, profile: Profile, timeout: timedelta) -> None:
        self._profile = profile
        self._timeout = timeout
        self._closed = False
        self._turn = asyncio.Lock()
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="panji-disk")

    @classmethod
    def connect(cls, profile: Profile, *, timeout: timedelta = TIMEOUT) -> Self:
        """Returns the context manager that opens the state file and a channel.

        Raises:
            ConfigError: On entering: a file of the profile is missing or wrong.
        """
        return cls(profile, timeout)

    async def __aenter__(self) -> Self:
        try:
            credentials = await self._on_disk(lambda: channel_credentials(self._profile))
            self._operations = await self._on_disk(lambda: Operations.open(self._profile, timeout=self._timeout))
        except BaseException:
            self._disk.shutdown(wait=False)
            raise
        self._channel = grpc.aio.secure_channel(self._profile.address, credentials, channel_options(self._profile))
        self._methods = _methods(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As :meth:`Client.close`."""
        if not self._closed:
            self._closed = True
            await self._channel.close()
            await asyncio.get_running_loop().run_in_executor(self._disk, self._operations.close)
            self._disk.shutdown(wait=False)

    @property
    def session(self) -> Session:
        """As :attr:`Client.session`."""
        return self._operations.session

    # Signing and sending.

    async def flag(
        self,
        recipient: str,
        flag: Flag,
        *,
        language: str = "en",
        test: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """As :meth:`Client.flag`."""
        return await self._run(self._operations.flag(recipient, flag, language=language, test=test, identifier=id))

    async def reply(
        self,
        to: Verified,
        body: Body,
        *,
        language: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> Signed:
        """As :meth:`Client.reply`."""
        return await self._run(self._operations.reply(to, body, language=language, identifier=id))

    async def submit(self, signed: Signed) -> Verified:
        """As :meth:`Client.submit`."""
        return await self._run(self._operations.submit(signed))

    async def submit_many(
        self, signed: Iterable[Signed], *, batch: int = 100
    ) -> AsyncIterator[tuple[Signed, Verified | RefusedError]]:
        """As :meth:`Client.submit_many`."""
        for group in ops.batches(signed, batch):
            for result in await self._run(self._operations.submit_batch(group)):
                yield result

    async def pending(self, *, on_damaged: OnDamaged | None = None) -> list[Signed]:
        """As :meth:`Client.pending`."""
        return await self._run(self._operations.pending(on_damaged or _warn))

    # Replies.

    async def withdraw(
        self, case: VerifiedCase | Verified, reasons: str, *, targets: Sequence[int] = (), language: str | None = None
    ) -> Verified:
        """As :meth:`Client.withdraw`."""
        body = Withdrawal(reasons=reasons, targets=tuple(targets))
        return await self._run(self._operations.send(_flag_of(case), body, language))

    async def acknowledge(
        self,
        flag: Verified,
        level: AcknowledgementLevel,
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> Verified:
        """As :meth:`Client.acknowledge`."""
        body = Acknowledgement(level=level, platform_reference=platform_reference, note=note)
        return await self._run(self._operations.send(flag, body, language))

    async def take_up(
        self,
        flag: Verified,
        level: AcknowledgementLevel = AcknowledgementLevel.RECEIVED,
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> VerifiedCase:
        """As :meth:`Client.take_up`."""
        body = Acknowledgement(level=level, platform_reference=platform_reference, note=note)
        return await self._run(self._operations.take_up(flag, body, language))

    async def ask(self, flag: Verified, questions: Sequence[Question], *, language: str | None = None) -> Verified:
        """As :meth:`Client.ask`."""
        return await self._run(self._operations.send(flag, ClarificationRequest(questions=tuple(questions)), language))

    async def answer(
        self, request: Verified, text: str, *, evidence: Sequence[Evidence] = (), language: str | None = None
    ) -> Verified:
        """As :meth:`Client.answer`."""
        body = ClarificationAnswer(text=text, evidence=tuple(evidence))
        return await self._run(self._operations.send(request, body, language))

    async def decide(
        self,
        flag: Verified,
        targets: Sequence[TargetDecision],
        *,
        platform_reference: str = "",
        note: str = "",
        language: str | None = None,
    ) -> Verified:
        """As :meth:`Client.decide`."""
        body = Decision(targets=tuple(targets), platform_reference=platform_reference, note=note)
        return await self._run(self._operations.send(flag, body, language))

    async def say(self, case: VerifiedCase, body: Body, *, language: str | None = None) -> Verified:
        """As :meth:`Client.say`."""
        return await self._run(self._operations.say(case, body, language))

    async def correspond(
        self, statement: Verified, subject: str, text: str, *, language: str | None = None
    ) -> Verified:
        """As :meth:`Client.correspond`."""
        return await self._run(self._operations.send(statement, Correspondence(subject=subject, text=text), language))

    # Receiving.

    async def watch(self, *, after: int | None = None, follow: bool = True) -> AsyncIterator[Verified]:
        """As :meth:`Client.watch`."""
        feed = await self._run(self._operations.feed(after))
        while True:
            with _translated():
                call = self._methods["Watch"](feed.request(follow=follow))
            problem: PanjiError | None = None
            patience = Patience(None if follow else self._timeout)
            try:
                while (frame := await self._next_frame(call, patience)) is not None:
                    for verified in await self._run(feed.receive(frame)):
                        if isinstance(verified, Verified):
                            yield verified
                        await self._run(feed.handled(verified))
                        patience.renew()
            except (TransportError, RefusedError) as error:
                problem = error
            finally:
                call.cancel()
            if self._closed:
                return
            await self._run(feed.examine(problem))
            if not follow:
                if problem is not None:
                    raise problem
                return
            await asyncio.sleep(_told(problem, feed.pause(problem)).total_seconds())
            if self._closed:
                return

    async def skip(self, sequence: int) -> list[Quarantined]:
        """As :meth:`Client.skip`."""
        return await self._run(self._operations.skip(sequence))

    async def quarantined(self) -> list[Quarantined]:
        """As :meth:`Client.quarantined`."""
        return await self._run(self._operations.quarantined())

    # Reading.

    async def case(self, case_id: str) -> VerifiedCase:
        """As :meth:`Client.case`."""
        return await self._run(self._operations.case(case_id))

    async def cases(
        self,
        *,
        states: Sequence[CaseState] = (),
        category: Category | None = None,
        counterpart: str = "",
        opened_from: datetime | None = None,
        opened_until: datetime | None = None,
        test: bool = False,
        on_unverified: OnUnverified | None = None,
    ) -> AsyncIterator[VerifiedCase]:
        """As :meth:`Client.cases`."""
        wanted = CaseFilter(
            states=tuple(states),
            category=category,
            counterpart=counterpart,
            opened_from=opened_from,
            opened_until=opened_until,
            test=test,
        )
        cases = CaseList(self._operations, wanted, on_unverified)
        while not cases.ended:
            for one in await self._run(cases.page()):
                yield one

    async def erased_cases(
        self,
        *,
        category: Category | None = None,
        counterpart: str = "",
        opened_from: datetime | None = None,
        opened_until: datetime | None = None,
        test: bool = False,
    ) -> AsyncIterator[ErasedCase]:
        """As :meth:`Client.erased_cases`."""
        wanted = CaseFilter(
            category=category,
            counterpart=counterpart,
            opened_from=opened_from,
            opened_until=opened_until,
            test=test,
        )
        cases = ErasedList(self._operations, wanted)
        while not cases.ended:
            for one in await self._run(cases.page()):
                yield one

    async def checkpoint(self) -> Checkpoint:
        """As :meth:`Client.checkpoint`."""
        return await self._run(self._operations.checkpoint())

    async def witnessed(self) -> Witnessed:
        """As :meth:`Client.witnessed`."""
        return await self._run(self._operations.witnessed())

    async def inclusion_proof(self, index: int, checkpoint: Checkpoint | None = None) -> InclusionProof:
        """As :meth:`Client.inclusion_proof`."""
        return await self._run(self._operations.inclusion_proof(index, checkpoint))

    async def consistency_proof(self, old: Checkpoint, new: Checkpoint) -> tuple[bytes, ...]:
        """As :meth:`Client.consistency_proof`."""
        return await self._run(self._operations.consistency_proof(old, new))

    async def fork(self) -> LogForkError | None:
        """As :meth:`Client.fork`."""
        return await self._run(self._operations.fork())

    async def resolve_fork(self) -> None:
        """As :meth:`Client.resolve_fork`."""
        await self._run(self._operations.resolve_fork())

    async def signed_checkpoint(self) -> str:
        """As :meth:`Client.signed_checkpoint`."""
        return await self._run(self._operations.signed_checkpoint())

    async def tile(self, tile: Tile) -> bytes:
        """As :meth:`Client.tile`."""
        return await self._run(self._operations.tile(tile))

    async def directory_record(self, before: int) -> Verified | None:
        """As :meth:`Client.directory_record`."""
        return await self._run(self._operations.directory_record(before))

    async def procedure_record(self, before: int) -> Verified | None:
        """As :meth:`Client.procedure_record`."""
        return await self._run(self._operations.procedure_record(before))

    async def evidence(self, case_id: str, *, with_content: bool = True) -> bytes:
        """As :meth:`Client.evidence`."""
        return await self._run(self._operations.evidence(case_id, with_content=with_content))

    # The operator's.

    async def describe_case(self, case_id: str) -> CaseOutline:
        """As :meth:`Client.describe_case`."""
        return await self._run(self._operations.describe_case(case_id))

    async def erase(self, statements: Sequence[Signed]) -> list[Verified]:
        """As :meth:`Client.erase`."""
        return await self._run(self._operations.erase(statements))

    # Carrying out.

    async def _run(self, steps: Steps[_T]) -> _T:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except PanjiError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: _T = end.value
            return value
        finally:
            steps.close()  # it gives its turn back, even when this is interrupted

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Disk):
            return await self._on_disk(step.work)
        if isinstance(step, Rpc):
            with self._told_apart(), _translated():
                return await self._methods[step.method](step.request, timeout=self._timeout.total_seconds())
        if isinstance(step, Turn):
            try:
                async with asyncio.timeout(self._timeout.total_seconds()):
                    await self._turn.acquire()
            except TimeoutError as error:
                raise TransportError(_NO_TURN) from error
            return self._turn.release
        await asyncio.sleep(step.duration.total_seconds())
        return None

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise TransportError(_CLOSED)
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    async def _next_frame(self, call: Any, patience: Patience) -> Any:
        with self._told_apart(), _translated():
            try:
                async with asyncio.timeout(patience.left()):
                    frame = await call.read()
            except TimeoutError as error:
                raise patience.ended() from error
        return None if frame is grpc.aio.EOF else frame

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Tells a call that ended with its channel from a task that was cancelled: grpc.aio has one error for both."""
        try:
            yield
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise TransportError(_CLOSED) from error
            raise


def _methods(channel: Any) -> dict[str, Any]:
    """Every method of the contract by its name, which is unique among the services."""
    stubs = (
        flag_service_pb2_grpc.FlagServiceStub(channel),
        response_service_pb2_grpc.ResponseServiceStub(channel),
        case_pb2_grpc.CaseServiceStub(channel),
        feed_service_pb2_grpc.FeedServiceStub(channel),
        directory_service_pb2_grpc.DirectoryServiceStub(channel),
        administration_service_pb2_grpc.AdministrationServiceStub(channel),
        log_service_pb2_grpc.LogServiceStub(channel),
    )
    return {name: method for stub in stubs for name, method in vars(stub).items()}


def _flag_of(case: VerifiedCase | Verified) -> Verified:
    return case.flag if isinstance(case, VerifiedCase) else case


def _next_frame(call: Any, patience: Patience) -> Any:
    left = patience.left()
    if left is None:
        with _translated():
            return next(call, None)
    # A call of grpcio waits for its next message as long as it takes, unless it is cancelled.
    in_vain = threading.Event()

    def end() -> None:
        in_vain.set()
        call.cancel()

    timer = threading.Timer(left, end)
    timer.daemon = True
    timer.start()
    try:
        with _translated():
            return next(call, None)
    except TransportError as error:
        raise (patience.ended() if in_vain.is_set() else error) from error.__cause__
    finally:
        timer.cancel()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns gRPC's errors into ours: a refusal where the exchange gave a reason, else the lack of an answer."""
    try:
        yield
    except grpc.RpcError as error:
        raise _our_error(error) from error
    except (ValueError, grpc.aio.UsageError) as error:
        # What grpcio raises for a call on a channel that is closed.
        raise TransportError(_CLOSED) from error


def _our_error(error: Any) -> PanjiError:
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS:
            try:
                refusal = refusal_from_status(Status.FromString(value))
            except (DecodeError, MalformedError):
                break
            if refusal is not None:
                return refusal
    return TransportError(f"{error.code().name}: {error.details()}")


def _told(problem: PanjiError | None, pause: timedelta) -> timedelta:
    """Passes on the pause, and tells the operator why there is one."""
    _log.warning("the feed broke off, reconnecting in %.1f s: %s", pause.total_seconds(), problem or "the stream ended")
    return pause


def _warn(_: str, error: ConfigError) -> None:
    _log.warning("%s", error)
