# SPDX-License-Identifier: GPL-3.0-or-later
"""That a province's folder goes from its keys to its place in a consortium whole, wherever it is interrupted."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from anchor.keys import load_member_key, load_private_key
from anchor.settings import Settings, SettingsError, load, set_peer
from front.cli import new_settings
from front.demo import Addresses, found_demo, places
from front.provinces import (
    JOINING,
    found_alone,
    init,
    join,
    keys_of,
    own_card,
    public_pages,
)
from node.card import Card, cards
from node.db import LevelDB
from node.errors import GenesisError
from node.founding import Founding, found, founding_of
from node.genesis import load as load_genesis
from node.genesis import load_validator_key
from node.light import Timestamp
from tests.support.cards import card, changed_card

NOW = Timestamp(1_763_800_000, 0)
PEER = "127.0.0.1:36656"


def camau(data: Path) -> Settings:
    return new_settings(
        data, "Cà Mau", "moneo.example/camau/2026", "127.0.0.1:1", "127.0.0.1:2", ""
    )


def founded_with(own: Card, *others: Card) -> Founding:
    given = [(one.name, one.raw) for one in (own, *(others or (card(1), card(2))))]
    return found("moneo", given, NOW)


def test_init_makes_four_different_keys_that_only_the_owner_can_read(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    made = init(settings, PEER)
    assert (made.name, made.pages, made.peer) == ("Cà Mau", ("127.0.0.1:1",), PEER)
    keys = keys_of(settings, settings.data / JOINING)
    secrets = {
        keys.account.to_bytes(),
        *(one.private_bytes_raw() for one in (keys.validator, keys.node, keys.log)),
    }
    assert len(secrets) == 4
    assert secrets >= {
        load_member_key(settings.member_key),
        load_private_key(settings.log_key).private_bytes_raw(),
    }
    files = [path for path in settings.data.rglob("*") if "key" in path.name and path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_key_that_is_gone_is_not_made_anew_under_a_card(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    join(settings, founded_with(init(settings, PEER)))
    (settings.node_home / "validator.key").unlink()
    with pytest.raises(GenesisError, match=r"validator\.key"):
        keys_of(settings, settings.node_home)
    assert not (settings.node_home / "validator.key").exists()


def test_init_again_makes_another_card_of_the_same_keys(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    first, second = init(settings, PEER), init(settings, "other.example:26656")
    assert own_card(settings) == second
    assert replace(second.member, hosts=first.member.hosts) == first.member
    assert init(settings, PEER, 77).evm_chain_id == 77


def test_join_takes_the_chain_and_every_card(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    founding = founded_with(init(settings, PEER))
    join(settings, founding)
    assert load_genesis(settings.node_home) == founding.genesis
    assert {one.name for one in cards(settings.node_home)} == {"Cà Mau", "Đắk Lắk", "Lào Cai"}
    assert load(settings.data).peer == PEER
    assert not (settings.data / JOINING).exists() and not settings.pilot.exists()
    assert founding_of(settings.node_home).hash == founding.hash


def test_join_again_changes_nothing_but_where_cometbft_listens(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    founding = founded_with(init(settings, PEER))
    join(settings, founding)
    before = {path: path.read_bytes() for path in settings.node_home.rglob("*") if path.is_file()}
    join(load(settings.data), founding, "0.0.0.0:7")
    assert before == {path: path.read_bytes() for path in before}
    assert load(settings.data).peer == "0.0.0.0:7"
    with pytest.raises(GenesisError, match="another chain"):
        join(load(settings.data), founded_with(own_card(settings)))
    with pytest.raises(GenesisError, match="in a consortium already"):
        init(load(settings.data), PEER)


@pytest.mark.parametrize(
    ("peer", "listens"),
    [
        ("127.0.0.3:9", "127.0.0.3:9"),
        ("[::1]:9", "[::1]:9"),
        ("camau.example:26656", "0.0.0.0:26656"),
        ("203.0.113.7:26656", "0.0.0.0:26656"),
    ],
)
def test_cometbft_listens_where_others_can_reach_it(
    tmp_path: Path, peer: str, listens: str
) -> None:
    settings = camau(tmp_path / "a")
    join(settings, founded_with(init(settings, peer)))
    assert load(settings.data).peer == listens


def test_pages_that_only_this_machine_sees_are_no_pages_for_others(tmp_path: Path) -> None:
    hosts = ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "a.example", "203.0.113.7:80")
    settings = replace(camau(tmp_path / "a"), hosts=hosts)
    assert public_pages(settings, "camau.example:26656") == ["a.example", "203.0.113.7:80"]
    assert public_pages(settings, "127.0.0.3:26656") == list(hosts)
    assert init(camau(tmp_path / "a"), "camau.example:26656", 0, ()).pages == ()


def test_province_without_a_card_and_one_left_out_do_not_join(tmp_path: Path) -> None:
    settings = camau(tmp_path / "a")
    found_alone(settings)
    founding = founded_with(changed_card(0), card(1))
    with pytest.raises(GenesisError, match="moneo node init"):
        join(settings, founding)
    init(settings, PEER)
    with pytest.raises(GenesisError, match="do not join"):
        join(settings, founding)
    assert not load_genesis(settings.node_home).records
    assert load(settings.data).peer == ""


def pilot(data: Path) -> Settings:
    """A province that has a chain of its own."""
    settings = camau(data)
    found_alone(settings)
    (settings.node_home / "signed.json").write_text("what the pilot has signed")
    return settings


def test_pilot_keeps_account_log_and_settings_and_its_chain_whole(tmp_path: Path) -> None:
    settings = pilot(tmp_path / "a")
    with (settings.data / "moneo.toml").open("a") as file:
        file.write("# by hand\n")
    kept = {
        name: (settings.data / "keys" / name).read_bytes() for name in ("member.key", "log.key")
    }
    old = {path.name: path.read_bytes() for path in settings.node_home.iterdir()}
    own = init(settings, PEER)
    assert {path.name: path.read_bytes() for path in settings.node_home.iterdir()} == old
    join(settings, founded_with(own))
    assert {path.name: path.read_bytes() for path in settings.pilot.iterdir()} == old
    assert kept == {name: (settings.data / "keys" / name).read_bytes() for name in kept}
    assert load(settings.data) == replace(settings, peer=PEER)
    assert (settings.data / "moneo.toml").read_text().endswith("# by hand\n")


def test_pilot_s_validator_key_is_never_used_on_the_new_chain(tmp_path: Path) -> None:
    settings = pilot(tmp_path / "a")
    old = load_validator_key(settings.node_home).public_key().public_bytes_raw()
    own = init(settings, PEER)
    join(settings, founded_with(own))
    new = load_validator_key(settings.node_home).public_key().public_bytes_raw()
    assert new == own.member.validator_key != old
    assert load_validator_key(settings.pilot).public_key().public_bytes_raw() == old


def test_pilot_that_runs_is_not_put_aside(tmp_path: Path) -> None:
    settings = pilot(tmp_path / "a")
    founding = founded_with(init(settings, PEER))
    chain = LevelDB(settings.node_home / "chain")
    with pytest.raises(GenesisError, match="stop moneo serve"):
        join(settings, founding)
    chain.close()
    assert not settings.pilot.exists()
    join(settings, founding)
    assert settings.pilot.exists()


def test_second_pilot_is_not_put_over_the_first(tmp_path: Path) -> None:
    settings = pilot(tmp_path / "a")
    founding = founded_with(init(settings, PEER))
    settings.pilot.mkdir()
    with pytest.raises(GenesisError, match="put it elsewhere first"):
        join(settings, founding)


@pytest.mark.parametrize("at", range(8))
def test_join_that_is_interrupted_anywhere_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Renames are what changes a folder: the process ends before the one of this number."""
    settings = pilot(tmp_path / "a")
    founding = founded_with(init(settings, PEER))
    left = iter(range(at))
    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            usual = getattr(Path, name)

            def counted(self: Path, target: Path, usual: object = usual) -> object:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return usual(self, target)  # type: ignore[operator]

            patch.setattr(Path, name, counted)
        try:
            join(settings, founding)
        except KeyboardInterrupt:
            assert not load(settings.data).peer
        else:
            pytest.fail("no step was left out: the range is too long")
    join(load(settings.data), founding)
    assert load_genesis(settings.node_home) == founding.genesis
    assert len(cards(settings.node_home)) == 3
    assert (settings.pilot / "signed.json").exists()
    assert load(settings.data).peer == PEER


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[province]\nname = 'a'\norigin = 'a/b'\n", 'peer = "a:1"'),
        ("[province]\nname = 'a'\norigin = 'a/b'\n\n[node]\nrpc = '127.0.0.1:1'\n", 'peer = "a:1"'),
        ("[node]\npeer = ''\n[province]\nname = 'a'\norigin = 'a/b' # why\n", 'peer = "a:1"'),
    ],
)
def test_peer_is_written_into_settings_as_people_write_them(
    tmp_path: Path, text: str, line: str
) -> None:
    (tmp_path / "version").write_text("1\n")
    (tmp_path / "moneo.toml").write_text(text)
    settings = load(tmp_path)
    set_peer(settings, "a:1")
    assert load(tmp_path) == replace(settings, peer="a:1")
    after = (tmp_path / "moneo.toml").read_text()
    assert line in after
    assert set(text.splitlines()) - set(after.splitlines()) <= {"peer = ''"}


