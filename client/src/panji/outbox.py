"""The outbox: what we have signed, from before it is sent until long after it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.errors import InputError, ReceiptError, RefusedError
from panji.wire.receipts import encode_receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from panji.session import Signed, Verified
    from panji.store import Store


class Outbox:
    """Every statement that we have signed, with its receipt or its refusal once there is one.

    A statement is durable here before it is sent: a crash between signing and sending, or between sending and storing
    the receipt, leaves it in :meth:`pending`, and sending it again is safe, since it is the same bytes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, batch: Iterable[Signed]) -> None:
        """Keeps statements, all in one commit. What is here already stays as it is.

        Raises:
            InputError: Another statement of the same id is here: an id names one statement for ever.
        """
        with self._store.transaction() as connection:
            for signed in batch:
                statement = signed.statement
                added = connection.execute(
                    "INSERT INTO outbox (id, case_id, kind, recipient, envelope, created_at) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (id) DO NOTHING",
                    (
                        statement.id,
                        statement.case,
                        statement.kind.value,
                        statement.recipient,
                        signed.envelope,
                        statement.issued_at.isoformat(),
                    ),
                ).rowcount
                if not added:
                    row = connection.execute("SELECT envelope FROM outbox WHERE id = ?", (statement.id,)).fetchone()
                    if row[0] != signed.envelope:
                        raise InputError(f"statement {statement.id} was signed before, with other bytes")

    def envelope(self, identifier: str) -> bytes | None:
        """Returns the envelope of a statement, or None where there is none of this id."""
        with self._store.transaction() as connection:
            row = connection.execute("SELECT envelope FROM outbox WHERE id = ?", (identifier,)).fetchone()
        return row[0] if row else None

    def settle(self, results: Sequence[tuple[Signed, Verified | RefusedError]]) -> None:
        """Keeps verified receipts and final refusals, all in one commit. A receipt outweighs an earlier refusal.

        Raises:
            ReceiptError: Two of our statements have one place in their recipient's feed, by the exchange's own
                receipts: it shows the recipient one of them.
        """
        with self._store.transaction() as connection:
            for signed, result in results:
                key = signed.statement.id
                if isinstance(result, RefusedError):
                    connection.execute("UPDATE outbox SET refusal = ? WHERE id = ?", (result.reason.value, key))
                else:
                    place = (result.receipt.recipient, result.receipt.sequence)
                    other = connection.execute(
                        "SELECT id FROM outbox WHERE recipient = ? AND sequence = ? AND id <> ?", (*place, key)
                    ).fetchone()
                    if other:
                        raise ReceiptError(
                            f"statements {other[0]} and {key} have one place in the feed of {place[0]}, {place[1]}:"
                            " one of them is kept from its recipient"
                        )
                    connection.execute(
                        "UPDATE outbox SET receipt = ?, sequence = ?, unlinked = NULL, refusal = NULL WHERE id = ?",
                        (encode_receipt(result.receipt), place[1], key),
                    )

    def set_aside(self, accepted: Iterable[Verified]) -> None:
        """Keeps receipts that are genuine, but not yet known to be of the log that we hold.

        Their statements stay pending. They are evidence that the exchange took them, whatever it says later.
        """
        with self._store.transaction() as connection:
            connection.executemany(
                "UPDATE outbox SET unlinked = ? WHERE id = ?",
                [(encode_receipt(one.receipt), one.statement.id) for one in accepted],
            )

    def unlinked(self) -> list[tuple[bytes, bytes]]:
        """Returns what was set aside and is pending still: envelopes, each with its encoded receipt, oldest first."""
        with self._store.transaction() as connection:
            return connection.execute(
                "SELECT envelope, unlinked FROM outbox WHERE unlinked IS NOT NULL AND receipt IS NULL ORDER BY position"
            ).fetchall()

    def pending(self) -> dict[str, bytes]:
        """Returns the envelopes that have neither receipt nor refusal, by their statements' ids, oldest first."""
        with self._store.transaction() as connection:
            return dict(
                connection.execute(
                    "SELECT id, envelope FROM outbox WHERE receipt IS NULL AND refusal IS NULL ORDER BY position"
                )
            )

    def accepted(self, case_id: str) -> list[bytes]:
        """Returns the envelopes of a case that we hold a receipt for."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT envelope FROM outbox WHERE case_id = ? AND receipt IS NOT NULL", (case_id,)
            ).fetchall()
        return [row[0] for row in rows]
