"""What witnesses have said of the log's heads, and whether that is enough: kept by time alone, without a network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core import note
from panji.core.cosignature import read_answer
from panji.errors import NoteError, Reason, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from panji.core.cosignature import Cosignature, WitnessVerifier
    from panji.core.tlog_policy import Policy
    from panji_server.storage.base import CosignatureRow

MAX_HEADS = 64
"""Heads whose cosignatures are gathered at once. Beyond, the oldest is given up: newer ones prove more."""
_RETRY = timedelta(seconds=5)
_SOON = timedelta(seconds=1)


@dataclass(slots=True)
class _Head:
    signed: str
    lines: dict[str, str] = field(default_factory=dict)
    """Signature lines by the witness's name in the policy."""
    moved_at: timedelta | None = None
    """When the log was first seen to have gone on from here, by the time that passes evenly."""


class Quorum:
    """Gathers cosignatures, and knows since when the log has gone on without enough of them.

    Witnesses that have seen another log than this one are no longer waited for: where the others cannot make the
    quorum, it is overdue at once, until one of them cosigns after all.

    Args:
        policy: Who must cosign.
        overdue: How long the witnesses may lag behind a log that has moved.
        fail_closed: Whether nothing new is taken while they are overdue, nor before they were asked after a start.
        report: Told of events, by name and fields.
        clock: Gives the time; aware.
        elapsed: Gives time that passes evenly, from any beginning. Lateness is measured by it: a clock that is set back
            must not give the witnesses days.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        overdue: timedelta,
        fail_closed: bool,
        report: Callable[..., None],
        clock: Callable[[], datetime],
        elapsed: Callable[[], timedelta],
    ) -> None:
        self.policy = policy
        self._names = {str(one.verifier): one.name for one in policy.witnesses}
        self._askable = {one.name for one in policy.witnesses if one.url}
        self._allowed = overdue
        self._fail_closed = fail_closed
        self._report = report
        self.clock = clock
        self._elapsed = elapsed
        self._heads: dict[int, _Head] = {}
        self._size = 0
        self._since: timedelta | None = None
        self._overdue = False
        self._against: set[str] = set()
        """Witnesses, by name in the policy, that have seen another log."""
        self._fresh: set[str] = set()
        """Those that have cosigned since the start."""
        self._waiting = False
        self._asked = asyncio.Event()
        self._asked.set()

    @property
    def is_waiting(self) -> bool:
        """Whether the witnesses have yet to be heard, since nothing new is taken before."""
        return self._waiting

    @property
    def is_overdue(self) -> bool:
        """Whether the witnesses were overdue at the last look at the clock."""
        return self._overdue

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
            self._take(row.size, cosignature)

    def moved(self, size: int, signed: str, since: datetime | None = None) -> None:
        """Takes note of the log's newest head.

        Args:
            size: Of its tree.
            signed: Its checkpoint.
            since: When the log went on from the newest head that enough witnesses have cosigned; now unless given.
        """
        at = self._elapsed() - (max(self.clock() - since, timedelta()) if since is not None else timedelta())
        # Not only for a head that is new: one that some have cosigned before a restart is known from then.
        for one, head in self._heads.items():
            if one < size and head.moved_at is None:
                head.moved_at = at
        if size > self._size and self._since is None:
            self._since = at
        if size > max(self._heads, default=0):
            self._heads[size] = _Head(signed)
            while len(self._heads) > MAX_HEADS:
                del self._heads[min(one for one in self._heads if one != self._size)]
        self._judge(size)
        self.check()

    def add(self, size: int, cosignature: Cosignature) -> None:
        """Takes a verified cosignature of a head, given just now."""
        name = self._names[str(cosignature.witness)]
        self._against.discard(name)
        if size in self._heads:
            self._fresh.add(name)
            if not self.policy.missing(self._fresh):
                self.asked()
        self._take(size, cosignature)

    def contradicted(self, witness: WitnessVerifier) -> None:
        """Takes note that a witness has seen another log than this one; so it stands until it cosigns."""
        self._against.add(self._names[str(witness)])
        self.check()

    def wait(self) -> None:
        """Has nothing new taken, where that fails closed, before the witnesses were :meth:`asked`.

        What the database says of them may be as old as the database.
        """
        if self._fail_closed and self.policy.missing(()):
            self._waiting = True
            self._asked.clear()

    def asked(self) -> None:
        """Ends the waiting: enough witnesses have cosigned since the start, or none is left to be heard."""
        self._waiting = False
        self._asked.set()

    def give_up(self) -> None:
        """Lets nobody wait any more: the witnesses will not be asked. Where they were not, nothing new is taken."""
        self._asked.set()

    def check(self) -> None:
        """Looks at the clock, and reports when the witnesses have become overdue, or are so no more."""
        late = self._since is not None and self._elapsed() - self._since > self._allowed
        overdue = late or self._is_contradicted()
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
        if not self._fail_closed:
            return None
        if self._overdue and not self._is_contradicted():
            return _refused("too few witnesses have cosigned the log lately; nothing new is taken until they do")
        return self._doubt()

    async def objection(self) -> RefusedError | None:
        """Returns why the exchange may not even state what it has to say itself; None where it may.

        That is because witnesses have seen another log. Waits until they were asked, unless the log is empty.
        """
        if not self._heads:
            return None
        await self._asked.wait()
        return self._doubt() if self._fail_closed else None

    def _doubt(self) -> RefusedError | None:
        if self._is_contradicted():
            return _refused("witnesses have seen another log than this one; nothing new is taken until they cosign it")
        if self._waiting:
            return _refused("the witnesses are being asked about the log; nothing new is taken before", _SOON)
        return None

    def _is_contradicted(self) -> bool:
        return bool(self._against) and self.policy.missing(self._askable - self._against) > 0

    def _take(self, size: int, cosignature: Cosignature) -> None:
        head = self._heads.get(size)
        if head is not None:  # or it came too late to matter
            head.lines[self._names[str(cosignature.witness)]] = cosignature.line
            self._judge(size)
        self.check()

    def _judge(self, size: int) -> None:
        head = self._heads.get(size)
        if head is None or size <= self._size or self.policy.missing(head.lines.keys()):
            return
        self._size = size
        self._since = head.moved_at
        self._heads = {one: head for one, head in self._heads.items() if one >= size}


def _refused(why: str, retry_after: timedelta = _RETRY) -> RefusedError:
    return RefusedError(Reason.WITNESSES_OVERDUE, why, retry_after=retry_after)
