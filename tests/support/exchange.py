"""A real exchange to test against, and organisations that say to it whatever a test wants, wrong things too.

:func:`running_exchange` starts ``python -m panji_server`` in a process of its own, on the loopback. Its audit
events come through its standard output, so a test waits for what happened, never for time to pass. :func:`serving`
runs the same exchange in the test's own event loop, where its clock and its storage can be replaced.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.rpc import error_details_pb2, status_pb2

from panji import development
from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.directory import KeyRecord, Organisation, Threshold, parse_directory
from panji.core.identifier import new_id
from panji.core.keys import PrivateKeySigner
from panji.core.merkle import EMPTY_ROOT
from panji.core.note import NoteSigner, NoteVerifier
from panji.core.receipt import Receipt, verify
from panji.core.statements import Statement
from panji.core.vocabulary import Kind, Role
from panji.errors import ERROR_DOMAIN, REASONS, PanjiError, Reason
from panji.profile import Profile
from panji.tls import channel_credentials, channel_options
from panji.v1 import (
    administration_service_pb2,
    administration_service_pb2_grpc,
    case_pb2,
    case_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    feed_service_pb2,
    feed_service_pb2_grpc,
    flag_service_pb2,
    flag_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    receipt_pb2,
    response_service_pb2,
    response_service_pb2_grpc,
    statement_pb2,
)
from panji.wire.envelopes import encode_envelope
from panji.wire.receipts import receipt_from_message
from panji.wire.statements import encode_statement
from panji_server import config as configuration
from panji_server.admission import Rules
from panji_server.audit import COMMON, EVENTS, AuditLog
from panji_server.directory import DirectoryFile
from panji_server.exchange import Exchange
from panji_server.limits import RateLimit
from panji_server.quorum import Quorum
from panji_server.rpc.server import Server
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage
from panji_server.witnesses import Feeder, Pace, read_policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from panji.core.directory import Accreditation, Directory
    from panji.core.keys import Signer
    from panji.core.statements import Body
    from panji_server.storage.base import Storage

PATIENCE = 60.0
"""Seconds after which something that should have happened counts as not happening. Nobody waits for them to pass."""

CONTENT = ("rahasia", "gambling", "t.example", "Permenkominfo", "Ministry of Communication", "by mistake", "second one")
"""Pieces of every text that test statements hold. None may ever stand in an audit event."""

RECORDED = 1
"""Statements that the exchange itself puts into a new log: the directory."""

METHODS: dict[str, type[Any]] = {
    "SubmitFlag": flag_service_pb2.SubmitFlagRequest,
    "SubmitFlags": flag_service_pb2.SubmitFlagsRequest,
    "WithdrawFlag": flag_service_pb2.WithdrawFlagRequest,
    "AnswerClarification": flag_service_pb2.AnswerClarificationRequest,
    "Acknowledge": response_service_pb2.AcknowledgeRequest,
    "RequestClarification": response_service_pb2.RequestClarificationRequest,
    "Decide": response_service_pb2.DecideRequest,
    "SubmitResponses": response_service_pb2.SubmitResponsesRequest,
    "SendCorrespondence": case_pb2.SendCorrespondenceRequest,
    "GetCase": case_pb2.GetCaseRequest,
    "ListCases": case_pb2.ListCasesRequest,
    "GetCheckpoint": log_service_pb2.GetCheckpointRequest,
    "GetInclusionProof": log_service_pb2.GetInclusionProofRequest,
    "GetConsistencyProof": log_service_pb2.GetConsistencyProofRequest,
    "GetConsistencyProofs": log_service_pb2.GetConsistencyProofsRequest,
    "GetTile": log_service_pb2.GetTileRequest,
    "GetEntryBundle": log_service_pb2.GetEntryBundleRequest,
    "GetDirectory": directory_service_pb2.GetDirectoryRequest,
    "DescribeCase": administration_service_pb2.DescribeCaseRequest,
    "EraseCase": administration_service_pb2.EraseCaseRequest,
    "Watch": feed_service_pb2.WatchRequest,
}
"""Every method of the contract, with its request."""

METHOD_OF = {
    Kind.FLAG: "SubmitFlag",
    Kind.WITHDRAWAL: "WithdrawFlag",
    Kind.CLARIFICATION_ANSWER: "AnswerClarification",
    Kind.ACKNOWLEDGEMENT: "Acknowledge",
    Kind.CLARIFICATION_REQUEST: "RequestClarification",
    Kind.DECISION: "Decide",
    Kind.CORRESPONDENCE: "SendCorrespondence",
}
"""The method that takes each kind of statement."""

_STUBS = (
    flag_service_pb2_grpc.FlagServiceStub,
    response_service_pb2_grpc.ResponseServiceStub,
    case_pb2_grpc.CaseServiceStub,
    log_service_pb2_grpc.LogServiceStub,
    directory_service_pb2_grpc.DirectoryServiceStub,
    administration_service_pb2_grpc.AdministrationServiceStub,
    feed_service_pb2_grpc.FeedServiceStub,
)
_BATCHES = frozenset({"SubmitFlags", "SubmitResponses"})
_STATEMENT_METHODS = frozenset(METHOD_OF.values())
_OF_THE_CALL = frozenset(
    {
        Reason.TLS_VERSION,
        Reason.CERTIFICATE_IDENTITY,
        Reason.PARTICIPANT_UNKNOWN,
        Reason.RATE_LIMITED,
        Reason.BATCH_TOO_LARGE,
        Reason.OVERLOADED,
        Reason.SHUTTING_DOWN,
        Reason.STORAGE_FAILED,
        Reason.INTERNAL,
        Reason.REQUEST_INVALID,
    }
)
"""Refusals of a whole call, which no single statement is the cause of."""


# What organisations say.


@dataclass(frozen=True)
class Letter:
    """A signed statement, as bytes and by what a reply needs of it."""

    envelope: bytes
    kind: Kind
    id: str
    case_id: str
    sender: str
    recipient: str
    test: bool

    @property
    def digest(self) -> bytes:
        """SHA-256 of the envelope."""
        return sha256(self.envelope).digest()


@dataclass
class Voice:
    """One organisation: its profile and its keys. Signs whatever it is told to."""

    profile: Profile
    signers: Sequence[Signer]

    @classmethod
    def load(cls, path: Path) -> Self:
        """The organisation of a profile file."""
        profile = Profile.load(path)
        return cls(profile, [PrivateKeySigner.from_pem(key.read_bytes()) for key in profile.signing_keys])

    @property
    def id(self) -> str:
        """The organisation's id."""
        return self.profile.organisation

    def says(
        self,
        body: Body,
        to: Letter | str,
        *,
        alter: Callable[[statement_pb2.Statement], object] = lambda _: None,
        signers: Sequence[Signer] | None = None,
        payload_type: str = dsse.PAYLOAD_TYPE,
        issued_at: datetime | None = None,
        test: bool = False,
        **changes: Any,
    ) -> Letter:
        """A signed statement.

        Args:
            body: What is said.
            to: A flag goes to an organisation; a reply answers a letter, and goes to its other side.
            alter: Changes the message before it is signed: what no builder would make.
            signers: Keys; the organisation's own unless given.
            payload_type: Of the envelope.
            issued_at: Now, unless given.
            test: A drill.
            **changes: Further fields of the statement.
        """
        now = datetime.now(UTC)
        place: dict[str, Any] = {"recipient": to}
        if isinstance(to, Letter):
            other = to.recipient if to.sender == self.id else to.sender
            place = {"recipient": other, "case_id": to.case_id, "in_reply_to": to.digest}
        fields = {
            "id": new_id(now, secrets.token_bytes(8)),
            "exchange": self.profile.log.name,
            "sender": self.id,
            "issued_at": issued_at or now,
            "language": "en",
            "test": test,
            "body": body,
        }
        statement = Statement(**{**fields, **place, **changes})
        message = statement_pb2.Statement.FromString(encode_statement(statement))
        alter(message)
        payload = message.SerializeToString(deterministic=True)
        envelope = encode_envelope(dsse.sign(payload, self.signers if signers is None else signers, payload_type))
        case = message.case_id or message.id
        return Letter(envelope, statement.kind, message.id, case, message.sender, message.recipient, message.test)

    def connect(
        self, *, credentials: grpc.ChannelCredentials | None = None, options: Mapping[str, int] | None = None
    ) -> Caller:
        """A connection to the exchange, without the client's retries; options are gRPC's."""
        return Caller(self, credentials or channel_credentials(self.profile), options or {})


