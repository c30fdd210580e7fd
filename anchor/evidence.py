# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence file: everything a stranger needs to check records offline, in one JSON text.

Format `moneo/evidence/v1`, specified byte by byte in docs/evidence.md. This module only reads and
writes it: `parse_evidence` and `encode_evidence` are inverses, and neither judges anything.
What the parts prove is decided in `anchor.verify`.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from anchor import shape
from anchor.errors import FormatError
from anchor.ijson import encode, parse
from node.light import LightBlock, LightError, encode_light_block, parse_light_block

FORMAT: Final = "moneo/evidence/v1"
FINALITY: Final = "cometbft-0.38"

# PROTOCOL's limits. They bound the verifier's work before any of it is done.
MAX_EVIDENCE_BYTES: Final = 1 << 20
MAX_RECORDS: Final = 1_000
MAX_LIGHT_BLOCKS: Final = 32  # light blocks and eras together
MAX_SIGNATURES: Final = 512  # votes, and two for each batch: its issuer's and the log's
# A batch costs two signatures, so more of these could never be used.
MAX_BATCHES: Final = MAX_SIGNATURES // 2
# An anchor proves one batch at least; beyond the light blocks, anchors are final by ancestry.
MAX_ANCHORS: Final = MAX_BATCHES
# A trie branch has 532 bytes, a leaf of AnchorLog or IssuerRegistry fewer.
MAX_NODE_BYTES: Final = 1_024
MAX_NODES: Final = 1_024
MAX_RECORD_INDEX: Final = 2**32 - 2  # a batch's size is 2^32 - 1 at most
# Paths: a batch has fewer than 2^32 records, the chain fewer than 2^53 blocks.
MAX_RECORD_PATH: Final = 32
MAX_ANCESTRY_PATH: Final = 53
MAX_RECORD_BYTES: Final = 64 << 10
MAX_NOTE_BYTES: Final = 4 << 10
MAX_PROOF_BYTES: Final = 32 << 10
MAX_HEADER_BYTES: Final = 2 << 10
# evidence > anchors > anchor > finality > path is the deepest place.
MAX_DEPTH: Final = 8

T = TypeVar("T")


class EvidenceError(FormatError):
    """The bytes are no evidence file of this format: malformed, or beyond a limit."""


class EvidenceTooLarge(EvidenceError):  # noqa: N818 - a verdict, said as one
    """A count or a size is beyond the limits of the format."""


class UnknownEvidence(EvidenceError):  # noqa: N818 - a verdict, said as one
    """The file says that it has another format or finality: it needs a newer verifier."""


@dataclass(frozen=True)
class EvidenceRecord:
    """One record: its presentation, and its place in a batch."""

    record: bytes
    batch: int
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class EvidenceIssuer:
    """The preimage of an issuer's slot; the registration is a presentation."""

    custody: str
    registered: int
    revoked: int
    registration: bytes


@dataclass(frozen=True)
class EvidenceBatch:
    """One batch: the signed note, the key that signed it, and its C2SP tlog-proof."""

    note: bytes
    key: bytes
    proof: bytes
    anchor: int
    issuer: EvidenceIssuer


@dataclass(frozen=True)
class EvidenceHead:
    """The preimage of a log's head slot in AnchorLog."""

    owner: bytes
    log_key_id: bytes
    size: int
    root: bytes
    aux: bytes
    block: int


@dataclass(frozen=True)
class EvidenceAncestry:
    """A newer header (RLP) and the path that shows an older one among its ancestors."""

    header: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class EvidenceFinality:
    """Which light block vouches for the anchor's header, directly or through a newer header."""

    light_block: int
    ancestry: EvidenceAncestry | None = None


@dataclass(frozen=True)
class EvidenceAnchor:
    """One anchored checkpoint: log key, head, EVM header (RLP), trie nodes and finality."""

    log_key: bytes
    head: EvidenceHead
    header: bytes
    nodes: tuple[bytes, ...]
    finality: EvidenceFinality


