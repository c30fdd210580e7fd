# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's front door: which command leads to which room, and what runs together.

`serve` and `demo` supervise a province's three processes (node, anchor, API), each started by this
file's own hidden commands. Checking and submitting need the base install only, so the rooms that
need more are imported by the commands that use them.
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
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO, Annotated

import typer
from typer.exceptions import TyperException

from anchor import cli as business
from anchor import usage
from anchor.cli import COULD_NOT_TELL, console, errors, fail
from anchor.errors import AnchorError
from anchor.settings import Settings, load
from anchor.words import pick
from api import cli as operator
from node import cli as node_cli

BACKOFF_SECONDS = (1, 2, 4, 8, 16, 30)
HEALTHY_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 20
# Children end with us even when we are killed, so that the next start finds its ports and locks free.
TIED = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
DEMO_ORIGIN = "moneo.example/camau/2026"
DEMO_NAME = "Cà Mau (bản thử · demonstration)"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Moneo: truy xuất nguồn gốc ai cũng kiểm chứng được · traceability that anyone can check",
)
usage.set_headings()
app.add_typer(node_cli.app, name="node")
app.add_typer(business.key_app, name="key")
app.add_typer(operator.app, name="org")
app.add_typer(business.batch_app, name="batch")
app.add_typer(business.evidence_app, name="evidence")
app.add_typer(business.trust_app, name="trust")
app.command("verify")(business.verify)


# Supervising


@dataclass
class Child:
    """One supervised process: how it is started, and what is known of it."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[str] | None" = None
    started: float = 0.0
    deaths: int = 0
    restart_at: float = 0.0


@dataclass
class Supervisor:
    """Starts processes in order, says and restarts what dies, and stops all of them in reverse."""

    children: list[Child]
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, name: str) -> None:
        """Start the child of that name; its output goes on as ours, each line under its name."""
        child = next(c for c in self.children if c.name == name)
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
        threading.Thread(target=_relay, args=(name, child.process.stdout), daemon=True).start()

    def watch(self) -> None:
        """Keep the children running until `stopping` is set."""
        while not self.stopping.wait(0.2):
            for child in self.children:
                self._revive(child)

    def _revive(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at:
                self.start(child.name)
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

    def stop(self) -> None:
        """Ask every child to end, the last started first; kill one that does not within 20 s."""
        self.stopping.set()
        for child in reversed(self.children):
            if child.process is None or child.process.poll() is not None:
                continue
            child.process.terminate()
            try:
                child.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                errors.print(
                    pick(
                        f"{child.name} không chịu dừng: buộc dừng.",
                        f"{child.name} does not stop: killed.",
                    )
                )
                child.process.kill()
                child.process.wait()


def _relay(name: str, lines: IO[str]) -> None:
    for line in lines:
        console.print(f"{name:>6} │ {line.rstrip()}", markup=False, soft_wrap=True, style="dim")


def _ending(status: int) -> str:
    return f"exit {status}" if status >= 0 else signal.Signals(-status).name


def _supervisor(settings: Settings) -> Supervisor:
    me = [sys.executable, str(Path(__file__).resolve())]
    data = ["--data", str(settings.data)]
    node = ["node", "run", "--home", str(settings.node_home), "--rpc", settings.rpc]
    return Supervisor(
        [
            Child("node", [*me, *node]),
            Child("anchor", [*me, "run-anchor", *data]),
            Child("api", [*me, "run-api", *data]),
        ]
    )


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[Supervisor]:
    """Run a province's processes for the body of a `with`, whatever ends it."""
    file = settings.data / "moneo.toml"
    _check_ports((settings.rpc, settings.listen), f"trong {file}", f"in {file}")
    supervisor = _supervisor(settings)

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    watcher = threading.Thread(target=supervisor.watch, daemon=True)
    try:
        supervisor.start("node")
        _await(supervisor, _starting("node"), lambda: _answers(settings.rpc_url))
        supervisor.start("anchor")
        supervisor.start("api")
        health = f"http://{settings.listen}/healthz"
        _await(supervisor, _starting("api"), lambda: _answers(health))
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


