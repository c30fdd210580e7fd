# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's card: the one public file by which a province joins the others, so that no key travels.

JSON in ASCII of exactly these members; `member` is as in `genesis.json` (`node.genesis`):

    {"format": "moneo/member/v1",
     "evm_chain_id": 0,
     "member": {"account": …, "validator_key": …, "node_id": …, "origin": …, "log_key_id": …,
                "name": "0x<SHA-256 over the characters of the disclosure>", "hosts": likewise},
     "log": "moneo.example/camau/2026",
     "name": "<disclosure of [salt, \\"name\\", \\"Cà Mau\\"]>",
     "hosts": "<disclosure of [salt, \\"hosts\\", {\\"pages\\": [\\"camau.example\\"], \\"peer\\": \\"HOST:PORT\\"}]>",
     "proof": "0x<352 bytes>"}

A disclosure is RFC 9901 §4.2.1's, its digest §4.2.3's; only the digest is on the chain. The chain id
is 0 in a founding, which gives the chain its id. `proof` is an admission's (docs/governance.md):
account, validator, node and log key have all signed the member's record, so that a card cannot be
changed by whoever passes it on.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

import contracts
from node import governance, shape
from node.durable import sync_folder, write_draft
from node.errors import GenesisError
from node.genesis import MAX_EVM_CHAIN_ID, record_json, record_of
from node.light import LightError, check_public_key

__all__ = [
    "CARDS",
    "Card",
    "Keys",
    "card_json",
    "card_of",
    "cards",
    "keep_card",
    "make_card",
    "parse_card",
]

FORMAT: Final = "moneo/member/v1"
CARDS: Final = "cards"

MAX_CARD_BYTES: Final = 16 * 1024
MAX_BRACKETS: Final = 8
MAX_NAME: Final = 200
MAX_PAGES: Final = 16
# Members come and go; more cards than this in a home are none of ours.
MAX_CARDS: Final = 1024
PROOF_SIZE: Final = 352

_SALT_BYTES: Final = 16
_SALT: Final = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]", re.ASCII)
_LOG: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}(/[A-Za-z0-9._~-]{1,64}){1,8}", re.ASCII)
_PAGE: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?", re.ASCII)
_PEER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})", re.ASCII)
_NOWHERE: Final = ("0.0.0.0", "[::]")  # noqa: S104  nobody is reached there
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_FILE: Final = re.compile(r"[0-9a-f]{40}\.json", re.ASCII)
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
# Where the proof has the node's and the log's keys: after v, r, s and the validator's signature.
_NODE_KEY: Final = slice(160, 192)
_LOG_KEY: Final = slice(256, 288)


@dataclass(frozen=True, slots=True)
class Keys:
    """A province's four keys, which never leave their files; a card holds none of them."""

    account: PrivateKey
    validator: Ed25519PrivateKey
    node: Ed25519PrivateKey
    log: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Card:
    """A card, read and checked: whoever holds one knows that the member holds its four keys.

    `log` is the log's origin, `pages` the names under which its pages are served, `peer` where others
    reach its CometBFT (HOST:PORT); `evm_chain_id` is 0 for a founding.
    """

    evm_chain_id: int
    member: contracts.Member
    log: str
    name: str
    pages: tuple[str, ...]
    peer: str
    name_disclosure: str
    hosts_disclosure: str
    proof: bytes

    @property
    def node_key(self) -> bytes:
        """The node's Ed25519 public key."""
        return self.proof[_NODE_KEY]

    @property
    def log_key(self) -> bytes:
        """The log's Ed25519 public key."""
        return self.proof[_LOG_KEY]

    @property
    def raw(self) -> bytes:
        """The card as a file."""
        return json.dumps(card_json(self), indent=1).encode("ascii") + b"\n"


def card_json(card: Card) -> dict[str, Any]:
    """Return a card as the JSON object that it is in files and answers."""
    return {
        "format": FORMAT,
        "evm_chain_id": card.evm_chain_id,
        "member": record_json(card.member),
        "log": card.log,
        "name": card.name_disclosure,
        "hosts": card.hosts_disclosure,
        "proof": "0x" + card.proof.hex(),
    }


def make_card(
    name: str,
    pages: Sequence[str],
    peer: str,
    log: str,
    keys: Keys,
    evm_chain_id: int = 0,
    before: Card | None = None,
) -> Card:
    """Return a card signed by all keys; what has not changed since `before` keeps its salt.

    Raises GenesisError for a value that a card cannot have.
    """
    hosts = {"pages": list(pages), "peer": peer}
    named = _disclosure("name", unicodedata.normalize("NFC", name))
    placed = _disclosure("hosts", hosts)
    if before and before.name == unicodedata.normalize("NFC", name):
        named = before.name_disclosure
    if before and (before.pages, before.peer) == (tuple(pages), peer):
        placed = before.hosts_disclosure
    public = {use: _public(key) for use, key in (("node", keys.node), ("log", keys.log))}
    member = contracts.Member(
        account=keys.account.public_key.to_canonical_address(),
        validator_key=_public(keys.validator),
        node_id=contracts.place(public["node"]),
        origin=sha256(log.encode()).digest(),
        log_key_id=_log_key_id(log, public["log"]),
        name=_digest(named),
        hosts=_digest(placed),
    )
    proof = governance.admission_proof(
        evm_chain_id, member, keys.account, keys.validator, keys.node, keys.log
    )
    card = Card(evm_chain_id, member, log, name, tuple(pages), peer, named, placed, proof)
    return parse_card(card.raw, name)


