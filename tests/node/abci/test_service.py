# SPDX-License-Identifier: GPL-3.0-or-later
"""What CometBFT is answered, over gRPC as it asks: every method, any bytes, the same in any process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.abci.messages import (
    ABORT,
    ACCEPT,
    MESSAGES,
    METHODS,
    RECHECK,
    REJECT,
    REJECT_OFFER,
    SERVICE,
)
from node.abci.service import (
    MAX_MISBEHAVIOUR,
    POOL_CODESPACE,
    Server,
    Service,
    read_misbehaviour,
)
from node.application import MAX_RESULT_BYTES, Application, Finalized
from node.blocks import MAX_BLOCK_BYTES
from node.chain import Chain
from node.db import LevelDB
from node.errors import Code, GenesisError, OrderError, StorageError, UpgradeNeeded
from node.genesis import GENESIS_FILE, Genesis, consortium, encode
from node.governance import key_proof
from node.light import Timestamp, keccak256
from node.mempool import NONCE_WINDOW, Mempool
from node.sequencer import final_key
from tests.contracts.provinces import CHAIN_ID, province, provinces
from tests.node.test_governance import about, decided, signed
from tests.support.comet import found_homes, started
from tests.support.node_core import (
    FOUNDED,
    MEMBER,
    OTHER_MEMBER,
    STRANGER,
    Call,
    Head,
    genesis,
    register_log,
)

# Bytes that a consortium's block could hold: junk, and transactions good and bad.
_JUNK = st.binary(max_size=200) | st.sampled_from([b"", b"\x02", b"\xc0", b"\x02\xc0", b"\xff" * 9])
_CALLS = st.builds(
    lambda nonce, key, chain, legacy, name: getattr(
        register_log(nonce, name, key).with_(chain_id=chain), "legacy" if legacy else "typed"
    )(),
    st.sampled_from([0, 0, 0, 1, 2, 2**64 - 2]),
    st.sampled_from([MEMBER, OTHER_MEMBER, STRANGER]),
    st.sampled_from([genesis().evm_chain_id, 1]),
    st.booleans(),
    st.sampled_from(["a", "b"]),
)
_CUT = st.builds(lambda raw, at: raw[: at % len(raw)], _CALLS, st.integers(0, 500))
BLOCKS = st.lists(_JUNK | _CALLS | _CUT, max_size=6)


class Asked:
    """A service over a chain in a folder; `ask` calls it as gRPC would, without a wire."""

    def __init__(self, folder: Path, founded: Genesis) -> None:
        self.database = LevelDB(folder)
        self.application = Application(Chain(self.database, founded))
        self.pool = Mempool(self.application.next_nonce)
        self.failures: list[BaseException] = []
        self.service = Service(self.application, self.pool, self.failures.append)

    def ask(self, method: str, **fields: Any) -> Any:
        return self.service.answer(method, MESSAGES[f"Request{method}"](**fields))

    def check(self, raw: bytes, recheck: bool = False) -> tuple[int, str]:
        answer = self.ask("CheckTx", tx=raw, type=RECHECK if recheck else 0)
        return answer.code, answer.codespace

    def finalize(self, *txs: bytes, height: int = 0) -> Any:
        height = height or self.application.info().height + 1
        time = {"seconds": FOUNDED + height}
        return self.ask("FinalizeBlock", height=height, time=time, txs=txs)

    def make(self, *txs: bytes) -> list[int]:
        """Execute and commit a height; return the transactions' codes."""
        codes = [each.code for each in self.finalize(*txs).tx_results]
        self.ask("Commit")
        return codes


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path / "chain", genesis())
    yield asked
    asked.database.close()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """One on which nothing is ever committed."""
    asked = Asked(tmp_path_factory.mktemp("abci") / "chain", genesis())
    yield asked
    asked.database.close()


