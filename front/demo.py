# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays sample provinces on one machine: one with a chain of its own, or several that found a consortium.

They are founded as in real life: each makes its keys and its card, one puts the cards together, each
joins. Whatever was interrupted goes on when it is asked for again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from anchor.cli import console, fail
from anchor.durable import write_durably
from anchor.settings import Settings, load
from anchor.words import pick
from front.cli import new_settings
from front.supervisor import check_ports, running

if TYPE_CHECKING:
    from node.founding import Founding

# Provinces of 2026, and how their logs are called.
NAMES = (
    ("Cà Mau", "camau"),
    ("Đắk Lắk", "daklak"),
    ("Lào Cai", "laocai"),
    ("Quảng Trị", "quangtri"),
    ("An Giang", "angiang"),
    ("Lâm Đồng", "lamdong"),
    ("Nghệ An", "nghean"),
)
CHAIN_NAME = "moneo-demo"
FOUNDING_FILE = "founding.json"
ALONE_API, ALONE_RPC = "127.0.0.1:8080", "127.0.0.1:8545"
FINAL_SECONDS = 180


@dataclass(frozen=True)
class Addresses:
    """Where the provinces' processes are, as HOST:PORT; `{n}` is a province's number, from 1.

    `comet` is where CometBFT listens, if that is not what the cards say (`peer`).
    """

    api: str = "127.0.0.{n}:8080"
    rpc: str = "127.0.0.{n}:8545"
    peer: str = "127.0.0.{n}:26656"
    comet: str = ""
    public_url: str = ""

    @classmethod
    def given(cls, *values: str) -> Self:
        """Return what was given on a command line, in this order; "" stands for what is usual."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: value for name, value in zip(names, values, strict=False) if value})

    def of(self, number: int) -> Self:
        """Return one province's."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: v.replace("{n}", str(number)) for k, v in values.items()})


@dataclass(frozen=True)
class Place:
    """One sample province: its folder below the common one, its name, log and addresses."""

    folder: str
    name: str
    origin: str
    at: Addresses


def places(count: int, addresses: Addresses, folder: str = "{n}") -> list[Place]:
    """Return the first `count` sample provinces."""
    return [
        Place(
            folder.replace("{n}", str(number)),
            f"{name} (bản thử · demonstration)",
            f"moneo.example/{short}/2026",
            addresses.of(number),
        )
        for number, (name, short) in enumerate(NAMES[:count], 1)
    ]


def found_demo(base: Path, provinces: Sequence[Place]) -> list[Settings]:
    """Found a consortium of sample provinces below `base`, and return their settings; nothing runs.

    Done again, it goes on where it was. Raises NodeError, AnchorError.
    """
    from front.provinces import init, join

    made = []
    for place in provinces:
        data = base / place.folder
        if not (data / "version").exists():
            at = place.at
            wanted = new_settings(data, place.name, place.origin, at.api, at.rpc, at.public_url)
            # Each province has a share of this machine's cores only.
            init(replace(wanted, workers=1), at.peer)
        made.append(load(data))
    # The first has the founding file until all others have joined; a chain that runs is left alone.
    waiting = [pair for pair in zip(made, provinces, strict=True) if not pair[0].peer]
    if waiting:
        founding = _founding(made, provinces)
        for settings, place in reversed(waiting):
            join(settings, founding, place.at.comet)
    return [load(settings.data) for settings in made]


def run_one(data: Path, api: str, rpc: str) -> None:
    """Found and run one province with a chain of its own; its sample diary is submitted once."""
    if not (data / "version").exists():
        _found_one(data, api or ALONE_API, rpc or ALONE_RPC)
    settings = load(data)
    for name, wanted, has in (("--api", api, settings.listen), ("--rpc", rpc, settings.rpc)):
        if wanted and wanted != has:
            fail(pick(f"{data} được lập với {has}: sửa moneo.toml trong đó thay cho {name}.",
                      f"{data} was founded with {has}: change moneo.toml in it instead of {name}."))  # fmt: skip
    _run([settings])


