"""Proof: ``panji receipt export``, ``panji receipt verify`` and ``panji checkpoint``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from panji.cli.common import KEY_VARIABLE, JsonOption, ProfileOption, load_profile, session, statement_id, trusted
from panji.cli.output import Output, plain
from panji.client import Client
from panji.core.checkpoint import Checkpoint, open_checkpoint
from panji.core.directory import parse_directory
from panji.core.receipt import Receipt
from panji.core.statements import Statement
from panji.errors import InputError, Reason, RefusedError
from panji.session import Verified
from panji.trust import Trust, logged
from panji.wire.receipts import encode_receipt, parse_receipt
from panji.witnesses import Witnessed

ENVELOPE_SUFFIX = ".envelope"
RECEIPT_SUFFIX = ".receipt"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("checkpoint")(checkpoint)
    group = typer.Typer(help="Receipts: proof for the court, checkable offline.")
    group.command("export")(export)
    group.command("verify")(verify)
    app.add_typer(group, name="receipt")


def checkpoint(profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show the log's newest head, verified against the one seen before, and who has cosigned it by our policy."""
    with session(profile) as client:
        head = client.checkpoint()
        witnessed = client.witnessed() if head.size and load_profile(profile).policy is not None else None
    record = {"type": "checkpoint", "origin": head.origin, "size": head.size, "root": head.root_text}
    lines = [head.origin, str(head.size), head.root_text]
    if witnessed is not None:
        record |= {"witnessed_size": witnessed.checkpoint.size, "witnesses": _words(witnessed)}
        lines += [f"{one['witness']} cosigned {witnessed.checkpoint.size} at {one['at']}" for one in _words(witnessed)]
    Output(as_json=json).record(record, "\n".join(lines))


def _words(witnessed: Witnessed) -> list[dict[str, Any]]:
    return [{"witness": name, "key": str(one.witness), "at": plain(one.at)} for name, one in witnessed.cosignatures]


def export(
    *,
    identifier: Annotated[
        str,
        typer.Argument(
            parser=statement_id, metavar="ID", help="Id of a case, for all of its statements, or of one statement."
        ),
    ],
    directory: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path(),
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Write envelopes and receipts to files, which prove a statement to anyone who has the log's key."""
    with session(profile) as client:
        found = _statements(client, identifier)
    out = Output(as_json=json)
    directory.mkdir(parents=True, exist_ok=True)
    for one in found:
        base = directory / one.statement.id
        paths = [base.with_name(base.name + suffix) for suffix in (ENVELOPE_SUFFIX, RECEIPT_SUFFIX)]
        for path, content in zip(paths, (one.envelope, encode_receipt(one.receipt)), strict=True):
            path.write_bytes(content)
        record = {"type": "export", "statement_id": one.statement.id, "kind": one.statement.kind}
        out.record(record | {"envelope": paths[0], "receipt": paths[1]}, f"{one.statement.kind}: {paths[1]}")


def _statements(client: Client, identifier: str) -> tuple[Verified, ...]:
    try:
        return client.case(identifier).statements
    except RefusedError as refusal:
        if refusal.reason is not Reason.CASE_NOT_FOUND:
            raise
        # A reply has an id of its own, which names no case: look through ours.
        for test in (False, True):
            for case in client.cases(test=test, on_unverified=lambda *_: None):  # `case list` tells of those
                for one in case.statements:
                    if one.statement.id == identifier:
                        return (one,)
        raise


def verify(
    *,
    receipt: Annotated[Path, typer.Argument(help="The receipt's file, NAME.receipt.")],
    envelope: Annotated[Path | None, typer.Option(help="The envelope's file. [beside the receipt]")] = None,
    log_key: Annotated[str, typer.Option(envvar=KEY_VARIABLE, help="The log's verifier key. [the profile's]")] = "",
    directory: Annotated[
        Path | None, typer.Option(help="A directory.toml: verifies who the sender is, too. [the profile's]")
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Check offline that a statement is in the log: its envelope, its receipt and the log's key are all it takes."""
    if receipt.suffix == ENVELOPE_SUFFIX:
        raise InputError(f"{receipt} is an envelope: give the {RECEIPT_SUFFIX} beside it")
    claimed = parse_receipt(_bytes(receipt))
    log, known = trusted(log_key, profile)
    if known is not None:
        directory = directory or known.directory
    data = _bytes(envelope or receipt.with_suffix(ENVELOPE_SUFFIX))
    head = open_checkpoint(claimed.checkpoint, log)
    signers: Sequence[str] | None = None
    if directory is None:
        statement = logged(data, claimed, head)
    else:
        trust = Trust(log.name, parse_directory(_bytes(directory).decode("utf-8", "replace")))
        verified = trust.statement(data, claimed, head)
        statement, signers = verified.statement, verified.signers
    _show(Output(as_json=json), statement, claimed, head, signers)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _show(out: Output, statement: Statement, it: Receipt, head: Checkpoint, signers: Sequence[str] | None) -> None:
    record = {
        "type": "receipt",
        "verified": True,
        "statement_id": statement.id,
        "kind": it.kind,
        "sender": statement.sender,
        "sender_verified": signers is not None,
        "recipient": it.recipient,
        "sequence": it.sequence,
        "received_at": it.received_at,
        "digest": it.digest,
        "index": it.index,
        "origin": head.origin,
        "log_size": head.size,
        "root": head.root_text,
        "signers": signers,
    }
    sender = f"From {statement.sender}, by {len(signers or ())} of its keys,"
    if signers is None:
        sender = f"By its own word from {statement.sender}: NOT verified, that takes --directory. It went"
    out.record(
        record,
        f"Verified: {it.kind} {statement.id}, SHA-256 {it.digest.hex()},\n"
        f"is entry {it.index} of {head.origin} since {plain(it.received_at)} (log of {head.size}).\n"
        f"{sender} to {it.recipient}, number {it.sequence} there.",
    )
