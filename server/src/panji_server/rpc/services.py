"""FlagService, ResponseService and LogService: what authorities send, what platforms answer, what anyone may check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panji.core import merkle
from panji.core.checkpoint import MAX_SIZE
from panji.core.tiles import ENTRIES, MAX_LEVEL, WIDTH, Tile
from panji.core.vocabulary import Kind, Role
from panji.errors import Reason, RefusedError, Violation
from panji.v1 import (
    flag_service_pb2,
    flag_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    response_service_pb2,
    response_service_pb2_grpc,
)
from panji_server import policy, tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji_server.exchange import Exchange
    from panji_server.rpc.submission import Submission
    from panji_server.storage.base import Storage

BY_AUTHORITIES = frozenset(kind for kind, roles in policy.MAKES.items() if Role.AUTHORITY in roles)
"""What SubmitFlags takes."""
BY_PLATFORMS = frozenset(kind for kind, roles in policy.MAKES.items() if Role.PLATFORM in roles)
"""What SubmitResponses takes."""
_PROOFS_AT_ONCE = 1000
"""Proofs of one GetConsistencyProofs at most."""


class FlagService(flag_service_pb2_grpc.FlagServiceServicer):
    """What authorities send."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    async def SubmitFlag(self, request: Any, context: Any) -> flag_service_pb2.SubmitFlagResponse:
        """Submits one flag."""
        receipt = await self._submission.one(request.envelope, Kind.FLAG)
        return flag_service_pb2.SubmitFlagResponse(receipt=receipt)

    async def SubmitFlags(self, request: Any, context: Any) -> flag_service_pb2.SubmitFlagsResponse:
        """Submits many statements of an authority."""
        response = flag_service_pb2.SubmitFlagsResponse()
        await self._submission.many(request.envelopes, BY_AUTHORITIES, response.results)
        return response

    async def WithdrawFlag(self, request: Any, context: Any) -> flag_service_pb2.WithdrawFlagResponse:
        """Takes a flag back."""
        receipt = await self._submission.one(request.envelope, Kind.WITHDRAWAL)
        return flag_service_pb2.WithdrawFlagResponse(receipt=receipt)

    async def AnswerClarification(self, request: Any, context: Any) -> flag_service_pb2.AnswerClarificationResponse:
        """Answers a clarification request."""
        receipt = await self._submission.one(request.envelope, Kind.CLARIFICATION_ANSWER)
        return flag_service_pb2.AnswerClarificationResponse(receipt=receipt)

    async def VerifyFlag(self, request: Any, context: Any) -> flag_service_pb2.VerifyFlagResponse:
        """Answers a verification request."""
        receipt = await self._submission.one(request.envelope, Kind.VERIFICATION)
        return flag_service_pb2.VerifyFlagResponse(receipt=receipt)

    async def OrderRestoration(self, request: Any, context: Any) -> flag_service_pb2.OrderRestorationResponse:
        """Demands that targets be restored."""
        receipt = await self._submission.one(request.envelope, Kind.RESTORE_ORDER)
        return flag_service_pb2.OrderRestorationResponse(receipt=receipt)


