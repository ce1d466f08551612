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
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS, multiply_tile, plane_word, popcount

__all__ = [
    "Columns",
    "Transfer",
    "Units",
    "count_idle_fields",
    "count_packed_reads",
    "lay_fields",
    "multiply_codes",
    "read_columns",
    "read_units",
]

Fields = npt.NDArray[Any]
Codes = npt.NDArray[Any]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class Transfer(NamedTuple):
    """What an ADC makes of a partial sum y: a clamp to low .. high, or ``table[y - least]``.

    `low` is at most 0. The table decides where it is not empty. `run` says how many blocks may be
    added up in a lane.
    """

    low: int
    high: int
    run: int
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
    """

    cells: Fields
    n_words: int
    n_input_planes: int
    n_cell_planes: int
    n_negative: int
    groups: npt.NDArray[np.int64]
    factors: npt.NDArray[np.int64]
    input_factors: npt.NDArray[np.int64]


class Units(NamedTuple):
    """Columns read together, each unit with the rows it opens, listed.

    Shapes
    ------
    starts: (n_units + 1,) where a unit's rows begin in `rows`
    rows: (all units' rows,)
    columns: (n_units, 2) first column, and the one after the last
    groups: (n_units,) row of `factors`
    outputs: (columns,) output that a column adds to
    factors: (n_groups, columns); input_factors: (n_input_slices,)
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]
    factors: npt.NDArray[np.int64]
    input_factors: npt.NDArray[np.int64]
    ou_rows: int
    packed: bool


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
    lanes = columns.cells.shape[1]
    n_tiles = n_columns // lanes
    n_fields = columns.groups[-1] * columns.n_words  # of one plane
    for p in range(0, inputs.shape[0], TILE_POSITIONS):
        n = min(TILE_POSITIONS, inputs.shape[0] - p)
        for group in range(columns.groups.shape[0] - 1):
            totals[:] = 0
            start, stop = columns.groups[group], columns.groups[group + 1]
            for tile in range(n_tiles):
                cells_at = tile * columns.n_cell_planes * n_fields
                for s in range(n_slices):
                    at = s * columns.n_input_planes * n_fields
                    for block in range(start, stop, adc.run):
                        read = TileRead(
                            min(adc.run, stop - block),
                            columns.n_words,
                            columns.n_input_planes,
                            columns.n_cell_planes,
                            columns.n_negative,
                            n_fields,
                            n_fields,
                            adc.low,
                            adc.high,
                        )
                        word = block * columns.n_words
                        if adc.table.shape[0] == 0:
                            read_tile(
                                inputs,
                                p,
                                n,
                                at + word,
                                columns.cells,
                                cells_at + word,
                                read,
                                totals[s],
                                tile * lanes,
                            )
                        else:
                            partials[:] = 0
                            read_tile(
                                inputs,
                                p,
                                n,
                                at + word,
                                columns.cells,
                                cells_at + word,
                                read,
                                partials,
                                0,
                            )
                            _look_up(partials, n, adc, totals[s], tile * lanes)
            _shift_and_add(totals, columns, group, out[p : p + n])


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
    n_outputs = out.shape[1]
    n_bit_slices = columns.factors.shape[1] // max(1, n_outputs)
    for p in range(out.shape[0]):
        for t in range(n_bit_slices):
            first = t * n_outputs
            factors = columns.factors[group, first : first + n_outputs]
            for s in range(totals.shape[0]):
                factor = columns.input_factors[s]
                row = totals[s, p, first : first + n_outputs]
                for o in range(n_outputs):
                    out[p, o] += factor * factors[o] * np.int64(row[o])


@kernel()
def count_idle_fields(
    inputs: Fields, n_slices: int, n_planes: int, n_words: int, out: npt.NDArray[np.int64]
) -> None:
    """Count, for each OU row block, where its inputs give it no work.

    ``out[0, block]`` counts positions and input slices whose inputs are zero, ``out[1, block]``
    positions whose inputs are zero in all slices.

    Shapes
    ------
    inputs: (positions, n_slices * n_planes * blocks * n_words)
    out: (2, blocks), added to
    """
    n_blocks = out.shape[1]
    for p in range(inputs.shape[0]):
        for block in range(n_blocks):
            n_idle = 0
            for s in range(n_slices):
                lit = np.uint64(0)
                for i in range(n_planes):
                    at = ((s * n_planes + i) * n_blocks + block) * n_words
                    for w in range(n_words):
                        lit |= np.uint64(inputs[p, at + w])
                n_idle += lit == np.uint64(0)
            out[0, block] += n_idle
            out[1, block] += n_idle == n_slices


