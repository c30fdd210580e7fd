# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole province behind its API, in a folder of its own: real database, real keys, real batches."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from anchor import batch
from anchor.codes import Code, parse_path
from anchor.keys import request
from anchor.note import Signer
from anchor.province import Custody, Province, found
from anchor.record import Record, salt
from anchor.settings import Settings
from api.app import create_app
from api.organisations import Organisation, Organisations

BATCH_TYPE = "application/vnd.moneo.batch"
ORIGIN = "moneo.example/camau/2026"
PUBLIC_URL = "https://truyxuat.example"
HOST = "https://id.gs1.org"
SEED = "/01/09520001000010/10/GIONG-01"
CRAB = "/01/09520001000027/10/CUA-01"
BOX = "/01/09520001000034/10/HOP-01"


class Browser:
    """Sends requests to an application without a socket, one at a time, as its event loop's guest."""

    def __init__(self, portal: BlockingPortal, app: FastAPI) -> None:
        self._portal = portal
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL)

    def send(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send one request; nothing is followed."""
        return self._portal.call(partial(self._client.request, method, url, **more))

    def get(self, url: str, **more: Any) -> httpx.Response:
        """Send a GET."""
        return self.send("GET", url, **more)


@dataclass
class Business:
    """One organisation with its key and token, which submits batches in order."""

    organisation: Organisation
    token: str
    signer: Signer
    seq: int = 0
    prev: bytes = batch.FIRST_PREV
    now: Callable[[], float] = field(default=time.time)

    def body(self, records: Sequence[Record]) -> bytes:
        """Sign the next batch."""
        return batch.build(
            records, self.signer, log=ORIGIN, seq=self.seq, prev=self.prev, time=int(self.now())
        )

    def follow(self, body: bytes) -> None:
        """Go on from a batch that was accepted."""
        self.seq += 1
        self.prev = batch.note_hash(batch.read_batch_note(batch.split_body(body)[0])[1])

    @property
    def headers(self) -> dict[str, str]:
        """What a submission is sent with."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": BATCH_TYPE}


@dataclass
class Site:
    """A province, the application that serves it and a browser to ask it."""

    settings: Settings
    province: Province
    organisations: Organisations
    app: FastAPI
    browser: Browser

    def business(
        self,
        name: str,
        prefixes: Sequence[str],
        private: Sequence[str] = (),
        custody: Custody = "holder",
    ) -> Business:
        """Add an organisation with a key and a token."""
        issuer = self.organisations.add_organisation(name, prefixes, private)
        organisation = self.organisations.by_name(name)
        signer = Signer(issuer, Ed25519PrivateKey.generate())
        wanted = request(signer)
        self.province.add_issuer(
            organisation.id, wanted, custody, list(organisation.prefixes), organisation.name
        )
        return Business(organisation, self.organisations.new_token(name).secret, signer)

    def submit(self, business: Business, *records: Record) -> str:
        """Submit one batch through the door and index it; return its id."""
        body = business.body(records)
        answer = self.browser.send("POST", "/v1/batches", content=body, headers=business.headers)
        assert answer.status_code == 202, answer.text
        business.follow(body)
        self.app.state.moneo.index.catch_up()
        return str(answer.json()["batch"])


@contextmanager
def open_site(settings: Settings) -> Iterator[Site]:
    app = create_app(settings)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        state = app.state.moneo
        browser = Browser(portal, app)
        yield Site(settings, state.province, state.organisations, app, browser)


def new_settings(data: Path) -> Settings:
    settings = Settings(data, "Cà Mau", ORIGIN, public_url=PUBLIC_URL)
    found(settings)
    return settings


def event(
    kind: str, *paths: str, mode: Any = "live", re: Sequence[bytes] = (), **fields: Any
) -> Record:
    """Salt an EPCIS event about some codes; `__` in a member's name stands for its colon."""
    codes: list[Code] = [parse_path(path) for path in paths]
    members = {name.replace("__", ":"): value for name, value in fields.items()}
    return salt(members, type=f"epcis.{kind}", mode=mode, codes=codes, re=re)


def made(when: str, step: str, made_from: str, into: str, **more: Any) -> Record:
    """Salt a transformation of one lot into another."""
    return event(
        "transformationevent",
        made_from,
        into,
        eventTime=when,
        bizStep="commissioning",
        moneo__cte=step,
        inputQuantityList=[{"epcClass": HOST + made_from, "quantity": 98, "uom": "H87"}],
        outputQuantityList=[{"epcClass": HOST + into, "quantity": 32.5, "uom": "KGM"}],
        **more,
    )


def stocking(**more: Any) -> Record:
    return event(
        "objectevent",
        SEED,
        **{
            "eventTime": "2026-03-03T06:30:00+07:00",
            "bizStep": "commissioning",
            "moneo__cte": "stocking",
            "moneo__product": "Cua giống (mẫu)",
            "moneo__recordedBy": "Trần Thị Ví Dụ",
            "quantityList": [{"epcClass": HOST + SEED, "quantity": 1550, "uom": "H87"}],
            **more,
        },
    )


def shipping(**more: Any) -> Record:
    return event(
        "objectevent",
        BOX,
        **{
            "eventTime": "2026-07-23T14:30:00+07:00",
            "bizStep": "shipping",
            "moneo__cte": "shipping",
            "moneo__product": "Cua Cà Mau loại 1 (mẫu)",
            "moneo__customer": "Nhà hàng Mẫu, Hà Nội",
            "moneo__phone": "0900 000 002",
            **more,
        },
    )


def diary() -> list[Record]:
    """Four steps of one box of crab, submitted in no order."""
    return [
        shipping(),
        made("2026-07-23T09:30:00+07:00", "packing", CRAB, BOX, moneo__product="Cua hộp (mẫu)"),
        stocking(),
        made(
            "2026-07-22T22:30:00Z",
            "harvest",
            SEED,
            CRAB,
            moneo__product="Cua thịt (mẫu)",
            moneo__place="Ao 01, ấp Mẫu, xã Tân Ân",
        ),
    ]
