# SPDX-License-Identifier: GPL-3.0-or-later
"""What every request needs, opened once: the province, its organisations, index and pages.

Also answers who asks (bearer tokens, RFC 6750) and which code an address names. Blocking work is
declared in plain functions, which the server runs in threads.
"""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from anchor.codes import Code, CodeError, check_digit, from_digital_link, parse_path
from anchor.province import Province
from anchor.settings import Settings
from api.index import CodeIndex
from api.organisations import Organisation, Organisations, Privacy
from api.pages import Pages
from api.problems import Problem
from api.static import Assets
from api.words import Wording

MAX_AUTHORIZATION = 200
CHALLENGE = 'Bearer realm="moneo"'


@dataclass(frozen=True)
class State:
    """The open province and what this room keeps beside it."""

    settings: Settings
    province: Province
    organisations: Organisations
    index: CodeIndex
    pages: Pages
    assets: Assets

    @classmethod
    def open(cls, settings: Settings) -> "State":
        """Open everything that the settings name; tables are made if they are missing."""
        province = Province.open(settings)
        organisations = Organisations(province.store.engine, province.origin)
        index = CodeIndex(province)
        assets = Assets.open()
        pages = Pages(province, organisations, assets)
        return cls(settings, province, organisations, index, pages, assets)

    def close(self) -> None:
        """Let go of the province."""
        self.index.close()
        self.province.close()

    def privacy(self, reader: Organisation | None) -> Privacy:
        """Return which fields `reader` may not see; None is the public."""
        return Privacy(self.organisations, reader)


def state_of(request: Request) -> State:
    """Return the state of the application that handles a request."""
    return cast(State, request.app.state.moneo)


def reader_of(request: Request) -> Organisation | None:
    """Return the organisation that asks, None for the public.

    Raises:
        Problem: 401, a token that is not valid. It is never taken for the public's question: whoever
            sends a token expects to see what it opens.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header[:MAX_AUTHORIZATION].partition(" ")
    organisation = None
    if scheme.lower() == "bearer":
        organisation = state_of(request).organisations.by_token(token.strip())
    if organisation is None:
        raise Problem(
            "unauthorized",
            Wording(
                "Mã truy cập không đúng hoặc đã bị thu hồi.",
                "The token is not valid or has been revoked.",
            ),
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
        )
    return organisation


def member_of(request: Request) -> Organisation:
    """Return the organisation that asks.

    Raises:
        Problem: 401, there is no token or it is not valid.
    """
    organisation = reader_of(request)
    if organisation is None:
        raise Problem(
            "unauthorized",
            Wording(
                "Cần gửi kèm mã truy cập của tổ chức: Authorization: Bearer …",
                "Send the organisation's token with the request: Authorization: Bearer …",
            ),
            headers={"WWW-Authenticate": CHALLENGE},
        )
    return organisation


def code_of(text: str) -> Code:
    """Return the code that a path or a whole Digital Link names.

    Raises:
        Problem: 400, saying what is wrong with it.
    """
    try:
        return from_digital_link(text) if "://" in text[:8] else parse_path(text.rstrip("/"))
    except CodeError as error:
        raise Problem("bad-code", _explain(text, error)) from error


def _explain(text: str, error: CodeError) -> Wording:
    gtin = text.partition("/01/")[2].partition("/")[0]
    if not (gtin.isascii() and gtin.isdigit() and len(gtin) == 14):
        return Wording(
            "Mã cần có dạng /01/{GTIN 14 chữ số}/10/{lô} hoặc /21/{số}. Hãy quét lại tem.",
            f"The code has to be like /01/{{14-digit GTIN}}/10/{{lot}} or /21/{{serial}}: {error.en}.",
        )
    wanted = check_digit(gtin[:-1])
    if gtin[-1] != wanted:
        return Wording(
            f"Chữ số kiểm tra của GTIN {gtin} sai: phải là {wanted}. Hãy quét lại tem.",
            f"The check digit of GTIN {gtin} is wrong: it should be {wanted}. Scan the label again.",
        )
    return Wording(
        "Lô hoặc số trên tem có ký tự không dùng được trong mã GS1.",
        f"The lot or serial is not one of GS1's: {error.en}.",
    )
