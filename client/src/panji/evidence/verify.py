"""What a bundle proves, to whoever trusts a log's key. Needs no network, no exchange, no file but the bundle.

Steps, and what each stops:

1.  The file is in its one form (:mod:`panji.evidence.bundle`). Stops hidden members, and every flipped byte.
2.  The members are those of the manifest and the sums. Tells damage by the name of what is damaged.
3.  The head is signed by the log's key that the reader trusts, and cosigned by as many witnesses as the reader's policy
    asks for, where there is one. Stops a log of the forger's own, and one that was made for this reader.
4.  Each record of the directory is in the log and by the operator that it names itself, and by the reader's own
    directory where there is one. Stops keys that the operator never stated.
5.  Each statement is in the log, at the head of its receipt and at the bundle's, which only appends to that: entry,
    kind, time, recipient and sequence as shown. Stops receipts of others, proofs into other trees, and forks.
6.  Each statement is by its sender, with as many keys as its organisation must use, valid when it was received
    (:class:`panji.trust.Trust`). Stops forged statements, and a platform that states a missed deadline.
7.  The statements make this case, in this order, with this state (:func:`panji.trust.follow`). Stops grafted cases, and
    a state that nobody's statements make.
8.  All else in the bundle follows from these, byte for byte. Stops an edited summary, key, or step.
9.  The exporter signed the manifest, where a signature is given. Stops exports in another's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from panji.core import envelope as dsse
from panji.core import merkle
from panji.core.checkpoint import open_checkpoint
from panji.core.directory import Directory, parse_directory
from panji.core.moves import MOVES
from panji.core.statements import DeadlineMissed, ErasedStatement, Erasure
from panji.core.tlog_policy import open_witnessed
from panji.core.tlog_proof import to_receipt
from panji.core.vocabulary import BY_THE_OPERATOR, CaseState, Deadline, Kind, Role
from panji.errors import EvidenceError, InputError
from panji.evidence.assembly import TEXTS, assemble
from panji.evidence.bundle import unpack
from panji.evidence.content import MANIFEST, PAYLOAD_TYPE, RENDERER, SUMS, Content, Item, read
from panji.trust import Trust, follow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from panji.core.case import Case
    from panji.core.checkpoint import Checkpoint
    from panji.core.note import NoteVerifier
    from panji.core.statements import Statement
    from panji.core.tlog_policy import Policy
    from panji.trust import Verified

_ANSWERS = frozenset(kind for kind, move in MOVES.items() if move.by == {Role.PLATFORM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was verified of a bundle. :mod:`panji.evidence.verdict` says it in words."""

    content: Content
    head: Checkpoint
    signers: tuple[tuple[str, ...], ...]
    """Key ids that signed each statement of the case; none where its content is not in the bundle."""
    operators: tuple[str, ...]
    """Key ids by which the records of the directory are signed: what a reader without a directory trusts."""
    own_directory: bool
    """The keys were looked up in the reader's own directory, not in the recorded one."""
    witnesses: tuple[tuple[str, datetime], ...] = ()
    """Who of the reader's policy cosigned the head, and when by their clocks; nobody where there is no policy."""
    exporter_proven: bool = False
    """The exporter's signature is by a key that the directory has for it."""
    texts_compared: bool = True
    """The summary and the steps are those that the core makes. Not, where an older version of Panji wrote them."""


def verify(
    data: bytes,
    log: NoteVerifier,
    *,
    directory: Directory | None = None,
    policy: Policy | None = None,
    now: datetime | None = None,
) -> Evidence:
    """Verify a bundle.

    Args:
        data: The file.
        log: The log's key, known beforehand.
        directory: The reader's own. Without one, keys count as the operator recorded them in the log.
        policy: The reader's witnesses. Their cosignatures may be of any age: a file is read years later.
        now: The time; aware, and needed with a policy.

    Raises:
        InputError: The log records no directory, and none is given; or a policy without the time.
        VerificationError: EvidenceError, or what a step finds: NoteError, ProofError, QuorumError, SignatureError …
    """
    members = unpack(data)
    content = read(members)
    found = prove(content, log, directory=directory)
    witnesses = _witnesses(content, log, policy, now) if policy is not None else ()
    same_version = content.renderer == RENDERER
    if missing := TEXTS - members.keys():
        raise EvidenceError(f"{min(missing)} is missing from the bundle")
    texts = None if same_version else {name: members[name] for name in TEXTS}
    _compare(members, assemble(content, texts))
    exporters = _exporters(content, members[MANIFEST])
    if content.signers | exporters != content.keys.keys():
        raise EvidenceError("a key stands in the bundle that signed nothing in it")
    known = directory or (_recorded(content)[-1][1].directory if content.records else Directory({}))
    owners = {key.keyid for key in known.keys(content.exported_by, content.exported_at)}
    return Evidence(
        content=found.content,
        head=found.head,
        signers=found.signers,
        operators=found.operators,
        own_directory=found.own_directory,
        witnesses=witnesses,
        exporter_proven=bool(exporters & owners),
        texts_compared=same_version,
    )


