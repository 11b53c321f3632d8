"""Documents in TOML, read so that all that is wrong with one is told at once, each with its path.

A :class:`Reader` reads one value at a time; a value that is wrong becomes a violation and reads as a harmless one. What
the values have to do with each other is for the documents themselves: :mod:`panji.core.directory` and
:mod:`panji.core.procedure`.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from panji.core import form
from panji.errors import InputError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import IntEnum, StrEnum

    from panji.core.form import Check

    _E = TypeVar("_E", bound=IntEnum)
    _S = TypeVar("_S", bound=StrEnum)

MAX_KEY_PARTS = 20
"""Most parts of a dotted key or a table's name. The parser's work grows with their square."""

_TEXT = form.line(1000)
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"|'[^'\n]*')"""
_LONG_KEY = rf"(?:{_PART}[ \t]*\.[ \t]*){{{MAX_KEY_PARTS}}}"
# Keys begin where lines do. Within braces on a line they cost the parser no more than any other text of their length.
_LONG_KEYS = re.compile(rf"^[ \t]*(?:\[[ \t]*(?:\[[ \t]*)?{_LONG_KEY}|{_LONG_KEY}[^\n]*=)", re.MULTILINE)


def parse_toml(text: str, what: str, limit: int) -> dict[str, Any]:
    """Returns the tables of a TOML text.

    Args:
        text: Of whoever: what would take the parser long is not parsed.
        what: The document, for errors.
        limit: Most characters.

    Raises:
        InputError: The text is no TOML, is longer, or has a key of more than :data:`MAX_KEY_PARTS` parts.
    """
    if len(text) > limit:
        raise InputError(f"The {what} has more than {limit} characters")
    if found := _LONG_KEYS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"The {what} has a key of more than {MAX_KEY_PARTS} parts (at line {line})")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The {what} is no TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets by the thousand
        raise InputError(f"The {what} is more than a TOML parser takes: {error}") from error


class Reader:
    """Reads the values of a document and collects every violation."""

    def __init__(self, what: str) -> None:
        self.what = what
        """What the document is, for errors."""
        self.violations: list[Violation] = []

    def refuse(self, at: str, description: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(at, description))

    def tables(self, entry: dict[str, Any], name: str, at: str = "") -> list[dict[str, Any]]:
        """An array of tables."""
        value = entry.get(name, [])
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return value
        self.refuse(f"{at}.{name}" if at else name, f"must be written as [[{name}]] tables")
        return []

    def table(self, at: str, value: Any) -> dict[str, Any]:
        """One table; a missing one is empty."""
        if isinstance(value, dict):
            return value
        if value is not None:
            self.refuse(at, "is no table")
        return {}

    def text(self, at: str, value: Any, check: Check = _TEXT) -> str:
        """A text that must be there."""
        if isinstance(value, str) and value:
            if wrong := check(value):
                self.refuse(at, wrong)
            return value
        self.refuse(at, "is required, as text")
        return ""

    def flag(self, at: str, value: Any) -> bool:
        """True or false."""
        if type(value) is not bool:
            self.refuse(at, "is neither true nor false")
        return bool(value)

    def number(self, at: str, value: Any) -> int:
        """A whole number."""
        if type(value) is int:
            return value
        self.refuse(at, "is no whole number")
        return 1

    def texts(self, at: str, value: Any) -> list[str]:
        """A list of texts."""
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        self.refuse(at, "is no list of texts")
        return []

    def word(self, at: str, value: Any, kind: type[_S]) -> _S | None:
        """One word of a closed vocabulary that is its words."""
        if isinstance(value, str) and value in set(kind):
            return kind(value)
        self.refuse(at, f"must be one of {', '.join(kind)}")
        return None

    def names(self, at: str, value: Any, kind: type[_E]) -> Iterator[_E]:
        """Names of a vocabulary."""
        for name in self.texts(at, value):
            if name in kind.__members__ and name != "UNSPECIFIED":
                yield kind[name]
            else:
                self.refuse(at, f"has a name that is no {kind.__name__}")

    def no_more(self, at: str, entry: dict[str, Any], known: set[str]) -> None:
        """Check that a table has no other keys."""
        for name in sorted(entry.keys() - known):
            self.refuse(f"{at}.{name}" if at else name, f"is no key of a {self.what}")
