# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequencer makes blocks when it has to, survives crashes, clocks and hopeless transactions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import contracts
from node.application import Admitted
from node.chain import Chain
from node.db import LevelDB
from node.errors import ChainError, GenesisError, TransactionRefused
from node.genesis import GENESIS_FILE, Genesis, consortium, encode
from node.light import from_rpc as light_block_of
from node.light import keccak256, parse_time, verify_light_block
from node.mempool import LIFETIME_SECONDS, MAX_COUNT, NONCE_WINDOW, Mempool, NotTaken
from node.run import Node, StartError, listen
from node.sequencer import Sequencer
from tests.contracts.provinces import province
from tests.support.node_core import (
    MEMBER,
    OTHER_MEMBER,
    STRANGER,
    Call,
    address_of,
    calldata,
    register_log,
)
from tests.support.ordered import (
    KEY,
    SECOND,
    Clock,
    Crash,
    Ordered,
    Watched,
    ascending,
    founded,
    ordering,
)


@pytest.fixture(scope="module")
def genesis() -> Genesis:
    return founded()


def check_chain(ordered: Ordered) -> None:
    """Check what holds of every chain: linked, signed, growing times, app hashes as executed."""
    chain = ordered.application.chain
    light_blocks = [light_block_of(each) for each in ordered.light_blocks()]
    for each in light_blocks:
        verify_light_block(each, chain.genesis.cometbft_chain_id)
    headers = [each.header for each in light_blocks]
    assert [header.height for header in headers] == list(range(1, len(headers) + 1))
    assert ascending([header.time for header in headers])
    for before, after in pairwise(light_blocks):
        assert after.header.last_block_id == before.block_id
    for number in range(chain.head().block_number + 1):
        height = ordered.sequencer.height_of(number)
        assert height is not None
        assert headers[height - 1].app_hash == keccak256(chain.header_rlp(number))


def test_first_start_makes_an_empty_block_with_genesis_app_hash(
    tmp_path: Path, genesis: Genesis
) -> None:
    with ordering(tmp_path, genesis) as ordered:
        assert ordered.sequencer.height == 1
        assert ordered.sequencer.height_of(0) == 1
        assert ordered.application.chain.head().block_number == 0
        assert ordered.headers()[0].time == parse_time(genesis.time)
        check_chain(ordered)


def test_quiet_chain_makes_nothing_when_opened_again(tmp_path: Path, genesis: Genesis) -> None:
    for _ in range(2):
        with ordering(tmp_path, genesis) as ordered:
            ordered.sequencer.start()
            assert ordered.settle() == 1


def test_transaction_gives_a_block_and_the_empty_one_with_its_app_hash(
    tmp_path: Path, genesis: Genesis
) -> None:
    with ordering(tmp_path, genesis) as ordered:
        ordered.sequencer.start()
        (tx_hash,) = ordered.send(register_log().typed())
        assert ordered.settle() == 3
        assert ordered.application.chain.transaction_location(tx_hash) == (1, 0)
        assert ordered.sequencer.height_of(1) == 3
        assert ordered.sequencer.height_of(2) is None
        check_chain(ordered)


def test_burst_of_two_senders_out_of_order_is_one_block(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis) as ordered:
        names = ("one", "two", "three")
        mine = [register_log(n, name).typed() for n, name in enumerate(names)]
        ordered.send(mine[2], mine[0], register_log(0, "four", OTHER_MEMBER).typed(), mine[1])
        ordered.sequencer.start()
        assert ordered.settle() == 3
        assert len(ordered.application.chain.block_transactions(1)) == 4
        check_chain(ordered)


def test_gap_waits_until_it_is_closed(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis) as ordered:
        ordered.sequencer.start()
        ordered.send(register_log(1, "later").typed())
        assert ordered.settle() == 1
        ordered.send(register_log(0, "first").typed())
        ordered.settle()
        assert ordered.application.next_nonce(address_of(MEMBER)) == 2
        check_chain(ordered)


def test_times_grow_when_the_clock_jumps_back(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis, clock := Clock()) as ordered:
        ordered.sequencer.start()
        for nonce, jump in enumerate((60, -3000, -1, 5)):
            clock.now += jump * SECOND
            ordered.send(register_log(nonce, f"log {nonce}").typed())
            ordered.settle()
        assert ordered.application.chain.head().block_number == 4
        check_chain(ordered)


def test_times_grow_when_the_clock_is_set_back_between_runs(
    tmp_path: Path, genesis: Genesis
) -> None:
    for nonce, hours in enumerate((0, -2)):
        clock = Clock()
        clock.now += hours * 3600 * SECOND
        with ordering(tmp_path, genesis, clock) as ordered:
            ordered.sequencer.start()
            ordered.send(register_log(nonce, f"log {nonce}").typed())
            ordered.settle()
            check_chain(ordered)


