# SPDX-License-Identifier: GPL-3.0-or-later
"""The program CometBFT: where it is, whether it is the right one, and its life beside this process."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

from node.errors import NodeError

PROGRAM: Final = "cometbft"
# The first that was tested; a newer patch is one that mends.
MIN_VERSION: Final = (0, 38, 25)
INSTALL: Final = (
    f"go install github.com/cometbft/cometbft/cmd/cometbft@v{'.'.join(map(str, MIN_VERSION))}"
)
_TOOLS: Final = Path(__file__).resolve().parents[2] / ".tools" / "bin"
_VERSION: Final = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})", re.ASCII)
_VERSION_SECONDS: Final = 20
_MAX_LINE: Final = 8_192
# After this CometBFT's process stays, answers, and takes no part any more.
_GIVEN_UP: Final = b"CONSENSUS FAILURE"
_STOP_SECONDS: Final = 10

_log = logging.getLogger("moneo.node")


class CometMissing(NodeError):  # noqa: N818 - what is found
    """There is no CometBFT here, or one of a version that is not taken."""


def find_program() -> Path:
    """Return CometBFT's path, looked for in PATH and in .tools/bin. Raises CometMissing."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), str(_TOOLS)))
    found = shutil.which(PROGRAM, path=places)
    if found is None:
        raise CometMissing(f"không có CometBFT, hãy chạy · CometBFT is not here, run: {INSTALL}")
    return Path(found)


def check_version(program: Path) -> str:
    """Return the version that the program says it has. Raises CometMissing if it is not taken."""
    try:
        done = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CometMissing(f"không chạy được · {program} does not run: {error}") from error
    said = _VERSION.match(done.stdout.strip())
    version = tuple(map(int, said.groups())) if said else ()
    if version[:2] != MIN_VERSION[:2] or version < MIN_VERSION:
        raise CometMissing(
            f"cần CometBFT 0.38.25 trở lên (0.38) · {program} is {done.stdout.strip()[:40]!r}, "
            f"and 0.38.25 or a newer 0.38 is needed: {INSTALL}"
        )
    return ".".join(map(str, version))


class Process:
    """CometBFT as a child that ends with this process, however that ends."""

    def __init__(self, program: Path, folder: Path, on_end: Callable[[str], None]) -> None:
        """Prepare to run it in `folder`; `on_end` gets the reason if it ends unasked, in a thread."""
        self._command = [str(program), "start", "--home", str(folder)]
        self._on_end = on_end
        self._stopping = Event()
        self._watcher: Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 if it has not been started."""
        return self._child.pid if self._child else 0

    def start(self) -> None:
        """Start it. The calling thread has to live as long: the kernel tethers the child to it."""
        tether = [sys.executable, "-I", str(Path(__file__).with_name("tether.py"))]
        self._child = subprocess.Popen(
            [*tether, str(os.getpid()), *self._command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal is for this process, which ends the other in its order.
            start_new_session=True,
        )
        self._watcher = Thread(
            target=self._watch, args=(self._child,), name="cometbft", daemon=True
        )
        self._watcher.start()

    def stop(self) -> None:
        """End it and return when it has ended."""
        self._stopping.set()
        if self._child is None or self._watcher is None:
            return
        self._child.terminate()
        self._watcher.join(_STOP_SECONDS)
        self._child.kill()
        self._watcher.join()

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """Pass on what it says, until it ends or says that it has given up."""
        assert child.stdout is not None  # noqa: S101 - for the type checker
        with child.stdout as lines:
            while line := lines.readline(_MAX_LINE):
                # What it says while it is being ended is about that.
                if not self._stopping.is_set():
                    _log.warning("CometBFT: %s", line.decode("utf-8", "replace").rstrip())
                if _GIVEN_UP in line:
                    self._report("consensus failure")
        self._report(f"status {child.wait()}")

    def _report(self, reason: str) -> None:
        if not self._stopping.is_set():
            self._on_end(reason)
