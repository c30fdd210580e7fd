# SPDX-License-Identifier: GPL-3.0-or-later
"""Founds a consortium: cards of provinces become one genesis, which each of them checks and confirms.

The founding file is JSON in ASCII:

    {"format": "moneo/founding/v1",
     "genesis": <genesis.json of the format moneo/genesis/v2>,
     "cards": [<members' cards, as they are today>]}

Its hash is SHA-256 of `genesis.json` (`node.genesis.encode` of it), in groups of four digits: people
read it to each other by telephone. Cards are no part of it, since members change their hosts: each
is signed by its own keys (`node.card`). In a founding the cards are exactly the genesis's members;
who is admitted later gets the same genesis with the cards of that day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import contracts
from node import shape
from node.card import MAX_CARD_BYTES, Card, card_json, cards, keep_card, parse_card
from node.durable import sync_folder, write_draft
from node.errors import GenesisError
from node.genesis import (
    GENESIS_FILE,
    Genesis,
    consortium,
    encode,
    load,
    new_chain_id,
    new_evm_chain_id,
    parse,
)
from node.light import Timestamp, format_time

__all__ = ["Founding", "check_own", "found", "founding_of", "parse_founding", "settle"]

FORMAT: Final = "moneo/founding/v1"
MAX_FOUNDING_BYTES: Final = 2 * contracts.MAX_MEMBERS * MAX_CARD_BYTES
# Three a card, two a member of the genesis, a handful around them.
MAX_BRACKETS: Final = 8 * contracts.MAX_MEMBERS


@dataclass(frozen=True, slots=True)
class Founding:
    """A consortium's genesis, and the cards of its members as they are today."""

    genesis: Genesis
    cards: tuple[Card, ...]

    @property
    def hash(self) -> str:
        """SHA-256 of `genesis.json`, as 64 hexadecimal digits in groups of four."""
        digits = sha256(encode(self.genesis)).hexdigest()
        return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))

    @property
    def raw(self) -> bytes:
        """The founding file."""
        value = {
            "format": FORMAT,
            "genesis": json.loads(encode(self.genesis)),
            "cards": [card_json(card) for card in self.cards],
        }
        return json.dumps(value, indent=1).encode("ascii") + b"\n"


def found(name: str, given: Sequence[tuple[str, bytes]], now: Timestamp) -> Founding:
    """Hold the ceremony: make one founding of cards, each given as (its file's name, its bytes).

    `name` begins the CometBFT chain id; both ids get their randomness here. Raises GenesisError,
    which names the sender, for a malformed card, one of another chain, and for two that share a
    key, a name or an address.
    """
    members = [_founder(source, data) for source, data in given]
    files = [source for source, _ in given]
    _check_apart(
        members, [f"{one.name} – {file}" for one, file in zip(members, files, strict=True)]
    )
    records = [card.member for card in members]
    ids = new_chain_id(name), new_evm_chain_id()
    return Founding(consortium(*ids, format_time(now), records), tuple(members))


def parse_founding(data: bytes) -> Founding:
    """Read a founding file, and check its genesis and every card. Raises GenesisError."""
    if len(data) > MAX_FOUNDING_BYTES:
        raise GenesisError(f"tệp lập chuỗi quá lớn · over {MAX_FOUNDING_BYTES} bytes: no founding")
    value = shape.members(shape.parse_json(data, MAX_BRACKETS), "founding", _PARSERS)
    if value["format"] != FORMAT:
        raise GenesisError(f"không phải tệp lập chuỗi · its format is not {FORMAT}: no founding")
    genesis = parse(json.dumps(value["genesis"]).encode())
    if not genesis.records:
        raise GenesisError(
            "chuỗi này không phải của nhiều tỉnh · its genesis is not a consortium's"
        )
    members = tuple(parse_card(json.dumps(each).encode()) for each in value["cards"])
    for card in members:
        _check_chain(card, genesis)
    _check_apart(members)
    return Founding(genesis, members)


def founding_of(home: Path) -> Founding:
    """Return what a member of today hands to a province that joins later. Raises GenesisError."""
    genesis = load(home)
    if not genesis.records:
        raise GenesisError("nút này có chuỗi riêng · this node's chain is its province's own")
    return Founding(genesis, tuple(cards(home)))