@dataclass(frozen=True)
class Evidence:
    """One evidence file, read; indexes point into the tuples of this object."""

    records: tuple[EvidenceRecord, ...]
    batches: tuple[EvidenceBatch, ...]
    anchors: tuple[EvidenceAnchor, ...]
    light_blocks: tuple[LightBlock, ...]
    eras: tuple[LightBlock, ...]


def parse_evidence(data: bytes) -> Evidence:
    """Read an evidence file.

    `data` is the file's bytes, 1 MiB at most. Raises `EvidenceTooLarge` beyond a limit,
    `UnknownEvidence` for another format, else `EvidenceError` for whatever is not canonical.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        raise EvidenceTooLarge(f"larger than {MAX_EVIDENCE_BYTES} bytes")
    try:
        value = parse(data, max_bytes=MAX_EVIDENCE_BYTES, max_depth=MAX_DEPTH)
        _check_format(value)
        evidence = _read(value)
    except EvidenceError:
        raise
    except FormatError as error:
        raise EvidenceError(str(error)) from error
    _check_counts(evidence)
    _check_references(evidence)
    return evidence


def encode_evidence(evidence: Evidence) -> bytes:
    """Write an evidence file: compact JSON, UTF-8. Raises `EvidenceError` beyond the limits."""
    _check_counts(evidence)
    _check_references(evidence)
    data = encode(_write(evidence))
    if len(data) > MAX_EVIDENCE_BYTES:
        raise EvidenceTooLarge(f"larger than {MAX_EVIDENCE_BYTES} bytes")
    return data


# Reading -------------------------------------------------------------------------------------


def _check_format(value: Any) -> None:
    """Say "newer verifier" before anything else is looked at."""
    name = value.get("format") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name.startswith("moneo/evidence/"):
        raise EvidenceError("not an evidence file")
    if name != FORMAT:
        raise UnknownEvidence(f"format {name[:64]}")


def _read(value: Any) -> Evidence:
    names = ("format", "records", "batches", "anchors", "light_blocks", "eras")
    _, records, batches, anchors, blocks, eras = shape.members(value, "evidence", *names)
    return Evidence(
        _each(_read_record, records, "records", MAX_RECORDS, 1),
        _each(_read_batch, batches, "batches", MAX_BATCHES, 1),
        _each(_read_anchor, anchors, "anchors", MAX_ANCHORS, 1),
        _each(_read_light_block, blocks, "light_blocks", MAX_LIGHT_BLOCKS, 1),
        _each(_read_light_block, eras, "eras", MAX_LIGHT_BLOCKS),
    )


def _each(
    read: Callable[[Any, str], T], value: Any, where: str, most: int, least: int = 0
) -> tuple[T, ...]:
    """Read each item of a list, whose length is looked at first."""
    if isinstance(value, list) and len(value) > most:
        raise EvidenceTooLarge(f"{where}: more than {most}")
    values = shape.items(value, where, most, least)
    return tuple(read(one, f"{where}[{index}]") for index, one in enumerate(values))


def _read_light_block(value: Any, where: str) -> LightBlock:
    try:
        block = parse_light_block(value)
    except LightError as error:
        raise EvidenceError(f"{where}: {error}") from error
    if any(vote.index >= len(block.validators) for vote in block.votes):
        raise EvidenceError(f"{where}: a vote of nobody")
    return block


def _read_record(value: Any, where: str) -> EvidenceRecord:
    record, batch, index, path = shape.members(value, where, "record", "batch", "index", "path")
    return EvidenceRecord(
        _read_text(record, f"{where}.record", MAX_RECORD_BYTES),
        shape.natural(batch, f"{where}.batch"),
        shape.natural(index, f"{where}.index", MAX_RECORD_INDEX),
        _each(_read_hash, path, f"{where}.path", MAX_RECORD_PATH),
    )


def _read_batch(value: Any, where: str) -> EvidenceBatch:
    names = ("note", "key", "proof", "anchor", "issuer")
    note, key, proof, anchor, issuer = shape.members(value, where, *names)
    return EvidenceBatch(
        _read_text(note, f"{where}.note", MAX_NOTE_BYTES),
        shape.base64(key, f"{where}.key", 32),
        _read_text(proof, f"{where}.proof", MAX_PROOF_BYTES),
        shape.natural(anchor, f"{where}.anchor"),
        _read_issuer(issuer, f"{where}.issuer"),
    )


def _read_issuer(value: Any, where: str) -> EvidenceIssuer:
    names = ("custody", "registered", "revoked", "registration")
    custody, registered, revoked, registration = shape.members(value, where, *names)
    return EvidenceIssuer(
        shape.text(custody, f"{where}.custody", MAX_EVIDENCE_BYTES),
        shape.natural(registered, f"{where}.registered"),
        shape.natural(revoked, f"{where}.revoked"),
        _read_text(registration, f"{where}.registration", MAX_RECORD_BYTES),
    )


def _read_anchor(value: Any, where: str) -> EvidenceAnchor:
    names = ("log_key", "head", "header", "nodes", "finality")
    log_key, head, header, nodes, finality = shape.members(value, where, *names)
    return EvidenceAnchor(
        shape.base64(log_key, f"{where}.log_key", 32),
        _read_head(head, f"{where}.head"),
        _read_blob(header, f"{where}.header", MAX_HEADER_BYTES),
        _each(_read_node, nodes, f"{where}.nodes", MAX_NODES),
        _read_finality(finality, f"{where}.finality"),
    )


def _read_node(value: Any, where: str) -> bytes:
    return _read_blob(value, where, MAX_NODE_BYTES)


def _read_hash(value: Any, where: str) -> bytes:
    return shape.base64(value, where, 32)


def _read_blob(value: Any, where: str, most: int) -> bytes:
    return _bounded(shape.base64(value, where), where, most)


def _read_text(value: Any, where: str, most: int) -> bytes:
    """Read a text as its UTF-8; what is not empty and fits into the file is bounded in bytes."""
    return _bounded(shape.octets(value, where, MAX_EVIDENCE_BYTES), where, most)


def _bounded(data: bytes, where: str, most: int) -> bytes:
    if len(data) > most:
        raise EvidenceTooLarge(f"{where}: larger than {most} bytes")
    return data


def _read_head(value: Any, where: str) -> EvidenceHead:
    names = ("owner", "log_key_id", "size", "root", "aux", "block")
    owner, log_key_id, size, root, aux, block = shape.members(value, where, *names)
    return EvidenceHead(
        shape.hexadecimal(owner, f"{where}.owner", 20),
        shape.base64(log_key_id, f"{where}.log_key_id", 32),
        shape.natural(size, f"{where}.size"),
        shape.base64(root, f"{where}.root", 32),
        shape.base64(aux, f"{where}.aux", 32),
        shape.natural(block, f"{where}.block"),
    )


def _read_finality(value: Any, where: str) -> EvidenceFinality:
    """Read the tagged way of finality; a tag of another engine needs a newer verifier."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise EvidenceError(f"{where} is not an object with a type")
    if value["type"] != FINALITY:
        raise UnknownEvidence(f"finality {value['type'][:64]}")
    ancestry = None
    if "header" in value or "path" in value:
        _, block, header, path = shape.members(
            value, where, "type", "light_block", "header", "path"
        )
        ancestry = EvidenceAncestry(
            _read_blob(header, f"{where}.header", MAX_HEADER_BYTES),
            _each(_read_hash, path, f"{where}.path", MAX_ANCESTRY_PATH),
        )
    else:
        _, block = shape.members(value, where, "type", "light_block")
    return EvidenceFinality(shape.natural(block, f"{where}.light_block"), ancestry)


