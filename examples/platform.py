"""A platform's system: acknowledges every flag, looks at it, asks back where it must, and decides each target.

The decisions are SIMULATED by the few rules below: nobody looks at any content. Prints what happened as JSON lines;
runs until it is told to stop. It keeps no state of its own: what is to be said next follows from the case as it stands,
so it may be killed at any instant, and a flag that was withdrawn meanwhile stops nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from panji.client import Client
from panji.core.statements import (
    Acknowledgement,
    ClarificationRequest,
    Decision,
    Flag,
    Question,
    Target,
    TargetDecision,
)
from panji.core.vocabulary import (
    BINDING,
    AcknowledgementLevel,
    AutomatedDecision,
    CaseState,
    Category,
    Ground,
    Kind,
    Outcome,
    RefusalReason,
    RequestedAction,
    TargetKind,
)
from panji.errors import Reason, RefusedError, TransportError
from panji.profile import Profile
from panji.session import Verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji.core.statements import Body
    from panji.session import VerifiedCase

_T = TypeVar("_T")

RETRY_SECONDS = 0.1
MANY_TARGETS = 20
"""From so many targets on, the simulated platform asks whether all of them are meant."""

STILL_BLOCKED = frozenset(
    {
        "t.me",
        "venus.web.telegram.org",
        "pluto.web.telegram.org",
        "flora.web.telegram.org",
        "flora-1.web.telegram.org",
    }
)
"""The five of eleven hostnames that a check found still blocked on the day of the unblock order, 10 August 2017."""

ACCOUNTS = frozenset({TargetKind.ACCOUNT, TargetKind.CHANNEL, TargetKind.GROUP, TargetKind.BOT})


OVERTAKEN = frozenset({Reason.MOVE_NOT_ALLOWED, Reason.TARGETS_MISMATCH})
"""Refusals that say that the case has moved on since we looked, as by a withdrawal."""


def insist(attempt: Callable[..., _T], *given: object) -> _T:
    """Does something until the exchange answers. Asking again is always safe, and so is sending the same bytes."""
    while True:
        try:
            return attempt(*given)
        except TransportError:
            time.sleep(RETRY_SECONDS)


def refusal(position: int, reason: RefusalReason, why: str) -> TargetDecision:
    """Nothing is done with a target, and why."""
    return TargetDecision(target=position, outcome=Outcome.NO_ACTION, refusal=reason, explanation=why)


def decide(flag: Flag, position: int, target: Target) -> TargetDecision:  # noqa: PLR0911 - one return a rule
    """What the simulated platform does with one target."""
    if RequestedAction.RESTORE in flag.requested_actions:
        if target.identifier in STILL_BLOCKED:
            return refusal(position, RefusalReason.OTHER, "Still blocked at the check on the same day.")
        return TargetDecision(target=position, outcome=Outcome.RESTORED)
    if target.kind is TargetKind.DOMAIN:
        return refusal(position, RefusalReason.DISPROPORTIONATE, "A whole host for what stands in some channels.")
    if flag.category is Category.DEFAMATION:
        return refusal(position, RefusalReason.PROTECTED_EXPRESSION, "Criticism of a person in public office.")
    if flag.instrument in BINDING and not any(basis.article for basis in flag.legal_basis):
        return refusal(position, RefusalReason.INSUFFICIENT_LEGAL_BASIS, "No article of a law is cited.")
    if target.kind in ACCOUNTS:
        return TargetDecision(
            target=position,
            outcome=Outcome.ACCOUNT_TERMINATED,
            ground=Ground.TERMS,
            terms_clause="Promotion of violence",
            automated_decision=AutomatedDecision.NOT_AUTOMATED,
        )
    if flag.instrument in BINDING:
        return TargetDecision(
            target=position,
            outcome=Outcome.DISABLED_IN_TERRITORY,
            ground=Ground.ORDER_COMPLIED,
            territories=flag.jurisdictions or (flag.issuing_authority.jurisdiction,),
        )
    return refusal(position, RefusalReason.NOT_AGAINST_TERMS, "Reviewed; the terms allow it.")


def next_step(case: VerifiedCase) -> Body | None:
    """What the platform says next in a case, or None: it is decided, withdrawn, or the ministry's turn."""
    flag = case.flag.statement.body
    asking = case.case.state is CaseState.CLARIFICATION_REQUESTED
    if not isinstance(flag, Flag) or not case.open_targets or asking:
        return None
    for level in (AcknowledgementLevel.RECEIVED, AcknowledgementLevel.UNDER_REVIEW):
        if case.case.may_acknowledge(level):
            return Acknowledgement(level=level)
    asked = any(one.statement.kind is Kind.CLARIFICATION_REQUEST for one in case.statements)
    if len(flag.targets) >= MANY_TARGETS and not asked:
        question = Question(reason=RefusalReason.INSUFFICIENT_INFORMATION, text="Are all of these addresses meant?")
        return ClarificationRequest(questions=(question,))
    targets = tuple(decide(flag, position, flag.targets[position - 1]) for position in case.open_targets)
    return Decision(targets=targets, note="Simulated: nobody looked at any content.")


class Desk:
    """Handles one statement after the other."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send_pending(self) -> None:
        """Sends what a crash left without an answer. What the case has no room for any more is refused, and settled."""
        for _, answer in insist(lambda: list(self._client.submit_many(self._client.pending()))):
            if isinstance(answer, Verified):
                report(answer)

    def handle(self, heard: Verified) -> None:
        """Works on the case of a flag, or of an answer to a question; all else is read and left."""
        if heard.statement.kind not in {Kind.FLAG, Kind.CLARIFICATION_ANSWER}:
            return
        while case := self._case(heard.statement.case):
            body = next_step(case)
            if body is None:
                return
            signed = self._client.reply(case.flag, body)
            try:
                report(insist(self._client.submit, signed))
            except RefusedError as refusal:
                if refusal.reason not in OVERTAKEN:
                    raise

    def _case(self, case_id: str) -> VerifiedCase | None:
        try:
            return insist(self._client.case, case_id)
        except RefusedError as refusal:
            if refusal.reason is not Reason.CONTENT_ERASED:
                raise
            return None


def report(said: Verified) -> None:
    """Prints one statement of ours that was accepted."""
    body = said.statement.body
    facts = {
        "event": "said",
        "kind": said.statement.kind,
        "level": body.level.name if isinstance(body, Acknowledgement) else "",
        "case": said.statement.case,
        "digest": said.digest.hex(),
    }
    print(json.dumps(facts), flush=True)


def main() -> None:
    """Reads the command line and works until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, required=True)
    options = parser.parse_args()
    with Client.connect(Profile.load(options.profile)) as client:
        desk = Desk(client)
        desk.send_pending()
        for heard in client.watch():
            desk.handle(heard)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # whatever was under way: the next start goes on with it
        sys.exit(130)
