# SPDX-License-Identifier: Apache-2.0
"""Ed25519 verification after RFC 8032, section 5.1, with what docs/format.md asks for beyond it (no points of small order)."""
import functools
import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1
ZERO = (0, 1, 1, 0)  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def add(a, b):
    m = (a[1] - a[0]) * (b[1] - b[0]) % P
    n = (a[1] + a[0]) * (b[1] + b[0]) % P
    c = 2 * a[3] * b[3] * D % P
    d = 2 * a[2] * b[2] % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(count, point):
    total = ZERO
    for bit in bin(count)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def is_zero(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


@functools.lru_cache(maxsize=1024)
def decode(data):
    """The point, or None if these 32 bytes are not the encoding of one."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if len(data) != 32 or y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    if (v * x * x + u) % P == 0:
        x = x * ROOT % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=1024)
def valid_key(data):
    """A canonical encoding of a point of full order."""
    point = decode(data)
    return point is not None and not is_zero(point) and is_zero(times(ORDER, point))


def _difference(s, k, point):
    """[s]B - [k]A, both multiples in one pass."""
    minus = (-point[0] % P, point[1], point[2], -point[3] % P)
    table = {"00": None, "10": BASE, "01": minus, "11": add(BASE, minus)}
    total = ZERO
    for i in range(252, -1, -1):
        total = add(total, total)
        step = table[f"{s >> i & 1}{k >> i & 1}"]
        if step:
            total = add(total, step)
    return total


def verify(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = decode(key), decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or is_zero(times(8, a)) or is_zero(times(8, r)):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    return encode(_difference(s, k, a)) == signature[:32]


def sign(seed, message):
    """For tests: it takes no care to keep the seed from whoever measures time."""
    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    key = encode(times(secret, BASE))
    r = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % ORDER
    point = encode(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little") % ORDER
    return point + ((r + k * secret) % ORDER).to_bytes(32, "little")
