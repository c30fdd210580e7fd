# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every benchmark in order and writes their tables into one Markdown file.

`python -m bench.all --out FILE` takes about half an hour on two cores; nothing else should run
meanwhile. `--into docs/performance.md` puts the tables there as well, each between the two comments
that name its benchmark. `--quick` goes through all of them at small sizes, to see that they work. A
benchmark that fails is named, and the next one goes on.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.support import arguments, machine, say, workplace

# Name, title, and what it is given in full and quickly; KEPT stands for the folder of the full province.
KEPT: Final = "KEPT"
PROGRAMME: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("ingest", "Records acknowledged a second", "", "--seconds 1 --sizes 1 100 1000"),
    ("latency", "Accepted, anchored, evidence", f"--data {KEPT}", f"--data {KEPT} --records 20000 --samples 6"),
    ("evidence", "Evidence and its verification", f"--data {KEPT}", f"--data {KEPT} --batches 200 --records 50 --journeys 20"),
    ("validators", "Evidence of many validators", "", "--rounds 5"),
    ("growth", "Growth", "", "--records 4000"),
    ("peers", "Beside pymerkle and proofbundle", "", "--leaves 10000"),
    ("consortium", "Four provinces", "", "--quick"),
    ("browser", "Until a person sees a verdict", "", "--rounds 12 --visits 2"),
)  # fmt: skip
# More than this and the machine is not what the figures are for.
LONGEST_SECONDS: Final = 15 * 60


def run(name: str, words: Sequence[str]) -> str:
    """Run one benchmark; return its tables."""
    command = [sys.executable, "-m", f"bench.{name}", *words]
    began, failed = time.monotonic(), ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST_SECONDS)
            failed = f"It ended with status {process.returncode}." if process.returncode else ""
        except subprocess.TimeoutExpired:
            # Told to stop, it ends its province and removes its folder.
            process.terminate()
            said, _ = process.communicate()
            failed = f"It was stopped after {LONGEST_SECONDS} s."
        finally:
            process.terminate()
    say(f"bench.{name}: {time.monotonic() - began:.0f} s. {failed}")
    # The machine's line stands once, at the top.
    return "\n\n".join(filter(None, (said.partition("\n\n")[2].strip(), failed)))


def put_into(text: str, name: str, tables: str) -> str:
    """Return a document with these tables between the comments that name their benchmark."""
    opening, closing = f"<!-- bench.{name} -->\n", f"\n<!-- end of bench.{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    return f"{before}{opening}\n{tables}\n{closing}{after}" if found and ended else text


def main(argv: Sequence[str] | None = None) -> int:
    """Run them all."""
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the Markdown file to write")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: their figures say little"
    )
    parser.add_argument(
        "--only", nargs="+", default=[name for name, *_ in PROGRAMME], help="some of them"
    )
    parser.add_argument("--into", type=Path, help="a document whose tables are to be replaced")
    options = parser.parse_args(argv)
    line = f"{machine()}{', small sizes' if options.quick else ''}"
    made = {"machine": line}
    with workplace() as folder:
        for name, _, *sizes in PROGRAMME:
            if name in options.only:
                words = sizes[options.quick].replace(KEPT, str(folder / "province")).split()
                made[name] = run(name, words)
                _write(options.out, line, made)
    if options.into:
        text = options.into.read_text(encoding="utf-8")
        for name, tables in made.items():
            text = put_into(text, name, tables)
        options.into.write_text(text, encoding="utf-8")
    return 0


def _write(file: Path, line: str, made: Mapping[str, str]) -> None:
    parts = [f"# Figures\n\n{line}\n"]
    for name, title, *_ in PROGRAMME:
        if name in made:
            parts.append(f"## {title}\n\n`python -m bench.{name}`\n\n{made[name]}\n")
    file.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
