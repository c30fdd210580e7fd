# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what proves an anchor while the node still has it, so that evidence needs no node later.

For one EVM block: its header with the light block that carries it, the EIP-1186 proofs of the
log's head and of the issuers whose batches are new under it, and the hashes of all blocks before
it (PROTOCOL §5, ancestry). All of it is verified from the province's own trust file before it is
stored, in one transaction: what is in the tables proves what it says.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

import contracts
from anchor.finality import (
    await_final,
    carried_by,
    lead_on,
    needed,
    slot_value,
    storage_root,
    verified,
)
from anchor.onchain import ChainAnswerError, Head, IssuerState
from anchor.store import Store, ancestry, anchors, eras, nodes, proofs
from node.light import (
    CompactRange,
    EvmHeader,
    LightBlock,
    LightError,
    TrustedChain,
    encode_light_block,
    inclusion_ranges,
    keccak256,
    leaf_hash,
    node_hash,
    parse_light_block,
    verify_eras,
)

if TYPE_CHECKING:
    from anchor.chain import Chain

# An anchor's proof of head and accounts; issuers are numbered from 1.
HEAD_SUBJECT: Final = 0
# Block hashes that are stored in one transaction.
ANCESTRY_CHUNK: Final = 1_000
# A set of validators changes now and then; evidence of a time after many changes needs all of them.
_KEPT_ERAS: Final = 256
_ERAS: Final = select(eras.c.header, eras.c.light_block).order_by(eras.c.height)


@dataclass(frozen=True)
class KnownIssuer:
    """An issuer's number in the database, its key id, and the preimage of its slot."""

    id: int
    key_id: bytes
    state: IssuerState


@dataclass(frozen=True)
class Carried:
    """A light block, and the EVM header (RLP) that it carries."""

    header: bytes
    light_block: LightBlock


class Capturer:
    """Captures anchors of one log and chain into one database; `wait` sleeps or raises to stop.

    The log's sizes begin at `base` there (anchor.epochs).
    """

    def __init__(
        self,
        store: Store,
        chain: Chain,
        origin: bytes,
        wait: Callable[[float], None],
        base: int = 0,
    ) -> None:
        self._base = base
        self._store = store
        self._chain = chain
        self._origin = origin
        self._wait = wait

    def capture(
        self, trust: TrustedChain, head: Head, issuers: Sequence[KnownIssuer], block: int
    ) -> int:
        """Store what proves `head` and `issuers` in the state of `block`.

        Returns the consensus time (POSIX seconds) that now stands behind the anchor. An issuer
        whose slot is another there is left out. Raises ChainError; nothing is stored then.
        """
        answer = await_final(self._chain, block, self._wait)
        trust = lead_on(trust, self._chain)
        final = verified(answer, verify_eras(trust), block)
        self.keep_eras(trust)
        self._sync_ancestry(final.header)
        pieces = self._prove(final.header, head, issuers)
        with self._store.write() as connection:
            size = self._base + head.size
            _insert_proofs(connection, size, pieces)
            values = {
                "state": "anchored",
                "anchored_at": final.light_block.header.time.seconds,
                "header": final.header.raw,
                "light_block": pack(final.light_block),
            }
            connection.execute(update(anchors).where(anchors.c.size == size).values(values))
        return final.light_block.header.time.seconds

    def keep_eras(self, trust: TrustedChain) -> None:
        """Store the ends of eras that trust knows and the database does not, with their ancestors.

        What was anchored before the validators changed is then proven by the end of its own era,
        which every trust file of later on holds: nobody's retired keys can put another in its place.
        """
        with self._store.read() as connection:
            known = set(connection.execute(select(eras.c.height)).scalars())
        for light_block in trust.eras:
            if light_block.header.height not in known:
                header = carried_by(self._chain, light_block)
                self._sync_ancestry(header)
                height = light_block.header.height
                values = {"header": header.raw, "light_block": pack(light_block)}
                with self._store.write() as connection:
                    connection.execute(insert(eras).values(height=height, **values))

    def _prove(
        self, header: EvmHeader, head: Head, issuers: Sequence[KnownIssuer]
    ) -> dict[int, tuple[bytes, ...]]:
        """Return the trie nodes of each subject, every one verified and needed."""
        number = header.number
        slot = contracts.head_slot(self._origin)
        log = self._chain.proof("AnchorLog", [slot], number)
        slots = [contracts.issuer_slot(self._chain.address, one.key_id) for one in issuers]
        registry = self._chain.proof("IssuerRegistry", slots, number)
        try:
            log_root = storage_root(header, "AnchorLog", log)
            _check_slot(log_root, slot, log.slots[0], head.commitment())
            registry_root = storage_root(header, "IssuerRegistry", registry)
        except LightError as error:
            raise ChainAnswerError(f"nút trả lời sai · proof in block {number}: {error}") from error
        pieces = {HEAD_SUBJECT: _join(log.account, log.slots[0], registry.account)}
        for issuer, place, proof in zip(issuers, slots, registry.slots, strict=True):
            try:
                _check_slot(registry_root, place, proof, issuer.state.commitment())
            except LightError:
                continue
            pieces[issuer.id] = _join(proof)
        return pieces

    def _sync_ancestry(self, header: EvmHeader) -> None:
        """Store the hashes of all blocks below `header`, as far as they are not stored yet."""
        tree = load_ancestry(self._store)
        while tree.size < header.number:
            end = min(header.number, tree.size + ANCESTRY_CHUNK)
            rows: list[dict[str, Any]] = []
            while tree.size < end:
                block_hash = self._chain.block_hash(tree.size)
                for level, index, digest in tree.append(leaf_hash(block_hash)):
                    rows.append({"level": level, "index": index, "hash": digest})
            if end == header.number:
                self._check_ancestry(tree, header)
            with self._store.write() as connection:
                connection.execute(insert(ancestry), rows)

    def _check_ancestry(self, tree: CompactRange, header: EvmHeader) -> None:
        if tree.root() != header.extra_data:
            # Some hash was wrong, now or before: begin anew next time.
            with self._store.write() as connection:
                connection.execute(delete(ancestry))
            raise ChainAnswerError(
                f"nút trả lời sai · the blocks before {header.number} are not its ancestors"
            )


