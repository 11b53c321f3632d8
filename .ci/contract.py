"""The contract's generated code and descriptor image: `make protos` generates, `make check` compares."""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("panji", "v1")
DOCSTRING = '"""Generated from ``protos/panji/v1`` by ``make protos``; never edited."""\n'


def main() -> int:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    write = commands.add_parser("generate", help="write the Python code")
    write.set_defaults(run=lambda _: generate(ROOT / "client/src"))
    commands.add_parser("check", help="fail if the committed code is not what the protos give").set_defaults(run=check)
    image = commands.add_parser("image", help="write a descriptor image, which is what buf reads")
    image.add_argument("out", type=Path)
    image.set_defaults(run=lambda arguments: write_image(arguments.out))
    arguments = parser.parse_args()
    return int(arguments.run(arguments) or 0)


def generate(out: Path) -> None:
    """Replace the generated package below ``out``."""
    package = out / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for stale in package.glob("*.py*"):
        stale.unlink()
    _protoc(
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=readable_stubs,quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    )
    for name in _without_services():  # the plugins write a module for every file, services or none
        for suffix in (".py", ".pyi"):
            (package / f"{name}_pb2_grpc{suffix}").unlink()
    (package / "__init__.py").write_text(DOCSTRING)


def check(_arguments: argparse.Namespace) -> int:
    """Compare the committed package with a fresh one."""
    committed = ROOT / "client/src" / PACKAGE
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = Path(scratch) / PACKAGE
        names = {path.name for folder in (committed, fresh) for path in folder.glob("*.py*")}
        _, different, missing = filecmp.cmpfiles(committed, fresh, names, shallow=False)
    for name in sorted(different + missing):
        print(f"client/src/{PACKAGE}/{name} is not what protos/ gives: run `make protos`")
    return 1 if different or missing else 0


def write_image(out: Path) -> None:
    """Write the contract with all it imports and every comment as one ``FileDescriptorSet``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={out}")


def _without_services() -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "image"
        _protoc(f"--descriptor_set_out={out}")
        image = FileDescriptorSet.FromString(out.read_bytes())
    return [Path(file.name).stem for file in image.file if not file.service]


def _protoc(*arguments: str) -> None:
    includes = (
        PROTOS,
        Path(str(resources.files("grpc_tools") / "_proto")),  # google/protobuf
        Path(sysconfig.get_path("purelib")),  # google/rpc, from googleapis-common-protos
    )
    files = sorted((PROTOS / PACKAGE).glob("*.proto"))
    # The plugins are found on the path; they lie beside this interpreter.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{one}" for one in includes), *arguments, *map(str, files)],
        check=True,
        env={**os.environ, "PATH": path},
    )


if __name__ == "__main__":
    sys.exit(main())
