"""Quarantine: what came in our feed and does not verify. The bytes and the error are kept as evidence.

Nothing of it is believed, and the feed does not go on past it by itself: the same may verify tomorrow, when our copy of
the directory is the newer one. A person may let a place of the feed pass, and that is kept too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from panji.errors import InputError

if TYPE_CHECKING:
    from panji.store import Store

_KEPT = 8
"""How many different deliveries are kept for one place of the feed: an exchange that lies need not fill our disk."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A delivery that did not verify."""

    sequence: int
    """The place of the feed that it came in."""
    delivery: bytes
    """A serialised ``panji.v1.Delivery``."""
    error: str
    """What was wrong with it."""
    found_at: datetime
    """When it came first."""
    skipped_at: datetime | None
    """When somebody let its place pass; None while the feed waits there."""


class Quarantine:
    """Every delivery that did not verify, by its place in the feed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, sequence: int, delivery: bytes, error: str, now: datetime) -> None:
        """Keeps a delivery. The same one again changes nothing but what is wrong with it."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO quarantine SELECT :sequence, :digest, :delivery, :error, :now, NULL"
                " WHERE (SELECT count(*) FROM quarantine WHERE sequence = :sequence AND digest <> :digest) < :kept"
                " ON CONFLICT (sequence, digest) DO UPDATE SET error = excluded.error",
                {
                    "sequence": sequence,
                    "digest": sha256(delivery).digest(),
                    "delivery": delivery,
                    "error": error,
                    "now": now.isoformat(),
                    "kept": _KEPT,
                },
            )

    def skip(self, sequence: int, now: datetime) -> list[Quarantined]:
        """Moves the stored cursor past a place of the feed in which nothing verified.

        Returns:
            What came there.

        Raises:
            InputError: The feed does not stand before this place, or nothing is in quarantine there.
        """
        with self._store.transaction() as connection:
            (cursor,) = connection.execute("SELECT sequence FROM cursor").fetchone()
            if sequence != cursor + 1:
                raise InputError(f"the feed goes on at {cursor + 1}: there is nothing to skip at {sequence}")
            if connection.execute("SELECT 1 FROM inbox WHERE sequence = ?", (sequence,)).fetchone():
                raise InputError(f"statement {sequence} of the feed has verified: it is not to be skipped")
            skipped = connection.execute(
                "UPDATE quarantine SET skipped_at = ? WHERE sequence = ?", (now.isoformat(), sequence)
            ).rowcount
            if not skipped:
                raise InputError(f"nothing has come at {sequence} that does not verify: there is nothing to skip")
            connection.execute("UPDATE cursor SET sequence = ?", (sequence,))
        return [one for one in self.all() if one.sequence == sequence]

    def all(self) -> list[Quarantined]:
        """Returns all that was ever kept, in the order of the feed."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT sequence, delivery, error, found_at, skipped_at FROM quarantine ORDER BY sequence, found_at"
            ).fetchall()
        return [
            Quarantined(sequence, delivery, error, _instant(found), _instant(skipped) if skipped else None)
            for sequence, delivery, error, found, skipped in rows
        ]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
