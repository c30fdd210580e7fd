# SPDX-License-Identifier: GPL-3.0-or-later
"""A province's log goes on from its own one-validator chain to the consortium's: the same log, entry by entry.

`moneo node join` asks for it: it puts the old node's home aside as `pilot/` and the consortium's
genesis in its place. Only where both are as they were put is the chain changed. Then the trust file
goes to `pilot/trust.json`, by which evidence given out before goes on being verified; what the old
chain proved leaves the database in one transaction, and the anchor process does on the new chain what
it does on any that has never seen this log: registers it and its issuers, anchors the whole of it,
captures. Entries, places, receipts and keys stay as they are. A crash in between changes nothing: what
is not done is done at the next start.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, select, update

from anchor import ijson
from anchor.durable import sync_folder
from anchor.errors import FormatError
from anchor.settings import Settings
from anchor.store import (
    Store,
    ancestry,
    anchors,
    batches,
    eras,
    issuers,
    nodes,
    proofs,
    set_meta,
    transactions,
)

GENESIS: Final = "genesis.json"
MAX_GENESIS_BYTES: Final = 1 << 20


def is_asked(settings: Settings, old: int, new: int) -> bool:
    """Whether a person has put the chain of EVM id `old` aside and that of id `new` in its place."""
    return (_chain_of(settings.pilot), _chain_of(settings.node_home)) == (old, new)


def move(settings: Settings, store: Store, new: int) -> None:
    """Let go of what belongs to the old chain; the database is the new one's after this."""
    with contextlib.suppress(FileNotFoundError):
        settings.trust_path.replace(settings.pilot_trust_path)
    sync_folder(settings.pilot)
    sync_folder(settings.data)
    with store.write() as connection:
        for table in (proofs, nodes, ancestry, eras, anchors, transactions):
            connection.execute(delete(table))
        _ask_again(connection)
        set_meta(connection, "evm_chain_id", str(new).encode())


def _ask_again(connection: Connection) -> None:
    """Have every key registered as it was: same custody, same registration record.

    A key that was given up is accepted no more, but what it signed lies in the log: where there is
    any, it is registered once more, and revoked as soon as that is anchored.
    """
    signed = issuers.c.id.in_(select(batches.c.issuer_id))
    for state, becomes in (("registered", "pending"), ("revoked", "revoking")):
        chosen = [issuers.c.state == state, *([signed] if state == "revoked" else [])]
        connection.execute(update(issuers).where(*chosen).values(state=becomes))
    connection.execute(update(issuers).values(registered=0, revoked=0))


def _chain_of(home: Path) -> int | None:
    """The EVM chain id that a node's genesis file says; None if there is none that can be read."""
    try:
        with (home / GENESIS).open("rb") as file:
            value = ijson.parse(file.read(MAX_GENESIS_BYTES + 1), max_bytes=MAX_GENESIS_BYTES)
    except (OSError, FormatError):
        return None
    found = value.get("evm_chain_id") if isinstance(value, dict) else None
    return found if type(found) is int else None
