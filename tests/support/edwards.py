# SPDX-License-Identifier: GPL-3.0-or-later
"""The curve of Ed25519 in the plainest arithmetic, to make what libraries never make.

RFC 8032, section 5.1. Points are affine; nothing here is quick or secret.
"""

from hashlib import sha512

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def point_of(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def torsion() -> list[Point]:
    """All eight points of small order, as multiples of one of order 8 found by search."""
    for y in range(2, 100):
        point = point_of(y)
        eighth = multiply(L, point) if point else IDENTITY
        if multiply(4, eighth) != IDENTITY:
            return [multiply(count, eighth) for count in range(8)]
    raise AssertionError


TORSION = torsion()
BASE = point_of(4 * pow(5, -1, P) % P) or IDENTITY
BASE = BASE if BASE[0] % 2 == 0 else (P - BASE[0], BASE[1])


def challenge(r: bytes, public_key: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(r + public_key + message).digest(), "little") % L


def secret_scalar(key: Ed25519PrivateKey) -> int:
    """Return the integer by which a private key multiplies the base point."""
    seed = int.from_bytes(sha512(key.private_bytes_raw()).digest()[:32], "little")
    return (seed & (1 << 254) - 8) | 1 << 254


def forge(
    key: Ed25519PrivateKey, message: bytes, *, r: bytes | None = None, at: Point = IDENTITY
) -> bytes:
    """Return a signature with R as given, or with `at` added to a regular one.

    With a given R, which then has to encode the identity, the equation holds as it stands. With
    a point of small order added it holds only after multiplication by the cofactor.
    """
    nonce = 0 if r is not None else int.from_bytes(sha512(message).digest(), "little") % L
    encoded = encode(add(multiply(nonce, BASE), at)) if r is None else r
    public_key = key.public_key().public_bytes_raw()
    s = (nonce + challenge(encoded, public_key, message) * secret_scalar(key)) % L
    return encoded + s.to_bytes(32, "little")
