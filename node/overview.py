# SPDX-License-Identifier: GPL-3.0-or-later
"""How a running node and its chain do, asked over JSON-RPC alone: what an operator looks at daily.

Everything comes from one node's answers (docs/rpc.md) and is as true as that node. Nothing but the
standard library and `contracts` is needed, so that it works in the base install.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import contracts
from node.errors import NodeError
from node.light import LightError, from_rpc, keccak256, parse_time, validator_address

ASK_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
# How many blocks a node looks through at once, and how many such looks a log's newest anchor is worth.
LOG_RANGE: Final = 50_000
LOG_RANGES: Final = 4
# A block takes about a second from its transaction to its finality.
FINAL_SECONDS: Final = 10.0
# So long is waited for what waits to move, before it is called stuck.
LOOK_SECONDS: Final = 3.0
# The newest EVM blocks, of whose signatures a validator has one if it takes part.
SIGNED_BLOCKS: Final = 4
# Blocks before an upgrade from which on it is said.
UPGRADE_NEAR: Final = 10_000
MAX_DISCLOSURE: Final = 4_096
_POLL_SECONDS: Final = 0.2
_SHORT: Final = 10

_HEAD: Final = "(address,bytes32,uint256,bytes32,bytes32,uint256)"
_HEAD_EVENTS: Final = tuple(
    "0x" + keccak256(f"{name}(bytes32,{_HEAD})".encode()).hex()
    for name in ("Anchored", "Registered")
)
_WORD_DIGITS: Final = 64


class NodeSilent(NodeError):  # noqa: N818 - what is found
    """No node answers there, or what answers is none of ours."""


class NodeRefused(NodeError):  # noqa: N818 - what is found
    """The node answers with an error; `code` is JSON-RPC's."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Sentence(NamedTuple):
    """What is said to a person."""

    vi: str
    en: str

    def __str__(self) -> str:
        return f"{self.vi} · {self.en}"


class Rpc:
    """One node's JSON-RPC; an address is HOST:PORT or a URL."""

    def __init__(self, address: str) -> None:
        self.url = address if "://" in address else f"http://{address}/"
        # No proxy: a node is asked where it listens.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method: str, *params: Any) -> Any:
        """Return the result of a method. Raises NodeSilent, or NodeRefused for an error."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)  # noqa: S310 - a node's
        try:
            with self._opener.open(request, timeout=ASK_SECONDS) as response:
                answer = json.loads(response.read(MAX_ANSWER_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise NodeSilent(
                f"không hỏi được nút · no node answers on {self.url}: {reason}"
            ) from error
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            refusal = answer["error"]
            raise NodeRefused(f"{method}: {refusal.get('message')}", int(refusal.get("code", 0)))
        if not isinstance(answer, dict) or "result" not in answer:
            raise NodeSilent(
                "nơi trả lời không phải nút Moneo · what answers there is not a Moneo node"
            )
        return answer["result"]


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the node tells it; name and peer come from its card where that is held.

    A name is taken only if it is what the chain has the hash of.
    """

    account: str
    validator_key: bytes = b""
    node_id: str = ""
    origin: bytes = b""
    name_hash: bytes = b""
    hosts_hash: bytes = b""
    name: str | None = None
    peer: str | None = None

    @property
    def called(self) -> str:
        """What to call it."""
        return self.name or f"{self.account[:_SHORT]}…"


def members(rpc: Rpc) -> list[Member]:
    """Return the members in the order of the contract; empty where the chain keeps no records."""
    with shaped("moneo_getMembers"):
        return [_member(each) for each in rpc.ask("moneo_getMembers")]


def former_members(rpc: Rpc) -> list[Member]:
    """Return those who were members, by the cards that the node keeps."""
    with shaped("moneo_getFormerMembers"):
        return [_member(each) for each in rpc.ask("moneo_getFormerMembers")]


def disclosed(text: Any, name: str, digest: bytes) -> Any:
    """Return the value of an RFC 9901 disclosure if it is the one of this name and hash, else None."""
    if not isinstance(text, str) or len(text) > MAX_DISCLOSURE:
        return None
    if hashlib.sha256(text.encode()).digest() != digest:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(found, list) and len(found) == 3 and found[1] == name
    return found[2] if is_one else None


