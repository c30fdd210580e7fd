# SPDX-License-Identifier: GPL-3.0-or-later
"""The consortium's contracts as data: whoever founds, anchors or verifies needs them alike.

Compiled artifacts, the fixed addresses that genesis gives them, and the storage slots and
commitments of PROTOCOL §4. A slot of the chain's state holds keccak256(abi.encode(preimage)), one
32-byte word a member (Solidity contract ABI, static types); a mapping's entry lies in slot
keccak256(slot of the mapping ‖ key), the order in which Vyper hashes them.

Consortium keeps its values plainly, so that each can be proven alone: who is a member, a member's
record, the validators hash of every era. What its members propose is `KINDS`.

Nothing here needs a compiler or an EVM: `contracts.build` makes the artifacts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, cast

from Crypto.Hash import keccak

__all__ = [
    "ADDRESSES",
    "CONSORTIUM_SLOTS",
    "CONTRACTS",
    "CUSTODY",
    "EMPTY_ROOT",
    "KINDS",
    "MAX_MEMBERS",
    "MAX_PATH",
    "MAX_SIZE",
    "OUTCOMES",
    "Founding",
    "GenesisAccount",
    "Member",
    "abi",
    "callable_slot",
    "code_hash",
    "decode_payload",
    "encode_payload",
    "genesis_accounts",
    "head_commitment",
    "head_slot",
    "issuer_commitment",
    "issuer_slot",
    "kept_slot",
    "kind_number",
    "member_slot",
    "place",
    "possession_message",
    "proposal_digest",
    "proposal_slot",
    "record_slot",
    "runtime_code",
    "seat_slot",
    "statement",
    "successor_slot",
    "used_slot",
    "validators_hash_slot",
    "voted_slot",
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

# The most members that Consortium has room for.
MAX_MEMBERS: Final = 64

# What a proposal is about: the number of its kind is its place here, from 1, and its payload is
# abi.encode of these values.
KINDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "admit": {
            "account": "address",
            "validator_key": "bytes32",
            "node_id": "bytes20",
            "origin": "bytes32",
            "log_key_id": "bytes32",
            "name": "bytes32",
            "hosts": "bytes32",
        },
        "remove": {"account": "address"},
        "change-key": {"account": "address", "validator_key": "bytes32"},
        "list": {"target": "address", "listed": "bool"},
        "gas-limit": {"gas_limit": "uint256"},
        "retire": {"origin": "bytes32", "successor": "bytes32"},
        "upgrade": {"height": "uint256", "plan": "bytes32"},
    }
)
OUTCOMES: Final = ("open", "accepted", "rejected")

# Consortium's values that lie in slots of their own; for its mappings and its list see below.
CONSORTIUM_SLOTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "era": 2,
        "era_since": 3,
        "gas_limit": 8,
        "upgrade_height": 9,
        "upgrade_plan": 10,
        "proposal_count": 11,
        "member_count": 14,
    }
)

_WORD = 32
_ADDRESS = 20
# What every statement of possession begins with, for the EVM and for Ed25519 keys.
_POSSESSION = b"moneo/possession/v1"
# keccak256(kind ‖ payload), and what else Consortium keeps of a proposal.
_PROPOSAL_FIELDS = ("digest", "era", "last_block", "yes", "no", "outcome")


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """A contract as genesis places it: runtime code, and storage as slot number → value."""

    code: bytes
    storage: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Member:
    """A member as Consortium keeps it; zero stands for what is not known of it.

    `account` and `node_id` have 20 bytes, all others 32: the validator's Ed25519 key, SHA-256 of
    its newest log's origin, that log's key id, and the SHA-256 of the salted disclosures
    (RFC 9901) that say its name and its hosts.
    """

    account: bytes
    validator_key: bytes = bytes(_WORD)
    node_id: bytes = bytes(_ADDRESS)
    origin: bytes = bytes(_WORD)
    log_key_id: bytes = bytes(_WORD)
    name: bytes = bytes(_WORD)
    hosts: bytes = bytes(_WORD)

    def __post_init__(self) -> None:
        """Raise ValueError for a value of another length."""
        encode_payload("admit", **self.values())

    def values(self) -> dict[str, bytes]:
        """Return its values by name, as the payload of its admission has them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class Founding:
    """What genesis writes into Consortium.

    `validators_hash` is CometBFT's, of the founding set. Votes change the set only if `governed`:
    then every member has a validator key, and the power of each validator is 1.
    """

    members: Sequence[Member]
    validators_hash: bytes
    gas_limit: int
    governed: bool


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


