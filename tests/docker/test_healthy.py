# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's health check tells a province that answers from one of which a part is gone or hangs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.province import ROOT, Running, answers, free_addresses, moneo, wait_until


def healthy(data: Path) -> tuple[int, str]:
    """Return the check's exit status and what it says."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "healthy")],
        env={**os.environ, "MONEO_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_province_is_healthy_while_node_and_api_both_answer(tmp_path: Path) -> None:
    data = tmp_path / "var"
    assert healthy(data)[0] == 1
    api, rpc = free_addresses(2)
    moneo("init", "Cà Mau", "moneo.example/camau/2026", "--data", data, "--api", api, "--rpc", rpc, home=tmp_path)  # fmt: skip
    # As in a container, where it listens to all addresses.
    settings = data / "moneo.toml"
    settings.write_text(settings.read_text().replace(f'"{api}"', f'"0.0.0.0:{api.rpartition(":")[2]}"'))  # fmt: skip
    with Running("node", "run", "--home", data / "node", "--rpc", rpc) as node:
        wait_until("the node answers", lambda: answers(f"http://{rpc}"))
        status, said = healthy(data)
        assert (status, "refused" in said) == (1, True)
        with Running("run-api", "--data", data):
            wait_until("both answer", lambda: healthy(data) == (0, ""))
            node.process.send_signal(signal.SIGSTOP)
            status, said = healthy(data)
            node.process.send_signal(signal.SIGCONT)
            assert (status, "timed out" in said) == (1, True)
            wait_until("both answer again", lambda: healthy(data) == (0, ""))
