"""Chunks of a dataset straight from the file: fletcher32, gzip, shuffle, each checked and bounded.

HDF5's own filters let a small chunk inflate without limit and share one global lock. Reading the
stored bytes ourselves bounds memory by the declared chunk, works from any thread, and keeps a
damaged chunk away from the library.
"""

import hashlib
import io
import itertools
import math
import os
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceError
from bitpim_traces.faults import Fault
from bitpim_traces.tree import blocks

__all__ = ["ChunkedValues", "OpenFile", "fletcher32", "stored_limit"]


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


def stored_limit(n_bytes: int) -> int:
    """Yield the most bytes that a chunk of `n_bytes` may take in the file."""
    return n_bytes + n_bytes // 64 + 128


class OpenFile:
    """A file held open for reading by any thread, closed with its last user."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def size(self) -> int:
        """Size now, bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Yield up to `n_bytes` from a position; fewer at the end of the file."""
        parts = []
        while n_bytes > 0:
            part = os.pread(self._descriptor, n_bytes, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            n_bytes -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def stream(self) -> io.FileIO:
        """Open the same file once more, as a stream with a position."""
        return io.FileIO(os.dup(self._descriptor), "rb")

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


@dataclass(slots=True)
class ChunkedValues:
    """Reads elements of the first axis of one dataset; safe to call from many threads.

    A whole read is compared with the SHA-256. So is the first partial read of a file without a
    seal, at the price of one pass over the tensor; a seal that fits has proven the file already.

    Shapes: `offsets`, `sizes`: one entry a chunk, C order over the grid of chunks.
    Raises: TraceDataError when a chunk is damaged, short, or of another size than declared.
    """

    file: OpenFile
    where: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    sha256: str
    proven: bool
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
        if whole:
            self._prove(hashlib.sha256(values.data).hexdigest())
        return values

    def _prove(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise self._damaged("values with the SHA-256 of its attribute", "other values")
        self.proven = True

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        try:
            out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        except MemoryError as error:
            n_bytes = (stop - start) * math.prod(self.shape[1:]) * self.dtype.itemsize
            raise self._damaged(f"{n_bytes} bytes of memory", "less") from error
        grid = [-(-size // step) for size, step in zip(self.shape, self.chunk, strict=True)]
        first = range(start // self.chunk[0], -(-stop // self.chunk[0]) if out.size else 0)
        per_row = math.prod(grid[1:])
        for row in first:
            for k, place in enumerate(itertools.product(*(range(n) for n in grid[1:]))):
                self._place(out, row * per_row + k, (row, *place), start, stop)
        return out

    def _place(
        self,
        out: npt.NDArray[Any],
        number: int,
        place: tuple[int, ...],
        start: int,
        stop: int,
    ) -> None:
        """Copy what one chunk holds of the wanted range into `out`."""
        corner = [p * c for p, c in zip(place, self.chunk, strict=True)]
        low, high = max(corner[0], start), min(corner[0] + self.chunk[0], stop)
        kept = self._last
        if kept is not None and kept[0] == number:
            values = kept[1]
        else:
            values = self._decode(number)
            # Only a chunk that is read in pieces (sample by sample) is worth keeping.
            if high - low < min(self.chunk[0], self.shape[0] - corner[0]):
                self._last = (number, values)
        spans = [
            min(c, n - at)
            for c, n, at in zip(self.chunk[1:], self.shape[1:], corner[1:], strict=True)
        ]
        target = tuple(slice(at, at + n) for at, n in zip(corner[1:], spans, strict=True))
        source = tuple(slice(n) for n in spans)
        out[(slice(low - start, high - start), *target)] = values[
            (slice(low - corner[0], high - corner[0]), *source)
        ]

    def _decode(self, number: int) -> npt.NDArray[Any]:
        size = int(self.sizes[number])
        raw = self.file.read(int(self.offsets[number]), size)
        if len(raw) != size:
            raise self._damaged(f"{size} bytes in chunk {number}", f"{len(raw)}: the file is cut")
        payload, stored = raw[:-4], int.from_bytes(raw[-4:], "little")
        if fletcher32(payload) != stored:
            raise self._damaged(f"fletcher32 {stored:#010x} in chunk {number}", "another")
        n_bytes = math.prod(self.chunk) * self.dtype.itemsize
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(payload, n_bytes + 1)
        except (zlib.error, MemoryError) as error:
            raise self._damaged(f"a gzip stream in chunk {number}", str(error)) from error
        if len(plain) != n_bytes or not inflater.eof or inflater.unused_data:
            raise self._damaged(f"{n_bytes} bytes in chunk {number}", "another number")
        planes = np.frombuffer(plain, np.uint8).reshape(self.dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(self.dtype).reshape(self.chunk)

    def _damaged(self, need: str, got: str) -> TraceError:
        return Fault(self.where, need, got, "data").error(self.file.path)
