"""What a participant believes. Each lie of an exchange, of a participant or of a thief is named."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from support.lying_exchange import Exchange, Log, World
from support.statements import (
    MINISTRY,
    NOON,
    PLATFORM,
    STRANGER,
    a_clarification_answer,
    a_clarification_request,
    a_correspondence,
    a_decision,
    a_flag,
    a_withdrawal,
    an_acknowledgement,
    an_id,
)

from panji import session as module
from panji.core import checkpoint
from panji.core import envelope as dsse
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.directory import Threshold
from panji.core.identifier import new_id
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.vocabulary import CaseState
from panji.errors import (
    DeliveryError,
    ForkKind,
    InputError,
    LogForkError,
    MalformedError,
    NoteError,
    ProofError,
    ReceiptError,
    SignatureError,
    VerificationError,
)
from panji.session import Session, Signed
from panji.v1 import case_pb2, receipt_pb2, vocabulary_pb2
from panji.wire.envelopes import encode_envelope, parse_envelope
from panji.wire.receipts import delivery_to_message, encode_receipt, parse_receipt, receipt_from_message
from panji.wire.statements import encode_statement
from panji.wire.times import to_timestamp

if TYPE_CHECKING:
    from panji.core.statements import Body


class Scene:
    """A world with the views of its three organisations."""

    def __init__(self) -> None:
        self.world = World()
        self.look()

    def look(self) -> None:
        """Everybody reads the directory again."""
        self.ministry = self.world.session(MINISTRY)
        self.platform = self.world.session(PLATFORM)
        self.stranger = self.world.session(STRANGER)

    @property
    def exchange(self) -> Exchange:
        return self.world.exchange

    def flag(self, recipient: str = PLATFORM, **changes: Any) -> Signed:
        return self.ministry.sign(recipient, a_flag(**changes), language="en", now=NOON)

    def delivered(self, signed: Signed) -> receipt_pb2.Delivery:
        return self.exchange.delivery(signed.envelope)

    def reply(self, speaker: Session, to: receipt_pb2.Delivery, body: Body) -> receipt_pb2.Delivery:
        """A reply by a side to something that stands in its case, accepted."""
        verified = speaker.verify_delivery(to, addressed_to_us=False)
        return self.delivered(speaker.reply(verified, body, now=NOON))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Ids.


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    made = uuid.UUID(new_id(NOON, bytes(8)))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOON.timestamp() * 1000)


def test_ids_of_later_microseconds_sort_later() -> None:
    times = [NOON + timedelta(microseconds=n) for n in range(3000)]
    ids = [new_id(now, b"\xff" * 8 if now.microsecond % 2 else bytes(8)) for now in times]
    assert ids == sorted(ids)


def test_many_ids_of_one_instant_are_distinct(scene: Scene) -> None:
    assert len({scene.flag().statement.id for _ in range(200)}) == 200


def test_an_id_holds_62_bits_of_the_randomness_given() -> None:
    assert new_id(NOON, b"\xff" * 8)[19:] == "bfff-ffffffffffff"


# Signing.


def test_what_is_signed_is_bound_to_the_exchange_and_to_us(scene: Scene) -> None:
    signed = scene.flag()
    assert (signed.statement.exchange, signed.statement.sender) == (scene.exchange.log.signer.verifier.name, MINISTRY)
    assert signed.digest == dsse.digest(signed.envelope)


def test_every_key_of_the_profile_signs(scene: Scene) -> None:
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256))
    scene.look()
    assert len(parse_envelope(scene.flag().envelope).signatures) == 2


def test_without_a_key_nothing_is_signed(scene: Scene) -> None:
    mute = Session(MINISTRY, scene.exchange.log.signer.verifier, scene.world.directory)
    with pytest.raises(InputError):
        mute.sign(PLATFORM, a_flag(), language="en", now=NOON)


def test_a_reply_takes_case_digest_marker_addressee_and_language_from_what_it_answers(scene: Scene) -> None:
    signed = scene.ministry.sign(PLATFORM, a_flag(), language="id", now=NOON, test=True)
    flag = scene.platform.verify_delivery(scene.delivered(signed))
    reply = scene.platform.reply(flag, an_acknowledgement(), now=NOON).statement
    assert (reply.case_id, reply.in_reply_to, reply.test) == (signed.statement.id, signed.digest, True)
    assert (reply.recipient, reply.language) == (MINISTRY, "id")


def test_a_reply_to_our_own_statement_goes_to_the_other_side(scene: Scene) -> None:
    flag = scene.ministry.verify_delivery(scene.delivered(scene.flag()), addressed_to_us=False)
    assert scene.ministry.reply(flag, a_withdrawal(), now=NOON).statement.recipient == PLATFORM


def test_a_statement_is_restored_from_its_bytes(scene: Scene) -> None:
    signed = scene.flag()
    assert scene.ministry.restore(signed.envelope) == signed


def test_a_statement_of_a_key_that_has_been_replaced_is_restored_by_the_directory(scene: Scene) -> None:
    signed = scene.flag()
    directory = scene.world.directory
    mute = Session(MINISTRY, scene.exchange.log.signer.verifier, directory, [PrivateKeySigner.generate()])
    assert mute.restore(signed.envelope) == signed


def test_bytes_that_are_not_as_we_signed_them_are_not_ours(scene: Scene) -> None:
    """Attack, or a bad disk: one byte of what waits in the outbox is another."""
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    scene.look()
    data = scene.flag().envelope
    for place in range(len(data)):
        with pytest.raises(InputError):
            scene.ministry.restore(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for other in (
        b"",
        b"\xff",
        scene.world.session(PLATFORM).sign(MINISTRY, a_flag(), language="en", now=NOON).envelope,
    ):
        with pytest.raises(InputError):
            scene.ministry.restore(other)


# Receipts for what we sent.


def test_the_signers_of_our_own_statement_are_those_who_signed_it(scene: Scene) -> None:
    """The keys of today may be others: the profile's have changed between signing and sending."""
    old = scene.world.signers[MINISTRY][0].public_key.keyid
    signed = scene.flag()
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    today = Session(
        MINISTRY, scene.exchange.log.signer.verifier, scene.world.directory, scene.world.signers[MINISTRY][1:]
    )
    for one in (signed, today.restore(signed.envelope)):
        assert today.accept(one, scene.delivered(one).receipt).signers == (old,)


