"""Who is calling? Everybody here is turned away before a word is read."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from google.rpc import status_pb2
from support.exchange import METHODS, PATIENCE, changed, credentials, read_status, refused
from support.statements import a_flag

from panji.development import DevelopmentCA
from panji.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.exchange import Caller, Running, Untouched

OURS = "spiffe://exchange.example/kominfo/gateway"


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def caller_with(exchange: Running, made: grpc.ChannelCredentials) -> Caller:
    return exchange.world.voices["kominfo"].connect(credentials=made)


# Certificates that TLS itself refuses: the handshake fails, and no call reaches the exchange.


def first_byte(exchange: Running, folder: Path | None) -> bytes:
    """What the exchange sends first to a client with this certificate: settings (HTTP/2), or nothing."""
    context = ssl.create_default_context(cafile=str(exchange.world.voices["kominfo"].profile.ca))
    context.set_alpn_protocols(["h2"])
    if folder is not None:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    host, port = exchange.world.made.listen.split(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        assert secure.version() == "TLSv1.3"
        # In TLS 1.3 the server looks at the client's certificate when the client thinks that all is done.
        try:
            return secure.recv(1)
        except (ssl.SSLError, ConnectionError):
            return b""


@pytest.mark.parametrize("which", ["good", "none", "foreign", "expired", "not yet valid", "for servers only"])
def test_handshake_succeeds_with_a_good_certificate_alone(
    exchange: Running, tmp_path: Path, now: datetime, which: str
) -> None:
    life: dict[str, Any] = {"not_before": now - timedelta(days=2), "not_after": now + timedelta(days=1)}
    ca = DevelopmentCA.create(now) if which == "foreign" else exchange.world.made.ca
    if which == "expired":
        life["not_after"] = now - timedelta(minutes=1)
    elif which == "not yet valid":
        life["not_before"] = now + timedelta(hours=1)
    elif which == "for servers only":
        life |= {"client": False, "server": True}
    issued = ca.issue([OURS], **life)
    (tmp_path / "client.pem").write_bytes(issued.certificate)
    (tmp_path / "client.key").write_bytes(issued.key)
    assert bool(first_byte(exchange, None if which == "none" else tmp_path)) is (which == "good")


def assert_unreachable(exchange: Running, made: grpc.ChannelCredentials) -> None:
    head, since = exchange["operator"].head(), exchange.mark()
    caller = caller_with(exchange, made)
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram")
    with pytest.raises(grpc.RpcError) as error:
        caller.call("SubmitFlag", envelope=letter.envelope)
    caller.close()
    assert getattr(error.value, "code")() is grpc.StatusCode.UNAVAILABLE  # noqa: B009 - grpc's RpcError is untyped
    assert exchange["operator"].head() == head
    assert not [one for one in exchange.audit()[since:] if one["event"] != "call.finished"]


def test_no_client_certificate(exchange: Running) -> None:
    assert_unreachable(exchange, grpc.ssl_channel_credentials(exchange.world.made.ca.certificate))


def test_certificate_of_a_foreign_authority(exchange: Running, now: datetime) -> None:
    foreign = DevelopmentCA.create(now)
    assert_unreachable(exchange, credentials(foreign, exchange.world.made.ca.certificate, "kominfo", [OURS]))


def test_foreign_authority_that_took_the_name_of_ours(exchange: Running, now: datetime) -> None:
    """The same subject, another key: a chain is verified by signatures, not by names."""
    foreign = DevelopmentCA.create(now, "Panji development CA")
    assert_unreachable(exchange, credentials(foreign, exchange.world.made.ca.certificate, "kominfo", [OURS]))


def test_expired_certificate(exchange: Running, now: datetime) -> None:
    life = {"not_before": now - timedelta(days=2), "not_after": now - timedelta(seconds=1)}
    assert_unreachable(exchange, exchange.world.certificate_for("kominfo", [OURS], **life))


def test_certificate_that_is_not_valid_yet(exchange: Running, now: datetime) -> None:
    life = {"not_before": now + timedelta(hours=1), "not_after": now + timedelta(days=1)}
    assert_unreachable(exchange, exchange.world.certificate_for("kominfo", [OURS], **life))


# Certificates that name nobody, or two: the exchange refuses the call.


def assert_without_identity(exchange: Running, untouched: Untouched, uris: list[str], **changes: Any) -> None:
    caller = caller_with(exchange, exchange.world.certificate_for("kominfo", uris, **changes))
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram")
    untouched.refuses(caller, letter, Reason.CERTIFICATE_IDENTITY)
    since = exchange.mark()
    refusal = refused(caller, "Watch", after_sequence=0)
    caller.close()
    assert refusal.reason is Reason.CERTIFICATE_IDENTITY
    event = exchange.wait_for("call.refused", since=since, request_id=refusal.request_id)
    assert event["organisation"] == event["participant"] == ""


def test_two_spiffe_ids(exchange: Running, untouched: Untouched) -> None:
    assert_without_identity(exchange, untouched, [OURS, "spiffe://exchange.example/telegram/gateway"])


def test_one_spiffe_id_twice(exchange: Running, untouched: Untouched) -> None:
    assert_without_identity(exchange, untouched, [OURS, OURS])


@pytest.mark.parametrize("first", [True, False])
def test_spiffe_id_beside_a_web_address(exchange: Running, untouched: Untouched, first: bool) -> None:
    uris = [OURS, "https://kominfo.example/"]
    assert_without_identity(exchange, untouched, uris if first else uris[::-1])


def test_no_subject_alternative_name(exchange: Running, untouched: Untouched) -> None:
    """The common name reads like the organisation; nobody reads the common name."""
    assert_without_identity(exchange, untouched, [])


def test_spiffe_id_in_a_dns_name(exchange: Running, untouched: Untouched) -> None:
    assert_without_identity(exchange, untouched, [], dns=[OURS])


def test_web_address_instead_of_a_spiffe_id(exchange: Running, untouched: Untouched) -> None:
    assert_without_identity(exchange, untouched, ["https://exchange.example/kominfo/gateway"])


@pytest.mark.parametrize(
    "uri",
    [
        f"{OURS}?organisation=telegram",
        f"{OURS}#telegram",
        "spiffe://exchange.example",
        "spiffe://exchange.example/../kominfo/gateway",
        "spiffe://exchange.example/kominfo%2Fgateway",
        "SPIFFE://exchange.example/kominfo/gateway",
        "spiffe://Exchange.Example/kominfo/gateway",
        f"{OURS}/",
    ],
)
def test_spiffe_id_that_is_spelt_otherwise(exchange: Running, untouched: Untouched, uri: str) -> None:
    assert_without_identity(exchange, untouched, [uri])


# Participants that the directory does not let in.


def test_organisation_that_the_directory_does_not_know(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["liar"].says(a_flag(), "telegram")
    refusal = untouched.refuses("liar", letter, Reason.PARTICIPANT_UNKNOWN)
    assert dict(refusal.info.metadata) == {"participant": "spiffe://exchange.example/liar/gateway"}
    event = exchange.wait_for("call.refused", request_id=refusal.request_id)
    assert (event["participant"], event["organisation"]) == ("spiffe://exchange.example/liar/gateway", "")


def test_participant_that_its_organisation_has_not_named(exchange: Running, untouched: Untouched) -> None:
    """Of kominfo's domain and path, but no participant in the directory."""
    caller = caller_with(exchange, exchange.world.certificate_for("kominfo", [f"{OURS}/2"]))
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram")
    untouched.refuses(caller, letter, Reason.PARTICIPANT_UNKNOWN)
    caller.close()


