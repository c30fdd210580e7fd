# SPDX-License-Identifier: GPL-3.0-or-later
"""Members and consensus in the form that Moneo's own methods answer: bytes as 0x and hex, numbers as such."""

from __future__ import annotations

from typing import Any

import contracts
from node.application import Application
from node.card import Card, card_json
from node.light import format_time, in_order, validator_address
from node.orderer import Consensus
from node.rpc.hexes import data


def member_json(member: contracts.Member, card: Card | None) -> dict[str, Any]:
    """Return a member's record, with the newest card that this node keeps of it."""
    return {
        "account": data(member.account),
        "validatorKey": data(member.validator_key),
        "nodeId": data(member.node_id),
        "origin": data(member.origin),
        "logKeyId": data(member.log_key_id),
        "name": data(member.name),
        "hosts": data(member.hosts),
        "card": card_json(card) if card else None,
    }


def consensus_json(application: Application, consensus: Consensus) -> dict[str, Any]:
    """Return how consensus does; accounts are those of today's members."""
    members = application.chain.consortium.members
    by_key = {each.validator_key: each.account for each in members}
    by_id = {each.node_id: each.account for each in members}
    newest = consensus.newest
    signed = {vote.index for vote in newest.votes} if newest else set()
    validators = newest.validators if newest else in_order(application.validators())
    return {
        "height": newest.header.height if newest else 0,
        "time": format_time(newest.header.time) if newest else application.chain.genesis.time,
        "catchingUp": consensus.is_catching_up,
        "validators": [
            {
                "address": data(validator_address(each.public_key)),
                "publicKey": data(each.public_key),
                "power": each.power,
                "account": _account(by_key.get(each.public_key)),
                "signed": index in signed,
            }
            for index, each in enumerate(validators)
        ],
        "peers": [
            {
                "nodeId": data(each.node_id),
                "account": _account(by_id.get(each.node_id)),
                "address": each.address,
            }
            for each in consensus.peers
        ],
        "misbehaviour": list(consensus.misbehaviour),
    }


def _account(account: bytes | None) -> str | None:
    return data(account) if account else None
