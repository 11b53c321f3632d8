"""What a row of a file becomes: a flag, or a list of what is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from panji.core.statements import Statement
from panji.errors import InputError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji.core.statements import BatchReference, Flag


class Format(StrEnum):
    """Shapes of files that can be read."""

    CSV = "csv"
    JSONL = "jsonl"
    TAKEDOWNS = "gov-takedowns"


def _as_it_is(violation: Violation) -> Violation:
    return violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row as one of the readers understood it: not checked against the rules yet."""

    number: int
    source_id: str = ""
    flag: Flag | None = None
    violations: tuple[Violation, ...] = ()
    targets: int = 0
    language: str = ""
    told: Callable[[Violation], Violation] = _as_it_is
    """Tells a violation of the flag's fields in the words of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, checked: it has a flag that keeps every rule, or violations, never both and never neither."""

    number: int
    """Line in the file at which the row begins, from 1."""
    source_id: str
    """The row's own name in the file, or empty."""
    flag: Flag | None
    violations: tuple[Violation, ...]
    """What is missing or wrong, all of it: by the path of the field, or in CSV by the column."""
    targets: int
    """How many targets the row names, also where it makes no flag."""
    language: str
    """Of the flag's texts, where the row says it."""
    names_list: bool = False
    """The row says itself which list it belongs to; otherwise the file is the list."""


@dataclass(frozen=True, slots=True)
class Import:
    """A file as it was read."""

    format: Format
    sha256: bytes
    """Of the file."""
    rows: tuple[Row, ...]

    @property
    def complete(self) -> tuple[Row, ...]:
        """The rows that make a flag."""
        return tuple(row for row in self.rows if row.flag is not None)

    @property
    def incomplete(self) -> tuple[Row, ...]:
        """The rows that lack something."""
        return tuple(row for row in self.rows if row.flag is None)

    @property
    def targets(self) -> int:
        """Targets of all rows."""
        return sum(row.targets for row in self.rows)


def finish(draft: Draft, batch: BatchReference, seen: dict[object, int]) -> Row:
    """Check a draft by the rules, give it its place in the list, and refuse it where it repeats a row before.

    Args:
        draft: What a reader made of the row.
        batch: Its place in the list, used where the flag names none.
        seen: Lines of earlier rows by what identifies them; this row is added.
    """
    violations = list(draft.violations)
    flag = draft.flag
    if flag is not None:
        reported = {one.field for one in violations}
        violations += [one for one in flag_violations(flag) if one.field not in reported]
        identity = draft.source_id or flag
        if identity in seen:
            violations.append(Violation("id", f"repeats the row at line {seen[identity]}"))
        else:
            seen[identity] = draft.number
    kept = None if violations or flag is None else flag if flag.batch is not None else replace(flag, batch=batch)
    return Row(
        number=draft.number,
        source_id=draft.source_id,
        flag=kept,
        violations=tuple(map(draft.told, violations)),
        targets=draft.targets,
        language=draft.language,
        names_list=flag is not None and flag.batch is not None,
    )


def flag_violations(flag: Flag) -> tuple[Violation, ...]:
    """Every rule of statements that a flag alone breaks, before there is a recipient or an id for it."""
    try:
        Statement(  # a frame that is made up, and sound
            id="01890a5d-ac96-774b-bcce-b302099a8057",
            exchange="example",
            sender="authority",
            recipient="platform",
            issued_at=datetime.fromtimestamp(0, UTC),
            language="en",
            body=flag,
        )
    except InputError as error:
        return error.violations
    return ()
