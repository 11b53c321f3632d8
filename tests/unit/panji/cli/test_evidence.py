from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.witnesses import WITNESSES, cosigned, policy_text
from typer.testing import CliRunner

from panji.cli import app
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteVerifier
from panji.errors import Reason, RefusedError
from panji.evidence.bundle import pack, unpack
from panji.evidence.content import read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def case(panji: Any, exchange: Any) -> str:
    """A case that was acknowledged, under a directory that is on record."""
    exchange.record()
    identifier: str = panji.submit()["id"]
    panji.records("acknowledge", identifier, by="telegram")
    return identifier


@pytest.fixture
def bundle(panji: Any, case: str, tmp_path: Path) -> Path:
    path = tmp_path / "case.evidence.zip"
    panji.records("evidence", "export", case, "--out", path)
    return path


def test_a_bundle_is_verified_with_the_logs_key_and_no_profile(panji: Any, made: Any, bundle: Path) -> None:
    (record,) = panji.records("evidence", "verify", bundle, "--log-key", made.log_key, by="")
    assert (record["verified"], record["own_directory"], record["exported_by"]) == (True, False, "kominfo")
    assert [one["kind"] for one in record["statements"]] == ["flag", "acknowledgement"]
    assert record["proven"] == ["LOGGED", "SIGNED", "STATE", "EXPORTER"]
    assert record["not_proven"] == ["KEY_OWNERS", "ONE_LOG", "COMPLETE", "CLOCK"]


def test_the_verdict_is_one_line(panji: Any, bundle: Path) -> None:
    lines = panji("evidence", "verify", bundle).stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Proven: the log exchange.example/log")
    assert "the case is RECEIVED" in lines[0]
    assert ". Not proven: that the log shows everyone the same" in lines[0]


def test_a_profile_gives_the_key_and_a_directory_of_ones_own(panji: Any, made: Any, bundle: Path) -> None:
    (record,) = panji.records("evidence", "verify", bundle)
    assert record["own_directory"]
    directory = made.directory / "telegram" / "directory.toml"
    (record,) = panji.records("evidence", "verify", bundle, "--log-key", made.log_key, "--directory", directory, by="")
    assert record["own_directory"]


def test_a_key_in_the_environment_does_not_silence_the_directory_of_a_profile(
    panji: Any, made: Any, bundle: Path
) -> None:
    """Attack, or a line of docs/log.md in a shell: by the profile's directory nobody has signed, and all seems well."""
    verify = ("evidence", "verify", bundle, "--profile", made.profiles["kominfo"])
    for env in ({}, {"PANJI_VERIFIER_KEY": made.log_key}):
        assert panji.records(*verify, by="", env=env)[0]["own_directory"]
    (made.directory / "kominfo" / "directory.toml").write_text("")
    for more in ({}, {"env": {"PANJI_VERIFIER_KEY": made.log_key}}):
        error = panji.error(*verify, by="", exit_code=4, **more)
        assert "needed signatures" in error["message"]
    assert "needed" in panji.error(*verify, "--log-key", made.log_key, by="", exit_code=4)["message"]
    assert panji.error("evidence", "summary", *verify[2:], "--log-key", made.log_key, by="", exit_code=4)


def test_a_key_in_the_environment_does_not_silence_the_witnesses_of_a_profile(
    panji: Any, made: Any, bundle: Path
) -> None:
    profile = made.profiles["kominfo"]
    (profile.parent / "policy.txt").write_text(policy_text())
    profile.write_text(f'policy = "policy.txt"\n{profile.read_text()}')
    for env in ({}, {"PANJI_VERIFIER_KEY": made.log_key}):
        error = panji.error("evidence", "verify", bundle, env=env, exit_code=4)
        assert error["reason"] == "VERIFICATION_FAILED"


def test_a_key_that_is_given_says_which_log_and_the_profile_the_rest(panji: Any, made: Any, bundle: Path) -> None:
    stranger = str(NoteVerifier.for_key(made.origin, PrivateKeySigner.generate().public_key))
    profile = made.profiles["kominfo"]
    profile.write_text(profile.read_text().replace(made.log_key, stranger))
    panji.error("evidence", "verify", bundle, exit_code=4)
    (record,) = panji.records("evidence", "verify", bundle, env={"PANJI_VERIFIER_KEY": made.log_key})
    assert record["own_directory"]


def test_witnesses_are_asked_for_by_a_policy(panji: Any, exchange: Any, case: str, tmp_path: Path) -> None:
    policy, path = tmp_path / "policy.txt", tmp_path / "case.zip"
    policy.write_text(policy_text())
    panji.records("evidence", "export", case, "--out", path)
    verify = ("evidence", "verify", path, "--policy", policy)
    assert panji.error(*verify, exit_code=4)["reason"] == "VERIFICATION_FAILED"
    exchange.cosigned = cosigned(exchange.checkpoint, *WITNESSES.values(), at=datetime.now(UTC))
    panji.records("evidence", "export", case, "--out", path)
    (record,) = panji.records(*verify)
    assert "WITNESSED" in record["proven"]
    assert "cannot be read" in panji.error(*verify[:-1], tmp_path / "none", exit_code=2)["message"]


