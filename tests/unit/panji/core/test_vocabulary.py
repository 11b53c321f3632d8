"""The vocabularies stand twice, as values and in the contract, and are the same."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum

import pytest

from panji.core import vocabulary
from panji.core.vocabulary import BINDING, CATEGORIES_WITH_SUB_CATEGORIES, Category, Instrument, Kind, SubCategory
from panji.v1 import statement_pb2, vocabulary_pb2

ENUMS = {name: one for name, one in vars(vocabulary).items() if inspect.isclass(one) and issubclass(one, IntEnum)}
del ENUMS["IntEnum"]


def test_both_have_the_same_vocabularies() -> None:
    assert set(ENUMS) == set(vocabulary_pb2.DESCRIPTOR.enum_types_by_name)


@pytest.mark.parametrize("name", ENUMS)
def test_both_have_the_same_names_and_numbers(name: str) -> None:
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    contract = {one.name: one.number for one in vocabulary_pb2.DESCRIPTOR.enum_types_by_name[name].values}
    assert {prefix + member.name: member.value for member in ENUMS[name]} == contract


@pytest.mark.parametrize("name", ENUMS)
def test_what_is_not_said_is_zero(name: str) -> None:
    assert ENUMS[name](0).name == "UNSPECIFIED"


def test_a_kind_is_the_name_of_its_body_in_the_contract() -> None:
    bodies = statement_pb2.Statement.DESCRIPTOR.oneofs_by_name["body"].fields
    assert {kind.value for kind in Kind} == {field.name for field in bodies}


@pytest.mark.parametrize("sub", [sub for sub in SubCategory if sub])
def test_a_sub_category_is_numbered_and_named_after_its_category(sub: SubCategory) -> None:
    category = Category(sub // 100)
    assert sub.name.startswith(f"{category.name}_")
    assert category in CATEGORIES_WITH_SUB_CATEGORIES


def test_every_instrument_binds_but_notices_and_referrals() -> None:
    assert set(Instrument) - BINDING == {Instrument.UNSPECIFIED, Instrument.NOTICE, Instrument.REFERRAL}
