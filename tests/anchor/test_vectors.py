# SPDX-License-Identifier: GPL-3.0-or-later
"""The vectors are verdicts for ever: each case fails where it must, and the files stay what they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from anchor import evidence as limits
from anchor.codes import parse_code
from anchor.errors import CodeError
from anchor.trust import TrustError, replaces
from anchor.verdict import STEPS
from anchor.verify import verify
from node.light import LightError, TrustedChain, check_minimal, parse_light_block, verify_eras
from tests.support.cases import CASES
from tests.vectors import light
from tests.vectors.check import outcome
from tests.vectors.make import FOLDER, HERE, _outcome, files, is_kept

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())
PAIRS: list[dict[str, Any]] = json.loads((HERE / "trust" / "index.json").read_text())
CODES: list[dict[str, Any]] = json.loads((HERE / "codes.json").read_text())
NETWORK: list[dict[str, Any]] = json.loads((HERE / "network" / "index.json").read_text())
LIGHT: list[dict[str, Any]] = json.loads(light.FILE.read_text())
# Cases whose files are not kept, and why.
NOT_KEPT = {
    "too-many-bytes": "its size is its point",
    "as-many-records-as-there-may-be": "a thousand records",
    "trust-larger-than-a-mebibyte": "its size is its point",
}
# What the refusal says when a rule of replacement is broken; a file that is refused in itself says its own.
RULES = {
    0: "tệp tin cậy|newer verifier",
    1: "another chain",
    2: "older than",
    3: "differently|doesn't follow|of the past",
}
# What the working tree holds; a packed repository holds less than a tenth of it.
MAX_BYTES = 6 << 20


def judge(evidence: bytes, trust: bytes, code: str | None, row: dict[str, Any]) -> None:
    """Hold the verifier to what the index says."""
    if row.get("trust_refused"):
        with pytest.raises(TrustError):
            verify(evidence, trust, code)
        return
    verdict = verify(evidence, trust, code)
    found = outcome(verdict)
    assert found == {name: row[name] for name in found}, verdict.failure
    states = [step.state for step in verdict.steps]
    if verdict.failure is None:
        assert verdict.records
        assert set(states[:7]) == {"ok"}
        return
    at = verdict.failure.step
    assert states[at:] == ["failed"] + ["skipped"] * (len(STEPS) - at - 1)
    assert (verdict.records, verdict.notes, verdict.assurance) == ((), (), None)


@pytest.mark.parametrize("name", NOT_KEPT)
def test_each_case_that_is_not_kept_has_its_verdict_too(name: str) -> None:
    case = CASES[name]()
    judge(case.evidence, case.trust, case.code, _outcome(case))


def test_every_step_but_age_is_failed_by_some_case() -> None:
    assert {row.get("step") for row in INDEX} == {None, *range(8)}


@pytest.mark.parametrize("row", INDEX, ids=[row["name"] for row in INDEX])
def test_each_kept_vector_has_the_verdict_it_was_kept_with(row: dict[str, Any]) -> None:
    evidence = (FOLDER / f"{row['name']}.json").read_bytes()
    judge(evidence, (FOLDER / row["trust"]).read_bytes(), row["code"], row)


def test_the_script_makes_the_vectors_again_byte_for_byte() -> None:
    made = files()
    kept = {
        str(path.relative_to(HERE)): path.read_bytes()
        for folder in {Path(name).parent for name in made} - {Path()}
        for path in (HERE / folder).iterdir()
    }
    kept["codes.json"] = (HERE / "codes.json").read_bytes()
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_what_is_not_kept_is_known_and_the_rest_stays_small() -> None:
    assert {row["name"] for row in INDEX} == CASES.keys() - NOT_KEPT.keys()
    assert not any(is_kept(CASES[name]()) for name in NOT_KEPT)
    assert sum(path.stat().st_size for path in HERE.rglob("*.json")) < MAX_BYTES


@pytest.mark.parametrize("row", NETWORK, ids=[f"{row['name']}, {row['trust']}" for row in NETWORK])
def test_evidence_of_a_real_network_has_the_verdict_it_was_kept_with(row: dict[str, Any]) -> None:
    """Four provinces' validators on CometBFT, one of whom the others then voted out."""
    evidence = (HERE / "network" / f"{row['name']}.json").read_bytes()
    trust = (HERE / "network" / row["trust"]).read_bytes()
    found = outcome(verify(evidence, trust, row["code"]))
    assert found == {name: row[name] for name in found}


