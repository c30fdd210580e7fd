# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the rules that reviews would otherwise repeat: who may import whom, and what a checkout may not name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("contracts", "node", "anchor", "api", "front")
# The "may import" column of docs/architecture.md. A room may always import itself.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "contracts": (),
    "node": ("contracts",),
    "anchor": ("contracts", "node.light"),
    "api": ("anchor",),
    "front": ("contracts", "node", "anchor", "api"),
}
BASE_PACKAGES = frozenset({"cryptography", "Crypto", "rich", "typer"})
# What the base install (verifier and a business's command line) must do without.
EXTRAS = ("eth", "eth_abi", "eth_account", "eth_utils", "fastapi", "google", "grpc", "jinja2", "plyvel", "pymerkle",
          "rlp", "segno", "sqlalchemy", "starlette", "trie", "uvicorn", "web3", "xlsxwriter")  # fmt: skip
PURE_MODULES = [
    "ijson",
    "codes",
    "record",
    "note",
    "batch",
    "receipt",
    "checkpoint",
    "shape",
    "statements",
    "wording",
    "evidence",
    "verify",
    "trust",
    "verdict",
]
PURE = ("node/light/**/*.py", *(f"anchor/{name}.py" for name in PURE_MODULES))
# Clocks, files, sockets. Calendar arithmetic (datetime.date) and the randomness of salts are neither.
IMPURE = ("datetime.datetime", "http", "io", "os", "pathlib", "shutil", "socket", "subprocess",
          "tempfile", "threading", "time", "urllib.request")  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrow_allows(room: str) -> None:
    allowed = (room, *MAY_IMPORT[room])
    for path in (ROOT / room).rglob("*.py"):
        for name in imports(path):
            if name.partition(".")[0] in (*ROOMS, "moneo", "tests"):
                assert any(name == a or name.startswith(f"{a}.") for a in allowed), (
                    f"{path}: {name}"
                )


def test_the_verifier_is_pure_and_needs_the_base_install_only() -> None:
    paths = [path for pattern in PURE for path in ROOT.glob(pattern)]
    assert len(paths) > len(PURE)
    for path in paths:
        for name in imports(path):
            top = name.partition(".")[0]
            assert not any(f"{name}.".startswith(f"{bad}.") for bad in IMPURE), f"{path}: {name}"
            known = top in sys.stdlib_module_names or top in BASE_PACKAGES or top in ROOMS
            assert known, f"{path}: {name} is not in the base install"


def test_the_command_line_verifies_without_the_extras(tmp_path: Path) -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}))"
    program = f"{blocked}; import moneo; sys.exit(moneo.main(['verify', 'missing.json', '--trust', 'missing.json']))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "missing.json" in done.stderr


def test_every_source_file_names_its_licence() -> None:
    for room in (*ROOMS, "tests", "bench"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            assert not text or text.startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n"), (
                path
            )
