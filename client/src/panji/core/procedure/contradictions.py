"""What a procedure may not say: each part of it is well-formed, and they do not fit together.

1. Rules: no id twice; no sub-category of another category; none that an earlier rule leaves nothing to; no answer from
   an event that never starts its clock; answers due in their order; nothing asked for that is not allowed.
2. Vague categories: enough persons, an end, figures of their own.
3. Escalation: one for an answer that a rule asks for; steps in order of time, none before the deadline.
4. Warnings: no gap; what a stage needs can come about; what is restricted can be lifted; an emergency takes two.
5. Texts: none twice in one language.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, TypeAlias

from panji.core.procedure.deadlines import Answer, Since, Within, say
from panji.core.procedure.ladders import EMERGENCY_SIGNATURES, From, WarningStage
from panji.core.procedure.terms import VAGUE_SIGNATURES, Conditions, Rule, category_of
from panji.core.vocabulary import Category, Instrument, RequestedAction, SubCategory, Urgency
from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from panji.core.procedure.document import Procedure
    from panji.core.procedure.ladders import Escalation, Stage
    from panji.core.procedure.terms import Terms

_Case: TypeAlias = tuple[Instrument, Category | SubCategory, Urgency]

_RESTRICTS = frozenset({WarningStage.RESTRICTION_NOTICE, WarningStage.RESTRICTION_LIFTED})
_ORDER_OF_EVENTS = list(Since)
_NEEDED_ACTION = {
    Instrument.PRESERVATION: RequestedAction.PRESERVE,
    Instrument.REINSTATEMENT: RequestedAction.RESTORE,
}


def find(procedure: Procedure, malformed: Iterable[Violation] = ()) -> Iterator[Violation]:
    """Returns the contradictions in a procedure, but for the parts that were misread: ``malformed`` says which."""
    misread = {_part(one.field) for one in malformed}
    for one in _all(procedure):
        part = _part(one.field)
        if part not in misread and not (part.startswith("rule") and "defaults" in misread):
            yield one


def _part(field: str) -> str:
    """The part of a document in which a field stands: one rule, or all that is of another kind."""
    top = field.split(".", 1)[0]
    return top if top.startswith("rule[") else top.split("[", 1)[0]


def _all(procedure: Procedure) -> Iterator[Violation]:
    yield from _ids(procedure)
    yield from _reach(procedure)
    for position, rule in enumerate(procedure.rules):
        yield from _rule(f"rule[{position}]", rule)
    yield from _escalations(procedure)
    yield from _stages(procedure.warnings)
    yield from _needs(procedure)
    yield from _emergency(procedure)
    named = [(one.name, one.language) for one in procedure.texts]
    for position, name in enumerate(named):
        if name in named[:position]:
            yield Violation(f"text[{position}]", "is written twice in one language")


def _ids(procedure: Procedure) -> Iterator[Violation]:
    ids = [rule.id for rule in procedure.rules]
    for position, one in enumerate(ids):
        if one and one in ids[:position]:
            yield Violation(f"rule[{position}].id", "stands twice in the procedure")


def _reach(procedure: Procedure) -> Iterator[Violation]:
    """What is left to each rule by those before it, and whether that may be so."""
    taken: set[_Case] = set()
    for position, rule in enumerate(procedure.rules):
        own = _cases(rule.conditions) - taken
        taken |= own
        if not own:
            yield Violation(f"rule[{position}]", "can never apply: earlier rules cover all that it is for")
        if any(_is_vague(one, procedure.vague) for one in own):
            yield from _vague(f"rule[{position}]", rule)


def _cases(conditions: Conditions) -> set[_Case]:
    return set(product(conditions.every_instrument, conditions.subjects, conditions.every_urgency))


def _is_vague(case: _Case, vague: frozenset[Category]) -> bool:
    """Whether a flag restricts something on a vague ground; to ask that it be restored needs no more than any other."""
    instrument, subject, _ = case
    category = category_of(subject) if isinstance(subject, SubCategory) else subject
    return category in vague and instrument is not Instrument.REINSTATEMENT


def _vague(at: str, rule: Rule) -> Iterator[Violation]:
    terms = rule.terms
    if terms.approvals.signatures < VAGUE_SIGNATURES:
        yield Violation(f"{at}.approvals.signatures", f"must be {VAGUE_SIGNATURES} or more for a vague category")
    if terms.expires_within is None:
        yield Violation(f"{at}.expires_within", "is required for a vague category")
    if not terms.counted_apart:
        yield Violation(f"{at}.counted_apart", "must be true for a vague category")


def _rule(at: str, rule: Rule) -> Iterator[Violation]:
    conditions, terms = rule.conditions, rule.terms
    if any(category_of(sub) not in conditions.categories for sub in conditions.sub_categories if conditions.categories):
        yield Violation(f"{at}.sub_categories", "has a sub-category of another category")
    yield from _events(at, terms)
    due = [(answer, terms.answers[answer]) for answer in list(Answer)[:3] if answer in terms.answers]
    for (earlier, first), (later, second) in pairwise(due):
        if _ORDER_OF_EVENTS.index(first.since) > _ORDER_OF_EVENTS.index(second.since):
            yield Violation(f"{at}.{earlier}.since", f"is a later event than that of {later}")
        if first.longest > second.longest:
            yield Violation(f"{at}.{earlier}", f"is due later than {later}")
    if terms.shortest is not None and terms.decided is not None and terms.shortest > terms.decided.longest:
        yield Violation(f"{at}.shortest", "is longer than decided")
    for instrument in sorted(conditions.instruments & _NEEDED_ACTION.keys()):
        action = _NEEDED_ACTION[instrument]
        if terms.allowed_actions and action not in terms.allowed_actions:
            yield Violation(f"{at}.allowed_actions", f"lack {action.name}, for which a {instrument.name} asks")


def _events(at: str, terms: Terms) -> Iterator[Violation]:
    for answer, within in terms.answers.items():
        if answer is Answer.RESTORED and within.since is not Since.ORDERED:
            yield Violation(f"{at}.{answer}.since", "must be ordered: nothing is restored before that is ordered")
        if answer is not Answer.RESTORED and within.since is Since.ORDERED:
            yield Violation(f"{at}.{answer}.since", "is an order, which is to restore: this would never be due")


def _escalations(procedure: Procedure) -> Iterator[Violation]:
    answers = [one.answer for one in procedure.escalations]
    for position, one in enumerate(procedure.escalations):
        at = f"escalation[{position}]"
        if one.answer in answers[:position]:
            yield Violation(f"{at}.answer", "has an escalation already")
        deadlines = [rule.terms.answers[one.answer] for rule in procedure.rules if one.answer in rule.terms.answers]
        if not deadlines:
            yield Violation(f"{at}.answer", "is an answer for which no rule sets a deadline")
        if any(later.after <= earlier.after for earlier, later in pairwise(one.steps)):
            yield Violation(f"{at}.step", "must stand in the order of after, each later than the one before")
        for deadline in deadlines:
            yield from _too_early(at, one, deadline)


def _too_early(at: str, one: Escalation, deadline: Within) -> Iterator[Violation]:
    if one.counted_from is From.RECEIVED and one.steps:
        if deadline.since is not Since.RECEIVED:
            yield Violation(f"{at}.from", f"may be before the deadline, which runs from when it was {deadline.since}")
        elif one.steps[0].after < deadline.longest:
            yield Violation(f"{at}.step[0].after", f"is before the deadline that it escalates, {say(deadline.longest)}")
    if one.unseen_for is not None and deadline.span is not None and one.unseen_for >= deadline.span:
        yield Violation(
            f"{at}.unseen_for", f"is no shorter than a deadline, {say(deadline.span)}: nothing is before it"
        )


def _stages(stages: tuple[Stage, ...]) -> Iterator[Violation]:
    order = list(WarningStage)
    for position, one in enumerate(stages):
        at = f"warning[{position}]"
        before = stages[position - 1].stage if position else None
        index = order.index(one.stage)
        follows = order[index - 1] if index else None
        after_any_warning = one.stage is WarningStage.RESTRICTION_NOTICE and before in order[1:4]
        if before is not follows and not after_any_warning:
            must = "the first stage" if follows is None else f"after {follows.value}"
            yield Violation(f"{at}.stage", f"leaves a gap or comes twice: {one.stage.value} stands {must}")
        if one.after is not before:
            must = "stands with every stage but the first" if before is None else f"must be {before.value}"
            yield Violation(f"{at}.after", must)
    restricting = {one.stage for one in stages} & _RESTRICTS
    if restricting == {WarningStage.RESTRICTION_NOTICE}:
        yield Violation(
            "warning", "has RESTRICTION_NOTICE without RESTRICTION_LIFTED: what is restricted must be lifted"
        )


def _needs(procedure: Procedure) -> Iterator[Violation]:
    """Whether what the stages need can come about."""
    asked_for = {answer.value for rule in procedure.rules for answer in rule.terms.answers}
    for position, one in enumerate(procedure.warnings):
        at = f"warning[{position}].needs"
        if one.stage is WarningStage.RESTRICTION_NOTICE and not one.needs:
            yield Violation(at, "are required: nothing is restricted without anything on the record")
        for need in one.needs:
            if need.missed and need.missed not in asked_for:
                yield Violation(at, f"has {need.value}, and no rule sets that deadline")


def _emergency(procedure: Procedure) -> Iterator[Violation]:
    emergency = procedure.emergency
    if emergency is None:
        return
    if emergency.signatures < EMERGENCY_SIGNATURES:
        yield Violation("emergency.signatures", f"must be {EMERGENCY_SIGNATURES} or more")
    if not emergency.stages <= {one.stage for one in procedure.warnings}:
        yield Violation("emergency.stages", "has a stage that is not on the warning ladder")
