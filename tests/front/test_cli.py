# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands by which provinces found a consortium, run as their operators run them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import moneo as front_door
from node.abci.process import INSTALL
from tests.support.province import ROOT, Running, free_addresses, json_of
from tests.support.province import moneo as process
from tests.support.tools import tool

PEERS = ("127.0.0.1:36656", "127.0.0.2:36656")


def moneo(*words: str | Path, status: int = 0, answer: str = "") -> str:
    """Run one command of ours in this process and return what it printed on both streams."""
    said = io.StringIO()
    environ = patch.dict(os.environ, {"MONEO_LANG": "en", "COLUMNS": "200"})
    stdin = patch("sys.stdin", io.StringIO(answer))
    with environ, stdin, redirect_stdout(said), redirect_stderr(said):
        found = front_door.main([str(word) for word in words])
    assert found == status, said.getvalue()
    return said.getvalue()


@dataclass
class Founding:
    """Two provinces that have founded a consortium; the first one has joined it."""

    folder: Path
    made: dict[str, Any]


def init(folder: Path, name: str, log: str, number: int) -> Any:
    api = f"127.0.0.{number}:18080"
    words = ("node", "init", name, log, "--peer", PEERS[number - 1], "--api", api, "--json")
    place = ("--data", folder / str(number), "-o", folder / f"{number}.card.json")
    return json_of(moneo(*words, *place))


@pytest.fixture(scope="module")
def founding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founding]:
    folder = tmp_path_factory.mktemp("founding")
    init(folder, "Cà Mau", "moneo.example/camau/2026", 1)
    init(folder, "Đắk Lắk", "moneo.example/daklak/2026", 2)
    cards = (folder / "1.card.json", folder / "2.card.json")
    words = ("node", "found", *cards, "--name", "moneo", "-o", folder / "founding.json", "--json")
    yield Founding(folder, json_of(moneo(*words)))


def test_each_step_says_what_comes_next_and_that_no_key_travels(tmp_path: Path) -> None:
    words = ("node", "init", "Cà Mau", "moneo.example/camau/2026", "--peer", PEERS[0])
    file, data = tmp_path / "camau-2026.card.json", tmp_path / "1"
    said = moneo(*words, "--data", data, "-o", file)
    assert "do not leave this machine" in said and str(file) in said
    assert "names no page" not in said
    elsewhere = ("--data", data, "-o", tmp_path / "other.json", "--peer", "camau.example:26656")
    assert "moneo node hosts" in moneo("node", "init", *elsewhere)
    moneo(*words, "--data", data, "-o", file)
    assert f"moneo node join FILE --data {data}" in said
    said = moneo("node", "found", file, "--name", "moneo", "-o", tmp_path / "f.json")
    assert "Cà Mau" in said and "by telephone" in said and "moneo node join FILE" in said
    assert "has no chain yet" in moneo("serve", "--data", data, status=2)
    assert "has no chain yet" in moneo("node", "start", "--data", data, status=2)


def test_founding_is_the_same_for_all_and_its_hash_is_confirmed(founding: Founding) -> None:
    file, made = founding.folder / "founding.json", founding.made
    assert [one["name"] for one in made["members"]] == ["Cà Mau", "Đắk Lắk"]
    wrong = ("node", "join", file, "--data", founding.folder / "1", "--hash", "ab" * 32)
    assert made["hash"] in moneo(*wrong, status=1)
    assert not (founding.folder / "1" / "node").exists()
    words = ("node", "join", file, "--data", founding.folder / "1", "--hash")
    spoken = made["hash"].upper().replace(" ", "  ")
    joined = json_of(moneo(*words, spoken, "--json"))
    assert joined["hash"] == made["hash"] and joined["peer"] == PEERS[0]
    assert json_of(moneo(*words, made["hash"], "--json"))["hash"] == made["hash"]
    copy = (
        "node",
        "founding",
        "--data",
        founding.folder / "1",
        "-o",
        founding.folder / "today.json",
    )
    assert json_of(moneo(*copy, "--json"))["hash"] == made["hash"]


def test_a_person_sees_who_the_members_are_before_saying_yes(founding: Founding) -> None:
    words = ("node", "join", founding.folder / "founding.json", "--data", founding.folder / "2")
    assert "Nothing was done" in moneo(*words, status=1, answer="n\n")
    moneo(*words, status=2)
    assert not (founding.folder / "2" / "node").exists()
    done = moneo(*words, answer="y\n")
    for shown in ("Cà Mau", "Đắk Lắk", "moneo.example/daklak/2026", *PEERS):
        assert shown in done
    digits = founding.made["hash"]
    assert digits[:39] in done and digits[40:] in done
    assert "Đắk Lắk is ready" in done


