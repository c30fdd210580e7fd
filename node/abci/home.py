# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT's own folder in the node's home, made of what the node has: one founding, one key, one truth.

CometBFT 0.38, `config/toml.go` (what is not said here has CometBFT's default), `types/genesis.go` and
`privval/file.go`. Configuration and genesis document follow from `genesis.json` and the addresses
given, and are written at every start. The validator's key is written once, together with the state
that keeps CometBFT from signing a height twice: `priv_validator_state.json` is never made anew.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import MAX_MEMBERS
from node.blocks import MAX_BLOCK_BYTES, MAX_BLOCK_GAS
from node.durable import sync_folder, write_draft
from node.errors import GenesisError
from node.genesis import Genesis, load_validator_key
from node.light import validator_address

FOLDER: Final = "cometbft"
APPLICATION_SOCKET: Final = "app.sock"
RPC_SOCKET: Final = "rpc.sock"
# The longest path that a socket's address has room for (unix(7)).
_MAX_SOCKET_PATH: Final = 107
_KEY: Final = "config/priv_validator_key.json"
_STATE: Final = "data/priv_validator_state.json"
_NODE_KEY: Final = "config/node_key.json"
_PUBLIC_TYPE: Final = "tendermint/PubKeyEd25519"
_PRIVATE_TYPE: Final = "tendermint/PrivKeyEd25519"
# Evidence of misbehaviour is taken for two days, and has a sixteenth of a block.
_EVIDENCE: Final = {
    "max_age_num_blocks": "100000",
    "max_age_duration": str(48 * 3600 * 10**9),
    "max_bytes": str(MAX_BLOCK_BYTES // 16),
}


@dataclass(frozen=True, slots=True)
class Peering:
    """Where CometBFT listens to its peers (HOST:PORT), and the peers to call (ID@HOST:PORT)."""

    listen: str
    peers: tuple[str, ...] = ()


def prepare(
    home: Path,
    genesis: Genesis,
    app_hash: bytes,
    listen: str,
    new_key: Callable[[bytes], bool] = lambda _key: False,
) -> Path:
    """Write what CometBFT reads at its start and return its folder; `app_hash` is genesis's.

    It listens to its peers at `listen`, and calls whom it is told to. `new_key` answers whether a
    validator's key may take the place of the one that CometBFT has. Raises GenesisError if the key, the folder or its path cannot be used.
    """
    folder = _made(home)
    _check_socket_path(folder)
    try:
        for name in ("config", "data"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        _write_keys(folder, load_validator_key(home), new_key)
        _write(folder / "config/genesis.json", _json(genesis_document(genesis, app_hash)))
        _write(folder / "config/config.toml", _settings(folder, listen).encode())
    except OSError as error:
        raise GenesisError(
            f"không ghi được tệp của CometBFT · cannot write CometBFT's files in {folder}: {error}"
        ) from error
    return folder


def node_key(home: Path) -> Ed25519PrivateKey:
    """Return the key by which peers know this node, made if it is not there yet. Raises GenesisError."""
    path = _made(home) / _NODE_KEY
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write_node_key(path)
        value = json.loads(path.read_bytes())["priv_key"]["value"]
        seed = base64.b64decode(value, validate=True)[:32]
        return Ed25519PrivateKey.from_private_bytes(seed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenesisError(
            f"không dùng được khóa nút · {path} cannot be used as a node's key: {error}"
        ) from error


def node_id(home: Path) -> str:
    """Return the id by which peers know this node; raises GenesisError as `node_key` does."""
    return validator_address(node_key(home).public_key().public_bytes_raw()).hex()


def genesis_document(genesis: Genesis, app_hash: bytes) -> dict[str, Any]:
    """Return the genesis document that CometBFT begins this chain with."""
    return {
        "genesis_time": genesis.time,
        "chain_id": genesis.cometbft_chain_id,
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": str(MAX_BLOCK_BYTES), "max_gas": str(MAX_BLOCK_GAS)},
            "evidence": _EVIDENCE,
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": validator_address(key).hex().upper(),
                "pub_key": {"type": _PUBLIC_TYPE, "value": _base64(key)},
                "power": str(power),
                "name": "",
            }
            for key, power in genesis.validators
        ],
        "app_hash": app_hash.hex().upper(),
    }


def _settings(folder: Path, listen: str) -> str:
    # A JSON string of ASCII is a TOML string.
    return f"""\
# Written by moneo at every start.
proxy_app = {json.dumps(f"unix://{folder / APPLICATION_SOCKET}")}
abci = "grpc"
# Whom the application does not know is not let in.
filter_peers = true
# Who does not answer is called again every few seconds: `moneo node peers` says it better.
log_level = "p2p:none,*:error"

[rpc]
laddr = {json.dumps(f"unix://{folder / RPC_SOCKET}")}
# Who may enter the folder may say whom to call.
unsafe = true

[p2p]
laddr = {json.dumps(f"tcp://{listen}")}
# Members are named, not found. All may call this one, and others knock who are let in by nobody.
pex = false
max_num_inbound_peers = {2 * MAX_MEMBERS}
addr_book_strict = false
# Who may come in is said by its key: offices behind one address, or on one machine, are not one attacker.
allow_duplicate_ip = true

[consensus]
timeout_commit = "200ms"
create_empty_blocks = false

[storage]
discard_abci_responses = true

[tx_index]
indexer = "null"
"""


def _write_keys(folder: Path, key: Ed25519PrivateKey, new_key: Callable[[bytes], bool]) -> None:
    _write_node_key(folder / _NODE_KEY)
    path, public_key = folder / _KEY, key.public_key().public_bytes_raw()
    address = validator_address(public_key).hex().upper()
    if path.exists():
        if json.loads(path.read_bytes()).get("address") == address:
            return
        # What was signed stays noted: the new key signs nothing at a height that is past.
        if not new_key(public_key):
            raise GenesisError(f"{path} is not the key in validator.key")
    else:
        # The state first: a key without it would be a validator that has forgotten what it signed.
        _write(folder / _STATE, _json({"height": "0", "round": 0, "step": 0}))
    value = {
        "address": address,
        "pub_key": {"type": _PUBLIC_TYPE, "value": _base64(public_key)},
        "priv_key": _private(key),
    }
    _write(path, _json(value))


def _write_node_key(path: Path) -> None:
    if not path.exists():
        _write(path, _json({"priv_key": _private(Ed25519PrivateKey.generate())}))


def _private(key: Ed25519PrivateKey) -> dict[str, str]:
    # Go's form of a private key: the seed and then the public key.
    value = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return {"type": _PRIVATE_TYPE, "value": _base64(value)}


def _made(home: Path) -> Path:
    folder = home.resolve() / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise GenesisError(f"không ghi được · cannot make {folder}: {error.strerror}") from error
    return folder


def _check_socket_path(folder: Path) -> None:
    if len(bytes(folder / APPLICATION_SOCKET)) > _MAX_SOCKET_PATH:
        raise GenesisError(
            "đường dẫn của nút quá dài, hãy để nút ở thư mục ngắn hơn · "
            f"{folder} is too long a path for a socket: keep the node's home elsewhere"
        )


def _write(path: Path, data: bytes) -> None:
    write_draft(path, data, 0o600).replace(path)
    sync_folder(path.parent)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