class ResponseService(response_service_pb2_grpc.ResponseServiceServicer):
    """What platforms answer."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    async def Acknowledge(self, request: Any, context: Any) -> response_service_pb2.AcknowledgeResponse:
        """Says that a flag was received, or is under review."""
        receipt = await self._submission.one(request.envelope, Kind.ACKNOWLEDGEMENT)
        return response_service_pb2.AcknowledgeResponse(receipt=receipt)

    async def RequestClarification(
        self, request: Any, context: Any
    ) -> response_service_pb2.RequestClarificationResponse:
        """Asks the authority before deciding."""
        receipt = await self._submission.one(request.envelope, Kind.CLARIFICATION_REQUEST)
        return response_service_pb2.RequestClarificationResponse(receipt=receipt)

    async def Decide(self, request: Any, context: Any) -> response_service_pb2.DecideResponse:
        """Decides every open target of a flag."""
        receipt = await self._submission.one(request.envelope, Kind.DECISION)
        return response_service_pb2.DecideResponse(receipt=receipt)

    async def RequestVerification(self, request: Any, context: Any) -> response_service_pb2.RequestVerificationResponse:
        """Asks the authority to verify its own flag."""
        receipt = await self._submission.one(request.envelope, Kind.VERIFICATION_REQUEST)
        return response_service_pb2.RequestVerificationResponse(receipt=receipt)

    async def ReportObstacle(self, request: Any, context: Any) -> response_service_pb2.ReportObstacleResponse:
        """Says that something keeps the platform from acting."""
        receipt = await self._submission.one(request.envelope, Kind.OBSTACLE)
        return response_service_pb2.ReportObstacleResponse(receipt=receipt)

    async def EndObstacle(self, request: Any, context: Any) -> response_service_pb2.EndObstacleResponse:
        """Says that the obstacle is gone."""
        receipt = await self._submission.one(request.envelope, Kind.OBSTACLE_ENDED)
        return response_service_pb2.EndObstacleResponse(receipt=receipt)

    async def CorrectDecision(self, request: Any, context: Any) -> response_service_pb2.CorrectDecisionResponse:
        """Replaces what was decided on some targets."""
        receipt = await self._submission.one(request.envelope, Kind.CORRECTION)
        return response_service_pb2.CorrectDecisionResponse(receipt=receipt)

    async def SubmitCounterNotice(self, request: Any, context: Any) -> response_service_pb2.SubmitCounterNoticeResponse:
        """Passes on what the user says."""
        receipt = await self._submission.one(request.envelope, Kind.COUNTER_NOTICE)
        return response_service_pb2.SubmitCounterNoticeResponse(receipt=receipt)

    async def ConfirmRestoration(self, request: Any, context: Any) -> response_service_pb2.ConfirmRestorationResponse:
        """Says what became of targets that are to be restored."""
        receipt = await self._submission.one(request.envelope, Kind.RESTORATION)
        return response_service_pb2.ConfirmRestorationResponse(receipt=receipt)

    async def SubmitResponses(self, request: Any, context: Any) -> response_service_pb2.SubmitResponsesResponse:
        """Submits many statements of a platform."""
        response = response_service_pb2.SubmitResponsesResponse()
        await self._submission.many(request.envelopes, BY_PLATFORMS, response.results)
        return response


class LogService(log_service_pb2_grpc.LogServiceServicer):
    """What anyone on the channel may check."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def GetCheckpoint(self, request: Any, context: Any) -> log_service_pb2.GetCheckpointResponse:
        """Returns the newest checkpoint, and the newest one that enough witnesses have cosigned."""
        newest, cosigned = await self._exchange.head()
        return log_service_pb2.GetCheckpointResponse(checkpoint=newest, cosigned=cosigned)

    async def GetInclusionProof(self, request: Any, context: Any) -> log_service_pb2.GetInclusionProofResponse:
        """Returns the proof that an entry is in the tree of a size."""
        size = await self._exchange.read(_tree, self._exchange.storage, request.size)
        if request.index >= size:
            raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "the tree of this size has no such entry")
        storage = self._exchange.storage
        wanted = merkle.inclusion_nodes(request.index, size)
        nodes = await self._exchange.read(storage.nodes, [*wanted, (0, request.index)])
        return log_service_pb2.GetInclusionProofResponse(
            proof=merkle.inclusion_proof(request.index, size, lambda _: nodes),
            leaf_hash=nodes[0, request.index],
            size=size,
        )

    async def GetConsistencyProof(self, request: Any, context: Any) -> log_service_pb2.GetConsistencyProofResponse:
        """Returns the proof that one tree is a prefix of another."""
        (proof,), size = await self._consistency([request.old_size], request.new_size)
        return log_service_pb2.GetConsistencyProofResponse(proof=proof, new_size=size)

    async def GetConsistencyProofs(self, request: Any, context: Any) -> log_service_pb2.GetConsistencyProofsResponse:
        """Returns the proofs that several trees are prefixes of another."""
        if not 1 <= len(request.old_sizes) <= _PROOFS_AT_ONCE:
            violations = [Violation("old_sizes", f"has 1 to {_PROOFS_AT_ONCE} sizes")]
            raise RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=violations)
        proofs, size = await self._consistency(request.old_sizes, request.new_size)
        return log_service_pb2.GetConsistencyProofsResponse(
            proofs=[log_service_pb2.ConsistencyProof(hashes=proof) for proof in proofs], new_size=size
        )

    async def _consistency(self, old_sizes: Sequence[int], new_size: int) -> tuple[list[tuple[bytes, ...]], int]:
        storage = self._exchange.storage

        def prove() -> tuple[list[tuple[bytes, ...]], int]:
            size = _tree(storage, new_size)
            if max(old_sizes) > size:
                raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "an older size is the larger one")
            return merkle.consistency_proofs(old_sizes, size, storage.nodes), size

        # In one go: clients ask for this with almost every answer that they get.
        return await self._exchange.read(prove)

    async def GetTile(self, request: Any, context: Any) -> log_service_pb2.GetTileResponse:
        """Returns a tile of the Merkle tree."""
        if request.level > MAX_LEVEL:  # that of bundles is below, and not to be had here
            violations = [Violation("level", f"must be 0 to {MAX_LEVEL}")]
            raise RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=violations)
        return log_service_pb2.GetTileResponse(data=await self._tile(request.level, request))

    async def GetEntryBundle(self, request: Any, context: Any) -> log_service_pb2.GetEntryBundleResponse:
        """Returns a bundle of log entries."""
        return log_service_pb2.GetEntryBundleResponse(data=await self._tile(ENTRIES, request))

    async def _tile(self, level: int, request: Any) -> bytes:
        if request.width >= WIDTH:
            violations = [Violation("width", f"must be 1 to {WIDTH - 1}, or 0 for a full one")]
            raise RefusedError(Reason.REQUEST_INVALID, "the request is wrong", violations=violations)
        data = None
        if request.index <= MAX_SIZE:
            tile = Tile(level, request.index, request.width or WIDTH)
            data = await self._exchange.read(tiles.read, self._exchange.storage, tile)
        if data is None:
            raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "the log has no such tile yet")
        return data


def _tree(storage: Storage, wanted: int) -> int:
    """The size of the tree that is asked for."""
    size = storage.current_head().frontier.size
    if wanted > size:
        raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "the log is not that large", metadata={"size": str(size)})
    return wanted or size
