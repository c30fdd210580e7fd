# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the node's few files so that they survive a crash: the bytes first, then the name."""

import os
from pathlib import Path


def write_draft(path: Path, data: bytes, mode: int) -> Path:
    """Write the bytes of `path` beside it, have them on the disk, and return where they are."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
