"""For whoever trusts no program of ours: the files and the steps that check a bundle with a shell and ``openssl``.

Everything here is computed from the core. The commands are the same for every bundle, so that a reader can take them
from our documentation: whoever forges a bundle also edits the steps in it. Tests run them for real, and forge.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core.envelope import PAYLOAD_TYPE
from panji.core.note import parse as parse_note
from panji.core.vocabulary import Kind
from panji.evidence.content import SUMS
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


def commands(*, recorded: bool = True) -> dict[str, str]:
    """Give the commands of each step.

    Args:
        recorded: The bundle has records of the directory, in which the owners of the keys are looked up.
    """
    found = {
        "start": _START,
        "sums": f"sha256sum -c {SUMS}",
        "key": _KEY,
        "head": _HEAD,
        "openings": _OPENINGS,
        "paths": _PATHS,
        "signatures": _SIGNATURES,
    }
    return found | ({"owners": _OWNERS} if recorded else {})


def steps(content: Content, language: Language) -> str:
    """Give the steps, as a text with the commands, and what stands in this very bundle."""
    return by_hand(
        language,
        commands(recorded=bool(content.records)),
        case=content.case.id,
        origin=content.log.name,
        fingerprint=content.log.public_key.keyid,
        cosigned=content.cosigned,
    )


_START = """\
set -eu
t=$(mktemp -d)"""
_SPKI = "".join(f"\\{byte:03o}" for byte in bytes.fromhex("302a300506032b6570032100"))
"""What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410), for ``printf``."""
_KEY = f"""\
: "${{V:?is not set: enter the verifier key of the log, from elsewhere, as V='NAME+HASH+KEY'}}"
printf '%s\\n' "$V" | cut -d + -f 1 > "$t/name"
head -n 1 checkpoint/text | cmp - "$t/name"
{{
  printf '{_SPKI}'
  printf '%s' "$V" | cut -d + -f 3- | openssl base64 -d -A | tail -c 32
}} > "$t/der"
openssl dgst -sha256 -r "$t/der" | cut -d ' ' -f 1
openssl pkey -pubin -in checkpoint/log-key.pem -outform DER | cmp - "$t/der"
openssl pkey -pubin -in checkpoint/log-key.pem -outform DER | openssl dgst -sha256 -r | cut -d ' ' -f 1"""
_HEAD = """\
sed '/^$/,$d' checkpoint/note | cmp - checkpoint/text
found=no
for line in $(awk -v name="$(head -n 1 checkpoint/text)" '$2 == name { print $3 }' checkpoint/note); do
  printf '%s' "$line" | openssl base64 -d -A | tail -c 64 > "$t/signature"
  if cmp -s "$t/signature" checkpoint/signature; then found=yes; fi
