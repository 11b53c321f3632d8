"""Prints docs/case.md: what may be said in a case, by whom and when, from the table that both ends apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.moves import MOVES
from panji.core.vocabulary import CaseState, Role, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from panji.core.moves import Move

_HEAD = """\
# A case

A flag opens a case. What may be said in it follows from its state and from the state of each target; the exchange
refuses everything else as `MOVE_NOT_ALLOWED`, and says the state, the move and what would be legal. Both sides' clients
compute the same from the statements alone, so nobody takes the exchange's word for a state.

Generated from `panji.core.moves` by `python .ci/case_docs.py > docs/case.md`.

## Who may say what when

*About targets* says which targets a statement can be about; without one, there is nothing to say.
"""
_STATES = """\
## States of a target

```mermaid
stateDiagram-v2
    [*] --> OPEN
    OPEN --> WITHDRAWN: withdrawal, verification, review
    OPEN --> ACTIONED: decision
    OPEN --> REFUSED: decision
    OPEN --> RESTORED: decision
    ACTIONED --> RESTORE_DUE: restore_order, review
    RESTORE_DUE --> RESTORED: restoration
    RESTORE_DUE --> NOT_RESTORED: restoration
    NOT_RESTORED --> RESTORE_DUE: restore_order
    ACTIONED --> OPEN: review of the authority's objection
    REFUSED --> OPEN: review of the authority's objection
```

A correction puts ACTIONED, REFUSED, RESTORED and NOT_RESTORED in each other's place.

The state of the case follows: what waits for an answer comes first (CLARIFICATION_REQUESTED, VERIFICATION_REQUESTED,
OBJECTED; one at a time), then open targets (SUBMITTED, RECEIVED or UNDER_REVIEW, as far as the platform said it had
got), then what is to be restored (RESTORING). When nothing is left the case is DECIDED, or WITHDRAWN if
all targets are.

## The clock

The clock of the decision runs from the receipt of the flag. It stands still while the platform waits for the authority
(an open clarification request, verification request, objection or counter-notice of the platform's) and while an
obstacle lasts. When a review overturns the platform's own decision, it begins anew.
"""


def document() -> str:
    """The page."""
    rows = [
        "| flag | authority | (none) | | SUBMITTED, all targets OPEN |",
        *(
            f"| {kind} | {_by(move)} | {_while(move)} | {_about(move)} | {move.effect} |"
            for kind, move in MOVES.items()
        ),
    ]
    head = [
        "| statement | by | while the case is | about targets | then the case is |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([_HEAD, *head, *rows, "", _STATES])


def _by(move: Move) -> str:
    return " or ".join(role.value for role in Role if role in move.by)


def _while(move: Move) -> str:
    states = [state for state in CaseState if state]
    left = [state for state in states if state not in move.states]
    if len(left) < 3:  # noqa: PLR2004 - shorter so
        return f"any but {_names(left)}" if left else "any"
    return _names([state for state in states if state in move.states])


def _about(move: Move) -> str:
    said = [(role, _states(move.about[role])) for role in Role if role in move.about]
    return "; ".join(names if len(said) == 1 else f"{names} (by the {role.value})" for role, names in said)


def _states(states: AbstractSet[TargetState]) -> str:
    return _names(sorted(states))


def _names(members: Iterable[CaseState | TargetState]) -> str:
    return ", ".join(one.name for one in members)


if __name__ == "__main__":
    print(document(), end="")