def test_peer_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("1\n")
    text = "node = {rpc = '127.0.0.1:1'}\n[province]\nname = 'a'\norigin = 'a/b'\n"
    (tmp_path / "moneo.toml").write_text(text)
    with pytest.raises(SettingsError, match="yourself"):
        set_peer(load(tmp_path), "a:1")
    assert (tmp_path / "moneo.toml").read_text() == text


def test_sample_provinces_are_founded_once_and_where_they_are_told(tmp_path: Path) -> None:
    addresses = Addresses(
        "0.0.0.0:8080", "127.0.0.1:8545", "p{n}:26656", "0.0.0.0:26656", "http://x:808{n}"
    )
    wanted = places(2, addresses, "{n}/var")
    made = found_demo(tmp_path, wanted)
    assert [one.data for one in made] == [tmp_path / "1/var", tmp_path / "2/var"]
    assert [one.hosts for one in made] == [("x:8081",), ("x:8082",)]
    assert {one.peer for one in made} == {"0.0.0.0:26656"} and {one.workers for one in made} == {1}
    homes = [one.node_home for one in made]
    assert load_genesis(homes[0]) == load_genesis(homes[1])
    assert {one.peer for one in cards(homes[1])} == {"p1:26656", "p2:26656"}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found_demo(tmp_path, wanted) == made
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_sample_founding_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = places(3, Addresses())
    with monkeypatch.context() as patch:
        joined: list[Path] = []

        def once(settings: Settings, founding: Founding, listen: str) -> None:
            if joined:
                raise KeyboardInterrupt
            joined.append(settings.data)
            join(settings, founding, listen)

        patch.setattr("front.provinces.join", once)
        with pytest.raises(KeyboardInterrupt):
            found_demo(tmp_path, wanted)
    made = found_demo(tmp_path, wanted)
    assert joined == [tmp_path / "3"]
    assert len({founding_of(one.node_home).hash for one in made}) == 1
