# SPDX-License-Identifier: GPL-3.0-or-later
"""A light block travels in two forms of JSON: CometBFT's own, and a compact one for evidence.

CometBFT's is what its RPC answers to /commit and /validators: `{"signed_header": {"header": …,
"commit": …}, "validators": […]}`, 64-bit integers as decimal strings, hashes as upper-case hex,
keys and signatures in base64. The compact one leaves out what follows from the rest:

    {"header": {… as CometBFT writes it …}, "round": 0, "parts": {"total": 1, "hash": "HEX"},
     "votes": [[index, "time", "base64 signature"], …], "validators": [["base64 key", power], …]}

Both take decoded JSON and are strict: exactly the members named, no second spelling of a value.
"""

import binascii
import re
from collections.abc import Callable
from typing import Any

from node.light.cometbft.hashes import commit_of, header_hash, validator_address
from node.light.cometbft.times import Timestamp, format_time, parse_time
from node.light.cometbft.types import (
    ABSENT,
    COMMIT,
    MAX_INTEGER,
    NIL,
    BlockId,
    Commit,
    CommitSig,
    Header,
    LightBlock,
    Validator,
    Version,
    Vote,
)
from node.light.cometbft.verify import MAX_CHAIN_ID, MAX_VALIDATORS
from node.light.ed25519 import PUBLIC_KEY_SIZE, SIGNATURE_SIZE
from node.light.errors import LightBlockError

KEY_TYPE = "tendermint/PubKeyEd25519"
# The longest binary value of either form is a signature; this leaves room and stops the rest.
MAX_BYTES_VALUE = 128

_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-F]{2})*", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)


def from_rpc(obj: Any) -> LightBlock:
    """Return the light block that CometBFT's JSON describes, without its nil and absent votes.

    Checks that the commit is of the header and that its votes stand at their validators' places,
    but no signature and no power. Raises LightBlockError.
    """
    block = _members(obj, ("signed_header", "validators"))
    signed = _members(block["signed_header"], ("header", "commit"))
    header = parse_header_json(signed["header"])
    commit = parse_commit_json(signed["commit"])
    validators = tuple(map(_parse_validator, _list(block["validators"])))
    if (commit.height, commit.block_id.hash) != (header.height, header_hash(header)):
        raise LightBlockError("commit is of another header")
    if len(commit.signatures) != len(validators):
        raise LightBlockError("commit does not have one place for each validator")
    for vote, validator in zip(commit.signatures, validators, strict=True):
        if vote.flag != ABSENT and vote.address != validator_address(validator.public_key):
            raise LightBlockError("vote stands at another validator's place")
    votes = tuple(
        Vote(index, vote.time, vote.signature)
        for index, vote in enumerate(commit.signatures)
        if vote.flag == COMMIT
    )
    return LightBlock(header, commit.round, commit.block_id, votes, validators)


def to_rpc(block: LightBlock) -> dict[str, Any]:
    """Return a light block in CometBFT's JSON; votes that it does not hold are absent ones.

    The order in which validators take turns is not part of a light block: each priority is 0.
    """
    return {
        "signed_header": {
            "header": header_json(block.header),
            "commit": commit_json(commit_of(block)),
        },
        "validators": [
            {
                "address": _hex(validator_address(validator.public_key)),
                "pub_key": {"type": KEY_TYPE, "value": _base64(validator.public_key)},
                "voting_power": str(validator.power),
                "proposer_priority": "0",
            }
            for validator in block.validators
        ],
    }


def parse_light_block(obj: Any) -> LightBlock:
    """Return the light block of the compact form. Checks no signature. Raises LightBlockError."""
    block = _members(obj, ("header", "round", "parts", "votes", "validators"))
    header = parse_header_json(block["header"])
    parts_total, parts_hash = _parse_parts(block["parts"])
    block_id = BlockId(header_hash(header), parts_total, parts_hash)
    votes = tuple(map(_parse_compact_vote, _list(block["votes"])))
    validators = tuple(map(_parse_compact_validator, _list(block["validators"])))
    if any(vote.index >= len(validators) for vote in votes):
        raise LightBlockError("vote of a validator that is not there")
    return LightBlock(header, _integer(block["round"]), block_id, votes, validators)


