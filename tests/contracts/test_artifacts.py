# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed artifacts are the compiler's exact output, and fit what the room says of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from pytest import CaptureFixture

import contracts
from contracts import build

FOLDER = Path(build.__file__).parent


@pytest.mark.parametrize("name", contracts.CONTRACTS)
def test_artifact_is_what_its_source_compiles_to(name: str) -> None:
    committed = (FOLDER / "artifacts" / f"{name}.json").read_bytes()
    assert build.encode(build.artifact(name)) == committed


def test_nothing_else_lies_beside_the_artifacts() -> None:
    names = sorted(path.name for path in (FOLDER / "artifacts").iterdir())
    assert names == sorted(f"{name}.json" for name in contracts.CONTRACTS)


def test_check_passes_and_writes_nothing(capsys: CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_check_tells_a_changed_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CaptureFixture[str]
) -> None:
    (tmp_path / "Consortium.vy").write_bytes((FOLDER / "Consortium.vy").read_bytes())
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "CONTRACTS", ("Consortium",))
    assert build.main([]) == 0
    changed = tmp_path / "artifacts" / "Consortium.json"
    changed.write_bytes(changed.read_bytes().replace(b"0x5f35", b"0x5f36"))
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        "Consortium.json: written\nConsortium.json: differs from its source\n"
    )


@pytest.mark.parametrize("name", contracts.CONTRACTS)
def test_artifact_says_which_compiler_and_rules_made_it(name: str) -> None:
    artifact = json.loads((FOLDER / "artifacts" / f"{name}.json").read_text(encoding="ascii"))
    assert re.fullmatch(r"vyper 0\.4\.3\+commit\.[0-9a-f]{8}", artifact["compiler"])
    assert (artifact["evm_version"], artifact["optimize"]) == ("cancun", "gas")


@pytest.mark.parametrize("name", contracts.CONTRACTS)
def test_genesis_can_place_the_code_as_it_is(name: str) -> None:
    """Neither a constructor, nor immutables, nor a way to receive or to be drained of anything."""
    source = (FOLDER / f"{name}.vy").read_text(encoding="utf-8")
    assert not re.search(r"__init__|immutable\(|@payable|raw_call|selfdestruct", source)
    assert not {"constructor", "fallback"} & {entry["type"] for entry in contracts.abi(name)}


def test_storage_lies_where_the_slots_of_the_room_say() -> None:
    layouts = {}
    for name in contracts.CONTRACTS:
        text = (FOLDER / "artifacts" / f"{name}.json").read_text(encoding="ascii")
        layout = json.loads(text)["storage_layout"]
        layouts[name] = {variable: entry["slot"] for variable, entry in layout.items()}
    assert layouts == {
        "Consortium": {
            "is_member": 0,
            "is_callable": 1,
            "era": 2,
            "era_since": 3,
            "validators_hash": 4,
            "member": 5,
            "is_used": 6,
            "kept_for": 7,
            "gas_limit": 8,
            "upgrade": 9,
            "proposal_count": 11,
            "proposal": 12,
            "has_voted": 13,
            "members": 14,
        },
        "AnchorLog": {"head": 0, "successor": 1},
        "IssuerRegistry": {"issuer": 0},
    }


@pytest.mark.parametrize(
    ("source", "constant", "target"),
    [("AnchorLog", "CONSORTIUM", "Consortium"), ("Consortium", "ANCHOR_LOG", "AnchorLog")],
)
def test_sources_know_each_other_by_their_genesis_addresses(
    source: str, constant: str, target: str
) -> None:
    address = to_checksum_address(contracts.ADDRESSES[target])
    text = (FOLDER / f"{source}.vy").read_text(encoding="utf-8")
    assert f"{constant}: constant(address) = {address}\n" in text


@pytest.mark.parametrize("name", contracts.CONTRACTS)
def test_code_hash_is_of_the_runtime_code(name: str) -> None:
    assert contracts.code_hash(name) == keccak(contracts.runtime_code(name))


def test_unknown_contract_is_a_key_error() -> None:
    for function in (contracts.abi, contracts.runtime_code, contracts.code_hash):
        with pytest.raises(KeyError, match="Nobody"):
            function("Nobody")


def test_abi_can_be_changed_by_who_asked_for_it() -> None:
    contracts.abi("AnchorLog").clear()
    assert contracts.abi("AnchorLog")


def test_using_the_room_needs_neither_compiler_nor_evm() -> None:
    code = (
        "import sys, contracts\n"
        "[contracts.abi(n) or contracts.code_hash(n) for n in contracts.CONTRACTS]\n"
        "heavy = {'vyper', 'eth', 'web3', 'eth_utils', 'eth_abi'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_everything_listed_is_there() -> None:
    public = {name for name in vars(contracts) if not name.startswith("_")}
    assert set(contracts.__all__) <= public
