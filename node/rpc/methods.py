# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods, as a table: name, what does it, how each parameter is read, which may be left out.

execution-apis (eth_*), with the answers that fit this chain: gas is free, a block is never taken
back, so that `latest` is the newest block, `safe` and `finalized` the newest that a light block
shows, and `pending` the latest again but for nonces. What is about a connection is done in
`node.rpc.sockets`; over HTTP it is refused. Moneo's own methods give what evidence is
made of (PROTOCOL §5 and §6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from eth.abc import BlockHeaderAPI, SignedTransactionAPI, StateAPI
from eth_typing import Address

from node.application import Application
from node.calls import AccessList, Call, CallFailed, CallPool, CallReverted, CallsBusy
from node.card import Card
from node.chain import Chain
from node.errors import Code, TransactionRefused, UnknownBlock
from node.governance import is_used
from node.light import keccak256
from node.mempool import NotTaken
from node.orderer import Orderer
from node.rpc.consortium import consensus_json, member_json
from node.rpc.errors import InvalidParams, LimitExceeded, Refused, Reverted
from node.rpc.hexes import (
    LATEST,
    BlockRef,
    data,
    parse_address,
    parse_block,
    parse_count,
    parse_data,
    parse_flag,
    parse_hash,
    parse_list,
    parse_members,
    parse_number_or_tag,
    parse_quantity,
    parse_slot,
    quantity,
)
from node.rpc.logs import Filters, LogQuery, find_logs, parse_query
from node.rpc.shapes import (
    Place,
    block_json,
    proof_json,
    receipts_json,
    transaction_json,
)
from node.rpc.subscriptions import parse_kind, parse_open_query
from node.transactions import stored_transaction
from node.vm import MAX_TRANSACTION_GAS

CLIENT_VERSION: Final = "moneo/0.1.0"
MAX_PROOF_SLOTS: Final = 128
MAX_FEE_HISTORY: Final = 1_024
# In one answer; a verifier follows no more of them from where its trust begins.
MAX_ERAS: Final = 256
MAX_PERCENTILES: Final = 100
# The gas of a transaction pays for about as many.
MAX_ACCESS_ADDRESSES: Final = 256
MAX_ACCESS_SLOTS: Final = 1_024
_NO_ONE: Final = bytes(20)

# The words by which client libraries know these refusals, before the application's own.
_REFUSALS: Final[Mapping[Code, str]] = {
    Code.MALFORMED: "malformed transaction",
    Code.WRONG_TYPE: "transaction type not supported",
    Code.WRONG_CHAIN: "invalid chain id",
    Code.BAD_SIGNATURE: "invalid sender",
    Code.NOT_CALLABLE: "target not allowed",
    Code.NOT_ALLOWED: "sender not allowed",
    Code.WRONG_GAS: "gas limit out of range",
    Code.NO_FUNDS: "insufficient funds",
    Code.NONCE_TOO_LOW: "nonce too low",
    Code.NONCE_GAP: "nonce too high",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """What the methods read and do things with."""

    chain: Chain
    application: Application
    sequencer: Orderer
    calls: CallPool
    filters: Filters
    cards: Callable[[], Sequence[Card]] = tuple

    def number(self, ref: BlockRef) -> int:
        """Return the number of the block referred to. Raises UnknownBlock."""
        if ref.hash is not None:
            return self.chain.header_by_hash(ref.hash).block_number
        if ref.number is not None:
            return self.chain.header(ref.number).block_number
        return self._tagged(ref.tag or LATEST)

    def header(self, ref: BlockRef) -> BlockHeaderAPI:
        """Return the header of the block referred to. Raises UnknownBlock."""
        return self.chain.header(self.number(ref))

    def state(self, ref: BlockRef) -> StateAPI:
        """Return the state after the block referred to. Raises UnknownBlock."""
        return self.chain.state_at(self.header(ref))

    def _tagged(self, tag: str) -> int:
        head = self.chain.head().block_number
        if tag == "earliest":
            return 0
        # The newest block waits for its light block for as long as the next height takes.
        if tag in {"safe", "finalized"} and head and self.sequencer.height_of(head) is None:
            return head - 1
        return head


@dataclass(frozen=True, slots=True)
class Param:
    """How a parameter is read. One without default has to be there; null is the same as absent."""

    name: str
    parse: Callable[[Any], Any]
    default: Any = ...


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what does it, its parameters in order, and whether it waits for another process."""

    function: Callable[..., Any]
    params: tuple[Param, ...] = ()
    calls: bool = False

    def read(self, values: list[Any]) -> list[Any]:
        """Return the arguments that a request's parameters are. Raises InvalidParams."""
        if len(values) > len(self.params):
            raise InvalidParams(f"takes at most {len(self.params)} parameters, got {len(values)}")
        padded = [*values, *[None] * (len(self.params) - len(values))]
        return [_argument(param, value) for param, value in zip(self.params, padded, strict=True)]


def _argument(param: Param, value: Any) -> Any:
    if value is None:
        if param.default is ...:
            raise InvalidParams(f"parameter {param.name} is missing")
        return param.default
    try:
        return param.parse(value)
    except InvalidParams as error:
        raise InvalidParams(f"parameter {param.name}: {error.message}") from error


# The chain


def _chain_id(node: Backend) -> str:
    return quantity(node.chain.chain_id)


def _net_version(node: Backend) -> str:
    return str(node.chain.chain_id)


def _block_number(node: Backend) -> str:
    return quantity(node.chain.head().block_number)


def _fee_history(
    node: Backend, count: int, newest: BlockRef, percentiles: list[Any] | None
) -> dict[str, Any]:
    last = node.number(newest)
    count = min(count, MAX_FEE_HISTORY, last + 1)
    headers = [node.chain.header(number) for number in range(last + 1 - count, last + 1)]
    history: dict[str, Any] = {
        "oldestBlock": quantity(last + 1 - count),
        "baseFeePerGas": ["0x0"] * (count + 1),
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        "baseFeePerBlobGas": ["0x0"] * (count + 1),
        "blobGasUsedRatio": [0.0] * count,
    }
    if percentiles:
        history["reward"] = [["0x0"] * len(percentiles)] * count
    return history


# Blocks and transactions


def _block(node: Backend, ref: BlockRef, full: bool) -> dict[str, Any] | None:
    try:
        return block_json(node.chain, node.number(ref), full)
    except UnknownBlock:
        return None


def _block_by_hash(node: Backend, block_hash: bytes, full: bool) -> dict[str, Any] | None:
    return _block(node, BlockRef(hash=block_hash), full)


def _transaction_count_of(node: Backend, ref: BlockRef) -> str | None:
    block = _block(node, ref, full=False)
    return quantity(len(block["transactions"])) if block else None


def _transaction_count_by_hash(node: Backend, block_hash: bytes) -> str | None:
    return _transaction_count_of(node, BlockRef(hash=block_hash))


def _block_receipts(node: Backend, ref: BlockRef) -> list[dict[str, Any]] | None:
    try:
        return receipts_json(node.chain, node.number(ref))
    except UnknownBlock:
        return None


def _transaction_in(node: Backend, ref: BlockRef, index: int) -> dict[str, Any] | None:
    block = _block(node, ref, full=True)
    listed: list[dict[str, Any]] = block["transactions"] if block else []
    return listed[index] if index < len(listed) else None


def _transaction_in_hash(node: Backend, block_hash: bytes, index: int) -> dict[str, Any] | None:
    return _transaction_in(node, BlockRef(hash=block_hash), index)


def _find(node: Backend, tx_hash: bytes) -> tuple[SignedTransactionAPI, Place | None] | None:
    """Return a transaction and its place, None as place while it waits; None if not known."""
    # The pool first: a transaction leaves it only after its block is stored.
    waiting = node.sequencer.mempool.get(tx_hash)
    location = _location(node, tx_hash)
    if location is None:
        return (stored_transaction(waiting), None) if waiting else None
    number, index = location
    place = Place(node.chain.hash_of(number), number, index)
    return node.chain.block_transactions(number)[index], place


def _location(node: Backend, tx_hash: bytes) -> tuple[int, int] | None:
    """Return where a transaction stands, once `latest` is its block or a later one.

    A block is written a moment before it is the head: who has seen a receipt may ask for the
    latest state at once, and has to find it there.
    """
    location = node.chain.transaction_location(tx_hash)
    return location if location and location[0] <= node.chain.head().block_number else None


def _transaction(node: Backend, tx_hash: bytes) -> dict[str, Any] | None:
    found = _find(node, tx_hash)
    return transaction_json(*found) if found else None


def _raw_transaction(node: Backend, tx_hash: bytes) -> str | None:
    found = _find(node, tx_hash)
    return data(found[0].encode()) if found else None


def _receipt(node: Backend, tx_hash: bytes) -> dict[str, Any] | None:
    location = _location(node, tx_hash)
    if location is None:
        return None
    number, index = location
    return receipts_json(node.chain, number)[index]


def _send(node: Backend, raw: bytes) -> str:
    try:
        return data(node.sequencer.submit(raw))
    except TransactionRefused as error:
        # The same bytes again, from a client whose answer was lost: the first time counted.
        if error.code is Code.NONCE_TOO_LOW and _location(node, keccak256(raw)) is not None:
            return data(keccak256(raw))
        title = _REFUSALS.get(error.code, "transaction refused")
        raise Refused(f"{title}: {error.message}") from error
    except NotTaken as error:
        raise Refused(str(error)) from error


# State


def _balance(node: Backend, address: bytes, ref: BlockRef) -> str:
    return quantity(node.state(ref).get_balance(Address(address)))


def _code(node: Backend, address: bytes, ref: BlockRef) -> str:
    return data(node.state(ref).get_code(Address(address)))


def _storage(node: Backend, address: bytes, slot: bytes, ref: BlockRef) -> str:
    value = node.state(ref).get_storage(Address(address), int.from_bytes(slot, "big"))
    return data(value.to_bytes(32, "big"))


def _nonce(node: Backend, address: bytes, ref: BlockRef) -> str:
    if ref.tag == "pending":
        return quantity(node.sequencer.mempool.pending_nonce(address))
    return quantity(node.state(ref).get_nonce(Address(address)))


def _proof(node: Backend, address: bytes, slots: list[bytes], ref: BlockRef) -> dict[str, Any]:
    return proof_json(node.chain.prove(node.header(ref), address, slots))


# Calls


def _parse_access(value: Any) -> tuple[bytes, tuple[bytes, ...]]:
    members = parse_members(value, _ACCESS_MEMBERS, "an entry of an access list")
    if "address" not in members:
        raise InvalidParams("an entry of an access list has no address")
    return members["address"], tuple(members.get("storageKeys", ()))


_ACCESS_MEMBERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "address": parse_address,
    "storageKeys": parse_list(parse_hash, MAX_ACCESS_SLOTS),
}
_CALL_MEMBERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "from": parse_address,
    "to": parse_address,
    "gas": parse_quantity,
    "value": parse_quantity,
    "data": parse_data,
    "input": parse_data,
    # Said by clients out of habit, and without effect on a chain where gas is free.
    "gasPrice": parse_quantity,
    "maxFeePerGas": parse_quantity,
    "maxPriorityFeePerGas": parse_quantity,
    "nonce": parse_quantity,
    "chainId": parse_quantity,
    "type": parse_quantity,
    "accessList": parse_list(_parse_access, MAX_ACCESS_ADDRESSES),
}


