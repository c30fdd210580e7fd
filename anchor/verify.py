# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what an evidence file proves, from its bytes and a trust file alone: no chain, disk or clock.

The verifier is why the rest exists, so it is small enough to be read as a whole and to be written
again in another language. Its steps are those of PROTOCOL §7, and each stands in the verdict:

0. Read: the file is canonical, within its limits, every part of it used (`anchor.evidence`).
1. Record: the leaf, rebuilt from lines and disclosures, lies in the batch's root at its index.
2. Signature: the issuer's key signed the batch note, and the note is for this log.
3. Log: the note lies in the checkpoint; the log key signed that; key, size and root are the head's.
4. State: AnchorLog and IssuerRegistry have the trusted code; head and issuer slots hold the
   preimages shown; the issuer was registered no later than the anchor and not revoked by then.
5. Header: that state is the EVM header's, whose hash (or a newer header's) is the app hash of a
   CometBFT header.
6. Finality: more than 2/3 of validators signed that header, and trust leads to these validators;
   a newer header carries the older one among its ancestors.
7. Code: every record belongs to the expected code; whose word it is (`anchor.statements`).
8. Age: of evidence and trust file at `now`, and claimed times far from the proven one.

A step that fails ends the verification: nothing of the evidence is shown then. What the verifier
accepts and refuses may not change for `moneo/evidence/v1`; disagreement with another verifier of
the same format is a vulnerability.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from anchor.batch import BatchNote, note_hash, open_batch_note, read_batch_note
from anchor.checkpoint import Checkpoint, TlogProof, open_checkpoint, parse_tlog_proof
from anchor.codes import Code, parse_code
from anchor.errors import FormatError
from anchor.evidence import (
    Evidence,
    EvidenceAnchor,
    EvidenceBatch,
    EvidenceTooLarge,
    UnknownEvidence,
    parse_evidence,
)
from anchor.ijson import encode_b64, encode_b64url
from anchor.note import key_hash
from anchor.record import Record, parse_record
from anchor.statements import Class, Spoken, classify
from anchor.trust import Trust, fingerprint, parse_trust
from anchor.verdict import (
    ASSURANCES,
    STEPS,
    Assurance,
    Failure,
    Kind,
    Note,
    ProvenRecord,
    Step,
    Verdict,
)
from contracts import CUSTODY, head_commitment, head_slot, issuer_commitment, issuer_slot
from node.light import (
    EraError,
    Eras,
    EvmHeader,
    LightBlock,
    LightError,
    TrieNodes,
    check_minimal,
    leaf_hash,
    parse_header,
    parse_time,
    verify_ancestry,
    verify_eras,
    verify_inclusion,
)

REGISTRATION: Final = "moneo.registration"
PREFIXES: Final = ("/01/", "/c/")

DAY: Final = 86_400
# A claim that lies further before the proof than this gets a note; a weekend without network doesn't.
WRITTEN_LATER: Final = 3 * DAY
# Clocks of businesses may go wrong by this much before a claim from the future gets a note.
CLOCK_SKEW: Final = 600
MAX_DETAIL: Final = 200
MAX_TRUSTED: Final = 4

# RFC 3339 as EPCIS 2.0 uses it: an offset of its own, a fraction that nothing here needs.
_EVENT_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))",
    re.ASCII,
)


class _RefusedError(Exception):
    """A step's own check fails."""

    def __init__(self, detail: str, kind: Kind = "invalid") -> None:
        self.kind: Kind = kind
        super().__init__(detail)


@dataclass(frozen=True)
class _Batch:
    """A batch with its texts read; `text` is the note's without signature, `key_id` the issuer's."""

    part: EvidenceBatch
    note: BatchNote
    text: bytes
    proof: TlogProof
    registration: Record


@dataclass(frozen=True)
class _Anchor:
    """An anchor with its headers read; `newer` is the one that has `header` as an ancestor."""

    part: EvidenceAnchor
    header: EvmHeader
    newer: EvmHeader | None


