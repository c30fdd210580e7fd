# SPDX-License-Identifier: GPL-3.0-or-later
"""The other way round: what programs of others have made is read and believed by our code, and refused when broken."""

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from anchor.checkpoint import open_checkpoint, parse_tlog_proof
from anchor.errors import FormatError
from anchor.note import parse_verifier_key
from node.light import (
    LightBlockError,
    LightError,
    MerkleError,
    SignatureError,
    TrieError,
    TrieNodes,
    consistency_ranges,
    from_rpc,
    leaf_hash,
    minimal,
    parse_header,
    rlp_encode,
    root,
    verify,
    verify_consistency,
    verify_inclusion,
    verify_light_block,
)
from tests.support.judging import ask_ethereum, ask_go, ask_ours
from tests.support.tools import ROOT, go

ORIGIN = "log.example/others"
SIZES = (1, 2, 3, 7, 8, 70)


# Logs: x/mod's tlog and note, transparency-dev's formats


@pytest.fixture(scope="module")
def logs() -> list[Any]:
    """Logs of several sizes, with the entries they are of."""
    wanted = [{"name": ORIGIN, "entries": [f"entry {n}" for n in range(size)]} for size in SIZES]
    return [asked | made for asked, made in zip(wanted, ask_go("make-log", wanted), strict=True)]


@pytest.mark.parametrize("at", range(len(SIZES)))
def test_proofs_of_gos_log_hold(at: int, logs: list[Any]) -> None:
    log, size = logs[at], SIZES[at]
    name, key = parse_verifier_key(log["key"])
    assert name == ORIGIN
    for index, text in enumerate(log["proofs"]):
        proof = parse_tlog_proof(text.encode())
        assert (proof.index, proof.encode()) == (index, text.encode())
        head = open_checkpoint(proof.checkpoint, ORIGIN, key)
        assert (head.origin, head.size) == (ORIGIN, size)
        leaf = leaf_hash(log["entries"][index].encode())
        verify_inclusion(leaf, index, size, proof.path, head.root)
        with pytest.raises(MerkleError):
            verify_inclusion(leaf_hash(b"another"), index, size, proof.path, head.root)
        spoiled = text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]
        with pytest.raises(FormatError):
            open_checkpoint(parse_tlog_proof(spoiled.encode()).checkpoint, ORIGIN, key)


def test_a_log_that_only_grew_is_told_from_one_that_did_not(logs: list[Any]) -> None:
    log, size = logs[-1], SIZES[-1]
    roots = [b64decode(text) for text in log["roots"]]
    leaves = [leaf_hash(entry.encode()) for entry in log["entries"]]
    for old, step in enumerate(log["steps"], start=1):
        path = [b64decode(one) for one in step or []]
        verify_consistency(old, roots[old - 1], size, roots[-1], path)
        assert path == [root(leaves[a:b]) for a, b in consistency_ranges(old, size)]
        with pytest.raises(MerkleError):
            verify_consistency(old, leaf_hash(b"another"), size, roots[-1], path)


def test_go_believes_our_consistency_proofs(logs: list[Any]) -> None:
    """AnchorLog takes such proofs (tests/contracts); the roots are ours here as well as the paths."""
    steps = []
    size = SIZES[-1]
    leaves = [leaf_hash(entry.encode()) for entry in logs[-1]["entries"]]
    for old in range(1, size):
        path = [root(leaves[a:b]) for a, b in consistency_ranges(old, size)]
        hashes = {"old_root": root(leaves[:old]), "new_root": root(leaves)}
        asked = {"old": old, "new": size, "path": texts(path)}
        steps.append(asked | dict(zip(hashes, texts(list(hashes.values())), strict=True)))
    spoiled = [step | {"new_root": step["old_root"]} for step in steps]
    assert not any(ask_go("step", steps))
    assert all(ask_go("step", spoiled))


