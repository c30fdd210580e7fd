# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence files that must not verify, one for each attack or defect, and those that must.

Each is made as an attacker would make it: with keys that attackers may hold (PROTOCOL §8) where
that helps, else by changing bytes. `tests/vectors/make.py` writes them to files.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any

import rlp

from anchor.checkpoint import Checkpoint, parse_tlog_proof
from anchor.evidence import Evidence, EvidenceFinality, _write, encode_evidence
from anchor.ijson import encode, encode_b64
from anchor.note import Signer, key_id4, sign
from anchor.record import parse_record
from node.light import leaf_hash
from tests.support.light_blocks import light_block, signers
from tests.support.makeevidence import (
    CRAB_LOT,
    POND_LOT,
    Made,
    Province,
    harvest,
    journey,
    key,
    one_record,
    record,
)


@dataclass(frozen=True)
class Case:
    """Evidence and trust files as bytes, the code to ask for, and what has to come of it.

    `step` and `kind` are those of the failure; a case without is proven, with this assurance, or
    it is the trust file that is refused.
    """

    evidence: bytes
    trust: bytes
    code: str | None = CRAB_LOT
    step: int | None = None
    kind: str = ""
    assurance: str = ""
    trust_refused: bool = False


CASES: dict[str, Callable[[], Case]] = {}