@dataclass(frozen=True)
class _Final:
    """How sure a light block is: the time it proves (POSIX seconds, rounded up) and by whom."""

    when: int
    assurance: Assurance
    validators: int


@dataclass
class _Case:
    """What one verification has found so far."""

    data: bytes
    trust: Trust
    eras: Eras
    expected: Code | None
    now: int | None
    evidence: Evidence = field(init=False)
    records: list[Record] = field(init=False)
    batches: list[_Batch] = field(init=False)
    anchors: list[_Anchor] = field(init=False)
    finals: list[_Final] = field(init=False)
    classes: Sequence[Class | None] = ()
    notes: list[Note] = field(default_factory=list)

    def batch_of(self, index: int) -> _Batch:
        """The batch of the record at this index."""
        return self.batches[self.evidence.records[index].batch]

    def anchor_of(self, batch: _Batch) -> _Anchor:
        """The anchor of a batch."""
        return self.anchors[batch.part.anchor]

    def final_of(self, batch: _Batch) -> _Final:
        """The finality of a batch's anchor."""
        return self.finals[self.anchor_of(batch).part.finality.light_block]


def verify(
    evidence: bytes, trust: bytes, expect_code: str | None = None, now: int | None = None
) -> Verdict:
    """Return what the evidence proves to someone who believes the trust file.

    Args:
        evidence: an evidence file's bytes, any bytes at all.
        trust: a trust file's bytes; never one that came with the evidence.
        expect_code: the code on the label, as a Digital Link, a path (`/01/…`, `/c/…`) or a GS1
            element string (`(01)…(10)…`).
        now: POSIX seconds, for what the verdict says of age; None leaves that out.

    Raises:
        TrustError: the trust file is malformed or doesn't bear itself out.
        CodeError: `expect_code` is not a code.
    """
    trusted = _trusted(trust)
    expected = None if expect_code is None else parse_code(expect_code)
    case = _Case(evidence, *trusted, expected, now)
    steps, failure = _run(case)
    records = () if failure else _proven_records(case)
    return Verdict(
        proven=failure is None,
        assurance=_weakest(records),
        steps=steps,
        records=records,
        fingerprint=fingerprint(trust),
        failure=failure,
        notes=() if failure else tuple(case.notes),
        expect_code=case.expected.path if case.expected else None,
    )


@lru_cache(maxsize=MAX_TRUSTED)
def _trusted(data: bytes) -> tuple[Trust, Eras]:
    """Remember trust files that bore themselves out: many evidence files are judged by one.

    With it its eras, none of which changes (`Eras.through` copies): their signatures are verified
    once for each trust file, not for each evidence file.
    """
    trust = parse_trust(data)
    return trust, verify_eras(trust.chain)


def _run(case: _Case) -> tuple[tuple[Step, ...], Failure | None]:
    """Run the steps in order until one fails."""
    steps: list[Step] = []
    failure: Failure | None = None
    for number, (key, check) in enumerate(zip(STEPS, _CHECKS, strict=True)):
        if failure:
            steps.append(Step(number, key, "skipped"))
            continue
        try:
            detail = check(case)
            steps.append(Step(number, key, "skipped" if detail is None else "ok", detail or ""))
        except (_RefusedError, FormatError, LightError) as error:
            failure = Failure(number, _kind(error, number), _printable(str(error)))
            steps.append(Step(number, key, "failed", failure.detail))
    return tuple(steps), failure


def _kind(error: Exception, number: int) -> Kind:
    if isinstance(error, _RefusedError):
        return error.kind
    if isinstance(error, UnknownEvidence):
        return "newer"
    if isinstance(error, EvidenceTooLarge):
        return "too-large"
    if isinstance(error, EraError):
        return "untrusted"
    return "invalid" if number else "malformed"


