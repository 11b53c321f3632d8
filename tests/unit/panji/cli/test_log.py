"""``panji log``: the commands over a directory, over HTTP, and over the participant's own connection."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import BEGAN, LOG, ORIGIN, a_log, an_entry, bundle, entries, head, signed
from support.web import Site, serving_site

from panji.core import merkle
from panji.core.note import NoteVerifier
from panji.errors import TransportError

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("--log-key", str(LOG.verifier))
SIZE = 600


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    return a_log(SIZE).write(tmp_path / "tiles")


@pytest.fixture
def here(tiles: Path) -> tuple[Any, ...]:
    """Options that name the log and its key."""
    return ("--tiles", tiles, *KEY)


def test_head_shows_the_signed_note_to_keep(panji: Any, here: tuple[Any, ...], tmp_path: Path) -> None:
    (record,) = panji.records("log", "head", *here, by="")
    assert (record["origin"], record["size"], record["root"]) == (ORIGIN, SIZE, head(entries(SIZE)).root_text)
    assert record["checkpoint"] == signed(entries(SIZE))
    assert panji("log", "head", *here, by="").stdout == signed(entries(SIZE))
    panji.records("log", "head", *here, "--out", tmp_path / "head", by="")
    assert (tmp_path / "head").read_text() == signed(entries(SIZE))
    assert "cannot be written" in panji.error("log", "head", *here, "--out", tmp_path, by="", exit_code=2)["message"]


@pytest.mark.parametrize("index", [0, 300, SIZE - 1])
def test_prove_gives_a_tlog_proof_that_verifies(panji: Any, here: tuple[Any, ...], index: int, tmp_path: Path) -> None:
    (record,) = panji.records("log", "prove", index, *here, by="")
    proof = [base64.b64decode(one) for one in record["proof"]]
    leaf = merkle.leaf_hash(an_entry(index))
    merkle.verify_inclusion(leaf, index, SIZE, proof, head(entries(SIZE)).root)
    assert record["kind"] == "flag"
    lines, _, checkpoint = record["tlog_proof"].partition("\n\n")
    assert checkpoint == signed(entries(SIZE))
    first, second, *hashes = lines.split("\n")
    assert (first, second) == ("c2sp.org/tlog-proof@v1", f"index {index}")
    assert [base64.b64decode(one) for one in hashes] == proof
    out = tmp_path / "proof"
    assert panji("log", "prove", index, *here, "--out", out, by="").exit_code == 0
    assert out.read_text() == record["tlog_proof"]


def test_prove_says_when_there_is_no_such_entry(panji: Any, here: tuple[Any, ...]) -> None:
    error = panji.error("log", "prove", SIZE, *here, by="", exit_code=2)
    assert error["message"] == "the log has 600 entries, so there is none of index 600"


def test_prove_notices_a_lie(panji: Any, here: tuple[Any, ...], tiles: Path) -> None:
    (tiles / "tile/0/001").write_bytes(bytes(8192))
    assert panji.error("log", "prove", 300, *here, by="", exit_code=4)["reason"] == "VERIFICATION_FAILED"


@pytest.mark.parametrize(("old", "new"), [(0, ""), (1, ""), (257, ""), (600, ""), (3, 512), (512, 512)])
def test_consistency_proves_growth_between_any_sizes(
    panji: Any, here: tuple[Any, ...], old: int, new: int | str
) -> None:
    (record,) = panji.records("log", "consistency", old, *([new] if new else []), *here, by="")
    size = int(new or SIZE)
    assert (record["old_size"], record["new_size"]) == (old, size)
    proof = [base64.b64decode(one) for one in record["proof"]]
    older, newer = head(entries(SIZE), old), head(entries(SIZE), size)
    merkle.verify_consistency(old, size, proof, older.root, newer.root)
    assert (
        f"{size} entries only append to {old}"
        in panji("log", "consistency", old, *([new] if new else []), *here, by="").stdout
    )


def test_a_consistency_that_needs_no_proof_says_so(panji: Any, here: tuple[Any, ...], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(signed(entries(SIZE)))
    (line,) = panji("log", "consistency", kept, *here, by="").stdout.splitlines()
    root = base64.b64encode(head(entries(SIZE), SIZE).root).decode()
    assert line.endswith(f": they are the same, with the same root {root}, and there is nothing else to prove")
    (line,) = panji("log", "consistency", 0, *here, by="").stdout.splitlines()
    assert line.endswith(": every log begins with none, so there is nothing to prove")
    heading, *proof = panji("log", "consistency", 300, *here, by="").stdout.splitlines()
    assert heading.endswith("base64:")
    assert proof


def test_consistency_with_a_signed_head_in_a_file(panji: Any, here: tuple[Any, ...], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(signed(entries(SIZE), 300))
    (record,) = panji.records("log", "consistency", kept, *here, by="")
    assert record["old_size"] == 300
    for rewritten in ([*entries(299), an_entry(9999)], entries(1000)):
        kept.write_text(signed(rewritten))
        panji.error("log", "consistency", kept, *here, by="", exit_code=4)


@pytest.mark.parametrize(
    ("old", "new"),
    [(601, ""), (3, 601), (5, 3), ("nowhere", ""), pytest.param("9" * 5000, "", id="digits"), (1, "9" * 20)],
)
def test_consistency_between_what_is_not_there(panji: Any, here: tuple[Any, ...], old: Any, new: Any) -> None:
    panji.error("log", "consistency", old, *([new] if new else []), *here, by="", exit_code=2)


def test_verify_says_in_one_line_what_is_proven(panji: Any, here: tuple[Any, ...], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(signed(entries(SIZE), 300))
    result = panji("log", "verify", *here, "--since", kept, by="")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"Verified: {ORIGIN}: 600 of 600 entries lead to the signed root")
    assert line.endswith("and extend the older heads of 300.")
    (record,) = panji.records("log", "verify", *here, by="")
    assert (record["type"], record["verified"], record["entries"]) == ("audit", True, SIZE)


def test_verify_names_the_first_thing_that_is_wrong(panji: Any, here: tuple[Any, ...], tiles: Path) -> None:
    log = a_log(SIZE)
    log.flip(bundle(1), 40)
    (tiles / bundle(1)).write_bytes(log.files[bundle(1)])
    error = panji.error("log", "verify", *here, by="", exit_code=4)
    assert error["message"].startswith("entry 256 in tile/entries/001")
    assert not error["retryable"]


@pytest.mark.parametrize(
    "kept", [signed([*entries(299), an_entry(9999)]), signed(entries(1000)), "no note", "\ufffd"], ids=str.__len__
)
def test_verify_holds_the_log_to_heads_that_were_kept(
    panji: Any, here: tuple[Any, ...], tmp_path: Path, kept: str
) -> None:
    (tmp_path / "kept").write_text(kept)
    assert panji.error("log", "verify", *here, "--since", tmp_path / "kept", by="", exit_code=4)


def test_a_kept_head_that_cannot_be_read_is_invalid_input(panji: Any, here: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"\xff")
    for path in (tmp_path / "kept", tmp_path / "nowhere"):
        panji.error("log", "verify", *here, "--since", path, by="", exit_code=2)


def test_verify_over_http_and_a_mirror_of_it(panji: Any, tmp_path: Path) -> None:
    log = a_log(SIZE)
    site = Site({f"/log/{path}": (200, {}, data) for path, data in log.files.items()})
    with serving_site(site):
        url = ("--url", f"{site.url}/log/", *KEY)
        (record,) = panji.records("log", "verify", *url, by="")
        assert record["entries"] == SIZE
        (record,) = panji.records("log", "mirror", tmp_path / "copy", *url, by="")
        assert (record["type"], record["size"], record["older"]) == ("mirror", SIZE, [])
        assert "0 of 600" not in panji("log", "mirror", tmp_path / "copy", *url, by="").stdout
    (record,) = panji.records("log", "verify", "--tiles", tmp_path / "copy", *KEY, by="")
    assert record["last_received_at"] == (BEGAN.replace(minute=9, second=59)).isoformat().replace("+00:00", "Z")


def test_a_server_that_does_not_answer_is_a_matter_of_transport(panji: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panji.logs.web._BACKOFF", 0)
    with serving_site(Site({"/checkpoint": (500, {}, b"")})) as site:
        error = panji.error("log", "verify", "--url", site.url, *KEY, by="", exit_code=5)
    assert error["retryable"]


def test_by_default_it_is_the_log_of_the_profiles_exchange(panji: Any) -> None:
    for url in ("https://t.me/a", "https://t.me/b"):
        panji.submit(url=url)
    (record,) = panji.records("log", "head")
    assert record["size"] == 2
    (record,) = panji.records("log", "verify")
    assert (record["entries"], record["older"]) == (2, [2])


def test_a_profile_gives_the_key_for_other_places_too(panji: Any, tiles: Path) -> None:
    assert panji.error("log", "head", "--tiles", tiles, exit_code=4)["reason"] == "VERIFICATION_FAILED"


def test_without_a_key_or_a_profile_the_configuration_is_missing(panji: Any, tiles: Path) -> None:
    panji.error("log", "head", "--tiles", tiles, by="", exit_code=6)


@pytest.mark.parametrize(
    "options",
    [
        ("--url", "http://log.example", "--tiles", "."),
        ("--url", "gopher://log.example"),
        ("--tiles", "nowhere-at-all"),
        ("--tiles", ".", "--log-key", "no key"),
    ],
)
def test_a_wrong_source_is_invalid_input(panji: Any, options: tuple[str, ...]) -> None:
    panji.error("log", "head", *KEY, *options, by="", exit_code=2)


def test_another_logs_key_verifies_nothing(panji: Any, tiles: Path, made: Any) -> None:
    stranger = str(NoteVerifier.for_key(ORIGIN, NoteVerifier.parse(made.log_key).public_key))
    panji.error("log", "verify", "--tiles", tiles, "--log-key", stranger, by="", exit_code=4)


def test_a_database_is_audited_by_the_server_in_this_process(panji: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    class ReplacedError(Exception):
        """The process would be another one from here on."""

    def replace(path: str, arguments: list[str]) -> None:
        ran.append([path, *arguments])
        raise ReplacedError

    monkeypatch.setattr("os.execv", replace)
    command = ("log", "verify", "--config", "x.toml", "--since", "a", "--since", "b", *KEY, "--json")
    assert panji(*command, by="").exit_code == 1
    server = [sys.executable, sys.executable, "-m", "panji_server.verify"]
    since = ["--since", "a", "--since", "b"]
    assert ran == [[*server, "--config", "x.toml", *since, *KEY, "--json"]]
    panji.error("log", "verify", "--config", "x.toml", "--tiles", ".", by="", exit_code=2)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert (
        "pip install ./client ./server" in panji.error("log", "verify", "--config", "x", by="", exit_code=6)["message"]
    )


def test_a_database_is_rebuilt_by_the_server_in_this_process(panji: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def replace(_: str, arguments: list[str]) -> None:
        ran.append(arguments[2:])
        raise OSError("the process would be another one from here on")

    monkeypatch.setattr("os.execv", replace)
    assert panji("log", "rebuild", "--config", "x.toml", "--check", *KEY, "--json", by="").exit_code == 1
    assert panji("log", "rebuild", "--config", "x.toml", "--out", "new.db", by="").exit_code == 1
    assert ran == [
        ["panji_server.rebuild", "--config", "x.toml", *KEY, "--json"],
        ["panji_server.rebuild", "--config", "x.toml", "--out", "new.db"],
    ]
    for both_or_none in ([], ["--check", "--out", "new.db"]):
        panji.error("log", "rebuild", "--config", "x.toml", *both_or_none, by="", exit_code=2)


def test_an_exchange_that_goes_away_is_a_matter_of_transport(
    panji: Any, exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object) -> None:
        raise TransportError("UNAVAILABLE: nobody answers")

    monkeypatch.setattr(exchange, "call", nobody)
    panji.error("log", "verify", exit_code=5)


def test_json_prints_nothing_but_records(panji: Any, here: tuple[Any, ...]) -> None:
    result = panji("log", "verify", *here, "--json", by="")
    assert [json.loads(line)["type"] for line in result.output.splitlines()] == ["audit"]
