# SPDX-License-Identifier: GPL-3.0-or-later
"""What the members have decided, read from a state, so that each node does the same about it.

`contracts/Consortium.vy` lets only sound sets of validators come about; what CometBFT is handed is
filtered here again, because it stops for good at an update that it cannot take (ABCI 2.0,
`ValidatorUpdate`). The EVM cannot verify Ed25519 signatures: that the keys of a proposal are
possessed is a rule of the door, `check_proposal`, before the contract sees it. Everything here is a
function of its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth.abc import StateAPI
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_keys.datatypes import PrivateKey
from eth_typing import Address

import contracts
from node.errors import ChainError, Code, TransactionRefused, UpgradeNeeded
from node.light import (
    LightError,
    Validator,
    check_public_key,
    keccak256,
    validator_address,
    validators_hash,
    verify,
)

__all__ = [
    "KNOWN_PLANS",
    "Consortium",
    "Proposal",
    "Upgrade",
    "admission_proof",
    "check_possession",
    "check_proposal",
    "check_upgrade",
    "gas_limit",
    "history",
    "is_used",
    "key_proof",
    "read",
    "validator_updates",
]

# SHA-256 of each plan that this program is the one for.
KNOWN_PLANS: Final[frozenset[bytes]] = frozenset()

_CONSORTIUM: Final = Address(contracts.ADDRESSES["Consortium"])
_POWER: Final = 1
_PROPOSE: Final = keccak256(b"propose(uint256,bytes,bytes)")[:4]
_PROPOSE_TYPES: Final = ("uint256", "bytes", "bytes")
# Selector, three words, and two byte strings with their lengths: more than the contract takes.
_MAX_PROPOSE_SIZE: Final = 4 + 32 * (3 + 1 + 7 + 1 + 11)
_ECDSA_SIZE: Final = 96
_KEY_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64


@dataclass(frozen=True, slots=True)
class Upgrade:
    """From which height of consensus another program is needed, and SHA-256 of what says which."""

    height: int
    plan: bytes


@dataclass(frozen=True, slots=True)
class Consortium:
    """What stands in a state: `members` in CometBFT's order of their validators.

    `era` is 0 where votes do not govern the validators; `era_since` is an EVM block.
    """

    era: int
    era_since: int
    validators_hash: bytes
    members: tuple[contracts.Member, ...]
    gas_limit: int
    upgrade: Upgrade | None

    @property
    def validators(self) -> tuple[Validator, ...]:
        """The members' validators in CometBFT's order, each with the power of one vote."""
        return tuple(Validator(member.validator_key, _POWER) for member in self.members)


Outcome = Literal["open", "accepted", "rejected", "lapsed"]


@dataclass(slots=True)
class Proposal:
    """A proposal as the events tell it; `values` as in `contracts.KINDS`, accounts of 20 bytes.

    `lapsed` ones are those that an era ended before they were decided.
    """

    number: int
    proposer: bytes
    kind: str
    values: Mapping[str, Any]
    proof: bytes
    votes: dict[bytes, bool] = field(default_factory=dict)
    outcome: Outcome = "open"


def read(state: StateAPI) -> Consortium:
    """Return what a state holds of the consortium; raises ChainError for more than can be there."""
    slots = contracts.CONSORTIUM_SLOTS
    value = {name: _word(state, slot.to_bytes(32, "big")) for name, slot in slots.items()}
    number = {name: int.from_bytes(word, "big") for name, word in value.items()}
    if number["member_count"] > contracts.MAX_MEMBERS:
        raise ChainError("dữ liệu của chuỗi bị hỏng · the list of members is damaged")
    height = number["upgrade_height"]
    return Consortium(
        era=number["era"],
        era_since=number["era_since"],
        validators_hash=_word(state, contracts.validators_hash_slot(number["era"])),
        members=tuple(_member(state, index) for index in range(number["member_count"])),
        gas_limit=number["gas_limit"],
        upgrade=Upgrade(height, value["upgrade_plan"]) if height else None,
    )


def gas_limit(state: StateAPI) -> int:
    """Return the gas limit of the block after this state, 0 from a Consortium without votes."""
    slot = contracts.CONSORTIUM_SLOTS["gas_limit"]
    return int.from_bytes(_word(state, slot.to_bytes(32, "big")), "big")


def is_used(state: StateAPI, place: bytes) -> bool:
    """Return whether a validator or node key with this place is, or was, a member's."""
    return any(_word(state, contracts.used_slot(place)))