def _printable(text: str) -> str:
    """Make a detail safe to show: it may quote bytes that nobody vouches for."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:MAX_DETAIL])


# 0 -------------------------------------------------------------------------------------------


def _read(case: _Case) -> str:
    """Step 0: turn every part into a value, once."""
    evidence = parse_evidence(case.data)
    case.evidence = evidence
    case.records = [parse_record(one.record) for one in evidence.records]
    case.batches = [_read_batch(one) for one in evidence.batches]
    case.anchors = [_read_anchor(one) for one in evidence.anchors]
    return (
        f"records: {len(case.records)}, batches: {len(case.batches)}, anchors: {len(case.anchors)}"
    )


def _read_batch(part: EvidenceBatch) -> _Batch:
    note, text = read_batch_note(part.note)
    proof = parse_tlog_proof(part.proof)
    if proof.extra is not None:
        raise _RefusedError("a tlog-proof with extra data, which nobody signed", "malformed")
    if part.issuer.custody not in CUSTODY:
        raise _RefusedError("a custody that is neither holder nor operator", "malformed")
    return _Batch(part, note, text, proof, parse_record(part.issuer.registration))


def _read_anchor(part: EvidenceAnchor) -> _Anchor:
    ancestry = part.finality.ancestry
    newer = parse_header(ancestry.header) if ancestry else None
    return _Anchor(part, parse_header(part.header), newer)


# 1 -------------------------------------------------------------------------------------------


def _check_records(case: _Case) -> str:
    """Step 1: every record's leaf is in its batch, at its index."""
    for index, (part, record) in enumerate(zip(case.evidence.records, case.records, strict=True)):
        note = case.batch_of(index).note
        verify_inclusion(record.leaf_hash(), part.index, note.size, part.path, note.root)
    return f"records in their batches: {len(case.records)}"


# 2 -------------------------------------------------------------------------------------------


def _check_signatures(case: _Case) -> str:
    """Step 2: the issuer signed the note; the note names the log whose checkpoint holds it."""
    for batch in case.batches:
        open_batch_note(batch.part.note, batch.part.key)
        origin = batch.proof.checkpoint.partition(b"\n")[0]
        if batch.note.log.encode() != origin:
            raise _RefusedError("the batch was signed for another log")
    return f"issuers: {len({batch.note.issuer for batch in case.batches})}"


# 3 -------------------------------------------------------------------------------------------


def _check_logs(case: _Case) -> str:
    """Step 3: the note is in the checkpoint that the log key signed, and that is the head's."""
    opened: dict[tuple[bytes, bytes], Checkpoint] = {}
    for batch in case.batches:
        part = case.anchor_of(batch).part
        key = (batch.proof.checkpoint, part.log_key)
        if key not in opened:
            opened[key] = open_checkpoint(key[0], batch.note.log, part.log_key)
        _check_log(batch, opened[key], part)
    return f"checkpoints: {len(opened)}"


def _check_log(batch: _Batch, checkpoint: Checkpoint, anchor: EvidenceAnchor) -> None:
    head, proof = anchor.head, batch.proof
    entry = leaf_hash(batch.part.note)
    verify_inclusion(entry, proof.index, checkpoint.size, proof.path, checkpoint.root)
    if key_hash(checkpoint.origin, anchor.log_key) != head.log_key_id:
        raise _RefusedError("the head is of another log or log key")
    if (checkpoint.size, checkpoint.root) != (head.size, head.root):
        raise _RefusedError("the head is of another checkpoint")
    if batch.part.key == anchor.log_key:
        raise _RefusedError("one key is used as the issuer's and as the log's")


# 4 -------------------------------------------------------------------------------------------


def _check_states(case: _Case) -> str:
    """Step 4: the chain's state holds the heads and the issuers."""
    for index, anchor in enumerate(case.anchors):
        batches = [batch for batch in case.batches if batch.part.anchor == index]
        nodes = TrieNodes(anchor.part.nodes)
        _check_head(case.trust, nodes, anchor, batches[0].note.log)
        storage = _storage(case.trust, nodes, anchor, "IssuerRegistry")
        for batch in batches:
            _check_issuer(nodes, storage, anchor, batch)
        nodes.finish()
    return f"states: {len(case.anchors)}"


