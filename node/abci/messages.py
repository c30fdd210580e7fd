# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of ABCI 2.0, as far as this application reads and writes them: one table, no generated code.

CometBFT 0.38, `proto/tendermint/abci/types.proto`; each line stands there too, but for enumerations,
which are int32 here as they are on the wire. Fields that are left out are ignored when they come
in, as protobuf wants it. The classes are made of the table when this module is imported: a compiler
of `.proto` files, a step in the set-up, a hook in the wheel and generated modules would be four
moving parts for forty lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE: Final = "tendermint.abci"
SERVICE: Final = f"{PACKAGE}.ABCI"
# The calls of the service; each takes Request… and returns Response….
METHODS: Final = (
    "Echo", "Flush", "Info", "CheckTx", "Query", "Commit", "InitChain", "ListSnapshots",
    "OfferSnapshot", "LoadSnapshotChunk", "ApplySnapshotChunk", "PrepareProposal",
    "ProcessProposal", "ExtendVote", "VerifyVoteExtension", "FinalizeBlock",
)  # fmt: skip

RECHECK: Final = 1  # CheckTxType
ACCEPT: Final = 1  # ProposalStatus, VerifyStatus
REJECT: Final = 2  # ProposalStatus
REJECT_OFFER: Final = 3  # ResponseOfferSnapshot.Result
ABORT: Final = 2  # ResponseApplySnapshotChunk.Result
# MisbehaviorType.
MISBEHAVIOURS: Final = ("UNKNOWN", "DUPLICATE_VOTE", "LIGHT_CLIENT_ATTACK")

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "RequestEcho": ("string message = 1",),
    "ResponseEcho": ("string message = 1",),
    "RequestFlush": (),
    "ResponseFlush": (),
    "RequestInfo": (),
    "ResponseInfo": (
        "string data = 1",
        "string version = 2",
        "int64 last_block_height = 4",
        "bytes last_block_app_hash = 5",
    ),
    "PublicKey": ("bytes ed25519 = 1",),
    "ValidatorUpdate": ("PublicKey pub_key = 1", "int64 power = 2"),
    "RequestInitChain": (
        "string chain_id = 2",
        "repeated ValidatorUpdate validators = 4",
        "int64 initial_height = 6",
    ),
    "ResponseInitChain": ("bytes app_hash = 3",),
    "RequestCheckTx": ("bytes tx = 1", "int32 type = 2"),
    "ResponseCheckTx": (
        "uint32 code = 1",
        "string log = 3",
        "int64 gas_wanted = 5",
        "string codespace = 8",
    ),
    "RequestPrepareProposal": ("int64 max_tx_bytes = 1", "repeated bytes txs = 2"),
    "ResponsePrepareProposal": ("repeated bytes txs = 1",),
    "RequestProcessProposal": ("repeated bytes txs = 1",),
    "ResponseProcessProposal": ("int32 status = 1",),
    "RequestExtendVote": (),
    "ResponseExtendVote": (),
    "RequestVerifyVoteExtension": (),
    "ResponseVerifyVoteExtension": ("int32 status = 1",),
    "Validator": ("bytes address = 1", "int64 power = 3"),
    "Misbehavior": (
        "int32 type = 1",
        "Validator validator = 2",
        "int64 height = 3",
        "google.protobuf.Timestamp time = 4",
    ),
    "RequestFinalizeBlock": (
        "repeated bytes txs = 1",
        "repeated Misbehavior misbehavior = 3",
        "int64 height = 5",
        "google.protobuf.Timestamp time = 6",
    ),
    "ExecTxResult": (
        "uint32 code = 1",
        "bytes data = 2",
        "int64 gas_wanted = 5",
        "int64 gas_used = 6",
    ),
    "ResponseFinalizeBlock": (
        "repeated ExecTxResult tx_results = 2",
        "repeated ValidatorUpdate validator_updates = 3",
        "bytes app_hash = 5",
    ),
    "RequestCommit": (),
    "ResponseCommit": ("int64 retain_height = 3",),
    "RequestQuery": ("string path = 2",),
    "ResponseQuery": ("uint32 code = 1", "string log = 3"),
    "RequestListSnapshots": (),
    "ResponseListSnapshots": (),
    "RequestOfferSnapshot": (),
    "ResponseOfferSnapshot": ("int32 result = 1",),
    "RequestLoadSnapshotChunk": (),
    "ResponseLoadSnapshotChunk": ("bytes chunk = 1",),
    "RequestApplySnapshotChunk": (),
    "ResponseApplySnapshotChunk": ("int32 result = 1",),
}
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
}


def _field(line: str) -> FieldDescriptorProto:
    """Return the descriptor of a field as a `.proto` file writes it."""
    declared, _, number = line.partition(" = ")
    *repeated, kind, name = declared.split()
    field = FieldDescriptorProto(name=name, number=int(number))
    field.label = (
        FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{kind}" if "." in kind else f".{PACKAGE}.{kind}"
    return field


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(
        name="moneo/abci.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
        message_type=[
            DescriptorProto(name=name, field=map(_field, lines)) for name, lines in _FIELDS.items()
        ],
    )
    # A pool of its own: another program's tendermint.abci in this process is no clash.
    pool = DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _FIELDS
    }


# The message classes by name.
MESSAGES: Final = _classes()
