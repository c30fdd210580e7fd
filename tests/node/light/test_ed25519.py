# SPDX-License-Identifier: GPL-3.0-or-later
"""The one Ed25519 rule: RFC 8032's vectors hold, and what libraries disagree on is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from node.light import SignatureError, check_public_key, verify
from tests.support.edwards import (
    BASE,
    IDENTITY,
    TORSION,
    L,
    P,
    add,
    challenge,
    encode,
    multiply,
    point_of,
)
from tests.support.flips import flip_bit

# RFC 8032 §7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


# Every 32 bytes that some library decodes to a point of small order: y or y + p, either sign.
SMALL_ORDER = sorted(
    {
        (y | sign << 255).to_bytes(32, "little")
        for point in TORSION
        for y in (point[1], point[1] + P)
        for sign in (0, 1)
        if y < 2**255
    }
)
# The 19 values of y that have a second spelling, as that second one.
NON_CANONICAL = [
    (y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_vectors_of_the_rfc_hold(secret: str, public: str, message: str, signature: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message))


def test_identity_as_key_and_r_is_refused_although_openssl_accepts_it() -> None:
    key, signature = encode(IDENTITY), encode(IDENTITY) + bytes(32)
    Ed25519PublicKey.from_public_bytes(key).verify(signature, b"any message")
    with pytest.raises(SignatureError, match="small order"):
        verify(key, signature, b"any message")


def test_the_points_of_small_order_are_eight() -> None:
    assert len(set(TORSION)) == 8
    # Of y + p only y = 0 and y = 1 fit into 255 bits; each y takes both signs.
    assert len(SMALL_ORDER) == 2 * (5 + 2)


@pytest.mark.parametrize("encoded", SMALL_ORDER, ids=bytes.hex)
def test_small_order_is_refused_as_key_and_as_r(encoded: bytes) -> None:
    with pytest.raises(SignatureError):
        check_public_key(encoded)
    with pytest.raises(SignatureError, match="public key"):
        verify(encoded, encoded + bytes(32), b"")
    with pytest.raises(SignatureError, match="signature's R"):
        verify(bytes.fromhex(RFC_8032[0][1]), encoded + bytes(32), b"")


@pytest.mark.parametrize("encoded", NON_CANONICAL, ids=bytes.hex)
def test_non_canonical_encoding_is_refused_as_key_and_as_r(encoded: bytes) -> None:
    with pytest.raises(SignatureError, match="public key is not a canonical"):
        check_public_key(encoded)
    with pytest.raises(SignatureError, match="R is not a canonical"):
        verify(bytes.fromhex(RFC_8032[0][1]), encoded + bytes(32), b"")


def test_signature_that_small_order_r_would_satisfy_is_refused() -> None:
    secret, message = 12345, b"message"
    public = encode(multiply(secret, BASE))
    for r in map(encode, TORSION):
        s = challenge(r, public, message) * secret % L
        with pytest.raises(SignatureError, match="small order"):
            verify(public, r + s.to_bytes(32, "little"), message)


def test_equation_is_the_one_without_cofactor() -> None:
    secret, nonce, message = 12345, 67890, b"message"
    public = encode(multiply(secret, BASE))
    plain = multiply(nonce, BASE)
    for index, point in enumerate(TORSION):
        r = encode(add(plain, point))
        s = (nonce + challenge(r, public, message) * secret) % L
        signature = r + s.to_bytes(32, "little")
        if index == 0:
            verify(public, signature, message)
        else:
            with pytest.raises(SignatureError, match="does not fit"):
                verify(public, signature, message)


@pytest.mark.parametrize("times", range(1, 8))
def test_s_beyond_the_groups_order_is_refused(times: int) -> None:
    public, signature = bytes.fromhex(RFC_8032[0][1]), bytes.fromhex(RFC_8032[0][3])
    s = int.from_bytes(signature[32:], "little") + times * L
    with pytest.raises(SignatureError, match="S is not below"):
        verify(public, signature[:32] + s.to_bytes(32, "little"), b"")


def test_s_equal_to_the_groups_order_is_refused() -> None:
    public, r = bytes.fromhex(RFC_8032[0][1]), bytes.fromhex(RFC_8032[0][3])[:32]
    with pytest.raises(SignatureError, match="S is not below"):
        verify(public, r + L.to_bytes(32, "little"), b"")


def test_every_flipped_bit_is_noticed() -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[2])
    for bit in range(256):
        with pytest.raises(SignatureError):
            verify(flip_bit(public, bit), signature, message)
    for bit in range(512):
        with pytest.raises(SignatureError):
            verify(public, flip_bit(signature, bit), message)
    for bit in range(16):
        with pytest.raises(SignatureError):
            verify(public, signature, flip_bit(message, bit))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(SignatureError, match="32 bytes"):
        check_public_key(b"\x09" * size)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(SignatureError, match="64 bytes"):
        verify(bytes.fromhex(RFC_8032[0][1]), b"\x09" * size, b"")


def test_key_that_is_no_point_verifies_nothing() -> None:
    y = next(y for y in range(2, 100) if point_of(y) is None)
    with pytest.raises(SignatureError, match="does not fit"):
        verify(y.to_bytes(32, "little"), bytes.fromhex(RFC_8032[0][3]), b"")
