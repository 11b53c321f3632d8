"""One exchange for all tests that leave it as they found it; whoever wants to break one starts one of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.exchange import AUTHORITIES, PLATFORMS, Running, Untouched, World, directory_toml, odd_directory

from panji.core.vocabulary import Category, Instrument, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running exchange with all the organisations of :data:`AUTHORITIES` and :data:`PLATFORMS`."""
    world = World.create(
        tmp_path_factory.mktemp("exchange") / "made",
        authorities=AUTHORITIES,
        platforms=PLATFORMS,
    )
    now = datetime.now(UTC)
    directory = odd_directory(world, now)
    grants = {(one.authority, one.platform): one for one in directory.accreditations}
    # ojk may order the removal of posts about gambling, from one platform. bpom might, until a second ago.
    del grants["ojk", "whatsapp"]
    grants["ojk", "telegram"] = replace(
        grants["ojk", "telegram"],
        categories=frozenset({Category.GAMBLING}),
        target_kinds=frozenset({TargetKind.POST}),
        instruments=frozenset({Instrument.ORDER}),
    )
    for platform in PLATFORMS:
        grants["bpom", platform] = replace(grants["bpom", platform], valid_until=now - timedelta(seconds=1))
    world.write_directory(directory_toml(replace(directory, accreditations=tuple(grants.values()))))
    running = Running(world)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def untouched(exchange: Running) -> Untouched:
    """Makes calls that must be refused, and sees that they change nothing but the audit log."""
    return Untouched(exchange)


@pytest.fixture
def small_world(tmp_path: Path) -> World:
    """The files of an exchange with one authority and one platform, to be broken."""
    return World.create(tmp_path / "made")
