# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence files are read strictly: what is written reads back, and nothing else is taken."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from anchor.errors import FormatError
from anchor.evidence import (
    MAX_BATCHES,
    MAX_EVIDENCE_BYTES,
    MAX_LIGHT_BLOCKS,
    MAX_RECORDS,
    MAX_SIGNATURES,
    EvidenceError,
    EvidenceTooLarge,
    UnknownEvidence,
    encode_evidence,
    parse_evidence,
)
from anchor.shape import ShapeError, base64, hexadecimal, items, members, natural, text
from tests.support.attacks import CASES
from tests.support.makeevidence import journey, one_record


def value() -> Any:
    return json.loads(encode_evidence(one_record().evidence))


def parse(changed: Any) -> Any:
    return parse_evidence(json.dumps(changed).encode())


@pytest.mark.parametrize("name", [name for name, make in CASES.items() if make().step != 0])
def test_what_is_written_reads_back_as_the_same(name: str) -> None:
    evidence = parse_evidence(CASES[name]().evidence)
    assert parse_evidence(encode_evidence(evidence)) == evidence


def test_the_written_form_is_compact_and_has_no_escapes_it_does_not_need() -> None:
    data = encode_evidence(one_record().evidence)
    assert b": " not in data.replace(b"\\n", b"")[:200]
    assert "—".encode() in data


def test_sizes_stay_what_the_specification_says() -> None:
    assert len(encode_evidence(one_record((1, 1, 1, 1)).evidence)) < 10_000
    assert len(encode_evidence(one_record((1,) * 34).evidence)) < 15_000


def test_limits_are_those_of_the_protocol() -> None:
    limits = (MAX_EVIDENCE_BYTES, MAX_LIGHT_BLOCKS, MAX_SIGNATURES, MAX_RECORDS, MAX_BATCHES)
    assert limits == (1 << 20, 32, 512, 1000, 256)


@pytest.mark.parametrize(
    ("name", "count"),
    [("records", 1001), ("batches", 257), ("anchors", 257), ("light_blocks", 33), ("eras", 33)],
)
def test_one_part_beyond_a_limit_is_too_large_before_any_is_read(name: str, count: int) -> None:
    changed = value()
    changed[name] = [None] * count
    with pytest.raises(EvidenceTooLarge, match=name):
        parse(changed)


def test_light_blocks_and_eras_are_counted_together() -> None:
    changed = value()
    changed["light_blocks"] = changed["light_blocks"] * 16
    changed["eras"] = changed["light_blocks"] * 2
    with pytest.raises(EvidenceTooLarge, match="32 light blocks"):
        parse({**changed, "eras": changed["eras"][:17]})


@pytest.mark.parametrize("name", ["records", "batches", "anchors", "light_blocks"])
def test_no_part_may_be_missing_altogether(name: str) -> None:
    with pytest.raises(EvidenceError):
        parse({**value(), name: []})


def test_too_much_is_not_written_either() -> None:
    evidence = journey().evidence
    with pytest.raises(EvidenceTooLarge):
        encode_evidence(replace(evidence, records=evidence.records * 40))
    with pytest.raises(EvidenceTooLarge):
        encode_evidence(replace(evidence, batches=evidence.batches * 50))
    part = replace(evidence.batches[0], note=b"x" * MAX_EVIDENCE_BYTES)
    with pytest.raises(EvidenceTooLarge):
        encode_evidence(replace(evidence, batches=(part, *evidence.batches[1:])))


def test_an_index_that_points_nowhere_is_not_written_either() -> None:
    evidence = one_record().evidence
    part = replace(evidence.records[0], batch=1)
    with pytest.raises(EvidenceError):
        encode_evidence(replace(evidence, records=(part,)))


def test_another_format_says_that_it_needs_a_newer_verifier() -> None:
    with pytest.raises(UnknownEvidence, match="v7"):
        parse({"format": "moneo/evidence/v7", "what": "ever"})
    with pytest.raises(EvidenceError, match="not an evidence file"):
        parse({"format": "moneo/trust/v1"})


def test_every_error_is_of_the_rooms_tree() -> None:
    assert issubclass(EvidenceError, FormatError)
    assert issubclass(ShapeError, FormatError)


SHAPES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (members, ({"a": 1}, "x", "a", "b")),
    (members, ({"a": 1, "c": 2}, "x", "a")),
    (members, ([], "x", "a")),
    (items, ({}, "x", 3)),
    (items, ([1, 2, 3, 4], "x", 3)),
    (items, ([], "x", 3, 1)),
    (text, ("", "x", 3)),
    (text, ("abcd", "x", 3)),
    (text, (1, "x", 3)),
    (natural, (-1, "x")),
    (natural, (True, "x")),
    (natural, (1.0, "x")),
    (natural, (2**53, "x")),
    (natural, ("1", "x")),
    (base64, ("AAA", "x")),
    (base64, ("AAAA\n", "x")),
    (base64, ("AB==", "x")),
    (base64, ("AAAA", "x", 4)),
    (base64, (None, "x")),
    (hexadecimal, ("0xAB", "x", 1)),
    (hexadecimal, ("ab", "x", 1)),
    (hexadecimal, ("0xabcd", "x", 1)),
    (hexadecimal, ("0x٠٠", "x", 1)),
    (hexadecimal, (171, "x", 1)),
]


@pytest.mark.parametrize(("read", "given"), SHAPES)
def test_a_value_of_another_shape_is_refused(
    read: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    with pytest.raises(ShapeError):
        read(*given)


def test_values_of_the_right_shape_are_returned() -> None:
    assert members({"b": 2, "a": 1}, "x", "a", "b") == [1, 2]
    assert (items([], "x", 0), text("a", "x", 1)) == ([], "a")
    assert (natural(0, "x"), natural(2**53 - 1, "x")) == (0, 2**53 - 1)
    assert (base64("", "x"), base64("AA==", "x", 1)) == (b"", b"\0")
    assert hexadecimal("0x00ff", "x", 2) == b"\0\xff"
