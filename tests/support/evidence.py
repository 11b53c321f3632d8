"""Cases for bundles of evidence: a log in memory, a directory on record, statements of every side, their bundle."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from panji.core import envelope as dsse
from panji.core.checkpoint import open_checkpoint
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.statements import DeadlineMissed, DirectoryRecord, Statement
from panji.core.vocabulary import Deadline
from panji.evidence.assembly import assemble
from panji.evidence.bundle import pack, unpack
from panji.evidence.content import MANIFEST, SIGNATURE, SUMS, read
from panji.evidence.export import Material, export
from panji.trust import Trust, Verified, follow
from panji.wire.envelopes import encode_envelope
from panji.wire.statements import encode_statement
from support.lying_exchange import Log
from support.statements import EXCHANGE, MINISTRY, NOON, PLATFORM, STRANGER, a_flag, a_statement, an_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from panji.core.directory import Directory
    from panji.core.note import NoteVerifier
    from panji.core.statements import Body

OPERATOR = "operator"
ROLES = {MINISTRY: "authority", PLATFORM: "platform", STRANGER: "platform", OPERATOR: "operator"}
LATER = NOON + timedelta(days=1)
"""When bundles are exported."""


class Stage:
    """An honest exchange of which one can ask anything to be logged, and whoever speaks over it."""

    def __init__(self) -> None:
        self.log = Log()
        self.signers = {organisation: [PrivateKeySigner.generate()] for organisation in ROLES}
        self.thresholds = dict.fromkeys(ROLES, 1)
        self.periods: dict[str, str] = {}
        """More lines for every key of an organisation, such as ``valid_until``."""
        self.said: list[Verified] = []
        self.records: list[Verified] = []
        self._sequences: dict[str, int] = {}
        self._ids = 0

    @property
    def key(self) -> NoteVerifier:
        """The log's."""
        return self.log.signer.verifier

    @property
    def directory_text(self) -> str:
        """The directory, as the operator writes it."""
        parts = []
        for organisation, role in ROLES.items():
            parts.append(
                f'[[organisation]]\nid = "{organisation}"\nname = "{organisation}"\nrole = "{role}"\n'
                f"threshold = {self.thresholds[organisation]}\n"
            )
            for signer in self.signers[organisation]:
                spki = base64.b64encode(signer.public_key.spki).decode()
                more = self.periods.get(organisation, "")
                parts.append(f'[[organisation.key]]\nspki = "{spki}"\nvalid_from = 2020-01-01T00:00:00Z\n{more}\n')
        return "\n".join(parts)

    @property
    def directory(self) -> Directory:
        """The directory, as a value."""
        return parse_directory(self.directory_text)

    @property
    def now(self) -> datetime:
        """A second for every entry."""
        return NOON + timedelta(seconds=self.log.size)

    def put(self, statement: Statement, signers: Sequence[PrivateKeySigner] = ()) -> Verified:
        """Logs a statement, whatever it is and whoever signed it: what a thief of the exchange can do, too."""
        signers = signers or self.signers[statement.sender]
        data = encode_envelope(dsse.sign(encode_statement(statement), signers))
        recipient = statement.recipient
        self._sequences[recipient] = sequence = self._sequences.get(recipient, 0) + 1
        receipt = self.log.append(dsse.digest(data), statement.kind.value, recipient, sequence, self.now)
        return Verified(statement, data, receipt.digest, receipt, tuple(one.public_key.keyid for one in signers))

    def say(self, statement: Statement, signers: Sequence[PrivateKeySigner] = ()) -> Verified:
        """Logs a statement of the case."""
        self.said.append(self.put(statement, signers))
        return self.said[-1]

    def record(self) -> Verified:
        """Puts the directory on record, as it is now."""
        body = DirectoryRecord(document=self.directory_text)
        place = {"sender": OPERATOR, "recipient": OPERATOR, "case_id": "", "in_reply_to": b"", "id": self.an_id()}
        self.records.append(self.put(a_statement(body, **place)))
        return self.records[-1]

    def flag(self, **changes: Any) -> Verified:
        """Opens the case."""
        return self.say(a_statement(a_flag(**changes), id=self.an_id()))

    def reply(
        self, body: Body, *, to: Verified | None = None, signers: Sequence[PrivateKeySigner] = (), **changes: Any
    ) -> Verified:
        """Answers the flag, or another statement of the case."""
        to = to or self.said[0]
        place = {"id": self.an_id(), "case_id": to.statement.case, "in_reply_to": to.digest, **changes}
        return self.say(a_statement(body, **place), signers)

    def missed(self, *, delivered: bool = True, last_seen: bool = False) -> list[Verified]:
        """The exchange states, to each side, that the deadline passed."""
        handed: dict[str, Any] = {"delivered_at": self.now, "delivered_to": "spiffe://test.example/telegram"}
        known = (handed if delivered else {}) | ({"last_seen_at": self.now} if last_seen else {})
        body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=self.now, **known)
        return [self.reply(body, sender=OPERATOR, recipient=one) for one in (MINISTRY, PLATFORM)]

    def an_id(self) -> str:
        """The next one."""
        self._ids += 1
        return an_id(self._ids)

    def material(self, **changes: Any) -> Material:
        """What an exporter has fetched and verified."""
        trust = Trust(EXCHANGE, self.directory)
        records, said = (
            [
                trust.statement(one.envelope, one.receipt, open_checkpoint(one.receipt.checkpoint, self.key))
                for one in many
            ]
            for many in (self.records, self.said)
        )
        size = self.log.size
        return Material(
            **{
                "case": follow(said[0].statement.id, said),
                "records": records,
                "checkpoint": self.log.checkpoint(),
                "proofs": {
                    one.receipt.index: (
                        self.log.inclusion_proof(one.receipt.index, size),
                        self.log.consistency_proof(one.receipt.index + 1, size),
                    )
                    for one in (*records, *said)
                },
                **changes,
            }
        )

    def bundle(self, material: Material | None = None, **changes: Any) -> bytes:
        """The file that the ministry exports."""
        return export(
            material or self.material(),
            **{
                "log": self.key,
                "directory": self.directory,
                "organisation": MINISTRY,
                "now": LATER,
                "signers": self.signers[MINISTRY],
                **changes,
            },
        )


def edited(data: bytes, edit: Callable[[dict[str, bytes]], object]) -> bytes:
    """A bundle whose members somebody changed who can compute sums, but signs nothing."""
    members = unpack(data)
    edit(members)
    members.pop(SIGNATURE, None)
    summed = {name: content for name, content in members.items() if name not in {SUMS, MANIFEST}}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(summed.items()))
    members[SUMS] = sums.encode()
    manifest = json.loads(members[MANIFEST]) | {"sha256sums": hashlib.sha256(members[SUMS]).hexdigest()}
    members[MANIFEST] = (json.dumps(manifest, indent=1) + "\n").encode()
    return pack(members)


def forged(data: bytes, **changes: Any) -> bytes:
    """A bundle that somebody made anew from another core, with our own code, but signs nothing."""
    content = replace(read(unpack(data)), signature=None, **changes)
    if "keys" not in changes:
        content = replace(content, keys={keyid: content.keys[keyid] for keyid in content.signers})
    return pack(assemble(content))
