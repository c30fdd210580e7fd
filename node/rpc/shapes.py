# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks, transactions, receipts and logs in the form that every Ethereum client reads.

execution-apis, schemas Block, TransactionInfo, ReceiptInfo and Log. The fields are tables: which
member comes from where, and whether it is a quantity or data.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from eth.abc import BlockHeaderAPI, LogAPI, ReceiptAPI, SignedTransactionAPI

from node.chain import AccountProof, Chain
from node.light import rlp_encode
from node.rpc.hexes import data, quantity

MAX_SENDERS: Final = 8_192
_BLOOM_SIZE: Final = 256
_WORD: Final = 32
DYNAMIC_FEE_TYPE: Final = 2
_EMPTY_LIST: Final = b"\xc0"
# EIP-658: a receipt's first field is 1 for success, and nothing for failure.
_SUCCEEDED: Final = b"\x01"


def _bloom(bits: int) -> str:
    return data(bits.to_bytes(_BLOOM_SIZE, "big"))


_HEADER: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "number": ("block_number", quantity),
    "hash": ("hash", data),
    "parentHash": ("parent_hash", data),
    "nonce": ("nonce", data),
    "mixHash": ("mix_hash", data),
    "sha3Uncles": ("uncles_hash", data),
    "logsBloom": ("bloom", _bloom),
    "transactionsRoot": ("transaction_root", data),
    "stateRoot": ("state_root", data),
    "receiptsRoot": ("receipt_root", data),
    "miner": ("coinbase", data),
    "difficulty": ("difficulty", quantity),
    "extraData": ("extra_data", data),
    "gasLimit": ("gas_limit", quantity),
    "gasUsed": ("gas_used", quantity),
    "timestamp": ("timestamp", quantity),
    "baseFeePerGas": ("base_fee_per_gas", quantity),
    "withdrawalsRoot": ("withdrawals_root", data),
    "blobGasUsed": ("blob_gas_used", quantity),
    "excessBlobGas": ("excess_blob_gas", quantity),
    "parentBeaconBlockRoot": ("parent_beacon_block_root", data),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands: in which block, as which."""

    block_hash: bytes
    block_number: int
    index: int

    def to_json(self) -> dict[str, Any]:
        """Return the members that name the place."""
        return {
            "blockHash": data(self.block_hash),
            "blockNumber": quantity(self.block_number),
            "transactionIndex": quantity(self.index),
        }


class _Senders:
    """Remembers who signed: to recover it takes 10 ms, and a client that polls asks often."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def of(self, transaction: SignedTransactionAPI) -> bytes:
        with self._lock:
            known = self._known.get(transaction.hash)
        if known is None:
            known = bytes(transaction.sender)
            with self._lock:
                self._known[transaction.hash] = known
                while len(self._known) > MAX_SENDERS:
                    self._known.popitem(last=False)
        return known


_SENDERS: Final = _Senders()
_NOWHERE: Final = {"blockHash": None, "blockNumber": None, "transactionIndex": None}


def header_json(chain: Chain, number: int) -> dict[str, Any]:
    """Return a block's header, as those who subscribe to new heads are sent it."""
    header = chain.header(number)
    return {name: form(getattr(header, field)) for name, (field, form) in _HEADER.items()}


def block_json(chain: Chain, number: int, full: bool) -> dict[str, Any]:
    """Return a block with its transactions, whole or as hashes."""
    header = chain.header(number)
    transactions = chain.block_transactions(number)
    places = _places(header, transactions)
    listed = [transaction_json(tx, at) if full else data(tx.hash) for tx, at in places]
    return {
        **header_json(chain, number),
        "size": quantity(_size(chain.header_rlp(number), transactions)),
        "totalDifficulty": "0x0",
        "transactions": listed,
        "uncles": [],
        "withdrawals": [],
    }


def transaction_json(transaction: SignedTransactionAPI, place: Place | None) -> dict[str, Any]:
    """Return a transaction; `place` is None while it waits for a block."""
    return {
        "hash": data(transaction.hash),
        "type": quantity(_type(transaction)),
        "from": data(_SENDERS.of(transaction)),
        "to": data(transaction.to) if transaction.to else None,
        "nonce": quantity(transaction.nonce),
        "gas": quantity(transaction.gas),
        "value": quantity(transaction.value),
        "input": data(transaction.data),
        "chainId": quantity(transaction.chain_id or 0),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
        **_fees_json(transaction),
        **(place.to_json() if place else _NOWHERE),
    }


def receipts_json(chain: Chain, number: int) -> list[dict[str, Any]]:
    """Return the receipts of a block, in order."""
    header = chain.header(number)
    transactions = chain.block_transactions(number)
    receipts = chain.receipts(number)
    logs = _logs_by_transaction(header, transactions, receipts)
    before = [0, *(receipt.gas_used for receipt in receipts)]
    rows = zip(_places(header, transactions), receipts, before, logs, strict=False)
    return [_receipt_json(*row) for row in rows]


