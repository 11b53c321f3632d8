"""A small procedure to change: a test names only what matters to it."""

from __future__ import annotations

from panji.core.procedure import Procedure, parse_procedure
from panji.errors import InputError

HEAD = 'id = "test"\nversion = 1\ntitle = "A procedure"\n'
VAGUE = """
[[rule]]
id = "vague"
categories = ["PUBLIC_ORDER"]
decided = { since = "delivered", within = "PT24H" }
approvals = { signatures = 3 }
expires_within = "P30D"
counted_apart = true
"""
"""The rule that every procedure needs which covers the vague category."""
OTHER = """
[[rule]]
id = "other"
received = { since = "received", within = "PT4H" }
decided = { since = "delivered", within = "PT24H" }
"""


def rule(
    identifier: str = "one", *lines: str, decided: str = 'decided = { since = "delivered", within = "PT24H" }'
) -> str:
    """A rule that is for gambling unless the lines say otherwise."""
    given = "\n".join(lines)
    subject = "" if "categories" in given else 'categories = ["GAMBLING"]\n'
    return f'[[rule]]\nid = "{identifier}"\n{subject}{decided}\n{given}\n'


def a_procedure(*parts: str, head: str = HEAD) -> Procedure:
    """The procedure of these parts; of everything, where there are none."""
    return parse_procedure(head + "\n".join(parts or (VAGUE, OTHER)))


def wrong_in(*parts: str, head: str = HEAD) -> dict[str, str]:
    """What is wrong with a procedure: the description by the path."""
    try:
        parse_procedure(head + "\n".join(parts))
    except InputError as error:
        return {one.field: one.description for one in error.violations}
    return {}
