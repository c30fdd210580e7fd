# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes records in, by two doors, and says where they stand.

The signed door takes batches that a business has salted and signed itself. The plain door takes EPCIS
events in the clear, of businesses whose key the province keeps: it salts and signs for them, and says
so wherever the records are shown (custody `operator`).

The token is checked before a byte of the body is read, the body is bounded while it comes in, and
the 202 goes out only after the anchor's commit. Nothing is written after the answer but an index that
can be built again. A request with an `Idempotency-Key` is carried out once: its HMAC is in that commit.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from anchor.batch import MAX_BATCH_BYTES
from anchor.errors import FormatError, KeyFileError
from anchor.idempotency import Once
from anchor.importer import DiaryError, read_diary
from anchor.province import Accepted, BatchRefused, State, UnknownBatch
from anchor.record import Mode
from api import openapi
from api.organisations import Organisation
from api.problems import Problem
from api.state import member_of, state_of
from api.words import Wording

BATCH_TYPE = "application/vnd.moneo.batch"
RECORDS_TYPE = "application/x-ndjson"
# 10,000 events of 500 bytes, and some air. Salted they are about three times as long.
MAX_RECORDS_BYTES = 8 * 1024 * 1024
BODY_SECONDS = 120.0
# Bodies in memory at once, 32 MiB each at most; the next ones wait unread.
MAX_BODIES = 8
# Bodies of the plain door being salted at once: in memory, an event is ten times its text.
MAX_SALTING = 2

NO_KEY = Wording(
    "Tỉnh chưa dùng được khóa giữ hộ; hãy báo người vận hành.",
    "The province cannot use the key it keeps; tell its operator.",
)

log = logging.getLogger("moneo.api")
router = APIRouter(tags=["batches"])
Member = Annotated[Organisation, Depends(member_of)]


@router.post("/v1/batches", status_code=202, **openapi.SUBMIT)
async def submit(request: Request, member: Member) -> Response:
    """Accept a signed batch. When this answers 202, the batch is on disk and its receipt is signed."""
    province = state_of(request).province
    async with request.app.state.bodies.taken(member.id):
        body = await _body(request, BATCH_TYPE, MAX_BATCH_BYTES)

        def accept() -> Accepted:
            once = _once(request, member, b"batches", body)
            return province.accept(body, member.id, request=once)

        accepted = await run_in_threadpool(refusing, accept)
    return await _acknowledge(request, accepted)


@router.post("/v1/records", status_code=202, **openapi.RECORDS)
async def submit_records(
    request: Request,
    member: Member,
    mode: Annotated[
        Mode, Query(description="practice: the records are marked as not about real goods")
    ] = "live",
) -> Response:
    """Accept EPCIS events in the clear; the province salts and signs them with the key it keeps."""
    state = state_of(request)
    async with request.app.state.bodies.taken(member.id):
        body = await _body(request, RECORDS_TYPE, MAX_RECORDS_BYTES)

        def accept() -> Accepted:
            once = _once(request, member, b"records", mode.encode(), body)
            return state.province.accept_entries(
                read_diary("records.ndjson", body, state.province.finder(member.id)),
                mode,
                member.id,
                request=once,
            )

        async with request.app.state.salting:
            accepted = await run_in_threadpool(refusing, accept)
    return await _acknowledge(request, accepted)


async def _acknowledge(request: Request, accepted: Accepted) -> Response:
    """Answer 202 for a batch that is on disk."""
    request.app.state.wake.set()
    state: State = "accepted"
    if accepted.duplicate:
        # What was sent before may have gone further since.
        status = await run_in_threadpool(state_of(request).province.status, accepted.batch)
        state = status.state
    content = {
        "batch": accepted.batch,
        "state": state,
        "custody": accepted.custody,
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
        "custody": status.custody,
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


def refusing(accept: Callable[[], Accepted]) -> Accepted:
    """Call what accepts a batch.

    Raises:
        Problem: what was refused, and why.
    """
    try:
        return accept()
    except BatchRefused as error:
        raise _refusal(error) from error
    except DiaryError as error:
        text = error.complaints[0].removeprefix("records.ndjson: ")
        raise Problem("malformed", Wording(text, text), {"record": error.record}) from error
    except KeyFileError as error:
        log.exception("a key of the province cannot be used")
        raise Problem("not-ready", NO_KEY) from error


def _once(request: Request, member: Organisation, *content: bytes) -> Once | None:
    """The request that its Idempotency-Key names, None without one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    try:
        return state_of(request).province.once(member.id, key, *content)
    except FormatError as error:
        raise Problem(
            "not-valid",
            Wording(
                "Idempotency-Key dài 1 đến 200 ký tự ASCII, không có dấu cách.",
                "An Idempotency-Key has 1 to 200 visible ASCII characters.",
            ),
        ) from error


def _no_batch() -> Problem:
    return Problem("not-found", Wording("Không có lô này.", "There is no such batch."))


def _links(batch: str) -> dict[str, str]:
    return {"status": f"/v1/batches/{batch}", "receipt": f"/v1/batches/{batch}/receipt"}


async def _body(request: Request, wanted: str, most: int) -> bytes:
    """Read a body of the wanted type, never more than `most` bytes of it.

    Raises:
        Problem: 415, 413 or 408.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted:
        raise Problem(
            "media-type",
            Wording(f"Gửi với Content-Type: {wanted}", f"Send it with Content-Type: {wanted}"),
            headers={"Accept-Post": wanted},
        )
    return await read_body(request, most)


async def read_body(request: Request, most: int) -> bytes:
    """Read a body, never more than `most` bytes of it.

    Raises:
        Problem: 413 or 408.
    """
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > most:
        raise _too_long(most)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _bounded(request, most)
    except (TimeoutError, ClientDisconnect) as error:
        raise Problem(
            "timeout",
            Wording("Chưa nhận hết dữ liệu; hãy gửi lại.", "Not all of it arrived; send it again."),
            headers={"Connection": "close"},
        ) from error


async def _bounded(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > most:
            raise _too_long(most)
        body += chunk
    return bytes(body)


def _too_long(most: int) -> Problem:
    mebibytes = most // 2**20
    return Problem(
        "length",
        Wording(
            f"Mỗi lần gửi dài nhất {mebibytes} MiB: hãy chia ra.",
            f"At most {mebibytes} MiB at a time: split it.",
        ),
        headers={"Connection": "close"},
    )


def _refusal(error: BatchRefused) -> Problem:
    more: dict[str, Any] = {"record": error.record, "field": error.field}
    if error.expected_seq is not None:
        more["expected_seq"] = error.expected_seq
    if error.issuer is not None:
        more["issuer"] = error.issuer
    return Problem(error.code, Wording(error.vi, error.en), more)