def test_every_method_is_answered_over_grpc(tmp_path: Path, asked: Asked) -> None:
    path = tmp_path / "app.sock"
    path.write_text("left by a process that was killed")
    server = Server(asked.service, path)
    server.start()
    try:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            answers = {name: _called(channel, name, b"") for name in METHODS if name != "Commit"}
            # A message with fields that we do not know, and one with our fields.
            assert _called(channel, "Echo", b"\x0a\x02hi\x92\x03\x01x").message == "hi"
            with pytest.raises(grpc.RpcError, match="INTERNAL"):
                _called(channel, "Echo", b"\x0a\xff")
    finally:
        server.stop()
    assert answers["Info"].last_block_height == 0
    assert answers["Info"].last_block_app_hash == asked.application.chain.hash_of(0)
    assert answers["CheckTx"].code == Code.MALFORMED
    assert answers["Query"].code != 0
    assert answers["ProcessProposal"].status == ACCEPT
    assert answers["VerifyVoteExtension"].status == ACCEPT
    assert answers["ExtendVote"].SerializeToString() == b""
    assert answers["ListSnapshots"].SerializeToString() == b""
    assert answers["OfferSnapshot"].result == REJECT_OFFER
    assert answers["ApplySnapshotChunk"].result == ABORT
    # Neither the genesis nor the height of an empty message is ours.
    assert [type(each) for each in asked.failures] == [GenesisError, OrderError]


def _called(channel: grpc.Channel, name: str, message: bytes) -> Any:
    call = channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda data: data,
        response_deserializer=MESSAGES[f"Response{name}"].FromString,
    )
    if name in {"InitChain", "FinalizeBlock"} and not message:
        with pytest.raises(grpc.RpcError):
            call(message)
        return None
    return call(message)


class TestInitChain:
    def fields(self, **changes: Any) -> dict[str, Any]:
        ((key, power),) = genesis().validators
        validators = [{"pub_key": {"ed25519": key}, "power": power}]
        fields = {
            "chain_id": genesis().cometbft_chain_id,
            "initial_height": 1,
            "validators": validators,
        }
        return fields | changes

    def test_ours_is_answered_with_the_genesis_block(self, asked: Asked) -> None:
        for _ in range(2):
            answer = asked.ask("InitChain", **self.fields())
            assert answer.app_hash == asked.application.chain.hash_of(0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"chain_id": "test-0123456789abcdee"},
            {"initial_height": 2},
            {"validators": []},
            {"validators": [{"pub_key": {"ed25519": genesis().validators[0][0]}, "power": 11}]},
            {"validators": [{"pub_key": {"ed25519": bytes(32)}, "power": 10}]},
        ],
    )
    def test_another_ends_the_node(self, asked: Asked, changes: dict[str, Any]) -> None:
        with pytest.raises(GenesisError):
            asked.ask("InitChain", **self.fields(**changes))
        assert [type(each) for each in asked.failures] == [GenesisError]


