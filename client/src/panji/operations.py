"""What a client does, step by step, without doing it: the one logic of both clients.

Each operation is a generator. It yields what it needs from the outside (:mod:`panji.steps`): a call, work on a disk,
time to pass, its turn; is sent the result or thrown the error, and returns what is verified. :mod:`panji.client`
supplies those, once for threads and once for asyncio. Nothing in here opens a socket, or waits.

Before anything that the exchange proves is handed over, the head that it is proven in is linked to the one that we hold
(:mod:`panji.heads`). Once the log has contradicted itself, every operation that needs the exchange raises.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeAlias, TypeVar

from panji.case_list import ErasedCase, require_text
from panji.core import merkle
from panji.core.checkpoint import Checkpoint
from panji.core.envelope import digest
from panji.core.statements import KIND_OF
from panji.core.tiles import ENTRIES
from panji.core.vocabulary import Kind, Role
from panji.erasing import CaseOutline
from panji.errors import (
    ConfigError,
    InputError,
    LogForkError,
    MalformedError,
    PanjiError,
    QuarantinedError,
    Reason,
    RefusedError,
    TransportError,
    VerificationError,
)
from panji.evidence.export import Material, export
from panji.feed import Feed, Run, is_denial
from panji.files import DirectoryFile, read_directory, read_signer
from panji.forks import Forks
from panji.heads import Heads
from panji.inbox import Cursor, Inbox
from panji.outbox import Outbox
from panji.quarantine import Quarantine, Quarantined
from panji.session import Erased, Session, Signed, Verified, VerifiedCase
from panji.steps import Disk, Pause, Rpc, Steps
from panji.store import Store, damaged
from panji.v1 import (
    administration_service_pb2,
    case_pb2,
    directory_service_pb2,
    feed_service_pb2,
    flag_service_pb2,
    log_service_pb2,
    response_service_pb2,
)
from panji.wire.status import refusal_from_status
from panji.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    from panji.case_list import CaseFilter, OnUnverified
    from panji.core.statements import Acknowledgement, Body
    from panji.core.tiles import Tile
    from panji.profile import Profile
    from panji.witnesses import Witnessed

OnDamaged: TypeAlias = "Callable[[str, ConfigError], object]"
"""Told the id of a pending statement whose bytes in the state file are not those that were signed."""

_T = TypeVar("_T")
_P = ParamSpec("_P")

ATTEMPTS = 5
"""How often a call is made that the exchange asks to repeat later."""
BATCH_LIMIT = 1000
"""Most envelopes of one call."""
_BATCH_BYTES = 31 * 1024 * 1024  # a request has at most 32 MiB, frames and all
_FRAME_BYTES = 8  # of one envelope in a request, at most

_METHODS: dict[Kind, tuple[str, type[Message]]] = {
    Kind.FLAG: ("SubmitFlag", flag_service_pb2.SubmitFlagRequest),
    Kind.WITHDRAWAL: ("WithdrawFlag", flag_service_pb2.WithdrawFlagRequest),
    Kind.CLARIFICATION_ANSWER: ("AnswerClarification", flag_service_pb2.AnswerClarificationRequest),
    Kind.ACKNOWLEDGEMENT: ("Acknowledge", response_service_pb2.AcknowledgeRequest),
    Kind.CLARIFICATION_REQUEST: ("RequestClarification", response_service_pb2.RequestClarificationRequest),
    Kind.DECISION: ("Decide", response_service_pb2.DecideRequest),
    Kind.VERIFICATION: ("VerifyFlag", flag_service_pb2.VerifyFlagRequest),
    Kind.RESTORE_ORDER: ("OrderRestoration", flag_service_pb2.OrderRestorationRequest),
    Kind.VERIFICATION_REQUEST: ("RequestVerification", response_service_pb2.RequestVerificationRequest),
    Kind.OBSTACLE: ("ReportObstacle", response_service_pb2.ReportObstacleRequest),
    Kind.OBSTACLE_ENDED: ("EndObstacle", response_service_pb2.EndObstacleRequest),
    Kind.CORRECTION: ("CorrectDecision", response_service_pb2.CorrectDecisionRequest),
    Kind.COUNTER_NOTICE: ("SubmitCounterNotice", response_service_pb2.SubmitCounterNoticeRequest),
    Kind.RESTORATION: ("ConfirmRestoration", response_service_pb2.ConfirmRestorationRequest),
    Kind.OBJECTION: ("Object", case_pb2.ObjectRequest),
    Kind.REVIEW: ("Review", case_pb2.ReviewRequest),
    Kind.CORRESPONDENCE: ("SendCorrespondence", case_pb2.SendCorrespondenceRequest),
}
"""The method that takes each kind of statement."""

_ABOUT_THE_CALLER = frozenset(
    {Reason.TLS_VERSION, Reason.CERTIFICATE_IDENTITY, Reason.PARTICIPANT_UNKNOWN, Reason.BATCH_TOO_LARGE}
)
"""Refusals that say nothing about the statement: it stays in the outbox."""


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A proof that was verified: an entry with this hash stands at this index of the log."""

    index: int
    leaf_hash: bytes
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


