# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo node new-log`: a member's own new log, with a key of its own; the log before is closed and stays.

The step that changes everything is one transaction (`anchor.epochs.begin`). What the anchor process does
then is waited for here, and in a consortium the province's card gets the new log's name. Run again, with
the same name, the command goes on from wherever it was.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from anchor.backup import caught_up, give_up, is_behind, is_given_up, resting
from anchor.chain import Chain, register_log_call
from anchor.custody import CUSTODY
from anchor.durable import write_durably
from anchor.epochs import Epoch, EpochError, Epochs, begin, prepared
from anchor.issuers import Issuers
from anchor.keys import load_member_key
from anchor.note import key_hash
from anchor.province import member_address
from anchor.settings import Settings
from anchor.store import Store, anchors, batch_id, batches, issuers
from api.organisations import Organisations
from front.provinces import keys_of
from node.card import card_of, keep_card, make_card

WAIT_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Standing:
    """How far the change is: entries that the old log is to have, those proven, and whether the new one is on the chain."""

    entries: int
    proven: int
    is_registered: bool


def check(settings: Settings, store: Store, origin: str, *, lost: bool) -> Epoch:
    """Make sure that a log of this origin can follow, also on the chain; return the log that is the newest now.

    Its key is on the disk after this. Raises EpochError, ChainError, KeyFileError.
    """
    newest = _logs(settings, store)[-1]
    restored = is_behind(settings)
    if restored and newest.origin == origin and not is_given_up(settings, origin):
        raise EpochError(
            "thư mục này được khôi phục: hãy đối chiếu nhật ký này trước · this folder was restored: compare "
            "this log first (moneo restore … --newest FILE)"
        )
    signer = prepared(settings, store, origin, lost=lost, restored=restored)
    if newest.origin != origin:
        call = register_log_call(
            sha256(origin.encode()).digest(), key_hash(origin, signer.public_key)
        )
        chain = Chain(settings.rpc_url, load_member_key(settings.member_key))
        try:
            # What the contract would refuse is better known before than after.
            chain.attempt(call)
        finally:
            chain.close()
    return newest


def change(settings: Settings, store: Store, origin: str, *, lost: bool) -> None:
    """Take the step; taken before, this changes nothing. No backup sees half of the keys."""
    with resting(settings):
        restored = is_behind(settings)
        if restored:
            give_up(settings, origin)
        begin(settings, store, origin, lost=lost, restored=restored)
        if restored:
            # The new log has signed nothing that it could contradict.
            caught_up(settings)


def await_done(
    settings: Settings, store: Store, tell: Callable[[Standing], None], seconds: float
) -> Standing:
    """Wait for the anchor process to close the old log and open the new one; return how far it came."""
    until = time.monotonic() + seconds
    while True:
        tell(standing := _standing(settings, store))
        # The new one is registered when the old one is finished.
        if standing.is_registered or time.monotonic() > until:
            return standing
        time.sleep(_POLL_SECONDS)


def renew_card(settings: Settings, store: Store, output: Path) -> Path | None:
    """Name the new log on the province's card, for the others; None on a chain of one's own."""
    newest = _logs(settings, store)[-1].settings
    home = settings.node_home
    before = card_of(home, member_address(load_member_key(settings.member_key)))
    if before is None:
        return None
    keys = keys_of(newest, home)
    chain = Chain(settings.rpc_url, load_member_key(settings.member_key))
    try:
        chain_id = chain.chain_id()
    finally:
        chain.close()
    card = make_card(before.name, before.pages, before.peer, newest.origin, keys, chain_id, before)
    keep_card(home, card)
    write_durably(output, card.raw)
    return output


def told(settings: Settings, store: Store) -> dict[str, Any]:
    """Say what has become of everybody's keys and batches, for people and machines."""
    old, new = _logs(settings, store)[-2:]
    organisations = {one.id: one for one in Organisations(store.engine, lambda: new.origin).all()}
    keys = Issuers(store, lambda _connection: ()).of()
    kept = {one.organisation for one in keys if one.custody == CUSTODY and _is_of(one.name, new)}
    gone_on = {one.organisation for one in keys if _is_of(one.name, new)}
    own = {one.organisation for one in keys if one.custody != CUSTODY and _is_of(one.name, old)}
    names = {key: one.name for key, one in organisations.items()}
    return {
        "origin": new.origin,
        "log": new.number,
        "closed": old.origin,
        "kept": sorted(names.get(each, each) for each in kept),
        "to_renew": [
            {"organisation": names.get(each, each), "issuer": f"{new.origin}/{each}"}
            for each in sorted(own - gone_on)
        ],
        "not_proven": _not_proven(store, old) if old.given_up else [],
    }


def _logs(settings: Settings, store: Store) -> list[Epoch]:
    with store.read() as connection:
        return Epochs(settings).all(connection)


def _standing(settings: Settings, store: Store) -> Standing:
    logs = _logs(settings, store)
    if len(logs) < 2:
        raise EpochError("chưa có nhật ký mới · there is no new log yet")
    old, new = logs[-2:]
    mine = (batches.c.id >= old.first_batch, batches.c.id < old.end)
    logged = batches.c.logged_at.is_not(None)
    entries = select(func.count()).where(*mine, *([logged] if old.given_up else []))
    proven = select(func.max(anchors.c.size)).where(
        anchors.c.state == "anchored", *old.holds(anchors.c.size)
    )
    first = select(anchors.c.size).where(anchors.c.size == new.base, anchors.c.block.is_not(None))
    with store.read() as connection:
        return Standing(
            connection.execute(entries).scalar_one(),
            (connection.execute(proven).scalar_one() or old.base) - old.base,
            connection.execute(first).first() is not None,
        )


def _not_proven(store: Store, old: Epoch) -> list[dict[str, Any]]:
    """The batches that nothing proves without the lost key: whoever sent them has to send them again."""
    proven = select(func.max(anchors.c.size)).where(
        anchors.c.state == "anchored", *old.holds(anchors.c.size)
    )
    covered = func.coalesce(proven.scalar_subquery(), old.base)
    query = (
        select(batches.c.note_hash, issuers.c.display, batches.c.size)
        .join(issuers, issuers.c.id == batches.c.issuer_id)
        .where(
            batches.c.id >= old.first_batch,
            batches.c.id < old.end,
            batches.c.log_index.is_(None) | (batches.c.log_index >= covered),
        )
        .order_by(batches.c.id)
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [{"batch": batch_id(row[0]), "organisation": row[1], "records": row[2]} for row in rows]


def _is_of(issuer: str, log: Epoch) -> bool:
    return issuer.rpartition("/")[0] == log.origin
