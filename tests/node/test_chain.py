# SPDX-License-Identifier: GPL-3.0-or-later
"""That what was committed can be read and proven, by the rules of PROTOCOL §5, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth.constants import BLANK_ROOT_HASH, EMPTY_UNCLE_HASH
from eth.db.trie import make_trie_root_and_nodes
from eth.vm.message import Message
from eth_typing import Address
from eth_utils.exceptions import ValidationError

import contracts
from node.application import Application
from node.chain import STATE_KIND, Chain
from node.db import LevelDB
from node.errors import ChainError, StorageError, UnknownBlock
from node.genesis import encode
from node.light import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    EMPTY_TRIE_ROOT,
    TrieError,
    TrieNodes,
    keccak256,
    leaf_hash,
    parse_header,
    root,
    verify_ancestry,
)
from node.vm import MAX_ANCESTOR_DEPTH, MoneoVM
from tests.support.node_core import (
    ANCHOR_LOG,
    BLOCKHASH_PROBE,
    CONSORTIUM,
    FOUNDED,
    MEMBER,
    STRANGER,
    Head,
    add_probes,
    address_of,
    at,
    genesis,
    origin_hash,
    probe,
    register_log,
)

# More blocks than BLOCKHASH reaches back, so that both of its ends are among them.
LONG = MAX_ANCESTOR_DEPTH + 4
ASKED = [*range(8), 100, LONG - 2, LONG - 1, LONG, LONG + 1]


def commit(app: Application, *txs: bytes, time: int = 1) -> list[int]:
    results = app.finalize(app.info().height + 1, at(time), txs).results
    app.commit()
    return [result.code for result in results]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    db = LevelDB(tmp_path / "chain")
    yield Chain(db, genesis())
    db.close()


@pytest.fixture(scope="module")
def long_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Blocks 1 … LONG, each with one transaction; the last asks for BLOCKHASH of some."""
    db = LevelDB(tmp_path_factory.mktemp("long") / "chain")
    with pytest.MonkeyPatch.context() as patch:
        add_probes(patch)
        chain = Chain(db, genesis())
    app = Application(chain)
    for number in range(1, LONG):
        assert commit(app, probe(number - 1, nonce=number - 1).typed(), time=number) == [0]
    calls = [probe(word, nonce=LONG - 1 + index).typed() for index, word in enumerate(ASKED)]
    assert set(commit(app, *calls, time=LONG)) == {0}
    yield chain
    db.close()


