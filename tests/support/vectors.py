# SPDX-License-Identifier: GPL-3.0-or-later
"""Vectors made by other programs lie beside the checkout, read-only; this finds them.

Where they are not, a test skips and says so; under CI=true it fails, since a skip would hide that
nothing foreign was checked.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"


def vector(name: str) -> Path:
    """Return the path of a vector file or folder, or skip the test (fail it under CI=true)."""
    path = VECTORS / name
    if path.exists():
        return path
    reason = f"vectors of other programs are not beside the checkout: {name}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def vector_json(name: str) -> Any:
    """Return a vector file's decoded JSON, or skip the test (fail it under CI=true)."""
    return json.loads(vector(name).read_text())
