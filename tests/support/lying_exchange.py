"""An exchange in memory, over real gRPC and real mutual TLS on the loopback, that lies when it is told to.

It is honest by itself: one log, one feed a recipient, the same state machine for cases. A test makes it lie by putting
a function into ``lies`` (method name → what becomes of the honest answer), an error into ``errors`` (method name → what
happens instead, one call each), or a number into ``breaks`` (after so many deliveries a watch breaks off). It takes
history back when its world's ``exchange`` is replaced by what that was :meth:`Exchange.as_of` some size.
"""

from __future__ import annotations

import base64
import ipaddress
import threading
from collections import defaultdict, deque
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import message_factory
from grpc_status import rpc_status

from panji.core import envelope as dsse
from panji.core import merkle
from panji.core.case import Case, apply, open_case
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.directory import Directory, parse_directory
from panji.core.entry import Entry, commit
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.receipt import Receipt
from panji.core.vocabulary import Kind
from panji.errors import Reason, RefusedError
from panji.profile import Profile
from panji.session import Session
from panji.tls import MAX_MESSAGE_BYTES, peer, server_credentials
from panji.v1 import (
    case_pb2,
    feed_service_pb2,
    flag_service_pb2,
    log_service_pb2,
    receipt_pb2,
    response_service_pb2,
)
from panji.wire.cases import case_to_message
from panji.wire.envelopes import parse_envelope
from panji.wire.receipts import delivery_to_message, receipt_to_message
from panji.wire.statements import parse_statement
from panji.wire.status import refusal_to_status
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM, STRANGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from google.rpc import status_pb2

_ROLES = {MINISTRY: "authority", PLATFORM: "platform", STRANGER: "platform"}