def status(rpc: Rpc) -> dict[str, Any]:
    """Return how the node does, as `moneo node status --json` prints it.

    `problems` says what is not as it should be; without any it is healthy. Raises NodeError.
    """
    known = {each.account: each for each in members(rpc)}
    now = _now(rpc)
    with shaped("moneo_getConsensus"):
        own = next((each for each in now["validators"] if each["address"] == now["own"]), None)
        keys = {"0x" + validator_address(each.validator_key).hex(): each for each in known.values()}
        member = keys.get(now["own"])
        # The newest block's validators are those that its predecessor's members were: who was removed
        # since may have signed it, and signs no more.
        in_set = now["own"] in keys if known else own is not None
        unconnected = [
            each for each in known.values() if each != member and each.node_id not in now["peers"]
        ]
        signed = {each["address"] for each in now["validators"] if each["signed"]}
        signed |= _signers(rpc, now["status"]["finalizedNumber"])
        found: dict[str, Any] = {
            **now["status"],
            "time": now["time"],
            "age": now["age"],
            "catchingUp": now["catchingUp"],
            "member": {"account": member.account, "name": member.name} if member else None,
            "inSet": in_set,
            "signs": in_set and own["address"] in signed if own else None,
            "validators": len(now["validators"]),
            "missing": [
                _validator_name(each, known)
                for each in now["validators"]
                if each["address"] not in signed
            ],
            "unconnected": [each.called for each in unconnected],
            "peers": len(now["peers"]),
            "finality": _finality(now, known, unconnected),
            "log": _last_anchor(rpc, now["status"]["blockNumber"], member),
            "misbehaviour": [
                {**each, "validator": _misbehaved(each, now, known)} for each in now["misbehaviour"]
            ],
            "upgrade": _upgrade(rpc, now["status"]["height"]),
        }
        problems = _problems(found, now["own"], now["misbehaviour"])
        return {
            **found,
            "healthy": not problems,
            "problems": [each._asdict() for each in problems],
        }


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the same as one screen for a person."""
    log, upgrade = found["log"], found["upgrade"]
    member = found["member"] or {}
    signed = found["validators"] - len(found["missing"])
    rows = [
        ("Chuỗi · Chain", f"{found['cometbftChainId']} (EVM {found['chainId']})"),
        ("Thành viên · Member", member.get("name") or member.get("account") or "–"),
        ("Độ cao · Height", f"{found['height']}, {found['time']} (EVM {found['blockNumber']})"),
        ("Còn sau · Behind", _behind_text(found)),
        ("Ký · Signs", _signs_text(found)),
        (
            "Đã ký các khối mới nhất · Signed the newest blocks",
            f"{signed}/{found['validators']}" + _listed(found["missing"]),
        ),
        (
            "Nút nối được · Nodes connected",
            str(found["peers"]) + _listed(found["unconnected"]),
        ),
        ("Chung quyết · Finality", str(_FINALITY[found["finality"]])),
        ("Đang chờ · Waiting", str(found["waiting"])),
        ("Nhật ký neo lần cuối · Log last anchored", _log_text(log)),
    ]
    for each in found["misbehaviour"]:
        text = f"{each['kind']}, {each['validator']}, height {each['height']}, {each['time']}"
        rows.append(("Vi phạm · Misbehaviour", text))
    if upgrade:
        text = f"từ độ cao · from height {upgrade['height']} ({upgrade['left']} nữa · to go)"
        rows.append(("Nâng cấp · Upgrade", text))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:<{width}}  {text}" for label, text in rows]
    problems = [f"✗ {each['vi']} · {each['en']}" for each in found["problems"]]
    return lines + (problems or ["✓ Mọi việc đều ổn · All is well"])


def peers(rpc: Rpc) -> list[dict[str, Any]]:
    """Return the other members' nodes, connected or not, and then strangers that are connected."""
    with shaped("moneo_getConsensus"):
        consensus = rpc.ask("moneo_getConsensus")
        # What a peer says of itself, strangers too.
        linked = {
            _typed(each["nodeId"], str).removeprefix("0x"): _printable(each["address"])
            for each in consensus["peers"]
        }
        others = [
            each
            for each in members(rpc)
            if "0x" + validator_address(each.validator_key).hex() != consensus["validator"].lower()
        ]
        rows = [
            {
                "member": each.name,
                "account": each.account,
                "nodeId": each.node_id,
                "address": linked.get(each.node_id, each.peer),
                "connected": each.node_id in linked,
            }
            for each in others
        ]
        known = {each.node_id for each in others}
        return rows + [
            {
                "member": None,
                "account": None,
                "nodeId": node_id,
                "address": address,
                "connected": True,
            }
            for node_id, address in linked.items()
            if node_id not in known
        ]


