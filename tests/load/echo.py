"""A bare echo over mutual TLS: what gRPC itself costs, with nothing of Panji behind it.

The same service, credentials, options and event loop as the exchange, the same request bytes, an answer of the same
bytes; the handler does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import uvloop

from panji.tls import server_credentials
from panji.v1 import flag_service_pb2, flag_service_pb2_grpc
from panji_server.config import Config, load
from panji_server.rpc.server import _OPTIONS


class Echo(flag_service_pb2_grpc.FlagServiceServicer):
    def __init__(self, answer: flag_service_pb2.SubmitFlagResponse) -> None:
        self._answer = answer

    async def SubmitFlag(self, request: Any, context: Any) -> flag_service_pb2.SubmitFlagResponse:  # noqa: ARG002, N802
        return self._answer


async def serve(config: Config, answer: flag_service_pb2.SubmitFlagResponse) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=_OPTIONS)
    flag_service_pb2_grpc.add_FlagServiceServicer_to_server(Echo(answer), server)  # type: ignore[abstract]  # nobody calls the others
    server.add_secure_port(
        config.listen, server_credentials(config.tls.certificate, config.tls.key, config.tls.client_ca)
    )
    await server.start()
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the exchange's settings")
    parser.add_argument("--answer", type=Path, required=True, help="bytes of a SubmitFlagResponse")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(load(options.config), flag_service_pb2.SubmitFlagResponse.FromString(options.answer.read_bytes()))
        )
