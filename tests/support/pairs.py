# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of trust files: one that is pinned, and one that may take its place or breaks one rule in trying to.

docs/evidence.md, “Trust file”, numbers the rules; 0 stands for a file that is refused in itself.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from anchor.trust import Member
from node.light import LightBlock, keccak256
from tests.support.light_blocks import council, signed, signers
from tests.support.makeevidence import CHAIN_ID, FOUNDED, Province
from tests.support.shapes import CHANGES_OF_FOUR, FOUR, history


@dataclass(frozen=True)
class Pair:
    """Two trust files, and the rule by which the fresh one may not replace the pinned; None if it may."""

    pinned: bytes
    fresh: bytes
    rule: int | None = None


PAIRS: dict[str, Callable[[], Pair]] = {}


def pair(rule: int | None = None) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
    """Take up a maker of a pair under its name, with the rule that it breaks."""

    def take(make: Callable[[], Pair]) -> Callable[[], Pair]:
        @cache
        def made() -> Pair:
            return replace(make(), rule=rule)

        made.__doc__ = make.__doc__
        PAIRS[make.__name__.strip("_").replace("_", "-")] = made
        return made

    return take


def _file(known: int = 0, **changes: Any) -> bytes:
    """Return a trust file of the four's consortium that knows so many of its three changes."""
    province = history("four").province
    return province.trust_file(**{"eras": tuple(province.eras[:known]), **changes})


def _from(block: LightBlock, eras: tuple[LightBlock, ...] = ()) -> bytes:
    """Return a newer trust file that begins with this light block."""
    headers = history("four").province.headers
    header = next(one for one in headers if keccak256(one) == block.header.app_hash)
    return _file(light_block=block, header=header, eras=eras, date=FOUNDED + 9)


def _made(number: int = 0, **changes: Any) -> LightBlock:
    """Return a light block that carries an EVM block of the four's chain; `changes` are `finalize`'s."""
    province = history("four").province
    return province.finalize(number, **{"by": FOUR, **changes})


def _eras(first: int = 0) -> tuple[LightBlock, ...]:
    return tuple(history("four").province.eras[first:])


def _anchored(era: int) -> LightBlock:
    """Return a light block from within an era, which is none of the changes."""
    return history("four").anchored[era].light_block


NEWEST = CHANGES_OF_FOUR[-1]
HEIGHT = 10_000
SECONDS = FOUNDED + 10_000_000


# What replaces --------------------------------------------------------------------------------------


@pair()
def the_same_file() -> Pair:
    return Pair(_file(3), _file(3))


@pair()
def more_changes_known() -> Pair:
    return Pair(_file(), _file(3, date=FOUNDED + 9))


@pair()
def one_more_change_known() -> Pair:
    return Pair(_file(1), _file(2))


@pair()
def names_hosts_and_origins_changed() -> Pair:
    """Nobody signs them: a person confirms."""
    added = Member(b"\2" * 20, "Bến Tre", ("bentre.example",), "moneo.example/bentre/2026")
    return Pair(_file(3), _file(3, members=(added,)))


@pair()
def later_light_block_of_the_newest_era() -> Pair:
    return Pair(_file(3), _from(_anchored(3)))


@pair()
def later_light_block_and_what_came_after_it() -> Pair:
    return Pair(_file(1), _from(_anchored(1), _eras(1)))


@pair()
def light_block_after_one_that_names_the_next_set() -> Pair:
    """The pinned file's own light block ends its era."""
    return Pair(_from(_eras()[0]), _from(_anchored(1)))


@pair()
def pinned_change_and_those_after_it() -> Pair:
    return Pair(_file(3), _from(_eras()[0], _eras(1)))


@pair()
def newest_pinned_change_alone() -> Pair:
    return Pair(_file(3), _from(_eras()[2]))


@pair()
def pinned_change_and_more_than_those_after_it() -> Pair:
    return Pair(_file(2), _from(_eras()[0], _eras(1)))


@pair()
def other_votes_under_the_same_header() -> Pair:
    """What is known is known by its header."""
    block = history("four").province.genesis
    return Pair(_file(), _file(light_block=signed(block, FOUR, range(4)), date=FOUNDED + 9))


@pair()
def light_block_with_more_votes_than_needed() -> Pair:
    block = _made(1, by=FOUR, height=HEIGHT, seconds=SECONDS)
    return Pair(_file(), _from(signed(block, FOUR, range(4))))


