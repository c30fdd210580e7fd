# SPDX-License-Identifier: GPL-3.0-or-later
"""The table “Who else judges” of docs/evidence.md names the programs at the versions at which they judge here."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.tools import ROOT

DOCUMENT = ROOT / "docs" / "evidence.md"
TITLE = "## Who else judges\n"
# Locked beside the judges: needed by one of them, or judging something other than evidence.
NO_JUDGES = {"github.com/cosmos/gogoproto", "axe-core"}


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    section = DOCUMENT.read_text("utf-8").partition(TITLE)[2].partition("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def named() -> set[tuple[str, str]]:
    """Return (program, version) of all that the table names."""
    return {pair for row in rows() for pair in re.findall(r"`([^`]+)` (v?[0-9][^ ,|]*)", row[1])}


def locked() -> dict[str, str]:
    """Return the version that each program is locked at."""
    return {**dict(_go()), **_npm(), **dict(_python()), **dict(_tools())}


def _go() -> Iterator[tuple[str, str]]:
    text = (ROOT / "tests" / "go" / "go.mod").read_text()
    yield from re.findall(r"^\t(\S+) (v\S+)", text, re.MULTILINE)


def _npm() -> dict[str, str]:
    package = json.loads((ROOT / "tests" / "js" / "package.json").read_text())
    found: dict[str, str] = package["dependencies"]
    return found


def _python() -> Iterator[tuple[str, str]]:
    text = (ROOT / "requirements-dev.lock").read_text()
    yield from re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text, re.MULTILINE)


def _tools() -> Iterator[tuple[str, str]]:
    text = (ROOT / "scripts" / "tools").read_text()
    version = re.search(r"^tessera=(v\S+)$", text, re.MULTILINE)
    assert version
    yield "github.com/transparency-dev/tessera", version[1]


def test_each_judge_is_locked_at_the_version_that_is_told() -> None:
    known = locked()
    assert named()
    assert {name: known.get(name) for name, _ in named()} == dict(named())


def test_no_judge_is_left_out() -> None:
    """Whatever tests/go and tests/js ask for by themselves judges something."""
    go_mod = (ROOT / "tests" / "go" / "go.mod").read_text()
    direct = {
        line.split()[0]
        for line in go_mod.partition("require (")[2].partition(")")[0].split("\n")
        if line.strip() and "// indirect" not in line
    }
    assert (direct | set(_npm())) - NO_JUDGES <= {name for name, _ in named()}
    tool = re.search(r"^tool (\S+)$", go_mod, re.MULTILINE)
    assert tool
    assert tool[1] in dict(named())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_link_has_its_tests(row: list[str]) -> None:
    files = re.findall(r"`(tests/[^`]+)`", row[2])
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file
