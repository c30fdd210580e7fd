# SPDX-License-Identifier: GPL-3.0-or-later
"""Businesses that submit through a province's doors and remember what was acknowledged.

Each sends one batch after another, every batch until it is acknowledged and always the same bytes:
what an answer that never came had been is then told by the next one. A batch has a code of its own
and its records a mark each, so that whatever the province has can be traced to what was sent.
"""

import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any

from anchor.batch import FIRST_PREV, build
from anchor.codes import parse_path
from anchor.ijson import parse_b64url
from anchor.keys import create_private_key, load_private_key, request
from anchor.note import Signer
from anchor.province import Province
from anchor.record import salt
from anchor.settings import Settings
from api.cli import org_custody, register_key
from api.organisations import Organisations
from api.submit import BATCH_TYPE, RECORDS_TYPE
from tests.support.anchoring import hash_of

MARK = "moneo:mark"
GTIN = "/01/09520001000034"
MAX_RECORDS = 4
TIMEOUT = 30.0
# One answer in so many is taken for lost, and the batch sent again.
ANSWERS_A_LOSS = 8


@dataclass(frozen=True)
class Acknowledged:
    """A batch that the province has said it holds: its id and receipt, its code and marks."""

    batch: str
    receipt: bytes
    code: str
    marks: tuple[str, ...]
    custody: str


class Business:
    """One organisation at one door; what both doors have in common."""

    path: str
    content_type: str
    custody: str

    def __init__(self, settings: Settings, name: str, token: str) -> None:
        self.settings, self.name, self._token = settings, name, token
        self.acknowledged: list[Acknowledged] = []
        self.faults: list[str] = []
        # What became of requests: answered, not taken (503, no connection), without an answer.
        self.outcomes = Counter[str]()
        self._chance = random.Random(name)

    def keep_submitting(self, ending: Event, pause: float) -> None:
        """Submit until told to end; what was begun is brought to its end."""
        while not ending.wait(pause) and not self.faults:
            self.submit()

    def submit(self) -> None:
        """Submit one batch until it is acknowledged."""
        number = len(self.acknowledged)
        code = f"{GTIN}/10/{self.name}-{number}"
        marks = tuple(f"{self.name}-{number}-{n}" for n in range(number % MAX_RECORDS + 1))
        body = self._body(code, marks)
        answer = self._until_answered(number, body)
        if answer and self._chance.randrange(ANSWERS_A_LOSS) == 0:
            again = self._until_answered(number, body)
            if again and (again["batch"], again["receipt"]) != (answer["batch"], answer["receipt"]):
                self.faults.append(f"{code}: the same request made another batch: {again}")
        if answer:
            self._take(answer, body, code, marks)

    def _take(self, answer: dict[str, Any], body: bytes, code: str, marks: tuple[str, ...]) -> None:
        if (answer["size"], answer["custody"]) != (len(marks), self.custody):
            self.faults.append(f"{code}: another batch was acknowledged: {answer}")
        batch, receipt = str(answer["batch"]), str(answer["receipt"]).encode()
        self.acknowledged.append(Acknowledged(batch, receipt, code, marks, self.custody))
        self._follow(body, parse_b64url(batch, 32))

    def _until_answered(self, number: int, body: bytes) -> dict[str, Any]:
        """The 202's content; empty if the batch was refused, which is a fault."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": self.content_type,
            "Idempotency-Key": f"{self.name}-{number}",
        }
        query = urllib.request.Request(f"{self.settings.public_url}{self.path}", body, headers)
        was_unclear = False
        while True:
            try:
                with urllib.request.urlopen(query, timeout=TIMEOUT) as response:
                    answer: dict[str, Any] = json.load(response)
                self.outcomes["acknowledged"] += 1
                self.outcomes["had been kept"] += bool(was_unclear and answer["duplicate"])
                return answer
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read().decode()
                if error.code != 503:
                    self.faults.append(f"{self.name}-{number}: {error.code} {said}")
                    return {}
                self.outcomes["not taken"] += 1
            except urllib.error.URLError:
                self.outcomes["not taken"] += 1
            except (OSError, HTTPException):
                # It was sent, and no whole answer came.
                self.outcomes["unclear"] += 1
                was_unclear = True
            time.sleep(0.05)

    def _body(self, code: str, marks: tuple[str, ...]) -> bytes:
        raise NotImplementedError

    def _follow(self, body: bytes, note_hash: bytes) -> None:
        """Look at what was acknowledged, and go on from it."""


class SignedDoor(Business):
    """A business with a key of its own, which salts and signs its batches."""

    path, content_type, custody = "/v1/batches", BATCH_TYPE, "holder"

    def __init__(self, settings: Settings, name: str, token: str, signer: Signer) -> None:
        super().__init__(settings, name, token)
        self._signer, self._prev = signer, FIRST_PREV

    def _body(self, code: str, marks: tuple[str, ...]) -> bytes:
        made = partial(salt, type="epcis.objectevent", mode="practice", codes=[parse_path(code)])
        return build(
            [made({MARK: mark}) for mark in marks],
            self._signer,
            log=self.settings.origin,
            seq=len(self.acknowledged),
            prev=self._prev,
            time=int(time.time()),
        )

    def _follow(self, body: bytes, note_hash: bytes) -> None:
        if note_hash != hash_of(body):
            self.faults.append(f"{self.acknowledged[-1].code}: not the batch that was sent")
        self._prev = note_hash


class PlainDoor(Business):
    """A business whose key the province keeps; only its Idempotency-Key tells one request from the next."""

    path, content_type, custody = "/v1/records?mode=practice", RECORDS_TYPE, "operator"

    def _body(self, code: str, marks: tuple[str, ...]) -> bytes:
        event = {"type": "ObjectEvent", "epcList": [f"https://id.gs1.org{code}"]}
        return b"".join(json.dumps({**event, MARK: mark}).encode() + b"\n" for mark in marks)


def admit(settings: Settings, home: Path, name: str = "HTX thử") -> tuple[Signer, str]:
    """Add a business to a running province; return its key, which is on the chain, and its token."""
    with closing(Province.open(settings)) as province:
        issuer, token = _add(province, name)
        create_private_key(home / f"{name}.key")
        signer = Signer(issuer, load_private_key(home / f"{name}.key"))
        organisations = Organisations(province.store.engine, province.origin)
        register_key(province, organisations.by_name(name), request(signer))
    return signer, token


def _add(province: Province, name: str) -> tuple[str, str]:
    organisations = Organisations(province.store.engine, province.origin)
    issuer = organisations.add_organisation(name, [GTIN[:12]])
    return issuer, organisations.new_token(name).secret


def at_signed_door(settings: Settings, home: Path, name: str) -> Business:
    """Add a business with a key of its own."""
    signer, token = admit(settings, home, name)
    return SignedDoor(settings, name, token, signer)


def at_plain_door(settings: Settings, _home: Path, name: str) -> Business:
    """Add a business whose key the province keeps."""
    with closing(Province.open(settings)) as province:
        _, token = _add(province, name)
    org_custody(name, settings.data)
    return PlainDoor(settings, name, token)
