"""Small makers of valid values. A test names only what matters to it; everything else is fixed and well-formed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from panji.core import case as cases
from panji.core.statements import (
    Acknowledgement,
    BatchReference,
    ClarificationAnswer,
    ClarificationRequest,
    ContentHash,
    Correction,
    Correspondence,
    CounterNotice,
    DeadlineMissed,
    DecidingBody,
    Decision,
    DirectoryRecord,
    ErasedStatement,
    Erasure,
    Evidence,
    Flag,
    IssuingAuthority,
    LegalBasis,
    NonDisclosure,
    Objection,
    Obstacle,
    ObstacleEnded,
    ProcedureRecord,
    Question,
    Restoration,
    RestoreOrder,
    Review,
    Statement,
    Target,
    TargetDecision,
    TargetRestoration,
    TargetReview,
    TargetVerification,
    Verification,
    VerificationRequest,
    Withdrawal,
)
from panji.core.vocabulary import (
    AcknowledgementLevel,
    AuthorityKind,
    AutomatedDecision,
    Category,
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
)

if TYPE_CHECKING:
    from panji.core.statements import Body

EXCHANGE = "exchange.example/log"
"""The origin of the log that every made statement is signed for."""
MINISTRY = "kominfo"
"""The authority."""
PLATFORM = "telegram"
"""The platform."""
OPERATOR = "operator"
"""Runs the exchange, and is no side of any case."""
STRANGER = "bystander"
"""An organisation that is no side of the case."""

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
"""When every made statement was issued."""

DIGEST = bytes(range(32))
"""A SHA-256 for the field that only has to look like one; the flag's digest in :func:`a_case`."""
REQUEST_DIGEST = bytes(range(32, 64))
"""The digest under which tests apply a clarification request."""


def an_id(number: int = 1) -> str:
    """The number as a UUIDv7: equal numbers give equal ids, greater numbers later ones."""
    return f"01970000-0000-7000-8000-{number:012x}"


FLAG_ID = an_id(1)
"""The id of the made flag, and so of its case."""


def a_target(**changes: Any) -> Target:
    """A post at an address."""
    return Target(**{"kind": TargetKind.POST, "url": "https://t.example/gambling_news/17", **changes})


def a_flag(*, count: int = 1, **changes: Any) -> Flag:
    """An order of a ministry about ``count`` posts, with its legal basis."""
    return Flag(
        **{
            "instrument": Instrument.ORDER,
            "category": Category.GAMBLING,
            "sub_category": SubCategory.GAMBLING_PROMOTION,
            "urgency": Urgency.ROUTINE,
            "legal_basis": (LegalBasis(jurisdiction="ID", law="Permenkominfo 5/2020", article="14(1)"),),
            "reasons": "The post promotes an online gambling site to the public.",
            "targets": tuple(a_target(url=f"https://t.example/gambling_news/{16 + n}") for n in range(1, count + 1)),
            "requested_actions": (RequestedAction.REMOVE,),
            "issuing_authority": IssuingAuthority(
                name="Ministry of Communication", kind=AuthorityKind.ADMINISTRATIVE, jurisdiction="ID"
            ),
            **changes,
        }
    )


def a_target_decision(target: int = 1, outcome: Outcome = Outcome.REMOVED, **changes: Any) -> TargetDecision:
    """What was done with a target: removed as illegal, or refused as not prohibited where ``outcome`` is NO_ACTION."""
    reasons: dict[str, Any] = {"ground": Ground.ILLEGAL}
    if outcome is Outcome.NO_ACTION:
        reasons = {"refusal": RefusalReason.NOT_PROHIBITED, "explanation": "The law named does not prohibit it."}
    return TargetDecision(**{"target": target, "outcome": outcome, **reasons, **changes})


def a_decision(*targets: int | TargetDecision, **changes: Any) -> Decision:
    """A decision on the targets: removed, where only a position is given; on the first alone by default."""
    decided = tuple(a_target_decision(one) if isinstance(one, int) else one for one in targets or (1,))
    return Decision(**{"targets": decided, **changes})


def an_acknowledgement(level: AcknowledgementLevel = AcknowledgementLevel.RECEIVED, **changes: Any) -> Acknowledgement:
    """The flag is in the platform's hands, or further."""
    return Acknowledgement(**{"level": level, **changes})


def a_question(*targets: int, **changes: Any) -> Question:
    """A question about some targets, or about the whole flag."""
    fields = {"reason": RefusalReason.LOCATOR_INVALID, "text": "Which of the two posts is meant?", "targets": targets}
    return Question(**{**fields, **changes})


def a_clarification_request(*questions: Question) -> ClarificationRequest:
    """Asks the questions, or one about the whole flag."""
    return ClarificationRequest(questions=questions or (a_question(),))


