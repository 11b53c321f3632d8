"""What is proven by a bundle and what is not, in words: one line, and the same as codes for programs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from panji.core.display import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from panji.evidence.content import Item
    from panji.evidence.verify import Evidence

_SHOWN = 16  # hex digits of a fingerprint in a line; the record has all


class Proven(StrEnum):
    """What a bundle proves. Names are stable."""

    LOGGED = "LOGGED"
    """The log has these statements, in this order, and states these times of receipt."""
    SIGNED = "SIGNED"
    """Each statement whose content is in the bundle is by its sender."""
    STATE = "STATE"
    """The statements make this state of the case."""
    SILENCE = "SILENCE"
    """The exchange stated that no answer had come when it was due."""
    WITNESSED = "WITNESSED"
    """Enough of the reader's witnesses cosigned the head."""
    EXPORTER = "EXPORTER"
    """Who exported the bundle."""


class Unproven(StrEnum):
    """What a bundle does not prove. Names are stable."""

    COMPLETE = "COMPLETE"
    """That nothing else was said in the case."""
    CLOCK = "CLOCK"
    """That the exchange's clock was right."""
    ONE_LOG = "ONE_LOG"
    """That the log shows everyone the same."""
    KEY_OWNERS = "KEY_OWNERS"
    """Whose keys these are, beyond the operator's word."""
    CONTENT = "CONTENT"
    """What is said and by whom, that the entries are of the case, and its state: content was left out."""
    ERASED = "ERASED"
    """What was said, and which statements the entries were: content was erased."""
    STATE = "STATE"
    """How the case stood, in all and per target, before its content was erased."""
    DELIVERY = "DELIVERY"
    """That the platform had the flag, beyond the exchange's word."""
    EXPORTER = "EXPORTER"
    """Who exported the bundle."""
    TEXTS = "TEXTS"
    """That summary and steps show what is proven."""


def proven(evidence: Evidence) -> dict[Proven, str]:
    """Give what is proven, each with its words."""
    content, head = evidence.content, evidence.head
    items = content.statements
    found = {
        Proven.LOGGED: (
            f"the log {content.log.name} (key {content.log.public_key.keyid[:_SHOWN]}…, head of {head.size}) has the"
            f" {count(len(items), 'statement')} {'of' if content.with_content else 'shown as'} case {content.case.id}"
            f" {_places(items)}"
        )
    }
    signed = sum(map(bool, evidence.signers))
    if signed:
        each = "each" if signed == len(items) else f"{signed} of them, the operator's,"
        where = (
            "in your directory"
            if evidence.own_directory
            else f"in the directory that the operator (key {_keys(evidence)}) has on record in the log"
        )
        verb = "is" if signed == len(items) else "are"
        found[Proven.SIGNED] = f"{each} {verb} signed by the sender, with keys that were valid then {where}"
    if _is_whole(evidence):
        found[Proven.STATE] = f"by these statements the case is {content.case.state.name}"
    if (silence := content.silence) is not None:
        item, missed = silence
        found[Proven.SILENCE] = (
            f"the exchange states since entry {item.receipt.index} that no answer had come by {_time(missed.due_at)}"
        )
    if evidence.witnesses:
        who = ", ".join(f"{safe(name)} at {_time(at)}" for name, at in evidence.witnesses)
        found[Proven.WITNESSED] = f"the head is cosigned by {who}"
    if evidence.exporter_proven:
        found[Proven.EXPORTER] = f"{content.exported_by} exported it"
    return found


def unproven(evidence: Evidence) -> dict[Unproven, str]:
    """Give what is not proven, each with its words."""
    return dict(_unproven(evidence))


def _unproven(evidence: Evidence) -> Iterator[tuple[Unproven, str]]:
    content = evidence.content
    if not content.with_content:
        state = content.case.state.name
        yield (
            Unproven.CONTENT,
            (
                "what the sides said, who said it, that these entries are of this case, and that the case is"
                f" {state}: content was left out"
            ),
        )
    if any(not one.opening.salt for one in content.statements):
        whose = "beyond the word of the two persons who erased it"
        yield Unproven.ERASED, f"what was said and by whom, and that these entries were it, {whose}: content was erased"
        yield Unproven.STATE, "how the case stood before that"
    if not evidence.texts_compared:
        yield Unproven.TEXTS, "the summary and the steps: an older version wrote them, and they were not compared"
    if evidence.operators and not evidence.own_directory:
        yield Unproven.KEY_OWNERS, "whose the keys are, beyond the operator's word"
    if content.silence is not None and not _answered(evidence):
        yield Unproven.DELIVERY, "that the platform had the flag, beyond the exchange's word"
    if not evidence.witnesses:
        yield Unproven.ONE_LOG, "that the log shows everyone the same"
    yield Unproven.COMPLETE, "that nothing else was said in the case"
    yield Unproven.CLOCK, "that the exchange's clock was right"
    if not evidence.exporter_proven:
        yield Unproven.EXPORTER, "who exported it"


def line(evidence: Evidence) -> str:
    """Give the verdict in one line."""
    yes, no = proven(evidence).values(), unproven(evidence).values()
    return f"Proven: {'; '.join(yes)}. Not proven: {'; '.join(no)}."


def record(evidence: Evidence) -> dict[str, Any]:
    """Give the verdict with stable names, for programs."""
    content, silence = evidence.content, evidence.content.silence
    return {
        "type": "evidence",
        "verified": True,
        "case_id": content.case.id,
        "state": content.case.state,
        "with_content": content.with_content,
        "origin": content.log.name,
        "log_key": content.log.public_key.keyid,
        "log_size": evidence.head.size,
        "root": evidence.head.root,
        "statements": [
            {
                "index": item.receipt.index,
                "kind": item.opening.entry.kind,
                "received_at": item.opening.entry.received_at,
                "sender": item.told.sender,
                "recipient": item.opening.recipient,
                "sequence": item.opening.sequence,
                "digest": item.opening.digest,
                "signers": signers,
            }
            for item, signers in zip(content.statements, evidence.signers, strict=True)
        ],
        "silence": None if silence is None else {"index": silence[0].receipt.index, "missed": silence[1]},
        "own_directory": evidence.own_directory,
        "operator_keys": evidence.operators,
        "witnesses": [{"name": name, "at": at} for name, at in evidence.witnesses],
        "exported_by": content.exported_by,
        "exported_at": content.exported_at,
        "proven": tuple(proven(evidence)),
        "not_proven": tuple(unproven(evidence)),
        "verdict": line(evidence),
    }


def _is_whole(evidence: Evidence) -> bool:
    return all(evidence.signers)


def _answered(evidence: Evidence) -> bool:
    """Whether the platform itself has signed that it had the flag."""
    signed = zip(evidence.content.statements, evidence.signers, strict=True)
    mine = evidence.content.case.platform
    return any(signers and item.told.sender == mine for item, signers in signed)


def _keys(evidence: Evidence) -> str:
    return ", ".join(f"{keyid[:_SHOWN]}…" for keyid in evidence.operators)


def _places(items: Sequence[Item]) -> str:
    first, last = items[0], items[-1]
    since, until = _time(first.opening.entry.received_at), _time(last.opening.entry.received_at)
    if first is last:
        return f"at entry {first.receipt.index}, received {since}"
    return f"at entries {first.receipt.index} to {last.receipt.index}, received {since} to {until}, in this order"


def count(number: int, what: str) -> str:
    """Give a number of things, in words for one and for many."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _time(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
