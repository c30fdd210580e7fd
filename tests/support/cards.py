# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards of provinces with keys that are always the same, for a number each."""

from __future__ import annotations

from functools import cache
from typing import Any

from node.card import Card, Keys, make_card
from tests.contracts.provinces import province

NAMES = ("Cà Mau", "Đắk Lắk", "Lào Cai", "Quảng Trị", "An Giang")


def keys(number: int) -> Keys:
    """Return the four keys of a province."""
    one = province(number)
    return Keys(one.account_key, one.validator_key, one.node_key, one.log_key)


def card(number: int = 0, evm_chain_id: int = 0) -> Card:
    """Return a province's card; the same one each time, though salts are fresh."""
    return _card(number, evm_chain_id)


@cache
def _card(number: int, evm_chain_id: int) -> Card:
    return changed_card(number, evm_chain_id=evm_chain_id)


def changed_card(number: int = 0, **changes: Any) -> Card:
    """Return a card with other values than usual."""
    values: dict[str, Any] = {
        "name": NAMES[number],
        "pages": (f"p{number}.example",),
        "peer": f"127.0.0.{number + 1}:26656",
        "log": f"moneo.example/p{number}/2026",
        "keys": keys(number),
    }
    return make_card(**{**values, **changes})


def cards(count: int) -> list[Card]:
    """Return the cards of the first provinces."""
    return [card(number) for number in range(count)]
