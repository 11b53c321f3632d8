"""The closed vocabularies of the channel, as values.

Names, numbers and meanings are those of ``protos/panji/v1/vocabulary.proto``, where every value has its source; a test
holds the two together. The core imports no generated code, so they stand here again.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Instrument(IntEnum):
    """What an authority asks with, which fixes its legal effect.

    A platform tells at a glance whether it must or may act.
    """

    UNSPECIFIED = 0
    NOTICE = 1
    REFERRAL = 2
    ORDER = 3
    COURT_ORDER = 4
    EMERGENCY_ORDER = 5
    PRESERVATION = 6
    REINSTATEMENT = 7


class Urgency(IntEnum):
    """How fast. The deadline itself comes from the procedure, by instrument, category and urgency."""

    UNSPECIFIED = 0
    ROUTINE = 1
    URGENT = 2
    THREAT_TO_LIFE = 3


class Category(IntEnum):
    """What the content is said to be.

    The sub-category says it precisely and is mandatory where the category has any.
    """

    UNSPECIFIED = 0
    TERRORISM = 10
    CHILD_SEXUAL_ABUSE = 20
    ADULT_PORNOGRAPHY = 30
    NON_CONSENSUAL_INTIMATE = 31
    GAMBLING = 40
    ILLEGAL_FINANCE = 41
    FRAUD_SCAM = 42
    ILLEGAL_GOODS = 43
    HATE = 50
    VIOLENCE = 51
    DANGEROUS_ORGANISATION = 52
    HUMAN_TRAFFICKING = 53
    DISINFORMATION = 60
    DEFAMATION = 61
    EXTORTION = 62
    INTELLECTUAL_PROPERTY = 70
    PRIVACY_DATA = 71
    INFORMATION_SECURITY = 72
    SELF_HARM = 80
    PUBLIC_ORDER = 90
    FACILITATING_ACCESS = 91
    OTHER_LAW = 99


class SubCategory(IntEnum):
    """The precise kind of content. A value is its category's number times 100 plus a position."""

    UNSPECIFIED = 0
    TERRORISM_INCITES = 1001
    TERRORISM_SOLICITS_COMMISSION = 1002
    TERRORISM_SOLICITS_PARTICIPATION = 1003
    TERRORISM_INSTRUCTS = 1004
    TERRORISM_THREATENS = 1005
    TERRORISM_PROPAGANDA_OTHER = 1006
    CHILD_SEXUAL_ABUSE_A1 = 2001
    CHILD_SEXUAL_ABUSE_A2 = 2002
    CHILD_SEXUAL_ABUSE_B1 = 2003
    CHILD_SEXUAL_ABUSE_B2 = 2004
    CHILD_SEXUAL_ABUSE_GROOMING = 2005
    CHILD_SEXUAL_ABUSE_SEXTORTION = 2006
    CHILD_SEXUAL_ABUSE_SYNTHETIC = 2007
    NON_CONSENSUAL_INTIMATE_REAL = 3101
    NON_CONSENSUAL_INTIMATE_SYNTHETIC = 3102
    GAMBLING_SITE = 4001
    GAMBLING_PROMOTION = 4002
    GAMBLING_ACCOUNT = 4003
    ILLEGAL_FINANCE_LOAN = 4101
    ILLEGAL_FINANCE_INVESTMENT = 4102
    ILLEGAL_FINANCE_PYRAMID = 4103
    FRAUD_SCAM_PHISHING = 4201
    FRAUD_SCAM_IMPERSONATION = 4202
    FRAUD_SCAM_OTHER = 4203
    ILLEGAL_GOODS_FOOD_DRUG_COSMETIC = 4301
    ILLEGAL_GOODS_NARCOTICS = 4302
    ILLEGAL_GOODS_WEAPONS = 4303
    ILLEGAL_GOODS_WILDLIFE = 4304
    ILLEGAL_GOODS_REGULATED_OTHER = 4305
    HATE_ETHNICITY = 5001
    HATE_RELIGION = 5002
    HATE_RACE = 5003
    HATE_GROUP = 5004
    VIOLENCE_GRAPHIC = 5101
    VIOLENCE_AGAINST_CHILDREN = 5102
    VIOLENCE_THREAT = 5103
    DANGEROUS_ORGANISATION_SEPARATISM = 5201
    DANGEROUS_ORGANISATION_OTHER = 5202
    DISINFORMATION_HOAX = 6001
    DISINFORMATION_ELECTION = 6002
    INTELLECTUAL_PROPERTY_COPYRIGHT = 7001
    INTELLECTUAL_PROPERTY_TRADEMARK = 7002
    INTELLECTUAL_PROPERTY_OTHER = 7003
    PRIVACY_DATA_DOXING = 7101
    PRIVACY_DATA_BREACH = 7102
    INFORMATION_SECURITY_MALWARE = 7201
    INFORMATION_SECURITY_BOTNET = 7202
    INFORMATION_SECURITY_OTHER = 7203
    SELF_HARM_SUICIDE = 8001
    SELF_HARM_CHALLENGE = 8002
    PUBLIC_ORDER_UNREST = 9001
    PUBLIC_ORDER_INCITEMENT_TO_RIOT = 9002