def test_a_receipt_for_our_statement_verifies(scene: Scene) -> None:
    signed = scene.flag()
    verified = scene.ministry.accept(signed, scene.delivered(signed).receipt)
    assert verified.statement == signed.statement
    assert verified.signers == (scene.world.signers[MINISTRY][0].public_key.keyid,)


def test_a_receipt_of_another_statement_is_no_receipt_for_this_one(scene: Scene) -> None:
    signed, other = scene.flag(), scene.flag()
    with pytest.raises(ReceiptError, match="another statement"):
        scene.ministry.accept(signed, scene.delivered(other).receipt)


def test_a_missing_receipt_is_no_receipt(scene: Scene) -> None:
    with pytest.raises(VerificationError):
        scene.ministry.accept(scene.flag(), receipt_pb2.Receipt())


def test_a_receipt_with_a_time_that_is_none_is_no_receipt(scene: Scene) -> None:
    signed = scene.flag()
    receipt = scene.delivered(signed).receipt
    receipt.received_at.nanos = -1
    with pytest.raises(ReceiptError, match="malformed"):
        scene.ministry.accept(signed, receipt)


def test_a_receipt_by_a_thief_with_a_log_of_his_own_is_refused(scene: Scene) -> None:
    signed = scene.flag()
    thief = Log(NoteSigner(scene.exchange.log.signer.verifier.name, PrivateKeySigner.generate()))
    receipt = thief.append(signed.digest, "flag", PLATFORM, 1, NOON)
    with pytest.raises(NoteError):
        scene.ministry.verify_receipt(signed, receipt)


