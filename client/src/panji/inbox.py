"""The inbox: what was delivered to us and verified, and how far we have got with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from panji.core.checkpoint import MAX_SIZE
from panji.errors import DeliveryError, InputError, MalformedError
from panji.store import damaged
from panji.trust import Erased, Verified
from panji.wire.receipts import encode_receipt, parse_receipt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from panji.core.receipt import Receipt
    from panji.store import Store


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in our feed."""

    sequence: int = 0
    """Of the last statement that was handled; 0 before the first."""
    index: int = -1
    """Of the same statement in the log; -1 where it is not known."""


class Inbox:
    """Every statement that was delivered to us, and the cursor of the feed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def cursor(self, sequence: int | None = None) -> Cursor:
        """Returns the stored cursor, or that of a sequence.

        Raises:
            ConfigError: The stored cursor stands where nothing was delivered and nothing skipped: statements would be
                passed over in silence.
            InputError: There is no such sequence.
        """
        if sequence is not None and not 0 <= sequence <= MAX_SIZE:
            raise InputError(f"a feed is read on after a sequence from 0 to {MAX_SIZE}, not {sequence}")
        with self._store.transaction() as connection:
            (stored,) = connection.execute("SELECT sequence FROM cursor").fetchone() or (None,)
            place: Any = stored if sequence is None else sequence
            row = connection.execute("SELECT receipt FROM inbox WHERE sequence = ?", (place,)).fetchone()
            skipped = connection.execute(
                "SELECT 1 FROM quarantine WHERE sequence = ? AND skipped_at IS NOT NULL", (place,)
            ).fetchone()
        if sequence is None and not (place == 0 or row or skipped):
            raise damaged(f"its cursor stands at {place}, and nothing was delivered there")
        return Cursor(place, _receipt(place, row[0]).index) if row else Cursor(place)

    def keep(self, delivered: Iterable[Verified | Erased]) -> None:
        """Keeps verified statements, all in one commit. What is here already stays as it is.

        Of one whose content was erased before we had it, the place is kept. What we had stays ours to delete.

        Raises:
            DeliveryError: Another statement was delivered under the same sequence before, or its place: the exchange
                has rewritten our feed. Or this one was under another sequence.
            ConfigError: The receipt that was kept of it is damaged.
        """
        with self._store.transaction() as connection:
            for one in delivered:
                receipt = one.receipt
                if (place := _other_place(connection, one)) is not None:
                    raise _repeated(place)
                added = connection.execute(
                    "INSERT INTO inbox VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sequence) DO NOTHING",
                    (receipt.sequence, *_what_was_said(one), encode_receipt(receipt), receipt.index),
                ).rowcount
                if not added:
                    row = connection.execute("SELECT receipt FROM inbox WHERE sequence = ?", (receipt.sequence,))
                    if not _is_same(receipt, row.fetchone()[0]):
                        raise DeliveryError(f"the feed had another statement at sequence {receipt.sequence} before")

    def repeated(self, delivered: Iterable[Verified | Erased]) -> tuple[int, DeliveryError] | None:
        """Returns the number of the first statement that our feed had in another place, and what is wrong; or None."""
        places: dict[str, int] = {}
        with self._store.transaction() as connection:
            for number, one in enumerate(delivered):
                if isinstance(one, Verified):
                    place = places.setdefault(one.statement.id, one.receipt.sequence)
                    before = place if place != one.receipt.sequence else _other_place(connection, one)
                    if before is not None:
                        return number, _repeated(before)
        return None

    def advance(self, sequence: int) -> None:
        """Moves the cursor past a statement that was handled.

        Not durable against a power cut: what that undoes is delivered once more, as after any crash, and a commit to
        disk for every statement is saved.
        """
        with self._store.transaction(durable=False) as connection:
            connection.execute("UPDATE cursor SET sequence = max(sequence, ?)", (sequence,))

    def received(self, case_id: str) -> list[bytes]:
        """Returns the envelopes of a case that were delivered to us."""
        with self._store.transaction() as connection:
            query = "SELECT envelope FROM inbox WHERE case_id = ? AND envelope != x''"
            rows = connection.execute(query, (case_id,)).fetchall()
        return [row[0] for row in rows]

    def require_same(self, statements: Iterable[Verified]) -> None:
        """Checks that statements which came by another way than the feed are those that the feed had in their places.

        Raises:
            DeliveryError: The feed had another statement in the place of one, be it one that was erased: it is kept
                from the feed.
            ConfigError: The receipt that was kept of it is damaged.
        """
        with self._store.transaction() as connection:
            for one in statements:
                place = one.receipt.sequence
                row = connection.execute("SELECT receipt FROM inbox WHERE sequence = ?", (place,)).fetchone()
                if row and not _is_same(one.receipt, row[0]):
                    raise DeliveryError(
                        f"statement {one.statement.id} is at sequence {place} of our feed by its receipt, and the feed"
                        " had another one there"
                    )


def _other_place(connection: sqlite3.Connection, one: Verified | Erased) -> int | None:
    """Where our feed had this statement, unless it is where it is now."""
    if not isinstance(one, Verified):
        return None
    query = (
        "SELECT sequence FROM inbox WHERE id = :id AND id != ''"
        " AND NOT EXISTS (SELECT 1 FROM inbox WHERE sequence = :sequence)"
    )
    row = connection.execute(query, {"id": one.statement.id, "sequence": one.receipt.sequence}).fetchone()
    return row[0] if row else None


def _repeated(place: int) -> DeliveryError:
    return DeliveryError(f"the feed had this very statement at sequence {place} before: it was logged twice")


def _what_was_said(one: Verified | Erased) -> tuple[str, str, str, bytes]:
    if isinstance(one, Verified):
        return one.statement.id, one.statement.case, one.statement.kind.value, one.envelope
    return "", one.erasure.statement.case, one.receipt.kind, b""


def _is_same(receipt: Receipt, kept: bytes) -> bool:
    """Whether both are of one entry. What an erased place was comes from its receipt alone, so that is what counts."""
    before = _receipt(receipt.sequence, kept)
    return (before.digest, before.index) == (receipt.digest, receipt.index)


def _receipt(sequence: int, receipt: bytes) -> Receipt:
    try:
        proven = parse_receipt(receipt)
    except MalformedError as error:
        raise damaged(f"its receipt of statement {sequence} is none") from error
    if proven.sequence != sequence:
        raise damaged(f"its receipt of statement {sequence} is another's")
    return proven
