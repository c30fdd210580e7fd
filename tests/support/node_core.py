# SPDX-License-Identifier: GPL-3.0-or-later
"""A small chain to test with: its genesis, its members' keys and transactions signed by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import pytest
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_typing import Address
from eth_utils.crypto import keccak

import contracts
from node.genesis import Genesis
from node.light import EMPTY_ROOT, Timestamp, leaf_hash, root
from node.light import consistency_ranges as ranges

CHAIN_ID = 7_700_000_000_001
MEMBER = PrivateKey(bytes([0x11]) * 32)
OTHER_MEMBER = PrivateKey(bytes([0x22]) * 32)
STRANGER = PrivateKey(bytes([0x33]) * 32)
LOG_KEY_ID = bytes([0x44]) * 32
FOUNDED = 1_763_800_000

CONSORTIUM = contracts.ADDRESSES["Consortium"]
ANCHOR_LOG = contracts.ADDRESSES["AnchorLog"]


def address_of(key: PrivateKey) -> bytes:
    return bytes(key.public_key.to_canonical_address())


def genesis() -> Genesis:
    return Genesis(
        cometbft_chain_id="test-0123456789abcdef",
        evm_chain_id=CHAIN_ID,
        time="2025-11-22T08:26:40Z",
        validators=((bytes.fromhex(_VALIDATOR), 10),),
        members=(address_of(MEMBER), address_of(OTHER_MEMBER)),
    )


# RFC 8032 §7.1, test 1.
_VALIDATOR = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def at(seconds: int) -> Timestamp:
    return Timestamp(FOUNDED + seconds, 0)


@dataclass(frozen=True)
class Call:
    """A transaction to be, with everything that the rules look at."""

    nonce: int = 0
    to: bytes = CONSORTIUM
    data: bytes = b""
    gas: int = 200_000
    value: int = 0
    fee: int = 0
    priority: int = 0
    chain_id: int = CHAIN_ID
    key: PrivateKey = MEMBER

    def typed(self, access_list: Sequence[Any] = ()) -> bytes:
        """Sign as an EIP-1559 transaction."""
        unsigned = CancunTransactionBuilder.new_unsigned_dynamic_fee_transaction(
            self.chain_id,
            self.nonce,
            self.priority,
            self.fee,
            self.gas,
            Address(self.to),
            self.value,
            self.data,
            access_list,
        )
        return unsigned.as_signed_transaction(self.key).encode()

    def legacy(self, protected: bool = True) -> bytes:
        """Sign as a legacy transaction, with EIP-155's protection or without."""
        unsigned = CancunTransactionBuilder.create_unsigned_transaction(
            nonce=self.nonce,
            gas_price=self.fee,
            gas=self.gas,
            to=Address(self.to),
            value=self.value,
            data=self.data,
        )
        # py-evm takes 0 for "unprotected".
        chain_id = self.chain_id if protected else 0
        return unsigned.as_signed_transaction(self.key, chain_id=chain_id).encode()

    def with_(self, **changes: Any) -> Call:
        return replace(self, **changes)


def calldata(signature: str, *values: Any) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak(text=signature)[:4] + encode(_split(types), values)


def _split(types: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for char in types:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current] if current else parts


# Stores BLOCKHASH(n) in slot n, for the word n of its calldata.
BLOCKHASH_PROBE = b"Probe" + bytes(14) + b"\x01"
# Uses up all of its gas at once (the opcode INVALID).
BURNER = b"Probe" + bytes(14) + b"\x02"
PROBES = {BLOCKHASH_PROBE: bytes.fromhex("5f3580409055 00"), BURNER: bytes.fromhex("fe")}


def add_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chains that are founded from now on have the probes, and their members call them."""
    usual = contracts.genesis_accounts

    def with_probes(founding: contracts.Founding) -> dict[bytes, contracts.GenesisAccount]:
        accounts = usual(founding)
        slots = {int.from_bytes(contracts.callable_slot(probe), "big"): 1 for probe in PROBES}
        consortium = accounts[CONSORTIUM]
        listed = replace(consortium, storage={**consortium.storage, **slots})
        probes = {at: contracts.GenesisAccount(code, {}) for at, code in PROBES.items()}
        return {**accounts, CONSORTIUM: listed, **probes}

    monkeypatch.setattr(contracts, "genesis_accounts", with_probes)


def probe(word: int, nonce: int) -> Call:
    return Call(nonce=nonce, to=BLOCKHASH_PROBE, data=word.to_bytes(32, "big"))


def origin_hash(name: str = "test/2025") -> bytes:
    return sha256(name.encode()).digest()


def register_log(nonce: int = 0, name: str = "test/2025", key: PrivateKey = MEMBER) -> Call:
    data = calldata("register_log(bytes32,bytes32)", origin_hash(name), LOG_KEY_ID)
    return Call(nonce=nonce, to=CONSORTIUM, data=data, key=key)


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


@dataclass(frozen=True)
class Head:
    """What AnchorLog's slot commits to."""

    size: int
    block: int
    owner: bytes = address_of(MEMBER)

    @property
    def root(self) -> bytes:
        return root(leaves(self.size)) if self.size else EMPTY_ROOT

    def values(self) -> tuple[Any, ...]:
        return (self.owner, LOG_KEY_ID, self.size, self.root, bytes(32), self.block)

    def commitment(self) -> bytes:
        return contracts.head_commitment(*self.values())

    def anchor(self, new_size: int, nonce: int) -> Call:
        """Anchor the next checkpoint of the log with its consistency proof."""
        hashes = leaves(new_size)
        proof = [root(hashes[start:end]) for start, end in ranges(self.size, new_size)]
        data = calldata(
            "anchor(bytes32,(address,bytes32,uint256,bytes32,bytes32,uint256),uint256,bytes32,bytes32[])",
            origin_hash(),
            self.values(),
            new_size,
            root(hashes),
            proof,
        )
        return Call(nonce=nonce, to=ANCHOR_LOG, data=data)
