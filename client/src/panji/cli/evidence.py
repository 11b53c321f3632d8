"""Evidence: ``panji evidence export``, ``panji evidence verify`` and ``panji evidence summary``."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from panji.cli.common import KEY_VARIABLE, JsonOption, ProfileOption, session, trusted
from panji.cli.output import Output
from panji.core.tlog_policy import parse_policy
from panji.errors import InputError
from panji.evidence import summary, verdict
from panji.evidence.texts import Language
from panji.evidence.verify import Evidence, verify
from panji.files import read_directory

SUFFIX = ".evidence.zip"

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]
LogKeyOption = Annotated[str, typer.Option(envvar=KEY_VARIABLE, help="The log's verifier key. [the profile's]")]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(help="A directory.toml of your own. [the profile's; else as the operator recorded it in the log]"),
]
PolicyOption = Annotated[
    Path | None, typer.Option(help="A tlog-policy: these witnesses must have cosigned the head. [the profile's]")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Evidence: a case in one file, for the court, checkable offline.")
    group.command("export")(export)
    group.command("verify")(verify_file)
    group.command("summary")(show_summary)
    app.add_typer(group, name="evidence")


def export(
    *,
    case: Annotated[str, typer.Argument(help="Id of the case.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help=f"Where to. [CASE{SUFFIX} in the current folder]")
    ] = None,
    without_content: Annotated[
        bool, typer.Option("--without-content", help="Leave out what the sides said; its proof stays.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Write one file that proves a case: statements, receipts, keys, a summary, and how to check it all by hand."""
    with session(profile) as client:
        data = client.evidence(case, with_content=not without_content)
        known = client.session
    evidence = verify(data, known.log, directory=known.directory)
    path = out or Path(f"{evidence.content.case.id}{SUFFIX}")
    _write(path, data)
    record = {"type": "export", "case_id": evidence.content.case.id, "file": path, "bytes": len(data)}
    record |= {"with_content": not without_content, "statements": len(evidence.signers)}
    Output(as_json=json).record(
        record, f"{path}: {verdict.count(len(evidence.signers), 'statement')}, {len(data)} bytes"
    )


def verify_file(
    *,
    file: FileArgument,
    log_key: LogKeyOption = "",
    directory: DirectoryOption = None,
    policy: PolicyOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Check a bundle offline, and say in one line what it proves and what it does not."""
    evidence = _verified(file, log_key, directory, policy, profile)
    Output(as_json=json).record(verdict.record(evidence), verdict.line(evidence))


def show_summary(
    *,
    file: FileArgument,
    language: Annotated[Language, typer.Option("--lang", help="Of the page.")] = Language.EN,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to. [standard output]")] = None,
    log_key: LogKeyOption = "",
    directory: DirectoryOption = None,
    policy: PolicyOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Check a bundle, and give its summary: an HTML page that prints well."""
    evidence = _verified(file, log_key, directory, policy, profile)
    page = summary.render(evidence.content, language)
    if out is not None:
        _write(out, page.encode())
        page = ""
    record = {"type": "summary", "case_id": evidence.content.case.id, "language": language, "file": out, "html": page}
    Output(as_json=json).record(record, page or f"{out}: {verdict.line(evidence)}")


def _verified(file: Path, log_key: str, directory: Path | None, policy: Path | None, profile: Path | None) -> Evidence:
    log, known = trusted(log_key, profile)
    if known is not None:
        directory, policy = directory or known.directory, policy or known.policy
    return verify(
        _bytes(file),
        log,
        directory=read_directory(directory) if directory is not None else None,
        policy=parse_policy(_bytes(policy)) if policy is not None else None,
        now=datetime.now(UTC),
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file for its owner alone: it holds content and salts."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
