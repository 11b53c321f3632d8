"""The audit log: every event by its schema, one line each whatever it says, and nothing of a flag's content."""

from __future__ import annotations

import ast
import io
import json
import stat
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rooms import an_organisation

import panji_server
from panji_server.audit import COMMON, EVENTS, FIELDS, AuditLog
from panji_server.rpc.call import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = sorted(Path(panji_server.__file__).parent.rglob("*.py"))
CALL = ("request_id", "trace_id", "method", "participant", "organisation")
"""What every event of a call begins with."""
NASTY = 'a\nb\rc\u2028d\u2029e\x1b[31mred\x1b[0m\x00\x85\u202e"\\ {}\ud800'
"""Line breaks of every kind, terminal colours, a change of direction, quotes, and half of a character."""


def emissions() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every place in the server that writes an event: where, which, and with which fields."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = ast.unparse(node.func)
            if function == "self._report" or function.endswith("audit.write"):
                (event,) = node.args
            else:
                continue
            if not isinstance(event, ast.Constant):
                assert ast.unparse(node) == "self._audit.write(event, **fields)"  # the inside of _report
                continue
            fields: list[str] = []
            for keyword in node.keywords:
                if keyword.arg is not None:
                    fields.append(keyword.arg)
                else:
                    assert ast.unparse(keyword.value) in {"call.fields", "fields"}
                    fields += CALL
            yield f"{path.name}:{node.lineno}", str(event.value), tuple(fields)


def line_of(event: str, **fields: object) -> str:
    stream = io.StringIO()
    AuditLog(stream).write(event, **fields)
    return stream.getvalue()


# The schema.


@pytest.mark.parametrize(("where", "event", "fields"), [pytest.param(*one, id=one[0]) for one in emissions()])
def test_every_event_is_written_with_exactly_its_fields(where: str, event: str, fields: tuple[str, ...]) -> None:
    assert event in EVENTS
    assert sorted(fields) == sorted(EVENTS[event].fields)


def test_every_event_of_the_schema_is_written_somewhere() -> None:
    written = defaultdict(list)
    for where, event, _ in emissions():
        written[event].append(where)
    assert set(written) == set(EVENTS)


def test_a_call_gives_the_fields_that_every_event_of_a_call_has() -> None:
    call = Call("/panji.v1.FlagService/SubmitFlag", "request", "trace", "peer", 0.0)
    assert tuple(call.fields) == CALL
    assert call.fields["organisation"] == ""
    call.organisation = an_organisation()
    assert call.fields["organisation"] == call.caller.id
    with_call = [event for event in EVENTS.values() if "method" in event.fields]
    assert all(event.fields[: len(CALL)] == CALL for event in with_call)


def test_every_field_has_a_meaning_and_every_meaning_a_field() -> None:
    assert {field for event in EVENTS.values() for field in event.fields} == set(FIELDS)
    assert not COMMON.keys() & FIELDS.keys()
    assert all(len(set(event.fields)) == len(event.fields) for event in EVENTS.values())
    assert {event.level for event in EVENTS.values()} == {"info", "warning", "error"}
    assert all(
        text.endswith(".") for text in (*COMMON.values(), *FIELDS.values(), *(e.meaning for e in EVENTS.values()))
    )


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("exchange.exploded", {}),
        ("exchange.stopped", {}),
        ("exchange.stopped", {"size": 1, "reasons": "what a flag said"}),
        ("exchange.stopped", {"count": 1}),
    ],
    ids=["no such event", "a field left out", "a field too many", "another field"],
)
def test_what_is_not_in_the_schema_is_not_written(event: str, fields: dict[str, object]) -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="is no event of the schema"):
        AuditLog(stream).write(event, **fields)
    assert stream.getvalue() == ""


# Lines.


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_one_line_of_ascii_whatever_stands_in_it(name: str) -> None:
    """Attack: to forge a line of the log, or to write to the terminal of whoever reads it."""
    line = line_of(name, **dict.fromkeys(EVENTS[name].fields, NASTY))
    assert line.endswith("\n")
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line.splitlines() == [line[:-1]]
    event = json.loads(line)
    assert event.keys() == {*COMMON, *EVENTS[name].fields}
    assert (event["event"], event["level"]) == (name, EVENTS[name].level)
    assert all(event[field] == NASTY for field in EVENTS[name].fields)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_comes_back_from_its_one_line(text: str) -> None:
    line = line_of("exchange.failed", error=text)
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert json.loads(line)["error"] == text


def test_times_are_utc_with_microseconds() -> None:
    time = json.loads(line_of("exchange.stopped", size=1))["time"]
    assert len(time) == len("2026-05-04T12:00:00.123456+00:00")
    assert time.endswith("+00:00")


def test_values_keep_their_types() -> None:
    fields = dict.fromkeys(EVENTS["statement.refused"].fields, "x")
    event = json.loads(
        line_of("statement.refused", **{**fields, "item": 3, "retryable": False, "violations": ["flag.reasons"]})
    )
    assert (event["item"], event["retryable"], event["violations"]) == (3, False, ["flag.reasons"])


def test_no_event_has_a_field_for_what_a_statement_says() -> None:
    """The texts, targets and addresses of flags have no place in the schema, and the schema is held to."""
    content = {"reasons", "text", "url", "target", "targets", "note", "subject", "payload", "envelope", "handle"}
    assert not content & FIELDS.keys()


# Files.


def test_a_file_is_appended_to_and_reaches_the_disk_with_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event":"before"}\n')
    log = AuditLog.open(str(path))
    try:
        log.write("exchange.stopped", size=1)
        log.write("exchange.stopped", size=2)
        assert len(path.read_text().splitlines()) == 1  # a batch of a thousand is one write
        log.flush()
        assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
            "before", "exchange.stopped", "exchange.stopped",
        ]  # fmt: skip
    finally:
        log._stream.close()


def test_a_new_file_is_nobody_elses_to_read_and_an_old_one_is_left_as_it_is(tmp_path: Path) -> None:
    """Who spoke to whom is in it."""
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    old.touch()
    old.chmod(0o640)
    for path in (new, old):
        AuditLog.open(str(path)).close()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    log = AuditLog.open("-")
    log.write("exchange.stopped", size=3)
    log.flush()
    assert json.loads(capsys.readouterr().out)["size"] == 3


class FullDisk(io.StringIO):
    """Where nothing can be written, or nothing be flushed."""

    def __init__(self, *, writes: bool) -> None:
        super().__init__()
        self._writes = writes

    def write(self, text: str) -> int:
        if self._writes:
            return super().write(text)
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("writes", [False, True], ids=["writing fails", "flushing fails"])
def test_what_cannot_be_told_ends_the_exchange(writes: bool) -> None:
    def end(error: OSError) -> NoReturn:
        raise SystemExit(str(error))

    with pytest.raises(SystemExit, match="No space left"):
        told(AuditLog(FullDisk(writes=writes), end))
    with pytest.raises(OSError, match="No space left"):
        told(AuditLog(FullDisk(writes=writes)))


def told(log: AuditLog) -> None:
    log.write("exchange.stopped", size=1)
    log.flush()


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        AuditLog.open(str(tmp_path))
