"""Proofs that stand alone: the format to the letter, and receipts in it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core import envelope, merkle
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.entry import Entry, commit
from panji.core.keys import PrivateKeySigner
from panji.core.merkle import Frontier, leaf_hash
from panji.core.note import NoteSigner
from panji.core.receipt import Receipt
from panji.core.tlog_proof import HEADER, MAX_BYTES, Opening, TlogProof, from_receipt, to_receipt
from panji.errors import NoteError, ProofError, ReceiptError, VerificationError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
NOON = datetime(2017, 7, 14, 12, tzinfo=UTC)
SALT = bytes(range(16))
DIGEST = envelope.digest(b"an envelope")
ENTRY = Entry("flag", NOON, commit(SALT, DIGEST, "telegram", 3))
LEAVES = [leaf_hash(b"%d" % number) for number in range(5)] + [leaf_hash(ENTRY.encode())]
TREE = Frontier(0).extend(LEAVES)
HEAD = sign_checkpoint(Checkpoint(LOG.verifier.name, 6, TREE.root()), LOG)
RECEIPT = Receipt(DIGEST, "flag", "telegram", 3, NOON, SALT, 5, TREE.inclusion_proofs()[5], HEAD)
PROOF = from_receipt(RECEIPT)
TEXT = PROOF.encode()


def test_a_proof_has_the_lines_of_the_specification() -> None:
    plain = replace(PROOF, extra=b"")
    hashes = [base64.b64encode(one).decode() for one in PROOF.proof]
    assert plain.encode() == "\n".join([HEADER, "index 5", *hashes, "", HEAD])
    assert replace(plain, extra=b"age").encode().split("\n")[1] == "extra YWdl"


@given(st.integers(0, 2**63 - 2), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary())
def test_every_proof_is_read_as_it_was_written(index: int, hashes: list[bytes], extra: bytes) -> None:
    made = TlogProof(index, tuple(hashes), HEAD, extra)
    assert TlogProof.parse(made.encode()) == made


def test_a_proof_verifies_with_the_entry_and_the_logs_key_alone() -> None:
    assert TlogProof.parse(TEXT).verify(ENTRY.encode(), LOG.verifier).size == 6


def test_a_proof_of_the_only_entry_has_no_hashes() -> None:
    tree = Frontier(0).extend([leaf_hash(ENTRY.encode())])
    head = sign_checkpoint(Checkpoint(LOG.verifier.name, 1, tree.root()), LOG)
    TlogProof.parse(TlogProof(0, (), head).encode()).verify(ENTRY.encode(), LOG.verifier)


def test_another_entry_another_index_and_another_log_are_refused() -> None:
    with pytest.raises(ProofError):
        PROOF.verify(b"another entry", LOG.verifier)
    with pytest.raises(ProofError):
        replace(PROOF, index=4).verify(ENTRY.encode(), LOG.verifier)
    with pytest.raises(NoteError):
        PROOF.verify(ENTRY.encode(), NoteSigner(LOG.verifier.name, PrivateKeySigner.generate()).verifier)


def test_every_flipped_byte_of_a_proof_is_noticed() -> None:
    def check(data: bytes) -> None:
        read = TlogProof.parse(data.decode())
        read.verify(Opening.decode(read.extra).entry.encode(), LOG.verifier)

    data = TEXT.encode()
    check(data)
    for position in range(len(data)):
        broken = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises((VerificationError, UnicodeDecodeError)):
            check(broken)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(TEXT.replace("@v1", "@v2", 1), id="another version"),
        pytest.param(TEXT.replace("index 5\n", "", 1), id="without an index"),
        pytest.param(f"{HEADER}\n\n{HEAD}", id="nothing but the header"),
        pytest.param(TEXT.replace("index 5", "index 05", 1), id="a leading zero"),
        pytest.param(TEXT.replace("index 5", "index +5", 1), id="a sign"),
        pytest.param(TEXT.replace("index 5", "index \u0665", 1), id="a digit of another script"),
        pytest.param(TEXT.replace("index 5", f"index {2**63 - 1}", 1), id="an index beyond every log"),
        pytest.param(TEXT.replace("index 5", f"index {'9' * 5000}", 1), id="a number that takes long to read"),
        pytest.param(TEXT.replace("index 5", "extra AAAA\nindex 5", 1), id="extra data twice"),
        pytest.param(replace(PROOF, extra=b"").encode().replace("index", "extra \nindex", 1), id="empty extra data"),
        pytest.param(TEXT.replace("index 5\n", "index 5\nAAAA\n", 1), id="a hash of another length"),
        pytest.param(TEXT.replace("=\n", "\n", 1), id="base64 without its padding"),
        pytest.param(TEXT.replace("\n\n", "\n", 1), id="without the empty line"),
        pytest.param(TEXT.replace("\n", "\r\n"), id="lines of another system"),
        pytest.param(TEXT + " " * MAX_BYTES, id="too long"),
        pytest.param(
            TEXT.replace("index 5\n", "index 5\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 64, 1),
            id="more hashes than a tree is high",
        ),
    ],
)
def test_what_is_no_proof_to_the_letter_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        TlogProof.parse(text)


# Receipts.


def test_a_receipt_comes_back_whole() -> None:
    assert to_receipt(TlogProof.parse(TEXT)) == RECEIPT


def test_an_opening_says_in_lines_what_opens_the_entry() -> None:
    lines = PROOF.extra.decode().split("\n")
    assert lines[0] == "panji.opening.v1"
    assert "\n".join(lines[1:5]) + "\n" == ENTRY.encode().decode()
    assert lines[5:] == [DIGEST.hex(), "telegram", "3", SALT.hex(), ""]
    assert Opening.decode(PROOF.extra).message == f"panji.commitment.v1\n{DIGEST.hex()}\ntelegram\n3\n".encode()


def test_of_an_erased_statement_the_commitment_stands_and_the_salt_does_not() -> None:
    erased = replace(RECEIPT, salt=b"")
    proof = TlogProof.parse(from_receipt(erased, ENTRY.commitment).encode())
    proof.verify(Opening.decode(proof.extra).entry.encode(), LOG.verifier)
    assert to_receipt(proof) == erased


@pytest.mark.parametrize(
    "changes",
    [{"digest": bytes(32)}, {"recipient": "whatsapp"}, {"sequence": 4}, {"salt": bytes(16)}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_does_not_open_the_entry_is_no_opening(changes: dict[str, object]) -> None:
    opening = Opening.of(RECEIPT)
    with pytest.raises(ReceiptError, match="do not open"):
        replace(opening, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("panji.opening.v1", "panji.opening.v2"),
        ("panji.entry.v1", "panji.entry.v2"),
        ("\ntelegram\n", "\ntele\ngram\n"),
        (DIGEST.hex(), DIGEST.hex().upper()),
        (DIGEST.hex(), DIGEST.hex()[:-2]),
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n0\n"),
        ("\n3\n", "\nthree\n"),
        (SALT.hex(), "not hex"),
        ("telegram", "\ud800"),
    ],
)
def test_what_is_no_opening_to_the_letter_is_refused(old: str, new: str) -> None:
    changed = PROOF.extra.decode().replace(old, new, 1).encode("utf-8", "surrogatepass")
    with pytest.raises(ReceiptError):
        Opening.decode(changed)


def test_a_receipt_whose_fields_make_no_entry_is_none() -> None:
    with pytest.raises(ReceiptError, match="make no entry"):
        from_receipt(replace(RECEIPT, kind="No Kind"))


def test_a_proof_that_belongs_to_no_tree_that_there_can_be_is_none() -> None:
    with pytest.raises(ProofError):
        TlogProof(-1, (), HEAD)
    with pytest.raises(ProofError):
        TlogProof(0, (bytes(merkle.HASH_SIZE - 1),), HEAD)
