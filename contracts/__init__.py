# SPDX-License-Identifier: GPL-3.0-or-later
"""The consortium's contracts as data: whoever founds, anchors or verifies needs them alike.

Compiled artifacts, the fixed addresses that genesis gives them, and the storage slots and
commitments of PROTOCOL §4. A slot of the chain's state holds keccak256(abi.encode(preimage)), one
32-byte word a member (Solidity contract ABI, static types); a mapping's entry lies in slot
keccak256(slot of the mapping ‖ key), the order in which Vyper hashes them.

Nothing here needs a compiler or an EVM: `contracts.build` makes the artifacts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, cast

from Crypto.Hash import keccak

__all__ = [
    "ADDRESSES",
    "CONTRACTS",
    "CUSTODY",
    "EMPTY_ROOT",
    "MAX_PATH",
    "MAX_SIZE",
    "GenesisAccount",
    "abi",
    "callable_slot",
    "code_hash",
    "genesis_accounts",
    "head_commitment",
    "head_slot",
    "issuer_commitment",
    "issuer_slot",
    "member_slot",
    "runtime_code",
    "successor_slot",
]

CONTRACTS: Final = ("Consortium", "AnchorLog", "IssuerRegistry")

# "Moneo" in ASCII and a number: recognisable at sight, far from precompiles and from any address
# that a key or a creation could have.
ADDRESSES: Final[Mapping[str, bytes]] = MappingProxyType(
    {name: b"Moneo" + n.to_bytes(15, "big") for n, name in enumerate(CONTRACTS, start=1)}
)

CUSTODY: Final[Mapping[str, int]] = MappingProxyType({"holder": 1, "operator": 2})

# Root of the empty tree (RFC 9162 §2.1.1), which a log has from registration to its first anchor.
EMPTY_ROOT: Final = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)
# The largest log size that AnchorLog accepts: every JSON parser reads it exactly.
MAX_SIZE: Final = 2**53 - 1
# The most hashes that a consistency proof may have on the chain.
MAX_PATH: Final = 64

_WORD = 32
_ADDRESS = 20


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """A contract as genesis places it: runtime code, and storage as slot number → value."""

    code: bytes
    storage: Mapping[int, int]


def abi(name: str) -> list[dict[str, Any]]:
    """Return the contract's ABI, as JSON-RPC clients take it; the caller may change its copy.

    Raises KeyError for a name that is not in CONTRACTS; so do the next two.
    """
    return cast("list[dict[str, Any]]", json.loads(_artifact_text(name))["abi"])


@cache
def runtime_code(name: str) -> bytes:
    """Return the code that lies at the contract's address."""
    return bytes.fromhex(json.loads(_artifact_text(name))["runtime"].removeprefix("0x"))


@cache
def code_hash(name: str) -> bytes:
    """Return keccak256 of the runtime code, as an account's proof carries it."""
    return _keccak(runtime_code(name))


def genesis_accounts(members: Sequence[bytes]) -> dict[bytes, GenesisAccount]:
    """Return the contracts' accounts by address, with `members` (20 bytes each) admitted.

    Raises ValueError for no member, a repeated one, or one that is no key's address.
    """
    _check_members(members)
    slots = [*map(member_slot, members), *map(callable_slot, ADDRESSES.values())]
    storage = {"Consortium": {int.from_bytes(slot, "big"): 1 for slot in slots}}
    return {
        address: GenesisAccount(runtime_code(name), MappingProxyType(storage.get(name, {})))
        for name, address in ADDRESSES.items()
    }


def head_slot(origin_hash: bytes) -> bytes:
    """Return AnchorLog's slot of a log's head; `origin_hash` is SHA-256 of the origin."""
    return _entry(0, _exact(origin_hash, _WORD))


def successor_slot(origin_hash: bytes) -> bytes:
    """Return AnchorLog's slot of a retired log's successor (its origin's hash, or zero)."""
    return _entry(1, _exact(origin_hash, _WORD))


def issuer_slot(owner: bytes, issuer_key_id: bytes) -> bytes:
    """Return IssuerRegistry's slot of an issuer key under its owner (20 and 32 bytes)."""
    inner = _entry(0, _address_word(owner))
    return _keccak(inner + _exact(issuer_key_id, _WORD))


def member_slot(address: bytes) -> bytes:
    """Return Consortium's slot that holds 1 for a member, who may also transact."""
    return _entry(0, _address_word(address))


def callable_slot(address: bytes) -> bytes:
    """Return Consortium's slot that holds 1 for a contract that transactions may call."""
    return _entry(1, _address_word(address))


def head_commitment(
    owner: bytes, log_key_id: bytes, size: int, root: bytes, aux: bytes, block: int
) -> bytes:
    """Return what a log's head slot holds for this preimage.

    `owner` has 20 bytes, `log_key_id`, `root` and `aux` 32. Raises ValueError for other lengths
    and for numbers that don't fit an EVM word.
    """
    words = (_address_word(owner), log_key_id, _uint(size), root, aux, _uint(block))
    return _commitment(words)


def issuer_commitment(custody: int, registered: int, revoked: int, registration: bytes) -> bytes:
    """Return what an issuer's slot holds: custody as in CUSTODY, blocks, a leaf hash.

    `revoked` is 0 for a key in use. Raises ValueError as `head_commitment` does.
    """
    return _commitment((_uint(custody), _uint(registered), _uint(revoked), registration))


@cache
def _artifact_text(name: str) -> str:
    if name not in CONTRACTS:
        raise KeyError(name)
    file = resources.files(__name__) / "artifacts" / f"{name}.json"
    return file.read_text(encoding="ascii")


def _check_members(members: Sequence[bytes]) -> None:
    if not members:
        raise ValueError("a chain without members cannot take a transaction")
    if len(set(members)) != len(members):
        raise ValueError("a member is listed twice")
    if bytes(_ADDRESS) in members or set(members) & set(ADDRESSES.values()):
        raise ValueError("a member has an address that no key has")


def _keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def _entry(mapping: int, key: bytes) -> bytes:
    return _keccak(_uint(mapping) + key)


def _commitment(words: Sequence[bytes]) -> bytes:
    return _keccak(b"".join(_exact(word, _WORD) for word in words))


def _address_word(address: bytes) -> bytes:
    return _exact(address, _ADDRESS).rjust(_WORD, b"\0")


def _uint(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise ValueError("number does not fit a 256-bit word")
    return value.to_bytes(_WORD, "big")


def _exact(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise ValueError(f"expected {length} bytes, got {len(value)}")
    return value
