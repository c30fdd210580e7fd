# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT's files, what a home must be to sign with it, and what is said where it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from node.abci import Peering, open_comet
from node.abci.home import (
    APPLICATION_SOCKET,
    FOLDER,
    RPC_SOCKET,
    genesis_document,
    node_id,
    prepare,
)
from node.abci.orderer import CometOrderer
from node.abci.process import CometMissing, check_version, find_program
from node.application import Application
from node.chain import Chain
from node.cli import app
from node.db import LevelDB
from node.doctor import check
from node.errors import ChainError, GenesisError, NodeError, UnknownBlock
from node.genesis import GENESIS_FILE, KEY_FILE, load, load_validator_key
from node.mempool import NotTaken
from node.run import Node, listen
from node.sequencer import light_key
from node.signed import RESTORED_FILE
from tests.support.comet import found_homes, need_cometbft
from tests.support.node_core import register_log

PEERING = Peering("127.0.0.1:1", ("0" * 40 + "@127.0.0.2:1",))
STATE = f"{FOLDER}/data/priv_validator_state.json"


def made(home: Path) -> Path:
    return prepare(home, load(home), bytes(32), PEERING.listen)


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def test_everything_is_for_its_owner_only(tmp_path: Path) -> None:
    (home,) = found_homes(tmp_path, 1)
    folder = made(home)
    modes = {each: each.stat().st_mode & 0o777 for each in [folder, *folder.rglob("*")]}
    assert len(modes) == 8
    assert {mode for each, mode in modes.items() if each.is_dir()} == {0o700}
    assert {mode for each, mode in modes.items() if each.is_file()} == {0o600}


def test_key_and_what_it_signed_are_written_once(tmp_path: Path) -> None:
    (home,) = found_homes(tmp_path, 1)
    name = node_id(home)
    made(home)
    (home / STATE).write_text('{"height": "7", "round": 0, "step": 3}')
    made(home)
    assert json.loads((home / STATE).read_text())["height"] == "7"
    assert node_id(home) == name
    (home / STATE).unlink()
    made(home)
    assert not (home / STATE).exists(), "CometBFT refuses to start without it"


def test_another_validators_key_is_refused(tmp_path: Path) -> None:
    one, other = found_homes(tmp_path, 2)
    made(one)
    (one / KEY_FILE).write_bytes((other / KEY_FILE).read_bytes())
    with pytest.raises(GenesisError, match="not the key"):
        made(one)


def test_voted_key_takes_the_place_of_the_old_and_keeps_what_was_signed(tmp_path: Path) -> None:
    one, other = found_homes(tmp_path, 2)
    made(one)
    (one / STATE).write_text('{"height": "7", "round": 0, "step": 3}')
    (one / KEY_FILE).write_bytes((other / KEY_FILE).read_bytes())
    key = load_validator_key(other).public_key().public_bytes_raw()
    with pytest.raises(GenesisError, match="not the key"):
        prepare(one, load(one), bytes(32), PEERING.listen, lambda each: each != key)
    prepare(one, load(one), bytes(32), PEERING.listen, lambda each: each == key)
    made(one)
    assert json.loads((one / STATE).read_text())["height"] == "7"


def test_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    (home,) = found_homes(tmp_path / ("x" * 100), 1)
    with pytest.raises(GenesisError, match="too long a path"):
        made(home)


@pytest.mark.parametrize("listen", ["127.0.0.4:26656", "[::1]:26656", "tinh.example:26656"])
def test_peers_are_let_in_by_key_not_by_address(tmp_path: Path, listen: str) -> None:
    (home,) = found_homes(tmp_path, 1)
    folder = prepare(home, load(home), bytes(32), listen)
    settings = (folder / "config/config.toml").read_text()
    assert f'laddr = "tcp://{listen}"\n' in settings
    assert "addr_book_strict = false\n" in settings
    assert "filter_peers = true\n" in settings
    assert "max_num_inbound_peers = 128\n" in settings
    assert "allow_duplicate_ip = true\n" in settings
    assert f'"unix://{folder / APPLICATION_SOCKET}"' in settings
    assert f'"unix://{folder / RPC_SOCKET}"' in settings


def test_genesis_document_has_all_validators(tmp_path: Path) -> None:
    homes = found_homes(tmp_path, 4)
    document = genesis_document(load(homes[0]), b"\x01" * 32)
    assert [each["power"] for each in document["validators"]] == ["10"] * 4
    assert document["app_hash"] == "01" * 32