def test_suspended_organisation(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["polri"].says(a_flag(), "telegram")
    untouched.refuses("polri", letter, Reason.PARTICIPANT_UNKNOWN)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("organisation", ["liar", "polri"])
def test_no_method_answers_a_stranger_or_someone_suspended(exchange: Running, method: str, organisation: str) -> None:
    assert refused(exchange[organisation], method).reason is Reason.PARTICIPANT_UNKNOWN


def test_watcher_that_is_suspended_is_cut_off_and_sees_nothing_more(exchange: Running) -> None:
    directory = exchange.world.directory
    stream = exchange["whatsapp"].call("Watch", after_sequence=0)
    next(stream)
    since = exchange.mark()
    exchange.use(changed(directory, "whatsapp", suspended=True))
    try:
        unread = exchange.world.voices["bssn"].says(a_flag(), "whatsapp")  # while nobody of theirs may read it
        assert refused(exchange["bssn"], "SubmitFlag", envelope=unread.envelope).reason is Reason.RECIPIENT_UNREACHABLE
        with pytest.raises(grpc.RpcError) as error:
            pytest.fail(f"it was still sent {next(stream)}")
        assert "PARTICIPANT_UNKNOWN" in str(getattr(error.value, "trailing_metadata")())  # noqa: B009 - untyped
        ended = exchange.wait_for("watch.ended", since=since, organisation="whatsapp")
        assert (ended["code"], ended["reason"]) == ("PERMISSION_DENIED", "PARTICIPANT_UNKNOWN")
        assert refused(exchange["whatsapp"], "Watch", after_sequence=0).reason is Reason.PARTICIPANT_UNKNOWN
    finally:
        exchange.use(directory)
    seen = len(exchange["whatsapp"].feed())
    exchange["bssn"].submit(unread)
    assert len(exchange["whatsapp"].feed()) == seen + 1


def test_idle_watcher_that_is_suspended_is_cut_off_without_waiting_for_news(exchange: Running) -> None:
    directory = exchange.world.directory
    stream = exchange["whatsapp"].call("Watch", after_sequence=len(exchange["whatsapp"].feed()))
    assert not next(stream).deliveries
    exchange.use(changed(directory, "whatsapp", suspended=True))
    try:
        with pytest.raises(grpc.RpcError) as error:
            next(stream)
        assert getattr(error.value, "code")() is grpc.StatusCode.PERMISSION_DENIED  # noqa: B009 - untyped
    finally:
        exchange.use(directory)


def test_watcher_whose_participant_now_speaks_for_another_organisation_is_cut_off(exchange: Running) -> None:
    """It would go on reading the feed of the organisation that it spoke for."""
    directory = exchange.world.directory
    ours = directory.organisations["whatsapp"].participants
    stream = exchange["whatsapp"].call("Watch", after_sequence=len(exchange["whatsapp"].feed()))
    next(stream)
    moved = changed(directory, "whatsapp", participants=())
    exchange.use(changed(moved, "lama", participants=(*directory.organisations["lama"].participants, *ours)))
    try:
        with pytest.raises(grpc.RpcError):
            next(stream)
    finally:
        exchange.use(directory)


# TLS 1.2, spoken by a client that is not gRPC's: gRPC's own always offers 1.3.


def test_tls_1_2_is_refused_by_name(exchange: Running) -> None:
    profile = exchange.world.voices["kominfo"].profile
    context = ssl.create_default_context(cafile=str(profile.ca))
    context.load_cert_chain(profile.certificate, profile.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    since = exchange.mark()
    headers = dict(
        call_by_hand(context, profile.address, "/panji.v1.LogService/GetCheckpoint", b"", expected="TLSv1.2")
    )
    status = status_pb2.Status.FromString(unpadded(headers["grpc-status-details-bin"]))
    refusal = read_status(status, grpc.StatusCode.UNAUTHENTICATED)
    assert headers["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    assert refusal.reason is Reason.TLS_VERSION
    event = exchange.wait_for("call.refused", since=since, request_id=refusal.request_id)
    assert (event["reason"], event["participant"]) == ("TLS_VERSION", "")


def test_the_same_call_by_hand_over_tls_1_3_is_answered(exchange: Running) -> None:
    profile = exchange.world.voices["kominfo"].profile
    context = ssl.create_default_context(cafile=str(profile.ca))
    context.load_cert_chain(profile.certificate, profile.key)
    context.set_alpn_protocols(["h2"])
    found = call_by_hand(context, profile.address, "/panji.v1.LogService/GetCheckpoint", b"", expected="TLSv1.3")
    assert dict(found)["grpc-status"] == "0"


def call_by_hand(
    context: ssl.SSLContext, address: str, method: str, request: bytes, *, expected: str
) -> Iterator[tuple[str, str]]:
    """Makes one unary call with Python's TLS and HTTP/2; yields the headers and trailers that come back."""
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        assert (secure.version(), secure.selected_alpn_protocol()) == (expected, "h2")
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        sent = {
            ":method": "POST",
            ":scheme": "https",
            ":path": method,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        connection.send_headers(stream, list(sent.items()))
        connection.send_data(stream, struct.pack(">BI", 0, len(request)) + request, end_stream=True)
        ended = False
        while not ended:
            secure.sendall(connection.data_to_send())
            data = secure.recv(65536)
            assert data, "the exchange hung up without an answer"
            for event in connection.receive_data(data):
                assert not isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset)
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    yield from ((str(name), str(value)) for name, value in event.headers or ())
                ended |= isinstance(event, h2.events.StreamEnded)


def unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
