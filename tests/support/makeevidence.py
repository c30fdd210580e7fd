# SPDX-License-Identifier: GPL-3.0-or-later
"""A province small enough for a test that makes the same bytes as a real one, without a node.

Real batches, log, signatures, light blocks and RLP headers; the EVM state lies in a real Merkle
Patricia trie (the `trie` library's) with the contracts' accounts and slots and some others beside
them. All keys and salts follow from names, so that a file made twice is the same file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

import rlp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth_typing import Address, BlockNumber, Hash32
from trie.hexary import HexaryTrie

from anchor.assemble import tree_levels, tree_path
from anchor.batch import BatchNote, codes_root, note_hash, records_root
from anchor.checkpoint import Checkpoint, TlogProof
from anchor.codes import Code, from_digital_link, parse_path
from anchor.evidence import (
    Evidence,
    EvidenceAncestry,
    EvidenceAnchor,
    EvidenceBatch,
    EvidenceFinality,
    EvidenceHead,
    EvidenceIssuer,
    EvidenceRecord,
)
from anchor.ijson import encode_b64, encode_b64url
from anchor.note import Signer, key_hash, sign
from anchor.record import Record, parse_record
from anchor.trust import Member, Trust, TrustedContract, encode_trust
from contracts import (
    ADDRESSES,
    CUSTODY,
    head_commitment,
    head_slot,
    issuer_commitment,
    issuer_slot,
)
from node.light import (
    EMPTY_CODE_HASH,
    LightBlock,
    inclusion_path,
    inclusion_ranges,
    keccak256,
    leaf_hash,
    minimal,
    root,
    root_from_inclusion,
)
from tests.support.light_blocks import Signers, light_block, signers

ORIGIN = "moneo.example/camau/2026"
CHAIN_ID = "sample-00112233445566aa"
EVM_CHAIN_ID = 95_204_711
FOUNDED = 1_790_000_000
BLOCK_SECONDS = 600
CROWD = 20
# Of the contracts as they were when the first vectors were made: the vectors stay what they are.
CODE_HASHES = {
    "AnchorLog": bytes.fromhex("f3406e5073c2195c34edcdf234a89f4ddda6084ea6625fb6e6b84a5b8d2a3ec2"),
    "IssuerRegistry": bytes.fromhex(
        "580ba917e05576a5a5b09eee708b8eb0d7d74653ccb7cb6f3e841d01149606a8"
    ),
}
CRAB_LOT = "/01/09521234000013/10/CRAB-7"
POND_LOT = "/01/09521234000020/10/POND-3"
PREFIX = "/01/09521234"


def key(name: str) -> Ed25519PrivateKey:
    """Return the Ed25519 key that follows from a name."""
    return Ed25519PrivateKey.from_private_bytes(sha256(f"key {name}".encode()).digest())


def code(text: str) -> Code:
    """Return the code of a path or link."""
    return from_digital_link(text) if "://" in text else parse_path(text)


def record(
    fields: Mapping[str, Any],
    codes: Iterable[str] = (),
    *,
    kind: str = "epcis.objectevent",
    mode: str = "live",
    supersedes: Iterable[bytes] = (),
) -> Record:
    """Return a record whose salts follow from its fields."""
    shown = "".join(_disclosure(name, fields[name]) + "~" for name in sorted(fields))
    lines = ["moneo/record/v1", f"type {kind}", f"mode {mode}"]
    lines += sorted(f"re {encode_b64url(leaf)}" for leaf in supersedes)
    lines += sorted(f"code {encode_b64url(code(one).hash())}" for one in codes)
    return parse_record("\n".join([*lines, f"~{shown}", ""]).encode())


def _disclosure(name: str, value: Any) -> str:
    text = json.dumps([name, value])
    salt = encode_b64url(sha256(text.encode()).digest()[:16])
    data = json.dumps([salt, name, value], ensure_ascii=False, separators=(",", ":"))
    return encode_b64url(data.encode())


@dataclass(frozen=True)
class Issuer:
    """A business's key and what the chain says of it."""

    signer: Signer
    custody: str
    registered: int
    revoked: int
    registration: Record


@dataclass(frozen=True)
class Batch:
    """A signed batch, its records and its index in the log."""

    issuer: Issuer
    note: bytes
    records: tuple[Record, ...]
    index: int


@dataclass(frozen=True)
class Anchored:
    """An anchored checkpoint: what evidence shows of it, the log's size it covers, the state."""

    checkpoint: bytes
    size: int
    part: EvidenceAnchor
    state: "State"
    light_block: LightBlock


