"""Where every command's errors end: one table from error to exit code and to what is printed."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperGroup

from panji.cli.output import Output, Warnings, plain
from panji.cli.records import refusal_record
from panji.errors import ConfigError, InputError, LogForkError, RefusedError, TransportError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Exit(IntEnum):
    """How a command ends. Numbers are stable: scripts depend on them."""

    OK = 0
    UNEXPECTED = 1
    INPUT = 2
    REFUSED = 3
    VERIFICATION = 4
    TRANSPORT = 5
    CONFIG = 6
    PARTLY_REFUSED = 7
    INTERRUPTED = 130
    TERMINATED = 143


_MEANING = {
    Exit.OK: "done",
    Exit.UNEXPECTED: "an unexpected error: a defect of this program",
    Exit.INPUT: "wrong usage or invalid input; nothing was sent",
    Exit.REFUSED: "the exchange refused",
    Exit.VERIFICATION: "what was received does not prove what it claims: evidence of misbehaviour, keep it",
    Exit.TRANSPORT: "no answer came: try again later",
    Exit.CONFIG: "the configuration is missing or wrong",
    Exit.PARTLY_REFUSED: "some of many were refused or incomplete",
    Exit.INTERRUPTED: "interrupted (SIGINT)",
    Exit.TERMINATED: "terminated (SIGTERM), as shells tell it; what was signed waits in the outbox",
}
EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"{int(code):4} {meaning}" for code, meaning in _MEANING.items())
"""The table for ``panji --help``."""


class Failure(NamedTuple):
    """What an error means to the caller of the program."""

    exit: Exit
    reason: str
    retryable: bool = False


_USAGE: type[Any] = typer.BadParameter.__mro__[1]  # the error of all wrong usage, under one name in every typer

FAILURES: tuple[tuple[type[Any], Failure], ...] = (
    (RefusedError, Failure(Exit.REFUSED, "REFUSED")),
    (LogForkError, Failure(Exit.VERIFICATION, "LOG_FORKED")),
    (VerificationError, Failure(Exit.VERIFICATION, "VERIFICATION_FAILED")),
    (TransportError, Failure(Exit.TRANSPORT, "TRANSPORT_FAILED", retryable=True)),
    (ConfigError, Failure(Exit.CONFIG, "CONFIG_INVALID")),
    (InputError, Failure(Exit.INPUT, "INPUT_INVALID")),
    (_USAGE, Failure(Exit.INPUT, "USAGE")),
    (typer.Abort, Failure(Exit.INTERRUPTED, "INTERRUPTED")),
    (Exception, Failure(Exit.UNEXPECTED, "UNEXPECTED")),
)
"""The one table from error to exit code; the first class that fits counts."""


def describe(error: Exception) -> tuple[Exit, dict[str, Any]]:
    """Returns the exit code of an error, and the record that ``--json`` prints of it."""
    failure = next(failure for kind, failure in FAILURES if isinstance(error, kind))
    if isinstance(error, RefusedError):
        return failure.exit, {"error": plain(refusal_record(error))}
    message, violations = str(error), plain(getattr(error, "violations", ()))
    if isinstance(error, InputError):
        message = error.message
    elif isinstance(error, _USAGE):
        message = error.format_message()
    elif failure.exit is Exit.UNEXPECTED:
        message = f"{type(error).__name__}: {message}"
    record = {"reason": failure.reason, "message": message, "violations": violations, "retryable": failure.retryable}
    if isinstance(error, LogForkError):
        record |= {"kind": error.kind.value, "evidence": str(error.saved)}
    return failure.exit, {"error": record}


class CommandLine(TyperGroup):
    """The root of all commands: runs one, and turns whatever it raises into a message and an exit code."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> Any:
        """Run a command and end the process."""
        arguments = list(sys.argv[1:] if args is None else args)
        out = Output(as_json="--json" in arguments)
        try:
            with Warnings(out):
                code = super().main(arguments, prog_name or "panji", **extra | {"standalone_mode": False})
        except Exception as error:
            if os.environ.get("PANJI_DEBUG"):
                raise
            code, record = describe(error)
            out.error(record)
        sys.exit(code or Exit.OK)
