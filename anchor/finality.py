# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of a block, verified from trust: its header, who signed that, what its state holds.

Evidence is captured and trust files are made from nothing else. Every function raises ChainError;
ChainAnswerError where the node's answer does not bear itself out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import contracts
from anchor.onchain import AccountProof, ChainAnswerError, ChainError, FinalBlock
from node.light import (
    Eras,
    EvmHeader,
    LightBlock,
    LightError,
    TrieNodes,
    TrustedChain,
    minimal,
    parse_header,
    verify_eras,
)

if TYPE_CHECKING:
    from anchor.chain import Reader

FINAL_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
_SHORT_NODE: Final = 32

Wait = Callable[[float], None]


@dataclass(frozen=True)
class FinalState:
    """A verified header with the minimal light block that carries it."""

    header: EvmHeader
    light_block: LightBlock


def await_final(chain: Reader, number: int, wait: Wait) -> FinalBlock:
    """Wait for the light block of an EVM block; `wait` sleeps, or raises to stop."""
    waited = 0.0
    while (answer := chain.light_block(number)) is None:
        if waited > FINAL_SECONDS:
            raise ChainError(
                f"khối chưa được chốt, các nút kiểm chứng khác có chạy không? · block {number} is not "
                f"final after {FINAL_SECONDS:.0f} s: are the other validators there?"
            )
        wait(POLL_SECONDS)
        waited += POLL_SECONDS
    return answer


def lead_on(trusted: TrustedChain, chain: Reader) -> TrustedChain:
    """Return what is trusted with the later eras that a node tells of, each verified."""
    last = (trusted.light_block, *trusted.eras)[-1].header.height
    told = chain.eras(last)
    try:
        new = tuple(minimal(era) for era in told)
        grown = TrustedChain(trusted.chain_id, trusted.light_block, trusted.eras + new)
        if new:
            verify_eras(grown)
    except LightError as error:
        raise ChainAnswerError(f"nút trả lời sai · the validators' eras: {error}") from error
    return grown


def verified(answer: FinalBlock, eras: Eras, number: int | None = None) -> FinalState:
    """Return a header that the validators of its time have signed, of block `number` where given."""
    try:
        light_block = minimal(answer.light_block)
        eras.finality(light_block)
        header = parse_header(answer.header)
    except LightError as error:
        raise ChainAnswerError(f"nút trả lời sai · light block: {error}") from error
    if header.hash != light_block.header.app_hash or number not in (None, header.number):
        raise ChainAnswerError("nút trả lời sai · the light block carries another header")
    return FinalState(header, light_block)


def carried_by(chain: Reader, light_block: LightBlock) -> EvmHeader:
    """Return the EVM header whose hash a light block carries: the newest one as of its height."""
    low, high = 0, chain.newest()
    while low < high:
        middle = (low + high + 1) // 2
        answer = chain.light_block(middle)
        if answer is None or answer.light_block.header.height > light_block.header.height:
            high = middle - 1
        else:
            low = middle
    answer = chain.light_block(low)
    try:
        header = parse_header(answer.header if answer else b"")
    except LightError as error:
        raise ChainAnswerError(f"nút trả lời sai · header of block {low}: {error}") from error
    if header.hash != light_block.header.app_hash:
        raise ChainAnswerError(f"nút trả lời sai · block {low} is not the one of its light block")
    return header


def storage_root(header: EvmHeader, contract: str, proof: AccountProof) -> bytes:
    """Return a contract's storage root in the header's state, its code being ours."""
    pool = TrieNodes(needed(proof.account))
    account = pool.account(header.state_root, contracts.ADDRESSES[contract])
    pool.finish()
    if account is None or account.code_hash != contracts.code_hash(contract):
        raise ChainAnswerError(
            f"hợp đồng không đúng · {contract} is not at its address, or another version of it"
        )
    return account.storage_root


def slot_value(root: bytes, slot: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the 32 bytes that a slot is proven to hold; raises LightError."""
    pool = TrieNodes(needed(proof))
    value = pool.slot(root, slot)
    pool.finish()
    return value


def needed(proof: Sequence[bytes]) -> list[bytes]:
    """Leave out nodes that lie inside their parents, which some servers list once more."""
    return [node for at, node in enumerate(proof) if at == 0 or len(node) >= _SHORT_NODE]
