"""What authorities send by hand: ``panji submit``, ``panji withdraw``, and ``panji outbox`` for both sides."""

from pathlib import Path
from typing import Annotated, Any

import typer

from panji import importer
from panji.cli.boundary import Exit, describe
from panji.cli.common import (
    CaseArgument,
    JsonOption,
    LanguageOption,
    ProfileOption,
    TestOption,
    load_object,
    name_of,
    require_authority,
    session,
    statement_id,
)
from panji.cli.output import Output
from panji.cli.records import accepted, refusal_record, statement_record, summary
from panji.core.display import safe
from panji.core.statements import Flag
from panji.core.vocabulary import AuthorityKind, Category, Instrument, RequestedAction, TargetKind, Urgency
from panji.errors import ConfigError, InputError, RefusedError, Violation

_NEW = "new"
"""As an id: a new one."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("submit")(submit)
    app.command("withdraw")(withdraw)
    app.command("outbox")(outbox)


def _chosen(value: Any) -> str:
    return _NEW if value == _NEW else statement_id(value)


def submit(
    *,
    to: Annotated[str, typer.Option(help="Id of the platform.")],
    file: Annotated[
        Path | None, typer.Argument(help="A flag as JSON, - for standard input; options take precedence.")
    ] = None,
    instrument: Annotated[Instrument | None, name_of(Instrument)] = None,
    category: Annotated[Category | None, name_of(Category)] = None,
    sub_category: Annotated[
        str, typer.Option(metavar="SUB_CATEGORY", help="Of the category, where that has any.")
    ] = "",
    urgency: Annotated[Urgency | None, name_of(Urgency, "[ROUTINE]:")] = None,
    reasons: Annotated[str, typer.Option(help="Why the content breaks the law, or why it is reported.")] = "",
    kind: Annotated[TargetKind | None, name_of(TargetKind, "Of the targets [URL]:")] = None,
    url: Annotated[list[str] | None, typer.Option(help="Address of a target; repeat for more.")] = None,
    identifier: Annotated[list[str] | None, typer.Option(help="Target named by an id; repeat for more.")] = None,
    action: Annotated[list[RequestedAction] | None, name_of(RequestedAction, "Asked for; repeat [REMOVE]:")] = None,
    legal_basis: Annotated[list[str] | None, typer.Option(help='As in "ID: UU ITE, art. 27(2)"; repeat.')] = None,
    jurisdiction: Annotated[list[str] | None, typer.Option(help="Where to act: ISO 3166; repeat.")] = None,
    authority: Annotated[str, typer.Option(help="Name of the authority that issues it.")] = "",
    authority_kind: Annotated[AuthorityKind | None, name_of(AuthorityKind, "[ADMINISTRATIVE]:")] = None,
    authority_country: Annotated[str, typer.Option(help="Its country: ISO 3166-1 alpha-2.")] = "",
    reference: Annotated[str, typer.Option(help="Your file number.")] = "",
    proportionality: Annotated[str, typer.Option(help="Why less is not enough; needed for whole domains.")] = "",
    good_faith: Annotated[
        bool, typer.Option("--good-faith", help="What it says is accurate; notices need it.")
    ] = False,
    language: LanguageOption = "",
    test: TestOption = False,
    id: Annotated[  # noqa: A002 - the field's name
        str,
        typer.Option(
            parser=_chosen,
            metavar="UUID",
            help="Of your choice, a UUIDv7: repeating the command with it sends nothing twice. [new]",
        ),
    ] = "new",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Sign and submit one flag."""
    targets = [{"kind": (kind or TargetKind.URL).name, "url": one} for one in url or ()]
    targets += [{"kind": (kind or TargetKind.ACCOUNT).name, "identifier": one} for one in identifier or ()]
    given: dict[str, Any] = {
        "instrument": instrument.name if instrument else "",
        "category": category.name if category else "",
        "sub_category": sub_category.replace("-", "_"),
        "urgency": urgency.name if urgency else "",
        "reasons": reasons,
        "targets": targets,
        "requested_actions": [one.name for one in action or ()],
        "legal_basis": legal_basis or [],
        "jurisdictions": jurisdiction or [],
        "reference": reference,
        "proportionality": proportionality,
        "good_faith": good_faith,
    }
    issuer = {
        "name": authority,
        "kind": authority_kind.name if authority_kind else "",
        "jurisdiction": authority_country,
    }
    entry: dict[str, Any] = (
        load_object(file) if file is not None else {"urgency": "ROUTINE", "requested_actions": ["REMOVE"]}
    )
    entry |= {name: value for name, value in given.items() if value}
    entry.pop("id", None)
    spoken = language or entry.pop("language", "") or "en"
    flag = _flag(entry, {name: value for name, value in issuer.items() if value})
    with session(profile) as client:
        require_authority(client)
        chosen = None if id == _NEW else id
        verified = client.submit(client.flag(to, flag, language=spoken, test=test, id=chosen))
    Output(as_json=json).record(statement_record(verified), accepted(verified))


def _flag(entry: dict[str, Any], issuer: dict[str, str]) -> Flag:
    if issuer:
        named = entry.get("issuing_authority")
        entry["issuing_authority"] = {"kind": "ADMINISTRATIVE"} | (named if isinstance(named, dict) else {}) | issuer
    violations: list[Violation] = []
    flag = importer.value_of(Flag, entry, "flag", violations)
    reported = {one.field for one in violations}
    violations += [one for one in importer.flag_violations(flag) if one.field not in reported]
    if violations:
        raise InputError("The flag breaks its form", violations)
    return flag


def withdraw(
    *,
    case: CaseArgument,
    reasons: Annotated[str, typer.Option(help="Why.")],
    target: Annotated[list[int] | None, typer.Option(help="Position; repeat. [all that are open]")] = None,
    language: LanguageOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Take a flag back, in whole or per target."""
    with session(profile) as client:
        flag = client.case(case).flag
        verified = client.withdraw(flag, reasons, targets=tuple(target or ()), language=language or None)
    Output(as_json=json).record(statement_record(verified), accepted(verified))


def outbox(
    *,
    send: Annotated[bool, typer.Option("--send", help="Send all of it now; sending twice is safe.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is signed and has no answer yet, or send it."""
    out = Output(as_json=json)
    refused = 0
    damaged: list[ConfigError] = []

    def told(_: str, error: ConfigError) -> None:
        damaged.append(error)
        out.error(describe(error)[1])

    with session(profile) as client:
        waiting = client.pending(on_damaged=told)
        if not send:
            for signed in waiting:
                out.record(
                    statement_record(signed),
                    safe(f"{signed.statement.id} {signed.statement.kind}: {summary(signed)}"),
                )
            out.show(f"{len(waiting)} waiting")
        for signed, result in client.submit_many(waiting) if send else ():
            if isinstance(result, RefusedError):
                refused += 1
                record = {"type": "refused", "statement_id": signed.statement.id}
                out.record(record | refusal_record(result), safe(f"{signed.statement.id} refused: {result}"))
            else:
                out.record(statement_record(result), accepted(result))
    if damaged:
        raise typer.Exit(Exit.CONFIG)
    if refused:
        raise typer.Exit(Exit.PARTLY_REFUSED)
