# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders what a person sees after scanning a label: a journey, its state, and what is proven of it.

The page is plain HTML and one style sheet of our own: no third party, readable on a slow phone and
without its script, which verifies the evidence where the page is read. It shows public fields only. It is
not the proof and says so: the evidence is, which anyone can check without this server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jinja2

from anchor.codes import Code
from anchor.errors import AnchorError
from anchor.province import BatchStatus, Province
from anchor.statements import PARTIES
from anchor.trust import Member, fingerprint, parse_trust
from api import labels
from api.index import Found, Journey, event_time
from api.organisations import Organisations
from api.problems import Problem
from api.static import WEB, Assets
from api.texts import TEXTS
from api.words import Language

# GS1 keeps the prefixes 952 for demonstrations: such a code is on no product for sale.
SAMPLE_PREFIX = "0952"
PLACE = "moneo:place"
STATE_RANK = {"accepted": 0, "logged": 1, "anchored": 2}


@dataclass(frozen=True)
class State:
    """How far a record has come: its state's key, and when it got there in words."""

    key: str
    when: str


@dataclass(frozen=True)
class Step:
    """One record as the page shows it."""

    id: str
    title: str
    product: str
    when: str
    when_iso: str
    lot: str
    path: str
    by: str
    operator: bool
    rows: tuple[tuple[str, str], ...]
    withheld: int
    state: State
    practice: bool
    upstream: bool
    superseded: bool


@dataclass(frozen=True)
class ProductPage:
    """Everything that the template of a product page says.

    `by` names who wrote, and whether the province wrote it for them; `place` is where it begins.
    """

    code: Code
    product: str
    by: tuple[tuple[str, bool], ...]
    place: str
    operator: bool
    steps: tuple[Step, ...]
    others: tuple[Step, ...]
    practice: bool
    sample: bool
    state: str
    as_of: str
    cut: bool
    validators: int


