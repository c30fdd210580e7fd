# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload page: a cooperative sends its diary from a browser, and sees each row checked first.

    GET  /upload                    sign in, or choose a file
    POST /upload/sign-in, sign-out  with the organisation's token
    GET  /upload/nhat-ky-….xlsx     a diary to fill in
    POST /upload                    check a file; nothing is written to the log
    GET  /upload/{id}               what is good and what is wrong
    POST /upload/{id}               send the good rows through the plain door, once
    GET  /upload/{id}/can-sua.xlsx  the wrong rows, their cells marked

Everything works without scripts. A form is answered by a redirect, so that going back or reloading
sends nothing twice; the rows are sent under an idempotency key of the draft's own.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fastapi
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from anchor.province import Accepted
from anchor.record import Mode
from anchor.xlsx import MAX_FILE_BYTES, SheetError
from api import labels, sheets
from api.drafts import Draft, Drafts
from api.forms import Form, FormError, parse_form
from api.organisations import Organisation
from api.pages import trust_summary
from api.problems import Problem, request_language
from api.sessions import Session, keep, session_of, sign_in, sign_out
from api.sheets import Kind, Row
from api.state import State, state_of
from api.submit import read_body, refusing
from api.words import Language, Wording

PATH = "/upload"
MAX_FORM_BYTES = MAX_FILE_BYTES + 16 * 1024
SHORT_FORM_BYTES = 8 * 1024
SHOWN_ROWS = 100
MAX_LINKS = 5
TEMPLATES: dict[str, Kind] = {"nhat-ky-cua.xlsx": "crab", "nhat-ky-tom.xlsx": "shrimp"}
IN_USE = ("pending", "registered")
PRIVATE = {"Cache-Control": "no-store"}

BAD_TOKEN = Wording(
    "Mã truy cập không đúng hoặc đã bị thu hồi.", "The token is not valid or has been revoked."
)
NO_FILE = Wording("Hãy chọn một tệp.", "Choose a file.")
STALE = Wording(
    "Trang này đã cũ: hãy mở lại trang gửi nhật ký và thử lại.",
    "This page is out of date: open the upload page again and try once more.",
)
NO_DRAFT = Wording(
    "Không có bảng này, hoặc đã quá hai giờ: hãy gửi lại tệp để kiểm tra.",
    "There is no such table, or two hours have passed: send the file again to check it.",
)
SIGN_IN_FIRST = Wording("Hãy đăng nhập ở trang gửi nhật ký.", "Sign in on the upload page first.")

router = fastapi.APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Shown:
    """One row as the page shows it: where it is, what it is about, what to mend."""

    number: int
    about: str
    wrong: tuple[tuple[str, str], ...]


@router.get(PATH)
def upload_page(request: Request) -> Response:
    """Show the form to sign in with, or to send a diary with."""
    return _form_page(request, session_of(request))


@router.post(PATH + "/sign-in")
async def enter(request: Request) -> Response:
    """Begin a session with an organisation's token."""
    visit = await run_in_threadpool(session_of, request)
    form = await _form(request, visit, SHORT_FORM_BYTES)
    session = await run_in_threadpool(sign_in, request, form.get("token").strip())
    if session is None:
        return await run_in_threadpool(_form_page, request, visit, BAD_TOKEN, 401)
    response = _to(request, PATH)
    keep(request, response, session)
    return response


@router.post(PATH + "/sign-out")
async def leave(request: Request) -> Response:
    """End the session."""
    await _form(request, await run_in_threadpool(session_of, request), SHORT_FORM_BYTES)
    response = _to(request, PATH)
    sign_out(request, response)
    return response


@router.get(PATH + "/{name}.xlsx")
def template(name: str) -> Response:
    """Return a diary to fill in."""
    kind = TEMPLATES.get(f"{name}.xlsx")
    if kind is None:
        raise Problem("not-found", NO_DRAFT)
    return _workbook(sheets.template(kind), f"{name}.xlsx", "public, max-age=86400")


@router.post(PATH)
async def check(request: Request) -> Response:
    """Check a diary and keep it for its confirmation."""
    session = await run_in_threadpool(session_of, request)
    member = _member(session)
    state = state_of(request)
    async with request.app.state.bodies.taken(member.id):
        form = await _form(request, session, MAX_FORM_BYTES)
        mode: Mode = "practice" if form.get("mode") == "practice" else "live"
        if form.file is None:
            return await run_in_threadpool(_form_page, request, session, NO_FILE, 422)
        file = form.file

        def keep_draft() -> Draft:
            diary = sheets.read(file.name, file.data, state.province.finder(member.id))
            _ = diary.rows
            return drafts_of(state).add(member.id, file.name, mode, diary)

        try:
            async with request.app.state.salting:
                draft = await run_in_threadpool(keep_draft)
        except SheetError as error:
            said = Wording(error.vi, error.en)
            return await run_in_threadpool(_form_page, request, session, said, 422)
    return _to(request, f"{PATH}/{draft.id}")