class Caller:
    """An organisation's connection, by the stubs as they are generated."""

    def __init__(self, voice: Voice, credentials: grpc.ChannelCredentials, options: Mapping[str, int]) -> None:
        self.voice = voice
        settings = [*raw_options(voice.profile), *options.items()]
        self.channel = grpc.secure_channel(voice.profile.address, credentials, settings)
        self._methods = methods(self.channel)

    def call(self, method: str, request: Any = None, **fields: Any) -> Any:
        """Calls a method with a request, or with the fields of one."""
        return self._methods[method](METHODS[method](**fields) if request is None else request, timeout=PATIENCE)

    def raw(self, path: str, request: bytes, *, stream: bool = False, **options: Any) -> Any:
        """Calls a method by its full name, with bytes for a request, good or bad; returns bytes."""
        channel: Any = self.channel
        if stream:
            return list(channel.unary_stream(path)(request, timeout=PATIENCE, **options))
        return channel.unary_unary(path)(request, timeout=PATIENCE, **options)

    def submit(self, letter: Letter, method: str = "") -> Receipt:
        """Submits a statement; returns its receipt, verified."""
        message = self.call(method or METHOD_OF[letter.kind], envelope=letter.envelope).receipt
        return proven(message, letter, self.voice.profile.log)

    def says(self, body: Body, to: Letter | str, **changes: Any) -> Letter:
        """Signs and submits a statement."""
        letter = self.voice.says(body, to, **changes)
        self.submit(letter)
        return letter

    def case(self, letter: Letter) -> case_pb2.Case:
        """The case of a statement."""
        case: case_pb2.Case = self.call("GetCase", case_id=letter.case_id).case
        return case

    def head(self) -> Checkpoint:
        """The newest checkpoint, verified."""
        note = self.call("GetCheckpoint").checkpoint
        log = self.voice.profile.log
        return open_checkpoint(note, log) if note else Checkpoint(log.name, 0, EMPTY_ROOT)

    def feed(self, after: int = 0) -> list[receipt_pb2.Delivery]:
        """Everything in the organisation's feed after a cursor."""
        runs = self.call("Watch", after_sequence=after, stop_at_end=True)
        return [delivery for run in runs for delivery in run.deliveries]

    def close(self) -> None:
        """Ends the connection."""
        self.channel.close()


