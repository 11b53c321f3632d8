"""What organisations say to one another, as frozen values that are valid once they exist.

A :class:`Statement` checks itself and everything in it at construction and reports all violations at once, so both the
sender, before signing, and the exchange, after verifying, meet the same rules in the same words. The fields and their
sources are documented in ``protos/panji/v1/statement.proto``; the rules are in :mod:`panji.core.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from panji.core import rules
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
from panji.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis:
    """One provision relied on."""

    jurisdiction: str
    law: str
    article: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentHash:
    """A hash of content, in the algorithm's usual text form."""

    algorithm: HashAlgorithm
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing flagged, as the authority names it."""

    kind: TargetKind
    url: str = ""
    identifier: str = ""
    handle: str = ""
    parent_identifier: str = ""
    observed_at: datetime | None = None
    content_language: str = ""
    locator_note: str = ""
    hashes: tuple[ContentHash, ...] = ()
    snapshot_sha256: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuingAuthority:
    """Who issues the request; it may be another than the organisation that transmits it."""

    name: str
    kind: AuthorityKind
    jurisdiction: str
    contact: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingBody:
    """Who decided that the content is illegal, where it is another body than the issuer."""

    name: str
    kind: AuthorityKind
    document_number: str = ""
    document_date: str = ""
    document_sha256: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A document or capture, named by its digest."""

    sha256: bytes
    description: str
    size_bytes: int = 0
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NonDisclosure:
    """The user must not be told until a time (TCO art. 11(3))."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReference:
    """The list that a statement came with."""

    id: str
    position: int
    count: int
    manifest_sha256: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Asks a platform to look at, or act on, one or more targets."""

    instrument: Instrument
    category: Category
    urgency: Urgency
    reasons: str
    targets: tuple[Target, ...]
    requested_actions: tuple[RequestedAction, ...]
    issuing_authority: IssuingAuthority
    sub_category: SubCategory = SubCategory.UNSPECIFIED
    legal_basis: tuple[LegalBasis, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    deciding_body: DecidingBody | None = None
    reference: str = ""
    respond_by: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    good_faith: bool = False
    proportionality: str = ""
    redress: str = ""
    non_disclosure: NonDisclosure | None = None
    expires_at: datetime | None = None
    batch: BatchReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Takes a flag back: the targets named by position, or all that are open."""

    reasons: str
    targets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Says how far the platform has got."""

    level: AcknowledgementLevel
    platform_reference: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about some targets, or about the whole flag."""

    reason: RefusalReason
    text: str
    targets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClarificationRequest:
    """Asks the authority before deciding."""

    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClarificationAnswer:
    """Answers the open clarification request."""

    text: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDecision:
    """What was done with one target, and why."""

    target: int
    outcome: Outcome
    ground: Ground = Ground.UNSPECIFIED
    refusal: RefusalReason = RefusalReason.UNSPECIFIED
    legal_ground: str = ""
    terms_clause: str = ""
    explanation: str = ""
    effective_at: datetime | None = None
    territories: tuple[str, ...] = ()
    until: datetime | None = None
    automated_decision: AutomatedDecision = AutomatedDecision.UNSPECIFIED
    user_notified_at: datetime | None = None
    user_not_notified_reason: str = ""
    redress: tuple[str, ...] = ()
    preserve_until: datetime | None = None
    duplicate_of: str = ""
    user_not_notified_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Decides every open target of a flag, each exactly once."""

    targets: tuple[TargetDecision, ...]
    platform_reference: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondence:
    """Anything else that belongs on the record."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRequest:
    """Asks the authority to look again at its own flag before the platform decides (PM 5/2020 art. 10(4)(b))."""

    reasons: str
    targets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetVerification:
    """What the authority found about one target on looking again."""

    target: int
    result: VerificationResult
    reasons: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The authority's answer to the open verification request."""

    targets: tuple[TargetVerification, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Something beyond the platform's control keeps it from acting (TCO art. 3(7))."""

    kind: ObstacleKind
    reasons: str
    expected_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObstacleEnded:
    """The obstacle is gone."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Replaces what was decided on some targets."""

    targets: tuple[TargetDecision, ...]
    reasons: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Contests the flag, where the platform makes it, or what was decided, where the authority does."""

    reasons: str
    targets: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterNotice:
    """What the user says against the restriction, passed on by the platform."""

    text: str
    submitted_at: datetime
    targets: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReview:
    """What a review found of one target."""

    target: int
    result: ReviewResult
    reasons: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Answers the open objection or counter-notice."""

    targets: tuple[TargetReview, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """Demands that targets be restored (PM 5/2020 art. 20)."""

    reasons: str
    targets: tuple[int, ...] = ()
    legal_basis: tuple[LegalBasis, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRestoration:
    """What became of one target that was to be restored."""

    target: int
    result: RestorationResult
    effective_at: datetime | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """Says of targets that were to be restored what became of them."""

    targets: tuple[TargetRestoration, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineMissed:
    """The exchange's statement that a deadline passed in silence, and what it knows of the delivery."""

    deadline: Deadline
    due_at: datetime
    delivered_at: datetime | None = None
    delivered_to: str = ""
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedStatement:
    """A statement that is erased, and its place, which only the signatures on this bind to it from then on."""

    digest: bytes
    index: int
    recipient: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The operator's statement that the content of a case is erased, as a law demands."""

    legal_basis: LegalBasis
    reasons: str
    statements: tuple[ErasedStatement, ...]
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRecord:
    """The directory that is in force from this place of the log on."""

    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureRecord:
    """The standard operating procedure that holds from this place of the log on."""

    document: str


Body: TypeAlias = (
    Flag
    | Withdrawal
    | Acknowledgement
    | ClarificationRequest
    | ClarificationAnswer
    | Decision
    | Correspondence
    | VerificationRequest
    | Verification
    | Obstacle
    | ObstacleEnded
    | Correction
    | Objection
    | CounterNotice
    | Review
    | RestoreOrder
    | Restoration
    | DeadlineMissed
    | Erasure
    | DirectoryRecord
    | ProcedureRecord
)

KIND_OF: dict[type, Kind] = {
    Flag: Kind.FLAG,
    Withdrawal: Kind.WITHDRAWAL,
    Acknowledgement: Kind.ACKNOWLEDGEMENT,
    ClarificationRequest: Kind.CLARIFICATION_REQUEST,
    ClarificationAnswer: Kind.CLARIFICATION_ANSWER,
    Decision: Kind.DECISION,
    Correspondence: Kind.CORRESPONDENCE,
    VerificationRequest: Kind.VERIFICATION_REQUEST,
    Verification: Kind.VERIFICATION,
    Obstacle: Kind.OBSTACLE,
    ObstacleEnded: Kind.OBSTACLE_ENDED,
    Correction: Kind.CORRECTION,
    Objection: Kind.OBJECTION,
    CounterNotice: Kind.COUNTER_NOTICE,
    Review: Kind.REVIEW,
    RestoreOrder: Kind.RESTORE_ORDER,
    Restoration: Kind.RESTORATION,
    DeadlineMissed: Kind.DEADLINE_MISSED,
    Erasure: Kind.ERASURE,
    DirectoryRecord: Kind.DIRECTORY_RECORD,
    ProcedureRecord: Kind.PROCEDURE_RECORD,
}
"""The kind of statement that each body makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One message from one organisation to another, bound to its whole context.

    Raises:
        InputError: The statement breaks its form; every violation is listed, with the path of its field.
    """

    id: str
    exchange: str
    sender: str
    recipient: str
    issued_at: datetime
    language: str
    body: Body
    case_id: str = ""
    in_reply_to: bytes = b""
    test: bool = False

    def __post_init__(self) -> None:
        violations = rules.statement(self)
        if violations:
            raise InputError("The statement breaks its form", violations)

    @property
    def kind(self) -> Kind:
        """What the statement says."""
        return KIND_OF[type(self.body)]

    @property
    def case(self) -> str:
        """The id of the case that the statement belongs to: its own, if it opens one."""
        return self.case_id or self.id
