# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `light-blocks.json`: light blocks that CometBFT itself has made, and the same ones spoiled.

    python -m tests.vectors.light

Their app hashes are of an EVM state that nobody has kept, so that no evidence can be made of them;
they hold a light client alone to its verdicts. Each row: `name`, `chain_id`, `trusted` (a light
block to start from), `eras`, `light_block`, all in the form of docs/evidence.md, and `proven`. It needs the
network's answers, which lie beside the checkout (`tests.support.vectors`).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from node.light import LightBlock, Timestamp, encode_light_block, from_rpc, minimal
from tests.support.vectors import vector_json
from tests.vectors.make import HERE

SOURCE = "cometbft-light-blocks.json"
FILE = HERE / "light-blocks.json"

Change = Callable[[LightBlock, LightBlock], LightBlock]

SPOILED: dict[str, Change] = {
    "exactly-half": lambda block, _: replace(block, votes=block.votes[:2]),
    "no-votes": lambda block, _: replace(block, votes=()),
    "a-validator-twice": lambda block, _: replace(block, votes=(block.votes[0], *block.votes[:2])),
    "votes-descending": lambda block, _: replace(block, votes=block.votes[::-1]),
    "votes-of-another-height": lambda block, other: replace(block, votes=other.votes),
    "a-vote-of-another-height": lambda block, other: replace(
        block, votes=(*block.votes[:2], replace(other.votes[2], index=block.votes[2].index))
    ),
    "a-vote-of-another-time": lambda block, _: replace(
        block, votes=(replace(block.votes[0], time=Timestamp(1)), *block.votes[1:])
    ),
    "another-round": lambda block, _: replace(block, round=block.round + 1),
    "other-parts": lambda block, _: replace(
        block, block_id=replace(block.block_id, parts_total=block.block_id.parts_total + 1)
    ),
    "another-app-hash": lambda block, other: _header(block, app_hash=other.header.app_hash),
    "another-time": lambda block, other: _header(block, time=other.header.time),
    "another-height": lambda block, other: _header(block, height=other.header.height),
    "another-next-set": lambda block, _: _header(block, next_validators_hash=bytes(32)),
    "validators-in-reverse": lambda block, _: replace(block, validators=block.validators[::-1]),
    "a-validator-left-out": lambda block, _: replace(block, validators=block.validators[:-1]),
}


def _header(block: LightBlock, **changes: Any) -> LightBlock:
    return replace(block, header=replace(block.header, **changes))


def made() -> bytes:
    """Return the file's bytes."""
    rpc = vector_json(SOURCE)["light_blocks"]
    blocks = [minimal(from_rpc(one)) for one in rpc]
    first, chain_id = blocks[0], blocks[0].header.chain_id
    rows = [_row(f"height-{one.header.height}", chain_id, first, one, True) for one in blocks]
    whole = from_rpc(rpc[4])
    rows.append(_row("height-5-with-all-votes", chain_id, first, whole, True))
    rows += [
        _row(f"height-5-with-{name}", chain_id, first, change(blocks[4], blocks[6]), False)
        for name, change in SPOILED.items()
    ]
    rows.append(_row("height-5-of-another-chain", f"{chain_id}x", first, blocks[4], False))
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f"[\n{lines}\n]\n".encode()


def _row(
    name: str, chain_id: str, trusted: LightBlock, block: LightBlock, proven: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "chain_id": chain_id,
        "trusted": encode_light_block(trusted),
        "eras": [],
        "light_block": encode_light_block(block),
        "proven": proven,
    }


if __name__ == "__main__":
    FILE.write_bytes(made())
