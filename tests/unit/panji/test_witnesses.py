"""A client with a policy of its own believes no head that its witnesses have not lately cosigned. Both clients."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.blocking import BlockingAsyncClient
from support.lying_exchange import Authority, Log, LyingExchange, World
from support.statements import MINISTRY, NOON, PLATFORM, a_flag
from support.witnesses import WITNESSES, cosigned, policy_text

from panji.client import Client
from panji.errors import ConfigError, LogForkError, NoteError, QuorumError, Reason, RefusedError, StaleHeadError
from panji.steps import Rpc, Turn
from panji.v1 import log_service_pb2
from panji.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from panji.core.cosignature import Cosigner
    from panji.profile import Profile

ALDER, BIRCH, CEDAR = WITNESSES.values()
HOUR = timedelta(hours=1)


class Stage:
    """An exchange with three statements in its log, and a ministry that asks two of three witnesses."""

    def __init__(self, world: World, exchange: LyingExchange, profile: Profile, make: str) -> None:
        self.world = world
        self.exchange = exchange
        self.profile = profile
        self.make = make
        self.opened = ExitStack()
        self.now = datetime.now(UTC)

    def connect(self, profile: Profile | None = None) -> Any:
        timeout = timedelta(seconds=20)
        if self.make == "threads":
            client: Any = Client.connect(profile or self.profile, timeout=timeout)
        else:
            client = BlockingAsyncClient(profile or self.profile, timeout)
        self.opened.callback(client.close)
        return client

    def grow(self, count: int) -> None:
        ministry = self.world.session(MINISTRY)
        for _ in range(count):
            self.exchange.announce(ministry.sign(PLATFORM, a_flag(), language="en", now=NOON).envelope)

    def show(
        self, *witnesses: Cosigner, size: int | None = None, ago: timedelta = timedelta(), log: Log | None = None
    ) -> None:
        """Lets the exchange show a cosigned head, whatever its newest one is."""
        note = cosigned((log or self.world.exchange.log).checkpoint(size), *witnesses, at=self.now - ago)
        self.answer(cosigned=note)

    def answer(self, **changes: str) -> None:
        log = self.world.exchange.log

        def lie(response: Any) -> Any:
            return type(response)(**{"checkpoint": log.checkpoint(), **changes})

        self.exchange.lies["GetCheckpoint"] = lie


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(params=["threads", "asyncio"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> Iterator[Stage]:
    world = World()
    with LyingExchange(world, tmp_path / "exchange", authority) as exchange:
        profile = world.profile(tmp_path / MINISTRY, MINISTRY, exchange.address, authority)
        policy = tmp_path / "policy.txt"
        policy.write_text(policy_text(logs=[profile.log]))
        stage = Stage(world, exchange, replace(profile, policy=policy, witnessed_within=3600), request.param)
        stage.grow(3)
        with stage.opened:
            yield stage


def test_a_head_that_enough_witnesses_have_cosigned_is_believed(stage: Stage) -> None:
    stage.show(ALDER, CEDAR)
    client = stage.connect()
    log = stage.world.exchange.log
    assert client.checkpoint() == log.heads[3]
    found = client.witnessed()
    assert found.checkpoint == log.heads[3]
    assert [(name, one.witness) for name, one in found.cosignatures] == [
        ("alder", ALDER.verifier),
        ("cedar", CEDAR.verifier),
    ]
    assert {one.at for _, one in found.cosignatures} == {stage.now.replace(microsecond=0)}


def test_the_newest_head_may_be_ahead_of_the_witnesses_and_is_proved_to_extend_theirs(stage: Stage) -> None:
    stage.grow(4)
    stage.show(ALDER, BIRCH, size=5)
    client = stage.connect()
    assert client.checkpoint().size == 7
    assert client.witnessed().checkpoint.size == 5
    assert [(*one.old_sizes, one.new_size) for one in stage.exchange.called("GetConsistencyProofs")] == [(5, 7)]


def test_the_witnesses_may_be_ahead_of_a_head_that_lags_behind(stage: Stage) -> None:
    stage.show(ALDER, BIRCH)
    stage.answer(
        checkpoint=stage.world.exchange.log.checkpoint(2),
        cosigned=cosigned(stage.world.exchange.log.checkpoint(3), ALDER, BIRCH, at=stage.now),
    )
    assert stage.connect().checkpoint().size == 2


@pytest.mark.parametrize("witnesses", [(), (ALDER,), (BIRCH, BIRCH)])
def test_a_head_that_too_few_have_cosigned_is_not_believed(stage: Stage, witnesses: tuple[Cosigner, ...]) -> None:
    stage.show(*witnesses)
    client = stage.connect()
    for ask in (client.checkpoint, client.witnessed):
        with pytest.raises(QuorumError):
            ask()


def test_an_exchange_that_has_no_witnesses_is_not_believed(stage: Stage) -> None:
    with pytest.raises(QuorumError, match="2 more"):
        stage.connect().checkpoint()


def test_an_old_cosigned_head_that_is_shown_for_ever_is_not_believed(stage: Stage) -> None:
    stage.show(ALDER, BIRCH, ago=HOUR - timedelta(minutes=1))
    client = stage.connect()
    assert client.checkpoint().size == 3
    stage.show(ALDER, BIRCH, ago=HOUR + timedelta(minutes=1))
    with pytest.raises(StaleHeadError):
        client.checkpoint()


def test_a_log_behind_the_witnesses_backs_is_noticed(stage: Stage) -> None:
    """The witnesses cosign one log, and we are shown another, signed by the same key."""
    theirs = Log(stage.world.exchange.log.signer)
    for number in range(2):
        theirs.append(bytes([number]) * 32, "flag", PLATFORM, number + 1, NOON)
    stage.show(ALDER, BIRCH, log=theirs)
    with pytest.raises(LogForkError) as caught:
        stage.connect().checkpoint()
    assert caught.value.saved


def test_a_log_behind_the_witnesses_backs_is_noticed_by_one_who_waited_with_another_that_was_refused_the_proof(
    stage: Stage,
) -> None:
    """Attack: two operations are shown the witnesses' other log at once, and the first is denied the proof."""
    theirs = Log(stage.world.exchange.log.signer)
    for number in range(2):
        theirs.append(bytes([number]) * 32, "flag", PLATFORM, number + 1, NOON)
    stage.show(ALDER, BIRCH)
    client = stage.connect()
    assert client.checkpoint().size == 3
    operations = client._operations
    note = cosigned(theirs.checkpoint(), ALDER, BIRCH, at=stage.now)
    first, second = (operations._believe_witnesses(operations._witnesses, note) for _ in range(2))
    assert isinstance(next(second), Turn)
    assert isinstance(next(first), Turn)
    assert isinstance(first.send(lambda: None), Rpc)
    with pytest.raises(RefusedError):
        first.throw(RefusedError(Reason.REQUEST_INVALID, "no"))
    assert isinstance(second.send(lambda: None), Rpc)
    with pytest.raises(LogForkError):
        second.send(log_service_pb2.GetConsistencyProofsResponse(proofs=[log_service_pb2.ConsistencyProof()]))


