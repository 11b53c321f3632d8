"""The document: a right one says what it says, a wrong one is told all that is wrong with it, with paths."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from support.procedures import HEAD, OTHER, VAGUE, a_procedure, rule, wrong_in

from panji.core.procedure import (
    Answer,
    Approvals,
    Clarification,
    ClockMode,
    Confidence,
    Contact,
    Emergency,
    Escalation,
    From,
    Limits,
    Precondition,
    Since,
    Source,
    Stage,
    Step,
    WarningStage,
    Within,
    parse_procedure,
)
from panji.core.procedure.parsing import _TERMS
from panji.core.rules import MAX_PROCEDURE, MAX_STEPS
from panji.core.vocabulary import Category, Instrument, RequestedAction, SubCategory, Urgency
from panji.errors import InputError

PAGE = Path(__file__).parents[5] / "docs" / "procedure.md"
LAW = 'source = "PM5/2020"\nconfidence = "law"\n'
FROM_LAW = Source("PM5/2020", Confidence.LAW)
HOURS = timedelta(hours=1)

WHOLE = f"""
id = "whole"
version = 3
title = "Everything"
vague_categories = ["DISINFORMATION"]

[defaults]
received = {{ since = "received", within = "PT30M" }}
warn_at = [0.5, 0.8]
clarification = {{ clock = "pause" }}
sources.received = {{ source = "a default", confidence = "ours" }}
sources.clarification = {{ source = "a default", confidence = "ours" }}

[[rule]]
id = "full"
instruments = ["ORDER", "COURT_ORDER"]
categories = ["TERRORISM", "GAMBLING"]
sub_categories = ["GAMBLING_SITE"]
urgencies = ["URGENT"]
under_review = {{ since = "delivered", within = "PT2H" }}
decided = {{ since = "delivered", end_of_day = "Asia/Jakarta" }}
restored = {{ since = "ordered", within = "PT24H" }}
shortest = "PT1H"
clarification = {{ clock = "restart", answer_within = "PT12H", lapses = true }}
force_majeure = "pause"
approvals = {{ signatures = 2, deciding_body = true }}
expires_within = "P30D"
counted_apart = true
allowed_actions = ["REMOVE", "LABEL"]
broad_targets = true
requires = ["redress"]
trusted_first = true
warning_interval = "PT4H"
sources.decided = {{ source = "PM5/2020", confidence = "law" }}

[[rule]]
id = "plain"
instruments = ["NOTICE"]
categories = ["HATE"]
decided = {{ since = "delivered", within = "P7D" }}

[[escalation]]
answer = "decided"
unseen_for = "PT1H"
{LAW}
[[escalation.step]]
after = "PT0S"
to = ["deputy", "representative"]
{LAW}
[[escalation.step]]
after = "PT24H"
to = ["authority_head"]

[[escalation]]
answer = "received"
from = "received"

[[escalation.step]]
after = "PT30M"
to = ["desk"]

[[warning]]
stage = "ORDER"
needs = ["deadline_missed:decided"]
signatures = 2
within = "PT24H"
{LAW}
[[warning]]
stage = "FIRST_WARNING"
after = "ORDER"

[emergency]
stages = ["FIRST_WARNING"]
signatures = 3
{LAW}
[limits]
targets = 100
flags_per_day = 1000
restrictions = 3
non_disclosure = "P6W"
first_order_notice = "PT12H"
sources.targets = {{ source = "PM5/2020", confidence = "law" }}

