# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence outlives the validators under whom it was anchored, with the trust file of before and of after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from anchor.chain import Chain, ChainAnswerError, FinalBlock
from anchor.evidence import Evidence, parse_evidence
from anchor.keys import load_member_key
from anchor.province import Province
from anchor.settings import Settings
from anchor.trust import parse_trust, replaces
from anchor.verify import verify
from node.light import LightBlock, Vote, keccak256, verify_eras
from tests.support import anchoring as support
from tests.support.anchoring import (
    ORGANISATION,
    Anchoring,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)
from tests.support.light_blocks import Signers, light_block, signers

FIRST = signers("validators of era 0")


@dataclass
class Validators:
    """Whose light blocks a chain has: sets of validators, each in power until it ends with a block."""

    sets: list[Signers] = field(default_factory=lambda: [FIRST])
    ends: list[int] = field(default_factory=list)

    def hand_over(self, block: int) -> None:
        """End the era with the light block of an EVM block."""
        self.ends.append(block)
        self.sets.append(signers(f"validators of era {len(self.ends)}"))

    def light_block(self, number: int, header: bytes) -> LightBlock:
        era = sum(end < number for end in self.ends)
        then = self.sets[era + 1] if number in self.ends else None
        made = light_block(
            self.sets[era],
            10 * number + 2,
            then=then,
            app_hash=keccak256(header),
            seconds=1_800_000_000 + 60 * number,
        )
        # One vote is not the validator's: CometBFT hands on what it takes by a looser rule.
        wrong = Vote(0, made.votes[0].time, bytes(64))
        return replace(made, votes=(wrong, *made.votes[1:]))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("eras") / "data")) as settings:
        yield settings


@dataclass
class Site:
    """A province whose chain's light blocks are signed by these validators."""

    settings: Settings
    province: Province
    business: Business
    validators: Validators
    chain: Chain

    def record(self, parts: Anchoring) -> str:
        """Accept a batch and anchor it."""
        batch = self.province.accept(self.business.batch(1), ORGANISATION).batch
        parts.until_done()
        return batch

    def hand_over(self, parts: Anchoring) -> None:
        """Change the validators with the newest block, and have the anchor process look."""
        self.validators.hand_over(self.chain.newest())
        parts.pipeline._last_look = -float("inf")
        parts.pipeline.advance()

    def evidence(self, *batches: str) -> Evidence:
        return parse_evidence(self.file(*batches))

    def file(self, *batches: str) -> bytes:
        return self.province.evidence([(batch, 0) for batch in batches])