def check_upgrade(consortium: Consortium, height: int) -> None:
    """Raise UpgradeNeeded if another program than this one has to go on at this height."""
    upgrade = consortium.upgrade
    if upgrade is not None and height >= upgrade.height and upgrade.plan not in KNOWN_PLANS:
        raise UpgradeNeeded(
            f"từ độ cao {upgrade.height} chuỗi cần chương trình mới, hãy cài nó rồi chạy lại nút · the "
            f"members have decided that from height {upgrade.height} the chain needs the program of "
            f"plan {upgrade.plan.hex()}: install it and start the node again"
        )


def validator_updates(
    current: Sequence[Validator], consortium: Consortium
) -> tuple[Validator, ...]:
    """Return the updates that make CometBFT's set the members', by address; power 0 removes.

    `current` is the set that CometBFT has after all updates it was handed: genesis's at first. A
    key that cannot sign is left out, and so is every update where the set is not one that votes
    govern, is not the one whose hash the contract keeps, or would be empty.
    """
    wanted = {each.public_key: each for each in consortium.validators if _is_usable(each)}
    sound = len({each.public_key for each in consortium.validators}) == len(consortium.members)
    sound = sound and validators_hash(consortium.validators) == consortium.validators_hash
    if consortium.era == 0 or not wanted or not sound:
        return ()
    known = {each.public_key: each.power for each in current}
    removed = [Validator(key, 0) for key in known if key not in wanted]
    added = [each for key, each in wanted.items() if known.get(key) != each.power]
    return tuple(sorted(removed + added, key=lambda each: validator_address(each.public_key)))


def admission_proof(
    evm_chain_id: int,
    member: contracts.Member,
    account: PrivateKey,
    validator: Ed25519PrivateKey,
    node: Ed25519PrivateKey,
    log: Ed25519PrivateKey,
) -> bytes:
    """Return what shows that a new member holds its keys and agrees: `propose`'s last argument."""
    payload = contracts.encode_payload("admit", **member.values())
    signed = account.sign_msg_hash(contracts.statement(evm_chain_id, "admit", payload))
    numbers = (signed.v + 27, signed.r, signed.s)
    message = contracts.possession_message(evm_chain_id, "admit", payload)
    return b"".join(
        (
            *(number.to_bytes(32, "big") for number in numbers),
            validator.sign(message),
            *(key.public_key().public_bytes_raw() + key.sign(message) for key in (node, log)),
        )
    )


def key_proof(evm_chain_id: int, account: bytes, validator: Ed25519PrivateKey) -> bytes:
    """Return what shows that a member holds its new validator key."""
    public_key = validator.public_key().public_bytes_raw()
    payload = contracts.encode_payload("change-key", account=account, validator_key=public_key)
    return validator.sign(contracts.possession_message(evm_chain_id, "change-key", payload))


def check_proposal(data: bytes, evm_chain_id: int) -> None:
    """Raise TransactionRefused if this calldata of Consortium proposes keys not shown to be held.

    Calldata of other functions passes, and so do proposals without keys. Whatever it is that the
    contract would read otherwise than this function is refused: only one encoding is taken.
    """
    if not data.startswith(_PROPOSE):
        return
    try:
        check_possession(*_propose_arguments(data), evm_chain_id)
    except (ValueError, LightError) as error:
        raise TransactionRefused(
            Code.BAD_SIGNATURE, f"the proposal is malformed: {error}"
        ) from error


def check_possession(number: int, payload: bytes, proof: bytes, evm_chain_id: int) -> None:
    """Raise ValueError or LightError unless the Ed25519 keys that a proposal brings have signed it.

    `number` is the kind's; the account's own signature is the contract's to verify.
    """
    kind, values = contracts.decode_payload(number, payload)
    message = contracts.possession_message(evm_chain_id, kind, payload)
    if kind == "admit":
        _check_admission(values, proof, message)
    elif kind == "change-key":
        verify(values["validator_key"], proof, message)


