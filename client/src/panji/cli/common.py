"""What several commands share: options, the way to the exchange, and words of vocabularies."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from panji import importer
from panji.client import Client
from panji.core import form
from panji.core.note import NoteVerifier
from panji.core.vocabulary import Role, names
from panji.errors import ConfigError, InputError, NoteError, TransportError
from panji.profile import Profile

_E = TypeVar("_E", bound=IntEnum)
_MAX_LISTED = 400  # characters of a list of names in the help of an option

NO_SERVER = "is not installed here: in a clone, pip install ./client ./server (docs/operations.md)"
"""What is wrong where the server's distribution is missing. It is on no registry yet."""
KEY_VARIABLE = "PANJI_VERIFIER_KEY"
"""Environment variable with the log's verifier key. PANJI_LOG_KEY is the exchange's setting of its private key."""

ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", "-p", envvar="PANJI_PROFILE", show_default=False, help="Who you are: a profile.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, and nothing else.")]
TestOption = Annotated[bool, typer.Option("--test", help="A drill: it never touches a real case.")]
LanguageOption = Annotated[str, typer.Option("--language", help="Of the texts: a BCP 47 tag.")]


def load_profile(path: Path | None) -> Profile:
    """Returns the profile of a file.

    Raises:
        ConfigError: No file is given, or it is wrong.
    """
    if path is None:
        raise ConfigError("profile", "say who you are: --profile FILE, or PANJI_PROFILE in the environment")
    return Profile.load(path)


def trusted(log_key: str, path: Path | None) -> tuple[NoteVerifier, Profile | None]:
    """Returns the log's key, and the profile where one is given: it has a directory, and perhaps witnesses.

    A key that is given says which log, and nothing else: one that stands in the environment must not silence a profile.

    Args:
        log_key: The verifier key; the profile's unless given.
        path: The profile's file.

    Raises:
        ConfigError: Neither is given, or the profile is wrong.
        InputError: The key is none.
    """
    if path is None and not log_key:
        raise ConfigError("log_key", f"say which log: --log-key (or {KEY_VARIABLE}) is enough, or else --profile")
    known = load_profile(path) if path is not None else None
    try:
        return NoteVerifier.parse(log_key or (known.log_key if known is not None else "")), known
    except NoteError as error:
        raise InputError(f"--log-key is no verifier key: {error}") from error


@contextmanager
def session(path: Path | None) -> Iterator[Client]:
    """Connects to the exchange of a profile.

    Raises:
        ConfigError: The profile is missing or wrong.
        TransportError: No answer came; the message tells how many signed statements wait in the outbox.
    """
    with Client.connect(load_profile(path)) as client:
        try:
            yield client
        except TransportError as error:
            waiting = len(client.pending())
            if not waiting:
                raise
            hint = f"{waiting} signed and waiting in the outbox; 'panji outbox --send' sends them"
            raise TransportError(f"{error} ({hint})") from error


def member(kind: type[_E]) -> Callable[[Any], _E]:
    """Returns the parser of an option that takes a name of a vocabulary, in any case, with - or _."""

    def parse(value: Any) -> _E:
        name = value.name if isinstance(value, kind) else str(value).strip().upper().replace("-", "_")
        if name not in kind.__members__ or kind[name] == 0:
            raise typer.BadParameter(f"is none of {names(kind)}")
        return kind[name]

    return parse


def name_of(kind: type[IntEnum], help: str = "") -> Any:  # noqa: A002 - as typer has it
    """Returns the option that takes a name of a vocabulary."""
    every = names(kind)
    listed = every if len(every) < _MAX_LISTED else "named as in panji/v1/vocabulary.proto"
    metavar = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()
    return typer.Option(parser=member(kind), metavar=metavar, show_default=False, help=f"{help} {listed}".strip())


def statement_id(value: Any) -> str:
    """Returns an id of a statement or a case, which is that of its flag.

    Raises:
        BadParameter: It is none; nothing needs to be asked of the exchange.
    """
    if wrong := form.uuid7(value):
        raise typer.BadParameter(wrong)
    return str(value)


CaseArgument = Annotated[str, typer.Argument(parser=statement_id, metavar="CASE", help="Id of the case.")]


def require_authority(client: Client) -> None:
    """Checks that the profile is of somebody who may flag at all.

    Raises:
        InputError: It is not; the exchange would refuse every flag.
    """
    organisation = client.session.directory.organisation(client.session.organisation)
    if organisation is not None and organisation.role is not Role.AUTHORITY:
        it_is = {Role.PLATFORM: "a platform", Role.OPERATOR: "the operator"}[organisation.role]
        raise InputError(f"only authorities submit flags; this profile is of {it_is}, {organisation.id}")


def instant(value: Any) -> datetime:
    """Returns the time that an ISO 8601 text says; UTC where it names no zone."""
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter("is no date or time in ISO 8601") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def load_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file, or on standard input for ``-``.

    Raises:
        InputError: It can't be read, or is no JSON object.
    """
    try:
        data = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
        entry = json.loads(data, object_pairs_hook=importer.unambiguous)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            raise InputError(
                f"{path} has more than one JSON value, and this takes one object; a file of flags, one a line, is for"
                " 'panji import'"
            ) from None
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path} is no JSON{where}") from None
    if not isinstance(entry, dict):
        raise InputError(f"{path} is no JSON object")
    return entry
