# SPDX-License-Identifier: GPL-3.0-or-later
"""A record's fields are disclosures of RFC 9901: two SD-JWT libraries read ours, and we read theirs.

A record is no SD-JWT: what a JWT says in `_sd`, its leaf says in `field` lines. Here the digests of the
leaf that a business has signed are put into a JWT, the disclosures of a presentation behind it, and the
OpenWallet Foundation's @sd-jwt/core and proofbundle say what is shown.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from proofbundle.sdjwt import verify_sd_jwt

from anchor.errors import FormatError
from anchor.record import Record, parse_record
from tests.support.judging import ask_sd_jwt, network
from tests.support.makeevidence import record

ISSUER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = ISSUER.public_key().public_bytes_raw()
UNLIKE_ASCII: dict[str, Any] = {
    "name": "Cua Cà Mau 🦀",
    "nested": {"a": [1, -0.5, None, True, {"b": "\u2028\\ \""}]},
    "empty": "",
    "number": 2**53 - 1,
}  # fmt: skip


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> Any:
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def digests(whole: Record) -> list[str]:
    """Return what the leaf says of the fields."""
    lines = whole.leaf().decode().split("\n")
    return [line.rpartition(" ")[2] for line in lines if line.startswith("field ")]


def sd_jwt(whole: Record, disclosures: Sequence[str]) -> str:
    """Return the SD-JWT that says of a leaf's fields what the leaf says of them."""
    payload = {"_sd": digests(whole), "_sd_alg": "sha-256"}
    head = ".".join(b64url(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, payload))
    return "~".join([f"{head}.{b64url(ISSUER.sign(head.encode()))}", *disclosures, ""])


def real_records() -> list[Record]:
    """Return the records of the real network's evidence."""
    files = ("before-the-removal", "after-the-removal")
    parts = [part for file in files for part in network(file)["evidence"]["records"]]
    return [parse_record(part["record"].encode()) for part in parts]


def records() -> list[Record]:
    hard = record(UNLIKE_ASCII)
    return [*real_records(), hard, hard.hide(["nested", "empty"]), hard.hide(UNLIKE_ASCII)]


def test_the_libraries_show_the_fields_that_we_show() -> None:
    compacts = [sd_jwt(one, one.disclosures) for one in records()]
    shown = ask_sd_jwt("verify", [{"compact": text, "key": b64url(KEY)} for text in compacts])
    for one, compact, claims in zip(records(), compacts, shown, strict=True):
        assert claims == one.fields()
        said = verify_sd_jwt(compact, KEY)
        assert said["structure_ok"], said
        assert said["sig_ok"], said


def lie(disclosure: str) -> str:
    salt, name, value = unb64url(disclosure)
    return b64url(json.dumps([salt, name, [value]]).encode())


def rename(disclosure: str) -> str:
    salt, name, value = unb64url(disclosure)
    return b64url(json.dumps([salt, f"{name}2", value]).encode())


def salt_anew(disclosure: str) -> str:
    _, name, value = unb64url(disclosure)
    return b64url(json.dumps([b64url(bytes(16)), name, value]).encode())


def space(disclosure: str) -> str:
    """Return the same field, its JSON with white space: other characters, another digest."""
    return b64url(json.dumps(unb64url(disclosure), indent=1).encode())


# A disclosure, changed.
BROKEN: dict[str, Callable[[str], str]] = {
    "another value": lie,
    "another name": rename,
    "another salt": salt_anew,
    "with white space": space,
    "of another record": lambda _: record({"a": 1}).disclosures[0],
    "no base64url": lambda text: text[:-1] + "!",
    "no JSON": lambda _: b64url(b"[]]"),
}


def test_a_changed_disclosure_is_shown_by_nobody() -> None:
    """The JavaScript library leaves out what it does not find; RFC 9901 §7.1 has it refused, as proofbundle does."""
    whole = real_records()[0]
    first, *rest = whole.disclosures
    changed = {name: change(first) for name, change in BROKEN.items()}
    compacts = [sd_jwt(whole, [one, *rest]) for one in changed.values()]
    shown = ask_sd_jwt("verify", [{"compact": compact, "key": b64url(KEY)} for compact in compacts])
    for name, compact, claims in zip(changed, compacts, shown, strict=True):
        assert "refused" in claims or claims.items() < whole.fields().items(), name
        assert not verify_sd_jwt(compact, KEY)["structure_ok"], name
        ours = whole.encode().replace(first.encode(), changed[name].encode())
        try:
            assert parse_record(ours).leaf_hash() != whole.leaf_hash(), name
        except FormatError:
            assert name.startswith("no "), name


def test_what_is_hidden_is_shown_by_nobody() -> None:
    whole = record(UNLIKE_ASCII)
    part = whole.hide(["name", "number"])
    assert part.leaf() == whole.leaf()
    (claims,) = ask_sd_jwt(
        "verify", [{"compact": sd_jwt(whole, part.disclosures), "key": b64url(KEY)}]
    )
    assert claims == part.fields() == {name: UNLIKE_ASCII[name] for name in ("nested", "empty")}


def test_we_read_what_the_library_discloses() -> None:
    (made,) = ask_sd_jwt("issue", [{"claims": UNLIKE_ASCII}])
    jwt, *disclosures, _ = made["compact"].split("~")
    by_name = sorted(disclosures, key=lambda text: str(unb64url(text)[1]).encode())
    text = "\n".join(["moneo/record/v1", "type test", "mode live", f"~{'~'.join(by_name)}~", ""])
    ours = parse_record(text.encode())
    assert ours.fields() == UNLIKE_ASCII
    assert sorted(digests(ours)) == sorted(unb64url(jwt.split(".")[1])["_sd"])
    with pytest.raises(FormatError):
        parse_record(text.replace("~\n", "=~\n").encode())
