"""The exchange's configuration: one TOML file, environment variables over it, checked before anything starts.

An environment variable is ``PANJI_`` and the key in capitals, ``__`` between a table and its key: ``PANJI_LISTEN``,
``PANJI_TLS__KEY``. Relative paths, in the file and in the environment, are relative to the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, SettingsConfigDict, SettingsError

from panji.core import form
from panji.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

_LISTEN = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_WAIT = Field(gt=timedelta(0), le=timedelta(days=366))
_SPAN = Field(ge=timedelta(0), le=timedelta(days=3660))  # times of issue stay within the calendar
_PREFIX = "PANJI_"
_OTHERS = {"PROFILE", "VERIFIER_KEY", "DEBUG", "SHARED"}
"""Variables of the command line and of the tests, which may be set on the same machine."""
_FROZEN = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _address(value: str) -> str:
    if not _LISTEN.fullmatch(value) or int(value.rpartition(":")[2]) > 65535:  # noqa: PLR2004 - ports have 16 bits
        raise ValueError("must be host:port")
    return value


def _address_or_none(value: str) -> str:
    return _address(value) if value else value


def _origin(value: str) -> str:
    if not value or any(character.isspace() or character == "+" for character in value):
        raise ValueError("must have neither white space nor a plus sign (C2SP signed-note)")
    if wrong := form.line(200)(value):  # as in statements, which name it
        raise ValueError(wrong)
    return value


def _database(value: Path) -> Path:
    _path(str(value))
    if value.is_dir():
        raise ValueError("is a folder")
    if not value.parent.is_dir():  # a disk that is not mounted, say: no new log is begun in its place
        raise ValueError("is in a folder that does not exist")
    return value


def _path(value: str) -> str:
    if "\0" in value:
        raise ValueError("has a NUL character")
    return value


class TLS(BaseModel):
    """The exchange's own certificate, and who may issue those of participants."""

    model_config = _FROZEN

    certificate: FilePath
    """PEM, the chain included. Read again when it changes, for new connections."""
    key: FilePath
    """PEM. ECDSA P-256 or P-384, or RSA of at least 2,048 bits: nobody could connect to others."""
    client_ca: FilePath
    """PEM of the authorities whose client certificates are taken."""


class Limits(BaseModel):
    """What one organisation may do, and what the exchange takes on at once."""

    model_config = _FROZEN

    statements_per_second: Annotated[float, Field(ge=0.001, le=1e9, allow_inf_nan=False)] = 5000.0
    """Sustained rate of one organisation. A statement counts once, and again for every full 4 KiB of its envelope."""
    burst: Annotated[int, Field(ge=1, le=10**9)] = 20_000
    """Statements, counted likewise, that one organisation may submit at once after a pause."""
    envelope_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 260 * 1024
    """Largest envelope."""
    queue: Annotated[int, Field(ge=1000, le=10**9)] = 50_000
    """Statements that may wait for a commit before further ones are refused as OVERLOADED."""
    streams: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Streams of the feed that one organisation may have open at once."""
    reads: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Calls of one organisation that read, and are being answered at once."""
    case_statements: Annotated[int, Field(ge=10, le=2000)] = 1000
    """Statements that one side may have in one case; the last tenth is for decisions and withdrawals."""
    case_bytes: Annotated[int, Field(ge=16 * 1024, le=10 * 1024 * 1024)] = 8 * 1024 * 1024
    """Bytes of envelopes that they may have, likewise. What both sides may say goes into one answer."""
    issued_before: Annotated[timedelta, _SPAN] = timedelta(hours=24)
    """How long before its receipt a statement may have been issued; seconds, or ISO 8601."""
    issued_after: Annotated[timedelta, _SPAN] = timedelta(minutes=5)
    """How far a sender's clock may run ahead; seconds, or ISO 8601."""


class Deadlines(BaseModel):
    """What the exchange states to be overdue."""

    model_config = _FROZEN

    acknowledged: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=3660))] = timedelta(hours=24)
    """From the receipt of a flag to the platform's first answer; seconds, or ISO 8601."""