def prove(content: Content, log: NoteVerifier, *, directory: Directory | None = None) -> Evidence:
    """Verify the core of a bundle: steps 3 to 7.

    Raises:
        InputError: As :func:`verify`.
        VerificationError: As :func:`verify`.
    """
    # 3. The head.
    if content.log != log:
        raise EvidenceError(
            f"the bundle is of the log {content.log.name} with the key {content.log.public_key.keyid}, which is not"
            " the one that you trust"
        )
    heads = _Heads(log)
    head = heads.open(content.checkpoint)
    # 4. The directory on record.
    recorded = []
    operators: set[str] = set()
    for item, trust in _recorded(content):
        heads.place(content, item)
        for one in (trust, *([Trust(log.name, directory)] if directory is not None else [])):
            operators.update(_verified(item, one, heads).signers)
        recorded.append((item.receipt.index, trust))
    if [index for index, _ in recorded] != sorted({index for index, _ in recorded}):
        raise EvidenceError("the records of the directory are not in the log's order")
    # 5 and 6. The statements.
    verified: list[Verified | None] = []
    for item in content.statements:
        heads.place(content, item)
        if item.envelope:
            trust = Trust(log.name, directory) if directory is not None else _in_force(recorded, item.receipt.index)
            verified.append(_verified(item, trust, heads))
        else:
            verified.append(None)
    # 7. The case.
    _require_content(content)
    if (silence := content.silence) is not None and silence[0].opening.entry.received_at < silence[1].due_at:
        raise EvidenceError("the exchange states a missed deadline before the deadline was there")
    whole = [one for one in verified if one is not None]
    if len(whole) == len(verified):
        case = follow(content.case.id, whole).case
        if case != content.case:
            raise EvidenceError("the manifest tells another case than the statements make")
    else:
        _require_plausible(content, whole)
    return Evidence(
        content=content,
        head=head,
        signers=tuple(one.signers if one is not None else () for one in verified),
        operators=tuple(sorted(operators)),
        own_directory=directory is not None,
    )


def _witnesses(
    content: Content, log: NoteVerifier, policy: Policy, now: datetime | None
) -> tuple[tuple[str, datetime], ...]:
    if now is None:
        raise InputError("cosignatures are judged by a policy and the time, and no time is given")
    witnessed = open_witnessed(content.checkpoint, policy, now=now, log=log)
    return tuple((name, one.at) for name, one in witnessed.cosignatures)


class _Heads:
    """The log's heads in a bundle: each by its key, and never two roots for one size."""

    def __init__(self, log: NoteVerifier) -> None:
        self._log = log
        self._opened: dict[str, Checkpoint] = {}
        self._roots: dict[int, bytes] = {}

    def open(self, note: str) -> Checkpoint:
        if note not in self._opened:
            head = self._opened[note] = open_checkpoint(note, self._log)
            if self._roots.setdefault(head.size, head.root) != head.root:
                raise EvidenceError(f"the log has signed two roots for size {head.size}: the bundle proves a fork")
        return self._opened[note]

    def place(self, content: Content, item: Item) -> None:
        """Check that an entry is in the log: in the tree of its receipt, and in that of the bundle's head, its heir."""
        entry = item.opening.entry.encode()
        old, new = self.open(item.receipt.checkpoint), self.open(content.checkpoint)
        item.receipt.verify_in(entry, old)
        content.proof(item).verify_in(entry, new)
        merkle.verify_consistency(old.size, new.size, item.growth, old.root, new.root)


def _verified(item: Item, trust: Trust, heads: _Heads) -> Verified:
    return trust.statement(item.envelope, to_receipt(item.receipt), heads.open(item.receipt.checkpoint))


def _recorded(content: Content) -> list[tuple[Item, Trust]]:
    """Each record, and the trust in what it says. That it says it is for its signature to show."""
    try:
        return [(item, Trust(content.log.name, parse_directory(content.document(item)))) for item in content.records]
    except InputError as error:
        raise EvidenceError(f"a record of the directory cannot be read: {error}") from error


def _in_force(recorded: Iterable[tuple[int, Trust]], index: int) -> Trust:
    found = [trust for place, trust in recorded if place < index]
    if not found:
        raise InputError("the log records no directory before these statements: give the one that you trust")
    return found[-1]


