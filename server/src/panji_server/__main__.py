"""Starts one exchange: ``panji-server --config FILE``.

Exit codes: 0 stopped in order, 2 wrong usage, 74 the storage or the log of events failed, or the log's audit at start
did, 78 the configuration is wrong (sysexits.h: EX_IOERR, EX_CONFIG).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import os
import signal
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.note import NoteSigner
from panji.errors import ConfigError, PanjiError
from panji_server import __version__, startup
from panji_server.admission import Rules
from panji_server.audit import AuditLog
from panji_server.config import Config, load
from panji_server.directory import DirectoryFile
from panji_server.exchange import Exchange
from panji_server.limits import RateLimit
from panji_server.rpc.server import Server, tls_credentials
from panji_server.storage.base import StorageError
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from panji.core.directory import Directory

_GC_THRESHOLD = 20_000

EX_IOERR = 74
EX_CONFIG = 78


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs an exchange until it is told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="panji-server", description="Runs a Panji exchange.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file; see docs/operations.md")
    parser.add_argument("--check", action="store_true", help="check configuration, directory and log, and exit")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        with ExitStack() as opened:
            audit = opened.enter_context(closing(_audit_log(config)))
            return _run(_serve(config, audit, opened, check=options.check))
    except ConfigError as error:
        sys.stderr.write(f"panji-server: configuration: {error}\n")
        return EX_CONFIG
    except StorageError as error:
        sys.stderr.write(f"panji-server: storage: {error}\n")
        return EX_IOERR


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


def _log_signer(config: Config) -> NoteSigner:
    try:
        key = PrivateKeySigner.from_pem(config.log_key.read_bytes())
        if key.public_key.algorithm is not Algorithm.ED25519:
            raise ConfigError("log_key", "is no Ed25519 key")
        return NoteSigner(config.origin, key)
    except (OSError, PanjiError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError("log_key", str(error)) from error


async def _serve(config: Config, audit: AuditLog, opened: ExitStack, *, check: bool) -> int:
    signer = _log_signer(config)

    def changed(new: Directory) -> None:
        _report(
            audit,
            "directory.changed",
            organisations=len(new.organisations),
            accreditations=len(new.accreditations),
        )
        exchange.nudge()

    directory = DirectoryFile(
        config.directory,
        on_change=changed,
        on_error=lambda error: _report(audit, "directory.rejected", error=str(error)),
    )
    storage = opened.enter_context(closing(SQLiteStorage(config.database)))
    checkpoint, checked = startup.audit(storage, signer.verifier)
    if check:
        tls_credentials(config)
        return 0
    failed: list[StorageError] = []
    stop = asyncio.Event()

    def fail(error: StorageError) -> None:
        failed.append(error)
        stop.set()

    exchange = Exchange(
        storage,
        signer,
        directory,
        Rules(
            origin=config.origin,
            max_envelope_bytes=config.limits.envelope_bytes,
            issued_before=config.limits.issued_before,
            issued_after=config.limits.issued_after,
        ),
        RateLimit(config.limits.statements_per_second, config.limits.burst),
        max_queue=config.limits.queue,
        on_failure=fail,
    )
    try:
        server = Server(config, exchange, audit)
    except RuntimeError as error:
        raise ConfigError("listen", f"cannot listen on {config.listen}: {error}") from error
    received: list[str] = []

    def told(number: signal.Signals) -> None:
        received.append(number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)
    # What there is by now stays, and a statement's values go as they come, without cycles. Python by itself would look
    # for cycles after every few hundred new objects, through all of it, several times a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    await server.start()
    _report(
        audit,
        "exchange.started",
        version=__version__,
        listen=f"{config.listen.rpartition(':')[0]}:{server.port}",
        origin=config.origin,
        log_key=str(signer.verifier),
        size=checkpoint.size if checkpoint else 0,
        root=base64.b64encode(checkpoint.root).decode("ascii") if checkpoint else "",
        checked=checked,
        organisations=len(directory.current.organisations),
    )
    following = asyncio.create_task(directory.follow())
    await stop.wait()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    if not failed:
        _report(audit, "exchange.stopping", signal=received[0])
        await server.drain()
        ending = asyncio.create_task(server.stop(config.grace_seconds))
        await exchange.stop()
        await ending
    if failed:
        # Fail closed: whoever waits was told to retry, and nothing more is promised. The audit at start finds out
        # what of the last commit the disk has.
        _report(audit, "exchange.failed", error=str(failed[0]))
        sys.stderr.write(f"panji-server: storage: {failed[0]}\n")
        await server.stop(0.2)
        os._exit(EX_IOERR)
    _report(audit, "exchange.stopped", size=storage.current_head().frontier.size)
    return 0


def _report(audit: AuditLog, event: str, **fields: object) -> None:
    audit.write(event, **fields)
    audit.flush()


if __name__ == "__main__":
    sys.exit(main())
