"""Run the examples of README.md and docs/, each in a process of its own, against a real development exchange.

The line before a fence says what is checked:

``<!-- check: run -->``
    The Python below runs to its end. Its working directory is a development exchange as `panji init` makes it, served
    on a free port, one exchange for the examples of one file. It lies where `make serve` puts it in a clone, and
    `../../examples` is ours.
``<!-- check: commands -->``
    The shell's commands below run to their end, in the same place.
``<!-- check: keys -->``, ``<!-- check: configuration -->``, ``<!-- check: unit -->``
    Tests of the repository put the blocks of one page together and use what comes out.
``<!-- check: shell -->``
    The commands below are not run; every `make` target and every `panji` command that they name exists.

In README.md no Python fence goes unchecked.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from panji import development

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sysconfig.get_path("scripts")
PANJI = str(Path(SCRIPTS, "panji"))
RUN = {"run": (sys.executable,), "commands": ("bash", "-euo", "pipefail")}
"""What runs the blocks that are run."""
BY_TESTS = {"keys", "configuration", "unit"}
"""Checks that tests make."""
PATIENCE = 60
"""Seconds that an exchange has to get ready, and an example to end."""

_BLOCK = re.compile(
    r"^(?:<!-- check: (?P<check>\w+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def main() -> int:
    """Check every page; print what failed."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    failures = [failure for page in pages for failure in _check(page)]
    for failure in failures:
        print(failure)
    return 1 if failures else 0


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that name their language."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start("text")), match["language"], match["check"] or "", match["text"])
        for match in _BLOCK.finditer(text)
    ]


def _check(page: Path) -> Iterator[str]:
    found = blocks(page)
    for block in found:
        if block.check not in {"", "shell", *BY_TESTS, *RUN}:
            yield f"{block}: there is no check called {block.check!r}"
        if page.name == "README.md" and block.language == "python" and block.check != "run":
            yield f"{block}: Python in the README runs; put <!-- check: run --> before it"
        if block.check == "shell":
            yield from _commands(block)
    if runnable := [block for block in found if block.check in RUN]:
        with _clone() as clone, _exchange(clone / ".demo/exchange") as directory:
            for block in runnable:
                yield from run(block, directory)


def _commands(block: Block) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^(?:\$ )?make ([a-z]+)", block.text, re.MULTILINE):
        if not re.search(rf"^{target}:", makefile, re.MULTILINE):
            yield f"{block}: `make {target}` is no target"
    for command in re.findall(r"^(?:\$ )?panji ([a-z]+)", block.text, re.MULTILINE):
        if subprocess.run([PANJI, command, "--help"], capture_output=True, check=False).returncode:
            yield f"{block}: `panji {command}` is no command"


def run(block: Block, directory: Path) -> Iterator[str]:
    """Run a block in a development exchange's folder; gives what failed, if anything."""
    try:
        done = subprocess.run(
            [*RUN[block.check], "-c", block.text],
            cwd=directory,
            env=os.environ | {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield f"{block}: the example did not end in {PATIENCE} s"
    else:
        if done.returncode:
            yield f"{block}: the example failed\n{done.stdout}{done.stderr}"
        elif not done.stdout:
            yield f"{block}: the example prints nothing"


@contextlib.contextmanager
def _clone() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / ".demo").mkdir()
        (Path(scratch) / "examples").symlink_to(ROOT / "examples")
        yield Path(scratch)


@contextlib.contextmanager
def _exchange(directory: Path) -> Iterator[Path]:
    made = development.init(directory, now=datetime.now(UTC))
    command = [sys.executable, "-m", "panji_server", "--config", str(made.config)]
    log = directory.parent / "exchange.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as server:
        try:
            _wait_until_serving(made.profiles["kominfo"], server)
            yield directory
        except TimeoutError:
            print(log.read_text())
            raise
        finally:
            server.terminate()


def _wait_until_serving(profile: Path, server: subprocess.Popen[bytes]) -> None:
    settings = tomllib.loads(profile.read_text())
    ca, certificate, key = ((profile.parent / settings[name]).read_bytes() for name in ("ca", "certificate", "key"))
    options = [
        ("grpc.ssl_target_name_override", settings["server_name"]),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
    ]
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    with grpc.secure_channel(settings["address"], credentials, options) as channel:
        for _second in range(PATIENCE):
            with contextlib.suppress(grpc.RpcError):
                answer = HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True, timeout=1)
                if answer.status == HealthCheckResponse.SERVING:
                    return
            if server.poll() is not None:
                break
    raise TimeoutError("the development exchange does not serve")


if __name__ == "__main__":
    sys.exit(main())