def _starting(child: str) -> str:
    return pick(f"Khởi động {child}", f"Starting {child}")


class Stopped(Exception):  # noqa: N818  it is a wish, not an error
    """The person asked to stop while something was being waited for."""


def _await(
    supervisor: Supervisor, what: str, ready: Callable[[], bool], seconds: float = START_SECONDS
) -> None:
    """Wait, visibly, until `ready`; a child that ends meanwhile is restarted by the watcher, or fatal before."""
    until = time.monotonic() + seconds
    with console.status(f"{what}…"):
        while not ready():
            if supervisor.stopping.wait(0.1):
                raise Stopped
            dead = [
                c.name for c in supervisor.children if c.process and c.process.poll() is not None
            ]
            if time.monotonic() > until or (dead and supervisor.children[-1].process is None):
                fail(pick(f"{what}: không xong ({', '.join(dead) or 'quá lâu'}); xem các dòng trên.",
                          f"{what}: failed ({', '.join(dead) or 'too slow'}); its own words stand above."))  # fmt: skip


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own loopback address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _check_ports(addresses: Sequence[str], vi: str, en: str) -> None:
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


# Founding and serving

Api = Annotated[str, typer.Option("--api", help="HOST:PORT của trang · of the web API")]
Rpc = Annotated[str, typer.Option("--rpc", help="HOST:PORT của nút · of the node's JSON-RPC")]


@app.command("init")
def init(
    name: Annotated[str, typer.Argument(help="Tên tỉnh · The province's name")],
    origin: Annotated[
        str,
        typer.Argument(
            help="Tên nhật ký, bền hơn máy chủ: …/camau/2026 · The log's name, outliving hosts"
        ),
    ],
    data: operator.Data = Path("var"),
    api: Api = "127.0.0.1:8080",
    rpc: Rpc = "127.0.0.1:8545",
    public_url: Annotated[
        str,
        typer.Option(help="Địa chỉ công khai, in vào mã QR · Public address, printed in QR codes"),
    ] = "",
) -> None:
    """Lập tỉnh một nút: khóa, chuỗi, cấu hình · Found a one-validator province: keys, chain, settings."""
    url = public_url or f"http://{api}"
    host = url.partition("//")[2].partition("/")[0]
    _found(Settings(data, name, origin, hosts=(host,), rpc=rpc, listen=api, public_url=url))
    console.print(
        pick(
            f"Đã lập {data}. Tiếp theo: moneo serve --data {data}",
            f"Founded {data}. Next: moneo serve --data {data}",
        )
    )


