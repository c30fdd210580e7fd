# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down which vectors a release has, so that every later one can be held to them.

    python -m tests.vectors.release VERSION

writes `releases/VERSION.txt`: a line for each file and each row of an index, its SHA-256 and its name, a
row's as `index.json:NAME`. A list that is there is only added to: what it names may not change any more.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
RELEASES = HERE / "releases"
FOLDERS = ("evidence", "trust", "network")
SINGLE = ("codes.json", "light-blocks.json")


def current() -> dict[str, str]:
    """Return the SHA-256 of everything that a release promises, by name."""
    return dict(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in _parts()))


def _parts() -> Iterator[tuple[str, bytes]]:
    """Yield files, and rows in the place of an index, which grows."""
    for path in (path for folder in FOLDERS for path in sorted((HERE / folder).iterdir())):
        name = str(path.relative_to(HERE))
        if path.name == "index.json":
            yield from _rows(name, path)
        else:
            yield name, path.read_bytes()
    for name in SINGLE:
        yield from _rows(name, HERE / name)


def _rows(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    for row in json.loads(path.read_text()):
        # What a row says, however it is written; one evidence file may be judged by several trust files.
        said = json.dumps(row, sort_keys=True).encode()
        key = [row[part] for part in ("name", "trust", "text") if part in row]
        yield f"{name}:{json.dumps(key)}", said


def read(path: Path) -> dict[str, str]:
    """Return a release's list."""
    lines = (line.split("  ", 1) for line in path.read_text().splitlines())
    return {name: digest for digest, name in lines}


def broken(listed: dict[str, str]) -> list[str]:
    """Return what a list promises and is no longer so."""
    now = current()
    return [name for name, digest in listed.items() if now.get(name) != digest]


def main(version: str) -> int:
    """Write or lengthen the list; return the exit status."""
    path = RELEASES / f"{version}.txt"
    if path.exists() and (changed := broken(read(path))):
        sys.stderr.write("".join(f"changed or gone: {name}\n" for name in changed))
        return 1
    RELEASES.mkdir(exist_ok=True)
    path.write_text("".join(f"{digest}  {name}\n" for name, digest in current().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