class TargetKind(IntEnum):
    """What a target is.

    Order the smallest that is enough. Whole accounts, channels and groups should have a reason why less is not
    enough (`proportionality`); whole domains and IP addresses must.
    """

    UNSPECIFIED = 0
    ACCOUNT = 1
    CHANNEL = 2
    GROUP = 3
    BOT = 4
    MESSAGE = 5
    POST = 6
    COMMENT = 7
    STORY = 8
    MINI_APP = 9
    STICKER_SET = 10
    INVITE_LINK = 11
    SEARCH_TERM = 12
    HASHTAG = 13
    PAGE = 14
    VIDEO = 15
    LIVE_STREAM = 16
    LISTING = 17
    APP = 18
    URL = 19
    DOMAIN = 20
    IP_ADDRESS = 21
    FILE = 22
    EMAIL_ADDRESS = 23
    PHONE_NUMBER = 24
    PAYMENT_ACCOUNT = 25
    MEDIA_HASH = 26
    ADVERTISEMENT = 27
    REPOSITORY = 28


class RequestedAction(IntEnum):
    """What is asked of the platform."""

    UNSPECIFIED = 0
    REMOVE = 1
    DISABLE_IN_JURISDICTION = 2
    SUSPEND_ACCOUNT = 3
    LIMIT_REACH = 4
    LABEL = 5
    PRESERVE = 6
    RESTORE = 7
    NONE = 8


class AuthorityKind(IntEnum):
    """What kind of body issued or decided (PM art. 14(1))."""

    UNSPECIFIED = 0
    ADMINISTRATIVE = 1
    JUDICIAL = 2
    LAW_ENFORCEMENT = 3
    ACCREDITED_PRIVATE = 4


class AcknowledgementLevel(IntEnum):
    """How far the platform has got with a case. Each level is a signed answer of its own."""

    UNSPECIFIED = 0
    RECEIVED = 1
    UNDER_REVIEW = 2


class Outcome(IntEnum):
    """What a platform did with one target."""

    UNSPECIFIED = 0
    REMOVED = 1
    DISABLED_GLOBALLY = 2
    DISABLED_IN_TERRITORY = 3
    REACH_LIMITED = 4
    AGE_RESTRICTED = 5
    INTERACTION_RESTRICTED = 6
    LABELLED = 7
    ACCOUNT_SUSPENDED = 8
    ACCOUNT_TERMINATED = 9
    FEATURE_RESTRICTED = 10
    MONETISATION_RESTRICTED = 11
    SEARCH_DELISTED = 12
    HASH_BLOCKED = 13
    PRESERVED_ONLY = 14
    REFERRED_TO_LAW_ENFORCEMENT = 15
    ALREADY_ACTIONED = 16
    NOT_FOUND = 17
    RESTORED = 18
    NO_ACTION = 19


class Ground(IntEnum):
    """On what ground an action was taken (DSA art. 17(3)(d) and (e))."""

    UNSPECIFIED = 0
    ILLEGAL = 1
    TERMS = 2
    ILLEGAL_AND_TERMS = 3
    ORDER_COMPLIED = 4


class RefusalReason(IntEnum):
    """Why a platform refuses, cannot act or asks.

    A platform may use every one without fear: a refusal is an answer.
    """

    UNSPECIFIED = 0
    NOT_PROHIBITED = 1
    NOT_AGAINST_TERMS = 2
    INSUFFICIENT_LEGAL_BASIS = 3
    NOT_COMPETENT = 4
    AUTHORITY_INVALID = 5
    MANIFEST_ERROR = 6
    INSUFFICIENT_INFORMATION = 7
    LOCATOR_INVALID = 8
    EVIDENCE_MISMATCH = 9
    CONTENT_NOT_FOUND = 10
    DUPLICATE = 11
    ALREADY_ACTIONED = 12
    FORCE_MAJEURE = 13
    TECHNICALLY_IMPOSSIBLE = 14
    NOT_OUR_SERVICE = 15
    DISPROPORTIONATE = 16
    PROTECTED_EXPRESSION = 17
    CONFLICT_OF_LAW = 18
    LANGUAGE_NOT_ACCEPTED = 19
    FLAGGER_SUSPENDED = 20
    UNDER_JUDICIAL_REVIEW = 21
    WITHDRAWN_MEANWHILE = 22
    PRIVATE_COMMUNICATION = 23
    OTHER = 99


class AutomatedDecision(IntEnum):
    """How far automation decided (DSA art. 17(3)(c))."""

    UNSPECIFIED = 0
    NOT_AUTOMATED = 1
    PARTIALLY = 2
    FULLY = 3


class HashAlgorithm(IntEnum):
    """Algorithms by which media is named."""

    UNSPECIFIED = 0
    SHA256 = 1
    SHA1 = 2
    MD5 = 3
    PDQ = 4
    VPDQ = 5
    TMK_PDQF = 6
    PHOTODNA = 7
    TLSH = 8


