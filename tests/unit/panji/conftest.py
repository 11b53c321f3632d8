"""What the tests of both clients share: the stage, for threads and for asyncio."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.lying_exchange import Authority, LyingExchange, World
from support.stage import Stage
from support.statements import MINISTRY, PLATFORM

from panji import feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(params=["threads", "asyncio"])
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setattr(feed, "_FIRST_PAUSE", timedelta(milliseconds=1))
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        stage = Stage(world, exchange, tmp_path, authority, request.param)
        with stage.opened:
            yield stage


@pytest.fixture
def ministry(stage: Stage) -> Any:
    return stage.connect(MINISTRY)


@pytest.fixture
def platform(stage: Stage) -> Any:
    return stage.connect(PLATFORM)
