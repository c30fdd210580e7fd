# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person wants sent with the member's key, which the anchor process alone uses.

A command stores its call here ("wanted"); the anchor process tries it, sends it as it sends all else
(`anchor.sender`: stored before sent, the same bytes again after a crash) and stores what came of it.
A wish takes effect once: before it is signed anew, the chain is asked for what was sent for it.

    wanted → done       executed; the EVM block is known
           → refused    the contract's reason is known, or that nobody has carried it out in time
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from anchor.chain import Call, Chain, ChainRefused, ChainReverted
from anchor.epochs import newest_settings
from anchor.errors import AnchorError
from anchor.sender import Sender, Wish
from anchor.settings import Settings
from anchor.store import Store, next_id, transactions, wishes
from anchor.tiles import is_being_written

CONTRACT: Final = "Consortium"
# What may be wished, and its arguments' types; bytes are hexadecimal in the database.
CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "propose": ("uint256", "bytes", "bytes"),
    "vote": ("uint256", "bool", "uint256", "bytes"),
    "change_hosts": ("bytes20", "bytes32"),
}
MAX_ARGUMENT_BYTES: Final = 1_024
# A wish is for now: one that lay while no anchor process ran, or in a backup, is not carried out.
FRESH_SECONDS: Final = 600
WAIT_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.1

State = Literal["wanted", "done", "refused"]


class WishError(AnchorError):
    """A wish that is none, or that was not carried out; the text says why."""


class WishRefused(WishError):  # noqa: N818 - a verdict, said as one
    """The contract, or the chain, has refused it."""


@dataclass(frozen=True)
class Outcome:
    """Where a wish stands: with its EVM block when it is done, why when it is refused or waits."""

    state: State
    block: int = 0
    reason: str = ""


def wish(store: Store, function: str, arguments: tuple[Any, ...]) -> int:
    """Store a call for the anchor process and return its id; that of the same one if it waits.

    Raises WishError for a call that is none of `CALLS`.
    """
    text = _encode(function, arguments)
    same = (wishes.c.function == function, wishes.c.arguments == text, wishes.c.state == "wanted")
    with store.write() as connection:
        waiting = connection.execute(select(wishes.c.id).where(*same)).scalar()
        if waiting is not None:
            return int(waiting)
        number = next_id(connection, wishes)
        values = {"id": number, "function": function, "arguments": text}
        values |= {"state": "wanted", "reason": "", "asked_at": int(time.time())}
        connection.execute(insert(wishes).values(values))
        return number


def outcome(store: Store, number: int) -> Outcome:
    """Where the wish of this id stands. Raises WishError if there is none."""
    with store.read() as connection:
        query = select(wishes).where(wishes.c.id == number)
        row = connection.execute(query).mappings().first()
    if row is None:
        raise WishError(f"không có yêu cầu này · there is no wish {number}")
    return Outcome(row["state"], row["block"] or 0, row["reason"])


def carry(
    settings: Settings,
    function: str,
    arguments: tuple[Any, ...],
    seconds: float = WAIT_SECONDS,
) -> int:
    """Have the province's anchor process send a call; return the EVM block that has executed it.

    Raises WishRefused with the reason if the chain refuses it, WishError if no anchor process runs
    or the call is not done in time; it may be done later then.
    """
    if not is_running(settings):
        raise WishError(
            "tiến trình neo không chạy, chưa gửi gì: hãy chạy 'moneo serve' · no anchor process runs "
            "here, and nothing was sent: run 'moneo serve', then this command again"
        )
    store = Store.open(settings.database_url)
    try:
        number = wish(store, function, arguments)
        until = time.monotonic() + seconds
        while (known := outcome(store, number)).state == "wanted" and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
    finally:
        store.close()
    if known.state == "refused":
        raise WishRefused(f"bị từ chối · refused: {known.reason}")
    if known.state == "wanted":
        raise WishError(
            "chưa xong, có thể xong sau; chạy lại lệnh này để đợi tiếp · not done yet, and may be done "
            "later: run this command again to go on waiting"
            + f": {known.reason}"
            * bool(known.reason)
        )
    return known.block


def is_running(settings: Settings) -> bool:
    """Whether the province's anchor process is at work: it holds the logs that it can write to."""
    newest = newest_settings(settings).log_number
    paths = [replace(settings, log_number=number).log_path for number in range(1, newest + 1)]
    return any(map(is_being_written, paths))


