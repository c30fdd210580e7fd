# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers and state proofs of anvil are read, and refused once anything in them is changed."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from node.light import (
    EMPTY_CODE_HASH,
    EMPTY_TRIE_ROOT,
    EvmHeader,
    HeaderError,
    LightError,
    RlpError,
    RlpItem,
    TrieError,
    TrieNodes,
    keccak256,
    parse_header,
    rlp_decode,
    rlp_encode,
)
from node.light.evm import MAX_NODE_BYTES, MAX_NODES
from tests.support.flips import flip_bit
from tests.support.vectors import vector_json

# How a header's fields are called in JSON-RPC, by position; the last four are Cancun's.
FIELDS = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
]
INTEGERS = {
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "baseFeePerGas",
    "blobGasUsed",
    "excessBlobGas",
}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def scalar(text: str) -> bytes:
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8)


def header_items(block: dict[str, Any]) -> list[RlpItem]:
    return [scalar(block[name]) if name in INTEGERS else unhex(block[name]) for name in FIELDS]


def read(header: bytes, proof: dict[str, Any], nodes: Sequence[bytes]) -> list[Any]:
    """Return all that a proof says, from the header down, with nothing left over."""
    pool = TrieNodes(nodes)
    account = pool.account(parse_header(header).state_root, unhex(proof["address"]))
    storage_root = account.storage_root if account else EMPTY_TRIE_ROOT
    slots = [pool.slot(storage_root, unhex(item["key"])) for item in proof["storageProof"]]
    pool.finish()
    return [account, *slots]


def nodes_of(proof: dict[str, Any]) -> list[bytes]:
    lists = [proof["accountProof"], *(item["proof"] for item in proof["storageProof"])]
    return list(dict.fromkeys(unhex(node) for nodes in lists for node in nodes))


Case = tuple[dict[str, Any], bytes, dict[str, Any]]


def anvil() -> Iterator[Case]:
    """Yield each answer's block, header RLP and proof."""
    for answer in vector_json("anvil-proofs.json")["answers"]:
        header = rlp_encode(header_items(answer["block"]))
        for name in ("proof", "absent_account"):
            yield answer["block"], header, answer[name]


@pytest.fixture
def cases() -> list[Case]:
    return list(anvil())


def test_anvils_headers_hash_to_their_hashes(cases: list[Case]) -> None:
    for block, rlp, _ in cases:
        header = parse_header(rlp)
        assert header.raw == rlp
        assert header.hash == unhex(block["hash"])
        assert header.parent_hash == unhex(block["parentHash"])
        assert header.state_root == unhex(block["stateRoot"])
        assert header.number == int(block["number"], 16)
        assert header.gas_limit == int(block["gasLimit"], 16)
        assert header.timestamp == int(block["timestamp"], 16)
        assert header.base_fee == int(block["baseFeePerGas"], 16)
        assert header.extra_data == unhex(block["extraData"])


def test_anvils_proofs_say_what_anvil_says(cases: list[Case]) -> None:
    present = 0
    for _, header, proof in cases:
        account, *slots = read(header, proof, nodes_of(proof))
        assert slots == [int(item["value"], 16).to_bytes(32) for item in proof["storageProof"]]
        present += sum(map(any, slots))
        if account is None:
            assert int(proof["nonce"], 16) == 0
        else:
            assert account.nonce == int(proof["nonce"], 16)
            assert account.balance == int(proof["balance"], 16)
            assert account.storage_root == unhex(proof["storageHash"])
            assert account.code_hash == unhex(proof["codeHash"])
    assert present == 1 + 2 + 3 + 5


def test_dropped_node_is_refused(cases: list[Case]) -> None:
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        for index in range(len(nodes)):
            with pytest.raises(TrieError, match="missing"):
                read(header, proof, [*nodes[:index], *nodes[index + 1 :]])


def test_surplus_node_is_refused(cases: list[Case]) -> None:
    everything = {node for _, _, proof in cases for node in nodes_of(proof)}
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        for surplus in [*everything.difference(nodes), b"\x80", b"\xc0", b""]:
            with pytest.raises(TrieError, match="belong to no proof"):
                read(header, proof, [*nodes, surplus])


