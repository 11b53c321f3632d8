"""What arrives is no envelope, is not signed as it must be, or was touched on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from support.exchange import Letter, read_status
from support.statements import a_flag, a_target

from panji.core import envelope as dsse
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.vocabulary import Kind
from panji.errors import Reason
from panji.v1 import envelope_pb2, flag_service_pb2
from panji.wire.envelopes import encode_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.exchange import Running, Untouched


def touched(letter: Letter, change: Callable[[envelope_pb2.Envelope], object]) -> Letter:
    """The letter with another envelope around the same claims."""
    message = envelope_pb2.Envelope.FromString(letter.envelope)
    change(message)
    return with_bytes(letter, message.SerializeToString(deterministic=True))


def with_bytes(letter: Letter, envelope: bytes) -> Letter:
    return Letter(envelope, letter.kind, letter.id, letter.case_id, letter.sender, letter.recipient, letter.test)


@pytest.fixture
def flag(exchange: Running) -> Letter:
    """A flag that is good, and not sent yet."""
    return exchange.world.voices["kominfo"].says(a_flag(), "telegram")


def test_the_good_flag_that_the_others_are_made_from_is_accepted(exchange: Running, flag: Letter) -> None:
    exchange["kominfo"].submit(flag)


def test_signature_by_another_organisations_key_is_refused(exchange: Running, untouched: Untouched) -> None:
    signers = exchange.world.voices["bssn"].signers
    forged = exchange.world.voices["kominfo"].says(a_flag(), "telegram", signers=signers)
    untouched.refuses("kominfo", forged, Reason.SIGNATURE_INVALID)


def test_another_organisations_own_statement_is_not_taken_from_the_wrong_caller(
    exchange: Running, untouched: Untouched, flag: Letter
) -> None:
    untouched.refuses("bssn", flag, Reason.SIGNATURE_INVALID)


def test_statement_in_anothers_name_under_ones_own_signature_is_refused(
    exchange: Running, untouched: Untouched
) -> None:
    borrowed = exchange.world.voices["bssn"].says(a_flag(), "telegram", sender="kominfo")
    untouched.refuses("bssn", borrowed, Reason.SENDER_MISMATCH)


def test_signature_by_an_expired_key_is_refused(exchange: Running, untouched: Untouched) -> None:
    old = exchange.world.voices["lama"]
    letter = old.says(a_flag(), "telegram", signers=[old.signers[0]])
    untouched.refuses("lama", letter, Reason.SIGNATURE_INVALID)


def test_signature_by_a_key_that_is_not_valid_yet_is_refused(exchange: Running, untouched: Untouched) -> None:
    old = exchange.world.voices["lama"]
    letter = old.says(a_flag(), "telegram", signers=[old.signers[2]])
    untouched.refuses("lama", letter, Reason.SIGNATURE_INVALID)


def test_signature_by_the_key_between_them_is_accepted(exchange: Running) -> None:
    old = exchange.world.voices["lama"]
    exchange["lama"].submit(old.says(a_flag(), "telegram", signers=[old.signers[1]]))


def test_signature_by_a_key_that_nobody_knows_is_refused(exchange: Running, untouched: Untouched) -> None:
    signers = [PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)]
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram", signers=signers)
    untouched.refuses("kominfo", letter, Reason.SIGNATURE_INVALID)


def test_two_signatures_by_one_key_are_one_pair_of_eyes_where_four_are_asked_for(
    exchange: Running, untouched: Untouched
) -> None:
    voice = exchange.world.voices["kejaksaan"]
    letter = voice.says(a_flag(), "telegram", signers=[voice.signers[0]] * 2)
    refusal = untouched.refuses("kejaksaan", letter, Reason.SIGNATURE_INVALID)
    assert dict(refusal.info.metadata) == {"organisation": "kejaksaan", "threshold": "2"}


def test_one_of_two_needed_signatures_is_refused(exchange: Running, untouched: Untouched) -> None:
    voice = exchange.world.voices["kejaksaan"]
    letter = voice.says(a_flag(), "telegram", signers=[voice.signers[1]])
    untouched.refuses("kejaksaan", letter, Reason.SIGNATURE_INVALID)


def test_a_strangers_signature_does_not_make_up_for_the_second_one(exchange: Running, untouched: Untouched) -> None:
    voice = exchange.world.voices["kejaksaan"]
    signers = [voice.signers[0], exchange.world.voices["kominfo"].signers[0]]
    letter = voice.says(a_flag(), "telegram", signers=signers)
    untouched.refuses("kejaksaan", letter, Reason.SIGNATURE_INVALID)


def test_both_of_two_needed_signatures_are_accepted(exchange: Running) -> None:
    exchange["kejaksaan"].says(a_flag(), "telegram")


def test_envelope_without_a_signature_is_refused(exchange: Running, untouched: Untouched, flag: Letter) -> None:
    bare = touched(flag, lambda message: message.ClearField("signatures"))
    untouched.refuses("kominfo", bare, Reason.ENVELOPE_MALFORMED)


def test_empty_signature_is_refused(untouched: Untouched, flag: Letter) -> None:
    empty = touched(flag, lambda message: setattr(message.signatures[0], "sig", b""))
    untouched.refuses("kominfo", empty, Reason.SIGNATURE_INVALID)


def test_seventeen_signatures_are_refused_before_any_is_verified(untouched: Untouched, flag: Letter) -> None:
    many = touched(flag, lambda message: message.signatures.extend([message.signatures[0]] * 16))
    untouched.refuses("kominfo", many, Reason.ENVELOPE_MALFORMED)


def test_sixteen_signatures_of_which_the_last_is_good_are_accepted(exchange: Running, flag: Letter) -> None:
    def pad(message: envelope_pb2.Envelope) -> None:
        good = envelope_pb2.Signature.FromString(message.signatures[0].SerializeToString())
        del message.signatures[:]
        message.signatures.extend([envelope_pb2.Signature(sig=b"\1" * 64)] * 15 + [good])

    exchange["kominfo"].submit(touched(flag, pad))


def test_hint_at_the_wrong_key_neither_helps_nor_harms(exchange: Running, flag: Letter) -> None:
    keyid = exchange.world.voices["telegram"].signers[0].public_key.keyid
    exchange["kominfo"].submit(touched(flag, lambda message: setattr(message.signatures[0], "keyid", keyid)))


def test_flipped_byte_in_the_payload_is_refused(untouched: Untouched, flag: Letter) -> None:
    def flip(message: envelope_pb2.Envelope) -> None:
        message.payload = bytes([message.payload[0] ^ 1]) + message.payload[1:]

    untouched.refuses("kominfo", touched(flag, flip), Reason.SIGNATURE_INVALID)


def test_flipped_byte_in_the_signature_is_refused(untouched: Untouched, flag: Letter) -> None:
    def flip(message: envelope_pb2.Envelope) -> None:
        signature = message.signatures[0].sig
        message.signatures[0].sig = signature[:-1] + bytes([signature[-1] ^ 1])

    untouched.refuses("kominfo", touched(flag, flip), Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_no_flipped_byte_anywhere_in_an_envelope_gets_past_the_exchange(exchange: Running, bit: int) -> None:
    """Every byte in turn. The key's hint is not signed: flips in it leave another envelope of the same statement."""
    voice = exchange.world.voices["kominfo"]
    flag = voice.says(a_flag(reasons="rahasia", targets=(a_target(url="https://t.example"),)), "telegram")
    exchange["kominfo"].submit(flag)
    head, since = exchange["operator"].head(), exchange.mark()
    flipped = [
        flag.envelope[:at] + bytes([flag.envelope[at] ^ bit]) + flag.envelope[at + 1 :]
        for at in range(len(flag.envelope))
    ]
    request = flag_service_pb2.SubmitFlagsRequest(envelopes=flipped)
    results = exchange["kominfo"].call("SubmitFlags", request).results
    assert len(results) == len(flipped) < 1000
    reasons = [read_status(one.error, grpc_code(one.error.code)).reason for one in results]
    signed = envelope_pb2.Envelope.FromString(flag.envelope)
    for part in (signed.payload, signed.signatures[0].sig):
        start = flag.envelope.index(part)
        assert set(reasons[start : start + len(part)]) == {Reason.SIGNATURE_INVALID}
    assert set(reasons) <= {
        Reason.SIGNATURE_INVALID,
        Reason.ENVELOPE_MALFORMED,
        Reason.PAYLOAD_TYPE_UNKNOWN,
        Reason.PAYLOAD_EMPTY,
        Reason.STATEMENT_ID_REUSED,
    }
    assert exchange["operator"].head() == head
    assert len(exchange["kominfo"].case(flag).statements) == 1
    finished = exchange.wait_for("call.finished", since=since, refused=len(flipped), accepted=0)
    refused = [one for one in exchange.audit()[since:] if one["event"] == "statement.refused"]
    assert [one["reason"] for one in refused] == reasons
    assert {one["request_id"] for one in refused} == {finished["request_id"]}