def encode_light_block(block: LightBlock) -> dict[str, Any]:
    """Return the compact form of a light block whose block id is its header's."""
    return {
        "header": header_json(block.header),
        "round": block.round,
        "parts": _parts_json(block.block_id),
        "votes": [
            [vote.index, format_time(vote.time), _base64(vote.signature)] for vote in block.votes
        ],
        "validators": [
            [_base64(validator.public_key), validator.power] for validator in block.validators
        ],
    }


def parse_header_json(obj: Any) -> Header:
    """Return the header that CometBFT's JSON describes; raises LightBlockError."""
    members = _members(obj, tuple(_HEADER_READERS))
    return Header(**{name: read(members[name]) for name, read in _HEADER_READERS.items()})


def header_json(header: Header) -> dict[str, Any]:
    """Return a header in CometBFT's JSON."""
    return {name: _json(getattr(header, name)) for name in _HEADER_READERS}


def parse_commit_json(obj: Any) -> Commit:
    """Return the commit that CometBFT's JSON describes, nil and absent votes included.

    Raises LightBlockError.
    """
    members = _members(obj, ("height", "round", "block_id", "signatures"))
    return Commit(
        _decimal(members["height"]),
        _integer(members["round"]),
        _parse_block_id(members["block_id"]),
        tuple(map(_parse_commit_sig, _list(members["signatures"]))),
    )


def commit_json(commit: Commit) -> dict[str, Any]:
    """Return a commit in CometBFT's JSON."""
    return {
        "height": str(commit.height),
        "round": commit.round,
        "block_id": _json(commit.block_id),
        "signatures": [
            {
                "block_id_flag": vote.flag,
                "validator_address": _hex(vote.address),
                "timestamp": format_time(vote.time),
                "signature": _base64(vote.signature) if vote.signature else None,
            }
            for vote in commit.signatures
        ],
    }


def _parse_commit_sig(obj: Any) -> CommitSig:
    names = ("block_id_flag", "validator_address", "timestamp", "signature")
    members = _members(obj, names)
    vote = CommitSig(
        _integer(members["block_id_flag"]),
        _from_hex(members["validator_address"]),
        _time(members["timestamp"]),
        # Go writes an absent vote's signature as null or "", by how it came to be empty.
        b"" if members["signature"] in (None, "") else _signature(members["signature"]),
    )
    if vote.flag not in {ABSENT, COMMIT, NIL}:
        raise LightBlockError("unknown kind of vote")
    if (vote == CommitSig()) != (vote.flag == ABSENT) or (
        vote.flag != ABSENT and not vote.signature
    ):
        raise LightBlockError("absent vote that says something, or vote without a signature")
    return vote


def _parse_validator(obj: Any) -> Validator:
    members = _members(obj, ("address", "pub_key", "voting_power", "proposer_priority"))
    key = _members(members["pub_key"], ("type", "value"))
    if key["type"] != KEY_TYPE:
        raise LightBlockError("validator's key is not an Ed25519 key")
    validator = Validator(_public_key(key["value"]), _decimal(members["voting_power"]))
    if _from_hex(members["address"]) != validator_address(validator.public_key):
        raise LightBlockError("validator's address is not its key's")
    _decimal(members["proposer_priority"], -MAX_INTEGER)
    return validator


def _parse_compact_vote(obj: Any) -> Vote:
    index, time, signature = _items(obj, 3)
    return Vote(_integer(index), _time(time), _signature(signature))


def _parse_compact_validator(obj: Any) -> Validator:
    public_key, power = _items(obj, 2)
    return Validator(_public_key(public_key), _integer(power))


def _parse_version(obj: Any) -> Version:
    # CometBFT leaves the application's version out while it is 0.
    if isinstance(obj, dict) and "app" not in obj:
        return Version(_decimal(_members(obj, ("block",))["block"]))
    members = _members(obj, ("block", "app"))
    app = _decimal(members["app"])
    if app == 0:
        raise LightBlockError("application version 0 is left out")
    return Version(_decimal(members["block"]), app)


