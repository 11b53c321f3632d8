"""A whole bundle from its core: what the exporter writes, and what the verifier compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.evidence import by_hand, summary
from panji.evidence.content import write
from panji.evidence.texts import Language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from panji.evidence.content import Content

SUMMARIES = {language: f"summary.{language}.html" for language in Language}
"""The summary's name, by its language."""
STEPS = {language: f"HOW-TO-CHECK.{language}.txt" for language in Language}
"""The name of the steps for a check by hand, by their language."""
TEXTS = frozenset({*SUMMARIES.values(), *STEPS.values()})
"""What people read. Another version may word it otherwise; everything else is fixed by the format."""


def assemble(content: Content, texts: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Give all members of a bundle.

    Args:
        content: The core, verified.
        texts: :data:`TEXTS` as they are, where another version wrote them; made here unless given.
    """
    if texts is None:
        texts = {SUMMARIES[one]: summary.render(content, one).encode() for one in Language}
        texts |= {STEPS[one]: by_hand.steps(content, one).encode() for one in Language}
    return write(content, by_hand.files(content) | dict(texts))