def test_payload_of_another_type_is_refused_though_it_is_signed(exchange: Running, untouched: Untouched) -> None:
    voice = exchange.world.voices["kominfo"]
    letter = voice.says(a_flag(), "telegram", payload_type="application/vnd.in-toto+json")
    untouched.refuses("kominfo", letter, Reason.PAYLOAD_TYPE_UNKNOWN)


def test_type_changed_after_signing_is_refused(untouched: Untouched, flag: Letter) -> None:
    other = touched(flag, lambda message: setattr(message, "payload_type", message.payload_type + " "))
    untouched.refuses("kominfo", other, Reason.PAYLOAD_TYPE_UNKNOWN)


def test_empty_payload_is_refused(exchange: Running, untouched: Untouched) -> None:
    letter = exchange.world.voices["kominfo"].says(a_flag(), "telegram", alter=lambda message: message.Clear())
    untouched.refuses("kominfo", letter, Reason.PAYLOAD_EMPTY)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 40, b'{"payload": "e30="}', b"\x0a\xff\xff\xff\xff\x0f", b"\x1a\x02\x0a\x7f"],
    ids=["bytes", "json", "length beyond the end", "signature cut off"],
)
def test_malformed_envelope_is_refused(untouched: Untouched, flag: Letter, garbage: bytes) -> None:
    untouched.refuses("kominfo", with_bytes(flag, garbage), Reason.ENVELOPE_MALFORMED)