def test_doubled_node_is_refused(cases: list[Case]) -> None:
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        for node in nodes:
            with pytest.raises(TrieError, match="twice"):
                read(header, proof, [*nodes, node])


def test_order_of_nodes_does_not_matter(cases: list[Case]) -> None:
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        assert read(header, proof, nodes[::-1]) == read(header, proof, nodes)


def test_every_flipped_bit_of_every_node_is_refused(cases: list[Case]) -> None:
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        for index, node in enumerate(nodes):
            for bit in range(len(node) * 8):
                if bit % 8 == bit // 8 % 8:
                    refuse_flip(header, proof, nodes, index, bit)


@pytest.mark.long
def test_every_flipped_bit_of_every_node_is_refused_in_all_positions(cases: list[Case]) -> None:
    for _, header, proof in cases:
        nodes = nodes_of(proof)
        for index, node in enumerate(nodes):
            for bit in range(len(node) * 8):
                refuse_flip(header, proof, nodes, index, bit)


def refuse_flip(
    header: bytes, proof: dict[str, Any], nodes: list[bytes], index: int, bit: int
) -> None:
    with pytest.raises(TrieError):
        read(header, proof, [*nodes[:index], flip_bit(nodes[index], bit), *nodes[index + 1 :]])


def test_every_flipped_bit_of_a_header_changes_its_hash_or_is_refused(cases: list[Case]) -> None:
    block, rlp, _ = cases[0]
    for bit in range(len(rlp) * 8):
        try:
            header = parse_header(flip_bit(rlp, bit))
        except LightError:
            continue
        assert header.hash != unhex(block["hash"])


def header(**changes: RlpItem) -> list[RlpItem]:
    """Return the fields of a small valid header with some of them changed."""
    widths = [32, 32, 20, 32, 32, 32, 256, 0, 1, 3, 0, 4, 32, 32, 8, 0]
    items: dict[str, RlpItem] = {
        name: b"\1" * width for name, width in zip(FIELDS, widths, strict=False)
    }
    return list((items | changes).values())


def parse(items: RlpItem) -> EvmHeader:
    return parse_header(rlp_encode(items))


def test_header_of_sixteen_fields_and_of_more_is_read() -> None:
    assert parse(header()).number == 1
    assert parse([*header(), b"", b"\0\0", b"\xff" * 100]).hash != parse(header()).hash


BAD_HEADERS: dict[str, RlpItem] = {
    "a string": b"header",
    "empty": [],
    "a field too few": header()[:15],
    "too many fields": [*header(), *[b""] * 17],
    "a list among the fields": header(extraData=[]),
    "a list after the fields": [*header(), []],
    "short parent hash": header(parentHash=b"\1" * 31),
    "long state root": header(stateRoot=b"\1" * 33),
    "short coinbase": header(miner=b"\1" * 19),
    "short bloom": header(logsBloom=b"\1" * 255),
    "short nonce": header(nonce=b"\1" * 7),
    "number with a leading zero": header(number=b"\0\1"),
    "number zero as a byte": header(number=b"\0"),
    "number of nine bytes": header(number=b"\1" * 9),
    "timestamp of nine bytes": header(timestamp=b"\1" * 9),
    "difficulty of 33 bytes": header(difficulty=b"\1" * 33),
}


