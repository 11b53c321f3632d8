"""What a generator of :mod:`panji.operations` may ask of the client that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from datetime import timedelta

    from google.protobuf.message import Message

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rpc:
    """Call this method with this request. The result is the response; PanjiErrors come back as they are."""

    method: str
    request: Message


@dataclass(frozen=True, slots=True)
class Disk:
    """Do this where waiting for a disk harms nobody. The result is what it returns."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Let this time pass."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait until no other operation of this client has the turn, and take it.

    The result is the function that gives it back, which is to be called in every case. When none comes within the
    client's timeout, a TransportError comes back.
    """


Step: TypeAlias = Rpc | Disk | Pause | Turn
Steps: TypeAlias = Generator[Step, Any, _T]
