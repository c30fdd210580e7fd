# SPDX-License-Identifier: GPL-3.0-or-later
"""Consortium: who is a member, and what more than two thirds of them can change, each rule for itself.

`test_consortium_model.py` plays the rules against each other.
"""

from dataclasses import replace
from typing import Any

import pytest

import contracts
from node.governance import Upgrade
from node.light import in_order, validators_hash
from node.vm import MAX_TRANSACTION_GAS
from tests.contracts.evm import GAS_LIMIT, Evm, Outcome
from tests.contracts.logs import LOG_KEY_ID, ORIGIN, OWNER, STRANGER, Head, stored
from tests.contracts.provinces import (
    CHAIN_ID,
    Council,
    Province,
    founding,
    province,
    provinces,
    public,
)

OTHER = b"\x33" * 20
FIFTH = province(40)
LIMIT = {"gas_limit": 5_000_000}
TARGET = bytes(range(20, 40))


@pytest.fixture
def four() -> Council:
    return Council(4)


def needed(members: int) -> int:
    """More than two thirds of the members."""
    return 2 * members // 3 + 1


class TestFounding:
    def test_admits_the_members_and_nobody_else(self) -> None:
        evm = Evm([OWNER, OTHER])
        for view in ("is_member", "may_transact"):
            answers = [evm.view("Consortium", view, a) for a in (OWNER, OTHER, STRANGER)]
            assert answers == [True, True, False]

    def test_lets_the_three_contracts_be_called_and_nothing_else(self, evm: Evm) -> None:
        for address in contracts.ADDRESSES.values():
            assert evm.view("Consortium", "is_callable", address) is True
        for address in (OWNER, bytes(20), bytes(19) + b"\x09"):
            assert evm.view("Consortium", "is_callable", address) is False

    def test_places_code_and_storage_at_the_fixed_addresses(self) -> None:
        accounts = contracts.genesis_accounts(founding(4))
        assert {address: account.code for address, account in accounts.items()} == {
            address: contracts.runtime_code(name) for name, address in contracts.ADDRESSES.items()
        }
        sizes = {name: len(accounts[a].storage) for name, a in contracts.ADDRESSES.items()}
        # Era, its hash, gas limit, number of members, 3 contracts; 11 slots a member.
        assert sizes == {"Consortium": 7 + 4 * 11, "AnchorLog": 0, "IssuerRegistry": 0}

    @pytest.mark.parametrize("count", [1, 2, 4, 34, contracts.MAX_MEMBERS])
    def test_consortium_is_read_back_as_founded(self, count: int) -> None:
        council = Council(count)
        found = council.read()
        assert (found.era, found.era_since) == (1, 0)
        assert (found.gas_limit, found.upgrade) == (GAS_LIMIT, None)
        assert set(found.members) == {each.member for each in provinces(count)}
        assert in_order(found.validators) == found.validators
        assert found.validators_hash == validators_hash(found.validators)
        evm = council.evm
        assert evm.view("Consortium", "validators_hash", 1) == found.validators_hash
        for index, member in enumerate(found.members):
            assert evm.view("Consortium", "members", index) == "0x" + member.account.hex()
            assert evm.view("Consortium", "is_used", member.node_id) is True
            place = contracts.place(member.validator_key)
            assert evm.view("Consortium", "is_used", place) is True
            kept_for = evm.view("Consortium", "kept_for", member.origin)
            assert kept_for == "0x" + member.account.hex()

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ([], "1 to 64 members"),
            ([bytes([n]) * 20 for n in range(1, 66)], "1 to 64 members"),
            ([OWNER, OWNER], "twice"),
            ([bytes(20)], "no key has"),
            ([contracts.ADDRESSES["AnchorLog"]], "no key has"),
            ([OWNER[1:]], "expected 20 bytes"),
        ],
    )
    def test_refuses_members_that_cannot_be(self, members: list[bytes], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            Evm(members)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"validator_key": bytes(32)}, "not complete"),
            ({"node_id": bytes(20)}, "not complete"),
            ({"hosts": bytes(32)}, "not complete"),
            ({"validator_key": province(1).member.validator_key}, "one key"),
            ({"node_id": province(1).member.node_id}, "one key"),
            ({"node_id": contracts.place(province(1).member.validator_key)}, "one key"),
            ({"node_id": contracts.place(province(0).member.validator_key)}, "one key"),
            ({"origin": province(1).member.origin}, "one log"),
            ({"account": province(1).account}, "twice"),
        ],
    )
    def test_refuses_records_that_cannot_be(self, change: dict[str, bytes], reason: str) -> None:
        usual = founding(3)
        first = replace(usual.members[0], **change)
        with pytest.raises(ValueError, match=reason):
            contracts.genesis_accounts(replace(usual, members=[first, *usual.members[1:]]))


