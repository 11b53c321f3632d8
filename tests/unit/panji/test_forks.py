"""The evidence of a contradiction: whole, on the disk, and there until a person has looked."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.lying_exchange import Log
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM

from panji.core.checkpoint import open_checkpoint
from panji.errors import ConfigError, ForkKind, LogForkError
from panji.forks import Forks
from panji.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = Log()
for number in range(1, 4):
    LOG.append(bytes([number]) * 32, "flag", PLATFORM, number, NOON)
SPLIT = LogForkError(ForkKind.SPLIT, LOG.checkpoint(3), LOG.split(3))
FORK = LogForkError(ForkKind.FORK, LOG.checkpoint(2), LOG.split(3))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db", organisation=MINISTRY, exchange=EXCHANGE) as store:
        yield store


@pytest.fixture
def forks(store: Store) -> Forks:
    return Forks(store, LOG.signer.verifier)


def test_both_heads_stand_verbatim_in_a_file_beside_the_state_that_says_what_they_show(forks: Forks) -> None:
    found = forks.save(SPLIT, NOON)
    assert found.saved is not None
    assert found.saved.name.startswith("state.db.fork-")
    page = found.saved.read_text()
    assert page.startswith("SPLIT: the log has signed two roots for size 3.\nFound on 2026-05-04T12:00:00")
    assert str(LOG.signer.verifier) in page
    kept, seen = page.partition("----- kept -----\n")[2].split("\n----- seen -----\n")
    assert (kept, seen) == (SPLIT.kept, SPLIT.seen)
    assert open_checkpoint(kept, LOG.signer.verifier) != open_checkpoint(seen, LOG.signer.verifier)


def test_the_evidence_is_on_the_disk_before_the_state_says_so(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes first, then its name; a power cut in between leaves the file that was there, or none."""
    order: list[str] = []
    fsync, replace, record = os.fsync, type(forks._store.path).replace, Store.transaction

    def noted(name: str, function: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            order.append(name)
            return function(*arguments, **options)  # type: ignore[operator]

        return call

    monkeypatch.setattr(os, "fsync", noted("sync", fsync))
    monkeypatch.setattr(type(forks._store.path), "replace", noted("rename", replace))
    monkeypatch.setattr(Store, "transaction", noted("record", record))
    forks.save(SPLIT, NOON)
    assert order == ["sync", "rename", "sync", "record"]


def test_the_same_contradiction_again_is_one_piece_of_evidence(forks: Forks, tmp_path: Path) -> None:
    assert forks.save(SPLIT, NOON).saved == forks.save(SPLIT, NOON + timedelta(days=1)).saved
    assert len(list(tmp_path.glob("*.fork-*"))) == 1


def test_those_who_find_the_same_contradiction_at_once_all_save_it(
    forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_written = threading.Barrier(2)
    replace = Path.replace

    def together(new: Path, path: Path) -> Path:
        both_written.wait(10)
        return replace(new, path)

    monkeypatch.setattr(Path, "replace", together)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: forks.save(SPLIT, NOON), range(2))
    assert first.saved == second.saved
    assert list(tmp_path.glob("*.fork-*")) == [first.saved]


def test_contradictions_are_raised_oldest_first_until_a_person_has_looked_at_all_of_them(forks: Forks) -> None:
    assert forks.unresolved() is None
    first = forks.save(SPLIT, NOON)
    forks.save(FORK, NOON + timedelta(seconds=1))
    assert str(forks.unresolved()) == str(first)
    forks.resolve(NOON + timedelta(hours=1))
    assert forks.unresolved() is None
    again = forks.save(FORK, NOON + timedelta(hours=2))
    assert str(forks.unresolved()) == str(again)


def test_evidence_survives_a_crash(forks: Forks, tmp_path: Path) -> None:
    found = forks.save(FORK, NOON)
    with Store(tmp_path / "state.db", organisation=MINISTRY, exchange=EXCHANGE) as after:
        survived = Forks(after, LOG.signer.verifier).unresolved()
    assert survived is not None
    assert (survived.kind, survived.kept, survived.seen) == (FORK.kind, FORK.kept, FORK.seen)
    assert survived.saved == found.saved


def test_evidence_that_cannot_be_written_is_told_in_the_error(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="two roots for size 3; the evidence cannot be written") as caught:
        forks.save(SPLIT, NOON)
    assert (caught.value.key, caught.value.__cause__) == ("state", SPLIT)
