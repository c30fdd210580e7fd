# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots and commitments computed here are those that the contracts compute."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

import contracts
from tests.contracts.evm import Evm
from tests.contracts.logs import LOG_KEY_ID, ORIGIN, OWNER, STRANGER, Head

ROOT = bytes(range(32))
AUX = bytes(range(32, 64))
LARGEST = (1 << 256) - 1


@pytest.mark.parametrize("size", [0, 1, 2**53 - 1])
def test_head_commitment_is_keccak_of_abi_encode(size: int) -> None:
    types = ["address", "bytes32", "uint256", "bytes32", "bytes32", "uint256"]
    values = (OWNER, LOG_KEY_ID, size, ROOT, AUX, 7)
    assert contracts.head_commitment(*values) == keccak(encode(types, values))


@pytest.mark.parametrize("revoked", [0, 9])
def test_issuer_commitment_is_keccak_of_abi_encode(revoked: int) -> None:
    types = ["uint256", "uint256", "uint256", "bytes32"]
    values = (contracts.CUSTODY["operator"], 3, revoked, ROOT)
    assert contracts.issuer_commitment(*values) == keccak(encode(types, values))


def test_commitment_refuses_wrong_lengths_and_numbers() -> None:
    broken: list[Callable[[], object]] = [
        lambda: contracts.head_commitment(OWNER + b"\0", LOG_KEY_ID, 1, ROOT, AUX, 1),
        lambda: contracts.head_commitment(OWNER, LOG_KEY_ID[1:], 1, ROOT, AUX, 1),
        lambda: contracts.head_commitment(OWNER, LOG_KEY_ID, -1, ROOT, AUX, 1),
        lambda: contracts.head_commitment(OWNER, LOG_KEY_ID, 1, ROOT + b"\0", AUX, 1),
        lambda: contracts.head_commitment(OWNER, LOG_KEY_ID, 1, ROOT, b"", 1),
        lambda: contracts.head_commitment(OWNER, LOG_KEY_ID, 1, ROOT, AUX, LARGEST + 1),
        lambda: contracts.issuer_commitment(1, 1, 0, ROOT[1:]),
        lambda: contracts.head_slot(ROOT[1:]),
        lambda: contracts.successor_slot(ROOT + b"\0"),
        lambda: contracts.issuer_slot(ROOT, ROOT),
        lambda: contracts.issuer_slot(OWNER, OWNER),
        lambda: contracts.member_slot(ROOT),
        lambda: contracts.callable_slot(b""),
        lambda: contracts.validators_hash_slot(-1),
        lambda: contracts.record_slot(ROOT, "name"),
        lambda: contracts.used_slot(ROOT),
        lambda: contracts.kept_slot(OWNER),
        lambda: contracts.proposal_slot(LARGEST + 1, "yes"),
        lambda: contracts.voted_slot(1, ROOT),
        lambda: contracts.place(OWNER),
        lambda: contracts.Member(ROOT),
        lambda: contracts.Member(OWNER, node_id=ROOT),
        lambda: contracts.encode_payload("gas-limit", gas_limit=LARGEST + 1),
        lambda: contracts.encode_payload("remove", account=ROOT),
    ]
    for make in broken:
        with pytest.raises(ValueError, match=r"expected \d+ bytes|256-bit word"):
            make()


def test_slots_are_those_the_contracts_read(evm: Evm) -> None:
    one = bytes(31) + b"\1"
    evm.put("AnchorLog", contracts.head_slot(ORIGIN), ROOT)
    evm.put("AnchorLog", contracts.successor_slot(ORIGIN), AUX)
    evm.put("IssuerRegistry", contracts.issuer_slot(OWNER, LOG_KEY_ID), ROOT)
    evm.put("Consortium", contracts.member_slot(STRANGER), one)
    evm.put("Consortium", contracts.callable_slot(STRANGER), one)
    assert evm.view("AnchorLog", "head", ORIGIN) == ROOT
    assert evm.view("AnchorLog", "successor", ORIGIN) == AUX
    assert evm.view("IssuerRegistry", "issuer", OWNER, LOG_KEY_ID) == ROOT
    assert evm.view("Consortium", "is_member", STRANGER) is True
    assert evm.view("Consortium", "is_callable", STRANGER) is True


