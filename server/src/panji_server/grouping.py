"""Work in a thread of its own, gathered: what waits when the thread gets free goes over together.

Handing one piece of work to a thread and its result back costs about as much as the work itself here; a group shares
that. Alone, nobody waits for company.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Grouping:
    """One thread; work is done in the order in which it comes.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what the work returns, or raises what it raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="grouping")
        return await answer

    def close(self) -> None:
        """Ends the thread. Nothing may wait any more."""
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                results = await loop.run_in_executor(self._thread, _work, [work for work, _ in group])
                for (_, answer), (result, error) in zip(group, results, strict=True):
                    if answer.done():
                        continue  # whoever asked has gone
                    if error is None:
                        answer.set_result(result)
                    else:
                        answer.set_exception(error)
        finally:
            self._task = None


def _work(group: list[Callable[[], Any]]) -> list[tuple[Any, Exception | None]]:
    results: list[tuple[Any, Exception | None]] = []
    for work in group:
        try:
            results.append((work(), None))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            results.append((None, error))
    return results
