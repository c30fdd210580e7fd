# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes an evidence file out of what is stored: database and log, no node, no network.

Batches, anchors and light blocks that several records share stand in the file once. A record is
proven against the first anchor that was captured over it together with its issuer's slot.

Validators who have handed over could sign their past anew. So what was anchored before they did hangs,
by ancestry, on the light block that ended their era: every trust file of later on holds that one
itself, and to one of before they have not handed over. Beyond the limits on light blocks and signatures
(PROTOCOL §7) the older anchors hang on the next light block that has room, and the oldest eras are left
to the trust file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from anchor.capture import HEAD_SUBJECT, Carried, ancestry_path, stored_eras, unpack
from anchor.checkpoint import TlogProof
from anchor.epochs import Epoch, Epochs, of_index
from anchor.errors import AnchorError
from anchor.evidence import (
    MAX_BATCHES,
    MAX_LIGHT_BLOCKS,
    MAX_RECORDS,
    MAX_SIGNATURES,
    Evidence,
    EvidenceAncestry,
    EvidenceAnchor,
    EvidenceBatch,
    EvidenceFinality,
    EvidenceHead,
    EvidenceIssuer,
    EvidenceRecord,
    EvidenceTooLarge,
    encode_evidence,
)
from anchor.issuers import Issuer, by_id
from anchor.record import parse_record
from anchor.store import (
    HASH,
    PackedRecords,
    Store,
    UnknownBatch,
    anchors,
    batches,
    nodes,
    note_hash_of,
    proofs,
)
from anchor.tiles import Log
from node.light import LightBlock, parse_header

Hide = Callable[[str, str], bool]
# Signatures that each batch costs a verifier: its issuer's and the log's.
_SIGNATURES_A_BATCH: Final = 2
# Built once: building a statement costs as much as running it.
_BATCH: Final = select(
    batches.c.issuer_id,
    batches.c.note,
    batches.c.log_index,
    batches.c.offsets,
    batches.c.presentations,
    batches.c.leaves,
).where(batches.c.note_hash == bindparam("digest"))
_PROVING: Final = (
    select(proofs.c.size)
    .where(proofs.c.subject == bindparam("issuer"), proofs.c.size > bindparam("entry"))
    .order_by(proofs.c.size)
    .limit(1)
)
_ANCHORS: Final = select(anchors).where(anchors.c.size.in_(bindparam("sizes", expanding=True)))
_PROOFS: Final = (
    select(proofs.c.nodes)
    .where(
        proofs.c.size == bindparam("size"),
        proofs.c.subject.in_(bindparam("subjects", expanding=True)),
    )
    .order_by(proofs.c.subject)
)
_NODES: Final = select(nodes.c.hash, nodes.c.data).where(
    nodes.c.hash.in_(bindparam("digests", expanding=True))
)


class NotAnchored(AnchorError):  # noqa: N818 - a state, said as one
    """A batch is not anchored and captured yet: there is no evidence for it now, but will be."""


@dataclass(frozen=True)
class _Batch:
    """A batch that some of the wanted records are in, and the anchor that proves it."""

    issuer: Issuer
    note: bytes
    log_index: int
    texts: list[bytes]
    levels: list[list[bytes]]
    anchor: int


