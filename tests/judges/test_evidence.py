# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others judge each link of an evidence file: what we call proven they accept, and refuse it when broken.

Go's sumdb and transparency-dev's formats judge records, notes and the log, ethereumjs and viem the state and
its header, CometBFT the light blocks. Which program judges which link stands in docs/evidence.md.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from anchor.trust import TrustError
from anchor.verify import verify
from tests.support.judging import (
    VECTORS,
    Change,
    ask_all,
    ask_ethereum,
    ask_go,
    at,
    flip,
    more,
    network,
    spoiled,
    swap,
)

DIARY, LATER, RECALL = "before-the-removal", "before-the-removal-made-after-it", "after-the-removal"
NETWORK = [
    (evidence, trust)
    for evidence in (DIARY, LATER, RECALL)
    for trust in ("trust-of-four", "trust-of-three")
]

RECORD = ("evidence", "records", 0)
BATCH = ("evidence", "batches", 0)
ANCHOR = ("evidence", "anchors", 0)
LIGHT = ("evidence", "light_blocks", 0)
ERA = ("evidence", "eras", 0)
HEX = "0123456789ABCDEF"


def other_digit(text: str) -> str:
    """Return hexadecimal digits, the last of them another."""
    digits = HEX if text.isupper() else HEX.lower()
    return text[:-1] + digits[(digits.index(text[-1]) + 1) % 16]


def line(name: str, becomes: Callable[[str], str]) -> Callable[[str], str]:
    """Return what changes the value of a text's line `name value`."""

    def change(text: str) -> str:
        old = next(part for part in text.split("\n") if part.startswith(f"{name} "))
        value = old.removeprefix(f"{name} ")
        return text.replace(old, f"{name} {becomes(value)}", 1)

    return change


def lie(text: str) -> str:
    """Return a presentation whose last field has another value, under the same salt."""
    head, last = text.removesuffix("~\n").rsplit("~", 1)
    salt, name, value = json.loads(urlsafe_b64decode(last + "=="))
    said = json.dumps([salt, name, [value]]).encode()
    return f"{head}~{urlsafe_b64encode(said).rstrip(b'=').decode()}~\n"


def checkpoint(number: int, becomes: Callable[[str], str]) -> Callable[[str], str]:
    """Return what changes a line, from 0, of the checkpoint in a tlog-proof."""

    def change(text: str) -> str:
        head, _, rest = text.partition("\n\n")
        lines = rest.split("\n")
        lines[number] = becomes(lines[number])
        return "\n".join([head, "", *lines])

    return change


def signature(text: str) -> str:
    """Return a note whose last signature is another."""
    head, _, last = text.rstrip("\n").rpartition(" ")
    return f"{head} {flip(last)}\n"


def without_a_vote(block: Any) -> Any:
    """Return a light block with a vote less than it needs."""
    return {**block, "votes": block["votes"][1:]}


def of_another(place: tuple[str | int, ...], member: str) -> Change:
    """Return what puts the diary's value of a member in its place."""

    def change(given: Any) -> None:
        theirs: Any = network(DIARY)
        for step in place:
            given, theirs = given[step], theirs[step]
        given[member] = theirs[member]

    return change


