# SPDX-License-Identifier: GPL-3.0-or-later
"""So that all nodes of a chain begin alike: its founding, as a file and as a value.

`genesis.json` in a node's home is JSON (RFC 8259) of exactly the members below; `validator.key`
next to it is the validator's Ed25519 key (PKCS #8 in PEM, RFC 5958 and 7468), readable by its
owner only. The EVM's genesis block follows from the file alone (`node.chain`).

    {"format": "moneo/genesis/v1",
     "cometbft_chain_id": "camau-0123456789abcdef",
     "evm_chain_id": 3141592653589793,
     "time": "2026-11-22T09:00:00Z",
     "validators": [{"public_key": "<base64, 32 bytes>", "power": 10}],
     "members": ["0x<20 bytes>"],
     "gas_limit": 3000000}

That is a province's own chain, whose validators no vote changes. A consortium's has another format
and full records of its members, whose validators have a power of 1 each:

    {"format": "moneo/genesis/v2",
     "cometbft_chain_id": …, "evm_chain_id": …, "time": …,
     "members": [{"account": "0x<20 bytes>", "validator_key": "<base64, 32 bytes>",
                  "node_id": "0x<20 bytes>", "origin": "0x<32 bytes: SHA-256 of the log's origin>",
                  "log_key_id": "0x<32 bytes>", "name": "0x<32 bytes: SHA-256 of a disclosure>",
                  "hosts": "0x<32 bytes: likewise>"}],
     "gas_limit": 3000000}

Name and hosts are RFC 9901 disclosures, which the members' cards show (`node.card`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

import contracts
from node import shape
from node.durable import sync_folder, write_draft
from node.errors import GenesisError
from node.light import (
    LightError,
    Timestamp,
    Validator,
    check_public_key,
    format_time,
    in_order,
    parse_time,
    validators_hash,
)

FORMAT: Final = "moneo/genesis/v1"
CONSORTIUM_FORMAT: Final = "moneo/genesis/v2"
GENESIS_FILE: Final = "genesis.json"
KEY_FILE: Final = "validator.key"
CHAIN_FOLDER: Final = "chain"

GAS_LIMIT: Final = 3_000_000
# One transaction may use up to a million; above the other bound a block would take half a minute.
MIN_GAS_LIMIT: Final = 1_000_000
MAX_GAS_LIMIT: Final = 100_000_000
VALIDATOR_POWER: Final = 10
# In a consortium: one member, one vote.
MEMBER_POWER: Final = 1

MAX_FILE_BYTES: Final = 1024 * 1024
# More objects and lists than this are no genesis, and deep ones would overflow the parser's stack.
MAX_BRACKETS: Final = 1_000
# CometBFT's own limits: types.MaxChainIDLen and types.MaxTotalVotingPower.
MAX_CHAIN_ID_LENGTH: Final = 50
MAX_TOTAL_POWER: Final = (2**63 - 1) // 8
# The most that browser wallets take: (2^53 - 1 - 36) / 2, so that an EIP-155 `v` stays exact too.
MAX_EVM_CHAIN_ID: Final = 4_503_599_627_370_477
# New ids stay clear of those that public chains have.
_MIN_NEW_EVM_CHAIN_ID: Final = 2**40

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,31}[a-z0-9])?", re.ASCII)
_CHAIN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,50}", re.ASCII)
_ADDRESS_SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class Genesis:
    """What every node of a chain agrees on before its first block.

    `time` is RFC 3339 with Z; `validators` are (Ed25519 public key of 32 bytes, voting power);
    `members` are the 20-byte addresses that may transact from the start. `records` says more of
    them where votes govern the validators; where it is empty, none do.
    """

    cometbft_chain_id: str
    evm_chain_id: int
    time: str
    validators: tuple[tuple[bytes, int], ...]
    members: tuple[bytes, ...]
    gas_limit: int = GAS_LIMIT
    records: tuple[contracts.Member, ...] = ()

    def __post_init__(self) -> None:
        """Raise GenesisError unless a chain can begin with these values."""
        _require(_CHAIN_ID.fullmatch(self.cometbft_chain_id), "the CometBFT chain id is malformed")
        _require(0 < self.evm_chain_id <= MAX_EVM_CHAIN_ID, "the EVM chain id is out of range")
        _require(MIN_GAS_LIMIT <= self.gas_limit <= MAX_GAS_LIMIT, "the gas limit is out of range")
        _check_time(self.time)
        _check_validators(self.validators)
        _check_members(self.members)
        if self.records:
            self._check_records()

    @property
    def founding(self) -> contracts.Founding:
        """What Consortium's storage begins with."""
        validators = in_order(Validator(key, power) for key, power in self.validators)
        return contracts.Founding(
            members=self.records or tuple(map(contracts.Member, self.members)),
            validators_hash=validators_hash(validators),
            gas_limit=self.gas_limit,
            governed=bool(self.records),
        )

    def _check_records(self) -> None:
        _require(
            self.members == tuple(each.account for each in self.records)
            and self.validators == _validators_of(self.records),
            "the members' records say other accounts or validators",
        )
        try:
            contracts.genesis_accounts(self.founding)
        except ValueError as error:
            raise GenesisError(
                "không lập được chuỗi với các thành viên này · "
                f"no chain can begin with these members: {error}"
            ) from error

    @property
    def timestamp(self) -> Timestamp:
        """The founding's time."""
        return parse_time(self.time)