def a_clarification_answer(**changes: Any) -> ClarificationAnswer:
    """Answers in words."""
    return ClarificationAnswer(**{"text": "The second one.", **changes})


def a_withdrawal(*targets: int, **changes: Any) -> Withdrawal:
    """Takes back the targets, or all that are open."""
    return Withdrawal(**{"reasons": "Flagged by mistake.", "targets": targets, **changes})


def a_correspondence(**changes: Any) -> Correspondence:
    """A remark for the record."""
    return Correspondence(**{"subject": "Office hours", "text": "The desk is closed on Friday.", **changes})


def a_verification_request(*targets: int, **changes: Any) -> VerificationRequest:
    """Doubts the targets, or all that are open."""
    return VerificationRequest(**{"reasons": "The post is a news report.", "targets": targets, **changes})


def a_verification(*targets: int | TargetVerification, result: VerificationResult | None = None) -> Verification:
    """Confirms the targets, or finds of them what ``result`` says; of the first alone by default."""
    found = result or VerificationResult.CONFIRMED
    reasons = "" if found is VerificationResult.CONFIRMED else "It is a news report."
    return Verification(
        targets=tuple(
            TargetVerification(target=one, result=found, reasons=reasons) if isinstance(one, int) else one
            for one in targets or (1,)
        )
    )


def an_obstacle(**changes: Any) -> Obstacle:
    """A cable is cut."""
    return Obstacle(**{"kind": ObstacleKind.FORCE_MAJEURE, "reasons": "A submarine cable is cut.", **changes})


def a_correction(*targets: int | TargetDecision, **changes: Any) -> Correction:
    """Decides the targets anew: removed, where only a position is given; the first alone by default."""
    return Correction(**{"targets": a_decision(*targets).targets, "reasons": "The wrong post was removed.", **changes})


def an_objection(*targets: int, **changes: Any) -> Objection:
    """Contests the targets, or all that can be."""
    return Objection(**{"reasons": "The law named does not cover this.", "targets": targets, **changes})


def a_counter_notice(*targets: int, **changes: Any) -> CounterNotice:
    """The user objects about the targets, or all that were acted on."""
    return CounterNotice(**{"text": "It was satire.", "submitted_at": NOON, "targets": targets, **changes})


def a_review(*targets: int | TargetReview, result: ReviewResult = ReviewResult.UPHELD) -> Review:
    """Upholds what was contested about the targets, or finds what ``result`` says; of the first alone by default."""
    return Review(
        targets=tuple(
            TargetReview(target=one, result=result, reasons="Looked at again by the head of the unit.")
            if isinstance(one, int)
            else one
            for one in targets or (1,)
        )
    )


def a_restore_order(*targets: int, **changes: Any) -> RestoreOrder:
    """Has the targets restored, or all that were acted on."""
    return RestoreOrder(**{"reasons": "The court has lifted the order.", "targets": targets, **changes})


def a_restoration(*targets: int | TargetRestoration, **changes: Any) -> Restoration:
    """Confirms that the targets can be reached again; the first alone by default."""
    restored = tuple(
        TargetRestoration(target=one, result=RestorationResult.RESTORED, effective_at=NOON)
        if isinstance(one, int)
        else one
        for one in targets or (1,)
    )
    return Restoration(**{"targets": restored, **changes})


def a_deadline_missed(**changes: Any) -> DeadlineMissed:
    """No acknowledgement in a day."""
    return DeadlineMissed(**{"deadline": Deadline.ACKNOWLEDGED, "due_at": NOON + timedelta(days=1), **changes})


def an_erased_statement(**changes: Any) -> ErasedStatement:
    """The first that the log has after its directory, and the first to the platform."""
    return ErasedStatement(**{"digest": DIGEST, "index": 1, "recipient": PLATFORM, "sequence": 1, **changes})


def an_erasure(**changes: Any) -> Erasure:
    """A court has the flag's content erased."""
    basis = LegalBasis(jurisdiction="ID", law="UU 27/2022", article="43")
    fields = {"legal_basis": basis, "reasons": "A court has ordered it.", "statements": (an_erased_statement(),)}
    return Erasure(**{**fields, **changes})


