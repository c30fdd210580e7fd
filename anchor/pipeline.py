# SPDX-License-Identifier: GPL-3.0-or-later
"""logged → anchored: the steps of the anchor process, each going on from what is stored.

The log's head on the chain is read and matched with what is stored; what was sent is settled; keys
asked for are registered; the newest checkpoint is anchored, at most one every `interval` seconds;
what proves it is captured; keys given up are revoked. Doing any step twice changes nothing. Each of a
province's logs has its pipeline (anchor.epochs).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

import contracts
from anchor.capture import Capturer, KnownIssuer
from anchor.chain import (
    Chain,
    ChainAnswerError,
    ChainError,
    ChainRefused,
    Head,
    IssuerState,
    anchor_call,
    register_issuer_call,
    register_log_call,
    revoke_issuer_call,
)
from anchor.checkpoint import Checkpoint
from anchor.durable import write_durably
from anchor.epochs import Epoch
from anchor.issuers import Issuer, by_id, in_state
from anchor.moving import is_asked, move
from anchor.note import Signer, key_hash
from anchor.sender import Kind, Outcome, Sender, Wish
from anchor.sequencing import PipelineError, Sequencing, any_unlogged
from anchor.settings import Settings
from anchor.store import Store, anchors, batches, get_meta, issuers, set_meta
from anchor.tiles import Log
from anchor.trust import Member, TrustError, fingerprint, parse_trust
from anchor.trustfile import Made, make
from anchor.wishes import Wishes, any_waiting, wish_done
from node.light import TrustedChain

# Keys that are registered with one round of transactions.
MAX_ISSUERS: Final = 50
# How often the chain is asked whether members or validators have changed.
LOOK_SECONDS: Final = 5.0
_UNSET: Final = bytes(32)
_NO_AUX: Final = bytes(32)


@dataclass(frozen=True)
class Anchored:
    """A checkpoint that is anchored and captured; `time` is the header's, POSIX seconds."""

    size: int
    root: bytes
    block: int
    time: int


