from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.lying_exchange import Log
from support.statements import a_statement
from support.witnesses import WITNESSES, cosigned, policy_text

from panji.core import envelope as dsse
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner, NoteVerifier
from panji.wire.envelopes import encode_envelope
from panji.wire.receipts import encode_receipt
from panji.wire.statements import encode_statement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def exported(panji: Any, tmp_path: Path) -> dict[str, Any]:
    case = panji.submit()["id"]
    records: list[dict[str, Any]] = panji.records("receipt", "export", case, "--out", tmp_path / "proof")
    return records[0]


def test_a_receipt_is_verified_with_two_files_and_the_logs_key_and_no_profile(
    panji: Any, made: Any, exported: dict[str, Any]
) -> None:
    (record,) = panji.records("receipt", "verify", exported["receipt"], "--log-key", made.log_key, by="")
    assert record["verified"]
    assert (record["sender"], record["index"], record["signers"]) == ("kominfo", 0, None)
    directory = made.directory / "telegram" / "directory.toml"
    result = panji("receipt", "verify", exported["receipt"], "--log-key", made.log_key, "--directory", directory, by="")
    assert "From kominfo, by 1 of its keys, to telegram, number 1 there." in result.stdout


def test_without_a_directory_the_sender_is_a_claim(panji: Any, made: Any, exported: dict[str, Any]) -> None:
    verify = ("receipt", "verify", exported["receipt"], "--log-key", made.log_key)
    (record,) = panji.records(*verify, by="")
    assert (record["sender"], record["sender_verified"]) == ("kominfo", False)
    assert "By its own word from kominfo: NOT verified" in panji(*verify, by="").stdout


@pytest.mark.parametrize("with_directory", [True, False])
@pytest.mark.parametrize("lie", ["another feed", "another kind", "another exchange", "another type"])
def test_a_receipt_for_something_else_is_no_proof(
    panji: Any, made: Any, tmp_path: Path, lie: str, with_directory: bool
) -> None:
    """Attack: the exchange logs a flag for somebody else, or as something else, and shows a receipt all the same."""
    log = Log(
        NoteSigner(made.origin, PrivateKeySigner.from_pem((made.directory / "exchange/keys/log.pem").read_bytes()))
    )
    key = PrivateKeySigner.from_pem((made.directory / "kominfo/keys/statements.pem").read_bytes())
    now = datetime.now(UTC)
    exchange = "another.example/log" if lie == "another exchange" else made.origin
    statement = a_statement(sender="kominfo", recipient="telegram", exchange=exchange, issued_at=now)
    payload_type = "text/plain" if lie == "another type" else dsse.PAYLOAD_TYPE
    data = encode_envelope(dsse.sign(encode_statement(statement), [key], payload_type))
    kind = "acknowledgement" if lie == "another kind" else "flag"
    receipt = log.append(dsse.digest(data), kind, "whatsapp" if lie == "another feed" else "telegram", 1, now)
    (tmp_path / "x.envelope").write_bytes(data)
    (tmp_path / "x.receipt").write_bytes(encode_receipt(receipt))
    trusted = () if with_directory else ("--log-key", made.log_key)
    error = panji.error(
        "receipt", "verify", tmp_path / "x.receipt", *trusted, by="telegram" if with_directory else "", exit_code=4
    )
    assert {"feed": "feed", "kind": "not for a flag", "exchange": "exchange", "type": "type"}[lie[8:]] in error[
        "message"
    ]


def test_a_profile_gives_the_key_and_the_directory(panji: Any, exported: dict[str, Any]) -> None:
    (record,) = panji.records("receipt", "verify", exported["receipt"])
    assert len(record["signers"]) == 1


def test_a_changed_envelope_another_log_and_an_unknown_sender_are_caught(
    panji: Any, made: Any, exported: dict[str, Any], tmp_path: Path
) -> None:
    other = tmp_path / "other.envelope"
    with open(exported["envelope"], "rb") as file:  # noqa: PTH123 - a path as text
        other.write_bytes(file.read()[:-1] + b"\x00")
    verify = ("receipt", "verify", exported["receipt"])
    assert panji.error(*verify, "--envelope", other, exit_code=4)["reason"] == "VERIFICATION_FAILED"
    stranger = str(NoteVerifier.for_key(made.origin, PrivateKeySigner.generate().public_key))
    assert panji.error(*verify, "--log-key", stranger, exit_code=4)["reason"] == "VERIFICATION_FAILED"
    nobody = tmp_path / "directory.toml"
    nobody.write_text("")
    assert "0 of 1 needed signatures" in panji.error(*verify, "--directory", nobody, exit_code=4)["message"]


