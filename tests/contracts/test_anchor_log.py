# SPDX-License-Identifier: GPL-3.0-or-later
"""AnchorLog around its proofs: who may do what, in which order, and what is said when not."""

from dataclasses import replace

import pytest

import contracts
from tests.contracts.evm import Evm, calldata
from tests.contracts.logs import (
    LOG_KEY_ID,
    ORIGIN,
    OWNER,
    STRANGER,
    Head,
    anchor,
    place,
    stored,
)
from tests.contracts.trees import Tree

CONSORTIUM = contracts.ADDRESSES["Consortium"]
TREE = Tree(range(65))
AT_SEVEN = Head(7, TREE.root(7))
NOT_STORED = "head preimage is not the stored one"
OTHER_ORIGIN = bytes(31) + b"\x07"


def test_log_goes_from_registration_through_every_size(evm: Evm) -> None:
    evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
    head = Head()
    for size in range(1, 20):
        evm.mine(10 + size)
        proof = TREE.proof(head.size, size) if head.size else []
        outcome = anchor(evm, head, size, TREE.root(size), proof)
        head = head.moved(size, TREE.root(size), evm.block)
        assert not outcome.reverted, outcome.reason
        assert stored(evm) == head.commitment()


def test_event_carries_the_whole_new_preimage(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    evm.mine(12)
    (event,) = anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9)).events
    owner, *rest = event.values["head"]
    assert (event.name, event.values["origin"]) == ("Anchored", ORIGIN)
    assert (bytes.fromhex(owner[2:]), *rest) == AT_SEVEN.moved(9, TREE.root(9), 12).words()


@pytest.mark.parametrize("size", [1, 2, 64, 2**53 - 1])
def test_first_anchor_takes_any_tree_with_an_empty_path(evm: Evm, size: int) -> None:
    place(evm, Head())
    assert not anchor(evm, Head(), size, TREE.root(5), []).reverted
    assert stored(evm) == Head().moved(size, TREE.root(5), evm.block).commitment()


def test_first_anchor_with_a_path_is_refused(evm: Evm) -> None:
    place(evm, Head())
    outcome = anchor(evm, Head(), 5, TREE.root(5), [TREE.root(1)])
    assert outcome.reason == "proof has the wrong length"


def test_same_checkpoint_again_changes_nothing(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    evm.mine(12)
    outcome = anchor(evm, AT_SEVEN, 7, TREE.root(7), [])
    assert (outcome.reverted, outcome.events) == (False, ())
    assert stored(evm) == AT_SEVEN.commitment()


@pytest.mark.parametrize(
    ("head", "size", "root", "proof", "reason"),
    [
        (AT_SEVEN, 7, TREE.root(8), [], "another root of the same size"),
        (AT_SEVEN, 7, TREE.root(7), [TREE.root(7)], "proof has the wrong length"),
        (AT_SEVEN, 6, TREE.root(6), [], "a log does not shrink"),
        (AT_SEVEN, 6, TREE.root(6), TREE.proof(6, 7), "a log does not shrink"),
        (AT_SEVEN, 0, contracts.EMPTY_ROOT, [], "size is out of range"),
        (Head(), 0, contracts.EMPTY_ROOT, [], "size is out of range"),
        (Head(), 2**53, TREE.root(5), [], "size is out of range"),
        (Head(), 2**256 - 1, TREE.root(5), [], "size is out of range"),
        (AT_SEVEN, 2**53, TREE.root(5), [], "size is out of range"),
    ],
)
def test_checkpoint_that_cannot_follow_is_refused(
    evm: Evm, head: Head, size: int, root: bytes, proof: list[bytes], reason: str
) -> None:
    place(evm, head)
    outcome = anchor(evm, head, size, root, proof)
    assert (outcome.reason, outcome.events) == (reason, ())
    assert stored(evm) == head.commitment()


@pytest.mark.parametrize("sender", [STRANGER, CONSORTIUM, bytes(20)])
def test_only_the_owner_anchors(evm: Evm, sender: bytes) -> None:
    place(evm, AT_SEVEN)
    outcome = anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9), sender=sender)
    assert outcome.reason == "sender is not the owner"
    assert stored(evm) == AT_SEVEN.commitment()