@pytest.mark.parametrize("row", PAIRS, ids=[row["name"] for row in PAIRS])
def test_each_pair_of_trust_files_is_judged_as_it_was_kept(row: dict[str, Any]) -> None:
    pinned, fresh = ((HERE / "trust" / row[name]).read_bytes() for name in ("pinned", "fresh"))
    if row["replaces"]:
        assert isinstance(replaces(pinned, fresh), tuple)
    else:
        with pytest.raises(TrustError, match=RULES[row["rule"]]):
            replaces(pinned, fresh)


def test_every_rule_of_replacement_is_broken_and_kept() -> None:
    assert {row["rule"] for row in PAIRS} == {None, *RULES}


@pytest.mark.parametrize("row", CODES, ids=range(len(CODES)))
def test_each_text_of_a_label_gives_the_code_it_was_kept_with(row: dict[str, Any]) -> None:
    if row["path"] is None:
        with pytest.raises(CodeError):
            parse_code(row["text"])
    else:
        assert parse_code(row["text"]).path == row["path"]
        assert parse_code(row["path"]).path == row["path"]


def test_a_real_change_of_the_set_lets_the_newer_trust_file_replace_the_older_one() -> None:
    four, three = (
        (HERE / "network" / f"trust-of-{name}.json").read_bytes() for name in ("four", "three")
    )
    assert replaces(four, three) == ()
    with pytest.raises(TrustError):
        replaces(three, four)


def test_the_document_has_the_limits_that_are_in_force() -> None:
    text = (HERE.parents[1] / "docs" / "evidence.md").read_text()
    for row in (
        f"the file | {limits.MAX_EVIDENCE_BYTES >> 20} MiB",
        f"records | {limits.MAX_RECORDS:,}",
        f"batches · anchors | {limits.MAX_BATCHES} · {limits.MAX_ANCHORS}",
        "light blocks · eras · both together | " + " · ".join([str(limits.MAX_LIGHT_BLOCKS)] * 3),
        f"two for each batch | {limits.MAX_SIGNATURES}",
        f"ancestry path | {limits.MAX_RECORD_PATH} · {limits.MAX_ANCESTRY_PATH} hashes",
        "tlog-proof | "
        f"{limits.MAX_RECORD_BYTES >> 10} · {limits.MAX_NOTE_BYTES >> 10} · "
        f"{limits.MAX_PROOF_BYTES >> 10} KiB",
        f"nodes of an anchor | {limits.MAX_HEADER_BYTES >> 10} KiB · "
        f"{limits.MAX_NODE_BYTES >> 10} KiB · {limits.MAX_NODES:,}",
    ):
        assert f"{row} |" in text


# Light blocks of a real network --------------------------------------------------------------------


@pytest.mark.parametrize("row", LIGHT, ids=[row["name"] for row in LIGHT])
def test_light_blocks_that_cometbft_made_verify_until_they_are_spoiled(row: dict[str, Any]) -> None:
    trusted = TrustedChain(row["chain_id"], parse_light_block(row["trusted"]))
    block = parse_light_block(row["light_block"])

    def follow() -> None:
        verify_eras(trusted, [parse_light_block(era) for era in row["eras"]]).finality(block)

    if row["proven"]:
        follow()
    else:
        with pytest.raises(LightError):
            follow()


def test_all_votes_of_a_real_light_block_are_more_than_are_needed() -> None:
    rows = {row["name"]: parse_light_block(row["light_block"]) for row in LIGHT}
    check_minimal(rows["height-5"])
    with pytest.raises(LightError, match="more votes"):
        check_minimal(rows["height-5-with-all-votes"])


def test_light_block_vectors_are_made_of_the_networks_answers() -> None:
    assert light.made() == light.FILE.read_bytes()