def _parse_call(value: Any) -> Call:
    """Return the call that a transaction object is; gas 0 stands for as much as there is."""
    members = parse_members(value, _CALL_MEMBERS, "a call")
    inputs = {members[name] for name in ("data", "input") if name in members}
    if len(inputs) > 1:
        raise InvalidParams("data and input differ")
    return Call(
        to=members.get("to"),
        sender=members.get("from", _NO_ONE),
        data=inputs.pop() if inputs else b"",
        value=members.get("value", 0),
        gas=members.get("gas", 0),
        access_list=tuple(members.get("accessList", ())),
    )


def _capped(call: Call, cap: int) -> Call:
    return replace(call, gas=min(call.gas or cap, cap))


def _call(node: Backend, call: Call, ref: BlockRef) -> str:
    capped = _capped(call, node.chain.gas_limit)
    return data(_answered(node.calls.call, capped, node.number(ref)))


def _estimate(node: Backend, call: Call, ref: BlockRef) -> str:
    capped = _capped(call, MAX_TRANSACTION_GAS)
    return quantity(_answered(node.calls.estimate, capped, node.number(ref)))


def _access_list(node: Backend, call: Call, ref: BlockRef) -> dict[str, Any]:
    capped = _capped(call, MAX_TRANSACTION_GAS)
    found = _answered(node.calls.access_list, capped, node.number(ref))
    answer = {"accessList": _accesses_json(found.accesses), "gasUsed": quantity(found.gas_used)}
    return answer if found.error is None else answer | {"error": found.error}