class TargetState(IntEnum):
    """Where one target of a case stands."""

    UNSPECIFIED = 0
    OPEN = 1
    WITHDRAWN = 2
    ACTIONED = 3
    REFUSED = 4
    RESTORE_DUE = 5
    RESTORED = 6
    NOT_RESTORED = 7


class CaseState(IntEnum):
    """Where a case stands."""

    UNSPECIFIED = 0
    SUBMITTED = 1
    RECEIVED = 2
    UNDER_REVIEW = 3
    CLARIFICATION_REQUESTED = 4
    DECIDED = 5
    WITHDRAWN = 6
    ERASED = 7
    VERIFICATION_REQUESTED = 8
    OBJECTED = 9
    RESTORING = 10


class VerificationResult(IntEnum):
    """What an authority found when it verified its flag."""

    UNSPECIFIED = 0
    CONFIRMED = 1
    NOT_CONFIRMED = 2


class ObstacleKind(IntEnum):
    """What keeps a platform from acting."""

    UNSPECIFIED = 0
    FORCE_MAJEURE = 1
    DE_FACTO_IMPOSSIBILITY = 2
    UNDER_JUDICIAL_REVIEW = 3


class ReviewResult(IntEnum):
    """What a review found of what was contested."""

    UNSPECIFIED = 0
    UPHELD = 1
    OVERTURNED = 2


class RestorationResult(IntEnum):
    """What became of a target that was to be restored."""

    UNSPECIFIED = 0
    RESTORED = 1
    NOT_RESTORED = 2


class Deadline(IntEnum):
    """Which answer a deadline is for."""

    UNSPECIFIED = 0
    ACKNOWLEDGED = 1


class Kind(StrEnum):
    """What a statement says: the name of its body's field in ``panji.v1.Statement``, and its kind in the log."""

    FLAG = "flag"
    WITHDRAWAL = "withdrawal"
    ACKNOWLEDGEMENT = "acknowledgement"
    CLARIFICATION_REQUEST = "clarification_request"
    CLARIFICATION_ANSWER = "clarification_answer"
    DECISION = "decision"
    CORRESPONDENCE = "correspondence"
    VERIFICATION_REQUEST = "verification_request"
    VERIFICATION = "verification"
    OBSTACLE = "obstacle"
    OBSTACLE_ENDED = "obstacle_ended"
    CORRECTION = "correction"
    OBJECTION = "objection"
    COUNTER_NOTICE = "counter_notice"
    REVIEW = "review"
    RESTORE_ORDER = "restore_order"
    RESTORATION = "restoration"
    DEADLINE_MISSED = "deadline_missed"
    ERASURE = "erasure"
    DIRECTORY_RECORD = "directory_record"
    PROCEDURE_RECORD = "procedure_record"


class Role(StrEnum):
    """What an organisation is on the channel."""

    AUTHORITY = "authority"
    PLATFORM = "platform"
    OPERATOR = "operator"


class StopCause(StrEnum):
    """Why the clock of a case stands still."""

    OBSTACLE = "obstacle"
    """Something beyond the platform's control (TCO art. 3(7))."""
    QUESTION = "question"
    """The platform waits for an answer of the authority (TCO art. 3(8), SAMAN klarifikasi and sanggah)."""


RECORDS = frozenset({Kind.DIRECTORY_RECORD, Kind.PROCEDURE_RECORD})
"""What the exchange puts on record about itself, to its own operator; no case has them."""
BY_THE_OPERATOR = frozenset({Kind.DEADLINE_MISSED, Kind.ERASURE, *RECORDS})
"""What the operator of an exchange says, through the exchange or in person; no side of a case may say it."""
OPENING = frozenset({Kind.FLAG, *RECORDS})
"""Statements that answer nothing."""
FOUR_EYES = frozenset({Kind.ERASURE})
"""Statements that need the signatures of two persons, whatever the organisation's own threshold is."""

BINDING = frozenset(
    {
        Instrument.ORDER,
        Instrument.COURT_ORDER,
        Instrument.EMERGENCY_ORDER,
        Instrument.PRESERVATION,
        Instrument.REINSTATEMENT,
    }
)
"""Instruments that bind the platform, and therefore need a legal basis (DSA art. 9(2)(a)(i), PM 5/2020 art. 16(4))."""

SUB_CATEGORIES = {
    category: tuple(sub for sub in SubCategory if sub and sub // 100 == category) for category in Category
}
"""The sub-categories of each category. A sub-category's number is its category's times 100, and more."""
CATEGORIES_WITH_SUB_CATEGORIES = frozenset(category for category, subs in SUB_CATEGORIES.items() if subs)
"""Categories whose flags must say the sub-category."""


def names(values: Iterable[IntEnum]) -> str:
    """Returns the names of a vocabulary, or of a part of it, as errors list them; UNSPECIFIED is none."""
    return ", ".join(value.name for value in values if value)
