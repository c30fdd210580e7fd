# SPDX-License-Identifier: GPL-3.0-or-later
"""That executing is a pure function of committed state and bytes, and committing is one write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth.abc import BlockHeaderAPI, StateAPI
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
from eth_abi.abi import decode
from eth_typing import Address, Hash32
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import contracts
from node.application import Admitted, Application, Finalized, TxResult
from node.chain import Chain
from node.db import LevelDB
from node.errors import ChainError, Code, OrderError, StorageError, TransactionRefused
from node.light import Timestamp, keccak256
from node.transactions import MAX_TRANSACTION_BYTES, decode_transaction
from node.vm import MAX_TRANSACTION_GAS, MoneoTransactionExecutor
from tests.support.node_core import (
    ANCHOR_LOG,
    BURNER,
    CHAIN_ID,
    CONSORTIUM,
    FOUNDED,
    MEMBER,
    OTHER_MEMBER,
    STRANGER,
    Call,
    Head,
    add_probes,
    address_of,
    at,
    genesis,
    probe,
    register_log,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    db = LevelDB(tmp_path / "chain")
    yield Application(Chain(db, genesis()))
    db.close()


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """An application whose chain has the probe contracts."""
    add_probes(monkeypatch)
    db = LevelDB(tmp_path / "probed")
    yield Application(Chain(db, genesis()))
    db.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """An application on which nothing is ever committed."""
    db = LevelDB(tmp_path_factory.mktemp("shared") / "chain")
    yield Application(Chain(db, genesis()))
    db.close()


def run(app: Application, *txs: bytes, time: int = 1) -> Finalized:
    return app.finalize(app.info().height + 1, at(time), txs)


def commit(app: Application, *txs: bytes, time: int = 1) -> list[int]:
    results = run(app, *txs, time=time).results
    app.commit()
    return [result.code for result in results]


def contents(app: Application) -> dict[bytes, bytes]:
    return dict(app.chain.db._db)


class TestHeights:
    def test_fresh_chain_is_at_height_0_with_the_genesis_app_hash(self, app: Application) -> None:
        assert app.info().height == 0
        assert app.info().app_hash == app.chain.hash_of(0)

    def test_empty_height_makes_no_block(self, app: Application) -> None:
        before = app.info()
        assert run(app) == Finalized(before.app_hash, ())
        app.commit()
        assert app.info().height == 1
        assert app.info().app_hash == before.app_hash
        assert app.chain.head().block_number == 0

    def test_height_of_refused_transactions_makes_no_block(self, app: Application) -> None:
        before = app.info().app_hash
        assert commit(app, b"", register_log(nonce=3).typed()) == [
            Code.MALFORMED,
            Code.NONCE_GAP,
        ]
        assert app.info().height == 1
        assert app.info().app_hash == before

    def test_height_with_a_transaction_makes_a_block(self, app: Application) -> None:
        done = run(app, register_log().typed())
        app.commit()
        assert app.info().app_hash == done.app_hash == keccak256(app.chain.header_rlp(1))
        (result,) = done.results
        assert (result.code, result.data, result.gas_wanted) == (Code.OK, b"", 200_000)
        assert result.gas_used == app.chain.receipts(1)[0].gas_used

    @pytest.mark.parametrize("height", [-1, 0, 2, 7])
    def test_height_out_of_turn_is_an_error(self, app: Application, height: int) -> None:
        with pytest.raises(OrderError):
            app.finalize(height, at(1), [])

    def test_commit_without_finalize_is_an_error(self, app: Application) -> None:
        with pytest.raises(OrderError):
            app.commit()
        run(app)
        app.commit()
        with pytest.raises(OrderError):
            app.commit()

    def test_time_never_goes_back_and_may_stand_still(self, app: Application) -> None:
        chain = app.chain
        for nonce, (time, expected) in enumerate([(5, 5), (5, 5), (-9, 5), (6, 6)]):
            assert commit(app, register_log(nonce, str(nonce)).typed(), time=time) == [0]
            assert chain.head().timestamp == FOUNDED + expected
        before_all = Timestamp(-62_135_596_800, 0)
        app.finalize(5, before_all, [register_log(4, "4").typed()])
        app.commit()
        assert chain.head().timestamp == FOUNDED + 6


class TestFinalize:
    def test_twice_is_the_same_and_writes_nothing(self, app: Application) -> None:
        commit(app, register_log().typed())
        before, info = contents(app), app.info()
        txs = [Head(0, 1).anchor(9, nonce=1).typed(), b"junk", register_log(2, "b").legacy()]
        first = run(app, *txs)
        other = run(app, register_log(1, "c").typed())
        assert run(app, *txs) == first
        assert other.app_hash != first.app_hash
        assert contents(app) == before
        assert app.info() == info
        app.commit()
        assert app.info().app_hash == first.app_hash

    def test_later_transactions_see_what_earlier_ones_wrote(self, app: Application) -> None:
        commit(app, register_log().typed())
        txs = [Head(0, 1).anchor(9, nonce=1).typed(), Head(9, 2).anchor(70, nonce=2).typed()]
        assert commit(app, *txs) == [0, 0]

    def test_revert_is_in_the_block_and_says_why(self, app: Application) -> None:
        call = register_log(key=OTHER_MEMBER).with_(to=ANCHOR_LOG)
        again = [register_log().typed(), register_log(nonce=1).typed(), call.typed()]
        results = run(app, *again).results
        app.commit()
        assert [result.code for result in results] == [Code.OK, Code.REVERTED, Code.REVERTED]
        assert results[1].data[:4] == keccak256(b"Error(string)")[:4]
        assert "registered" in decode(["string"], results[1].data[4:])[0]
        assert results[1].log == "Revert"
        assert [each.state_root for each in app.chain.receipts(1)] == [b"\x01", b"", b""]

    def test_gap_and_repetition_leave_the_rest_of_the_height_alone(self, app: Application) -> None:
        first, third = register_log(0).typed(), register_log(2, "c").typed()
        assert commit(app, third, first, first, third) == [
            Code.NONCE_GAP,
            Code.OK,
            Code.NONCE_TOO_LOW,
            Code.NONCE_GAP,
        ]
        (only,) = app.chain.block_transactions(1)
        assert only.encode() == first

    def test_refused_transactions_leave_no_trace_in_the_app_hash(self, app: Application) -> None:
        good = [register_log().typed(), Head(0, 1).anchor(9, nonce=1).typed()]
        bad = [refused().bytes for refused in REFUSED.values()]
        assert run(app, *bad, good[0], *bad, good[1]).app_hash == run(app, *good).app_hash

    def test_block_takes_no_more_than_its_gas(self, probed: Application) -> None:
        burn = [Call(nonce=n, to=BURNER, gas=MAX_TRANSACTION_GAS).typed() for n in range(4)]
        small = Call(key=OTHER_MEMBER, to=BURNER, gas=30_000).typed()
        assert commit(probed, *burn, small) == [Code.REVERTED] * 3 + [Code.BLOCK_FULL] * 2
        assert probed.chain.head().gas_used == 3_000_000
        assert commit(probed, burn[3], small) == [Code.REVERTED] * 2

    def test_fault_of_the_evm_is_a_result_and_undone(
        self, probed: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = [probe(0, nonce=0).typed(), probe(1, nonce=1).typed()]
        without = run(probed, calls[0], register_log(1).typed())
        usual = MoneoTransactionExecutor.finalize_computation

        def fails_late(self: Any, transaction: Any, computation: Any) -> Any:
            if transaction.data == bytes(31) + b"\x01":
                raise TypeError("a bug in some opcode")
            return usual(self, transaction, computation)

        monkeypatch.setattr(MoneoTransactionExecutor, "finalize_computation", fails_late)
        with_fault = run(probed, *calls, register_log(1).typed())
        assert [result.code for result in with_fault.results] == [0, Code.FAULT, 0]
        assert with_fault.app_hash == without.app_hash

    def test_damaged_state_stops_the_node_instead_of_being_a_result(self, app: Application) -> None:
        commit(app, register_log().typed())
        account = app.chain.prove(app.chain.head(), ANCHOR_LOG)
        del app.chain.db[b"s" + account.code_hash]
        with pytest.raises(ChainError, match="damaged"):
            run(app, Head(0, 1).anchor(9, nonce=1).typed())

    def test_state_has_no_account_of_the_coinbase(self, app: Application) -> None:
        commit(app, register_log().typed())
        state = app.chain.state_at(app.chain.head())
        assert not state.account_exists(Address(bytes(20)))
        assert state.get_nonce(Address(address_of(MEMBER))) == 1


class TestCommit:
    def test_all_of_a_height_is_one_synchronous_write(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[Mapping[bytes, bytes | None]] = []
        usual = LevelDB.write

        def write(self: LevelDB, batch: Mapping[bytes, bytes | None]) -> None:
            written.append(batch)
            usual(self, batch)

        monkeypatch.setattr(LevelDB, "write", write)
        before = contents(app)
        run(app, register_log().typed())
        assert written == []
        app.commit({b"light block": b"1", b"": b"2"})
        (batch,) = written
        changed = {k: v for k, v in contents(app).items() if before.get(k) != v}
        assert changed.items() <= dict(batch).items()
        kinds = {key[:1] for key in changed}
        assert kinds == {b"%c" % kind for kind in b"shcnbrtamx"}
        assert app.get_extra(b"light block") == b"1"
        assert app.get_extra(b"") == b"2"
        assert app.get_extra(b"light") is None

    def test_orderers_values_are_replaced_and_never_meet_the_chains(self, app: Application) -> None:
        head, kept = app.chain.head(), contents(app)
        run(app)
        app.commit({b"mhead": b"\xff" * 8, b"k": b"1"})
        run(app)
        app.commit({b"k": b"2"})
        assert app.get_extra(b"k") == b"2"
        assert app.chain.head() == head
        assert kept.items() <= contents(app).items()

    def test_failed_write_leaves_the_height_before(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = app.info()
        done = run(app, register_log().typed())

        def full(self: LevelDB, batch: Mapping[bytes, bytes | None]) -> None:
            raise StorageError("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(LevelDB, "write", full)
            with pytest.raises(StorageError):
                app.commit()
        assert app.info() == before
        app.commit()
        assert app.info().app_hash == done.app_hash


class Refused:
    """Bytes that no block may hold, and the code that says why."""

    def __init__(self, code: Code, data: bytes) -> None:
        self.code, self.bytes = code, data


def _fields(raw: bytes) -> list[Any]:
    return list(rlp.decode(raw[1:] if raw[0] == 2 else raw))


def _ok() -> bytes:
    return register_log().typed()


def _typed(fields: list[Any]) -> bytes:
    return b"\x02" + bytes(rlp.encode(fields))


def _typed_with(index: int, value: Any) -> bytes:
    fields = _fields(register_log().typed())
    fields[index] = value
    return _typed(fields)


def _legacy_with(index: int, value: bytes) -> bytes:
    fields = _fields(register_log().legacy())
    fields[index] = value
    return bytes(rlp.encode(fields))


def _high_s() -> bytes:
    fields = _fields(register_log().typed())
    s = int.from_bytes(fields[11], "big")
    fields[9] = b"" if fields[9] else b"\x01"
    fields[11] = (ORDER - s).to_bytes(32, "big")
    return _typed(fields)


def _blob() -> bytes:
    return (
        CancunTransactionBuilder.new_unsigned_blob_transaction(
            CHAIN_ID,
            0,
            0,
            0,
            200_000,
            Address(CONSORTIUM),
            0,
            b"",
            [],
            1,
            [Hash32(b"\x01" + bytes(31))],
        )
        .as_signed_transaction(MEMBER)
        .encode()
    )


def _access_list_type() -> bytes:
    return (
        CancunTransactionBuilder.new_unsigned_access_list_transaction(
            CHAIN_ID, 0, 0, 200_000, Address(CONSORTIUM), 0, b"", []
        )
        .as_signed_transaction(MEMBER)
        .encode()
    )


M, B = Code.MALFORMED, Code.BAD_SIGNATURE
REFUSED: dict[str, Callable[[], Refused]] = {
    "no bytes": lambda: Refused(M, b""),
    "type byte only": lambda: Refused(M, b"\x02"),
    "empty list": lambda: Refused(M, b"\xc0"),
    "text": lambda: Refused(Code.WRONG_TYPE, b"hello"),
    "deep list": lambda: Refused(M, _deep()),
    "deep typed list": lambda: Refused(M, b"\x02" + _deep()),
    "length beyond the end": lambda: Refused(M, b"\xfb\xff\xff\xff\xff"),
    "length of 8 bytes": lambda: Refused(M, b"\xff" + b"\xff" * 8),
    "too long": lambda: Refused(M, bytes([2]) * (MAX_TRANSACTION_BYTES + 1)),
    "byte after the end": lambda: Refused(M, register_log().typed() + b"\0"),
    "byte missing": lambda: Refused(M, register_log().legacy()[:-1]),
    "field too many": lambda: Refused(M, _typed([*_fields(_ok()), b""])),
    "field missing": lambda: Refused(M, _typed(_fields(_ok())[:-1])),
    "number with a leading zero": lambda: Refused(M, _typed_with(4, b"\0\x03\x0d\x40")),
    "nonce of 9 bytes": lambda: Refused(M, _typed_with(1, b"\x01" * 9)),
    "fee of 33 bytes": lambda: Refused(M, _typed_with(3, b"\x01" * 33)),
    "list for a number": lambda: Refused(M, _typed_with(4, [])),
    "address of 19 bytes": lambda: Refused(M, _typed_with(5, bytes(19))),
    "access list no list": lambda: Refused(M, _typed_with(8, b"x")),
    "access of three": lambda: Refused(M, _typed_with(8, [[bytes(20), [], []]])),
    "access address short": lambda: Refused(M, _typed_with(8, [[bytes(19), []]])),
    "access key short": lambda: Refused(M, _typed_with(8, [[bytes(20), [bytes(31)]]])),
    "access key a list": lambda: Refused(M, _typed_with(8, [[bytes(20), [[]]]])),
    "priority above fee": lambda: Refused(M, Call(priority=2, fee=1).typed()),
    "type 1": lambda: Refused(Code.WRONG_TYPE, _access_list_type()),
    "blob type": lambda: Refused(Code.WRONG_TYPE, _blob()),
    "type 4": lambda: Refused(Code.WRONG_TYPE, b"\x04" + register_log().typed()[1:]),
    "type 127": lambda: Refused(Code.WRONG_TYPE, b"\x7f"),
    "no type": lambda: Refused(Code.WRONG_TYPE, b"\x80"),
    "typed for another chain": lambda: Refused(Code.WRONG_CHAIN, Call(chain_id=1).typed()),
    "legacy for another chain": lambda: Refused(Code.WRONG_CHAIN, Call(chain_id=1).legacy()),
    "legacy for no chain": lambda: Refused(Code.WRONG_CHAIN, Call().legacy(protected=False)),
    "v of 0": lambda: Refused(B, _legacy_with(6, b"")),
    "v of 29": lambda: Refused(B, _legacy_with(6, b"\x1d")),
    "parity of 2": lambda: Refused(B, _typed_with(9, b"\x02")),
    "r of 0": lambda: Refused(B, _typed_with(10, b"")),
    "r of the order": lambda: Refused(B, _typed_with(10, ORDER.to_bytes(32, "big"))),
    # No point of the curve has this x.
    "r off the curve": lambda: Refused(B, _typed_with(10, b"\x05")),
    "s of 0": lambda: Refused(B, _typed_with(11, b"")),
    "s turned round": lambda: Refused(B, _high_s()),
    "creation": lambda: Refused(Code.NOT_CALLABLE, Call(to=b"").typed()),
    "legacy creation": lambda: Refused(Code.NOT_CALLABLE, Call(to=b"").legacy()),
    "call of an account": lambda: Refused(Code.NOT_CALLABLE, Call(to=address_of(MEMBER)).typed()),
    "call of a precompile": lambda: Refused(
        Code.NOT_CALLABLE, Call(to=bytes(19) + b"\x09").typed()
    ),
    "stranger": lambda: Refused(Code.NOT_ALLOWED, register_log(key=STRANGER).typed()),
    "legacy stranger": lambda: Refused(Code.NOT_ALLOWED, register_log(key=STRANGER).legacy()),
    "gas over the cap": lambda: Refused(Code.WRONG_GAS, Call(gas=MAX_TRANSACTION_GAS + 1).typed()),
    "gas of 2^64": lambda: Refused(Code.WRONG_GAS, Call(gas=2**64 - 1).typed()),
    "gas under its own": lambda: Refused(Code.WRONG_GAS, Call(gas=20_999).typed()),
    "priority fee": lambda: Refused(Code.NO_FUNDS, Call(priority=1, fee=1).typed()),
    "fee": lambda: Refused(Code.NO_FUNDS, Call(fee=2**256 - 1).typed()),
    "legacy fee": lambda: Refused(Code.NO_FUNDS, Call(fee=1).legacy()),
    "value": lambda: Refused(Code.NO_FUNDS, Call(value=1).typed()),
    "last nonce": lambda: Refused(Code.NONCE_TOO_LOW, Call(nonce=2**64 - 1).typed()),
}


def _deep() -> bytes:
    data = b"\xc0"
    for _ in range(5_000):
        data = rlp.codec.length_prefix(len(data), 0xC0) + data
    return data


class TestRules:
    @pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
    def test_transaction_against_the_rules_is_refused_everywhere(
        self, shared: Application, case: Callable[[], Refused]
    ) -> None:
        refused = case()
        with pytest.raises(TransactionRefused) as seen:
            shared.check(refused.bytes)
        assert seen.value.code == refused.code, seen.value.message
        assert seen.value.message
        (result,) = run(shared, refused.bytes).results
        assert (result.code, result.data, result.gas_used) == (refused.code, b"", 0)
        assert shared.propose([refused.bytes], 1_000_000) == []
        assert not shared.process([refused.bytes])

    @pytest.mark.parametrize("nonce", [0, 1, 2**64 - 2])
    def test_check_lets_in_what_may_run_now_or_later(self, shared: Application, nonce: int) -> None:
        for raw in (register_log(nonce).typed(), register_log(nonce).legacy()):
            assert shared.check(raw) == Admitted(keccak256(raw), address_of(MEMBER), nonce, 200_000)

    def test_check_and_next_nonce_follow_the_head(self, app: Application) -> None:
        sender = address_of(MEMBER)
        assert app.next_nonce(sender) == 0
        raw = register_log().typed()
        app.check(raw)
        commit(app, raw)
        assert app.next_nonce(sender) == 1
        with pytest.raises(TransactionRefused, match="the account's next is 1") as seen:
            app.check(raw)
        assert seen.value.code == Code.NONCE_TOO_LOW

    def test_what_waits_is_judged_in_one_state_of_the_head(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After each block an orderer asks about all of it: reading the state anew takes most of a second."""
        usual, read = Chain.state_at, list[int]()

        def state_at(chain: Chain, header: BlockHeaderAPI) -> StateAPI:
            read.append(header.block_number)
            return usual(chain, header)

        monkeypatch.setattr(Chain, "state_at", state_at)
        monkeypatch.setattr("node.application._STATE_USES", 40)
        commit(app, register_log().typed())
        for nonce in range(1, 31):
            assert app.check(register_log(nonce).typed()).nonce == nonce
        assert read == [1]
        with pytest.raises(TransactionRefused):
            app.check(register_log(0).typed())
        # Now and then it is read anew all the same: it remembers all that it was asked.
        for _ in range(10):
            assert app.next_nonce(address_of(MEMBER)) == 1
        assert read == [1, 1]
        commit(app, register_log(1, "second").typed())
        assert (app.next_nonce(address_of(MEMBER)), read) == (2, [1, 1, 2])

    def test_access_list_is_taken(self, shared: Application) -> None:
        slot = int.from_bytes(contracts.member_slot(address_of(MEMBER)), "big")
        raw = register_log().typed([(Address(CONSORTIUM), [slot, 0, 2**256 - 1])])
        assert run(shared, raw).results[0].code == Code.OK

    def test_decoded_transaction_encodes_to_the_same_bytes(self) -> None:
        for raw in (register_log().typed(), register_log().legacy()):
            assert decode_transaction(raw, CHAIN_ID).encode() == raw


