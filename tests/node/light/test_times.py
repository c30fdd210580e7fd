# SPDX-License-Identifier: GPL-3.0-or-later
"""Times to the nanosecond are read strictly and written as CometBFT writes them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.light import LightBlockError, Timestamp, format_time, parse_time, timestamp
from node.light.cometbft.types import ZERO_TIME

PAIRS = [
    ("1970-01-01T00:00:00Z", Timestamp(0, 0)),
    ("1969-12-31T23:59:59.999999999Z", Timestamp(-1, 999_999_999)),
    ("0001-01-01T00:00:00Z", ZERO_TIME),
    ("9999-12-31T23:59:59.1Z", Timestamp(253_402_300_799, 100_000_000)),
    ("2026-11-22T15:04:57.35684944Z", Timestamp(1_795_359_897, 356_849_440)),
    ("2024-02-29T00:00:00.000000001Z", Timestamp(1_709_164_800, 1)),
]

REFUSED = [
    "",
    "2026-11-22",
    "2026-11-22T15:04:57",
    "2026-11-22T15:04:57z",
    "2026-11-22t15:04:57Z",
    "2026-11-22 15:04:57Z",
    "2026-11-22T15:04:57+00:00",
    "2026-11-22T15:04:57.Z",
    "2026-11-22T15:04:57,5Z",
    "2026-11-22T15:04:57.0000000001Z",
    "2026-11-22T15:04Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T23:60:00Z",
    "2026-12-31T23:59:60Z",
    "2026-02-29T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-11-00T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "02026-11-22T15:04:57Z",
    "-026-11-22T15:04:57Z",
    "2026-1-22T15:04:57Z",
    "2026-11-22T15:04:57Z\n",
    " 2026-11-22T15:04:57Z",
    "२०२६-11-22T15:04:57Z",
]


@pytest.mark.parametrize(("text", "time"), PAIRS)
def test_examples_are_read_and_written(text: str, time: Timestamp) -> None:
    assert parse_time(text) == time
    assert format_time(time) == text


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(LightBlockError):
        parse_time(text)


def test_trailing_zeros_of_a_fraction_may_stand() -> None:
    assert parse_time("1970-01-01T00:00:00.500000000Z") == parse_time("1970-01-01T00:00:00.5Z")


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 999))
def test_times_are_those_of_the_calendar(moment: datetime, nanos: int) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86_400 + since.seconds
    time = Timestamp(seconds, moment.microsecond * 1000 + nanos)
    assert parse_time(format_time(time)) == time
    assert format_time(time).startswith(moment.replace(tzinfo=None, microsecond=0).isoformat())
    assert timestamp(time.nanoseconds()) == time


@pytest.mark.parametrize("seconds", [ZERO_TIME.seconds - 1, 253_402_300_800, 10**30, -(10**30)])
def test_year_that_does_not_exist_is_not_written(seconds: int) -> None:
    with pytest.raises(LightBlockError):
        format_time(Timestamp(seconds))


def test_times_compare() -> None:
    assert Timestamp(-1, 5) < Timestamp(0, 0) < Timestamp(0, 1) < Timestamp(1, 0)
