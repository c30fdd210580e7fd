# SPDX-License-Identifier: GPL-3.0-or-later
"""Which logs a client asks for: found by a header's bloom first, so that most blocks cost one read.

execution-apis, Filter; Yellow Paper section 4.3.1 for the bloom. Filters that a client sets up
are few, are forgotten when nobody asks for them, and hold a position, never results.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final

from eth.abc import LogAPI
from eth_bloom.bloom import BloomFilter

from node.chain import Chain
from node.rpc.errors import InvalidParams, LimitExceeded, Refused
from node.rpc.hexes import (
    BlockRef,
    data,
    parse_address,
    parse_hash,
    parse_list,
    parse_members,
    parse_number_or_tag,
)
from node.rpc.shapes import block_logs

# A block whose bloom says no costs some microseconds, one that has logs about a millisecond.
MAX_RANGE: Final = 50_000
# Whole blocks are read for their transactions; a filter goes on there when it is asked again.
MAX_TRANSACTION_RANGE: Final = 500
MAX_LOGS: Final = 2_000
MAX_ALTERNATIVES: Final = 100
MAX_TOPICS: Final = 4
MAX_FILTERS: Final = 256
FILTER_SECONDS: Final = 300.0
# Where the bloom stands in a header's RLP: before it are the list's head (3 bytes), five hashes,
# an address and the bloom's own head, all of a fixed length. Decoding it all takes a hundred times
# as long.
BLOOM: Final = slice(3 + 5 * 33 + 21 + 3, 3 + 5 * 33 + 21 + 3 + 256)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Logs of these addresses (none: of any) whose topic i is one of topics[i] (none: any)."""

    addresses: frozenset[bytes] = frozenset()
    topics: tuple[frozenset[bytes], ...] = ()

    def matches(self, log: LogAPI) -> bool:
        """Whether a log is asked for."""
        if self.addresses and bytes(log.address) not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        pairs = zip(self.topics, log.topics, strict=False)
        return all(not any_of or topic.to_bytes(32, "big") in any_of for any_of, topic in pairs)

    def blooms(self) -> list[list[int]]:
        """Return the bits of a bloom that such a log sets: of each inner list, those of one."""
        alternatives = [each for each in (self.addresses, *self.topics) if each]
        return [
            [int(BloomFilter.from_iterable([value])) for value in each] for each in alternatives
        ]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A filter with the blocks to look in: one by hash, or a range."""

    logs: LogFilter
    first: BlockRef
    last: BlockRef
    block_hash: bytes | None = None


def parse_query(value: Any) -> LogQuery:
    """Return the query that a filter object is. Raises InvalidParams."""
    members = parse_members(value, _QUERY_MEMBERS, "a filter")
    ranged = {"fromBlock", "toBlock"} & set(members)
    if "blockHash" in members and ranged:
        raise InvalidParams("a filter has either blockHash or a range")
    latest = BlockRef(tag="latest")
    return LogQuery(
        LogFilter(members.get("address", frozenset()), members.get("topics", ())),
        members.get("fromBlock", latest),
        members.get("toBlock", latest),
        members.get("blockHash"),
    )


def find_logs(chain: Chain, logs: LogFilter, numbers: range) -> list[dict[str, Any]]:
    """Return the logs in these blocks. Raises LimitExceeded for too many blocks or logs."""
    if len(numbers) > MAX_RANGE:
        raise LimitExceeded(f"at most {MAX_RANGE} blocks at a time, asked for {len(numbers)}")
    found = []
    for shaped in _matching(chain, logs, numbers):
        found.append(shaped)
        if len(found) > MAX_LOGS:
            raise LimitExceeded(f"more than {MAX_LOGS} logs: ask for fewer blocks")
    return found


@dataclass(frozen=True, slots=True)
class _Filter:
    """A client's filter: for logs or (None) for hashes, and the next block to look at."""

    query: LogQuery | None
    next: int
    asked: float
    # Hashes are those of blocks, or of the transactions in them.
    of_transactions: bool = False


class Filters:
    """The filters that clients have set up. Any thread may call."""

    def __init__(self, chain: Chain, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._clock = clock
        self._lock = Lock()
        self._filters: dict[str, _Filter] = {}

    def add(self, query: LogQuery | None, of_transactions: bool = False) -> str:
        """Set up a filter for what comes from now on; return its id. Raises LimitExceeded."""
        now = self._clock()
        with self._lock:
            for name in [n for n, f in self._filters.items() if f.asked < now - FILTER_SECONDS]:
                del self._filters[name]
            if len(self._filters) >= MAX_FILTERS:
                raise LimitExceeded(f"there are {MAX_FILTERS} filters already")
            # Random, so that one client cannot guess and use up another's.
            name = hex(secrets.randbits(127) | 1 << 127)
            next_number = self._chain.head().block_number + 1
            self._filters[name] = _Filter(query, next_number, now, of_transactions)
        return name

    def remove(self, name: str) -> bool:
        """Forget a filter; return whether there was one."""
        with self._lock:
            return self._filters.pop(name, None) is not None

    def query(self, name: str) -> LogQuery:
        """Return what a log filter asks for. Raises Refused."""
        found = self._filters.get(name)
        if found is None or found.query is None:
            raise Refused("filter not found")
        return found.query

    def changes(self, name: str) -> list[Any]:
        """Return the logs or hashes since the last time. Raises Refused."""
        head = self._chain.head().block_number
        with self._lock:
            found = self._filters.get(name)
            if found is None:
                raise Refused("filter not found")
            most = MAX_TRANSACTION_RANGE if found.of_transactions else MAX_RANGE
            upto = min(head, found.next + most - 1)
            self._filters[name] = replace(found, next=upto + 1, asked=self._clock())
        numbers = range(found.next, upto + 1)
        if found.of_transactions:
            return [data(tx.hash) for n in numbers for tx in self._chain.block_transactions(n)]
        if found.query is None:
            return [data(self._chain.hash_of(number)) for number in numbers]
        return find_logs(self._chain, found.query.logs, numbers)


def block_matches(chain: Chain, logs: LogFilter, number: int) -> Iterator[dict[str, Any]]:
    """Yield the logs of one block, however many: the gas of a block bounds them."""
    return _matching(chain, logs, (number,))


def _matching(chain: Chain, logs: LogFilter, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    blooms = logs.blooms()
    for number in numbers:
        bloom = int.from_bytes(chain.header_rlp(number)[BLOOM], "big")
        if all(any(bits & bloom == bits for bits in any_of) for any_of in blooms):
            yield from (shaped for log, shaped in block_logs(chain, number) if logs.matches(log))


def _one_or_more(parse: Callable[[Any], bytes]) -> Callable[[Any], frozenset[bytes]]:
    def parse_any(value: Any) -> frozenset[bytes]:
        values = value if isinstance(value, list) else [value]
        return frozenset(parse_list(parse, MAX_ALTERNATIVES)(values))

    return parse_any


def _topic(value: Any) -> frozenset[bytes]:
    return frozenset() if value is None else _one_or_more(parse_hash)(value)


def _topics(value: Any) -> tuple[frozenset[bytes], ...]:
    return tuple(parse_list(_topic, MAX_TOPICS)(value))


_QUERY_MEMBERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "fromBlock": parse_number_or_tag,
    "toBlock": parse_number_or_tag,
    "blockHash": parse_hash,
    "address": _one_or_more(parse_address),
    "topics": _topics,
}