def _storage(trust: Trust, nodes: TrieNodes, anchor: _Anchor, name: str) -> bytes:
    """Return the storage root of a contract, once its code is seen to be the trusted one."""
    contract = trust.contracts[name]
    account = nodes.account(anchor.header.state_root, contract.address)
    if account is None or account.code_hash != contract.code_hash:
        raise _RefusedError(f"{name} is not the contract of the trust file", "untrusted")
    return account.storage_root


def _check_head(trust: Trust, nodes: TrieNodes, anchor: _Anchor, origin: str) -> None:
    head = anchor.part.head
    if head.block > anchor.header.number:
        raise _RefusedError("the head is of a later block than the state")
    storage = _storage(trust, nodes, anchor, "AnchorLog")
    slot = nodes.slot(storage, head_slot(hashlib.sha256(origin.encode()).digest()))
    if slot != head_commitment(
        head.owner, head.log_key_id, head.size, head.root, head.aux, head.block
    ):
        raise _RefusedError("AnchorLog holds another head")


def _check_issuer(nodes: TrieNodes, storage: bytes, anchor: _Anchor, batch: _Batch) -> None:
    issuer, head = batch.part.issuer, anchor.part.head
    slot = issuer_slot(head.owner, key_hash(batch.note.issuer, batch.part.key))
    leaf = batch.registration.leaf_hash()
    commitment = issuer_commitment(CUSTODY[issuer.custody], issuer.registered, issuer.revoked, leaf)
    if nodes.slot(storage, slot) != commitment:
        raise _RefusedError("IssuerRegistry holds another issuer")
    if issuer.revoked:
        raise _RefusedError(f"the issuer's key was revoked in block {issuer.revoked}")
    if issuer.registered > head.block:
        raise _RefusedError("the issuer's key was registered after the anchor")
    _check_registration(batch)


def _check_registration(batch: _Batch) -> None:
    record = batch.registration
    if record.type != REGISTRATION or record.mode != "live":
        raise _RefusedError("the issuer's slot holds no live registration record")
    said = {"issuer": batch.note.issuer, "key": encode_b64(batch.part.key)}
    shown = record.fields()
    if any(shown.get(name, value) != value for name, value in said.items()):
        raise _RefusedError("the registration record is of another issuer or key")


# 5 -------------------------------------------------------------------------------------------


def _check_headers(case: _Case) -> str:
    """Step 5: each EVM header, or the newer one that stands for it, is the light block's app hash."""
    for anchor in case.anchors:
        carried = anchor.newer or anchor.header
        block = case.evidence.light_blocks[anchor.part.finality.light_block]
        if block.header.app_hash != carried.hash:
            raise _RefusedError("the light block carries another EVM header")
    return f"EVM blocks {', '.join(sorted({str(one.header.number) for one in case.anchors}))}"


# 6 -------------------------------------------------------------------------------------------


def _check_finality(case: _Case) -> str:
    """Step 6: validators that trust leads to have signed, and newer headers are descendants."""
    evidence, trust = case.evidence, case.trust
    for block in (*evidence.light_blocks, *evidence.eras):
        if block.header.chain_id != trust.cometbft_chain_id:
            raise _RefusedError("the light block is of another chain", "untrusted")
    for block in (*evidence.light_blocks, *evidence.eras):
        check_minimal(block)
    eras = case.eras.through(evidence.eras)
    # What the trust file itself holds is believed, whatever became of its validators since; and so is
    # what leads on from it: whoever could forge the end of its newest era could leave that end out.
    last = trust.blocks[-1].header.height
    leading = [block for block in evidence.eras if block.header.height > last]
    believed = [block.header for block in (*trust.blocks, *leading)]
    case.finals = []
    for block in evidence.light_blocks:
        past = eras.finality(block).past and block.header not in believed
        case.finals.append(_final(block, past=past))
    for anchor in case.anchors:
        _check_ancestry(anchor)
    _check_keys(case)
    return f"signed at height {', '.join(str(b.header.height) for b in evidence.light_blocks)}"


