"""What a well-formed value is: the small checks of which the rules for statements are made.

A check takes a value that is not empty and returns what is wrong with it, or the empty string. None repeats the value:
it may be content. Whether a field may be empty is said where the field is: see :class:`Field`.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import IntEnum

Check: TypeAlias = "Callable[[Any], str]"

MAX_URL = 4096
"""Longest address in characters."""

_MAX_HOST = 253  # RFC 1035, section 2.3.4
_MAX_MEDIA_TYPE = 100
_MAX_PORT = 65535

# Lone surrogates have no UTF-8, so a text that holds one could be neither signed nor sent.
_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ORGANISATION = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,8}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TERRITORY = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX = re.compile(r"[0-9A-Fa-f]+")

# Beyond ASCII, names are in every script: what may not stand in them are spaces, the dots of other scripts (a second
# reader would split the name there), marks that turn the direction of writing or show nothing (Unicode's
# Default_Ignorable_Code_Point, but for joiners, and for variation selectors behind the host), and what has no UTF-8.
_NOT_BEYOND_ASCII = (
    r"\x80-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200b\u200e\u200f\u2028-\u202f"
    r"\u205f-\u206f\u3000\u3002\u3164\ud800-\udfff\ufeff\uff0e\uff61\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_LABEL = rf"(?!-)[^\x00-,./:-@\[-^`{{-\x7f\ufe00-\ufe0f{_NOT_BEYOND_ASCII}]{{1,63}}(?<!-)"
_LAST_LABEL = rf"(?![0-9]+\.?(?:[:/?#]|$)){_LABEL}\.?"  # a name that ends in a number would be read as an address
_HOST = re.compile(rf"(?:{_LABEL}\.)+{_LAST_LABEL}")
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LAST_LABEL}(?::[0-9]*)?")
_NOT_IN_URL = rf"\x00-\x20\"<>\\^`{{|}}\x7f{_NOT_BEYOND_ASCII}"
_BAD_CHARACTER = re.compile(f"[{_NOT_IN_URL}]")
_URL = re.compile(
    rf"https?://(?P<authority>(?:[^/?#@\[\]{_NOT_IN_URL}]*@)?"
    rf"(?:(?:{_LABEL}\.)*{_LAST_LABEL}|(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\])"
    rf"(?::(?P<port>[0-9]{{0,5}}))?)(?:[/?#][^{_NOT_IN_URL}]*)?",
    re.IGNORECASE | re.ASCII,  # without ASCII, the long s (U+017F) would do for the s of https
)
_DELIMITERS = "/?#@:.[]%\\"
_JOINERS = re.compile("[\u200c\u200d]")
_VIRAMA = 9  # the canonical combining class


class Field(NamedTuple):
    """One field of a message: its name, what may stand in it, and whether something must."""

    name: str
    check: Check
    required: bool = False


def check_fields(found: list[Violation], at: str, value: object, fields: Iterable[Field]) -> None:
    """Check the fields of a value and add every violation to ``found``.

    Args:
        found: Where violations go.
        at: Path of the value, with its dot at the end: ``flag.targets[2].``; empty for the outermost message.
        value: Its attributes are named as the fields.
        fields: The fields to check.
    """
    for name, check, required in fields:
        content = getattr(value, name)
        if content:
            wrong = check(content)
            if wrong:
                found.append(Violation(at + name, wrong))
        elif required:
            found.append(Violation(at + name, "is required"))


def line(limit: int) -> Check:
    """One line of text, not blank: no control characters and no line breaks, at most ``limit`` characters."""
    return _characters(limit, _IN_LINE, "has a control character or a line break")


def text(limit: int) -> Check:
    """Running text, not blank: line feeds and tabs, no other control character, at most ``limit`` characters."""
    return _characters(limit, _IN_TEXT, "has a control character other than line feed and tab")


def _characters(limit: int, unwanted: re.Pattern[str], complaint: str) -> Check:
    too_long = f"has more than {limit} characters"

    def check(value: str) -> str:
        if len(value) > limit:
            return too_long
        # All that is unwanted is unprintable, and asking for that first is many times faster.
        if not value.isprintable() and unwanted.search(value):
            return complaint
        return "is blank" if value.isspace() else ""

    return check


def member(kind: type[IntEnum]) -> Check:
    """A value of a closed vocabulary; a number that it does not have arrives as a bare ``int`` and is refused."""
    complaint = f"is no value of {kind.__name__}"
    return lambda value: "" if isinstance(value, kind) else complaint


def number(least: int, most: int) -> Check:
    """A whole number within bounds, both included."""
    complaint = f"is not from {least} to {most}"
    return lambda value: "" if least <= value <= most else complaint


def replies_only(_: object) -> str:
    """What stands in replies only."""
    return "stands in replies only; a flag opens a case"


def uuid7(value: str) -> str:
    """A UUIDv7 in canonical lower-case text (RFC 9562, section 5.7)."""
    return "" if _UUID7.fullmatch(value) else "is no UUIDv7 in lower-case text"


def organisation(value: str) -> str:
    """An organisation's id: 1 to 63 of a-z, 0-9, dot and hyphen, with a letter or digit at both ends."""
    return "" if _ORGANISATION.fullmatch(value) else "is no organisation id (1 to 63 of a-z, 0-9, '.', '-')"


