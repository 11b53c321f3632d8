"""The log of our own exchange, over the participant's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panji.core.audit import LogReader
from panji.errors import AuditError, Reason, RefusedError, TransportError

if TYPE_CHECKING:
    from panji.client import Client
    from panji.core.tiles import Tile


class ExchangeReader(LogReader):
    """Reads the log through a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def checkpoint(self) -> str:
        """Return the newest signed checkpoint."""
        signed = self._client.signed_checkpoint()
        if not signed:
            raise TransportError("there is no checkpoint: the log is empty")
        return signed

    def tile(self, tile: Tile) -> bytes:
        """Return a tile or bundle."""
        try:
            data = self._client.tile(tile)
        except RefusedError as refusal:
            if refusal.reason is Reason.TREE_SIZE_OUT_OF_RANGE:
                raise AuditError(tile.path, "is missing, and the checkpoint commits to it") from refusal
            raise
        if len(data) > tile.max_bytes:
            raise AuditError(tile.path, f"has more than {tile.max_bytes} bytes")
        return data
