"""The herald: what the exchange itself says, as signed statements on its operator's behalf. Pure.

The key is one of the operator's in the directory, marked ``automatic``: everyone verifies the exchange's statements as
they verify all others, and no person's signature is ever made by a machine.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.identifier import new_id
from panji.core.statements import (
    DeadlineMissed,
    DeadlineNear,
    DirectoryRecord,
    Escalation,
    ProcedureRecord,
    Statement,
)
from panji.core.vocabulary import Deadline, Kind, Role
from panji.errors import ConfigError
from panji.wire.envelopes import encode_envelope
from panji.wire.statements import encode_statement
from panji_server.sequencing import Admitted

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.directory import Directory
    from panji.core.keys import PublicKey, Signer
    from panji.core.procedure import Occasion
    from panji.core.statements import Body
    from panji_server.storage.base import Fetched

_LANGUAGE = "en"  # nothing in these statements is in a natural language, and the form asks for one


class Herald:
    """Makes the exchange's statements; whoever calls puts them into the log.

    Args:
        origin: Of the exchange's log.
        operator: The organisation that the exchange speaks for.
        signer: The exchange's own key for statements.
        secret: What ids are made with, the same for all servers of the exchange. Whoever knew the id of a statement to
            come could say something else under it, and keep it out of the log.
    """

    def __init__(self, origin: str, operator: str, signer: Signer, secret: bytes) -> None:
        self.operator = operator
        self._origin = origin
        self._signer = signer
        self._secret = secret

    def directory_record(self, document: str, now: datetime) -> Admitted:
        """Returns the statement that this directory is in force from its place in the log on."""
        return self._admitted(self.operator, DirectoryRecord(document=document), self._id(now, document), now)

    def procedure_record(self, document: str, now: datetime) -> Admitted:
        """Returns the statement that this procedure is in force from its place in the log on."""
        return self._admitted(self.operator, ProcedureRecord(document=document), self._id(now, document), now)

    def timed(
        self, case: Case, occasion: Occasion, fetched: Fetched | None, last_seen_at: datetime | None, now: datetime
    ) -> list[Admitted]:
        """Returns the statements, one to each side, of something that time has brought about in a case.

        Their ids follow from what they are about, so that of two servers, or two attempts, one is taken.

        Args:
            case: Of which it is stated.
            occasion: What is stated.
            fetched: How the flag was fetched, if it was.
            last_seen_at: When the platform was last there.
            now: The time of issue.
        """
        # By what the time is counted from, too: a clock that begins anew may have a deadline at the same instant.
        began = case.restore_since if occasion.deadline is Deadline.RESTORED else case.clock.since
        about = f"{case.id}\n{occasion.deadline.name}\n{began}\n"
        if occasion.kind is not Kind.DEADLINE_MISSED:
            about += f"{occasion.kind}\n{occasion.number}\n"
        body = _body(occasion, fetched, last_seen_at)
        return [
            self._admitted(recipient, body, self._id(occasion.due_at, f"{about}{recipient}\n"), now, case)
            for recipient in (case.authority, case.platform)
        ]

    def _id(self, at: datetime, occasion: str) -> str:
        return new_id(at, hmac.digest(self._secret, f"{at.isoformat()}\n{occasion}".encode(), "sha256")[:8])

    def _admitted(
        self, recipient: str, body: Body, identifier: str, now: datetime, case: Case | None = None
    ) -> Admitted:
        statement = Statement(
            id=identifier,
            exchange=self._origin,
            sender=self.operator,
            recipient=recipient,
            issued_at=now,
            language=_LANGUAGE,
            body=body,
            case_id=case.id if case else "",
            in_reply_to=case.flag_digest if case else b"",
            test=case.test if case else False,
        )
        data = encode_envelope(dsse.sign(encode_statement(statement), [self._signer]))
        return Admitted(statement, data, dsse.digest(data), now)


def _body(occasion: Occasion, fetched: Fetched | None, last_seen_at: datetime | None) -> Body:
    deadline, due_at = occasion.deadline, occasion.due_at
    match occasion.kind:
        case Kind.DEADLINE_NEAR:
            return DeadlineNear(deadline=deadline, due_at=due_at, percent=occasion.number)
        case Kind.ESCALATION:
            return Escalation(
                deadline=deadline,
                due_at=due_at,
                step=occasion.number,
                to=occasion.to,
                unseen_since=occasion.unseen_since,
            )
        case _:
            return DeadlineMissed(
                deadline=deadline,
                due_at=due_at,
                delivered_at=fetched.at if fetched else None,
                delivered_to=fetched.participant if fetched else "",
                last_seen_at=last_seen_at,
            )


def operator_of(directory: Directory, key: PublicKey, at: datetime) -> str:
    """Returns the id of the operator whose automatic key this is.

    Raises:
        ConfigError: The directory has no operator with this key, valid now, marked automatic and enough by itself.
    """
    for one in directory.organisations.values():
        for record in one.keys:
            if record.key == key and record.automatic and record.valid_at(at) and one.role is Role.OPERATOR:
                later = [each.keys for each in one.thresholds if each.valid_from > at]
                if {one.threshold_at(at), *later} == {1} and not one.suspended:
                    return one.id
                raise ConfigError("statement_key", f"{one.id} is suspended, or asks for more signatures than one")
    raise ConfigError("statement_key", "is no valid key of an operator in the directory that is marked automatic")
