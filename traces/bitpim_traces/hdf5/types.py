"""Types and shapes as messages spell them.

Source: HDF5 file format specification 3.0, sections IV.A.2.b (dataspaces), IV.A.2.d (datatypes).
"""

import struct
from typing import Any

import numpy as np

from bitpim_traces.hdf5.metadata import Fields, Refused

__all__ = ["TEXT_OF_ANY_LENGTH", "Shape", "dtype_of", "shape_of"]

TEXT_OF_ANY_LENGTH = np.dtype("V16")
"""Stands for texts of variable length: a value is a reference of 16 bytes into a global heap."""

_NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_FLOATS = {  # sign bit; exponent: position, bits; mantissa: position, bits; bias
    "float32": (31, 23, 8, 0, 23, 127),
    "float64": (63, 52, 11, 0, 52, 1023),
}
_TEXT, _VARIABLE = 3, 9
_SHORTEST, _MOST_AXES = 8, 32

Shape = tuple[int, ...] | None
"""Sizes of the axes; () for one value, None for a dataspace without values."""


def _spellings() -> "dict[bytes, np.dtype[Any]]":
    found = {}
    for name in _NUMBERS:
        dtype = np.dtype(name).newbyteorder("<")
        sign = 8 if dtype.kind == "i" else 0
        n = dtype.itemsize
        found[struct.pack("<BBHIHH", 0, sign, 0, n, 0, 8 * n)] = dtype
    for name, (sign, *parts, bias) in _FLOATS.items():
        dtype = np.dtype(name).newbyteorder("<")
        n = dtype.itemsize
        found[struct.pack("<BBBBIHH4BI", 1, 0x20, sign, 0, n, 0, 8 * n, *parts, bias)] = dtype
    return found


_SPELLINGS = _spellings()


def dtype_of(body: bytes) -> "np.dtype[Any]":
    """Translate a type: a little-endian number or a text; anything else is refused."""
    if len(body) < _SHORTEST or not 1 <= body[0] >> 4 <= 4:
        raise Refused("a type that is known", "another")
    known = _SPELLINGS.get(bytes([body[0] & 15]) + body[1:])
    if known is not None:
        return known
    sort, padding = body[0] & 15, body[1] & 15
    size = int.from_bytes(body[4:8], "little")
    if sort == _TEXT and padding < 2 and 0 < size < 2**31:
        return np.dtype(f"S{size}")
    if sort == _VARIABLE and padding == 1 and size == TEXT_OF_ANY_LENGTH.itemsize:
        return TEXT_OF_ANY_LENGTH
    raise Refused("a little-endian integer, float, or text of fixed length", "another type")


def shape_of(body: bytes) -> Shape:
    """Translate a dataspace; a resizable one is refused."""
    fields = Fields(body)
    version, rank, flags, sort = (fields.int(1) for _ in range(4))
    if version == 1:  # what editing with h5py's default versions leaves in attributes
        fields.take(4)
        sort = 1 if rank else 0
    if version not in (1, 2) or flags > 1 or sort > 2 or rank > _MOST_AXES:
        raise Refused("a dataspace of version 1 or 2", f"{version=}, {rank} axes")
    if sort != 1:
        return () if sort == 0 else None
    sizes = tuple(fields.int(8) for _ in range(rank))
    if flags and tuple(fields.int(8) for _ in range(rank)) != sizes:
        raise Refused("a fixed shape", "a resizable one")
    return sizes
