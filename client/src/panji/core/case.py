"""The state machine of a case: what may be said next, by whom, and what it changes.

Pure, and one for both sides: the exchange applies it before it accepts a statement, and the client applies it again to
the verified statements of a case, so that nobody takes the exchange's word for a state.

=======================  =========  ==============================================  ===================================
statement                by         while the case is                               then the case is
=======================  =========  ==============================================  ===================================
flag                     authority  (none)                                          SUBMITTED
acknowledgement          platform   SUBMITTED, RECEIVED                             RECEIVED or UNDER_REVIEW, as it says
clarification_request    platform   SUBMITTED, RECEIVED, UNDER_REVIEW               CLARIFICATION_REQUESTED
clarification_answer     authority  CLARIFICATION_REQUESTED                         as it was before the request
decision                 platform   SUBMITTED … CLARIFICATION_REQUESTED             DECIDED
withdrawal               authority  SUBMITTED … CLARIFICATION_REQUESTED             WITHDRAWN when no target is left
correspondence           either     any                                             the same
=======================  =========  ==============================================  ===================================

A platform that asks has, by asking, received the flag. State is kept per target: OPEN until decided (ACTIONED or
REFUSED) or WITHDRAWN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from panji.core.statements import (
    Acknowledgement,
    ClarificationAnswer,
    ClarificationRequest,
    Correspondence,
    Decision,
    Flag,
    Statement,
    Withdrawal,
)
from panji.core.vocabulary import (
    AcknowledgementLevel,
    CaseState,
    Category,
    Instrument,
    Kind,
    Outcome,
    RefusalReason,
    Role,
    SubCategory,
    TargetState,
    Urgency,
)
from panji.errors import Reason, RefusedError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_OPEN = frozenset({CaseState.SUBMITTED, CaseState.RECEIVED, CaseState.UNDER_REVIEW, CaseState.CLARIFICATION_REQUESTED})
_UNASKED = _OPEN - {CaseState.CLARIFICATION_REQUESTED}

MOVES: dict[Kind, tuple[frozenset[Role], frozenset[CaseState]]] = {
    Kind.ACKNOWLEDGEMENT: (frozenset({Role.PLATFORM}), frozenset({CaseState.SUBMITTED, CaseState.RECEIVED})),
    Kind.CLARIFICATION_REQUEST: (frozenset({Role.PLATFORM}), _UNASKED),
    Kind.CLARIFICATION_ANSWER: (frozenset({Role.AUTHORITY}), frozenset({CaseState.CLARIFICATION_REQUESTED})),
    Kind.DECISION: (frozenset({Role.PLATFORM}), _OPEN),
    Kind.WITHDRAWAL: (frozenset({Role.AUTHORITY}), _OPEN),
    Kind.CORRESPONDENCE: (frozenset({Role.AUTHORITY, Role.PLATFORM}), frozenset(CaseState) - {CaseState.UNSPECIFIED}),
}
"""Who may say what while the case is in which state. The table above is this one in words."""

_REFUSALS = frozenset({Outcome.NO_ACTION, Outcome.NOT_FOUND})
_LEVEL_OF = {
    CaseState.SUBMITTED: AcknowledgementLevel.UNSPECIFIED,
    CaseState.RECEIVED: AcknowledgementLevel.RECEIVED,
    CaseState.UNDER_REVIEW: AcknowledgementLevel.UNDER_REVIEW,
}
_STATE_OF = {level: state for state, level in _LEVEL_OF.items()}


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Where one target stands."""

    state: TargetState = TargetState.OPEN
    outcome: Outcome = Outcome.UNSPECIFIED
    refusal: RefusalReason = RefusalReason.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A flag and what its replies have made of it."""

    id: str
    """The id of the flag."""
    flag_digest: bytes
    """SHA-256 of the flag's envelope, which acknowledgements, decisions and withdrawals must answer."""
    authority: str
    platform: str
    test: bool
    instrument: Instrument
    category: Category
    sub_category: SubCategory
    urgency: Urgency
    state: CaseState
    targets: tuple[TargetStatus, ...]
    """In the flag's order; a statement's positions count from 1."""
    opened_at: datetime
    updated_at: datetime
    level: AcknowledgementLevel = AcknowledgementLevel.UNSPECIFIED
    """How far the platform said it had got; kept through clarifications."""
    open_question: bytes = b""
    """SHA-256 of the envelope of the clarification request that waits for an answer, or empty."""


def open_case(flag: Statement, digest: bytes, received_at: datetime) -> Case:
    """Returns the case that a flag opens.

    Args:
        flag: A statement of kind FLAG.
        digest: SHA-256 of its envelope.
        received_at: When the exchange received it.
    """
    body = flag.body
    if not isinstance(body, Flag):
        raise TypeError("only a flag opens a case")
    return Case(
        id=flag.id,
        flag_digest=digest,
        authority=flag.sender,
        platform=flag.recipient,
        test=flag.test,
        instrument=body.instrument,
        category=body.category,
        sub_category=body.sub_category,
        urgency=body.urgency,
        state=CaseState.SUBMITTED,
        targets=(TargetStatus(),) * len(body.targets),
        opened_at=received_at,
        updated_at=received_at,
    )


