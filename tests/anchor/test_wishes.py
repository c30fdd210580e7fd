# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person wants sent takes effect once, whatever happens between, and a refusal says the contract's reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

import contracts
from anchor.chain import Call, ChainRefused, ChainUnreachable
from anchor.settings import Settings
from anchor.store import Store, transactions, wishes
from anchor.wishes import FRESH_SECONDS, Outcome, WishError, WishRefused, carry, outcome, wish
from tests.support.anchoring import (
    Anchoring,
    anchoring,
    found_province,
    running_node,
    serving,
    wait_until,
)

LEAST, MOST = 1_000_000, 100_000_000


def gas_limit(limit: int) -> tuple[Any, ...]:
    """Return the arguments of a proposal that one member alone decides."""
    payload = contracts.encode_payload("gas-limit", gas_limit=limit)
    return contracts.kind_number("gas-limit"), payload, b""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A chain of one member, which all tests here share."""
    with running_node(found_province(tmp_path_factory.mktemp("wishes") / "data")) as settings:
        yield settings


@contextmanager
def opened(settings: Settings) -> Iterator[Anchoring]:
    """Open the anchor process's parts, with nothing left to do."""
    with anchoring(settings) as parts:
        parts.pipeline.advance()
        yield parts


def proposals(parts: Anchoring) -> int:
    return int(parts.chain._contracts["Consortium"].functions.proposal_count().call())


def limit(parts: Anchoring) -> int:
    return int(parts.chain._contracts["Consortium"].functions.gas_limit().call())


def sent(store: Store) -> int:
    with store.read() as connection:
        query = select(func.count()).where(transactions.c.kind == "wish")
        return int(connection.execute(query).scalar_one())


def test_a_wish_is_sent_once_and_its_block_is_known(chain: Settings) -> None:
    with opened(chain) as parts:
        before = proposals(parts)
        number = wish(parts.store, "propose", gas_limit(LEAST))
        assert wish(parts.store, "propose", gas_limit(LEAST)) == number
        assert outcome(parts.store, number) == Outcome("wanted")
        assert parts.pipeline.is_due()
        for _ in range(2):
            parts.pipeline.advance()
            found = outcome(parts.store, number)
            assert (found.state, found.block) == ("done", parts.chain.newest())
            assert (proposals(parts), limit(parts)) == (before + 1, LEAST)
        assert wish(parts.store, "propose", gas_limit(LEAST)) > number


def test_a_refusal_has_the_contracts_reason_and_costs_no_transaction(chain: Settings) -> None:
    with opened(chain) as parts:
        before = sent(parts.store)
        number = wish(parts.store, "propose", gas_limit(MOST + 1))
        parts.pipeline.advance()
        assert outcome(parts.store, number) == Outcome("refused", 0, "gas limit is out of range")
        assert sent(parts.store) == before


def test_a_process_that_dies_after_storing_sends_the_same_bytes(
    chain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(chain) as parts:
        before = proposals(parts)
        number = wish(parts.store, "propose", gas_limit(LEAST + 1))

        def dies(_raw: bytes) -> None:
            raise ChainUnreachable("killed")

        with monkeypatch.context() as patch:
            patch.setattr(parts.chain, "send", dies)
            with pytest.raises(ChainUnreachable):
                parts.pipeline.advance()
        assert outcome(parts.store, number).state == "wanted"
    with opened(chain) as parts:
        assert outcome(parts.store, number).state == "done"
        assert (proposals(parts), limit(parts)) == (before + 1, LEAST + 1)


@pytest.mark.parametrize("arrives", [True, False])
def test_what_a_node_refuses_for_now_is_not_done_twice(
    chain: Settings, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    with opened(chain) as parts:
        before, send, nonce = proposals(parts), parts.chain.send, parts.chain.nonce()
        number = wish(parts.store, "propose", gas_limit(LEAST + 2))

        def busy(raw: bytes) -> None:
            if arrives:
                send(raw)
            raise ChainRefused("not ready: send it again later")

        mined = parts.chain.mined
        with monkeypatch.context() as patch:
            patch.setattr(parts.chain, "send", busy)
            # Its block comes after the refusal: nothing is seen of it yet.
            patch.setattr(parts.chain, "mined", lambda _digest: None)
            patch.setattr(parts.chain, "nonce", lambda: nonce)
            with pytest.raises(ChainRefused):
                parts.pipeline.advance()
        waiting = outcome(parts.store, number)
        assert (waiting.state, waiting.reason) == ("wanted", "not ready: send it again later")
        with parts.store.read() as connection:
            digest = bytes(
                connection.execute(
                    select(transactions.c.hash).where(transactions.c.subject == number)
                ).scalar_one()
            )
        if arrives:
            wait_until(lambda: mined(digest) is not None)
        parts.pipeline.advance()
        assert outcome(parts.store, number).state == "done"
        assert proposals(parts) == before + 1


def test_a_failure_on_the_chain_says_why(chain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(chain) as parts:
        before, attempt = sent(parts.store), parts.chain.attempt
        number = wish(parts.store, "propose", gas_limit(1))

        def passes_once(_call: Call) -> None:
            # As if it had become impossible between trying and executing it.
            patch.setattr(parts.chain, "attempt", attempt)

        with monkeypatch.context() as patch:
            patch.setattr(parts.chain, "attempt", passes_once)
            parts.pipeline.advance()
        assert outcome(parts.store, number) == Outcome("refused", 0, "gas limit is out of range")
        assert sent(parts.store) == before + 1


def test_an_old_wish_is_not_carried_out(chain: Settings) -> None:
    with opened(chain) as parts:
        before = proposals(parts)
        number = wish(parts.store, "propose", gas_limit(LEAST + 3))
        with parts.store.write() as connection:
            long_ago = int(time.time()) - FRESH_SECONDS - 1
            connection.execute(update(wishes).values(asked_at=long_ago))
        parts.pipeline.advance()
        assert outcome(parts.store, number).state == "refused"
        assert "too old" in outcome(parts.store, number).reason
        assert proposals(parts) == before


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("register_log", (bytes(32), bytes(32))),
        ("propose", (1, b"")),
        ("propose", (1, b"", "")),
        ("propose", (True, b"", b"")),
        ("propose", (-1, b"", b"")),
        ("propose", (1 << 256, b"", b"")),
        ("propose", (1, bytes(1_025), b"")),
        ("vote", (1, 1, 1, b"")),
        ("change_hosts", (bytes(19), bytes(32))),
    ],
)
def test_only_calls_of_the_table_can_be_wished(
    tmp_path: Path, function: str, arguments: tuple[Any, ...]
) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'moneo.db'}")
    with pytest.raises(WishError, match="cannot be wished"):
        wish(store, function, arguments)
    with pytest.raises(WishError, match="no wish 1"):
        outcome(store, 1)
    store.close()


def test_a_command_waits_for_the_anchor_process(chain: Settings) -> None:
    with pytest.raises(WishError, match="nothing was sent"):
        carry(chain, "propose", gas_limit(LEAST))
    with serving(chain):
        wait_until(lambda: carry_when_it_runs(chain) > 0)
        with pytest.raises(WishRefused, match="no such proposal of this content"):
            carry(chain, "vote", (999, True, *gas_limit(LEAST)[:2]))


def carry_when_it_runs(chain: Settings) -> int:
    try:
        return carry(chain, "propose", gas_limit(LEAST + 4))
    except WishError:
        return 0
