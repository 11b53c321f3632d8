"""The log: ``panji log head``, ``prove``, ``consistency``, ``verify``, ``mirror`` and ``rebuild``."""

import base64
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from panji.cli.common import KEY_VARIABLE, NO_SERVER, JsonOption, ProfileOption, load_profile, session
from panji.cli.output import Output, plain
from panji.core import merkle
from panji.core.audit import Audited, LogReader, Nodes, audit
from panji.core.checkpoint import MAX_SIZE, Checkpoint, open_checkpoint
from panji.core.entry import Entry
from panji.core.note import MAX_BYTES, NoteVerifier
from panji.core.tiles import ENTRIES, WIDTH, Tile, split_entries, width_of
from panji.core.tlog_proof import TlogProof
from panji.errors import ConfigError, InputError, NoteError
from panji.logs.exchange import ExchangeReader
from panji.logs.files import DirectoryReader
from panji.logs.mirror import mirror as mirror_log
from panji.logs.reading import read_ahead
from panji.logs.web import WebReader

UrlOption = Annotated[str, typer.Option("--url", help="Read the log over HTTP, at this URL. [your exchange, by gRPC]")]
TilesOption = Annotated[
    Path | None, typer.Option("--tiles", show_default=False, help="Read the log from this directory of tiles.")
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", show_default=False, help="PEM of who vouches for the URL. [the system's]")
]
KeyOption = Annotated[str, typer.Option("--log-key", envvar=KEY_VARIABLE, help="Verifier key. [the profile's]")]
OutOption = Annotated[Path | None, typer.Option("--out", show_default=False, help="Write it to this file.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The log: what anyone may check, with the log's key and nobody's word.")
    for command in (head, prove, consistency, verify, mirror, rebuild):
        group.command()(command)
    app.add_typer(group, name="log")


class _Source(NamedTuple):
    """Where a log is read from, and what is known of it beforehand."""

    reader: LogReader
    log: NoteVerifier
    older: list[Checkpoint]

    def newest(self) -> tuple[str, Checkpoint]:
        """The newest head as it was signed, and opened."""
        signed = self.reader.checkpoint()
        return signed, open_checkpoint(signed, self.log)


@contextmanager
def _source(url: str, tiles: Path | None, ca: Path | None, log_key: str, profile: Path | None) -> Iterator[_Source]:
    if url and tiles:
        raise InputError("the log is read from --url or from --tiles, not from both")
    log = _key(log_key) if log_key else load_profile(profile).log
    if url:
        with WebReader(url, ca=ca) as reader:
            yield _Source(reader, log, [])
    elif tiles:
        yield _Source(DirectoryReader(tiles), log, [])
    else:
        with session(profile) as client:
            # This compares with the head that was kept from before; the audit then does so with every entry.
            yield _Source(ExchangeReader(client), log, [client.checkpoint()])


def _key(text: str) -> NoteVerifier:
    try:
        return NoteVerifier.parse(text)
    except NoteError as error:
        raise InputError(f"--log-key is no verifier key: {error}") from error


def head(
    *,
    url: UrlOption = "",
    tiles: TilesOption = None,
    ca: CaOption = None,
    out: OutOption = None,
    log_key: KeyOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the newest head as the log signed it, verified. Keep it: 'verify --since' holds the log to it."""
    with _source(url, tiles, ca, log_key, profile) as source:
        signed, newest = source.newest()
    record = {"type": "head", "origin": newest.origin, "size": newest.size, "root": newest.root_text}
    _print(Output(as_json=json), record | {"checkpoint": signed}, signed, out)


def prove(
    *,
    index: Annotated[int, typer.Argument(min=0, help="Index of the entry, from 0.")],
    url: UrlOption = "",
    tiles: TilesOption = None,
    ca: CaOption = None,
    out: OutOption = None,
    log_key: KeyOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that an entry is in the log, as a C2SP tlog-proof: checkable offline with the log's key."""
    with _source(url, tiles, ca, log_key, profile) as source:
        signed, newest = source.newest()
        if index >= newest.size:
            raise InputError(f"the log has {newest.size} entries, so there is none of index {index}")
        number, offset = divmod(index, WIDTH)
        bundle = Tile(ENTRIES, number, width_of(ENTRIES, number, newest.size))
        raw = split_entries(bundle, source.reader.tile(bundle))[offset]
        proof = merkle.inclusion_proof(index, newest.size, Nodes(source.reader, newest.size))
    merkle.verify_inclusion(merkle.leaf_hash(raw), index, newest.size, proof, newest.root)
    entry = Entry.decode(raw)
    text = TlogProof(index, proof, signed).encode()
    record = {"type": "inclusion", "index": index, "size": newest.size, "root": newest.root_text}
    record["proof"] = _base64(proof)
    record |= {"kind": entry.kind, "received_at": entry.received_at, "commitment": entry.commitment}
    _print(Output(as_json=json), record | {"tlog_proof": text}, text, out)


def consistency(
    *,
    old: Annotated[str, typer.Argument(help="The older size, or a file with an older signed checkpoint.")],
    new: Annotated[str, typer.Argument(help="Likewise the newer. [the newest]")] = "",
    url: UrlOption = "",
    tiles: TilesOption = None,
    ca: CaOption = None,
    log_key: KeyOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that the log of one size only appends to that of another, without reading all of it."""
    with _source(url, tiles, ca, log_key, profile) as source:
        _, newest = source.newest()
        nodes = Nodes(source.reader, newest.size)
        earlier = _head_of(old, newest, nodes, source.log)
        later = _head_of(new, newest, nodes, source.log) if new else newest
        if earlier.size > later.size:
            raise InputError(f"the older size, {earlier.size}, is the larger one")
        proof = merkle.consistency_proof(earlier.size, later.size, nodes)
        onward = merkle.consistency_proof(later.size, newest.size, nodes)
    # The newest root is signed; what was computed from tiles is proven by leading to it.
    merkle.verify_consistency(later.size, newest.size, onward, later.root, newest.root)
    merkle.verify_consistency(earlier.size, later.size, proof, earlier.root, later.root)
    record = {"type": "consistency", "origin": newest.origin, "old_size": earlier.size, "old_root": earlier.root_text}
    lines = _base64(proof)
    record |= {"new_size": later.size, "new_root": later.root_text, "proof": lines}
    told = f"{newest.origin}: {later.size} entries only append to {earlier.size}{_proof_told(earlier, later)}"
    Output(as_json=json).record(record, "\n".join([told, *lines]))


def _proof_told(earlier: Checkpoint, later: Checkpoint) -> str:
    """What comes after the sentence: the proof, or why there are no lines of it."""
    if earlier.size == later.size:
        return f": they are the same, with the same root {later.root_text}, and there is nothing else to prove"
    if not earlier.size:
        return ": every log begins with none, so there is nothing to prove"
    return ". Proof (RFC 6962, 2.1.2), base64:"


def _head_of(text: str, newest: Checkpoint, nodes: Nodes, log: NoteVerifier) -> Checkpoint:
    """A size's head as the tiles make it, or a signed one of a file."""
    if not (text.isascii() and text.isdigit()):
        signed = _signed(Path(text), log)
        if signed.size > newest.size:
            raise NoteError(f"the log is of {newest.size} entries, but it had signed {signed.size} before")
        return signed
    if len(text) > len(str(MAX_SIZE)) or (size := int(text)) > newest.size:
        raise InputError(f"the log has {newest.size} entries, and not that many")
    return Checkpoint(newest.origin, size, nodes.root(size))


def verify(
    *,
    url: UrlOption = "",
    tiles: TilesOption = None,
    config: Annotated[
        Path | None, typer.Option("--config", show_default=False, help="Audit the database of this exchange.toml.")
    ] = None,
    since: Annotated[
        list[Path] | None,
        typer.Option("--since", show_default=False, help="A head signed before, which the log must extend; repeat."),
    ] = None,
    ca: CaOption = None,
    log_key: KeyOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Audit the whole log: every entry, every tile, the root, the order of time, and nothing rewritten."""
    if config is not None:
        if url or tiles:
            raise InputError("--config is a source of its own, beside --url and --tiles")
        _verify_database(config, since or [], log_key, as_json=json)
    out = Output(as_json=json)
    with _source(url, tiles, ca, log_key, profile) as source, _Bar(out, "auditing") as bar:
        older = [*source.older, *(_signed(path, source.log) for path in since or [])]
        audited = audit(source.reader, source.log, older=older, fetch=read_ahead, report=bar.report)
    _tell(out, "audit", audited)


def _verify_database(config: Path, since: list[Path], log_key: str, *, as_json: bool) -> NoReturn:
    _with_the_database("verify", config, log_key, *(w for path in since for w in ("--since", str(path))), json=as_json)


def rebuild(
    *,
    config: Annotated[Path, typer.Option("--config", show_default=False, help="The exchange's settings.")],
    check: Annotated[bool, typer.Option("--check", help="Keep nothing: only compare.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", show_default=False, help="Where to keep the database that is made.")
    ] = None,
    log_key: KeyOption = "",
    json: JsonOption = False,
) -> None:
    """Make every table anew from the log, and compare record by record. The first difference is named."""
    if check == (out is not None):
        raise InputError("say --check, or --out FILE for where to keep the database that is made")
    _with_the_database("rebuild", config, log_key, *(["--out", str(out)] if out else []), json=json)


def _with_the_database(program: str, config: Path, log_key: str, *more: str, json: bool) -> NoReturn:
    if importlib.util.find_spec("panji_server") is None:
        raise ConfigError("panji-server", NO_SERVER)
    arguments = ["--config", str(config), *more]
    arguments += [*(["--log-key", log_key] if log_key else []), *(["--json"] if json else [])]
    command = [sys.executable, "-m", f"panji_server.{program}", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - no shell; its exit codes are ours


def mirror(
    *,
    directory: Annotated[Path, typer.Argument(help="The copy; made when there is none, else brought up to date.")],
    url: UrlOption = "",
    tiles: TilesOption = None,
    ca: CaOption = None,
    log_key: KeyOption = "",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Copy the log to a directory that any static web server can publish. Only what is proven is written."""
    out = Output(as_json=json)
    with _source(url, tiles, ca, log_key, profile) as source, _Bar(out, "mirroring") as bar:
        mirrored = mirror_log(source.reader, directory, source.log, report=bar.report)
    _tell(out, "mirror", mirrored)


class _Bar:
    """A progress bar on standard error, where a person is looking."""

    def __init__(self, out: Output, what: str) -> None:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        disable = out.as_json or not out.errors.is_terminal
        self._progress = Progress(*columns, console=out.errors, disable=disable)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, read: int, size: int) -> None:
        """Note how many entries were read, and of how many."""
        self._progress.update(self._task, completed=read, total=size)


def _tell(out: Output, kind: str, audited: Audited) -> None:
    out.record({"type": kind} | audited.record(), f"Verified: {audited}.")


def _print(out: Output, record: dict[str, object], text: str, file: Path | None) -> None:
    """Prints a text for programs that people may keep; to its last byte in a file, where one is given."""
    if file is None:
        out.record(record, text.removesuffix("\n"))
        return
    try:
        file.write_bytes(text.encode())
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
    out.record(record | {"file": file}, str(plain(file)))


def _signed(path: Path, log: NoteVerifier) -> Checkpoint:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no signed checkpoint") from error
    return open_checkpoint(text, log)


def _base64(hashes: tuple[bytes, ...]) -> list[str]:
    return [base64.b64encode(one).decode("ascii") for one in hashes]
