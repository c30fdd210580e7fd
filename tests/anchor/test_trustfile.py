# SPDX-License-Identifier: GPL-3.0-or-later
"""A trust file names whom the chain's state says are members, by nothing but what their cards prove."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import moneo
from anchor.chain import KnownMember
from anchor.ijson import encode_b64url
from anchor.settings import Settings
from anchor.trust import FORMER, Member, TrustError, parse_trust
from anchor.trustfile import _named, _Seat
from tests.support.anchoring import anchoring, found_province, running_node
from tests.support.province import moneo as run_moneo

PAGES = {"pages": ["a.example"], "peer": "127.0.0.1:26656"}


def disclosure(name: str, value: Any) -> str:
    salt = encode_b64url(sha256(name.encode()).digest()[:16])
    return encode_b64url(json.dumps([salt, name, value]).encode())


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def account(number: int) -> bytes:
    return bytes([number]) * 20


def card(number: int, called: str = "", **changes: Any) -> dict[str, Any]:
    shown = {
        "name": disclosure("name", called or f"Tỉnh {number}"),
        "hosts": disclosure("hosts", PAGES),
        "log": f"moneo.example/{number}/2026",
    }
    return {**shown, **changes}


def seat(number: int, called: str = "", **changes: Any) -> _Seat:
    """What the chain's state has of a member with this card."""
    said = card(number, called, **changes)
    hashes = (digest(said[key]) for key in ("log", "name", "hosts"))
    return _Seat(account(number), *hashes)


def member(number: int, name: str = "", hosts: tuple[str, ...] = ("a.example",)) -> Member:
    return Member(account(number), name or f"Tỉnh {number}", hosts, f"moneo.example/{number}/2026")


def named(
    seats: list[_Seat],
    cards: dict[int, Any],
    before: tuple[Member, ...] = (),
    own: Member | None = None,
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    listed = [KnownMember(account(number), each) for number, each in cards.items()]
    return _named(seats, listed, before, own)


def test_members_stand_in_the_chains_order_with_what_their_cards_say() -> None:
    found = named([seat(2), seat(1)], {1: card(1), 2: card(2), 3: card(3)})
    assert found == ((member(2), member(1)), ())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (None, "no card"),
        ("a card", "no card"),
        ({}, "name is not a text"),
        (card(2, "Tỉnh khác"), "another hash of its name"),
        (card(2, hosts=disclosure("hosts", {"pages": ["thief.example"]})), "hash of its hosts"),
        (card(2, name=7), "name is not a text"),
        (card(2, name="é"), "another hash of its name"),
        (card(2, log="two words"), "no key name"),
        (card(2, log=None), "log is not a text"),
        (card(2, name="x" * 20_000), "name is not a text"),
    ],
)
def test_a_member_without_a_card_that_fits_is_left_out_and_said(changed: Any, why: str) -> None:
    members, gaps = named([seat(1), seat(2)], {1: card(1), 2: changed})
    assert members == (member(1),)
    assert len(gaps) == 1 and account(2).hex() in gaps[0] and why in gaps[0]


@pytest.mark.parametrize(
    ("name", "hosts", "why"),
    [
        (disclosure("title", "Tỉnh 2"), disclosure("hosts", PAGES), "something else"),
        (disclosure("name", 7), disclosure("hosts", PAGES), "not a text"),
        (disclosure("name", "hai\ndòng"), disclosure("hosts", PAGES), "one line"),
        (disclosure("name", "x" * 300), disclosure("hosts", PAGES), "not a text"),
        ("AAAA", disclosure("hosts", PAGES), "JSON"),
        (disclosure("name", "Tỉnh 2"), disclosure("hosts", []), "pages is not a list"),
        (disclosure("name", "Tỉnh 2"), disclosure("hosts", {"pages": ["a"] * 17}), "17 items"),
        (disclosure("name", "Tỉnh 2"), disclosure("hosts", {"pages": [7]}), "page is not a text"),
    ],
)
def test_what_is_on_the_chain_may_still_be_nonsense(name: str, hosts: str, why: str) -> None:
    odd = {"name": name, "hosts": hosts}
    members, gaps = named([seat(1), seat(2, **odd)], {1: card(1), 2: card(2, **odd)})
    assert members == (member(1),)
    assert len(gaps) == 1 and why in gaps[0]