def _accesses_json(accesses: AccessList) -> list[dict[str, Any]]:
    return [
        {"address": data(address), "storageKeys": [data(slot) for slot in slots]}
        for address, slots in accesses
    ]


def _answered(ask: Callable[[Call, int], Any], call: Call, number: int) -> Any:
    try:
        return ask(call, number)
    except CallReverted as error:
        raise Reverted(_revert_message(error.data), data(error.data)) from error
    except CallsBusy as error:
        raise LimitExceeded(str(error)) from error
    except CallFailed as error:
        raise Refused(str(error)) from error


# Solidity's `Error(string)`: selector, offset 32, length, text.
_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
_ERROR_TEXT: Final = 4 + 32 + 32


def _revert_message(returned: bytes) -> str:
    """Return geth's words for a revert, with the reason that `Error(string)` carries."""
    if returned[:4] != _ERROR_SELECTOR or len(returned) < _ERROR_TEXT:
        return "execution reverted"
    size = int.from_bytes(returned[_ERROR_TEXT - 32 : _ERROR_TEXT], "big")
    text = returned[_ERROR_TEXT : _ERROR_TEXT + size].decode("utf-8", "replace")
    return f"execution reverted: {text}"


# Logs


def _logs(node: Backend, query: LogQuery) -> list[dict[str, Any]]:
    if query.block_hash is not None:
        number = node.number(BlockRef(hash=query.block_hash))
        return find_logs(node.chain, query.logs, range(number, number + 1))
    head = node.chain.head().block_number
    first, last = (_bound(node, ref, head) for ref in (query.first, query.last))
    if last < first:
        raise InvalidParams("fromBlock is after toBlock")
    return find_logs(node.chain, query.logs, range(first, min(last, head) + 1))


