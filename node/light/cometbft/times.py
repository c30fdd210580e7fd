# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT signs nanoseconds, which Python's datetime can't hold: times are read and written by hand.

RFC 3339, section 5.6, narrowed to what CometBFT's JSON writes: upper-case `T` and `Z`, no other
offset, no leap second, a fraction of one to nine digits or none.
"""

import re
from datetime import date
from typing import NamedTuple

from node.light.cometbft.wire import Message, message
from node.light.errors import LightBlockError

_PATTERN = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?Z",
    re.ASCII,
)
_DAY_SECONDS = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
NANOS_PER_SECOND = 1_000_000_000


class Timestamp(NamedTuple):
    """A moment in UTC: POSIX seconds, negative before 1970, and 0 to 999,999,999 nanoseconds.

    Compares by time.
    """

    seconds: int
    nanos: int = 0

    def encode(self) -> Message:
        """Return google.protobuf.Timestamp."""
        return message((1, self.seconds), (2, self.nanos))

    def nanoseconds(self) -> int:
        """Return nanoseconds since 1970."""
        return self.seconds * NANOS_PER_SECOND + self.nanos


def timestamp(nanoseconds: int) -> Timestamp:
    """Return the moment so many nanoseconds after 1970."""
    return Timestamp(*divmod(nanoseconds, NANOS_PER_SECOND))


def parse_time(text: str) -> Timestamp:
    """Return the moment that an RFC 3339 text names; raises LightBlockError if it names none."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise LightBlockError("time is not RFC 3339 in UTC with at most nine digits of a second")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    if hour > 23 or minute > 59 or second > 59:
        raise LightBlockError("time of day does not exist")
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise LightBlockError("day does not exist") from error
    seconds = days * _DAY_SECONDS + hour * 3600 + minute * 60 + second
    return Timestamp(seconds, int((match[7] or "").ljust(9, "0")))


def format_time(time: Timestamp) -> str:
    """Return the RFC 3339 text of a moment, its fraction without trailing zeros, as CometBFT does.

    Raises LightBlockError for a moment outside the years 1 to 9999.
    """
    days, rest = divmod(time.seconds, _DAY_SECONDS)
    try:
        day = date.fromordinal(days + _EPOCH_DAY).isoformat()
    except (ValueError, OverflowError) as error:
        raise LightBlockError("time is outside the years 1 to 9999") from error
    fraction = f".{time.nanos:09}".rstrip("0").rstrip(".")
    return f"{day}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}{fraction}Z"