def history(logs: Iterable[tuple[Sequence[bytes], bytes]]) -> list[Proposal]:
    """Return every proposal with its votes, from all logs (topics, data) of Consortium in order."""
    proposals: dict[int, Proposal] = {}
    for topics, data in logs:
        name, values = _decode_event(topics, data)
        if name == "Proposed":
            kind, content = contracts.decode_payload(values["kind"], values["payload"])
            number = values["number"]
            proposer = bytes.fromhex(values["proposer"][2:])
            proposals[number] = Proposal(number, proposer, kind, content, values["proof"])
        elif name == "Voted":
            voter = bytes.fromhex(values["voter"][2:])
            proposals[values["number"]].votes[voter] = values["approve"]
        elif name == "Closed":
            proposals[values["number"]].outcome = contracts.OUTCOMES[values["outcome"]]
        elif name == "EraBegan":
            for proposal in proposals.values():
                if proposal.outcome == "open":
                    proposal.outcome = "lapsed"
    return list(proposals.values())


def _word(state: StateAPI, slot: bytes) -> bytes:
    return state.get_storage(_CONSORTIUM, int.from_bytes(slot, "big")).to_bytes(32, "big")


def _member(state: StateAPI, index: int) -> contracts.Member:
    account = _word(state, contracts.seat_slot(index))[12:]
    types = contracts.KINDS["admit"]
    words = {
        name: _word(state, contracts.record_slot(account, name))
        for name in types
        if name != "account"
    }
    return contracts.Member(account, **{**words, "node_id": words["node_id"][:20]})


def _is_usable(validator: Validator) -> bool:
    try:
        check_public_key(validator.public_key)
    except LightError:
        return False
    return True


def _propose_arguments(data: bytes) -> tuple[int, bytes, bytes]:
    if len(data) > _MAX_PROPOSE_SIZE:
        raise ValueError("it is too long")
    try:
        arguments = cast("tuple[int, bytes, bytes]", decode(_PROPOSE_TYPES, data[4:]))
    except DecodingError as error:
        raise ValueError("its arguments cannot be read") from error
    if encode(_PROPOSE_TYPES, arguments) != data[4:]:
        raise ValueError("its arguments are not encoded in the one way")
    return arguments


def _check_admission(values: Mapping[str, Any], proof: bytes, message: bytes) -> None:
    signature, *others = _cut(proof[_ECDSA_SIZE:])
    verify(values["validator_key"], signature, message)
    keys = [values["validator_key"]]
    for key, signed in zip(others[::2], others[1::2], strict=True):
        verify(key, signed, message)
        keys.append(key)
    if contracts.place(keys[1]) != values["node_id"]:
        raise ValueError("the node key is not the one of the node id")
    if len(set(keys)) != len(keys):
        raise ValueError("a key has two uses")


def _cut(signatures: bytes) -> list[bytes]:
    parts = []
    for size in (_SIGNATURE_SIZE, *(_KEY_SIZE, _SIGNATURE_SIZE) * 2):
        parts.append(signatures[:size])
        signatures = signatures[size:]
    if signatures:
        raise ValueError("the proof is too long")
    return parts


@cache
def _events() -> dict[bytes, dict[str, Any]]:
    """Return the ABI of each event by the topic that names it."""
    events = (each for each in contracts.abi("Consortium") if each["type"] == "event")
    return {
        keccak256(f"{each['name']}({','.join(_types(each['inputs']))})".encode()): each
        for each in events
    }


def _types(inputs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [each["type"] for each in inputs]


def _decode_event(topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
    event = _events()[topics[0]]
    indexed = [each for each in event["inputs"] if each["indexed"]]
    plain = [each for each in event["inputs"] if not each["indexed"]]
    values = (*decode(_types(indexed), b"".join(topics[1:])), *decode(_types(plain), data))
    return event["name"], dict(
        zip((each["name"] for each in (*indexed, *plain)), values, strict=True)
    )