def _require_content(content: Content) -> None:
    """Check that content is in the bundle, or not, as the manifest says, and that erasures name what was said."""
    erasures = [(item.receipt.index, body) for item, body in content.bodies if isinstance(body, Erasure)]
    named = {place for _, body in erasures for place in body.statements}
    for item in content.statements:
        kind = item.opening.entry.kind
        if not item.opening.salt:
            if item.envelope or kind in BY_THE_OPERATOR or _place(item) not in named:
                raise EvidenceError("content is missing as erased that no erasure of the operator names")
        elif bool(item.envelope) != (content.with_content or kind in BY_THE_OPERATOR):
            raise EvidenceError(f"the content of a {kind} stands in the bundle, or is left out, against the manifest")
    # Without a salt only the erasure ties a digest to its entry. The exchange takes none that names less, or more.
    said = [item for item in content.statements if item.opening.entry.kind not in BY_THE_OPERATOR]
    for index, body in erasures:
        if tuple(map(_place, said)) != body.statements:
            raise EvidenceError("the statements are not those that the erasure names, at their places")
        if any(item.receipt.index > index for item in said):
            raise EvidenceError("a statement stands after the erasure that names it")


def _place(item: Item) -> ErasedStatement:
    it = item.opening
    return ErasedStatement(digest=it.digest, index=item.receipt.index, recipient=it.recipient, sequence=it.sequence)


def _require_plausible(content: Content, whole: Iterable[Verified]) -> None:
    """Check what can be of a case whose content is not in the bundle: kinds, order, sides, times, and the silence."""
    case, items = content.case, content.statements
    kinds = [item.opening.entry.kind for item in items]
    if kinds[0] != Kind.FLAG or not set(kinds[1:]) <= {kind.value for kind in MOVES}:
        raise EvidenceError("the case does not begin with a flag, or has statements of other kinds than replies")
    indices = [item.receipt.index for item in items]
    if indices != sorted(set(indices)):
        raise EvidenceError("the statements are not in the log's order")
    for item, kind in zip(items, kinds, strict=True):
        _require_side(content, item, Kind(kind))
    if (case.state is CaseState.ERASED) != (Kind.ERASURE in kinds):
        raise EvidenceError("the manifest tells a case as erased that is not, or as not erased that is")
    times = [item.opening.entry.received_at for item in items]
    bodies = [one.statement.body for one in whole]
    silent = [body for body in bodies if isinstance(body, DeadlineMissed) and body.deadline is Deadline.ACKNOWLEDGED]
    overdue = {body.due_at for body in silent}
    told = (case.flag_digest, case.opened_at, case.updated_at, {case.overdue_since} - {None})
    if told != (items[0].opening.digest, times[0], times[-1], overdue):
        raise EvidenceError("the manifest tells another flag, or other times, than the statements have")
    for one in whole:
        _require_of_case(case, one.statement)
    if overdue and any(kind in _ANSWERS for kind in kinds[: kinds.index(Kind.DEADLINE_MISSED)]):
        raise EvidenceError("an answer stands before the statement that none had come")


def _require_of_case(case: Case, said: Statement) -> None:
    if (said.case_id, said.in_reply_to) != (case.id, case.flag_digest):
        raise EvidenceError("a statement of another case is among those of this one")
    if said.test != case.test:
        raise EvidenceError("the manifest and a statement differ in whether the case is a drill")
    if said.kind in BY_THE_OPERATOR and said.sender in {case.authority, case.platform}:
        raise EvidenceError("a side of the case makes the exchange's statements")


def _require_side(content: Content, item: Item, kind: Kind) -> None:
    case = content.case
    sides = {Role.AUTHORITY: (case.authority, case.platform), Role.PLATFORM: (case.platform, case.authority)}
    roles = {Role.AUTHORITY} if kind is Kind.FLAG else MOVES[kind].by
    recipient = item.opening.recipient
    if kind in BY_THE_OPERATOR:
        fits = recipient in {case.authority, case.platform}
    else:
        fits = (item.told.sender, recipient) in {sides[role] for role in roles}
    if not fits:
        raise EvidenceError(f"a {kind} is not between the sides of the case")


def _compare(members: dict[str, bytes], expected: dict[str, bytes]) -> None:
    for name in sorted(members.keys() | expected.keys(), key=lambda name: (name in {MANIFEST, SUMS}, name)):
        if members.get(name) != expected.get(name):
            raise EvidenceError(f"{name} is not what the evidence makes: it was edited, added or left out")


def _exporters(content: Content, manifest: bytes) -> set[str]:
    """Key ids of those who signed the manifest."""
    signature = content.signature
    if signature is None:
        return set()
    if (signature.payload_type, signature.payload) != (PAYLOAD_TYPE, manifest):
        raise EvidenceError("the exporter's signature is over another manifest")
    return {key.keyid for key in dsse.verify(signature, content.keys.values())}
