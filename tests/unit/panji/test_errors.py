"""The errors: each says who must act, and one table joins a refusal's reason to its code."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest
from google.rpc import code_pb2

from panji import errors
from panji.errors import (
    REASONS,
    Code,
    ConfigError,
    InputError,
    MalformedError,
    PanjiError,
    Reason,
    RefusedError,
    TransportError,
    VerificationError,
    Violation,
)


def test_every_reason_is_in_the_table_and_nothing_else_is() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_named_as_it_is_sent(reason: Reason) -> None:
    """AIP-193: at most 63 of A-Z, 0-9 and underscore."""
    assert reason.value == reason.name
    assert reason.isupper()
    assert reason.replace("_", "").isalnum()
    assert len(reason) <= 63
    assert REASONS[reason].meaning.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_only_what_passes_by_itself_may_be_tried_again(reason: Reason) -> None:
    """The codes that say "later" are retryable and no other is; a client's own UNRECOGNISED never was sent."""
    later = {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.INTERNAL}
    assert REASONS[reason].retryable == (REASONS[reason].code in later and reason is not Reason.UNRECOGNISED)


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        (Code.UNAUTHENTICATED, {Reason.TLS_VERSION, Reason.CERTIFICATE_IDENTITY}),
        (Code.NOT_FOUND, {Reason.CASE_NOT_FOUND, Reason.DIRECTORY_NOT_RECORDED, Reason.PROCEDURE_NOT_RECORDED}),
        (Code.ALREADY_EXISTS, {Reason.STATEMENT_ID_REUSED}),
        (Code.RESOURCE_EXHAUSTED, {Reason.RATE_LIMITED, Reason.OVERLOADED, Reason.TOO_MANY_CALLS}),
        (Code.OUT_OF_RANGE, {Reason.CURSOR_OUT_OF_RANGE, Reason.TREE_SIZE_OUT_OF_RANGE}),
        (
            Code.UNAVAILABLE,
            {Reason.CLOCK_BEHIND, Reason.SHUTTING_DOWN, Reason.STORAGE_FAILED, Reason.WITNESSES_OVERDUE},
        ),
        (
            Code.PERMISSION_DENIED,
            {
                Reason.PARTICIPANT_UNKNOWN,
                Reason.SIGNATURE_INVALID,
                Reason.SENDER_MISMATCH,
                Reason.ROLE_NOT_ALLOWED,
                Reason.NOT_ACCREDITED,
                Reason.NOT_A_PARTY,
            },
        ),
    ],
)
def test_the_codes_that_say_one_thing_are_used_for_it_alone(code: Code, reasons: set[Reason]) -> None:
    assert {reason for reason in Reason if REASONS[reason].code is code} == reasons


def test_the_codes_have_the_numbers_of_google_rpc() -> None:
    assert {code.name: code.value for code in Code}.items() <= dict(code_pb2.Code.items()).items()


def test_every_error_is_a_panji_error_and_its_name_says_so() -> None:
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]
    assert all(issubclass(one, PanjiError) and one.__name__.endswith("Error") for one in classes)
    branches = {InputError, ConfigError, VerificationError, RefusedError, TransportError}
    assert {one for one in classes if PanjiError in one.__bases__} == branches


def test_an_input_error_lists_every_violation_in_its_text_and_as_data() -> None:
    violations = [Violation("id", "is required"), Violation("flag.reasons", "is blank")]
    error = InputError("The statement breaks its form", violations)
    assert str(error) == "The statement breaks its form: id: is required; flag.reasons: is blank"
    assert error.violations == tuple(violations)
    assert str(MalformedError("no message")) == "no message"
    assert MalformedError("no message").violations == ()


def test_a_config_error_names_the_key_as_the_operator_wrote_it() -> None:
    error = ConfigError("storage.path", "is no folder")
    assert (error.key, str(error)) == ("storage.path", "storage.path: is no folder")


def test_a_refusal_carries_all_that_the_sender_needs_to_act() -> None:
    violation = Violation("decision.targets", "3 is open and not decided here")
    metadata = {"state": "RECEIVED"}
    refusal = RefusedError(
        Reason.RATE_LIMITED, "slower", violations=[violation], retry_after=timedelta(seconds=2), metadata=metadata
    )
    metadata["state"] = "changed afterwards"
    assert str(refusal) == "RATE_LIMITED: slower: decision.targets: 3 is open and not decided here"
    assert (refusal.code, refusal.retryable) == (Code.RESOURCE_EXHAUSTED, True)
    assert (refusal.violations, refusal.retry_after) == ((violation,), timedelta(seconds=2))
    assert refusal.metadata == {"state": "RECEIVED"}


def test_a_refusal_may_have_no_details_at_all() -> None:
    refusal = RefusedError(Reason.STATEMENT_INVALID, "wrong")
    assert str(refusal) == "STATEMENT_INVALID: wrong"
    assert (refusal.violations, refusal.retry_after, refusal.metadata) == ((), None, {})
    assert (refusal.code, refusal.retryable) == (Code.INVALID_ARGUMENT, False)
