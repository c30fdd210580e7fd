# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a node's whole folder and names what is not as it was written; changes nothing.

The chain is checked on a copy of its files as they are at this moment, so that a node may go on
running and LevelDB, which mends a log when it opens it, leaves the damage where it can be seen.
Every value is read with its checksum; every state node and block is hashed again; headers are
followed from genesis, with their transactions, receipts, ancestors, light blocks and votes; the
newest state is walked to its leaves. Where CometBFT orders, blocks and votes are in its own store:
then the program is looked at, and asked whether it reaches this application.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import rlp
from eth.db.trie import make_trie_root_and_nodes

import contracts
from node.abci.client import Client, CometRefused, CometSilent
from node.abci.home import FOLDER as COMET_FOLDER
from node.abci.home import RPC_SOCKET
from node.abci.process import CometMissing, check_version, find_program
from node.backup import copy_chain, link
from node.blocks import validators_of
from node.card import cards
from node.chain import STATE_KIND, Chain
from node.db import LevelDB
from node.errors import ChainError, GenesisError, NodeError
from node.genesis import CHAIN_FOLDER, Genesis, load, load_validator_key
from node.light import (
    EMPTY_CODE_HASH,
    EMPTY_TRIE_ROOT,
    CompactRange,
    LightBlock,
    LightError,
    from_rpc,
    keccak256,
    leaf_hash,
    parts_of,
    results_hash,
    verify_light_block,
)
from node.sequencer import block_key, final_key, light_key
from node.signed import SignedFile

State = Literal["good", "damaged", "unknown"]
# Called with how much is done and how much there is, 0 if that is not known.
Progress = Callable[[int, int], None]
_ASK_SECONDS: Final = 5.0
_HASH: Final = 32
_REPORT_EVERY: Final = 256
_LEAF_PARTS: Final = 2
# RLP of a branch's empty child.
_NOTHING: Final = b""


class Finding(NamedTuple):
    """The answer of one check: `vi` and `en` say what was found, and what to do."""

    what: str
    state: State
    vi: str
    en: str


@dataclass
class Found:
    """What the checks of a node found, and the hashes of its blocks for whoever compares them."""

    findings: list[Finding]
    hashes: list[bytes]


def check(home: Path, progress: Progress = lambda _done, _all: None) -> Found:
    """Check the node's folder, whether or not its node is running."""
    found = Found([], [])
    if not home.exists():
        found.findings.append(
            Finding("node", "unknown", "nút không ở đây", "the node is not kept here")
        )
        return found
    try:
        genesis = load(home)
        _check_key(home, genesis)
    except NodeError as error:
        found.findings.append(_damaged("keys", error, "khôi phục", "restore it from a backup"))
        return found
    found.findings.append(
        Finding("node", "good", "tệp lập chuỗi và khóa khớp nhau", "genesis and key fit each other")
    )
    found.findings += _check_chain(home, genesis, found.hashes, progress)
    if (home / COMET_FOLDER).exists():
        found.findings += [_check_program(), _check_running(home)]
    return found


def _check_program() -> Finding:
    try:
        program = find_program()
        version = check_version(program)
    except CometMissing as error:
        return Finding("CometBFT", "damaged", "thiếu hoặc sai phiên bản", str(error))
    where = f"{version}, {program}"
    return Finding("CometBFT", "good", where, where)


def _check_running(home: Path) -> Finding:
    """Ask CometBFT how it does, and to ask the application how that does."""
    what, client = "consensus", Client(home / COMET_FOLDER / RPC_SOCKET, _ASK_SECONDS)
    try:
        status, peers = client.ask("status"), client.ask("net_info")
        height, count = status["sync_info"]["latest_block_height"], peers["n_peers"]
    except (CometSilent, CometRefused, KeyError, TypeError) as error:
        return Finding(
            what, "unknown", "CometBFT không chạy", f"CometBFT is not running here: {error}"
        )
    try:
        client.ask("abci_info")
    except (CometSilent, CometRefused) as error:
        return Finding(
            what,
            "damaged",
            "CometBFT không gọi được ứng dụng: dừng nút rồi chạy lại",
            f"CometBFT cannot reach the application ({error}): stop the node and run it again",
        )
    return Finding(
        what,
        "good",
        f"độ cao {height}, nối với {count} nút",
        f"height {height}, connected to {count} peers, the application answers",
    )


def _check_key(home: Path, genesis: Genesis) -> None:
    """Where votes govern the validators, whose key it is stands in the state (`_check_member`)."""
    public_key = load_validator_key(home).public_key().public_bytes_raw()
    if not genesis.records and public_key not in [each for each, _ in genesis.validators]:
        raise ChainError("validator.key is not a validator's of genesis.json")


def _check_chain(
    home: Path, genesis: Genesis, hashes: list[bytes], progress: Progress
) -> list[Finding]:
    """Return what is found of the chain and, of a consortium's, of this member and the others' cards."""
    members: list[contracts.Member] = []
    finding = _check_blocks(home, genesis, hashes, members, progress)
    if finding.state != "good" or not genesis.records:
        return [finding]
    return [finding, _check_member(home, members), _check_cards(home, members)]