def peer_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the same for a person."""
    if not rows:
        return ["Không có nút nào khác · There is no other node"]
    return [
        f"{'✓' if row['connected'] else '✗'} {_peer_name(row)}  {row['nodeId']}  {row['address'] or '–'}"
        + ("" if row["connected"] else "  chưa kết nối · not connected")
        for row in rows
    ]


def storage(rpc: Rpc, slot: bytes) -> bytes:
    """Return the value of one of Consortium's slots in the newest state."""
    address = "0x" + contracts.ADDRESSES["Consortium"].hex()
    with shaped("eth_getStorageAt"):
        text = rpc.ask("eth_getStorageAt", address, "0x" + slot.hex(), "latest")
        return int(text, 16).to_bytes(32, "big")


def quantity(rpc: Rpc, method: str) -> int:
    """Return the number that a method without parameters answers. Raises NodeError."""
    with shaped(method):
        return int(rpc.ask(method), 16)


def logs(rpc: Rpc, contract: str, topics: Sequence[Any], first: int, last: int) -> list[Any]:
    """Return a contract's logs in these blocks, in order; in as many answers as they take."""
    query = {
        "address": "0x" + contracts.ADDRESSES[contract].hex(),
        "topics": list(topics),
        "fromBlock": hex(first),
        "toBlock": hex(min(last, first + LOG_RANGE - 1)),
    }
    try:
        found = rpc.ask("eth_getLogs", query)
    except NodeRefused as error:
        if error.code != _TOO_MUCH or first == last:
            raise
        middle = (first + min(last, first + LOG_RANGE - 1)) // 2
        found = logs(rpc, contract, topics, first, middle)
        return found + logs(rpc, contract, topics, middle + 1, last)
    if not isinstance(found, list):
        raise NodeSilent("nút trả lời sai · eth_getLogs: malformed answer")
    if last >= first + LOG_RANGE:
        found += logs(rpc, contract, topics, first + LOG_RANGE, last)
    return found


_TOO_MUCH: Final = -32005

_FINALITY: Final[Mapping[str, Sentence]] = {
    "reached": Sentence("đạt được, hơn 2/3 đang ký", "reached, more than 2/3 sign"),
    "stuck": Sentence(
        "KHÔNG: giao dịch chờ mà không có khối", "NO: transactions wait, and no block comes"
    ),
    "too-few": Sentence("KHÔNG: chưa nối được với hơn 2/3", "NO: not connected to more than 2/3"),
}