def _parse_block_id(obj: Any) -> BlockId:
    members = _members(obj, ("hash", "parts"))
    return BlockId(_from_hex(members["hash"]), *_parse_parts(members["parts"]))


def _parse_parts(obj: Any) -> tuple[int, bytes]:
    members = _members(obj, ("total", "hash"))
    return _integer(members["total"]), _from_hex(members["hash"])


def _parts_json(block_id: BlockId) -> dict[str, Any]:
    return {"total": block_id.parts_total, "hash": _hex(block_id.parts_hash)}


def _json(value: Any) -> Any:
    return _WRITERS[type(value)](value)


def _version_json(version: Version) -> dict[str, str]:
    app = {"app": str(version.app)} if version.app else {}
    return {"block": str(version.block), **app}


def _block_id_json(block_id: BlockId) -> dict[str, Any]:
    return {"hash": _hex(block_id.hash), "parts": _parts_json(block_id)}


def _members(obj: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(obj, dict) or obj.keys() != set(names):
        raise LightBlockError(f"not an object with exactly {', '.join(names)}")
    return obj


def _list(obj: Any) -> list[Any]:
    if not isinstance(obj, list) or len(obj) > MAX_VALIDATORS:
        raise LightBlockError(f"not a list of at most {MAX_VALIDATORS} items")
    return obj


def _items(obj: Any, count: int) -> list[Any]:
    if not isinstance(obj, list) or len(obj) != count:
        raise LightBlockError(f"not a list of {count} items")
    return obj


def _integer(value: Any) -> int:
    # In Python true is an integer too.
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise LightBlockError("not an integer from 0 to 2^53 - 1")
    return value


def _text(value: Any, max_length: int) -> str:
    if not isinstance(value, str) or len(value) > max_length:
        raise LightBlockError(f"not a text of at most {max_length} characters")
    return value


def _decimal(value: Any, lowest: int = 0) -> int:
    text = _text(value, 20)
    if not _DECIMAL.fullmatch(text) or not lowest <= int(text) <= MAX_INTEGER:
        raise LightBlockError("not a decimal integer from 0 to 2^53 - 1")
    return int(text)


def _chain_id(value: Any) -> str:
    text = _text(value, MAX_CHAIN_ID)
    if not text or not text.isascii() or not text.isprintable():
        raise LightBlockError("chain id is empty or not printable ASCII")
    return text


def _time(value: Any) -> Timestamp:
    return parse_time(_text(value, 30))


def _from_hex(value: Any) -> bytes:
    text = _text(value, 2 * MAX_BYTES_VALUE)
    if not _HEX.fullmatch(text):
        raise LightBlockError("not upper-case hex")
    return bytes.fromhex(text)


def _from_base64(value: Any, size: int) -> bytes:
    text = _text(value, 2 * MAX_BYTES_VALUE)
    if not _BASE64.fullmatch(text):
        raise LightBlockError("not base64")
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error as error:
        raise LightBlockError("not base64") from error
    # Unused bits that are not 0 would be a second spelling.
    if len(data) != size or _base64(data) != text:
        raise LightBlockError(f"not {size} bytes in canonical base64")
    return data


def _public_key(value: Any) -> bytes:
    return _from_base64(value, PUBLIC_KEY_SIZE)


def _signature(value: Any) -> bytes:
    return _from_base64(value, SIGNATURE_SIZE)


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


_HEADER_READERS: dict[str, Callable[[Any], Any]] = {
    "version": _parse_version,
    "chain_id": _chain_id,
    "height": _decimal,
    "time": _time,
    "last_block_id": _parse_block_id,
    "last_commit_hash": _from_hex,
    "data_hash": _from_hex,
    "validators_hash": _from_hex,
    "next_validators_hash": _from_hex,
    "consensus_hash": _from_hex,
    "app_hash": _from_hex,
    "last_results_hash": _from_hex,
    "evidence_hash": _from_hex,
    "proposer_address": _from_hex,
}
_WRITERS: dict[type, Callable[[Any], Any]] = {
    Version: _version_json,
    str: str,
    int: str,
    Timestamp: format_time,
    BlockId: _block_id_json,
    bytes: _hex,
}
