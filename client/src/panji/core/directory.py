"""The directory: which organisations there are, who speaks for them, with which keys, and who may flag what.

A directory is a value, parsed from TOML text. Both ends read it: the exchange to decide who may speak, and every client
to verify the other side by itself, so that a stolen exchange can invent nobody. Where the text comes from, and when it
changes, is the edges' business.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from panji.core import form
from panji.core.keys import PublicKey
from panji.core.rules import MAX_DIRECTORY
from panji.core.tables import Reader, parse_toml
from panji.core.vocabulary import Category, Instrument, Role, TargetKind
from panji.errors import InputError, PanjiError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from panji.core.statements import Flag

ANY = "*"
"""In an accreditation: every platform."""

SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
"""A participant's identity: a SPIFFE id without query or fragment, and with a path (SPIFFE-ID, section 2)."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A statement key of an organisation and the time in which its signatures count."""

    key: PublicKey
    valid_from: datetime
    valid_until: datetime | None = None
    """The first instant at which it no longer counts; revoking a key sets this."""
    automatic: bool = False
    """Held by a machine that signs by itself, as the exchange's own: never one of two pairs of eyes."""

    def valid_at(self, instant: datetime) -> bool:
        """Whether a signature that was received at this instant counts."""
        return self.valid_from <= instant and (self.valid_until is None or instant < self.valid_until)


@dataclass(frozen=True, slots=True)
class Threshold:
    """How many distinct keys must sign an organisation's statements from an instant on."""

    keys: int
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class Organisation:
    """An authority, a platform or the operator."""

    id: str
    name: str
    role: Role
    keys: tuple[KeyRecord, ...]
    participants: tuple[str, ...]
    """SPIFFE ids of its software on the channel."""
    threshold: int = 1
    """How many distinct keys must sign each of its statements (four eyes: 2), from the beginning on."""
    suspended: bool = False
    thresholds: tuple[Threshold, ...] = ()
    """What takes the place of ``threshold`` later, in the order of time."""

    def threshold_at(self, instant: datetime) -> int:
        """How many distinct keys must have signed a statement that was received at this instant."""
        begun = [one.keys for one in self.thresholds if one.valid_from <= instant]
        return begun[-1] if begun else self.threshold

    def keys_end(self, at: datetime) -> datetime | None:
        """The first instant at which one of its keys ends that counts at another; None where none does."""
        ends = [record.valid_until for record in self.keys if record.valid_until is not None and record.valid_at(at)]
        return min(ends) if ends else None


@dataclass(frozen=True, slots=True)
class Accreditation:
    """This authority may flag these things to this platform, until this date. Empty sets mean: all."""

    authority: str
    platform: str
    valid_from: datetime
    valid_until: datetime | None = None
    categories: frozenset[Category] = frozenset()
    target_kinds: frozenset[TargetKind] = frozenset()
    instruments: frozenset[Instrument] = frozenset()

    def shortfall(self, flag: Flag) -> str:
        """Returns what of the flag this accreditation does not cover, or the empty string."""
        if self.instruments and flag.instrument not in self.instruments:
            return f"instrument {flag.instrument.name}"
        if self.categories and flag.category not in self.categories:
            return f"category {flag.category.name}"
        for target in flag.targets:
            if self.target_kinds and target.kind not in self.target_kinds:
                return f"target kind {target.kind.name}"
        return ""


