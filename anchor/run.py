# SPDX-License-Identifier: GPL-3.0-or-later
"""The anchor process: the sole writer of the log and the sole user of the member's key.

It moves accepted batches into the log whether or not the chain answers, and anchors as soon as it
does; where a new log has taken over, the one before is brought to its end first. While its disk is
full or read-only it waits, and then begins anew from what is stored. It stops at SIGTERM or SIGINT
between two durable steps; a crash at any other point costs nothing either.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Final

from sqlalchemy.exc import OperationalError

from anchor.backup import anchoring, caught_up, check_open, is_behind
from anchor.chain import Chain, ChainError
from anchor.epochs import Epoch, Epochs, end_of, remember
from anchor.errors import KeyFileError
from anchor.keys import load_member_key
from anchor.note import Signer
from anchor.pipeline import Anchored, Pipeline
from anchor.sequencing import any_unlogged
from anchor.settings import Settings, load
from anchor.store import Store, StoreError
from anchor.tiles import Log

IDLE_SECONDS: Final = 0.1
FIRST_RETRY_SECONDS: Final = 0.5
# A chain that has halted is to be anchored to again half a minute after it goes on, at the latest.
LAST_RETRY_SECONDS: Final = 10.0
# The node is next door, and a chain that goes on is not to wait for us.
LAST_CHAIN_SECONDS: Final = 5.0


class Stopped(BaseException):
    """The process was asked to stop while it waited; everything stored stays as it is."""


def run(data: Path) -> None:
    """Run the anchor process of the data folder `data` until SIGTERM or SIGINT.

    Raises AnchorError if it can't begin, or if log, database and chain contradict each other.
    """
    stop = Event()
    with _stopped_by_signals(stop):
        serve_through(load(data), stop, _print)


def serve_through(settings: Settings, stop: Event, say: Callable[[str], None]) -> None:
    """Serve, and begin anew after each failure of the disk, until `stop` is set."""
    pause, trouble = FIRST_RETRY_SECONDS, ""
    while not stop.is_set():
        began = time.monotonic()
        try:
            serve(settings, stop, say)
        except (OSError, OperationalError) as error:
            if time.monotonic() - began > LAST_RETRY_SECONDS:
                pause, trouble = FIRST_RETRY_SECONDS, ""
            reason = str(error).splitlines()[0]
            if reason != trouble:
                say(
                    "đĩa không dùng được, sẽ thử lại, không mất gì · "
                    f"the disk can't be used, will try again, nothing is lost: {reason}"
                )
            trouble = reason
            stop.wait(pause)
            pause = min(2 * pause, LAST_RETRY_SECONDS)


def serve(settings: Settings, stop: Event, say: Callable[[str], None]) -> None:
    """Do the anchor process's work until `stop` is set; `say` gets a sentence for a person."""
    check_open(settings)
    secret = load_member_key(settings.member_key)

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise Stopped

    with ExitStack() as opened, suppress(Stopped):
        store = _database(settings)
        opened.callback(store.close)
        chain = Chain(settings.rpc_url, secret)
        opened.callback(chain.close)
        # Once for each log that has become the newest.
        while not stop.is_set():
            with store.read() as connection:
                logs = Epochs(settings).all(connection)
            with _pipelines(settings, store, logs, chain, say, wait) as pipelines:
                if is_behind(settings):
                    for pipeline in pipelines:
                        if not pipeline.is_finished():
                            _catch_up(pipeline, say, wait)
                    caught_up(settings)
                is_newest = partial(_is_newest, store, logs[-1])
                _Loop(settings, pipelines, is_newest, stop, say).run()


def _database(settings: Settings) -> Store:
    """Open the database; where the disk can't be used, that is an OperationalError here as later on."""
    try:
        return Store.open(settings.database_url)
    except StoreError as error:
        if isinstance(error.__cause__, OperationalError):
            raise error.__cause__ from error
        raise


