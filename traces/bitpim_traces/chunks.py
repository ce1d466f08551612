"""Chunks of a dataset straight from the file: fletcher32, gzip, shuffle, each checked and bounded.

HDF5's own filters let a small chunk inflate without limit and share one global lock. Here memory is
bounded by the declared chunk, and any thread may read.
"""

import hashlib
import itertools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.faults import Fault
from bitpim_traces.hdf5.chunk_tables import ChunkTable
from bitpim_traces.open_file import OpenFile
from bitpim_traces.tree import blocks

__all__ = ["ChunkedValues", "fletcher32", "unshuffled"]


def fletcher32(payload: bytes) -> int:
    """Compute the checksum of HDF5's fletcher32 filter.

    Source: HDF5 file format specification, "Fletcher32" filter: two running sums of big-endian
    16-bit words modulo 65,535, where a sum that is not zero never becomes zero.
    """
    padded = payload if len(payload) % 2 == 0 else payload + b"\0"
    words = np.frombuffer(padded, ">u2").astype(np.uint64)
    first = int(words.sum())
    second = int(words @ np.arange(words.size, 0, -1, dtype=np.uint64))
    low, high = ((total - 1) % 65535 + 1 if total else 0 for total in (first, second))
    return high << 16 | low


def unshuffled(plain: bytes, n_bytes: int) -> npt.NDArray[np.uint8]:
    """Undo HDF5's shuffle of values of so many bytes, (n, n_bytes); what is left over is no value.

    Plane by plane, which takes a quarter of the time of a transposed copy.
    """
    n = len(plain) // n_bytes
    planes = np.frombuffer(plain, np.uint8, n * n_bytes).reshape(n_bytes, n)
    values = np.empty((n, n_bytes), np.uint8)
    for k, plane in enumerate(planes):
        values[:, k] = plane
    return values


@dataclass(slots=True)
class ChunkedValues:
    """Reads elements of the first axis of one dataset; safe to call from many threads.

    A whole read is compared with the SHA-256. So is the first partial read of a file without a
    seal, at the price of one pass over the tensor; a seal that fits has proven the file already.
    Without a SHA-256 the seal alone counts.

    Raises: what `error` makes, when a chunk is damaged, short, or of another size than declared.
    """

    file: OpenFile
    where: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    table: ChunkTable
    sha256: str | None
    proven: bool
    error: Callable[[Fault, str], Exception]
    _last: tuple[int, npt.NDArray[Any]] | None = field(default=None, repr=False)

    def __call__(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Yield elements `start:stop` of the first axis."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        stop = max(start, stop)
        whole = (start, stop) == (0, self.shape[0])
        if not self.proven and not whole:
            running = hashlib.sha256()
            for begin, end in blocks(self.shape, self.dtype.itemsize, self.chunk[0]):
                running.update(self._read(begin, end).data)
            self._prove(running.hexdigest())
        values = self._read(start, stop)
        if whole and self.sha256 is not None:
            self._prove(hashlib.sha256(values.data).hexdigest())
        return values

    def _prove(self, sha256: str) -> None:
        if self.sha256 is not None and sha256 != self.sha256:
            raise self._damaged("values with the SHA-256 of its attribute", "other values")
        self.proven = True

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first = self.chunk[0]
        for row in range(start // first, -(-stop // first) if out.size else 0):
            low, high = max(row * first, start), min((row + 1) * first, stop)
            whole = (low, high) == (row * first, min((row + 1) * first, self.shape[0]))
            if whole:
                self._fill(row, out[low - start : high - start])
            else:
                kept = self._row(row)
                out[low - start : high - start] = kept[low - row * first : high - row * first]
        return out

    def _row(self, row: int) -> npt.NDArray[Any]:
        """Yield a row of chunks that is read in pieces (sample by sample), and keep it."""
        kept = self._last
        if kept is not None and kept[0] == row:
            return kept[1]
        first = self.chunk[0]
        values = np.empty((min(first, self.shape[0] - row * first), *self.shape[1:]), self.dtype)
        self._fill(row, values)
        self._last = (row, values)
        return values

    def _fill(self, row: int, out: npt.NDArray[Any]) -> None:
        """Decode the chunks that share a place on the first axis."""
        grid = [-(-n // step) for n, step in zip(self.shape[1:], self.chunk[1:], strict=True)]
        number = row * math.prod(grid)
        for place in itertools.product(*map(range, grid)):
            values = self._decode(number)
            target = tuple(
                slice(p * c, min((p + 1) * c, n))
                for p, c, n in zip(place, self.chunk[1:], self.shape[1:], strict=True)
            )
            source = tuple(slice(at.stop - at.start) for at in target)
            out[(slice(None), *target)] = values[(slice(len(out)), *source)]
            number += 1

    def _decode(self, number: int) -> npt.NDArray[Any]:
        size = int(self.table.sizes[number])
        raw = self.file.read(int(self.table.offsets[number]), size)
        if len(raw) != size:
            raise self._damaged(f"{size} bytes in chunk {number}", f"{len(raw)}: the file is cut")
        payload, stored = raw[:-4], int.from_bytes(raw[-4:], "little")
        if fletcher32(payload) != stored:
            raise self._damaged(f"fletcher32 {stored:#010x} in chunk {number}", "another")
        n_bytes = math.prod(self.chunk) * self.dtype.itemsize
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(payload, n_bytes + 1)
        except zlib.error as error:
            raise self._damaged(f"a gzip stream in chunk {number}", str(error)) from error
        if len(plain) != n_bytes or not inflater.eof or inflater.unused_data:
            raise self._damaged(f"{n_bytes} bytes in chunk {number}", "another number")
        return unshuffled(plain, self.dtype.itemsize).view(self.dtype).reshape(self.chunk)

    def _damaged(self, need: str, got: str) -> Exception:
        return self.error(Fault(self.where, need, got, "data"), self.file.path)