class LogHTTP(BaseModel):
    """Where anyone may read the log over HTTP; see docs/log.md."""

    model_config = _FROZEN

    listen: Annotated[str, AfterValidator(_address_or_none)] = ""
    """Address to listen on, ``host:port``; nowhere when empty."""
    certificate: FilePath | None = None
    """PEM, the chain included, for HTTPS; read again when it changes. Without one it is HTTP."""
    key: FilePath | None = None
    """PEM, of the certificate."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class Witnesses(BaseModel):
    """Who else vouches for the log, and what happens when they do not."""

    model_config = _FROZEN

    policy: FilePath | None = None
    """C2SP tlog-policy: the witnesses with their URLs, and the quorum. Without one, no witness is asked."""
    timeout: Annotated[timedelta, _WAIT] = timedelta(seconds=10)
    """How long a witness may take to answer; seconds, or ISO 8601."""
    interval: Annotated[timedelta, _WAIT] = timedelta(seconds=1)
    """Least time between two heads that witnesses are asked about; seconds, or ISO 8601."""
    refresh: Annotated[timedelta, _WAIT] = timedelta(hours=1)
    """After which a head that stays the newest is cosigned anew; seconds, or ISO 8601."""
    overdue: Annotated[timedelta, _WAIT] = timedelta(minutes=5)
    """How long the quorum may lag behind a log that has moved; seconds, or ISO 8601."""
    fail_closed: bool = False
    """Whether new statements are refused while the quorum is overdue."""

    @model_validator(mode="after")
    def _closes_for_a_reason(self) -> Self:
        if self.fail_closed and self.policy is None:
            raise ValueError("fail_closed needs a policy that says whose word is waited for")
        return self


class Audit(BaseModel):
    """Where audit events go."""

    model_config = _FROZEN

    path: Annotated[str, AfterValidator(_path)] = "-"
    """A file that is appended to, or ``-`` for standard output. One JSON object a line."""


class Config(BaseSettings):
    """Everything that an exchange process is told."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
    )

    origin: Annotated[str, AfterValidator(_origin)]
    """Name of the log, and so of the exchange, in every checkpoint and statement. Never changes."""
    listen: Annotated[str, AfterValidator(_address)]
    """Address to listen on, ``host:port``."""
    database: Annotated[Path, AfterValidator(_database)]
    """SQLite file; made at the first start, in a folder that is there."""
    directory: FilePath
    """TOML file of organisations, keys, participants and accreditations; read again when it changes."""
    procedure: FilePath | None = None
    """TOML file of the standard operating procedure (docs/procedure.md). Without one, any flag in form is taken that an
    accreditation covers. Once a log has one on record, it is needed."""
    log_key: FilePath
    """PEM (PKCS#8) of the log's Ed25519 key."""
    statement_key: FilePath
    """PEM (PKCS#8) of the key that signs the exchange's own statements: in the directory one of the operator's, marked
    ``automatic``."""
    tls: TLS
    """Mutual TLS."""
    limits: Limits = Limits()
    """Limits."""
    deadlines: Deadlines = Deadlines()
    """Deadlines."""
    log_http: LogHTTP = LogHTTP()
    """The log for anyone, over HTTP."""
    audit: Audit = Audit()
    """Audit events."""
    witnesses: Witnesses = Witnesses()
    """Witnesses of the log."""
    grace_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 5.0
    """How long running calls may take to end when the process is told to stop."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The values that :func:`load` has put together come as arguments; nothing else is read."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - a fact of pydantic-settings, for the type checker
        return (InitSettingsSource(settings_cls, init_settings.init_kwargs),)


def load(path: Path) -> Config:
    """Returns the configuration of a file and the environment.

    Raises:
        ConfigError: The file cannot be read, or a key is missing, unknown or wrong; the first such key is named.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, or more of it than Python reads
        raise ConfigError(str(path), str(error)) from error
    for name in document:
        if name not in Config.model_fields:  # pydantic-settings would take Origin for origin
            raise ConfigError(name, "Extra inputs are not permitted")
    for name in os.environ:
        key = name.upper().removeprefix(_PREFIX)
        if key != name.upper() and key not in _OTHERS and key.partition("__")[0].lower() not in Config.model_fields:
            raise ConfigError(name, "is no setting of an exchange: look for a misspelling, or unset it")
    try:
        merged = _merged(document, EnvSettingsSource(Config)())
        return Config(**_absolute(merged, path.resolve().parent))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(key, first["msg"]) from error
    except SettingsError as error:  # a table in the environment that is no JSON; names the table
        raise ConfigError("environment", str(error)) from error


def _merged(file: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """The environment's values over the file's, key by key in tables."""
    merged = dict(file)
    for key, value in environment.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


_PATHS = {
    "database",
    "directory",
    "procedure",
    "log_key",
    "statement_key",
    "certificate",
    "key",
    "client_ca",
    "path",
    "policy",
}


def _absolute(table: dict[str, Any], base: Path) -> dict[str, Any]:
    """Resolves relative paths against the file's folder, so that an exchange starts from anywhere."""

    def resolved(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _absolute(value, base)
        if key in _PATHS and isinstance(value, str) and value != "-":
            return str(base / value)
        return value

    return {key: resolved(key, value) for key, value in table.items()}