def case(
    step: int | None = None,
    kind: str = "invalid",
    assurance: str = "",
    *,
    trust_refused: bool = False,
    name: str = "",
) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Take up a maker of a case under its name or another, with what has to come of it."""

    def take(make: Callable[[], Case]) -> Callable[[], Case]:
        @cache
        def made() -> Case:
            return replace(
                make(),
                step=step,
                kind=kind if step is not None else "",
                assurance=assurance,
                trust_refused=trust_refused,
            )

        made.__doc__ = make.__doc__
        CASES[name or make.__name__.strip("_").replace("_", "-")] = made
        return made

    return take


def from_value(evidence: Evidence, made: Made | None = None, code: str | None = CRAB_LOT) -> Case:
    """Return the case of an evidence file that is well formed."""
    return Case(encode_evidence(evidence), (made or one_record()).trust, code)


def unchecked(evidence: Evidence) -> bytes:
    """Return the file of an evidence that may be beyond the limits."""
    return encode(_write(evidence))


def from_json(change: Callable[[Any], Any], made: Made | None = None) -> Case:
    """Return the case of a file whose JSON value was changed in place (or replaced)."""
    made = made or one_record()
    value = json.loads(encode_evidence(made.evidence))
    changed = change(value)
    value = value if changed is None else changed
    return Case(json.dumps(value, ensure_ascii=False).encode(), made.trust)


def from_text(old: str, new: str) -> Case:
    """Return the case of a file in whose text something was replaced once."""
    made = one_record()
    text = encode_evidence(made.evidence).decode()
    assert text.count(old) >= 1
    return Case(text.replace(old, new, 1).encode(), made.trust)


def with_record(**changes: Any) -> Case:
    """Return `one_record` with something else in its record part."""
    evidence = one_record().evidence
    part = replace(evidence.records[0], **changes)
    return from_value(replace(evidence, records=(part,)))


def with_batch(made: Made | None = None, **changes: Any) -> Case:
    """Return `one_record` with something else in its batch part."""
    made = made or one_record()
    part = replace(made.evidence.batches[0], **changes)
    return from_value(replace(made.evidence, batches=(part,)), made)


def with_anchor(made: Made | None = None, **changes: Any) -> Case:
    """Return `one_record` with something else in its anchor part."""
    made = made or one_record()
    part = replace(made.evidence.anchors[0], **changes)
    return from_value(replace(made.evidence, anchors=(part,)), made)


def with_head(**changes: Any) -> Case:
    """Return `one_record` with something else in its head."""
    return with_anchor(head=replace(one_record().evidence.anchors[0].head, **changes))


def from_province(province: Province, code: str | None = CRAB_LOT, **anchor: Any) -> Case:
    """Return the evidence of a harvest record by the last issuer of a province."""
    batch = province.batch(province.issuers[-1], [harvest()])
    made = province.evidence([(batch, 0)], province.anchor(**anchor))
    return Case(encode_evidence(made), province.trust_file(), code)


# What must verify ----------------------------------------------------------------------------


@case(assurance="one-validator")
def one_validator() -> Case:
    return from_value(one_record().evidence)


@case(assurance="consortium")
def four_validators() -> Case:
    made = one_record((1, 1, 1, 1))
    return from_value(made.evidence, made)


@case(assurance="consortium")
def thirty_four_validators() -> Case:
    made = one_record((1,) * 34)
    return from_value(made.evidence, made)


@case(assurance="one-validator")
def one_of_three_validators_decides() -> Case:
    made = one_record((10, 1, 1))
    return from_value(made.evidence, made)


@case(assurance="one-validator")
def journey_of_two_businesses() -> Case:
    made = journey()
    return from_value(made.evidence, made)


@case(assurance="one-validator")
def spaces_and_other_order() -> Case:
    made = one_record()
    value = json.loads(encode_evidence(made.evidence))
    text = json.dumps(dict(reversed(value.items())), indent=4, ensure_ascii=True)
    return Case(f"\r\n\t {text}\n\n".encode(), made.trust)


@case(assurance="one-validator")
def no_code_asked_for() -> Case:
    return replace(one_validator(), code=None)


@case(assurance="one-validator")
def first_record_of_first_batch() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu")
    return from_province(province)


def _old_era(*, newer: bool, pinned_eras: bool, powers: tuple[int, ...] = (1, 1, 1, 1)) -> Case:
    """Return evidence anchored before the validators changed, with or without ancestry."""
    province = Province((1,))
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    anchored = province.anchor()
    era = province.change_validators("consortium", powers)
    province.mine(bytes(32))
    evidence = province.evidence([(batch, 0)], anchored, () if pinned_eras else (era,))
    if newer:
        last = len(province.headers) - 1
        finality = EvidenceFinality(0, province.ancestry(1, last))
        anchor = replace(evidence.anchors[0], finality=finality)
        evidence = replace(evidence, anchors=(anchor,), light_blocks=(province.finalize(last),))
    trust = province.trust_file(eras=(era,) if pinned_eras else ())
    return Case(encode_evidence(evidence), trust)


@case(assurance="past-era")
def past_era() -> Case:
    return _old_era(newer=False, pinned_eras=True)


@case(assurance="past-era")
def past_era_by_the_evidence_itself() -> Case:
    return _old_era(newer=False, pinned_eras=False)


@case(assurance="consortium")
def past_era_with_ancestry() -> Case:
    return _old_era(newer=True, pinned_eras=True)


@case(assurance="consortium")
def ancestry_through_an_era_in_the_evidence() -> Case:
    return _old_era(newer=True, pinned_eras=False)


@case(assurance="consortium")
def era_that_trust_knows_by_now() -> Case:
    old = _old_era(newer=True, pinned_eras=False)
    return replace(old, trust=_old_era(newer=True, pinned_eras=True).trust)


# 0: reading ----------------------------------------------------------------------------------


@case(0, "malformed")
def no_json() -> Case:
    return Case(b"\x89PNG\r\n", one_record().trust)


@case(0, "malformed")
def empty_file() -> Case:
    return Case(b"", one_record().trust)


@case(0, "malformed")
def not_evidence() -> Case:
    return Case(one_record().trust, one_record().trust)


@case(0, "newer")
def newer_format() -> Case:
    return from_text("moneo/evidence/v1", "moneo/evidence/v2")


@case(0, "newer")
def newer_finality() -> Case:
    return from_text("cometbft-0.38", "cometbft-1.0")


@case(0, "malformed")
def repeated_key() -> Case:
    return from_text('"eras":[]', '"eras":[],"eras":[]')


@case(0, "malformed")
def unknown_member() -> Case:
    return from_json(lambda value: value.update(comment="trust me"))


@case(0, "malformed")
def unknown_member_in_head() -> Case:
    return from_json(lambda value: value["anchors"][0]["head"].update(index="00"))


@case(0, "malformed")
def missing_member() -> Case:
    return from_json(lambda value: value["batches"][0].pop("issuer"))


@case(0, "malformed")
def bytes_after_the_end() -> Case:
    return replace(one_validator(), evidence=one_validator().evidence + b"{}")


@case(0, "malformed")
def byte_order_mark() -> Case:
    return replace(one_validator(), evidence=b"\xef\xbb\xbf" + one_validator().evidence)


@case(0, "malformed")
def integer_written_as_fraction() -> Case:
    return from_text('"batch":0', '"batch":0.0')


@case(0, "malformed")
def true_for_an_index() -> Case:
    return from_text('"anchor":0', '"anchor":false')


@case(0, "malformed")
def base64_with_trailing_bits() -> Case:
    key_text = json.loads(one_validator().evidence)["batches"][0]["key"]
    at = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = at[at.index(key_text[-2]) ^ 1]
    return from_text(key_text, key_text[:-2] + other + "=")


@case(0, "malformed")
def upper_case_hex() -> Case:
    owner = one_record().province.owner.hex()
    return from_text(owner, owner.upper())


@case(0, "malformed")
def index_out_of_range() -> Case:
    return from_text('"batch":0', '"batch":1')


@case(0, "malformed")
def unused_batch() -> Case:
    batch = journey().evidence.batches[0]
    return from_json(
        lambda value: value["batches"].append({**value["batches"][0], "note": batch.note.decode()})
    )


@case(0, "malformed")
def unused_anchor() -> Case:
    return from_json(
        lambda value: value["anchors"].append({**value["anchors"][0], "log_key": "A" * 43 + "="})
    )


@case(0, "malformed")
def unused_light_block() -> Case:
    block = json.loads(encode_evidence(journey().evidence))["light_blocks"][0]
    block["header"]["height"] = "77"
    return from_json(lambda value: value["light_blocks"].append(block))


@case(0, "malformed")
def record_twice() -> Case:
    return from_json(lambda value: value["records"].append(value["records"][0]))


@case(0, "malformed")
def vote_of_nobody() -> Case:
    return from_json(lambda value: value["light_blocks"][0]["votes"][0].__setitem__(0, 1))


@case(0, "malformed")
def extra_data_in_the_log_proof() -> Case:
    batch = one_record().evidence.batches[0]
    proof = replace(parse_tlog_proof(batch.proof), extra=b"\1").encode()
    return with_batch(proof=proof)


@case(0, "malformed")
def two_signature_lines() -> Case:
    batch = one_record().evidence.batches[0]
    text = batch.note.rpartition(b"\n\n")[0] + b"\n"
    second = sign(text, Signer("someone.else", key("someone"))).rpartition(b"\n\n")[2]
    return with_batch(note=batch.note + second)


@case(0, "malformed")
def issuer_of_another_log() -> Case:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    made = one_record()
    name = farm.signer.name.replace("camau", "elsewhere")
    return with_batch(
        note=made.evidence.batches[0].note.replace(farm.signer.name.encode(), name.encode())
    )


@case(0, "malformed")
def unknown_custody() -> Case:
    return from_text('"holder"', '"somebody"')


@case(0, "malformed")
def disclosure_twice() -> Case:
    part = one_record().evidence.records[0].record
    head, _, tail = part.rpartition(b"\n~")
    first = tail.split(b"~")[0]
    return with_record(record=head + b"\n~" + first + b"~" + tail)


@case(0, "too-large")
def too_many_signatures() -> Case:
    def more(value: Any) -> None:
        votes = [[0, "2026-01-01T00:00:00Z", "A" * 86 + "=="]] * 500
        value["light_blocks"][0]["votes"] = votes
        value["eras"] = [value["light_blocks"][0]]

    return from_json(more)


@case(0, "too-large")
def too_many_light_blocks() -> Case:
    return from_json(lambda value: value.update(eras=value["light_blocks"] * 33))


@case(0, "too-large")
def too_many_bytes() -> Case:
    return replace(one_validator(), evidence=one_validator().evidence + b" " * (1 << 20))


def _part(*path: Any, value: Any) -> Callable[[Any], None]:
    """Return a change that puts a value at a place."""

    def change(root: Any) -> None:
        for name in path[:-1]:
            root = root[name]
        root[path[-1]] = value

    return change


def _both(*changes: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a change that is several."""

    def change(root: Any) -> None:
        for one in changes:
            one(root)

    return change


