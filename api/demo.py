# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the sample cooperative once against a fresh province: its key, its diary, its first QR code.

The cooperative is a business of its own, with its own folder and key below DATA/sample: it goes
through the same commands and the same door of the API as any other.
"""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import segno

from anchor import cli, outbox
from anchor.durable import write_durably
from anchor.ijson import encode_b64url
from anchor.keys import create_private_key, request
from anchor.province import Province
from anchor.settings import Settings
from anchor.words import pick
from api.organisations import Organisation, Organisations, UnknownOrganisation

COOPERATIVE = "HTX Cua Mẫu Tân Ân (mẫu · sample)"
PREFIX = "/01/09520001"
PRIVATE_FIELDS = ("moneo:recordedBy", "moneo:phone")
DIARY = "nhat-ky-cua.csv"
SHOWN_CODE = "/01/09520001000034/10/HOP-01-1"

Wait = Callable[[str, Callable[[], bool]], None]


def folder(settings: Settings) -> Path:
    """Return the sample cooperative's own folder (its MONEO_HOME)."""
    return settings.data / "sample"


def submit_once(settings: Settings, wait: Wait) -> None:
    """Register the sample cooperative and submit its diary, unless that was done before.

    Every step looks at what is there first, so that an interrupted first start goes on.

    Args:
        settings: the running province's.
        wait: called with words and a condition; returns when the condition holds.
    """
    base = folder(settings)
    if (base / "submitted").exists():
        return
    os.environ["MONEO_HOME"] = str(base)
    province = Province.open(settings)
    try:
        organisations = Organisations(province.store.engine, province.origin)
        member = _organisation(organisations)
        _register(province, member, base, wait)
        if not (base / "token").exists():
            token = organisations.new_token(member.issuer).secret
            write_durably(base / "token", token.encode(), outbox.PRIVATE)
        diary = base / DIARY
        diary.write_bytes(resources.files("api").joinpath("sample", DIARY).read_bytes())
        cli.batch_submit(
            diary, settings.public_url, (base / "token").read_text(), member.issuer, practice=True
        )
        sent = _batch_ids(base, member.issuer)
        wait(
            pick("Chờ neo lên chuỗi", "Waiting for the anchor on the chain"),
            lambda: all(province.status(b).state == "anchored" for b in sent),
        )
        write_durably(base / "submitted", b"")
    finally:
        province.close()


def _organisation(organisations: Organisations) -> Organisation:
    try:
        return organisations.by_name(COOPERATIVE)
    except UnknownOrganisation:
        organisations.add_organisation(COOPERATIVE, [PREFIX], PRIVATE_FIELDS)
        return organisations.by_name(COOPERATIVE)


def _register(province: Province, member: Organisation, base: Path, wait: Wait) -> None:
    path = outbox.key_path(base, member.issuer)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_private_key(path)
    signer = outbox.Outbox(base, member.issuer).signer
    wanted: bytes = request(signer)
    write_durably(path.with_suffix(".request"), wanted)
    province.add_issuer(member.id, wanted, "holder", list(member.prefixes), member.name)

    def registered() -> bool:
        issuer = province.issuer(member.issuer)
        return issuer is not None and issuer.state == "registered"

    wait(
        pick("Ghi khóa của hợp tác xã lên chuỗi", "Registering the cooperative's key on the chain"),
        registered,
    )


def _batch_ids(base: Path, issuer: str) -> list[str]:
    return [encode_b64url(outbox.note_hash_of(s)) for s in outbox.Outbox(base, issuer).stored()]


def show(settings: Settings) -> None:
    """Print where things are, the QR code of one sample lot, and what to try next."""
    url = settings.public_url
    link = url + SHOWN_CODE
    command = "./scripts/moneo"
    print_ = cli.console.print
    print_()
    print_(
        pick("Trang của một lô cua:", "The page of one lot of crab:"),
        link,
        style="bold",
        soft_wrap=True,
    )
    segno.make(link, error="m").terminal(compact=True)
    rows = (
        (pick("Trang của tỉnh", "The province's site"), url),
        (pick("Nút (JSON-RPC)", "The node (JSON-RPC)"), settings.rpc_url),
        (pick("Nhật ký bất biến", "The append-only log"), f"{url}/log/checkpoint"),
        (pick("Dữ liệu", "Data"), str(settings.data)),
    )
    for name, value in rows:
        print_(f"{name:<20} {value}", soft_wrap=True, markup=False)
    print_()
    print_(
        pick("Thử tiếp, ở một cửa sổ khác:", "What to try next, in another terminal:"), style="bold"
    )
    for line in (
        f"{command} evidence get {SHOWN_CODE} --from {url} -o cua.json",
        f"{command} trust add {url}/v1/trust",
        f"{command} verify cua.json --code {SHOWN_CODE}",
    ):
        print_(f"  {line}", soft_wrap=True, markup=False)
    print_(
        pick(
            "Ngắt mạng, dừng chương trình này (Ctrl-C): lệnh verify vẫn trả lời như cũ.",
            "Unplug the network and stop this program (Ctrl-C): verify still gives the same answer.",
        )
    )
