"""Crossbar reads, operation unit by operation unit: partial sums, ADC, shift-and-add, exactly.

A block of positions (input vectors) meets all columns. For each OU row block, input slice and
column the partial sum is found from bits (AND, ones counted), passed through the ADC, and only then
added up; the sums of one column are then shifted and added. ADC codes never leave registers or, for
a transfer that needs its table, one tile.

Columns are ordered bit-slice by bit-slice: column ``t * n_outputs + o`` holds bit-slice t of output
o. Kernels are serial and release the GIL: callers share positions out over threads.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.ou_tile import TILE_POSITIONS, TileRead, read_tile
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS, multiply_tile, plane_word

__all__ = [
    "Columns",
    "Transfer",
    "add_corrections",
    "count_idle_fields",
    "count_sums",
    "lay_fields",
    "multiply_codes",
    "read_columns",
]

Fields = npt.NDArray[Any]
Codes = npt.NDArray[Any]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_WORD = np.uint64(64)
_WORD_SHIFT = np.uint64(6)  # of a row, to its word
_WORD_MASK = np.uint64(63)


class Transfer(NamedTuple):
    """What an ADC makes of a partial sum y: a clamp, the sum of steps, or ``table[y - least]``.

    The table decides where it is not empty, else the steps where there are any, else the clamp to
    `low` (at most 0) .. `high`. `run` says how many blocks may be added up in a lane.

    Shapes
    ------
    steps: (n_steps, 2) a sum of at least the first reads as the second more
    """

    low: int
    high: int
    run: int
    steps: npt.NDArray[np.int64]
    table: npt.NDArray[np.int32]
    least: int


class Columns(NamedTuple):
    """Cells as fields, and how their partial sums join.

    Shapes
    ------
    cells: (n_tiles * planes * blocks * words, lanes) uint16, uint32 or uint64; a tile is its planes
        in turn, a plane its blocks, a block its words
    groups: (n_groups + 1,) first block of each group; the columns' factors may differ by group
    factors: (n_groups, n_bit_slices * n_outputs) factor of each column's sum
    input_factors: (n_input_slices,) factor of each input slice
    joins_in_32_bits: no column's sum over its input slices can leave 32 bits
    """

    cells: Fields
    n_words: int
    n_input_planes: int
    n_cell_planes: int
    n_negative: int
    groups: npt.NDArray[np.int64]
    factors: npt.NDArray[np.int64]
    input_factors: npt.NDArray[np.int64]
    joins_in_32_bits: bool


@kernel()
def lay_fields(
    codes: Codes,
    edges: npt.NDArray[np.int64],
    bits: npt.NDArray[np.int64],
    planes: npt.NDArray[np.uint64],
    out: Fields,
) -> None:
    """Write the fields of rows of codes: for each bit asked for, block and word, the rows' bits.

    Shapes
    ------
    codes: (positions, rows) integers, C order
    edges: (n_blocks + 1,) first row of each block, rising
    bits: (n_planes,) the bit each plane holds; -1 an empty plane
    planes: (words of a row + 1,) scratch
    out: (positions, n_planes * n_blocks * n_words)
    """
    n_blocks = edges.shape[0] - 1
    n_rows = codes.shape[1]
    n_words = out.shape[1] // max(1, bits.shape[0] * n_blocks)
    width = 8 * out.itemsize
    for p in range(codes.shape[0]):
        at = 0
        for k in range(bits.shape[0]):
            planes[:] = np.uint64(0)
            if bits[k] >= 0:
                for w in range((n_rows + 63) // 64):
                    planes[w] = plane_word(codes[p], 64 * w, min(64, n_rows - 64 * w), bits[k])
            if n_words == 1:
                _lay_blocks(planes, edges, out[p, at : at + n_blocks])
                at += n_blocks
                continue
            for block in range(n_blocks):
                for w in range(n_words):
                    row = edges[block] + w * width
                    n = min(width, edges[block + 1] - row)
                    field = np.uint64(0)
                    if n > 0:
                        low = np.uint64(row % 64)
                        field = planes[row // 64] >> low
                        if row % 64 + n > 64:
                            field |= planes[row // 64 + 1] << (np.uint64(64) - low)
                        field &= _ALL_ONES >> np.uint64(64 - n)
                    out[p, at] = field
                    at += 1


@kernel()
def _lay_blocks(planes: npt.NDArray[np.uint64], edges: npt.NDArray[np.int64], out: Fields) -> None:
    """Write one plane's fields where each fits a word: without branches, so in vector registers."""
    for block in range(out.shape[0]):
        row = np.uint64(edges[block])
        n = np.uint64(edges[block + 1]) - row
        at, low = np.int64(row >> _WORD_SHIFT), row & _WORD_MASK
        above = (planes[at + 1] << _ONE) << (_WORD_MASK - low)
        out[block] = ((planes[at] >> low) | above) & (_ALL_ONES >> (_WORD - n))


