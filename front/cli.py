# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands by which provinces found a consortium, join one and run their node: moneo node init … start; new-log.

Three steps, and no key travels: each province makes its keys and sends its card (`init`), one of them
puts the cards together (`found`), each checks the founding and confirms its hash (`join`).
Exit status: 0 done, 1 refused by the person or by another hash, 2 could not.
"""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.status import Status

from anchor.cli import NOT_PROVEN, AsJson, console, errors, fail, print_json
from anchor.durable import write_durably
from anchor.settings import Settings, load
from anchor.words import pick
from api.cli import Data
from node import cli as node_cli

if TYPE_CHECKING:
    from anchor.store import Store
    from front.newlog import Standing
    from node.card import Card
    from node.founding import Founding

CARD_SUFFIX = ".card.json"
FOUNDING_FILE = "founding.json"
VAR = Path("var")

File = Annotated[Path, typer.Argument(help="Tệp lập chuỗi · The founding file")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Tệp ghi ra · The file to write")
]


@node_cli.app.command("init")
def init(
    name: Annotated[
        str,
        typer.Argument(help="Tên tỉnh, nếu chưa có dữ liệu · The province's name, if it is new"),
    ] = "",
    origin: Annotated[
        str,
        typer.Argument(
            help="Tên nhật ký, như example.vn/camau/2026 · The log's name, if it is new"
        ),
    ] = "",
    *,
    peer: Annotated[
        str,
        typer.Option(
            "--peer",
            metavar="HOST:PORT",
            help="Nơi các tỉnh khác gọi tới nút này · Where the other provinces' nodes reach this one",
        ),
    ],
    data: Data = VAR,
    api: Annotated[
        str, typer.Option(help="HOST:PORT của trang · of the web API")
    ] = "127.0.0.1:8080",
    rpc: Annotated[
        str, typer.Option(help="HOST:PORT của JSON-RPC · of JSON-RPC")
    ] = "127.0.0.1:8545",
    public_url: Annotated[
        str,
        typer.Option(help="Địa chỉ công khai, in vào mã QR · Public address, printed in QR codes"),
    ] = "",
    founding: Annotated[
        Path | None,
        typer.Option(
            help="Vào một liên minh đã có: tệp lập chuỗi của nó · To ask for admission: its founding file"
        ),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Tạo khóa và phiếu thành viên để cùng lập, hoặc xin vào, một liên minh · Make keys and the card to found or join with.

    Tỉnh đã chạy thử một mình thì giữ khóa, nhật ký và cấu hình · A province with a pilot keeps keys, log and settings.
    """
    from anchor.epochs import newest_settings
    from front.provinces import init as make
    from front.provinces import public_pages

    if (data / "version").exists():
        settings = newest_settings(load(data))
        _check_same(settings, name, origin)
    elif not (name and origin):
        fail(pick(f"{data} chưa có dữ liệu: cần tên tỉnh và tên nhật ký.",
                  f"{data} is new: the province's name and its log's are needed."))  # fmt: skip
    else:
        settings = new_settings(data, name, origin, api, rpc, public_url)
    node_cli.parse_endpoint(peer)
    chain = _read(founding).genesis.evm_chain_id if founding else 0
    with errors.status(pick("Đang tạo khóa và phiếu…", "Making keys and card…")):
        card = make(settings, peer, chain, public_pages(settings, peer))
    file = output or Path(f"{_short(settings.origin)}{CARD_SUFFIX}")
    write_durably(file, card.raw)
    if as_json:
        return print_json({"card": str(file), "data": str(data), **_shown(card)})
    _say(pick(f"Bốn khóa ở trong {data} và không rời máy này.",
              f"The four keys are in {data} and do not leave this machine."))  # fmt: skip
    _say(
        pick("Gửi tệp này, trong đó không có bí mật:", "Send this file, there is no secret in it:")
    )
    _say(f"  {file.resolve()}")
    if not card.pages:
        _say(pick(f"Phiếu chưa ghi trang web nào: sửa hosts và public_url trong {data}/moneo.toml rồi chạy lại lệnh này,",
                  f"The card names no page: change hosts and public_url in {data}/moneo.toml and run this again,"))  # fmt: skip
        _say(pick("hoặc về sau: moneo node hosts", "or later: moneo node hosts"))
    _say(pick(f"Khi nhận được tệp lập chuỗi: moneo node join TỆP --data {data}",
              f"When the founding file comes back: moneo node join FILE --data {data}"))  # fmt: skip
    return None


