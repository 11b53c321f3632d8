"""A case, and what each statement makes of it: the state machine whose table is :mod:`panji.core.moves`.

Pure, and one for both sides: the exchange applies it before it accepts a statement, and the client applies it again to
the verified statements of a case, so that nobody takes the exchange's word for a state.

State is kept per target; that of the case follows from what is pending, from the targets and from how far the platform
said it had got. A platform that asks or objects has, by that, received the flag. The operator's statements come twice,
once to each side, and the second changes nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from panji.core.moves import MOVES
from panji.core.statements import (
    Acknowledgement,
    ClarificationAnswer,
    ClarificationRequest,
    Correction,
    CounterNotice,
    DeadlineMissed,
    DeadlineNear,
    Decision,
    Erasure,
    Escalation,
    Flag,
    Objection,
    Obstacle,
    ObstacleEnded,
    Restoration,
    RestoreOrder,
    Review,
    Statement,
    TargetDecision,
    Verification,
    VerificationRequest,
    Withdrawal,
)
from panji.core.vocabulary import (
    OPENING,
    TIMED,
    AcknowledgementLevel,
    CaseState,
    Category,
    Deadline,
    Instrument,
    Kind,
    Outcome,
    RefusalReason,
    RestorationResult,
    ReviewResult,
    Role,
    StopCause,
    SubCategory,
    TargetState,
    Urgency,
    VerificationResult,
)
from panji.errors import Reason, RefusedError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

_SIDES = {(True, False): Role.AUTHORITY, (False, True): Role.PLATFORM}
_SHOWN = 20  # positions in an error's text
_REFUSALS = frozenset({Outcome.NO_ACTION, Outcome.NOT_FOUND})
_LEVEL_OF = {
    CaseState.SUBMITTED: AcknowledgementLevel.UNSPECIFIED,
    CaseState.RECEIVED: AcknowledgementLevel.RECEIVED,
    CaseState.UNDER_REVIEW: AcknowledgementLevel.UNDER_REVIEW,
}
_STATE_OF = {level: state for state, level in _LEVEL_OF.items()}
_RESTORED = {
    RestorationResult.RESTORED: TargetState.RESTORED,
    RestorationResult.NOT_RESTORED: TargetState.NOT_RESTORED,
}
ANSWERING_ANY = frozenset({Kind.CLARIFICATION_REQUEST, Kind.CORRESPONDENCE})
"""What may answer any statement of the case."""
_NEWEST = "the newest decision, correction or restoration"
_ANSWERED: dict[Kind, str] = {
    **{kind: "the flag" for kind in MOVES if kind is not Kind.OBJECTION},
    Kind.CLARIFICATION_ANSWER: "the open clarification request",
    Kind.VERIFICATION: "the open verification request",
    Kind.REVIEW: "the open objection or counter-notice",
    Kind.OBSTACLE_ENDED: "the obstacle",
    Kind.CORRECTION: _NEWEST,
    Kind.COUNTER_NOTICE: _NEWEST,
}
"""What a statement answers, in words."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Where one target stands."""

    state: TargetState = TargetState.OPEN
    outcome: Outcome = Outcome.UNSPECIFIED
    refusal: RefusalReason = RefusalReason.UNSPECIFIED
    pending: bool = False
    """Whether the open verification request, objection or counter-notice is about it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A time in which the clock of a case stands still."""

    cause: StopCause
    begins: datetime
    ends: datetime | None = None
    """None: it lasts."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What the time for a decision is counted by: since when, and when it has stood still meanwhile.

    How it goes on after a stop, with the time that was left or from the beginning, is the procedure's to say.
    """

    since: datetime
    stops: tuple[Stop, ...] = ()
    """In the order in which they began; they may overlap."""

    @property
    def stopped_at(self) -> datetime | None:
        """Since when it stands still without having gone meanwhile, whatever the causes, or None while it goes."""
        since = min((stop.begins for stop in self.stops if stop.ends is None), default=None)
        if since is not None:
            for stop in sorted(self.stops, key=attrgetter("begins"), reverse=True):
                if stop.ends is not None and stop.begins < since <= stop.ends:
                    since = stop.begins
        return since

    def at(self, now: datetime, causes: AbstractSet[StopCause]) -> Clock:
        """Returns the clock from now on, while there are these causes for it to stand still."""
        standing = {stop.cause for stop in self.stops if stop.ends is None}
        if standing == causes:
            return self
        ended = (replace(one, ends=now) if one.ends is None and one.cause not in causes else one for one in self.stops)
        begun = (Stop(cause, now) for cause in sorted(causes - standing))
        return replace(self, stops=(*ended, *begun))


