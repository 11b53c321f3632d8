"""May they? What an organisation may say to whom, by its role and its accreditations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.moves import MOVES
from panji.core.statements import Flag
from panji.core.vocabulary import RECORDS, Kind, Role
from panji.errors import Reason, RefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.directory import Directory, Organisation
    from panji.core.procedure import Procedure
    from panji.core.statements import Statement

MAKES: dict[Kind, frozenset[Role]] = {
    Kind.FLAG: frozenset({Role.AUTHORITY}),
    **dict.fromkeys(RECORDS, frozenset({Role.OPERATOR})),
    **{kind: move.by for kind, move in MOVES.items()},
}
"""Which roles make statements of which kind."""

_SPEAKS_TO = {
    Role.AUTHORITY: frozenset({Role.PLATFORM}),
    Role.PLATFORM: frozenset({Role.AUTHORITY}),
    Role.OPERATOR: frozenset({Role.AUTHORITY, Role.PLATFORM}),
}


def check(statement: Statement, caller: Organisation, directory: Directory, now: datetime) -> None:
    """Checks that the calling organisation may make this statement to its recipient now.

    Args:
        statement: A verified statement.
        caller: The organisation whose certificate called and whose keys signed.
        directory: Everyone on the channel.
        now: The time of receipt.

    Raises:
        RefusedError: SENDER_MISMATCH, ROLE_NOT_ALLOWED, RECIPIENT_UNKNOWN, RECIPIENT_UNREACHABLE or NOT_ACCREDITED.
    """
    # 1 In its own name? Stops one organisation from relaying a statement as another's.
    if statement.sender != caller.id:
        raise RefusedError(Reason.SENDER_MISMATCH, "the statement's sender is not the organisation that calls")
    # 2 In its role? Stops a platform from flagging and an authority from deciding.
    if caller.role not in MAKES[statement.kind]:
        raise RefusedError(
            Reason.ROLE_NOT_ALLOWED,
            f"an organisation of role {caller.role} makes no {statement.kind}",
            metadata={"role": caller.role.value, "kind": statement.kind.value},
        )
    # 3 To somebody who is there to read it? Stops a statement from being accepted and never seen.
    recipient = directory.organisation(statement.recipient)
    to_itself = statement.kind in RECORDS and statement.recipient == caller.id
    if recipient is None or not (to_itself or recipient.role in _SPEAKS_TO[caller.role]):
        raise RefusedError(
            Reason.RECIPIENT_UNKNOWN,
            f"the recipient is no {' or '.join(sorted(_SPEAKS_TO[caller.role]))} of this exchange's directory",
            metadata={"recipient": statement.recipient},
        )
    #   … and to whom a deadline may run? Stops a flag that nobody can fetch, and a silence that would not be one. What
    #   is said in a case that is open stays possible: a platform must be able to answer, and its answer waits.
    if statement.kind is Kind.FLAG and (recipient.suspended or not recipient.participants):
        raise RefusedError(
            Reason.RECIPIENT_UNREACHABLE,
            "the recipient is suspended, or has no participant that could fetch the flag",
            metadata={"recipient": statement.recipient},
        )
    # 4 Within what was granted? Stops flags beyond an authority's mandate.
    if isinstance(statement.body, Flag):
        _check_accreditation(statement, statement.body, directory, now)


def check_procedure(flag: Flag, persons: int, procedure: Procedure, now: datetime) -> None:
    """Checks that a flag is as the sides have agreed that such flags are.

    Args:
        flag: Of a verified statement.
        persons: How many persons of the authority have signed it, each with a key of their own.
        procedure: What holds now.
        now: The time of receipt.

    Raises:
        RefusedError: NOT_IN_PROCEDURE, PROCEDURE_NOT_MET or APPROVALS_MISSING.
    """
    rule = procedure.rule(flag)
    which = {"procedure": procedure.id, "version": str(procedure.version), "rule": rule.id}
    if violations := procedure.violations(flag, now):
        raise RefusedError(
            Reason.PROCEDURE_NOT_MET,
            "the flag is not as the procedure asks for such flags",
            violations=violations,
            metadata=which,
        )
    needed = rule.terms.approvals.signatures
    if persons < needed:
        raise RefusedError(
            Reason.APPROVALS_MISSING,
            f"{needed} persons must have signed such a flag, each with a key of their own, and {persons} have",
            metadata={**which, "needed": str(needed), "persons": str(persons)},
        )


def _check_accreditation(statement: Statement, flag: Flag, directory: Directory, now: datetime) -> None:
    grants = directory.accreditations_of(statement.sender, statement.recipient, now)
    shortfalls = [grant.shortfall(flag) for grant in grants]
    if "" in shortfalls:
        return
    lacking = "; ".join(dict.fromkeys(shortfalls)) or "any flag to this platform at this time"
    raise RefusedError(Reason.NOT_ACCREDITED, f"no accreditation covers {lacking}", metadata={"not_covered": lacking})
