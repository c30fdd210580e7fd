# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints and tlog-proofs are C2SP's, read as strictly as they are written."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anchor.checkpoint import (
    MAX_PATH,
    Checkpoint,
    TlogProof,
    open_checkpoint,
    parse_checkpoint,
    parse_tlog_proof,
)
from anchor.errors import CheckpointError, NoteError, NotSignedError, ProofError
from anchor.note import Signer, parse_verifier_key, sign
from tests.support.vectors import vector

ORIGIN = "camau.example/log/2026"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))
SIGNED = CHECKPOINT.sign(SIGNER)
hashes = st.binary(min_size=32, max_size=32)


@given(st.integers(1, 2**53 - 1), hashes)
def test_a_checkpoint_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert parse_checkpoint(checkpoint.encode()) == checkpoint
    assert open_checkpoint(checkpoint.sign(SIGNER), ORIGIN, SIGNER.public_key) == checkpoint


def test_the_empty_logs_checkpoint_has_the_empty_trees_root() -> None:
    empty = Checkpoint(ORIGIN, 0, hashlib.sha256(b"").digest())
    assert parse_checkpoint(empty.encode()) == empty
    with pytest.raises(CheckpointError):
        parse_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)).encode())


def test_tesseras_checkpoints_open() -> None:
    folder = vector("tessera-log")
    name, key = parse_verifier_key((folder / "verifier-key").read_text().strip())
    for file in (folder / "checkpoints").iterdir():
        assert open_checkpoint(file.read_bytes(), name, key).size == int(file.name)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b"a\n1\n", 3),
        (b"a b\n1\n" + b"A" * 43 + b"=\n", 1),
        (b"\n1\n" + b"A" * 43 + b"=\n", 1),
        (b"a\n01\n" + b"A" * 43 + b"=\n", 2),
        (b"a\n-1\n" + b"A" * 43 + b"=\n", 2),
        (b"a\n9007199254740992\n" + b"A" * 43 + b"=\n", 2),
        (b"a\n1\n" + b"A" * 42 + b"B=\n", 3),
        (b"a\n1\n" + b"A" * 40 + b"\n", 3),
        (b"a\n1\n" + b"A" * 43 + b"=\nextension\n", 4),
        (b"a\n1\n" + b"A" * 43 + b"=\n\n", 4),
        (b"a\n1\n" + b"A" * 43 + b"=", 3),
    ],
)
def test_a_wrong_line_of_a_checkpoint_is_named(text: bytes, line: int) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_checkpoint(text)
    assert caught.value.line == line


def test_a_checkpoint_of_another_log_or_key_is_refused() -> None:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(NotSignedError):
        open_checkpoint(SIGNED, ORIGIN, key)
    other = sign(Checkpoint("other.example/log", 7, bytes(32)).encode(), SIGNER)
    with pytest.raises(CheckpointError):
        open_checkpoint(other, ORIGIN, SIGNER.public_key)
    with pytest.raises(CheckpointError):
        parse_checkpoint("à\n".encode())
    with pytest.raises(NoteError):
        open_checkpoint(SIGNED + SIGNED.splitlines(keepends=True)[-1], ORIGIN, SIGNER.public_key)


@given(
    st.integers(0, 2**53 - 1),
    st.lists(hashes, max_size=MAX_PATH).map(tuple),
    st.none() | st.binary(max_size=40),
)
def test_a_proof_reads_back_with_its_checkpoint_verbatim(
    index: int, path: tuple[bytes, ...], extra: bytes | None
) -> None:
    proof = TlogProof(index, path, SIGNED, extra)
    assert parse_tlog_proof(proof.encode()) == proof
    assert proof.encode().endswith(b"\n\n" + SIGNED)


PROOF = TlogProof(3, (bytes(32), bytes(32)), SIGNED, b"more").encode()
HASH_LINE = b"A" * 43 + b"=\n"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"proof@v1", b"proof@v2", 1),
        (b"extra bW9yZQ==", b"extra bW9yZR==", 2),
        (b"extra bW9yZQ==", b"extra " + b"A" * 8000, 2),
        (b"extra ", b"Extra ", 2),
        (b"index 3", b"index 03", 3),
        (b"index 3", b"index 9007199254740992", 3),
        (b"index 3\n", b"", 3),
        (b"index 3\n", b"index 3\nindex 3\n", 4),
        (HASH_LINE, HASH_LINE[4:], 4),
        (HASH_LINE, HASH_LINE * MAX_PATH, 4 + MAX_PATH),
        (b"index 3", "index 3\u00a0".encode(), 3),
    ],
)
def test_a_wrong_line_of_a_proof_is_named(old: bytes, new: bytes, line: int) -> None:
    assert old in PROOF
    with pytest.raises(ProofError) as caught:
        parse_tlog_proof(PROOF.replace(old, new, 1))
    assert caught.value.line == line


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n\n" + SIGNED,
        b"c2sp.org/tlog-proof@v1\nindex 0\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\n",
        b"c2sp.org/tlog-proof@v1\nextra \n\n" + SIGNED,
        PROOF + b"x" * 200_000,
    ],
)
def test_what_is_no_proof_is_refused(proof: bytes) -> None:
    with pytest.raises(ProofError):
        parse_tlog_proof(proof)
