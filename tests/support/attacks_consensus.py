# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence whose light block, eras or ancestry must not be believed, one file for each way to forge them.

Whole evidence files: all links up to the app hash are right, and the light block is what only
validators can make. Its signers hold real keys, so that nothing but the named fault is wrong.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from anchor.evidence import EvidenceFinality, encode_evidence, parse_evidence
from anchor.ijson import encode_b64
from anchor.note import Signer, key_id4
from node.light import (
    BlockId,
    Header,
    LightBlock,
    Timestamp,
    Validator,
    Version,
    Vote,
    header_hash,
    minimal,
    sign_bytes,
)
from node.light.cometbft.types import ZERO_TIME
from node.light.cometbft.wire import Fixed64, delimited, message
from tests.support import edwards
from tests.support.attacks import Case, case, from_json, from_value, unchecked
from tests.support.edwards import BASE, IDENTITY, TORSION, L, P, challenge, forge, multiply
from tests.support.light_blocks import Posed, Signers, council, light_block, signed, signers
from tests.support.makeevidence import Batch, Made, Province, harvest, one_record

FOUR = (1,) * 4
THIRTY_FOUR = (1,) * 34
NON_CANONICAL_IDENTITY = (P + 1).to_bytes(32, "little")
MOST = 2**53 - 1

Change = Callable[[LightBlock, Signers], LightBlock]


def block_of(made: Made, **changes: Any) -> LightBlock:
    """Return the light block of evidence with all its votes; `changes` are of `light_block`."""
    province = made.province
    wanted: dict[str, Any] = {
        "by": province.validators,
        "height": 12,
        "app_hash": made.evidence.light_blocks[0].header.app_hash,
        "seconds": province.time(1),
        "chain_id": province.chain_id,
    }
    return light_block(**{**wanted, **changes})


def with_block(change: Change, powers: Sequence[int] = FOUR, **changes: Any) -> Case:
    """Return `one_record` whose light block, minimal before, was changed."""
    made = one_record(tuple(powers))
    block = change(minimal(block_of(made, **changes)), made.province.validators)
    return from_value(replace(made.evidence, light_blocks=(block,)), made)


def with_header(powers: Sequence[int] = FOUR, **changes: Any) -> Case:
    """Return `one_record` whose light block has an odd header, signed all the same."""

    def change(block: LightBlock, by: Signers) -> LightBlock:
        header = replace(block.header, **changes)
        odd = replace(block, header=header, block_id=_block_id(header))
        return signed(odd, by, [vote.index for vote in block.votes])

    return with_block(change, powers)


def _block_id(header: Header) -> BlockId:
    return BlockId(header_hash(header), 1, b"\4" * 32)


def with_vote(
    make: Callable[[LightBlock, Signers, Vote], Vote], powers: Sequence[int] = FOUR
) -> Case:
    """Return `one_record` in whose light block the last vote is another."""

    def change(block: LightBlock, by: Signers) -> LightBlock:
        *others, last = block.votes
        return replace(block, votes=(*others, make(block, by, last)))

    return with_block(change, powers)


def _resigned(block: LightBlock, by: Signers, vote: Vote, **changes: Any) -> Vote:
    """Return the vote with a signature of something else."""
    wanted = {
        "chain_id": block.header.chain_id,
        "height": block.header.height,
        "round_": block.round,
        "block_id": block.block_id,
        "time": vote.time,
    }
    return replace(vote, signature=by.keys[vote.index].sign(sign_bytes(**{**wanted, **changes})))


def _message(block: LightBlock, vote: Vote) -> bytes:
    header = block.header
    return sign_bytes(header.chain_id, header.height, block.round, block.block_id, vote.time)


# Votes -----------------------------------------------------------------------------------------


@case(6)
def exactly_two_thirds_of_33() -> Case:
    return with_block(lambda block, by: replace(block, votes=block.votes[:22]), (1,) * 33)


@case(6)
def exactly_two_thirds_of_unequal_powers() -> Case:
    return with_block(lambda block, by: signed(block, by, [0, 1, 2]), (2, 1, 1, 1, 1))


@case(6)
def one_vote_too_few_of_34() -> Case:
    return with_block(lambda block, by: replace(block, votes=block.votes[1:]), THIRTY_FOUR)


@case(6)
def no_votes() -> Case:
    return with_block(lambda block, by: replace(block, votes=()))


def _nil(block: LightBlock, by: Signers, vote: Vote) -> Vote:
    """Return a vote that says "no block": its block id is left out."""
    nil = message(
        (1, 2),
        (2, Fixed64(block.header.height)),
        (3, Fixed64(block.round)),
        (5, vote.time.encode()),
        (6, block.header.chain_id),
    )
    return replace(vote, signature=by.keys[vote.index].sign(delimited(nil)))


