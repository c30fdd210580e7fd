# SPDX-License-Identifier: GPL-3.0-or-later
"""A validator's new key, from its making until it takes the old one's place, so that no height is lost.

CometBFT hands heights to a new key two heights after the block that decides on it (ABCI 2.0,
`ValidatorUpdate`): the old key is still needed for the one between, and never again. So the new key
waits in `next/` in the node's home, and takes the place of `validator.key` as soon as the node's own
chain shows both, also where that is at its next start. One rename does it. The old key is gone then:
nobody can sign past heights with what is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.application import Application
from node.durable import sync_folder
from node.errors import GenesisError
from node.genesis import KEY_FILE, load_validator_key, validator_key

NEXT_FOLDER: Final = "next"


def next_key(home: Path) -> Ed25519PrivateKey:
    """Return the key that waits to be this node's, made if there is none. Raises GenesisError."""
    folder = home / NEXT_FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return validator_key(folder)
    except OSError as error:
        raise GenesisError(
            f"không tạo được khóa · no key can be made in {folder}: {error}"
        ) from error


def take_next_key(home: Path, application: Application) -> bool:
    """Put the key that waits in its place if the members have decided on it; return whether.

    CometBFT has to be begun again with it. Raises GenesisError if the key cannot be read or moved.
    """
    path = home / NEXT_FOLDER / KEY_FILE
    if not path.exists():
        return False
    key = load_validator_key(path.parent).public_key().public_bytes_raw()
    consortium = application.chain.consortium
    if key not in [each.validator_key for each in consortium.members]:
        return False
    begun = application.era_height(consortium.era)
    # The height that shows the new set is signed by the old one.
    if begun is None or application.info().height < begun:
        return False
    try:
        path.replace(home / KEY_FILE)
        sync_folder(home)
    except OSError as error:
        raise GenesisError(
            f"không đổi được khóa · {path} cannot take its place: {error}"
        ) from error
    return True