def test_another_root_of_the_same_size_before_the_witnesses_is_noticed(stage: Stage) -> None:
    theirs = Log(stage.world.exchange.log.signer)
    for number in range(3):
        theirs.append(bytes([number]) * 32, "flag", PLATFORM, number + 1, NOON)
    stage.show(ALDER, BIRCH, CEDAR, log=theirs)
    with pytest.raises(LogForkError) as caught:
        stage.connect().checkpoint()
    assert caught.value.saved


def test_witnesses_of_another_log_are_not_believed(stage: Stage) -> None:
    thief = Log()
    thief.append(bytes(32), "flag", PLATFORM, 1, NOON)
    stage.show(ALDER, BIRCH, CEDAR, log=thief)
    with pytest.raises(NoteError):
        stage.connect().checkpoint()


def test_a_bad_line_of_a_known_witness_is_not_overlooked(stage: Stage) -> None:
    log = stage.world.exchange.log
    good = cosigned(log.checkpoint(3), ALDER, BIRCH, at=stage.now)
    other = cosigned(log.checkpoint(2), CEDAR, at=stage.now).splitlines(keepends=True)[-1]
    stage.answer(cosigned=good + other)
    with pytest.raises(NoteError, match="not over this text"):
        stage.connect().checkpoint()


def test_without_a_policy_nobody_is_asked(stage: Stage) -> None:
    client = stage.connect(replace(stage.profile, policy=None))
    assert client.checkpoint().size == 3
    with pytest.raises(ConfigError) as caught:
        client.witnessed()
    assert caught.value.key == "policy"


def test_an_empty_log_has_no_head_that_anybody_could_cosign(stage: Stage) -> None:
    stage.answer(checkpoint="")
    client = stage.connect()
    assert client.checkpoint().size == 0
    with pytest.raises(QuorumError, match="empty"):
        client.witnessed()


# The policy's file.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("quorum alder\n", "not defined"),
        (policy_text("alder", logs=[Log().signer.verifier]), "log_key is not among them"),
    ],
)
def test_a_policy_that_cannot_be_used_is_found_when_the_client_connects(
    tmp_path: Path, authority: Authority, text: str | None, message: str
) -> None:
    profile = World().profile(tmp_path, MINISTRY, "exchange.example:8443", authority)
    path = tmp_path / "policy.txt"
    if text is not None:
        path.write_text(text)
    connects: tuple[Callable[[Profile], object], ...] = (Witnesses.of, Client.connect)
    for connect in connects:
        with pytest.raises(ConfigError, match=message) as caught:
            connect(replace(profile, policy=path))
        assert caught.value.key == "policy"
