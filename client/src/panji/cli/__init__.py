"""The command line ``panji``: everything a participant does by hand or from a script."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from panji import __version__

# gRPC logs what a peer says, as the peer says it, to standard error: on a terminal, that would be for it to control.
# What matters of it comes back as errors. GRPC_VERBOSITY in the environment has it log all the same.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from panji.cli.answers import add_to as add_answers
from panji.cli.boundary import EXIT_CODES, CommandLine
from panji.cli.cases import add_to as add_cases
from panji.cli.erasing import add_to as add_erasing
from panji.cli.evidence import add_to as add_evidence
from panji.cli.flags import add_to as add_flags
from panji.cli.forks import add_to as add_forks
from panji.cli.importing import add_to as add_importing
from panji.cli.log import add_to as add_log
from panji.cli.receipts import add_to as add_receipts
from panji.cli.saying import add_to as add_saying
from panji.cli.setup import add_to as add_setup
from panji.cli.sop import add_to as add_sop

__all__ = ["app", "main"]

app = typer.Typer(
    name="panji",
    cls=CommandLine,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=f"The government channel between authorities and platforms.\n\n{EXIT_CODES}",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"panji {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for add_to in (
    add_setup,
    add_flags,
    add_importing,
    add_answers,
    add_saying,
    add_cases,
    add_receipts,
    add_evidence,
    add_log,
    add_forks,
    add_erasing,
    add_sop,
):
    add_to(app)


def main() -> None:
    """Run the command line; the process ends with one of the documented exit codes."""
    app()