def block_logs(chain: Chain, number: int) -> Iterator[tuple[LogAPI, dict[str, Any]]]:
    """Yield each log of a block with its form in JSON."""
    header = chain.header(number)
    transactions = chain.block_transactions(number)
    receipts = chain.receipts(number)
    shaped = _logs_by_transaction(header, transactions, receipts)
    for receipt, logs in zip(receipts, shaped, strict=True):
        yield from zip(receipt.logs, logs, strict=True)


def proof_json(proof: AccountProof) -> dict[str, Any]:
    """Return an account's proof as EIP-1186 has it."""
    return {
        "address": data(proof.address),
        "accountProof": [data(node) for node in proof.nodes],
        "balance": quantity(proof.balance),
        "codeHash": data(proof.code_hash),
        "nonce": quantity(proof.nonce),
        "storageHash": data(proof.storage_root),
        "storageProof": [
            {
                "key": data(each.slot),
                "value": quantity(each.value),
                "proof": [data(node) for node in each.nodes],
            }
            for each in proof.storage
        ],
    }


def _size(header: bytes, transactions: Sequence[SignedTransactionAPI]) -> int:
    """Return the length of the block's RLP: header, transactions, no uncles, no withdrawals."""
    # A typed transaction stands in the list as a byte string (EIP-2718), a legacy one as it is.
    body = [rlp_encode(tx.encode()) if _type(tx) else tx.encode() for tx in transactions]
    return _framed(len(header) + _framed(sum(map(len, body))) + 2 * len(_EMPTY_LIST))


def _framed(length: int) -> int:
    """Return the length of an RLP list with so many bytes in it."""
    if length <= 55:
        return 1 + length
    return 1 + (length.bit_length() + 7) // 8 + length


def _places(
    header: BlockHeaderAPI, transactions: Sequence[SignedTransactionAPI]
) -> list[tuple[SignedTransactionAPI, Place]]:
    return [
        (transaction, Place(header.hash, header.block_number, index))
        for index, transaction in enumerate(transactions)
    ]


def _type(transaction: SignedTransactionAPI) -> int:
    return getattr(transaction, "type_id", None) or 0


def _fees_json(transaction: SignedTransactionAPI) -> dict[str, Any]:
    if _type(transaction) != DYNAMIC_FEE_TYPE:
        v = transaction.chain_id * 2 + 35 + transaction.y_parity  # type: ignore[operator]
        return {"gasPrice": quantity(transaction.gas_price), "v": quantity(v)}
    parity = quantity(transaction.y_parity)
    return {
        "gasPrice": quantity(
            min(transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas)
        ),
        "maxFeePerGas": quantity(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": quantity(transaction.max_priority_fee_per_gas),
        "accessList": [_access_json(*access) for access in transaction.access_list],
        "yParity": parity,
        "v": parity,
    }


def _access_json(address: bytes, slots: Sequence[int]) -> dict[str, Any]:
    return {
        "address": data(address),
        "storageKeys": [data(slot.to_bytes(_WORD, "big")) for slot in slots],
    }


def _receipt_json(
    placed: tuple[SignedTransactionAPI, Place],
    receipt: ReceiptAPI,
    gas_before: int,
    logs: list[dict[str, Any]],
) -> dict[str, Any]:
    transaction, place = placed
    return {
        **place.to_json(),
        "transactionHash": data(transaction.hash),
        "type": quantity(_type(transaction)),
        "from": data(_SENDERS.of(transaction)),
        "to": data(transaction.to) if transaction.to else None,
        "contractAddress": None,
        "status": "0x1" if receipt.state_root == _SUCCEEDED else "0x0",
        "gasUsed": quantity(receipt.gas_used - gas_before),
        "cumulativeGasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": _fees_json(transaction)["gasPrice"],
        "logs": logs,
        "logsBloom": _bloom(receipt.bloom),
    }


def _logs_by_transaction(
    header: BlockHeaderAPI,
    transactions: Sequence[SignedTransactionAPI],
    receipts: Sequence[ReceiptAPI],
) -> list[list[dict[str, Any]]]:
    """Return the logs of each transaction; they are numbered through the whole block."""
    index = 0
    shaped = []
    for (transaction, place), receipt in zip(_places(header, transactions), receipts, strict=True):
        where = {**place.to_json(), "transactionHash": data(transaction.hash), "removed": False}
        logs = [_log_json(log) | where for log in receipt.logs]
        for log in logs:
            log["logIndex"] = quantity(index)
            index += 1
        shaped.append(logs)
    return shaped


def _log_json(log: LogAPI) -> dict[str, Any]:
    return {
        "address": data(log.address),
        "topics": [data(topic.to_bytes(_WORD, "big")) for topic in log.topics],
        "data": data(log.data),
    }
