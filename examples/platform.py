"""A platform's system: acknowledges every flag, looks at it, asks back where it must, and decides each target.

The decisions are SIMULATED by the few rules below: nobody looks at any content. Prints what happened as JSON lines;
runs until it is told to stop.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

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
    Category,
    Ground,
    Kind,
    Outcome,
    RefusalReason,
    RequestedAction,
    TargetKind,
)
from panji.errors import TransportError
from panji.profile import Profile

if TYPE_CHECKING:
    from panji.session import Signed, Verified

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


def insist(client: Client, signed: Signed) -> Verified:
    """Submits a statement until the exchange answers. Sending the same bytes again is always safe."""
    while True:
        try:
            return client.submit(signed)
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


class Desk:
    """Handles one statement after the other."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._flags: dict[str, Verified] = {}

    def handle(self, heard: Verified) -> None:
        """Answers a flag, or goes on with it when the ministry has answered a question."""
        statement = heard.statement
        if isinstance(statement.body, Flag):
            self._flags[statement.id] = heard
            self._say(heard, Acknowledgement(level=AcknowledgementLevel.RECEIVED))
            self._say(heard, Acknowledgement(level=AcknowledgementLevel.UNDER_REVIEW))
            if len(statement.body.targets) >= MANY_TARGETS:
                question = Question(
                    reason=RefusalReason.INSUFFICIENT_INFORMATION, text="Are all of these addresses meant?"
                )
                self._say(heard, ClarificationRequest(questions=(question,)))
            else:
                self._decide(heard, statement.body)
        elif statement.kind is Kind.CLARIFICATION_ANSWER:
            flag = self._flags.get(statement.case_id) or self._client.case(statement.case_id).statements[0]
            if isinstance(flag.statement.body, Flag):
                self._decide(flag, flag.statement.body)

    def _decide(self, heard: Verified, flag: Flag) -> None:
        targets = tuple(decide(flag, position, target) for position, target in enumerate(flag.targets, 1))
        self._say(heard, Decision(targets=targets, note="Simulated: nobody looked at any content."))

    def _say(self, to: Verified, body: Acknowledgement | ClarificationRequest | Decision) -> None:
        said = insist(self._client, self._client.reply(to, body))
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
        for signed in client.pending():  # what a crash left unanswered
            insist(client, signed)
        desk = Desk(client)
        for heard in client.watch():
            desk.handle(heard)


if __name__ == "__main__":
    main()
