# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a business prove that the province took a batch, so that a dropped one can be shown.

PROTOCOL §2: a note signed by the log key when a batch is accepted:

    moneo/receipt/v1
    log <origin>
    batch <base64 SHA-256 of the batch note's text>
    time <POSIX seconds of the acceptance>
    by <POSIX seconds by which the batch will be in the log>

Its first line tells it from a checkpoint, whose second line is a number: one key may sign both.
"""

from dataclasses import dataclass

from anchor import ijson
from anchor.errors import ReceiptError
from anchor.note import (
    Signer,
    decimal,
    encode_statement,
    hash32,
    key_name,
    open_note,
    parse_statement,
)
from anchor.note import sign as sign_note

__all__ = ["Receipt", "ReceiptError", "open_receipt", "parse_receipt"]

TITLE = "moneo/receipt/v1"
_RULES = (
    ("log", key_name),
    ("batch", hash32),
    ("time", decimal(0, ijson.MAX_INTEGER)),
    ("by", decimal(0, ijson.MAX_INTEGER)),
)


@dataclass(frozen=True)
class Receipt:
    """What the province promises: this batch, accepted at `time`, will be in the log by `by`."""

    log: str
    batch: bytes
    time: int
    by: int

    def encode(self) -> bytes:
        """Return the note text."""
        return encode_statement(
            TITLE,
            (
                ("log", self.log),
                ("batch", ijson.encode_b64(self.batch)),
                ("time", str(self.time)),
                ("by", str(self.by)),
            ),
        )

    def sign(self, signer: Signer) -> bytes:
        """Return the signed receipt."""
        return sign_note(self.encode(), signer)


def parse_receipt(text: bytes) -> Receipt:
    """Return the receipt of a note text; the inverse of `Receipt.encode`.

    Raises:
        ReceiptError: not a receipt; names the line.
    """
    receipt = Receipt(*parse_statement(text, TITLE, _RULES, ReceiptError))
    if receipt.by < receipt.time:
        raise ReceiptError("to be logged before it was accepted", line=len(_RULES) + 1)
    return receipt


def open_receipt(note: bytes, log: str, public_key: bytes) -> Receipt:
    """Return a receipt that this log's key has signed.

    Raises:
        NoteError: not a note signed by this key.
        ReceiptError: not a receipt, or another log's.
    """
    receipt = parse_receipt(open_note(note, log, public_key))
    if receipt.log != log:
        raise ReceiptError(f"the receipt is for {receipt.log}, expected {log}", line=2)
    return receipt