class TestLogs:
    def test_member_registers_an_empty_log_of_its_own(self, evm: Evm) -> None:
        evm.mine(5)
        outcome = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
        head = Head(block=5)
        assert not outcome.reverted
        assert stored(evm) == head.commitment()
        (event,) = outcome.events
        assert (event.name, event.values["origin"]) == ("Registered", ORIGIN)
        assert contracts.head_commitment(*_words(event.values["head"])) == head.commitment()

    def test_stranger_registers_no_log(self, evm: Evm) -> None:
        outcome = evm.transact(STRANGER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
        assert outcome.reason == "sender is not a member"
        assert stored(evm) == bytes(32)

    def test_reasons_of_the_log_reach_the_member(self, evm: Evm) -> None:
        zero = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, bytes(32))
        assert zero.reason == "log key id is zero"
        assert not evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID).reverted
        again = evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
        assert again.reason == "origin was registered before"

    def test_another_member_cannot_take_a_registered_origin(self) -> None:
        evm = Evm([OWNER, OTHER])
        evm.transact(OWNER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
        outcome = evm.transact(OTHER, "Consortium", "register_log", ORIGIN, LOG_KEY_ID)
        assert outcome.reason == "origin was registered before"
        assert stored(evm) == Head().commitment()

    def test_origin_of_a_member_is_kept_for_it(self, four: Council) -> None:
        mine = province(0).member.origin
        thief = four.send(province(1).account, "register_log", mine, LOG_KEY_ID)
        assert thief.reason == "origin is kept for another member"
        own = four.send(province(0).account, "register_log", mine, LOG_KEY_ID)
        assert not own.reverted

    def test_member_rotates_its_log_key_alone_by_a_new_log(self, four: Council) -> None:
        account = province(0).account
        for origin, key in ((province(0).member.origin, LOG_KEY_ID), (ORIGIN, bytes(31) + b"\2")):
            assert not four.send(account, "register_log", origin, key).reverted
            (mine,) = (each for each in four.read().members if each.account == account)
            assert (mine.origin, mine.log_key_id) == (origin, key)
        assert four.read().era == 1

    def test_log_is_retired_by_vote_only(self, four: Council) -> None:
        members, successor = provinces(4), bytes(31) + b"\3"
        values = {"origin": ORIGIN, "successor": successor}
        early = four.propose(members[0], "retire", **values)
        assert early.reason == "origin is not registered"
        four.send(members[3].account, "register_log", ORIGIN, LOG_KEY_ID)
        assert not four.decide(members, "retire", **values).reverted
        assert four.outcome() == "accepted"
        assert four.evm.view("AnchorLog", "successor", ORIGIN) == successor
        again = four.decide(members, "retire", **values)
        assert (again.reason, four.outcome()) == ("origin was retired before", "open")


class TestHosts:
    def test_member_changes_them_alone(self, four: Council) -> None:
        mine, hosts = province(2), bytes(31) + b"\7"
        new_id = contracts.place(public(mine.new_key("other node")))
        for node_id in (mine.member.node_id, new_id, new_id):
            outcome = four.send(mine.account, "change_hosts", node_id, hosts)
            assert [event.name for event in outcome.events] == ["HostsChanged"]
            assert replace(mine.member, node_id=node_id, hosts=hosts) in four.read().members
        assert four.evm.view("Consortium", "is_used", new_id) is True
        back = four.send(mine.account, "change_hosts", mine.member.node_id, hosts)
        assert back.reason == "a key was used before"
        assert four.read().era == 1

    @pytest.mark.parametrize(
        ("sender", "node_id", "hosts", "reason"),
        [
            (FIFTH, FIFTH.member.node_id, ORIGIN, "sender is not a member"),
            (province(0), bytes(20), ORIGIN, "node id is zero"),
            (province(0), FIFTH.member.node_id, bytes(32), "hosts is zero"),
            (province(0), province(1).member.node_id, ORIGIN, "a key was used before"),
            (
                province(0),
                contracts.place(province(0).member.validator_key),
                ORIGIN,
                "a key was used before",
            ),
        ],
    )
    def test_others_and_used_keys_are_refused(
        self, four: Council, sender: Province, node_id: bytes, hosts: bytes, reason: str
    ) -> None:
        assert four.send(sender.account, "change_hosts", node_id, hosts).reason == reason


class TestVotes:
    @pytest.mark.parametrize("members", range(1, 35))
    def test_take_effect_at_more_than_two_thirds_and_not_before(self, members: int) -> None:
        """Votes but the last two are written into the slot that counts them."""
        council, voters, quorum = Council(members), provinces(members), needed(members)
        assert 3 * quorum > 2 * members >= 3 * (quorum - 1)
        council.propose(voters[0], "gas-limit", **LIMIT)
        if quorum > 2:
            _count(council, "yes", quorum - 2)
            assert not council.vote(voters[1], "gas-limit", **LIMIT).reverted
        if quorum > 1:
            assert (council.outcome(), council.read().gas_limit) == ("open", GAS_LIMIT)
            council.vote(voters[-1], "gas-limit", **LIMIT)
        assert (council.outcome(), council.read().gas_limit) == ("accepted", 5_000_000)

    @pytest.mark.parametrize("members", [*range(2, 11), 33, 34])
    def test_against_end_a_proposal_that_cannot_pass_any_more(self, members: int) -> None:
        council, voters = Council(members), provinces(members)
        enough = members - needed(members) + 1
        council.propose(voters[0], "gas-limit", **LIMIT)
        if enough > 1:
            _count(council, "no", enough - 2)
            council.vote(voters[1], "gas-limit", approve=False, **LIMIT)
            assert council.outcome() == "open"
        council.vote(voters[-1], "gas-limit", approve=False, **LIMIT)
        assert council.outcome() == "rejected"
        late = council.vote(voters[2 % members], "gas-limit", **LIMIT)
        assert late.reason == "proposal was decided before"

    def test_are_one_a_member(self, four: Council) -> None:
        first, second, *_ = provinces(4)
        four.propose(first, "gas-limit", **LIMIT)
        assert four.vote(first, "gas-limit", **LIMIT).reason == "sender has voted before"
        four.vote(second, "gas-limit", approve=False, **LIMIT)
        changed_mind = four.vote(second, "gas-limit", **LIMIT)
        assert changed_mind.reason == "sender has voted before"
        (told,) = four.history()
        assert told.votes == {first.account: True, second.account: False}

    def test_of_strangers_do_not_count(self, four: Council) -> None:
        assert four.propose(FIFTH, "gas-limit", **LIMIT).reason == "sender is not a member"
        four.propose(province(0), "gas-limit", **LIMIT)
        assert four.vote(FIFTH, "gas-limit", **LIMIT).reason == "sender is not a member"
        assert four.vote(STRANGER, "gas-limit", **LIMIT).reason == "sender is not a member"

    @pytest.mark.parametrize("number", [0, 2, 2**256 - 1])
    def test_on_no_proposal_are_refused(self, four: Council, number: int) -> None:
        four.propose(province(0), "gas-limit", **LIMIT)
        outcome = four.vote(province(1), "gas-limit", number=number, **LIMIT)
        assert outcome.reason == "no such proposal of this content"

    def test_say_what_they_are_for(self, four: Council) -> None:
        four.propose(province(0), "gas-limit", **LIMIT)
        other = four.vote(province(1), "gas-limit", gas_limit=6_000_000)
        kind = four.vote(province(1), "remove", account=(5_000_000).to_bytes(20, "big"))
        assert other.reason == kind.reason == "no such proposal of this content"

    def test_on_a_decided_proposal_are_refused(self, four: Council) -> None:
        four.decide(provinces(4), "gas-limit", **LIMIT)
        late = four.vote(province(3), "gas-limit", **LIMIT)
        assert late.reason == "proposal was decided before"

    def test_are_taken_for_a_million_blocks(self, four: Council) -> None:
        four.propose(province(0), "gas-limit", **LIMIT)
        four.next_block(1_000_000)
        assert not four.vote(province(1), "gas-limit", **LIMIT).reverted
        four.next_block()
        late = four.vote(province(2), "gas-limit", **LIMIT)
        assert late.reason == "voting has ended: propose it again"

    def test_of_an_era_before_do_not_go_on(self, four: Council) -> None:
        members = provinces(4)
        four.propose(members[0], "gas-limit", **LIMIT)
        four.vote(members[1], "gas-limit", **LIMIT)
        four.decide(members, "remove", account=members[3].account)
        stale = four.vote(members[2], "gas-limit", number=1, **LIMIT)
        assert stale.reason == "members or keys have changed since: propose it again"
        assert [each.outcome for each in four.history()] == ["lapsed", "accepted"]
        assert four.read().gas_limit == GAS_LIMIT

    def test_after_removal_are_refused_in_the_same_block_too(self, four: Council) -> None:
        members = provinces(4)
        gone = members[3]
        four.propose(gone, "gas-limit", **LIMIT)
        four.decide(members, "remove", account=gone.account)
        for refused in (
            four.vote(gone, "gas-limit", number=1, **LIMIT),
            four.propose(gone, "gas-limit", **LIMIT),
            four.send(gone.account, "register_log", ORIGIN, LOG_KEY_ID),
            four.send(gone.account, "change_hosts", gone.member.node_id, ORIGIN),
        ):
            assert refused.reason == "sender is not a member"

    def test_of_a_member_that_returned_do_not_count_again(self) -> None:
        """Its old vote went with the era; a proposal made anew starts from nothing."""
        council, members = Council(5), provinces(5)
        council.propose(members[4], "gas-limit", **LIMIT)
        council.decide(members, "remove", account=members[4].account)
        council.next_block()
        back = province(4, generation=1)
        council.decide(members[:4], "admit", back.proof(), **back.member.values())
        assert back.account in council.accounts()
        stale = council.vote(back, "gas-limit", number=1, **LIMIT)
        assert stale.reason == "members or keys have changed since: propose it again"
        council.propose(members[0], "gas-limit", **LIMIT)
        assert not council.vote(back, "gas-limit", **LIMIT).reverted


class TestAdmission:
    def test_makes_a_member_of_full_rights(self, four: Council) -> None:
        outcome = four.decide(provinces(4), "admit", FIFTH.proof(), **FIFTH.member.values())
        assert [e.name for e in outcome.events] == ["Voted", "Closed", "EraBegan"]
        now = four.read()
        assert (now.era, now.era_since, len(now.members)) == (2, 1, 5)
        assert FIFTH.member in now.members
        for place in (contracts.place(FIFTH.member.validator_key), FIFTH.member.node_id):
            assert four.evm.view("Consortium", "is_used", place) is True
        kept_for = four.evm.view("Consortium", "kept_for", FIFTH.member.origin)
        assert kept_for == "0x" + FIFTH.account.hex()
        assert now.validators_hash == validators_hash(in_order(now.validators))
        assert not four.send(
            FIFTH.account, "register_log", FIFTH.member.origin, LOG_KEY_ID
        ).reverted
        assert not four.propose(FIFTH, "gas-limit", **LIMIT).reverted

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"validator_key": bytes(32)}, "validator key is zero"),
            ({"node_id": bytes(20)}, "node id is zero"),
            ({"log_key_id": bytes(32)}, "log key id is zero"),
            ({"name": bytes(32)}, "name is zero"),
            ({"hosts": bytes(32)}, "hosts is zero"),
            ({"validator_key": province(1).member.validator_key}, "a key was used before"),
            ({"node_id": province(1).member.node_id}, "a key was used before"),
            (
                {"node_id": contracts.place(province(1).member.validator_key)},
                "a key was used before",
            ),
            (
                {"node_id": contracts.place(FIFTH.member.validator_key)},
                "a key has two uses",
            ),
            ({"origin": province(1).member.origin}, "origin is kept for another member"),
        ],
    )
    def test_of_zeros_and_used_keys_is_refused(
        self, four: Council, changes: dict[str, bytes], reason: str
    ) -> None:
        assert four.admit(province(0), FIFTH, **changes).reason == reason
        assert four.proposals == 0 and four.read().era == 1

    def test_of_a_member_is_refused(self, four: Council) -> None:
        back = province(1, generation=1)
        assert four.admit(province(0), back).reason == "account is a member's"

    def test_with_a_registered_origin_is_refused(self, four: Council) -> None:
        four.send(province(1).account, "register_log", ORIGIN, LOG_KEY_ID)
        refused = four.admit(province(0), FIFTH, origin=ORIGIN)
        assert refused.reason == "origin was registered before"

    def test_whose_origin_is_taken_meanwhile_does_not_happen(self, four: Council) -> None:
        members, values = provinces(4), FIFTH.member.values()
        four.admit(members[0], FIFTH)
        four.vote(members[1], "admit", **values)
        four.send(members[3].account, "register_log", FIFTH.member.origin, LOG_KEY_ID)
        last = four.vote(members[2], "admit", **values)
        assert (last.reason, four.outcome()) == ("origin was registered before", "open")
        assert FIFTH.account not in four.accounts()

    def test_of_a_removed_member_needs_new_keys(self) -> None:
        council, members = Council(5), provinces(5)
        council.decide(members, "remove", account=members[4].account)
        old = members[4].member
        new = province(4, generation=1)
        for changes in (
            {"validator_key": old.validator_key},
            {"node_id": old.node_id},
        ):
            refused = council.admit(members[0], new, **changes)
            assert refused.reason == "a key was used before"
        kept = council.admit(members[0], new, origin=old.origin)
        assert kept.reason == "origin is kept for another member"
        assert not council.admit(members[0], new).reverted

    def test_stops_at_the_room_there_is(self) -> None:
        council = Council(contracts.MAX_MEMBERS)
        refused = council.admit(province(0), province(100))
        assert refused.reason == "there is no room for another member"

    @pytest.mark.parametrize(
        ("proof", "reason"),
        [
            (b"", "proof has the wrong length"),
            (FIFTH.proof()[:-1], "proof has the wrong length"),
            (bytes(352), "account has not signed"),
            (b"\xff" * 352, "account has not signed"),
            (province(41).proof(), "account has not signed"),
            (province(41).proof(FIFTH.member), "account has not signed"),
            (FIFTH.proof(replace(FIFTH.member, hosts=ORIGIN)), "account has not signed"),
        ],
    )
    def test_needs_the_consent_of_the_account(
        self, four: Council, proof: bytes, reason: str
    ) -> None:
        values = FIFTH.member.values()
        assert four.propose(province(0), "admit", proof, **values).reason == reason

    def test_with_bytes_where_none_belong_is_refused(self, four: Council) -> None:
        """Twelve bytes stand unused behind the node id: with them, one record had many payloads."""
        payload = bytearray(contracts.encode_payload("admit", **FIFTH.member.values()))
        payload[95] = 1
        digest = contracts.statement(CHAIN_ID, "admit", bytes(payload))
        signed = FIFTH.account_key.sign_msg_hash(digest)
        numbers = [each.to_bytes(32, "big") for each in (signed.v + 27, signed.r, signed.s)]
        proof = b"".join(numbers) + FIFTH.proof()[96:]
        refused = four.send(province(0).account, "propose", 1, bytes(payload), proof)
        assert (refused.reverted, refused.reason, four.proposals) == (True, "", 0)

    def test_of_account_zero_is_refused(self, four: Council) -> None:
        """ecrecover answers zero for what is no signature."""
        values = FIFTH.member.values() | {"account": bytes(20)}
        refused = four.propose(province(0), "admit", bytes(352), **values)
        assert refused.reason == "account is zero"

    def test_proof_stands_in_the_history(self, four: Council) -> None:
        four.admit(province(0), FIFTH)
        (told,) = four.history()
        assert (told.kind, told.values, told.proof) == (
            "admit",
            FIFTH.member.values(),
            FIFTH.proof(),
        )


