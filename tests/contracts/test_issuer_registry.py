# SPDX-License-Identifier: GPL-3.0-or-later
"""IssuerRegistry: a key registers once, keeps its custody for life, and ends for good."""

from typing import Any

import pytest

import contracts
from tests.contracts.evm import Event, Evm, Outcome
from tests.contracts.logs import OWNER, STRANGER

KEY = bytes(range(0x60, 0x80))
REGISTRATION = bytes(range(0x80, 0xA0))
HOLDER, OPERATOR = contracts.CUSTODY["holder"], contracts.CUSTODY["operator"]
NOT_STORED = "issuer preimage is not the stored one"


def test_registered_key_has_its_commitment_and_event(evm: Evm) -> None:
    for custody, sender in ((HOLDER, OWNER), (OPERATOR, STRANGER)):
        evm.mine(3)
        outcome = _register(evm, custody=custody, sender=sender)
        assert _stored(evm, sender) == contracts.issuer_commitment(custody, 3, 0, REGISTRATION)
        _assert_event(outcome, "Registered", sender, (custody, 3, 0, REGISTRATION))


def test_revoked_key_keeps_custody_and_registration(evm: Evm) -> None:
    _register(evm, custody=OPERATOR)
    evm.mine(8)
    outcome = _revoke(evm, OPERATOR, 1)
    assert _stored(evm) == contracts.issuer_commitment(OPERATOR, 1, 8, REGISTRATION)
    _assert_event(outcome, "Revoked", OWNER, (OPERATOR, 1, 8, REGISTRATION))


@pytest.mark.parametrize("custody", [HOLDER, OPERATOR])
@pytest.mark.parametrize("revoked", [False, True])
def test_key_registers_only_once(evm: Evm, custody: int, revoked: bool) -> None:
    _register(evm)
    if revoked:
        _revoke(evm, HOLDER, 1)
    before = _stored(evm)
    assert _register(evm, custody=custody).reason == "key was registered before"
    assert _stored(evm) == before


def test_key_is_revoked_only_once(evm: Evm) -> None:
    _register(evm)
    _revoke(evm, HOLDER, 1)
    evm.mine(9)
    assert _revoke(evm, HOLDER, 1).reason == NOT_STORED
    assert _stored(evm) == contracts.issuer_commitment(HOLDER, 1, 1, REGISTRATION)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((KEY, 0, REGISTRATION), "custody is neither holder nor operator"),
        ((KEY, 3, REGISTRATION), "custody is neither holder nor operator"),
        ((KEY, 2**256 - 1, REGISTRATION), "custody is neither holder nor operator"),
        ((KEY, HOLDER, bytes(32)), "registration is zero"),
        ((bytes(32), HOLDER, REGISTRATION), "issuer key id is zero"),
    ],
)
def test_registration_without_meaning_is_refused(
    evm: Evm, arguments: tuple[Any, ...], reason: str
) -> None:
    assert evm.transact(OWNER, "IssuerRegistry", "register", *arguments).reason == reason
    assert _stored(evm) == bytes(32)


@pytest.mark.parametrize(
    ("custody", "registered", "registration"),
    [(OPERATOR, 1, REGISTRATION), (HOLDER, 2, REGISTRATION), (HOLDER, 1, KEY)],
    ids=["custody", "block", "registration"],
)
def test_revocation_with_another_preimage_is_refused(
    evm: Evm, custody: int, registered: int, registration: bytes
) -> None:
    _register(evm)
    outcome = evm.transact(
        OWNER, "IssuerRegistry", "revoke", KEY, custody, registered, registration
    )
    assert outcome.reason == NOT_STORED


def test_unregistered_key_cannot_be_revoked(evm: Evm) -> None:
    assert _revoke(evm, HOLDER, 1).reason == NOT_STORED


def test_members_do_not_reach_each_others_keys(evm: Evm) -> None:
    _register(evm)
    mine = _stored(evm)
    assert _revoke(evm, HOLDER, 1, sender=STRANGER).reason == NOT_STORED
    assert not _register(evm, custody=OPERATOR, sender=STRANGER).reverted
    assert not _revoke(evm, OPERATOR, 1, sender=STRANGER).reverted
    assert _stored(evm) == mine


def _register(evm: Evm, custody: int = HOLDER, sender: bytes = OWNER) -> Outcome:
    return evm.transact(sender, "IssuerRegistry", "register", KEY, custody, REGISTRATION)


def _revoke(evm: Evm, custody: int, registered: int, sender: bytes = OWNER) -> Outcome:
    return evm.transact(sender, "IssuerRegistry", "revoke", KEY, custody, registered, REGISTRATION)


def _stored(evm: Evm, owner: bytes = OWNER) -> bytes:
    return evm.slot("IssuerRegistry", contracts.issuer_slot(owner, KEY))


def _assert_event(
    outcome: Outcome, name: str, owner: bytes, issuer: tuple[int, int, int, bytes]
) -> None:
    assert outcome.events == (
        Event(name, {"owner": f"0x{owner.hex()}", "issuer_key_id": KEY, "issuer": issuer}),
    )