@case(6)
def nil_vote_counted() -> Case:
    return with_vote(_nil)


@case(6)
def nil_vote_counted_of_34() -> Case:
    return with_vote(_nil, THIRTY_FOUR)


@case(6)
def absent_vote_counted() -> Case:
    """CometBFT gives an absent validator Go's zero time and no signature."""
    return with_vote(lambda block, by, vote: Vote(vote.index, ZERO_TIME, bytes(64)))


@case(0, "malformed")
def vote_without_a_signature() -> Case:
    return from_json(lambda value: value["light_blocks"][0]["votes"][0].__setitem__(2, ""))


@case(6)
def prevote_counted() -> Case:
    def prevote(block: LightBlock, by: Signers, vote: Vote) -> Vote:
        precommit = _message(block, vote)
        return replace(
            vote, signature=by.keys[vote.index].sign(precommit.replace(b"\x08\x02", b"\x08\x01", 1))
        )

    return with_vote(prevote)


@case(6)
def vote_for_another_block() -> Case:
    other = BlockId(b"\7" * 32, 1, b"\4" * 32)
    return with_vote(lambda block, by, vote: _resigned(block, by, vote, block_id=other))


@case(6)
def vote_for_another_block_of_34() -> Case:
    other = BlockId(b"\7" * 32, 1, b"\4" * 32)
    return with_vote(
        lambda block, by, vote: _resigned(block, by, vote, block_id=other), THIRTY_FOUR
    )


@case(6)
def vote_for_other_parts() -> Case:
    return with_vote(
        lambda block, by, vote: _resigned(
            block, by, vote, block_id=replace(block.block_id, parts_hash=b"\5" * 32)
        )
    )


@case(6)
def vote_of_another_round() -> Case:
    return with_vote(lambda block, by, vote: _resigned(block, by, vote, round_=1))


@case(6)
def vote_of_another_height() -> Case:
    return with_vote(lambda block, by, vote: _resigned(block, by, vote, height=13))


@case(6)
def vote_for_another_chain() -> Case:
    """The header is this chain's; the vote was given on a test chain with the same keys."""
    return with_vote(lambda block, by, vote: _resigned(block, by, vote, chain_id="test-1"))


@case(6, "untrusted")
def another_chain_of_four() -> Case:
    return with_block(lambda block, by: block, chain_id="sample-ffffffffffffffff")


@case(6)
def vote_at_another_validators_place() -> Case:
    def change(block: LightBlock, by: Signers) -> LightBlock:
        first, second, third = block.votes
        return replace(block, votes=(first, second, replace(third, index=3)))

    return with_block(change)


@case(6)
def validator_counted_twice() -> Case:
    return with_block(lambda block, by: replace(block, votes=(block.votes[0], *block.votes[:2])))


@case(6)
def validator_counted_twice_at_another_time() -> Case:
    """Two real votes of one validator, at two times: its own equivocation."""
    return with_block(
        lambda block, by: replace(
            block,
            votes=(
                block.votes[0],
                _resigned(block, by, replace(block.votes[0], time=Timestamp(1)), time=Timestamp(1)),
                block.votes[1],
            ),
        )
    )


@case(6)
def votes_not_ascending() -> Case:
    return with_block(lambda block, by: replace(block, votes=block.votes[::-1]))


@case(6)
def votes_not_ascending_of_34() -> Case:
    return with_block(lambda block, by: replace(block, votes=block.votes[::-1]), THIRTY_FOUR)


@case(6)
def more_votes_than_needed_of_34() -> Case:
    return with_block(lambda block, by: signed(block, by, range(24)), THIRTY_FOUR)


@case(6)
def weak_vote_that_could_be_left_out() -> Case:
    return with_block(lambda block, by: signed(block, by, [0, 1]), (10, 1, 1))


# One Ed25519 rule -------------------------------------------------------------------------------


def _loose(forged: Callable[[Any, bytes], bytes]) -> Case:
    return with_vote(
        lambda block, by, vote: replace(
            vote, signature=forged(by.keys[vote.index], _message(block, vote))
        )
    )


def _beyond_order(key: Any, text: bytes) -> bytes:
    signature: bytes = key.sign(text)
    s = int.from_bytes(signature[32:], "little") + L
    return signature[:32] + s.to_bytes(32, "little")


def _small_order_r(key: Any, text: bytes) -> bytes:
    return forge(key, text, r=edwards.encode(IDENTITY))


def _non_canonical_r(key: Any, text: bytes) -> bytes:
    return forge(key, text, r=NON_CANONICAL_IDENTITY)


def _cofactored(key: Any, text: bytes) -> bytes:
    return forge(key, text, at=TORSION[1])


@case(6)
def vote_with_s_beyond_the_order() -> Case:
    return _loose(_beyond_order)