class TestAnyBytes:
    @settings(max_examples=150)
    @given(st.lists(st.binary(max_size=300), max_size=4))
    def test_random_bytes_never_raise_and_never_run(
        self, shared: Application, txs: list[bytes]
    ) -> None:
        results = run(shared, *txs).results
        assert len(results) == len(txs)
        assert all(result.code > Code.REVERTED for result in results)
        assert run(shared, *txs).results == results

    @pytest.mark.parametrize("raw", [register_log().typed(), register_log().legacy()])
    def test_flipped_bits_never_run(self, shared: Application, raw: bytes) -> None:
        rng = random.Random(7)
        flips = [(at_, 1 << rng.randrange(8)) for at_ in range(len(raw))]
        for position, bit in flips:
            flipped = raw[:position] + bytes([raw[position] ^ bit]) + raw[position + 1 :]
            (result,) = run(shared, flipped).results
            assert result.code > Code.REVERTED

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(sorted(contracts.ADDRESSES)),
        st.integers(min_value=0, max_value=2**32 - 1),
        st.binary(max_size=400),
        st.integers(min_value=30_000, max_value=MAX_TRANSACTION_GAS),
    )
    def test_any_calldata_runs_or_reverts(
        self, shared: Application, name: str, choice: int, data: bytes, gas: int
    ) -> None:
        to = contracts.ADDRESSES[name]
        selector = _selectors(name)[choice % len(_selectors(name))]
        call = Call(to=to, data=selector + data, gas=gas)
        (result,) = run(shared, call.typed()).results
        if selector == keccak256(b"propose(uint256,bytes,bytes)")[:4] and to == CONSORTIUM:
            # A proposal that the door cannot read in the one way does not get as far.
            assert result.code in {Code.REVERTED, Code.BAD_SIGNATURE}
        else:
            assert result.code in {Code.OK, Code.REVERTED}
            assert 0 < result.gas_used <= gas