@kernel()
def read_columns(
    inputs: Fields,
    columns: Columns,
    adc: Transfer,
    totals: npt.NDArray[np.int32],
    partials: npt.NDArray[np.int32],
    out: npt.NDArray[np.int64],
) -> None:
    """Add what the digital side makes of all OU reads to `out`.

    The caller proves that the sum of one column over a group's blocks fits int32 and that partial
    sums fit a lane.

    Shapes
    ------
    inputs: (positions, n_input_slices * n_input_planes * blocks * words), fields as the cells'
    totals: (n_input_slices, TILE_POSITIONS, columns, filled up to tiles) scratch
    partials: (TILE_POSITIONS, lanes) scratch
    out: (positions, n_outputs)
    """
    n_slices, _, n_columns = totals.shape
    cells = columns.cells
    lanes = cells.shape[1]
    n_fields = columns.groups[-1] * columns.n_words  # of one plane
    for p in range(0, inputs.shape[0], TILE_POSITIONS):
        n = min(TILE_POSITIONS, inputs.shape[0] - p)
        for group in range(columns.groups.shape[0] - 1):
            totals[:] = 0
            start, stop = columns.groups[group], columns.groups[group + 1]
            for column in range(0, n_columns, lanes):
                tile_at = column // lanes * columns.n_cell_planes * n_fields
                for s in range(n_slices):
                    slice_at = s * columns.n_input_planes * n_fields
                    for block in range(start, stop, adc.run):
                        read = _tile_read(columns, adc, min(adc.run, stop - block))
                        at = slice_at + block * columns.n_words
                        first = tile_at + block * columns.n_words
                        if adc.table.shape[0] == 0:
                            read_tile(
                                inputs, p, n, at, cells, first, read, adc.steps, totals[s], column
                            )
                        else:
                            partials[:] = 0
                            read_tile(inputs, p, n, at, cells, first, read, adc.steps, partials, 0)
                            _look_up(partials, n, adc, totals[s], column)
            _shift_and_add(totals, columns, group, out[p : p + n])


@kernel()
def _tile_read(columns: Columns, adc: Transfer, n_blocks: int) -> TileRead:
    n_fields = columns.groups[-1] * columns.n_words
    return TileRead(
        n_blocks,
        columns.n_words,
        columns.n_input_planes,
        columns.n_cell_planes,
        columns.n_negative,
        n_fields,
        n_fields,
        adc.low,
        adc.high,
    )


@kernel()
def count_sums(
    inputs: Fields,
    columns: Columns,
    adc: Transfer,
    repeats: npt.NDArray[np.int64],
    n_columns: int,
    partials: npt.NDArray[np.int32],
    out: npt.NDArray[np.int64],
) -> None:
    """Count how often each partial sum occurs, before any conversion.

    `adc.low` and `adc.high` hold all partial sums and there are no steps; ``out[y - adc.least]``
    counts y, a read of input slice s ``repeats[s]`` times.

    Shapes
    ------
    inputs, partials: as `read_columns`
    repeats: (n_input_slices,)
    out: (adc.high - adc.least + 1,), added to
    """
    cells = columns.cells
    lanes = cells.shape[1]
    n_blocks = columns.groups[-1]
    n_fields = n_blocks * columns.n_words
    read = _tile_read(columns, adc, 1)
    for p in range(0, inputs.shape[0], TILE_POSITIONS):
        n = min(TILE_POSITIONS, inputs.shape[0] - p)
        for column in range(0, n_columns, lanes):
            tile_at = column // lanes * columns.n_cell_planes * n_fields
            for s in range(repeats.shape[0]):
                slice_at = s * columns.n_input_planes * n_fields
                for word in range(0, n_fields, columns.n_words):
                    partials[:] = 0
                    at, first = slice_at + word, tile_at + word
                    read_tile(inputs, p, n, at, cells, first, read, adc.steps, partials, 0)
                    for q in range(n):
                        for lane in range(min(lanes, n_columns - column)):
                            out[np.int64(partials[q, lane]) - adc.least] += repeats[s]


@kernel()
def _look_up(
    partials: npt.NDArray[np.int32],
    n: int,
    adc: Transfer,
    totals: npt.NDArray[np.int32],
    column: int,
) -> None:
    for p in range(n):
        for lane in range(partials.shape[1]):
            totals[p, column + lane] += adc.table[np.int64(partials[p, lane]) - adc.least]


