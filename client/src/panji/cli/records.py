"""Statements and cases as records with stable names, and in a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panji.cli.output import plain
from panji.core.case import legal_moves
from panji.core.display import safe
from panji.core.statements import (
    Acknowledgement,
    ClarificationAnswer,
    ClarificationRequest,
    Correction,
    Correspondence,
    CounterNotice,
    DeadlineMissed,
    DeadlineNear,
    Decision,
    DirectoryRecord,
    Erasure,
    Escalation,
    Flag,
    Objection,
    Obstacle,
    ObstacleEnded,
    ProcedureRecord,
    Restoration,
    RestoreOrder,
    Review,
    Verification,
    VerificationRequest,
    Withdrawal,
)
from panji.core.vocabulary import CaseState, RefusalReason
from panji.wire.status import REQUEST_ID

if TYPE_CHECKING:
    from panji.case_list import ErasedCase
    from panji.core.case import Case
    from panji.core.statements import Target
    from panji.errors import RefusedError
    from panji.session import Signed, Verified, VerifiedCase

_FRAME = ("id", "sender", "recipient", "issued_at", "language", "test", "in_reply_to")
_RECEIPT = ("digest", "recipient", "sequence", "received_at", "index")
_CASE = ("id", "authority", "platform", "test", "instrument", "category", "sub_category", "urgency", "state")
_TIMES = ("opened_at", "updated_at")
_PROCEDURE = ("open_question", "decision", "obstacle", "restore_since", "overdue_since")


def statement_record(one: Signed | Verified) -> dict[str, Any]:
    """Returns a statement: its frame, its body, and what proves it (``receipt`` is null until there is one)."""
    receipt = getattr(one, "receipt", None)
    record: dict[str, Any] = {"type": "statement", "kind": one.statement.kind, "case_id": one.statement.case}
    record |= {name: getattr(one.statement, name) for name in _FRAME}
    record |= {"digest": one.digest, "signers": getattr(one, "signers", ()), "body": one.statement.body}
    proof = None if receipt is None else {name: getattr(receipt, name) for name in _RECEIPT}
    plain_record: dict[str, Any] = plain(record | {"receipt": proof})
    return plain_record


def case_record(one: VerifiedCase, *, statements: bool = False) -> dict[str, Any]:
    """Returns a case with its targets and what may be said next; where they are wanted, with its statements.

    Each of those has the state that the case was in after it.
    """
    case, flag = one.case, one.statements[0].statement.body
    named = flag.targets if isinstance(flag, Flag) else ()
    record: dict[str, Any] = {"type": "case"} | {name: getattr(case, name) for name in (*_CASE, *_TIMES)}
    record["targets"] = [
        {"target": position, "kind": target.kind, "locator": locator(target), **plain(status)}
        for position, (target, status) in enumerate(zip(named, case.targets, strict=True), 1)
    ]
    record |= {name: getattr(case, name) for name in _PROCEDURE}
    record["asked_by"] = None if case.asked_by is None else case.side(case.asked_by)
    record |= {"clock": _clock_record(case), "legal": legal_moves(case)}
    if statements:
        record["statements"] = [
            statement_record(each) | {"state_after": after.state}
            for each, after in zip(one.statements, one.history, strict=True)
        ]
    plain_record: dict[str, Any] = plain(record)
    return plain_record


def erased_record(one: ErasedCase) -> dict[str, Any]:
    """Returns what the exchange says of a case whose content was erased; ``verified`` is false."""
    record: dict[str, Any] = plain({"type": "erased_case", "state": CaseState.ERASED, "verified": False})
    record |= plain(one)
    return record


def _clock_record(case: Case) -> dict[str, Any]:
    return {"since": case.clock.since, "stopped_at": case.clock.stopped_at, "stops": case.clock.stops}


def refusal_record(refusal: RefusedError) -> dict[str, Any]:
    """Returns why the exchange refused, and what to name when asking its operator: the request's id."""
    metadata = dict(refusal.metadata)
    request_id = metadata.pop(REQUEST_ID, "")
    return {
        "reason": refusal.reason.value,
        "message": refusal.message,
        "violations": refusal.violations,
        "retryable": refusal.retryable,
        "metadata": metadata,
        "request_id": request_id,
    }


