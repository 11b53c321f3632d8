"""Erasing, by the operator: ``panji erase prepare``, ``panji erase sign`` and ``panji erase submit``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from panji import erasing
from panji.cli.common import CaseArgument, JsonOption, ProfileOption, session
from panji.cli.output import Output, plain
from panji.cli.records import accepted, statement_record
from panji.core.statements import Erasure, LegalBasis
from panji.errors import InputError
from panji.session import Session, Signed

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The erasure.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Erasing the content of a case, as a law demands: by two persons of the operator.")
    group.command("prepare")(prepare)
    group.command("sign")(sign)
    group.command("submit")(submit)
    app.add_typer(group, name="erase")


def prepare(
    *,
    case: CaseArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to: a file for the second person.")],
    law: Annotated[str, typer.Option(help="The law that demands it, as in 'UU 27/2022'.")],
    jurisdiction: Annotated[str, typer.Option(help="Its country: ISO 3166-1 alpha-2, or EU.")],
    reasons: Annotated[str, typer.Option(help="Why; nothing of the content.")],
    article: Annotated[str, typer.Option(help="The provision.")] = "",
    reference: Annotated[str, typer.Option(help="File number of the order.")] = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Prepare the erasure of a case and sign it as the first person. Nothing is erased yet."""
    basis = LegalBasis(jurisdiction=jurisdiction, law=law, article=article)
    with session(profile) as client:
        outline = client.describe_case(case)
        now = datetime.now(UTC)
        statements = erasing.erasures(client.session, outline, basis, reasons, reference=reference, now=now)
    _write(out, statements, new=True)
    record = {"type": "erasure", "case_id": case, "statements": len(outline.said), "file": out}
    told = (
        f"Case {case} between {outline.authority} and {outline.platform}, opened {plain(outline.opened_at)}: "
        f"{len(outline.said)} statements would be erased.\nA second person signs it: panji erase sign {out}"
    )
    Output(as_json=json).record(record, told)


def sign(*, file: FileArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Sign an erasure that another person has prepared. It is shown; read it."""
    with session(profile) as client:
        statements = [client.session.cosign(one.envelope) for one in _read(file, client.session)]
    _write(file, statements)
    body = statements[0].statement.body
    assert isinstance(body, Erasure)  # noqa: S101 - _read has seen to it
    record = {"type": "erasure", "case_id": statements[0].statement.case_id, "body": body, "file": file}
    basis = " ".join(filter(None, (body.legal_basis.jurisdiction, body.legal_basis.law, body.legal_basis.article)))
    told = (
        f"Signed: {len(body.statements)} statements of case {statements[0].statement.case_id}, under {basis}: "
        f"{body.reasons}\nSubmit it: panji erase submit {file}"
    )
    Output(as_json=json).record(record, told)


def submit(*, file: FileArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Submit an erasure that two persons have signed. The content is gone for good; proofs and digests stay."""
    with session(profile) as client:
        done = client.erase(_read(file, client.session))
    out = Output(as_json=json)
    for one in done:
        out.record(statement_record(one), accepted(one))


def _read(file: Path, session: Session) -> list[Signed]:
    try:
        return erasing.from_file(file.read_text("utf-8"), session)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def _write(file: Path, statements: list[Signed], *, new: bool = False) -> None:
    try:
        if new:
            file.touch(exist_ok=False)
        # In one step: a file that two persons have signed is never half there.
        beside = file.with_name(f"{file.name}.new")
        beside.write_text(erasing.to_file(statements), "utf-8")
        beside.replace(file)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
