"""The remembered head: one file, written in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from panji_server.storage.remembered import RememberedHead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def head(tmp_path: Path) -> Iterator[RememberedHead]:
    made = RememberedHead(tmp_path / "head")
    yield made
    made.close()


def test_nothing_is_remembered_and_no_file_is_made_before_the_first_head(head: RememberedHead) -> None:
    head.flush()
    assert head.read() == ""
    assert not head.path.exists()


def test_a_shorter_head_leaves_nothing_of_a_longer_one_behind(head: RememberedHead) -> None:
    """Of another log, whose name is shorter."""
    for text in ("a long one", "short", "a longer one"):
        head.write(text)
        assert head.read() == text
    head.close()
    head.write("it")
    assert head.read() == "it"


def test_bytes_that_are_no_text_are_read_as_what_is_no_head(head: RememberedHead) -> None:
    head.path.write_bytes(b"\xff\xfe")
    assert head.read() == "\ufffd\ufffd"


def test_it_is_time_for_a_flush_after_the_first_head_and_then_after_a_while(head: RememberedHead) -> None:
    assert head.write("one")
    head.flush()
    assert not head.write("two")
