"""What a procedure may not say although each part of it is well-formed."""

from __future__ import annotations

import pytest
from support.procedures import OTHER, VAGUE, a_procedure, rule, wrong_in

DECIDED = 'decided = {{ since = "delivered", within = "{}" }}'


def within(answer: str, span: str, since: str = "delivered") -> str:
    return f'{answer} = {{ since = "{since}", within = "{span}" }}'


# Rules


def test_a_duplicate_rule_id_is_refused() -> None:
    wrong = wrong_in(rule("same"), rule("same", 'categories = ["HATE"]'))
    assert wrong == {"rule[1].id": "stands twice in the procedure"}


@pytest.mark.parametrize(
    "earlier",
    [
        [rule("all")],
        [rule("narrower", 'urgencies = ["URGENT"]'), rule("rest", 'urgencies = ["ROUTINE", "THREAT_TO_LIFE"]')],
        [VAGUE, OTHER],
    ],
)
def test_a_rule_that_can_never_match_because_earlier_ones_cover_it_is_refused(earlier: list[str]) -> None:
    late = rule("late", 'instruments = ["ORDER"]', 'sub_categories = ["GAMBLING_SITE"]')
    assert wrong_in(*earlier, late) == {
        f"rule[{len(earlier)}]": "can never apply: earlier rules cover all that it is for"
    }


def test_a_narrow_rule_before_a_wide_one_is_what_order_is_for() -> None:
    narrow = rule("narrow", 'instruments = ["ORDER"]', 'sub_categories = ["GAMBLING_SITE"]')
    assert len(a_procedure(narrow, rule("wide")).rules) == 2


def test_a_sub_category_of_another_category_is_refused() -> None:
    wrong = wrong_in(rule("one", 'categories = ["HATE"]', 'sub_categories = ["HATE_RACE", "GAMBLING_SITE"]'))
    assert wrong == {"rule[0].sub_categories": "has a sub-category of another category"}
    assert wrong_in('[[rule]]\nid = "one"\nsub_categories = ["GAMBLING_SITE"]\n' + DECIDED.format("PT1H")) == {}


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([within("received", "PT25H")], "received"),
        ([within("under_review", "PT25H")], "under_review"),
        ([within("received", "PT3H"), within("under_review", "PT2H")], "received"),
        ([within("received", "PT25H", "received")], "received"),
    ],
)
def test_answers_that_are_due_in_another_order_than_they_come_are_refused(lines: list[str], field: str) -> None:
    (path,) = wrong_in(rule("one", *lines))
    assert path == f"rule[0].{field}"


def test_an_answer_whose_clock_may_begin_after_that_of_the_next_is_refused() -> None:
    wrong = wrong_in(rule("one", within("received", "PT1H"), decided=within("decided", "PT24H", "received")))
    assert wrong == {"rule[0].received.since": "is a later event than that of decided"}


@pytest.mark.parametrize("answer", ["received", "under_review", "decided"])
def test_an_answer_whose_clock_never_begins_is_refused(answer: str) -> None:
    """Nothing is ordered but restoring: what runs from an order would be accepted, and never be due."""
    lines = [] if answer == "decided" else [within(answer, "PT1H", "ordered")]
    wrong = wrong_in(rule("one", *lines, decided=within("decided", "PT24H", "ordered")))
    assert wrong[f"rule[0].{answer}.since"] == "is an order, which is to restore: this would never be due"


@pytest.mark.parametrize("since", ["received", "delivered"])
def test_restoring_that_would_be_due_before_it_is_ordered_is_refused(since: str) -> None:
    wrong = wrong_in(rule("one", within("restored", "PT24H", since)))
    assert wrong == {"rule[0].restored.since": "must be ordered: nothing is restored before that is ordered"}
    assert wrong_in(rule("one", within("restored", "PT24H", "ordered"))) == {}


def test_an_hour_before_the_end_of_the_day_is_in_order() -> None:
    day = 'decided = { since = "delivered", end_of_day = "Asia/Jakarta" }'
    assert wrong_in(rule("one", within("received", "PT1H"), decided=day)) == {}


def test_a_least_time_beyond_the_deadline_is_refused() -> None:
    assert list(wrong_in(rule("one", 'shortest = "PT25H"'))) == ["rule[0].shortest"]
    assert wrong_in(rule("one", 'shortest = "PT24H"')) == {}


@pytest.mark.parametrize(("instrument", "action"), [("PRESERVATION", "PRESERVE"), ("REINSTATEMENT", "RESTORE")])
def test_actions_that_leave_nothing_to_an_instrument_are_refused(instrument: str, action: str) -> None:
    only = rule("one", f'instruments = ["{instrument}"]', 'allowed_actions = ["REMOVE"]')
    assert wrong_in(only) == {"rule[0].allowed_actions": f"lack {action}, for which a {instrument} asks"}
    both = rule("one", f'instruments = ["{instrument}"]', f'allowed_actions = ["REMOVE", "{action}"]')
    assert wrong_in(both) == {}
    assert wrong_in(rule("one", f'instruments = ["{instrument}"]')) == {}


# Vague categories


