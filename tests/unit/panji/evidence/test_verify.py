"""What a bundle proves. Every lie is named: of the exporter, of a party, of the operator, of whoever held the file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.evidence import LATER, OPERATOR, Stage, edited, forged
from support.statements import (
    EXCHANGE,
    MINISTRY,
    NOON,
    PLATFORM,
    STRANGER,
    a_correspondence,
    a_decision,
    a_flag,
    a_statement,
    an_acknowledgement,
)
from support.witnesses import WITNESSES, cosigned, policy_text

from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from panji.core.cosignature import Cosigner
from panji.core.envelope import MAX_SIGNATURES
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.statements import DeadlineMissed, DirectoryRecord, ErasedStatement, Erasure, LegalBasis
from panji.core.tlog_policy import parse_policy
from panji.core.tlog_proof import Opening, from_receipt
from panji.core.vocabulary import CaseState, Deadline
from panji.errors import (
    DeliveryError,
    EvidenceError,
    InputError,
    NoteError,
    PanjiError,
    ProofError,
    QuorumError,
    ReceiptError,
    SignatureError,
    VerificationError,
)
from panji.evidence.assembly import STEPS, SUMMARIES, assemble
from panji.evidence.bundle import MAX_BYTES, MAX_MEMBERS, pack, unpack
from panji.evidence.content import MANIFEST, MAX_KEYS, PAYLOAD_TYPE, RENDERER, SIGNATURE, Content, Item, read, write
from panji.evidence.texts import Language
from panji.evidence.verdict import Proven, Unproven, line, proven, record, unproven
from panji.evidence.verify import verify
from panji.trust import follow
from panji_server.sequencing import CaseRoom

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji.evidence.verify import Evidence
    from panji.trust import Verified

ACK = "statements/0002-acknowledgement"


def codes(evidence: Evidence) -> tuple[set[str], set[str]]:
    return set(proven(evidence)), set(unproven(evidence))


# What holds.


def test_a_case_is_proven_by_the_file_and_the_logs_key_alone(decided: Stage) -> None:
    evidence = verify(decided.bundle(), decided.key)
    assert evidence.content.case.state is CaseState.DECIDED
    assert codes(evidence) == (
        {Proven.LOGGED, Proven.SIGNED, Proven.STATE, Proven.EXPORTER},
        {Unproven.KEY_OWNERS, Unproven.ONE_LOG, Unproven.COMPLETE, Unproven.CLOCK},
    )
    operator = decided.signers[OPERATOR][0].public_key.keyid
    assert f"in the directory that the operator (key {operator[:16]}…) has on record" in line(evidence)
    assert decided.key.public_key.keyid[:16] in line(evidence)
    assert "\n" not in line(evidence)


def test_the_verdict_counts_one_as_one_and_says_whose_state_it_is(decided: Stage) -> None:
    assert "has the 5 statements of case" in line(verify(decided.bundle(), decided.key))
    assert "by these statements the case is DECIDED" in line(verify(decided.bundle(), decided.key))
    alone = Stage()
    alone.record()
    alone.flag()
    said = line(verify(alone.bundle(), alone.key))
    assert "has the 1 statement of case" in said
    assert "at entry 1, received" in said
    assert "in this order" not in said


def test_with_a_directory_of_ones_own_the_operators_word_is_not_needed(decided: Stage) -> None:
    evidence = verify(decided.bundle(), decided.key, directory=decided.directory)
    assert Unproven.KEY_OWNERS not in unproven(evidence)
    assert "in your directory" in line(evidence)


def test_the_record_for_programs_has_the_whole_verdict(decided: Stage) -> None:
    evidence = verify(decided.bundle(), decided.key)
    told = record(evidence)
    assert [one["kind"] for one in told["statements"]] == [
        "flag", "acknowledgement", "clarification_request", "clarification_answer", "decision",
    ]  # fmt: skip
    assert all(one["signers"] for one in told["statements"])
    assert (told["verified"], told["silence"], told["own_directory"]) == (True, None, False)
    assert told["verdict"] == line(evidence)


def test_a_log_without_a_directory_on_record_takes_a_directory_of_ones_own() -> None:
    stage = Stage()
    stage.flag()
    data = stage.bundle()
    assert verify(data, stage.key, directory=stage.directory).exporter_proven
    with pytest.raises(InputError, match="give the one that you trust"):
        verify(data, stage.key)


def test_four_eyes_are_counted(decided: Stage) -> None:
    stage = Stage()
    stage.signers[MINISTRY].append(PrivateKeySigner.generate())
    stage.thresholds[MINISTRY] = 2
    stage.record()
    stage.flag()
    evidence = verify(stage.bundle(), stage.key)
    assert len(evidence.signers[0]) == 2


def test_keys_count_by_the_record_that_was_in_force_when_the_statement_was_received(stage: Stage) -> None:
    stage.flag()
    gone = stage.signers[PLATFORM][0]
    stage.reply(an_acknowledgement())
    stage.signers[PLATFORM] = [PrivateKeySigner.generate()]
    stage.record()
    stage.reply(a_decision())
    both = replace_directory(stage, [gone, *stage.signers[PLATFORM]])
    evidence = verify(stage.bundle(both, directory=both_keys(stage, gone)), stage.key)
    assert evidence.content.case.state is CaseState.DECIDED
    with pytest.raises(SignatureError):  # the new directory alone does not know the old key
        verify(stage.bundle(both, directory=both_keys(stage, gone)), stage.key, directory=stage.directory)


def both_keys(stage: Stage, gone: PrivateKeySigner) -> Any:
    new = stage.signers[PLATFORM]
    stage.signers[PLATFORM] = [gone, *new]
    directory = stage.directory
    stage.signers[PLATFORM] = new
    return directory


def replace_directory(stage: Stage, keys: list[PrivateKeySigner]) -> Any:
    new = stage.signers[PLATFORM]
    stage.signers[PLATFORM] = keys
    material = stage.material()
    stage.signers[PLATFORM] = new
    return material


# Damage.


def test_every_flipped_byte_is_refused() -> None:
    stage = Stage()
    stage.flag()
    data = bytearray(stage.bundle(signers=()))
    directory = stage.directory
    verify(bytes(data), stage.key, directory=directory)
    for position in range(len(data)):
        data[position] ^= 1
        with pytest.raises(EvidenceError):
            verify(bytes(data), stage.key, directory=directory)
        data[position] ^= 1


def test_every_flipped_byte_of_the_core_is_refused_when_all_sums_are_made_anew() -> None:
    stage = Stage()
    stage.record()
    stage.flag()
    data = stage.bundle()
    core = [name for name in unpack(data) if name.endswith(("envelope", "tlog-proof", "note", ".pem", "growth"))]
    for name in core:
        size = len(unpack(data)[name])
        for position in range(0, size, 5):
            with pytest.raises(PanjiError):
                verify(edited(data, flip(name, position)), stage.key)


def flip(name: str, position: int) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        content = bytearray(members[name])
        content[position] ^= 1
        members[name] = bytes(content)

    return edit


def test_damage_is_told_by_the_name_of_what_is_damaged(decided: Stage) -> None:
    members = unpack(decided.bundle())
    with pytest.raises(EvidenceError, match=r"^summary\.en\.html is not the one"):
        verify(pack({**members, "summary.en.html": b"x"}), decided.key)
    with pytest.raises(EvidenceError, match=r"^SHA256SUMS is not the one"):
        verify(pack({**members, "SHA256SUMS": b"x"}), decided.key)
    del members[f"{ACK}/pae"]
    with pytest.raises(EvidenceError, match=r"0002-acknowledgement/pae is missing"):
        verify(pack(members), decided.key)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda members: members.update({"note.txt": b"P.S."}), id="added"),
        pytest.param(lambda members: members.pop(f"{ACK}/pae"), id="left out"),
        pytest.param(lambda members: members.update({"PAE": members.pop(f"{ACK}/pae")}), id="renamed"),
        pytest.param(lambda members: members.update({f"{ACK}/payload": b"no"}), id="edited"),
        pytest.param(
            lambda members: members.update({f"{ACK}/entry": members["statements/0001-flag/entry"]}), id="copied"
        ),
    ],
)
def test_a_member_that_does_not_follow_from_the_core_is_refused(decided: Stage, edit: Any) -> None:
    with pytest.raises(EvidenceError, match="not what the evidence makes"):
        verify(edited(decided.bundle(), edit), decided.key)


@pytest.mark.parametrize("name", [*SUMMARIES.values(), *STEPS.values()])
def test_an_edited_summary_is_refused(decided: Stage, name: str) -> None:
    def edit(members: dict[str, bytes]) -> None:
        members[name] = members[name].replace(b"telegram", b"whatsapp").replace(b"openssl", b"trustme")

    with pytest.raises(EvidenceError, match=f"^{name} is not what the evidence makes"):
        verify(edited(decided.bundle(), edit), decided.key)


def with_renderer(data: bytes, renderer: int, *left_out: str) -> bytes:
    """A bundle with texts of its maker's own, as if a version of Panji had written them."""
    content = replace(read(unpack(data)), renderer=renderer, signature=None)
    texts = {name: b"In other words.\n" for name in (*SUMMARIES.values(), *STEPS.values()) if name not in left_out}
    return pack(assemble(content, texts))


