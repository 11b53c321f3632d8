"""Prints docs/events.md: the audit events and their fields, from the schema that the exchange is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji_server.audit import COMMON, EVENTS, FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = """\
# Audit events

What happened on an exchange, for machines first: one JSON object a line, in ASCII, in the order in which it happened.
`audit.path` in the configuration says where to. Names and fields are stable: fields may be added, none changes its
meaning. No event carries content of a statement, or a secret.

Generated from `panji_server.audit` by `python .ci/event_docs.py > docs/events.md`.
"""


def document() -> str:
    """The page."""
    parts = [_HEAD, "## Events\n"]
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        parts.append(f"### `{name}`\n\n{event.meaning} Level {event.level}.\n\n{fields}\n")
    parts += ["## Fields of every event\n", table(COMMON), "## Fields\n", table(FIELDS)]
    return "\n".join(parts)


def table(meanings: Mapping[str, str]) -> str:
    """A table of names and what they mean."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in meanings.items()]
    return "\n".join(["| field | meaning |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    print(document(), end="")
