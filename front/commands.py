# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's front door: which command leads to which room, and what runs together.

`serve` and `demo` supervise a province's three processes (`front.supervisor`), each started by this
file's own hidden commands. Checking and submitting need the base install only, so the rooms that
need more are imported by the commands that use them.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from anchor import checking, export, usage
from anchor import cli as business
from anchor.cli import COULD_NOT_TELL, console, errors, fail
from anchor.errors import AnchorError
from anchor.settings import load
from anchor.words import pick
from api import cli as operator
from front import cli as consortium
from front import demo as samples
from front.supervisor import running
from node import cli as node_cli
from node import governing
from node.errors import NodeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Moneo: truy xuất nguồn gốc ai cũng kiểm chứng được · traceability that anyone can check",
)
usage.set_headings()
node_cli.app.command("export-trust")(export.export_trust)
app.add_typer(node_cli.app, name="node")
app.add_typer(business.key_app, name="key")
app.add_typer(operator.app, name="org")
app.add_typer(business.batch_app, name="batch")
app.add_typer(business.evidence_app, name="evidence")
app.add_typer(business.trust_app, name="trust")
app.command("verify")(checking.verify)


def _seat(data: Path) -> governing.Seat:
    from front.seat import seat

    return seat(data)


def _rpc_of(data: Path) -> str:
    # Whoever keeps no data here asks the node at the usual place.
    nowhere = data == consortium.VAR and not (data / "version").exists()
    return governing.DEFAULT_RPC if nowhere else load(data).rpc_url


governing.add_to(node_cli.app, _seat, _rpc_of)


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
    from front.provinces import found_alone

    found_alone(consortium.new_settings(data, name, origin, api, rpc, public_url))
    console.print(
        pick(
            f"Đã lập {data}. Tiếp theo: moneo serve --data {data}",
            f"Founded {data}. Next: moneo serve --data {data}",
        )
    )


@app.command("serve")
def serve(data: operator.Data = Path("var")) -> None:
    """Chạy nút, neo và trang của một tỉnh · Run a province's node, anchor and web API."""
    settings = consortium.load_joined(data)
    with running(settings) as supervisor:
        console.print(pick(f"Đang chạy: {settings.public_url}", f"Serving: {settings.public_url}"))
        supervisor.stopping.wait()


@app.command("demo")
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="Thư mục dữ liệu · The data folder")
    ] = None,
    api: Annotated[str, typer.Option(help="HOST:PORT của trang · of the web API")] = "",
    rpc: Annotated[str, typer.Option(help="HOST:PORT của nút · of the node's JSON-RPC")] = "",
    validators: Annotated[
        int,
        typer.Option(
            min=1,
            max=len(samples.NAMES),
            help="Số tỉnh, mỗi tỉnh một nút kiểm chứng · How many provinces, each a validator",
        ),
    ] = 1,
    peer: Annotated[
        str,
        typer.Option(
            help="Nhiều tỉnh: HOST:PORT của CometBFT; {n} là số của tỉnh, cũng trong --api và --rpc · "
            "Many provinces: of CometBFT; {n} is a province's number, in --api and --rpc too"
        ),
    ] = "",
) -> None:
    """Dựng một hay nhiều tỉnh mẫu và gửi một nhật ký mẫu, một lần · Run one or more sample provinces and submit a sample diary, once."""
    if validators == 1:
        samples.run_one((data or Path("var")).resolve(), api, rpc)
    else:
        base = (data or Path(f"var-{validators}")).resolve()
        samples.run_many(base, validators, samples.Addresses.given(api, rpc, peer))


@app.command("found-demo", hidden=True)
def found_demo(
    base: Annotated[Path, typer.Argument(help="Thư mục chung · The folder of them all")],
    validators: Annotated[int, typer.Option(min=1, max=len(samples.NAMES))] = 4,
    folder: Annotated[str, typer.Option(help="Thư mục của từng tỉnh · Each one's folder")] = "{n}",
    api: str = "",
    rpc: str = "",
    peer: str = "",
    comet: Annotated[str, typer.Option(help="Nơi CometBFT nghe · Where CometBFT listens")] = "",
    public_url: str = "",
) -> None:
    """Found the sample provinces and run nothing; {n} in an option is a province's number."""
    addresses = samples.Addresses.given(api, rpc, peer, comet, public_url)
    samples.found_demo(base, samples.places(validators, addresses, folder))


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
            answer["validator_key"] = "new" if settings.peer else "kept"
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
        if settings.peer:
            console.print(
                pick(
                    "Nút có khóa kiểm chứng mới, lấy chuỗi từ các tỉnh khác và chưa ký: chạy moneo node propose change-key, chờ các thành viên biểu quyết.",
                    "The node has a new validator key, fetches the chain from the others and does not sign yet: run moneo node propose change-key, and wait for the members' votes.",
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
    except (AnchorError, NodeError) as error:
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
