"""``panji fork``: what is known of a log that contradicted itself, and going on after a person has looked."""

from typing import Annotated

import typer

from panji.cli.boundary import Exit
from panji.cli.common import JsonOption, ProfileOption, session
from panji.cli.output import Output


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("fork")(fork)


def fork(
    *,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="You have looked: go on from the head held before. The evidence stays.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show where the log contradicted itself. Nothing is sent or believed until somebody has looked; exit code 4."""
    with session(profile) as client:
        found = client.fork()
        if resolve:
            client.resolve_fork()
    out = Output(as_json=json)
    if found is None:
        out.show("The log has not contradicted itself.")
        return
    record = {"type": "fork", "kind": found.kind, "finding": found.finding, "evidence": found.saved}
    human = f"{found.kind}: {found.finding}.\nBoth signed heads: {found.saved}"
    out.record(record | {"kept": found.kept, "seen": found.seen, "resolved": resolve}, human)
    if not resolve:
        raise typer.Exit(Exit.VERIFICATION)