def parse_card(data: bytes, source: str = "") -> Card:
    """Read a card and check all of it: sizes, disclosures, ids, and the signatures of its four keys.

    `source` is the file's name. Raises GenesisError, which names the sender by what it says of
    itself and by the source.
    """
    value: Any = None
    try:
        _require(
            len(data) <= MAX_CARD_BYTES,
            "quá lớn, không phải phiếu thành viên",
            f"over {MAX_CARD_BYTES} bytes: no member's card",
        )
        value = shape.parse_json(data, MAX_BRACKETS)
        return _card(value)
    except GenesisError as error:
        who = " – ".join(filter(None, (_claimed_name(value), source))) or "?"
        raise GenesisError(f"{who}: {error}") from error


def cards(home: Path) -> list[Card]:
    """Return the cards kept in a node's home, by account; raises GenesisError if one is damaged."""
    try:
        paths = sorted(p for p in (home / CARDS).iterdir() if _FILE.fullmatch(p.name))
    except FileNotFoundError:
        return []
    _require(len(paths) <= MAX_CARDS, "quá nhiều phiếu", f"more than {MAX_CARDS} cards")
    return [_kept(path) for path in paths]


def card_of(home: Path, account: bytes) -> Card | None:
    """Return the card that a home keeps of this account, None if there is none; raises GenesisError."""
    path = _path(home, account)
    return _kept(path) if path.exists() else None


def keep_card(home: Path, card: Card) -> None:
    """Keep a member's card in a node's home, in place of the one before; raises GenesisError."""
    path = _path(home, card.member.account)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_draft(path, card.raw, 0o600).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise GenesisError(
            f"không ghi được phiếu · {path} cannot be written: {error.strerror}"
        ) from error


def file_bytes(path: Path, limit: int = MAX_CARD_BYTES) -> bytes:
    """Return a file's bytes, no more than one above the limit; raises GenesisError."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise GenesisError(f"không đọc được · {path} cannot be read: {error.strerror}") from error


def _path(home: Path, account: bytes) -> Path:
    return home / CARDS / f"{account.hex()}.json"


def _kept(path: Path) -> Card:
    card = parse_card(file_bytes(path), path.name)
    _require(
        path.stem == card.member.account.hex(),
        f"{path.name}: là phiếu của thành viên khác",
        "it is another member's card",
    )
    return card


def _card(value: Any) -> Card:
    parsed = shape.members(value, "member card", _PARSERS)
    _require(
        parsed["format"] == FORMAT,
        "không phải phiếu thành viên, hoặc cần chương trình mới hơn",
        f"its format is not {FORMAT}: no member's card, or one for a newer program",
    )
    hosts = _hosts(_opened(parsed["hosts"], "hosts"))
    card = Card(
        evm_chain_id=parsed["evm_chain_id"],
        member=parsed["member"],
        log=parsed["log"],
        name=_name(_opened(parsed["name"], "name")),
        pages=hosts["pages"],
        peer=hosts["peer"],
        name_disclosure=parsed["name"],
        hosts_disclosure=parsed["hosts"],
        proof=parsed["proof"],
    )
    _check(card)
    return card


def _check(card: Card) -> None:
    member = card.member
    _require(
        0 <= card.evm_chain_id <= MAX_EVM_CHAIN_ID,
        "mã chuỗi EVM không thể có",
        "its EVM chain id is out of range",
    )
    _require(
        len(card.proof) == PROOF_SIZE,
        "chữ ký dài ngắn không đúng",
        f"its proof has not {PROOF_SIZE} bytes",
    )
    said = (_digest(card.name_disclosure), _digest(card.hosts_disclosure))
    _require(
        said == (member.name, member.hosts),
        "tên hoặc địa chỉ không khớp mã băm",
        "its name or hosts are not what its record has the hash of",
    )
    origin = sha256(card.log.encode()).digest()
    _require(
        (origin, _log_key_id(card.log, card.log_key)) == (member.origin, member.log_key_id),
        "tên nhật ký hoặc khóa nhật ký không khớp",
        "its log or the log's key is not the one in its record",
    )
    _check_proof(card)


def _check_proof(card: Card) -> None:
    """Refuse a card that a node's door (Ed25519) or the contract (ECDSA) would."""
    payload = contracts.encode_payload("admit", **card.member.values())
    number = contracts.kind_number("admit")
    try:
        for key in (card.member.validator_key, card.node_key, card.log_key):
            check_public_key(key)
        governance.check_possession(number, payload, card.proof, card.evm_chain_id)
        signer = _signer(card.proof, contracts.statement(card.evm_chain_id, "admit", payload))
    except (LightError, BadSignature, ValidationError, ValueError) as error:
        raise GenesisError(
            "chữ ký không đúng: hãy gửi lại phiếu nguyên vẹn, hoặc lập phiếu mới · its signatures do "
            f"not hold: send the card as it was made, or make a new one ({error})"
        ) from error
    _require(
        signer == card.member.account,
        "tài khoản chưa ký phiếu này",
        "its account has not signed it",
    )


