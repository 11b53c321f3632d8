"""Statements are values: right once they exist, never changed, and what they are follows from their body."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import get_args

import pytest
from support.statements import FLAG_ID, a_body, a_flag, a_statement, a_target, an_id

from panji.core import statements
from panji.core.statements import KIND_OF
from panji.core.vocabulary import Kind
from panji.errors import InputError, Violation


@pytest.mark.parametrize("kind", Kind)
def test_the_kind_of_a_statement_is_that_of_its_body(kind: Kind) -> None:
    assert a_statement(a_body(kind)).kind is kind


def test_every_kind_has_exactly_one_body() -> None:
    assert set(KIND_OF) == set(get_args(statements.Body))
    assert sorted(KIND_OF.values()) == sorted(Kind)


def test_a_flag_opens_the_case_that_has_its_id_and_replies_name_it() -> None:
    assert a_statement().case == FLAG_ID
    assert a_statement(a_body(Kind.DECISION), id=an_id(9)).case == FLAG_ID


def test_a_statement_that_breaks_its_form_never_exists() -> None:
    with pytest.raises(InputError, match=r"^The statement breaks its form: id: is no UUIDv7") as caught:
        a_statement(a_flag(reasons=""), id="1")
    assert caught.value.violations == (
        Violation("id", "is no UUIDv7 in lower-case text"),
        Violation("flag.reasons", "is required"),
    )


def test_a_copy_with_changes_is_checked_like_any_other() -> None:
    assert replace(a_statement(), language="id").language == "id"
    with pytest.raises(InputError):
        replace(a_statement(), language="")


@pytest.mark.parametrize("value", [a_statement(), a_flag(), a_target()], ids=lambda value: type(value).__name__)
def test_nothing_changes_after_it_was_checked(value: object) -> None:
    for name in value.__dataclass_fields__:  # type: ignore[attr-defined]
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


def test_equal_statements_are_equal_values() -> None:
    assert a_statement() == a_statement()
    assert len({a_statement(), a_statement(), a_statement(id=an_id(9))}) == 2