def _now(rpc: Rpc) -> dict[str, Any]:
    """Return what node and consensus say, looked at again while what waits may still move."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        found = _look(rpc)
        if not _is_waiting(found) or time.monotonic() > until:
            return found
        time.sleep(_POLL_SECONDS)


def _look(rpc: Rpc) -> dict[str, Any]:
    with shaped("moneo_status"):
        said = rpc.ask("moneo_status")
        known = {key: _typed(said[key], kind) for key, kind in _STATUS_KEYS.items()}
    with shaped("moneo_getConsensus"):
        consensus = rpc.ask("moneo_getConsensus")
        newest = parse_time(consensus["time"])
        return {
            "status": known,
            "own": consensus["validator"].lower(),
            "time": consensus["time"],
            "age": max(0, round(time.time() - newest.seconds)),
            "catchingUp": bool(consensus["catchingUp"]),
            "validators": [
                {
                    "address": _typed(each["address"], str),
                    "power": _typed(each["power"], int),
                    "account": each["account"] and _typed(each["account"], str),
                    "signed": bool(each["signed"]),
                }
                for each in consensus["validators"]
            ],
            "peers": {each["nodeId"].removeprefix("0x") for each in consensus["peers"]},
            "misbehaviour": [
                {key: _typed(each[key], kind) for key, kind in _MISBEHAVIOUR_KEYS.items()}
                for each in consensus["misbehaviour"]
            ],
        }


_STATUS_KEYS: Final = {
    "chainId": int,
    "cometbftChainId": str,
    "blockNumber": int,
    "blockHash": str,
    "finalizedNumber": int,
    "height": int,
    "validator": str,
    "waiting": int,
}
_MISBEHAVIOUR_KEYS: Final = {"kind": str, "validator": str, "height": int, "time": str}


def _typed(value: Any, kind: type) -> Any:
    """Return a value that is a number, or a text of one line. Raises TypeError for another."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError("a member has another type")
    if isinstance(value, str) and not value.isprintable():
        raise TypeError("a text cannot be shown")
    return value


def _is_waiting(now: Mapping[str, Any]) -> bool:
    said = now["status"]
    unfinished = said["waiting"] or said["blockNumber"] > said["finalizedNumber"]
    return bool(unfinished) and now["age"] > FINAL_SECONDS


def _finality(
    now: Mapping[str, Any], known: Mapping[str, Member], unconnected: Sequence[Member]
) -> str:
    """Return whether finality is reached; who signs next are today's members, one vote each."""
    if _is_waiting(now):
        return "stuck"
    near = len(known) - len(unconnected)
    return "too-few" if known and 3 * near <= 2 * len(known) else "reached"


def _signers(rpc: Rpc, newest: int) -> set[str]:
    """Return the addresses that signed one of the blocks that show the newest EVM blocks.

    A vote that comes a moment late is left out of a block now and then, and means nothing.
    """
    found = set()
    with shaped("moneo_getLightBlock"):
        for number in range(max(0, newest - SIGNED_BLOCKS + 1), newest + 1):
            if answer := rpc.ask("moneo_getLightBlock", hex(number)):
                block = from_rpc(answer["lightBlock"])
                keys = (block.validators[vote.index].public_key for vote in block.votes)
                found |= {"0x" + validator_address(key).hex() for key in keys}
    return found


def _last_anchor(rpc: Rpc, newest: int, member: Member | None) -> dict[str, Any] | None:
    """Return the newest anchor of the member's log; of any log where the chain keeps no records."""
    topics: list[Any] = [list(_HEAD_EVENTS)]
    if member:
        topics.append("0x" + member.origin.hex())
    last = newest
    for _ in range(LOG_RANGES):
        first = max(0, last - LOG_RANGE + 1)
        found = logs(rpc, "AnchorLog", topics, first, last)
        if found:
            return _anchor(rpc, found[-1])
        if first == 0:
            break
        last = first - 1
    return None


def _anchor(rpc: Rpc, event: Mapping[str, Any]) -> dict[str, Any]:
    with shaped("eth_getLogs"):
        data = event["data"].removeprefix("0x")
        size = int(data[2 * _WORD_DIGITS : 3 * _WORD_DIGITS], 16)
        final = rpc.ask("moneo_getLightBlock", event["blockNumber"])
        header = final["lightBlock"]["signed_header"]["header"] if final else {}
        return {
            "size": size,
            "block": int(event["blockNumber"], 16),
            "time": _printable(header.get("time")),
        }


def _upgrade(rpc: Rpc, height: int) -> dict[str, Any] | None:
    slots = contracts.CONSORTIUM_SLOTS
    at = int.from_bytes(storage(rpc, slots["upgrade_height"].to_bytes(32, "big")), "big")
    if not at:
        return None
    plan = storage(rpc, slots["upgrade_plan"].to_bytes(32, "big"))
    return {"height": at, "plan": "0x" + plan.hex(), "left": at - height}


