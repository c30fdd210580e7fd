# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds programs made by others that judge what we write; a test without its judge skips and says so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str, how: str) -> str:
    """Return a program's path from .tools/bin, where scripts/tools puts it, or the folder in MONEO_TOOLS.

    Where there is none, skip the test and say how to get it; under CI=true fail.
    """
    places = [os.environ.get("MONEO_TOOLS"), str(ROOT / ".tools" / "bin")]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found:
        return found
    reason = f"{name} is not there; get it by: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def tessera_fsck(log: Path, key: str) -> str:
    """Return what tessera's fsck prints of a log folder; `key` is the log's C2SP verifier key.

    Its exit status says nothing, with one worker it can hang on a bad tile, and then too it is late.
    """
    file = log.with_name(f"{log.name}.key")
    file.write_text(key)
    command = [tool("tessera-fsck", "scripts/tools (needs Go)"), "--ui=false", "--N=16"]
    command += [f"--storage_url=file://{log}", f"--public_key={file}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return "timed out"
    return done.stdout + done.stderr
