# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose signatures the log takes: issuer keys, from their request to their revocation.

PROTOCOL §4: a key registers once, is never reactivated and keeps its custody for life; possession
is proven off chain, by the signed request; the chain holds only the leaf hash of a salted
registration record. This module writes the wish into the database ("pending", "revoking"); the
anchor process, which alone uses the member's key, makes it so on the chain.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import Connection, RowMapping, Select, bindparam, insert, or_, select, update

from anchor import ijson
from anchor.codes import CodeError, parse_path
from anchor.errors import AnchorError, FormatError
from anchor.keys import open_request
from anchor.note import key_hash
from anchor.record import salt
from anchor.store import Store, issuers, next_id

if TYPE_CHECKING:
    from anchor.epochs import Epoch

Custody = Literal["holder", "operator"]
# "refused": the chain knows this key from another registration, so nothing it signs can be proven.
IssuerState = Literal["pending", "registered", "revoking", "revoked", "refused"]

REGISTRATION: Final = "moneo.registration"
CUSTODIES: Final = ("holder", "operator")
# A key may sign as soon as it is asked for: it is on the chain before the first anchor over it.
ACCEPTED_STATES: Final = ("pending", "registered")
MAX_PREFIXES: Final = 100
MAX_TEXT: Final = 200
_GTIN_PREFIX = re.compile(r"/01/[0-9]{2,13}", re.ASCII)


class IssuerRefused(AnchorError):  # noqa: N818 - a verdict, said as one
    """An issuer key can't be added or revoked; the text says why."""


@dataclass(frozen=True)
class Issuer:
    """One issuer key and where it stands.

    `id` is the database's number; `key_id` the untruncated H(name ‖ 0A ‖ 01 ‖ public key);
    `registered` and `revoked` are EVM block numbers, 0 until it has happened; `registration` is
    the presentation of the registration record, `registration_leaf` its leaf hash.
    """

    id: int
    organisation: str
    name: str
    public_key: bytes
    key_id: bytes
    custody: Custody
    prefixes: tuple[str, ...]
    display: str
    state: IssuerState
    registered: int
    revoked: int
    registration: bytes
    registration_leaf: bytes
    created_at: int


# Built once, since every evidence file asks them.
_BY_ID: Final = select(issuers).where(issuers.c.id == bindparam("id"))
_NEWEST: Final = (
    select(issuers)
    .where(issuers.c.name == bindparam("name"))
    .order_by(issuers.c.id.desc())
    .limit(1)
)


class Issuers:
    """The registry of issuer keys; `logs` tells the province's logs, of which the last one takes new keys."""

    def __init__(self, store: Store, logs: Callable[[Connection], Sequence[Epoch]]) -> None:
        self._store = store
        self._logs = logs

    def add(
        self,
        organisation: str,
        request: bytes,
        custody: Custody,
        prefixes: Sequence[str],
        display: str,
    ) -> Issuer:
        """Add the key of a signed request; see Province.add_issuer."""
        name, public_key = _open(request)
        _check_words(organisation, custody, display)
        paths = _check_prefixes(prefixes)
        values = _values(organisation, name, public_key, custody, paths, display)
        with self._store.write() as connection:
            # In here: another log may have taken over since.
            _check_log(self._logs(connection), name, public_key)
            known = _find_same(connection, organisation, name, public_key)
            if known:
                return known
            values["id"] = next_id(connection, issuers)
            connection.execute(insert(issuers).values(values))
            return by_id(connection, values["id"])

    def newest(self, name: str) -> Issuer | None:
        """The newest key of an issuer name, or None."""
        with self._store.read() as connection:
            row = connection.execute(_NEWEST, {"name": name}).mappings().first()
        return read_issuer(row) if row else None

    def of(self, organisation: str | None = None) -> list[Issuer]:
        """All keys of an organisation, of all if None, oldest first."""
        query = select(issuers)
        if organisation is not None:
            query = query.where(issuers.c.organisation == organisation)
        return self._all(query)

    def revoke(self, name: str, key_id: bytes) -> Issuer:
        """Ask for a key's revocation; see Province.revoke_issuer."""
        with self._store.write() as connection:
            chosen = (issuers.c.name == name, issuers.c.key_id == key_id)
            row = connection.execute(select(issuers.c.id).where(*chosen)).first()
            if row is None:
                raise IssuerRefused(f"không có khóa này · {name} has no such key")
            ask = update(issuers).where(*chosen, issuers.c.state.in_(ACCEPTED_STATES))
            connection.execute(ask.values(state="revoking"))
            return by_id(connection, row[0])

    def _all(self, query: Select[Any]) -> list[Issuer]:
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(issuers.c.id)).mappings()
            return [read_issuer(row) for row in rows]


