"""The presets: each is well-formed, each value has its source, and each number is the one that the sources have."""

from __future__ import annotations

import csv
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.statements import a_flag

from panji.core.procedure import Answer, ClockMode, Precondition, Since, WarningStage, parse_procedure
from panji.core.procedure.deadlines import say
from panji.core.vocabulary import Category, Instrument, SubCategory, Urgency
from panji.errors import RefusedError
from panji.procedures import presets, text_of

if TYPE_CHECKING:
    from panji.core.procedure import Procedure, Source, Terms

DEADLINES = Path(os.environ.get("PANJI_SHARED", Path(__file__).parents[5] / "shared"), "data", "sop-deadlines.csv")
PRESETS = ("eu-dsa", "eu-tco", "id-2017", "id-pm5-saman")

TERRORISM: dict[str, Any] = {"category": Category.TERRORISM, "sub_category": SubCategory.TERRORISM_INCITES}
UNREST: dict[str, Any] = {"category": Category.PUBLIC_ORDER, "sub_category": SubCategory.PUBLIC_ORDER_UNREST}
FOOD: dict[str, Any] = {
    "category": Category.ILLEGAL_GOODS,
    "sub_category": SubCategory.ILLEGAL_GOODS_FOOD_DRUG_COSMETIC,
}


def preset(name: str) -> Procedure:
    return parse_procedure(text_of(name))


def terms(name: str, **changes: Any) -> Terms:
    return preset(name).terms(a_flag(**changes))


def decided(name: str, **changes: Any) -> str:
    return str(terms(name, **changes).decided)