def _found(settings: Settings) -> None:
    """Make a data folder whole or not at all: founded beside its place, then moved there."""
    from anchor.province import found
    from node.genesis import found as found_chain
    from node.light import Timestamp

    data = settings.data
    if data.exists() and any(data.iterdir()):
        fail(pick(f"{data} không trống và không phải thư mục dữ liệu của Moneo: chọn --data khác.",
                  f"{data} is not empty and no data folder of Moneo: choose another with --data."))  # fmt: skip
    beside = data.with_name(f"{data.name}.founding")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        member = found(replace(settings, data=beside))
        now = time.time_ns()
        found_chain(beside / "node", "moneo", [member], Timestamp(now // 10**9, now % 10**9))
        beside.replace(data)
    except OSError as error:
        fail(
            pick(
                f"Không tạo được {data}: {error.strerror}",
                f"{data} cannot be made: {error.strerror}",
            )
        )


@app.command("serve")
def serve(data: operator.Data = Path("var")) -> None:
    """Chạy nút, neo và trang của một tỉnh · Run a province's node, anchor and web API."""
    settings = load(data)
    with _running(settings) as supervisor:
        console.print(pick(f"Đang chạy: {settings.public_url}", f"Serving: {settings.public_url}"))
        supervisor.stopping.wait()


@app.command("demo")
def demo(data: operator.Data = Path("var"), api: Api = "", rpc: Rpc = "") -> None:
    """Dựng một tỉnh mẫu và gửi một nhật ký mẫu, một lần · Run a sample province and submit a sample diary, once."""
    from api import demo as sample

    data = data.resolve()
    if not (data / "version").exists():
        _found_demo(data, api or "127.0.0.1:8080", rpc or "127.0.0.1:8545")
    settings = load(data)
    for name, wanted, has in (("--api", api, settings.listen), ("--rpc", rpc, settings.rpc)):
        if wanted and wanted != has:
            fail(pick(f"{data} được lập với {has}: sửa moneo.toml trong đó thay cho {name}.",
                      f"{data} was founded with {has}: change moneo.toml in it instead of {name}."))  # fmt: skip
    with _running(settings) as supervisor:
        _await(
            supervisor,
            pick("Chờ chuỗi và nhật ký", "Waiting for chain and log"),
            settings.trust_path.exists,
        )
        sample.submit_once(settings, wait=lambda what, ready: _await(supervisor, what, ready))
        sample.show(settings)
        supervisor.stopping.wait()


def _found_demo(data: Path, listen: str, rpc: str) -> None:
    _check_ports((rpc, listen), "bằng --api/--rpc HOST:PORT", "with --api/--rpc HOST:PORT")
    url = f"http://{listen}"
    settings = Settings(
        data, DEMO_NAME, DEMO_ORIGIN, hosts=(listen,), rpc=rpc, listen=listen, public_url=url
    )
    with console.status(pick("Lập tỉnh một nút…", "Founding a one-validator province…")):
        _found(settings)


@app.command("run-anchor", hidden=True)
def run_anchor(data: operator.Data) -> None:
    """Run the anchor process: the only writer of the log."""
    from anchor.run import run

    run(data)


@app.command("run-api", hidden=True)
def run_api(data: operator.Data) -> None:
    """Run the API process."""
    from api.run import run

    raise typer.Exit(run(data))


# Looking after what is stored

MARKS = {"good": "✓", "damaged": "✗", "unknown": "?"}


@app.command("doctor")
def doctor(data: operator.Data = Path("var"), as_json: business.AsJson = False) -> None:
    """Kiểm mọi thứ đã lưu, không sửa gì; chạy được cả khi tỉnh đang chạy · Check all that is stored, change nothing; also while serving.

    0: tốt · all good, 1: hỏng · damage found, 2: chưa biết · could not tell.
    """
    from anchor import doctor as anchor_doctor
    from node import doctor as node_doctor

    settings = load(data)
    found: list[anchor_doctor.Finding | node_doctor.Finding] = []

    def say(finding: "anchor_doctor.Finding | node_doctor.Finding") -> None:
        found.append(finding)
        if not as_json:
            line = f"{MARKS[finding.state]} {finding.what}: {finding.vi} · {finding.en}"
            console.print(line, markup=False, soft_wrap=True)

    with errors.status("…") as status:

        def progress(done: int, total: int) -> None:
            status.update(f"{done:,} / {total:,}" if total else f"{done:,}")

        blocks: list[bytes] = []
        for finding in anchor_doctor.check(settings, blocks, progress):
            say(finding)
        # The chain comes last: it only grows, and so has all that the database knows of.
        node = node_doctor.check(settings.node_home, progress)
        for one in node.findings:
            say(one)
        if node.hashes:
            say(anchor_doctor.compare(blocks, node.hashes))
    if as_json:
        business.print_json([one._asdict() for one in found])
    states = {one.state for one in found}
    raise typer.Exit(1 if "damaged" in states else COULD_NOT_TELL if "unknown" in states else 0)


@app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="Thư mục mới · A new folder")],
    data: operator.Data = Path("var"),
    as_json: business.AsJson = False,
) -> None:
    """Sao lưu cả tỉnh, kể cả khóa, khi đang chạy · Back up a whole province, keys too, while it serves."""
    from anchor.backup import backup as copy_province
    from node.backup import copy_home

    with errors.status(pick("Đang sao lưu…", "Backing up…")), _node_errors():
        copy_province(load(data), target, copy_home)
    if as_json:
        business.print_json({"backup": str(target)})
        return
    console.print(
        pick(
            f"Đã sao lưu vào {target}. Trong đó có khóa bí mật: cất kỹ. Kiểm tra: moneo doctor --data {target}",
            f"Backed up to {target}. It holds secret keys: keep it safe. Check it: moneo doctor --data {target}",
        ),
        soft_wrap=True,
    )


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="Bản sao lưu · The backup")],
    data: operator.Data = Path("var"),
    newest: Annotated[
        Path | None,
        typer.Option(
            help="Tệp bằng chứng mới nhất mà người khác giữ · The newest evidence file anyone holds"
        ),
    ] = None,
    as_json: business.AsJson = False,
) -> None:
    """Khôi phục; chỉ ký tiếp sau khi đối chiếu --newest · Restore; nothing is signed before --newest is compared."""
    from anchor import backup as province
    from node import backup as node

    if not (data / "version").exists():
        province.restore(source, data, node.mark_restored)
    settings = load(data)
    answer: dict[str, object] = {"data": str(data), "signs": newest is not None}
    if newest is not None:
        file = newest.read_bytes()
        with _node_errors():
            answer["height"] = node.confirm(settings.node_home, province.newest_light_block(file))
        compared = province.check_log(settings, file)
        answer |= {"entries": compared.size, "renewed": list(compared.renewed)}
    if as_json:
        business.print_json(answer)
    elif newest is None:
        console.print(
            pick(
                f"Đã khôi phục {data}. Chưa ký gì: chạy lại với --newest và tệp bằng chứng mới nhất mà người khác giữ.",
                f"Restored {data}. It signs nothing yet: run this again with --newest and the newest evidence file that anyone holds.",
            ),
            soft_wrap=True,
        )
    else:
        console.print(
            pick(
                f"Khớp: chuỗi đến độ cao {answer['height']}, nhật ký {answer['entries']} mục. Tiếp: moneo serve --data {data}",
                f"They agree: the chain is at height {answer['height']}, the log has {answer['entries']} entries. Next: moneo serve --data {data}",
            ),
            soft_wrap=True,
        )
        if renewed := compared.renewed:
            console.print(
                pick(
                    f"Đã thay {len(renewed)} khóa giữ hộ bằng khóa mới; khóa cũ không ký nữa, bằng chứng cũ vẫn đúng:",
                    f"{len(renewed)} keys kept for businesses were replaced; the old ones sign no more, old evidence stays proven:",
                ),
                ", ".join(renewed),
                soft_wrap=True,
            )


