"""Numbers of one dataset as any tool stores them: at once, in the header, or in chunks.

Chunks may pass shuffle, gzip and fletcher32 in any order, or nothing. What a tool does on request
only (newer indices of chunks, other filters, values in other files) is refused by name.

Source: HDF5 file format specification 3.0, sections IV.A.2.i (layouts), IV.A.2.l (filters).
"""

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.chunks import fletcher32, unshuffled
from bitpim_traces.faults import shown
from bitpim_traces.hdf5.chunk_tables import fixed_array
from bitpim_traces.hdf5.classic import b_tree
from bitpim_traces.hdf5.headers import DATASPACE, DATATYPE, FILTERS, LAYOUT, Messages
from bitpim_traces.hdf5.metadata import UNDEFINED, Fields, Metadata, Refused
from bitpim_traces.hdf5.types import Shape, dtype_of, shape_of

__all__ = ["MAX_BYTES", "number_type", "open_shape", "stored_values"]

MAX_BYTES = 2**32
"""Of one array in memory."""
_MAX_CHUNK_BYTES = 2**28
_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_ONE_CHUNK, _FIXED_ARRAY = 1, 3
_GZIP, _SHUFFLE, _FLETCHER = 1, 2, 3
_INTEGER, _FLOAT, _ENUM = 0, 1, 8
_MOST_INFLATED = 1032

Array = npt.NDArray[Any]
_Place = tuple[tuple[int, ...], int, int, int]
"""Where a chunk starts in the array; its address, its bytes, and the filters it did not pass."""


def number_type(body: bytes) -> "np.dtype[Any]":
    """Translate a type: integers of either byte order, enumerations of them, floats."""
    if len(body) < 12:
        raise Refused("integers or truth values", "another type")
    if body[0] & 15 == _ENUM:  # h5py keeps truth values so
        return number_type(body[8:20])
    if body[0] & 15 == _INTEGER and body[1] & ~9 == 0:
        size, offset, precision = (
            int.from_bytes(body[at : at + n], "little") for at, n in ((4, 4), (8, 2), (10, 2))
        )
        if size in (1, 2, 4, 8) and (offset, precision) == (0, 8 * size):
            return np.dtype(f"{'>' if body[1] & 1 else '<'}{'i' if body[1] & 8 else 'u'}{size}")
    if body[0] & 15 == _FLOAT:
        return dtype_of(body[:20])  # older messages are padded
    raise Refused("integers or truth values", "another type")


def open_shape(body: bytes) -> Shape:
    """Translate a dataspace, whether or not it may grow."""
    return shape_of(body[:2] + b"\0" + body[3:])


def stored_values(metadata: Metadata, messages: Messages) -> Array:
    """Read all values of a dataset.

    Raises
    ------
    Refused
        They are none, more than MAX_BYTES, damaged, or stored in another way.
    """
    dtype, shape = number_type(messages[DATATYPE][0]), open_shape(messages[DATASPACE][0])
    if shape is None:
        raise Refused("numbers", "no values")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > MAX_BYTES:
        raise Refused(f"at most {MAX_BYTES:,} bytes of values", f"{n_bytes:,}")
    fields = Fields(messages[LAYOUT][0])
    version, sort = fields.int(1), fields.int(1)
    if version not in (3, 4, 5) or sort not in (_COMPACT, _CONTIGUOUS, _CHUNKED):
        raise Refused("values in the file, at once or in chunks", f"layout {version}.{sort}")
    if n_bytes == 0:
        raise Refused("values", f"an empty array of shape {shown(shape)}")
    if sort == _CHUNKED:
        return _Chunks(metadata, dtype, shape, _filters(messages)).read(fields, version)
    if sort == _COMPACT:
        if fields.int(2) < n_bytes:
            raise Refused(f"{n_bytes} bytes in the header", "fewer")
        return np.frombuffer(fields.take(n_bytes), dtype).reshape(shape)
    address = fields.int(8)
    if address == UNDEFINED:
        raise Refused("values that were written", "none")
    return np.frombuffer(metadata.read(address, n_bytes), dtype).reshape(shape)