# What the parts say of each other ------------------------------------------------------------


def _check_counts(evidence: Evidence) -> None:
    """Bound what signatures and light blocks cost together, before one of them is verified."""
    blocks = evidence.light_blocks + evidence.eras
    if len(blocks) > MAX_LIGHT_BLOCKS:
        raise EvidenceTooLarge(f"more than {MAX_LIGHT_BLOCKS} light blocks and eras")
    signatures = sum(len(block.votes) for block in blocks) + 2 * len(evidence.batches)
    if signatures > MAX_SIGNATURES:
        raise EvidenceTooLarge(f"more than {MAX_SIGNATURES} signatures")
    if len(evidence.records) > MAX_RECORDS:
        raise EvidenceTooLarge(f"more than {MAX_RECORDS} records")


def _check_references(evidence: Evidence) -> None:
    """Every index in range, every part used, none there twice: one file for one content."""
    batches, anchors = evidence.batches, evidence.anchors
    _check_used("batches", len(batches), [one.batch for one in evidence.records])
    _check_used("anchors", len(anchors), [one.anchor for one in batches])
    blocks = [one.finality.light_block for one in anchors]
    _check_used("light_blocks", len(evidence.light_blocks), blocks)
    _check_distinct("records", [(one.batch, one.index) for one in evidence.records])
    _check_distinct("batches", [one.note for one in batches])
    _check_distinct("anchors", [(one.log_key, one.head, one.header) for one in anchors])
    _check_distinct("light_blocks", [one.header for one in evidence.light_blocks])
    _check_distinct("eras", [one.header for one in evidence.eras])