class TestRemoval:
    def test_ends_membership_and_clears_the_record(self, four: Council) -> None:
        members = provinces(4)
        gone = members[1]
        four.decide([members[0], *members[2:]], "remove", account=gone.account)
        now = four.read()
        assert (now.era, len(now.members)) == (2, 3)
        assert gone.account not in four.accounts()
        assert four.evm.view("Consortium", "may_transact", gone.account) is False
        for field in list(gone.member.values())[1:]:
            slot = contracts.record_slot(gone.account, field)
            assert four.evm.slot("Consortium", slot) == bytes(32)
        assert now.validators_hash == validators_hash(in_order(now.validators))

    def test_of_nobody_or_a_stranger_is_refused(self, four: Council) -> None:
        for account in (bytes(20), STRANGER):
            refused = four.propose(province(0), "remove", account=account)
            assert refused.reason == "account is no member's"

    def test_of_the_last_member_is_refused(self) -> None:
        alone = Council(1)
        refused = alone.propose(province(0), "remove", account=province(0).account)
        assert refused.reason == "somebody has to stay"
        assert alone.accounts() == {province(0).account}

    def test_of_oneself_is_a_way_to_leave(self, four: Council) -> None:
        members = provinces(4)
        four.decide(members, "remove", account=members[0].account)
        assert four.accounts() == {each.account for each in members[1:]}


