"""Speed of reading stored weights, one thread, against NumPy and `np.unpackbits`.

Both read the same lines of a layer of 512 x 512 weights in four clusters: positions, codes, and
the checksum of every line. The twin is in the fastest forms found: fields widened to bytes and
packed again, one table look-up a code, `np.flatnonzero` where a boolean index took twice as long,
and a table for each place of a line in the checksum. Without checksums it is measured, too.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.weightstore.settings import StoreSettings, WeightCodes
from bitpim.weightstore.store import StoredLayer, store_layer
from bitpim_kernels.checksum import parities

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]
Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int8]
Ints = npt.NDArray[np.int64]

SHAPE = (512, 512)
N_CLUSTERS = 4
CALLS = 5  # of less than a millisecond each, for the clock


def layer_of(settings: StoreSettings) -> tuple[StoredLayer, Codes]:
    """Codes of normal weights; clusters of equal count by falling magnitude."""
    drawn = np.random.default_rng(0).normal(0, 20, SHAPE)
    codes = np.clip(np.round(drawn), -128, 127).astype(np.int8)
    ranks = np.empty(codes.size, np.int64)
    ranks[np.argsort(-np.abs(codes.ravel().astype(int)), kind="stable")] = np.arange(codes.size)
    clusters = (ranks * N_CLUSTERS // codes.size).reshape(SHAPE)
    return store_layer(codes, clusters, N_CLUSTERS, WeightCodes(8, True, 0), settings), codes


class NumpyReader:
    """Reads a stored layer of signed codes around 0, what clusters share once for all of it."""

    def __init__(self, layer: StoredLayer) -> None:
        self.layer = layer
        self.content = layer.words.view(np.uint8)
        room = layer.settings.line_bytes - 1
        by = parities(8, room)
        self.tables = np.zeros((room, 256), np.uint8)
        for place in range(room):
            for bit in range(8):
                mask = by.masks[place // 8] >> np.uint64(8 * (place % 8) + bit) & np.uint64(1)
                lit = np.arange(256) >> bit & 1 == 1
                self.tables[place, lit] ^= np.packbits(mask.astype(np.uint8), bitorder="little")
        self.start = np.uint8(by.start)

    def lines(self, first: int, last: int, *, checks: bool) -> Bytes:
        """Lines without their checksums, in rows; the last is filled with what follows it."""
        starts = self.layer.starts
        length = int(starts[first + 1] - starts[first])
        row = np.arange(length)
        rows = self.content[np.minimum(starts[first:last, None] + row, len(self.content) - 1)]
        if checks:
            body = rows[:, 1:].copy()
            body[-1, int(starts[last] - starts[last - 1]) - 1 :] = 0
            found = np.full(len(rows), self.start)
            for place in range(length - 1):
                found ^= self.tables[place][body[:, place]]
            assert np.array_equal(found, rows[:, 0])
        bodies: Bytes = rows[:, 1:]
        return bodies

    def read(self, out: Codes, *, checks: bool) -> None:
        """Write all codes."""
        layer = self.layer
        form = layer.settings.form(layer.kind)
        free: Ints = np.arange(out.size)
        for j, n in enumerate(layer.counts.tolist()):
            line, last = layer.cluster_lines[j], layer.cluster_lines[j + 1]
            places = free
            if n < len(free):
                n_lines = -(-len(free) // form.positions_per_line)
                rows = self.lines(line, line + n_lines, checks=checks)
                bits = np.unpackbits(rows, count=len(free), bitorder="little")
                places = free[np.flatnonzero(bits)]
                free = free[np.flatnonzero(bits == 0)]
                line += n_lines
            out[places] = self.codes(line, last, n, form.codes_per_line, checks=checks)

    def codes(self, line: int, last: int, n: int, per_line: int, *, checks: bool) -> Codes:
        """Return the codes of a cluster; the first line has the header and is read by itself."""
        first = self.lines(line, line + 1, checks=checks)[0]
        bits = np.unpackbits(first, bitorder="little")
        low = int(bits[:4] @ (1 << np.arange(4)))
        width, n_header = (8, 4) if low == 8 else (low + 1, 4 + 8 - low)
        parts = [bits[n_header:][: min(n, per_line) * width]]
        if last - line > 1:
            rows = self.lines(line + 1, last, checks=checks)
            bits_of_rows = np.unpackbits(rows, axis=1, bitorder="little")
            parts.append(bits_of_rows[:, : per_line * width].ravel())
        fields = np.zeros((n, 8), np.uint8)
        fields[:, :width] = np.concatenate(parts)[: n * width].reshape(n, width)
        numbers = np.arange(256)
        table = numbers - 128
        if low < 8:
            shared = int(bits[4:n_header] @ (1 << np.arange(n_header - 4))) << low
            magnitudes = numbers & ((1 << low) - 1) | shared
            table = np.where(numbers >> low & 1, -magnitudes, magnitudes)
        codes: Codes = table.astype(np.int8)[np.packbits(fields, bitorder="little")]
        return codes


def repeated(function: Callable[[], object]) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(CALLS):
            function()

    return calls


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("line_bytes", [64, 256])
def test_weights_read_over_numpy(line_bytes: int, checks: bool, ratio: Ratio) -> None:
    layer, codes = layer_of(StoreSettings(line_bytes=line_bytes))
    twin, out = NumpyReader(layer), np.zeros(codes.size, np.int8)
    name = f"{line_bytes}-byte lines" + ("" if checks else ", twin without checksums")
    theirs = partial(twin.read, out, checks=checks)
    ratio(f"weight_store:{name}", repeated(layer.decode), repeated(theirs))
    assert np.array_equal(out, codes.ravel())
    assert np.array_equal(layer.decode(), codes)