@pytest.mark.parametrize("items", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_malformed_header_is_refused(items: RlpItem) -> None:
    with pytest.raises(HeaderError):
        parse(items)


def test_header_beyond_the_bound_is_refused() -> None:
    with pytest.raises(RlpError, match="longer"):
        parse(header(extraData=b"\1" * 4000))


def test_empty_trie_lacks_everything_without_a_node() -> None:
    pool = TrieNodes([])
    assert pool.account(EMPTY_TRIE_ROOT, bytes(20)) is None
    assert pool.slot(EMPTY_TRIE_ROOT, bytes(32)) == bytes(32)
    pool.finish()


def test_hashes_of_nothing_are_ethereums() -> None:
    assert EMPTY_TRIE_ROOT.hex().startswith("56e81f171bcc55a6ff8345e692c0f86e")
    assert EMPTY_CODE_HASH.hex().startswith("c5d2460186f7233c927e7db2dcc703c0")


KEY = bytes(32)
PATH = keccak256(KEY)
ACCOUNT: list[RlpItem] = [b"", b"", EMPTY_TRIE_ROOT, EMPTY_CODE_HASH]


def leaf(path: str, value: bytes) -> list[RlpItem]:
    """Return a leaf for a path given in hex digits."""
    prefix = "3" if len(path) % 2 else "20"
    return [bytes.fromhex(prefix + path), value]


def extension(path: str, child: RlpItem) -> list[RlpItem]:
    prefix = "1" if len(path) % 2 else "00"
    return [bytes.fromhex(prefix + path), child]


def branch(nibble: str, child: RlpItem, value: bytes = b"") -> list[RlpItem]:
    children: list[RlpItem] = [b""] * 16
    children[int(nibble, 16)] = child
    return [*children, value]


def value_under_key(root: RlpItem, *others: RlpItem, key: bytes = KEY) -> bytes:
    nodes = [rlp_encode(node) for node in (root, *others)]
    pool = TrieNodes(nodes)
    value = pool.slot(keccak256(nodes[0]), key)
    pool.finish()
    return value


def stored(number: int) -> bytes:
    return rlp_encode(scalar(hex(number)))


SEVEN = stored(7)
DIGITS = PATH.hex()


def ref(node: RlpItem) -> bytes:
    return keccak256(rlp_encode(node))


def test_leaf_extension_and_branch_are_followed() -> None:
    seven = (7).to_bytes(32)
    assert value_under_key(leaf(DIGITS, SEVEN)) == seven
    deep = leaf(DIGITS[1:], SEVEN)
    assert value_under_key(branch(DIGITS[0], ref(deep)), deep) == seven
    deep = leaf(DIGITS[4:], SEVEN)
    middle = branch(DIGITS[3], ref(deep))
    assert value_under_key(extension(DIGITS[:3], ref(middle)), middle, deep) == seven


def test_node_inside_another_is_followed() -> None:
    # Only where few nibbles are left is a node short enough: under 59 of them in one extension.
    inner = branch(DIGITS[62], leaf(DIGITS[63:], SEVEN))
    assert len(rlp_encode(inner)) < 32
    assert value_under_key(extension(DIGITS[:62], inner)) == (7).to_bytes(32)


def test_absence_is_proven_by_what_stands_in_the_way() -> None:
    other = keccak256(b"another").hex()
    assert other[0] != DIGITS[0]
    assert value_under_key(leaf(other, SEVEN)) == bytes(32)
    assert value_under_key(branch(other[0], b"\1" * 32)) == bytes(32)
    assert value_under_key(extension(other[:5], b"\1" * 32)) == bytes(32)


INNER_TOO_LONG = branch(DIGITS[62], leaf(DIGITS[63:], b"\x8d" + b"\1" * 13))
APART_TOO_SHORT = branch(DIGITS[62], leaf(DIGITS[63:], SEVEN))
BAD_TRIES: dict[str, list[RlpItem]] = {
    "a string": [b"node" * 10],
    "no item": [[]],
    "three items": [[b" ", b"a", b"b"]],
    "sixteen items": [[b""] * 16],
    "eighteen items": [[b""] * 18],
    "branch with a value": [branch("0" if DIGITS[0] != "0" else "1", b"\1" * 32, b"value")],
    "short reference": [branch(DIGITS[0], b"\1" * 31)],
    "empty reference of an extension": [extension(DIGITS[:3], b"")],
    "extension without a path": [extension("", b"\1" * 32)],
    "extension to the key's end": [extension(DIGITS, b"\1" * 32)],
    "leaf that ends early": [leaf(DIGITS[:62], SEVEN)],
    "leaf beyond the key's end": [leaf(DIGITS + "00", SEVEN)],
    "leaf without a path": [leaf("", SEVEN)],
    "leaf that holds a list": [[leaf(DIGITS, b"")[0], [SEVEN]]],
    "path of a list": [[[b"\x20"], SEVEN]],
    "empty path": [[b"", SEVEN]],
    "path with an unknown prefix": [[b"\x40" + PATH, SEVEN]],
    "path with bad padding": [[b"\x21" + PATH, SEVEN]],
    "node inside that is too long": [extension(DIGITS[:62], INNER_TOO_LONG)],
    "node apart that is too short": [
        extension(DIGITS[:62], ref(APART_TOO_SHORT)),
        APART_TOO_SHORT,
    ],
    "value zero": [leaf(DIGITS, b"\x80")],
    "value zero as a byte": [leaf(DIGITS, b"\0")],
    "value with a leading zero": [leaf(DIGITS, rlp_encode(b"\0\7"))],
    "value of 33 bytes": [leaf(DIGITS, rlp_encode(b"\1" * 33))],
    "value of a list": [leaf(DIGITS, b"\xc1\7")],
    "value that is not RLP": [leaf(DIGITS, b"\x81\7")],
    "no value": [leaf(DIGITS, b"")],
}


@pytest.mark.parametrize("nodes", BAD_TRIES.values(), ids=BAD_TRIES)
def test_malformed_trie_is_refused(nodes: list[RlpItem]) -> None:
    with pytest.raises(TrieError):
        value_under_key(nodes[0], *nodes[1:])


BAD_ACCOUNTS: dict[str, RlpItem] = {
    "a string": b"account",
    "three fields": ACCOUNT[:3],
    "five fields": [*ACCOUNT, b""],
    "a list among the fields": [[], *ACCOUNT[1:]],
    "four fields and a list": [*ACCOUNT, []],
    "nonce with a leading zero": [b"\0\1", *ACCOUNT[1:]],
    "nonce of nine bytes": [b"\1" * 9, *ACCOUNT[1:]],
    "balance of 33 bytes": [b"", b"\1" * 33, *ACCOUNT[2:]],
    "short storage root": [*ACCOUNT[:2], b"\1" * 31, EMPTY_CODE_HASH],
    "no code hash": [*ACCOUNT[:3], b""],
}


@pytest.mark.parametrize("account", BAD_ACCOUNTS.values(), ids=BAD_ACCOUNTS)
def test_malformed_account_is_refused(account: RlpItem) -> None:
    node = rlp_encode(leaf(keccak256(bytes(20)).hex(), rlp_encode(account)))
    with pytest.raises(TrieError):
        TrieNodes([node]).account(keccak256(node), bytes(20))


def test_account_that_is_not_rlp_is_refused() -> None:
    node = rlp_encode(leaf(keccak256(bytes(20)).hex(), b"\xff"))
    with pytest.raises(TrieError):
        TrieNodes([node]).account(keccak256(node), bytes(20))


def test_node_that_is_not_rlp_is_refused() -> None:
    with pytest.raises(TrieError, match="not RLP"):
        TrieNodes([b"\xff"]).slot(keccak256(b"\xff"), KEY)


def test_too_many_or_too_long_nodes_are_refused() -> None:
    TrieNodes(number.to_bytes(2) for number in range(MAX_NODES))
    with pytest.raises(TrieError, match="too many"):
        TrieNodes(number.to_bytes(2) for number in range(MAX_NODES + 1))
    with pytest.raises(TrieError, match="too long"):
        TrieNodes([bytes(MAX_NODE_BYTES + 1)])


@pytest.mark.parametrize("size", [0, 19, 21, 32])
def test_address_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(TrieError, match="address"):
        TrieNodes([]).account(EMPTY_TRIE_ROOT, bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_slot_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(TrieError, match="slot"):
        TrieNodes([]).slot(EMPTY_TRIE_ROOT, bytes(size))


def test_nodes_may_be_shared_between_proofs(cases: list[Case]) -> None:
    _, rlp, proof = cases[0]
    root = parse_header(rlp).state_root
    pool = TrieNodes(nodes_of(cases[0][2]))
    account = pool.account(root, unhex(proof["address"]))
    assert pool.account(root, unhex(proof["address"])) == account
    # The same nodes prove that another account is not there.
    assert pool.account(root, unhex(cases[1][2]["address"])) is None


def test_decoded_node_is_encoded_as_it_was(cases: list[Case]) -> None:
    for _, _, proof in cases:
        for node in nodes_of(proof):
            assert rlp_encode(rlp_decode(node)) == node