def _signer(proof: bytes, digest: bytes) -> bytes:
    v, r, s = (int.from_bytes(proof[at : at + 32], "big") for at in (0, 32, 64))
    if v not in (27, 28) or s > _HALF_ORDER:
        raise ValueError("v or s is not the one form")
    recovered = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    return recovered.to_canonical_address()


def _disclosure(name: str, value: Any) -> str:
    salt = base64.urlsafe_b64encode(secrets.token_bytes(_SALT_BYTES)).decode().rstrip("=")
    text = json.dumps([salt, name, value], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")


def _digest(disclosure: str) -> bytes:
    return sha256(disclosure.encode()).digest()


def _opened(disclosure: str, name: str) -> Any:
    """Return the value that a disclosure of this name says. Raises GenesisError."""
    value: Any = None
    try:
        padded = disclosure + "=" * (-len(disclosure) % 4)
        data = base64.b64decode(padded.encode("ascii"), b"-_", validate=True)
        if base64.urlsafe_b64encode(data).decode().rstrip("=") == disclosure:
            # At most the pages are a list in an object in a list.
            _require(data.count(b"[") + data.count(b"{") <= 2 * MAX_NAME, "sai dạng", "malformed")
            value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (binascii.Error, ValueError) as error:
        raise GenesisError(_not_opened(name)) from error
    fits = isinstance(value, list) and len(value) == 3 and value[1] == name
    if not fits or not isinstance(value[0], str) or not _SALT.fullmatch(value[0]):
        raise GenesisError(_not_opened(name))
    return value[2]


def _not_opened(name: str) -> str:
    return f"phần {name} không đọc được · its {name} is no disclosure (RFC 9901)"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is there twice")
    return value


def _name(value: Any) -> str:
    _require(
        isinstance(value, str)
        and 0 < len(value) <= MAX_NAME
        and value.isprintable()
        and value == unicodedata.normalize("NFC", value).strip(),
        f"tên tỉnh cần 1 đến {MAX_NAME} ký tự in được, dạng NFC",
        f"its name has to be 1 to {MAX_NAME} printable characters in NFC",
    )
    return str(value)


def _claimed_name(value: Any) -> str:
    """Return what a card that is refused calls itself, for people to find its sender."""
    try:
        return _name(_opened(shape.text(value["name"]), "name"))
    except (GenesisError, KeyError, TypeError):
        return ""


def _hosts(value: Any) -> dict[str, Any]:
    return shape.members(value, "hosts", {"pages": _pages, "peer": _peer})


def _pages(value: Any) -> tuple[str, ...]:
    pages = tuple(map(shape.text, shape.items(value)))
    _require(
        len(pages) <= MAX_PAGES
        and len(set(pages)) == len(pages)
        and all(_PAGE.fullmatch(page) for page in pages),
        f"trang web cần nhiều nhất {MAX_PAGES} tên máy chủ khác nhau",
        f"its pages have to be at most {MAX_PAGES} different host names",
    )
    return pages


def _peer(value: Any) -> str:
    match = _PEER.fullmatch(shape.text(value))
    _require(
        match and 0 < int(match[2]) < 65_536 and match[1] not in _NOWHERE,
        "địa chỉ để các nút khác gọi tới phải là HOST:PORT",
        "its peer has to be the HOST:PORT that others reach its node at",
    )
    return str(value)


def _log(value: Any) -> str:
    log = shape.text(value)
    _require(
        len(log) <= MAX_NAME and _LOG.fullmatch(log),
        "tên nhật ký phải như example.vn/camau/2026",
        "its log has to be a name such as example.vn/camau/2026",
    )
    return log


def _proof(value: Any) -> bytes:
    text = shape.text(value)
    _require(_HEX.fullmatch(text), "chữ ký không phải hex", "its proof is not small hex digits")
    return bytes.fromhex(text[2:])


def _log_key_id(log: str, public_key: bytes) -> bytes:
    # SHA-256(origin ‖ LF ‖ 01 ‖ key): C2SP signed-note's key id before it is cut to four bytes.
    return sha256(log.encode() + b"\n\x01" + public_key).digest()


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _require(condition: object, vi: str, en: str) -> None:
    if not condition:
        raise GenesisError(f"{vi} · {en}")


_PARSERS: Final[dict[str, Callable[[Any], Any]]] = {
    "format": shape.text,
    "evm_chain_id": shape.integer,
    "member": record_of,
    "log": _log,
    "name": shape.text,
    "hosts": shape.text,
    "proof": _proof,
}
