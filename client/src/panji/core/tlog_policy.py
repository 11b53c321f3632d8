"""Policies: which logs, which witnesses, and how many of these make a checkpoint credible (C2SP tlog-policy).

A policy is a text of lines::

    log <verifier key> [<URL>]
    witness <name> <verifier key> [<URL>]
    group <name> all|any|<k> <name>...
    quorum <name>|none
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core import note
from panji.core.checkpoint import Checkpoint
from panji.core.cosignature import Cosignature, WitnessVerifier, cosignature_of
from panji.core.note import NoteVerifier
from panji.errors import InputError, NoteError, QuorumError, StaleHeadError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime

    from panji.core.keys import PublicKey

NONE = "none"
"""The quorum that needs no witness."""
MAX_BYTES = 1_000_000
"""Of a policy's text."""
MAX_DEFINITIONS = 1000
"""Logs, witnesses and groups of one policy together; the specification asks for at least 32 of each."""
AHEAD = timedelta(minutes=5)
"""How far a witness's clock may run ahead of ours. Later cosignatures do not count: nobody knows what they date."""

_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_ITEM = re.compile(r"[^ \t]+")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose checkpoints the policy accepts."""

    verifier: NoteVerifier
    url: str = ""
    """Empty where none is given; what it means is for whoever uses the policy."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness of the policy."""

    name: str
    """Within the policy only. Octets that are no UTF-8 stand as lone surrogates, so that names differ as octets do."""
    verifier: WitnessVerifier
    url: str = ""
    """Its submission prefix (C2SP tlog-witness), empty where none is given."""


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses and groups of which so many must have witnessed a checkpoint for the group to have done so."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose word makes a checkpoint credible.

    Raises:
        InputError: A name or key stands twice, a threshold cannot be met, or a name is not defined before its use.
    """

    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    """Each names only witnesses and earlier groups, so that none can contain itself."""
    quorum: str
    """Name of a witness or group, or :data:`NONE`."""
    logs: tuple[PolicyLog, ...] = ()
    """Empty where the log is known from elsewhere."""

    def __post_init__(self) -> None:
        _require_distinct_keys("log", (one.verifier.public_key for one in self.logs))
        # One key under two names would be two witnesses to the quorum, and one to the world.
        _require_distinct_keys("witness", (one.verifier.public_key for one in self.witnesses))
        defined: set[str] = set()
        members: set[str] = set()
        for name in (one.name for one in self.witnesses):
            _define(name, defined)
        for group in self.groups:
            _require_sound(group, defined, members)
            _define(group.name, defined)
        if self.quorum != NONE and self.quorum not in defined:
            raise InputError(f"the quorum {self.quorum!r} is neither a witness nor a group of the policy")

    def missing(self, witnesses: Collection[str]) -> int:
        """Say how many more witnesses would have to cosign, at the least, for the quorum; 0 where it is met."""
        if self.quorum == NONE:
            return 0
        needed = {one.name: int(one.name not in witnesses) for one in self.witnesses}
        for group in self.groups:
            # Each name is a member once, so what one group needs costs no other anything.
            needed[group.name] = sum(sorted(needed[name] for name in group.members)[: group.threshold])
        return needed[self.quorum]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that the policy accepts, with the cosignatures that count."""

    checkpoint: Checkpoint
    cosignatures: tuple[tuple[str, Cosignature], ...]
    """The witness's name in the policy, and its cosignature, in the policy's order."""


