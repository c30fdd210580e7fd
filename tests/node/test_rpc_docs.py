# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/rpc.md says what there is: each method with as many parameters as it takes, each error, the limits."""

from __future__ import annotations

import re

import pytest

from node import calls, mempool, run
from node.rpc import dispatch, errors, hexes, logs, methods, server, sockets, subscriptions
from tests.support.tools import ROOT

PAGE = (ROOT / "docs" / "rpc.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def test_table_has_the_methods_in_order() -> None:
    assert [row[0].strip("`") for row in rows("Methods")] == list(methods.METHODS)


def test_table_has_as_many_parameters_as_a_method_takes() -> None:
    for name, parameters, _ in rows("Methods"):
        listed = [each for each in re.split(r", (?!or)|and a ", parameters) if each]
        params = methods.METHODS[name.strip("`")].params
        assert len(listed) == len(params), name
        optional = [param.default is not ... for param in params]
        assert [each.endswith("?") for each in listed] == optional, name


def test_table_has_the_errors() -> None:
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.RpcError) and hasattr(each, "code")
    ]
    assert {int(row[0]) for row in rows("Errors")} == {kind.code for kind in kinds}


MIB = 1024 * 1024
LIMITS = {
    "body or message": (server.MAX_BODY_BYTES // MIB, server.BODY_SECONDS),
    "requests in a batch": (dispatch.MAX_BATCH, dispatch.MAX_ANSWER_BYTES // MIB),
    "connections over HTTP": (run.MAX_CONNECTIONS, sockets.MAX_SOCKETS, 503),
    "requests or batches": (sockets.IN_FLIGHT,),
    "subscriptions of": (subscriptions.MAX_SUBSCRIPTIONS, logs.MAX_FILTERS, logs.FILTER_SECONDS),
    "unread by": (sockets.STALL_SECONDS, sockets.MAX_UNREAD_BYTES // MIB),
    "gas and time": (calls.SECONDS, calls.QUEUE_SECONDS),
    "addresses of an access": (methods.MAX_ACCESS_ADDRESSES, methods.MAX_ACCESS_SLOTS),
    "blocks of a log": (logs.MAX_RANGE, logs.MAX_LOGS),
    "addresses of a filter": (logs.MAX_ALTERNATIVES,),
    "slots of a proof": (methods.MAX_PROOF_SLOTS,),
    "transactions waiting": (mempool.MAX_COUNT, mempool.MAX_BYTES // MIB, mempool.NONCE_WINDOW),
}


@pytest.mark.parametrize("what", LIMITS)
def test_limits_are_the_programs(what: str) -> None:
    (said,) = [row[1] for row in rows("Limits") if row[0].startswith(what)]
    numbers = [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", said)]
    assert numbers == list(LIMITS[what])


def test_tags_are_named() -> None:
    assert all(f"`{tag}`" in PAGE for tag in hexes.TAGS)