def consortium(
    cometbft_chain_id: str,
    evm_chain_id: int,
    time: str,
    members: Sequence[contracts.Member],
    gas_limit: int = GAS_LIMIT,
) -> Genesis:
    """Return the genesis of a chain whose members each have a validator, and govern it by votes.

    Raises GenesisError unless a chain can begin with these values.
    """
    records = tuple(members)
    accounts = tuple(each.account for each in records)
    validators = _validators_of(records)
    return Genesis(cometbft_chain_id, evm_chain_id, time, validators, accounts, gas_limit, records)


def encode(genesis: Genesis) -> bytes:
    """Return the one file that says this genesis."""
    value: dict[str, Any] = {
        "format": CONSORTIUM_FORMAT if genesis.records else FORMAT,
        "cometbft_chain_id": genesis.cometbft_chain_id,
        "evm_chain_id": genesis.evm_chain_id,
        "time": genesis.time,
    }
    if genesis.records:
        value["members"] = [record_json(each) for each in genesis.records]
    else:
        value["validators"] = [
            {"public_key": base64.b64encode(key).decode("ascii"), "power": power}
            for key, power in genesis.validators
        ]
        value["members"] = ["0x" + member.hex() for member in genesis.members]
    value["gas_limit"] = genesis.gas_limit
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def parse(data: bytes) -> Genesis:
    """Return the genesis that a file's bytes say; raises GenesisError for anything else."""
    _require(len(data) <= MAX_FILE_BYTES, f"it is over {MAX_FILE_BYTES} bytes long")
    value = shape.parse_json(data, MAX_BRACKETS)
    _require(isinstance(value, dict), "it is no JSON object")
    governed = value.get("format") == CONSORTIUM_FORMAT
    value = shape.members(value, "genesis", _CONSORTIUM_PARSERS if governed else _PARSERS)
    name = value.pop("format")
    if governed:
        return consortium(**value)
    _require(name == FORMAT, f"its format is neither {FORMAT} nor {CONSORTIUM_FORMAT}")
    return Genesis(**value)


def load(home: Path) -> Genesis:
    """Return the genesis of the node whose home this is; raises GenesisError."""
    path = home / GENESIS_FILE
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_FILE_BYTES + 1))
    except OSError as error:
        raise GenesisError(_not_read(path, error)) from error
    except GenesisError as error:
        raise GenesisError(
            f"tệp lập chuỗi không đúng · {path} is no genesis file: {error}"
        ) from error


