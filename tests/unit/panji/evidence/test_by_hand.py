"""The same evidence, checked by programs that none of us wrote: a shell with OpenSSL, and securesystemslib."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as OtherVerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # its public name
from support.evidence import LATER, Stage
from support.statements import PLATFORM, a_correspondence, an_acknowledgement
from support.witnesses import WITNESSES, cosigned

from panji.core import envelope as dsse
from panji.core.envelope import PAYLOAD_TYPE
from panji.core.keys import Algorithm, PrivateKeySigner, PublicKey
from panji.core.note import NoteSigner, NoteVerifier
from panji.core.note import parse as parse_note
from panji.evidence.bundle import unpack
from panji.evidence.content import MANIFEST, SIGNATURE, SUMS, read
from panji.evidence.texts import Language
from panji.wire.envelopes import parse_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji.trust import Verified

FLAG = "statements/0001-flag"
ACK = "statements/0002-acknowledgement"
DECISION = "statements/0005-decision"
ROOT = Path(__file__).resolve().parents[4]


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


def shell(folder: Path, commands: str, log: NoteVerifier | None = None) -> subprocess.CompletedProcess[str]:
    """Runs commands as a clerk does who has the verifier key of this log from elsewhere."""
    known = os.environ | ({"V": str(log)} if log else {})
    return subprocess.run(["sh"], input=commands, cwd=folder, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("language", Language)
def test_the_steps_check_a_bundle_with_openssl_alone(decided: Stage, tmp_path: Path, language: Language) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    done = shell(folder, "".join(steps(folder, language).values()), decided.key)
    assert done.returncode == 0, done.stderr
    # The head, a flag, an answer and a record by Ed25519 keys; three answers by a P-256 key.
    assert done.stdout.count("Signature Verified Successfully") == 4
    assert done.stdout.count("Verified OK") == 3
    # Of the key that was brought, and of the file's.
    assert done.stdout.splitlines().count(decided.key.public_key.keyid) == 2
    assert 'id = "telegram"' in done.stdout


def test_the_steps_find_the_logs_line_among_those_of_witnesses(stage: Stage, tmp_path: Path) -> None:
    stage.flag()
    note = cosigned(stage.log.checkpoint(), *WITNESSES.values(), at=LATER)
    text, _, lines = note.rpartition("\n\n")
    shuffled = f"{text}\n\n" + "".join(f"{one}\n" for one in reversed(lines.splitlines()))
    folder = unzip(stage.bundle(stage.material(checkpoint=shuffled)), tmp_path)
    done = shell(folder, "".join(steps(folder).values()), stage.key)
    assert done.returncode == 0, done.stderr


def test_the_steps_check_a_bundle_without_content(silent: Stage, tmp_path: Path) -> None:
    folder = unzip(silent.bundle(with_content=False), tmp_path)
    done = shell(folder, "".join(steps(folder).values()), silent.key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Signature Verified Successfully") == 4


def test_without_a_record_there_is_no_step_for_the_owners_of_keys(tmp_path: Path) -> None:
    stage = Stage()
    stage.flag()
    folder = unzip(stage.bundle(), tmp_path)
    assert "7" not in steps(folder)
    assert shell(folder, "".join(steps(folder).values()), stage.key).returncode == 0


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
    commands = steps(folder)["0"] + steps(folder)[step]
    assert shell(folder, commands).returncode == 0
    for name in names:
        whole = (folder / name).read_bytes()
        middle = len(whole) // 2
        (folder / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        assert shell(folder, commands).returncode != 0, name
        (folder / name).write_bytes(whole)
    assert shell(folder, commands).returncode == 0


# Forgeries: what somebody can make of a true bundle who signs nothing, and makes all sums anew.


def page() -> str:
    """The commands in the documentation, from which a reader takes them."""
    found = re.search(r"<!-- the steps -->\n```sh\n(.*?)```", (ROOT / "docs/evidence.md").read_text("utf-8"), re.DOTALL)
    assert found
    return re.sub(r"^# .*\n|^\n", "", found[1], flags=re.MULTILINE)


def test_the_commands_of_the_documentation_are_those_of_every_bundle(decided: Stage, tmp_path: Path) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    for language in Language:
        assert page() == "".join(steps(folder, language).values())


def resum(folder: Path) -> None:
    files = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in files
        if name not in {SUMS, MANIFEST, SIGNATURE}
    ]
    (folder / SUMS).write_text("".join(lines), "utf-8")


def edit_payload(folder: Path) -> None:
    """Another text in the decision, with the encoding that would be signed."""
    payload = (folder / DECISION / "payload").read_bytes()
    payload = payload[:-1] + bytes([payload[-1] ^ 1])
    (folder / DECISION / "payload").write_bytes(payload)
    (folder / DECISION / "pae").write_bytes(dsse.pae(PAYLOAD_TYPE, payload))


def without_signers(folder: Path) -> None:
    edit_payload(folder)
    parts = (folder / DECISION / "parts").read_text("utf-8").splitlines(keepends=True)
    (folder / DECISION / "parts").write_text("".join(one for one in parts if not one.startswith("payload")), "utf-8")
    (folder / DECISION / "signers").write_text("", "utf-8")


def without_parts_and_signers(folder: Path) -> None:
    edit_payload(folder)
    for name in ("parts", "signers"):
        (folder / DECISION / name).write_text("", "utf-8")


def with_lines_that_no_loop_reads(folder: Path) -> None:
    """The shell's ``read`` fails at a last line without its line feed, so a loop would leave it out."""
    edit_payload(folder)
    for name in ("parts", "signers"):
        lines = (folder / DECISION / name).read_text("utf-8").splitlines(keepends=True)
        (folder / DECISION / name).write_text("".join(reversed(lines)).rstrip("\n"), "utf-8")


