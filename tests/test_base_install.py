# SPDX-License-Identifier: GPL-3.0-or-later
"""`pip install moneo` without extras is enough to verify, and nothing it brings along takes a name of ours.

The base install here is an environment that sees exactly the distributions which the base dependencies
of pyproject.toml lead to, as the lock has them, and our packages as the wheel holds them; nothing else.
"""

import json
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import moneo

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL: dict[str, Any] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
OURS = frozenset(WHEEL["only-include"])
LOCKS = ("requirements.lock", "requirements-dev.lock")
# Locked for other platforms: there they are not ours to look into.
ELSEWHERE = frozenset({"colorama", "pywin32"})
# Nothing of the command line is loaded by whoever only verifies.
HEAVY = (
    "typer",
    "rich",
    "pydantic",
    "sqlalchemy",
    "fastapi",
    "eth",
    "web3",
    "PIL",
    "urllib.request",
)


def locked(name: str) -> dict[str, str]:
    """Return the version of each distribution in a lock."""
    text = (ROOT / name).read_text()
    return {
        canonicalize_name(one): version for one, version in re.findall(r"^(\S+)==(\S+)", text, re.M)
    }


def closure(wanted: Iterable[str]) -> dict[str, Distribution]:
    """Return the distributions that these requirements lead to, without extras."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution(name)
        waiting += [Requirement(more) for more in found[name].requires or ()]
    return found


def tops(one: Distribution) -> set[str]:
    """Return what stands in site-packages for a distribution."""
    return {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the base install."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for one in closure(PROJECT["project"]["dependencies"]).values():
        for name in tops(one):
            (site / name).symlink_to(Path(str(one.locate_file(name))).resolve())
    for source, name in (*zip(OURS, OURS, strict=True), *WHEEL["force-include"].items()):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).symlink_to(ROOT / source)
    return folder / "bin" / "python"


def run(python: Path, *words: str | Path, cwd: Path) -> str:
    """Run a program that sees nothing but its environment; return what it said."""
    command = [str(python), "-I", "-W", "error", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_base_install_is_what_the_lock_says() -> None:
    versions = locked("requirements.lock")
    found = closure(PROJECT["project"]["dependencies"])
    assert {name: one.version for name, one in found.items()} == {n: versions[n] for n in found}
    assert not found.keys() & {"sqlalchemy", "fastapi", "py-evm", "web3", "pillow"}


def test_every_vector_is_judged_rightly_in_the_base_install(base: Path, tmp_path: Path) -> None:
    said = run(base, ROOT / "tests" / "vectors" / "check.py", cwd=tmp_path)
    count = re.fullmatch(r"([0-9]+) vectors\n", said)
    assert count
    assert int(count[1]) > 500


def test_importing_moneo_is_light(base: Path, tmp_path: Path) -> None:
    program = f"import sys, moneo; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    assert run(base, "-c", program, cwd=tmp_path) == "[]\n"


def test_the_command_verifies_in_the_base_install(base: Path, tmp_path: Path) -> None:
    vectors = ROOT / "tests" / "vectors" / "network"
    words = (
        "verify",
        vectors / "after-the-removal.json",
        "--trust",
        vectors / "trust-of-three.json",
    )
    assert "2/3" in run(base, "-m", "moneo", *words, cwd=tmp_path)


def test_no_locked_distribution_ships_a_name_of_ours() -> None:
    wanted = {name for lock in LOCKS for name in locked(lock)} - ELSEWHERE
    found: dict[str, Distribution] = {canonicalize_name(one.name): one for one in distributions()}
    assert wanted <= found.keys()
    taken = {Path(name).stem for name in (*OURS, "tests", "bench")}
    ships = {name: {top.partition(".")[0] for top in tops(found[name])} & taken for name in wanted}
    assert {name: names for name, names in ships.items() if names} == {}


def test_what_is_public_is_listed_and_explained() -> None:
    assert sorted(moneo.__all__) == moneo.__all__
    public = {name for name in vars(moneo) if not name.startswith("_")}
    # The type that `main` is annotated with is no part of it.
    assert public - {"Sequence"} == set(moneo.__all__)
    assert all(getattr(moneo, name).__doc__ for name in moneo.__all__)


def test_a_program_that_imports_it_is_checked_strictly(base: Path, tmp_path: Path) -> None:
    """Types reach whoever installs the wheel, also through a module that is one file."""
    program = tmp_path / "program.py"
    names = ", ".join(moneo.__all__)
    program.write_text(f'from moneo import {names}\n\nreveal_type(verify(b"", b""))\n')
    cache = ("--cache-dir", str(tmp_path / "cache"))
    command = ["mypy", "--strict", "--python-executable", str(base), *cache, program.name]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 'Revealed type is "anchor.verdict.Verdict"' in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
    assert {name for name in OURS if (ROOT / name / "py.typed").is_file()} == OURS - {"moneo.py"}


def test_the_example_of_the_package_runs() -> None:
    """The lines of `help(moneo)`, on a vector."""
    folder = ROOT / "tests" / "vectors" / "network"
    row = json.loads((folder / "index.json").read_text())[0]
    example = re.search(r"(?m)^    verdict = .*\n(?:    .*\n)+", moneo.__doc__ or "")
    assert example
    lines = "\n".join(line[4:] for line in example[0].splitlines())
    lines = re.sub(r'expect_code="[^"]*"', f"expect_code={row['code']!r}", lines)
    names = {
        "verify": moneo.verify,
        "evidence": (folder / f"{row['name']}.json").read_bytes(),
        "trust": (folder / row["trust"]).read_bytes(),
        "print": lambda *_: None,
    }
    exec(lines, names)  # noqa: S102  the documentation's own lines
    assert isinstance(names["verdict"], moneo.Verdict)
