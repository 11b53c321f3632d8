"""The profile of a participant: who it is, where its exchange is, and whom it trusts."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from panji.core import form
from panji.core.note import NoteVerifier
from panji.errors import ConfigError, NoteError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATHS = frozenset({"directory", "ca", "certificate", "key", "state", "policy"})
_NUMBERS = frozenset({"witnessed_within"})
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who a participant is and whom it trusts.

    Raises:
        ConfigError: A value is wrong; its key is named.
    """

    organisation: str
    """Our organisation's id."""
    address: str
    """``host:port`` of the exchange."""
    log_key: str
    """The log's verifier key (C2SP signed-note, ``origin+hash+base64``). Its name is the exchange's origin."""
    directory: Path
    """The directory that we trust, as TOML. Replace it by renaming: it is read again whenever it changes."""
    ca: Path
    """PEM certificates of the authorities that may vouch for the exchange."""
    certificate: Path
    """Our TLS certificate, PEM."""
    key: Path
    """Its key, PEM."""
    signing_keys: tuple[Path, ...]
    """PKCS#8 PEM of the keys that sign our statements; every statement is signed by all of them."""
    state: Path
    """SQLite file that holds the outbox, the inbox and the cursor."""
    server_name: str = ""
    """The name in the exchange's certificate, where it is not the host of ``address``."""
    policy: Path | None = None
    """C2SP tlog-policy: which witnesses must have cosigned a head of the log for us to believe it. Without one, the
    log's own word has to do."""
    witnessed_within: int = 86_400
    """Seconds since the witnesses' cosignatures; older ones do not count."""

    def __post_init__(self) -> None:
        if wrong := form.organisation(self.organisation):
            raise ConfigError("organisation", wrong)
        host, _, port = self.address.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
            raise ConfigError("address", "is not host:port")
        if self.witnessed_within <= 0:
            raise ConfigError("witnessed_within", "is no time that a cosignature could keep")
        if not self.signing_keys:
            raise ConfigError("signing_keys", "must name at least one key")
        self.log  # noqa: B018 - a mistyped key is found now, not at the first receipt

    @property
    def log(self) -> NoteVerifier:
        """The log's key."""
        try:
            return NoteVerifier.parse(self.log_key)
        except NoteError as error:
            raise ConfigError("log_key", f"is no verifier key: {error}") from error

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Reads a profile from TOML. Relative paths in it are relative to the file.

        Raises:
            ConfigError: The file cannot be read, or a key is unknown, missing or wrong; the key is named.
        """
        path = Path(path)
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeError) as error:
            raise ConfigError(str(path), f"cannot be read: {error}") from error
        except (ValueError, RecursionError) as error:  # or more of it than a parser takes
            raise ConfigError(str(path), f"is no TOML: {error}") from error
        known = {field.name: field for field in fields(cls)}
        for name in document:
            if name not in known:
                raise ConfigError(name, "is no key of a profile")
        for name, field in known.items():
            if name not in document and field.default is MISSING:
                raise ConfigError(name, "is missing")
        return cls(**_values(document, path.absolute().parent))


def _values(document: Mapping[str, Any], base: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name == "signing_keys":
            if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
                raise ConfigError(name, "is no list of paths")
            values[name] = tuple(base / one for one in value)
        elif name in _NUMBERS:
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(name, "is no whole number of seconds")
            values[name] = value
        elif not isinstance(value, str) or not (value or name == "server_name"):
            raise ConfigError(name, "is no text")
        else:
            values[name] = base / value if name in _PATHS else value
    return values