class TestFounding:
    def test_genesis_header_has_the_constants_of_the_protocol(self, chain: Chain) -> None:
        assert chain.head().as_dict() == {
            **CONSTANT,
            "parent_hash": bytes(32),
            "block_number": 0,
            "state_root": chain.head().state_root,
            "transaction_root": BLANK_ROOT_HASH,
            "receipt_root": BLANK_ROOT_HASH,
            "bloom": 0,
            "gas_used": 0,
            "timestamp": FOUNDED,
            "extra_data": EMPTY_ROOT,
        }

    def test_contracts_stand_at_their_addresses(self, chain: Chain) -> None:
        state = chain.state_at(chain.head())
        for name, address in contracts.ADDRESSES.items():
            assert state.get_code(Address(address)) == contracts.runtime_code(name)
            assert state.get_code_hash(Address(address)) == contracts.code_hash(name)
            assert state.get_nonce(Address(address)) == 1
        slot = int.from_bytes(contracts.member_slot(address_of(MEMBER)), "big")
        assert state.get_storage(Address(CONSORTIUM), slot) == 1

    def test_reopened_chain_is_where_it_was(self, tmp_path: Path) -> None:
        db = LevelDB(tmp_path / "chain")
        app = Application(Chain(db, genesis()))
        commit(app, register_log().typed())
        commit(app, Head(0, 1).anchor(7, nonce=1).typed())
        before = app.info()
        following = app.finalize(3, at(9), [Head(7, 2).anchor(9, nonce=2).typed()])
        db.close()
        db = LevelDB(tmp_path / "chain")
        again = Application(Chain(db, genesis()))
        assert again.info() == before
        assert again.finalize(3, at(9), [Head(7, 2).anchor(9, nonce=2).typed()]) == following
        db.close()

    def test_folder_of_another_genesis_is_refused(self, chain: Chain) -> None:
        for other in (
            replace(genesis(), evm_chain_id=5),
            replace(genesis(), cometbft_chain_id="other"),
            replace(genesis(), members=genesis().members[:1]),
        ):
            with pytest.raises(ChainError, match="another genesis"):
                Chain(chain.db, other)

    def test_folder_of_another_version_or_program_is_refused(self, chain: Chain) -> None:
        chain.db[b"mformat"] = b"0"
        with pytest.raises(ChainError, match="another version or program"):
            Chain(chain.db, genesis())

    def test_folder_of_another_program_is_refused(self, tmp_path: Path) -> None:
        db = LevelDB(tmp_path / "other")
        db[b"k"] = b"v"
        with pytest.raises(ChainError, match="another version or program"):
            Chain(db, genesis())
        assert encode(genesis()) not in db
        db.close()

    def test_incomplete_folder_is_refused(self, chain: Chain) -> None:
        app = Application(chain)
        commit(app, register_log().typed())
        for key in (b"mhead", b"h" + (1).to_bytes(8, "big"), b"s" + chain.head().state_root):
            kept = chain.db[key]
            del chain.db[key]
            with pytest.raises(ChainError):
                Chain(chain.db, genesis())
            chain.db[key] = kept
        node = b"a" + b"\x01" + bytes(8)
        chain.db[b"a\0" + bytes(8)] = bytes(32)
        with pytest.raises(ChainError, match="damaged"):
            Chain(chain.db, genesis())
        del chain.db[node]
        with pytest.raises(ChainError):
            Chain(chain.db, genesis())

    def test_missing_node_of_the_newest_state_is_found_at_the_start_or_not_needed_for_it(
        self, tmp_path: Path
    ) -> None:
        db = LevelDB(tmp_path / "chain")
        Chain(db, genesis())
        missed = 0
        for key, value in list(db.scan()):
            if key.startswith(STATE_KIND):
                del db[key]
                try:
                    Chain(db, genesis())
                except ChainError:
                    missed += 1
                db[key] = value
        assert missed > 1
        Chain(db, genesis())
        db.close()

    def test_genesis_whose_member_is_a_contract_founds_nothing(self, tmp_path: Path) -> None:
        db = LevelDB(tmp_path / "chain")
        with pytest.raises(ChainError, match="members"):
            Chain(db, replace(genesis(), members=(ANCHOR_LOG,)))
        assert db.is_empty
        db.close()


CONSTANT: dict[str, Any] = {
    "uncles_hash": EMPTY_UNCLE_HASH,
    "coinbase": bytes(20),
    "difficulty": 0,
    "gas_limit": 3_000_000,
    "mix_hash": bytes(32),
    "nonce": bytes(8),
    "base_fee_per_gas": 0,
    "withdrawals_root": BLANK_ROOT_HASH,
    "blob_gas_used": 0,
    "excess_blob_gas": 0,
    "parent_beacon_block_root": bytes(32),
}