def genesis_accounts(founding: Founding) -> dict[bytes, GenesisAccount]:
    """Return the contracts' accounts by address, with the founding members admitted.

    Raises ValueError for no member or too many, a repeated account or key, an account that no key
    has, and for a governed founding with a member whose record is not complete.
    """
    _check_members(founding)
    storage = {"Consortium": _founding_storage(founding)}
    return {
        address: GenesisAccount(runtime_code(name), MappingProxyType(storage.get(name, {})))
        for name, address in ADDRESSES.items()
    }


def encode_payload(kind: str, **values: bytes | int) -> bytes:
    """Return the payload of a proposal; numbers and truths as int, all else as bytes.

    Raises ValueError for a length or number that its type does not have, KeyError for another
    kind, TypeError for other values than `KINDS` has.
    """
    types = KINDS[kind]
    if values.keys() != types.keys():
        raise TypeError(f"{kind} takes {', '.join(types)}")
    return b"".join(_ENCODE[types[name]](values[name]) for name in types)


def decode_payload(number: int, payload: bytes) -> tuple[str, dict[str, Any]]:
    """Return the kind's name and the values; the inverse of `encode_payload`, given its number.

    Raises ValueError for anything that `encode_payload` does not give.
    """
    if not 1 <= number <= len(KINDS):
        raise ValueError(f"there is no kind {number}")
    kind = list(KINDS)[number - 1]
    types = KINDS[kind]
    words = [payload[at : at + _WORD] for at in range(0, _WORD * len(types), _WORD)]
    values = {name: _DECODE[types[name]](word) for name, word in zip(types, words, strict=True)}
    if encode_payload(kind, **values) != payload:
        raise ValueError("the payload is not of its kind")
    return kind, values


def kind_number(kind: str) -> int:
    """Return the number by which Consortium knows a kind; raises ValueError for another."""
    return list(KINDS).index(kind) + 1


def proposal_digest(kind: str, payload: bytes) -> bytes:
    """Return what Consortium keeps of a proposal's content."""
    return _keccak(_uint(kind_number(kind)) + payload)


def statement(evm_chain_id: int, kind: str, payload: bytes) -> bytes:
    """Return the hash that the account of a new member signs (ECDSA), bound to chain and payload."""
    words = (_keccak(_POSSESSION), _uint(evm_chain_id), _address_word(ADDRESSES["Consortium"]))
    return _keccak(b"".join(words) + _uint(kind_number(kind)) + payload)


def possession_message(evm_chain_id: int, kind: str, payload: bytes) -> bytes:
    """Return what the Ed25519 keys of an admission or change of key sign."""
    return _POSSESSION + b"\n" + statement(evm_chain_id, kind, payload)


def place(public_key: bytes) -> bytes:
    """Return SHA-256(Ed25519 key)[:20]: CometBFT's address of a validator, or id of a node."""
    return sha256(_exact(public_key, _WORD)).digest()[:_ADDRESS]


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


def validators_hash_slot(era: int) -> bytes:
    """Return Consortium's slot of an era's validators hash, as CometBFT's headers have it."""
    return _entry(4, _uint(era))


def record_slot(address: bytes, field: str) -> bytes:
    """Return Consortium's slot of one value of a member; `field` is one of Member's but account."""
    return _offset(_entry(5, _address_word(address)), list(KINDS["admit"]).index(field) - 1)


def used_slot(key_place: bytes) -> bytes:
    """Return Consortium's slot that holds 1 for the `place` of a key that was a member's once."""
    return _entry(6, _exact(key_place, _ADDRESS).ljust(_WORD, b"\0"))