class TestKeyChange:
    def test_puts_the_new_key_in_its_place(self, four: Council) -> None:
        holder = province(2)
        key = holder.new_key("second")
        four.change_key(holder, key)
        values = {"account": holder.account, "validator_key": public(key)}
        for voter in (province(0), province(1)):
            four.vote(voter, "change-key", **values)
        now = four.read()
        assert (now.era, len(now.members)) == (2, 4)
        assert replace(holder.member, validator_key=public(key)) in now.members
        assert now.validators == in_order(now.validators)
        assert now.validators_hash == validators_hash(now.validators)

    def test_of_another_member_is_refused(self, four: Council) -> None:
        values = {"account": province(1).account, "validator_key": FIFTH.member.validator_key}
        refused = four.propose(province(0), "change-key", bytes(64), **values)
        assert refused.reason == "only its holder changes a key"

    @pytest.mark.parametrize("length", [0, 63, 65, 352])
    def test_without_a_signature_is_refused(self, four: Council, length: int) -> None:
        values = {"account": province(0).account, "validator_key": FIFTH.member.validator_key}
        refused = four.propose(province(0), "change-key", bytes(length), **values)
        assert refused.reason == "proof has the wrong length"

    def test_to_a_used_key_is_refused(self, four: Council) -> None:
        holder = province(0)
        assert four.change_key(holder, holder.validator_key).reason == "a key was used before"
        for key in (province(1).validator_key, province(1).node_key):
            assert four.change_key(holder, key).reason == "a key was used before"

    def test_to_zero_is_refused(self, four: Council) -> None:
        values = {"account": province(0).account, "validator_key": bytes(32)}
        refused = four.propose(province(0), "change-key", bytes(64), **values)
        assert refused.reason == "validator key is zero"

    def test_back_to_a_former_key_is_refused(self) -> None:
        alone, holder = Council(1), province(0)
        second = holder.new_key("second")
        for key in (second, holder.new_key("third")):
            assert not alone.change_key(holder, key).reverted
            alone.next_block()
        for former in (holder.validator_key, second):
            assert alone.change_key(holder, former).reason == "a key was used before"


