"""What a group of admitted statements makes of the log: pure, from what is known to what must be written.

The writer holds the log's head and calls this once a group. Statements take effect in their order, so a later one of
the group sees the cases as an earlier one left them. A refused statement changes nothing.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from panji.core import case as cases
from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.entry import Entry, commit
from panji.core.merkle import leaf_hash, verify_inclusions
from panji.core.receipt import Receipt
from panji.core.statements import Erasure
from panji.core.vocabulary import BY_THE_OPERATOR, RECORDS, Kind
from panji.errors import InputError, Reason, RefusedError
from panji_server.storage.base import Commit, Head, Row, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.note import NoteSigner
    from panji.core.statements import Statement
    from panji_server.storage.base import Known, Timer


FirstLook: TypeAlias = "Callable[[int, Case, bool], Timer | None]"
_RETRY = timedelta(seconds=1)


_FREEING = frozenset({Kind.DECISION, Kind.WITHDRAWAL})
"""What ends a case. A tenth of the room is kept for it: nobody is to talk a case full and be unable to end it."""


@dataclass(frozen=True, slots=True)
class CaseRoom:
    """How much one side may say in one case: all of it has to go into one answer, and into the other side's hands."""

    statements: int = 1000
    size: int = 8 * 1024 * 1024
    """Bytes of envelopes."""

    def require(self, statement: Statement, said: tuple[int, int], size: int) -> None:
        """Checks that there is room for one more statement.

        Args:
            statement: What is to be said.
            said: How many statements its sender has in the case, and how many bytes.
            size: Of its envelope, in bytes.

        Raises:
            RefusedError: CASE_FULL.
        """
        count, used = said
        tenths = 10 if statement.kind in _FREEING else 9
        if (count + 1) * 10 > self.statements * tenths or (used + size) * 10 > self.size * tenths:
            raise RefusedError(
                Reason.CASE_FULL,
                "this side has said in this case as much as it may; a decision or a withdrawal may still have room",
                metadata={
                    "statements": str(count),
                    "bytes": str(used),
                    "max_statements": str(self.statements),
                    "max_bytes": str(self.size),
                },
            )


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that passed every check which needs no look at the log."""

    statement: Statement
    envelope: bytes
    digest: bytes
    received_at: datetime
    """When its bytes arrived."""
    valid_until: datetime | None = None
    """The first instant at which a key of the sender ends that counted then."""


@dataclass(frozen=True, slots=True)
class Together:
    """Statements of which all are taken or none: one alone would say, or do, what nobody has asked for."""

    items: tuple[Admitted, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A statement with its place in the log."""

    row: Row
    receipt: Receipt
    case_id: str
    test: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """A statement that was in the log already, or earlier in its group, with these very bytes; its receipt is that."""

    row: Row


@dataclass(frozen=True, slots=True)
class Sequenced:
    """The outcome of each statement of a group, and what to write: None when nothing was accepted."""

    outcomes: list[Accepted | Repeated | RefusedError]
    commit: Commit | None


def one_by_one(items: Iterable[Admitted | Together]) -> list[Admitted]:
    """Returns the statements of a group, those that belong together too, in order."""
    return [one for item in items for one in (item.items if isinstance(item, Together) else (item,))]