class Assembler:
    """Assembles evidence from a province's logs; safe for threads."""

    def __init__(self, store: Store, logs: Epochs) -> None:
        self._store = store
        self._logs = logs
        self._open: dict[int, Log] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the logs."""
        for log in self._open.values():
            log.close()

    def evidence(self, refs: Sequence[tuple[str, int]], hide: Hide) -> bytes:
        """One evidence file for the records `refs`; see Province.evidence."""
        wanted = list(dict.fromkeys(refs))
        names = list(dict.fromkeys(batch for batch, _ in wanted))
        if len(wanted) > MAX_RECORDS or len(names) > MAX_BATCHES:
            raise EvidenceTooLarge(f"{len(wanted)} records in {len(names)} batches are too many")
        with self._store.read() as connection:
            logs = self._logs.all(connection)
            found = {name: _load_batch(connection, name) for name in names}
            sizes = sorted({batch.anchor for batch in found.values()})
            rows = {row.size: row for row in connection.execute(_ANCHORS, {"sizes": sizes})}
            finality = _Finality(connection, rows, sizes, len(names))
            evidence = Evidence(
                records=tuple(_record(found, names, *ref, hide) for ref in wanted),
                batches=tuple(
                    self._batch(
                        of_index(logs, one.anchor),
                        one,
                        bytes(rows[one.anchor].checkpoint),
                        sizes.index(one.anchor),
                    )
                    for one in found.values()
                ),
                anchors=tuple(
                    _anchor(
                        connection,
                        rows[size],
                        of_index(logs, size),
                        _issuers_at(found, size),
                        finality,
                    )
                    for size in sizes
                ),
                light_blocks=finality.light_blocks,
                eras=finality.eras,
            )
        return encode_evidence(evidence)

    def _batch(self, log: Epoch, batch: _Batch, checkpoint: bytes, anchor: int) -> EvidenceBatch:
        index = batch.log_index - log.base
        path = self._inclusion_path(log, index, batch.anchor - log.base)
        issuer = batch.issuer
        return EvidenceBatch(
            note=batch.note,
            key=issuer.public_key,
            proof=TlogProof(index, tuple(path), checkpoint).encode(),
            anchor=anchor,
            issuer=EvidenceIssuer(issuer.custody, issuer.registered, 0, issuer.registration),
        )

    def _inclusion_path(self, of: Epoch, index: int, size: int) -> list[bytes]:
        # A log object caches what it reads, and is one thread's at a time.
        with self._lock:
            if of.number not in self._open:
                path = of.settings.log_path
                self._open[of.number] = Log(path, of.origin, public_key=of.public_key)
            log = self._open[of.number]
            if log.size < size:
                log.refresh()
            return log.inclusion_path(index, size)


class _Finality:
    """Which light blocks vouch for the anchors: their own, or later ones by ancestry."""

    def __init__(
        self,
        connection: Connection,
        rows: Mapping[int, Any],
        sizes: Sequence[int],
        batch_count: int,
    ) -> None:
        self.headers = {size: bytes(row.header) for size, row in rows.items()}
        ends = stored_eras(connection)
        self._wanted = {
            size: _lasting(Carried(bytes(row.header), unpack(bytes(row.light_block))), ends)
            for size, row in rows.items()
        }
        signatures = MAX_SIGNATURES - _SIGNATURES_A_BATCH * batch_count
        found = {_height(self._wanted[size]): self._wanted[size] for size in sizes}
        self._chosen, self.eras = _within_limits(found, ends, signatures)
        self.light_blocks = tuple(each.light_block for each in self._chosen)

    def of(self, connection: Connection, size: int) -> EvidenceFinality:
        """How the anchor of this size is final."""
        height = _height(self._wanted[size])
        place = next(at for at, each in enumerate(self._chosen) if _height(each) >= height)
        newer = self._chosen[place].header
        if newer == self.headers[size]:
            return EvidenceFinality(place)
        number = parse_header(self.headers[size]).number
        path = ancestry_path(connection, number, parse_header(newer).number)
        return EvidenceFinality(place, EvidenceAncestry(newer, tuple(path)))


def _height(final: Carried) -> int:
    return final.light_block.header.height


def _lasting(own: Carried, ends: Sequence[Carried]) -> Carried:
    """Return what an anchor is to hang on: the end of its era, or its own light block in today's."""
    return next((end for end in ends if _height(end) >= _height(own)), own)


def _within_limits(
    found: Mapping[int, Carried], ends: Sequence[Carried], signatures: int
) -> tuple[list[Carried], tuple[LightBlock, ...]]:
    """Return, oldest first, the newest light blocks that fit into one file, and the eras before them.

    The newest one has its place always; if even that is too much, encoding refuses the file. Then
    come the eras, without which it convinces no older trust file, the newest first.
    """
    newest, *others = [found[height] for height in sorted(found, reverse=True)]
    before = [end for end in ends if _height(end) < _height(newest)]
    budget = _Budget(MAX_LIGHT_BLOCKS, signatures)
    budget.take([newest])
    eras = budget.take(before[::-1])[::-1]
    return [*budget.take(others)[::-1], newest], tuple(each.light_block for each in eras)


