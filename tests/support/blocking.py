"""Both clients behind one face, so that one specification holds for both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any

from panji.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterator
    from datetime import timedelta

    from panji.profile import Profile


class BlockingAsyncClient:
    """An AsyncClient with an event loop and a thread of its own, to be used as if it were a Client."""

    def __init__(self, profile: Profile, timeout: timedelta) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = AsyncClient.connect(profile, timeout=timeout)
        try:
            self._wait(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise

    def close(self) -> None:
        """Closes the client and ends its thread."""
        if self._thread.is_alive():
            self._wait(self._client.__aexit__(None, None, None))
            self._stop()

    def close_alone(self) -> None:
        """Closes the client; what else runs in its loop goes on."""
        self._wait(self._client.close())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*args: Any, **options: Any) -> Any:
            made = method(*args, **options)
            return self._iterate(made) if inspect.isasyncgen(made) else self._wait(made)

        return call

    def _iterate(self, generator: AsyncGenerator[Any, Any]) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(generator, end)

        try:
            while (item := self._wait(following())) is not end:
                yield item
        finally:
            self._wait(generator.aclose())

    def _wait(self, awaitable: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(60)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