class TestBlocks:
    def test_every_header_follows_its_parent_by_the_rules(self, long_chain: Chain) -> None:
        for number in range(1, long_chain.head().block_number + 1):
            header, parent = long_chain.header(number), long_chain.header(number - 1)
            MoneoVM.validate_header(header, parent)
            assert header.parent_hash == parent.hash
            assert {name: header.as_dict()[name] for name in CONSTANT} == CONSTANT
            assert header.timestamp >= parent.timestamp

    @pytest.mark.parametrize(
        "change",
        [
            {"coinbase": bytes([1]) * 20},
            {"difficulty": 1},
            {"gas_limit": 3_000_001},
            {"gas_used": 3_000_001},
            {"mix_hash": bytes([1]) * 32},
            {"nonce": bytes([1]) * 8},
            {"base_fee_per_gas": 1},
            {"withdrawals_root": bytes(32)},
            {"blob_gas_used": 131_072},
            {"excess_blob_gas": 1},
            {"parent_beacon_block_root": bytes([1]) * 32},
            {"uncles_hash": bytes(32)},
            {"parent_hash": bytes(32)},
            {"block_number": 9},
            {"timestamp": FOUNDED + 99},
            {"extra_data": b""},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_header_against_the_rules_is_refused(
        self, long_chain: Chain, change: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError):
            MoneoVM.validate_header(long_chain.header(101).copy(**change), long_chain.header(100))

    def test_block_can_be_found_and_its_roots_follow_from_its_parts(self, chain: Chain) -> None:
        app = Application(chain)
        typed, legacy = register_log().typed(), register_log(nonce=1, name="b").legacy()
        assert commit(app, typed, legacy) == [0, 0]
        header = chain.header(1)
        assert header == chain.head() == chain.header_by_hash(header.hash)
        assert chain.number_of(header.hash) == 1
        assert chain.hash_of(1) == header.hash == keccak256(chain.header_rlp(1))
        transactions, receipts = chain.block_transactions(1), chain.receipts(1)
        assert [each.encode() for each in transactions] == [typed, legacy]
        assert make_trie_root_and_nodes(transactions)[0] == header.transaction_root
        assert make_trie_root_and_nodes(receipts)[0] == header.receipt_root
        assert receipts[-1].gas_used == header.gas_used
        assert receipts[0].bloom | receipts[1].bloom == header.bloom
        assert [chain.transaction_location(keccak256(raw)) for raw in (typed, legacy)] == [
            (1, 0),
            (1, 1),
        ]

    def test_header_is_read_alike_by_the_light_client(self, long_chain: Chain) -> None:
        header = long_chain.head()
        light = parse_header(long_chain.header_rlp(header.block_number))
        assert light.hash == header.hash
        assert light.state_root == header.state_root
        assert light.number == header.block_number
        assert light.extra_data == header.extra_data

    def test_unknown_blocks_and_transactions(self, chain: Chain) -> None:
        for number in (1, -1, 1 << 64):
            with pytest.raises(UnknownBlock):
                chain.header(number)
        with pytest.raises(UnknownBlock):
            chain.header_by_hash(bytes(32))
        assert chain.number_of(bytes(32)) is None
        assert chain.transaction_location(bytes(32)) is None
        with pytest.raises(UnknownBlock):
            chain.state_at(chain.head().copy(state_root=bytes([1]) * 32))
        with pytest.raises(UnknownBlock):
            chain.prove(chain.head().copy(state_root=bytes([1]) * 32), ANCHOR_LOG)

    def test_closed_folder_says_so(self, tmp_path: Path) -> None:
        db = LevelDB(tmp_path / "chain")
        chain = Chain(db, genesis())
        db.close()
        with pytest.raises(StorageError, match="closed"):
            chain.header(0)


class TestAncestry:
    def test_extra_data_is_the_root_over_all_earlier_hashes(self, long_chain: Chain) -> None:
        hashes: list[bytes] = []
        for number in range(long_chain.head().block_number + 1):
            header = long_chain.header(number)
            assert header.extra_data == root(hashes) == long_chain.ancestry_root(number)
            hashes.append(leaf_hash(header.hash))

    def test_every_header_proves_every_earlier_one(self, long_chain: Chain) -> None:
        for newer in [*range(1, 20), 128, 129, LONG - 1, LONG]:
            header = parse_header(long_chain.header_rlp(newer))
            for number in range(newer):
                path = long_chain.ancestry_path(number, newer)
                verify_ancestry(long_chain.hash_of(number), number, header, path)

    def test_no_header_proves_itself_or_a_later_one(self, long_chain: Chain) -> None:
        head = long_chain.head().block_number
        for number, newer in [(0, 0), (5, 5), (6, 5), (-1, 5), (0, head + 1), (0, -1)]:
            with pytest.raises(UnknownBlock):
                long_chain.ancestry_path(number, newer)
        for size in (-1, head + 2):
            with pytest.raises(UnknownBlock):
                long_chain.ancestry_root(size)


class TestBlockhash:
    def test_opcode_sees_its_256_ancestors_and_no_more(self, long_chain: Chain) -> None:
        state = long_chain.state_at(long_chain.head())
        for word in ASKED:
            within = LONG - MAX_ANCESTOR_DEPTH <= word < LONG
            expected = int.from_bytes(long_chain.hash_of(word), "big") if within else 0
            assert state.get_storage(Address(BLOCKHASH_PROBE), word) == expected, word

    def test_call_upon_an_old_block_sees_the_ancestors_of_that_block(
        self, long_chain: Chain
    ) -> None:
        for number in (1, 2, 257, 258):
            state = long_chain.state_at(long_chain.header(number))
            for word in (0, 1, number - 1, number):
                within = number - MAX_ANCESTOR_DEPTH <= word < number
                expected = long_chain.hash_of(word) if within else bytes(32)
                assert _call_blockhash(state, word) == expected

    def test_missing_ancestor_is_an_error_and_not_a_shorter_list(self, chain: Chain) -> None:
        app = Application(chain)
        commit(app, register_log().typed())
        commit(app, register_log(nonce=1, name="b").typed())
        del chain.db[b"c" + bytes(8)]
        with pytest.raises(UnknownBlock):
            _call_blockhash(chain.state_at(chain.head()), 0)


def _call_blockhash(state: Any, word: int) -> bytes:
    # PUSH2 word BLOCKHASH PUSH0 MSTORE PUSH1 32 PUSH0 RETURN
    code = b"\x61" + word.to_bytes(2, "big") + bytes.fromhex("40 5f 52 60 20 5f f3")
    message = Message(
        gas=100_000,
        to=Address(ANCHOR_LOG),
        sender=Address(bytes(20)),
        value=0,
        data=b"",
        code=code,
    )
    context = state.get_transaction_context_class()(gas_price=0, origin=Address(bytes(20)))
    return bytes(state.computation_class.apply_message(state, message, context).output)


class TestProofs:
    def test_anchored_head_is_proven_to_the_light_client(self, chain: Chain) -> None:
        app = Application(chain)
        commit(app, register_log().typed())
        assert commit(app, Head(0, 1).anchor(1_000, nonce=1).typed()) == [0]
        slot = contracts.head_slot(origin_hash())
        proof = chain.prove(chain.head(), ANCHOR_LOG, [slot])
        nodes = TrieNodes([*proof.nodes, *proof.storage[0].nodes])
        account = nodes.account(chain.head().state_root, ANCHOR_LOG)
        assert account is not None
        assert account.code_hash == contracts.code_hash("AnchorLog") == proof.code_hash
        value = nodes.slot(account.storage_root, slot)
        nodes.finish()
        assert value == Head(1_000, 2).commitment() == proof.storage[0].value.to_bytes(32, "big")

    def test_deep_storage_present_and_absent(self, long_chain: Chain) -> None:
        header = long_chain.head()
        for word in [0, 1, 77, LONG - 1, LONG, LONG + 50, 2**256 - 1]:
            slot = word.to_bytes(32, "big")
            proof = long_chain.prove(header, BLOCKHASH_PROBE, [slot])
            assert len(proof.storage[0].nodes) > 1
            nodes = TrieNodes([*proof.nodes, *proof.storage[0].nodes])
            account = nodes.account(header.state_root, BLOCKHASH_PROBE)
            assert account is not None
            value = nodes.slot(account.storage_root, slot)
            nodes.finish()
            stored = long_chain.state_at(header).get_storage(Address(BLOCKHASH_PROBE), word)
            assert int.from_bytes(value, "big") == stored == proof.storage[0].value

    def test_every_account_present_and_absent(self, long_chain: Chain) -> None:
        header = long_chain.head()
        absent = [address_of(STRANGER), *(bytes([n]) * 20 for n in range(40))]
        for address in [*contracts.ADDRESSES.values(), address_of(MEMBER), *absent]:
            proof = long_chain.prove(header, address)
            nodes = TrieNodes(proof.nodes)
            account = nodes.account(header.state_root, address)
            nodes.finish()
            if address in absent:
                assert account is None
                assert (proof.nonce, proof.balance) == (0, 0)
                assert proof.code_hash == EMPTY_CODE_HASH
                assert proof.storage_root == EMPTY_TRIE_ROOT
            else:
                assert account is not None
                assert (account.nonce, account.balance) == (proof.nonce, proof.balance)
                assert account.storage_root == proof.storage_root

    def test_slot_of_an_account_without_storage(self, long_chain: Chain) -> None:
        proof = long_chain.prove(long_chain.head(), address_of(MEMBER), [bytes(32)])
        assert proof.storage[0].nodes == ()
        assert proof.storage[0].value == 0
        assert proof.nonce == long_chain.state_at(long_chain.head()).get_nonce(
            Address(address_of(MEMBER))
        )

    def test_proof_in_an_older_state_holds_for_that_state_only(self, chain: Chain) -> None:
        app = Application(chain)
        commit(app, register_log().typed())
        old = chain.head()
        commit(app, Head(0, 1).anchor(5, nonce=1).typed())
        proof = chain.prove(old, ANCHOR_LOG, [contracts.head_slot(origin_hash())])
        assert proof.storage[0].value.to_bytes(32, "big") == Head(0, 1).commitment()
        with pytest.raises(TrieError):
            TrieNodes(proof.nodes).account(chain.head().state_root, ANCHOR_LOG)

    def test_flipped_nodes_are_refused(self, long_chain: Chain) -> None:
        header = long_chain.head()
        proof = long_chain.prove(header, ANCHOR_LOG)
        for position in range(len(proof.nodes)):
            nodes = list(proof.nodes)
            nodes[position] = nodes[position][:-1] + bytes([nodes[position][-1] ^ 1])
            with pytest.raises(TrieError):
                TrieNodes(nodes).account(header.state_root, ANCHOR_LOG)

    def test_node_and_code_are_found_by_their_hashes(self, chain: Chain) -> None:
        root_node = chain.prove(chain.head(), ANCHOR_LOG).nodes[0]
        assert chain.state_node(chain.head().state_root) == root_node
        code = contracts.runtime_code("AnchorLog")
        assert chain.state_node(keccak256(code)) == code
        assert chain.state_node(bytes(32)) is None

    def test_nodes_are_what_their_hashes_name(self, long_chain: Chain) -> None:
        proof = long_chain.prove(long_chain.head(), BLOCKHASH_PROBE, [bytes(32)])
        assert keccak256(proof.nodes[0]) == long_chain.head().state_root
        assert keccak256(proof.storage[0].nodes[0]) == proof.storage_root
        assert all(isinstance(rlp.decode(node), list) for node in proof.nodes)


class TestReading:
    def test_writing_in_a_read_state_changes_nothing(self, chain: Chain) -> None:
        before = dict(chain.db._db)
        state = chain.state_at(chain.head())
        state.set_storage(Address(ANCHOR_LOG), 1, 5)
        state.persist()
        assert state.state_root != chain.head().state_root
        assert dict(chain.db._db) == before
        assert chain.state_at(chain.head()).get_storage(Address(ANCHOR_LOG), 1) == 0

    def test_other_threads_read_while_blocks_are_executed(self, chain: Chain) -> None:
        app, done = Application(chain), threading.Event()

        def read() -> set[int]:
            seen: set[int] = set()
            while not done.is_set():
                header = chain.head()
                state = chain.state_at(header)
                assert state.get_nonce(Address(address_of(MEMBER))) == header.block_number
                assert chain.prove(header, address_of(MEMBER)).nonce == header.block_number
                assert chain.hash_of(header.block_number) == header.hash
                chain.ancestry_root(header.block_number)
                seen.add(header.block_number)
            return seen

        with ThreadPoolExecutor() as pool:
            readers = [pool.submit(read) for _ in range(3)]
            try:
                for nonce in range(15):
                    commit(app, register_log(nonce=nonce, name=f"log {nonce}").typed())
            finally:
                done.set()
            assert all(len(reader.result()) > 1 for reader in readers)

    def test_nested_json_raises_beside_the_evm_instead_of_ending_the_process(self) -> None:
        code = (
            "import json, threading, node.vm\n"
            "def read():\n"
            "    try: json.loads('[' * 90_000)\n"
            "    except RecursionError: print('raised')\n"
            "read(); other = threading.Thread(target=read); other.start(); other.join()\n"
        )
        seen = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert seen.stdout.split() == ["raised", "raised"]