# What is broken: the link whose judge has to say so, the evidence it is in, the change.
BROKEN: dict[str, tuple[str, str, Change]] = {
    "a value of a field": ("record", DIARY, at(*RECORD, "record", becomes=lie)),
    "a field left out": (
        "record",
        DIARY,
        at(*RECORD, "record", becomes=lambda text: text[: text[:-2].rindex("~")] + "~\n"),
    ),
    "a withheld field": (
        "record",
        DIARY,
        at(*RECORD, "record", becomes=line("field moneo:phone", lambda d: "A" + d[1:])),
    ),
    "the code": ("record", DIARY, at(*RECORD, "record", becomes=line("code", lambda d: "A" + d[1:]))),
    "practice made live": ("record", DIARY, at(*RECORD, "record", becomes=line("mode", lambda _: "live"))),
    "place in the batch": ("record", DIARY, at(*RECORD, "index", becomes=more)),
    "path in the batch": ("record", DIARY, at(*RECORD, "path", 3, becomes=flip)),
    "path too short": ("record", DIARY, at(*RECORD, "path", becomes=lambda path: path[:-1])),
    "path too long": ("record", DIARY, at(*RECORD, "path", becomes=lambda path: [*path, path[0]])),
    "size of the batch": ("record", DIARY, at(*BATCH, "note", becomes=line("size", lambda _: "1"))),
    "claimed time": ("note", DIARY, at(*BATCH, "note", becomes=line("time", more))),
    "predecessor": ("note", RECALL, at(*BATCH, "note", becomes=line("prev", flip))),
    "root of codes": ("note", DIARY, at(*BATCH, "note", becomes=line("codes", flip))),
    "signature of the note": ("note", DIARY, at(*BATCH, "note", becomes=signature)),
    "issuer of the note": ("note", DIARY, at(*BATCH, "note", becomes=line("issuer", lambda n: n[:-1] + "2"))),
    "issuer's key": ("note", DIARY, at(*BATCH, "key", becomes=flip)),
    "an entry of the log": ("log", DIARY, at(*BATCH, "note", becomes=line("time", more))),
    "place in the log": ("log", RECALL, at(*BATCH, "proof", becomes=swap("index 1\n", "index 0\n"))),
    "path in the log": ("log", RECALL, at(*BATCH, "proof", becomes=swap("gsq65", "gsq66"))),
    "path left out": ("log", RECALL, at(*BATCH, "proof", becomes=swap("gsq65FgLDBNeE19ME971j9S8eu3P14H8mjClIhVPfKg=\n", ""))),
    "origin of the log": ("log", DIARY, at(*BATCH, "proof", becomes=checkpoint(0, lambda t: t + "x"))),
    "size of the log": ("log", RECALL, at(*BATCH, "proof", becomes=checkpoint(1, more))),
    "root of the log": ("log", RECALL, at(*BATCH, "proof", becomes=checkpoint(2, flip))),
    "signature of the log": ("log", RECALL, at(*BATCH, "proof", becomes=signature)),
    "the log's key": ("log", RECALL, at(*ANCHOR, "log_key", becomes=flip)),
    "size of the head": ("log", RECALL, at(*ANCHOR, "head", "size", becomes=more)),
    "root of the head": ("log", RECALL, at(*ANCHOR, "head", "root", becomes=flip)),
    "an older checkpoint": ("log", RECALL, of_another(BATCH, "proof")),
    "owner in the state": ("state", RECALL, at(*ANCHOR, "head", "owner", becomes=other_digit)),
    "key id in the state": ("state", RECALL, at(*ANCHOR, "head", "log_key_id", becomes=flip)),
    "size in the state": ("state", RECALL, at(*ANCHOR, "head", "size", becomes=more)),
    "root in the state": ("state", RECALL, at(*ANCHOR, "head", "root", becomes=flip)),
    "aux in the state": ("state", RECALL, at(*ANCHOR, "head", "aux", becomes=flip)),
    "block in the state": ("state", RECALL, at(*ANCHOR, "head", "block", becomes=lambda n: n - 1)),
    "custody": ("state", RECALL, at(*BATCH, "issuer", "custody", becomes=lambda c: "operator" if c == "holder" else "holder")),
    "block of registration": ("state", RECALL, at(*BATCH, "issuer", "registered", becomes=lambda n: n - 1)),
    "block of revocation": ("state", RECALL, at(*BATCH, "issuer", "revoked", becomes=more)),
    "registration record": ("state", RECALL, at(*BATCH, "issuer", "registration", becomes=swap("live", "practice"))),
    "registered key": ("state", RECALL, at(*BATCH, "key", becomes=flip)),
    "root node": ("state", RECALL, at(*ANCHOR, "nodes", 0, becomes=flip)),
    "last node": ("state", RECALL, at(*ANCHOR, "nodes", -1, becomes=flip)),
    "a node left out": ("state", RECALL, at(*ANCHOR, "nodes", becomes=lambda nodes: nodes[:-1])),
    "nodes of another block": ("state", RECALL, of_another(ANCHOR, "nodes")),
    "code of AnchorLog": ("state", RECALL, at("trust", "contracts", "AnchorLog", "code_hash", becomes=other_digit)),
    "code of IssuerRegistry": ("state", RECALL, at("trust", "contracts", "IssuerRegistry", "code_hash", becomes=other_digit)),
    "address of AnchorLog": ("state", RECALL, at("trust", "contracts", "AnchorLog", "address", becomes=other_digit)),
    "EVM header": ("header", RECALL, at(*ANCHOR, "header", becomes=flip)),
    "EVM header of another block": ("header", RECALL, of_another(ANCHOR, "header")),
    "newer EVM header": ("header", LATER, at(*ANCHOR, "finality", "header", becomes=flip)),
    "app hash": ("header", RECALL, at(*LIGHT, "header", "app_hash", becomes=other_digit)),
    "app hash of a light block": ("commit", RECALL, at(*LIGHT, "header", "app_hash", becomes=other_digit)),
    "time of a light block": ("commit", RECALL, at(*LIGHT, "header", "time", becomes=swap("1", "2"))),
    "height of a light block": ("commit", RECALL, at(*LIGHT, "header", "height", becomes=more)),
    "chain of a light block": ("commit", RECALL, at(*LIGHT, "header", "chain_id", becomes=lambda name: name + "x")),
    "version of a light block": ("commit", RECALL, at(*LIGHT, "header", "version", "block", becomes=more)),
    "block before it": ("commit", RECALL, at(*LIGHT, "header", "last_block_id", "hash", becomes=other_digit)),
    "next validators": ("commit", RECALL, at(*LIGHT, "header", "next_validators_hash", becomes=other_digit)),
    "proposer": ("commit", RECALL, at(*LIGHT, "header", "proposer_address", becomes=other_digit)),
    "round of the votes": ("commit", RECALL, at(*LIGHT, "round", becomes=more)),
    "parts of the block": ("commit", RECALL, at(*LIGHT, "parts", "hash", becomes=other_digit)),
    "a vote": ("commit", RECALL, at(*LIGHT, "votes", 0, 2, becomes=flip)),
    "a vote's time": ("commit", RECALL, at(*LIGHT, "votes", 0, 1, becomes=swap("1", "2"))),
    "a vote less than needed": ("commit", RECALL, at(*LIGHT, becomes=without_a_vote)),
    "a validator's power": ("commit", RECALL, at(*LIGHT, "validators", 0, 1, becomes=more)),
    "a validator's key": ("commit", RECALL, at(*LIGHT, "validators", 0, 0, becomes=flip)),
    "a validator left out": ("commit", RECALL, at(*LIGHT, "validators", becomes=lambda all_: all_[:-1])),
    "a vote of an era": ("commit", RECALL, at(*ERA, "votes", 0, 2, becomes=flip)),
    "an era's next validators": ("light", RECALL, at(*ERA, "header", "next_validators_hash", becomes=other_digit)),
    "light block of another chain": ("light", RECALL, at("trust", "light_block", "header", "chain_id", becomes=lambda name: name + "x")),
    "trusted validators": ("light", RECALL, at("trust", "light_block", "validators", 0, 0, becomes=flip)),
    "a vote of the trusted light block": ("commit", RECALL, at("trust", "light_block", "votes", 0, 2, becomes=flip)),
}  # fmt: skip


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, str]]:
    """What the judges refuse of each broken file, and of each whole one."""
    files = {f"{evidence} {trust}": network(evidence, trust) for evidence, trust in NETWORK}
    for name, (_, evidence, change) in BROKEN.items():
        files[name] = spoiled(network(evidence), change)
    return dict(zip(files, ask_all(list(files.values())), strict=True))


