# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes signed batches in and says where they stand.

The token is checked before a byte of the body is read, the body is bounded while it comes in, and
the 202 goes out only after the anchor's commit. Nothing is written after the answer but an index that
can be built again.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from anchor.batch import MAX_BATCH_BYTES
from anchor.province import Accepted, BatchRefused, UnknownBatch
from api import openapi
from api.organisations import Organisation
from api.problems import Problem
from api.state import State, member_of, state_of
from api.words import Wording

BATCH_TYPE = "application/vnd.moneo.batch"
BODY_SECONDS = 120.0
# Bodies in memory at once, 32 MiB each at most; the next ones wait unread.
MAX_BODIES = 8

router = APIRouter(tags=["batches"])
Member = Annotated[Organisation, Depends(member_of)]


@router.post("/v1/batches", status_code=202, **openapi.SUBMIT)
async def submit(request: Request, member: Member) -> Response:
    """Accept a signed batch. When this answers 202, the batch is on disk and its receipt is signed."""
    state = state_of(request)
    async with request.app.state.bodies:
        accepted = await _accept(state, await _body(request), member)
    request.app.state.wake.set()
    status = await run_in_threadpool(state.province.status, accepted.batch)
    content = {
        "batch": accepted.batch,
        "state": status.state,
        "size": accepted.size,
        "duplicate": accepted.duplicate,
        "receipt": accepted.receipt.decode(),
        "links": _links(accepted.batch),
    }
    return JSONResponse(
        content, 202, {"Location": f"/v1/batches/{accepted.batch}", "Cache-Control": "no-store"}
    )


@router.get("/v1/batches/{batch}", **openapi.STATUS)
def batch_status(request: Request, batch: str) -> Response:
    """Tell how far a batch has come. Public, as its note in the log is."""
    try:
        status = state_of(request).province.status(batch)
    except UnknownBatch as error:
        raise _no_batch() from error
    content = {
        "batch": status.batch,
        "state": status.state,
        "issuer": status.issuer,
        "seq": status.seq,
        "size": status.size,
        "accepted_at": status.accepted_at,
        "log_index": status.log_index,
        "logged_at": status.logged_at,
        "checkpoint_size": status.checkpoint_size,
        "evm_block": status.evm_block,
        "anchored_at": status.anchored_at,
        "links": _links(status.batch),
    }
    return JSONResponse(content, headers={"Cache-Control": "no-cache"})


@router.get("/v1/batches/{batch}/receipt", **openapi.RECEIPT)
def batch_receipt(request: Request, batch: str) -> Response:
    """Return the log's signed receipt for a batch: the more hold it, the harder it is to drop."""
    try:
        receipt = state_of(request).province.receipt(batch)
    except UnknownBatch as error:
        raise _no_batch() from error
    return PlainTextResponse(receipt, headers={"Cache-Control": "public, max-age=86400"})


async def _accept(state: State, body: bytes, member: Organisation) -> Accepted:
    try:
        return await run_in_threadpool(state.province.accept, body, member.id)
    except BatchRefused as error:
        raise _refusal(error) from error


def _no_batch() -> Problem:
    return Problem("not-found", Wording("Không có lô này.", "There is no such batch."))


def _links(batch: str) -> dict[str, str]:
    return {"status": f"/v1/batches/{batch}", "receipt": f"/v1/batches/{batch}/receipt"}


async def _body(request: Request) -> bytes:
    """Read the body, never more of it than a batch may have.

    Raises:
        Problem: 415, 413 or 408.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != BATCH_TYPE:
        raise Problem(
            "media-type",
            Wording(
                f"Gửi với Content-Type: {BATCH_TYPE}", f"Send it with Content-Type: {BATCH_TYPE}"
            ),
            headers={"Accept-Post": BATCH_TYPE},
        )
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > MAX_BATCH_BYTES:
        raise _too_long()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _bounded(request)
    except (TimeoutError, ClientDisconnect) as error:
        raise Problem(
            "timeout",
            Wording("Chưa nhận hết dữ liệu; hãy gửi lại.", "Not all of it arrived; send it again."),
            headers={"Connection": "close"},
        ) from error


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > MAX_BATCH_BYTES:
            raise _too_long()
        body += chunk
    return bytes(body)


def _too_long() -> Problem:
    most = MAX_BATCH_BYTES // 2**20
    return Problem(
        "length",
        Wording(f"Một lô dài nhất {most} MiB.", f"A batch has at most {most} MiB."),
        headers={"Connection": "close"},
    )


def _refusal(error: BatchRefused) -> Problem:
    more: dict[str, Any] = {"record": error.record, "field": error.field}
    if error.expected_seq is not None:
        more["expected_seq"] = error.expected_seq
    return Problem(error.code, Wording(error.vi, error.en), more)
