"""The list of our cases: which are wanted, and that it comes to an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from panji.core import form
from panji.core.vocabulary import CaseState, Category
from panji.errors import InputError, MalformedError, VerificationError
from panji.v1 import case_pb2
from panji.wire.times import to_datetime, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Self

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

    def request(self, page_token: str, *, erased: bool = False) -> case_pb2.ListCasesRequest:
        """Returns the request for a page: of cases with their statements, or of those of which none are left."""
        states: Any = (CaseState.ERASED,) if erased else self.states
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
            with_statements=not erased,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedCase:
    """A case whose content was erased by law, **as the exchange says**: nothing is left of it that verifies here.

    The erasure itself is a statement in the feeds of both sides, signed by two persons of the operator.
    """

    id: str
    authority: str
    platform: str
    test: bool
    category: Category
    opened_at: datetime
    updated_at: datetime

    @classmethod
    def read(cls, claimed: case_pb2.Case) -> Self:
        """Reads what the exchange says.

        Raises:
            VerificationError: It is no case, or not one that was erased.
        """
        if int(claimed.state) != CaseState.ERASED:
            raise VerificationError("a case came as erased that is said not to be")
        wrong = form.uuid7(claimed.id) or form.organisation(claimed.authority) or form.organisation(claimed.platform)
        if wrong:
            raise VerificationError(f"an id or a side of an erased case {wrong}")
        try:
            opened_at, updated_at = to_datetime(claimed.opened_at), to_datetime(claimed.updated_at)
            category = Category(claimed.category)
        except (MalformedError, ValueError) as error:
            raise VerificationError(f"an erased case is malformed: {error}") from error
        return cls(
            id=claimed.id,
            authority=claimed.authority,
            platform=claimed.platform,
            test=claimed.test,
            category=category,
            opened_at=opened_at,
            updated_at=updated_at,
        )


class ErasedList:
    """One reading of the list of our erased cases: where it stands, and that it comes to an end."""

    def __init__(self, operations: Operations, wanted: CaseFilter) -> None:
        self._operations = operations
        self._wanted = wanted
        self._token = ""
        self._used: set[str] = set()
        self._seen: set[str] = set()
        self.ended = False

    def page(self) -> Steps[list[ErasedCase]]:
        """Fetches the next page.

        Raises:
            VerificationError: A case or the list itself is not what it should be.
        """
        cases, token = yield from self._operations.erased_cases(self._wanted, self._token)
        # No case and no page twice. Stops a list that never ends.
        for one in cases:
            if one.id in self._seen:
                raise VerificationError("the list of erased cases has one twice")
            self._seen.add(one.id)
        if token in self._used:
            raise VerificationError("the list of erased cases goes round in a circle: a page was announced twice")
        self._used.add(token)
        self._token, self.ended = token, not token
        return cases


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