@pytest.mark.parametrize(("evidence", "trust"), NETWORK)
def test_what_real_nodes_made_is_accepted_by_all(
    evidence: str, trust: str, said: dict[str, dict[str, str]]
) -> None:
    assert said[f"{evidence} {trust}"] == {}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_by_the_judge_of_its_link(
    name: str, said: dict[str, dict[str, str]]
) -> None:
    link, evidence, change = BROKEN[name]
    assert link in said[name], said[name]
    files = spoiled(network(evidence), change)
    shown, trust = (json.dumps(files[kind]).encode() for kind in ("evidence", "trust"))
    try:
        verdict = verify(shown, trust)
    except TrustError:
        return  # It is the trust file that is broken.
    assert not verdict.proven


# Ancestry


def test_an_older_header_lies_in_the_newer_ones_tree() -> None:
    anchor = network(LATER)["evidence"]["anchors"][0]
    (place,) = ask_ethereum("ancestry", [anchor])
    broken = [
        spoiled(place, at("leaf", becomes=flip)),
        spoiled(place, at("root", becomes=flip)),
        spoiled(place, at("index", becomes=more)),
        spoiled(place, at("size", becomes=lambda size: 2 * size)),
        spoiled(place, at("path", 1, becomes=flip)),
        spoiled(place, at("path", becomes=lambda path: path[::-1])),
        spoiled(place, at("path", becomes=lambda path: path[:-1])),
    ]
    accepted, *refused = ask_go("leaf", [place, *broken])
    assert accepted == ""
    assert all(refused), refused


# All shapes


def _vectors(proven: bool) -> list[dict[str, Any]]:
    rows = json.loads((VECTORS / "evidence" / "index.json").read_text())
    return [row for row in rows if row.get("proven") is proven]


def _lines(rows: list[dict[str, Any]]) -> list[Any]:
    def read(name: str) -> Any:
        return json.loads((VECTORS / "evidence" / name).read_bytes())

    return [
        {"evidence": read(f"{row['name']}.json"), "trust": read(row["trust"]), "made": True}
        for row in rows
    ]


# Its set stands in an order in which CometBFT has none.
NOT_COMETBFTS = {"silent-validator-whose-key-is-no-point"}


def test_vectors_of_every_shape_are_accepted() -> None:
    """Their eras change more validators at once than CometBFT's light client jumps over: each block is judged alone."""
    rows = [row for row in _vectors(True) if row["name"] not in NOT_COMETBFTS]
    assert len(rows) > 100
    answers = ask_all(_lines(rows))
    for row, answer in zip(rows, answers, strict=True):
        answer.pop("light", None)
        assert answer == {}, row["name"]


def test_every_attack_on_record_note_and_header_is_refused_by_others_too() -> None:
    """In the other steps there are rules that are this format's alone."""
    rows = [row for row in _vectors(False) if row["kind"] == "invalid" and row["step"] in (1, 2, 5)]
    assert len(rows) > 20
    for row, answer in zip(rows, ask_all(_lines(rows)), strict=True):
        answer.pop("light", None)
        assert answer, row["name"]
