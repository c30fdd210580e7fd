# SPDX-License-Identifier: GPL-3.0-or-later
"""A province's three processes, to be killed and started again thousands of times.

They are what `moneo` runs, command line and all, but forked from a *driver* that has imported the
program already: a start takes a tenth of a second, not two. The driver inherits nothing of the tests;
it has no threads and opens no file. When the tests end, however they end, it kills what it started.
What a process is to do otherwise than the program does is a function that it calls first.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import moneo
from anchor.settings import Settings
from node import call_worker, calls
from tests.support.killat import count_steps
from tests.support.province import ROOT, answers, wait_until

NAMES = ("node", "anchor", "api")
STOP_SECONDS = 60.0


class Forked:
    """A process that the driver has started, and leader of its group."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Whether it has ended; wait for it so long."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def kill(self) -> None:
        """Kill it and its group, as their machine's end would, and wait until it is dead."""
        # Its group may be gone with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        assert self.has_ended(STOP_SECONDS)

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.ask_to_end()
        self.has_ended(STOP_SECONDS)

    def close(self) -> None:
        os.close(self._descriptor)


class Driver:
    """Starts commands of `moneo`. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.victims"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A Ctrl-C is the tests' alone.
            start_new_session=True,
        )

    def start(
        self,
        command: Sequence[str],
        output: Path,
        at: int | None = None,
        first: Sequence[str] = (),
    ) -> Forked:
        """Start a command, whose words are added to a file.

        `at` has it killed at that durable step, counted from its start; `first` is a function that
        it calls before, as "module:function", and its arguments.
        """
        assert self._process.stdin and self._process.stdout
        with self._lock:
            order = [str(output), list(command), at, list(first)]
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            # The driver reaps with the next order at the earliest: this is the process, alive or dead.
            return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Kill what is left."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        self._process.wait(STOP_SECONDS)


@cache
def driver() -> Driver:
    """Return the driver that all tests of this process share: importing the program takes seconds."""
    made = Driver()
    atexit.register(made.close)
    return made


class Victims:
    """The processes of one province. Safe for threads, one for each process."""

    def __init__(self, settings: Settings) -> None:
        data = ["--data", str(settings.data)]
        self.settings = settings
        self._commands = {
            "node": ["node", "run", "--home", str(settings.node_home), "--rpc", settings.rpc],
            "anchor": ["run-anchor", *data],
            "api": ["run-api", *data],
        }
        self._addresses = {"node": settings.rpc, "api": settings.listen}
        self.output = settings.data / "output"
        self._running: dict[str, Forked] = {}
        self._driver = driver()

    def start_all(self) -> None:
        """Start all three and wait until node and API answer."""
        for name in NAMES:
            self.start(name)
        wait_until("the node answers", lambda: answers(self.settings.rpc_url))
        wait_until("the API answers", lambda: answers(f"{self.settings.public_url}/healthz"))

    def start(self, name: str, at: int | None = None) -> None:
        """Start a process; `at` has it killed at that durable step, counted from its start."""
        self._running[name] = self._driver.start(self._commands[name], self.output, at)

    def has_ended(self, name: str, seconds: float = 0.0) -> bool:
        """Whether the process has ended; wait for it so long."""
        running = self._running.get(name)
        return running is None or running.has_ended(seconds)

    def kill(self, name: str) -> None:
        """Kill a process and its workers, and wait until it is dead."""
        if name not in self._running:
            return
        process = self._running[name]
        process.kill()
        del self._running[name]
        process.close()
        # Its workers end when they end; one of them may still hold its port.
        wait_until(f"the port of {name} is free", lambda: not self._is_listening(name))

    def is_serving(self, name: str) -> bool:
        """Whether somebody listens at the process's port; the anchor process has none and is at work at once."""
        return name not in self._addresses or self._is_listening(name)

    def _is_listening(self, name: str) -> bool:
        if name not in self._addresses:
            return False
        host, _, port = self._addresses[name].rpartition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def stop(self) -> None:
        """Ask all to end, and see to it that they do."""
        for name in reversed(NAMES):
            if name in self._running:
                self._running[name].stop()
        for process in self._running.values():
            process.kill()
            process.close()
        self._running.clear()


# The driver's side


def _become(output: str, command: list[str], at: int | None, first: list[str]) -> int:
    os.setpgid(0, 0)
    for number, (path, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), (output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)]
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.dup2(1, 2)
    if at is not None:
        count_steps(os.open(os.devnull, os.O_WRONLY), at)
    if first:
        module, _, name = first[0].partition(":")
        getattr(importlib.import_module(module), name)(*first[1:])
    sys.argv = ["moneo", *command]
    return moneo.main()


def _child(order: list[Any]) -> None:
    status = 1
    try:
        status = _become(*order)
    except BaseException:  # noqa: BLE001 - the driver goes on elsewhere, this process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _import_all() -> None:
    for room in ("anchor.run", "api.run", "node.run"):
        importlib.import_module(room)
    # A node that lives for seconds would hardly ever see its workers ready.
    vars(calls)["subprocess"] = SimpleNamespace(Popen=_Worker, DEVNULL=subprocess.DEVNULL)


class _Worker:
    """A worker of the node's for calls, forked too."""

    def __init__(self, _command: list[str], pass_fds: list[int], **_: Any) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            (kept,) = pass_fds
            try:
                # With the node's own end of its socket open it would outlive the node.
                os.closerange(3, kept)
                os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
                call_worker.main(kept)
            finally:
                os._exit(0)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        os.waitpid(self.pid, 0)


def main() -> None:
    """Fork a process for each line on standard input, answer with its id; at the end kill them all."""
    _import_all()
    children: set[int] = set()
    try:
        for line in sys.stdin:
            while children and (ended := os.waitpid(-1, os.WNOHANG)[0]):
                children.discard(ended)
            process = os.fork()
            if process == 0:
                _child(json.loads(line))
            # Here too: the tests may want to kill the group before its leader has run.
            with contextlib.suppress(OSError):
                os.setpgid(process, process)
            children.add(process)
            print(process, flush=True)  # noqa: T201
    finally:
        for process in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