@dataclass(frozen=True, slots=True)
class Stated:
    """One thing that the exchange has said of a deadline."""

    kind: Kind
    deadline: Deadline
    number: int
    """The part of the time in per cent, or the step of the ladder; 0 where it was missed."""
    due_at: datetime

    @property
    def occasion(self) -> tuple[Kind, Deadline, int]:
        """What it was about. It is said once."""
        return self.kind, self.deadline, self.number


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
    """SHA-256 of the envelope of what waits for an answer, or empty: a clarification request, a verification request,
    an objection or a counter-notice. There is one at a time."""
    asked_by: Role | None = None
    """Which side that is from. The other answers it."""
    decision: bytes = b""
    """SHA-256 of the envelope of the newest decision, correction or restoration, or empty."""
    obstacle: bytes = b""
    """SHA-256 of the envelope of the obstacle that has not ended, or empty."""
    clock: Clock
    """Of the decision."""
    restore_since: datetime | None = None
    """Since when anything is to be restored."""
    overdue_since: datetime | None = None
    """When the acknowledgement was due that had not come, as the exchange stated."""
    stated: tuple[Stated, ...] = ()
    """What the exchange has said of deadlines, in order; of a clock that began anew, from then on only."""

    @property
    def open_targets(self) -> tuple[int, ...]:
        """Positions, from 1, of the targets that are neither decided nor withdrawn, in order."""
        return self.targets_in(frozenset({TargetState.OPEN}))

    def targets_in(self, states: AbstractSet[TargetState]) -> tuple[int, ...]:
        """Positions, from 1, of the targets in one of these states, in order."""
        return tuple(position for position, one in enumerate(self.targets, 1) if one.state in states)

    @property
    def pending_targets(self) -> tuple[int, ...]:
        """Positions, from 1, of the targets that the open question or objection is about, in order."""
        return tuple(position for position, one in enumerate(self.targets, 1) if one.pending)

    def owes(self, deadline: Deadline) -> bool:
        """Whether the platform has yet to give the answer that a deadline is for."""
        match deadline:
            case _ if self.state is CaseState.ERASED:
                return False
            case Deadline.ACKNOWLEDGED:
                return self.state is CaseState.SUBMITTED
            case Deadline.UNDER_REVIEW:
                return self.level < AcknowledgementLevel.UNDER_REVIEW and bool(self.open_targets)
            case Deadline.DECIDED:
                return bool(self.open_targets)
            case _:
                return self.restore_since is not None

    def side(self, role: Role) -> str:
        """Returns which organisation is the authority, or the platform, of this case."""
        return {Role.AUTHORITY: self.authority, Role.PLATFORM: self.platform}[role]

    def may_acknowledge(self, level: AcknowledgementLevel) -> bool:
        """Whether the platform may still say that it has got so far: it has not said as much, and the case is open."""
        return self.state in MOVES[Kind.ACKNOWLEDGEMENT].states and level > self.level


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
        clock=Clock(received_at),
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
    move = MOVES[reply.kind]
    said_by = _SIDES.get((reply.sender == case.authority, reply.sender == case.platform), Role.OPERATOR)
    if said_by not in move.by:
        raise RefusedError(Reason.NOT_A_PARTY, f"this side of the case makes no {reply.kind}")
    # 2 To the other side? Stops a reply that its addressee would never see.
    addressees = {case.authority, case.platform} - {reply.sender}
    if reply.recipient not in addressees:
        raise RefusedError(Reason.WRONG_RECIPIENT, "a reply is addressed to the other side of the case")
    # 3 A drill for a drill? Stops an exercise from deciding a real case.
    if reply.test != case.test:
        raise RefusedError(Reason.TEST_MARKER_MISMATCH, "the case and the reply differ in the test marker")
    # 4 Now?
    if not _is_legal(case, reply.kind, said_by):
        raise _illegal(case, reply.kind)
    # 5 In answer to what it must answer? Stops an answer to one question from passing for one to another.
    digest_of = answered(case, reply.kind, said_by)
    if digest_of and reply.in_reply_to != digest_of:
        what = _ANSWERED.get(reply.kind, "the flag" if said_by is Role.PLATFORM else _NEWEST)
        raise RefusedError(Reason.REPLY_TARGET_UNKNOWN, f"a {reply.kind} answers {what}, by its envelope's digest")
    # 6 What does it change?
    after = _settled(_changed(case, reply, said_by, digest, received_at))
    return replace(after, updated_at=received_at, clock=after.clock.at(received_at, _causes(after)))


