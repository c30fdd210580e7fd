# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a province's data folder from its first keys to its place in a consortium; each step whole, or not done.

`init` makes what is missing of the four keys: EVM and log key in `keys/`, validator and node key in
`joining/`, a node's home to be, with the province's own card. `join` puts genesis and cards beside
them, and then `joining/` in the place of `node/`. A province that has run a chain of its own keeps
that chain's home whole, as `pilot/`: its validator key never signs on another chain.
"""

import ipaddress
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from eth_keys.datatypes import PrivateKey

from anchor.cli import fail
from anchor.durable import sync_folder
from anchor.epochs import newest_settings
from anchor.keys import load_member_key, load_private_key
from anchor.province import found, member_address
from anchor.settings import Settings, set_peer
from anchor.words import pick
from node.abci.home import node_key
from node.card import Card, Keys, card_of, keep_card, make_card
from node.db import LevelDB
from node.errors import GenesisError, StorageLocked
from node.founding import Founding, check_own, settle
from node.genesis import CHAIN_FOLDER, GENESIS_FILE, load, load_validator_key, validator_key
from node.genesis import found as found_chain
from node.light import timestamp

JOINING = "joining"


def found_alone(settings: Settings) -> None:
    """Make a province with a chain of its own: keys, one validator's chain, settings."""
    _make_whole(
        settings,
        lambda data, member: found_chain(
            data / "node", "moneo", [member], timestamp(time.time_ns())
        ),
    )


def init(
    settings: Settings, peer: str, evm_chain_id: int = 0, pages: Sequence[str] | None = None
) -> Card:
    """Make what a province needs to join others, and return its card; a province that is there keeps its keys.

    `peer` is where others reach its CometBFT; `evm_chain_id` the chain's that it asks to be admitted
    to, 0 for a founding; `pages` are those of the settings if not said. Again with other values it makes another card of the same keys. Raises
    GenesisError where the province belongs to a consortium already, or a value cannot be.
    """
    if not (settings.data / "version").exists():
        _make_whole(settings, lambda _data, _member: None)
    settings = newest_settings(settings)
    home = settings.data / JOINING
    if not home.exists() and _is_member(settings):
        raise GenesisError(
            "tỉnh này đã ở trong một liên minh · this province is in a consortium already"
        )
    home.mkdir(mode=0o700, exist_ok=True)
    validator_key(home)
    keys = keys_of(settings, home)
    before = card_of(home, keys.account.public_key.to_canonical_address())
    card = make_card(
        settings.name,
        settings.hosts if pages is None else pages,
        peer,
        settings.origin,
        keys,
        evm_chain_id,
        before,
    )
    keep_card(home, card)
    return card


def keys_of(settings: Settings, home: Path) -> Keys:
    """Return a province's four keys. Raises KeyFileError, GenesisError if one cannot be read."""
    return Keys(
        PrivateKey(load_member_key(settings.member_key)),
        load_validator_key(home),
        node_key(home),
        load_private_key(settings.log_key),
    )


def own_card(settings: Settings) -> Card:
    """Return the province's own card, before it has joined or after. Raises GenesisError."""
    account = member_address(load_member_key(settings.member_key))
    for home in (settings.data / JOINING, settings.node_home):
        if card := card_of(home, account):
            return card
    raise GenesisError(
        "chưa có phiếu thành viên, hãy chạy moneo node init · there is no card yet: run moneo node init"
    )


def join(settings: Settings, founding: Founding, listen: str = "") -> None:
    """Make the consortium's chain the province's own; done again, it goes on or changes nothing.

    `listen` is where CometBFT listens (HOST:PORT); by default what the card says if that is this
    machine only, else its port on every address. Raises GenesisError if the founding is none that
    this province can join, if its node still runs, or if another chain is in the way.
    """
    own = own_card(settings)
    check_own(founding, own)
    home = settings.data / JOINING
    if home.exists():
        _check_at_rest(settings)
        settle(home, founding, own)
        if settings.node_home.exists():
            settings.node_home.rename(settings.pilot)
        home.rename(settings.node_home)
        sync_folder(settings.data)
    elif load(settings.node_home) != founding.genesis:
        raise GenesisError("tỉnh này đã ở trong chuỗi khác · this province is in another chain")
    set_peer(settings, listen or _listening(own.peer))


def public_pages(settings: Settings, peer: str) -> list[str]:
    """Return the hosts of the settings that others can look at; all of them in a rehearsal on one machine."""
    return [host for host in settings.hosts if is_here(peer) or not is_here(host)]


def is_here(address: str) -> bool:
    """Whether HOST:PORT or HOST means this machine, seen from itself."""
    host = re.sub(r":[0-9]+$", "", address).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_whole(settings: Settings, also: Callable[[Path, bytes], object]) -> None:
    """Make a data folder whole or not at all: beside its place, then moved there."""
    data = settings.data
    if data.exists() and any(data.iterdir()):
        fail(pick(f"{data} không trống và không phải thư mục dữ liệu của Moneo: chọn --data khác.",
                  f"{data} is not empty and no data folder of Moneo: choose another with --data."))  # fmt: skip
    beside = data.with_name(f"{data.name}.founding")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        also(beside, found(replace(settings, data=beside)))
        beside.replace(data)
    except OSError as error:
        fail(
            pick(
                f"Không tạo được {data}: {error.strerror}",
                f"{data} cannot be made: {error.strerror}",
            )
        )


def _is_member(settings: Settings) -> bool:
    return (settings.node_home / GENESIS_FILE).exists() and bool(load(settings.node_home).records)


def _check_at_rest(settings: Settings) -> None:
    """Refuse to put a chain aside that runs, or that would take the place of one put aside before."""
    old, aside = settings.node_home, settings.pilot
    if old.exists() and aside.exists():
        raise GenesisError(
            f"đã có một chuỗi cũ ở {aside}: hãy cất nó đi nơi khác trước · "
            "an earlier chain lies there already: put it elsewhere first"
        )
    if (old / CHAIN_FOLDER).exists():
        try:
            LevelDB(old / CHAIN_FOLDER).close()
        except StorageLocked as error:
            raise GenesisError(
                "tỉnh đang chạy: dừng moneo serve rồi chạy lại lệnh này · "
                "this province is running: stop moneo serve, and run this again"
            ) from error


def _listening(peer: str) -> str:
    return peer if is_here(peer) else f"0.0.0.0:{peer.rpartition(':')[2]}"
