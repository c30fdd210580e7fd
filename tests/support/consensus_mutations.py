# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes what validators and eras say in evidence, as somebody would who knows the format.

Random bytes seldom get past the reading of a file. These changes stay well formed: they swap, drop,
double and exchange votes, validators, eras, blocks and paths, count numbers up and down, and change
texts within their alphabets. Values are decoded JSON and are changed in place.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

HEX = "0123456789ABCDEF"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
DIGITS = "0123456789"

# A place: its container and its name or index in it.
Place = tuple[Any, Any]


def mutate_consensus(value: Any, other: Any, chance: random.Random) -> Any:
    """Return an evidence file's value with one to three changes; pieces of `other` may be put in."""
    changed = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        if blocks_of(changed):
            chance.choice(_CHANGES)(changed, other, chance)
    return changed


def blocks_of(value: Any) -> list[Any]:
    """Return the light blocks and eras of an evidence file's value."""
    return [*value["light_blocks"], *value["eras"]]


def texts_of(value: Any) -> Iterator[Place]:
    """Yield the place of every text and number within a JSON value."""
    names = value if isinstance(value, dict) else range(len(value))
    for name in names:
        if isinstance(value[name], dict | list):
            yield from texts_of(value[name])
        else:
            yield value, name


def consensus_places(value: Any) -> list[Place]:
    """Return the places that light blocks, eras and finality have."""
    parts = [*blocks_of(value), *(anchor["finality"] for anchor in value["anchors"])]
    return [place for part in parts for place in texts_of(part)]


def nudged(item: Any, chance: random.Random) -> Any:
    """Return a number counted up or down, or a text with another character of its alphabet."""
    if isinstance(item, int):
        return max(0, item + chance.choice((-1, 1, 1 << chance.randrange(53))))
    if not item:
        return chance.choice(("AB" * 32, "0"))
    at = chance.randrange(len(item))
    alphabet = HEX if set(item) <= set(HEX) else BASE64
    if item[at] in DIGITS:
        alphabet = DIGITS if alphabet == BASE64 and chance.random() < 0.8 else alphabet
    return item[:at] + chance.choice(alphabet) + item[at + 1 :]


def _nudge(value: Any, other: Any, chance: random.Random) -> None:
    container, name = chance.choice(consensus_places(value))
    container[name] = nudged(container[name], chance)


def _lists(value: Any) -> list[list[Any]]:
    found = [value["eras"], value["light_blocks"], value["records"]]
    found += [block[name] for block in blocks_of(value) for name in ("votes", "validators")]
    found += [anchor["nodes"] for anchor in value["anchors"]]
    return found + [a["finality"]["path"] for a in value["anchors"] if "path" in a["finality"]]


def _list_change(value: Any, other: Any, chance: random.Random) -> None:
    items = chance.choice(_lists(value))
    if not items:
        return
    at, to = chance.randrange(len(items)), chance.randrange(len(items))
    kind = chance.randrange(4)
    if kind == 0:
        del items[at]
    elif kind == 1:
        items.insert(to, copy.deepcopy(items[at]))
    elif kind == 2:
        items[at], items[to] = items[to], items[at]
    else:
        items.reverse()


def _exchange(value: Any, other: Any, chance: random.Random) -> None:
    """Put a part of another file's light blocks into this one's."""
    mine, theirs = chance.choice(blocks_of(value)), chance.choice(blocks_of(other))
    kind = chance.randrange(5)
    if kind == 0:
        mine.update(copy.deepcopy(theirs))
    elif kind == 1:
        name = chance.choice(tuple(mine))
        mine[name] = copy.deepcopy(theirs[name])
    elif kind == 2:
        name = chance.choice(tuple(mine["header"]))
        mine["header"][name] = copy.deepcopy(theirs["header"][name])
    elif kind == 3:
        value["eras"] = copy.deepcopy(other["eras"])
    else:
        value["eras"].insert(chance.randint(0, len(value["eras"])), copy.deepcopy(theirs))


def _exchange_vote(value: Any, other: Any, chance: random.Random) -> None:
    source = chance.choice((value, other))
    mine, theirs = chance.choice(blocks_of(value)), chance.choice(blocks_of(source))
    if mine["votes"] and theirs["votes"]:
        vote = copy.deepcopy(chance.choice(theirs["votes"]))
        mine["votes"][chance.randrange(len(mine["votes"]))] = vote
        if chance.random() < 0.5:
            mine["votes"].sort(key=lambda one: one[0])


def _exchange_finality(value: Any, other: Any, chance: random.Random) -> None:
    mine, theirs = chance.choice(value["anchors"]), chance.choice(other["anchors"])
    name = chance.choice(("finality", "finality", "header", "head", "nodes", "log_key"))
    mine[name] = copy.deepcopy(theirs[name])


def _spell(value: Any, other: Any, chance: random.Random) -> None:
    """Write a time in another way that RFC 3339 allows, or nearly."""
    votes = [vote for block in blocks_of(value) for vote in block["votes"]]
    place: Place = chance.choice(blocks_of(value))["header"], "time"
    if votes and chance.random() < 0.5:
        place = chance.choice(votes), 1
    text = str(place[0][place[1]])
    place[0][place[1]] = text[:-1] + chance.choice(("0Z", ".0Z", "z", "+00:00", "00Z", "Z"))


_CHANGES: Sequence[Callable[[Any, Any, random.Random], None]] = (
    _nudge,
    _nudge,
    _list_change,
    _list_change,
    _exchange,
    _exchange,
    _exchange_vote,
    _exchange_finality,
    _spell,
)
