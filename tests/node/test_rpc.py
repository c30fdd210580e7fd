# SPDX-License-Identifier: GPL-3.0-or-later
"""web3.py at a real node: read, send, wait, call, estimate, filter, prove, and be refused."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError

import contracts
from node.light import (
    EMPTY_ROOT,
    TrieNodes,
    format_time,
    from_rpc,
    keccak256,
    leaf_hash,
    parse_header,
    root,
    verify_ancestry,
    verify_light_block,
)
from node.rpc.errors import LimitExceeded
from node.rpc.logs import BLOOM, MAX_RANGE, LogFilter, find_logs
from tests.support.running_node import (
    MEMBER,
    OTHER,
    STRANGER,
    Client,
    found_home,
    running,
    wait_final,
)

LOG_KEY_ID = bytes([0x44]) * 32
ORIGIN = sha256(b"test/2026").digest()
NO_PATH: list[bytes] = []


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("node") / "node"
    found_home(home)
    with running(home) as client:
        yield client


@pytest.fixture(scope="module")
def anchored(client: Client) -> Any:
    """A log registered and its first checkpoint anchored; the receipt of the latter."""
    registered = client.send(
        client.contract("Consortium").functions.register_log(ORIGIN, LOG_KEY_ID)
    )
    assert registered.status == 1
    first = (MEMBER.address, LOG_KEY_ID, 0, EMPTY_ROOT, bytes(32), registered.blockNumber)
    size, tree = 3, root([leaf_hash(bytes([i])) for i in range(3)])
    anchor = client.contract("AnchorLog").functions.anchor(ORIGIN, first, size, tree, NO_PATH)
    receipt = client.send(anchor)
    assert receipt.status == 1
    return receipt


def test_constants_of_the_chain(client: Client) -> None:
    web3 = client.web3
    assert web3.is_connected()
    assert web3.eth.chain_id == client.node.chain.chain_id
    assert web3.net.version == str(client.node.chain.chain_id)
    assert web3.client_version.startswith("moneo/")
    assert web3.eth.syncing is False
    assert (web3.eth.gas_price, web3.eth.max_priority_fee) == (0, 0)
    assert list(web3.eth.accounts) == []


def test_contracts_are_there_from_genesis(client: Client) -> None:
    for name, address in contracts.ADDRESSES.items():
        code = client.web3.eth.get_code(Web3.to_checksum_address(address), "earliest")
        assert bytes(code) == contracts.runtime_code(name)
    is_member = client.contract("Consortium").functions.is_member
    assert is_member(MEMBER.address).call() is True
    assert is_member(STRANGER.address).call() is False


def test_blocks_by_tag_number_and_hash_are_the_same(client: Client, anchored: Any) -> None:
    eth = client.web3.eth
    head = eth.get_block("latest", full_transactions=True)
    assert head["number"] >= anchored.blockNumber
    assert eth.get_block(head["number"]).hash == head["hash"] == eth.get_block(head["hash"]).hash
    assert head["baseFeePerGas"] == 0
    assert eth.get_block("earliest")["number"] == 0
    parent = eth.get_block(head["number"] - 1)
    assert head["parentHash"] == parent["hash"]
    wait_final(client, head["number"])
    for tag in ("safe", "finalized", "pending"):
        assert eth.get_block(tag)["number"] == head["number"]


def test_block_is_its_rlp(client: Client, anchored: Any) -> None:
    block = client.web3.eth.get_block(anchored.blockNumber)
    header = client.node.chain.header_rlp(anchored.blockNumber)
    assert keccak256(header) == bytes(block["hash"])
    raw = client.rpc("eth_getRawTransactionByHash", anchored.transactionHash.to_0x_hex())["result"]
    # Lengths of list heads: 3 bytes for the block, 3 each for list and envelope, 2 empty lists.
    assert block["size"] == 3 + len(header) + 3 + 3 + len(HexBytes(raw)) + 2


def test_unknown_block_is_none(client: Client) -> None:
    with pytest.raises(BlockNotFound):
        client.web3.eth.get_block(10**9)
    with pytest.raises(BlockNotFound):
        client.web3.eth.get_block(HexBytes(bytes(32)))
    assert client.rpc("eth_getBlockReceipts", "0x3b9aca00")["result"] is None
    answer = client.rpc("eth_getBalance", MEMBER.address, "0x3b9aca00")
    assert answer["error"]["code"] == -32000


def test_transaction_and_receipt_say_where_they_are(client: Client, anchored: Any) -> None:
    eth = client.web3.eth
    tx = eth.get_transaction(anchored.transactionHash)
    assert (tx["blockNumber"], tx["transactionIndex"]) == (anchored.blockNumber, 0)
    assert (tx["from"], tx["type"]) == (MEMBER.address, 2)
    assert eth.get_transaction_by_block(anchored.blockNumber, 0)["hash"] == tx["hash"]
    block = eth.get_block(anchored.blockNumber)
    assert eth.get_transaction_by_block(block["hash"], 0)["hash"] == tx["hash"]
    assert eth.get_block_transaction_count(block["hash"]) == 1
    raw = eth.get_raw_transaction(tx["hash"])
    assert Account.recover_transaction(raw) == MEMBER.address
    (receipt,) = client.rpc("eth_getBlockReceipts", hex(anchored.blockNumber))["result"]
    assert receipt["transactionHash"] == tx["hash"].to_0x_hex()
    assert anchored.gasUsed == anchored.cumulativeGasUsed == block["gasUsed"]


def test_unknown_transaction_is_none(client: Client) -> None:
    with pytest.raises(TransactionNotFound):
        client.web3.eth.get_transaction(HexBytes(bytes(32)))
    with pytest.raises(TransactionNotFound):
        client.web3.eth.get_transaction_receipt(HexBytes(bytes(32)))


def test_two_transactions_of_a_block_have_their_own_gas_and_logs(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register
    nonces = [client.web3.eth.get_transaction_count(each.address) for each in (MEMBER, OTHER)]
    raws = [
        client.sign(register(bytes([7]) * 32, 1, bytes([8]) * 32), each, nonce=nonce)
        for each, nonce in zip((MEMBER, OTHER), nonces, strict=True)
    ]
    hashes = [client.web3.eth.send_raw_transaction(raw) for raw in raws]
    first, second = [client.web3.eth.wait_for_transaction_receipt(each) for each in hashes]
    if first.blockNumber == second.blockNumber:
        assert second.cumulativeGasUsed == first.gasUsed + second.gasUsed
        assert [log.logIndex for log in (*first.logs, *second.logs)] == [0, 1]
    events = client.contract("IssuerRegistry").events.Registered().process_receipt(second)
    assert events[0].args.owner == OTHER.address


def test_legacy_transaction_with_eip_155_is_taken(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register(b"\1" * 32, 2, b"\2" * 32)
    fields = {
        "from": MEMBER.address,
        "nonce": client.web3.eth.get_transaction_count(MEMBER.address),
        "gas": 200_000,
        "gasPrice": 0,
        "chainId": client.node.chain.chain_id,
    }
    signed = MEMBER.sign_transaction(register.build_transaction(fields))
    tx_hash = client.web3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = client.web3.eth.wait_for_transaction_receipt(tx_hash)
    assert (receipt["status"], receipt["type"]) == (1, 0)
    seen = client.web3.eth.get_transaction(tx_hash)
    assert (seen["v"], seen["gasPrice"]) == (signed.v, 0)


def test_gap_waits_and_is_seen_as_pending(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register
    eth = client.web3.eth
    nonce = eth.get_transaction_count(OTHER.address)
    later = client.sign(register(b"\3" * 32, 1, b"\3" * 32), OTHER, nonce=nonce + 1)
    tx_hash = eth.send_raw_transaction(later)
    assert eth.get_transaction(tx_hash)["blockNumber"] is None
    assert eth.get_transaction_count(OTHER.address, "pending") == nonce
    assert eth.send_raw_transaction(later) == tx_hash
    client.send(register(b"\4" * 32, 1, b"\4" * 32), OTHER, nonce=nonce)
    assert eth.wait_for_transaction_receipt(tx_hash)["status"] == 1
    assert eth.get_transaction_count(OTHER.address, "pending") == nonce + 2


def test_same_bytes_again_are_no_error_once_they_are_in_a_block(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register
    raw = client.sign(register(b"\x71" * 32, 1, b"\x71" * 32))
    tx_hash = client.web3.eth.send_raw_transaction(raw)
    client.web3.eth.wait_for_transaction_receipt(tx_hash)
    nonce = client.web3.eth.get_transaction_count(MEMBER.address)
    assert client.web3.eth.send_raw_transaction(raw) == tx_hash
    assert client.web3.eth.get_transaction_count(MEMBER.address, "pending") == nonce
    other = client.sign(register(b"\x72" * 32, 1, b"\x72" * 32), nonce=nonce - 1)
    with pytest.raises(Web3RPCError, match="nonce too low"):
        client.web3.eth.send_raw_transaction(other)


def test_access_list_is_made_and_taken(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register(b"\x73" * 32, 1, b"\x73" * 32)
    request = {"from": MEMBER.address, "to": register.address}
    request["data"] = register._encode_transaction_data()
    made = client.web3.eth.create_access_list(request)
    (entry,) = [each for each in made["accessList"] if each["address"] == register.address]
    assert entry["storageKeys"]
    listed = [{name: each[name] for name in each} for each in made["accessList"]]
    asked = {**request, "accessList": listed}
    estimate = int(client.rpc("eth_estimateGas", asked)["result"], 16)
    assert made["gasUsed"] <= estimate <= made["gasUsed"] * 1.02
    # PUSH0, PUSH0, REVERT.
    reverting = client.rpc("eth_createAccessList", {"data": "0x5f5ffd"})["result"]
    assert reverting["error"] == "execution reverted"
    for wrong in ({}, {"address": "0x00"}, {"address": register.address, "storageKeys": 1}):
        answer = client.rpc("eth_call", {**request, "accessList": [wrong]})
        assert answer["error"]["code"] == -32602


def test_call_and_estimate(client: Client, anchored: Any) -> None:
    head = client.contract("AnchorLog").functions.head(ORIGIN)
    slot = Web3.to_int(contracts.head_slot(ORIGIN))
    address = Web3.to_checksum_address(contracts.ADDRESSES["AnchorLog"])
    assert head.call() == bytes(client.web3.eth.get_storage_at(address, slot))
    before = anchored.blockNumber - 1
    assert head.call(block_identifier=before) != head.call()
    assert client.web3.eth.get_storage_at(address, slot, before) == head.call(
        block_identifier=before
    )
    register = client.contract("IssuerRegistry").functions.register(b"\5" * 32, 1, b"\5" * 32)
    estimate = register.estimate_gas({"from": MEMBER.address})
    used = client.send(register, gas=estimate).gasUsed
    assert used <= estimate <= used * 1.1
    assert client.web3.eth.call({"to": STRANGER.address}) == b""


def test_web3_fills_in_and_sends_without_being_told_fees(client: Client) -> None:
    register = client.contract("IssuerRegistry").functions.register(b"\6" * 32, 1, b"\6" * 32)
    nonce = client.web3.eth.get_transaction_count(MEMBER.address)
    built = register.build_transaction({"from": MEMBER.address, "nonce": nonce})
    assert (built["maxFeePerGas"], built["maxPriorityFeePerGas"]) == (0, 0)
    raw = MEMBER.sign_transaction(built).raw_transaction
    tx_hash = client.web3.eth.send_raw_transaction(raw)
    assert client.web3.eth.wait_for_transaction_receipt(tx_hash)["status"] == 1


def test_revert_is_decoded_by_web3(client: Client, anchored: Any) -> None:
    again = client.contract("Consortium").functions.register_log(ORIGIN, LOG_KEY_ID)
    for ask in (again.call, again.estimate_gas):
        with pytest.raises(ContractLogicError, match="registered before"):
            ask({"from": MEMBER.address})
    error = client.rpc(
        "eth_call",
        {"from": MEMBER.address, "to": again.address, "data": again._encode_transaction_data()},
    )["error"]
    assert error["code"] == 3
    assert error["data"].startswith("0x08c379a0")
    receipt = client.send(again)
    assert (receipt.status, receipt.logs) == (0, [])


def test_call_that_runs_out_of_gas_says_so(client: Client) -> None:
    # JUMPDEST, PUSH0, JUMP: for ever.
    answer = client.rpc("eth_call", {"data": "0x5b5f56", "gas": "0x186a0"})
    assert answer["error"]["code"] == -32000
    assert "gas" in answer["error"]["message"].lower()
    poor = client.rpc("eth_call", {"to": OTHER.address, "value": "0x1"})
    assert "funds" in poor["error"]["message"]
    small = client.rpc("eth_call", {"to": OTHER.address, "gas": "0x1"})
    assert "intrinsic gas" in small["error"]["message"]


def test_call_sees_block_number_and_ancestors_hash(client: Client, anchored: Any) -> None:
    number = anchored.blockNumber
    # NUMBER, PUSH0, MSTORE, then BLOCKHASH(number - 1) behind it; return both words.
    code = "0x43 5f 52 6001 43 03 40 6020 52 6040 5f f3".replace(" ", "")
    returned = HexBytes(client.rpc("eth_call", {"data": code}, hex(number))["result"])
    assert int.from_bytes(returned[:32], "big") == number
    assert bytes(returned[32:]) == client.node.chain.hash_of(number - 1)


def test_fee_history(client: Client, anchored: Any) -> None:
    history = client.web3.eth.fee_history(4, "latest", [10.0, 90.0])
    count = len(history["gasUsedRatio"])
    assert history["baseFeePerGas"] == [0] * (count + 1)
    assert history["reward"] == [[0, 0]] * count


def test_logs_by_address_topic_and_range(client: Client, anchored: Any) -> None:
    eth = client.web3.eth
    log_address = Web3.to_checksum_address(contracts.ADDRESSES["AnchorLog"])
    everything = eth.get_logs({"fromBlock": 0, "toBlock": "latest"})
    of_log = eth.get_logs({"fromBlock": 0, "address": log_address})
    assert 0 < len(of_log) < len(everything)
    events = client.contract("AnchorLog").events.Anchored().get_logs(from_block=0)
    assert [event.args.origin for event in events] == [ORIGIN]
    assert events[0].args.head.size == 3
    topics: list[Any] = [None, ["0x" + ORIGIN.hex(), "0x" + bytes(32).hex()]]
    assert len(eth.get_logs({"fromBlock": 0, "topics": topics})) == 2
    assert eth.get_logs({"fromBlock": 0, "topics": [None, "0x" + bytes(32).hex()]}) == []
    by_hash = eth.get_logs({"blockHash": anchored.blockHash})
    assert [log["transactionHash"] for log in by_hash] == [anchored.transactionHash]
    assert eth.get_logs({"fromBlock": 10**6, "toBlock": 10**6}) == []


def test_bloom_is_read_out_of_the_header(client: Client, anchored: Any) -> None:
    chain = client.node.chain
    for number in range(chain.head().block_number + 1):
        stored = int.from_bytes(chain.header_rlp(number)[BLOOM], "big")
        assert stored == chain.header(number).bloom
    assert chain.header(anchored.blockNumber).bloom


def test_log_range_is_bounded(client: Client) -> None:
    with pytest.raises(LimitExceeded, match="blocks at a time"):
        find_logs(client.node.chain, LogFilter(), range(MAX_RANGE + 1))
    wrong = client.rpc("eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x1"})
    assert wrong["error"]["code"] == -32602
    both = client.rpc("eth_getLogs", {"fromBlock": "0x2", "blockHash": "0x" + "00" * 32})
    assert both["error"]["code"] == -32602


def test_filters_give_what_is_new(client: Client, anchored: Any) -> None:
    eth = client.web3.eth
    blocks, logs = eth.filter("latest"), eth.filter({"address": anchored.to})
    receipt = client.send(
        client.contract("Consortium").functions.register_log(sha256(b"next").digest(), LOG_KEY_ID)
    )
    assert receipt.blockHash in blocks.get_new_entries()
    assert [log["transactionHash"] for log in logs.get_new_entries()] == [receipt.transactionHash]
    assert blocks.get_new_entries() == logs.get_new_entries() == []
    assert eth.uninstall_filter(logs.filter_id)
    with pytest.raises(Web3RPCError, match="filter not found"):
        logs.get_new_entries()
    assert not eth.uninstall_filter(logs.filter_id)


def test_filter_for_transactions_gives_their_hashes(client: Client) -> None:
    pending = client.web3.eth.filter("pending")
    name = sha256(b"pending").digest()
    receipt = client.send(client.contract("Consortium").functions.register_log(name, LOG_KEY_ID))
    assert pending.get_new_entries() == [receipt.transactionHash]
    assert pending.get_new_entries() == []
    assert client.rpc("eth_getFilterLogs", pending.filter_id)["error"]["code"] == -32000


def test_proof_holds_against_the_header(client: Client, anchored: Any) -> None:
    slot = contracts.head_slot(ORIGIN)
    number = anchored.blockNumber
    proof = client.web3.eth.get_proof(anchored.to, [Web3.to_int(slot), 12345], number)
    light = wait_final(client, number)
    header = parse_header(bytes(HexBytes(light["evmHeader"])))
    nodes = [bytes(node) for node in proof["accountProof"]]
    for each in proof["storageProof"]:
        nodes += [bytes(node) for node in each["proof"] if bytes(node) not in nodes]
    trie = TrieNodes(nodes)
    account = trie.account(header.state_root, contracts.ADDRESSES["AnchorLog"])
    assert account is not None
    assert account.code_hash == contracts.code_hash("AnchorLog") == bytes(proof["codeHash"])
    head = (bytes.fromhex(MEMBER.address[2:]), LOG_KEY_ID, 3)
    tree = root([leaf_hash(bytes([i])) for i in range(3)])
    expected = contracts.head_commitment(*head, tree, bytes(32), number)
    assert trie.slot(account.storage_root, slot) == expected
    assert trie.slot(account.storage_root, (12345).to_bytes(32, "big")) == bytes(32)
    trie.finish()


def test_proof_of_an_account_that_is_not_there(client: Client) -> None:
    nobody = Web3.to_checksum_address(bytes([0x99]) * 20)
    proof = client.web3.eth.get_proof(nobody, [1])
    assert proof["nonce"] == proof["balance"] == 0
    header = client.node.chain.head()
    trie = TrieNodes([bytes(node) for node in proof["accountProof"]])
    assert trie.account(header.state_root, bytes([0x99]) * 20) is None


def test_light_block_carries_the_block_as_app_hash(client: Client, anchored: Any) -> None:
    answer = wait_final(client, anchored.blockNumber)
    light_block = from_rpc(answer["lightBlock"])
    verify_light_block(light_block, client.node.chain.genesis.cometbft_chain_id)
    header = HexBytes(answer["evmHeader"])
    assert light_block.header.app_hash == keccak256(header) == bytes(anchored.blockHash)
    assert client.rpc("moneo_getLightBlock", anchored.blockHash.to_0x_hex())["error"]
    by_hash = client.rpc("moneo_getLightBlock", {"blockHash": anchored.blockHash.to_0x_hex()})
    assert by_hash["result"] == answer
    latest = client.rpc("moneo_getLightBlock", "finalized")["result"]
    assert parse_header(bytes(HexBytes(latest["evmHeader"]))).number >= anchored.blockNumber
    assert client.rpc("moneo_getEras")["result"] == []
    assert client.rpc("moneo_getMembers")["result"] == []
    assert client.rpc("net_peerCount")["result"] == "0x0"


def test_ancestry_leads_from_a_newer_header_to_an_older(client: Client, anchored: Any) -> None:
    newest = client.node.chain.head().block_number
    assert newest > 1
    newer = parse_header(client.node.chain.header_rlp(newest))
    for number in range(newest):
        answer = client.rpc("moneo_getAncestry", number, hex(newest))["result"]
        path = [bytes(HexBytes(each)) for each in answer["path"]]
        verify_ancestry(client.node.chain.hash_of(number), number, newer, path)
    assert client.rpc("moneo_getAncestry", newest, newest)["error"]["code"] == -32000


# Transactions against the rules: how each differs from one that would run, and the reason given.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"chainId": 1}, "chain id"),
    ({"signer": STRANGER}, "sender not allowed"),
    ({"to": STRANGER.address}, "target not allowed"),
    ({"to": None}, "cannot be created"),
    ({"nonce": -1}, "nonce too low"),
    ({"nonce": 10_000}, "nonce too high"),
    ({"gas": 1_000_001}, "gas"),
    ({"gas": 21_000}, "gas"),
    ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "funds"),
    ({"value": 1}, "funds"),
    ({"type": 1, "accessList": []}, "type 1"),
    ({"type": 3}, "type 3"),
]


def against_the_rules(client: Client, changes: dict[str, Any]) -> bytes:
    changes = dict(changes)
    signer = changes.pop("signer", MEMBER)
    nonce = client.web3.eth.get_transaction_count(signer.address)
    if changes.get("nonce") == -1:
        changes["nonce"] = nonce - 1
    register = client.contract("IssuerRegistry").functions.register(b"\x0a" * 32, 1, b"\x0b" * 32)
    fields: dict[str, Any] = {
        "type": 2,
        "to": register.address,
        "data": register._encode_transaction_data(),
        "value": 0,
        "nonce": nonce,
        "gas": 200_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "chainId": client.node.chain.chain_id,
    } | changes
    if fields["to"] is None:
        del fields["to"]
    if fields["type"] == 1:
        del fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
        fields["gasPrice"] = 0
    if fields["type"] == 3:
        return b"\x03\xc0"
    return bytes(signer.sign_transaction(fields).raw_transaction)


@pytest.mark.parametrize(("changes", "reason"), REFUSED, ids=[each[1] for each in REFUSED])
def test_transaction_against_the_rules_is_refused_with_its_reason(
    changes: dict[str, Any], reason: str, client: Client, anchored: Any
) -> None:
    raw = against_the_rules(client, changes)
    height = client.node.sequencer.height
    with pytest.raises(Web3RPCError, match=reason) as caught:
        client.web3.eth.send_raw_transaction(raw)
    response: Any = caught.value.rpc_response
    assert response["error"]["code"] == -32000
    assert client.node.sequencer.height == height


GARBAGE = [b"", b"\x00", b"\x02", b"\xc0", b"\x02\xc0", b"\xf8\xff", b"\xff" * 100, bytes(130_000)]


@pytest.mark.parametrize("raw", GARBAGE, ids=[each[:8].hex() for each in GARBAGE])
def test_garbage_is_refused(raw: bytes, client: Client) -> None:
    answer = client.rpc("eth_sendRawTransaction", "0x" + raw.hex())
    assert answer["error"]["code"] == -32000


def test_chain_goes_on_after_all_that(client: Client, anchored: Any) -> None:
    register = client.contract("IssuerRegistry").functions.register(b"\x0c" * 32, 1, b"\x0d" * 32)
    receipt = client.send(register)
    assert receipt.status == 1
    assert wait_final(client, receipt.blockNumber)
    consensus = client.rpc("moneo_getConsensus")["result"]
    (validator,) = consensus.pop("validators")
    assert validator == {
        "address": consensus["validator"],
        "publicKey": "0x" + client.node.chain.genesis.validators[0][0].hex(),
        "power": 10,
        "account": None,
        "signed": True,
    }
    block = from_rpc(client.node.sequencer.light_block_json(consensus["height"]))
    told = (consensus["time"], consensus["catchingUp"], consensus["peers"])
    assert told == (format_time(block.header.time), False, [])
    assert consensus["misbehaviour"] == []
    status = client.rpc("moneo_status")["result"]
    assert status["blockNumber"] == status["finalizedNumber"] == receipt.blockNumber
    assert status["waiting"] == 0
    assert status["height"] == client.node.sequencer.height


def test_restart_goes_on_where_it_was(tmp_path: Any) -> None:
    found_home(tmp_path / "node")
    seen = []
    for turn in range(2):
        with running(tmp_path / "node") as client:
            assert client.web3.eth.block_number == turn
            origin = bytes([turn]) * 32
            receipt = client.send(
                client.contract("Consortium").functions.register_log(origin, LOG_KEY_ID)
            )
            assert receipt.blockNumber == turn + 1
            wait_final(client, turn + 1)
            assert client.node.sequencer.height == 3 + 2 * turn
            seen.append(wait_final(client, 1))
    assert seen[0] == seen[1]