def _check_used(where: str, count: int, uses: Sequence[int]) -> None:
    if set(uses) != set(range(count)):
        raise EvidenceError(f"{where}: an index out of range, or a part that nothing uses")


def _check_distinct(where: str, keys: Sequence[Hashable]) -> None:
    if len(set(keys)) != len(keys):
        raise EvidenceError(f"{where}: the same one twice")


# Writing -------------------------------------------------------------------------------------


def _write(evidence: Evidence) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "records": [_write_record(one) for one in evidence.records],
        "batches": [_write_batch(one) for one in evidence.batches],
        "anchors": [_write_anchor(one) for one in evidence.anchors],
        "light_blocks": [encode_light_block(one) for one in evidence.light_blocks],
        "eras": [encode_light_block(one) for one in evidence.eras],
    }


def _write_record(one: EvidenceRecord) -> dict[str, Any]:
    return {
        "record": one.record.decode(),
        "batch": one.batch,
        "index": one.index,
        "path": [shape.to_base64(part) for part in one.path],
    }


def _write_batch(one: EvidenceBatch) -> dict[str, Any]:
    return {
        "note": one.note.decode(),
        "key": shape.to_base64(one.key),
        "proof": one.proof.decode(),
        "anchor": one.anchor,
        "issuer": {
            "custody": one.issuer.custody,
            "registered": one.issuer.registered,
            "revoked": one.issuer.revoked,
            "registration": one.issuer.registration.decode(),
        },
    }


def _write_anchor(one: EvidenceAnchor) -> dict[str, Any]:
    return {
        "log_key": shape.to_base64(one.log_key),
        "head": {
            "owner": shape.to_hex(one.head.owner),
            "log_key_id": shape.to_base64(one.head.log_key_id),
            "size": one.head.size,
            "root": shape.to_base64(one.head.root),
            "aux": shape.to_base64(one.head.aux),
            "block": one.head.block,
        },
        "header": shape.to_base64(one.header),
        "nodes": [shape.to_base64(node) for node in one.nodes],
        "finality": _write_finality(one.finality),
    }


def _write_finality(one: EvidenceFinality) -> dict[str, Any]:
    value: dict[str, Any] = {"type": FINALITY, "light_block": one.light_block}
    if one.ancestry:
        value["header"] = shape.to_base64(one.ancestry.header)
        value["path"] = [shape.to_base64(part) for part in one.ancestry.path]
    return value