def test_there_are_four_and_no_other_name_is_one() -> None:
    assert tuple(presets()) == PRESETS
    for name in ("", "id-2018", "../presets", "id-2017.toml"):
        with pytest.raises(KeyError):
            text_of(name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_as_its_file_and_gives_every_value_a_source(name: str) -> None:
    one = preset(name)
    assert one.id == name
    assert list(one.unsourced()) == []


@pytest.mark.parametrize("name", ["eu-dsa", "id-2017", "id-pm5-saman"])
@pytest.mark.parametrize("instrument", [Instrument.ORDER, Instrument.NOTICE])
@pytest.mark.parametrize("urgency", [Urgency.ROUTINE, Urgency.URGENT])
def test_public_order_takes_three_persons_an_end_and_figures_of_its_own(
    name: str, instrument: Instrument, urgency: Urgency
) -> None:
    found = terms(name, instrument=instrument, urgency=urgency, **UNREST)
    assert found.approvals.signatures == 3
    assert found.expires_within is not None
    assert (say(found.expires_within), found.counted_apart, found.broad_targets) == ("P30D", True, False)


@pytest.mark.parametrize("name", ["id-2017", "id-pm5-saman"])
def test_nothing_is_restricted_before_the_platform_was_reached_and_its_reasons_were_considered(name: str) -> None:
    notice = preset(name).stage(WarningStage.RESTRICTION_NOTICE)
    assert notice is not None
    assert {
        Precondition.MISSED_DECIDED,
        Precondition.REPRESENTATIVE_REACHED,
        Precondition.REASONS_CONSIDERED,
    } <= set(notice.needs)
    assert preset(name).stage(WarningStage.RESTRICTION_LIFTED) is not None


# What each of them is about


def test_the_founding_case_has_its_day_in_jakarta() -> None:
    found = terms("id-2017", **TERRORISM).decided
    assert found is not None
    assert (found.span, found.zone, found.since) == (None, "Asia/Jakarta", Since.DELIVERED)


def test_saman_has_two_clocks_the_notification_and_then_the_order() -> None:
    name = "id-pm5-saman"
    for subject in (TERRORISM, FOOD):
        assert decided(name, instrument=Instrument.NOTICE, urgency=Urgency.URGENT, **subject) == "PT12H"
        assert decided(name, instrument=Instrument.ORDER, urgency=Urgency.URGENT, **subject) == "PT4H"
        assert decided(name, instrument=Instrument.NOTICE, **subject) == "PT24H"
        assert decided(name, instrument=Instrument.ORDER, **subject) == "PT24H"


def test_by_pm_5_not_everything_may_be_called_urgent() -> None:
    with pytest.raises(RefusedError) as caught:
        terms("id-pm5-saman", urgency=Urgency.URGENT)
    assert caught.value.metadata["not_covered"] == "urgency URGENT"
    assert decided("id-pm5-saman", urgency=Urgency.THREAT_TO_LIFE) == "PT4H"


def test_the_hour_of_the_european_union_starts_again_after_annex_iii() -> None:
    found = terms("eu-tco", **TERRORISM)
    assert str(found.decided) == "PT1H"
    assert found.clarification is not None
    assert (found.clarification.clock, found.force_majeure) == (ClockMode.RESTART, ClockMode.RESTART)
    lacking = [one.field for one in preset("eu-tco").violations(a_flag(**TERRORISM), datetime(2026, 5, 4, tzinfo=UTC))]
    assert lacking == ["flag.redress", "flag.reference"]


def test_propaganda_outside_of_the_regulation_has_no_order_but_a_referral() -> None:
    outside = TERRORISM | {"sub_category": SubCategory.TERRORISM_PROPAGANDA_OTHER}
    with pytest.raises(RefusedError) as caught:
        terms("eu-tco", **outside)
    assert caught.value.metadata["not_covered"] == "sub_category TERRORISM_PROPAGANDA_OTHER"
    assert decided("eu-tco", instrument=Instrument.REFERRAL, **outside) == "PT24H"


def test_notices_of_trusted_flaggers_come_first_and_orders_need_what_article_9_asks() -> None:
    assert terms("eu-dsa", instrument=Instrument.NOTICE).trusted_first
    assert terms("eu-dsa").requires == {"legal_basis", "redress", "jurisdictions"}


# The numbers


def rows() -> dict[str, dict[str, str]]:
    with DEADLINES.open(encoding="utf-8", newline="") as file:
        return {row["rule_id"]: row for row in csv.DictReader(file)}


def check(row: dict[str, str], value: str, source: Source | None) -> None:
    """Holds a value and its source to a row: the row's words, and a confidence that the row has."""
    assert value in re.split(r"[ /]+", row["duration"]), row
    assert source is not None
    assert source.source.startswith(row["source"]), row
    assert source.confidence.value in re.findall(r"[a-z]+", row["confidence"]), row


ORDER, NOTICE = Instrument.ORDER, Instrument.NOTICE
URGENT = Urgency.URGENT


@pytest.mark.skipif(not DEADLINES.exists(), reason="the shared data are not here")
@pytest.mark.parametrize(
    ("rule_id", "name", "field", "changes"),
    [
        ("PM5-24H", "id-pm5-saman", "decided", {}),
        ("PM5-24H", "id-pm5-saman", "decided", UNREST),
        ("PM5-4H", "id-pm5-saman", "decided", {**TERRORISM, "urgency": URGENT}),
        ("PM5-4H", "id-pm5-saman", "decided", {**UNREST, "urgency": URGENT}),
        ("PM5-WARN-N", "id-pm5-saman", "warning_interval", {}),
        ("PM5-WARN-U", "id-pm5-saman", "warning_interval", {**TERRORISM, "urgency": URGENT}),
        ("SAM-NOTIF-U", "id-pm5-saman", "decided", {**FOOD, "instrument": NOTICE, "urgency": URGENT}),
        ("SAM-NOTIF-N", "id-pm5-saman", "decided", {"instrument": NOTICE}),
        ("TCO-1H", "eu-tco", "decided", TERRORISM),
        ("OURS-ACK-U", "id-pm5-saman", "received", {**TERRORISM, "urgency": URGENT}),
        ("OURS-ACK-N", "id-pm5-saman", "received", {}),
        ("OURS-ACK-U", "id-2017", "received", TERRORISM),
        ("OURS-ACK-N", "id-2017", "received", {}),
        ("OURS-EXPIRY", "id-pm5-saman", "expires_within", UNREST),
        ("OURS-EXPIRY", "eu-dsa", "expires_within", UNREST),
        ("OURS-REINST", "id-pm5-saman", "restored", {}),
        ("OURS-REINST", "eu-dsa", "restored", {}),
        ("OURS-REINST", "eu-tco", "restored", TERRORISM),
    ],
)
def test_a_value_of_a_rule_is_that_of_the_sources(rule_id: str, name: str, field: str, changes: dict[str, Any]) -> None:
    found = terms(name, **changes)
    value = found.answers.get(Answer(field)) if field in set(Answer) else say(getattr(found, field))
    check(rows()[rule_id], str(value), found.sources[field])


@pytest.mark.skipif(not DEADLINES.exists(), reason="the shared data are not here")
@pytest.mark.parametrize(
    ("rule_id", "name", "limit"),
    [("TCO-GAG", "eu-tco", "non_disclosure"), ("TCO-12H", "eu-tco", "first_order_notice")],
)
def test_a_limit_is_that_of_the_sources(rule_id: str, name: str, limit: str) -> None:
    limits = preset(name).limits
    value = "P6W" if limit == "non_disclosure" else say(getattr(limits, limit))
    assert say(getattr(limits, limit)) in {"P42D", "PT12H"}
    check(rows()[rule_id], value, limits.sources[limit])


@pytest.mark.skipif(not DEADLINES.exists(), reason="the shared data are not here")
def test_ladders_are_those_of_the_sources() -> None:
    saman, known = preset("id-pm5-saman"), rows()
    for stage, rule_id in (
        (WarningStage.SECOND_WARNING, "SAM-ST2"),
        (WarningStage.THIRD_WARNING, "SAM-ST3"),
        (WarningStage.RESTRICTION_NOTICE, "PM5-BLOCK"),
        (WarningStage.RESTRICTION_LIFTED, "PM5-NORM"),
    ):
        found = saman.stage(stage)
        assert found is not None
        assert found.source is not None
        assert known[rule_id]["source"].endswith(found.source.source)
    lifted = saman.stage(WarningStage.RESTRICTION_LIFTED)
    assert lifted is not None
    assert lifted.within is not None
    check(known["PM5-NORM"], say(lifted.within), lifted.source)
    assert saman.limits.restrictions == 3
    check(known["PM5-NORM-CAP"], str(saman.limits.restrictions), saman.limits.sources["restrictions"])
    for name in ("id-2017", "id-pm5-saman", "eu-dsa"):
        escalation = preset(name).escalation(Answer.DECIDED)
        assert escalation is not None
        first, second, third = escalation.steps
        check(known["OURS-ESC1"], say(first.after), first.source)
        check(known["OURS-ESC2"], say(second.after - first.after), second.source)
        check(known["OURS-ESC3"], say(third.after - second.after), third.source)


@pytest.mark.skipif(not DEADLINES.exists(), reason="the shared data are not here")
def test_reminders_questions_and_the_same_day_are_those_of_the_sources() -> None:
    known = rows()
    day = terms("id-2017", **TERRORISM)
    assert known["TG-SLA"]["duration"] == "same calendar day"
    assert day.sources["decided"].source == known["TG-SLA"]["source"]
    for name, changes in (("id-2017", {}), ("id-pm5-saman", {}), ("eu-dsa", {}), ("eu-tco", TERRORISM)):
        found = terms(name, **changes)
        assert known["OURS-WARN"]["duration"] == "at {:.0%} and {:.0%} of deadline".format(*found.warn_at)
        if found.clarification and found.clarification.answer_within:
            assert f"{say(found.clarification.answer_within)} normal" in known["OURS-CLAR"]["duration"]
    urgent = terms("id-pm5-saman", **TERRORISM, urgency=URGENT).clarification
    assert urgent is not None
    assert urgent.answer_within is not None
    assert f"{say(urgent.answer_within)} urgent" in known["OURS-CLAR"]["duration"]
