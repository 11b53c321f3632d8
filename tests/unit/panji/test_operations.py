"""The steps of both clients, where they need no exchange: batches, pauses, and a directory that changes."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from support.lying_exchange import World
from support.statements import MINISTRY, NOON, PLATFORM, a_flag

from panji import operations
from panji.errors import ConfigError, InputError, Reason, RefusedError, TransportError
from panji.inbox import Cursor
from panji.operations import DirectoryFile, Feed, batches

if TYPE_CHECKING:
    from pathlib import Path

    from panji.session import Signed


@pytest.fixture(scope="module")
def signed() -> Signed:
    return World().session(MINISTRY).sign(PLATFORM, a_flag(), language="en", now=NOON)


@pytest.fixture
def feed() -> Feed:
    return Feed(None, Cursor(), moves_cursor=False)  # type: ignore[arg-type]  # it only waits here


# Batches.


def test_a_batch_has_at_most_so_many(signed: Signed) -> None:
    assert [len(batch) for batch in batches([signed] * 7, 3)] == [3, 3, 1]


def test_nothing_makes_no_batch() -> None:
    assert list(batches([], 3)) == []


def test_a_batch_fits_into_one_request(signed: Signed) -> None:
    large = replace(signed, envelope=bytes(256 * 1024))
    sizes = [len(batch) for batch in batches([large] * 300, 1000)]
    assert sum(sizes) == 300
    assert max(sizes) * len(large.envelope) < 32 * 1024 * 1024
    assert min(sizes[:-1]) > 100


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_a_batch_that_no_exchange_takes_is_refused_at_once(signed: Signed, count: int) -> None:
    with pytest.raises(InputError, match="1 to 1000"):
        list(batches([signed], count))


# Pauses.


def test_pauses_grow_and_stay_bounded(feed: Feed) -> None:
    pauses = [feed.pause(TransportError("gone")) for _ in range(40)]
    assert pauses[0] <= operations._FIRST_PAUSE
    assert pauses[5] > 10 * pauses[0]
    assert max(pauses) <= operations._LONGEST_PAUSE


def test_a_pause_is_never_shorter_than_the_exchange_asks_for(feed: Feed) -> None:
    refusal = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(minutes=5))
    assert feed.pause(refusal) == timedelta(minutes=5)


def test_an_exchange_sends_nobody_to_sleep_for_years(feed: Feed) -> None:
    """Attack: a time to come back at that no clock can count to."""
    refusal = RefusedError(Reason.OVERLOADED, "later", retry_after=timedelta(days=3_200_000))
    assert feed.pause(refusal) == operations._MOST_PATIENCE


def test_what_waiting_does_not_mend_is_raised(feed: Feed) -> None:
    with pytest.raises(RefusedError):
        feed.pause(RefusedError(Reason.PARTICIPANT_UNKNOWN, "who?"))


# The directory's file.


def test_a_directory_is_read_again_only_when_its_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Mock(wraps=operations.read_directory)
    monkeypatch.setattr(operations, "read_directory", reading)
    world, path = World(), tmp_path / "directory.toml"
    path.write_text(world.directory_text)
    directory = DirectoryFile(path, world.directory)
    assert directory.changed() is None
    world.thresholds[PLATFORM] = 1
    world.periods[PLATFORM] = "valid_until = 2030-01-01T00:00:00Z"
    path.write_text(world.directory_text)
    assert directory.changed() == world.directory
    assert directory.changed() is None
    assert reading.call_count == 2


def test_a_file_that_was_touched_says_nothing_new(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "directory.toml"
    path.write_text(world.directory_text)
    directory = DirectoryFile(path, world.directory)
    directory.changed()
    os.utime(path, ns=(0, 0))
    assert directory.changed() is None


def test_a_broken_file_is_reported_every_time_until_it_is_mended(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "directory.toml"
    path.write_text("[[")
    directory = DirectoryFile(path, world.directory)
    for _ in range(2):
        with pytest.raises(ConfigError):
            directory.changed()
    path.write_text(world.directory_text)
    assert directory.changed() is None
