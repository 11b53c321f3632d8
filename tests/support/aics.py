"""A witness and a log verifier that none of us wrote: aics-witness and aics-tlog, at the versions that we pin.

They are pure Python and need cryptography, which every environment of ours has. So they are installed once into a
folder of their own under ``.make``, and run by the Python of the tests: they declare 3.12 and run on 3.11 too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from panji.core.cosignature import WitnessVerifier

if TYPE_CHECKING:
    from types import TracebackType

    from panji.core.note import NoteVerifier

PATIENCE = 60.0
"""Seconds after which something that should have happened counts as not happening. Nobody waits for them to pass."""

_ROOT = Path(__file__).resolve().parents[2]
_PINS = _ROOT / ".ci/requirements-witness.txt"


def packages() -> Path:
    """The folder that holds the two, made when it is not there yet."""
    home = _ROOT / ".make" / f"witness-{hashlib.sha256(_PINS.read_bytes()).hexdigest()[:16]}"
    if home.exists():
        return home
    home.parent.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=home.parent))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    what = ("--require-hashes", "--no-deps", "--ignore-requires-python", "--target", made, "--requirement", _PINS)
    done = subprocess.run([*pip, *what], env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"pip could not install the independent witness from its index:\n{done.stderr}"
    try:
        made.rename(home)
    except OSError:  # another worker was faster
        shutil.rmtree(made)
    return home


def python(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs Python where the two can be imported, and nothing of ours."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=_environment() | {"PYTHONPATH": str(packages())},
        cwd=packages(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _environment() -> dict[str, str]:
    # Coverage of our own processes is not to look into theirs.
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE", "COV_"))}


class AicsWitness:
    """The witness in a process of its own, with its database in a folder."""

    def __init__(self, home: Path, name: str) -> None:
        self._config = home / "witness.json"
        home.mkdir()
        self.vkey = self._run("init", "--name", name, "--listen", "127.0.0.1:0").strip()
        self.verifier = WitnessVerifier.parse(self.vkey)
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self._log: list[str] = []

    @property
    def url(self) -> str:
        """Its submission prefix; the same after a restart."""
        return f"http://{self._listen}"

    def trust(self, log: NoteVerifier) -> None:
        """Lets it cosign a log."""
        self._run("add-log", "--origin", log.name, "--vkey", str(log))

    def evidence(self) -> list[dict[str, Any]]:
        """What it has kept of log-signed requests that contradict what it knows."""
        kept: list[dict[str, Any]] = json.loads(self._run("evidence"))
        return kept

    def start(self) -> Self:
        """Starts it, and returns once it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aics_witness", "serve", "--config", self._config, "--listen", self._listen],
            env=_environment() | {"PYTHONPATH": str(packages()), "PYTHONUNBUFFERED": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        listening = threading.Event()
        threading.Thread(target=self._read, args=(self._process.stderr, listening), daemon=True).start()
        assert listening.wait(PATIENCE), f"the witness does not listen: {self._log}"
        return self

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _read(self, stream: Any, listening: threading.Event) -> None:
        with stream:
            for line in stream:
                self._log.append(line)
                if found := re.search(r"listening on http://(127\.0\.0\.1:\d+)", line):
                    self._listen = found[1]
                    listening.set()

    def _run(self, command: str, *arguments: str) -> str:
        done = python("-m", "aics_witness", command, "--config", self._config, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout
