"""For whoever trusts no program of ours: the files and the steps that check a bundle with a shell and ``openssl``.

Everything here is computed from the core. A test runs the steps for real, and changes a byte to see them fail.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.envelope import PAYLOAD_TYPE
from panji.core.note import parse as parse_note
from panji.core.vocabulary import Kind
from panji.evidence.content import DIRECTORY, STATEMENTS, SUMS
from panji.evidence.texts import Language, by_hand

if TYPE_CHECKING:
    from panji.evidence.content import Content, Item


def files(content: Content) -> dict[str, bytes]:
    """Give every file that ``openssl`` needs and the core does not have as a file of its own."""
    found = _checkpoint(content)
    for folder, item in content.folders:
        parts = _opened(content, item) | (_signed(content, item) if item.envelope else {})
        found |= {f"{folder}/{name}": data for name, data in parts.items()}
    return found


def _checkpoint(content: Content) -> dict[str, bytes]:
    note = parse_note(content.checkpoint)
    line = _log_line(content)
    return {
        "checkpoint/text": note.text.encode(),
        "checkpoint/signature": note.signatures[line].signature if line is not None else b"",
        "checkpoint/log-key.pem": content.log.public_key.pem.encode(),
        "checkpoint/log-key.txt": f"{content.log}\n".encode(),
    }


def _log_line(content: Content) -> int | None:
    """Which of the note's signatures is the log's."""
    for position, one in enumerate(parse_note(content.checkpoint).signatures):
        if (one.name, one.key_hash) == (content.log.name, content.log.key_hash):
            return position
    return None


def _opened(content: Content, item: Item) -> dict[str, bytes]:
    """The entry, what opens it, and the way from it to the root of the head: one sibling a line, and its side."""
    opening = item.opening
    found = {"entry": opening.entry.encode()}
    if opening.salt:
        found |= {"opening": opening.message, "salt": f"{opening.salt.hex()}\n".encode()}
    index, last = item.receipt.index, content.head.size - 1
    inner = (index ^ last).bit_length()
    sides = ["left" if level >= inner or index >> level & 1 else "right" for level in range(len(item.path))]
    lines = [f"{side} {base64.b64encode(sibling).decode()}\n" for side, sibling in zip(sides, item.path, strict=True)]
    return found | {"path": "".join(lines).encode()}


def _signed(content: Content, item: Item) -> dict[str, bytes]:
    """What was signed, the signatures, by which keys, and at which bytes of the envelope all that stands."""
    envelope = item.parsed
    found = {
        "envelope.json": dsse.to_json(envelope).encode() + b"\n",
        "payload": envelope.payload,
        "pae": dsse.pae(envelope.payload_type, envelope.payload),
    }
    places = {"payload": envelope.payload}
    if item.opening.entry.kind == Kind.DIRECTORY_RECORD:
        found["directory.toml"] = places["directory.toml"] = content.document(item).encode()
    signers = []
    for position, signature, key in content.signatures(item):
        name = f"signature-{position}"
        found[name] = places[name] = signature
        signers.append(f"{name} keys/{key.keyid}.pem {key.algorithm}\n")
    parts = [f"{name} {item.envelope.find(data) + 1} {len(data)}\n" for name, data in places.items()]
    return found | {"signers": "".join(signers).encode(), "parts": "".join(parts).encode()}


def steps(content: Content, language: Language) -> str:
    """Give the steps, as a text with the commands for this very bundle."""
    lines = content.head.text.count("\n")
    folders = f"{STATEMENTS}/*" + (f" {DIRECTORY}/*" if content.records else "")
    commands = {
        "start": "set -eu",
        "sums": f"sha256sum -c {SUMS}",
        "key": _KEY,
        "head": _HEAD.format(lines=lines, line=lines + 2 + (_log_line(content) or 0)),
        "openings": _OPENINGS.format(folders=folders),
        "paths": _PATHS.format(folders=folders),
        "signatures": _SIGNATURES.format(folders=folders, type=PAYLOAD_TYPE, length=len(PAYLOAD_TYPE)),
    }
    if content.records:
        commands["owners"] = _OWNERS
    key = content.log.public_key.keyid
    return by_hand(language, commands, case=content.case.id, origin=content.log.name, fingerprint=key)


_KEY = "openssl pkey -pubin -in checkpoint/log-key.pem -outform DER | openssl dgst -sha256 -r | cut -d ' ' -f 1"
_HEAD = """\
head -n {lines} checkpoint/note | cmp - checkpoint/text
sed -n {line}p checkpoint/note | cut -d ' ' -f 3 | openssl base64 -d -A | tail -c 64 | cmp - checkpoint/signature
openssl pkeyutl -verify -rawin -pubin -inkey checkpoint/log-key.pem -sigfile checkpoint/signature -in checkpoint/text"""
_OPENINGS = """\
for d in {folders}; do
  if [ -f "$d/envelope" ]; then
    test "$(openssl dgst -sha256 -r "$d/envelope" | cut -d ' ' -f 1)" = "$(sed -n 2p "$d/opening")"
  fi
  if [ -f "$d/salt" ]; then
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(cat "$d/salt")" -binary "$d/opening" | openssl base64 > mac
    sed -n 4p "$d/entry" | cmp - mac
  fi
done"""
_PATHS = """\
for d in {folders}; do
  {{ printf '\\000'; cat "$d/entry"; }} | openssl dgst -sha256 -binary > node
  while read -r side sibling; do
    printf '%s\\n' "$sibling" | openssl base64 -d > sibling
    case $side in left) set -- sibling node ;; right) set -- node sibling ;; *) exit 1 ;; esac
    {{ printf '\\001'; cat "$1" "$2"; }} | openssl dgst -sha256 -binary > parent
    mv parent node
  done < "$d/path"
  openssl base64 -in node -out root
  sed -n 3p checkpoint/text | cmp - root
done"""
_SIGNATURES = """\
for d in {folders}; do
  [ -f "$d/envelope" ] || continue
  while read -r name place length; do
    tail -c "+$place" "$d/envelope" | head -c "$length" | cmp - "$d/$name"
  done < "$d/parts"
  {{ printf 'DSSEv1 {length} {type} %d ' "$(wc -c < "$d/payload")"; cat "$d/payload"; }} | cmp - "$d/pae"
  while read -r signature key algorithm; do
    if [ "$algorithm" = ed25519 ]; then
      openssl pkeyutl -verify -rawin -pubin -inkey "$key" -sigfile "$d/$signature" -in "$d/pae"
    else
      openssl dgst -sha256 -verify "$key" -signature "$d/$signature" "$d/pae"
    fi
  done < "$d/signers"
done"""
_OWNERS = """\
for key in keys/*.pem; do
  echo "$key"
  spki=$(openssl pkey -pubin -in "$key" -outform DER | openssl base64 -A)
  grep -n -B 9 -A 3 "$spki" directory/*/directory.toml || echo "not in the directory of this file"
done"""