@router.get(PATH + "/{identifier}")
def checked(request: Request, identifier: str) -> Response:
    """Show what was checked, or where the rows that were sent stand."""
    session = session_of(request)
    member = _member(session)
    draft = _draft(request, member, identifier)
    language = request_language(request)
    good, bad = draft.diary.good, draft.diary.bad
    return _page(
        request,
        session,
        "checked.html",
        f"{PATH}/{identifier}",
        draft=draft,
        good=len(good),
        good_rows=[_shown(row, draft, language) for row in good[:SHOWN_ROWS]],
        bad=len(bad),
        shown=[_shown(row, draft, language) for row in bad[:SHOWN_ROWS]],
        status=state_of(request).province.status(draft.batch) if draft.batch else None,
        as_of=labels.moment(datetime.now(UTC), language),
        validators=trust_summary(state_of(request).province)[1],
    )


@router.post(PATH + "/{identifier}")
async def confirm(request: Request, identifier: str) -> Response:
    """Send the good rows of a checked diary, once."""
    session = await run_in_threadpool(session_of, request)
    member = _member(session)
    await _form(request, session, SHORT_FORM_BYTES)
    async with request.app.state.salting:
        await run_in_threadpool(_send, request, member, identifier)
    request.app.state.wake.set()
    return _to(request, f"{PATH}/{identifier}")


@router.get(PATH + "/{identifier}/can-sua.xlsx")
def to_mend(request: Request, identifier: str) -> Response:
    """Return the wrong rows with their cells marked."""
    member = _member(session_of(request))
    draft = _draft(request, member, identifier)
    return _workbook(sheets.marked(draft.diary), "can-sua.xlsx", "no-store")


def drafts_of(state: State) -> Drafts:
    """Return the drafts of the province."""
    return Drafts(state.settings.data)


def _send(request: Request, member: Organisation, identifier: str) -> None:
    state = state_of(request)
    draft = _draft(request, member, identifier)
    good = draft.diary.good
    if draft.batch or not good:
        return
    entries = [row.entry for row in good if row.entry is not None]
    # Should the answer be lost, the draft is still there, and sending it again is the same request.
    once = state.province.once(member.id, f"upload-{draft.id}", draft.diary.encode())

    def accept() -> Accepted:
        return state.province.accept_entries(entries, draft.mode, member.id, request=once)

    drafts_of(state).sent(member.id, draft, refusing(accept).batch, _codes(draft))


def _draft(request: Request, member: Organisation, identifier: str) -> Draft:
    state = state_of(request)
    draft = drafts_of(state).get(member.id, identifier, state.province.finder(member.id))
    if draft is None:
        raise Problem("not-found", NO_DRAFT)
    return draft


def _member(session: Session) -> Organisation:
    if session.member is None:
        raise Problem("unauthorized", SIGN_IN_FIRST)
    return session.member


async def _form(request: Request, session: Session, most: int) -> Form:
    """Read a form that came from a page of this visit.

    Raises:
        Problem: 413, 408, 422, or 403 for a form of another page.
    """
    body = await read_body(request, most)
    try:
        form = parse_form(request.headers.get("content-type", ""), body)
    except FormError as error:
        raise Problem("not-valid", STALE) from error
    if not session.allows(request, form.get("word")):
        raise Problem("forbidden", STALE)
    return form


def _shown(row: Row, draft: Draft, language: Language) -> Shown:
    cells = dict(zip(draft.diary.columns, row.cells, strict=False))
    about = " · ".join(cells[c].strip()[:60] for c in ("stage", "time", "lot") if cells.get(c))
    return Shown(
        row.number,
        about,
        tuple(
            (sheets.label(e.column).pick(language), Wording(e.vi, e.en).pick(language))
            for e in row.wrong
        ),
    )


def _codes(draft: Draft) -> list[str]:
    """The codes that the last good rows speak of: the pages to look at next."""
    entries = (row.entry for row in reversed(draft.diary.good))
    return list(dict.fromkeys(e.codes[-1].path for e in entries if e and e.codes))[:MAX_LINKS]


def _form_page(
    request: Request, session: Session, said: Wording | None = None, status: int = 200
) -> Response:
    language = request_language(request)
    return _page(
        request,
        session,
        "upload.html",
        PATH,
        status,
        said=said.pick(language) if said else "",
        kept=session.member is not None and _is_kept(state_of(request), session.member),
        most=MAX_FILE_BYTES // 2**20,
        most_rows=labels.number(sheets.MAX_ROWS, language),
    )


def _is_kept(state: State, member: Organisation) -> bool:
    return any(
        key.custody == "operator" and key.state in IN_USE
        for key in state.province.issuers(member.id)
    )


def _page(
    request: Request,
    session: Session,
    template_name: str,
    path: str,
    status_code: int = 200,
    **values: Any,
) -> Response:
    language = request_language(request)
    html = state_of(request).pages.render(
        template_name, language, path, member=session.member, word=session.word, **values
    )
    response = HTMLResponse(html, status_code, {"Content-Language": language, **PRIVATE})
    keep(request, response, session)
    return response


def _to(request: Request, path: str) -> Response:
    language = request_language(request)
    return RedirectResponse(f"{path}?lang={language}", 303, PRIVATE)


def _workbook(data: bytes, name: str, cache: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": cache}
    return Response(data, media_type=sheets.XLSX_TYPE, headers=headers)