def test_without_its_card_a_known_member_keeps_its_name_but_no_pages() -> None:
    members, gaps = named([seat(1), seat(2)], {1: card(1)}, (member(1), member(2)))
    assert members == (member(1), member(2, hosts=()))
    assert len(gaps) == 1 and "Tỉnh 2" in gaps[0]


def test_whoever_makes_the_file_knows_its_own_name() -> None:
    members, gaps = named([seat(1), seat(2)], {1: card(1)}, (), member(2))
    assert members == (member(1), member(2))
    assert len(gaps) == 1
    # But is no member for that.
    assert named([seat(1)], {1: card(1)}, (), member(2)) == ((member(1),), ())


def test_who_has_left_stays_marked_and_without_pages() -> None:
    first, _ = named([seat(1)], {1: card(1)}, (member(1), member(2)))
    gone = Member(account(2), "Tỉnh 2" + FORMER, (), "moneo.example/2/2026")
    assert first == (member(1), gone)
    assert named([seat(1)], {1: card(1)}, first) == (first, ())
    assert named([seat(1), seat(2)], {1: card(1), 2: card(2)}, first)[0] == (member(1), member(2))


def test_members_of_one_name_are_told_apart_by_their_logs() -> None:
    members, _ = named([seat(1, "Tỉnh"), seat(2, "Tỉnh")], {1: card(1, "Tỉnh"), 2: card(2, "Tỉnh")})
    assert [one.name for one in members] == [
        "Tỉnh [moneo.example/1/2026]",
        "Tỉnh [moneo.example/2/2026]",
    ]


def test_a_log_that_its_card_does_not_know_is_said() -> None:
    rotated = _Seat(account(1), digest("moneo.example/1/2027"), *_hashes(seat(1)))
    members, gaps = named([rotated], {1: card(1)})
    assert members == (member(1),)
    assert len(gaps) == 1 and "newest log" in gaps[0]


def _hashes(one: _Seat) -> tuple[bytes, bytes]:
    return one.name, one.hosts


def test_without_any_card_there_is_no_trust_file() -> None:
    with pytest.raises(TrustError, match="cards/"):
        named([seat(1)], {})


# The command


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_node(found_province(tmp_path_factory.mktemp("export") / "data")) as settings:
        yield settings


def test_a_provinces_own_chain_has_no_members_to_export(
    alone: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "trust.json"
    assert moneo.main(["node", "export-trust", "--rpc", alone.rpc_url, "-o", str(output)]) == 2
    assert "province's own chain" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("there", [b"a diary", b"[" * (1 << 21)])
def test_a_file_that_is_something_else_is_not_overwritten(
    alone: Settings, tmp_path: Path, there: bytes
) -> None:
    output = tmp_path / "notes"
    output.write_bytes(there)
    assert moneo.main(["node", "export-trust", "--rpc", alone.rpc_url, "-o", str(output)]) == 2
    assert output.read_bytes() == there


def test_a_node_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    said = run_moneo(
        "node", "export-trust", "-o", "t", "--rpc", "127.0.0.1:1", home=tmp_path, status=2
    )
    assert said.count("\n") == 1 and "can't be reached" in said


def test_the_anchor_process_renews_its_file_when_the_settings_change(alone: Settings) -> None:
    with anchoring(alone) as parts:
        parts.pipeline.advance()
        first = alone.trust_path.read_bytes()
        parts.pipeline._last_look = -float("inf")
        parts.pipeline.advance()
        assert alone.trust_path.read_bytes() == first
    moved = replace(alone, hosts=("new.example",))
    with anchoring(moved) as parts:
        parts.pipeline.advance()
    renewed = parse_trust(alone.trust_path.read_bytes())
    assert renewed.members[0].hosts == ("new.example",)
    assert renewed.date >= parse_trust(first).date
