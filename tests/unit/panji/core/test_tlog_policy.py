"""Policies: every rule of the format, and whose word makes a checkpoint credible."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from support.statements import NOON as EXACT_NOON
from support.witnesses import WITNESSES, cosigned, policy_text, seconds

from panji.core import merkle
from panji.core.checkpoint import Checkpoint, sign_checkpoint
from panji.core.cosignature import Cosigner, WitnessVerifier
from panji.core.keys import PrivateKeySigner
from panji.core.note import NoteSigner
from panji.core.tlog_policy import (
    AHEAD,
    MAX_BYTES,
    MAX_DEFINITIONS,
    NONE,
    Group,
    Policy,
    PolicyLog,
    Witness,
    Witnessed,
    open_witnessed,
    parse_policy,
)
from panji.errors import InputError, NoteError, QuorumError, StaleHeadError, VerificationError

LOG = NoteSigner("exchange.example/log", PrivateKeySigner.generate())
STRANGER = NoteSigner("stranger.example/log", PrivateKeySigner.generate())
HEAD = Checkpoint(LOG.verifier.name, 7, merkle.leaf_hash(b"seven"))
SIGNED = sign_checkpoint(HEAD, LOG)
ALDER, BIRCH, CEDAR = WITNESSES.values()
TWO_OF_THREE = parse_policy(policy_text().encode())
A, B, C = (str(one.verifier) for one in WITNESSES.values())
HOUR = timedelta(hours=1)
NOON = EXACT_NOON.replace(microsecond=0)


def parsed(text: str) -> Policy:
    return parse_policy(text.encode("utf-8", "surrogateescape"))


def opened(signed: str, policy: Policy = TWO_OF_THREE, *, max_age: timedelta | None = None) -> Witnessed:
    return open_witnessed(signed, policy, now=NOON, log=LOG.verifier, max_age=max_age)


# Policies that are read.


def test_the_specifications_example_is_read() -> None:
    keys = [Cosigner(f"w{n}.example", PrivateKeySigner.generate()).verifier for n in range(6)]
    text = f"""log {LOG.verifier}