def pack(block: LightBlock) -> bytes:
    """A light block as it is stored: the compact evidence form, compressed."""
    text = json.dumps(encode_light_block(block), separators=(",", ":"))
    return zlib.compress(text.encode())


def unpack(stored: bytes) -> LightBlock:
    """The inverse of `pack`."""
    return parse_light_block(json.loads(zlib.decompress(stored)))


def stored_eras(connection: Connection) -> tuple[Carried, ...]:
    """The eras' ends as far as they are captured, oldest first."""
    return tuple(
        Carried(bytes(row[0]), _unpacked(bytes(row[1]))) for row in connection.execute(_ERAS)
    )


@lru_cache(maxsize=_KEPT_ERAS)
def _unpacked(stored: bytes) -> LightBlock:
    return unpack(stored)


def load_ancestry(store: Store) -> CompactRange:
    """The right border of the stored tree over block hashes."""
    with store.read() as connection:
        top = connection.execute(
            select(func.max(ancestry.c.index)).where(ancestry.c.level == 0)
        ).scalar_one()
        size = 0 if top is None else top + 1
        return CompactRange(size, [_subtree(connection, *at) for at in _perfect(0, size)])


def ancestry_path(connection: Connection, number: int, of_number: int) -> list[bytes]:
    """The inclusion path of block `number` in the `extra_data` of block `of_number`, as stored."""
    path = []
    for start, end in inclusion_ranges(number, of_number):
        hashes = [_subtree(connection, *at) for at in _perfect(start, end)]
        root = hashes.pop()
        while hashes:
            root = node_hash(hashes.pop(), root)
        path.append(root)
    return path


def _subtree(connection: Connection, level: int, index: int) -> bytes:
    place = (ancestry.c.level == level, ancestry.c.index == index)
    return bytes(connection.execute(select(ancestry.c.hash).where(*place)).scalar_one())


def _perfect(start: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield (level, index) of the perfect subtrees, from the left, that make up a subtree."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _check_slot(root: bytes, slot: bytes, proof: Sequence[bytes], expected: bytes) -> None:
    if slot_value(root, slot, proof) != expected:
        raise LightError("a slot does not hold what was anchored")


def _join(*parts: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(node for part in parts for node in needed(part)))


def _insert_proofs(connection: Connection, size: int, pieces: dict[int, tuple[bytes, ...]]) -> None:
    connection.execute(delete(proofs).where(proofs.c.size == size))
    pool = {keccak256(node): node for piece in pieces.values() for node in piece}
    for digest, node in pool.items():
        known = select(nodes.c.hash).where(nodes.c.hash == digest)
        if connection.execute(known).first() is None:
            connection.execute(insert(nodes).values(hash=digest, data=node))
    for subject, piece in pieces.items():
        digests = b"".join(map(keccak256, piece))
        connection.execute(insert(proofs).values(size=size, subject=subject, nodes=digests))
