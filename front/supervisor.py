# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the processes of a province (node, anchor, API), or of several provinces on one machine.

Each is started by the front door's own commands, restarted when it dies, and ends with us.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from anchor.cli import console, errors, fail
from anchor.settings import Settings
from anchor.words import pick

BACKOFF_SECONDS = (1, 2, 4, 8, 16, 30)
HEALTHY_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 20
KINDS = ("node", "anchor", "api")
MONEO = (sys.executable, str(Path(__file__).resolve().parents[1] / "moneo.py"))
# Children end with us even when we are killed, so that the next start finds its ports and locks free.
TIED = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


@dataclass
class Child:
    """One supervised process: what it is, how it is started, and what is known of it."""

    name: str
    kind: str
    command: Sequence[str]
    process: "subprocess.Popen[str] | None" = None
    started: float = 0.0
    deaths: int = 0
    restart_at: float = 0.0


class Stopped(Exception):  # noqa: N818  it is a wish, not an error
    """The person asked to stop while something was being waited for."""


@dataclass
class Supervisor:
    """Starts processes in order, says and restarts what dies, and stops all of them in reverse."""

    children: list[Child]
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, child: Child) -> None:
        """Start it; its output goes on as ours, each line under its name."""
        child.process = subprocess.Popen(
            [*TIED, *child.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A Ctrl-C in the terminal is ours to pass on, in the right order.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        child.started = time.monotonic()
        assert child.process.stdout is not None  # noqa: S101  it is a pipe
        threading.Thread(
            target=_relay, args=(child.name, child.process.stdout), daemon=True
        ).start()

    def start_kind(self, kind: str) -> None:
        """Start every province's process of this kind."""
        for child in self._of(kind):
            self.start(child)

    def wait_for(
        self, what: str, ready: Callable[[], bool], seconds: float = START_SECONDS
    ) -> None:
        """Wait, visibly, until `ready`; a child that ends before all were started is fatal.

        Raises Stopped if the person asked to stop, typer.Exit if it takes too long.
        """
        until = time.monotonic() + seconds
        with console.status(f"{what}…"):
            while not ready():
                if self.stopping.wait(0.1):
                    raise Stopped
                dead = [c.name for c in self.children if c.process and c.process.poll() is not None]
                if time.monotonic() > until or (dead and self.children[-1].process is None):
                    fail(pick(f"{what}: không xong ({', '.join(dead) or 'quá lâu'}); xem các dòng trên.",
                              f"{what}: failed ({', '.join(dead) or 'too slow'}); its own words stand above."))  # fmt: skip

    def watch(self) -> None:
        """Keep the children running until `stopping` is set."""
        while not self.stopping.wait(0.2):
            for child in self.children:
                self._revive(child)

    def stop(self) -> None:
        """Ask every child to end, what was started last first; kill one that does not within 20 s."""
        self.stopping.set()
        for kind in reversed(KINDS):
            running = [c.process for c in self._of(kind) if c.process and c.process.poll() is None]
            for process in running:
                process.terminate()
            for process in running:
                _end(kind, process)

    def _of(self, kind: str) -> list[Child]:
        return [child for child in self.children if child.kind == kind]

    def _revive(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at:
                self.start(child)
            return
        status = child.process.poll()
        if status is None:
            return
        child.deaths = 0 if now - child.started > HEALTHY_SECONDS else child.deaths
        wait = BACKOFF_SECONDS[min(child.deaths, len(BACKOFF_SECONDS) - 1)]
        child.deaths, child.process, child.restart_at = child.deaths + 1, None, now + wait
        errors.print(
            pick(
                f"{child.name} đã dừng ({_ending(status)}); khởi động lại sau {wait} giây.",
                f"{child.name} ended ({_ending(status)}); it is started again in {wait} s.",
            ),
            style="red",
        )


@contextlib.contextmanager
def running(*provinces: Settings) -> Iterator[Supervisor]:
    """Run the provinces' processes for the body of a `with`, whatever ends it."""
    for settings in provinces:
        file = settings.data / "moneo.toml"
        addresses = [settings.rpc, settings.listen, *filter(None, (settings.peer,))]
        check_ports(addresses, f"trong {file}", f"in {file}")
    supervisor = Supervisor(_children(provinces))

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    watcher = threading.Thread(target=supervisor.watch, daemon=True)
    seconds = START_SECONDS * len(provinces)
    try:
        supervisor.start_kind("node")
        for place, settings in zip(_places(provinces), provinces, strict=True):
            words = pick(f"Khởi động {place}node", f"Starting {place}node")
            supervisor.wait_for(words, partial(answers, settings.rpc_url), seconds)
        # Twelve processes that load their programs at once keep two cores from consensus.
        supervisor.start_kind("anchor")
        supervisor.start_kind("api")
        for place, settings in zip(_places(provinces), provinces, strict=True):
            words = pick(f"Khởi động {place}api", f"Starting {place}api")
            health = f"http://{settings.listen}/healthz"
            supervisor.wait_for(words, partial(answers, health), seconds)
        watcher.start()
        yield supervisor
    except Stopped:
        pass
    finally:
        console.print(pick("Đang dừng…", "Stopping…"))
        supervisor.stop()
        console.print(
            pick("Đã dừng. Chạy lại lệnh để đi tiếp.", "Stopped. Run the command again to go on.")
        )


def answers(url: str) -> bool:
    """Whether anything answers HTTP there."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def check_ports(addresses: Sequence[str], vi: str, en: str) -> None:
    """Refuse, before anything is begun, an address that somebody listens on; `vi`, `en` say where to choose."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except (OSError, ValueError, OverflowError) as error:
                why = error.strerror if isinstance(error, OSError) else "HOST:PORT?"
                fail(
                    pick(
                        f"Không mở được {address} ({why}): dừng chương trình đang dùng cổng này, hoặc chọn cổng khác {vi}.",
                        f"{address} cannot be opened ({why}): stop what uses that port, or choose another {en}.",
                    )
                )


def _children(provinces: Sequence[Settings]) -> list[Child]:
    """Every province's processes, in the order in which they are started."""
    commands = [_commands(settings) for settings in provinces]
    return [
        Child(place + kind, kind, command[kind])
        for kind in KINDS
        for place, command in zip(_places(provinces), commands, strict=True)
    ]


def _places(provinces: Sequence[Settings]) -> list[str]:
    return [f"{n} " if len(provinces) > 1 else "" for n in range(1, len(provinces) + 1)]


def _commands(settings: Settings) -> dict[str, list[str]]:
    data = ["--data", str(settings.data)]
    node = ["node", "run", "--home", str(settings.node_home), "--rpc", settings.rpc]
    comet = ["--comet", settings.peer] if settings.peer else []
    return {
        "node": [*MONEO, *node, *comet],
        "anchor": [*MONEO, "run-anchor", *data],
        "api": [*MONEO, "run-api", *data],
    }


def _relay(name: str, lines: IO[str]) -> None:
    for line in lines:
        console.print(f"{name:>8} │ {line.rstrip()}", markup=False, soft_wrap=True, style="dim")


def _ending(status: int) -> str:
    return f"exit {status}" if status >= 0 else signal.Signals(-status).name


def _end(kind: str, process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        errors.print(pick(f"{kind} không chịu dừng: buộc dừng.", f"{kind} does not stop: killed."))
        process.kill()
        process.wait()