def _problems(
    found: Mapping[str, Any], own: str, misbehaviour: Iterable[Mapping[str, Any]]
) -> list[Sentence]:
    told = []
    if found["catchingUp"]:
        told.append(
            Sentence("Nút còn đang theo kịp các nút khác.", "The node is still catching up.")
        )
    elif not found["inSet"]:
        told.append(
            Sentence(
                "Khóa của nút này không thuộc các nút kiểm chứng: chưa được kết nạp, đã bị loại, hoặc đang "
                "đổi khóa; nếu kéo dài, hãy khởi động lại nút.",
                "This node's key is no validator's: not admitted yet, removed, or changing its key; if "
                "that lasts, start the node again.",
            )
        )
    elif found["signs"] is False:
        told.append(
            Sentence(
                "Chữ ký của nút này thiếu ở mọi khối mới nhất.",
                "This node's vote is missing from all of the newest blocks.",
            )
        )
    if found["finality"] != "reached":
        said = _FINALITY[found["finality"]]
        told.append(Sentence(f"Chung quyết {said.vi}.", f"Finality: {said.en}."))
    if any(each["validator"].lower() == own.lower() for each in misbehaviour):
        told.append(
            Sentence(
                "Khóa của nút này đã ký hai lần: dừng nút, xin đổi khóa.",
                "This node's key has signed twice: stop it, and have the key changed.",
            )
        )
    upgrade = found["upgrade"]
    if upgrade and upgrade["left"] <= UPGRADE_NEAR:
        told.append(
            Sentence(
                f"Sắp nâng cấp: từ độ cao {upgrade['height']} cần chương trình mới.",
                f"An upgrade is near: from height {upgrade['height']} another program is needed.",
            )
        )
    return told


def _member(value: Mapping[str, Any]) -> Member:
    card = value["card"] if isinstance(value["card"], dict) else {}
    name_hash, hosts_hash = _bytes(value["name"]), _bytes(value["hosts"])
    name = disclosed(card.get("name"), "name", name_hash)
    hosts = disclosed(card.get("hosts"), "hosts", hosts_hash)
    return Member(
        account=_typed(value["account"], str),
        validator_key=_bytes(value["validatorKey"]),
        node_id=_typed(value["nodeId"], str).removeprefix("0x"),
        origin=_bytes(value["origin"]),
        name_hash=name_hash,
        hosts_hash=hosts_hash,
        name=_printable(name),
        peer=_printable(hosts.get("peer")) if isinstance(hosts, dict) else None,
    )


def _printable(value: Any) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _validator_name(validator: Mapping[str, Any], known: Mapping[str, Member]) -> str:
    member = known.get(str(validator["account"]))
    return member.called if member else str(validator["address"])


def _misbehaved(
    each: Mapping[str, Any], now: Mapping[str, Any], known: Mapping[str, Member]
) -> str:
    for validator in now["validators"]:
        if validator["address"].lower() == each["validator"].lower():
            return _validator_name(validator, known)
    return str(each["validator"])


def _peer_name(row: Mapping[str, Any]) -> str:
    if row["account"] is None:
        return "người lạ · a stranger"
    return str(row["member"] or row["account"])


def _signs_text(found: Mapping[str, Any]) -> str:
    if not found["inSet"] or found["signs"] is False:
        return "KHÔNG · NO"
    return "có · yes" if found["signs"] else "từ khối tới · from the next block on"


def _behind_text(found: Mapping[str, Any]) -> str:
    since = f"khối mới nhất {found['age']} giây trước · newest block {found['age']} s ago"
    return ("CÒN ĐANG THEO KỊP · CATCHING UP, " if found["catchingUp"] else "không · no, ") + since


def _listed(names: Sequence[str]) -> str:
    return f", thiếu · missing: {', '.join(names)}" if names else ""


def _log_text(log: Mapping[str, Any] | None) -> str:
    if log is None:
        return f"không thấy trong {LOG_RANGE * LOG_RANGES:,} khối · not in so many blocks"
    return f"{log['time'] or '…'}, {log['size']} lô · batches, EVM block {log['block']}"


@contextmanager
def shaped(method: str) -> Iterator[None]:
    """Turn whatever a malformed answer leads to into one error, NodeSilent."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, LightError) as error:
        raise NodeSilent(f"nút trả lời sai · {method}: malformed answer") from error
