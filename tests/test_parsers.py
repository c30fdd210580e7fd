# SPDX-License-Identifier: GPL-3.0-or-later
"""Every function that reads what comes from outside: whatever the bytes, its own error or a value, in time.

One table. A row names the function, what it may raise, and valid samples, which are mutated. Where there
is an encoder, what was read is written as the same bytes (`write`), so that nothing has two spellings.
`--long` draws a hundred times as many.
"""

import ast
import io
import json
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eth_account import Account
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import contracts
from anchor import (
    batch,
    checkpoint,
    codes,
    evidence,
    idempotency,
    ijson,
    importer,
    keys,
    note,
    outbox,
    photo,
    receipt,
    record,
    tiles,
    trust,
    xlsx,
)
from anchor import settings as anchor_settings
from anchor.backup import BackupError, newest_light_block
from anchor.custody import salt_entries
from anchor.errors import (
    Base64Error,
    BatchError,
    CheckpointError,
    CodeError,
    FormatError,
    IJsonError,
    KeyFileError,
    NoteError,
    ProofError,
    ReceiptError,
    RecordError,
)
from anchor.trust import TrustError
from anchor.verify import verify
from api import forms, labels, organisations, qr, sheets
from api import words as api_words
from api.index import event_time
from node import genesis, signed, transactions
from node.card import parse_card
from node.cli import parse_endpoint
from node.errors import ChainError, GenesisError, TransactionRefused
from node.founding import found, parse_founding
from node.light import (
    LightBlockError,
    LightError,
    RlpError,
    TrieNodes,
    encode_light_block,
    format_time,
    from_rpc,
    parse_header,
    parse_light_block,
    parse_time,
    rlp_decode,
    rlp_encode,
    to_rpc,
)
from node.light import verify as verify_signature
from node.rpc import hexes, logs, subscriptions
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import InvalidParams, MethodNotFound
from node.rpc.methods import METHODS
from tests.support.cards import card, cards
from tests.support.light_blocks import CHAIN_ID, light_block, signers
from tests.support.makeevidence import CRAB_LOT, ORIGIN, Made, harvest, journey, key, one_record
from tests.support.mutations import (
    BOUNDS,
    Change,
    long_ones,
    mutate,
    mutate_json,
    mutate_text,
    repack,
)
from tests.support.photographs import photograph

ROOT = Path(__file__).parents[1]
ROOMS = ("anchor", "api", "node", "contracts")
SUITE_EXAMPLES, LONG_FACTOR = 25, 100
# Bytes, and the processor seconds that any parser may take for them.
SUITE_INPUT, SUITE_SECONDS = 2**16, 2.0
LONG_INPUT, LONG_SECONDS = 2**21, 30.0
TIME = 1_790_000_000


@dataclass(frozen=True)
class Parser:
    """One row: the function by name, how it is called, what it may raise, and valid samples.

    Samples are bytes, texts or JSON values, and mutated as such. `write` is the inverse of `read`;
    with `canonical`, whatever `read` takes is exactly what `write` gives. `also` are public functions
    that go through the same reading.
    """

    name: str
    read: Callable[[Any], Any]
    errors: tuple[type[Exception], ...]
    samples: tuple[Any, ...]
    write: Callable[[Any], Any] | None = None
    canonical: bool = True
    also: tuple[str, ...] = ()


