"""Sizes that HDF5's metadata states, bounded before the library believes them.

libhdf5 2.0 allocates by some of these fields before it compares them with the file: a forged
B-tree header of 38 bytes made it touch 4 GiB. Each block of metadata bears a signature and a
checksum, so they are found by their signatures, wherever they are; what only looks like one (in
compressed values) has no fitting checksum.

Source: HDF5 file format specification 3.0, sections III.A.2 (version 2 B-trees), III.G (fractal
heaps), VII.C (fixed arrays), IV.A.1.b (object headers), IV.A.2.q (continuations).
"""

import struct
from collections.abc import Iterator

from bitpim_traces.chunks import OpenFile

__all__ = ["lookup3", "oversized"]

_MASK = 0xFFFFFFFF
_PIECE = 2**22
_OVERLAP = 3
_MAX_NODE = 2**20
_MAX_HEADER = 2**24
_CONTINUATION = 0x10


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


def oversized(file: OpenFile) -> str:
    """Describe the first block of metadata that states a size beyond the file; "" if none does."""
    n_bytes = file.size()
    for at, signature in _signatures(file, n_bytes):
        wrong = _JUDGES[signature](file, at, n_bytes)
        if wrong:
            return f"{signature.decode()} at {at}: {wrong}"
    return ""


def _signatures(file: OpenFile, n_bytes: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, n_bytes, _PIECE):
        piece = file.read(start, _PIECE + _OVERLAP)
        for signature in _JUDGES:
            at = piece.find(signature)
            while at >= 0:
                yield start + at, signature
                at = piece.find(signature, at + 1)


def _sealed(block: bytes, n_bytes: int) -> bool:
    """Say whether a block is there in full and its last four bytes are its checksum."""
    return len(block) == n_bytes and lookup3(block[:-4]) == int.from_bytes(block[-4:], "little")


def _tree_wrong(file: OpenFile, at: int, n_bytes: int) -> str:
    block = file.read(at, 38)
    if not _sealed(block, 38):
        return ""
    node, record, depth = struct.unpack_from("<IHH", block, 6)
    (total,) = struct.unpack_from("<Q", block, 26)
    good = 0 < record <= node <= _MAX_NODE and depth <= 16 and total * record <= n_bytes
    return "" if good else f"nodes of {node}, {total} records of {record}, depth {depth}"


def _heap_wrong(file: OpenFile, at: int, n_bytes: int) -> str:
    block = file.read(at, 146)
    if not _sealed(block, 146):
        return ""  # with filters it is longer; the library's own writers of links have none
    width, first, most, bits, _, _, rows = struct.unpack_from("<HQQHHQH", block, 110)
    length, filters = struct.unpack_from("<HH", block, 5)
    good = (
        0 < width <= 64
        and 0 < first <= most <= _MAX_NODE
        and bits <= 64
        and rows <= 256
        and 0 < length <= 64
        and filters == 0
    )
    return "" if good else f"blocks of {first} to {most}, {rows} rows of {width}"


def _array_wrong(file: OpenFile, at: int, n_bytes: int) -> str:
    block = file.read(at, 28)
    if not _sealed(block, 28):
        return ""
    entry, page_bits = block[6], block[7]
    (entries,) = struct.unpack_from("<Q", block, 8)
    good = entry > 0 and entry * entries <= n_bytes and page_bits <= 20
    return "" if good else f"{entries} entries of {entry}"


def _header_wrong(file: OpenFile, at: int, n_bytes: int) -> str:
    """Judge an object header's own size, then those of its continuations, one after the other."""
    prefix = file.read(at, 42)
    if len(prefix) < 7 or prefix[4] != 2:
        return ""
    flags = prefix[5]
    start = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(prefix[start : start + width], "little")
    whole = start + width + size + 4
    if at + whole > n_bytes or whole > _MAX_HEADER:
        return f"{size} bytes"
    return _messages_wrong(file, file.read(at, whole)[start + width : -4], flags, n_bytes)


def _messages_wrong(file: OpenFile, messages: bytes, flags: int, n_bytes: int) -> str:
    waiting, seen = [messages], 0
    head = 6 if flags & 4 else 4
    while waiting:
        messages, at = waiting.pop(), 0
        while at + head <= len(messages):
            kind, size = messages[at], int.from_bytes(messages[at + 1 : at + 3], "little")
            body = messages[at + head : at + head + size]
            at += head + size
            if kind != _CONTINUATION or len(body) < 16:
                continue
            place, length = struct.unpack_from("<QQ", body)
            seen += length
            if length < 8 or place + length > n_bytes or seen > n_bytes:
                return f"a continuation of {length} bytes at {place}"
            waiting.append(file.read(place, length)[4:-4])
    return ""


_JUDGES = {
    b"BTHD": _tree_wrong,
    b"FRHP": _heap_wrong,
    b"FAHD": _array_wrong,
    b"OHDR": _header_wrong,
}
