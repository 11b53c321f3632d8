"""Entries of the log: one encoding for each, and a commitment that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core.entry import Entry, commit
from panji.errors import InputError, ReceiptError

SALT = bytes(range(16))
DIGEST = hashlib.sha256(b"envelope").digest()
ENTRY = Entry("flag", datetime(2017, 7, 14, 4, 0, 0, 250, tzinfo=UTC), commit(SALT, DIGEST, "telegram", 1))


def test_an_entry_is_exactly_these_bytes() -> None:
    entry = Entry("flag", ENTRY.received_at, bytes(32))
    assert entry.encode() == (
        b"panji.entry.v1\nflag\n2017-07-14T04:00:00.000250Z\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    )


@given(
    st.from_regex(r"[a-z_]{1,64}", fullmatch=True),
    st.datetimes(timezones=st.just(UTC)),
    st.binary(min_size=32, max_size=32),
)
def test_an_entry_is_read_back_as_written(kind: str, received_at: datetime, commitment: bytes) -> None:
    entry = Entry(kind, received_at, commitment)
    assert Entry.decode(entry.encode()) == entry


@given(st.data())
def test_every_changed_byte_makes_another_entry_or_none(data: st.DataObject) -> None:
    changed = bytearray(ENTRY.encode())
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = Entry.decode(bytes(changed))
    except ReceiptError:
        return
    assert decoded != ENTRY
    assert decoded.encode() == changed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ENTRY.encode()[:-1],
        ENTRY.encode() + b"\n",
        ENTRY.encode().replace(b"\n", b"\r\n"),
        ENTRY.encode().replace(b"v1", b"v2"),
        ENTRY.encode().replace(b"flag", b"Flag"),
        ENTRY.encode().replace(b"flag", b""),
        ENTRY.encode().replace(b"flag", b"\xff"),
        ENTRY.encode().replace(b"Z\n", b"+00:00\n"),
        ENTRY.encode().replace(b"Z\n", b"+07:00\n"),
        ENTRY.encode().replace(b"Z\n", b"\n"),
        ENTRY.encode().replace(b"T04", b" 04"),
        ENTRY.encode().replace(b".000250", b".00025"),
        ENTRY.encode().replace(b".000250", b".000250000"),
        ENTRY.encode().replace(b"2017-07-14", b"20170714"),
        ENTRY.encode().replace(b"2017-07-14", b"2017-02-30"),
        ENTRY.encode().replace(b"=\n", b"\n"),
        ENTRY.encode().replace(b"=\n", b"= \n"),
    ],
)
def test_another_spelling_of_an_entry_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptError):
        Entry.decode(data)


@pytest.mark.parametrize("kind", ["", "Flag", "flag\n", "a-b", "flâg", "a" * 65])
def test_a_kind_that_breaks_its_line_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="kind"):
        Entry(kind, ENTRY.received_at, ENTRY.commitment)


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=7))])
def test_a_time_of_receipt_that_is_not_in_utc_is_refused(zone: timezone | None) -> None:
    with pytest.raises(InputError, match="UTC"):
        Entry("flag", datetime(2017, 7, 14, 11, tzinfo=zone), ENTRY.commitment)


def test_a_commitment_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="32 bytes"):
        Entry("flag", ENTRY.received_at, b"short")


def test_the_commitment_is_the_documented_hmac() -> None:
    message = f"panji.commitment.v1\n{DIGEST.hex()}\ntelegram\n7\n".encode()
    assert commit(SALT, DIGEST, "telegram", 7) == hmac.new(SALT, message, hashlib.sha256).digest()


def test_the_commitment_binds_salt_digest_recipient_and_place_in_the_feed() -> None:
    others = [
        commit(bytes(16), DIGEST, "telegram", 1),
        commit(SALT, bytes(32), "telegram", 1),
        commit(SALT, DIGEST, "whatsapp", 1),
        commit(SALT, DIGEST, "telegram", 2),
    ]
    assert ENTRY.commitment not in others
    assert len(set(others)) == len(others)


@pytest.mark.parametrize(
    ("salt", "digest", "recipient", "sequence"),
    [
        (SALT[:-1], DIGEST, "telegram", 1),
        (SALT + b"\x00", DIGEST, "telegram", 1),
        (SALT, DIGEST[:-1], "telegram", 1),
        (SALT, DIGEST, "", 1),
        (SALT, DIGEST, "tele\ngram", 1),
        (SALT, DIGEST, "tele\ud800gram", 1),
        (SALT, DIGEST, "telegram", 0),
    ],
)
def test_a_commitment_to_nothing_in_particular_is_refused(
    salt: bytes, digest: bytes, recipient: str, sequence: int
) -> None:
    with pytest.raises(InputError):
        commit(salt, digest, recipient, sequence)
