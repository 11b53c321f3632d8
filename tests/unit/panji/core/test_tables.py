"""Reading a document: what is wrong reads as harmless, and is told with its path."""

from __future__ import annotations

from typing import Any

import pytest

from panji.core.tables import Reader, parse_toml
from panji.core.vocabulary import Role, Urgency
from panji.errors import InputError


@pytest.fixture
def reader() -> Reader:
    return Reader("letter")


def told(reader: Reader) -> list[tuple[str, str]]:
    return [(one.field, one.description) for one in reader.violations]


def test_a_document_is_named_where_it_is_no_toml() -> None:
    assert parse_toml("a = 1", "letter") == {"a": 1}
    with pytest.raises(InputError, match="The letter is no TOML"):
        parse_toml("a =", "letter")
    with pytest.raises(InputError, match="The letter is more than a TOML parser takes"):
        parse_toml("a = " + "9" * 5000, "letter")


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        ("table", {"a": 1}, {"a": 1}),
        ("table", None, {}),
        ("text", "dear", "dear"),
        ("flag", True, True),
        ("number", 7, 7),
        ("texts", ["a"], ["a"]),
    ],
)
def test_what_is_right_is_read_as_it_is(reader: Reader, read: str, value: Any, result: Any) -> None:
    assert getattr(reader, read)("at", value) == result
    assert told(reader) == []


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        ("table", [], {}),
        ("text", "", ""),
        ("text", 7, ""),
        ("flag", 1, True),
        ("number", True, 1),
        ("number", "7", 1),
        ("texts", "a", []),
        ("texts", [1], []),
    ],
)
def test_what_is_wrong_is_told_once_and_reads_as_harmless(reader: Reader, read: str, value: Any, result: Any) -> None:
    assert getattr(reader, read)("at", value) == result
    assert [field for field, _ in told(reader)] == ["at"]


def test_words_and_names_are_those_of_their_vocabularies(reader: Reader) -> None:
    assert reader.word("role", "platform", Role) is Role.PLATFORM
    assert list(reader.names("urgency", ["URGENT", "UNSPECIFIED", "SOON"], Urgency)) == [Urgency.URGENT]
    assert reader.word("role", "king", Role) is None
    assert told(reader) == [
        ("urgency", "has a name that is no Urgency"),
        ("urgency", "has a name that is no Urgency"),
        ("role", "must be one of authority, platform, operator"),
    ]


def test_tables_are_arrays_of_tables_and_a_key_more_is_refused(reader: Reader) -> None:
    assert reader.tables({"page": [{}]}, "page") == [{}]
    assert reader.tables({}, "page") == []
    assert reader.tables({"page": 1}, "page", "book") == []
    reader.no_more("", {"page": 1, "stain": 1}, {"page"})
    reader.no_more("page[0]", {"stain": 1}, set())
    assert told(reader) == [
        ("book.page", "must be written as [[page]] tables"),
        ("stain", "is no key of a letter"),
        ("page[0].stain", "is no key of a letter"),
    ]