def _open(request: bytes) -> tuple[str, bytes]:
    try:
        return open_request(request)
    except FormatError as error:
        raise IssuerRefused(
            f"yêu cầu khóa không đúng · the key request is no good: {error}"
        ) from error


def _check_log(logs: Sequence[Epoch], name: str, public_key: bytes) -> None:
    origin = logs[-1].origin
    if name.rpartition("/")[0] != origin:
        raise IssuerRefused(
            f"tên phải bắt đầu bằng · the issuer's name has to begin with {origin}/"
        )
    # Issuer and log keys are all different (PROTOCOL §4).
    if public_key in [log.public_key for log in logs]:
        raise IssuerRefused("đây là khóa của nhật ký · this is the log's own key")


def read_issuer(row: RowMapping) -> Issuer:
    """The issuer of a row of the table `issuers`."""
    values = dict(row)
    for name in ("public_key", "key_id", "registration", "registration_leaf"):
        values[name] = bytes(values[name])
    values["prefixes"] = tuple(ijson.parse_text(values["prefixes"]))
    return Issuer(**values)


def by_id(connection: Connection, number: int) -> Issuer:
    """The issuer key with this number of the database."""
    return read_issuer(connection.execute(_BY_ID, {"id": number}).mappings().one())


def hand_over(connection: Connection, old: Issuer, name: str, public_key: bytes) -> None:
    """Have a new key registered as an old one was, under another name: the business goes on in another log."""
    values = _values(old.organisation, name, public_key, old.custody, old.prefixes, old.display)
    values["id"] = next_id(connection, issuers)
    connection.execute(insert(issuers).values(values))


def in_state(connection: Connection, state: IssuerState) -> list[Issuer]:
    """All keys in a state, oldest first."""
    query = select(issuers).where(issuers.c.state == state).order_by(issuers.c.id)
    return [read_issuer(row) for row in connection.execute(query).mappings()]


def _values(
    organisation: str,
    name: str,
    public_key: bytes,
    custody: Custody,
    prefixes: tuple[str, ...],
    display: str,
) -> dict[str, Any]:
    fields = {
        "issuer": name,
        "key": ijson.encode_b64(public_key),
        "prefixes": list(prefixes),
        "name": display,
    }
    record = salt(fields, type=REGISTRATION, mode="live", codes=())
    return {
        "organisation": organisation,
        "name": name,
        "public_key": public_key,
        "key_id": key_hash(name, public_key),
        "custody": custody,
        "prefixes": ijson.encode(list(prefixes)).decode(),
        "display": display,
        "state": "pending",
        "registered": 0,
        "revoked": 0,
        "registration": record.encode(),
        "registration_leaf": record.leaf_hash(),
        "created_at": int(time.time()),
    }


def _find_same(
    connection: Connection, organisation: str, name: str, public_key: bytes
) -> Issuer | None:
    """The key if it was added before, None if it is new; IssuerRefused if it is taken."""
    query = select(issuers).where(or_(issuers.c.name == name, issuers.c.public_key == public_key))
    for row in connection.execute(query).mappings():
        other = read_issuer(row)
        if other.organisation != organisation:
            raise IssuerRefused("tên hoặc khóa thuộc tổ chức khác · another organisation has it")
        if other.name == name and other.public_key == public_key:
            return other
        if other.public_key == public_key:
            raise IssuerRefused(f"khóa đã có tên khác · the key is {other.name}'s already")
    return None


def _check_words(organisation: str, custody: str, display: str) -> None:
    if custody not in CUSTODIES:
        raise IssuerRefused(
            "khóa do doanh nghiệp giữ (holder) hoặc tỉnh giữ (operator) · "
            f"custody is holder or operator, not {custody!r}"
        )
    for what, value in (("organisation", organisation), ("name", display)):
        if not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            raise IssuerRefused(
                f"{what}: cần một dòng chữ · has to be one line of up to {MAX_TEXT} characters"
            )


def _check_prefixes(prefixes: Sequence[str]) -> tuple[str, ...]:
    if len(prefixes) > MAX_PREFIXES:
        raise IssuerRefused(f"nhiều hơn {MAX_PREFIXES} tiền tố · more than {MAX_PREFIXES} prefixes")
    return tuple(sorted(set(map(_check_prefix, prefixes))))


def _check_prefix(prefix: str) -> str:
    if _GTIN_PREFIX.fullmatch(prefix):
        return prefix
    try:
        return parse_path(prefix).path
    except CodeError as error:
        raise IssuerRefused(
            f"tiền tố {prefix!r} không đúng ({error.vi}) · no code prefix: write /01/ and the first "
            f"digits of the GTIN, or a whole code's path ({error.en})"
        ) from error
