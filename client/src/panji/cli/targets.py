"""What is said target by target: ``POSITION=WORD`` and ``--all WORD``, as commands take them."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, Self, TypeVar

import typer

from panji.cli.common import instant, member
from panji.core.statements import TargetDecision
from panji.core.vocabulary import Ground, Outcome, RefusalReason, RestorationResult, names
from panji.errors import InputError

_E = TypeVar("_E", bound=IntEnum)
_T = TypeVar("_T")

ResultOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target", help="POSITION=RESULT; repeat until every target asked about is named.", metavar="N=RESULT"
    ),
]
RestOption = Annotated[str, typer.Option("--all", help="The same for every target not named.", metavar="RESULT")]

_POSITION = re.compile("[0-9]{1,9}")


class Answer(NamedTuple):
    """What is decided on a target."""

    outcome: Outcome
    ground: Ground
    refusal: RefusalReason

    @classmethod
    def parse(cls, text: str, said: str) -> Self:
        """Read ``OUTCOME[:WHY]``.

        Args:
            text: What is read.
            said: The option with all of its value, for the error.

        Raises:
            InputError: It is none.
        """
        name, _, why = text.partition(":")
        outcome = word(Outcome)(name, said)
        if outcome is not Outcome.NO_ACTION:
            return cls(outcome, word(Ground)(why, said) if why else Ground.UNSPECIFIED, RefusalReason.UNSPECIFIED)
        if not why:
            raise InputError(f"{said} lacks its reason: NO_ACTION:REASON, with one of {names(RefusalReason)}")
        return cls(outcome, Ground.UNSPECIFIED, word(RefusalReason)(why, said))

    def on(self, position: int, common: Mapping[str, Any]) -> TargetDecision:
        """Returns the decision on one target."""
        return TargetDecision(target=position, **self._asdict(), **common)


def word(kind: type[_E]) -> Callable[[str, str], _E]:
    """Returns the reader of a word of a vocabulary, which takes the word, and the option with all of its value."""

    def parse(name: str, said: str) -> _E:
        try:
            return member(kind)(name)
        except typer.BadParameter as error:
            raise InputError(f"{said}: {name or 'nothing'} {error.message}") from None

    return parse


def named(texts: Iterable[str], parse: Callable[[str, str], _T], form: str = "OUTCOME[:WHY]") -> dict[int, _T]:
    """Returns what each ``--target POSITION=WORD`` says, by position.

    Args:
        texts: Their values.
        parse: Reads what stands behind the position; its second argument is the option, for the error.
        form: Of what it reads.

    Raises:
        InputError: One is none of that, or names a position again.
    """
    chosen: dict[int, _T] = {}
    for text in texts:
        position, _, rest = text.partition("=")
        if not _POSITION.fullmatch(position.strip()):
            raise InputError(f"--target is POSITION={form}, with a position from 1")
        number = int(position)
        if number in chosen:
            raise InputError(f"target {number} is named twice")
        chosen[number] = parse(rest, f"--target {text}")
    return chosen


def with_rest(chosen: Mapping[int, _T], rest: _T | None, wanted: Iterable[int]) -> dict[int, _T]:
    """Returns what is said of each target, in order: of the wanted ones that are not named, what ``--all`` says."""
    all_ = {} if rest is None else dict.fromkeys(wanted, rest)
    return dict(sorted((all_ | dict(chosen)).items()))


def results_of(
    target: Iterable[str] | None, all_: str, parse: Callable[[str, str], _T], form: str
) -> Callable[[Iterable[int]], Iterable[tuple[int, _T]]]:
    """Returns what gives the results of ``--target`` and ``--all`` once it is known which targets they must be about.

    Raises:
        InputError: There is none, or one says nothing: told before anything is asked of the exchange.
    """
    if not target and not all_:
        raise InputError(f"say of which targets: --target POSITION=RESULT or --all RESULT, with one of {form}")
    chosen = named(target or (), parse, "RESULT")
    rest = parse(all_, f"--all {all_}") if all_ else None
    return lambda wanted: with_rest(chosen, rest, wanted).items()


def restored(text: str, said: str, now: datetime) -> tuple[RestorationResult, datetime | None]:
    """Read ``RESTORED[@TIME]`` or ``NOT_RESTORED``.

    Args:
        text: What is read.
        said: The option with all of its value, for the error.
        now: When it was restored, where no time is given.

    Raises:
        InputError: It is none.
    """
    name, at, time = text.partition("@")
    result = word(RestorationResult)(name, said)
    if result is not RestorationResult.RESTORED:
        if at:
            raise InputError(f"{said}: a time stands with RESTORED only")
        return result, None
    try:
        return result, instant(time) if at else now
    except typer.BadParameter as error:
        raise InputError(f"{said}: {time} {error.message}") from None