@contextmanager
def _pipelines(
    settings: Settings,
    store: Store,
    logs: Sequence[Epoch],
    chain: Chain,
    say: Callable[[str], None],
    wait: Callable[[float], None],
) -> Iterator[list[Pipeline]]:
    """Open every log with its pipeline, oldest first. The logs' locks make this process the only one."""
    with ExitStack() as opened:
        pipelines = []
        for epoch in logs:
            signer = _signer(store, epoch)
            log = Log(epoch.settings.log_path, epoch.origin, signer, public_key=epoch.public_key)
            opened.enter_context(log)
            remember(store, epoch)
            pipelines.append(Pipeline(settings, store, log, chain, signer, say, wait, epoch))
            pipelines[-1].reconcile()
        yield pipelines


def _signer(store: Store, epoch: Epoch) -> Signer | None:
    """The log's key; None for a log that gets nothing more, if it is gone. Raises KeyFileError."""
    try:
        return epoch.signer()
    except KeyFileError:
        with store.read() as connection:
            is_open = epoch.is_newest or any_unlogged(connection, epoch)
        if is_open and not epoch.given_up:
            raise
        return None


def _is_newest(store: Store, epoch: Epoch) -> bool:
    with store.read() as connection:
        return not end_of(connection, epoch.number)


def _catch_up(
    pipeline: Pipeline, say: Callable[[str], None], wait: Callable[[float], None]
) -> None:
    """Wait for the chain: a restored log signs nothing before it is at its head there."""
    trouble = ""
    while True:
        try:
            size = pipeline.catch_up()
        except ChainError as error:
            if str(error) != trouble:
                say(f"chờ chuỗi trước khi ký · waiting for the chain before signing: {error}")
            trouble = str(error)
            wait(LAST_RETRY_SECONDS / 10)
            continue
        say(
            f"nhật ký khôi phục đã theo kịp chuỗi ({size} mục), ký tiếp được · "
            f"the restored log is at its head on the chain ({size} entries) and may sign again"
        )
        return


class _Loop:
    """Logs whenever something is accepted; anchors when due; backs off while the chain is away."""

    def __init__(
        self,
        settings: Settings,
        pipelines: Sequence[Pipeline],
        is_current: Callable[[], bool],
        stop: Event,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._pipelines = pipelines
        self._is_current = is_current
        self._stop = stop
        self._say = say
        self._pause = FIRST_RETRY_SECONDS
        self._retry_at = 0.0
        self._trouble = ""

    def run(self) -> None:
        while not self._stop.is_set() and self._is_current():
            logged = sum([each.log_batches() for each in self._pipelines])
            # Whether its chain answers or not, every log grows; they are anchored one after another.
            first = next(each for each in self._pipelines if not each.is_finished())
            if time.monotonic() >= self._retry_at and first.is_due():
                with anchoring(self._settings) as may:
                    if may:
                        self._advance(first)
            if not logged:
                self._stop.wait(IDLE_SECONDS)

    def _advance(self, pipeline: Pipeline) -> None:
        try:
            done = pipeline.advance()
        except ChainError as error:
            self._back_off(str(error))
            return
        if self._trouble:
            self._say("chuỗi đã trả lời lại · the chain answers again")
        self._trouble, self._pause, self._retry_at = "", FIRST_RETRY_SECONDS, 0.0
        for one in done:
            self._say(_line(one))

    def _back_off(self, trouble: str) -> None:
        # The same trouble is said once, however often it is met.
        if trouble != self._trouble:
            self._say(f"chưa neo được, sẽ thử lại · not anchoring, will try again: {trouble}")
        self._trouble = trouble
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LAST_CHAIN_SECONDS)


def _line(one: Anchored) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.time))
    return (
        f"đã neo · anchored: {one.size} lô · batches, root {one.root.hex()[:16]}…, "
        f"EVM block {one.block}, {when}"
    )


def _print(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


@contextmanager
def _stopped_by_signals(stop: Event) -> Iterator[None]:
    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, ask) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