class TestOneChangeInABlock:
    def test_second_one_waits_for_a_later_block(self) -> None:
        alone, holder = Council(1), province(0)
        assert not alone.change_key(holder, holder.new_key("second")).reverted
        second = alone.change_key(holder, holder.new_key("third"))
        assert second.reason == "validators changed in this block: vote later"
        assert alone.read().era == 2
        alone.next_block()
        assert not alone.change_key(holder, holder.new_key("third")).reverted
        assert alone.read().era == 3

    def test_vote_that_has_to_wait_is_not_lost(self) -> None:
        council, members = Council(2), provinces(2)
        new, account = province(2), members[1].account
        council.decide(members, "admit", new.proof(), **new.member.values())
        council.propose(members[0], "remove", account=account)
        council.vote(new, "remove", account=account)
        early = council.vote(members[1], "remove", account=account)
        assert early.reason == "validators changed in this block: vote later"
        council.next_block()
        assert not council.vote(members[1], "remove", account=account).reverted
        assert council.accounts() == {members[0].account, new.account}

    def test_every_era_keeps_its_hash(self) -> None:
        alone, holder, hashes = Council(1), province(0), []
        for name in ("second", "third", "fourth"):
            hashes.append(alone.read().validators_hash)
            alone.change_key(holder, holder.new_key(name))
            alone.next_block()
        kept = [
            alone.evm.slot("Consortium", contracts.validators_hash_slot(era)) for era in (1, 2, 3)
        ]
        assert kept == hashes and len(set(kept)) == 3


