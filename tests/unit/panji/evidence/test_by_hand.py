"""The same evidence, checked by programs that none of us wrote: a shell with OpenSSL, and securesystemslib."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as OtherVerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # its public name
from support.evidence import LATER, Stage
from support.statements import PLATFORM, an_acknowledgement
from support.witnesses import WITNESSES, cosigned

from panji.core import envelope as dsse
from panji.core.keys import Algorithm, PublicKey
from panji.evidence.bundle import unpack
from panji.evidence.content import read
from panji.evidence.texts import Language
from panji.wire.envelopes import parse_envelope

if TYPE_CHECKING:
    from pathlib import Path

    from panji.trust import Verified

FLAG = "statements/0001-flag"
ACK = "statements/0002-acknowledgement"


def unzip(data: bytes, folder: Path) -> Path:
    """Unpacks a bundle as anybody would."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder


def steps(folder: Path, language: Language = Language.EN) -> dict[str, str]:
    """The indented lines of the instructions, by the number of their step."""
    found: dict[str, str] = {}
    number = "0"
    for line in (folder / f"HOW-TO-CHECK.{language}.txt").read_text("utf-8").splitlines():
        if line[:1].isdigit() and line[1] == ".":
            number = line[0]
        if line.startswith("    "):
            found[number] = found.get(number, "") + line[4:] + "\n"
    return found


def shell(folder: Path, commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh"], input=commands, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("language", Language)
def test_the_steps_check_a_bundle_with_openssl_alone(decided: Stage, tmp_path: Path, language: Language) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    done = shell(folder, "".join(steps(folder, language).values()))
    assert done.returncode == 0, done.stderr
    # The head, a flag, an answer and a record by Ed25519 keys; three answers by a P-256 key.
    assert done.stdout.count("Signature Verified Successfully") == 4
    assert done.stdout.count("Verified OK") == 3
    assert decided.key.public_key.keyid in done.stdout
    assert 'id = "telegram"' in done.stdout


def test_the_steps_find_the_logs_line_among_those_of_witnesses(stage: Stage, tmp_path: Path) -> None:
    stage.flag()
    note = cosigned(stage.log.checkpoint(), *WITNESSES.values(), at=LATER)
    text, _, lines = note.rpartition("\n\n")
    shuffled = f"{text}\n\n" + "".join(f"{one}\n" for one in reversed(lines.splitlines()))
    folder = unzip(stage.bundle(stage.material(checkpoint=shuffled)), tmp_path)
    done = shell(folder, "".join(steps(folder).values()))
    assert done.returncode == 0, done.stderr


def test_the_steps_check_a_bundle_without_content(silent: Stage, tmp_path: Path) -> None:
    folder = unzip(silent.bundle(with_content=False), tmp_path)
    done = shell(folder, "".join(steps(folder).values()))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Signature Verified Successfully") == 4


def test_without_a_record_there_is_no_step_for_the_owners_of_keys(tmp_path: Path) -> None:
    stage = Stage()
    stage.flag()
    folder = unzip(stage.bundle(), tmp_path)
    assert "7" not in steps(folder)
    assert shell(folder, "".join(steps(folder).values())).returncode == 0


@pytest.mark.parametrize(
    ("step", "names"),
    [
        ("1", ["summary.id.html"]),
        ("3", ["checkpoint/note", "checkpoint/text", "checkpoint/signature", "checkpoint/log-key.pem"]),
        ("4", [f"{FLAG}/envelope", f"{FLAG}/opening", f"{FLAG}/salt"]),
        ("5", [f"{FLAG}/entry", f"{FLAG}/path", "checkpoint/text"]),
        ("6", [f"{FLAG}/envelope", f"{FLAG}/payload", f"{FLAG}/pae", f"{FLAG}/signature-1", f"{ACK}/signature-1"]),
    ],
    ids=["sums", "head", "openings", "paths", "signatures"],
)
def test_a_flipped_byte_stops_the_step_that_looks_at_it(
    stage: Stage, tmp_path: Path, step: str, names: list[str]
) -> None:
    stage.flag()
    stage.reply(an_acknowledgement())
    folder = unzip(stage.bundle(), tmp_path)
    commands = "set -eu\n" + steps(folder)[step]
    assert shell(folder, commands).returncode == 0
    for name in names:
        whole = (folder / name).read_bytes()
        middle = len(whole) // 2
        (folder / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        assert shell(folder, commands).returncode != 0, name
        (folder / name).write_bytes(whole)
    assert shell(folder, commands).returncode == 0


def openssl(folder: Path, name: str, key: PublicKey) -> int:
    """Checks one signature, as the documentation says it."""
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", f"keys/{key.keyid}.pem"]
    command += ["-sigfile", f"{name}/signature-1", "-in", f"{name}/pae"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


def test_openssl_verifies_a_statement_and_rejects_it_after_one_flipped_byte(decided: Stage, tmp_path: Path) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    key = decided.signers["kominfo"][0].public_key
    assert openssl(folder, FLAG, key) == 0
    pae = folder / FLAG / "pae"
    data = bytearray(pae.read_bytes())
    data[100] ^= 1
    pae.write_bytes(data)
    assert openssl(folder, FLAG, key) != 0


# securesystemslib, an independent implementation of DSSE.


def other_key(key: PublicKey) -> SSlibKey:
    ed25519 = key.algorithm is Algorithm.ED25519
    kind, scheme = ("ed25519", "ed25519") if ed25519 else ("ecdsa", "ecdsa-sha2-nistp256")
    return SSlibKey(key.keyid, kind, scheme, {"public": key.raw.hex() if ed25519 else key.pem})


def other_verify(text: bytes, key: PublicKey) -> bytes:
    """What another implementation makes of an envelope."""
    envelope = Envelope.from_dict(json.loads(text))
    envelope.verify([other_key(key)], 1)
    return bytes(envelope.payload)


@pytest.mark.parametrize(("position", "name"), [(0, FLAG), (1, ACK)], ids=["ed25519", "p256"])
def test_another_dsse_verifier_accepts_a_statement_and_rejects_it_after_one_flipped_byte(
    decided: Stage, position: int, name: str
) -> None:
    said: Verified = decided.said[position]
    key = decided.signers[said.statement.sender][0].public_key
    members = unpack(decided.bundle())
    text = members[f"{name}/envelope.json"]
    assert other_verify(text, key) == members[f"{name}/payload"] == parse_envelope(said.envelope).payload
    payload = bytearray(members[f"{name}/payload"])
    payload[7] ^= 1
    parsed = parse_envelope(said.envelope)
    broken = dsse.to_json(dsse.Envelope(parsed.payload_type, bytes(payload), parsed.signatures)).encode()
    with pytest.raises(OtherVerificationError):
        other_verify(broken, key)
    wrong = decided.signers[PLATFORM if said.statement.sender != PLATFORM else "kominfo"][0].public_key
    with pytest.raises(OtherVerificationError):
        other_verify(text, wrong)


def test_another_dsse_verifier_accepts_the_exporters_signature(decided: Stage) -> None:
    data = decided.bundle()
    members = unpack(data)
    key = decided.signers["kominfo"][0].public_key
    assert other_verify(members["exporter.json"], key) == members["manifest.json"]
    assert read(members).exported_by == "kominfo"
