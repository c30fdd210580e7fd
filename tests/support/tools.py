# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds programs made by others that judge what we write; a test without its judge skips and says so."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
# The oldest that the packages in tests/js say they run on.
MIN_NODE = 20
# The first build compiles CometBFT; later ones take a second from Go's own cache.
BUILD_SECONDS = 600


def tool(name: str, how: str) -> str:
    """Return a program's path from .tools/bin, where scripts/tools puts it, or the folder in MONEO_TOOLS.

    Where there is none, skip the test and say how to get it; under CI=true fail.
    """
    places = [os.environ.get("MONEO_TOOLS"), str(ROOT / ".tools" / "bin")]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found:
        return found
    raise missing(f"{name} is not there; get it by: {how}")


def chromium() -> str:
    """Return the path of Debian's Chromium, which Playwright drives; a browser it would fetch is not used.

    Where there is none, skip the test and say how to get it; under CI=true fail.
    """
    if found := shutil.which("chromium"):
        return found
    raise missing("Chromium is not there; get it by: apt-get install chromium")


def built() -> Path:
    """Return the folder of the built browser's side, as it is; where it has not been built, skip or fail."""
    folder = ROOT / "api" / "web" / "dist"
    if (folder / "manifest.json").exists():
        return folder
    raise missing("the browser's side is not built; get it by: scripts/web")


def node_packages() -> Path:
    """Return the folder in which tests/js is installed at its locked versions, and its scripts are.

    Installed on first use, and anew when the lock has changed. Without Node or a way to install,
    skip the test and say so; under CI=true fail.
    """
    source, folder = ROOT / "tests" / "js", TOOLS / "js"
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or _version(node) < MIN_NODE:
        raise missing(f"Node {MIN_NODE} or newer with npm is not there; get it by: nodejs.org")
    folder.mkdir(parents=True, exist_ok=True)
    lock = (source / "package-lock.json").read_bytes()
    stamp = folder / "installed"
    with alone("js"):
        if not stamp.exists() or stamp.read_bytes() != lock:
            stamp.unlink(missing_ok=True)
            _copy(source, folder)
            # No package's own scripts run: none is needed, and none was looked at.
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                raise missing(f"npm ci could not install tests/js: {done.stderr[-500:]}")
            stamp.write_bytes(lock)
        _copy(source, folder)
    return folder


def node_program(name: str) -> Path:
    """Return a program that a package of tests/js brings; where there is none for this machine, skip."""
    program = node_packages() / "node_modules" / ".bin" / name
    if not program.exists():
        raise missing(f"{name} is not there: its package in tests/js is for another machine")
    return program


def go() -> str:
    """Return the path of Go; where there is none, skip the test and say so, under CI=true fail."""
    folders = [os.environ["PATH"], str(ROOT / ".venv" / "bin"), "/usr/local/go/bin"]
    if found := shutil.which("go", path=os.pathsep.join(folders)):
        return found
    raise missing("Go is not there; get it by: https://go.dev/dl")


def go_judges() -> Path:
    """Return the one program of tests/go, in which Go packages of others judge; built when its sources have changed."""
    source, program = ROOT / "tests" / "go", TOOLS / "bin" / "judges"
    built = program.with_name("judges.sources")
    with alone("go"):
        sources = [*sorted(source.glob("*.go")), source / "go.mod", source / "go.sum"]
        digest = hashlib.sha256(b"".join(map(Path.read_bytes, sources))).hexdigest()
        if not program.exists() or not built.exists() or built.read_text() != digest:
            program.parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                [go(), "build", "-trimpath", "-o", str(program), "."],
                cwd=source,
                env={**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            if "requires go >=" in done.stderr:
                raise missing(f"Go here is too old: {done.stderr.strip()}")
            assert not done.returncode, done.stderr
            built.write_text(digest)
    return program


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let no other worker of the suite do the same at the same time."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy(source: Path, folder: Path) -> None:
    """Copy what has changed: another worker may be reading the rest."""
    for file in source.iterdir():
        copy = folder / file.name
        if file.is_file() and not (copy.exists() and copy.read_bytes() == file.read_bytes()):
            shutil.copy(file, copy)


def _version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip("v").partition(".")[0])


def missing(reason: str) -> BaseException:
    """Return what ends a test without its judge: a failure in CI, else a skip with the reason."""
    if os.environ.get("CI") == "true":
        return pytest.fail.Exception(reason)
    return pytest.skip.Exception(reason)


def tessera_fsck(log: Path, key: str) -> str:
    """Return what tessera's fsck prints of a log folder; `key` is the log's C2SP verifier key.

    Its exit status says nothing, with one worker it can hang on a bad tile, and then too it is late.
    """
    file = log.with_name(f"{log.name}.key")
    file.write_text(key)
    command = [tool("tessera-fsck", "scripts/tools (needs Go)"), "--ui=false", "--N=16"]
    command += [f"--storage_url=file://{log}", f"--public_key={file}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return "timed out"
    return done.stdout + done.stderr
