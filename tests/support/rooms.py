"""What tests of the exchange's rooms share: who is on the channel, signed envelopes, and statements put into a log."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from panji.core import envelope as dsse
from panji.core.directory import ANY, Accreditation, Directory, KeyRecord, Organisation
from panji.core.entry import SALT_SIZE
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.statements import DirectoryRecord, ErasedStatement
from panji.core.vocabulary import FOUR_EYES, OPENING, Kind, Role
from panji.errors import RefusedError
from panji.wire.envelopes import encode_envelope
from panji.wire.statements import encode_statement
from panji_server.directory import DirectorySource
from panji_server.sequencing import Accepted, Admitted, CaseRoom, Repeated, one_by_one, sequence
from panji_server.storage.base import AT_ONCE, Timer
from support.exchange import directory_toml
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    OPERATOR,
    PLATFORM,
    STRANGER,
    a_flag,
    a_statement,
    an_erasure,
    an_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from panji.core.case import Case
    from panji.core.statements import Statement
    from panji_server.sequencing import Together
    from panji_server.storage.base import Append, Storage

OTHER_MINISTRY = "kemenkes"
"""An authority without accreditations."""
LATER = NOON + timedelta(seconds=1)
"""When statements arrive: a second after they were issued."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
"""Since when keys and accreditations hold."""

LOG = NoteSigner(EXCHANGE, PrivateKeySigner.generate())
"""The log's key."""
ROLES = {
    MINISTRY: Role.AUTHORITY,
    OTHER_MINISTRY: Role.AUTHORITY,
    PLATFORM: Role.PLATFORM,
    STRANGER: Role.PLATFORM,
    OPERATOR: Role.OPERATOR,
}
"""Who is on the channel."""
SIGNERS = {organisation: PrivateKeySigner.generate() for organisation in ROLES}
"""The statement key of each."""
SECOND_PERSON = PrivateKeySigner.generate()
"""The key of the operator's other person."""


def an_organisation(identifier: str = MINISTRY, **changes: Any) -> Organisation:
    """One of those on the channel, with its key."""
    signers = [SIGNERS[identifier], *([SECOND_PERSON] if identifier == OPERATOR else [])]
    fields = {
        "id": identifier,
        "name": identifier,
        "role": ROLES[identifier],
        "keys": tuple(KeyRecord(one.public_key, LONG_AGO) for one in signers),
        "participants": (f"spiffe://test.example/{identifier}",),
    }
    return Organisation(**{**fields, **changes})


def an_accreditation(**changes: Any) -> Accreditation:
    """The ministry may flag everything to everyone."""
    return Accreditation(**{"authority": MINISTRY, "platform": ANY, "valid_from": LONG_AGO, **changes})


def a_directory(*organisations: Organisation, accreditations: Sequence[Accreditation] | None = None) -> Directory:
    """Everyone on the channel; those that are given replace their namesakes."""
    everyone = {one: an_organisation(one) for one in ROLES} | {one.id: one for one in organisations}
    return Directory(everyone, (an_accreditation(),) if accreditations is None else tuple(accreditations))


class FixedDirectory(DirectorySource):
    """A directory that changes when the test says so."""

    def __init__(self, directory: Directory | None = None) -> None:
        self.directory = directory or a_directory()

    @property
    def current(self) -> Directory:
        return self.directory

    async def follow(self) -> None:
        """Nothing to follow."""


def signed(statement: Statement, *signers: PrivateKeySigner) -> bytes:
    """The envelope of a statement, signed by its sender, or two persons of the operator, unless others are given."""
    own = (SIGNERS[statement.sender], *([SECOND_PERSON] if statement.kind in FOUR_EYES else []))
    return encode_envelope(dsse.sign(encode_statement(statement), signers or own))


def admitted(statement: Statement, received_at: datetime = LATER, *, by: Sequence[PrivateKeySigner] = ()) -> Admitted:
    """A statement that has passed admission, signed as :func:`signed` does."""
    data = signed(statement, *by)
    return Admitted(statement, data, dsse.digest(data), received_at)


def flags(count: int, *, first: int = 1, **changes: Any) -> list[Admitted]:
    """So many flags with ids from ``first`` on, admitted."""
    return [admitted(a_statement(a_flag(), id=an_id(first + n), **changes)) for n in range(count)]


