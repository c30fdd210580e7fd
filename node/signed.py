# SPDX-License-Identifier: GPL-3.0-or-later
"""So that a validator never signs two blocks of one height, whatever becomes of its chain's folder.

`signed.json` in a node's home holds the newest block that its key has voted for: transactions and
light block. It is on the disk before the block is committed, and so before anybody can see the
vote. LevelDB takes a log that was cut short for one whose end was never written; with this file
beside it, what the chain has lost is seen. One height short: the same block is made again, with
the same vote. More: the node refuses to sign until it has got its blocks back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.durable import sync_folder, write_draft
from node.errors import ChainError
from node.light import LightBlock, LightError, data_hash, from_rpc, to_rpc, verify_light_block

SIGNED_FILE: Final = "signed.json"
# Its presence means that blocks may have been signed after the backup which this home came from.
RESTORED_FILE: Final = "restored"
FORMAT: Final = "moneo/signed/v1"
# A full block in base64, with room for its header and vote.
MAX_SIGNED_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Signed:
    """A block that was voted for: its transactions and its light block."""

    light_block: LightBlock
    transactions: tuple[bytes, ...] = ()

    @property
    def height(self) -> int:
        """The block's height."""
        return self.light_block.header.height


class SignedFile:
    """The file of one validator; one process writes it, the one that holds the chain's lock."""

    def __init__(self, home: Path, chain_id: str) -> None:
        self.path = home / SIGNED_FILE
        self._chain_id = chain_id

    def load(self) -> Signed | None:
        """Return the newest block voted for, None if none has been. Raises ChainError."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_SIGNED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ChainError(
                f"không đọc được · cannot read {self.path}: {error.strerror}"
            ) from error
        try:
            return self._parse(data)
        except (LightError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ChainError(
                "tệp ghi chữ ký cuối bị hỏng, hãy khôi phục nó từ bản sao lưu · "
                f"{self.path} is damaged, so that what was signed last is not known: restore it "
                f"from a backup (docs/reliability.md): {error}"
            ) from error

    def keep(self, light_block: LightBlock, transactions: Sequence[bytes]) -> None:
        """Put a vote on the disk, before it is used. Raises ChainError if that cannot be done."""
        value = {
            "format": FORMAT,
            "light_block": to_rpc(light_block),
            "transactions": [base64.b64encode(each).decode("ascii") for each in transactions],
        }
        try:
            _write(self.path, json.dumps(value, separators=(",", ":")).encode("ascii"))
        except OSError as error:
            raise ChainError(
                f"không ghi được · cannot write {self.path}: {error.strerror}"
            ) from error

    def _parse(self, data: bytes) -> Signed:
        if len(data) > MAX_SIGNED_BYTES:
            raise ValueError("too long")
        value: Any = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError("of another format")
        light_block = from_rpc(value["light_block"])
        verify_light_block(light_block, self._chain_id)
        transactions = tuple(
            base64.b64decode(each, validate=True) for each in value["transactions"]
        )
        if light_block.header.data_hash != data_hash(transactions):
            raise ValueError("other transactions than were signed")
        return Signed(light_block, transactions)


def _write(path: Path, data: bytes) -> None:
    write_draft(path, data, 0o600).replace(path)
    sync_folder(path.parent)
