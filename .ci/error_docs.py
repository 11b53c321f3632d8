"""Prints docs/errors.md: every reason for which an exchange refuses, from the table that both ends are made from."""

from __future__ import annotations

from panji.errors import ERROR_DOMAIN, REASONS

_HEAD = f"""\
# Refusals

A refusal is a gRPC status with one `google.rpc.ErrorInfo`. Its domain is `{ERROR_DOMAIN}` and its `reason` one of
those below. Where they fit, `BadRequest` names every field that is wrong and `RetryInfo` says when to come back.
In a batch each refused statement has its own status, and the others are not touched by it. Reasons are stable; none is
ever reused.

*Retry* says whether the very same bytes may be accepted later without anybody changing anything. What the network or
the client's deadline ended may always be sent again: the same bytes get the same receipt.

Generated from `panji.errors` by `python .ci/error_docs.py > docs/errors.md`.
"""


def document() -> str:
    """The page."""
    rows = [
        f"| `{reason}` | {info.code.name} | {'yes' if info.retryable else 'no'} | {info.meaning} |"
        for reason, info in REASONS.items()
    ]
    return "\n".join([_HEAD, "| reason | code | retry | meaning |", "| --- | --- | --- | --- |", *rows, ""])


if __name__ == "__main__":
    print(document(), end="")
