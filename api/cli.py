# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's commands for the organisations of a province: org add, key, custody, token, revoke, list."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anchor.cli import COULD_NOT_TELL, NOT_PROVEN, AsJson, console, fail, print_json
from anchor.errors import AnchorError
from anchor.keys import open_request
from anchor.words import pick

if TYPE_CHECKING:
    from anchor.province import Issuer, Province
    from api.organisations import Organisation, Organisations

REGISTRATION_SECONDS = 60

Data = Annotated[
    Path, typer.Option("--data", envvar="MONEO_DATA", help="Thư mục dữ liệu · The data folder")
]
Name = Annotated[str, typer.Argument(help="Tên hoặc mã tổ chức · Its name or issuer name")]

app = typer.Typer(no_args_is_help=True, help="Doanh nghiệp của tỉnh · The province's organisations")


@contextmanager
def opened(data: Path) -> "Iterator[tuple[Province, Organisations]]":
    """Open a data folder's province and organisations; every refusal becomes one sentence."""
    from anchor.province import Province
    from anchor.settings import load
    from api.organisations import OrganisationError, Organisations

    try:
        province = Province.open(load(data))
        try:
            yield province, Organisations(province.store.engine, province.origin)
        finally:
            province.close()
    except (AnchorError, OrganisationError) as error:
        fail(str(error))


@app.command("add")
def org_add(
    name: Annotated[str, typer.Argument(help="Tên tổ chức · The organisation's name")],
    prefix: Annotated[
        list[str] | None,
        typer.Option(help="Đầu mã mà tổ chức sở hữu, như /01/0952123 · A code prefix it owns"),
    ] = None,
    private: Annotated[
        list[str] | None,
        typer.Option(help="Trường không công khai · A field never shown to the public"),
    ] = None,
    data: Data = Path("var"),
    as_json: AsJson = False,
) -> None:
    """Thêm một tổ chức và cấp tên cho khóa của họ · Add an organisation and give its key a name."""
    with opened(data) as (_, organisations):
        issuer = organisations.add_organisation(name, prefix or (), private or ())
    if as_json:
        return print_json({"organisation": name, "issuer": issuer})
    console.print(
        pick("Tên cấp cho tổ chức:", "The organisation's issuer name:"), issuer, soft_wrap=True
    )
    console.print(
        pick("Họ chạy trên máy của họ:", "They run on their own machine:"),
        f"moneo key new {issuer}",
        soft_wrap=True,
    )
    return None


@app.command("key")
def org_key(
    name: Name,
    request: Annotated[Path, typer.Argument(help="Tệp .request của họ · Their .request file")],
    data: Data = Path("var"),
    as_json: AsJson = False,
) -> None:
    """Ghi khóa của tổ chức lên chuỗi (nút phải đang chạy) · Register its key on the chain (while serving)."""
    with opened(data) as (province, organisations):
        organisation = organisations.by_name(name)
        register_key(province, organisation, request.read_bytes())
    if as_json:
        return print_json(
            {
                "organisation": organisation.name,
                "issuer": organisation.issuer,
                "state": "registered",
            }
        )
    console.print(
        pick("Khóa đã ghi trên chuỗi:", "The key is registered on the chain:"),
        organisation.issuer,
        soft_wrap=True,
    )
    return None


def register_key(province: "Province", organisation: "Organisation", request: bytes) -> None:
    """Hand a business's key request to the anchor process and wait until it is on the chain."""
    # Looked at before it is handed over: what the anchor process is given, it registers for good.
    if open_request(request)[0] != organisation.issuer:
        fail(
            pick("Yêu cầu khóa này của tổ chức khác", "This key request is another organisation's"),
            NOT_PROVEN,
        )
    issuer = province.add_issuer(
        organisation.id, request, "holder", list(organisation.prefixes), organisation.name
    )
    _await_chain(province, issuer)


def _await_chain(province: "Province", issuer: "Issuer") -> None:
    """Wait until a key is on the chain; says what to do if it takes too long."""
    until = time.monotonic() + REGISTRATION_SECONDS
    with console.status(
        pick("Chờ ghi khóa lên chuỗi…", "Waiting for the chain to register the key…")
    ):
        while time.monotonic() < until:
            known = province.issuers(issuer.organisation)
            if any(k.id == issuer.id and k.state == "registered" for k in known):
                return
            time.sleep(0.2)
    fail(
        pick(
            "Khóa đã được lưu nhưng chưa lên chuỗi: hãy chạy 'moneo serve'; tiến trình neo sẽ ghi nó.",
            "The key is stored but not on the chain yet: run 'moneo serve', its anchor registers it.",
        ),
        COULD_NOT_TELL,
    )


