# SPDX-License-Identifier: GPL-3.0-or-later
"""Both JSON forms of a light block are inverse to their parsers and admit no second spelling."""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.light import (
    LightBlock,
    LightBlockError,
    encode_light_block,
    from_rpc,
    minimal,
    parse_light_block,
    to_rpc,
    verify_light_block,
)
from node.light.cometbft import parse_commit_json
from node.light.cometbft.verify import MAX_VALIDATORS
from tests.support.light_blocks import CHAIN_ID, light_block, signers
from tests.support.vectors import vector_json

BLOCK = light_block(signers("a"), silent={1})
FORMS: dict[str, tuple[Callable[[Any], LightBlock], Any]] = {
    "rpc": (from_rpc, to_rpc(BLOCK)),
    "compact": (parse_light_block, encode_light_block(BLOCK)),
}
Path = tuple[str | int, ...]


def places(obj: Any, path: Path = ()) -> list[Path]:
    """Return the path of every value in nested JSON."""
    if not isinstance(obj, dict | list):
        return [path]
    children = obj.items() if isinstance(obj, dict) else enumerate(obj)
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def at(obj: Any, path: Path) -> Any:
    for key in path:
        obj = obj[key]
    return obj


def changed(obj: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    result = copy.deepcopy(obj)
    at(result, path[:-1])[path[-1]] = value
    return result


EVERYWHERE = [(form, path) for form, (_, obj) in FORMS.items() for path in places(obj)]
JUNK: list[Any] = [
    None,
    True,
    False,
    -1,
    2**53,
    10**400,
    1.5,
    float("nan"),
    "\0",
    "x" * 1000,
    "é",
    [],
    {},
    [[]],
]


def test_real_light_blocks_survive_both_forms() -> None:
    for answer in vector_json("cometbft-light-blocks.json")["light_blocks"]:
        block = from_rpc(answer)
        assert parse_light_block(json.loads(json.dumps(encode_light_block(block)))) == block
        assert from_rpc(json.loads(json.dumps(to_rpc(block)))) == block
        expected = copy.deepcopy(answer)
        for validator in expected["validators"]:
            validator["proposer_priority"] = "0"
        assert to_rpc(block) == expected


def test_votes_left_out_become_absent_ones() -> None:
    rpc = to_rpc(minimal(light_block(signers("a"))))
    absent = {
        "block_id_flag": 1,
        "validator_address": "",
        "timestamp": "0001-01-01T00:00:00Z",
        "signature": None,
    }
    signatures = rpc["signed_header"]["commit"]["signatures"]
    assert [vote["block_id_flag"] for vote in signatures] == [2, 2, 2, 1]
    assert signatures[3] == absent
    assert parse_commit_json(
        {**rpc["signed_header"]["commit"], "signatures": [{**absent, "signature": ""}]}
    )


@pytest.mark.parametrize("form", FORMS)
def test_form_is_read_as_it_was_written(form: str) -> None:
    parse, obj = FORMS[form]
    assert parse(obj) == BLOCK


@pytest.mark.parametrize(("form", "path"), EVERYWHERE, ids=str)
def test_junk_anywhere_is_refused(form: str, path: Path) -> None:
    parse, obj = FORMS[form]
    before = at(obj, path)
    for junk in JUNK:
        # An absent vote may have no signature; a set without votes is refused where power counts.
        if (junk is None and before is None) or (junk == [] and path == ("votes",)):
            continue
        with pytest.raises(LightBlockError):
            parse(changed(obj, path, junk))


@pytest.mark.parametrize(("form", "path"), EVERYWHERE, ids=str)
def test_missing_or_surplus_member_or_item_is_refused(form: str, path: Path) -> None:
    parse, obj = FORMS[form]
    value = at(obj, path)
    if isinstance(value, dict):
        with pytest.raises(LightBlockError):
            parse(changed(obj, path, {**value, "more": 0}))
        for name in value:
            with pytest.raises(LightBlockError):
                parse(changed(obj, path, {key: value[key] for key in value if key != name}))
    elif isinstance(value, list) and path != ("votes",):
        for other in (value[1:], value[:-1], [*value, value[-1]]):
            with pytest.raises(LightBlockError):
                # Who the validators are, the compact form leaves to the header's hash.
                verify_light_block(parse(changed(obj, path, other)), CHAIN_ID)


SPELLINGS: dict[str, tuple[str, Path, Any]] = {
    "lower-case hex": ("rpc", ("signed_header", "header", "data_hash"), str.lower),
    "odd hex": ("rpc", ("signed_header", "header", "app_hash"), lambda text: text[1:]),
    "spaced hex": ("rpc", ("signed_header", "header", "app_hash"), lambda text: "00 " + text),
    "height with a zero": ("rpc", ("signed_header", "header", "height"), lambda text: "0" + text),
    "height with a sign": ("rpc", ("signed_header", "header", "height"), lambda text: "+" + text),
    "height with a space": ("rpc", ("signed_header", "header", "height"), lambda text: text + " "),
    "height with underscores": ("rpc", ("signed_header", "header", "height"), lambda _: "1_0"),
    "height in other digits": ("rpc", ("signed_header", "header", "height"), lambda _: "५"),
    "height as a number": ("rpc", ("signed_header", "header", "height"), int),
    "round as a text": ("rpc", ("signed_header", "commit", "round"), str),
    "block version with app 0": (
        "rpc",
        ("signed_header", "header", "version"),
        lambda version: {**version, "app": "0"},
    ),
    "unpadded key": ("compact", ("validators", 0, 0), lambda text: text.rstrip("=")),
    "key with a line break": ("compact", ("validators", 0, 0), lambda text: text + "\n"),
    "key with spare bits": (
        "compact",
        ("validators", 0, 0),
        lambda text: text[:-2] + chr(ord(text[-2]) + 1) + "=",
    ),
    "base64url": ("compact", ("validators", 0, 0), lambda text: "-_" + text[2:]),
    "power as a text": ("compact", ("validators", 0, 1), str),
    "power as a float": ("compact", ("validators", 0, 1), float),
    "index as a text": ("compact", ("votes", 0, 0), str),
    "short signature": ("compact", ("votes", 0, 2), lambda text: text[4:]),
    "other kind of key": (
        "rpc",
        ("validators", 0, "pub_key", "type"),
        lambda _: "tendermint/PubKeySecp256k1",
    ),
}


@pytest.mark.parametrize(("form", "path", "spell"), SPELLINGS.values(), ids=SPELLINGS)
def test_second_spelling_is_refused(form: str, path: Path, spell: Callable[[Any], Any]) -> None:
    parse, obj = FORMS[form]
    with pytest.raises(LightBlockError):
        parse(changed(obj, path, spell(at(obj, path))))


DISAGREEMENTS: dict[str, tuple[Path, Any]] = {
    "commit's height": (("signed_header", "commit", "height"), "6"),
    "commit's block": (("signed_header", "commit", "block_id", "hash"), "00" * 32),
    "vote's address": (
        ("signed_header", "commit", "signatures", 0, "validator_address"),
        "00" * 20,
    ),
    "validator's address": (("validators", 0, "address"), "00" * 20),
    "vote without a signature": (("signed_header", "commit", "signatures", 0, "signature"), None),
    "absent vote with an address": (
        ("signed_header", "commit", "signatures", 1, "validator_address"),
        "00" * 20,
    ),
    "absent vote with a time": (
        ("signed_header", "commit", "signatures", 1, "timestamp"),
        "2026-01-01T00:00:00Z",
    ),
    "vote that claims to be absent": (
        ("signed_header", "commit", "signatures", 0, "block_id_flag"),
        1,
    ),
    "vote of kind 0": (("signed_header", "commit", "signatures", 0, "block_id_flag"), 0),
    "vote of kind 4": (("signed_header", "commit", "signatures", 0, "block_id_flag"), 4),
}


@pytest.mark.parametrize(("path", "value"), DISAGREEMENTS.values(), ids=DISAGREEMENTS)
def test_parts_that_disagree_are_refused(path: Path, value: Any) -> None:
    with pytest.raises(LightBlockError):
        from_rpc(changed(FORMS["rpc"][1], path, value))


def test_validators_and_votes_are_bounded_before_they_are_read() -> None:
    compact = FORMS["compact"][1]
    for name in ("votes", "validators"):
        with pytest.raises(LightBlockError, match="at most"):
            parse_light_block({**compact, name: compact[name][:1] * (MAX_VALIDATORS + 1)})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.sampled_from(EVERYWHERE), json_values)
def test_any_json_is_read_or_refused(place: tuple[str, Path], value: Any) -> None:
    parse, obj = FORMS[place[0]]
    with suppress(LightBlockError):
        parse(changed(obj, place[1], value))
