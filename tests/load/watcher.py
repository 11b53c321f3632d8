"""A recipient in a process of its own: follows its feed, verifies every delivery, and notes when it was done.

Writes ``ready`` to standard output once the stream stands, and after the last expected delivery one line for each:
the envelope's digest and the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.load import Party, Receipts

from panji.core import envelope as dsse
from panji.core.directory import parse_directory
from panji.v1 import feed_service_pb2, feed_service_pb2_grpc
from panji.wire.envelopes import parse_envelope
from panji.wire.statements import parse_statement


async def watch(party: Party, count: int) -> None:
    directory = parse_directory(party.profile.directory.read_text("utf-8"))
    receipts = Receipts(party.profile.log)
    seen: list[tuple[str, float]] = []
    async with party.channel() as channel:
        stream = feed_service_pb2_grpc.FeedServiceStub(channel).Watch(feed_service_pb2.WatchRequest())
        async for message in stream:
            if not seen and not message.deliveries:
                print("ready", flush=True)
            for delivery in message.deliveries:
                # What the client library does before it hands a statement over: receipt, inclusion, signature, form.
                digest = dsse.digest(delivery.envelope)
                receipts.verify(digest, delivery.receipt)
                envelope = parse_envelope(delivery.envelope)
                statement = parse_statement(envelope.payload, strict=False)
                dsse.verify(envelope, directory.keys(statement.sender, datetime.now(UTC)))
                seen.append((digest.hex(), time.monotonic()))
            if len(seen) >= count:
                break
    print("\n".join(f"{digest} {at!r}" for digest, at in seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watch(Party.load(options.profile), options.count))