def proven(message: receipt_pb2.Receipt, letter: Letter, log: NoteVerifier) -> Receipt:
    """A receipt, verified to speak of this statement."""
    receipt = receipt_from_message(message)
    verify(receipt, letter.digest, log)
    assert (receipt.kind, receipt.recipient) == (letter.kind.value, letter.recipient)
    return receipt


def methods(channel: Any) -> dict[str, Any]:
    """Every method of the contract on a channel, sync or asyncio, by name."""
    found: dict[str, Any] = {}
    for stub in _STUBS:
        made = stub(channel)
        found |= {name: getattr(made, name) for name in METHODS if hasattr(made, name)}
    return found


def raw_options(profile: Profile) -> list[tuple[str, str | int]]:
    """A participant's channel options, but nothing is retried and nothing is too large to send."""
    options: dict[str, str | int] = dict(channel_options(profile))
    options |= {"grpc.enable_retries": 0, "grpc.max_send_message_length": -1}
    del options["grpc.service_config"]
    return list(options.items())


# What an exchange answers when it refuses.


@dataclass(frozen=True)
class Refusal:
    """A refusal as a foreign client would read it: the status and its details."""

    code: grpc.StatusCode
    status: status_pb2.Status
    info: error_details_pb2.ErrorInfo
    violations: Mapping[str, str]
    """Description by field."""
    retry_after: timedelta | None
    request_id: str

    @property
    def reason(self) -> Reason:
        """Why."""
        return Reason(self.info.reason)


