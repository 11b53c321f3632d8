"""The two wheels install apart: a participant gets no part of the exchange and none of its requirements."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE", "COV_"))}

pytestmark = pytest.mark.xdist_group("wheels")  # built and installed once, not once a worker


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(project: str, out: Path) -> Path:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT / project)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("client", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("server", tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def fresh(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that got the client's wheel and what that asks for, at the pinned versions."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False)
    programs = home / "bin"
    pins = home / "pins.txt"  # without hashes: pip takes those only where every requirement is named
    lines = (ROOT / ".ci/requirements.txt").read_text().splitlines()
    pins.write_text("\n".join(line.removesuffix("\\") for line in lines if "==" in line))
    run(*PIP, "--python", programs / "python", "install", "--constraint", pins, client_wheel)
    return programs


def test_client_brings_no_requirement_of_the_server(fresh: Path) -> None:
    listed = json.loads(run(*PIP, "--python", fresh / "python", "list", "--format=json"))
    installed = {canonical(one["name"]) for one in listed}
    servers = requirements("server") - requirements("client") - {"panji"}

    assert servers >= {"pydantic", "pydantic-settings", "uvloop", "grpcio-reflection"}  # what the test is about
    assert installed >= requirements("client") | {"panji"}
    assert not installed & (servers | {"panji-server", "pydantic-core"})


def test_client_runs_alone(fresh: Path, tmp_path: Path) -> None:
    assert "panji" in run(fresh / "panji", "--help", cwd=tmp_path)
    run(fresh / "python", "-I", "-c", "import panji.client, panji.core.receipt", cwd=tmp_path)


def test_server_is_not_there(fresh: Path, tmp_path: Path) -> None:
    found = "import importlib.util as u; print(u.find_spec('panji_server'), u.find_spec('pydantic'))"
    assert run(fresh / "python", "-I", "-c", found, cwd=tmp_path).split() == ["None", "None"]


def test_wheels_install_one_typed_package_each(client_wheel: Path, server_wheel: Path) -> None:
    for wheel, package in ((client_wheel, "panji"), (server_wheel, "panji_server")):
        names = ZipFile(wheel).namelist()
        top = {name.partition("/")[0] for name in names}
        assert {one for one in top if not one.endswith(".dist-info")} == {package}
        assert f"{package}/py.typed" in names


def test_server_requires_the_client_of_its_own_version(client_wheel: Path, server_wheel: Path) -> None:
    client, server = metadata(client_wheel), metadata(server_wheel)
    assert server["Version"] == client["Version"]
    assert f"panji=={client['Version']}" in server.get_all("Requires-Dist", [])


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements(project: str) -> set[str]:
    settings: dict[str, Any] = tomllib.loads((ROOT / project / "pyproject.toml").read_text())
    return {canonical(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in settings["project"]["dependencies"]}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
