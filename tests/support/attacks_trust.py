# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust files that must not be judged by, and good ones that lead elsewhere than the evidence.

A trust file that doesn't bear itself out gives no verdict at all: whoever asked has to get another.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from anchor.evidence import encode_evidence
from anchor.trust import MAX_TRUST_BYTES, TrustedContract
from node.light import LightBlock, Timestamp, encode_light_block
from tests.support.attacks import Case, case
from tests.support.light_blocks import Posed, council, light_block, signed, signers
from tests.support.makeevidence import CRAB_LOT, Made, Province, one_record
from tests.support.shapes import CHANGES_OF_FOUR, FOUR, history

_POWERS = (1, 1, 1, 1)


def _judged_by(change: Callable[[Any], Any], made: Made | None = None) -> Case:
    """Return good evidence of four validators beside a trust file whose JSON was changed."""
    made = made or one_record(_POWERS)
    value = json.loads(made.trust)
    change(value)
    return Case(encode_evidence(made.evidence), json.dumps(value).encode(), CRAB_LOT)


def _made() -> Made:
    """Return evidence of the newest era of four, with a trust file that knows all eras."""
    past = history("four")
    trust = past.province.trust_file(eras=tuple(past.province.eras))
    return Made(past.province, past.evidence(3), trust)


def _eras(change: Callable[[list[Any]], list[Any]]) -> Case:
    return _judged_by(lambda value: value.update(eras=change(value["eras"])), _made())


def _first(block: LightBlock) -> Case:
    return _judged_by(lambda value: value.update(light_block=encode_light_block(block)))


def _genesis() -> LightBlock:
    return one_record(_POWERS).province.genesis


@case(trust_refused=True)
def trust_signed_by_too_few() -> Case:
    return _first(replace(_genesis(), votes=_genesis().votes[:2]))


@case(trust_refused=True)
def trust_with_a_vote_that_does_not_hold() -> Case:
    first, *others = _genesis().votes
    return _first(replace(_genesis(), votes=(replace(first, time=Timestamp(1)), *others)))


@case(trust_refused=True)
def trust_of_another_chain_than_its_light_block() -> Case:
    return _judged_by(lambda value: value.update(cometbft_chain_id="sample-ffffffffffffffff"))


@case(trust_refused=True)
def trust_with_another_header_than_its_light_block() -> Case:
    header = json.loads(_made().trust)["header"]
    other = encode_evidence(one_record(_POWERS).evidence)
    later = json.loads(other)["anchors"][0]["header"]
    assert later != header
    return _judged_by(lambda value: value.update(header=later))


@case(trust_refused=True)
def trust_with_an_era_left_out() -> Case:
    return _eras(lambda eras: [eras[0], eras[2]])


@case(trust_refused=True)
def trust_with_eras_out_of_order() -> Case:
    return _eras(lambda eras: [eras[1], eras[0], eras[2]])


@case(trust_refused=True)
def trust_with_an_era_twice() -> Case:
    return _eras(lambda eras: [eras[0], eras[0], *eras[1:]])


@case(trust_refused=True)
def trust_with_an_era_signed_by_a_third() -> Case:
    def change(eras: list[Any]) -> list[Any]:
        return [{**eras[0], "votes": eras[0]["votes"][:1]}, *eras[1:]]

    return _eras(change)


@case(trust_refused=True)
def trust_with_an_era_that_is_not_bound() -> Case:
    """A thief's set signs a change that follows from nothing."""
    thief = signers("thief", _POWERS)
    header = _genesis().header
    rogue = light_block(
        thief,
        900,
        then=council("wxyz"),
        seconds=header.time.seconds + 90_000,
        chain_id=header.chain_id,
    )
    return _eras(lambda eras: [*eras, encode_light_block(rogue)])


@case(trust_refused=True)
def trust_with_a_validator_key_of_small_order() -> Case:
    keys = signers("odd", _POWERS)
    identity = replace(keys.validators[3], public_key=b"\1" + bytes(31))
    odd = Posed(keys.keys, keys.powers, (*keys.validators[:3], identity))
    header = _genesis().header
    block = light_block(
        odd,
        2,
        app_hash=header.app_hash,
        seconds=header.time.seconds,
        chain_id=header.chain_id,
        silent=[3],
    )
    return _first(block)


@case(trust_refused=True)
def trust_with_a_member_twice() -> Case:
    return _judged_by(lambda value: value["members"].append(value["members"][0]))


@case(trust_refused=True)
def trust_of_a_newer_format() -> Case:
    return _judged_by(lambda value: value.update(format="moneo/trust/v2"))


@case(trust_refused=True)
def trust_with_a_repeated_name() -> Case:
    made = _judged_by(lambda value: None)
    return replace(made, trust=made.trust.replace(b'{"format"', b'{"format": "x", "format"', 1))


@case(trust_refused=True)
def trust_larger_than_a_mebibyte() -> Case:
    made = _judged_by(lambda value: None)
    return replace(made, trust=made.trust + b" " * MAX_TRUST_BYTES)


@case(trust_refused=True)
def trust_that_is_the_evidence() -> Case:
    made = _judged_by(lambda value: None)
    return replace(made, trust=made.evidence)


@case(trust_refused=True)
def trust_whose_date_has_a_fraction() -> Case:
    return _judged_by(lambda value: value.update(date="2026-09-21T20:00:00.0Z"))


@case(assurance="consortium")
def trust_from_before_1970() -> Case:
    """A date is no more than what its maker wrote."""
    return _judged_by(lambda value: value.update(date="0001-01-01T00:00:00Z"))


@case(assurance="consortium")
def trust_with_more_votes_than_needed() -> Case:
    """Trust files may hold all votes; only evidence holds no more than are needed."""
    by = one_record(_POWERS).province.validators
    return _first(signed(_genesis(), by, range(4)))


@case(6, "untrusted")
def trust_of_another_chain() -> Case:
    other = Province(council=FOUR, chain_id="sample-ffffffffffffffff")
    return replace(_judged_by(lambda value: None), trust=other.trust_file())


@case(6, "untrusted")
def trust_of_other_founders() -> Case:
    """The same chain's name, founded by others."""
    other = Province(council=CHANGES_OF_FOUR[0])
    return replace(_judged_by(lambda value: None), trust=other.trust_file())


@case(4, "untrusted")
def trust_with_another_contracts_address() -> Case:
    made = one_record(_POWERS)
    contracts = dict(made.province.trust().contracts)
    hash_ = contracts["AnchorLog"].code_hash
    contracts["AnchorLog"] = TrustedContract(b"\7" * 20, hash_)
    trust = made.province.trust_file(contracts=contracts)
    return Case(encode_evidence(made.evidence), trust, CRAB_LOT)
