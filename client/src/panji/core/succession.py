"""What a new version of the directory must leave as it was, so that what was said under the old one stays provable.

A statement is verified for ever against what held when it was received. So a directory only grows: nobody and no key
leaves it, they end; and a threshold is raised from a date on. A version that would make yesterday's statements
unprovable would let their senders deny them, and their recipients' feeds come to a stop.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from panji.core.vocabulary import Role
from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from panji.core.directory import Directory, KeyRecord, Organisation

EDITING = timedelta(minutes=15)
"""How far back a key may be ended: what an operator means by "now" lies some minutes back when the file is read."""


def taken_back(before: Directory, after: Directory, now: datetime) -> list[Violation]:
    """Returns what a version of the directory takes back of the one before it; nothing where it may follow.

    Args:
        before: The version in force.
        after: The one to come.
        now: When it comes; what changes from then on is nobody's loss.
    """
    found: list[Violation] = []
    for old in before.organisations.values():
        new = after.organisation(old.id)
        if new is None:
            found.append(Violation(f"organisation {old.id}", "may not go: suspend it, and end its keys"))
        else:
            found += _of_an_organisation(old, new, now)
    return found


def _of_an_organisation(old: Organisation, new: Organisation, now: datetime) -> Iterator[Violation]:
    at = f"organisation {old.id}"
    if old.role is Role.OPERATOR and new.role is not Role.OPERATOR:
        yield Violation(f"{at}.role", "stays that of an operator: the exchange has spoken for it")
    steps = [now, *(one.valid_from for one in (*old.thresholds, *new.thresholds) if one.valid_from <= now)]
    if new.threshold > old.threshold or any(new.threshold_at(step) > old.threshold_at(step) for step in steps):
        yield Violation(f"{at}.threshold", "may rise from a time to come on only: give it a valid_from")
    keys = {record.key.keyid: record for record in new.keys}
    for record in old.keys:
        here = f"{at}, key {record.key.keyid}"
        kept = keys.get(record.key.keyid)
        if kept is None:
            yield Violation(here, "may not go: end it with valid_until")
        else:
            yield from _of_a_key(here, record, kept, now)


def _of_a_key(at: str, old: KeyRecord, new: KeyRecord, now: datetime) -> Iterator[Violation]:
    if old.valid_from <= now:
        earliest = now - EDITING
        if old.valid_until is not None:
            earliest = min(earliest, old.valid_until)
        if new.valid_from > old.valid_from:
            yield Violation(f"{at}.valid_from", "may not move: the key has counted since")
        if new.valid_until is not None and new.valid_until < max(earliest, old.valid_from):
            yield Violation(f"{at}.valid_until", "may not lie in the past: what was signed until now has counted")
    if new.automatic and not old.automatic:
        yield Violation(f"{at}.automatic", "stays false: a person may have signed with it")
