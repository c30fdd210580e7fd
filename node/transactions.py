# SPDX-License-Identifier: GPL-3.0-or-later
"""The door for transactions: bytes become a checked transaction here, or are refused for good.

Accepted are EIP-1559 transactions (type 2, EIP-2718 envelope) and legacy ones with EIP-155's
replay protection, both for this chain only, canonical RLP, with an EIP-2 low-s signature. What
passes has had its signature checked; nothing later checks it again. What depends on the state
(nonce, membership) is `node.vm`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from eth.abc import SignedTransactionAPI
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
from eth_keys.exceptions import BadSignature

from node.errors import Code, TransactionRefused
from node.light import RlpError, rlp_decode

# As in other nodes: calldata costs gas, so the gas cap alone would bound it at about 60 kB.
MAX_TRANSACTION_BYTES: Final = 128 * 1024
DYNAMIC_FEE_TYPE: Final = 0x02
# EIP-2718: an envelope begins with its type up to 7f, a legacy transaction's list with c0 and up.
_FIRST_LIST_BYTE: Final = 0xC0
_ADDRESS_SIZE: Final = 20
_WORD_SIZE: Final = 32
_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def decode_transaction(raw: bytes, chain_id: int) -> SignedTransactionAPI:
    """Return the transaction that `raw` is, its signature checked and its sender recovered.

    Raises TransactionRefused for everything that is not a well-formed, rightly signed
    transaction of an accepted kind for the chain `chain_id`, and nothing else, whatever the bytes.
    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise TransactionRefused(Code.MALFORMED, f"over {MAX_TRANSACTION_BYTES} bytes long")
    _check_shape(raw)
    transaction = CancunTransactionBuilder.decode(raw)
    _check_values(transaction)
    if transaction.chain_id != chain_id:
        seen = transaction.chain_id or "none (EIP-155 is required)"
        raise TransactionRefused(
            Code.WRONG_CHAIN, f"chain id is {seen}, this chain's is {chain_id}"
        )
    _check_signature(transaction)
    return transaction


def stored_transaction(raw: bytes) -> SignedTransactionAPI:
    """Return a transaction from a block of this chain, which `decode_transaction` let in once."""
    return CancunTransactionBuilder.decode(raw)


def _uint(bits: int) -> Callable[[Any], bool]:
    """Return the test for a canonical integer of at most so many bits."""

    def is_uint(item: Any) -> bool:
        return isinstance(item, bytes) and len(item) * 8 <= bits and item[:1] != b"\0"

    return is_uint


def _is_bytes(item: Any) -> bool:
    return isinstance(item, bytes)


def _is_target(item: Any) -> bool:
    # Empty means a creation. It is well formed, and refused where it can be said why.
    return isinstance(item, bytes) and len(item) in {0, _ADDRESS_SIZE}


def _is_access_list(item: Any) -> bool:
    return isinstance(item, list) and all(map(_is_access, item))


def _is_access(item: Any) -> bool:
    if not isinstance(item, list) or len(item) != 2:
        return False
    address, keys = item
    return (
        isinstance(address, bytes)
        and len(address) == _ADDRESS_SIZE
        and isinstance(keys, list)
        and all(isinstance(key, bytes) and len(key) == _WORD_SIZE for key in keys)
    )


# Field name and test, in the order of the wire (EIP-1559; Yellow Paper, appendix B).
_LEGACY_FIELDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "nonce": _uint(64),
    "gas price": _uint(256),
    "gas": _uint(64),
    "to": _is_target,
    "value": _uint(256),
    "data": _is_bytes,
    "v": _uint(64),
    "r": _uint(256),
    "s": _uint(256),
}
_DYNAMIC_FEE_FIELDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "chain id": _uint(64),
    "nonce": _uint(64),
    "max priority fee": _uint(256),
    "max fee": _uint(256),
    "gas": _uint(64),
    "to": _is_target,
    "value": _uint(256),
    "data": _is_bytes,
    "access list": _is_access_list,
    "y parity": _uint(8),
    "r": _uint(256),
    "s": _uint(256),
}


def _check_shape(raw: bytes) -> None:
    """Refuse what py-evm's decoder might choke on or take in a second spelling."""
    payload, fields = _payload(raw)
    try:
        items = rlp_decode(payload)
    except RlpError as error:
        raise TransactionRefused(Code.MALFORMED, f"not canonical RLP: {error}") from error
    if not isinstance(items, list) or len(items) != len(fields):
        raise TransactionRefused(Code.MALFORMED, f"not a list of {len(fields)} fields")
    for item, (name, is_right) in zip(items, fields.items(), strict=True):
        if not is_right(item):
            raise TransactionRefused(Code.MALFORMED, f"field {name} is malformed")


def _payload(raw: bytes) -> tuple[bytes, Mapping[str, Callable[[Any], bool]]]:
    """Return the RLP within the envelope and the fields that it has to hold."""
    if not raw:
        raise TransactionRefused(Code.MALFORMED, "no bytes")
    if raw[0] >= _FIRST_LIST_BYTE:
        return raw, _LEGACY_FIELDS
    if raw[0] == DYNAMIC_FEE_TYPE:
        return raw[1:], _DYNAMIC_FEE_FIELDS
    raise TransactionRefused(
        Code.WRONG_TYPE, f"type {raw[0]}: only type 2 and legacy transactions are taken"
    )


def _check_values(transaction: SignedTransactionAPI) -> None:
    """Refuse values that no rightly made transaction has, before curve arithmetic sees them."""
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise TransactionRefused(Code.MALFORMED, "max priority fee is above max fee")
    if not 0 < transaction.r < _CURVE_ORDER:
        raise TransactionRefused(Code.BAD_SIGNATURE, "r is out of range")
    # EIP-2: otherwise anyone could turn s round and give the transaction a second hash.
    if not 0 < transaction.s <= _CURVE_ORDER // 2:
        raise TransactionRefused(Code.BAD_SIGNATURE, "s is out of range")
    if transaction.y_parity not in {0, 1}:
        raise TransactionRefused(Code.BAD_SIGNATURE, "v or y parity is out of range")


def _check_signature(transaction: SignedTransactionAPI) -> None:
    """Recover the sender, which py-evm then remembers; a key is found or there is no signer."""
    try:
        _ = transaction.sender
    except BadSignature as error:
        raise TransactionRefused(Code.BAD_SIGNATURE, "no key has made this signature") from error
