# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain answers becomes values, and what it refuses a reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import contracts
from anchor.chain import (
    Chain,
    ChainAnswerError,
    ChainError,
    ChainRefused,
    ChainUnreachable,
    Head,
    anchor_call,
    register_issuer_call,
    register_log_call,
)
from anchor.keys import load_member_key
from anchor.settings import Settings
from node.light import EMPTY_ROOT, TrieNodes, parse_header
from tests.support.anchoring import found_province, running_node, wait_until

SECRET = b"\x01".rjust(32, b"\0")
ORIGIN = sha256(b"a log").digest()
KEY_ID = sha256(b"its key").digest()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("chain") / "data")) as settings:
        yield settings


@pytest.fixture(scope="module")
def chain(settings: Settings) -> Iterator[Chain]:
    chain = Chain(settings.rpc_url, load_member_key(settings.member_key))
    signed = chain.sign(register_log_call(ORIGIN, KEY_ID), chain.nonce())
    assert chain.mined(signed.hash) is None
    chain.send(signed.raw)
    wait_until(lambda: chain.mined(signed.hash) is not None)
    yield chain
    chain.close()


def first_head(chain: Chain) -> Head:
    return Head(chain.address, KEY_ID, 0, EMPTY_ROOT, bytes(32), 1)


def test_the_head_that_events_tell_is_the_preimage_of_the_slot(chain: Chain) -> None:
    assert chain.last_head(ORIGIN) == first_head(chain)
    assert chain.head(ORIGIN) == first_head(chain).commitment()


def test_what_is_not_there_is_zero_or_none(chain: Chain) -> None:
    other = bytes(32)
    assert (chain.head(other), chain.issuer(other)) == (bytes(32), bytes(32))
    assert (chain.last_head(other), chain.last_issuer(other)) == (None, None)
    assert chain.eras() == []
    with pytest.raises(ChainRefused, match="no block"):
        chain.light_block(10**6)


def test_a_call_that_would_fail_is_refused_with_the_contracts_reason(chain: Chain) -> None:
    wrong = anchor_call(ORIGIN, first_head(chain), 1, bytes(32), [bytes(32)])
    with pytest.raises(ChainRefused, match="proof has the wrong length"):
        chain.attempt(wrong)
    chain.attempt(anchor_call(ORIGIN, first_head(chain), 1, bytes(32), []))


def test_a_strangers_call_is_refused(settings: Settings) -> None:
    stranger = Chain(settings.rpc_url, SECRET)
    try:
        with pytest.raises(ChainRefused):
            stranger.attempt(register_log_call(bytes(32), KEY_ID))
        signed = stranger.sign(register_issuer_call(KEY_ID, 1, KEY_ID), 0)
        with pytest.raises(ChainRefused):
            stranger.send(signed.raw)
    finally:
        stranger.close()


def test_signing_twice_gives_the_same_bytes(chain: Chain) -> None:
    call = register_issuer_call(KEY_ID, 1, KEY_ID)
    assert chain.sign(call, 7) == chain.sign(call, 7)
    assert chain.sign(call, 7) != chain.sign(call, 8)


def test_proofs_verify_to_the_header_of_the_block(chain: Chain) -> None:
    wait_until(lambda: chain.light_block(1) is not None)
    final = chain.light_block(1)
    assert final
    header = parse_header(final.header)
    assert final.light_block.header.app_hash == header.hash == chain.block_hash(1)
    slots = [contracts.head_slot(ORIGIN), contracts.head_slot(bytes(32))]
    proof = chain.proof("AnchorLog", slots, 1)
    account = TrieNodes(proof.account).account(header.state_root, contracts.ADDRESSES["AnchorLog"])
    assert account
    values = [
        TrieNodes(nodes).slot(account.storage_root, slot)
        for slot, nodes in zip(slots, proof.slots, strict=True)
    ]
    assert values == [first_head(chain).commitment(), bytes(32)]


def test_nobody_there_is_unreachable() -> None:
    chain = Chain("http://127.0.0.1:1", SECRET)
    with pytest.raises(ChainUnreachable):
        chain.chain_id()
    with pytest.raises(ChainUnreachable):
        chain.light_block(0)
    chain.close()


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"jsonrpc": "2.0", "id": 0, "result": {"evmHeader": "0x"}}, ChainAnswerError),
        ({"jsonrpc": "2.0", "id": 0, "result": 5}, ChainAnswerError),
        ({"jsonrpc": "2.0", "id": 0, "error": {"code": -1, "message": "no"}}, ChainRefused),
        ({"jsonrpc": "2.0", "id": 0}, ChainError),
        (None, ChainError),
    ],
)
def test_a_node_that_answers_nonsense_is_our_error(result: object, error: type[Exception]) -> None:
    class Nonsense(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>" if result is None else json.dumps(result).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Nonsense)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    chain = Chain(f"http://127.0.0.1:{server.server_port}", SECRET)
    try:
        with pytest.raises(error):
            chain.light_block(0)
        with pytest.raises(error):
            chain.proof("AnchorLog", [bytes(32)], 0)
    finally:
        chain.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_secret_is_not_shown(chain: Chain, settings: Settings) -> None:
    secret = load_member_key(settings.member_key).hex()
    assert secret not in repr(vars(chain))
    assert Path(settings.member_key).stat().st_mode & 0o777 == 0o600
