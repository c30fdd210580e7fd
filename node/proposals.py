# SPDX-License-Identifier: GPL-3.0-or-later
"""What members propose and how they voted, read over JSON-RPC, and what a proposal of ours says.

docs/governance.md. The history is every event of `Consortium` (`node.governance.history`); what an
open proposal still needs follows from the members of today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import encode

import contracts
from node.card import Card, file_bytes, parse_card
from node.errors import NodeError, TransactionRefused
from node.governance import Proposal, check_proposal, history
from node.light import keccak256
from node.overview import (
    Member,
    NodeSilent,
    Rpc,
    former_members,
    logs,
    members,
    quantity,
    shaped,
    storage,
)

MAX_PLAN_BYTES: Final = 16 * 1024 * 1024
_PROPOSE: Final = keccak256(b"propose(uint256,bytes,bytes)")[:4]
_PROPOSE_TYPES: Final = ("uint256", "bytes", "bytes")
_PROPOSED: Final = keccak256(b"Proposed(uint256,address,uint256,bytes,bytes)")
_OUTCOMES: Final = {
    "open": "đang bỏ phiếu · open",
    "accepted": "được chấp thuận · accepted",
    "rejected": "bị bác · rejected",
    "lapsed": "hết hiệu lực, phải đề xuất lại · lapsed, has to be proposed again",
}
_KINDS: Final = {
    "admit": "kết nạp · admit",
    "remove": "loại · remove",
    "change-key": "đổi khóa nút kiểm chứng · change a validator key",
    "list": "cho gọi hợp đồng · list a contract",
    "gas-limit": "giới hạn gas · gas limit",
    "retire": "cho nghỉ nhật ký · retire a log",
    "upgrade": "nâng cấp · upgrade",
}


class ProposalError(NodeError):
    """A proposal or vote that cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is proposed: its kind, its values as in `contracts.KINDS`, the proof for its keys."""

    kind: str
    values: Mapping[str, Any]
    proof: bytes = b""

    @property
    def payload(self) -> bytes:
        """The values as the contract takes them."""
        return contracts.encode_payload(self.kind, **self.values)

    @property
    def arguments(self) -> tuple[int, bytes, bytes]:
        """The arguments of `propose`."""
        return contracts.kind_number(self.kind), self.payload, self.proof

    def check(self, evm_chain_id: int) -> None:
        """Raise ProposalError if a node would not let it in: keys that are not shown to be held."""
        data = _PROPOSE + encode(_PROPOSE_TYPES, self.arguments)
        try:
            check_proposal(data, evm_chain_id)
        except TransactionRefused as error:
            raise ProposalError(
                f"khóa mới không được chứng minh · the new keys are not shown to be held: {error}"
            ) from error


def every(rpc: Rpc) -> list[Proposal]:
    """Return every proposal of the chain, oldest first. Raises NodeError."""
    newest = quantity(rpc, "eth_blockNumber")
    found = logs(rpc, "Consortium", (), 0, newest)
    with shaped("eth_getLogs"):
        events = [(tuple(map(_bytes, log["topics"])), _bytes(log["data"])) for log in found]
        proposals = history(events)
    for each in proposals:
        if each.outcome == "open" and newest >= _last_block(rpc, each.number):
            each.outcome = "lapsed"
    return proposals


def one(proposals: Sequence[Proposal], number: int) -> Proposal:
    """Return the proposal of this number. Raises ProposalError if there is none."""
    for each in proposals:
        if each.number == number:
            return each
    raise ProposalError(f"không có đề xuất số {number} · there is no proposal {number}")


def told(rpc: Rpc, number: int | None = None) -> list[dict[str, Any]]:
    """Return every proposal or that of a number, each as `shown`. Raises NodeError, ProposalError."""
    known, former = known_members(rpc), former_members(rpc)
    found = every(rpc)
    chosen = found if number is None else [one(found, number)]
    return [shown(each, known, former) for each in chosen]


def shown(
    proposal: Proposal, known: Sequence[Member], former: Sequence[Member] = ()
) -> dict[str, Any]:
    """Return a proposal as `moneo node proposals --json` prints it, with names, `former` members' too."""
    names = {each.account: each.name for each in (*former, *known)}

    def person(account: bytes) -> dict[str, Any]:
        text = "0x" + account.hex()
        return {"account": text, "name": names.get(text)}

    votes = proposal.votes.items()
    yes = [person(voter) for voter, approve in votes if approve]
    needed = 2 * len(known) // 3 + 1
    is_open = proposal.outcome == "open"
    return {
        "number": proposal.number,
        "kind": proposal.kind,
        "values": {
            name: "0x" + value.hex() if isinstance(value, bytes) else value
            for name, value in proposal.values.items()
        },
        "name": names.get("0x" + proposal.values["account"].hex())
        if "account" in proposal.values
        else None,
        "proposer": person(proposal.proposer),
        "yes": yes,
        "no": [person(voter) for voter, approve in votes if not approve],
        "outcome": proposal.outcome,
        "missing": max(0, needed - len(yes)) if is_open and known else None,
        "silent": [
            {"account": each.account, "name": each.name}
            for each in known
            if is_open and bytes.fromhex(each.account[2:]) not in proposal.votes
        ],
    }