def a_body(kind: Kind) -> Body:
    """A valid body of the kind."""
    bodies: dict[Kind, Body] = {
        Kind.FLAG: a_flag(),
        Kind.WITHDRAWAL: a_withdrawal(),
        Kind.ACKNOWLEDGEMENT: an_acknowledgement(),
        Kind.CLARIFICATION_REQUEST: a_clarification_request(),
        Kind.CLARIFICATION_ANSWER: a_clarification_answer(),
        Kind.DECISION: a_decision(),
        Kind.CORRESPONDENCE: a_correspondence(),
        Kind.VERIFICATION_REQUEST: a_verification_request(),
        Kind.VERIFICATION: a_verification(),
        Kind.OBSTACLE: an_obstacle(),
        Kind.OBSTACLE_ENDED: ObstacleEnded(note="The cable is mended."),
        Kind.CORRECTION: a_correction(),
        Kind.OBJECTION: an_objection(),
        Kind.COUNTER_NOTICE: a_counter_notice(),
        Kind.REVIEW: a_review(),
        Kind.RESTORE_ORDER: a_restore_order(),
        Kind.RESTORATION: a_restoration(),
        Kind.DEADLINE_MISSED: a_deadline_missed(),
        Kind.ERASURE: an_erasure(),
        Kind.DIRECTORY_RECORD: DirectoryRecord(document="[[organisation]]\n"),
        Kind.PROCEDURE_RECORD: ProcedureRecord(document='id = "a-procedure"\n'),
    }
    return bodies[kind]


_SIDES: dict[type[Body], tuple[str, str]] = {
    **dict.fromkeys((Flag, Withdrawal, ClarificationAnswer, Verification, RestoreOrder, Review), (MINISTRY, PLATFORM)),
    **dict.fromkeys((DeadlineMissed, Erasure), (OPERATOR, PLATFORM)),
    DirectoryRecord: (OPERATOR, OPERATOR),
    ProcedureRecord: (OPERATOR, OPERATOR),
}


def a_statement(body: Body | None = None, **changes: Any) -> Statement:
    """A statement around the body: a flag by default.

    Flags, withdrawals, answers, reviews and restore orders go from :data:`MINISTRY` to :data:`PLATFORM`, other replies
    back, and what the operator says to the platform. A reply belongs to the case of the made flag and answers
    :data:`DIGEST`.
    """
    said = a_flag() if body is None else body
    sender, recipient = _SIDES.get(type(said), (PLATFORM, MINISTRY))
    place: dict[str, Any] = {"id": FLAG_ID}
    if not isinstance(said, Flag | DirectoryRecord | ProcedureRecord):
        place = {"id": an_id(2), "case_id": FLAG_ID, "in_reply_to": DIGEST}
    fields = {
        "exchange": EXCHANGE,
        "sender": sender,
        "recipient": recipient,
        "issued_at": NOON,
        "language": "en",
        "body": said,
    }
    return Statement(**{**fields, **place, **changes})


def a_case(*, targets: int = 1, **changes: Any) -> cases.Case:
    """The case that the made flag opens, with so many targets, a second after it was issued."""
    flag = a_statement(a_flag(count=targets), **changes)
    return cases.open_case(flag, DIGEST, NOON + timedelta(seconds=1))


def a_full_flag(**changes: Any) -> Flag:
    """A court's order with every field set that a flag has, on two targets."""
    return a_flag(
        **{
            "instrument": Instrument.COURT_ORDER,
            "urgency": Urgency.URGENT,
            "targets": (
                a_target(
                    identifier="-1001234567890/17",
                    handle="@gambling_news",
                    parent_identifier="-1001234567890",
                    observed_at=NOON - timedelta(hours=2),
                    content_language="id",
                    locator_note="at 01:17",
                    hashes=(ContentHash(algorithm=HashAlgorithm.SHA256, value="0a" * 32),),
                    snapshot_sha256=DIGEST,
                ),
                Target(kind=TargetKind.DOMAIN, identifier="gambling.example"),
            ),
            "requested_actions": (RequestedAction.REMOVE, RequestedAction.PRESERVE),
            "jurisdictions": ("ID", "ID-JK"),
            "issuing_authority": IssuingAuthority(
                name="Ministry of Communication",
                kind=AuthorityKind.ADMINISTRATIVE,
                jurisdiction="ID",
                contact="desk@kominfo.example",
            ),
            "deciding_body": DecidingBody(
                name="District Court of Jakarta",
                kind=AuthorityKind.JUDICIAL,
                document_number="17/Pid/2026",
                document_date="2026-05-01",
                document_sha256=DIGEST,
            ),
            "reference": "B-17/2026",
            "respond_by": NOON + timedelta(hours=4),
            "evidence": (an_evidence(),),
            "good_faith": True,
            "proportionality": "The host has nothing but the site.",
            "redress": "Objections go to the ministry.",
            "non_disclosure": NonDisclosure(until=NOON + timedelta(days=42), reason="An investigation is under way."),
            "expires_at": NOON + timedelta(days=365),
            "batch": BatchReference(id="2026-05-04/3", position=2, count=7, manifest_sha256=DIGEST),
            **changes,
        }
    )