def locator(target: Target) -> str:
    """Returns where a target is, in one text."""
    hashes = [one.value for one in target.hashes]
    return target.url or target.identifier or target.handle or (hashes[0] if hashes else "")


def subject(case: Case) -> str:
    """Returns what a case is about: its sub-category where it has one, which names the category too."""
    return (case.sub_category or case.category).name


def summary(one: Signed | Verified) -> str:  # noqa: PLR0911, PLR0912, C901 - a table
    """Returns what a statement says, shortly. Where it begins a line, :func:`safe` keeps it from beginning another."""
    match one.statement.body:
        case Flag() as flag:
            first = locator(flag.targets[0])
            more = f" and {len(flag.targets) - 1} more" if len(flag.targets) > 1 else ""
            return f"{flag.instrument.name} {(flag.sub_category or flag.category).name}: {first}{more}"
        case Withdrawal(reasons=reasons, targets=targets) | VerificationRequest(reasons=reasons, targets=targets):
            return f"{_targets(targets) or 'all open targets'}: {reasons}"
        case RestoreOrder(reasons=reasons, targets=targets) | Objection(reasons=reasons, targets=targets):
            return f"{_targets(targets) or 'all targets concerned'}: {reasons}"
        case CounterNotice(text=text, targets=targets):
            return f"{_targets(targets) or 'all targets concerned'}: {text}"
        case Verification(targets=results) | Review(targets=results) | Restoration(targets=results):
            return "; ".join(f"{each.target} {each.result.name}" for each in results)
        case Obstacle(kind=kind, reasons=reasons):
            return f"{kind.name}: {reasons}"
        case ObstacleEnded(note=note):
            return note or "the obstacle is gone"
        case Acknowledgement(level=level, note=note):
            return f"{level.name}{': ' if note else ''}{note}"
        case ClarificationRequest(questions=questions):
            return "; ".join(
                f"{_targets(each.targets)}{' ' if each.targets else ''}{each.reason.name}: {each.text}"
                for each in questions
            )
        case ClarificationAnswer(text=text):
            return text
        case Decision(targets=decided) | Correction(targets=decided):
            return "; ".join(f"{each.target} {_outcome(each.outcome.name, each.refusal)}" for each in decided)
        case Correspondence(subject=about, text=text):
            return f"{about}: {text}"
        case DeadlineMissed() as missed:
            fetched = f"fetched {plain(missed.delivered_at)}" if missed.delivered_at else "never fetched"
            return f"{missed.deadline.name} was due {plain(missed.due_at)}, the flag was {fetched}"
        case DeadlineNear() as near:
            return f"{near.percent}% of the time has passed: {near.deadline.name} is due {plain(near.due_at)}"
        case Escalation() as escalation:
            reached = ", ".join(one.name for one in escalation.to)
            return f"step {escalation.step}, to {reached}: {escalation.deadline.name}, due {plain(escalation.due_at)}"
        case Erasure() as erasure:
            return f"{len(erasure.statements)} statements erased under {erasure.legal_basis.law}: {erasure.reasons}"
        case ProcedureRecord(document=document):
            return f"procedure of {len(document)} characters"
        case DirectoryRecord(document=document):
            return f"directory of {len(document)} characters"


def _targets(positions: tuple[int, ...]) -> str:
    return f"targets {', '.join(map(str, positions))}" if positions else ""


def _outcome(outcome: str, refusal: RefusalReason) -> str:
    return f"{outcome} ({refusal.name})" if refusal is not RefusalReason.UNSPECIFIED else outcome


def line(one: Verified) -> str:
    """Returns a statement in one line, whatever it says: when, what, from whom, on which case."""
    it, receipt = one.statement, one.receipt
    drill = " [test]" if it.test else ""
    when = receipt.received_at.strftime("%Y-%m-%d %H:%M:%S")
    return safe(f"{when} #{receipt.sequence} {it.kind.value}{drill} from {it.sender}, case {it.case}: {summary(one)}")


def accepted(one: Verified) -> str:
    """Returns the sentence that tells a sender that the exchange has it."""
    it, receipt = one.statement, one.receipt
    return f"{it.kind.value} {it.id} accepted: case {it.case}, log index {receipt.index}, {plain(receipt.received_at)}"
