"""Erasing the content of a case, as a law demands: by the operator, and two of its persons.

One person prepares the two statements, one to each side, and signs them; another signs what the first has signed; then
they are submitted. In between they are a file, which says in plain text what it is about.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from panji.core.statements import ErasedStatement, Erasure
from panji.core.vocabulary import BY_THE_OPERATOR, CaseState, Kind
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
            _require_of_one_case(statements, message.authority, message.platform)
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


def _require_of_one_case(statements: Sequence[StatementOutline], authority: str, platform: str) -> None:
    """Check that an outline can be of one case, before two persons sign what it says.

    Raises:
        VerificationError: It cannot.
    """
    # 1 Two sides, and a flag from one to the other at the beginning. Stops an erasure that answers something else.
    first = statements[0]
    if authority == platform or (first.kind, first.sender, first.recipient) != (Kind.FLAG, authority, platform):
        raise VerificationError("the case is said to begin with something else than a flag between its sides")
    # 2 All that is said between these two, or by the operator to one of them. Stops others' feeds from being mixed in:
    #   with the erasure an exchange could hide what stands at these places there.
    for one in statements:
        by_the_operator = one.kind in BY_THE_OPERATOR and one.sender not in {authority, platform}
        if not (by_the_operator or one.sender in {authority, platform} - {one.recipient}) or (
            one.recipient not in {authority, platform}
        ):
            raise VerificationError(
                f"entry {one.index} is not between the sides of the case, {authority} and {platform}"
            )
    # 3 In the log's order, each once, and so in each feed. Stops one place from being named as two.
    for side in (None, authority, platform):
        of_it = [one for one in statements if side in {None, one.recipient}]
        for before, after in pairwise(of_it):
            if before.index >= after.index or (side is not None and before.sequence >= after.sequence):
                raise VerificationError(f"entry {after.index} of the case is not in the log's order")


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
