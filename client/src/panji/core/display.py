"""What others wrote, made fit to be shown: no control character, nothing hidden, nothing that turns the writing."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_BREAKS = re.compile("[\t\n]")


def safe(text: object, *, lines: bool = False) -> str:
    r"""Returns a text in which every character that could play with a reader is written out, as in ``\x1b``.

    Args:
        text: Anything; content of statements, names of files, messages of errors.
        lines: Leave line feeds and tabs as they are.
    """
    cleaned = _UNSAFE.sub(_written_out, str(text))
    return cleaned if lines else _BREAKS.sub(_written_out, cleaned)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
