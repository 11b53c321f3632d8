"""The directory: a wrong text names all that is wrong with it; a right one says who may speak for whom, and when."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.statements import MINISTRY, PLATFORM, a_flag, a_target

from panji.core.directory import ANY, Accreditation, Directory, KeyRecord, Organisation, parse_directory
from panji.core.keys import PrivateKeySigner, PublicKey
from panji.core.rules import MAX_DIRECTORY
from panji.core.statements import Flag, Target
from panji.core.vocabulary import Category, Instrument, Role, TargetKind
from panji.errors import InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
KEYS = [  # always the same, for they stand in the names of tests
    PrivateKeySigner(key).public_key
    for key in (
        Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32),
        ec.derive_private_key(2, ec.SECP256R1()),
        Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32),
    )
]
SPKI = [base64.b64encode(key.spki).decode() for key in KEYS]
KEY = f'[[organisation.key]]\nspki = "{SPKI[0]}"\nvalid_from = 2026-01-01T00:00:00Z\n'
OTHER_KEY = f'[[organisation.key]]\nspki = "{SPKI[1]}"\nvalid_from = 2026-01-01T00:00:00Z\n'

WHOLE = f"""
[[organisation]]
id = "{MINISTRY}"
name = "Ministry of Communication"
role = "authority"
participants = ["spiffe://panji.example/kominfo/desk", "spiffe://panji.example/kominfo/patrol"]
threshold = 2

[[organisation.key]]
spki = "{SPKI[0]}"
valid_from = 2026-01-01T00:00:00Z
valid_until = 2027-01-01T07:00:00+07:00

[[organisation.key]]
spki = "{SPKI[1]}"
valid_from = 2026-06-01T00:00:00Z

[[organisation]]
id = "{PLATFORM}"
name = "Telegram"
role = "platform"
suspended = true

[[organisation.key]]
spki = "{SPKI[2]}"
valid_from = 2026-01-01T00:00:00Z

[[organisation]]
id = "exchange"
name = "Exchange"
role = "operator"

[[accreditation]]
authority = "{MINISTRY}"
platform = "{PLATFORM}"
valid_from = 2026-01-01T00:00:00Z
valid_until = 2027-01-01T00:00:00Z
categories = ["GAMBLING", "FRAUD_SCAM"]
target_kinds = ["POST"]
instruments = ["NOTICE", "ORDER"]

