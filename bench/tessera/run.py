# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Tessera, an append-only log in Go, so that its figures come from the same run as ours.

Its POSIX server and its hammer are built at one version by `go install`; the hammer says nothing of
latencies without its own screen, so the program beside this file measures those, and the storage
without HTTP. All of it is skipped, with a sentence, where Go is missing or nothing can be fetched.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.support import say
from tests.support.province import answers, free_addresses, wait_until

VERSION: Final = "v1.0.4"
MODULE: Final = f"github.com/transparency-dev/tessera/%s@{VERSION}"
WRITERS: Final = 512
ENTRY_BYTES: Final = 500
BATCH: Final = 1024
HERE: Final = Path(__file__).parent
BUILD_SECONDS: Final = 600
# What the hammer may ask for, far above what it gets.
NO_LIMIT: Final = 1_000_000


class NoTessera(Exception):  # noqa: N818  it says what is missing
    """Tessera can't be built or run here; the message says why."""


@dataclass(frozen=True)
class Figures:
    """Entries a second, and seconds of one acknowledgement where they are known."""

    rate: float
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Tessera:
    """Tessera's figures: its server under its hammer and under our load, and without HTTP."""

    hammered: Figures
    loaded: Figures
    in_process: Figures

    @property
    def over_http(self) -> Figures:
        """The better of the two over HTTP."""
        return max(self.hammered, self.loaded, key=lambda figures: figures.rate)


def measure(folder: Path, seconds: float) -> Tessera:
    """Build Tessera and measure it below `folder`; raises NoTessera."""
    programs = _build(folder)
    key = folder / "tessera.key"
    _run([programs / "load", "-mode", "keys", "-path", key])
    with _server(programs, key, folder / "served") as url:
        say("Tessera: hammer")
        hammered = _hammer(programs, key, url, seconds)
        say("Tessera: load")
        loaded = _load(programs, "load", "-url", f"{url}add", "-seconds", str(seconds))
    say("Tessera: without HTTP")
    words = (
        "append",
        "-path",
        str(folder / "appended"),
        "-key",
        str(key),
        "-writers",
        str(2 * BATCH),
    )
    in_process = _load(programs, *words, "-batch", str(BATCH), "-seconds", str(seconds))
    for log in ("served", "appended"):
        shutil.rmtree(folder / log)
    return Tessera(hammered, loaded, in_process)


def _build(folder: Path) -> Path:
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise NoTessera("Go is not installed")
    say(f"Tessera {VERSION}: building (half a minute, the first time two)")
    programs = folder / "bin"
    environ = {**os.environ, "GOBIN": str(programs), "CGO_ENABLED": "0"}
    for name in ("cmd/conformance/posix", "internal/hammer"):
        _run([go, "install", MODULE % name], environ)
    _run([go, "build", "-mod=readonly", "-buildvcs=false", "-o", programs / "load", "."], environ)
    return programs


def _run(command: Sequence[str | Path], environ: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, env=environ, cwd=HERE, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoTessera(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NoTessera(f"{Path(command[0]).name}: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextmanager
def _server(programs: Path, key: Path, log: Path) -> Iterator[str]:
    """Run Tessera's POSIX server as it comes, and yield its address."""
    (listen,) = free_addresses(1)
    url = f"http://{listen}/"
    command: list[str | Path] = [
        programs / "posix",
        "-storage_dir",
        log,
        "-listen",
        listen,
        "-private_key",
        key,
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until("Tessera's server", lambda: answers(f"{url}checkpoint"), 30)
        # It founds its log before it listens, and says the first size a moment later.
        time.sleep(1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _hammer(programs: Path, key: Path, url: str, seconds: float) -> Figures:
    """Let its own hammer write, and read from the checkpoints how fast the log grows."""
    public = key.with_name(key.name + ".pub").read_text(encoding="utf-8")
    command: list[str | Path] = [
        programs / "hammer",
        "-log_url",
        url,
        "-log_public_key",
        public,
        "-show_ui=false",
    ]
    command += ["-num_writers", str(WRITERS), "-max_write_ops", str(NO_LIMIT)]
    command += ["-leaf_min_size", str(ENTRY_BYTES), "-dup_chance", "0"]
    command += ["-num_readers_random", "0", "-num_readers_full", "0"]
    hammer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = _next_checkpoint(url, _size(url), hammer)
        last, until = first, time.perf_counter() + seconds
        while last[0] < until:
            last = _next_checkpoint(url, last[1], hammer)
    finally:
        hammer.terminate()
        hammer.wait(30)
    return Figures((last[1] - first[1]) / (last[0] - first[0]))


def _next_checkpoint(url: str, before: int, hammer: "subprocess.Popen[bytes]") -> tuple[float, int]:
    """Wait for a larger checkpoint, one comes every second; return when it was seen and its size."""
    until = time.monotonic() + 30
    while (size := _size(url)) <= before:
        if hammer.poll() is not None or time.monotonic() > until:
            raise NoTessera("its hammer has ended, or its log does not grow")
        time.sleep(0.02)
    return time.perf_counter(), size


def _size(url: str) -> int:
    with urllib.request.urlopen(f"{url}checkpoint", timeout=10) as answer:  # noqa: S310  our own loopback address
        return int(answer.read().split(b"\n")[1])


def _load(programs: Path, mode: str, *words: str) -> Figures:
    said = json.loads(_run([programs / "load", "-mode", mode, "-size", str(ENTRY_BYTES), *words]))
    return Figures(said["entries"] / said["seconds"], said["p50"] / 1000, said["p99"] / 1000)
