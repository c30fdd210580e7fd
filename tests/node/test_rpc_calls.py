# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls run apart: what never ends is ended, and no block waits for it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import contracts
import node.calls
from node.calls import (
    Call,
    CallFailed,
    CallPool,
    CallReverted,
    CallsBusy,
    CallStopped,
    Channel,
    ChannelClosed,
)
from node.errors import UnknownBlock
from tests.support.node_core import (
    ANCHOR_LOG,
    CONSORTIUM,
    MEMBER,
    STRANGER,
    address_of,
    calldata,
    origin_hash,
    register_log,
)
from tests.support.ordered import Ordered, founded, ordering

GAS = 3_000_000
SECONDS = 1.0
# EIP-152: rounds, state, message, offset, last block. As many rounds as the gas of a block pays,
# some twenty seconds of py-evm.
BLAKE2F = (2_900_000).to_bytes(4, "big") + bytes(64 + 128 + 16) + b"\1"


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordered]:
    with ordering(tmp_path_factory.mktemp("chain"), founded()) as ordered:
        ordered.sequencer.start()
        yield ordered


@pytest.fixture(scope="module")
def pool(ordered: Ordered) -> Iterator[CallPool]:
    pool = CallPool(ordered.application.chain, workers=1, seconds=SECONDS)
    yield pool
    pool.close()


def call(to: bytes | None, data: bytes = b"", gas: int = GAS, value: int = 0) -> Call:
    return Call(to, address_of(STRANGER), data, value, gas)


IS_MEMBER = call(CONSORTIUM, calldata("is_member(address)", address_of(MEMBER).hex()))
REGISTERING = Call(CONSORTIUM, address_of(MEMBER), register_log().data, 0, GAS)
BLAKE = call((9).to_bytes(20, "big"), BLAKE2F)


def test_call_reads_the_state_of_its_block(pool: CallPool) -> None:
    assert pool.call(IS_MEMBER, 0) == (1).to_bytes(32, "big")


def test_call_leaves_nothing_behind(pool: CallPool) -> None:
    # TSTORE and SSTORE of 1 in slot 0, then both are read before: they have to be 0.
    code = bytes.fromhex("5f54 5f5c 01 5f52 6001 5f55 6001 5f5d 6020 5f f3")
    assert [pool.call(call(None, code), 0) for _ in range(2)] == [bytes(32)] * 2


def test_revert_and_failure_are_told_apart(pool: CallPool) -> None:
    with pytest.raises(CallReverted) as caught:
        pool.call(call(CONSORTIUM, register_log().data), 0)
    assert b"not a member" in caught.value.data
    with pytest.raises(CallFailed, match=r"(?i)gas"):
        pool.call(call(None, bytes.fromhex("5b5f56"), gas=100_000), 0)


def test_unknown_block_is_said(pool: CallPool) -> None:
    with pytest.raises(UnknownBlock):
        pool.call(IS_MEMBER, 10**6)


def test_estimate_is_enough_and_not_much_more(pool: CallPool) -> None:
    registration = Call(CONSORTIUM, address_of(MEMBER), register_log().data, 0, 1_000_000)
    estimate = pool.estimate(registration, 0)
    at = Call(CONSORTIUM, address_of(MEMBER), register_log().data, 0, estimate)
    pool.call(at, 0)
    with pytest.raises(CallFailed):
        pool.call(Call(at.to, at.sender, at.data, 0, int(estimate * 0.95)), 0)
    # Plain value transfer of nothing.
    assert pool.estimate(call(address_of(MEMBER), gas=1_000_000), 0) == 21_000


