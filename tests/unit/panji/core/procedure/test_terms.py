"""Rules: which flags they are for, and what they ask of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.statements import a_flag, a_target

from panji.core.procedure.clock import ClockMode, Pause
from panji.core.procedure.deadlines import Answer, Since, Within
from panji.core.procedure.terms import Approvals, Cause, Clarification, Conditions, Terms
from panji.core.statements import DecidingBody, Flag
from panji.core.vocabulary import (
    SUB_CATEGORIES,
    AuthorityKind,
    Category,
    Instrument,
    RequestedAction,
    SubCategory,
    TargetKind,
    Urgency,
)

NOW = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)


def broken(terms: Terms, flag: Flag) -> list[str]:
    return [one.field for one in terms.violations(flag, NOW)]


def terms(**changes: Any) -> Terms:
    return Terms(**{"answers": {Answer.DECIDED: Within(Since.DELIVERED, HOUR)}, **changes})


# Which flags


@pytest.mark.parametrize(
    ("conditions", "met", "lacking"),
    [
        ({}, 3, ""),
        ({"instruments": {Instrument.ORDER}, "categories": {Category.GAMBLING}, "urgencies": {Urgency.ROUTINE}}, 3, ""),
        ({"instruments": {Instrument.NOTICE}}, 0, "instrument ORDER"),
        ({"categories": {Category.HATE}}, 1, "sub_category GAMBLING_PROMOTION"),
        ({"sub_categories": {SubCategory.GAMBLING_SITE}}, 1, "sub_category GAMBLING_PROMOTION"),
        ({"sub_categories": {SubCategory.GAMBLING_PROMOTION}}, 3, ""),
        ({"urgencies": {Urgency.URGENT, Urgency.THREAT_TO_LIFE}}, 2, "urgency ROUTINE"),
    ],
)
def test_a_rule_says_what_of_a_flag_it_does_not_cover(conditions: dict[str, set[Any]], met: int, lacking: str) -> None:
    rule = Conditions(**{name: frozenset(values) for name, values in conditions.items()})
    assert rule.shortfall(a_flag()) == (met, lacking)


def test_a_category_without_sub_categories_is_named_as_such() -> None:
    flag = a_flag(category=Category.DEFAMATION, sub_category=SubCategory.UNSPECIFIED)
    assert Conditions(categories=frozenset({Category.HATE})).shortfall(flag) == (1, "category DEFAMATION")


def test_the_sub_category_is_mandatory_where_the_category_has_any() -> None:
    flag = a_flag(sub_category=SubCategory.UNSPECIFIED)
    assert Conditions().shortfall(flag) == (1, "sub_category of GAMBLING")


def test_sub_categories_narrow_their_own_category_and_no_other() -> None:
    rule = Conditions(
        categories=frozenset({Category.TERRORISM, Category.ILLEGAL_GOODS, Category.DEFAMATION}),
        sub_categories=frozenset({SubCategory.ILLEGAL_GOODS_FOOD_DRUG_COSMETIC}),
    )
    whole = set(SUB_CATEGORIES[Category.TERRORISM])
    assert rule.subjects == whole | {SubCategory.ILLEGAL_GOODS_FOOD_DRUG_COSMETIC, Category.DEFAMATION}


def test_a_rule_without_conditions_is_for_every_subject_that_there_is() -> None:
    whole = {category for category in Category if category and not SUB_CATEGORIES[category]}
    assert Conditions().subjects == (set(SubCategory) - {0}) | whole


# What they ask


def test_the_four_answers_have_their_deadlines_or_none() -> None:
    four = {answer: Within(Since.RECEIVED, HOUR * n) for n, answer in enumerate(Answer, 1)}
    one = Terms(answers=four)
    assert [one.received, one.under_review, one.decided, one.restored] == list(four.values())
    none = Terms(answers={})
    assert [none.received, none.under_review, none.decided, none.restored] == [None] * 4


def test_an_action_that_is_not_allowed_is_named() -> None:
    flag = a_flag(requested_actions=(RequestedAction.REMOVE, RequestedAction.SUSPEND_ACCOUNT))
    (wrong,) = terms(allowed_actions=frozenset({RequestedAction.REMOVE, RequestedAction.LABEL})).violations(flag, NOW)
    assert wrong.field == "flag.requested_actions"
    assert wrong.description == "ask for SUSPEND_ACCOUNT; the procedure allows REMOVE, LABEL"
    assert broken(terms(), flag) == []


def test_a_whole_domain_takes_a_permission_and_a_reason() -> None:
    domain = a_target(kind=TargetKind.DOMAIN, identifier="t.example", url="")
    bare, reasoned = a_flag(targets=(a_target(), domain)), a_flag(targets=(domain,), proportionality="All of it is.")
    assert broken(terms(), bare) == ["flag.targets[1].kind", "flag.proportionality"]
    assert broken(terms(broad_targets=True), bare) == ["flag.proportionality"]
    assert broken(terms(), reasoned) == ["flag.targets[0].kind"]
    assert broken(terms(broad_targets=True), reasoned) == []


def test_a_body_that_decided_is_asked_for() -> None:
    asking = terms(approvals=Approvals(2, deciding_body=True))
    court = DecidingBody(name="Pengadilan Negeri", kind=AuthorityKind.JUDICIAL)
    assert broken(asking, a_flag()) == ["flag.deciding_body"]
    assert broken(asking, a_flag(deciding_body=court)) == []


def test_fields_that_a_rule_requires_are_all_named() -> None:
    asking = terms(requires=frozenset({"redress", "reference", "legal_basis"}))
    assert broken(asking, a_flag()) == ["flag.redress", "flag.reference"]
    assert broken(asking, a_flag(redress="Ask us.", reference="17")) == []


def test_a_flag_may_not_ask_for_less_time_than_the_procedure_leaves() -> None:
    asking = terms(shortest=HOUR)
    assert broken(asking, a_flag(respond_by=NOW + HOUR - MOMENT)) == ["flag.respond_by"]
    assert broken(asking, a_flag(respond_by=NOW + HOUR)) == []
    assert broken(asking, a_flag()) == []


def test_what_must_expire_says_when_and_not_too_late() -> None:
    asking = terms(expires_within=HOUR)
    assert broken(asking, a_flag()) == ["flag.expires_at"]
    assert broken(asking, a_flag(expires_at=NOW + HOUR + MOMENT)) == ["flag.expires_at"]
    assert broken(asking, a_flag(expires_at=NOW + HOUR)) == []


# What stops the clock


def test_a_question_stops_the_clock_only_where_the_rule_says_so() -> None:
    assert terms().pause(Cause.CLARIFICATION, NOW, None) is None
    asked = terms(clarification=Clarification(ClockMode.RESTART))
    assert asked.pause(Cause.CLARIFICATION, NOW, NOW + HOUR) == Pause(NOW, NOW + HOUR, ClockMode.RESTART)
    assert asked.pause(Cause.FORCE_MAJEURE, NOW, None) is None


def test_force_majeure_stops_it_in_its_own_way() -> None:
    asked = terms(force_majeure=ClockMode.PAUSE)
    assert asked.pause(Cause.FORCE_MAJEURE, NOW, None) == Pause(NOW, None, ClockMode.PAUSE)