def with_a_payload_of_no_envelope(folder: Path) -> None:
    """The statement stays; next to it stands, with its true signature, what the same sender said in another."""
    for name in ("payload", "pae", "signature-1", "signers"):
        shutil.copy(folder / ACK / name, folder / DECISION / name)
    parts = (folder / DECISION / "parts").read_text("utf-8").splitlines(keepends=True)
    (folder / DECISION / "parts").write_text("".join(one for one in parts if one.startswith("signature-2")), "utf-8")


def without_salt(folder: Path) -> None:
    """The decision's place, and in it what the platform said when it acknowledged."""
    for name in ("envelope", "opening", "payload", "pae", "parts", "signers", "signature-1", "envelope.json"):
        shutil.copy(folder / ACK / name, folder / DECISION / name)
    (folder / DECISION / "salt").unlink()


def without_envelope(folder: Path) -> None:
    """As if content had been erased, and yet with a payload to read."""
    edit_payload(folder)
    for name in ("envelope", "opening", "salt"):
        (folder / DECISION / name).unlink()


def swapped(folder: Path) -> None:
    """What is said later stands first; the kinds in the names are right."""
    (folder / "statements/0002-acknowledgement").rename(folder / "statements/0005-acknowledgement")
    (folder / "statements/0005-decision").rename(folder / "statements/0002-decision")


def swapped_with_an_index_of_their_own(folder: Path) -> None:
    swapped(folder)
    for name, index in (("0002-decision", 2), ("0005-acknowledgement", 5)):
        proof = folder / "statements" / name / "proof.tlog-proof"
        proof.write_text(re.sub(r"(?m)^index \d+$", f"index {index}", proof.read_text("utf-8")), "utf-8")


def with_an_index_that_is_read_twice(folder: Path) -> None:
    """An octal number: one place for whoever compares, another for whoever calculates."""
    proof = folder / DECISION / "proof.tlog-proof"
    proof.write_text(re.sub(r"(?m)^index (\d+)$", r"index 0\1", proof.read_text("utf-8")), "utf-8")


def under_another_kind(folder: Path) -> None:
    (folder / DECISION).rename(folder / "statements/0005-acknowledgement")


def with_a_record_that_is_none(folder: Path) -> None:
    """What a party wrote stands as the operator's directory."""
    shutil.rmtree(folder / "directory/0001")
    shutil.copytree(folder / FLAG, folder / "directory/0001")


def with_a_directory_cut_short(folder: Path) -> None:
    """A part of the true directory, without what follows on a key, such as its end."""
    record = folder / "directory/0001"
    whole = (record / "directory.toml").read_bytes()
    short = whole[: whole.rindex(b"valid_from")]
    (record / "directory.toml").write_bytes(short)
    parts = (record / "parts").read_text("utf-8")
    (record / "parts").write_text(parts.replace(f" {len(whole)}\n", f" {len(short)}\n"), "utf-8")


def without_statements(folder: Path) -> None:
    shutil.rmtree(folder / "statements")


def with_a_log_of_the_forgers_own(folder: Path) -> None:
    """Another key signs the head, under the log's name; the true verifier key stands beside it, for who looks there."""
    text = (folder / "checkpoint/text").read_text("utf-8")
    forger = NoteSigner(text.partition("\n")[0], PrivateKeySigner.generate())
    note = forger.sign(text)
    (folder / "checkpoint/note").write_text(note, "utf-8")
    (folder / "checkpoint/signature").write_bytes(parse_note(note).signatures[0].signature)
    (folder / "checkpoint/log-key.pem").write_text(forger.verifier.public_key.pem, "utf-8")


FORGERIES = (
    (with_a_log_of_the_forgers_own, "2"),
    (without_signers, "6"),
    (without_parts_and_signers, "6"),
    (with_lines_that_no_loop_reads, "6"),
    (with_a_payload_of_no_envelope, "6"),
    (without_salt, "4"),
    (without_envelope, "6"),
    (swapped, "5"),
    (swapped_with_an_index_of_their_own, "5"),
    (with_an_index_that_is_read_twice, "5"),
    (under_another_kind, "4"),
    (with_a_record_that_is_none, "4"),
    (with_a_directory_cut_short, "6"),
    (without_statements, "4"),
)


