# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the API together: routes, pages, errors, and the task that keeps the code index up to date."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import quote

import fastapi
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from anchor.backup import BackupError
from anchor.codes import Code
from anchor.errors import AnchorError
from anchor.settings import Settings
from api import evidence, health, openapi, qr, static, submit, upload
from api.evidence import unknown_code
from api.guard import SCRIPTED, Guard, checking_policy
from api.pages import members
from api.places import Places
from api.problems import PROBLEMS, Problem, request_language, respond, wants_page
from api.state import State, code_of, state_of
from api.static import DAY, packed
from api.words import Wording

INDEX_SECONDS = 2.0
GATHER_SECONDS = 0.1
RETRY_SECONDS = 10.0
FORGET_SECONDS = 600.0
LANGUAGE_VARIES = "Accept, Accept-Language"
WORKER_TYPE, INSTALLED_TYPE = "text/javascript; charset=utf-8", "application/manifest+json"
QR: dict[str, tuple[Callable[[str], bytes], str]] = {
    "/qr.svg": (qr.svg, qr.SVG_TYPE),
    "/qr.png": (qr.png, qr.PNG_TYPE),
}
STATUS_CODES = {404: "not-found", 405: "method-not-allowed"}
NOT_STORED = Wording(
    "Máy chủ chưa ghi được vào đĩa (đầy, chỉ đọc hoặc đang bận); chưa lưu gì. Hãy gửi lại sau.",
    "The server can't use its disk now (full, read-only or busy); nothing was kept. Send it again later.",
)
NOT_BUILT = Wording(
    "Máy chủ này chưa dựng phần kiểm tra trong trình duyệt: người vận hành chạy scripts/web.",
    "This server's checking page has not been built: its operator runs scripts/web.",
)
# How /verify stands among a phone's installed programs.
INSTALLED: Mapping[str, object] = {
    "id": "/verify",
    "name": "Moneo: kiểm tra · verify",
    "short_name": "Moneo",
    "lang": "vi",
    "start_url": "/verify",
    "scope": "/verify",
    "display": "standalone",
    "theme_color": "#0d5752",
    "background_color": "#faf6ee",
}
NO_PAGE = Wording("Không có gì ở địa chỉ này.", "There is nothing at this address.")
BAD_METHOD = Wording(
    "Địa chỉ này không nhận phương thức đó.", "This address does not take that method."
)