class TestFixedValidators:
    """A province's own chain: its members vote on all but on who validates."""

    @pytest.mark.parametrize(
        ("kind", "proof", "values"),
        [
            ("admit", FIFTH.proof(), FIFTH.member.values()),
            ("remove", b"", {"account": OTHER}),
            ("change-key", bytes(64), {"account": OWNER, "validator_key": ORIGIN}),
        ],
    )
    def test_no_vote_changes_them(self, kind: str, proof: bytes, values: dict[str, Any]) -> None:
        evm = Evm([OWNER, OTHER])
        payload = contracts.encode_payload(kind, **values)
        number = contracts.kind_number(kind)
        refused = evm.transact(OWNER, "Consortium", "propose", number, payload, proof)
        assert refused.reason == "the validators of this chain are fixed"

    def test_the_rest_is_voted_on(self) -> None:
        council = Council(1, replace(founding(1), governed=False))
        assert not council.propose(province(0), "gas-limit", **LIMIT).reverted
        assert (council.read().era, council.read().gas_limit) == (0, 5_000_000)


class TestOtherChanges:
    def test_contract_becomes_callable_and_is_taken_off_again(self, four: Council) -> None:
        for listed in (True, False):
            four.decide(provinces(4), "list", target=TARGET, listed=listed)
            assert four.evm.view("Consortium", "is_callable", TARGET) is listed
            slot = four.evm.slot("Consortium", contracts.callable_slot(TARGET))
            assert slot == bytes(31) + bytes([listed])

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            (contracts.ADDRESSES["Consortium"], "the Consortium stays callable"),
            (bytes(20), "target is a precompile"),
            (bytes(19) + b"\x09", "target is a precompile"),
            (bytes(18) + b"\xff\xff", "target is a precompile"),
        ],
    )
    @pytest.mark.parametrize("listed", [True, False])
    def test_list_has_its_bounds(
        self, four: Council, target: bytes, listed: bool, reason: str
    ) -> None:
        refused = four.propose(province(0), "list", target=target, listed=listed)
        assert refused.reason == reason

    @pytest.mark.parametrize("limit", [0, 999_999, 100_000_001, 2**256 - 1])
    def test_gas_limit_has_its_bounds(self, four: Council, limit: int) -> None:
        refused = four.propose(province(0), "gas-limit", gas_limit=limit)
        assert refused.reason == "gas limit is out of range"

    @pytest.mark.parametrize("limit", [1_000_000, 100_000_000])
    def test_gas_limit_may_lie_on_its_bounds(self, four: Council, limit: int) -> None:
        four.decide(provinces(4), "gas-limit", gas_limit=limit)
        assert four.read().gas_limit == limit

    def test_upgrade_is_set_and_taken_back(self, four: Council) -> None:
        members = provinces(4)
        four.decide(members, "upgrade", height=2, plan=ORIGIN)
        assert four.read().upgrade == Upgrade(2, ORIGIN)
        four.decide(members, "upgrade", height=0, plan=bytes(32))
        assert four.read().upgrade is None

    @pytest.mark.parametrize(
        ("height", "plan", "reason"),
        [
            (1, ORIGIN, "height is in the past"),
            (9, bytes(32), "plan does not fit height"),
            (0, ORIGIN, "plan does not fit height"),
        ],
    )
    def test_upgrade_that_cannot_be_is_refused(
        self, four: Council, height: int, plan: bytes, reason: str
    ) -> None:
        refused = four.propose(province(0), "upgrade", height=height, plan=plan)
        assert refused.reason == reason

    @pytest.mark.parametrize(
        "kind", [k for k in contracts.KINDS if k not in ("admit", "change-key")]
    )
    def test_proof_where_none_belongs_is_refused(self, four: Council, kind: str) -> None:
        number, payload = contracts.kind_number(kind), bytes(64)
        refused = four.send(province(0).account, "propose", number, payload, b"\0")
        assert refused.reason == "proof has the wrong length"

    @pytest.mark.parametrize("number", [0, len(contracts.KINDS) + 1, 2**256 - 1])
    def test_unknown_kind_is_refused(self, four: Council, number: int) -> None:
        refused = four.send(province(0).account, "propose", number, bytes(32), b"")
        assert refused.reason == "kind is unknown"

    @pytest.mark.parametrize(
        ("kind", "payload"),
        [
            ("remove", b""),
            ("remove", b"\1" * 31),
            ("remove", b"\1" * 32),
            ("remove", bytes(64)),
            ("gas-limit", (5_000_000).to_bytes(32, "big") + bytes(32)),
            ("list", TARGET.rjust(32, b"\0") + bytes(31) + b"\2"),
            ("retire", bytes(63)),
        ],
    )
    def test_payload_of_another_form_is_refused(
        self, four: Council, kind: str, payload: bytes
    ) -> None:
        number = contracts.kind_number(kind)
        assert four.send(province(0).account, "propose", number, payload, b"").reverted
        assert four.evm.view("Consortium", "proposal_count") == 0