@dataclass
class Province:
    """A province with its log and its chain. What stands in a field may be changed to do it wrong."""

    powers: tuple[int, ...] = (1,)
    origin: str = ORIGIN
    chain_id: str = CHAIN_ID
    name: str = "Tỉnh Mẫu (sample)"
    code_hashes: dict[str, bytes] = field(default_factory=lambda: dict(CODE_HASHES))
    issuers: list[Issuer] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    eras: list[LightBlock] = field(default_factory=list)
    # Index and size that the log's one entry has among others, which are made up as hashes.
    place: tuple[int, int] | None = None
    council: Signers | None = None
    # Other slots in each contract's storage.
    crowd: int = CROWD

    def __post_init__(self) -> None:
        self.signer = Signer(self.origin, key(f"log {self.origin}"))
        self.owner = sha256(self.origin.encode()).digest()[:20]
        self.head_slot = head_slot(sha256(self.origin.encode()).digest())
        self.validators = self.council or signers(f"validator {self.origin}", self.powers)
        self._tails: dict[str, tuple[int, bytes]] = {}
        self.mine(bytes(32))
        self.genesis = self.finalize(0)

    def issuer(
        self,
        name: str,
        prefixes: Sequence[str] = (PREFIX,),
        *,
        custody: str = "holder",
        registered: int = 1,
        revoked: int = 0,
        hide: Sequence[str] = (),
        private_key: Ed25519PrivateKey | None = None,
    ) -> Issuer:
        """Register a business's key."""
        issuer_id = sha256(name.encode()).hexdigest()[:16].translate(str.maketrans("0189", "abcd"))
        signer = Signer(f"{self.origin}/{issuer_id}", private_key or key(f"issuer {name}"))
        shown = {
            "issuer": signer.name,
            "key": encode_b64(signer.public_key),
            "prefixes": list(prefixes),
            "name": name,
        }
        registration = record(shown, kind="moneo.registration").hide(hide)
        issuer = Issuer(signer, custody, registered, revoked, registration)
        self.issuers.append(issuer)
        return issuer

    def batch(self, issuer: Issuer, records: Sequence[Record], **changes: Any) -> Batch:
        """Sign a batch and log it; `changes` replace what stands in its note."""
        seq, prev = self._tails.get(issuer.signer.name, (0, bytes(32)))
        note = BatchNote(
            log=self.origin,
            issuer=issuer.signer.name,
            seq=seq,
            prev=prev,
            time=self.time(len(self.headers)) - 60,
            size=len(records),
            root=records_root(records),
            codes=codes_root(records),
        )
        text = replace(note, **changes).encode()
        self._tails[issuer.signer.name] = (seq + 1, note_hash(text))
        self.entries.append(sign(text, issuer.signer))
        return Batch(issuer, self.entries[-1], tuple(records), len(self.entries) - 1)

    def anchor(self, *, head_block: int | None = None, **changes: Any) -> Anchored:
        """Anchor the log in a new block, final in the light block of the same height.

        `changes` replace what stands in the head.
        """
        checkpoint = self._checkpoint()
        head = EvidenceHead(
            self.owner,
            key_hash(self.origin, self.signer.public_key),
            checkpoint.size,
            checkpoint.root,
            bytes(32),
            len(self.headers) if head_block is None else head_block,
        )
        state = State(self.code_hashes, self._slots(replace(head, **changes)), self.crowd)
        header = self.mine(state.root)
        finality = EvidenceFinality(0)
        part = EvidenceAnchor(self.signer.public_key, head, header, (), finality)
        block = self.finalize(len(self.headers) - 1)
        return Anchored(checkpoint.sign(self.signer), checkpoint.size, part, state, block)

    def _checkpoint(self) -> Checkpoint:
        leaves = [leaf_hash(entry) for entry in self.entries]
        if self.place is None:
            return Checkpoint(self.origin, len(leaves), root(leaves))
        index, size = self.place
        path = made_up_path(index, size)
        return Checkpoint(self.origin, size, root_from_inclusion(leaves[0], index, size, path))

    def _slots(self, head: EvidenceHead) -> dict[str, dict[bytes, bytes]]:
        heads = {
            self.head_slot: head_commitment(
                head.owner, head.log_key_id, head.size, head.root, head.aux, head.block
            )
        }
        issuers = {
            issuer_slot(self.owner, one.signer.key_hash): issuer_commitment(
                CUSTODY[one.custody], one.registered, one.revoked, one.registration.leaf_hash()
            )
            for one in self.issuers
        }
        return {"AnchorLog": heads, "IssuerRegistry": issuers}

    def mine(self, state_root: bytes, **changes: Any) -> bytes:
        """Add an EVM block with this state; return its header's RLP. `changes` replace its fields."""
        number = len(self.headers)
        fields: dict[str, Any] = {
            "difficulty": 0,
            "block_number": BlockNumber(number),
            "gas_limit": 3_000_000,
            "gas_used": 0,
            "timestamp": self.time(number) - 30,
            "coinbase": Address(bytes(20)),
            "parent_hash": Hash32(keccak256(self.headers[-1]) if self.headers else bytes(32)),
            "state_root": Hash32(state_root),
            "extra_data": root([leaf_hash(keccak256(one)) for one in self.headers]),
            "base_fee_per_gas": 0,
        }
        self.headers.append(rlp.encode(CancunBlockHeader(**{**fields, **changes})))
        return self.headers[-1]

    def finalize(self, number: int, **changes: Any) -> LightBlock:
        """Return the light block that carries an EVM block; `changes` are of `light_block`."""
        wanted: dict[str, Any] = {
            "by": self.validators,
            "height": 10 * number + 2,
            "app_hash": keccak256(self.headers[number]),
            "seconds": self.time(number),
            "chain_id": self.chain_id,
        }
        return minimal(light_block(**{**wanted, **changes}))

    def change_validators(self, name: str, powers: tuple[int, ...]) -> LightBlock:
        """Hand the chain over to other validators, after one more EVM block."""
        return self.hand_over(signers(name, powers))

    def hand_over(self, then: Signers, **changes: Any) -> LightBlock:
        """Hand the chain over to this set, after one more EVM block; `changes` are `finalize`'s."""
        self.mine(bytes(32))
        self.eras.append(self.finalize(len(self.headers) - 1, then=then, **changes))
        self.validators = then
        return self.eras[-1]

    def time(self, number: int) -> int:
        """Return the POSIX seconds of the light block of an EVM block."""
        return FOUNDED + BLOCK_SECONDS * number

    def ancestry(self, number: int, newer: int) -> EvidenceAncestry:
        """Return how block `number` is shown among the ancestors of block `newer`."""
        leaves = [leaf_hash(keccak256(header)) for header in self.headers[:newer]]
        return EvidenceAncestry(self.headers[newer], tuple(inclusion_path(leaves, number)))

    def evidence(
        self,
        picked: Sequence[tuple[Batch, int]],
        anchored: Anchored,
        eras: Sequence[LightBlock] = (),
    ) -> Evidence:
        """Return the evidence of records (batch and index) by one anchored checkpoint."""
        batches = list({batch.note: batch for batch, _ in picked}.values())
        places = {batch.note: at for at, batch in enumerate(batches)}
        levels = [tree_levels([one.leaf_hash() for one in batch.records]) for batch in batches]
        slots = [issuer_slot(self.owner, one.issuer.signer.key_hash) for one in batches]
        nodes = anchored.state.nodes({"AnchorLog": [self.head_slot], "IssuerRegistry": slots})
        return Evidence(
            tuple(
                EvidenceRecord(
                    batch.records[index].encode(),
                    places[batch.note],
                    index,
                    tree_path(levels[places[batch.note]], index),
                )
                for batch, index in picked
            ),
            tuple(self._batch_part(batch, anchored) for batch in batches),
            (replace(anchored.part, nodes=nodes),),
            (anchored.light_block,),
            tuple(eras),
        )

    def _batch_part(self, batch: Batch, anchored: Anchored) -> EvidenceBatch:
        if self.place:
            index, path = self.place[0], made_up_path(*self.place)
        else:
            leaves = [leaf_hash(entry) for entry in self.entries[: anchored.size]]
            index, path = batch.index, inclusion_path(leaves, batch.index)
        one = batch.issuer
        return EvidenceBatch(
            batch.note,
            one.signer.public_key,
            TlogProof(index, tuple(path), anchored.checkpoint).encode(),
            0,
            EvidenceIssuer(one.custody, one.registered, one.revoked, one.registration.encode()),
        )

    def trust(self, **changes: Any) -> Trust:
        """Return the trust file of this province, from genesis on and without eras."""
        contracts = {
            name: TrustedContract(ADDRESSES[name], hash_) for name, hash_ in CODE_HASHES.items()
        }
        wanted = Trust(
            FOUNDED,
            EVM_CHAIN_ID,
            self.chain_id,
            self.genesis,
            self.headers[0],
            (),
            contracts,
            (Member(self.owner, self.name, ("moneo.example",), self.origin),),
        )
        return replace(wanted, **changes)

    def trust_file(self, **changes: Any) -> bytes:
        """Return the bytes of `trust`."""
        return encode_trust(self.trust(**changes))