def _final(block: LightBlock, *, past: bool) -> _Final:
    time = block.header.time
    alone = _deciders(block) == 1
    assurance: Assurance = "past-era" if past else "one-validator" if alone else "consortium"
    return _Final(time.seconds + (time.nanos > 0), assurance, len(block.validators))


def _deciders(block: LightBlock) -> int:
    """Return how few validators hold more than 2/3 of the voting power together."""
    powers = sorted((validator.power for validator in block.validators), reverse=True)
    return next(n for n in range(1, len(powers) + 1) if 3 * sum(powers[:n]) > 2 * sum(powers))


def _check_ancestry(anchor: _Anchor) -> None:
    ancestry = anchor.part.finality.ancestry
    if anchor.newer and ancestry:
        try:
            verify_ancestry(anchor.header.hash, anchor.header.number, anchor.newer, ancestry.path)
        except EraError as error:
            # The trust file is not what is wrong here.
            raise _RefusedError(str(error)) from error


def _check_keys(case: _Case) -> None:
    """PROTOCOL §4: issuer, log and validator keys are all different."""
    validators = {one.public_key for b in case.evidence.light_blocks for one in b.validators}
    others = {one.part.key for one in case.batches} | {one.part.log_key for one in case.anchors}
    if validators & others:
        raise _RefusedError("a validator's key is also an issuer's or a log's")


# 7 -------------------------------------------------------------------------------------------


def _check_code(case: _Case) -> str | None:
    """Step 7: every record belongs to the expected code; skipped if none is."""
    if case.expected is None:
        return None
    superseded = _superseded(case)
    spoken = [_spoken(case, index, bool(superseded[index])) for index in range(len(case.records))]
    case.classes = classify(case.expected, spoken)
    if None in case.classes:
        raise _RefusedError(f"record {case.classes.index(None)} is of another code", "mismatch")
    return f"records of this code, or leading to it: {len(case.classes)}"


def _spoken(case: _Case, index: int, is_superseded: bool) -> Spoken:
    record, batch = case.records[index], case.batch_of(index)
    return Spoken(
        record.type,
        record.mode == "live",
        is_superseded,
        frozenset(record.codes),
        record.fields(),
        batch.note.issuer,
        _prefixes(batch.registration),
    )


def _prefixes(registration: Record) -> tuple[str, ...]:
    prefixes = registration.fields().get("prefixes")
    listed = prefixes if isinstance(prefixes, list) else []
    return tuple(one for one in listed if isinstance(one, str) and one.startswith(PREFIXES))


def _superseded(case: _Case) -> list[list[int]]:
    """Return for each record the indexes of those by which its own issuer supersedes it.

    A practice record supersedes no live one, and nobody another issuer's.
    """
    found: list[list[int]] = [[] for _ in case.records]
    by_leaf: dict[bytes, list[int]] = {}
    for index, record in enumerate(case.records):
        by_leaf.setdefault(record.leaf_hash(), []).append(index)
    for index, record in enumerate(case.records):
        for old in (old for leaf in record.re for old in by_leaf.get(leaf, ())):
            same_issuer = case.batch_of(old).note.issuer == case.batch_of(index).note.issuer
            if same_issuer and (record.mode == "live" or case.records[old].mode == "practice"):
                found[old].append(index)
    return found


# 8 -------------------------------------------------------------------------------------------


