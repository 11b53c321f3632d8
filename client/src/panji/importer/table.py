"""CSV (RFC 4180, UTF-8, comma or semicolon): one target a row, with a header.

Rows that have the same text in the column ``flag`` make one flag; a row without makes a flag of its own. What belongs
to the flag stands in its first row, and may be repeated in the others or left empty there.

=======================  ==============================================================================================
columns of the flag      ``flag`` (its name in the file), ``instrument``, ``category``, ``sub_category``, ``urgency``,
                         ``reasons``, ``reference``, ``good_faith`` (yes or no), ``proportionality``, ``redress``,
                         ``respond_by``, ``expires_at``, ``language``
lists, split at ``;``    ``requested_actions``, ``legal_basis`` (``ID: UU ITE, art. 27(2)``), ``jurisdictions``
who issues               ``authority_name``, ``authority_kind``, ``authority_jurisdiction``, ``authority_contact``
who decided              ``deciding_name``, ``deciding_kind``, ``deciding_document_number``, ``deciding_document_date``
columns of the target    ``kind``, ``url``, ``identifier``, ``handle``, ``parent_identifier``, ``observed_at``,
                         ``content_language``, ``locator_note``, ``snapshot_sha256``, ``sha256`` (of the media)
=======================  ==============================================================================================

Words and times are written as in :mod:`panji.importer.records`. What is wrong is told by column; what is wrong with a
target, by line as well.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from panji.errors import InputError, Violation
from panji.importer import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from panji.importer.rows import Draft

_PLAIN: tuple[str, ...] = (
    *("instrument", "category", "sub_category", "urgency", "reasons", "reference"),
    *("good_faith", "proportionality", "redress", "respond_by", "expires_at", "language"),
)
_LISTS = ("requested_actions", "legal_basis", "jurisdictions")
_NESTED = {"authority": "issuing_authority", "deciding": "deciding_body"}
_PARTS: tuple[str, ...] = (
    *("authority_name", "authority_kind", "authority_jurisdiction", "authority_contact"),
    *("deciding_name", "deciding_kind", "deciding_document_number", "deciding_document_date"),
)
_TARGET: tuple[str, ...] = (
    *("kind", "url", "identifier", "handle", "parent_identifier"),
    *("observed_at", "content_language", "locator_note", "snapshot_sha256"),
)

FLAG_COLUMNS = (*_PLAIN, *_LISTS, *_PARTS)
"""Columns that say something of the whole flag."""
COLUMNS = frozenset({"flag", "sha256", *FLAG_COLUMNS, *_TARGET})
"""All columns that a file may have."""

_PATH = re.compile(r"flag\.(?P<field>\w+)(?:\[(?P<position>\d+)\])?(?:\.(?P<part>\w+))?")
_PREFIX = {field: prefix for prefix, field in _NESTED.items()}
_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass
class _Group:
    """The rows of one flag."""

    number: int
    cells: dict[str, str] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Where each target stands."""
    violations: list[Violation] = field(default_factory=list)

    def told(self, violation: Violation) -> Violation:
        """Returns a violation of the flag's fields with the column, and the line of a target."""
        path = _PATH.match(violation.field)
        if path is None:  # of the file itself
            return violation
        name, position, part = path.group("field", "position", "part")
        if name == "targets" and position:
            column = "sha256" if part == "hashes" else part or "line"
            return Violation(column, f"at line {self.lines[int(position)]} {violation.description}")
        if name in _PREFIX:
            return Violation(f"{_PREFIX[name]}_{part or 'name'}", violation.description)
        if name == "good_faith":
            return Violation(name, violation.description.replace("must be true", "must be yes"))
        return Violation(name, f"{part} {violation.description}" if part else violation.description)


def drafts(text: str) -> Iterator[Draft]:
    """Read the rows of a file.

    Raises:
        InputError: The header is missing, or has a column that is unknown or stands twice; or a quote is not closed,
            and with it nobody knows where the rows after it begin.
    """
    groups: dict[str, _Group] = {}
    for number, cells, violation in _rows(text):
        name = cells.get("flag", "")
        group = groups.setdefault(name or f"\n{number}", _Group(number))
        if violation is not None:
            group.violations.append(violation)
            continue
        here = f"line {number}"
        for column in FLAG_COLUMNS:
            value = cells.get(column, "")
            if value and group.cells.setdefault(column, value) != value:
                group.violations.append(Violation(column, f"at {here} is not what the flag's first row says"))
        group.targets.append(_target(cells))
        group.lines.append(number)
    for name, group in groups.items():
        yield _draft("" if name.startswith("\n") else name, group)


