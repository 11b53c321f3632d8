"""May they? Every kind by every role, to everyone, and what accreditations cover."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.procedures import a_procedure
from support.rooms import (
    LATER,
    OTHER_MINISTRY,
    ROLES,
    a_directory,
    an_accreditation,
    an_organisation,
)
from support.statements import (
    MINISTRY,
    OPERATOR,
    PLATFORM,
    STRANGER,
    a_body,
    a_flag,
    a_statement,
    a_target,
)

from panji.core.vocabulary import RECORDS, Category, Instrument, Kind, RequestedAction, Role, SubCategory, TargetKind
from panji.errors import Reason, RefusedError
from panji_server import policy

if TYPE_CHECKING:
    from panji.core.directory import Accreditation, Organisation
    from panji.core.statements import Flag, Statement

BY_AUTHORITIES = {
    Kind.FLAG, Kind.WITHDRAWAL, Kind.CLARIFICATION_ANSWER, Kind.CORRESPONDENCE, Kind.VERIFICATION, Kind.OBJECTION,
    Kind.REVIEW, Kind.RESTORE_ORDER,
}  # fmt: skip
BY_THE_OPERATOR = {Kind.DEADLINE_MISSED, Kind.ERASURE, Kind.DIRECTORY_RECORD, Kind.PROCEDURE_RECORD}
BY_PLATFORMS = {
    Kind.ACKNOWLEDGEMENT, Kind.CLARIFICATION_REQUEST, Kind.DECISION, Kind.CORRESPONDENCE, Kind.VERIFICATION_REQUEST,
    Kind.OBSTACLE, Kind.OBSTACLE_ENDED, Kind.CORRECTION, Kind.OBJECTION, Kind.COUNTER_NOTICE, Kind.REVIEW,
    Kind.RESTORATION,
}  # fmt: skip


def refusal(
    statement: Statement, caller: str, *grants: Accreditation, instead: tuple[Organisation, ...] = ()
) -> RefusedError | None:
    """Why the statement is refused, or nothing."""
    directory = a_directory(*instead, accreditations=grants or None)
    try:
        policy.check(statement, an_organisation(caller), directory, LATER)
    except RefusedError as refused:
        return refused
    return None


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("caller", [MINISTRY, PLATFORM, OPERATOR])
def test_every_kind_is_made_by_the_roles_that_the_state_machine_lets_make_it(kind: Kind, caller: str) -> None:
    other = PLATFORM if caller == MINISTRY else MINISTRY
    other = OPERATOR if kind in RECORDS else other
    statement = replace(a_statement(a_body(kind)), sender=caller, recipient=other)
    refused = refusal(statement, caller)
    allowed = {Role.AUTHORITY: BY_AUTHORITIES, Role.PLATFORM: BY_PLATFORMS, Role.OPERATOR: BY_THE_OPERATOR}[
        ROLES[caller]
    ]
    if kind in allowed:
        assert refused is None
    else:
        assert refused is not None
        assert refused.reason is Reason.ROLE_NOT_ALLOWED
        assert refused.metadata == {"role": ROLES[caller].value, "kind": kind.value}


def test_a_statement_in_anothers_name_is_refused() -> None:
    """Attack: a platform relays a flag that it signed itself as the ministry's."""
    refused = refusal(a_statement(), PLATFORM)
    assert refused is not None
    assert refused.reason is Reason.SENDER_MISMATCH


@pytest.mark.parametrize("recipient", ["nobody", MINISTRY, OTHER_MINISTRY, OPERATOR])
def test_a_statement_to_nobody_on_the_other_side_is_refused(recipient: str) -> None:
    if recipient == MINISTRY:
        statement, caller = replace(a_statement(a_body(Kind.DECISION)), recipient=STRANGER), PLATFORM
    else:
        statement, caller = replace(a_statement(), recipient=recipient), MINISTRY
    refused = refusal(statement, caller)
    assert refused is not None
    assert refused.reason is Reason.RECIPIENT_UNKNOWN
    assert refused.metadata == {"recipient": statement.recipient}


