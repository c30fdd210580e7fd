# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs real commands and real provinces for tests: processes, sockets and files, nothing in their stead."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.loopback import free_addresses

__all__ = [
    "ROOT",
    "Running",
    "answers",
    "free_addresses",
    "get",
    "json_of",
    "moneo",
    "wait_until",
]

ROOT = Path(__file__).parents[2]
MONEO = (sys.executable, str(ROOT / "moneo.py"))
WAIT_SECONDS = 120


def moneo(
    *words: str | Path,
    home: Path,
    status: int | None = 0,
    seconds: float = WAIT_SECONDS,
    **environ: str,
) -> str:
    """Run one command of ours and return what it printed on both streams; check its exit status."""
    done = subprocess.run(
        [*MONEO, *map(str, words)],
        env={
            **os.environ,
            "MONEO_HOME": str(home),
            "COLUMNS": "200",
            "MONEO_LANG": "en",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    said = done.stdout + done.stderr
    assert status is None or done.returncode == status, said
    return said


def wait_until(what: str, ready: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds, or fail the test naming it."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Return status and body of a GET; a refusal is an answer too."""
    query = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(query, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def answers(url: str) -> bool:
    """Return whether anybody answers there."""
    try:
        get(url)
    except OSError:
        return False
    return True


class Running:
    """A command of ours that keeps running; its output is collected. Stops with the `with` block."""

    def __init__(self, *words: str | Path, **environ: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*MONEO, *map(str, words)],
            env={**os.environ, "COLUMNS": "200", "MONEO_LANG": "en", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.lines.extend(lines)

    def said(self, words: str) -> bool:
        """Return whether it has printed these words."""
        return any(words in line for line in self.lines)

    def wait_for(self, words: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until it prints these words; fail if it ends before."""
        wait_until(words, lambda: self.said(words) or self.process.poll() is not None, seconds)
        assert self.said(words), "".join(self.lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def json_of(text: str) -> Any:
    """Return the JSON value that begins at the first brace or bracket of what a command printed."""
    start = min(i for i in (text.find("{"), text.find("[")) if i >= 0)
    return json.loads(text[start:])
