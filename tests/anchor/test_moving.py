# SPDX-License-Identifier: GPL-3.0-or-later
"""Pilot to production: a province's log goes from its own chain to the consortium's, and no word is lost."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from eth_keys.datatypes import PrivateKey

import contracts
from anchor import backup as province_backup
from anchor.issuers import Issuer
from anchor.keys import load_member_key
from anchor.province import NoTrust, Province, member_address
from anchor.sequencing import PipelineError
from anchor.settings import Settings, load
from anchor.trust import FORMER, parse_trust
from anchor.verdict import Verdict
from anchor.verify import verify
from front.cli import new_settings
from front.provinces import found_alone, init, join
from node import backup as node_backup
from node.abci.home import node_id
from node.card import cards
from node.founding import Founding, found
from node.genesis import load_validator_key
from node.light import timestamp
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)
from tests.support.comet import Rpc, need_cometbft, wait_until
from tests.support.node_core import CONSORTIUM, Call, calldata
from tests.support.province import answers, free_addresses, moneo
from tests.support.victims import Driver, Forked

INTERVAL = 0.1
# Kills at the first, second, … durable step of as many anchor processes, one after another.
KILLS = 24


@dataclass
class Processes:
    """Nodes and anchor processes of provinces, as `moneo serve` runs them."""

    driver: Driver
    running: dict[tuple[str, str], Forked] = field(default_factory=dict)

    def start(self, settings: Settings, name: str, at: int | None = None) -> Forked:
        data = str(load(settings.data).data)
        words = ["node", "start"] if name == "node" else [f"run-{name}"]
        output = settings.data.parent / f"{settings.data.name}-{name}.output"
        process = self.driver.start([*words, "--data", data], output, at)
        self.running[data, name] = process
        if name == "node":
            wait_until(f"node of {data}", lambda: answers(settings.rpc_url))
        return process

    def stop(self, settings: Settings) -> None:
        for name in ("anchor", "node"):
            if process := self.running.pop((str(settings.data), name), None):
                process.stop()
                process.close()


@contextmanager
def processes() -> Iterator[Processes]:
    driver = Driver()
    try:
        yield Processes(driver)
    finally:
        driver.close()


def new_province(data: Path, name: str, origin: str) -> Settings:
    api, rpc = free_addresses(2)
    return replace(new_settings(data, name, origin, api, rpc, ""), interval=INTERVAL)


@dataclass
class Pilot:
    """A province with a chain of its own: what it has accepted, and what it gave out."""

    settings: Settings
    businesses: list[Business]
    batches: list[str]
    evidence: list[bytes]
    trust: bytes
    issuers: dict[str, Issuer]


def business_of(settings: Settings, number: int) -> Business:
    return Business.of(settings.origin, number)


def run_pilot(settings: Settings, running: Processes) -> Pilot:
    """Have three businesses' batches anchored; one gives up its key, one leaves it to the province."""
    running.start(settings, "node")
    running.start(settings, "anchor")
    holder, operated, left = (business_of(settings, number) for number in range(3))
    with province_of(settings) as province:
        for business in (holder, left):
            business.apply(province)
        operated.apply(province, "operator")
        # A key that never signs, and is given up.
        business_of(settings, 3).apply(province)
        batches = [
            province.accept(each.batch(2), ORGANISATION).batch for each in (holder, operated, left)
        ]
        for number in (2, 3):
            given_up = business_of(settings, number).signer
            province.revoke_issuer(given_up.name, given_up.key_hash)

        def are_done() -> bool:
            done = {province.status(each).state for each in batches} == {"anchored"}
            states = [each.state for each in province.issuers()]
            return done and states.count("revoked") == 2

        wait_until("the pilot has anchored", are_done)
        evidence = [province.evidence([(each, 1)]) for each in batches]
        pilot = Pilot(
            settings,
            [holder, operated],
            batches,
            evidence,
            province.trust(),
            {each.name: each for each in province.issuers()},
        )
    running.stop(settings)
    return pilot