@pytest.mark.parametrize(
    ("without", "field"),
    [
        ("approvals = { signatures = 3 }\n", "approvals.signatures"),
        ('expires_within = "P30D"\n', "expires_within"),
        ("counted_apart = true\n", "counted_apart"),
    ],
)
def test_a_vague_category_without_three_approvals_an_expiry_and_figures_of_its_own_is_refused(
    without: str, field: str
) -> None:
    assert wrong_in(VAGUE) == {}
    assert list(wrong_in(VAGUE.replace(without, ""))) == [f"rule[0].{field}"]


def test_two_approvals_are_too_few_for_a_vague_category() -> None:
    assert list(wrong_in(VAGUE.replace("= 3", "= 2"))) == ["rule[0].approvals.signatures"]


def test_a_vague_category_does_not_hide_in_a_rule_for_everything() -> None:
    """Attack: a rule without conditions, which also covers public order."""
    assert list(wrong_in(OTHER)) == ["rule[0].approvals.signatures", "rule[0].expires_within", "rule[0].counted_apart"]
    assert wrong_in(VAGUE, OTHER) == {}
    urgent_only = VAGUE.replace('id = "vague"', 'id = "vague"\nurgencies = ["URGENT"]')
    assert "rule[1].expires_within" in wrong_in(urgent_only, OTHER)


def test_a_procedure_may_call_more_categories_vague_and_none_less() -> None:
    head = 'id = "test"\nversion = 1\ntitle = "A"\nvague_categories = ["DEFAMATION"]\n'
    assert "rule[0].expires_within" in wrong_in(rule("one", 'categories = ["DEFAMATION"]'), head=head)
    assert "rule[0].expires_within" in wrong_in(rule("one", 'categories = ["PUBLIC_ORDER"]'), head=head)


def test_to_restore_what_was_taken_down_on_a_vague_ground_takes_no_more_than_any_other() -> None:
    assert wrong_in(rule("one", 'instruments = ["REINSTATEMENT"]', 'categories = ["PUBLIC_ORDER"]')) == {}


# Escalation


def escalation(*steps: str, answer: str = "received", lines: str = "") -> str:
    tables = "".join(f'[[escalation.step]]\nafter = "{after}"\nto = ["deputy"]\n' for after in steps)
    return f'[[escalation]]\nanswer = "{answer}"\n{lines}{tables}'


QUICK = rule("quick", within("received", "PT4H", "received"))
SLOW = rule("slow", within("received", "PT8H", "received"), 'categories = ["HATE"]')
COUNTED = 'from = "received"\n'


@pytest.mark.parametrize("steps", [("PT1H", "PT1H"), ("PT2H", "PT1H"), ("PT0S", "PT2H", "PT1H")])
def test_steps_that_are_not_in_the_order_of_time_are_refused(steps: tuple[str, ...]) -> None:
    assert list(wrong_in(QUICK, escalation(*steps))) == ["escalation[0].step"]


def test_an_escalation_before_the_deadline_that_it_escalates_is_refused() -> None:
    wrong = wrong_in(QUICK, SLOW, escalation("PT4H", "PT9H", lines=COUNTED))
    assert wrong == {"escalation[0].step[0].after": "is before the deadline that it escalates, PT8H"}
    assert wrong_in(QUICK, SLOW, escalation("PT8H", "PT9H", lines=COUNTED)) == {}


def test_an_escalation_from_the_receipt_of_a_deadline_from_the_delivery_is_refused() -> None:
    wrong = wrong_in(QUICK, escalation("P2D", answer="decided", lines=COUNTED))
    assert wrong == {"escalation[0].from": "may be before the deadline, which runs from when it was delivered"}


def test_an_escalation_from_the_receipt_leaves_a_whole_day_to_a_deadline_at_its_end() -> None:
    day = rule("day", decided='decided = { since = "received", end_of_day = "Asia/Jakarta" }')
    assert list(wrong_in(day, escalation("PT24H", answer="decided", lines=COUNTED))) == ["escalation[0].step[0].after"]
    assert wrong_in(day, escalation("PT26H", answer="decided", lines=COUNTED)) == {}


def test_an_escalation_of_a_deadline_that_no_rule_sets_is_refused() -> None:
    assert list(wrong_in(rule("one"), escalation("PT0S"))) == ["escalation[0].answer"]


def test_two_escalations_of_one_deadline_are_refused() -> None:
    assert list(wrong_in(QUICK, escalation("PT0S"), escalation("PT1H"))) == ["escalation[1].answer"]


def test_a_client_that_may_be_unseen_for_longer_than_the_deadline_is_refused() -> None:
    assert list(wrong_in(QUICK, SLOW, escalation("PT0S", lines='unseen_for = "PT4H"\n'))) == [
        "escalation[0].unseen_for"
    ]
    assert wrong_in(QUICK, SLOW, escalation("PT0S", lines='unseen_for = "PT3H"\n')) == {}
    day = rule("day", decided='decided = { since = "received", end_of_day = "Asia/Jakarta" }')
    assert wrong_in(day, escalation("PT0S", answer="decided", lines='unseen_for = "PT3H"\n')) == {}


