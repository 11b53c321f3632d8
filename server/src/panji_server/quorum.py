"""What witnesses have said of the log's heads, and whether that is enough: kept by time alone, without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core import note
from panji.core.cosignature import read_answer
from panji.errors import NoteError, Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from panji.core.cosignature import Cosignature
    from panji.core.tlog_policy import Policy
    from panji_server.storage.base import CosignatureRow

MAX_HEADS = 64
"""Heads whose cosignatures are gathered at once. Beyond, the oldest is given up: newer ones prove more."""
_RETRY = timedelta(seconds=5)


@dataclass(slots=True)
class _Head:
    signed: str
    lines: dict[str, str] = field(default_factory=dict)
    """Signature lines by the witness's name in the policy."""
    moved_at: datetime | None = None
    """When the log was first seen to have gone on from here."""


class Quorum:
    """Gathers cosignatures, and knows since when the log has gone on without enough of them.

    Args:
        policy: Who must cosign.
        overdue: How long the witnesses may lag behind a log that has moved.
        fail_closed: Whether nothing new is taken while they are overdue.
        report: Told of events, by name and fields.
        clock: Gives the time; aware.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        overdue: timedelta,
        fail_closed: bool,
        report: Callable[..., None],
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._names = {str(one.verifier): one.name for one in policy.witnesses}
        self._allowed = overdue
        self._fail_closed = fail_closed
        self._report = report
        self.clock = clock
        self._heads: dict[int, _Head] = {}
        self._size = 0
        self._since: datetime | None = None
        self._overdue = False

    @property
    def size(self) -> int:
        """Size of the newest head that enough witnesses have cosigned; 0 where none is."""
        return self._size

    @property
    def signed(self) -> str:
        """That head as a signed note, with the witnesses' lines behind the log's own; empty where there is none."""
        head = self._heads.get(self._size)
        if head is None:
            return ""
        ordered = [head.lines[one.name] for one in self.policy.witnesses if one.name in head.lines]
        return head.signed + "".join(f"{line}\n" for line in ordered)

    @property
    def oldest(self) -> int:
        """Size of the smallest head whose cosignatures are still wanted."""
        return min(self._heads, default=0)

    def restore(self, rows: Sequence[CosignatureRow], checkpoints: Mapping[int, str]) -> None:
        """Takes what was kept before a restart: cosignatures, and the checkpoints that they are of.

        A row that does not verify is left out, since the witness can be asked again.
        """
        witnesses = {str(one.verifier): one.verifier for one in self.policy.witnesses}
        for row in sorted(rows, key=lambda row: row.size):
            signed = checkpoints.get(row.size)
            if signed is None or row.witness not in witnesses:
                continue  # a witness that the policy has no more
            try:
                cosignature = read_answer(f"{row.line}\n", note.parse(signed).text, witnesses[row.witness])
            except NoteError:
                continue
            self._heads.setdefault(row.size, _Head(signed))
            self.add(row.size, cosignature)

    def moved(self, size: int, signed: str, since: datetime | None = None) -> None:
        """Takes note of the log's newest head.

        Args:
            size: Of its tree.
            signed: Its checkpoint.
            since: When the log went on from the newest head that enough witnesses have cosigned; now unless given.
        """
        if size > max(self._heads, default=0):
            now = self.clock() if since is None else since
            for head in self._heads.values():
                head.moved_at = head.moved_at or now
            self._since = self._since or now
            self._heads[size] = _Head(signed)
            while len(self._heads) > MAX_HEADS:
                del self._heads[min(one for one in self._heads if one != self._size)]
        self._judge(size)
        self.check()

    def add(self, size: int, cosignature: Cosignature) -> None:
        """Takes a verified cosignature of a head."""
        head = self._heads.get(size)
        if head is not None:  # or it came too late to matter
            head.lines[self._names[str(cosignature.witness)]] = cosignature.line
            self._judge(size)
            self.check()

    def check(self) -> None:
        """Looks at the clock, and reports when the witnesses have become overdue, or are so no more."""
        overdue = self._since is not None and self.clock() - self._since > self._allowed
        if overdue != self._overdue:
            self._overdue = overdue
            newest = max(self._heads, default=0)
            if overdue:
                self._report("witnesses.overdue", size=newest, witnessed_size=self._size)
            else:
                self._report("witnesses.recovered", size=newest, witnessed_size=self._size)

    def refusal(self) -> RefusedError | None:
        """Returns why nothing new may be taken; None where it may."""
        self.check()
        if not (self._overdue and self._fail_closed):
            return None
        return RefusedError(
            Reason.WITNESSES_OVERDUE,
            "too few witnesses have cosigned the log lately; nothing new is taken until they do",
            retry_after=_RETRY,
        )

    def _judge(self, size: int) -> None:
        head = self._heads.get(size)
        if head is None or size <= self._size or self.policy.missing(head.lines.keys()):
            return
        self._size = size
        self._since = head.moved_at
        self._heads = {one: head for one, head in self._heads.items() if one >= size}
