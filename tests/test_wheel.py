# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel carries what a province serves: built pages, templates, samples; and nothing that only builds or tests.

It is built from a copy of the checkout and installed into an environment of its own, from which the pages are
then served: what lies in the checkout cannot stand in for what was left out.
"""

import fnmatch
import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.tools import ROOT, built

BUILD = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")
# What is made here while others build and test.
MADE = shutil.ignore_patterns("node_modules", "__pycache__")
FOREIGN = ("*/test/*", "*/tests/*", "*/src/*", "*/node_modules/*", "*.lock", "*package*.json",
           "*.mjs", "*tsconfig*", "*.map", "*.npmrc", "*.pyc")  # fmt: skip
SERVES = """
import json, sys
from pathlib import Path
import api.static
from anchor.province import found
from anchor.settings import Settings
from api.app import create_app
from fastapi.testclient import TestClient

settings = Settings(Path("var"), "Cà Mau", "moneo.example/camau/2026")
found(settings)
with TestClient(create_app(settings)) as client:
    paths = ["/", "/verify", "/upload", "/verify/worker.js", *client.app.state.moneo.assets.files]
    answers = {path: client.get(path).status_code for path in paths}
print(json.dumps({"from": api.static.__file__, "answers": answers}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, whose browser's side scripts/web has built."""
    built()
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    copy.mkdir()
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    for name in (*BUILD, *rooms["targets"]["wheel"]["only-include"]):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=MADE)
        else:
            shutil.copy(ROOT / name, copy / name)
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=copy, check=True, capture_output=True)
    shutil.rmtree(copy)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_has_all_that_is_served_and_nothing_that_builds_or_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    served = [*files("dist"), *files("static"), *files("templates")]
    assert set(served) <= names
    assert "api/sample/nhat-ky-cua.csv" in names
    assert {name for pattern in FOREIGN for name in fnmatch.filter(names, pattern)} == set()
    web = {name for name in names if name.startswith("api/web/")}
    assert web == set(served)


def files(folder: str) -> Iterable[str]:
    within = ROOT / "api" / "web" / folder
    return (str(path.relative_to(ROOT)) for path in within.iterdir())


def test_what_the_wheel_installs_serves_every_page_and_file(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "own", symlinks=True)
    (place,) = (tmp_path / "own").glob("lib/python*/site-packages")
    own = str(tmp_path / "own" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", own, "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)
    # The libraries are those of the suite; what is ours comes from the wheel alone.
    libraries = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    (place / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    done = subprocess.run(
        [own, "-I", "-c", SERVES],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert Path(said["from"]).is_relative_to(place)
    assert set(said["answers"].values()) == {200} and len(said["answers"]) > 10
    assert (tmp_path / "own" / "bin" / "moneo").exists()