HASH_TEXT = "A" * 43 + "="
# One more than a limit allows. Lists are counted before one looks at what is in them.
BEYOND: dict[str, Callable[[Any], None]] = {
    "1001-records": _part("records", value=[0] * 1001),
    "257-batches": _part("batches", value=[0] * 257),
    "257-anchors": _part("anchors", value=[0] * 257),
    "33-light-blocks": _part("light_blocks", value=[0] * 33),
    "33-eras": _part("eras", value=[0] * 33),
    "1025-trie-nodes": _part("anchors", 0, "nodes", value=[""] * 1025),
    "record-path-of-33-hashes": _part("records", 0, "path", value=[HASH_TEXT] * 33),
    "presentation-of-64-kib": _part("records", 0, "record", value="x" * (64 * 1024 + 1)),
    "registration-of-64-kib": _part(
        "batches", 0, "issuer", "registration", value="x" * (64 * 1024 + 1)
    ),
    "note-of-4-kib-in-vietnamese": _part("batches", 0, "note", value="ỗ" * (4096 // 3 + 1)),
    "tlog-proof-of-32-kib": _part("batches", 0, "proof", value="x" * (32 * 1024 + 1)),
    "evm-header-of-2-kib": _part("anchors", 0, "header", value=encode_b64(bytes(2049))),
    "trie-node-of-1-kib": _part("anchors", 0, "nodes", 0, value=encode_b64(bytes(1025))),
    # Whether an index is in range, and a custody one of the two, is looked at when all is read.
    "257-anchors-and-an-index-out-of-range": _both(
        _part("records", 0, "batch", value=2**53 - 1), _part("anchors", value=[0] * 257)
    ),
    "257-anchors-and-an-unknown-custody": _both(
        _part("batches", 0, "issuer", "custody", value="x" * 100),
        _part("anchors", value=[0] * 257),
    ),
}
EMPTY: dict[str, Callable[[Any], None]] = {
    **{
        f"no-{name.replace('_', '-')}": _part(name, value=[])
        for name in ("records", "batches", "anchors", "light_blocks")
    },
    "empty-presentation": _part("records", 0, "record", value=""),
    "empty-header": _part("anchors", 0, "header", value=""),
    "json-nine-deep": _part("eras", value=[[[[[[[[0]]]]]]]]),
    "record-index-of-2-to-the-32-less-1": _part("records", 0, "index", value=2**32 - 1),
}
for _kind, _table in (("too-large", BEYOND), ("malformed", EMPTY)):
    for _name, _change in _table.items():

        @case(0, _kind, name=f"beyond-{_name}" if _kind == "too-large" else _name)
        def _at_a_limit(change: Callable[[Any], None] = _change) -> Case:
            return from_json(change)


# 1: record -----------------------------------------------------------------------------------


def _presentation(old: bytes, new: bytes) -> Case:
    part = one_record().evidence.records[0].record
    assert part.count(old) == 1
    return with_record(record=part.replace(old, new))


@case(1)
def field_changed() -> Case:
    return with_record(record=harvest(note="Cua nhập").encode())


@case(1)
def practice_passed_off_as_live() -> Case:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [record({"bizStep": "shipping"}, [CRAB_LOT], mode="practice")])
    evidence = province.evidence([(batch, 0)], province.anchor())
    part = evidence.records[0]
    live = replace(part, record=part.record.replace(b"mode practice", b"mode live"))
    return Case(encode_evidence(replace(evidence, records=(live,))), province.trust_file())


@case(1)
def code_line_added() -> Case:
    other = b"code " + b"A" * 43 + b"\n"
    return _presentation(b"mode live\n", b"mode live\n" + other)


@case(1)
def hidden_field_left_out() -> Case:
    part = one_record().evidence.records[0].record
    lines = [line for line in part.split(b"\n") if not line.startswith(b"field ")]
    return with_record(record=b"\n".join(lines))


@case(1)
def type_changed() -> Case:
    return _presentation(b"type epcis.objectevent", b"type epcis.objectevens")


@case(1)
def other_index() -> Case:
    return with_record(index=0)


@case(1)
def index_beyond_size() -> Case:
    return with_record(index=3)


@case(1)
def record_path_too_long() -> Case:
    path = one_record().evidence.records[0].path
    return with_record(path=(*path, bytes(32)))


@case(1)
def record_path_too_short() -> Case:
    return with_record(path=one_record().evidence.records[0].path[:-1])


@case(1)
def record_of_another_batch() -> Case:
    return with_record(record=journey().evidence.records[0].record)


# 2: signature --------------------------------------------------------------------------------


@case(2)
def note_signed_by_another_key() -> Case:
    note = one_record().evidence.batches[0].note
    text = note.rpartition(b"\n\n")[0] + b"\n"
    name = one_record().province.issuers[0].signer.name
    return with_batch(note=sign(text, Signer(name, key("thief"))))


@case(2)
def key_of_small_order() -> Case:
    """The identity as key and R, and S = 0, passes for a signature in lax libraries."""
    identity = b"\x01" + bytes(31)
    note = one_record().evidence.batches[0].note
    name = one_record().province.issuers[0].signer.name
    blob = key_id4(name, identity) + identity + bytes(32)
    text = note.rpartition(b"\n\n")[0].decode()
    forged = f"{text}\n\n— {name} {encode_b64(blob)}\n".encode()
    return with_batch(note=forged, key=identity)


@case(2)
def signed_for_another_log() -> Case:
    """A province puts a batch that was meant for another log into its own."""
    theirs = Province(origin="moneo.example/bentre/2026")
    farm = theirs.issuer("Hợp tác xã Mẫu")
    batch = theirs.batch(farm, [harvest()])
    mine = one_record().evidence
    evidence = theirs.evidence([(batch, 0)], theirs.anchor())
    foreign = replace(evidence.batches[0], proof=mine.batches[0].proof)
    return from_value(replace(mine, records=evidence.records, batches=(foreign,)))


# 3: log --------------------------------------------------------------------------------------


@case(3)
def checkpoint_signed_by_another_key() -> Case:
    batch = one_record().evidence.batches[0]
    proof = parse_tlog_proof(batch.proof)
    text = proof.checkpoint.rpartition(b"\n\n")[0] + b"\n"
    forged = sign(text, Signer(one_record().province.origin, key("thief")))
    return with_batch(proof=replace(proof, checkpoint=forged).encode())


@case(3)
def checkpoint_and_key_of_a_thief() -> Case:
    batch, thief = (
        one_record().evidence.batches[0],
        Signer(one_record().province.origin, key("thief")),
    )
    proof = parse_tlog_proof(batch.proof)
    text = proof.checkpoint.rpartition(b"\n\n")[0] + b"\n"
    evidence = one_record().evidence
    changed = replace(batch, proof=replace(proof, checkpoint=sign(text, thief)).encode())
    anchor = replace(evidence.anchors[0], log_key=thief.public_key)
    return from_value(replace(evidence, batches=(changed,), anchors=(anchor,)))


@case(3)
def batch_never_logged() -> Case:
    """The business has signed it, the province shows it with another batch's proof."""
    made = one_record()
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor())
    other = replace(evidence.batches[0], proof=made.evidence.batches[0].proof)
    return from_value(replace(made.evidence, records=evidence.records, batches=(other,)))


