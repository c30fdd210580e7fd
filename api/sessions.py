# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers who is signed in, in a cookie that the server has sealed and keeps no copy of.

A cookie (RFC 6265) holds a token's id, never its secret, until when, and a seal (HMAC-SHA256 under the
server's key). It is HttpOnly and SameSite=Strict, and Secure under `__Host-` where the public
address is https. The token is looked up at every request, so that revoking it ends its sessions.

A form carries a word that only this cookie's page could know (the seal of the cookie), and a browser
that says a form comes from another site is believed: nobody else's page can sign a person in or send
for them.
"""

import hmac
import re
import secrets
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from anchor.idempotency import digest
from anchor.keys import server_key
from api.organisations import TOKEN_PATTERN, Organisation
from api.state import State, state_of

SESSION_SECONDS = 8 * 3600
NOBODY = "-"
_COOKIE = re.compile(r"([0-9a-f]{16}|-)\.([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{64})")
# What Sec-Fetch-Site says of a page of ours, or of an address that a person typed.
_OURS = (None, "same-origin", "none")


@dataclass(frozen=True)
class Session:
    """One visit: the cookie's text, and the organisation that is signed in, if one is."""

    cookie: str
    member: Organisation | None
    word: str

    def allows(self, request: Request, word: str) -> bool:
        """Whether a form with this word came from a page of this visit."""
        if request.headers.get("sec-fetch-site") not in _OURS:
            return False
        return hmac.compare_digest(self.word.encode(), word.encode())


def session_of(request: Request) -> Session:
    """Return the visit that a request belongs to, a new one of nobody's if it belongs to none."""
    state = state_of(request)
    cookie = request.cookies.get(_name(state), "")
    match = _COOKIE.fullmatch(cookie)
    if not match or not _is_sealed(state, cookie) or int(match[3]) <= time.time():
        return _session(state, _seal(state, NOBODY), None)
    token = match[1]
    member = None if token == NOBODY else state.organisations.by_token_id(token)
    if token != NOBODY and member is None:
        return _session(state, _seal(state, NOBODY), None)
    return _session(state, cookie, member)


def sign_in(request: Request, token: str) -> Session | None:
    """Return a new visit of the organisation that a token belongs to; None for a token not valid."""
    state = state_of(request)
    member, match = state.organisations.by_token(token), TOKEN_PATTERN.fullmatch(token)
    if member is None or match is None:
        return None
    return _session(state, _seal(state, match[1]), member)


def keep(request: Request, response: Response, session: Session) -> None:
    """Set the cookie of a visit, unless the browser has it."""
    state = state_of(request)
    if request.cookies.get(_name(state)) == session.cookie:
        return
    response.set_cookie(
        _name(state),
        session.cookie,
        max_age=SESSION_SECONDS,
        path="/",
        secure=_is_secure(state),
        httponly=True,
        samesite="strict",
    )


def sign_out(request: Request, response: Response) -> None:
    """Make the browser forget the visit."""
    state = state_of(request)
    response.delete_cookie(
        _name(state), path="/", secure=_is_secure(state), httponly=True, samesite="strict"
    )


def _session(state: State, cookie: str, member: Organisation | None) -> Session:
    return Session(cookie, member, _mac(state, "form", cookie))


def _seal(state: State, token: str) -> str:
    text = f"{token}.{secrets.token_hex(16)}.{int(time.time()) + SESSION_SECONDS}"
    return f"{text}.{_mac(state, 'session', text)}"


def _is_sealed(state: State, cookie: str) -> bool:
    text, _, seal = cookie.rpartition(".")
    return hmac.compare_digest(seal, _mac(state, "session", text))


def _mac(state: State, purpose: str, text: str) -> str:
    return digest(server_key(state.settings.server_key), purpose, text.encode()).hex()


def _is_secure(state: State) -> bool:
    return state.settings.public_url.startswith("https://")


def _name(state: State) -> str:
    return "__Host-moneo" if _is_secure(state) else "moneo"