def test_a_summary_by_an_older_version_is_not_compared_and_the_verdict_says_so(decided: Stage) -> None:
    evidence = verify(with_renderer(decided.bundle(), RENDERER - 1), decided.key)
    assert Unproven.TEXTS in unproven(evidence)
    assert "an older version wrote them, and they were not compared" in line(evidence)


@pytest.mark.parametrize("renderer", [0, -7])
def test_texts_by_a_version_that_never_was_are_refused(decided: Stage, renderer: int) -> None:
    with pytest.raises(EvidenceError, match="no version of Panji"):
        verify(with_renderer(decided.bundle(), renderer), decided.key)


def test_texts_by_a_newer_version_are_not_taken_unread(decided: Stage) -> None:
    with pytest.raises(EvidenceError, match="update Panji"):
        verify(with_renderer(decided.bundle(), RENDERER + 1), decided.key)


@pytest.mark.parametrize("renderer", [RENDERER - 1, RENDERER])
@pytest.mark.parametrize("name", [*SUMMARIES.values(), *STEPS.values()])
def test_a_text_that_is_missing_is_refused(decided: Stage, name: str, renderer: int) -> None:
    with pytest.raises(EvidenceError, match=f"^{name} is missing"):
        verify(with_renderer(decided.bundle(), renderer, name), decided.key)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"manifest.json": b"{}"}, id="no sums"),
        pytest.param({"manifest.json": b"{}", "SHA256SUMS": b""}, id="an empty manifest"),
        pytest.param({"manifest.json": b"[]", "SHA256SUMS": b""}, id="a manifest that is a list"),
        pytest.param({"manifest.json": b"\xff", "SHA256SUMS": b""}, id="a manifest that is no text"),
        pytest.param({"manifest.json": b"[" * 100_000, "SHA256SUMS": b""}, id="a manifest that is deep"),
        pytest.param({"manifest.json": b'{"format": "panji.evidence.v2"}', "SHA256SUMS": b""}, id="another format"),
    ],
)
def test_what_is_no_bundle_of_evidence_is_refused(stage: Stage, members: dict[str, bytes]) -> None:
    with pytest.raises(EvidenceError):
        verify(pack(members), stage.key)


def in_manifest(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | changes).encode()

    return edit