def parse_policy(data: bytes) -> Policy:
    """Read a policy's text.

    Raises:
        InputError: It breaks the format, or as for :class:`Policy`; the line is named where one is to blame.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"a policy has at most {MAX_BYTES} bytes")
    if _FORBIDDEN.search(data):
        raise InputError("a policy has no control characters but tab and newline")
    if not data.endswith(b"\n"):
        raise InputError("a policy's last line has no newline: it may have been cut off")
    reader = _Reader()
    # Octets beyond ASCII are opaque: undecodable ones become surrogates of their own, and nothing is normalised.
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n")[:-1], 1):
        items = _ITEM.findall(line)
        if items and not items[0].startswith("#"):
            try:
                reader.take(items)
            except (InputError, NoteError) as error:
                raise InputError(f"line {number} of the policy: {error}") from error
    return reader.policy()


def open_witnessed(
    signed: str | bytes,
    policy: Policy,
    *,
    now: datetime,
    log: NoteVerifier | None = None,
    max_age: timedelta | None = None,
) -> Witnessed:
    """Verify a checkpoint by a policy.

    Args:
        signed: The signed note, with the witnesses' lines.
        policy: Who must have cosigned.
        now: The time; aware.
        log: The log's key; any of the policy's logs unless given.
        max_age: How old a cosignature may be to count; any age unless given.

    Raises:
        NoteError: The log did not sign it, it is no checkpoint of the log, or a line of a known key is wrong.
        StaleHeadError: Enough witnesses cosigned it, but too long ago.
        QuorumError: Too few did.
    """
    # 1. The log's own key signed, one that the policy accepts; and every line of a known key verifies. Stops heads that
    #    only witnesses signed, and a forged line that some other reader might count.
    accepted = [one.verifier for one in policy.logs]
    if log is not None:
        if accepted and log not in accepted:
            raise NoteError(f"the policy does not accept the log {log.name}")
        accepted = [log]
    opened = note.open_note(signed, (*accepted, *(one.verifier for one in policy.witnesses)))
    lines = {(line.name, line.key_hash): line for line in opened.signatures}
    signers = [one.name for one in accepted if (one.name, one.key_hash) in lines]
    if not signers:
        raise NoteError("no log that the policy accepts signed the checkpoint")
    # 2. It is a checkpoint, to the letter, of the log that signed it. Stops the head of one log as another's.
    checkpoint = Checkpoint.parse(opened.text)
    if checkpoint.origin not in signers:
        raise NoteError("the checkpoint is of another log: its origin line is not the one expected")
    # 3. Times that can be believed: none from the future, which would stay fresh for as long as its maker likes.
    cosignatures = [
        (one.name, cosignature_of(lines[key], one.verifier))
        for one in policy.witnesses
        if (key := (one.verifier.name, one.verifier.key_hash)) in lines
    ]
    dated = [(name, one) for name, one in cosignatures if one.at <= now + AHEAD]
    # 4. Enough witnesses, each counted once, by distinct keys. Stops a head that is shown to one reader alone.
    if missing := policy.missing([name for name, _ in dated]):
        raise QuorumError(f"{missing} more of the policy's witnesses would have to cosign the checkpoint", missing)
    # 5. Lately. Stops an exchange that shows an old head for ever, and goes on with another for somebody else.
    fresh = [(name, one) for name, one in dated if max_age is None or one.at >= now - max_age]
    if missing := policy.missing([name for name, _ in fresh]):
        latest = max(one.at for _, one in dated)
        raise StaleHeadError(f"the checkpoint was last cosigned at {latest.isoformat()}, too long ago", latest)
    return Witnessed(checkpoint, tuple(fresh))


class _Reader:
    """Takes a policy's lines in their order."""

    def __init__(self) -> None:
        self._logs: list[PolicyLog] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None
        self._defined: set[str] = set()
        self._taken = 0

    def take(self, items: list[str]) -> None:
        """Takes a line."""
        self._taken += 1
        if self._taken > MAX_DEFINITIONS:
            raise InputError(f"a policy has at most {MAX_DEFINITIONS} definitions")
        readers: dict[str, tuple[Callable[..., None], int, int]] = {
            "log": (self._log, 1, 2),
            "witness": (self._witness, 2, 3),
            "group": (self._group, 3, MAX_DEFINITIONS),
            "quorum": (self._take_quorum, 1, 1),
        }
        keyword, *arguments = items
        if keyword not in readers:
            raise InputError(f"{keyword!r} is no keyword: log, witness, group, quorum")
        read, least, most = readers[keyword]
        if not least <= len(arguments) <= most:
            raise InputError(f"a {keyword} line has too few or too many items")
        read(*arguments)

    def policy(self) -> Policy:
        """Returns what was read."""
        if self._quorum is None:
            raise InputError("the policy has no quorum line")
        return Policy(tuple(self._witnesses), tuple(self._groups), self._quorum, tuple(self._logs))

    def _log(self, vkey: str, url: str = "") -> None:
        self._logs.append(PolicyLog(NoteVerifier.parse(vkey), url))

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        self._witnesses.append(Witness(name, WitnessVerifier.parse(vkey), url))
        self._defined.add(name)

    def _group(self, name: str, threshold: str, *members: str) -> None:
        self._require_defined(members)
        counts = {"any": 1, "all": len(members)}
        if threshold not in counts and not _NUMBER.fullmatch(threshold):
            raise InputError(f"{threshold!r} is neither all, any nor a number from 1 on")
        self._groups.append(Group(name, counts.get(threshold) or int(threshold), members))
        self._defined.add(name)

    def _take_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise InputError("there is a quorum line already")
        if name != NONE:
            self._require_defined([name])
        self._quorum = name

    def _require_defined(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._defined:
                raise InputError(f"{name!r} is not defined on a line before")


def _define(name: str, defined: set[str]) -> None:
    if name == NONE:
        raise InputError(f"{NONE!r} means no witness, so nothing else can have the name")
    if name in defined:
        raise InputError(f"the name {name!r} is defined twice")
    defined.add(name)


def _require_sound(group: Group, defined: set[str], members: set[str]) -> None:
    if not 1 <= group.threshold <= len(group.members):
        raise InputError(f"group {group.name!r} needs {group.threshold} of {len(group.members)} members")
    for name in group.members:
        if name not in defined:
            raise InputError(f"group {group.name!r} names {name!r}, which is not defined before it")
        if name in members:
            raise InputError(f"{name!r} is a member twice: it would count twice")
        members.add(name)


def _require_distinct_keys(what: str, keys: Iterator[PublicKey]) -> None:
    seen: set[PublicKey] = set()
    for key in keys:
        if key in seen:
            raise InputError(f"two {what} lines have one key, {key.keyid[:16]}…")
        seen.add(key)
