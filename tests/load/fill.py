# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""Fills the log of a development exchange with many flags, straight into the database: ``fill.py FOLDER ENTRIES``.

The statements are real, signed by the authority that ``panji init`` made, and so are cases, nodes and checkpoints; only
the network and the checks of admission are left out, which would take most of the time. The folder is made when there
is none.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.load import Party

from panji import development
from panji.core import envelope as dsse
from panji.core.entry import SALT_SIZE
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.profile import Profile
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.statements import parse_statement
from panji_server.sequencing import Admitted, sequence
from panji_server.storage.sqlite import SQLiteStorage

GROUP = 100
"""Statements of one commit, as with a busy exchange."""


def fill(folder: Path, entries: int, *, group: int = GROUP) -> None:
    """Appends so many flags to the log of the exchange in the folder."""
    if not folder.exists():
        development.init(folder, now=datetime.now(UTC))
    party = Party.load(folder / "kominfo" / "profile.toml")
    log = NoteSigner(party.profile.log.name, PrivateKeySigner.from_pem((folder / "exchange/keys/log.pem").read_bytes()))
    flags = Flags(party)
    with closing(SQLiteStorage(folder / "exchange" / "exchange.db")) as storage:
        while entries > 0:
            items = [flags.next() for _ in range(min(group, entries))]
            with storage.append() as transaction:
                known = transaction.load({item.statement.id for item in items}, set(), set(), {flags.recipient})
                result = sequence(items, transaction.head(), known, log, lambda: secrets.token_bytes(SALT_SIZE))
                assert result.commit is not None
                transaction.store(result.commit)
            entries -= len(items)


class Flags:
    """Signed flags that differ in their ids, and are received one after the other."""

    recipient = "telegram"

    def __init__(self, party: Party) -> None:
        self._signer = party.signer
        signed = party.flag(self.recipient)
        self._payload = parse_envelope(signed.envelope).payload
        self._statement = parse_statement(self._payload)
        self._old = self._statement.id.encode()
        self._received_at = datetime.now(UTC)

    def not_before(self, instant: datetime) -> None:
        """The next ones are received after that."""
        self._received_at = max(self._received_at, instant)

    def next(self) -> Admitted:
        """One more, admitted."""
        self._received_at += timedelta(microseconds=500)
        identifier = _uuid7(self._received_at)
        payload = self._payload.replace(self._old, identifier.encode())
        envelope = encode_envelope(dsse.sign(payload, [self._signer]))
        statement = replace(self._statement, id=identifier)
        return Admitted(statement, envelope, dsse.digest(envelope), self._received_at)


def _uuid7(now: datetime) -> str:
    """A UUIDv7 of that time (RFC 9562, section 5.7)."""
    data = bytearray(int(now.timestamp() * 1000).to_bytes(6) + secrets.token_bytes(10))
    data[6], data[8] = data[6] & 0x0F | 0x70, data[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(data)))


def main() -> None:
    """Fills, and says how long it took."""
    parser = argparse.ArgumentParser(description="Fills the log of a development exchange.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("entries", type=int)
    parser.add_argument("--group", type=int, default=GROUP, help=f"statements of one commit [{GROUP}]")
    options = parser.parse_args()
    began = time.perf_counter()
    fill(options.folder, options.entries, group=options.group)
    took = time.perf_counter() - began
    profile = Profile.load(options.folder / "kominfo" / "profile.toml")
    print(f"{options.entries} entries in {took:.1f} s; {profile.log_key}")


if __name__ == "__main__":
    main()
