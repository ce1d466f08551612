"""Where the chunks of a dataset lie.

Source: HDF5 file format specification 3.0, sections IV.A.2.i (layouts), VII.A and VII.C (one chunk,
fixed arrays), III.A.1 (version 1 B-trees, in files of HDF5 1.8).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_traces.hdf5.classic import b_tree
from bitpim_traces.hdf5.metadata import UNDEFINED, Fields, Metadata, Refused

__all__ = ["ChunkTable", "Layout", "fixed_array", "layout_of"]

_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_ONE_CHUNK, _FIXED_ARRAY = 1, 3
_SMALLEST_CHUNK = 12
"""Bytes in the file: an empty gzip stream and its fletcher32."""
_MOST_INFLATED = 1032
"""Bytes that one byte of a gzip stream can stand for."""
_BEYOND = 2**62
"""Stands for every address or size that no file has."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """Where each chunk lies in the file, C order over the grid of chunks."""

    offsets: Places
    sizes: Places


@dataclass(frozen=True, slots=True)
class Layout:
    """How the values of a dataset are stored: shape of a chunk, and the index of the chunks."""

    chunk: tuple[int, ...]
    item_bytes: int
    index: int | None  # None: a version 1 B-tree
    address: int
    page_bits: int = 0
    only_size: int = 0

    def table(self, metadata: Metadata, shape: tuple[int, ...]) -> ChunkTable:
        """Read where the chunks of a dataset lie, and see that it has all of them."""
        grid = [-(-size // step) for size, step in zip(shape, self.chunk, strict=True)]
        expected = math.prod(grid)
        if expected * _SMALLEST_CHUNK > metadata.size:
            raise Refused("no more chunks than the file can hold", f"{expected} for {shape}")
        if self.index is None:
            offsets, sizes = _Tree(metadata, self.chunk, grid).read(self.address)
        elif self.index == _ONE_CHUNK:
            offsets, sizes = _integers_of(self.address), _integers_of(self.only_size)
        else:
            offsets, sizes = fixed_array(metadata, self.address, expected, self.page_bits)
        n_bytes = math.prod(self.chunk) * self.item_bytes
        _check(metadata, offsets, sizes, expected, n_bytes)
        return ChunkTable(offsets.astype(np.int64) + metadata.base, sizes.astype(np.int64))


def _check(metadata: Metadata, offsets: Places, sizes: Places, expected: int, n_bytes: int) -> None:
    if offsets.size != expected:
        raise Refused(f"{expected} chunks", str(offsets.size))
    if expected == 0:
        return
    least = max(_SMALLEST_CHUNK, n_bytes // _MOST_INFLATED)
    most = n_bytes + n_bytes // 64 + 128
    inside = int(sizes.min()) >= least and int(sizes.max()) <= most
    # No sum of two of these leaves 64 bits, because each is inside the file.
    inside = inside and int(offsets.max()) < metadata.size and int(offsets.min()) >= 0
    if not inside or int((offsets + sizes).max()) > metadata.size:
        raise Refused("whole, filtered chunks inside the file", "others")
    metadata.spend(int(sizes.sum()))


def layout_of(body: bytes) -> Layout | None:
    """Translate a layout; None where values are not in chunks."""
    fields = Fields(body)
    version, sort = fields.int(1), fields.int(1)
    if version not in (3, 4, 5) or sort not in (_COMPACT, _CONTIGUOUS, _CHUNKED):
        raise Refused("a chunked layout", "another layout")
    if sort != _CHUNKED:
        return None
    if version == 3:
        axes = fields.int(1)
        address = fields.int(8)
        *chunk, item = (fields.int(4) for _ in range(axes)) if axes else (0,)
        return Layout(tuple(chunk), item, None, address)
    flags, axes, width = fields.int(1), fields.int(1), fields.int(1)
    if not axes or not 1 <= width <= 8:
        raise Refused("a chunked layout", "another layout")
    *chunk, item = (fields.int(width) for _ in range(axes))
    index = fields.int(1)
    page_bits = only_size = 0
    if index == _ONE_CHUNK and flags == 2:
        only_size = fields.int(8)
        _need_all_filters(fields.int(4))
    elif index == _FIXED_ARRAY and flags == 0:
        page_bits = fields.int(1)
    else:
        raise Refused("whole, filtered chunks of a fixed shape", f"index {index}, flags {flags}")
    return Layout(tuple(chunk), item, index, fields.int(8), page_bits, only_size)


def _need_all_filters(mask: int) -> None:
    if mask:
        raise Refused("whole, filtered chunks inside the file", "one that passed some filters")


def fixed_array(
    metadata: Metadata, address: int, expected: int, page_bits: int, plain_bytes: int = 0
) -> tuple[Places, Places]:
    """Read a fixed array: an entry a chunk, in pages if there are many.

    Chunks that pass no filter are all of `plain_bytes`, and their entries addresses alone.
    """
    if address == UNDEFINED:
        raise Refused(f"{expected} chunks", "none")
    fields = Fields(metadata.read(address, 28))
    is_filtered = plain_bytes == 0
    fields.need(b"FAHD\0" + bytes([is_filtered]), "an array of chunks")
    entry, bits, n_entries, block = fields.int(1), fields.int(1), fields.int(8), fields.int(8)
    if (
        not (13 <= entry <= 20 if is_filtered else entry == 8)
        or bits != page_bits
        or bits > 20
        or n_entries != expected
    ):
        raise Refused(f"an array of {expected} chunks", f"{n_entries} of {entry} bytes")
    per_page = 1 << bits
    n_pages = -(-n_entries // per_page) if n_entries > per_page else 0
    n_bytes = n_entries * entry + 4 * (n_pages or 0)
    head = 14 + (n_pages + 7) // 8 + (4 if n_pages else 0)
    raw = metadata.read(block, head + n_bytes + (0 if n_pages else 4))
    Fields(raw).need(b"FADB\0" + bytes([is_filtered]), "the entries of an array of chunks")
    body = np.frombuffer(raw, np.uint8, n_bytes, head)
    if n_pages:
        body = _without_checksums(body, per_page * entry, n_pages)
    rows = body.reshape(n_entries, entry)
    if not is_filtered:
        return _integers(rows), np.full(n_entries, plain_bytes, np.int64)
    if rows[:, -4:].any():
        _need_all_filters(1)
    return _integers(rows[:, :8]), _integers(rows[:, 8:-4])


def _without_checksums(
    body: npt.NDArray[np.uint8], page: int, n_pages: int
) -> npt.NDArray[np.uint8]:
    return np.concatenate(
        [body[k * (page + 4) :][:page] for k in range(n_pages - 1)]
        + [body[(n_pages - 1) * (page + 4) : -4]]
    )


def _integers(columns: npt.NDArray[np.uint8]) -> Places:
    """Join little-endian bytes; what needs more than 63 bits comes out negative or small."""
    wide = np.zeros((len(columns), 8), np.uint8)
    wide[:, : columns.shape[1]] = columns
    return wide.reshape(-1).view("<i8")


def _integers_of(number: int) -> Places:
    return np.array([min(number, _BEYOND)], np.int64)


class _Tree:
    """A version 1 B-tree of chunks, each node read once."""

    def __init__(self, metadata: Metadata, chunk: tuple[int, ...], grid: list[int]) -> None:
        self.metadata, self.chunk, self.grid = metadata, chunk, grid
        self.offsets = np.full(math.prod(grid), -1, np.int64)
        self.sizes = np.zeros(math.prod(grid), np.int64)

    def read(self, address: int) -> tuple[Places, Places]:
        if address == UNDEFINED:
            raise Refused(f"{self.offsets.size} chunks", "none")
        for key, child in b_tree(self.metadata, address, 1, 8 * (len(self.chunk) + 2)):
            fields = Fields(key)
            size, mask = fields.int(4), fields.int(4)
            place = [fields.int(8) for _ in self.chunk]
            _need_all_filters(mask)
            self._keep(place, min(child, _BEYOND), size)
        if (self.offsets < 0).any():
            raise Refused(f"{self.offsets.size} chunks", "fewer")
        return self.offsets, self.sizes

    def _keep(self, place: list[int], offset: int, size: int) -> None:
        number = 0
        for at, step, n in zip(place, self.chunk, self.grid, strict=True):
            if at % step or at // step >= n:
                raise Refused("chunks inside the shape", f"one at {place}")
            number = number * n + at // step
        if self.offsets[number] >= 0:
            raise Refused("one chunk at a place", f"two at {place}")
        self.offsets[number], self.sizes[number] = offset, size
