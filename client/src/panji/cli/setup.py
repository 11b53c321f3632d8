"""Setting up: ``panji init`` and ``panji serve``."""

import importlib.util
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from panji import development
from panji.cli.common import NO_SERVER, JsonOption
from panji.cli.output import Output, table
from panji.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("init")(init)
    app.command("serve")(serve)


def init(
    *,
    directory: Annotated[Path, typer.Argument(help="Where to: an empty or new folder.")],
    authority: Annotated[list[str] | None, typer.Option(help="Id of an authority; repeat for more. [kominfo]")] = None,
    platform: Annotated[list[str] | None, typer.Option(help="Id of a platform; repeat for more. [telegram]")] = None,
    operator: Annotated[str, typer.Option(help="Id of the operator.")] = "operator",
    origin: Annotated[str, typer.Option(help="Origin of the log.")] = "exchange.example/log",
    listen: Annotated[str, typer.Option(help="Host and port of the exchange. [a free port of this machine]")] = "",
    json: JsonOption = False,
) -> None:
    """Make a development exchange: keys, certificates, directory, profiles. For development and tests only."""
    made = development.init(
        directory,
        now=datetime.now(UTC),
        authorities=tuple(authority or ("kominfo",)),
        platforms=tuple(platform or ("telegram",)),
        operator=operator,
        origin=origin,
        listen=listen,
    )
    out = Output(as_json=json)
    names = ("directory", "config", "profiles", "origin", "listen", "log_key")
    out.record(
        {"type": "development"} | {name: getattr(made, name) for name in names},
        table("organisation", "profile", rows=made.profiles.items(), title=f"Exchange at {made.listen}"),
    )
    out.show(f"For development and tests only. Start it with:\n  panji serve --config {made.config}")


def serve(
    *,
    config: Annotated[Path, typer.Option("--config", help="The exchange's settings, exchange.toml.")],
    json: JsonOption = False,  # noqa: ARG001 - errors are printed by the boundary, the rest by the server
) -> None:
    """Run the exchange. Needs the distribution panji-server."""
    if importlib.util.find_spec("panji_server") is None:
        raise ConfigError("panji-server", NO_SERVER)
    if not config.is_file():
        raise ConfigError("--config", f"{config} is no file")
    # The server replaces this process, so that signals reach it and its exit code is ours.
    command = [sys.executable, "-m", "panji_server", "--config", str(config), "--announce"]
    os.execv(sys.executable, command)  # noqa: S606 - no shell
