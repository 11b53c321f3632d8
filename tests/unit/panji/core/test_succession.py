"""What a new version of the directory may not take back, or yesterday's statements could be denied."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.rooms import LATER, LONG_AGO, a_directory, an_organisation
from support.statements import MINISTRY, OPERATOR, PLATFORM

from panji.core.directory import Directory, KeyRecord, Organisation, Threshold
from panji.core.keys import PrivateKeySigner
from panji.core.succession import EDITING, taken_back
from panji.core.vocabulary import Role

KEYS = [PrivateKeySigner.generate().public_key for _ in range(3)]
NOW = LATER
MOMENT = timedelta(microseconds=1)
DAY = timedelta(days=1)


def ministry(*records: KeyRecord, **changes: Any) -> Organisation:
    """The ministry with two keys that have counted for long, or with others."""
    keys = records or tuple(KeyRecord(key, LONG_AGO) for key in KEYS[:2])
    return an_organisation(MINISTRY, keys=keys, **changes)


def lost(old: Organisation, new: Organisation) -> list[str]:
    """What is taken back, by place, where one organisation changes."""
    found = taken_back(a_directory(old), a_directory(new), NOW)
    return [one.field.replace(KEYS[0].keyid, "0").replace(KEYS[1].keyid, "1") for one in found]


def test_what_stays_and_what_comes_takes_nothing_back() -> None:
    more = (*ministry().keys, KeyRecord(KEYS[2], NOW))
    assert lost(ministry(), ministry()) == []
    assert lost(ministry(), ministry(*more, participants=(), suspended=True, name="another")) == []
    one = Directory({MINISTRY: ministry()})
    assert taken_back(one, a_directory(ministry()), NOW) == []


def test_an_organisation_may_not_go_and_so_deny_what_it_said() -> None:
    everyone = dict(a_directory().organisations)
    del everyone[PLATFORM]
    (one,) = taken_back(a_directory(), replace(a_directory(), organisations=everyone), NOW)
    assert (one.field, one.description) == ("organisation telegram", "may not go: suspend it, and end its keys")


def test_a_key_may_not_go_but_end() -> None:
    first, second = ministry().keys
    assert lost(ministry(), ministry(first)) == ["organisation kominfo, key 1"]
    assert lost(ministry(), ministry(first, replace(second, valid_until=NOW))) == []


def test_a_key_that_moves_to_another_organisation_has_gone() -> None:
    first, second = ministry().keys
    new = a_directory(ministry(first), an_organisation(PLATFORM, keys=(second,)))
    assert len(taken_back(a_directory(ministry()), new, NOW)) == 2  # the platform's own went as well


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        (None, NOW, True),
        (None, NOW + DAY, True),
        (None, NOW - EDITING, True),
        (None, NOW - EDITING - MOMENT, False),
        (None, NOW - DAY, False),
        (NOW + DAY, NOW - DAY, False),
        (NOW - DAY, NOW - DAY, True),
        (NOW - DAY, NOW - DAY - MOMENT, False),
        (NOW - DAY, None, True),
    ],
    ids=str,
)
def test_a_key_ends_from_now_on_and_not_as_of_yesterday(old: Any, new: Any, passes: bool) -> None:
    """Attack: a key is ended as of a day before, and whatever it signed since is denied."""
    first, second = ministry().keys
    before, after = (ministry(first, replace(second, valid_until=until)) for until in (old, new))
    assert lost(before, after) == ([] if passes else ["organisation kominfo, key 1.valid_until"])


def test_a_key_that_began_to_count_just_now_is_not_said_never_to_have_counted() -> None:
    first, second = ministry().keys
    young = replace(second, valid_from=NOW - MOMENT)
    never = replace(second, valid_from=LONG_AGO, valid_until=NOW - DAY)
    assert lost(ministry(first, young), ministry(first, never)) == ["organisation kominfo, key 1.valid_until"]
    assert lost(ministry(first, young), ministry(first, replace(young, valid_until=NOW))) == []


def test_a_key_that_has_not_counted_yet_may_be_ended_and_put_off() -> None:
    first, second = ministry().keys
    coming = replace(second, valid_from=NOW + DAY)
    never = replace(second, valid_from=NOW - 2 * DAY, valid_until=NOW - DAY)
    put_off = replace(second, valid_from=NOW + 2 * DAY)
    assert lost(ministry(first, coming), ministry(first, never)) == []
    assert lost(ministry(first, coming), ministry(first, put_off)) == []
    assert lost(ministry(), ministry(first, put_off)) == ["organisation kominfo, key 1.valid_from"]


def test_a_persons_key_does_not_become_a_machines_after_the_fact() -> None:
    first, second = ministry().keys
    machine = replace(second, automatic=True)
    assert lost(ministry(), ministry(first, machine)) == ["organisation kominfo, key 1.automatic"]
    assert lost(ministry(first, machine), ministry()) == []


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        ((1, ()), (2, ()), False),
        ((2, ()), (1, ()), True),
        ((1, ()), (1, (Threshold(2, NOW + MOMENT),)), True),
        ((1, ()), (1, (Threshold(2, NOW),)), False),
        ((1, ()), (1, (Threshold(2, NOW - DAY), Threshold(1, NOW - MOMENT))), False),
        ((1, (Threshold(2, NOW - DAY),)), (1, (Threshold(2, NOW - DAY),)), True),
        ((1, (Threshold(2, NOW - DAY),)), (1, (Threshold(2, NOW - 2 * DAY),)), False),
        ((1, (Threshold(2, NOW - DAY),)), (1, (Threshold(2, NOW - DAY), Threshold(1, NOW))), True),
        ((1, (Threshold(2, NOW - DAY),)), (2, ()), False),
        ((1, (Threshold(2, NOW + DAY),)), (1, ()), True),
    ],
)
def test_a_threshold_rises_from_a_time_to_come_on_only(old: Any, new: Any, passes: bool) -> None:
    """Attack: four eyes as of yesterday make all that one pair of eyes has signed unprovable."""
    before, after = (ministry(threshold=first, thresholds=later) for first, later in (old, new))
    assert lost(before, after) == ([] if passes else ["organisation kominfo.threshold"])


def test_the_operator_whom_the_exchange_speaks_for_stays_one() -> None:
    operator = an_organisation(OPERATOR)
    assert lost(operator, replace(operator, role=Role.PLATFORM)) == ["organisation operator.role"]
    assert lost(ministry(), ministry(role=Role.PLATFORM)) == []