def _bound(node: Backend, ref: BlockRef, head: int) -> int:
    # A range may end in the future: there is nothing there yet.
    return ref.number if ref.number is not None and ref.number > head else node.number(ref)


def _new_filter(node: Backend, query: LogQuery) -> str:
    return node.filters.add(query)


def _new_block_filter(node: Backend) -> str:
    return node.filters.add(None)


def _new_transaction_filter(node: Backend) -> str:
    # A transaction that waits is in a block a moment later: it is told when it is.
    return node.filters.add(None, of_transactions=True)


def _remove_filter(node: Backend, name: str) -> bool:
    return node.filters.remove(name)


def _filter_changes(node: Backend, name: str) -> list[Any]:
    return node.filters.changes(name)


def _filter_logs(node: Backend, name: str) -> list[dict[str, Any]]:
    return _logs(node, node.filters.query(name))


def _parse_filter_id(value: Any) -> str:
    return quantity(parse_quantity(value))


# Moneo's own


def _light_block(node: Backend, ref: BlockRef) -> dict[str, Any] | None:
    number = node.number(ref)
    height = node.sequencer.height_of(number)
    if height is None:
        return None
    return {
        "evmHeader": data(node.chain.header_rlp(number)),
        "lightBlock": node.sequencer.light_block_json(height),
    }


