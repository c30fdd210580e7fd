# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence of every shape that must verify: sets of validators, eras, ancestry, trees, journeys, records.

A verifier that refuses one of these is as wrong as one that believes an attack. Each case's verdict
stands in the vectors' manifest, down to every record's class and time.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from anchor.evidence import (
    MAX_LIGHT_BLOCKS,
    MAX_RECORDS,
    MAX_SIGNATURES,
    Evidence,
    EvidenceAncestry,
    EvidenceFinality,
    encode_evidence,
    parse_evidence,
)
from anchor.ijson import encode_b64, encode_b64url
from anchor.note import key_id4
from anchor.record import Record
from node.light import (
    BlockId,
    LightBlock,
    Timestamp,
    Version,
    header_hash,
    keccak256,
    leaf_hash,
    root_from_inclusion,
    sign_bytes,
)
from tests.support.attacks import Case, case, unchecked
from tests.support.light_blocks import Signers, council, signed, signers
from tests.support.makeevidence import (
    CRAB_LOT,
    POND_LOT,
    Anchored,
    Batch,
    Province,
    harvest,
    journey,
    made_up_path,
    one_record,
    record,
)

FOUR = council("abcd")
# A member is admitted, one is removed, one changes its key.
CHANGES_OF_FOUR = (council("abcde"), council("acde"), council("acdf"))
PROVINCES = [f"p{number}" for number in range(34)]
THIRTY_FOUR = council(PROVINCES)
CHANGES_OF_THIRTY_FOUR = (
    council([*PROVINCES, "p34"]),
    council([*PROVINCES[1:], "p34"]),
    council([*PROVINCES[2:], "p34", "p1-new"]),
)
LINEAGES = {
    "four": (FOUR, CHANGES_OF_FOUR),
    "thirty-four": (THIRTY_FOUR, CHANGES_OF_THIRTY_FOUR),
}