@case(6)
def vote_with_r_of_small_order() -> Case:
    """R is the identity, and the equation holds: only the rule on R refuses it."""
    return _loose(_small_order_r)


@case(6)
def vote_with_r_not_canonical() -> Case:
    """R is the identity, written as y = p + 1."""
    return _loose(_non_canonical_r)


@case(6)
def vote_that_holds_only_with_the_cofactor() -> Case:
    """R has a part of order 8: CometBFT's own ZIP-215 takes it."""
    return _loose(_cofactored)


def _note_case(forged: Callable[[Any, bytes], bytes]) -> Case:
    made = one_record()
    signer = made.province.issuers[0].signer
    batch = made.evidence.batches[0]
    note = _signed_note(batch.note, signer, forged)
    return from_value(replace(made.evidence, batches=(replace(batch, note=note),)))


def _signed_note(note: bytes, signer: Signer, forged: Callable[[Any, bytes], bytes]) -> bytes:
    text = note.rpartition(b"\n\n")[0] + b"\n"
    blob = key_id4(signer.name, signer.public_key) + forged(signer.private_key, text)
    return text + f"\n— {signer.name} {encode_b64(blob)}\n".encode()


@case(2)
def note_signed_with_s_beyond_the_order() -> Case:
    return _note_case(_beyond_order)


@case(2)
def note_signed_with_r_of_small_order() -> Case:
    return _note_case(_small_order_r)


@case(2)
def note_signature_that_holds_only_with_the_cofactor() -> Case:
    return _note_case(_cofactored)


@case(3)
def checkpoint_signature_that_holds_only_with_the_cofactor() -> Case:
    made = one_record()
    batch = made.evidence.batches[0]
    head, _, checkpoint = batch.proof.partition(b"\n\n")
    forged = _signed_note(checkpoint, made.province.signer, _cofactored)
    proof = head + b"\n\n" + forged
    return from_value(replace(made.evidence, batches=(replace(batch, proof=proof),)))


# Validator sets ---------------------------------------------------------------------------------


def posed(shown: Callable[[Signers], Sequence[Validator]], powers: Sequence[int] = FOUR) -> Case:
    """Return evidence whose era names an odd set, to which it is then handed over.

    More than 2/3 of the founders can name whom they like; what is refused is the set itself.
    """
    province = _founded()
    keys = signers("odd", powers)
    odd = Posed(keys.keys, keys.powers, tuple(shown(keys)))
    era = province.hand_over(odd)
    return _signed_by(province, odd, [era])


def _founded() -> Province:
    province = Province(FOUR)
    province.issuer("Hợp tác xã Mẫu")
    return province


def _anchored(province: Province) -> tuple[Batch, int]:
    """Log a batch and mine the block that anchors it; return the batch and the block's number."""
    return province.batch(province.issuers[-1], [harvest()]), len(province.headers)