def test_a_flag_that_was_logged_as_correspondence_is_noticed(scene: Scene) -> None:
    signed = scene.flag()
    receipt = scene.exchange.log.append(signed.digest, "correspondence", PLATFORM, 1, NOON)
    with pytest.raises(ReceiptError, match="not for a flag"):
        scene.ministry.verify_receipt(signed, receipt)


def test_a_flag_that_was_put_into_anothers_feed_is_noticed(scene: Scene) -> None:
    signed = scene.flag()
    receipt = scene.exchange.log.append(signed.digest, "flag", STRANGER, 1, NOON)
    with pytest.raises(ReceiptError, match="another recipient"):
        scene.ministry.verify_receipt(signed, receipt)


def test_a_time_of_receipt_that_was_changed_afterwards_leaves_the_tree(scene: Scene) -> None:
    signed = scene.flag()
    receipt = receipt_from_message(scene.delivered(signed).receipt)
    with pytest.raises(ProofError):
        scene.ministry.verify_receipt(signed, replace(receipt, received_at=receipt.received_at - timedelta(hours=1)))


@pytest.mark.parametrize("bits", [0x01, 0x80])
def test_every_flipped_byte_of_a_stored_receipt_is_refused(scene: Scene, bits: int) -> None:
    for _ in range(5):
        scene.delivered(scene.flag())
    signed = scene.flag()
    stored = encode_receipt(receipt_from_message(scene.delivered(signed).receipt))
    scene.ministry.verify_receipt(signed, parse_receipt(stored))
    for position in range(len(stored)):
        flipped = stored[:position] + bytes([stored[position] ^ bits]) + stored[position + 1 :]
        with pytest.raises((MalformedError, VerificationError)):
            scene.ministry.verify_receipt(signed, parse_receipt(flipped))


def test_a_checkpoint_that_many_receipts_share_is_opened_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Mock(wraps=checkpoint.open_checkpoint)
    monkeypatch.setattr(module, "open_checkpoint", opening)
    signed = scene.flag()
    receipt = receipt_from_message(scene.delivered(signed).receipt)
    for _ in range(3):
        scene.ministry.verify_receipt(signed, receipt)
    opening.assert_called_once()


def test_two_roots_for_one_size_are_noticed(scene: Scene) -> None:
    scene.delivered(scene.flag())
    log = scene.exchange.log
    scene.ministry.open_checkpoint(log.checkpoint())
    forked = sign_checkpoint(Checkpoint(log.signer.verifier.name, 1, bytes(32)), log.signer)
    with pytest.raises(LogForkError, match="two roots for size 1") as caught:
        scene.ministry.open_checkpoint(forked)
    assert (caught.value.kind, caught.value.kept, caught.value.seen) == (ForkKind.SPLIT, log.checkpoint(), forked)


def test_the_memory_for_heads_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEADS", 2)
    for _ in range(4):
        scene.delivered(scene.flag())
        scene.ministry.open_checkpoint(scene.exchange.log.checkpoint())
    assert list(scene.ministry._roots) == [3, 4]


# Deliveries.


def test_a_delivery_comes_back_verified_with_its_signers(scene: Scene) -> None:
    signed = scene.flag()
    verified = scene.platform.verify_delivery(scene.delivered(signed))
    assert (verified.statement, verified.envelope, verified.digest) == (
        signed.statement,
        signed.envelope,
        signed.digest,
    )
    assert verified.signers == (scene.world.signers[MINISTRY][0].public_key.keyid,)


def test_a_swapped_envelope_is_noticed(scene: Scene) -> None:
    delivery, other = scene.delivered(scene.flag()), scene.flag()
    delivery.envelope = other.envelope
    with pytest.raises(ReceiptError, match="another statement"):
        scene.platform.verify_delivery(delivery)


def test_a_replaced_envelope_with_a_valid_signature_is_noticed(scene: Scene) -> None:
    """The very same words, signed anew by the sender: genuine, but not what was logged."""
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    scene.look()
    delivery = scene.delivered(scene.flag())
    payload = parse_envelope(delivery.envelope).payload
    delivery.envelope = encode_envelope(dsse.sign(payload, [scene.world.signers[MINISTRY][1]]))
    with pytest.raises(ReceiptError, match="another statement"):
        scene.platform.verify_delivery(delivery)


