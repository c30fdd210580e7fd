# SPDX-License-Identifier: GPL-3.0-or-later
"""One Ed25519 rule for everything, because libraries that differ give two verdicts on one file.

RFC 8032, section 5.1, with its freedoms closed: the public key A and the signature's R are
canonical encodings (y < p) of points that are not of small order, S < L, and the equation is the
one without cofactor, encode(S·B − k·A) == R. OpenSSL computes that equation and compares bytes, but
takes the identity for a key; the checks in front of it decide by the bytes alone.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.light.errors import SignatureError

PUBLIC_KEY_SIZE = 32
SIGNATURE_SIZE = 64

_FIELD_PRIME = 2**255 - 19
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
# y of a point of order 8; the other two are of y and −y, each with both signs of x.
_ORDER_EIGHT_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
# The eight points of small order, by y: order 4, identity, order 2, and order 8 twice.
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD_PRIME - 1, _ORDER_EIGHT_Y, _FIELD_PRIME - _ORDER_EIGHT_Y})
_SIGN_BIT = 1 << 255


def check_public_key(public_key: bytes) -> None:
    """Refuse a 32-byte public key that is not canonical or of small order, with SignatureError.

    Decides by the bytes alone: a key that is no point on the curve passes, and verifies nothing.
    """
    _check_point(public_key, "public key")


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Verify a 64-byte signature of a message; raises SignatureError if it does not hold."""
    check_public_key(public_key)
    if len(signature) != SIGNATURE_SIZE:
        raise SignatureError("signature is not 64 bytes long")
    _check_point(signature[:32], "signature's R")
    if int.from_bytes(signature[32:], "little") >= _GROUP_ORDER:
        raise SignatureError("signature's S is not below the group's order")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("signature does not fit key and message") from error


def _check_point(encoded: bytes, name: str) -> None:
    if len(encoded) != PUBLIC_KEY_SIZE:
        raise SignatureError(f"{name} is not 32 bytes long")
    y = int.from_bytes(encoded, "little") & (_SIGN_BIT - 1)
    if y >= _FIELD_PRIME:
        raise SignatureError(f"{name} is not a canonical encoding")
    # x = 0 with a sign bit, the other non-canonical form, only exists for y = 1 and y = −1.
    if y in _SMALL_ORDER_Y:
        raise SignatureError(f"{name} is of small order")
