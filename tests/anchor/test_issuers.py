# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys come in by a request that proves possession, once, and never change hands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.issuers import REGISTRATION
from anchor.keys import load_private_key, request
from anchor.note import Signer, key_hash
from anchor.province import IssuerRefused, Province, found, member_address
from anchor.record import parse_record
from anchor.settings import Settings
from tests.support.anchoring import ORIGIN, Business, province_of

PREFIXES = ["/01/09521234", "/01/09521234543213/10/LO-1", "/c/camau/01"]


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    settings = Settings(tmp_path / "data", "Cà Mau", ORIGIN)
    found(settings)
    with province_of(settings) as province:
        yield province


def ask(number: int = 0, name: str | None = None) -> bytes:
    signer = Business.of(ORIGIN, number).signer
    return request(Signer(name or signer.name, signer.private_key))


def test_a_new_key_is_pending_with_a_salted_registration_record(province: Province) -> None:
    issuer = province.add_issuer("coop", ask(), "holder", PREFIXES, "HTX Cua Năm Căn")
    signer = Business.of(ORIGIN).signer
    assert (issuer.name, issuer.public_key) == (signer.name, signer.public_key)
    assert issuer.key_id == key_hash(signer.name, signer.public_key)
    assert (issuer.state, issuer.registered, issuer.revoked) == ("pending", 0, 0)
    record = parse_record(issuer.registration)
    assert record.type == REGISTRATION
    assert record.leaf_hash() == issuer.registration_leaf
    assert record.fields()["prefixes"] == sorted(PREFIXES)
    assert record.fields()["name"] == "HTX Cua Năm Căn"
    assert province.issuer(issuer.name) == issuer
    assert province.issuers("coop") == province.issuers() == [issuer]
    assert province.issuers("other") == []
    assert province.issuer("nobody") is None


def test_the_same_request_again_changes_nothing(province: Province) -> None:
    first = province.add_issuer("coop", ask(), "holder", PREFIXES, "HTX")
    assert province.add_issuer("coop", ask(), "operator", [], "another name") == first


def test_an_issuer_may_have_a_second_key_and_the_newest_is_found(province: Province) -> None:
    first = province.add_issuer("coop", ask(), "holder", PREFIXES, "HTX")
    second = province.add_issuer("coop", ask(1, first.name), "holder", PREFIXES, "HTX")
    assert second.key_id != first.key_id
    assert province.issuer(first.name) == second


def test_name_and_key_of_another_are_refused(province: Province, tmp_path: Path) -> None:
    first = province.add_issuer("coop", ask(), "holder", PREFIXES, "HTX")
    other = Business.of(ORIGIN, 1).signer.name
    log_key = load_private_key(province.settings.log_key)
    wrong = [
        ("thief", ask(1, first.name)),
        ("thief", ask(0, other)),
        ("coop", ask(0, other)),
        ("coop", request(Signer(other, log_key))),
        ("coop", request(Signer("else.example/x/" + other[-16:], log_key))),
        ("coop", ask()[:-3] + b"A=\n"),
        ("coop", b"nothing"),
    ]
    for organisation, wanted in wrong:
        with pytest.raises(IssuerRefused):
            province.add_issuer(organisation, wanted, "holder", PREFIXES, "HTX")
    assert province.issuers() == [first]


@pytest.mark.parametrize(
    ("custody", "prefixes", "name"),
    [
        ("thief", PREFIXES, "HTX"),
        ("holder", [""], "HTX"),
        ("holder", ["/01/"], "HTX"),
        ("holder", ["/01/09521234543214"], "HTX"),
        ("holder", ["/01/0952123"] * 101, "HTX"),
        ("holder", PREFIXES, ""),
        ("holder", PREFIXES, "a\nb"),
    ],
)
def test_what_can_not_be_registered_is_refused(
    province: Province, custody: str, prefixes: list[str], name: str
) -> None:
    with pytest.raises(IssuerRefused):
        province.add_issuer("coop", ask(), custody, prefixes, name)  # type: ignore[arg-type]
    assert province.issuers() == []


def test_giving_up_a_key_needs_the_right_one(province: Province) -> None:
    issuer = province.add_issuer("coop", ask(), "holder", PREFIXES, "HTX")
    with pytest.raises(IssuerRefused):
        province.revoke_issuer(issuer.name, bytes(32))
    assert province.revoke_issuer(issuer.name, issuer.key_id).state == "revoking"
    assert province.revoke_issuer(issuer.name, issuer.key_id).state == "revoking"


def test_a_members_address_is_ethereums() -> None:
    # The private key 1: its address is in every Ethereum tool's tests.
    expected = "7e5f4552091a69125d5dfcb7b8c2659029395bdf"
    assert member_address((1).to_bytes(32, "big")).hex() == expected


def test_a_fresh_key_is_no_ones(province: Province) -> None:
    signer = Signer(f"{ORIGIN}/{'a' * 16}", Ed25519PrivateKey.generate())
    assert province.add_issuer("coop", request(signer), "operator", [], "HTX").prefixes == ()
