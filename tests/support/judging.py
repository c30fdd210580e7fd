# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the programs of others, and has evidence files to show them: of real nodes, whole and spoiled in one place.

The evidence is that of `tests/vectors/network/`, which four provinces' nodes and CometBFT have made.
"""

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.support.tools import ROOT, go_judges, missing, node_packages

VECTORS = Path(__file__).parents[1] / "vectors"
NETWORK = VECTORS / "network"
WEB = ROOT / "api" / "web"
SECONDS = 120

Json = Any
Change = Callable[[Json], None]


def ask_go(mode: str, lines: Iterable[Json]) -> list[Json]:
    """Return what the Go packages of tests/go answer to each line."""
    return _ask([str(go_judges()), mode], lines)


def ask_ethereum(mode: str, lines: Iterable[Json]) -> list[Json]:
    """Return what Ethereum's packages of tests/js answer to each line."""
    return _ask(["node", str(node_packages() / "ethereum.mjs"), mode], lines)


def ask_sd_jwt(mode: str, lines: Iterable[Json]) -> list[Json]:
    """Return what the SD-JWT library of tests/js answers to each line."""
    return _ask(["node", str(node_packages() / "sdjwt.mjs"), mode], lines)


def ask_ours(mode: str, lines: Iterable[Json]) -> list[Json]:
    """Return what our own verifier in JavaScript answers to each line."""
    if not (WEB / "node_modules").exists():
        raise missing("the browser side's libraries are not there; get them by: scripts/web")
    script = node_packages() / "ours.mjs"
    return _ask(["node", str(script), str(WEB / "src" / "verifier"), mode], lines)


def _ask(command: list[str], lines: Iterable[Json]) -> list[Json]:
    text = "\n".join(map(json.dumps, lines))
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert not done.returncode, done.stderr
    # Not splitlines: JSON may hold other ends of lines unescaped.
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def ask_all(lines: list[Json]) -> list[dict[str, str]]:
    """Return for each line (evidence, trust) the links that some judge refuses, with the reason."""
    answers = zip(ask_go("evidence", lines), ask_ethereum("state", lines), strict=True)
    return [log | state for log, state in answers]


def network(evidence: str, trust: str = "trust-of-four") -> dict[str, Json]:
    """Return a line of the real network's evidence and trust file."""
    names = {"evidence": evidence, "trust": trust}
    return {
        kind: json.loads((NETWORK / f"{name}.json").read_text()) for kind, name in names.items()
    }


def spoiled(line: Json, change: Change) -> Json:
    """Return a line with a change; one that changes nothing is a mistake in the test."""
    other = deepcopy(line)
    change(other)
    assert other != line
    return other


def at(*path: str | int, becomes: Callable[[Json], Json]) -> Change:
    """Return a change of the value at a path."""

    def change(line: Json) -> None:
        for step in path[:-1]:
            line = line[step]
        line[path[-1]] = becomes(line[path[-1]])

    return change


def flip(text: str) -> str:
    """Return base64 of other bytes: a bit in the middle is another."""
    data = bytearray(b64decode(text))
    data[len(data) // 2] ^= 1
    return b64encode(data).decode()


def swap(old: str, new: str) -> Callable[[str], str]:
    """Return what puts `new` in the place of the last `old` of a text."""
    return lambda text: new.join(text.rsplit(old, 1))


def more(value: Json) -> Json:
    """Return the next number; a text stays a text."""
    return str(int(value) + 1) if isinstance(value, str) else value + 1
