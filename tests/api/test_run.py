# SPDX-License-Identifier: GPL-3.0-or-later
"""The API as a process of its own: it starts, says where it is, and ends cleanly when told to."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anchor.province import found
from anchor.settings import Settings
from api import run
from tests.support.province import ROOT, free_addresses, get, wait_until
from tests.support.site import ORIGIN


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (address,) = free_addresses(1)
    made = Settings(
        tmp_path / "var", "Cà Mau", ORIGIN, listen=address, public_url=f"http://{address}"
    )
    found(made)
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(settings: Settings, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "api.run", str(settings.data)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_until("the API", lambda: _answers(settings.public_url))
        assert get(f"{settings.public_url}/readyz")[0] == 200
    finally:
        process.send_signal(number)
        said = process.communicate(timeout=30)[1].splitlines()
    assert process.returncode == 0
    assert "listening" in said[0] and "stopped" in said[-1]
    assert all(" api " in line for line in said), said


@pytest.fixture
def running(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "api.run", str(settings.data)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until("the API", lambda: _answers(settings.public_url))
        yield process
    finally:
        process.kill()
        process.wait()


def test_connections_go_to_the_workers_in_turn(
    settings: Settings, running: subprocess.Popen[bytes]
) -> None:
    stopped, _ = _workers(running)
    os.kill(stopped, signal.SIGSTOP)
    try:
        answered = [_answers(settings.public_url, timeout=3) for _ in range(2)]
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert sorted(answered) == [False, True]


def test_workers_end_with_whoever_would_stop_them(
    settings: Settings, running: subprocess.Popen[bytes]
) -> None:
    workers = _workers(running)
    running.kill()
    running.wait()
    wait_until(
        "the workers' end", lambda: not any(Path(f"/proc/{pid}/fd").exists() for pid in workers)
    )
    assert not _answers(settings.public_url)


def test_when_one_worker_ends_all_end(running: subprocess.Popen[bytes]) -> None:
    os.kill(_workers(running)[1], signal.SIGKILL)
    assert running.wait(30) == 1


def _workers(process: subprocess.Popen[bytes]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def _answers(url: str, timeout: float = 10) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=timeout) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_port_in_use_is_one_sentence(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = settings.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        assert run.run(settings.data) == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "is in use" in line and "đang có chương trình khác dùng" in line


def test_an_address_that_is_not_ours_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Settings(tmp_path / "var", "Cà Mau", ORIGIN, listen="192.0.2.1:8080")
    found(made)
    assert run.run(made.data) == 1
    assert "cannot be opened" in caplog.records[-1].getMessage()


def test_a_folder_that_is_none_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run.run(tmp_path) == 1
    assert len(caplog.records) == 1


def test_ipv6_is_an_address_too(settings: Settings) -> None:
    try:
        listener = run._bind("[::1]:0")
    except run.StartError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    listener.close()
    assert replace(settings, listen="[::1]:0").listen
