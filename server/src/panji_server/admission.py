"""Admission: the steps of a statement's way that need no look at the log. Pure: directory and time are arguments.

The steps are those of DESIGN.md, section 4; each names what it stops. Steps 1 and 2 (who is calling, rate) belong to
the call and come before; step 6 (does it fit the case?) needs the log's order and comes after, in
:mod:`panji_server.sequencing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.statements import Flag
from panji.core.vocabulary import FOUR_EYES
from panji.errors import InputError, MalformedError, Reason, RefusedError, SignatureError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement
from panji_server import policy
from panji_server.sequencing import Admitted

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.directory import Directory, Organisation
    from panji.core.envelope import Envelope
    from panji.core.keys import PublicKey
    from panji.core.procedure import Procedure
    from panji.core.vocabulary import Kind


@dataclass(frozen=True, slots=True)
class Rules:
    """What this exchange demands of every statement."""

    origin: str
    """Of the exchange's log; statements must be addressed to it."""
    max_envelope_bytes: int = 256 * 1024 + 4096
    issued_before: timedelta = timedelta(hours=24)
    """How long before its receipt a statement may have been issued: an outbox may have waited for a network."""
    issued_after: timedelta = timedelta(minutes=5)
    """How far a sender's clock may run ahead."""


def admit(
    data: bytes,
    allowed: frozenset[Kind],
    caller: Organisation,
    *,
    directory: Directory,
    now: datetime,
    rules: Rules,
    procedure: Procedure | None = None,
) -> Admitted:
    """Checks one envelope as far as that is possible without the log.

    Args:
        data: The exact bytes that arrived.
        allowed: Kinds that the called method takes.
        caller: The organisation that calls.
        directory: Everyone on the channel.
        now: When the bytes arrived.
        rules: What the exchange demands.
        procedure: What holds for flags that come now, where both sides have agreed on one.

    Raises:
        RefusedError: With the reason of the step that failed.
    """
    # 2 Size. Stops a caller from making the exchange hash and parse without bound.
    if len(data) > rules.max_envelope_bytes:
        raise RefusedError(
            Reason.PAYLOAD_TOO_LARGE,
            f"an envelope has at most {rules.max_envelope_bytes} bytes",
            metadata={"max_bytes": str(rules.max_envelope_bytes), "bytes": str(len(data))},
        )
    # 3 Signatures, over the bytes as they came, by keys of the caller's own organisation that count now. Stops
    #   forgery, flipped bytes, another organisation's statement, and keys that are revoked or not yet valid.
    envelope, signers = _verified(data, caller, directory, now)
    # 4 Form, all violations at once. Nothing was parsed before this.
    try:
        statement = parse_statement(envelope.payload)
    except MalformedError as error:
        raise RefusedError(Reason.PAYLOAD_MALFORMED, str(error)) from error
    except InputError as error:
        raise RefusedError(
            Reason.STATEMENT_INVALID, "the statement breaks its form", violations=error.violations
        ) from error
    if statement.kind not in allowed:
        raise RefusedError(
            Reason.KIND_MISMATCH,
            f"this method takes no {statement.kind}",
            metadata={"kind": statement.kind.value, "takes": ", ".join(sorted(allowed))},
        )
    #   … signed for this place. Stops replaying a statement on another exchange.
    if statement.exchange != rules.origin:
        raise RefusedError(
            Reason.WRONG_EXCHANGE, "the statement was signed for another exchange", metadata={"origin": rules.origin}
        )
    #   … and where two persons must have seen it, by two of their keys. Stops one person, or a machine, from erasing.
    if statement.kind in FOUR_EYES:
        _require_signatures(envelope, caller, directory.persons(caller.id, now), max(2, caller.threshold_at(now)))
    # 5 May they?
    policy.check(statement, caller, directory, now)
    #   … as the sides have agreed? Stops flags that the procedure has no rule for, or that too few persons approved.
    if procedure is not None and isinstance(statement.body, Flag):
        persons = len(set(directory.persons(caller.id, now)).intersection(signers))
        policy.check_procedure(statement.body, persons, procedure, now)
    #   … and is it of today? Stops old statements from being kept back and submitted when it suits.
    if not now - rules.issued_before <= statement.issued_at <= now + rules.issued_after:
        raise RefusedError(
            Reason.ISSUE_TIME_OUT_OF_RANGE,
            "the time of issue is too far from the time of receipt",
            metadata={"received_at": now.isoformat(), "issued_at": statement.issued_at.isoformat()},
        )
    return Admitted(statement, data, dsse.digest(data), now, caller.keys_end(now))


def _verified(
    data: bytes, caller: Organisation, directory: Directory, now: datetime
) -> tuple[Envelope, tuple[PublicKey, ...]]:
    try:
        envelope = parse_envelope(data, strict=True)
    except MalformedError as error:
        raise RefusedError(Reason.ENVELOPE_MALFORMED, str(error)) from error
    if envelope.payload_type != dsse.PAYLOAD_TYPE:
        raise RefusedError(
            Reason.PAYLOAD_TYPE_UNKNOWN, "the payload is of another type", metadata={"takes": dsse.PAYLOAD_TYPE}
        )
    if not envelope.payload:
        raise RefusedError(Reason.PAYLOAD_EMPTY, "the payload has no bytes")
    return envelope, _require_signatures(envelope, caller, directory.keys(caller.id, now), caller.threshold_at(now))


def _require_signatures(
    envelope: Envelope, caller: Organisation, keys: tuple[PublicKey, ...], threshold: int
) -> tuple[PublicKey, ...]:
    try:
        return dsse.verify(envelope, keys, threshold)
    except SignatureError as error:
        raise RefusedError(
            Reason.SIGNATURE_INVALID,
            str(error),
            metadata={"organisation": caller.id, "threshold": str(threshold)},
        ) from error