def read_status(status: status_pb2.Status, code: grpc.StatusCode) -> Refusal:
    """A refusal's status, held to the contract: one ErrorInfo of our domain, a known reason, the code of the table."""
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.RequestInfo,
    )
    found: dict[Any, list[Any]] = {kind: [] for kind in kinds}
    for detail in status.details:
        for kind in kinds:
            message: Any = kind()
            if detail.Unpack(message):
                found[kind].append(message)
    assert len(status.details) == sum(map(len, found.values())), "a detail of an unknown type"
    infos, bad, retries, requests = found.values()
    assert len(infos) == len(requests) == 1
    assert max(len(bad), len(retries)) <= 1
    info = infos[0]
    assert info.domain == ERROR_DOMAIN
    reason = REASONS[Reason(info.reason)]
    assert status.code == int(reason.code) == code.value[0]
    assert bool(retries) <= reason.retryable
    assert status.message
    violations = {one.field: one.description for one in bad[0].field_violations} if bad else {}
    retry_after = retries[0].retry_delay.ToTimedelta() if retries else None
    return Refusal(code, status, info, violations, retry_after, requests[0].request_id)


def read_refusal(error: Any) -> Refusal:
    """A failed call's refusal."""
    found = [value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"]
    assert len(found) == 1, f"{error.code()} without details: {error.details()}"
    assert len(base64.b64encode(found[0])) + len(error.details()) < 8000, "more metadata than a peer need take"
    status = status_pb2.Status.FromString(found[0])
    assert status.message == error.details()
    return read_status(status, error.code())


def refused(caller: Caller, method: str, request: Any = None, **fields: Any) -> Refusal:
    """Calls, and reads the refusal that must come."""
    try:
        answer = caller.call(method, request, **fields)
        if method == "Watch":
            answer = list(answer)
    except grpc.RpcError as error:
        return read_refusal(error)
    raise AssertionError(f"{method} was not refused: {answer}")


# Directories.


def directory_toml(directory: Directory) -> str:
    """A directory as the text that both ends read."""
    lines: list[str] = []
    for one in directory.organisations.values():
        lines += [
            "[[organisation]]",
            f"id = {json.dumps(one.id)}",
            f"name = {json.dumps(one.name)}",
            f"role = {json.dumps(one.role.value)}",
            f"participants = {json.dumps(list(one.participants))}",
            f"suspended = {json.dumps(one.suspended)}",
            *([] if one.thresholds else [f"threshold = {one.threshold}"]),
        ]
        if one.thresholds:
            lines += ["[[organisation.threshold]]", f"keys = {one.threshold}"]
        for later in one.thresholds:
            lines += ["[[organisation.threshold]]", f"keys = {later.keys}", *_period(later)]
        for record in one.keys:
            lines += ["[[organisation.key]]", f"spki = {json.dumps(base64.b64encode(record.key.spki).decode())}"]
            lines += [*_period(record), f"automatic = {json.dumps(record.automatic)}"]
    for grant in directory.accreditations:
        lines += [
            "[[accreditation]]",
            f"authority = {json.dumps(grant.authority)}",
            f"platform = {json.dumps(grant.platform)}",
            f"categories = {json.dumps([item.name for item in grant.categories])}",
            f"target_kinds = {json.dumps([item.name for item in grant.target_kinds])}",
            f"instruments = {json.dumps([item.name for item in grant.instruments])}",
            *_period(grant),
        ]
    return "\n".join(lines) + "\n"


def _period(record: KeyRecord | Accreditation | Threshold) -> list[str]:
    lines = [f"valid_from = {record.valid_from.isoformat()}"]
    if not isinstance(record, Threshold) and record.valid_until is not None:
        lines.append(f"valid_until = {record.valid_until.isoformat()}")
    return lines


def changed(directory: Directory, identifier: str, **changes: Any) -> Directory:
    """The directory with another record of one organisation."""
    one = replace(directory.organisations[identifier], **changes)
    return replace_organisations(directory, {**directory.organisations, identifier: one})


def without(directory: Directory, identifier: str) -> Directory:
    """The directory without an organisation, and without what it was granted."""
    left = {key: one for key, one in directory.organisations.items() if key != identifier}
    grants = tuple(one for one in directory.accreditations if identifier not in {one.authority, one.platform})
    return replace(replace_organisations(directory, left), accreditations=grants)


def replace_organisations(directory: Directory, organisations: Mapping[str, Organisation]) -> Directory:
    """The directory with other organisations."""
    return replace(directory, organisations=dict(organisations))


# The world: an exchange's files, and those of everyone on it.

AUTHORITIES = ("kominfo", "bssn", "kejaksaan", "ojk", "bpom", "polri", "liar", "lama")
"""Two ordinary ones; one with four eyes; one accredited for little; one whose grant has ended; one suspended; one that
the directory does not know; one whose first key has expired and whose third is not valid yet."""
PLATFORMS = ("telegram", "whatsapp")
"""Two ordinary ones."""


@dataclass
class World:
    """A development exchange on the disk, with everyone's keys in one hand."""

    made: development.Development
    voices: dict[str, Voice]

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        authorities: Sequence[str] = ("kominfo",),
        platforms: Sequence[str] = ("telegram",),
        settings: str = "",
    ) -> Self:
        """Makes one. ``settings`` are lines of TOML that go to the end of the exchange's configuration."""
        made = development.init(directory, now=datetime.now(UTC), authorities=authorities, platforms=platforms)
        with made.config.open("a") as config:
            config.write(settings)
        return cls(made, {one: Voice.load(path) for one, path in made.profiles.items()})

    @property
    def log(self) -> NoteVerifier:
        """The log's key."""
        return NoteVerifier.parse(self.made.log_key)

    @property
    def directory(self) -> Directory:
        """The exchange's directory, as the file has it."""
        return parse_directory(self._file.read_text())

    def write_directory(self, text: str) -> None:
        """Replaces the exchange's directory, whole."""
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.replace(self._file)

    @property
    def _file(self) -> Path:
        return self.made.config.parent / "directory.toml"

    def certificate_for(self, name: str, spiffe_ids: Iterable[str], **changes: Any) -> grpc.ChannelCredentials:
        """A participant's credentials with a certificate of any sort, by the exchange's own authority."""
        return credentials(self.made.ca, self.made.ca.certificate, name, spiffe_ids, **changes)


