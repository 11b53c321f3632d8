"""What stands in a bundle: the core from which everything else in it is computed, and how that is written.

The core is what cannot be computed: envelopes, receipts and proofs as C2SP tlog-proofs, the log's signed head, the
public keys, and the exporter's word on itself and on statements whose content is left out. ``manifest.json``
holds the last, and the digest of ``SHA256SUMS``, which holds those of all other members; so a signature over the
manifest covers the whole file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from panji.core import envelope as dsse
from panji.core import form
from panji.core.case import Case, Clock, Stop, TargetStatus
from panji.core.checkpoint import Checkpoint
from panji.core.cosignature import time_of
from panji.core.keys import PublicKey
from panji.core.note import NoteVerifier, decode_base64
from panji.core.note import parse as parse_note
from panji.core.statements import DeadlineMissed, DirectoryRecord, Statement
from panji.core.tlog_proof import Opening, TlogProof
from panji.core.vocabulary import (
    AcknowledgementLevel,
    CaseState,
    Category,
    Instrument,
    Outcome,
    RefusalReason,
    Role,
    StopCause,
    SubCategory,
    TargetState,
    Urgency,
)
from panji.errors import EvidenceError, InputError, SignatureError, VerificationError
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from enum import IntEnum

    from panji.core.envelope import Envelope
    from panji.core.form import Check
    from panji.core.statements import Body

    _E = TypeVar("_E", bound=IntEnum)

FORMAT = "panji.evidence.v1"
"""The format of the bundle. Another one is another verifier's."""
RENDERER = 2
"""Version of the texts for people. A bundle whose texts an older one wrote is verified without comparing them. One of a
newer one is refused: anybody can write a number there, and would have what people read pass uncompared."""
PAYLOAD_TYPE = "application/vnd.panji.evidence.v1+json"
"""DSSE payload type of the exporter's signature over the manifest."""