def found_consortium(settings: Settings, *others: Settings) -> Founding:
    """Hold the ceremony of provinces, and have each join; the first has run alone so far."""
    peers = free_addresses(1 + len(others))
    cards = [init(each, peer) for each, peer in zip((settings, *others), peers, strict=True)]
    given = [(card.name, card.raw) for card in cards]
    founding = found("test", given, timestamp(time.time_ns() - 60 * 10**9))
    for each in (settings, *others):
        join(load(each.data), founding)
    return founding


def judged(evidence: bytes, trust: bytes) -> Verdict:
    verdict = verify(evidence, trust, CODE.path)
    assert verdict.proven, verdict.text("en")
    return verdict


def test_a_log_moves_to_the_consortium_and_all_it_held_is_proven_there(tmp_path: Path) -> None:
    need_cometbft()
    with processes() as running:
        mine = new_province(tmp_path / "a", "Cà Mau", "moneo.example/camau/2026")
        found_alone(mine)
        pilot = run_pilot(mine, running)
        other = new_province(tmp_path / "b", "Đắk Lắk", "moneo.example/daklak/2026")
        found_consortium(mine, other)
        before = (mine.log_path / "checkpoint").read_bytes()

        with province_of(mine) as province:
            # While nothing of it is anchored on the new chain, what was proven is proven still.
            waiting = province.accept(pilot.businesses[0].batch(1), ORGANISATION).batch
            kept = province.evidence([(pilot.batches[0], 1)])
            assert judged(kept, province.trust()).assurance == "one-validator"

        running.start(mine, "node")
        running.start(other, "node")
        kill_at_each_step(mine, running, waiting)
        running.start(mine, "anchor")
        batches = [*pilot.batches, waiting]
        with province_of(mine) as province:
            wait_until(
                "all is anchored on the new chain",
                lambda: {province.status(each).state for each in batches} == {"anchored"},
            )
            batches.append(province.accept(pilot.businesses[1].batch(1), ORGANISATION).batch)
            wait_until("a new one too", lambda: province.status(batches[-1]).state == "anchored")
            wait_until("keys given up are", lambda: are_as_before(province.issuers(), pilot))
            assert [province.status(each).log_index for each in batches] == list(range(5))
            trust = province.trust()
            new = [province.evidence([(each, 0)]) for each in batches]
            journey = province.evidence([(each, 0) for each in batches])

        assert {one.name for one in parse_trust(trust).members} == {"Cà Mau", "Đắk Lắk"}
        check_verdicts(pilot, mine, trust, [*new, journey])
        exported = tmp_path / "exported.json"
        moneo("node", "export-trust", "--rpc", other.rpc, "-o", exported, home=tmp_path)
        assert judged(journey, exported.read_bytes()).assurance == "consortium"
        assert before.splitlines()[0] in (mine.log_path / "checkpoint").read_bytes()
        with province_of(mine) as province:
            leave(other, mine)
            check_era(province, trust, journey, batches, exported, other, pilot.businesses[0])

        found_good = json.loads(moneo("doctor", "--data", mine.data, "--json", home=tmp_path))
        assert {each["state"] for each in found_good} == {"good"}, found_good
        running.stop(mine)
        running.stop(other)
    check_backup(mine, journey, tmp_path)


def check_backup(settings: Settings, newest: bytes, folder: Path) -> None:
    """A member's backup is whole; what is restored of it can sign nothing that was signed before."""
    copy = folder / "backup"
    province_backup.backup(load(settings.data), copy, node_backup.copy_home)
    found_good = json.loads(moneo("doctor", "--data", copy, "--json", home=folder, status=None))
    assert "damaged" not in {each["state"] for each in found_good}, found_good
    (folder / "newest.json").write_bytes(newest)
    words = ("restore", copy, "--data", folder / "new", "--newest", folder / "newest.json")
    assert "propose change-key" in moneo(*words, home=folder)
    home, new = settings.node_home, load(folder / "new").node_home
    keys = [load_validator_key(each).public_key().public_bytes_raw() for each in (home, new)]
    assert len(set(keys)) == 2
    assert node_id(home) == node_id(new)
    assert len(cards(new)) == 2
    assert not (new / "chain").exists()
    assert load(folder / "new").pilot_trust_path.read_bytes()