class State:
    """An EVM state with the contracts, some slots each, and accounts beside them."""

    def __init__(
        self,
        code_hashes: Mapping[str, bytes],
        slots: Mapping[str, Mapping[bytes, bytes]],
        crowd: int = CROWD,
    ) -> None:
        self._storages = {name: _trie(_stored(slots[name], name, crowd)) for name in slots}
        accounts = {
            ADDRESSES[name]: _account(storage.root_hash, code_hashes[name])
            for name, storage in self._storages.items()
        }
        others = (sha256(f"account {n}".encode()).digest()[:20] for n in range(20))
        empty = HexaryTrie({}).root_hash
        accounts |= {address: _account(empty, EMPTY_CODE_HASH) for address in others}
        self._accounts = _trie(accounts)

    @property
    def root(self) -> bytes:
        """The state root."""
        return bytes(self._accounts.root_hash)

    def nodes(self, wanted: Mapping[str, Iterable[bytes]]) -> tuple[bytes, ...]:
        """Return the nodes that prove these slots of the contracts, each node once."""
        found: dict[bytes, None] = {}
        for name, slots in wanted.items():
            found |= _proof(self._accounts, ADDRESSES[name])
            for slot in slots:
                found |= _proof(self._storages[name], slot)
        return tuple(found)