def answered(case: Case, kind: Kind, by: Role) -> bytes:
    """Returns the digest of what a statement of this kind must answer; empty where that may be any of the case.

    Args:
        case: As it stands.
        kind: Of the statement.
        by: Who makes it.
    """
    match kind:
        case _ if kind in ANSWERING_ANY:
            return b""
        case Kind.CLARIFICATION_ANSWER | Kind.VERIFICATION | Kind.REVIEW:
            return case.open_question
        case Kind.OBSTACLE_ENDED:
            return case.obstacle
        case Kind.CORRECTION | Kind.COUNTER_NOTICE:
            return case.decision
        case Kind.OBJECTION if by is Role.AUTHORITY:
            return case.decision
        case _:
            return case.flag_digest


def legal_moves(case: Case) -> list[str]:
    """Returns what may be said next, as ``kind by role``, in the table's order."""
    may = {role: legal_kinds(case, role) for role in Role}
    return [f"{kind} by {role}" for kind, move in MOVES.items() for role in sorted(move.by) if kind in may[role]]


def legal_kinds(case: Case, role: Role) -> list[Kind]:
    """Returns what one side, or the operator, may say next, in the table's order."""
    return [kind for kind, move in MOVES.items() if role in move.by and _is_legal(case, kind, role)]


def _is_legal(case: Case, kind: Kind, role: Role) -> bool:
    move = MOVES[kind]
    if case.state not in move.states or (role in move.about and not case.targets_in(move.about[role])):
        return False
    match kind:
        case Kind.REVIEW:
            return role is not case.asked_by
        case Kind.OBSTACLE:
            return not case.obstacle
        case Kind.OBSTACLE_ENDED:
            return bool(case.obstacle)
        case _ if kind in TIMED:
            return any(case.owes(deadline) for deadline in Deadline if deadline)
        case _:
            return True


def _causes(case: Case) -> AbstractSet[StopCause]:
    """Why the clock stands still: the platform waits for the authority, or cannot act."""
    causes = set()
    if case.open_question and case.asked_by is Role.PLATFORM:
        causes.add(StopCause.QUESTION)
    if case.obstacle:
        causes.add(StopCause.OBSTACLE)
    return causes


def _settled(case: Case) -> Case:
    """Returns a case in the state that follows from what is pending and from its targets."""
    if case.state is CaseState.ERASED:
        return case
    if case.open_question and not _is_pending(case):  # what was asked about has been decided or withdrawn meanwhile
        targets = tuple(replace(one, pending=False) if one.pending else one for one in case.targets)
        case = replace(case, open_question=b"", asked_by=None, targets=targets)
    states = {one.state for one in case.targets}
    if case.open_question:
        state = case.state
    elif TargetState.OPEN in states:
        state = _STATE_OF[case.level]
    elif TargetState.RESTORE_DUE in states:
        state = CaseState.RESTORING
    else:
        state = CaseState.WITHDRAWN if states == {TargetState.WITHDRAWN} else CaseState.DECIDED
    due = TargetState.RESTORE_DUE in states
    return replace(case, state=state, restore_since=case.restore_since if due else None)


def _is_pending(case: Case) -> bool:
    if case.state is CaseState.CLARIFICATION_REQUESTED:
        return bool(case.open_targets)
    return any(one.pending for one in case.targets)


def _illegal(case: Case, kind: Kind) -> RefusedError:
    return RefusedError(
        Reason.MOVE_NOT_ALLOWED,
        f"no {kind} while the case is {case.state.name}",
        metadata={"state": case.state.name, "move": kind.value, "legal": ", ".join(legal_moves(case))},
    )


