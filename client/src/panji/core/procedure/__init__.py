"""The standard operating procedure as versioned data: deadlines and ladders are data, never code.

``deadlines`` are instants and spans, ``clock`` what stops them, ``terms`` what a rule says and for which flags,
``ladders`` whom silence reaches and what may be said next, ``document`` the whole, ``parsing`` its TOML,
``contradictions`` what it may not say, ``simulation`` what would happen on a day. All of it is pure: time is an
argument. ``docs/procedure.md`` describes the format.
"""

from __future__ import annotations

from panji.core.procedure.clock import ClockMode, Pause
from panji.core.procedure.deadlines import Answer, Since, Within, due, warnings
from panji.core.procedure.document import Limits, Procedure, Template
from panji.core.procedure.ladders import Contact, Emergency, Escalation, From, Precondition, Stage, Step, WarningStage
from panji.core.procedure.parsing import parse_procedure
from panji.core.procedure.terms import (
    Approvals,
    Cause,
    Clarification,
    Conditions,
    Confidence,
    Rule,
    Source,
    Terms,
)

__all__ = [
    "Answer",
    "Approvals",
    "Cause",
    "Clarification",
    "ClockMode",
    "Conditions",
    "Confidence",
    "Contact",
    "Emergency",
    "Escalation",
    "From",
    "Limits",
    "Pause",
    "Precondition",
    "Procedure",
    "Rule",
    "Since",
    "Source",
    "Stage",
    "Step",
    "Template",
    "Terms",
    "WarningStage",
    "Within",
    "due",
    "parse_procedure",
    "warnings",
]
