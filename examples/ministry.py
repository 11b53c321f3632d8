"""A ministry's system: submits every flag of a file, follows the answers, and replies when the platform asks back.

Prints what happened as JSON lines. Ends when every flag that was accepted has been decided.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from panji.client import AsyncClient
from panji.core.statements import ClarificationAnswer, Decision
from panji.core.vocabulary import Kind
from panji.errors import RefusedError, TransportError
from panji.importer import read_file
from panji.profile import Profile

if TYPE_CHECKING:
    from panji.session import Signed, Verified

RETRY_SECONDS = 0.1


def tell(event: str, **facts: object) -> None:
    """Prints one thing that happened."""
    print(json.dumps({"event": event, **facts}), flush=True)


async def insist(client: AsyncClient, signed: Signed) -> Verified:
    """Submits a statement until the exchange answers. Sending the same bytes again is always safe."""
    while True:
        try:
            return await client.submit(signed)
        except TransportError:
            await asyncio.sleep(RETRY_SECONDS)


async def submit_all(client: AsyncClient, file: Path, recipient: str, pause: float) -> set[str]:
    """Submits the flags of a file; returns the cases that they opened."""
    submitted: set[str] = set()
    for row in read_file(file).rows:
        name = row.source_id or f"row {row.number}"
        if row.flag is None:
            missing = [f"{one.field} {one.description}" for one in row.violations]
            tell("refused", flag=name, targets=row.targets, by="client", missing=missing)
            continue
        began = time.monotonic()
        signed = await client.flag(recipient, row.flag, language=row.language or "en")
        try:
            accepted = await insist(client, signed)
        except RefusedError as refusal:
            missing = [f"{one.field} {one.description}" for one in refusal.violations] or [refusal.message]
            tell("refused", flag=name, targets=row.targets, by="exchange", reason=refusal.reason, missing=missing)
            continue
        submitted.add(signed.statement.id)
        tell(
            "said",
            kind=signed.statement.kind,
            flag=name,
            case=signed.statement.id,
            targets=row.targets,
            index=accepted.receipt.index,
            digest=accepted.digest.hex(),
            seconds=time.monotonic() - began,
        )
        await asyncio.sleep(pause)
    return submitted


class Answers:
    """Hears the platform's answers, and replies when it asks back."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._decided: set[str] = set()
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Listens until cancelled."""
        async for heard in self._client.watch():
            statement = heard.statement
            tell("heard", kind=statement.kind, case=statement.case_id)
            if statement.kind is Kind.CLARIFICATION_REQUEST:
                answer = ClarificationAnswer(text="Every address on the list is meant; there is no narrower one.")
                said = await insist(self._client, await self._client.reply(heard, answer))
                tell("said", kind=said.statement.kind, case=statement.case_id, digest=said.digest.hex())
            if isinstance(statement.body, Decision):
                targets = [(one.outcome.name, one.refusal.name, one.explanation) for one in statement.body.targets]
                tell("decided", case=statement.case_id, targets=targets)
                self._decided.add(statement.case_id)
                self._news.set()

    async def complete(self, cases: set[str]) -> None:
        """Returns once every one of these cases is decided."""
        while not cases <= self._decided:
            self._news.clear()
            await self._news.wait()


async def run(options: argparse.Namespace) -> None:
    """Submits and listens at the same time."""
    async with AsyncClient.connect(Profile.load(options.profile)) as client, asyncio.TaskGroup() as tasks:
        answers = Answers(client)
        following = tasks.create_task(answers.follow())
        await answers.complete(await submit_all(client, options.input, options.to, options.pause))
        following.cancel()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True, help="a file of flags that `panji import` takes")
    parser.add_argument("--to", required=True, help="the platform's id")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two flags")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