def test_what_is_no_receipt_no_key_or_no_file_is_invalid_input(
    panji: Any, exported: dict[str, Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.receipt"
    broken.write_bytes(b"\xff\xff\xff")
    panji.error("receipt", "verify", broken, "--envelope", exported["envelope"], exit_code=2)
    panji.error("receipt", "verify", exported["receipt"], "--log-key", "exchange+0+x", exit_code=2)
    assert "cannot be read" in panji.error("receipt", "verify", tmp_path / "none", exit_code=2)["message"]


def test_without_a_profile_or_a_key_it_is_said_that_the_key_is_enough(panji: Any, made: Any, exported: Any) -> None:
    error = panji.error("receipt", "verify", exported["receipt"], by="", exit_code=6)
    assert error["reason"] == "CONFIG_INVALID"
    assert "--log-key (or PANJI_VERIFIER_KEY) is enough" in error["message"]
    key = {"PANJI_VERIFIER_KEY": made.log_key}
    assert panji.records("receipt", "verify", exported["receipt"], by="", env=key)[0]["verified"]


def test_a_key_in_the_environment_does_not_silence_the_directory_of_a_profile(
    panji: Any, made: Any, exported: dict[str, Any]
) -> None:
    """Attack, or a line of docs/log.md in a shell: the sender is a claim, though a profile knows who may speak."""
    verify = ("receipt", "verify", exported["receipt"])
    key = {"PANJI_VERIFIER_KEY": made.log_key}
    assert panji.records(*verify, env=key)[0]["sender_verified"]
    (made.directory / "kominfo" / "directory.toml").write_text("")
    assert "needed signatures" in panji.error(*verify, env=key, exit_code=4)["message"]


def test_the_receipt_is_looked_at_first_and_an_envelope_in_its_place_is_told(
    panji: Any, exported: dict[str, Any], tmp_path: Path
) -> None:
    missing = tmp_path / "none.receipt"
    error = panji.error("receipt", "verify", missing, by="", exit_code=2)
    assert error["message"].startswith(f"{missing} cannot be read")
    error = panji.error("receipt", "verify", exported["envelope"], by="", exit_code=2)
    assert error["message"] == f"{exported['envelope']} is an envelope: give the .receipt beside it"


def test_one_statement_of_a_case_is_exported_by_its_own_id(panji: Any, tmp_path: Path) -> None:
    case = panji.submit("--test")["id"]
    (reply,) = panji.records("acknowledge", case, by="telegram")
    records = panji.records("receipt", "export", reply["id"], "--out", tmp_path)
    assert [one["kind"] for one in records] == ["acknowledgement"]
    assert len(panji.records("receipt", "export", case, "--out", tmp_path)) == 2
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert panji.error("receipt", "export", unknown, exit_code=3)["reason"] == "CASE_NOT_FOUND"
    assert "no UUIDv7" in panji.error("receipt", "export", "no id", exit_code=2)["message"]


def test_the_export_of_an_exchange_that_fails_otherwise_fails_with_that(
    panji: Any, exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from panji.errors import Reason, RefusedError  # noqa: PLC0415 - for this test only

    def refuse(*_: Any) -> None:
        raise RefusedError(Reason.PARTICIPANT_UNKNOWN, "suspended")

    monkeypatch.setattr(exchange, "call", refuse)
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert panji.error("receipt", "export", unknown, exit_code=3)["reason"] == "PARTICIPANT_UNKNOWN"


def test_the_checkpoint_is_shown(panji: Any, made: Any) -> None:
    panji.submit()
    (record,) = panji.records("checkpoint")
    assert (record["origin"], record["size"]) == (made.origin, 1)
    assert panji("checkpoint").stdout.splitlines() == [made.origin, "1", record["root"]]


def test_the_checkpoint_is_shown_with_those_who_cosigned_it(panji: Any, made: Any, exchange: Any) -> None:
    panji.submit()
    at = datetime.now(UTC).replace(microsecond=0)
    exchange.cosigned = cosigned(exchange.checkpoint, *WITNESSES.values(), at=at)
    profile = made.profiles["kominfo"]
    (profile.parent / "policy.txt").write_text(policy_text())
    profile.write_text(f'policy = "policy.txt"\n{profile.read_text()}')
    (record,) = panji.records("checkpoint")
    assert record["witnessed_size"] == 1
    when = at.isoformat().replace("+00:00", "Z")
    assert record["witnesses"] == [
        {"witness": name, "key": str(one.verifier), "at": when} for name, one in WITNESSES.items()
    ]
    assert panji("checkpoint").stdout.splitlines()[3:] == [f"{name} cosigned 1 at {when}" for name in WITNESSES]
    exchange.cosigned = ""
    assert panji.error("checkpoint", exit_code=4)["reason"] == "VERIFICATION_FAILED"
