"""Making a bundle of what was verified: a case, the log's head, proofs in its tree, and the directory on record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.tlog_proof import from_receipt
from panji.core.vocabulary import BY_THE_OPERATOR
from panji.evidence.assembly import assemble
from panji.evidence.bundle import pack
from panji.evidence.content import MANIFEST, PAYLOAD_TYPE, Content, Frame, Item
from panji.evidence.verify import prove

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from panji.core.directory import Directory
    from panji.core.keys import Signer
    from panji.core.note import NoteVerifier
    from panji.trust import Verified, VerifiedCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that a bundle is made of."""

    case: VerifiedCase
    records: Sequence[Verified]
    """The directory on record before each statement of the case: oldest first, each once."""
    checkpoint: str
    """The log's head, a signed note with its cosignatures; verified, and not older than any statement here."""
    proofs: Mapping[int, tuple[tuple[bytes, ...], tuple[bytes, ...]]]
    """For each of these statements, by its index: its inclusion proof in the tree of that head, and the proof that this
    tree only appends to the one of its receipt."""


def export(
    material: Material,
    *,
    log: NoteVerifier,
    directory: Directory,
    organisation: str,
    now: datetime,
    signers: Sequence[Signer] = (),
    with_content: bool = True,
) -> bytes:
    """Make a bundle, and verify it before it is given away.

    Args:
        material: What was verified.
        log: The log's key.
        directory: The exporter's own.
        organisation: The exporter's id.
        now: The time of the export, UTC.
        signers: Sign the manifest; nobody, where the export is anonymous.
        with_content: Otherwise what the two sides said is left out, and only its proof is in the bundle. Without an
            envelope its signatures stay out too: they would let a reader confirm a guess.

    Raises:
        InputError: It would be too large.
        VerificationError: The material does not hang together.
    """
    items = [_item(one, material, with_content=with_content) for one in material.case.statements]
    records = [_item(one, material) for one in material.records]
    keyids = {keyid for one in (*material.case.statements, *material.records) for keyid in one.signers}
    known = {record.key.keyid: record.key for one in directory.organisations.values() for record in one.keys}
    content = Content(
        log=log,
        checkpoint=material.checkpoint,
        case=material.case.case,
        statements=tuple(items),
        records=tuple(records),
        keys={keyid: known[keyid] for keyid in sorted(keyids)},
        exported_at=now,
        exported_by=organisation,
        with_content=with_content,
    )
    used = {keyid: content.keys[keyid] for keyid in content.signers}  # of content that is left out no key is shown
    content = replace(content, keys=used | {one.public_key.keyid: one.public_key for one in signers})
    prove(content, log, directory=directory)
    if signers:
        manifest = assemble(content)[MANIFEST]
        content = replace(content, signature=dsse.sign(manifest, signers, PAYLOAD_TYPE))
    return pack(assemble(content))


def _item(one: Verified, material: Material, *, with_content: bool = True) -> Item:
    said = one.statement
    receipt, (path, growth) = from_receipt(one.receipt), material.proofs[one.receipt.index]
    if with_content or said.kind in BY_THE_OPERATOR:
        return Item(receipt, path, growth, one.envelope)
    return Item(receipt, path, growth, frame=Frame(said.id, said.sender, said.issued_at, said.in_reply_to))
