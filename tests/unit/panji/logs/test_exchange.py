"""The log of our own exchange, through a client that may be lied to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from support.logs import LOG, MemoryLog, a_log

from panji.core.audit import audit
from panji.core.tiles import Tile
from panji.errors import AuditError, Reason, RefusedError, TransportError
from panji.logs.exchange import ExchangeReader

if TYPE_CHECKING:
    from panji.client import Client


class Answers:
    """The part of a client that a reader uses."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.refusal: RefusedError | None = None
        self.more = b""

    def signed_checkpoint(self) -> str:
        """The head, or nothing while the log is empty."""
        return self._log.files.get("checkpoint", b"").decode()

    def tile(self, tile: Tile) -> bytes:
        """A tile."""
        if self.refusal is not None:
            raise self.refusal
        return self._log.tile(tile) + self.more


def reader(answers: Answers) -> ExchangeReader:
    return ExchangeReader(cast("Client", answers))


def test_the_log_is_audited_over_the_participants_own_connection() -> None:
    assert audit(reader(Answers(a_log(600))), LOG.verifier).entries == 600


def test_an_empty_log_has_no_checkpoint_yet() -> None:
    with pytest.raises(TransportError, match="the log is empty"):
        reader(Answers(MemoryLog({}))).checkpoint()


def test_a_tile_that_the_exchange_does_not_have_is_missing_from_its_log() -> None:
    answers: Any = Answers(a_log(3))
    answers.refusal = RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "no such tile")
    with pytest.raises(AuditError, match=r"tile/0/000\.p/3 is missing"):
        reader(answers).tile(Tile(0, 0, 3))
    answers.refusal = RefusedError(Reason.STORAGE_FAILED, "later")
    with pytest.raises(RefusedError, match="later"):
        reader(answers).tile(Tile(0, 0, 3))


def test_an_oversized_tile_is_refused() -> None:
    answers = Answers(a_log(3))
    answers.more = b"x"
    with pytest.raises(AuditError, match="has more than 96 bytes"):
        reader(answers).tile(Tile(0, 0, 3))