# Warnings


def ladder(*stages: str, **needs: str) -> str:
    befores = ["", *stages]
    return "".join(
        f'[[warning]]\nstage = "{stage}"\n'
        + (f'after = "{before}"\n' if before else "")
        + f"needs = [{needs.get(stage, '')}]\n"
        for before, stage in zip(befores, stages, strict=False)
    )


WARNED = ("ORDER", "FIRST_WARNING", "SECOND_WARNING", "THIRD_WARNING")
RESTRICTED = ("RESTRICTION_NOTICE", "RESTRICTION_LIFTED")
MISSED = '"deadline_missed:decided"'


@pytest.mark.parametrize("warnings", [WARNED[:2], WARNED[:3], WARNED])
def test_a_ladder_may_have_one_two_or_three_warnings(warnings: tuple[str, ...]) -> None:
    assert wrong_in(rule("one"), ladder(*warnings)) == {}
    assert wrong_in(rule("one"), ladder(*warnings, *RESTRICTED, RESTRICTION_NOTICE=MISSED)) == {}


@pytest.mark.parametrize(
    ("stages", "at"),
    [
        (("ORDER", "FIRST_WARNING", "THIRD_WARNING"), 2),
        (("ORDER", "SECOND_WARNING"), 1),
        (("FIRST_WARNING",), 0),
        (("ORDER", "ORDER"), 1),
        (("ORDER", "FIRST_WARNING", "FIRST_WARNING"), 2),
        (("ORDER", "RESTRICTION_NOTICE", "RESTRICTION_LIFTED"), 1),
        (("RESTRICTION_NOTICE", "RESTRICTION_LIFTED"), 0),
    ],
)
def test_a_ladder_with_a_gap_is_refused(stages: tuple[str, ...], at: int) -> None:
    """Third warning without a second; a restriction without any warning, as in July 2017."""
    wrong = wrong_in(rule("one"), ladder(*stages, RESTRICTION_NOTICE=MISSED))
    assert f"warning[{at}].stage" in wrong
    assert wrong[f"warning[{at}].stage"].startswith("leaves a gap or comes twice")


def test_a_stage_names_the_one_before_it() -> None:
    wrong = wrong_in(rule("one"), ladder("ORDER", "FIRST_WARNING").replace('after = "ORDER"\n', ""))
    assert wrong == {"warning[1].after": "must be ORDER"}
    first = wrong_in(rule("one"), '[[warning]]\nstage = "ORDER"\nafter = "FIRST_WARNING"\n')
    assert first == {"warning[0].after": "stands with every stage but the first"}


def test_what_is_restricted_must_be_liftable() -> None:
    stages = ladder(*WARNED, "RESTRICTION_NOTICE", RESTRICTION_NOTICE=MISSED)
    assert list(wrong_in(rule("one"), stages)) == ["warning"]


def test_nothing_is_restricted_without_anything_on_the_record() -> None:
    assert list(wrong_in(rule("one"), ladder(*WARNED, *RESTRICTED))) == ["warning[4].needs"]


def test_a_stage_that_needs_what_can_never_be_on_the_record_is_refused() -> None:
    stages = ladder("ORDER", ORDER='"deadline_missed:received", "representative_reached"')
    assert list(wrong_in(rule("one"), stages)) == ["warning[0].needs"]
    assert wrong_in(QUICK, stages) == {}


def test_an_emergency_takes_two_persons_and_a_stage_that_there_is() -> None:
    one = '[emergency]\nstages = ["ORDER"]\nsignatures = 1\n'
    assert list(wrong_in(rule("one"), ladder("ORDER"), one)) == ["emergency.signatures"]
    absent = '[emergency]\nstages = ["ORDER", "FIRST_WARNING"]\nsignatures = 2\n'
    assert list(wrong_in(rule("one"), ladder("ORDER"), absent)) == ["emergency.stages"]


# Texts, and all of it together


def test_a_text_that_is_written_twice_in_one_language_is_refused() -> None:
    text = '[[text]]\nname = "a"\nlanguage = "{}"\ntext = "b"\n'
    assert list(wrong_in(rule("one"), *(text.format(one) for one in ("id", "en", "id")))) == ["text[2]"]


def test_a_part_that_was_misread_is_blamed_for_nothing_more() -> None:
    """A rule whose only category is misspelt is for nothing, not for everything."""
    wrong = wrong_in(rule("one", 'categories = ["GAMBLNG"]'), rule("two"), rule("two", 'categories = ["HATE"]'))
    assert list(wrong) == ["rule[0].categories", "rule[2].id"]
    defaults = "[defaults]\napprovals = { signatures = 99 }\nwarn_at = [2.0]\n"
    assert list(wrong_in(defaults, OTHER)) == ["defaults.warn_at", "defaults.approvals.signatures"]


def test_two_rules_without_an_id_are_not_one_twice() -> None:
    wrong = wrong_in(rule("").replace('id = ""\n', ""), rule("", 'categories = ["HATE"]').replace('id = ""\n', ""))
    assert list(wrong) == ["rule[0].id", "rule[1].id"]