def test_a_bundle_lands_in_the_current_folder_under_the_name_of_its_case(
    panji: Any, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (record,) = panji.records("evidence", "export", case)
    path = tmp_path / f"{case}.evidence.zip"
    assert (record["file"], record["statements"], record["bytes"]) == (path.name, 2, path.stat().st_size)
    assert path.stat().st_mode & 0o077 == 0


def test_without_content_no_text_leaves(panji: Any, case: str, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    (record,) = panji.records("evidence", "export", case, "--out", path, "--without-content")
    assert not record["with_content"]
    assert b"Calls for attacks." not in path.read_bytes()
    (record,) = panji.records("evidence", "verify", path)
    assert "CONTENT" in record["not_proven"]


def test_the_summary_is_written_or_printed_in_either_language(panji: Any, bundle: Path, tmp_path: Path) -> None:
    members = unpack(bundle.read_bytes())
    page = tmp_path / "page.html"
    result = panji("evidence", "summary", bundle, "--lang", "id", "--out", page)
    assert page.read_bytes() == members["summary.id.html"]
    assert "Proven: " in result.stdout
    assert panji("evidence", "summary", bundle).stdout.strip() == members["summary.en.html"].decode().strip()
    (record,) = panji.records("evidence", "summary", bundle)
    assert record["html"].encode() == members["summary.en.html"]


def test_every_record_of_the_directory_that_counted_is_in_the_bundle(panji: Any, exchange: Any, tmp_path: Path) -> None:
    for _ in range(2):
        exchange.record()
    case = panji.submit()["id"]
    exchange.record(exchange.directory_text + "\n# again\n")
    panji.records("acknowledge", case, by="telegram")
    exchange.record()
    panji.records("evidence", "export", case, "--out", tmp_path / "case.zip")
    content = read(unpack((tmp_path / "case.zip").read_bytes()))
    assert [one.receipt.index for one in content.records] == [1, 3]
    assert [one.receipt.index for one in content.statements] == [2, 4]


def test_a_head_that_witnesses_cosigned_is_preferred_where_it_has_the_whole_case(
    panji: Any, exchange: Any, case: str, tmp_path: Path
) -> None:
    def head() -> int:
        panji.records("evidence", "export", case, "--out", tmp_path / "case.zip")
        return read(unpack((tmp_path / "case.zip").read_bytes())).head.size

    exchange.cosigned = exchange.checkpoint
    panji.submit()
    assert (exchange.size, head()) == (4, 3)
    panji.records("acknowledge", case, "--level", "under-review", by="telegram")
    assert (exchange.size, head()) == (5, 5)


def test_without_a_directory_on_record_one_of_ones_own_is_needed(panji: Any, made: Any, tmp_path: Path) -> None:
    for name in ("first", "second"):
        case, path = panji.submit()["id"], tmp_path / name
        panji.records("evidence", "export", case, "--out", path)
        panji.records("evidence", "verify", path)
        error = panji.error("evidence", "verify", path, "--log-key", made.log_key, by="", exit_code=2)
        assert "give the one that you trust" in error["message"]


def test_a_later_record_than_the_one_that_was_asked_for_is_refused(
    panji: Any, exchange: Any, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.record()
    honest = exchange._record
    monkeypatch.setattr(exchange, "_record", lambda _: honest(99))
    assert "on record there" in panji.error("evidence", "export", case, exit_code=4)["message"]


def test_an_exchange_that_refuses_otherwise_fails_the_export(
    panji: Any, exchange: Any, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise RefusedError(Reason.TREE_SIZE_OUT_OF_RANGE, "no")

    monkeypatch.setattr(exchange, "_record", refuse)
    assert panji.error("evidence", "export", case, exit_code=3)["reason"] == "TREE_SIZE_OUT_OF_RANGE"


def test_an_edited_bundle_and_another_log_are_caught(panji: Any, made: Any, bundle: Path) -> None:
    members = unpack(bundle.read_bytes())
    stranger = str(NoteVerifier.for_key(made.origin, PrivateKeySigner.generate().public_key))
    verify = ("evidence", "verify", bundle)
    assert panji.error(*verify, "--log-key", stranger, exit_code=4)["reason"] == "VERIFICATION_FAILED"
    members["summary.en.html"] = members["summary.en.html"].replace(b"telegram", b"whatsapp")
    bundle.write_bytes(pack(members))
    assert "summary.en.html" in panji.error(*verify, exit_code=4)["message"]
    bundle.write_bytes(b"no bundle")
    panji.error("evidence", "summary", bundle, exit_code=4)


def test_what_is_no_file_or_no_key_is_invalid_input(panji: Any, case: str, bundle: Path, tmp_path: Path) -> None:
    assert "cannot be read" in panji.error("evidence", "verify", tmp_path / "none", exit_code=2)["message"]
    panji.error("evidence", "verify", bundle, "--log-key", "exchange+0+x", exit_code=2)
    nowhere = tmp_path / "no" / "where"
    assert "cannot be written" in panji.error("evidence", "export", case, "--out", nowhere, exit_code=2)["message"]
    assert panji.error("evidence", "verify", bundle, by="", exit_code=6)["reason"] == "CONFIG_INVALID"


def test_a_case_of_others_is_not_exported(panji: Any) -> None:
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert panji.error("evidence", "export", unknown, exit_code=3)["reason"] == "CASE_NOT_FOUND"


def test_the_help_is_shown_as_it_is_written() -> None:
    shown = CliRunner().invoke(app, ["evidence", "export", "--help"]).stdout
    assert "[CASE.evidence.zip in the current folder]" in " ".join(shown.split())
    assert "\\" not in shown


def test_one_statement_is_counted_as_one(panji: Any, exchange: Any, tmp_path: Path) -> None:
    exchange.record()
    case = panji.submit()["id"]
    assert ": 1 statement, " in panji("evidence", "export", case, "--out", tmp_path / "one").stdout
