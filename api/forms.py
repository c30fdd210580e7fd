# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a browser's form sends: a few short fields and at most one file, already in memory.

Bodies are bounded before they come here. `multipart/form-data` is RFC 7578's, as browsers write it;
the other form is the URL standard's `application/x-www-form-urlencoded`.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

MAX_FIELDS = 8
MAX_PART_HEADER = 2048
MAX_FIELD = 512
MAX_SHORT_FORM = 8 * 1024
MAX_FILE_NAME = 120
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_BOUNDARY = re.compile(r'boundary="?([A-Za-z0-9\'()+_,./:=? -]{1,70})"?\s*$')
_NAME = re.compile(rb'[; ]name="([a-z_]{1,32})"')
_FILE_NAME = re.compile(rb'[; ]filename="([^"]*)"')


class FormError(ValueError):
    """A body that no form of ours sends."""


@dataclass(frozen=True)
class File:
    """An uploaded file; `name` is the sender's, for its ending and for showing it."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """The fields of a form, and its file if one was chosen."""

    fields: dict[str, str]
    file: File | None = None

    def get(self, name: str) -> str:
        """Return a field, "" if it was not sent."""
        return self.fields.get(name, "")


def parse_form(content_type: str, body: bytes) -> Form:
    """Return the form of a body.

    Raises:
        FormError: another type, or not well formed.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == URLENCODED and len(body) <= MAX_SHORT_FORM:
        return _short_form(body)
    boundary = _BOUNDARY.search(content_type)
    if kind != MULTIPART or not boundary:
        raise FormError("not a form")
    return _multipart(body, boundary[1].encode())


def _short_form(body: bytes) -> Form:
    try:
        pairs = parse_qsl(body.decode("ascii"), True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise FormError("not a form") from error
    return Form({name: _bounded(value) for name, value in pairs})


def _multipart(body: bytes, boundary: bytes) -> Form:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_FIELDS + 2)
    if len(pieces) < 2 or pieces[0] or pieces[-1].rstrip() != b"--":
        raise FormError("the parts of the form do not end")
    fields: dict[str, str] = {}
    file = None
    for piece in pieces[1:-1]:
        head, separator, data = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or not name or len(head) > MAX_PART_HEADER:
            raise FormError("a part of the form has no name")
        if (chosen := _FILE_NAME.search(head)) is None:
            fields[name[1].decode()] = _bounded(data.decode("utf-8", "replace"))
        elif chosen[1] or data:
            file = File(_file_name(chosen[1]), data)
    return Form(fields, file)


def _bounded(value: str) -> str:
    if len(value) > MAX_FIELD:
        raise FormError("a field is too long")
    return value


def _file_name(raw: bytes) -> str:
    """Return the last part of a path, printable and short."""
    name = re.split(r"[/\\]", raw.decode("utf-8", "replace"))[-1]
    return "".join(c for c in name if c.isprintable())[-MAX_FILE_NAME:]