class Pipeline:
    """The anchor process's steps over one database, one of the province's logs and one chain.

    `log` is open for writing and `signer` its key; for a closed log whose key is gone it is open for
    reading, and `signer` None. `epoch` says which log it is, the first by default. `say` gets a sentence for a person; `wait` sleeps for some seconds
    or raises when the process has to stop.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        log: Log,
        chain: Chain,
        signer: Signer | None,
        say: Callable[[str], None],
        wait: Callable[[float], None] = time.sleep,
        epoch: Epoch | None = None,
    ) -> None:
        if epoch is None:
            assert signer  # noqa: S101  only a closed log does without
            epoch = Epoch(settings, signer.public_key)
        self._settings = settings
        self._epoch = epoch
        self._base = epoch.base
        self._store = store
        self._log = log
        self._signer = signer
        self._chain = chain
        self._say = say
        self._wait = wait
        self._origin = hashlib.sha256(epoch.origin.encode()).digest()
        self._log_key_id = key_hash(epoch.origin, epoch.public_key)
        self._sequencing = Sequencing(store, log, epoch)
        outcomes: dict[Kind, Outcome] = {
            "log": self._log_registered,
            "issuer": _issuer_registered,
            "revoke": _issuer_revoked,
            "anchor": _checkpoint_mined,
            "wish": wish_done,
        }
        self._sender = Sender(store, chain, outcomes, wait)
        self._wishes = Wishes(store, chain, self._sender, say)
        self._capturer = Capturer(store, chain, self._origin, wait, self._base)
        self._trust: TrustedChain | None = None
        self._gaps: tuple[str, ...] = ()
        self._is_cut_off = False
        self._last_look = -float("inf")
        self._last_anchor = -float("inf")

    def reconcile(self) -> None:
        """Bring the database into line with the log on disk; once, before anything else."""
        self._sequencing.reconcile()

    def catch_up(self) -> int:
        """Make sure that the log holds its head on the chain; return the head's size.

        Raises ChainError if the chain can't be used now, PipelineError if the log is behind.
        """
        self._connect()
        self._sender.settle()
        return self._current_head().size

    def log_batches(self) -> int:
        """accepted → logged, for some batches; return how many. Needs no chain."""
        return self._sequencing.step() if self._signer else 0

    def is_finished(self) -> bool:
        """Whether the log is closed, and the whole of it anchored and captured."""
        if self._epoch.is_newest or self._is_cut_off:
            return self._is_cut_off
        with self._store.read() as connection:
            if not self._epoch.given_up and any_unlogged(connection, self._epoch):
                return False
            return self._last_size(connection, "anchored") == self._log.size

    def is_due(self) -> bool:
        """Whether `advance` would find anything to do."""
        if self._trust is None or self._is_look_due():
            return True
        with self._store.read() as connection:
            wished = issuers.c.state.in_(("pending", "revoking"))
            if connection.execute(select(issuers.c.id).where(wished).limit(1)).first():
                return True
            if self._uncaptured(connection) or any_waiting(connection):
                return True
            return self._is_anchor_due(self._last_size(connection))

    def advance(self) -> list[Anchored]:
        """Do on the chain whatever is due; return the checkpoints that are anchored by it.

        Raises ChainError if the chain can't be used now, PipelineError if it contradicts the log.
        """
        trust = self._connect()
        self._sender.settle()
        try:
            head = self._current_head()
        except PipelineError as error:
            if not self._epoch.given_up:
                raise
            # Whatever became of it since: it is not gone on with, and what was captured is kept.
            self._is_cut_off = True
            self._say(f"nhật ký đã bỏ · a log that was given up, {self._epoch.origin}: {error}")
            return []
        self._register_issuers()
        done = self._capture(trust)
        if self._is_anchor_due(head.size):
            self._anchor(head)
            done += self._capture(trust)
        self._revoke_issuers()
        self._wishes.carry_out()
        return done

    def _is_look_due(self) -> bool:
        return time.monotonic() - self._last_look >= LOOK_SECONDS

    def _is_anchor_due(self, anchored: int) -> bool:
        waited = time.monotonic() - self._last_anchor
        return self._log.size > anchored and waited >= self._settings.interval

    # The chain, its trust file and the log's head on it

    def _connect(self) -> TrustedChain:
        """Make sure that this is the chain of before; return what its light blocks hang on.

        Now and then the trust file is made anew: members and validators come and go.
        """
        if self._chain.is_behind():
            raise ChainError(
                "nút đang đuổi kịp các nút khác · the node is catching up with the others"
            )
        if self._trust is None:
            self._check_chain(self._chain.chain_id())
        if self._trust is None or self._is_look_due():
            self._trust = self._renewed_trust()
            self._last_look = time.monotonic()
        return self._trust

    def _check_chain(self, chain_id: int) -> None:
        value = str(chain_id).encode()
        with self._store.write() as connection:
            known = get_meta(connection, "evm_chain_id")
            if known is None:
                set_meta(connection, "evm_chain_id", value)
        if known not in (None, value):
            self._move(int(known), chain_id)

    def _move(self, known: int, chain_id: int) -> None:
        """Go on with the log on another chain, where a person has asked for it."""
        if not is_asked(self._settings, known, chain_id):
            raise PipelineError(
                "nút thuộc chuỗi khác với thư mục dữ liệu này, hãy sửa [node] rpc · "
                f"the node serves chain {chain_id}, this data folder is of chain "
                f"{known}: set [node] rpc in moneo.toml to the right node"
            )
        if not self._chain.is_admitted():
            # Until then evidence of the old chain is better than none.
            raise ChainError(
                "liên minh chưa kết nạp tỉnh này · the consortium has not admitted this province yet"
            )
        move(self._settings, self._store, chain_id)
        self._say(
            f"nhật ký chuyển từ chuỗi {known} sang {chain_id}: đăng ký và neo lại từ đầu, tệp tin cậy cũ ở "
            f"{self._settings.pilot_trust_path} · the log goes on from chain {known} on chain {chain_id}: it "
            "is registered and anchored there from its beginning, the old trust file stays for old evidence"
        )
        if self._epoch.number > 1:
            # The province's older logs go first, so that this one is its newest there too.
            raise ChainError("nhật ký cũ sang trước · the older logs go first")

    def _renewed_trust(self) -> TrustedChain:
        path = self._settings.trust_path
        before = path.read_bytes() if path.exists() else None
        made = self._made_trust(before)
        # Before anybody can hold a file that calls yesterday's validators retired.
        self._capturer.keep_eras(made.trust.chain)
        if made.data != before:
            write_durably(path, made.data)
            self._say(
                f"tệp tin cậy · trust file: {path}: {len(made.trust.members)} thành viên · members, "
                f"{len(made.trust.eras)} lần đổi nút kiểm chứng · changes of validators, "
                f"{fingerprint(made.data)}"
            )
        for gap in made.gaps:
            if gap not in self._gaps:
                self._say(f"tệp tin cậy · trust file: {gap}")
        self._gaps = made.gaps
        return made.trust.chain

    def _made_trust(self, before: bytes | None) -> Made:
        try:
            return make(self._chain, before, self._member(), self._wait)
        except TrustError as error:
            if before is None:
                raise ChainAnswerError(
                    f"không làm được tệp tin cậy · no trust file can be made: {error}"
                ) from error
            # What is anchored goes on being proven by the one that is there.
            return Made(before, parse_trust(before), (f"giữ tệp cũ · the old one stays: {error}",))

    def _member(self) -> Member:
        settings = self._settings
        return Member(self._chain.address, settings.name, settings.hosts, self._epoch.origin)

    def _current_head(self) -> Head:
        """Return the log's head on the chain, registering the log if it is new there."""
        commitment = self._chain.head(self._origin)
        if commitment == _UNSET:
            self._register_log()
            commitment = self._chain.head(self._origin)
        head = self._stored_head()
        if head is None or head.commitment() != commitment:
            head = self._recognise(commitment)
        if head.size > self._log.size or self._log.root(head.size) != head.root:
            raise PipelineError(
                "nhật ký trên đĩa không phải nhật ký đã neo, hãy khôi phục thư mục nhật ký từ bản sao "
                f"lưu mới nhất · the log on disk ({self._log.size} entries) is not the one whose {head.size} "
                "entries are anchored: restore the log's folder from its newest backup"
            )
        return head

    def _register_log(self) -> None:
        if self._stored_head() is not None:
            raise PipelineError(
                "chuỗi không còn nhật ký này, có phải chuỗi khác không? · "
                "the chain has lost this log: is it another chain?"
            )
        call = register_log_call(self._origin, self._log_key_id)
        self._sender.send([Wish("log", self._base, call)])

    def _stored_head(self) -> Head | None:
        query = select(anchors).where(anchors.c.block.is_not(None), *self._anchors())
        with self._store.read() as connection:
            row = connection.execute(query.order_by(anchors.c.size.desc())).mappings().first()
        return read_head(row, self._base) if row else None

    def _anchors(self) -> tuple[ColumnElement[bool], ...]:
        return self._epoch.holds(anchors.c.size)

    def _recognise(self, commitment: bytes) -> Head:
        """Find the preimage of a head that the database does not have; it was lost after sending."""
        head = self._chain.last_head(self._origin)
        if head is None or head.commitment() != commitment:
            raise PipelineError(
                "không nhận ra đầu nhật ký trên chuỗi, nhật ký đã bị cho nghỉ chăng? · "
                "the log's head on the chain is not known: has it been retired?"
            )
        if (head.owner, head.log_key_id) != (self._chain.address, self._log_key_id):
            raise PipelineError(
                "nhật ký trên chuỗi thuộc chủ khác hoặc khóa khác · "
                "the log on the chain is of another owner or another key"
            )
        if head.size > self._log.size or self._log.root(head.size) != head.root:
            raise PipelineError(
                "nhật ký trên đĩa thiếu mục đã neo, hãy khôi phục thư mục nhật ký từ bản sao lưu mới "
                f"nhất · {head.size} entries are anchored that are not in the log on disk: restore the "
                "log's folder from its newest backup"
            )
        with self._store.write() as connection:
            state = "mined" if head.size else "registered"
            _store_head(connection, self._base, head, state, None)
        return head

    # Issuer keys

    def _register_issuers(self) -> None:
        """Register every key asked for; also one given up before, if it may have signed."""
        with self._store.read() as connection:
            wanted = in_state(connection, "pending") + in_state(connection, "revoking")
        new = [one for one in wanted if not one.registered and not self._is_recognised(one)]
        for at in range(0, len(new), MAX_ISSUERS):
            self._sender.send([_registration(one) for one in new[at : at + MAX_ISSUERS]])

    def _is_recognised(self, issuer: Issuer) -> bool:
        """Whether the chain has the key already; what it says is stored then."""
        if self._chain.issuer(issuer.key_id) == _UNSET:
            return False
        state = self._chain.last_issuer(issuer.key_id)
        with self._store.write() as connection:
            if state is None or state != issuer_state(issuer, state.registered):
                _set_issuer(connection, issuer.id, state="refused")
                self._say(f"khóa đã có đăng ký khác · key registered otherwise: {issuer.name}")
            else:
                _issuer_registered(connection, issuer.id, state.registered)
        return True

    def _revoke_issuers(self) -> None:
        """Revoke keys that were given up, once everything they signed is anchored and captured."""
        with self._store.read() as connection:
            captured = self._base + self._last_size(connection, "anchored")
            given_up = [
                one
                for one in in_state(connection, "revoking")
                if one.registered and not self._has_open_batches(connection, one, captured)
            ]
        revocations: list[Wish] = []
        for issuer in given_up:
            state = issuer_state(issuer, issuer.registered)
            if self._chain.issuer(issuer.key_id) == state.commitment():
                call = revoke_issuer_call(issuer.key_id, state)
                revocations.append(Wish("revoke", issuer.id, call))
            else:
                self._recognise_revocation(issuer)
        for at in range(0, len(revocations), MAX_ISSUERS):
            self._sender.send(revocations[at : at + MAX_ISSUERS])

    def _has_open_batches(self, connection: Connection, issuer: Issuer, captured: int) -> bool:
        # Logs before this one are finished: what is open there stays so.
        mine = (batches.c.issuer_id == issuer.id, batches.c.id >= self._epoch.first_batch)
        still_open = batches.c.log_index.is_(None) | (batches.c.log_index >= captured)
        query = select(batches.c.id).where(*mine, still_open).limit(1)
        return connection.execute(query).first() is not None

    def _recognise_revocation(self, issuer: Issuer) -> None:
        told = self._chain.last_issuer(issuer.key_id)
        if told is None or not told.revoked:
            raise ChainAnswerError(
                "không nhận ra dữ liệu của khóa này trên chuỗi · "
                f"the chain holds something unknown for {issuer.name}"
            )
        with self._store.write() as connection:
            _issuer_revoked(connection, issuer.id, told.revoked)

    # Checkpoints

    def _anchor(self, head: Head) -> None:
        """Anchor the log's newest checkpoint over `head`."""
        checkpoint, note = self._log.checkpoint(), self._log.signed_checkpoint()
        path = self._log.consistency_path(head.size, checkpoint.size)
        call = anchor_call(self._origin, head, checkpoint.size, checkpoint.root, path)
        following = Head(
            head.owner, head.log_key_id, checkpoint.size, checkpoint.root, head.aux, block=0
        )
        self._last_anchor = time.monotonic()
        self._sender.send(
            [Wish("anchor", self._base + checkpoint.size, call)],
            beside=lambda connection: _store_head(
                connection, self._base, following, "prepared", note
            ),
        )

    def _capture(self, trust: TrustedChain) -> list[Anchored]:
        """Capture what is anchored and not captured, oldest first; return it."""
        with self._store.read() as connection:
            query = select(anchors).where(anchors.c.state == "mined", *self._anchors())
            rows = connection.execute(query.order_by(anchors.c.size)).mappings()
            heads = [read_head(row, self._base) for row in rows]
        found = [self._capture_one(trust, head, head is heads[-1]) for head in heads]
        return [one for one in found if one is not None]

    def _capture_one(self, trust: TrustedChain, head: Head, is_newest: bool) -> Anchored | None:
        with self._store.read() as connection:
            captured = self._base + self._last_size(connection, "anchored")
            known = _issuers_between(connection, captured, self._base + head.size)
        self._keep_checkpoint(head)
        try:
            when = self._capturer.capture(trust, head, known, head.block)
        except ChainRefused:
            # The node no longer has that block's state. The newest head is in every later one too.
            if not is_newest:
                self._set_anchor(head.size, state="missed")
                return None
            when = self._capturer.capture(trust, head, known, self._chain.newest())
        return Anchored(head.size, head.root, head.block, when)

    def _keep_checkpoint(self, head: Head) -> None:
        """Make sure that the signed checkpoint is there, also for a head that was recognised."""
        with self._store.read() as connection:
            query = select(anchors.c.checkpoint).where(anchors.c.size == self._base + head.size)
            if connection.execute(query).scalar_one() is not None:
                return
        # Signing is deterministic: these are the bytes that were published when it was anchored.
        if self._signer:
            note = Checkpoint(self._log.origin, head.size, head.root).sign(self._signer)
        elif head.size == self._log.size:
            note = self._log.signed_checkpoint()
        else:
            raise PipelineError(
                "thiếu điểm kiểm mà khóa đã mất từng ký, hãy khôi phục cơ sở dữ liệu từ bản sao lưu · a "
                "checkpoint is missing that the lost key has signed: restore the database from its backup"
            )
        self._set_anchor(head.size, checkpoint=note)

    def _set_anchor(self, size: int, **values: Any) -> None:
        with self._store.write() as connection:
            here = anchors.c.size == self._base + size
            connection.execute(update(anchors).where(here).values(values))

    def _log_registered(self, connection: Connection, _subject: int, block: int) -> None:
        owner, key_id = self._chain.address, self._log_key_id
        first = Head(owner, key_id, 0, contracts.EMPTY_ROOT, _NO_AUX, block)
        _store_head(connection, self._base, first, "registered", None)

    def _last_size(self, connection: Connection, *states: str) -> int:
        """The size of the log's newest anchor, of those in some states if given; 0 if none."""
        query = select(func.max(anchors.c.size)).where(
            anchors.c.block.is_not(None), *self._anchors()
        )
        if states:
            query = query.where(anchors.c.state.in_(states))
        return (connection.execute(query).scalar_one() or self._base) - self._base

    def _uncaptured(self, connection: Connection) -> bool:
        query = select(anchors.c.size).where(anchors.c.state == "mined", *self._anchors())
        return connection.execute(query.limit(1)).first() is not None