def _selectors(name: str) -> list[bytes]:
    functions = [item for item in contracts.abi(name) if item["type"] == "function"]
    return [keccak256(_signature(item).encode())[:4] for item in functions] + [b"", b"\xff" * 4]


def _signature(item: Mapping[str, Any]) -> str:
    return f"{item['name']}({','.join(_type(each) for each in item['inputs'])})"


def _type(value: Mapping[str, Any]) -> str:
    if not value["type"].startswith("tuple"):
        return str(value["type"])
    inner = ",".join(_type(each) for each in value["components"])
    return f"({inner}){value['type'][5:]}"


class TestPropose:
    def test_order_of_arrival_is_kept_and_gaps_are_closed(self, shared: Application) -> None:
        a = [register_log(n, str(n)).typed() for n in range(4)]
        b = [register_log(n, f"b{n}", OTHER_MEMBER).typed() for n in range(2)]
        arrived = [a[1], b[0], a[0], a[3], b[1], a[0], a[2]]
        chosen = shared.propose(arrived, 1_000_000)
        assert chosen == [b[0], a[0], a[1], b[1], a[2], a[3]]
        assert shared.process(chosen)
        assert shared.propose(chosen, 1_000_000) == chosen
        assert {result.code for result in run(shared, *chosen).results} == {Code.OK}

    def test_gap_that_stays_open_is_left_out(self, shared: Application) -> None:
        later = register_log(nonce=1).typed()
        assert shared.propose([later], 1_000_000) == []
        assert not shared.process([later])

    def test_other_order_of_another_proposer_is_accepted(self, shared: Application) -> None:
        a = [register_log(n, str(n)).typed() for n in range(2)]
        b = register_log(0, "b", OTHER_MEMBER).typed()
        for order in ([a[0], a[1], b], [a[0], b, a[1]], [b, *a], []):
            assert shared.process(order)
        for order in ([a[1], a[0]], [a[0], a[0]], [*a, b"junk"]):
            assert not shared.process(order)

    def test_second_transaction_with_a_nonce_is_left_out(self, shared: Application) -> None:
        first, second = register_log(0, "a").typed(), register_log(0, "b").typed()
        assert shared.propose([first, second], 1_000_000) == [first]

    def test_cut_at_the_gas_limit(self, shared: Application) -> None:
        big = [Call(n, gas=MAX_TRANSACTION_GAS).typed() for n in range(4)]
        small = register_log(key=OTHER_MEMBER).typed()
        assert shared.propose([*big, small], 1_000_000) == big[:3]
        assert shared.propose([big[0], small, *big], 1_000_000) == [big[0], small, big[1]]
        assert shared.propose(big, 1_000_000, max_gas=2_500_000) == big[:2]
        assert shared.propose(big, 1_000_000, max_gas=10**12) == big[:3]
        assert not shared.process(big)

    def test_cut_at_the_bytes(self, shared: Application) -> None:
        txs = [register_log(n, str(n)).typed() for n in range(3)]
        room = sum(len(raw) + 4 for raw in txs[:2])
        assert shared.propose(txs, room) == txs[:2]
        assert shared.propose(txs, room - 1) == txs[:1]
        assert shared.propose(txs, 0) == []

    def test_what_is_proposed_fits_the_block_that_runs_it(self, probed: Application) -> None:
        burn = [Call(n, to=BURNER, gas=MAX_TRANSACTION_GAS).typed() for n in range(5)]
        chosen = probed.propose(burn, 1_000_000)
        assert commit(probed, *chosen) == [Code.REVERTED] * 3


