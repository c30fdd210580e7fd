# SPDX-License-Identifier: GPL-3.0-or-later
"""The door for batches: what passes is on disk and has a receipt, what doesn't is told why.

Records, roots and signature are checked before the database is asked for anything that locks. Then
one transaction holds the sequence (PROTOCOL §2: `seq` and `prev` of each issuer key, 409 with the
expected ones otherwise) and one row; the receipt goes out only after its commit. Unsalted records of
a business whose key the province keeps take the same way, signed inside that transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, bindparam, func, insert, select

from anchor.batch import (
    FIRST_PREV,
    MAX_BATCH_BYTES,
    CheckedBody,
    CheckedRecords,
    check_body,
    note_hash,
    open_batch_note,
)
from anchor.custody import open_signer, salt_entries, sign_records
from anchor.epochs import Epoch, Epochs
from anchor.errors import AnchorError, BatchError, FormatError
from anchor.idempotency import KeyReused, Once, answered, remember
from anchor.importer import Entry
from anchor.issuers import ACCEPTED_STATES, Custody, Issuer
from anchor.note import split_note
from anchor.receipt import Receipt
from anchor.record import Mode
from anchor.settings import Settings
from anchor.store import PackedRecords, Store, batch_id, batches, issuers

Problem = Literal[
    "malformed",
    "mismatch",
    "too-large",
    "wrong-log",
    "log-closed",
    "unknown-issuer",
    "not-yours",
    "signature",
    "revoked",
    "future",
    "wrong-seq",
    "wrong-prev",
    "no-custody",
    "key-reused",
]

# Who reads a refusal is the business: Vietnamese and English.
_TEXTS: Final[dict[Problem, tuple[str, str]]] = {
    "malformed": ("lô sai định dạng: {why}", "the batch is malformed: {why}"),
    "mismatch": ("lô không khớp nội dung đã ký: {why}", "the batch is not what was signed: {why}"),
    "too-large": ("lô dài quá {most} byte", "the batch is longer than {most} bytes"),
    "wrong-log": (
        "lô dành cho nhật ký {log}, nhật ký này là {origin}",
        "the batch is for the log {log}, this one is {origin}",
    ),
    "log-closed": (
        "nhật ký {log} đã đóng, tỉnh ghi tiếp vào {origin}. Hãy tạo khóa mới: moneo key new {issuer}, gửi tệp .request "
        "cho tỉnh; khi tỉnh đã ghi khóa, gửi lại tệp nhật ký này",
        "the log {log} is closed, the province goes on in {origin}. Make a new key: moneo key new {issuer}, send its "
        ".request file to the province; when that has registered it, submit this diary again",
    ),
    "unknown-issuer": (
        "khóa ký này của {issuer} chưa được đăng ký",
        "this signing key of {issuer} is not registered",
    ),
    "not-yours": ("khóa ký thuộc tổ chức khác", "the signing key is another organisation's"),
    "signature": ("chữ ký của lô không đúng", "the batch's signature does not verify"),
    "revoked": ("khóa ký đã bị thu hồi", "the signing key is revoked"),
    "future": (
        "giờ ghi trong lô đi trước đồng hồ của tỉnh {ahead} giây, cho phép {most}",
        "the batch's time is {ahead} s ahead of the province's clock, {most} are allowed",
    ),
    "wrong-seq": (
        "số thứ tự của lô là {seq}, tỉnh đang chờ số {next}",
        "the batch's seq is {seq}, the province expects {next}",
    ),
    "wrong-prev": (
        "lô số {seq} không nối tiếp lô trước mà tỉnh đã nhận",
        "batch {seq} does not follow the one that the province has accepted before it",
    ),
    "no-custody": (
        "tỉnh không giữ khóa ký cho tổ chức này: hãy tự ký lô, hoặc nhờ tỉnh tạo khóa giữ hộ",
        "the province keeps no signing key for this organisation: sign the batch yourself, or ask "
        "the province to keep a key",
    ),
    "key-reused": (
        "Idempotency-Key này đã dùng cho nội dung khác: nội dung mới cần khóa mới",
        "this Idempotency-Key was used for other content: new content needs a new key",
    ),
}
# The lines of a batch note that are computed from its records.
_ROOT_LINES: Final = (8, 9)

# Built once: to build a statement takes longer than to carry it out.
_KEYS: Final = select(
    issuers.c.id,
    issuers.c.organisation,
    issuers.c.public_key,
    issuers.c.custody,
    issuers.c.key_id,
).where(issuers.c.name == bindparam("issuer"))
_STATE: Final = select(issuers.c.state).where(issuers.c.id == bindparam("issuer"))
_STORED: Final = (
    select(batches.c.receipt, batches.c.size, issuers.c.custody)
    .join(issuers, issuers.c.id == batches.c.issuer_id)
    .where(batches.c.note_hash == bindparam("digest"))
)
_LATEST: Final = (
    select(batches.c.seq, batches.c.note_hash)
    .where(batches.c.issuer_id == bindparam("issuer"))
    .order_by(batches.c.seq.desc())
    .limit(1)
)
_INSERT: Final = insert(batches).values(
    id=select(func.coalesce(func.max(batches.c.id), 0) + 1).scalar_subquery()
)


class BatchRefused(AnchorError):  # noqa: N818 - a verdict, said as one
    """A batch was not accepted and nothing of it was kept.

    `code` is one of Problem; `vi` and `en` say the same to a person; `record` (index) and `field`
    name what is at fault, if a record is; `expected_seq` and `expected_prev` (32 bytes) are set
    for "wrong-seq" and "wrong-prev", `issuer` for "log-closed": the name to go on by.
    """

    def __init__(
        self,
        code: Problem,
        record: int | None = None,
        field: str | None = None,
        expected: tuple[int, bytes] | None = None,
        **values: object,
    ) -> None:
        self.code: Problem = code
        self.vi, self.en = (text.format(**values) for text in _TEXTS[code])
        self.record = record
        self.field = field
        self.expected_seq = expected[0] if expected else None
        self.expected_prev = expected[1] if expected else None
        self.issuer = values.get("issuer") if code == "log-closed" else None
        super().__init__(self.detail)

    @property
    def detail(self) -> str:
        """Both wordings in one line."""
        return f"{self.vi} · {self.en}"


@dataclass(frozen=True)
class Accepted:
    """The answer to a batch: its id, the signed receipt, how many records it has, who keeps its key.

    `duplicate` says that this note had been accepted before; the receipt is the one given then.
    """

    batch: str
    receipt: bytes
    size: int
    custody: Custody
    duplicate: bool


@dataclass(frozen=True)
class _Key:
    id: int
    organisation: str
    public_key: bytes
    custody: Custody


class Acceptor:
    """Accepts batches for a province's newest log; safe for threads and any number of processes."""

    def __init__(self, settings: Settings, store: Store, logs: Epochs) -> None:
        self._settings = settings
        self._store = store
        self._logs = logs

    def accept(
        self, body: bytes, organisation: str, now: int, request: Once | None = None
    ) -> Accepted:
        """Check, store and acknowledge the batch in `body`; see Province.accept."""
        checked = self._check(body)
        key = self._key(checked, organisation)
        with self._store.write() as connection:
            if known := _answered(connection, request, now):
                return known
            accepted = _stored(connection, note_hash(checked.note_text))
            accepted = accepted or self._insert(connection, checked, key, now)
            _remember(connection, request, checked, now)
            return accepted

    def accept_entries(
        self,
        entries: Sequence[Entry],
        mode: Mode,
        log: Epoch,
        keys: Sequence[Issuer],
        now: int,
        request: Once | None = None,
    ) -> Accepted:
        """Salt, sign, store and acknowledge records in the clear; see Province.accept_entries."""
        kept = open_signer(log.settings, keys)
        if kept is None:
            raise BatchRefused("no-custody")
        signer, issuer = kept
        key = _Key(issuer.id, issuer.organisation, issuer.public_key, issuer.custody)
        with self._store.read() as connection:
            if known := _answered(connection, request, now):
                return known
        salted = _salt(entries, mode)
        with self._store.write() as connection:
            # Asked again: whoever sent the same request at the same time was here first.
            if known := _answered(connection, request, now):
                return known
            seq, prev = expected_sequence(connection, key.id)
            checked = sign_records(salted, signer, log=log.origin, seq=seq, prev=prev, time=now)
            accepted = self._insert(connection, checked, key, now)
            _remember(connection, request, checked, now)
            return accepted

    def _check(self, body: bytes) -> CheckedBody:
        if len(body) > MAX_BATCH_BYTES:
            raise BatchRefused("too-large", most=MAX_BATCH_BYTES)
        try:
            checked = check_body(body)
        except BatchError as error:
            at_fault = error.record is None and error.line in _ROOT_LINES
            code: Problem = "mismatch" if at_fault else "malformed"
            raise BatchRefused(code, error.record, error.field, why=error) from error
        except FormatError as error:
            raise BatchRefused("malformed", why=error) from error
        if checked.note.log not in self._logs.origins:
            with self._store.read() as connection:
                newest = self._logs.newest(connection)
            if checked.note.log not in self._logs.origins:
                raise BatchRefused("wrong-log", log=checked.note.log, origin=newest.origin)
        return checked

    def _key(self, checked: CheckedBody, organisation: str) -> _Key:
        """The registered key that has signed the note."""
        key = self._find_key(checked)
        if key.organisation != organisation:
            raise BatchRefused("not-yours")
        try:
            open_batch_note(checked.note_bytes, key.public_key)
        except FormatError as error:
            raise BatchRefused("signature") from error
        return key

    def _find_key(self, checked: CheckedBody) -> _Key:
        _, signatures = split_note(checked.note_bytes, 1)
        with self._store.read() as connection:
            known = connection.execute(_KEYS, {"issuer": checked.note.issuer})
            for number, organisation, public_key, custody, key_id in known:
                if bytes(key_id).startswith(signatures[0].key_id):
                    return _Key(number, organisation, bytes(public_key), custody)
        raise BatchRefused("unknown-issuer", issuer=checked.note.issuer)

    def _insert(
        self, connection: Connection, checked: CheckedBody, key: _Key, now: int
    ) -> Accepted:
        log = self._logs.newest(connection)
        _check_open(checked, log)
        _check_unrevoked(connection, key)
        ahead = checked.note.time - now
        if ahead > self._settings.max_ahead:
            raise BatchRefused("future", ahead=ahead, most=self._settings.max_ahead)
        _check_sequence(connection, checked, key)
        digest = note_hash(checked.note_text)
        promise = Receipt(log.origin, digest, now, now + self._settings.log_by)
        receipt = promise.sign(self._logs.signer(log))
        packed = PackedRecords.pack(checked.records.presentations, checked.records.offsets)
        values = {
            "note_hash": digest,
            "issuer_id": key.id,
            "seq": checked.note.seq,
            "prev": checked.note.prev,
            "size": checked.note.size,
            "accepted_at": now,
            "note": checked.note_bytes,
            "receipt": receipt,
            "offsets": packed.offsets,
            "leaves": checked.records.leaf_hashes,
            "presentations": packed.blob,
        }
        connection.execute(_INSERT, values)
        return Accepted(batch_id(digest), receipt, checked.note.size, key.custody, duplicate=False)


