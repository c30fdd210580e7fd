# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a supervisor whether the process lives, and whether it can do its work.

Ready means that a batch would be accepted: the database takes writes and the log can be read. How
far the anchor is behind is told but is no reason to stop taking batches: they wait safely on disk.
"""

import time
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from anchor.store import anchors, batches, meta
from api import openapi
from api.problems import Problem
from api.state import State, state_of
from api.words import Wording

LATE_SECONDS = 300
NO_STORE = {"Cache-Control": "no-store"}
router = APIRouter(tags=["health"])


@router.get("/healthz", **openapi.HEALTH)
async def healthz() -> Response:
    """Answer: that is all there is to it."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


@router.get("/readyz", **openapi.READY)
def readyz(request: Request) -> Response:
    """Answer 200 if a batch would be accepted now, else 503 with what is wrong."""
    state = state_of(request)
    parts = {"database": _database(state), "log": _log(state)}
    if any(value != "ok" for value in parts.values()):
        named = ", ".join(f"{name}: {value}" for name, value in parts.items())
        raise Problem("not-ready", Wording(named, named), parts, {"Retry-After": "5"})
    return JSONResponse({"status": "ok", **parts, "anchor": _anchor(state)}, headers=NO_STORE)


def _database(state: State) -> str:
    """Write a row as it is and take it back: a full disk or a read-only file shows here."""
    try:
        with state.province.store.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(sa.update(meta).values(value=meta.c.value))
            transaction.rollback()
    except SQLAlchemyError:
        return "not writable"
    return "ok" if state.province.ready() else "not there"


def _log(state: State) -> str:
    """The log may be empty while the anchor process has not started for the first time."""
    try:
        (state.province.log().settings.log_path / "checkpoint").read_bytes()
    except FileNotFoundError:
        return "ok"
    except (OSError, SQLAlchemyError):
        # Which log it is stands in the database.
        return "not readable"
    return "ok"


def _anchor(state: State) -> dict[str, Any]:
    anchored = sa.select(sa.func.max(anchors.c.size)).where(anchors.c.state == "anchored")
    covered = sa.func.coalesce(anchored.scalar_subquery(), 0)
    waiting = sa.or_(batches.c.log_index.is_(None), batches.c.log_index >= covered)
    query = sa.select(sa.func.count(), sa.func.min(batches.c.accepted_at)).where(waiting)
    with state.province.store.read() as connection:
        # What a log whose key is lost has not taken, none of its anchors will ever cover. Without such a log
        # SQLite is better off with its index by log index alone.
        if (first := state.province.first_open(connection)) > 1:
            query = query.where(batches.c.id >= first)
        count, oldest = connection.execute(query).one()
    age = 0 if oldest is None else max(0, int(time.time()) - oldest)
    return {
        "state": "late" if age > LATE_SECONDS else "ok",
        "waiting": count,
        "oldest_seconds": age,
    }
