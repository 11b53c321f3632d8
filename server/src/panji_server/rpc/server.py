"""The gRPC server: services, health, reflection, options."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from panji.errors import ConfigError
from panji.tls import MAX_MESSAGE_BYTES, server_credentials
from panji.v1 import (
    administration_service_pb2,
    administration_service_pb2_grpc,
    case_pb2,
    case_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    feed_service_pb2,
    feed_service_pb2_grpc,
    flag_service_pb2,
    flag_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    response_service_pb2,
    response_service_pb2_grpc,
)
from panji_server.rpc.administration import AdministrationService, DirectoryService
from panji_server.rpc.call import Boundary
from panji_server.rpc.reading import CaseService, FeedService
from panji_server.rpc.services import FlagService, LogService, ResponseService
from panji_server.rpc.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Callable

    from panji_server.audit import AuditLog
    from panji_server.config import Config
    from panji_server.exchange import Exchange

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Two exchanges must never share a port by accident: each would answer half of the calls.
    ("grpc.so_reuseport", 0),
    # Clients ping every 30 s, also between calls; see panji.tls.CHANNEL_OPTIONS.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Each call may hold a request of the largest size, though it is never sent to its end. What comes beyond this waits
    # at the client; without the second option, gRPC would count calls that have just ended, and refuse some at random.
    ("grpc.max_concurrent_streams", 100),
    ("grpc.http.overload_protection", 0),
    # Whoever connects and does not say who they are is gone soon: each holds a file descriptor. The default is 2 min.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Old connections go, so that a replaced certificate or client authority comes into force for everyone.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


def tls_credentials(
    config: Config, *, report: Callable[[ConfigError | None], None] = lambda _: None
) -> grpc.ServerCredentials:
    """Returns the exchange's side of mutual TLS.

    Args:
        config: Names the files.
        report: Told of every change of them that was picked up (None) or could not be (the error).

    Raises:
        ConfigError: A file cannot be used; its key is named.
    """
    tls = config.tls

    def looked_at(problem: ConfigError | None) -> None:
        report(None if problem is None else _named(problem))

    try:
        return server_credentials(tls.certificate, tls.key, tls.client_ca, report=looked_at)
    except ConfigError as error:
        raise _named(error) from error


def _named(error: ConfigError) -> ConfigError:
    """The error with its key as the operator wrote it."""
    return ConfigError(f"tls.{error.key}", str(error).removeprefix(f"{error.key}: "))


class Server:
    """An exchange on the network.

    Args:
        config: Address and TLS files.
        exchange: What answers.
        audit: Where events go.
    """

    def __init__(self, config: Config, exchange: Exchange, audit: AuditLog) -> None:
        boundary = Boundary(
            exchange.directory, exchange.presence, audit, streams=config.limits.streams, reads=config.limits.reads
        )
        submission = Submission(exchange, audit)
        self._server = grpc.aio.server(interceptors=(boundary,), options=_OPTIONS)
        flag_service_pb2_grpc.add_FlagServiceServicer_to_server(FlagService(submission), self._server)
        response_service_pb2_grpc.add_ResponseServiceServicer_to_server(ResponseService(submission), self._server)
        case_pb2_grpc.add_CaseServiceServicer_to_server(CaseService(exchange, submission), self._server)
        feed_service_pb2_grpc.add_FeedServiceServicer_to_server(FeedService(exchange, audit), self._server)
        log_service_pb2_grpc.add_LogServiceServicer_to_server(LogService(exchange), self._server)
        directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryService(exchange), self._server)
        administration_service_pb2_grpc.add_AdministrationServiceServicer_to_server(
            AdministrationService(exchange, submission), self._server
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = [
            flag_service_pb2.DESCRIPTOR.services_by_name["FlagService"].full_name,
            response_service_pb2.DESCRIPTOR.services_by_name["ResponseService"].full_name,
            case_pb2.DESCRIPTOR.services_by_name["CaseService"].full_name,
            feed_service_pb2.DESCRIPTOR.services_by_name["FeedService"].full_name,
            log_service_pb2.DESCRIPTOR.services_by_name["LogService"].full_name,
            directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
            administration_service_pb2.DESCRIPTOR.services_by_name["AdministrationService"].full_name,
        ]
        self._services = ["", *services]
        reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self._audit = audit
        self._problem = ""
        self._loop = asyncio.get_running_loop()
        self._listen = config.listen
        credentials = tls_credentials(config, report=self._certificates_looked_at)
        self.port = self._server.add_secure_port(config.listen, credentials)

    async def start(self) -> None:
        """Answers from here on."""
        await self._server.start()
        for service in self._services:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Says that it is not serving, so that load balancers send nobody any more."""
        await self._health.enter_graceful_shutdown()

    def _certificates_looked_at(self, problem: ConfigError | None) -> None:
        # gRPC asks at each new connection, in a thread of its own.
        self._loop.call_soon_threadsafe(self._report_certificates, problem)

    def _report_certificates(self, problem: ConfigError | None) -> None:
        error = "" if problem is None else str(problem)
        if problem is None:
            self._audit.write("certificate.changed", listen=self._listen)
        elif error != self._problem:  # once, not at every connection
            self._audit.write("certificate.rejected", error=error)
        self._problem = error
        self._audit.flush()

    async def stop(self, grace: float) -> None:
        """Takes no new calls and gives running ones ``grace`` seconds to end."""
        await self._server.stop(grace)
