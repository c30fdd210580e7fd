# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files are private, whole and never overwritten; a key request proves possession."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from anchor.errors import KeyFileError, NoteError
from anchor.ijson import encode_b64
from anchor.keys import (
    ISSUER_ID,
    SECP256K1_ORDER,
    create_member_key,
    create_private_key,
    load_member_key,
    load_private_key,
    new_issuer_id,
    open_request,
    request,
)
from anchor.note import Signer, encode_statement, key_id4, sign

NAME = "camau.example/log/2026/abcdefghijklmnop"
SIGNER = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes(32)))


def raw(key: bytes | Ed25519PrivateKey) -> bytes:
    return key if isinstance(key, bytes) else key.private_bytes_raw()


KINDS = [(create_private_key, load_private_key), (create_member_key, load_member_key)]


@pytest.mark.parametrize(("create", "load"), KINDS)
def test_a_key_reads_back_from_a_file_of_its_owner_alone(
    create: Callable[[Path], Any], load: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.key"
    old = os.umask(0)
    try:
        made = create(path)
    finally:
        os.umask(old)
    assert raw(load(path)) == raw(made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyFileError, match="exists"):
        create(path)
    assert raw(load(path)) == raw(made)


@pytest.mark.parametrize(("create", "load"), KINDS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_reach_is_refused(
    create: Callable[[Path], Any], load: Callable[[Path], Any], mode: int, tmp_path: Path
) -> None:
    create(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(KeyFileError, match="others"):
        load(tmp_path / "a.key")


def private_file(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


PEM = Encoding.PEM, PrivateFormat.PKCS8
OTHER_KIND = generate_private_key(SECP256R1()).private_bytes(*PEM, NoEncryption())
LOCKED = SIGNER.private_key.private_bytes(*PEM, BestAvailableEncryption(b"x"))


@pytest.mark.parametrize("data", [b"", b"junk", OTHER_KIND, LOCKED, b"x" * 5000])
def test_what_is_no_ed25519_key_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        load_private_key(private_file(tmp_path / "a.key", data))


@pytest.mark.parametrize(
    "data",
    [b"", b"0" * 64, b"%064x" % SECP256K1_ORDER, b"f" * 64, b"1" * 63, b"1" * 65, b"g" * 64],
)
def test_what_is_no_secp256k1_key_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        load_member_key(private_file(tmp_path / "a.key", data))


def test_the_greatest_secp256k1_key_is_read(tmp_path: Path) -> None:
    path = private_file(tmp_path / "a.key", b"0x%064x\n" % (SECP256K1_ORDER - 1))
    assert load_member_key(path) == (SECP256K1_ORDER - 1).to_bytes(32, "big")


def test_a_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        load_private_key(tmp_path / "none")


def test_issuer_ids_are_fresh_and_well_formed() -> None:
    ids = {new_issuer_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(ISSUER_ID.fullmatch(one) for one in ids)


def test_a_request_names_the_key_that_signed_it() -> None:
    assert open_request(request(SIGNER)) == (NAME, SIGNER.public_key)


@pytest.mark.parametrize(
    "name", ["abcdefghijklmnop", "a/ABCDEFGHIJKLMNOP", "a/abc", "a/abcdefghijklmno1"]
)
def test_a_name_that_is_no_issuers_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        request(Signer(name, SIGNER.private_key))


def statement(key: bytes, name: str = NAME) -> bytes:
    return encode_statement("moneo/key/v1", (("issuer", name), ("key", encode_b64(key))))


def test_a_request_for_another_key_or_name_is_refused() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(NoteError):
        open_request(sign(statement(other), SIGNER))
    with pytest.raises(NoteError):
        open_request(sign(statement(SIGNER.public_key, NAME.replace("p", "q")), SIGNER))
    with pytest.raises(NoteError):
        open_request(request(SIGNER).replace(b"key/v1", b"key/v2"))


def test_a_weak_key_is_refused_though_its_signature_satisfies_some_verifiers() -> None:
    identity = b"\x01" + bytes(31)
    signature = encode_b64(key_id4(NAME, identity) + identity + bytes(32))
    with pytest.raises(NoteError):
        open_request(statement(identity) + f"\n— {NAME} {signature}\n".encode())