def test_a_flipped_byte_is_noticed_wherever_it_is(scene: Scene) -> None:
    delivery = scene.delivered(scene.flag())
    data = delivery.envelope
    for position in range(0, len(data), 17):
        delivery.envelope = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(VerificationError):
            scene.platform.verify_delivery(delivery)


def _log_it(scene: Scene, envelope: bytes, kind: str = "flag", recipient: str = PLATFORM) -> receipt_pb2.Delivery:
    """What a thief of the exchange can do: put any bytes into the log, with a genuine receipt."""
    receipt = scene.exchange.log.append(dsse.digest(envelope), kind, recipient, 1, NOON)
    return delivery_to_message(envelope, receipt)


def test_a_flag_that_a_stolen_exchange_invents_is_noticed(scene: Scene) -> None:
    thief = PrivateKeySigner.generate()
    payload = encode_statement(scene.flag().statement)
    delivery = _log_it(scene, encode_envelope(dsse.sign(payload, [thief])))
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(delivery)


def test_a_forged_signature_under_the_hint_of_a_trusted_key_is_noticed(scene: Scene) -> None:
    signed = parse_envelope(scene.flag().envelope)
    forged = replace(signed, signatures=(replace(signed.signatures[0], sig=bytes(64)),))
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(_log_it(scene, encode_envelope(forged)))


def test_a_participant_who_speaks_as_another_is_noticed(scene: Scene) -> None:
    payload = encode_statement(scene.flag().statement)
    delivery = _log_it(scene, encode_envelope(dsse.sign(payload, scene.world.signers[STRANGER])))
    with pytest.raises(SignatureError, match="too few keys of kominfo"):
        scene.platform.verify_delivery(delivery)


def test_a_sender_that_the_directory_does_not_know_is_noticed(scene: Scene) -> None:
    statement = replace(scene.flag().statement, sender="nobody")
    delivery = _log_it(scene, encode_envelope(dsse.sign(encode_statement(statement), scene.world.signers[MINISTRY])))
    with pytest.raises(SignatureError, match="too few keys of nobody"):
        scene.platform.verify_delivery(delivery)


def test_one_pair_of_eyes_where_four_are_needed_is_too_few(scene: Scene) -> None:
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    scene.world.thresholds[MINISTRY] = 2
    alone = scene.flag()
    scene.look()
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(scene.delivered(alone))
    assert len(scene.platform.verify_delivery(scene.delivered(scene.flag())).signers) == 2


def test_what_one_pair_of_eyes_said_before_four_were_asked_for_stays_proven(scene: Scene) -> None:
    """Attack: the operator raises the threshold, and all that was signed before can be denied."""
    early, late = (scene.delivered(scene.flag()) for _ in range(2))
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    directory = scene.world.directory
    four_eyes = (Threshold(2, receipt_from_message(late.receipt).received_at),)
    ministry = replace(directory.organisations[MINISTRY], thresholds=four_eyes)
    scene.platform.trust(replace(directory, organisations={**directory.organisations, MINISTRY: ministry}))
    assert scene.platform.verify_delivery(early).receipt.index == 0
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(late)


def test_a_strangers_second_signature_does_not_make_four_eyes(scene: Scene) -> None:
    scene.world.signers[MINISTRY].append(PrivateKeySigner.generate())
    scene.world.thresholds[MINISTRY] = 2
    scene.look()
    two = [scene.world.signers[MINISTRY][0], scene.world.signers[STRANGER][0]]
    envelope = encode_envelope(dsse.sign(encode_statement(scene.flag().statement), two))
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(_log_it(scene, envelope))


def test_a_wrong_hint_or_none_does_not_stop_a_genuine_statement(scene: Scene) -> None:
    """The exchange need not look at hints: a statement with a wrong one must not block a feed for ever."""
    envelope = parse_envelope(scene.flag().envelope)
    (signature,) = envelope.signatures
    stranger = scene.world.signers[STRANGER][0].public_key.keyid
    for number, hint in enumerate(("", "ff", stranger), 1):
        misled = replace(envelope, signatures=(replace(signature, keyid=hint),))
        delivery = _log_it(scene, encode_envelope(misled))
        assert scene.platform.verify_delivery(delivery).receipt.index == number - 1


