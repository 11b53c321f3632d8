"""Reading a procedure from its TOML. ``docs/procedure.md`` describes the format.

All that is wrong is told at once, each with its path. What stands in ``[defaults]`` is told with that path, once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from panji.core import form
from panji.core.procedure import contradictions
from panji.core.procedure.clock import ClockMode
from panji.core.procedure.deadlines import Answer, Since, Within, parse_duration, percent, zone_exists
from panji.core.procedure.document import LIMITS, PLACEHOLDER, PLACEHOLDERS, Limits, Procedure, Template
from panji.core.procedure.ladders import (
    Contact,
    Emergency,
    Escalation,
    From,
    Precondition,
    Stage,
    Step,
    WarningStage,
)
from panji.core.procedure.terms import (
    REQUIRABLE,
    VAGUE,
    Approvals,
    Clarification,
    Conditions,
    Confidence,
    Rule,
    Source,
    Terms,
)
from panji.core.rules import MAX_PROCEDURE, MAX_STEPS
from panji.core.tables import Reader, parse_toml
from panji.core.vocabulary import Category, Instrument, RequestedAction, SubCategory, Urgency
from panji.errors import InputError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum
    from typing import TypeVar

    _S = TypeVar("_S", bound=StrEnum)

MAX_RULES = 200
"""Most rules of one procedure."""

_ANSWERS = {answer.value for answer in Answer}
_CONDITIONS = {"id", "instruments", "categories", "sub_categories", "urgencies"}
_TERMS = _ANSWERS | {
    *("warn_at", "shortest", "clarification", "force_majeure", "approvals", "expires_within", "counted_apart"),
    *("allowed_actions", "broad_targets", "requires", "trusted_first", "warning_interval", "sources"),
}
_DOCUMENT = {
    *("id", "version", "title", "vague_categories", "defaults", "rule"),
    *("escalation", "warning", "emergency", "limits", "text"),
}
_NONE = frozenset({Instrument.UNSPECIFIED})
_SOURCE = {"source", "confidence"}
_SHORTEST = timedelta(microseconds=1)
_MAX_SIGNATURES = 16  # of an envelope
_MAX_WARNINGS = 16
_MOST_PERCENT = 99
_TEXT = form.text(20_000)
_RECORDABLE = form.text(MAX_PROCEDURE)


def parse_procedure(text: str) -> Procedure:
    """Returns the procedure that a TOML text says.

    Raises:
        InputError: The text could not be put on record, is no TOML, breaks the format, or contradicts itself; all
            violations are listed.
    """
    if wrong := _RECORDABLE(text):
        raise InputError("The procedure could not be put on record", (Violation("document", wrong),))
    document = parse_toml(text, "procedure", MAX_PROCEDURE)
    reader = _Reader("procedure")
    reader.no_more("", document, _DOCUMENT)
    defaults = reader.table("defaults", document.get("defaults"))
    reader.no_more("defaults", defaults, _TERMS)
    entries = reader.tables(document, "rule")
    if not 1 <= len(entries) <= MAX_RULES:
        reader.refuse("rule", f"must be from 1 to {MAX_RULES} [[rule]] tables")
    vague = reader.names("vague_categories", document.get("vague_categories", []), Category)
    procedure = Procedure(
        id=reader.text("id", document.get("id"), form.organisation),
        version=reader.within("version", reader.number("version", document.get("version")), 1, 2**31 - 1),
        title=reader.text("title", document.get("title")),
        rules=tuple(reader.rule(n, one, defaults) for n, one in enumerate(entries[:MAX_RULES])),
        escalations=tuple(reader.escalation(n, one) for n, one in enumerate(reader.tables(document, "escalation"))),
        warnings=tuple(reader.stage(n, one) for n, one in enumerate(reader.tables(document, "warning"))),
        emergency=reader.emergency(document.get("emergency")),
        limits=reader.limits(document.get("limits")),
        texts=tuple(reader.template(n, one) for n, one in enumerate(reader.tables(document, "text"))),
        vague=VAGUE | frozenset(vague),
    )
    reader.violations += list(contradictions.find(procedure, reader.violations))
    if reader.violations:
        raise InputError("The procedure breaks its format", tuple(dict.fromkeys(reader.violations)))
    return procedure


class _Reader(Reader):
    """Reads the tables of a procedure."""

    def rule(self, position: int, entry: dict[str, Any], defaults: dict[str, Any]) -> Rule:
        at = f"rule[{position}]"
        self.no_more(at, entry, _CONDITIONS | _TERMS)
        if "decided" not in entry and "decided" not in defaults:
            self.refuse(f"{at}.decided", "is required: every flag is answered in the end")
        identifier = self.text(f"{at}.id", entry.get("id"), form.organisation)
        return Rule(identifier, self.conditions(at, entry), self.terms(_Overlaid(at, entry, defaults)))

    def conditions(self, at: str, entry: dict[str, Any]) -> Conditions:
        before = len(self.violations)
        conditions = Conditions(
            instruments=frozenset(self.names(f"{at}.instruments", entry.get("instruments", []), Instrument)),
            categories=frozenset(self.names(f"{at}.categories", entry.get("categories", []), Category)),
            sub_categories=frozenset(self.names(f"{at}.sub_categories", entry.get("sub_categories", []), SubCategory)),
            urgencies=frozenset(self.names(f"{at}.urgencies", entry.get("urgencies", []), Urgency)),
        )
        # A rule that was misread is for nothing: without its wrong names it might be for all that others are for.
        return conditions if len(self.violations) == before else Conditions(instruments=_NONE)

    def terms(self, of: _Overlaid) -> Terms:
        read = {answer: self.answer(*of.at(answer.value)) for answer in Answer}
        actions = self.names(*of.at("allowed_actions", []), RequestedAction)
        inherited = self.sources("defaults.sources", of.defaults.get("sources"), of.defaults)
        return Terms(
            answers={answer: within for answer, within in read.items() if within is not None},
            warn_at=self.fractions(*of.at("warn_at", [])),
            shortest=self.duration(*of.at("shortest")),
            clarification=self.clarification(*of.at("clarification")),
            force_majeure=self.optional_word(*of.at("force_majeure"), ClockMode),
            approvals=self.approvals(*of.at("approvals")),
            expires_within=self.duration(*of.at("expires_within")),
            counted_apart=self.flag(*of.at("counted_apart", False)),
            allowed_actions=frozenset(actions),
            broad_targets=self.flag(*of.at("broad_targets", False)),
            requires=self.fields(*of.at("requires", [])),
            trusted_first=self.flag(*of.at("trusted_first", False)),
            warning_interval=self.duration(*of.at("warning_interval")),
            sources={name: one for name, one in inherited.items() if name not in of.entry}
            | self.sources(f"{of.here}.sources", of.entry.get("sources"), of.defaults | of.entry),
        )

    def answer(self, at: str, value: Any) -> Within | None:
        if value is None:
            return None
        entry = self.table(at, value)
        self.no_more(at, entry, {"since", "within", "end_of_day"})
        since = self.word(f"{at}.since", entry.get("since"), Since)
        span, zone = self.duration(f"{at}.within", entry.get("within")), ""
        if ("within" in entry) is ("end_of_day" in entry):
            self.refuse(at, "must say either within or end_of_day")
            return None
        if "end_of_day" in entry:
            zone = self.text(f"{at}.end_of_day", entry["end_of_day"])
            if zone and not zone_exists(zone):
                self.refuse(f"{at}.end_of_day", "is no time zone that this machine knows (the package tzdata has all)")
        return Within(since, span, zone) if since and (span or zone) else None

    def duration(self, at: str, value: Any, least: timedelta = _SHORTEST) -> timedelta | None:
        if value is None:
            return None
        try:
            duration = parse_duration(self.text(at, value) or "PT1S")
        except ValueError as error:
            self.refuse(at, str(error))
            return None
        if duration < least:
            self.refuse(at, "must be more than no time at all")
            return None
        return duration

    def fractions(self, at: str, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or not all(type(one) is float and 0 < one < 1 for one in value):
            self.refuse(at, "must be numbers between 0 and 1, both excluded")
            return ()
        if value != sorted(set(value)) or len(value) > _MAX_WARNINGS:
            self.refuse(at, f"must increase, and be at most {_MAX_WARNINGS}")
            return ()
        whole = [percent(one) for one in value]
        if len(set(whole)) < len(whole) or not all(1 <= one <= _MOST_PERCENT for one in whole):
            self.refuse(at, f"must be 0.01 to 0.{_MOST_PERCENT}, and differ, when rounded to hundredths")
            return ()
        return tuple(value)

    def clarification(self, at: str, value: Any) -> Clarification | None:
        if value is None:
            return None
        entry = self.table(at, value)
        self.no_more(at, entry, {"clock", "answer_within", "lapses"})
        clock = self.word(f"{at}.clock", entry.get("clock"), ClockMode)
        answer_within = self.duration(f"{at}.answer_within", entry.get("answer_within"))
        lapses = self.flag(f"{at}.lapses", entry.get("lapses", False))
        if lapses and "answer_within" not in entry:
            self.refuse(f"{at}.lapses", "needs answer_within: otherwise nobody knows when")
        return Clarification(clock, answer_within, lapses) if clock else None

    def approvals(self, at: str, value: Any) -> Approvals:
        entry = self.table(at, value)
        self.no_more(at, entry, {"signatures", "deciding_body"})
        signatures = self.number(f"{at}.signatures", entry.get("signatures", 1))
        return Approvals(
            self.within(f"{at}.signatures", signatures, 1, _MAX_SIGNATURES),
            self.flag(f"{at}.deciding_body", entry.get("deciding_body", False)),
        )

    def fields(self, at: str, value: Any) -> frozenset[str]:
        read = frozenset(self.texts(at, value))
        if not read <= REQUIRABLE:
            self.refuse(at, f"has a name that is none of {', '.join(sorted(REQUIRABLE))}")
        return read & REQUIRABLE

    def escalation(self, position: int, entry: dict[str, Any]) -> Escalation:
        at = f"escalation[{position}]"
        self.no_more(at, entry, {"answer", "from", "unseen_for", "step", *_SOURCE})
        entries = self.tables(entry, "step", at)
        if not entries:
            self.refuse(f"{at}.step", "is required: an escalation reaches somebody")
        if len(entries) > MAX_STEPS:
            self.refuse(f"{at}.step", f"must be at most {MAX_STEPS} tables")
        steps = [self.step(f"{at}.step[{n}]", one) for n, one in enumerate(entries[:MAX_STEPS])]
        return Escalation(
            answer=self.word(f"{at}.answer", entry.get("answer"), Answer) or Answer.RECEIVED,
            counted_from=self.word(f"{at}.from", entry.get("from", From.MISSED.value), From) or From.MISSED,
            steps=tuple(steps),
            unseen_for=self.duration(f"{at}.unseen_for", entry.get("unseen_for")),
            source=self.source(at, entry),
        )

    def step(self, at: str, entry: dict[str, Any]) -> Step:
        self.no_more(at, entry, {"after", "to", *_SOURCE})
        after = self.duration(f"{at}.after", entry.get("after", ""), timedelta(0))
        to = self.words(f"{at}.to", entry.get("to", []), Contact)
        if not to:
            self.refuse(f"{at}.to", "is required: whom the step reaches")
        if len(set(to)) < len(to):
            self.refuse(f"{at}.to", "names one contact twice")
        return Step(after or timedelta(0), to, self.source(at, entry))

    def stage(self, position: int, entry: dict[str, Any]) -> Stage:
        at = f"warning[{position}]"
        self.no_more(at, entry, {"stage", "after", "needs", "signatures", "within", *_SOURCE})
        signatures = self.number(f"{at}.signatures", entry.get("signatures", 1))
        return Stage(
            stage=self.word(f"{at}.stage", entry.get("stage"), WarningStage) or WarningStage.ORDER,
            after=self.optional_word(f"{at}.after", entry.get("after"), WarningStage),
            needs=self.words(f"{at}.needs", entry.get("needs", []), Precondition),
            signatures=self.within(f"{at}.signatures", signatures, 1, _MAX_SIGNATURES),
            within=self.duration(f"{at}.within", entry.get("within")),
            source=self.source(at, entry),
        )

    def emergency(self, value: Any) -> Emergency | None:
        if value is None:
            return None
        entry = self.table("emergency", value)
        self.no_more("emergency", entry, {"stages", "signatures", *_SOURCE})
        stages = self.words("emergency.stages", entry.get("stages", []), WarningStage)
        if not stages:
            self.refuse("emergency.stages", "are required: the stages that may be reached in an emergency")
        signatures = self.number("emergency.signatures", entry.get("signatures"))
        return Emergency(frozenset(stages), signatures, self.source("emergency", entry))

    def limits(self, value: Any) -> Limits:
        entry = self.table("limits", value)
        self.no_more("limits", entry, {*LIMITS, "sources"})
        numbers = {
            name: self.within(f"limits.{name}", self.number(f"limits.{name}", entry[name]), 1, 2**31 - 1)
            for name in ("targets", "flags_per_day", "restrictions")
            if name in entry
        }
        return Limits(
            **numbers,
            non_disclosure=self.duration("limits.non_disclosure", entry.get("non_disclosure")),
            first_order_notice=self.duration("limits.first_order_notice", entry.get("first_order_notice")),
            sources=self.sources("limits.sources", entry.get("sources"), entry),
        )

    def template(self, position: int, entry: dict[str, Any]) -> Template:
        at = f"text[{position}]"
        self.no_more(at, entry, {"name", "language", "text"})
        text = self.text(f"{at}.text", entry.get("text"), _TEXT)
        if not set(PLACEHOLDER.findall(text)) <= PLACEHOLDERS:
            self.refuse(f"{at}.text", f"has a place in braces that is none of {', '.join(sorted(PLACEHOLDERS))}")
        return Template(
            self.text(f"{at}.name", entry.get("name"), form.line(100)),
            self.text(f"{at}.language", entry.get("language"), form.language),
            text,
        )

    def sources(self, at: str, value: Any, entry: Mapping[str, Any]) -> dict[str, Source]:
        """The table of sources beside other fields, by the name of the field whose value it explains."""
        read = {}
        for name, one in self.table(at, value).items():
            if name not in entry or name == "sources":
                self.refuse(f"{at}.{name}", "explains a field that is not set here")
            source = self.source(f"{at}.{name}", self.table(f"{at}.{name}", one), required=True)
            if source is not None:
                read[name] = source
        return read

    def source(self, at: str, entry: dict[str, Any], *, required: bool = False) -> Source | None:
        """The source that stands beside a value, in the same table."""
        if not required and not entry.keys() & _SOURCE:
            return None
        source = self.text(f"{at}.source", entry.get("source"))
        confidence = self.word(f"{at}.confidence", entry.get("confidence"), Confidence)
        if required:
            self.no_more(at, entry, _SOURCE)
        return Source(source, confidence) if confidence else None

    def within(self, at: str, number: int, least: int, most: int) -> int:
        if wrong := form.number(least, most)(number):
            self.refuse(at, wrong)
        return number

    def optional_word(self, at: str, value: Any, kind: type[_S]) -> _S | None:
        return None if value is None else self.word(at, value, kind)

    def words(self, at: str, value: Any, kind: type[_S]) -> tuple[_S, ...]:
        read = [self.word(at, one, kind) for one in self.texts(at, value)]
        return tuple(one for one in read if one is not None)


class _Overlaid:
    """A rule's table over the defaults: each field with the path where it stands."""

    def __init__(self, here: str, entry: dict[str, Any], defaults: dict[str, Any]) -> None:
        self.here = here
        self.entry = entry
        self.defaults = defaults

    def at(self, name: str, otherwise: Any = None) -> tuple[str, Any]:
        """The path of a field, and its value."""
        if name in self.entry or name not in self.defaults:
            return f"{self.here}.{name}", self.entry.get(name, otherwise)
        return f"defaults.{name}", self.defaults[name]