@dataclass
class _Budget:
    """How many more light blocks and signatures the file has room for."""

    light_blocks: int
    signatures: int

    def take(self, wanted: Sequence[Carried]) -> list[Carried]:
        """Return the first ones that fit."""
        taken = []
        for each in wanted:
            votes = len(each.light_block.votes)
            if self.light_blocks < 1 or self.signatures < votes:
                break
            self.light_blocks -= 1
            self.signatures -= votes
            taken.append(each)
        return taken


def _load_batch(connection: Connection, name: str) -> _Batch:
    row = connection.execute(_BATCH, {"digest": note_hash_of(name)}).first()
    if row is None:
        raise UnknownBatch(f"there is no batch {name}")
    anchor = _proving_anchor(connection, row.issuer_id, row.log_index)
    if anchor is None:
        raise NotAnchored(f"lô {name} chưa được neo · batch {name} is not anchored yet")
    leaves = bytes(row.leaves)
    return _Batch(
        issuer=by_id(connection, row.issuer_id),
        note=bytes(row.note),
        log_index=row.log_index,
        texts=PackedRecords(bytes(row.offsets), bytes(row.presentations)).texts(),
        levels=tree_levels([leaves[at : at + HASH] for at in range(0, len(leaves), HASH)]),
        anchor=anchor,
    )


def _proving_anchor(connection: Connection, issuer_id: int, log_index: int | None) -> int | None:
    """The size of the first anchor over the entry that was captured with the issuer's slot."""
    if log_index is None:
        return None
    row = connection.execute(_PROVING, {"issuer": issuer_id, "entry": log_index}).first()
    return row[0] if row else None


def _record(
    found: dict[str, _Batch], names: list[str], name: str, index: int, hide: Hide
) -> EvidenceRecord:
    batch = found[name]
    if not 0 <= index < len(batch.texts):
        raise UnknownBatch(f"batch {name} has no record {index}")
    record = parse_record(batch.texts[index])
    hidden = [field for field in record.fields() if hide(batch.issuer.name, field)]
    path = tree_path(batch.levels, index)
    return EvidenceRecord(record.hide(hidden).encode(), names.index(name), index, path)


def _issuers_at(found: dict[str, _Batch], size: int) -> list[int]:
    return sorted({batch.issuer.id for batch in found.values() if batch.anchor == size})


def _anchor(
    connection: Connection,
    row: Any,
    log: Epoch,
    issuers: Sequence[int],
    finality: _Finality,
) -> EvidenceAnchor:
    size: int = row.size
    head = EvidenceHead(
        owner=bytes(row.owner),
        log_key_id=bytes(row.log_key_id),
        size=size - log.base,
        root=bytes(row.root),
        aux=bytes(row.aux),
        block=row.block,
    )
    pieces = _nodes(connection, size, [HEAD_SUBJECT, *issuers])
    return EvidenceAnchor(
        log.public_key, head, finality.headers[size], pieces, finality.of(connection, size)
    )


def _nodes(connection: Connection, size: int, subjects: Sequence[int]) -> tuple[bytes, ...]:
    """The trie nodes that prove these subjects in an anchor's state, each once."""
    found = connection.execute(_PROOFS, {"size": size, "subjects": subjects})
    lists = [bytes(row[0]) for row in found]
    digests = dict.fromkeys(
        digests[at : at + HASH] for digests in lists for at in range(0, len(digests), HASH)
    )
    stored = connection.execute(_NODES, {"digests": list(digests)})
    data = {bytes(digest): bytes(node) for digest, node in stored}
    return tuple(data[digest] for digest in digests)


def tree_levels(level: list[bytes]) -> list[list[bytes]]:
    """All levels of the RFC 9162 tree over leaf hashes, so that many paths cost one hashing."""
    levels = [level]
    while len(level) > 1:
        above = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = above + level[2 * len(above) :]
        levels.append(level)
    return levels


def tree_path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    """The inclusion path of a leaf: the sibling at each level where there is one."""
    path = []
    for level in levels[:-1]:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        index >>= 1
    return tuple(path)
