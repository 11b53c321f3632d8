"""The form of statements: which fields each kind must have, and what may stand in them.

One generator a message; each yields every :class:`~panji.errors.Violation` it finds, with the path of the field as it
is named in ``protos/panji/v1/statement.proto``, where the sources of the rules stand too. Whether a statement fits the
case is not asked here: that is :mod:`panji.core.case`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core import form
from panji.core.vocabulary import (
    BINDING,
    CATEGORIES_WITH_SUB_CATEGORIES,
    AcknowledgementLevel,
    AuthorityKind,
    AutomatedDecision,
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
    Urgency,
)
from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from panji.core import statements as s

MAX_TARGETS = 1000
"""Most targets of one flag."""

_ORIGIN_LIMIT = 200
_REASONS_LIMIT = 20_000
_REMARK_LIMIT = 5_000

_BROAD = frozenset({TargetKind.DOMAIN, TargetKind.IP_ADDRESS})
_NAMED_BY_URL = frozenset({TargetKind.URL, TargetKind.PAGE})
_NAMED_BY_IDENTIFIER = frozenset(
    {
        TargetKind.DOMAIN,
        TargetKind.IP_ADDRESS,
        TargetKind.EMAIL_ADDRESS,
        TargetKind.PHONE_NUMBER,
        TargetKind.HASHTAG,
        TargetKind.SEARCH_TERM,
    }
)
_WITHOUT_GROUND = frozenset({Outcome.NO_ACTION, Outcome.NOT_FOUND, Outcome.ALREADY_ACTIONED, Outcome.RESTORED})


def statement(it: s.Statement) -> Iterator[Violation]:
    """The frame that every kind shares, then the body."""
    yield from form.uuid7("id", it.id)
    yield from form.line("exchange", it.exchange, _ORIGIN_LIMIT, required=True)
    yield from form.organisation("sender", it.sender)
    yield from form.organisation("recipient", it.recipient)
    if it.sender == it.recipient:
        yield Violation("recipient", "is the sender itself")
    yield from form.instant("issued_at", it.issued_at, required=True)
    yield from form.language("language", it.language, required=True)
    kind = it.kind
    if kind is Kind.FLAG:
        if it.case_id:
            yield Violation("case_id", "stands in replies only; a flag opens a case")
        if it.in_reply_to:
            yield Violation("in_reply_to", "stands in replies only; a flag opens a case")
    else:
        yield from form.uuid7("case_id", it.case_id)
        yield from form.sha256("in_reply_to", it.in_reply_to, required=True)
    yield from _BODIES[kind](kind.value, it.body)


def _flag(at: str, it: s.Flag) -> Iterator[Violation]:
    yield from form.member(f"{at}.instrument", it.instrument, Instrument)
    yield from form.member(f"{at}.urgency", it.urgency, Urgency)
    yield from form.member(f"{at}.category", it.category, Category)
    yield from _sub_category(at, it)
    yield from form.text(f"{at}.reasons", it.reasons, _REASONS_LIMIT, required=True)
    yield from _targets(at, it)
    yield from _requested_actions(at, it)
    yield from _legal_basis(at, it)
    yield from _issuer(at, it)
    yield from _each_territory(f"{at}.jurisdictions", it.jurisdictions)
    yield from form.line(f"{at}.reference", it.reference, 200)
    yield from form.instant(f"{at}.respond_by", it.respond_by)
    yield from _evidence(at, it.evidence)
    if it.instrument is Instrument.NOTICE and not it.good_faith:
        yield Violation(f"{at}.good_faith", "must be stated in a notice (DSA art. 16(2)(d))")
    yield from form.text(f"{at}.redress", it.redress, _REMARK_LIMIT)
    if it.non_disclosure is not None:
        yield from form.instant(f"{at}.non_disclosure.until", it.non_disclosure.until, required=True)
        yield from form.text(f"{at}.non_disclosure.reason", it.non_disclosure.reason, 1000, required=True)
    yield from form.instant(f"{at}.expires_at", it.expires_at)
    if it.batch is not None:
        yield from _batch(f"{at}.batch", it.batch)


def _sub_category(at: str, it: s.Flag) -> Iterator[Violation]:
    yield from form.member(f"{at}.sub_category", it.sub_category, SubCategory, required=False)
    if it.sub_category:
        if it.sub_category // 100 != it.category:
            yield Violation(f"{at}.sub_category", "belongs to another category")
    elif it.category in CATEGORIES_WITH_SUB_CATEGORIES:
        yield Violation(f"{at}.sub_category", "is required for this category")


def _targets(at: str, it: s.Flag) -> Iterator[Violation]:
    if not 1 <= len(it.targets) <= MAX_TARGETS:
        yield Violation(f"{at}.targets", f"must be 1 to {MAX_TARGETS}, are {len(it.targets)}")
    for position, target in enumerate(it.targets):
        yield from _target(f"{at}.targets[{position}]", target)
    broad = any(target.kind in _BROAD for target in it.targets)
    if broad and not it.proportionality:
        yield Violation(f"{at}.proportionality", "is required when a whole domain or address is flagged")
    yield from form.text(f"{at}.proportionality", it.proportionality, _REMARK_LIMIT)


def _target(at: str, it: s.Target) -> Iterator[Violation]:
    yield from form.member(f"{at}.kind", it.kind, TargetKind)
    if it.url:
        yield from form.url(f"{at}.url", it.url)
    elif it.kind in _NAMED_BY_URL:
        yield Violation(f"{at}.url", "is required for this kind of target")
    elif not (it.identifier or it.handle or it.hashes):
        yield Violation(at, "has no url, identifier, handle or hash: nobody could find it")
    if it.identifier:
        yield from form.line(f"{at}.identifier", it.identifier, 500)
        if it.kind is TargetKind.DOMAIN:
            yield from form.host(f"{at}.identifier", it.identifier)
        elif it.kind is TargetKind.IP_ADDRESS:
            yield from form.ip_address(f"{at}.identifier", it.identifier)
    elif it.kind in _NAMED_BY_IDENTIFIER:
        yield Violation(f"{at}.identifier", "is required for this kind of target")
    yield from form.line(f"{at}.handle", it.handle, 200)
    yield from form.line(f"{at}.parent_identifier", it.parent_identifier, 500)
    yield from form.instant(f"{at}.observed_at", it.observed_at)
    yield from form.language(f"{at}.content_language", it.content_language)
    yield from form.line(f"{at}.locator_note", it.locator_note, 1000)
    yield from form.sha256(f"{at}.snapshot_sha256", it.snapshot_sha256)
    yield from _hashes(at, it)


def _hashes(at: str, it: s.Target) -> Iterator[Violation]:
    if len(it.hashes) > 16:  # noqa: PLR2004 - as documented in the contract
        yield Violation(f"{at}.hashes", "are more than 16")
    for position, value in enumerate(it.hashes):
        yield from form.member(f"{at}.hashes[{position}].algorithm", value.algorithm, HashAlgorithm)
        yield from form.line(f"{at}.hashes[{position}].value", value.value, 8192, required=True)
    named = any(value.algorithm is HashAlgorithm.SHA256 for value in it.hashes)
    if it.kind is TargetKind.MEDIA_HASH and not named:
        yield Violation(f"{at}.hashes", "must hold a SHA256 for media named by hash")


def _requested_actions(at: str, it: s.Flag) -> Iterator[Violation]:
    if not 1 <= len(it.requested_actions) <= len(RequestedAction) - 1:
        yield Violation(f"{at}.requested_actions", f"must be 1 to {len(RequestedAction) - 1}")
    for position, action in enumerate(it.requested_actions):
        yield from form.member(f"{at}.requested_actions[{position}]", action, RequestedAction)
    if len(set(it.requested_actions)) != len(it.requested_actions):
        yield Violation(f"{at}.requested_actions", "name one action twice")


def _legal_basis(at: str, it: s.Flag) -> Iterator[Violation]:
    if not it.legal_basis and it.instrument in BINDING:
        yield Violation(f"{at}.legal_basis", "is required for an order; a notice or a referral may go without")
    if len(it.legal_basis) > 32:  # noqa: PLR2004 - as documented in the contract
        yield Violation(f"{at}.legal_basis", "are more than 32")
    for position, basis in enumerate(it.legal_basis):
        here = f"{at}.legal_basis[{position}]"
        yield from form.country(f"{here}.jurisdiction", basis.jurisdiction)
        yield from form.line(f"{here}.law", basis.law, 500, required=True)
        yield from form.line(f"{here}.article", basis.article, 200)


def _issuer(at: str, it: s.Flag) -> Iterator[Violation]:
    here = f"{at}.issuing_authority"
    yield from form.line(f"{here}.name", it.issuing_authority.name, 300, required=True)
    yield from form.member(f"{here}.kind", it.issuing_authority.kind, AuthorityKind)
    yield from form.country(f"{here}.jurisdiction", it.issuing_authority.jurisdiction)
    yield from form.line(f"{here}.contact", it.issuing_authority.contact, 300)
    here, body = f"{at}.deciding_body", it.deciding_body
    if body is not None:
        yield from form.line(f"{here}.name", body.name, 300, required=True)
        yield from form.member(f"{here}.kind", body.kind, AuthorityKind)
        yield from form.line(f"{here}.document_number", body.document_number, 200)
        yield from form.date(f"{here}.document_date", body.document_date)
        yield from form.sha256(f"{here}.document_sha256", body.document_sha256)
    elif it.instrument is Instrument.COURT_ORDER:
        yield Violation(here, "is required for a court order")


def _each_territory(at: str, values: Sequence[str]) -> Iterator[Violation]:
    if len(values) > 300:  # noqa: PLR2004 - as documented in the contract
        yield Violation(at, "are more than 300")
    for position, value in enumerate(values):
        yield from form.territory(f"{at}[{position}]", value)


def _evidence(at: str, values: Sequence[s.Evidence]) -> Iterator[Violation]:
    if len(values) > 64:  # noqa: PLR2004 - as documented in the contract
        yield Violation(f"{at}.evidence", "are more than 64")
    for position, it in enumerate(values):
        here = f"{at}.evidence[{position}]"
        yield from form.sha256(f"{here}.sha256", it.sha256, required=True)
        yield from form.media_type(f"{here}.media_type", it.media_type)
        yield from form.line(f"{here}.description", it.description, 1000, required=True)


def _batch(at: str, it: s.BatchReference) -> Iterator[Violation]:
    yield from form.line(f"{at}.id", it.id, 200, required=True)
    if not 1 <= it.position <= it.count:
        yield Violation(f"{at}.position", "must be from 1 to count")
    yield from form.sha256(f"{at}.manifest_sha256", it.manifest_sha256)


def _withdrawal(at: str, it: s.Withdrawal) -> Iterator[Violation]:
    yield from _positions(f"{at}.targets", it.targets)
    yield from form.text(f"{at}.reasons", it.reasons, _REMARK_LIMIT, required=True)


def _positions(at: str, values: Sequence[int]) -> Iterator[Violation]:
    if any(not 1 <= value <= MAX_TARGETS for value in values):
        yield Violation(at, "are positions in the flag, from 1")
    if len(set(values)) != len(values):
        yield Violation(at, "name one target twice")


def _acknowledgement(at: str, it: s.Acknowledgement) -> Iterator[Violation]:
    yield from form.member(f"{at}.level", it.level, AcknowledgementLevel)
    yield from form.line(f"{at}.platform_reference", it.platform_reference, 200)
    yield from form.text(f"{at}.note", it.note, _REMARK_LIMIT)


def _clarification_request(at: str, it: s.ClarificationRequest) -> Iterator[Violation]:
    if not 1 <= len(it.questions) <= MAX_TARGETS:
        yield Violation(f"{at}.questions", f"must be 1 to {MAX_TARGETS}")
    for position, question in enumerate(it.questions):
        here = f"{at}.questions[{position}]"
        yield from _positions(f"{here}.targets", question.targets)
        yield from form.member(f"{here}.reason", question.reason, RefusalReason)
        yield from form.text(f"{here}.text", question.text, _REMARK_LIMIT, required=True)


def _clarification_answer(at: str, it: s.ClarificationAnswer) -> Iterator[Violation]:
    yield from form.text(f"{at}.text", it.text, _REASONS_LIMIT, required=True)
    yield from _evidence(at, it.evidence)


def _decision(at: str, it: s.Decision) -> Iterator[Violation]:
    if not 1 <= len(it.targets) <= MAX_TARGETS:
        yield Violation(f"{at}.targets", f"must be 1 to {MAX_TARGETS}")
    if len({decided.target for decided in it.targets}) != len(it.targets):
        yield Violation(f"{at}.targets", "name one target twice")
    for position, decided in enumerate(it.targets):
        yield from _target_decision(f"{at}.targets[{position}]", decided)
    yield from form.line(f"{at}.platform_reference", it.platform_reference, 200)
    yield from form.text(f"{at}.note", it.note, _REMARK_LIMIT)


def _target_decision(at: str, it: s.TargetDecision) -> Iterator[Violation]:
    if not 1 <= it.target <= MAX_TARGETS:
        yield Violation(f"{at}.target", "is a position in the flag, from 1")
    yield from form.member(f"{at}.outcome", it.outcome, Outcome)
    yield from form.member(f"{at}.ground", it.ground, Ground, required=it.outcome not in _WITHOUT_GROUND)
    yield from form.member(f"{at}.refusal", it.refusal, RefusalReason, required=it.outcome is Outcome.NO_ACTION)
    if it.refusal and it.outcome is not Outcome.NO_ACTION:
        yield Violation(f"{at}.refusal", "stands with NO_ACTION only")
    yield from form.line(f"{at}.legal_ground", it.legal_ground, 500)
    yield from form.line(f"{at}.terms_clause", it.terms_clause, 500)
    yield from form.text(f"{at}.explanation", it.explanation, 10_000, required=it.outcome is Outcome.NO_ACTION)
    yield from form.instant(f"{at}.effective_at", it.effective_at)
    yield from _each_territory(f"{at}.territories", it.territories)
    if it.outcome is Outcome.DISABLED_IN_TERRITORY and not it.territories:
        yield Violation(f"{at}.territories", "are required with DISABLED_IN_TERRITORY")
    yield from form.instant(f"{at}.until", it.until)
    yield from form.member(f"{at}.automated_decision", it.automated_decision, AutomatedDecision, required=False)
    yield from form.instant(f"{at}.user_notified_at", it.user_notified_at)
    yield from form.line(f"{at}.user_not_notified_reason", it.user_not_notified_reason, 1000)
    if len(it.redress) > 16:  # noqa: PLR2004 - as documented in the contract
        yield Violation(f"{at}.redress", "are more than 16")
    for position, way in enumerate(it.redress):
        yield from form.line(f"{at}.redress[{position}]", way, 500, required=True)
    yield from form.instant(f"{at}.preserve_until", it.preserve_until)
    duplicate = it.refusal is RefusalReason.DUPLICATE
    yield from form.uuid7(f"{at}.duplicate_of", it.duplicate_of, required=duplicate)


def _correspondence(at: str, it: s.Correspondence) -> Iterator[Violation]:
    yield from form.line(f"{at}.subject", it.subject, 300, required=True)
    yield from form.text(f"{at}.text", it.text, _REASONS_LIMIT, required=True)


_BODIES: dict[Kind, Callable[..., Iterator[Violation]]] = {
    Kind.FLAG: _flag,
    Kind.WITHDRAWAL: _withdrawal,
    Kind.ACKNOWLEDGEMENT: _acknowledgement,
    Kind.CLARIFICATION_REQUEST: _clarification_request,
    Kind.CLARIFICATION_ANSWER: _clarification_answer,
    Kind.DECISION: _decision,
    Kind.CORRESPONDENCE: _correspondence,
}
