"""What a procedure's rule says of the flags that it is for, and which those are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from panji.core.procedure.clock import Pause
from panji.core.procedure.deadlines import Answer, Within, say
from panji.core.vocabulary import (
    SUB_CATEGORIES,
    Category,
    Instrument,
    RequestedAction,
    SubCategory,
    TargetKind,
    Urgency,
    names,
)
from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from panji.core.procedure.clock import ClockMode
    from panji.core.statements import Flag

VAGUE = frozenset({Category.PUBLIC_ORDER})
"""Categories that no law delimits. A procedure may name more, and can't take one of these away."""
VAGUE_SIGNATURES = 3
"""Fewest persons who sign a flag of a vague category."""
BROAD = frozenset({TargetKind.DOMAIN, TargetKind.IP_ADDRESS})
"""Targets that hold more than what was complained of."""
REQUIRABLE = frozenset({"legal_basis", "reference", "redress", "evidence", "jurisdictions", "good_faith"})
"""Fields of a flag that a rule may require beyond the form of flags."""

_EVERY_INSTRUMENT = frozenset(Instrument) - {Instrument.UNSPECIFIED}
_EVERY_URGENCY = frozenset(Urgency) - {Urgency.UNSPECIFIED}


class Confidence(StrEnum):
    """How good the source of a value is."""

    LAW = "law"
    """A text of law."""
    REPORT = "report"
    """The press, or what an official said."""
    OURS = "ours"
    """A proposal of ours."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value of a procedure comes from."""

    source: str
    confidence: Confidence


class Cause(StrEnum):
    """Why a clock stands."""

    CLARIFICATION = "clarification"
    FORCE_MAJEURE = "force_majeure"


@dataclass(frozen=True, slots=True)
class Clarification:
    """What becomes of the clock when the platform asks."""

    clock: ClockMode
    answer_within: timedelta | None = None
    """How long the authority may take to answer."""
    lapses: bool = False
    """The flag lapses when it took longer."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Who must have approved a flag before it is sent."""

    signatures: int = 1
    """Distinct keys of persons that sign it; keys that are ``automatic`` in the directory count for nothing."""
    deciding_body: bool = False
    """Another body must have decided, and be named."""