def kill_at_each_step(settings: Settings, running: Processes, last: str) -> None:
    """Kill anchor processes, each one durable step later than the one before, until all is done."""
    with province_of(settings) as province:
        for step in range(1, KILLS):
            process = running.start(settings, "anchor", at=step)
            wait_until(
                f"step {step}",
                lambda process=process: (  # type: ignore[misc]
                    process.has_ended() or province.status(last).state == "anchored"
                ),
            )
            running.running.pop((str(settings.data), "anchor"))
            process.kill()
            process.close()
            if province.status(last).state == "anchored":
                return


def leave(one: Settings, other: Settings) -> None:
    """Take a member out by its own vote and the other's."""
    account = member_address(load_member_key(one.member_key))
    payload = contracts.encode_payload("remove", account=account)
    number = contracts.kind_number("remove")
    execute(one, "propose(uint256,bytes,bytes)", number, payload, b"")
    execute(other, "vote(uint256,bool,uint256,bytes)", 1, True, number, payload)


def execute(settings: Settings, signature: str, *values: object) -> None:
    """Send a call of the member's key to the Consortium, and wait for it."""
    key, rpc = PrivateKey(load_member_key(settings.member_key)), Rpc(settings.rpc)
    nonce = rpc("eth_getTransactionCount", key.public_key.to_checksum_address(), "pending")
    call = Call(int(nonce, 16), CONSORTIUM, calldata(signature, *values), 1_000_000, key=key)
    raw = replace(call, chain_id=int(rpc("eth_chainId"), 16)).typed()
    digest = rpc("eth_sendRawTransaction", "0x" + raw.hex())
    receipt = wait_until(signature, lambda: rpc("eth_getTransactionReceipt", digest))
    assert receipt["status"] == "0x1"


def check_era(
    province: Province,
    before: bytes,
    given_out: bytes,
    batches: list[str],
    exported: Path,
    left: Settings,
    business: Business,
) -> None:
    """One member is left: its evidence and the old trust file go on, and who has left is named as such."""
    wait_until("the trust file", lambda: parse_trust(province.trust()).eras)
    # Nothing has been anchored since; what was is proven by the validators of its time.
    again = province.evidence([(each, 0) for each in batches])
    trust = province.trust()
    assert {judged(again, each).assurance for each in (before, trust)} == {"consortium"}
    assert judged(given_out, before).assurance == "consortium"
    assert judged(given_out, trust).assurance == "past-era"
    fresh = province.accept(business.batch(1), ORGANISATION).batch
    wait_until("the new record", lambda: province.status(fresh).state == "anchored")
    alone = province.evidence([(fresh, 0)])
    assert {judged(alone, each).assurance for each in (before, trust)} == {"one-validator"}
    moneo(
        "node", "export-trust", "--rpc", province.settings.rpc, "-o", exported, home=exported.parent
    )
    told = parse_trust(exported.read_bytes())
    assert (told.validators, parse_trust(before).validators) == (1, 2)
    members = {one.name: one for one in told.members}
    assert members.keys() == {"Cà Mau", f"{left.name}{FORMER}"}
    assert members[f"{left.name}{FORMER}"].hosts == ()
    assert judged(alone, exported.read_bytes()).assurance == "one-validator"


def are_as_before(issuers: list[Issuer], pilot: Pilot) -> bool:
    """Whether every key is in the state, and in the custody, that it had on the old chain."""
    return all(
        (each.state, each.custody, each.key_id) == (old.state, old.custody, old.key_id)
        for each in issuers
        for old in [pilot.issuers[each.name]]
    ) and len(issuers) == len(pilot.issuers)


def check_verdicts(pilot: Pilot, mine: Settings, trust: bytes, new: list[bytes]) -> None:
    old = mine.pilot_trust_path.read_bytes()
    assert old == pilot.trust
    for evidence in pilot.evidence:
        assert judged(evidence, old).assurance == "one-validator"
        failure = verify(evidence, trust, CODE.path).failure
        assert failure and failure.kind == "untrusted"
    for evidence in new:
        verdict = judged(evidence, trust)
        assert (verdict.assurance, verdict.records[0].province) == ("consortium", "Cà Mau")
        failure = verify(evidence, old, CODE.path).failure
        assert failure and failure.kind == "untrusted"
    assert judged(new[1], trust).records[0].custody == "operator"