class Wishes:
    """The anchor process's side: carries out what waits, oldest first."""

    def __init__(
        self, store: Store, chain: Chain, sender: Sender, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._chain = chain
        self._sender = sender
        self._say = say

    def carry_out(self) -> None:
        """Send what waits and store what came of it; nothing may be unsettled.

        Raises ChainError if the chain can't be used now: what is not done waits on.
        """
        for row in self._waiting():
            self._carry_one(row["id"], row["asked_at"], _call(row))

    def _carry_one(self, number: int, asked: int, call: Call) -> None:
        sent = self._sent(number)
        if self._is_settled(number, call, sent):
            return
        # What was handed over once is seen through, however long that takes.
        if not sent and not 0 <= time.time() - asked <= FRESH_SECONDS:
            self._refuse(number, "quá lâu không ai gửi, hãy yêu cầu lại · too old: ask again")
            return
        try:
            self._sender.send([Wish("wish", number, call)])
        except ChainReverted as error:
            self._refuse(number, error.reason)
        except ChainRefused as error:
            self._set(number, reason=str(error))
            raise
        else:
            self._is_settled(number, call, self._sent(number))

    def _is_settled(self, number: int, call: Call, sent: list[bytes]) -> bool:
        """Whether the chain has executed what was sent for a wish; that is stored then."""
        for digest in sent:
            mined = self._chain.mined(digest)
            if mined is None:
                continue
            if mined.succeeded:
                with self._store.write() as connection:
                    wish_done(connection, number, mined.block)
                self._say(f"đã gửi · sent: {call.function}, EVM block {mined.block}")
            else:
                self._refuse(number, self._reason(call))
            return True
        return False

    def _reason(self, call: Call) -> str:
        """Return why a call that has failed on the chain would fail now as well."""
        try:
            self._chain.attempt(call)
        except ChainReverted as error:
            return error.reason
        return "thất bại trên chuỗi, nay thì được: hãy chạy lại · it failed on the chain, and would not now"

    def _refuse(self, number: int, reason: str) -> None:
        self._set(number, state="refused", reason=reason)
        self._say(f"bị từ chối · refused: {reason}")

    def _set(self, number: int, **values: Any) -> None:
        with self._store.write() as connection:
            connection.execute(update(wishes).where(wishes.c.id == number).values(values))

    def _waiting(self) -> list[RowMapping]:
        query = select(wishes).where(wishes.c.state == "wanted").order_by(wishes.c.id)
        with self._store.read() as connection:
            return list(connection.execute(query).mappings())

    def _sent(self, number: int) -> list[bytes]:
        chosen = (transactions.c.kind == "wish", transactions.c.subject == number)
        with self._store.read() as connection:
            rows = connection.execute(select(transactions.c.hash).where(*chosen))
            return [bytes(row[0]) for row in rows]


def wish_done(connection: Connection, number: int, block: int) -> None:
    """Store that a wish was executed in an EVM block; the sender's outcome of the kind "wish"."""
    values = {"state": "done", "block": block, "reason": ""}
    connection.execute(update(wishes).where(wishes.c.id == number).values(values))


def any_waiting(connection: Connection) -> bool:
    """Whether there is anything to carry out."""
    query = select(wishes.c.id).where(wishes.c.state == "wanted").limit(1)
    return connection.execute(query).first() is not None


def _encode(function: str, arguments: tuple[Any, ...]) -> str:
    types = CALLS.get(function, ())
    if not types or len(types) != len(arguments) or not all(map(_fits, types, arguments)):
        raise WishError(f"không phải yêu cầu gửi được · this cannot be wished: {function}")
    return json.dumps([each.hex() if isinstance(each, bytes) else each for each in arguments])


def _fits(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "uint256":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 256
    size = int(kind.removeprefix("bytes") or 0)
    return isinstance(value, bytes) and len(value) in (
        (size,) if size else range(MAX_ARGUMENT_BYTES + 1)
    )


def _call(row: RowMapping) -> Call:
    values = json.loads(row["arguments"])
    return Call(
        CONTRACT,
        row["function"],
        tuple(bytes.fromhex(each) if isinstance(each, str) else each for each in values),
    )
