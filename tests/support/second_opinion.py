# SPDX-License-Identifier: GPL-3.0-or-later
"""Light blocks, eras, ancestry: written a second time, from docs/evidence.md alone.

It shares no line with `node.light` or `anchor`, down to the curve, so that where the two come to
different verdicts the document or one of them is at fault. It does step 6 and reads what step 6 needs; it is
slow, and takes for granted what the steps before it make sure of.
"""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from Crypto.Hash import keccak

MOST = 2**53 - 1
HASHES = (
    "last_commit_hash",
    "data_hash",
    "validators_hash",
    "next_validators_hash",
    "consensus_hash",
    "app_hash",
    "last_results_hash",
    "evidence_hash",
)
FIELDS = {
    "version",
    "chain_id",
    "height",
    "time",
    "last_block_id",
    *HASHES,
    "proposer_address",
}


class Refused(Exception):  # noqa: N818 - a verdict
    """Step 6, or the reading of a light block, fails as this kind."""


class Opinion(NamedTuple):
    """What step 6 comes to: for each light block its assurance and "when"."""

    light_blocks: tuple[tuple[str, int], ...]


def opinion(evidence: bytes, trust: bytes) -> Opinion:
    """Return what step 6 says of an evidence file; raises Refused with the kind."""
    file, pinned = json.loads(evidence), json.loads(trust)
    light_blocks = [read(one) for one in file["light_blocks"]]
    eras = [read(one) for one in file["eras"]]
    chain_id = pinned["cometbft_chain_id"]
    known = [read(pinned["light_block"])]
    known += [read(one) for one in pinned["eras"]]
    need(all(one["chain_id"] == chain_id for one in light_blocks + eras), "untrusted")
    need(all(is_minimal(one) for one in light_blocks + eras), "invalid")
    trusted = list(known)
    before = 0
    for era in eras:
        need(era["height"] > before, "untrusted")
        before = era["height"]
        need(is_committed(era), "invalid")
        is_passed = era["height"] <= trusted[0]["height"] or era["header"] in [
            one["header"] for one in trusted
        ]
        need(is_passed or era["validators_hash"] == set_at(known, era["height"]), "untrusted")
        need(fits(era, known), "untrusted")
        if not is_passed:
            need(era["height"] > known[-1]["height"] and changes(era), "untrusted")
            known.append(era)
            need(sum(map(changes, known)) < 256, "untrusted")
    found = []
    for block in light_blocks:
        need(is_committed(block), "invalid")
        need(block["validators_hash"] == set_at(known, block["height"]), "untrusted")
        need(fits(block, known), "untrusted")
        found.append((assurance(block, known, trusted), when(block)))
    for anchor in file["anchors"]:
        if "path" in anchor["finality"]:
            need(is_ancestor(anchor), "invalid")
    others = {one["key"] for one in file["batches"]} | {one["log_key"] for one in file["anchors"]}
    validators = {base64.b64encode(key).decode() for b in light_blocks for key, _ in b["set"]}
    need(not others & validators, "invalid")
    return Opinion(tuple(found))