def _check_member(home: Path, members: Sequence[contracts.Member]) -> Finding:
    public_key = load_validator_key(home).public_key().public_bytes_raw()
    if public_key in [each.validator_key for each in members]:
        vi, en = "khóa của nút này ký cho một thành viên", "this node's key signs for a member"
        return Finding("member", "good", vi, en)
    return Finding(
        "member",
        "unknown",
        "theo chuỗi ở đây, khóa này chưa (hoặc không còn) là của thành viên nào",
        "as far as the chain is here, validator.key is no member's yet, or no more",
    )


def _check_cards(home: Path, members: Sequence[contracts.Member]) -> Finding:
    try:
        kept = {each.member.account for each in cards(home)}
    except GenesisError as error:
        return _damaged("cards", error, "xin lại phiếu", "get that member's card again")
    missing = sum(each.account not in kept for each in members)
    if missing:
        return Finding(
            "cards",
            "unknown",
            f"thiếu phiếu của {missing} thành viên: nút này không tự gọi họ",
            f"{missing} members' cards are not here: this node does not call them by itself",
        )
    return Finding("cards", "good", f"đủ {len(members)} phiếu", f"all {len(members)} are here")


def _check_blocks(
    home: Path,
    genesis: Genesis,
    hashes: list[bytes],
    members: list[contracts.Member],
    progress: Progress,
) -> Finding:
    if not (home / CHAIN_FOLDER).exists() and not SignedFile(home, "").path.exists():
        return Finding(
            "chain", "unknown", "chuỗi chưa chạy lần nào", "the chain has never been run"
        )
    try:
        # Before the chain: what was signed since then may already be in the copy.
        signed = SignedFile(home, genesis.cometbft_chain_id).load()
        with _opened(home, genesis) as chain:
            walk = _Walk(chain, genesis, progress, by_comet=(home / COMET_FOLDER).exists())
            walk.run()
            hashes += walk.hashes
            members += chain.consortium.members
            height = chain.height()
    except (NodeError, LightError, LookupError, ValueError, TypeError, rlp.RLPException) as error:
        return _damaged(
            "chain",
            error,
            "dừng nút và khôi phục node/ từ bản sao lưu mới nhất",
            "stop the node and restore node/ from the newest backup",
        )
    except OSError as error:
        return Finding(
            "chain",
            "unknown",
            f"không đọc được: {error.strerror}",
            f"{error.filename} can't be read: {error.strerror}",
        )
    if signed is not None and signed.height > height + 1:
        return Finding(
            "chain",
            "damaged",
            f"chuỗi dừng ở độ cao {height}, nút đã ký đến {signed.height}: khôi phục node/ từ bản sao lưu",
            f"the chain ends at height {height} and its validator has signed up to {signed.height}: "
            "restore node/ from the newest backup",
        )
    return Finding(
        "chain",
        "good",
        f"{len(hashes)} khối EVM, độ cao {height}, mọi chữ ký và trạng thái đều khớp",
        f"{len(hashes)} EVM blocks, height {height}, every vote and state bears out",
    )


