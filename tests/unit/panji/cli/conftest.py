"""The command line with the real client over an exchange in memory: only the network is left out.

:class:`Exchange` is honest. A test makes it refuse (``refuse``: url of a flag → reason), go away (``silent_after``: so
many statements are answered), or be killed between accepting and answering (``dies_after``).
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import MemoryLog
from typer.testing import CliRunner

from panji import development
from panji.cli import app
from panji.client import Client
from panji.core import envelope as dsse
from panji.core import merkle
from panji.core.case import apply, open_case
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.entry import Entry, commit
from panji.core.identifier import new_id
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.receipt import Receipt
from panji.core.statements import DirectoryRecord, Flag, Statement
from panji.core.tiles import ENTRIES, WIDTH, Tile
from panji.core.vocabulary import CaseState
from panji.errors import Reason, RefusedError, TransportError
from panji.operations import Operations
from panji.v1 import (
    case_pb2,
    directory_service_pb2,
    feed_service_pb2,
    flag_service_pb2,
    log_service_pb2,
    receipt_pb2,
    response_service_pb2,
)
from panji.wire.cases import case_to_message
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.receipts import delivery_to_message, receipt_to_message
from panji.wire.statements import encode_statement, parse_statement
from panji.wire.status import refusal_to_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from panji.core.case import Case
    from panji.profile import Profile

_MODULES = (
    case_pb2,
    directory_service_pb2,
    feed_service_pb2,
    flag_service_pb2,
    log_service_pb2,
    response_service_pb2,
)
_BATCHES = {"SubmitFlags", "SubmitResponses"}


class Killed(BaseException):
    """What a test raises where SIGKILL would strike: nothing catches it."""


class Exchange:
    """Accepts statements of whoever calls, and keeps them in one log."""

    def __init__(self, made: development.Development) -> None:
        log_key = PrivateKeySigner.from_pem((made.directory / "exchange/keys/log.pem").read_bytes())
        self._signer = NoteSigner(made.origin, log_key)
        self._voice = PrivateKeySigner.from_pem((made.directory / "exchange/keys/statements.pem").read_bytes())
        self.directory_text = (made.directory / "operator/directory.toml").read_text()
        self._frontier = merkle.Frontier(0)
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._entries: list[bytes] = []
        self._by_id: dict[str, tuple[bytes, Receipt]] = {}
        self.feeds: dict[str, list[tuple[bytes, Receipt]]] = defaultdict(list)
        self._cases: dict[str, Case] = {}
        self._said: dict[str, list[tuple[bytes, Receipt]]] = defaultdict(list)
        self.checkpoint = ""
        self.cosigned = ""
        self.refuse: dict[str, Reason] = {}
        self.silent_after: int | None = None
        self.dies_after: int | None = None
        self.lie = b""

    @property
    def size(self) -> int:
        """Statements accepted."""
        return self._frontier.size

    def accept(self, data: bytes) -> Receipt:
        """Takes one envelope, as the exchange's ten steps would."""
        if self.silent_after is not None and self.size >= self.silent_after:
            raise TransportError("UNAVAILABLE: nobody answers")
        statement = parse_statement(parse_envelope(data).payload)
        digest = dsse.digest(data)
        if statement.id in self._by_id:
            known, receipt = self._by_id[statement.id]
            if known != data:
                raise RefusedError(Reason.STATEMENT_ID_REUSED, "known, with other bytes")
            return receipt
        now = datetime.now(UTC)
        if isinstance(statement.body, Flag):
            for target in statement.body.targets:
                if target.url in self.refuse:
                    raise RefusedError(self.refuse[target.url], "not this one")
            case = open_case(statement, digest, now)
        else:
            case = apply(self._cases[statement.case], statement, digest, now)
        receipt = self._log(statement, data, now)
        self._by_id[statement.id] = (data, receipt)
        self._cases[statement.case] = case
        self._said[statement.case].append((data, receipt))
        if self.dies_after is not None and self.size >= self.dies_after:
            raise Killed
        return receipt

    def record(self, document: str = "") -> None:
        """Puts the directory on record, as the exchange does when it starts."""
        said = Statement(
            id=new_id(datetime.now(UTC), secrets.token_bytes(8)),
            exchange=self._signer.verifier.name,
            sender="operator",
            recipient="operator",
            issued_at=datetime.now(UTC),
            language="en",
            body=DirectoryRecord(document=document or self.directory_text),
        )
        data = encode_envelope(dsse.sign(encode_statement(said), [self._voice]))
        self._log(said, data, datetime.now(UTC))

    def _log(self, statement: Statement, data: bytes, now: datetime) -> Receipt:
        """Puts a statement into the log and into its recipient's feed."""
        digest = dsse.digest(data)
        feed = self.feeds[statement.recipient]
        salt, sequence = bytes(16), len(feed) + 1
        entry = Entry(statement.kind.value, now, commit(salt, digest, statement.recipient, sequence))
        extension = self._frontier.extend([merkle.leaf_hash(entry.encode())])
        index = self.size
        self._frontier = extension.frontier
        self._nodes |= {(level, at): value for level, at, value in extension.nodes}
        self._entries.append(entry.encode())
        self.checkpoint = sign_checkpoint(
            Checkpoint(self._signer.verifier.name, self.size, extension.root()), self._signer
        )
        receipt = Receipt(
            digest,
            statement.kind.value,
            statement.recipient,
            sequence,
            now,
            salt,
            index,
            extension.inclusion_proofs()[0],
            self.checkpoint,
        )
        feed.append((data, receipt))
        return receipt

    def call(self, caller: str, method: str, request: Any) -> Any:
        """Answers one call."""
        response = next(getattr(one, f"{method}Response") for one in _MODULES if hasattr(one, f"{method}Response"))
        match method:
            case _ if method in _BATCHES:
                return response(results=[self._result(data) for data in request.envelopes])
            case "GetCase":
                return response(case=self._case(caller, request.case_id))
            case "ListCases":
                wanted = [one for one in self._cases.values() if self._wanted(caller, one, request)]
                return response(cases=self._listed(caller, wanted[::-1], whole=request.with_statements))
            case "GetConsistencyProofs":
                proofs = merkle.consistency_proofs(request.old_sizes, request.new_size, lambda _: self._nodes)
                return response(proofs=[{"hashes": proof} for proof in proofs])
            case (
                "GetCheckpoint"
                | "GetConsistencyProof"
                | "GetInclusionProof"
                | "GetDirectory"
                | "GetTile"
                | "GetEntryBundle"
            ):
                return response(**self._of_the_log(method, request))
            case _:
                return response(receipt=receipt_to_message(self.accept(request.envelope)))

    def _of_the_log(self, method: str, request: Any) -> dict[str, Any]:
        if method == "GetCheckpoint":
            return {"checkpoint": self.checkpoint, "cosigned": self.cosigned}
        if method == "GetConsistencyProof":
            sizes = request.old_size, request.new_size
            return {"proof": merkle.consistency_proof(*sizes, lambda _: self._nodes)}
        if method == "GetInclusionProof":
            proof = merkle.inclusion_proof(request.index, request.size, lambda _: self._nodes)
            return {"proof": proof, "leaf_hash": self._nodes[0, request.index]}
        if method == "GetDirectory":
            return {"record": self._record(request.before_index)}
        level = request.level if method == "GetTile" else ENTRIES
        return {"data": MemoryLog.of(self._entries).tile(Tile(level, request.index, request.width or WIDTH))}

    def _record(self, before: int) -> receipt_pb2.Delivery:
        below = [one for one in self.feeds["operator"] if one[1].index < before]
        if not below:
            raise RefusedError(Reason.DIRECTORY_NOT_RECORDED, "none")
        return delivery_to_message(*below[-1])

    def _result(self, data: bytes) -> flag_service_pb2.SubmitResult:
        try:
            return flag_service_pb2.SubmitResult(receipt=receipt_to_message(self.accept(data)))
        except RefusedError as refusal:
            return flag_service_pb2.SubmitResult(error=refusal_to_status(refusal))

    def _case(self, caller: str, case_id: str) -> case_pb2.Case:
        case = self._cases.get(case_id)
        if case is None or caller not in {case.authority, case.platform}:
            raise RefusedError(Reason.CASE_NOT_FOUND, "no such case")
        return case_to_message(case, [(self.lie or data, receipt) for data, receipt in self._said[case_id]])

    def _listed(self, caller: str, cases: list[Case], *, whole: bool) -> list[case_pb2.Case]:
        """The cases as they are listed: with their statements only those that still have any."""
        if not whole:
            return [case_to_message(one) for one in cases]
        return [self._case(caller, one.id) for one in cases if one.state is not CaseState.ERASED]

    def _wanted(self, caller: str, case: Case, request: case_pb2.ListCasesRequest) -> bool:
        return (
            caller in {case.authority, case.platform}
            and request.test == case.test
            and (not request.states or int(case.state) in set(map(int, request.states)))
            and (not request.category or int(request.category) == int(case.category))
            and (not request.HasField("opened_from") or request.opened_from.seconds <= case.opened_at.timestamp())
        )

    def erase(self, case_id: str) -> None:
        """Forgets what was said in a case, as far as the list of cases tells."""
        self._cases[case_id] = replace(self._cases[case_id], state=CaseState.ERASED)

    def watch(self, caller: str, request: feed_service_pb2.WatchRequest) -> Iterator[Any]:
        """Delivers what there is."""
        for data, receipt in self.feeds[caller][request.after_sequence :]:
            yield feed_service_pb2.WatchResponse(deliveries=[delivery_to_message(data, receipt)])


