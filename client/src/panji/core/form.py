"""What a well-formed field is: the small checks of which the rules for statements are made.

Each check yields nothing, or one :class:`~panji.errors.Violation`. None repeats the value: it may be content.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from panji.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from enum import IntEnum

MAX_URL = 4096
"""Longest address in characters."""

_MAX_HOST = 253  # RFC 1035, section 2.3.4
_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_ORGANISATION = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,8}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TERRITORY = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_HOST = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))+\.?")
_NO_URL_CHARACTER = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029<>\"\\^`{|}]")


def line(field: str, value: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """One line of text: no control characters and no line breaks, at most ``limit`` characters."""
    if not value:
        if required:
            yield Violation(field, "is required")
    elif len(value) > limit:
        yield Violation(field, f"has more than {limit} characters")
    elif _IN_LINE.search(value):
        yield Violation(field, "has a control character or a line break")
    elif required and value.isspace():
        yield Violation(field, "is blank")


def text(field: str, value: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """Running text: line feeds and tabs, no other control characters, at most ``limit`` characters."""
    if not value:
        if required:
            yield Violation(field, "is required")
    elif len(value) > limit:
        yield Violation(field, f"has more than {limit} characters")
    elif _IN_TEXT.search(value):
        yield Violation(field, "has a control character")
    elif required and value.isspace():
        yield Violation(field, "is blank")


def member(field: str, value: object, kind: type[IntEnum], *, required: bool = True) -> Iterator[Violation]:
    """A value of a closed vocabulary; a number that it does not have arrives as a bare ``int`` and is refused."""
    if not isinstance(value, kind):
        yield Violation(field, f"is no value of {kind.__name__}")
    elif required and value == 0:
        yield Violation(field, "is required")


def uuid7(field: str, value: str, *, required: bool = True) -> Iterator[Violation]:
    """A UUIDv7 in canonical lower-case text (RFC 9562, section 5.7)."""
    if not value:
        if required:
            yield Violation(field, "is required")
    elif not _UUID7.fullmatch(value):
        yield Violation(field, "is no UUIDv7 in lower-case text")


def organisation(field: str, value: str) -> Iterator[Violation]:
    """An organisation's id: 1 to 63 of a-z, 0-9, dot and hyphen, with a letter or digit at both ends."""
    if not _ORGANISATION.fullmatch(value):
        yield Violation(field, "is no organisation id (1 to 63 of a-z, 0-9, '.', '-')" if value else "is required")


def sha256(field: str, value: bytes, *, required: bool = False) -> Iterator[Violation]:
    """A SHA-256: 32 bytes."""
    if (value or required) and len(value) != 32:  # noqa: PLR2004 - the size of a SHA-256
        yield Violation(field, "is no SHA-256 (32 bytes)" if value else "is required")


def language(field: str, value: str, *, required: bool = False) -> Iterator[Violation]:
    """A language tag (BCP 47)."""
    if not value:
        if required:
            yield Violation(field, "is required")
    elif not _LANGUAGE.fullmatch(value):
        yield Violation(field, "is no BCP 47 language tag")


def country(field: str, value: str) -> Iterator[Violation]:
    """A country (ISO 3166-1 alpha-2, or EU)."""
    if not _COUNTRY.fullmatch(value):
        yield Violation(field, "is no ISO 3166-1 alpha-2 code" if value else "is required")


def territory(field: str, value: str) -> Iterator[Violation]:
    """A country or a subdivision (ISO 3166-1 alpha-2 or 3166-2)."""
    if not _TERRITORY.fullmatch(value):
        yield Violation(field, "is no ISO 3166 code")


def media_type(field: str, value: str) -> Iterator[Violation]:
    """A media type (RFC 6838, section 4.2), or empty."""
    if value and not _MEDIA_TYPE.fullmatch(value):
        yield Violation(field, "is no media type")


def date(field: str, value: str) -> Iterator[Violation]:
    """A calendar date (ISO 8601), or empty."""
    if value and not _DATE.fullmatch(value):
        yield Violation(field, "is no date (YYYY-MM-DD)")


def instant(field: str, value: datetime | None, *, required: bool = False) -> Iterator[Violation]:
    """A point in time, aware of its zone."""
    if value is None:
        if required:
            yield Violation(field, "is required")
    elif value.tzinfo is None:
        yield Violation(field, "has no time zone")


def host(field: str, value: str) -> Iterator[Violation]:
    """A host or domain name, in Unicode or punycode, with at least two labels."""
    if len(value) > _MAX_HOST or not _HOST.fullmatch(value):
        yield Violation(field, "is no domain name")


def ip_address(field: str, value: str) -> Iterator[Violation]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield Violation(field, "is no IP address")


def url(field: str, value: str) -> Iterator[Violation]:
    """An absolute http or https address with a host (RFC 3986); characters outside ASCII may stand as given."""
    if len(value) > MAX_URL:
        yield Violation(field, f"has more than {MAX_URL} characters")
        return
    if _NO_URL_CHARACTER.search(value):
        yield Violation(field, "has a character that no URL may have")
        return
    try:
        parts = urlsplit(value)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named:
        yield Violation(field, "is no absolute http or https URL")
