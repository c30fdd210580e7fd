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
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

import contracts
from anchor.chain import AccountProof, Chain, ChainAnswerError, ChainError, Head, IssuerState
from anchor.store import (
    Store,
    ancestry,
    anchors,
    get_meta,
    nodes,
    proofs,
    set_meta,
)
from node.light import (
    CompactRange,
    EvmHeader,
    LightBlock,
    LightError,
    TrieNodes,
    TrustedChain,
    encode_light_block,
    inclusion_ranges,
    keccak256,
    leaf_hash,
    minimal,
    node_hash,
    parse_header,
    parse_light_block,
    verify_eras,
)

# An anchor's proof of head and accounts; issuers are numbered from 1.
HEAD_SUBJECT: Final = 0
FINAL_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
# Block hashes that are stored in one transaction.
ANCESTRY_CHUNK: Final = 1_000
_SHORT_NODE: Final = 32


@dataclass(frozen=True)
class KnownIssuer:
    """An issuer's number in the database, its key id, and the preimage of its slot."""

    id: int
    key_id: bytes
    state: IssuerState


@dataclass(frozen=True)
class FinalState:
    """A verified header with the minimal light block that carries it."""

    header: EvmHeader
    light_block: LightBlock
    eras: tuple[LightBlock, ...]


class Capturer:
    """Captures anchors of one chain into one database; `wait` sleeps or raises to stop."""

    def __init__(
        self, store: Store, chain: Chain, origin: bytes, wait: Callable[[float], None]
    ) -> None:
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
        final = self._final(trust, block)
        self._sync_ancestry(final.header)
        pieces = self._prove(final.header, head, issuers)
        with self._store.write() as connection:
            _insert_proofs(connection, head.size, pieces)
            _store_eras(connection, final.eras)
            values = {
                "state": "anchored",
                "anchored_at": final.light_block.header.time.seconds,
                "header": final.header.raw,
                "light_block": pack(final.light_block),
            }
            connection.execute(update(anchors).where(anchors.c.size == head.size).values(values))
        return final.light_block.header.time.seconds

    def _final(self, trust: TrustedChain, block: int) -> FinalState:
        """Wait for the light block of an EVM block and verify it from trust."""
        waited = 0.0
        while (answer := self._chain.light_block(block)) is None:
            if waited > FINAL_SECONDS:
                raise ChainError(
                    f"khối chưa được chốt · block {block} is not final after {FINAL_SECONDS:.0f} s"
                )
            self._wait(POLL_SECONDS)
            waited += POLL_SECONDS
        eras = tuple(minimal(era) for era in self._chain.eras())
        try:
            light_block = minimal(answer.light_block)
            verify_eras(trust, eras).finality(light_block)
            header = parse_header(answer.header)
        except LightError as error:
            raise ChainAnswerError(
                f"nút trả lời sai · light block of block {block}: {error}"
            ) from error
        if header.hash != light_block.header.app_hash or header.number != block:
            raise ChainAnswerError(
                f"nút trả lời sai · light block of block {block} carries another header"
            )
        return FinalState(header, light_block, eras)

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
            log_root = _storage_root(header, "AnchorLog", log)
            _check_slot(log_root, slot, log.slots[0], head.commitment())
            registry_root = _storage_root(header, "IssuerRegistry", registry)
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


def stored_eras(connection: Connection) -> tuple[LightBlock, ...]:
    """The light blocks at which the validators change, as last captured."""
    stored = get_meta(connection, "eras")
    return tuple(map(parse_light_block, json.loads(stored))) if stored else ()


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


def _storage_root(header: EvmHeader, contract: str, proof: AccountProof) -> bytes:
    pool = TrieNodes(_needed(proof.account))
    account = pool.account(header.state_root, contracts.ADDRESSES[contract])
    pool.finish()
    if account is None or account.code_hash != contracts.code_hash(contract):
        raise ChainAnswerError(
            f"hợp đồng không đúng · {contract} is not at its address, or another version of it"
        )
    return account.storage_root


def _check_slot(root: bytes, slot: bytes, proof: Sequence[bytes], expected: bytes) -> None:
    pool = TrieNodes(_needed(proof))
    value = pool.slot(root, slot)
    pool.finish()
    if value != expected:
        raise LightError("a slot does not hold what was anchored")


def _needed(proof: Sequence[bytes]) -> list[bytes]:
    """Leave out nodes that lie inside their parents, which some servers list once more."""
    return [node for at, node in enumerate(proof) if at == 0 or len(node) >= _SHORT_NODE]


def _join(*parts: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(node for part in parts for node in _needed(part)))


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


def _store_eras(connection: Connection, eras: Sequence[LightBlock]) -> None:
    if eras:
        text = json.dumps([encode_light_block(era) for era in eras], separators=(",", ":"))
        set_meta(connection, "eras", text.encode())
