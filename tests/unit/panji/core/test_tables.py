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
    assert parse_toml("a = 1", "letter", 5) == {"a": 1}
    with pytest.raises(InputError, match="The letter is no TOML"):
        parse_toml("a =", "letter", 100)
    with pytest.raises(InputError, match="The letter is more than a TOML parser takes"):
        parse_toml("a = " + "9" * 5000, "letter", 10_000)


def test_a_text_that_is_longer_than_it_may_be_is_not_parsed() -> None:
    with pytest.raises(InputError, match="The letter has more than 4 characters"):
        parse_toml("a = 1", "letter", 4)


PARTS = ["a", "A-1_", '"b"', '""', "'c.d'", r'"\".\\"']
"""Parts of keys as they may be written."""


def dotted(parts: int, part: str, between: str = ".") -> str:
    return between.join([part] * parts)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("between", [".", " .\t"])
@pytest.mark.parametrize("line", ["{}=1", "  {} = 1", "\t[{}]", "[ {} ]", "[[{}]]", "[ [{}]]"])
def test_a_key_of_more_parts_than_anybody_needs_is_not_parsed(part: str, between: str, line: str) -> None:
    """Attack: `a.a.a.a=1`, of which 40 kB keep the parser busy for a quarter of a minute."""
    for parts in (21, 1000):
        with pytest.raises(InputError, match=r"The letter has a key of more than 20 parts \(at line 3\)"):
            parse_toml(f"a = 1\n\n{line.format(dotted(parts, part, between))}\n", "letter", 100_000)


def test_a_key_of_twenty_parts_is_a_key() -> None:
    for part in PARTS:
        assert parse_toml(f"{dotted(20, part)} = 1\n[x.{dotted(19, part)}]\n", "letter", 1000)


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{dotted(99, "a")} = 1"',
        f"a = 1 # {dotted(99, 'a')} = 1",
        f"# {dotted(99, 'a')} = 1",
        f'"{dotted(99, "a")}" = 1',
        f"a = [\n'{dotted(99, 'a')}', '='\n]",
        f'a = """\n{dotted(99, "a")}\n{99 * "."} = {99 * "."}\n"""',
        "\n".join(f"a.b{n} = 1" for n in range(99)),
    ],
)
def test_dots_elsewhere_make_no_parts_of_a_key(text: str) -> None:
    assert parse_toml(text, "letter", 10_000).keys() <= {"a", dotted(99, "a")}


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