@case(3)
def checkpoint_not_anchored() -> Case:
    """The log key signs a split view: the same batch in a tree that the chain hasn't seen."""
    made = one_record()
    batch = made.evidence.batches[0]
    leaf = leaf_hash(batch.note)
    split = Checkpoint(made.province.origin, 1, leaf).sign(made.province.signer)
    proof = replace(parse_tlog_proof(batch.proof), index=0, path=(), checkpoint=split)
    return with_batch(proof=proof.encode())


@case(3)
def log_path_too_long() -> Case:
    batch = one_record().evidence.batches[0]
    proof = parse_tlog_proof(batch.proof)
    return with_batch(proof=replace(proof, path=(*proof.path, bytes(32))).encode())


@case(3)
def head_of_another_size() -> Case:
    return with_head(size=3)


@case(3)
def head_of_another_log_key() -> Case:
    return with_head(log_key_id=bytes(32))


@case(3)
def issuer_key_is_the_log_key() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu", private_key=province.signer.private_key)
    return from_province(province)


# 4: state ------------------------------------------------------------------------------------


@case(4, "untrusted")
def wrong_code_hash() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu")
    province.code_hashes["AnchorLog"] = sha256(b"backdoor").digest()
    return from_province(province)


@case(4, "untrusted")
def wrong_code_hash_of_the_registry() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu")
    province.code_hashes["IssuerRegistry"] = sha256(b"backdoor").digest()
    return from_province(province)


