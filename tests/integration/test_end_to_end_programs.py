"""The programs that we publish for platforms: a flag that was answered or withdrawn stops none, and no kill does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from readme_examples import ROOT, blocks, run
from support.exchange import PATIENCE, running_exchange
from support.statements import a_flag, a_target_decision

from panji.client import Client
from panji.core.vocabulary import AcknowledgementLevel, CaseState, Kind
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from readme_examples import Block
    from support.exchange import Running

    from panji.session import Verified

PIPE_BYTES = 4096
"""Room of the smallest pipe."""
PUBLISHED = [
    block
    for page in ("README.md", "docs/integration.md")
    for block in blocks(ROOT / page)
    if block.check == "run" and "telegram/profile.toml" in block.text
]
"""The platform's side, as the pages have it."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    with running_exchange(tmp_path / "made") as running:
        yield running


@pytest.fixture
def ministry(own: Running) -> Iterator[Client]:
    with Client.connect(Profile.load(own.world.made.profiles["kominfo"])) as client:
        yield client


@pytest.fixture
def platform(own: Running) -> Iterator[Client]:
    """The platform's own people, at another desk: what they do leaves the program's state as it is."""
    profile = own.world.made.profiles["telegram"]
    elsewhere = profile.with_name("elsewhere.toml")
    elsewhere.write_text(profile.read_text().replace('"state.db"', '"elsewhere.db"'))
    with Client.connect(Profile.load(elsewhere)) as client:
        yield client


def flagged(ministry: Client) -> Verified:
    return ministry.submit(ministry.flag("telegram", a_flag(count=2)))


def state(client: Client, flag: Verified) -> CaseState:
    return client.case(flag.statement.id).case.state


def all_that_stops_a_simple_program(ministry: Client, platform: Client) -> None:
    """One flag each: withdrawn, withdrawn in part, acknowledged, asked about, and decided, before anybody listens."""
    ministry.withdraw(flagged(ministry), "A mistake.")
    ministry.withdraw(flagged(ministry), "Half a mistake.", targets=[1])
    platform.acknowledge(flagged(ministry), AcknowledgementLevel.RECEIVED)
    platform.acknowledge(flagged(ministry), AcknowledgementLevel.UNDER_REVIEW)
    platform.decide(flagged(ministry), [a_target_decision(1), a_target_decision(2)])


@pytest.mark.parametrize("block", PUBLISHED, ids=str)
def test_the_pages_program_goes_past_what_was_withdrawn_or_answered(
    own: Running, ministry: Client, platform: Client, block: Block
) -> None:
    all_that_stops_a_simple_program(ministry, platform)
    last = flagged(ministry)
    assert list(run(block, own.world.made.directory)) == []
    assert state(ministry, last) is not CaseState.SUBMITTED


def test_the_pages_have_a_program_for_platforms_each() -> None:
    assert {block.page.name for block in PUBLISHED} == {"README.md", "integration.md"}


# examples/platform.py


@contextlib.contextmanager
def program(own: Running, stdout: int, stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The example, running."""
    profile = str(own.world.made.profiles["telegram"])
    command = [sys.executable, str(ROOT / "examples/platform.py"), "--profile", profile]
    with subprocess.Popen(command, stdout=stdout, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()


def until(ministry: Client, said: Callable[[Verified], bool]) -> Verified:
    """The first statement to the ministry of which this is true, waiting for it."""
    patience = threading.Timer(PATIENCE, ministry.close)
    patience.start()
    try:
        return next(heard for heard in ministry.watch() if said(heard))
    finally:
        patience.cancel()


def decides(flag: Verified) -> Callable[[Verified], bool]:
    return lambda heard: heard.statement.kind is Kind.DECISION and heard.statement.in_reply_to == flag.digest


def test_the_example_goes_past_what_was_withdrawn_or_answered(own: Running, ministry: Client, platform: Client) -> None:
    all_that_stops_a_simple_program(ministry, platform)
    last = flagged(ministry)
    with program(own, subprocess.DEVNULL):
        until(ministry, decides(last))
    assert {one.case.state for one in ministry.cases()} == {CaseState.DECIDED, CaseState.WITHDRAWN}


@contextlib.contextmanager
def listening_to_interrupts() -> Iterator[None]:
    """What is started within takes an interrupt, though the tests run in a shell's background, which takes none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_example_ends_without_a_traceback_when_somebody_interrupts_it(own: Running, ministry: Client) -> None:
    flag = flagged(ministry)
    with listening_to_interrupts(), program(own, subprocess.DEVNULL, subprocess.PIPE) as process:
        until(ministry, decides(flag))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (130, b"")


def test_the_example_killed_between_acknowledgement_and_decision_goes_on_from_there(
    own: Running, ministry: Client
) -> None:
    """It is killed while it cannot print: what it says last is on the record, and it has done nothing since."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader:  # noqa: PTH123 - a descriptor
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(writing, b"\n" * PIPE_BYTES)
        flag = flagged(ministry)
        with program(own, writing) as process:
            os.close(writing)
            until(ministry, lambda heard: heard.statement.in_reply_to == flag.digest)
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
        assert reader.read().strip() == b""
    assert state(ministry, flag) is CaseState.RECEIVED
    with program(own, subprocess.DEVNULL):
        until(ministry, decides(flag))
    said = [one.statement.kind for one in ministry.case(flag.statement.id).statements]
    assert said == [Kind.FLAG, Kind.ACKNOWLEDGEMENT, Kind.ACKNOWLEDGEMENT, Kind.DECISION]