def test_request_without_an_envelope_is_refused(untouched: Untouched, flag: Letter) -> None:
    untouched.refuses("kominfo", with_bytes(flag, b""), Reason.ENVELOPE_MALFORMED)


def test_envelope_cut_short_is_refused(untouched: Untouched, flag: Letter) -> None:
    untouched.refuses("kominfo", with_bytes(flag, flag.envelope[:-1]), Reason.ENVELOPE_MALFORMED)


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xc3\x28"], ids=["bytes", "length", "no UTF-8"]
)
def test_malformed_payload_is_refused_though_it_is_signed(
    exchange: Running, untouched: Untouched, garbage: bytes
) -> None:
    letter = signed_bytes(exchange, garbage)
    untouched.refuses("kominfo", letter, Reason.PAYLOAD_MALFORMED)


def test_oversized_envelope_is_refused_before_it_is_looked_at(exchange: Running, untouched: Untouched) -> None:
    letter = signed_bytes(exchange, b"\0" * (260 * 1024))
    refusal = untouched.refuses("kominfo", letter, Reason.PAYLOAD_TOO_LARGE)
    assert dict(refusal.info.metadata) == {"max_bytes": str(260 * 1024), "bytes": str(len(letter.envelope))}


def test_request_beyond_the_message_limit_of_grpc_is_refused_and_changes_nothing(exchange: Running) -> None:
    """The library refuses it before there is a call: no ErrorInfo and no event can be had."""
    head = exchange["operator"].head()
    request = flag_service_pb2.SubmitFlagRequest(envelope=bytes(33 * 1024 * 1024))
    with pytest.raises(grpc.RpcError) as error:
        exchange["kominfo"].call("SubmitFlag", request)
    assert getattr(error.value, "code")() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: B009 - grpc's RpcError is untyped
    assert exchange["operator"].head() == head


def signed_bytes(exchange: Running, payload: bytes) -> Letter:
    """Bytes that are no statement, signed as if they were one."""
    envelope = encode_envelope(dsse.sign(payload, exchange.world.voices["kominfo"].signers))
    return Letter(envelope, Kind.FLAG, "", "", "kominfo", "telegram", test=False)


def grpc_code(code: int) -> grpc.StatusCode:
    return next(one for one in grpc.StatusCode if one.value[0] == code)