def _rows(text: str) -> Iterator[tuple[int, dict[str, str], Violation | None]]:
    lines = io.StringIO(text, newline="").readlines()
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    # Strict: a quote that is not closed would make the rest of the file, or half of it, the text of one cell.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            opened = _opened(lines[number - 1 : reader.line_num], delimiter)
            if opened is not None:
                raise InputError(
                    f"the file is no CSV: the quote that opens in line {number + opened} is not closed where its cell"
                    " ends, so nobody knows where the rows after it begin; nothing was read"
                ) from error
            if header is None:
                raise InputError(f"the file is no CSV: {error}") from error
            yield number, {}, Violation("line", f"is no CSV: {error}")
            continue
        if header is None:
            header = [name.strip().lower() for name in row or []]
            _check(header)
        elif row is None:
            return
        elif any(cell.strip() for cell in row):
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
            surplus = Violation("line", "has more cells than the header") if len(row) > len(header) else None
            yield number, cells, surplus


def _opened(lines: list[str], delimiter: str) -> int | None:
    """Returns in which line of a row the cell opens that its quotes do not close; None where all of them do."""
    opened, state = 0, "start"
    for position, line in enumerate(lines):
        for character in line:
            if state == "quoted":
                state = "quote" if character == '"' else state
            elif character == delimiter or character in "\r\n":
                state = "start"
            elif state == "quote" and character != '"':
                return opened
            elif character == '"' and state != "plain":
                opened = position if state == "start" else opened  # else two in a row: one that is meant
                state = "quoted"
            else:
                state = "plain"
    return opened if state == "quoted" else None


def _check(header: list[str]) -> None:
    if not header:
        raise InputError("the file is empty: a CSV file begins with its header")
    violations = [Violation(repr(name), _no_column(name)) for name in header if name not in COLUMNS]
    violations += [Violation(name, "stands twice") for name in sorted(set(header)) if header.count(name) > 1]
    if not violations and "kind" not in header:
        violations = [Violation("kind", "is required: each row names a target")]
    if violations:
        columns = ", ".join(("flag", *FLAG_COLUMNS, *_TARGET, "sha256"))
        raise InputError(f"the header of the CSV file is wrong; the columns that there are: {columns}", violations)


def _no_column(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(COLUMNS), n=3)
    return f"is no column; near it {'are' if len(near) > 1 else 'is'} {', '.join(near)}" if near else "is no column"


def _target(cells: dict[str, str]) -> dict[str, Any]:
    target: dict[str, Any] = {name: cells[name] for name in _TARGET if cells.get(name)}
    if cells.get("sha256"):
        target["hashes"] = [{"algorithm": "SHA256", "value": cells["sha256"]}]
    return target


def _draft(name: str, group: _Group) -> Draft:
    entry: dict[str, Any] = {"id": name, "targets": group.targets}
    entry |= {column: group.cells[column] for column in _PLAIN if column in group.cells}
    good_faith = entry.pop("good_faith", "")
    unread = bool(good_faith) and good_faith.lower() not in _TRUTH
    if good_faith and not unread:
        entry["good_faith"] = _TRUTH[good_faith.lower()]
    for column in _LISTS:
        entry[column] = [one.strip() for one in group.cells.get(column, "").split(";") if one.strip()]
    for column in _PARTS:
        prefix, _, part = column.partition("_")
        if column in group.cells:
            entry.setdefault(_NESTED[prefix], {})[part] = group.cells[column]
    draft = records.draft(group.number, entry)
    if unread:
        draft = replace(draft, violations=(*draft.violations, Violation("flag.good_faith", "is neither yes nor no")))
    # A row that is no CSV says nothing of a flag, so nothing else can be missing from it.
    flag = draft.flag if group.targets else None
    return replace(
        draft,
        flag=flag,
        violations=(*group.violations, *(draft.violations if flag else ())),
        targets=len(group.targets),
        told=group.told,
    )
