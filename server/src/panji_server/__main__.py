"""Starts one exchange: ``panji-server --config FILE``.

Exit codes: 0 stopped in order, 2 wrong usage, 74 the storage or the log of events failed, or the log's audit at start
did, 78 the configuration is wrong (sysexits.h: EX_IOERR, EX_CONFIG).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from panji.errors import ConfigError
from panji_server import __version__
from panji_server.audit import AuditLog
from panji_server.config import Config, load
from panji_server.process import Process
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji_server.storage.base import Storage


EX_IOERR = 74
EX_CONFIG = 78


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs an exchange until it is told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="panji-server", description="Runs a Panji exchange.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file; see docs/operations.md")
    parser.add_argument("--check", action="store_true", help="check configuration, directory and log, and exit")
    parser.add_argument("--announce", action="store_true", help="say on standard output where it listens")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    _raise_limits()
    try:
        config = load(options.config)
        with ExitStack() as opened:
            audit = opened.enter_context(closing(_audit_log(config)))
            storage = opened.enter_context(closing(SQLiteStorage(config.database, exclusive=not options.check)))
            return _run(_serve(options, config, audit, storage))
    except ConfigError as error:
        sys.stderr.write(f"panji-server: configuration: {error}\n")
        return EX_CONFIG
    except StorageError as error:
        sys.stderr.write(f"panji-server: storage: {error}\n")
        return EX_IOERR


def _raise_limits() -> None:
    """Takes as many file descriptors as the operating system grants: every connection, of strangers too, is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # not everywhere is what is granted to be had
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(options: argparse.Namespace, config: Config, audit: AuditLog, storage: Storage) -> int:
    def announce(address: str) -> None:
        if options.announce:
            sys.stdout.write(f"panji-server: {process}, at {address}{_profiles(options.config)}\n")
            sys.stdout.flush()

    process = Process(config, audit, storage, on_start=announce)
    if options.check:
        sys.stdout.write(f"panji-server: sound: {process}, verifier key {process.log_key}\n")
        return 0
    try:
        await process.run()
    except StorageError as error:
        sys.stderr.write(f"panji-server: storage: {error}\n")
        os._exit(EX_IOERR)  # and nothing else: no thread of the storage is waited for
    return 0


def _profiles(config: Path) -> str:
    """Where the profiles of a development exchange are, as `panji init` lays them out."""
    folder = config.absolute().parent.parent
    return f", profiles {folder}/*/profile.toml" if any(folder.glob("*/profile.toml")) else ""


def _run(coroutine: object) -> int:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)  # type: ignore[arg-type]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


def _audit_log(config: Config) -> AuditLog:
    try:
        return AuditLog.open(config.audit.path, _audit_failed)
    except OSError as error:
        raise ConfigError("audit.path", str(error)) from error


def _audit_failed(error: OSError) -> NoReturn:
    # Fail closed, here and now: no answer leaves that the log of events does not know of. Senders retry, and find
    # what was committed.
    sys.stderr.write(f"panji-server: audit: {error}\n")
    os._exit(EX_IOERR)


if __name__ == "__main__":
    sys.exit(main())