@pytest.mark.long
def test_a_member_that_lost_its_disk_comes_back_from_its_backup(tmp_path: Path) -> None:
    """It anchors at once, and signs with a new key when three of four have voted for that."""
    need_cometbft()
    with processes() as running:
        made = [
            new_province(tmp_path / f"p{n}", f"Tỉnh {n}", f"a.example/{n}/2026") for n in range(4)
        ]
        found_consortium(*made)
        lost, *others = made
        for each in made:
            running.start(each, "node")
        running.start(lost, "anchor")
        business = business_of(lost, 0)
        with province_of(lost) as province:
            business.apply(province)
            batch = anchored_anew(province, business)
            newest = province.evidence([(batch, 0)])
        province_backup.backup(load(lost.data), tmp_path / "backup", node_backup.copy_home)
        execute(
            others[0],
            "register_log(bytes32,bytes32)",
            bytes(31) + b"x",
            bytes(32).hex().encode()[:32],
        )
        running.stop(lost)
        shutil.rmtree(lost.data)
        (tmp_path / "newest.json").write_bytes(newest)
        words = ("restore", tmp_path / "backup", "--data", lost.data)
        moneo(*words, "--newest", tmp_path / "newest.json", home=tmp_path)
        running.start(lost, "node")
        running.start(lost, "anchor")
        with province_of(lost) as province:
            anchored_anew(province, business)
        assert not signs(lost)
        moneo("node", "propose", "change-key", "--data", lost.data, home=tmp_path)
        key = load_validator_key(lost.node_home / "next").public_key().public_bytes_raw()
        account = member_address(load_member_key(lost.member_key))
        payload = contracts.encode_payload("change-key", account=account, validator_key=key)
        for each in others[:2]:
            vote = (1, True, contracts.kind_number("change-key"), payload)
            execute(each, "vote(uint256,bool,uint256,bytes)", *vote)
        wait_until("the new era", lambda: Rpc(lost.rpc)("moneo_getEras"), 180)
        running.stop(lost)
        running.start(lost, "node")
        running.start(lost, "anchor")
        with province_of(lost) as province:
            # Three of four suffice: not every block has its vote.
            while not signs(lost):
                batch = anchored_anew(province, business)
            assert judged(province.evidence([(batch, 0)]), province.trust()).proven
        for each in made:
            running.stop(each)


def anchored_anew(province: Province, business: Business) -> str:
    """Accept a batch and wait until it is anchored; return its id."""
    batch = province.accept(business.batch(1), ORGANISATION).batch
    wait_until("anchored", lambda: province.status(batch).state == "anchored", 180)
    return batch


def signs(settings: Settings) -> bool:
    """Whether this member's validator stands in the newest commit."""
    told = Rpc(settings.rpc).ask("moneo_getConsensus").get("result")
    if told is None:
        return False
    return any(v["signed"] for v in told["validators"] if v["address"] == told["validator"])


def test_another_chain_is_refused_unless_the_old_one_was_put_aside(tmp_path: Path) -> None:
    with running_node(found_province(tmp_path / "data")) as settings, anchoring(settings) as parts:
        parts.pipeline.advance()
    elsewhere = found_province(tmp_path / "elsewhere")
    with running_node(elsewhere) as other:
        asked = replace(settings, rpc=other.rpc)
        for put_aside in (None, elsewhere.node_home):
            if put_aside:
                # A chain was put aside, and it is not this log's.
                (settings.pilot).mkdir()
                genesis = (put_aside / "genesis.json").read_bytes()
                (settings.pilot / "genesis.json").write_bytes(genesis)
            with anchoring(asked) as parts, pytest.raises(PipelineError, match="serves chain"):
                parts.pipeline.advance()
    assert settings.trust_path.exists()
    assert not settings.pilot_trust_path.exists()
    with province_of(settings) as province:
        assert province.trust() != b""
    settings.trust_path.unlink()
    with province_of(settings) as province, pytest.raises(NoTrust):
        province.trust()