@pytest.mark.parametrize(("forge", "step"), FORGERIES, ids=[forge.__name__ for forge, _ in FORGERIES])
def test_a_forgery_with_sums_of_its_own_is_stopped_by_its_step_and_by_no_earlier_one(
    decided: Stage, tmp_path: Path, forge: Callable[[Path], None], step: str
) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    found = steps(folder)
    forge(folder)
    resum(folder)
    before = "".join(commands for number, commands in sorted(found.items()) if number < step)
    done = shell(folder, f"{before}echo the forgery comes this far\n{found[step]}", decided.key)
    assert "the forgery comes this far" in done.stdout
    assert done.returncode != 0


def test_a_log_of_the_forgers_own_passes_every_step_but_that_of_the_key(decided: Stage, tmp_path: Path) -> None:
    """Why the key must come from elsewhere: nothing else in the file can tell."""
    folder = unzip(decided.bundle(), tmp_path)
    with_a_log_of_the_forgers_own(folder)
    resum(folder)
    others = [commands for number, commands in steps(folder).items() if number != "2"]
    done = shell(folder, "".join(others), decided.key)
    assert done.returncode == 0, done.stderr
    assert (folder / "checkpoint/log-key.txt").read_text("utf-8") == f"{decided.key}\n"


def test_the_key_that_is_brought_must_be_of_a_log_of_this_name(decided: Stage, tmp_path: Path) -> None:
    """Attack: the head of another log that has the same key."""
    folder = unzip(decided.bundle(), tmp_path)
    found = steps(folder)
    assert shell(folder, found["0"] + found["2"], decided.key).returncode == 0
    other = NoteVerifier.for_key(f"{decided.key.name}2", decided.key.public_key)
    assert shell(folder, found["0"] + found["2"], other).returncode != 0


def test_without_a_key_from_elsewhere_the_steps_say_what_to_enter(decided: Stage, tmp_path: Path) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    done = shell(folder, page())
    assert done.returncode != 0
    assert "V='NAME+HASH+KEY'" in done.stderr
    assert "Verified" not in done.stdout


def test_a_statement_by_another_than_it_says_shows_in_the_list_of_senders(decided: Stage, tmp_path: Path) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    listed = shell(folder, page(), decided.key).stdout.partition(f"{ACK}, received")[2].partition("statements/0003")[0]
    assert re.search(r"payload begins: .*telegram.*kominfo", listed)
    assert f"keys/{decided.signers[PLATFORM][0].public_key.keyid}.pem" in listed
    assert 'id = "telegram", valid_from = 2020-01-01T00:00:00Z' in listed
    directory = folder / "directory/0001/directory.toml"
    directory.write_text(directory.read_text("utf-8").replace("spki", "#"), "utf-8")
    spki = base64.b64encode(decided.signers[PLATFORM][0].public_key.spki).decode()
    directory.write_text(directory.read_text("utf-8").replace(spki, ""), "utf-8")
    owners = shell(folder, steps(folder)["0"] + steps(folder)["7"]).stdout
    assert "nobody" in owners.partition(f"{ACK}, received")[2].partition("statements/0003")[0]


def test_the_list_of_entries_has_place_time_recipient_and_number(decided: Stage, tmp_path: Path) -> None:
    folder = unzip(decided.bundle(), tmp_path)
    listed = shell(folder, page(), decided.key).stdout
    for said in decided.said:
        at = said.receipt.received_at.isoformat(timespec="microseconds")
        assert re.search(rf"entry {said.receipt.index}, received {at[:26]}\S*: statements/", listed)
        assert f"to {said.receipt.recipient}, number {said.receipt.sequence}\n" in listed


@pytest.mark.parametrize("more", range(9))
def test_the_place_of_an_entry_is_computed_in_a_tree_of_any_shape(stage: Stage, tmp_path: Path, more: int) -> None:
    stage.flag()
    for _ in range(more):
        stage.reply(a_correspondence())
    folder = unzip(stage.bundle(), tmp_path)
    done = shell(folder, steps(folder)["0"] + steps(folder)["5"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", Language)
def test_the_steps_say_what_they_leave_out_and_what_is_not_proven(
    decided: Stage, tmp_path: Path, language: Language
) -> None:
    text = (unzip(decided.bundle(), tmp_path) / f"HOW-TO-CHECK.{language}.txt").read_text("utf-8")
    for name in ("growth", "exporter.json", "receipt.tlog-proof", "envelope.json", "manifest.json", "docs/evidence.md"):
        assert name in text
    one_log = {Language.EN: "the log shows", Language.ID: "log memperlihatkan hal yang sama"}[language]
    assert one_log in text


@pytest.mark.parametrize("language", Language)
def test_the_steps_name_the_cosigners_and_their_times(stage: Stage, tmp_path: Path, language: Language) -> None:
    stage.flag()
    note = cosigned(stage.log.checkpoint(), WITNESSES["alder"], at=LATER)
    folder = unzip(stage.bundle(stage.material(checkpoint=note)), tmp_path)
    text = (folder / f"HOW-TO-CHECK.{language}.txt").read_text("utf-8")
    assert re.search(r"alder\.example/w1 \w+ 20\d\d-\d\d-\d\d \d\d:", text)


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