class TestCheckTx:
    def test_good_one_waits_and_its_gas_is_said(self, asked: Asked) -> None:
        raw = register_log().typed()
        answer = asked.ask("CheckTx", tx=raw)
        assert (answer.code, answer.gas_wanted) == (Code.OK, 200_000)
        assert asked.check(raw) == (Code.OK, "")
        assert asked.pool.get(keccak256(raw)) == raw

    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (b"junk", Code.WRONG_TYPE),
            (register_log(key=STRANGER).typed(), Code.NOT_ALLOWED),
            (register_log(nonce=1).typed(), Code.NONCE_GAP),
            (register_log().with_(gas=2**64 - 1).typed(), Code.WRONG_GAS),
            (register_log().with_(chain_id=1).typed(), Code.WRONG_CHAIN),
        ],
    )
    def test_one_against_the_rules_gets_its_code(
        self, asked: Asked, raw: bytes, code: Code
    ) -> None:
        assert asked.check(raw) == (code, "")
        assert len(asked.pool) == 0

    def test_nonces_come_without_a_gap_and_once(self, asked: Asked) -> None:
        for nonce in range(NONCE_WINDOW):
            assert asked.check(register_log(nonce).typed()) == (Code.OK, "")
        full = asked.check(register_log(NONCE_WINDOW).typed())
        assert full[0] != Code.OK
        assert full[1] == POOL_CODESPACE
        assert asked.check(register_log(3, "other").typed())[1] == POOL_CODESPACE
        assert len(asked.pool) == NONCE_WINDOW

    def test_block_takes_its_own_away_and_the_rest_is_judged_again(self, asked: Asked) -> None:
        first, second, third = (register_log(nonce, str(nonce)).typed() for nonce in range(3))
        assert [asked.check(each)[0] for each in (first, second, third)] == [0, 0, 0]
        another = register_log(1, "another").typed()
        assert asked.make(first, another) == [0, 0]
        assert asked.pool.get(keccak256(first)) is None
        assert asked.check(second, recheck=True) == (Code.NONCE_TOO_LOW, "")
        assert asked.check(third, recheck=True) == (Code.OK, "")
        assert asked.pool.get(keccak256(second)) is None
        assert asked.pool.get(keccak256(third)) == third

    def test_one_whose_forerunner_was_dropped_is_dropped(self, asked: Asked) -> None:
        first, second = register_log(0).typed(), register_log(1, "b").typed()
        asked.check(first)
        asked.check(second)
        asked.pool.remove([keccak256(first)])
        assert asked.check(second, recheck=True) == (Code.NONCE_GAP, "")
        assert len(asked.pool) == 0

    def test_fault_of_ours_is_a_code_and_damage_ends_the_node(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def raising(error: Exception) -> None:
            def check(*_: object) -> None:
                raise error

            monkeypatch.setattr(Application, "check", check)

        raising(TypeError("a bug"))
        assert asked.check(b"\x02") == (Code.FAULT, "")
        assert asked.failures == []
        raising(StorageError("the disk is gone"))
        with pytest.raises(StorageError):
            asked.check(b"\x02")
        assert [type(each) for each in asked.failures] == [StorageError]


class TestProposals:
    def prepared(self, asked: Asked, txs: Sequence[bytes], max_tx_bytes: int) -> list[bytes]:
        answer = asked.ask("PrepareProposal", txs=txs, max_tx_bytes=max_tx_bytes)
        return list(answer.txs)

    def test_prepared_is_in_turn_without_what_cannot_run_and_accepted(self, asked: Asked) -> None:
        first, second = register_log(0).typed(), register_log(1, "b").typed()
        other = register_log(0, "c", OTHER_MEMBER).typed()
        offered = [second, b"junk", register_log(key=STRANGER).typed(), other, first]
        chosen = self.prepared(asked, offered, 10_000)
        assert chosen == [other, first, second]
        assert asked.ask("ProcessProposal", txs=chosen).status == ACCEPT
        assert self.prepared(asked, [first, second], len(first) + 4) == [first]
        assert self.prepared(asked, [first, second], len(first) + 3) == []

    def test_prepared_is_cut_at_the_gas_of_a_block(self, asked: Asked) -> None:
        txs = [register_log(nonce).with_(gas=1_000_000).typed() for nonce in range(4)]
        assert self.prepared(asked, txs, 10_000) == txs[:3]
        assert asked.ask("ProcessProposal", txs=txs).status == REJECT

    @pytest.mark.parametrize(
        "txs",
        [
            [b""],
            [b"junk"],
            [register_log(nonce=1).typed()],
            [register_log().typed(), register_log().typed()],
            [register_log(key=STRANGER).typed()],
            [register_log().with_(gas=1_000_001).typed()],
            [Call(to=b"", data=b"\0").typed()],
            [register_log().typed(), b"\x02"],
            [b""] * 100_000,
        ],
    )
    def test_block_against_a_rule_is_refused(self, asked: Asked, txs: list[bytes]) -> None:
        assert asked.ask("ProcessProposal", txs=txs).status == REJECT


class TestHeights:
    def test_committed_height_is_what_info_says(self, asked: Asked) -> None:
        done = asked.finalize(register_log().typed(), b"junk")
        assert asked.ask("Info").last_block_height == 0
        asked.ask("Commit")
        info = asked.ask("Info")
        assert (info.last_block_height, info.last_block_app_hash) == (1, done.app_hash)
        assert [each.code for each in done.tx_results] == [Code.OK, Code.WRONG_TYPE]
        assert asked.make() == []
        assert asked.application.get_extra(final_key(0)) == (1).to_bytes(8, "big")
        assert asked.application.get_extra(final_key(1)) == (2).to_bytes(8, "big")
        asked.make()
        assert asked.application.get_extra(final_key(1)) == (2).to_bytes(8, "big")

    def test_finalized_again_before_its_commit_is_the_same(self, asked: Asked) -> None:
        txs = [register_log().typed(), b"\xff"]
        first = asked.finalize(*txs)
        asked.finalize(register_log(name="other").typed())
        assert asked.finalize(*txs) == first
        assert asked.make(*txs) == [Code.OK, Code.MALFORMED]
        assert asked.application.info().app_hash == first.app_hash

    def test_step_out_of_turn_ends_the_node(self, asked: Asked) -> None:
        with pytest.raises(OrderError):
            asked.ask("Commit")
        with pytest.raises(OrderError):
            asked.finalize(height=2)
        assert len(asked.failures) == 2

    def test_number_that_the_message_has_no_room_for_is_a_code(self, asked: Asked) -> None:
        """A gas limit of 64 bits is a rightly signed transaction all the same."""
        raw = register_log().with_(gas=2**64 - 1).typed()
        (result,) = asked.finalize(raw).tx_results
        assert (result.code, result.gas_wanted) == (Code.WRONG_GAS, 0)

    def test_answer_to_a_block_of_junk_stays_below_what_cometbft_reads(self, asked: Asked) -> None:
        """As many as a block's bytes have room for, and results as long as they get, are under 4 MiB."""
        count, most = 10_000, MAX_BLOCK_BYTES // 3
        done = asked.finalize(*[b""] * count)
        assert done.ByteSize() * most // count < 4 * 1024 * 1024
        assert MAX_RESULT_BYTES * asked.application.chain.genesis.gas_limit // 21_000 < 1024 * 1024

    def test_changes_of_the_validators_are_handed_on(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usual = Application.finalize

        def voted(self: Application, height: int, time: Timestamp, txs: Any) -> Finalized:
            return replace(usual(self, height, time, txs), validators=((bytes([7]) * 32, 0),))

        monkeypatch.setattr(Application, "finalize", voted)
        (update,) = asked.finalize().validator_updates
        assert (update.pub_key.ed25519, update.power) == (bytes([7]) * 32, 0)


class TestMisbehaviour:
    def blamed(self, height: int = 3, kind: int = 1, **time: int) -> dict[str, Any]:
        validator = {"address": bytes([height % 256]) * 20, "power": 1}
        moment = time or {"seconds": FOUNDED, "nanos": 500_000_000}
        return {"type": kind, "validator": validator, "height": height, "time": moment}

    def make(self, asked: Asked, *blamed: dict[str, Any]) -> None:
        height = asked.application.info().height + 1
        asked.ask("FinalizeBlock", height=height, time={"seconds": FOUNDED}, misbehavior=blamed)

    def test_is_kept_with_its_height_and_not_before(self, asked: Asked) -> None:
        self.make(asked, self.blamed(), self.blamed(4, kind=2))
        assert read_misbehaviour(asked.application) == []
        asked.ask("Commit")
        expected = {
            "kind": "DUPLICATE_VOTE", "validator": "0x" + "03" * 20, "height": 3,
            "time": "2025-11-22T08:26:40.5Z",
        }  # fmt: skip
        first, second = read_misbehaviour(asked.application)
        assert (first, second["kind"]) == (expected, "LIGHT_CLIENT_ATTACK")
        asked.make()
        again = Application(Chain(asked.database, genesis()))
        assert read_misbehaviour(again) == [first, second]

    def test_newest_are_kept_and_the_chain_is_the_same(self, asked: Asked) -> None:
        for height in range(MAX_MISBEHAVIOUR // 2 + 1):
            self.make(asked, self.blamed(2 * height), self.blamed(2 * height + 1))
            asked.ask("Commit")
        heights = [each["height"] for each in read_misbehaviour(asked.application)]
        assert heights == list(range(2, MAX_MISBEHAVIOUR + 2))
        assert asked.application.info().app_hash == asked.application.chain.hash_of(0)

    def test_kind_or_time_that_is_none_does_not_stop_the_node(self, asked: Asked) -> None:
        self.make(asked, self.blamed(kind=9), self.blamed(kind=-1, seconds=2**62))
        asked.ask("Commit")
        told = read_misbehaviour(asked.application)
        assert [(each["kind"], each["time"] == "") for each in told] == [
            ("UNKNOWN", False), ("UNKNOWN", True),
        ]  # fmt: skip
        assert asked.failures == []


class TestVotes:
    @pytest.fixture
    def governed(self, tmp_path: Path) -> Iterator[Asked]:
        asked = Asked(tmp_path / "governed", founded_by_four())
        yield asked
        asked.database.close()

    def test_removed_members_transactions_leave_the_mempool(self, governed: Asked) -> None:
        waiting = [signed(3, n, "register_log", bytes([n + 1]) * 32, NAME) for n in range(2)]
        assert [governed.check(each)[0] for each in waiting] == [Code.OK] * 2
        governed.make(*decided(0, "remove", account=province(3).account))
        for each in waiting:
            assert governed.check(each, recheck=True) == (Code.NOT_ALLOWED, "")
            assert governed.check(each) == (Code.NOT_ALLOWED, "")
        assert len(governed.pool) == 0

    def test_updates_are_handed_to_cometbft_with_the_height(self, governed: Asked) -> None:
        gone = province(3).member
        (update,) = governed.finalize(*decided(0, "remove", account=gone.account)).validator_updates
        assert (update.pub_key.ed25519, update.power) == (gone.validator_key, 0)

    def test_unknown_upgrade_ends_the_node_with_the_plans_name(self, governed: Asked) -> None:
        plan = bytes([5]) * 32
        governed.make()
        governed.make(*decided(0, "upgrade", height=3, plan=plan))
        for method in ("PrepareProposal", "ProcessProposal"):
            with pytest.raises(UpgradeNeeded, match=plan.hex()):
                governed.ask(method)
        with pytest.raises(UpgradeNeeded, match=plan.hex()):
            governed.finalize()
        assert len(governed.failures) == 3
        assert governed.application.info().height == 2

    def test_peers_are_looked_at_after_a_decision_and_only_then(self, governed: Asked) -> None:
        looked: list[int] = []
        height = governed.application.info
        governed.service._on_change = lambda: looked.append(height().height)
        governed.make()
        governed.make(signed(1, 0, "register_log", bytes([9]) * 32, NAME))
        governed.make(*decided(0, "gas-limit", gas_limit=2_000_000)[:1], b"junk")
        governed.make()
        assert looked == [2, 3]


NAME = bytes([1]) * 32


def founded_by_four() -> Genesis:
    members = [each.member for each in provinces(4)]
    return consortium("test-0123456789abcdef", CHAIN_ID, "2025-11-22T08:26:40Z", members)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(txs=BLOCKS, seconds=st.integers(-(2**62), 2**40))
def test_any_block_has_an_answer_and_the_same_one_twice(
    untouched: Asked, txs: list[bytes], seconds: int
) -> None:
    fields = {"height": 1, "time": {"seconds": seconds}, "txs": txs}
    done = untouched.ask("FinalizeBlock", **fields)
    assert [each.code in set(Code) for each in done.tx_results] == [True] * len(txs)
    assert untouched.ask("FinalizeBlock", **fields) == done
    ran = [raw for raw, each in zip(txs, done.tx_results, strict=True) if each.code < 2]
    assert untouched.ask("FinalizeBlock", **{**fields, "txs": ran}).app_hash == done.app_hash
    chosen = list(untouched.ask("PrepareProposal", txs=txs, max_tx_bytes=100_000).txs)
    assert untouched.ask("ProcessProposal", txs=chosen).status == ACCEPT
    assert untouched.failures == []


def test_processes_with_other_seeds_zones_and_languages_agree(tmp_path: Path) -> None:
    blocks: list[tuple[int, list[bytes]]] = [
        (5, [register_log(0).typed(), b"junk", register_log(0, "b", OTHER_MEMBER).legacy()]),
        (6, []),
        (3, [Head(0, 1).anchor(9, nonce=1).typed(), Head(9, 2).anchor(70, 2).typed()]),
        (9, [register_log(3).typed(), register_log(9).typed(), b"\x02" * 900]),
    ]
    said = fed_in_two_processes(tmp_path, blocks, found_homes(tmp_path / "founded", 1)[0])
    hashes = [line.split()[1] for line in said]
    assert [len(set(hashes)), hashes[0] == hashes[1]] == [3, True], "the second height is empty"


def test_processes_with_other_seeds_zones_and_languages_hand_over_the_same_validators(
    tmp_path: Path,
) -> None:
    fifth, key = province(40), Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    account, public_key = province(1).account, key.public_key().public_bytes_raw()
    changed = about("change-key", account=account, validator_key=public_key)
    votes = [signed(n, 1, "vote", 2, True, *changed) for n in (0, 2)]
    proof = key_proof(CHAIN_ID, account, key)
    blocks: list[tuple[int, list[bytes]]] = [
        (5, decided(0, "admit", fifth.proof(), **fifth.member.values())),
        (6, [signed(1, 1, "propose", *changed, proof), *votes, signed(40, 0, "vote", 2, True, *changed)]),
        (7, [*decided(2, "gas-limit", gas_limit=1_000_000), signed(40, 1, "vote", 3, True, *about("gas-limit", gas_limit=1_000_000))]),
        (8, [signed(0, 3, "register_log", bytes([n]) * 32, NAME) for n in range(3)]),
    ]  # fmt: skip
    home = found_homes(tmp_path / "founded", 1)[0]
    (home / GENESIS_FILE).write_bytes(encode(founded_by_four()))
    said = fed_in_two_processes(tmp_path, blocks, home)
    done = [MESSAGES["ResponseFinalizeBlock"].FromString(bytes.fromhex(line.split()[0])) for line in said]  # fmt: skip
    updates = [{each.pub_key.ed25519: each.power for each in block.validator_updates} for block in done]  # fmt: skip
    replaced = {province(1).member.validator_key: 0, public_key: 1}
    assert updates == [{fifth.member.validator_key: 1}, replaced, {}, {}]
    assert len({line.split()[1] for line in said}) == 4


def fed_in_two_processes(
    folder: Path, blocks: Sequence[tuple[int, list[bytes]]], founded: Path
) -> list[str]:
    """Return what two processes, as different as can be, say of the same heights: it is the same."""
    text = json.dumps([[FOUNDED + at, *(raw.hex() for raw in txs)] for at, txs in blocks])
    environments = [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4242", "TZ": "Asia/Ho_Chi_Minh", "LANG": "tr_TR.UTF-8", "LC_ALL": ""},
    ]
    programs = []
    for number, environ in enumerate(environments):
        home = folder / str(number)
        shutil.copytree(founded, home)
        programs.append(started("-m", "tests.support.comet_work", "feed", home, **environ))
    said = [program.communicate(text, timeout=60) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], said
    assert said[0][0] == said[1][0]
    return said[0][0].splitlines()
