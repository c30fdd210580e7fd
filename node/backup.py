# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a chain's files as they were at one moment, also while its node is running.

LevelDB writes a table once and never again, gives no number twice, and only adds to the end of its
log and its manifest. So if the same names are there before and after the copy, and the manifest
has not grown, the copy is the chain after some whole batch: a log that ends within one is read up
to the one before. Otherwise a table was just being made, and the copy is begun again. No request
to the node is needed, none that could write files, and a node that is stopped is no other case.

What was signed after a backup is not in it. A restored home has a file `restored`, and its validator
signs nothing until it has been told of the newest light block that anyone outside holds. In a
consortium nobody outside knows all that it has signed, votes for blocks that never came among it: it
gets another key there, and the chain, which the others have, from them.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.abci.home import FOLDER
from node.card import CARDS
from node.chain import Chain
from node.db import LevelDB
from node.durable import sync_folder
from node.errors import ChainError, StorageError
from node.genesis import CHAIN_FOLDER, GENESIS_FILE, KEY_FILE, load, validator_key
from node.light import LightBlock, LightError, from_rpc, verify_light_block
from node.sequencer import light_key
from node.signed import RESTORED_FILE, SIGNED_FILE

TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1
# By which peers know a node; nothing of a chain is signed with it.
_NODE_KEY: Final = f"{FOLDER}/config/node_key.json"
_TABLES: Final = (".ldb", ".sst")
# The lock is its holder's, the notes are LevelDB's diary for people.
_LEFT_OUT: Final = frozenset({"LOCK", "LOG", "LOG.old"})

Copier = Callable[[Path, Path], None]


def link(source: Path, target: Path) -> None:
    """Give a file that is never written again a second name, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file and have its bytes on the disk."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def copy_chain(source: Path, target: Path, table: Copier = copy) -> None:
    """Copy the LevelDB in `source` to the new folder `target`; `table` takes the large files.

    Raises StorageError if there is none or it does not hold still, OSError as the files do.
    """
    for _ in range(TRIES):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        before = _names(source)
        try:
            for name in sorted(before, key=_last_the_log):
                (table if name.endswith(_TABLES) else copy)(source / name, target / name)
        except FileNotFoundError:
            time.sleep(_PAUSE_SECONDS)
            continue
        if _names(source) == before:
            return
        time.sleep(_PAUSE_SECONDS)
    raise StorageError(
        "tệp của chuỗi thay đổi liên tục, hãy thử lại · "
        f"the chain's files in {source} do not hold still: try again"
    )


def copy_home(home: Path, target: Path) -> None:
    """Copy a node's home to a new folder, the newest vote before the chain that may go beyond it.

    Raises StorageError, or OSError as the files do.
    """
    target.mkdir(parents=True, mode=0o700)
    for name in (GENESIS_FILE, KEY_FILE, SIGNED_FILE, _NODE_KEY):
        if (home / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(home / name, target / name)
    if (home / CARDS).exists():
        shutil.copytree(home / CARDS, target / CARDS)
    if (home / CHAIN_FOLDER).exists():
        copy_chain(home / CHAIN_FOLDER, target / CHAIN_FOLDER)


def mark_restored(home: Path) -> None:
    """Keep the validator of a restored home from signing until `confirm`."""
    (home / RESTORED_FILE).touch()
    sync_folder(home)


def confirm(home: Path, newest: LightBlock) -> int:
    """Let a restored validator sign above `newest`, the newest light block known outside.

    Returns the height that its chain has, or will have from the others. A block that is not in the chain has been signed and is
    gone: every block after the backup's would contradict it, since a header says of which states
    its own is the successor. Raises ChainError then, and the home stays marked.
    """
    genesis = load(home)
    try:
        verify_light_block(newest, genesis.cometbft_chain_id)
    except LightError as error:
        raise ChainError(
            f"khối này không của chuỗi này · the light block is not of this chain: {error}"
        ) from error
    if genesis.records:
        _begin_anew(home)
        return newest.header.height
    database = LevelDB(home / CHAIN_FOLDER)
    try:
        chain = Chain(database, genesis)
        height = chain.height()
        stored = chain.get_extra(light_key(newest.header.height))
    finally:
        database.close()
    if newest.header.height > height:
        raise ChainError(
            "bản sao lưu cũ hơn khối đã ký, không được ký tiếp · the backup ends at height "
            f"{height} and height {newest.header.height} has been signed: this validator must not "
            "sign again. Restore a newer backup of node/, or found a new chain (docs/reliability.md)"
        )
    if stored is None or from_rpc(json.loads(stored)["light_block"]).header != newest.header:
        raise ChainError(
            "khối đã ký khác khối trong bản sao lưu · another block of height "
            f"{newest.header.height} has been signed than the one in this chain"
        )
    (home / RESTORED_FILE).unlink(missing_ok=True)
    return height


def _begin_anew(home: Path) -> None:
    """Give a consortium's member a key that has signed nothing, and have it fetch the chain anew.

    CometBFT takes no chain that goes beyond its own blocks, and those are in no backup.
    """
    for name in (CHAIN_FOLDER, FOLDER + "/data"):
        shutil.rmtree(home / name, ignore_errors=True)
    for name in (SIGNED_FILE, FOLDER + "/config/priv_validator_key.json", KEY_FILE):
        (home / name).unlink(missing_ok=True)
    validator_key(home)
    (home / RESTORED_FILE).unlink(missing_ok=True)
    sync_folder(home)


def _names(folder: Path) -> dict[str, int]:
    """Return the files, with the size of those that grow when tables come and go."""
    if not (folder / "CURRENT").exists():
        raise StorageError(
            "không có dữ liệu chuỗi, hãy khôi phục từ bản sao lưu · "
            f"there is no chain's data in {folder}, or its file CURRENT is lost: restore it from a backup"
        )
    found = {}
    for path in folder.iterdir():
        if path.name not in _LEFT_OUT:
            found[path.name] = path.stat().st_size if path.name.startswith("MANIFEST") else 0
    return found


def _last_the_log(name: str) -> tuple[bool, str]:
    return name.endswith(".log"), name
