# SPDX-License-Identifier: GPL-3.0-or-later
"""A receipt says which batch, by whom and by when, and nothing else passes for one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anchor.checkpoint import Checkpoint, parse_checkpoint
from anchor.errors import CheckpointError, NotSignedError, ReceiptError
from anchor.note import Signer
from anchor.receipt import Receipt, open_receipt, parse_receipt

LOG = "camau.example/log/2026"
SIGNER = Signer(LOG, Ed25519PrivateKey.from_private_bytes(bytes(32)))
RECEIPT = Receipt(LOG, bytes(range(32)), 1_790_000_000, 1_790_086_400)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**51), st.integers(0, 2**51))
def test_a_receipt_reads_back(batch: bytes, time: int, more: int) -> None:
    receipt = Receipt(LOG, batch, time, time + more)
    assert parse_receipt(receipt.encode()) == receipt
    assert open_receipt(receipt.sign(SIGNER), LOG, SIGNER.public_key) == receipt


def test_it_has_the_lines_of_the_protocol() -> None:
    assert RECEIPT.encode().decode().splitlines() == [
        "moneo/receipt/v1",
        f"log {LOG}",
        "batch AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "time 1790000000",
        "by 1790086400",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"receipt/v1", b"receipt/v2", 1),
        (b"batch AAEC", b"batch AAE", 3),
        (b"time 1", b"time 01", 4),
        (b"by 1790086400", b"by 1789999999", 5),
        (b"by 1790086400\n", b"by 1790086400\nx\n", 6),
    ],
)
def test_a_wrong_line_is_named(old: bytes, new: bytes, line: int) -> None:
    with pytest.raises(ReceiptError, match=rf"^line {line}: ") as caught:
        parse_receipt(RECEIPT.encode().replace(old, new, 1))
    assert caught.value.line == line


def test_another_logs_receipt_is_refused() -> None:
    other = Receipt("other.example/log", RECEIPT.batch, 1, 2)
    with pytest.raises(ReceiptError):
        open_receipt(other.sign(SIGNER), LOG, SIGNER.public_key)
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(NotSignedError):
        open_receipt(RECEIPT.sign(SIGNER), LOG, key)


def test_a_receipt_is_no_checkpoint_and_a_checkpoint_no_receipt() -> None:
    with pytest.raises(CheckpointError):
        parse_checkpoint(RECEIPT.encode())
    with pytest.raises(ReceiptError):
        parse_receipt(Checkpoint(LOG, 5, bytes(32)).encode())
