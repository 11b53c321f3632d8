r"""The entry of the log: exactly the bytes that are hashed into a leaf.

Four lines of text, each ended by ``\n``::

    panji.entry.v1
    flag
    2017-07-14T04:00:00.000000Z
    <base64 of the commitment>

It names no organisation and holds no content, so the log may be public while what it proves is not.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from panji.errors import InputError, ReceiptError

SALT_SIZE = 16
"""Bytes of the salt of a commitment; fresh randomness for each entry."""
MAX_SIZE = 153
"""Bytes of the longest entry."""

_HEADER = "panji.entry.v1"
_HASH_SIZE = 32
_KIND = re.compile(r"[a-z_]{1,64}")
_LINES = 5  # the fifth is what follows the last newline: nothing


def commit(salt: bytes, digest: bytes, recipient: str, sequence: int) -> bytes:
    r"""Bind a statement to an entry without telling which statement it is.

    ``HMAC-SHA256(salt, "panji.commitment.v1\n" hex(digest) "\n" recipient "\n" sequence "\n")``. The sequence lets a
    recipient notice that a statement was left out of the feed. The salt keeps readers of a public log from confirming
    a guess; erasing salt and content breaks the link for ever, while every proof still stands.

    Args:
        salt: 16 bytes, exactly: HMAC pads shorter keys with zeros, so other lengths would allow two salts for one.
        digest: Of the envelope, 32 bytes.
        recipient: The organisation that the statement is delivered to.
        sequence: The statement's position in that recipient's feed, from 1, without gaps.

    Raises:
        InputError: An argument is out of its range.
    """
    if len(salt) != SALT_SIZE or len(digest) != _HASH_SIZE:
        raise InputError(f"a commitment takes a salt of {SALT_SIZE} bytes and a digest of {_HASH_SIZE}")
    # Printable excludes newlines, which would shift the lines, and lone surrogates, which have no UTF-8.
    if not recipient or not recipient.isprintable() or sequence < 1:
        raise InputError("a commitment takes a printable recipient and a sequence from 1")
    message = f"panji.commitment.v1\n{digest.hex()}\n{recipient}\n{sequence}\n"
    return hmac.digest(salt, message.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Raises:
        InputError: A field does not fit its line.
    """

    kind: str
    """Of the statement: 1 to 64 of a to z and ``_``, such as ``flag``."""
    received_at: datetime
    """When the exchange took the statement; aware, in UTC, to the microsecond."""
    commitment: bytes
    """What :func:`commit` gives, 32 bytes."""

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise InputError("a kind is 1 to 64 lowercase letters and underscores")
        if self.received_at.utcoffset() != timedelta():
            raise InputError("the time of receipt is in UTC and says so")
        if len(self.commitment) != _HASH_SIZE:
            raise InputError(f"a commitment has {_HASH_SIZE} bytes")

    def encode(self) -> bytes:
        """Give the bytes that are in the log."""
        received_at = self.received_at.isoformat(timespec="microseconds").removesuffix("+00:00")
        commitment = base64.b64encode(self.commitment).decode("ascii")
        return f"{_HEADER}\n{self.kind}\n{received_at}Z\n{commitment}\n".encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the bytes of an entry.

        Raises:
            ReceiptError: They are not exactly what :meth:`encode` gives for some entry.
        """
        try:
            lines = data.decode("ascii").split("\n")
            if len(lines) != _LINES:
                raise ReceiptError("an entry has four lines")
            _, kind, received_at, commitment, _ = lines
            entry = cls(kind, datetime.fromisoformat(received_at), base64.b64decode(commitment))
        except (ValueError, InputError) as error:
            raise ReceiptError("not an entry of a Panji log") from error
        # Reading is lenient, comparing is not: whatever the parsers above forgave, only one spelling remains.
        if entry.encode() != data:
            raise ReceiptError("not the one encoding of this entry")
        return entry
