# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes are C2SP's, and only the expected key's signature opens one."""

import hashlib
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anchor.errors import FormatError, NoteError, NotSignedError
from anchor.note import (
    MAX_NOTE_BYTES,
    Signer,
    decimal,
    encode_statement,
    hash32,
    key_hash,
    key_id4,
    key_name,
    open_note,
    parse_statement,
    parse_verifier_key,
    sign,
    split_note,
    verifier_key,
)
from tests.support.vectors import vector

ALICE = Signer("alice.example/1", Ed25519PrivateKey.from_private_bytes(bytes(32)))
BOB = Signer("bob.example/1", Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
TEXT = "Cua Cà Mau\n\nhai dòng\n".encode()
NOTE = sign(TEXT, ALICE)


def opened(note: bytes, limit: int = 64) -> bytes:
    return open_note(note, ALICE.name, ALICE.public_key, limit)


def last_line(note: bytes) -> bytes:
    return note.splitlines(keepends=True)[-1]


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]) | st.just("\n")))
def test_a_signed_text_opens_to_the_same_text(text: str) -> None:
    data = text.encode() + b"\n"
    assert opened(sign(data, ALICE)) == data


def test_a_checkpoint_signed_by_another_program_opens() -> None:
    folder = vector("tessera-log")
    name, key = parse_verifier_key((folder / "verifier-key").read_text().strip())
    assert open_note((folder / "checkpoint").read_bytes(), name, key).startswith(name.encode())


def test_the_key_id_is_the_specifications() -> None:
    digest = hashlib.sha256(b"alice.example/1\n\x01" + ALICE.public_key).digest()
    assert key_hash(ALICE.name, ALICE.public_key) == ALICE.key_hash == digest
    assert key_id4(ALICE.name, ALICE.public_key) == digest[:4]


def test_verifier_keys_read_back_and_a_wrong_one_is_refused() -> None:
    text = verifier_key(ALICE.name, ALICE.public_key)
    assert parse_verifier_key(text) == (ALICE.name, ALICE.public_key)
    for wrong in (text[:-1], text.replace("alice", "alicf"), "a+b", "", text + "+x"):
        with pytest.raises(NoteError):
            parse_verifier_key(wrong)
    other_type = b64encode(b"\x04" + ALICE.public_key).decode()
    with pytest.raises(NoteError):
        parse_verifier_key(f"{ALICE.name}+{ALICE.key_hash[:4].hex()}+{other_type}")


def test_lines_of_other_keys_are_passed_over_up_to_the_bound() -> None:
    both = last_line(sign(TEXT, BOB)) + last_line(NOTE)
    note = TEXT + b"\n" + both
    assert opened(note, 2) == TEXT
    with pytest.raises(NoteError):
        opened(note, 1)
    assert [s.name for s in split_note(note)[1]] == [BOB.name, ALICE.name]


def test_a_note_by_another_key_is_not_signed() -> None:
    same_name = Signer(ALICE.name, BOB.private_key)
    same_key = Signer("carol.example/1", ALICE.private_key)
    for signer in (BOB, same_name, same_key):
        with pytest.raises(NotSignedError):
            opened(sign(TEXT, signer))


@given(st.integers(0, len(NOTE) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(NOTE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(NoteError):
        opened(bytes(data))


LINE = last_line(NOTE)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT,
        TEXT + b"\n",
        TEXT + LINE,
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + b"x\n",
        NOTE + LINE,
        NOTE.replace(b"\n\n", b"\r\n\r\n"),
        b"a\x00b\n\n" + LINE,
        b"a\tb\n\n" + LINE,
        b"\xff\n\n" + LINE,
        TEXT + b"\n" + LINE.replace(b" ", b"  ", 1),
        TEXT + b"\n" + LINE[:-1] + b" \n",
        TEXT + b"\n" + LINE.replace("—".encode(), b"-"),
        TEXT + "\n— a AAAAAA==\n".encode(),
        TEXT + "\n— a b c\n".encode(),
        TEXT + "\n— a+b AAAAAAAA\n".encode(),
        TEXT + "\n— a\u00a0b AAAAAAAA\n".encode(),
        b"x" * MAX_NOTE_BYTES + b"\n\n" + LINE,
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(NoteError):
        opened(note)


@pytest.mark.parametrize("text", [b"", b"a", b"a\x07\n", b"\xff\n", b"x" * MAX_NOTE_BYTES + b"\n"])
def test_what_is_no_text_of_a_note_is_not_signed(text: bytes) -> None:
    with pytest.raises(NoteError):
        sign(text, ALICE)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "à", "a\n", "x" * 257])
def test_what_is_no_key_name_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        Signer(name, ALICE.private_key)


def test_a_weak_key_opens_nothing() -> None:
    # The identity as key and R, and S = 0, satisfy some verifiers for every text.
    identity = b"\x01" + bytes(31)
    signature = b64encode(key_id4("a", identity) + identity + bytes(32)).decode()
    with pytest.raises(NotSignedError):
        open_note(f"any\n\n— a {signature}\n".encode(), "a", identity)


def test_a_signer_does_not_print_its_private_key() -> None:
    assert "private" not in repr(ALICE)


RULES = (("name", key_name), ("count", decimal(1, 99)), ("hash", hash32))
STATEMENT = encode_statement(
    "title/v1", (("name", "a/b"), ("count", "7"), ("hash", "A" * 43 + "="))
)


def test_a_statement_reads_back() -> None:
    assert parse_statement(STATEMENT, "title/v1", RULES) == ["a/b", 7, bytes(32)]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"title/v1", b"title/v2", 1),
        (b"title/v1\n", b"", 1),
        (b"name a/b\n", b"", 2),
        (b"name a/b\n", b"count 7\n", 2),
        (b"name a/b", b"name  a/b", 2),
        (b"name a/b", b"Name a/b", 2),
        (b"name a/b", b"name \xc3\xa0", 2),
        (b"count 7", b"count 07", 3),
        (b"count 7", b"count 0", 3),
        (b"count 7", b"count 100", 3),
        (b"count 7", b"count 7 ", 3),
        (b"count 7", b"count +7", 3),
        (b"count 7", b"count ", 3),
        (b"A=", b"B=", 4),
        (b"hash A", b"hash ", 4),
        (b"=\n", b"=", 5),
        (b"=\n", b"=\n\n", 5),
        (b"=\n", b"=\nmore x\n", 5),
    ],
)
def test_a_statements_wrong_line_is_named(old: bytes, new: bytes, line: int) -> None:
    assert old in STATEMENT
    with pytest.raises(FormatError) as caught:
        parse_statement(STATEMENT.replace(old, new, 1), "title/v1", RULES)
    assert caught.value.line == line


def test_decimals_end_below_2_to_the_53() -> None:
    read: Any = decimal(0, 2**60)
    assert read("9007199254740991") == 2**53 - 1
    for text in ("9007199254740992", "9" * 5000, "٣"):
        with pytest.raises(FormatError):
            read(text)