class Subject(Protocol):
    """What rules are for: a flag, or the case that it has opened."""

    @property
    def instrument(self) -> Instrument:
        """What the authority asks with."""

    @property
    def category(self) -> Category:
        """What the content is said to be."""

    @property
    def sub_category(self) -> SubCategory:
        """That, precisely."""

    @property
    def urgency(self) -> Urgency:
        """How fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Which flags a rule is for. An empty set means: any."""

    instruments: frozenset[Instrument] = frozenset()
    categories: frozenset[Category] = frozenset()
    sub_categories: frozenset[SubCategory] = frozenset()
    """Only these of their categories; a category of which none is named is meant whole."""
    urgencies: frozenset[Urgency] = frozenset()
    subjects: frozenset[Category | SubCategory] = field(init=False, repr=False, compare=False)
    """Categories and sub-categories in one: every sub-category meant, and every category meant that has none."""

    def __post_init__(self) -> None:
        categories = (
            self.categories or frozenset(category_of(sub) for sub in self.sub_categories) or frozenset(Category)
        )
        object.__setattr__(self, "subjects", frozenset(self._subjects(categories - {Category.UNSPECIFIED})))

    def _subjects(self, categories: frozenset[Category]) -> Iterator[Category | SubCategory]:
        for category in categories:
            subs = SUB_CATEGORIES[category]
            yield from self.sub_categories.intersection(subs) or subs or (category,)

    @property
    def every_instrument(self) -> frozenset[Instrument]:
        """The instruments, spelled out."""
        return self.instruments or _EVERY_INSTRUMENT

    @property
    def every_urgency(self) -> frozenset[Urgency]:
        """The urgencies, spelled out."""
        return self.urgencies or _EVERY_URGENCY

    def shortfall(self, flag: Subject) -> tuple[int, str]:
        """Returns how many of the three conditions the flag meets, and what of it is not covered: empty if nothing."""
        if flag.instrument not in self.every_instrument:
            return 0, f"instrument {flag.instrument.name}"
        if not flag.sub_category and SUB_CATEGORIES[flag.category]:
            return 1, f"sub_category of {flag.category.name}"
        subject = flag.sub_category or flag.category
        if subject not in self.subjects:
            return 1, f"{'sub_category' if flag.sub_category else 'category'} {subject.name}"
        if flag.urgency not in self.every_urgency:
            return 2, f"urgency {flag.urgency.name}"
        return 3, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for a flag."""

    answers: Mapping[Answer, Within]
    """The deadlines that there are."""
    warn_at: tuple[float, ...] = ()
    """Parts of the time after which both sides are reminded."""
    shortest: timedelta | None = None
    """The least that ``respond_by`` of a flag may leave; None: as the flag says."""
    clarification: Clarification | None = None
    """None: asking does not stop the clock."""
    force_majeure: ClockMode | None = None
    """None: it does not stop the clock."""
    approvals: Approvals = Approvals()
    expires_within: timedelta | None = None
    """The flag must say when it expires, and may not last longer."""
    counted_apart: bool = False
    """Public figures show these flags by themselves."""
    allowed_actions: frozenset[RequestedAction] = frozenset()
    """What may be asked for; empty: anything."""
    broad_targets: bool = False
    """Whole domains and IP addresses may be flagged, with a reason why less is not enough."""
    requires: frozenset[str] = frozenset()
    """Fields of the flag that must be filled: of :data:`REQUIRABLE`."""
    trusted_first: bool = False
    """The platform looks at flags of accredited authorities before others (DSA art. 22(1))."""
    warning_interval: timedelta | None = None
    """The least time between two stages of the warning ladder."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Where the values come from, by the name of the field in the document."""

    @property
    def received(self) -> Within | None:
        """How long the platform may take to say that it has the flag."""
        return self.answers.get(Answer.RECEIVED)

    @property
    def under_review(self) -> Within | None:
        """How long until somebody looks at it."""
        return self.answers.get(Answer.UNDER_REVIEW)

    @property
    def decided(self) -> Within | None:
        """How long until every target is decided, and what was decided is done."""
        return self.answers.get(Answer.DECIDED)

    @property
    def restored(self) -> Within | None:
        """How long until what was taken down is back, once that is ordered."""
        return self.answers.get(Answer.RESTORED)

    def pause(self, cause: Cause, begins: datetime, ends: datetime | None) -> Pause | None:
        """Returns what a cause does to the clocks of a flag, or None where it does nothing."""
        mode = self.force_majeure
        if cause is Cause.CLARIFICATION:
            mode = self.clarification.clock if self.clarification else None
        return Pause(begins, ends, mode) if mode else None

    def pauses(self, answer: Answer, stops: Iterable[tuple[Cause, datetime, datetime | None]]) -> list[Pause]:
        """Returns what has stopped the clock of an answer.

        A question is about the decision; what keeps a platform from acting keeps it from restoring too.
        """
        stopping = (stop for stop in stops if answer is not Answer.RESTORED or stop[0] is Cause.FORCE_MAJEURE)
        return [pause for stop in stopping if (pause := self.pause(*stop)) is not None]

    def violations(self, flag: Flag, at: datetime) -> Iterator[Violation]:
        """What a flag that was received at an instant would have to be otherwise; signatures are not looked at."""
        for action in flag.requested_actions:
            if self.allowed_actions and action not in self.allowed_actions:
                allowed = names(sorted(self.allowed_actions))
                yield Violation("flag.requested_actions", f"ask for {action.name}; the procedure allows {allowed}")
        for position, target in enumerate(flag.targets):
            if target.kind in BROAD and not self.broad_targets:
                yield Violation(f"flag.targets[{position}].kind", "is broader than the procedure allows here")
        if any(target.kind in BROAD for target in flag.targets) and not flag.proportionality:
            yield Violation("flag.proportionality", "is required when a whole domain or IP address is flagged")
        if self.approvals.deciding_body and flag.deciding_body is None:
            yield Violation("flag.deciding_body", "is required by the procedure")
        for name in sorted(self.requires):
            if not getattr(flag, name):
                yield Violation(f"flag.{name}", "is required by the procedure")
        if self.shortest is not None and flag.respond_by is not None and flag.respond_by < at + self.shortest:
            yield Violation("flag.respond_by", f"leaves less than {say(self.shortest)}, the procedure's least")
        yield from self._expiry(flag, at)

    def _expiry(self, flag: Flag, at: datetime) -> Iterator[Violation]:
        if self.expires_within is None:
            return
        if flag.expires_at is None:
            yield Violation("flag.expires_at", f"is required by the procedure, within {say(self.expires_within)}")
        elif flag.expires_at > at + self.expires_within:
            yield Violation("flag.expires_at", f"is later than the procedure allows: {say(self.expires_within)}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Some flags, and what holds for them."""

    id: str
    conditions: Conditions
    terms: Terms


def category_of(sub: SubCategory) -> Category:
    """Returns the category of a sub-category."""
    return Category(sub // 100)