def sequence(
    items: Sequence[Admitted | Together],
    head: Head,
    known: Known,
    signer: NoteSigner,
    salt: Callable[[], bytes],
    *,
    room: CaseRoom = CaseRoom(),
    first_look: FirstLook | None = None,
) -> Sequenced:
    """Orders a group of statements after the head of the log.

    Args:
        items: The group, in order. Of statements that are refused together each has an outcome, the first refusal.
        head: Where the log ends.
        known: What the database holds of everything that the group names.
        signer: The log's key.
        salt: Gives 16 fresh random bytes.
        room: How much a side may say in a case.
        first_look: When the exchange has to look at a case again, by the index of its flag, the case, and whether
            nothing was said in it but its flag; None: not any more.
    """
    group = _Group(head, known, room)
    drafts: list[Row | Repeated | RefusedError] = []
    for item in items:
        try:
            if isinstance(item, Together):
                after = group.branch()
                drafts += [after.take(one, salt()) for one in item.items]
                group = after
            else:
                drafts.append(group.take(item, salt()))
        except RefusedError as refusal:
            drafts += [refusal] * (len(item.items) if isinstance(item, Together) else 1)
    if not group.rows:
        return Sequenced([one for one in drafts if not isinstance(one, Row)], None)
    # One extension of the tree, one checkpoint, one signature for the whole group.
    leaves = [leaf_hash(Entry(row.kind, row.received_at, row.commitment).encode()) for row in group.rows]
    extension = head.frontier.extend(leaves)
    checkpoint = Checkpoint(signer.verifier.name, extension.frontier.size, extension.root())
    signed = sign_checkpoint(checkpoint, signer)
    rows = [_with_size(row, checkpoint.size) for row in group.rows]
    receipts = [receipt_of(row, proof, signed) for row, proof in zip(rows, extension.inclusion_proofs(), strict=True)]
    # The exchange checks its own receipts before anyone sees them: a defect here ends in an error, not in a lie. The
    # leaf stands for a receipt's other fields, of which it was just made.
    proofs = [receipt.proof for receipt in receipts]
    verify_inclusions(leaves, receipts[0].index, checkpoint.size, proofs, checkpoint.root)
    accepted = {
        row.index: Accepted(row, receipt, statement.case, statement.test)
        for row, receipt, statement in zip(rows, receipts, group.statements, strict=True)
    }
    outcomes: list[Accepted | Repeated | RefusedError] = [
        accepted[one.index]
        if isinstance(one, Row)
        else Repeated(accepted[one.row.index].row)  # came twice in this group: its place in the tree is known only now
        if isinstance(one, Repeated) and one.row.index in accepted
        else one
        for one in drafts
    ]
    written = Commit(
        rows=[one.row for one in accepted.values()],
        cases=group.changed,
        nodes=extension.nodes,
        head=Head(extension.frontier, group.rows[-1].received_at),
        checkpoint=signed,
        timers=_timers(group, head, first_look) if first_look else {},
        erased=group.erased,
    )
    return Sequenced(outcomes, written)


def _timers(group: _Group, head: Head, first_look: FirstLook) -> dict[int, Timer | None]:
    touched = {row.case_index for row in group.rows if row.index != row.case_index}
    return {
        index: first_look(index, case, index >= head.frontier.size and index not in touched)
        for index, case in group.changed.items()
    }


def content_erased() -> RefusedError:
    """Returns the refusal of what would need content that a law had erased."""
    return RefusedError(Reason.CONTENT_ERASED, "what this statement said was erased by law; its place in the log stays")


def receipt_of(row: Row, proof: tuple[bytes, ...], checkpoint: str) -> Receipt:
    """Returns the receipt of a stored statement."""
    return Receipt(
        digest=row.digest,
        kind=row.kind,
        recipient=row.recipient,
        sequence=row.sequence,
        received_at=row.received_at,
        salt=row.salt,
        index=row.index,
        proof=proof,
        checkpoint=checkpoint,
    )


def leaf_of(row: Row) -> bytes:
    """Returns the leaf of a stored statement, made anew of all that is stored of it, never taken as given.

    Of an erased one the commitment is all there is; the tree vouches for it.

    Raises:
        StorageError: The envelope, its digest, the salt, the commitment and the feed's place do not belong together.
    """
    try:
        if not row.erased and (
            dsse.digest(row.envelope) != row.digest
            or commit(row.salt, row.digest, row.recipient, row.sequence) != row.commitment
        ):
            raise StorageError(f"the statement at index {row.index} is not the one that was logged")
        return leaf_hash(Entry(row.kind, row.received_at, row.commitment).encode())
    except InputError as error:  # what makes no entry was never logged
        raise StorageError(f"the statement at index {row.index} is not the one that was logged") from error


def _with_size(row: Row, size: int) -> Row:
    # Written out: dataclasses.replace costs several times as much, and this runs once a statement.
    return Row(
        row.index, row.id, row.kind, row.sender, row.recipient, row.sequence, row.case_index, row.received_at,
        row.salt, row.digest, row.commitment, size, row.envelope,
    )  # fmt: skip


