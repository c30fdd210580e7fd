# SPDX-License-Identifier: GPL-3.0-or-later
"""That a card says one thing, signed by all four keys, and that whoever changes it is found out by name."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from anchor.note import key_hash
from anchor.record import open_disclosure
from node.card import (
    MAX_CARD_BYTES,
    PROOF_SIZE,
    Card,
    card_json,
    card_of,
    cards,
    keep_card,
    make_card,
    parse_card,
)
from node.errors import GenesisError
from node.genesis import record_json
from node.governance import check_proposal
from tests.contracts.provinces import province
from tests.support.cards import card, changed_card, keys
from tests.support.node_core import calldata


def text_of(**changes: Any) -> bytes:
    return json.dumps({**card_json(card()), **changes}).encode()


def disclosed(*parts: Any) -> str:
    text = json.dumps(parts[0] if len(parts) == 1 else list(parts), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


SALT = "A" * 22


def with_hosts(value: Any) -> dict[str, Any]:
    """Return the changes by which a card says other hosts, and their right hash."""
    text = disclosed(SALT, "hosts", value)
    member = replace(card().member, hosts=sha256(text.encode()).digest())
    return {"hosts": text, "member": record_json(member)}


def with_name(text: str) -> dict[str, Any]:
    member = replace(card().member, name=sha256(text.encode()).digest())
    return {"name": text, "member": record_json(member)}


def test_card_is_read_as_it_was_made() -> None:
    made = card()
    assert parse_card(made.raw) == made
    assert parse_card(b" " + made.raw.replace(b"\n", b"\r\n")).raw == made.raw
    assert (made.name, made.pages, made.peer) == ("Cà Mau", ("p0.example",), "127.0.0.1:26656")


def test_card_says_of_its_keys_what_chain_and_log_say() -> None:
    made, one = card(), keys(0)
    assert made.member.account == one.account.public_key.to_canonical_address()
    assert made.member.validator_key == one.validator.public_key().public_bytes_raw()
    assert made.node_key == one.node.public_key().public_bytes_raw()
    assert made.member.node_id == sha256(made.node_key).digest()[:20]
    assert made.member.origin == sha256(made.log.encode()).digest()
    assert made.member.log_key_id == key_hash(made.log, made.log_key)


def test_disclosures_are_those_of_records() -> None:
    assert open_disclosure(card().name_disclosure) == ("name", "Cà Mau")
    assert open_disclosure(card().hosts_disclosure)[0] == "hosts"
    assert card().member.name == sha256(card().name_disclosure.encode()).digest()


def test_proof_of_a_card_for_a_chain_is_one_that_its_nodes_take() -> None:
    made = card(0, evm_chain_id=77)
    payload = b"".join(
        value.rjust(32, b"\0") if name == "account" else value.ljust(32, b"\0")
        for name, value in made.member.values().items()
    )
    check_proposal(calldata("propose(uint256,bytes,bytes)", 1, payload, made.proof), 77)


def test_new_card_keeps_the_salts_of_what_has_not_changed() -> None:
    again = changed_card(before=card())
    assert again.member == card().member
    moved = changed_card(before=card(), peer="127.0.0.9:1", evm_chain_id=5)
    assert moved.member.name == card().member.name
    assert moved.member.hosts != card().member.hosts
    assert parse_card(moved.raw) == moved


WRONG: dict[str, dict[str, Any]] = {
    "more": {"phone": "0"},
    "other format": {"format": "moneo/member/v2"},
    "chain id below zero": {"evm_chain_id": -1},
    "chain id too large": {"evm_chain_id": 2**60},
    "chain id of another chain": {"evm_chain_id": 6},
    "member of another": {"member": record_json(card(1).member)},
    "log of another": {"log": card(1).log},
    "log with a space": {"log": "a/b c"},
    "name of another": {"name": card(1).name_disclosure},
    "hosts of another": {"hosts": card(1).hosts_disclosure},
    "proof of another": {"proof": "0x" + card(1).proof.hex()},
    "proof for another chain": {"proof": "0x" + card(0, 5).proof.hex()},
    "proof too short": {"proof": "0x" + card().proof[:-1].hex()},
    "proof in capitals": {"proof": "0x" + card().proof.hex().upper()},
    "proof no text": {"proof": 5},
    "name not in NFC": with_name(disclosed(SALT, "name", "Cà Mau")),
    "name with a line end": with_name(disclosed(SALT, "name", "Cà\nMau")),
    "name empty": with_name(disclosed(SALT, "name", "")),
    "name too long": with_name(disclosed(SALT, "name", "x" * 201)),
    "name no text": with_name(disclosed(SALT, "name", 5)),
    "name turned round": with_name(disclosed(SALT, "name", "Cà\u202eMau")),
    "name under another name": with_name(disclosed(SALT, "hosts", "Cà Mau")),
    "name without salt": with_name(disclosed("", "name", "Cà Mau")),
    "name with a part too many": with_name(disclosed(SALT, "name", "Cà Mau", 1)),
    "name padded": with_name(disclosed(SALT, "name", "Cà Mauu") + "="),
    "name deep": with_name(disclosed("[" * 3000)),
    "hosts no object": with_hosts([]),
    "hosts with more": with_hosts({"pages": [], "peer": "a:1", "phone": "0"}),
    "page with a slash": with_hosts({"pages": ["a/b"], "peer": "a:1"}),
    "page twice": with_hosts({"pages": ["a", "a"], "peer": "a:1"}),
    "pages too many": with_hosts({"pages": [f"p{n}" for n in range(17)], "peer": "a:1"}),
    "peer without port": with_hosts({"pages": [], "peer": "a"}),
    "peer with port 0": with_hosts({"pages": [], "peer": "a:0"}),
    "peer everywhere": with_hosts({"pages": [], "peer": "0.0.0.0:26656"}),
    "peers two": with_hosts({"pages": [], "peer": "a:1,b:2"}),
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_card_with_a_wrong_value_is_refused_by_its_file(changes: dict[str, Any]) -> None:
    with pytest.raises(GenesisError, match=r"^[^:]*from\.json: .* · "):
        parse_card(text_of(**changes), "from.json")


def test_card_whose_record_was_changed_in_any_value_is_refused() -> None:
    for name, value in card().member.values().items():
        member = replace(card().member, **{name: bytes(len(value) - 1) + b"\x07"})
        with pytest.raises(GenesisError, match=r"^Cà Mau – x: "):
            parse_card(text_of(member=record_json(member)), "x")


@pytest.mark.parametrize("at", range(0, PROOF_SIZE, 16))
def test_card_whose_proof_was_changed_is_refused(at: int) -> None:
    proof = bytearray(card().proof)
    proof[at] ^= 1
    with pytest.raises(GenesisError, match=r"^Cà Mau: "):
        parse_card(text_of(proof="0x" + proof.hex()))


def test_the_other_signature_of_the_account_is_refused() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    v, s = card().proof[31], int.from_bytes(card().proof[64:96], "big")
    head = bytes(31) + bytes([55 - v]) + card().proof[32:64] + (order - s).to_bytes(32, "big")
    with pytest.raises(GenesisError, match="signatures do not hold"):
        parse_card(text_of(proof="0x" + (head + card().proof[96:]).hex()))


def swapped(*uses: str) -> Callable[[], Card]:
    others: dict[str, Any] = dict.fromkeys(uses, keys(0).log)
    return lambda: changed_card(keys=replace(keys(0), **others))


@pytest.mark.parametrize(
    "make", [swapped("node"), swapped("validator"), swapped("node", "validator")]
)
def test_card_with_one_key_for_two_uses_cannot_be_made(make: Callable[[], Card]) -> None:
    with pytest.raises(GenesisError, match=r"^Cà Mau"):
        make()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"\xff", b"{" * 9000, b"[" * 9000, b"x" * (MAX_CARD_BYTES + 1)]
)
def test_bytes_that_are_no_card_are_refused_by_their_file(data: bytes) -> None:
    with pytest.raises(GenesisError, match=r"^x\.json: "):
        parse_card(data, "x.json")


def test_name_is_written_in_its_one_form() -> None:
    assert changed_card(name="Ca\u0300 Mau").name == "Cà Mau"


def test_cards_are_kept_by_account_and_replaced(tmp_path: Path) -> None:
    assert cards(tmp_path) == []
    for number in (1, 0):
        keep_card(tmp_path, card(number))
    moved = changed_card(0, peer="127.0.0.9:1")
    keep_card(tmp_path, moved)
    assert {one.name: one for one in cards(tmp_path)} == {"Cà Mau": moved, "Đắk Lắk": card(1)}
    assert card_of(tmp_path, card(1).member.account) == card(1)
    assert card_of(tmp_path, card(2).member.account) is None
    (tmp_path / "cards" / "notes.txt").write_text("not a card")
    assert len(cards(tmp_path)) == 2


def test_kept_card_that_is_damaged_or_another_s_is_said(tmp_path: Path) -> None:
    keep_card(tmp_path, card())
    path = next((tmp_path / "cards").iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(card(1).raw)
    with pytest.raises(GenesisError, match="another member's card"):
        cards(tmp_path)
    path.write_bytes(card().raw[:-9])
    with pytest.raises(GenesisError, match=path.name):
        cards(tmp_path)


def test_no_private_key_is_in_a_card() -> None:
    one = keys(0)
    secrets = [key.private_bytes_raw() for key in (one.validator, one.node, one.log)]
    for secret in [*secrets, one.account.to_bytes()]:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in card().raw


def test_make_card_refuses_what_parse_card_would() -> None:
    for changes in ({"peer": "x"}, {"pages": ["a b"]}, {"log": "no-path"}, {"name": ""}):
        with pytest.raises(GenesisError):
            changed_card(**changes)
    assert make_card("A", [], "a:1", "a/b", keys(0)).pages == ()
    assert province(0).account == card().member.account