@kernel()
def count_packed_reads(
    inputs: npt.NDArray[np.uint64],
    masks: npt.NDArray[np.uint64],
    n_columns: npt.NDArray[np.int64],
    n_planes: int,
    ou_rows: int,
    out: npt.NDArray[np.int64],
) -> None:
    """Count what `read_units` does packed, without reading: reads, skipped, rows, conversions.

    Shapes
    ------
    inputs: (positions, n_slices * n_planes * n_arrays * n_words) fields of whole arrays
    masks: (n_arrays, n_groups, n_words) the rows that each column group keeps
    n_columns: (n_groups,) columns of each group
    out: (4,), added to
    """
    n_arrays, n_groups, n_words = masks.shape
    step = n_planes * n_arrays * n_words
    for p in range(inputs.shape[0]):
        for at in range(0, inputs.shape[1], step):
            for array in range(n_arrays):
                for group in range(n_groups):
                    n_active = np.int64(0)
                    for w in range(n_words):
                        lit = np.uint64(0)
                        for i in range(n_planes):
                            lit |= inputs[p, at + (i * n_arrays + array) * n_words + w]
                        n_active += popcount(lit & masks[array, group, w])
                    n_reads = (n_active + ou_rows - 1) // ou_rows
                    out[0] += n_reads
                    out[1] += n_reads == 0
                    out[2] += n_active
                    out[3] += n_reads * n_columns[group]


@kernel()
def read_units(
    digits: Codes,
    cells: Codes,
    units: Units,
    adc: Transfer,
    partials: npt.NDArray[np.int64],
    out: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> None:
    """Add what the digital side makes of reads of listed rows, up to `ou_rows` at a time.

    Not packed, a unit's rows are opened in turn whatever their inputs. Packed, rows whose input
    digit is zero are passed over, so a read takes rows that all have work (dynamic wordline
    activation); a unit without any is skipped.

    Shapes
    ------
    digits: (positions, n_input_slices, rows)
    cells: (rows, columns)
    partials: (widest unit,) scratch
    out: (positions, n_outputs)
    counts: (4,), added to: reads, units skipped, rows opened, conversions

    Source: SRE (ISCA 2019; semantics recalled).
    """
    for p in range(digits.shape[0]):
        for s in range(digits.shape[1]):
            for u in range(units.groups.shape[0]):
                start, stop = units.starts[u], units.starts[u + 1]
                n_open, n_reads = 0, 0
                partials[:] = 0
                for j in range(start, stop):
                    row = units.rows[j]
                    digit = np.int64(digits[p, s, row])
                    if digit != 0:
                        first = units.columns[u, 0]
                        for c in range(first, units.columns[u, 1]):
                            partials[c - first] += digit * np.int64(cells[row, c])
                    n_open += digit != 0 or not units.packed
                    if n_open == units.ou_rows or (n_open > 0 and j == stop - 1):
                        _convert_unit(partials, units, u, s, adc, out[p])
                        counts[2] += n_open
                        n_open, n_reads = 0, n_reads + 1
                counts[0] += n_reads
                counts[1] += n_reads == 0
                counts[3] += n_reads * (units.columns[u, 1] - units.columns[u, 0])


@kernel()
def _convert_unit(
    partials: npt.NDArray[np.int64],
    units: Units,
    u: int,
    s: int,
    adc: Transfer,
    out: npt.NDArray[np.int64],
) -> None:
    first = units.columns[u, 0]
    for c in range(first, units.columns[u, 1]):
        level = np.int64(adc.table[partials[c - first] - adc.least])
        out[units.outputs[c]] += units.input_factors[s] * units.factors[units.groups[u], c] * level
    partials[:] = 0


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