def test_slots_of_the_consortium_are_those_it_reads(evm: Evm) -> None:
    account = "0x" + STRANGER.hex()
    node_id = STRANGER.ljust(32, b"\0")
    words = {
        contracts.validators_hash_slot(7): ROOT,
        contracts.used_slot(STRANGER): bytes(31) + b"\1",
        contracts.kept_slot(ORIGIN): STRANGER.rjust(32, b"\0"),
        contracts.voted_slot(3, STRANGER): bytes(31) + b"\1",
        contracts.seat_slot(0): STRANGER.rjust(32, b"\0"),
    }
    numbers = {name: at + 100 for at, name in enumerate(contracts.CONSORTIUM_SLOTS)}
    fields = list(contracts.KINDS["admit"])[1:]
    record = [bytes([at]) * 32 for at in range(1, 7)]
    record[fields.index("node_id")] = node_id
    told = ["digest", "era", "last_block", "yes", "no", "outcome"]
    words |= {contracts.record_slot(STRANGER, each): record[fields.index(each)] for each in fields}
    words |= {contracts.proposal_slot(5, each): _word(told.index(each) + 50) for each in told}
    words |= {_word(contracts.CONSORTIUM_SLOTS[each]): _word(numbers[each]) for each in numbers}
    for slot, word in words.items():
        evm.put("Consortium", slot, word)

    def view(function: str, *arguments: Any) -> Any:
        return evm.view("Consortium", function, *arguments)

    for name in ("era", "era_since", "gas_limit", "proposal_count"):
        assert view(name) == numbers[name]
    assert view("upgrade") == (numbers["upgrade_height"], _word(numbers["upgrade_plan"]))
    assert view("validators_hash", 7) == ROOT
    assert view("is_used", STRANGER) is view("has_voted", 3, STRANGER) is True
    assert (view("kept_for", ORIGIN), view("members", 0)) == (account, account)
    record[fields.index("node_id")] = STRANGER
    assert view("member", STRANGER) == tuple(record)
    assert view("proposal", 5) == (_word(50), 51, 52, 53, 54, 55)


@pytest.mark.parametrize("kind", contracts.KINDS)
def test_payload_is_abi_encode_and_read_back(kind: str) -> None:
    types = contracts.KINDS[kind]
    samples: dict[str, Any] = {
        "address": OWNER,
        "bool": True,
        "bytes20": STRANGER,
        "bytes32": ROOT,
        "uint256": LARGEST,
    }
    values = {name: samples[each] for name, each in types.items()}
    payload = contracts.encode_payload(kind, **values)
    assert payload == encode(list(types.values()), list(values.values()))
    number = contracts.kind_number(kind)
    assert contracts.decode_payload(number, payload) == (kind, values)
    for broken in (b"", payload[:-1], payload + b"\0", payload + bytes(32)):
        with pytest.raises(ValueError):
            contracts.decode_payload(number, broken)


@pytest.mark.parametrize(
    ("number", "payload"),
    [
        (0, bytes(32)),
        (8, bytes(32)),
        (2, b"\1" * 32),
        (3, OWNER.rjust(32, b"\1") + ROOT),
        (4, OWNER.rjust(32, b"\0") + bytes(31) + b"\2"),
    ],
)
def test_payload_that_says_nothing_is_refused(number: int, payload: bytes) -> None:
    with pytest.raises(ValueError, match="kind"):
        contracts.decode_payload(number, payload)


def test_payload_takes_the_values_of_its_kind() -> None:
    with pytest.raises(TypeError, match="account, validator_key"):
        contracts.encode_payload("change-key", account=OWNER)
    with pytest.raises(KeyError):
        contracts.encode_payload("depose", account=OWNER)


def test_statement_is_bound_to_the_chain_the_kind_and_every_value() -> None:
    payload = contracts.encode_payload("change-key", account=OWNER, validator_key=ROOT)
    tag = keccak(b"moneo/possession/v1")
    address = contracts.ADDRESSES["Consortium"].rjust(32, b"\0")
    words = [tag, _word(5), address, _word(3)]
    assert contracts.statement(5, "change-key", payload) == keccak(b"".join(words) + payload)
    message = contracts.possession_message(5, "change-key", payload)
    assert message == b"moneo/possession/v1\n" + contracts.statement(5, "change-key", payload)


def test_empty_root_is_the_hash_of_nothing() -> None:
    assert Head().root == contracts.EMPTY_ROOT
    assert contracts.EMPTY_ROOT.hex().startswith("e3b0c442") and len(contracts.EMPTY_ROOT) == 32


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
