"""The audit of a whole log: every lie is found, and named by the first tile or entry that shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.logs import (
    BEGAN,
    LOG,
    ORIGIN,
    SECOND,
    MemoryLog,
    a_log,
    an_entry,
    bundle,
    entries,
    head,
    newest,
    signed,
)

from panji.core import merkle
from panji.core.audit import Auditor, Nodes, audit
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.tiles import ENTRIES, Tile, join_entries
from panji.errors import AuditError, InputError, NoteError, TransportError

if TYPE_CHECKING:
    from panji.core.audit import Audited

SIZES = [1, 2, 255, 256, 257, 600, 1024]
LARGE = 66_100
"""Has tiles of three levels."""
WHOLE = [*SIZES, LARGE]


def audited(log: MemoryLog, *older: Checkpoint) -> Audited:
    return audit(log, LOG.verifier, older=older)


def caught(log: MemoryLog, *older: Checkpoint) -> AuditError:
    with pytest.raises(AuditError) as error:
        audited(log, *older)
    return error.value


# Honest logs.


@pytest.mark.parametrize("size", WHOLE)
def test_an_honest_log_of_any_size_is_proven(size: int) -> None:
    found = audited(a_log(size))
    assert found.checkpoint == head(entries(size))
    assert (found.entries, found.first, found.last) == (size, BEGAN, BEGAN + (size - 1) * SECOND)


def test_a_log_without_entries_is_proven_too() -> None:
    found = audited(MemoryLog({"checkpoint": signed([]).encode()}))
    assert (found.entries, found.first, found.last, found.older) == (0, None, None, ())
    assert str(found) == f"{ORIGIN}: 0 of 0 entries lead to the signed root {head([]).root_text}"


def test_what_is_proven_is_said_in_one_line_and_in_a_record() -> None:
    found = audited(a_log(257), head(entries(257), 3), head(entries(257), 256))
    root = head(entries(257)).root_text
    assert str(found) == (
        f"{ORIGIN}: 257 of 257 entries lead to the signed root {root}, received 2026-01-01T00:00:00Z to "
        "2026-01-01T00:04:16Z, and extend the older heads of 3, 256"
    )
    assert found.record() == {
        "verified": True,
        "origin": ORIGIN,
        "size": 257,
        "root": root,
        "entries": 257,
        "first_received_at": "2026-01-01T00:00:00Z",
        "last_received_at": "2026-01-01T00:04:16Z",
        "older": [3, 256],
    }
    empty = audited(MemoryLog({"checkpoint": signed([]).encode()})).record()
    assert (empty["first_received_at"], empty["last_received_at"]) == (None, None)


def test_entries_of_one_instant_are_in_order() -> None:
    assert audited(MemoryLog.of([an_entry(number, BEGAN) for number in range(3)])).entries == 3


def test_progress_is_reported_after_each_bundle() -> None:
    told: list[tuple[int, int]] = []
    audit(a_log(600), LOG.verifier, report=lambda read, size: told.append((read, size)))
    assert told == [(256, 600), (512, 600), (600, 600)]


def test_the_log_may_grow_while_it_is_read() -> None:
    log = a_log(LARGE)
    auditor = Auditor(head(entries(LARGE), 65_000))
    for tile in auditor.wanted():
        auditor.take(tile, log.tile(tile))  # cut from the full ones: the partial ones have gone
    assert auditor.result().entries == 65_000


# Lies.


@pytest.mark.parametrize("size", [257, 600])
def test_every_file_with_a_flipped_byte_is_caught(size: int) -> None:
    for path in a_log(size).files:
        if path != "checkpoint":
            for at in (0, -1):
                log = a_log(size)
                log.flip(path, at)
                assert caught(log).where


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_flipped_byte_anywhere_in_a_large_log_is_caught_where_it_is(data: st.DataObject) -> None:
    log = a_log(LARGE)
    path = data.draw(st.sampled_from(sorted(set(log.files) - {"checkpoint"})))
    log.flip(path, data.draw(st.integers(0, len(log.files[path]) - 1)))
    where = caught(log).where
    edge = {tile.path for tile in Auditor(newest(log)).wanted() if tile.partial and tile.level >= 0}
    if path in edge:
        assert where == "the right edge of the tree"
    elif "entries" in path:
        assert where == path or where.startswith("entry ")
    else:
        assert where == path


def test_an_entry_that_was_replaced_is_named() -> None:
    log, raw = a_log(600), list(entries(600)[256:512])
    raw[44] = an_entry(9999)
    log.files[bundle(1)] = join_entries(raw)
    assert caught(log).where == "entry 300"


def test_entries_that_were_exchanged_are_caught() -> None:
    log, raw = a_log(2), entries(2)
    log.files[bundle(0, 2)] = join_entries(reversed(raw))
    assert caught(log).where == "entry 0"


def test_a_log_that_rewrote_its_tiles_but_not_its_head_is_caught() -> None:
    other = MemoryLog.of([*entries(599), an_entry(9999)])
    other.files["checkpoint"] = a_log(600).files["checkpoint"]
    assert caught(other).where == "the right edge of the tree"


@pytest.mark.parametrize("size", [255, 256, 600])
@pytest.mark.parametrize("end", [slice(0, -1), slice(0, 0), slice(0, 32)])
def test_a_truncated_tile_or_bundle_is_caught(size: int, end: slice) -> None:
    for path, data in a_log(size).files.items():
        if path != "checkpoint" and data[end] != data:
            log = a_log(size)
            log.files[path] = data[end]
            assert caught(log).where == path


def test_an_extended_tile_or_bundle_is_caught() -> None:
    for path, data in a_log(257).files.items():
        if path != "checkpoint":
            log = a_log(257)
            log.files[path] = data + bytes(32)
            assert caught(log).where == path


def test_a_missing_tile_is_named() -> None:
    for path in a_log(600).files:
        if path != "checkpoint":
            log = a_log(600)
            del log.files[path]
            assert str(caught(log)) == f"{path} is missing, and the checkpoint commits to it"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(an_entry() + b"\n", id="a line too many"),
        pytest.param(an_entry().replace(b"Z", b"+00:00"), id="the time in another spelling"),
        pytest.param(an_entry().replace(b"flag", b"FLAG"), id="a kind in capitals"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(100), id="no text"),
    ],
)
def test_a_log_that_signs_what_is_no_entry_is_caught(raw: bytes) -> None:
    assert caught(MemoryLog.of([an_entry(), raw, an_entry(2)])).where == "entry 1"


@pytest.mark.parametrize("at", [1, 255, 256, 299])
def test_a_log_whose_time_goes_back_is_caught(at: int) -> None:
    raw = list(entries(300))
    raw[at] = an_entry(at, BEGAN + (at - 1) * SECOND - timedelta(microseconds=1))
    error = caught(MemoryLog.of(raw))
    assert (error.where, "before the entry that it follows" in str(error)) == (f"entry {at}", True)


def test_an_entry_that_is_too_long_for_any_is_caught_before_it_is_read() -> None:
    assert "has more than" in str(caught(MemoryLog.of([b"x" * 10_000])))


# Heads.


def test_a_head_of_another_key_is_refused() -> None:
    log = a_log(3)
    other = NoteSigner(ORIGIN, PrivateKeySigner.generate())
    log.files["checkpoint"] = sign_checkpoint(head(entries(3)), other).encode()
    with pytest.raises(NoteError, match="none of the known keys"):
        audited(log)


def test_a_head_of_another_origin_is_refused() -> None:
    log = a_log(3)
    elsewhere = Checkpoint("other.example/log", 3, head(entries(3)).root)
    log.files["checkpoint"] = sign_checkpoint(elsewhere, LOG).encode()
    with pytest.raises(NoteError, match="another log"):
        audited(log)


def test_lines_of_unknown_signers_are_ignored() -> None:
    log = a_log(3)
    witness = NoteSigner("witness.example", PrivateKeySigner.generate())
    line = sign_checkpoint(head(entries(3)), witness).rpartition("\n\n")[2]
    log.files["checkpoint"] += line.encode()
    assert audited(log).entries == 3


def test_a_flipped_byte_of_the_head_is_caught_wherever_it_is() -> None:
    data = a_log(3).files["checkpoint"]
    for at in range(len(data)):
        log = a_log(3)
        log.flip("checkpoint", at)
        with pytest.raises((NoteError, AuditError)):
            audited(log)


def test_a_head_that_is_no_text_or_missing_is_told_apart() -> None:
    with pytest.raises(AuditError, match="is no text"):
        audited(MemoryLog({"checkpoint": b"\xff"}))
    with pytest.raises(TransportError, match="no checkpoint"):
        audited(MemoryLog({}))


# Older heads.


@pytest.mark.parametrize("size", [257, 1024])
def test_every_size_that_the_log_ever_had_is_a_prefix(size: int) -> None:
    raw = entries(size)
    sizes = range(size + 1)
    assert audited(a_log(size), *(head(raw, one) for one in reversed(sizes))).older == tuple(sizes[1:])


def test_sizes_at_the_corners_of_tiles_of_three_levels_are_prefixes() -> None:
    raw = entries(LARGE)
    sizes = (1, 255, 256, 257, 511, 512, 65_279, 65_280, 65_535, 65_536, 65_537, 65_792, LARGE - 1, LARGE)
    assert audited(a_log(LARGE), *(head(raw, one) for one in sizes)).older == sizes


@pytest.mark.parametrize("size", [1, 100, 256, 300, 600])
def test_an_older_head_of_a_history_that_was_rewritten_is_caught(size: int) -> None:
    fork = [an_entry(9999), *entries(600)[1:size]]
    assert caught(a_log(600), head(entries(600), 77), head(fork)).where == f"the checkpoint of {size} entries"


def test_a_log_that_was_rolled_back_is_caught() -> None:
    assert "had signed 600 before" in str(caught(a_log(257), head(entries(600))))


# Reading a part.


@pytest.mark.parametrize("start", [1, 255, 256, 257, 512, 599, 600])
def test_an_audit_may_go_on_from_an_older_head(start: int) -> None:
    log, auditor = a_log(600), Auditor(head(entries(600)), start)
    auditor.expect(head(entries(600), start))
    for tile in auditor.wanted():
        auditor.take(tile, log.tile(tile))
    assert auditor.result().start == start // 256 * 256
    assert not [path for path in log.asked if "entries" in path and int(path[13:16]) < start // 256]


def test_going_on_from_a_head_of_another_history_is_caught_at_full_tiles_too() -> None:
    for start in (256, 300, 512):
        log, auditor = a_log(512), Auditor(head(entries(512)), start)
        auditor.expect(head([*entries(512)[: start - 1], an_entry(9999)]))
        with pytest.raises(AuditError, match="another history"):  # noqa: PT012 - one of these, or the result
            for tile in auditor.wanted():
                auditor.take(tile, log.tile(tile))
            auditor.result()


def test_a_tile_that_was_refused_may_be_taken_from_elsewhere() -> None:
    log, liar = a_log(600), a_log(600)
    for path in liar.files:
        liar.flip(path, -1)
    auditor = Auditor(newest(log))
    refused = 0
    for tile in auditor.wanted():
        if auditor.anchored:
            with pytest.raises(AuditError):
                auditor.take(tile, liar.tile(tile))
            refused += 1
        auditor.take(tile, log.tile(tile))
    assert auditor.result().entries == 600
    assert refused == len(log.files) - 3


def test_an_audit_that_was_not_finished_proves_nothing() -> None:
    log, auditor = a_log(3), Auditor(newest(a_log(3)))
    with pytest.raises(InputError, match="entry 0 of 3"):
        auditor.result()
    auditor.take(Tile(0, 0, 3), log.tile(Tile(0, 0, 3)))
    with pytest.raises(InputError, match="entry 0 of 3"):
        auditor.result()


def test_what_was_passed_already_cannot_be_asked_for() -> None:
    log = a_log(600)
    with pytest.raises(InputError, match="cannot be read from"):
        Auditor(newest(log), 601)
    with pytest.raises(InputError, match="were passed"):
        Auditor(newest(log), 300).expect(head(entries(600), 255))


# Proofs from tiles.


@pytest.mark.parametrize("size", WHOLE)
def test_proofs_of_tiles_verify_and_each_tile_is_read_once(size: int) -> None:
    log, root = a_log(size), head(entries(size)).root
    nodes = Nodes(log, size)
    for index in {0, size // 2, size - 1}:
        leaf = merkle.leaf_hash(entries(size)[index])
        merkle.verify_inclusion(leaf, index, size, merkle.inclusion_proof(index, size, nodes), root)
        old = head(entries(size), index + 1)
        assert nodes.root(index + 1) == old.root
        proof = merkle.consistency_proof(index + 1, size, nodes)
        merkle.verify_consistency(index + 1, size, proof, old.root, root)
    assert len(log.asked) == len(set(log.asked))
    assert not [path for path in log.asked if path.startswith(f"tile/{ENTRIES}")]
