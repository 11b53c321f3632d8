"""The two ladders of a procedure: whom a missed deadline reaches, and what an authority may say next.

Nothing on them is automatic but reaching people. A stage of the warning ladder is a statement that persons sign, and
it is possible only when what it needs is on the record: in 2017 a service was blocked without a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from panji.core.procedure.deadlines import Answer
    from panji.core.procedure.terms import Source

EMERGENCY_SIGNATURES = 2
"""Fewest persons who sign a stage in an emergency."""


class Contact(StrEnum):
    """Whom a step reaches."""

    DESK = "desk"
    DEPUTY = "deputy"
    REPRESENTATIVE = "representative"
    """The platform's representative, whom the founding case asked for (PM 5/2020 art. 25, DSA art. 13)."""
    OUT_OF_HOURS = "out_of_hours"
    AUTHORITY_HEAD = "authority_head"
    """The head of the authority that flags."""


class From(StrEnum):
    """From when a ladder's steps are counted."""

    MISSED = "missed"
    """From when the answer was due."""
    RECEIVED = "received"
    """From when the exchange received the flag; never before the answer is due."""


@dataclass(frozen=True, slots=True)
class Step:
    """Reaches somebody at a time."""

    after: timedelta
    to: tuple[Contact, ...]
    source: Source | None = None


class Taken(NamedTuple):
    """When a step is taken."""

    at: datetime
    number: int
    """From 1."""
    step: Step
    unseen: bool
    """It comes early, since nobody is there to meet the deadline."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """The steps of one deadline, in order."""

    answer: Answer
    counted_from: From
    steps: tuple[Step, ...]
    unseen_for: timedelta | None = None
    """The first step is taken before the deadline where the recipient's client was not seen for so long."""
    source: Source | None = None
    """Of ``unseen_for``."""

    def taken(
        self, received: datetime, start: datetime, due_at: datetime, unseen_since: datetime | None
    ) -> Iterator[Taken]:
        """Returns when each step is taken, once; but for the first where nobody is there, none before the deadline.

        Args:
            received: When the exchange received the flag.
            start: When the deadline's clock began to run.
            due_at: When the answer is late, whatever has stopped that clock.
            unseen_since: When the recipient's client was last there; None: it is there.
        """
        origin = received if self.counted_from is From.RECEIVED else due_at
        for number, step in enumerate(self.steps, 1):
            at, unseen = max(origin + step.after, due_at), False
            if number == 1 and self.unseen_for is not None and unseen_since is not None:
                early = max(unseen_since + self.unseen_for, start)
                at, unseen = min(at, early), early < at
            yield Taken(at, number, step, unseen)


class WarningStage(StrEnum):
    """What is said to a platform that does not answer, in this order."""

    ORDER = "ORDER"
    FIRST_WARNING = "FIRST_WARNING"
    SECOND_WARNING = "SECOND_WARNING"
    THIRD_WARNING = "THIRD_WARNING"
    RESTRICTION_NOTICE = "RESTRICTION_NOTICE"
    RESTRICTION_LIFTED = "RESTRICTION_LIFTED"


class Precondition(StrEnum):
    """What must be on the record before a stage."""

    MISSED_RECEIVED = "deadline_missed:received"
    MISSED_UNDER_REVIEW = "deadline_missed:under_review"
    MISSED_DECIDED = "deadline_missed:decided"
    MISSED_RESTORED = "deadline_missed:restored"
    STAGE_DELIVERED = "stage_delivered"
    """The stage before was fetched."""
    DEPUTY_REACHED = "deputy_reached"
    REPRESENTATIVE_REACHED = "representative_reached"
    REASONS_CONSIDERED = "platform_reasons_considered"
    """What the platform gave as reasons was considered (PM 5/2020 art. 15(7)), and how is said."""

    @property
    def missed(self) -> str:
        """The answer whose deadline must have been missed, or the empty string."""
        return self.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the warning ladder."""

    stage: WarningStage
    after: WarningStage | None
    """The stage before; None for the first."""
    needs: tuple[Precondition, ...] = ()
    signatures: int = 1
    """Distinct keys of persons that sign it."""
    within: timedelta | None = None
    """How long whoever must act has from this stage on; None: the rule's ``warning_interval``."""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Emergency:
    """The way to a stage past those before it and what it needs: more persons sign it, and say why."""

    stages: frozenset[WarningStage]
    signatures: int
    source: Source | None = None