# Where a power cut falls, at which height, and the EVM block and height found afterwards: the
# empty block that shows the app hash is made at once on opening.
CRASHES = [("crash_before", 2, 0, 1), ("crash_after", 2, 1, 3), ("crash_before", 3, 1, 3)]


@pytest.mark.parametrize(("fault", "height", "number", "height_after"), CRASHES)
def test_goes_on_after_a_crash(
    fault: str, height: int, number: int, height_after: int, tmp_path: Path, genesis: Genesis
) -> None:
    with ordering(tmp_path, genesis, faults={fault: height}) as ordered:
        ordered.send(register_log().typed())
        ordered.sequencer.start()
        ordered.settle()
        assert ordered.failed
        assert isinstance(ordered.sequencer.failure, Crash)
    with ordering(tmp_path, genesis) as ordered:
        assert ordered.application.chain.head().block_number == number
        assert ordered.sequencer.height == height_after
        check_chain(ordered)
        ordered.sequencer.start()
        ordered.send(register_log(number, "after").typed())
        assert ordered.settle() == height_after + 2
        check_chain(ordered)


def test_crash_at_the_very_first_block_leaves_nothing_half_done(
    tmp_path: Path, genesis: Genesis
) -> None:
    for fault in ("crash_before", "crash_after"):
        with pytest.raises(Crash), ordering(tmp_path, genesis, faults={fault: 1}):
            pass
    with ordering(tmp_path, genesis) as ordered:
        assert ordered.sequencer.height == 1
        check_chain(ordered)


def test_hopeless_transactions_are_dropped_and_the_chain_goes_on(
    tmp_path: Path, genesis: Genesis
) -> None:
    with ordering(tmp_path, genesis) as ordered:
        ordered.application.refuse = True
        ordered.send(register_log(0, "refused").typed())
        ordered.sequencer.start()
        ordered.settle()
        assert len(ordered.sequencer.mempool) == 0
        ordered.application.refuse = False
        ordered.send(register_log(0, "taken").typed())
        assert ordered.settle() == 3


def test_refused_transaction_says_why_and_leaves_no_trace(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis) as ordered:
        with pytest.raises(TransactionRefused, match="sender"):
            ordered.send(register_log(key=STRANGER).typed())
        assert len(ordered.sequencer.mempool) == 0


def test_same_transaction_again_is_the_same_hash(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis) as ordered:
        raw = register_log().typed()
        assert ordered.send(raw) == ordered.send(raw)
        assert len(ordered.sequencer.mempool) == 1


def test_key_of_another_validator_is_refused(tmp_path: Path, genesis: Genesis) -> None:
    database = LevelDB(tmp_path)
    application = Watched(Chain(database, genesis))
    with pytest.raises(GenesisError, match="not the key"):
        Sequencer(application, Ed25519PrivateKey.generate())
    database.close()


def test_two_validators_are_not_for_the_sequencer(tmp_path: Path, genesis: Genesis) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    two = replace(genesis, validators=(*genesis.validators, (other, 10)))
    database = LevelDB(tmp_path)
    with pytest.raises(GenesisError, match="one validator"):
        Sequencer(Watched(Chain(database, two)), KEY)
    database.close()


def test_consortium_is_not_for_the_sequencer_even_of_one(tmp_path: Path) -> None:
    members = [province(0).member]
    alone = consortium("test-0123456789abcdef", 5, "2025-11-22T08:26:40Z", members)
    database = LevelDB(tmp_path)
    with pytest.raises(GenesisError, match="with --comet"):
        Sequencer(Watched(Chain(database, alone)), province(0).validator_key)
    database.close()