def _eras(node: Backend, after: int) -> list[dict[str, Any]]:
    heights = (node.application.era_height(era) for era in range(node.chain.consortium.era + 1))
    newest = node.sequencer.height
    # The newest has been decided, and its block may still be on its way.
    there = [height for height in heights if height is not None and after < height <= newest]
    return [node.sequencer.light_block_json(height) for height in there[:MAX_ERAS]]


def _members(node: Backend) -> list[dict[str, Any]]:
    """Return the members with their records; none where genesis had no records of them."""
    if not node.chain.genesis.records:
        return []
    cards = {card.member.account: card for card in node.cards()}
    members = node.chain.consortium.members
    return [member_json(each, cards.get(each.account)) for each in members]


def _former_members(node: Backend) -> list[dict[str, Any]]:
    """Return whose cards are kept here and who were members: their node ids are used up."""
    today = {each.account for each in node.chain.consortium.members}
    state = node.chain.state_at(node.chain.head())
    return [
        member_json(card.member, card)
        for card in node.cards()
        if card.member.account not in today and is_used(state, card.member.node_id)
    ]


def _consensus(node: Backend) -> dict[str, Any]:
    found = node.sequencer.consensus()
    return {
        "validator": data(node.sequencer.validator),
        **consensus_json(node.application, found),
    }


def _syncing(node: Backend) -> bool | dict[str, str]:
    if not node.sequencer.is_catching_up():
        return False
    # How far the others are, CometBFT does not tell.
    head = quantity(node.chain.head().block_number)
    return {"startingBlock": "0x0", "currentBlock": head, "highestBlock": head}


def _ancestry(node: Backend, number: int, of_number: int) -> dict[str, Any]:
    return {"path": [data(each) for each in node.chain.ancestry_path(number, of_number)]}


def _status(node: Backend) -> dict[str, Any]:
    head = node.chain.head()
    return {
        "chainId": node.chain.chain_id,
        "cometbftChainId": node.chain.genesis.cometbft_chain_id,
        "blockNumber": head.block_number,
        "blockHash": data(head.hash),
        "finalizedNumber": node.number(BlockRef(tag="finalized")),
        "height": node.sequencer.height,
        "validator": node.sequencer.validator.hex().upper(),
        "waiting": len(node.sequencer.mempool),
    }


def _need_socket(_node: Backend, *_: Any) -> Any:
    raise Refused("subscriptions need a WebSocket: connect to this port with ws://")


def _always(value: Any) -> Callable[[Backend], Any]:
    return lambda _node: value


_AT = Param("block", parse_block, BlockRef(tag=LATEST))
_BLOCK = Param("block", parse_number_or_tag)
_BLOCK_HASH = Param("block hash", parse_hash)
_ADDRESS = Param("address", parse_address)
_FULL = Param("full transactions", parse_flag, default=False)
_TX_HASH = Param("transaction hash", parse_hash)
_INDEX = Param("index", parse_quantity)
_CALL = Param("call", _parse_call)
_QUERY = Param("filter", parse_query)
_FILTER_ID = Param("filter id", _parse_filter_id)
_SUBSCRIPTION_ID = Param("subscription id", _parse_filter_id)
_NUMBER = Param("block number", parse_count)
_PERCENTILES = Param("percentiles", parse_list(lambda item: item, MAX_PERCENTILES), None)

