# SPDX-License-Identifier: GPL-3.0-or-later
"""That a founding is a file which every node reads alike, and that nothing else passes for one."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from node import governance
from node.errors import GenesisError
from node.genesis import (
    MAX_EVM_CHAIN_ID,
    MAX_FILE_BYTES,
    MAX_TOTAL_POWER,
    Genesis,
    consortium,
    encode,
    found,
    load,
    load_validator_key,
    parse,
)
from node.light import Timestamp, Validator, in_order, validator_address, validators_hash
from tests.contracts.evm import Evm
from tests.contracts.provinces import province, provinces
from tests.support.node_core import MEMBER, address_of, genesis

NOW = Timestamp(1_763_800_000, 5_000_000)


def test_parse_is_the_inverse_of_encode() -> None:
    assert parse(encode(genesis())) == genesis()
    assert parse(b" " + encode(genesis()).replace(b"\n", b"\r\n")) == genesis()


def _set(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(members)


_KEY = json.loads(encode(genesis()))["validators"][0]["public_key"]

WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "member missing": lambda v: v.pop("members"),
    "member too many": _set(extra=1),
    "other format": _set(format="moneo/genesis/v2"),
    "chain id too long": _set(cometbft_chain_id="a" * 51),
    "chain id empty": _set(cometbft_chain_id=""),
    "chain id with a space": _set(cometbft_chain_id="a b"),
    "chain id no text": _set(cometbft_chain_id=5),
    "EVM chain id zero": _set(evm_chain_id=0),
    "EVM chain id too large": _set(evm_chain_id=MAX_EVM_CHAIN_ID + 1),
    "EVM chain id a float": _set(evm_chain_id=1.0),
    "EVM chain id a boolean": _set(evm_chain_id=True),
    "EVM chain id a text": _set(evm_chain_id="1"),
    "time without a zone": _set(time="2025-11-22T08:26:40"),
    "time before 1970": _set(time="1969-12-31T23:59:59Z"),
    "no validators": _set(validators=[]),
    "validators no list": _set(validators={}),
    "validator no object": _set(validators=[_KEY]),
    "validator with more members": _set(validators=[{"public_key": _KEY, "power": 1, "a": 1}]),
    "validator twice": _set(validators=[{"public_key": _KEY, "power": 1}] * 2),
    "validator without power": _set(validators=[{"public_key": _KEY, "power": 0}]),
    "validator too powerful": _set(validators=[{"public_key": _KEY, "power": MAX_TOTAL_POWER + 1}]),
    "validator key short": _set(validators=[{"public_key": "AAAA", "power": 1}]),
    "validator key of small order": _set(
        validators=[{"public_key": "AQ" + "A" * 41 + "=", "power": 1}]
    ),
    "validator key no base64": _set(validators=[{"public_key": "*" + _KEY, "power": 1}]),
    "validator key not canonical": _set(validators=[{"public_key": _KEY[:-2] + "F=", "power": 1}]),
    "no members": _set(members=[]),
    "member zero": _set(members=["0x" + "00" * 20]),
    "member short": _set(members=["0x" + "11" * 19]),
    "member in capitals": _set(members=["0x" + "AB" * 20]),
    "member twice": _set(members=["0x" + "11" * 20] * 2),
    "gas limit too low": _set(gas_limit=999_999),
    "gas limit too high": _set(gas_limit=100_000_001),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_genesis_with_a_wrong_value_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(encode(genesis()))
    change(value)
    with pytest.raises(GenesisError):
        parse(json.dumps(value).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        "ä".encode(),
        encode(genesis()) + b"x",
        encode(genesis()).replace(b'"gas_limit": 3000000', b'"gas_limit": NaN'),
        encode(genesis()).replace(b'"gas_limit"', b'"gas_limit": 1, "gas_limit"'),
        b"[" * 100_000,
        b" " * MAX_FILE_BYTES + encode(genesis()),
    ],
)
def test_bytes_that_are_no_genesis_are_refused(data: bytes) -> None:
    with pytest.raises(GenesisError):
        parse(data)


def governed(count: int = 3) -> Genesis:
    members = [each.member for each in provinces(count)]
    return consortium("test-0123456789abcdef", 5, "2025-11-22T08:26:40Z", members)


def test_consortium_is_read_as_it_was_written() -> None:
    made = governed()
    assert parse(encode(made)) == made
    assert b'"moneo/genesis/v2"' in encode(made) and b'"validators"' not in encode(made)
    assert made.members == tuple(each.account for each in provinces(3))
    assert made.validators == tuple((each.member.validator_key, 1) for each in provinces(3))


def test_consortium_founds_what_the_contract_reads() -> None:
    found = governance.read(Evm(governed().founding).state)
    assert (found.era, found.gas_limit, len(found.members)) == (1, governed().gas_limit, 3)
    validators = (Validator(key, power) for key, power in governed().validators)
    assert found.validators_hash == validators_hash(in_order(validators))


def test_own_chain_founds_accounts_and_the_hash_of_its_validators() -> None:
    found = governance.read(Evm(genesis().founding).state)
    assert [each.account for each in found.members] == list(genesis().members)
    assert found.era == 0
    validators = [Validator(key, power) for key, power in genesis().validators]
    assert found.validators_hash == validators_hash(validators)


def _first(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["members"][0].update(values)


WRONG_CONSORTIUM: dict[str, Callable[[dict[str, Any]], Any]] = {
    "of the other format": _set(format="moneo/genesis/v1"),
    "with validators apart": _set(validators=[]),
    "no members": _set(members=[]),
    "members as addresses": _set(members=["0x" + "11" * 20]),
    "member twice": lambda v: v["members"].append(v["members"][0]),
    "member without hosts": lambda v: v["members"][0].pop("hosts"),
    "member with more": _first(phone="0"),
    "key of another": lambda v: v["members"][0].update(
        validator_key=v["members"][1]["validator_key"]
    ),
    "node id of another": lambda v: v["members"][0].update(node_id=v["members"][1]["node_id"]),
    "origin of another": lambda v: v["members"][0].update(origin=v["members"][1]["origin"]),
    "node key that validates": _first(
        node_id="0x" + validator_address(province(0).member.validator_key).hex()
    ),
    "key of small order": _first(validator_key="AQ" + "A" * 41 + "="),
    "key short": _first(validator_key="AAAA"),
    "node id short": _first(node_id="0x" + "11" * 19),
    "hash in capitals": _first(name="0x" + "AB" * 32),
    "hash zero": _first(name="0x" + "00" * 32),
    "account zero": _first(account="0x" + "00" * 20),
    "gas limit too low": _set(gas_limit=999_999),
}


@pytest.mark.parametrize("change", WRONG_CONSORTIUM.values(), ids=WRONG_CONSORTIUM.keys())
def test_consortium_with_a_wrong_value_is_refused(
    change: Callable[[dict[str, Any]], Any],
) -> None:
    value = json.loads(encode(governed()))
    change(value)
    with pytest.raises(GenesisError):
        parse(json.dumps(value).encode())


def test_records_that_do_not_fit_the_rest_are_refused() -> None:
    for change in (
        {"members": governed().members[::-1]},
        {"validators": governed().validators[:2]},
        {"validators": tuple((key, 10) for key, _ in governed().validators)},
        {"records": governed().records[:2]},
    ):
        with pytest.raises(GenesisError, match="records"):
            replace(governed(), **change)


def test_founding_makes_fresh_ids_and_a_private_key(tmp_path: Path) -> None:
    members = [address_of(MEMBER)]
    first = found(tmp_path / "a" / "node", "camau", members, NOW)
    second = found(tmp_path / "b", "camau", members, NOW)
    assert load(tmp_path / "a" / "node") == first
    assert first.members == tuple(members)
    assert first.time == "2025-11-22T08:26:40.005Z"
    assert first.timestamp == NOW
    assert first.cometbft_chain_id.startswith("camau-")
    assert len(first.cometbft_chain_id) == len("camau-") + 16
    assert first.cometbft_chain_id != second.cometbft_chain_id
    assert first.evm_chain_id != second.evm_chain_id
    assert max(first.evm_chain_id, second.evm_chain_id) <= MAX_EVM_CHAIN_ID


def test_founding_keeps_the_key_to_its_owner(tmp_path: Path) -> None:
    made = found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    mode = (tmp_path / "validator.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    public = load_validator_key(tmp_path).public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert made.validators == ((raw, 10),)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genesis.json", "validator.key"]


def test_founding_again_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    made = found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    with pytest.raises(GenesisError, match="there is a chain already"):
        found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    assert load(tmp_path) == made


def test_founding_over_a_chain_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    with pytest.raises(GenesisError, match="there is a chain already"):
        found(tmp_path, "camau", [address_of(MEMBER)], NOW)


def test_interrupted_founding_goes_on_with_its_key(tmp_path: Path) -> None:
    made = found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    (tmp_path / "genesis.json").unlink()
    (tmp_path / "genesis.json.new").write_text("half")
    again = found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    assert again.validators == made.validators
    assert load(tmp_path) == again


@pytest.mark.parametrize("name", ["", "Camau", "cà-mau", "-a", "a-", "a" * 34, "a\n"])
def test_chain_with_such_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GenesisError, match="name"):
        found(tmp_path, name, [address_of(MEMBER)], NOW)
    assert list(tmp_path.iterdir()) == []


def test_longest_name_still_makes_a_chain_id(tmp_path: Path) -> None:
    made = found(tmp_path, "a" * 33, [address_of(MEMBER)], NOW)
    assert len(made.cometbft_chain_id) == 50


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(GenesisError):
        found(tmp_path / "home", "camau", [address_of(MEMBER)], NOW)


def test_missing_or_broken_genesis_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(GenesisError, match=r"genesis\.json"):
        load(tmp_path)
    (tmp_path / "genesis.json").write_text("{}")
    with pytest.raises(GenesisError, match=r"genesis\.json is no genesis file"):
        load(tmp_path)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    found(tmp_path, "camau", [address_of(MEMBER)], NOW)
    (tmp_path / "validator.key").chmod(0o640)
    with pytest.raises(GenesisError, match="chmod 600"):
        load_validator_key(tmp_path)


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validator.key"
    with pytest.raises(GenesisError, match="cannot read"):
        load_validator_key(tmp_path)
    key = generate_private_key(SECP256R1())
    forms = [
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        b"nonsense",
    ]
    for data in forms:
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(GenesisError, match="is no"):
            load_validator_key(tmp_path)


def test_values_are_checked_however_a_genesis_is_made() -> None:
    with pytest.raises(GenesisError):
        replace(genesis(), members=())
    with pytest.raises(GenesisError):
        Genesis("a", 1, "2025-11-22T08:26:40Z", (), (address_of(MEMBER),))
