# SPDX-License-Identifier: GPL-3.0-or-later
"""Four provinces on one machine, by the one command: a record of the first is proven by all four."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from anchor.trust import parse_trust
from anchor.verify import verify
from tests.front.test_cli import moneo
from tests.support.loopback import NETWORK, host
from tests.support.province import Running, get, wait_until
from tests.support.province import moneo as process
from tests.support.tools import tool

CODE = "/01/09520001000034/10/HOP-01-1"
COUNT = 4
# Twelve processes that begin at once, beside whatever else this machine does.
SECONDS = 300


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago at each of the provinces' addresses."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind((host(), 0))
            port = probe.getsockname()[1]
        if port not in found and all(map(is_free, [port] * COUNT, range(1, COUNT + 1))):
            found.append(port)
    return found


def is_free(port: int, number: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host(number), port))
        except OSError:
            return False
    return True


def test_record_of_one_province_is_proven_by_four(tmp_path: Path) -> None:
    tool("cometbft", "scripts/tools (needs Go)")
    api, rpc, peer = free_ports(3)
    home = f"{NETWORK}.{{n}}:"
    where = ("--api", f"{home}{api}", "--rpc", f"{home}{rpc}", "--peer", f"{home}{peer}")
    data, evidence, trust = tmp_path / "d", tmp_path / "crab.json", tmp_path / "trust.json"
    with Running("demo", "--validators", str(COUNT), "--data", data, *where) as demo:
        demo.wait_for("Trust from another province", SECONDS)
        first, third = f"http://{host(1)}:{api}", f"{host(3)}:{rpc}"
        process("evidence", "get", CODE, "--from", first, "-o", evidence, home=tmp_path)
        process("node", "export-trust", "--rpc", third, "-o", trust, home=tmp_path)
        pages = [f"http://{host(number)}:{api}/v1/trust" for number in range(1, COUNT + 1)]
        alike = {(200, trust.read_bytes())}
        wait_until("one trust file everywhere", lambda: set(map(get, pages)) == alike)
        demo.wait_for(f"node status --rpc {host(2)}:{rpc}")
        assert demo.stop(signal.SIGINT) == 0, "".join(demo.lines)
    said = "".join(demo.lines)
    assert all(f"http://{host(number)}:{api}" in said for number in range(1, COUNT + 1))
    assert len(parse_trust(trust.read_bytes()).members) == COUNT
    verdict = verify(evidence.read_bytes(), trust.read_bytes(), expect_code=CODE)
    assert verdict.proven, verdict.failure
    assert "of 4 validators" in process("verify", evidence, "--trust", trust, home=tmp_path)


def test_ports_that_are_taken_are_said_before_anything_is_made(tmp_path: Path) -> None:
    tool("cometbft", "scripts/tools (needs Go)")
    api, rpc, peer = free_ports(3)
    where = [f"{NETWORK}.{{n}}:{port}" for port in (api, rpc, peer)]
    words = ("demo", "--validators", "4", "--data", tmp_path / "d", "--api", where[0])
    with socket.socket() as other:
        other.bind((host(3), peer))
        other.listen()
        said = moneo(*words, "--rpc", where[1], "--peer", where[2], status=2)
    assert f"{host(3)}:{peer} cannot be opened" in said and "--peer" in said
    assert not (tmp_path / "d").exists()


def test_without_cometbft_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("node.abci.process._TOOLS", tmp_path)
    said = moneo("demo", "--validators", "4", "--data", tmp_path / "d", status=2)
    assert "go install" in said
    assert not (tmp_path / "d").exists()


def test_one_province_s_folder_is_not_taken_for_four(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("1\n")
    said = moneo("demo", "--validators", "4", "--data", tmp_path, status=2)
    assert "choose another with --data" in said