def texts(hashes: Sequence[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in hashes]


# Light blocks: CometBFT's types


POWERS = {
    "one": ([1], []),
    "four": ([1, 1, 1, 1], [2]),
    "unequal": ([1, 2, 3, 10], [1]),
    "large": ([10**12, 7, 10**12], []),
    "thirty-four": ([1] * 34, [0, 5, 9, 33]),
}


@pytest.mark.parametrize("name", POWERS)
def test_light_blocks_of_cometbft_hold(name: str) -> None:
    powers, silent = POWERS[name]
    chain = "others-1"
    (made,) = ask_go("make-light", [{"powers": powers, "silent": silent, "chain_id": chain}])
    block = from_rpc(made)
    verify_light_block(block, chain)
    verify_light_block(minimal(block), chain)
    with pytest.raises(LightBlockError):
        verify_light_block(block, f"{chain}x")
    made["signed_header"]["header"]["app_hash"] = "00" * 32
    with pytest.raises(LightBlockError):
        verify_light_block(from_rpc(made), chain)


# State and headers: ethereumjs


TRIES = (1, 2, 17, 300)


def test_proofs_of_ethereumjs_tries_hold() -> None:
    """Slots 0 to size - 1 hold something, those after them nothing, and both is proven."""
    lines, slots = [], [[*range(min(size, 20)), size, size + 1] for size in TRIES]
    for size, asked in zip(TRIES, slots, strict=True):
        entries = [
            [key_of(n), f"0x{rlp_encode(held(n).lstrip(bytes(1))).hex()}"] for n in range(size)
        ]
        lines.append({"entries": entries, "asked": [key_of(n) for n in asked]})
    tries = ask_ethereum("trie", lines)
    for size, asked, made in zip(TRIES, slots, tries, strict=True):
        top = bytes.fromhex(made["root"][2:])
        for number, proof in zip(asked, made["proofs"], strict=True):
            nodes = [bytes.fromhex(node[2:]) for node in proof]
            pool = TrieNodes(nodes)
            assert pool.slot(top, number.to_bytes(32)) == (
                held(number) if number < size else bytes(32)
            )
            pool.finish()
            other = bytes([nodes[-1][-1] ^ 1])
            for spoiled in (nodes[:-1], [*nodes[:-1], nodes[-1][:-1] + other]):
                with pytest.raises(TrieError):
                    TrieNodes(spoiled).slot(top, number.to_bytes(32))
    in_browser, expected = [], []
    for size, asked, made in zip(TRIES, slots, tries, strict=True):
        for number, nodes in zip(asked, made["proofs"], strict=True):
            one = {"root": made["root"], "slot": key_of(number)}
            in_browser += [one | {"nodes": nodes}, one | {"nodes": nodes[:-1]}]
            expected.append(f"0x{held(number, size).hex()}")
    answers = ask_ours("slot", in_browser)
    assert answers[::2] == expected
    assert all("refused" in answer for answer in answers[1::2])


def key_of(number: int) -> str:
    return f"0x{number:064x}"


def held(number: int, size: int = 2**32) -> bytes:
    """Return what a slot holds in a trie of so many: one byte for slot 0, up to 32 for the others, zero behind them."""
    return (number * 2**200 + 1).to_bytes(32) if number < size else bytes(32)


def test_headers_of_ethereumjs_are_read() -> None:
    fields = {
        "number": "0x1234",
        "gasLimit": "0x2dc6c0",
        "gasUsed": "0x5208",
        "timestamp": "0x6b49d200",
        "extraData": f"0x{'11' * 32}",
        "stateRoot": f"0x{'22' * 32}",
        "baseFeePerGas": "0x7",
    }
    (made,) = ask_ethereum("header", [fields])
    header = parse_header(bytes.fromhex(made["rlp"][2:]))
    assert header.hash.hex() == made["hash"][2:]
    assert (header.number, header.gas_limit, header.gas_used) == (0x1234, 3_000_000, 21_000)
    assert (header.timestamp, header.base_fee) == (0x6B49D200, 7)
    assert (header.extra_data, header.state_root) == (b"\x11" * 32, b"\x22" * 32)
    with pytest.raises(LightError):
        parse_header(bytes.fromhex(made["rlp"][2:])[:-1])
    read, refused = ask_ours("header", [{"rlp": made["rlp"]}, {"rlp": made["rlp"][:-2]}])
    same = {name: fields[name] for name in ("extraData", "stateRoot")}
    assert read == {"hash": made["hash"], "number": 0x1234, **same}
    assert "refused" in refused


# Ed25519: the edge cases of Go's own tests, a module that tests/go locks


VECTORS_MODULE = "filippo.io/mostly-harmless/ed25519vectors"
# What the one rule of docs/evidence.md refuses; a component of small order alone is no fault.
FAULTS = {"LowOrderA", "LowOrderR", "LowOrderResidue", "NonCanonicalA", "NonCanonicalR"}
# Go's own library is as strict about equation and R, and takes such keys.
GOS_FAULTS = {"LowOrderResidue", "NonCanonicalR"}


def ed25519_vectors() -> list[dict[str, Any]]:
    """Return 768 signatures with small or mixed order, canonical or not, each with what is unusual in it."""
    command = [go(), "mod", "download", "-json", VECTORS_MODULE]
    done = subprocess.run(
        command, cwd=ROOT / "tests" / "go", capture_output=True, timeout=60, check=True
    )
    file = Path(json.loads(done.stdout)["Dir"]) / "ed25519vectors.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_ed25519_is_verified_by_the_one_rule() -> None:
    vectors = ed25519_vectors()
    assert len(vectors) == 768
    asked, ours = [], []
    for one in vectors:
        key, signature = bytes.fromhex(one["A"]), bytes.fromhex(one["R"] + one["S"])
        message = one["M"].encode()
        asked.append(
            dict(
                zip(("key", "signature", "message"), texts([key, signature, message]), strict=True)
            )
        )
        try:
            verify(key, signature, message)
        except SignatureError:
            ours.append(False)
        else:
            ours.append(True)
    flags = [set(one["Flags"] or ()) for one in vectors]
    assert ours == [not found & FAULTS for found in flags]
    assert ask_go("signature", asked) == [not found & GOS_FAULTS for found in flags]
    assert 0 < sum(ours) < len(ours)
    assert ask_ours("signature", asked) == [[holds, holds] for holds in ours]