@pytest.mark.parametrize("changes", [{"suspended": True}, {"participants": ()}], ids=["suspended", "no participants"])
def test_no_flag_is_taken_for_whom_nobody_can_fetch_it_while_answers_still_are(changes: dict[str, Any]) -> None:
    """Else its deadline would run, and the exchange state a silence of somebody whom it had shut out itself."""
    refused = refusal(a_statement(), MINISTRY, instead=(an_organisation(PLATFORM, **changes),))
    assert refused is not None
    assert refused.reason is Reason.RECIPIENT_UNREACHABLE
    assert refused.metadata == {"recipient": PLATFORM}
    answer = replace(a_statement(a_body(Kind.DECISION)), sender=PLATFORM, recipient=MINISTRY)
    assert refusal(answer, PLATFORM, instead=(an_organisation(MINISTRY, **changes),)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"platform": PLATFORM},
        {"valid_from": LATER},
        {"valid_until": LATER + timedelta(microseconds=1)},
        {"categories": frozenset({Category.GAMBLING, Category.HATE})},
        {"target_kinds": frozenset({TargetKind.POST})},
        {"instruments": frozenset({Instrument.ORDER})},
    ],
    ids=lambda changes: ", ".join(changes) or "everything",
)
def test_a_flag_within_what_was_granted_passes(changes: dict[str, Any]) -> None:
    assert refusal(a_statement(), MINISTRY, an_accreditation(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"authority": OTHER_MINISTRY}, "any flag to this platform at this time"),
        ({"platform": STRANGER}, "any flag to this platform at this time"),
        ({"valid_from": LATER + timedelta(microseconds=1)}, "any flag to this platform at this time"),
        ({"valid_until": LATER}, "any flag to this platform at this time"),
        ({"categories": frozenset({Category.HATE})}, "category GAMBLING"),
        ({"target_kinds": frozenset({TargetKind.ACCOUNT})}, "target kind POST"),
        ({"instruments": frozenset({Instrument.COURT_ORDER})}, "instrument ORDER"),
    ],
)
def test_a_flag_beyond_what_was_granted_is_refused_and_told_what_is_lacking(
    changes: dict[str, Any], lacking: str
) -> None:
    refused = refusal(a_statement(), MINISTRY, an_accreditation(**changes))
    assert refused is not None
    assert refused.reason is Reason.NOT_ACCREDITED
    assert refused.metadata == {"not_covered": lacking}


def test_grants_do_not_add_up_one_must_cover_the_whole_flag() -> None:
    """Otherwise a grant for one category and another for one kind of target would give both together."""
    grants = [
        an_accreditation(categories=frozenset({Category.GAMBLING}), target_kinds=frozenset({TargetKind.ACCOUNT})),
        an_accreditation(categories=frozenset({Category.HATE}), target_kinds=frozenset({TargetKind.POST})),
        an_accreditation(categories=frozenset({Category.HATE})),
    ]
    refused = refusal(a_statement(), MINISTRY, *grants)
    assert refused is not None
    assert refused.metadata == {"not_covered": "target kind POST; category GAMBLING"}
    assert refusal(a_statement(), MINISTRY, *grants, an_accreditation()) is None


def test_one_target_outside_the_grant_is_enough_to_refuse() -> None:
    targets = (a_target(), a_target(kind=TargetKind.URL, url="https://t.example/x"))
    refused = refusal(
        a_statement(a_flag(targets=targets)),
        MINISTRY,
        an_accreditation(target_kinds=frozenset({TargetKind.POST})),
    )
    assert refused is not None
    assert refused.metadata == {"not_covered": "target kind URL"}


def test_only_flags_need_an_accreditation() -> None:
    withdrawal = a_statement(a_body(Kind.WITHDRAWAL))
    assert refusal(withdrawal, MINISTRY, an_accreditation(authority=OTHER_MINISTRY)) is None


def test_a_sub_category_stands_under_its_categorys_grant() -> None:
    flag = a_flag(category=Category.DEFAMATION, sub_category=SubCategory.UNSPECIFIED)
    grant = an_accreditation(categories=frozenset({Category.DEFAMATION}))
    assert refusal(a_statement(flag), MINISTRY, grant) is None


# As the sides have agreed

NEEDS_TWO = """
[[rule]]
id = "gambling"
categories = ["GAMBLING"]
decided = { since = "delivered", within = "PT24H" }
approvals = { signatures = 2 }
allowed_actions = ["REMOVE"]
"""


def objection(flag: Flag, persons: int) -> RefusedError | None:
    """Why the procedure does not let the flag pass, or nothing."""
    try:
        policy.check_procedure(flag, persons, a_procedure(NEEDS_TWO), LATER)
    except RefusedError as refused:
        return refused
    return None


def test_a_flag_of_which_the_procedure_says_nothing_is_refused() -> None:
    refused = objection(a_flag(category=Category.DEFAMATION, sub_category=SubCategory.UNSPECIFIED), 2)
    assert refused is not None
    assert refused.reason is Reason.NOT_IN_PROCEDURE
    assert refused.metadata == {"not_covered": "category DEFAMATION", "procedure": "test", "version": "1"}


def test_a_flag_that_is_not_as_its_rule_asks_is_told_every_field() -> None:
    refused = objection(a_flag(requested_actions=(RequestedAction.REMOVE, RequestedAction.SUSPEND_ACCOUNT)), 2)
    assert refused is not None
    assert refused.reason is Reason.PROCEDURE_NOT_MET
    assert [one.field for one in refused.violations] == ["flag.requested_actions"]
    assert refused.metadata == {"procedure": "test", "version": "1", "rule": "gambling"}


@pytest.mark.parametrize("persons", [0, 1])
def test_a_flag_that_too_few_persons_have_signed_is_told_how_many_it_takes(persons: int) -> None:
    refused = objection(a_flag(), persons)
    assert refused is not None
    assert refused.reason is Reason.APPROVALS_MISSING
    assert refused.metadata["needed"] == "2"
    assert refused.metadata["persons"] == str(persons)


def test_a_flag_as_agreed_on_passes() -> None:
    assert objection(a_flag(), 2) is None
    assert objection(a_flag(), 3) is None