@node_cli.app.command("found")
def found(
    cards: Annotated[list[Path], typer.Argument(help="Phiếu của mọi tỉnh · Every province's card")],
    name: Annotated[
        str,
        typer.Option(help="Tên chuỗi: a-z, 0-9, gạch nối · The chain's name: a-z, 0-9, hyphens"),
    ],
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Lễ lập: ghép phiếu của các tỉnh thành một tệp lập chuỗi · The ceremony: cards become one founding file."""
    from node.card import MAX_CARD_BYTES, file_bytes
    from node.founding import found as hold
    from node.light import timestamp

    file = output or Path(FOUNDING_FILE)
    if file.exists():
        # Two foundings under one name are two chains that think they are one.
        fail(pick(f"{file} đã có: chọn tệp khác bằng -o, hoặc cất nó đi.",
                  f"{file} exists: choose another with -o, or put it elsewhere."))  # fmt: skip
    given = [(path.name, file_bytes(path, MAX_CARD_BYTES)) for path in cards]
    with _checking():
        made = hold(name, given, timestamp(time.time_ns()))
    write_durably(file, made.raw)
    if as_json:
        return print_json({"founding": str(file), **_told(made)})
    _show(made)
    _say(pick("Đã ghi:", "Written:") + f" {file.resolve()}")
    _say(pick("Gửi tệp này cho mọi tỉnh, rồi đọc mã băm trên cho nhau qua điện thoại.",
              "Send this file to every province, and read the hash above to each other by telephone."))  # fmt: skip
    _say(pick("Mỗi tỉnh chạy: moneo node join TỆP", "Each province runs: moneo node join FILE"))
    return None


@node_cli.app.command("founding")
def today(data: Data = VAR, output: Output = None, as_json: AsJson = False) -> None:
    """Ghi tệp lập chuỗi với phiếu hôm nay, cho tỉnh vào sau · Write the founding file with today's cards, for who joins later."""
    from node.founding import founding_of

    made = founding_of(load(data).node_home)
    file = output or Path(FOUNDING_FILE)
    write_durably(file, made.raw)
    if as_json:
        return print_json({"founding": str(file), **_told(made)})
    _show(made)
    _say(pick("Đã ghi:", "Written:") + f" {file.resolve()}")
    return None


@node_cli.app.command("join")
def join(
    founding: File,
    data: Data = VAR,
    expect: Annotated[
        str,
        typer.Option(
            "--hash", help="Mã băm mà các tỉnh đã đọc cho nhau · The hash that was agreed on"
        ),
    ] = "",
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Nơi CometBFT nghe, nếu khác trong phiếu · Where CometBFT listens, if not as in the card",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Kiểm tệp lập chuỗi, xác nhận mã băm, và dùng chuỗi đó · Check the founding, confirm its hash, and take its chain.

    Chuỗi một nút đang có được cất vào DATA/pilot · A one-validator chain that is there is put aside as DATA/pilot.
    """
    from front.provinces import join as settle
    from front.provinces import own_card
    from node.founding import check_own

    settings = load(data)
    if listen:
        node_cli.parse_endpoint(listen)
    made, own = _read(founding), own_card(settings)
    check_own(made, own)
    if expect and _hex(expect) != _hex(made.hash):
        fail(pick(f"Mã băm của tệp này là {made.hash}: không khớp, chưa làm gì. Hãy hỏi nơi lập.",
                  f"This file's hash is {made.hash}: another one, nothing was done. Ask who founded."), NOT_PROVEN)  # fmt: skip
    if not as_json:
        _show(made)
    question = pick("Các tỉnh khác đọc cùng mã băm này?", "Do the others read the same hash?")
    if not expect and not typer.confirm(question, err=as_json):
        fail(pick("Chưa làm gì.", "Nothing was done."), NOT_PROVEN)
    settle(settings, made, listen)
    if as_json:
        return print_json({"data": str(data), "peer": load(data).peer, **_told(made)})
    _say(pick(f"{own.name} đã sẵn sàng. Chạy: moneo serve --data {data}",
              f"{own.name} is ready. Run: moneo serve --data {data}"))  # fmt: skip
    if own.evm_chain_id:
        _say(pick("Nút theo kịp chuỗi ngay, và ký khi các thành viên đã biểu quyết kết nạp.",
                  "The node follows the chain at once, and signs when the members have voted it in."))  # fmt: skip
    return None


@node_cli.app.command("new-log")
def new_log(
    origin: Annotated[
        str,
        typer.Argument(
            help="Tên nhật ký mới, như example.vn/camau/2027 · The new log's name, like example.vn/camau/2027"
        ),
    ],
    data: Data = VAR,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost", help="Khóa nhật ký cũ đã mất hẳn · The old log's key is gone for good"
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Không hỏi lại · Do not ask")] = False,
    seconds: Annotated[
        float, typer.Option("--wait", help="Đợi nhiều nhất, giây · How long to wait, seconds")
    ] = 300.0,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Đóng nhật ký, mở nhật ký mới với khóa mới, không gián đoạn · Close the log and go on in a new one with a new key.

    Khi khóa nhật ký bị mất hay bị lộ, hoặc tỉnh sáp nhập · When the log's key is lost or stolen, or provinces have merged.
    """
    from anchor.store import Store
    from front import newlog

    settings = load_joined(data)
    store = Store.open(settings.database_url)
    try:
        with errors.status(pick("Đang kiểm khóa và chuỗi…", "Checking keys and chain…")):
            newest = newlog.check(settings, store, origin, lost=lost)
        question = pick(f"Nhật ký {newest.origin} sẽ đóng, không mở lại được. Tiếp tục?",
                        f"The log {newest.origin} is closed for good. Go on?")  # fmt: skip
        is_asked = newest.origin != origin and not yes
        if is_asked and not typer.confirm(question, err=as_json):
            fail(pick("Chưa làm gì.", "Nothing was done."), NOT_PROVEN)
        newlog.change(settings, store, origin, lost=lost)
        standing = _await_log(settings, store, seconds, quiet=as_json)
        file = output or Path(f"{_short(origin)}{CARD_SUFFIX}")
        card = newlog.renew_card(settings, store, file) if standing.is_registered else None
        found = newlog.told(settings, store)
    finally:
        store.close()
    if as_json:
        print_json({**found, "done": standing.is_registered, "card": str(card) if card else None})
    else:
        _show_log(found, card)
    if not standing.is_registered:
        fail(pick(f"Chưa xong, không mất gì: để 'moneo serve --data {data}' chạy, rồi chạy lại lệnh này.",
                  f"Not done yet, nothing is lost: keep 'moneo serve --data {data}' running, and run this again."))  # fmt: skip


def _await_log(settings: Settings, store: "Store", seconds: float, *, quiet: bool) -> "Standing":
    from front import newlog

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, disable=quiet) as progress:
        task = progress.add_task(pick("Neo nốt nhật ký cũ", "Anchoring the rest of the old log"))

        def tell(standing: "Standing") -> None:
            progress.update(task, completed=standing.proven, total=standing.entries)
            if standing.proven >= standing.entries:
                words = pick("Ghi nhật ký mới lên chuỗi", "Registering the new log")
                progress.update(task, description=words)

        return newlog.await_done(settings, store, tell, seconds)


def _show_log(found: dict[str, Any], card: Path | None) -> None:
    _say(pick(f"Nhật ký mới: {found['origin']}. Nhật ký {found['closed']} đã đóng, vẫn ở nguyên và vẫn chứng minh được.",
              f"New log: {found['origin']}. The log {found['closed']} is closed, stays as it is, and is still proven."))  # fmt: skip
    if found["kept"]:
        _say(pick("Tỉnh giữ khóa, đã có khóa mới:", "Kept by the province, new keys made:"))
        _say("  " + ", ".join(found["kept"]))
    if found["to_renew"]:
        _say(pick("Tự giữ khóa: họ chạy lệnh sau trên máy của họ và gửi tệp .request; tỉnh chạy moneo org key",
                  "With keys of their own: each runs this on its machine and sends the .request file; you run moneo org key"))  # fmt: skip
    for each in found["to_renew"]:
        _say(f"  {each['organisation']}: moneo key new {each['issuer']}")
    if found["not_proven"]:
        _say(pick("Các lô này không chứng minh được nữa, phải gửi lại vào nhật ký mới:",
                  "These batches cannot be proven any more and have to be sent again, to the new log:"))  # fmt: skip
    for each in found["not_proven"]:
        _say(f"  {each['batch']} ({each['organisation']}, {each['records']})")
    if card:
        _say(pick(f"Gửi {card} cho các tỉnh; họ chạy: moneo node keep {card.name}",
                  f"Send {card} to the others, who run: moneo node keep {card.name}"))  # fmt: skip


@node_cli.app.command("start")
def start(
    data: Data = VAR,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", metavar="ID@HOST:PORT", help="Thêm nút khác · One more node to call"
        ),
    ] = None,
) -> None:
    """Chỉ chạy nút, không neo và trang · Run the node only, without anchor and pages."""
    settings = load_joined(data)
    node_cli.run(settings.node_home, settings.rpc, settings.peer or None, peer)