def test_upgrade_that_is_not_known_ends_the_node_and_one_that_knows_it_goes_on(
    tmp_path: Path, genesis: Genesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heights 1 to 5 hold nothing, the proposal, nothing, the vote that decides, nothing."""
    plan = bytes([5]) * 32
    content = (
        contracts.kind_number("upgrade"),
        contracts.encode_payload("upgrade", height=6, plan=plan),
    )
    propose = calldata("propose(uint256,bytes,bytes)", *content, b"")
    vote = calldata("vote(uint256,bool,uint256,bytes)", 1, True, *content)
    later = register_log(1).typed()
    with ordering(tmp_path, genesis) as ordered:
        ordered.sequencer.start()
        for raw in (
            Call(data=propose, gas=1_000_000).typed(),
            Call(data=vote, gas=1_000_000, key=OTHER_MEMBER).typed(),
        ):
            ordered.send(raw)
            assert not ordered.failed
            ordered.settle()
        assert ordered.sequencer.height == 5
        ordered.send(later)
        ordered.settle()
        assert (ordered.failed, ordered.sequencer.height) == (True, 5)
        assert plan.hex() in str(ordered.sequencer.failure)
    (tmp_path / GENESIS_FILE).write_bytes(encode(genesis))
    with pytest.raises(StartError, match=f"height 6 .* plan {plan.hex()}"):
        Node(tmp_path, listen("127.0.0.1", 0))
    monkeypatch.setattr("node.governance.KNOWN_PLANS", frozenset({plan}))
    with ordering(tmp_path, genesis) as ordered:
        ordered.sequencer.start()
        ordered.send(later)
        assert ordered.settle() == 7


def test_height_that_is_not_there_is_named(tmp_path: Path, genesis: Genesis) -> None:
    with ordering(tmp_path, genesis) as ordered:
        for ask in (ordered.sequencer.light_block_json, ordered.sequencer.block_bytes):
            with pytest.raises(ChainError, match="height 2"):
                ask(2)


# The mempool alone


class Pool:
    """A mempool whose accounts' nonces and clock the test sets."""

    def __init__(self) -> None:
        self.nonces: dict[bytes, int] = {}
        self.now = 0.0
        self.mempool = Mempool(lambda sender: self.nonces.get(sender, 0), lambda: self.now)

    def add(self, sender: bytes, nonce: int, raw: bytes = b"") -> bytes:
        raw = raw or sender + nonce.to_bytes(4, "big")
        self.mempool.add(raw, Admitted(keccak256(raw), sender, nonce, 21_000))
        return keccak256(raw)


@pytest.fixture
def pool() -> Pool:
    return Pool()


def test_ready_are_runs_without_gaps_oldest_sender_first(pool: Pool) -> None:
    b0 = pool.add(b"b", 0)
    pool.now += 1
    a1 = pool.add(b"a", 1)
    assert pool.mempool.ready() == [b0]
    a0 = pool.add(b"a", 0)
    pool.add(b"b", 2)
    assert pool.mempool.ready() == [b0, a0, a1]


def test_window_and_taken_nonces_are_refused_with_the_reason(pool: Pool) -> None:
    pool.add(b"a", NONCE_WINDOW - 1)
    with pytest.raises(NotTaken, match=f"next is 0 and at most {NONCE_WINDOW}"):
        pool.add(b"a", NONCE_WINDOW)
    with pytest.raises(NotTaken, match="already waiting"):
        pool.add(b"a", NONCE_WINDOW - 1, b"another")
    assert len(pool.mempool) == 1


def test_count_and_bytes_are_bounded(pool: Pool) -> None:
    for i in range(MAX_COUNT):
        pool.add(i.to_bytes(4, "big"), 0)
    with pytest.raises(NotTaken, match="too many"):
        pool.add(b"one more", 0)
    pool = Pool()
    for i in range(16):
        pool.add(b"a", i, bytes([i]) * 1024 * 1024)
    with pytest.raises(NotTaken, match="too many"):
        pool.add(b"a", 16)
    pool.mempool.remove([keccak256(bytes(1024 * 1024))])
    pool.add(b"a", 16)


def test_what_waits_too_long_is_forgotten(pool: Pool) -> None:
    pool.add(b"a", 1)
    pool.now += LIFETIME_SECONDS + 1
    pool.add(b"a", 1, b"another")
    assert len(pool.mempool) == 1
    assert pool.mempool.get(keccak256(b"another")) == b"another"


def test_used_nonces_are_dropped(pool: Pool) -> None:
    pool.add(b"a", 0)
    a1 = pool.add(b"a", 1)
    pool.nonces[b"a"] = 1
    assert pool.mempool.ready() == [a1]
    assert len(pool.mempool) == 1
    pool.nonces[b"a"] = 2
    assert pool.mempool.ready() == []
    assert len(pool.mempool) == 0


def test_pending_nonce_counts_the_run_only(pool: Pool) -> None:
    assert pool.mempool.pending_nonce(b"a") == 0
    pool.add(b"a", 0)
    pool.add(b"a", 2)
    assert pool.mempool.pending_nonce(b"a") == 1
    pool.add(b"a", 1)
    assert pool.mempool.pending_nonce(b"a") == 3


def test_all_that_waits_can_be_taken_in_order(pool: Pool) -> None:
    for sender, nonce in ((b"a", 1), (b"b", 0), (b"a", 0), (b"b", 2)):
        pool.add(sender, nonce)
        pool.now += 1
    taken = pool.mempool.take()
    assert taken == [b"b\0\0\0\0", b"a\0\0\0\0", b"a\0\0\0\1"]
    assert (len(pool.mempool), pool.mempool.take()) == (0, [])
    assert pool.mempool.pending_nonce(b"a") == 0


def test_removing_what_is_not_there_is_nothing(pool: Pool) -> None:
    pool.mempool.remove([bytes(32)])
    assert pool.mempool.get(bytes(32)) is None
