# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots and commitments computed here are those that the contracts compute."""

from collections.abc import Callable

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
    broken: list[Callable[[], bytes]] = [
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


def test_empty_root_is_the_hash_of_nothing() -> None:
    assert Head().root == contracts.EMPTY_ROOT
    assert contracts.EMPTY_ROOT.hex().startswith("e3b0c442") and len(contracts.EMPTY_ROOT) == 32