@app.command("custody")
def org_custody(name: Name, data: Data = Path("var"), as_json: AsJson = False) -> None:
    """Giữ hộ tổ chức một khóa và ghi lên chuỗi · Keep a key for it and register it (while serving)."""
    with opened(data) as (province, organisations):
        organisation = organisations.by_name(name)
        issuer = province.keep_issuer(
            organisation.id, organisation.issuer, list(organisation.prefixes), organisation.name
        )
        _await_chain(province, issuer)
    if as_json:
        return print_json(
            {
                "organisation": organisation.name,
                "issuer": issuer.name,
                "custody": issuer.custody,
                "state": "registered",
            }
        )
    console.print(
        pick(
            "Tỉnh giữ khóa này; mọi hồ sơ ký bằng nó ghi rõ “do tỉnh viết thay cho”:",
            "The province keeps this key; what it signs says “written by the province for”:",
        ),
        organisation.name,
        soft_wrap=True,
    )
    return None


@app.command("token")
def org_token(name: Name, data: Data = Path("var"), as_json: AsJson = False) -> None:
    """Cấp mã truy cập; chỉ hiện một lần · Issue a token; it is shown this once only."""
    with opened(data) as (_, organisations):
        token = organisations.new_token(name)
    if as_json:
        return print_json({"id": token.id, "token": token.secret})
    console.print(token.secret, soft_wrap=True)
    return None


@app.command("revoke")
def org_revoke(
    name: Name,
    token: Annotated[
        str, typer.Option(help="Chỉ thu hồi mã truy cập này · Revoke this token only")
    ] = "",
    key: Annotated[
        bool, typer.Option("--key", help="Thu hồi khóa đang dùng · Revoke the key in use")
    ] = False,
    custody: Annotated[
        str,
        typer.Option(help="Khóa nào: holder (họ giữ), operator (tỉnh giữ) · Which key, by custody"),
    ] = "",
    data: Data = Path("var"),
    as_json: AsJson = False,
) -> None:
    """Thu hồi một mã truy cập hoặc khóa ký · Revoke a token, or the signing key (for ever)."""
    if bool(token) == key:
        fail(pick("Chọn --token MÃ hoặc --key", "Say either --token TOKEN or --key"))
    with opened(data) as (province, organisations):
        organisation = organisations.by_name(name)
        if token and not organisations.revoke(token):
            fail(pick("Không có mã truy cập này", "There is no such valid token"), NOT_PROVEN)
        if key:
            _revoke_key(province, organisation, custody)
    if as_json:
        return print_json({"organisation": organisation.name, "revoked": "key" if key else "token"})
    console.print(
        pick(
            "Từ giờ không nhận lô ký bằng khóa này; các lô đã nhận được neo xong rồi khóa bị thu hồi trên chuỗi.",
            "Nothing signed by it is accepted any more; what was accepted is anchored, then the chain revokes it.",
        )
        if key
        else pick("Đã thu hồi mã truy cập.", "The token is revoked.")
    )
    return None


def _revoke_key(province: "Province", organisation: "Organisation", custody: str) -> None:
    known = [k for k in province.issuers(organisation.id) if custody in ("", k.custody)]
    if not known:
        fail(pick("Tổ chức chưa có khóa", "The organisation has no key"), NOT_PROVEN)
    in_use = [k for k in known if k.state in ("pending", "registered")]
    if len({k.custody for k in in_use}) > 1:
        fail(pick("Chọn --custody holder hoặc operator", "Say --custody holder or operator"))
    issuer = (in_use or known)[-1]
    province.revoke_issuer(issuer.name, issuer.key_id)


@app.command("list")
def org_list(data: Data = Path("var"), as_json: AsJson = False) -> None:
    """Liệt kê các tổ chức · List the organisations."""
    with opened(data) as (province, organisations):
        rows = []
        for organisation in organisations.all():
            states = {k.custody: k.state for k in province.issuers(organisation.id)}
            rows.append(
                {
                    "name": organisation.name,
                    "issuer": organisation.issuer,
                    "prefixes": list(organisation.prefixes),
                    "key": states.get("holder"),
                    "custody": states.get("operator"),
                    "tokens": [
                        t.id for t in organisations.tokens(organisation.name) if not t.revoked
                    ],
                }
            )
    if as_json:
        return print_json(rows)
    for row in rows:
        console.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
    return None