def load_validator_key(home: Path) -> Ed25519PrivateKey:
    """Return the validator's key from the node's home.

    Raises GenesisError if it is missing, of another kind, or readable by others than its owner.
    """
    path = home / KEY_FILE
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise GenesisError(_not_read(path, error)) from error
    if mode & 0o077:
        raise GenesisError(
            "người khác đọc được khóa, hãy chạy chmod 600 với tệp này · "
            f"{path} can be read by others: run chmod 600 on it"
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise GenesisError(
            "không phải khóa riêng dạng PEM không mã hóa · "
            f"{path} is no unencrypted private key in PEM"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise GenesisError(f"không phải khóa Ed25519 · {path} is no Ed25519 key")
    return key


def found(home: Path, name: str, members: Sequence[bytes], now: Timestamp) -> Genesis:
    """Found a chain with one validator in `home`, and return its genesis.

    `name` (a-z, 0-9 and hyphens, at most 33) begins the chain id, fresh randomness ends it;
    `members` are addresses of 20 bytes. A key that an interrupted founding left is used again.
    Raises GenesisError if there is a chain already, or a value cannot be.
    """
    cometbft_chain_id = new_chain_id(name)
    for existing in (home / GENESIS_FILE, home / CHAIN_FOLDER):
        _require(
            not existing.exists(),
            f"đã có chuỗi ở đây · there is a chain already: {existing} exists",
        )
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = validator_key(home)
        public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        genesis = Genesis(
            cometbft_chain_id=cometbft_chain_id,
            evm_chain_id=new_evm_chain_id(),
            time=format_time(now),
            validators=((public_key, VALIDATOR_POWER),),
            members=tuple(members),
        )
        _write_new(home / GENESIS_FILE, encode(genesis), mode=0o644)
    except OSError as error:
        raise GenesisError(
            f"không lập được chuỗi · cannot found a chain in {home}: {error}"
        ) from error
    return genesis


def _not_read(path: Path, error: OSError) -> str:
    return f"không đọc được tệp của nút · cannot read {path}: {error.strerror}"


def new_chain_id(name: str) -> str:
    """Return a fresh CometBFT chain id: `name`, and 64 random bits. Raises GenesisError."""
    _require(
        _NAME.fullmatch(name),
        "tên chuỗi gồm 1 đến 33 chữ a-z, số 0-9 và gạch nối · "
        "a chain's name is 1 to 33 of a-z, 0-9 and hyphens",
    )
    return f"{name}-{secrets.token_hex(8)}"


def new_evm_chain_id() -> int:
    """Return a fresh EVM chain id, of about 52 random bits."""
    span = MAX_EVM_CHAIN_ID - _MIN_NEW_EVM_CHAIN_ID
    return _MIN_NEW_EVM_CHAIN_ID + secrets.randbelow(span)


def validator_key(home: Path) -> Ed25519PrivateKey:
    """Return the validator's key from the node's home, made if it is not there. Raises GenesisError."""
    if (home / KEY_FILE).exists():
        return load_validator_key(home)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(home / KEY_FILE, pem, mode=0o600)
    return key


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist yet, whole or not at all, and have it on the disk."""
    draft = write_draft(path, data, mode)
    # A hard link, unlike a rename, fails if somebody else was faster.
    os.link(draft, path)
    draft.unlink()
    sync_folder(path.parent)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise GenesisError(message)


def _validators_of(records: Sequence[contracts.Member]) -> tuple[tuple[bytes, int], ...]:
    return tuple((each.validator_key, MEMBER_POWER) for each in records)


def record_json(record: contracts.Member) -> dict[str, str]:
    """Return a member as `genesis.json` and cards write it."""
    values = {name: "0x" + value.hex() for name, value in record.values().items()}
    return values | {"validator_key": base64.b64encode(record.validator_key).decode("ascii")}


def _check_time(text: str) -> None:
    try:
        seconds = parse_time(text).seconds
    except LightError as error:
        raise GenesisError(f"its time is malformed: {error}") from error
    _require(seconds >= 0, "its time is before 1970")


def _check_validators(validators: Sequence[tuple[bytes, int]]) -> None:
    keys = [key for key, _ in validators]
    _require(keys, "there is no validator")
    _require(len(set(keys)) == len(keys), "a validator is listed twice")
    _require(all(power > 0 for _, power in validators), "a voting power is not above zero")
    _require(sum(power for _, power in validators) <= MAX_TOTAL_POWER, "voting power overflows")
    for key in keys:
        try:
            check_public_key(key)
        except LightError as error:
            raise GenesisError(f"a validator's key is unusable: {error}") from error


def _check_members(members: Sequence[bytes]) -> None:
    _require(members, "không có thành viên nào · there is no member")
    _require(
        len(set(members)) == len(members),
        "một thành viên được ghi hai lần · a member is listed twice",
    )
    _require(
        all(len(member) == _ADDRESS_SIZE for member in members),
        "một thành viên không phải địa chỉ · a member is no address",
    )
    _require(
        bytes(_ADDRESS_SIZE) not in members,
        "địa chỉ 0 không thuộc về ai · the zero address is nobody's",
    )


def _validator(value: Any) -> tuple[bytes, int]:
    parsed = shape.members(
        value, "validator", {"public_key": shape.base64_bytes, "power": shape.integer}
    )
    return parsed["public_key"], parsed["power"]


def record_of(value: Any) -> contracts.Member:
    """Return the member that a JSON object says; the inverse of `record_json`. Raises GenesisError."""
    parsed = shape.members(value, "member", _RECORD_PARSERS)
    try:
        return contracts.Member(**parsed)
    except ValueError as error:
        raise GenesisError(f"a member's record is malformed: {error}") from error


_COMMON_PARSERS: Final = {
    "format": shape.text,
    "cometbft_chain_id": shape.text,
    "evm_chain_id": shape.integer,
    "time": shape.text,
    "gas_limit": shape.integer,
}
_PARSERS: Final = {
    **_COMMON_PARSERS,
    "validators": lambda value: tuple(map(_validator, shape.items(value))),
    "members": lambda value: tuple(map(shape.address, shape.items(value))),
}
_CONSORTIUM_PARSERS: Final = {
    **_COMMON_PARSERS,
    "members": lambda value: tuple(map(record_of, shape.items(value))),
}
_RECORD_PARSERS: Final = {
    "account": shape.address,
    "validator_key": shape.base64_bytes,
    "node_id": shape.address,
    "origin": shape.hash32,
    "log_key_id": shape.hash32,
    "name": shape.hash32,
    "hosts": shape.hash32,
}