@kernel()
def _shift_and_add(
    totals: npt.NDArray[np.int32], columns: Columns, group: int, out: npt.NDArray[np.int64]
) -> None:
    """Join input slices, then bit-slices; in place and in 32 bits where the caller proved it."""
    n_outputs = out.shape[1]
    n_columns = columns.factors.shape[1]
    n_slices = totals.shape[0]
    for p in range(out.shape[0]):
        if columns.joins_in_32_bits:
            joined = totals[0, p, :n_columns]
            for c in range(n_columns):
                joined[c] *= np.int32(columns.input_factors[0])
            for s in range(1, n_slices):
                factor, row = np.int32(columns.input_factors[s]), totals[s, p, :n_columns]
                for c in range(n_columns):
                    joined[c] += factor * row[c]
        for s in range(1 if columns.joins_in_32_bits else n_slices):
            scale = np.int64(1) if columns.joins_in_32_bits else columns.input_factors[s]
            for first in range(0, n_columns, n_outputs):
                factors = columns.factors[group, first : first + n_outputs]
                row = totals[s, p, first : first + n_outputs]
                for o in range(n_outputs):
                    out[p, o] += scale * factors[o] * np.int64(row[o])


@kernel()
def add_corrections(
    codes: Codes,
    edges: npt.NDArray[np.int64],
    corrections: npt.NDArray[np.int64],
    out: npt.NDArray[np.int64],
) -> None:
    """Add what each group of rows gives without a read: a multiple of the sum of its inputs.

    Shapes
    ------
    codes: (positions, rows) integers
    edges: (n_groups + 1,) first row of each group
    corrections: (n_groups, n_outputs)
    out: (positions, n_outputs), added to
    """
    for p in range(out.shape[0]):
        for group in range(corrections.shape[0]):
            total = np.int64(0)
            for row in range(edges[group], edges[group + 1]):
                total += np.int64(codes[p, row])
            for o in range(out.shape[1]):
                out[p, o] += total * corrections[group, o]


@kernel()
def count_idle_fields(
    inputs: Fields,
    repeats: npt.NDArray[np.int64],
    n_planes: int,
    n_words: int,
    per_sample: int,
    first: int,
    out: npt.NDArray[np.int64],
) -> None:
    """Count, for each sample and OU row block, where the inputs give no work.

    ``out[0]`` counts positions and input slices whose inputs are zero, slice s ``repeats[s]``
    times; ``out[1]`` counts positions whose inputs are zero in all slices. The inputs begin at
    position `first` of a sample of `per_sample` positions.

    Shapes
    ------
    inputs: (positions, n_slices * n_planes * blocks * n_words)
    repeats: (n_slices,)
    out: (2, samples, blocks), added to
    """
    n_slices, n_blocks = repeats.shape[0], out.shape[2]
    for p in range(inputs.shape[0]):
        sample = (first + p) // per_sample
        for block in range(n_blocks):
            n_idle, busy = np.int64(0), False
            for s in range(n_slices):
                lit = np.uint64(0)
                for i in range(n_planes):
                    at = ((s * n_planes + i) * n_blocks + block) * n_words
                    for w in range(n_words):
                        lit |= np.uint64(inputs[p, at + w])
                if lit == np.uint64(0):
                    n_idle += repeats[s]
                else:
                    busy = True
            out[0, sample, block] += n_idle
            out[1, sample, block] += not busy


@kernel()
def multiply_codes(
    codes: npt.NDArray[np.int16],
    step: int,
    runs: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int16],
    sums: npt.NDArray[np.int32],
    out: npt.NDArray[np.int64],
) -> None:
    """Add exact dot products to `out`: what a lossless ADC gives, all reads joined.

    The caller proves that sums fit int32.

    Shapes
    ------
    codes: flat, positions of `step` codes
    runs: (1,) zero
    weights: (blocks of 16 outputs, 1, pairs, 32) as `vector.multiply_tile` reads them
    sums: (TILE_PIXELS, blocks * 16) scratch
    out: (positions, n_outputs)
    """
    n_positions, n_outputs = out.shape
    for p in range(0, n_positions, TILE_PIXELS):
        n = min(TILE_PIXELS, n_positions - p)
        sums[:] = 0
        for block in range(weights.shape[0]):
            acc = sums[:n]
            multiply_tile(codes, p * step, step, n, runs, weights[block], acc, block * TILE_FILTERS)
        for q in range(n):
            for o in range(n_outputs):
                out[p + q, o] += np.int64(sums[q, o])