def apply(case: Case, reply: Statement, digest: bytes, received_at: datetime) -> Case:
    """Returns the case after a reply.

    That ``reply.in_reply_to`` names a statement of this case is for the caller to know; which of them it must name is
    checked here.

    Args:
        case: The case before.
        reply: A statement whose ``case_id`` is the case's.
        digest: SHA-256 of the reply's envelope.
        received_at: When the exchange received it.

    Raises:
        RefusedError: NOT_A_PARTY, WRONG_RECIPIENT, TEST_MARKER_MISMATCH, MOVE_NOT_ALLOWED, REPLY_TARGET_UNKNOWN or
            TARGETS_MISMATCH. The case is untouched.
    """
    # 1 Is it said by a side of this case that may say it? Stops answers in another platform's name.
    roles, states = MOVES[reply.kind]
    said_by = Role.AUTHORITY if reply.sender == case.authority else Role.PLATFORM
    if reply.sender not in {case.authority, case.platform} or said_by not in roles:
        raise RefusedError(Reason.NOT_A_PARTY, f"this side of the case makes no {reply.kind}")
    # 2 To the other side? Stops a reply that its addressee would never see.
    if reply.recipient != (case.platform if said_by is Role.AUTHORITY else case.authority):
        raise RefusedError(Reason.WRONG_RECIPIENT, "a reply is addressed to the other side of the case")
    # 3 A drill for a drill? Stops an exercise from deciding a real case.
    if reply.test != case.test:
        raise RefusedError(Reason.TEST_MARKER_MISMATCH, "the case and the reply differ in the test marker")
    # 4 Now?
    if case.state not in states:
        raise _illegal(case, reply.kind)
    # 5 What does it change?
    return replace(_changed(case, reply, digest), updated_at=received_at)


def legal_moves(case: Case) -> list[str]:
    """Returns what may be said next, as ``kind by role``, in the table's order."""
    return [
        f"{kind} by {role}" for kind, (roles, states) in MOVES.items() if case.state in states for role in sorted(roles)
    ]


def _illegal(case: Case, kind: Kind) -> RefusedError:
    return RefusedError(
        Reason.MOVE_NOT_ALLOWED,
        f"no {kind} while the case is {case.state.name}",
        metadata={"state": case.state.name, "move": kind.value, "legal": ", ".join(legal_moves(case))},
    )


def _changed(case: Case, reply: Statement, digest: bytes) -> Case:
    match reply.body:
        case Acknowledgement(level=level):
            _must_answer(reply, case.flag_digest, "the flag")
            if level <= case.level:
                raise _illegal(case, reply.kind)
            return replace(case, state=_STATE_OF[level], level=level)
        case ClarificationRequest(questions=questions):
            _must_exist(case, (target for question in questions for target in question.targets))
            level = max(case.level, AcknowledgementLevel.RECEIVED)
            return replace(case, state=CaseState.CLARIFICATION_REQUESTED, level=level, open_question=digest)
        case ClarificationAnswer():
            _must_answer(reply, case.open_question, "the open clarification request")
            return replace(case, state=_STATE_OF[case.level], open_question=b"")
        case Decision():
            _must_answer(reply, case.flag_digest, "the flag")
            return _decided(case, reply.body)
        case Withdrawal(targets=targets):
            _must_answer(reply, case.flag_digest, "the flag")
            return _withdrawn(case, targets)
        case Correspondence():
            return case
        case _:
            raise TypeError("a flag is no reply")


def _decided(case: Case, decision: Decision) -> Case:
    named = {decided.target: decided for decided in decision.targets}
    open_ = {position for position, target in enumerate(case.targets, 1) if target.state is TargetState.OPEN}
    if len(named) != len(decision.targets) or named.keys() != open_:
        raise _mismatch("decision.targets", named.keys(), open_)
    targets = tuple(
        TargetStatus(
            TargetState.REFUSED if named[position].outcome in _REFUSALS else TargetState.ACTIONED,
            named[position].outcome,
            named[position].refusal,
        )
        if position in named
        else target
        for position, target in enumerate(case.targets, 1)
    )
    return replace(case, state=CaseState.DECIDED, targets=targets, open_question=b"")


def _withdrawn(case: Case, positions: Iterable[int]) -> Case:
    open_ = {position for position, target in enumerate(case.targets, 1) if target.state is TargetState.OPEN}
    taken = set(positions) or open_
    if not taken <= open_:
        raise _mismatch("withdrawal.targets", taken, open_)
    targets = tuple(
        TargetStatus(TargetState.WITHDRAWN) if position in taken else target
        for position, target in enumerate(case.targets, 1)
    )
    if taken == open_:
        return replace(case, state=CaseState.WITHDRAWN, targets=targets, open_question=b"")
    return replace(case, targets=targets)


def _must_answer(reply: Statement, digest: bytes, what: str) -> None:
    if reply.in_reply_to != digest:
        raise RefusedError(Reason.REPLY_TARGET_UNKNOWN, f"a {reply.kind} answers {what}, by its envelope's digest")


def _must_exist(case: Case, positions: Iterable[int]) -> None:
    known = set(range(1, len(case.targets) + 1))
    named = set(positions)
    if not named <= known:
        raise _mismatch("clarification_request.questions", named, known)


def _mismatch(field: str, named: Iterable[int], wanted: Iterable[int]) -> RefusedError:
    missing, surplus = sorted(set(wanted) - set(named)), sorted(set(named) - set(wanted))
    violations = []
    if missing:
        violations.append(Violation(field, f"leave out the open targets {_first(missing)}"))
    if surplus:
        violations.append(Violation(field, f"name targets that are not open in this case: {_first(surplus)}"))
    return RefusedError(Reason.TARGETS_MISMATCH, "the targets are not those of the case", violations=violations)


def _first(positions: list[int]) -> str:
    shown = ", ".join(map(str, positions[:20]))
    return shown if len(positions) <= 20 else f"{shown} and {len(positions) - 20} more"  # noqa: PLR2004 - fits a line