log = logging.getLogger("moneo.api")
router = fastapi.APIRouter(include_in_schema=False)


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application of a province; it opens the province when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = await run_in_threadpool(State.open, settings)
        app.state.moneo, app.state.wake = state, asyncio.Event()
        # The bounds are the machine's; each worker has its share of them.
        app.state.bodies = Places(-(-submit.MAX_BODIES // settings.workers))
        app.state.salting = asyncio.Semaphore(-(-submit.MAX_SALTING // settings.workers))
        indexing = asyncio.create_task(_keep_indexed(state, app.state.wake))
        try:
            yield
        finally:
            indexing.cancel()
            with suppress(asyncio.CancelledError):
                await indexing
            await run_in_threadpool(state.close)

    app = FastAPI(
        title="Moneo",
        version=_version(),
        description="Signed batches in, offline proofs out. Hồ sơ đã ký đi vào, bằng chứng kiểm tra ngoại tuyến đi ra.",
        lifespan=lifespan,
        # The documents that FastAPI would serve load a third party's scripts.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for part in (
        submit.router,
        evidence.router,
        health.router,
        upload.router,
        static.router,
        router,
    ):
        app.include_router(part)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in (OperationalError, OSError):
        app.add_exception_handler(kind, _on_storage)
    app.add_exception_handler(BackupError, _on_restored)
    app.add_middleware(Guard)
    return app


async def _keep_indexed(state: State, wake: asyncio.Event) -> None:
    """Index what was accepted, at once if it came in here; forget now and then what is no longer needed."""
    pause, clock = INDEX_SECONDS, asyncio.get_running_loop().time
    forgotten = clock() - FORGET_SECONDS
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), pause)
            # What comes in next is then indexed with it: to index a batch alone costs more than to accept it.
            await asyncio.sleep(GATHER_SECONDS)
        wake.clear()
        try:
            await run_in_threadpool(state.index.catch_up)
            if clock() - forgotten > FORGET_SECONDS:
                await run_in_threadpool(_forget, state)
                forgotten = clock()
            pause = INDEX_SECONDS
        except (SQLAlchemyError, AnchorError) as error:
            # Nothing is lost: the index goes on from its cursor once the database answers again.
            log.warning("the code index waits: %s", str(error).splitlines()[0])
            pause = RETRY_SECONDS


def _forget(state: State) -> None:
    state.province.forget()
    upload.drafts_of(state).forget()


def _version() -> str:
    try:
        return version("moneo")
    except PackageNotFoundError:
        return "0"


# Pages


@router.get("/")
def home(request: Request) -> Response:
    """Show the front page."""
    language = request_language(request)
    return _page(request, state_of(request).pages.home(language))


@router.get("/find")
def find(code: str = "", lang: str = "") -> Response:
    """Lead from the front page's form to the page of a code."""
    asked = code_of(code.strip())
    wish = f"?lang={lang}" if lang in ("vi", "en") else ""
    return RedirectResponse(asked.path + wish, 303)


@router.get("/01/{rest:path}")
@router.get("/c/{rest:path}")
def code_page(request: Request) -> Response:
    """Show the page of a code, or draw its QR code."""
    # The path as it was sent: a lot may hold an encoded slash.
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    for suffix, (draw, kind) in QR.items():
        if path.endswith(suffix):
            code = code_of(path.removesuffix(suffix))
            address = qr.link(state_of(request).settings.public_url, code)
            return Response(draw(address), media_type=kind, headers=DAY)
    return _product_page(request, code_of(path))


def _product_page(request: Request, code: Code) -> Response:
    state, language = state_of(request), request_language(request)
    journey = state.index.journey(code, state.privacy(None))
    if not journey.found:
        raise unknown_code(code.path)
    links = (
        f'</v1/evidence?code={code.path}>; rel="describedby"; type="{evidence.EVIDENCE_TYPE}"',
        f'<{code.path}>; rel="canonical"',
    )
    html = state.pages.product(journey, language)
    return _page(request, html, {"Link": ", ".join(links), **SCRIPTED})


@router.get("/verify")
def verify_page(request: Request) -> Response:
    """Show the page that checks evidence in the browser that opens it."""
    state = state_of(request)
    if "verify" not in state.assets.names:
        raise Problem("not-ready", NOT_BUILT)
    html = state.pages.verify(request_language(request))
    return _page(request, html, _checking(state))


@router.get("/verify/worker.js")
def worker(request: Request) -> Response:
    """Return the service worker, by which /verify opens without a network."""
    state = state_of(request)
    if not state.assets.worker:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache", "Service-Worker-Allowed": "/verify", **_checking(state)}
    return packed(request, Response(state.assets.worker, media_type=WORKER_TYPE, headers=headers))


def _checking(state: State) -> dict[str, str]:
    """Return what a browser lets /verify do: fetch from members' pages, and read a code by the camera."""
    hosts = (host for member in members(state.province) for host in member.hosts)
    return {
        "Content-Security-Policy": checking_policy(hosts),
        "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    }


@router.get("/verify/app.webmanifest")
def installed(request: Request) -> Response:
    """Describe /verify as what a phone installs (https://www.w3.org/TR/appmanifest/)."""
    names = state_of(request).assets.names
    icons = [
        {"src": names[name], "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size, purpose in ((192, "any"), (512, "any"), (512, "maskable"))
        if (name := f"icon-{size}") in names
    ]
    return JSONResponse({**INSTALLED, "icons": icons}, headers=DAY, media_type=INSTALLED_TYPE)


@router.get("/problems/{code}")
def problem_page(request: Request, code: str) -> Response:
    """Explain a kind of problem: the address that its `type` names."""
    if code not in PROBLEMS:
        raise HTTPException(404)
    language, kind = request_language(request), PROBLEMS[code]
    detail = Wording(f"HTTP {kind.status}, {code}.", f"HTTP {kind.status}, {code}.")
    html = state_of(request).pages.problem(Problem(code, detail), language, f"/problems/{code}")
    return _page(request, html)


@router.get("/robots.txt")
def robots() -> Response:
    """Keep search engines off the programs' addresses."""
    return Response("User-agent: *\nDisallow: /v1/\n", media_type="text/plain", headers=DAY)


def _page(request: Request, html: str, more: Mapping[str, str] | None = None) -> Response:
    headers = {
        "Content-Language": request_language(request),
        "Vary": LANGUAGE_VARIES,
        "Cache-Control": "no-cache",
        **(more or {}),
    }
    return packed(request, HTMLResponse(html, headers=headers))


# Errors


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else Problem("failed", NO_PAGE)
    if not wants_page(request):
        return respond(request, problem)
    language = request_language(request)
    # Two slashes at the beginning would make the page's links lead to another host.
    path = "/" + quote(request.scope["path"].lstrip("/"))
    html = await run_in_threadpool(state_of(request).pages.problem, problem, language, path)
    response = _page(request, html, {"Cache-Control": "no-store", **problem.headers})
    response.status_code = problem.kind.status
    return response


async def _on_storage(request: Request, error: Exception) -> Response:
    """The disk is full, read-only or gone: nothing was acknowledged, and later it may be."""
    log.error("the data folder cannot be used: %s", str(error).splitlines()[0])
    return await _on_problem(
        request, Problem("not-ready", NOT_STORED, headers={"Retry-After": "10"})
    )


async def _on_restored(request: Request, error: Exception) -> Response:
    """The folder was restored: it shows what it has and takes nothing new before it is compared."""
    vi, _, en = str(error).partition(" · ")
    return await _on_problem(request, Problem("not-ready", Wording(vi, en)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    code = STATUS_CODES.get(status, "bad-request")
    detail = BAD_METHOD if status == 405 else NO_PAGE
    return await _on_problem(request, Problem(code, detail, headers=headers))


async def _on_invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    where = ".".join(str(part) for part in found[0]["loc"]) if found else ""
    detail = Wording(f"Thiếu hoặc sai: {where}.", f"Missing or wrong: {where}.")
    return await _on_problem(request, Problem("not-valid", detail))
