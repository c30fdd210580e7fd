# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes for a business that keeps no key of its own: the province salts, signs, and says that it did.

The key is the province's (`keys/custody/<issuer id>.key`, 0600) and is registered on the chain with
custody `operator` for life (PROTOCOL §4), so every verdict reads "written by the province for …".
Salting and hashing need no lock; the place in the key's sequence is taken, signed and stored in the
one transaction that accepts a batch. What a crash leaves behind was never acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anchor.batch import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    BatchNote,
    CheckedBody,
    CheckedRecords,
    check_records,
    parse_batch_note,
)
from anchor.durable import sync_folder
from anchor.errors import BatchError, RecordError
from anchor.importer import Entry
from anchor.issuers import ACCEPTED_STATES, Custody, Issuer
from anchor.keys import create_private_key, load_private_key
from anchor.note import Signer
from anchor.note import sign as sign_note
from anchor.record import Mode, present
from anchor.settings import Settings

CUSTODY: Final[Custody] = "operator"


def salt_entries(entries: Sequence[Entry], mode: Mode) -> CheckedRecords:
    """Salt the records of one batch.

    Raises:
        BatchError: no records, too many or too much, or what a record can't hold; names the record
            and field, where there is one.
    """
    if not 1 <= len(entries) <= MAX_BATCH_RECORDS:
        raise BatchError(f"{len(entries)} records, a batch has 1 to {MAX_BATCH_RECORDS}")
    texts: list[bytes] = []
    room = MAX_BATCH_BYTES
    for index, entry in enumerate(entries):
        texts.append(_present(entry, mode, index))
        room -= len(texts[-1])
        if room < 0:
            raise BatchError(
                f"salted, the records are longer than {MAX_BATCH_BYTES} bytes", record=index
            )
    return check_records(texts)


def sign_records(
    records: CheckedRecords, signer: Signer, *, log: str, seq: int, prev: bytes, time: int
) -> CheckedBody:
    """Return the batch of these records in its place of the key's sequence."""
    size = len(records.offsets)
    note = BatchNote(log, signer.name, seq, prev, time, size, records.root, records.codes)
    text = note.encode()
    parse_batch_note(text)
    return CheckedBody(sign_note(text, signer), text, note, records)


def _present(entry: Entry, mode: Mode, index: int) -> bytes:
    try:
        return present(entry.fields, type=entry.type, mode=mode, codes=entry.codes, re=entry.re)
    except RecordError as error:
        raise BatchError(str(error), record=index, field=error.field) from error


def key_path(settings: Settings, issuer: str) -> Path:
    """Where the province keeps the key that it signs with for the issuer `<origin>/<issuer id>`."""
    return settings.custody / f"{issuer.rpartition('/')[2]}.key"


def open_signer(settings: Settings, keys: Sequence[Issuer]) -> tuple[Signer, Issuer] | None:
    """The kept key of an organisation that has these issuer keys, and its row; None if it has none.

    Raises:
        KeyFileError: the key is registered, but its file is missing, unsafe or no key.
    """
    for issuer in reversed(keys):
        if issuer.custody != CUSTODY or issuer.state not in ACCEPTED_STATES:
            continue
        signer = Signer(issuer.name, load_private_key(key_path(settings, issuer.name)))
        if signer.public_key == issuer.public_key:
            return signer, issuer
    return None


def keep_key(settings: Settings, issuer: str, keys: Sequence[Issuer]) -> Signer:
    """The key to register for `issuer`: the one kept already, or a new one.

    A key that was revoked never signs again (PROTOCOL §4): its file is put aside, and a new one
    takes its place. Run again after an interruption, this answers with the same key.
    """
    path = key_path(settings, issuer)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent.parent)
    if path.exists():
        kept = Signer(issuer, load_private_key(path))
        gone = {key.key_id for key in keys if key.state not in ACCEPTED_STATES}
        if kept.key_hash not in gone:
            return kept
        path.rename(path.with_suffix(f".revoked-{kept.key_hash.hex()[:16]}"))
        sync_folder(path.parent)
    return Signer(issuer, create_private_key(path))
