"""The state machine of a case: what may be said next, by whom, and what it changes.

Pure, and one for both sides: the exchange applies it before it accepts a statement, and the client applies it again to
the verified statements of a case, so that nobody takes the exchange's word for a state.

=======================  =========  ==============================================  ===================================
statement                by         while the case is                               then the case is
=======================  =========  ==============================================  ===================================
flag                     authority  (none)                                          SUBMITTED
acknowledgement          platform   SUBMITTED, RECEIVED                             RECEIVED or UNDER_REVIEW, as it says
clarification_request    platform   SUBMITTED, RECEIVED, UNDER_REVIEW               CLARIFICATION_REQUESTED
clarification_answer     authority  CLARIFICATION_REQUESTED                         RECEIVED or UNDER_REVIEW, as before
decision                 platform   SUBMITTED … CLARIFICATION_REQUESTED             DECIDED
withdrawal               authority  SUBMITTED … CLARIFICATION_REQUESTED             WITHDRAWN when no target is left
correspondence           either     any but ERASED                                  the same
deadline_missed          operator   SUBMITTED                                       the same, and late
erasure                  operator   any                                             ERASED
=======================  =========  ==============================================  ===================================

A platform that asks has, by asking, received the flag. The operator's statements come twice, once to each side, and the
second changes nothing more. State is kept per target: OPEN until decided (ACTIONED or REFUSED) or WITHDRAWN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from panji.core.statements import (
    Acknowledgement,
    ClarificationAnswer,
    ClarificationRequest,
    DeadlineMissed,
    Decision,
    Erasure,
    Flag,
    Statement,
    Withdrawal,
)
from panji.core.vocabulary import (
    OPENING,
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
    from collections.abc import Set as AbstractSet
    from datetime import datetime

_OPEN = frozenset({CaseState.SUBMITTED, CaseState.RECEIVED, CaseState.UNDER_REVIEW, CaseState.CLARIFICATION_REQUESTED})
_ANY = frozenset(CaseState) - {CaseState.UNSPECIFIED}
_UNASKED = _OPEN - {CaseState.CLARIFICATION_REQUESTED}

MOVES: dict[Kind, tuple[frozenset[Role], frozenset[CaseState]]] = {
    Kind.ACKNOWLEDGEMENT: (frozenset({Role.PLATFORM}), frozenset({CaseState.SUBMITTED, CaseState.RECEIVED})),
    Kind.CLARIFICATION_REQUEST: (frozenset({Role.PLATFORM}), _UNASKED),
    Kind.CLARIFICATION_ANSWER: (frozenset({Role.AUTHORITY}), frozenset({CaseState.CLARIFICATION_REQUESTED})),
    Kind.DECISION: (frozenset({Role.PLATFORM}), _OPEN),
    Kind.WITHDRAWAL: (frozenset({Role.AUTHORITY}), _OPEN),
    Kind.CORRESPONDENCE: (frozenset({Role.AUTHORITY, Role.PLATFORM}), _ANY - {CaseState.ERASED}),
    Kind.DEADLINE_MISSED: (frozenset({Role.OPERATOR}), frozenset({CaseState.SUBMITTED})),
    Kind.ERASURE: (frozenset({Role.OPERATOR}), _ANY),
}
"""Who may say what while the case is in which state. The table above is this one in words."""

_SIDES = {(True, False): Role.AUTHORITY, (False, True): Role.PLATFORM}
_SHOWN = 20  # positions in an error's text
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
    overdue_since: datetime | None = None
    """When the acknowledgement was due that had not come, as the exchange stated."""

    @property
    def open_targets(self) -> tuple[int, ...]:
        """Positions, from 1, of the targets that are neither decided nor withdrawn, in order."""
        return tuple(position for position, one in enumerate(self.targets, 1) if one.state is TargetState.OPEN)

    def may_acknowledge(self, level: AcknowledgementLevel) -> bool:
        """Whether the platform may still say that it has got so far: it has not said as much, and the case is open."""
        return self.state in MOVES[Kind.ACKNOWLEDGEMENT][1] and level > self.level


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
    checked here. So is that a sender who is no side of the case is the exchange's operator.

    Args:
        case: The case before.
        reply: A statement whose ``case_id`` is the case's.
        digest: SHA-256 of the reply's envelope.
        received_at: When the exchange received it.

    Raises:
        RefusedError: NOT_A_PARTY, WRONG_RECIPIENT, TEST_MARKER_MISMATCH, MOVE_NOT_ALLOWED, REPLY_TARGET_UNKNOWN or
            TARGETS_MISMATCH. The case is untouched.
        TypeError: A flag is no reply.
    """
    if reply.kind in OPENING:
        raise TypeError(f"a {reply.kind} is no reply")
    # 1 Is it said by a side of this case that may say it? Stops answers in another platform's name.
    roles, states = MOVES[reply.kind]
    said_by = _SIDES.get((reply.sender == case.authority, reply.sender == case.platform), Role.OPERATOR)
    if said_by not in roles:
        raise RefusedError(Reason.NOT_A_PARTY, f"this side of the case makes no {reply.kind}")
    # 2 To the other side? Stops a reply that its addressee would never see.
    addressees = {case.authority, case.platform} - {reply.sender}
    if reply.recipient not in addressees:
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


