# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the Vyper sources into the artifacts that genesis places and verifiers pin.

`python -m contracts.build` writes `contracts/artifacts/*.json`; `--check` writes nothing and ends
with status 1 when an artifact is not the exact output for its source. This is the only module of
the room that needs the compiler.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vyper import __long_version__
from vyper.compiler import compile_code
from vyper.compiler.settings import OptimizationLevel, Settings

from contracts import CONTRACTS

FOLDER = Path(__file__).parent
# Vyper 0.4.3 targets Prague unless told otherwise; the chain runs Cancun.
EVM_VERSION = "cancun"
OPTIMIZE = OptimizationLevel.GAS


def artifact(name: str) -> dict[str, Any]:
    """Compile `contracts/<name>.vy` and return its artifact as a JSON object.

    Raises vyper's own error when the source does not compile.
    """
    compiled = compile_code(
        (FOLDER / f"{name}.vy").read_text(encoding="utf-8"),
        contract_path=f"{name}.vy",
        output_formats=["abi", "bytecode_runtime", "layout"],
        settings=Settings(evm_version=EVM_VERSION, optimize=OPTIMIZE),
    )
    return {
        "contract": name,
        "compiler": f"vyper {__long_version__}",
        "evm_version": EVM_VERSION,
        "optimize": OPTIMIZE.name.lower(),
        "abi": compiled["abi"],
        "runtime": compiled["bytecode_runtime"],
        "storage_layout": compiled["layout"].get("storage_layout", {}),
    }


def encode(value: dict[str, Any]) -> bytes:
    """Return the bytes of an artifact file: indented JSON, members in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=True).encode("ascii") + b"\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check every artifact; return the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(argv).check
    status = 0
    for name in CONTRACTS:
        path, new = FOLDER / "artifacts" / f"{name}.json", encode(artifact(name))
        if path.is_file() and path.read_bytes() == new:
            continue
        sys.stdout.write(f"{path.name}: {'differs from its source' if check else 'written'}\n")
        if check:
            status = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(new)
    return status


if __name__ == "__main__":
    sys.exit(main())