def load_joined(data: Path) -> Settings:
    """Return the settings of a province that has a chain, its own or a consortium's; else say what to do."""
    settings = load(data)
    if not (settings.node_home / "genesis.json").exists():
        fail(pick(f"{data} chưa có chuỗi: đợi tệp lập chuỗi, rồi chạy moneo node join TỆP --data {data}",
                  f"{data} has no chain yet: when the founding file comes, run moneo node join FILE --data {data}"))  # fmt: skip
    return settings


def new_settings(
    data: Path, name: str, origin: str, api: str, rpc: str, public_url: str
) -> Settings:
    """Return the settings of a province that is founded here."""
    url = public_url or f"http://{api}"
    host = url.partition("//")[2].partition("/")[0]
    return Settings(data, name, origin, hosts=(host,), rpc=rpc, listen=api, public_url=url)


def _check_same(settings: Settings, name: str, origin: str) -> None:
    for given, has in ((name, settings.name), (origin, settings.origin)):
        if given and given != has:
            fail(pick(f"{settings.data} đã là của {has}: bỏ {given!r}, hoặc chọn --data khác.",
                      f"{settings.data} is of {has}: leave out {given!r}, or choose another --data."))  # fmt: skip


def _read(path: Path) -> "Founding":
    from node.card import file_bytes
    from node.founding import MAX_FOUNDING_BYTES, parse_founding

    data = file_bytes(path, MAX_FOUNDING_BYTES)
    with _checking():
        return parse_founding(data)


