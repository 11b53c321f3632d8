"""Any well-formed statement, for hypothesis: every kind, every field, whatever the vocabularies hold."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from panji.core.statements import (
    Acknowledgement,
    BatchReference,
    Body,
    ClarificationAnswer,
    ClarificationRequest,
    ContentHash,
    Correction,
    Correspondence,
    CounterNotice,
    DecidingBody,
    Decision,
    Evidence,
    Flag,
    IssuingAuthority,
    LegalBasis,
    NonDisclosure,
    Objection,
    Obstacle,
    ObstacleEnded,
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
    CATEGORIES_WITH_SUB_CATEGORIES,
    AcknowledgementLevel,
    AuthorityKind,
    AutomatedDecision,
    Category,
    Ground,
    HashAlgorithm,
    Instrument,
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
from support.statements import EXCHANGE, MINISTRY, PLATFORM, an_id

if TYPE_CHECKING:
    from enum import IntEnum

_E = TypeVar("_E", bound="IntEnum")


def _any(kind: type[_E]) -> st.SearchStrategy[_E]:
    return st.sampled_from([member for member in kind if member])


def _or_empty(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.just("") | strategy


def _some(strategy: st.SearchStrategy[_T], least: int = 0) -> st.SearchStrategy[tuple[_T, ...]]:
    return st.lists(strategy, min_size=least, max_size=3).map(tuple)


_T = TypeVar("_T")

LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30).filter(
    lambda text: not text.isspace()
)
"""One line in any script."""
TEXTS = st.lists(LINES, min_size=1, max_size=3).map("\n\t".join)
"""Running text in any script."""
INSTANTS = st.datetimes(timezones=st.just(UTC))
"""Any time to the microsecond."""
DIGESTS = st.binary(min_size=32, max_size=32)
"""A SHA-256."""

_maybe_digest = st.just(b"") | DIGESTS
_maybe_instant = st.none() | INSTANTS
_maybe_line = _or_empty(LINES)
_maybe_text = _or_empty(TEXTS)
_languages = st.sampled_from(["id", "en", "zh-Hant", "sr-Latn-RS"])
_countries = st.sampled_from(["ID", "EU", "DE"])
_territories = _some(st.sampled_from(["ID", "ID-JK", "FR-75"]))
_ids = st.integers(0, 2**48 - 1).map(an_id)
_positions = st.lists(st.integers(1, 1000), unique=True, max_size=4).map(tuple)

_hashes = st.one_of(
    st.builds(ContentHash, algorithm=st.just(HashAlgorithm.SHA256), value=DIGESTS.map(bytes.hex)),
    st.builds(ContentHash, algorithm=st.sampled_from([HashAlgorithm.PHOTODNA, HashAlgorithm.TLSH]), value=LINES),
)
_addresses = {
    TargetKind.DOMAIN: st.sampled_from(["t.me", "пример.рф", "उदाहरण.भारत"]),
    TargetKind.IP_ADDRESS: st.ip_addresses().map(str),
}


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """A target of any kind, found in every way there is."""
    kind = draw(_any(TargetKind))
    return Target(
        kind=kind,
        url=f"https://t.example/{draw(st.integers(0))}",
        identifier=draw(_addresses.get(kind, LINES)),
        handle=draw(_maybe_line),
        parent_identifier=draw(_maybe_line),
        observed_at=draw(_maybe_instant),
        content_language=draw(_or_empty(_languages)),
        locator_note=draw(_maybe_line),
        hashes=(ContentHash(algorithm=HashAlgorithm.SHA256, value="0a" * 32), *draw(_some(_hashes))),
        snapshot_sha256=draw(_maybe_digest),
    )


_legal_bases = st.builds(LegalBasis, jurisdiction=_countries, law=LINES, article=_maybe_line)
_deciding_bodies = st.builds(
    DecidingBody,
    name=LINES,
    kind=_any(AuthorityKind),
    document_number=_maybe_line,
    document_date=st.just("") | st.dates().map(str),
    document_sha256=_maybe_digest,
)
_evidence = st.builds(
    Evidence,
    sha256=DIGESTS,
    description=LINES,
    size_bytes=st.integers(0, 2**64 - 1),
    media_type=st.sampled_from(["", "application/pdf"]),
)
_batches = st.integers(1, 2**32 - 1).flatmap(
    lambda count: st.builds(
        BatchReference,
        id=LINES,
        position=st.integers(1, count),
        count=st.just(count),
        manifest_sha256=_maybe_digest,
    )
)


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    """A flag with any instrument, about anything."""
    instrument, category = draw(_any(Instrument)), draw(_any(Category))
    own = [sub for sub in SubCategory if sub // 100 == category]
    actions = draw(st.lists(_any(RequestedAction), min_size=1, unique=True))
    return Flag(
        instrument=instrument,
        category=category,
        sub_category=draw(st.sampled_from(own))
        if category in CATEGORIES_WITH_SUB_CATEGORIES
        else SubCategory.UNSPECIFIED,
        urgency=draw(_any(Urgency)),
        legal_basis=draw(_some(_legal_bases, least=1)),
        reasons=draw(TEXTS),
        targets=draw(_some(targets(), least=1)),
        requested_actions=(RequestedAction.PRESERVE,) if instrument is Instrument.PRESERVATION else tuple(actions),
        jurisdictions=draw(_territories),
        issuing_authority=IssuingAuthority(
            name=draw(LINES), kind=draw(_any(AuthorityKind)), jurisdiction=draw(_countries), contact=draw(_maybe_line)
        ),
        deciding_body=draw(_deciding_bodies if instrument is Instrument.COURT_ORDER else st.none() | _deciding_bodies),
        reference=draw(_maybe_line),
        respond_by=draw(_maybe_instant),
        evidence=draw(_some(_evidence)),
        good_faith=instrument is Instrument.NOTICE or draw(st.booleans()),
        proportionality=draw(TEXTS),
        redress=draw(_maybe_text),
        non_disclosure=draw(st.none() | st.builds(NonDisclosure, until=INSTANTS, reason=TEXTS)),
        expires_at=draw(_maybe_instant),
        batch=draw(st.none() | _batches),
    )


@st.composite
def target_decisions(draw: st.DrawFn, target: int) -> TargetDecision:
    """Any outcome for a target, with what it needs."""
    outcome = draw(_any(Outcome))
    refused = outcome is Outcome.NO_ACTION
    return TargetDecision(
        target=target,
        outcome=outcome,
        ground=draw(_any(Ground)),
        refusal=draw(_any(RefusalReason)) if refused else RefusalReason.UNSPECIFIED,
        legal_ground=draw(_maybe_line),
        terms_clause=draw(_maybe_line),
        explanation=draw(TEXTS),
        effective_at=draw(_maybe_instant),
        territories=draw(_territories) or ("ID",),
        until=draw(_maybe_instant),
        automated_decision=draw(st.sampled_from(AutomatedDecision)),
        user_notified_at=draw(_maybe_instant),
        user_not_notified_reason=draw(_maybe_line),
        redress=draw(_some(LINES)),
        preserve_until=draw(_maybe_instant),
        duplicate_of=draw(_ids),
    )


_decided = st.lists(st.integers(1, 1000), min_size=1, max_size=3, unique=True).flatmap(
    lambda positions: st.tuples(*(target_decisions(position) for position in positions))
)
_places = st.lists(st.integers(1, 1000), min_size=1, max_size=3, unique=True)


def _per_target(kind: type[_T], **fields: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[_T, ...]]:
    return _places.flatmap(lambda places: st.tuples(*(st.builds(kind, target=st.just(at), **fields) for at in places)))


_restored = _per_target(TargetRestoration, result=st.just(RestorationResult.RESTORED), effective_at=INSTANTS)
_not_restored = _per_target(TargetRestoration, result=st.just(RestorationResult.NOT_RESTORED), explanation=TEXTS)
_questions = st.builds(Question, reason=_any(RefusalReason), text=TEXTS, targets=_positions)
_replies: st.SearchStrategy[Body] = st.one_of(
    st.builds(Withdrawal, reasons=TEXTS, targets=_positions),
    st.builds(Acknowledgement, level=_any(AcknowledgementLevel), platform_reference=_maybe_line, note=_maybe_text),
    st.builds(ClarificationRequest, questions=_some(_questions, least=1)),
    st.builds(ClarificationAnswer, text=TEXTS, evidence=_some(_evidence)),
    st.builds(Decision, targets=_decided, platform_reference=_maybe_line, note=_maybe_text),
    st.builds(Correspondence, subject=LINES, text=TEXTS),
    st.builds(VerificationRequest, reasons=TEXTS, targets=_positions),
    st.builds(Verification, targets=_per_target(TargetVerification, result=_any(VerificationResult), reasons=TEXTS)),
    st.builds(Obstacle, kind=_any(ObstacleKind), reasons=TEXTS, expected_until=_maybe_instant),
    st.builds(ObstacleEnded, note=_maybe_text),
    st.builds(Correction, targets=_decided, reasons=TEXTS),
    st.builds(Objection, reasons=TEXTS, targets=_positions, evidence=_some(_evidence)),
    st.builds(CounterNotice, text=TEXTS, submitted_at=INSTANTS, targets=_positions, evidence=_some(_evidence)),
    st.builds(Review, targets=_per_target(TargetReview, result=_any(ReviewResult), reasons=TEXTS)),
    st.builds(RestoreOrder, reasons=TEXTS, targets=_positions),
    st.builds(Restoration, targets=st.one_of(_restored, _not_restored), note=_maybe_text),
)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Any well-formed statement of any kind."""
    body = draw(st.one_of(flags(), _replies))
    reply = not isinstance(body, Flag)
    return Statement(
        id=draw(_ids),
        exchange=EXCHANGE,
        sender=MINISTRY,
        recipient=PLATFORM,
        issued_at=draw(INSTANTS),
        language=draw(_languages),
        body=body,
        case_id=draw(_ids) if reply else "",
        in_reply_to=draw(DIGESTS) if reply else b"",
        test=draw(st.booleans()),
    )
