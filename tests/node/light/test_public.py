# SPDX-License-Identifier: GPL-3.0-or-later
"""What the light client promises of itself: its public names, its one error tree, its imports."""

import ast
import sys
from pathlib import Path

import node.light
from node.light import LightError

ALLOWED = {"cryptography", "Crypto", "node.light"} | sys.stdlib_module_names
# Pure: what these modules of the standard library do, a verifier never does.
FORBIDDEN = {
    "os",
    "io",
    "socket",
    "time",
    "random",
    "secrets",
    "pathlib",
    "subprocess",
    "threading",
}


def imported(path: Path) -> set[str]:
    names = set()
    for each in ast.walk(ast.parse(path.read_text())):
        if isinstance(each, ast.Import):
            names |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            names.add(each.module or "")
    return names


def test_what_is_importable_is_what_is_listed() -> None:
    public = {name for name in vars(node.light) if not name.startswith("_")}
    modules = {"cometbft", "ed25519", "eras", "errors", "evm", "merkle"}
    assert public - modules == set(node.light.__all__)


def test_every_error_is_a_light_error() -> None:
    names = [name for name in node.light.__all__ if name.endswith("Error")]
    assert len(names) == 8
    assert all(issubclass(getattr(node.light, name), LightError) for name in names)


def test_light_client_is_pure_and_imports_no_other_room() -> None:
    for path in Path(node.light.__file__).parent.rglob("*.py"):
        for name in imported(path):
            top = name.split(".")[0]
            assert top in ALLOWED or name.startswith("node.light"), f"{path.name} imports {name}"
            assert top not in FORBIDDEN, f"{path.name} imports {name}"