class _Stream:
    """What a streaming call returns."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames

    def __next__(self) -> Any:
        return next(self._frames)

    def cancel(self) -> None:
        """Nothing is under way."""


class Channel:
    """The part of ``grpc.Channel`` that stubs use."""

    def __init__(self, exchange: Exchange, caller: str) -> None:
        self._exchange = exchange
        self._caller = caller

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Any:
        """A method with one answer."""
        method = path.rpartition("/")[2]
        return lambda request, **_: self._exchange.call(self._caller, method, request)

    def unary_stream(self, *_: Any, **__: Any) -> Any:
        """Watch."""
        return lambda request, **_: _Stream(self._exchange.watch(self._caller, request))

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def made(tmp_path: Path) -> development.Development:
    return development.init(tmp_path / "dev", now=datetime.now(UTC), listen="127.0.0.1:9")


@pytest.fixture
def exchange(made: development.Development, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    there = Exchange(made)

    class InMemory(Client):
        @classmethod
        def connect(cls, profile: Profile, *, timeout: timedelta = timedelta(seconds=1)) -> InMemory:
            operations = Operations.open(profile, timeout=timeout)
            return cls(operations, Channel(there, profile.organisation), timeout)  # type: ignore[arg-type]

    monkeypatch.setattr("panji.cli.common.Client", InMemory)
    return there


class Panji:
    """Runs commands as one of the organisations."""

    def __init__(self, made: development.Development) -> None:
        self._made = made

    def __call__(
        self, *arguments: object, by: str = "kominfo", stdin: str = "", env: dict[str, str] | None = None
    ) -> Result:
        return CliRunner().invoke(
            app, [str(one) for one in arguments], input=stdin, env=self.environment(by) | (env or {})
        )

    def environment(self, by: str = "kominfo") -> dict[str, str]:
        """The variables that make somebody the caller."""
        return {"PANJI_PROFILE": str(self._made.profiles[by])} if by else {}

    def records(self, *arguments: object, exit_code: int = 0, **options: Any) -> list[dict[str, Any]]:
        """Runs a command with ``--json`` and returns its records."""
        result = self(*arguments, "--json", **options)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def error(self, *arguments: object, exit_code: int, **options: Any) -> dict[str, Any]:
        """Runs a command with ``--json`` that must fail, and returns its error."""
        result = self(*arguments, "--json", **options)
        assert result.exit_code == exit_code, (result.output, result.exception)
        error: dict[str, Any] = json.loads(result.stderr.splitlines()[-1])["error"]
        return error

    def submit(self, *more: object, url: str = "https://t.me/example", **options: Any) -> dict[str, Any]:
        """Submits one flag and returns its record."""
        (record,) = self.records(*FLAG, "--url", url, *more, **options)
        return record


FLAG = (
    *("submit", "--to", "telegram", "--instrument", "order", "--category", "terrorism"),
    *("--sub-category", "terrorism-propaganda-other", "--reasons", "Calls for attacks.", "--kind", "channel"),
    *("--legal-basis", "ID: PM 36/2014, art. 4", "--authority", "Kominfo", "--authority-country", "ID"),
)


@pytest.fixture
def panji(made: development.Development, exchange: Exchange) -> Panji:
    return Panji(made)
