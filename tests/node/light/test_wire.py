# SPDX-License-Identifier: GPL-3.0-or-later
"""Protobuf as the encoding guide has it, and with what proto3 leaves out left out."""

import pytest

from node.light.cometbft.wire import Fixed64, Message, Value, delimited, field, message, varint


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (150, "9601"),
        (300, "ac02"),
        (2**63 - 1, "ffffffffffffffff7f"),
        (2**64 - 1, "ffffffffffffffffff01"),
        (-1, "ffffffffffffffffff01"),
        (-62_135_596_800, "8092b8c398feffffff01"),
    ],
)
def test_varints(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded


@pytest.mark.parametrize(
    ("number", "value", "encoded"),
    [
        (1, 150, "089601"),
        (2, "testing", "120774657374696e67"),
        (3, b"\0", "1a0100"),
        (16, 1, "800101"),
        (2, Fixed64(1), "110100000000000000"),
        (2, Fixed64(-1), "11ffffffffffffffff"),
        (1, 0, ""),
        (1, Fixed64(0), ""),
        (1, b"", ""),
        (1, "", ""),
        (1, Message(), "0a00"),
        (4, message((1, 1)), "22020801"),
    ],
)
def test_fields(number: int, value: Value, encoded: str) -> None:
    assert field(number, value).hex() == encoded


def test_message_is_its_fields_and_delimited_its_length_before_it() -> None:
    assert message((1, 1), (2, 0), (3, "a")).hex() == "08011a0161"
    assert delimited(bytes(300))[:2].hex() == "ac02"
