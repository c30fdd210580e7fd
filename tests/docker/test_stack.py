# SPDX-License-Identifier: GPL-3.0-or-later
"""`docker compose up` brings four provinces up; one killed or paused stops nobody, and comes back to the same state.

Only with `--docker`, since it builds an image: minutes the first time, then seconds. The engine is a
real one (tests.support.engine); what it found is written in docs/docker.md.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.founding import parse_founding
from tests.support.engine import CannotRun, Engine, alone, build, check_programs
from tests.support.province import MONEO, ROOT, json_of, wait_until
from tests.support.tools import missing

COMMAND = "`./scripts/test tests/docker --docker`"
TITLE = "Last run"
PROVINCES = ("province1", "province2", "province3", "province4")
FIRST, SECOND, THIRD, FOURTH = PROVINCES
URLS = {name: f"http://127.0.0.1:808{number}" for number, name in enumerate(PROVINCES, start=1)}
COOPERATIVE = "HTX Cua Năm Căn"
GTIN = "/01/09520001000010"
DIARY = "Giai đoạn;Thời gian;Sản phẩm;GTIN;Lô;Số lượng;Đơn vị\nThả giống;{};Cua giống;09520001000010;{};1550;con\n"
HEALTHY, HEALTHY_SECONDS = "running healthy", 600.0
# Whom the image runs as.
USER = 10001
# What a node's CometBFT says of itself: the newest height, and the state after it as this node computed it.
STATE = """
import json
from pathlib import Path
from node.abci.client import Client
from node.abci.home import FOLDER, RPC_SOCKET
told = Client(Path("/srv/moneo/var/node", FOLDER, RPC_SOCKET)).ask("status")["sync_info"]
print(json.dumps([told["latest_block_height"], told["latest_app_hash"]]))
"""


@dataclass
class Stack:
    """The running provinces, a business at the first of them, and what was measured."""

    engine: Engine
    home: Path
    token: str = ""
    rows: dict[str, object] = field(default_factory=dict)

    def measured(self, what: str, do: Callable[[], object]) -> None:
        """Do it and keep the seconds it took."""
        began = time.monotonic()
        do()
        self.rows[what] = f"{time.monotonic() - began:.1f} s"

    def moneo_in(self, province: str, *words: str, given: Path | None = None) -> Any:
        """Run a command in a province's container, with a file as its standard input; return its JSON."""
        command = ["exec", "--interactive", f"moneo_{province}_1", "moneo", *words, "--json"]
        if given is None:
            return json_of(self.engine.docker(*command))
        with given.open("rb") as file:
            return json_of(self.engine.docker(*command, stdin=file))

    def moneo_here(self, *words: str | Path, status: int | None = 0) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a business's or a stranger's command on this machine, where the pages are published."""
        return self._run(self.engine.inside(*MONEO, *words), status)

    def moneo_offline(self, *words: str | Path) -> str:
        """Run a command that reaches nobody."""
        return self._run(["unshare", "--net", *MONEO, *map(str, words)], 0).stdout

    def _run(self, command: list[str], status: int | None) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "MONEO_HOME": str(self.home), "MONEO_LANG": "en"}
        environ |= {"MONEO_TOKEN": self.token, "COLUMNS": "200"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def bring_up(self) -> None:
        """Found and start the provinces of docker-compose.yml, and wait for their health."""
        self.engine.compose("up", "--detach", "--no-build")
        self.await_health(*PROVINCES)

    def health(self, container: str) -> str:
        """Return what the engine says of a container: starting, healthy, unhealthy."""
        form = "{{.State.Status}} {{.State.Health.Status}}"
        return self.engine.docker("inspect", "--format", form, container).strip()

    def await_health(self, *provinces: str) -> None:
        """Wait until the containers' own health checks are content."""
        wait_until(
            f"{', '.join(provinces)} healthy",
            lambda: all(self.health(f"moneo_{name}_1") == HEALTHY for name in provinces),
            HEALTHY_SECONDS,
        )

    def state(self, province: str) -> tuple[str, str]:
        """Return height and app hash of a province's node."""
        container = f"moneo_{province}_1"
        python = ("exec", "--workdir", "/opt/moneo", container, ".venv/bin/python", "-c", STATE)
        height, app_hash = json.loads(self.engine.docker(*python))
        return height, app_hash

    def open_account(self) -> None:
        """Register a business at the first province, as README.md tells it; its key stays here."""
        named = self.moneo_in(FIRST, "org", "add", COOPERATIVE, "--prefix", "/01/09520001")
        key = json_of(self.moneo_here("key", "new", named["issuer"], "--json").stdout)
        self.moneo_in(FIRST, "org", "key", COOPERATIVE, "/dev/stdin", given=Path(key["request"]))
        self.token = self.moneo_in(FIRST, "org", "token", COOPERATIVE)["token"]

    def submit_and_verify(self, lot: str) -> None:
        """Submit a record at the first province; its evidence, once there, is proven without any network."""
        diary, evidence = self.home / f"{lot}.csv", self.home / f"{lot}.json"
        moment = time.strftime("%d/%m/%Y %H:%M", time.gmtime(time.time() - 86_400))
        diary.write_text(DIARY.format(moment, lot))
        self.moneo_here("batch", "submit", diary, "--to", URLS[FIRST], "--practice")
        code = f"{GTIN}/10/{lot}"
        get = ("evidence", "get", code, "--from", URLS[FIRST], "-o", evidence)
        wait_until(f"evidence of {lot}", lambda: self.moneo_here(*get, status=None).returncode == 0)
        (verdict,) = json_of(self.moneo_offline("verify", evidence, "--code", code, "--json"))
        (record,) = verdict["records"]
        assert (record["custody"], record["fields"]["bizStep"]) == ("holder", "commissioning")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    try:
        check_programs()
    except CannotRun as reason:
        raise missing(str(reason)) from reason
    with ExitStack() as running:
        running.enter_context(alone())
        began = time.monotonic()
        try:
            build("moneo")
            built = f"{time.monotonic() - began:.0f} s"
            engine = running.enter_context(Engine(is_online=False))
        except CannotRun as reason:
            # A machine may refuse namespaces within namespaces, CI's too: nothing can be installed against that.
            pytest.skip(str(reason))
        rows: dict[str, object] = {"command": COMMAND, "image built": built}
        yield Stack(engine, tmp_path_factory.mktemp("home"), rows=rows)


