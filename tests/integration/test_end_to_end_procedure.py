"""The founding case goes on: doubted, followed in part, contested by the user and by the ministry, restored."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
from support.blocking import BlockingAsyncClient
from support.exchange import RECORDED, Letter, Untouched, running_exchange
from support.programs import panji
from support.statements import (
    a_clarification_answer,
    a_counter_notice,
    a_decision,
    a_flag,
    a_question,
    a_restoration,
    a_restore_order,
    a_review,
    a_target_decision,
    a_verification,
    a_verification_request,
    a_withdrawal,
    an_objection,
    an_obstacle,
)

from panji.client import Client
from panji.core.case import Stop
from panji.core.statements import ObstacleEnded, TargetRestoration, TargetVerification
from panji.core.vocabulary import (
    AcknowledgementLevel,
    CaseState,
    Outcome,
    RestorationResult,
    ReviewResult,
    StopCause,
    TargetState,
    VerificationResult,
)
from panji.errors import Reason
from panji.evidence.verdict import Proven, Unproven, proven, unproven
from panji.evidence.verify import verify
from panji.profile import Profile
from panji.wire.cases import case_to_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.exchange import Running

    from panji.core.statements import Body
    from panji.session import Verified, VerifiedCase
    from panji.v1 import case_pb2

CONFIRMED = TargetVerification(target=3, result=VerificationResult.CONFIRMED)
DOUBTFUL = TargetVerification(target=4, result=VerificationResult.NOT_CONFIRMED, reasons="It is a news report.")
GONE = TargetRestoration(target=2, result=RestorationResult.NOT_RESTORED, explanation="The account is gone.")
OPEN, WITHDRAWN, ACTIONED = TargetState.OPEN, TargetState.WITHDRAWN, TargetState.ACTIONED
REFUSED, DUE, RESTORED = TargetState.REFUSED, TargetState.RESTORE_DUE, TargetState.RESTORED
NOT_RESTORED = TargetState.NOT_RESTORED


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """An exchange of one authority and one platform."""
    with running_exchange(tmp_path / "made") as running:
        yield running


class Stage:
    """Both sides of one case, each with a client of its own make, and what was said."""

    def __init__(self, own: Running) -> None:
        self.own = own
        self.untouched = Untouched(own)
        profiles = {name: Profile.load(path) for name, path in own.world.made.profiles.items()}
        with ExitStack() as opened:
            self.ministry = opened.enter_context(Client.connect(profiles["kominfo"]))
            self.platform: Any = BlockingAsyncClient(profiles["telegram"], timedelta(seconds=20))
            opened.callback(self.platform.close)
            self._opened = opened.pop_all()
        self.heard: dict[str, list[Verified]] = {"kominfo": [], "telegram": []}
        self.said: list[Verified] = []
        self.case_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def flags(self, count: int) -> Verified:
        """The ministry flags so many targets."""
        flag = self.ministry.submit(self.ministry.flag("telegram", a_flag(count=count)))
        self.case_id = flag.statement.id
        self.said.append(flag)
        return flag

    def says(self, by: str, body: Body) -> Verified:
        """One side says something in the case, in answer to what that must answer."""
        client: Any = self.ministry if by == "kominfo" else self.platform
        return self.after(client.say(client.case(self.case_id), body))

    def after(self, verified: Verified) -> Verified:
        """What was said by a method of its own."""
        self.said.append(verified)
        return verified

    def watch(self) -> None:
        """Both sides listen until there is nothing more."""
        self.heard["kominfo"] += self.ministry.watch(follow=False)
        self.heard["telegram"] += self.platform.watch(follow=False)

    def case(self) -> VerifiedCase:
        """The case as both sides have computed it, which is as the exchange tells it, alone and in a list."""
        ours: VerifiedCase = self.ministry.case(self.case_id)
        theirs = self.platform.case(self.case_id)
        assert ours == theirs
        told: case_pb2.Case = self.own["kominfo"].call("GetCase", case_id=self.case_id).case
        assert [one.envelope for one in told.statements] == [one.envelope for one in self.said]
        del told.statements[:]
        (listed,) = self.own["telegram"].call("ListCases").cases
        assert told == listed == case_to_message(ours.case)
        return ours

    def stands(self, state: CaseState, *targets: TargetState, waits_for: str = "") -> VerifiedCase:
        """How the case must stand now."""
        it = self.case()
        assert (it.case.state, [one.state for one in it.case.targets]) == (state, list(targets))
        assert case_to_message(it.case).asked_by == {"kominfo": "telegram", "telegram": "kominfo"}.get(waits_for, "")
        return it

    def refuses(self, by: str, body: Body, legal: str, to: Verified | None = None) -> None:
        """A move that is not legal now is refused over the wire, says what is, and leaves log and case as they were."""
        answered = _letter(to or self.said[0])
        letter = self.own.world.voices[by].says(body, answered)
        refusal = self.untouched.refuses(by, letter, Reason.MOVE_NOT_ALLOWED, case=_letter(self.said[0]))
        told = refusal.info.metadata
        assert (told["state"], told["move"]) == (self.case().case.state.name, letter.kind.value)
        assert legal in told["legal"].split(", ")


def _letter(one: Verified) -> Letter:
    it = one.statement
    return Letter(one.envelope, it.kind, it.id, it.case, it.sender, it.recipient, it.test)


def tell(stage: Stage) -> None:
    """The story, with an illegal move at each of its turns."""
    flag = stage.flags(4)
    stage.stands(CaseState.SUBMITTED, OPEN, OPEN, OPEN, OPEN)
    stage.refuses("kominfo", a_review(1), "withdrawal by authority")
    (heard,) = stage.platform.watch(follow=False)
    stage.heard["telegram"].append(heard)
    stage.after(stage.platform.acknowledge(heard, AcknowledgementLevel.UNDER_REVIEW))

    # The platform doubts two targets, the ministry looks again and takes one back.
    doubt = stage.says("telegram", a_verification_request(3, 4))
    asked = stage.stands(CaseState.VERIFICATION_REQUESTED, OPEN, OPEN, OPEN, OPEN, waits_for="kominfo")
    assert asked.case.pending_targets == (3, 4)
    assert asked.case.clock.stopped_at == doubt.receipt.received_at
    stage.refuses("telegram", an_objection(), "verification by authority")
    found = stage.says("kominfo", a_verification(CONFIRMED, DOUBTFUL))
    answered = stage.stands(CaseState.UNDER_REVIEW, OPEN, OPEN, OPEN, WITHDRAWN)
    stop = Stop(StopCause.QUESTION, doubt.receipt.received_at, found.receipt.received_at)
    assert answered.case.clock.stops == (stop,)

    # It asks once more, and something comes in between that it cannot help.
    question = stage.after(stage.platform.ask(heard, [a_question(1)]))
    stage.says("telegram", an_obstacle())
    stage.stands(CaseState.CLARIFICATION_REQUESTED, OPEN, OPEN, OPEN, WITHDRAWN, waits_for="kominfo")
    stage.after(stage.ministry.answer(question, "The second one."))
    stage.refuses("kominfo", a_clarification_answer(), "obstacle_ended by platform", question)
    assert stage.case().case.clock.stopped_at == question.receipt.received_at  # the obstacle is still there
    stage.says("telegram", ObstacleEnded())
    assert stage.case().case.clock.stopped_at is None

    # It follows in part.
    refusal = a_target_decision(3, Outcome.NO_ACTION)
    decision = stage.after(stage.platform.decide(heard, a_decision(1, 2, refusal).targets))
    stage.stands(CaseState.DECIDED, ACTIONED, ACTIONED, REFUSED, WITHDRAWN)
    stage.refuses("kominfo", a_withdrawal(), "restore_order by authority")
    stage.refuses("telegram", a_decision(1), "correction by platform")

    # The user objects, the ministry finds the flag wrong, and the platform restores what it can.
    notice = stage.says("telegram", a_counter_notice(1, 2))
    stage.stands(CaseState.OBJECTED, ACTIONED, ACTIONED, REFUSED, WITHDRAWN, waits_for="kominfo")
    stage.refuses("telegram", a_review(1, 2), "review by authority", notice)
    overturned = stage.says("kominfo", a_review(1, 2, result=ReviewResult.OVERTURNED))
    due = stage.stands(CaseState.RESTORING, DUE, DUE, REFUSED, WITHDRAWN)
    assert due.case.restore_since == overturned.receipt.received_at
    stage.refuses("kominfo", a_restore_order(), "restoration by platform")
    stage.says("telegram", a_restoration(1))
    stage.stands(CaseState.RESTORING, RESTORED, DUE, REFUSED, WITHDRAWN)
    restored = stage.says("telegram", a_restoration(GONE))
    stage.stands(CaseState.DECIDED, RESTORED, NOT_RESTORED, REFUSED, WITHDRAWN)
    stage.refuses("telegram", a_restoration(2), "restore_order by authority")

    # The ministry contests what was not followed, and the platform finds itself wrong.
    objection = stage.says("kominfo", an_objection(3))
    assert objection.statement.in_reply_to == restored.digest != decision.digest
    stage.stands(CaseState.OBJECTED, RESTORED, NOT_RESTORED, REFUSED, WITHDRAWN, waits_for="telegram")
    stage.refuses("kominfo", a_review(3), "review by platform", objection)
    reopened = stage.says("telegram", a_review(3, result=ReviewResult.OVERTURNED))
    again = stage.stands(CaseState.UNDER_REVIEW, RESTORED, NOT_RESTORED, OPEN, WITHDRAWN)
    assert again.case.clock.since == reopened.receipt.received_at
    stage.after(stage.platform.decide(flag, a_decision(3).targets))
    stage.stands(CaseState.DECIDED, RESTORED, NOT_RESTORED, ACTIONED, WITHDRAWN)


def test_a_case_is_doubted_contested_restored_and_decided_again_and_proven_when_the_exchange_is_gone(
    own: Running,
) -> None:
    with Stage(own) as stage:
        tell(stage)
        stage.watch()
        for organisation, heard in stage.heard.items():
            expected = [one for one in stage.said if one.statement.recipient == organisation]
            assert [(one.envelope, one.receipt) for one in heard] == [(one.envelope, one.receipt) for one in expected]
        assert own["operator"].head().size == RECORDED + len(stage.said)
        states = [one.state.name for one in stage.case().history]
        bundles = {
            (client, whole): client.evidence(stage.case_id, with_content=whole)
            for client in (stage.ministry, stage.platform)
            for whole in (True, False)
        }
        final = stage.case().case
    shown = panji("case", "show", stage.case_id, "--profile", own.world.made.profiles["kominfo"], "--json")
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert [one["state_after"] for one in record["statements"]] == states
    assert "objection by authority" in record["legal"]

    assert own.terminate() == 0
    for (_, whole), data in bundles.items():
        evidence = verify(data, own.world.log)
        assert evidence.content.case == final
        assert {Proven.LOGGED, Proven.EXPORTER} <= set(proven(evidence))
        assert (Proven.STATE in proven(evidence), Unproven.CONTENT in unproven(evidence)) == (whole, not whole)
    config = own.world.made.config
    for program in (("verify",), ("rebuild", "--check")):
        audited = panji("log", *program, "--config", config)
        assert audited.returncode == 0, audited.stderr


def test_a_case_goes_on_by_the_command_line_after_the_exchange_was_killed_in_the_middle(own: Running) -> None:
    """What waits for an answer, since when the clock stands and what is due: all of it is on the disk."""
    people = {name: ("--profile", own.world.made.profiles[name], "--json") for name in ("kominfo", "telegram")}

    def says(by: str, kind: str, *options: object) -> dict[str, Any]:
        done = panji("say", kind, case, *options, *people[by])
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    flag = own["kominfo"].says(a_flag(count=2), "telegram")
    own["telegram"].says(a_decision(1, 2), flag)
    case = flag.id
    says("telegram", "objection", "--target", 1, "--reasons", "The law named does not cover this.")
    says("telegram", "obstacle", "--kind", "FORCE_MAJEURE", "--reasons", "A submarine cable is cut.")
    says("kominfo", "restore-order", "--target", 2, "--reasons", "The court has lifted the order.")
    before = own["kominfo"].case(flag)
    assert before.asked_by == "telegram"
    assert before.HasField("clock_stopped_at")
    assert before.HasField("restore_since")
    own.kill()
    own.restart()
    assert own["kominfo"].case(flag) == before
    says("telegram", "obstacle-ended")
    says("kominfo", "review", "--target", "1=OVERTURNED", "--reasons", "Looked at again by the head of the unit.")
    says("telegram", "restoration", "--all", "RESTORED")
    after = own["kominfo"].case(flag)
    assert [CaseState(after.state), *(TargetState(one.state) for one in after.targets)] == [
        CaseState.DECIDED,
        RESTORED,
        RESTORED,
    ]
    early = panji("say", "review", case, "--all", "UPHELD", "--reasons", "Once more.", *people["kominfo"])
    error = json.loads(early.stderr)["error"]
    assert (early.returncode, error["reason"]) == (2, "INPUT_INVALID")
    assert "the authority may say: objection, correspondence" in error["message"]
