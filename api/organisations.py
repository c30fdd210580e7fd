# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps who may submit: organisations, the fields they keep private, and their bearer tokens (RFC 6750).

A token is `moneo_<id>_<secret>`: the id finds the row, the secret is 256 random bits, shown once and
kept only as SHA-256 (a random secret of that length needs no slow hash). The secret is compared in
constant time, and an unknown id costs the same as a wrong secret.

    OrganisationError
    ├── UnknownOrganisation   no organisation of that name
    └── OrganisationExists    the name is taken
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import Engine

from anchor.codes import CodeError, parse_path
from anchor.keys import new_issuer_id
from api.tables import create_tables

ID_LENGTH = 16
TOKEN_PATTERN = re.compile(r"moneo_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
MAX_NAME = 200
MAX_PREFIXES = 100
MAX_PRIVATE_FIELDS = 256
FIELD_PATTERN = re.compile(r"[A-Za-z0-9_.:@-]{1,64}", re.ASCII)
NO_DIGEST = b"\0" * 32

metadata = sa.MetaData()
organisation_table = sa.Table(
    "organisation",
    metadata,
    sa.Column("id", sa.String(ID_LENGTH), primary_key=True),
    sa.Column("name", sa.String(MAX_NAME), nullable=False, unique=True),
    sa.Column("issuer", sa.String(300), nullable=False, unique=True),
    sa.Column("prefixes", sa.Text, nullable=False),
    sa.Column("private_fields", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
token_table = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column(
        "organisation", sa.String(ID_LENGTH), sa.ForeignKey("organisation.id"), nullable=False
    ),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger, nullable=False, default=0),
)

# Built once, since every page and every request of a member asks them.
_BY_ID = sa.select(organisation_table).where(organisation_table.c.id == sa.bindparam("id"))
_BY_TOKEN = (
    sa.select(token_table.c.digest, token_table.c.revoked, organisation_table)
    .join(organisation_table, organisation_table.c.id == token_table.c.organisation)
    .where(token_table.c.id == sa.bindparam("token"))
)


class OrganisationError(ValueError):
    """What an operator asked for cannot be done; the message says why."""


class UnknownOrganisation(OrganisationError):  # noqa: N818 - reads as what it is
    """No organisation has that name or id."""


class OrganisationExists(OrganisationError):  # noqa: N818 - reads as what it is
    """An organisation of that name is already there."""


@dataclass(frozen=True)
class Organisation:
    """One organisation: `id` is what the anchor knows it by, in whichever log of the province."""

    id: str
    name: str
    prefixes: tuple[str, ...]
    private_fields: frozenset[str]
    log: Callable[[], str] = field(repr=False, compare=False)

    @property
    def issuer(self) -> str:
        """The name its notes are signed as in the log that takes them now."""
        return f"{self.log()}/{self.id}"


@dataclass(frozen=True)
class TokenRow:
    """A token without its secret: id, when made and when revoked (POSIX seconds, 0 = valid)."""

    id: str
    created: int
    revoked: int


@dataclass(frozen=True)
class Token:
    """A new token. `secret` is the whole text to hand over; it prints as stars and is not kept."""

    id: str
    secret: str = field(repr=False)


class Organisations:
    """The organisations of one province, in the province's database."""

    def __init__(self, engine: Engine, origin: Callable[[], str]) -> None:
        """`origin` tells the name of the log that they submit to now; issuer names begin with it."""
        self._engine = engine
        self._origin = origin
        create_tables(engine, metadata)

    def add_organisation(
        self, name: str, prefixes: Sequence[str] = (), private_fields: Sequence[str] = ()
    ) -> str:
        """Add an organisation and return its issuer name, `<origin>/<16 random base32 characters>`.

        Args:
            name: the name that people read; unique in the province.
            prefixes: code-path prefixes it owns, such as "/01/09521234".
            private_fields: names of fields that are shown to nobody but itself.

        Raises:
            OrganisationExists: the name is taken.
            OrganisationError: a name, prefix or field that is malformed.
        """
        name = _name(name)
        identifier = new_issuer_id()
        row = {
            "id": identifier,
            "name": name,
            "issuer": f"{self._origin()}/{identifier}",
            "prefixes": json.dumps(
                [check_prefix(prefix) for prefix in _few(prefixes, MAX_PREFIXES)]
            ),
            "private_fields": json.dumps(
                sorted({_field(f) for f in _few(private_fields, MAX_PRIVATE_FIELDS)})
            ),
            "created": int(time.time()),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(organisation_table).values(row))
        except sa.exc.IntegrityError as error:
            raise OrganisationExists(
                f"đã có tổ chức tên này · an organisation named {name!r} is already there"
            ) from error
        return str(row["issuer"])

    def all(self) -> list[Organisation]:
        """Return every organisation, in the order of their names."""
        query = sa.select(organisation_table).order_by(organisation_table.c.name)
        with self._engine.connect() as connection:
            return [self._organisation(row) for row in connection.execute(query)]

    def by_name(self, name: str) -> Organisation:
        """Return the organisation called `name` (or with that id or issuer name).

        Raises:
            UnknownOrganisation: there is none.
        """
        table = organisation_table.c
        found = self._one(sa.or_(table.name == name, table.id == name.rpartition("/")[2]))
        if found is None:
            raise UnknownOrganisation(f"không có tổ chức tên này · no organisation named {name!r}")
        return found

    def by_issuer(self, issuer: str) -> Organisation | None:
        """Return the organisation that signs, or has signed in an earlier log, as `issuer`; None if there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(_BY_ID, {"id": _id_of(issuer)}).one_or_none()
        return None if row is None else self._organisation(row)

    def new_token(self, name: str) -> Token:
        """Make a token for the organisation called `name`; its secret cannot be read again.

        Raises:
            UnknownOrganisation: there is none of that name.
        """
        organisation = self.by_name(name)
        identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": identifier,
            "organisation": organisation.id,
            "digest": _digest(secret),
            "created": int(time.time()),
            "revoked": 0,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(token_table).values(row))
        return Token(identifier, f"moneo_{identifier}_{secret}")

    def tokens(self, name: str) -> list[TokenRow]:
        """Return the tokens of the organisation called `name`, oldest first, without their secrets."""
        table = token_table.c
        query = sa.select(table.id, table.created, table.revoked).where(
            table.organisation == self.by_name(name).id
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.created, table.id))
            return [TokenRow(row.id, row.created, row.revoked) for row in rows]

    def revoke(self, token: str) -> bool:
        """Revoke a token by its id or whole text; answers False when there is no such valid token."""
        match = TOKEN_PATTERN.fullmatch(token)
        identifier = match.group(1) if match else token
        change = (
            sa.update(token_table)
            .where(token_table.c.id == identifier, token_table.c.revoked == 0)
            .values(revoked=int(time.time()))
        )
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def by_token(self, token: str) -> Organisation | None:
        """Return the organisation a bearer token belongs to, or None for any token that is not valid."""
        match = TOKEN_PATTERN.fullmatch(token)
        if match is None:
            return None
        identifier, secret = match.groups()
        with self._engine.connect() as connection:
            row = connection.execute(_BY_TOKEN, {"token": identifier}).one_or_none()
        digest = NO_DIGEST if row is None else bytes(row.digest)
        if not hmac.compare_digest(digest, _digest(secret)) or row is None or row.revoked:
            return None
        return self._organisation(row)

    def by_token_id(self, identifier: str) -> Organisation | None:
        """Return the organisation of a token whose secret was shown before; None once it is revoked."""
        chosen = (token_table.c.id == identifier, token_table.c.revoked == 0)
        query = sa.select(token_table.c.organisation).where(*chosen)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._one(organisation_table.c.id == row.organisation)

    def _one(self, condition: sa.ColumnElement[bool]) -> Organisation | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(organisation_table).where(condition)).one_or_none()
        return None if row is None else self._organisation(row)

    def _organisation(self, row: sa.Row[tuple[object, ...]]) -> Organisation:
        values = row._mapping
        return Organisation(
            str(values["id"]),
            str(values["name"]),
            tuple(json.loads(values["prefixes"])),
            frozenset(json.loads(values["private_fields"])),
            self._origin,
        )


class Privacy:
    """Which fields one reader may not see: every organisation's private ones but the reader's own.

    Call it with an issuer name and a field name. Of an issuer that no organisation stands behind
    nothing is shown, since nobody has said what may be.
    """

    def __init__(self, organisations: Organisations, reader: Organisation | None = None) -> None:
        self._organisations = organisations
        self._reader = reader
        self._known: dict[str, Organisation | None] = {}

    def __call__(self, issuer: str, name: str) -> bool:
        """Answer whether the reader may not see the field `name` of what `issuer` signed."""
        if self._reader is not None and self._reader.id == _id_of(issuer):
            return False
        if issuer not in self._known:
            self._known[issuer] = self._organisations.by_issuer(issuer)
        organisation = self._known[issuer]
        return organisation is None or name in organisation.private_fields


def check_prefix(prefix: str) -> str:
    """Return a code-path prefix as it is compared: "/01/" and 2 to 14 digits, or a whole code's path.

    Raises:
        OrganisationError: it is neither.
    """
    if re.fullmatch(r"/01/[0-9]{2,13}", prefix, re.ASCII):
        return prefix
    try:
        return parse_path(prefix).path
    except CodeError as error:
        raise OrganisationError(
            "đầu mã: hãy viết /01/ và các chữ số đầu của GTIN · "
            f"prefix {prefix!r}: write /01/ and the first digits of the GTIN, such as /01/09521234"
        ) from error


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise OrganisationError(
            f"tên dài 1 đến {MAX_NAME} ký tự in được · a name has 1 to {MAX_NAME} printable characters"
        )
    return name


def _few(values: Sequence[str], most: int) -> Sequence[str]:
    if len(values) > most:
        raise OrganisationError(f"nhiều hơn {most} mục · more than {most} entries")
    return values


def _field(name: str) -> str:
    if not FIELD_PATTERN.fullmatch(name):
        raise OrganisationError(f"tên trường không đúng · {name!r} is no field name")
    return name


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _id_of(issuer: str) -> str:
    # A business keeps its id when the province begins another log.
    return issuer.rpartition("/")[2]
