# SPDX-License-Identifier: GPL-3.0-or-later
"""A trust file bears itself out, and a pinned one gives way only to one that follows from it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from anchor.errors import FormatError
from anchor.trust import (
    Member,
    TrustError,
    UnknownTrust,
    encode_trust,
    fingerprint,
    parse_trust,
    replaces,
)
from tests.support.flips import flip_bit
from tests.support.light_blocks import light_block, signers
from tests.support.makeevidence import FOUNDED, Province, one_record


def value() -> Any:
    return json.loads(one_record().trust)


def parse(changed: Any) -> Any:
    return parse_trust(json.dumps(changed).encode())


def test_what_is_written_reads_back_as_the_same() -> None:
    trust = one_record().province.trust()
    assert parse_trust(encode_trust(trust)) == trust


def test_a_trust_file_with_eras_reads_back_as_the_same() -> None:
    province = Province((1, 1, 1))
    eras = (province.change_validators("b", (1,)), province.change_validators("c", (2, 1)))
    trust = province.trust(eras=eras)
    assert parse_trust(encode_trust(trust)) == trust
    assert trust.blocks == (province.genesis, *eras)


def test_the_fingerprint_is_of_the_exact_bytes_in_groups_of_four() -> None:
    data = one_record().trust
    groups = fingerprint(data).split(" ")
    assert {len(group) for group in groups} == {4}
    assert "".join(groups) == hashlib.sha256(data).hexdigest()
    assert fingerprint(data + b" ") != fingerprint(data)


def test_a_member_is_found_by_owner() -> None:
    trust = one_record().province.trust()
    assert trust.member(trust.members[0].owner) == trust.members[0]
    assert trust.member(bytes(20)) is None


CHANGES: list[tuple[str, Callable[[Any], Any]]] = [
    ("unknown member", lambda v: v.update(note="x")),
    ("missing member", lambda v: v.pop("members")),
    ("no members", lambda v: v.update(members=[])),
    ("member twice", lambda v: v["members"].append(v["members"][0])),
    ("name twice", lambda v: v["members"].append({**v["members"][0], "owner": "0x" + "11" * 20})),
    ("log with a space", lambda v: v["members"][0].update(log="a b")),
    ("hosts not a list", lambda v: v["members"][0].update(hosts="example.com")),
    ("other contract", lambda v: v["contracts"].update(Consortium=v["contracts"]["AnchorLog"])),
    ("short address", lambda v: v["contracts"]["AnchorLog"].update(address="0x00")),
    ("date with a fraction", lambda v: v.update(date="2026-01-01T00:00:00.5Z")),
    ("date with an offset", lambda v: v.update(date="2026-01-01T00:00:00+07:00")),
    ("chain id as text", lambda v: v.update(evm_chain_id="1")),
    ("other chain", lambda v: v.update(cometbft_chain_id="other-1")),
    ("header of another block", lambda v: v.update(header="wA==")),
    ("no header", lambda v: v.update(header="")),
    ("vote gone", lambda v: v["light_block"].update(votes=[])),
    ("era that changes nothing", lambda v: v.update(eras=[v["light_block"]])),
    ("validators of others", lambda v: v["light_block"]["validators"][0].__setitem__(1, 2)),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[name for name, _ in CHANGES])
def test_a_file_that_does_not_bear_itself_out_is_refused(change: Callable[[Any], Any]) -> None:
    changed = value()
    change(changed)
    with pytest.raises(TrustError):
        parse(changed)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":1}', b"\xff", b"[" * 10_000])
def test_bytes_that_are_no_trust_file_are_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        parse_trust(data)


def test_another_format_says_that_it_needs_a_newer_verifier() -> None:
    with pytest.raises(UnknownTrust, match="newer verifier"):
        parse({**value(), "format": "moneo/trust/v2"})
    assert issubclass(TrustError, FormatError)


def test_every_flipped_bit_gives_a_trust_error_or_another_fingerprint() -> None:
    data = one_record().trust
    for at in range(len(data)):
        flipped = flip_bit(data, 8 * at + at % 8)
        assert fingerprint(flipped) != fingerprint(data)
        try:
            parse_trust(flipped)
        except TrustError:
            continue


def test_a_trust_file_that_would_not_read_back_is_not_written() -> None:
    trust = one_record().province.trust()
    with pytest.raises(TrustError):
        encode_trust(replace(trust, header=b"\xc0"))
    with pytest.raises(TrustError):
        encode_trust(replace(trust, members=(replace(trust.members[0], hosts=["x"]),)))  # type: ignore[arg-type]


# Replacing a pinned file ------------------------------------------------------------------------


def grown() -> tuple[Province, list[bytes]]:
    """Return a province of three eras and its trust files after each."""
    province = Province((1, 1, 1))
    files = [province.trust_file()]
    for at, name in enumerate(("b", "c"), start=1):
        province.change_validators(name, (1, 1, 1, 1))
        files.append(province.trust_file(eras=tuple(province.eras), date=FOUNDED + at))
    return province, files


def test_a_file_that_knows_more_eras_replaces_one_that_knows_fewer() -> None:
    _, files = grown()
    for older in range(3):
        for newer in range(older, 3):
            assert replaces(files[older], files[newer]) == ()


def test_a_file_that_knows_fewer_eras_replaces_nothing() -> None:
    province, files = grown()
    fewer = province.trust_file(eras=tuple(province.eras[:1]), date=FOUNDED + 9)
    with pytest.raises(TrustError, match="differently"):
        replaces(files[2], fewer)


def test_an_older_file_replaces_nothing() -> None:
    _, files = grown()
    with pytest.raises(TrustError, match="older"):
        replaces(files[1], files[0])


def test_a_later_light_block_of_the_last_era_replaces() -> None:
    province, files = grown()
    province.mine(bytes(32))
    number = len(province.headers) - 1
    later = {"light_block": province.finalize(number), "header": province.headers[number]}
    assert replaces(files[2], province.trust_file(**later, date=FOUNDED + 9)) == ()


def test_a_light_block_of_a_pinned_era_with_the_eras_after_it_replaces() -> None:
    province, files = grown()
    era = {"light_block": province.eras[0], "header": province.headers[1]}
    full = province.trust_file(**era, eras=(province.eras[1],), date=FOUNDED + 9)
    assert replaces(files[2], full) == ()
    with pytest.raises(TrustError, match="differently"):
        replaces(files[2], province.trust_file(**era, date=FOUNDED + 9))


def test_retired_validators_cannot_replace_what_is_pinned() -> None:
    """The founding keys sign a light block of their own time and lead from it to a thief's set."""
    province, files = grown()
    founders = signers(f"validator {province.origin}", (1, 1, 1))
    thief = signers("thief", (1,))
    wanted = {"chain_id": province.chain_id, "app_hash": province.genesis.header.app_hash}
    seconds = province.time(0)
    past = light_block(founders, 3, seconds=seconds + 1, **wanted)  # type: ignore[arg-type]
    era = light_block(founders, 4, then=thief, seconds=seconds + 2, **wanted)  # type: ignore[arg-type]
    for block, eras in ((past, ()), (past, (era,)), (province.genesis, (era,))):
        forged = province.trust_file(light_block=block, eras=eras, date=FOUNDED + 9)
        assert replaces(files[0], forged) == ()
        with pytest.raises(TrustError):
            replaces(files[2], forged)


def test_another_chain_or_contract_replaces_nothing() -> None:
    province = one_record().province
    contracts = dict(province.trust().contracts)
    contracts["AnchorLog"] = replace(contracts["AnchorLog"], code_hash=bytes(32))
    changes: tuple[dict[str, Any], ...] = ({"contracts": contracts}, {"evm_chain_id": 7})
    for change in changes:
        with pytest.raises(TrustError, match="another chain"):
            replaces(one_record().trust, province.trust_file(**change))


def test_changed_members_are_returned_for_a_person_to_confirm() -> None:
    province = one_record().province
    member = province.trust().members[0]
    moved = replace(member, hosts=("new.example",))
    added = Member(bytes(19) + b"\2", "Bến Tre", (), "moneo.example/bentre/2026")
    fresh = province.trust_file(members=(moved, added))
    assert replaces(one_record().trust, fresh) == (moved, added)