def kept_slot(origin_hash: bytes) -> bytes:
    """Return Consortium's slot of the account for which an origin is kept."""
    return _entry(7, _exact(origin_hash, _WORD))


def proposal_slot(number: int, field: str) -> bytes:
    """Return Consortium's slot of one value of a proposal: digest, era, last_block, yes, no, outcome."""
    return _offset(_entry(12, _uint(number)), _PROPOSAL_FIELDS.index(field))


def voted_slot(number: int, address: bytes) -> bytes:
    """Return Consortium's slot that holds 1 if this account has voted on this proposal."""
    return _keccak(_entry(13, _uint(number)) + _address_word(address))


def seat_slot(index: int) -> bytes:
    """Return Consortium's slot of a member's account by its index, from 0, in CometBFT's order."""
    return _uint(CONSORTIUM_SLOTS["member_count"] + 1 + index)


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


def _check_members(founding: Founding) -> None:
    members = founding.members
    accounts = [member.account for member in members]
    if not 0 < len(members) <= MAX_MEMBERS:
        raise ValueError(f"a chain begins with 1 to {MAX_MEMBERS} members")
    if len(set(accounts)) != len(accounts):
        raise ValueError("a member is listed twice")
    if bytes(_ADDRESS) in accounts or set(accounts) & set(ADDRESSES.values()):
        raise ValueError("a member has an address that no key has")
    if founding.governed:
        _check_records(members)


def _check_records(members: Sequence[Member]) -> None:
    if any(not any(value) for member in members for value in member.values().values()):
        raise ValueError("a member's record is not complete")
    keys = [place(member.validator_key) for member in members]
    keys += [member.node_id for member in members]
    origins = {member.origin for member in members}
    if len(set(keys)) != len(keys) or len(origins) != len(members):
        raise ValueError("two members, or two uses, have one key or one log")


def _founding_storage(founding: Founding) -> dict[int, int]:
    members = founding.members
    if founding.governed:
        members = sorted(members, key=lambda member: place(member.validator_key))
    era = int(founding.governed)
    values = {
        CONSORTIUM_SLOTS["era"]: era,
        CONSORTIUM_SLOTS["gas_limit"]: founding.gas_limit,
        CONSORTIUM_SLOTS["member_count"]: len(members),
        _number(validators_hash_slot(era)): _number(founding.validators_hash),
    }
    values |= {_number(callable_slot(address)): 1 for address in ADDRESSES.values()}
    for index, member in enumerate(members):
        values |= _member_storage(index, member)
    return {slot: value for slot, value in values.items() if value}


def _member_storage(index: int, member: Member) -> dict[int, int]:
    types = KINDS["admit"]
    account = _number(_address_word(member.account))
    values = {_number(member_slot(member.account)): 1, _number(seat_slot(index)): account}
    for name, value in list(member.values().items())[1:]:
        values[_number(record_slot(member.account, name))] = _number(_ENCODE[types[name]](value))
    if any(member.validator_key):
        values[_number(used_slot(place(member.validator_key)))] = 1
    if any(member.node_id):
        values[_number(used_slot(member.node_id))] = 1
    if any(member.origin):
        values[_number(kept_slot(member.origin))] = account
    return values


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


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _offset(slot: bytes, words: int) -> bytes:
    return _uint((_number(slot) + words) % (1 << 256))


# How a value of each ABI type becomes a word, and is read from it.
_ENCODE: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "address": _address_word,
    "bool": lambda value: _uint(bool(value)),
    "bytes20": lambda value: _exact(value, _ADDRESS).ljust(_WORD, b"\0"),
    "bytes32": lambda value: _exact(value, _WORD),
    "uint256": _uint,
}
_DECODE: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "address": lambda word: word[-_ADDRESS:],
    "bool": lambda word: bool(_number(word)),
    "bytes20": lambda word: word[:_ADDRESS],
    "bytes32": lambda word: word,
    "uint256": _number,
}
