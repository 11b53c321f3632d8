"""The table of a case's moves: what may be said, by whom, while the case and its targets are in which state.

The one source of the rules: :mod:`panji.core.case` applies it, and ``docs/case.md`` is drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from panji.core.vocabulary import CaseState, Kind, Role, TargetState

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTHORITY = frozenset({Role.AUTHORITY})
_PLATFORM = frozenset({Role.PLATFORM})
_OPERATOR = frozenset({Role.OPERATOR})

_ANY = frozenset(CaseState) - {CaseState.UNSPECIFIED}
_UNASKED = frozenset({CaseState.SUBMITTED, CaseState.RECEIVED, CaseState.UNDER_REVIEW})
_ASKED = frozenset({CaseState.CLARIFICATION_REQUESTED, CaseState.VERIFICATION_REQUESTED})
_CLOSED = frozenset({CaseState.DECIDED, CaseState.RESTORING})
_LIVE = _UNASKED | _ASKED | _CLOSED | {CaseState.OBJECTED}

_OPEN = frozenset({TargetState.OPEN})
_DECIDED = frozenset({TargetState.ACTIONED, TargetState.REFUSED, TargetState.RESTORED, TargetState.NOT_RESTORED})
_ACTIONED = frozenset({TargetState.ACTIONED})
_DUE = frozenset({TargetState.RESTORE_DUE})


@dataclass(frozen=True, slots=True)
class Move:
    """When a statement of one kind may be made, and what it does."""

    by: frozenset[Role]
    states: frozenset[CaseState]
    """Of the case."""
    effect: str
    """For people."""
    about: Mapping[Role, frozenset[TargetState]] = field(default_factory=dict)
    """The states of the targets that each side may say it of. Without such a target there is nothing to say."""


MOVES: Mapping[Kind, Move] = {
    Kind.ACKNOWLEDGEMENT: Move(
        _PLATFORM, frozenset({CaseState.SUBMITTED, CaseState.RECEIVED}), "RECEIVED or UNDER_REVIEW, as it says"
    ),
    Kind.CLARIFICATION_REQUEST: Move(_PLATFORM, _UNASKED, "CLARIFICATION_REQUESTED; the clock stops"),
    Kind.CLARIFICATION_ANSWER: Move(
        _AUTHORITY, frozenset({CaseState.CLARIFICATION_REQUESTED}), "as before the question; the clock goes on"
    ),
    Kind.VERIFICATION_REQUEST: Move(
        _PLATFORM, _UNASKED, "VERIFICATION_REQUESTED; the clock stops", {Role.PLATFORM: _OPEN}
    ),
    Kind.VERIFICATION: Move(
        _AUTHORITY,
        frozenset({CaseState.VERIFICATION_REQUESTED}),
        "as before the question; the clock goes on; targets that are NOT_CONFIRMED are WITHDRAWN",
        {Role.AUTHORITY: _OPEN},
    ),
    Kind.OBSTACLE: Move(_PLATFORM, _LIVE, "the same; the clock stops"),
    Kind.OBSTACLE_ENDED: Move(_PLATFORM, _ANY - {CaseState.ERASED}, "the same; the clock goes on"),
    Kind.DECISION: Move(
        _PLATFORM,
        _UNASKED | _ASKED | {CaseState.OBJECTED},
        "DECIDED; each OPEN target is ACTIONED or REFUSED",
        {Role.PLATFORM: _OPEN},
    ),
    Kind.CORRECTION: Move(
        _PLATFORM, _LIVE, "the same; its targets are ACTIONED, REFUSED or RESTORED", {Role.PLATFORM: _DECIDED}
    ),
    Kind.WITHDRAWAL: Move(
        _AUTHORITY,
        _UNASKED | _ASKED | {CaseState.OBJECTED},
        "its targets are WITHDRAWN, and the case too when nothing else is left",
        {Role.AUTHORITY: _OPEN},
    ),
    Kind.OBJECTION: Move(
        _AUTHORITY | _PLATFORM,
        _UNASKED | _CLOSED,
        "OBJECTED; the clock stops where the platform objects",
        {Role.AUTHORITY: _DECIDED, Role.PLATFORM: _OPEN | _ACTIONED},
    ),
    Kind.COUNTER_NOTICE: Move(_PLATFORM, _UNASKED | _CLOSED, "OBJECTED", {Role.PLATFORM: _ACTIONED}),
    Kind.REVIEW: Move(
        _AUTHORITY | _PLATFORM,
        frozenset({CaseState.OBJECTED}),
        "as before the objection; where it overturns a flag, OPEN targets are WITHDRAWN and ACTIONED ones RESTORE_DUE; "
        "where it overturns a decision, targets are OPEN again",
    ),
    Kind.RESTORE_ORDER: Move(
        _AUTHORITY,
        _LIVE,
        "its targets are RESTORE_DUE; RESTORING when no target is open",
        {Role.AUTHORITY: _ACTIONED | {TargetState.NOT_RESTORED}},
    ),
    Kind.RESTORATION: Move(
        _PLATFORM,
        _LIVE,
        "its targets are RESTORED or NOT_RESTORED; DECIDED when none is due any more",
        {Role.PLATFORM: _DUE},
    ),
    Kind.CORRESPONDENCE: Move(_AUTHORITY | _PLATFORM, _ANY - {CaseState.ERASED}, "the same"),
    Kind.DEADLINE_NEAR: Move(_OPERATOR, _LIVE, "the same; while the answer is owed"),
    Kind.DEADLINE_MISSED: Move(_OPERATOR, _LIVE, "the same, and late; while the answer is owed"),
    Kind.ESCALATION: Move(_OPERATOR, _LIVE, "the same; while the answer is owed"),
    Kind.ERASURE: Move(_OPERATOR, _ANY, "ERASED"),
}
"""What may be said after a flag, which an authority opens a case with: SUBMITTED, all its targets OPEN."""
