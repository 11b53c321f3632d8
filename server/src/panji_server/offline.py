"""What the programs have in common that work on an exchange's database beside it: settings, errors, progress.

``panji log verify --config`` and ``panji log rebuild`` run them as ``python -m panji_server.<name>``. Exit codes are
those of the command line ``panji``: 0 done, 2 wrong usage, 4 the log is not what its head says or the database is
damaged, 5 there is nothing yet, 6 the configuration is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.errors import ConfigError, PanjiError, TransportError, VerificationError
from panji_server.config import Config, load
from panji_server.storage.base import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INPUT, _VERIFICATION, _TRANSPORT, _CONFIG = 2, 4, 5, 6


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Returns a parser with the options that all have."""
    made = argparse.ArgumentParser(prog=f"panji-server-{name}", description=description)
    made.add_argument("--config", type=Path, required=True, help="the exchange's settings, exchange.toml")
    made.add_argument("--log-key", default="", help="the log's verifier key; that of the settings unless given")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def settings(options: argparse.Namespace) -> tuple[Config, NoteVerifier]:
    """Returns the settings, whose database is there, and the log's key.

    Raises:
        ConfigError: A setting is wrong, or there is no database.
    """
    config = load(options.config)
    if not config.database.is_file():
        raise ConfigError("database", f"{config.database} is no file")
    try:
        if options.log_key:
            return config, NoteVerifier.parse(options.log_key)
        key = PrivateKeySigner.from_pem(config.log_key.read_bytes())
        return config, NoteSigner(config.origin, key).verifier
    except (OSError, PanjiError) as error:
        raise ConfigError("log_key", str(error)) from error


def run(options: argparse.Namespace, work: Callable[[], tuple[Mapping[str, Any], str]]) -> int:
    """Does the work, prints its record or its words, or what went wrong, and returns the exit code."""
    try:
        record, words = work()
    except (PanjiError, StorageError) as error:
        code, reason = _failure(error)
        failure = {"error": {"reason": reason, "message": str(error), "violations": [], "retryable": False}}
        sys.stderr.write(f"{json.dumps(failure) if options.json else f'error: {error} [{reason}]'}\n")
        return code
    sys.stdout.write(f"{json.dumps(record) if options.json else words}\n")
    return 0


def progress(options: argparse.Namespace, what: str) -> Callable[[int, int], None]:
    """Returns what shows on standard error how far the work is, where a person is looking."""
    hidden = options.json or not sys.stderr.isatty()

    def report(done: int, size: int) -> None:
        if not hidden:
            sys.stderr.write(f"\r{what} {done:,} of {size:,}{chr(10) if done == size else ''}")
            sys.stderr.flush()

    return report


def _failure(error: Exception) -> tuple[int, str]:
    match error:
        case ConfigError():
            return _CONFIG, "CONFIG_INVALID"
        case VerificationError() | StorageError():
            return _VERIFICATION, "VERIFICATION_FAILED"
        case TransportError():
            return _TRANSPORT, "TRANSPORT_FAILED"
        case _:
            return _INPUT, "INPUT_INVALID"