HISTORY = """
import sys
from pathlib import Path
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from tests.support.node_core import *

db = LevelDB(Path(sys.argv[1]))
app = Application(Chain(db, genesis()))
heights = [
    [register_log(n, f"log {n}").typed() for n in range(12)] + [b"junk"],
    [],
    [Call(12, to=ANCHOR_LOG).typed(), register_log(0, "x", OTHER_MEMBER).legacy()],
]
for height, txs in enumerate(heights, 1):
    done = app.finalize(height, at(height * 7), txs)
    print(height, done.app_hash.hex(), [(r.code, r.data.hex(), r.gas_used) for r in done.results])
    app.commit()
db.close()
"""

ENVIRONMENTS = [
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4242", "TZ": "Asia/Ho_Chi_Minh", "LC_ALL": "vi_VN.UTF-8"},
    {"PYTHONHASHSEED": "99", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "COLUMNS": "3"},
]


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_processes_with_other_seeds_zones_and_locales_agree(tmp_path: Path) -> None:
    processes = [
        start(HISTORY, str(tmp_path / str(index)), **environment)
        for index, environment in enumerate(ENVIRONMENTS)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in outputs] == [""] * len(ENVIRONMENTS)
    assert len({output for output, _ in outputs}) == 1
    assert outputs[0][0].count("\n") == 3


