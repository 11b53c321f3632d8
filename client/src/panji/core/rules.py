"""The form of statements: which fields each kind must have, and what may stand in them.

A table a message says what each field may hold; a function a message says what the fields must have to do with each
other. All violations are found at once, each with the path of its field as ``protos/panji/v1/statement.proto`` names
it, where the sources of the rules stand too. Lists end at the first thousand violations: :data:`ENOUGH`. Whether a
statement fits the case is not asked here: that is :mod:`panji.core.case`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeVar

from panji.core import form
from panji.core.form import Field, check_fields
from panji.core.vocabulary import (
    BINDING,
    OPENING,
    RECORDS,
    SUB_CATEGORIES,
    AcknowledgementLevel,
    AuthorityKind,
    AutomatedDecision,
    Category,
    Contact,
    Deadline,
    Ground,
    HashAlgorithm,
    Instrument,
    Kind,
    ObstacleKind,
    Outcome,
    RefusalReason,
    RequestedAction,
    RestorationResult,
    ReviewResult,
    SubCategory,
    TargetKind,
    Urgency,
    VerificationResult,
    names,
)
from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from panji.core import statements as s
    from panji.core.form import Check

_T = TypeVar("_T")


class _OfTarget(Protocol):
    """What is said of one target."""

    @property
    def target(self) -> int: ...


_PT = TypeVar("_PT", bound=_OfTarget)

MAX_TARGETS = 1000
"""Most targets of one flag."""
MAX_ERASED = 10_000
"""Most statements of one erasure."""

MAX_PROCEDURE = 1024 * 1024
"""Longest procedure that can be recorded, in characters."""
MAX_DIRECTORY = 8 * 1024 * 1024
"""Longest directory that can be recorded, in characters."""

MAX_STEPS = 100
"""Most steps of an escalation."""

ENOUGH = 1000
"""Violations after which no further item of a list is looked at: nobody mends more at once, and each costs work."""

_REFERENCE = form.line(200)
_REMARK = form.text(5_000)
_CONTACT = form.member(Contact)
_ACTION = form.member(RequestedAction)
_MAX_ACTIONS = len(RequestedAction) - 1
_POSITION = form.number(1, MAX_TARGETS)
_WAY_OF_REDRESS = form.line(500)

_STATEMENT = (
    Field("id", form.uuid7, required=True),
    Field("exchange", form.line(200), required=True),
    Field("sender", form.organisation, required=True),
    Field("recipient", form.organisation, required=True),
    Field("issued_at", form.instant, required=True),
    Field("language", form.language, required=True),
)
_REPLY = (
    Field("case_id", form.uuid7, required=True),
    Field("in_reply_to", form.sha256, required=True),
)
_OPENING = (
    Field("case_id", form.replies_only),
    Field("in_reply_to", form.replies_only),
)
_FLAG = (
    Field("instrument", form.member(Instrument), required=True),
    Field("category", form.member(Category), required=True),
    Field("sub_category", form.member(SubCategory)),
    Field("urgency", form.member(Urgency), required=True),
    Field("reasons", form.text(20_000), required=True),
    Field("reference", _REFERENCE),
    Field("respond_by", form.instant),
    Field("proportionality", _REMARK),
    Field("redress", _REMARK),
    Field("expires_at", form.instant),
)
_LEGAL_BASIS = (
    Field("jurisdiction", form.country, required=True),
    Field("law", form.line(500), required=True),
    Field("article", form.line(200)),
)
_TARGET = (
    Field("kind", form.member(TargetKind), required=True),
    Field("url", form.url),
    Field("identifier", form.line(500)),
    Field("handle", form.line(200)),
    Field("parent_identifier", form.line(500)),
    Field("observed_at", form.instant),
    Field("content_language", form.language),
    Field("locator_note", form.line(1000)),
    Field("snapshot_sha256", form.sha256),
)
_CONTENT_HASH = (
    Field("algorithm", form.member(HashAlgorithm), required=True),
    Field("value", form.line(8192), required=True),
)
_ISSUING_AUTHORITY = (
    Field("name", form.line(300), required=True),
    Field("kind", form.member(AuthorityKind), required=True),
    Field("jurisdiction", form.country, required=True),
    Field("contact", form.line(300)),
)
_DECIDING_BODY = (
    Field("name", form.line(300), required=True),
    Field("kind", form.member(AuthorityKind), required=True),
    Field("document_number", _REFERENCE),
    Field("document_date", form.calendar_date),
    Field("document_sha256", form.sha256),
)
_EVIDENCE = (
    Field("sha256", form.sha256, required=True),
    Field("size_bytes", form.number(1, 2**64 - 1)),
    Field("media_type", form.media_type),
    Field("description", form.line(1000), required=True),
)
_NON_DISCLOSURE = (
    Field("until", form.instant, required=True),
    Field("reason", form.text(1000), required=True),
)
_BATCH = (
    Field("id", form.line(200), required=True),
    Field("count", form.number(1, 2**32 - 1), required=True),
    Field("manifest_sha256", form.sha256),
)
_WITHDRAWAL = (Field("reasons", _REMARK, required=True),)
_ACKNOWLEDGEMENT = (
    Field("level", form.member(AcknowledgementLevel), required=True),
    Field("platform_reference", _REFERENCE),
    Field("note", _REMARK),
)
_QUESTION = (
    Field("reason", form.member(RefusalReason), required=True),
    Field("text", _REMARK, required=True),
)
_CLARIFICATION_ANSWER = (Field("text", form.text(20_000), required=True),)
_DECISION = (
    Field("platform_reference", _REFERENCE),
    Field("note", _REMARK),
)
_TARGET_DECISION = (
    Field("target", _POSITION, required=True),
    Field("outcome", form.member(Outcome), required=True),
    Field("ground", form.member(Ground)),
    Field("refusal", form.member(RefusalReason)),
    Field("legal_ground", form.line(500)),
    Field("terms_clause", form.line(500)),
    Field("explanation", form.text(10_000)),
    Field("effective_at", form.instant),
    Field("until", form.instant),
    Field("automated_decision", form.member(AutomatedDecision)),
    Field("user_notified_at", form.instant),
    Field("user_not_notified_reason", form.line(1000)),
    Field("preserve_until", form.instant),
    Field("duplicate_of", form.uuid7),
    Field("user_not_notified_until", form.instant),
)
_CORRESPONDENCE = (
    Field("subject", form.line(300), required=True),
    Field("text", form.text(20_000), required=True),
)
_VERIFICATION_REQUEST = (Field("reasons", _REMARK, required=True),)
_TARGET_VERIFICATION = (
    Field("target", _POSITION, required=True),
    Field("result", form.member(VerificationResult), required=True),
    Field("reasons", _REMARK),
)
_OBSTACLE = (
    Field("kind", form.member(ObstacleKind), required=True),
    Field("reasons", _REMARK, required=True),
    Field("expected_until", form.instant),
)
_OBSTACLE_ENDED = (Field("note", _REMARK),)
_CORRECTION = (Field("reasons", _REMARK, required=True),)
_OBJECTION = (Field("reasons", form.text(20_000), required=True),)
_COUNTER_NOTICE = (
    Field("text", form.text(20_000), required=True),
    Field("submitted_at", form.instant, required=True),
)
_TARGET_REVIEW = (
    Field("target", _POSITION, required=True),
    Field("result", form.member(ReviewResult), required=True),
    Field("reasons", _REMARK, required=True),
)
_RESTORE_ORDER = (Field("reasons", _REMARK, required=True),)
_RESTORATION = (Field("note", _REMARK),)
_TARGET_RESTORATION = (
    Field("target", _POSITION, required=True),
    Field("result", form.member(RestorationResult), required=True),
    Field("effective_at", form.instant),
    Field("explanation", _REMARK),
)
_DEADLINE_MISSED = (
    Field("deadline", form.member(Deadline), required=True),
    Field("due_at", form.instant, required=True),
    Field("delivered_at", form.instant),
    Field("delivered_to", form.line(2048)),
    Field("last_seen_at", form.instant),
)
_DEADLINE_NEAR = (
    Field("deadline", form.member(Deadline), required=True),
    Field("due_at", form.instant, required=True),
    Field("percent", form.number(1, 99), required=True),
)
_ESCALATION = (
    Field("deadline", form.member(Deadline), required=True),
    Field("due_at", form.instant, required=True),
    Field("step", form.number(1, MAX_STEPS), required=True),
    Field("unseen_since", form.instant),
)
_ERASURE = (
    Field("reasons", _REMARK, required=True),
    Field("reference", _REFERENCE),
)
_ERASED_STATEMENT = (
    Field("digest", form.sha256, required=True),
    Field("index", form.number(0, 2**63 - 1)),
    Field("recipient", form.organisation, required=True),
    Field("sequence", form.number(1, 2**63 - 1), required=True),
)
_PROCEDURE_RECORD = (Field("document", form.text(MAX_PROCEDURE), required=True),)
_DIRECTORY_RECORD = (Field("document", form.text(MAX_DIRECTORY), required=True),)

# Sets even of one: `in` is as readable as `is`, and before Python 3.12 it is twice as fast as naming the member.
_PRESERVES = frozenset({Instrument.PRESERVATION})
_IN_GOOD_FAITH = frozenset({Instrument.NOTICE})
_DECIDED_ELSEWHERE = frozenset({Instrument.COURT_ORDER})
_NAMED_BY_HASH = frozenset({TargetKind.MEDIA_HASH})
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
_IDENTIFIER_FORM = {TargetKind.DOMAIN: form.host, TargetKind.IP_ADDRESS: form.ip_address}
_HEX_DIGITS = {HashAlgorithm.SHA256: 64, HashAlgorithm.SHA1: 40, HashAlgorithm.MD5: 32, HashAlgorithm.PDQ: 64}
_WITHOUT_GROUND = frozenset({Outcome.NO_ACTION, Outcome.NOT_FOUND, Outcome.ALREADY_ACTIONED, Outcome.RESTORED})


def statement(it: s.Statement) -> list[Violation]:
    """Returns the violations in a statement: of the frame that all kinds share, then of the body.

    All of them, or a few more than :data:`ENOUGH`.
    """
    found: list[Violation] = []
    check_fields(found, "", it, _STATEMENT)
    if it.sender and it.sender == it.recipient and it.kind not in RECORDS:
        found.append(Violation("recipient", "is the sender itself"))
    at, check_body = _BODIES[it.kind]
    check_fields(found, "", it, _OPENING if it.kind in OPENING else _REPLY)
    check_body(found, at, it.body)
    return found


def _flag(found: list[Violation], at: str, it: s.Flag) -> None:
    check_fields(found, at, it, _FLAG)
    subs = SUB_CATEGORIES.get(it.category, ())
    if it.sub_category:
        if it.category and it.sub_category // 100 != it.category:  # of a category that is wrong there is nothing to say
            has = f"this one has {names(subs) or 'none'}"
            found.append(Violation(f"{at}sub_category", f"belongs to another category; {has}"))
    elif subs:
        found.append(Violation(f"{at}sub_category", f"is required for this category: {names(subs)}"))
    _flag_effect(found, at, it)
    _flag_targets(found, at, it)
    check_fields(found, f"{at}issuing_authority.", it.issuing_authority, _ISSUING_AUTHORITY)
    if it.jurisdictions:
        _items(found, f"{at}jurisdictions", it.jurisdictions, 300, form.territory)
    if it.evidence:
        _evidence(found, f"{at}evidence", it.evidence)
    if it.non_disclosure is not None:
        check_fields(found, f"{at}non_disclosure.", it.non_disclosure, _NON_DISCLOSURE)
    if it.batch is not None:
        check_fields(found, f"{at}batch.", it.batch, _BATCH)
        if not 1 <= it.batch.position <= it.batch.count:
            found.append(Violation(f"{at}batch.position", "is not from 1 to count"))


def _flag_effect(found: list[Violation], at: str, it: s.Flag) -> None:
    """What the instrument asks for: actions, a legal basis, the body that decided, good faith."""
    actions = it.requested_actions
    if not actions:
        found.append(Violation(f"{at}requested_actions", "are required"))
    _items(found, f"{at}requested_actions", actions, _MAX_ACTIONS, _ACTION)
    if len(set(actions)) != len(actions):
        found.append(Violation(f"{at}requested_actions", "name one action twice"))
    if it.instrument in _PRESERVES and set(actions) != {RequestedAction.PRESERVE}:
        found.append(Violation(f"{at}requested_actions", "must be PRESERVE and nothing else for a preservation"))
    if it.instrument in _IN_GOOD_FAITH and not it.good_faith:
        found.append(
            Violation(f"{at}good_faith", "must be true in a notice: that it is made in good faith (DSA art. 16(2)(d))")
        )
    if it.deciding_body is not None:
        check_fields(found, f"{at}deciding_body.", it.deciding_body, _DECIDING_BODY)
    elif it.instrument in _DECIDED_ELSEWHERE:
        found.append(Violation(f"{at}deciding_body", "is required for a court order"))
    if not it.legal_basis and it.instrument in BINDING:
        found.append(Violation(f"{at}legal_basis", "is required for an order; a notice or a referral may go without"))
    for here, basis in _each(found, f"{at}legal_basis", it.legal_basis, 32):
        check_fields(found, here, basis, _LEGAL_BASIS)


def _flag_targets(found: list[Violation], at: str, it: s.Flag) -> None:
    if not it.targets:
        found.append(Violation(f"{at}targets", "are required"))
    for here, target in _each(found, f"{at}targets", it.targets, MAX_TARGETS):
        _target(found, here, target)
    if not it.proportionality and any(target.kind in _BROAD for target in it.targets):
        found.append(Violation(f"{at}proportionality", "is required when a whole domain or IP address is flagged"))


def _target(found: list[Violation], at: str, it: s.Target) -> None:
    check_fields(found, at, it, _TARGET)
    if it.kind in _NAMED_BY_IDENTIFIER:
        if not it.identifier:
            found.append(Violation(f"{at}identifier", "is required for this kind of target"))
        elif it.kind in _IDENTIFIER_FORM and (wrong := _IDENTIFIER_FORM[it.kind](it.identifier)):
            found.append(Violation(f"{at}identifier", wrong))
    elif it.kind in _NAMED_BY_URL:
        if not it.url:
            found.append(Violation(f"{at}url", "is required for this kind of target"))
    elif not (it.url or it.identifier or it.handle or it.hashes):
        found.append(Violation(at[:-1], "has no url, identifier, handle or hash: nobody could find it"))
    if it.hashes:
        _hashes(found, f"{at}hashes", it.hashes)
    if it.kind in _NAMED_BY_HASH and all(one.algorithm is not HashAlgorithm.SHA256 for one in it.hashes):
        found.append(Violation(f"{at}hashes", "must hold a SHA256 for media named by hash"))


def _hashes(found: list[Violation], at: str, values: Sequence[s.ContentHash]) -> None:
    for here, one in _each(found, at, values, 16):
        check_fields(found, here, one, _CONTENT_HASH)
        digits = _HEX_DIGITS.get(one.algorithm)
        if digits and one.value and (wrong := form.hexadecimal(one.value, digits)):
            found.append(Violation(f"{here}value", wrong))


def _evidence(found: list[Violation], at: str, values: Sequence[s.Evidence]) -> None:
    for here, one in _each(found, at, values, 64):
        check_fields(found, here, one, _EVIDENCE)


def _each(found: list[Violation], at: str, values: Sequence[_T], most: int) -> Iterator[tuple[str, _T]]:
    """Give the messages of a list, each with its path. Of too many none is looked at: nobody buys work with a list."""
    if len(values) > most:
        found.append(Violation(at, f"are more than {most}"))
        return
    for position, value in enumerate(values):
        if len(found) >= ENOUGH:
            return
        yield f"{at}[{position}].", value


def _items(found: list[Violation], at: str, values: Sequence[object], most: int, check: Check) -> None:
    """Check the values of a list that holds no messages; none of them may be empty."""
    if len(values) > most:
        found.append(Violation(at, f"are more than {most}"))
        return
    for position, value in enumerate(values):
        if wrong := check(value) if value else "is empty":
            found.append(Violation(f"{at}[{position}]", wrong))
            if len(found) >= ENOUGH:
                return


def _positions(found: list[Violation], at: str, values: Sequence[int]) -> None:
    if any(_POSITION(value) for value in values):
        found.append(Violation(at, f"are positions in the flag, from 1 to {MAX_TARGETS}"))
    if len(set(values)) != len(values):
        found.append(Violation(at, "name one target twice"))


def _withdrawal(found: list[Violation], at: str, it: s.Withdrawal) -> None:
    check_fields(found, at, it, _WITHDRAWAL)
    _positions(found, f"{at}targets", it.targets)


def _acknowledgement(found: list[Violation], at: str, it: s.Acknowledgement) -> None:
    check_fields(found, at, it, _ACKNOWLEDGEMENT)


def _clarification_request(found: list[Violation], at: str, it: s.ClarificationRequest) -> None:
    if not it.questions:
        found.append(Violation(f"{at}questions", "are required"))
    for here, question in _each(found, f"{at}questions", it.questions, 1000):
        check_fields(found, here, question, _QUESTION)
        _positions(found, f"{here}targets", question.targets)


def _clarification_answer(found: list[Violation], at: str, it: s.ClarificationAnswer) -> None:
    check_fields(found, at, it, _CLARIFICATION_ANSWER)
    _evidence(found, f"{at}evidence", it.evidence)


def _decision(found: list[Violation], at: str, it: s.Decision) -> None:
    check_fields(found, at, it, _DECISION)
    for here, decided in _per_target(found, at, it.targets):
        _target_decision(found, here, decided)


def _per_target(found: list[Violation], at: str, targets: Sequence[_PT]) -> Iterator[tuple[str, _PT]]:
    """What is said target by target: of at least one, and of each once."""
    if not targets:
        found.append(Violation(f"{at}targets", "are required"))
    if len({one.target for one in targets}) != len(targets):
        found.append(Violation(f"{at}targets", "name one target twice"))
    return _each(found, f"{at}targets", targets, MAX_TARGETS)


def _target_decision(found: list[Violation], at: str, it: s.TargetDecision) -> None:
    check_fields(found, at, it, _TARGET_DECISION)
    refused = it.outcome is Outcome.NO_ACTION
    if it.outcome not in _WITHOUT_GROUND and not it.ground:
        found.append(Violation(f"{at}ground", "is required with an action"))
    if refused and not it.refusal:
        found.append(Violation(f"{at}refusal", "is required with NO_ACTION"))
    if it.refusal and not refused:
        found.append(Violation(f"{at}refusal", "stands with NO_ACTION only"))
    if refused and not it.explanation:
        found.append(Violation(f"{at}explanation", "is required with NO_ACTION"))
    if it.refusal is RefusalReason.DUPLICATE and not it.duplicate_of:
        found.append(Violation(f"{at}duplicate_of", "is required with the refusal DUPLICATE"))
    if it.outcome is Outcome.DISABLED_IN_TERRITORY and not it.territories:
        found.append(Violation(f"{at}territories", "are required with DISABLED_IN_TERRITORY"))
    if it.user_not_notified_until and not it.user_not_notified_reason:
        found.append(Violation(f"{at}user_not_notified_until", "stands with user_not_notified_reason only"))
    _items(found, f"{at}territories", it.territories, 300, form.territory)
    _items(found, f"{at}redress", it.redress, 16, _WAY_OF_REDRESS)


def _correspondence(found: list[Violation], at: str, it: s.Correspondence) -> None:
    check_fields(found, at, it, _CORRESPONDENCE)


def _verification_request(found: list[Violation], at: str, it: s.VerificationRequest) -> None:
    check_fields(found, at, it, _VERIFICATION_REQUEST)
    _positions(found, f"{at}targets", it.targets)


def _verification(found: list[Violation], at: str, it: s.Verification) -> None:
    for here, verified in _per_target(found, at, it.targets):
        check_fields(found, here, verified, _TARGET_VERIFICATION)
        if verified.result is VerificationResult.NOT_CONFIRMED and not verified.reasons:
            found.append(Violation(f"{here}reasons", "are required with NOT_CONFIRMED"))


def _obstacle(found: list[Violation], at: str, it: s.Obstacle) -> None:
    check_fields(found, at, it, _OBSTACLE)


def _obstacle_ended(found: list[Violation], at: str, it: s.ObstacleEnded) -> None:
    check_fields(found, at, it, _OBSTACLE_ENDED)


def _correction(found: list[Violation], at: str, it: s.Correction) -> None:
    check_fields(found, at, it, _CORRECTION)
    for here, decided in _per_target(found, at, it.targets):
        _target_decision(found, here, decided)


def _objection(found: list[Violation], at: str, it: s.Objection) -> None:
    check_fields(found, at, it, _OBJECTION)
    _positions(found, f"{at}targets", it.targets)
    _evidence(found, f"{at}evidence", it.evidence)


def _counter_notice(found: list[Violation], at: str, it: s.CounterNotice) -> None:
    check_fields(found, at, it, _COUNTER_NOTICE)
    _positions(found, f"{at}targets", it.targets)
    _evidence(found, f"{at}evidence", it.evidence)


def _review(found: list[Violation], at: str, it: s.Review) -> None:
    for here, reviewed in _per_target(found, at, it.targets):
        check_fields(found, here, reviewed, _TARGET_REVIEW)


def _restore_order(found: list[Violation], at: str, it: s.RestoreOrder) -> None:
    check_fields(found, at, it, _RESTORE_ORDER)
    _positions(found, f"{at}targets", it.targets)
    for here, basis in _each(found, f"{at}legal_basis", it.legal_basis, 32):
        check_fields(found, here, basis, _LEGAL_BASIS)


def _restoration(found: list[Violation], at: str, it: s.Restoration) -> None:
    check_fields(found, at, it, _RESTORATION)
    for here, one in _per_target(found, at, it.targets):
        check_fields(found, here, one, _TARGET_RESTORATION)
        restored = one.result is RestorationResult.RESTORED
        if restored != (one.effective_at is not None):
            found.append(Violation(f"{here}effective_at", "stands with RESTORED, and only with it"))
        if not restored and not one.explanation:
            found.append(Violation(f"{here}explanation", "is required with NOT_RESTORED"))


def _deadline_missed(found: list[Violation], at: str, it: s.DeadlineMissed) -> None:
    check_fields(found, at, it, _DEADLINE_MISSED)
    if bool(it.delivered_to) != (it.delivered_at is not None):
        found.append(Violation(f"{at}delivered_to", "stands with delivered_at, and only with it"))


def _deadline_near(found: list[Violation], at: str, it: s.DeadlineNear) -> None:
    check_fields(found, at, it, _DEADLINE_NEAR)


def _escalation(found: list[Violation], at: str, it: s.Escalation) -> None:
    check_fields(found, at, it, _ESCALATION)
    if not it.to:
        found.append(Violation(f"{at}to", "is required"))
    _items(found, f"{at}to", it.to, len(Contact) - 1, _CONTACT)
    if len(set(it.to)) != len(it.to):
        found.append(Violation(f"{at}to", "names one contact twice"))


def _erasure(found: list[Violation], at: str, it: s.Erasure) -> None:
    check_fields(found, f"{at}legal_basis.", it.legal_basis, _LEGAL_BASIS)
    check_fields(found, at, it, _ERASURE)
    if not it.statements:
        found.append(Violation(f"{at}statements", "are required"))
    for here, one in _each(found, f"{at}statements", it.statements, MAX_ERASED):
        check_fields(found, here, one, _ERASED_STATEMENT)
    places = [one.index for one in it.statements]
    if any(later <= earlier for earlier, later in pairwise(places)):
        found.append(Violation(f"{at}statements", "are not in the log's order, each once"))


def _procedure_record(found: list[Violation], at: str, it: s.ProcedureRecord) -> None:
    check_fields(found, at, it, _PROCEDURE_RECORD)


def _directory_record(found: list[Violation], at: str, it: s.DirectoryRecord) -> None:
    check_fields(found, at, it, _DIRECTORY_RECORD)


_CHECKS: dict[Kind, Callable[..., None]] = {
    Kind.FLAG: _flag,
    Kind.WITHDRAWAL: _withdrawal,
    Kind.ACKNOWLEDGEMENT: _acknowledgement,
    Kind.CLARIFICATION_REQUEST: _clarification_request,
    Kind.CLARIFICATION_ANSWER: _clarification_answer,
    Kind.DECISION: _decision,
    Kind.CORRESPONDENCE: _correspondence,
    Kind.VERIFICATION_REQUEST: _verification_request,
    Kind.VERIFICATION: _verification,
    Kind.OBSTACLE: _obstacle,
    Kind.OBSTACLE_ENDED: _obstacle_ended,
    Kind.CORRECTION: _correction,
    Kind.OBJECTION: _objection,
    Kind.COUNTER_NOTICE: _counter_notice,
    Kind.REVIEW: _review,
    Kind.RESTORE_ORDER: _restore_order,
    Kind.RESTORATION: _restoration,
    Kind.DEADLINE_NEAR: _deadline_near,
    Kind.DEADLINE_MISSED: _deadline_missed,
    Kind.ESCALATION: _escalation,
    Kind.ERASURE: _erasure,
    Kind.DIRECTORY_RECORD: _directory_record,
    Kind.PROCEDURE_RECORD: _procedure_record,
}
_BODIES = {kind: (f"{kind.value}.", check) for kind, check in _CHECKS.items()}
