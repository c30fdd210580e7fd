# SPDX-License-Identifier: GPL-3.0-or-later
"""A log whose entries and key are known in advance, so that tests in any process agree on its roots."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.note import Signer
from anchor.tiles import Log
from node.light import merkle

ORIGIN = "camau.example/log/2026"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def entry(index: int, kind: str = "entry") -> bytes:
    """Return what stands at an index; its length varies."""
    return f"{kind} {index}\n".encode() * (1 + index % 3)


@cache
def root_of(size: int) -> bytes:
    """Return the root over the first `size` entries, computed without the log."""
    return merkle.root([merkle.leaf_hash(entry(i)) for i in range(size)])


def grow(folder: str, sizes: Sequence[int]) -> None:
    """Append up to each size in turn; note each checkpoint in `acknowledged` once append has returned."""
    with Log(Path(folder) / "log", ORIGIN, SIGNER) as log:
        for size in sizes:
            log.append([entry(i) for i in range(log.size, size)])
            with (Path(folder) / "acknowledged").open("ab") as file:
                file.write(b"%d\n" % log.size)