def made_up_path(index: int, size: int) -> list[bytes]:
    """Return an inclusion path of the right length whose subtrees nobody has ever hashed."""
    ranges = inclusion_ranges(index, size)
    return [sha256(f"subtree {start} {end}".encode()).digest() for start, end in ranges]


def _stored(slots: Mapping[bytes, bytes], name: str, crowd: int) -> dict[bytes, bytes]:
    others = {sha256(f"{name} {n}".encode()).digest(): b"\x01" * 32 for n in range(crowd)}
    return {slot: rlp.encode(value.lstrip(b"\0")) for slot, value in {**others, **slots}.items()}


def _account(storage_root: bytes, code: bytes) -> bytes:
    return bytes(rlp.encode([b"\x01", b"", storage_root, code]))


def _trie(values: Mapping[bytes, bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for name, value in values.items():
        trie[keccak256(name)] = value
    return trie


def _proof(trie: HexaryTrie, name: bytes) -> dict[bytes, None]:
    nodes = [rlp.encode(node) for node in trie.get_proof(keccak256(name))]  # type: ignore[no-untyped-call]
    # Nodes shorter than a hash lie within their parents.
    return {node: None for at, node in enumerate(nodes) if at == 0 or len(node) >= 32}


# What most tests start from ------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A valid evidence file's value with the trust file it is proven by."""

    province: Province
    evidence: Evidence
    trust: bytes


def harvest(**more: Any) -> Record:
    """Return a harvest event of the pond's lot."""
    fields = {
        "bizStep": "commissioning",
        "eventTime": "2026-09-21T20:00:00+07:00",
        "eventTimeZoneOffset": "+07:00",
        "quantityList": [{"epcClass": f"https://id.gs1.org{CRAB_LOT}", "quantity": 120}],
        "note": "Cua gạch, thu hoạch mẫu",
    }
    return record({**fields, **more}, [CRAB_LOT])


@lru_cache(maxsize=8)
def one_record(powers: tuple[int, ...] = (1,)) -> Made:
    """Return the evidence of one record among three of its batch, in a log of two batches."""
    province = Province(powers)
    farm = province.issuer("Hợp tác xã Mẫu")
    province.issuer("Someone else", ["/01/09529999"])
    province.batch(farm, [record({"a": 1})])
    wanted = harvest(phone="+84 900 000 000").hide(["phone"])
    batch = province.batch(farm, [record({"a": 2}), wanted, record({"a": 3})])
    evidence = province.evidence([(batch, 1)], province.anchor())
    return Made(province, evidence, province.trust_file())


@lru_cache(maxsize=2)
def journey(records: int = 30, powers: tuple[int, ...] = (1,)) -> Made:
    """Return the evidence of a journey: events of one lot in batches of two businesses."""
    province = Province(powers)
    farm = province.issuer("Hợp tác xã Mẫu")
    plant = province.issuer("Nhà máy Mẫu", custody="operator")
    events = [harvest(count=number) for number in range(records)]
    batches = [
        province.batch(farm if at % 2 else plant, events[at * 5 : at * 5 + 5])
        for at in range((records + 4) // 5)
    ]
    picked = [(batch, index) for batch in batches for index in range(len(batch.records))]
    evidence = province.evidence(picked, province.anchor())
    return Made(province, evidence, province.trust_file())