def test_ceremony_names_who_sent_a_card_that_cannot_be(founding: Founding, tmp_path: Path) -> None:
    first = founding.folder / "1.card.json"
    broken = tmp_path / "from-daklak.json"
    broken.write_bytes((founding.folder / "2.card.json").read_bytes().replace(b"daklak", b"other"))
    words = ("node", "found", first, broken, "--name", "moneo", "-o", tmp_path / "f.json")
    assert "Đắk Lắk – from-daklak.json: " in moneo(*words, status=2)
    words = ("node", "found", first, first, "--name", "moneo", "-o", tmp_path / "f.json")
    assert "the same account as Cà Mau – 1.card.json" in moneo(*words, status=2)
    assert not (tmp_path / "f.json").exists()
    again = ("node", "found", first, "--name", "moneo", "-o", founding.folder / "founding.json")
    assert "put it elsewhere" in moneo(*again, status=2)
    assert "cannot be read" in moneo(
        "node", "found", tmp_path / "none", "--name", "a", "-o", tmp_path / "g", status=2
    )


def test_init_that_cannot_be_says_what_to_do(founding: Founding, tmp_path: Path) -> None:
    new = ("node", "init", "--data", tmp_path / "new", "--peer", PEERS[0])
    assert "the province's name" in moneo(*new, status=2)
    other = ("node", "init", "Huế", "--data", founding.folder / "2", "--peer", PEERS[0])
    assert "leave out 'Huế'" in moneo(*other, status=2)
    nowhere = ("node", "init", "A", "a/b", "--data", tmp_path / "new", "--peer", "host")
    assert "HOST:PORT" in moneo(*nowhere, status=2)
    assert not (tmp_path / "new").exists()


def test_province_that_comes_later_makes_a_card_for_that_chain(
    founding: Founding, tmp_path: Path
) -> None:
    file, data = founding.folder / "founding.json", tmp_path / "3"
    words = ("node", "init", "Lào Cai", "moneo.example/laocai/2026", "--peer", "127.0.0.3:36656")
    place = ("--data", data, "-o", tmp_path / "card.json", "--api", "127.0.0.3:18080")
    moneo(*words, *place, "--founding", file)
    card = json.loads((tmp_path / "card.json").read_bytes())
    assert card["evm_chain_id"] == founding.made["evm_chain_id"]
    said = moneo("node", "join", file, "--data", data, "--hash", founding.made["hash"])
    assert "when the members have voted it in" in said
    refused = ("node", "found", tmp_path / "card.json", "--name", "moneo", "-o", tmp_path / "f")
    assert "for a chain that exists already" in moneo(*refused, status=2)


def test_the_same_from_outside(tmp_path: Path) -> None:
    words = ("node", "init", "Cà Mau", "moneo.example/camau/2026", "--peer", PEERS[0])
    place = ("--data", tmp_path / "1", "-o", tmp_path / "1.card.json")
    said = process(*words, *place, home=tmp_path, MONEO_LANG="vi")
    assert "không rời máy này" in said
    refused = ("node", "found", tmp_path / "1.card.json", "--name", "Moneo!")
    said = process(*refused, "-o", tmp_path / "f.json", home=tmp_path, status=2)
    assert said.count("\n") == 1 and "a chain's name is" in said


def test_node_of_a_province_is_started_alone(tmp_path: Path) -> None:
    tool("cometbft", "scripts/tools (needs Go)")
    (rpc, api, peer) = free_addresses(3)
    words = ("node", "init", "Cà Mau", "moneo.example/camau/2026", "--peer", peer, "--api", api)
    file, founded, data = tmp_path / "card.json", tmp_path / "f.json", tmp_path / "1"
    moneo(*words, "--rpc", rpc, "--data", data, "-o", file)
    made = moneo("node", "found", file, "--name", "a", "-o", founded, "--json")
    moneo("node", "join", founded, "--data", data, "--hash", json_of(made)["hash"])
    with Running("node", "start", "--data", data) as node:
        node.wait_for("JSON-RPC on")
        assert node.said(rpc)
    assert (data / "node" / "cometbft" / "data").exists()
    assert not (data / "moneo.db").exists()


def test_start_script_knows_how_to_get_cometbft() -> None:
    start = (ROOT / "scripts" / "start").read_text()
    assert "/cometbft" in start
    assert INSTALL.rpartition("@")[2] in (ROOT / "scripts" / "cometbft").read_text()
