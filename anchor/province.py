# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door through which the API and the command line reach a province's anchor.

Everything here reads and writes the database and reads the log; nothing here talks to a chain or
needs a running node. Only the anchor process (`anchor.run`) writes the log and sends transactions,
so any number of processes may hold a `Province` open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection

from anchor import keys
from anchor.accept import Accepted, Acceptor, BatchRefused
from anchor.assemble import Assembler, NotAnchored
from anchor.backup import check_open
from anchor.corrections import Finder, of_closed_log
from anchor.custody import CUSTODY, keep_key
from anchor.epochs import Epoch, Epochs, of_row
from anchor.errors import AnchorError
from anchor.evidence import EvidenceTooLarge
from anchor.idempotency import Once, forget, once
from anchor.importer import Entry
from anchor.issuers import Custody, Issuer, IssuerRefused, Issuers, IssuerState
from anchor.record import Mode, Record
from anchor.settings import Settings, write
from anchor.store import Store, StoredBatch, UnknownBatch, anchors
from node.light import keccak256

__all__ = [
    "Accepted",
    "BatchRefused",
    "BatchStatus",
    "Custody",
    "EvidenceTooLarge",
    "Issuer",
    "IssuerRefused",
    "IssuerState",
    "NoTrust",
    "NotAnchored",
    "Province",
    "State",
    "StoredBatch",
    "UnknownBatch",
    "found",
    "member_address",
    "read_trust",
]

State = Literal["accepted", "logged", "anchored"]


class NoTrust(AnchorError):  # noqa: N818 - a verdict, said as one
    """There is no trust file yet: the anchor process makes it as soon as it reaches the node."""


@dataclass(frozen=True)
class BatchStatus:
    """Where a batch stands. Times are POSIX seconds; what has not happened yet is None.

    `checkpoint_size` is the size of the first anchored checkpoint that covers the batch,
    `evm_block` the EVM block in which it was anchored, `anchored_at` the consensus time of the
    header that carries it: the batch existed no later than that.
    """

    batch: str
    state: State
    issuer: str
    organisation: str
    seq: int
    size: int
    accepted_at: int
    log_index: int | None = None
    logged_at: int | None = None
    checkpoint_size: int | None = None
    evm_block: int | None = None
    anchored_at: int | None = None
    custody: Custody = "holder"