def _changed(case: Case, reply: Statement, by: Role, digest: bytes, now: datetime) -> Case:  # noqa: PLR0911, PLR0912, C901 - a table
    match reply.body:
        case Acknowledgement(level=level):
            if level <= case.level:
                raise _illegal(case, reply.kind)
            return replace(case, level=level)
        case ClarificationRequest(questions=questions):
            named = {target for question in questions for target in question.targets}
            unknown = named - set(range(1, len(case.targets) + 1))
            _refuse_targets("clarification_request.questions", surplus=unknown, they_are="target")
            return _asked(case, frozenset(), by, digest, CaseState.CLARIFICATION_REQUESTED)
        case VerificationRequest(targets=targets):
            return _asked(case, _about(case, reply, targets, by), by, digest, CaseState.VERIFICATION_REQUESTED)
        case ClarificationAnswer():
            return replace(case, open_question=b"", asked_by=None)
        case Verification(targets=verified):
            return _verified(case, {one.target: one.result for one in verified})
        case Obstacle():
            return replace(case, obstacle=digest)
        case ObstacleEnded():
            return replace(case, obstacle=b"")
        case Decision(targets=decided):
            return replace(_decided(case, decided), decision=digest)
        case Correction(targets=corrected):
            _about(case, reply, [one.target for one in corrected], by)
            return replace(_with(case, {one.target: _corrected(case, one) for one in corrected}), decision=digest)
        case Withdrawal(targets=targets):
            return _with(case, dict.fromkeys(_about(case, reply, targets, by), TargetStatus(TargetState.WITHDRAWN)))
        case Objection(targets=targets) | CounterNotice(targets=targets):
            return _asked(case, _about(case, reply, targets, by), by, digest, CaseState.OBJECTED)
        case Review(targets=reviewed):
            return _reviewed(case, {one.target: one.result for one in reviewed}, now)
        case RestoreOrder(targets=targets):
            return _to_restore(case, _about(case, reply, targets, by), now)
        case Restoration(targets=restored):
            _about(case, reply, [one.target for one in restored], by)
            changed = {one.target: replace(_at(case, one.target), state=_RESTORED[one.result]) for one in restored}
            return replace(_with(case, changed), decision=digest)
        case DeadlineNear(deadline=deadline, due_at=due_at, percent=number):
            return _said(case, Stated(reply.kind, deadline, number, due_at))
        case Escalation(deadline=deadline, due_at=due_at, step=number):
            return _said(case, Stated(reply.kind, deadline, number, due_at))
        case DeadlineMissed(deadline=deadline, due_at=due_at):
            late = _said(case, Stated(reply.kind, deadline, 0, due_at))
            return replace(late, overdue_since=due_at) if deadline is Deadline.ACKNOWLEDGED else late
        case Erasure():
            return _erased(case)
        case _:  # correspondence changes nothing
            return case


def _asked(case: Case, positions: AbstractSet[int], by: Role, digest: bytes, state: CaseState) -> Case:
    """What now waits for the other side. A platform that asks or objects has received the flag."""
    level = max(case.level, AcknowledgementLevel.RECEIVED) if by is Role.PLATFORM else case.level
    targets = tuple(replace(one, pending=at in positions) for at, one in enumerate(case.targets, 1))
    return replace(case, state=state, level=level, open_question=digest, asked_by=by, targets=targets)


def _erased(case: Case) -> Case:
    """What is left: who, when, what became of each target. Nothing of it goes on, and nothing waits."""
    return replace(
        case,
        state=CaseState.ERASED,
        targets=tuple(replace(one, pending=False) for one in case.targets),
        open_question=b"",
        asked_by=None,
        decision=b"",
        obstacle=b"",
        clock=Clock(case.opened_at),
        restore_since=None,
        stated=(),
    )


def _said(case: Case, stated: Stated) -> Case:
    """What the exchange says of a deadline while the answer is owed: once, in the same words to each side."""
    before = next((one for one in case.stated if one.occasion == stated.occasion), None)
    if not case.owes(stated.deadline) or before not in {None, stated}:
        raise _illegal(case, stated.kind)
    return case if before else replace(case, stated=(*case.stated, stated))


def _verified(case: Case, results: Mapping[int, VerificationResult]) -> Case:
    _must_cover("verification.targets", results.keys(), case.pending_targets, "doubted")
    changed = {
        position: TargetStatus(TargetState.WITHDRAWN)
        if result is VerificationResult.NOT_CONFIRMED
        else replace(_at(case, position), pending=False)
        for position, result in results.items()
    }
    return replace(_with(case, changed), open_question=b"", asked_by=None)


def _decided(case: Case, decided: Iterable[TargetDecision]) -> Case:
    named = {one.target: _status(one) for one in decided}
    _must_cover("decision.targets", named.keys(), case.open_targets)
    return _with(case, named)