def test_member_who_names_itself_owner_is_refused(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    forged = replace(AT_SEVEN, owner=STRANGER)
    outcome = anchor(evm, forged, 9, TREE.root(9), TREE.proof(7, 9), sender=STRANGER)
    assert outcome.reason == NOT_STORED


@pytest.mark.parametrize(
    "wrong",
    [
        replace(AT_SEVEN, log_key_id=bytes(32)),
        replace(AT_SEVEN, size=6),
        replace(AT_SEVEN, size=0),
        replace(AT_SEVEN, root=TREE.root(8)),
        replace(AT_SEVEN, aux=TREE.root(8)),
        replace(AT_SEVEN, block=2),
    ],
    ids=["key", "size", "size-0", "root", "aux", "block"],
)
def test_preimage_that_is_not_the_stored_one_is_refused(evm: Evm, wrong: Head) -> None:
    place(evm, AT_SEVEN)
    outcome = anchor(evm, wrong, 9, TREE.root(9), TREE.proof(7, 9))
    assert outcome.reason == NOT_STORED


def test_stale_preimage_is_refused(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    assert not anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9)).reverted
    after = stored(evm)
    again = anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9))
    assert again.reason == NOT_STORED
    assert stored(evm) == after


def test_origin_that_was_never_registered_has_no_preimage(evm: Evm) -> None:
    assert anchor(evm, Head(), 5, TREE.root(5), []).reason == NOT_STORED


def test_logs_do_not_touch_each_other(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    place(evm, Head(), OTHER_ORIGIN)
    anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9))
    assert stored(evm, OTHER_ORIGIN) == Head().commitment()


@pytest.mark.parametrize("sender", [OWNER, STRANGER])
@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("register", (ORIGIN, OWNER, LOG_KEY_ID), "only the Consortium registers logs"),
        ("retire", (ORIGIN, bytes(32)), "only the Consortium retires logs"),
    ],
)
def test_only_the_consortium_registers_and_retires(
    evm: Evm, sender: bytes, function: str, arguments: tuple[bytes, ...], reason: str
) -> None:
    assert evm.transact(sender, "AnchorLog", function, *arguments).reason == reason


@pytest.mark.parametrize(
    ("owner", "log_key_id", "reason"),
    [(bytes(20), LOG_KEY_ID, "owner is zero"), (OWNER, bytes(32), "log key id is zero")],
)
def test_register_refuses_nobody_and_no_key(
    evm: Evm, owner: bytes, log_key_id: bytes, reason: str
) -> None:
    outcome = evm.transact(CONSORTIUM, "AnchorLog", "register", ORIGIN, owner, log_key_id)
    assert outcome.reason == reason


def test_origin_registers_once_also_after_it_grew(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    outcome = evm.transact(CONSORTIUM, "AnchorLog", "register", ORIGIN, OWNER, LOG_KEY_ID)
    assert outcome.reason == "origin was registered before"


def test_retired_log_neither_moves_nor_comes_back(evm: Evm) -> None:
    place(evm, AT_SEVEN)
    outcome = evm.transact(CONSORTIUM, "AnchorLog", "retire", ORIGIN, OTHER_ORIGIN)
    (event,) = outcome.events
    assert event.values == {"origin": ORIGIN, "successor": OTHER_ORIGIN}
    assert evm.view("AnchorLog", "successor", ORIGIN) == OTHER_ORIGIN
    assert anchor(evm, AT_SEVEN, 9, TREE.root(9), TREE.proof(7, 9)).reason == NOT_STORED
    again = evm.transact(CONSORTIUM, "AnchorLog", "register", ORIGIN, OWNER, LOG_KEY_ID)
    assert again.reason == "origin was registered before"
    twice = evm.transact(CONSORTIUM, "AnchorLog", "retire", ORIGIN, bytes(32))
    assert twice.reason == "origin was retired before"


def test_retire_refuses_what_cannot_end(evm: Evm) -> None:
    unknown = evm.transact(CONSORTIUM, "AnchorLog", "retire", ORIGIN, bytes(32))
    assert unknown.reason == "origin is not registered"
    place(evm, AT_SEVEN)
    itself = evm.transact(CONSORTIUM, "AnchorLog", "retire", ORIGIN, ORIGIN)
    assert itself.reason == "a log does not follow itself"


def test_calldata_that_is_not_the_abis_is_refused(evm: Evm) -> None:
    """Cut short, an owner wider than an address, a path of 65: no state may come of any of it."""
    place(evm, AT_SEVEN)
    good = calldata(
        "AnchorLog",
        "anchor",
        (ORIGIN, AT_SEVEN.words(), 9, TREE.root(9), TREE.proof(7, 9)),
    )
    owner_at = 4 + 32
    wide = good[:owner_at] + b"\x01" + good[owner_at + 1 :]
    long = calldata(
        "AnchorLog", "anchor", (ORIGIN, AT_SEVEN.words(), 9, TREE.root(9), [TREE.root(1)] * 65)
    )
    for data in (b"", good[:3], good[:4], good[:200], wide, long, b"\0\0\0\0" + good[4:]):
        outcome = evm.send(OWNER, contracts.ADDRESSES["AnchorLog"], data)
        assert outcome.reverted
        assert stored(evm) == AT_SEVEN.commitment()
    assert not evm.send(OWNER, contracts.ADDRESSES["AnchorLog"], good).reverted