# Commits height after height and says so; dies by SIGKILL before or after the write of height 5
# if asked to.
VICTIM = """
import os, signal, sys
from pathlib import Path
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from tests.support.node_core import *

path, moment = sys.argv[1:]
app = Application(Chain(LevelDB(Path(path)), genesis()))
usual = LevelDB.write

def write(self, batch):
    dying = height == 5
    if dying and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    usual(self, batch)
    if dying and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)

LevelDB.write = write
height = app.info().height
while True:
    height += 1
    app.finalize(height, at(height), [register_log(height - 1, str(height)).typed()])
    app.commit({b"height": str(height).encode()})
    print(height, flush=True)
"""


def check_reopened(path: Path) -> int:
    """Check that what a killed process left is some whole height, as an unhurt chain has it."""
    db = LevelDB(path)
    app = Application(Chain(db, genesis()))
    height = app.info().height
    header = app.chain.head()
    assert header.block_number == height
    assert app.get_extra(b"height") == (str(height).encode() if height else None)
    assert app.chain.state_at(header).get_nonce(Address(address_of(MEMBER))) == height
    assert app.chain.transaction_location(
        keccak256(register_log(height - 1, str(height)).typed())
    ) == (height, 0)
    # The next height, and those before it, are what an unhurt chain makes of them.
    unhurt = LevelDB(path.with_name(f"unhurt at {height}"))
    twin = Application(Chain(unhurt, genesis()))
    for number in range(1, height + 2):
        txs = [register_log(number - 1, str(number)).typed()]
        expected = twin.finalize(number, at(number), txs)
        twin.commit()
    assert twin.chain.header(height).hash == app.info().app_hash
    assert app.finalize(height + 1, at(height + 1), txs) == expected
    db.close()
    unhurt.close()
    return height


@pytest.mark.parametrize(("moment", "height"), [("before", 4), ("after", 5)])
def test_killed_around_its_write_reopens_at_a_whole_height(
    tmp_path: Path, moment: str, height: int
) -> None:
    victim = start(VICTIM, str(tmp_path / "chain"), moment)
    said, _ = victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert said.split() == ["1", "2", "3", "4"]
    assert check_reopened(tmp_path / "chain") == height


def test_killed_at_random_keeps_every_height_it_said(tmp_path: Path) -> None:
    for _ in range(2):
        victim = start(VICTIM, str(tmp_path / "chain"), "never")
        assert victim.stdout is not None
        said = [victim.stdout.readline() for _ in range(random.randint(1, 9))]
        victim.kill()
        rest, _ = victim.communicate(timeout=60)
        last = int((said[-1] + rest).split()[-1])
        assert last <= check_reopened(tmp_path / "chain") <= last + 1


def test_results_carry_no_more_than_consensus_and_a_log() -> None:
    assert TxResult.__slots__ == ("code", "data", "gas_wanted", "gas_used", "log")
