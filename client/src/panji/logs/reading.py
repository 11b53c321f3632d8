"""Reading tiles ahead, so that an audit waits for the network once and not at every tile."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from panji.core.audit import LogReader
    from panji.core.tiles import Tile

AHEAD = 32
"""Tiles that were asked for and not yet used: at most 1.3 MB."""
THREADS = 8
"""Requests under way."""


def read_ahead(reader: LogReader, wanted: Iterable[Tile]) -> Generator[tuple[Tile, bytes]]:
    """Yield each tile with its content, in order.

    Raises:
        PanjiError: What the reader raised for a tile, once it is that tile's turn.
    """
    tiles = iter(wanted)
    with ThreadPoolExecutor(THREADS, "panji-log") as threads:
        waiting: deque[tuple[Tile, Future[bytes]]] = deque()
        try:
            while True:
                for tile in islice(tiles, AHEAD - len(waiting)):
                    waiting.append((tile, threads.submit(reader.tile, tile)))
                if not waiting:
                    return
                tile, answer = waiting.popleft()
                yield tile, answer.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