def need(condition: bool, kind: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(kind)


# Reading ---------------------------------------------------------------------------------------


def read(value: Any) -> dict[str, Any]:
    """Return a light block's parts, with the header as its hash."""
    names(value, {"header", "round", "parts", "votes", "validators"})
    header = names(value["header"], FIELDS)
    block: dict[str, Any] = {name: of_hex(header[name]) for name in (*HASHES, "proposer_address")}
    version = header["version"]
    need(isinstance(version, dict) and version.keys() in ({"block"}, {"block", "app"}), "malformed")
    app = decimal(version["app"]) if "app" in version else 0
    need("app" not in version or app > 0, "malformed")
    chain_id = header["chain_id"]
    need(
        isinstance(chain_id, str) and re.fullmatch("[ -~]{1,50}", chain_id) is not None, "malformed"
    )
    last = names(header["last_block_id"], {"hash", "parts"})
    last_parts = read_parts(last["parts"])
    block |= {
        "version": decimal(version["block"]),
        "app": app,
        "chain_id": chain_id,
        "height": decimal(header["height"]),
        "time": moment(header["time"]),
        "last": (of_hex(last["hash"]), *last_parts),
        "round": natural(value["round"]),
        "parts": read_parts(value["parts"]),
    }
    block["set"] = [read_validator(one) for one in listed(value["validators"])]
    block["votes"] = [read_vote(one, len(block["set"])) for one in listed(value["votes"])]
    block["header"] = header_hash(block)
    return block


def names(value: Any, wanted: set[str]) -> dict[str, Any]:
    """Return an object of exactly these names."""
    need(isinstance(value, dict) and value.keys() == wanted, "malformed")
    found: dict[str, Any] = value
    return found


def listed(value: Any) -> list[Any]:
    """Return a list of at most 512."""
    need(isinstance(value, list) and len(value) <= 512, "malformed")
    found: list[Any] = value
    return found


def natural(value: Any) -> int:
    """Return a natural."""
    need(type(value) is int and 0 <= value <= MOST, "malformed")
    return int(value)


def decimal(value: Any) -> int:
    """Return a decimal."""
    need(
        isinstance(value, str) and re.fullmatch("0|[1-9][0-9]{0,15}", value) is not None,
        "malformed",
    )
    need(int(value) <= MOST, "malformed")
    return int(value)


def of_hex(value: Any) -> bytes:
    """Return the bytes of HEX."""
    is_hex = isinstance(value, str) and re.fullmatch("([0-9A-F]{2}){0,128}", value)
    need(bool(is_hex), "malformed")
    return bytes.fromhex(value)


def of_base64(value: Any, size: int) -> bytes:
    """Return bytes of canonical base64."""
    need(isinstance(value, str) and value.isascii(), "malformed")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        raise Refused("malformed") from None
    need(len(data) == size and base64.b64encode(data).decode() == value, "malformed")
    return data


def moment(value: Any) -> tuple[int, int]:
    """Return seconds since 1970 and nanoseconds."""
    form = r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z"
    found = re.fullmatch(form, value, re.ASCII) if isinstance(value, str) else None
    if found is None:
        raise Refused("malformed")
    try:
        day = datetime(*map(int, found.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        raise Refused("malformed") from None
    seconds = (day - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return int(seconds), int((found[7] or "0").ljust(9, "0"))


def read_parts(value: Any) -> tuple[int, bytes]:
    """Return total and hash."""
    names(value, {"total", "hash"})
    return natural(value["total"]), of_hex(value["hash"])


def read_validator(value: Any) -> tuple[bytes, int]:
    """Return key and power."""
    need(isinstance(value, list) and len(value) == 2, "malformed")
    return of_base64(value[0], 32), natural(value[1])


def read_vote(value: Any, validators: int) -> tuple[int, tuple[int, int], bytes]:
    """Return index, time and signature."""
    need(isinstance(value, list) and len(value) == 3, "malformed")
    need(natural(value[0]) < validators, "malformed")
    return value[0], moment(value[1]), of_base64(value[2], 64)


# Encoding --------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Return a varint, of the 64-bit two's complement if negative."""
    rest, out = number % 2**64, b""
    while rest > 127:
        out, rest = out + bytes([rest % 128 + 128]), rest // 128
    return out + bytes([rest])


def number(field: int, value: int) -> bytes:
    """Return a varint field, left out if 0."""
    return bytes([field * 8]) + varint(value) if value else b""


def data(field: int, value: bytes) -> bytes:
    """Return a field of bytes, left out if empty."""
    return message(field, value) if value else b""


def message(field: int, value: bytes) -> bytes:
    """Return a field that holds a message, written even if empty."""
    return bytes([field * 8 + 2]) + varint(len(value)) + value


def fixed(field: int, value: int) -> bytes:
    """Return an sfixed64, left out if 0."""
    return bytes([field * 8 + 1]) + value.to_bytes(8, "little") if value else b""


def block_id(hash_: bytes, total: int, parts: bytes) -> bytes:
    """Return field 5's message."""
    return data(1, hash_) + message(2, number(1, total) + data(2, parts))


def timestamp(time: tuple[int, int]) -> bytes:
    """Return a time's message."""
    return number(1, time[0]) + number(2, time[1])


def tree(leaves: list[bytes]) -> bytes:
    """Return the root of RFC 9162, straight from its definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def header_hash(block: dict[str, Any]) -> bytes:
    """Return the root over the 14 messages."""
    return tree(
        [
            number(1, block["version"]) + number(2, block["app"]),
            data(1, block["chain_id"].encode()),
            number(1, block["height"]),
            timestamp(block["time"]),
            block_id(*block["last"]),
            *(data(1, block[name]) for name in HASHES),
            data(1, block["proposer_address"]),
        ]
    )


def signed_text(block: dict[str, Any], time: tuple[int, int]) -> bytes:
    """Return what a vote signs."""
    text = (
        number(1, 2)
        + fixed(2, block["height"])
        + fixed(3, block["round"])
        + message(4, block_id(block["header"], *block["parts"]))
        + message(5, timestamp(time))
        + data(6, block["chain_id"].encode())
    )
    return varint(len(text)) + text


# A light block ---------------------------------------------------------------------------------


def power_of(block: dict[str, Any]) -> int:
    """Return the power of all votes listed."""
    return sum(block["set"][index][1] for index, _, _ in block["votes"])


def total_of(block: dict[str, Any]) -> int:
    """Return the power of the set."""
    return sum(power for _, power in block["set"])


def is_minimal(block: dict[str, Any]) -> bool:
    """Whether the votes would not suffice without the weakest."""
    weakest = min([block["set"][index][1] for index, _, _ in block["votes"]], default=0)
    return 3 * (power_of(block) - weakest) <= 2 * total_of(block)


def is_committed(block: dict[str, Any]) -> bool:
    """Whether all that the document lists holds."""
    keys = [key for key, _ in block["set"]]
    indexes = [index for index, _, _ in block["votes"]]
    total, parts = block["parts"]
    others = [block[name] for name in HASHES if "validators" not in name and name != "app_hash"]
    last_hash, last_total, last_parts = block["last"]
    return (
        block["version"] == 11
        and block["height"] >= 1
        and 1 <= total <= 1601
        and len(parts) == 32
        and block["round"] < 2**31
        and len(block["validators_hash"]) == len(block["next_validators_hash"]) == 32
        and len(block["proposer_address"]) == 20
        and len(block["app_hash"]) <= 64
        and all(len(one) in (0, 32) for one in (*others, last_hash, last_parts))
        and last_total <= 1601
        and 1 <= len(keys) == len(set(keys))
        and all(power > 0 for _, power in block["set"])
        and total_of(block) <= MOST
        and all(map(is_allowed, keys))
        and tree([message(1, data(1, k)) + number(2, p) for k, p in block["set"]])
        == block["validators_hash"]
        and indexes == sorted(set(indexes))
        and all(
            holds(keys[index], signature, signed_text(block, time))
            for index, time, signature in block["votes"]
        )
        and 3 * power_of(block) > 2 * total_of(block)
    )


# Eras ------------------------------------------------------------------------------------------


def changes(block: dict[str, Any]) -> bool:
    """Whether the set changes after this block."""
    return bool(block["validators_hash"] != block["next_validators_hash"])


def set_at(known: list[dict[str, Any]], height: int) -> bytes:
    """Return the hash of the set in power at a height."""
    found = known[0]["validators_hash"]
    for block in known:
        if block["height"] < height:
            found = block["next_validators_hash"] if changes(block) else found
    return bytes(found)


def fits(block: dict[str, Any], known: list[dict[str, Any]]) -> bool:
    """Whether a block is in one order with all that are known."""
    for other in known:
        if block["height"] == other["height"]:
            if block["header"] != other["header"]:
                return False
        elif (block["height"] > other["height"]) != (block["time"] > other["time"]) or block[
            "time"
        ] == other["time"]:
            return False
    return True


def assurance(
    block: dict[str, Any], known: list[dict[str, Any]], trusted: list[dict[str, Any]]
) -> str:
    """Return how sure a light block is."""
    is_past = any(changes(one) and one["height"] >= block["height"] for one in known)
    last = trusted[-1]["height"]
    believed = [one["header"] for one in trusted]
    believed += [one["header"] for one in known if one["height"] > last]
    if is_past and block["header"] not in believed:
        return "past-era"
    strongest = max(power for _, power in block["set"])
    return "one-validator" if 3 * strongest > 2 * total_of(block) else "consortium"


def when(block: dict[str, Any]) -> int:
    """Return the time in whole seconds, rounded up."""
    seconds, nanos = block["time"]
    return int(seconds + (nanos > 0))


def is_ancestor(anchor: dict[str, Any]) -> bool:
    """Whether the older header lies in the newer one's tree."""
    older, newer = (base64.b64decode(one["header"]) for one in (anchor, anchor["finality"]))
    at, size = (int.from_bytes(item(header, 8)) for header in (older, newer))
    path = [base64.b64decode(one) for one in anchor["finality"]["path"]]
    leaf = keccak.new(digest_bits=256, data=older).digest()
    return at < size and climb(leaf, at, size, path) == item(newer, 12)


def climb(leaf: bytes, at: int, size: int, path: list[bytes]) -> bytes | None:
    """Return the root that RFC 9162 section 2.1.3.2 comes to, None if the path has another length."""
    fn, sn, r = at, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for one in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\1" + one + r).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = hashlib.sha256(b"\1" + r + one).digest()
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def item(rlp: bytes, wanted: int) -> bytes:
    """Return one byte string of an RLP list that is known to be one."""
    at = 1 if rlp[0] <= 0xF7 else rlp[0] - 0xF6
    for index in range(wanted + 1):
        first = rlp[at]
        begin = at if first < 0x80 else at + 1
        length = 1 if first < 0x80 else first - 0x80
        if first > 0xB7:
            begin, length = at + first - 0xB6, int.from_bytes(rlp[at + 1 : at + first - 0xB6])
        at = begin + length
        if index == wanted:
            return rlp[begin:at]
    raise AssertionError


# The curve, in extended coordinates --------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Extended = tuple[int, int, int, int]


def is_allowed(encoded: bytes) -> bool:
    """Whether 32 bytes may be A or R, by themselves: canonical, and of no point of small order."""
    y = int.from_bytes(encoded, "little") % 2**255
    small = {0, 1, P - 1, eighth(), P - eighth()}
    return y < P and y not in small


@lru_cache
def eighth() -> int:
    """Return y of a point of order 8: twice that point has y = 0, so that x^2 = -y^2."""
    # On the curve -x^2 + y^2 = 1 + d x^2 y^2 this gives 2 y^2 = 1 - d y^4.
    root = pow((1 + D) % P, (P + 3) // 8, P)
    root = root if root * root % P == (1 + D) % P else root * pow(2, (P - 1) // 4, P) % P
    for square in ((root - 1) * pow(D, P - 2, P) % P, (-root - 1) * pow(D, P - 2, P) % P):
        y = pow(square, (P + 3) // 8, P)
        for one in (y, y * pow(2, (P - 1) // 4, P) % P):
            if one * one % P == square:
                return one
    raise AssertionError


@lru_cache(maxsize=4096)
def holds(key: bytes, signature: bytes, text: bytes) -> bool:
    """Whether a signature holds by the one rule."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a = point(key)
    if not is_allowed(key) or not is_allowed(r) or s >= L or a is None:
        return False
    k = int.from_bytes(hashlib.sha512(r + key + text).digest(), "little") % L
    x, y, z, t = a
    x, y, z, _ = plus(times(s, base()), times(k, (-x % P, y, z, -t % P)))
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == r


def point(encoded: bytes) -> Extended | None:
    """Return the point of an encoding, None if there is none."""
    whole = int.from_bytes(encoded, "little")
    y, sign = whole % 2**255, whole >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or y >= P:
        return None
    x = x if x & 1 == sign else -x % P
    return x, y, 1, x * y % P


@lru_cache
def base() -> Extended:
    """Return B: y = 4/5, and x even."""
    found = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    assert found
    return found


def plus(one: Extended, other: Extended) -> Extended:
    """Add two points (Hisil and others, 2008)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * D * one[3] * other[3] % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, one: Extended) -> Extended:
    """Multiply a point."""
    total: Extended = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = plus(total, one)
        one, scalar = plus(one, one), scalar >> 1
    return total
