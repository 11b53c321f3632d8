"""The file: one form for given members, and whatever is not in it is refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.errors import EvidenceError, InputError
from panji.evidence import bundle
from panji.evidence.bundle import pack, unpack

MEMBERS = {"a.txt": b"one", "b/c.txt": b"", "b/d-1": b"two" * 20}
DATA = pack(MEMBERS)
CENTRAL = DATA.index(b"PK\x01\x02")


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive by Python's own writer, which is as free as anybody's."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(DATA) == MEMBERS
    assert unpack(pack({})) == {}


def test_the_same_members_make_the_same_file_in_any_order() -> None:
    assert pack(dict(reversed(MEMBERS.items()))) == DATA


def test_every_other_program_opens_it() -> None:
    with zipfile.ZipFile(io.BytesIO(DATA)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS


def test_every_flipped_byte_is_noticed() -> None:
    for position in range(len(DATA)):
        for bit in range(8):
            broken = DATA[:position] + bytes([DATA[position] ^ 1 << bit]) + DATA[position + 1 :]
            with pytest.raises(EvidenceError):
                unpack(broken)


def test_every_truncation_is_noticed() -> None:
    for length in range(len(DATA)):
        with pytest.raises(EvidenceError):
            unpack(DATA[:length])


@given(st.binary())
def test_arbitrary_bytes_are_no_bundle(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        unpack(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(DATA + b"\x00", id="something behind it"),
        pytest.param(b"\x00" + DATA, id="something before it"),
        pytest.param(DATA[:CENTRAL] + b"hidden" + DATA[CENTRAL:], id="something between members and directory"),
        pytest.param(DATA[:-2] + b"\x01\x00!", id="a comment"),
        pytest.param(zipped(list(MEMBERS.items())), id="the same members by another program"),
        pytest.param(zipped(list(MEMBERS.items()), zipfile.ZIP_DEFLATED), id="compressed"),
        pytest.param(zipped([("bomb", bytes(1_000_000))], zipfile.ZIP_DEFLATED), id="a bomb"),
    ],
)
def test_another_file_with_the_same_members_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        unpack(data)


def stored(*members: tuple[bytes, bytes]) -> bytes:
    """An archive as :func:`pack` writes it, but with any names in any order."""
    local, central, offset = b"", b"", 0
    for name, data in members:
        sizes = (zlib.crc32(data), len(data), len(data), len(name))
        head = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 10, 0, 0, 0, 33, *sizes, 0) + name + data
        central += struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 778, 10, 0, 0, 0, 33, *sizes, 0, 0, 0, 0, 0o100644 << 16, offset
        )
        central += name
        local += head
        offset += len(head)
    count = len(members)
    return local + central + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(central), offset, 0)


def test_the_archive_of_this_test_is_the_real_one() -> None:
    assert stored(*((name.encode(), data) for name, data in MEMBERS.items())) == DATA


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([(b"../evil", b"")], id="a path upwards"),
        pytest.param([(b"a/../../evil", b"")], id="a path upwards in the middle"),
        pytest.param([(b"/etc/passwd", b"")], id="an absolute path"),
        pytest.param([(b"C:\\evil", b"")], id="a path of another system"),
        pytest.param([(b".hidden", b"")], id="a hidden file"),
        pytest.param([(b"a//b", b"")], id="an empty part"),
        pytest.param([(b"a/", b"")], id="a folder"),
        pytest.param([(b"", b"")], id="no name"),
        pytest.param([(b"a\x00.txt", b"")], id="a name that ends early"),
        pytest.param([("straße".encode(), b"")], id="a name beyond ASCII"),
        pytest.param([(b"a/b/c/d/e", b"")], id="too deep"),
        pytest.param([(b"a", b"1"), (b"a", b"2")], id="a name twice, so that two readers see two contents"),
        pytest.param([(b"b", b""), (b"a", b"")], id="names out of order"),
    ],
)
def test_names_that_lead_astray_are_refused(members: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(EvidenceError):
        unpack(stored(*members))


def test_a_directory_that_tells_another_story_than_the_members_is_refused() -> None:
    other = stored((b"a.txt", b"two"))
    mixed = stored((b"a.txt", b"one"))
    at = mixed.index(b"PK\x01\x02")
    with pytest.raises(EvidenceError):
        unpack(mixed[:at] + other[at:])


def test_a_size_that_leads_out_of_the_file_is_refused() -> None:
    broken = bytearray(DATA)
    struct.pack_into("<I", broken, 18, 2**32 - 1)
    with pytest.raises(EvidenceError):
        unpack(bytes(broken))


def test_a_file_beyond_all_bounds_is_neither_made_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", len(DATA) - 1)
    with pytest.raises(EvidenceError, match="at most"):
        unpack(DATA)
    with pytest.raises(InputError):
        pack({"a": bytes(len(DATA))})
    monkeypatch.undo()
    monkeypatch.setattr(bundle, "MAX_MEMBERS", 2)
    with pytest.raises(EvidenceError):
        unpack(DATA)


def test_what_is_written_is_never_too_large_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and what stands around the members count: an export that nobody could verify would be no evidence."""
    members = {f"a/{number}": b"" for number in range(100)}
    size = len(pack(members))
    monkeypatch.setattr(bundle, "MAX_BYTES", size)
    assert unpack(pack(members)) == members
    monkeypatch.setattr(bundle, "MAX_BYTES", size - 1)
    with pytest.raises(InputError, match="without content is much smaller"):
        pack(members)


def test_a_file_of_as_many_members_as_there_can_be_is_opened_by_any_computer() -> None:
    members = {f"{number:05}": b"" for number in range(bundle.MAX_MEMBERS)}
    data = pack(members)
    assert unpack(data) == members
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == bundle.MAX_MEMBERS
    with pytest.raises(InputError, match="65534 members"):
        pack({**members, "more": b""})


def test_a_name_that_is_none_is_not_written() -> None:
    with pytest.raises(InputError):
        pack({"../evil": b""})
