# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps private keys in files that nobody else can read, and introduces a new key to the province.

Ed25519 keys (issuer, log) are PEM PKCS #8 (RFC 5958, RFC 8410); the member's secp256k1 key is 64
hexadecimal digits and LF, which every Ethereum tool reads. Files are created whole, with mode 0600,
never overwritten, and refused when others may read them.

A key request is a note, signed with the very key it names, which proves possession (PROTOCOL §4):

    moneo/key/v1
    issuer <origin>/<issuer id>
    key <base64 public key>
"""

import os
import re
import secrets
import stat
from base64 import b32encode
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from anchor import ijson
from anchor.durable import sync_folder
from anchor.errors import KeyFileError, NoteError
from anchor.note import (
    Signer,
    check_name,
    encode_statement,
    hash32,
    open_note,
    parse_statement,
    split_note,
)
from anchor.note import sign as sign_note
from node.light import ed25519
from node.light.errors import SignatureError

__all__ = [
    "ISSUER_ID",
    "KeyFileError",
    "create_member_key",
    "create_private_key",
    "issuer_name",
    "load_member_key",
    "load_private_key",
    "new_issuer_id",
    "open_request",
    "request",
    "server_key",
]

ISSUER_ID = re.compile(r"[a-z2-7]{16}")
ISSUER_ID_BYTES = 10
SERVER_KEY_BYTES = 32
MAX_KEY_FILE = 4096
OWNER_ONLY = 0o600
# The order of secp256k1's group (SEC 2 §2.4.1): a private key is 1 to one less than this.
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TITLE = "moneo/key/v1"


def new_issuer_id() -> str:
    """Return a fresh issuer id: 80 random bits as 16 lower-case base32 characters (RFC 4648 §6)."""
    return b32encode(secrets.token_bytes(ISSUER_ID_BYTES)).decode("ascii").lower()


def issuer_name(text: str) -> str:
    """Read `<origin>/<issuer id>`.

    Raises:
        NoteError: not a key name, or its last part is not an issuer id.
    """
    origin, _, issuer_id = check_name(text).rpartition("/")
    if not origin or not ISSUER_ID.fullmatch(issuer_id):
        raise NoteError("an issuer's name is its log's origin, '/' and 16 base32 characters")
    return text


_RULES = (("issuer", issuer_name), ("key", hash32))


def create_private_key(path: Path) -> Ed25519PrivateKey:
    """Make a new Ed25519 key, durably in a new file that only its owner can read.

    Raises:
        KeyFileError: the file exists already.
    """
    key = Ed25519PrivateKey.generate()
    _create(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key of a PEM file.

    Raises:
        KeyFileError: missing, readable by others, or no Ed25519 key.
    """
    try:
        key = load_pem_private_key(_load(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path.name}: không phải khóa riêng dạng PEM không mã hóa · "
            f"not an unencrypted private key in PEM: {error}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(
            f"{path.name}: là khóa riêng nhưng không phải Ed25519 · a private key, but not Ed25519"
        )
    return key


def create_member_key(path: Path) -> bytes:
    """Make a new secp256k1 key, 32 bytes, durably in a new file that only its owner can read.

    Raises:
        KeyFileError: the file exists already.
    """
    number = 1 + secrets.randbelow(SECP256K1_ORDER - 1)
    _create(path, b"%064x\n" % number)
    return number.to_bytes(32, "big")


def load_member_key(path: Path) -> bytes:
    """Return the 32 bytes of a secp256k1 key file, ready for the library that signs with it.

    Raises:
        KeyFileError: missing, readable by others, or no such key.
    """
    match = re.fullmatch(rb"(?:0x)?([0-9a-fA-F]{64})\n?", _load(path))
    if not match:
        raise KeyFileError(f"{path.name}: không phải 64 chữ số hex · not 64 hexadecimal digits")
    number = int(match[1], 16)
    if not 0 < number < SECP256K1_ORDER:
        raise KeyFileError(
            f"{path.name}: không thể là khóa secp256k1 · outside secp256k1's range of private keys"
        )
    return number.to_bytes(32, "big")


def server_key(path: Path) -> bytes:
    """Return the 32 random bytes that the server keys its HMACs with, made when first asked for.

    Raises:
        KeyFileError: others may read the file, or it holds no such key.
    """
    if not path.exists():
        # Another process may be faster: then its key is the one.
        with suppress(KeyFileError):
            _create(path, secrets.token_hex(SERVER_KEY_BYTES).encode() + b"\n")
    match = re.fullmatch(rb"([0-9a-f]{64})\n", _load(path))
    if not match:
        raise KeyFileError(f"{path.name}: không phải 64 chữ số hex · not 64 hexadecimal digits")
    return bytes.fromhex(match[1].decode())


def request(signer: Signer) -> bytes:
    """Return the note that asks the province to register this key under its name, `<origin>/<issuer id>`.

    Raises:
        NoteError: the signer's name is not an issuer's.
    """
    lines = (("issuer", issuer_name(signer.name)), ("key", ijson.encode_b64(signer.public_key)))
    return sign_note(encode_statement(TITLE, lines), signer)


def open_request(note: bytes) -> tuple[str, bytes]:
    """Return (issuer name, public key) of a key request whose own key has signed it.

    Raises:
        NoteError: not a key request, a weak key, or not signed by the key it names.
    """
    text, _ = split_note(note, 1)
    try:
        name, key = parse_statement(text, TITLE, _RULES, NoteError)
        ed25519.check_public_key(key)
    except SignatureError as error:
        raise NoteError(f"khóa yếu · a weak key: {error}", line=3) from error
    open_note(note, name, key, 1)
    return name, key


def _create(path: Path, data: bytes) -> None:
    # Its name comes last, so that a crash never leaves half a key where one is looked for.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        os.write(file, data)
        os.fsync(file)
        path.hardlink_to(part)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path.name}: đã có, khóa không bao giờ bị ghi đè · "
            "exists already, and a key is never overwritten"
        ) from error
    finally:
        os.close(file)
        part.unlink()
    sync_folder(path.parent)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise KeyFileError(
            f"{path.name}: không đọc được khóa · the key can't be read: {error.strerror}"
        ) from error
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"{path.name}: người khác đọc được, chỉ cho chủ tệp đọc · "
            "others can read it; allow only its owner (chmod 600)"
        )
    if len(data) > MAX_KEY_FILE:
        raise KeyFileError(f"{path.name}: quá dài, không phải khóa · too long for a key")
    return data
