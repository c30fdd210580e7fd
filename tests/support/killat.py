# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a process at its k-th durable step, for every k, so that no crash is left untried.

Durable steps are the calls `os.open`, `os.fsync`, `os.replace`, `os.rename`, `os.unlink`,
`os.mkdir` and `os.rmdir`, counted before they happen, and SQLAlchemy's commits, counted before and
after, as are the node's writes to LevelDB. What the code calls by another way (SQLite's own writes,
`open`) lies between two steps.

A *driver* process imports the work once and forks for each try, so that a try costs milliseconds and
inherits neither threads nor files of the tests:

    with KillAt("tests.anchor.work:append") as tries:
        steps = tries.run([folder])              # to the end: how many steps there are
        for k in range(1, steps + 1):
            tries.run([folder], at=k)            # SIGKILL at step k

`count_steps` does the same in a process that others have started (tests.support.victims).
"""

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

# Imported once, by the driver: each try would pay for it again.
try:
    from sqlalchemy.engine.default import DefaultDialect
except ImportError:
    DefaultDialect = None  # type: ignore[assignment, misc]

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("open", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
FAILED = 1
TIMEOUT = 60.0


class KillAtError(AssertionError):
    """The work raised, ran past its time, or ended before the step it was to be killed at."""


class KillAt:
    """A driver process for one piece of work, named `module:function`."""

    def __init__(self, work: str, timeout: float = TIMEOUT) -> None:
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killat", work, str(timeout)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "KillAt":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in (self._driver.stdin, self._driver.stdout):
            if pipe:
                pipe.close()
        self._driver.wait(TIMEOUT)

    def run(self, arguments: Sequence[Any] = (), at: int | None = None) -> int:
        """Do the work in a process of its own; return the number of steps it took.

        Args:
            arguments: what the function gets; anything that JSON can carry.
            at: kill it at this step, counted from 1; None = let it end.

        Raises:
            KillAtError: it did not end in the way asked for.
        """
        assert self._driver.stdin and self._driver.stdout
        self._driver.stdin.write(json.dumps([list(arguments), at]) + "\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        if not line:
            raise KillAtError("the driver has ended: the work can't be imported")
        status, steps = json.loads(line)
        expected = -signal.SIGKILL if at else 0
        if status != expected:
            raise KillAtError(f"ended with {status} after {steps} steps, expected {expected}")
        return int(steps)


class _Counter:
    """Counts steps where the parent can read it after a SIGKILL, and kills at the one chosen."""

    def __init__(self, pipe: int, at: int | None, *, with_forks: bool = False) -> None:
        self._pipe = pipe
        self._at = at
        self._count = multiprocessing.Value("Q", 0)
        self._process = None if with_forks else os.getpid()

    def step(self) -> None:
        """Count one step; the process ends here if it is the one."""
        if self._process not in (None, os.getpid()):
            return
        with self._count.get_lock():
            self._count.value += 1
            is_chosen = self._count.value == self._at
        os.write(self._pipe, b".")
        if is_chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a step before it."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return function(*args, **kwargs)

        return counted

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a step before it and one after."""
        before = self.before(function)

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = before(*args, **kwargs)
            self.step()
            return result

        return counted


def count_steps(pipe: int, at: int) -> None:
    """Count the steps of this process and its forks from now on; kill the one that comes to step `at`.

    Commits that change nothing are not counted: a process that waits makes ten of them a second.
    """
    _patch(_Counter(pipe, at, with_forks=True), _Changes().is_new)


class _Changes:
    """Tells whether a SQLite connection has changed rows since it was asked last."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def is_new(self, connection: Any) -> bool:
        total = connection.total_changes
        before, self._known[id(connection)] = self._known.get(id(connection), 0), total
        return bool(total != before)


def _patch(counter: _Counter, counts: Callable[[Any], bool] = lambda _: True) -> None:
    for name in STEPS:
        setattr(os, name, counter.before(getattr(os, name)))
    # Whoever writes to the chain's LevelDB has imported it; importing it takes a second.
    if leveldb := sys.modules.get("node.db"):
        leveldb.LevelDB.write = counter.around(leveldb.LevelDB.write)
    if DefaultDialect is None:
        return
    commit: Callable[..., Any] = DefaultDialect.do_commit

    def do_commit(self: Any, connection: Any) -> None:
        # Engine's own commit event comes only before; the dialect's call has two sides.
        if counts(connection):
            counter.around(commit)(self, connection)
        else:
            commit(self, connection)

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _child(work: Callable[..., object], arguments: list[Any], at: int | None, pipe: int) -> None:
    code = FAILED
    try:
        _patch(_Counter(pipe, at))
        work(*arguments)
        code = 0
    except BaseException:  # noqa: BLE001 - reported, and the status says it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _count(pipe: int) -> int:
    steps = 0
    while data := os.read(pipe, 65536):
        steps += len(data)
    os.close(pipe)
    return steps


def _try(work: Callable[..., object], arguments: list[Any], at: int | None, timeout: float) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        _child(work, arguments, at, writing)
    os.close(writing)
    steps = _count(reading)
    _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), steps]), flush=True)  # noqa: T201


def main(work: str, timeout: float) -> None:
    """Do the work once for each line on standard input, in a fork; answer with [status, steps]."""
    module, _, name = work.partition(":")
    function = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        arguments, at = json.loads(line)
        _try(function, arguments, at, timeout)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