def an_evidence(**changes: Any) -> Evidence:
    """A capture, named by its digest."""
    return Evidence(
        **{
            "sha256": DIGEST,
            "description": "Capture of the post.",
            "size_bytes": 48_213,
            "media_type": "image/png",
            **changes,
        }
    )


def a_full_decision(**changes: Any) -> Decision:
    """A decision with every field set that can stand together: one target disabled, one refused as a duplicate."""
    disabled = a_target_decision(
        1,
        Outcome.DISABLED_IN_TERRITORY,
        ground=Ground.ILLEGAL_AND_TERMS,
        legal_ground="Permenkominfo 5/2020, art. 9(4)",
        terms_clause="4.2",
        explanation="The post\npromotes gambling.",
        effective_at=NOON + timedelta(hours=1),
        territories=("ID", "ID-JK"),
        until=NOON + timedelta(days=365),
        automated_decision=AutomatedDecision.NOT_AUTOMATED,
        user_notified_at=NOON + timedelta(hours=2),
        redress=("Write to the desk.", "Go to court."),
        preserve_until=NOON + timedelta(days=180),
    )
    refused = a_target_decision(
        2,
        Outcome.NO_ACTION,
        refusal=RefusalReason.DUPLICATE,
        user_not_notified_reason="Nothing was done.",
        user_not_notified_until=NOON + timedelta(days=42),
        duplicate_of=an_id(77),
    )
    decided = {"targets": (disabled, refused), "platform_reference": "T-99", "note": "Both were seen by a desk."}
    return Decision(**{**decided, **changes})


def a_full_body(kind: Kind) -> Body:
    """A body of the kind with every field set."""
    bodies: dict[Kind, Body] = {
        Kind.FLAG: a_full_flag(),
        Kind.WITHDRAWAL: a_withdrawal(1, 2),
        Kind.ACKNOWLEDGEMENT: an_acknowledgement(platform_reference="T-99", note="Seen."),
        Kind.CLARIFICATION_REQUEST: a_clarification_request(a_question(1, 2)),
        Kind.CLARIFICATION_ANSWER: a_clarification_answer(evidence=(an_evidence(),)),
        Kind.DECISION: a_full_decision(),
        Kind.CORRESPONDENCE: a_correspondence(),
        Kind.VERIFICATION_REQUEST: a_verification_request(1, 2),
        Kind.VERIFICATION: a_verification(
            TargetVerification(target=1, result=VerificationResult.CONFIRMED, reasons="Seen again."),
            TargetVerification(target=2, result=VerificationResult.NOT_CONFIRMED, reasons="It is a news report."),
        ),
        Kind.OBSTACLE: an_obstacle(expected_until=NOON + timedelta(days=2)),
        Kind.OBSTACLE_ENDED: ObstacleEnded(note="The cable is mended."),
        Kind.CORRECTION: a_correction(*a_full_decision().targets),
        Kind.OBJECTION: an_objection(1, 2, evidence=(an_evidence(),)),
        Kind.COUNTER_NOTICE: a_counter_notice(1, 2, evidence=(an_evidence(),)),
        Kind.REVIEW: a_review(1, 2),
        Kind.RESTORE_ORDER: a_restore_order(
            1, 2, legal_basis=(LegalBasis(jurisdiction="ID", law="PM 5/2020", article="20"),)
        ),
        Kind.RESTORATION: a_restoration(
            1,
            TargetRestoration(target=2, result=RestorationResult.NOT_RESTORED, explanation="The account is gone."),
            note="The cache needs an hour.",
        ),
        Kind.DEADLINE_MISSED: a_deadline_missed(
            delivered_at=NOON + timedelta(minutes=1),
            delivered_to="spiffe://exchange.example/telegram/gateway",
            last_seen_at=NOON + timedelta(hours=2),
        ),
        Kind.ERASURE: an_erasure(
            reference="P-3/2026", legal_basis=LegalBasis(jurisdiction="EU", law="GDPR", article="17")
        ),
        Kind.DIRECTORY_RECORD: a_body(Kind.DIRECTORY_RECORD),
        Kind.PROCEDURE_RECORD: a_body(Kind.PROCEDURE_RECORD),
    }
    return bodies[kind]


_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?\.?")


def changed(value: Any, path: str, content: Any) -> Any:
    """The frozen value with another content at a path such as ``targets[0].url``."""
    step = _STEP.match(path)
    if step is None:
        return content
    name, index, rest = step[1], step[2], path[step.end() :]
    inner = getattr(value, name)
    if index is None:
        return replace(value, **{name: changed(inner, rest, content)})
    items = list(inner)
    items[int(index)] = changed(items[int(index)], rest, content)
    return replace(value, **{name: tuple(items)})