@pytest.mark.docker
def test_one_of_four_provinces_may_be_killed_or_paused(stack: Stack) -> None:
    engine = stack.engine
    stack.measured("founded, started, all healthy", stack.bring_up)
    stack.open_account()
    # What is proven at one province is proven by another's word on who the members are.
    stack.moneo_here("trust", "add", f"{URLS[THIRD]}/v1/trust", "--yes")
    stack.measured("a record submitted, its evidence proven offline", lambda: stack.submit_and_verify("KHOE"))  # fmt: skip

    engine.compose("kill", FOURTH)
    stack.measured("the same with one province killed", lambda: stack.submit_and_verify("CHET"))
    # Once more the founding, too, which has nothing to do.
    stack.measured("the killed one up again and healthy", stack.bring_up)

    engine.compose("pause", SECOND)
    stack.measured("a record with one province paused", lambda: stack.submit_and_verify("NGHI"))
    engine.compose("unpause", SECOND)

    def agree() -> bool:
        return len({stack.state(name) for name in PROVINCES}) == 1

    stack.measured("then all four at one height with one app hash", lambda: wait_until("one app hash", agree))  # fmt: skip
    stack.await_health(*PROVINCES)
    stack.rows["memory of a container"] = memory(engine)
    stack.measured("stopped", lambda: engine.compose("stop", seconds=120))
    # 143 would be a process that did not end what it was doing.
    exits = {name: engine.docker("inspect", "--format", "{{.State.ExitCode}}", f"moneo_{name}_1").strip() for name in PROVINCES}  # fmt: skip
    assert set(exits.values()) == {"0"}, exits
    write_result(stack.rows)


@pytest.mark.docker
def test_an_office_runs_a_pilot_backs_it_up_and_joins_others(stack: Stack, tmp_path: Path) -> None:
    """The commands of docs/docker.md, in its order; nobody else has come to the founding."""
    engine, backup = stack.engine, tmp_path / "backup"
    backup.mkdir()
    os.chown(backup, USER, USER)
    office = ("--project-name=office", f"--project-directory={tmp_path}", f"--file={ROOT / 'docs/province.yml'}")  # fmt: skip
    run = (*office, "run", "--rm", "-T")
    place = ("--api", "0.0.0.0:8080", "--public-url", "https://camau.example")

    def serve() -> None:
        engine.compose(*office, "up", "--detach")
        wait_until("healthy", lambda: stack.health("office_province_1") == HEALTHY, HEALTHY_SECONDS)

    def taken(name: str) -> None:
        said = engine.compose(*run, "--entrypoint", "cat", "province", name)
        (tmp_path / "in" / name).write_text(said[said.index("{") :])

    engine.compose(*run, "province", "init", "Cà Mau", "camau.example/camau/2026", *place)
    stack.measured("an office's pilot started and healthy", serve)
    engine.compose(*run, "-v", f"{backup}:/backup", "province", "backup", "/backup/1")
    engine.compose(*run, "-v", f"{backup}:/backup", "province", "doctor", "--data", "/backup/1")
    engine.compose(*office, "stop", seconds=120)
    engine.compose(*run, "province", "node", "init", "--peer", "camau.example:26656", "-o", "camau.card.json")  # fmt: skip
    taken("camau.card.json")
    engine.compose(*run, "province", "node", "found", "/in/camau.card.json", "--name", "lien-minh", "-o", "founding.json")  # fmt: skip
    taken("founding.json")
    founded = parse_founding((tmp_path / "in" / "founding.json").read_bytes())
    engine.compose(*run, "province", "node", "join", "/in/founding.json", "--hash", founded.hash)
    serve()
    engine.compose(*office, "down", "--volumes", seconds=120)
    write_result(stack.rows)


def memory(engine: Engine) -> str:
    said = engine.docker("stats", "--no-stream", "--format", "{{.MemUsage}}")
    return ", ".join(sorted({line.partition(" / ")[0] for line in said.split("\n") if line}))


def write_result(rows: dict[str, object]) -> None:
    """Put the table under its heading at the end of docs/docker.md."""
    path = ROOT / "docs" / "docker.md"
    today, load = time.strftime("%Y-%m-%d", time.gmtime()), os.getloadavg()[2]
    rows = rows | {"date": today, "machine": f"{os.cpu_count()} cores, load {load:.0f}"}
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    kept = path.read_text().partition(f"\n## {TITLE}\n")[0]
    path.write_text(f"{kept}\n## {TITLE}\n\n| | |\n|---|---|\n{table}")
