# SPDX-License-Identifier: GPL-3.0-or-later
"""Light blocks of CometBFT 0.38, the engine that orders blocks and whose signatures make them final.

types    the values
times    nanosecond timestamps
wire     protobuf, as far as it is hashed or signed
hashes   hashes and signed bytes, for verifiers and producers
verify   whether a light block is committed
forms    the two forms in JSON
"""

from node.light.cometbft.forms import (
    commit_json,
    encode_light_block,
    from_rpc,
    header_json,
    parse_commit_json,
    parse_header_json,
    parse_light_block,
    to_rpc,
)
from node.light.cometbft.hashes import (
    block_id_of,
    commit_hash,
    commit_of,
    consensus_params_hash,
    data_hash,
    encode_block,
    evidence_hash,
    header_hash,
    in_order,
    parts_of,
    results_hash,
    sign_bytes,
    validator_address,
    validators_hash,
)
from node.light.cometbft.times import Timestamp, format_time, parse_time, timestamp
from node.light.cometbft.types import (
    ABSENT,
    BLOCK_PROTOCOL,
    COMMIT,
    NIL,
    BlockId,
    Commit,
    CommitSig,
    Header,
    LightBlock,
    Validator,
    Version,
    Vote,
)
from node.light.cometbft.verify import check_minimal, minimal, verify_light_block

__all__ = [
    "ABSENT",
    "BLOCK_PROTOCOL",
    "COMMIT",
    "NIL",
    "BlockId",
    "Commit",
    "CommitSig",
    "Header",
    "LightBlock",
    "Timestamp",
    "Validator",
    "Version",
    "Vote",
    "block_id_of",
    "check_minimal",
    "commit_hash",
    "commit_json",
    "commit_of",
    "consensus_params_hash",
    "data_hash",
    "encode_block",
    "encode_light_block",
    "evidence_hash",
    "format_time",
    "from_rpc",
    "header_hash",
    "header_json",
    "in_order",
    "minimal",
    "parse_commit_json",
    "parse_header_json",
    "parse_light_block",
    "parse_time",
    "parts_of",
    "results_hash",
    "sign_bytes",
    "timestamp",
    "to_rpc",
    "validator_address",
    "validators_hash",
    "verify_light_block",
]