def shape(name: str, assurance: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Take up a maker of a valid case under a name of its own."""
    return case(assurance=assurance, name=name)


@dataclass
class History:
    """A consortium that changed several times: a record anchored in each era, the state after all."""

    province: Province
    batches: list[Batch] = field(default_factory=list)
    anchored: list[Anchored] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def add(self, **fields: Any) -> None:
        """Log a batch of one record and anchor it."""
        province = self.province
        self.numbers.append(len(province.headers))
        self.batches.append(province.batch(province.issuers[0], [harvest(**fields)]))
        self.anchored.append(province.anchor())

    def evidence(
        self, at: int, eras: Sequence[LightBlock] = (), newer: int | None = None
    ) -> Evidence:
        """Return the evidence of the record of an era, by ancestry from that of era `newer` if given."""
        made = self.province.evidence([(self.batches[at], 0)], self.anchored[at], eras)
        if newer is None:
            return made
        ancestry = self.province.ancestry(self.numbers[at], self.numbers[newer])
        anchor = replace(made.anchors[0], finality=EvidenceFinality(0, ancestry))
        return replace(made, anchors=(anchor,), light_blocks=(self.anchored[newer].light_block,))

    def trust_from(self, era: int) -> dict[str, Any]:
        """Return what stands in a trust file that begins at the end of an era."""
        block = self.province.eras[era]
        header = next(
            header for header in self.province.headers if keccak256(header) == block.header.app_hash
        )
        return {
            "light_block": block,
            "header": header,
            "eras": tuple(self.province.eras[era + 1 :]),
        }


@lru_cache(maxsize=2)
def history(lineage: str) -> History:
    """Return the history of four or of thirty-four; not to be changed."""
    founders, changes = LINEAGES[lineage]
    made = History(Province(council=founders))
    made.province.issuer("Hợp tác xã Mẫu")
    made.add(count=0)
    for at, then in enumerate(changes, start=1):
        made.province.hand_over(then)
        made.add(count=at)
    return made


def _case(made: Evidence, province: Province, code: str | None = CRAB_LOT, **trust: Any) -> Case:
    return Case(encode_evidence(made), province.trust_file(**trust), code)


# Eras and ancestry, of four and of thirty-four -------------------------------------------------


def _shapes_of(lineage: str) -> None:
    """Take up the cases of one consortium's history."""
    four = lineage

    @shape(f"eras-in-the-evidence-of-{four}", "consortium")
    def in_evidence() -> Case:
        """The trust file is of the founding; admission, removal and a new key are in the evidence."""
        made = history(lineage)
        return _case(made.evidence(3, made.province.eras), made.province)

    @shape(f"eras-in-the-trust-file-of-{four}", "consortium")
    def in_trust() -> Case:
        made = history(lineage)
        return _case(made.evidence(3), made.province, eras=tuple(made.province.eras))

    @shape(f"eras-of-which-trust-knows-one-of-{four}", "consortium")
    def known_in_part() -> Case:
        made = history(lineage)
        eras = tuple(made.province.eras[:1])
        return _case(made.evidence(3, made.province.eras), made.province, eras=eras)

    @shape(f"eras-in-both-files-of-{four}", "consortium")
    def in_both() -> Case:
        made = history(lineage)
        eras = tuple(made.province.eras)
        return _case(made.evidence(3, made.province.eras), made.province, eras=eras)

    @shape(f"eras-below-the-trusted-light-block-of-{four}", "consortium")
    def passed_over() -> Case:
        """The trust file begins with the second change; the first in the evidence proves nothing."""
        made = history(lineage)
        return _case(made.evidence(3, made.province.eras), made.province, **made.trust_from(1))

    @shape(f"past-era-of-{four}", "past-era")
    def past() -> Case:
        made = history(lineage)
        return _case(made.evidence(0), made.province, eras=tuple(made.province.eras))

    @shape(f"past-era-in-the-middle-of-{four}", "past-era")
    def middle() -> Case:
        made = history(lineage)
        return _case(made.evidence(2, made.province.eras), made.province)

    @shape(f"ancestry-across-three-eras-of-{four}", "consortium")
    def ancestry() -> Case:
        made = history(lineage)
        return _case(made.evidence(0, made.province.eras, 3), made.province)

    @shape(f"ancestry-from-a-past-era-of-{four}", "past-era")
    def ancestry_of_past() -> Case:
        """The newer header is of the era before the last: it is no better than its own signers."""
        made = history(lineage)
        return _case(made.evidence(0, made.province.eras, 2), made.province)

    @shape(f"ancestry-from-the-trusted-header-of-{four}", "consortium")
    def ancestry_of_trust() -> Case:
        """The newer header is the trust file's own, which needs no other word."""
        made = history(lineage)
        header = made.province.headers[made.numbers[3]]
        trust: dict[str, Any] = {"light_block": made.anchored[3].light_block, "header": header}
        return _case(made.evidence(1, (), 3), made.province, **trust)

    @shape(f"ancestry-from-an-era-in-the-trust-file-of-{four}", "consortium")
    def ancestry_of_known_era() -> Case:
        """The newer header is carried by a change of the set that the trust file holds itself."""
        made = history(lineage)
        province = made.province
        number = made.numbers[2] - 1
        base = made.evidence(0)
        finality = EvidenceFinality(0, province.ancestry(made.numbers[0], number))
        anchor = replace(base.anchors[0], finality=finality)
        evidence = replace(base, anchors=(anchor,), light_blocks=(province.eras[1],))
        return _case(evidence, province, eras=tuple(province.eras))

    @shape(f"trust-file-of-the-last-era-of-{four}", "consortium")
    def last_era() -> Case:
        made = history(lineage)
        return _case(made.evidence(3), made.province, **made.trust_from(2))

    @shape(f"journey-of-30-of-{four}", "consortium")
    def journey_of_30() -> Case:
        made = journey(30, (1,) * (4 if lineage == "four" else 34))
        return Case(encode_evidence(made.evidence), made.trust)

    @shape(f"journey-across-eras-of-{four}", "past-era")
    def journey_across() -> Case:
        """A record of each era, each with the light block of its time: as sure as the least sure."""
        made = history(lineage)
        parts = [made.evidence(at) for at in range(4)]
        return _case(joined(parts, made.province.eras), made.province)

    @shape(f"journey-across-eras-by-ancestry-of-{four}", "consortium")
    def journey_by_ancestry() -> Case:
        """The same, all under one light block of the newest era."""
        made = history(lineage)
        parts = [made.evidence(at, (), 3) for at in range(3)]
        return _case(joined([*parts, made.evidence(3)], made.province.eras), made.province)


def joined(parts: Sequence[Evidence], eras: Sequence[LightBlock] = ()) -> Evidence:
    """Return one evidence file's value of several, each of one batch and anchor."""
    blocks = list({block.header: block for part in parts for block in part.light_blocks}.values())
    heights = [block.header.height for block in blocks]
    records, batches, anchors = [], [], []
    for at, part in enumerate(parts):
        height = part.light_blocks[0].header.height
        finality = replace(part.anchors[0].finality, light_block=heights.index(height))
        anchors.append(replace(part.anchors[0], finality=finality))
        batches.append(replace(part.batches[0], anchor=at))
        records += [replace(one, batch=at) for one in part.records]
    return Evidence(tuple(records), tuple(batches), tuple(anchors), tuple(blocks), tuple(eras))


for _lineage in LINEAGES:
    _shapes_of(_lineage)


# Light blocks and eras at their edges -------------------------------------------------------------


def _founded(founders: Signers = FOUR) -> Province:
    province = Province(council=founders)
    province.issuer("Hợp tác xã Mẫu")
    return province


def _recorded(
    province: Province, eras: Sequence[LightBlock] = (), block: LightBlock | None = None
) -> Case:
    """Return the evidence of a record that is anchored now; `block` may stand for its light block."""
    batch = province.batch(province.issuers[0], [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor(), eras)
    blocks = (block,) if block else evidence.light_blocks
    return _case(replace(evidence, light_blocks=blocks), province)


@case(assurance="consortium")
def eras_at_consecutive_heights() -> Case:
    province = _founded()
    for at, names in enumerate(("abcde", "acde", "abcde")):
        province.hand_over(council(names), height=20 + at)
    return _recorded(province, province.eras)


@case(assurance="consortium")
def set_that_comes_back() -> Case:
    province = _founded()
    for then in (council("wxyz"), FOUR):
        province.hand_over(then)
    return _recorded(province, province.eras)


@case(assurance="consortium")
def eras_up_to_the_limit() -> Case:
    """Thirty-one changes and one light block: thirty-two is the most."""
    province = _founded()
    for at in range(MAX_LIGHT_BLOCKS - 1):
        province.hand_over(council("wxyz" if at % 2 == 0 else "abcd"))
    return _recorded(province, province.eras)


@case(0, "too-large")
def eras_beyond_the_limit() -> Case:
    province = _founded()
    for at in range(MAX_LIGHT_BLOCKS):
        province.hand_over(council("wxyz" if at % 2 == 0 else "abcd"))
    batch = province.batch(province.issuers[0], [harvest()])
    evidence = province.evidence([(batch, 0)], province.anchor(), province.eras)
    return Case(unchecked(evidence), province.trust_file())


def _many_signatures(batches: int) -> Evidence:
    """Return evidence with 22 sets' votes of 23 each (506), and two signatures a batch."""
    province = _founded(THIRTY_FOUR)
    others = council([f"q{number}" for number in range(34)])
    for at in range(21):
        province.hand_over(others if at % 2 == 0 else THIRTY_FOUR)
    made = [province.batch(province.issuers[0], [harvest(count=at)]) for at in range(batches)]
    return province.evidence([(one, 0) for one in made], province.anchor(), province.eras)


@case(assurance="consortium")
def signatures_up_to_the_limit() -> Case:
    evidence = _many_signatures(3)
    votes = sum(len(one.votes) for one in (*evidence.light_blocks, *evidence.eras))
    assert votes + 2 * 3 == MAX_SIGNATURES
    return _case(evidence, _founded(THIRTY_FOUR))


@case(0, "too-large")
def signatures_beyond_the_limit() -> Case:
    """Two more: another batch."""
    return Case(unchecked(_many_signatures(4)), _founded(THIRTY_FOUR).trust_file())


@case(assurance="consortium")
def light_block_that_ends_its_era() -> Case:
    """The anchor's own light block names the next set; as one of the past, were it not the newest."""
    province = _founded()
    made = _recorded(province)
    then = council("abcde")
    number = len(province.headers) - 1
    ending = province.finalize(number, then=then)
    return replace(made, evidence=_with_block(made, ending))


@case(assurance="consortium")
def light_block_that_ends_its_era_and_says_so() -> Case:
    """The same light block stands among the eras too: what leads on from trust is believed itself."""
    made = light_block_that_ends_its_era()
    evidence = parse_evidence(made.evidence)
    return replace(made, evidence=encode_evidence(replace(evidence, eras=evidence.light_blocks)))


def _with_block(made: Case, block: LightBlock) -> bytes:
    evidence = parse_evidence(made.evidence)
    return encode_evidence(replace(evidence, light_blocks=(block,)))


def _finalized(founders: Signers = FOUR, **changes: Any) -> Case:
    """Return evidence whose light block is odd but right."""
    province = _founded(founders)
    made = _recorded(province)
    return replace(made, evidence=_with_block(made, province.finalize(1, **changes)))


@case(assurance="consortium")
def light_block_of_a_later_round() -> Case:
    return _finalized(round_=2**31 - 1)


@case(assurance="consortium")
def light_block_at_the_greatest_height() -> Case:
    return _finalized(height=2**53 - 1)


@case(assurance="consortium")
def votes_of_the_last_validators() -> Case:
    """The first validators of the set are silent."""
    return _finalized(silent=[0])


@case(assurance="consortium")
def votes_of_the_strong() -> Case:
    """Powers 5, 4, 3, 2, 1: three validators of five pass two thirds."""
    return _finalized(signers("strong", (5, 4, 3, 2, 1)))


@case(assurance="consortium")
def just_more_than_two_thirds_of_great_powers() -> Case:
    """Sums near 2^53: 3 times a power no longer fits into a double."""
    third = (2**53 - 1) // 3
    return _finalized(signers("great", (third, third, third - 1)))


@case(assurance="consortium")
def light_block_with_application_version() -> Case:
    made = one_record((1,) * 4)
    block = made.evidence.light_blocks[0]
    header = replace(block.header, version=Version(11, 7))
    odd = replace(block, header=header, block_id=BlockId(header_hash(header), 3, b"\4" * 32))
    odd = signed(odd, made.province.validators, [0, 1, 2])
    return Case(encode_evidence(replace(made.evidence, light_blocks=(odd,))), made.trust)


@case(assurance="consortium")
def votes_of_any_time() -> Case:
    """The time in a vote is the voter's own: it proves nothing, and may be anything."""
    made = one_record((1,) * 4)
    block, by = made.evidence.light_blocks[0], made.province.validators
    times = (Timestamp(-62_135_596_800), Timestamp(-1, 999_999_999), Timestamp(253_402_300_799))
    votes = []
    for vote, time in zip(block.votes, times, strict=True):
        text = sign_bytes(
            block.header.chain_id, block.header.height, block.round, block.block_id, time
        )
        votes.append(replace(vote, time=time, signature=by.keys[vote.index].sign(text)))
    odd = replace(block, votes=tuple(votes))
    return Case(encode_evidence(replace(made.evidence, light_blocks=(odd,))), made.trust)


def _deep_ancestry(number: int, newer: int) -> Case:
    """Return evidence of one block of a long chain by ancestry from another."""
    province = _founded()
    batch = province.batch(province.issuers[0], [harvest()])
    anchored = province.anchor(head_block=number)
    header = province.mine(anchored.state.root, block_number=number, extra_data=bytes(32))
    path = made_up_path(number, newer)
    top = root_from_inclusion(leaf_hash(keccak256(header)), number, newer, path)
    province.mine(bytes(32), block_number=newer, extra_data=top)
    evidence = province.evidence([(batch, 0)], anchored)
    finality = EvidenceFinality(0, EvidenceAncestry(province.headers[-1], tuple(path)))
    anchor = replace(evidence.anchors[0], header=header, finality=finality)
    block = province.finalize(len(province.headers) - 1)
    return _case(replace(evidence, anchors=(anchor,), light_blocks=(block,)), province)


for _number, _newer in ((1, 2), (12_345, 1_000_000), (2**52, 2**53 - 1), (2**53 - 2, 2**53 - 1)):

    @shape(f"ancestry-of-block-{_number}-from-{_newer}", "consortium")
    def _deep(number: int = _number, newer: int = _newer) -> Case:
        return _deep_ancestry(number, newer)


# Trees ------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _batch_of(size: int) -> tuple[Province, Batch, Anchored]:
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [record({"n": n}, [CRAB_LOT]) for n in range(size)])
    return province, batch, province.anchor()


for _size, _index in (
    (1, 0),
    (2, 0),
    (2, 1),
    (3, 0),
    (3, 2),
    (1000, 0),
    (1000, 511),
    (1000, 512),
    (1000, 999),
):

    @shape(f"batch-of-{_size}-record-{_index}", "one-validator")
    def _in_batch(size: int = _size, index: int = _index) -> Case:
        province, batch, anchored = _batch_of(size)
        return _case(province.evidence([(batch, index)], anchored), province)


@case(assurance="one-validator")
def batch_of_the_greatest_size() -> Case:
    """2^32 - 1 records, of which the last is shown: a path of 31 hashes."""
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    size = 2**32 - 1
    path = made_up_path(size - 1, size)
    wanted = harvest()
    root = root_from_inclusion(wanted.leaf_hash(), size - 1, size, path)
    batch = province.batch(farm, [wanted], size=size, root=root)
    evidence = province.evidence([(batch, 0)], province.anchor())
    part = replace(evidence.records[0], index=size - 1, path=tuple(path))
    return _case(replace(evidence, records=(part,)), province)


LOGS = (
    (1, 0),
    (2, 0),
    (2, 1),
    (3, 2),
    (7, 6),
    (8, 7),
    (255, 254),
    (256, 255),
    (257, 256),
    (600, 599),
    (65_536, 65_535),
    (1_000_000, 0),
    (1_000_000, 524_287),
    (1_000_000, 524_288),
    (1_000_000, 999_999),
    (2**53 - 1, 2**52),
)
for _size, _index in LOGS:

    @shape(f"log-of-{_size}-entry-{_index}", "one-validator")
    def _in_log(size: int = _size, index: int = _index) -> Case:
        province = Province(place=(index, size))
        farm = province.issuer("Hợp tác xã Mẫu")
        batch = province.batch(farm, [harvest()])
        return _case(province.evidence([(batch, 0)], province.anchor()), province)


@case(assurance="one-validator")
def as_many_records_as_there_may_be() -> Case:
    province, batch, anchored = _batch_of(MAX_RECORDS)
    picked = [(batch, index) for index in range(MAX_RECORDS)]
    return _case(province.evidence(picked, anchored), province)


# Logs and signatures ------------------------------------------------------------------------------


@case(assurance="one-validator")
def checkpoint_with_cosignatures() -> Case:
    """Witnesses' lines stand beside the log's; nobody reads them, and they need not verify."""
    made = one_record()
    batch = made.evidence.batches[0]
    name = "witness.example/w1"
    blob = key_id4(name, bytes(32)) + sha256(b"timestamped").digest() * 2
    line = f"— {name} {encode_b64(blob)}\n".encode()
    changed = replace(batch, proof=batch.proof + line)
    return Case(encode_evidence(replace(made.evidence, batches=(changed,))), made.trust)


@case(assurance="one-validator")
def key_revoked_after_the_anchor() -> Case:
    """What was anchored while the key was good stays proven by that state."""
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    anchored = province.anchor()
    province.issuers[-1] = replace(farm, revoked=2)
    province.anchor()
    return _case(province.evidence([(batch, 0)], anchored), province)


@case(4)
def key_revoked_before_the_anchor() -> Case:
    """The batch was signed and logged in time, and anchored after the revocation."""
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    province.mine(bytes(32))
    province.issuers[-1] = replace(farm, revoked=1)
    evidence = province.evidence([(batch, 0)], province.anchor())
    issuer = replace(evidence.batches[0].issuer, revoked=1)
    changed = replace(evidence.batches[0], issuer=issuer)
    return _case(replace(evidence, batches=(changed,)), province)


@case(3)
def junk_anchored_by_a_thief() -> Case:
    """A thief of the member's EVM key anchors a root that the log's key has never signed."""
    province = Province()
    farm = province.issuer("Hợp tác xã Mẫu")
    batch = province.batch(farm, [harvest()])
    junk: dict[str, Any] = {"size": 2, "root": sha256(b"junk").digest()}
    evidence = province.evidence([(batch, 0)], province.anchor(**junk))
    anchor = replace(evidence.anchors[0], head=replace(evidence.anchors[0].head, **junk))
    return _case(replace(evidence, anchors=(anchor,)), province)


# Records ----------------------------------------------------------------------------------------


def _records(
    records: Sequence[Record], *, custody: str = "holder", shown: Iterable[int] | None = None
) -> Case:
    """Return the evidence of records of one business's batch under four validators."""
    province = _founded()
    province.issuers.clear()
    farm = province.issuer("Hợp tác xã Mẫu", custody=custody)
    batch = province.batch(farm, records)
    picked = range(len(records)) if shown is None else shown
    return _case(
        province.evidence([(batch, index) for index in picked], province.anchor()), province
    )


@case(assurance="consortium")
def operator_custody() -> Case:
    return _records([harvest()], custody="operator")


@case(assurance="consortium")
def practice_record() -> Case:
    return _records([record({"bizStep": "shipping"}, [CRAB_LOT], mode="practice")])


@case(assurance="consortium")
def all_fields_withheld() -> Case:
    return _records(
        [harvest().hide(["bizStep", "eventTime", "eventTimeZoneOffset", "note", "quantityList"])]
    )


@case(assurance="consortium")
def some_fields_withheld() -> Case:
    return _records([harvest(phone="+84 900 000 000").hide(["note", "phone"])])


@case(assurance="consortium")
def superseded_record() -> Case:
    old = harvest()
    return _records([old, record({"note": "sửa"}, [CRAB_LOT], supersedes=[old.leaf_hash()])])


@case(assurance="consortium")
def superseded_record_whose_successor_is_left_out() -> Case:
    """Evidence is what its maker chose to put into it."""
    old = harvest()
    later = record({"note": "sửa"}, [CRAB_LOT], supersedes=[old.leaf_hash()])
    return _records([old, later], shown=[0])


@case(assurance="consortium")
def erased_field() -> Case:
    """A person's number is gone from the record, and a record of its own says so."""
    old = harvest(phone="+84 900 000 000")
    said = record(
        {"erased": ["phone"]}, [CRAB_LOT], kind="moneo.erasure", supersedes=[old.leaf_hash()]
    )
    return _records([old.hide(["phone"]), said])


@case(assurance="consortium")
def practice_that_supersedes_a_live_record_in_vain() -> Case:
    old = harvest()
    drill = record({"note": "thu hồi"}, [CRAB_LOT], mode="practice", supersedes=[old.leaf_hash()])
    return _records([old, drill])


@case(1)
def void_hidden() -> Case:
    """The line that voids another record is left out of the presentation."""
    old = harvest()
    made = _records([record({"note": "hủy"}, [CRAB_LOT], supersedes=[old.leaf_hash()])])
    lines = [line for line in made.evidence.split(b"\\n") if not line.startswith(b"re ")]
    return replace(made, evidence=b"\\n".join(lines))


@case(0, "malformed")
def field_with_two_values() -> Case:
    """One name is shown, and stands among the hidden ones too, with another digest."""
    made = _records([harvest()])
    line = b"field note " + b"A" * 43 + b"\\n~"
    return replace(made, evidence=made.evidence.replace(b"\\n~", b"\\n" + line, 1))


@case(assurance="consortium")
def claimed_long_before_it_was_proven() -> Case:
    return _claimed(-40 * 86_400)


@case(assurance="consortium")
def claimed_after_it_was_proven() -> Case:
    return _claimed(+86_400)


def _claimed(seconds: int) -> Case:
    province = _founded()
    batch = province.batch(province.issuers[0], [harvest()], time=province.time(1) + seconds)
    return _case(province.evidence([(batch, 0)], province.anchor()), province)


@case(0, "malformed")
def salt_of_fifteen_bytes() -> Case:
    """Values behind short salts could be guessed."""
    made = _records([harvest()])
    text = encode_b64url(json.dumps(["A" * 20, "note", "x"]).encode())
    before, _, after = made.evidence.partition(b"~")
    _, _, rest = after.partition(b"~\\n")
    return replace(made, evidence=before + b"~" + text.encode() + b"~\\n" + rest)


@case(assurance="consortium")
def serial_of_a_lot() -> Case:
    """The label has a serial; records of the lot and of the product belong to it too."""
    serial = f"{CRAB_LOT}/21/X1"
    gtin = CRAB_LOT.partition("/10/")[0]
    made = _records([record({"n": at}, [code]) for at, code in enumerate((serial, CRAB_LOT, gtin))])
    return replace(made, code=serial)


@case(assurance="consortium")
def own_code() -> Case:
    code = "/c/ca-mau/ao-7/2026"
    made = _records([record({"note": "ao"}, [code])])
    return replace(made, code=code)


@case(assurance="consortium")
def diary_with_others_words() -> Case:
    """Owner, party, third party and what went into the product, each told apart."""
    province = _founded()
    farm = province.issuers[0]
    plant = province.issuer("Nhà máy Mẫu", ["/01/09529999"], custody="operator")
    rival = province.issuer("Đối thủ Mẫu", ["/01/09528888"])
    shipping = record({"bizStep": "shipping", "moneo:parties": [plant.signer.name]}, [CRAB_LOT])
    made_of = record(
        {
            "inputQuantityList": [{"epcClass": f"https://id.gs1.org{POND_LOT}", "quantity": 1}],
            "outputQuantityList": [{"epcClass": f"https://id.gs1.org{CRAB_LOT}", "quantity": 1}],
        },
        [CRAB_LOT, POND_LOT],
        kind="epcis.transformationevent",
    )
    ours = province.batch(
        farm, [harvest(), shipping, made_of, record({"note": "ao 3"}, [POND_LOT])]
    )
    theirs = province.batch(plant, [record({"bizStep": "receiving"}, [CRAB_LOT])])
    foreign = province.batch(rival, [record({"note": "thu hồi!"}, [CRAB_LOT])])
    picked = [*((ours, index) for index in range(4)), (theirs, 0), (foreign, 0)]
    return _case(province.evidence(picked, province.anchor()), province)


@case(assurance="consortium")
def journey_through_two_provinces() -> Case:
    """Two logs in one state, a record of each under its own anchor and one light block."""
    here = _founded()
    there = Province(council=FOUR, origin="moneo.example/bentre/2026")
    there.issuer("Nhà máy Mẫu", ["/01/09529999"])
    there.headers, there.genesis = here.headers, here.genesis
    ours = here.batch(here.issuers[0], [harvest()])
    first = here.anchor()
    theirs = there.batch(there.issuers[0], [record({"bizStep": "receiving"}, [CRAB_LOT])])
    second = there.anchor()
    parts = [here.evidence([(ours, 0)], first), there.evidence([(theirs, 0)], second)]
    members = (here.trust().members[0], replace(there.trust().members[0], name="Tỉnh Mẫu 2"))
    return _case(joined(parts), here, members=members)


# Whose word it is -----------------------------------------------------------------------------------

_FEED_LOT = "/01/09529999000019/10/FEED-1"


def _made_of(code: str, **fields: Any) -> Record:
    """Return a transformation of what has this code into crabs; fields show its inputs, if any."""
    return record(fields, [CRAB_LOT, code], kind="epcis.transformationevent")


@case(assurance="consortium")
def input_that_is_shown_in_practice_alone() -> Case:
    """A practice transformation tells a live record no path: its maker stays a third party."""
    province = _founded()
    mill = province.issuer("Nhà máy Mẫu", ["/01/09529999"])
    practised = replace(_made_of(_FEED_LOT, inputEPCList=[_FEED_LOT]), mode="practice")
    ours = province.batch(province.issuers[0], [_made_of(_FEED_LOT, note="live"), practised])
    theirs = province.batch(mill, [record({"note": "thức ăn"}, [_FEED_LOT])])
    picked = [(ours, 0), (ours, 1), (theirs, 0)]
    return _case(province.evidence(picked, province.anchor()), province)


@case(assurance="consortium")
def input_that_is_shown() -> Case:
    """The same, shown by the live one: it is its maker's own."""
    province = _founded()
    mill = province.issuer("Nhà máy Mẫu", ["/01/09529999"])
    ours = province.batch(province.issuers[0], [_made_of(_FEED_LOT, inputEPCList=[_FEED_LOT])])
    theirs = province.batch(mill, [record({"note": "thức ăn"}, [_FEED_LOT])])
    return _case(province.evidence([(ours, 0), (theirs, 0)], province.anchor()), province)


@case(7, "mismatch")
def output_of_what_was_asked_for() -> Case:
    """What was made of the crabs is another product: its records are not the crabs'."""
    province = _founded()
    made = _made_of(_FEED_LOT, inputEPCList=[CRAB_LOT], outputEPCList=[_FEED_LOT])
    batch = province.batch(province.issuers[0], [made, record({"note": "chả"}, [_FEED_LOT])])
    return _case(province.evidence([(batch, 0), (batch, 1)], province.anchor()), province)


@case(assurance="consortium")
def prefix_that_begins_no_code() -> Case:
    """A registration that claims every path owns none."""
    province = _founded()
    rival = province.issuer("Đối thủ Mẫu", ["/", "", "/0", "01/09521234"])
    batch = province.batch(rival, [harvest()])
    return _case(province.evidence([(batch, 0)], province.anchor()), province)


@case(assurance="consortium")
def party_that_a_third_party_names() -> Case:
    province = _founded()
    rival = province.issuer("Đối thủ Mẫu", ["/01/09528888"])
    friend = province.issuer("Bạn của đối thủ", ["/01/09527777"])
    named = record({"bizStep": "shipping", "moneo:parties": [friend.signer.name]}, [CRAB_LOT])
    theirs = province.batch(rival, [named])
    friends = province.batch(friend, [record({"bizStep": "receiving"}, [CRAB_LOT])])
    picked = [(theirs, 0), (friends, 0)]
    return _case(province.evidence(picked, province.anchor()), province)