def credentials(
    ca: development.DevelopmentCA, trusted: bytes, name: str, spiffe_ids: Iterable[str], **changes: Any
) -> grpc.ChannelCredentials:
    """A participant's credentials with a certificate of any sort, by any authority."""
    now = datetime.now(UTC)
    life = {"not_before": now - timedelta(minutes=5), "not_after": now + timedelta(hours=1)}
    issued = ca.issue(spiffe_ids, name=name, **{**life, **changes})
    return grpc.ssl_channel_credentials(trusted, issued.key, issued.certificate)


def odd_directory(world: World, now: datetime) -> Directory:
    """The directory of :data:`AUTHORITIES`, with all their oddities; their voices get the keys that belong to it."""
    directory = world.directory
    long_ago, later = now - timedelta(days=30), now + timedelta(days=30)
    four_eyes = world.voices["kejaksaan"]
    four_eyes.signers = [*four_eyes.signers, PrivateKeySigner.generate()]
    records = tuple(KeyRecord(one.public_key, long_ago) for one in four_eyes.signers)
    directory = changed(directory, "kejaksaan", keys=records, threshold=2)
    directory = changed(directory, "polri", suspended=True)
    directory = without(directory, "liar")
    old = world.voices["lama"]
    old.signers = [PrivateKeySigner.generate(), *old.signers, PrivateKeySigner.generate()]
    periods = ((long_ago, now - timedelta(seconds=1)), (long_ago, None), (later, None))
    keys = tuple(KeyRecord(one.public_key, *period) for one, period in zip(old.signers, periods, strict=True))
    return changed(directory, "lama", keys=keys)


# An exchange in a process of its own.


