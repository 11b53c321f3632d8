"""Receipts: that each proves its own statement in its own log, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core import envelope, receipt
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.entry import Entry, commit
from panji.core.keys import PrivateKeySigner
from panji.core.merkle import Frontier, leaf_hash
from panji.core.note import NoteSigner
from panji.core.receipt import Receipt
from panji.errors import NoteError, ProofError, ReceiptError, VerificationError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
NOON = datetime(2017, 7, 14, 12, tzinfo=UTC)
DIGESTS = [envelope.digest(b"envelope %d" % number) for number in range(13)]


def issue(digests: list[bytes], log: NoteSigner = LOG) -> list[Receipt]:
    """One batch, as an exchange would commit it: one tree, one checkpoint, a receipt each."""
    salts = [bytes([number]) * 16 for number in range(len(digests))]
    entries = [
        Entry("flag", NOON, commit(salt, digest, "telegram", number))
        for number, (salt, digest) in enumerate(zip(salts, digests, strict=True), start=1)
    ]
    extension = Frontier(0).extend([leaf_hash(entry.encode()) for entry in entries])
    signed = sign_checkpoint(Checkpoint(log.verifier.name, len(digests), extension.root()), log)
    return [
        Receipt(digest, "flag", "telegram", index + 1, NOON, salt, index, proof, signed)
        for index, (salt, digest, proof) in enumerate(zip(salts, digests, extension.inclusion_proofs(), strict=True))
    ]


RECEIPTS = issue(DIGESTS)
MINE, OTHER = RECEIPTS[5], RECEIPTS[6]


def test_every_receipt_of_a_batch_verifies_and_leads_to_the_one_checkpoint() -> None:
    for digest, issued in zip(DIGESTS, RECEIPTS, strict=True):
        verified = receipt.verify(issued, digest, LOG.verifier)
        assert verified.receipt == issued
        assert verified.checkpoint.size == len(DIGESTS)
        assert receipt.verify_in(issued, digest, open_checkpoint(issued.checkpoint, LOG.verifier)) == verified


def test_another_statements_receipt_does_not_pass_for_mine() -> None:
    with pytest.raises(ReceiptError, match="another statement"):
        receipt.verify(OTHER, MINE.digest, LOG.verifier)


def test_another_statements_proof_under_my_digest_is_refused() -> None:
    with pytest.raises(ProofError):
        receipt.verify(replace(OTHER, digest=MINE.digest), MINE.digest, LOG.verifier)


def test_a_receipt_of_a_log_that_somebody_made_up_is_refused() -> None:
    forger = NoteSigner(LOG.verifier.name, PrivateKeySigner.generate())
    with pytest.raises(NoteError):
        receipt.verify(issue(DIGESTS, forger)[5], MINE.digest, LOG.verifier)


def test_a_checkpoint_of_another_size_does_not_hold_the_statement() -> None:
    earlier = issue(DIGESTS[:4])[0].checkpoint
    with pytest.raises(ProofError):
        receipt.verify(replace(MINE, checkpoint=earlier), MINE.digest, LOG.verifier)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "decision"},
        {"recipient": "whatsapp"},
        {"sequence": 7},
        {"received_at": NOON - timedelta(microseconds=1)},
        {"salt": bytes(16)},
        {"index": 4},
        {"proof": ()},
        {"proof": MINE.proof[::-1]},
        {"proof": (*MINE.proof, MINE.digest)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_field_can_be_changed_without_leaving_the_tree(change: dict[str, Any]) -> None:
    with pytest.raises(ProofError):
        receipt.verify(replace(MINE, **change), MINE.digest, LOG.verifier)


@pytest.mark.parametrize(
    "change",
    [{"kind": "Flag"}, {"recipient": ""}, {"sequence": 0}, {"received_at": datetime(2017, 7, 14)}, {"salt": b"short"}],  # noqa: DTZ001 - a naive time is the point
    ids=lambda change: next(iter(change)),
)
def test_fields_that_make_no_entry_are_a_bad_receipt_not_a_crash(change: dict[str, Any]) -> None:
    with pytest.raises(ReceiptError, match="make no entry"):
        receipt.verify(replace(MINE, **change), MINE.digest, LOG.verifier)


def test_a_digest_of_another_length_is_refused_even_if_both_sides_have_it() -> None:
    with pytest.raises(ReceiptError):
        receipt.verify(replace(MINE, digest=b""), b"", LOG.verifier)


@pytest.mark.parametrize("size", [0, 4])
def test_a_head_too_small_to_hold_the_statement_is_refused(size: int) -> None:
    """Genuinely signed, both of them; the empty log holds nothing."""
    root = Frontier(0).root() if size == 0 else MINE.digest
    small = sign_checkpoint(Checkpoint(LOG.verifier.name, size, root), LOG)
    with pytest.raises(ProofError, match=f"a tree of {size} leaves has no leaf 5"):
        receipt.verify(replace(MINE, checkpoint=small), MINE.digest, LOG.verifier)


def test_a_head_of_another_origin_by_the_same_key_proves_nothing_here() -> None:
    head = open_checkpoint(MINE.checkpoint, LOG.verifier)
    elsewhere = sign_checkpoint(replace(head, origin="other.example/log"), LOG)
    with pytest.raises(NoteError, match="another log"):
        receipt.verify(replace(MINE, checkpoint=elsewhere), MINE.digest, LOG.verifier)


@given(st.data())
def test_every_flipped_bit_of_a_receipt_is_refused(data: st.DataObject) -> None:
    def flip(value: bytes) -> bytes:
        changed = bytearray(value)
        changed[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        return bytes(changed)

    field = data.draw(st.sampled_from(["digest", "salt", "proof", "checkpoint"]))
    if field == "proof":
        chosen = data.draw(st.integers(0, len(MINE.proof) - 1))
        proof = tuple(flip(value) if at == chosen else value for at, value in enumerate(MINE.proof))
        forged = replace(MINE, proof=proof)
    elif field == "checkpoint":
        # latin-1 gives every flipped byte a character, so that the forgery reaches the parser whatever it is
        forged = replace(MINE, checkpoint=flip(MINE.checkpoint.encode()).decode("latin-1"))
    else:
        change: dict[str, Any] = {field: flip(getattr(MINE, field))}
        forged = replace(MINE, **change)
    with pytest.raises(VerificationError):
        receipt.verify(forged, MINE.digest, LOG.verifier)
