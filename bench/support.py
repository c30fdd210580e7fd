# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: a province of its own, its businesses, tables, and the machine's line.

A benchmark prints Markdown on standard output and tells its progress on standard error. It works
in a temporary folder that is removed, whatever ends it, unless it was given a folder to keep.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from anchor.keys import create_private_key, load_private_key, request
from anchor.note import Signer
from anchor.province import Province
from anchor.settings import Settings, load
from api.index import FILE
from api.organisations import Organisations
from tests.support.province import Running, free_addresses, moneo

Door = Literal["signed", "plain"]

CLIENTS: Final = 4
ORIGIN: Final = "moneo.example/bench/2026"
GTIN: Final = "/01/09520001000034"
PREFIX: Final = "/01/09520001"


@dataclass(frozen=True)
class Client:
    """One business: its organisation's id and token, its issuer name and, if it signs, its key."""

    number: int
    organisation: str
    token: str
    issuer: str
    key: str | None

    def signer(self) -> Signer:
        """Return what signs its batches."""
        assert self.key is not None
        return Signer(self.issuer, load_private_key(Path(self.key)))


@dataclass(frozen=True)
class Place:
    """A province of one validator, founded for a benchmark: its folder and address."""

    folder: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "var"

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.data / "moneo.db"

    @property
    def index(self) -> Path:
        """The file of the code index."""
        return self.data / FILE

    @property
    def settings(self) -> Settings:
        """The province's settings."""
        return load(self.data)

    def admit(self, door: Door, count: int = CLIENTS) -> list[Client]:
        """Add businesses that use this door, a key and a token each."""
        settings = self.settings
        province = Province.open(settings)
        organisations = Organisations(province.store.engine, province.origin)
        first = len(organisations.all())
        clients = []
        for number in range(first, first + count):
            name = f"HTX {number}"
            issuer = organisations.add_organisation(name, [PREFIX])
            known = organisations.by_name(name)
            key = self.folder / f"{number}.key" if door == "signed" else None
            if key is None:
                province.keep_issuer(known.id, issuer, [PREFIX], name)
            else:
                create_private_key(key)
                asked = request(Signer(issuer, load_private_key(key)))
                province.add_issuer(known.id, asked, "holder", [PREFIX], name)
            token = organisations.new_token(name).secret
            clients.append(Client(number, known.id, token, issuer, str(key) if key else None))
        province.close()
        return clients

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """Run the whole province: node, anchor and API."""
        with Running("serve", "--data", self.data) as running:
            running.wait_for("Serving")
            yield running

    @contextmanager
    def opened(self) -> Iterator[Province]:
        """Open the province in this process."""
        province = Province.open(self.settings)
        try:
            yield province
        finally:
            province.close()


def found(folder: Path, interval: float = 2.0) -> Place:
    """Found a province below `folder` that anchors at most once every `interval` seconds."""
    listen, rpc = free_addresses(2)
    place = Place(folder)
    moneo(
        "init", "Tỉnh đo", ORIGIN, "--data", place.data, "--api", listen, "--rpc", rpc, home=folder
    )
    file = place.data / "moneo.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        re.sub(r"(?m)^interval = .*$", f"interval = {interval}", text), encoding="utf-8"
    )
    return place


@contextmanager
def workplace() -> Iterator[Path]:
    """Yield a temporary folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="moneo-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


# What a kept folder holds, so that another benchmark can go on with it


@dataclass(frozen=True)
class Filled:
    """What was put into a kept province: batches of one size, under lots named after a tag."""

    tag: str
    size: int
    batches: int


def note_filled(folder: Path, filled: Sequence[Filled]) -> None:
    """Remember what a kept province holds."""
    text = json.dumps([asdict(one) for one in filled])
    (folder / "filled.json").write_text(text, encoding="utf-8")


def read_filled(folder: Path) -> list[Filled]:
    """Return what a kept province holds; nothing if none is there."""
    file = folder / "filled.json"
    if not file.exists():
        return []
    return [Filled(**one) for one in json.loads(file.read_text(encoding="utf-8"))]


# Tables and progress


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, a row as soon as it is known; the first column is text."""
    print(f"| {' | '.join(head)} |")
    print(f"|---|{'---:|' * (len(head) - 1)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def ms(seconds: float) -> str:
    """Say a time in milliseconds, with as many digits as it bears."""
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def say(text: str) -> None:
    """Tell a person how far it has come."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def machine() -> str:
    """Return one line on what the figures are measured on."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((m[1] for m in re.finditer(r"model name\s*:\s*(.+)", facts)), platform.machine())
    command = ["df", "--output=fstype", tempfile.gettempdir()]
    kind = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB of memory, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, "
        f"{kind[-1] if kind else 'unknown'} file system, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC"
    )


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help begins with a module's first sentence.

    Told to stop, the program ends as from an error: what it runs is stopped, its folder removed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return argparse.ArgumentParser(description=(doc or "").partition("\n")[0])


def free_bytes(path: Path) -> int:
    """Return how many bytes the disk under `path` still takes."""
    return shutil.disk_usage(path).free
