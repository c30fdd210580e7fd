# SPDX-License-Identifier: GPL-3.0-or-later
"""A validator without JSON-RPC that kills itself where it is told to, and a reader of blocks: programs for tests.

python -m tests.support.comet_work run HOME LISTEN [STEP HEIGHT]
python -m tests.support.comet_work feed HOME < blocks.json
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.abci import Peering, open_comet
from node.abci.messages import MESSAGES
from node.abci.service import Service
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from node.genesis import CHAIN_FOLDER, load
from node.mempool import Mempool

# Where a process can be killed while it goes through a height.
STEPS = ("before finalize", "after finalize", "before write", "after write", "after commit")


def _kill_at(step: str, height: int) -> None:
    """Let this process kill itself there."""
    when, _, what = step.partition(" ")
    at = {"height": 0}

    def around(owner: Any, name: str) -> None:
        usual: Callable[..., Any] = getattr(owner, name)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "finalize":
                at["height"] = args[0]
            due = name == what and at["height"] == height
            if due and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = usual(self, *args, **kwargs)
            if due and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        setattr(owner, name, watched)

    around(Application, "finalize")
    around(Application, "commit")
    around(LevelDB, "write")


def run(home: Path, listen: str, step: str = "", height: str = "0") -> None:
    """Take part in consensus until CometBFT or this process ends."""
    if step:
        _kill_at(step, int(height))
    database = LevelDB(home / CHAIN_FOLDER)
    application = Application(Chain(database, load(home)))
    ended = threading.Event()
    orderer = open_comet(application, home, Peering(listen), on_failure=ended.set)
    orderer.start()
    print(orderer.pid, flush=True)  # noqa: T201
    ended.wait()
    orderer.stop()
    database.close()
    sys.exit(str(orderer.failure))


def feed(home: Path) -> None:
    """Execute heights as CometBFT would have them; print each answer's bytes and the app hash."""
    database = LevelDB(home / CHAIN_FOLDER)
    application = Application(Chain(database, load(home)))
    failures: list[BaseException] = []
    service = Service(application, Mempool(application.next_nonce), failures.append)
    for height, (seconds, *txs) in enumerate(json.load(sys.stdin), start=1):
        request = MESSAGES["RequestFinalizeBlock"](height=height, txs=map(bytes.fromhex, txs))
        request.time.seconds = seconds
        done = service.answer("FinalizeBlock", request)
        service.answer("Commit", MESSAGES["RequestCommit"]())
        print(done.SerializeToString().hex(), application.info().app_hash.hex())  # noqa: T201
    database.close()


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), *sys.argv[3:])
    else:
        feed(Path(sys.argv[2]))