[[text]]
name = "reminder"
language = "id"
text = "Kepada {{platform}}"
"""


def test_a_procedure_says_all_that_its_document_says() -> None:
    whole = parse_procedure(WHOLE)
    assert (whole.id, whole.version, whole.title) == ("whole", 3, "Everything")
    assert whole.vague == {Category.PUBLIC_ORDER, Category.DISINFORMATION}
    full, plain = whole.rules
    assert full.id == "full"
    assert full.conditions.instruments == {Instrument.ORDER, Instrument.COURT_ORDER}
    assert full.conditions.categories == {Category.TERRORISM, Category.GAMBLING}
    assert full.conditions.sub_categories == {SubCategory.GAMBLING_SITE}
    assert full.conditions.urgencies == {Urgency.URGENT}
    terms = full.terms
    assert terms.answers == {
        Answer.RECEIVED: Within(Since.RECEIVED, HOURS / 2),
        Answer.UNDER_REVIEW: Within(Since.DELIVERED, 2 * HOURS),
        Answer.DECIDED: Within(Since.DELIVERED, None, "Asia/Jakarta"),
        Answer.RESTORED: Within(Since.ORDERED, 24 * HOURS),
    }
    assert (terms.warn_at, terms.shortest) == ((0.5, 0.8), HOURS)
    assert terms.clarification == Clarification(ClockMode.RESTART, 12 * HOURS, lapses=True)
    assert (terms.force_majeure, terms.approvals) == (ClockMode.PAUSE, Approvals(2, deciding_body=True))
    assert (terms.expires_within, terms.counted_apart, terms.broad_targets) == (timedelta(days=30), True, True)
    assert terms.allowed_actions == {RequestedAction.REMOVE, RequestedAction.LABEL}
    assert terms.requires == {"redress"}
    assert (terms.trusted_first, terms.warning_interval) == (True, 4 * HOURS)
    assert plain.terms.approvals == Approvals()
    assert plain.terms.clarification == Clarification(ClockMode.PAUSE)
    assert (plain.terms.force_majeure, plain.terms.allowed_actions) == (None, frozenset())


def test_the_source_of_a_default_is_none_of_a_value_that_takes_its_place() -> None:
    full, plain = parse_procedure(WHOLE).rules
    ours = Source("a default", Confidence.OURS)
    assert full.terms.sources == {"received": ours, "decided": FROM_LAW}
    assert plain.terms.sources == {"received": ours, "clarification": ours}


def test_ladders_and_limits_say_what_they_say() -> None:
    whole = parse_procedure(WHOLE)
    assert whole.escalations == (
        Escalation(
            Answer.DECIDED,
            From.MISSED,
            (
                Step(timedelta(0), (Contact.DEPUTY, Contact.REPRESENTATIVE), FROM_LAW),
                Step(24 * HOURS, (Contact.AUTHORITY_HEAD,)),
            ),
            HOURS,
            FROM_LAW,
        ),
        Escalation(Answer.RECEIVED, From.RECEIVED, (Step(HOURS / 2, (Contact.DESK,)),)),
    )
    assert whole.warnings == (
        Stage(
            stage=WarningStage.ORDER,
            after=None,
            needs=(Precondition.MISSED_DECIDED,),
            signatures=2,
            within=24 * HOURS,
            source=FROM_LAW,
        ),
        Stage(stage=WarningStage.FIRST_WARNING, after=WarningStage.ORDER),
    )
    assert whole.emergency == Emergency(frozenset({WarningStage.FIRST_WARNING}), 3, FROM_LAW)
    assert whole.limits == Limits(
        targets=100,
        flags_per_day=1000,
        non_disclosure=timedelta(weeks=6),
        first_order_notice=12 * HOURS,
        restrictions=3,
        sources={"targets": FROM_LAW},
    )


def test_a_small_procedure_has_one_rule_and_no_ladder() -> None:
    small = a_procedure(rule("one"))
    assert (small.escalations, small.warnings, small.emergency, small.texts) == ((), (), None, ())
    assert small.limits == Limits()


def test_the_example_of_the_documentation_holds_and_its_table_has_every_field() -> None:
    page = PAGE.read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [one.id for one in parse_procedure(example).rules] == ["public-order", "other"]
    first_cells = "".join(re.findall(r"^\|([^|]+)\|", page, re.MULTILINE))
    assert set(re.findall(r"`([a-z_]+)`", first_cells)) == _TERMS


# What a document may not say: its form


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("# \x85", "has a control character other than line feed and tab"),
        ("# \u2028", "has a control character other than line feed and tab"),
        ("#" * MAX_PROCEDURE, "has more than 1048576 characters"),
    ],
)
def test_a_document_that_could_not_be_put_on_record_is_refused(more: str, wrong: str) -> None:
    """It would be accepted at first, and end the exchange that puts it on record."""
    assert wrong_in(VAGUE, OTHER, more) == {"document": wrong}


def test_a_text_that_is_no_toml_says_where() -> None:
    with pytest.raises(InputError, match=r"The procedure is no TOML: .*line 2"):
        parse_procedure("a = 1\nb = \n")


def test_everything_that_is_wrong_is_told_at_once_with_its_path() -> None:
    wrong = wrong_in(
        rule("one", 'instruments = ["EDICT"]', "warn_at = [1.0]", "colour = 1"),
        rule("Two", 'allowed_actions = ["BLOCK"]'),
        "[limits]\ntargets = 0\n",
        head='id = ""\nversion = "1"\n',
    )
    assert list(wrong) == [
        *("id", "version", "title"),
        *("rule[0].colour", "rule[0].instruments", "rule[0].warn_at"),
        *("rule[1].id", "rule[1].allowed_actions"),
        "limits.targets",
    ]


@pytest.mark.parametrize(
    ("head", "field"),
    [
        (HEAD.replace('"test"', '"Not An Id"'), "id"),
        (HEAD.replace("1\n", "0\n"), "version"),
        (HEAD.replace("1\n", '"1"\n'), "version"),
        (HEAD.replace("1\n", "true\n"), "version"),
        (HEAD.replace("1\n", f"{2**31}\n"), "version"),
        (HEAD.replace('"A procedure"', '"two\\nlines"'), "title"),
        (HEAD + 'vague_categories = ["WEATHER"]\n', "vague_categories"),
        (HEAD + "defaults = 1\n", "defaults"),
        (HEAD + "emergency = 1\n", "emergency"),
        (HEAD + "limits = []\n", "limits"),
        (HEAD + "rules = []\n", "rules"),
        (HEAD + "text = 1\n", "text"),
        (HEAD + "escalation = 1\n", "escalation"),
        (HEAD + "warning = {}\n", "warning"),
    ],
)
def test_a_head_that_breaks_the_format_is_refused(head: str, field: str) -> None:
    assert field in wrong_in(VAGUE, OTHER, head=head)


def test_a_procedure_without_rules_and_one_with_too_many_are_refused() -> None:
    """Attack: rules by the thousand, for each to be compared with all before it."""
    assert list(wrong_in("")) == ["rule"]
    assert wrong_in(*(rule(f"r{n}") for n in range(201)))["rule"] == "must be from 1 to 200 [[rule]] tables"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('instruments = ["EDICT"]', "instruments"),
        ('instruments = ["UNSPECIFIED"]', "instruments"),
        ('categories = ["WEATHER"]', "categories"),
        ('categories = "GAMBLING"', "categories"),
        ('sub_categories = ["GAMBLING"]', "sub_categories"),
        ('urgencies = ["SOON"]', "urgencies"),
        ('received = "PT4H"', "received"),
        ('received = { within = "PT4H" }', "received.since"),
        ('received = { since = "sent", within = "PT4H" }', "received.since"),
        ('received = { since = "received" }', "received"),
        ('received = { since = "received", within = "PT4H", end_of_day = "UTC" }', "received"),
        ('received = { since = "received", within = "4 hours" }', "received.within"),
        ('received = { since = "received", within = 4 }', "received.within"),
        ('received = { since = "received", within = "P99999D" }', "received.within"),
        ('received = { since = "received", end_of_day = 7 }', "received.end_of_day"),
        ('received = { since = "received", within = "PT4H", zone = "UTC" }', "received.zone"),
        ("warn_at = 0.5", "warn_at"),
        ('warn_at = ["0.5"]', "warn_at"),
        ("warn_at = [1]", "warn_at"),
        ("warn_at = [nan]", "warn_at"),
        ('shortest = "P1M"', "shortest"),
        ("clarification = { }", "clarification.clock"),
        ('clarification = { clock = "stop" }', "clarification.clock"),
        ('clarification = { clock = "pause", answer_within = "soon" }', "clarification.answer_within"),
        ('clarification = { clock = "pause", lapses = true }', "clarification.lapses"),
        ('clarification = { clock = "pause", lapses = 1 }', "clarification.lapses"),
        ('clarification = { clock = "pause", who = "desk" }', "clarification.who"),
        ("force_majeure = true", "force_majeure"),
        ("approvals = 2", "approvals"),
        ("approvals = { signatures = 0 }", "approvals.signatures"),
        ("approvals = { signatures = 17 }", "approvals.signatures"),
        ("approvals = { persons = 2 }", "approvals.persons"),
        ('approvals = { deciding_body = "court" }', "approvals.deciding_body"),
        ("counted_apart = 1", "counted_apart"),
        ('allowed_actions = ["BLOCK"]', "allowed_actions"),
        ('broad_targets = "yes"', "broad_targets"),
        ('requires = ["targets"]', "requires"),
        ("trusted_first = 0", "trusted_first"),
        ('warning_interval = "P1M"', "warning_interval"),
        ("sources = 1", "sources"),
        ("sources.decided = 1", "sources.decided"),
        ('sources.decided = { source = "x" }', "sources.decided.confidence"),
        ('sources.decided = { source = "x", confidence = "certain" }', "sources.decided.confidence"),
        ('sources.decided = { confidence = "law" }', "sources.decided.source"),
        ('sources.decided = { source = "x", confidence = "law", page = 4 }', "sources.decided.page"),
        ('sources.shortest = { source = "x", confidence = "law" }', "sources.shortest"),
        ('sources.sources = { source = "x", confidence = "law" }', "sources.sources"),
        ("colour = 1", "colour"),
    ],
)
def test_a_rule_that_breaks_the_format_is_refused(line: str, field: str) -> None:
    assert f"rule[0].{field}" in wrong_in(rule("one", line))


def test_unknown_keys_are_refused_by_name() -> None:
    assert wrong_in(rule("one", "colour = 1")) == {"rule[0].colour": "is no key of a procedure"}


@pytest.mark.parametrize("zone", ["Asia/Bandung", "Mars/Olympus", "../UTC"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    wrong = wrong_in(rule("one", decided=f'decided = {{ since = "delivered", end_of_day = "{zone}" }}'))
    assert list(wrong) == ["rule[0].decided.end_of_day"]


@pytest.mark.parametrize("duration", ["PT0S", "P0D"])
def test_a_duration_of_no_time_is_refused(duration: str) -> None:
    within = f'decided = {{ since = "delivered", within = "{duration}" }}'
    wrong = wrong_in(
        rule("one", f'expires_within = "{duration}"', decided=within), f'[limits]\nnon_disclosure = "{duration}"\n'
    )
    assert set(wrong.values()) == {"must be more than no time at all"}
    assert list(wrong) == ["rule[0].decided.within", "rule[0].expires_within", "limits.non_disclosure"]


def test_a_negative_duration_is_refused() -> None:
    wrong = wrong_in(rule("one", decided='decided = { since = "delivered", within = "-PT1H" }'))
    assert list(wrong) == ["rule[0].decided.within"]


@pytest.mark.parametrize("fractions", ["[0.0]", "[1.0]", "[-0.5]", "[0.5, 1.5]"])
def test_a_warning_outside_of_the_time_is_refused(fractions: str) -> None:
    assert wrong_in(rule("one", f"warn_at = {fractions}"))["rule[0].warn_at"].startswith("must be numbers between")


@pytest.mark.parametrize("fractions", ["[0.8, 0.5]", "[0.5, 0.5]", str([n / 100 for n in range(1, 18)])])
def test_warnings_that_do_not_increase_and_too_many_are_refused(fractions: str) -> None:
    assert wrong_in(rule("one", f"warn_at = {fractions}"))["rule[0].warn_at"].startswith("must increase")


@pytest.mark.parametrize("fractions", ["[0.001]", "[0.005]", "[0.996]", "[0.501, 0.504]"])
def test_warnings_that_could_not_be_stated_in_per_cent_are_refused(fractions: str) -> None:
    """`percent` of a statement is from 1 to 99, and of two with the same one only the first is stated."""
    assert wrong_in(rule("one", f"warn_at = {fractions}"))["rule[0].warn_at"].startswith("must be 0.01 to 0.99")
    assert wrong_in(rule("one", "warn_at = [0.01, 0.505, 0.515, 0.99]")) == {}


def test_a_rule_without_a_deadline_for_the_decision_is_refused() -> None:
    wrong = wrong_in(rule("one", 'instruments = ["ORDER"]', decided=""))
    assert list(wrong) == ["rule[0].decided"]


def test_what_is_wrong_in_the_defaults_is_told_once_and_there() -> None:
    defaults = '[defaults]\nwarn_at = [2.0]\nsources.shortest = { source = "x", confidence = "law" }\nid = "x"\n'
    assert list(wrong_in(defaults, rule("one"), rule("two", 'categories = ["HATE"]'))) == [
        "defaults.id",
        "defaults.sources.shortest",
        "defaults.warn_at",
    ]


STEP = '[[escalation.step]]\nafter = "PT0S"\nto = ["deputy"]\n'


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ('[[escalation]]\nanswer = "decided"\n', "escalation[0].step"),
        (f'[[escalation]]\nanswer = "closed"\n{STEP}', "escalation[0].answer"),
        (f"[[escalation]]\n{STEP}", "escalation[0].answer"),
        (f'[[escalation]]\nanswer = "decided"\nfrom = "sent"\n{STEP}', "escalation[0].from"),
        (f'[[escalation]]\nanswer = "decided"\nunseen_for = "PT0S"\n{STEP}', "escalation[0].unseen_for"),
        (f'[[escalation]]\nanswer = "decided"\nto = "desk"\n{STEP}', "escalation[0].to"),
        (f'[[escalation]]\nanswer = "decided"\nsource = "x"\n{STEP}', "escalation[0].confidence"),
        ('[[escalation]]\nanswer = "decided"\nstep = 1\n', "escalation[0].step"),
        ('[[escalation]]\nanswer = "decided"\n[[escalation.step]]\nto = ["desk"]\n', "escalation[0].step[0].after"),
        (f'[[escalation]]\nanswer = "decided"\n{STEP.replace("PT0S", "-PT1H")}', "escalation[0].step[0].after"),
        ('[[escalation]]\nanswer = "decided"\n[[escalation.step]]\nafter = "PT0S"\n', "escalation[0].step[0].to"),
        (f'[[escalation]]\nanswer = "decided"\n{STEP.replace("deputy", "boss")}', "escalation[0].step[0].to"),
        (f'[[escalation]]\nanswer = "decided"\n{STEP}who = 1\n', "escalation[0].step[0].who"),
        ('[[warning]]\nstage = "BLOCK"\n', "warning[0].stage"),
        ('[[warning]]\nstage = "ORDER"\nafter = "CHAOS"\n', "warning[0].after"),
        ('[[warning]]\nstage = "ORDER"\nneeds = ["luck"]\n', "warning[0].needs"),
        ('[[warning]]\nstage = "ORDER"\nsignatures = 0\n', "warning[0].signatures"),
        ('[[warning]]\nstage = "ORDER"\nwithin = "PT0S"\n', "warning[0].within"),
        ('[[warning]]\nstage = "ORDER"\nautomatic = true\n', "warning[0].automatic"),
        ("[emergency]\nsignatures = 2\n", "emergency.stages"),
        ('[emergency]\nstages = ["ORDER"]\n', "emergency.signatures"),
        ('[emergency]\nstages = ["ORDER"]\nsignatures = 2\nreason = "none"\n', "emergency.reason"),
        ("[limits]\nflags = 1\n", "limits.flags"),
        ('[limits]\nflags_per_day = "many"\n', "limits.flags_per_day"),
        ('[[text]]\nname = "a"\nlanguage = "id"\ntext = ""\n', "text[0].text"),
        ('[[text]]\nname = "a"\nlanguage = "?"\ntext = "b"\n', "text[0].language"),
        ('[[text]]\nlanguage = "id"\ntext = "b"\n', "text[0].name"),
        ('[[text]]\nname = "a"\nlanguage = "id"\ntext = "{platform.__class__}"\n', "text[0].text"),
        ('[[text]]\nname = "a"\nlanguage = "id"\ntext = "b"\nhtml = true\n', "text[0].html"),
    ],
)
def test_a_ladder_a_limit_or_a_text_that_breaks_the_format_is_refused(tables: str, field: str) -> None:
    assert field in wrong_in(tables, rule("one"))


@pytest.mark.parametrize("steps", [MAX_STEPS, MAX_STEPS + 1])
def test_more_steps_than_statements_can_number_are_refused(steps: int) -> None:
    tables = (f'[[escalation.step]]\nafter = "PT{n}S"\nto = ["deputy"]\n' for n in range(steps))
    wrong = wrong_in(rule("one"), '[[escalation]]\nanswer = "decided"\n', *tables)
    assert wrong == ({} if steps == MAX_STEPS else {"escalation[0].step": "must be at most 100 tables"})


def test_a_step_that_reaches_one_contact_twice_is_refused() -> None:
    step = STEP.replace('"deputy"', '"deputy", "desk", "deputy"')
    wrong = wrong_in(rule("one"), f'[[escalation]]\nanswer = "decided"\n{step}')
    assert wrong == {"escalation[0].step[0].to": "names one contact twice"}


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_a_text_that_is_too_much_for_the_parser_is_refused_as_such(value: str) -> None:
    with pytest.raises(InputError, match="The procedure is more than a TOML parser takes"):
        parse_procedure(f"version = {value}")