witness X1 {keys[0]}
witness X2 {keys[1]}
witness X3 {keys[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {keys[3]}
witness Y2 {keys[4]}
witness Y3 {keys[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
    policy = parsed(text)
    assert policy.logs == (PolicyLog(LOG.verifier),)
    assert [one.verifier for one in policy.witnesses] == keys
    assert [(one.name, one.threshold) for one in policy.groups] == [
        ("X-witnesses", 2),
        ("Y-witnesses", 1),
        ("X-and-Y", 2),
    ]
    assert policy.quorum == "X-and-Y"
    for signed, missing in {
        (): 3, ("X1",): 2, ("Y1", "Y2", "Y3"): 2, ("X1", "X2", "X3"): 1, ("X1", "X3", "Y2"): 0, ("Z",): 3,
    }.items():  # fmt: skip
        assert policy.missing(signed) == missing, signed


def test_white_space_comments_and_urls_are_as_the_specification_says() -> None:
    log = f"\t log\t{LOG.verifier} \t https://log.example/ \n"
    policy = parsed(f"  # a comment\n\n \t \n{log}witness a {A}  http://w.example/x\nquorum a\n")
    assert policy.logs[0].url == "https://log.example/"
    assert policy.witnesses == (Witness("a", ALDER.verifier, "http://w.example/x"),)


def test_a_single_witness_may_be_the_quorum_and_definitions_may_follow_it() -> None:
    policy = parsed(f"witness a {A}\nquorum a\nwitness b {B}\n")
    assert (policy.missing(["a"]), policy.missing(["b"])) == (0, 1)


def test_no_witness_at_all_may_be_the_quorum() -> None:
    policy = parsed("quorum none\n")
    assert policy == Policy((), (), NONE)
    assert opened(SIGNED, policy) == Witnessed(HEAD, ())


def test_all_is_everybody_and_any_is_one() -> None:
    policy = parsed(f"witness a {A}\nwitness b {B}\ngroup g all a b\nquorum g\n")
    assert (policy.missing(["a"]), policy.missing(["a", "b"])) == (1, 0)
    assert parsed(f"witness a {A}\nwitness b {B}\ngroup g any a b\nquorum g\n").missing(["b"]) == 0


def test_names_are_octets_and_nothing_makes_two_of_them_one() -> None:
    """A Kelvin sign is no K, a byte that is no UTF-8 is a name like any other."""
    text = f"witness K {A}\nwitness \u212a {B}\n".encode() + b"witness \xff " + C.encode() + b"\n"
    policy = parse_policy(text + b"group all 3 K \xe2\x84\xaa \xff\nquorum all\n")
    assert len({one.name for one in policy.witnesses}) == 3
    assert policy.missing(["K"]) == 2


def test_thirty_two_of_everything_are_supported_and_more() -> None:
    lines = []
    for n in range(64):
        lines.append(f"log {NoteSigner(f'log{n}.example', PrivateKeySigner.generate()).verifier}")
        lines.append(f"witness w{n} {Cosigner(f'w{n}.example', PrivateKeySigner.generate()).verifier}")
        lines.append(f"group g{n} any w{n}" + (f" g{n - 1}" if n else ""))
    policy = parsed("\n".join([*lines, "quorum g63"]) + "\n")
    assert policy.missing([]) == 1
    assert policy.missing(["w0"]) == 0


# Policies that break a rule.

KEY = base64.b64encode(b"\x06" + bytes(1312)).decode()
BROKEN = {
    "no newline at the end": (f"witness a {A}\nquorum a", "cut off"),
    "empty": ("", "cut off"),
    "a carriage return": (f"witness a {A}\r\nquorum a\n", "control characters"),
    "a nul": ("# \x00\nquorum none\n", "control characters"),
    "a delete": ("# \x7f\nquorum none\n", "control characters"),
    "no quorum": (f"witness a {A}\n", "no quorum line"),
    "two quorums": (f"witness a {A}\nquorum a\nquorum a\n", "line 3.*quorum line already"),
    "quorum of two": (f"witness a {A}\nwitness b {B}\nquorum a b\n", "line 3.*items"),
    "quorum of nothing": ("quorum\n", "items"),
    "quorum defined after": (f"quorum a\nwitness a {A}\n", "line 1.*'a' is not defined on a line before"),
    "quorum unknown": (f"witness a {A}\nquorum b\n", "line 2.*not defined"),
    "an unknown keyword": ("Quorum none\n", "'Quorum' is no keyword"),
    "a comment at the end of a line": ("quorum none # really\n", "items"),
    "no-break space for white space": ("quorum\xa0none\n", "no keyword"),
    "a log of another type": (f"log {A}\nquorum none\n", "line 1.*0x04"),
    "a log without a key": ("log\nquorum none\n", "items"),
    "a log with a mistyped key": (f"log x{LOG.verifier}\nquorum none\n", "key hash"),
    "a log twice": (f"log {LOG.verifier}\nlog {LOG.verifier}\nquorum none\n", "two log lines have one key"),
    "a log twice under two names": (
        f"log {LOG.verifier}\nlog {NoteSigner('other.example', LOG._signer).verifier}\nquorum none\n",
        "two log lines have one key",
    ),
    "a witness of another type": (f"witness a {LOG.verifier}\nquorum a\n", "line 1.*its type is 0x01"),
    "a post-quantum witness": (f"witness a w.example+00000000+{KEY}\nquorum a\n", "ML-DSA-44.*cannot be verified"),
    "a witness without a name": (f"witness {A}\nquorum none\n", "items"),
    "a witness with two urls": (f"witness a {A} http://a http://b\nquorum a\n", "items"),
    "a witness whose key is no text": (f"witness a {A[:-4]}\udcff\udcff==\nquorum a\n", "base64"),
    "a witness twice": (f"witness a {A}\nwitness b {A}\nquorum a\n", "two witness lines have one key"),
    "a witness twice under two key names": (
        f"witness a {A}\nwitness b {Cosigner('other.example', ALDER._signer).verifier}\nquorum a\n",
        "two witness lines have one key",
    ),
    "a name twice": (f"witness a {A}\nwitness a {B}\nquorum a\n", "'a' is defined twice"),
    "a group of a witness's name": (f"witness a {A}\ngroup a any a\nquorum a\n", "'a' is defined twice"),
    "a witness called none": (f"witness none {A}\nquorum none\n", "nothing else can have the name"),
    "a group called none": (f"witness a {A}\ngroup none any a\nquorum none\n", "nothing else can have the name"),
    "none as a member": (f"witness a {A}\ngroup g any a none\nquorum g\n", "'none' is not defined"),
    "a group without members": ("group g any\nquorum g\n", "items"),
    "a group of itself": (f"witness a {A}\ngroup g any a g\nquorum g\n", "'g' is not defined"),
    "a member defined after": (f"group g any a\nwitness a {A}\nquorum g\n", "line 1.*'a' is not defined"),
    "a member twice in one group": (f"witness a {A}\ngroup g 2 a a\nquorum g\n", "member twice"),
    "a member of two groups": (
        f"witness a {A}\nwitness b {B}\ngroup g any a b\ngroup h any b\ngroup i all g h\nquorum i\n",
        "'b' is a member twice",
    ),
    "a threshold of 0": (f"witness a {A}\ngroup g 0 a\nquorum g\n", "neither all, any nor a number"),
    "a threshold with a sign": (f"witness a {A}\ngroup g +1 a\nquorum g\n", "neither all, any nor a number"),
    "a threshold in other digits": (f"witness a {A}\ngroup g \u0661 a\nquorum g\n", "neither all, any nor a number"),
    "a threshold of too many digits": (f"witness a {A}\ngroup g {'9' * 5000} a\nquorum g\n", "neither all"),
    "a threshold above its members": (f"witness a {A}\ngroup g 2 a\nquorum g\n", "needs 2 of 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_policy_that_breaks_a_rule_is_refused_and_the_rule_is_named(name: str) -> None:
    text, message = BROKEN[name]
    with pytest.raises(InputError, match=message):
        parsed(text)


def test_a_flood_of_bytes_or_definitions_is_refused() -> None:
    with pytest.raises(InputError, match=f"at most {MAX_BYTES} bytes"):
        parse_policy(b"#" * MAX_BYTES + b"\n")
    lines = "".join(f"group g{n} any {f'g{n - 1}' if n else 'a'}\n" for n in range(MAX_DEFINITIONS))
    with pytest.raises(InputError, match=f"at most {MAX_DEFINITIONS} definitions"):
        parsed(f"witness a {A}\n{lines}quorum g0\n")


def test_a_policy_made_by_hand_is_held_to_the_same_rules() -> None:
    one, twin = Witness("a", ALDER.verifier), WitnessVerifier.for_key("twin.example", ALDER.verifier.public_key)
    for witnesses, groups, quorum, message in (
        ((one, Witness("b", twin)), (), "a", "one key"),
        ((one,), (Group("g", 1, ("h",)), Group("h", 1, ("a",))), "g", "not defined before it"),
        ((one,), (), "b", "neither a witness nor a group"),
        ((one,), (Group("g", 0, ("a",)),), "g", "needs 0 of 1"),
    ):
        with pytest.raises(InputError, match=message):
            Policy(witnesses, groups, quorum)


# Checkpoints.


def test_a_checkpoint_with_enough_witnesses_is_believed_with_their_times() -> None:
    found = opened(cosigned(cosigned(SIGNED, CEDAR, at=NOON - HOUR), ALDER, at=NOON), max_age=HOUR)
    assert found.checkpoint == HEAD
    assert [(name, one.witness, one.at) for name, one in found.cosignatures] == [
        ("alder", ALDER.verifier, NOON),
        ("cedar", CEDAR.verifier, NOON - HOUR),
    ]


@pytest.mark.parametrize(("witnesses", "missing"), [((), 2), ((ALDER,), 1), ((ALDER, ALDER), 1)])
def test_too_few_witnesses_are_no_quorum(witnesses: tuple[Cosigner, ...], missing: int) -> None:
    with pytest.raises(QuorumError, match=f"{missing} more") as caught:
        opened(cosigned(SIGNED, *witnesses, at=NOON))
    assert caught.value.missing == missing
    assert isinstance(caught.value, VerificationError)


def test_one_key_under_two_names_is_one_witness() -> None:
    """The cosignature does not say its maker's name, so anyone can turn one line into a line of another name."""
    twin = Cosigner("twin.example", ALDER._signer)
    with pytest.raises(QuorumError):
        opened(cosigned(SIGNED, ALDER, twin, at=NOON))


def test_witnesses_without_the_log_prove_nothing() -> None:
    lines = "".join(one.cosign(HEAD.text, seconds(NOON)) for one in WITNESSES.values())
    with pytest.raises(NoteError, match="no log that the policy accepts"):
        opened(f"{HEAD.text}\n{lines}")


def test_lines_of_unknown_witnesses_are_ignored_and_do_not_count() -> None:
    stranger = Cosigner("stranger.example/w1", PrivateKeySigner.generate())
    with pytest.raises(QuorumError):
        opened(cosigned(SIGNED, ALDER, stranger, at=NOON))
    forged = f"— stranger.example/w1 {base64.b64encode(bytes(76)).decode()}\n"
    assert len(opened(cosigned(SIGNED, ALDER, BIRCH, at=NOON) + forged).cosignatures) == 2


def test_a_bad_line_of_a_known_witness_rejects_even_a_full_quorum() -> None:
    bad = CEDAR.cosign(HEAD.text.replace("7", "8", 1), seconds(NOON))
    with pytest.raises(NoteError, match="not over this text"):
        opened(cosigned(SIGNED, ALDER, BIRCH, at=NOON) + bad)


def test_cosignatures_for_another_checkpoint_do_not_make_this_one_credible() -> None:
    other = cosigned(sign_checkpoint(Checkpoint(HEAD.origin, 8, HEAD.root), LOG), ALDER, BIRCH, at=NOON)
    with pytest.raises(NoteError, match="not over this text"):
        opened(SIGNED + "".join(other.partition("\n\n")[2].splitlines(keepends=True)[1:]))


def test_cosignatures_from_the_future_do_not_count() -> None:
    assert opened(cosigned(SIGNED, ALDER, BIRCH, at=NOON + AHEAD)).checkpoint == HEAD
    with pytest.raises(QuorumError, match="1 more"):
        opened(cosigned(cosigned(SIGNED, ALDER, at=NOON), BIRCH, at=NOON + AHEAD + timedelta(seconds=1)))
    far = SIGNED + "".join(one.cosign(HEAD.text, 2**63 - 1) for one in WITNESSES.values())
    with pytest.raises(QuorumError, match="2 more"):
        opened(far)


def test_a_stale_head_is_refused_by_name_and_says_from_when_it_is() -> None:
    signed = cosigned(cosigned(SIGNED, ALDER, at=NOON - 2 * HOUR), BIRCH, at=NOON - HOUR - timedelta(seconds=1))
    assert opened(signed).checkpoint == HEAD
    with pytest.raises(StaleHeadError, match="too long ago") as caught:
        opened(signed, max_age=HOUR)
    assert caught.value.cosigned_at == NOON - HOUR - timedelta(seconds=1)
    with pytest.raises(StaleHeadError):
        opened(cosigned(cosigned(SIGNED, ALDER, at=NOON), BIRCH, at=NOON - 2 * HOUR), max_age=HOUR)


def test_a_cosignature_of_time_0_is_as_old_as_it_says() -> None:
    signed = SIGNED + "".join(one.cosign(HEAD.text, 0) for one in (ALDER, BIRCH))
    assert opened(signed).cosignatures[0][1].at.year == 1970
    with pytest.raises(StaleHeadError):
        opened(signed, max_age=timedelta(days=3660))


# Logs.


def test_the_log_is_any_of_the_policys_unless_one_is_given() -> None:
    policy = parsed(policy_text(logs=[STRANGER.verifier, LOG.verifier]))
    signed = cosigned(SIGNED, ALDER, BIRCH, at=NOON)
    assert open_witnessed(signed, policy, now=NOON).checkpoint == HEAD
    assert open_witnessed(signed, policy, now=NOON, log=LOG.verifier).checkpoint == HEAD
    with pytest.raises(NoteError, match="no log that the policy accepts"):
        open_witnessed(signed, policy, now=NOON, log=STRANGER.verifier)
    with pytest.raises(NoteError, match="no log that the policy accepts"):
        open_witnessed(signed, TWO_OF_THREE, now=NOON)


def test_a_log_that_the_policy_does_not_accept_is_refused() -> None:
    policy = parsed(policy_text(logs=[STRANGER.verifier]))
    with pytest.raises(NoteError, match="does not accept the log"):
        opened(cosigned(SIGNED, ALDER, BIRCH, at=NOON), policy)


def test_a_log_cannot_sign_for_another_log_of_the_policy() -> None:
    policy = parsed(policy_text(logs=[STRANGER.verifier, LOG.verifier]))
    signed = cosigned(STRANGER.sign(HEAD.text), ALDER, BIRCH, at=NOON)
    with pytest.raises(NoteError, match="of another log"):
        open_witnessed(signed, policy, now=NOON)