class TestGas:
    """No transaction may have more than the cap, so each call has to stay below it."""

    @pytest.mark.parametrize(("members", "most"), [(34, 650_000), (63, 920_000)])
    def test_changes_of_a_large_set_fit_into_a_transaction(self, members: int, most: int) -> None:
        assert most < MAX_TRANSACTION_GAS < GAS_LIMIT
        council, new, key = Council(members), province(99), province(0).new_key("second")
        changed = {"account": province(0).account, "validator_key": public(key)}
        spent = [
            _decided(council, "admit", council.admit(province(0), new), **new.member.values()),
            _decided(council, "change-key", council.change_key(province(0), key), **changed),
        ]
        first = council.propose(province(0), "remove", account=new.account)
        spent.append(_decided(council, "remove", first, account=new.account))
        assert max(spent) <= most and spent[0] == max(spent)

    def test_proposals_and_votes_that_decide_nothing_are_cheap(self) -> None:
        council = Council(34)
        assert council.admit(province(0), FIFTH).gas < 210_000
        assert council.vote(province(1), "admit", **FIFTH.member.values()).gas < 80_000


def _decided(council: Council, kind: str, proposed: Outcome, **values: Any) -> int:
    """Give the vote that decides, and return the most gas of that and the proposal."""
    _count(council, "yes", needed(len(council.read().members)) - 1)
    last = council.vote(province(1), kind, **values)
    assert (last.reason, council.outcome()) == ("", "accepted")
    council.next_block()
    return max(proposed.gas, last.gas)


def _count(council: Council, field: str, votes: int) -> None:
    slot = contracts.proposal_slot(council.proposals, field)
    council.evm.put("Consortium", slot, votes.to_bytes(32, "big"))


def _words(
    head: tuple[str, bytes, int, bytes, bytes, int],
) -> tuple[bytes, bytes, int, bytes, bytes, int]:
    return (bytes.fromhex(head[0][2:]), *head[1:])
