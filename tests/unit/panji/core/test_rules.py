"""The form of statements. The tables say again, apart from the code, what statement.proto says in its comments."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.statements import (
    DIGEST,
    NOON,
    PLATFORM,
    a_body,
    a_clarification_answer,
    a_clarification_request,
    a_counter_notice,
    a_deadline_missed,
    a_decision,
    a_flag,
    a_full_body,
    a_full_flag,
    a_question,
    a_restore_order,
    a_statement,
    a_target,
    a_target_decision,
    a_verification_request,
    a_withdrawal,
    an_erased_statement,
    an_erasure,
    an_evidence,
    an_id,
    an_objection,
    changed,
)

from panji.core.rules import ENOUGH
from panji.core.statements import KIND_OF, Body, ContentHash, Target
from panji.core.vocabulary import (
    CATEGORIES_WITH_SUB_CATEGORIES,
    OPENING,
    Category,
    Ground,
    HashAlgorithm,
    Instrument,
    Kind,
    Outcome,
    RefusalReason,
    RequestedAction,
    SubCategory,
    TargetKind,
)
from panji.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

NAIVE = datetime(2026, 5, 4)  # noqa: DTZ001 - no field may hold one
REPOSITORY = Path(__file__).parents[4]
TAKEDOWNS = Path(os.environ.get("PANJI_SHARED", REPOSITORY.parent / "shared"), "data", "gov-takedowns.jsonl")


def wrong_in(body: Body | None = None, **frame: Any) -> dict[str, str]:
    """What is wrong with a statement around the body, by field."""
    try:
        a_statement(body, **frame)
    except InputError as error:
        return {one.field: one.description for one in error.violations}
    return {}


def complaints_about(path: str, content: Any) -> list[str]:
    """What is said of a field with this content, in a statement that is otherwise full and right."""
    kind, _, field = path.partition(".")
    try:
        a_statement(changed(a_full_body(Kind(kind)), field, content))
    except InputError as error:
        return [one.description for one in error.violations if one.field == path]
    return []


@pytest.mark.parametrize("kind", Kind)
def test_the_made_statements_are_right(kind: Kind) -> None:
    assert wrong_in(a_body(kind)) == wrong_in(a_full_body(kind)) == {}


# Texts

LINE, TEXT = "line", "text"
TEXTS = {
    # field: (most characters, lines or running text, required)
    "flag.reasons": (20_000, TEXT, True),
    "flag.reference": (200, LINE, False),
    "flag.proportionality": (5_000, TEXT, False),
    "flag.redress": (5_000, TEXT, False),
    "flag.legal_basis[0].law": (500, LINE, True),
    "flag.legal_basis[0].article": (200, LINE, False),
    "flag.targets[0].identifier": (500, LINE, False),
    "flag.targets[0].handle": (200, LINE, False),
    "flag.targets[0].parent_identifier": (500, LINE, False),
    "flag.targets[0].locator_note": (1_000, LINE, False),
    "flag.issuing_authority.name": (300, LINE, True),
    "flag.issuing_authority.contact": (300, LINE, False),
    "flag.deciding_body.name": (300, LINE, True),
    "flag.deciding_body.document_number": (200, LINE, False),
    "flag.evidence[0].description": (1_000, LINE, True),
    "flag.non_disclosure.reason": (1_000, TEXT, True),
    "flag.batch.id": (200, LINE, True),
    "withdrawal.reasons": (5_000, TEXT, True),
    "acknowledgement.platform_reference": (200, LINE, False),
    "acknowledgement.note": (5_000, TEXT, False),
    "clarification_request.questions[0].text": (5_000, TEXT, True),
    "clarification_answer.text": (20_000, TEXT, True),
    "clarification_answer.evidence[0].description": (1_000, LINE, True),
    "decision.platform_reference": (200, LINE, False),
    "decision.note": (5_000, TEXT, False),
    "decision.targets[0].legal_ground": (500, LINE, False),
    "decision.targets[0].terms_clause": (500, LINE, False),
    "decision.targets[0].explanation": (10_000, TEXT, False),
    "decision.targets[0].user_not_notified_reason": (1_000, LINE, False),
    "decision.targets[0].redress[0]": (500, LINE, True),
    "verification_request.reasons": (5_000, TEXT, True),
    "verification.targets[0].reasons": (5_000, TEXT, False),
    "verification.targets[1].reasons": (5_000, TEXT, True),
    "obstacle.reasons": (5_000, TEXT, True),
    "obstacle_ended.note": (5_000, TEXT, False),
    "correction.reasons": (5_000, TEXT, True),
    "correction.targets[0].explanation": (10_000, TEXT, False),
    "objection.reasons": (20_000, TEXT, True),
    "objection.evidence[0].description": (1_000, LINE, True),
    "counter_notice.text": (20_000, TEXT, True),
    "counter_notice.evidence[0].description": (1_000, LINE, True),
    "review.targets[0].reasons": (5_000, TEXT, True),
    "review.targets[1].reasons": (5_000, TEXT, True),
    "restore_order.reasons": (5_000, TEXT, True),
    "restore_order.legal_basis[0].law": (500, LINE, True),
    "restore_order.legal_basis[0].article": (200, LINE, False),
    "restoration.note": (5_000, TEXT, False),
    "restoration.targets[1].explanation": (5_000, TEXT, True),
    "correspondence.subject": (300, LINE, True),
    "correspondence.text": (20_000, TEXT, True),
    "erasure.legal_basis.law": (500, LINE, True),
    "erasure.legal_basis.article": (200, LINE, False),
    "erasure.reasons": (5_000, TEXT, True),
    "erasure.reference": (200, LINE, False),
}


@pytest.mark.parametrize(("path", "most"), [(path, most) for path, (most, _, _) in TEXTS.items()])
def test_a_text_has_its_limit(path: str, most: int) -> None:
    assert complaints_about(path, "x" * most) == []
    assert complaints_about(path, "x" * (most + 1)) == [f"has more than {most} characters"]


@pytest.mark.parametrize(("path", "form"), [(path, form) for path, (_, form, _) in TEXTS.items()])
def test_control_characters_stand_nowhere_and_line_breaks_in_running_text_only(path: str, form: str) -> None:
    assert complaints_about(path, "an escape \x1b[2J")
    assert complaints_about(path, "a carriage\rreturn")
    assert complaints_about(path, "a line separator\u2028")
    assert (complaints_about(path, "a line\nfeed") == []) == (form == TEXT)
    assert (complaints_about(path, "a\ttab") == []) == (form == TEXT)


@pytest.mark.parametrize("path", TEXTS)
def test_no_text_is_blank(path: str) -> None:
    assert complaints_about(path, "   ") == ["is blank"]


# Other forms

FORMS: dict[str, tuple[list[Any], list[Any]]] = {
    # field: (contents that pass, contents that do not)
    "flag.respond_by": ([NOON, None], [NAIVE]),
    "flag.expires_at": ([NOON, None], [NAIVE]),
    "flag.jurisdictions[0]": (["ID", "FR-75"], ["", "Indonesia", "id"]),
    "flag.legal_basis[0].jurisdiction": (["EU"], ["ID-JK", "id"]),
    "flag.targets[0].url": (["https://t.example/x", ""], ["t.example/x", "ftp://t.example/"]),
    "flag.targets[0].observed_at": ([NOON, None], [NAIVE]),
    "flag.targets[0].content_language": (["zh-Hant", ""], ["zh_TW"]),
    "flag.targets[0].snapshot_sha256": ([DIGEST, b""], [DIGEST[:-1]]),
    "flag.targets[1].identifier": (["a.example", "пример.рф"], ["example", "https://a.example", "a..b", "192.0.2.7"]),
    "flag.issuing_authority.jurisdiction": (["ID"], ["IDN"]),
    "flag.deciding_body.document_date": (["2017-07-14", ""], ["14.07.2017", "2017-02-30"]),
    "flag.deciding_body.document_sha256": ([DIGEST, b""], [DIGEST * 2]),
    "flag.evidence[0].sha256": ([DIGEST], [DIGEST[:-1]]),
    "flag.evidence[0].size_bytes": ([0, 2**64 - 1], [-1, 2**64]),
    "flag.evidence[0].media_type": (["video/mp4", ""], ["mp4", f"{'a' * 50}/{'b' * 50}"]),
    "flag.non_disclosure.until": ([NOON], [NAIVE]),
    "flag.batch.position": ([1, 7], [8]),
    "flag.batch.count": ([2, 2**32 - 1], [2**32]),
    "flag.batch.manifest_sha256": ([DIGEST, b""], [b"\x00"]),
    "clarification_answer.evidence[0].sha256": ([DIGEST], [DIGEST[:-1]]),
    "decision.targets[0].target": ([1, 1000], [1001, -1]),
    "decision.targets[0].effective_at": ([NOON, None], [NAIVE]),
    "decision.targets[0].territories[0]": (["ID", "FR-75"], ["", "world"]),
    "decision.targets[0].until": ([NOON, None], [NAIVE]),
    "decision.targets[0].user_notified_at": ([NOON, None], [NAIVE]),
    "decision.targets[0].preserve_until": ([NOON, None], [NAIVE]),
    "decision.targets[1].duplicate_of": ([an_id(7)], ["the other one"]),
    "decision.targets[1].user_not_notified_until": ([NOON, None], [NAIVE]),
    "verification.targets[0].target": ([1, 1000], [1001, -1]),
    "obstacle.expected_until": ([NOON, None], [NAIVE]),
    "counter_notice.submitted_at": ([NOON], [NAIVE]),
    "review.targets[0].target": ([1, 1000], [1001, -1]),
    "restoration.targets[0].target": ([1, 1000], [1001, -1]),
    "restoration.targets[0].effective_at": ([NOON], [NAIVE]),
}


@pytest.mark.parametrize("path", FORMS)
def test_a_field_takes_its_form_and_nothing_else(path: str) -> None:
    passing, failing = FORMS[path]
    assert {repr(content): complaints_about(path, content) for content in passing} == {repr(one): [] for one in passing}
    assert [content for content in failing if not complaints_about(path, content)] == []


VOCABULARIES = {
    # field: may it be left unspecified, in the statement around it?
    "flag.instrument": False,
    "flag.category": False,
    "flag.sub_category": False,
    "flag.urgency": False,
    "flag.targets[0].kind": False,
    "flag.targets[0].hashes[0].algorithm": False,
    "flag.requested_actions[0]": False,
    "flag.issuing_authority.kind": False,
    "flag.deciding_body.kind": False,
    "acknowledgement.level": False,
    "deadline_missed.deadline": False,
    "clarification_request.questions[0].reason": False,
    "decision.targets[0].outcome": False,
    "decision.targets[0].ground": False,
    "decision.targets[0].refusal": True,
    "decision.targets[0].automated_decision": True,
    "verification.targets[0].result": False,
    "verification.targets[1].result": False,
    "obstacle.kind": False,
    "review.targets[0].result": False,
    "review.targets[1].result": False,
    "restoration.targets[0].result": False,
    "restoration.targets[1].result": False,
}


@pytest.mark.parametrize(("path", "optional"), VOCABULARIES.items())
def test_a_number_that_a_vocabulary_does_not_have_is_refused(path: str, optional: bool) -> None:
    assert any("is no value of" in one for one in complaints_about(path, 4711))
    assert (complaints_about(path, 0) == []) == optional


REQUIRED = {
    *(path for path, (_, _, required) in TEXTS.items() if required and not path.endswith("]")),
    *(path for path, optional in VOCABULARIES.items() if not optional and not path.endswith("]")),
    "flag.targets",
    "flag.requested_actions",
    "flag.legal_basis",
    "flag.legal_basis[0].jurisdiction",
    "flag.targets[0].hashes[0].value",
    "flag.targets[1].kind",
    "flag.targets[1].identifier",
    "flag.issuing_authority.jurisdiction",
    "flag.deciding_body",
    "flag.proportionality",
    "flag.evidence[0].sha256",
    "flag.non_disclosure.until",
    "flag.batch.position",
    "flag.batch.count",
    "clarification_request.questions",
    "clarification_answer.evidence[0].sha256",
    "decision.targets",
    "decision.targets[0].target",
    "decision.targets[0].territories",
    "decision.targets[1].target",
    "decision.targets[1].outcome",
    "decision.targets[1].refusal",
    "decision.targets[1].explanation",
    "decision.targets[1].duplicate_of",
    "verification.targets",
    "verification.targets[0].target",
    "verification.targets[1].target",
    "correction.targets",
    "correction.targets[0].target",
    "correction.targets[0].outcome",
    "correction.targets[0].ground",
    "correction.targets[0].territories",
    "correction.targets[1].target",
    "correction.targets[1].outcome",
    "correction.targets[1].refusal",
    "correction.targets[1].explanation",
    "correction.targets[1].duplicate_of",
    "objection.evidence[0].sha256",
    "counter_notice.submitted_at",
    "counter_notice.evidence[0].sha256",
    "review.targets",
    "review.targets[0].target",
    "review.targets[1].target",
    "restore_order.legal_basis[0].jurisdiction",
    "restoration.targets",
    "restoration.targets[0].target",
    "restoration.targets[1].target",
    "deadline_missed.due_at",
    "erasure.legal_basis.jurisdiction",
    "erasure.statements",
    "erasure.statements[0].digest",
    "erasure.statements[0].recipient",
    "erasure.statements[0].sequence",
    "directory_record.document",
    "procedure_record.document",
}
EMPTY = {str: "", bytes: b"", tuple: (), int: 0, bool: False, datetime: None}


def every_field(value: Any, path: str) -> list[tuple[str, Any]]:
    """Every field of a body with its path, and those of what it holds."""
    if isinstance(value, tuple):
        return [pair for n, one in enumerate(value) for pair in every_field(one, f"{path}[{n}]")]
    if not dataclasses.is_dataclass(value):
        return []
    fields = [(f"{path}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    return fields + [pair for name, content in fields for pair in every_field(content, name)]


@pytest.mark.parametrize("kind", Kind)
def test_exactly_the_required_fields_may_not_be_left_out(kind: Kind) -> None:
    """Empties each field of a full statement in turn: what then is complained about is what the contract requires."""
    required = set()
    for path, content in every_field(a_full_body(kind), kind.value):
        empty = 0 if isinstance(content, IntEnum) else EMPTY.get(type(content))
        if (
            path in {"flag.issuing_authority", "erasure.legal_basis"} or not content
        ):  # is never None, or is empty already
            continue
        if any("required" in one or "is not from 1 to count" in one for one in complaints_about(path, empty)):
            required.add(path)
    assert required == {path for path in REQUIRED if path.startswith(f"{kind.value}.")}


# The frame


@pytest.mark.parametrize(
    ("field", "content", "complaint"),
    [
        ("id", "", "is required"),
        ("id", "17", "is no UUIDv7 in lower-case text"),
        ("exchange", "", "is required"),
        ("exchange", "exchange.example/log\n", "has a control character or a line break"),
        ("exchange", "x" * 201, "has more than 200 characters"),
        ("sender", "", "is required"),
        ("sender", "Kominfo", "is no organisation id (1 to 63 of a-z, 0-9, '.', '-')"),
        ("recipient", "", "is required"),
        ("recipient", "../platform", "is no organisation id (1 to 63 of a-z, 0-9, '.', '-')"),
        ("issued_at", None, "is required"),
        ("issued_at", NAIVE, "has no time zone"),
        ("language", "", "is required"),
        ("language", "bahasa indonesia", "is no BCP 47 language tag"),
        ("case_id", an_id(1), "stands in replies only; a flag opens a case"),
        ("in_reply_to", DIGEST, "stands in replies only; a flag opens a case"),
    ],
)
def test_a_wrong_frame_is_refused(field: str, content: Any, complaint: str) -> None:
    assert wrong_in(**{field: content}) == {field: complaint}


def test_nobody_speaks_to_itself() -> None:
    assert wrong_in(sender=PLATFORM) == {"recipient": "is the sender itself"}


def test_only_the_directory_is_recorded_for_the_operator_itself() -> None:
    assert wrong_in(a_body(Kind.DIRECTORY_RECORD)) == {}
    assert wrong_in(a_body(Kind.DIRECTORY_RECORD), case_id=an_id(1)) == {
        "case_id": "stands in replies only; a flag opens a case"
    }


def test_a_missed_deadline_names_who_fetched_the_flag_with_the_time_or_neither() -> None:
    complaint = {"deadline_missed.delivered_to": "stands with delivered_at, and only with it"}
    assert wrong_in(a_deadline_missed(delivered_at=NOON)) == complaint
    assert wrong_in(a_deadline_missed(delivered_to="spiffe://exchange.example/telegram/gateway")) == complaint


def test_an_erasure_names_what_it_erases() -> None:
    assert wrong_in(an_erasure(statements=())) == {"erasure.statements": "are required"}
    first, nameless = an_erased_statement(), an_erased_statement(index=2, digest=b"")
    assert set(wrong_in(an_erasure(statements=(first, nameless)))) == {"erasure.statements[1].digest"}
    for another in (first, an_erased_statement(index=0)):
        wrong = wrong_in(an_erasure(statements=(first, another)))
        assert wrong == {"erasure.statements": "are not in the log's order, each once"}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in OPENING])
def test_a_reply_names_its_case_and_the_envelope_that_it_answers(kind: Kind) -> None:
    assert wrong_in(a_body(kind), case_id="", in_reply_to=b"") == {
        "case_id": "is required",
        "in_reply_to": "is required",
    }
    assert set(wrong_in(a_body(kind), case_id="17", in_reply_to=b"17")) == {"case_id", "in_reply_to"}


def test_every_violation_comes_at_once_in_the_frame_and_in_the_depths() -> None:
    flag = a_flag(
        instrument=99,
        reasons="",
        requested_actions=(),
        targets=(
            a_target(),
            a_target(
                url="no address", handle="two\nlines", hashes=(ContentHash(algorithm=HashAlgorithm.MD5, value="0"),)
            ),
        ),
    )
    assert set(wrong_in(flag, id="", language="?", case_id="x", in_reply_to=b"x")) == {
        "id",
        "language",
        "case_id",
        "in_reply_to",
        "flag.instrument",
        "flag.reasons",
        "flag.requested_actions",
        "flag.targets[1].url",
        "flag.targets[1].handle",
        "flag.targets[1].hashes[0].value",
    }


def test_a_violation_never_repeats_what_was_written_for_it_may_be_content() -> None:
    content = "hush-hush \x00"
    flag = a_flag(reasons=content, reference=content, targets=(a_target(url=f"https://{content}/", handle=content),))
    with pytest.raises(InputError) as caught:
        a_statement(flag, id=content, language=content)
    assert "hush" not in str(caught.value)


# Lists


def many(count: int) -> tuple[Target, ...]:
    return tuple(a_target(url=f"https://t.example/{n}") for n in range(count))


HASH = ContentHash(algorithm=HashAlgorithm.TLSH, value="T1")
LISTS: dict[str, tuple[int, Callable[[int], Body]]] = {
    # field: (most items, a body with so many)
    "flag.targets": (1000, lambda n: a_flag(targets=many(n))),
    "flag.legal_basis": (32, lambda n: a_flag(legal_basis=a_flag().legal_basis * n)),
    "flag.jurisdictions": (300, lambda n: a_flag(jurisdictions=("ID",) * n)),
    "flag.evidence": (64, lambda n: a_flag(evidence=(an_evidence(),) * n)),
    "flag.targets[0].hashes": (16, lambda n: a_flag(targets=(a_target(hashes=(HASH,) * n),))),
    "clarification_request.questions": (1000, lambda n: a_clarification_request(*[a_question()] * n)),
    "clarification_answer.evidence": (64, lambda n: a_clarification_answer(evidence=(an_evidence(),) * n)),
    "objection.evidence": (64, lambda n: an_objection(evidence=(an_evidence(),) * n)),
    "counter_notice.evidence": (64, lambda n: a_counter_notice(evidence=(an_evidence(),) * n)),
    "restore_order.legal_basis": (32, lambda n: a_restore_order(legal_basis=a_flag().legal_basis * n)),
    "decision.targets[0].territories": (300, lambda n: a_decision(a_target_decision(territories=("ID",) * n))),
    "decision.targets[0].redress": (16, lambda n: a_decision(a_target_decision(redress=("Write.",) * n))),
}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_its_limit(path: str) -> None:
    most, body_with = LISTS[path]
    assert wrong_in(body_with(most)) == {}
    assert wrong_in(body_with(most + 1)) == {path: f"are more than {most}"}


def test_a_thousand_targets_can_be_decided_and_no_more() -> None:
    assert wrong_in(a_decision(*range(1, 1001))) == {}
    assert set(wrong_in(a_decision(*range(1, 1002)))) == {"decision.targets"}


def test_of_too_many_items_none_is_looked_at_so_that_nobody_buys_work_and_a_long_answer() -> None:
    empty = Target(kind=TargetKind.UNSPECIFIED)
    assert wrong_in(a_flag(targets=(empty,) * 100_000)) == {"flag.targets": "are more than 1000"}


# Flags


@pytest.mark.parametrize("instrument", [one for one in Instrument if one])
def test_what_each_instrument_needs(instrument: Instrument) -> None:
    bare = a_flag(instrument=instrument, legal_basis=())
    needs = {
        Instrument.NOTICE: {"flag.good_faith"},
        Instrument.REFERRAL: set(),
        Instrument.ORDER: {"flag.legal_basis"},
        Instrument.COURT_ORDER: {"flag.legal_basis", "flag.deciding_body"},
        Instrument.EMERGENCY_ORDER: {"flag.legal_basis"},
        Instrument.PRESERVATION: {"flag.legal_basis", "flag.requested_actions"},
        Instrument.REINSTATEMENT: {"flag.legal_basis"},
    }
    assert set(wrong_in(bare)) == needs[instrument]


def test_a_notice_in_good_faith_may_go_without_a_legal_basis() -> None:
    assert wrong_in(a_flag(instrument=Instrument.NOTICE, legal_basis=(), good_faith=True)) == {}


@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        ((RequestedAction.PRESERVE,), True),
        ((RequestedAction.REMOVE,), False),
        ((RequestedAction.PRESERVE, RequestedAction.REMOVE), False),
    ],
)
def test_a_preservation_asks_to_preserve_and_for_nothing_else(
    actions: tuple[RequestedAction, ...], allowed: bool
) -> None:
    flag = a_flag(instrument=Instrument.PRESERVATION, requested_actions=actions)
    assert (wrong_in(flag) == {}) == allowed


def test_all_actions_may_be_asked_but_none_twice() -> None:
    every = tuple(action for action in RequestedAction if action)
    assert len(every) == 8
    assert wrong_in(a_flag(requested_actions=every)) == {}
    twice = (RequestedAction.REMOVE, RequestedAction.LABEL, RequestedAction.REMOVE)
    assert wrong_in(a_flag(requested_actions=twice)) == {"flag.requested_actions": "name one action twice"}


@pytest.mark.parametrize("category", [category for category in Category if category])
def test_a_category_with_sub_categories_needs_one_and_it_must_be_its_own(category: Category) -> None:
    own = [sub for sub in SubCategory if sub // 100 == category]
    listed = ", ".join(sub.name for sub in own)
    foreign = next(sub for sub in SubCategory if sub and sub // 100 != category)
    assert bool(own) == (category in CATEGORIES_WITH_SUB_CATEGORIES)
    without = wrong_in(a_flag(category=category, sub_category=SubCategory.UNSPECIFIED))
    assert without == ({"flag.sub_category": f"is required for this category: {listed}"} if own else {})
    for sub in own:
        assert wrong_in(a_flag(category=category, sub_category=sub)) == {}
    another = wrong_in(a_flag(category=category, sub_category=foreign))
    assert another == {"flag.sub_category": f"belongs to another category; this one has {listed or 'none'}"}


@pytest.mark.parametrize("kind", [kind for kind in TargetKind if kind])
def test_what_each_kind_of_target_needs_to_be_found(kind: TargetKind) -> None:
    where = "flag.targets[0]"
    by_identifier = {
        TargetKind.DOMAIN,
        TargetKind.IP_ADDRESS,
        TargetKind.EMAIL_ADDRESS,
        TargetKind.PHONE_NUMBER,
        TargetKind.HASHTAG,
        TargetKind.SEARCH_TERM,
    }
    needs = {f"{where}.identifier"} if kind in by_identifier else {where}
    if kind in {TargetKind.URL, TargetKind.PAGE}:
        needs = {f"{where}.url"}
    if kind is TargetKind.MEDIA_HASH:
        needs = {where, f"{where}.hashes"}
    if kind in {TargetKind.DOMAIN, TargetKind.IP_ADDRESS}:
        needs |= {"flag.proportionality"}
    assert set(wrong_in(a_flag(targets=(Target(kind=kind),)))) == needs


@pytest.mark.parametrize(
    "target",
    [
        a_target(),
        a_target(kind=TargetKind.PAGE),
        Target(kind=TargetKind.CHANNEL, handle="@gambling_news"),
        Target(kind=TargetKind.MESSAGE, identifier="17", parent_identifier="-100123"),
        Target(kind=TargetKind.VIDEO, hashes=(HASH,)),
        Target(kind=TargetKind.MEDIA_HASH, hashes=(HASH, ContentHash(algorithm=HashAlgorithm.SHA256, value="0A" * 32))),
        Target(kind=TargetKind.HASHTAG, identifier="#judi"),
    ],
    ids=lambda target: target.kind.name,
)
def test_one_way_to_find_a_target_is_enough(target: Target) -> None:
    assert wrong_in(a_flag(targets=(target,))) == {}


def test_media_is_named_by_a_sha256_and_other_hashes_stand_beside_it() -> None:
    flag = a_flag(targets=(Target(kind=TargetKind.MEDIA_HASH, hashes=(HASH,)),))
    assert wrong_in(flag) == {"flag.targets[0].hashes": "must hold a SHA256 for media named by hash"}


@pytest.mark.parametrize(
    ("algorithm", "digits"),
    [(HashAlgorithm.SHA256, 64), (HashAlgorithm.SHA1, 40), (HashAlgorithm.MD5, 32), (HashAlgorithm.PDQ, 64)],
)
def test_a_hash_has_the_hexadecimal_digits_of_its_algorithm(algorithm: HashAlgorithm, digits: int) -> None:
    def wrong_with(value: str) -> dict[str, str]:
        return wrong_in(a_flag(targets=(a_target(hashes=(ContentHash(algorithm=algorithm, value=value),)),)))

    complaint = {"flag.targets[0].hashes[0].value": f"is not {digits} hexadecimal digits"}
    assert wrong_with("a" * digits) == {}
    for value in ("a" * (digits - 1), "a" * (digits + 1), "g" * digits, "a" * (digits - 1) + "\n"):
        assert wrong_with(value) == complaint


@pytest.mark.parametrize(
    "body",
    [
        a_flag(
            targets=(Target(kind=TargetKind.VIDEO, hashes=(ContentHash(algorithm=HashAlgorithm.MD5, value=""),) * 16),)
            * 1000
        ),
        a_decision(*[a_target_decision(n, territories=("nowhere",) * 300) for n in range(1, 1001)]),
    ],
    ids=["messages", "values"],
)
def test_lists_full_of_violations_are_not_looked_at_to_their_end(body: Body) -> None:
    """Attack: 70 KB of signed nonsense make 17,000 violations, and more of them 300,000."""
    assert ENOUGH <= len(wrong_in(body)) < ENOUGH + 10


@pytest.mark.parametrize(
    "target",
    [
        Target(kind=TargetKind.DOMAIN, identifier="telegram.example"),
        Target(kind=TargetKind.IP_ADDRESS, identifier="192.0.2.7"),
    ],
    ids=lambda target: target.kind.name,
)
def test_a_whole_host_is_flagged_only_with_a_reason_why_less_is_not_enough(target: Target) -> None:
    assert set(wrong_in(a_flag(targets=(a_target(), target)))) == {"flag.proportionality"}
    assert wrong_in(a_flag(targets=(a_target(), target), proportionality="All of it is the site.")) == {}


def test_an_ip_address_is_one() -> None:
    target = Target(kind=TargetKind.IP_ADDRESS, identifier="192.0.2.0/24")
    wrong = wrong_in(a_flag(targets=(target,), proportionality="All of it."))
    assert wrong == {"flag.targets[0].identifier": "is no IP address"}


@pytest.mark.parametrize(("position", "count"), [(0, 3), (4, 3), (1, 0)])
def test_a_place_in_a_list_is_from_one_to_its_length(position: int, count: int) -> None:
    batch = changed(changed(a_full_flag(), "batch.position", position), "batch.count", count)
    assert "flag.batch.position" in wrong_in(batch)


@pytest.mark.skipif(not TAKEDOWNS.exists(), reason="the shared data are not on this machine")
def test_all_targets_of_the_real_notices_pass_as_they_were_published() -> None:
    notices = [json.loads(line) for line in TAKEDOWNS.read_text().splitlines()]
    targets = [a_target(url=target["url"]) for notice in notices for target in notice["targets"]]
    assert (len(notices), len(targets)) == (81, 142)
    assert wrong_in(a_flag(targets=tuple(targets))) == {}


# Replies


@pytest.mark.parametrize(
    ("path", "body_with"),
    [
        ("withdrawal.targets", a_withdrawal),
        ("verification_request.targets", a_verification_request),
        ("objection.targets", an_objection),
        ("counter_notice.targets", a_counter_notice),
        ("restore_order.targets", a_restore_order),
        (
            "clarification_request.questions[0].targets",
            lambda *targets: a_clarification_request(a_question(*targets)),
        ),
    ],
    ids=["withdrawal", "verification request", "objection", "counter-notice", "restore order", "question"],
)
def test_positions_count_from_one_and_name_no_target_twice(path: str, body_with: Any) -> None:
    assert wrong_in(body_with(1, 1000, 7)) == {}
    assert wrong_in(body_with()) == {}
    assert wrong_in(body_with(1, 0)) == {path: "are positions in the flag, from 1 to 1000"}
    assert wrong_in(body_with(1001)) == {path: "are positions in the flag, from 1 to 1000"}
    assert wrong_in(body_with(2, 1, 2)) == {path: "name one target twice"}


def test_a_decision_names_no_target_twice() -> None:
    twice = a_decision(a_target_decision(1), a_target_decision(2), a_target_decision(1, Outcome.NO_ACTION))
    assert wrong_in(twice) == {"decision.targets": "name one target twice"}


def test_until_when_the_user_is_not_told_stands_with_why() -> None:
    decided = a_target_decision(1, user_not_notified_until=NOON)
    complaint = "stands with user_not_notified_reason only"
    assert wrong_in(a_decision(decided)) == {"decision.targets[0].user_not_notified_until": complaint}


@pytest.mark.parametrize("kind", [Kind.VERIFICATION, Kind.CORRECTION, Kind.REVIEW, Kind.RESTORATION], ids=str)
def test_what_is_said_per_target_names_none_twice(kind: Kind) -> None:
    whole: Any = a_full_body(kind)
    twice = dataclasses.replace(whole, targets=whole.targets[:1] * 2)
    assert wrong_in(twice) == {f"{kind}.targets": "name one target twice"}


def test_when_a_target_was_restored_is_said_of_what_was_restored_and_of_nothing_else() -> None:
    complaint = ["stands with RESTORED, and only with it"]
    assert complaints_about("restoration.targets[0].effective_at", None) == complaint
    assert complaints_about("restoration.targets[1].effective_at", NOON) == complaint


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome])
def test_what_each_outcome_needs(outcome: Outcome) -> None:
    at = "decision.targets[0]"
    bare = dataclasses.replace(a_target_decision(), outcome=outcome, ground=Ground.UNSPECIFIED)
    needs = {f"{at}.ground"}
    if outcome in {Outcome.NOT_FOUND, Outcome.ALREADY_ACTIONED, Outcome.RESTORED}:
        needs = set()
    if outcome is Outcome.NO_ACTION:
        needs = {f"{at}.refusal", f"{at}.explanation"}
    if outcome is Outcome.DISABLED_IN_TERRITORY:
        needs |= {f"{at}.territories"}
    assert set(wrong_in(a_decision(bare))) == needs


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome and outcome is not Outcome.NO_ACTION])
def test_a_refusal_stands_with_no_action_and_with_nothing_else(outcome: Outcome) -> None:
    decided = a_target_decision(1, outcome, refusal=RefusalReason.NOT_COMPETENT, territories=("ID",))
    assert wrong_in(a_decision(decided)) == {"decision.targets[0].refusal": "stands with NO_ACTION only"}


@pytest.mark.parametrize("refusal", [refusal for refusal in RefusalReason if refusal])
def test_a_platform_may_use_every_refusal_and_a_duplicate_names_the_other_case(refusal: RefusalReason) -> None:
    decided = a_target_decision(1, Outcome.NO_ACTION, refusal=refusal)
    wrong = wrong_in(a_decision(decided))
    if refusal is RefusalReason.DUPLICATE:
        assert wrong == {"decision.targets[0].duplicate_of": "is required with the refusal DUPLICATE"}
        wrong = wrong_in(a_decision(dataclasses.replace(decided, duplicate_of=an_id(7))))
    assert wrong == {}


def test_every_kind_has_rules() -> None:
    bodies = [a_full_body(kind) for kind in Kind]
    assert {KIND_OF[type(body)] for body in bodies} == set(Kind)
