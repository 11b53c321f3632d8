"""Witnesses for tests: keys, cosigned checkpoints, policies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from panji.core.cosignature import Cosigner
from panji.core.keys import PrivateKeySigner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from panji.core.note import NoteVerifier

WITNESSES = {name: Cosigner(f"{name}.example/w1", PrivateKeySigner.generate()) for name in ("alder", "birch", "cedar")}
"""Three witnesses, by their names in :func:`policy_text`."""


def seconds(instant: datetime) -> int:
    """Whole seconds since 1970."""
    return int((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def cosigned(signed: str, *witnesses: Cosigner, at: datetime) -> str:
    """A signed checkpoint with the lines of witnesses."""
    text = signed.rpartition("\n\n")[0] + "\n"
    return signed + "".join(one.cosign(text, seconds(at)) for one in witnesses)


def policy_text(
    quorum: str = "group trees 2 alder birch cedar",
    *,
    logs: Iterable[NoteVerifier] = (),
    urls: dict[str, str] | None = None,
) -> str:
    """A policy of the three witnesses. ``quorum`` is a group's line, or the name of a witness."""
    lines = [f"log {one}" for one in logs]
    lines += [f"witness {name} {one.verifier} {(urls or {}).get(name, '')}" for name, one in WITNESSES.items()]
    words = quorum.split()
    lines += [quorum, f"quorum {words[1]}"] if words[0] == "group" else [f"quorum {quorum}"]
    return "\n".join(lines) + "\n"
