# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT's own code judges the sequencer's blocks: its light client, and its rules for blocks.

The judge is the Go program beside this file. Without Go these tests skip; under CI=true they fail.
"""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from node.blocks import MAX_BLOCK_BYTES, MAX_BLOCK_GAS
from node.genesis import Genesis
from node.light import from_rpc, validator_address
from tests.support.node_core import (
    ANCHOR_LOG,
    LOG_KEY_ID,
    OTHER_MEMBER,
    Call,
    Head,
    register_log,
)
from tests.support.ordered import SECOND, Clock, Ordered, founded, ordering
from tests.support.tools import go_judges

Judge = Callable[[str, list[Any]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    program = go_judges()

    def run(mode: str, lines: list[Any]) -> subprocess.CompletedProcess[str]:
        text = "\n".join(map(json.dumps, lines))
        return subprocess.run(
            [str(program), mode], input=text, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordered]:
    """Blocks of one transaction and of three, reverted ones, one of 120 kB, a clock set back."""
    with ordering(tmp_path_factory.mktemp("chain"), founded(), clock := Clock()) as ordered:
        ordered.send(
            register_log(0).typed(),
            Head(0, 1).anchor(5, nonce=1).legacy(),
            register_log(0, key=OTHER_MEMBER).typed(),
        )
        ordered.sequencer.start()
        assert ordered.settle() == 3
        clock.now += 60 * SECOND
        ordered.send(Head(5, 1).anchor(7, nonce=2).typed())
        assert ordered.settle() == 5
        clock.now -= 120 * SECOND
        ordered.send(Call(3, ANCHOR_LOG, bytes(120_000), gas=800_000).typed())
        assert ordered.settle() == 7
        yield ordered


def comet_genesis(genesis: Genesis, app_hash: bytes) -> dict[str, Any]:
    """Return the genesis document that a CometBFT node of this chain would have."""
    return {
        "genesis_time": genesis.time,
        "chain_id": genesis.cometbft_chain_id,
        "initial_height": "1",
        "app_hash": app_hash.hex().upper(),
        "consensus_params": {
            "block": {"max_bytes": str(MAX_BLOCK_BYTES), "max_gas": str(MAX_BLOCK_GAS)},
            "evidence": {
                "max_age_num_blocks": "100000",
                "max_age_duration": "172800000000000",
                "max_bytes": "0",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": validator_address(public_key).hex().upper(),
                "pub_key": {
                    "type": "tendermint/PubKeyEd25519",
                    "value": base64.b64encode(public_key).decode(),
                },
                "power": str(power),
                "name": "",
            }
            for public_key, power in genesis.validators
        ],
    }


def heights_of(history: Ordered) -> list[Any]:
    """Return the genesis document and every height as the judge reads them."""
    chain = history.application.chain
    lines: list[Any] = [comet_genesis(chain.genesis, chain.hash_of(0))]
    for height, light_block in enumerate(history.light_blocks(), start=1):
        finalized = history.application.finalized[height]
        results = [
            {
                "code": int(result.code),
                "data": base64.b64encode(result.data).decode(),
                "gas_wanted": str(result.gas_wanted),
                "gas_used": str(result.gas_used),
            }
            for result in finalized.results
        ]
        lines.append(
            {
                "light_block": light_block,
                "block": base64.b64encode(history.sequencer.block_bytes(height)).decode(),
                "results": results,
                "app_hash": base64.b64encode(finalized.app_hash).decode(),
            }
        )
    return lines


def test_light_client_follows_every_height(history: Ordered, judge: Judge) -> None:
    done = judge("light", history.light_blocks())
    assert done.stdout == f"accepted {history.sequencer.height}\n", done.stderr


def test_light_client_skips_to_heights_with_new_app_hash(history: Ordered, judge: Judge) -> None:
    heights = [history.sequencer.height_of(n) for n in range(4)]
    assert heights == [1, 3, 5, 7]
    done = judge("light", [history.light_blocks()[h - 1] for h in (1, 3, 7)])
    assert done.stdout == "accepted 3\n", done.stderr


def test_validator_would_vote_for_every_block(history: Ordered, judge: Judge) -> None:
    totals = [from_rpc(block).block_id.parts_total for block in history.light_blocks()]
    assert max(totals) == 2
    codes = [r.code for f in history.application.finalized.values() for r in f.results]
    assert codes == [0, 0, 1, 0, 1]
    done = judge("blocks", heights_of(history))
    assert done.stdout == f"accepted {history.sequencer.height}\n", done.stderr


# A member of a light block, and another value of it.
BROKEN: dict[str, tuple[tuple[Any, ...], Any]] = {
    "app hash": (("signed_header", "header", "app_hash"), "00" * 32),
    "time": (("signed_header", "header", "time"), "2026-01-01T00:00:00Z"),
    "height": (("signed_header", "header", "height"), "7"),
    "chain": (("signed_header", "header", "chain_id"), "another"),
    "last block": (("signed_header", "header", "last_block_id", "hash"), "11" * 32),
    "next validators": (("signed_header", "header", "next_validators_hash"), "22" * 32),
    "parts": (("signed_header", "commit", "block_id", "parts", "hash"), "33" * 32),
    "vote time": (
        ("signed_header", "commit", "signatures", 0, "timestamp"),
        "2026-01-01T00:00:00Z",
    ),
    "signature": (
        ("signed_header", "commit", "signatures", 0, "signature"),
        base64.b64encode(bytes(64)).decode(),
    ),
    "power": (("validators", 0, "voting_power"), "11"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_light_block_is_refused(name: str, history: Ordered, judge: Judge) -> None:
    path, value = BROKEN[name]
    lines = deepcopy(history.light_blocks()[:4])
    place: Any = lines[3]
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    done = judge("light", lines)
    assert done.returncode == 1
    assert done.stderr.startswith("refused after 3:")


def test_block_with_other_bytes_is_refused(history: Ordered, judge: Judge) -> None:
    lines = heights_of(history)[:4]
    block = bytearray(base64.b64decode(lines[2]["block"]))
    block[block.index(LOG_KEY_ID)] ^= 1
    lines[2]["block"] = base64.b64encode(bytes(block)).decode()
    done = judge("blocks", lines)
    assert done.returncode == 1
    assert done.stderr.startswith("refused after 1:")


def test_other_results_are_refused_by_the_next_block(history: Ordered, judge: Judge) -> None:
    lines = heights_of(history)[:4]
    lines[2]["results"][0]["gas_used"] = "1"
    done = judge("blocks", lines)
    assert done.returncode == 1
    assert "LastResultsHash" in done.stderr
