"""Erasing the content of a case, as a law demands: by the operator, and two of its persons.

One person prepares the two statements, one to each side, and signs them; another signs what the first has signed; then
they are submitted. In between they are a file, which says in plain text what it is about.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from panji.core.statements import ErasedStatement, Erasure
from panji.core.vocabulary import BY_THE_OPERATOR, CaseState
from panji.errors import InputError, PanjiError, VerificationError
from panji.wire.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from panji.core.statements import LegalBasis
    from panji.session import Session, Signed
    from panji.v1 import administration_service_pb2

_FORMAT = "panji.erasure.v1"
_SIDES = 2


@dataclass(frozen=True, slots=True)
class StatementOutline:
    """What the operator knows of a statement: nothing of what it says."""

    digest: bytes
    kind: str
    sender: str
    index: int
    recipient: str
    sequence: int


@dataclass(frozen=True, slots=True)
class CaseOutline:
    """What the operator knows of a case, as the exchange tells it."""

    id: str
    authority: str
    platform: str
    test: bool
    state: CaseState
    opened_at: datetime
    statements: tuple[StatementOutline, ...]
    """In the log's order, the flag first."""

    @classmethod
    def of(cls, identifier: str, message: administration_service_pb2.DescribeCaseResponse) -> Self:
        """Reads an answer.

        Raises:
            VerificationError: It is no outline of a case.
        """
        try:
            statements = [
                StatementOutline(one.digest, one.kind, one.sender, one.index, one.recipient, one.sequence)
                for one in message.statements
            ]
            if not statements:
                raise VerificationError("the case is said to have no statements")
            return cls(
                identifier,
                message.authority,
                message.platform,
                message.test,
                CaseState(message.state),
                to_datetime(message.opened_at),
                tuple(statements),
            )
        except (ValueError, InputError) as error:
            raise VerificationError(f"what came is no outline of a case: {error}") from error

    @property
    def said(self) -> tuple[ErasedStatement, ...]:
        """All that the sides have said: what an erasure erases."""
        return tuple(
            ErasedStatement(digest=one.digest, index=one.index, recipient=one.recipient, sequence=one.sequence)
            for one in self.statements
            if one.kind not in BY_THE_OPERATOR
        )


def erasures(
    session: Session, outline: CaseOutline, legal_basis: LegalBasis, reasons: str, *, reference: str = "", now: datetime
) -> list[Signed]:
    """Returns the erasure of a case, signed with our keys: one statement to each side.

    Args:
        session: The operator's.
        outline: Of the case.
        legal_basis: The law that demands it.
        reasons: Why; nothing of the content.
        reference: File number of the order.
        now: The time of issue; the statements must be submitted within the exchange's bounds, a day unless configured.

    Raises:
        InputError: The statement breaks its form.
    """
    body = Erasure(legal_basis=legal_basis, reasons=reasons, statements=outline.said, reference=reference)
    return [
        session.sign(
            side,
            body,
            language="en",
            now=now,
            case_id=outline.id,
            in_reply_to=outline.statements[0].digest,
            test=outline.test,
        )
        for side in (outline.authority, outline.platform)
    ]


def to_file(statements: Sequence[Signed]) -> str:
    """Returns an erasure as the text of a file, for the next person."""
    body = statements[0].statement.body
    assert isinstance(body, Erasure)  # noqa: S101 - of erasures() or from_file()
    return json.dumps(
        {
            "format": _FORMAT,
            "case_id": statements[0].statement.case_id,
            "law": f"{body.legal_basis.jurisdiction} {body.legal_basis.law} {body.legal_basis.article}".strip(),
            "reasons": body.reasons,
            "reference": body.reference,
            "statements_erased": len(body.statements),
            "envelopes": [base64.b64encode(one.envelope).decode("ascii") for one in statements],
        },
        indent=2,
        ensure_ascii=False,
    )


def from_file(text: str, session: Session) -> list[Signed]:
    """Reads a file. What it says in plain text is ignored: what counts is what was signed.

    Raises:
        InputError: It is no erasure by our organisation on this exchange.
    """
    try:
        document: Any = json.loads(text)
        if document["format"] != _FORMAT:
            raise InputError("the file is of another format")
        statements = [session.restore(base64.b64decode(one, validate=True)) for one in document["envelopes"]]
    except (ValueError, KeyError, TypeError, RecursionError, PanjiError) as error:
        raise InputError(f"the file is no erasure: {error}") from error
    one_case = {(one.statement.case_id, one.statement.body) for one in statements}
    ours = {(one.statement.sender, one.statement.exchange) for one in statements}
    if (
        len(statements) != _SIDES
        or len(one_case) != 1
        or ours != {(session.organisation, session.exchange)}
        or not isinstance(statements[0].statement.body, Erasure)
        or statements[0].statement.recipient == statements[1].statement.recipient
    ):
        raise InputError("the file is no erasure of one case, to each of its sides, by our organisation")
    return statements