def test_a_colluding_strangers_extra_signature_does_not_stop_a_genuine_statement(scene: Scene) -> None:
    both = [scene.world.signers[STRANGER][0], scene.world.signers[MINISTRY][0]]
    delivery = _log_it(scene, encode_envelope(dsse.sign(encode_statement(scene.flag().statement), both)))
    keyid = scene.world.signers[MINISTRY][0].public_key.keyid
    assert scene.platform.verify_delivery(delivery).signers == (keyid,)


def test_a_key_that_was_revoked_before_the_receipt_does_not_count(scene: Scene) -> None:
    delivery = scene.delivered(scene.flag())
    scene.world.periods[MINISTRY] = f"valid_until = {NOON.isoformat()}"
    scene.look()
    with pytest.raises(SignatureError):
        scene.platform.verify_delivery(delivery)


def test_a_key_that_was_revoked_after_the_receipt_still_counts(scene: Scene) -> None:
    delivery = scene.delivered(scene.flag())
    scene.world.periods[MINISTRY] = f"valid_until = {(NOON + timedelta(seconds=1)).isoformat()}"
    scene.look()
    scene.platform.verify_delivery(delivery)


def test_a_statement_made_for_another_exchange_is_no_statement_here(scene: Scene) -> None:
    elsewhere = replace(scene.flag().statement, exchange="other.example/log")
    envelope = encode_envelope(dsse.sign(encode_statement(elsewhere), scene.world.signers[MINISTRY]))
    with pytest.raises(DeliveryError, match="another exchange"):
        scene.platform.verify_delivery(_log_it(scene, envelope))


def test_bytes_that_were_signed_as_something_else_are_no_statement(scene: Scene) -> None:
    payload = encode_statement(scene.flag().statement)
    envelope = encode_envelope(dsse.sign(payload, scene.world.signers[MINISTRY], "application/json"))
    with pytest.raises(DeliveryError, match="by its type"):
        scene.platform.verify_delivery(_log_it(scene, envelope))


def test_signed_rubbish_is_no_statement(scene: Scene) -> None:
    envelope = encode_envelope(dsse.sign(b"\xff", scene.world.signers[MINISTRY]))
    with pytest.raises(DeliveryError, match="no statement"):
        scene.platform.verify_delivery(_log_it(scene, envelope))


def test_rubbish_in_the_log_is_no_envelope(scene: Scene) -> None:
    with pytest.raises(DeliveryError, match="no envelope"):
        scene.platform.verify_delivery(_log_it(scene, b"\xff"))


def test_a_statement_of_a_newer_version_is_read_as_far_as_we_know_it(scene: Scene) -> None:
    payload = encode_statement(scene.flag().statement) + b"\xfa\x3f\x01x"  # field 1023
    envelope = encode_envelope(dsse.sign(payload, scene.world.signers[MINISTRY]))
    scene.platform.verify_delivery(_log_it(scene, envelope))


def test_a_genuine_flag_to_somebody_else_is_misdelivered(scene: Scene) -> None:
    with pytest.raises(DeliveryError, match="between others"):
        scene.platform.verify_delivery(scene.delivered(scene.flag(STRANGER)))


def test_a_delivery_for_another_recipient_than_the_statement_names_is_noticed(scene: Scene) -> None:
    signed = scene.flag(STRANGER)
    with pytest.raises(ReceiptError, match="another recipient"):
        scene.platform.verify_delivery(_log_it(scene, signed.envelope, recipient=PLATFORM))


def test_our_own_statement_is_no_delivery_to_us_but_part_of_our_case(scene: Scene) -> None:
    delivery = scene.delivered(scene.flag())
    with pytest.raises(DeliveryError):
        scene.ministry.verify_delivery(delivery)
    scene.ministry.verify_delivery(delivery, addressed_to_us=False)