class _Group:
    """The working set of one group: what is known, with what its earlier statements have changed."""

    def __init__(self, head: Head, known: Known, room: CaseRoom) -> None:
        self._room = room
        self._said = dict(known.said)
        self._first = self._next = head.frontier.size
        self._latest = head.received_at
        self._by_id = dict(known.by_id)
        self._cases = dict(known.cases)
        self._answered = set(known.answered)
        self._sequences = dict(known.sequences)
        self._erasable = {index: list(said) for index, said in known.erasable.items()}
        self.rows: list[Row] = []
        self.statements: list[Statement] = []
        self.changed: dict[int, Case] = {}
        self.erased: set[int] = set()

    def branch(self) -> _Group:
        """Returns a group that goes on from here by itself; what it takes is not taken here."""
        made = copy(self)
        # Every container anew, so that none can be forgotten; what they hold is never changed in its place.
        vars(made).update({name: copy(it) for name, it in vars(self).items() if isinstance(it, dict | set | list)})
        return made

    def take(self, item: Admitted, salt: bytes) -> Row | Repeated:
        """Gives a statement its place, or raises RefusedError and changes nothing."""
        statement = item.statement
        # 1 The same id again: the same bytes get the same receipt, other bytes are told so.
        earlier = self._by_id.get(statement.id)
        if earlier is not None:
            if earlier.digest == item.digest:
                if earlier.erased:  # and with it the salt, without which there is no receipt
                    raise content_erased()
                return Repeated(earlier)
            raise RefusedError(
                Reason.STATEMENT_ID_REUSED,
                "another statement of this id is in the log already; choose a fresh id",
                metadata={"statement_id": statement.id},
            )
        # 2 Time only goes forward in the log, whatever the clocks of several servers do.
        received_at = item.received_at if self._latest is None else max(item.received_at, self._latest)
        if item.valid_until is not None and received_at >= item.valid_until:
            raise RefusedError(
                Reason.CLOCK_BEHIND,
                "this server's clock is behind the log's, and a key of the sender has ended in between",
                retry_after=_RETRY,
            )
        # 3 The case, as this statement leaves it.
        case: Case | None
        if statement.kind is Kind.FLAG:
            case_index, case = self._next, cases.open_case(statement, item.digest, received_at)
            self._erasable[case_index] = []
        elif statement.kind in RECORDS:
            case_index, case = self._next, None
        else:
            case_index, case = self._reply(statement, item, received_at)
        # 4 Its place: in the log, and in the recipient's feed.
        number = self._sequences[statement.recipient] + 1
        row = Row(
            self._next, statement.id, statement.kind.value, statement.sender, statement.recipient, number, case_index,
            received_at, salt, item.digest, commit(salt, item.digest, statement.recipient, number), 0, item.envelope,
        )  # fmt: skip
        self._next += 1
        self._latest = received_at
        self._by_id[statement.id] = row
        self._answered.add((case_index, item.digest))
        self._sequences[statement.recipient] = number
        self.rows.append(row)
        self.statements.append(statement)
        if case is not None:
            self._cases[case.id] = (case_index, case)
            self.changed[case_index] = case
        if case_index in self._erasable and statement.kind not in BY_THE_OPERATOR:
            self._erasable[case_index] = [*self._erasable[case_index], row.place]
        if statement.kind is Kind.ERASURE:
            self.erased.add(case_index)
        return row

    def _reply(self, statement: Statement, item: Admitted, received_at: datetime) -> tuple[int, Case]:
        found = self._cases.get(statement.case_id)
        # Whoever is no party learns nothing, not even that there is such a case.
        of_the_operator = statement.kind in BY_THE_OPERATOR  # in its role: see panji_server.policy
        if found is None or not (of_the_operator or statement.sender in {found[1].authority, found[1].platform}):
            raise RefusedError(Reason.CASE_NOT_FOUND, "there is no such case, or you are no party to it")
        case_index, case = found
        if (case_index, statement.in_reply_to) not in self._answered:
            raise RefusedError(
                Reason.REPLY_TARGET_UNKNOWN, "no statement of this case has the digest that in_reply_to names"
            )
        after = cases.apply(case, statement, item.digest, received_at)
        said, size = self._amount(case_index, statement.sender), len(item.envelope)
        if not of_the_operator:
            self._room.require(statement, said, size)
        # What the two persons signed is what is erased: nothing that came in between goes with it unseen.
        if isinstance(statement.body, Erasure) and list(statement.body.statements) != self._erasable[case_index]:
            raise RefusedError(
                Reason.TARGETS_MISMATCH,
                "the statements are not all that the sides have said in this case, at their places",
            )
        self._said[case_index, statement.sender] = (said[0] + 1, said[1] + size)
        return case_index, after

    def _amount(self, case_index: int, sender: str) -> tuple[int, int]:
        """How many statements a sender has in a case by now, and how many bytes."""
        if case_index >= self._first and (case_index, sender) not in self._said:  # its flag came in this group
            flag = self.rows[case_index - self._first]
            return (1, len(flag.envelope)) if flag.sender == sender else (0, 0)
        return self._said.get((case_index, sender), (0, 0))
