# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of messages stands, line by line, in the files of the CometBFT that tests/go locks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from node.abci.messages import _FIELDS, METHODS, MISBEHAVIOURS
from tests.support.tools import ROOT, go

# Kept as int32 here, as they are on the wire.
ENUMERATIONS = {
    "CheckTxType", "ProposalStatus", "VerifyStatus", "Result", "MisbehaviorType",
}  # fmt: skip


@pytest.fixture(scope="module")
def proto() -> str:
    """CometBFT's own definitions, without comments and with one blank between words."""
    asked = [go(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/cometbft/cometbft"]
    done = subprocess.run(
        asked, cwd=ROOT / "tests" / "go", capture_output=True, text=True, check=True
    )
    folder = Path(done.stdout.strip()) / "proto" / "tendermint"
    files = (folder / "abci" / "types.proto", folder / "crypto" / "keys.proto")
    text = re.sub(r"//.*", "", "\n".join(each.read_text() for each in files))
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", _FIELDS)
def test_message_has_these_fields(name: str, proto: str) -> None:
    message = re.search(rf" message {name} \{{(.*?)\}}(?: message | service | enum |\s*$)", proto)
    assert message, f"CometBFT has no message {name}"
    for line in _FIELDS[name]:
        kind = "|".join(ENUMERATIONS) if line.startswith("int32 ") else line.split(" ")[-4]
        written = re.sub(r"^(repeated )?\S+", rf"\1(?:[a-z.]*\\.)?(?:{kind})", line)
        assert re.search(rf"[{{;] *{written}[ ;]", f"; {message[1]}"), line


def test_kinds_of_misbehaviour_have_these_numbers(proto: str) -> None:
    declared = re.search(r" enum MisbehaviorType \{(.*?)\}", proto)
    assert declared
    assert re.findall(r"(\w+) = (\d+);", declared[1]) == [
        (name, str(number)) for number, name in enumerate(MISBEHAVIOURS)
    ]


def test_service_has_these_methods(proto: str) -> None:
    calls = re.findall(r"rpc (\w+)\(Request(\w+)\) returns \(Response(\w+)\);", proto)
    assert sorted(calls) == sorted((name, name, name) for name in METHODS)