def read_head(row: RowMapping, base: int = 0) -> Head:
    """The head preimage of a row of the table `anchors`, of the log whose sizes begin at `base`."""
    return Head(
        bytes(row["owner"]),
        bytes(row["log_key_id"]),
        row["size"] - base,
        bytes(row["root"]),
        bytes(row["aux"]),
        row["block"],
    )


def issuer_state(issuer: Issuer, registered: int) -> IssuerState:
    """What IssuerRegistry holds of an unrevoked key that was registered in block `registered`."""
    custody = contracts.CUSTODY[issuer.custody]
    return IssuerState(custody, registered, 0, issuer.registration_leaf)


def _registration(issuer: Issuer) -> Wish:
    custody = contracts.CUSTODY[issuer.custody]
    call = register_issuer_call(issuer.key_id, custody, issuer.registration_leaf)
    return Wish("issuer", issuer.id, call)


def _store_head(
    connection: Connection, base: int, head: Head, state: str, checkpoint: bytes | None
) -> None:
    """Store an anchor; one that was prepared before is taken up again, with the same root."""
    values = {
        "state": state,
        "owner": head.owner,
        "log_key_id": head.log_key_id,
        "root": head.root,
        "aux": head.aux,
        "block": head.block or None,
    }
    size = base + head.size
    known = connection.execute(select(anchors.c.root).where(anchors.c.size == size)).first()
    if known is None:
        values |= {"size": size, "checkpoint": checkpoint}
        connection.execute(insert(anchors).values(values))
    elif bytes(known[0]) != head.root:
        raise PipelineError(
            f"nhật ký có hai gốc khác nhau · two roots for a log of {head.size} entries"
        )
    else:
        connection.execute(update(anchors).where(anchors.c.size == size).values(values))


def _issuer_registered(connection: Connection, subject: int, block: int) -> None:
    _set_issuer(connection, subject, registered=block)
    if by_id(connection, subject).state == "pending":
        _set_issuer(connection, subject, state="registered")


def _issuer_revoked(connection: Connection, subject: int, block: int) -> None:
    _set_issuer(connection, subject, state="revoked", revoked=block)


def _checkpoint_mined(connection: Connection, subject: int, block: int) -> None:
    query = update(anchors).where(anchors.c.size == subject, anchors.c.state == "prepared")
    connection.execute(query.values(state="mined", block=block))


def _set_issuer(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(update(issuers).where(issuers.c.id == number).values(values))


def _issuers_between(connection: Connection, start: int, end: int) -> Sequence[KnownIssuer]:
    """The registered keys that signed log entries from `start` to `end`."""
    query = (
        select(batches.c.issuer_id)
        .where(batches.c.log_index >= start, batches.c.log_index < end)
        .distinct()
    )
    found = [by_id(connection, row[0]) for row in connection.execute(query.order_by("issuer_id"))]
    return [
        KnownIssuer(one.id, one.key_id, issuer_state(one, one.registered))
        for one in found
        if one.registered
    ]