@contextmanager
def _opened(home: Path, genesis: Genesis) -> Iterator[Chain]:
    """Open a copy of the chain as it is now, beside it where that takes no room."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=_writable(home)) as folder:
        copy_chain(home / CHAIN_FOLDER, Path(folder) / CHAIN_FOLDER, link)
        database = LevelDB(Path(folder) / CHAIN_FOLDER)
        try:
            yield Chain(database, genesis)
        finally:
            database.close()


def _writable(home: Path) -> Path | None:
    try:
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError:
        return None


class _Walk:
    """One pass over a chain's data; whatever is wrong raises and names the place."""

    def __init__(self, chain: Chain, genesis: Genesis, progress: Progress, by_comet: bool) -> None:
        self._chain = chain
        self._genesis = genesis
        # CometBFT keeps its light blocks itself; a chain of the sequencer has its first.
        self._elsewhere = by_comet and chain.get_extra(light_key(1)) is None
        self._progress = progress
        self.hashes: list[bytes] = []

    def run(self) -> None:
        self._read_all()
        self._follow_blocks()
        if not self._elsewhere:
            self._follow_heights()
        self._check_finals(self._chain.height())
        self._walk_state()

    def _read_all(self) -> None:
        for count, (key, value) in enumerate(self._chain.db.scan()):
            if key.startswith(STATE_KIND) and keccak256(value) != key[1:]:
                raise ChainError(f"state node {key[1:].hex()} is not what its hash says")
            self._tell(count, 0)

    def _follow_blocks(self) -> None:
        chain, ancestry, parent = self._chain, CompactRange(), bytes(_HASH)
        head = chain.head().block_number
        for number in range(head + 1):
            header, encoded = chain.header(number), chain.header_rlp(number)
            block_hash = keccak256(encoded)
            _require(chain.hash_of(number) == block_hash, f"the hash of block {number}")
            _require(chain.number_of(block_hash) == number, f"the number of block {number}")
            _require(header.block_number == number, f"the header of block {number}")
            if number:
                limit = chain.gas_limit_after(chain.header(number - 1))
                _require(header.gas_limit == limit, f"the gas limit of block {number}")
            _require(header.parent_hash == parent, f"the parent of block {number}")
            _require(header.extra_data == ancestry.root(), f"the ancestors of block {number}")
            _require(chain.ancestry_root(number) == ancestry.root(), "the tree of ancestors")
            self._check_contents(number)
            ancestry.append(leaf_hash(block_hash))
            self.hashes.append(block_hash)
            parent = block_hash
            self._tell(number, head)

    def _check_contents(self, number: int) -> None:
        chain, header = self._chain, self._chain.header(number)
        transactions = chain.block_transactions(number)
        root, _ = make_trie_root_and_nodes(tuple(transactions))
        _require(root == header.transaction_root, f"the transactions of block {number}")
        root, _ = make_trie_root_and_nodes(tuple(chain.receipts(number)))
        _require(root == header.receipt_root, f"the receipts of block {number}")
        for index, each in enumerate(transactions):
            place = chain.transaction_location(each.hash)
            _require(place == (number, index), f"where transaction {each.hash.hex()} is")

    def _follow_heights(self) -> None:
        known = validators_of(self._genesis)
        last, height = self._chain.height(), 0
        before: LightBlock | None = None
        for height in range(1, last + 1):
            record = json.loads(self._extra(light_key(height), f"light block {height}"))
            block = from_rpc(record["light_block"])
            verify_light_block(block, self._genesis.cometbft_chain_id)
            _require(block.header.height == height, f"light block {height}")
            _require(block.validators == known, f"the validators of light block {height}")
            if before is not None:
                _require(
                    block.header.last_block_id == before.block_id, f"light block {height}'s parent"
                )
            parts = parts_of(self._extra(block_key(height), f"the block of height {height}"))
            wanted = (block.block_id.parts_total, block.block_id.parts_hash)
            _require(parts == wanted, f"the block of height {height}")
            _require(len(bytes.fromhex(record["results_hash"])) == len(results_hash(())), "results")
            before = block
            self._tell(height, last)

    def _check_finals(self, last: int) -> None:
        """Each EVM block, but for a newest one, is shown by the header of the height noted for it."""
        before = 0
        for number, block_hash in enumerate(self.hashes):
            stored = self._chain.get_extra(final_key(number))
            if stored is None:
                _require(number == len(self.hashes) - 1, f"where block {number} is final")
                return
            height = int.from_bytes(stored, "big")
            _require(before < height <= last, f"where block {number} is final")
            before = height
            if self._elsewhere:
                continue
            record = json.loads(self._extra(light_key(height), f"light block {height}"))
            shown = from_rpc(record["light_block"]).header.app_hash
            _require(shown == block_hash, f"where block {number} is final")

    def _walk_state(self) -> None:
        """Find every node, account and code of the newest state."""
        waiting: list[tuple[bytes, bool]] = [(self._chain.head().state_root, True)]
        seen = 0
        while waiting:
            digest, has_accounts = waiting.pop()
            if digest == EMPTY_TRIE_ROOT:
                continue
            for value in _children(rlp.decode(self._node(digest)), waiting, has_accounts):
                _, _, storage, code = rlp.decode(value)
                waiting.append((storage, False))
                if code != EMPTY_CODE_HASH:
                    self._node(code)
            seen += 1
            self._tell(seen, 0)

    def _node(self, digest: bytes) -> bytes:
        node = self._chain.state_node(digest)
        if node is None:
            raise ChainError(f"state node {digest.hex()} is missing")
        return node

    def _extra(self, key: bytes, what: str) -> bytes:
        stored = self._chain.get_extra(key)
        if stored is None:
            raise ChainError(f"{what} is missing")
        return stored

    def _tell(self, done: int, total: int) -> None:
        if done % _REPORT_EVERY == 0:
            self._progress(done, total)


def _children(
    node: Sequence[Any], waiting: list[tuple[bytes, bool]], has_accounts: bool
) -> Iterator[bytes]:
    """Note the nodes below one of a trie (Yellow Paper, appendix D); yield its accounts."""
    if len(node) == _LEAF_PARTS:
        path, below = node
        is_leaf = path[0] & 0x20
        if is_leaf and has_accounts:
            yield below
        children = () if is_leaf else (below,)
    else:
        children = tuple(node[:-1])
    for child in children:
        if isinstance(child, list):
            yield from _children(child, waiting, has_accounts)
        elif child != _NOTHING:
            waiting.append((child, has_accounts))


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ChainError(f"{what} is not what it was")


def _damaged(what: str, error: Exception, vi: str, en: str) -> Finding:
    return Finding(what, "damaged", f"hỏng ({error}): {vi}", f"damaged ({error}): {en}")
