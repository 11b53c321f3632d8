"""The errors of Panji, arranged by who must act, and the one table of refusal reasons.

``InputError``         the caller: what was passed in breaks a documented rule.
``ConfigError``        the operator: a setting is missing or wrong; names the key.
``VerificationError``  nobody by retrying: what a peer sent does not prove what it claims. Keep it as evidence.
                       ``LogForkError``, one of them, has done so: the exchange's log contradicts itself.
``RefusedError``       the sender: the exchange answered, and the answer is no. ``reason`` says why, ``retryable``
                       whether the same bytes may be sent again.
``TransportError``     the network or the exchange's machine: nobody answered. Sending the same bytes again is safe.

A refusal travels as a gRPC status whose ``google.rpc.ErrorInfo.reason`` is a :class:`Reason` and whose domain is
:data:`ERROR_DOMAIN` (AIP-193). :data:`REASONS` is the only place that joins a reason to its canonical code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

ERROR_DOMAIN = "panji.v1"
"""``google.rpc.ErrorInfo.domain`` of every refusal by an exchange."""


class Code(IntEnum):
    """The canonical codes of ``google.rpc.Code`` that an exchange answers with."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Reason(StrEnum):
    """Why an exchange refused a call or a statement. Names are stable; none is ever reused."""

    # 1 Who is calling?
    TLS_VERSION = "TLS_VERSION"
    CERTIFICATE_IDENTITY = "CERTIFICATE_IDENTITY"
    PARTICIPANT_UNKNOWN = "PARTICIPANT_UNKNOWN"
    # 2 Limits
    RATE_LIMITED = "RATE_LIMITED"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    OVERLOADED = "OVERLOADED"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    # 3 Signatures
    ENVELOPE_MALFORMED = "ENVELOPE_MALFORMED"
    PAYLOAD_TYPE_UNKNOWN = "PAYLOAD_TYPE_UNKNOWN"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    # 4 Form
    REQUEST_INVALID = "REQUEST_INVALID"
    PAYLOAD_EMPTY = "PAYLOAD_EMPTY"
    PAYLOAD_MALFORMED = "PAYLOAD_MALFORMED"
    STATEMENT_INVALID = "STATEMENT_INVALID"
    KIND_MISMATCH = "KIND_MISMATCH"
    WRONG_EXCHANGE = "WRONG_EXCHANGE"
    ISSUE_TIME_OUT_OF_RANGE = "ISSUE_TIME_OUT_OF_RANGE"
    # 5 May they?
    SENDER_MISMATCH = "SENDER_MISMATCH"
    RECIPIENT_UNKNOWN = "RECIPIENT_UNKNOWN"
    RECIPIENT_UNREACHABLE = "RECIPIENT_UNREACHABLE"
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    NOT_ACCREDITED = "NOT_ACCREDITED"
    NOT_IN_PROCEDURE = "NOT_IN_PROCEDURE"
    PROCEDURE_NOT_MET = "PROCEDURE_NOT_MET"
    APPROVALS_MISSING = "APPROVALS_MISSING"
    # 6 Does it fit the case?
    STATEMENT_ID_REUSED = "STATEMENT_ID_REUSED"
    CASE_NOT_FOUND = "CASE_NOT_FOUND"
    REPLY_TARGET_UNKNOWN = "REPLY_TARGET_UNKNOWN"
    NOT_A_PARTY = "NOT_A_PARTY"
    WRONG_RECIPIENT = "WRONG_RECIPIENT"
    TEST_MARKER_MISMATCH = "TEST_MARKER_MISMATCH"
    TARGETS_MISMATCH = "TARGETS_MISMATCH"
    MOVE_NOT_ALLOWED = "MOVE_NOT_ALLOWED"
    CASE_FULL = "CASE_FULL"
    CONTENT_ERASED = "CONTENT_ERASED"
    # Reading
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105 - a reason's name, not a password
    CURSOR_OUT_OF_RANGE = "CURSOR_OUT_OF_RANGE"
    TREE_SIZE_OUT_OF_RANGE = "TREE_SIZE_OUT_OF_RANGE"
    DIRECTORY_NOT_RECORDED = "DIRECTORY_NOT_RECORDED"
    PROCEDURE_NOT_RECORDED = "PROCEDURE_NOT_RECORDED"
    # The exchange itself
    CLOCK_BEHIND = "CLOCK_BEHIND"
    WITNESSES_OVERDUE = "WITNESSES_OVERDUE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    STORAGE_FAILED = "STORAGE_FAILED"
    INTERNAL = "INTERNAL"
    # Never sent: what a client makes of a reason that only a later exchange knows
    UNRECOGNISED = "UNRECOGNISED"


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What a reason means to the caller."""

    code: Code
    """The gRPC status code that the refusal travels with."""
    retryable: bool
    """Whether the very same bytes may be accepted later without anybody changing anything."""
    meaning: str
    """One sentence for the documentation."""


REASONS: Mapping[Reason, ReasonInfo] = {
    Reason.TLS_VERSION: ReasonInfo(Code.UNAUTHENTICATED, False, "The connection is older than TLS 1.3."),
    Reason.CERTIFICATE_IDENTITY: ReasonInfo(
        Code.UNAUTHENTICATED, False, "The client certificate does not carry exactly one SPIFFE URI SAN."
    ),
    Reason.PARTICIPANT_UNKNOWN: ReasonInfo(
        Code.PERMISSION_DENIED, False, "The directory knows no participant of this SPIFFE id, or it is suspended."
    ),
    Reason.RATE_LIMITED: ReasonInfo(
        Code.RESOURCE_EXHAUSTED, True, "The organisation sent more than its rate allows; RetryInfo says when to go on."
    ),
    Reason.BATCH_TOO_LARGE: ReasonInfo(
        Code.INVALID_ARGUMENT, False, "A batch holds at most 1,000 envelopes and at least one."
    ),
    Reason.PAYLOAD_TOO_LARGE: ReasonInfo(
        Code.INVALID_ARGUMENT, False, "The envelope is larger than this exchange takes."
    ),
    Reason.OVERLOADED: ReasonInfo(
        Code.RESOURCE_EXHAUSTED, True, "The exchange's queue is full; RetryInfo says when to try again."
    ),
    Reason.TOO_MANY_CALLS: ReasonInfo(
        Code.RESOURCE_EXHAUSTED,
        True,
        "The organisation has as many streams, or reads, open at once as it may; RetryInfo says when to try again.",
    ),
    Reason.ENVELOPE_MALFORMED: ReasonInfo(
        Code.INVALID_ARGUMENT,
        False,
        "The bytes are no panji.v1.Envelope; or it has no signature, more than 16, or fields that no envelope has.",
    ),
    Reason.PAYLOAD_TYPE_UNKNOWN: ReasonInfo(
        Code.INVALID_ARGUMENT, False, "The payload type is not application/vnd.panji.statement.v1+protobuf."
    ),
    Reason.SIGNATURE_INVALID: ReasonInfo(
        Code.PERMISSION_DENIED,
        False,
        "Fewer valid signatures by distinct keys of the calling organisation, valid now, than it must give.",
    ),
    Reason.REQUEST_INVALID: ReasonInfo(Code.INVALID_ARGUMENT, False, "A field of the request itself is wrong."),
    Reason.PAYLOAD_EMPTY: ReasonInfo(Code.INVALID_ARGUMENT, False, "The payload has no bytes."),
    Reason.PAYLOAD_MALFORMED: ReasonInfo(Code.INVALID_ARGUMENT, False, "The signed payload is no panji.v1.Statement."),
    Reason.STATEMENT_INVALID: ReasonInfo(
        Code.INVALID_ARGUMENT, False, "The statement breaks its form; BadRequest names every field at once."
    ),
    Reason.KIND_MISMATCH: ReasonInfo(Code.INVALID_ARGUMENT, False, "The method does not take statements of this kind."),
    Reason.WRONG_EXCHANGE: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "The statement was signed for another exchange."
    ),
    Reason.ISSUE_TIME_OUT_OF_RANGE: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "The time of issue is too far from the exchange's clock."
    ),
    Reason.SENDER_MISMATCH: ReasonInfo(
        Code.PERMISSION_DENIED, False, "The statement's sender is not the organisation that is calling."
    ),
    Reason.RECIPIENT_UNKNOWN: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "The directory knows no such recipient, or not in the role that is needed."
    ),
    Reason.RECIPIENT_UNREACHABLE: ReasonInfo(
        Code.FAILED_PRECONDITION,
        False,
        "The platform is suspended, or has no participant: nobody could fetch the flag. Answers are still taken.",
    ),
    Reason.ROLE_NOT_ALLOWED: ReasonInfo(
        Code.PERMISSION_DENIED, False, "An organisation of this role does not make statements of this kind."
    ),
    Reason.NOT_ACCREDITED: ReasonInfo(
        Code.PERMISSION_DENIED, False, "No accreditation covers the flag; the metadata name what is not covered."
    ),
    Reason.NOT_IN_PROCEDURE: ReasonInfo(
        Code.FAILED_PRECONDITION,
        False,
        "No rule of the procedure in force covers the flag; the metadata name what is not covered.",
    ),
    Reason.PROCEDURE_NOT_MET: ReasonInfo(
        Code.FAILED_PRECONDITION,
        False,
        "The flag is not as the procedure in force asks for such flags; the violations name every field.",
    ),
    Reason.APPROVALS_MISSING: ReasonInfo(
        Code.FAILED_PRECONDITION,
        False,
        "The procedure in force asks for the signatures of more persons; the metadata say how many.",
    ),
    Reason.STATEMENT_ID_REUSED: ReasonInfo(
        Code.ALREADY_EXISTS, False, "A statement of this id, with other bytes, is already in the log."
    ),
    Reason.CASE_NOT_FOUND: ReasonInfo(Code.NOT_FOUND, False, "There is no such case, or the caller is no party to it."),
    Reason.REPLY_TARGET_UNKNOWN: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "No statement of the case has the digest that this one answers."
    ),
    Reason.NOT_A_PARTY: ReasonInfo(
        Code.PERMISSION_DENIED, False, "Only the other side of the case may make this statement."
    ),
    Reason.WRONG_RECIPIENT: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "The statement is not addressed to the other side of the case."
    ),
    Reason.TEST_MARKER_MISMATCH: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "A drill is answered with drills and a real case with real statements."
    ),
    Reason.TARGETS_MISMATCH: ReasonInfo(
        Code.INVALID_ARGUMENT,
        False,
        "The decision leaves an open target out, or the statement names one that is not open, or that the flag lacks.",
    ),
    Reason.MOVE_NOT_ALLOWED: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "The case's state does not allow this; the metadata say what would be legal."
    ),
    Reason.CASE_FULL: ReasonInfo(
        Code.FAILED_PRECONDITION, False, "This side has said as much in this case as it may; the metadata say how much."
    ),
    Reason.CONTENT_ERASED: ReasonInfo(
        Code.FAILED_PRECONDITION,
        False,
        "What the statement or the case said was erased by law; its record stays.",
    ),
    Reason.PAGE_TOKEN_INVALID: ReasonInfo(
        Code.INVALID_ARGUMENT, False, "The page token is not one of this exchange for this query."
    ),
    Reason.CURSOR_OUT_OF_RANGE: ReasonInfo(
        Code.OUT_OF_RANGE, False, "The cursor is ahead of the feed: it belongs to another exchange or a later state."
    ),
    Reason.TREE_SIZE_OUT_OF_RANGE: ReasonInfo(Code.OUT_OF_RANGE, False, "The log is not that large."),
    Reason.DIRECTORY_NOT_RECORDED: ReasonInfo(
        Code.NOT_FOUND, False, "No record of the directory stands before that place of the log."
    ),
    Reason.PROCEDURE_NOT_RECORDED: ReasonInfo(
        Code.NOT_FOUND, False, "No record of a procedure stands before that place of the log."
    ),
    Reason.CLOCK_BEHIND: ReasonInfo(
        Code.UNAVAILABLE, True, "The server's clock is behind the log's, and a key has ended in between."
    ),
    Reason.WITNESSES_OVERDUE: ReasonInfo(
        Code.UNAVAILABLE,
        True,
        "Too few witnesses have cosigned the log lately, or since the exchange started, or some have seen another log; "
        "it takes nothing new until they cosign.",
    ),
    Reason.SHUTTING_DOWN: ReasonInfo(Code.UNAVAILABLE, True, "The exchange is stopping; another may answer."),
    Reason.STORAGE_FAILED: ReasonInfo(
        Code.UNAVAILABLE, True, "The exchange could not make the statement durable and ends; nothing was accepted."
    ),
    Reason.INTERNAL: ReasonInfo(Code.INTERNAL, True, "A defect in the exchange; its audit log has the request id."),
    Reason.UNRECOGNISED: ReasonInfo(
        Code.INTERNAL, False, "Made by clients only: a reason that their version does not know; the metadata name it."
    ),
}
"""Every reason with its code. The documentation and both ends of the wire are made from this table."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule."""

    field: str
    """Path from the message that was validated, as in ``flag.targets[2].url``."""
    description: str
    """What is wrong and what would be right, without the value itself: it may be content."""


