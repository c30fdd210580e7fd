# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dishonest province's node does otherwise, and how often honest ones have refused it.

`become`, `witness` and `hurry` are called in a node's own process before its program begins
(tests.support.victims). What the dishonest one does stands in the file `byzantine` of its data folder:

honest     as everybody
gossip     lets any transaction into its mempool, from where CometBFT spreads it
proposals  proposes one block after another that breaks a rule, and votes for anything
app hash   answers with another app hash than the others
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from eth_keys.datatypes import PrivateKey

from anchor.keys import load_member_key
from node.abci import home, service
from node.application import Application, Finalized
from node.light import Timestamp
from tests.support.node_core import STRANGER, Call, calldata

Mode = Literal["honest", "gossip", "proposals", "app hash"]
MODE, PROPOSED = "byzantine", "proposed"
REFUSED_TXS, REFUSED_BLOCKS = "refused-transactions", "refused-blocks"
_HOSTS = calldata("change_hosts(bytes20,bytes32)", bytes(19) + b"\7", bytes(31) + b"\7")

Block = Callable[[Call, Sequence[bytes]], list[bytes]]
# Blocks that break a rule, made from a transaction that would be fine and from what waits.
BAD_BLOCKS: dict[str, Block] = {
    "of a stranger": lambda fine, _: [fine.with_(key=STRANGER, nonce=0).typed()],
    "undecodable": lambda fine, _: [b"\xff" * 100, b"", b"\x02\xc0", fine.typed()[:-1]],
    "too costly": lambda fine, _: [
        fine.with_(nonce=fine.nonce + n, gas=1_000_000).typed() for n in range(4)
    ],
    "out of turn": lambda fine, _: [fine.with_(nonce=fine.nonce + 1).typed(), fine.typed()],
    "what waits, unseen": lambda _, waiting: list(waiting),
    "over a transaction's gas": lambda fine, _: [fine.with_(gas=2_000_000).typed()],
    "to what may not be called": lambda fine, _: [fine.with_(to=b"Moneo" + bytes(15)).typed()],
    "doubled": lambda fine, _: [fine.typed(), fine.typed()],
    "of another chain": lambda fine, _: [fine.with_(chain_id=1).typed()],
    "too many": lambda _fine, _: [bytes([n % 256, n // 256]) for n in range(5_000)],
}


def hurry(commit: str = "20ms", empty: str = "false") -> None:
    """Have the node that is about to start wait less in consensus than it does.

    `empty` "true" has it make one height after another, whether there are transactions or not.
    """
    usual: Callable[..., str] = vars(home)["_settings"]
    before = 'timeout_commit = "200ms"\ncreate_empty_blocks = false\n'
    after = f"""\
timeout_propose = "1s"
timeout_prevote = "100ms"
timeout_precommit = "100ms"
timeout_commit = "{commit}"
create_empty_blocks = {empty}
"""

    def settings(*args: Any) -> str:
        text = usual(*args)
        assert before in text
        return text.replace(before, after)

    vars(home)["_settings"] = settings


def become(data: str, chain_id: str) -> None:
    """Make the node that is about to start the dishonest one of this data folder."""
    hurry()
    folder = Path(data)
    key = PrivateKey(load_member_key(folder / "keys" / "member.key"))
    account = bytes(key.public_key.to_canonical_address())
    propose, finalize = Application.propose, Application.finalize
    process, check_tx = Application.process, service._ANSWERS["CheckTx"]
    made: list[str] = []

    def mode() -> str:
        file = folder / MODE
        return file.read_text() if file.exists() else "honest"

    def propose_badly(self: Application, txs: Sequence[bytes], *limits: Any) -> list[bytes]:
        left = [name for name in BAD_BLOCKS if name not in made]
        if mode() != "proposals" or not left:
            return propose(self, txs, *limits)
        fine = Call(self.next_nonce(account), data=_HOSTS, chain_id=int(chain_id), key=key)
        block = BAD_BLOCKS[left[0]](fine, txs)
        made.append(left[0])
        (folder / PROPOSED).write_text("\n".join(made))
        return block

    def process_anything(self: Application, txs: Sequence[bytes]) -> bool:
        return mode() == "proposals" or process(self, txs)

    def finalize_otherwise(
        self: Application, height: int, time: Timestamp, txs: Sequence[bytes]
    ) -> Finalized:
        done = finalize(self, height, time, txs)
        return replace(done, app_hash=bytes(32)) if mode() == "app hash" else done

    def let_in(self: service.Service, request: Any) -> dict[str, Any]:
        return {"gas_wanted": 1} if mode() == "gossip" else check_tx(self, request)

    for name, other in (
        ("propose", propose_badly),
        ("process", process_anything),
        ("finalize", finalize_otherwise),
    ):
        setattr(Application, name, other)
    service._ANSWERS["CheckTx"] = let_in


def witness(data: str) -> None:
    """Have the node that is about to start note what it refuses, a byte each."""
    hurry()
    check_tx, process = service._ANSWERS["CheckTx"], Application.process
    refused_txs = (Path(data) / REFUSED_TXS).open("ab", buffering=0)
    refused_blocks = (Path(data) / REFUSED_BLOCKS).open("ab", buffering=0)

    def check(self: service.Service, request: Any) -> dict[str, Any]:
        answer = check_tx(self, request)
        if answer.get("code"):
            refused_txs.write(b".")
        return answer

    def judge(self: Application, txs: Sequence[bytes]) -> bool:
        accepted = process(self, txs)
        if not accepted:
            refused_blocks.write(b".")
        return accepted

    service._ANSWERS["CheckTx"] = check
    setattr(Application, "process", judge)  # noqa: B010 - the type checker knows it as a method


def refused(data: Path, name: str) -> int:
    """Return how much a witness has refused."""
    file = data / name
    return file.stat().st_size if file.exists() else 0
