"""Reading a day: the importer reads the flags, and the times stand beside them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from panji.core.procedure import Answer, Cause
from panji.core.procedure.simulation import Stop
from panji.errors import InputError
from panji.procedures.plays import Day, read_day

TAKEDOWNS = Path(os.environ.get("PANJI_SHARED", Path(__file__).parents[5] / "shared"), "data", "gov-takedowns.jsonl")

FLAG: dict[str, Any] = {
    "id": "17",
    "instrument": "ORDER",
    "category": "GAMBLING",
    "sub_category": "GAMBLING_SITE",
    "urgency": "ROUTINE",
    "reasons": "See the order.",
    "requested_actions": ["REMOVE"],
    "legal_basis": ["ID: UU ITE, art. 27(2)"],
    "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
    "targets": [{"kind": "URL", "url": "https://bet.example/"}],
}
TIMES: dict[str, Any] = {"received": "2026-08-01T08:00:00+07:00"}


def at(hour: int) -> datetime:
    return datetime(2026, 8, 1, hour, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "day.jsonl"


def read(file: Path, *entries: Any) -> Day:
    file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in entries))
    return read_day(file)


def missing(file: Path, times: Any, **changes: Any) -> list[str]:
    ((_, violations),) = read(file, FLAG | {"times": times} | changes).incomplete
    return [one.field for one in violations]


def test_a_row_has_all_its_times_in_utc(file: Path) -> None:
    times = TIMES | {
        "delivered": "2026-08-01T09:00:00+07:00",
        "ordered": "2026-08-01T10:00:00+07:00",
        "last_seen": "2026-08-01T11:00:00+07:00",
        "answered": {"received": "2026-08-01T12:00:00+07:00", "decided": "2026-08-01T13:00:00+07:00"},
        "stops": [
            {"cause": "clarification", "begins": "2026-08-01T14:00:00+07:00", "ends": "2026-08-01T15:00:00+07:00"},
            {"cause": "force_majeure", "begins": "2026-08-01T16:00:00+07:00", "ends": None},
        ],
    }
    (play,) = read(file, FLAG | {"times": times}).plays
    assert (play.name, play.flag.reasons) == ("17", "See the order.")
    assert (play.received, play.delivered, play.ordered, play.last_seen) == (at(1), at(2), at(3), at(4))
    assert play.answered == {Answer.RECEIVED: at(5), Answer.DECIDED: at(6)}
    assert play.stops == (Stop(Cause.CLARIFICATION, at(7), at(8)), Stop(Cause.FORCE_MAJEURE, at(9), None))


def test_only_when_it_was_received_must_be_known(file: Path) -> None:
    (play,) = read(file, {name: value for name, value in FLAG.items() if name != "id"} | {"times": TIMES}).plays
    assert (play.name, play.delivered, play.ordered, play.last_seen) == ("line 1", None, None, None)
    assert (play.answered, play.stops) == ({}, ())


@pytest.mark.parametrize(
    ("times", "fields"),
    [
        (None, ["times.received"]),
        ({}, ["times.received"]),
        ([], ["times", "times.received"]),
        ({"received": "2026-08-01T08:00:00"}, ["times.received"]),
        ({"received": "yesterday"}, ["times.received"]),
        ({"received": "0001-01-01T00:00:00+14:00"}, ["times.received"]),
        (TIMES | {"delivered": "soon"}, ["times.delivered"]),
        (TIMES | {"decided": "2026-08-01T08:00:00Z"}, ["times.decided"]),
        (TIMES | {"answered": {"closed": "2026-08-01T08:00:00Z"}}, ["times.answered.closed"]),
        (TIMES | {"answered": {"decided": "soon"}}, ["times.answered.decided"]),
        (TIMES | {"stops": {}}, ["times.stops"]),
        (TIMES | {"stops": [{"cause": "tea", "begins": "2026-08-01T08:00:00Z"}]}, ["times.stops[0].cause"]),
        (TIMES | {"stops": [{"cause": "clarification", "begins": "soon"}]}, ["times.stops[0].begins"]),
        (
            TIMES | {"stops": [{"cause": "clarification", "begins": "2026-08-01T08:00:00Z", "till": 1}]},
            ["times.stops[0].till"],
        ),
    ],
)
def test_times_that_are_wrong_make_the_row_incomplete(file: Path, times: Any, fields: list[str]) -> None:
    assert missing(file, times) == fields


def test_what_the_importer_finds_and_what_is_wrong_with_the_times_are_told_together(file: Path) -> None:
    assert missing(file, {"received": "soon"}, urgency="?") == ["flag.urgency", "times.received"]


def test_rows_keep_their_lines_and_one_that_is_bad_sinks_no_other(file: Path) -> None:
    day = read(file, "", "no json", FLAG | {"times": TIMES}, "[]")
    assert [(row.number, violations[0].field) for row, violations in day.incomplete] == [(2, "line"), (4, "line")]
    assert [play.name for play in day.plays] == ["17"]


def test_published_notices_come_at_the_beginning_of_their_day(file: Path) -> None:
    notice = {
        "id": "ru-1",
        "received": "2020-01-02",
        "jurisdiction": "RU",
        "authority_name": "Roskomnadzor",
        "authority_type": "executive_agency",
        "legal_basis": ["RU: Federal Law 149-FZ, art. 15.1"],
        "subject": ["gambling"],
        "targets": [{"url": "https://bet.example/a", "kind": "pages_page"}],
        "actions_asked": ["remove"],
        "source": {"repo": "r", "path": "a.md", "sha256": "cd" * 32, "bytes": 9},
    }
    timed = notice | {"id": "ru-2", "times": TIMES}
    odd = notice | {"id": "ru-3", "received": 2020}
    day = read(file, notice, timed, odd)
    assert [(play.name, play.received) for play in day.plays] == [
        ("ru-1", datetime(2020, 1, 2, tzinfo=UTC)),
        ("ru-2", at(1)),
    ]
    assert [row.source_id for row, _ in day.incomplete] == ["ru-3"]


@pytest.mark.skipif(not TAKEDOWNS.exists(), reason="the shared data are not here")
def test_the_published_notices_of_four_countries_can_be_played() -> None:
    day = read_day(TAKEDOWNS)
    assert (len(day.plays), len(day.incomplete)) == (79, 2)


def test_a_file_that_is_no_json_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_day(tmp_path / "absent.jsonl")
    (tmp_path / "day.csv").write_text("kind,url\nURL,https://bet.example/\n")
    with pytest.raises(InputError, match="CSV has no column"):
        read_day(tmp_path / "day.csv")
    (tmp_path / "day.jsonl").write_bytes(b"{}\xff")
    with pytest.raises(InputError, match="not UTF-8: byte 2"):
        read_day(tmp_path / "day.jsonl")