class TestOpening:
    @pytest.fixture
    def application(self, tmp_path: Path) -> Any:
        (home,) = found_homes(tmp_path, 1)
        database = LevelDB(home / "chain")
        yield Application(Chain(database, load(home)))
        database.close()

    def home(self, application: Application) -> Path:
        return application.chain.db.path.parent

    def test_restored_home_does_not_sign(self, application: Application) -> None:
        home = self.home(application)
        (home / RESTORED_FILE).touch()
        with pytest.raises(ChainError, match="restored"):
            open_comet(application, home, PEERING)

    def test_chain_of_the_sequencer_is_not_gone_on_with(self, application: Application) -> None:
        application.finalize(1, application.chain.genesis.timestamp, [])
        application.commit({light_key(1): b"{}"})
        with pytest.raises(ChainError, match="without --comet"):
            open_comet(application, self.home(application), PEERING)

    def test_without_a_running_cometbft_asking_is_refused(
        self, application: Application, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        orderer = CometOrderer(application, bytes(20), tmp_path / "empty", Path("/bin/false"))
        with pytest.raises(NotTaken, match="again later"):
            orderer.submit(register_log().typed())
        with pytest.raises(UnknownBlock, match="no light block of height 1"):
            orderer.light_block_json(1)


def fake(folder: Path, text: str) -> Path:
    program = folder / "cometbft"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("said", ["0.38.24", "0.37.99", "0.39.0", "1.0.0", "v0.38", "", "x0.38.25"])
def test_another_version_is_refused(tmp_path: Path, said: str) -> None:
    program = fake(tmp_path, f"echo '{said}'")
    with pytest.raises(CometMissing, match="go install"):
        check_version(program)


@pytest.mark.parametrize("said", ["0.38.25", "v0.38.26", "0.38.100+abcdef"])
def test_this_version_or_a_newer_patch_is_taken(tmp_path: Path, said: str) -> None:
    assert check_version(fake(tmp_path, f"echo '{said}'")) in said


def test_the_real_one_is_taken() -> None:
    need_cometbft()
    assert check_version(find_program()).startswith("0.38.")


def test_node_that_never_served_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home,) = found_homes(tmp_path, 1)
    fake(tmp_path, "echo 0.38.25")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Node(home, listen("127.0.0.1", 0), peering=PEERING):
        pass
    (home / FOLDER / APPLICATION_SOCKET).mkdir()
    refuses = pytest.raises(NodeError, match="cannot answer CometBFT")
    with Node(home, listen("127.0.0.1", 0), peering=PEERING) as node, refuses:
        node.serve()


class TestCommands:
    def test_missing_and_wrong_programs_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home,) = found_homes(tmp_path, 1)
        made(home)
        monkeypatch.setattr("node.abci.process._TOOLS", tmp_path / "none")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        program = check(home).findings[2]
        assert (program.what, program.state) == ("CometBFT", "damaged")
        assert "CometBFT is not here, run: go install" in program.en
        (tmp_path / "bin").mkdir()
        fake(tmp_path / "bin", "echo 0.38.1")
        assert "'0.38.1'" in check(home).findings[2].en

    def test_doctor_of_a_home_that_never_ran(self, tmp_path: Path) -> None:
        need_cometbft()
        (home,) = found_homes(tmp_path, 1)
        made(home)
        done = command("doctor", "--home", home, "--json")
        assert done.exit_code == 2, done.output
        states = [(each["what"], each["state"]) for each in json.loads(done.stdout)]
        assert states == [
            ("node", "good"), ("chain", "unknown"), ("CometBFT", "good"), ("consensus", "unknown"),
        ]  # fmt: skip

    def test_id_is_the_same_every_time(self, tmp_path: Path) -> None:
        (home,) = found_homes(tmp_path, 1)
        first = command("id", "--home", home).stdout
        assert len(first) == 41
        assert first.strip() == node_id(home)

    @pytest.mark.parametrize(
        ("does", "reason"),
        [
            ("exit 3", "status 3"),
            ("echo 'E CONSENSUS FAILURE!!!'; exec sleep 60", "consensus failure"),
        ],
    )
    def test_node_ends_when_cometbft_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, reason: str
    ) -> None:
        (home,) = found_homes(tmp_path, 1)
        (tmp_path / "bin").mkdir()
        fake(tmp_path / "bin", f'[ "$1" = version ] && echo 0.38.25 && exit\n{does}')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        ends = pytest.raises(NodeError, match=f"CometBFT ended: {reason}")
        with Node(home, listen("127.0.0.1", 0), peering=PEERING) as node, ends:
            node.serve()

    @pytest.mark.parametrize(
        "words",
        [
            ("--comet", "nowhere"),
            ("--peer", "0" * 40 + "@127.0.0.1:1"),
            ("--comet", "127.0.0.1:1", "--peer", "127.0.0.1:1"),
            ("--comet", "127.0.0.1:1", "--peer", "0" * 40 + "@127.0.0.1"),
            ("--comet", '127.0.0.1:1"\nx', "--peer", "0" * 40 + "@127.0.0.1:1"),
        ],
    )
    def test_address_that_is_none_is_said(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        done = command("run", "--home", tmp_path, *words)
        assert done.exit_code == 2
        assert isinstance(done.exception, SystemExit)
        assert not (tmp_path / GENESIS_FILE).exists()
