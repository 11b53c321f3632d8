from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from panji.cli import app, boundary, main
from panji.cli.boundary import EXIT_CODES, Exit, describe
from panji.errors import (
    ConfigError,
    InputError,
    NoteError,
    Reason,
    RefusedError,
    TransportError,
    Violation,
)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RefusedError(Reason.RATE_LIMITED, "slower"), Exit.REFUSED, "RATE_LIMITED"),
        (NoteError("another log"), Exit.VERIFICATION, "VERIFICATION_FAILED"),
        (TransportError("nobody"), Exit.TRANSPORT, "TRANSPORT_FAILED"),
        (ConfigError("address", "is not host:port"), Exit.CONFIG, "CONFIG_INVALID"),
        (InputError("wrong"), Exit.INPUT, "INPUT_INVALID"),
        (typer.BadParameter("is none"), Exit.INPUT, "USAGE"),
        (typer.Abort(), Exit.INTERRUPTED, "INTERRUPTED"),
        (ZeroDivisionError("oh"), Exit.UNEXPECTED, "UNEXPECTED"),
    ],
)
def test_each_class_of_errors_has_its_exit_code(error: Exception, code: Exit, reason: str) -> None:
    found, record = describe(error)
    assert (found, record["error"]["reason"]) == (code, reason)
    assert str(int(code)) in EXIT_CODES


def test_what_may_be_tried_again_says_so() -> None:
    assert describe(RefusedError(Reason.RATE_LIMITED, "slower"))[1]["error"]["retryable"]
    assert not describe(RefusedError(Reason.NOT_A_PARTY, "no"))[1]["error"]["retryable"]
    assert describe(TransportError("nobody"))[1]["error"]["retryable"]


REFUSAL = RefusedError(
    Reason.MOVE_NOT_ALLOWED,
    "no decision while the case is WITHDRAWN",
    violations=[Violation("decision.targets", "1 is no open target of this case")],
    metadata={"state": "WITHDRAWN", "legal": "correspondence by platform", "request_id": "request-7"},
)


def test_a_refusal_is_told_whole_with_the_id_that_the_operator_asks_for(
    panji: Any, exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise REFUSAL

    monkeypatch.setattr(exchange, "call", refuse)
    assert panji.error("checkpoint", exit_code=3) == {
        "reason": "MOVE_NOT_ALLOWED",
        "message": "no decision while the case is WITHDRAWN",
        "violations": [{"field": "decision.targets", "description": "1 is no open target of this case"}],
        "retryable": False,
        "metadata": {"state": "WITHDRAWN", "legal": "correspondence by platform"},
        "request_id": "request-7",
    }
    assert panji("checkpoint").stderr.splitlines() == [
        "error: no decision while the case is WITHDRAWN [MOVE_NOT_ALLOWED]",
        "  decision.targets: 1 is no open target of this case",
        "  state: WITHDRAWN",
        "  legal: correspondence by platform",
        "  request: request-7",
    ]


def test_violations_are_listed_and_not_repeated_in_the_message() -> None:
    error = InputError("The flag breaks its form", [Violation("flag.reasons", "is required")])
    record = describe(error)[1]["error"]
    assert record["message"] == "The flag breaks its form"
    assert record["violations"] == [{"field": "flag.reasons", "description": "is required"}]


def test_errors_for_people_name_the_reason_and_every_field(panji: Any) -> None:
    result = panji("submit", "--to", "telegram")
    assert result.exit_code == 2
    assert "error: The flag breaks its form [INPUT_INVALID]" in result.stderr
    assert "  flag.reasons: is required" in result.stderr
    assert result.stdout == ""


def test_usage_errors_are_json_where_json_was_asked_for(panji: Any) -> None:
    assert panji.error("fly", exit_code=2)["reason"] == "USAGE"
    assert panji("fly").stderr.startswith("error: No such command")


def test_without_a_command_the_help_is_shown() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Exit codes:" in result.stdout
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


def test_a_defect_is_no_traceback_unless_asked_for(panji: Any, exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(exchange, "call", broken)
    assert panji.error("checkpoint", exit_code=1)["message"] == "ZeroDivisionError: oh"
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, ["checkpoint"], env={"PANJI_DEBUG": "1"} | panji.environment(), catch_exceptions=False)


def test_the_entry_point_ends_the_process_with_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["panji", "checkpoint", "--json"])
    monkeypatch.delenv("PANJI_PROFILE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == boundary.Exit.CONFIG
    assert json.loads(capsys.readouterr().err)["error"]["reason"] == "CONFIG_INVALID"


def test_a_transport_error_with_an_empty_outbox_is_told_as_it_is(panji: Any, exchange: Any) -> None:
    def gone(*_: Any) -> None:
        raise TransportError("UNAVAILABLE: nobody answers")

    exchange.call = gone
    assert panji.error("checkpoint", exit_code=5)["message"] == "UNAVAILABLE: nobody answers"


def test_what_a_library_logs_does_not_play_with_the_terminal(
    panji: Any, exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: the exchange's words go to the terminal by way of a warning."""
    answer = exchange.call

    def warn(caller: str, method: str, request: Any) -> Any:
        logging.getLogger("panji.client").warning("broke off: %s", "busy\x1b]0;owned\x07\nerror: log forked")
        return answer(caller, method, request)

    monkeypatch.setattr(exchange, "call", warn)
    before = list(logging.getLogger().handlers)
    told = panji("checkpoint").stderr
    assert told == "warning: broke off: busy\\x1b]0;owned\\x07\\nerror: log forked\n"
    (line,) = panji("checkpoint", "--json").stderr.splitlines()
    assert json.loads(line)["warning"]["message"].startswith("broke off: busy\x1b")
    assert logging.getLogger().handlers == before


GOODBYE = """
import panji.cli, grpc, sys
channel = grpc.insecure_channel(sys.argv[1])
try:
    channel.unary_unary("/a/b")(b"", timeout=30)
except grpc.RpcError as error:
    print(ascii(error.details()))
"""


def test_what_a_peer_says_as_it_hangs_up_does_not_reach_the_terminal_by_way_of_grpc() -> None:
    """Attack: gRPC itself logs the text of an HTTP/2 GOAWAY frame, as it came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(30)
                heard = connection.recv(65_536)
                connection.sendall(bytes(3) + b"\x04" + bytes(5))  # SETTINGS
                while b"/a/b" not in heard and (more := connection.recv(65_536)):
                    heard += more
                text = b"\0\0\0\x01\0\0\0\x02\x1b]0;owned\x07"  # last stream 1, INTERNAL_ERROR
                connection.sendall(len(text).to_bytes(3, "big") + b"\x07" + bytes(5) + text)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)

        server = threading.Thread(target=hang_up)
        server.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
        done = subprocess.run(
            [sys.executable, "-c", GOODBYE, address], env=environment, capture_output=True, timeout=60, check=True
        )
        server.join()
    assert b"owned" in done.stdout
    assert done.stderr == b""
