# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands out what proves: evidence of a record or a whole journey, the trust file, the log itself.

All of it is public. Private fields are left out, and shown only to the organisation whose records
they are. The log is served as C2SP tlog-tiles (https://c2sp.org/tlog-tiles): paths are matched
against that grammar letter by letter, so that no request reaches anything else on the disk.
"""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from anchor.province import EvidenceTooLarge, NotAnchored, NoTrust, UnknownBatch
from api import openapi
from api.index import Ref
from api.organisations import Organisation, Privacy
from api.problems import Problem
from api.state import State, code_of, reader_of, state_of
from api.static import packed
from api.words import Wording

EVIDENCE_TYPE = "application/vnd.moneo.evidence+json"
TRUST_TYPE = "application/vnd.moneo.trust+json"
RETRY_SECONDS = 2
MAX_CODE = 2048
# Full tiles never change; a partial one is named by its width and is as final.
IMMUTABLE = "public, max-age=31536000, immutable"
FRESH = "public, no-cache"
_RECORD = re.compile(r"([A-Za-z0-9_-]{43})\.(0|[1-9][0-9]{0,9})", re.ASCII)
# level or "entries", then groups of three digits, all but the last with x, then a width (1-255).
_TILE = re.compile(
    r"tile/(?:[0-9]|[1-5][0-9]|6[0-3]|entries)(?:/x[0-9]{3})*/[0-9]{3}"
    r"(?:\.p/(?:[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?",
    re.ASCII,
)
_LATER_LOG = re.compile(r"([2-9]|[1-9][0-9]{1,2})/", re.ASCII)
MAX_TILE_PATH = 64
# A GTIN without a lot or serial number.
_PRODUCT = re.compile(r"/01/[0-9]{14}", re.ASCII)

router = APIRouter(tags=["evidence"])
Reader = Annotated[Organisation | None, Depends(reader_of)]


@router.get("/v1/records/{record}/evidence", **openapi.RECORD_EVIDENCE)
def record_evidence(request: Request, record: str, reader: Reader) -> Response:
    """Return the evidence file of one record."""
    match = _RECORD.fullmatch(record)
    if match is None:
        raise _no_record()
    ref = match.group(1), int(match.group(2))
    state = state_of(request)
    return packed(request, _evidence(state, [ref], reader, state.privacy(reader), record))


@router.get("/v1/evidence", **openapi.CODE_EVIDENCE)
def code_evidence(
    request: Request,
    reader: Reader,
    code: Annotated[
        str, Query(max_length=MAX_CODE, description="A code's path or its whole Digital Link")
    ],
) -> Response:
    """Return one evidence file for all records of a code: its journey."""
    state = state_of(request)
    asked = code_of(code)
    hide = state.privacy(reader)
    journey = state.index.journey(asked, hide)
    if not journey.found:
        raise unknown_code(asked.path)
    if journey.cut:
        raise _too_large()
    name = "_".join(part for part in (asked.gtin, asked.lot, asked.serial) if part) or "code"
    refs = [found.ref for found in journey.found]
    return packed(request, _evidence(state, refs, reader, hide, name))


@router.get("/v1/trust", **openapi.TRUST)
def trust(request: Request) -> Response:
    """Return the trust file: compare its fingerprint with one on paper before pinning it."""
    try:
        data = state_of(request).province.trust()
    except NoTrust as error:
        raise Problem(
            "not-ready",
            Wording(
                "Chưa có tệp tin cậy: nút của tỉnh đang khởi động.",
                "There is no trust file yet: the province's node is starting.",
            ),
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from error
    return packed(request, _file(data, TRUST_TYPE, "moneo-trust.json", FRESH))


@router.get("/v1/trust/pilot", **openapi.PILOT_TRUST)
def pilot_trust(request: Request) -> Response:
    """Return the trust file for evidence given out before the log moved to the consortium's chain."""
    try:
        data = state_of(request).province.pilot_trust()
    except NoTrust as error:
        raise Problem(
            "not-found",
            Wording(
                "Nhật ký này chưa từng ở chuỗi khác.", "This log has never been on another chain."
            ),
        ) from error
    return packed(request, _file(data, TRUST_TYPE, "moneo-trust-pilot.json", FRESH))


@router.get("/log/{path:path}", **openapi.LOG)
async def log_file(request: Request, path: str) -> Response:
    """Return the log's checkpoint, a tile or an entry bundle (C2SP tlog-tiles).

    A log that followed the first has its files under its number: /log/2/checkpoint.
    """
    number, path = _log_and_file(path)
    folder = replace(state_of(request).settings, log_number=number).log_path
    if path == "checkpoint":
        data = await run_in_threadpool(_read, folder / path)
        return Response(
            data, media_type="text/plain; charset=utf-8", headers={"Cache-Control": FRESH}
        )
    if len(path) > MAX_TILE_PATH or not _TILE.fullmatch(path):
        raise _no_tile()
    data = await run_in_threadpool(_read, folder / path)
    headers = {"Cache-Control": IMMUTABLE}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _log_and_file(path: str) -> tuple[int, str]:
    """Which log a path is of, and the file's path there: `2/checkpoint` is the second log's, `checkpoint` the first's."""
    match = _LATER_LOG.match(path)
    return (int(match[1]), path[match.end() :]) if match else (1, path)


def unknown_code(path: str) -> Problem:
    """Return the 404 for a code that no record speaks of."""
    if _PRODUCT.fullmatch(path):
        return Problem(
            "unknown-code",
            Wording(
                "Mã này chỉ nêu loại sản phẩm, còn hồ sơ đi theo lô: hãy thêm số lô hoặc số sê-ri in "
                f"cạnh mã ({path}/10/SỐ-LÔ).",
                "This code names a kind of product only, and records go by lot: add the lot or serial "
                f"number printed beside it ({path}/10/LOT).",
            ),
        )
    return Problem(
        "unknown-code",
        Wording(
            f"Tỉnh chưa nhận hồ sơ nào nói về {path}.",
            f"The province has accepted no record that speaks of {path}.",
        ),
    )


def _evidence(
    state: State, refs: list[Ref], reader: Organisation | None, hide: Privacy, name: str
) -> Response:
    try:
        data = state.province.evidence(refs, hide)
    except UnknownBatch as error:
        raise _no_record() from error
    except NotAnchored as error:
        raise Problem(
            "not-anchored",
            Wording(
                "Chưa neo xong mọi hồ sơ; hãy thử lại sau vài giây.",
                "Not every record is anchored yet; try again in a few seconds.",
            ),
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from error
    except EvidenceTooLarge as error:
        raise _too_large() from error
    # What depends on who asks must not be kept by a cache between us.
    cache = "private, no-store" if reader else FRESH
    return _file(data, EVIDENCE_TYPE, f"{_plain(name)}.evidence.json", cache)


def _file(data: bytes, kind: str, name: str, cache: str) -> Response:
    return Response(
        data,
        media_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": cache,
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
            "Vary": "Authorization",
        },
    )


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise _no_tile() from error


def _no_record() -> Problem:
    return Problem("not-found", Wording("Không có hồ sơ này.", "There is no such record."))


def _no_tile() -> Problem:
    return Problem("not-found", Wording("Nhật ký không có tệp này.", "The log has no such file."))


def _too_large() -> Problem:
    return Problem(
        "journey-too-large",
        Wording(
            "Một tệp bằng chứng chứa tối đa 1.000 hồ sơ và 1 MiB: hãy lấy bằng chứng từng hồ sơ.",
            "One evidence file holds at most 1,000 records and 1 MiB: ask for single records.",
        ),
    )
