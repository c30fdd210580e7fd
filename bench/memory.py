# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads how much memory the processes of a province take, from Linux's /proc."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
KINDS: Final = {
    "run-api": "API",
    "run-anchor": "anchor",
    "serve": "supervisor",
    "cometbft": "CometBFT",
    "node": "node",
}
HEAD: Final = (
    "process",
    "largest resident (VmHWM) MiB",
    "resident now MiB",
    "proportional now (PSS) MiB",
)


class Memory:
    """The memory of a process and of all that it has started, and what they took together at most."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = 0

    def look(self) -> None:
        """Note what they take together now, shared pages counted once (PSS)."""
        self._peak = max(self._peak, sum(_pss(pid) for pid, _ in _family(self._root)))

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
        """Return head and rows: a process each, the sum, and the largest sum seen."""
        return HEAD, list(self._rows())

    def _rows(self) -> Iterator[Sequence[str]]:
        sums = [0, 0, 0]
        for pid, parent in _family(self._root):
            figures = (_status(pid, "VmHWM"), _status(pid, "VmRSS"), _pss(pid))
            sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
            yield _name(pid, parent), *map(_mebibytes, figures)
        yield "sum", *map(_mebibytes, sums)
        yield "largest sum of PSS at one time", "", "", _mebibytes(self._peak)


def _family(root: int) -> list[tuple[int, int]]:
    """Return (process, its parent) of a process and its descendants, parents first."""
    parents = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (text := _read(folder / "stat")):
            # The name, in brackets, may hold anything: the parent is the second word behind it.
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
    family = [(root, 0)]
    for member, _ in family:
        family += sorted((pid, member) for pid, parent in parents.items() if parent == member)
    return family


def _name(pid: int, parent: int) -> str:
    """Return what a process is called; a fork has its parent's command line."""
    own, above = _kind(pid), _kind(parent)
    return f"{above}'s worker" if own in (None, above) else str(own)


def _kind(pid: int) -> str | None:
    program, *words = _read(PROC / str(pid) / "cmdline").split("\0")
    words.append(Path(program).name)
    return next((name for word, name in KINDS.items() if word in words), None)


def _status(pid: int, key: str) -> int:
    """Return kibibytes."""
    return _kibibytes(_read(PROC / str(pid) / "status"), key)


def _pss(pid: int) -> int:
    return _kibibytes(_read(PROC / str(pid) / "smaps_rollup"), "Pss")


def _kibibytes(text: str, key: str) -> int:
    lines = (line.split() for line in text.splitlines() if line.startswith(f"{key}:"))
    return next((int(line[1]) for line in lines), 0)


def _read(file: Path) -> str:
    """Return a file's text, nothing if its process has ended."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mebibytes(kibibytes: int) -> str:
    return f"{kibibytes / 1024:,.0f}"