class Authority:
    """A certificate authority, and all that it has issued."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._build(self._name, self._key, [], ca=True, days=2)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, names: Sequence[x509.GeneralName], *, days: float = 1) -> tuple[bytes, bytes]:
        """A certificate and its key, PEM. A negative number of days has run out."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        certificate = self._build(subject, key, names, ca=False, days=days)
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def issue_server(self) -> tuple[bytes, bytes]:
        """For an exchange on the loopback."""
        return self.issue([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

    def issue_participant(self, organisation: str) -> tuple[bytes, bytes]:
        """For a participant."""
        return self.issue([x509.UniformResourceIdentifier(spiffe_id(organisation))])

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[x509.GeneralName],
        *,
        ca: bool,
        days: float,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def spiffe_id(organisation: str) -> str:
    """The participant of an organisation."""
    return f"spiffe://test.example/{organisation}"


class Log:
    """A Merkle log in memory."""

    def __init__(self, signer: NoteSigner | None = None) -> None:
        self.signer = signer or NoteSigner(EXCHANGE, PrivateKeySigner.generate())
        self.heads: dict[int, Checkpoint] = {}
        self._frontier = merkle.Frontier(0)
        self._nodes: dict[tuple[int, int], bytes] = {}

    @property
    def size(self) -> int:
        """Entries."""
        return self._frontier.size

    def append(self, digest: bytes, kind: str, recipient: str, sequence: int, received_at: datetime) -> Receipt:
        """Puts one entry in, and gives its receipt."""
        salt = digest[:16]
        leaf = merkle.leaf_hash(Entry(kind, received_at, commit(salt, digest, recipient, sequence)).encode())
        extension = self._frontier.extend([leaf])
        self._nodes |= {(level, index): value for level, index, value in extension.nodes}
        self._frontier = extension.frontier
        head = self.heads[self.size] = Checkpoint(self.signer.verifier.name, self.size, extension.root())
        index = self.size - 1
        return Receipt(
            digest=digest,
            kind=kind,
            recipient=recipient,
            sequence=sequence,
            received_at=received_at,
            salt=salt,
            index=index,
            proof=extension.inclusion_proofs()[0],
            checkpoint=sign_checkpoint(head, self.signer),
        )

    def split(self, size: int) -> str:
        """A second head for a size: another root, genuinely signed."""
        return sign_checkpoint(Checkpoint(self.signer.verifier.name, size, bytes(32)), self.signer)

    def checkpoint(self, size: int | None = None) -> str:
        """The signed head at a size; nothing while the log is empty."""
        size = self.size if size is None else size
        return sign_checkpoint(self.heads[size], self.signer) if size else ""

    def leaf(self, index: int) -> bytes:
        """The hash of an entry."""
        return self._nodes[0, index]

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """As the exchange's method gives it."""
        return merkle.inclusion_proof(index, size, lambda _: self._nodes)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """As the exchange's method gives it.

        Raises:
            RefusedError: The log is not that large.
        """
        if max(old, new) > self.size:
            raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "the log is not that large")
        return merkle.consistency_proof(old, new, lambda _: self._nodes)


class World:
    """Who there is: a ministry, a platform and a stranger, each with a key, and an exchange with a log."""

    def __init__(self) -> None:
        self.signers = {organisation: [PrivateKeySigner.generate()] for organisation in _ROLES}
        self.thresholds = dict.fromkeys(_ROLES, 1)
        self.periods: dict[str, str] = {}
        """More lines for every key of an organisation, such as ``valid_until``."""
        self.exchange = Exchange(Log())

    @property
    def directory_text(self) -> str:
        """The directory, as TOML."""
        parts = []
        for organisation, role in _ROLES.items():
            parts.append(
                f'[[organisation]]\nid = "{organisation}"\nname = "{organisation}"\nrole = "{role}"\n'
                f'participants = ["{spiffe_id(organisation)}"]\nthreshold = {self.thresholds[organisation]}\n'
            )
            for signer in self.signers[organisation]:
                spki = base64.b64encode(signer.public_key.spki).decode()
                more = self.periods.get(organisation, "")
                parts.append(f'[[organisation.key]]\nspki = "{spki}"\nvalid_from = 2020-01-01T00:00:00Z\n{more}\n')
        parts.append(f'[[accreditation]]\nauthority = "{MINISTRY}"\nplatform = "*"\nvalid_from = 2020-01-01T00:00:00Z')
        return "\n".join(parts)

    @property
    def directory(self) -> Directory:
        """The directory, as a value."""
        return parse_directory(self.directory_text)

    def session(self, organisation: str) -> Session:
        """The view of an organisation."""
        return Session(organisation, self.exchange.log.signer.verifier, self.directory, self.signers[organisation])

    def profile(self, home: Path, organisation: str, address: str, authority: Authority) -> Profile:
        """Writes an organisation's files, and gives its profile."""
        home.mkdir(parents=True, exist_ok=True)
        certificate, key = authority.issue_participant(organisation)
        (home / "directory.toml").write_text(self.directory_text)
        (home / "ca.pem").write_bytes(authority.pem)
        (home / "tls.pem").write_bytes(certificate)
        (home / "tls-key.pem").write_bytes(key)
        signing_keys = []
        for number, signer in enumerate(self.signers[organisation]):
            signing_keys.append(home / f"signing-{number}.pem")
            signing_keys[-1].write_text(signer.to_pem())
        return Profile(
            organisation=organisation,
            address=address,
            log_key=str(self.exchange.log.signer.verifier),
            directory=home / "directory.toml",
            ca=home / "ca.pem",
            certificate=home / "tls.pem",
            key=home / "tls-key.pem",
            signing_keys=tuple(signing_keys),
            state=home / "state.sqlite",
        )


@dataclass
class _CaseFile:
    case: Case
    statements: list[tuple[bytes, Receipt]]


@dataclass
class Exchange:
    """What an honest exchange does with statements, in memory. Checks no signature: that is for others to notice."""

    log: Log
    feeds: dict[str, list[tuple[bytes, Receipt]]] = field(default_factory=lambda: defaultdict(list))
    cases: dict[str, _CaseFile] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    taken: list[bytes] = field(default_factory=list)
    """Every envelope, in the log's order."""

    def as_of(self, size: int) -> Exchange:
        """What this was when the log had so many entries: a copy that was restored, and forgot the rest."""
        restored = Exchange(Log(self.log.signer))
        for envelope in self.taken[:size]:
            restored.take(envelope)
        return restored

    def take(self, envelope: bytes) -> Receipt:
        """Accepts a statement, or gives the receipt of the first time."""
        statement = parse_statement(parse_envelope(envelope).payload)
        digest = dsse.digest(envelope)
        if statement.id in self.receipts:
            if self.receipts[statement.id].digest != digest:
                raise RefusedError(Reason.STATEMENT_ID_REUSED, "other bytes")
            return self.receipts[statement.id]
        if statement.kind is not Kind.FLAG and statement.case not in self.cases:
            raise RefusedError(Reason.CASE_NOT_FOUND, "there is no such case")
        received_at = NOON + timedelta(seconds=self.log.size)
        feed = self.feeds[statement.recipient]
        if statement.kind is Kind.FLAG:
            file = _CaseFile(open_case(statement, digest, received_at), [])
        else:
            file = self.cases[statement.case]
            file.case = apply(file.case, statement, digest, received_at)
        receipt = self.log.append(digest, statement.kind.value, statement.recipient, len(feed) + 1, received_at)
        self.cases[statement.case] = file
        self.receipts[statement.id] = receipt
        self.taken.append(envelope)
        file.statements.append((envelope, receipt))
        feed.append((envelope, receipt))
        return receipt

    def delivery(self, envelope: bytes) -> receipt_pb2.Delivery:
        """Accepts a statement and gives it as it is delivered."""
        return delivery_to_message(envelope, self.take(envelope))

    def case(self, case_id: str) -> case_pb2.Case:
        """A case as it is told."""
        return case_to_message(self.cases[case_id].case, self.cases[case_id].statements)


class LyingExchange:
    """The exchange behind gRPC. A context manager."""

    def __init__(self, world: World, home: Path, authority: Authority) -> None:
        self.world = world
        self.lies: dict[str, Callable[[Any], Any]] = {}
        self.errors: dict[str, deque[RefusedError | grpc.StatusCode | status_pb2.Status]] = defaultdict(deque)
        self.breaks: deque[int] = deque()
        self.calls: list[tuple[str, Any]] = []
        self.stops_at_end = True
        """Whether a stream that is to stop at the end does."""
        self.chatters = False
        """Whether a stream without news is full of empty frames."""
        self._news = threading.Condition()
        home.mkdir(parents=True, exist_ok=True)
        certificate, key = authority.issue_server()
        (home / "exchange.pem").write_bytes(certificate)
        (home / "exchange-key.pem").write_bytes(key)
        (home / "client-ca.pem").write_bytes(authority.pem)
        options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ]
        self._server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
        for module in (flag_service_pb2, response_service_pb2, case_pb2, feed_service_pb2, log_service_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                handlers = {method.name: self._handler(method) for method in service.methods}
                self._server.add_generic_rpc_handlers(
                    (grpc.method_handlers_generic_handler(service.full_name, handlers),)
                )
        credentials = server_credentials(home / "exchange.pem", home / "exchange-key.pem", home / "client-ca.pem")
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def called(self, method: str) -> list[Any]:
        """The requests of every call of a method so far."""
        return [request for name, request in self.calls if name == method]

    def announce(self, envelope: bytes) -> Receipt:
        """Accepts a statement from anywhere, and wakes whoever watches."""
        with self._news:
            receipt = self.world.exchange.take(envelope)
            self._news.notify_all()
        return receipt

    def _handler(self, method: Any) -> Any:
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        types: dict[str, Any] = {
            "request_deserializer": request.FromString,
            "response_serializer": response.SerializeToString,
        }
        if method.name == "Watch":
            return grpc.unary_stream_rpc_method_handler(self._watch, **types)

        def unary(message: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append((method.name, message))
            self._fail(method.name, context)
            try:
                honest = self._answer(method.name, message, response)
            except RefusedError as refusal:
                self._abort(refusal, context)
                raise
            return self.lies.get(method.name, lambda told: told)(honest)

        return grpc.unary_unary_rpc_method_handler(unary, **types)

    def _fail(self, method: str, context: grpc.ServicerContext) -> None:
        if self.errors[method]:
            self._abort(self.errors[method].popleft(), context)

    @staticmethod
    def _abort(error: RefusedError | grpc.StatusCode | status_pb2.Status, context: grpc.ServicerContext) -> None:
        if isinstance(error, grpc.StatusCode):
            context.abort(error, "told to fail")
        status = refusal_to_status(error, "request-1") if isinstance(error, RefusedError) else error
        context.abort_with_status(rpc_status.to_status(status))

    def _answer(self, method: str, request: Any, response: Any) -> Any:  # noqa: PLR0911 - one a method
        exchange = self.world.exchange
        log = exchange.log
        match method:
            case "SubmitFlags" | "SubmitResponses":
                return response(results=[self._result(envelope) for envelope in request.envelopes])
            case "GetCase":
                if request.case_id not in exchange.cases:
                    raise RefusedError(Reason.CASE_NOT_FOUND, "there is no such case")
                return response(case=exchange.case(request.case_id))
            case "ListCases":
                found = [
                    one
                    for case_id in reversed(exchange.cases)
                    if (one := exchange.case(case_id)).test == request.test
                    and (not request.states or one.state in request.states)
                ]
                start = int(request.page_token or 0)
                more = len(found) > start + 2
                return response(cases=found[start : start + 2], next_page_token=str(start + 2) if more else "")
            case "GetCheckpoint":
                return response(checkpoint=log.checkpoint())
            case "GetInclusionProof":
                size = request.size or log.size
                proof = log.inclusion_proof(request.index, size)
                return response(proof=proof, leaf_hash=log.leaf(request.index), size=size)
            case "GetConsistencyProof":
                proof = log.consistency_proof(request.old_size, request.new_size)
                return response(proof=proof, new_size=request.new_size)
            case "GetConsistencyProofs":
                proofs = [log.consistency_proof(size, request.new_size) for size in request.old_sizes]
                return response(proofs=[{"hashes": proof} for proof in proofs], new_size=request.new_size)
            case _:
                return response(receipt=receipt_to_message(self.announce(request.envelope)))

    def _result(self, envelope: bytes) -> flag_service_pb2.SubmitResult:
        try:
            self._raise_one("item")
            return flag_service_pb2.SubmitResult(receipt=receipt_to_message(self.announce(envelope)))
        except RefusedError as refusal:
            return flag_service_pb2.SubmitResult(error=refusal_to_status(refusal))

    def _raise_one(self, method: str) -> None:
        if self.errors[method]:
            error = self.errors[method].popleft()
            if isinstance(error, RefusedError):
                raise error

    def _watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.calls.append(("Watch", request))
        self._fail("Watch", context)
        who: Any = context.auth_context()  # types-grpcio has it wrong for threads, right for asyncio
        feed = self.world.exchange.feeds[peer(who).spiffe_id.rpartition("/")[2]]
        if request.after_sequence > len(feed):
            self._abort(RefusedError(Reason.CURSOR_OUT_OF_RANGE, "the cursor is ahead of this feed"), context)
        left = self.breaks.popleft() if self.breaks else None
        context.add_callback(self._wake)
        yield feed_service_pb2.WatchResponse()
        sent = request.after_sequence
        while context.is_active():
            with self._news:
                fresh = [delivery_to_message(*one) for one in feed[sent:]]
                sent += len(fresh)
            deliveries = self.lies.get("Watch", lambda told: told)(fresh)
            if left is not None:
                deliveries = deliveries[:left]
                left -= len(deliveries)
            yield feed_service_pb2.WatchResponse(deliveries=deliveries)
            if left == 0:
                context.abort(grpc.StatusCode.UNAVAILABLE, "told to break off")
            if request.stop_at_end and self.stops_at_end:
                return
            with self._news:
                while len(feed) == sent and context.is_active() and not self.chatters:
                    self._news.wait()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()