@case(4)
def issuer_revoked() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu", revoked=1)
    return from_province(province)


@case(4)
def issuer_revoked_not_said() -> Case:
    province = Province()
    issuer = province.issuer("Hợp tác xã Mẫu", revoked=1)
    batch = province.batch(issuer, [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor())
    part = evidence.batches[0]
    said = replace(part, issuer=replace(part.issuer, revoked=0))
    return Case(encode_evidence(replace(evidence, batches=(said,))), province.trust_file())


@case(4)
def issuer_registered_later() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu", registered=2)
    return from_province(province, head_block=1)


@case(4)
def issuer_never_registered() -> Case:
    province = Province()
    issuer = province.issuer("Hợp tác xã Mẫu")
    province.issuers.clear()
    batch = province.batch(issuer, [harvest()])
    anchored = province.anchor()
    evidence = province.evidence([(batch, 0)], anchored)
    return Case(encode_evidence(evidence), province.trust_file())


@case(4)
def operator_passed_off_as_holder() -> Case:
    province = Province()
    issuer = province.issuer("Hợp tác xã Mẫu", custody="operator")
    batch = province.batch(issuer, [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor())
    part = evidence.batches[0]
    said = replace(part, issuer=replace(part.issuer, custody="holder"))
    return Case(encode_evidence(replace(evidence, batches=(said,))), province.trust_file())


@case(4)
def registration_with_other_prefixes() -> Case:
    issuer = one_record().evidence.batches[0].issuer
    shown = parse_record(issuer.registration).fields()
    other = record({**shown, "prefixes": ["/01/"]}, kind="moneo.registration")
    return with_batch(issuer=replace(issuer, registration=other.encode()))


@case(4)
def registration_of_another_issuer() -> Case:
    province = Province()
    other = province.issuer("Someone else")
    issuer = province.issuer("Hợp tác xã Mẫu")
    province.issuers[-1] = replace(issuer, registration=other.registration)
    return from_province(province)


@case(4)
def registration_is_practice() -> Case:
    province = Province()
    issuer = province.issuer("Hợp tác xã Mẫu")
    shown = issuer.registration.fields()
    practice = record(shown, kind="moneo.registration", mode="practice")
    province.issuers[-1] = replace(issuer, registration=practice)
    return from_province(province)


@case(4)
def head_of_another_owner() -> Case:
    return with_head(owner=sha256(b"thief").digest()[:20])


@case(4)
def head_with_another_aux() -> Case:
    return with_head(aux=sha256(b"index").digest())


@case(4)
def head_in_the_future() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu")
    return from_province(province, head_block=2)


@case(4)
def surplus_trie_node() -> Case:
    nodes = one_record().evidence.anchors[0].nodes
    return with_anchor(nodes=(*nodes, b"\xc2\x80\x80"))


@case(4)
def trie_node_twice() -> Case:
    nodes = one_record().evidence.anchors[0].nodes
    return with_anchor(nodes=(*nodes, nodes[0]))


@case(4)
def trie_node_missing() -> Case:
    return with_anchor(nodes=one_record().evidence.anchors[0].nodes[:-1])


@case(4)
def state_of_another_block() -> Case:
    return with_anchor(header=journey().evidence.anchors[0].header)


# 5: header -----------------------------------------------------------------------------------


@case(5)
def light_block_of_another_height() -> Case:
    made = one_record()
    evidence = replace(made.evidence, light_blocks=(made.province.genesis,))
    return from_value(evidence)


@case(5)
def header_with_another_time() -> Case:
    """The same state in a header that never was: only the hash tells."""
    header = rlp.decode(one_record().evidence.anchors[0].header)
    header[11] = (1_700_000_000).to_bytes(4, "big")
    return with_anchor(header=rlp.encode(header))


@case(5)
def newer_header_that_no_light_block_carries() -> Case:
    province = one_record().province
    finality = EvidenceFinality(0, province.ancestry(0, 1))
    anchor = replace(one_record().evidence.anchors[0], finality=finality)
    evidence = replace(one_record().evidence, anchors=(anchor,), light_blocks=(province.genesis,))
    return from_value(evidence)


# 6: finality ---------------------------------------------------------------------------------


def _with_block(**changes: Any) -> Case:
    """Return the evidence of three validators with another light block of the same EVM block."""
    made = one_record((1, 1, 1))
    province = made.province
    wanted: dict[str, Any] = {
        "by": province.validators,
        "height": 12,
        "app_hash": made.evidence.light_blocks[0].header.app_hash,
        "seconds": province.time(1),
        "chain_id": province.chain_id,
    }
    block = light_block(**{**wanted, **changes})
    return from_value(replace(made.evidence, light_blocks=(block,)), made)


@case(6)
def exactly_two_thirds() -> Case:
    return _with_block(silent=[2])


@case(6, "untrusted")
def another_chain() -> Case:
    return _with_block(chain_id="sample-ffffffffffffffff")


@case(6, "untrusted")
def validators_of_nobody() -> Case:
    return _with_block(by=signers("thief", (1, 1, 1)))


@case(6)
def more_votes_than_needed() -> Case:
    made = one_record((1, 1, 1, 1))
    province = made.province
    block = light_block(
        province.validators,
        12,
        app_hash=made.evidence.light_blocks[0].header.app_hash,
        seconds=province.time(1),
        chain_id=province.chain_id,
    )
    return from_value(replace(made.evidence, light_blocks=(block,)), made)


@case(6)
def vote_of_another_time() -> Case:
    block = one_record().evidence.light_blocks[0]
    vote = replace(block.votes[0], time=block.votes[0].time._replace(nanos=7))
    changed = replace(block, votes=(vote,))
    return from_value(replace(one_record().evidence, light_blocks=(changed,)))


@case(6, "untrusted")
def new_validators_without_their_era() -> Case:
    province = Province((1, 1, 1))
    province.issuer("Hợp tác xã Mẫu")
    province.change_validators("others", (1, 1, 1, 1))
    return from_province(province)


@case(6, "untrusted")
def era_not_bound_to_the_one_before() -> Case:
    """Two changes of validators, of which the evidence leaves out the first."""
    province = Province((1, 1, 1))
    province.issuer("Hợp tác xã Mẫu")
    province.change_validators("second", (1, 1, 1))
    last = province.change_validators("third", (1, 1, 1))
    batch = province.batch(province.issuers[0], [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor(), [last])
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def era_left_by_a_third() -> Case:
    """A third of the old validators names new ones; CometBFT's skipping would take that."""
    province = Province((1, 1, 1))
    province.issuer("Hợp tác xã Mẫu")
    era = province.change_validators("thief", (1, 1, 1))
    few = replace(era, votes=era.votes[:1])
    batch = province.batch(province.issuers[0], [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor(), [few])
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def ancestry_of_another_header() -> Case:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    anchored = province.anchor()
    province.mine(bytes(32))
    other = EvidenceFinality(0, province.ancestry(0, 2))
    evidence = province.evidence([(batch, 0)], anchored)
    anchor = replace(evidence.anchors[0], finality=other)
    evidence = replace(evidence, anchors=(anchor,), light_blocks=(province.finalize(2),))
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def issuer_key_is_a_validators() -> Case:
    province = Province()
    province.issuer("Hợp tác xã Mẫu", private_key=province.validators.keys[0])
    return from_province(province)


@case(6, "untrusted")
def forged_by_retired_validators_after_their_era() -> Case:
    """Keys of the founding set sign a height at which others are in power."""
    province = Province((1,))
    province.issuer("Hợp tác xã Mẫu")
    retired = province.validators
    era = province.change_validators("consortium", (1, 1, 1, 1))
    province.validators = retired
    forged = from_province(province)
    return replace(forged, trust=province.trust_file(eras=(era,)))


# 7: code -------------------------------------------------------------------------------------


@case(7, "mismatch")
def evidence_of_another_code() -> Case:
    return replace(one_validator(), code=POND_LOT)


@case(7, "mismatch")
def serial_when_the_lot_was_asked_for() -> Case:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [record({"a": 1}, [f"{CRAB_LOT}/21/X1"])])
    evidence = province.evidence([(batch, 0)], province.anchor())
    return Case(encode_evidence(evidence), province.trust_file())


@case(7, "mismatch")
def one_record_of_another_code_among_many() -> Case:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest(), record({"a": 1}, [POND_LOT])])
    evidence = province.evidence([(batch, 0), (batch, 1)], province.anchor())
    return Case(encode_evidence(evidence), province.trust_file())