class Pages:
    """Makes the pages of one province."""

    def __init__(self, province: Province, organisations: Organisations, assets: Assets) -> None:
        self._province = province
        self._organisations = organisations
        self._assets = assets
        loader = jinja2.FileSystemLoader(WEB / "templates")
        self._templates = jinja2.Environment(
            loader=loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["urlpath"] = lambda text: quote(text, safe="")

    def product(self, journey: Journey, language: Language) -> str:
        """Return the page of a code as HTML; `journey` must not be empty."""
        page = _Maker(self._province, self._organisations, language).page(journey)
        base = self._province.settings.public_url.rstrip("/")
        return self.render(
            "product.html",
            language,
            journey.code.path,
            page=page,
            base=base,
            assets=self._assets.of_page("product"),
        )

    def verify(self, language: Language) -> str:
        """Return the page that checks evidence where it is opened; it holds both languages."""
        assets = {**self._assets.of_page("verify"), "manifest": "/verify/app.webmanifest"}
        return self.render("verify.html", language, "/verify", texts=TEXTS, assets=assets)

    def problem(self, problem: Problem, language: Language, path: str) -> str:
        """Return the page that tells a person about a problem."""
        return self.render("problem.html", language, path, problem=problem)

    def home(self, language: Language) -> str:
        """Return the front page: look a code up, and what the province publishes."""
        printed, validators = trust_summary(self._province)
        return self.render(
            "home.html",
            language,
            "/",
            fingerprint=printed,
            validators=validators,
            pilot=self._province.settings.pilot_trust_path.exists(),
            settings=self._province.settings,
            logs=self._province.logs()[::-1],
        )

    def render(self, template: str, language: Language, path: str, **values: Any) -> str:
        """Return a template of this room as HTML, in one language; `path` is the page's own."""
        texts = {key: wording.pick(language) for key, wording in TEXTS.items()}
        return self._templates.get_template(template).render(
            t=texts,
            language=language,
            path=path,
            style=self._assets.names["moneo.css"],
            province=self._province.settings.name,
            **values,
        )


def trust_summary(province: Province) -> tuple[str, int]:
    """Return the trust file's fingerprint and how many validators it names; ("", 0) if there is none yet."""
    try:
        return _summary(province.trust())
    except AnchorError:
        return "", 0


def members(province: Province) -> tuple[Member, ...]:
    """Return the members that the trust file names; none if there is no file yet."""
    try:
        return _members(province.trust())
    except AnchorError:
        return ()


@lru_cache(maxsize=4)
def _summary(trust: bytes) -> tuple[str, int]:
    return str(fingerprint(trust)), parse_trust(trust).validators


@lru_cache(maxsize=4)
def _members(trust: bytes) -> tuple[Member, ...]:
    return parse_trust(trust).members


class _Maker:
    """Makes one page; keeps what it has asked the province for, since records share batches."""

    def __init__(
        self, province: Province, organisations: Organisations, language: Language
    ) -> None:
        self._province = province
        self._organisations = organisations
        self._language = language
        self._statuses: dict[str, BatchStatus] = {}
        self._signers: dict[str, str] = {}

    def page(self, journey: Journey) -> ProductPage:
        strangers = [found for found in journey.found if found.statement == "third-party"]
        steps = tuple(self._step(found) for found in journey.found if found not in strangers)
        others = tuple(self._step(found) for found in strangers)
        now = datetime.now(UTC)
        here = [step for step in steps if not step.upstream] or list(steps)
        states = [step.state.key for step in (*steps, *others)]
        return ProductPage(
            code=journey.code,
            product=next((step.product for step in reversed(here) if step.product), ""),
            by=tuple(dict.fromkeys((step.by, step.operator) for step in here)),
            place=self._first_place(journey),
            operator=any(step.operator for step in here),
            steps=steps,
            others=others,
            practice=any(step.practice for step in (*steps, *others)),
            sample=(journey.code.gtin or "").startswith(SAMPLE_PREFIX),
            state=min(states, key=STATE_RANK.__getitem__),
            as_of=labels.moment(now, self._language),
            cut=journey.cut,
            validators=trust_summary(self._province)[1],
        )

    def _step(self, found: Found) -> Step:
        record, fields = found.record, found.record.fields()
        by = self._signer(found.issuer)
        happened = event_time(fields)
        return Step(
            id=found.id,
            title=labels.step(record.type, fields, self._language),
            product=_product(fields, self._language),
            when=labels.moment(happened, self._language) if happened else "",
            when_iso=happened.isoformat() if happened else "",
            lot=found.code.lot or "",
            path=found.code.path,
            by=by,
            operator=self._status(found.batch).custody == "operator",
            rows=tuple(labels.rows(self._named(fields), self._language)),
            withheld=len(record.hidden),
            state=self._state(found.batch),
            practice=record.mode == "practice",
            upstream=found.depth > 0,
            superseded=found.superseded,
        )

    def _first_place(self, journey: Journey) -> str:
        """Return where the journey begins, as the code's owner and the parties it names say."""
        words = (
            labels.value(found.record.fields().get(PLACE), self._language)
            for found in journey.found
            if found.statement != "third-party" and not found.superseded
        )
        return next((text for text in words if text), "")

    def _status(self, batch: str) -> BatchStatus:
        if batch not in self._statuses:
            self._statuses[batch] = self._province.status(batch)
        return self._statuses[batch]

    def _state(self, batch: str) -> State:
        status = self._status(batch)
        times: Mapping[str, int | None] = {
            "anchored": status.anchored_at,
            "logged": status.logged_at,
            "accepted": status.accepted_at,
        }
        when = times[status.state]
        return State(status.state, "" if when is None else labels.seconds(when, self._language))

    def _named(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return fields with the parties that they name by issuer named as people know them."""
        parties = fields.get(PARTIES)
        if not isinstance(parties, list) or not all(isinstance(name, str) for name in parties):
            return fields
        # One more than is shown, so that the page says that there are more.
        return {**fields, PARTIES: [self._signer(name) for name in parties[: labels.MAX_ITEMS + 1]]}

    def _signer(self, issuer: str) -> str:
        """Return an issuer's name for people."""
        if issuer not in self._signers:
            organisation = self._organisations.by_issuer(issuer)
            self._signers[issuer] = organisation.name if organisation else issuer
        return self._signers[issuer]


def _product(fields: Mapping[str, Any], language: Language) -> str:
    names: Sequence[str] = ("moneo:product", "productName", "name")
    return next((labels.value(fields[name], language) for name in names if name in fields), "")
