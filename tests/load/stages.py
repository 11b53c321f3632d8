# ruff: noqa: E402 - a script must find what the tests share before it imports that
"""Where the exchange's own time goes: each step of a statement's way alone, in one thread, without a network.

Microseconds of processor time a statement, the median of several repetitions. In the exchange each of them costs up to
twice as much: there they take turns with gRPC and with one another, and find the caches cold. For what is between the
steps, sample the process while the bench loads it: ``py-spy record --native --pid``, or ``perf record -p``.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import chain, pairwise
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.load import Party

from panji.core import envelope as dsse
from panji.core import rules
from panji.core.directory import parse_directory
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.vocabulary import Kind
from panji.development import init
from panji.v1 import flag_service_pb2
from panji.wire.envelopes import parse_envelope
from panji.wire.receipts import receipt_to_message
from panji.wire.statements import parse_statement
from panji_server import policy
from panji_server.admission import Rules, admit
from panji_server.audit import AuditLog
from panji_server.sequencing import Accepted, Admitted, sequence
from panji_server.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from panji.core.receipt import Receipt

STATEMENTS = 3000
GROUPS = (1, 16, 64, 100)
"""Sizes of commits."""
_SALT = 16


def timed(name: str, work: Callable[[Any], object], items: Sequence[Any], repetitions: int = 7) -> None:
    """Prints what the work costs for one item."""
    taken = []
    for _ in range(repetitions):
        began = time.thread_time()
        for item in items:
            work(item)
        taken.append((time.thread_time() - began) / len(items) * 1e6)
    print(f"{statistics.median(taken):>8.1f}  {name}")


def admission(party: Party, envelopes: Sequence[bytes]) -> list[Admitted]:
    """The steps before the log; returns what they admit."""
    directory = parse_directory(party.profile.directory.read_text("utf-8"))
    caller, now, allowed = (
        directory.organisations[party.profile.organisation],
        datetime.now(UTC),
        frozenset({Kind.FLAG}),
    )
    exchange = Rules(origin=party.profile.log.name)

    def one(data: bytes) -> Admitted:
        return admit(data, allowed, caller, directory=directory, now=now, rules=exchange)

    some = envelopes[:300]
    parsed = [parse_envelope(data) for data in some]
    statements = [parse_statement(envelope.payload) for envelope in parsed]
    timed("admission", one, some)
    timed("  envelope: parse", parse_envelope, some)
    timed("  signature: verify", lambda envelope: dsse.verify(envelope, directory.keys(caller.id, now)), parsed)
    timed("  statement: parse and check its form", lambda envelope: parse_statement(envelope.payload), parsed)
    timed("    of which the rules of its form", rules.statement, statements)
    timed("  policy", lambda statement: policy.check(statement, caller, directory, now), statements)
    timed("  digest", dsse.digest, some)
    return [one(data) for data in envelopes]


def commits(home: Path, admitted: Sequence[Admitted], signer: NoteSigner, size: int) -> list[Receipt]:
    """Commits of one size, step by step; returns the receipts of the last."""
    storage = SQLiteStorage(home / f"stages-{size}.db")
    taken: list[tuple[float, ...]] = []
    receipts: list[Receipt] = []
    for start in range(0, min(len(admitted), 100 * size), size):
        group = admitted[start : start + size]
        clock = [time.thread_time()]
        with storage.append() as transaction:
            known = transaction.load({item.statement.id for item in group}, set(), set(), {"telegram"})
            head = transaction.head()
            clock.append(time.thread_time())
            result = sequence(group, head, known, signer, lambda: token_bytes(_SALT))
            clock.append(time.thread_time())
            assert result.commit is not None
            transaction.store(result.commit)
            clock.append(time.thread_time())
        clock.append(time.thread_time())
        taken.append(tuple((end - begin) / len(group) * 1e6 for begin, end in pairwise(clock)))
        receipts = [one.receipt for one in result.outcomes if isinstance(one, Accepted)]
    storage.close()
    load, order, store, commit = (statistics.median(step) for step in zip(*taken, strict=True))
    print(
        f"{load + order + store + commit:>8.1f}  commit of {size}: load {load:.1f}, sequence {order:.1f}, "
        f"store {store:.1f}, commit {commit:.1f}"
    )
    return receipts


def answers(receipts: Sequence[Receipt]) -> None:
    """The steps after the log."""
    timed("receipt: to its message", receipt_to_message, receipts)
    messages = [flag_service_pb2.SubmitFlagResponse(receipt=receipt_to_message(one)) for one in receipts]
    timed("answer: serialise", lambda message: message.SerializeToString(), messages)


def events(receipts: Sequence[Receipt]) -> None:
    """The two lines that a submission leaves in the audit log."""
    call = {"request_id": "0" * 36, "trace_id": "", "method": "/panji.v1.FlagService/SubmitFlag"}
    call |= {"participant": "spiffe://exchange.example/kominfo/gateway", "organisation": "kominfo"}
    accepted: dict[str, Any] = {
        **call, "item": 0, "statement_id": "0" * 36, "kind": "flag", "case_id": "0" * 36, "sender": "kominfo",
        "recipient": "telegram", "test": False, "index": 0, "sequence": 1, "received_at": "0" * 32, "digest": "0" * 64,
        "bytes": 900,
    }  # fmt: skip
    finished: dict[str, Any] = {
        **call, "peer": "ipv4:127.0.0.1:40000", "code": "OK", "duration_ms": 1.5, "items": 1, "accepted": 1,
        "repeated": 0, "refused": 0,
    }  # fmt: skip
    audit = AuditLog(io.StringIO())
    timed("event: statement.accepted", lambda _: audit.write("statement.accepted", **accepted), receipts)
    timed("event: call.finished", lambda _: audit.write("call.finished", **finished), receipts)


def run(home: Path) -> None:
    development = init(home / "development", now=datetime.now(UTC))
    ministry = Party.load(development.profiles["kominfo"])
    log = PrivateKeySigner.from_pem((development.config.parent / "keys" / "log.pem").read_bytes())
    signer = NoteSigner(development.origin, log)
    admitted = admission(ministry, [flag.envelope for flag in ministry.flags("telegram", STATEMENTS)])
    timed("checkpoint: sign", lambda _: signer.sign("text\n"), range(300))
    receipts = [commits(home, admitted, signer, size) for size in GROUPS]
    some = list(chain.from_iterable(receipts))
    answers(some)
    events(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    scratch = ROOT / ".make"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stages-", dir=scratch) as home:
        run(Path(home))


if __name__ == "__main__":
    main()
