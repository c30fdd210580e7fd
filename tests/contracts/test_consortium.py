# SPDX-License-Identifier: GPL-3.0-or-later
"""Consortium: genesis admits the members, who register their own logs; nobody else does."""

import pytest

import contracts
from tests.contracts.evm import Evm
from tests.contracts.logs import LOG_KEY_ID, ORIGIN, OWNER, STRANGER, Head, stored


def test_genesis_admits_the_members_and_nobody_else() -> None:
    evm = Evm([OWNER, b"\x33" * 20])
    for view in ("is_member", "may_transact"):
        answers = [evm.view("Consortium", view, a) for a in (OWNER, b"\x33" * 20, STRANGER)]
        assert answers == [True, True, False]


def test_genesis_lets_the_three_contracts_be_called_and_nothing_else(evm: Evm) -> None:
    for address in contracts.ADDRESSES.values():
        assert evm.view("Consortium", "is_callable", address) is True
    for address in (OWNER, bytes(20), bytes(19) + b"\x09"):
        assert evm.view("Consortium", "is_callable", address) is False


def test_genesis_places_code_and_storage_at_the_fixed_addresses() -> None:
    accounts = contracts.genesis_accounts([OWNER])
    assert {address: account.code for address, account in accounts.items()} == {
        address: contracts.runtime_code(name) for name, address in contracts.ADDRESSES.items()
    }
    sizes = {name: len(accounts[a].storage) for name, a in contracts.ADDRESSES.items()}
    assert sizes == {"Consortium": 4, "AnchorLog": 0, "IssuerRegistry": 0}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], "without members"),
        ([OWNER, OWNER], "twice"),
        ([bytes(20)], "no key has"),
        ([contracts.ADDRESSES["AnchorLog"]], "no key has"),
        ([OWNER[1:]], "expected 20 bytes"),
    ],
)
def test_genesis_refuses_members_that_cannot_be(members: list[bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        contracts.genesis_accounts(members)


def test_member_registers_an_empty_log_of_its_own(evm: Evm) -> None:
    evm.mine(5)
    outcome = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    head = Head(block=5)
    assert not outcome.reverted
    assert stored(evm) == head.commitment()
    (event,) = outcome.events
    assert (event.name, event.values["origin"]) == ("Registered", ORIGIN)
    assert contracts.head_commitment(*_words(event.values["head"])) == head.commitment()


def test_stranger_registers_no_log(evm: Evm) -> None:
    outcome = evm.transact(STRANGER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    assert outcome.reason == "sender is not a member"
    assert stored(evm) == bytes(32)


def test_reasons_of_the_log_reach_the_member(evm: Evm) -> None:
    zero = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, bytes(32))
    assert zero.reason == "log key id is zero"
    assert not evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID).reverted
    again = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    assert again.reason == "origin was registered before"


def test_another_member_cannot_take_a_registered_origin() -> None:
    other = b"\x33" * 20
    evm = Evm([OWNER, other])
    evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    outcome = evm.transact(other, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    assert outcome.reason == "origin was registered before"
    assert stored(evm) == Head().commitment()


def _words(
    head: tuple[str, bytes, int, bytes, bytes, int],
) -> tuple[bytes, bytes, int, bytes, bytes, int]:
    return (bytes.fromhex(head[0][2:]), *head[1:])
