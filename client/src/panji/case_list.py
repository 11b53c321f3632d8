"""The list of our cases: which are wanted, and that it comes to an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from panji.core import form
from panji.core.vocabulary import CaseState, Category
from panji.errors import InputError, VerificationError
from panji.v1 import case_pb2
from panji.wire.times import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from panji.operations import Operations
    from panji.session import VerifiedCase
    from panji.steps import Steps

OnUnverified: TypeAlias = "Callable[[str, VerificationError], object]"
"""Told the id that a case is said to have, and why it does not verify."""

_PAGE_SIZE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Which of our cases are wanted. Filters join with "and"; an empty one does not filter.

    Raises:
        InputError: A time has no zone, or a text no UTF-8.
    """

    states: tuple[CaseState, ...] = ()
    category: Category | None = None
    counterpart: str = ""
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    test: bool = False

    def __post_init__(self) -> None:
        require_text("counterpart", self.counterpart)
        for name, time in (("opened_from", self.opened_from), ("opened_until", self.opened_until)):
            if time is not None and (wrong := form.instant(time)):
                raise InputError(f"{name} {wrong}")

    def request(self, page_token: str) -> case_pb2.ListCasesRequest:
        """Returns the request for a page."""
        states: Any = self.states
        category: Any = self.category or Category.UNSPECIFIED
        return case_pb2.ListCasesRequest(
            page_size=_PAGE_SIZE,
            page_token=page_token,
            states=states,
            category=category,
            counterpart=self.counterpart,
            opened_from=to_timestamp(self.opened_from) if self.opened_from else None,
            opened_until=to_timestamp(self.opened_until) if self.opened_until else None,
            test=self.test,
            with_statements=True,
        )

    def matches(self, verified: VerifiedCase) -> bool:
        """Whether a case is one that was asked for."""
        case = verified.case
        return (
            case.test == self.test
            and (not self.states or case.state in self.states)
            and (not self.category or case.category is self.category)
            and (not self.counterpart or self.counterpart in {case.authority, case.platform})
            and (self.opened_from is None or self.opened_from <= case.opened_at)
            and (self.opened_until is None or case.opened_at < self.opened_until)
        )


class CaseList:
    """One reading of the list of our cases: where it stands, and that it comes to an end."""

    def __init__(self, operations: Operations, wanted: CaseFilter, on_unverified: OnUnverified | None = None) -> None:
        self._operations = operations
        self._wanted = wanted
        self._on_unverified = on_unverified
        self._token = ""
        self._used: set[str] = set()
        self._above: int | None = None
        self.ended = False

    def page(self) -> Steps[list[VerifiedCase]]:
        """Fetches the next page.

        Raises:
            VerificationError: A case or the list itself is not what it should be.
        """
        cases, token = yield from self._operations.cases(self._wanted, self._token, self._on_unverified)
        # Newest first, and no page twice. Stops a list that shows a case again, and one that never ends.
        for one in cases:
            index = one.flag.receipt.index
            if self._above is not None and index >= self._above:
                raise VerificationError("the list of cases is not in order, or has one twice")
            self._above = index
        if token in self._used:
            raise VerificationError("the list of cases goes round in a circle: a page was announced twice")
        self._used.add(token)
        self._token, self.ended = token, not token
        return cases


def require_text(what: str, value: str) -> None:
    """Checks that a text can be sent.

    Raises:
        InputError: It has no UTF-8.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} has a character without UTF-8, half of a surrogate pair") from None
