"""A procedure as a whole: the first rule that is for a flag counts, and a flag without a rule is told why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.procedures import OTHER, VAGUE, a_procedure, rule
from support.statements import a_flag

from panji.core.procedure import Answer, WarningStage
from panji.core.statements import NonDisclosure
from panji.core.vocabulary import Category, Instrument, SubCategory, Urgency
from panji.errors import Code, Reason, RefusedError

NOW = datetime(2026, 5, 4, tzinfo=UTC)

NARROW = (
    rule("urgent", 'instruments = ["ORDER"]', 'urgencies = ["URGENT"]'),
    rule("routine", 'instruments = ["ORDER"]', 'urgencies = ["ROUTINE"]'),
    rule("notice", 'instruments = ["NOTICE"]', 'categories = ["HATE", "DEFAMATION"]'),
)
HOAX: dict[str, Any] = {"category": Category.DISINFORMATION, "sub_category": SubCategory.DISINFORMATION_HOAX}


def test_the_first_rule_that_covers_a_flag_counts() -> None:
    procedure = a_procedure(*NARROW, VAGUE, OTHER)
    assert procedure.rule(a_flag(urgency=Urgency.URGENT)).id == "urgent"
    assert procedure.rule(a_flag()).id == "routine"
    assert procedure.rule(a_flag(**HOAX)).id == "other"
    assert procedure.terms(a_flag()) is procedure.rules[1].terms


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"instrument": Instrument.REFERRAL}, "instrument REFERRAL"),
        (HOAX, "sub_category DISINFORMATION_HOAX"),
        ({"category": Category.DEFAMATION, "sub_category": SubCategory.UNSPECIFIED}, "category DEFAMATION"),
        ({"urgency": Urgency.THREAT_TO_LIFE}, "urgency THREAT_TO_LIFE"),
    ],
)
def test_a_flag_that_no_rule_covers_is_refused_and_told_what_is_not_covered(
    changes: dict[str, Any], lacking: str
) -> None:
    """By the rule that comes nearest: an ORDER about defamation has no rule, though a NOTICE about it has."""
    with pytest.raises(RefusedError) as caught:
        a_procedure(*NARROW).terms(a_flag(**changes))
    assert (caught.value.reason, caught.value.code) == (Reason.NOT_IN_PROCEDURE, Code.FAILED_PRECONDITION)
    assert caught.value.metadata == {"not_covered": lacking, "procedure": "test", "version": "1"}
    assert lacking in caught.value.message


def test_what_a_flag_lacks_is_told_for_its_rule_and_for_the_limits_at_once() -> None:
    limits = '[limits]\ntargets = 1\nnon_disclosure = "P6W"\n'
    procedure = a_procedure(limits, rule("one", 'requires = ["redress"]'))
    until = NonDisclosure(until=NOW + timedelta(weeks=6, microseconds=1), reason="An inquiry.")
    found = procedure.violations(a_flag(count=2, non_disclosure=until), NOW)
    assert [one.field for one in found] == ["flag.redress", "flag.targets", "flag.non_disclosure.until"]
    until = NonDisclosure(until=NOW + timedelta(weeks=6), reason="An inquiry.")
    assert procedure.violations(a_flag(non_disclosure=until, redress="Ask us."), NOW) == []
    assert procedure.violations(a_flag(redress="Ask us."), NOW) == []


def test_without_limits_there_are_none() -> None:
    until = NonDisclosure(until=NOW + timedelta(weeks=60), reason="An inquiry.")
    assert a_procedure().violations(a_flag(count=1000, non_disclosure=until), NOW) == []


ESCALATION = '[[escalation]]\nanswer = "received"\n[[escalation.step]]\nafter = "PT0S"\nto = ["deputy"]\n'
ORDER = '[[warning]]\nstage = "ORDER"\n'


def test_ladders_are_found_by_what_they_are_for() -> None:
    procedure = a_procedure(VAGUE, OTHER, ESCALATION, ORDER)
    assert procedure.escalation(Answer.RECEIVED) is procedure.escalations[0]
    assert procedure.escalation(Answer.DECIDED) is None
    assert procedure.stage(WarningStage.ORDER) is procedure.warnings[0]
    assert procedure.stage(WarningStage.FIRST_WARNING) is None


TEXTS = """
[[text]]
name = "reminder"
language = "id"
text = "Kepada {platform}: {case}"

[[text]]
name = "reminder"
language = "en"
text = "To {platform}: {case}"
"""


def test_a_text_is_given_in_the_language_or_in_the_first_that_it_has() -> None:
    procedure = a_procedure(TEXTS, VAGUE, OTHER)
    found = [procedure.text("reminder", language) for language in ("en", "id", "nl")]
    assert [one.language if one else None for one in found] == ["en", "id", "id"]
    assert procedure.text("reproach", "en") is None


def test_a_value_fills_its_place_and_opens_no_other() -> None:
    """Attack: a platform named ``{case}``."""
    text = a_procedure(TEXTS, VAGUE, OTHER).text("reminder", "en")
    assert text is not None
    assert text.filled({"platform": "{case.__class__}", "case": "17"}) == "To {case.__class__}: 17"
    with pytest.raises(KeyError, match="case"):
        text.filled({"platform": "telegram"})


def test_values_without_a_source_are_told_and_others_are_not() -> None:
    bare = a_procedure(
        rule("one", "warn_at = [0.5]", "approvals = { signatures = 2 }", "broad_targets = true"),
        OTHER.replace('id = "other"', 'id = "other"\ncategories = ["HATE"]'),
        ESCALATION.replace("[[escalation.step]]", 'unseen_for = "PT1H"\n[[escalation.step]]'),
        ORDER,
        '[emergency]\nstages = ["ORDER"]\nsignatures = 2\n',
        "[limits]\ntargets = 5\n",
    )
    assert list(bare.unsourced()) == [
        *("rule[0].decided", "rule[0].warn_at", "rule[0].broad_targets", "rule[0].approvals"),
        *("rule[1].received", "rule[1].decided"),
        *("escalation[0].unseen_for", "escalation[0].step[0]", "warning[0]", "emergency", "limits.targets"),
    ]
    law = 'source = "PM5/2020"\nconfidence = "law"\n'
    table = '{ source = "PM5/2020", confidence = "law" }'
    sourced = a_procedure(
        rule("one", f"sources.decided = {table}"),
        f'[[escalation]]\nanswer = "decided"\nunseen_for = "PT1H"\n{law}',
        f'[[escalation.step]]\nafter = "PT0S"\nto = ["deputy"]\n{law}',
        ORDER + law,
        f'[emergency]\nstages = ["ORDER"]\nsignatures = 2\n{law}',
        f"[limits]\ntargets = 5\nsources.targets = {table}\n",
    )
    assert list(sourced.unsourced()) == []
    assert list(a_procedure(rule("one", f"sources.decided = {table}")).unsourced()) == []
