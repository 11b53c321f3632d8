"""The directory's file: what is in force while somebody writes it, breaks it, or takes it away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

import pytest
from support.rooms import SIGNERS
from support.statements import MINISTRY, PLATFORM

from panji.errors import ConfigError
from panji_server import directory as directories
from panji_server.directory import DirectoryFile

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.directory import Directory
    from panji.errors import PanjiError


def text(*platforms: str) -> str:
    """A directory of so many platforms."""
    return "\n".join(
        f'[[organisation]]\nid = "{one}"\nname = "{one}"\nrole = "platform"\n'
        f'participants = ["spiffe://test.example/{one}"]\n'
        f'[[organisation.key]]\nspki = "{base64.b64encode(SIGNERS[one].public_key.spki).decode()}"\n'
        "valid_from = 2020-01-01T00:00:00Z\n"
        for one in platforms
    )


class Followed:
    """A directory's file and what was told of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes: list[list[str]] = []
        self.errors: list[str] = []
        self.source = DirectoryFile(path, on_change=self.changed, on_error=self.wrong)

    def changed(self, directory: Directory) -> None:
        self.changes.append(list(directory.organisations))

    def wrong(self, error: PanjiError) -> None:
        self.errors.append(str(error))

    @property
    def current(self) -> list[str]:
        return list(self.source.current.organisations)

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            looking = self.source.reload()
            with pytest.raises(StopIteration):
                looking.send(None)  # without a record to wait for, a look waits for nothing


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    path = tmp_path / "directory.toml"
    path.write_text(text(PLATFORM))
    return Followed(path)


def test_a_file_that_does_not_change_is_not_reported(followed: Followed) -> None:
    followed.look(5)
    assert (followed.current, followed.changes, followed.errors) == ([PLATFORM], [], [])


def test_a_change_is_in_force_and_reported_once_when_it_was_seen_twice(followed: Followed) -> None:
    followed.path.write_text(text(PLATFORM, MINISTRY))
    followed.look(1)
    assert (followed.current, followed.changes) == ([PLATFORM], [])
    followed.look(5)
    assert (followed.current, followed.changes) == ([PLATFORM, MINISTRY], [[PLATFORM, MINISTRY]])


def test_half_of_a_file_that_is_still_being_written_is_never_in_force(followed: Followed) -> None:
    """Half of it is a directory too, and would cut off everyone in the other half."""
    followed.path.write_text(text(MINISTRY))
    followed.look(1)
    followed.path.write_text(text(MINISTRY, PLATFORM))
    followed.look(1)
    assert (followed.current, followed.changes) == ([PLATFORM], [])
    followed.look(1)
    assert followed.changes == [[MINISTRY, PLATFORM]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[[organisation]", "no TOML"),
        (b"[[organisation]]\nid = 7\n", "organisation"),
        (b"\xff\xfe", "utf-8"),
        (b"", "no organisation"),
        (b"x = " + b"9" * 5000, "more than a TOML parser takes"),
        (b"x = " + b"[" * 5000, "more than a TOML parser takes"),
    ],
    ids=["no TOML", "a wrong field", "no text", "emptied", "a number beyond all measure", "depth beyond all measure"],
)
def test_a_bad_version_is_reported_once_and_the_last_good_one_stays(
    followed: Followed, content: bytes, complaint: str
) -> None:
    followed.path.write_bytes(content)
    followed.look(5)
    assert (followed.current, followed.changes) == ([PLATFORM], [])
    assert len(followed.errors) == 1
    assert complaint in followed.errors[0]

    followed.path.write_text(text(MINISTRY))
    followed.look()
    assert (followed.current, len(followed.errors)) == ([MINISTRY], 1)


def test_a_file_that_is_taken_away_is_reported_once_and_again_in_force_when_it_returns(followed: Followed) -> None:
    content = followed.path.read_text()
    followed.path.unlink()
    followed.look(5)
    assert followed.current == [PLATFORM]
    assert len(followed.errors) == 1
    assert followed.errors[0].startswith("directory: ")
    followed.path.write_text(content)
    followed.look(5)
    assert followed.changes == [[PLATFORM]]


def test_a_file_that_an_editor_replaces_between_two_looks_is_no_error(followed: Followed) -> None:
    followed.path.unlink()
    followed.look(1)
    followed.path.write_text(text(MINISTRY))
    followed.look()
    assert (followed.changes, followed.errors) == ([[MINISTRY]], [])


@pytest.mark.parametrize("content", [None, b"\xff", b"nonsense", b""], ids=["no file", "no text", "no TOML", "empty"])
def test_an_exchange_does_not_start_without_a_good_directory(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "directory.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as wrong:
        Followed(path)
    assert wrong.value.key == "directory"


async def test_following_looks_again_and_again_until_it_is_cancelled(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "POLL_SECONDS", 0)
    told = asyncio.Event()
    source = DirectoryFile(followed.path, on_change=lambda _: told.set(), on_error=followed.wrong)
    following = asyncio.create_task(source.follow())
    followed.path.write_text(text(MINISTRY))
    await asyncio.wait_for(told.wait(), 10)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    assert list(source.current.organisations) == [MINISTRY]