def reply(to: Admitted, body: Any, number: int, **changes: Any) -> Admitted:
    """An admitted answer to a flag, with an id of its own."""
    place = {"id": an_id(number), "case_id": to.statement.case, "in_reply_to": to.digest, "test": to.statement.test}
    return admitted(a_statement(body, **{**place, **changes}))


def a_record(directory: Directory | None = None, *, number: int = 80, **changes: Any) -> Admitted:
    """A directory that is put on record: unless given, of everyone on the channel."""
    body = DirectoryRecord(document=directory_toml(directory or a_directory()))
    return admitted(a_statement(body, id=an_id(number), **changes))


def an_erasure_of(
    flag: Admitted,
    *said: Admitted,
    number: int = 90,
    recipient: str = PLATFORM,
    at: Storage | None = None,
    by: Sequence[PrivateKeySigner] = (),
    **changes: Any,
) -> Admitted:
    """The operator's erasure of a flag's case, in which this was said besides.

    Args:
        flag: Begins the case.
        said: Besides it.
        number: Of the erasure's id.
        recipient: The side that is told.
        at: Where all of it is. None: a log that begins with it, and has nothing in between.
        by: Who signs, but for two persons.
        changes: Of the statement.
    """
    if at is not None:
        rows = {row.digest: row for row in at.rows(range(at.current_head().frontier.size))}
        places = [rows[one.digest].place for one in (flag, *said)]
    else:
        places, numbers = [], Counter[str]()
        for index, one in enumerate((flag, *said)):
            to = one.statement.recipient
            numbers[to] += 1
            places.append(ErasedStatement(digest=one.digest, index=index, recipient=to, sequence=numbers[to]))
    made = reply(flag, an_erasure(statements=tuple(places)), number, **{"recipient": recipient, **changes})
    return admitted(made.statement, by=by) if by else made


def erasures_of(flag: Admitted, *said: Admitted, number: int = 90, **options: Any) -> tuple[Admitted, Admitted]:
    """The same to each side, the platform first, with ids from ``number`` on."""
    to_platform, to_ministry = (
        an_erasure_of(flag, *said, number=number + n, recipient=side, **options)
        for n, side in enumerate((PLATFORM, MINISTRY))
    )
    return to_platform, to_ministry


def counting_salts(start: int = 0) -> Callable[[], bytes]:
    """Salts 0, 1, 2, …: fixed, so that two logs of the same statements are equal."""
    numbers = itertools.count(start)
    return lambda: next(numbers).to_bytes(SALT_SIZE, "big")


def put(storage: Storage, *items: Admitted | Together, **options: Any) -> list[Any]:
    """Appends a group to a log as the ledger does, and gives its outcomes."""
    outcomes: list[Any] = []
    with storage.append() as transaction:
        outcomes += put_into(transaction, *items, **options)
    return outcomes


def put_into(
    transaction: Append,
    *items: Admitted | Together,
    salt: Callable[[], bytes] | None = None,
    room: CaseRoom = CaseRoom(),  # noqa: B008 - frozen
    first_look: Callable[[int, Case, bool], Timer | None] = lambda _index, _case, _untouched: Timer(AT_ONCE),
) -> list[Any]:
    """The same within a transaction that the test has opened."""
    statements = [item.statement for item in one_by_one(items)]
    replies = [statement for statement in statements if statement.kind not in OPENING]
    known = transaction.load(
        {statement.id for statement in statements},
        {one.case_id for one in replies},
        {(one.case_id, one.in_reply_to) for one in replies},
        {statement.recipient for statement in statements},
        {one.case_id for one in replies if one.kind is Kind.ERASURE},
    )
    head, salts = transaction.head(), salt or counting_salts()
    result = sequence(items, head, known, LOG, salts, room=room, first_look=first_look)
    if result.commit is not None:
        transaction.store(result.commit)
    return list(result.outcomes)


def told(outcome: Accepted | Repeated | RefusedError) -> str:
    """An outcome in a word: ``accepted 3``, ``repeated 3`` or the reason of the refusal."""
    if isinstance(outcome, RefusedError):
        return outcome.reason.value
    return f"{type(outcome).__name__.lower()} {outcome.row.index}"