def lines(proposal: Mapping[str, Any]) -> list[str]:
    """Return the same for a person: what, who, how it stands, what it still needs."""
    said = [
        f"{proposal['number']}. {_KINDS[proposal['kind']]}: {_content(proposal)}",
        f"   đề xuất · by: {_person(proposal['proposer'])}",
        f"   {_OUTCOMES[proposal['outcome']]}",
    ]
    for label, key in (("tán thành · yes", "yes"), ("phản đối · no", "no")):
        if proposal[key]:
            said.append(f"   {label}: {', '.join(map(_person, proposal[key]))}")
    if proposal["missing"]:
        waiting = ", ".join(map(_person, proposal["silent"]))
        said.append(
            f"   còn cần {proposal['missing']} phiếu, chưa bỏ · needs {proposal['missing']} more, "
            f"not yet: {waiting}"
        )
    return said


def proposed_in(rpc: Rpc, account: bytes, change: Change, block: int) -> int:
    """Return the number that this member's proposal got in an EVM block. Raises NodeError."""
    topics = ["0x" + _PROPOSED.hex(), None, "0x" + account.hex().rjust(64, "0")]
    with shaped("eth_getLogs"):
        for log in reversed(logs(rpc, "Consortium", topics, block, block)):
            if change.payload.hex() in log["data"]:
                return int(log["topics"][1], 16)
    raise NodeSilent(f"nút trả lời sai · no proposal of ours in block {block}")


def admission(path: Path, evm_chain_id: int) -> tuple[Card, Change]:
    """Return a candidate's card and its admission. Raises GenesisError, ProposalError."""
    card = parse_card(file_bytes(path), path.name)
    if card.evm_chain_id != evm_chain_id:
        raise ProposalError(
            f"{card.name}: phiếu này cho chuỗi khác, hãy lập lại với tệp lập chuỗi này · this card is "
            f"for chain {card.evm_chain_id}, not for {evm_chain_id}: have it made for this one"
        )
    return card, Change("admit", card.member.values(), card.proof)


def same_card(path: Path, proposal: Proposal, evm_chain_id: int) -> Card:
    """Return the card at a path if it is what a proposal admits, and the keys in the event sign for it.

    Raises GenesisError for a file that is no card, ProposalError for another one's.
    """
    card, _ = admission(path, evm_chain_id)
    if card.member.values() != dict(proposal.values):
        raise ProposalError(
            f"{card.name}: phiếu này không phải phiếu được đề xuất · this card is not what proposal "
            f"{proposal.number} admits: its record is another"
        )
    Change("admit", proposal.values, proposal.proof).check(evm_chain_id)
    return card


def account_of(text: str, known: Sequence[Member]) -> bytes:
    """Return the account that an address or a member's name means. Raises ProposalError."""
    wanted = text.casefold().strip()
    found = [
        each
        for each in known
        if wanted == each.account or (each.name and wanted == each.name.casefold())
    ]
    if len(found) == 1:
        return bytes.fromhex(found[0].account[2:])
    names = ", ".join(each.called for each in known)
    raise ProposalError(
        f"{text}: không có đúng một thành viên như vậy · not exactly one member is called so: {names}"
    )


def contract_of(text: str) -> bytes:
    """Return the address that a contract's name or 0x… means. Raises ProposalError."""
    if text in contracts.ADDRESSES:
        return contracts.ADDRESSES[text]
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise ProposalError(f"{text}: không phải địa chỉ hợp đồng · no contract's address")
    return address


def origin_of(text: str) -> bytes:
    """Return the hash of a log's origin, given as a name or as 0x… already."""
    if text.startswith("0x") and len(text) == 66:
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            pass
    return sha256(text.encode()).digest()


def plan_of(path: Path) -> bytes:
    """Return the hash of the file that says which program. Raises ProposalError, GenesisError."""
    data = file_bytes(path, MAX_PLAN_BYTES)
    if not 0 < len(data) <= MAX_PLAN_BYTES:
        raise ProposalError(
            f"{path}: cần 1 đến {MAX_PLAN_BYTES} byte · has to have 1 to {MAX_PLAN_BYTES} bytes"
        )
    return sha256(data).digest()


def known_members(rpc: Rpc) -> list[Member]:
    """Return today's members; where the chain keeps no records of them, their accounts."""
    found = members(rpc)
    if found:
        return found
    slots = contracts.CONSORTIUM_SLOTS
    count = int.from_bytes(storage(rpc, slots["member_count"].to_bytes(32, "big")), "big")
    seats = [
        storage(rpc, contracts.seat_slot(index))
        for index in range(min(count, contracts.MAX_MEMBERS))
    ]
    return [Member("0x" + seat[12:].hex()) for seat in seats]


def check_kept(rpc: Rpc, card: Card) -> None:
    """Raise ProposalError unless a card says of its member what the chain does."""
    for each in members(rpc):
        if each.account == "0x" + card.member.account.hex():
            if (each.name_hash, each.hosts_hash, each.node_id, each.origin) == (
                card.member.name,
                card.member.hosts,
                card.member.node_id.hex(),
                card.member.origin,
            ):
                return
            raise ProposalError(
                f"{card.name}: phiếu này không khớp với chuỗi, hãy xin phiếu mới nhất · this card is not "
                "what the chain has of its member: ask for the newest"
            )
    raise ProposalError(f"{card.name}: không phải phiếu của thành viên nào · no member's card")


def _last_block(rpc: Rpc, number: int) -> int:
    return int.from_bytes(storage(rpc, contracts.proposal_slot(number, "last_block")), "big")


def _content(proposal: Mapping[str, Any]) -> str:
    if proposal["name"]:
        return str(proposal["name"])
    return ", ".join(f"{name} {value}" for name, value in proposal["values"].items())


def _person(value: Mapping[str, Any]) -> str:
    return str(value["name"] or f"{value['account'][:10]}…")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
