"""JSON lines: one flag a line, an object with the fields of ``panji.v1.Flag``, and of its messages inside.

Vocabularies are their names (``"GAMBLING"``), times are ISO 8601 with an offset, digests are hex, lists are lists. Two
more fields may stand beside them: ``id``, the row's own name in the file, and ``language``, that of the flag's texts. A
``legal_basis`` may be a list of citations (``"ID: UU ITE, art. 27(2)"``) instead of objects::

    {"id": "2017-07-14/1", "instrument": "ORDER", "category": "TERRORISM", "sub_category": "TERRORISM_PROPAGANDA_OTHER",
     "urgency": "URGENT", "reasons": "…", "requested_actions": ["REMOVE"], "legal_basis": ["ID: PM 36/2014, art. 4"],
     "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
     "targets": [{"kind": "CHANNEL", "url": "https://t.me/example"}]}

Empty lines are passed over. :func:`value_of` reads any other statement's body in the same shape.
"""

from __future__ import annotations

import dataclasses
import json
import types
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from panji.core.statements import Flag, LegalBasis
from panji.core.vocabulary import SUB_CATEGORIES, SubCategory, names
from panji.errors import InputError, Violation
from panji.importer.citations import parse_legal_basis
from panji.importer.rows import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator

_T = TypeVar("_T")


def lines(text: str) -> Iterator[tuple[int, Any]]:
    """Every line that is not empty: its number, and the JSON value that it is or the Violation that it is none."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=unambiguous)
            except InputError as error:
                yield number, Violation("line", str(error))
            except (ValueError, RecursionError) as error:
                where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                yield number, Violation("line", f"is no JSON{where}")


def unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a JSON object, for ``json.loads``: of a name that stands twice, one value would be lost without a word.

    Raises:
        InputError: A name stands twice.
    """
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has {twice[:60]!r} twice in one object")
    return dict(pairs)


def drafts(text: str) -> Iterator[Draft]:
    """Read the rows of a file."""
    for number, entry in lines(text):
        yield draft(number, entry)


def draft(number: int, entry: Any) -> Draft:
    """Read one row."""
    if isinstance(entry, Violation):
        return Draft(number=number, violations=(entry,))
    if not isinstance(entry, dict):
        return Draft(number=number, violations=(Violation("line", "is no JSON object"),))
    violations: list[Violation] = []
    beside = {name: _read(name, entry.pop(name, ""), str, violations) for name in ("id", "language")}
    flag = value_of(Flag, entry, "flag", violations)
    return Draft(
        number=number,
        source_id=beside["id"],
        flag=flag,
        violations=tuple(violations),
        targets=len(flag.targets),
        language=beside["language"],
    )


def value_of(kind: type[_T], entry: Any, at: str, violations: list[Violation]) -> _T:
    """Read a value of :mod:`panji.core.statements` from its JSON shape.

    What is of the wrong type becomes a violation and reads as empty; what is missing reads as empty and is left to the
    rules of statements, so each fault is told once.
    """
    if kind is LegalBasis and isinstance(entry, str):
        entry = dataclasses.asdict(parse_legal_basis(entry))
    if not isinstance(entry, dict):
        violations.append(Violation(at, "is no JSON object"))
        entry = {}
    hints = get_type_hints(kind, localns={"datetime": datetime})
    violations += [Violation(f"{at}.{name}", "is no field here") for name in sorted(entry.keys() - hints.keys())]
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # every kind asked for is a dataclass
        if entry.get(field.name) is not None:
            place = f"{at}.{field.name}"
            values[field.name] = _read(place, entry[field.name], hints[field.name], violations, values.get("category"))
        elif field.default is dataclasses.MISSING:
            values[field.name] = _empty(hints[field.name])
    return kind(**values)


def _read(at: str, value: Any, hint: Any, violations: list[Violation], category: Any = None) -> Any:
    if get_origin(hint) is tuple:
        if isinstance(value, list):
            return tuple(_read(f"{at}[{n}]", one, get_args(hint)[0], violations) for n, one in enumerate(value))
        violations.append(Violation(at, "is no list"))
        return ()
    if isinstance(hint, types.UnionType):  # X | None, and None was passed over
        hint = next(one for one in get_args(hint) if one is not types.NoneType)
    if dataclasses.is_dataclass(hint):
        return value_of(hint, value, at, violations)  # type: ignore[arg-type]  # a class, not an instance
    try:
        return _scalar(value, hint)
    except (ValueError, KeyError):
        violations.append(Violation(at, _unknown(hint, category) if issubclass(hint, IntEnum) else _WANTED[hint]))
        return _empty(hint)


def _unknown(vocabulary: type[IntEnum], category: Any) -> str:
    """Returns what is wrong with a word that a vocabulary does not have, and which it has."""
    if vocabulary is not SubCategory:
        return f"is none of {names(vocabulary)}"
    if not category:
        return "is no sub-category; which there are follows from the category"
    return f"is no sub-category of {category.name}, which has {names(SUB_CATEGORIES[category]) or 'none'}"


_WANTED = {
    str: "is not text",
    int: "is not a whole number, 0 or more",
    bool: "is not true or false",
    bytes: "is not a digest in hex",
    datetime: "is not a time in ISO 8601 with an offset",
}


def _scalar(value: Any, hint: Any) -> Any:
    """Returns the value of a simple field.

    Raises:
        ValueError: It has another type or form.
        KeyError: The vocabulary has no such name.
    """
    wanted = hint if hint in {bool, int} else str
    if type(value) is not wanted or (isinstance(value, int) and value < 0):
        raise ValueError
    if isinstance(value, str):
        value.encode()  # JSON can spell lone surrogates, which no signed text can hold
    if issubclass(hint, IntEnum):
        return hint[value.strip().upper()]
    if hint is bytes:
        return bytes.fromhex(value)
    if hint is datetime:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError
        return instant
    return value


def _empty(hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return ()
    if isinstance(hint, types.UnionType) or hint is datetime:
        return None
    if dataclasses.is_dataclass(hint):
        return value_of(hint, {}, "", [])  # type: ignore[arg-type]  # a class, not an instance
    return hint(0) if issubclass(hint, IntEnum) else hint()