def in_file(read: Callable[[Path], Any], name: str, **others: bytes) -> Callable[[bytes], Any]:
    """Return a parser of a file's bytes for a function that takes the folder it lies in."""

    def parse(data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            for each, content in {**others, name: data}.items():
                path = Path(folder) / each
                path.write_bytes(content)
                path.chmod(0o600)
            return read(Path(folder))

    return parse


def finish(coroutine: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    """Return what a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: bytes | None = stop.value
        return result
    raise AssertionError("it waits")


def answered(body: bytes) -> Any:
    """Ask a dispatcher that knows no method; its answer is JSON to the letter."""
    answer = finish(Dispatcher(None, {}).answer(body))  # type: ignore[arg-type]
    return answer and json.loads(answer, parse_constant=pytest.fail)


def as_nodes(data: bytes) -> Any:
    """Read an account and a slot from a list of trie nodes."""
    nodes = rlp_decode(data)
    if not isinstance(nodes, list) or not all(isinstance(node, bytes) for node in nodes):
        raise RlpError("no nodes")
    found = TrieNodes([node for node in nodes if isinstance(node, bytes)])
    province, root = made().province, parse_header(made().evidence.anchors[0].header).state_root
    issuer = contracts.issuer_slot(province.owner, province.issuers[0].signer.key_hash)
    values = []
    for name, slot in (("AnchorLog", province.head_slot), ("IssuerRegistry", issuer)):
        account = found.account(root, contracts.ADDRESSES[name])
        values.append(account and found.slot(account.storage_root, slot))
    found.finish()
    return values


def shown(value: Any) -> Any:
    """Say an event's members as a page does, in both languages."""
    if not isinstance(value, dict):
        return None
    when = event_time(value)
    said: list[Any] = [when and labels.moment(when, language) for language in ("vi", "en")]
    for language in ("vi", "en"):
        said += [labels.step("epcis.objectevent", value, language), labels.rows(value, language)]
    return said


@cache
def made() -> Made:
    return one_record()


SIGNER = made().province.issuers[0].signer
LOG = made().province.signer
RECORDS = (harvest(), harvest(phone="0900").hide(["phone"]), record.salt(
    {"a": 1, "b": "é"}, type="epcis.objectevent", mode="practice", codes=[codes.parse_path("/c/x")], re=[b"\1" * 32]
))  # fmt: skip
BODY = batch.build(RECORDS, SIGNER, log=ORIGIN, seq=0, prev=batch.FIRST_PREV, time=TIME)
NOTE, PRESENTATIONS = batch.split_body(BODY)
BATCH_NOTE, BATCH_TEXT = batch.read_batch_note(NOTE)
PART = made().evidence.batches[0]
PROOF = checkpoint.parse_tlog_proof(PART.proof)
RECEIPT = receipt.Receipt(ORIGIN, batch.note_hash(BATCH_TEXT), TIME, TIME + 86_400)
LIGHT_BLOCK = light_block(signers("parsers"))
ALONE = light_block(signers("parsers", (10,)))
EVIDENCE = tuple(
    evidence.encode_evidence(one.evidence) for one in (made(), journey(3), one_record((1,) * 4))
)
TIMES = tuple(
    {"eventTime": at} for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
)
GENESIS = genesis.Genesis(
    CHAIN_ID, 3_141_592, format_time(parse_time("2026-11-22T09:00:00Z")), ((LOG.public_key, 10),), (b"\1" * 20,)
)  # fmt: skip
FOUNDING = found(
    "moneo", [(one.name, one.raw) for one in cards(2)], parse_time("2026-11-22T09:00:00Z")
)
SETTINGS = anchor_settings.Settings(
    Path("var"), "Cà Mau", ORIGIN, ("truyxuat.example",), public_url="https://a.example"
)
SETTINGS_TEXT = anchor_settings._dump(SETTINGS).encode()
SEALED = json.dumps(
    {"format": signed.FORMAT, "light_block": to_rpc(ALONE), "transactions": []}
).encode()
PEM = key("parsers").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
EVENTS = (
    b'{"type":"ObjectEvent","eventTime":"2026-07-23T07:30:00Z","bizStep":"shipping",'
    b'"epcList":["https://id.gs1.org/01/09520001000034/10/HOP-01-1"],"moneo:customer":"X"}\n' * 2
)
CSV = "Giai đoạn;Thời gian;Sản phẩm;GTIN;Lô;Số lượng;Đơn vị\nThả giống;3/3/2026 6:30;Cua;9520001000010;A;1,5;kg\n".encode()
EVENT = {
    "eventTime": "2026-07-23T07:30:00+07:00", "bizStep": "urn:epcglobal:cbv:bizstep:shipping",
    "moneo:cte": "harvest", "moneo:product": {"vi": "Cua", "en": "Crab"}, "x": [True, None, 2.5, "a"],
    "quantityList": [{"epcClass": "https://id.gs1.org/01/09520001000034/10/A", "quantity": 1550.25, "uom": "KGM"}],
}  # fmt: skip
ROW = {"stage": "Thu hoạch", "time": "22/07/2026 05:30", "product": "Cua", "gtin": "9520001000010", "lot": "L1",
       "input_gtin": "09520001000010", "input_lot": "G", "quantity": "1550,5", "unit": "kg", "serial": "12E+3"}  # fmt: skip
SAMPLE_VALUES = {
    "address": b"\1" * 20,
    "bytes20": b"\2" * 20,
    "bytes32": b"\3" * 32,
    "uint256": 7,
    "bool": True,
}
# What comes back from the upload page with a row to mend: one sheet, styles, shared texts.
WORKBOOK = sheets.marked(sheets.read("a.csv", CSV.replace(b"3/3/2026", b"3/3")))
with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as package:
    PARTS = {name: package.read(name) for name in package.namelist() if name.startswith("xl/")}
# A label as PNG, JPEG and WebP.
PHOTOS = tuple(photograph("(01)09520001000010(10)A", kind) for kind in ("PNG", "JPEG", "WEBP"))
READ_PARTS = (
    "worksheets/sheet1.xml",
    "sharedStrings.xml",
    "styles.xml",
    "workbook.xml",
    "_rels/workbook.xml.rels",
)
FORM_TYPE = "multipart/form-data; boundary=xyz"
FORM = (
    b'--xyz\r\nContent-Disposition: form-data; name="word"\r\n\r\nabc\r\n--xyz\r\nContent-Disposition: form-data; '
    b'name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\nx;y\r\n--xyz--\r\n'
)
ACCOUNT = Account.from_key("0x" + "11" * 32)
CALL = {
    "chainId": 7,
    "nonce": 3,
    "gas": 90_000,
    "to": "0x" + "22" * 20,
    "value": 0,
    "data": "0x0102",
}
TRANSACTIONS = tuple(
    bytes(ACCOUNT.sign_transaction(fields).raw_transaction)
    for fields in (
        {**CALL, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0},
        {**CALL, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "accessList": [{"address": "0x" + "22" * 20, "storageKeys": ["0x" + "01" * 32]}]},
        {**CALL, "gasPrice": 0},
    )
)  # fmt: skip
HASH, ADDRESS = "0x" + "ab" * 32, "0x" + "22" * 20
QUERY = {
    "fromBlock": "0x0",
    "toBlock": "latest",
    "address": [ADDRESS],
    "topics": [None, HASH, [HASH, HASH]],
}
REQUESTS: Sequence[list[Any]] = [
    ["eth_call", [{"to": ADDRESS, "data": "0x01", "gas": "0x5208", "from": ADDRESS}, {"blockNumber": "0x1"}]],
    ["eth_getProof", [ADDRESS, ["0x0", HASH], "latest"]], ["eth_getLogs", [QUERY]],
    ["eth_getStorageAt", [ADDRESS, "0x0", "0x1"]], ["eth_feeHistory", ["0x4", "latest", [1, 50.5]]],
    ["eth_sendRawTransaction", ["0x" + TRANSACTIONS[0].hex()]], ["eth_getBlockByNumber", ["latest", True]],
    ["eth_subscribe", ["logs", {"address": ADDRESS}]], ["moneo_getAncestry", [1, "0x2"]],
    ["eth_getTransactionByBlockHashAndIndex", [HASH, "0x0"]], ["eth_getFilterLogs", ["0x1"]],
]  # fmt: skip
RPC_BODY = json.dumps(
    [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(REQUESTS)]
).encode()
JSON_TEXT = json.dumps(
    {"a": [1, -2.5, True, None, "é\n\u20ac"], "b": {"c": {}}}, ensure_ascii=False
).encode()


def request_of(value: Any) -> Any:
    """Read the parameters of a request as its method does."""
    name, values = value if isinstance(value, list) and len(value) == 2 else ("", None)
    if not isinstance(name, str) or name not in METHODS:
        raise MethodNotFound("none")
    return METHODS[name].read(values if isinstance(values, list) else [])


def plain_texts(row: Any) -> dict[str, str]:
    """Return a row as a file can hold it: texts, and those of characters."""
    cells = row.items() if isinstance(row, dict) else ()
    return {str(k): str(v).encode("utf-8", "replace").decode() for k, v in cells}


def payload(kind: str, values: Mapping[str, Any]) -> bytes:
    """Return what a proposal to the consortium says, behind the number of its kind."""
    return bytes([contracts.kind_number(kind)]) + contracts.encode_payload(kind, **values)


def read_part(part: str, data: bytes) -> Any:
    """Read a workbook one of whose parts is these bytes."""
    return xlsx.read_xlsx(repack(WORKBOOK, part, lambda _: data))


def whole(value: Any) -> Any:
    """Judge a presentation by all ways there are: they have to agree."""
    checked = record.check_record(value)
    parsed = record.parse_record(value)
    assert (parsed.leaf_hash(), tuple(parsed.codes)) == checked
    return parsed


PAYLOADS = tuple(
    payload(kind, {name: SAMPLE_VALUES[each] for name, each in types.items()})
    for kind, types in contracts.KINDS.items()
)
# fmt: off
PARSERS: Sequence[Parser] = (
    # anchor: what a business signs and sends
    Parser("anchor.ijson.parse", partial(ijson.parse, max_bytes=LONG_INPUT), (IJsonError,), (JSON_TEXT, *EVIDENCE[:1]), ijson.encode, canonical=False),
    Parser("anchor.ijson.parse_text", ijson.parse_text, (IJsonError,), (JSON_TEXT.decode(),)),
    Parser("anchor.ijson.parse_many", lambda data: ijson.parse_many(data.split(b"\xfe")), (IJsonError,), (JSON_TEXT + b"\xfe1\xfe[]",)),
    Parser("anchor.ijson.parse_b64", ijson.parse_b64, (Base64Error,), ("AQI=", ijson.encode_b64(BODY)), ijson.encode_b64),
    Parser("anchor.ijson.parse_b64url", ijson.parse_b64url, (Base64Error,), ("AQI", ijson.encode_b64url(BODY)), ijson.encode_b64url),
    Parser("anchor.codes.parse_path", codes.parse_path, (CodeError,), (CRAB_LOT, "/01/09520001000010/10/A%2FB/21/%25", "/c/ao/1"), lambda code: code.path, canonical=False),
    Parser("anchor.codes.parse_code", codes.parse_code, (CodeError,), (CRAB_LOT, "(01)09520001000010(10)A/B(21)%", "]d20109520001000010172612311021\x1d21A")),
    Parser("anchor.codes.from_element_string", codes.from_element_string, (CodeError,), ("(01)09520001000010(10)A/B(21)%", "]d20109520001000010172612311021\x1d21A")),
    Parser("anchor.codes.from_digital_link", codes.from_digital_link, (CodeError,), (f"https://id.gs1.org{CRAB_LOT}?17=261231", f"http://[::1]:80/x{CRAB_LOT}#a")),
    Parser("anchor.record.parse_record", whole, (RecordError,), tuple(one.encode() for one in RECORDS), record.Record.encode),
    Parser("anchor.record.open_disclosure", record.open_disclosure, (RecordError,), tuple(ijson.encode_b64url(json.dumps(["A" * 22, name, value]).encode()) for name, value in EVENT.items())),
    Parser("anchor.batch.parse_batch_note", batch.parse_batch_note, (BatchError,), (BATCH_TEXT,), batch.BatchNote.encode),
    Parser("anchor.batch.read_batch_note", batch.read_batch_note, (BatchError,), (NOTE,)),
    Parser("anchor.batch.open_batch_note", lambda data: batch.open_batch_note(data, SIGNER.public_key), (BatchError, NoteError), (NOTE,)),
    Parser("anchor.batch.split_body", batch.split_body, (BatchError,), (BODY,), b"\n".join),
    Parser("anchor.batch.split_presentations", batch.split_presentations, (BatchError,), (PRESENTATIONS,), b"".join),
    Parser("anchor.batch.parse_body", batch.parse_body, (BatchError, RecordError), (BODY,), lambda body: b"".join([body.note_bytes, b"\n", *(one.encode() for one in body.records)])),
    Parser("anchor.idempotency.once", lambda text: idempotency.once(b"k", "o", text), (FormatError,), ("nhat-ky-1", '"a"')),
    Parser("anchor.keys.open_request", keys.open_request, (NoteError,), (keys.request(SIGNER),)),
    Parser("anchor.keys.load_private_key", in_file(lambda folder: keys.load_private_key(folder / "k"), "k"), (KeyFileError,), (PEM,)),
    Parser("anchor.keys.load_member_key", in_file(lambda folder: keys.load_member_key(folder / "k"), "k"), (KeyFileError,), (b"%064x\n" % 7,)),
    Parser("anchor.note.parse_verifier_key", note.parse_verifier_key, (NoteError,), (note.verifier_key(ORIGIN, LOG.public_key),), lambda pair: note.verifier_key(*pair)),
    Parser("anchor.note.split_note", note.split_note, (NoteError,), (NOTE, PROOF.checkpoint)),
    Parser("anchor.note.open_note", lambda data: note.open_note(data, LOG.name, LOG.public_key), (NoteError,), (PROOF.checkpoint,)),
    Parser("anchor.note.parse_statement", lambda data: note.parse_statement(data, "t", (("n", note.decimal(0, 9)), ("h", note.hash32), ("k", note.key_name))), (FormatError,), (b"t\nn 5\nh " + ijson.encode_b64(bytes(32)).encode() + b"\nk a.b\n",)),
    Parser("anchor.outbox.Outbox.stored", outbox.NAME.fullmatch, (), ("0000000001-0123456789abcdef-1of2.batch",)),
    Parser("anchor.importer.read_diary", lambda data: importer.read_diary("a.ndjson", data), (importer.DiaryError,), (EVENTS,)),
    Parser("anchor.importer.read_diary (csv)", lambda data: importer.read_diary("a.csv", data), (importer.DiaryError,), (CSV,)),
    Parser("anchor.importer.read_row", lambda row: importer.read_row(plain_texts(row)), (importer.CellError,), (ROW,), also=("anchor.importer.check_row", "anchor.importer.decode_text")),
    # anchor: what is handed out and read again
    Parser("anchor.receipt.parse_receipt", receipt.parse_receipt, (ReceiptError,), (RECEIPT.encode(),), receipt.Receipt.encode),
    Parser("anchor.receipt.open_receipt", lambda data: receipt.open_receipt(data, ORIGIN, LOG.public_key), (NoteError, ReceiptError), (RECEIPT.sign(LOG),)),
    Parser("anchor.checkpoint.parse_checkpoint", checkpoint.parse_checkpoint, (CheckpointError,), (note.split_note(PROOF.checkpoint)[0],), checkpoint.Checkpoint.encode),
    Parser("anchor.checkpoint.open_checkpoint", lambda data: checkpoint.open_checkpoint(data, ORIGIN, LOG.public_key), (NoteError, CheckpointError), (PROOF.checkpoint,)),
    Parser("anchor.checkpoint.parse_tlog_proof", checkpoint.parse_tlog_proof, (ProofError,), (PART.proof, replace(PROOF, extra=b"x").encode()), checkpoint.TlogProof.encode),
    Parser("anchor.tiles._split_bundle", tiles._split_bundle, (), (b"\0\1a\0\0\0\2bc",)),
    Parser("anchor.tiles._parse_name", tiles._parse_name, (), ("tile/0/x001/234.p/7", "tile/entries/000")),
    Parser("anchor.evidence.parse_evidence", evidence.parse_evidence, (evidence.EvidenceError,), EVIDENCE, evidence.encode_evidence, canonical=False),
    Parser("anchor.trust.parse_trust", trust.parse_trust, (TrustError,), (made().trust,), trust.encode_trust, canonical=False),
    Parser("anchor.trust.replaces", lambda data: trust.replaces(made().trust, data), (TrustError,), (made().trust,)),
    Parser("anchor.verify.verify", lambda data: verify(data, made().trust, CRAB_LOT, TIME), (), EVIDENCE[:1]),
    Parser("anchor.verify.verify (trust)", lambda data: verify(EVIDENCE[0], data, CRAB_LOT), (TrustError,), (made().trust,)),
    Parser("anchor.verify.verify (code)", lambda text: verify(EVIDENCE[0], made().trust, text), (CodeError,), (CRAB_LOT, f"https://a.b{CRAB_LOT}")),
    Parser("anchor.backup.newest_light_block", newest_light_block, (BackupError,), EVIDENCE[:1], also=("anchor.backup.check_log",)),
    Parser("anchor.settings.load", in_file(anchor_settings.load, "moneo.toml", version=b"1\n"), (anchor_settings.SettingsError,), (SETTINGS_TEXT,)),
    Parser("anchor.settings.load (version)", in_file(anchor_settings.load, "version", **{"moneo.toml": SETTINGS_TEXT}), (anchor_settings.SettingsError,), (b"1\n",)),
    # api: what browsers and programs send, and what records make pages say
    Parser("api.forms.parse_form", lambda data: forms.parse_form(FORM_TYPE, data), (forms.FormError,), (FORM,)),
    Parser("api.forms.parse_form (urlencoded)", lambda data: forms.parse_form(forms.URLENCODED, data), (forms.FormError,), (b"word=abc&token=moneo_%C3%A9&mode=live",)),
    Parser("api.forms.parse_form (type)", lambda text: forms.parse_form(text, FORM), (forms.FormError,), (FORM_TYPE, forms.URLENCODED)),
    Parser("anchor.photo.read_labels", photo.read_labels, (photo.PhotoError,), PHOTOS),
    Parser("anchor.xlsx.read_xlsx", xlsx.read_xlsx, (xlsx.SheetError,), (WORKBOOK, sheets.template("shrimp"))),
    *(Parser(f"anchor.xlsx.read_xlsx ({part})", partial(read_part, f"xl/{part}"), (xlsx.SheetError,), (PARTS[f"xl/{part}"],)) for part in READ_PARTS),
    Parser("api.sheets.read", lambda data: sheets.marked(checked(sheets.read("a.csv", data))), (xlsx.SheetError,), (CSV, CSV.decode().encode("utf-16"))),
    Parser("api.labels.rows", shown, (), (EVENT, *TIMES), also=("api.index.event_time",)),
    Parser("api.qr.svg", lambda text: qr.svg(qr.link("https://a.example", codes.parse_path(text))), (CodeError,), (CRAB_LOT, "/c/ao/1")),
    Parser("api.words.choose", api_words.choose, (), ("en-GB,en;q=0.9,vi;q=0.8", "text/html;q=1.0")),
    Parser("api.organisations.check_prefix", organisations.check_prefix, (organisations.OrganisationError,), ("/01/0952", CRAB_LOT)),
    # node: what clients and members send
    Parser("node.transactions.decode_transaction", lambda data: transactions.decode_transaction(data, 7), (TransactionRefused,), TRANSACTIONS, lambda transaction: transaction.encode()),
    Parser("node.rpc.dispatch", answered, (), (RPC_BODY, RPC_BODY[1:-1].partition(b', {"jsonrpc')[0])),
    Parser("node.rpc.methods.Method.read", request_of, (InvalidParams, MethodNotFound), tuple(REQUESTS)),
    Parser("node.rpc.hexes.parse_quantity", hexes.parse_quantity, (InvalidParams,), ("0x0", "0xab"), canonical=False, write=hexes.quantity),
    Parser("node.rpc.hexes.parse_data", hexes.parse_data, (InvalidParams,), ("0x", "0xab01"), canonical=False, write=hexes.data),
    Parser("node.rpc.hexes.parse_slot", hexes.parse_slot, (InvalidParams,), ("0x0", HASH)),
    Parser("node.rpc.hexes.parse_block", hexes.parse_block, (InvalidParams,), ("latest", "0x1", {"blockHash": HASH, "requireCanonical": True}), also=("node.rpc.hexes.parse_number_or_tag",)),
    Parser("node.rpc.logs.parse_query", logs.parse_query, (InvalidParams,), (QUERY,), also=("node.rpc.hexes.parse_members", "node.rpc.hexes.parse_address", "node.rpc.hexes.parse_hash", "node.rpc.hexes.parse_list", "node.rpc.hexes.parse_sized")),
    Parser("node.rpc.subscriptions.parse_open_query", subscriptions.parse_open_query, (InvalidParams,), ({"address": ADDRESS},)),
    Parser("node.rpc.subscriptions.parse_kind", subscriptions.parse_kind, (InvalidParams,), ("newHeads", "logs")),
    Parser("node.rpc.hexes.parse_count", hexes.parse_count, (InvalidParams,), (7, "0x7")),
    Parser("node.rpc.hexes.parse_flag", hexes.parse_flag, (InvalidParams,), (True, False)),
    Parser("node.cli.parse_endpoint", parse_endpoint, (typer.BadParameter,), ("127.0.0.1:8545", "[::1]:80")),
    Parser("node.card.parse_card", parse_card, (GenesisError,), (card().raw,), lambda made: made.raw, canonical=False, also=("node.shape.parse_json",)),
    Parser("node.founding.parse_founding", parse_founding, (GenesisError,), (FOUNDING.raw,), lambda made: made.raw, canonical=False),
    Parser("node.genesis.parse", genesis.parse, (GenesisError,), (genesis.encode(GENESIS),), genesis.encode, canonical=False),
    Parser("node.genesis.load", in_file(genesis.load, genesis.GENESIS_FILE), (GenesisError,), (genesis.encode(GENESIS),)),
    Parser("node.genesis.load_validator_key", in_file(genesis.load_validator_key, genesis.KEY_FILE), (GenesisError,), (PEM,)),
    Parser("node.signed.SignedFile.load", in_file(lambda folder: signed.SignedFile(folder, CHAIN_ID).load(), signed.SIGNED_FILE), (ChainError,), (SEALED,)),
    Parser("contracts.decode_payload", lambda data: contracts.decode_payload(data[0] if data else 0, data[1:]), (ValueError,), PAYLOADS, lambda found: payload(found[0], found[1])),
    # node.light: what evidence and trust files hold
    Parser("node.light.evm.rlp_decode", rlp_decode, (RlpError,), (made().evidence.anchors[0].header, *TRANSACTIONS[2:]), rlp_encode),
    Parser("node.light.evm.parse_header", parse_header, (LightError,), (made().evidence.anchors[0].header,), lambda header: header.raw),
    Parser("node.light.evm.TrieNodes", as_nodes, (LightError,), (rlp_encode(list(made().evidence.anchors[0].nodes)),)),
    Parser("node.light.cometbft.forms.from_rpc", from_rpc, (LightBlockError,), (to_rpc(LIGHT_BLOCK),), to_rpc, canonical=False, also=("node.light.cometbft.forms.parse_header_json", "node.light.cometbft.forms.parse_commit_json")),
    Parser("node.light.cometbft.forms.parse_light_block", parse_light_block, (LightBlockError,), (encode_light_block(LIGHT_BLOCK),), encode_light_block, canonical=False),
    Parser("node.light.cometbft.times.parse_time", parse_time, (LightBlockError,), ("2026-11-22T09:00:00.5Z", "0001-01-01T00:00:00Z"), format_time, canonical=False),
    Parser("node.light.ed25519.verify", lambda data: verify_signature(data[:32], data[32:96], data[96:]), (LightError,), (LOG.public_key + key(f"log {ORIGIN}").sign(b"x") + b"x",), also=("node.light.ed25519.check_public_key",)),
)
# fmt: on
# Public functions of such names that are not rows, and why.
NOT_PARSERS: Mapping[str, str] = {
    "anchor.capture.unpack": "its own database's rows, which `moneo doctor` judges",
    "anchor.capture.stored_eras": "as unpack",
    "anchor.capture.load_ancestry": "as unpack",
    "anchor.issuers.read_issuer": "as unpack",
    "anchor.pipeline.read_head": "as unpack",
    "anchor.store.read_batch": "as unpack",
    "anchor.store.PackedRecords.unpack": "as unpack",
    "anchor.store.open_engine": "opens a database",
    "anchor.store.Store.open": "opens a database",
    "anchor.store.Store.read": "begins a transaction",
    "anchor.province.Province.open": "opens a province",
    "anchor.province.read_trust": "returns bytes as they are; parse_trust reads them",
    "anchor.custody.open_signer": "load_private_key reads the file",
    "node.abci.orderer.open_comet": "starts a program",
    "node.abci.service.read_misbehaviour": "its own chain's data",
    "node.governance.read": "its own chain's state",
    "node.sequencer.open_sequencer": "load_validator_key and SignedFile read its files",
    "node.transactions.stored_transaction": "decode_transaction has let it in",
    "api.sheets.Diary.decode": "its own drafts, each written whole or not at all",
    "api.state.State.open": "opens a province",
    "api.static.Assets.open": "reads what scripts/web has built, from the program's own folder",
}
NAMES = re.compile(r"(parse|open|read|decode|load|from|split|unpack|stored)(_|$)|rlp_decode")

changes = st.lists(
    st.builds(Change, *(st.integers(0, bound) for bound in BOUNDS)), min_size=1, max_size=4
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
ANYTHING: Mapping[type, st.SearchStrategy[Any]] = {
    bytes: st.binary(max_size=300),
    str: st.text(max_size=80),
}
# What once came through as another error, by row: each has to be refused, or read.
BROKE: Sequence[tuple[str, Any]] = (
    ("anchor.settings.load", SETTINGS_TEXT.replace(b"https://a.example", b"http://[")),
    ("anchor.settings.load", SETTINGS_TEXT.replace(b"127.0.0.1:8545", b"http://[")),
    ("anchor.settings.load", b"a = " + b"[" * 30_000),
    ("anchor.xlsx.read_xlsx (styles.xml)", b'<?xml version="1.0" encoding="UTD-8"?><a/>'),
    ("anchor.xlsx.read_xlsx (styles.xml)", b'<?xml version="1.0" encoding="utf-7"?><a/>'),
    ("api.labels.rows", TIMES[0]),
    ("api.labels.rows", TIMES[1]),
    ("node.rpc.dispatch", b'{"jsonrpc": "2.0", "id": 1e999, "method": "eth_chainId"}'),
    ("node.signed.SignedFile.load", b"[" * 100_000),
)
by_name = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)


def checked(diary: sheets.Diary) -> sheets.Diary:
    """Check every row, and that what would go ahead can be salted."""
    if entries := [row.entry for row in diary.good if row.entry]:
        salt_entries(entries, "live")
    return diary


def changed(sample: Any, edits: Sequence[Change], other: Any) -> Any:
    """Return a sample mutated as what it is."""
    if isinstance(sample, bytes):
        return mutate(sample, edits, other)
    if isinstance(sample, str):
        return mutate_text(sample, edits, other if isinstance(other, str) else "")
    return mutate_json(sample, edits)


def judge(parser: Parser, value: Any) -> None:
    """Read a value: one of the parser's own errors, or something that is written as it was read."""
    try:
        found = parser.read(value)
    except parser.errors as error:
        str(error).encode()
        return
    if parser.write is None:
        return
    written = parser.write(found)
    assert not parser.canonical or written == value
    assert same(parser.read(written), found)


def same(one: Any, other: Any) -> bool:
    """Compare what was read; a transaction of py-evm's has no equality of its own kind."""
    return bool(one == other) or repr(one) == repr(other)


def kind(sample: Any) -> st.SearchStrategy[Any]:
    return ANYTHING.get(type(sample), junk)


def examples(count: int) -> Callable[[Any], Any]:
    """Settings that draw the same examples every time, and stop at the first that fails."""
    return settings(
        max_examples=count, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )  # fmt: skip


def fuzz(parser: Parser, count: int) -> None:
    samples = st.sampled_from(parser.samples)

    @examples(count)
    @given(samples, changes, samples)
    def mutations(sample: Any, edits: list[Change], other: Any) -> None:
        judge(parser, changed(sample, edits, other))

    @examples(max(10, count // 4))
    @given(kind(parser.samples[0]))
    def anything(value: Any) -> None:
        judge(parser, value)

    mutations()
    anything()


@by_name
def test_samples_are_read_and_written_as_they_were(parser: Parser) -> None:
    for sample in parser.samples:
        found = parser.read(sample)
        if parser.write and parser.canonical:
            assert parser.write(found) == sample
        elif parser.write:
            assert same(parser.read(parser.write(found)), found)


@by_name
def test_whatever_comes_is_read_or_refused_with_its_own_error(parser: Parser) -> None:
    fuzz(parser, SUITE_EXAMPLES)


@pytest.mark.long
@by_name
def test_whatever_comes_is_read_or_refused_many_times(parser: Parser) -> None:
    fuzz(parser, SUITE_EXAMPLES * LONG_FACTOR)


def exhaust(parser: Parser, size: int, seconds: float) -> None:
    """Read long inputs; processor time of this process, so that a busy machine changes nothing."""
    if not isinstance(sample := parser.samples[0], bytes | str):
        return
    data = sample.encode() if isinstance(sample, str) else sample
    for long_one in long_ones(data, size):
        value = long_one.decode("utf-8", "replace") if isinstance(sample, str) else long_one
        started = time.process_time()
        judge(parser, value)
        assert time.process_time() - started < seconds, long_one[:20]


@by_name
def test_long_input_takes_no_longer_than_it_should(parser: Parser) -> None:
    exhaust(parser, SUITE_INPUT, SUITE_SECONDS)


@pytest.mark.long
@by_name
def test_very_long_input_takes_no_longer_than_it_should(parser: Parser) -> None:
    exhaust(parser, LONG_INPUT, LONG_SECONDS)


@pytest.mark.parametrize(("name", "value"), BROKE)
def test_what_once_broke_a_parser_is_refused_or_read(name: str, value: Any) -> None:
    judge(next(parser for parser in PARSERS if parser.name == name), value)


def public_readers() -> set[str]:
    """Return every public function, method and alias of the rooms whose name says that it reads."""
    found = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                found.add(f"{module}.{node.name}")
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.add(f"{module}.{node.targets[0].id}")
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                methods = (each.name for each in node.body if isinstance(each, ast.FunctionDef))
                found |= {f"{module}.{node.name}.{method}" for method in methods}
    return {name for name in found if NAMES.match(name.rpartition(".")[2])}


def test_the_table_is_complete() -> None:
    rows = {parser.name.partition(" ")[0] for parser in PARSERS}
    covered = rows.union(*(parser.also for parser in PARSERS))
    readers = public_readers()
    assert readers - covered == NOT_PARSERS.keys()
    assert {name for name in covered if NAMES.match(name.rpartition(".")[2])} <= readers