class PanjiError(Exception):
    """Base of every error that Panji raises on purpose."""


class InputError(PanjiError):
    """What the caller passed in breaks a documented rule; all violations are listed at once."""

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        self.message = message
        self.violations = tuple(violations)
        super().__init__(_with_violations(message, self.violations))


class MalformedError(InputError):
    """The bytes are no message of the type that they should be, so no field can be named."""


class ConfigError(PanjiError):
    """A setting is missing or wrong. ``key`` names it as the operator wrote it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(f"{key}: {message}")


class VerificationError(PanjiError):
    """What a peer sent does not prove what it claims. Retrying does not help; keep the bytes as evidence."""


class SignatureError(VerificationError):
    """Too few valid signatures by distinct trusted keys."""


class NoteError(VerificationError):
    """A signed note or checkpoint is malformed, or the expected key did not sign it (C2SP signed-note)."""


class ProofError(VerificationError):
    """An inclusion or consistency proof does not lead to the root (RFC 6962, section 2.1)."""


class QuorumError(VerificationError):
    """Too few of a policy's witnesses cosigned a checkpoint (C2SP tlog-policy).

    ``missing`` says how many more it would have taken, at the least.
    """

    def __init__(self, message: str, missing: int) -> None:
        self.missing = missing
        super().__init__(message)


class StaleHeadError(VerificationError):
    """Enough witnesses cosigned a checkpoint, but too long ago: ``cosigned_at`` is the latest time that counts."""

    def __init__(self, message: str, cosigned_at: datetime) -> None:
        self.cosigned_at = cosigned_at
        super().__init__(message)


class ReceiptError(VerificationError):
    """A receipt does not speak of the statement in hand, or of the log that it should."""


class DeliveryError(VerificationError):
    """A delivered statement is not what the feed may contain: wrong recipient, order, sender or exchange."""


class EvidenceError(VerificationError):
    """A bundle of evidence is damaged, was put together otherwise, or does not hang together."""


class QuarantinedError(VerificationError):
    """A delivery of our feed does not verify. Its bytes are kept; the feed waits at ``sequence`` until it does.

    ``__cause__`` is what is wrong with it. Whoever has looked, and whose directory is the newest, may go on without it.
    """

    def __init__(self, sequence: int, problem: VerificationError) -> None:
        self.sequence = sequence
        super().__init__(
            f"statement {sequence} of the feed does not verify: {problem}. Its bytes are kept as evidence, and the feed"
            f" waits for one that does; with the newest directory, 'panji watch --skip {sequence}' goes on without it"
        )


class AuditError(VerificationError):
    """A log is not what its signed head says. ``where`` names the first tile, bundle or entry that shows it."""

    def __init__(self, where: str, message: str) -> None:
        self.where = where
        super().__init__(f"{where} {message}")


class ForkKind(StrEnum):
    """How a log has contradicted itself."""

    FORK = "FORK"
    """It cannot prove that one of two heads that it has signed extends the other: two histories."""
    ROLLBACK = "ROLLBACK"
    """It says that it is smaller than a head that it has signed: history was taken back."""
    SPLIT = "SPLIT"
    """It has signed two roots for one size: two histories, and the two notes alone prove it to anyone."""


class LogForkError(VerificationError):
    """The log has contradicted itself. Two signed heads are the evidence, whole, as C2SP signed notes.

    Nothing is believed of this exchange until a person has looked: every operation raises this again.
    """

    def __init__(self, kind: ForkKind, kept: str, seen: str, *, saved: Path | None = None) -> None:
        self.kind = kind
        self.kept = kept
        """The head that was believed before, or is the larger one."""
        self.seen = seen
        """The head that contradicts it; empty where the log said that it is empty, which nobody signs."""
        self.saved = saved
        """The file with both; None until it is written."""
        where = f"; both signed heads are in {saved}" if saved else ""
        super().__init__(f"{self.finding}{where}")

    @property
    def finding(self) -> str:
        """What the two heads show, in one line."""
        kept, seen = (_size(note) for note in (self.kept, self.seen))
        match self.kind:
            case ForkKind.FORK:
                older, newer = sorted((kept, seen))
                return f"the log has forked: it does not prove that its head of size {newer} extends that of {older}"
            case ForkKind.ROLLBACK:
                return f"the log was rolled back: it says that it has {seen} entries, and has signed a head of {kept}"
            case ForkKind.SPLIT:
                return f"the log has signed two roots for size {kept}"


def _size(note: str) -> int:
    """The size in a checkpoint that was verified before."""
    return int(note.split("\n", 2)[1]) if note else 0


class RefusedError(PanjiError):
    """The exchange refused. Raised by the exchange's own rules, and again by the client at the wire's other end."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after: timedelta | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        super().__init__(_with_violations(f"{reason}: {message}", self.violations))

    @property
    def code(self) -> Code:
        """The canonical code of the reason."""
        return REASONS[self.reason].code

    @property
    def retryable(self) -> bool:
        """Whether the same bytes may be accepted later."""
        return REASONS[self.reason].retryable


class TransportError(PanjiError):
    """No answer came: the network, the exchange's machine or the TLS handshake failed. Sending again is safe."""


def _with_violations(message: str, violations: Sequence[Violation]) -> str:
    detail = "; ".join(f"{one.field}: {one.description}" for one in violations)
    return f"{message}: {detail}" if detail else message