done
test "$found" = yes
openssl pkeyutl -verify -rawin -pubin -inkey checkpoint/log-key.pem -sigfile checkpoint/signature -in checkpoint/text
cat checkpoint/text"""
_OPENINGS = """\
test -d statements/0001-flag
for d in statements/* directory/*; do
  [ -d "$d" ] || continue
  case $d in statements/*) kind=${d#statements/????-} ;; *) kind=directory_record ;; esac
  printf 'panji.entry.v1\\n%s\\n' "$kind" > "$t/lines"
  head -n 2 "$d/entry" | cmp - "$t/lines"
  if [ -f "$d/envelope" ]; then
    test -s "$d/salt"
    test "$(openssl dgst -sha256 -r "$d/envelope" | cut -d ' ' -f 1)" = "$(sed -n 2p "$d/opening")"
  fi
  if [ -e "$d/salt" ] || [ -e "$d/opening" ]; then
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(cat "$d/salt")" -binary "$d/opening" | openssl base64 > "$t/mac"
    sed -n 4p "$d/entry" | cmp - "$t/mac"
  fi
done"""
_PATHS = """\
size=$(sed -n 2p checkpoint/text)
for group in statements directory; do
  last=-1
  for d in "$group"/*; do
    [ -d "$d" ] || continue
    index=$(sed -n 's/^index //p' "$d/proof.tlog-proof")
    case $index in '' | *[!0-9]* | 0?*) exit 1 ;; esac
    test "$index" -gt "$last"
    test "$index" -lt "$size"
    last=$index n=$index m=$((size - 1))
    { printf '\\000'; cat "$d/entry"; } | openssl dgst -sha256 -binary > "$t/node"
    while read -r side sibling || [ -n "$side" ]; do
      printf '%s\\n' "$sibling" | openssl base64 -d > "$t/sibling"
      test "$m" -gt 0
      if [ $((n % 2)) = 1 ] || [ "$n" = "$m" ]; then
        test "$side" = left
        set -- "$t/sibling" "$t/node"
        while [ $((n % 2)) = 0 ]; do n=$((n / 2)) m=$((m / 2)); done
      else
        test "$side" = right
        set -- "$t/node" "$t/sibling"
      fi
      n=$((n / 2)) m=$((m / 2))
      { printf '\\001'; cat "$1" "$2"; } | openssl dgst -sha256 -binary > "$t/parent"
      mv "$t/parent" "$t/node"
    done < "$d/path"
    test "$m" = 0
    openssl base64 -in "$t/node" -out "$t/root"
    sed -n 3p checkpoint/text | cmp - "$t/root"
    echo "entry $index, received $(sed -n 3p "$d/entry"): $d"
    if [ -f "$d/opening" ]; then echo "  to $(sed -n 3p "$d/opening"), number $(sed -n 4p "$d/opening")"; fi
  done
done"""
_SIGNATURES = f"""\
for d in statements/* directory/*; do
  [ -d "$d" ] || continue
  if [ ! -f "$d/envelope" ]; then
    for name in envelope.json payload pae parts signers directory.toml; do test ! -e "$d/$name"; done
    echo "$d: what it says, and who signed it, is not proven"
    continue
  fi
  test -s "$d/parts"
  test -s "$d/signers"
  {{
    echo payload
    if [ -e "$d/directory.toml" ]; then echo directory.toml; fi
    cut -d ' ' -f 1 "$d/signers"
  }} | sort > "$t/wanted"
  cut -d ' ' -f 1 "$d/parts" | sort | cmp - "$t/wanted"
  while read -r name place length || [ -n "$name" ]; do
    tail -c "+$place" "$d/envelope" | head -c "$length" | cmp - "$d/$name"
  done < "$d/parts"
  if [ -e "$d/directory.toml" ]; then
    tail -c "$(wc -c < "$d/directory.toml")" "$d/payload" | cmp - "$d/directory.toml"
  fi
  length=$(wc -c < "$d/payload")
  {{ printf 'DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} %d ' "$length"; cat "$d/payload"; }} | cmp - "$d/pae"
  while read -r signature key algorithm || [ -n "$signature" ]; do
    if [ "$algorithm" = ed25519 ]; then
      openssl pkeyutl -verify -rawin -pubin -inkey "$key" -sigfile "$d/$signature" -in "$d/pae"
    else
      openssl dgst -sha256 -verify "$key" -signature "$d/$signature" "$d/pae"
    fi
  done < "$d/signers"
done"""
_OWNERS = """\
for d in statements/* directory/*; do
  [ -f "$d/envelope" ] || continue
  record=
  for r in directory/*; do
    before=$(sed -n 's/^index //p' "$r/proof.tlog-proof")
    if [ "$before" -lt "$(sed -n 's/^index //p' "$d/proof.tlog-proof")" ] || [ "$r" = "$d" ]; then record=$r; fi
  done
  test -n "$record"
  echo "$d, received $(sed -n 3p "$d/entry")"
  echo "  payload begins: $(head -c 200 "$d/payload" | LC_ALL=C tr -cs '[:print:]' ' ')"
  while read -r signature key algorithm || [ -n "$signature" ]; do
    echo "  $signature is by $key, which $record/directory.toml has under:"
    spki=$(openssl pkey -pubin -in "$key" -outform DER | openssl base64 -A)
    awk -v k="$spki" '
      function out() { if (hit) { print "    " (o == "" ? "nobody" : o) v; n++ } hit = 0; v = "" }
      /^ *\\[/ { out() }
      /^ *\\[\\[organisation\\]\\]/ { o = "" }
      /^ *id *=/ { o = $0 }
      /^ *valid_/ { v = v ", " $0 }
      index($0, k) { hit = 1 }
      END { out(); if (!n) print "    nobody" }' "$record/directory.toml"
  done < "$d/signers"
done"""