# The feed.


def test_a_feed_without_gaps_verifies(scene: Scene) -> None:
    for after in range(3):
        delivery = scene.delivered(scene.flag())
        assert scene.platform.verify_next(after, delivery, above=after - 1).receipt.sequence == after + 1


def test_a_statement_that_is_left_out_of_the_feed_is_noticed(scene: Scene) -> None:
    scene.delivered(scene.flag())
    with pytest.raises(DeliveryError, match="left out"):
        scene.platform.verify_next(0, scene.delivered(scene.flag()))


def test_a_statement_that_comes_twice_is_noticed(scene: Scene) -> None:
    delivery = scene.delivered(scene.flag())
    scene.platform.verify_next(0, delivery)
    with pytest.raises(DeliveryError, match="repeated"):
        scene.platform.verify_next(1, delivery)


def test_a_feed_in_another_order_than_the_logs_is_noticed(scene: Scene) -> None:
    first, second = scene.flag(), scene.flag()
    log = scene.exchange.log
    late = delivery_to_message(second.envelope, log.append(second.digest, "flag", PLATFORM, 2, NOON))
    early = delivery_to_message(first.envelope, log.append(first.digest, "flag", PLATFORM, 1, NOON))
    index = scene.platform.verify_next(0, early).receipt.index
    with pytest.raises(DeliveryError, match="before sequence 1"):
        scene.platform.verify_next(1, late, above=index)


# Cases.


def _story(scene: Scene) -> case_pb2.Case:
    """A case with a statement of every kind but withdrawal."""
    flag = scene.delivered(scene.flag(count=2))
    scene.reply(scene.platform, flag, an_acknowledgement())
    question = scene.reply(scene.platform, flag, a_clarification_request())
    scene.reply(scene.ministry, question, a_clarification_answer())
    scene.reply(scene.platform, flag, a_correspondence())
    scene.reply(scene.platform, flag, a_decision(1, 2))
    (case_id,) = scene.exchange.cases
    return scene.exchange.case(case_id)


@pytest.mark.parametrize("side", [MINISTRY, PLATFORM])
def test_both_sides_compute_the_same_state_from_the_statements(scene: Scene, side: str) -> None:
    claimed = _story(scene)
    verified = scene.world.session(side).verify_case(claimed)
    assert verified.case == scene.exchange.cases[claimed.id].case
    assert verified.case.state is CaseState.DECIDED
    assert len(verified.statements) == 6
    assert verified.flag.statement.id == claimed.id


def test_a_stranger_to_the_case_is_not_taken_in(scene: Scene) -> None:
    with pytest.raises(DeliveryError, match="between others"):
        scene.stranger.verify_case(_story(scene))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", CaseState.WITHDRAWN),
        ("authority", STRANGER),
        ("test", True),
        ("urgency", 3),
        ("category", 99),
        ("asked_by", PLATFORM),
        ("restore_since", to_timestamp(NOON)),
        ("clock_stopped_at", to_timestamp(NOON)),
    ],
)
def test_a_false_state_of_a_case_is_noticed(scene: Scene, field: str, value: Any) -> None:
    claimed = _story(scene)
    told = type(claimed)(**{field: value})
    claimed.ClearField(field)  # type: ignore[arg-type]
    claimed.MergeFrom(told)
    with pytest.raises(VerificationError, match="claims another state"):
        scene.ministry.verify_case(claimed)


def test_a_false_state_of_one_target_is_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    claimed.targets[1].state = vocabulary_pb2.TARGET_STATE_WITHDRAWN
    with pytest.raises(VerificationError, match="claims another state"):
        scene.ministry.verify_case(claimed)


def test_what_a_newer_exchange_says_besides_is_passed_over(scene: Scene) -> None:
    claimed = _story(scene)
    claimed.MergeFromString(b"\xfa\x3f\x01x")
    scene.ministry.verify_case(claimed)


