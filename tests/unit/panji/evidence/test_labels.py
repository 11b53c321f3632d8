"""Every word of the contract has a name for people, in both languages."""

from __future__ import annotations

import dataclasses
import string
from enum import Enum
from typing import Any, get_args

import pytest

from panji.core import statements, vocabulary
from panji.core.statements import Body
from panji.evidence import labels
from panji.evidence.texts import WORDS, Language

VOCABULARIES = [one for one in vars(vocabulary).values() if isinstance(one, type) and issubclass(one, Enum)]
BODIES = [one for one in vars(statements).values() if dataclasses.is_dataclass(one) and one is not statements.Statement]


@pytest.mark.parametrize("kind", [one for one in VOCABULARIES if len(one)], ids=lambda kind: kind.__name__)
def test_every_member_of_a_vocabulary_has_its_names(kind: type[Enum]) -> None:
    assert set(labels.MEMBERS[kind]) == {one.name for one in kind} - {"UNSPECIFIED"}
    assert all(name.strip() == name != "" for pair in labels.MEMBERS[kind].values() for name in pair)
    for language in Language:
        names = [pair[language.position] for pair in labels.MEMBERS[kind].values()]
        assert len(set(names)) == len(names)


def test_unspecified_has_no_name() -> None:
    assert labels.member(vocabulary.Outcome.UNSPECIFIED, 0) == ""


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_every_field_of_a_body_has_its_names(body: Any) -> None:
    for field in dataclasses.fields(body):
        assert all(labels.field(field.name, language.position) for language in Language)


def test_these_are_all_bodies() -> None:
    assert set(get_args(Body)) <= set(BODIES)


@pytest.mark.parametrize("name", WORDS)
def test_a_text_has_the_same_gaps_in_both_languages(name: str) -> None:
    english, indonesian = (
        {field for _, field, _, _ in string.Formatter().parse(text) if field is not None} for text in WORDS[name]
    )
    assert english == indonesian