def _filters(messages: Messages) -> tuple[int, ...]:
    if FILTERS not in messages:
        return ()
    fields = Fields(messages[FILTERS][0])
    version, n_filters = fields.int(1), fields.int(1)
    fields.take(6 if version == 1 else 0)
    found = []
    for _ in range(n_filters):
        number = fields.int(2)
        if number not in (_GZIP, _SHUFFLE, _FLETCHER):
            raise Refused("chunks that pass shuffle, gzip or fletcher32 alone", f"filter {number}")
        name = fields.int(2) if version == 1 else 0
        fields.take(2)
        n_values = fields.int(2)
        fields.take(name + -name % 8 + 4 * n_values)
        fields.take(4 if version == 1 and n_values % 2 else 0)
        found.append(number)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of one dataset, each met once."""

    metadata: Metadata
    dtype: "np.dtype[Any]"
    shape: Sequence[int]
    filters: tuple[int, ...]

    def read(self, layout: Fields, version: int) -> Array:
        """Read the chunks that a layout says where to find."""
        if version == 3:
            axes, address = layout.int(1), layout.int(8)
            *chunk, item = (layout.int(4) for _ in range(max(axes, 1)))
            self._check(chunk, item)
            places = self._tree(address, chunk)
        else:
            flags, axes, width = layout.int(1), layout.int(1), layout.int(1)
            *chunk, item = (layout.int(min(width, 8)) for _ in range(max(axes, 1)))
            self._check(chunk, item)
            places = self._newer(layout, flags, chunk)
        self._need_all(places, chunk)
        out = np.empty(self.shape, self.dtype)
        for place, address, size, mask in places:
            block = self._decoded(self.metadata.read(address, size), mask, chunk)
            into = out[tuple(slice(at, at + n) for at, n in zip(place, chunk, strict=True))]
            into[...] = block[tuple(map(slice, into.shape))]
        return out

    def _check(self, chunk: Sequence[int], item: int) -> None:
        n_bytes = math.prod(chunk) * item
        if len(chunk) != len(self.shape) or item != self.dtype.itemsize or n_bytes == 0:
            raise Refused(f"chunks of {len(self.shape)} axes", f"{(*chunk, item)}")
        if n_bytes > _MAX_CHUNK_BYTES:
            raise Refused(f"chunks of at most {_MAX_CHUNK_BYTES:,} bytes", f"{n_bytes:,}")

    def _newer(self, layout: Fields, flags: int, chunk: Sequence[int]) -> "list[_Place]":
        """Find the chunks of a shape that does not grow, of HDF5 1.10 and later."""
        index = layout.int(1)
        plain = math.prod(chunk) * self.dtype.itemsize
        if index == _ONE_CHUNK:
            size, mask = (layout.int(8), layout.int(4)) if flags & 2 else (plain, 0)
            return [((0,) * len(chunk), layout.int(8), size, mask)]
        if index != _FIXED_ARRAY:
            need = "chunks of a shape that does not grow (h5py: no maxshape, or libver='earliest')"
            raise Refused(need, "others")
        page_bits, address = layout.int(1), layout.int(8)
        grid = self._grid(chunk)
        n_chunks = math.prod(grid)
        if n_chunks > self.metadata.size:
            raise Refused("no more chunks than the file can hold", str(n_chunks))
        only = 0 if self.filters else plain
        offsets, sizes = fixed_array(self.metadata, address, n_chunks, page_bits, only)
        if int(sizes.min()) < 0:
            raise Refused("chunks inside the file", "another")
        starts = itertools.product(
            *(range(0, n * step, step) for n, step in zip(grid, chunk, strict=True))
        )
        return [
            (place, offset, size, 0)
            for place, offset, size in zip(starts, offsets.tolist(), sizes.tolist(), strict=True)
        ]

    def _grid(self, chunk: Sequence[int]) -> list[int]:
        return [-(-n // step) for n, step in zip(self.shape, chunk, strict=True)]

    def _tree(self, address: int, chunk: Sequence[int]) -> "list[_Place]":
        found = []
        for key, child in b_tree(self.metadata, address, 1, 8 * (len(chunk) + 2)):
            fields = Fields(key)
            size, mask = fields.int(4), fields.int(4)
            found.append((tuple(fields.int(8) for _ in chunk), child, size, mask))
        return found

    def _need_all(self, places: "list[_Place]", chunk: Sequence[int]) -> None:
        """See that every chunk of the shape is there once, before memory is taken for it."""
        expected = math.prod(self._grid(chunk))
        inside = {
            place
            for place, *_ in places
            if all(at % step == 0 and at < n
                   for at, step, n in zip(place, chunk, self.shape, strict=True))
        }  # fmt: skip
        if not len(places) == len(inside) == expected:
            raise Refused(f"{expected} chunks, each once (all values written)", f"{len(places)}")
        room = sum(size for _, _, size, _ in places) * (_MOST_INFLATED if self.filters else 1)
        if room + 64 < math.prod(self.shape) * self.dtype.itemsize:
            raise Refused("chunks that hold all values", "shorter ones")

    def _decoded(self, raw: bytes, mask: int, chunk: Sequence[int]) -> Array:
        n_bytes = math.prod(chunk) * self.dtype.itemsize
        for number in reversed(range(len(self.filters))):
            if mask >> number & 1:
                continue
            match self.filters[number]:
                case 1:
                    raw = _inflated(raw, n_bytes + 4 * len(self.filters))
                case 2:
                    whole = len(raw) // self.dtype.itemsize * self.dtype.itemsize
                    raw = unshuffled(raw, self.dtype.itemsize).tobytes() + raw[whole:]
                case _:
                    raw = _checked(raw)
        if len(raw) != n_bytes:
            raise Refused(f"{n_bytes} bytes in a chunk", str(len(raw)))
        return np.frombuffer(raw, self.dtype).reshape(chunk)


def _inflated(raw: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(raw, most + 1)
    except zlib.error as error:
        raise Refused("a gzip stream in a chunk", str(error)) from error
    if not inflater.eof:
        raise Refused("a whole gzip stream in a chunk", "part of one, or more than its values")
    return plain


def _checked(raw: bytes) -> bytes:
    stored = int.from_bytes(raw[-4:], "little")
    if len(raw) < 4 or fletcher32(raw[:-4]) != stored:
        raise Refused("the checksum of a chunk", "another")
    return raw[:-4]