def _check_age(case: _Case) -> str | None:
    """Step 8: notes on claimed times and on age; nothing fails here."""
    case.notes += [note for i in range(len(case.records)) for note in _record_notes(case, i)]
    if any(_member(case, batch) is None for batch in case.batches):
        case.notes.append(Note("unknown-member"))
    if case.now is None:
        return None
    newest = max(final.when for final in case.finals)
    evidence, trust = ((case.now - then) // DAY for then in (newest, case.trust.date))
    case.notes += [
        Note("evidence-age", days=max(0, evidence)),
        Note("trust-age", days=max(0, trust)),
    ]
    if case.now + CLOCK_SKEW < max(newest, case.trust.date):
        case.notes.append(Note("clock-behind"))
    return f"days since: evidence {max(0, evidence)}, trust file {max(0, trust)}"


def _record_notes(case: _Case, index: int) -> list[Note]:
    record, batch = case.records[index], case.batch_of(index)
    when, claimed = case.final_of(batch).when, batch.note.time
    event = _event_time(record.fields())
    earliest = claimed if event is None else min(claimed, event)
    late = when - earliest > WRITTEN_LATER
    rules = (
        (record.mode == "practice", Note("practice", index)),
        (batch.part.issuer.custody == "operator", Note("operator", index)),
        (late, Note("written-later", index, (when - earliest) // DAY)),
        (claimed > when + CLOCK_SKEW, Note("claimed-after", index)),
    )
    return [note for applies, note in rules if applies]


def _event_time(fields: Mapping[str, Any]) -> int | None:
    """Return a shown EPCIS eventTime as POSIX seconds, None if there is none that can be read."""
    text = fields.get("eventTime")
    match = _EVENT_TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        seconds = parse_time(match[1] + "Z").seconds
    except LightError:
        return None
    offset = 60 * (60 * int(match[3]) + int(match[4])) if match[2] else 0
    return seconds + offset if match[2] == "-" else seconds - offset


# What is proven ------------------------------------------------------------------------------


def _proven_records(case: _Case) -> tuple[ProvenRecord, ...]:
    superseded = _superseded(case)
    ids = [_record_id(case, index) for index in range(len(case.records))]
    return tuple(
        _proven_record(case, index, ids, superseded[index]) for index in range(len(case.records))
    )


def _record_id(case: _Case, index: int) -> str:
    batch = encode_b64url(note_hash(case.batch_of(index).text))
    return f"{batch}.{case.evidence.records[index].index}"


def _proven_record(
    case: _Case, index: int, ids: Sequence[str], superseded: Sequence[int]
) -> ProvenRecord:
    record, batch = case.records[index], case.batch_of(index)
    final, member = case.final_of(batch), _member(case, batch)
    its = case.classes[index] if case.classes else None
    return ProvenRecord(
        id=ids[index],
        leaf=record.leaf_hash().hex(),
        type=record.type,
        mode=record.mode,
        fields=record.fields(),
        hidden=tuple(name for name, _ in record.hidden),
        issuer=batch.note.issuer,
        issuer_name=_issuer_name(batch.registration),
        custody=batch.part.issuer.custody,
        province=member or "",
        log=batch.note.log,
        claimed=batch.note.time,
        event_time=_event_time(record.fields()),
        when=final.when,
        assurance=final.assurance,
        validators=final.validators,
        statement=its.statement if its else None,
        level=its.level if its else None,
        superseded_by=tuple(ids[one] for one in superseded),
    )


def _member(case: _Case, batch: _Batch) -> str | None:
    """Return the name that the trust file gives the owner of the batch's log."""
    member = case.trust.member(case.anchor_of(batch).part.head.owner)
    return member.name if member else None


def _issuer_name(registration: Record) -> str:
    name = registration.fields().get("name")
    return name if isinstance(name, str) else ""


def _weakest(records: Sequence[ProvenRecord]) -> Assurance | None:
    if not records:
        return None
    return min((one.assurance for one in records), key=ASSURANCES.index)


_CHECKS: Final[tuple[Callable[[_Case], str | None], ...]] = (
    _read,
    _check_records,
    _check_signatures,
    _check_logs,
    _check_states,
    _check_headers,
    _check_finality,
    _check_code,
    _check_age,
)