def check_own(founding: Founding, own: Card) -> None:
    """Refuse a founding that is not one which the holder of this card can join. Raises GenesisError.

    A founder's card has to be in it unchanged, and so has every other member's, with no one more. A
    card for this chain is of a province that is admitted by vote, before or after this.
    """
    _check_chain(own, founding.genesis)
    if own.evm_chain_id:
        others = (card for card in founding.cards if card.member.account != own.member.account)
        return _check_apart([*others, own])
    if own not in founding.cards:
        raise GenesisError(
            f"phiếu của {own.name} không có trong tệp này, hoặc đã bị sửa: đừng tham gia, hãy hỏi nơi lập · "
            f"the card of {own.name} is not in this file, or was changed: do not join, ask who made it"
        )
    if _members(founding.cards) != {each.account: each for each in founding.genesis.records}:
        raise GenesisError(
            "các phiếu không phải đúng các thành viên của chuỗi: đừng tham gia, hãy hỏi nơi lập · "
            "the cards are not exactly the chain's members: do not join, ask who made it"
        )
    return None


def settle(home: Path, founding: Founding, own: Card) -> None:
    """Put the genesis and the members' cards into a home that has its keys already; genesis comes last.

    Again it does nothing new. Raises GenesisError if another chain is there.
    """
    path, data = home / GENESIS_FILE, encode(founding.genesis)
    if path.exists() and load(home) != founding.genesis:
        raise GenesisError(f"đã có chuỗi khác ở đây · there is another chain already: {path}")
    try:
        for card in (*founding.cards, own):
            keep_card(home, card)
        write_draft(path, data, 0o644).replace(path)
        sync_folder(home)
    except OSError as error:
        raise GenesisError(
            f"không ghi được tệp của nút · cannot write in {home}: {error.strerror}"
        ) from error


def _founder(source: str, data: bytes) -> Card:
    card = parse_card(data, source)
    if card.evm_chain_id:
        raise GenesisError(
            f"{card.name} – {source}: phiếu này cho một chuỗi đã có, hãy lập phiếu mới không có --founding · "
            f"this card is for a chain that exists already: make one anew, without --founding"
        )
    return card


def _check_chain(card: Card, genesis: Genesis) -> None:
    if card.evm_chain_id not in (0, genesis.evm_chain_id):
        raise GenesisError(
            f"{card.name}: phiếu cho chuỗi khác (mã EVM {card.evm_chain_id}) · "
            f"the card is for another chain (EVM id {card.evm_chain_id})"
        )


def _check_apart(members: Sequence[Card], called: Sequence[str] = ()) -> None:
    """Refuse two cards that share what has to be each one's own, whatever they use it for.

    `called` are what to call their senders, by default their names.
    """
    owners: dict[Any, str] = {}
    seen: dict[Any, Card] = {}
    for card, name in zip(members, called or [card.name for card in members], strict=True):
        for vi, en, value in _own_things(card):
            if seen.setdefault(value, card) is not card:
                raise GenesisError(
                    f"{name}: trùng {vi} với {owners[value]}; bên có lỗi lập phiếu mới · "
                    f"has the same {en} as {owners[value]}: who is at fault makes a new card"
                )
            owners[value] = name


def _own_things(card: Card) -> Iterator[tuple[str, str, Any]]:
    member = card.member
    yield "tài khoản", "account", member.account
    yield "khóa của nút kiểm chứng", "validator key", member.validator_key
    yield "khóa của nút", "node key", card.node_key
    yield "khóa nhật ký", "log key", card.log_key
    yield "nhật ký", "log", card.log
    yield "tên", "name", ("name", card.name.casefold())
    yield "địa chỉ nút", "peer address", ("peer", card.peer.casefold())
    for page in card.pages:
        yield "trang web", "page", ("page", page.casefold())


def _members(members: Iterable[Card]) -> dict[bytes, contracts.Member]:
    return {card.member.account: card.member for card in members}


_PARSERS: Final = {"format": shape.text, "genesis": lambda value: value, "cards": shape.items}