def test_a_case_without_statements_proves_nothing(scene: Scene) -> None:
    claimed = _story(scene)
    del claimed.statements[:]
    with pytest.raises(VerificationError, match="begin with a flag"):
        scene.ministry.verify_case(claimed)


def test_a_case_whose_flag_is_left_out_is_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    del claimed.statements[0]
    with pytest.raises(VerificationError, match="begin with a flag"):
        scene.ministry.verify_case(claimed)


def test_a_case_with_a_reply_altered_is_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    claimed.statements[5].envelope = claimed.statements[4].envelope
    with pytest.raises(ReceiptError):
        scene.ministry.verify_case(claimed)


def test_replies_of_another_case_grafted_onto_this_one_are_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    other = scene.delivered(scene.flag())
    claimed.statements.append(scene.reply(scene.platform, other, an_acknowledgement()))
    with pytest.raises(VerificationError, match="another case"):
        scene.ministry.verify_case(claimed)


def test_statements_of_a_case_in_another_order_are_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    last = receipt_pb2.Delivery()
    last.CopyFrom(claimed.statements[5])
    del claimed.statements[5]
    claimed.statements.insert(1, last)
    with pytest.raises(VerificationError, match="order"):
        scene.ministry.verify_case(claimed)


def test_a_statement_that_stands_twice_in_a_case_is_noticed(scene: Scene) -> None:
    claimed = _story(scene)
    claimed.statements.append(claimed.statements[5])
    with pytest.raises(VerificationError, match="order"):
        scene.ministry.verify_case(claimed)


def test_a_decision_that_we_hold_a_receipt_for_cannot_be_hidden(scene: Scene) -> None:
    claimed = _story(scene)
    digests = [dsse.digest(one.envelope) for one in claimed.statements]
    scene.platform.verify_case(claimed, known=digests)
    del claimed.statements[5]
    with pytest.raises(VerificationError, match="hold a receipt"):
        scene.platform.verify_case(claimed, known=digests)


def test_a_left_out_acknowledgement_shows_in_the_state(scene: Scene) -> None:
    flag = scene.delivered(scene.flag())
    scene.reply(scene.platform, flag, an_acknowledgement())
    (case_id,) = scene.exchange.cases
    claimed = scene.exchange.case(case_id)
    del claimed.statements[1]
    with pytest.raises(VerificationError, match="claims another state"):
        scene.ministry.verify_case(claimed)


def _forced(scene: Scene, signed: Signed) -> case_pb2.Case:
    """A case into which a thief of the exchange has forced a reply that the rules would have refused."""
    (case_id,) = scene.exchange.cases
    claimed = scene.exchange.case(case_id)
    claimed.statements.append(_log_it(scene, signed.envelope, signed.statement.kind.value, signed.statement.recipient))
    return claimed


def test_a_reply_to_something_outside_of_the_case_is_noticed(scene: Scene) -> None:
    flag = scene.platform.verify_delivery(scene.delivered(scene.flag()))
    elsewhere = replace(flag, digest=bytes(32))
    stray = scene.platform.reply(elsewhere, a_correspondence(), now=NOON)
    with pytest.raises(VerificationError, match="answers nothing"):
        scene.ministry.verify_case(_forced(scene, stray))


def test_a_move_that_the_rules_forbid_is_noticed(scene: Scene) -> None:
    flag = scene.ministry.verify_delivery(scene.delivered(scene.flag()), addressed_to_us=False)
    presumptuous = scene.ministry.reply(flag, a_decision(1), now=NOON)
    with pytest.raises(VerificationError, match="follow from one another"):
        scene.ministry.verify_case(_forced(scene, presumptuous))


def test_the_receipts_of_a_case_survive_storage(scene: Scene) -> None:
    claimed = _story(scene)
    for one in claimed.statements:
        data = one.receipt.SerializeToString(deterministic=True)
        assert parse_receipt(data) == receipt_from_message(one.receipt)


def test_a_fixed_id_may_be_given(scene: Scene) -> None:
    signed = scene.ministry.sign(PLATFORM, a_flag(), language="en", now=datetime.now(UTC), id=an_id(9))
    assert signed.statement.id == an_id(9)
