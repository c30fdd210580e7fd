# SPDX-License-Identifier: GPL-3.0-or-later
"""From a code to its records and back to where it came from, with every bound and every stranger."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import pytest

from anchor.codes import parse_path
from api import index as indexing
from api.index import FILE, CodeIndex
from tests.support.site import (
    BOX,
    CRAB,
    HOST,
    SEED,
    Business,
    Site,
    diary,
    event,
    made,
    shipping,
    stocking,
)


def everything(_issuer: str, _name: str) -> bool:
    return False


def steps(site: Site, path: str, hide: indexing.Hide = everything) -> list[str]:
    journey = site.app.state.moneo.index.journey(parse_path(path), hide)
    return [str(found.record.fields().get("moneo:cte")) for found in journey.found]


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    business = site.business("HTX Cua", ["/01/0952"])
    site.submit(business, *diary())
    return business


def test_a_journey_goes_back_to_the_pond_in_the_order_of_time(site: Site, coop: Business) -> None:
    assert steps(site, BOX) == ["stocking", "harvest", "packing", "shipping"]


def test_an_earlier_lot_does_not_show_where_the_rest_went(site: Site, coop: Business) -> None:
    other = "/01/09520001000034/10/HOP-99"
    site.submit(coop, made("2026-07-25T00:00:00Z", "packing", CRAB, other))
    assert steps(site, BOX) == ["stocking", "harvest", "packing", "shipping"]
    assert steps(site, other) == ["stocking", "harvest", "packing"]
    assert steps(site, SEED) == ["stocking", "harvest"]


def test_a_serial_has_its_own_records_and_its_lots(site: Site, coop: Business) -> None:
    serial = f"{BOX}/21/K7MQ2XZ9"
    other = f"{BOX}/21/ZZZZ2222"
    for path in (serial, other):
        site.submit(
            coop, event("objectevent", path, moneo__cte="sale", eventTime="2026-08-01T00:00:00Z")
        )
    assert steps(site, serial) == ["stocking", "harvest", "packing", "shipping", "sale"]
    assert steps(site, BOX) == ["stocking", "harvest", "packing", "shipping"]


def test_a_product_record_belongs_to_its_lots_but_one_lots_event_does_not(site: Site) -> None:
    maker = site.business("HTX Mật ong", ["/01/0953"])
    gtin = "/01/09530001000033"
    site.submit(
        maker,
        event("objectevent", gtin, moneo__cte="product"),
        event("objectevent", f"{gtin}/10/A", gtin, moneo__cte="A"),
        event("objectevent", f"{gtin}/10/B", moneo__cte="B"),
    )
    assert steps(site, f"{gtin}/10/B") == ["product", "B"]
    assert steps(site, gtin) == ["product", "A"]


def test_a_code_nobody_wrote_of_has_no_journey(site: Site, coop: Business) -> None:
    journey = site.app.state.moneo.index.journey(parse_path("/01/09520001000034/10/X"), everything)
    assert journey.found == () and not journey.cut


def test_a_stranger_is_told_apart_and_leads_nowhere(site: Site, coop: Business) -> None:
    box, fake = "/01/09520001000034/10/SOLO", "/01/09520001000027/10/FAKE"
    site.submit(
        coop, event("objectevent", box, moneo__cte="shipping", eventTime="2026-08-01T00:00:00Z")
    )
    stranger = site.business("Người lạ", ["/01/0893"])
    site.submit(
        stranger,
        event("objectevent", box, moneo__cte="recall", eventTime="2026-08-02T00:00:00Z"),
        made("2026-07-01T00:00:00Z", "packing", fake, box),
        event("objectevent", fake, moneo__cte="poison", eventTime="2026-06-01T00:00:00Z"),
    )
    journey = site.app.state.moneo.index.journey(parse_path(box), everything)
    said = {f.record.fields()["moneo:cte"]: f.statement for f in journey.found}
    assert said == {"shipping": "owner", "recall": "third-party", "packing": "third-party"}


def test_practice_leads_nowhere_for_what_is_live(site: Site, coop: Business) -> None:
    box, lot = "/01/09520001000034/10/LIVE", "/01/09520001000027/10/DRY"
    site.submit(
        coop,
        event("objectevent", box, moneo__cte="shipping", eventTime="2026-08-01T00:00:00Z"),
        made("2026-07-01T00:00:00Z", "packing", lot, box, mode="practice"),
        event("objectevent", lot, moneo__cte="harvest", eventTime="2026-06-01T00:00:00Z"),
    )
    assert steps(site, box) == ["packing", "shipping"]


def test_what_its_issuer_replaced_is_marked(site: Site, coop: Business) -> None:
    box = "/01/09520001000034/10/MENDED"
    first = event("objectevent", box, moneo__cte="old", eventTime="2026-08-01T00:00:00Z")
    second = event(
        "objectevent",
        box,
        re=[first.leaf_hash()],
        moneo__cte="new",
        eventTime="2026-08-01T00:00:01Z",
    )
    stranger = site.business("Kẻ phá", ["/01/0952"])
    site.submit(coop, first, second)
    site.submit(stranger, event("objectevent", box, re=[second.leaf_hash()], moneo__cte="rival"))
    journey = site.app.state.moneo.index.journey(parse_path(box), everything)
    marked = {f.record.fields()["moneo:cte"]: f.superseded for f in journey.found}
    assert marked == {"rival": False, "old": True, "new": False}


def test_what_a_reader_may_not_see_leads_the_reader_nowhere(site: Site, coop: Business) -> None:
    def hide(_issuer: str, name: str) -> bool:
        return name in ("inputQuantityList", "moneo:customer")

    journey = site.app.state.moneo.index.journey(parse_path(BOX), hide)
    assert [f.record.fields()["moneo:cte"] for f in journey.found] == ["packing", "shipping"]
    assert all("moneo:customer" not in f.record.fields() for f in journey.found)


def test_a_circle_of_lots_ends(site: Site, coop: Business) -> None:
    one, two = "/01/09520001000034/10/C1", "/01/09520001000034/10/C2"
    site.submit(
        coop,
        made("2026-01-01T00:00:00Z", "a", one, two),
        made("2026-01-02T00:00:00Z", "b", two, one),
    )
    assert steps(site, one) == ["a", "b"]


def test_a_long_chain_is_cut_at_the_depth(site: Site, coop: Business) -> None:
    lots = [f"/01/09520001000034/10/D{n}" for n in range(indexing.MAX_DEPTH + 4)]
    chain = [
        made(f"2026-01-{n + 1:02}T00:00:00Z", f"n{n}", old, new)
        for n, (old, new) in enumerate(pairwise(lots))
    ]
    site.submit(coop, *chain)
    whole = site.app.state.moneo.index.journey(parse_path(lots[indexing.MAX_DEPTH]), everything)
    long = site.app.state.moneo.index.journey(parse_path(lots[-1]), everything)
    # The first one's steps back, and the one step by which it went on.
    assert (len(whole.found), whole.cut) == (indexing.MAX_DEPTH + 1, False)
    assert (len(long.found), long.cut) == (indexing.MAX_DEPTH + 1, True)


def test_a_wide_journey_is_cut_at_the_number(
    site: Site, coop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = "/01/09520001000034/10/WIDE"
    site.submit(coop, *(event("objectevent", box, n=n) for n in range(7)))
    monkeypatch.setattr(indexing, "MAX_JOURNEY_RECORDS", 7)
    whole = site.app.state.moneo.index.journey(parse_path(box), everything)
    monkeypatch.setattr(indexing, "MAX_JOURNEY_RECORDS", 6)
    part = site.app.state.moneo.index.journey(parse_path(box), everything)
    assert (len(whole.found), whole.cut) == (7, False)
    assert (len(part.found), part.cut) == (6, True)


def test_links_that_are_no_codes_are_passed_over(site: Site, coop: Business) -> None:
    box = "/01/09520001000034/10/ODD"
    odd = event(
        "transformationevent",
        box,
        moneo__cte="odd",
        inputQuantityList=[{"epcClass": 7}, "urn:epc:x", None, {"epcClass": HOST + SEED}],
        outputQuantityList={"epcClass": HOST + box},
        outputEPCList=[HOST + box],
        eventTime=7,
    )
    site.submit(coop, odd)
    assert steps(site, box) == ["odd"]


# Filling it


def rows(site: Site) -> list[tuple[bytes, int, int]]:
    with closing(sqlite3.connect(site.settings.data / FILE)) as connection:
        return connection.execute("SELECT code, row, record FROM code_index").fetchall()


def test_a_rebuilt_index_is_the_same(site: Site, coop: Business) -> None:
    before, index = rows(site), CodeIndex(site.province)
    assert before
    assert index.rebuild() == coop_batches(site)
    assert rows(site) == before
    assert index.catch_up() == 0
    index.close()


def test_an_index_of_another_database_is_built_anew(site: Site, coop: Business) -> None:
    before = rows(site)
    with closing(sqlite3.connect(site.settings.data / FILE)) as connection, connection:
        connection.execute("UPDATE code_index_batch SET batch = 'of another database, at ' || row")
    index = CodeIndex(site.province)
    assert rows(site) == []
    assert index.catch_up() == coop_batches(site)
    assert rows(site) == before
    index.close()


def coop_batches(site: Site) -> int:
    return len(site.province.batches_after(0, 10_000))


def test_many_fill_it_at_once_and_every_line_is_there_once(site: Site, coop: Business) -> None:
    before = rows(site)
    indexes = [CodeIndex(site.province) for _ in range(4)]
    for number in range(40):
        body = coop.body([shipping(n=number), stocking()])
        site.province.accept(body, coop.organisation.id)
        coop.follow(body)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(CodeIndex.catch_up, indexes))
    for index in indexes:
        index.close()
    after = rows(site)
    assert len(after) == len(before) + 80 == len(set(after))
