# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may submit: names, prefixes, tokens, and what stays private."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from anchor.settings import Settings
from anchor.store import Store
from api.organisations import (
    OrganisationError,
    OrganisationExists,
    Organisations,
    Privacy,
    UnknownOrganisation,
    check_prefix,
)
from tests.support.site import ORIGIN


@pytest.fixture
def organisations(fresh: Settings) -> Iterator[Organisations]:
    store = Store.open(fresh.database_url)
    yield Organisations(store.engine, lambda: ORIGIN)
    store.close()


def test_an_issuer_name_is_the_origin_and_sixteen_random_characters(
    organisations: Organisations,
) -> None:
    names = [organisations.add_organisation(f"HTX {n}") for n in range(5)]
    assert len(set(names)) == 5
    assert all(name.startswith(ORIGIN + "/") and len(name) == len(ORIGIN) + 17 for name in names)


def test_an_organisation_is_found_by_name_id_and_issuer_name(organisations: Organisations) -> None:
    issuer = organisations.add_organisation("  HTX   Cua ", ["/01/0952"], ["b", "a", "a"])
    found = organisations.by_name("HTX Cua")
    assert found == organisations.by_name(issuer) == organisations.by_name(found.id)
    assert found == organisations.by_issuer(issuer)
    assert (found.prefixes, found.private_fields) == (("/01/0952",), frozenset("ab"))
    assert organisations.all() == [found]
    assert organisations.by_issuer("nobody") is None


def test_a_name_is_taken_once(organisations: Organisations) -> None:
    organisations.add_organisation("HTX Cua")
    with pytest.raises(OrganisationExists):
        organisations.add_organisation("HTX  Cua")


@pytest.mark.parametrize(
    ("name", "prefixes", "private"),
    [
        ("", (), ()),
        ("x" * 201, (), ()),
        ("a\x00b", (), ()),
        ("HTX", ("/01/1",), ()),
        ("HTX", ("01/0952",), ()),
        ("HTX", ("/01/09520001000035",), ()),
        ("HTX", ("/01/0952",) * 101, ()),
        ("HTX", (), ("a b",)),
        ("HTX", (), ("",)),
    ],
)
def test_what_is_malformed_is_refused(
    organisations: Organisations, name: str, prefixes: tuple[str, ...], private: tuple[str, ...]
) -> None:
    with pytest.raises(OrganisationError):
        organisations.add_organisation(name, prefixes, private)
    assert organisations.all() == []


def test_a_prefix_is_digits_of_a_gtin_or_a_whole_code() -> None:
    assert check_prefix("/01/09520001000034") == "/01/09520001000034"
    assert check_prefix("/01/0952000") == "/01/0952000"
    assert check_prefix("/c/ao/7") == "/c/ao/7"


def test_a_token_opens_its_organisation_until_it_is_revoked(organisations: Organisations) -> None:
    organisations.add_organisation("HTX Cua")
    token = organisations.new_token("HTX Cua")
    found = organisations.by_token(token.secret)
    assert found is not None and found.name == "HTX Cua"
    assert organisations.revoke(token.id)
    assert organisations.by_token(token.secret) is None
    assert not organisations.revoke(token.id)
    (row,) = organisations.tokens("HTX Cua")
    assert row.id == token.id and row.revoked


def test_a_whole_token_revokes_itself_and_no_other(organisations: Organisations) -> None:
    organisations.add_organisation("HTX Cua")
    one, other = organisations.new_token("HTX Cua"), organisations.new_token("HTX Cua")
    assert organisations.revoke(one.secret)
    assert organisations.by_token(one.secret) is None
    assert organisations.by_token(other.secret) is not None


def test_the_secret_is_stored_nowhere_and_prints_nowhere(
    organisations: Organisations, fresh: Settings
) -> None:
    organisations.add_organisation("HTX Cua")
    token = organisations.new_token("HTX Cua")
    secret = token.secret.split("_", 2)[2]
    assert len(secret) == 43 and secret not in repr(token)
    files = [path for path in fresh.data.iterdir() if path.name.startswith("moneo.db")]
    assert files and all(secret.encode() not in path.read_bytes() for path in files)


def test_every_wrong_token_is_nobodys(organisations: Organisations) -> None:
    organisations.add_organisation("HTX Cua")
    good = organisations.new_token("HTX Cua").secret
    head, secret = good[:-44], good[-43:]
    flipped = ("B" if secret[0] == "A" else "A") + secret[1:]
    wrong = ["", "x", head, f"{head}_", f"{head}_{flipped}", f"{good} ", good.upper()]
    wrong += [f"moneo_{'0' * 16}_{secret}", good + "\n", good[:-1], good.replace("moneo", "mone0")]
    assert [organisations.by_token(token) for token in wrong] == [None] * len(wrong)


def test_tokens_are_for_organisations_that_are_there(organisations: Organisations) -> None:
    with pytest.raises(UnknownOrganisation):
        organisations.new_token("nobody")


def test_private_fields_show_to_their_own_organisation_only(organisations: Organisations) -> None:
    mine = organisations.add_organisation("HTX Cua", (), ["moneo:phone"])
    theirs = organisations.add_organisation("HTX Tôm", (), ["moneo:phone"])
    public = Privacy(organisations)
    own = Privacy(organisations, organisations.by_name("HTX Cua"))
    assert public(mine, "moneo:phone") and not public(mine, "bizStep")
    assert not own(mine, "moneo:phone") and own(theirs, "moneo:phone")


def test_nothing_shows_of_an_issuer_nobody_stands_behind(organisations: Organisations) -> None:
    assert Privacy(organisations)(f"{ORIGIN}/aaaaaaaaaaaaaaaa", "bizStep")


def test_tables_are_made_once_by_whoever_comes_first(fresh: Settings) -> None:
    store = Store.open(fresh.database_url)
    Organisations(store.engine, lambda: ORIGIN).add_organisation("HTX Cua")
    assert len(Organisations(store.engine, lambda: ORIGIN).all()) == 1
    names = sa.inspect(store.engine).get_table_names()
    store.close()
    assert {"organisation", "token"} <= set(names)
