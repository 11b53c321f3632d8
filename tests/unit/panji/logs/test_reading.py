"""Reading ahead: in order, bounded, and errors when it is their turn."""

from __future__ import annotations

import threading

import pytest
from support.logs import a_log

from panji.core.audit import LogReader
from panji.core.tiles import Tile, top_down
from panji.errors import TransportError
from panji.logs.reading import AHEAD, THREADS, read_ahead


class Counting(LogReader):
    """Counts how many requests are under way, and how many were made."""

    def __init__(self, fails_at: int = -1) -> None:
        self.lock = threading.Lock()
        self.asked = 0
        self.fails_at = fails_at

    def checkpoint(self) -> str:
        return ""

    def tile(self, tile: Tile) -> bytes:
        with self.lock:
            self.asked += 1
        if tile.index == self.fails_at:
            raise TransportError("nobody answers")
        return tile.index.to_bytes(4)


def test_tiles_come_in_order_whoever_is_faster() -> None:
    log = a_log(600)
    wanted = list(top_down(600))
    assert list(read_ahead(log, wanted)) == [(tile, log.tile(tile)) for tile in wanted]


def test_no_more_is_asked_for_than_will_soon_be_used() -> None:
    reader = Counting()
    found = read_ahead(reader, (Tile(0, number) for number in range(10_000)))
    for _ in range(5):
        next(found)
    found.close()
    assert reader.asked <= AHEAD + 5
    assert not [one for one in threading.enumerate() if one.name.startswith("panji-log")]
    assert THREADS <= AHEAD


def test_an_error_comes_when_it_is_its_turn() -> None:
    found = read_ahead(Counting(fails_at=3), [Tile(0, number) for number in range(6)])
    assert [next(found)[0].index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TransportError, match="nobody answers"):
        next(found)


def test_nothing_is_read_where_nothing_is_wanted() -> None:
    assert list(read_ahead(Counting(), [])) == []
