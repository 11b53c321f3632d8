"""The rules of the house: what the tree holds, what is pinned, what is generated, and that the vocabularies agree."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from panji.core import vocabulary
from panji.v1 import statement_pb2, vocabulary_pb2

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = ("client", "server")
PINS = (ROOT / ".ci/requirements.txt", ROOT / ".ci/requirements-dev.txt")
GENERATED = ROOT / "client/src/panji/v1"
TARGETS = {"help", "demo", "test", "check", "protos", "bench", "chaos", "serve", "clean"}
VOCABULARIES = {
    name: one
    for name, one in vars(vocabulary).items()
    if isinstance(one, type) and issubclass(one, IntEnum) and one is not IntEnum
}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def texts() -> list[tuple[str, str]]:
    """Every text of the tree that is, or would be, committed."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    assert listed.returncode == 0, listed.stderr
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        try:
            found.append((name, path.read_text()))
        except (UnicodeDecodeError, FileNotFoundError):  # a binary file; one deleted and not yet committed
            continue
    return found


# The tree.


# Written in halves, since this file is of the tree too.
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(
            r"\bpypi\." + "org|python" + r"hosted|npm" + r"js\.(org|com)|proxy\.golang", id="a registry's host"
        ),
        pytest.param("(?<![.\\w])/(work|ro" + "ot|opt)/", id="a path of one machine"),
        pytest.param(
            r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b|\bfor n" + r"ow\b(?! in\b)|place" + "holder", id="a promise"
        ),
    ],
)
def test_no_file_holds(pattern: str) -> None:
    held = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert held == []


@pytest.mark.parametrize("name", ["protos", "client", "server"])
def test_no_top_level_package_takes_the_name_of_a_folder(name: str) -> None:
    importable = [ROOT, ROOT / "tests", ROOT / "client/src", ROOT / "server/src"]
    assert not [folder for folder in importable if (folder / name / "__init__.py").exists()]
    assert not [folder for folder in importable[1:] if (folder / name).exists()]


# The front door.


def test_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    helped = {line.split()[0] for line in run("make", "--no-print-directory", "help").stdout.splitlines()}
    assert helped == set(phony[1].split())
    assert helped >= TARGETS


def test_ci_calls_what_a_person_calls() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^exec (.*)$", script, re.MULTILINE) == ["make check test"]


# Pins.


@pytest.mark.parametrize("pins", [*PINS, ROOT / ".ci/requirements-witness.txt"], ids=lambda path: path.name)
def test_every_pin_has_hashes_and_names_no_index(pins: Path) -> None:
    text = re.sub(r"^#.*\n", "", pins.read_text(), flags=re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(
            r"^[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; [^\\]+)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry + "\n"
        ), entry


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
@pytest.mark.parametrize("project", PROJECTS)
def test_pins_satisfy_what_the_distributions_declare(project: str, pins: Path) -> None:
    pinned = versions(pins)
    for line in settings(project)["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name != "panji":
            assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_both_pin_files_agree() -> None:
    runtime, dev = (versions(path) for path in PINS)
    assert runtime.items() <= dev.items()


def test_the_distributions_have_one_version() -> None:
    client, server = (settings(project)["project"] for project in PROJECTS)
    assert client["version"] == server["version"]
    assert f"panji=={client['version']}" in server["dependencies"]


# Generated code.


@pytest.mark.parametrize(
    ("distribution", "modules", "pattern"),
    [
        ("protobuf", "*_pb2.py", r"^# Protobuf Python Version: (.*)$"),
        ("grpcio", "*_pb2_grpc.py", r"^GRPC_GENERATED_VERSION = '(.*)'$"),
    ],
)
def test_the_generator_is_the_floor_that_the_client_declares(distribution: str, modules: str, pattern: str) -> None:
    generators = {
        version for path in GENERATED.glob(modules) for version in re.findall(pattern, path.read_text(), re.MULTILINE)
    }
    declared = {one.name: one.specifier for one in map(Requirement, settings("client")["project"]["dependencies"])}
    assert {str(declared[distribution])} == {f">={version}" for version in generators}


def test_breaking_the_contract_is_caught(tmp_path: Path) -> None:
    released = ROOT / ".ci/contract.binpb"
    image = FileDescriptorSet.FromString(released.read_bytes())
    envelope = next(one for file in image.file for one in file.message_type if one.name == "Envelope")
    assert breaking(released, released).returncode == 0

    removed = envelope.field.pop().name
    (tmp_path / "broken.binpb").write_bytes(image.SerializeToString())
    found = breaking(tmp_path / "broken.binpb", released)

    assert found.returncode
    assert f'"{removed}" on message "Envelope" was deleted' in found.stdout


def breaking(image: Path, released: Path) -> subprocess.CompletedProcess[str]:
    buf = Path(sysconfig.get_path("scripts"), "buf")
    return run(buf, "breaking", image, "--against", released, "--config", ROOT / "buf.yaml")


# Vocabularies.


def test_every_vocabulary_of_the_contract_is_the_cores() -> None:
    assert set(VOCABULARIES) == set(vocabulary_pb2.DESCRIPTOR.enum_types_by_name)


@pytest.mark.parametrize("name", sorted(VOCABULARIES))
def test_vocabularies_agree_name_by_name_and_number_by_number(name: str) -> None:
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper() + "_"
    wire = {one.name: one.number for one in vocabulary_pb2.DESCRIPTOR.enum_types_by_name[name].values}
    core = {prefix + member: int(value) for member, value in VOCABULARIES[name].__members__.items()}
    assert core == wire


def test_every_kind_is_a_body_of_the_statement() -> None:
    (body,) = statement_pb2.DESCRIPTOR.message_types_by_name["Statement"].oneofs
    assert {str(kind) for kind in vocabulary.Kind} == {field.name for field in body.fields}


# Readers.


def settings(project: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / project / "pyproject.toml").read_text())


def versions(pins: Path) -> dict[str, Version]:
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", pins.read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}