@pair()
def light_block_below_the_pinned_one() -> Pair:
    """Of the same and only set: its word is worth no less for earlier heights."""
    return Pair(_file(), _from(_made(height=1, seconds=FOUNDED - 10)))


# What breaks rule 0: one of the two is no trust file ---------------------------------------------------


def _spoiled(data: bytes) -> bytes:
    value = json.loads(data)
    value["light_block"]["votes"] = value["light_block"]["votes"][:1]
    return json.dumps(value).encode()


@pair(0)
def fresh_file_is_refused() -> Pair:
    return Pair(_file(), _spoiled(_file(3)))


@pair(0)
def pinned_file_is_refused() -> Pair:
    return Pair(_spoiled(_file()), _file(3))


@pair(0)
def fresh_file_is_of_a_newer_format() -> Pair:
    return Pair(_file(), _file().replace(b"moneo/trust/v1", b"moneo/trust/v2"))


# Rule 1: the same chain and contracts ------------------------------------------------------------------


@pair(1)
def other_evm_chain_id() -> Pair:
    return Pair(_file(), _file(evm_chain_id=7))


@pair(1)
def other_cometbft_chain_id() -> Pair:
    return Pair(_file(), Province(council=FOUR, chain_id=CHAIN_ID[:-1] + "b").trust_file())


@pair(1)
def other_address_of_a_contract() -> Pair:
    return Pair(_file(), _with_contract("IssuerRegistry", address=b"\7" * 20))


@pair(1)
def other_code_of_a_contract() -> Pair:
    return Pair(_file(), _with_contract("AnchorLog", code_hash=bytes(32)))


def _with_contract(name: str, **changes: bytes) -> bytes:
    contracts = dict(history("four").province.trust().contracts)
    return _file(contracts={**contracts, name: replace(contracts[name], **changes)})


# Rule 2: no earlier date ---------------------------------------------------------------------------------


@pair(2)
def a_second_older() -> Pair:
    return Pair(_file(3), _file(3, date=FOUNDED - 1))


@pair(2)
def more_changes_known_but_older() -> Pair:
    return Pair(_file(1), _file(3, date=FOUNDED - 1))


# Rule 3: the light block follows from what is pinned ---------------------------------------------------------


@pair(3)
def fewer_changes_known() -> Pair:
    return Pair(_file(2), _file(1, date=FOUNDED + 9))


@pair(3)
def pinned_change_without_those_after_it() -> Pair:
    return Pair(_file(3), _from(_eras()[0], _eras(1)[:1]))


@pair(3)
def change_told_differently() -> Pair:
    """Retired founders sign a change to a thief's set, in place of the one that was."""
    thief = signers("thief", (1,))
    era = _made(1, height=_eras()[0].header.height, then=thief, seconds=SECONDS)
    return Pair(_file(3), _file(eras=(era,), date=FOUNDED + 9))


@pair(3)
def light_block_of_a_past_era() -> Pair:
    return Pair(_file(3), _from(_anchored(1), _eras(1)))


@pair(3)
def light_block_of_the_founders_below_the_pinned_one() -> Pair:
    return Pair(_file(3), _from(_made(height=1, seconds=FOUNDED - 10), _eras()))


@pair(3)
def light_block_of_the_founders_above_all_changes() -> Pair:
    """More than 2/3 of those who have handed over, at a height where others are in power."""
    return Pair(_file(3), _from(_made(1, height=HEIGHT, seconds=SECONDS)))


@pair(3)
def light_block_of_nobody() -> Pair:
    return Pair(_file(), _from(_made(1, by=council("wxyz"), height=HEIGHT, seconds=SECONDS)))


@pair(3)
def light_block_of_a_set_that_is_not_in_power_yet() -> Pair:
    return Pair(_file(2), _from(_anchored(3)))


@pair(3)
def another_light_block_at_the_pinned_height() -> Pair:
    block = history("four").province.genesis.header
    return Pair(_file(), _from(_made(1, height=block.height, seconds=block.time.seconds)))


@pair(3)
def later_height_at_an_earlier_time() -> Pair:
    return Pair(_file(), _from(_made(1, height=HEIGHT, seconds=FOUNDED - 10)))


@pair(3)
def later_height_at_the_same_time_as_the_newest_change() -> Pair:
    seconds = _eras()[2].header.time.seconds
    return Pair(_file(3), _from(_made(1, by=NEWEST, height=HEIGHT, seconds=seconds)))