def expected_sequence(connection: Connection, issuer_id: int) -> tuple[int, bytes]:
    """The `seq` and `prev` that an issuer key's next batch has to have."""
    row = connection.execute(_LATEST, {"issuer": issuer_id}).first()
    return (row[0] + 1, bytes(row[1])) if row else (0, FIRST_PREV)


def _check_open(checked: CheckedBody, log: Epoch) -> None:
    # Read inside the writing transaction, in whose order a log is closed too.
    if checked.note.log != log.origin:
        name = f"{log.origin}/{checked.note.issuer.rpartition('/')[2]}"
        raise BatchRefused("log-closed", log=checked.note.log, origin=log.origin, issuer=name)


def _check_unrevoked(connection: Connection, key: _Key) -> None:
    # Read inside the writing transaction: whoever revokes a key writes too, so either this batch
    # is seen by the last anchor before the revocation, or the revocation is seen here.
    state = connection.execute(_STATE, {"issuer": key.id}).scalar_one()
    if state not in ACCEPTED_STATES:
        raise BatchRefused("revoked")


def _check_sequence(connection: Connection, checked: CheckedBody, key: _Key) -> None:
    seq, prev = expected = expected_sequence(connection, key.id)
    if checked.note.seq != seq:
        raise BatchRefused("wrong-seq", expected=expected, seq=checked.note.seq, next=seq)
    if checked.note.prev != prev:
        raise BatchRefused("wrong-prev", expected=expected, seq=seq)


def _salt(entries: Sequence[Entry], mode: Mode) -> CheckedRecords:
    try:
        return salt_entries(entries, mode)
    except BatchError as error:
        raise BatchRefused("malformed", error.record, error.field, why=error) from error


def _answered(connection: Connection, request: Once | None, now: int) -> Accepted | None:
    """The answer that this request got when it came first, None if it is new."""
    if request is None:
        return None
    try:
        digest = answered(connection, request, now)
    except KeyReused as error:
        raise BatchRefused("key-reused") from error
    return _stored(connection, digest) if digest else None


def _remember(connection: Connection, request: Once | None, checked: CheckedBody, now: int) -> None:
    if request is not None:
        remember(connection, request, note_hash(checked.note_text), now)


def _stored(connection: Connection, digest: bytes) -> Accepted | None:
    """The answer given when this note was accepted, or None."""
    row = connection.execute(_STORED, {"digest": digest}).first()
    if row is None:
        return None
    return Accepted(batch_id(digest), bytes(row[0]), row[1], row[2], duplicate=True)