def found(settings: Settings) -> bytes:
    """Make the data folder of `settings` with fresh keys; return the member's 20-byte address.

    Raises SettingsError if there is a data folder already or a value is wrong.
    """
    # The database holds what is shown to nobody: the whole folder is its owner's alone.
    for folder in (settings.data, settings.data / "keys"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys.create_private_key(settings.log_key)
    secret = keys.create_member_key(settings.member_key)
    write(settings)
    return member_address(secret)


def member_address(secret: bytes) -> bytes:
    """The 20-byte EVM address of a member's secp256k1 key (Yellow Paper, appendix F)."""
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return keccak256(point[1:])[12:]


class Province:
    """A province's registry of issuers, its batches and their evidence. Safe for threads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self._logs = Epochs(settings)
        self._issuers = Issuers(store, self._logs.all)
        self._acceptor = Acceptor(settings, store, self._logs)
        self._assembler = Assembler(store, self._logs)

    @classmethod
    def open(cls, settings: Settings) -> Province:
        """Open the province of `settings`; its tables are made if they are missing."""
        store = Store.open(settings.database_url)
        try:
            province = cls(settings, store)
            # What it can't sign for is better known now than at the first batch.
            province._logs.signer(province.log())
        except BaseException:
            store.close()
            raise
        return province

    def close(self) -> None:
        """Let go of the database and the log."""
        self._assembler.close()
        self.store.close()

    def logs(self) -> list[Epoch]:
        """The province's logs, oldest first."""
        with self.store.read() as connection:
            return self._logs.all(connection)

    def log(self) -> Epoch:
        """The log that batches are accepted into now."""
        return self.logs()[-1]

    def first_open(self, connection: Connection) -> int:
        """The row of the first batch that is in no log which was given up."""
        return max([log.end for log in self._logs.all(connection) if log.given_up], default=1)

    def origin(self) -> str:
        """The name of that log, with which issuer names begin."""
        return self.log().origin

    def add_issuer(
        self,
        organisation: str,
        key_request: bytes,
        custody: Custody,
        prefixes: Sequence[str],
        name: str,
    ) -> Issuer:
        """Add an issuer key in state "pending"; the anchor process puts it on the chain.

        `organisation` is the API's id of the account; `key_request` the signed key request, which
        proves possession of the key; `prefixes` the code paths the issuer owns; `name` the
        organisation's name as verifiers show it. The same request again answers as before.
        Raises IssuerRefused.
        """
        return self._issuers.add(organisation, key_request, custody, prefixes, name)

    def keep_issuer(
        self, organisation: str, name: str, prefixes: Sequence[str], display: str
    ) -> Issuer:
        """Keep a key for the issuer `name` and add it with custody "operator".

        The key never leaves the data folder. Asked again, this answers with the same key; after
        its revocation with a new one. Raises IssuerRefused, KeyFileError.
        """
        settings = self.log().settings
        if name.rpartition("/")[0] != settings.origin:
            raise IssuerRefused(
                f"tên phải bắt đầu bằng · the issuer's name has to begin with {settings.origin}/"
            )
        signer = keep_key(settings, name, self._issuers.of(organisation))
        wanted = keys.request(signer)
        issuer = self._issuers.add(organisation, wanted, CUSTODY, prefixes, display)
        if issuer.custody != CUSTODY:
            # A key keeps its custody for life: two custodies are two keys (PROTOCOL §4).
            raise IssuerRefused(
                "khóa này đã đăng ký là do tổ chức tự giữ · this key is registered as the "
                "organisation's own already"
            )
        return issuer

    def issuer(self, name: str) -> Issuer | None:
        """The newest key of the issuer `<origin>/<issuer id>`, or None."""
        return self._issuers.newest(name)

    def issuers(self, organisation: str | None = None) -> list[Issuer]:
        """All issuer keys of an organisation (of all if None), oldest first."""
        return self._issuers.of(organisation)

    def revoke_issuer(self, name: str, key_id: bytes) -> Issuer:
        """Refuse new batches of a key at once; it is revoked on the chain after the last anchor.

        Raises IssuerRefused if there is no such key. A key already revoked stays so.
        """
        return self._issuers.revoke(name, key_id)

    def accept(
        self,
        body: bytes,
        organisation: str,
        now: int | None = None,
        request: Once | None = None,
    ) -> Accepted:
        """Check a signed batch, store it durably and answer with a signed receipt.

        `body` is the wire form of anchor.batch; `now` POSIX seconds (the clock's by default);
        `request` names the request, so that it is carried out once. When this returns, the batch
        is on disk. The same note, or the same request, again gets the same answer with
        `duplicate` set. Raises BatchRefused.
        """
        check_open(self.settings)
        now = int(time.time()) if now is None else now
        return self._acceptor.accept(body, organisation, now, request)

    def accept_entries(
        self,
        entries: Sequence[Entry],
        mode: Mode,
        organisation: str,
        now: int | None = None,
        request: Once | None = None,
    ) -> Accepted:
        """Salt records, sign them with the key kept for the organisation, and accept the batch.

        Its custody is `operator`. `now` and `request` as for `accept`; without a request, sending
        records again writes them again. Raises BatchRefused ("no-custody" if no key is kept),
        KeyFileError.
        """
        check_open(self.settings)
        now = int(time.time()) if now is None else now
        log = self.log()
        try:
            known = self._issuers.of(organisation)
            return self._acceptor.accept_entries(entries, mode, log, known, now, request)
        except BatchRefused:
            if self.log() == log:
                raise
            # The log was changed in between, and the key with it.
            return self.accept_entries(entries, mode, organisation, now, request)

    def finder(self, organisation: str) -> Finder:
        """Look up records that a diary of `organisation` corrects: its own, by whatever key."""
        return Finder(partial(self._leaves, organisation))

    def _leaves(self, organisation: str, batch: str) -> bytes | None:
        found = self.store.leaves(organisation, batch)
        if found is not None and self.store.batch(batch).row < self.log().first_batch:
            raise of_closed_log(batch)
        return found

    def once(self, organisation: str, key: str, *content: bytes) -> Once:
        """A request of `organisation` under its idempotency key; FormatError if that is no key."""
        return once(keys.server_key(self.settings.server_key), organisation, key, *content)

    def forget(self, now: int | None = None) -> None:
        """Forget the requests of more than 30 days ago."""
        with self.store.write() as connection:
            forget(connection, int(time.time()) if now is None else now)

    def status(self, batch: str) -> BatchStatus:
        """Where the batch stands; UnknownBatch if there is none."""
        row = self.store.batch(batch)
        log = of_row(self.logs(), row.row)
        anchor = None
        if row.log_index is not None:
            anchor = self.store.first_anchor_over(row.log_index, *log.holds(anchors.c.size))
        state: State = "anchored" if anchor else "accepted" if row.logged_at is None else "logged"
        return BatchStatus(
            batch=row.batch,
            state=state,
            issuer=row.issuer,
            organisation=row.organisation,
            seq=row.seq,
            size=row.size,
            accepted_at=row.accepted_at,
            log_index=None if row.log_index is None else row.log_index - log.base,
            logged_at=row.logged_at,
            checkpoint_size=anchor.size - log.base if anchor else None,
            evm_block=anchor.block if anchor else None,
            anchored_at=anchor.anchored_at if anchor else None,
            custody=row.custody,
        )

    def receipt(self, batch: str) -> bytes:
        """The receipt given for the batch; UnknownBatch if there is none."""
        return self.store.receipt(batch)

    def presentations(self, batch: str) -> list[Record]:
        """All records of the batch with every stored disclosure; UnknownBatch if there is none."""
        return self.store.records(batch)

    def presentation(self, batch: str, index: int) -> Record:
        """One record of the batch; UnknownBatch if there is no such batch or index."""
        return self.store.record(batch, index)

    def pick(self, batch: str, indices: Sequence[int]) -> list[Record]:
        """Some records of the batch, in this order; UnknownBatch as for `presentation`."""
        return self.store.pick(batch, indices)

    def batches_after(self, row: int, limit: int) -> list[StoredBatch]:
        """Up to `limit` batches with a row number above `row`, in order of acceptance.

        Row numbers have no gaps and become visible in order, so an index may go on from the last
        one it has seen (0 to begin).
        """
        return self.store.batches_after(row, limit)

    def evidence(
        self,
        refs: Sequence[tuple[str, int]],
        hide: Callable[[str, str], bool] | None = None,
    ) -> bytes:
        """One evidence file for the records `refs`, each (batch id, index in the batch).

        `hide(issuer name, field name)` says which disclosures to leave out. Made from what is
        stored: no node needed. Raises UnknownBatch, NotAnchored, EvidenceTooLarge.
        """
        return self._assembler.evidence(refs, hide or _show_all)

    def trust(self) -> bytes:
        """The trust file's exact bytes; NoTrust while the anchor process has not made it."""
        return read_trust(self.settings.trust_path)

    def pilot_trust(self) -> bytes:
        """The trust file of the chain that the log was on before it moved; NoTrust if there was none."""
        return read_trust(self.settings.pilot_trust_path)

    def ready(self) -> bool:
        """Whether the database answers."""
        return self.store.ready()


def read_trust(path: Path) -> bytes:
    """The bytes of the trust file at `path`; NoTrust if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NoTrust(
            "chưa có tệp tin cậy, hãy khởi động nút và tiến trình neo · there is no trust file "
            "yet, start the node and the anchor process"
        ) from None


def _show_all(_issuer: str, _field: str) -> bool:
    return False