def _changed(case: Case, reply: Statement, digest: bytes) -> Case:  # noqa: PLR0911 - a table
    match reply.body:
        case Acknowledgement(level=level):
            _must_answer(reply, case.flag_digest, "the flag")
            if level <= case.level:
                raise _illegal(case, reply.kind)
            return replace(case, state=_STATE_OF[level], level=level)
        case ClarificationRequest(questions=questions):
            named = {target for question in questions for target in question.targets}
            unknown = named - set(range(1, len(case.targets) + 1))
            _refuse_targets("clarification_request.questions", surplus=unknown, they_are="target")
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
        case DeadlineMissed(due_at=due_at):
            _must_answer(reply, case.flag_digest, "the flag")
            if case.overdue_since not in {None, due_at}:
                raise _illegal(case, reply.kind)
            return replace(case, overdue_since=due_at)
        case Erasure():
            _must_answer(reply, case.flag_digest, "the flag")
            return replace(case, state=CaseState.ERASED, open_question=b"")
        case _:  # correspondence changes nothing
            return case


def _decided(case: Case, decision: Decision) -> Case:
    named = {decided.target: decided for decided in decision.targets}
    open_ = set(case.open_targets)
    _refuse_targets("decision.targets", left_out=open_ - named.keys(), surplus=named.keys() - open_)
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
    open_ = set(case.open_targets)
    taken = set(positions) or open_
    _refuse_targets("withdrawal.targets", surplus=taken - open_)
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


def _refuse_targets(
    field: str,
    *,
    left_out: AbstractSet[int] = frozenset(),
    surplus: AbstractSet[int] = frozenset(),
    they_are: str = "open target",
) -> None:
    """Refuse a reply whose targets are not those of the case, unless both sets are empty."""
    violations = []
    if left_out:
        are = "is" if len(left_out) == 1 else "are"
        violations.append(Violation(field, f"{_first(left_out)} {are} open and not decided here"))
    if surplus:
        are = "is" if len(surplus) == 1 else "are"
        violations.append(Violation(field, f"{_first(surplus)} {are} no {they_are} of this case"))
    if violations:
        raise RefusedError(Reason.TARGETS_MISMATCH, "the targets are not those of the case", violations=violations)


def _first(positions: AbstractSet[int]) -> str:
    shown = ", ".join(map(str, sorted(positions)[:_SHOWN]))
    return shown if len(positions) <= _SHOWN else f"{shown} and {len(positions) - _SHOWN} more"