def _signed_by(province: Province, by: Signers, eras: Sequence[LightBlock]) -> Case:
    """Return the evidence of a record in whose light block this set signs."""
    batch, number = _anchored(province)
    # The honest set stands in while the state is made; its light block is then left out.
    province.validators = signers("stand-in", FOUR)
    evidence = province.evidence([(batch, 0)], province.anchor(), eras)
    block = light_block(
        by,
        10 * number + 2,
        app_hash=evidence.light_blocks[0].header.app_hash,
        seconds=province.time(number),
        chain_id=province.chain_id,
    )
    kept = replace(block, votes=block.votes[: 2 * len(block.validators) // 3 + 1])
    evidence = replace(evidence, light_blocks=(kept,))
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def validator_twice_in_the_set() -> Case:
    """One key at two places would count one signer as two."""
    return posed(lambda by: [by.validators[0], *by.validators[:3]])


@case(6)
def validator_without_power() -> Case:
    return posed(lambda by: [*by.validators[:3], replace(by.validators[3], power=0)])


@case(6)
def all_validators_without_power() -> Case:
    return posed(lambda by: [replace(one, power=0) for one in by.validators])


@case(6)
def powers_whose_sum_overflows() -> Case:
    return posed(lambda by: [replace(one, power=MOST) for one in by.validators])


@case(6)
def powers_whose_sum_is_2_to_the_53() -> Case:
    made = posed(lambda by: [replace(by.validators[0], power=MOST), by.validators[1]], (1, 1))
    return _with_votes(made, _block_in(made).votes[:1])


@case(0, "malformed")
def power_of_2_to_the_53() -> Case:
    return from_json(lambda value: value["light_blocks"][0]["validators"][0].__setitem__(1, 2**53))


@case(0, "malformed")
def power_below_zero() -> Case:
    return from_json(lambda value: value["light_blocks"][0]["validators"][0].__setitem__(1, -1))


@case(6)
def validator_key_of_small_order() -> Case:
    """The identity as a key signs anything with R = identity, S = 0, where that is let through."""
    return _with_odd_key(edwards.encode(IDENTITY))


@case(6)
def validator_key_not_canonical() -> Case:
    return _with_odd_key(NON_CANONICAL_IDENTITY)


def _with_odd_key(key: bytes) -> Case:
    case_ = posed(lambda by: [Validator(key, 1), *by.validators[1:]])

    def sign_for_it(value: Any) -> None:
        identity = edwards.encode(IDENTITY) + bytes(32)
        value["light_blocks"][0]["votes"][0][2] = encode_b64(identity)

    return replace(case_, evidence=_changed(case_.evidence, sign_for_it))


def _changed(data: bytes, change: Callable[[Any], Any]) -> bytes:
    value = json.loads(data)
    change(value)
    return json.dumps(value, ensure_ascii=False).encode()


def _mixed(hold: bool) -> Case:
    """A validator's key has a part of order 8; its vote holds by chance of k, or only cofactored."""
    province = _founded()
    keys = signers("odd", FOUR)
    secret = edwards.secret_scalar(keys.keys[0])
    mixed = edwards.encode(edwards.add(multiply(secret, BASE), TORSION[1]))
    odd = Posed(keys.keys, keys.powers, (Validator(mixed, 1), *keys.validators[1:]))
    era = province.hand_over(odd)
    made = _signed_by(province, odd, [era])
    block = _block_in(made)
    first = block.votes[0]
    text = _message(block, first)
    for nonce in range(1, 200):
        r = edwards.encode(multiply(nonce, BASE))
        k = challenge(r, mixed, text)
        if (k % 8 == 0) == hold:
            s = (nonce + k * secret) % L
            vote = replace(first, signature=r + s.to_bytes(32, "little"))
            return _with_votes(made, (vote, *block.votes[1:]))
    raise AssertionError


def _block_in(made: Case) -> LightBlock:
    return parse_evidence(made.evidence).light_blocks[0]


def _with_votes(made: Case, votes: Sequence[Vote]) -> Case:
    evidence = parse_evidence(made.evidence)
    block = replace(evidence.light_blocks[0], votes=tuple(votes))
    return replace(made, evidence=encode_evidence(replace(evidence, light_blocks=(block,))))


@case(6)
def vote_of_a_mixed_key_that_holds_only_with_the_cofactor() -> Case:
    return _mixed(hold=False)


@case(assurance="consortium")
def vote_of_a_mixed_key_that_holds() -> Case:
    """A key with a part of order 8 is none of small order; where k is a multiple of 8, it signs."""
    return _mixed(hold=True)


@case(assurance="consortium")
def silent_validator_whose_key_is_no_point() -> Case:
    """Keys are refused by their bytes; one that is no point can't sign, and need not be decoded."""
    return posed(lambda by: [*by.validators[:3], Validator(b"\2" + bytes(31), 1)])


@case(6)
def validators_of_another_power_than_the_headers() -> Case:
    return with_block(
        lambda block, by: replace(
            block, validators=(*block.validators[:3], replace(block.validators[3], power=2))
        )
    )


@case(6)
def validators_in_another_order() -> Case:
    return with_block(lambda block, by: replace(block, validators=block.validators[::-1]))


@case(6)
def validator_left_out() -> Case:
    return with_block(lambda block, by: replace(block, validators=block.validators[:3]))


@case(6)
def no_validators() -> Case:
    return with_block(lambda block, by: replace(block, votes=(), validators=()))


# Headers ----------------------------------------------------------------------------------------


@case(6)
def header_changed_after_the_votes() -> Case:
    """The next set is swapped in a header that was signed with another."""
    thief = signers("thief", FOUR)

    def change(block: LightBlock, by: Signers) -> LightBlock:
        header = block_of(one_record(FOUR), then=thief).header
        return replace(block, header=header, block_id=_block_id(header))

    return with_block(change)


@case(6)
def time_changed_after_the_votes() -> Case:
    return with_block(
        lambda block, by: replace(
            block, header=replace(block.header, time=Timestamp(1_700_000_000))
        )
    )


ODD_HEADERS: dict[str, dict[str, Any]] = {
    "another-block-protocol": {"version": Version(12)},
    "height-zero": {"height": 0},
    "short-next-validators-hash": {"next_validators_hash": b"\1" * 31},
    "no-next-validators-hash": {"next_validators_hash": b""},
    "short-data-hash": {"data_hash": b"\1" * 31},
    "long-last-commit-hash": {"last_commit_hash": b"\1" * 33},
    "short-proposer-address": {"proposer_address": b"\1" * 19},
    "short-last-block-hash": {"last_block_id": BlockId(b"\1" * 31, 1, b"\2" * 32)},
    "too-many-last-parts": {"last_block_id": BlockId(b"\1" * 32, 1602, b"\2" * 32)},
}
for _name, _changes in ODD_HEADERS.items():

    @case(6, name=f"light-block-with-{_name}")
    def _odd(changes: dict[str, Any] = _changes) -> Case:
        return with_header(**changes)


def _odd_block(**changes: Any) -> Case:
    return with_block(
        lambda block, by: signed(
            replace(block, **changes), by, [vote.index for vote in block.votes]
        )
    )


@case(6)
def light_block_with_no_parts() -> Case:
    hash_ = block_of(one_record(FOUR)).block_id.hash
    return _odd_block(block_id=BlockId(hash_, 0, b"\4" * 32))


@case(6)
def light_block_with_too_many_parts() -> Case:
    hash_ = block_of(one_record(FOUR)).block_id.hash
    return _odd_block(block_id=BlockId(hash_, 1602, b"\4" * 32))


@case(6)
def light_block_with_short_parts_hash() -> Case:
    hash_ = block_of(one_record(FOUR)).block_id.hash
    return _odd_block(block_id=BlockId(hash_, 1, b"\4" * 31))


@case(6)
def light_block_of_round_2_to_the_31() -> Case:
    return _odd_block(round=2**31)


# How a light block is written ---------------------------------------------------------------------


def _header_text(name: str, text: Any) -> Callable[[Any], None]:
    return lambda value: value["light_blocks"][0]["header"].update({name: text})


ODD_TEXTS: dict[str, Callable[[Any], Any]] = {
    "height-with-a-zero-in-front": _header_text("height", "012"),
    "height-as-a-number": _header_text("height", 12),
    "height-below-zero": _header_text("height", "-12"),
    "height-of-2-to-the-53": _header_text("height", str(2**53)),
    "hash-in-lower-case": lambda value: value["light_blocks"][0]["header"].update(
        app_hash=value["light_blocks"][0]["header"]["app_hash"].lower()
    ),
    "hash-with-half-a-byte": _header_text("data_hash", "ABC"),
    "hash-of-129-bytes": _header_text("app_hash", "AB" * 129),
    "application-version-0-written-out": _header_text("version", {"block": "11", "app": "0"}),
    "chain-id-empty": _header_text("chain_id", ""),
    "chain-id-of-51-characters": _header_text("chain_id", "a" * 51),
    "chain-id-in-another-script": _header_text("chain_id", "sample-١"),
    "time-with-an-offset": _header_text("time", "2026-09-21T20:00:00+07:00"),
    "time-with-ten-digits": _header_text("time", "2026-09-21T20:00:00.1234567891Z"),
    "time-with-a-bare-point": _header_text("time", "2026-09-21T20:00:00.Z"),
    "time-in-lower-case": _header_text("time", "2026-09-21t20:00:00z"),
    "time-with-a-leap-second": _header_text("time", "2026-12-31T23:59:60Z"),
    "time-on-30-february": _header_text("time", "2026-02-30T00:00:00Z"),
    "time-in-the-year-0": _header_text("time", "0000-12-31T00:00:00Z"),
    "unknown-header-field": _header_text("note", ""),
    "vote-with-four-items": lambda value: value["light_blocks"][0]["votes"][0].append(0),
    "vote-as-an-object": lambda value: value["light_blocks"][0].update(votes=[{"index": 0}]),
    "short-signature": lambda value: value["light_blocks"][0]["votes"][0].__setitem__(2, "AAAA"),
    "short-validator-key": lambda value: value["light_blocks"][0]["validators"][0].__setitem__(
        0, "AAAA"
    ),
    "513-validators": lambda value: value["light_blocks"][0].update(
        validators=value["light_blocks"][0]["validators"] * 513
    ),
    "negative-round": lambda value: value["light_blocks"][0].update(round=-1),
}
for _name, _change in ODD_TEXTS.items():

    @case(0, "malformed", name=f"light-block-{_name}")
    def _odd_text(change: Callable[[Any], Any] = _change) -> Case:
        return from_json(change)


# App hashes -------------------------------------------------------------------------------------


def _carried_by(number: int) -> Case:
    """Return evidence of block 2 of 4 whose light block is another's."""
    province = _founded()
    province.mine(bytes(32))
    batch, _ = _anchored(province)
    anchored = province.anchor()
    province.mine(bytes(32))
    evidence = replace(
        province.evidence([(batch, 0)], anchored), light_blocks=(province.finalize(number),)
    )
    return Case(encode_evidence(evidence), province.trust_file())


@case(5)
def app_hash_of_the_height_before() -> Case:
    return _carried_by(1)


@case(5)
def app_hash_of_the_height_after() -> Case:
    return _carried_by(3)


@case(5)
def app_hash_of_the_trusted_light_block() -> Case:
    return _carried_by(0)


@case(5)
def app_hash_empty() -> Case:
    return with_header(app_hash=b"")


# Eras -------------------------------------------------------------------------------------------


def _eras(
    change: Callable[[Province, list[LightBlock]], Sequence[LightBlock]],
    sets: Sequence[Signers] | None = None,
    **trust: Any,
) -> Case:
    """Return evidence of a record anchored after some changes of the set, its eras changed."""
    province = _founded()
    for then in sets or (council("abcd"), council("abcde"), council("acde")):
        province.hand_over(then)
    batch, _ = _anchored(province)
    eras = change(province, list(province.eras))
    evidence = province.evidence([(batch, 0)], province.anchor(), eras)
    return Case(encode_evidence(evidence), province.trust_file(**trust))


@case(6, "untrusted")
def eras_out_of_order() -> Case:
    return _eras(lambda province, eras: [eras[0], eras[2], eras[1]])


@case(6, "untrusted")
def first_era_at_height_zero() -> Case:
    return _eras(lambda province, eras: [province.finalize(1, by=council("abcd"), height=0), *eras])


@case(6, "untrusted")
def second_era_at_height_zero() -> Case:
    return _eras(
        lambda province, eras: [eras[0], province.finalize(1, by=council("abcd"), height=0)]
    )


@case(6, "untrusted")
def eras_in_reverse() -> Case:
    return _eras(lambda province, eras: eras[::-1])


@case(6, "untrusted")
def eras_whose_heights_descend() -> Case:
    """The second change is signed by the set that the first one names, at a lower height."""

    def change(province: Province, eras: list[LightBlock]) -> list[LightBlock]:
        (lower,) = _rogue_era(council("abcd"), council("abcde"), height=11)(province, [])
        return [eras[0], lower, *eras[2:]]

    return _eras(change)


@case(0, "malformed")
def era_twice() -> Case:
    made = _eras(lambda province, eras: eras)
    return replace(
        made, evidence=_changed(made.evidence, lambda v: v["eras"].insert(1, v["eras"][0]))
    )


@case(6, "untrusted")
def era_left_out_of_three() -> Case:
    return _eras(lambda province, eras: [eras[0], eras[2]])


@case(6, "untrusted")
def first_era_left_out() -> Case:
    return _eras(lambda province, eras: eras[1:])


@case(6, "untrusted")
def last_era_left_out() -> Case:
    return _eras(lambda province, eras: eras[:2])


@case(6, "untrusted")
def era_that_changes_nothing() -> Case:
    def change(province: Province, eras: list[LightBlock]) -> list[LightBlock]:
        last = eras[-1].header
        idle = light_block(
            province.validators,
            last.height + 1,
            app_hash=last.app_hash,
            seconds=last.time.seconds + 1,
            chain_id=province.chain_id,
        )
        return [*eras, minimal(idle)]

    return _eras(change)


def _rogue_era(
    by: Signers, then: Signers, height: int = 12, keep: int | None = None, **changes: Any
) -> Callable[[Province, list[LightBlock]], list[LightBlock]]:
    """Return a change that puts an era of this set before all others."""

    def change(province: Province, eras: list[LightBlock]) -> list[LightBlock]:
        wanted: dict[str, Any] = {
            "app_hash": bytes(32),
            "seconds": province.time(0) + height,
            "chain_id": province.chain_id,
            "then": then,
        }
        block = light_block(by, height, **{**wanted, **changes})
        votes = block.votes if keep is None else block.votes[:keep]
        rogue = minimal(block) if keep is None else replace(block, votes=votes)
        return [rogue, *eras[1:]]

    return change


THIEF = signers("thief", FOUR)
FOUNDERS = signers("validator moneo.example/camau/2026", FOUR)


@case(6, "untrusted")
def era_signed_by_the_set_that_it_names() -> Case:
    """The new set installs itself: nobody of the old one has signed."""
    return _eras(_rogue_era(council("abcd"), council("abcde")))


@case(6, "untrusted")
def era_that_names_another_set_than_follows() -> Case:
    return _eras(_rogue_era(FOUNDERS, THIEF))


@case(6)
def era_left_by_exactly_two_thirds() -> Case:
    province = Province((1, 1, 1))
    province.issuer("Hợp tác xã Mẫu")
    era = province.hand_over(council("abcd"))
    short = replace(
        era, votes=signed(era, signers(f"validator {province.origin}", (1, 1, 1)), [0, 1]).votes
    )
    batch, _ = _anchored(province)
    evidence = province.evidence([(batch, 0)], province.anchor(), [short])
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def era_left_by_a_third_of_34() -> Case:
    """Twelve of 34 sign the change: CometBFT's light client would skip with these."""
    founders = council([f"p{n}" for n in range(34)])
    return _few_of_34(founders, 12)


@case(6)
def era_left_by_one_vote_too_few_of_34() -> Case:
    return _few_of_34(council([f"p{n}" for n in range(34)]), 22)


def _few_of_34(founders: Signers, votes: int) -> Case:
    province = Province(council=founders)
    province.issuer("Hợp tác xã Mẫu")
    era = province.hand_over(council([f"q{n}" for n in range(34)]))
    batch, _ = _anchored(province)
    few = signed(era, founders, range(votes))
    evidence = province.evidence([(batch, 0)], province.anchor(), [few])
    return Case(encode_evidence(evidence), province.trust_file())


@case(6, "untrusted")
def skip_by_a_third() -> Case:
    """Half of the new set are the old one's validators: CometBFT's light client would skip."""
    return _skipping(council("abcd"), council("abxy"))


@case(6, "untrusted")
def skip_by_all_but_one() -> Case:
    return _skipping(council("abcd"), council("abcx"))


@case(6, "untrusted")
def skip_by_a_third_of_34() -> Case:
    old = [f"p{n}" for n in range(34)]
    return _skipping(council(old), council([*old[:12], *(f"q{n}" for n in range(22))]))


def _skipping(founders: Signers, then: Signers) -> Case:
    province = Province(council=founders)
    province.issuer("Hợp tác xã Mẫu")
    province.hand_over(then)
    batch, _ = _anchored(province)
    evidence = province.evidence([(batch, 0)], province.anchor())
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def more_votes_than_needed_in_an_era() -> Case:
    def change(province: Province, eras: list[LightBlock]) -> list[LightBlock]:
        return [signed(eras[0], FOUNDERS, range(4)), *eras[1:]]

    return _eras(change)


@case(6)
def era_with_a_vote_that_does_not_hold() -> Case:
    return _eras(lambda province, eras: [_spoiled(eras[0]), *eras[1:]])


def _spoiled(block: LightBlock) -> LightBlock:
    first = block.votes[0]
    return replace(block, votes=(replace(first, time=Timestamp(1)), *block.votes[1:]))


@case(6)
def known_era_with_a_vote_that_does_not_hold() -> Case:
    """The trust file knows this era; what stands in the evidence is looked at all the same."""
    good = _eras(lambda province, eras: eras)
    return replace(
        _eras(lambda province, eras: [_spoiled(eras[0]), *eras[1:]]), trust=_full_trust(good)
    )


def _full_trust(made: Case) -> bytes:
    eras = parse_evidence(made.evidence).eras
    return _founded().trust_file(eras=eras)


@case(6)
def early_era_with_a_vote_that_does_not_hold() -> Case:
    """The same below the trusted light block, where eras prove nothing."""
    province = _founded()
    for names in ("abcd", "abcde", "acde"):
        province.hand_over(council(names))
    batch, _ = _anchored(province)
    first, second, third = province.eras
    evidence = province.evidence([(batch, 0)], province.anchor(), [_spoiled(first), second, third])
    trust = province.trust_file(light_block=second, header=province.headers[2], eras=(third,))
    return Case(encode_evidence(evidence), trust)


@case(6, "untrusted")
def era_of_another_chain() -> Case:
    return _eras(_rogue_era(FOUNDERS, council("abcd"), chain_id="sample-ffffffffffffffff"))


@case(6, "untrusted")
def era_that_contradicts_a_known_one() -> Case:
    """At the height where the trust file knows one change, the evidence tells another."""
    good = _eras(lambda province, eras: eras)
    return replace(_eras(_rogue_era(FOUNDERS, THIEF)), trust=_full_trust(good))


@case(6, "untrusted")
def era_that_contradicts_the_trusted_light_block() -> Case:
    return _eras(_rogue_era(FOUNDERS, THIEF, height=2))


@case(6, "untrusted")
def retired_validators_change_the_set_again() -> Case:
    """Founders who have handed over sign another change, of a height after it."""
    good = _eras(lambda province, eras: eras)
    return replace(_eras(_rogue_era(FOUNDERS, THIEF, height=13)), trust=_full_trust(good))


# Light blocks against what is known ---------------------------------------------------------------


@case(6, "untrusted")
def light_block_that_contradicts_the_trusted_one() -> Case:
    return with_block(lambda block, by: block, height=2)


@case(6, "untrusted")
def light_block_that_contradicts_an_era() -> Case:
    """At the height of the founders' last block they sign another."""
    province = _founded()
    era = province.hand_over(council("abcd"))
    province.validators = FOUNDERS
    batch, number = _anchored(province)
    anchored = province.anchor()
    fork = province.finalize(number, height=era.header.height, seconds=era.header.time.seconds)
    evidence = replace(province.evidence([(batch, 0)], anchored, [era]), light_blocks=(fork,))
    return Case(encode_evidence(evidence), province.trust_file())


@case(6, "untrusted")
def light_block_before_the_trusted_one_in_time() -> Case:
    return with_block(lambda block, by: block, seconds=one_record(FOUR).province.time(0) - 1)


@case(6, "untrusted")
def light_block_at_the_time_of_the_trusted_one() -> Case:
    return with_block(lambda block, by: block, seconds=one_record(FOUR).province.time(0))


@case(6, "untrusted")
def light_block_of_the_set_before() -> Case:
    """Founders sign one height after they have handed over."""
    return _by_another_set(-1)


@case(6, "untrusted")
def light_block_of_the_set_to_come() -> Case:
    return _by_another_set(+1)


def _by_another_set(step: int) -> Case:
    sets = [FOUNDERS, council("abcd"), council("abcde")]
    province = _founded()
    province.hand_over(sets[1])
    batch, _ = _anchored(province)
    province.validators = sets[1 + step]
    anchored = province.anchor()
    province.validators = sets[1]
    province.hand_over(sets[2])
    evidence = province.evidence([(batch, 0)], anchored, province.eras)
    return Case(encode_evidence(evidence), province.trust_file())


# Ancestry ---------------------------------------------------------------------------------------


def _ancestry(
    path: Callable[[list[bytes]], Sequence[bytes]] = lambda path: path,
    *,
    newer: int = 4,
    of: int = 1,
    by: Signers | None = None,
    **header: Any,
) -> Case:
    """Return evidence of block 1 by ancestry from a later block, something of it changed."""
    province = _founded()
    batch, _ = _anchored(province)
    anchored = province.anchor()
    for _ in range(3):
        province.mine(bytes(32))
    if header:
        province.headers[-1] = _header_with(province, **header)
    finality = province.ancestry(of, newer)
    changed = EvidenceFinality(0, replace(finality, path=tuple(path(list(finality.path)))))
    evidence = province.evidence([(batch, 0)], anchored)
    anchor = replace(evidence.anchors[0], finality=changed)
    block = province.finalize(newer, **({"by": by} if by else {}))
    evidence = replace(evidence, anchors=(anchor,), light_blocks=(block,))
    data = unchecked(evidence)
    return Case(data, province.trust_file())


def _header_with(province: Province, **fields: Any) -> bytes:
    province.headers.pop()
    return province.mine(bytes(32), **fields)


@case(6)
def ancestry_path_too_long() -> Case:
    return _ancestry(lambda path: [*path, bytes(32)])


@case(6)
def ancestry_path_too_short() -> Case:
    return _ancestry(lambda path: path[:-1])


@case(6)
def ancestry_path_empty() -> Case:
    return _ancestry(lambda path: [])


@case(6)
def ancestry_path_in_another_order() -> Case:
    return _ancestry(lambda path: path[::-1])


@case(0, "too-large")
def ancestry_path_of_54_hashes() -> Case:
    return _ancestry(lambda path: [bytes(32)] * 54)


@case(6)
def ancestry_path_of_another_block() -> Case:
    return _ancestry(of=2)


@case(6)
def ancestry_of_itself() -> Case:
    return _ancestry(newer=1, of=0)


@case(6)
def ancestry_from_an_older_header() -> Case:
    """The header that is called newer is genesis's, which has no ancestors."""
    province = _founded()
    batch, _ = _anchored(province)
    anchored = province.anchor()
    evidence = province.evidence([(batch, 0)], anchored)
    finality = EvidenceFinality(0, replace(province.ancestry(0, 1), header=province.headers[0]))
    anchor = replace(evidence.anchors[0], finality=finality)
    evidence = replace(evidence, anchors=(anchor,), light_blocks=(province.genesis,))
    return Case(encode_evidence(evidence), province.trust_file())


@case(6)
def ancestry_from_a_header_without_a_root() -> Case:
    return _ancestry(extra_data=b"moneo")


@case(6)
def ancestry_from_a_header_with_another_root() -> Case:
    return _ancestry(extra_data=b"\7" * 32)


@case(6, "untrusted")
def ancestry_from_a_header_that_is_not_trusted() -> Case:
    """Light block of nobody, under a header that has the older one among its ancestors."""
    return _ancestry(by=THIEF)


@case(6, "untrusted")
def ancestry_from_retired_validators_after_their_era() -> Case:
    """The newer header is signed by those who have handed over already."""
    province = _founded()
    batch, _ = _anchored(province)
    anchored = province.anchor()
    era = province.hand_over(council("abcd"))
    province.mine(bytes(32))
    province.validators = FOUNDERS
    finality = EvidenceFinality(0, province.ancestry(1, 3))
    evidence = province.evidence([(batch, 0)], anchored)
    anchor = replace(evidence.anchors[0], finality=finality)
    evidence = replace(evidence, anchors=(anchor,), light_blocks=(province.finalize(3),))
    return Case(encode_evidence(evidence), province.trust_file(eras=(era,)))
