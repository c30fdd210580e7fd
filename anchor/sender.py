# SPDX-License-Identifier: GPL-3.0-or-later
"""Every transaction of the member's key goes through here, so that each takes effect once.

A transaction is signed and stored in one database transaction with whatever it is about, and only
then sent; after a crash the same bytes are sent again, which a chain executes once. Its outcome is
stored in one transaction with what follows from it. Nobody else may use the key: its nonces are
given out here.

    stored → mined        executed, with the outcome that the receipt says
           → failed       executed and reverted
           → refused      the node won't have it; whoever wanted it looks at the chain again
           → lost         another transaction has its nonce
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select, update

from anchor.chain import Call, Chain, ChainError, ChainRefused, Mined
from anchor.store import Store, next_id, transactions

Kind = Literal["log", "issuer", "revoke", "anchor", "wish"]
Outcome = Callable[[Connection, int, int], None]

MINED_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
# A chain that stands still is asked less often, and sent again what a node may have lost by restarting.
PATIENT_SECONDS: Final = 0.5
RESEND_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Wish:
    """A call to be sent, and what it is about: an issuer's or a wish's id, an anchor's size, or 0."""

    kind: Kind
    subject: int
    call: Call


@dataclass(frozen=True)
class _Stored:
    id: int
    nonce: int
    kind: Kind
    subject: int
    hash: bytes
    raw: bytes


class Sender:
    """Sends what is wished and stores what came of it.

    `outcomes` says for each kind what to store, given (connection, subject, EVM block), when a
    transaction of that kind has succeeded; `wait` sleeps, or raises when the process has to stop.
    """

    def __init__(
        self,
        store: Store,
        chain: Chain,
        outcomes: dict[Kind, Outcome],
        wait: Callable[[float], None],
    ) -> None:
        self._store = store
        self._chain = chain
        self._outcomes = outcomes
        self._wait = wait

    def send(
        self, wishes: Sequence[Wish], beside: Callable[[Connection], None] | None = None
    ) -> None:
        """Try, sign, store, send and settle some calls; `beside` is stored with them.

        Call `settle` before: nothing may be unsettled. Raises ChainRefused with the contract's
        reason if a call would fail, ChainError otherwise; what is stored by then goes out later.
        """
        for wish in wishes:
            self._chain.attempt(wish.call)
        first = self._chain.nonce()
        signed = [self._chain.sign(wish.call, first + n) for n, wish in enumerate(wishes)]
        with self._store.write() as connection:
            if beside:
                beside(connection)
            for wish, each in zip(wishes, signed, strict=True):
                self._keep(connection, wish, each.nonce, each.hash, each.raw)
        self.settle()

    def settle(self) -> None:
        """Send whatever is stored and not settled, in order of nonce, and wait for the outcome.

        Raises ChainError if one is not mined in time or the node can't be reached; all that is not
        settled stays stored.
        """
        pending = self._unsettled()
        for each in pending:
            if not self._is_settled(each):
                self._push(each)
        began = sent = time.monotonic()
        for each in self._unsettled():
            while not self._is_settled(each):
                now = time.monotonic()
                if now > began + MINED_SECONDS:
                    raise ChainError(
                        f"chuỗi đứng yên: sau {MINED_SECONDS:.0f} giây giao dịch chưa vào khối, có lẽ từ một "
                        "phần ba nút kiểm chứng trở lên đang vắng; lô vẫn được nhận, không mất gì · the chain "
                        f"stands still: a transaction is not mined after {MINED_SECONDS:.0f} s, a third of the "
                        "validators or more may be away; batches are still accepted, nothing is lost"
                    )
                if now > sent + RESEND_SECONDS:
                    self._push(each)
                    sent = now
                self._wait(POLL_SECONDS if now < began + RESEND_SECONDS else PATIENT_SECONDS)

    def _keep(
        self, connection: Connection, wish: Wish, nonce: int, digest: bytes, raw: bytes
    ) -> None:
        # Signing is deterministic: after a refusal the very same transaction may be wished again.
        again = update(transactions).where(transactions.c.hash == digest).values(state="stored")
        if connection.execute(again).rowcount:
            return
        values = {
            "id": next_id(connection, transactions),
            "nonce": nonce,
            "kind": wish.kind,
            "subject": wish.subject,
            "hash": digest,
            "state": "stored",
            "raw": raw,
        }
        connection.execute(insert(transactions).values(values))

    def _unsettled(self) -> list[_Stored]:
        query = select(transactions).where(transactions.c.state == "stored")
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(transactions.c.nonce)).all()
        return [
            _Stored(row.id, row.nonce, row.kind, row.subject, bytes(row.hash), bytes(row.raw))
            for row in rows
        ]

    def _push(self, each: _Stored) -> None:
        try:
            self._chain.send(each.raw)
        except ChainRefused as error:
            # The node may know it from before a crash: then it is there, or has been executed.
            if _is_known(error) or self._is_settled(each):
                return
            self._mark(each, "refused")
            raise

    def _is_settled(self, each: _Stored) -> bool:
        mined = self._chain.mined(each.hash)
        if mined is not None:
            self._store_outcome(each, mined)
            return True
        # The receipt comes after the nonce is used, so it has to be looked for once more.
        if self._chain.nonce() > each.nonce:
            mined = self._chain.mined(each.hash)
            if mined is None:
                self._mark(each, "lost")
            else:
                self._store_outcome(each, mined)
            return True
        return False

    def _store_outcome(self, each: _Stored, mined: Mined) -> None:
        if not mined.succeeded:
            self._mark(each, "failed", block=mined.block)
            return
        with self._store.write() as connection:
            _set_state(connection, each, state="mined", block=mined.block)
            self._outcomes[each.kind](connection, each.subject, mined.block)

    def _mark(self, each: _Stored, state: str, **values: Any) -> None:
        with self._store.write() as connection:
            _set_state(connection, each, state=state, **values)


def _set_state(connection: Connection, each: _Stored, **values: Any) -> None:
    connection.execute(update(transactions).where(transactions.c.id == each.id).values(values))


def _is_known(error: ChainRefused) -> bool:
    # Servers agree on no code for it: geth says "already known", ours names the pool.
    words = str(error).lower()
    return "already" in words or "known transaction" in words
