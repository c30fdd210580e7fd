# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence is made from what is stored: small, shared where it can be, whole with the node stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, update

from anchor.assemble import tree_levels, tree_path
from anchor.evidence import MAX_RECORDS, EvidenceTooLarge, parse_evidence
from anchor.province import NotAnchored, Province, UnknownBatch
from anchor.store import anchors, proofs
from anchor.verify import verify
from node.light import inclusion_path, leaf_hash
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)

ANCHORS = 8


@dataclass
class Walked:
    """A province with one anchor a batch, whose node is stopped."""

    province: Province
    batches: list[str]
    issuers: list[str]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    founded = found_province(tmp_path_factory.mktemp("walk") / "data")
    with province_of(founded) as province:
        businesses = [Business.of(founded.origin, number) for number in range(2)]
        for business in businesses:
            business.apply(province, "operator")
        with running_node(founded) as settings, anchoring(settings) as parts:
            batches = []
            for number in range(ANCHORS):
                accepted = province.accept(businesses[number % 2].batch(2), ORGANISATION)
                batches.append(accepted.batch)
                parts.until_done()
        yield Walked(province, batches, [one.signer.name for one in businesses])


def check(province: Province, evidence: bytes, records: int) -> None:
    verdict = verify(evidence, province.trust(), CODE.path)
    assert verdict.proven, verdict.text("en")
    assert len(verdict.records) == records


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_paths_from_one_hashing_are_the_trees_inclusion_paths(size: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    levels = tree_levels(leaves)
    for index in range(size):
        assert list(tree_path(levels, index)) == inclusion_path(leaves, index)


def test_one_record_has_one_batch_one_anchor_and_one_light_block(walked: Walked) -> None:
    evidence = walked.province.evidence([(walked.batches[0], 1)])
    check(walked.province, evidence, 1)
    parsed = parse_evidence(evidence)
    assert [len(part) for part in (parsed.batches, parsed.anchors, parsed.light_blocks)] == [1] * 3
    assert len(evidence) < 12_000


def test_records_of_one_batch_share_it(walked: Walked) -> None:
    parsed = parse_evidence(walked.province.evidence([(walked.batches[3], n) for n in (1, 0)]))
    assert [one.index for one in parsed.records] == [1, 0]
    assert len(parsed.batches) == 1


def test_two_issuers_batches_in_one_file_verify(walked: Walked) -> None:
    refs = [(walked.batches[number], 0) for number in (1, 0, 2)]
    evidence = walked.province.evidence(refs)
    check(walked.province, evidence, 3)
    assert {one.issuer.custody for one in parse_evidence(evidence).batches} == {"operator"}


def test_more_anchors_than_light_blocks_hang_on_the_newest_by_ancestry(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anchor.assemble.MAX_LIGHT_BLOCKS", 3)
    evidence = walked.province.evidence([(batch, 0) for batch in walked.batches])
    check(walked.province, evidence, ANCHORS)
    parsed = parse_evidence(evidence)
    assert len(parsed.light_blocks) == 3
    by_ancestry = [one for one in parsed.anchors if one.finality.ancestry]
    assert len(by_ancestry) == ANCHORS - 3


def test_a_field_that_is_hidden_is_a_digest_and_the_rest_still_verifies(walked: Walked) -> None:
    asked: set[tuple[str, str]] = set()

    def hide(issuer: str, field: str) -> bool:
        asked.add((issuer, field))
        return field == "phone"

    evidence = walked.province.evidence([(walked.batches[0], 0)], hide)
    check(walked.province, evidence, 1)
    text = json.loads(evidence)["records"][0]["record"]
    assert "\nfield phone " in text
    assert asked == {(walked.issuers[0], name) for name in ("note", "phone", "quantity")}


def test_what_is_not_there_or_too_much_is_refused(walked: Walked) -> None:
    batch = walked.batches[0]
    for ref in ((batch, 2), (batch, -1), ("A" * 43, 0), ("no id", 0)):
        with pytest.raises(UnknownBatch):
            walked.province.evidence([ref])
    with pytest.raises(EvidenceTooLarge):
        walked.province.evidence([(batch, number) for number in range(MAX_RECORDS + 1)])


def test_a_missed_capture_is_made_up_by_a_later_anchor(walked: Walked) -> None:
    store = walked.province.store
    batch = walked.batches[1]
    with store.write() as connection:
        connection.execute(delete(proofs).where(proofs.c.size == 2))
        connection.execute(update(anchors).where(anchors.c.size == 2).values(state="missed"))
    # The next anchor that was captured with this issuer's slot covers the batch as well.
    assert walked.province.status(batch).checkpoint_size == 3
    evidence = walked.province.evidence([(batch, 0)])
    check(walked.province, evidence, 1)
    assert parse_evidence(evidence).anchors[0].head.size == 4


def test_without_any_captured_anchor_there_is_no_evidence(walked: Walked) -> None:
    with walked.province.store.write() as connection:
        connection.execute(delete(proofs).where(proofs.c.size == ANCHORS))
    with pytest.raises(NotAnchored):
        walked.province.evidence([(walked.batches[-1], 0)])
