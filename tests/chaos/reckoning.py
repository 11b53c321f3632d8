"""The reckoning: everything that the books hold, called in from the exchange and proved against its newest head."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, TypeVar

import grpc
from chaos.books import CALL_SECONDS, PLATFORM

from panji.core import merkle
from panji.core.checkpoint import Checkpoint
from panji.errors import PanjiError
from panji.v1 import feed_service_pb2, feed_service_pb2_grpc, log_service_pb2, log_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from chaos.books import Books, Clients, Held

T = TypeVar("T")

_AT_ONCE = 32
_BATCH = 500
RECORDED = 1
"""Entries at the beginning that no party has a receipt for: the exchange's own record of the directory."""


class Reckoning:
    """Compares what an exchange says with the books, and remembers how far that was done.

    Args:
        books: What the parties sent and hold.
        parties: Whose feeds are read.
        origin: Of the log.
    """

    def __init__(self, books: Books, parties: Sequence[str], origin: str) -> None:
        self._books = books
        self._parties = parties
        self._cursors = dict.fromkeys(parties, 0)
        self._checked = RECORDED
        self.head = Checkpoint(origin, 0, merkle.EMPTY_ROOT)
        """The newest head at the last reckoning."""

    async def check(self, clients: Clients) -> None:
        """Calls in what is new since the last check, against the newest head."""
        books = self._books
        head = await self.newest(clients)
        await self._check_heads(clients, head)
        fresh = [books.held[books.at[index]] for index in range(self._checked, head.size) if index in books.at]
        await each(fresh, lambda held: self._prove(clients, held, head))
        await self._repeat(clients, fresh[:: max(1, len(fresh) // 10)])
        missing = [index for index in range(self._checked, head.size) if index not in books.at]
        if missing:
            books.blame("gaps", f"nobody sent what stands at {missing[:5]} ({len(missing)} indexes)")
        beyond = [index for index in books.at if index >= head.size]
        if beyond:
            books.blame("lost", f"the log ends at {head.size}, but there are receipts for {beyond[:5]}")
        for party in self._parties:
            self._cursors[party] = await self._read_feed(clients, party, self._cursors[party])
        self._checked = head.size

    async def check_all(self, clients: Clients) -> None:
        """At the end, all of it again, against the last head: every receipt, every repetition, every feed."""
        books = self._books
        head = await self.newest(clients)
        await each(list(books.held.values()), lambda held: self._prove(clients, held, head))
        await self._repeat(clients, list(books.held.values()))
        for party in self._parties:
            last = await self._read_feed(clients, party, 0)
            addressed = sum(held.sent.recipient == party for held in books.held.values())
            if last != addressed:
                books.blame("lost", f"{party}'s feed has {last} statements of {addressed}")
        if books.at.keys() != set(range(RECORDED, head.size)):
            books.blame("gaps", f"{len(books.at)} receipts for {head.size - RECORDED} entries of the parties")

    async def newest(self, clients: Clients) -> Checkpoint:
        """The newest head, verified."""
        stub = log_service_pb2_grpc.LogServiceStub(clients.of(PLATFORM))
        answer = await stub.GetCheckpoint(log_service_pb2.GetCheckpointRequest(), timeout=CALL_SECONDS)
        if not answer.checkpoint:
            return Checkpoint(self.head.origin, 0, merkle.EMPTY_ROOT)
        return self._books.receipts.head(answer.checkpoint)

    async def _check_heads(self, clients: Clients, newest: Checkpoint) -> None:
        """Every head seen since the last check, the last one of then included, is a prefix of the next."""
        roots, known = self._books.receipts.roots, self.head.size
        self.head = newest
        largest = max([known, *roots])
        if largest > newest.size:
            self._books.blame("forks", f"the log shrank from {largest} to {newest.size}")
            return
        stub = log_service_pb2_grpc.LogServiceStub(clients.of(PLATFORM))
        sizes = sorted(size for size in roots if size >= known)

        async def compare(pair: tuple[int, int]) -> None:
            request = log_service_pb2.GetConsistencyProofRequest(old_size=pair[0], new_size=pair[1])
            proof = (await stub.GetConsistencyProof(request, timeout=CALL_SECONDS)).proof
            try:
                merkle.verify_consistency(*pair, proof, roots[pair[0]], roots[pair[1]])
            except PanjiError as error:
                self._books.blame("forks", f"{pair[0]} to {pair[1]}: {error}")

        await each(list(itertools.pairwise(sizes)), compare)

    async def _prove(self, clients: Clients, held: Held, head: Checkpoint) -> None:
        """The receipt's entry, made from the receipt alone, stands at its index in the newest tree."""
        stub = log_service_pb2_grpc.LogServiceStub(clients.of(held.sent.sender))
        request = log_service_pb2.GetInclusionProofRequest(index=held.receipt.index, size=head.size)
        try:
            proof = (await stub.GetInclusionProof(request, timeout=CALL_SECONDS)).proof
            leaf = merkle.leaf_hash(held.receipt.entry.encode())
            merkle.verify_inclusion(leaf, held.receipt.index, head.size, proof, head.root)
        except (PanjiError, grpc.aio.AioRpcError) as error:
            self._books.blame("lost", f"{held.sent.kind} {held.sent.signed.id} at {held.receipt.index}: {error}")

    async def _repeat(self, clients: Clients, held: Sequence[Held]) -> None:
        """Sends accepted statements again: the books compare the receipts."""
        for party in self._parties:
            sent = [one.sent for one in held if one.sent.sender == party]
            for start in range(0, len(sent), 500):
                await clients.many(sent[start : start + 500])

    async def _read_feed(self, clients: Clients, party: str, after: int) -> int:
        """Reads a feed to its end: consecutive, each once, each as its sender knows it. Returns the last sequence."""
        stub = feed_service_pb2_grpc.FeedServiceStub(clients.of(party))
        request = feed_service_pb2.WatchRequest(after_sequence=after, stop_at_end=True)
        async for message in stub.Watch(request, timeout=60.0):
            for delivery in message.deliveries:
                after += 1
                held = self._books.held.get(delivery.receipt.digest)
                if delivery.receipt.sequence != after:
                    self._books.blame("gaps", f"{party}'s feed has {delivery.receipt.sequence} for {after}")
                if held is None or held.message != delivery.receipt:
                    self._books.blame("doubled", f"{party} got at {after} what its sender knows otherwise")
                elif held.sent.signed.envelope != delivery.envelope or held.sent.recipient != party:
                    self._books.blame("lost", f"{party} got other bytes at {after}")
        return after


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Works on all items, so many at once."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())