def _of_one_log(
    operation: Callable[Concatenate[Operations, _P], Steps[_T]],
) -> Callable[Concatenate[Operations, _P], Steps[_T]]:
    """Refuses to go on with a log that has contradicted itself, and saves the evidence when it does so now."""

    @wraps(operation)
    def steps(self: Operations, /, *args: _P.args, **kwargs: _P.kwargs) -> Steps[_T]:
        yield Disk(self.require_one_log)
        try:
            return (yield from operation(self, *args, **kwargs))
        except LogForkError as found:
            if found.saved is not None:
                raise
            raise (yield Disk(partial(self.save_fork, found))) from found

    return steps


class Operations:
    """A participant's state and everything it can do, for a client to carry out."""

    def __init__(
        self, profile: Profile, session: Session, store: Store, *, timeout: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self.session = session
        self._store = store
        self._outbox = Outbox(store)
        self._inbox = Inbox(store)
        self._quarantine = Quarantine(store)
        self._forks = Forks(store, profile.log)
        self._heads = Heads(session, store, self._forks, self._call)
        self._directory = DirectoryFile(profile.directory, session.directory)
        self._witnesses = Witnesses.of(profile)
        self._timeout = timeout
        self._clock = clock

    @classmethod
    def open(
        cls, profile: Profile, *, timeout: timedelta, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Self:
        """Reads what a profile names, and opens the state file.

        Raises:
            ConfigError: A file cannot be read or is not what it should be.
        """
        directory = read_directory(profile.directory)
        if directory.organisation(profile.organisation) is None:
            raise ConfigError("organisation", f"{profile.organisation} is not in {profile.directory}")
        signers = [read_signer(path) for path in profile.signing_keys]
        with ExitStack() as opened:
            store = Store(profile.state, organisation=profile.organisation, exchange=profile.log.name)
            opened.callback(store.close)
            session = Session(profile.organisation, profile.log, directory, signers)
            operations = cls(profile, session, store, timeout=timeout, clock=clock)
            opened.pop_all()
        return operations

    def close(self) -> None:
        """Closes the state file."""
        self._store.close()

    # Signing.

    def flag(
        self,
        recipient: str,
        body: Body,
        *,
        language: str,
        test: bool,
        identifier: str | None,
    ) -> Steps[Signed]:
        """Signs a flag into the outbox."""
        signed = self.session.sign(recipient, body, language=language, now=self._clock(), test=test, id=identifier)
        return (yield from self._keep(signed, chosen=identifier is not None))

    def reply(
        self, to: Verified, body: Body, *, language: str | None = None, identifier: str | None = None
    ) -> Steps[Signed]:
        """Signs a reply into the outbox."""
        signed = self.session.reply(to, body, now=self._clock(), language=language, id=identifier)
        return (yield from self._keep(signed, chosen=identifier is not None))

    def pending(self, on_damaged: OnDamaged) -> Steps[list[Signed]]:
        """Returns what has neither receipt nor refusal, and is what we signed."""
        envelopes: dict[str, bytes] = yield Disk(self._outbox.pending)
        restored = []
        for identifier, envelope in envelopes.items():
            try:
                restored.append(self._restored(identifier, envelope))
            except ConfigError as error:
                on_damaged(identifier, error)
        return restored

    def _restored(self, identifier: str, envelope: bytes) -> Signed:
        try:
            signed = self.session.restore(envelope)
        except InputError as error:
            raise damaged(f"statement {identifier} in the outbox is not as it was signed ({error})") from error
        if signed.statement.id != identifier:
            raise damaged(f"what the outbox has as statement {identifier} is {signed.statement.id}")
        return signed

    def _keep(self, signed: Signed, *, chosen: bool) -> Steps[Signed]:
        if chosen:
            stored = yield Disk(lambda: self._outbox.envelope(signed.statement.id))
            if stored is not None:
                # An id that the caller chose says "the same statement as before": the bytes that were signed first are
                # the statement, whatever the time is now.
                earlier = self._restored(signed.statement.id, stored)
                if replace(signed.statement, issued_at=earlier.statement.issued_at) != earlier.statement:
                    raise InputError(f"statement {signed.statement.id} was signed before, saying something else")
                return earlier
        yield Disk(lambda: self._outbox.put([signed]))
        return signed

    # Sending.

    def send(self, to: Verified, body: Body, language: str | None = None) -> Steps[Verified]:
        """Signs a reply and submits it."""
        signed = yield from self.reply(to, body, language=language)
        return (yield from self.submit(signed))

    def say(self, case: VerifiedCase, body: Body, language: str | None = None) -> Steps[Verified]:
        """Signs what is said in a case, in answer to what such a statement must answer, and submits it."""
        to = case.answered_by(KIND_OF[type(body)], self.session.organisation)
        return (yield from self.send(to, body, language))

    @_of_one_log
    def submit(self, signed: Signed) -> Steps[Verified]:
        """Sends one statement and verifies and stores its receipt."""
        method, request = _METHODS[signed.statement.kind]
        # Durable before it is sent: a crash from here on leaves it pending.
        yield Disk(lambda: self._outbox.put([signed]))
        try:
            response = yield from self._ask(Rpc(method, request(envelope=signed.envelope)))
        except RefusedError as refusal:
            if _is_final(refusal):
                result: list[tuple[Signed, Verified | RefusedError]] = [(signed, refusal)]
                yield Disk(lambda: self._outbox.settle(result))
            raise
        verified = self.session.accept(signed, response.receipt)
        yield from self._settle([(signed, verified)])
        return verified

    @_of_one_log
    def submit_batch(self, batch: Sequence[Signed]) -> Steps[list[tuple[Signed, Verified | RefusedError]]]:
        """Sends up to 1,000 statements in one call, and again those that the exchange asks to send later."""
        yield Disk(lambda: self._outbox.put(batch))
        results: dict[int, Verified | RefusedError] = {}
        waiting, waited = list(range(len(batch))), timedelta()
        for attempt in range(1, ATTEMPTS + 1):
            response = yield from self._call(self._batch_rpc([batch[position].envelope for position in waiting]))
            # As many answers as questions: one too few, and nobody could say whose is missing. All stay pending.
            if len(response.results) != len(waiting):
                raise VerificationError(f"{len(response.results)} answers came for {len(waiting)} envelopes")
            answers = zip(waiting, response.results, strict=True)
            results |= {position: self._result(batch[position], answer) for position, answer in answers}
            if any(is_denial(results[position]) for position in waiting):
                yield from self.checkpoint()
            yield from self._settle(
                [(batch[position], results[position]) for position in waiting if _is_settled(results[position])]
            )
            pauses = {
                position: result.retry_after
                for position in waiting
                if isinstance(result := results[position], RefusedError) and result.retryable and result.retry_after
            }
            pause = max(pauses.values(), default=timedelta())
            if not pauses or attempt == ATTEMPTS or waited + pause > self._timeout:
                break
            yield Pause(pause)
            waiting, waited = list(pauses), waited + pause
        return [(signed, results[position]) for position, signed in enumerate(batch)]

    def _batch_rpc(self, envelopes: list[bytes]) -> Rpc:
        organisation = self.session.directory.organisation(self.session.organisation)
        if organisation is not None and organisation.role is Role.PLATFORM:
            return Rpc("SubmitResponses", response_service_pb2.SubmitResponsesRequest(envelopes=envelopes))
        return Rpc("SubmitFlags", flag_service_pb2.SubmitFlagsRequest(envelopes=envelopes))

    def _settle(self, results: Sequence[tuple[Signed, Verified | RefusedError]]) -> Steps[None]:
        """Links the receipts' heads, and stores the outcomes. A statement is pending until both are done."""
        accepted = [result for _, result in results if isinstance(result, Verified)]
        try:
            yield from self._heads.link((one.receipt.checkpoint for one in accepted), durable=False)
            yield Disk(partial(self._outbox.settle, results))
        except PanjiError:
            yield Disk(partial(self._outbox.set_aside, accepted))
            raise

    def _result(self, signed: Signed, answer: flag_service_pb2.SubmitResult) -> Verified | RefusedError:
        if answer.WhichOneof("result") == "error":
            return _refusal(answer)
        return self.session.accept(signed, answer.receipt)

    def take_up(self, flag: Verified, body: Acknowledgement, language: str | None = None) -> Steps[VerifiedCase]:
        """Acknowledges a flag where there is something to acknowledge, and fetches its case."""
        case = yield from self.case(flag.statement.case)
        if not case.case.may_acknowledge(body.level):
            return case
        try:
            yield from self.send(flag, body, language)
        except RefusedError as refusal:
            if refusal.reason is not Reason.MOVE_NOT_ALLOWED:  # else something came in between: see for ourselves
                raise
        return (yield from self.case(flag.statement.case))

    # Receiving.

    @_of_one_log
    def feed(self, after: int | None) -> Steps[Feed]:
        """Returns the feed from the stored cursor on, or from a sequence (and then leaves the stored cursor alone)."""
        cursor = yield Disk(lambda: self._inbox.cursor(after))
        return Feed(self, cursor, moves_cursor=after is None)

    @_of_one_log
    def received(self, cursor: Cursor, frame: feed_service_pb2.WatchResponse) -> Steps[Run]:
        """Verifies a run of statements that follows on a cursor, as far as it does verify, and stores it."""
        yield from self._refresh()
        verified: list[Verified | Erased] = []
        wrong: VerificationError | None = None
        before = cursor.sequence
        for delivery in frame.deliveries:
            try:
                one = self.session.verify_next(cursor.sequence, delivery, above=cursor.index)
            except LogForkError:
                raise
            except VerificationError as error:
                wrong = error
                break
            cursor = Cursor(one.receipt.sequence, one.receipt.index)
            verified.append(one)
        # What each says for itself is true of one that was logged twice, too.
        if repeated := (yield Disk(lambda: self._inbox.repeated(verified))):
            number, wrong = repeated
            del verified[number:]
        problem: QuarantinedError | None = None
        if wrong is not None:
            problem = QuarantinedError(before + len(verified) + 1, wrong)
            problem.__cause__ = wrong
            data = frame.deliveries[len(verified)].SerializeToString(deterministic=True)
            yield Disk(partial(self._quarantine.keep, problem.sequence, data, str(wrong), self._clock()))
        if verified:
            erasures = [one.erasure for one in verified if isinstance(one, Erased)]
            heads = (one.receipt.checkpoint for one in (*verified, *erasures))
            yield from self._heads.link(heads, durable=False)
            yield Disk(lambda: self._inbox.keep(verified))
        return Run(verified, problem)

    def skip(self, sequence: int) -> Steps[list[Quarantined]]:
        """Moves the stored cursor past a place of the feed in which nothing verified."""
        skipped: list[Quarantined] = yield Disk(lambda: self._quarantine.skip(sequence, self._clock()))
        return skipped

    def quarantined(self) -> Steps[list[Quarantined]]:
        """Returns what did not verify."""
        found: list[Quarantined] = yield Disk(self._quarantine.all)
        return found

    def advance(self, sequence: int) -> Steps[None]:
        """Moves the stored cursor."""
        yield Disk(lambda: self._inbox.advance(sequence))

    # Reading.

    @_of_one_log
    def case(self, case_id: str) -> Steps[VerifiedCase]:
        """Fetches a case; what we know of it beforehand must be in it."""
        require_text("the case's id", case_id)
        held = yield Disk(lambda: self._outbox.accepted(case_id) + self._inbox.received(case_id))
        response = yield from self._ask(Rpc("GetCase", case_pb2.GetCaseRequest(case_id=case_id)))
        yield from self._refresh()
        verified = self.session.verify_case(response.case, known=map(digest, held))
        if verified.case.id != case_id:
            raise VerificationError("another case came than the one that was asked for")
        yield from self._believe([verified])
        return verified

    @_of_one_log
    def cases(
        self, wanted: CaseFilter, page_token: str, on_unverified: OnUnverified | None
    ) -> Steps[tuple[list[VerifiedCase], str]]:
        """Fetches a page of cases."""
        response = yield from self._call(Rpc("ListCases", wanted.request(page_token)))
        yield from self._refresh()
        cases: list[VerifiedCase] = []
        for claimed in response.cases:
            try:
                cases.append(self.session.verify_case(claimed))
            except VerificationError as error:
                if on_unverified is None or isinstance(error, LogForkError):
                    raise
                on_unverified(claimed.id, error)
        if not all(wanted.matches(one) for one in cases):
            raise VerificationError("a case came that was not asked for")
        yield from self._believe(cases)
        return cases, response.next_page_token

    @_of_one_log
    def erased_cases(self, wanted: CaseFilter, page_token: str) -> Steps[tuple[list[ErasedCase], str]]:
        """Fetches a page of what the exchange says of erased cases. None of it can be verified."""
        response = yield from self._call(Rpc("ListCases", wanted.request(page_token, erased=True)))
        return [ErasedCase.read(claimed) for claimed in response.cases], response.next_page_token

    @_of_one_log
    def checkpoint(self) -> Steps[Checkpoint]:
        """Fetches the newest head of the log. A stale one that is of the same log does not set back the one we hold.

        Where we have witnesses, enough of them must have cosigned the log lately.
        """
        head, cosigned = yield from self._newest()
        if self._witnesses is not None and head.size:
            yield from self._believe_witnesses(self._witnesses, cosigned)
        return head

    @_of_one_log
    def witnessed(self) -> Steps[Witnessed]:
        """Fetches the newest head that enough of our witnesses have cosigned."""
        if self._witnesses is None:
            raise ConfigError("policy", "is not set, so there is nobody whose word a head could be believed on")
        _, cosigned = yield from self._newest()
        return (yield from self._believe_witnesses(self._witnesses, cosigned))

    def _newest(self) -> Steps[tuple[Checkpoint, str]]:
        """Fetches the newest head, linked to the one that we hold, and the newest one that witnesses have cosigned."""
        response = yield from self._call(Rpc("GetCheckpoint", log_service_pb2.GetCheckpointRequest()))
        head = yield from self._heads.believe(response.checkpoint)
        checkpoint = head.checkpoint if head else Checkpoint(self.session.exchange, 0, merkle.EMPTY_ROOT)
        # An exchange without witnesses shows none; the head by itself is then what a policy is to judge.
        return checkpoint, response.cosigned or response.checkpoint

    def _believe_witnesses(self, witnesses: Witnesses, cosigned: str) -> Steps[Witnessed]:
        # 1 Enough of our witnesses have lately cosigned a head. Stops a log that is shown to us alone.
        witnessed = witnesses.verify(cosigned, self._clock())
        # 2 And that head is of the log that we hold. Stops a second log behind the witnesses' backs.
        yield from self._heads.link([cosigned])
        return witnessed

    @_of_one_log
    def inclusion_proof(self, index: int, checkpoint: Checkpoint | None) -> Steps[InclusionProof]:
        """Fetches the proof of an entry in the tree of a checkpoint, the newest unless given."""
        if index < 0:
            raise InputError(f"an index of the log is 0 or more, not {index}")
        if checkpoint is None:
            checkpoint = yield from self.checkpoint()
        request = log_service_pb2.GetInclusionProofRequest(index=index, size=checkpoint.size)
        response = yield from self._call(Rpc("GetInclusionProof", request))
        proof = tuple(response.proof)
        merkle.verify_inclusion(response.leaf_hash, index, checkpoint.size, proof, checkpoint.root)
        return InclusionProof(index, response.leaf_hash, proof, checkpoint)

    @_of_one_log
    def consistency_proof(self, old: Checkpoint, new: Checkpoint) -> Steps[tuple[bytes, ...]]:
        """Fetches the proof that one checkpoint's tree only appends to another's."""
        proof: tuple[bytes, ...] = ()
        if 0 < old.size < new.size:
            request = log_service_pb2.GetConsistencyProofRequest(old_size=old.size, new_size=new.size)
            response = yield from self._call(Rpc("GetConsistencyProof", request))
            proof = tuple(response.proof)
        merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)
        return proof

    # A log that contradicts itself.

    def fork(self) -> Steps[LogForkError | None]:
        """Returns the contradiction that nobody has looked at yet."""
        found: LogForkError | None = yield Disk(self._forks.unresolved)
        return found

    def resolve_fork(self) -> Steps[None]:
        """Goes on, from the head that we held before."""
        yield Disk(lambda: self._forks.resolve(self._clock()))

    def require_one_log(self) -> None:
        """Checks that the log has not contradicted itself, or that a person has looked.

        Raises:
            LogForkError: It has.
        """
        self._heads.newest()

    def save_fork(self, found: LogForkError) -> LogForkError:
        """Saves evidence; returns the error that names its file."""
        return self._forks.save(found, self._clock())

    def signed_checkpoint(self) -> Steps[str]:
        """Fetches the newest signed head as it is; empty while the log is."""
        response = yield from self._call(Rpc("GetCheckpoint", log_service_pb2.GetCheckpointRequest()))
        return str(response.checkpoint)

    def tile(self, tile: Tile) -> Steps[bytes]:
        """Fetches a tile of hashes, or a bundle of entries."""
        width = tile.width if tile.partial else 0
        if tile.level == ENTRIES:
            rpc = Rpc("GetEntryBundle", log_service_pb2.GetEntryBundleRequest(index=tile.index, width=width))
        else:
            request = log_service_pb2.GetTileRequest(level=tile.level, index=tile.index, width=width)
            rpc = Rpc("GetTile", request)
        response = yield from self._call(rpc)
        return bytes(response.data)

    # Proving to others.

    @_of_one_log
    def directory_record(self, before: int) -> Steps[Verified | None]:
        """Fetches the directory that was on record below an index of the log; None where there was none."""
        call = Rpc("GetDirectory", directory_service_pb2.GetDirectoryRequest(before_index=before))
        return (yield from self._record(call, Kind.DIRECTORY_RECORD, before, Reason.DIRECTORY_NOT_RECORDED))

    @_of_one_log
    def procedure_record(self, before: int) -> Steps[Verified | None]:
        """Fetches the procedure that was on record below an index of the log; None where there was none."""
        call = Rpc("GetProcedure", directory_service_pb2.GetProcedureRequest(before_index=before))
        return (yield from self._record(call, Kind.PROCEDURE_RECORD, before, Reason.PROCEDURE_NOT_RECORDED))

    def _record(self, call: Rpc, kind: Kind, before: int, missing: Reason) -> Steps[Verified | None]:
        if before < 1:
            return None
        try:
            response = yield from self._call(call)
        except RefusedError as refusal:
            if refusal.reason is not missing:
                raise
            return None
        yield from self._refresh()
        record = self.session.verify_record(response.record, kind, before=before)
        yield from self._heads.link([record.receipt.checkpoint])
        return record

    # The operator's.

    @_of_one_log
    def describe_case(self, case_id: str) -> Steps[CaseOutline]:
        """Fetches what the operator may know of a case."""
        request = administration_service_pb2.DescribeCaseRequest(case_id=case_id)
        return CaseOutline.of(case_id, (yield from self._call(Rpc("DescribeCase", request))))

    @_of_one_log
    def erase(self, statements: Sequence[Signed]) -> Steps[list[Verified]]:
        """Submits an erasure. It has no place in the outbox: the file that two persons have signed is its own."""
        request = administration_service_pb2.EraseCaseRequest(envelopes=[one.envelope for one in statements])
        response = yield from self._call(Rpc("EraseCase", request))
        if len(response.receipts) != len(statements):
            raise VerificationError(f"{len(response.receipts)} receipts came for {len(statements)} envelopes")
        pairs = zip(statements, response.receipts, strict=True)
        verified = [self.session.accept(signed, receipt) for signed, receipt in pairs]
        yield from self._heads.link(one.receipt.checkpoint for one in verified)
        return verified

    # Evidence.

    @_of_one_log
    def evidence(self, case_id: str, *, with_content: bool) -> Steps[bytes]:
        """Fetches what proves a case, and makes a bundle of it."""
        case = yield from self.case(case_id)
        records = yield from self._records(case)
        statements = (*records, *case.statements)
        note = yield from self._evident_head(case.statements[-1].receipt.index)
        head = self.session.open_checkpoint(note)
        proofs = {}
        for one in statements:
            old = self.session.open_checkpoint(one.receipt.checkpoint)
            path = yield from self.inclusion_proof(one.receipt.index, head)
            proofs[one.receipt.index] = (path.proof, (yield from self.consistency_proof(old, head)))
        session = self.session
        return export(
            Material(case=case, records=records, checkpoint=note, proofs=proofs),
            log=session.log,
            directory=session.directory,
            organisation=session.organisation,
            now=self._clock(),
            signers=session.signers,
            with_content=with_content,
        )

    def _records(self, case: VerifiedCase) -> Steps[list[Verified]]:
        """Fetches every directory that was on record when a statement of a case was received, oldest first."""
        found: list[Verified] = []
        first, before = case.statements[0].receipt.index, case.statements[-1].receipt.index
        while (record := (yield from self.directory_record(before))) is not None:
            found.insert(0, record)
            before = record.receipt.index
            if before < first:
                break
        return found

    def _evident_head(self, index: int) -> Steps[str]:
        """Fetches a signed head above an index to prove everything in: one that witnesses cosigned, if there is one."""
        response = yield from self._call(Rpc("GetCheckpoint", log_service_pb2.GetCheckpointRequest()))
        newest = yield from self._heads.believe(response.checkpoint)
        if response.cosigned:
            yield from self._heads.link([response.cosigned])
            if self.session.open_checkpoint(response.cosigned).size > index:
                return str(response.cosigned)
        return newest.note if newest else ""

    # Underneath.

    def _believe(self, cases: Iterable[VerifiedCase]) -> Steps[None]:
        statements = [one for case in cases for one in case.statements]
        ours = [one for one in statements if one.receipt.recipient == self.session.organisation]
        yield Disk(partial(self._inbox.require_same, ours))
        yield from self._heads.link(one.receipt.checkpoint for one in statements)

    def _call(self, rpc: Rpc) -> Steps[Any]:
        """Calls, and again as long as the exchange says when, within the timeout of one call."""
        waited = timedelta()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return (yield rpc)
            except RefusedError as refusal:
                pause = refusal.retry_after
                out_of_patience = attempt == ATTEMPTS or waited + (pause or waited) > self._timeout
                if not refusal.retryable or pause is None or out_of_patience:
                    raise
            yield Pause(pause)
            waited += pause
        raise AssertionError("unreachable")  # pragma: no cover

    def _ask(self, rpc: Rpc) -> Steps[Any]:
        """Calls for something that we may hold proof of: when it is denied, the log has to show itself first."""
        try:
            return (yield from self._call(rpc))
        except RefusedError as refusal:
            if is_denial(refusal):
                yield from self.checkpoint()
            raise

    def _refresh(self) -> Steps[None]:
        directory = yield Disk(self._directory.changed)
        if directory is not None:
            self.session.trust(directory)


def batches(statements: Iterable[Signed], count: int) -> Iterator[list[Signed]]:
    """Cuts statements into batches of at most ``count``, each small enough for one request.

    Raises:
        InputError: No exchange takes batches of ``count``.
    """
    if not 1 <= count <= BATCH_LIMIT:
        raise InputError(f"a batch holds 1 to {BATCH_LIMIT} statements, not {count}")
    batch: list[Signed] = []
    size = 0
    for signed in statements:
        needed = len(signed.envelope) + _FRAME_BYTES
        if batch and (len(batch) == count or size + needed > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(signed)
        size += needed
    if batch:
        yield batch


def _is_final(refusal: RefusedError) -> bool:
    return not refusal.retryable and refusal.reason not in _ABOUT_THE_CALLER


def _is_settled(result: Verified | RefusedError) -> bool:
    return isinstance(result, Verified) or _is_final(result)


def _refusal(answer: flag_service_pb2.SubmitResult) -> RefusedError:
    try:
        refusal = refusal_from_status(answer.error)
    except MalformedError as error:
        raise VerificationError(f"an answer of the batch is malformed: {error}") from error
    if refusal is None:
        raise TransportError(f"an answer of the batch has no reason: {answer.error.message}")
    return refusal
