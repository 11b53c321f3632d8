"""Evidence of real cases, which outlives the exchange that they went through."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.exchange import running_exchange
from support.statements import a_flag, a_question, a_target_decision

from panji.client import AsyncClient, Client
from panji.core.vocabulary import AcknowledgementLevel, CaseState, Kind
from panji.errors import RefusedError
from panji.evidence.verdict import Proven, Unproven, proven, unproven
from panji.evidence.verify import verify
from panji.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.exchange import Running

    from panji.core.note import NoteVerifier

PANJI = str(Path(sysconfig.get_path("scripts"), "panji"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange of one authority and one platform."""
    with running_exchange(tmp_path / "made") as running:
        yield running


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Running]:
    """An exchange that waits a second for an answer."""
    with running_exchange(tmp_path / "made", settings="\n[deadlines]\nacknowledged = 1\n") as running:
        yield running


def connect(own: Running, organisation: str) -> Client:
    return Client.connect(Profile.load(own.world.made.profiles[organisation]))


def by_hand(data: bytes, folder: Path, log: NoteVerifier) -> subprocess.CompletedProcess[str]:
    """Runs the steps of the bundle as a clerk would."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        archive.extractall(folder)
    steps = (folder / "HOW-TO-CHECK.id.txt").read_text("utf-8").splitlines()
    commands = "\n".join(line[4:] for line in steps if line.startswith("    "))
    known = os.environ | {"V": str(log)}
    return subprocess.run(["sh"], input=commands, cwd=folder, env=known, capture_output=True, text=True, check=False)


def test_a_decided_case_is_proven_by_both_sides_when_the_exchange_is_gone(own: Running, tmp_path: Path) -> None:
    with connect(own, "kominfo") as ministry, connect(own, "telegram") as platform:
        flag = ministry.submit(ministry.flag("telegram", a_flag(count=2)))
        (heard,) = platform.watch(follow=False)
        platform.acknowledge(heard, AcknowledgementLevel.RECEIVED)
        question = platform.ask(heard, [a_question(1)])
        ministry.answer(question, "The second one.")
        platform.decide(heard, [a_target_decision(1), a_target_decision(2)])
        case = flag.statement.id
        bundles = [client.evidence(case) for client in (ministry, platform)]
        with pytest.raises(RefusedError):
            ministry.evidence(case.replace(case[-4:], "ffff"))
    own.kill()
    for data in bundles:
        evidence = verify(data, own.world.log)
        assert evidence.content.case.state is CaseState.DECIDED
        assert set(proven(evidence)) == {Proven.LOGGED, Proven.SIGNED, Proven.STATE, Proven.EXPORTER}
        assert Unproven.KEY_OWNERS not in unproven(verify(data, own.world.log, directory=own.world.directory))
    file = tmp_path / "case.evidence.zip"
    file.write_bytes(bundles[0])
    command = [PANJI, "evidence", "verify", str(file), "--log-key", str(own.world.log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    checked = by_hand(bundles[1], tmp_path / "unpacked", own.world.log)
    assert checked.returncode == 0, checked.stderr


async def test_silence_is_proven_to_both_sides(impatient: Running, tmp_path: Path) -> None:
    with connect(impatient, "kominfo") as ministry, connect(impatient, "telegram") as platform:
        flag = ministry.submit(ministry.flag("telegram", a_flag()))
        assert next(platform.watch()).digest == flag.digest  # fetched, and never answered
        told = next(ministry.watch())  # comes when the second is over
        assert told.statement.kind is Kind.DEADLINE_MISSED
        assert ministry.case(flag.statement.id).case.overdue_since is not None
    async with AsyncClient.connect(Profile.load(impatient.world.made.profiles["telegram"])) as client:
        data = await client.evidence(flag.statement.id, with_content=False)
        record = await client.directory_record(flag.receipt.index)
    assert record is not None
    impatient.terminate()
    evidence = verify(data, impatient.world.log)
    assert Proven.SILENCE in proven(evidence)
    assert {Unproven.DELIVERY, Unproven.CONTENT} <= set(unproven(evidence))
    checked = by_hand(data, tmp_path / "unpacked", impatient.world.log)
    assert checked.returncode == 0, checked.stderr