MAX_KEYS = 100
"""Keys in a bundle: each may be tried for each signature, so their number is bounded before the first one."""

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SIGNATURE = "exporter.json"
NOTE = "checkpoint/note"
STATEMENTS = "statements"
DIRECTORY = "directory"
_UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a manifest of another shape makes of the code that reads it."""
_KEY = re.compile(r"keys/([0-9a-f]{64})\.pem")
_FOLDER = re.compile(rf"({STATEMENTS}|{DIRECTORY})/[^/]+")


@dataclass(frozen=True, slots=True)
class Frame:
    """What the exporter says of a statement whose content is not in the bundle."""

    id: str
    sender: str
    issued_at: datetime | None
    in_reply_to: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """One statement in a bundle. Claims, until :mod:`panji.evidence.verify` has looked."""

    receipt: TlogProof
    """As the exchange gave it: it leads to the head of its time."""
    path: tuple[bytes, ...]
    """The inclusion proof in the tree of the bundle's head."""
    growth: tuple[bytes, ...]
    """The consistency proof from the head of the receipt to that of the bundle; empty between heads of one size."""
    envelope: bytes = b""
    """The exact bytes; empty where they were left out, or erased."""
    frame: Frame | None = None
    """Where there is no envelope."""

    @property
    def opening(self) -> Opening:
        """What connects the entry to the statement."""
        return Opening.decode(self.receipt.extra)

    @property
    def parsed(self) -> Envelope:
        """The envelope, taken apart."""
        return parse_envelope(self.envelope)

    @property
    def statement(self) -> Statement | None:
        """What is said, where it is in the bundle. Not to be read before the signatures are verified."""
        return parse_statement(self.parsed.payload, strict=False) if self.envelope else None

    @property
    def told(self) -> Frame:
        """Id, sender, time of issue and what it answers: by the statement itself, or else by the exporter."""
        it = self.statement
        if it is not None:
            return Frame(it.id, it.sender, it.issued_at, it.in_reply_to)
        return self.frame or Frame("", "", None, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The core of a bundle."""

    log: NoteVerifier
    """The log's key, as the bundle names it. Which one is trusted is for the reader to say."""
    checkpoint: str
    """The log's newest head at the time of the export: a signed note, with its cosignatures."""
    case: Case
    """The case that the statements make. Where contents are not in the bundle: by the exporter's word."""
    statements: tuple[Item, ...]
    records: tuple[Item, ...]
    """DirectoryRecords: who had which keys, from their place in the log on."""
    keys: Mapping[str, PublicKey]
    """By key id: those whose signatures stand in the bundle."""
    exported_at: datetime
    exported_by: str
    """An organisation's id."""
    with_content: bool = True
    signature: Envelope | None = None
    """The exporter's, over the manifest."""
    renderer: int = RENDERER

    @property
    def head(self) -> Checkpoint:
        """The head, unverified."""
        return Checkpoint.parse(parse_note(self.checkpoint).text)

    @property
    def cosigned(self) -> list[tuple[str, datetime]]:
        """Who cosigned the head, and when: claims, for a reader with the witnesses' keys to check."""
        found = []
        for one in parse_note(self.checkpoint).signatures:
            with suppress(SignatureError):  # the log's own, and what is no cosignature
                found.append((one.name, time_of(one.signature)))
        return found

    @property
    def folders(self) -> list[tuple[str, Item]]:
        """Every statement with the folder that it stands in: those of the case, then the records."""
        named = [(f"{STATEMENTS}/{n:04}-{one.opening.entry.kind}", one) for n, one in enumerate(self.statements, 1)]
        return named + [(f"{DIRECTORY}/{n:04}", one) for n, one in enumerate(self.records, 1)]

    def proof(self, item: Item) -> TlogProof:
        """The proof that an entry is in the tree of the bundle's head."""
        return TlogProof(item.receipt.index, item.path, self.checkpoint, item.receipt.extra)

    def signatures(self, item: Item) -> Iterator[tuple[int, bytes, PublicKey]]:
        """Give each signature of an envelope in the bundle that one of the bundle's keys made: position, bytes, key."""
        if not item.envelope:
            return
        parsed = item.parsed
        message = dsse.pae(parsed.payload_type, parsed.payload)
        for position, signature in enumerate(parsed.signatures, 1):
            for key in sorted(self.keys.values(), key=lambda one: one.keyid != signature.keyid):
                with suppress(SignatureError):
                    key.verify(signature.sig, message)
                    yield position, signature.sig, key
                    break

    @property
    def signers(self) -> set[str]:
        """Ids of the keys that made a signature of an envelope in the bundle."""
        return {key.keyid for _, item in self.folders for _, _, key in self.signatures(item)}

    def document(self, item: Item) -> str:
        """The directory that a record holds.

        Raises:
            EvidenceError: It is no record.
        """
        said = item.statement
        if said is None or not isinstance(said.body, DirectoryRecord):
            raise EvidenceError("what stands among the directory's records is none")
        return said.body.document

    @property
    def bodies(self) -> Iterator[tuple[Item, Body]]:
        """What is said in the case, as far as it is in the bundle."""
        for one in self.statements:
            said = one.statement
            if said is not None:
                yield one, said.body

    @property
    def silence(self) -> tuple[Item, DeadlineMissed] | None:
        """The exchange's first statement that the deadline passed, where there is one."""
        return next(((one, body) for one, body in self.bodies if isinstance(body, DeadlineMissed)), None)


def write(content: Content, computed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give all members of a bundle.

    Args:
        content: The core.
        computed: What was computed from it, but for the manifest and the sums.
    """
    members = dict(computed)
    members[NOTE] = content.checkpoint.encode()
    for folder, item in content.folders:
        if item.envelope:
            members[f"{folder}/envelope"] = item.envelope
        members[f"{folder}/receipt.tlog-proof"] = item.receipt.encode().encode()
        members[f"{folder}/proof.tlog-proof"] = content.proof(item).encode().encode()
        members[f"{folder}/growth"] = b"".join(base64.b64encode(one) + b"\n" for one in item.growth)
    for keyid, key in content.keys.items():
        members[f"keys/{keyid}.pem"] = key.pem.encode()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(members.items()))
    members[SUMS] = sums.encode()
    members[MANIFEST] = manifest(content, members[SUMS])
    if content.signature is not None:
        members[SIGNATURE] = dsse.to_json(content.signature).encode() + b"\n"
    return members


def read(members: Mapping[str, bytes]) -> Content:
    """Give the core of a bundle. It proves nothing.

    Raises:
        EvidenceError: The members are none of a bundle, or not those that its manifest and sums name.
    """
    try:
        return _read(members)
    except (*_UNREADABLE, InputError, VerificationError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(f"the bundle cannot be read: {error}") from error


def _read(members: Mapping[str, bytes]) -> Content:
    if MANIFEST not in members or SUMS not in members:
        raise EvidenceError("no bundle of evidence: it has no manifest")
    told = json.loads(members[MANIFEST])
    if told["format"] != FORMAT:
        raise EvidenceError(f"the bundle is of format {told['format']}, not {FORMAT}")
    renderer = int(told["renderer"])
    if renderer < 1:
        raise EvidenceError("no version of Panji has written the texts of this bundle: it was edited")
    if renderer > RENDERER:
        raise EvidenceError(
            "a newer version of Panji has written the texts of this bundle, which this one cannot compare: update Panji"
        )
    _check_sums(members, told["sha256sums"])
    frames = {f"{STATEMENTS}/{one['name']}": _frame(one) for one in told["statements"]}
    folders = sorted({match[0] for name in members if (match := _FOLDER.match(name))})
    pems = [data for name, data in sorted(members.items()) if _KEY.fullmatch(name)]
    if len(pems) > MAX_KEYS:
        raise EvidenceError(f"a bundle has at most {MAX_KEYS} keys")
    keys = [PublicKey.from_pem(pem) for pem in pems]
    items = {folder: _item(members, folder, frames.get(folder)) for folder in folders}
    return Content(
        log=NoteVerifier.parse(told["log_key"]),
        checkpoint=members[NOTE].decode(),
        case=_read_case(told["case"]),
        statements=tuple(item for folder, item in items.items() if folder.startswith(STATEMENTS)),
        records=tuple(item for folder, item in items.items() if folder.startswith(DIRECTORY)),
        keys={key.keyid: key for key in keys},
        exported_at=_read_time(told["exported_at"]),
        exported_by=_checked(told["exported_by"], form.organisation),
        with_content=bool(told["with_content"]),
        signature=dsse.from_json(members[SIGNATURE].decode()) if SIGNATURE in members else None,
        renderer=renderer,
    )


def _check_sums(members: Mapping[str, bytes], digest: str) -> None:
    """Compare every member with its sum, so that damage is told by the name of what is damaged."""
    if hashlib.sha256(members[SUMS]).hexdigest() != digest:
        raise EvidenceError(f"{SUMS} is not the one that the manifest names")
    sums = dict(line.split("  ", 1)[::-1] for line in members[SUMS].decode().splitlines())
    for name in sorted((sums.keys() | members.keys()) - {MANIFEST, SUMS, SIGNATURE}):
        if name not in members:
            raise EvidenceError(f"{name} is missing from the bundle")
        if sums.get(name) != hashlib.sha256(members[name]).hexdigest():
            raise EvidenceError(f"{name} is not the one that {SUMS} names")


def _item(members: Mapping[str, bytes], folder: str, frame: Frame | None) -> Item:
    receipt = TlogProof.parse(members[f"{folder}/receipt.tlog-proof"].decode())
    proof = TlogProof.parse(members[f"{folder}/proof.tlog-proof"].decode())
    growth = tuple(decode_base64(line) for line in members[f"{folder}/growth"].decode().splitlines())
    envelope = members.get(f"{folder}/envelope", b"")
    return Item(receipt, proof.proof, growth, envelope, None if envelope else frame)


# The manifest.


def manifest(content: Content, sums: bytes) -> bytes:
    """Give ``manifest.json``: what the exporter signs."""
    head = content.head
    told = {
        "format": FORMAT,
        "renderer": content.renderer,
        "exported_at": _time(content.exported_at),
        "exported_by": content.exported_by,
        "with_content": content.with_content,
        "log_key": str(content.log),
        "head": {"origin": head.origin, "size": head.size, "root": head.root.hex()},
        "case": _case(content.case),
        "statements": [
            _told(folder.removeprefix(f"{STATEMENTS}/"), item)
            for folder, item in content.folders
            if folder.startswith(STATEMENTS)
        ],
        "records": [one.receipt.index for one in content.records],
        "sha256sums": hashlib.sha256(sums).hexdigest(),
    }
    return (json.dumps(told, indent=1) + "\n").encode()


def _told(name: str, item: Item) -> dict[str, Any]:
    frame, opening = item.told, item.opening
    return {
        "name": name,
        "index": item.receipt.index,
        "kind": opening.entry.kind,
        "received_at": _time(opening.entry.received_at),
        "digest": opening.digest.hex(),
        "sender": frame.sender,
        "recipient": opening.recipient,
        "sequence": opening.sequence,
        "content": "whole" if item.envelope else "left out" if opening.salt else "erased",
        "id": frame.id,
        "issued_at": _time(frame.issued_at) if frame.issued_at else None,
        "in_reply_to": frame.in_reply_to.hex(),
    }


def _frame(told: dict[str, Any]) -> Frame:
    issued_at = told["issued_at"]
    return Frame(
        _checked(told["id"], form.uuid7) if told["id"] else "",
        _checked(told["sender"], form.organisation),
        None if issued_at is None else _read_time(issued_at),
        _digest(told["in_reply_to"]),
    )


def _case(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "flag_digest": case.flag_digest.hex(),
        "authority": case.authority,
        "platform": case.platform,
        "test": case.test,
        "instrument": case.instrument.name,
        "category": case.category.name,
        "sub_category": case.sub_category.name,
        "urgency": case.urgency.name,
        "state": case.state.name,
        "targets": [[one.state.name, one.outcome.name, one.refusal.name, one.pending] for one in case.targets],
        "opened_at": _time(case.opened_at),
        "updated_at": _time(case.updated_at),
        "level": case.level.name,
        "open_question": case.open_question.hex(),
        "asked_by": case.asked_by,
        "decision": case.decision.hex(),
        "obstacle": case.obstacle.hex(),
        "clock": {
            "since": _time(case.clock.since),
            "stops": [
                [stop.cause, _time(stop.begins), _time(stop.ends) if stop.ends else None] for stop in case.clock.stops
            ],
        },
        "restore_since": _time(case.restore_since) if case.restore_since else None,
        "overdue_since": _time(case.overdue_since) if case.overdue_since else None,
    }


def _read_case(told: dict[str, Any]) -> Case:
    clock = told["clock"]
    return Case(
        id=_checked(told["id"], form.uuid7),
        flag_digest=bytes.fromhex(told["flag_digest"]),
        authority=_checked(told["authority"], form.organisation),
        platform=_checked(told["platform"], form.organisation),
        test=bool(told["test"]),
        instrument=_member(Instrument, told["instrument"]),
        category=_member(Category, told["category"]),
        sub_category=_member(SubCategory, told["sub_category"]),
        urgency=_member(Urgency, told["urgency"]),
        state=_member(CaseState, told["state"]),
        targets=tuple(_targets(told["targets"])),
        opened_at=_read_time(told["opened_at"]),
        updated_at=_read_time(told["updated_at"]),
        level=_member(AcknowledgementLevel, told["level"]),
        open_question=_digest(told["open_question"]),
        asked_by=None if told["asked_by"] is None else Role(told["asked_by"]),
        decision=_digest(told["decision"]),
        obstacle=_digest(told["obstacle"]),
        clock=Clock(
            _read_time(clock["since"]),
            tuple(
                Stop(StopCause(cause), _read_time(begins), _read_time_or_none(ends))
                for cause, begins, ends in clock["stops"]
            ),
        ),
        restore_since=_read_time_or_none(told["restore_since"]),
        overdue_since=_read_time_or_none(told["overdue_since"]),
    )


def _targets(told: Iterable[tuple[str, str, str, bool]]) -> Iterable[TargetStatus]:
    for state, outcome, refusal, pending in told:
        yield TargetStatus(
            _member(TargetState, state), _member(Outcome, outcome), _member(RefusalReason, refusal), bool(pending)
        )


def _checked(value: str, check: Check) -> str:
    """Take a word of the exporter's that goes into texts: an id with a line break could bring commands with it."""
    if wrong := check(value):
        raise EvidenceError(f"a name or id in the manifest {wrong}")
    return value


def _digest(text: str) -> bytes:
    """Read a SHA-256, or that there is none."""
    digest = bytes.fromhex(text)
    if len(digest) not in {0, hashlib.sha256().digest_size}:
        raise EvidenceError("what the manifest has for a SHA-256 is none")
    return digest


def _member(kind: type[_E], name: str) -> _E:
    return kind[name]


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _read_time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _read_time(text)


def _read_time(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() != timedelta():
        raise EvidenceError("a time of the manifest is not in UTC")
    return instant