def _checking() -> Status:
    return errors.status(pick("Đang kiểm các phiếu…", "Checking the cards…"))


def _show(made: "Founding") -> None:
    ids = made.genesis
    _say(pick("Chuỗi", "Chain") + f": {ids.cometbft_chain_id} (EVM {ids.evm_chain_id})")
    _say(pick("Thành viên", "Members") + f": {len(made.cards)}")
    for number, card in enumerate(made.cards, 1):
        _say(f"{number:>3}. {card.name}")
        pages = ", ".join(card.pages) or "–"
        _say(pick(f"     nhật ký {card.log}, trang {pages}, nút {card.peer}",
                  f"     log {card.log}, pages {pages}, node {card.peer}"))  # fmt: skip
        _say(pick("     tài khoản", "     account") + f" 0x{card.member.account.hex()}")
    _say(pick("Mã băm của lần lập này:", "Hash of this founding:"))
    for half in (made.hash[:39], made.hash[40:]):
        console.print(f"  {half}", style="bold", soft_wrap=True)


def _told(made: "Founding") -> dict[str, Any]:
    return {
        "hash": made.hash,
        "cometbft_chain_id": made.genesis.cometbft_chain_id,
        "evm_chain_id": made.genesis.evm_chain_id,
        "members": [_shown(card) for card in made.cards],
    }


def _shown(card: "Card") -> dict[str, Any]:
    return {
        "name": card.name,
        "account": f"0x{card.member.account.hex()}",
        "node_id": card.member.node_id.hex(),
        "log": card.log,
        "pages": list(card.pages),
        "peer": card.peer,
    }


def _hex(text: str) -> str:
    return re.sub(r"\s", "", text).lower()


def _short(origin: str) -> str:
    """A file name of an origin: example.vn/camau/2026 becomes camau-2026."""
    return origin.partition("/")[2].replace("/", "-")


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
