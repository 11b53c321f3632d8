"""The head of the log that we hold, and the proof that every other head which we are shown is of the same log.

The newest head that was ever believed is in the state file. Whatever an answer proves, it proves in the tree of some
head; before anything of it is handed over, that head is proven to extend the one that is held, or to be a prefix of it
(:mod:`panji.core.heads`). So an exchange can show us one history and no other, over restarts too.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

from panji.core import heads
from panji.core.heads import Head, Link
from panji.errors import NoteError, ProofError, Reason, RefusedError
from panji.steps import Disk, Rpc, Steps, Turn
from panji.store import damaged
from panji.v1 import log_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from panji.forks import Forks
    from panji.session import Session
    from panji.store import Store

_REMEMBERED = 4096
"""Heads that are remembered as proven, and so need no further proof."""
_PROOFS_AT_ONCE = 1000
"""Most proofs of one call."""


class Heads:
    """What we hold of the log.

    Args:
        session: Verifies the log's signatures.
        store: The state file.
        forks: Where evidence goes.
        call: Makes a call, with everything that is retried in it.
    """

    def __init__(self, session: Session, store: Store, forks: Forks, call: Callable[[Rpc], Steps[Any]]) -> None:
        self._session = session
        self._store = store
        self._forks = forks
        self._call = call
        self._held: Head | None = None
        """As the state file had it when it was last read."""
        self._known: OrderedDict[int, Head] = OrderedDict()
        self._waiting: dict[object, Sequence[Head]] = {}
        """What each operation that waits for its turn, or has it, wants proven."""
        self._unsynced = False

    def newest(self) -> Head | None:
        """Returns the newest head that is believed; None before the first. Reads the state file.

        Raises:
            LogForkError: The log has contradicted itself before, and nobody has looked at it.
            ConfigError: What the state file has is no head of this log.
        """
        with self._store.transaction(begin=False) as connection:
            found = self._forks.unresolved_in(connection)
            row = connection.execute("SELECT checkpoint FROM head").fetchone()
        if found is not None:
            raise found
        try:
            self._held = self._head(row[0]) if row else None
        except NoteError as error:
            raise damaged(f"its head of the log is none that the profile's log key has signed ({error})") from error
        return self._held

    def link(self, notes: Iterable[str], *, durable: bool = True) -> Steps[None]:
        """Proves that heads are of the log that we hold; the largest becomes the one that we hold.

        Costs nothing where all are known, and otherwise at most one call for a thousand of them. When it fails,
        nothing has changed, and doing it again is safe.

        Args:
            notes: Signed heads.
            durable: The newest is on the disk when this returns. Otherwise the caller's next commit takes it there.

        Raises:
            LogForkError: They are not. The evidence is not saved yet.
            VerificationError: A note is not by the log's key.
            RefusedError: The exchange does not prove it now.
            TransportError: No answer came.
        """
        seen = [self._head(note) for note in dict.fromkeys(notes)]
        if not self._knows_all(seen):
            operation = object()
            self._waiting[operation] = seen
            try:
                yield from self._link(seen)
            finally:
                del self._waiting[operation]
        if durable and self._unsynced:
            yield Disk(self._sync)

    def believe(self, note: str) -> Steps[Head | None]:
        """Takes what the exchange says to be its newest head, which is linked; empty while the log is.

        Returns:
            The newest head that we hold, which is that one unless it is a stale one of the same log.

        Raises:
            LogForkError: As :meth:`link`.
        """
        held: Head | None = yield Disk(self.newest)
        if held is None or (note and self._head(note).size >= held.size):
            yield from self.link([note] if note else [])
            held = yield Disk(self.newest)
            return held
        # Smaller than what we hold: stale, overtaken by another call of ours, or taken back. It is asked even where the
        # answer is known, since only an exchange that still has what we hold can give it.
        overtaken = Link(held, held, (self._head(note) if note else held,))
        overtaken.verify(overtaken.older, (yield from self._proofs(overtaken.older, held)))
        return held

    def _link(self, seen: Sequence[Head]) -> Steps[None]:
        release = yield Turn()
        try:
            # Whoever has the turn proves the heads of all who wait for it: most find theirs proven when it comes. Its
            # own are always among them, whatever became of those who waited with the same: a head that one operation
            # was refused the proof of is not proven to another.
            while not self._knows_all(seen):
                waiting = [head for wanted in list(self._waiting.values()) for head in wanted]
                link = heads.link(self._held, self._known, [*waiting, *seen])
                if link is None and not self._knows_all(seen):
                    raise ProofError("a head of the log was not proven to be of the log that we hold")
                if link is None or (yield from self._extend(link)):
                    return
        finally:
            release()

    def _extend(self, link: Link) -> Steps[bool]:
        for start in range(0, len(link.older), _PROOFS_AT_ONCE):
            older = link.older[start : start + _PROOFS_AT_ONCE]
            link.verify(older, (yield from self._proofs(older, link.tip)))
        if link.tip is not link.held and not (yield Disk(partial(self._move, link.held, link.tip))):
            return False  # another process has moved the head meanwhile: all is to be proven from there
        for head in (*link.older, link.tip):
            self._known[head.size] = head
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True

    def _proofs(self, older: Sequence[Head], tip: Head) -> Steps[list[Sequence[bytes]]]:
        request = log_service_pb2.GetConsistencyProofsRequest(
            old_sizes=[head.size for head in older], new_size=tip.size
        )
        try:
            response = yield from self._call(Rpc("GetConsistencyProofs", request))
        except RefusedError as refusal:
            if refusal.reason is Reason.TREE_SIZE_OUT_OF_RANGE:
                # It denies a size that it has signed. How large does it say that it is?
                response = yield from self._call(Rpc("GetCheckpoint", log_service_pb2.GetCheckpointRequest()))
                heads.require_size(tip, self._head(response.checkpoint) if response.checkpoint else None)
            raise
        return [proof.hashes for proof in response.proofs]

    def _move(self, held: Head | None, tip: Head) -> bool:
        """Holds another head, unless the one that it was proven from is not the one that is held any more."""
        with self._store.transaction(durable=False) as connection:
            row = connection.execute("SELECT checkpoint FROM head").fetchone()
            moves = (row[0] if row else None) == (held.note if held else None)
            if moves:
                connection.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (tip.note,))
        if moves:
            self._held, self._unsynced = tip, True
        else:
            self.newest()
        return moves

    def _sync(self) -> None:
        """Brings the head to the disk, which the commit of any other change does too."""
        with self._store.transaction() as connection:
            connection.execute("UPDATE head SET checkpoint = checkpoint")
        self._unsynced = False

    def _knows_all(self, seen: Iterable[Head]) -> bool:
        return all(self._knows(head) for head in seen)

    def _knows(self, head: Head) -> bool:
        held = self._held
        known = held if held is not None and held.size == head.size else self._known.get(head.size)
        return known is not None and known.checkpoint.root == head.checkpoint.root

    def _head(self, note: str) -> Head:
        return Head(self._session.open_checkpoint(note), note)