@pytest.mark.parametrize(
    "changes",
    [
        {"exported_at": "yesterday"},
        {"exported_at": "2026-05-05T12:00:00+07:00"},
        {"exported_at": None},
        {"log_key": "exchange.example/log"},
        {"renderer": "one"},
        {"renderer": 1e999},
        {"statements": [{}]},
        {"statements": None},
        {"case": {}},
        {"records": []},
        {"exported_by": "telegram"},
        {"exported_by": 1},
        {"more": "of it"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_manifest_that_is_none_or_not_of_this_core_is_refused(decided: Stage, changes: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError):
        verify(edited(decided.bundle(), in_manifest(**changes)), decided.key)


# The log.


def test_a_bundle_of_another_log_is_refused(decided: Stage) -> None:
    other = NoteSigner(EXCHANGE, PrivateKeySigner.generate()).verifier
    with pytest.raises(EvidenceError, match="not the one that you trust"):
        verify(decided.bundle(), other)


def test_a_head_that_the_log_did_not_sign_is_refused(decided: Stage) -> None:
    data = decided.bundle()
    head = open_checkpoint(decided.log.checkpoint(), decided.key)
    thief = NoteSigner(EXCHANGE, PrivateKeySigner.generate())
    with pytest.raises(NoteError):
        verify(forged(data, checkpoint=sign_checkpoint(head, thief)), decided.key)


def test_proofs_into_another_tree_are_refused(decided: Stage) -> None:
    data = decided.bundle()
    decided.flag()
    with pytest.raises(ProofError):
        verify(forged(data, checkpoint=decided.log.checkpoint()), decided.key)


def test_a_head_older_than_a_receipt_is_refused(decided: Stage) -> None:
    with pytest.raises(ProofError):
        verify(forged(decided.bundle(), checkpoint=decided.log.checkpoint(2)), decided.key)


def test_two_roots_for_one_size_are_a_fork_and_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    forked = sign_checkpoint(Checkpoint(EXCHANGE, decided.log.size, bytes(32)), decided.log.signer)
    items = list(content.statements)
    items[-1] = replace(items[-1], receipt=replace(items[-1].receipt, checkpoint=forked))
    with pytest.raises(EvidenceError, match="two roots"):
        verify(forged(decided.bundle(), statements=tuple(items)), decided.key)


def test_a_receipt_of_a_history_that_was_taken_back_is_refused(decided: Stage) -> None:
    """The log proves the entry in both heads, and yet the later one does not extend the earlier one."""
    content = read(unpack(decided.bundle()))
    items = list(content.statements)
    items[0] = replace(items[0], growth=(bytes(32), *items[0].growth[1:]))
    with pytest.raises(ProofError):
        verify(forged(decided.bundle(), statements=tuple(items)), decided.key)


def test_a_receipt_of_another_statement_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    first, second, *rest = content.statements
    swapped = (first, replace(second, receipt=rest[0].receipt, path=rest[0].path, growth=rest[0].growth), *rest)
    with pytest.raises(ReceiptError, match="another statement"):
        verify(forged(decided.bundle(), statements=swapped), decided.key)


def test_a_time_of_receipt_that_was_told_later_leaves_the_tree(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    first, *rest = content.statements
    opening = first.opening
    earlier = replace(opening.entry, received_at=opening.entry.received_at - timedelta(hours=1))
    extra = Opening(earlier, opening.digest, opening.recipient, opening.sequence, opening.salt).encode()
    told = replace(first, receipt=replace(first.receipt, extra=extra))
    with pytest.raises(ProofError):
        verify(forged(decided.bundle(), statements=(told, *rest)), decided.key)


# Witnesses.


def witnessed(stage: Stage, *names: str) -> bytes:
    note = cosigned(stage.log.checkpoint(), *(WITNESSES[name] for name in names), at=LATER)
    return stage.bundle(stage.material(checkpoint=note))


def test_the_word_of_the_readers_witnesses_proves_one_log_for_all(decided: Stage) -> None:
    data = witnessed(decided, "alder", "cedar")
    policy = parse_policy(policy_text().encode())
    years_later = LATER + timedelta(days=3650)
    evidence = verify(data, decided.key, policy=policy, now=years_later)
    assert (Proven.WITNESSED in proven(evidence), Unproven.ONE_LOG in unproven(evidence)) == (True, False)
    assert "cosigned by alder at 2026-05-05T12:00:00Z, cedar at" in line(evidence)
    assert [one["name"] for one in record(evidence)["witnesses"]] == ["alder", "cedar"]
    assert Unproven.ONE_LOG in unproven(verify(data, decided.key))


def test_too_few_witnesses_and_a_forged_cosignature_are_refused(decided: Stage) -> None:
    policy = parse_policy(policy_text().encode())
    with pytest.raises(QuorumError):
        verify(witnessed(decided, "alder"), decided.key, policy=policy, now=LATER)
    thief = Cosigner(WITNESSES["birch"].verifier.name, PrivateKeySigner.generate())
    note = cosigned(decided.log.checkpoint(), WITNESSES["alder"], thief, at=LATER)
    data = decided.bundle(decided.material(checkpoint=note))
    with pytest.raises(QuorumError):
        verify(data, decided.key, policy=policy, now=LATER)
    with pytest.raises(InputError, match="no time is given"):
        verify(data, decided.key, policy=policy)


# The statements.


def test_an_envelope_that_was_replaced_by_another_of_the_same_sender_is_refused(decided: Stage) -> None:
    other = decided.put(a_statement(a_flag(count=2, reasons="Another."), id=decided.an_id()))
    data = decided.bundle()
    first, *rest = read(unpack(data)).statements
    with pytest.raises(ReceiptError, match="another statement"):
        verify(forged(data, statements=(replace(first, envelope=other.envelope), *rest)), decided.key)


def bypassing(stage: Stage, **changes: Any) -> bytes:
    """A bundle of whatever stands in the log, made by an exporter who verifies nothing."""
    honest = Stage()
    honest.record()
    honest.flag()
    content = read(unpack(honest.bundle()))
    size = stage.log.size
    items = {
        one.receipt.index: Item(
            receipt=from_receipt(one.receipt),
            path=stage.log.inclusion_proof(one.receipt.index, size),
            growth=stage.log.consistency_proof(one.receipt.index + 1, size),
            envelope=one.envelope,
        )
        for one in (*stage.records, *stage.said)
    }
    keys = [signer.public_key for signers in stage.signers.values() for signer in signers]
    made = replace(
        content,
        log=stage.key,
        checkpoint=stage.log.checkpoint(),
        statements=tuple(items[one.receipt.index] for one in stage.said),
        records=tuple(items[one.receipt.index] for one in stage.records),
        keys={key.keyid: key for key in keys},
        signature=None,
        **changes,
    )
    made = replace(made, keys={keyid: made.keys[keyid] for keyid in made.signers})
    return pack(assemble(made))


def test_a_statement_by_a_key_that_was_no_longer_valid_is_refused() -> None:
    stage = Stage()
    stage.periods[PLATFORM] = f"valid_until = {NOON:%Y-%m-%dT%H:%M:%SZ}"
    stage.record()
    stage.flag()
    stage.reply(an_acknowledgement())
    with pytest.raises(SignatureError):
        verify(bypassing(stage), stage.key)
    with pytest.raises(SignatureError):
        verify(bypassing(stage), stage.key, directory=stage.directory)


def test_a_statement_before_the_record_that_has_its_key_is_refused() -> None:
    stage = Stage()
    known, stage.signers[MINISTRY] = stage.signers[MINISTRY], [PrivateKeySigner.generate()]
    stage.record()
    stage.signers[MINISTRY] = known
    stage.flag()
    stage.record()
    with pytest.raises(SignatureError):
        verify(bypassing(stage), stage.key)


def test_a_statement_in_anothers_name_is_refused(stage: Stage) -> None:
    stage.flag()
    stage.reply(an_acknowledgement(), signers=stage.signers[MINISTRY])
    with pytest.raises(SignatureError, match="too few keys of telegram"):
        verify(bypassing(stage), stage.key)


@pytest.mark.parametrize(
    ("sender", "by"),
    [
        pytest.param(OPERATOR, PLATFORM, id="in the operator's name"),
        pytest.param(PLATFORM, PLATFORM, id="in its own"),
        pytest.param(STRANGER, STRANGER, id="by a stranger"),
    ],
)
def test_a_missed_deadline_that_a_platform_states_is_refused(stage: Stage, sender: str, by: str) -> None:
    stage.flag()
    body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=stage.now)
    stage.reply(body, signers=stage.signers[by], sender=sender, recipient=MINISTRY)
    with pytest.raises(SignatureError):
        verify(bypassing(stage), stage.key)


def test_a_missed_deadline_that_was_stated_too_early_is_refused(stage: Stage) -> None:
    stage.flag()
    body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=stage.now + timedelta(seconds=1))
    stage.reply(body, sender=OPERATOR, recipient=MINISTRY)
    with pytest.raises(EvidenceError, match="before the deadline was there"):
        verify(bypassing(stage, case=stage.material().case.case), stage.key)


# The directory on record.


def test_a_directory_that_is_not_the_logged_one_is_refused(decided: Stage) -> None:
    """Whoever replaces the record to bring keys of his own has no receipt for it."""
    thief = Stage()
    forgery = thief.put(_a_record(thief))
    content = read(unpack(decided.bundle()))
    record = replace(content.records[0], envelope=forgery.envelope)
    with pytest.raises(ReceiptError, match="another statement"):
        verify(forged(decided.bundle(), records=(record,)), decided.key)


def _a_record(stage: Stage, **place: str) -> Any:
    body = DirectoryRecord(document=stage.directory_text)
    frame = {"sender": OPERATOR, "recipient": OPERATOR, "case_id": "", "in_reply_to": b"", "id": stage.an_id()}
    return a_statement(body, **{**frame, **place})


def test_a_directory_that_a_platform_puts_on_record_is_refused() -> None:
    stage = Stage()
    stage.records.append(stage.put(_a_record(stage, sender=PLATFORM, recipient=PLATFORM)))
    stage.flag()
    with pytest.raises(SignatureError, match="is not the operator"):
        verify(bypassing(stage), stage.key)


def test_a_directory_by_an_operator_that_ones_own_does_not_know_is_refused(decided: Stage) -> None:
    data = decided.bundle()
    decided.signers[OPERATOR] = [PrivateKeySigner.generate()]
    verify(data, decided.key)
    with pytest.raises(SignatureError):
        verify(data, decided.key, directory=decided.directory)


def test_a_record_that_is_none_or_cannot_be_read_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    flag = content.statements[0]
    with pytest.raises(EvidenceError, match="is none"):
        verify(forged_records(decided, content, flag), decided.key)
    stage = Stage()
    body = DirectoryRecord(document="[[organisation]]")
    place = {"sender": OPERATOR, "recipient": OPERATOR, "case_id": "", "in_reply_to": b"", "id": stage.an_id()}
    stage.records.append(stage.put(a_statement(body, **place)))
    stage.flag()
    broken = replace(read(unpack(_without_records(stage))), signature=None)
    with pytest.raises(EvidenceError, match="cannot be read"):
        verify(_with_records(stage, broken), stage.key)


def forged_records(stage: Stage, content: Content, *items: Item) -> bytes:
    """The texts for people are left empty: this core cannot be shown."""
    texts = dict.fromkeys((*SUMMARIES.values(), *STEPS.values()), b"")
    return pack(write(replace(content, records=items, signature=None), texts))


def _without_records(stage: Stage) -> bytes:
    records, stage.records = stage.records, []
    data = stage.bundle()
    stage.records = records
    return data


def _with_records(stage: Stage, content: Content) -> bytes:
    size = stage.log.size
    items = [
        Item(
            from_receipt(one.receipt),
            stage.log.inclusion_proof(one.receipt.index, size),
            stage.log.consistency_proof(one.receipt.index + 1, size),
            one.envelope,
        )
        for one in stage.records
    ]
    return forged_records(stage, content, *items)


def test_records_out_of_the_logs_order_are_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    twice = (content.records[0], content.records[0])
    with pytest.raises(EvidenceError, match="order"):
        verify(forged(decided.bundle(), records=twice), decided.key)


# The case.


def test_a_case_whose_flag_is_left_out_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    texts = dict.fromkeys((*SUMMARIES.values(), *STEPS.values()), b"")
    data = pack(assemble(replace(content, statements=content.statements[1:], signature=None), texts))
    with pytest.raises(VerificationError, match="begin with a flag"):
        verify(data, decided.key)


def test_a_case_without_the_question_that_an_answer_names_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    with pytest.raises(VerificationError):
        verify(forged(decided.bundle(), statements=content.statements[:2] + content.statements[3:]), decided.key)


def test_a_decision_that_is_left_out_shows_in_the_state_that_the_manifest_tells(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    with pytest.raises(EvidenceError, match="another case"):
        verify(forged(decided.bundle(), statements=content.statements[:-1]), decided.key)


def test_that_nothing_was_left_out_is_never_said_to_be_proven(decided: Stage) -> None:
    """Whoever exports may stop anywhere: what remains makes a case of its own. Nobody can tell, so the verdict does."""
    early = decided.material(case=follow(decided.said[0].statement.id, decided.said[:2]))
    evidence = verify(decided.bundle(early), decided.key)
    assert evidence.content.case.state is CaseState.RECEIVED
    assert Unproven.COMPLETE in unproven(evidence)


def test_statements_of_another_case_are_refused(decided: Stage) -> None:
    first = decided.said[0]
    other = decided.put(a_statement(a_flag(), id=decided.an_id()))
    place = {"id": decided.an_id(), "case_id": other.statement.id, "in_reply_to": other.digest}
    decided.said = [first, decided.put(a_statement(an_acknowledgement(), **place))]
    with pytest.raises(VerificationError, match="another case"):
        verify(bypassing(decided), decided.key)


# The exporter.


def test_an_export_in_anothers_name_is_not_proven_to_be_theirs(decided: Stage) -> None:
    evidence = verify(decided.bundle(organisation=PLATFORM), decided.key)
    assert (Proven.EXPORTER in proven(evidence), Unproven.EXPORTER in unproven(evidence)) == (False, True)


def test_a_signature_over_another_manifest_is_refused(decided: Stage) -> None:
    data = decided.bundle()
    content = read(unpack(data))
    assert content.signature is not None
    other = dsse.sign(b"{}", decided.signers[MINISTRY], PAYLOAD_TYPE)
    with pytest.raises(EvidenceError, match="over another manifest"):
        verify(pack(assemble(replace(content, signature=other))), decided.key)


def test_a_signature_by_none_of_the_keys_is_refused(decided: Stage) -> None:
    members = unpack(decided.bundle())
    forgery = dsse.sign(members[MANIFEST], [PrivateKeySigner.generate()], PAYLOAD_TYPE)
    members[SIGNATURE] = dsse.to_json(forgery).encode() + b"\n"
    with pytest.raises(SignatureError):
        verify(pack(members), decided.key)


def test_a_key_that_signed_nothing_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    stranger = PrivateKeySigner.generate().public_key
    with pytest.raises(EvidenceError, match="signed nothing"):
        verify(forged(decided.bundle(), keys={**content.keys, stranger.keyid: stranger}), decided.key)


def test_more_keys_than_anybody_needs_are_not_tried(decided: Stage) -> None:
    def edit(members: dict[str, bytes]) -> None:
        members.update({f"keys/{number:064x}.pem": b"" for number in range(MAX_KEYS + 1)})

    with pytest.raises(EvidenceError, match="at most 100 keys"):
        verify(edited(decided.bundle(), edit), decided.key)


def test_a_key_that_is_left_out_is_noticed(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    keys = {keyid: key for keyid, key in content.keys.items() if keyid != decided.signers[PLATFORM][0].public_key.keyid}
    data = forged(decided.bundle(), keys=keys)
    evidence = verify(data, decided.key)  # the verdict rests on the record, which has the key
    assert evidence.signers[1] == (decided.signers[PLATFORM][0].public_key.keyid,)


# Without content.


def test_without_content_place_time_order_and_recipient_stay_proven(decided: Stage) -> None:
    evidence = verify(decided.bundle(with_content=False), decided.key)
    assert codes(evidence) == (
        {Proven.LOGGED, Proven.EXPORTER},
        {Unproven.CONTENT, Unproven.KEY_OWNERS, Unproven.ONE_LOG, Unproven.COMPLETE, Unproven.CLOCK},
    )
    assert "that the case is DECIDED: content was left out" in line(evidence)
    told = record(evidence)["statements"]
    assert [(one["sender"], one["signers"]) for one in told[:2]] == [(MINISTRY, ()), (PLATFORM, ())]


def test_without_content_anothers_decision_can_be_shown_in_a_case_and_the_verdict_does_not_claim_that_it_is_of_it(
    stage: Stage,
) -> None:
    """Attack: the decision of one case, grafted onto the flag of another between the same two."""
    stage.flag()
    open_case, stage.said = list(stage.said), []
    stage.flag()
    stage.reply(a_decision(1))
    decided_case = read(unpack(stage.bundle(with_content=False)))
    stage.said = open_case
    data, content = redacted(stage)
    decision = decided_case.statements[1]
    assert decision.frame is not None
    graft = replace(decision, frame=replace(decision.frame, in_reply_to=content.case.flag_digest))
    case = replace(
        content.case,
        state=CaseState.DECIDED,
        updated_at=graft.opening.entry.received_at,
        targets=decided_case.case.targets,
    )
    evidence = verify(forged(data, statements=(content.statements[0], graft), case=case), stage.key)
    assert f"2 statements shown as case {content.case.id}" in line(evidence)
    assert "that these entries are of this case" in unproven(evidence)[Unproven.CONTENT]
    assert f"2 statements of case {content.case.id}" not in line(evidence)


def test_with_content_the_statements_are_said_to_be_of_the_case(decided: Stage) -> None:
    evidence = verify(decided.bundle(), decided.key)
    assert f"5 statements of case {evidence.content.case.id}" in line(evidence)


def test_without_content_no_text_and_no_signature_over_it_is_in_the_file(decided: Stage) -> None:
    data = decided.bundle(with_content=False)
    flag = decided.said[0]
    body: Any = flag.statement.body
    assert body.reasons.encode() not in data
    assert body.targets[0].url.encode() not in data
    for one in decided.said:
        assert one.envelope not in data
        assert b"payload" not in data or dsse.digest(one.envelope).hex().encode() in data
    assert not [name for name in unpack(data) if "signature" in name and name.startswith("statements")]


def test_without_content_and_without_a_record_the_logs_key_is_enough() -> None:
    stage = Stage()
    stage.flag()
    evidence = verify(stage.bundle(with_content=False), stage.key)
    assert Proven.SIGNED not in proven(evidence)
    assert Unproven.EXPORTER in unproven(evidence)


def redacted(stage: Stage, **changes: Any) -> tuple[bytes, Content]:
    data = stage.bundle(with_content=False, **changes)
    return data, read(unpack(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"authority": STRANGER},
        {"platform": STRANGER},
        {"flag_digest": bytes(32)},
        {"opened_at": NOON},
        {"updated_at": NOON},
        {"overdue_since": NOON},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_without_content_what_is_still_provable_must_be_as_told(decided: Stage, changes: dict[str, Any]) -> None:
    data, content = redacted(decided)
    with pytest.raises(EvidenceError):
        verify(forged(data, case=replace(content.case, **changes)), decided.key)


def test_without_content_the_exporter_may_lie_about_the_state_and_the_verdict_says_so(decided: Stage) -> None:
    data, content = redacted(decided)
    lie = forged(data, case=replace(content.case, state=CaseState.WITHDRAWN))
    evidence = verify(lie, decided.key)
    assert Unproven.CONTENT in unproven(evidence)
    assert Proven.STATE not in proven(evidence)


@pytest.mark.parametrize("length", [1, 31, 33, 100_000])
def test_without_content_what_a_statement_answers_is_a_digest_or_nothing(decided: Stage, length: int) -> None:
    data, content = redacted(decided)
    flag, one, *rest = content.statements
    assert one.frame is not None
    for said in (b"", bytes(32)):
        item = replace(one, frame=replace(one.frame, in_reply_to=said))
        assert verify(forged(data, statements=(flag, item, *rest)), decided.key).content.statements[1] == item
    item = replace(one, frame=replace(one.frame, in_reply_to=bytes(length)))
    with pytest.raises(EvidenceError, match="for a SHA-256 is none"):
        verify(forged(data, statements=(flag, item, *rest)), decided.key)
    with pytest.raises(EvidenceError, match="for a SHA-256 is none"):
        verify(forged(data, case=replace(content.case, open_question=bytes(length))), decided.key)


@pytest.mark.parametrize("field", ["id", "authority", "platform"])
def test_a_name_that_would_put_a_command_into_the_steps_is_refused(decided: Stage, field: str) -> None:
    data, content = redacted(decided)
    hostile: dict[str, Any] = {field: "x\n\n    rm -rf ~\n\n"}
    with pytest.raises(EvidenceError, match="in the manifest"):
        verify(forged(data, case=replace(content.case, **hostile)), decided.key)


def test_without_content_order_kinds_and_sides_are_checked(decided: Stage) -> None:
    data, content = redacted(decided)
    first, second, *rest = content.statements
    with pytest.raises(EvidenceError, match="begin with a flag"):
        verify(forged(data, statements=(second, first, *rest)), decided.key)
    with pytest.raises(EvidenceError, match="order"):
        verify(forged(data, statements=(first, *reversed(rest), second)), decided.key)
    assert second.frame is not None
    stranger = replace(second, frame=replace(second.frame, sender=STRANGER))
    with pytest.raises(EvidenceError, match="not between the sides"):
        verify(forged(data, statements=(first, stranger, *rest)), decided.key)


def test_content_that_should_have_been_left_out_is_refused(decided: Stage) -> None:
    content = read(unpack(decided.bundle()))
    with pytest.raises(EvidenceError, match="against the manifest"):
        verify(forged(decided.bundle(), with_content=False), decided.key)
    frame = content.statements[1].told
    items = list(content.statements)
    items[1] = replace(items[1], envelope=b"", frame=frame)
    with pytest.raises(EvidenceError, match="against the manifest"):
        verify(forged(decided.bundle(), statements=tuple(items)), decided.key)


# Silence.


@pytest.mark.parametrize("with_content", [True, False])
def test_silence_is_proven_by_the_exchanges_logged_statement(silent: Stage, with_content: bool) -> None:
    evidence = verify(silent.bundle(with_content=with_content), silent.key)
    assert Proven.SILENCE in proven(evidence)
    assert Unproven.DELIVERY in unproven(evidence)
    assert "the exchange states since entry 2 that no answer had come by" in line(evidence)
    assert record(evidence)["silence"]["missed"].delivered_to == "spiffe://test.example/telegram"


def test_a_late_acknowledgement_proves_delivery_and_leaves_the_silence_proven(silent: Stage) -> None:
    silent.reply(an_acknowledgement())
    evidence = verify(silent.bundle(), silent.key)
    assert Proven.SILENCE in proven(evidence)
    assert Unproven.DELIVERY not in unproven(evidence)


def test_the_head_at_the_time_of_the_statement_is_in_the_bundle(silent: Stage) -> None:
    content = read(unpack(silent.bundle()))
    assert content.silence is not None
    item, _ = content.silence
    assert open_checkpoint(item.receipt.checkpoint, silent.key).size == item.receipt.index + 1


def test_an_answer_before_the_statement_that_none_had_come_is_refused(stage: Stage) -> None:
    stage.flag()
    answer = stage.reply(an_acknowledgement())
    stage.said.remove(answer)
    stage.missed()
    material = stage.material()
    early = replace(
        material,
        case=replace(material.case, statements=(stage.said[0], answer, *material.case.statements[1:])),
        proofs={**material.proofs, answer.receipt.index: material.proofs[stage.said[0].receipt.index]},
    )
    size = stage.log.size
    proofs = {
        **early.proofs,
        answer.receipt.index: (
            stage.log.inclusion_proof(answer.receipt.index, size),
            stage.log.consistency_proof(answer.receipt.index + 1, size),
        ),
    }
    with pytest.raises(EvidenceError, match="an answer stands before"):
        stage.bundle(replace(early, proofs=proofs), with_content=False)


def test_without_content_a_missed_deadline_of_another_case_is_refused(silent: Stage) -> None:
    first = silent.said[0]
    other = silent.put(a_statement(a_flag(), id=silent.an_id()))
    silent.said = [other]
    silent.missed()
    silent.said = [first, *silent.said[1:]]
    material = silent.material
    with pytest.raises(VerificationError):
        material()
    data, content = redacted_pair(silent)
    with pytest.raises(EvidenceError, match="another case"):
        verify(data, silent.key)
    assert content.silence is not None


@pytest.mark.parametrize("drill", [True, False])
def test_without_content_a_drill_is_not_shown_as_real_nor_the_other_way(stage: Stage, drill: bool) -> None:
    stage.say(a_statement(a_flag(), id=stage.an_id(), test=drill))
    body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=stage.now)
    for side in (MINISTRY, PLATFORM):
        stage.reply(body, sender=OPERATOR, recipient=side, test=drill)
    data, content = redacted(stage)
    assert verify(data, stage.key).content.case.test is drill
    with pytest.raises(EvidenceError, match="whether the case is a drill"):
        verify(forged(data, case=replace(content.case, test=not drill)), stage.key)


def test_without_content_one_statement_of_another_marker_is_enough_to_refuse(stage: Stage) -> None:
    stage.flag()
    body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=stage.now)
    stage.reply(body, sender=OPERATOR, recipient=MINISTRY)
    stage.reply(body, sender=OPERATOR, recipient=PLATFORM, test=True)
    data, _ = redacted_pair(stage)
    with pytest.raises(EvidenceError, match="whether the case is a drill"):
        verify(data, stage.key)


@pytest.mark.parametrize("due_at", [None, NOON - timedelta(days=1)], ids=["hidden", "another"])
def test_without_content_the_case_is_late_since_what_the_exchange_stated(silent: Stage, due_at: Any) -> None:
    data, content = redacted(silent)
    with pytest.raises(EvidenceError, match="other times"):
        verify(forged(data, case=replace(content.case, overdue_since=due_at)), silent.key)


def test_without_content_two_times_at_which_one_answer_was_due_are_refused(stage: Stage) -> None:
    stage.flag()
    for side in (MINISTRY, PLATFORM):
        body = DeadlineMissed(deadline=Deadline.ACKNOWLEDGED, due_at=stage.now)
        stage.reply(body, sender=OPERATOR, recipient=side)
    data, _ = redacted_pair(stage)
    with pytest.raises(EvidenceError, match="other times"):
        verify(data, stage.key)


def test_without_content_the_exchange_speaks_to_the_sides_of_the_case_and_is_none_of_them(silent: Stage) -> None:
    data, content = redacted(silent)
    flag, *missed = content.statements
    assert flag.frame is not None
    for liar, left, why in (
        (STRANGER, missed, "between the sides"),
        (OPERATOR, missed[1:], "a side of the case makes"),
    ):
        items = (replace(flag, frame=replace(flag.frame, sender=liar)), *left)
        lie = forged(data, statements=items, case=replace(content.case, authority=liar))
        with pytest.raises(EvidenceError, match=why):
            verify(lie, silent.key)


def redacted_pair(stage: Stage) -> tuple[bytes, Content]:
    """The statements on the stage as an exporter without scruples redacts them."""
    whole = read(unpack(bypassing(stage)))
    items = tuple(
        one if position else replace(one, envelope=b"", frame=one.told) for position, one in enumerate(whole.statements)
    )
    first, last = items[0].opening, items[-1].opening
    missed = whole.silence
    case = replace(
        follow(stage.said[0].statement.id, stage.said[:1]).case,
        flag_digest=first.digest,
        opened_at=first.entry.received_at,
        updated_at=last.entry.received_at,
        overdue_since=missed[1].due_at if missed else None,
    )
    made = replace(whole, statements=items, case=case, with_content=False)
    made = replace(made, keys={keyid: made.keys[keyid] for keyid in made.signers})
    return pack(assemble(made)), made


# The most that there can be.


def test_the_most_that_the_sides_may_say_by_default_goes_into_one_file() -> None:
    """Attack: a side signs all that it may say with every key that it may use, so that nobody can export the case.

    What one more statement adds is measured, and what one more byte of the worst text does; so many times is the case.
    """
    stage = Stage()
    for side in (MINISTRY, PLATFORM):
        stage.signers[side] = [PrivateKeySigner.generate() for _ in range(MAX_SIGNATURES)]
    stage.record()
    stage.flag()
    sizes, members, said = [], [], []
    for text in ("", '"', '"' * 20_000):
        if text:
            stage.reply(a_correspondence(text=text), sender=MINISTRY, recipient=PLATFORM)
        data = stage.bundle()
        sizes.append(len(data))
        members.append(len(unpack(data)))
        said.append(len(stage.said[-1].envelope))
    room = CaseRoom()
    assert members[0] + 2 * room.statements * (members[1] - members[0]) <= MAX_MEMBERS
    statement = sizes[1] - sizes[0]
    byte = (sizes[2] - sizes[1] - statement) / (said[2] - said[1])
    assert byte > 16
    assert sizes[0] + 2 * room.statements * statement + 2 * room.size * byte <= MAX_BYTES


# Erased content.


def erase(stage: Stage, *, naming: tuple[ErasedStatement, ...] | None = None) -> None:
    """Two persons of the operator erase the case; what is left are the entries."""
    stage.signers[OPERATOR].append(PrivateKeySigner.generate())
    stage.record()
    body = Erasure(
        legal_basis=LegalBasis(jurisdiction="ID", law="UU 27/2022"),
        reasons="The data subject asked for it.",
        statements=tuple(map(_place, stage.said)) if naming is None else naming,
    )
    for side in (MINISTRY, PLATFORM):
        stage.reply(body, sender=OPERATOR, recipient=side)


def _place(said: Verified) -> ErasedStatement:
    it = said.receipt
    return ErasedStatement(digest=it.digest, index=it.index, recipient=it.recipient, sequence=it.sequence)


def erased(stage: Stage) -> bytes:
    whole = read(unpack(bypassing(stage)))
    case = follow(stage.said[0].statement.id, stage.said).case
    items = tuple(_erased(one) if _by_a_side(one) else one for one in whole.statements)
    made = replace(whole, statements=items, case=case)
    made = replace(made, keys={keyid: made.keys[keyid] for keyid in made.signers})
    return pack(assemble(made))


def _by_a_side(one: Item) -> bool:
    return one.told.sender != OPERATOR


def _erased(one: Item) -> Item:
    extra = replace(one.opening, salt=b"").encode()
    frame = replace(one.told, id="", issued_at=None, in_reply_to=b"")
    return replace(one, receipt=replace(one.receipt, extra=extra), envelope=b"", frame=frame)


def test_of_an_erased_case_place_and_erasure_stay_proven(decided: Stage) -> None:
    erase(decided)
    evidence = verify(erased(decided), decided.key)
    assert evidence.content.case.state is CaseState.ERASED
    assert Proven.LOGGED in proven(evidence)
    assert {Unproven.ERASED, Unproven.STATE} <= set(unproven(evidence))
    assert Proven.STATE not in proven(evidence)
    assert "beyond the word of the two persons who erased it" in line(evidence)


def test_content_that_is_missing_as_erased_must_be_named_by_an_erasure(decided: Stage) -> None:
    erase(decided, naming=(replace(_place(decided.said[0]), index=0),))
    with pytest.raises(EvidenceError, match="no erasure of the operator names"):
        verify(erased(decided), decided.key)


def lie_about_erased(stage: Stage, *items: Item, **changes: Any) -> bytes:
    """What is erased, told by an exporter who puts other entries there, or tells another case."""
    content = read(unpack(erased(stage)))
    case = replace(content.case, updated_at=items[-1].opening.entry.received_at, **changes)
    return forged(erased(stage), statements=items, case=case)


def an_entry_as_erased(stage: Stage, other: Verified, digest: bytes) -> Item:
    """An entry of the log that is not of the case, said to be the one that the erasure names."""
    size, index = stage.log.size, other.receipt.index
    proofs = stage.log.inclusion_proof(index, size), stage.log.consistency_proof(index + 1, size)
    item = _erased(Item(from_receipt(other.receipt), *proofs, other.envelope))
    extra = replace(item.opening, digest=digest).encode()
    return replace(item, receipt=replace(item.receipt, extra=extra))


def test_of_an_erased_case_every_digest_that_the_erasure_names_has_its_entry(decided: Stage) -> None:
    erase(decided)
    items = read(unpack(erased(decided))).statements
    for left in range(1, 5):
        with pytest.raises(EvidenceError, match="not those that the erasure names"):
            verify(lie_about_erased(decided, *items[:left], *items[left + 1 :]), decided.key)


def test_of_an_erased_case_no_digest_stands_twice_or_in_another_order(decided: Stage) -> None:
    erase(decided)
    flag, one, two, *rest = read(unpack(erased(decided))).statements
    swapped = [
        replace(item, receipt=replace(item.receipt, extra=replace(item.opening, digest=other.opening.digest).encode()))
        for item, other in ((one, two), (two, one))
    ]
    for items in (swapped, [one, swapped[1]]):
        with pytest.raises(EvidenceError, match="no erasure of the operator names"):
            verify(lie_about_erased(decided, flag, *items, *rest), decided.key)


def test_an_entry_after_the_erasure_is_none_that_it_erased(stage: Stage) -> None:
    flagged, acknowledged = stage.flag(), stage.reply(an_acknowledgement())
    place = _place(acknowledged)
    to_come = replace(place, index=place.index + 4, sequence=place.sequence + 2)
    erase(stage, naming=(_place(flagged), to_come))
    later = stage.put(a_statement(an_acknowledgement(), sender=PLATFORM, recipient=MINISTRY, id=stage.an_id()))
    flag, _, *erasures = read(unpack(erased(stage))).statements
    foreign = an_entry_as_erased(stage, later, acknowledged.digest)
    with pytest.raises(EvidenceError, match="after the erasure"):
        verify(lie_about_erased(stage, flag, *erasures, foreign), stage.key)


def test_a_statement_that_no_erasure_names_is_none_of_an_erased_case(stage: Stage) -> None:
    flag = stage.flag()
    stage.reply(an_acknowledgement())
    erase(stage, naming=(_place(flag),))
    with pytest.raises(EvidenceError, match="not those that the erasure names"):
        verify(bypassing(stage), stage.key)


@pytest.mark.parametrize("state", [CaseState.SUBMITTED, CaseState.DECIDED, CaseState.WITHDRAWN])
def test_an_erased_case_has_no_other_state(decided: Stage, state: CaseState) -> None:
    erase(decided)
    items = read(unpack(erased(decided))).statements
    with pytest.raises(EvidenceError, match="not erased that is"):
        verify(lie_about_erased(decided, *items, state=state), decided.key)


def test_a_case_without_an_erasure_is_not_shown_as_erased(decided: Stage) -> None:
    data, content = redacted(decided)
    with pytest.raises(EvidenceError, match="as erased that is not"):
        verify(forged(data, case=replace(content.case, state=CaseState.ERASED)), decided.key)


def test_an_erasure_by_one_person_is_refused(decided: Stage) -> None:
    decided.signers[OPERATOR].append(PrivateKeySigner.generate())
    decided.record()
    body = Erasure(
        legal_basis=LegalBasis(jurisdiction="ID", law="UU 27/2022"),
        reasons="So.",
        statements=(_place(decided.said[0]),),
    )
    decided.reply(body, signers=decided.signers[OPERATOR][:1], sender=OPERATOR, recipient=MINISTRY)
    with pytest.raises(SignatureError, match="two persons"):
        verify(bypassing(decided), decided.key)


# What else is said.


def test_correspondence_and_drills_are_shown_as_what_they_are(stage: Stage) -> None:
    stage.say(a_statement(a_flag(), id=stage.an_id(), test=True))
    stage.reply(a_correspondence(), test=True)
    evidence = verify(stage.bundle(), stage.key)
    assert evidence.content.case.test
    assert b"A drill" in unpack(stage.bundle())[SUMMARIES[Language.EN]]
    assert evidence.content.exported_at == LATER


def test_a_delivery_for_another_exchange_is_refused(stage: Stage) -> None:
    stage.say(a_statement(a_flag(), id=stage.an_id(), exchange="another.example/log"))
    with pytest.raises(DeliveryError, match="another exchange"):
        verify(bypassing(stage), stage.key)