@contextlib.contextmanager
def _node_errors() -> Iterator[None]:
    """Say what a node's folder lacks in one sentence, as for all other refusals."""
    from node.errors import NodeError

    try:
        yield
    except NodeError as error:
        fail(str(error))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a refusal of ours is one sentence, not a traceback."""
    try:
        arguments = None if argv is None else list(argv)
        result = app(args=arguments, prog_name="moneo", standalone_mode=False)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except typer.Abort:
        return COULD_NOT_TELL
    except AnchorError as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return COULD_NOT_TELL
    except OSError as error:
        # A disk, a permission, a missing file: its name and the system's own word for it.
        errors.print(
            f"{error.filename or 'moneo'}: {error.strerror or error}", style="red", markup=False
        )
        return COULD_NOT_TELL
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] in (
            "node",
            "contracts",
            "anchor",
            "api",
        ):
            raise
        errors.print(
            pick(
                f"Lệnh này cần thêm gói '{error.name}': pip install 'moneo[node,anchor,api]'",
                f"This command needs the package '{error.name}': pip install 'moneo[node,anchor,api]'",
            ),
            style="red",
            markup=False,
        )
        return COULD_NOT_TELL
    except TyperException as error:
        errors.print(usage.describe(error), markup=False, soft_wrap=True)
        return COULD_NOT_TELL
    return int(result or 0)


if __name__ == "__main__":
    sys.exit(main())