@dataclass(frozen=True, slots=True)
class Directory:
    """Everyone on the channel. Lookups return None where there is nobody."""

    organisations: Mapping[str, Organisation]
    accreditations: tuple[Accreditation, ...] = ()
    _participants: Mapping[str, Organisation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        participants = {spiffe: one for one in self.organisations.values() for spiffe in one.participants}
        object.__setattr__(self, "_participants", participants)

    def organisation(self, identifier: str) -> Organisation | None:
        """The organisation of an id."""
        return self.organisations.get(identifier)

    def organisation_of(self, spiffe_id: str) -> Organisation | None:
        """The organisation that a participant speaks for."""
        return self._participants.get(spiffe_id)

    def keys(self, identifier: str, at: datetime) -> tuple[PublicKey, ...]:
        """The statement keys of an organisation whose signatures count at an instant."""
        one = self.organisations.get(identifier)
        return tuple([record.key for record in one.keys if record.valid_at(at)]) if one else ()

    def persons(self, identifier: str, at: datetime) -> tuple[PublicKey, ...]:
        """Those of :meth:`keys` that persons hold."""
        one = self.organisations.get(identifier)
        return tuple([r.key for r in one.keys if r.valid_at(at) and not r.automatic]) if one else ()

    def accreditations_of(self, authority: str, platform: str, at: datetime) -> tuple[Accreditation, ...]:
        """The grants that let an authority flag to a platform at an instant."""
        return tuple(
            one
            for one in self.accreditations
            if one.authority == authority
            and one.platform in {platform, ANY}
            and one.valid_from <= at
            and (one.valid_until is None or at < one.valid_until)
        )


def parse_directory(text: str) -> Directory:
    """Returns the directory that a TOML text says. ``docs/operations.md`` describes the format.

    Raises:
        InputError: The text is no TOML, or breaks the format; all violations are listed.
    """
    document = parse_toml(text, "directory", MAX_DIRECTORY)
    reader = _Reader("directory")
    organisations = [
        reader.organisation(f"organisation[{position}]", entry)
        for position, entry in enumerate(reader.tables(document, "organisation"))
    ]
    accreditations = [
        reader.accreditation(f"accreditation[{position}]", entry)
        for position, entry in enumerate(reader.tables(document, "accreditation"))
    ]
    reader.no_more("", document, {"organisation", "accreditation"})
    reader.violations += _contradictions(organisations, accreditations)
    if reader.violations:
        raise InputError("The directory breaks its format", reader.violations)
    return Directory({one.id: one for one in organisations}, tuple(accreditations))


def _contradictions(organisations: list[Organisation], accreditations: list[Accreditation]) -> Iterator[Violation]:
    seen_ids: set[str] = set()
    seen_participants: set[str] = set()
    seen_keys: set[str] = set()
    for position, one in enumerate(organisations):
        here = f"organisation[{position}]"
        keyids = [record.key.keyid for record in one.keys]
        for what, values, seen in (
            ("id", [one.id] if one.id else [], seen_ids),
            ("participants", one.participants, seen_participants),
            ("key", keyids, seen_keys),
        ):
            if len(set(values)) != len(values) or seen.intersection(values):
                yield Violation(f"{here}.{what}", "stands twice in the directory")
            seen.update(values)
        if not all(1 <= keys <= max(len(one.keys), 1) for keys in (one.threshold, *(n.keys for n in one.thresholds))):
            yield Violation(f"{here}.threshold", "must be from 1 to the number of keys")
        since = [later.valid_from for later in one.thresholds]
        if any(later <= earlier for earlier, later in pairwise(since)):
            yield Violation(f"{here}.threshold", "must stand in the order of valid_from")
    roles = {one.id: one.role for one in organisations}
    for position, grant in enumerate(accreditations):
        if roles.get(grant.authority) is not Role.AUTHORITY:
            yield Violation(f"accreditation[{position}].authority", "is no authority of this directory")
        if grant.platform != ANY and roles.get(grant.platform) is not Role.PLATFORM:
            yield Violation(f"accreditation[{position}].platform", "is no platform of this directory")


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class _Reader(Reader):
    """Reads the tables of a directory."""

    def organisation(self, at: str, entry: dict[str, Any]) -> Organisation:
        identifier = self.text(f"{at}.id", entry.get("id"), form.organisation)
        keys = [self.key(f"{at}.key[{n}]", one) for n, one in enumerate(self.tables(entry, "key", at))]
        participants = self.texts(f"{at}.participants", entry.get("participants", []))
        for spiffe in participants:
            if not SPIFFE_ID.fullmatch(spiffe):
                self.violations.append(Violation(f"{at}.participants", "are SPIFFE ids (spiffe://domain/path)"))
        threshold, thresholds = self.threshold(f"{at}.threshold", entry.get("threshold", 1))
        suspended = self.flag(f"{at}.suspended", entry.get("suspended", False))
        self.no_more(at, entry, {"id", "name", "role", "key", "participants", "threshold", "suspended"})
        return Organisation(
            id=identifier,
            name=self.text(f"{at}.name", entry.get("name")),
            role=self.word(f"{at}.role", entry.get("role"), Role) or Role.PLATFORM,
            keys=tuple(one for one in keys if one),
            participants=tuple(participants),
            threshold=threshold,
            suspended=suspended,
            thresholds=thresholds,
        )

    def threshold(self, at: str, value: Any) -> tuple[int, tuple[Threshold, ...]]:
        """Reads a number, which holds for ever, or tables: the first holds from the beginning on, the others later."""
        if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
            return self.number(at, value), ()
        first, *others = value
        self.no_more(f"{at}[0]", first, {"keys"})
        keys = self.number(f"{at}[0].keys", first.get("keys"))
        later = []
        for position, entry in enumerate(others, 1):
            here = f"{at}[{position}]"
            self.no_more(here, entry, {"keys", "valid_from"})
            valid_from = self.instant(f"{here}.valid_from", entry.get("valid_from"), required=True)
            later.append(Threshold(self.number(f"{here}.keys", entry.get("keys")), valid_from or _EPOCH))
        return keys, tuple(later)

    def key(self, at: str, entry: dict[str, Any]) -> KeyRecord | None:
        self.no_more(at, entry, {"spki", "valid_from", "valid_until", "automatic"})
        valid_from, valid_until = self.period(at, entry)
        automatic = self.flag(f"{at}.automatic", entry.get("automatic", False))
        try:
            spki = base64.b64decode(self.text(f"{at}.spki", entry.get("spki")), validate=True)
            return KeyRecord(PublicKey.from_spki(spki), valid_from, valid_until, automatic)
        except (ValueError, PanjiError):
            self.violations.append(
                Violation(f"{at}.spki", "is no base64 DER SubjectPublicKeyInfo of an Ed25519 or P-256 key")
            )
            return None

    def accreditation(self, at: str, entry: dict[str, Any]) -> Accreditation:
        known = {"authority", "platform", "valid_from", "valid_until", "categories", "target_kinds", "instruments"}
        self.no_more(at, entry, known)
        valid_from, valid_until = self.period(at, entry)
        return Accreditation(
            authority=self.text(f"{at}.authority", entry.get("authority")),
            platform=self.text(f"{at}.platform", entry.get("platform")),
            valid_from=valid_from,
            valid_until=valid_until,
            categories=frozenset(self.names(f"{at}.categories", entry.get("categories", []), Category)),
            target_kinds=frozenset(self.names(f"{at}.target_kinds", entry.get("target_kinds", []), TargetKind)),
            instruments=frozenset(self.names(f"{at}.instruments", entry.get("instruments", []), Instrument)),
        )

    def period(self, at: str, entry: dict[str, Any]) -> tuple[datetime, datetime | None]:
        valid_from = self.instant(f"{at}.valid_from", entry.get("valid_from"), required=True) or _EPOCH
        valid_until = self.instant(f"{at}.valid_until", entry.get("valid_until"))
        if valid_until is not None and valid_until <= valid_from:
            self.violations.append(Violation(f"{at}.valid_until", "is not after valid_from"))
        return valid_from, valid_until

    def instant(self, at: str, value: Any, *, required: bool = False) -> datetime | None:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value
        if value is not None or required:
            self.violations.append(Violation(at, "must be a date and time with an offset"))
        return None
