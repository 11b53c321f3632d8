"""The directory's file, and when it is read again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from support.lying_exchange import World
from support.statements import PLATFORM

from panji import files
from panji.errors import ConfigError
from panji.files import DirectoryFile

if TYPE_CHECKING:
    from pathlib import Path


# The directory's file.


def test_a_directory_is_read_again_only_when_its_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Mock(wraps=files.read_directory)
    monkeypatch.setattr(files, "read_directory", reading)
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
