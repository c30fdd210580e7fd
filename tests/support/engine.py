# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Docker engine in namespaces of its own, which are gone with it: network, mounts, processes.

Its images stay in .tools/docker, so that a second run builds in seconds. Nothing is pulled: the bases
that the Dockerfile names are made with debootstrap from apt's own mirror and with this machine's Go.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

from tests.support.tools import ROOT

CACHE = ROOT / ".tools" / "docker"
PROGRAMS = (
    "dockerd",
    "docker",
    "docker-compose",
    "debootstrap",
    "unshare",
    "nsenter",
    "tini",
    "ip",
)
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin:/sbin:/usr/local/go/bin"))
GET = "apt-get install --no-install-recommends docker.io docker-compose debootstrap iproute2"
START_SECONDS, STOP_SECONDS = 60, 60
BUILD_SECONDS = 1800
DEBIAN, GO = "debian:bookworm-slim", "golang:1.25-bookworm"
STAGES = ("cometbft", "web", "dependencies")
# Where the kernel keeps groups: one hierarchy, or one for each controller.
CGROUPS = Path("/sys/fs/cgroup")
# What the machine trusts when it fetches packages, the images that fetch trust too.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/usr/local/share/ca-certificates")


class CannotRun(Exception):  # noqa: N818 - what is found
    """No engine can be started here; the text says why."""


def check_programs() -> None:
    """Raise CannotRun if this user or machine lacks what an engine in namespaces needs."""
    if os.geteuid() != 0:
        raise CannotRun("only root can make the namespaces")
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PLACES)]
    if missing:
        raise CannotRun(f"{', '.join(missing)} not there; get them by: {GET}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep others from the cache for the body of a `with`: two engines would tear one folder."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Engine:
    """An engine that runs for the body of a `with`; `is_online` lets it use the machine's network.

    Online it can build and nothing else; offline it has a network of its own, where containers,
    their names and published ports work, and the machine's other processes are not.
    """

    def __init__(self, *, is_online: bool) -> None:
        self.is_online = is_online
        # One name for each cache, so that the next run finds what one that was killed has left.
        self.group = f"moneo-docker-{sha256(bytes(CACHE)).hexdigest()[:8]}"
        self.folder = Path(tempfile.gettempdir(), self.group)
        self.environ = {
            **os.environ,
            "PATH": PLACES,
            "DOCKER_HOST": f"unix://{self.folder}/sock",
            "DOCKER_CONFIG": str(self.folder),
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_PROJECT_NAME": "moneo",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._sweep()
        self.folder.mkdir(mode=0o700)
        try:
            self._start()
            self.clear()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.clear()
        finally:
            self._stop()

    def docker(self, *words: str | Path, seconds: float = 120, **options: object) -> str:
        """Return what a docker command prints; its failure is the test's."""
        return self._said(["docker", *map(str, words)], seconds, **options)

    def compose(self, *words: str | Path, seconds: float = 300) -> str:
        """Return what docker-compose prints for the checkout's own docker-compose.yml."""
        return self._said(["docker-compose", *map(str, words)], seconds)

    def inside(self, *words: str | Path) -> list[str]:
        """Return the words of a command as it is run where published ports are."""
        return ["nsenter", f"--net=/proc/{self._first()}/ns/net", *map(str, words)]

    def clear(self) -> None:
        """Remove all containers, volumes and networks, also what a run that was killed has left."""
        if left := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *left)
        if left := self.docker("volume", "ls", "--quiet").split():
            self.docker("volume", "rm", "--force", *left)
        self.docker("network", "prune", "--force")

    def _said(self, command: Sequence[str], seconds: float, **options: object) -> str:
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            **options,
        )
        said = str(done.stdout.decode("utf-8", "replace"))
        assert done.returncode == 0, f"{' '.join(command)}:\n{said[-4000:]}"
        return said

    def _start(self) -> None:
        daemon = ["dockerd", "--data-root", str(CACHE / "data"), "--exec-root", "/run/dk"]
        daemon += ["--pidfile", "/run/dk.pid", "--host", self.environ["DOCKER_HOST"]]
        daemon += ["--default-ulimit", "nofile=16384:16384", "--cgroup-parent", f"/{self.group}"]
        apart = ["unshare", "-m", "-p", "-f", "-i", "--kill-child", "--mount-proc"]
        if self.is_online:
            daemon += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
            daemon += ["--ip-forward=false", "--ip-masq=false"]
        else:
            apart.append("-n")
        prepare = "mount -t tmpfs tmpfs /run && " + (
            "" if self.is_online else "ip link set lo up && "
        )
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *apart,
                 "sh", "-c", prepare + 'exec tini -- "$@"', "sh", *daemon],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                said = (self.folder / "log").read_text("utf-8", "replace").strip().splitlines()
                raise CannotRun(f"the engine does not start: {' / '.join(said[-3:])}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(command, env=self.environ, capture_output=True, check=False)
        return done.returncode == 0

    def _first(self) -> int:
        """Return the process id of the first process in the namespaces."""
        assert self._process is not None
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self._first(), signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # Its death is that of everything in the namespaces.
            process.kill()
            process.wait()
        self._sweep()

    def _sweep(self) -> None:
        """Remove what outlives processes: groups, socket, log."""
        for group in sorted(CGROUPS.glob(f"**/{self.group}/**/"), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


def build(image: str) -> None:
    """Build the checkout's Dockerfile under this name, the bases before it when they are not there."""
    with Engine(is_online=True) as engine:
        if not engine.docker("images", "--quiet", DEBIAN).strip():
            _import_debian(engine)
        if not engine.docker("images", "--quiet", GO).strip():
            _build_go(engine)
        # A stage without a name of its own would be swept away, and built anew each time.
        for stage in STAGES:
            words = ("--target", stage, "--tag", f"{image}-{stage}")
            engine.docker("build", "--network=host", *words, ".", seconds=BUILD_SECONDS)
        engine.docker("build", "--network=host", "--tag", image, ".", seconds=BUILD_SECONDS)
        engine.docker("image", "prune", "--force")


def _import_debian(engine: Engine) -> None:
    base = engine.folder / "base"
    mirror = _apt_mirror()
    command = ["debootstrap", "--variant=minbase", "bookworm", str(base), *mirror]
    subprocess.run(command, env=engine.environ, stdout=subprocess.DEVNULL, check=True)
    for each in map(Path, CERTIFICATES):
        place = base / each.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if each.is_dir():
            shutil.copytree(each, place, dirs_exist_ok=True)
        elif each.exists():
            shutil.copy(each, place)
    tar = subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE)
    engine.docker("import", "-", DEBIAN, stdin=tar.stdout, seconds=BUILD_SECONDS)
    assert tar.wait() == 0
    shutil.rmtree(base)


def _apt_mirror() -> list[str]:
    """Return the address that apt has Debian from; nothing where only debootstrap knows one."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Created-By: Packages"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split()[:1]


def _build_go(engine: Engine) -> None:
    """Make the base with Go of the Go that is here."""
    said = subprocess.run(["go", "env", "GOROOT"], env=engine.environ, capture_output=True, text=True, check=True)  # fmt: skip
    recipe = engine.folder / "Dockerfile"
    recipe.write_text(
        f"FROM {DEBIAN}\nCOPY . /usr/local/go\nENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=local\n"
    )
    engine.docker(
        "build", "--tag", GO, "--file", recipe, said.stdout.strip(), seconds=BUILD_SECONDS
    )
