"""A standard operating procedure as a value: versioned data on which both sides have agreed, deadlines included."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from panji.core.procedure.deadlines import say
from panji.core.procedure.terms import VAGUE, Approvals
from panji.errors import Reason, RefusedError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime, timedelta

    from panji.core.procedure.deadlines import Answer
    from panji.core.procedure.ladders import Emergency, Escalation, Stage, WarningStage
    from panji.core.procedure.terms import Rule, Source, Terms
    from panji.core.statements import Flag
    from panji.core.vocabulary import Category

PLACEHOLDERS = frozenset(
    {"authority", "platform", "case", "reference", "rule", "stage", "targets", "due_at", "issued_at", "reasons"}
)
"""What may stand in braces in a text."""
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

LIMITS = ("targets", "flags_per_day", "non_disclosure", "first_order_notice", "restrictions")
"""Fields of :class:`Limits` that are values."""
VALUED = (
    *("warn_at", "shortest", "clarification", "force_majeure", "expires_within", "counted_apart", "allowed_actions"),
    *("broad_targets", "requires", "trusted_first", "warning_interval"),
)
"""Fields of a rule, beside the answers and approvals, whose values should have a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for all flags, whatever their rule. None: no limit of the procedure's."""

    targets: int | None = None
    """Most targets of one flag."""
    flags_per_day: int | None = None
    """Most flags of one authority to one platform in a day of UTC."""
    non_disclosure: timedelta | None = None
    """Longest time for which the user may be left in the dark (TCO art. 11(3))."""
    first_order_notice: timedelta | None = None
    """How long before its first order a platform is told how orders work (TCO art. 3(2))."""
    restrictions: int | None = None
    """Restrictions after which lifting the next may be refused (PM 5/2020 art. 20(5))."""
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places to fill, in one language."""

    name: str
    language: str
    text: str

    def filled(self, values: Mapping[str, str]) -> str:
        """Returns the text with the values in their places. Braces in a value are plain text.

        Raises:
            KeyError: A value is missing.
        """
        return PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """A standard operating procedure."""

    id: str
    version: int
    title: str
    rules: tuple[Rule, ...]
    escalations: tuple[Escalation, ...] = ()
    warnings: tuple[Stage, ...] = ()
    emergency: Emergency | None = None
    limits: Limits = Limits()
    texts: tuple[Template, ...] = ()
    vague: frozenset[Category] = VAGUE
    """Categories whose flags take three persons, expire and are counted apart."""

    def rule(self, flag: Flag) -> Rule:
        """Returns the first rule that is for a flag.

        Raises:
            RefusedError: NOT_IN_PROCEDURE: none is; the metadata name what is not covered.
        """
        nearest = (-1, "")
        for rule in self.rules:
            met, lacking = rule.conditions.shortfall(flag)
            if not lacking:
                return rule
            nearest = max(nearest, (met, lacking))
        lacking = nearest[1]
        raise RefusedError(
            Reason.NOT_IN_PROCEDURE,
            f"no rule of the procedure {self.id}, version {self.version}, covers {lacking}",
            metadata={"not_covered": lacking, "procedure": self.id, "version": str(self.version)},
        )

    def terms(self, flag: Flag) -> Terms:
        """Returns what holds for a flag.

        Raises:
            RefusedError: As for :meth:`rule`.
        """
        return self.rule(flag).terms

    def violations(self, flag: Flag, at: datetime) -> list[Violation]:
        """Returns what a flag that was received at an instant would have to be otherwise, under terms and limits.

        Raises:
            RefusedError: As for :meth:`rule`.
        """
        return [*self.terms(flag).violations(flag, at), *self._beyond_limits(flag, at)]

    def _beyond_limits(self, flag: Flag, at: datetime) -> Iterator[Violation]:
        limits = self.limits
        if limits.targets is not None and len(flag.targets) > limits.targets:
            yield Violation("flag.targets", f"are more than {limits.targets}, the procedure's most")
        silence = flag.non_disclosure
        if limits.non_disclosure is not None and silence is not None and silence.until > at + limits.non_disclosure:
            longest = say(limits.non_disclosure)
            yield Violation("flag.non_disclosure.until", f"is later than the procedure allows: {longest}")

    def escalation(self, answer: Answer) -> Escalation | None:
        """Returns whom a missed deadline reaches, or None."""
        return next((one for one in self.escalations if one.answer is answer), None)

    def stage(self, stage: WarningStage) -> Stage | None:
        """Returns a stage of the warning ladder, or None where the ladder has none such."""
        return next((one for one in self.warnings if one.stage is stage), None)

    def text(self, name: str, language: str) -> Template | None:
        """Returns a text in a language, in the first that it is written in otherwise, or None where there is none."""
        named = [one for one in self.texts if one.name == name]
        return next((one for one in named if one.language == language), next(iter(named), None))

    def unsourced(self) -> Iterator[str]:
        """Paths of values that say no source."""
        for position, rule in enumerate(self.rules):
            yield from (f"rule[{position}].{name}" for name in _values(rule.terms) if name not in rule.terms.sources)
        for position, one in enumerate(self.escalations):
            if one.unseen_for is not None and one.source is None:
                yield f"escalation[{position}].unseen_for"
            yield from (f"escalation[{position}].step[{n}]" for n, step in enumerate(one.steps) if step.source is None)
        yield from (f"warning[{n}]" for n, stage in enumerate(self.warnings) if stage.source is None)
        if self.emergency is not None and self.emergency.source is None:
            yield "emergency"
        for name in LIMITS:
            if getattr(self.limits, name) is not None and name not in self.limits.sources:
                yield f"limits.{name}"


def _values(terms: Terms) -> Iterator[str]:
    """The fields of a rule that have a value for which somebody may ask why."""
    yield from (answer.value for answer in terms.answers)
    yield from (name for name in VALUED if getattr(terms, name))
    if terms.approvals != Approvals():
        yield "approvals"