def test_access_list_is_what_the_call_touches(pool: CallPool) -> None:
    found = pool.access_list(REGISTERING, 0)
    listed = dict(found.accesses)
    assert set(listed) == {CONSORTIUM, ANCHOR_LOG}
    assert contracts.member_slot(address_of(MEMBER)) in listed[CONSORTIUM]
    assert contracts.head_slot(origin_hash()) in listed[ANCHOR_LOG]
    assert found.error is None
    with_list = replace(REGISTERING, access_list=found.accesses)
    # A call keeps 1/64 of its gas for itself (EIP-150).
    pool.call(replace(with_list, gas=found.gas_used * 102 // 100), 0)
    with pytest.raises(CallFailed):
        pool.call(replace(with_list, gas=found.gas_used * 95 // 100), 0)
    assert pool.access_list(with_list, 0) == found


def test_access_list_leaves_out_what_is_warm_from_the_start(pool: CallPool) -> None:
    # BALANCE of the caller, of itself and of a precompile.
    code = bytes.fromhex("33315030315060043150")
    assert [a for a, s in pool.access_list(call(None, code), 0).accesses if s] == []
    assert pool.access_list(call(address_of(MEMBER)), 0).accesses == ()
    assert pool.access_list(call(address_of(MEMBER)), 0).gas_used == 21_000


def test_access_list_of_a_call_that_fails_says_why(pool: CallPool) -> None:
    reverting = pool.access_list(call(CONSORTIUM, register_log().data), 0)
    assert reverting.error == "execution reverted"
    assert contracts.member_slot(address_of(STRANGER)) in dict(reverting.accesses)[CONSORTIUM]
    # JUMPDEST, PUSH0, JUMP: for ever.
    endless = pool.access_list(call(None, bytes.fromhex("5b5f56"), gas=100_000), 0)
    assert endless.error is not None
    with pytest.raises(CallStopped):
        pool.access_list(BLAKE, 0)


def test_endless_call_is_ended_and_its_worker_replaced(pool: CallPool) -> None:
    (before,) = pool.pids()
    started = time.monotonic()
    with pytest.raises(CallStopped, match="at most 1 s"):
        pool.call(BLAKE, 0)
    assert time.monotonic() - started < SECONDS + 2
    (after,) = pool.pids()
    assert after != before
    assert not Path(f"/proc/{before}").exists()
    assert pool.call(IS_MEMBER, 0)


def test_blocks_go_on_while_calls_do_not_end(ordered: Ordered) -> None:
    pool = CallPool(ordered.application.chain, workers=2, seconds=30)
    pool.call(IS_MEMBER, 0)
    try:
        with ThreadPoolExecutor() as threads:
            endless = [threads.submit(pool.call, BLAKE, 0) for _ in range(2)]
            started = time.monotonic()
            ordered.send(register_log().typed())
            ordered.settle()
            assert time.monotonic() - started < 5
            assert not any(each.done() for each in endless)
            pool.close()
            for each in endless:
                assert isinstance(each.exception(), CallStopped)
    finally:
        pool.close()


def test_calls_in_vain_for_a_worker_are_turned_away(
    ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.calls, "QUEUE_SECONDS", 0.05)
    pool = CallPool(ordered.application.chain, workers=0)
    with pytest.raises(CallsBusy):
        pool.call(IS_MEMBER, 0)
    pool.close()


def test_dead_worker_is_replaced(pool: CallPool) -> None:
    (before,) = pool.pids()
    os.kill(before, 9)
    with pytest.raises(CallStopped):
        pool.call(IS_MEMBER, 0)
    assert pool.call(IS_MEMBER, 0) == (1).to_bytes(32, "big")


def test_closed_pool_has_no_processes(ordered: Ordered) -> None:
    pool = CallPool(ordered.application.chain, workers=1)
    (process,) = pool.pids()
    pool.close()
    assert pool.pids() == []
    assert not Path(f"/proc/{process}").exists()


def test_channel_refuses_what_is_too_long_or_cut_off() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"D\xff\xff\xff\xff")
        with pytest.raises(ChannelClosed, match="too long"):
            Channel(ours).receive()
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"D\0\0\0\5abc")
        theirs.close()
        with pytest.raises(ChannelClosed, match="gone"):
            Channel(ours).receive()