class Running:
    """An exchange's process. Its audit events are read as they come; each is held to the schema."""

    def __init__(self, world: World, environment: Mapping[str, str] | None = None) -> None:
        self.world = world
        self._environment = dict(environment or {})
        self._callers: dict[str, Caller] = {}
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._problems: list[str] = []
        self._torn = False
        self._ended = True
        self._threads: list[threading.Thread] = []
        self.stderr = world.made.directory / "stderr.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts the process and returns once it answers calls."""
        since = len(self.audit())
        self.spawn()
        self.wait_for("exchange.started", since=since)
        return self

    def spawn(self) -> None:
        """Starts the process."""
        assert self.process is None
        self._ended = False
        with self.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "panji_server", "--config", str(self.world.made.config)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PANJI_AUDIT__PATH": "-", **self._environment},
            )
        thread = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def __getitem__(self, organisation: str) -> Caller:
        """An organisation's connection."""
        if organisation not in self._callers:
            self._callers[organisation] = self.world.voices[organisation].connect()
        return self._callers[organisation]

    def audit(self) -> list[dict[str, Any]]:
        """Every event so far, of all starts."""
        with self._news:
            return list(self._events)

    def mark(self) -> int:
        """Returns how many events there are, once all are read that were written before."""
        trace_id = secrets.token_hex(16)
        header = (("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"),)
        self["operator"].raw("/panji.v1.LogService/GetCheckpoint", b"", metadata=header)
        self.wait_for("call.finished", trace_id=trace_id)
        return len(self.audit())

    def lines(self) -> list[str]:
        """Every line so far, as it came."""
        with self._news:
            return list(self._lines)

    def wait_for(self, event: str, *, since: int = 0, **fields: Any) -> dict[str, Any]:
        """Returns the first event of a name with these fields, waiting for it.

        Args:
            event: Its name.
            since: Events to pass over.
            **fields: What it must hold.
        """
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [
                one for one in self._events[since:] if one.get("event") == event and fields.items() <= one.items()
            ]
            return bool(found) or self._ended

        with self._news:
            assert self._news.wait_for(there, PATIENCE), f"{event} {fields} did not happen"
        assert found, f"the exchange ended without {event} {fields}: {self.stderr.read_text()}"
        return found[0]

    def ended(self) -> int:
        """Waits for the process to end; returns its exit code."""
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def terminate(self) -> int:
        """Tells the process to stop; returns its exit code."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGTERM)
        code = self.ended()
        assert not self._torn
        return code

    def restart(self) -> None:
        """Starts the process again. Old connections are dropped: a test is not about how fast they come back."""
        self.hang_up()
        self.start()

    def close_events(self) -> None:
        """Goes away as a collector of events may: what the process writes from now on has nowhere to go."""
        assert self.process is not None
        assert self.process.stdout is not None
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, self.process.stdout.fileno())
        os.close(nothing)

    def hang_up(self) -> None:
        """Drops every connection."""
        for caller in self._callers.values():
            caller.close()
        self._callers.clear()

    def use(self, directory: Directory | str) -> dict[str, Any]:
        """Replaces the directory; returns the event that says what became of it."""
        since = len(self.audit())
        self.world.write_directory(directory if isinstance(directory, str) else directory_toml(directory))
        return self.wait_for("directory.rejected" if isinstance(directory, str) else "directory.changed", since=since)

    def close(self) -> None:
        """Ends what is left, and asserts that every event was as the schema says and held no content."""
        self.hang_up()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.ended()
        assert not self._problems, self._problems

    def _read(self, stream: Any) -> None:
        for raw in stream:
            line = raw.decode()
            if not line.endswith("\n"):  # the last one of a process that was killed
                self._torn = True
                break
            problem, event = check_line(line)
            with self._news:
                self._lines.append(line)
                self._events.append(event)
                if problem:
                    self._problems.append(f"{problem}: {line}")
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def check_line(line: str) -> tuple[str, dict[str, Any]]:
    """Returns what is wrong with a line of the audit log, or the empty string, and its event."""
    try:
        event = json.loads(line)
    except ValueError:
        return "is no JSON", {}
    if not isinstance(event, dict) or event.get("event") not in EVENTS:
        return "is no event on a line", {}
    schema = EVENTS[event["event"]]
    problem = ""
    if difference := event.keys() ^ {*COMMON, *schema.fields}:
        problem = f"differs from the schema in {sorted(difference)}"
    elif event["level"] != schema.level or not line.isascii():
        problem = "has another level, or is not ASCII"
    elif found := [piece for piece in CONTENT if piece in line]:
        problem = f"holds content: {found}"
    return problem, event


@contextlib.contextmanager
def running_exchange(
    directory: Path, *, environment: Mapping[str, str] | None = None, **world: Any
) -> Iterator[Running]:
    """A running exchange in a process of its own; ended, whatever happens."""
    running = Running(World.create(directory, **world), environment)
    try:
        yield running.start()
    finally:
        running.close()


# Storages that do not do as they should.


class Held:
    """A storage whose commits wait until they are released."""

    def __init__(self) -> None:
        self.reached, self.release = threading.Event(), threading.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()  # or the exchange would never end

    def wrap(self, storage: SQLiteStorage) -> SQLiteStorage:
        """Puts itself in the way."""
        append = storage.append

        @contextlib.contextmanager
        def held() -> Iterator[Any]:
            with append() as transaction:
                yield transaction
                self.reached.set()
                self.release.wait()

        storage.append = held  # type: ignore[method-assign]
        return storage


class Broken:
    """A storage of which some methods fail when they are told to."""

    def __init__(self, *names: str, works: bool = True, error: type[Exception] = StorageError) -> None:
        self._names, self._error = names, error
        self.works = works

    def wrap(self, storage: SQLiteStorage) -> SQLiteStorage:
        """Puts itself in the way."""
        for name in self._names:
            setattr(storage, name, self._failing(getattr(storage, name)))
        return storage

    def _failing(self, method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if not self.works:
                raise self._error(CONTENT[0])
            return method(*arguments)

        return call


# A refused statement leaves log and case as they were, and an audit event behind.


@dataclass
class Untouched:
    """Watches that refusals change nothing but the audit log."""

    exchange: Running
    observer: str = "operator"
    _cases: dict[str, tuple[Letter, case_pb2.Case]] = field(default_factory=dict)

    def refuses(
        self, by: str | Caller, letter: Letter, reason: Reason, *, method: str = "", case: Letter | None = None
    ) -> Refusal:
        """Submits a statement that must be refused for a reason, and looks at all that must not have changed.

        Args:
            by: Who calls.
            letter: What is refused.
            reason: Why it must be.
            method: The method that is called; that of the statement's kind unless given.
            case: A statement of the case that must be untouched.
        """
        request = METHODS[method or METHOD_OF[letter.kind]](envelope=letter.envelope)
        return self.refuses_call(by, method or METHOD_OF[letter.kind], request, reason, case=case)

    def refuses_call(
        self, by: str | Caller, method: str, request: Any, reason: Reason, *, case: Letter | None = None
    ) -> Refusal:
        """Makes a call that must be refused for a reason, and looks at all that must not have changed."""
        caller = self.exchange[by] if isinstance(by, str) else by
        observer = self.exchange[self.observer]
        head = observer.head()
        before = self._case(case)
        refusal = refused(caller, method, request)
        assert refusal.reason is reason, f"{refusal.reason}: {refusal.status.message} {dict(refusal.violations)}"
        assert observer.head() == head
        assert self._case(case) == before
        event = self.exchange.wait_for("call.refused", request_id=refusal.request_id)
        assert event["method"].endswith(f"/{method}")
        assert event["reason"] == reason
        assert event["code"] == refusal.code.name
        assert event["retryable"] == REASONS[reason].retryable
        if method in _STATEMENT_METHODS and reason not in _OF_THE_CALL:
            event = self.exchange.wait_for("statement.refused", request_id=refusal.request_id)
            assert (event["item"], event["reason"], event["code"]) == (0, reason, refusal.code.name)
            assert event["digest"] == sha256(request.envelope).hexdigest()
            assert event["bytes"] == len(request.envelope)
            named = [violation for violation in refusal.violations if violation]  # the last of very many names none
            assert list(dict.fromkeys(event["violations"]))[: len(named)] == named
        return refusal

    def _case(self, letter: Letter | None) -> case_pb2.Case | None:
        if letter is None:
            return None
        role = self.exchange.world.directory.organisations[letter.recipient].role
        return self.exchange[letter.recipient if role is Role.PLATFORM else letter.sender].case(letter)


# An exchange in the test's own event loop.


_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


class Serving:
    """An exchange of which the test holds every part."""

    def __init__(
        self,
        world: World,
        *,
        clock: Callable[[], datetime],
        wrap: Callable[[SQLiteStorage], Storage],
        limit: RateLimit,
        max_queue: int,
    ) -> None:
        config = configuration.load(world.made.config)
        self.world = world
        self.failures: list[StorageError] = []
        self._text = io.StringIO()
        self.directory_events: list[PanjiError | None] = []
        self.directory = DirectoryFile(
            config.directory,
            on_change=self._changed,
            on_error=self.directory_events.append,
        )
        self.storage = wrap(SQLiteStorage(config.database))
        signer = NoteSigner(config.origin, PrivateKeySigner.from_pem(config.log_key.read_bytes()))
        audit = AuditLog(self._text)
        told = config.witnesses
        self.quorum: Quorum | None = None
        if told.policy is not None:
            self.quorum = Quorum(
                read_policy(told.policy, signer.verifier),
                overdue=told.overdue,
                fail_closed=told.fail_closed,
                report=audit.write,
                clock=clock,
                elapsed=lambda: clock() - _BEGINNING,
            )
        self.exchange = Exchange(
            self.storage,
            signer,
            self.directory,
            Rules(
                origin=config.origin,
                max_envelope_bytes=config.limits.envelope_bytes,
                issued_before=config.limits.issued_before,
                issued_after=config.limits.issued_after,
            ),
            limit,
            max_queue=max_queue,
            on_failure=self.failures.append,
            clock=clock,
            quorum=self.quorum,
        )
        self._feeder: Feeder | None = None
        if self.quorum is not None:
            self._feeder = Feeder(
                self.quorum,
                self.storage,
                read=self.exchange.read,
                write=self.exchange.chore,
                pace=Pace(told.interval, told.timeout, told.refresh),
                report=audit.write,
            )
        self._following: asyncio.Task[None] | None = None
        self.server = Server(config, self.exchange, audit)
        self._channels: dict[str, Any] = {}
        self._methods: dict[str, dict[str, Any]] = {}

    def _changed(self, _: Directory) -> None:
        self.directory_events.append(None)
        self.exchange.nudge()

    async def start(self) -> None:
        """Answers calls, and asks the witnesses that the configuration names."""
        if self._feeder is not None:
            self._feeder.load()
            self._following = asyncio.create_task(self._feeder.follow())
        await self.server.start()

    async def call(self, organisation: str, method: str, request: Any = None, **fields: Any) -> Any:
        """Calls a method as an organisation."""
        made = METHODS[method](**fields) if request is None else request
        return await self.methods(organisation)[method](made, timeout=PATIENCE)

    async def submit(self, organisation: str, letter: Letter) -> Receipt:
        """Submits a statement; returns its receipt, verified."""
        response = await self.call(organisation, METHOD_OF[letter.kind], envelope=letter.envelope)
        return proven(response.receipt, letter, self.world.log)

    async def refused(self, organisation: str, letter: Letter) -> Refusal:
        """Submits a statement that must be refused."""
        try:
            await self.call(organisation, METHOD_OF[letter.kind], envelope=letter.envelope)
        except grpc.aio.AioRpcError as error:
            return read_refusal(error)
        raise AssertionError("the statement was not refused")

    def methods(self, organisation: str) -> dict[str, Any]:
        """Every method, as an organisation."""
        if organisation not in self._methods:
            profile = self.world.voices[organisation].profile
            self._channels[organisation] = channel = grpc.aio.secure_channel(
                f"127.0.0.1:{self.server.port}", channel_credentials(profile), raw_options(profile)
            )
            self._methods[organisation] = methods(channel)
        return self._methods[organisation]

    def audit(self) -> list[dict[str, Any]]:
        """Every event so far; each is held to the schema."""
        found = [check_line(line) for line in self._text.getvalue().splitlines(keepends=True)]
        assert not [problem for problem, _ in found if problem]
        return [event for _, event in found]

    async def told(self, name: str) -> dict[str, Any]:
        """The first event of a name, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.audit():
                    if event["event"] == name:
                        return event
                await asyncio.sleep(0.01)

    def size(self) -> int:
        """Statements in the log."""
        return self.storage.current_head().frontier.size

    async def close(self) -> None:
        """Ends everything."""
        for channel in self._channels.values():
            await channel.close()
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        ending = self.server.stop(0)
        await self.exchange.stop()
        await ending
        self.storage.close()
        self.audit()


@contextlib.asynccontextmanager
async def serving(
    world: World,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    wrap: Callable[[SQLiteStorage], Storage] = lambda storage: storage,
    limit: RateLimit | None = None,
    max_queue: int = 50_000,
) -> AsyncIterator[Serving]:
    """An exchange in the test's own event loop."""
    made = Serving(world, clock=clock, wrap=wrap, limit=limit or RateLimit(1e6, 10**6), max_queue=max_queue)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
