"""Flags from files: CSV, JSON lines, and the shape of ``gov-takedowns.jsonl``.

:func:`read` takes a file's bytes and says of every row either the flag that it makes or what is missing, so that one
bad row sinks nobody else's. It looks nothing up and sends nothing. The three shapes are described where they are read:

* :mod:`panji.importer.records`: JSON lines, one flag a line, with the fields of ``panji.v1.Flag``;
* :mod:`panji.importer.table`: CSV, one target a row, rows grouped into flags;
* :mod:`panji.importer.takedowns`: facts of published government takedown notices.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from panji.core.statements import BatchReference
from panji.errors import InputError
from panji.importer import records, table, takedowns
from panji.importer.citations import parse_legal_basis
from panji.importer.records import unambiguous, value_of
from panji.importer.rows import Draft, Format, Import, Row, finish, flag_violations

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Format",
    "Import",
    "Row",
    "flag_violations",
    "parse_legal_basis",
    "read",
    "read_file",
    "recognise",
    "unambiguous",
    "value_of",
]


def read(data: bytes, format: Format | None = None) -> Import:  # noqa: A002 - the word that fits
    """Read every row of a file.

    Each flag that names no list of its own gets a batch reference: the file's digest, the row's position, the count.

    Args:
        data: The file's bytes, in UTF-8, with or without a byte order mark.
        format: Its shape; recognised from the content unless given.

    Raises:
        InputError: The file as a whole can't be read: not UTF-8, a CSV header that is missing or unknown, or a quote in
            CSV that is not closed.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"the file is not UTF-8: line {line} has a character in another encoding (byte {error.start}); nothing was"
            " read. Save it again as UTF-8, which spreadsheets call 'CSV UTF-8'"
        ) from None
    kind = format or recognise(text)
    digest = hashlib.sha256(data).digest()
    drafts = list(_drafts(text, kind))
    rows: list[Row] = []
    seen: dict[object, int] = {}
    for position, draft in enumerate(drafts, 1):
        batch = BatchReference(
            id=f"import-{digest.hex()[:16]}", position=position, count=len(drafts), manifest_sha256=digest
        )
        rows.append(finish(draft, batch, seen))
    return Import(kind, digest, tuple(rows))


def read_file(path: Path, format: Format | None = None) -> Import:  # noqa: A002 - as in read
    """Read a file from the disk.

    Raises:
        InputError: It can't be opened, or as for :func:`read`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return read(data, format)


def recognise(text: str) -> Format:
    """Tell the shape of a file: the first line that is a JSON object decides; where there is none, it is CSV."""
    objects = (entry for _, entry in records.lines(text) if isinstance(entry, dict))
    first = next(objects, None)
    if first is not None:
        return Format.TAKEDOWNS if first.keys() >= takedowns.FIELDS else Format.JSONL
    return Format.JSONL if text.lstrip().startswith(("{", "[")) else Format.CSV


def _drafts(text: str, kind: Format) -> list[Draft]:
    match kind:
        case Format.CSV:
            return list(table.drafts(text))
        case Format.JSONL:
            return list(records.drafts(text))
        case Format.TAKEDOWNS:
            return list(takedowns.drafts(text))