@contextmanager
def site_of(
    node: Settings, data: Path, origin: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    validators = Validators()

    class Simulated(Chain):
        """The node's chain, but for who signs."""

        def light_block(self, number: int) -> FinalBlock | None:
            answer = super().light_block(number)
            return answer and self._signed(number, answer)

        def eras(self, after: int = 0) -> list[LightBlock]:
            ends = filter(None, (self.light_block(number) for number in validators.ends))
            return [each.light_block for each in ends if each.light_block.header.height > after]

        def _signed(self, number: int, answer: FinalBlock) -> FinalBlock:
            return FinalBlock(answer.header, validators.light_block(number, answer.header))

    monkeypatch.setattr(support, "Chain", Simulated)
    settings = support.found_beside(data, node, origin)
    business = Business.of(origin)
    chain = Simulated(settings.rpc_url, load_member_key(settings.member_key))
    with province_of(settings) as province:
        business.apply(province)
        yield Site(settings, province, business, validators, chain)
    chain.close()


@pytest.fixture
def site(
    node: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Site]:
    origin = f"test.example/{abs(hash(request.node.name)) % 10**9}/2026"
    with site_of(node, tmp_path / "data", origin, monkeypatch) as made:
        yield made


def assurance(evidence: bytes, trust: bytes) -> str | None:
    verdict = verify(evidence, trust)
    assert verdict.proven, verdict.text("en")
    return verdict.assurance


def test_a_change_of_validators_is_followed_and_old_evidence_becomes_of_a_past_era(
    site: Site,
) -> None:
    with anchoring(site.settings) as parts:
        batch = site.record(parts)
        trust, given_out = site.province.trust(), site.file(batch)
        assert assurance(given_out, trust) == "consortium"
        site.hand_over(parts)
        renewed = site.province.trust()
    assert replaces(trust, renewed) == ()
    assert len(parse_trust(renewed).eras) == 1
    assert any("1 lần đổi" in line for line in parts.said)
    assert assurance(given_out, trust) == "consortium"


def test_evidence_made_after_a_change_is_proven_before_anything_else_is_anchored(
    site: Site,
) -> None:
    with anchoring(site.settings) as parts:
        first = site.record(parts)
        before, given_out = site.province.trust(), site.file(first)
        second = site.record(parts)
        site.hand_over(parts)
        trust = site.province.trust()
    assert assurance(given_out, trust) == "past-era"
    for batch, hangs in ((first, True), (second, False)):
        made = site.file(batch)
        assert [assurance(made, each) for each in (before, trust)] == ["consortium"] * 2
        assert bool(parse_evidence(made).anchors[0].finality.ancestry) is hangs
    assert site.evidence(first).light_blocks == parse_trust(trust).eras


def test_evidence_over_several_eras_leads_an_old_trust_file_to_the_new_validators(
    site: Site,
) -> None:
    with anchoring(site.settings) as parts:
        batches = [site.record(parts)]
        files = [site.province.trust()]
        for _ in range(3):
            site.hand_over(parts)
            batches.append(site.record(parts))
            files.append(site.province.trust())
    made = site.file(*batches)
    assert [assurance(made, trust) for trust in files] == ["consortium"] * 4
    parts_of = parse_evidence(made)
    assert len(parts_of.light_blocks) == 4 and len(parts_of.eras) == 3
    assert {len(each.votes) for each in (*parts_of.light_blocks, *parts_of.eras)} == {3}
    # What was anchored first was there by the end of its own era, not only today.
    assert verify(made, files[-1]).records[0].when < verify(made, files[-1]).records[1].when


def test_beyond_the_limits_the_newest_light_block_and_eras_stay(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anchoring(site.settings) as parts:
        batches, files = [site.record(parts)], [site.province.trust()]
        for _ in range(5):
            site.hand_over(parts)
            batches.append(site.record(parts))
            files.append(site.province.trust())
    monkeypatch.setattr("anchor.assemble.MAX_LIGHT_BLOCKS", 4)
    newest = site.file(batches[-1])
    assert len(parse_evidence(newest).eras) == 3
    assert assurance(newest, files[-1]) == assurance(newest, files[2]) == "consortium"
    failure = verify(newest, files[1]).failure
    assert failure and failure.kind == "untrusted"
    journey = site.file(*batches)
    assert len(parse_evidence(journey).light_blocks) == 1
    assert assurance(journey, files[-1]) == "consortium"
    monkeypatch.setattr("anchor.assemble.MAX_LIGHT_BLOCKS", 32)
    monkeypatch.setattr("anchor.assemble.MAX_SIGNATURES", 2 * len(batches) + 8 * 3)
    journey = site.file(*batches)
    assert len(parse_evidence(journey).light_blocks) == 3
    assert assurance(journey, files[-1]) == assurance(journey, files[0]) == "consortium"


def test_changes_that_came_while_nobody_looked_are_all_taken_up(site: Site) -> None:
    with anchoring(site.settings) as parts:
        first = site.record(parts)
        trust = site.province.trust()
        site.validators.hand_over(site.chain.newest())
        # A capture is the first to see it.
        second = site.record(parts)
        site.validators.hand_over(site.chain.newest())
    with anchoring(site.settings) as parts:
        third = site.record(parts)
        newest = site.province.trust()
    for each in (trust, newest):
        assert assurance(site.file(first, second, third), each) == "consortium"
    assert len(parse_trust(newest).eras) == 2
    verify_eras(parse_trust(newest).chain)


def test_a_node_that_tells_of_validators_nobody_appointed_is_not_followed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anchoring(site.settings) as parts:
        site.record(parts)
        trust = site.province.trust()
        usurper = Validators([signers("thief"), signers("thief's friend")], [site.chain.newest()])
        monkeypatch.setattr(site.validators, "ends", usurper.ends)
        monkeypatch.setattr(site.validators, "sets", usurper.sets)
        parts.pipeline._last_look = -float("inf")
        with pytest.raises(ChainAnswerError, match="eras"):
            parts.pipeline.advance()
    assert site.province.trust() == trust


def test_the_chain_is_asked_now_and_then_though_nothing_is_to_be_anchored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anchoring(site.settings) as parts:
        site.record(parts)
        assert not parts.pipeline.is_due()
        monkeypatch.setattr("anchor.pipeline.LOOK_SECONDS", 0)
        assert parts.pipeline.is_due()
        parts.pipeline.advance()
        assert len(parts.said) == 1
