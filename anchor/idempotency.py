# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers which request made which batch, so that a repeated request gets its first answer.

An idempotency key is the sender's word for one request and belongs to its organisation. What was
sent is kept only as an HMAC-SHA256 (RFC 2104) under the server's key: whoever reads the database
can't try values against it. The row is written in the transaction that stores the batch, and is
forgotten after 30 days.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    String,
    Table,
    delete,
    insert,
    select,
)

from anchor.errors import FormatError
from anchor.store import HASH, metadata

KEEP_SECONDS: Final = 30 * 86_400
MAX_KEY: Final = 200
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")

requests = Table(
    "requests",
    metadata,
    Column("organisation", String(200), primary_key=True),
    Column("key", String(MAX_KEY), primary_key=True),
    Column("content", LargeBinary(HASH), nullable=False),
    Column("note_hash", LargeBinary(HASH), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)


class KeyReused(FormatError):  # noqa: N818 - a verdict, said as one
    """This organisation has used the idempotency key for other content."""


@dataclass(frozen=True)
class Once:
    """A request to be carried out once: whose, its idempotency key, the HMAC of its content."""

    organisation: str
    key: str
    content: bytes


def once(secret: bytes, organisation: str, key: str, *content: bytes) -> Once:
    """The request of `organisation` that `key` names; `content` is everything that decides its effect.

    The quotes that the header's draft standard puts round a key are no part of it.

    Raises:
        FormatError: not 1 to 200 visible ASCII characters.
    """
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not _KEY.fullmatch(key):
        raise FormatError(f"an Idempotency-Key has 1 to {MAX_KEY} visible ASCII characters")
    return Once(organisation, key, digest(secret, "idempotency", *content))


def digest(secret: bytes, purpose: str, *parts: bytes) -> bytes:
    """HMAC-SHA256 of `parts` under the server's key, one domain a purpose, no two lists alike."""
    mac = hmac.new(secret, f"moneo/{purpose}/v1\n".encode(), hashlib.sha256)
    for part in parts:
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()


def answered(connection: Connection, request: Once, now: int) -> bytes | None:
    """The note hash of the batch that this request made, None if it is new.

    Raises:
        KeyReused: the key stands for other content.
    """
    row = connection.execute(
        select(requests.c.content, requests.c.note_hash).where(
            requests.c.organisation == request.organisation,
            requests.c.key == request.key,
            requests.c.at > now - KEEP_SECONDS,
        )
    ).first()
    if row is None:
        return None
    if not hmac.compare_digest(bytes(row[0]), request.content):
        raise KeyReused("the idempotency key stands for other content")
    return bytes(row[1])


def remember(connection: Connection, request: Once, note_hash: bytes, now: int) -> None:
    """Keep which batch a request made; in the transaction that stores the batch."""
    forget(connection, now)
    connection.execute(
        insert(requests).values(
            organisation=request.organisation,
            key=request.key,
            content=request.content,
            note_hash=note_hash,
            at=now,
        )
    )


def forget(connection: Connection, now: int) -> None:
    """Delete what is older than 30 days."""
    connection.execute(delete(requests).where(requests.c.at <= now - KEEP_SECONDS))
