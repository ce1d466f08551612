"""The checksum of HDF5's metadata, for those who forge it; the reader does not look at it."""

import struct

__all__ = ["lookup3"]

_MASK = 0xFFFFFFFF


def lookup3(key: bytes) -> int:
    """Compute the checksum of HDF5's metadata.

    Source: Bob Jenkins, lookup3.c, hashlittle() with initial value 0 (public domain).
    """
    a = b = c = (0xDEADBEEF + len(key)) & _MASK
    at, last = 0, max(len(key) - 1, 0) // 12 * 12
    for x, y, z in struct.iter_unpack("<III", key[:last]):
        a, b, c = a + x, b + y, c + z
        a = (a - c ^ _rotated(c, 4)) & _MASK
        c += b
        b = (b - a ^ _rotated(a, 6)) & _MASK
        a += c
        c = (c - b ^ _rotated(b, 8)) & _MASK
        b += a
        a = (a - c ^ _rotated(c, 16)) & _MASK
        c += b
        b = (b - a ^ _rotated(a, 19)) & _MASK
        a += c
        c = (c - b ^ _rotated(b, 4)) & _MASK
        b += a
    at = last
    if at == len(key):
        return c & _MASK
    x, y, z = struct.unpack("<III", key[at:].ljust(12, b"\0"))
    a, b, c = a + int(x), b + int(y), c + int(z)
    for shift in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, shift)) & _MASK
        a, b, c = b, c, a
    return int(b)


def _rotated(x: int, k: int) -> int:
    x &= _MASK
    return (x << k) | (x >> (32 - k))