def sha256(value: bytes) -> str:
    """A SHA-256: 32 bytes."""
    return "" if len(value) == 32 else "is no SHA-256 (32 bytes)"  # noqa: PLR2004 - the size of a SHA-256


def hexadecimal(value: str, digits: int) -> str:
    """A number of hexadecimal digits, in either case."""
    return "" if len(value) == digits and _HEX.fullmatch(value) else f"is not {digits} hexadecimal digits"


def language(value: str) -> str:
    """A language tag (BCP 47), by its form."""
    return "" if _LANGUAGE.fullmatch(value) else "is no BCP 47 language tag"


def country(value: str) -> str:
    """A country (ISO 3166-1 alpha-2, or EU), by its form."""
    return "" if _COUNTRY.fullmatch(value) else "is no ISO 3166-1 alpha-2 code"


def territory(value: str) -> str:
    """A country or a subdivision (ISO 3166-1 alpha-2 or 3166-2), by its form."""
    return "" if _TERRITORY.fullmatch(value) else "is no ISO 3166 code"


def media_type(value: str) -> str:
    """A media type in lower case (RFC 6838, section 4.2), at most 100 characters."""
    good = len(value) <= _MAX_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(value)
    return "" if good else f"is no media type of at most {_MAX_MEDIA_TYPE} characters"


def calendar_date(value: str) -> str:
    """A day that the calendar has (ISO 8601, extended form)."""
    try:
        good = _DATE.fullmatch(value) and date.fromisoformat(value)
    except ValueError:
        good = None
    return "" if good else "is no date (YYYY-MM-DD)"


def instant(value: datetime) -> str:
    """A point in time, aware of its zone, in the years 1 to 9999 of UTC."""
    if value.tzinfo is UTC:
        return ""
    if value.utcoffset() is None:
        return "has no time zone"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "is outside the years 1 to 9999"
    return ""


def host(value: str) -> str:
    """A host or domain name, in Unicode or punycode, with at least two labels, the last not a number.

    Every reader finds the same labels in it, also one that maps compatible characters (NFKC, as browsers do).
    """
    good = len(value) <= _MAX_HOST and _HOST.fullmatch(value) and _is_read_alike(value, _HOST)
    return "" if good else "is no domain name"


def ip_address(value: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "is no IP address"
    return ""


def url(value: str) -> str:
    """An absolute http or https address with a host (RFC 3986); characters outside ASCII may stand as given.

    Every reader splits it in the same places, also one that maps compatible characters (NFKC) first.
    """
    if len(value) > MAX_URL:
        return f"has more than {MAX_URL} characters"
    parts = _URL.fullmatch(value)
    if parts is None:
        bad = _BAD_CHARACTER.search(value)
        return "has a character that no URL may have" if bad else "is no absolute http or https URL"
    authority, ipv4, ipv6, port = parts.group("authority", "ipv4", "ipv6", "port")
    if not _is_read_alike(authority, _NAME):
        return "has a host that some readers would read as another one"
    if (ipv4 or ipv6) and ip_address(ipv4 or ipv6):
        return "has a host that is no IP address"
    if port and not 1 <= int(port) <= _MAX_PORT:
        return f"has a port that is not from 1 to {_MAX_PORT}"
    return ""


def _is_read_alike(name: str, pattern: re.Pattern[str]) -> bool:
    """Whether a name is the same to a reader that maps compatible characters first, and hides no joiner."""
    if name.isascii():
        return True
    mapped = unicodedata.normalize("NFKC", name)
    at = mapped.rpartition("@")[2]
    return (
        all(mapped.count(one) == name.count(one) for one in _DELIMITERS)  # U+FF0F is a slash then, U+2100 holds one
        and (
            (at.isascii() and name.endswith(at)) or pattern.fullmatch(at) is not None
        )  # U+FF11 is a digit of an address
        and all(_joins(name, found.start()) for found in _JOINERS.finditer(name))
    )


def _joins(name: str, at: int) -> bool:
    """Whether a joiner stands where writing needs one: after a virama, or between Arabic letters (RFC 5892, A)."""
    before, after = name[at - 1 : at], name[at + 1 : at + 2]
    if before and unicodedata.combining(before) == _VIRAMA:
        return True
    sides = [unicodedata.bidirectional(one) for one in (before, after) if one]
    return name[at] == "\u200c" and sides == ["AL", "AL"]