def run_many(base: Path, count: int, addresses: Addresses) -> None:
    """Found and run a consortium on this machine; the first province's sample diary is submitted once."""
    from node.abci.process import check_version, find_program

    if (base / "version").exists():
        fail(pick(f"{base} là dữ liệu của một tỉnh: chọn --data khác.",
                  f"{base} is one province's data: choose another with --data."))  # fmt: skip
    # Said before anything is made: without it no province can begin.
    check_version(find_program())
    wanted = places(count, addresses)
    if not (base / wanted[0].folder).exists():
        for place in wanted:
            at = (place.at.api, place.at.rpc, place.at.comet or place.at.peer)
            check_ports(at, "bằng --api/--rpc/--peer", "with --api/--rpc/--peer")
    with console.status(pick(f"Lập liên minh {count} tỉnh…", f"Founding {count} provinces…")):
        provinces = found_demo(base, wanted)
    _run(provinces)


def _run(provinces: Sequence[Settings]) -> None:
    from api import demo as sample

    first = provinces[0]
    with running(*provinces) as supervisor:
        seconds = FINAL_SECONDS * len(provinces)
        for settings in provinces:
            words = pick(f"Chờ chuỗi và nhật ký: {settings.name}", f"Waiting for chain and log: {settings.name}")  # fmt: skip
            supervisor.wait_for(words, settings.trust_path.exists, seconds)
        sample.submit_once(first, lambda what, ready: supervisor.wait_for(what, ready, seconds))
        sample.show(first)
        if len(provinces) > 1:
            _show_others(provinces)
        supervisor.stopping.wait()


def _found_one(data: Path, listen: str, rpc: str) -> None:
    from front.provinces import found_alone

    check_ports((rpc, listen), "bằng --api/--rpc HOST:PORT", "with --api/--rpc HOST:PORT")
    (place,) = places(1, Addresses(listen, rpc))
    with console.status(pick("Lập tỉnh một nút…", "Founding a one-validator province…")):
        found_alone(new_settings(data, place.name, place.origin, listen, rpc, ""))


def _founding(made: Sequence[Settings], provinces: Sequence[Place]) -> "Founding":
    """Return the founding that was made before, or hold the ceremony now."""
    from front.provinces import JOINING, own_card
    from node.card import file_bytes
    from node.founding import MAX_FOUNDING_BYTES, found, founding_of, parse_founding
    from node.genesis import GENESIS_FILE
    from node.light import timestamp

    first = made[0]
    file = first.data / JOINING / FOUNDING_FILE
    if (first.node_home / GENESIS_FILE).exists():
        return founding_of(first.node_home)
    if file.exists():
        return parse_founding(file_bytes(file, MAX_FOUNDING_BYTES))
    cards = [(place.name, own_card(one).raw) for one, place in zip(made, provinces, strict=True)]
    founding = found(CHAIN_NAME, cards, timestamp(time.time_ns()))
    write_durably(file, founding.raw)
    return founding


def _show_others(provinces: Sequence[Settings]) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    third = provinces[min(2, len(provinces) - 1)]
    command = "./scripts/moneo"
    say("")
    say(pick("Các tỉnh cùng xác nhận:", "The provinces that confirm it together:"))
    for number, one in enumerate(provinces, 1):
        say(f"  {number}. {one.name}: {one.public_url}   JSON-RPC {one.rpc_url}")
    say(pick("Tin cậy lấy từ một tỉnh khác, và xem liên minh:",
             "Trust from another province, and a look at the consortium:"))  # fmt: skip
    for line in (
        f"{command} node export-trust --rpc {third.rpc} -o tin-cay.json",
        f"{command} trust add tin-cay.json",
        f"{command} node status --rpc {provinces[1].rpc}",
    ):
        say(f"  {line}")