METHODS: Final[Mapping[str, Method]] = {
    "web3_clientVersion": Method(_always(CLIENT_VERSION)),
    "web3_sha3": Method(lambda _node, value: data(keccak256(value)), (Param("data", parse_data),)),
    "net_version": Method(_net_version),
    "net_listening": Method(_always(True)),
    "net_peerCount": Method(lambda node: quantity(node.sequencer.peer_count()), calls=True),
    "eth_chainId": Method(_chain_id),
    "eth_blockNumber": Method(_block_number),
    "eth_syncing": Method(_syncing, calls=True),
    "eth_accounts": Method(_always([])),
    "eth_gasPrice": Method(_always("0x0")),
    "eth_maxPriorityFeePerGas": Method(_always("0x0")),
    "eth_blobBaseFee": Method(_always("0x0")),
    "eth_feeHistory": Method(
        _fee_history,
        (Param("block count", parse_count), Param("newest", parse_number_or_tag), _PERCENTILES),
    ),
    "eth_getBlockByNumber": Method(_block, (_BLOCK, _FULL)),
    "eth_getBlockByHash": Method(_block_by_hash, (_BLOCK_HASH, _FULL)),
    "eth_getBlockTransactionCountByNumber": Method(_transaction_count_of, (_BLOCK,)),
    "eth_getBlockTransactionCountByHash": Method(_transaction_count_by_hash, (_BLOCK_HASH,)),
    "eth_getBlockReceipts": Method(_block_receipts, (Param("block", parse_block),)),
    "eth_getTransactionByHash": Method(_transaction, (_TX_HASH,)),
    "eth_getRawTransactionByHash": Method(_raw_transaction, (_TX_HASH,)),
    "eth_getTransactionByBlockNumberAndIndex": Method(_transaction_in, (_BLOCK, _INDEX)),
    "eth_getTransactionByBlockHashAndIndex": Method(_transaction_in_hash, (_BLOCK_HASH, _INDEX)),
    "eth_getTransactionReceipt": Method(_receipt, (_TX_HASH,)),
    "eth_sendRawTransaction": Method(_send, (Param("transaction", parse_data),)),
    "eth_getBalance": Method(_balance, (_ADDRESS, _AT)),
    "eth_getCode": Method(_code, (_ADDRESS, _AT)),
    "eth_getStorageAt": Method(_storage, (_ADDRESS, Param("slot", parse_slot), _AT)),
    "eth_getTransactionCount": Method(_nonce, (_ADDRESS, _AT)),
    "eth_getProof": Method(
        _proof, (_ADDRESS, Param("slots", parse_list(parse_slot, MAX_PROOF_SLOTS)), _AT)
    ),
    "eth_call": Method(_call, (_CALL, _AT), calls=True),
    "eth_estimateGas": Method(_estimate, (_CALL, _AT), calls=True),
    "eth_createAccessList": Method(_access_list, (_CALL, _AT), calls=True),
    "eth_getLogs": Method(_logs, (_QUERY,)),
    "eth_newFilter": Method(_new_filter, (_QUERY,)),
    "eth_newBlockFilter": Method(_new_block_filter),
    "eth_newPendingTransactionFilter": Method(_new_transaction_filter),
    "eth_uninstallFilter": Method(_remove_filter, (_FILTER_ID,)),
    "eth_getFilterChanges": Method(_filter_changes, (_FILTER_ID,)),
    "eth_getFilterLogs": Method(_filter_logs, (_FILTER_ID,)),
    "eth_subscribe": Method(
        _need_socket, (Param("kind", parse_kind), Param("filter", parse_open_query, None))
    ),
    "eth_unsubscribe": Method(_need_socket, (_SUBSCRIPTION_ID,)),
    "moneo_getLightBlock": Method(_light_block, (Param("block", parse_block),)),
    "moneo_getEras": Method(_eras, (Param("after height", parse_count, 0),), calls=True),
    "moneo_getMembers": Method(_members),
    "moneo_getFormerMembers": Method(_former_members),
    "moneo_getConsensus": Method(_consensus, calls=True),
    "moneo_getAncestry": Method(_ancestry, (_NUMBER, Param("of block number", parse_count))),
    "moneo_status": Method(_status),
}
