"""The file: a ZIP archive in one canonical form, so that every computer opens it and no byte of it is free.

Members are stored uncompressed, sorted by name, all with the same date and attributes, without comments, extra fields
or gaps. There is exactly one file for given members; reading writes them again and compares. So nothing hides between
members, no two readers see two contents, and what is unpacked is never larger than the file.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from panji.errors import EvidenceError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 512 * 1024 * 1024
"""Bytes of a file. By default the sides may say 16 MiB in a case, and an envelope takes up to 17 times as much in it:
whole, in JSON, its payload twice, and in two pages where a quotation mark takes six bytes."""
MAX_MEMBERS = 65_534
"""Members of a file: more take another format of ZIP, which the next number announces. By default a case has up to
2,000 statements of its sides, each of up to 13 members and 16 signatures."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){0,3}")
# APPNOTE.TXT of PKWARE, 4.3.7, 4.3.12 and 4.3.16: versions 1.0, no flags, method 0, 1 January 1980, made on Unix, 0644.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _MADE_BY = 10, 3 << 8 | 10
_DATE = 1 << 5 | 1
_MODE = 0o100644 << 16


def pack(members: Mapping[str, bytes]) -> bytes:
    """Give the one file of these members.

    Args:
        members: By name; a name is 1 to 4 parts of plain ASCII, none of which begins with a dot.

    Raises:
        InputError: A name is none, or the file would be too large.
    """
    named = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name) for name in members)
    if len(members) > MAX_MEMBERS or sum(map(len, members.values())) + named + _END.size > MAX_BYTES:
        raise InputError(
            f"a bundle has at most {MAX_MEMBERS} members and {MAX_BYTES} bytes; one without content is much smaller"
        )
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in sorted(members):
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a member of a bundle")
        data, encoded = members[name], name.encode("ascii")
        crc, size, length = zlib.crc32(data), len(data), len(encoded)
        parts += (
            _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, crc, size, size, length, 0),
            encoded,
            data,
        )
        directory += (
            _CENTRAL.pack(
                *(b"PK\x01\x02", _MADE_BY, _VERSION, 0, 0, 0, _DATE, crc, size, size, length, 0, 0, 0, 0, _MODE, offset)
            ),
            encoded,
        )
        offset += _LOCAL.size + length + size
    central = b"".join(directory)
    count = len(members)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), offset, 0)
    return b"".join((*parts, central, end))


def unpack(data: bytes) -> dict[str, bytes]:
    """Give the members of a file.

    Raises:
        EvidenceError: Not exactly what :func:`pack` gives for some members.
    """
    # 1. Bounded: what is unpacked is no larger than this.
    if len(data) > MAX_BYTES:
        raise EvidenceError(f"a bundle has at most {MAX_BYTES} bytes")
    # 2. One member after the other, from the first byte on. Sizes that lead out of the file end the walk.
    members: dict[str, bytes] = {}
    offset = 0
    while data.startswith(b"PK\x03\x04", offset) and offset + _LOCAL.size <= len(data):
        *_, crc, size, _, length, _ = _LOCAL.unpack_from(data, offset)
        begin = offset + _LOCAL.size + length
        name = data[offset + _LOCAL.size : begin].decode("latin-1")
        members[name] = content = data[begin : begin + size]
        if zlib.crc32(content) != crc:
            raise EvidenceError(f"the bundle is damaged at {name!r}: its checksum is another")
        offset = begin + size
    # 3. All that the walk passed over, and every other way to write the same members, makes another file: names out of
    #    order or twice, paths that lead elsewhere, hidden bytes, a directory that tells another story.
    try:
        same = pack(members) == data
    except InputError as error:
        raise EvidenceError(f"no bundle: {error}") from error
    if not same:
        raise EvidenceError("no bundle, or a damaged one: not the one form of these members")
    return members