[[accreditation]]
authority = "{MINISTRY}"
platform = "*"
valid_from = 2026-03-01T00:00:00Z
"""


@pytest.fixture(scope="module")
def directory() -> Directory:
    return parse_directory(WHOLE)


def organisation(**changes: str | None) -> str:
    """A well-formed [[organisation]] table in which some lines are replaced or left out; ``more`` follows it."""
    lines: dict[str, str | None] = {
        "id": '"kominfo"',
        "name": '"Ministry"',
        "role": '"authority"',
        "participants": '["spiffe://panji.example/kominfo"]',
    }
    more = changes.pop("more", "")
    written = [f"{name} = {value}" for name, value in {**lines, **changes}.items() if value is not None]
    return "\n".join(["[[organisation]]", *written, more or ""]) + "\n"


def wrong_in(text: str) -> list[str]:
    """The fields that a refused text breaks, in order."""
    with pytest.raises(InputError) as caught:
        parse_directory(text)
    return [violation.field for violation in caught.value.violations]


# What a directory says


def test_organisations_are_found_by_id_and_by_what_speaks_for_them(directory: Directory) -> None:
    ministry = directory.organisation(MINISTRY)
    assert ministry is not None
    assert (ministry.name, ministry.role, ministry.threshold) == ("Ministry of Communication", Role.AUTHORITY, 2)
    assert not ministry.suspended
    for participant in ("desk", "patrol"):
        assert directory.organisation_of(f"spiffe://panji.example/kominfo/{participant}") is ministry
    platform = directory.organisation(PLATFORM)
    assert platform is not None
    assert platform.suspended


def test_nobody_is_found_where_nobody_is(directory: Directory) -> None:
    assert directory.organisation("nobody") is None
    assert directory.organisation_of("spiffe://panji.example/kominfo") is None
    assert directory.keys("nobody", START) == ()
    assert directory.accreditations_of("nobody", PLATFORM, START) == ()


def test_nobody_becomes_another_by_a_name_in_other_letters(directory: Directory) -> None:
    assert directory.organisation(MINISTRY.upper()) is None
    assert directory.organisation_of("spiffe://panji.example/kominfo/DESK") is None


@pytest.mark.parametrize(
    ("at", "keys"),
    [
        (START - MOMENT, []),
        (START, KEYS[:1]),
        (datetime(2026, 6, 1, tzinfo=UTC) - MOMENT, KEYS[:1]),
        (datetime(2026, 6, 1, tzinfo=UTC), KEYS[:2]),
        (END - MOMENT, KEYS[:2]),
        (END, KEYS[1:2]),  # revoked at this very instant; seven hours east of Greenwich it was written as 07:00
    ],
)
def test_a_key_counts_from_its_first_instant_until_just_before_its_last(
    directory: Directory, at: datetime, keys: list[PublicKey]
) -> None:
    assert directory.keys(MINISTRY, at) == tuple(keys)


@pytest.mark.parametrize(
    ("at", "platform", "how_many"),
    [
        (START - MOMENT, PLATFORM, 0),
        (START, PLATFORM, 1),
        (datetime(2026, 3, 1, tzinfo=UTC) - MOMENT, "another", 0),
        (datetime(2026, 3, 1, tzinfo=UTC), "another", 1),
        (datetime(2026, 3, 1, tzinfo=UTC), PLATFORM, 2),
        (END - MOMENT, PLATFORM, 2),
        (END, PLATFORM, 1),
    ],
)
def test_a_grant_holds_in_its_time_for_its_platform_or_with_a_star_for_all(
    directory: Directory, at: datetime, platform: str, how_many: int
) -> None:
    assert len(directory.accreditations_of(MINISTRY, platform, at)) == how_many


def test_a_grant_to_one_authority_is_none_to_another(directory: Directory) -> None:
    assert directory.accreditations_of(PLATFORM, PLATFORM, START) == ()
    assert directory.accreditations_of(ANY, PLATFORM, START) == ()


DOMAIN = Target(kind=TargetKind.DOMAIN, identifier="gambling.example")


@pytest.mark.parametrize(
    ("flag", "shortfall"),
    [
        (a_flag(), ""),
        (a_flag(instrument=Instrument.REFERRAL), "instrument REFERRAL"),
        (a_flag(category=Category.HATE), "category HATE"),
        (a_flag(targets=(a_target(), DOMAIN)), "target kind DOMAIN"),
        (a_flag(instrument=Instrument.REFERRAL, category=Category.HATE, targets=(DOMAIN,)), "instrument REFERRAL"),
    ],
)
def test_a_grant_says_what_of_a_flag_it_does_not_cover(directory: Directory, flag: Flag, shortfall: str) -> None:
    narrow, everything = directory.accreditations
    assert narrow.shortfall(flag) == shortfall
    assert everything.shortfall(flag) == ""


@pytest.mark.parametrize("dimension", ["instruments", "categories", "target_kinds"])
def test_an_empty_dimension_of_a_grant_means_all(dimension: str) -> None:
    only: dict[str, Any] = {
        "instruments": frozenset({Instrument.ORDER}),
        "categories": frozenset({Category.GAMBLING}),
        "target_kinds": frozenset({TargetKind.POST}),
    }
    foreign = a_flag(instrument=Instrument.NOTICE, category=Category.HATE, targets=(DOMAIN,))
    open_there = Accreditation(MINISTRY, ANY, START, **{**only, dimension: frozenset()})
    others = {"instruments": "category", "categories": "instrument", "target_kinds": "instrument"}
    assert open_there.shortfall(a_flag()) == ""
    assert open_there.shortfall(foreign).startswith(others[dimension])


def test_an_empty_directory_knows_nobody() -> None:
    assert parse_directory("") == Directory({}, ())


def test_a_directory_that_is_longer_than_can_be_recorded_is_refused() -> None:
    with pytest.raises(InputError, match="The directory has more than 8388608 characters"):
        parse_directory("#" * (MAX_DIRECTORY + 1))


# What a directory may not say


def test_a_text_that_is_no_toml_says_where() -> None:
    with pytest.raises(InputError, match=r"The directory is no TOML: .*line 2"):
        parse_directory("a = 1\nb = \n")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (organisation(id=None), ["organisation[0].id"]),
        (organisation(id='""'), ["organisation[0].id"]),
        (organisation(id="17"), ["organisation[0].id"]),
        (organisation(id='"Kominfo"'), ["organisation[0].id"]),
        (organisation(name=None), ["organisation[0].name"]),
        (organisation(name='"two\\nlines"'), ["organisation[0].name"]),
        (organisation(role=None), ["organisation[0].role"]),
        (organisation(role='"ministry"'), ["organisation[0].role"]),
        (organisation(role='["authority"]'), ["organisation[0].role"]),
        (organisation(participants='"spiffe://panji.example/kominfo"'), ["organisation[0].participants"]),
        (organisation(participants="[7]"), ["organisation[0].participants"]),
        (organisation(participants='["https://panji.example/kominfo"]'), ["organisation[0].participants"]),
        (organisation(participants='["spiffe://panji.example"]'), ["organisation[0].participants"]),
        (organisation(participants='["spiffe://panji.example/a/../b"]'), ["organisation[0].participants"]),
        (organisation(participants='["spiffe://panji.example/a/."]'), ["organisation[0].participants"]),
        (organisation(participants='["spiffe://Panji.example/a"]'), ["organisation[0].participants"]),
        (organisation(threshold="0"), ["organisation[0].threshold"]),
        (organisation(threshold="2", more=KEY), ["organisation[0].threshold"]),
        (organisation(threshold='"1"'), ["organisation[0].threshold"]),
        (organisation(threshold="true"), ["organisation[0].threshold"]),
        (organisation(threshold="[]"), ["organisation[0].threshold"]),
        (organisation(threshold="[1]"), ["organisation[0].threshold"]),
        (organisation(suspended='"false"'), ["organisation[0].suspended"]),
        (organisation(suspended="0"), ["organisation[0].suspended"]),
        (organisation(key='"abc"'), ["organisation[0].key"]),
        (organisation(keys="[]", kez="1"), ["organisation[0].keys", "organisation[0].kez"]),
        ('organisation = "kominfo"', ["organisation"]),
        ("organisations = []", ["organisations"]),
        ("accreditation = [1]", ["accreditation"]),
    ],
)
def test_an_organisation_that_breaks_the_format_is_refused(text: str, fields: list[str]) -> None:
    assert wrong_in(text) == fields


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("", ["valid_from", "spki", "spki"]),
        ('spki = "not base64!"\nvalid_from = 2026-01-01T00:00:00Z', ["spki"]),
        ('spki = "é"\nvalid_from = 2026-01-01T00:00:00Z', ["spki"]),
        ('spki = "AAAA"\nvalid_from = 2026-01-01T00:00:00Z', ["spki"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = 2026-01-01T00:00:00', ["valid_from"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = 2026-01-01', ["valid_from"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = "2026-01-01T00:00:00Z"', ["valid_from"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = 2026-01-01T00:00:00Z\nvalid_until = 2027-01-01', ["valid_until"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = 2026-01-01T00:00:00Z\nvalid_until = 2026-01-01T00:00:00Z', ["valid_until"]),
        (f'spki = "{SPKI[0]}"\nvalid_from = 2026-01-01T00:00:00Z\nvalid_til = 2027-01-01T00:00:00Z', ["valid_til"]),
    ],
)  # fmt: skip
def test_a_key_that_breaks_the_format_is_refused(key: str, fields: list[str]) -> None:
    text = organisation(more=f"[[organisation.key]]\n{key}")
    assert wrong_in(text) == [f"organisation[0].key[0].{field}" for field in fields]


FIRST = "[[organisation.threshold]]\nkeys = 1\n"
LATER = "[[organisation.threshold]]\nkeys = 2\nvalid_from = 2026-07-01T00:00:00Z\n"


@pytest.mark.parametrize(
    ("tables", "fields"),
    [
        (LATER, ["[0].valid_from"]),
        (FIRST + FIRST, ["[1].valid_from"]),
        (FIRST.replace("1", '"1"'), ["[0].keys"]),
        (FIRST + LATER.replace("2\n", "true\n"), ["[1].keys"]),
        (FIRST + LATER.replace("keys = 2", "keys = 3"), [""]),
        (FIRST + LATER + LATER, [""]),
        (FIRST + LATER + "valid_until = 2026-08-01T00:00:00Z\n", ["[1].valid_until"]),
        (FIRST + LATER.replace("00Z", "00"), ["[1].valid_from"]),
    ],
)
def test_thresholds_that_break_the_format_are_refused(tables: str, fields: list[str]) -> None:
    text = organisation(more=tables + KEY + OTHER_KEY)
    assert wrong_in(text) == [f"organisation[0].threshold{field}" for field in fields]


def test_a_threshold_holds_from_its_time_on_and_the_first_one_since_ever() -> None:
    third = "[[organisation.threshold]]\nkeys = 1\nvalid_from = 2027-01-01T00:00:00Z\n"
    one = parse_directory(organisation(more=FIRST + LATER + third + KEY + OTHER_KEY)).organisations["kominfo"]
    july, far = datetime(2026, 7, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    times = (datetime.min.replace(tzinfo=UTC), july - MOMENT, july, END - MOMENT, END, far)
    assert [one.threshold_at(time) for time in times] == [1, 1, 2, 2, 1, 1]


def test_a_plain_threshold_holds_since_ever() -> None:
    one = parse_directory(organisation(threshold="2", more=KEY + OTHER_KEY)).organisations["kominfo"]
    assert {one.threshold_at(time) for time in (datetime.min.replace(tzinfo=UTC), START, END)} == {2}


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_a_text_that_is_too_much_for_the_parser_is_refused_as_such(value: str) -> None:
    """Attack: a number of thousands of digits, for an error that nobody expects."""
    with pytest.raises(InputError, match="more than a TOML parser takes"):
        parse_directory(organisation(threshold=value))


def test_a_key_of_small_order_binds_nobody_and_is_refused() -> None:
    prefix = KEYS[2].spki[:-32]
    weak = base64.b64encode(prefix + bytes(32)).decode()
    text = organisation(more=KEY.replace(SPKI[0], weak))
    assert wrong_in(text) == ["organisation[0].key[0].spki"]


GRANT = """
[[accreditation]]
authority = "kominfo"
platform = "*"
valid_from = 2026-01-01T00:00:00Z
"""


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ('authority = "kominfo"', 'authority = "nobody"', ["authority"]),
        ('authority = "kominfo"', 'authority = "*"', ["authority"]),
        ('authority = "kominfo"', 'authority = "telegram"', ["authority"]),
        ('authority = "kominfo"', "", ["authority", "authority"]),
        ('platform = "*"', 'platform = "nobody"', ["platform"]),
        ('platform = "*"', 'platform = "kominfo"', ["platform"]),
        ("valid_from = 2026-01-01T00:00:00Z", "", ["valid_from"]),
        ("Z\n", "Z\nvalid_until = 2025-01-01T00:00:00Z", ["valid_until"]),
        ("Z\n", 'Z\ncategories = "GAMBLING"', ["categories"]),
        ("Z\n", 'Z\ncategories = ["GAMBLING", "gambling"]', ["categories"]),
        ("Z\n", 'Z\ncategories = ["UNSPECIFIED"]', ["categories"]),
        ("Z\n", "Z\ntarget_kinds = [6]", ["target_kinds"]),
        ("Z\n", 'Z\ninstruments = ["POST", "LETTER"]', ["instruments", "instruments"]),
        ("Z\n", 'Z\nurgencies = ["URGENT"]', ["urgencies"]),
    ],
)
def test_an_accreditation_that_breaks_the_format_is_refused(old: str, new: str, fields: list[str]) -> None:
    telegram = organisation(id='"telegram"', role='"platform"', participants="[]")
    text = organisation() + telegram + GRANT
    parse_directory(text)
    assert wrong_in(text.replace(old, new, 1)) == [f"accreditation[0].{field}" for field in fields]


# Two of one


@pytest.mark.parametrize(
    ("second", "field"),
    [
        ({"participants": "[]"}, "id"),
        ({"id": '"another"'}, "participants"),
        ({"id": '"another"', "participants": "[]", "more": KEY}, "key"),
    ],
)
def test_two_organisations_share_no_id_no_participant_and_no_key(second: dict[str, str], field: str) -> None:
    assert wrong_in(organisation(more=KEY) + organisation(**second)) == [f"organisation[1].{field}"]


def test_an_organisation_that_lists_one_key_twice_does_not_have_four_eyes() -> None:
    assert wrong_in(organisation(threshold="2", more=KEY + KEY)) == ["organisation[0].key"]
    parse_directory(organisation(threshold="2", more=KEY + OTHER_KEY))


def test_an_organisation_lists_no_participant_twice() -> None:
    twice = '["spiffe://panji.example/a", "spiffe://panji.example/a"]'
    assert wrong_in(organisation(participants=twice)) == ["organisation[0].participants"]


def test_all_that_is_wrong_is_named_at_once() -> None:
    text = organisation(id=None, role='"x"') + organisation(threshold="7", more="[[organisation.key]]\n") + GRANT
    text += 'platfrom = "telegram"\n'
    assert wrong_in("top = 1\n" + text.replace('authority = "kominfo"', 'authority = "nobody"')) == [
        "organisation[0].id",
        "organisation[0].role",
        "organisation[1].key[0].valid_from",
        "organisation[1].key[0].spki",
        "organisation[1].key[0].spki",
        "accreditation[0].platfrom",
        "top",
        "organisation[1].participants",
        "organisation[1].threshold",
        "accreditation[0].authority",
    ]


def test_the_keys_of_an_organisation_end_with_the_first_that_counts_now() -> None:
    key = PrivateKeySigner.generate().public_key
    start, hour = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1)

    def ends(*periods: tuple[int, int | None]) -> datetime | None:
        records = tuple(KeyRecord(key, start + hour * a, None if b is None else start + hour * b) for a, b in periods)
        return Organisation("one", "One", Role.AUTHORITY, records, ()).keys_end(start + hour * 5)

    assert ends() is ends((0, None)) is ends((0, 5)) is ends((6, 7)) is None
    assert ends((0, 9), (5, 6), (0, None), (7, 8)) == start + hour * 6
