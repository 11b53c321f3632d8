"""The books of a chaos run: what the parties sent, what they hold, and what contradicts it."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from panji.core.vocabulary import Kind
from panji.errors import PanjiError
from panji.v1 import flag_service_pb2, flag_service_pb2_grpc, response_service_pb2, response_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    import grpc
    from support.load import Party, Receipts, Signed

    from panji.core.receipt import Receipt
    from panji.v1 import receipt_pb2

PLATFORM = "telegram"
"""The one platform; everyone else is an authority."""
CALL_SECONDS = 20.0
"""After which a call counts as failed: an exchange that answers late is no better than one that does not."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement that was sent at least once."""

    signed: Signed
    kind: Kind
    sender: str
    recipient: str
    flag: Sent | None = None
    """What an answer answers."""


@dataclass(frozen=True, slots=True)
class Held:
    """A receipt that its sender verified."""

    sent: Sent
    receipt: Receipt
    message: receipt_pb2.Receipt


@dataclass(slots=True)
class Books:
    """What the parties know: what they sent, and what they hold."""

    receipts: Receipts
    unanswered: dict[bytes, Sent] = field(default_factory=dict)
    held: dict[bytes, Held] = field(default_factory=dict)
    at: dict[int, bytes] = field(default_factory=dict)
    """Digest by index."""
    to_acknowledge: deque[Sent] = field(default_factory=deque)
    to_decide: deque[Sent] = field(default_factory=deque)
    wrong: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def blame(self, what: str, detail: str) -> None:
        self.wrong[what] += 1
        self.details.append(f"{what}: {detail}")

    def send(self, sent: Sent) -> Sent:
        self.unanswered[sent.signed.digest] = sent
        return sent

    def hold(self, sent: Sent, message: receipt_pb2.Receipt) -> None:
        """Takes a receipt, if it proves something and contradicts none that is held."""
        digest = sent.signed.digest
        try:
            receipt = self.receipts.verify(digest, message).receipt
        except PanjiError as error:
            self.blame("unproved", f"{sent.signed.id}: {error}")
            return
        before = self.held.get(digest)
        if before is not None and before.message != message:
            self.blame("doubled", f"{sent.signed.id} got another receipt than before")
        if self.at.setdefault(receipt.index, digest) != digest:
            self.blame("doubled", f"index {receipt.index} has two statements")
        self.unanswered.pop(digest, None)
        if before is None:
            self.held[digest] = Held(sent, receipt, message)
            if sent.kind is Kind.FLAG:
                self.to_acknowledge.append(sent)
            elif sent.kind is Kind.ACKNOWLEDGEMENT and sent.flag is not None:
                self.to_decide.append(sent.flag)


class Clients:
    """The parties' channels to one life of the exchange, and how they submit."""

    def __init__(self, parties: dict[str, Party], books: Books) -> None:
        self._parties = parties
        self._books = books
        self._channels = AsyncExitStack()
        self._open: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        for name, party in self._parties.items():
            self._open[name] = await self._channels.enter_async_context(party.channel())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channels.aclose()

    def of(self, party: str) -> grpc.aio.Channel:
        return self._open[party]

    async def one(self, sent: Sent) -> None:
        """By the method of its kind."""
        channel, envelope = self.of(sent.sender), sent.signed.envelope
        call: Awaitable[Any]
        if sent.kind is Kind.FLAG:
            stub = flag_service_pb2_grpc.FlagServiceStub(channel)
            call = stub.SubmitFlag(flag_service_pb2.SubmitFlagRequest(envelope=envelope), timeout=CALL_SECONDS)
        elif sent.kind is Kind.ACKNOWLEDGEMENT:
            answers = response_service_pb2_grpc.ResponseServiceStub(channel)
            request = response_service_pb2.AcknowledgeRequest(envelope=envelope)
            call = answers.Acknowledge(request, timeout=CALL_SECONDS)
        else:
            answers = response_service_pb2_grpc.ResponseServiceStub(channel)
            call = answers.Decide(response_service_pb2.DecideRequest(envelope=envelope), timeout=CALL_SECONDS)
        self._books.hold(sent, (await call).receipt)

    async def many(self, batch: Sequence[Sent]) -> None:
        """In one call; all are of one sender."""
        channel, envelopes = self.of(batch[0].sender), [one.signed.envelope for one in batch]
        call: Awaitable[Any]
        if batch[0].sender == PLATFORM:
            request = response_service_pb2.SubmitResponsesRequest(envelopes=envelopes)
            stub = response_service_pb2_grpc.ResponseServiceStub(channel)
            call = stub.SubmitResponses(request, timeout=CALL_SECONDS)
        else:
            flags = flag_service_pb2.SubmitFlagsRequest(envelopes=envelopes)
            call = flag_service_pb2_grpc.FlagServiceStub(channel).SubmitFlags(flags, timeout=CALL_SECONDS)
        for sent, result in zip(batch, (await call).results, strict=True):
            if result.HasField("receipt"):
                self._books.hold(sent, result.receipt)
            else:
                self._books.blame("refused", f"{sent.kind} {sent.signed.id}: {result.error.message}")