def _status(decided: TargetDecision) -> TargetStatus:
    if decided.outcome in _REFUSALS:
        state = TargetState.REFUSED
    else:
        state = TargetState.RESTORED if decided.outcome is Outcome.RESTORED else TargetState.ACTIONED
    return TargetStatus(state, decided.outcome, decided.refusal)


def _corrected(case: Case, decided: TargetDecision) -> TargetStatus:
    """What a correction makes of a target. One that leaves it as it was ends no objection to it."""
    before, after = _at(case, decided.target), _status(decided)
    return before if replace(before, pending=False) == after else after


def _reviewed(case: Case, results: Mapping[int, ReviewResult], now: datetime) -> Case:
    _must_cover("review.targets", results.keys(), case.pending_targets, "contested")
    fallen = {position for position, result in results.items() if result is ReviewResult.OVERTURNED}
    kept = {position: replace(_at(case, position), pending=False) for position in results.keys() - fallen}
    against_the_flag = case.asked_by is Role.PLATFORM
    case = replace(_with(case, kept), open_question=b"", asked_by=None)
    if against_the_flag:
        open_ = fallen & set(case.open_targets)
        case = _with(case, dict.fromkeys(open_, TargetStatus(TargetState.WITHDRAWN)))
        return _to_restore(case, fallen - open_, now)
    if not fallen:
        return case
    # The platform has found its own decision wrong: it is looking at these again, and has all of its time for that.
    case = _with(case, dict.fromkeys(fallen, TargetStatus()))
    stated = tuple(one for one in case.stated if one.deadline is not Deadline.DECIDED)
    # What keeps the platform from acting keeps it from restoring others, whose clock goes on.
    stops = tuple(one for one in case.clock.stops if one.cause is StopCause.OBSTACLE)
    return replace(case, level=AcknowledgementLevel.UNDER_REVIEW, clock=Clock(now, stops), stated=stated)


def _to_restore(case: Case, positions: Iterable[int], now: datetime) -> Case:
    due = {at: replace(_at(case, at), state=TargetState.RESTORE_DUE, pending=False) for at in positions}
    if not due or case.restore_since is not None:
        return _with(case, due)
    stated = tuple(one for one in case.stated if one.deadline is not Deadline.RESTORED)
    return replace(_with(case, due), restore_since=now, stated=stated)


def _at(case: Case, position: int) -> TargetStatus:
    return case.targets[position - 1]


def _with(case: Case, changed: Mapping[int, TargetStatus]) -> Case:
    """A case with other targets at these positions."""
    return replace(case, targets=tuple(changed.get(at, one) for at, one in enumerate(case.targets, 1)))


def _about(case: Case, reply: Statement, positions: Iterable[int], by: Role) -> AbstractSet[int]:
    """Returns which targets a statement is about: those that it names, or all that it can be about.

    Raises:
        RefusedError: TARGETS_MISMATCH: it names others.
    """
    states = MOVES[reply.kind].about[by]
    possible, named = set(case.targets_in(states)), set(positions)
    these = " or ".join(state.name.lower().replace("_", " ") for state in sorted(states))
    _refuse_targets(f"{reply.kind}.targets", surplus=named - possible, they_are=f"{these} target")
    return named or possible


def _must_cover(field: str, named: AbstractSet[int], expected: Iterable[int], they_are: str = "open") -> None:
    wanted = set(expected)
    left = "open and not decided here" if they_are == "open" else f"{they_are} and not answered here"
    _refuse_targets(field, left_out=wanted - named, surplus=named - wanted, they_are=f"{they_are} target", left=left)


def _refuse_targets(
    field: str,
    *,
    left_out: AbstractSet[int] = frozenset(),
    surplus: AbstractSet[int] = frozenset(),
    they_are: str = "open target",
    left: str = "",
) -> None:
    """Refuse a reply whose targets are not those of the case, unless both sets are empty."""
    violations = []
    if left_out:
        are = "is" if len(left_out) == 1 else "are"
        violations.append(Violation(field, f"{_first(left_out)} {are} {left}"))
    if surplus:
        are = "is" if len(surplus) == 1 else "are"
        violations.append(Violation(field, f"{_first(surplus)} {are} no {they_are} of this case"))
    if violations:
        raise RefusedError(Reason.TARGETS_MISMATCH, "the targets are not those of the case", violations=violations)


def _first(positions: AbstractSet[int]) -> str:
    shown = ", ".join(map(str, sorted(positions)[:_SHOWN]))
    return shown if len(positions) <= _SHOWN else f"{shown} and {len(positions) - _SHOWN} more"
